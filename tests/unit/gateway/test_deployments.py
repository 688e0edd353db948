"""Deploying over the gateway: who may, when, what is passed on, and what everybody learns of it."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import SecretStr

from chassis.clock import FixedClock
from contracts.deployments import ReleaseOrder
from contracts.signals import DeploymentRecorded, HealthChanged
from services.gateway.adapters.workflow_tokens import OidcWorkflowTokens
from services.gateway.domain.changes import UpgradeEnvironment
from services.gateway.domain.deployments import is_meant
from services.gateway.handlers.settling import Answered
from services.gateway.ports import WorkflowRefusedError
from tests import samples
from tests.unit.gateway.rig import RUNTIME_SECRET, Rig, ask, end, path, principal

ISSUER = "http://forge.test/_services/token"
COMMIT = "1234567890abcdef1234567890abcdef12345678"
NOTE = {"deployment_id": "1234567890ab-7-1", "commit": COMMIT, "branch": "main", "author": "ada"}
CLAIMS: dict[str, Any] = {
    "environment": "demo-api",
    "repository": "acme/demo-api",
    "repository_id": "1",
    "ref": "refs/heads/main",
    "event_name": "push",
    "sha": COMMIT,
}
TOKEN = "a.workflows.token"
PATH = "/api/v1/environments/demo-api/deployments"


def form(note: Any = NOTE, release: bytes = b"the release") -> list[tuple[str, tuple[str | None, bytes, str]]]:
    text = note if isinstance(note, bytes) else json.dumps(note).encode()
    return [
        ("deployment", (None, text, "application/json")),
        ("release", ("release.tgz", release, "application/gzip")),
    ]


async def ready(rig: Rig, name: str = "demo-api") -> None:
    end(rig, await rig.asking.create(principal(), ask(name), None), "ready")


@asynccontextmanager
async def workflow(rig: Rig, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The client of a workflow with these claims."""
    rig.workflows.known[TOKEN] = CLAIMS | changes
    async with rig.client(TOKEN) as client:
        yield client


def states(rig: Rig) -> list[str]:
    return [signal.data.state for signal in rig.signals.said.values() if isinstance(signal, DeploymentRecorded)]


async def test_a_workflow_deploys_to_its_own_environment_and_everybody_learns_of_it() -> None:
    rig = Rig()
    await ready(rig)
    async with workflow(rig) as client:
        answer = await client.post(PATH, files=form())

    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "deployment_id": NOTE["deployment_id"],
        "state": "succeeded",
        "url": "http://demo-api.slipway.localhost:8015",
        "commit": COMMIT,
        "duration_seconds": 1.0,
        "previous": None,
    }
    assert states(rig) == ["queued", "started", "succeeded"]
    [live] = rig.runtime.places["demo-api"].releases
    assert live.sha256 == hashlib.sha256(b"the release").hexdigest()


async def test_an_application_is_run_by_its_environments_version_whatever_is_on_offer() -> None:
    rig = Rig()
    await ready(rig)
    runtime = {"language": "nodejs", "version": "24", "start": ["node", "other.js"]}
    newer = path(version="2.0.0", runtime=runtime)
    for number, offered in enumerate(([newer], [])):
        rig.golden_paths.paths[:] = offered
        async with workflow(rig) as client:
            answer = await client.post(PATH, files=form(NOTE | {"deployment_id": f"before-{number}"}))
        assert answer.status_code == 200, answer.text
    rig.golden_paths.paths[:] = [newer]
    upgrade = await rig.asking.upgrade(principal(), "demo-api", UpgradeEnvironment(), None)
    assert isinstance(upgrade, Answered)
    end(rig, upgrade, "ready")
    async with workflow(rig) as client:
        await client.post(PATH, files=form(NOTE | {"deployment_id": "after"}))
    assert [order.runtime.start for order in rig.runtime.orders] == [
        ("node", "main.js"), ("node", "main.js"), ("node", "other.js")
    ]  # fmt: skip


