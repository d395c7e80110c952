"""Risk limits: exact from decimals to the gate's integers, files checked key by key."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apex._core.risk import LOTS_MAX
from apex.domain.decimals import plain
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument
from apex.domain.limits import UNIT_NS, Limits, duration_ns

BTC = Instrument("BTCUSDT", "binance-usdm", "0.1", "0.001")
MONEY = st.integers(0, 10**17).map(lambda n: plain(n, 8))


@given(st.integers(0, 10**12), st.integers(0, 10**9), MONEY, MONEY, MONEY, MONEY, st.integers(0, 10**12))
def test_integers_are_the_decimals(collar: int, finger: int, value: str, gross: str, loss: str, fall: str,
                                   position: int) -> None:
    """Lost: a limit that is another number in the gate than in the file."""
    limits = Limits(price_collar=plain(collar, 12), fat_finger_multiple=plain(finger, 6), order_value_max=value,
                    gross_notional_max=gross, daily_loss_max=loss, drawdown_max=fall,
                    order_quantity_max=plain(position, 5))
    found = limits.integers(BTC)
    assert (found["price_collar"], found["fat_finger_multiple"]) == (collar, finger)
    for name, text in (("order_value_max", value), ("gross_notional_max", gross), ("daily_loss_max", loss),
                       ("drawdown_max", fall)):
        assert found[name] == Decimal(text).scaleb(8)
    lots = (Decimal(position).scaleb(-5) / Decimal("0.001")).to_integral_value(ROUND_FLOOR)
    assert found["order_quantity_max"] == min(LOTS_MAX, lots)
    assert found["position_max"] == LOTS_MAX


@pytest.mark.parametrize("step", ["0.001", "0.1", "1", "7", "1000000"])
def test_quantities_round_down_to_lots(step: str) -> None:
    """Lost: a position one lot above its limit."""
    x = Instrument("S", "v", "0.1", step)
    for text in ("0", "0.9", "1", "20.999", "21", "123456.789"):
        lots = Limits(position_max=text).integers(x)["position_max"]
        assert lots * Decimal(step) <= Decimal(text) < (lots + 1) * Decimal(step)


@given(st.integers(0, 10**6), st.sampled_from(list(UNIT_NS)))
def test_durations_are_exact(count: int, unit: str) -> None:
    """Lost: a millisecond taken for a minute."""
    minute = 60 * 10**9
    nanoseconds = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": minute, "h": 60 * minute, "d": 1440 * minute}
    if count * nanoseconds[unit] < 2**63:
        assert duration_ns(f"{count}{unit}") == count * nanoseconds[unit]


@pytest.mark.parametrize("text", [
    "", "5", "ms", "-5ms", "5 ms", "1.5s", "5MS", "5min", "\u0665ms", "9223372036855ms", "5ms5", "1e3ns",
])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Lost: a limit of 0 for a word that was not understood."""
    with pytest.raises(ConfigError, match="duration"):
        duration_ns(text)


WRONG: list[tuple[str, Any]] = [
    ("price_collar", "-0.1"), ("price_collar", "0.0000000000001"), ("price_collar", "x"), ("price_collar", 0.1),
    ("price_collar", "1e-2"), ("price_collar", None), ("price_collar", "9" * 50), ("price_collar", "10000000"),
    ("fat_finger_multiple", "0.0000001"), ("order_value_max", "0.000000001"), ("order_value_max", 100),
    ("order_value_max", "99999999999999999999"), ("order_quantity_max", "-1"), ("order_quantity_max", 5),
    ("position_max", "nan"), ("gross_notional_max", ""), ("open_orders_max", -1), ("open_orders_max", "5"),
    ("open_orders_max", 1.5), ("open_orders_max", True), ("open_orders_max", 2**31 + 1), ("open_orders_max", None),
    ("messages_per_second_max", 2**20 + 1), ("book_age_max", "5"), ("book_age_max", 5), ("duplicate_window", "-1s"),
    ("duplicate_window", None), ("daily_loss_max", "-0"), ("drawdown_max", "inf"),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_values_that_are_no_limit(key: str, value: Any) -> None:
    """Lost: a limit that limits nothing, because its value was of another kind."""
    with pytest.raises(ConfigError) as caught:
        Limits(**{key: value})
    assert caught.value.where == key
    assert caught.value.exit_code == 2


def test_a_file_keeps_decimals_exact_and_defaults(tmp_path: Path) -> None:
    """Lost: 0.1 that becomes 0.1000000000000000055; a missing key that means no limit."""
    path = tmp_path / "l.toml"
    path.write_text('price_collar = 0.1\nfat_finger_multiple = 5\norder_value_max = "12.5"\nopen_orders_max = 7\n'
                    'book_age_max = "250ms"\n', encoding="utf-8")
    found, base = Limits.from_toml(path), Limits()
    assert (found.price_collar, found.fat_finger_multiple, found.order_value_max) == ("0.1", "5", "12.5")
    assert (found.open_orders_max, found.book_age_max) == (7, "250ms")
    assert (found.gross_notional_max, found.position_max) == (base.gross_notional_max, None)
    assert found.integers(BTC)["price_collar"] == 10**11
    shown = found.as_dict()
    assert (shown["price_collar"], shown["order_value_max"], shown["position_max"]) == (0.1, "12.5", None)
    assert tuple(shown) == Limits.__struct_fields__


@pytest.mark.parametrize(("text", "where", "do"), [
    ("price_colar = 0.1", "price_colar", "Did you mean price_collar?"), ("zzz = 1", "zzz", "The keys are"),
    ("price_collar = true", "price_collar", "Write"), ("price_collar = nan", "price_collar", "Write"),
    ("price_collar = -0.1", "price_collar", "Write"), ("price_collar = 1e-20", "price_collar", "Write"),
    ("order_value_max = 5", "order_value_max", "Write"), ("open_orders_max = 5.0", "open_orders_max", "Write"),
    ("book_age_max = 5", "book_age_max", "Write"), ("[limits]\nprice_collar = 1", "limits", "keys"),
    ("= 5", "", "Write"), ("position_max = '\ud800'", "", ""),
])
def test_mistakes_in_a_file_name_file_and_key(text: str, where: str, do: str, tmp_path: Path) -> None:
    """Lost: a mistyped limit that silently keeps its default."""
    path = tmp_path / "l.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError) as caught:
        Limits.from_toml(path)
    assert caught.value.where.startswith(str(path))
    assert where in caught.value.where
    assert do in caught.value.do


def test_an_instrument_whose_accounts_could_overflow_is_refused() -> None:
    """Lost: a wrapped notional, which is a lost account."""
    fine = Instrument("S", "v", "0.000000000001", "0.000000000001")
    with pytest.raises(ConfigError, match="overflow"):
        Limits(order_value_max="40000000000", gross_notional_max="40000000000").integers(fine)
    dear = Instrument("S", "v", "1000000", "1000000")
    with pytest.raises(ConfigError, match="overflow"):
        Limits(position_max="1000000000000000000").integers(dear)
    assert Limits().integers(BTC)["order_value_max"] == 10**13
