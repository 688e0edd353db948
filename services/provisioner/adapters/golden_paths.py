"""The Terraform of golden paths and of the platform's modules, from directories that ship with the platform."""

import asyncio
import re
from pathlib import Path
from typing import Final

from chassis.failures import PermanentError
from services.provisioner.ports import Files

_SOURCE: Final = re.compile(rb'(?m)^(\s*source\s*=\s*)"\.\./\.\./\.\./deploy/terraform/local/([a-z][a-z0-9-]*)"')
_NEIGHBOUR: Final = re.compile(rb'(?m)^\s*source\s*=\s*"\.\./([a-z][a-z0-9-]*)"')
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")


class DirectoryGoldenPaths:
    """The port `GoldenPaths` over `<golden paths>/<name>/terraform` and `<modules>/<target>/<module>`.

    A golden path names the `local` modules by their path in this repository, so that it can be validated where it
    stands. In a snapshot they are its neighbours, and they are those of `target`, with what they use of each other.
    """

    def __init__(self, golden_paths: Path, modules: Path, target: str) -> None:
        """Nothing is read before it is asked for."""
        self._golden_paths = golden_paths
        self._modules = modules / target

    async def modules(self, golden_path: str) -> Files:
        """See the port."""
        return await asyncio.to_thread(self._snapshot, golden_path)

    def _snapshot(self, golden_path: str) -> Files:
        directory = self._golden_paths / golden_path / "terraform"
        if not _NAME.fullmatch(golden_path) or not directory.is_dir():
            raise PermanentError(
                "unknown_golden_path",
                f"this platform has no golden path called {golden_path}",
                next_step="Choose one of the golden paths in the catalogue.",
            )
        files: dict[str, bytes] = {}
        needed: set[str] = set()
        for name, content in _terraform_files(directory).items():
            needed |= {found[2].decode() for found in _SOURCE.finditer(content)}
            files[f"environment/{name}"] = _SOURCE.sub(rb'\1"../\2"', content)
        waiting = sorted(needed)
        while waiting:
            module = waiting.pop(0)
            found = _terraform_files(self._modules / module)
            if not found:
                raise PermanentError(
                    "bad_golden_path",
                    f"the golden path {golden_path} needs the module {module}, which is not in {self._modules.name}",
                    next_step="Tell the team that answers for the golden path.",
                )
            files |= {f"{module}/{name}": content for name, content in found.items()}
            used = {name[1].decode() for content in found.values() for name in _NEIGHBOUR.finditer(content)}
            waiting += sorted(used - needed)
            needed |= used
        return files


def _terraform_files(directory: Path) -> dict[str, bytes]:
    """The module's own files; no state, no lock, no downloads that somebody's hand-run left there."""
    return {path.name: path.read_bytes() for path in sorted(directory.glob("*.tf"))}
