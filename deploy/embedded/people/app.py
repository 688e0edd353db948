"""The page as an ASGI application: a form, and OpenBao's discovery, keys, token and userinfo passed through."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.embedded.openbao_identity import AUTHORIZE_PATH, PROVIDER_PATH
from deploy.embedded.people.settings import PeopleSettings
from deploy.embedded.web.guard import guards
from deploy.embedded.web.pages import look, templates

_BODY_LIMIT_BYTES = 16_384
_TIMEOUT_SECONDS = 20.0
_HERE = Path(__file__).parent
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,98}[A-Za-z0-9])?")
_PASSED_ON = ("authorization", "content-type", "accept")
_WRONG = "Name or password is wrong. After five wrong tries a name is locked for 15 minutes."
_ELSEWHERE = "This address does not come from the portal, or is too old. Begin at the portal again."
_AWAY = "OpenBao does not answer just now. Try again in a moment."

log = structlog.get_logger(__name__)


def create_app(settings: PeopleSettings) -> Starlette:
    """The application in front of the OpenBao at `settings.openbao_url`."""
    http = httpx.AsyncClient(base_url=settings.openbao_url, timeout=_TIMEOUT_SECONDS, trust_env=False, verify=False)  # noqa: S501 - http on loopback
    endpoints = _Endpoints(http, settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        log.info("people_ready", port=settings.port)
        yield
        await http.aclose()

    return Starlette(
        routes=[
            Route("/", endpoints.home),
            Route(AUTHORIZE_PATH, endpoints.show, methods=["GET"]),
            Route(AUTHORIZE_PATH, endpoints.sign_in, methods=["POST"]),
            Route(f"{PROVIDER_PATH}/.well-known/openid-configuration", endpoints.pass_on),
            Route(f"{PROVIDER_PATH}/.well-known/keys", endpoints.pass_on),
            Route(f"{PROVIDER_PATH}/userinfo", endpoints.pass_on),
            Route(f"{PROVIDER_PATH}/token", endpoints.pass_on, methods=["POST"]),
            Route("/readyz", endpoints.ready),
            *look(_HERE / "static"),
        ],
        middleware=guards(
            hosts=settings.hosts, body_limit_bytes=_BODY_LIMIT_BYTES, forms_lead_to=_origin(settings.portal_url)
        ),
        lifespan=lifespan,
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class _Endpoints:
    def __init__(self, http: httpx.AsyncClient, settings: PeopleSettings) -> None:
        self._http = http
        self._settings = settings
        self._page = templates(_HERE / "templates").get_template("sign_in.html")

    async def home(self, _: Request) -> Response:
        """Nobody begins here."""
        return RedirectResponse(f"{self._settings.portal_url}/", 303)

    async def show(self, request: Request) -> Response:
        """The form."""
        return self._form(request)

    async def sign_in(self, request: Request) -> Response:
        """Name and password for a code, with which the browser goes back to the client that asked."""
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return self._form(request, problem=_ELSEWHERE, status=403)
        form = await request.form()
        name, password = form.get("name"), form.get("password")
        if not isinstance(name, str) or not isinstance(password, str) or not _NAME.fullmatch(name):
            return self._form(request, problem=_WRONG, status=401)
        try:
            token = await self._log_in(name, password)
            if token is None:
                return self._form(request, name=name, problem=_WRONG, status=401)
            return await self._authorize(request, token)
        except httpx.HTTPError as error:
            log.warning("openbao_away", error_type=type(error).__name__)
            return self._form(request, name=name, problem=_AWAY, status=503)

    async def _log_in(self, name: str, password: str) -> str | None:
        answer = await self._http.post(f"/v1/auth/userpass/login/{name}", json={"password": password})
        if answer.status_code in {400, 403}:
            log.info("sign_in_refused", name=name)
            return None
        answer.raise_for_status()
        token: str = answer.json()["auth"]["client_token"]
        return token

    async def _authorize(self, request: Request, token: str) -> Response:
        headers = {"X-Vault-Token": token}
        try:
            answer = await self._http.get(
                f"{PROVIDER_PATH}/authorize", params=httpx.QueryParams(request.url.query), headers=headers
            )
        finally:
            await self._http.post("/v1/auth/token/revoke-self", headers=headers)
        if answer.status_code != 200:
            log.info("authorization_refused", status=answer.status_code)
            return self._form(request, problem=_ELSEWHERE, status=400)
        said = answer.json()
        # OpenBao made the code for this redirect URI, which it compared with the client's.
        back = request.query_params["redirect_uri"]
        query = urlencode({"code": said["code"], "state": said["state"]})
        return RedirectResponse(f"{back}{'&' if '?' in back else '?'}{query}", 303)

    async def pass_on(self, request: Request) -> Response:
        """OpenBao's own answer."""
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        try:
            answer = await self._http.request(
                request.method, request.url.path, content=await request.body(), headers=headers
            )
        except httpx.HTTPError as error:
            log.warning("openbao_away", error_type=type(error).__name__)
            return JSONResponse({"error": "temporarily_unavailable"}, 503)
        kind = answer.headers.get("content-type", "application/json")
        return Response(answer.content, answer.status_code, headers={"Cache-Control": "no-store"}, media_type=kind)

    async def ready(self, _: Request) -> Response:
        """Whether OpenBao answers."""
        try:
            answer = await self._http.get("/v1/sys/health")
        except httpx.HTTPError:
            return JSONResponse({"service": "people", "status": "waiting for OpenBao"}, 503)
        is_ready = answer.status_code == 200
        return JSONResponse(
            {"service": "people", "status": "ready" if is_ready else "sealed"}, 200 if is_ready else 503
        )

    def _form(self, request: Request, *, name: str = "", problem: str = "", status: int = 200) -> Response:
        text = self._page.render(
            action=f"{AUTHORIZE_PATH}?{request.url.query}",
            name=name,
            problem=problem,
            passwords_file=self._settings.passwords_file,
            portal_url=self._settings.portal_url,
        )
        return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})
