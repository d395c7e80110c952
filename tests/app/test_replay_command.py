"""`apex replay`: keys and types of its JSON, its options and files, and its answers to mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import apex
from apex._core.events import FLAGS, pack
from apex.domain.errors import ConfigError, StrategyError
from apex.importers.binance import import_binance
from apex.store.tape import TapeWriter
from tests.app.commands import Call, call
from tests.importers.recordings import frames, lines, write
from tests.store.markets import BOTH, BTC, START, joined, message

MAKER = '''
import apex


class Maker(apex.Strategy):
    """Quotes both sides now and then."""

    class Params(apex.Params):
        away: int = apex.bound(1, low=0, high=50)
        size: float = 1.0
        name: str = "m"

    def on_start(self, view):
        view.every("200ms")

    def on_timer(self, view):
        view.cancel_all()
        if view.bid_ticks is not None and view.ask_ticks is not None:
            view.limit("buy", view.bid_ticks - self.params.away, 1, "GTX")
            view.limit("sell", view.ask_ticks + self.params.away, 1, "GTX")


class Raises(apex.Strategy):
    def on_start(self, view):
        view.every("100ms")

    def on_timer(self, view):
        raise RuntimeError("boom")


class NeedsMore(apex.Strategy):
    def __init__(self, params, more):
        super().__init__(params)


class Bare:
    pass
'''


def quiet_market(count: int = 400) -> Any:
    """A book of two levels a side that moves, with trades between, one second in all."""
    rows = [message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
            message("BOOK_LEVEL", START, [(1, 1000, 50, 0), (1, 999, 50, 0), (2, 1002, 50, 0), (2, 1003, 50, 0)],
                    flags=BOTH | FLAGS["SNAPSHOT"])]
    for i in range(count):
        ts = START + (i + 1) * 2_500_000
        side = 1 + i % 2
        rows.append(message("TRADE", ts, [(side, 1002 if side == 1 else 1000, 3, 0)], sequence=i))
        rows.append(message("BOOK_LEVEL", ts + 1000, [(1, 999, 20 + i % 30, 0), (2, 1003, 20 + i % 30, 0)], sequence=i))
    return joined(rows)


def written(path: Path, rows: Any) -> Path:
    """A tape of BTCUSDT alone."""
    with TapeWriter(path, [BTC], source="test") as writer:
        writer.append(*pack(rows))
    return path


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tape of one linear instrument."""
    return written(tmp_path_factory.mktemp("replay") / "quiet.tape", quiet_market())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with strategies of its own."""
    (tmp_path / "own_strategies.py").write_text(MAKER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def good(done: Call) -> dict[str, Any]:
    """The value of a command that succeeds and prints nothing else."""
    assert (done.code, done.err) == (0, "")
    found: dict[str, Any] = done.value
    return found


INTEGERS = ("events", "orders", "fills", "denied", "unfilled", "signals", "blocked", "feed_shift_ns", "peak_rss_bytes")
MONEY = ("spread_captured", "inventory_pnl", "gross_pnl", "fees", "net_pnl", "max_drawdown_money")
COUNTED = ("denied_by", "unfilled_by", "blocked_by")


def test_the_keys_that_scripts_rely_on(tape: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a key, a type, or a sum that scripts rely on."""
    found = good(call(capsys, "replay", tape, "--strategy", "own_strategies:Maker", "--set", "away=0", "--maker-fee",
                      "-0.0001", "--taker-fee", "0.0005", "--cash", "1000", "--json"))
    for name in INTEGERS:
        assert type(found[name]) is int, name
    for name in ("ns_per_event", "events_per_second", "maker_fee", "taker_fee"):
        assert type(found[name]) is float, name
    for name in MONEY:
        assert found[name] == f"{Decimal(found[name]):f}"
        assert "." not in found[name] or not found[name].endswith("0"), name
    for name in COUNTED:
        assert all(type(count) is int and count > 0 for count in found[name].values()), name
    assert list(found["position"]) == ["BTCUSDT"]
    assert type(found["position"]["BTCUSDT"]) is str
    assert len(found["result_hash"]) == 64
    assert found["fills"] > 0
    money = {name: Decimal(found[name]) for name in MONEY}
    assert money["spread_captured"] + money["inventory_pnl"] == money["gross_pnl"]
    assert money["gross_pnl"] - money["fees"] == money["net_pnl"]
    assert money["fees"] < 0
    assert money["max_drawdown_money"] >= 0
    assert found["signals"] == found["orders"] + found["blocked"]
    assert found["blocked"] == sum(found["blocked_by"].values())
    assert found["denied"] == sum(found["denied_by"].values())
    assert found["unfilled"] == sum(found["unfilled_by"].values())


