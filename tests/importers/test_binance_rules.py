"""The venue's book rules on seeded streams with drops, repeats and late snapshots: the rows are a plain reader's."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from apex._core.codecs.binance import BinanceCodec
from apex._core.codecs.binance_reader import BinanceReader
from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, unpack
from apex.domain.decimals import scaled
from apex.importers.binance import import_binance
from apex.importers.binance_frames import Identity, ordered
from apex.importers.common import ImportSummary
from apex.store.bbo import touches
from apex.store.tape import Tape
from tests.importers.recordings import MARKETS, START_NS, Stream, frames, lines, shuffled, text, write
from tests.oracles.binance import FIELDS, Reader

SEEDS = range(25)


def imported(path: Path, found: list[bytes], market: str) -> tuple[ImportSummary, NDArray[Any]]:
    """Import lines with the market's own grid; the summary and the rows."""
    where = MARKETS[market]
    summary = import_binance([write(path / "recording", found)], path / "t.tape", tick=[where.tick], lot=[where.lot])
    with Tape.open(path / "t.tape") as tape:
        return summary, tape.events()


def plainly(found: list[bytes], market: str) -> Reader:
    """What the plain reader makes of lines."""
    where = MARKETS[market]
    return Reader(where.name, where.tick, where.lot).read(found)


def as_events(plain: Reader) -> NDArray[Any]:
    """The plain reader's rows as events."""
    made = np.zeros(len(plain.rows), EVENT_DTYPE)
    for row, values in zip(made, plain.rows, strict=True):
        for name, value in zip(FIELDS, values, strict=True):
            row[name] = sum(FLAGS[f] for f in value) if name == "flags" else KINDS.get(value, value)
    return made


def assert_equal(ours: NDArray[Any], theirs: NDArray[Any]) -> None:
    for at, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        assert a == b, (at, dict(zip(EVENT_DTYPE.names or (), a.tolist(), strict=True)),
                        dict(zip(EVENT_DTYPE.names or (), b.tolist(), strict=True)))
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("market", MARKETS)
def test_rows_and_counts_are_the_plain_readers(market: str, seed: int, tmp_path: Path) -> None:
    """Lost: a rule of the book (join, drop, gap, stale or late snapshot) that the compiled reader has otherwise."""
    found = lines(frames(market, seed), seed, "us" if seed % 3 == 0 else "ns")
    plain = plainly(found, market)
    summary, rows = imported(tmp_path, found, market)
    assert_equal(rows, as_events(plain))
    assert {name: getattr(summary, name) for name in plain.counts} == plain.counts
    assert (summary.synced, summary.slow_path_messages) == (plain.synced, 0)


def test_the_streams_above_hold_what_they_should() -> None:
    """Lost: the test above tests nothing, because no stream has a gap, a late join or a crossed book."""
    total = dict.fromkeys(("sequence_gaps", "crossed_books", "snapshots", "joins", "unsynced"), 0)
    for market in MARKETS:
        for seed in SEEDS:
            plain = plainly(lines(frames(market, seed), seed), market)
            for name in ("sequence_gaps", "crossed_books", "snapshots"):
                total[name] += plain.counts[name]
            begins = sum(row[7] == "SNAPSHOT_BEGIN" for row in plain.rows)
            total["joins"] += begins
            total["unsynced"] += not plain.synced
    assert total["snapshots"] > total["joins"] > 100
    assert min(total.values()) > 20, total


@pytest.mark.parametrize("market", MARKETS)
def test_other_field_orders_and_spaces_give_the_same_tape(market: str, tmp_path: Path) -> None:
    """Lost: a venue that changes the order of its fields changes the tape, or nobody hears of the slow path."""
    found = lines(frames(market, 3), 3)
    rng = random.Random(3)
    other = [shuffled(line, rng) for line in found]
    summary, rows = imported(tmp_path, found, market)
    slow, slow_rows = imported(tmp_path, other, market)
    assert_equal(slow_rows, rows)
    assert slow.content_hash == summary.content_hash
    assert (summary.slow_path_messages, slow.slow_path_messages) == (0, len(found))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(MARKETS)), st.integers(0, 10**6), st.data())
def test_pieces_of_any_size_give_the_same_events(market: str, seed: int, data: st.DataObject) -> None:
    """Lost: a message cut by the end of a piece of the file, or a snapshot whose venue time comes a piece later."""
    where = MARKETS[market]
    whole = b"\n".join(lines(frames(market, seed, 40), seed))
    if data.draw(st.booleans()):
        whole = whole.replace(b"\n", b"\r\n\n")
    who = Identity(where.symbol, where.name, "BTCUSD" if market == "cm" else "")

    def read(cuts: list[int]) -> NDArray[Any]:
        reader = BinanceReader(BinanceCodec(*who, scaled(where.tick), scaled(where.lot)))
        parts, rest = [], b""
        for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            piece = rest + whole[start:stop]
            rest = piece[reader.feed(piece, lambda frame: ordered(frame, who)):]
            parts.append(unpack(*reader.take()))
        reader.feed(rest, lambda frame: ordered(frame, who), True)
        parts.append(unpack(*reader.take(final=True)))
        return np.concatenate(parts)

    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    assert read(cuts).tobytes() == read([]).tobytes()