async def test_the_same_deployment_told_again_is_answered_and_not_done_again() -> None:
    rig = Rig()
    await ready(rig)
    async with workflow(rig) as client:
        first = await client.post(PATH, files=form())
        again = await client.post(PATH, files=form(release=b"something else"))

    assert again.json() == first.json()
    assert states(rig) == ["queued", "started", "succeeded"]
    assert len(rig.runtime.places["demo-api"].releases) == 1


async def test_a_release_that_does_not_come_up_is_a_problem_with_its_last_lines() -> None:
    rig = Rig()
    await ready(rig)
    async with workflow(rig) as client:
        answer = await client.post(PATH, files=form(release=b"broken"))

    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "urn:slipway:problem:deployment_failed"
    assert problem["lines"] == ["it is broken"]
    assert "Nothing was live before" in problem["detail"]
    assert states(rig) == ["queued", "started", "failed"]


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": "other"},
        {"environment": None},
        {"repository_id": "2"},
        {"repository_id": None},
        {"ref": "refs/heads/feature"},
        {"ref": "refs/tags/main"},
        {"ref": "refs/pull/1/merge"},
        {"event_name": "pull_request"},
        {"event_name": "pull_request_target"},
    ],
)
async def test_a_token_for_something_else_opens_nothing(changes: dict[str, Any]) -> None:
    rig = Rig()
    await ready(rig)
    async with workflow(rig, **changes) as client:
        answer = await client.post(PATH, files=form())
        nowhere = await client.post("/api/v1/environments/nobodys/deployments", files=form())

    # What is somebody else's and what does not exist look alike.
    assert answer.status_code == nowhere.status_code == 404
    assert answer.json()["detail"] == nowhere.json()["detail"]
    assert states(rig) == []
    assert not rig.runtime.places


