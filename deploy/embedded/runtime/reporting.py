"""Tells the gateway how applications do: the latest word on each environment, signed, until it is heard.

Invariant: what is told is the present, so a gateway that was away for an hour hears once of each environment; only of
releases that were gone back from it hears each.
"""

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import httpx
import structlog
from pydantic import SecretStr

from contracts.deployments import DeploymentOutcome, HealthReport, RunningState
from deploy.embedded.runtime.records import Mark

_log = structlog.get_logger(__name__)
PATH: Final = "/api/v1/webhooks/runtime"
SIGNATURE_HEADER: Final = "X-Slipway-Signature-256"
_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 15.0)


class Reporter:
    """Keeps the last word on each environment and delivers it."""

    def __init__(self, gateway_url: str, secret: SecretStr) -> None:
        self._http = httpx.AsyncClient(base_url=gateway_url, timeout=10, trust_env=False)
        self._secret = secret
        self._waiting: dict[str, HealthReport] = {}
        self._told: dict[str, tuple[object, ...]] = {}
        self._news = asyncio.Event()

    def tell(self, mark: Mark, state: RunningState, reason: str) -> None:
        """Deliver this soon, unless it was said last. A passing `unknown` is nobody's news."""
        word = (mark.incarnation, state, reason)
        if state == "unknown" or self._told.get(mark.environment) == word:
            return
        self._told[mark.environment] = word
        self._waiting[mark.environment] = _report(mark, state, reason)
        self._news.set()

    def tell_of(self, mark: Mark, state: RunningState, reason: str, went_back: DeploymentOutcome) -> None:
        """Deliver that the runtime went back to an earlier release by itself."""
        key = f"{mark.environment} {went_back.deployment_id}"
        self._waiting[key] = _report(mark, state, reason, went_back)
        self._news.set()

    def forget(self, environment: str) -> None:
        """The environment is gone: there is nothing more to say of it."""
        self._told.pop(environment, None)
        for key in [key for key, report in self._waiting.items() if report.environment == environment]:
            del self._waiting[key]

    async def run(self) -> None:
        """Deliver, for ever."""
        failures = 0
        while True:
            await self._news.wait()
            self._news.clear()
            for key, report in list(self._waiting.items()):
                if not await self._deliver(report):
                    failures += 1
                    self._news.set()
                    await asyncio.sleep(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS)) - 1])
                    continue
                failures = 0
                if self._waiting.get(key) is report:
                    del self._waiting[key]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _deliver(self, report: HealthReport) -> bool:
        """Whether it need not be said again."""
        body = report.model_dump_json().encode()
        digest = hmac.new(self._secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", SIGNATURE_HEADER: f"sha256={digest}"}
        try:
            answer = await self._http.post(PATH, content=body, headers=headers)
        except httpx.TransportError:
            return False
        if answer.is_success:
            return True
        if answer.status_code in {408, 429} or answer.status_code >= 500:
            return False
        _log.warning("the gateway refused a report", environment=report.environment, status=answer.status_code)
        return True


def _report(mark: Mark, state: RunningState, reason: str, went_back: DeploymentOutcome | None = None) -> HealthReport:
    return HealthReport(
        delivery=uuid4(),
        environment=mark.environment,
        incarnation=mark.incarnation,
        state=state,
        reason=reason,
        time=datetime.now(UTC),
        went_back=went_back,
    )
