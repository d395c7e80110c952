"""Every recording of cryptofeed that the importer reads, against a plain reader and the README of the recordings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from apex._core.book import Book
from apex._core.events import FLAGS, KINDS, SIDES
from apex.domain.instrument import names
from apex.importers.binance import import_binance
from apex.importers.common import FeedSummary
from apex.importers.cryptofeed import import_cryptofeed
from apex.store.tape import Tape
from apex.store.verify import verify
from tests.oracles import cryptofeed as plainly
from tests.oracles.cryptofeed import Plain

pytestmark = pytest.mark.recordings


class File(NamedTuple):
    """A recording and what the README counts in it.

    `levels` is the README's figure; `snapshots_in` says that it has the snapshots' levels in it, as it does for most
    venues that send them by their sockets. `chain` is its count of deltas that follow the one before (depth_ok, ...).
    """

    venue: Callable[[Plain, plainly.Message, str], None]
    market: str
    recv: int
    channels: dict[str, int]
    levels: int
    snapshots_in: bool
    snapshots: int
    trades: int
    chain: int | None = None
    crc_ok: int = 0
    bbo: tuple[int, int] = (0, 0)
    every: int = 1


FILES = {
    "BINANCE.jsonl.zst": File(
        plainly.binance, "binance-spot", 265, {"depthUpdate": 177, "bookTicker": 84, "aggTrade": 2, "kline": 2}, 422,
        False, 4, 2, 173),
    "BINANCE_20210405.raw.gz": File(
        plainly.binance, "binance-spot", 11357, {"bookTicker": 5408, "depthUpdate": 4709, "aggTrade": 1240}, 15407,
        False, 10, 1240, 4699),
    "BINANCE_DELIVERY.jsonl.zst": File(
        plainly.binance, "binance-coinm", 4371,
        {"bookTicker": 2240, "depthUpdate": 2047, "aggTrade": 51, "kline": 33}, 17932, False, 10, 51, 2037),
    "BINANCE_FUTURES.jsonl.zst": File(
        plainly.binance, "binance-usdm", 1535, {"bookTicker": 613, "depthUpdate": 764, "kline": 67, "aggTrade": 91},
        6297, False, 4, 91, 760),
    "BYBIT.jsonl.zst": File(
        plainly.bybit, "", 3227, {"tickers": 839, "op": 24, "orderbook.200": 2148, "kline.1": 96, "publicTrade": 120},
        20809, True, 6, 347, 2142),
    "COINBASE.jsonl.zst": File(
        plainly.coinbase, "", 1030, {"market_trades": 59, "subscriptions": 5, "candles": 6, "ticker": 160,
                                     "l2_data": 775, "heartbeats": 25}, 74193, True, 2, 279, 1029, bbo=(132, 22),
        every=40),
    "COINBASE_20210417.ws.raw.gz": File(
        plainly.coinbase_pro, "", 5665, {"subscriptions": 3, "snapshot": 6, "ticker": 71, "last_match": 6,
                                         "l2update": 5514, "match": 65}, 5514, False, 6, 71, bbo=(65, 6), every=5),
    "CRYPTO_COM.jsonl.gz": File(
        plainly.cryptocom, "", 1942, {"subscribe": 4, "trade": 75, "ticker": 920, "book": 936, "public/heartbeat": 1,
                                      "candlestick": 6}, 245020, True, 936, 677),
    "DERIBIT.jsonl.zst": File(plainly.deribit, "", 136, {"other": 1, "ticker": 89, "book": 46}, 149, True, 10, 0, 36),
    "DERIBIT_20210405.raw.gz": File(
        plainly.deribit, "", 461, {"other": 1, "ticker": 273, "book": 187}, 367, True, 10, 0, 177),
    "KRAKEN_20210405.raw.gz": File(
        plainly.kraken, "", 14636, {"systemStatus": 1, "subscriptionStatus": 10, "book": 14506, "heartbeat": 119},
        17056, False, 10, 0, crc_ok=14496, every=10),
    "KRAKEN_FUTURES.jsonl.zst": File(
        plainly.kraken_futures, "", 7175, {"info": 1, "subscribed": 30, "book": 7014, "trade": 3, "ticker_lite": 107,
                                           "book_snapshot": 10, "trade_snapshot": 10}, 7014, False, 10, 1003, 7014),
    "OKX.jsonl.zst": File(
        plainly.okx, "", 410, {"subscribe": 18, "tickers": 28, "trades": 74, "books": 290}, 8264, True, 3, 74,
        crc_ok=290),
}
"""KRAKEN_FUTURES: the README counts the replies to a subscription with their feed (book 7024, trade 13, ticker_lite
117); here they are the 30 of "subscribed"."""


class Case(NamedTuple):
    """One recording, read by both."""

    name: str
    file: File
    tape: Tape
    summary: FeedSummary
    plain: Plain


@pytest.fixture(scope="module", params=FILES)
def case(request: pytest.FixtureRequest, data_file: Callable[[str], Path],
         tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """A recording read by both."""
    file, path = FILES[request.param], data_file(f"ticks/cryptofeed/{request.param}")
    out = tmp_path_factory.mktemp("tapes") / "t.tape"
    summary = import_cryptofeed([path], out)
    plain = plainly.read(path, file.venue, file.market, file.every)
    with Tape.open(out) as tape:
        yield Case(request.param, file, tape, summary, plain)


def test_counts_are_the_readmes_and_the_plain_readers(case: Case) -> None:
    """Lost: an import whose summary says other than what the recording holds."""
    s, file, plain = case.summary, case.file, case.plain.counts
    assert (s.received_messages, s.channels) == (file.recv, file.channels)
    assert sum(s.channels.values()) == file.recv == plain["recv"]
    assert {name: plain[name] for name in file.channels} == file.channels
    assert s.level_updates + file.snapshots_in * s.snapshot_levels == file.levels
    assert (s.snapshots, s.trades) == (file.snapshots, file.trades)
    assert (s.level_updates, s.snapshots, s.snapshot_levels) == (
        plain["level_updates"], plain["snapshots"], plain["snapshot_levels"])
    assert s.trades == sum(len(found) for found in case.plain.trades.values())
    assert s.history_trades == sum(trade[4] for found in case.plain.trades.values() for trade in found)
    assert (s.synced, s.crossed_books) == (True, 0)


def test_chains_are_unbroken_and_checksums_right(case: Case) -> None:
    """Lost: a loss that is not seen or that there was not, or a book that the venue's own word proves wrong."""
    s, file, plain = case.summary, case.file, case.plain.counts
    assert s.sequence_gaps == 0
    assert plain["chain_broken"] == 0
    if file.chain is not None:
        assert plain["chain_ok"] == file.chain
    assert (s.checksums_right, s.checksums_wrong) == (file.crc_ok, 0)
    assert (plain["crc_ok"], plain["crc_bad"]) == (file.crc_ok, 0)
    assert (s.ticker_bbo_eq, s.ticker_bbo_ne) == file.bbo == (plain["ticker_bbo_eq"], plain["ticker_bbo_ne"])


