"""Exports: Arrow as Parquet has it, and hftbacktest's array, there and back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS
from apex.domain.errors import ConfigError, InputError
from apex.importers.cryptofeed import import_cryptofeed
from apex.importers.hftbacktest import import_hftbacktest
from apex.store.export import export
from apex.store.npz import NPZ_DTYPE, export_npz, feed_shift
from apex.store.tape import Tape
from apex.store.verify import verify
from tests.app.commands import call
from tests.store.markets import BOTH, BTC, LOCAL_ONLY, PAIR, START, joined, market, message, write

Array = NDArray[Any]
LAST, VENUE, LOCAL = FLAGS["LAST_IN_BATCH"], FLAGS["AT_VENUE"], FLAGS["AT_LOCAL"]
CLEARS = [KINDS[name] for name in ("SNAPSHOT_BEGIN", "LINK_GAP", "LINK_DOWN")]
HELD = [KINDS[name] for name in ("BOOK_LEVEL", "BOOK_CLEAR", "TRADE", "QUOTE")]


@pytest.mark.parametrize("suffix", [".arrow", ".feather"])
def test_arrow_has_what_parquet_has(suffix: str, tmp_path: Path) -> None:
    """Lost: a column or a row of one form that another has; or a file that pandas and Arrow cannot open."""
    write(tmp_path / "t", joined(market(5, 900, 2)))
    with Tape.open(tmp_path / "t") as tape:
        assert export(tape, tmp_path / f"x{suffix}") == export(tape, tmp_path / "x.parquet") == tape.row_count
        events = tape.events()
    ours, parquet = pd.read_feather(tmp_path / f"x{suffix}"), pd.read_parquet(tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(ours, parquet)
    for name in EVENT_DTYPE.names or ():
        assert (ours[name].to_numpy() == events[name]).all(), name
    with pa.ipc.open_file(tmp_path / f"x{suffix}") as file:
        assert b"binance-usdm" in file.schema.metadata[b"instruments"]


def test_an_unknown_suffix_names_those_there_are(tmp_path: Path) -> None:
    """Lost: a file in some form that its name does not say."""
    write(tmp_path / "t", joined(market(5, 9)))
    with Tape.open(tmp_path / "t") as tape, pytest.raises(ConfigError, match="names no format") as error:
        export(tape, tmp_path / "x.arow")
    assert ".arrow" in error.value.do
    assert ".npz" in error.value.do


def views(events: Array) -> tuple[Array, Array]:
    """What the array can hold of each side's rows, in its order: LAST_IN_BATCH and the sequence apart."""
    held = events.copy()
    held["sequence"], held["order_id"], held["instrument"] = 0, 0, 0
    clear = np.isin(held["kind"], CLEARS)
    held["kind"][clear], held["side"][clear] = KINDS["BOOK_CLEAR"], 0
    held["price_ticks"][clear] = held["quantity_lots"][clear] = 0
    special = (held["kind"] == KINDS["TRADE"]) & (held["flags"] & FLAGS["NOT_MARKET"] != 0)
    held = held[np.isin(held["kind"], HELD) & ~special]
    sides = []
    for bit, time in ((LOCAL, "ts_local_ns"), (VENUE, "ts_exchange_ns")):
        mine = held[held["flags"] & bit != 0]
        mine = mine[np.argsort(mine[time], kind="stable")]
        mine["flags"] &= np.uint16(~(LAST | VENUE | LOCAL) & 0xFFFF)
        sides.append(mine)
    return sides[0], sides[1]


