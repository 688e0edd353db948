"""The life of an environment by clicks: asked for, watched without a reload, extended, shared, deleted by its name."""

import re
from collections.abc import Callable
from functools import partial

from playwright.sync_api import Page, expect

from contracts.events import EnvironmentRequested
from contracts.plans import PlannedChange
from contracts.step_log import Waiting
from contracts.values import Resource
from services.gateway.domain.requests import AcceptedRequest
from services.gateway.handlers.settling import Answered
from tests.browser.conftest import Visit
from tests.browser.stack import STEPS, Stack, fail, make, step, write
from tests.browser.town import a_few
from tests.unit.gateway.rig import end


def on_the_loop(stack: Stack, work: Callable[[], object]) -> None:
    """Do this where the gateway runs."""

    async def do() -> None:
        work()

    stack.do(do())


def begun(stack: Stack, page: Page) -> Answered:
    """The request behind the run that is shown."""
    run_id = page.url.rpartition("/")[2]
    request: AcceptedRequest = next(row for row in stack.rig.requests.rows.values() if str(row.event_id) == run_id)
    return Answered(request)


def ask_for(page: Page, stack: Stack, name: str) -> None:
    """Fill in the form, look at the review, agree."""
    page.goto(f"{stack.url}/")
    page.get_by_role("link", name="Create environment").click()
    page.get_by_role("link", name="Node.js API").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.get_by_role("button", name="Create").click()
    page.wait_for_url(re.compile("/runs/"))


