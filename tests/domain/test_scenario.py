"""Scenario files: what they mean in whole numbers, and what is said about one that is wrong."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apex._core.market import CELLS_OF_TABLE, QUANTILES, RULES, Market
from apex.domain.errors import ConfigError
from apex.domain.scenario import INSTRUMENT, Scenario, load, scenario
from apex.domain.scenario_keys import SECTIONS, quantiles
from tests.core import markets

BTC = (markets.FOLDER / "btc.toml").read_text(encoding="utf-8")


def tables(text: str = BTC) -> dict[str, Any]:
    return tomllib.loads(text, parse_float=Decimal)


def made(change: dict[str, dict[str, Any]] | None = None, **top: Any) -> Scenario:
    """btc with some keys changed (None removes one)."""
    given = tables() | top
    for section, keys in (change or {}).items():
        table = dict(given.get(section, {})) | keys
        given[section] = {key: value for key, value in table.items() if value is not None}
    return scenario(given, "mine", "mine.toml")


# ---- the files that come with it -------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", markets.NAMES)
def test_every_scenario_can_be_read_and_generated(name: str) -> None:
    """Lost otherwise: a file in the folder that does not work, or says nothing about itself."""
    found = markets.of(name)
    assert (found.name, found.title != name) == (name, True)
    assert (markets.FOLDER / f"{name}.toml").read_text(encoding="utf-8").startswith("# ")
    for rules in found.rules:
        assert set(rules) == {*RULES, *QUANTILES}
        numbers = [x for value in rules.values() for x in (value if isinstance(value, list) else [value])]
        assert all(isinstance(x, int) for x in numbers)
    market = Market(1, 20_000, found.price_ticks, found.rules, found.news)
    while market.rows_left:
        market.take()
    market._check()


def test_the_scenarios_that_are_promised_are_there() -> None:
    """Lost otherwise: a name in the documentation that does not exist."""
    assert set(markets.NAMES) == {"btc", "calm", "volatile", "jumps", "flash-crash", "illiquid", "two-venues", "pairs"}


def test_every_key_has_a_comment() -> None:
    """Lost otherwise: btc.toml as the guide to a file of one's own: each key there has its meaning beside it."""
    said = {line.split("=")[0].strip() for line in BTC.splitlines() if "=" in line and "#" in line}
    shared = {"place", "cancel", "limit_lots", "market_lots", "excitement", "symbol", "venue", "lot", "base", "quote"}
    for section in ("arrivals", "fair", "orders"):
        assert set(SECTIONS[section]) <= said | shared, section


# ---- meaning ---------------------------------------------------------------------------------------------------------

def test_values_become_the_generators_numbers() -> None:
    """Lost otherwise: a rate in the wrong unit: a market that is a thousand times too fast, or half as leaned."""
    second = (1 << 48) / 10**9
    rules = made({
        "arrivals": {"depth_messages": [10, 20, Decimal("30.5")], "market_orders": 4, "regimes": "2s", "echo": 2},
        "fair": {"impact": Decimal("0.5"), "flow_lean": Decimal("0.25"), "jump_scale": [1, 2, Decimal("0.5")]},
        "orders": {"reach": 10, "placing": Decimal("0.3")},
        "crash": {"at": "5s", "fall": "10s", "rest": "1s", "recover": "20s", "depth": Decimal("0.1"),
                  "back": Decimal("0.5"), "sells": 2, "placing": Decimal("0.1"), "tighten": Decimal("0.2")},
    }).rules[0]
    assert rules["depth_rate"] == [round(n * second) for n in (10, 20, 30.5)]
    assert rules["market_rate"] == [round(2 * second)] * 3, "half of them on each side"
    assert rules["leave_rate"] == [round((1 << 48) / 2e9)] * 3
    assert (rules["echo"], rules["impact"], rules["lean_flow"], rules["placing"]) == (512, 128, 8192, 77)
    assert rules["jump_scale"] == [16, 32, 8]
    assert rules["reach"] == 600, "10 bp of 600,000 ticks"
    assert rules["jump_q8"] == 60 * 256
    assert (rules["crash_ns"], rules["crash_depth"], rules["crash_back"]) == (5 * 10**9, 6554, 128)
    assert rules["heat_ns"] == [30_000_000, 600_000_000, 12_000_000_000]
    row = tables()["arrivals"]["excitement"][0]
    assert rules["self_gain"][0] == pytest.approx(float(row["same"]) * (1 << 48) / 30e6, abs=1)
    assert made().rules[0]["crash_ns"] == 0
    assert made().rules[0]["beta"] == 0