def test_only_cryptocoms_books_step_back_in_time(case: Case) -> None:
    """Lost: venue times put in another order than the books', so that a replay's venue applies changes out of order."""
    found, plain = case.summary.venue_time_steps_back, case.plain.counts
    if case.name.startswith("CRYPTO_COM"):
        assert found == plain["behind_the_latest"] == 68    # behind the latest time so far
        assert plain["t_back"] == 66                        # behind the message before, as the README counts
    else:
        assert found == 0
    batches = case.tape.batches[np.isin(case.tape.batches["kind"], [KINDS["BOOK_LEVEL"], KINDS["SNAPSHOT_BEGIN"]])]
    timed = batches[batches["ts_exchange_ns"] > 0]
    for number in range(len(case.tape.instruments)):
        assert (np.diff(timed["ts_exchange_ns"][timed["instrument"] == number]) >= 0).all()


def named(tape: Tape) -> dict[str, int]:
    """Index of each instrument by the name that the plain reader gives it."""
    bybit = tape.instruments[0].venue == "bybit"
    return {x.called[2 if bybit else 1]: i for i, x in enumerate(tape.instruments)}


def test_every_book_is_the_plain_readers(case: Case) -> None:
    """Lost: a level at another price or quantity, at any time looked at; or one that should be gone, at the end."""
    index, looked = named(case.tape), 0
    assert set(case.plain.books) <= set(index)
    for name, tops in case.plain.tops.items():
        x, book, at = case.tape.instruments[index[name]], Book(synced=False), 0
        for now, bids, asks in tops:
            at = book.apply(case.tape.batches, case.tape.levels, case.tape.rows, instrument=index[name], start=at,
                            until=now)
            ours = [[(Decimal(x.price(t)), Decimal(x.quantity(q))) for t, q in book.levels(side, 5)] for side in (1, 2)]
            assert ours == [bids, asks], (name, now)
            looked += 1
        book.apply(case.tape.batches, case.tape.levels, case.tape.rows, instrument=index[name], start=at)
        for side, wanted in zip((1, 2), case.plain.books[name], strict=True):
            ours_now = {Decimal(x.price(t)): Decimal(x.quantity(q)) for t, q in book.levels(side)}
            assert ours_now == wanted, (name, side)
    assert looked == sum(len(tops) for tops in case.plain.tops.values()) > 10


