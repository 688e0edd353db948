"""The deeds over twins."""

from typing import Any

from contracts.golden_path import GoldenPath
from services.cicd.adapters.memory import InMemoryForge, InMemoryGoldenPaths, InMemoryProgress, InMemoryWorkflowCheck
from services.cicd.handlers import PipelineHandlers
from tests.unit.golden_paths.samples import manifest


def golden_path(**changes: Any) -> GoldenPath:
    return GoldenPath.model_validate(manifest(name="nodejs-api", version="1.0.0", title="Node.js API", **changes))


def newer() -> GoldenPath:
    return GoldenPath.model_validate(manifest(name="nodejs-api", version="2.0.0", title="Node.js API"))


def handlers(**changes: Any) -> PipelineHandlers:
    ports: dict[str, Any] = {
        "golden_paths": InMemoryGoldenPaths({"nodejs-api": golden_path()}),
        "workflow_check": InMemoryWorkflowCheck(),
        "forge": InMemoryForge(),
        "progress": InMemoryProgress(),
        "platform_url": "http://127.0.0.1:8000",
    }
    return PipelineHandlers(**(ports | changes))
