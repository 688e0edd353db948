"""The service's deeds over a forge, a developer who uses the same forge, and a connection that breaks."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from chassis.failures import TransientError
from contracts.values import EnvironmentSpec, Pipeline, Receipt
from services.cicd.adapters.github import GitHubForge
from services.cicd.adapters.golden_paths import DirectoryGoldenPaths
from services.cicd.adapters.memory import InMemoryForge, InMemoryProgress, InMemoryWorkflowCheck
from services.cicd.domain import File
from services.cicd.handlers import PipelineHandlers
from services.cicd.ports import Forge
from tests.integration.forge_process import ForgeProcess
from tests.unit.cicd.events import NOON, deletion_requested, secrets_stored, spec, update_failed, update_stored

ROOT = Path(__file__).parents[3]
PLATFORM = "http://127.0.0.1:8000"
NEW = "2.0.0"
"""A version of the golden path that is published later than the one that environments begin with."""
WRITES = frozenset(
    {
        "archive",
        "close_pull_request",
        "commit",
        "create",
        "create_branch",
        "delete",
        "delete_branch",
        "delete_environment",
        "delete_variable",
        "describe",
        "forward_branch",
        "open_pull_request",
        "protect_branch",
        "put_branch",
        "put_environment",
        "reopen_pull_request",
        "run_workflow",
        "set_topics",
        "set_variable",
    }
)


@dataclass
class Interrupted:
    """A forge whose connection breaks at one of its writes: before it, so that nothing happens, or after it, so that it
    happens and nobody is told."""

    forge: Forge
    at: int
    after: bool
    writes: int = field(default=0)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.forge, name)
        if name not in WRITES:
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            self.writes += 1
            broken = self.writes == self.at
            if broken and not self.after:
                raise TransientError(f"502 before {name}")
            answer = await method(*arguments, **named)
            if broken:
                raise TransientError(f"502 after {name}")
            return answer

        return call


class Workbench:
    """The service's deeds over a forge, and a developer who uses the same forge."""

    def __init__(self, forge: Forge, published: Path) -> None:
        self.forge = forge
        self.published = published
        shutil.copytree(ROOT / "golden_paths" / "nodejs-api", published / "nodejs-api")
        self.publish(spec().golden_path_version)

    def publish(self, version: str) -> None:
        """Another version of the golden path takes the place of the one there is."""
        manifest = self.published / "nodejs-api" / "golden_path.yaml"
        text = re.sub(r"(?m)^version: .*$", f"version: {version}", manifest.read_text(encoding="utf-8"))
        manifest.write_text(text, encoding="utf-8")

    def deeds(self, forge: Forge | None = None) -> PipelineHandlers:
        return PipelineHandlers(
            golden_paths=DirectoryGoldenPaths(self.published),
            workflow_check=InMemoryWorkflowCheck(),
            forge=forge or self.forge,
            progress=InMemoryProgress(),
            platform_url=PLATFORM,
        )

    async def create(self, wanted: EnvironmentSpec, forge: Forge | None = None) -> Pipeline:
        return (await self.deeds(forge).create_pipeline(secrets_stored(wanted))).pipeline

    async def remove(self, wanted: EnvironmentSpec, forge: Forge | None = None) -> Receipt:
        return (await self.deeds(forge).remove_pipeline(deletion_requested(wanted))).receipt

    async def update(
        self, wanted: EnvironmentSpec, previous: EnvironmentSpec, run: str = "update", forge: Forge | None = None
    ) -> Pipeline:
        return (await self.deeds(forge).create_pipeline(update_stored(wanted, previous, run))).pipeline

    async def restore(
        self, wanted: EnvironmentSpec, previous: EnvironmentSpec, run: str = "update", forge: Forge | None = None
    ) -> Receipt:
        return (await self.deeds(forge).remove_pipeline(update_failed(wanted, previous, run))).receipt

    async def workflow(self, wanted: EnvironmentSpec, at: str) -> str | None:
        """The environment's workflow on a branch or in a commit."""
        content = await self.forge.read(wanted.repository, workflow_of(wanted.name), at=at)
        return None if content is None else content.decode()

    async def existing(self, repository: str) -> None:
        """A repository with an application of its own in it."""
        await self.forge.create(repository, description="An application", homepage="")
        await self.push(repository, "main", {"src/main.js": b"console.log('ours')\n"})

    async def push(self, repository: str, branch: str, files: dict[str, bytes]) -> str:
        """A developer's commit on a branch, which is made from the default one where it does not exist."""
        branches = await self.forge.branches(repository)
        found = await self.forge.find(repository)
        assert found is not None
        head = branches.get(branch) or branches[found.default_branch]
        commit = await self.forge.commit(
            repository,
            files=[File(path, content) for path, content in files.items()],
            parent=head,
            keep_other_files=True,
            message="Work",
            at=NOON,
        )
        move = self.forge.forward_branch if branch in branches else self.forge.create_branch
        await move(repository, branch, commit.sha)
        return commit.sha

    async def discard(self, repository: str, branch: str, path: str) -> None:
        """A developer's commit that removes a file."""
        content = await self.forge.read(repository, path, at=branch) or b""
        if isinstance(self.forge, InMemoryForge):
            self.forge.push(repository, branch, {path: None}, "Remove it")
        elif isinstance(self.forge, GitHubForge):
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            await self.forge.on(
                repository, "remove a file", lambda repo: repo.delete_file(path, "Remove it", blob, branch=branch)
            )

    async def merge(self, repository: str, head: str, base: str) -> None:
        """Fast-forward `base` to `head`, which merges their pull request."""
        await self.forge.forward_branch(repository, base, (await self.forge.branches(repository))[head])

    async def state(self, repository: str) -> dict[str, Any] | None:
        """Everything there is, told without what differs between two repositories that were made alike."""
        found = await self.forge.find(repository)
        if found is None:
            return None
        name = repository.partition("/")[2]
        histories = {
            branch: [_words(commit.message) for commit in await self.forge.history(repository, head, limit=10)]
            for branch, head in (await self.forge.branches(repository)).items()
        }
        pulls = [(pull.base, pull.open) for pull in await self.forge.pull_requests(repository, head=f"slipway/{name}")]
        told = {
            "description": found.description,
            "default_branch": found.default_branch,
            "topics": list(await self.forge.topics(repository)),
            "variables": dict(await self.forge.variables(repository)),
            "environment": await self.forge.has_environment(repository, name),
            "histories": histories,
            "pulls": pulls,
        }
        upper = name.upper().replace("-", "_")
        alike: dict[str, Any] = json.loads(json.dumps(told).replace(name, "NAME").replace(upper, "UPPER"))
        return alike