# ---- single rules, by hand ------------------------------------------------------------------------------------------


def timed(found: list[dict[str, Any]]) -> list[bytes]:
    """Frames a millisecond apart, the first at START_NS."""
    return [b"%d %s" % (START_NS + i * 1_000_000, text(frame)) for i, frame in enumerate(found)]


@pytest.mark.parametrize("market", ["spot", "usdm", "cm"])
def test_a_gap_is_on_the_tape_and_ends_with_a_snapshot(market: str, tmp_path: Path) -> None:
    """Lost: a book that goes on after a lost message as if nothing had happened."""
    made = Stream(market, 1)
    start, snapshot = made.depth(), made.snapshot(made.last)
    first, lost, after, more = made.depth(), made.depth(), made.depth(), made.depth()
    again = made.snapshot(made.last)
    found = timed([start, snapshot, first, after, more, again, made.depth()])
    summary, rows = imported(tmp_path, found, market)
    assert lost["data"]["u"] == after["data"].get("pu", after["data"]["U"] - 1)
    gaps = rows[rows["kind"] == KINDS["LINK_GAP"]]
    assert (summary.sequence_gaps, len(gaps)) == (1, 1)
    gap = gaps[0]
    assert (int(gap["ts_local_ns"]), int(gap["sequence"])) == (START_NS + 3_000_000, after["data"]["u"])
    assert int(gap["flags"]) == FLAGS["AT_LOCAL"] | FLAGS["AT_VENUE"] | FLAGS["LAST_IN_BATCH"]
    with Tape.open(tmp_path / "t.tape") as tape:
        states = touches(tape, 0, [START_NS + i * 1_000_000 for i in range(len(found))])
    assert [t.synced for t in states] == [False, True, True, False, False, True, True]
    assert summary.synced


@pytest.mark.parametrize("market", ["spot", "usdm", "cm"])
def test_deltas_before_the_snapshot_follow_it_with_its_time(market: str, tmp_path: Path) -> None:
    """Lost: newer levels than the snapshot's, received before it, that never reach the book."""
    made = Stream(market, 2)
    old, covering, newer = made.depth(), made.depth(), made.depth(most=9)
    snapshot = made.snapshot(covering["data"]["U"])            # covers `old` and a part of `covering`
    _, rows = imported(tmp_path, timed([old, covering, newer, snapshot, made.depth()]), market)
    levels = rows[(rows["kind"] == KINDS["BOOK_LEVEL"]) & ((rows["flags"] & FLAGS["SNAPSHOT"]) == 0)]
    joined = levels[levels["ts_local_ns"] == START_NS + 3_000_000]
    assert set(joined["sequence"].tolist()) == {covering["data"]["u"], newer["data"]["u"]}
    assert len(joined) == sum(len(d["data"]["b"]) + len(d["data"]["a"]) for d in (covering, newer))
    assert not (levels["ts_local_ns"] < START_NS + 3_000_000).any()
    begins = rows["kind"] == KINDS["SNAPSHOT_BEGIN"]
    assert rows["ts_local_ns"][begins].tolist() == [START_NS + 3_000_000]
    at = int(np.flatnonzero(begins)[0])
    venue = covering["data"]["E"] if market == "spot" else snapshot["T"]
    assert int(rows["ts_exchange_ns"][at]) == venue * 1_000_000


def test_a_snapshot_that_no_delta_joins_has_no_venue_time(tmp_path: Path) -> None:
    """Lost: a made-up venue time on a spot snapshot at the end of a recording."""
    made = Stream("spot", 3)
    _, rows = imported(tmp_path, timed([made.ticker(), made.snapshot(5), made.trade()]), "spot")
    taken = rows[np.isin(rows["kind"], [KINDS["SNAPSHOT_BEGIN"], KINDS["BOOK_LEVEL"]])]
    assert len(taken) > 1
    assert (taken["ts_exchange_ns"] == 0).all()
    assert ((taken["flags"] & FLAGS["NO_VENUE_TIME"]) != 0).all()
    assert ((taken["flags"] & FLAGS["AT_VENUE"]) == 0).all()


