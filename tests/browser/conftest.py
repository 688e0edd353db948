"""A real browser, and gateways for it to look at."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.stack import Stack

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
PATIENCE_MS = 30_000
"""Only what fails takes so long: other tests run beside these."""
STATUSES = ("Failed to load resource: the server responded", "Response Status Error Code")
"""How the browser and htmx tell of an answer that is a refusal, or "not yet". It is the page's to show, and no fault of
the page."""


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The browser. It ends with these tests: as long as it is there, Playwright's own loop runs in this thread, and no
    asynchronous test can."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}: install Debian's `chromium`, or name another in CHROMIUM")
    # Python's own way to show an error lists every local variable: minutes, for a log with hundreds of events.
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()
    structlog.reset_defaults()


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A gateway of one's own, with nothing in it."""
    found = Stack()
    found.start()
    yield found
    found.stop()


class Visit:
    """Opens windows of people who are signed in, and closes them."""

    def __init__(self, browser: Browser, stack: Stack) -> None:
        self.browser = browser
        self.stack = stack
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        """What the browser itself complained of."""

    def window(self, session: str | None, **options: object) -> Page:
        """A new window, signed in with this session."""
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        if session is not None:
            context.add_cookies([{"name": "slipway_session", "value": session, "url": self.stack.url}])
        self.contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._hear(message.type, message.text))
        return page

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not text.startswith(STATUSES):
            self.complaints.append(text)

    def close(self) -> None:
        """Close every window."""
        for context in self.contexts:
            context.close()


@pytest.fixture
def visit(chromium: Browser, stack: Stack) -> Iterator[Visit]:
    """Windows onto a gateway of one's own."""
    found = Visit(chromium, stack)
    yield found
    found.close()
    assert not found.complaints
