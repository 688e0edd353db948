"""What an environment costs: its golden path's price for as long as it exists, and what others recorded. Pure.

Invariants
- An environment costs something from the moment it is ready for the first time until it is deleted, at the price of
  the desired state that it has, not of one that was asked for and failed.
- What was recorded for a period takes the place of what the price says for that period, and only there.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from contracts.envelope import Timestamp, Value
from contracts.events import Asked
from contracts.queries import CostView, EnvironmentView, Rate
from contracts.signals import Cost
from contracts.values import CurrencyCode

HOURS_A_MONTH: Final = 730
MOST_PERIODS: Final = 100
"""How many recorded periods are kept apart; older ones are added up."""
_CENT: Final = Decimal("0.01")
_SMALLEST: Final = Decimal("0.0001")


class RecordedCost(Value):
    """What an environment cost in a period, as somebody recorded it."""

    start: Timestamp
    end: Timestamp
    currency: CurrencyCode
    amount: Decimal


# -- prices, from the log ----------------------------------------------------------------------------------------------


def asked(environment: EnvironmentView, data: Asked) -> Mapping[str, object]:
    """What changes of an environment when another desired state is asked for."""
    return {"asked_price": data.price} if data.price is not None else {"asked_price": environment.asked_price}


def charged(environment: EnvironmentView, now: datetime) -> Mapping[str, object]:
    """What changes when it has the desired state that was asked for."""
    rates = environment.rates
    if rates and rates[-1].price == environment.asked_price:
        return {}
    return {"rates": (*rates, Rate(since=now, price=environment.asked_price))}


def charged_as_before(environment: EnvironmentView) -> Mapping[str, object]:
    """What changes when it has the state again that it had before a change."""
    return {"asked_price": environment.rates[-1].price} if environment.rates else {}


def per_month(environment: EnvironmentView) -> Decimal:
    """What it costs a month by its price; 0 where that is not known, or it is gone."""
    price = environment.rates[-1].price if environment.rates and environment.gone_at is None else None
    return price.per_hour * HOURS_A_MONTH if price is not None else Decimal(0)


# -- recorded costs, from signals --------------------------------------------------------------------------------------


def with_recorded(known: Sequence[RecordedCost], said: Cost) -> tuple[RecordedCost, ...]:
    """What is recorded once `said` is: of the same time, the last word counts."""
    new = RecordedCost(
        start=said.period_start, end=said.period_end, currency=said.currency, amount=Decimal(str(said.amount))
    )
    parts = [part for one in known for part in _outside(one, new)]
    found = sorted([*parts, new], key=lambda one: one.start)
    while len(found) > MOST_PERIODS and found[0].currency == found[1].currency:
        oldest, next_oldest = found[:2]
        both = {"end": next_oldest.end, "amount": oldest.amount + next_oldest.amount}
        found[:2] = [oldest.model_copy(update=both)]
    return tuple(found)


def _outside(one: RecordedCost, new: RecordedCost) -> Iterator[RecordedCost]:
    """What is left of a period outside another one; its amount is taken to be spread evenly."""
    if one.end <= new.start or one.start >= new.end:
        yield one
        return
    length = _seconds(one.start, one.end)
    for start, end in ((one.start, min(one.end, new.start)), (max(one.start, new.end), one.end)):
        if start < end:
            share = one.amount * _seconds(start, end) / length
            yield one.model_copy(update={"start": start, "end": end, "amount": share.quantize(_SMALLEST)})


# -- what it comes to --------------------------------------------------------------------------------------------------


def alive_seconds(environment: EnvironmentView, now: datetime) -> float | None:
    """For how long it has existed, None where it never did."""
    if not environment.rates:
        return None
    return max(0.0, ((environment.gone_at or now) - environment.rates[0].since).total_seconds())


def cost(environment: EnvironmentView, recorded: Sequence[RecordedCost], now: datetime) -> CostView | None:
    """What it costs and has cost; None where nothing is known of that."""
    prices = [rate.price for rate in environment.rates if rate.price is not None]
    currency = prices[-1].currency if prices else recorded[-1].currency if recorded else None
    if currency is None:
        return None
    told = [one for one in recorded if one.currency == currency]
    total = sum((one.amount for one in told), Decimal(0))
    if not prices:
        return CostView(currency=currency, so_far=None, recorded=total.quantize(_CENT))
    price = environment.rates[-1].price
    an_hour = Decimal(0) if environment.gone_at is not None else price.per_hour if price is not None else None
    estimated = Decimal(0)
    for start, end, rate in _spans(environment, now):
        seconds = _seconds(start, end) - sum(_overlap(one, start, end) for one in told)
        estimated += rate * max(Decimal(0), seconds) / 3600
    return CostView(
        currency=currency,
        per_hour=an_hour,
        per_month=None if an_hour is None else (an_hour * HOURS_A_MONTH).quantize(_CENT),
        so_far=(estimated + total).quantize(_CENT),
        recorded=total.quantize(_CENT),
    )


def _spans(environment: EnvironmentView, now: datetime) -> Iterator[tuple[datetime, datetime, Decimal]]:
    """Since when until when it cost how much an hour."""
    end = environment.gone_at or now
    for rate, until in zip(environment.rates, [*(r.since for r in environment.rates[1:]), end], strict=True):
        if rate.price is not None and rate.since < until:
            yield rate.since, until, rate.price.per_hour


def _overlap(one: RecordedCost, start: datetime, end: datetime) -> Decimal:
    return max(Decimal(0), _seconds(max(one.start, start), min(one.end, end)))


def _seconds(start: datetime, end: datetime) -> Decimal:
    return Decimal(str((end - start).total_seconds()))
