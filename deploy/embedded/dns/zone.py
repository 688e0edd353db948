"""The zone in memory and on disk.

Invariant: the file on disk is always one whole version of the zone (written aside, fsynced, renamed,
directory fsynced), and a version becomes visible to readers only once it is there. One writer at a time,
any number of readers; a reader's snapshot never changes.
"""

import os
from collections.abc import Callable
from pathlib import Path

import dns.btreezone
import dns.exception
import dns.name
import dns.rdatatype
import dns.rrset
import dns.tokenizer
import dns.transaction
import dns.zone
import dns.zonefile

_NEW_ZONE = """\
{zone} 60 IN SOA ns.{zone} hostmaster.{zone} 1 3600 600 86400 5
{zone} 60 IN NS ns.{zone}
ns.{zone} 60 IN A 127.0.0.1
"""
_SOA = dns.rdatatype.SOA


def new_zone(name: str) -> str:
    """The text of a zone without any environment (RFC 1035, section 5)."""
    return _NEW_ZONE.format(zone=dns.name.from_text(name).to_text())


class ZoneFileError(RuntimeError):
    """The zone's file exists and cannot be read; it is never overwritten by guess."""


class Zone:
    """One authoritative zone, durable in `directory`/<zone name>.zone."""

    def __init__(self, name: str, directory: Path) -> None:
        self.origin = dns.name.from_text(name).canonicalize()
        self._path = directory / f"{self.origin.to_text(omit_final_dot=True)}.zone"
        directory.mkdir(parents=True, exist_ok=True)
        self._zone = self._load()

    def _load(self) -> dns.btreezone.Zone:
        fresh = not self._path.exists()
        text = _NEW_ZONE.format(zone=self.origin.to_text()) if fresh else self._path.read_text(encoding="utf-8")
        zone = dns.btreezone.Zone(self.origin, relativize=False)
        # Nobody asks for an older version; a reader holds the one it began with.
        zone.set_max_versions(1)
        try:
            with zone.writer(replacement=True) as version:
                dns.zonefile.Reader(
                    dns.tokenizer.Tokenizer(text, str(self._path)),
                    zone.rdclass,
                    version,
                    allow_include=False,
                ).read()
            zone.check_origin()
        except (dns.exception.DNSException, ValueError, KeyError) as error:
            raise ZoneFileError(
                f"the zone file {self._path} is damaged ({type(error).__name__}): repair it, or move it away "
                "to begin with an empty zone"
            ) from error
        if fresh:
            with zone.reader() as first:
                self._save(first)
        return zone

    def snapshot(self) -> dns.btreezone.ImmutableVersion:
        """The zone as it is now; it stays so for whoever holds it."""
        with self._zone.reader() as reader:
            version = reader.version
        if not isinstance(version, dns.btreezone.ImmutableVersion):
            raise TypeError("a committed version of a B-tree zone is expected to be immutable")
        return version

    def soa(self) -> dns.rrset.RRset:
        """The zone's SOA record with its own TTL."""
        found = self.snapshot().get_rdataset(self.origin, _SOA, dns.rdatatype.NONE)
        if found is None:
            raise ZoneFileError(f"the zone {self.origin} has no SOA record")
        return dns.rrset.from_rdata_list(self.origin, found.ttl, list(found))

    def change(self, deed: Callable[[dns.transaction.Transaction], bool]) -> bool:
        """Runs `deed` on a new version; if it returns True the serial is bumped, saved and made visible.

        Blocks on the disk: call it off the event loop. Whatever `deed` raises, and OSError of the disk,
        leaves the zone as it was.
        """
        with self._zone.writer() as version:
            changed = deed(version)
            if changed:
                version.update_serial(1, True, self.origin)
                self._save(version)
            else:
                version.rollback()
        return changed

    def _save(self, version: dns.transaction.Transaction) -> None:
        # A master file begins with its SOA; the origin is the first name in canonical order.
        records = sorted(version.iterate_rdatasets(), key=lambda r: (r[0], r[1].rdtype != _SOA, r[1].rdtype))
        text = "".join(f"{rdataset.to_text(name, relativize=False)}\n" for name, rdataset in records)
        aside = self._path.with_suffix(".zone.new")
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
