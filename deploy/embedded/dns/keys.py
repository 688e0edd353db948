"""The key that may change the zone, read from a file in either of the two forms people have.

Invariant: what is returned is usable (a known algorithm, at least 128 bits of secret), and neither an error
message nor a log line ever contains the secret.
"""

import base64
import binascii
import re
from pathlib import Path

import dns.exception
import dns.name
import dns.tsig

_BIND_KEY = re.compile(
    r'^\s*key\s+"?(?P<name>[^"\s{]+)"?\s*\{'
    r'(?=[^}]*?algorithm\s+"?(?P<algorithm>[A-Za-z0-9.-]+)"?\s*;)'
    r'(?=[^}]*?secret\s+"?(?P<secret>[A-Za-z0-9+/=]+)"?\s*;)'
    r"[^}]*\}\s*;?\s*$"
)
_PLAIN_KEY = re.compile(r"^\s*(?P<name>[^\s:]+):(?P<algorithm>[^\s:]+):(?P<secret>[^\s:]+)\s*$")
_EXPECTED = 'expected name:algorithm:base64 or key "name" { algorithm ...; secret "..."; };'
_COMMENT = re.compile(r"/\*.*?\*/|(?://|#)[^\n]*", re.DOTALL)
_SHORTEST_SECRET_BYTES = 16
# MD5 and SHA-1 are left out on purpose: RFC 8945 says MUST NOT and NOT RECOMMENDED for new keys.
_ALGORITHMS = {
    "hmac-sha224": dns.tsig.HMAC_SHA224,
    "hmac-sha256": dns.tsig.HMAC_SHA256,
    "hmac-sha384": dns.tsig.HMAC_SHA384,
    "hmac-sha512": dns.tsig.HMAC_SHA512,
}


class KeyFileError(ValueError):
    """The key file cannot be used; the message says what to write into it."""


def read_key(path: Path) -> dns.tsig.Key:
    """The TSIG key in `path`: a BIND key clause (what `tsig-keygen` prints) or `name:algorithm:base64`.

    Raises KeyFileError when the file is missing, is of another form, or holds a weak or unknown key.
    """
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"cannot read the TSIG key file {path}: make one with tsig-keygen") from error
    return parse_key(text, str(path))


def parse_key(text: str, where: str) -> dns.tsig.Key:
    """As `read_key`, for text already in hand; `where` names it in errors."""
    name, algorithm, secret = _parts(text, where)
    known = _ALGORITHMS.get(algorithm.lower().rstrip("."))
    if known is None:
        raise KeyFileError(f"{where}: unknown TSIG algorithm; use one of {', '.join(_ALGORITHMS)}")
    try:
        raw = base64.b64decode(secret, validate=True)
        owner = dns.name.from_text(name).canonicalize()
    except (binascii.Error, dns.exception.DNSException):
        # From None: the cause would carry the secret's text into a traceback.
        raise KeyFileError(f"{where}: the key's name or its base64 secret is malformed") from None
    if len(raw) < _SHORTEST_SECRET_BYTES:
        raise KeyFileError(f"{where}: the secret is under {_SHORTEST_SECRET_BYTES} bytes; make a new key")
    return dns.tsig.Key(owner, raw, known)


def _parts(text: str, where: str) -> tuple[str, str, str]:
    found = _PLAIN_KEY.match(text) or _BIND_KEY.match(_COMMENT.sub(" ", text))
    if found is None:
        raise KeyFileError(f"{where}: {_EXPECTED}")
    return found["name"], found["algorithm"], found["secret"]
