"""`apex features` and `apex.features`: the rows against a plain walk of the tape, files, fits, and bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import apex
from apex._core.events import FLAGS, KINDS
from apex._core.feature import duration_ns
from apex._core.features import FEATURES
from apex.app import features as module
from apex.app.generate_command import generate
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument
from apex.store.tape import Tape
from tests.app.commands import call
from tests.oracles import features as batch

COIN = Instrument("AAAUSDT", "generated", "0.1", "0.001", base="AAA", quote="USDT")
OTHER = Instrument("BBBUSDT", "generated", "0.1", "0.001", base="BBB", quote="USDT")


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tapes") / "one.tape"
    generate(path, 5, 60_000, (COIN,), 600_000)
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tapes") / "two.tape"
    generate(path, 6, 40_000, (COIN, OTHER), 600_000)
    return path


def walked(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Touches after each whole depth message, and trades, by a book of two dicts."""
    with Tape.open(path) as opened:
        rows = opened.events()
    sides: dict[int, dict[int, int]] = {1: {}, 2: {}}
    quotes, trades = [], []
    for row in rows:
        kind, ts = int(row["kind"]), int(row["ts_local_ns"])
        if kind == KINDS["SNAPSHOT_BEGIN"]:
            sides = {1: {}, 2: {}}
        elif kind == KINDS["TRADE"]:
            trades.append((ts, int(row["side"]), int(row["price_ticks"]), int(row["quantity_lots"])))
        elif kind == KINDS["BOOK_LEVEL"]:
            sides[int(row["side"])][int(row["price_ticks"])] = int(row["quantity_lots"])
            if not row["quantity_lots"]:
                del sides[int(row["side"])][int(row["price_ticks"])]
            if row["flags"] & FLAGS["LAST_IN_BATCH"]:
                bid, ask = max(sides[1], default=0), min(sides[2], default=0)
                quotes.append((ts, bid, sides[1].get(bid, 0), ask, sides[2].get(ask, 0), 0 < bid < ask))
    names = ["ts", "bid", "bid_lots", "ask", "ask_lots", "valid"]
    return (pd.DataFrame(quotes, columns=names).set_index("ts"),
            pd.DataFrame(trades, columns=["ts", "side", "ticks", "lots"]).set_index("ts"))


def test_rows_after_messages_equal_a_plain_walk(tape: Path) -> None:
    """Lost otherwise: features of a file that are of another moment than the row says."""
    quotes, trades = walked(tape)
    got = apex.features(tape, ["touch.bid", "touch.ask_lots", "imbalance", "ofi:100ms", "volatility:50ms:20"])
    assert list(got.columns) == ["ts", "touch.bid", "touch.ask_lots", "imbalance", "ofi:100ms", "volatility:50ms:20"]
    assert len(got) == len(quotes) + len(trades)
    last = got.groupby("ts").last()
    ends = quotes[~quotes.index.duplicated(keep="last")]
    common = last.index.intersection(ends.index)
    assert len(common) > 1000
    every = pd.DataFrame({"imbalance": batch.imbalance(quotes), "ofi": batch.order_flow(quotes, 100_000_000),
                          "volatility": batch.volatility(quotes, 50_000_000, 20)}, index=quotes.index)
    every = every[~every.index.duplicated(keep="last")]
    np.testing.assert_array_equal(last.loc[common, "touch.bid"], ends.loc[common, "bid"].where(ends.loc[common].valid))
    np.testing.assert_array_equal(last.loc[common, "imbalance"], every.loc[common, "imbalance"])
    np.testing.assert_array_equal(last.loc[common, "ofi:100ms"], every.loc[common, "ofi"])
    np.testing.assert_allclose(last.loc[common, "volatility:50ms:20"], every.loc[common, "volatility"], rtol=1e-9)


def test_rows_after_trades(tape: Path) -> None:
    """Lost otherwise: a row for each message where one for each trade was asked for."""
    _, trades = walked(tape)
    got = apex.features(tape, "trade_sign", on="trade")
    assert len(got) == len(trades)
    np.testing.assert_array_equal(got["trade_sign"], trades.side.map({1: 1.0, 2: -1.0}))