def test_a_table_goes_through_its_knots() -> None:
    """Lost otherwise: sizes and distances of another distribution than the file says."""
    found = quantiles([[0, 0], [Decimal("0.25"), 0], [Decimal("0.5"), 3], [1, 1000]], Decimal(1))
    assert len(found) == CELLS_OF_TABLE + 1
    assert found[:CELLS_OF_TABLE // 4 + 1] == [0] * (CELLS_OF_TABLE // 4 + 1)
    assert (found[CELLS_OF_TABLE // 2], found[-1]) == (3, 1000)
    assert found == sorted(found)
    middle = found[CELLS_OF_TABLE * 3 // 4]
    assert middle == int((4 * 1001) ** 0.5 - 1), "geometric between knots"
    assert quantiles([[0, 1], [1, 1]], Decimal("0.5")) == [0] * (CELLS_OF_TABLE + 1)


@given(st.lists(st.tuples(st.integers(1, 999), st.integers(0, 10**6)), max_size=6), st.integers(0, 10**6),
       st.integers(0, 10**6))
def test_any_rising_knots_give_a_rising_table(between: list[tuple[int, int]], first: int, last: int) -> None:
    """Lost otherwise: a table that the generator refuses, or that leaves its knots."""
    shares = sorted({share for share, _ in between})
    values = sorted([first, last, *(value for _, value in between[:len(shares)])])
    knots = [[Decimal(s) / 1000, Decimal(v)] for s, v in zip([0, *shares, 1000], values[:len(shares) + 2], strict=True)]
    table = quantiles(knots, Decimal(1))
    assert table == sorted(table)
    assert (table[0], table[-1]) == (int(knots[0][1]), int(knots[-1][1]))


def test_instruments_have_their_own_sections() -> None:
    """Lost otherwise: two venues that are one."""
    rows = [{"venue": "a"}, {"venue": "b", "tick": "1", "orders": {"burst": 7}, "coupling": {"lag": "3ms"}}]
    found = made({"coupling": {"beta": 1}}, instruments=rows,
                 news={"per_second": 1, "lasts": "1s", "children": 0, "jumps": [[0, 1], [1, 2]]})
    first, second = found.rules
    assert (first["burst_mean"], second["burst_mean"]) == (made().rules[0]["burst_mean"], 7)
    assert (first["beta"], second["beta"], first["lag_ns"], second["lag_ns"]) == (256, 256, 0, 3_000_000)
    assert found.price_ticks == (600_000, 60_000)
    assert (first["reach"], second["reach"]) == (2880, 288)
    assert found.news is not None
    assert found.instruments[0].symbol == INSTRUMENT["symbol"]


# ---- mistakes --------------------------------------------------------------------------------------------------------

KNOTS = [[0, 1], [1, 5]]


@pytest.mark.parametrize(("change", "where", "said"), [
    ({"orders": {"brust": 3}}, "orders.brust", "Did you mean burst?"),
    ({"arrivals": {"depth_mesages": 3}}, "arrivals.depth_mesages", "Did you mean depth_messages?"),
    ({"ordres": {"burst": 3}}, "ordres", "Did you mean orders?"),
    ({"orders": {"zzz": 3}}, "orders.zzz", "The keys are"),
    ({"orders": {"burst": None}}, "orders.burst", "missing"),
    ({"orders": {"burst": "3"}}, "orders.burst", "no number"),
    ({"orders": {"burst": True}}, "orders.burst", "no number"),
    ({"orders": {"burst": 1000}}, "orders.burst", "1 to 256"),
    ({"orders": {"placing": 0}}, "orders.placing", "16 to 256"),
    ({"orders": {"placing": Decimal("1.5")}}, "orders.placing", "16 to 256"),
    ({"orders": {"reach": 500}}, "orders.reach", "3072"),
    ({"orders": {"place": [[0, 0], [1, 500]]}}, "orders.place", "3072"),
    ({"orders": {"place": [[0, 0], [Decimal("0.9"), 5]]}}, "orders.place", "0 to 1"),
    ({"orders": {"place": [[0, 3], [1, 2]]}}, "orders.place", "fall"),
    ({"orders": {"place": [[0, -1], [1, 2]]}}, "orders.place", "negative"),
    ({"orders": {"place": [0, 1]}}, "orders.place", "[[share, value], ...]"),
    ({"orders": {"place": [[0, "a"], [1, 2]]}}, "orders.place", "no number"),
    ({"orders": {"place": [[0, 1], [1, Decimal("1e300000")]]}}, "orders.place", "out of range"),
    ({"orders": {"notice": Decimal("1e999999")}}, "orders.notice", "out of range"),
    ({"arrivals": {"depth_messages": Decimal("-1e999999")}}, "arrivals.depth_messages", "out of range"),
    ({"arrivals": {"regimes": ["1s", "2s"]}}, "arrivals.regimes", "give one, or three"),
    ({"arrivals": {"regimes": 5}}, "arrivals.regimes", "no duration"),
    ({"arrivals": {"regimes": "5 s"}}, "arrivals.regimes", "not a duration"),
    ({"arrivals": {"regimes": "10us"}}, "arrivals.regimes", "1ms"),
    ({"arrivals": {"depth_messages": -1}}, "arrivals.depth_messages", "out of range"),
    ({"arrivals": {"excitement": []}}, "arrivals.excitement", "3 time scales"),
    ({"arrivals": {"excitement": [{"lasts": "1s", "same": 1, "other": 0}] * 3}}, "arrivals.excitement", "0.95"),
    ({"arrivals": {"excitement": [{"lasts": "1s", "same": 0, "othr": 0}] * 3}}, "arrivals.excitement.othr", "other?"),
    ({"arrivals": {"excitement": [{"lasts": "1us", "same": 0, "other": 0}] * 3}}, "arrivals.excitement.lasts", "range"),
    ({"fair": {"waves": {"lasts": "1s", "children": 2, "orders": 1}}}, "fair.waves.children", "0.95"),
    ({"fair": {"waves": {"lasts": "1s", "children": 0}}}, "fair.waves.orders", "missing"),
    ({"coupling": {"beta": 1}}, "coupling.beta", "[news]"),
    ({"coupling": {"partner": "x"}}, "instruments[0].coupling.partner", "no other instrument"),
    ({"crash": {"at": "1s"}}, "crash.fall", "missing"),
    ({"news": {"per_second": 1}}, "news.lasts", "missing"),
    ({"news": {"per_second": 1, "lasts": "1s", "children": 0, "jumps": KNOTS, "beta": 1}}, "news.beta", "keys are"),
    ({"news": {"per_second": 0, "lasts": "1s", "children": 0, "jumps": KNOTS}}, "news", "out of range"),
])
def test_mistakes_are_named(change: dict[str, dict[str, Any]], where: str, said: str) -> None:
    """Lost otherwise: a typing error that is silently the default, or a message that does not say where to look."""
    with pytest.raises(ConfigError) as caught:
        made(change)
    assert caught.value.where == f"mine.toml: {where}"
    assert said in f"{caught.value.what} {caught.value.do}"


@pytest.mark.parametrize(("row", "where", "said"), [
    ({"tick": 1}, "instruments[0].tick", "no text"),
    ({"tick": "0"}, "instruments[0]", "> 0"),
    ({"price": "60000.05"}, "instruments[0]", "multiple"),
    ({"price": "50"}, "instruments[0].price", "102.4"),
    ({"kind": "option"}, "instruments[0].kind", "spot, linear or inverse"),
    ({"symbl": "X"}, "instruments[0].symbl", "symbol?"),
])
def test_mistakes_of_an_instrument_are_named(row: dict[str, Any], where: str, said: str) -> None:
    """The same for instruments."""
    with pytest.raises(ConfigError) as caught:
        made(instruments=[row])
    assert caught.value.where == f"mine.toml: {where}"
    assert said in f"{caught.value.what} {caught.value.do}"


def test_two_of_one_name_are_refused() -> None:
    """Lost otherwise: a tape whose instruments cannot be told apart."""
    for rows in ([{}, {}], [], "x", [{"venue": str(i)} for i in range(65)]):
        with pytest.raises(ConfigError, match="instruments"):
            made(instruments=rows)


def test_a_file_builds_on_another(tmp_path: Path) -> None:
    """Lost otherwise: copies of the same sixty lines that drift apart, or that a user must make for a base of ours."""
    (tmp_path / "btc.toml").write_text(BTC, encoding="utf-8")
    mine = tmp_path / "mine.toml"
    mine.write_text('base = "btc"\ntitle = "Mine"\n[orders]\nburst = 5\n', encoding="utf-8")
    found, btc = load(mine), markets.of("btc")
    assert (found.name, found.title, found.rules[0]["burst_mean"]) == ("mine", "Mine", 5)
    assert {**found.rules[0], "burst_mean": 0} == {**btc.rules[0], "burst_mean": 0}
    assert found.instruments == btc.instruments
    (tmp_path / "btc.toml").write_text(BTC.replace('"SIM1"', '"SIM9"'), encoding="utf-8")
    assert load(mine).instruments[0].base == "SIM9"
    (tmp_path / "btc.toml").unlink()
    assert (load(mine).rules, load(mine).instruments) == (found.rules, btc.instruments)
    (tmp_path / "third.toml").write_text('base = "mine"\n', encoding="utf-8")
    for text, said in (('base = "nobody"', "no scenario"), ("base = 3", "no scenario"), ('base = "mine"', "itself")):
        (tmp_path / "third.toml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=said):
            load(tmp_path / "third.toml")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """Lost otherwise: a traceback for a missing file or a slip in TOML."""
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = = 3", encoding="utf-8")
    with pytest.raises(ConfigError, match="no TOML"):
        load(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="no TOML"):
        load(tmp_path / "bad.toml")
