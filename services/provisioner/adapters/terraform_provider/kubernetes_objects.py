"""`slipway_kubernetes_objects`: a list of objects in a Kubernetes cluster, applied by the cluster itself.

Server-side apply under the field manager `slipway`: what we list is ours, what controllers and people set beside it
stays theirs. Each object carries the mark as labels, written in the same request as the object.

Invariants: no object is touched before all have been looked at, and none of them is somebody else's; what carries
another's mark, or none, is neither changed nor deleted, and neither is a namespace that holds such a one; fields of
others are taken over only in objects that carry our mark; when an object has been removed, it is gone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from tf.iface import ImportContext, UpdateContext
from tf.schema import Attribute
from tf.types import List, String, Unknown

from .kubernetes_cluster import Cluster, ConflictError, InvalidError, TerminatingError
from .kubernetes_manifests import (
    FIELD_MANAGER,
    Json,
    Manifest,
    check_mark,
    differences,
    mark_in,
    namespace_of,
    read_manifests,
)
from .marks import Busy, Mark, Refused, check_ours
from .resource import REFUSED_INPUT, MarkedResource, State

GONE_SECONDS: Final = 300.0
"""How long the removal of everything may take: load balancers and volumes have finalizers."""
_POLL_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_LOOKS: Final = 4
"""How often an object that keeps changing while it is compared is looked at again."""


class KubernetesObjectsResource(MarkedResource):
    """The objects `manifests` (each one object as JSON) of the environment `name`.

    `namespace` is the one that the list makes or uses; `drift` tells, by paths, what is not as the list says.
    """

    NAME = "kubernetes_objects"
    ENVIRONMENT = "name"

    @classmethod
    def attributes(cls) -> list[Attribute]:
        """`manifests` are given, in the order in which they are applied."""
        return [
            Attribute("manifests", List(String()), required=True),
            Attribute("namespace", String(), computed=True),
            Attribute("drift", List(String()), computed=True, default=[]),
        ]

    @classmethod
    def key(cls, state: State) -> str:
        """The list's first object, with its namespace. An environment may have several lists."""
        known = _known(state)
        if not known:
            raise ValueError("no object is known yet")
        first = read_manifests(known)[0]
        return f"{first.kind}/{first.namespace}/{first.name}" if first.namespace else f"{first.kind}/{first.name}"

    @classmethod
    def from_key(cls, key: str) -> State:
        """Nothing: `import_` tells why."""
        raise ValueError(f"{key} names no list")

    def identify(self, state: State) -> str:
        """The key that it had when it was made: the list may change, what it is called may not."""
        known = state.get("id")
        return known if isinstance(known, str) else self.key(state)

    def check(self, known: State) -> None:
        """Every object can be read, named and marked; the list is not empty."""
        if "incarnation" in known:
            check_mark(Mark("x", known["incarnation"]))
        given = known.get("manifests")
        if isinstance(given, list):
            if not given:
                raise ValueError("manifests must list an object at least")
            if all(isinstance(one, str) for one in given):
                read_manifests(given)

    def healthy(self, planned: State) -> State:
        """Nothing differs; the namespace follows from the list where that is known."""
        given = planned.get("manifests")
        known = isinstance(given, list) and all(isinstance(one, str) for one in given)
        return {"namespace": namespace_of(given) if known and given is not None else Unknown, "drift": []}

    def update(self, ctx: UpdateContext, current: State, planned: State) -> State | None:
        """Apply the list, then remove what it has no more; until that is done, the state keeps the list of before."""

        def change(mark: Mark) -> State:
            changed = self._ensured(mark, planned)
            kept = {one.identity for one in read_manifests(planned["manifests"])}
            with self._cluster() as cluster:
                before = read_manifests(current["manifests"])
                self._take_away(cluster, mark, [one for one in before if one.identity not in kept])
            return changed

        return self._deed("update", ctx.diagnostics, planned, change, current)

    def import_(self, ctx: ImportContext, id: str) -> State | None:  # noqa: A002, ARG002 -- the framework's name
        """Refused: an apply adopts whatever carries the mark."""
        ctx.diagnostics.add_error(
            REFUSED_INPUT, "Objects need no import: an apply adopts those that carry the environment's mark."
        )
        return None

    def ensure(self, mark: Mark, wanted: State) -> State:
        """Apply every object in order, after a look at all of them."""
        objects = read_manifests(wanted["manifests"])
        with self._cluster() as cluster:
            for one in objects:
                if (found := cluster.find(one)) is not None:
                    check_ours(str(one), mark, mark_in(found))
            for one in objects:
                self._apply(cluster, mark, one)
        return self._state(wanted, [])

    def look(self, mark: Mark, known: State) -> State | None:
        """The list with what differs; None where nothing of it is there. Raises `Refused` where nothing of it is
        ours."""
        objects = read_manifests(_known(known))
        drift: list[str] = []
        ours = 0
        refused: Refused | None = None
        with self._cluster() as cluster:
            for one in objects:
                found = cluster.find(one)
                if found is None or _is_leaving(found):
                    drift.append(f"{one}: missing")
                    continue
                try:
                    check_ours(str(one), mark, mark_in(found))
                except Refused as theirs:
                    refused = theirs
                    drift.append(f"{one}: somebody else's")
                    continue
                ours += 1
                drift += [f"{one}: {path}" for path in _drift_of(cluster, mark, one, found)]
        if not ours:
            if refused is not None:
                raise refused
            return None
        return self._state(known, drift)

    def remove(self, mark: Mark, known: State) -> None:
        """Remove what is ours, the last first, and wait until it is gone. Raises `Refused` for the rest."""
        with self._cluster() as cluster:
            left = self._take_away(cluster, mark, read_manifests(_known(known)))
        if left:
            raise left[0]

    def _cluster(self) -> Cluster:
        if self._access.kubernetes is None:
            raise ValueError(
                "this platform has no cluster: set SLIPWAY_PROVISIONER_KUBERNETES_KUBECONFIG or"
                " SLIPWAY_PROVISIONER_KUBERNETES_IN_CLUSTER"
            )
        return self._access.kubernetes.connect()

    def _state(self, known: State, drift: Sequence[str]) -> State:
        state: State = {
            "manifests": list(known["manifests"]),
            "namespace": namespace_of(_known(known)),
            "drift": list(drift),
        }
        return state | ({"id": known["id"]} if isinstance(known.get("id"), str) else {})

    def _apply(self, cluster: Cluster, mark: Mark, one: Manifest) -> None:
        found = cluster.find(one)
        if found is not None and _is_leaving(found):
            # An earlier life's, for instance: what is being removed cannot be had back.
            self._await_end(cluster, {one: found["metadata"]["uid"]})
            found = cluster.find(one)
        body = one.marked(mark)
        if found is not None:
            check_ours(str(one), mark, mark_in(found))
            # With its uid, so that an object which has taken the place of ours is not changed.
            body["metadata"]["uid"] = found["metadata"]["uid"]
            cluster.apply(one, body, force=True)
            return
        made = cluster.apply(one, body, force=False)
        if _managers(made) - {FIELD_MANAGER}:
            # Apply knows no "only if absent": somebody made it between the look and the apply. An apply of nothing
            # takes back what we have just set, and nothing else.
            nothing = {"apiVersion": one.api_version, "kind": one.kind, "metadata": {"name": one.name}}
            cluster.apply(one, nothing, force=False)
            raise Refused(str(one), None)

    def _take_away(self, cluster: Cluster, mark: Mark, objects: Sequence[Manifest]) -> list[Refused]:
        """Remove those of `objects` that are ours, in reverse, and wait; answers what had to be left, and why."""
        found = {one: there for one in objects if (there := cluster.find(one)) is not None}
        left: list[Refused] = []
        occupied: set[str] = set()
        for one, there in found.items():
            if mark_in(there) != str(mark):
                left.append(Refused(str(one), mark_in(there)))
                occupied.add(one.namespace)
        doomed: dict[Manifest, str] = {}
        for one, there in reversed(found.items()):
            if mark_in(there) != str(mark):
                continue
            if one.is_namespace and one.name in occupied:
                left.append(Refused(f"{one} holds something of somebody else's; it", mark_in(there)))
                continue
            doomed[one] = there["metadata"]["uid"]
            cluster.delete(one, doomed[one])
        self._await_end(cluster, doomed)
        return left

    def _await_end(self, cluster: Cluster, doomed: Mapping[Manifest, str]) -> None:
        """Wait until none of these objects is there. Raises `Busy` at the end of the time, or when told to stop."""
        deadline = time.monotonic() + GONE_SECONDS
        left, looks = dict(doomed), 0
        while left := {one: uid for one, uid in left.items() if _uid(cluster.find(one)) == uid}:
            names = ", ".join(str(one) for one in left)
            if time.monotonic() > deadline:
                raise Busy(f"{names} could not be removed yet: something holds it (metadata.finalizers).")
            if self._provider.stopping.wait(_POLL_SECONDS[min(looks, len(_POLL_SECONDS) - 1)]):
                raise Busy(f"{names} is being removed; the wait for that was called off.")
            looks += 1


