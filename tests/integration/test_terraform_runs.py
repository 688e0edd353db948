"""Terraform on a real machine when things go wrong: kills, cancels, time limits, lost state; and what it lets out."""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from deploy.embedded.ports import free_port
from services.provisioner.adapters.infrastructure import TerraformInfrastructure
from services.provisioner.adapters.terraform_provider.__main__ import install
from services.provisioner.adapters.terraform_provider.server import check_private
from services.provisioner.ports import Files, Line
from tests.integration.terraform_trouble import held_database, is_waited_for, terraform_processes, until
from tests.machines import KINDS, RealMachine, files_of, no_report, start_machine
from tests.spans import recorded_spans


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMachine]:
    with start_machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


async def test_a_terraform_that_is_killed_in_mid_apply_is_made_good_by_a_repeat(machine: RealMachine) -> None:
    files = await files_of(machine, "killed")
    async with held_database(machine, "killed") as connection:
        applying = asyncio.create_task(machine.infrastructure.apply("killed", files, no_report))
        await until(lambda: bool(terraform_processes("apply", "killed")) and is_waited_for(connection))
        for process in terraform_processes("apply", "killed"):
            process.send_signal(signal.SIGKILL)
    with pytest.raises(TransientError):
        await applying
    # The provider finished what it had begun, and no state knows of it.
    assert machine.has("database", "killed")
    assert not terraform_processes("apply", "killed")
    await machine.infrastructure.apply("killed", files, no_report)
    assert all(machine.is_healthy(kind, "killed") for kind in KINDS)


async def test_a_terraform_that_was_killed_in_mid_apply_leaves_nothing_after_a_destroy(machine: RealMachine) -> None:
    files = await files_of(machine, "killed-and-undone")
    async with held_database(machine, "killed-and-undone") as connection:
        applying = asyncio.create_task(machine.infrastructure.apply("killed-and-undone", files, no_report))
        await until(lambda: is_waited_for(connection))
        for process in terraform_processes("apply", "killed-and-undone"):
            process.send_signal(signal.SIGKILL)
    with pytest.raises(TransientError):
        await applying
    receipt = await machine.infrastructure.destroy("killed-and-undone", files, no_report)
    assert "database" in {resource.kind for resource in receipt.removed}
    assert not any(machine.has(kind, "killed-and-undone") for kind in KINDS)


async def test_whoever_is_cancelled_leaves_no_process_and_a_repeat_goes_on(machine: RealMachine) -> None:
    files = await files_of(machine, "cancelled")
    async with held_database(machine, "cancelled") as connection:
        applying = asyncio.create_task(machine.infrastructure.apply("cancelled", files, no_report))
        await until(lambda: is_waited_for(connection))
        applying.cancel()
        await until(lambda: applying.cancelling() > 0)
    with pytest.raises(asyncio.CancelledError):
        await applying
    assert not terraform_processes("apply", "cancelled")
    applied = await machine.infrastructure.apply("cancelled", files, no_report)
    assert len(applied.resources) == len(KINDS)


async def test_a_command_that_takes_too_long_is_stopped_and_is_worth_another_try(machine: RealMachine) -> None:
    hasty = TerraformInfrastructure(
        replace(machine.knobs, command_timeout_seconds=1.0, stop_grace_seconds=1.0), machine.access
    )
    files = await files_of(machine, "slow")
    async with held_database(machine, "slow"):
        with pytest.raises(TransientError, match="too long"):
            await hasty.apply("slow", files, no_report)
        assert not terraform_processes("apply", "slow")
    await machine.infrastructure.apply("slow", files, no_report)
    await hasty.close()


async def test_two_runs_of_one_environment_do_not_meet(machine: RealMachine) -> None:
    files = await files_of(machine, "twice")
    async with held_database(machine, "twice") as connection:
        first = asyncio.create_task(machine.infrastructure.apply("twice", files, no_report))
        await until(lambda: is_waited_for(connection))
        with pytest.raises(TransientError, match="still under way"):
            await machine.infrastructure.apply("twice", files, no_report)
    await first


async def test_eight_environments_are_made_at_once(machine: RealMachine) -> None:
    names = [f"many-{number}" for number in range(8)]
    files = {name: await files_of(machine, name) for name in names}
    await asyncio.gather(*(machine.infrastructure.apply(name, files[name], no_report) for name in names))
    assert all(machine.is_healthy(kind, name) for kind in KINDS for name in names)
    receipts = await asyncio.gather(*(machine.infrastructure.destroy(name, files[name], no_report) for name in names))
    assert all(len(receipt.removed) == len(KINDS) for receipt in receipts)