def test_every_trade_is_the_plain_readers(case: Case) -> None:
    """Lost: a trade at another time, price or size, or told as of the other side; or history that passes for news."""
    index, events = named(case.tape), case.tape.events()
    assert set(case.plain.trades) <= set(index)
    trades = events[events["kind"] == KINDS["TRADE"]]
    assert len(trades) == case.file.trades
    history = FLAGS["SNAPSHOT"] | FLAGS["NOT_MARKET"]
    for name, wanted in case.plain.trades.items():
        x, mine = case.tape.instruments[index[name]], trades[trades["instrument"] == index[name]]
        ours = [(int(t["ts_exchange_ns"]), {1: "BUY", 2: "SELL"}[int(t["side"])],
                 Decimal(x.price(int(t["price_ticks"]))), Decimal(x.quantity(int(t["quantity_lots"]))),
                 int(t["flags"]) & history == history) for t in mine]
        assert ours == wanted, name


def test_the_tape_is_whole_and_named(case: Case) -> None:
    """Lost: a tape that fails its own verification, or instruments that cannot be told apart."""
    assert verify(case.tape).ok
    assert case.tape.content_hash == case.summary.content_hash
    assert case.summary.names == names(case.tape.instruments)
    assert len(set(case.summary.names)) == len(case.tape.instruments)
    if case.name.startswith("BYBIT"):
        assert set(case.summary.names) == {
            "bybit:BTCUSDT:spot", "bybit:ETHUSDT:spot", "bybit:BTCUSDT:linear", "bybit:ETHUSDT:linear",
            "bybit:SOLUSDT", "bybit:DOGEUSDT"}


@pytest.mark.parametrize("name", ["BINANCE.jsonl.zst", "BINANCE_20210405.raw.gz", "BINANCE_DELIVERY.jsonl.zst",
                                  "BINANCE_FUTURES.jsonl.zst"])
def test_binance_rows_are_those_of_the_compiled_reader(name: str, data_file: Callable[[str], Path],
                                                       tmp_path: Path) -> None:
    """Lost: Binance's rules written twice, and the two drift apart."""
    path = data_file(f"ticks/cryptofeed/{name}")
    import_cryptofeed([path], tmp_path / "all.tape")
    lines: dict[str, list[str]] = {}
    for message in plainly.messages(path):
        stamp = int(message.ts * 10**9)
        if message.kind == "recv":
            symbol = json.loads(message.data)["data"]["s"]
        elif "/depth" in message.url:
            symbol = message.url.split("symbol=")[1].split("&")[0]
        else:
            continue
        lines.setdefault(symbol, []).append(f"{stamp} {message.data}\n")
    market = {"binance-spot": "spot", "binance-usdm": "usdm", "binance-coinm": "cm"}
    compared = 0
    with Tape.open(tmp_path / "all.tape") as tape:
        every = tape.events()
        for number, x in enumerate(tape.instruments):
            (tmp_path / "one").write_text("".join(lines[x.symbol]))
            import_binance([tmp_path / "one"], tmp_path / "one.tape", market=market[x.venue], tick=[x.tick],
                           lot=[x.lot])
            with Tape.open(tmp_path / "one.tape") as one:
                theirs = one.events()
            ours = every[(every["instrument"] == number) & (every["kind"] != KINDS["TRADE"])].copy()
            ours["instrument"] = 0
            if x.venue == "binance-spot":       # here the venue's clock bounds a snapshot's time, there nothing does
                rest = (ours["kind"] == KINDS["SNAPSHOT_BEGIN"]) | (ours["flags"] & FLAGS["SNAPSHOT"] != 0)
                assert (rest == ((theirs["kind"] == KINDS["SNAPSHOT_BEGIN"])
                                 | (theirs["flags"] & FLAGS["SNAPSHOT"] != 0))).all()
                ours["ts_exchange_ns"][rest] = theirs["ts_exchange_ns"][rest]
                ours["flags"][rest] = theirs["flags"][rest]
            assert ours.tobytes() == theirs.tobytes(), x.symbol
            compared += len(ours)
    assert compared > 4000


