"""The local runtime over HTTP. A release goes through in chunks; nothing of it is kept here."""

import json
from collections.abc import AsyncIterator
from typing import Final

import httpx
from pydantic import SecretStr

from chassis.failures import PermanentError, TransientError
from contracts.deployments import (
    MAX_RELEASE_BYTES,
    RELEASE_HEADER,
    DeploymentOutcome,
    OutputLine,
    ReleaseOrder,
    Rollback,
    SlotView,
)
from services.gateway.domain.refusals import TooLargeError
from services.gateway.ports import NothingToGoBackToError

_DEPLOY_TIMEOUT: Final = httpx.Timeout(600, connect=5)
"""A release is unpacked, started, watched; whoever is before it in the queue may take as long."""
_TIMEOUT: Final = httpx.Timeout(15, connect=5)


class HttpRuntime:
    """Fulfils `ports.Runtime`."""

    def __init__(self, url: str, token: SecretStr) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token.get_secret_value()}"},
            timeout=_TIMEOUT,
            trust_env=False,  # a neighbour on this machine
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def deploy(self, environment: str, order: ReleaseOrder, release: AsyncIterator[bytes]) -> DeploymentOutcome:
        """See the port."""
        answer = await self._send(
            "PUT",
            f"/slots/{environment}/releases/{order.deployment_id}",
            content=release,
            # ASCII whatever it says: a header has no other characters.
            headers={RELEASE_HEADER: json.dumps(order.model_dump(mode="json")), "Content-Type": "application/gzip"},
            timeout=_DEPLOY_TIMEOUT,
        )
        if answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            raise TooLargeError(f"A release has {MAX_RELEASE_BYTES >> 20} MiB at most.")
        return DeploymentOutcome.model_validate_json(_checked(answer).content)

    async def roll_back(self, environment: str, rollback: Rollback) -> DeploymentOutcome:
        """See the port."""
        body = rollback.model_dump_json()
        answer = await self._send(
            "POST", f"/slots/{environment}:rollback", content=body.encode(), timeout=_DEPLOY_TIMEOUT
        )
        if answer.status_code == httpx.codes.CONFLICT:
            raise NothingToGoBackToError(str(answer.json().get("detail", "")))
        return DeploymentOutcome.model_validate_json(_checked(answer).content)

    async def look(self, environment: str) -> SlotView | None:
        """See the port."""
        answer = await self._send("GET", f"/slots/{environment}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return SlotView.model_validate_json(_checked(answer).content)

    async def output(self, environment: str, lines: int, *, follow: bool) -> AsyncIterator[OutputLine]:
        """See the port."""
        timeout = httpx.Timeout(15, connect=5, read=None) if follow else _TIMEOUT
        parameters = {"lines": str(lines), "follow": "true" if follow else "false"}
        try:
            async with self._http.stream(
                "GET", f"/slots/{environment}/logs", params=parameters, timeout=timeout
            ) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    return
                if not answer.is_success:
                    raise TransientError(f"the runtime answered {answer.status_code}")
                async for text in answer.aiter_lines():
                    if text:
                        yield OutputLine.model_validate_json(text)
        except httpx.HTTPError as error:
            raise TransientError(f"the runtime does not answer ({type(error).__name__})") from error

    async def _send(self, method: str, path: str, **arguments: object) -> httpx.Response:
        try:
            return await self._http.request(method, path, **arguments)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            raise TransientError(f"the runtime does not answer ({type(error).__name__})") from error


def _checked(answer: httpx.Response) -> httpx.Response:
    """The answer, where it is one. Raises `TransientError`, and `PermanentError` where it did not understand us."""
    if answer.is_success:
        return answer
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        raise PermanentError(
            "runtime_refused", f"the runtime refused: {answer.text[:300]}", next_step="Tell the platform team."
        )
    raise TransientError(f"the runtime answered {answer.status_code}")
