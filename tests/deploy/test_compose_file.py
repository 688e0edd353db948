"""`docker-compose.yml`: valid by Compose's own schema, complete in itself, and as strict as it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from deploy.compose.images import COMPOSE_FILE, pinned
from deploy.compose.places import FORGE_FOR_GIT, GATEWAY_FOR_CURL, Containers
from deploy.compose.shares import SHARES
from deploy.embedded.processes import PROJECT
from deploy.embedded.service_parts import services
from deploy.image.directories import DIRECTORIES
from deploy.image.processes import PROCESSES
from tests.deploy.composition import OURS, Container, composition, containers

ROOT = "/srv/slipway/"
SERVICES = ("gateway", "provisioner", "secrets", "cicd", "catalog", "notifier")
CONTAINERS = containers()
WITHOUT_HEALTHCHECK = {"otel-collector", "jaeger", "dns"}
"""Their images promise no program that could ask; each says so in the file."""


def every_container() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)


def test_the_compose_file_is_valid_by_the_specifications_own_schema() -> None:
    # compose-spec/compose-spec, schema/compose-spec.json; its licence is beside it.
    schema = json.loads(Path(__file__).with_name("compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(composition())


@every_container()
def test_a_container_runs_as_nobody_in_particular_and_can_change_nothing_but_its_data(container: Container) -> None:
    told = container.told
    assert told["user"] == "10001:10001"
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert "cap_add" not in told
    assert not told.get("privileged")
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert told["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert told["logging"]["options"]["max-size"]
    assert told["restart"] == ("no" if container.healthcheck is None and container.is_ours else "unless-stopped")


@every_container()
def test_an_image_is_built_here_or_pinned_by_version_and_digest(container: Container) -> None:
    image = container.told["image"]
    if image.startswith(OURS):
        arguments = container.told["build"]["args"]
        assert (PROJECT / container.told["build"]["dockerfile"]).is_file()
        assert arguments["SERVICE"] in PROCESSES
        assert image == f"{OURS}{arguments['SERVICE']}:dev"
    else:
        (found,) = pinned(image)
        assert found.tag != "latest"
        assert f"{found.version}@{found.digest}" == image


@every_container()
def test_a_port_is_published_on_this_machines_loopback_alone(container: Container) -> None:
    ports = container.told.get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in ports)
    # An internal network lets nothing in, so whoever publishes is on the other one as well.
    assert not ports or "edge" in container.networks
    inner = [port for port in ports if container.is_ours and port.split(":")[1] != port.split(":")[2]]
    assert not inner, "an address that people see and one that containers use would differ"


@every_container()
def test_what_a_container_needs_and_mounts_exists(container: Container) -> None:
    whole = composition()
    for name, condition in container.needs.items():
        other = CONTAINERS[name]
        assert condition != "service_healthy" or other.healthcheck is not None
        assert condition != "service_completed_successfully" or other.told["restart"] == "no"
    assert {mount["source"] for mount in container.volumes} <= whole["volumes"].keys()
    assert container.networks.keys() <= whole["networks"].keys()
    for config in container.told.get("configs", []):
        assert (PROJECT / whole["configs"][config["source"]]["file"]).is_file()
    for mount in container.told.get("volumes", []):
        assert mount["type"] == "volume" or ((PROJECT / mount["source"]).is_dir() and mount["read_only"])
    mode = str(container.told.get("network_mode", ""))
    assert not mode.startswith("service:") or mode.removeprefix("service:") in container.needs


@every_container()
def test_a_container_says_how_it_is_unless_its_image_has_nothing_to_ask_with(container: Container) -> None:
    is_job = container.told["restart"] == "no"
    assert (container.healthcheck is None) == (is_job or container.name in WITHOUT_HEALTHCHECK)


def test_the_bus_and_the_database_are_on_a_network_that_leads_nowhere() -> None:
    networks = composition()["networks"]
    assert networks["platform"]["internal"] is True
    for name in ("nats", "postgres", "openbao", "dns", "otel-collector"):
        assert list(CONTAINERS[name].networks) == ["platform"]
        assert "ports" not in CONTAINERS[name].told


@every_container()
def test_no_secret_is_a_variable_and_each_that_is_named_is_on_the_containers_own_volume(container: Container) -> None:
    named = {
        value.removeprefix(f"{ROOT}keys/")
        for value in [*container.environment.values(), *container.argv]
        if value.startswith(f"{ROOT}keys/")
    }
    # The page of the people names theirs and never reads it.
    assert named <= {*SHARES.get(container.name, ()), *(["people.txt"] if container.name == "people" else [])}
    for name, value in container.environment.items():
        is_named_so = re.search(r"PASSWORD|SECRET(?!S)|TOKEN|_KEY", name) is not None
        assert not is_named_so or value.startswith("/"), f"{name} is a value"


def test_each_container_with_secrets_has_a_volume_of_its_own_for_them() -> None:
    for name in SHARES:
        (mount,) = (one for one in CONTAINERS[name].volumes if one["target"] == f"{ROOT}keys")
        assert mount["source"] == f"keys-{name}"
        assert mount["read_only"] is True
    of_all = {name for name, one in CONTAINERS.items() if any(mount["source"] == "keys" for mount in one.volumes)}
    assert of_all == {"prepare", "database", "provision"}


def test_the_first_job_uses_every_volume_so_that_none_belongs_to_root() -> None:
    """Docker gives a new volume the owner of the directory at its place in the image of its first container."""
    first = {mount["source"]: mount["target"] for mount in CONTAINERS["prepare"].volumes}
    assert first.keys() == composition()["volumes"].keys()
    assert {target.removeprefix(ROOT) for target in first.values()} <= set(DIRECTORIES)
    for name, container in CONTAINERS.items():
        others = set(container.needs) - {"prepare"}
        assert name == "prepare" or "prepare" in container.needs or others or not container.volumes
        for mount in container.volumes:
            if not mount["source"].startswith("keys"):
                assert mount["target"] == first[mount["source"]]


def test_two_containers_that_write_to_one_volume_are_meant_to() -> None:
    shared: dict[str, set[str]] = {}
    for name, container in CONTAINERS.items():
        if container.told["restart"] != "no":
            for mount in container.volumes:
                if not mount.get("read_only"):
                    shared.setdefault(mount["source"], set()).add(name)
    assert {source: names for source, names in shared.items() if len(names) > 1} == {
        "runtime": {"provisioner", "runtime"},  # a slot's directory is Terraform's, what is in it the runtime's
        "sockets": {"ingress", "provisioner", "runtime"},  # the admin API of Caddy, and what is live
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_told_what_the_embedded_platform_tells_it_and_no_more(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_SUBNET", "172.30.80.0/24")
    (part,) = (one for one in services(Containers.from_environment(tmp_path)) if one.name == name)
    expected = {
        variable: value.replace(f"{tmp_path}/", ROOT)
        for variable, value in part.launch().environment.items()
        if variable.startswith("SLIPWAY_")
    }
    differs = {
        "SLIPWAY_OTLP_ENDPOINT": "http://otel-collector:4318",
        "SLIPWAY_HEALTH_HOST": "0.0.0.0",
        "SLIPWAY_SERVICE": name,
    }
    differs |= {
        "gateway": {
            "SLIPWAY_GATEWAY_HOST": "0.0.0.0",
            # The only key that a service makes itself: on a volume that it may write to.
            "SLIPWAY_GATEWAY_ADMIN_TOKEN_FILE": f"{ROOT}data/gateway/admin.token",
        },
        "provisioner": {
            "SLIPWAY_PROVISIONER_POSTGRES_HOST": "postgres",
            "SLIPWAY_PROVISIONER_DNS_HOST": "dns",
            "SLIPWAY_PROVISIONER_REPOSITORY_URL": f"{FORGE_FOR_GIT}/platform/environments.git",
            "SLIPWAY_PROVISIONER_SOCKETS_DIRECTORY": "/run/slipway",
            "SLIPWAY_PROVISIONER_TERRAFORM": f"python -I {ROOT}app/deploy/embedded/terraform.py",
        },
        "cicd": {"SLIPWAY_CICD_PLATFORM_URL": GATEWAY_FOR_CURL},
    }.get(name, {})
    # Docker waits for a container as long as Compose says; the service's own patience may be longer than embedded.
    expected.pop("SLIPWAY_SHUTDOWN_GRACE_SECONDS", None)
    # Readers of the bus come by a command of the embedded platform, which has the server read its users again.
    expected.pop("SLIPWAY_NOTIFIER_READERS_FILE", None)
    told = {key: value for key, value in CONTAINERS[name].environment.items() if key.startswith("SLIPWAY_")}
    assert told == expected | differs


def test_the_file_holds_no_reference_that_is_not_pinned() -> None:
    text = COMPOSE_FILE.read_text(encoding="utf-8")
    assert {f"{one.version}@{one.digest}" for one in pinned(text)} == {
        str(one.told["image"]) for one in CONTAINERS.values() if not one.is_ours
    }