def test_quotes_and_marks_are_the_venues(data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost: Bybit's tickers, whose deltas say only what changed, read as whole; or marks rounded without their rest."""
    path = data_file("ticks/cryptofeed/BYBIT.jsonl.zst")
    import_cryptofeed([path], tmp_path / "t.tape")
    state: dict[str, dict[str, str]] = {}
    wanted: dict[str, list[Any]] = {}
    for message in plainly.messages(path):
        data = json.loads(message.data) if message.kind == "recv" and message.conn.endswith(".2") else {}
        if not data.get("topic", "").startswith("tickers."):
            continue
        symbol = data["topic"].split(".")[1]
        now = state.setdefault(symbol, {})
        now.update(data["data"])
        if {"bid1Price", "bid1Size", "ask1Price", "ask1Size"} & set(data["data"]):
            wanted.setdefault(f"quote {symbol}", []).append(
                [now["bid1Price"], now["bid1Size"], now["ask1Price"], now["ask1Size"]])
        if {"markPrice", "indexPrice", "fundingRate", "nextFundingTime"} & set(data["data"]):
            wanted.setdefault(f"mark {symbol}", []).append(
                [now["markPrice"], now["fundingRate"], now["indexPrice"], now["nextFundingTime"]])
    with Tape.open(tmp_path / "t.tape") as tape:
        events = tape.events()
        for number, x in enumerate(tape.instruments):
            if x.kind == "spot":
                continue
            mine = events[events["instrument"] == number]
            quotes = mine[mine["kind"] == KINDS["QUOTE"]].reshape(-1, 2)
            ours = [[Decimal(v) for row in pair for v in (x.price(int(row["price_ticks"])),
                                                          x.quantity(int(row["quantity_lots"])))] for pair in quotes]
            assert ours == [[Decimal(v) for v in quote] for quote in wanted[f"quote {x.symbol}"]]
            assert (quotes["side"] == [SIDES["BUY"], SIDES["SELL"]]).all()
            marks = mine[mine["kind"] == KINDS["MARK"]].reshape(-1, 2)

            def exact(row: Any, tick: str = x.tick) -> Decimal:
                return int(row["price_ticks"]) * Decimal(tick) + int(row["quantity_lots"]) * Decimal("1e-8")

            found = [[exact(first), int(first["aux"]) * Decimal("1e-12"), exact(second), Decimal(int(second["aux"]))]
                     for first, second in marks]
            assert found == [[Decimal(m), Decimal(r), Decimal(i), Decimal(t) * 10**6]
                             for m, r, i, t in wanted[f"mark {x.symbol}"]]


def test_several_recordings_make_one_tape(data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost: one clock over several venues, or rows that depend on what else is on the tape."""
    paths = [data_file(f"ticks/cryptofeed/{name}") for name in ("OKX.jsonl.zst", "DERIBIT_20210405.raw.gz",
                                                                "BYBIT.jsonl.zst")]
    whole = import_cryptofeed(paths, tmp_path / "all.tape")
    alone = [import_cryptofeed([path], tmp_path / f"{i}.tape") for i, path in enumerate(paths)]
    for key in ("messages", "level_updates", "trades", "book_tickers", "snapshots", "checksums_right", "mark_prices"):
        assert getattr(whole, key) == sum(getattr(summary, key) for summary in alone), key
    total: Counter[str] = Counter()
    for summary in alone:
        total.update(summary.channels)
    assert whole.channels == dict(total)
    with Tape.open(tmp_path / "all.tape") as tape:
        assert (np.diff(tape.events()["ts_local_ns"]) >= 0).all()
        every = {x.called[2]: tape.events()[tape.events()["instrument"] == i] for i, x in enumerate(tape.instruments)}
    for i in range(len(paths)):
        with Tape.open(tmp_path / f"{i}.tape") as one:
            for number, x in enumerate(one.instruments):
                mine, theirs = one.events()[one.events()["instrument"] == number], every[x.called[2]].copy()
                theirs["instrument"] = number
                assert mine.tobytes() == theirs.tobytes(), x.symbol
