"""`apex generate`: the command, its tape, and a market maker on it."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import apex
from apex.app.cli import main
from apex.app.generate_command import find, generate, generate_scenario
from apex.domain.instrument import Instrument
from apex.domain.scenario import SHIPPED
from apex.research.facts import measure
from apex.research.observe import observe
from apex.store.tape import Tape
from apex.store.verify import verify

SIM = Instrument("SIM1USDT", "generated", "0.1", "0.001", base="SIM1", quote="USDT")
PRICE = 600_000


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of `apex generate`; nothing else may stand on stdout."""
    code = main(["generate", *map(str, words), "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out)


def test_the_command_keeps_its_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: scripts that read `events` and `content_hash`, and a tape that says how to make it again."""
    out = tmp_path / "market.tape"
    code, value = run(capsys, "--seed", 7, "--events", 30_001, "--out", out)
    assert code == 0
    assert value["events"] == 30_001
    with Tape.open(out) as tape:
        assert tape.row_count == 30_001
        assert tape.content_hash == value["content_hash"]
        assert (tape.header["seed"], tape.header["source"]) == (7, "generate")
        assert tape.venue_order is None, "rows lie in both orders of time"
        assert tape.header["feed_min_ns"] >= 600_000
        found = verify(tape)
        assert found.ok, found


def test_the_same_seed_gives_the_same_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: the demo's numbers in the README, which a reader compares with his own."""
    paths = [tmp_path / name for name in ("a.tape", "b.tape", "c.tape")]
    values = [run(capsys, "--seed", seed, "--events", 20_000, "--out", out)[1]
              for seed, out in zip((7, 7, 8), paths, strict=True)]
    assert values[0]["content_hash"] == values[1]["content_hash"] != values[2]["content_hash"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_chunks_do_not_show_on_the_tape(tmp_path: Path) -> None:
    """Lost otherwise: a hash that changes when somebody tunes the memory of the generator."""
    hashes = {generate(tmp_path / "x.tape", 3, 50_000, [SIM], PRICE, chunk=chunk)["content_hash"]
              for chunk in (2_500, 1 << 14, 1 << 20)}
    assert len(hashes) == 1


def test_several_instruments_on_their_own_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: tests of several instruments at once, and markets of other prices than the default."""
    out = tmp_path / "market.tape"
    code, value = run(capsys, "--seed", 1, "--events", 40_000, "--out", out, "--instruments", 3, "--tick", "0.0001",
                      "--lot", "10", "--price", "0.75")
    assert code == 0
    assert [(i["symbol"], i["tick"], i["lot"]) for i in value["instruments"]] == [
        (f"SIM{n}USDT", "0.0001", "10") for n in (1, 2, 3)]
    with Tape.open(out) as tape:
        assert verify(tape).ok
        assert set(tape.batches["instrument"].tolist()) == {0, 1, 2}
    assert main(["tape", "bbo", str(out), "--final", "--instrument", "SIM2USDT", "--json"]) == 0
    (touch,) = json.loads(capsys.readouterr().out)
    assert 0.5 < float(touch["bid"]) < float(touch["ask"]) < 1.0
    assert touch["synced"]
    assert min(touch["bid_levels"], touch["ask_levels"]) > 64


@pytest.mark.parametrize(("change", "where", "said"), [
    ({"--events": "15"}, "--events", "16"),
    ({"--events": "0"}, "--events", "16"),
    ({"--events": "-4"}, "--events", "-4"),
    ({"--events": "4294967296"}, "--events", "4,294,967,295"),
    ({"--events": "1e6"}, "--events", "1e6"),
    ({"--events": "40", "--instruments": "3"}, "--events", "48"),
    ({"--seed": "-1"}, "--seed", "2^64"),
    ({"--seed": "18446744073709551616"}, "--seed", "2^64"),
    ({"--seed": "seven"}, "--seed", "seven"),
    ({"--instruments": "0"}, "--instruments", "64"),
    ({"--instruments": "65"}, "--instruments", "64"),
    ({"--tick": "x"}, "--tick", "decimal"),
    ({"--tick": "0"}, "--tick", "> 0"),
    ({"--lot": "-1"}, "--lot", "> 0"),
    ({"--price": "60000.05"}, "--price", "multiple"),
    ({"--price": "50"}, "--price", "102.4"),
    ({"--price": "600000000"}, "--price", "53687091.2"),
])
def test_wrong_options_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str],
                                 where: str, said: str) -> None:
    """Lost otherwise: a user who is told that something is wrong, but not what or where; or half a tape."""
    out = tmp_path / "market.tape"
    options = {"--seed": "7", "--events": "1000", "--out": str(out), **change}
    code, value = run(capsys, *(word for pair in options.items() for word in pair))
    assert code == 2
    assert value["error"]["where"] == where
    assert said in value["error"]["what"]
    assert not list(tmp_path.iterdir())


def test_a_missing_option_and_a_missing_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: exit codes that tell a mistake of the caller from one of the machine."""
    code, value = run(capsys, "--events", 1000, "--out", tmp_path / "x.tape")
    assert (code, value["error"]["code"]) == (2, "usage")
    assert "--seed" in value["error"]["what"]
    code, value = run(capsys, "--seed", 1, "--events", 1000, "--out", tmp_path / "no" / "x.tape")
    assert (code, value["error"]["code"]) == (4, "environment")


def test_a_scenario_says_what_is_generated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: instruments and prices of another market than the scenario's; a tape that hides its origin."""
    out = tmp_path / "market.tape"
    code, value = run(capsys, "--seed", 3, "--events", 30_000, "--scenario", "two-venues", "--out", out)
    assert (code, value["events"], value["scenario"]) == (0, 30_000, "two-venues")
    assert [(i["venue"], i["symbol"]) for i in value["instruments"]] == [
        ("generated-a", "SIM1USDT"), ("generated-b", "SIM1USDT")]
    with Tape.open(out) as tape:
        assert (tape.header["source"], tape.header["seed"]) == ("generate two-venues", 3)
        assert verify(tape).ok
    copy = tmp_path / "mine.toml"
    copy.write_text((SHIPPED / "btc.toml").read_text("utf-8"), encoding="utf-8")
    hashes = [run(capsys, "--seed", 3, "--events", 30_000, "--scenario", name, "--out", out)[1]["content_hash"]
              for name in ("btc", copy, "default")]
    assert hashes[0] == hashes[1]
    assert hashes[2] == run(capsys, "--seed", 3, "--events", 30_000, "--out", out)[1]["content_hash"]


def test_a_tape_of_orders_is_the_same_market(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: queue models tried on another market than the one of the levels; facts that the form decides."""
    paths = {book: tmp_path / f"{book}.tape" for book in ("l2", "l3")}
    for book, path in paths.items():
        words = ("--seed", 3, "--events", 120_000, "--scenario", "btc", "--book", book, "--out", path)
        code, value = run(capsys, *words)
        assert (code, value["book"]) == (0, book)
    with Tape.open(paths["l2"]) as levels, Tape.open(paths["l3"]) as orders:
        assert verify(orders).ok
        assert orders.order_books() == {0}
        assert set(orders.header["kinds"]) == {"SNAPSHOT_BEGIN", "ORDER_ADD", "ORDER_DELETE", "ORDER_EXECUTE"}
        first, second = observe(levels), observe(orders)
    same = min(len(first.parent_ts), len(second.parent_ts)) - 50
    for name in ("parent_ts", "parent_sign", "parent_lots", "parent_prints"):
        assert (getattr(first, name)[:same] == getattr(second, name)[:same]).all()
    found = [measure(seen) for seen in (first, second)]
    for name in ("spread_bp", "touch_in_orders", "depth_10bp", "placed_1bp", "cancelled_5bp", "hazard", "emptied"):
        assert found[0][name] == pytest.approx(found[1][name], rel=0.25), name
    result = apex.replay(paths["l3"], "apex.strategies.maker:Maker", queue="fifo")
    assert result.summary["fills"] > 0


def test_chunks_do_not_show_on_a_scenarios_tape(tmp_path: Path) -> None:
    """Lost otherwise: a hash that changes when somebody tunes the memory of the generator."""
    hashes = {generate_scenario(tmp_path / "x.tape", 3, 50_000, find("pairs"), chunk=chunk)["content_hash"]
              for chunk in (2_500, 1 << 14, 1 << 20)}
    assert len(hashes) == 1


@pytest.mark.parametrize(("words", "where", "said"), [
    (("--scenario", "btcc"), "--scenario", "Did you mean btc?"),
    (("--scenario", "zzz"), "--scenario", "There are: btc, calm, default"),
    (("--scenario", "none.toml"), "none.toml", "cannot read"),
    (("--scenario", "btc", "--tick", "1"), "--tick", "scenario says"),
    (("--scenario", "pairs", "--instruments", "3"), "--instruments", "scenario says"),
    (("--scenario", "pairs", "--events", "31"), "--events", "32"),
    (("--book", "l3"), "--book", "no single orders"),
    (("--scenario", "btc", "--book", "l4"), "--book", "l4"),
])
def test_wrong_scenarios_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...],
                                   where: str, said: str) -> None:
    """Lost otherwise: a user who asks for a scenario that is not there and gets another market."""
    events = () if "--events" in words else ("--events", 1000)
    code, value = run(capsys, "--seed", 7, *events, "--out", tmp_path / "x.tape", *words)
    assert code == 2
    assert value["error"]["where"] == where
    assert said in value["error"]["what"] + value["error"]["do"]
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_the_older_tape(tmp_path: Path) -> None:
    """Lost otherwise: Ctrl-C in a long run that destroys what was there, or leaves half a tape."""
    out = tmp_path / "market.tape"
    generate(out, 1, 1_000, [SIM], PRICE)
    before = out.read_bytes()

    def interrupt(done: int) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(out, 1, 500_000, [SIM], PRICE, advance=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["market.tape"]
    assert out.read_bytes() == before


def test_progress_counts_every_row_once(tmp_path: Path) -> None:
    """Lost otherwise: a progress bar that stands still, or ends before the work does."""
    told: list[int] = []
    generate(tmp_path / "x.tape", 1, 300_000, [SIM], PRICE, advance=told.append)
    assert told == sorted(set(told))
    assert len(told) >= 4
    assert told[-1] == 300_000


@pytest.mark.parametrize("name", ["default", "pairs"])
def test_memory_does_not_grow_with_the_market(tmp_path: Path, name: str) -> None:
    """Lost otherwise: scale tests of a billion rows."""
    tracemalloc.start()
    try:
        if name == "default":
            generate(tmp_path / "x.tape", 1, 3_000_000, [SIM], PRICE)
        else:
            generate_scenario(tmp_path / "x.tape", 1, 3_000_000, find(name))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "x.tape").stat().st_size > 50_000_000
    assert peak < 32_000_000, "a few chunks, not the tape"


def test_a_market_maker_fills_on_both_sides(tmp_path: Path) -> None:
    """Lost otherwise: the demo: a lively market, on which the best price alone does not earn money."""
    out = tmp_path / "market.tape"
    generate(out, 7, 300_000, [SIM], PRICE)
    results = {}
    for distance in (1, 20):
        params = {"half_spread_ticks": distance, "skew_ticks": distance, "quantity_lots": 10, "position_max": 50}
        result = apex.replay(out, "apex.strategies.maker:Maker", params=params)
        sides = result.fill_rows["side"].tolist()
        assert min(sides.count(1), sides.count(2)) > 50
        assert float(result.summary["spread_captured"]) > 0 > float(result.summary["inventory_pnl"])
        results[distance] = float(result.summary["net_pnl"]) / len(sides)
    assert results[1] < 0, "who quotes at the touch is picked off"
    assert results[1] < results[20]
