"""Exact decimals, instruments and their grids, against Python's Decimal and Fraction."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apex.domain.decimals import MONEY_SCALE, grid, money, of_units, plain, scaled, units
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument

DIGITS = st.text("0123456789", max_size=25)
TEXT = st.builds(lambda sign, whole, point, part: sign + (whole or "0") + (point and point + part),
                 st.sampled_from(["", "-", "+"]), DIGITS, st.sampled_from(["", "."]), DIGITS)
MANTISSA = st.integers(-(10**30), 10**30)
STEP = st.builds(lambda m, p: plain(m, p), st.integers(1, 10**6), st.integers(0, 12))


@given(TEXT)
def test_scaled_is_the_decimal(text: str) -> None:
    """Lost: digits, a sign or a place of what was written."""
    mantissa, places = scaled(text)
    assert Fraction(mantissa, 10**places) == Fraction(Decimal(text))
    assert places == 0 or mantissa % 10 != 0 or mantissa == 0


@given(MANTISSA, st.integers(0, 30))
def test_plain_and_scaled_are_inverse(mantissa: int, places: int) -> None:
    """Lost: the shortest form, one text for one number, which hashes and JSON rely on."""
    text = plain(mantissa, places)
    assert Fraction(*((lambda m, p: (m, 10**p))(*scaled(text)))) == Fraction(mantissa, 10**places)
    assert plain(*scaled(text)) == text
    assert "e" not in text.lower()
    assert "." not in text or not text.endswith(("0", "."))
    assert not text.startswith(".")


@pytest.mark.parametrize("text", [
    "", "-", "+", ".", "-.", "1.2.3", "1e5", "1E5", " 1", "1 ", "1,0", "0x1", "nan", "inf", "Infinity", "1_0", "--1",
    "+-1", "\u0663", "1\u0660", "\uff11", "1\n", "9" * 5000, "0." + "0" * 5000 + "1",
])
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    """Lost: a lenient reader, or a traceback for a number of 5,000 digits."""
    with pytest.raises(ConfigError, match="not a decimal"):
        scaled(text)


@given(st.integers(-(10**18), 10**18), STEP)
def test_units_and_of_units_are_inverse(count: int, step: str) -> None:
    """Lost: a price that changes on its way into ticks and back."""
    text = of_units(count, step)
    assert Decimal(text) == count * Decimal(step)
    assert units(text, step) == count


@given(st.integers(-(10**12), 10**12), st.integers(0, 12), STEP)
def test_units_are_exact_or_refused(mantissa: int, places: int, step: str) -> None:
    """Lost: a price between two ticks that is rounded to one of them."""
    text = plain(mantissa, places)
    count = Fraction(mantissa, 10**places) / Fraction(Decimal(step))
    if count.denominator == 1:
        assert units(text, step) == count
    else:
        with pytest.raises(ConfigError, match="multiple"):
            units(text, step)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 9)), min_size=1, max_size=20))
def test_grid_is_the_coarsest_step_of_all(values: list[tuple[int, int]]) -> None:
    """Lost: a grid that misses a value, or one finer than needed."""
    texts = [plain(m, p) for m, p in values]
    step = Fraction(Decimal(grid(texts)))
    if step == 0:
        assert all(Decimal(t) == 0 for t in texts)
        return
    counts = [Fraction(Decimal(t)) / step for t in texts]
    assert all(c.denominator == 1 for c in counts)
    for prime in (2, 3, 5, 7):
        assert any(c.numerator % prime for c in counts)


@given(st.integers(-(2**63), 2**63))
def test_money_is_in_units_of_1e_8(amount: int) -> None:
    """Lost: cash printed at another scale than it is kept."""
    assert Decimal(money(amount)) == Decimal(amount).scaleb(-MONEY_SCALE)


@given(STEP, STEP, STEP, st.integers(0, 10**9), st.integers(0, 10**9))
def test_the_value_of_a_tick_and_a_lot_is_exact(tick: str, lot: str, multiplier: str, ticks: int, lots: int) -> None:
    """Lost: cash that is not price times quantity."""
    x = Instrument("S", "v", tick, lot, multiplier=multiplier)
    num, den = x.value
    exact = Fraction(Decimal(x.price(ticks))) * Fraction(Decimal(x.quantity(lots))) * Fraction(Decimal(multiplier))
    assert Fraction(ticks * lots * num, den) == exact * 10**MONEY_SCALE
    assert (x.ticks(x.price(ticks)), x.lots(x.quantity(lots))) == (ticks, lots)


@pytest.mark.parametrize("name", ["tick", "lot", "multiplier"])
@pytest.mark.parametrize("value", ["0", "-1", "0.0", "", "x", "1e-3"])
def test_an_instrument_needs_positive_steps(name: str, value: str) -> None:
    """Lost: a division by zero, or a grid that turns prices over."""
    with pytest.raises(ConfigError):
        Instrument(**{"symbol": "S", "venue": "v", "tick": "1", "lot": "1", name: value})