def test_a_grid_holds_what_was_known_then(tape: Path) -> None:
    """Lost otherwise: a row that knows the next message. The same as a strategy reads at the same times."""
    names = ["touch.mid", "imbalance", "ofi:100ms", "mlofi:3:50ms", "trade_flow:20ms", "hawkes", "kyle:20ms:100ms",
             "whale:1s:20:1s:2.0:0.5"]
    got = apex.features(tape, names, every="10ms")
    assert (got.ts % 10_000_000 == 0).all()
    assert (np.diff(got.ts) == 10_000_000).all()
    seen: list[list[float]] = []

    class Reader(apex.Strategy):
        waits_for_book = False

        def on_start(self, view: Any) -> None:
            for name in names:
                view.feature(name)
            view.at(int(got.ts[0]))

        def on_timer(self, view: Any) -> None:
            seen.append([view.now, *(view.feature(name) for name in names)])
            if view.now < got.ts.iloc[-1]:
                view.at(view.now + 10_000_000)

    apex.replay(tape, Reader, feed_shift=0)
    told = np.array(seen)
    np.testing.assert_array_equal(told[:, 0], got.ts)
    np.testing.assert_array_equal(told[:, 1:], got[names])
    assert np.isfinite(told[:, 1:]).mean() > 0.7