def test_without_a_strategy_every_row_is_an_event(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a bare replay, and the count of its rows."""
    found = good(call(capsys, "replay", tape, "--json"))
    assert (found["events"], found["orders"], found["strategy"]) == (len(quiet_market()), 0, None)


def test_the_hash_is_of_the_result_alone(tape: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a hash that depends on the clock, the folder or the way the options came; or that does not see a change."""
    def hashed(*words: str) -> str:
        done = call(capsys, "replay", tape, "--strategy", "own_strategies:Maker", "--json", *words)
        return str(good(done)["result_hash"])

    (here / "c.toml").write_text('maker_fee = 0.0001\norder_latency = "1ms"\n[params]\naway = 0\n', encoding="utf-8")
    one = hashed("--set", "away=0", "--maker-fee", "0.0001", "--order-latency", "1ms")
    assert one == hashed("--config", "c.toml") == hashed("--config", "c.toml", "--out", "somewhere")
    assert one == hashed("--config", "c.toml", "--set", "name='x'")
    others = [hashed("--config", "c.toml", "--set", "away=1"), hashed("--config", "c.toml", "--maker-fee", "0.0002"),
              hashed("--config", "c.toml", "--order-latency", "0ns")]
    assert len({one, *others}) == 4
    again = apex.replay(tape, "own_strategies:Maker", params={"away": 0}, maker_fee=0.0001, order_latency="1ms")
    assert again.summary["result_hash"] == one


def test_set_takes_toml_literals(tape: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: text, numbers and their types as the strategy declares them."""
    found = good(call(capsys, "replay", tape, "--strategy", "own_strategies:Maker", "--json", "--set", "away=3",
                      "--set", "size=2", "--set", 'name="a=b"'))
    assert found["params"] == {"away": 3, "size": 2.0, "name": "a=b"}


@pytest.mark.parametrize(("words", "where", "do"), [
    (["--set", "away"], "--set", "width=5"), (["--set", "away=x"], "--set away", "Quote"),
    (["--set", "away='x'"], "--set", "int"), (["--set", "away=1.5"], "--set", "int"),
    (["--set", "away=true"], "--set", "int"), (["--set", "away=51"], "--set", "50"),
    (["--set", f"away={2**64}"], "--set", "smaller"), (["--set", "awya=1"], "--set", "Did you mean away?"),
    (["--set", "size='x'"], "--set", "float"), (["--fill-mode", "strickt"], "--fill-mode", "Did you mean strict?"),
    (["--queue", "log"], "--queue", "log-prob"), (["--queue", "power-prob"], "--queue", "power-prob:2"),
    (["--queue", "power-prob:x"], "--queue", "power-prob:2"), (["--queue", "risk-averse:2"], "--queue", "risk-averse"),
    (["--order-latency", "5"], "--order-latency", "5ms"), (["--response-latency=-1ms"], "--response-latency", "0"),
    (["--base-latency", "x"], "--base-latency", "5ms"), (["--maker-fee", "x"], "--maker-fee", "0.0002"),
    (["--taker-fee", "1.5"], "--taker-fee", "0.0002"), (["--taker-fee", "nan"], "--taker-fee", "0.0002"),
    (["--cash", "x"], "--cash", "0.001"), (["--cash", "0.000000001"], "--cash", "multiple"),
    (["--cash", "9" * 30], "--cash", "smaller"), (["--from", "x"], "--from", "--help"),
    (["--from", str(2**63)], "--from", "--help"), (["--feed-shift", str(-(2**63) - 1)], "--feed-shift", "--help"),
    (["--from", "5", "--to", "9"], "--from, --to", "apex tape info"),
    (["--instrument", "ETH"], "--instrument", "BTCUSDT"),
    (["--limits", "absent.toml"], "absent.toml", "TOML"), (["--config", "absent.toml"], "absent.toml", "file"),
    (["--cash", "1", "--cash", "2"], "--cash", "--help"), (["--strategy", "a:B"], "--strategy", "--help"),
    (["--set", "width=1", "--set", "width=2"], "--set width", "once"),
    (["--set", "width=1\ntick=2"], "--set width", "Quote"),
    (["--limits-file", "x"], "apex replay", "--limits"), (["--orders", "o.csv"], "--orders", "one"),
])
def test_mistakes_in_options(words: list[str], where: str, do: str, tape: Path, here: Path,
                             capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an answer that names the option and says what to write instead."""
    done = call(capsys, "replay", tape, "--strategy", "own_strategies:Maker", "--json", *words)
    assert (done.code, done.error["where"]) == (2, where)
    assert do in done.error["do"]


@pytest.mark.parametrize(("name", "where"), [
    ("own_strategies", "--strategy"), ("absent_module:X", "--strategy"), ("own_strategies:Absent", "--strategy"),
    ("own_strategies:Bare", "--strategy"), (":X", "importlib"), ("broken:X", "broken.py:2"), ("fails:X", "fails.py:1"),
])
def test_strategies_that_cannot_be_found(name: str, where: str, tape: Path, here: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the line of a typing mistake in a strategy's file."""
    (here / "broken.py").write_text("import apex\nclass X(:\n", encoding="utf-8")
    (here / "fails.py").write_text("1 / 0\n", encoding="utf-8")
    done = call(capsys, "replay", tape, "--strategy", name, "--json")
    assert done.code == 2
    assert where in done.error["where"]


@pytest.mark.parametrize(("name", "what"), [("Raises", "boom"), ("NeedsMore", "more")])
def test_a_strategy_that_raises_ends_the_run(name: str, what: str, tape: Path, here: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: exit 1 with traceback and tape position; a result of half a run."""
    done = call(capsys, "replay", tape, "--strategy", f"own_strategies:{name}", "--out", "out", "--json")
    assert (done.code, done.error["code"]) == (1, "strategy")
    assert what in done.error["what"]
    assert "Traceback" in done.error["do"]
    assert not (here / "out").exists()
    with pytest.raises(StrategyError):
        apex.replay(tape, f"own_strategies:{name}")


# ---- tapes that do not go together ----------------------------------------------------------------------------------


def test_the_same_instrument_twice(tape: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: every order filled twice."""
    copy = here / "copy.tape"
    copy.write_bytes(tape.read_bytes())
    for other in (tape, copy):
        done = call(capsys, "replay", tape, other, "--json")
        assert (done.code, done.error["where"]) == (2, str(other))
        assert "two tapes" in done.error["what"]


def test_tapes_that_cannot_be_read(tape: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: which of several tapes is the bad one."""
    (here / "cut.tape").write_bytes(tape.read_bytes()[:5000])
    for bad in ("cut.tape", "absent.tape", "."):
        done = call(capsys, "replay", tape, bad, "--json")
        assert (done.code, done.error["where"]) == (3, bad)
    written(here / "none.tape", joined([]))
    done = call(capsys, "replay", "none.tape", "--json")
    assert (done.code, done.error["where"]) == (3, "none.tape")


def test_inverse_contracts_are_kept_in_coin(here: Path, tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: P&L of COIN-M recordings, or coin and quote currency in one sum."""
    import_binance([write(here / "r", lines(frames("cm", 1, 200), 1))], here / "cm.tape")
    found = json.loads(call(capsys, "replay", "cm.tape", "--json").out)
    assert (found["orders"], found["net_pnl"]) == (0, "0")
    done = call(capsys, "replay", "cm.tape", tape, "--json")
    assert (done.code, done.error["code"]) == (2, "usage")
    assert "coin" in done.error["what"]


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "where", "do"), [
    ("order_latncy = '1ms'", "order_latncy", "Did you mean order_latency?"),
    ("strategy = 5", "strategy", "module:Class"), ("start = 'x'", "start", "value"),
    ("partial_fills = 'yes'", "partial_fills", "value"), (f"start = {2**63}", "start", "value"),
    ("instrument = 5", "instrument", "value"), ("params = 5", "params", "value"),
    ("instrument = [1]", "instrument", "value"), ("queue = ['x']", "queue", "value"), ("a = [", "c.toml", "Correct"),
])
def test_mistakes_in_a_configuration(text: str, where: str, do: str, tape: Path, here: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a mistyped key that silently does nothing; a value of another kind that does something else."""
    (here / "c.toml").write_text(text, encoding="utf-8")
    done = call(capsys, "replay", tape, "--config", "c.toml", "--json")
    assert done.code == 2
    assert done.error["where"].startswith("c.toml")
    assert where in done.error["where"]
    assert do in done.error["do"]


def test_a_configuration_with_everything(tape: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: options from a file; the command line goes before it; decimals stay exact."""
    lines_of_it = ['strategy = "own_strategies:Maker"', 'queue = "log-prob"', "maker_fee = 0.00001", "cash = 123.45",
                   "partial_fills = true", 'instrument = "BTCUSDT"', f"start = {START}", 'fill_mode = "compat"',
                   "[params]", "away = 2", "size = 0.5"]
    (here / "c.toml").write_text("\n".join(lines_of_it), encoding="utf-8")
    found = good(call(capsys, "replay", tape, "--config", "c.toml", "--queue", "log-prob2", "--set", "away=4",
                      "--json"))
    assert (found["strategy"], found["queue"], found["fill_mode"], found["partial_fills"]) == (
        "Maker", "log-prob2", "compat", True)
    assert (found["maker_fee"], found["cash"]) == (0.00001, "123.45")
    assert found["params"] == {"away": 4, "size": 0.5, "name": "m"}


LATENCIES = "req_ts,exch_ts,resp_ts\n"


@pytest.mark.parametrize(("content", "place"), [
    ("", ""), (LATENCIES, ""), ("a,b\n1,2\n", ""), (LATENCIES + "1,2,3\nx,2,3\n", ":3"),
    (LATENCIES + "1,2,3\n4,5\n", ":3"), (LATENCIES + "5,6,7\n5,7,8\n", ":3"), (LATENCIES + f"1,2,{2**63}\n", ":2"),
    (LATENCIES + "5,4,9\n", ":2"), (LATENCIES + "5,7,6\n", ":2"),
    (b"PK\x03\x04junk", ""), (b"\xff\xfe,\x00", ""),
])
def test_mistakes_in_recorded_latencies(content: str | bytes, place: str, tape: Path, here: Path,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: file and line of a bad latency."""
    names = ("l.csv", "l.npz") if isinstance(content, bytes) else ("l.csv",)
    for name in names:
        (here / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        done = call(capsys, "replay", tape, "--latency", name, "--json")
        assert (done.code, done.error["where"]) == (3, name + place)


def test_recorded_latencies_from_csv_and_npz(tape: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: one of the two forms that latencies are recorded in."""
    rows = [(START, START + 10**6, START + 2 * 10**6), (START + 10**9, START + 10**9 + 3 * 10**6, START + 2 * 10**9)]
    (here / "l.csv").write_text("\ufeff" + LATENCIES + "".join(f"{a},{b},{c}\n" for a, b, c in rows), encoding="utf-8")
    np.savez(here / "l.npz", data=np.array(rows, [("req_ts", "i8"), ("exch_ts", "i8"), ("resp_ts", "i8")]))
    words = ["replay", tape, "--strategy", "own_strategies:Maker", "--json", "--latency"]
    one, other = (good(call(capsys, *words, name))["result_hash"] for name in ("l.csv", "l.npz"))
    assert one == other


HEADER = "ts,id,side,price,quantity,tif,cancel_ts\n"
ROW = f"{START + 10**8},1,buy,99.9,0.002,GTC,\n"


@pytest.mark.parametrize(("content", "line", "what"), [
    ("", 0, "columns"), ("ts,id\n", 0, "columns"), (HEADER + ROW + ROW.replace(",1,", ",0,"), 3, "above 0"),
    (HEADER + ROW + ROW, 3, "twice"), (HEADER + "x" + ROW, 2, "invalid literal"),
    (HEADER + ROW.replace("buy", "b"), 2, "side"),
    (HEADER + ROW.replace("99.9", "99.95"), 2, "multiple"), (HEADER + ROW.replace("0.002", "0.0005"), 2, "multiple"),
    (HEADER + ROW.replace("0.002", "0"), 2, "above 0"), (HEADER + ROW.replace("0.002", "-1"), 2, "above 0"),
    (HEADER + ROW.replace("GTC", "DAY"), 2, "tif"), (HEADER + ROW.replace("99.9", ""), 2, "price and tif"),
    (HEADER + ROW.replace("GTC", ""), 2, "tif"),
    (HEADER + ROW + f"{START},2,buy,99.9,0.002,GTC,\n", 3, "before the row"),
    (HEADER + ROW.strip() + ",9,9\n", 2, "columns"), (HEADER + f"{START},1,buy\n", 2, "columns"),
    (HEADER + "\n\n" + ROW.replace("buy", "b"), 4, "side"), (HEADER + ROW.replace("0.002", "9" * 30), 2, "too large"),
    (HEADER + ROW.replace("99.9", "9" * 30), 2, "too large"),
    (HEADER + ROW.replace(",1,", f",{2**63},"), 2, "too large"),
    (HEADER + "9" * 30 + ",1,buy,99.9,0.002,GTC,\n", 2, "too large"),
    (HEADER + ROW.strip() + "soon\n", 2, "invalid literal"),
    (HEADER.strip() + ",instrument\n" + ROW.strip() + ",ETHUSDT\n", 2, "instrument"),
    (HEADER + ROW.replace("99.9", "1e2"), 2, "decimal"),
    (HEADER + ROW.replace("99.9", "nan"), 2, "decimal"), ("\x00", 0, ""), (HEADER + '"' + "x" * 200_000, 0, "CSV"),
])
def test_mistakes_in_a_schedule(content: str, line: int, what: str, tape: Path, here: Path,
                                capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: file and line of the order that is wrong."""
    (here / "o.csv").write_text(content, encoding="utf-8")
    done = call(capsys, "replay", tape, "--orders", "o.csv", "--json")
    assert (done.code, done.error["where"]) == (3, f"o.csv:{line}" if line else "o.csv")
    assert what in done.error["what"]


def test_a_schedule_and_its_answers(tape: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: one row a row of the file, in its order, whatever became of the order."""
    ts = START + 10**8
    (here / "o.csv").write_text(
        "\ufeff" + HEADER + f"{ts},7,buy,99.9,0.002,GTC,{ts + 10**8}\n{ts},3,buy,100.2,0.001,IOC,\n"
        f"{ts},9,sell,,0.003,,\n{ts + 1},4,buy,100.5,0.001,GTX,\n{ts + 2},5,sell,101,1,FOK,\n", encoding="utf-8")
    found = good(call(capsys, "replay", tape, "--orders", "o.csv", "--out", "out", "--json"))
    assert (found["orders"], found["denied"], found["limits_profile"]) == (5, 0, "scripted")
    answers = (here / "out" / "orders.csv").read_text(encoding="utf-8").splitlines()
    assert answers[0].startswith("id,status,ts,price_ticks,quantity")
    told = {int(line.split(",")[0]): line.split(",")[1] for line in answers[1:]}
    assert list(told) == [7, 3, 9, 4, 5]
    assert told == {7: "canceled", 3: "filled", 9: "filled", 4: "expired", 5: "expired"}
    assert json.loads((here / "out" / "result.json").read_text(encoding="utf-8"))["result_hash"] == found["result_hash"]


@pytest.mark.parametrize("make", [lambda p: p.write_text("a file"), lambda p: None])
def test_out_that_is_no_folder(make: Callable[[Path], object], tape: Path, here: Path,
                               capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the word, before the replay and not after an hour of it, that --out is a file."""
    make(here / "out")
    done = call(capsys, "replay", tape, "--out", "out", "--json")
    if (here / "out").is_file():
        assert (done.code, done.error["where"]) == (3, "--out")
    else:
        assert (here / "out" / "report.html").exists()


def test_python_takes_the_same_options(tape: Path) -> None:
    """Lost: numpy's integers as times, and an answer to a mistyped option."""
    found = apex.replay(tape, start=np.int64(START + 5), stop=np.int64(START + 10**9), instrument=BTC.symbol)
    assert found.summary["events"] > 0
    for wrong in ({"start": "x"}, {"start": True}, {"queue": 5.5}, {"partial_fills": 1}, {"strat": 1}, {"cash": "x"}):
        with pytest.raises(ConfigError):
            apex.replay(tape, **wrong)
