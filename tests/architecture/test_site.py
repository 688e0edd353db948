"""The documentation site: built strictly, every link in it leads somewhere, and nothing is loaded from elsewhere."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from contracts.schemas import MESSAGES
from deploy.docs.reference import pages
from deploy.schemas import openapi
from services.gateway.api.problems import known

PROJECT = Path(__file__).resolve().parents[2]
_LOADING = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}
_ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)


class _Parts(HTMLParser):
    """A page's links, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if not value:
                continue
            if (tag, name) in _LOADING:
                self.loaded.add(value)
            elif (tag, name) == ("a", "href"):
                self.links.add(value)
            elif name == "id":
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as CI builds it."""
    place = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)],
        cwd=PROJECT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    assert "WARNING" not in built.stderr
    return place


@pytest.fixture(scope="module")
def read(site: Path) -> dict[Path, _Parts]:
    return {page: _Parts(page.read_text(encoding="utf-8")) for page in site.rglob("*.html") if page.name != "404.html"}


def test_every_link_of_the_site_leads_somewhere(site: Path, read: dict[Path, _Parts]) -> None:
    def broken() -> Iterator[str]:
        for page, parts in read.items():
            for link in parts.links | parts.loaded:
                if re.match(r"[a-z]+:|//", link, re.IGNORECASE):
                    continue
                path, _, anchor = link.partition("#")
                target = (page.parent / unquote(path)).resolve() if path else page
                target = target / "index.html" if target.is_dir() else target
                if not target.is_file():
                    yield f"{page.relative_to(site)}: {link}: no such file"
                elif anchor and target in read and unquote(anchor) not in read[target].anchors | {"__skip"}:
                    yield f"{page.relative_to(site)}: {link}: no such heading"

    assert len(read) > 30
    assert list(broken()) == []


def test_nothing_of_the_site_is_loaded_from_elsewhere(site: Path, read: dict[Path, _Parts]) -> None:
    assert {loaded for parts in read.values() for loaded in parts.loaded if _ELSEWHERE.match(loaded)} == set()
    styles = "".join(sheet.read_text(encoding="utf-8") for sheet in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", styles) == []
    # Nothing that the theme would fetch a renderer for.
    assert not any('class="mermaid"' in page.read_text(encoding="utf-8") for page in read)


def test_the_reference_has_everything_there_is() -> None:
    written = pages()
    for path, methods in openapi()["paths"].items():
        for method in methods:
            assert f"### {method.upper()} {path}\n" in written["api.md"]
    assert all(f"| `{code}` |" in written["errors.md"] for code in known())
    assert all(f"## {message.__name__}\n" in written["events.md"] for message in MESSAGES)
    for command in ("slipway create", "slipway access grant", "slipway admin readers add"):
        assert f"## {command}\n" in written["commands.md"]
    for variable in ("SLIPWAY_NATS_NKEY_FILE", "SLIPWAY_DATABASE_URL", "SLIPWAY_NOTIFIER_DEFAULT_CHANNEL"):
        assert f"| `{variable}` |" in written["settings.md"]