async def test_a_database_that_is_away_is_worth_another_try(machine: RealMachine) -> None:
    assert machine.access.postgres is not None
    access = replace(machine.access, postgres=replace(machine.access.postgres, port=free_port()))
    elsewhere = TerraformInfrastructure(machine.knobs, access)
    with pytest.raises(TransientError, match="Not reachable now"):
        await elsewhere.apply("no-database", await files_of(machine, "no-database"), no_report)
    await elsewhere.close()


async def test_a_state_that_terraform_could_not_save_is_put_back(machine: RealMachine) -> None:
    files = await files_of(machine, "errored")
    await machine.infrastructure.apply("errored", files, no_report)
    directory = machine.knobs.directory / "errored"
    state = json.loads((directory / "terraform.tfstate").read_text())
    newest = directory / "configuration" / "errored.tfstate"
    newest.write_text(json.dumps(state | {"serial": state["serial"] + 1}))
    # What the backend has is older and knows of nothing.
    (directory / "terraform.tfstate").write_text(json.dumps(state | {"resources": []}))
    applied = await machine.infrastructure.apply("errored", files, no_report)
    assert applied.created == ()
    assert not newest.exists()


async def test_a_deployment_survives_an_update_and_is_no_drift(machine: RealMachine) -> None:
    await machine.infrastructure.apply("deployed", await files_of(machine, "deployed"), no_report)
    page = machine.get("deployed")
    assert page.status_code == 200
    assert "git clone http://127.0.0.1:8018/acme/deployed.git" in page.text
    handler = [{"handler": "static_response", "body": "the application"}]
    assert machine._caddy("PATCH", "/id/env-deployed-app/handle", handler).is_success
    applied = await machine.infrastructure.apply("deployed", await files_of(machine, "deployed"), no_report)
    assert applied.changed == ()
    await machine.infrastructure.apply("deployed", await files_of(machine, "deployed", branch="next"), no_report)
    assert machine.get("deployed").text == "the application"


