"""What is done beside environments: feedback and what became of it, a rollout that is watched, runs that are found, a
webhook and its secret."""

import re
from dataclasses import replace
from uuid import UUID

from playwright.sync_api import expect

from contracts.feedback import TicketView
from contracts.signals import Reply
from services.gateway.domain.rollouts import Rollout
from tests.browser.conftest import Visit
from tests.browser.office import REHEARSED, roll_out
from tests.browser.stack import Stack, begin, fail, make
from tests.browser.test_living import on_the_loop


def test_feedback_gets_its_ticket_and_reply_without_a_reload(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/feedback?about=/runs")
    expect(page.get_by_text("Nothing yet")).to_be_visible()
    page.get_by_label("What is on your mind?").fill("The log is hard to read")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Passed on")).to_be_visible()

    [said] = stack.rig.signals.said
    now = stack.clock.now()
    ticket = TicketView(
        ticket="platform/feedback#1",
        title="The log is hard to read",
        url="https://forge.test/1",
        opened_at=now,
        replies=1,
        reply=Reply(author="grace", text="<b>Which</b> log?", at=now),
    )
    on_the_loop(stack, lambda: stack.rig.voices.tickets.update({said: ticket}))

    expect(page.get_by_text("<b>Which</b> log?")).to_be_visible()
    expect(page.get_by_role("link", name="platform/feedback#1")).to_have_attribute("href", "https://forge.test/1")
    expect(page.locator("#mine")).not_to_have_attribute("hx-trigger", re.compile("."))


def test_a_survey_that_was_put_off_is_not_asked_on_another_device(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/feedback")
    page.get_by_role("button", name="Not now").click()
    expect(page.get_by_text("You did not want to be asked")).to_be_visible()
    phone = visit.window(stack.session(), viewport={"width": 390, "height": 800})
    phone.goto(f"{stack.url}/feedback")
    expect(phone.get_by_text("You did not want to be asked")).to_be_visible()
    phone.get_by_role("link", name="Answer after all").click()
    phone.get_by_label("5, very").check()
    phone.get_by_role("button", name="Answer", exact=True).click()
    expect(phone.get_by_text("You answered")).to_be_visible()


def test_a_rollout_is_followed_without_a_reload_and_the_focus_stays(visit: Visit, stack: Stack) -> None:
    on_the_loop(stack, lambda: roll_out(stack))
    page = visit.window(stack.session("admin", person="pat"))
    page.goto(f"{stack.url}/rollouts/{REHEARSED}")
    page.get_by_role("button", name="Upgrade 4 environments").click()
    expect(page.locator("h1 + span")).to_have_text("Running")
    page.evaluate("window.neverReloaded = true")
    page.locator("#do-pause").focus()

    def one_is_upgraded() -> None:
        before: Rollout = stack.rig.rollout_store.rows[REHEARSED]
        first, *others = before.members
        upgraded = replace(first, state="upgraded", run_id=UUID(int=9))
        rows = stack.rig.rollout_store.rows
        rows[REHEARSED] = replace(before, members=(upgraded, *others), revision=before.revision + 1)

    on_the_loop(stack, one_is_upgraded)
    expect(page.get_by_text("1 upgraded ·")).to_be_visible()
    expect(page.locator("#do-pause")).to_be_focused()
    assert page.evaluate("window.neverReloaded")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Paused by pat.")).to_be_visible()


def test_runs_are_found_with_the_keyboard_and_the_address_says_how(visit: Visit, stack: Stack) -> None:
    stack.do(make(stack, "demo-api"))
    stack.do(fail(stack, "broken-api"))
    stack.do(begin(stack, "busy-api", person="bob"))
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/runs")
    page.get_by_label("State").focus()
    page.keyboard.type("Fail")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("state=failed"))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Asked for by me").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert "state=failed" in page.url
    page.get_by_label("Environment contains").fill("busy")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No run is like this")).to_be_visible()
    shared = visit.window(stack.session(person="bob"))
    shared.goto(page.url)
    shared.get_by_role("link", name="Drop: Failed").click()
    expect(shared.locator("tbody")).to_contain_text("busy-api")


def test_a_webhooks_secret_is_shown_once_and_a_test_says_what_came_back(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/webhooks")
    page.get_by_label("Address").fill("https://ci.example.com/hook")
    page.get_by_label("Ready").check()
    page.get_by_role("button", name="Make the webhook").click()
    expect(page.get_by_text(re.compile("^whsec_"))).to_be_visible()
    page.get_by_role("link", name="Webhooks").first.click()
    page.get_by_role("link", name="ci.example.com/hook").click()
    assert "whsec_" not in page.content()
    stack.rig.notifier.answers = 503
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("The test did not arrive")).to_be_visible()
    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete the webhook").click()
    expect(page.get_by_text("No webhooks yet")).to_be_visible()
