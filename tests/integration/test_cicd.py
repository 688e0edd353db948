"""The service as a process: from an event on the bus to a repository on the forge, and back again."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from github import GithubException

from chassis.bus import Bus
from chassis.pulling import read
from contracts import subjects
from contracts.envelope import Event
from contracts.events import (
    EnvironmentDeletionRequested,
    EnvironmentRequested,
    PipelineCreated,
    PipelineFailed,
    PipelineRemoved,
    SecretsStored,
)
from contracts.signals import FeedbackGiven, TicketChanged, TicketOpened
from contracts.topology import inbox_prefix
from contracts.values import EnvironmentSpec, Receipt
from deploy.embedded.local_http import answers
from deploy.embedded.ports import free_port
from deploy.embedded.testing import RunningNats, start_nats
from services.cicd.adapters.golden_paths import parse_yaml
from tests.integration.forge_process import ForgeProcess, forge_process
from tests.stand_ins import running, start_module
from tests.unit.cicd.events import KEY, deletion_requested, secrets_stored, spec, update_stored
from tests.waiting import until

_MANIFEST = Path(__file__).parents[2] / "golden_paths" / "nodejs-api" / "golden_path.yaml"

E = TypeVar("E", bound=Event)
TICKETS = "acme/feedback"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Platform:
    nats: RunningNats
    forge: ForgeProcess


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("cicd")
    for name in ("nats", "forge", "service"):
        (home / name).mkdir()
    with start_nats(home / "nats") as nats, forge_process(home / "forge") as forge:
        port = free_port()
        child = start_module("services.cicd", _environment(home, nats, forge, port), home / "service")
        with running(child, lambda: answers(f"http://127.0.0.1:{port}/readyz")):
            yield Platform(nats, forge)


def _environment(home: Path, nats: RunningNats, forge: ForgeProcess, health_port: int) -> dict[str, str]:
    (home / "event-id.key").write_text((b"k" * 32).hex())
    (home / "forge.token").write_text(forge.tokens["slipway"] + "\n")
    return {
        "SLIPWAY_NATS_URL": nats.url,
        "SLIPWAY_NATS_NKEY_FILE": str(nats.nkey_file("cicd")),
        "SLIPWAY_EVENT_KEY_FILE": str(home / "event-id.key"),
        "SLIPWAY_HEALTH_PORT": str(health_port),
        "SLIPWAY_CICD_FORGE_URL": forge.api,
        "SLIPWAY_CICD_FORGE_TOKEN_FILE": str(home / "forge.token"),
        "SLIPWAY_CICD_FORGE_SECONDS_BETWEEN_REQUESTS": "0",
        "SLIPWAY_CICD_FORGE_SECONDS_BETWEEN_WRITES": "0",
        "SLIPWAY_CICD_PLATFORM_URL": "http://127.0.0.1:8000",
        "SLIPWAY_CICD_TICKETS_REPOSITORY": TICKETS,
        "SLIPWAY_CICD_TICKETS_LOOK_SECONDS": "1",
    }


class Log:
    """The other services, as far as this one can tell."""

    def __init__(self, nats: RunningNats) -> None:
        self.said_by = {
            user: Bus(nats.url, name=user, nkey_file=nats.nkey_file(user), inbox_prefix=inbox_prefix(user))
            for user in ("secrets", "gateway", "deploy")
        }

    async def say(self, event: Event) -> None:
        await self.said_by[event.source].publish(
            subjects.of(event), event.to_json(), stream=subjects.ENVIRONMENTS, message_id=str(event.id)
        )

    async def hear(self, kind: type[E], because: Event) -> E:
        async def heard() -> E | None:
            subject = subjects.one_kind_of(because.subject, kind.kind)
            last = await self.said_by["gateway"].last(subjects.ENVIRONMENTS, subject)
            found = kind.model_validate_json(last.data) if last and last.data else None
            return found if found and found.causation_id == because.id else None

        return await until(heard, what=f"{kind.__name__} of {because.subject}")


@pytest.fixture
async def log(platform: Platform) -> AsyncIterator[Log]:
    made = Log(platform.nats)
    for bus in made.said_by.values():
        await bus.connect()
    yield made
    for bus in made.said_by.values():
        await bus.close()


def _stored(wanted: EnvironmentSpec) -> SecretsStored:
    # A life of its own for each name: event ids follow from it, and the bus keeps an id once.
    return secrets_stored(wanted, KEY.derive(wanted.name, EnvironmentRequested.kind)).model_copy(
        update={"traceparent": TRACE}
    )


def on_offer(name: str, **changes: str) -> EnvironmentSpec:
    """A desired state with the golden path as it is published here."""
    version = str(parse_yaml(_MANIFEST.read_text(encoding="utf-8"))["version"])
    return spec(name, golden_path_version=version, **changes)


async def test_secrets_stored_becomes_a_pipeline_and_a_deletion_takes_it_away(platform: Platform, log: Log) -> None:
    stored = _stored(on_offer("bus-api"))
    await log.say(stored)

    created = await log.hear(PipelineCreated, stored)

    assert created.data.pipeline.repository == "acme/bus-api"
    assert created.data.secrets == stored.data.secrets
    assert created.traceparent is not None
    assert created.traceparent.split("-")[1] == TRACE.split("-")[1]
    repository = platform.forge.client().get_repo("acme/bus-api")
    assert repository.get_branch("main").commit.sha == created.data.pipeline.commit

    deletion: EnvironmentDeletionRequested = deletion_requested(on_offer("bus-api"), stored.incarnation)
    await log.say(deletion)
    removed = await log.hear(PipelineRemoved, deletion)
    assert [resource.id for resource in removed.data.receipt.removed] == ["acme/bus-api"]
    with pytest.raises(GithubException):
        platform.forge.client().get_repo("acme/bus-api")


async def test_what_cannot_be_done_is_said_undone_and_explained(platform: Platform, log: Log) -> None:
    stored = _stored(spec("unlucky-api", golden_path_version="0.0.9"))
    await log.say(stored)

    failed = await log.hear(PipelineFailed, stored)

    assert failed.data.failure.code == "golden_path_version_gone"
    removed = await log.hear(PipelineRemoved, failed)
    assert removed.data.receipt.removed == ()
    with pytest.raises(GithubException):
        platform.forge.client().get_repo("acme/unlucky-api")


async def test_an_update_goes_on_in_the_same_repository_and_its_failure_leaves_it_as_it_was(
    platform: Platform, log: Log
) -> None:
    before = on_offer("updated-api")
    await log.say(stored := _stored(before))
    created = await log.hear(PipelineCreated, stored)
    repository = platform.forge.client().get_repo("acme/updated-api")
    repository.create_git_ref("refs/heads/trunk", created.data.pipeline.commit)

    wanted = on_offer("updated-api", branch="trunk")
    await log.say(asked := update_stored(wanted, before, "updated-api", stored.incarnation))
    updated = await log.hear(PipelineCreated, asked)

    assert (updated.data.previous, updated.data.pipeline.branch) == (before, "trunk")
    assert repository.get_branch("trunk").commit.sha == updated.data.pipeline.commit
    heads = {branch.name: branch.commit.sha for branch in repository.get_branches()}

    impossible = spec("updated-api", branch="trunk", golden_path_version="9.9.9")
    await log.say(asked := update_stored(impossible, wanted, "updated-api again", stored.incarnation))
    failed = await log.hear(PipelineFailed, asked)
    undone = await log.hear(PipelineRemoved, failed)

    assert (failed.data.previous, undone.data.previous) == (wanted, wanted)
    assert undone.data.receipt == Receipt()
    assert {branch.name: branch.commit.sha for branch in repository.get_branches()} == heads


async def test_feedback_becomes_one_ticket_however_often_it_is_said(platform: Platform, log: Log) -> None:
    platform.forge.client().get_organization("acme").create_repo("feedback", private=True)
    given = FeedbackGiven.model_validate(
        {
            "id": uuid4(),
            "source": "gateway",
            "time": datetime.now(UTC),
            "traceparent": TRACE,
            "data": {"person": "ada", "text": "The log is hard to read", "page": "/runs"},
        }
    )
    gateway = log.said_by["gateway"]

    async def say() -> None:
        subject = subjects.of_signal(given)
        await gateway.publish(subject, given.to_json(), stream=subjects.SIGNALS, message_id=str(uuid4()))

    async def opened() -> TicketOpened | None:
        last = await log.said_by["deploy"].last(subjects.SIGNALS, "signal.platform.ticket_opened")
        return TicketOpened.model_validate_json(last.data) if last and last.data else None

    await say()
    ticket = await until(opened, what="the ticket")
    await say()  # under another id of a message, so that the bus stores it once more
    again = FeedbackGiven.model_validate({**given.model_dump(), "id": uuid4()})
    subject = subjects.of_signal(again)
    await gateway.publish(subject, again.to_json(), stream=subjects.SIGNALS, message_id=str(again.id))

    async def two() -> bool:
        found = await opened()
        return found is not None and found.data.feedback_id == again.id

    await until(two, what="the ticket of what was said last, which is handled last")
    issues = platform.forge.client().get_repo(TICKETS).get_issues(state="all")
    assert sorted(str(issue.number) for issue in issues) == ["1", "2"]
    assert (ticket.data.ticket, ticket.data.feedback_id) == (f"{TICKETS}#1", given.id)
    assert str(ticket.data.url).endswith(f"/{TICKETS}/issues/1")

    async def change(state: str) -> TicketChanged | None:
        """Of this ticket: which of the two is told of last follows from the second in which each was changed."""
        told = [
            TicketChanged.model_validate_json(message.body)
            for message in await read(log.said_by["deploy"], subjects.SIGNALS, 1, 500)
            if message.subject == b"signal.platform.ticket_changed"
        ]
        return next((one for one in told if (one.data.feedback_id, one.data.state) == (given.id, state)), None)

    await until(lambda: change("open"), what="the word that the tickets are there")
    issue = platform.forge.client().get_repo(TICKETS).get_issue(1)
    issue.create_comment("Which log?")
    issue.create_comment("It is readable now.")
    issue.edit(state="closed", state_reason="completed")
    closed: TicketChanged = await until(lambda: change("closed"), what="the word that the ticket is closed")
    assert (closed.data.feedback_id, closed.data.outcome, closed.data.replies) == (given.id, "completed", 2)
    assert closed.data.reply is not None
    assert closed.data.reply.text == "It is readable now."
