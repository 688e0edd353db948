"""Every page, with no data, a few environments and five hundred; narrow and wide, light and dark: it is there, it fits,
the browser has nothing to complain of, and axe finds nothing serious. A picture of each is kept in `shots/`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Visit
from tests.browser.stack import Stack
from tests.browser.town import TOWNS, pages

SHOTS = Path(__file__).parent / "shots"
RULES = {
    (1280, "light"): ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    (1280, "dark"): ["color-contrast", "link-in-text-block"],
    (390, "light"): ["scrollable-region-focusable", "target-size", "color-contrast"],
}
"""What axe looks for: everything once, and again what is another thing in another theme or width."""
LISTS = {"home", "catalogue", "runs", "golden-paths", "golden-path", "graph", "graph-of-one", "environment-demo-api"}


class Town:
    """A gateway with something in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stack = Stack()
        self.stack.start()
        work: Any = TOWNS[name](self.stack)
        found = pages(self.stack.do(work))
        self.pages = {key: found[key] for key in found if name != "five hundred" or key in LISTS}
        self.session = self.stack.session("developer", "payments")
        self.admins_session = self.stack.session("admin", "payments", person="pat")


@pytest.fixture(scope="module", params=list(TOWNS))
def town(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Town]:
    """One after the other."""
    assert chromium.is_connected()
    found = Town(request.param)
    yield found
    found.stack.stop()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_is_there_fits_and_can_be_used_by_everybody(
    town: Town, chromium: Browser, width: int, theme: str
) -> None:
    visit = Visit(chromium, town.stack)
    page = visit.window(town.session, viewport={"width": width, "height": 800}, color_scheme=theme)
    directory = SHOTS / town.name.replace(" ", "-")
    directory.mkdir(parents=True, exist_ok=True)
    wrong = []
    admins = visit.window(town.admins_session, viewport={"width": width, "height": 800}, color_scheme=theme)
    developers = page
    for name, address in town.pages.items():
        page = admins if name.startswith("rollout") else developers
        answer = page.goto(town.stack.url + address)
        assert answer is not None
        expected = 404 if name == "not-there" else 200
        if answer.status != expected:
            wrong.append(f"{name} {width} {theme}: status {answer.status}")
        if name.startswith("run-"):
            page.wait_for_selector("[data-log] li:not([data-placeholder])")
        # To hide the caret the browser's driver would set a style on every field. Where the page is renewed at that
        # moment, htmx carries it over as an attribute, which the page's policy forbids: a complaint of nobody's making.
        page.screenshot(path=directory / f"{name}-{width}-{theme}.png", full_page=True, caret="initial")
        # axe applies styles of its own, which the browser complains of a while later: in its rounds nobody listens.
        looked_at = town.name == "a few" or (town.name, width, theme) == ("nothing", 1280, "light")
        rules = RULES.get((width, theme)) if looked_at else None
        found = _too_wide(page) + (_barriers(page, rules) if rules else visit.complaints)
        visit.complaints.clear()
        wrong += [f"{name} {width} {theme}: {text}" for text in found]
    visit.close()
    assert wrong == []


def _too_wide(page: Page) -> list[str]:
    too_much = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [f"{too_much} pixels too wide"] if too_much > 0 else []


def _barriers(page: Page, rules: list[str]) -> list[str]:
    options = {"resultTypes": ["violations"], "runOnly": rules}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
