"""A stand-in for a Kubernetes API server, for tests: no such server can be had as a package.

It speaks the protocol of the real one over HTTPS for what the platform uses, and refuses everything else: discovery,
get, list, create, delete (with preconditions, finalizers and the end of namespaces), server-side apply with managed
fields, conflicts and dry runs, merge patches, TokenRequest, TokenReview, bearer tokens, and RBAC for the tokens of
service accounts. It runs nothing: no controller but the end of namespaces, no scheduler, no admission.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import secrets
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import ECKey

from tests import kubernetes_protobuf
from tests.kubernetes_fields import Json
from tests.kubernetes_store import ApiError, Place, Store

_OBJECTS: Final = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>token))?"
)
_SHORTEST_TOKEN_SECONDS: Final = 600
_RBAC: Final = "rbac.authorization.k8s.io/v1"


@dataclass(frozen=True)
class Session:
    """A token of a service account."""

    namespace: str
    name: str
    audiences: tuple[str, ...]
    expires_at: datetime

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}"


@dataclass
class KubernetesApi:
    """A running stand-in. `admin_token` may do everything; tokens of service accounts what RBAC says."""

    url: str
    ca_pem: str
    admin_token: str
    store: Store = field(default_factory=Store)
    sessions: dict[str, Session] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Method and path of everything that was asked, in order."""
    failures: list[int] = field(default_factory=list)
    """What the next requests are answered instead, one each."""
    forbidden: set[str] = field(default_factory=set)
    """Plurals that even `admin_token` may not touch."""
    signing_key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))
    """What the tokens of service accounts are signed with."""
    later: timedelta = timedelta()
    """How far the server's clock is ahead, for tokens that run out."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def object(self, plural: str, name: str, namespace: str = "", api_version: str = "v1") -> Json:
        """An object as it is stored. Raises KeyError where there is none."""
        with self.lock:
            return self.store.objects[api_version, plural, namespace, name].body

    def has(self, plural: str, name: str, namespace: str = "", api_version: str = "v1") -> bool:
        with self.lock:
            return (api_version, plural, namespace, name) in self.store.objects

    def make(self, body: Json, manager: str = "somebody") -> None:
        """Have somebody else create an object."""
        with self.lock:
            self.store.create(self._place(body), body, manager)

    def edit(self, plural: str, name: str, namespace: str, patch: Json, api_version: str = "v1") -> None:
        """Have somebody edit an object, as `kubectl edit` does."""
        with self.lock:
            self.store.merge((api_version, plural, namespace, name), patch, "kubectl-edit")

    def lose(self, plural: str, name: str, namespace: str = "", api_version: str = "v1") -> None:
        """Have somebody delete an object."""
        with self.lock:
            self.store.delete((api_version, plural, namespace, name), None)

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig with the admin's token."""
        ca = base64.b64encode(self.ca_pem.encode()).decode()
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "slipway",
            "clusters": [{"name": "slipway", "cluster": {"server": self.url, "certificate-authority-data": ca}}],
            "users": [{"name": "slipway", "user": {"token": self.admin_token}}],
            "contexts": [{"name": "slipway", "context": {"cluster": "slipway", "user": "slipway"}}],
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def answer(self, method: str, target: str, token: str, content_type: str, body: Any) -> tuple[int, Json]:
        """Status and body for one request."""
        split = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        with self.lock:
            self.requests.append(f"{method} {split.path}")
            try:
                if self.failures:
                    raise ApiError(self.failures.pop(0), "Trouble", "the server has trouble")
                session = self._session(token)
                return self._route(method, split.path, query, session, content_type, body)
            except ApiError as refused:
                return refused.code, refused.body

    def _session(self, token: str) -> Session | None:
        """Who asks; None is the admin."""
        if secrets.compare_digest(token, self.admin_token):
            return None
        session = self.sessions.get(token)
        if session is None or session.expires_at <= self._now():
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return session

    def _route(  # noqa: PLR0917 - the parts of a request
        self, method: str, path: str, query: dict[str, str], session: Session | None, content_type: str, body: Any
    ) -> tuple[int, Json]:
        if method == "GET" and (found := self._discovery(path)) is not None:
            return 200, found
        if (method, path) == ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"):
            return 201, self._review(body)
        matched = _OBJECTS.fullmatch(path)
        if matched is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        api_version = matched["core"] or matched["group"]
        place = (api_version, matched["plural"], matched["namespace"] or "", matched["name"] or "")
        kind = self.store.kind(*place[:2])
        if kind.namespaced != bool(place[2]) and place[3]:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        self._authorise(session, method, place, matched["sub"])
        if matched["sub"]:
            return 201, self._mint(place, body)
        return self._act(method, place, query, content_type, body)

    def _act(self, method: str, place: Place, query: dict[str, str], content_type: str, body: Any) -> tuple[int, Json]:
        manager = query.get("fieldManager", "unknown")
        match method:
            case "GET" if place[3]:
                return 200, self.store.get(place)
            case "GET":
                labels = dict(part.split("=", 1) for part in query.get("labelSelector", "").split(",") if part)
                items = self.store.list(place[0], place[1], place[2], labels)
                kind = self.store.kind(*place[:2]).name
                return 200, {"kind": f"{kind}List", "apiVersion": place[0], "metadata": {}, "items": items}
            case "POST":
                return 201, self.store.create((*place[:3], body["metadata"]["name"]), body, manager)
            case "DELETE":
                return 200, self.store.delete(place, ((body or {}).get("preconditions") or {}).get("uid"))
            case "PATCH" if content_type == "application/apply-patch+yaml":
                if "fieldManager" not in query:
                    raise ApiError(422, "Invalid", "fieldManager: Required value: is required for apply patch")
                there = place in self.store.objects
                dry_run = query.get("dryRun") == "All"
                forced = query.get("force") == "true"
                made = self.store.apply(place, body, manager, force=forced, dry_run=dry_run)
                return 200 if there else 201, made
            case "PATCH" if content_type == "application/merge-patch+json":
                return 200, self.store.merge(place, body, manager)
        raise ApiError(415, "UnsupportedMediaType", f"this stand-in does not do {method} {content_type}")

    def _discovery(self, path: str) -> Json | None:
        kinds = self.store.kinds.values()
        versions = {kind.api_version for kind in kinds} - {"v1"}
        if path == "/version":
            return {"major": "1", "minor": "37", "gitVersion": "v1.37.0"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            groups = [
                {"name": group, "versions": [{"groupVersion": one, "version": version}], "preferredVersion": {}}
                for one in sorted(versions)
                for group, _, version in [one.partition("/")]
            ]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        version = path.removeprefix("/apis/") if path.startswith("/apis/") else path.removeprefix("/api/")
        if version not in versions | {"v1"}:
            return None
        resources = [
            {
                "name": kind.plural,
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": kind.name,
                "verbs": ["get"],
            }
            for kind in kinds
            if kind.api_version == version
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}

    def _authorise(self, session: Session | None, method: str, place: Place, sub: str | None) -> None:
        """RBAC: what a role that is bound in the namespace allows (https://kubernetes.io/docs/reference/access-authn-authz/rbac/)."""
        resource = f"{place[1]}/{sub}" if sub else place[1]
        if session is None:
            if resource in self.forbidden:
                raise ApiError(403, "Forbidden", f'{resource} is forbidden: User "slipway" cannot do this')
            return
        verb = {"GET": "get" if place[3] else "list", "POST": "create", "PATCH": "patch", "DELETE": "delete"}[method]
        group = place[0].rpartition("/")[0]
        for rule in self._rules(session, place[2]):
            verbs, groups, resources = rule.get("verbs", []), rule.get("apiGroups", []), rule.get("resources", [])
            if {verb, "*"} & set(verbs) and {group, "*"} & set(groups) and {resource, "*"} & set(resources):
                return
        told = f'{resource} is forbidden: User "{session.user}" cannot {verb} resource in the namespace "{place[2]}"'
        raise ApiError(403, "Forbidden", told)

    def _rules(self, session: Session, namespace: str) -> Iterator[Json]:
        for binding in self.store.list(_RBAC, "rolebindings", namespace, {}) if namespace else []:
            subjects = [one for one in binding.get("subjects") or [] if one["kind"] == "ServiceAccount"]
            if (session.namespace, session.name) not in {(one.get("namespace"), one["name"]) for one in subjects}:
                continue
            role = binding["roleRef"]
            plural, within = ("roles", namespace) if role["kind"] == "Role" else ("clusterroles", "")
            stored = self.store.objects.get((_RBAC, plural, within, role["name"]))
            yield from (stored.body.get("rules") or []) if stored else []

    def _mint(self, place: Place, body: Json) -> Json:
        """TokenRequest (https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/)."""
        self.store.get((*place[:2], place[2], place[3]))
        spec = body.get("spec") or {}
        seconds = int(spec.get("expirationSeconds") or 3600)
        if seconds < _SHORTEST_TOKEN_SECONDS:
            raise ApiError(422, "Invalid", "spec.expirationSeconds: may not specify a duration less than 10 minutes")
        expires_at = self._now() + timedelta(seconds=seconds)
        audiences = tuple(spec.get("audiences") or [self.url])
        session = Session(place[2], place[3], audiences, expires_at)
        claims = {
            "iss": self.url,
            "sub": session.user,
            "aud": list(audiences),
            "iat": int(self._now().timestamp()),
            "exp": int(expires_at.timestamp()),
            "jti": secrets.token_hex(16),
        }
        token = jwt.encode({"alg": "ES256"}, claims, self.signing_key)
        self.sessions[token] = session
        status = {"token": token, "expirationTimestamp": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": place[3], "namespace": place[2]},
            "spec": {"audiences": list(audiences), "expirationSeconds": seconds},
            "status": status,
        }

    def _review(self, body: Json) -> Json:
        session = self.sessions.get(body["spec"]["token"])
        status: Json = {"authenticated": False}
        if session is not None and session.expires_at > self._now():
            status = {
                "authenticated": True,
                "user": {"username": session.user},
                "audiences": list(session.audiences),
            }
        return {**body, "status": status}

    def _place(self, body: Json) -> Place:
        for kind in self.store.kinds.values():
            if (kind.api_version, kind.name) == (body["apiVersion"], body["kind"]):
                namespace = body["metadata"].get("namespace", "")
                return kind.api_version, kind.plural, namespace, body["metadata"]["name"]
        raise LookupError(f"no kind {body['kind']}")

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.later


def _read(content_type: str, content: bytes) -> Any:
    """A body: everything in JSON is YAML, and an apply may be either; clients in Go ask for tokens in protobuf."""
    if content_type == kubernetes_protobuf.CONTENT_TYPE:
        return kubernetes_protobuf.token_request(content)
    return yaml.safe_load(content) if content else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        api = cast("_Server", self.server).api
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        content_type = (self.headers.get("Content-Type") or "").split(";")[0]
        try:
            body = _read(content_type, content)
        except (ValueError, yaml.YAMLError):
            status, answered = 400, {"kind": "Status", "code": 400, "message": "the body cannot be read"}
        else:
            status, answered = api.answer(self.command, self.path, token, content_type, body)
        payload = json.dumps(answered).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _serve  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Nothing: tests look at `requests`."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: KubernetesApi

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none of our business."""


@contextmanager
def start_kubernetes(directory: Path) -> Iterator[KubernetesApi]:
    """A stand-in on a free port of this machine, served over TLS; `directory` gets its key and certificate."""
    directory.mkdir(parents=True, exist_ok=True)
    certificate, key = _certificate()
    (directory / "tls.crt").write_bytes(certificate)
    (directory / "tls.key").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        url = f"https://127.0.0.1:{server.server_address[1]}"
        server.api = KubernetesApi(url, certificate.decode(), admin_token=f"admin.{secrets.token_urlsafe(32)}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.api
        finally:
            server.shutdown()
            thread.join()


def _certificate() -> tuple[bytes, bytes]:
    """A certificate for 127.0.0.1 that is its own authority, and its key; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in cluster")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private
