"""`slipway kubeconfig`: a file for kubectl, and what kubectl asks for by itself."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cli.conftest import Slipway
from tests.unit.cli.samples import NAME
from tests.unit.cli.scripted import ScriptedGateway, problem

ADDRESS = f"/api/v1/environments/{NAME}/kubeconfig"
TOKEN = "a.login.token"
END = "2026-11-23T10:00:00.000000Z"


@pytest.fixture
def made(gateway: ScriptedGateway) -> dict[str, Any]:
    context = f"slipway-{NAME}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "slipway", "cluster": {"server": "https://cluster.test"}}],
        "users": [{"name": context, "user": {"token": TOKEN}}],
        "contexts": [{"name": context, "context": {"cluster": "slipway", "user": context, "namespace": NAME}}],
        "current-context": context,
    }
    answer = {"environment": NAME, "namespace": NAME, "token": TOKEN, "expires_at": END, "kubeconfig": config}
    gateway.on("POST", ADDRESS, answer)
    return config


def test_the_file_is_printed_and_nothing_else_with_it(slipway: Slipway, made: dict[str, Any]) -> None:
    said = slipway("kubeconfig", NAME)
    assert said.code == 0
    assert yaml.safe_load(said.out) == made
    assert TOKEN not in said.err
    assert json.loads(slipway("kubeconfig", NAME, "-o", "json").out) == made


def test_a_file_is_for_its_owner_alone_whatever_was_there(
    slipway: Slipway, made: dict[str, Any], tmp_path: Path
) -> None:
    target = tmp_path / "config"
    target.write_text("everybody could read this")
    target.chmod(0o644)
    said = slipway("kubeconfig", NAME, "--file", str(target))
    assert said.code == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert yaml.safe_load(target.read_text()) == made
    assert TOKEN not in said.out + said.err
    assert [path.name for path in tmp_path.glob(".config*")] == []


def test_a_file_that_cannot_be_written_is_told(slipway: Slipway, made: dict[str, Any], tmp_path: Path) -> None:
    said = slipway("kubeconfig", NAME, "--file", str(tmp_path / "nowhere" / "config"))
    assert said.code == 1
    assert "cannot be written" in said.err


def test_with_exec_there_is_no_token_but_the_command_that_gets_one(
    slipway: Slipway, gateway: ScriptedGateway, made: dict[str, Any]
) -> None:
    said = slipway("kubeconfig", NAME, "--exec")
    assert TOKEN not in said.out
    config = yaml.safe_load(said.out)
    (user,) = config["users"]
    command = user["user"]["exec"]
    assert command["apiVersion"] == "client.authentication.k8s.io/v1"
    assert command["interactiveMode"] == "Never"
    assert [command["command"], *command["args"]] == [
        "slipway",
        "kubeconfig",
        NAME,
        "--credential",
        "--url",
        gateway.url,
    ]
    assert {key: config[key] for key in ("clusters", "contexts")} == {
        key: made[key] for key in ("clusters", "contexts")
    }


def test_what_kubectl_asks_for_is_one_credential_with_its_end_whatever_a_variable_says(
    slipway: Slipway, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLIPWAY_KUBECONFIG_FILE", str(tmp_path / "config"))
    said = slipway("kubeconfig", NAME, "--credential")
    assert json.loads(said.out) == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": TOKEN, "expirationTimestamp": END},
    }
    assert not (tmp_path / "config").exists()


def test_a_platform_without_a_cluster_says_what_to_do_instead(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", ADDRESS, problem(409, "no_cluster", title="There is no cluster", detail="See `slipway logs`."))
    said = slipway("kubeconfig", NAME)
    assert said.code == 3
    assert "There is no cluster." in said.err
    assert "slipway logs" in said.err
