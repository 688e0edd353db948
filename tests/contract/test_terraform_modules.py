"""Every golden path's Terraform, as the provisioner would apply it: formatted, valid, true to its manifest, and, on a
real machine, everything that it should be and nothing else.

Under the Terraform found on PATH and under the one in the wheel, which is what the embedded platform runs.
"""

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from contracts.values import EnvironmentSpec
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
from services.provisioner.domain import OUTPUTS, Platform, infrastructure_of, render
from tests.machines import (
    GOLDEN_PATHS,
    KINDS,
    PROJECT,
    Kind,
    Machine,
    RealMachine,
    TwinMachine,
    incarnation,
    no_report,
    spec_of,
    start_machine,
)

NAMES = sorted(path.parent.name for path in (PROJECT / "golden_paths").glob("*/terraform"))
COMMANDS = {"found": find_terraform(), "embedded": embedded_terraform()}
THINGS: dict[str, set[Kind]] = {
    "nodejs-api": {"namespace", "database", "dns_record", "route"},
    "worker": {"namespace", "database"},
    "frontend": {"namespace", "dns_record", "route"},
}
"""What an environment of each golden path consists of."""


def spec_from(golden_path: str, name: str) -> EnvironmentSpec:
    """What somebody asks for who says nothing but a name and a golden path."""
    manifest = yaml.safe_load((PROJECT / "golden_paths" / golden_path / "golden_path.yaml").read_text())
    parameters = {key: rule["default"] for key, rule in manifest["parameters"]["properties"].items()}
    return spec_of(name).model_copy(update={"golden_path": golden_path, "parameters": parameters})


def declared(name: str, block: str) -> set[str]:
    directory = PROJECT / "golden_paths" / name / "terraform"
    text = "\n".join(path.read_text() for path in directory.glob("*.tf"))
    return set(re.findall(rf'(?m)^{block} "(\w+)"', text))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_modules_are_formatted(command: str) -> None:
    directories = [str(PROJECT / "deploy" / "terraform"), str(PROJECT / "golden_paths")]
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
    platform = Platform("slipway.localhost", "127.0.0.1", 80, "127.0.0.1", 5432, "apps", "http://forge.test")
    files = render(spec_from(name, "demo-api"), incarnation(1), asyncio.run(GOLDEN_PATHS.modules(name)), platform)
    lay_out(tmp_path / "x", files)
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


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMachine]:
    with start_machine(tmp_path_factory.mktemp("machine")) as running:
        yield running


@pytest.fixture(params=["twin", "terraform"])
def machine(request: pytest.FixtureRequest) -> Machine:
    if request.param == "twin":
        return TwinMachine()
    found: RealMachine = request.getfixturevalue("real")
    return found


@pytest.mark.parametrize("name", NAMES)
async def test_an_environment_is_what_its_golden_path_needs_and_nothing_else(machine: Machine, name: str) -> None:
    things, environment = THINGS[name], f"try-{name}"
    modules = await GOLDEN_PATHS.modules(name)
    files = render(spec_from(name, environment), incarnation(1), modules, machine.platform)
    applied = await machine.infrastructure.apply(environment, files, no_report)
    assert {resource.kind for resource in applied.created} == things
    assert {kind for kind in KINDS if machine.has(kind, environment)} == things
    assert all(machine.is_healthy(kind, environment) for kind in things)
    told = infrastructure_of(applied, "0" * 40)
    assert told.namespace == environment
    assert (told.hostname is not None) == ("dns_record" in things)
    assert (told.url is not None) == ("route" in things)
    assert (told.database is not None) == ("database" in things)
    if isinstance(machine, RealMachine):
        assert machine.get(environment).status_code == (200 if "route" in things else 404)

    again = await machine.infrastructure.apply(environment, files, no_report)
    assert again.created == again.changed == again.destroyed == ()
    receipt = await machine.infrastructure.destroy(environment, files, no_report)
    assert {resource.kind for resource in receipt.removed} == things
    assert receipt.left_behind == ()
    assert not any(machine.has(kind, environment) for kind in KINDS)


def test_what_every_golden_path_consists_of_is_said() -> None:
    assert sorted(THINGS) == NAMES


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("arguments", "code"), [(["version"], 0), (["nonsense"], 1), (["fmt", "/nowhere"], 2)])
def test_terraform_answers_with_its_own_exit_code(
    command: str, arguments: list[str], code: int, tmp_path: Path
) -> None:
    done = subprocess.run([*COMMANDS[command], *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    if arguments == ["version"]:
        assert done.stdout.startswith("Terraform v")