async def test_what_people_type_is_taken_literally(machine: RealMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway refuses such a branch; here it is as if it did not, and nothing expands it."""
    monkeypatch.setenv("CANARY", "expanded")
    hostile = '${file("/etc/hostname")}%{ if true }{env.CANARY}<script>alert(1)</script>$(id)\';#'
    files = dict(await files_of(machine, "hostile"))
    variables = json.loads(files["terraform.tfvars.json"]) | {"branch": hostile}
    files["terraform.tfvars.json"] = json.dumps(variables).encode()
    await machine.infrastructure.apply("hostile", files, no_report)
    marker = json.loads((machine.runtime / "hostile" / ".slipway.json").read_text())
    assert marker["labels"]["branch"] == hostile
    page = machine.get("hostile").text
    assert "<script>" not in page
    assert "&#123;env.CANARY&#125;" in page
    assert "expanded" not in page


async def test_no_credential_is_in_the_files_that_terraform_leaves(machine: RealMachine) -> None:
    await machine.infrastructure.apply("quiet", await files_of(machine, "quiet"), no_report)
    assert machine.access.postgres is not None
    assert machine.access.dns is not None
    secrets = [
        machine.access.postgres.password.get_secret_value().encode(),
        machine.access.dns.key_secret.get_secret_value().encode(),
    ]
    left = [path for path in (machine.knobs.directory / "quiet").rglob("*") if path.is_file()]
    assert len(left) > 10
    for path in left:
        assert not any(secret in path.read_bytes() for secret in secrets), path


async def test_terraform_sees_only_the_variables_it_is_meant_to(
    machine: RealMachine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for terraform")
    monkeypatch.setenv("ALLOWED", "yes")
    script = tmp_path / "terraform"
    script.write_text(f'#!/bin/sh\nenv > "{tmp_path}/seen"\nexec {" ".join(machine.knobs.argv)} "$@"\n')
    script.chmod(0o755)
    knobs = replace(machine.knobs, argv=(str(script),), also_passed_on=("ALLOWED",))
    infrastructure = TerraformInfrastructure(knobs, machine.access)
    await infrastructure.apply("seen", await files_of(machine, "seen"), no_report)
    await infrastructure.close()
    seen = {line.partition("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
    assert "ALLOWED" in seen
    assert "TF_REATTACH_PROVIDERS" in seen
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert {name for name in seen if name.startswith("SLIPWAY_")} == set()


async def test_a_syntax_error_is_permanent_and_says_where(machine: RealMachine) -> None:
    files: Files = dict(await files_of(machine, "broken")) | {"modules/environment/main.tf": b"resource {"}
    with pytest.raises(PermanentError) as refused:
        await machine.infrastructure.apply("broken", files, no_report)
    assert refused.value.code == "terraform_refused"
    assert "main.tf" in str(refused.value)


async def test_a_path_that_leads_out_of_the_directory_is_refused(machine: RealMachine) -> None:
    files: Files = dict(await files_of(machine, "outside")) | {"../../outside.txt": b"x"}
    with pytest.raises(PermanentError, match="may not be there"):
        await machine.infrastructure.apply("outside", files, no_report)


def test_a_socket_directory_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(PermissionError):
        check_private(tmp_path / "open")


async def test_every_step_and_resource_has_a_span_below_the_run(
    machine: RealMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = recorded_spans(monkeypatch)
    with tracing.span("the run") as run:
        await machine.infrastructure.apply("traced", await files_of(machine, "traced"), no_report)
        trace_id = run.get_span_context().trace_id
    spans = [span for span in exporter.get_finished_spans() if span.context and span.context.trace_id == trace_id]
    names = {span.context.span_id: span.name for span in spans if span.context}

    def parent(span: ReadableSpan) -> str:
        return names[span.parent.span_id] if span.parent else ""

    steps = [span.name for span in spans if parent(span) == "the run"]
    assert steps == ["terraform init", "terraform apply", "terraform plan"]
    made = {span.name for span in spans if parent(span) == "terraform apply"}
    assert made == {f"slipway_{kind} create" for kind in KINDS}
    assert {span.name for span in spans if parent(span) == "terraform plan"} == {
        f"slipway_{kind} read" for kind in KINDS
    }


async def test_lines_come_while_the_work_goes_on(machine: RealMachine) -> None:
    lines: list[Line] = []
    files = await files_of(machine, "told")
    async with held_database(machine, "told") as connection:
        applying = asyncio.create_task(machine.infrastructure.apply("told", files, lines.append))
        await until(lambda: is_waited_for(connection) and any("Creation complete" in line.text for line in lines))
        assert not applying.done()
    await applying
    assert any(re.search(r"Resources: 4 added", line.text) for line in lines)


async def test_terraform_by_hand_finds_nothing_to_do_and_imports_what_is_there(
    machine: RealMachine, tmp_path: Path
) -> None:
    """The ordinary executable in a filesystem mirror, started by Terraform itself."""
    await machine.infrastructure.apply("by-hand", await files_of(machine, "by-hand"), no_report)
    install(tmp_path / "mirror")
    (tmp_path / "rc").write_text(f'provider_installation {{\n filesystem_mirror {{ path = "{tmp_path}/mirror" }}\n}}\n')
    settings = {
        f"SLIPWAY_PROVISIONER_{key.upper()}": str(value)
        for key, value in machine.settings.model_dump(mode="json").items()
        if value is not None
    }
    environment = settings | {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TF_CLI_CONFIG_FILE": str(tmp_path / "rc"),
    }
    directory = machine.knobs.directory / "by-hand" / "configuration"

    def terraform(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*machine.knobs.argv, *arguments],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    started = terraform("init", "-input=false")
    assert started.returncode == 0, started.stderr
    planned = terraform("plan", "-input=false", "-detailed-exitcode", "-no-color")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    state = json.loads((directory.parent / "terraform.tfstate").read_text())
    namespace = next(found for found in state["resources"] if found["type"] == "slipway_namespace")
    address = f"{namespace['module']}.{namespace['type']}.{namespace['name']}"
    incarnation = namespace["instances"][0]["attributes"]["incarnation"]
    assert terraform("state", "rm", address).returncode == 0
    imported = terraform("import", "-input=false", address, f"by-hand/{incarnation}/by-hand")
    assert imported.returncode == 0, imported.stderr
    assert terraform("plan", "-input=false", "-detailed-exitcode").returncode == 0
