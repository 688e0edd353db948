"""The objects of the stand-in API server: kinds, namespaces, life and death. See `kubernetes_api.py`, which serves it.

Invariant: what is stored is valid by the schemas of Kubernetes itself (kubernetes-validate, strict), whoever wrote it.
"""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import kubernetes_validate  # type: ignore[import-untyped] # it brings none

from tests import kubernetes_fields as fields
from tests.kubernetes_fields import FieldConflictError, Json, Owners

SCHEMA: Final = "1.37"
NAMESPACES: Final = ("v1", "namespaces")


@dataclass(frozen=True)
class Kind:
    """A kind of objects and where it is served."""

    api_version: str
    plural: str
    name: str
    namespaced: bool = True


BUILT_IN: Final = (
    Kind("v1", "namespaces", "Namespace", namespaced=False),
    Kind("v1", "configmaps", "ConfigMap"),
    Kind("v1", "secrets", "Secret"),
    Kind("v1", "services", "Service"),
    Kind("v1", "serviceaccounts", "ServiceAccount"),
    Kind("v1", "resourcequotas", "ResourceQuota"),
    Kind("v1", "limitranges", "LimitRange"),
    Kind("v1", "pods", "Pod"),
    Kind("apps/v1", "deployments", "Deployment"),
    Kind("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
    Kind("networking.k8s.io/v1", "ingresses", "Ingress"),
    Kind("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    Kind("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    Kind("rbac.authorization.k8s.io/v1", "roles", "Role"),
    Kind("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding"),
    Kind("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", namespaced=False),
    Kind("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    Kind("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False),
)
Place = tuple[str, str, str, str]
"""API version, plural, namespace (empty where the kind has none) and name."""


class ApiError(Exception):
    """A refusal, as the API says it (`metav1.Status`)."""

    def __init__(self, code: int, reason: str, message: str, causes: list[Json] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
            "details": {"causes": causes or []},
        }


@dataclass
class Stored:
    """An object, and who has set what of it."""

    body: Json
    owners: Owners = field(default_factory=dict)


class Store:
    """Every object of the cluster."""

    def __init__(self) -> None:
        self.kinds = {(kind.api_version, kind.plural): kind for kind in BUILT_IN}
        self.objects: dict[Place, Stored] = {}
        self.hold_namespaces = threading.Event()
        """While it is set, namespaces that are deleted stay, terminating."""
        self.before_apply: Callable[[Place], None] | None = None
        """Called within an apply, before it looks at what is there: for what happens at the same moment."""
        self._version = 0

    def kind(self, api_version: str, plural: str) -> Kind:
        if (kind := self.kinds.get((api_version, plural))) is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        return kind

    def get(self, place: Place) -> Json:
        self._finish_namespaces()
        if place not in self.objects:
            raise _not_found(place)
        return copy.deepcopy(self.objects[place].body)

    def list(self, api_version: str, plural: str, namespace: str, labels: Mapping[str, str]) -> list[Json]:
        self._finish_namespaces()
        return [
            copy.deepcopy(stored.body)
            for (version, kind, within, _), stored in sorted(self.objects.items())
            if (version, kind) == (api_version, plural)
            and namespace in {"", within}
            and labels.items() <= (stored.body["metadata"].get("labels") or {}).items()
        ]

    def create(self, place: Place, body: Json, manager: str) -> Json:
        if place in self.objects:
            raise ApiError(409, "AlreadyExists", f'{place[1]} "{place[3]}" already exists')
        return self._write(place, {}, body, fields.update({}, body, {}, manager), dry_run=False)

    def merge(self, place: Place, patch: Json, manager: str) -> Json:
        """A JSON merge patch (RFC 7396), which is how people's edits arrive."""
        before = self.get(place)
        after = _merge_patched(before, patch)
        owners = fields.update(before, after, self.objects[place].owners, manager)
        return self._write(place, before, after, owners, dry_run=False)

    def apply(self, place: Place, wanted: Json, manager: str, *, force: bool, dry_run: bool) -> Json:
        if self.before_apply is not None:
            self.before_apply(place)
        self._finish_namespaces()
        stored = self.objects.get(place)
        live = copy.deepcopy(stored.body) if stored else {}
        _check_preconditions(place, live, wanted.get("metadata", {}))
        try:
            after, owners = fields.apply(live, stored.owners if stored else {}, wanted, manager, force=force)
        except FieldConflictError as conflict:
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{other}"',
                    "field": fields.spelled(path),
                }
                for path, other in conflict.fields.items()
            ]
            told = f"Apply failed with {len(causes)} conflict(s)"
            raise ApiError(409, "Conflict", told, causes) from conflict
        return self._write(place, live, after, owners, dry_run=dry_run)

    def delete(self, place: Place, uid: str | None) -> Json:
        found = self.get(place)
        if uid is not None and uid != found["metadata"]["uid"]:
            raise ApiError(409, "Conflict", "Precondition failed: UID in precondition does not match")
        stored = self.objects[place]
        if place[:2] == NAMESPACES or stored.body["metadata"].get("finalizers"):
            stored.body["metadata"].setdefault("deletionTimestamp", _now())
            if place[:2] == NAMESPACES:
                stored.body["status"] = {"phase": "Terminating"}
            self._touch(stored)
            return copy.deepcopy(stored.body)
        del self.objects[place]
        return {"kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {}}

    def _finish_namespaces(self) -> None:
        """What the namespace controller does: empty a namespace that is being deleted, then let it go."""
        if self.hold_namespaces.is_set():
            return
        for place, stored in list(self.objects.items()):
            if place[:2] != NAMESPACES or not stored.body["metadata"].get("deletionTimestamp"):
                continue
            inside = [one for one in self.objects if one[2] == place[3]]
            for one in inside:
                if not self.objects[one].body["metadata"].get("finalizers"):
                    del self.objects[one]
            if not any(one[2] == place[3] for one in self.objects):
                del self.objects[place]

    def _write(self, place: Place, before: Json, after: Json, owners: Owners, *, dry_run: bool) -> Json:
        api_version, plural, namespace, name = place
        kind = self.kind(api_version, plural)
        if (after.get("apiVersion"), after.get("kind")) != (api_version, kind.name):
            raise ApiError(400, "BadRequest", "the object provided does not match the resource")
        metadata = after.setdefault("metadata", {})
        if metadata.get("name") != name or metadata.get("namespace", namespace) != namespace:
            raise ApiError(400, "BadRequest", "the name or namespace does not match the one of the request")
        if namespace:
            self._check_home(namespace)
            metadata["namespace"] = namespace
        if not before:
            metadata.update({"uid": str(uuid.uuid4()), "creationTimestamp": _now(), "generation": 1})
        _default(after)
        _validate(after)
        stored = Stored(after, owners)
        if before and _same(before, after) and self.objects[place].owners == owners:
            stored = Stored(before, owners)
        elif dry_run:
            self._stamp(stored, str(before.get("metadata", {}).get("resourceVersion", "")))
        else:
            self._touch(stored)
        if not dry_run:
            self.objects[place] = stored
            self._serve_custom(place)
        return copy.deepcopy(stored.body)

    def _touch(self, stored: Stored) -> None:
        self._version += 1
        self._stamp(stored, str(self._version))

    @staticmethod
    def _stamp(stored: Stored, version: str) -> None:
        metadata = stored.body["metadata"]
        metadata["resourceVersion"] = version
        metadata["managedFields"] = fields.managed_fields(stored.owners, stored.body["apiVersion"], _now())

    def _check_home(self, namespace: str) -> None:
        home = self.objects.get((*NAMESPACES, "", namespace))
        if home is None:
            raise ApiError(404, "NotFound", f'namespaces "{namespace}" not found')
        if home.body["metadata"].get("deletionTimestamp"):
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}
            told = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise ApiError(403, "Forbidden", told, [cause])

    def _serve_custom(self, place: Place) -> None:
        """A definition brings its kind."""
        if place[1] != "customresourcedefinitions":
            return
        spec = self.objects[place].body["spec"]
        for version in spec["versions"]:
            api_version = f"{spec['group']}/{version['name']}"
            names = spec["names"]
            custom = Kind(api_version, names["plural"], names["kind"], namespaced=spec["scope"] == "Namespaced")
            self.kinds[api_version, names["plural"]] = custom


