"""What the platform team has the catalog do, at the API."""

import pytest

from services.gateway.domain.people import Role
from tests.unit.gateway.rig import Rig


async def test_views_are_compared_and_replaced_a_page_at_a_time() -> None:
    rig = Rig()
    rig.workshop.names, rig.workshop.differing = ["a", "b", "c"], {"b"}
    async with rig.client(await rig.token("admin")) as client:
        first = (await client.post("/api/v1/admin/rebuild", json={"limit": 2})).json()
        rest = (await client.post("/api/v1/admin/rebuild", json={"limit": 2, "after": first["next_after"]})).json()
        replaced = (await client.post("/api/v1/admin/rebuild", json={"replace": True})).json()
        again = (await client.post("/api/v1/admin/rebuild", json={})).json()

    assert (first["differing"], first["next_after"]) == (["b"], "b")
    assert (rest["names"], rest["differing"], rest["next_after"]) == (1, [], None)
    assert (replaced["differing"], again["differing"]) == (["b"], [])


@pytest.mark.parametrize("role", ["viewer", "developer"])
async def test_only_administrators_may(role: Role) -> None:
    rig = Rig()
    async with rig.client(await rig.token(role)) as client:
        assert (await client.post("/api/v1/admin/rebuild", json={})).status_code == 403
