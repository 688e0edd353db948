"""Documents: every link to another file, or to a heading, leads somewhere."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

PROJECT = Path(__file__).resolve().parents[2]
_NOT_OURS = {".venv", ".git", ".slipway", "node_modules", "build", ".pytest_cache", ".artifacts"}
_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'][^)]*)?\)|^\[[^\]]+\]:\s*(\S+)|(?:src|href)=\"([^\"]+)\"", re.MULTILINE
)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def _documents() -> list[Path]:
    """Every Markdown file of ours, as paths within the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [Path(line) for line in listed.stdout.splitlines()]
    else:  # a source archive
        found = [path.relative_to(PROJECT) for path in PROJECT.rglob("*.md")]
    return sorted(path for path in found if not _NOT_OURS & set(path.parts) and (PROJECT / path).exists())


def _links(text: str) -> Iterator[str]:
    for match in _LINK.finditer(_CODE.sub("", text)):
        target = next(group for group in match.groups() if group)
        if not re.match(r"[a-z][a-z0-9+.-]*:|//", target, re.IGNORECASE):
            yield unquote(target)


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub gives a document's headings."""
    anchors: set[str] = set()
    for heading in _HEADING.findall(re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while (anchor := f"{slug}-{number}" if number else slug) in anchors:
            number += 1
        anchors.add(anchor)
    return anchors


def _broken(document: Path) -> list[str]:
    text = (PROJECT / document).read_text(encoding="utf-8")
    broken = []
    for link in _links(text):
        path, _, anchor = link.partition("#")
        base = PROJECT if path.startswith("/") else (PROJECT / document).parent
        target = base / path.lstrip("/") if path else PROJECT / document
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif not target.resolve().is_relative_to(PROJECT):
            broken.append(f"{link}: leads out of the project")
        elif anchor and target.suffix == ".md" and anchor not in _anchors(target.read_text(encoding="utf-8")):
            broken.append(f"{link}: no such heading")
    return broken


@pytest.mark.parametrize("document", _documents(), ids=str)
def test_every_link_leads_somewhere(document: Path) -> None:
    assert _broken(document) == []


def test_a_broken_link_would_be_found() -> None:
    text = "# A b\n[x](missing.md) `[not](a-link)` [y](#a-b)\n```\n[no](link)\n```\n[z]: other.md\n[w](https://a.b/c)"

    assert list(_links(text)) == ["missing.md", "#a-b", "other.md"]
    assert _anchors(text) == {"a-b"}
