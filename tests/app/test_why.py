"""`apex why`: what the strategy itself saw at a time, and the reason of every order around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import apex
from apex.app.generate_command import generate
from apex.app.why_command import moment
from apex.research.diagnosis import remedy
from apex.research.runs import read_run
from apex.research.why import LIMITS, why
from tests.app.commands import Call, call
from tests.app.sweep_strategies import Maker, Watcher
from tests.app.test_compare import HEADER, MS, row
from tests.app.test_latency import written
from tests.app.test_replay_command import quiet_market
from tests.store.markets import BTC, START

Make = Callable[..., Any]
LAST_SECOND = ("At the last full second, {} ms before, net P&L was 0 (gross 0, fees 0), the mid of BTCUSDT at 100.1.")


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tape on which a maker's orders fill."""
    path = tmp_path_factory.mktemp("why") / "lively.tape"
    generate(path, 5, 60_000, [BTC], 600_000)
    return path


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tape whose best prices stand at 100 and 100.2."""
    return written(tmp_path_factory.mktemp("why") / "quiet.tape", [quiet_market()])


@pytest.fixture
def scripted(quiet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Replays a schedule into the folder `run`; gives the result."""
    monkeypatch.chdir(tmp_path)

    def replay(schedule: str, **options: Any) -> Any:
        Path("o.csv").write_text(HEADER + schedule, encoding="utf-8")
        return apex.replay(quiet, orders="o.csv", out="run", **options)

    return replay


def good(done: Call) -> dict[str, Any]:
    """The value of a command that succeeds and prints nothing else."""
    assert (done.code, done.err) == (0, ""), done
    found: dict[str, Any] = done.value
    return found


def at(ms: int, capsys: pytest.CaptureFixture[str], *more: object) -> dict[str, Any]:
    """What the command says of a time, ms after the start."""
    return good(call(capsys, "why", "run", START + ms * MS, *more, "--json"))


