"""What MkDocs calls while it builds (`hooks` in mkdocs.yml): it adds the pages of the reference and the list of
decisions, and takes links to the source code out, which is not part of the site."""

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from deploy.docs.reference import pages
from deploy.schemas import PUBLISHED

PROJECT: Final = Path(__file__).resolve().parents[2]
_LINK: Final = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE: Final = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_DECISIONS: Final = "decisions"
_DECISIONS_PAGE: Final = f"{_DECISIONS}/README.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision where the navigation names their directory."""
    found = sorted(Path(config.docs_dir, _DECISIONS).glob("*.md"))
    config.nav = _expanded(config.nav, [f"{_DECISIONS}/{file.name}" for file in found])
    return config


def _expanded(nav: Any, decisions: list[str]) -> Any:
    if isinstance(nav, list):
        return [_expanded(part, decisions) for part in nav]
    if isinstance(nav, dict):
        return {title: _expanded(part, decisions) for title, part in nav.items()}
    return [_DECISIONS_PAGE, *decisions] if nav == f"{_DECISIONS}/" else nav


def _decisions(directory: Path) -> str:
    """The page that lists them."""
    titles = {
        file.name: file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for file in directory.glob("*.md")
    }
    return "\n".join(["# Decisions", "", *(f"- [{title}]({name})" for name, title in sorted(titles.items())), ""])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is written from the code, and the published documents as they are."""
    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}", content=text))
    files.append(File.generated(config, _DECISIONS_PAGE, content=_decisions(Path(config.docs_dir, _DECISIONS))))
    for document in PUBLISHED.glob("*.json"):
        files.append(File.generated(config, f"reference/published/{document.name}", abs_src_path=str(document)))
    client = PROJECT / "slipway" / "client.py"
    files.append(File.generated(config, "reference/client.py", abs_src_path=str(client)))
    return files


def on_page_markdown(markdown: str, /, page: Page, files: Files, **_: Any) -> str:
    """Leave the words of a link that leads out of the documents; one to a directory of documents leads to its index."""

    def within(found: re.Match[str]) -> str:
        text, target = found.groups()
        path, _, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return found[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), path))
        if place.startswith("../") or place == "..":
            return text
        if files.get_file_from_path(place) is None and files.get_file_from_path(f"{place}/README.md"):
            return f"[{text}]({path.rstrip('/')}/README.md{f'#{anchor}' if anchor else ''})"
        return found[0]

    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):  # what is shown as code stays as it is
        parts += [_LINK.sub(within, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(within, markdown[end:])])
