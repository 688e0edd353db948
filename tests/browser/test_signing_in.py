"""A real browser signs in: through every redirect, with every policy in force that only a browser minds."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.people import Stage, start_stage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with start_stage(tmp_path_factory.mktemp("signing-in")) as running:
        yield running


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """An empty window; the browser complains of nothing in it."""
    context = chromium.new_context()
    context.set_default_timeout(20_000)
    complaints: list[str] = []
    window = context.new_page()
    window.on("pageerror", lambda error: complaints.append(str(error)))
    window.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    yield window
    context.close()
    assert not complaints


def sign_in(page: Page, stage: Stage, person: str) -> None:
    page.get_by_role("link", name="Sign in with").click()
    page.get_by_label("Name").fill(person)
    page.get_by_label("Password").fill(stage.provider.password(person))
    page.get_by_role("button", name="Sign in").click()


def test_a_browser_signs_in_and_out(page: Page, stage: Stage) -> None:
    wanted = f"{stage.platform.url}/cli/login?challenge={'c' * 43}&name=laptop"
    page.goto(wanted)
    assert "/sign-in?next=" in page.url
    sign_in(page, stage, "ann")
    page.wait_for_url(wanted)
    assert page.evaluate("document.cookie") == "", "no script sees the session"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in?signed-out=")
    page.goto(wanted)
    assert "/sign-in?next=" in page.url


def test_the_command_line_signs_in_by_the_browser_of_this_machine(page: Page, stage: Stage, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "XDG_CONFIG_HOME": str(tmp_path),
        "SLIPWAY_URL": stage.platform.url,
        "BROWSER": "true",
    }
    waiting = subprocess.Popen(
        [sys.executable, "-c", "from cli.main import main; main()", "login", "--browser"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert waiting.stderr is not None
        address = next(line.strip() for line in waiting.stderr if line.strip().startswith("http"))
        page.goto(address)
        sign_in(page, stage, "bob")
        page.get_by_role("button", name="Let it in").click()
        page.get_by_text("The command line has your answer").wait_for()
        assert waiting.wait(30) == 0
        assert "as bob: developer, search" in waiting.stderr.read()
    finally:
        if waiting.poll() is None:
            waiting.send_signal(signal.SIGKILL)
            waiting.wait()