def test_any_split_gives_the_same_rows(tape: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: rows that are lost or doubled where one chunk ends."""
    want = apex.features(tape, ["imbalance", "ofi"], every="3ms")
    monkeypatch.setattr(module, "CHUNK_ROWS", 7)
    pd.testing.assert_frame_equal(apex.features(tape, ["imbalance", "ofi"], every="3ms"), want)


def test_several_instruments_keep_apart(pair: Path) -> None:
    """Lost otherwise: the flow of one market in the other's column."""
    both = apex.features(pair, ["imbalance", "ofi:50ms"])
    assert set(both.instrument.unique()) == {"AAAUSDT", "BBBUSDT"}
    for symbol in ("AAAUSDT", "BBBUSDT"):
        alone = apex.features(pair, ["imbalance", "ofi:50ms"], instrument=symbol)
        mine = both[both.instrument == symbol].drop(columns="instrument").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_files_hold_the_same(tape: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: columns on disk that are not those in Python; NaN instead of null."""
    names = ["imbalance", "ofi:5s", "mlofi.2:levels=3:window=100ms"]
    out = tmp_path / f"f.{suffix}"
    done = call(capsys, "features", tape, "--features", ",".join(names), "--every", "20ms", "--out", out, "--json")
    assert done.code == 0, done.err
    want = apex.features(tape, names, every="20ms")
    read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "arrow": pd.read_feather}[suffix]
    got = read(out)
    assert list(got.columns) == ["ts", "instrument", *names] == done.value["columns"]
    assert set(got.instrument) == {"AAAUSDT"}
    pd.testing.assert_frame_equal(got[["ts", *names]], want, check_exact=suffix != "csv")
    assert done.value["rows"] == len(want)
    assert done.value["undefined"] == want[names].isna().sum().to_dict()
    assert (done.value["first_ts"], done.value["last_ts"]) == (want.ts.iloc[0], want.ts.iloc[-1])
    if suffix == "csv":
        assert "nan" not in out.read_text().lower()


def test_without_names_there_is_a_broad_choice(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: the shortest command of all."""
    out = tmp_path / "f.parquet"
    assert call(capsys, "features", tape, "--out", out, "--every", "1s").code == 0
    assert list(pd.read_parquet(out).columns) == ["ts", "instrument", *module.EVERY]


def test_the_list_is_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: features that nobody finds."""
    done = call(capsys, "features", "--list", "--json")
    assert [row["feature"] for row in done.value] == list(FEATURES)
    assert "mlofi.10" in call(capsys, "features", "--list").out


def test_a_micro_price_is_fitted_and_used(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a fit whose file nothing can read."""
    model = tmp_path / "model.json"
    done = call(capsys, "features", tape, "--fit", "microprice", "--out", model, "--json")
    assert done.code == 0, done.err
    table = np.array(json.loads(model.read_text())["table"])
    np.testing.assert_allclose(table, -table[:, ::-1], atol=1e-9)
    name = f"microprice.shift:{model}"
    got = apex.features(tape, ["touch.spread", "touch.bid_lots", "touch.ask_lots", name]).dropna()
    spread, share = got["touch.spread"], got["touch.bid_lots"] / (got["touch.bid_lots"] + got["touch.ask_lots"])
    inside = (spread <= len(table)) & ((share * 10) % 1 > 1e-9) & ((share * 10) % 1 < 1 - 1e-9)
    assert inside.sum() > 1000
    want = table[spread[inside].astype(int) - 1, (share[inside] * 10).astype(int)]
    np.testing.assert_array_equal(got.loc[inside, name], want)
    assert np.abs(table).max() > 0
    assert "shift" in call(capsys, "features", tape, "--fit", "microprice").out


def test_a_hawkes_process_is_fitted_and_used(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a fit that says nothing of how to use it."""
    pytest.importorskip("scipy", reason="fits need the extra `research`")
    done = call(capsys, "features", tape, "--fit", "hawkes", "--json")
    assert done.code == 0, done.err
    assert 0 < done.value["branching"] < 1
    got = apex.features(tape, done.value["features"], on="trade")
    assert np.isfinite(got.to_numpy(float)[5:]).all()
    assert call(capsys, "features", tape, "--fit", "hawkes").code == 0


@pytest.mark.parametrize(("words", "code", "what"), [
    (["--features", "rsi"], 2, "no feature 'rsi'"), (["--features", "ofi:5"], 2, "no duration"),
    (["--features", "imbalance,imbalance"], 2, "twice"), (["--features", "microprice"], 2, "fitted model"),
    (["--features", "microprice:absent.json"], 3, "cannot read the model"), (["--every", "0s"], 2, "above 0"),
    (["--every", "5"], 2, "not a duration"), (["--instrument", "X"], 2, "no instrument matches"),
    (["--fit", "hawkes", "--every", "1s"], 2, "its own features"),
    (["--fit", "microprice", "--out", "m.txt"], 2, "JSON"),
    (["--out", "f.xlsx"], 2, "suffix"),
])  # fmt: skip
def test_bad_words(tape: Path, tmp_path: Path, words: list[str], code: int, what: str,
                   capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: an answer that does not say what to do, or half a file."""
    monkeypatch.chdir(tmp_path)
    out = [] if "--out" in words else ["--out", "m.json" if "--fit" in words else "f.csv"]
    done = call(capsys, "features", tape, *words, *out, "--json")
    assert done.code == code
    assert what in done.error["what"]
    assert list(tmp_path.iterdir()) == []
    for missing in ([], [str(tape)]):
        assert call(capsys, "features", *missing, "--json").code == 2


def test_bad_words_in_python(tape: Path) -> None:
    """The same from Python."""
    for words in ({"every": "1s", "on": "trade"}, {"on": "bar"}, {"names": []}):
        with pytest.raises(ConfigError):
            apex.features(tape, **{"names": ["imbalance"], **words})


# ---- the page --------------------------------------------------------------------------------------------------------

PAGE = Path(module.__file__).parents[2] / "docs" / "features.md"


def _ranges(words: list[str]) -> set[str]:
    """Names on the page; those between `x1` and `x5` of a row, with ... between them, are written out."""
    found = set()
    for cell in words:
        names = re.findall(r"`([^`]+)`( \.\.\. )?", cell)
        for place, (name, dots) in enumerate(names):
            found.add(name)
            if dots:
                stem, last = name.rstrip("0123456789"), names[place + 1][0]
                found |= {f"{stem}{n}" for n in range(1, int(last[len(stem):]) + 1)} if last.startswith(stem) else set()
    return found


def test_the_page_names_every_feature_and_its_parameters() -> None:
    """Lost otherwise: a feature that nobody knows of, or a default that is another than the page says."""
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    named = _ranges([row[0] for row in rows])
    want = {f"{family}.{part}" if part else family for family, row in FEATURES.items() for part in row.parts}
    between = {name for name in want if name.split(".")[0] == "resistance"}     # named by their first and last
    assert want - between <= named
    assert named - want == set()
    for family, row in FEATURES.items():
        line = next(x for x in rows if re.match(rf" `{family}[.`]", x[0]))
        told = dict(pair.split("=") for pair in re.findall(r"`(\w+=[\w.]+)`", line[3]))
        assert set(told) == {n for n, kind, _ in row.params if kind != "table"}, family
        for name, kind, default in row.params:
            if kind == "duration":
                assert duration_ns(told[name]) == default, (family, name)
            elif kind != "table":
                assert float(told[name]) == default, (family, name)


def test_the_page_says_how_much_is_chosen() -> None:
    """Lost otherwise: a page that grows apart from the command."""
    assert f"broad choice of {len(module.EVERY)} values" in PAGE.read_text()
