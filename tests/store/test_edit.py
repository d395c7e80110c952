"""Cutting and merging tapes: the books, the views of both sides and the order of time stay what they were."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core.book import Book
from apex._core.events import FLAGS, KINDS, pack
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument
from apex.importers.cryptofeed import import_cryptofeed
from apex.importers.hftbacktest import import_hftbacktest
from apex.store.edit import cut, merge
from apex.store.npz import export_npz
from apex.store.tape import Tape, TapeWriter
from apex.store.verify import verify
from tests.app.commands import call
from tests.store.markets import BTC, ETH, START, joined, market, message, write


def book_at(tape: Tape, number: int, until: int) -> tuple[bool, list[Any], list[Any]]:
    """A book after every event with local time <= a time."""
    book = Book(synced=bool(tape.header["synced_from_start"]))
    mine = tape.batches["ts_local_ns"] <= until
    book.apply(tape.batches[mine], tape.levels, tape.rows, instrument=number)
    return (book.synced, book.levels(1), book.levels(2)) if book.synced else (False, [], [])


def venue_book(tape: Tape, number: int, until: int) -> tuple[bool, list[Any], list[Any]]:
    """The venue's view of a book at a venue time."""
    order = np.arange(len(tape.batches)) if tape.venue_order is None else tape.venue_order
    found = tape.batches[order]
    found = found[(found["flags"] & FLAGS["AT_VENUE"] != 0) & (found["ts_exchange_ns"] <= until)].copy()
    found["flags"] |= FLAGS["AT_LOCAL"]
    book = Book(synced=bool(tape.header["synced_from_start"]))
    book.apply(found, tape.levels, tape.rows, instrument=number)
    return (book.synced, book.levels(1), book.levels(2)) if book.synced else (False, [], [])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(5, 200), st.integers(1, 2), st.booleans(), st.data())
def test_a_part_has_the_wholes_rows_and_books(seed: int, count: int, instruments: int, synced: bool,
                                              data: st.DataObject) -> None:
    """Lost: a replay of an afternoon that begins with an empty book, or with one of the morning."""
    events = joined(market(seed, count, instruments))
    times = np.unique(events["ts_local_ns"])
    low = min(int(data.draw(st.sampled_from(times))) + data.draw(st.integers(-1, 1)), int(times[-1]))
    high = data.draw(st.one_of(st.none(), st.integers(max(low, int(times[0])), int(times[-1]) + 1)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "t", events, synced_from_start=synced)
        with Tape.open(folder / "t") as tape:
            header = cut(tape, folder / "part", low, high)
            with Tape.open(folder / "part") as part:
                assert verify(part).ok
                assert header["content_hash"] == part.content_hash
                inside = (events["ts_local_ns"] >= low) & (events["ts_local_ns"] <= (high or 2**62))
                found = part.events()
                opening = len(found) - int(inside.sum())
                assert found[opening:].tobytes() == events[inside].tobytes()
                assert set(found["ts_local_ns"][:opening].tolist()) <= {low}
                known = {number for number in range(instruments) if synced or book_at(tape, number, low - 1)[0]}
                assert set(found["instrument"][:opening].tolist()) <= known
                for number in range(instruments):
                    for at in [low, *data.draw(st.lists(st.sampled_from(times), max_size=4)), high or int(times[-1])]:
                        if low <= int(at) <= (high or int(times[-1])):
                            assert book_at(part, number, int(at)) == book_at(tape, number, int(at))


def test_the_venues_book_begins_before_what_follows(tmp_path: Path) -> None:
    """Lost: a change that the venue made after the cut, wiped out by a snapshot stamped later than it."""
    messages = [
        message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False, delay=10),
        message("BOOK_LEVEL", START, [(1, 100, 5, 0), (2, 102, 5, 0)], flags=24 | FLAGS["SNAPSHOT"], delay=10),
        message("BOOK_LEVEL", START + 100, [(1, 101, 7, 0)], delay=5),
        message("TRADE", START + 150, [(1, 101, 7, 0)], delay=5),
        message("BOOK_LEVEL", START + 200, [(1, 99, 1, 0)], delay=150),
        message("BOOK_LEVEL", START + 300, [(2, 103, 1, 0)], delay=5),
    ]
    write(tmp_path / "t", joined(messages))
    with Tape.open(tmp_path / "t") as tape:
        cut(tape, tmp_path / "part", START + 200, None)
        with Tape.open(tmp_path / "part") as part:
            end = int(tape.batches["ts_exchange_ns"].max())
            assert venue_book(part, 0, end) == venue_book(tape, 0, end)
            assert part.events()["ts_exchange_ns"].tolist()[:4] == [START + 50] * 4


