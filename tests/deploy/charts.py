"""The chart, rendered by Helm: by the program where one is on PATH, else by its own library (`helm_python`).

Run as a program it is the library's process: Go's runtime has no place in that of the tests. It reads cases as JSON
and writes, for each, its objects or why Helm refuses.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

from deploy.helm import keys
from deploy.helm.generated import CHART
from deploy.image.processes import PROJECT

Json = dict[str, Any]
NAMESPACE = "platform"
EXAMPLES = PROJECT / "deploy" / "helm" / "examples"
EXAMPLE_NAMES = ("required", "minimal", "everything", "aws")
PARTS = keys.PARTS
SERVICES = keys.SERVICES


@dataclass(frozen=True)
class Rendered:
    """What Helm makes of one set of values."""

    values: Json
    objects: tuple[Json, ...]
    refusal: str = ""

    def of_kind(self, kind: str) -> dict[str, Json]:
        """Objects of a kind by name."""
        return {one["metadata"]["name"]: one for one in self.objects if one["kind"] == kind}

    def one(self, kind: str, name: str) -> Json:
        """One object."""
        return self.of_kind(kind)[name]

    @property
    def workloads(self) -> dict[str, Json]:
        """Whatever has pods, by the part that it is."""
        found = (one for one in self.objects if one["kind"] in ("Deployment", "StatefulSet", "Job"))
        return {one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in found}

    def pod(self, part: str) -> Json:
        """The pod's specification of a part."""
        found: Json = self.workloads[part]["spec"]["template"]["spec"]
        return found

    def environment(self, part: str) -> dict[str, str]:
        """The variables of a part's container."""
        return variables(self.pod(part)["containers"][0])


def variables(container: Json) -> dict[str, str]:
    """A container's variables, of which none may be there twice."""
    found = {one["name"]: one.get("value", "") for one in container.get("env", ())}
    assert len(found) == len(container.get("env", ())), f"{container['name']} has a variable twice"
    return found


def containers(pod: Json) -> list[Json]:
    """All containers of a pod."""
    return [*pod.get("initContainers", ()), *pod["containers"]]


def example(name: str) -> Json:
    """One of the sets of values that come with the chart, with keys."""
    values: Json = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    values.setdefault("nats", {})["nkeys"] = yaml.safe_load((made_keys() / "values.yaml").read_text())["nats"]["nkeys"]
    return values


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="slipway-helm-")


@cache
def made_keys() -> Path:
    """What `python -m deploy.helm keys` makes, for as long as this process lives."""
    directory = Path(_scratch().name) / "keys"
    keys.make(directory, NAMESPACE)
    return directory


@cache
def examples() -> Mapping[str, Rendered]:
    """Every example, rendered."""
    return rendered({name: example(name) for name in EXAMPLE_NAMES})


def rendered(cases: Mapping[str, Json]) -> dict[str, Rendered]:
    """What Helm makes of each."""
    if program := shutil.which("helm"):
        answers = {name: _by_program(program, values) for name, values in cases.items()}
    else:
        library = [sys.executable, "-m", __name__]
        done = subprocess.run(
            library, input=json.dumps(cases), capture_output=True, text=True, check=True, timeout=120, cwd=PROJECT
        )
        answers = json.loads(done.stdout)
    return {
        name: Rendered(cases[name], tuple(_documents(answer["text"])), answer["refusal"])
        for name, answer in answers.items()
    }


def _documents(text: str) -> list[Json]:
    return [one for one in yaml.load_all(text, Loader=_Loader) if one]


class _Loader(yaml.CSafeLoader):
    """Refuses what Kubernetes would silently take the last of: a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As the safe loader's."""
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(names)) != len(names):
            raise yaml.constructor.ConstructorError(None, None, "a key is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _by_program(program: str, values: Json) -> Json:
    command = [program, "template", "slipway", str(CHART), "--namespace", NAMESPACE, "--values", "-"]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False, timeout=60)
    return {"text": done.stdout, "refusal": done.stderr if done.returncode else ""}


def _by_library(chart: helm_python.Chart, values: Json) -> Json:
    try:
        chart.validate_schema(values)
        files = chart.render(values, name="slipway", namespace=NAMESPACE)
    except helm_python.HelmError as error:
        return {"text": "", "refusal": str(error)}
    texts = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    return {"text": "\n---\n".join(texts), "refusal": ""}


if __name__ == "__main__":
    with helm_python.Chart.load(CHART) as loaded:
        json.dump({name: _by_library(loaded, values) for name, values in json.load(sys.stdin).items()}, sys.stdout)