def test_it_says_what_the_strategy_saw(lively: Path, tmp_path: Path) -> None:
    """Lost: a position or an open order that was not so at that time."""
    strategy = Watcher(Maker.Params(away=0, lots=3))
    apex.replay(lively, strategy, order_latency="9ms", response_latency="4ms", out=tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert len(strategy.seen) > 300
    assert len({lots for _, lots, _ in strategy.seen}) > 3
    assert {len(ids) for _, _, ids in strategy.seen} >= {1, 2}
    for ts, lots, ids in strategy.seen[::9]:
        found = why(run, ts, 6)
        assert found["position"] == {BTC.symbol: BTC.quantity(lots)}
        assert sorted(order["id"] for order in found["open_orders"]) == ids
        assert found["open_count"] == len(ids)
        assert all(order["then"] in ("resting", "on its way") for order in found["open_orders"])
        assert found["equity"] is None or ts - 10**9 <= found["equity"]["ts"] <= ts
        assert len(found["orders"]) <= 6
        assert all(order["ts"] <= ts for order in found["orders"])
        assert all(fill["ts"] <= ts for fill in found["fills"])
        for later in ("next_order", "next_fill"):
            assert found[later] is None or found[later]["ts"] > ts
    grid = run.equity.iloc[len(run.equity) // 2]
    found = why(run, int(grid["ts"]))
    assert found["equity"]["ts"] == int(grid["ts"])
    assert float(found["equity"]["net_pnl"]) == pytest.approx(float(grid["net_pnl"]), abs=1e-9)
    assert float(found["mid"][BTC.symbol]) == float(grid[f"mid:{BTC.symbol}"])
    assert found["said"][1].startswith("At this time net P&L was")


def test_the_life_of_an_order(scripted: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: what had become of an order by then, and what became of it later."""
    scripted(row(10, 1, "buy", "99.9") .replace(",GTC,,", f",GTC,{START + 40 * MS},"), order_latency="5ms",
             response_latency="2ms")
    asked = {"id": 1, "ts": START + 10 * MS, "instrument": "BTCUSDT", "side": "buy", "price": "99.9",
             "quantity": "0.001", "type": "limit", "tif": "GTC"}
    ended = {"status": "canceled", "reason": "canceled", "ts_ack": START + 17 * MS, "ts_done": START + 47 * MS,
             "filled": "0", "filled_then": "0"}
    for ms, then, count in ((10, "on its way", 1), (16, "on its way", 1), (17, "resting", 1), (46, "resting", 1),
                            (47, "canceled", 0), (900, "canceled", 0)):
        found = at(ms, capsys)
        assert found["orders"] == [{**asked, "then": then, **ended}]
        assert found["open_orders"] == ([{**asked, "then": then, **ended}] if count else [])
        assert found["open_count"] == count
    assert at(9, capsys)["next_order"] == {**asked, "then": "not sent yet", **ended}
    assert at(20, capsys)["said"] == [
        "The position was 0 BTCUSDT; 1 order of ours was open.", LAST_SECOND.format(20),
        "10 ms before: buy 0.001 BTCUSDT at 99.9 (GTC), answered 7 ms later; resting at this time; canceled, unfilled, "
        "37 ms after it was sent.", "Nothing had been filled yet.", "No order was sent later.",
        "Nothing was filled later."]


def test_why_orders_came_to_nothing(scripted: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the reason of a refusal and what to do about it, in words."""
    scripted(row(10, 1, "buy", "100.5", tif="GTX") + row(20, 2, "buy", "99.5", tif="IOC") + row(30, 3, "buy", "99.9")
             + row(40, 4, "sell", "", "0.002", "") + row(997, 5, "buy", "99.8"), order_latency="5ms")
    said = at(998, capsys)["said"]
    assert said[0] == "The position was -0.002 BTCUSDT; 2 orders of ours were open."
    assert ("988 ms before: buy 0.001 BTCUSDT at 100.5 (GTX), answered 5 ms later; expired, unfilled, 5 ms after it "
            f"was sent, post only would cross ({remedy('post_only_would_cross')}).") in said
    assert any("at 99.5 (IOC)" in line and "no liquidity" in line and remedy("no_liquidity") in line for line in said)
    assert any("at 99.9 (GTC)" in line and "resting at this time; still open when the tape ended, unfilled" in line
               for line in said)
    assert any("sell 0.002 BTCUSDT at the market" in line and "; filled, 5 ms after" in line for line in said)
    assert any("at 99.8 (GTC), answered 5 ms later; on its way at this time; still open" in line for line in said)
    assert "The last fill, 953 ms before: sell 0.002 BTCUSDT at 100, as taker." in said
    heard = START + 45 * MS
    for ts, held in ((heard - 1, "0"), (heard, "-0.002")):
        assert good(call(capsys, "why", "run", ts, "--json"))["position"] == {"BTCUSDT": held}
    few = at(998, capsys, "-n", 1)
    assert (len(few["orders"]), len(few["open_orders"]), few["open_count"]) == (1, 1, 2)
    older = at(998, capsys, "-n", 2)["said"]
    assert any(line.startswith("Still open: 968 ms before: buy 0.001 BTCUSDT at 99.9") for line in older)


def test_why_the_gate_refused(scripted: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the limit that refused an order, its value, and how to pass it."""
    Path("limits.toml").write_text('order_quantity_max = "0.003"\n', encoding="utf-8")
    scripted(row(10, 1, "buy", "99.9", "0.004") + row(20, 2, "buy", "99.9", "0.003") + row(30, 3, "sell", "101"),
             limits="limits.toml")
    found = at(15, capsys)
    assert (found["orders"][0]["then"], found["orders"][0]["reason"]) == ("denied", "order-quantity")
    refusal = ("buy 0.004 BTCUSDT at 99.9 (GTC), denied by order quantity (`order_quantity_max` is 0.003): "
               f"{remedy('order-quantity')}.")
    assert found["said"][2] == f"5 ms before: {refusal}"
    assert at(5, capsys)["said"][-2] == f"The next order came 5 ms later: {refusal}"
    later = at(40, capsys, "-n", 1)
    assert later["last_denied"]["id"] == 1
    assert f"The last denial, 30 ms before: {refusal}" in later["said"]


def test_every_reason_with_a_limit_names_a_limit() -> None:
    """Lost: a limit that the answer cannot find, since its name has changed."""
    from apex._core.risk import REASONS
    from apex.domain.limits import Limits

    assert set(LIMITS) <= set(REASONS.values())
    assert set(LIMITS.values()) <= set(Limits.__struct_fields__)


def test_nothing_was_sent(lively: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                          capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an answer where there is no order to show."""
    monkeypatch.chdir(tmp_path)
    result = apex.replay(lively, None, out="run")
    found = good(call(capsys, "why", "run", (result.summary["start_ts"] + result.summary["end_ts"]) // 2, "--json"))
    assert (found["orders"], found["fills"], found["open_count"], found["next_order"]) == ([], [], 0, None)
    assert "No order had been sent yet." in found["said"]
    assert found["position"] == {BTC.symbol: "0"}
    first = good(call(capsys, "why", "run", result.summary["start_ts"], "--json"))
    assert (first["equity"], first["mid"]) == (None, {BTC.symbol: None})


@pytest.mark.parametrize(("words", "ns"), [
    ("2024-08-08T00:00:00", START), ("2024-08-08 00:00:00", START), ("2024-08-08T00:00:00Z", START),
    ("2024-08-08T00:00:00+00:00", START), ("2024-08-08T00:00:00.5", START + 500_000_000),
    ("2024-08-08T00:00:00.000000001", START + 1), (str(START), START), ("-5", -5), ("1969-12-31T23:59:59.9", -10**8),
])
def test_times_of_the_command_line(words: str, ns: int) -> None:
    """Lost: nanoseconds, or another zone's hours."""
    assert moment(words) == ns


@pytest.mark.parametrize(("words", "where", "what"), [
    (["noon"], "TIME", "no time"), (["2024-08-08"], "TIME", "no time"), (["2024-13-08T00:00:00"], "TIME", "no time"),
    (["2024-08-08T25:00:00"], "TIME", "no time"), (["2024-08-08T00:00:00+02:00"], "TIME", "no time"),
    ([str(1 << 64)], "TIME", "64 bits"), ([START - 2 * MS], "TIME", "outside the run"),
    ([START + 10**12], "TIME", "outside the run"), ([START + MS, "-n", "0"], "--count", "0 rows"),
    ([], "apex why", "TIME"),
])
def test_mistakes(words: list[object], where: str, what: str, scripted: Make,
                  capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the times that can be asked for, when one cannot."""
    scripted(row(10, 1, "buy", "99.9"))
    done = call(capsys, "why", "run", *words, "--json")
    assert (done.code, done.error["where"]) == (2, where)
    assert what in done.error["what"]


def test_a_shifted_clock_is_said(quiet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: why the recorded time lies outside a run."""
    apex.replay(quiet, None, out=tmp_path / "run", feed_shift=3600 * 10**9)
    done = call(capsys, "why", tmp_path / "run", START - 2 * MS, "--json")
    assert "recorded local time + 1 h" in done.error["what"]


def test_people_read_the_same(scripted: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: sentences on the screen that the JSON does not have, or lines cut at the screen's width."""
    scripted(row(10, 1, "buy", "99.9") + row(20, 2, "buy", "100.5", tif="GTX"))
    said = at(30, capsys)["said"]
    done = call(capsys, "why", "run", START + 30 * MS)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[1:] == [f"- {line}" for line in said]
    assert json.loads(Path("run/result.json").read_text("utf-8"))["start_ts"] <= START + 30 * MS
