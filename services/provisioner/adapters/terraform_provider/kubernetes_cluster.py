"""A Kubernetes cluster, by the official client: find, apply (server-side) and delete objects of any kind.

Invariants: the kind of an object is looked up at the cluster itself, so custom resources are objects like others; every
failure leaves here as `Busy` (away, overloaded, changed at the same moment) or ValueError (refused), in the cluster's
own words and without what was sent; and nothing is cached on disk, where others could change it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from .kubernetes_manifests import FIELD_MANAGER, Json, Manifest
from .marks import Busy

_TIMEOUT_SECONDS: Final = (3.0, 30.0)
"""To connect, and between two bytes of an answer."""
_APPLY: Final = "application/apply-patch+yaml"
"""JSON is YAML: what is sent is JSON."""
_REASON_CHARACTERS: Final = 600
_MAY_PASS: Final = frozenset({408, 429})
_REFUSALS: Final = {
    401: "the cluster does not accept the platform's credentials",
    403: "the cluster does not let the platform do this; give it the right",
}


class ConflictError(Busy):
    """The object was changed at the same moment, or somebody else has set one of the fields (409)."""


class TerminatingError(Busy):
    """The namespace is being removed and takes nothing new."""


class InvalidError(ValueError):
    """The cluster knows the kind and does not take the object (422)."""


class UnknownKindError(ValueError):
    """The cluster does not know the kind."""


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """Where the cluster is and who we are there.

    `kubeconfig` is a file in kubectl's format (`context` names one of its contexts, empty the current one); None means
    the service account of the pod that this process runs in.
    """

    kubeconfig: Path | None = None
    context: str = ""

    def connect(self) -> Cluster:
        """A client with credentials as they are now. Raises ValueError where there are none to be read."""
        settings = client.Configuration()
        try:
            if self.kubeconfig is None:
                config.load_incluster_config(  # type: ignore[no-untyped-call] # half-typed
                    client_configuration=settings
                )
            else:
                config.load_kube_config(  # type: ignore[no-untyped-call] # half-typed
                    config_file=str(self.kubeconfig),
                    context=self.context or None,
                    client_configuration=settings,
                    persist_config=False,
                )
        except (config.ConfigException, OSError) as error:
            # Only its kind: a broken kubeconfig must not print what it holds.
            raise ValueError(
                f"the credentials for the cluster cannot be read ({type(error).__name__}): look at"
                " SLIPWAY_PROVISIONER_KUBERNETES_KUBECONFIG"
            ) from None
        return Cluster(client.ApiClient(settings))


@dataclass(frozen=True, slots=True)
class _Kind:
    """What discovery says of a kind."""

    plural: str
    namespaced: bool


class Cluster(AbstractContextManager["Cluster"]):
    """One connection, for one deed. Not for several threads at once."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._kinds: dict[str, Mapping[str, _Kind]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._api.rest_client.pool_manager.clear()

    def find(self, wanted: Manifest) -> Json | None:
        """The object as it is; None where there is none, or where the cluster does not even know its kind."""
        try:
            return self._ask("GET", self._path(wanted))
        except (_NotFoundError, UnknownKindError):
            return None

    def apply(self, wanted: Manifest, body: Json, *, force: bool, dry_run: bool = False) -> Json:
        """Apply `body` as the field manager `slipway` and answer the object as it is then (or would be).

        `force` takes over the fields that others have set; without it they are a `ConflictError`, and so is a
        `metadata.uid` or `resourceVersion` in `body` that is no longer the object's.
        """
        query = [("fieldManager", FIELD_MANAGER), ("force", "true" if force else "false")]
        if dry_run:
            query.append(("dryRun", "All"))
        try:
            return self._ask("PATCH", self._path(wanted), body, query)
        except _NotFoundError as missing:
            raise ValueError(f"{wanted} cannot be applied: {missing}") from None

    def delete(self, wanted: Manifest, uid: str) -> None:
        """Have exactly the object `uid` removed; nothing where it is gone. It may take its time (finalizers)."""
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        try:
            self._ask("DELETE", self._path(wanted), body)
        except (_NotFoundError, ConflictError):
            # Another object of that name is not the one that was to go.
            return

    def _path(self, wanted: Manifest) -> str:
        kind = self._kind(wanted)
        if not kind.namespaced and wanted.body["metadata"].get("namespace"):
            raise ValueError(f"{wanted} names a namespace, and its kind has none: leave metadata.namespace out")
        if kind.namespaced and not wanted.namespace:
            raise ValueError(f"{wanted} needs a metadata.namespace, or a Namespace in the same list")
        within = f"/namespaces/{wanted.namespace}" if kind.namespaced else ""
        return f"{_root(wanted.api_version)}{within}/{kind.plural}/{wanted.name}"

    def _kind(self, wanted: Manifest) -> _Kind:
        version = wanted.api_version
        if version not in self._kinds:
            try:
                listed = self._ask("GET", _root(version))
            except _NotFoundError:
                listed = {}
            self._kinds[version] = {
                one["kind"]: _Kind(one["name"], bool(one["namespaced"]))
                for one in listed.get("resources", [])
                if "/" not in one["name"]
            }
        if wanted.kind not in self._kinds[version]:
            raise UnknownKindError(
                f"the cluster has no kind {wanted.kind} in {version}: install what brings it (its"
                " CustomResourceDefinition), or take it out of the module"
            )
        return self._kinds[version][wanted.kind]

    def _ask(
        self, method: str, path: str, body: Json | None = None, query: list[tuple[str, str]] | None = None
    ) -> Json:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = _APPLY if method == "PATCH" else "application/json"
        try:
            answer = self._api.call_api(
                *self._api.param_serialize(
                    method,
                    path,
                    query_params=query or [],
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                ),
                _request_timeout=_TIMEOUT_SECONDS,
            )
            content: bytes = answer.read()  # type: ignore[no-untyped-call] # half-typed
        except (HTTPError, OSError, client.ApiException) as error:
            # Transport only: the client raises for a status when an answer is deserialised, which is done below.
            raise Busy(f"the cluster did not answer ({type(error).__name__})") from None
        if 200 <= answer.status < 300:
            return dict(json.loads(content))
        raise _failure(answer.status, content)


class _NotFoundError(Exception):
    """There is no such path or object (404)."""


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _failure(status: int, content: bytes) -> Exception:
    """What a refusal means. Its words are the cluster's (`metav1.Status`), which name fields and rules."""
    try:
        told = json.loads(content)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    said = " ".join(str(told.get("message") or f"status {status}").split())[:_REASON_CHARACTERS]
    causes = {cause.get("reason") for cause in (told.get("details") or {}).get("causes") or []}
    if "NamespaceTerminating" in causes:
        return TerminatingError(f"{said}.")
    if status >= 500 or status in _MAY_PASS:
        return Busy(f"the cluster answered {status}: {said}.")
    if status == 404:
        return _NotFoundError(said)
    if status == 409:
        return ConflictError(f"the cluster answered 409: {said}.")
    if status == 422:
        return InvalidError(f"the cluster does not take the object: {said}")
    return ValueError(f"{_REFUSALS.get(status, f'the cluster answered {status}')}: {said}")