@pytest.mark.parametrize("shown", ["", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic eDp5", "Bearer slw_nobody"])
async def test_nobody_deploys_without_a_token(shown: str) -> None:
    rig = Rig()
    await ready(rig)
    async with rig.client() as client:
        answer = await client.post(PATH, files=form(), headers={"Authorization": shown})
    assert answer.status_code == 401
    assert states(rig) == []


async def test_a_workflows_token_opens_no_other_door() -> None:
    rig = Rig()
    await ready(rig)
    async with workflow(rig) as client:
        for method, path in (
            ("GET", "/api/v1/environments/demo-api"),
            ("GET", PATH),
            ("GET", "/api/v1/environments/demo-api/logs"),
            ("POST", "/api/v1/environments/demo-api:rollback"),
        ):
            assert (await client.request(method, path)).status_code == 401, path


async def test_people_deploy_where_they_are_developers() -> None:
    rig = Rig()
    await ready(rig)
    expected = {"developer": 200, "viewer": 403}
    for role, status in expected.items():
        async with rig.client(await rig.token(role)) as client:  # type: ignore[arg-type]
            answer = await client.post(PATH, files=form(NOTE | {"deployment_id": f"by-{role}"}))
            assert answer.status_code == status, answer.text
    async with rig.client(await rig.token("developer", "search")) as client:
        assert (await client.post(PATH, files=form())).status_code == 404


@pytest.mark.parametrize(
    ("note", "field"),
    [
        (NOTE | {"commit": "f" * 40}, "commit"),
        (NOTE | {"branch": "other"}, "branch"),
        (NOTE | {"deployment_id": "../../etc"}, "deployment.deployment_id"),
        (NOTE | {"author": "a b"}, "deployment.author"),
        ({}, "deployment.deployment_id"),
    ],
)
async def test_a_note_that_is_not_true_or_not_well_formed_is_refused(note: Any, field: str) -> None:
    rig = Rig()
    await ready(rig)
    async with workflow(rig) as client:
        answer = await client.post(PATH, files=form(note))
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert states(rig) == []


BOUNDARY = "x" * 20


def raw(*parts: tuple[str, bytes], end: bool = True) -> bytes:
    text = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in parts
    )
    return text + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


GOOD = json.dumps(NOTE).encode()


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (raw(("release", b"x"), ("deployment", GOOD)), None, 400),
        (raw(("deployment", GOOD), ("deployment", GOOD)), None, 400),
        (raw(("deployment", GOOD), ("release", b"x"), ("more", b"x")), None, 400),
        (raw(("deployment", GOOD)), None, 400),
        (raw(("deployment", GOOD), ("release", b"x"), end=False), None, 400),
        (raw(("deployment", b"{" * 100_000)), None, 413),
        (raw(("deployment", b'{"commit": "x", "commit": "y"}'), ("release", b"")), None, 400),
        (raw(("deployment", b"[]"), ("release", b"")), None, 422),
        (b"", None, 400),
        (b"--nonsense", None, 400),
        (b"{}", "application/json", 415),
        (raw(("deployment", GOOD), ("release", b"x")), "multipart/form-data", 415),
    ],
)
async def test_a_form_that_is_none_is_refused_and_nothing_runs(body: bytes, kind: str | None, status: int) -> None:
    rig = Rig()
    await ready(rig)
    headers = {"Content-Type": kind or f"multipart/form-data; boundary={BOUNDARY}"}
    async with workflow(rig) as client:
        answer = await client.post(PATH, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert not any(place.releases for place in rig.runtime.places.values())
    # Whoever was told that it is queued is told that it is over.
    assert states(rig) in ([], ["queued", "failed"], ["queued", "started", "failed"])


async def test_a_release_that_says_it_is_too_large_is_refused_unread() -> None:
    rig = Rig()
    await ready(rig)

    async def endless() -> AsyncIterator[bytes]:
        yield raw(("deployment", GOOD), end=False)
        raise AssertionError("it was read on")

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": str(300 << 20)}
    async with workflow(rig) as client:
        assert (await client.post(PATH, content=endless(), headers=headers)).status_code == 413


async def test_a_release_passes_through_in_pieces() -> None:
    rig = Rig()
    await ready(rig)
    pieces: list[int] = []

    @dataclass
    class Counting:
        inner: Any

        async def deploy(self, environment: str, order: ReleaseOrder, release: AsyncIterator[bytes]) -> Any:
            async def counted() -> AsyncIterator[bytes]:
                async for chunk in release:
                    pieces.append(len(chunk))
                    yield chunk

            return await self.inner.deploy(environment, order, counted())

    object.__setattr__(rig.gateway.deploying, "runtime", Counting(rig.runtime))
    whole = raw(("deployment", GOOD), ("release", b"a" * 3_000_000))

    async def sent() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 50_000):
            yield whole[start : start + 50_000]

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    async with workflow(rig) as client:
        assert (await client.post(PATH, content=sent(), headers=headers)).status_code == 200
    assert sum(pieces) == 3_000_000
    assert max(pieces) <= 50_000


async def test_an_environment_that_is_not_there_yet_is_waited_for_and_one_that_goes_is_not() -> None:
    rig = Rig()
    begun = await rig.asking.create(principal(), ask(), None)
    async with workflow(rig) as client:
        early = await client.post(PATH, files=form())
        assert early.status_code == 503
        assert early.headers["Retry-After"]
        end(rig, begun, "ready")
        assert (await client.post(PATH, files=form())).status_code == 200
        await rig.asking.delete(principal(), "demo-api", None)
        late = await client.post(PATH, files=form(NOTE | {"deployment_id": "late"}))
        assert late.status_code == 409
        assert late.json()["type"].endswith("not_deployable")


