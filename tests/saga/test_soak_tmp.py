import pytest
from tests.saga import test_crashes as t
from tests.saga.driver import Driver


@pytest.mark.timeout(170)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_soak(platform: Driver, seed: int, monkeypatch) -> None:
    monkeypatch.setattr(t, "SEED", seed)
    monkeypatch.setattr(t, "KILLS", 40)
    await t.test_kills_at_random_moments_change_nothing_but_the_time_it_takes(platform)