def test_a_cut_without_a_start_has_no_opening(tmp_path: Path) -> None:
    """Lost: rows that nobody recorded, where none are needed."""
    events = joined(market(3, 50))
    write(tmp_path / "t", events)
    with Tape.open(tmp_path / "t") as tape:
        cut(tape, tmp_path / "part", None, START + 10**6)
        with Tape.open(tmp_path / "part") as part:
            assert part.events().tobytes() == events[events["ts_local_ns"] <= START + 10**6].tobytes()
        with pytest.raises(ConfigError, match="before it begins"):
            cut(tape, tmp_path / "part", START + 5, START)


@pytest.mark.parametrize("synced", [False, True])
def test_a_book_out_of_sync_at_the_cut_stays_so(tmp_path: Path, synced: bool) -> None:
    """Lost: a book of before a gap, which the cut would declare known; or a row of an opening where none is needed."""
    messages = [message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
                message("BOOK_LEVEL", START, [(1, 100, 5, 0)], flags=24 | FLAGS["SNAPSHOT"]),
                message("LINK_GAP", START + 1, [(0, 0, 0, 0)]), message("BOOK_LEVEL", START + 9, [(1, 101, 5, 0)])]
    write(tmp_path / "t", joined(messages), synced_from_start=synced)
    with Tape.open(tmp_path / "t") as tape:
        cut(tape, tmp_path / "part", START + 5, None)
    with Tape.open(tmp_path / "part") as part:
        assert verify(part).ok
        assert part.events()["kind"].tolist() == [KINDS["LINK_GAP"]] * synced + [KINDS["BOOK_LEVEL"]]
        assert book_at(part, 0, START + 9) == (False, [], [])


def of_one(path: Path, instrument: Instrument, events: Any, **options: Any) -> Path:
    """A tape of one instrument."""
    with TapeWriter(path, [instrument], source=options.pop("source", "test"), **options) as tape:
        tape.append(*pack(events))
    return path


