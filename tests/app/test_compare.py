"""`apex compare`: the first decision that differs, the gap by cause to the last unit, and equality said plainly."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import apex
from apex.app.generate_command import generate
from apex.domain.decimals import money
from apex.research.compare import CAUSES, PARTS
from apex.research.lookup import SPLIT
from tests.app.commands import Call, call
from tests.app.test_latency import written
from tests.app.test_replay_command import quiet_market
from tests.oracles import compare as oracle
from tests.store.markets import BTC, ETH, START, joined, market

MAKER = "tests.app.sweep_strategies:Maker"
HEADER = "ts,id,side,price,quantity,tif,cancel_ts,instrument\n"
MS = 1_000_000
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tape of one linear instrument."""
    return written(tmp_path_factory.mktemp("compare") / "quiet.tape", [quiet_market()])


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tape on which a maker's orders fill."""
    path = tmp_path_factory.mktemp("compare") / "lively.tape"
    generate(path, 3, 60_000, [BTC], 600_000)
    return path


@pytest.fixture
def make(tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Replays into a folder of the working directory; gives the result."""
    monkeypatch.chdir(tmp_path)

    def replay(name: str, *, schedule: str | None = None, tapes: Any = tape, strategy: str = MAKER,
               **options: Any) -> Any:
        if schedule is not None:
            Path(f"{name}.csv").write_text(HEADER + schedule, encoding="utf-8")
            options["orders"] = f"{name}.csv"
        return apex.replay(tapes, None if schedule is not None else strategy, out=name, **options)

    return replay


def differing(done: Call) -> dict[str, Any]:
    """The value of a comparison that found a difference."""
    assert (done.code, done.err) == (1, ""), done
    found: dict[str, Any] = done.value
    assert not found["equal"]
    return found


def row(at: int, number: int, side: str, price: str, quantity: str = "0.001", tif: str = "GTC") -> str:
    """A line of a schedule, `at` ms after the start."""
    return f"{START + at * MS},{number},{side},{price},{quantity},{tif},,BTCUSDT\n"


def test_equal_runs_are_equal(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the word that nothing changed, and exit code 0 for a script that waits for it."""
    made = make("a", cash=5)
    make("b", cash=5)
    done = call(capsys, "compare", "a", "b", "--json")
    assert (done.code, done.err) == (0, "")
    found = done.value
    assert (found["run_a"], found["run_b"], found["equal"], found["settings"]) == ("a", "b", True, [])
    assert (found["first_difference"], found["first_answer"]) == (None, None)
    assert found["result_hash"] == {"a": made.summary["result_hash"], "b": made.summary["result_hash"]}
    count = len(made.orders)
    assert found["orders"] == {"a": count, "b": count, "same": count, "only_in_a": 0, "only_in_b": 0, "other_fills": 0}
    assert found["pnl"]["gap"] == dict.fromkeys(SPLIT, "0")
    assert found["gap_by_cause"] == {cause: {"orders": 0, **dict.fromkeys(PARTS, "0")} for cause in CAUSES}
    shown = call(capsys, "compare", "a", "b")
    assert shown.code == 0
    assert f"Equal: {count} orders, {len(made.fills)} fills, net P&L {made.summary['net_pnl']}" in shown.out


def test_equal_results_of_other_settings(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: that a setting made no difference."""
    make("a")
    make("b", params={"size": 2.0})
    done = call(capsys, "compare", "a", "b", "--json")
    assert (done.code, done.value["equal"]) == (0, True)
    assert done.value["settings"] == [{"name": "params.size", "a": 1.0, "b": 2.0}]
    assert "params.size" in call(capsys, "compare", "a", "b").out


def test_the_first_order_that_differs(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: where two strategies part."""
    common = row(10, 1, "buy", "99.9") + row(20, 2, "sell", "100.3")
    make("a", schedule=common + row(30, 3, "buy", "99.8") + row(40, 4, "sell", "100.4"))
    make("b", schedule=common + row(30, 3, "buy", "99.7") + row(40, 4, "sell", "100.4"))
    found = differing(call(capsys, "compare", "a", "b", "--json"))
    first = found["first_difference"]
    assert (first["kind"], first["ts"], first["differs"]) == ("order", START + 30 * MS, ["price_ticks"])
    assert (first["a"]["price"], first["b"]["price"], first["a"]["number"]) == ("99.8", "99.7", 2)
    assert (first["a"]["side"], first["a"]["quantity"], first["a"]["instrument"]) == ("buy", "0.001", "BTCUSDT")
    assert found["orders"] == {"a": 4, "b": 4, "same": 3, "only_in_a": 1, "only_in_b": 1, "other_fills": 0}
    shown = call(capsys, "compare", "a", "b").out
    assert "A sent order 3, buy 0.001 BTCUSDT at 99.8 (GTC); B sent order 3, buy 0.001 BTCUSDT at 99.7 (GTC)." in shown
    assert [s["name"] for s in found["settings"]] == ["schedule"]


def test_an_order_that_only_one_sent(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the time of the missing order; here the next one of the other run comes later, or never."""
    make("a", schedule=row(10, 1, "buy", "99.9") + row(30, 2, "sell", "", "0.002", ""))
    make("b", schedule=row(10, 1, "buy", "99.9") + row(20, 3, "buy", "99.0") + row(30, 2, "sell", "", "0.002", ""))
    first = differing(call(capsys, "compare", "a", "b", "--json"))["first_difference"]
    assert (first["kind"], first["ts"]) == ("order", START + 20 * MS)
    assert "B sent order 2, buy 0.001 BTCUSDT at 99 (GTC); the next of A is at" in call(capsys, "compare", "a", "b").out
    make("c", schedule=row(10, 1, "buy", "99.9"))
    found = differing(call(capsys, "compare", "c", "a", "--json"))
    assert found["first_difference"]["a"] is None
    assert found["first_difference"]["b"]["price"] is None
    assert "A has no more; B sent order 2, sell 0.002 BTCUSDT (market)" in call(capsys, "compare", "c", "a").out


def test_orders_that_are_alike_are_counted_apart(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the second of two orders that ask for the same at one time."""
    twice = row(10, 1, "sell", "", "0.002", "") + row(10, 2, "sell", "", "0.002", "")
    made = make("a", schedule=twice)
    make("b", schedule=row(10, 1, "sell", "", "0.002", ""))
    found = differing(call(capsys, "compare", "a", "b", "--json"))
    assert found["orders"] == {"a": 2, "b": 1, "same": 1, "only_in_a": 1, "only_in_b": 0, "other_fills": 0}
    assert found["gap_by_cause"]["only_in_a"]["net_pnl"] == money(-int(Decimal(made.summary["net_pnl"]) * 10**8) // 2)
    assert found["first_difference"]["ts"] == START + 10 * MS
    assert found["first_difference"]["b"] is None


def test_a_fill_that_differs_comes_before_what_follows_from_it(make: Make, lively: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the cause, when a fill differs and the orders after it do too."""
    make("a", params={"away": 0}, tapes=lively)
    make("b", params={"away": 0}, tapes=lively, order_latency="12ms")
    found = differing(call(capsys, "compare", "a", "b", "--json"))
    first, answer = found["first_difference"], found["first_answer"]
    assert answer["kind"] == "answer"
    assert "ts_ack" in answer["differs"]
    assert answer["b"]["ts_ack"] - answer["b"]["ts_local"] == 12 * MS
    assert answer["ts"] == answer["a"]["ts_ack"] < answer["b"]["ts_ack"]
    assert answer["ts"] <= first["ts"]
    assert first["kind"] == "fill"
    assert found["orders"]["other_fills"] > 0
    assert found["settings"] == [{"name": "order_latency", "a": "0ns", "b": "12ms"}]
    assert "the answer to order 1 differs: A heard of it" in call(capsys, "compare", "a", "b").out


def test_of_two_differences_at_one_time_the_cause_is_told(make: Make, lively: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: which came first, when an order answers a fill at once, or a fill an order at once."""
    reactor = "tests.app.sweep_strategies:Reactor"
    for name, queue in (("a", "risk-averse"), ("b", "power-prob:3")):
        make(name, strategy=reactor, tapes=lively, params={"away": 0}, queue=queue)
    found = differing(call(capsys, "compare", "a", "b", "--json"))
    first = found["first_difference"]
    assert first["kind"] == "fill"
    orders = [pd.read_parquet(f"{name}/orders.parquet") for name in "ab"]
    assert any((table["ts_local"] == first["ts"]).any() for table in orders)  # the order that answered it
    market = row(10, 1, "sell", "", "0.002", "")
    make("c", schedule=market + row(30, 2, "buy", "100.2", "0.001", "IOC"))
    make("d", schedule=market + row(30, 2, "buy", "100.2", "0.003", "IOC"))
    first = differing(call(capsys, "compare", "c", "d", "--json"))["first_difference"]
    fills = pd.read_parquet("c/fills.parquet")
    assert (fills["ts_local"] == first["ts"]).any()  # the fill that it made at once
    assert (first["kind"], first["differs"]) == ("order", ["lots"])


def test_other_fees_alone(make: Make, lively: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: that the strategy did the same, and that the fee alone made the gap."""
    made = make("a", params={"away": 0}, tapes=lively)
    paid = make("b", params={"away": 0}, tapes=lively, maker_fee="0.0002", taker_fee="0.0005")
    found = differing(call(capsys, "compare", "a", "b", "--json"))
    assert (found["first_difference"], found["first_answer"]) == (None, None)
    assert found["gap_by_cause"]["same_fills"] == {
        "orders": len(set(made.fills["id"])), "spread_captured": "0", "inventory_pnl": "0",
        "fees": paid.summary["fees"], "net_pnl": money(-int(Decimal(paid.summary["fees"]) * 10**8))}
    assert "every order and every fill is the same" in call(capsys, "compare", "a", "b").out


def test_a_denial_is_a_decision_of_the_gate(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: that limits, not the strategy, made the difference."""
    Path("limits.toml").write_text("open_orders_max = 1\n", encoding="utf-8")
    make("a")
    make("b", limits="limits.toml")
    found = differing(call(capsys, "compare", "a", "b", "--json"))
    first = found["first_difference"]
    assert (first["kind"], first["differs"]) == ("order", ["denied"])
    assert (first["b"]["status"], first["b"]["reason"]) == ("denied", "open-orders")
    assert {"name": "limits.open_orders_max", "a": 200, "b": 1} in found["settings"]
    assert "denied: open orders" in call(capsys, "compare", "a", "b").out


def closing(result: Any) -> dict[str, Fraction]:
    """The last mid of each instrument."""
    return {x.symbol: Fraction(str(result.equity[f"mid:{x.symbol}"].dropna().iloc[-1])) for x in result.instruments}


def lines(rng: random.Random, count: int) -> list[str]:
    """Random orders around the prices of `market`, of both instruments."""
    out = []
    for number in range(1, count + 1):
        at = START + rng.randrange(1, 900) * MS
        eth = rng.random() < 0.4
        price = 10.0 + rng.randrange(-15, 16) / 100 if eth else 100 + rng.randrange(-12, 13) / 10
        text = f"{price:.2f}" if rng.random() < 0.8 else ""
        quantity = f"{rng.randrange(1, 30) / 10000:.4f}" if eth else f"{rng.randrange(1, 9) / 1000:.3f}"
        tif = "" if not text else rng.choice(["GTC", "GTX", "IOC"])
        side, name = rng.choice(["buy", "sell"]), "ETHUSDT" if eth else "BTCUSDT"
        out.append(f"{at},{number},{side},{text},{quantity},{tif},,{name}\n")
    return out


@pytest.mark.parametrize("seed", range(8))
def test_the_gap_by_cause_is_the_oracles(seed: int, make: Make, tmp_path: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a gap whose parts do not make the whole, or money under the wrong cause."""
    rng = random.Random(seed)
    path = written(tmp_path / "pair.tape", [joined(market(seed, 2500, 2))], (BTC, ETH))
    every = lines(rng, 120)
    some = [sorted(x for x in every if rng.random() < share) for share in (0.8, 0.8)]
    options = {"tapes": path, "partial_fills": True}
    a = make("a", schedule="".join(some[0]), **options, order_latency="2ms", maker_fee="0.0001")
    b = make("b", schedule="".join(some[1]), **options, order_latency="6ms", taker_fee="0.0003")
    assert len(a.fills) > 10
    found = differing(call(capsys, "compare", "a", "b", "--json"))
    multiplier = {x.symbol: Fraction(x.multiplier) for x in a.instruments}
    wanted = oracle.causes(a, b, [closing(a), closing(b)], multiplier)
    for cause, parts in wanted.items():
        assert found["gap_by_cause"][cause]["orders"] == parts["orders"], cause
        for part in PARTS:
            told = Fraction(found["gap_by_cause"][cause][part])
            assert abs(told - parts[part]) <= Fraction(len(every), 10**8), (cause, part)
    for part in PARTS:
        assert sum(Decimal(found["gap_by_cause"][cause][part]) for cause in CAUSES) == Decimal(
            b.summary[part]) - Decimal(a.summary[part])
        assert abs(Decimal(found["gap_by_cause"]["rest"][part])) <= Decimal(2 * len(every)) / 10**8
    back = differing(call(capsys, "compare", "b", "a", "--json"))
    assert back["first_difference"]["ts"] == found["first_difference"]["ts"]
    assert back["orders"]["only_in_a"] == found["orders"]["only_in_b"]
    assert {n: Decimal(v) for n, v in back["pnl"]["gap"].items()} == {
        n: -Decimal(v) for n, v in found["pnl"]["gap"].items()}


def test_a_folder_changed_after_its_run(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: trust in a table that no longer is the run's."""
    make("a")
    make("b")
    table = pd.read_parquet("b/orders.parquet")
    table.loc[3, "ts_local"] += 1
    table.to_parquet("b/orders.parquet", index=False)
    differing(call(capsys, "compare", "a", "b", "--json"))
    assert "was changed after its run" in call(capsys, "compare", "a", "b").out


def spoil(name: str, content: bytes | None) -> Callable[[Path], None]:
    """Write a file of a run anew, or take it away."""
    def change(folder: Path) -> None:
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)

    return change


def without(name: str, key: str) -> Callable[[Path], None]:
    """Take a key or a column out of a file."""
    def change(folder: Path) -> None:
        path = folder / name
        if path.suffix == ".json":
            kept = json.loads(path.read_text("utf-8"))
            del kept[key]
            path.write_text(json.dumps(kept), "utf-8")
        else:
            pd.read_parquet(path).drop(columns=key).to_parquet(path)

    return change


@pytest.mark.parametrize(("change", "where", "what"), [
    (shutil.rmtree, "b", "no such folder"), (spoil("result.json", None), "b", "cannot read result.json"),
    (spoil("result.json", b"{"), "b/result.json", "no result"),
    (spoil("result.json", b"[]"), "b/result.json", "no result"),
    (spoil("result.json", b"{}"), "b/result.json", "no result"),
    (spoil("result.json", b'{"instruments": [{}]}'), "b/result.json", "no result"),
    (spoil("result.json", b"\xff"), "b/result.json", "no result"),
    (without("result.json", "cash"), "b/result.json", "keys missing: cash"),
    (spoil("orders.parquet", None), "b/orders.parquet", "cannot read"),
    (spoil("fills.parquet", b"x"), "b/fills.parquet", "no Parquet"),
    (without("equity.parquet", "ts"), "b/equity.parquet", "columns missing: ts"),
])
def test_what_is_no_run(change: Callable[[Path], None], where: str, what: str, make: Make,
                        capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the file that is wrong, instead of a traceback."""
    make("a")
    make("b")
    change(Path("b"))
    for words in (["compare", "a", "b"], ["why", "b", str(START + MS)]):
        done = call(capsys, *words, "--json")
        assert (done.code, done.error["where"]) == (3, where)
        assert what in done.error["what"]
