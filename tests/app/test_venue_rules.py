"""The venue's rules as an operator gives them: files, keys, errors, and what the result says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import apex
from apex._core.events import pack
from apex.app.venue import VenueRules, fee_rows, read_rules
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument
from apex.store.tape import TapeWriter
from tests.core.assembly import BUY, SELL, START, message, snapshot
from tests.core.test_funding import mark
from tests.core.test_strict import at

NAME = Instrument("AAA", "test", "0.1", "0.001")


class Buyer(apex.Strategy):
    """Buys 15 lots at once."""

    def on_start(self, view: Any) -> None:
        view.at(START + 10)

    def on_timer(self, view: Any) -> None:
        view.market("buy", 15)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    events = [snapshot(START, [(100, 10), (99, 10)], [(102, 10), (103, 10)]), mark(5, 102, 10**8, 50),
              at(20, "BOOK_LEVEL", (BUY, 100, 30)), mark(60, 60, 10**8, 10**6), at(70, "TRADE", (SELL, 100, 1)),
              message("BOOK_LEVEL", START + 2 * 10**9, [(BUY, 99, 4)])]
    rows = np.concatenate(events)
    path = tmp_path / "a.tape"
    with TapeWriter(path, [NAME], source="test") as writer:
        writer.append(*pack(rows))
    return path


def ran(tape: Path, **venue: Any) -> dict[str, Any]:
    summary: dict[str, Any] = apex.replay(tape, Buyer, cash="0.005", limits=None, venue=venue or None).document
    return summary


def test_off_unless_asked_for(tape: Path) -> None:
    """Lost otherwise: results that change with rules that nobody gave."""
    found = ran(tape)
    assert [found[k] for k in ("funding", "liquidation_fees", "impact_cost", "liquidations", "halts")] == [
        "0", "0", "0", 0, 0]
    assert found["position"] == {"AAA": "0.015"}
    assert read_rules(None) == VenueRules()


def test_every_line_of_the_split(tape: Path, tmp_path: Path) -> None:
    """Lost otherwise: costs that are in net and nowhere to be seen."""
    (tmp_path / "fees.toml").write_text(
        '[[schedule]]\nfrom = 2024-08-01\nmaker = "0.0001"\ntaker = "0.0002"\n'
        '[[schedule.tiers]]\nvolume = 5\nmaker = 0.00005\ntaker = 0.0001\n', encoding="utf-8")
    rules = {"funding": "tape", "fees": str(tmp_path / "fees.toml"),
             "liquidation": {"maintenance": 0.01, "fee": "0.005"},
             "impact": {"model": "square-root", "daily_volatility": 0.03, "daily_volume": 1, "y": 1}}
    result = apex.replay(tape, Buyer, cash="0.005", venue=rules)
    found = result.document
    # 10 lots at 102; 5 at 103 and what the law says of 15: 0.03 * sqrt(0.015 / 1) * 102 * 15 = 5.6 ticks * lots more
    fills = [(int(f["price_ticks"]), int(f["quantity_lots"])) for f in result.fill_rows]
    assert fills == [(102, 10), (104, 5), (100, 15)]
    assert found["impact_cost"] == "0.0005"
    assert found["fees"] == "0.0000608"                       # 0.0002 of 0.102 + 0.052 + 0.15
    assert found["funding"] == "0.0000153"                    # 0.0001 of 15 lots at the mark of 102
    assert (found["liquidations"], found["liquidation_fees"]) == (1, "0.00075")
    parts = [float(found[k]) for k in ("gross_pnl", "fees", "funding", "liquidation_fees")]
    assert float(found["net_pnl"]) == pytest.approx(parts[0] - sum(parts[1:]), abs=1e-12)
    page = result.report(tmp_path / "out").read_text("utf-8")
    assert all(word in page for word in ("of which impact", "Funding", "Liquidation"))
    assert set(result.equity.columns) >= {"charges"}


@pytest.mark.parametrize(("wrong", "word"), [
    ({"fundings": "tape"}, "fundings"), ({"halt_orders": "wait"}, "wait"), ({"own_orders": 5}, "str"),
    ({"impact": {"model": "linear", "daily_volatility": "1", "daily_volume": "1"}}, "linear"),
    ({"liquidation": {"maintenance": "2"}}, "fraction"), ({"fees": "absent.toml"}, "cannot read"),
    ({"funding": "absent.csv"}, "cannot read"), ({"halts": [{"start": 5, "stop": 4}]}, "halts"),
    ({"impact": {"model": "square-root", "daily_volatility": "x", "daily_volume": "1"}}, "float"),
])  # fmt: skip
def test_wrong_rules_are_named(tape: Path, wrong: dict[str, Any], word: str) -> None:
    """Lost otherwise: a rule that is silently not applied."""
    with pytest.raises(ConfigError, match=word):
        ran(tape, **wrong)


def test_compat_takes_no_rules(tape: Path) -> None:
    """Lost otherwise: parity with hftbacktest, by an option that it does not have."""
    with pytest.raises(ConfigError, match="hftbacktest"):
        apex.replay(tape, Buyer, fill_mode="compat", venue={"funding": "tape"})


def test_given_fundings(tape: Path, tmp_path: Path) -> None:
    """Lost otherwise: a funding file whose marks, or whose lines, are read wrongly."""
    file = tmp_path / "f.csv"
    file.write_text(f"ts,rate,mark\n{START + 30},0.0001,10.25\n{START + 31},-0.0002,\n", encoding="utf-8")
    assert ran(tape, funding=str(file))["funding"] == "-0.00001522"     # 0.00001538, rounded up, less 0.0000306
    file.write_text(f"ts,rate,mark\n{START + 30},x,1\n", encoding="utf-8")
    with pytest.raises((ConfigError, InputError)):
        ran(tape, funding=str(file))


def test_a_tape_without_marks_is_refused(tmp_path: Path) -> None:
    """Lost otherwise: a run that pays no funding, and says that it does."""
    path = tmp_path / "plain.tape"
    with TapeWriter(path, [NAME], source="test") as writer:
        writer.append(*pack(np.concatenate([snapshot(START, [(100, 9)], [(102, 9)]), at(9, "TRADE", (BUY, 102, 1))])))
    for rules in ({"funding": "tape"}, {"liquidation": {"maintenance": "0.01"}}):
        with pytest.raises(ConfigError, match="mark prices"):
            ran(path, **rules)


def test_fee_tables(tmp_path: Path) -> None:
    """Lost otherwise: tables of another venue, or out of order."""
    file = tmp_path / "fees.toml"
    file.write_text('[[schedule]]\nfrom = 1970-01-02\nvenue = "x"\nmaker = "-0.0001"\ntaker = "0.0002"\n'
                    '[[schedule]]\nfrom = 1970-01-01T12:00:00Z\nvenue = "y"\nmaker = "0"\ntaker = "0.1"\n',
                    encoding="utf-8")
    assert fee_rows(file, "x") == [(86_400 * 10**9, 0, -10**8, 2 * 10**8)]
    assert fee_rows(file, "y") == [(43_200 * 10**9, 0, 0, 10**11)]
    for text, word in (('[[schedule]]\nfrom = "x"\nmaker = "0"\ntaker = "0"', "no date"),
                       ("[[schedule]]\nfrom = 5", "missing"),
                       ("", "no table"), ("x", "no TOML"), ("[[schedule]]\nsince = 5", "unknown key")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=word):
            fee_rows(file, "x")


@pytest.mark.parametrize(("text", "word"), [
    ("schedule = 3\n", "list of tables"), ('[schedule]\nfrom = 2024-01-01\n', "list of tables"),
    ('[[schedule]]\nfrom = 2024-01-01\nmaker = 0\ntaker = 0\ntiers = 5\n', "list of tables"),
    ('[[schedule]]\nfrom = 2024-01-01\nmaker = 0\ntaker = 0\ntiers = ["x"]\n', "list of tables"),
    ('[[schedule]]\nfrom = 1600-01-01\nmaker = 0\ntaker = 0\n', "64 bits"),
    ('[[schedule]]\nfrom = 2024-01-01\nmaker = true\ntaker = 0\n', "no number"),
])  # fmt: skip
def test_a_damaged_fee_table_is_named(tmp_path: Path, text: str, word: str) -> None:
    """Lost otherwise: an internal error for a file of the user's, or a fee of 100 % from `true`."""
    (tmp_path / "f.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=word):
        fee_rows(tmp_path / "f.toml", "test")


@pytest.mark.parametrize(("text", "word"), [
    ("", "columns missing"), (f"ts;rate;mark\n{START + 30};0.1;1\n", "columns missing"),
    (f"ts,rate,mark\n{START + 30},0.0001,-5\n", "no price"), (f"ts,rate,mark\n{START + 30},0.0001,0\n", "no price"),
    (f"ts,rate,mark\n{START + 30},0.0001,99999999999999999999\n", "no price"),
    ("ts,rate\n99999999999999999999,0.1\n", "64 bits"),
    (f"ts,rate\n{START + 30},0.0001\n{START + 30},0.0001\n", "two fundings"),
])  # fmt: skip
def test_a_damaged_funding_file_is_named(tape: Path, tmp_path: Path, text: str, word: str) -> None:
    """Lost otherwise: fundings that are silently none, twice, or by another mark than the one given."""
    (tmp_path / "f.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=word):
        ran(tape, funding=str(tmp_path / "f.csv"))


@pytest.mark.parametrize(("wrong", "word"), [
    ({"halts": [{"start": 1, "stop": 2, "instrument": "AAB"}]}, "no instrument 'AAB'"),
    ({"impact": {"model": "square-root", "daily_volatility": "1", "daily_volume": "1", "instrument": "AAB"}},
     "no instrument"),
    ({"impact": {"model": "square-root", "daily_volatility": "inf", "daily_volume": "1"}}, "finite"),
    ({"impact": {"model": "square-root", "daily_volatility": "1e400", "daily_volume": "inf"}}, "finite"),
])  # fmt: skip
def test_a_rule_for_nobody_is_refused(tape: Path, wrong: dict[str, Any], word: str) -> None:
    """Lost otherwise: a misspelt instrument's halt or impact is silently not applied; fills at a price of NaN."""
    with pytest.raises(ConfigError, match=word):
        ran(tape, **wrong)
