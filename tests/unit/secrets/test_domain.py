"""Names, policies and statements: what may stand in them, and what may not."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import PermanentError
from services.secrets import domain
from services.secrets.domain import Names
from tests import samples
from tests.unit.secrets.events import a_database

SHOP = Names("demo-api")


@given(st.text(max_size=70))
def test_an_identifier_is_plain_or_refused(text: str) -> None:
    plain = bool(text) and len(text) <= 63 and set(text) <= set(f"{string.ascii_letters}{string.digits}_")
    if plain and not text[0].isdigit():
        assert domain.quoted(text) == f'"{text}"'
    else:
        with pytest.raises(ValueError, match="identifier"):
            domain.quoted(text)


@pytest.mark.parametrize(
    "hostile", ['x"; DROP ROLE postgres; --', "{{password}}", "a;b", "$revoke$", "x\n", "é", "", "1x", "a" * 64]
)
def test_a_hostile_database_name_never_reaches_a_statement(hostile: str) -> None:
    database = a_database("demo-api").model_copy(update={"database": hostile})
    with pytest.raises(PermanentError) as refused:
        domain.database_role(SHOP, database)
    assert refused.value.code == "unusable_database_name"


@pytest.mark.parametrize("field", ["schema_name", "owner_role"])
@pytest.mark.parametrize("foreign", ["env_other", "env_demo_api_", "public", 'env_demo_api"', "ENV_DEMO_API"])
def test_a_role_for_a_schema_that_is_not_its_own_is_refused(field: str, foreign: str) -> None:
    with pytest.raises(PermanentError) as refused:
        domain.database_role(SHOP, a_database("demo-api").model_copy(update={field: foreign}))
    assert refused.value.code == "foreign_schema"


def test_the_statements_name_the_owner_and_leave_openbao_its_placeholders() -> None:
    role = domain.database_role(SHOP, a_database("demo-api"))

    assert role.name == "env-demo-api"
    create, *settings = role.creation_statements
    assert create.endswith('IN ROLE "env_demo_api";')
    assert [settings[0][-32:], settings[1][-25:]] == [
        'SET search_path = "env_demo_api";'[-32:],
        'SET role = "env_demo_api";'[-25:],
    ]
    for placeholder in ('"{{name}}"', "'{{password}}'", "'{{expiration}}'"):
        assert placeholder in create
    everything = "".join((*role.creation_statements, *role.revocation_statements))
    assert "[" not in everything
    assert everything.count("{{") == everything.count("}}") == 7


def test_a_workload_may_read_its_secret_and_lease_and_nothing_else() -> None:
    assert domain.workload_policy(SHOP, with_database=True).rules == {
        "kv/data/env/demo-api/app": ("read",),
        "database/creds/env-demo-api": ("read",),
    }
    assert domain.workload_policy(SHOP, with_database=False).rules == {"kv/data/env/demo-api/app": ("read",)}


def test_a_developer_reads_and_writes_nothing() -> None:
    rules = domain.developer_policy(SHOP, with_database=True).rules

    assert {capability for capabilities in rules.values() for capability in capabilities} == {"read", "list"}
    assert all("demo-api" in path for path in rules)


def test_a_policy_is_one_block_a_path() -> None:
    assert domain.Policy("p", {"kv/data/x": ("read", "list")}).document() == (
        'path "kv/data/x" { capabilities = ["read", "list"] }'
    )


def test_two_application_secrets_have_nothing_in_common() -> None:
    first, second = domain.application_secret(), domain.application_secret()

    values = [one.get_secret_value() for made in (first, second) for one in made.values()]
    assert len(set(values)) == 4
    assert all(len(value) >= 43 and value not in repr((first, second)) for value in values)


def test_a_given_up_undo_names_everything_that_may_be_left_and_why() -> None:
    error = PermanentError("gave_up", "OpenBao does not answer " + "x" * 3000, next_step="wait")

    receipt = domain.all_left_behind(samples.spec("demo-api"), error, attempts=9)

    kinds = [left.resource.kind for left in receipt.left_behind]
    assert kinds == [
        "database_leases",
        *["access_group"] * 3,
        *["policy"] * 4,
        "workload_role",
        "database_role",
        "secret",
    ]
    assert all("9 attempts" in left.reason and "OpenBao does not answer" in left.reason for left in receipt.left_behind)
