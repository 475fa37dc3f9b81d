"""A price of one's own: what tokens cost, and that no split of them costs more than the bound."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from rheostat import FREE, Price, Spend

rates = st.decimals(0, 100, places=2)
maybe = st.none() | rates
tokens = st.integers(0, 10**6)


@given(rates, rates, maybe, maybe, tokens, tokens, st.data())
def test_no_split_of_the_tokens_costs_more_than_the_bound(
    fresh: Decimal, output: Decimal, cached: Decimal | None, written: Decimal | None, inputs: int, outputs: int,
    data: st.DataObject,
) -> None:  # fmt: skip
    price = Price(
        input_per_million=fresh,
        output_per_million=output,
        cached_input_per_million=cached,
        cache_write_per_million=written,
    )
    read = data.draw(st.integers(0, inputs))
    wrote = data.draw(st.integers(0, inputs - read))
    spend = Spend(
        input_tokens=inputs, cached_input_tokens=read, cache_write_tokens=wrote, output_tokens=outputs, calls=1
    )
    assert price.cost(spend) <= price.bound(Spend(input_tokens=inputs, output_tokens=outputs, calls=1))
    assert not (price.free and price.cost(spend))


def test_a_rate_of_zero_is_a_rate() -> None:
    price = Price(input_per_million=Decimal(2), output_per_million=Decimal(0), cache_write_per_million=Decimal(0))
    assert price.cost(Spend(input_tokens=1000, cache_write_tokens=1000)) == 0
    assert price.cost(Spend(input_tokens=1000, cache_write_tokens=400)) == 1_200_000


def test_free_is_only_what_costs_nothing_in_any_way() -> None:
    zero = Decimal(0)
    assert FREE.free
    assert not Price(input_per_million=zero, output_per_million=zero, cached_input_per_million=Decimal(1)).free
    assert not Price(input_per_million=zero, output_per_million=zero, cache_write_per_million=Decimal(1)).free
