"""A budget says what it limits, in a unit, or says what is wrong with it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat import Budget, BudgetInvalid, Room, Spend
from rheostat.money.usage import usd, usd_nanos


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({}, "at least one limit"),
        ({"usd": 0}, "above zero"),
        ({"usd": "-0.1"}, "above zero"),
        ({"usd": "ten"}, "not an amount"),
        ({"usd": float("nan")}, "finite"),
        ({"usd": "1e12"}, "absurdly large"),
        ({"tokens": 0}, "above zero"),
        ({"tokens": -5}, "above zero"),
        ({"tokens": 10.5}, "whole"),
        ({"tokens": "100"}, "not the text"),
        ({"tokens": True}, "must be a number"),
        ({"seconds": float("inf")}, "finite"),
        ({"seconds": float("nan")}, "finite"),
        ({"calls": 10**18}, "absurdly large"),
    ],
)
def test_a_bad_limit_is_refused_with_its_value_and_what_to_do(limits: dict, says: str) -> None:
    with pytest.raises(BudgetInvalid, match=says):
        Budget(**limits)


def test_a_number_without_a_unit_is_refused() -> None:
    with pytest.raises(BudgetInvalid, match="no unit"):
        Budget(5)


@given(st.decimals(min_value="0.000000001", max_value="100000", places=9))
def test_money_is_exact_in_nano_dollars(amount: Decimal) -> None:
    budget = Budget(usd=str(amount))
    assert budget.usd_nanos == int(amount * 10**9)
    assert Budget(usd=amount).limits == {"usd_nanos": budget.usd_nanos}


def test_money_is_rounded_up_never_down() -> None:
    assert usd_nanos("0.0000000001") == 1
    assert usd(1_500_000) == "$0.0015"
    assert usd(None) == "unpriced"


def test_a_budget_reads_as_a_person_would_write_it() -> None:
    assert str(Budget(usd="0.10", tokens=5000, seconds=60)) == "$0.1 · 5,000 tokens · 60 s"


spends = st.builds(
    Spend,
    usd_nanos=st.integers(0, 10**6),
    input_tokens=st.integers(0, 1000),
    output_tokens=st.integers(0, 1000),
    thinking_tokens=st.integers(0, 1000),
    calls=st.integers(0, 10),
)


@given(spends, spends, spends)
def test_spend_adds_like_numbers_do(a: Spend, b: Spend, c: Spend) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Spend() == a
    assert Spend.from_dict(a.to_dict()) == a


def test_unknown_is_not_zero() -> None:
    assert (Spend(usd_nanos=None) + Spend(usd_nanos=5)).usd_nanos is None
    assert (Spend(thinking_tokens=None) + Spend(thinking_tokens=5)).thinking_tokens is None


@given(spends, st.integers(0, 3000))
def test_what_fits_leaves_room_and_what_does_not_says_why(amount: Spend, left: int) -> None:
    room = Room(tokens=left)
    if room.fits(amount):
        assert room.minus(amount).tokens == left - amount.tokens
    else:
        assert room.shortage(amount) == ("tokens", amount.tokens, left)
