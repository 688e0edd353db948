"""A manifest, the golden paths as they are published, and what they give for some values."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from services.cicd.adapters.golden_paths import DirectoryGoldenPaths
from services.cicd.domain import File
from services.cicd.ports import Values

ROOT = Path(__file__).parents[3] / "golden_paths"
PATHS = DirectoryGoldenPaths(ROOT)
PUBLISHED = sorted(path.parent.name for path in ROOT.glob("*/golden_path.yaml"))
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="there is no `node` on this machine to run the skeleton with")


def manifest(**changes: Any) -> dict[str, Any]:
    """A manifest that loads, with changes."""
    return {
        "name": "demo",
        "version": "1.2.3",
        "title": "Demo",
        "description": "For tests.",
        "owner": "platform",
        "runtime": {"language": "nodejs", "version": "20", "start": ["node", "main.js"]},
        "kinds": ["preview", "production"],
        "defaults": {
            "time_to_live": {"preview": {"days": 7, "max_days": 30}},
            "parameters": {"production": {"instances": 2}},
        },
        "parameters": {
            "properties": {
                "instances": {"type": "integer", "title": "Instances", "default": 1, "minimum": 1, "maximum": 5},
                "database": {"type": "boolean", "title": "Database", "default": True},
                "region": {"type": "string", "title": "Region", "default": "eu", "pattern": "[a-z]{2}"},
                "ratio": {"type": "number", "title": "Ratio", "default": 0.5, "minimum": 0, "maximum": 1},
            }
        },
        "overridable": ["instances", "database", "ratio"],
        "prices": {
            "currency": "EUR",
            "items": [
                {"item": "Instance", "per_hour": "0.01", "times": "instances"},
                {"item": "Database", "per_hour": "0.005", "when": {"database": True}},
            ],
        },
        "usual_duration_seconds": 30,
        "links": {"logs": "/logs/{name}", "metrics": "https://metrics.example/{namespace}", "runbook": "/runbook"},
        "dependencies": [{"name": "db", "kind": "database", "title": "Postgres", "when": {"database": True}}],
    } | changes


def values(**changes: Any) -> Values:
    given_values: dict[str, Any] = {
        "environment": "demo-api",
        "branch": "main",
        "golden_path": "nodejs-api",
        "golden_path_version": "1.0.0",
        "description": "Node.js API of the team payments.",
        "url": "http://demo-api.slipway.localhost:8015",
    }
    return Values(**(given_values | changes))


async def workflow(**changes: Any) -> bytes:
    """The workflow for these values; `golden_path` among them says whose."""
    given_values = values(**changes)
    return await PATHS.workflow(await PATHS.find(given_values.golden_path), given_values)


async def skeleton(**changes: Any) -> dict[str, File]:
    """The skeleton for these values, by path; `golden_path` among them says whose."""
    given_values = values(**changes)
    files = await PATHS.skeleton(await PATHS.find(given_values.golden_path), given_values)
    return {file.path: file for file in files}


def written(files: dict[str, File], directory: Path) -> Path:
    for file in files.values():
        target = directory / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
    return directory
