"""The description of the API (OpenAPI) and the API say the same: whatever is asked, what comes back is described.

For every operation requests are made up from its description, valid ones and broken ones, the same at every run. They
are asked of the gateway on its twins, half of them about things that are there.
"""

import asyncio
import copy
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final

import httpx
import pytest
import requests
import schemathesis
import structlog.testing
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.gateway.api.application import ENDPOINTS
from services.gateway.api.problems import MEDIA_TYPE
from services.gateway.api.routing import Endpoint
from services.gateway.domain.admission import CreateToken
from services.gateway.domain.hooks import CreateHook
from tests.unit.gateway.rig import Rig, ask, end, principal

DESCRIBED: Final = [endpoint for endpoint in ENDPOINTS if endpoint.in_schema]
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
BASE_URL: Final = "http://slipway.test"
EXAMPLES: Final = 5
ANSWER_SECONDS: Final = 10
FOLLOWING: Final = "follow"
"""What makes an answer without an end; nobody waits for that here."""
_SAYS_LITTLE: Final = {"type", "title", "description"}
AnyCase = Case[Any]
Operation = APIOperation[Any, Any, Any, Any]


@schemathesis.serializer("application/gzip")
def as_it_is(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """An archive, or what is none, goes as it was made up."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


class Api:
    """The gateway's application, described and asked. What a request changes is forgotten before the next operation."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._rig = Rig()
        self._app = self._rig.app
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(self._app, raise_app_exceptions=False))
        description = copy.deepcopy(self._app.openapi())
        for path in description["paths"].values():
            for operation in path.values():
                operation.pop("security", None)  # who asks is ours to say; what is broken shall be something else
        schema: BaseSchema = schemathesis.openapi.from_dict(description)
        self.operations: dict[tuple[str, str], Operation] = {}
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            one = found.ok()
            self.operations[one.method.upper(), one.path] = one
        self.there: dict[str, str] = {}
        """Things that are there, by the collection that they are in."""

    def close(self) -> None:
        """End its connections and its loop."""
        self._runner.run(self._client.aclose())
        self._runner.close()

    def begin(self) -> None:
        """Forget everything; then have one environment that is ready, and another one whose creation failed."""
        self._runner.run(self._begin())

    async def _begin(self) -> None:
        rig = self._rig = Rig(token_store=self._rig.token_store)
        self._app.state.gateway = rig.gateway
        ready = await rig.asking.create(principal(), ask("demo-api"), None)
        end(rig, ready, "ready")
        failed = await rig.asking.create(principal(), ask("sad-api"), None)
        end(rig, failed, "failed")
        hook = await rig.gateway.notifying.create(
            principal(), CreateHook(url="https://hooks.example.com/slipway"), None
        )
        sent = rig.notifier.deliver(hook.webhook.id, "environment_ready", "demo-api")
        token, _ = await rig.tokens.create(principal(), CreateToken(name="another"))
        self.there = {
            "environments": "demo-api",
            "golden-paths": "nodejs-api",
            "runs": str(failed.request.event_id),
            "webhooks": str(hook.webhook.id),
            "deliveries": str(sent.id),
            "tokens": token.id,
        }

    def ask(self, case: AnyCase, *, token: bool = True) -> httpx.Response:
        """The answer, as somebody of the team `payments` or as nobody."""
        return self._runner.run(self._ask(case, token=token))

    async def _ask(self, case: AnyCase, *, token: bool) -> httpx.Response:
        prepared = requests.Request(**case.as_transport_kwargs(base_url=BASE_URL)).prepare()
        headers = {name: value for name, value in prepared.headers.items() if name.lower() != "authorization"}
        if token:
            headers["Authorization"] = f"Bearer {await self._rig.token()}"
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._client.request(
                str(prepared.method), str(prepared.url), headers=headers, content=prepared.body
            )


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    found = Api()
    with structlog.testing.capture_logs():  # the log of one failure, with all it knows, takes seconds to write
        yield found
    found.close()


def _id(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def _examples(check: Callable[[st.DataObject], None]) -> Callable[[], None]:
    """Run `check` on a few requests, always the same."""
    calm = settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return calm(given(st.data())(check))


@pytest.mark.parametrize("endpoint", DESCRIBED, ids=_id)
def test_what_is_asked_as_described_is_answered_as_described(api: Api, endpoint: Endpoint) -> None:
    operation = api.operations[endpoint.method, endpoint.path]
    api.begin()

    @_examples
    def check(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy())
        case.query = {name: value for name, value in (case.query or {}).items() if name != FOLLOWING}
        if data.draw(st.booleans()):
            case.path_parameters = {**(case.path_parameters or {}), **_that_are_there(api, endpoint.path)}
        response = api.ask(case)
        case.validate_response(response, checks=CHECKS)
        _check_problem(response)

    check()


@pytest.mark.parametrize("endpoint", DESCRIBED, ids=_id)
def test_what_is_asked_otherwise_is_refused_as_described(api: Api, endpoint: Endpoint) -> None:
    operation = api.operations[endpoint.method, endpoint.path]
    api.begin()

    @_examples
    def check(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        if "{name}" in endpoint.path:  # any text may stand there, so it is not what is broken
            case.path_parameters = {**(case.path_parameters or {}), **_that_are_there(api, endpoint.path)}
        response = api.ask(case)
        case.validate_response(response, checks=[*CHECKS, negative_data_rejection])
        _check_problem(response)

    if _can_be_broken(operation):
        check()


def _can_be_broken(operation: Operation) -> bool:
    """Whether there is any way to ask that is not as described: it takes more than free texts."""
    parameters = operation.definition.raw.get("parameters", ())
    return "requestBody" in operation.definition.raw or not all(_is_free_text(one["schema"]) for one in parameters)


def _is_free_text(schema: dict[str, Any]) -> bool:
    kinds = schema.get("anyOf", [schema])
    return all(kind.keys() <= _SAYS_LITTLE and kind["type"] in {"string", "null"} for kind in kinds)


def _that_are_there(api: Api, path: str) -> dict[str, str]:
    """Values for a path's parameters that name something."""
    parts = path.replace(":", "/").split("/")
    return {
        part.strip("{}"): api.there[collection]
        for collection, part in pairwise(parts)
        if part.startswith("{") and collection in api.there
    }


def _check_problem(response: httpx.Response) -> None:
    if response.status_code >= 400:
        assert response.headers["content-type"] == MEDIA_TYPE
        assert response.json()["status"] == response.status_code


@pytest.mark.parametrize("endpoint", [one for one in DESCRIBED if one.policy.role is not None], ids=_id)
def test_nobody_is_told_to_say_who_they_are(api: Api, endpoint: Endpoint) -> None:
    operation = api.operations[endpoint.method, endpoint.path]
    case = operation.Case(path_parameters=dict.fromkeys(re.findall(r"{(\w+)}", endpoint.path), "x"))
    response = api.ask(case, token=False)
    assert response.status_code == 401
    case.validate_response(response, checks=CHECKS)
    assert response.headers["www-authenticate"].startswith("Bearer")
    _check_problem(response)