def merged(folder: Path, *paths: Path) -> Any:
    """Rows and instruments of a merge, verified."""
    tapes = [Tape.open(path) for path in paths]
    header = merge(tapes, folder / "merged")
    for tape in tapes:
        tape.close()
    with Tape.open(folder / "merged") as tape:
        assert verify(tape).ok
        assert tape.content_hash == header["content_hash"]
        return tape.events(), tape.instruments, tape.header


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 150), st.integers(0, 150))
def test_two_instruments_on_one_clock(seed: int, first: int, second: int) -> None:
    """Lost: an instrument's rows out of their order, or one market's news told before the other's that came first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, two = joined(market(seed, first)), joined(market(seed + 1, second))
        paths = of_one(folder / "a", BTC, one), of_one(folder / "b", ETH, two)
        events, instruments, header = merged(folder, *paths)
        assert (instruments, header["source"], header["seed"]) == ([BTC, ETH], "test", None)
        assert (np.diff(events["ts_local_ns"]) >= 0).all()
        for number, wanted in enumerate((one, two)):
            mine = events[events["instrument"] == number].copy()
            mine["instrument"] = 0
            assert mine.tobytes() == wanted.tobytes()
        ties = np.flatnonzero(np.diff(events["ts_local_ns"]) == 0)
        assert (events["instrument"][ties] <= events["instrument"][ties + 1]).all()


def test_rows_of_one_side_keep_their_places(tmp_path: Path) -> None:
    """Lost: a tape of hftbacktest's rows, where the venue's half of a late message lies before ours of earlier ones."""
    late = [message("TRADE", START + 100 * i, [(1, 100 + i, 1, 0)], delay=900 if i % 3 == 2 else 1) for i in range(60)]
    of_one(tmp_path / "a", BTC, joined(late))
    with Tape.open(tmp_path / "a") as tape:
        export_npz(tape, tmp_path / "a.npz", 0)
    import_hftbacktest([tmp_path / "a.npz"], tmp_path / "b", tick=["0.1"], lot=["0.001"])
    with Tape.open(tmp_path / "b") as tape:
        wanted = tape.events()
        assert (np.diff(wanted["ts_local_ns"]) < 0).any()
    events, _, _ = merged(tmp_path, of_one(tmp_path / "c", ETH, joined(market(2, 80))), tmp_path / "b")
    mine = events[events["instrument"] == 1].copy()
    mine["instrument"] = 0
    assert mine[1:].tobytes() == wanted.tobytes()            # after an empty book, in sync from the start


def test_more_rows_of_one_time_than_a_chunk_holds(tmp_path: Path) -> None:
    """Lost: a merge that stands still, or rows of one time that jump over others."""
    same = joined([message("TRADE", START, [(1, 100, 1, 0)], sequence=i) for i in range(150_000)])
    late = joined([message("TRADE", START + i, [(1, 7, 1, 0)], sequence=i) for i in range(3)])
    events, _, _ = merged(tmp_path, of_one(tmp_path / "a", BTC, same), of_one(tmp_path / "b", ETH, late))
    assert events["sequence"].tolist() == [*range(150_000), 0, 1, 2]


def test_parts_of_an_instrument_are_joined(tmp_path: Path) -> None:
    """Lost: a day cut in two that does not come together again."""
    events = joined(market(9, 300, 2))
    write(tmp_path / "t", events)
    with Tape.open(tmp_path / "t") as tape:
        middle = int(np.median(events["ts_local_ns"]))
        cut(tape, tmp_path / "one", None, middle)
        cut(tape, tmp_path / "two", middle + 1, None)
        found, instruments, _ = merged(tmp_path, tmp_path / "two", tmp_path / "one")
        assert instruments == tape.instruments
        opening = found["ts_local_ns"] == middle + 1
        opening &= (found["kind"] == KINDS["SNAPSHOT_BEGIN"]) | (found["flags"] & FLAGS["SNAPSHOT"] != 0)
        assert opening.any()
        assert found[~opening].tobytes() == events.tobytes()
        with Tape.open(tmp_path / "merged") as back:
            for at in np.unique(events["ts_local_ns"])[::20].tolist():
                for number in (0, 1):
                    assert book_at(back, number, at) == book_at(tape, number, at)


def test_a_part_whose_book_is_not_known_begins_with_a_lost_link(tmp_path: Path) -> None:
    """Lost: the morning's book, carried over the hours that nobody recorded."""
    morning = joined([message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
                      message("BOOK_LEVEL", START, [(1, 5, 5, 0)], flags=24 | FLAGS["SNAPSHOT"])])
    evening = joined([message("TRADE", START + 10**9, [(1, 5, 1, 0)]),
                      message("BOOK_LEVEL", START + 2 * 10**9, [(1, 6, 5, 0)])])
    paths = of_one(tmp_path / "a", BTC, morning), of_one(tmp_path / "b", BTC, evening)
    events, _, _ = merged(tmp_path, *paths)
    kinds = {code: name for name, code in KINDS.items()}
    assert [kinds[int(kind)] for kind in events["kind"]] == [
        "SNAPSHOT_BEGIN", "BOOK_LEVEL", "LINK_DOWN", "TRADE", "BOOK_LEVEL"]
    with Tape.open(tmp_path / "merged") as tape:
        assert book_at(tape, 0, START + 3 * 10**9) == (False, [], [])


def test_books_in_sync_from_the_start_beside_others(tmp_path: Path) -> None:
    """Lost: an array of hftbacktest, which has no snapshot, merged into silence."""
    npz = joined([message("BOOK_LEVEL", START + 5, [(1, 5, 5, 0)], delay=3)])
    recorded = joined([message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
                       message("BOOK_LEVEL", START, [(1, 9, 9, 0)], flags=24 | FLAGS["SNAPSHOT"])])
    paths = of_one(tmp_path / "a", BTC, npz, synced_from_start=True, source="x"), of_one(tmp_path / "b", ETH, recorded)
    events, _, header = merged(tmp_path, *paths)
    assert (header["synced_from_start"], header["source"]) == (False, "test+x")
    with Tape.open(tmp_path / "merged") as tape:
        assert book_at(tape, 0, START + 5) == (True, [(5, 5)], [])
        assert book_at(tape, 1, START + 5) == (True, [(9, 9)], [])
    assert int(events["ts_exchange_ns"][events["instrument"] == 0][0]) == START + 2
    both = of_one(tmp_path / "c", ETH, recorded, synced_from_start=True)
    _, _, header = merged(tmp_path, tmp_path / "a", both)
    assert header["synced_from_start"]


