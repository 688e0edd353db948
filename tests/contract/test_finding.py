"""How environments are found, asked of the twin in memory and of a real Postgres."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from contracts.envelope import Event
from contracts.events import AccessChange, AccessGranted, AccessRevoked
from contracts.queries import Facets, FindEnvironments, FindRuns, GetGraph, GrantedTo
from contracts.signals import DeploymentRecorded, HealthChanged
from contracts.values import HourlyPrice, Owner
from services.catalog.adapters import postgres_along as along
from services.catalog.adapters.postgres import connection
from services.catalog.adapters.postgres_find import MOST_COUNTED, enter_all
from services.catalog.domain.finding import ORDERS
from tests.contract.catalogs import KEY, NOW, Real, World, by, heard, stored, told
from tests.stories import Story


def grant(
    story: Story, *, person: str | None = None, team: str | None = None, kind: type[Event] = AccessGranted
) -> None:
    """Somebody may use an environment, or may not any more."""
    cause = uuid4()
    data = AccessChange(requested_by="ada", role="developer", person=person, team=team)
    story.add(kind, data, causationid=cause, id=KEY.derive(cause, kind.kind), source="secrets")


async def found(world: World, **asked: Any) -> list[str]:
    """The names, with the total checked."""
    page = await world.views.environments(FindEnvironments.model_validate(asked))
    assert page.total == len(page.items)
    assert page.total_is_exact
    return [view.name for view in page.items]


async def facets(world: World, **asked: Any) -> dict[str, dict[str, int]]:
    """The facets of a question, by name."""
    page = await world.views.environments(FindEnvironments.model_validate({**asked, "facets": True}))
    assert page.facets is not None
    return {name: {one.value: one.count for one in getattr(page.facets, name)} for name in Facets.model_fields}


async def some(world: World) -> None:
    """A handful of different environments, and facts about two of them."""
    zoe = Owner(person="zoe", team="search")
    await stored(
        world,
        Story(KEY, "alpha", owner=by("payments")).create().ready(),
        Story(KEY, "beta", owner=zoe, kind="staging", repository="acme/shop").create().ready(),
        Story(KEY, "gamma", owner=by("search"), golden_path="worker", branch="feature/x"),
        Story(KEY, "gone", owner=by("search")).create().ready().delete().deleted(),
        Story(KEY, "shop-api", owner=by("shop"), kind="production", repository="acme/shop").create().ready(),
    )
    await told(
        world,
        heard(HealthChanged, "alpha", {"state": "down", "reason": "no answer"}),
        heard(DeploymentRecorded, "shop-api", _deployment("succeeded")),
    )


def _deployment(state: str) -> dict[str, Any]:
    return {"deployment_id": "1", "state": state, "commit": "0123456789abcdef", "branch": "main", "author": "ada"}


async def test_every_condition_finds_what_keeps_it(world: World) -> None:
    await some(world)

    assert await found(world, person="zoe") == ["beta"]
    assert await found(world, team="search") == ["beta", "gamma"]
    assert await found(world, team="search", teams=["payments"]) == []
    assert await found(world, kind="preview") == ["alpha", "gamma"]
    assert await found(world, running="down") == ["alpha"]
    assert await found(world, running="down", sort="created_at", descending=True) == ["alpha"]
    assert await found(world, running="unknown", deployment="none") == ["beta", "gamma"]
    assert await found(world, deployment="deployed") == ["shop-api"]
    assert await found(world, repository="acme/shop") == ["beta", "shop-api"]
    assert await found(world, repository="acme/shop", branch="main", kind="staging") == ["beta"]
    assert await found(world, branch="feature/x") == ["gamma"]
    assert await found(world, name_contains="amm") == ["gamma"]
    assert await found(world, name_contains="p-api") == ["shop-api"]
    assert await found(world, name_contains="op", teams=["shop", "search"]) == ["shop-api"]
    assert await found(world, name_contains="xyz") == []
    assert await found(world, include_deleted=True, team="search") == ["beta", "gamma", "gone"]


async def test_facets_count_what_another_choice_would_show(world: World) -> None:
    await some(world)
    every = await facets(world)

    assert every["team"] == {"search": 2, "payments": 1, "shop": 1}
    assert every["state"] == {"ready": 3, "creating": 1}
    assert every["running"] == {"unknown": 3, "down": 1}
    assert every["deployment"] == {"none": 3, "deployed": 1}
    of_search = await facets(world, team="search", kind="staging")
    assert of_search["team"] == {"search": 1}
    assert of_search["kind"] == {"staging": 1, "preview": 1}
    assert of_search["golden_path"] == {"nodejs-api": 1}
    assert (await facets(world, teams=["search"], include_deleted=True))["state"] == {
        "ready": 1,
        "creating": 1,
        "deleted": 1,
    }
    assert (await facets(world, repository="acme/shop"))["kind"] == {"staging": 1, "production": 1}
    assert (await facets(world, name_contains="alp", state="failed"))["state"] == {"ready": 1}
    assert (await facets(world, name_contains="alp", state="failed"))["team"] == {}
    each = {"team": "shop", "kind": "production", "golden_path": "nodejs-api", "state": "ready", "running": "unknown"}
    assert await found(world, **each, deployment="deployed", facets=True) == ["shop-api"]
    assert await found(world, name_contains="a", facets=True) == ["alpha", "beta", "gamma", "shop-api"]


async def test_the_most_frequent_value_of_a_facet_comes_first(world: World) -> None:
    await some(world)
    page = await world.views.environments(FindEnvironments(facets=True))

    assert page.facets is not None
    assert [one.value for one in page.facets.team] == ["search", "payments", "shop"]


async def test_facets_follow_every_change(world: World) -> None:
    life = Story(KEY, "alpha").create()
    for part, state in ((life.events[:1], "creating"), (life.ready().events[1:], "ready")):
        story = Story(KEY, "alpha")
        story.events = list(part)
        await stored(world, story)
        assert (await facets(world))["state"] == {state: 1}
    for said in ("healthy", "degraded", "degraded", "down"):
        await told(world, heard(HealthChanged, "alpha", {"state": said}))
        assert (await facets(world))["running"] == {said: 1}
    again = Story(KEY, "alpha")
    again.events = life.delete().deleted().events[5:]
    await stored(world, again, Story(KEY, "alpha", time=NOW, golden_path="worker"))
    now = await facets(world)
    assert (now["state"], now["running"], now["golden_path"]) == ({"creating": 1}, {"unknown": 1}, {"worker": 1})


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", ORDERS)
async def test_every_order_comes_a_page_at_a_time(world: World, order: str, descending: bool) -> None:
    stories = [
        Story(
            KEY,
            f"env-{number}",
            owner=by(f"team-{number % 3}"),
            time=NOW - timedelta(days=7 - number % 4),
            expires_at=None if number % 2 else NOW + timedelta(days=number % 5),
        )
        for number in range(7)
    ]
    for number, story in enumerate(stories):
        price = HourlyPrice(currency="EUR", per_hour=Decimal(number % 3))
        asked = story.request.data.model_copy(update={"price": price})
        story.request = story.request.model_copy(update={"data": asked})
        story.events = [story.request]
        story.create().ready()
    await stored(world, *stories)

    async def pages(size: int, **asked: Any) -> list[str]:
        seen: list[str] = []
        after: str | None = None
        while True:
            question = {"sort": order, "descending": descending, "limit": size, "after": after, **asked}
            page = await world.views.environments(FindEnvironments.model_validate(question))
            seen += [view.name for view in page.items]
            after = page.next_cursor
            if after is None:
                return seen

    whole = await pages(50)
    assert sorted(whole) == [f"env-{number}" for number in range(7)]
    assert await pages(2) == whole
    assert await pages(2, teams=["team-0", "team-2"]) == [name for name in whole if int(name[-1]) % 3 != 1]
    views = {view.name: view for view in (await world.views.environments(FindEnvironments())).items}
    keys: dict[str, Any] = {
        "name": lambda view: view.name,
        "expires_at": lambda view: view.expires_at or NOW + timedelta(days=1000),
        "cost": lambda view: view.cost.per_month,
    }
    key = keys.get(order, lambda view: getattr(view, order))
    assert whole == sorted(whole, key=lambda name: (key(views[name]), name), reverse=descending)


async def test_what_was_granted_is_in_the_lists_of_whom_it_was_granted_to(world: World) -> None:
    mine = Story(KEY, "mine", owner=by("payments")).create().ready()
    theirs, hers = (Story(KEY, name, owner=by("search")).create().ready() for name in ("theirs", "hers"))
    others = Story(KEY, "others", owner=by("search")).create().ready()
    grant(theirs, person="bob")
    grant(hers, team="payments")
    grant(others, person="bob")
    grant(others, person="bob", kind=AccessRevoked)
    await stored(world, mine, theirs, hers, others)
    bob = GrantedTo(person="bob", teams=("payments",))

    assert await found(world, teams=["payments"]) == ["mine"]
    assert await found(world, teams=["payments"], granted_to=bob) == ["hers", "mine", "theirs"]
    assert await found(world, teams=["payments"], granted_to=bob, sort="created_at", descending=True)
    assert await found(world, teams=["payments"], granted_to=bob, name_contains="the") == ["theirs"]
    assert await found(world, teams=["search"], granted_to=bob) == ["hers", "others", "theirs"]
    assert (await facets(world, teams=["payments"], granted_to=bob))["team"] == {"search": 2, "payments": 1}
    runs = (await world.views.runs(FindRuns(teams=("payments",), granted_to=bob))).items
    assert sorted(run.environment for run in runs) == ["hers", "mine", "theirs"]
    of_one = (await world.views.runs(FindRuns(teams=(), granted_to=bob, environment="hers"))).items
    assert [run.environment for run in of_one] == ["hers"]


async def test_a_grant_shows_the_runs_of_one_life_only(world: World) -> None:
    before = Story(KEY, "again", owner=by("search"), time=NOW - timedelta(days=2)).create().ready().delete().deleted()
    now = Story(KEY, "again", owner=by("search"), time=NOW - timedelta(days=1)).create().ready()
    grant(now, person="bob")
    await stored(world, before, now)
    runs = (await world.views.runs(FindRuns(teams=(), granted_to=GrantedTo(person="bob")))).items

    assert [run.id for run in runs] == [now.request.id]


async def test_forgotten_is_what_nobody_touched_or_deployed_to(world: World) -> None:
    long_ago = NOW - timedelta(days=40)
    await stored(
        world,
        *(Story(KEY, name, time=long_ago).create().ready() for name in ("deployed", "forgotten")),
        Story(KEY, "kept-in-production", kind="production", time=long_ago).create().ready(),
        Story(KEY, "under-way", time=long_ago).create(),
        Story(KEY, "recent", time=NOW - timedelta(days=3)).create().ready(),
    )
    await told(world, heard(DeploymentRecorded, "deployed", _deployment("failed")))

    assert await found(world, forgotten_days=30) == ["forgotten"]
    assert await found(world, forgotten_days=30, teams=["payments"], sort="last_activity_at") == ["forgotten"]
    assert await found(world, forgotten_days=2, sort="last_activity_at") == ["forgotten", "recent"]


async def test_duplicates_are_of_one_kind_repository_branch_and_directory(world: World) -> None:
    shared: dict[str, Any] = {"repository": "acme/shop"}
    await stored(
        world,
        Story(KEY, "one", owner=by("payments"), **shared),
        Story(KEY, "two", owner=by("search"), **shared).create().ready(),
        Story(KEY, "staging", kind="staging", **shared),
        Story(KEY, "other-branch", branch="x", **shared),
        Story(KEY, "other-directory", path="services/x", **shared),
        Story(KEY, "gone", **shared).create().ready().delete().deleted(),
    )

    assert await found(world, duplicates=True) == ["one", "two"]
    assert await found(world, duplicates=True, teams=["search"]) == ["two"]


async def test_a_graph_reaches_in_both_directions_and_ends_in_circles(world: World) -> None:
    edges = {"web": ("users",), "users": ("db", "missing"), "db": ("web",), "report": ("users",), "alone": ()}
    await stored(
        world,
        *(Story(KEY, name, depends_on=needs or None) for name, needs in edges.items()),
        Story(KEY, "gone", depends_on=("users",)).create().ready().delete().deleted(),
    )

    async def names(environment: str) -> list[str]:
        graph = await world.views.graph(GetGraph(environment=environment))
        assert graph.complete
        return [view.name for view in graph.environments]

    assert await names("users") == ["users", "db", "report", "web"]
    assert await names("report") == ["report", "db", "users", "web"]
    assert await names("alone") == ["alone"]
    assert await names("nobody") == []


# -- Postgres only -----------------------------------------------------------------------------------------------------


async def test_what_an_earlier_release_folded_is_entered_at_the_start(real: Real) -> None:
    await some(real)
    with real.connect() as connection:
        connection.execute("UPDATE directory SET state = 'creating' WHERE name = 'gone'")
        connection.execute("DELETE FROM directory WHERE name = 'alpha'")
        connection.execute("DELETE FROM directory_counts")
        connection.execute(
            "INSERT INTO directory_counts SELECT team, kind, golden_path, state, running, deployment, count(*)"
            " FROM directory GROUP BY 1, 2, 3, 4, 5, 6"
        )

    assert await enter_all(real.database) == 2
    assert await enter_all(real.database) == 0
    assert await found(real, include_deleted=True) == ["alpha", "beta", "gamma", "gone", "shop-api"]


async def test_what_cannot_be_counted_in_time_is_counted_up_to_a_bound(real: Real) -> None:
    with real.connect() as connection:
        connection.execute(
            """INSERT INTO directory SELECT 'env-' || n, gen_random_uuid(), 'a', 'ada', 'preview', 'worker', 'ready',
            'acme/x', 'main', now(), now(), 'infinity', now(), 0, '{}', '{}' FROM generate_series(1, 10500) n"""
        )
    question = FindEnvironments(name_contains="env", limit=1, facets=True)
    many = await real.views.environments(question)
    assert (many.total, many.total_is_exact) == (10_000, False)
    every = await real.views.environments(FindEnvironments(limit=1))
    assert (every.total, every.total_is_exact) == (10_500, True)
    few = await real.views.environments(FindEnvironments(name_contains="env-1050", limit=1))
    assert (few.total, few.total_is_exact) == (2, True)


async def many(real: Real, *names: str) -> None:
    """Environments by the thousand, each like the first that is there."""
    await stored(real, Story(KEY, "first").create().ready())
    with real.connect() as connected:
        connected.execute(
            """INSERT INTO directory SELECT new.name, gen_random_uuid(), team, person, kind, golden_path, state,
            repository, branch, created_at, updated_at, expires_at, last_activity_at, cost_per_month, grantees,
            depends_on FROM unnest(%s::text[]) AS new (name), directory WHERE directory.name = 'first'""",
            (list(names),),
        )
        connected.execute(
            """INSERT INTO environments (name, team, state, golden_path, run_id, requested_at, sequence, document)
            SELECT new.name, team, state, golden_path, run_id, requested_at, sequence,
            replace(document::text, '"first"', '"' || new.name || '"')::json
            FROM unnest(%s::text[]) AS new (name), environments WHERE environments.name = 'first'""",
            (list(names),),
        )


async def test_common_letters_are_counted_along_the_names_and_found_in_every_order(real: Real) -> None:
    some_have = [f"{head}-{number:05}-shop" for head in ("search", "sync") for number in range(5_300)]
    have = sorted(["again-shop", "z-shop", *some_have])
    await many(real, "gone-shop", *have, *(f"{head}-{number}" for head in ("bill", "tax") for number in range(500)))
    with real.connect() as connected:
        connected.execute("UPDATE directory SET state = 'deleted' WHERE name = 'gone-shop'")

    async def counted(part: str) -> along.Along | None:
        async with connection(real.database) as session:
            return await along.count(session, part, MOST_COUNTED + 1)

    async def names(**asked: Any) -> list[str]:
        """Of the first two pages."""
        page = await real.views.environments(FindEnvironments.model_validate({"name_contains": "shop", **asked}))
        assert (page.total, page.total_is_exact) == (MOST_COUNTED, False)
        question = FindEnvironments.model_validate({"name_contains": "shop", "after": page.next_cursor, **asked})
        return [view.name for one in (page, await real.views.environments(question)) for view in one.items]

    assert await counted("shop") is None  # nobody has looked how frequent letters are
    assert await names(limit=3) == have[:6]
    with real.connect() as connected:
        connected.execute("ANALYZE directory")
    assert await counted("shop") == along.Along(MOST_COUNTED + 1, "again-shop")
    assert await counted("tax") is None
    assert await counted("xyz") is None
    assert await names(limit=3) == have[:6]
    assert await names(limit=3, descending=True) == have[:-7:-1]
    assert await names(limit=3, sort="created_at") == have[:6]
    question = FindEnvironments(name_contains="shop", after="sync-05299-shop")
    assert [view.name for view in (await real.views.environments(question)).items] == ["z-shop"]
