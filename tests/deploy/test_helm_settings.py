"""What a pod is told is what its process reads: variables by the settings' own classes, and every file they name."""

from __future__ import annotations

import json
import os
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict
from pydantic_settings import BaseSettings

from chassis.settings import ChassisSettings, DatabaseSettings
from contracts.readers import ReaderList
from deploy.helm import keys
from deploy.helm.settings import BY_THE_CHART, SETTINGS, WITH_DATABASE
from deploy.streams import BusAccess
from services.gateway.domain.policy import Policy
from tests.deploy.charts import (
    EXAMPLE_NAMES,
    PARTS,
    SERVICES,
    Json,
    Rendered,
    containers,
    examples,
    made_keys,
    variables,
)

KEYS = PurePosixPath("/srv/slipway/keys")
NOT_OURS = {"SSL_CERT_FILE", "AWS_REGION", "PYTHONASYNCIODEBUG"}
"""Read by libraries and by Terraform."""


@pytest.fixture(params=EXAMPLE_NAMES)
def chart(request: pytest.FixtureRequest) -> Rendered:
    """Each example in turn."""
    return examples()[request.param]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Reads settings out of nothing but the given variables."""

    def reading(settings: type[BaseSettings], told: dict[str, str]) -> Any:
        for name in tuple(os.environ):
            monkeypatch.delenv(name)
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        return settings()

    return reading


def read_by(service: str) -> list[type[BaseSettings]]:
    return [ChassisSettings, SETTINGS[service], *([DatabaseSettings] if service in WITH_DATABASE else [])]


def names_of(settings: type[BaseSettings]) -> set[str]:
    return {f"{settings.model_config.get('env_prefix', '')}{name}".upper() for name in settings.model_fields}


def files_of(chart: Rendered, part: str) -> set[str]:
    """The files that OpenBao's provider writes for a part."""
    spec = chart.one("SecretProviderClass", f"slipway-{part}")["spec"]
    return {one["objectName"] for one in yaml.safe_load(spec["parameters"]["objects"])}


def test_every_service_can_read_what_it_is_told_and_is_told_nothing_else(chart: Rendered, read: Any) -> None:
    for service in SERVICES:
        told = chart.environment(service)
        known = set().union(*(names_of(settings) for settings in read_by(service)))
        assert told.keys() - NOT_OURS <= known, service
        for settings in read_by(service):
            assert read(settings, told)


def test_the_addresses_that_a_pod_is_told_are_those_that_it_serves_and_finds(chart: Rendered, read: Any) -> None:
    (client,) = chart.one("Service", "slipway-nats")["spec"]["ports"]
    for service in SERVICES:
        told = chart.environment(service)
        ports = {port["name"]: port["containerPort"] for port in chart.pod(service)["containers"][0]["ports"]}
        common = read(ChassisSettings, told)
        assert (common.health_host, common.health_port) == ("0.0.0.0", ports["health"])
        assert common.nats_url == f"nats://slipway-nats:{client['port']}"
        if service == "gateway":
            own = read(SETTINGS[service], told)
            assert (own.host, own.port) == ("0.0.0.0", ports["http"])
        if service in WITH_DATABASE:
            database = conninfo_to_dict(read(DatabaseSettings, told).url)
            assert database["user"] == f"slipway_{service}"
            assert "password" not in database
            # libpq refuses the system's authorities with less than a full verification.
            assert database.get("sslrootcert") != "system" or database["sslmode"] == "verify-full"


def test_whoever_brings_the_schema_up_to_date_is_told_the_services_own_role(chart: Rendered) -> None:
    for service in WITH_DATABASE:
        (schema,) = chart.pod(service)["initContainers"]
        assert schema["command"] == ["python", "-m", "deploy.migrations", "up", service]
        assert variables(schema).items() <= chart.environment(service).items()


