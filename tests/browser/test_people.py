"""Who sees what: a viewer, another team, whoever is not signed in; a reader without scripts, or without a mouse."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.stack import Stack, fail, make
from tests.browser.town import a_few, pages

READ = (
    "/",
    "/environments",
    "/environments/demo-api",
    "/environments/demo-api/access",
    "/environments/demo-api/drift",
)
DEEDS = (
    "/environments/demo-api/extend",
    "/environments/demo-api/keep",
    "/environments/demo-api/let-go",
    "/environments/demo-api/access",
    "/environments/demo-api/access/revoke",
    "/environments/demo-api/repair",
    "/environments/demo-api/change",
    "/environments/demo-api/change/confirm",
    "/environments/demo-api/delete",
    "/create/nodejs-api",
    "/create/nodejs-api/confirm",
    "/tokens",
)


def test_a_viewer_reads_everything_and_is_offered_nothing(visit: Visit, stack: Stack) -> None:
    stack.do(make(stack, "demo-api"))
    failed = stack.do(fail(stack, "broken-api"))
    page = visit.window(stack.session("viewer", person="vic"))
    for address in READ:
        page.goto(stack.url + address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        for name in ("Create environment", "Extend", "Keep", "Change", "Delete demo-api", "Grant", "Repair"):
            assert page.get_by_role("button", name=name).count() == 0
            assert page.get_by_role("link", name=name).count() == 0
    page.goto(f"{stack.url}/runs/{failed.request.event_id}")
    expect(page.get_by_text("What happened")).to_be_visible()
    assert page.get_by_role("button", name="Retry").count() == 0


@pytest.mark.parametrize(("role", "team", "status"), [("viewer", "payments", 403), ("developer", "search", 404)])
def test_posting_anyway_is_refused_and_changes_nothing(
    visit: Visit, stack: Stack, role: str, team: str, status: int
) -> None:
    stack.do(make(stack, "demo-api"))
    said = len(stack.rig.log.events_said)
    page = visit.window(stack.session(role, team, person="mallory"))  # type: ignore[arg-type]
    page.goto(f"{stack.url}/feedback")
    fields = {
        name: page.locator(f"form[action='/feedback'] input[name={name}]").input_value()
        for name in ("csrf_token", "request_key")
    }
    ours = [deed for deed in DEEDS if role == "viewer" or deed.startswith("/environments/")]
    for deed in ours:
        form: dict[str, str | float | bool] = {
            **fields,
            "ttl": "14d",
            "reason": "x",
            "confirm": "demo-api",
            "who": "eve",
            "role": "admin",
            "of": "person",
        }
        answer = page.request.post(stack.url + deed, form=form, headers={"Origin": stack.url})
        assert (deed, answer.status) == (deed, status)
    assert len(stack.rig.log.events_said) == said


def test_another_teams_environment_is_not_there(visit: Visit, stack: Stack) -> None:
    run = stack.do(make(stack, "demo-api")).request.event_id
    page = visit.window(stack.session("developer", "search", person="eve"))
    shown = set()
    for name in ("demo-api", "nobodys-api"):
        answer = page.goto(f"{stack.url}/environments/{name}")
        assert answer is not None
        assert answer.status == 404
        shown.add(page.locator("main").inner_text())
    assert len(shown) == 1
    for address in (f"/runs/{run}", f"/runs/{run}/log", f"/runs/{run}/trace", "/graph?environment=demo-api"):
        answer = page.goto(stack.url + address)
        assert answer is not None
        assert answer.status == 404
    page.goto(f"{stack.url}/environments")
    expect(page.get_by_text("No environments yet")).to_be_visible()


def test_a_form_of_another_session_is_refused(visit: Visit, stack: Stack) -> None:
    stack.do(make(stack, "demo-api"))
    page = visit.window(stack.session())
    form: dict[str, str | float | bool] = {"csrf_token": "forged", "request_key": "k", "confirm": "demo-api"}
    for headers in ({"Origin": stack.url}, {"Origin": "https://evil.test"}, {}):
        answer = page.request.post(f"{stack.url}/environments/demo-api/delete", form=form, headers=headers)
        assert answer.status == 403
    assert stack.rig.log.events_said[-1].kind == "environment_ready"


def test_whoever_is_not_signed_in_is_asked_to(visit: Visit, stack: Stack) -> None:
    page = visit.window(None)
    page.goto(f"{stack.url}/environments?kind=preview")
    assert "/sign-in?next=" in page.url
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_every_page_can_be_read_without_scripts(visit: Visit, stack: Stack) -> None:
    addresses = pages(stack.do(a_few(stack)))
    page = visit.window(stack.session("admin", "payments"), java_script_enabled=False)
    for name, address in addresses.items():
        answer = page.goto(stack.url + address)
        assert answer is not None
        assert (name, answer.status) == (name, 404 if name == "not-there" else 200)
        assert page.locator("h1").is_visible()
    page.goto(stack.url + addresses["log-busy"])
    expect(page.get_by_text("Waiting, retry at")).to_be_visible()
    page.goto(f"{stack.url}/environments")
    page.locator("select[name=state]").select_option("failed")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto(f"{stack.url}/create/nodejs-api")
    page.locator("select[name=kind]").select_option("production")
    page.get_by_role("button", name="Show the form of this kind").click()
    expect(page.get_by_text("Lives until somebody deletes it.")).to_be_visible()


def test_a_page_is_used_with_the_keyboard_alone(visit: Visit, stack: Stack) -> None:
    stack.do(make(stack, "demo-api"))
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/environments/demo-api")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    extend = page.locator("summary", has_text="Extend")
    for _ in range(6):
        page.keyboard.press("Tab")
        if extend.evaluate("element => element === document.activeElement"):
            break
    expect(extend).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Time from now")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Time from now")).to_be_hidden()
    expect(extend).to_be_focused()
    page.goto(f"{stack.url}/environments")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search environments")).to_be_focused()
    page.keyboard.type("demo")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{stack.url}/environments?q=demo")


def test_a_chosen_theme_stays_and_does_not_flash(visit: Visit, stack: Stack) -> None:
    page = visit.window(stack.session(), color_scheme="light")
    page.goto(stack.url)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.goto(f"{stack.url}/runs", wait_until="commit")
    page.wait_for_selector("body")
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(ground) == light


def test_what_somebody_typed_is_shown_and_never_run(visit: Visit, stack: Stack) -> None:
    evil = '<img src=x onerror="window.pwned=1">{{7*7}}\'"'
    stack.do(make(stack, "demo-api"))
    page = visit.window(stack.session())
    page.goto(f"{stack.url}/environments/demo-api")
    page.locator("summary", has_text="Keep").click()
    page.get_by_label("Why it shall have no end").fill(evil)
    page.get_by_role("button", name="Keep").click()
    expect(page.locator(".summary").get_by_text(evil)).to_be_visible()
    for address in (
        f"/environments?q={evil}",
        "/create/nodejs-api?name=" + evil,
        f"/graph?environment={evil}",
        f"/?done={evil}",
    ):
        page.goto(stack.url + address)
    assert page.evaluate("window.pwned") is None
