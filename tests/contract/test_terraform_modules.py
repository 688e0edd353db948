"""Every golden path's Terraform, as the provisioner would apply it: formatted, valid, and true to its manifest.

Under the Terraform found on PATH and under the one in the wheel, which is what the embedded platform runs.
"""

import asyncio
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.embedded.terraform import embedded_terraform, find_terraform
from services.provisioner.adapters.terraform_provider.access import Access
from services.provisioner.adapters.terraform_provider.provider import SlipwayProvider
from services.provisioner.adapters.terraform_provider.server import ProviderServer
from services.provisioner.adapters.terraform_workspace import (
    TerraformKnobs,
    cli_config,
    environment_of,
    lay_out,
)
from services.provisioner.domain import OUTPUTS, Platform, render
from tests.machines import GOLDEN_PATHS, PROJECT, incarnation, spec_of

NAMES = sorted(path.parent.name for path in (PROJECT / "golden_paths").glob("*/terraform"))
COMMANDS = {"found": find_terraform(), "embedded": embedded_terraform()}


def declared(name: str, block: str) -> set[str]:
    directory = PROJECT / "golden_paths" / name / "terraform"
    text = "\n".join(path.read_text() for path in directory.glob("*.tf"))
    return set(re.findall(rf'(?m)^{block} "(\w+)"', text))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_modules_are_formatted(command: str) -> None:
    directories = [str(PROJECT / "deploy" / "terraform" / "local"), str(PROJECT / "golden_paths")]
    for directory in directories:
        done = subprocess.run(
            [*COMMANDS[command], "fmt", "-check", "-recursive", "-diff", directory],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_rendered_environment_is_valid(
    command: str, name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    manifest = yaml.safe_load((PROJECT / "golden_paths" / name / "golden_path.yaml").read_text())
    parameters = {key: rule["default"] for key, rule in manifest["parameters"]["properties"].items()}
    spec = spec_of("demo-api").model_copy(update={"golden_path": name, "parameters": parameters})
    platform = Platform("slipway.localhost", "127.0.0.1", 80, "127.0.0.1", 5432, "apps", "http://forge.test")
    lay_out(tmp_path / "x", render(spec, incarnation(1), asyncio.run(GOLDEN_PATHS.modules(name)), platform))
    knobs = TerraformKnobs(tuple(COMMANDS[command]), tmp_path, tmp_path)
    (tmp_path / "terraform.rc").write_text(cli_config(knobs))
    sockets = tmp_path_factory.mktemp("s")
    sockets.chmod(0o700)
    with ProviderServer(SlipwayProvider(Access()), sockets) as server:
        for arguments in (["init", "-backend=false", "-input=false"], ["validate", "-json"]):
            done = subprocess.run(
                [*COMMANDS[command], *arguments],
                cwd=tmp_path / "x",
                env=environment_of(knobs) | server.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["valid"] is True


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_path_declares_what_it_is_given_and_puts_out_what_is_asked(name: str) -> None:
    manifest = yaml.safe_load((PROJECT / "golden_paths" / name / "golden_path.yaml").read_text())
    given = {"name", "incarnation", "kind", "owner", "team", "repository", "branch", "clone_url", "platform"}
    assert declared(name, "variable") == given | set(manifest["parameters"]["properties"])
    assert declared(name, "output") >= set(OUTPUTS)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("arguments", "code"), [(["version"], 0), (["nonsense"], 1), (["fmt", "/nowhere"], 2)])
def test_terraform_answers_with_its_own_exit_code(
    command: str, arguments: list[str], code: int, tmp_path: Path
) -> None:
    done = subprocess.run([*COMMANDS[command], *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    if arguments == ["version"]:
        assert done.stdout.startswith("Terraform v")
