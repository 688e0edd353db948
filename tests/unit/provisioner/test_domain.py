"""The pure rules: what an environment's directory holds."""

import json
from dataclasses import replace

import pytest
import yaml

from chassis.failures import PermanentError
from services.provisioner.adapters.golden_paths import DirectoryGoldenPaths
from services.provisioner.domain import (
    Platform,
    author_of,
    incarnation_of,
    infrastructure_of,
    on_local_state,
    render,
)
from services.provisioner.ports import Applied
from tests.aws_samples import PLATFORM as ON_AWS
from tests.machines import GOLDEN_PATHS, PROJECT, incarnation, spec_of

PLATFORM = Platform("slipway.localhost", "127.0.0.1", 8015, "127.0.0.1", 8012, "apps", "http://127.0.0.1:8018")
HOSTILE = '${file("/etc/passwd")} %{ for x in y } x"\nsecret = "pwned \u2028 {{7*7}}'


def test_rendering_twice_gives_the_same_bytes() -> None:
    spec = spec_of("demo-api", parameters={"b": 1, "a": 2})
    once = render(spec, incarnation(1), {"environment/main.tf": b"x"}, PLATFORM)
    assert render(spec, incarnation(1), {"environment/main.tf": b"x"}, PLATFORM) == once
    assert set(once) == {"manifest.yaml", "main.tf.json", "terraform.tfvars.json", "modules/environment/main.tf"}


def test_what_a_person_typed_is_nowhere_that_terraform_interprets() -> None:
    files = render(spec_of("demo-api", parameters={"motto": HOSTILE}), incarnation(1), {}, PLATFORM)
    assert json.loads(files["terraform.tfvars.json"])["motto"] == HOSTILE
    assert yaml.safe_load(files["manifest.yaml"])["spec"]["parameters"]["motto"] == HOSTILE
    assert b"passwd" not in files["main.tf.json"]
    root = json.loads(files["main.tf.json"])
    assert root["module"]["environment"]["motto"] == "${var.motto}"


def test_the_state_is_on_disk_or_in_a_bucket_with_a_lock() -> None:
    def backend(platform: Platform) -> object:
        files = render(spec_of("demo-api"), incarnation(1), {}, platform)
        return json.loads(files["main.tf.json"])["terraform"]["backend"]

    assert backend(PLATFORM) == {"local": {"path": "../terraform.tfstate"}}
    assert backend(replace(PLATFORM, state_bucket="state")) == {
        "s3": {
            "bucket": "state",
            "key": "environments/demo-api/terraform.tfstate",
            "use_lockfile": True,
            "encrypt": True,
        }
    }


def test_a_local_platform_is_told_of_no_cloud_and_aws_of_its_own() -> None:
    local, aws = (render(spec_of("demo-api"), incarnation(1), {}, one) for one in (PLATFORM, ON_AWS))
    given = json.loads(local["terraform.tfvars.json"])["platform"]
    assert set(given) == {
        "zone", "ingress_address", "ingress_port", "database_host", "database_port", "database_name"
    }  # fmt: skip
    assert set(json.loads(local["main.tf.json"])) == {"terraform", "variable", "module", "output"}
    assert json.loads(aws["terraform.tfvars.json"])["platform"]["aws"]["region"] == "eu-central-1"
    root = json.loads(aws["main.tf.json"])
    assert root["terraform"]["backend"]["s3"]["region"] == "eu-central-1"
    assert set(root["provider"]) == {"aws"}
    assert b"demo-api" not in aws["main.tf.json"].replace(b"environments/demo-api/", b""), "tags are variables"


def test_a_plan_against_nothing_reads_no_bucket() -> None:
    local, aws = (render(spec_of("demo-api"), incarnation(1), {}, one) for one in (PLATFORM, ON_AWS))
    assert on_local_state(local) is local
    looked_at = json.loads(on_local_state(aws)["main.tf.json"])
    assert looked_at["terraform"]["backend"] == {"local": {"path": "../terraform.tfstate"}}
    assert looked_at["module"] == json.loads(aws["main.tf.json"])["module"]


@pytest.mark.parametrize("name", ["source", "count", "name", "platform"])
def test_a_parameter_may_not_take_a_name_that_terraform_or_the_platform_needs(name: str) -> None:
    with pytest.raises(PermanentError) as refused:
        render(spec_of("demo-api", parameters={name: "x"}), incarnation(1), {}, PLATFORM)
    assert refused.value.code == "bad_golden_path"


def test_a_directory_knows_its_incarnation() -> None:
    files = render(spec_of("demo-api"), incarnation(3), {}, PLATFORM)
    assert incarnation_of(files) == str(incarnation(3))
    assert incarnation_of({}) is None
    assert incarnation_of({"manifest.yaml": b"]["}) is None
    assert incarnation_of({"manifest.yaml": b"[]"}) is None


def test_where_the_first_login_of_an_own_instance_is_kept_is_told_and_of_the_shared_one_nothing() -> None:
    shared = {"host": "db", "port": 5432, "database": "apps", "schema": "env_x", "role": "env_x"}
    for more, told in (({}, None), ({"master_secret": None}, None), ({"master_secret": "arn"}, "arn")):
        outputs = {"namespace": "x", "database": shared | more}
        said = infrastructure_of(Applied(outputs=outputs, resources=()), "0" * 40)
        assert said.database is not None
        assert said.database.master_secret == told
        assert ("master_secret" in said.model_dump(mode="json")["database"]) == (told is not None)


@pytest.mark.parametrize("outputs", [{}, {"namespace": "x", "database": {"host": "h"}}, {"namespace": 7}])
def test_a_golden_path_that_puts_out_the_wrong_things_fails_for_good(outputs: dict[str, object]) -> None:
    with pytest.raises(PermanentError) as refused:
        infrastructure_of(Applied(outputs=outputs, resources=()), "0" * 40)
    assert refused.value.code == "bad_golden_path"


def test_a_login_without_an_address_gets_one_that_leads_nowhere() -> None:
    assert author_of("ann").email == "ann@users.slipway.invalid"
    assert author_of("ann@example.test").email == "ann@example.test"


async def test_a_snapshot_holds_the_golden_path_and_just_the_modules_it_names() -> None:
    files = await GOLDEN_PATHS.modules("nodejs-api")
    modules = {"cache", "database", "dns", "ingress", "monitoring", "namespace"}
    assert {path.split("/")[0] for path in files} == {"environment", *modules}
    assert b"deploy/terraform" not in b"".join(files.values())
    assert b'source = "../database"' in files["environment/main.tf"]


@pytest.mark.parametrize("name", ["nobody-has-it", "../nodejs-api", "", "nodejs-api/terraform"])
async def test_a_golden_path_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(PermanentError) as refused:
        await GOLDEN_PATHS.modules(name)
    assert refused.value.code == "unknown_golden_path"


async def test_a_target_without_a_module_is_refused() -> None:
    elsewhere = DirectoryGoldenPaths(PROJECT / "golden_paths", PROJECT / "deploy" / "terraform", "nowhere")
    with pytest.raises(PermanentError) as refused:
        await elsewhere.modules("nodejs-api")
    assert refused.value.code == "bad_golden_path"