def there_and_back(tape: Tape, number: int, folder: Path) -> tuple[Array, Array, Any]:
    """Rows of one instrument, what an import of its export has, and what the export said."""
    said = export_npz(tape, folder / "x.npz", number)
    x = tape.instruments[number]
    import_hftbacktest([folder / "x.npz"], folder / "back", tick=[x.tick], lot=[x.lot])
    with Tape.open(folder / "back") as back:
        assert verify(back).ok
        assert back.row_count == said.rows
        events = tape.events()
        return events[events["instrument"] == number], back.events(), said


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(20, 300), st.integers(1, 2))
def test_each_side_sees_the_same_rows_after_export_and_import(seed: int, count: int, instruments: int) -> None:
    """Lost: a row of one side's view that changes its place, its price or its time on the way to hftbacktest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "t", joined(market(seed, count, instruments)))
        with Tape.open(folder / "t") as tape:
            for number in range(instruments):
                before, after, said = there_and_back(tape, number, folder)
                for ours, theirs in zip(views(before), views(after), strict=True):
                    assert ours.tobytes() == theirs.tobytes()
                marks = int((before["kind"] == KINDS["MARK"]).sum())
                assert said.left_out == ({"MARK": marks} if marks else {})
                assert said.rows == len(before) - marks + said.split


def test_rows_in_one_order_come_back_as_they_were(tmp_path: Path) -> None:
    """Lost: rows cut in two for nothing, so that every message comes twice."""
    messages = [
        message("BOOK_LEVEL", START, [(1, 100, 5, 0), (2, 102, 6, 0)]), message("TRADE", START + 5, [(2, 100, 1, 0)]),
        message("QUOTE", START + 5, [(1, 100, 4, 0), (2, 102, 6, 0)], flags=LOCAL_ONLY),
        message("BOOK_CLEAR", START + 6, [(1, 99, 0, 0)], flags=BOTH | FLAGS["CLEAR_TO"]),
        message("BOOK_CLEAR", START + 7, [(2, 0, 0, 0)]), message("BOOK_LEVEL", START + 8, [(1, 98, 0, 0)]),
    ]
    write(tmp_path / "t", joined(messages), synced_from_start=True)
    with Tape.open(tmp_path / "t") as tape:
        before, after, said = there_and_back(tape, 0, tmp_path)
    assert (said.split, said.left_out) == (0, {})
    assert before.tobytes() == after.tobytes()


def test_a_late_row_is_split_and_the_others_stay_whole(tmp_path: Path) -> None:
    """Lost: one late message that doubles all those that overtook it."""
    delays = [1, 1, 900, 1, 1, 1, 1]
    messages = [message("TRADE", START + 100 * i, [(1, 100 + i, 1, 0)], delay=d) for i, d in enumerate(delays)]
    write(tmp_path / "late", joined(messages))
    early = [message("TRADE", START + 100 * i, [(1, 100 + i, 1, 0)], delay=-900 if i == 2 else 1) for i in range(7)]
    write(tmp_path / "early", joined(early))
    for name in ("late", "early"):
        with Tape.open(tmp_path / name) as tape:
            before, after, said = there_and_back(tape, 0, tmp_path)
        assert (said.split, len(after)) == (1, 8)
        for ours, theirs in zip(views(before), views(after), strict=True):
            assert ours.tobytes() == theirs.tobytes()


def test_the_array_is_hftbacktests(tmp_path: Path) -> None:
    """Lost: a dtype, a flag or a price that hftbacktest reads as something else."""
    messages = [
        message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
        message("BOOK_LEVEL", START, [(1, 618003, 5, 0)], flags=BOTH | FLAGS["SNAPSHOT"]),
        message("TRADE", START + 1, [(2, 618001, 7, 0)], sequence=9),
        message("TRADE", START + 2, [(2, 618001, 7, 0)], flags=BOTH | FLAGS["NOT_MARKET"]),
        message("LINK_GAP", START + 3, [(0, 0, 0, 0)], flags=LOCAL_ONLY),
    ]
    write(tmp_path / "t", joined(messages))
    with Tape.open(tmp_path / "t") as tape:
        said = export_npz(tape, tmp_path / "x.npz", 0, feed_shift_ns=50)
        again = export_npz(tape, tmp_path / "y.npz", 0, feed_shift_ns=50)
    assert (said, (tmp_path / "x.npz").read_bytes()) == (again, (tmp_path / "y.npz").read_bytes())
    assert said.left_out == {"TRADE": 1}
    array = np.load(tmp_path / "x.npz")["data"]
    assert (array.dtype, array.dtype.itemsize) == (NPZ_DTYPE, 64)
    both, buy, sell = 3 << 30, 1 << 29, 1 << 28
    assert array["ev"].tolist() == [both | 3, both | buy | 4, both | sell | 2, 1 << 30 | 3]
    assert array["exch_ts"].tolist() == [START - 10**6, START - 10**6, START + 1 - 10**6, 0]
    assert array["local_ts"].tolist() == [START + 50, START + 50, START + 51, START + 53]
    assert array["px"].tolist()[1:3] == [61800.3, 61800.1]
    assert np.isnan(array["px"][[0, 3]]).all()
    assert array["qty"].tolist() == [0.0, 0.005, 0.007, 0.0]


def test_a_price_that_is_no_double_is_refused(tmp_path: Path) -> None:
    """Lost: a price that hftbacktest would see as its neighbour."""
    write(tmp_path / "t", joined([message("BOOK_LEVEL", START, [(1, 2**53 + 1, 5, 0)])]))
    with Tape.open(tmp_path / "t") as tape, pytest.raises(InputError, match="no exact double"):
        export_npz(tape, tmp_path / "x.npz", 0)
    assert not (tmp_path / "x.npz").exists()


def test_the_command_chooses_shifts_and_says_what_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an export of one instrument of several by chance, or negative latencies, which hftbacktest cannot bear."""
    write(tmp_path / "t", joined(market(8, 200, 2)))
    with Tape.open(tmp_path / "t") as tape:
        events = tape.events()
        mine = events[(events["instrument"] == 1) & (events["flags"] & FLAGS["NO_VENUE_TIME"] == 0)]
        least = int((mine["ts_local_ns"] - mine["ts_exchange_ns"]).min())
        assert feed_shift(tape, 1) == -least > 0
    words = ("tape", "export", tmp_path / "t", "--out", tmp_path / "x.npz", "--json")
    refused = call(capsys, *words)
    assert (refused.code, refused.error["where"]) == (2, "--instrument")
    assert PAIR[0].symbol in refused.error["do"]
    done = call(capsys, *words, "--instrument", "ETHUSDT", "--feed-shift", "auto")
    assert (done.code, done.value["feed_shift_ns"], done.value["instrument"]) == (0, -least, "ETHUSDT")
    assert done.value["left_out"]["MARK"] > 0
    array = np.load(tmp_path / "x.npz")["data"]
    both = array["ev"] >> np.uint64(30) == 3
    assert int((array["local_ts"] - array["exch_ts"])[both].min()) >= 0
    for side, time in ((30, "local_ts"), (31, "exch_ts")):
        seen = array[array["ev"] >> np.uint64(side) & np.uint64(1) == 1]
        assert (np.diff(seen[time]) >= 0).all()
    plain = call(capsys, *words, "--instrument", "1")
    assert (plain.code, "--feed-shift auto" in plain.err) == (0, True)
    wrong = call(capsys, "tape", "export", tmp_path / "t", "--out", tmp_path / "x.csv", "--instrument", "1", "--json")
    assert wrong.code == 2


@pytest.mark.recordings
def test_a_recording_goes_there_and_back(data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost: real orders of venue and local time, wide quantities, tickers without quantities."""
    files = [data_file(f"ticks/cryptofeed/{name}") for name in ("BYBIT.jsonl.zst", "CRYPTO_COM.jsonl.gz")]
    import_cryptofeed(files, tmp_path / "t")
    split = 0
    with Tape.open(tmp_path / "t") as tape:
        assert BTC not in tape.instruments
        for number in range(len(tape.instruments)):
            before, after, said = there_and_back(tape, number, tmp_path)
            for ours, theirs in zip(views(before), views(after), strict=True):
                assert ours.tobytes() == theirs.tobytes()
            split += said.split
    assert split > 0