async def test_a_person_goes_back_to_what_was_live_before() -> None:
    rig = Rig()
    await ready(rig)
    token = await rig.token()
    async with rig.client(token) as client:
        for number in (1, 2):
            note = NOTE | {"deployment_id": f"d{number}", "commit": f"{number}" * 40}
            await client.post(PATH, files=form(note, f"{number}".encode()))
        rolled = await client.post("/api/v1/environments/demo-api:rollback", headers={"Idempotency-Key": "once"})
        assert rolled.status_code == 200, rolled.text
        assert rolled.json()["commit"] == "1" * 40
        again = await client.post("/api/v1/environments/demo-api:rollback", headers={"Idempotency-Key": "once"})
        assert again.json() == rolled.json()
        shown = (await client.get(PATH)).json()
        assert [one["state"] for one in shown["items"]] == ["succeeded"] * 3
        assert [one["live"] for one in shown["items"]] == [True, False, False]
        assert {one["commit"]: one["live"] for one in shown["releases"]} == {"1" * 40: True, "2" * 40: False}
        unknown = await client.post("/api/v1/environments/demo-api:rollback", json={"to": "abcdef1"})
        assert (unknown.status_code, unknown.json()["type"]) == (409, "urn:slipway:problem:no_such_release")
        printed = (await client.get("/api/v1/environments/demo-api/logs?lines=1")).json()
        assert len(printed["items"]) == 1
    async with rig.client(await rig.token("viewer")) as client:
        assert (await client.get(PATH)).status_code == 200
        assert (await client.get("/api/v1/environments/demo-api/logs")).status_code == 403
        assert (await client.post("/api/v1/environments/demo-api:rollback")).status_code == 403
    async with rig.client(await rig.token("developer", "search")) as client:
        for method, path in (("GET", PATH), ("GET", f"{PATH[:-11]}logs"), ("POST", f"{PATH[:-12]}:rollback")):
            assert (await client.request(method, path)).status_code == 404


async def test_the_runtimes_word_on_an_application_becomes_a_fact() -> None:
    rig = Rig()
    await ready(rig)
    view = await rig.log.environment("demo-api")
    assert view is not None

    async def report(secret: str = RUNTIME_SECRET, **changes: Any) -> httpx.Response:
        told = {
            "delivery": str(uuid4()),
            "environment": "demo-api",
            "incarnation": str(view.incarnation),
            "state": "down",
            "reason": "it ended with exit code 1",
            "time": samples.AT.isoformat(),
        }
        body = json.dumps(told | changes).encode()
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        async with rig.client() as client:
            return await client.post(
                "/api/v1/webhooks/runtime", content=body, headers={"X-Slipway-Signature-256": f"sha256={digest}"}
            )

    assert (await report()).json() == {"told": True}
    [fact] = rig.signals.said.values()
    assert isinstance(fact, HealthChanged)
    assert (fact.subject, fact.data.state, fact.data.check) == ("demo-api", "down", "runtime")
    assert (await report(incarnation=str(uuid4()))).json() == {"told": False}
    assert (await report("another secret")).status_code == 401
    assert (await report(state="excellent")).status_code == 422
    assert len(rig.signals.said) == 1

    back: dict[str, Any] = {}
    back |= {"deployment_id": "back-1", "release_id": "d1", "state": "succeeded", "commit": "1" * 40, "branch": "main"}
    back |= {"author": "bob", "at": samples.AT.isoformat(), "duration_seconds": 1.5, "previous": "2" * 40}
    for _ in range(2):  # told twice, said once
        assert (await report(state="healthy", went_back=back)).json() == {"told": True}
    [went_back] = [one for one in rig.signals.said.values() if isinstance(one, DeploymentRecorded)]
    said = went_back.data
    assert (said.deployment_id, said.state, said.commit) == ("back-1", "succeeded", "1" * 40)


# -- the tokens themselves