def workflow_of(name: str) -> str:
    return f".github/workflows/slipway-{name}.yml"


def client_of(forge: ForgeProcess) -> GitHubForge:
    return GitHubForge(forge.api, SecretStr(forge.tokens["slipway"]), pause_seconds=(0, 0))


async def writes_of(deed: Callable[[Forge], Any], forge: Forge) -> int:
    """How often a deed writes."""
    counting = Interrupted(forge, at=0, after=False)
    await deed(counting)
    return counting.writes


def _words(message: str) -> str:
    """A message without the digest, which follows from the name that the workflow holds."""
    return re.sub("Slipway-Workflow: [0-9a-f]{64}", "Slipway-Workflow: DIGEST", message)


def at_version(version: str, before: EnvironmentSpec, **changes: Any) -> EnvironmentSpec:
    """The desired state with another version of the golden path."""
    return before.model_copy(update={"golden_path_version": version, **changes})


async def made_for(bench: Workbench, name: str) -> EnvironmentSpec:
    """An environment with a repository of its own."""
    before = spec(name)
    await bench.create(before)
    return before


async def attached_to(bench: Workbench, name: str, *, merged: bool) -> EnvironmentSpec:
    """An environment in a repository of somebody else's."""
    before = spec(name)
    await bench.existing(before.repository)
    await bench.create(before)
    if merged:
        await bench.merge(before.repository, f"slipway/{name}", "main")
    return before
