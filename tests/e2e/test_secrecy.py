"""No secret value anywhere but in OpenBao.

Each store is searched in a form in which its content can be read (Git objects and archives unpacked, the services'
database dumped), and each must show a word that is known to be there: a search that sees nothing proves nothing.
"""

import base64
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.embedded import leftovers, postgres
from deploy.embedded.ports import HOST
from tests.e2e.outside import DEMO_NAME, Demo

KNOWN = DEMO_NAME.encode()
# A directory or file of the home, and whether it must name the environment.
STORES = {
    "log": True,
    "data/nats": True,
    "data/terraform": True,
    "data/forge": True,
    "data/traces": True,
    "data/inbox": True,
    "data/caddy": True,
    "data/dns": True,
    "data/runtime": True,
    "data/postgres": True,
    "etc": False,
    "keys": False,
    "platform.json": False,
}


@pytest.fixture(scope="module")
def values(demo: Demo) -> dict[str, list[bytes]]:
    """Every value that only OpenBao may know, by its name, each in the forms in which it could have leaked."""
    _, leased_password = demo.lease(DEMO_NAME)
    found = demo.secrets_of(DEMO_NAME) | {"leased password": leased_password, "person's token": demo.person().token}
    return {name: [text.encode(), base64.b64encode(text.encode()).rstrip(b"=")] for name, text in found.items()}


def _found_in(content: bytes, values: dict[str, list[bytes]]) -> set[str]:
    return {name for name, forms in values.items() if any(form in content for form in forms)}


def _readable(store: Path) -> Iterator[bytes]:
    """The content of every file of a store, and of every file in an archive."""
    for path in [store] if store.is_file() else sorted(_files_below(store)):
        if path.is_symlink() or not path.is_file():
            continue
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # a journal that a running database has just folded in
        yield content
        if content.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                yield from (archive.read(member) for member in archive.namelist())


def _files_below(directory: Path) -> Iterator[Path]:
    """Every file, also where directories come and go meanwhile, which `rglob` does not bear."""
    for above, _, names in os.walk(directory):
        yield from (Path(above) / name for name in names)


def test_every_directory_of_the_home_is_searched(demo: Demo) -> None:
    searched = {demo.home.root / store for store in STORES}
    parents = {parent for store in searched for parent in store.parents}
    below = (path for parent in parents & {demo.home.root, demo.home.data} for path in parent.iterdir())
    assert [path for path in below if path not in searched | parents and path.name != ".slipway-home"] == []


@pytest.mark.parametrize("store", STORES)
def test_no_file_holds_a_value(demo: Demo, values: dict[str, list[bytes]], store: str) -> None:
    seen = False
    for content in _readable(demo.home.root / store):
        seen |= KNOWN in content
        assert _found_in(content, values) == set()
    assert seen or not STORES[store]


def test_no_commit_of_any_repository_holds_a_value(demo: Demo, values: dict[str, list[bytes]]) -> None:
    heads = (path for path in _files_below(demo.home.data) if path.name == "HEAD")
    repositories = [path.parent for path in heads if (path.parent / "objects").is_dir()]
    telling = 0
    for repository in repositories:
        listed = demo.run("git", "-C", repository, "cat-file", "--batch-all-objects", "--batch")
        assert listed.code == 0, listed
        telling += KNOWN in listed.out.encode()
        assert _found_in(listed.out.encode(), values) == set()
    assert telling >= 3, "the environments repository, the provisioner's copy of it, and the application's"


def test_no_row_of_the_services_holds_a_value(demo: Demo, values: dict[str, list[bytes]]) -> None:
    dump = demo.run(
        postgres.program("pg_dump"),
        f"--host={HOST}",
        f"--port={demo.ports['postgres']}",
        "--username=postgres",
        postgres.SERVICES_DATABASE,
        more={"PGPASSWORD": demo.key("pg-postgres.password")},
    )
    assert dump.code == 0, dump
    assert KNOWN in dump.out.encode()
    assert _found_in(dump.out.encode(), values) == set()


def test_no_process_shows_a_value(demo: Demo, values: dict[str, list[bytes]]) -> None:
    processes = leftovers.find(demo.home)
    assert len(processes) > 14
    for process in processes:
        try:
            is_application = Path(process.cwd()).is_relative_to(demo.home.data / "runtime")
            # An application is told its own secrets in its environment; nobody else is, and nobody on a command line.
            told = () if is_application else process.environ().values()
            shown = "\0".join([*process.cmdline(), *told])
        except psutil.NoSuchProcess:
            continue
        assert _found_in(shown.encode(), values) == set()


def test_no_answer_of_the_command_line_holds_a_value(demo: Demo, values: dict[str, list[bytes]]) -> None:
    of_demo = (["show"], ["secrets"], ["runs"], ["logs", "--run"], ["logs"], ["deployments"])
    for command in (["ls"], *([verb, DEMO_NAME, *flags] for verb, *flags in of_demo)):
        said = demo.slipway("-o", "json", *command)
        assert said.out
        assert _found_in((said.out + said.err).encode(), values) == set()
    assert _found_in((demo.said.out + demo.said.err).encode(), values) == set()