def test_what_cannot_be_merged_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: prices on two grids under one tick, or the same hour twice."""
    events = joined(market(4, 30))
    finer = Instrument("BTCUSDT", "binance-usdm", "0.01", "0.001", base="BTC", quote="USDT")
    of_one(tmp_path / "a", BTC, events), of_one(tmp_path / "b", finer, events), of_one(tmp_path / "c", BTC, events)
    for other, what in (("b", "recorded with tick"), ("c", "overlap")):
        done = call(capsys, "tape", "merge", tmp_path / "a", tmp_path / other, "--out", tmp_path / "m", "--json")
        assert (done.code, what in done.error["what"]) == (2, True)
    assert not (tmp_path / "m").exists()
    done = call(capsys, "tape", "merge", tmp_path / "a", "--out", tmp_path / "a", "--json")
    assert (done.code, done.error["where"]) == (2, "--out")


def test_a_span_beside_the_recording_is_refused(tmp_path: Path) -> None:
    """Lost: an empty tape for a mistyped time, found out about much later."""
    write(tmp_path / "t", joined(market(1, 200)))
    with Tape.open(tmp_path / "t") as tape:
        first, last = tape.header["first_ts"], tape.header["last_ts"]
        for span in ((None, first - 1), (last + 1, None), (0, 1)):
            with pytest.raises(ConfigError, match="nothing of "):
                cut(tape, tmp_path / "out", *span)
            assert not (tmp_path / "out").exists()
        cut(tape, tmp_path / "out", last, None)
    write(tmp_path / "v", joined([message("BOOK_LEVEL", START, [(1, 100, 5, 0)], flags=FLAGS["AT_VENUE"])]))
    with Tape.open(tmp_path / "v") as tape:                  # the venue's rows alone: no local time to compare with
        assert cut(tape, tmp_path / "w", START, None)["row_count"] == 1


def test_the_commands_say_what_they_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the commands themselves, and the figures that scripts read."""
    events = joined(market(6, 100, 2))
    write(tmp_path / "t", events)
    half = int(np.median(events["ts_local_ns"]))
    done = call(capsys, "tape", "cut", tmp_path / "t", "--from", half, "--to", half + 10**7, "--out", tmp_path / "p",
                "--json")
    assert done.code == 0
    assert set(done.value) == {"rows", "out", "first_ts", "last_ts", "instruments", "content_hash"}
    with Tape.open(tmp_path / "p") as part:
        assert (part.row_count, part.content_hash) == (done.value["rows"], done.value["content_hash"])
    assert "rows of 2 instruments" in call(capsys, "tape", "merge", tmp_path / "p", "--out", tmp_path / "m").out
    bare = call(capsys, "tape", "cut", tmp_path / "t", "--out", tmp_path / "p", "--json")
    assert (bare.code, bare.error["where"]) == (2, "--from, --to")


@pytest.mark.recordings
def test_recordings_of_three_venues_merge_as_they_import(data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost: a tape of several venues that depends on how it was made."""
    paths = [data_file(f"ticks/cryptofeed/{name}.jsonl.zst") for name in ("OKX", "BYBIT", "BINANCE_FUTURES")]
    for number, path in enumerate(paths):
        import_cryptofeed([path], tmp_path / str(number))
    import_cryptofeed(paths, tmp_path / "all")
    events, instruments, _ = merged(tmp_path, *(tmp_path / str(number) for number in range(3)))
    with Tape.open(tmp_path / "all") as tape:
        wanted = tape.events()
        for number, x in enumerate(instruments):
            mine, theirs = events[events["instrument"] == number], wanted[
                wanted["instrument"] == tape.instruments.index(x)].copy()
            theirs["instrument"] = number
            assert mine.tobytes() == theirs.tobytes()