def test_other_streams_are_left_out_and_counted(tmp_path: Path) -> None:
    """Lost: the best 20 levels pass for a whole snapshot or for a delta, and replace the book."""
    made = Stream("usdm", 4)
    body: list[dict[str, Any]] = [made.depth(), made.snapshot(made.last), made.depth(), made.trade()]
    part = made.depth(most=9)
    others = [
        {**part, "stream": "btcusdt@depth20@100ms"}, {**part, "stream": "btcusdt@depth5"},
        {"stream": "btcusdt@depth10@0ms", "data": made.snapshot(made.last + 9)},
        {"stream": "btcusdt@aggTrade", "data": {"e": "aggTrade", "E": 1, "s": "BTCUSDT", "a": 1, "p": "1", "q": "1"}},
        {"stream": "btcusdt@kline_1m", "data": {"e": "kline", "E": 1, "s": "BTCUSDT", "k": {}}},
        {"result": None, "id": 1}, {"e": ["depthUpdate"]}, {"stream": 5, "data": []},
        {"stream": "btcusdt@forceOrder", "data": {"e": "forceOrder", "E": 1, "o": {}}},
    ]
    summary, rows = imported(tmp_path, timed(body), "usdm")
    mixed, mixed_rows = imported(tmp_path, timed(body) + timed([*body, *others])[len(body):], "usdm")
    assert_equal(mixed_rows, rows)
    assert (mixed.ignored_messages, summary.ignored_messages) == (len(others), 0)
    assert mixed.messages == summary.messages + len(others)
    assert (mixed.synced, mixed.sequence_gaps) == (True, 0)


def test_dated_contracts_have_mark_prices_without_funding(tmp_path: Path) -> None:
    """Lost: recordings of contracts that end on a date, whose funding rate is empty and next funding time 0."""
    made = Stream("usdm", 9)
    mark = made.mark()
    mark["data"].update(r="", T=0)
    found = timed([made.ticker(), mark])
    summary, rows = imported(tmp_path, found, "usdm")
    assert_equal(rows, as_events(plainly(found, "usdm")))
    assert (summary.mark_prices, rows["aux"][2:].tolist()) == (1, [0, 0])


def test_frames_without_envelope_and_with_new_fields_are_read(tmp_path: Path) -> None:
    """Lost: raw streams, and the day on which USD-M messages gain the fields st and ps."""
    found = frames("usdm", 5, 60)
    bare = [frame.get("data", frame) for frame in found]
    newer = [{**f, "data": {**f["data"], "st": 1, "ps": "BTCUSDT"}} if "data" in f else f for f in found]
    summary, rows = imported(tmp_path, timed(found), "usdm")
    for other in (bare, newer):
        again, other_rows = imported(tmp_path, timed(other), "usdm")
        assert_equal(other_rows, rows)
        assert again.instruments == summary.instruments


def test_files_join_in_any_order_and_any_compression(tmp_path: Path) -> None:
    """Lost: a tape that depends on the order of its files on the command line, or on how they are compressed."""
    import zstandard

    found = lines(frames("usdm", 6, 120), 6)
    whole, _ = imported(tmp_path, found, "usdm")
    body = [b"".join(line + b"\n" for line in part) for part in (found[:50], found[50:90], found[90:])]
    (tmp_path / "a").write_bytes(gzip.compress(body[0][:999]) + gzip.compress(body[0][999:]) + bytes(512))
    (tmp_path / "b").write_bytes(zstandard.compress(body[1][:999]) + zstandard.compress(body[1][999:]))
    (tmp_path / "c").write_bytes(body[2].rstrip(b"\n"))
    for order in ("abc", "cba", "bca"):
        out = tmp_path / f"{order}.tape"
        summary = import_binance([tmp_path / name for name in order], out, tick=["0.1"], lot=["0.001"])
        assert summary == whole


def test_gzip_members_end_anywhere_within_a_read(tmp_path: Path) -> None:
    """Lost: concatenated gzip files, whose first member ends behind more than a piece of text, read for ever."""
    made = Stream("usdm", 7)
    found = timed([made.ticker() for _ in range(12_000)])
    body = b"".join(line + b"\n" for line in found)
    assert len(body) > 2 << 20
    (tmp_path / "joined.gz").write_bytes(gzip.compress(body) + gzip.compress(timed([made.ticker()] * 12_001)[-1]))
    summary = import_binance([tmp_path / "joined.gz"], tmp_path / "t.tape")
    assert summary.messages == 12_001


def test_grid_is_found_beyond_the_sample(tmp_path: Path) -> None:
    """Lost: a finer price late in a long recording is an error, or is cut."""
    made = Stream("usdm", 8)
    tickers = [made.ticker() for _ in range(30_000)]
    tickers[-1]["data"]["b"] = "61800.05"
    tickers[-1]["data"]["B"] = "0.0005"
    found = timed(tickers)
    assert sum(map(len, found)) > 5 << 20
    summary = import_binance([write(tmp_path / "recording", found)], tmp_path / "t.tape")
    assert summary.instruments == [{"symbol": "BTCUSDT", "venue": "binance-usdm", "tick": "0.05", "lot": "0.0005"}]
    for frame in tickers:
        frame["data"].update(b="61800", a="61801", B="5", A="7")
    tickers[-1]["data"].update(b="61800.5", B="5.25")
    summary = import_binance([write(tmp_path / "recording", timed(tickers))], tmp_path / "t.tape")
    assert (summary.instruments[0]["tick"], summary.instruments[0]["lot"]) == ("0.5", "0.25")