def test_an_environment_is_created_by_clicks_and_becomes_ready_without_a_reload(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    ask_for(page, stack, "demo-api")
    page.evaluate("window.neverReloaded = true")
    answered = begun(stack, page)
    steps = page.get_by_role("list", name="Steps").get_by_role("listitem")
    expect(steps.nth(0)).to_contain_text("Running")
    for done in STEPS:
        on_the_loop(stack, partial(step, stack, answered, done))
        expect(page.locator("[data-log]")).to_contain_text(f"{done} of demo-api is there")
    expect(steps.nth(2)).to_contain_text("Done")
    on_the_loop(stack, lambda: end(stack.rig, answered, "ready"))

    expect(page.get_by_text("It is ready")).to_be_visible()
    expect(steps.nth(3)).to_contain_text("Succeeded")
    expect(page.get_by_role("link", name="Open", exact=True)).to_be_visible()
    assert page.evaluate("window.neverReloaded")
    assert page.locator("[data-log] li").count() == 3


def test_the_environments_page_follows_its_run(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    ask_for(page, stack, "demo-api")
    answered = begun(stack, page)
    page.goto(f"{stack.url}/environments/demo-api")
    expect(page.get_by_text("Creating")).to_be_visible()
    for done in STEPS:
        on_the_loop(stack, partial(step, stack, answered, done))
    on_the_loop(stack, lambda: end(stack.rig, answered, "ready"))
    expect(page.locator(".title").get_by_text("Ready")).to_be_visible()


def test_nothing_is_taken_from_whoever_types_while_a_run_goes_on(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    ask_for(page, stack, "demo-api")
    answered = begun(stack, page)
    page.goto(f"{stack.url}/environments/demo-api")
    page.locator("summary", has_text="Keep").click()
    reason = page.get_by_label("Why it shall have no end")
    reason.fill("Half a sen")
    with page.expect_response(lambda answer: "after=" in answer.url):
        for done in STEPS:
            on_the_loop(stack, partial(step, stack, answered, done))
        on_the_loop(stack, lambda: end(stack.rig, answered, "ready"))
    expect(reason).to_have_value("Half a sen")
    page.keyboard.press("Escape")
    expect(page.locator(".title").get_by_text("Ready")).to_be_visible()


def test_a_page_that_is_ahead_of_the_catalogue_waits_for_it(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    ask_for(page, stack, "demo-api")
    answered = begun(stack, page)
    stack.rig.log.folded = len(stack.rig.log.events_said)  # from now on it lags
    for done in STEPS:
        on_the_loop(stack, partial(step, stack, answered, done))
    on_the_loop(stack, lambda: end(stack.rig, answered, "ready"))
    expect(page.locator("[data-log]")).to_contain_text("pipeline of demo-api is there")
    expect(page.get_by_text("It is ready")).to_be_hidden()
    stack.rig.log.folded = None
    expect(page.get_by_text("It is ready")).to_be_visible()


def test_what_waits_says_until_when_and_is_not_told_as_failed(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    ask_for(page, stack, "demo-api")
    answered = begun(stack, page)
    waiting = Waiting(attempt=1, attempts=5, retry_at=stack.clock.now())
    on_the_loop(stack, lambda: write(stack, answered, "infrastructure", "It is away", waiting=waiting))
    first = page.get_by_role("list", name="Steps").get_by_role("listitem").nth(0)
    expect(first).to_contain_text(re.compile(r"Waiting, retry at \d\d:\d\d:\d\d, attempt 2 of 5"))
    expect(first.get_by_text("Running")).to_be_hidden()
    assert "Failed" not in first.inner_text()


def test_a_click_that_is_made_twice_makes_one_environment(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/create/nodejs-api?name=demo-api")
    page.get_by_role("button", name="Review").click()
    form = page.locator("form[action$='/confirm']")
    fields = form.evaluate("form => Object.fromEntries(new FormData(form))")
    headers = {"Origin": stack.url}
    answers = [page.request.post(f"{stack.url}/create/nodejs-api/confirm", form=fields, headers=headers) for _ in "12"]
    assert len({answer.url for answer in answers}) == 1
    assert len(stack.rig.log.events_said) == 1


def test_nothing_typed_is_lost_and_an_error_stands_beside_its_field(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/create/nodejs-api")
    page.get_by_label("Name", exact=True).fill("Not A Name")
    page.get_by_label("Branch").fill("feature/x")
    page.get_by_label("Instances").fill("99")
    page.get_by_role("button", name="Review").click()
    name = page.get_by_label("Name", exact=True)
    expect(name).to_have_value("Not A Name")
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#wrong-name")).to_contain_text("must be a DNS label")
    expect(page.get_by_label("Branch")).to_have_value("feature/x")
    expect(page.get_by_label("Instances")).to_have_value("99")
    expect(page.get_by_text("Nothing was changed.")).to_be_visible()


def test_an_application_in_a_directory_is_asked_for_by_it(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/create/nodejs-api?name=demo-api")
    expect(page.get_by_label("Directory")).to_be_hidden()
    page.get_by_text("One of several applications in the repository").click()
    page.get_by_label("Directory").fill("../orders")
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_label("Directory")).to_have_value("../orders")
    expect(page.locator("#wrong-path")).to_contain_text("a path within a repository")
    page.get_by_label("Directory").fill("services/orders")
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text("services/orders")).to_be_visible()
    page.get_by_role("button", name="Create").click()
    page.wait_for_url(re.compile("/runs/"))
    (said,) = stack.rig.log.events_said
    assert isinstance(said, EnvironmentRequested)
    assert said.data.spec.path == "services/orders"


def test_the_form_follows_the_kind_and_keeps_what_was_typed(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/create/nodejs-api")
    page.get_by_label("Name", exact=True).fill("demo-api")
    expect(page.get_by_text("Lives 7 days")).to_be_visible()
    page.get_by_label("Kind").select_option("production")
    expect(page.get_by_text("Lives until somebody deletes it.")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("demo-api")


def test_an_outdated_plan_is_shown_anew_and_nothing_begins(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/create/nodejs-api?name=demo-api")
    page.get_by_role("button", name="Review").click()
    stack.rig.planner.changes += (PlannedChange(action="create", resource=Resource(kind="dns_record", id="demo")),)
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("The plan is outdated")).to_be_visible()
    expect(page.get_by_text("+4")).to_be_visible()
    assert stack.rig.log.events_said == []
    page.get_by_role("button", name="Create").click()
    page.wait_for_url(re.compile("/runs/"))


def test_an_environment_is_extended_kept_and_let_go(visit: Visit, stack: Stack) -> None:
    stack.do(make(stack, "demo-api"))
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/environments/demo-api")
    page.locator("summary", has_text="Extend").click()
    page.get_by_label("Time from now").select_option("14d")
    page.get_by_role("button", name="Extend").click()
    expect(page.get_by_text("It has more time now.")).to_be_visible()
    expect(page.locator("time[data-left]")).to_contain_text("14 days")

    page.locator("summary", has_text="Keep").click()
    page.get_by_label("Why it shall have no end").fill("A demonstration on Friday")
    page.get_by_role("button", name="Keep").click()
    expect(page.locator(".summary").get_by_text("A demonstration on Friday")).to_be_visible()
    page.get_by_role("button", name="Give it an end again").click()
    expect(page.get_by_text("It has an end again.")).to_be_visible()


def test_more_time_than_there_may_be_is_refused_with_what_is_possible(visit: Visit, stack: Stack) -> None:
    stack.do(make(stack, "demo-api"))
    stack.clock.moved = stack.clock.moved * 0
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/environments/demo-api")
    page.locator("summary", has_text="Extend").click()
    page.get_by_label("Time from now").select_option("1d")
    page.get_by_role("button", name="Extend").click()
    expect(page.get_by_role("alert")).to_contain_text("must be more than")


def test_access_is_granted_by_a_form(visit: Visit, stack: Stack) -> None:
    stack.do(make(stack, "demo-api"))
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/environments/demo-api/access")
    page.get_by_label("To", exact=True).select_option("team")
    page.get_by_label("Name", exact=True).fill("search")
    page.get_by_role("button", name="Grant").click()
    expect(page.get_by_text("The grant is asked for")).to_be_visible()
    asked = stack.rig.log.events_said[-1]
    assert (asked.kind, getattr(asked, "data").team) == ("access_requested", "search")  # noqa: B009 - of any event


def test_an_environment_is_deleted_by_typing_its_name(visit: Visit, stack: Stack) -> None:
    stack.do(make(stack, "demo-api"))
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/environments/demo-api")
    page.get_by_role("link", name="Delete demo-api").click()
    expect(page.get_by_text("apps/env_demo_api")).to_be_visible()
    button = page.get_by_role("button", name="Delete demo-api")
    expect(button).to_be_disabled()
    page.get_by_label("Type demo-api to delete it").fill("demo-ap")
    expect(button).to_be_disabled()
    page.get_by_label("Type demo-api to delete it").fill("demo-api")
    button.click()
    page.wait_for_url(re.compile("/runs/"))
    on_the_loop(stack, lambda: end(stack.rig, begun(stack, page), "deleted"))
    expect(page.get_by_text("It is gone")).to_be_visible()


def test_a_failed_run_says_what_to_do_and_is_tried_again_or_started_over(visit: Visit, stack: Stack) -> None:
    failed = stack.do(fail(stack, "demo-api"))
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/runs/{failed.request.event_id}")
    expect(page.get_by_text("What happened")).to_be_visible()
    expect(page.get_by_text("Next step")).to_be_visible()
    page.get_by_role("link", name="Start over").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("demo-api")
    page.go_back()
    page.get_by_role("button", name="Retry").click()
    page.wait_for_url(re.compile(f"/runs/(?!{failed.request.event_id})"))
    expect(page.get_by_text("tried again")).to_be_visible()


def test_a_run_is_called_off(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    ask_for(page, stack, "demo-api")
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_text("Called off by ada")).to_be_visible()


def test_the_slider_shows_another_moment_without_a_reload(visit: Visit, stack: Stack) -> None:
    stack.do(make(stack, "demo-api"))
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/environments/demo-api")
    page.get_by_text("Time travel").click()
    expect(page.locator("#travel-result")).to_contain_text("Ready")
    slider = page.get_by_label(re.compile("^and"))
    slider.focus()
    for _ in "1234":
        slider.press("ArrowLeft")
    expect(page.locator("#travel-result")).to_contain_text("Nothing changed between these two.")


def test_an_earlier_release_is_made_live_again_by_a_click(visit: Visit, stack: Stack) -> None:
    stack.do(a_few(stack))
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/environments/demo-api/deployments")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("The earlier release is live again.")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("0000000 live rollback"))).to_be_visible()


def test_a_token_is_shown_once_and_can_be_revoked(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/tokens")
    page.get_by_label("What it is for").fill("ci")
    page.get_by_role("button", name="Make the token").click()
    token = page.get_by_text(re.compile("^slw_")).inner_text()
    me = page.request.get(f"{stack.url}/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["person"] == "ada"
    page.goto(f"{stack.url}/tokens")
    assert token not in page.content()
    page.get_by_role("button", name="Revoke ci").click()
    expect(page.get_by_text("Revoked", exact=True)).to_be_visible()
    again = page.request.get(f"{stack.url}/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert again.status == 401
