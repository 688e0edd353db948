"""The systems outside that are told, over HTTP.

Invariants
- A host is looked up once for a call; its addresses are judged, and the call goes to one of those very addresses. A
  name that leads elsewhere a moment later leads nowhere here, and TLS is verified against the name all the same.
- No redirect is followed, no proxy of the environment is used, and no connection is used twice: the next call may be
  for another host at the same address.
- A call takes `timeout_seconds` in all, and of its answer no more than 4 KB are read.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Final

import httpx
from opentelemetry.trace import SpanKind
from standardwebhooks.webhooks import Webhook as Signer

from chassis import tracing
from services.notifier.domain.receivers import Address, Network, RefusedUrlError, Target, check, parse
from services.notifier.domain.webhooks import ANSWER_BYTES, ANSWER_SHOWN, Reply
from services.notifier.ports import Call, UnreachableError

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
"""CloudEvents HTTP binding, structured mode."""
_LOOK_UP_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 4.0
"""To one address; then the next one of the host is tried."""
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but the tab and the line's end: NUL cannot be stored, and none is worth showing."""

LookUp = Callable[[str, int], Awaitable[Sequence[Address]]]
"""The addresses of a host, for a port. Raises OSError where there are none."""


async def look_up(host: str, port: int) -> list[Address]:
    """As the operating system does."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(place[0]).partition("%")[0]) for *_, place in found))


class HttpReceivers:
    """Fulfils `ports.Receivers`."""

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        timeout_seconds: float = 10.0,
        look_up: LookUp = look_up,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`allowed` are networks that may be called besides the public internet, also without TLS; `tls` says which
        authorities are trusted (by default the system's)."""
        self._allowed = tuple(allowed)
        self._timeout_seconds = timeout_seconds
        self._look_up = look_up
        self._client = httpx.AsyncClient(
            verify=tls if tls is not None else ssl.create_default_context(),
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            headers={"User-Agent": "Slipway", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"},
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def check(self, url: str) -> str:
        """See the port."""
        target = parse(url)
        try:
            async with asyncio.timeout(_LOOK_UP_SECONDS):
                addresses = await self._addresses(target)
        except (OSError, TimeoutError):
            addresses = ()
        check(target, addresses, self._allowed)
        return target.url

    async def post(self, call: Call) -> Reply:
        """See the port."""
        attributes = {"http.request.method": "POST", "slipway.event_id": str(call.event_id)}
        with tracing.span("webhook POST", kind=SpanKind.CLIENT, parent=call.traceparent, attributes=attributes) as span:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    reply = await self._post(call, parse(call.url))
            except RefusedUrlError as error:
                raise UnreachableError(f"Nothing was sent: the URL {error.rule}") from error
            except (TimeoutError, httpx.TimeoutException) as error:
                raise UnreachableError(f"It did not answer within {self._timeout_seconds:g} seconds.") from error
            except socket.gaierror as error:
                raise UnreachableError("Its host cannot be found. Check the name and its DNS records.") from error
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                raise UnreachableError(_why(error)) from error
            span.set_attribute("http.response.status_code", reply.status_code)
            return reply

    async def _post(self, call: Call, target: Target) -> Reply:
        addresses = await self._addresses(target)
        check(target, addresses, self._allowed)
        failure: httpx.TransportError | None = None
        for address in addresses:
            try:
                return await self._post_to(address, call, target)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # the next address may be alive
                failure = error
        raise failure or socket.gaierror("no address")

    async def _post_to(self, address: Address, call: Call, target: Target) -> Reply:
        host = f"[{address}]" if address.version == 6 else str(address)
        request = self._client.build_request(
            "POST",
            f"{target.scheme}://{host}:{target.port}{target.path}",
            content=call.body,
            headers={"Host": target.authority, "Content-Type": CONTENT_TYPE, **_signed(call)},
            # The name that the certificate must be for, and that TLS is asked for.
            extensions={"sni_hostname": target.host},
        )
        response = await self._client.send(request, stream=True)
        try:
            read = bytearray()
            async for part in response.aiter_raw():
                read += part
                if len(read) >= ANSWER_BYTES:
                    break
        finally:
            await response.aclose()
        retry_after = _retry_after(response.headers.get("retry-after", ""))
        return Reply(response.status_code, _shown(bytes(read[:ANSWER_BYTES])), retry_after)

    async def _addresses(self, target: Target) -> Sequence[Address]:
        if target.literal is not None:
            return [target.literal]
        return await self._look_up(target.host, target.port)


def _signed(call: Call) -> dict[str, str]:
    """The headers of the Standard Webhooks specification."""
    at, text = call.at.astimezone(UTC), call.body.decode()
    signatures = [Signer(secret.get_secret_value()).sign(str(call.event_id), at, text) for secret in call.secrets]
    return {
        "webhook-id": str(call.event_id),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _shown(answer: bytes) -> str:
    return _UNSEEN.sub("", answer.decode("utf-8", errors="replace"))[:ANSWER_SHOWN]


def _retry_after(text: str) -> float | None:
    """RFC 9110 §10.2.3: seconds, or a date."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (until.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _why(error: Exception) -> str:
    """In words for the owner of the receiver; none of the address."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"Its certificate is not valid: {cause.verify_message}."
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError | OSError):
        return "It cannot be connected to."
    return "The connection broke before it answered."