@dataclass
class WorkflowIssuer:
    """Signs workflows' tokens as GitHub does."""

    clock: FixedClock
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    asked: int = 0

    def tokens(self) -> OidcWorkflowTokens:
        return OidcWorkflowTokens(ISSUER, self.clock, httpx.MockTransport(self._answer))

    def token(self, header: dict[str, Any] | None = None, key: Any = None, **changes: Any) -> SecretStr:
        now = int(self.clock.now().timestamp())
        given = {"iss": ISSUER, "aud": "slipway", "iat": now, "nbf": now, "exp": now + 600, **CLAIMS, **changes}
        claims = {name: value for name, value in given.items() if value is not None}
        used = header or {"alg": "RS256", "kid": "one"}
        return SecretStr(jwt.encode(used, claims, key or self.key, algorithms=[used["alg"]]))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if request.url.path.endswith("/openid-configuration"):
            return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/.well-known/jwks"})
        return httpx.Response(200, json={"keys": [self.key.as_dict(private=False)]})


@pytest.fixture(scope="module")
def issuer() -> WorkflowIssuer:
    return WorkflowIssuer(FixedClock(samples.AT))


async def test_a_token_of_the_issuer_says_what_it_says(issuer: WorkflowIssuer) -> None:
    claims = await issuer.tokens().claims(issuer.token())
    assert claims["repository_id"] == "1"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "http://evil.test"},
        {"iss": f"{ISSUER}/"},
        {"aud": "api://default"},
        {"aud": ["slipway", "other"]},
        {"aud": None},
        {"exp": None},
        {"exp": "soon"},
        {"iat": None},
        {"exp": int(samples.AT.timestamp()) - 60},
        {"nbf": int(samples.AT.timestamp()) + 3600},
        {"iat": int(samples.AT.timestamp()) + 3600},
        {"exp": True},
    ],
)
async def test_a_token_with_a_claim_that_does_not_hold_is_refused(
    issuer: WorkflowIssuer, changes: dict[str, Any]
) -> None:
    with pytest.raises(WorkflowRefusedError):
        await issuer.tokens().claims(issuer.token(**changes))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def test_a_token_signed_in_any_other_way_is_refused(issuer: WorkflowIssuer) -> None:
    public = issuer.key.as_pem(private=False)
    mine = issuer.token().get_secret_value()
    head, claims, signature = mine.split(".")
    symmetric = _encoded(b'{"alg":"HS256","kid":"one"}')
    hostile = [
        SecretStr(f"{symmetric}.{claims}.{_encoded(hmac.digest(public, f'{symmetric}.{claims}'.encode(), 'sha256'))}"),
        issuer.token({"alg": "RS512", "kid": "one"}),
        issuer.token(key=RSAKey.generate_key(2048, {"kid": "one"})),
        issuer.token({"alg": "RS256", "kid": "unknown"}),
        SecretStr(f"{head}.{claims}."),
        SecretStr(f"eyJhbGciOiJub25lIn0.{claims}."),
        SecretStr(f"{head}.{claims}.{signature[:-4]}AAAA"),
        SecretStr("a.b.c"),
        SecretStr("." * 5000),
        SecretStr("a" * 20_000 + ".b.c"),
    ]
    tokens = issuer.tokens()
    for token in hostile:
        with pytest.raises(WorkflowRefusedError):
            await tokens.claims(token)


async def test_whoever_invents_keys_does_not_make_us_ask_again_and_again(issuer: WorkflowIssuer) -> None:
    tokens = issuer.tokens()
    await tokens.claims(issuer.token())
    before = issuer.asked
    for number in range(20):
        with pytest.raises(WorkflowRefusedError):
            await tokens.claims(issuer.token({"alg": "RS256", "kid": f"made-up-{number}"}))
    assert issuer.asked == before


async def test_before_its_pipeline_is_known_an_environment_goes_by_the_repositorys_name() -> None:
    rig = Rig()
    await rig.asking.create(principal(), ask(), None)
    view = await rig.log.environment("demo-api")
    assert view is not None
    assert view.pipeline is None
    assert is_meant(CLAIMS | {"repository": view.spec.repository, "ref": f"refs/heads/{view.spec.branch}"}, view)
    assert not is_meant(CLAIMS | {"repository": "evil/demo-api"}, view)