def _check_preconditions(place: Place, live: Json, given: Json) -> None:
    for precondition in ("uid", "resourceVersion"):
        if precondition in given and given[precondition] != live.get("metadata", {}).get(precondition):
            told = f'Operation cannot be fulfilled on {place[1]} "{place[3]}": {precondition} mismatch'
            raise ApiError(409, "Conflict", told)


def _default(body: Json) -> None:
    """Some of what the API server fills in."""
    match body["kind"]:
        case "Namespace":
            body["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = body["metadata"]["name"]
            body.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
            body.setdefault("status", {}).setdefault("phase", "Active")
        case "Service":
            spec = body.setdefault("spec", {})
            spec.setdefault("type", "ClusterIP")
            spec.setdefault("clusterIP", f"10.96.0.{uuid.uuid4().int % 250 + 1}")
            spec.setdefault("sessionAffinity", "None")
        case "Deployment":
            spec = body.setdefault("spec", {})
            spec.setdefault("replicas", 1)
            spec.setdefault("revisionHistoryLimit", 10)
            for container in spec.get("template", {}).get("spec", {}).get("containers", []):
                container.setdefault("imagePullPolicy", "IfNotPresent")
                container.setdefault("terminationMessagePath", "/dev/termination-log")


def _validate(body: Json) -> None:
    plain = {**body, "metadata": {key: value for key, value in body["metadata"].items() if key != "managedFields"}}
    try:
        kubernetes_validate.validate(plain, SCHEMA, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return  # a custom resource
    except kubernetes_validate.ValidationError as wrong:
        path = ".".join(str(part) for part in wrong.path)
        told = f'{body["kind"]} "{body["metadata"]["name"]}" is invalid: {path}: {wrong.message}'
        raise ApiError(422, "Invalid", told) from wrong


def _same(before: Json, after: Json) -> bool:
    def plain(body: Json) -> Json:
        metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
        return {**body, "metadata": metadata}

    return plain(before) == plain(after)


def _merge_patched(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_patched(result.get(key), value)
    return result


def _not_found(place: Place) -> ApiError:
    return ApiError(404, "NotFound", f'{place[1]} "{place[3]}" not found')


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