def _known(state: State) -> list[str]:
    """The objects that are known: in a plan, those that are made of what does not exist yet are not."""
    return [text for text in state.get("manifests") or [] if isinstance(text, str)]


def _drift_of(cluster: Cluster, mark: Mark, one: Manifest, found: Json | None) -> list[str]:
    """The paths at which `found` differs from what the cluster would make of it if it were applied now.

    The cluster itself says it (a dry run), so that defaults and notations are no drift.
    """
    for _ in range(_LOOKS):
        if found is None:
            return ["missing"]
        body = one.marked(mark)
        body["metadata"] |= {key: found["metadata"][key] for key in ("uid", "resourceVersion")}
        try:
            return differences(found, cluster.apply(one, body, force=True, dry_run=True))
        except ConflictError:
            found = cluster.find(one)
        except TerminatingError:
            return ["missing"]  # as good as: it goes with its namespace
        except InvalidError:
            # Applying it will say why.
            return ["the cluster would not take it as it is listed"]
    raise Busy(f"{one} keeps changing.")


def _is_leaving(found: Json) -> bool:
    return bool(found["metadata"].get("deletionTimestamp"))


def _uid(found: Json | None) -> str | None:
    return None if found is None else str(found["metadata"]["uid"])


def _managers(found: Json) -> set[str]:
    return {str(entry.get("manager")) for entry in found["metadata"].get("managedFields") or []}