def test_a_setting_of_the_values_arrives_as_it_was_meant(read: Any) -> None:
    chart = examples()["everything"]
    found = {service: read(SETTINGS[service], chart.environment(service)) for service in SERVICES}
    assert found["gateway"].requests_per_second == 2_500_000
    assert found["gateway"].group_roles == {"platform-team": "admin"}
    assert found["gateway"].ingresses == ("internal", "public")
    assert found["catalog"].warn_before_seconds == (172800, 7200)
    assert found["catalog"].renews_for_seconds == 1_209_600
    assert found["provisioner"].aws.cache_most_gb == 1_000_000
    assert found["provisioner"].aws.own_database_kinds == ("production",)
    assert found["provisioner"].state_bucket == "acme-slipway-states"
    assert found["provisioner"].kubernetes_in_cluster is True
    assert found["secrets"].people_mounts == ("oidc",)
    assert found["cicd"].production_reviewers == ("team/platform", "user/ada")
    assert found["cicd"].github_app_id == 12_345_678
    assert found["notifier"].team_channels == {"payments": "payments-deploys"}
    assert str(found["notifier"].webhooks_allow[0]) == "10.1.0.0/16"
    gateway, cicd = chart.environment("gateway"), chart.environment("cicd")
    assert read(ChassisSettings, gateway).workers == 16
    assert read(ChassisSettings, gateway).log_level == "DEBUG"
    assert read(DatabaseSettings, gateway).pool_size == 8
    assert read(ChassisSettings, cicd).shutdown_grace_seconds == 40


def test_what_the_chart_decides_it_does_decide() -> None:
    for service, decided in BY_THE_CHART.items():
        prefix = f"SLIPWAY_{service}_".upper()
        told = {name for chart in examples().values() for name in chart.environment(service)}
        assert {f"{prefix}{name}".upper() for name in decided} <= told


def test_a_pod_gets_exactly_the_files_that_it_is_told_of(chart: Rendered) -> None:
    for part in (*SERVICES, "deploy"):
        told: set[str] = set()
        for container in containers(chart.pod(part)):
            told |= set(variables(container).values())
        named = {path.name for value in told if (path := PurePosixPath(value)).parent == KEYS}
        assert named == files_of(chart, part), part
    assert 'include "../keys/cluster.conf"' in chart.one("ConfigMap", "slipway-nats")["data"]["nats.conf"]
    assert files_of(chart, "nats") == {"cluster.conf"}


def test_every_other_file_is_mounted_where_it_is_looked_for(chart: Rendered) -> None:
    for part in (*SERVICES, "deploy"):
        pod = chart.pod(part)
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in containers(pod):
            places = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
            looked_for = [*variables(container).values(), *container.get("command", ())]
            for path in (PurePosixPath(one) for one in looked_for if one.startswith("/srv/slipway/etc/")):
                volume = volumes[places[str(path.parent)]["name"]]["configMap"]["name"]
                held = chart.of_kind("ConfigMap").get(volume, {"data": {"ca.crt": "of the operator's own"}})
                assert path.name in held["data"]
    for directory in ("DATA", "SOCKETS"):
        path = PurePosixPath(chart.environment("provisioner")[f"SLIPWAY_PROVISIONER_{directory}_DIRECTORY"])
        mounts = chart.pod("provisioner")["containers"][0]["volumeMounts"]
        assert any(path.is_relative_to(one["mountPath"]) and not one.get("readOnly") for one in mounts)


def test_the_readers_and_the_policy_are_what_the_services_read() -> None:
    chart = examples()["everything"]
    listed = ReaderList.model_validate_json(chart.one("ConfigMap", "slipway-readers")["data"]["readers.json"])
    assert [(one.name, one.team) for one in listed.readers] == [("billing", "payments")]
    assert Policy.read(yaml.safe_load(chart.one("ConfigMap", "slipway-policy")["data"]["policy.yaml"]))
    assert not examples()["required"].of_kind("ConfigMap").keys() & {"slipway-policy"}


def test_the_job_knows_the_bus(chart: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    for container in containers(chart.pod("deploy")):
        for name, value in variables(container).items():
            monkeypatch.setenv(name, value)
        access = BusAccess.from_environment()
        assert (access.url, access.replicas) == ("nats://slipway-nats:4222", 3)
        assert chart.one("StatefulSet", "slipway-nats")["spec"]["replicas"] == 3


def test_the_keys_that_are_made_are_those_that_the_parts_need() -> None:
    for part in PARTS:
        made = set(json.loads((made_keys() / "openbao" / f"{part}.json").read_text()))
        wanted = set().union(*(files_of(chart, part) for chart in examples().values()))
        assert wanted == made | set(keys.OUTSIDE.get(part, ()))
        assert not made & set(keys.OUTSIDE.get(part, ()))


def test_no_secret_is_in_what_helm_stores(chart: Rendered) -> None:
    text = json.dumps(chart.objects)
    for part in PARTS:
        known: Json = json.loads((made_keys() / "openbao" / f"{part}.json").read_text())
        assert not [name for name, value in known.items() if value.strip() in text]
    assert not chart.of_kind("Secret")
