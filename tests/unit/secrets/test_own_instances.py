"""What an instance of an environment's own changes, in pure functions and over twins."""

from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

from chassis.failures import PermanentError
from services.secrets import domain
from services.secrets.adapters.memory import MemoryHistory, MemoryJournal, MemoryVault
from services.secrets.domain import Names, Record
from services.secrets.handlers import Handlers
from services.secrets.settings import SecretsSettings
from tests.unit.secrets.events import a_database, infra_ready

SHOP = Names("demo-api")
OWN = a_database("demo-api").model_copy(update={"master_secret": "arn"})


def test_a_place_says_by_which_connection_logins_are_leased_and_the_record_keeps_it() -> None:
    shared, own = domain.place_of(SHOP, a_database("demo-api")), domain.place_of(SHOP, OWN)
    assert (shared, own, domain.place_of(SHOP, None)) == ("apps", "env-demo-api/apps", "")
    assert domain.database_role_in(SHOP, shared).connection is None
    assert domain.database_role(SHOP, OWN).connection == "env-demo-api"

    record, first = Record().moved_by(uuid4(), shared)
    record, second = record.moved_by(uuid4(), own)
    assert not first.moves_leases
    assert second.moves_leases
    assert second.enters_instance
    assert Record.of(record.labels()) == record
    assert Record.of(record.labels()).has_own_instance


@pytest.mark.parametrize(
    "odd",
    [
        {"host": "db/x?sslmode=disable#"},
        {"host": "db@evil"},
        {"host": ""},
        {"port": 0},
        {"port": 70_000},
        {"database": "apps?sslmode=disable"},
    ],
)
def test_an_address_that_would_say_more_than_where_is_refused(odd: dict[str, object]) -> None:
    with pytest.raises(PermanentError) as refused:
        domain.own_connection(SHOP, OWN.model_copy(update=odd))
    assert refused.value.code == "unusable_database_address"


async def test_without_a_way_into_instances_the_step_ends_with_what_to_do() -> None:
    handlers = Handlers(vault=MemoryVault(), history=MemoryHistory(), journal=MemoryJournal())
    with pytest.raises(PermanentError) as refused:
        await handlers.store(infra_ready("demo-api", uuid4(), database=OWN))
    assert refused.value.code == "no_way_into_instances"
    assert "own_database_kinds" in refused.value.next_step


def test_the_service_does_not_start_without_what_vouches_for_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROLE_ID_FILE", "SECRET_ID_FILE"):
        monkeypatch.setenv(f"SLIPWAY_SECRETS_{name}", "x")
    monkeypatch.setenv("SLIPWAY_SECRETS_FIRST_LOGINS", "aws")
    with pytest.raises(ValidationError, match="SLIPWAY_SECRETS_INSTANCE_CA_FILE"):
        SecretsSettings()
    monkeypatch.setenv("SLIPWAY_SECRETS_INSTANCE_CA_FILE", "ca.crt")
    assert SecretsSettings().instance_ca_file == Path("ca.crt")
