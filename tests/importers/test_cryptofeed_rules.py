"""The venues' rules on messages written by hand: losses, reconnects, forms that no recording here has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apex._core.events import FLAGS
from apex.domain.errors import ConfigError
from tests.importers.feeds import ADDRESSES, START, Feed, imported
from tests.oracles.cryptofeed import crc32

MS = START * 1000


def delta(symbol: str, first: int, last: int, before: int | None, bids: list[Any], asks: list[Any],
          at: int = 0) -> dict[str, Any]:
    """A depthUpdate of Binance: futures with `before`, spot without."""
    chain = {} if before is None else {"pu": before, "T": MS + at}
    return {"stream": f"{symbol.lower()}@depth@100ms", "data": {
        "e": "depthUpdate", "E": MS + at, "s": symbol, "U": first, "u": last, **chain, "b": bids, "a": asks}}


def test_binance_joins_kept_deltas_and_sees_a_loss(tmp_path: Path) -> None:
    """Lost: the deltas that came before the snapshot, or a book that goes on over a hole."""
    url = "https://api.binance.com/api/v3/depth?symbol=AB&limit=1000"
    feed = Feed("binance").got(
        delta("AB", 1, 5, None, [["1.0", "9"]], [], 1), delta("AB", 6, 8, None, [["1.1", "2"]], [], 2),
    ).rest(url, {"lastUpdateId": 6, "bids": [["1.0", "1"]], "asks": [["2.0", "1"]]})
    feed.got(delta("AB", 9, 9, None, [["1.0", "0"]], [], 3), delta("AB", 11, 12, None, [["1.0", "7"]], [], 4),
             delta("AB", 13, 13, None, [["1.2", "3"]], [], 5))
    feed.rest(url, {"lastUpdateId": 11, "bids": [["1.0", "4"]], "asks": [["2.0", "4"]]})
    feed.rest(url, {"lastUpdateId": 8, "bids": [["1.0", "5"]], "asks": [["2.0", "5"]]})
    found = imported(feed, tmp_path)
    assert found.rows() == [
        ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "1", "1"), ("BOOK_LEVEL", "S", "2", "1"),
        ("BOOK_LEVEL", "B", "1.1", "2"), ("BOOK_LEVEL", "B", "1", "0"), ("LINK_GAP", " ", "0", "0"),
        ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "1", "4"), ("BOOK_LEVEL", "S", "2", "4"),
        ("BOOK_LEVEL", "B", "1", "7"), ("BOOK_LEVEL", "B", "1.2", "3"),
    ]
    s = found.summary
    assert (s.sequence_gaps, s.level_updates, s.level_updates_applied, s.snapshots, s.synced) == (1, 5, 4, 3, True)
    assert found.flagged("LAST_IN_BATCH") == [2, 3, 4, 5, 8, 9, 10]
    times = [(int(t) // 10**6 - MS) for t in found.events["ts_exchange_ns"]]
    assert times == [2, 2, 2, 2, 3, 4, 4, 4, 4, 4, 5]       # a snapshot has the time of the delta it joins


def test_a_snapshot_of_a_quiet_book_takes_the_venues_clock(tmp_path: Path) -> None:
    """Lost: a venue time long after receipt, by which a replay would shift all local times."""
    url = "https://api.binance.com/api/v3/depth?symbol="
    feed = Feed("binance").got(delta("LIVE", 1, 1, None, [["5", "1"]], [], 40))
    feed.rest(f"{url}LIVE", {"lastUpdateId": 1, "bids": [["5", "1"]], "asks": []})
    feed.got(delta("LIVE", 2, 2, None, [["5", "2"]], [], 60))
    feed.rest(f"{url}QUIET", {"lastUpdateId": 7, "bids": [["3", "1"]], "asks": []})
    feed.got(delta("QUIET", 8, 8, None, [["3", "2"]], [], 19_000), delta("LIVE", 3, 3, None, [["5", "3"]], [], 19_001))
    found = imported(feed, tmp_path)
    quiet = found.events[found.events["instrument"] == 1]
    assert [(int(t) // 10**6 - MS) for t in quiet["ts_exchange_ns"]] == [60, 60, 19_000]


def test_binance_futures_chain_by_pu(tmp_path: Path) -> None:
    """Lost: the spot rule on futures, where ids are shared by all symbols."""
    url = "https://fapi.binance.com/fapi/v1/depth?symbol=AB&limit=1000"
    feed = Feed("usdm").rest(url, {"lastUpdateId": 50, "E": MS, "T": MS, "bids": [["1", "1"]], "asks": [["2", "1"]]})
    feed.got(delta("AB", 30, 40, 20, [["9", "9"]], []), delta("AB", 45, 60, 40, [["1", "2"]], []),
             delta("AB", 90, 99, 60, [["1", "3"]], []), delta("AB", 200, 210, 150, [["1", "4"]], []))
    trade = {"E": MS, "T": MS, "s": "AB", "p": "1", "q": "2", "m": True}
    feed.got({"data": {"e": "markPriceUpdate", "E": MS, "s": "AB", "p": "1.50000001", "i": "1.6", "P": "1",
                       "r": "-0.0001", "T": MS + 5}})
    feed.got({"data": {"e": "aggTrade", **trade, "a": 3}}, {"data": {"e": "trade", **trade, "t": 4, "X": "MARKET"}})
    found = imported(feed, tmp_path)
    assert found.rows("BOOK_LEVEL", "LINK_GAP", "TRADE") == [
        ("BOOK_LEVEL", "B", "1", "1"), ("BOOK_LEVEL", "S", "2", "1"), ("BOOK_LEVEL", "B", "1", "2"),
        ("BOOK_LEVEL", "B", "1", "3"), ("LINK_GAP", " ", "0", "0"), ("TRADE", "S", "1", "2")]
    mark, index = found.events[found.events["aux"] != 0]
    assert (int(mark["price_ticks"]), int(mark["quantity_lots"]), int(mark["aux"])) == (2, -49_999_999, -100_000_000)
    assert (int(index["price_ticks"]), int(index["quantity_lots"])) == (2, -40_000_000)
    assert int(index["aux"]) == (MS + 5) * 10**6
    assert (found.summary.synced, found.summary.ignored_messages, found.summary.channels["trade"]) == (False, 1, 1)


def bybit(kind: str, number: int, bids: list[Any], asks: list[Any], depth: int = 50) -> dict[str, Any]:
    return {"topic": f"orderbook.{depth}.AB", "type": kind, "ts": MS, "cts": MS,
            "data": {"s": "AB", "b": bids, "a": asks, "u": number, "seq": 1}}


def test_bybit_sees_a_loss_a_restart_and_a_second_depth(tmp_path: Path) -> None:
    """Lost: two depths of one symbol mixed in one book, or deltas after a loss."""
    feed = Feed("bybit").got(
        bybit("delta", 4, [["1", "1"]], []), bybit("snapshot", 5, [["1", "1"]], [["2", "1"]]),
        bybit("snapshot", 900, [["1", "8"]], [], 200), bybit("delta", 6, [["1", "2"]], []),
        bybit("delta", 8, [["1", "3"]], []), bybit("delta", 9, [["1", "4"]], []),
        bybit("delta", 1, [["1", "5"]], [["2", "5"]]), bybit("delta", 2, [], [["2", "0"]]))
    feed.got({"topic": "publicTrade.AB", "type": "snapshot", "ts": MS, "data": [
        {"T": MS, "s": "AB", "S": "Buy", "v": "1", "p": "2", "i": "x", "BT": True, "seq": 7}]})
    found = imported(feed, tmp_path)
    assert found.rows() == [
        ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "1", "1"), ("BOOK_LEVEL", "S", "2", "1"),
        ("BOOK_LEVEL", "B", "1", "2"), ("LINK_GAP", " ", "0", "0"),
        ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "1", "5"), ("BOOK_LEVEL", "S", "2", "5"),
        ("BOOK_LEVEL", "S", "2", "0"), ("TRADE", "B", "2", "1")]
    assert (found.summary.sequence_gaps, found.summary.synced, found.summary.ignored_messages) == (1, True, 1)
    assert found.flagged("NOT_MARKET") == [9]               # a block trade


def l2(number: int, kind: str, product: str, updates: list[tuple[str, str, str]], time: str = "2026-08-09T21:05:48.5Z",
       ) -> dict[str, Any]:
    return {"channel": "l2_data", "timestamp": "2026-08-09T21:05:49.123456789Z", "sequence_num": number, "events": [
        {"type": kind, "product_id": product, "updates": [
            {"side": side, "event_time": time, "price_level": price, "new_quantity": quantity}
            for side, price, quantity in updates]}]}


def test_coinbase_counts_all_messages_of_a_connection(tmp_path: Path) -> None:
    """Lost: a loss on another channel, which may have been a change of the book."""
    feed = Feed("coinbase").got(
        l2(0, "snapshot", "A-USD", [("bid", "1", "1"), ("offer", "2", "1")], "1970-01-01T00:00:00Z"),
        l2(1, "snapshot", "B-USD", [("bid", "5", "1")]),
        {"channel": "heartbeats", "timestamp": "2026-08-09T21:05:50Z", "sequence_num": 2, "events": []},
        l2(4, "update", "A-USD", [("bid", "1", "0")]), l2(5, "snapshot", "A-USD", [("bid", "1", "3")]),
        {"type": "error", "message": "x"})
    feed.connect(ADDRESSES["coinbase"]).got(l2(0, "snapshot", "B-USD", [("offer", "6", "1")]))
    found = imported(feed, tmp_path)
    assert [row[0] for row in found.rows(symbol="A-USD")] == [
        "SNAPSHOT_BEGIN", "BOOK_LEVEL", "BOOK_LEVEL", "LINK_GAP", "SNAPSHOT_BEGIN", "BOOK_LEVEL", "LINK_DOWN"]
    assert [row[0] for row in found.rows(symbol="B-USD")] == [
        "SNAPSHOT_BEGIN", "BOOK_LEVEL", "LINK_GAP", "SNAPSHOT_BEGIN", "BOOK_LEVEL"]
    assert (found.summary.sequence_gaps, found.summary.synced) == (2, False)
    assert (found.summary.ignored_messages, found.summary.channels["error"]) == (2, 1)
    assert int(found.events["ts_exchange_ns"][0]) == 1786309549123456789    # 1970 is no time: the message's own
    assert int(found.events["ts_exchange_ns"][3]) == 1786309548500000000    # else it is that of the levels


def checksum(asks: list[list[str]], bids: list[list[str]]) -> str:
    text = "".join(part.replace(".", "").lstrip("0") for level in asks + bids for part in level[:2])
    return str(crc32(text))


def test_kraken_cuts_to_the_depth_and_checks_every_update(tmp_path: Path) -> None:
    """Lost: levels beyond the depth that the venue no longer speaks of, or a wrong book that is traded on."""
    time = f"{START}.000100"
    asks = [["2.0", "1.0", time], ["3.0", "1.0", time]]
    feed = Feed("kraken").got(
        [1, {"as": asks, "bs": [["1.0", "1.0", time], ["0.9", "4.0", time]]}, "book-2", "A/B"],
        [1, {"a": [["1.5", "2.0", time]], "c": checksum(
            [["1.5", "2.0"], ["2.0", "1.0"]], [["1.0", "1.0"], ["0.9", "4.0"]])}, "book-2", "A/B"],
        [1, {"a": [["1.5", "0.0", time], ["3.0", "1.0", time, "r"]]}, {"b": [["1.0", "0.5", time]], "c": checksum(
            [["2.0", "1.0"], ["3.0", "1.0"]], [["1.0", "0.5"], ["0.9", "4.0"]])}, "book-2", "A/B"],
        [1, {"b": [["1.0", "0.7", time]], "c": "12345"}, "book-2", "A/B"],
        [1, {"b": [["1.0", "0.9", time]], "c": "12345"}, "book-2", "A/B"])
    feed.got([2, [["2.0", "0.3", time, "b", "m", ""], ["2.0", "0.4", time, "s", "l", ""]], "trade", "A/B"],
             [3, ["1.0", "2.0", time, "0.7", "1.0"], "spread", "A/B"],
             [4, {"a": ["2.0", 1, "1.0"], "b": ["1.0", 0, "0.7"], "c": ["2.0", "0.3"]}, "ticker", "A/B"],
             [5, ["1", "2"], "ohlc-1", "A/B"])
    found = imported(feed, tmp_path)
    assert found.rows("BOOK_LEVEL", "LINK_GAP") == [
        ("BOOK_LEVEL", "B", "1", "1"), ("BOOK_LEVEL", "B", "0.9", "4"), ("BOOK_LEVEL", "S", "2", "1"),
        ("BOOK_LEVEL", "S", "3", "1"), ("BOOK_LEVEL", "S", "1.5", "2"), ("BOOK_LEVEL", "S", "3", "0"),
        ("BOOK_LEVEL", "B", "1", "0.5"), ("BOOK_LEVEL", "S", "1.5", "0"), ("BOOK_LEVEL", "S", "3", "1"),
        ("BOOK_LEVEL", "B", "1", "0.7"), ("LINK_GAP", " ", "0", "0")]
    s = found.summary
    assert (s.checksums_right, s.checksums_wrong, s.sequence_gaps, s.synced) == (2, 1, 1, False)
    assert (s.level_updates, s.level_updates_applied) == (6, 5)             # as the venue sent them
    assert found.rows("TRADE", "QUOTE") == [
        ("TRADE", "B", "2", "0.3"), ("TRADE", "S", "2", "0.4"), ("QUOTE", "B", "1", "0.7"), ("QUOTE", "S", "2", "1"),
        ("QUOTE", "B", "1", "0.7"), ("QUOTE", "S", "2", "1")]
    assert s.channels == {"book": 5, "trade": 1, "spread": 1, "ticker": 1, "ohlc": 1}
    assert s.ignored_messages == 1


def okx(action: str, bids: list[Any], asks: list[Any], right: str | None = None, **more: Any) -> dict[str, Any]:
    check = {} if right is None else {"checksum": (crc32(right) + (1 << 31)) % (1 << 32) - (1 << 31)}
    return {"arg": {"channel": "books", "instId": "A-USD-SWAP"}, "action": action,
            "data": [{"bids": bids, "asks": asks, "ts": str(MS), **check, **more}]}


def test_okx_checks_and_follows_seqid_where_there_is_one(tmp_path: Path) -> None:
    """Lost: losses of newer recordings, whose messages have no checksum any more."""
    feed = Feed("okx").got(
        okx("snapshot", [["1", "1", "0", "1"]], [["2", "1", "0", "1"], ["3", "5", "0", "1"]], "1:1:2:1:3:5", seqId=10,
            prevSeqId=-1),
        okx("update", [["1", "0", "0", "0"]], [], "2:1:3:5", seqId=12, prevSeqId=10),
        okx("update", [["1", "4", "0", "1"]], [], None, seqId=13, prevSeqId=12),
        okx("update", [["1", "5", "0", "1"]], [], None, seqId=19, prevSeqId=17),
        okx("snapshot", [["1", "6", "0", "1"]], [], "1:6"), okx("update", [["1", "7", "0", "1"]], [], "wrong"),
        {"arg": {"channel": "funding-rate", "instId": "A-USD-SWAP"}, "data": [{}]})
    found = imported(feed, tmp_path)
    s = found.summary
    assert (s.checksums_right, s.checksums_wrong, s.sequence_gaps, s.ignored_messages) == (3, 1, 2, 1)
    assert [row[0] for row in found.rows()] == [
        "SNAPSHOT_BEGIN", "BOOK_LEVEL", "BOOK_LEVEL", "BOOK_LEVEL", "BOOK_LEVEL", "BOOK_LEVEL", "LINK_GAP",
        "SNAPSHOT_BEGIN", "BOOK_LEVEL", "BOOK_LEVEL", "LINK_GAP"]
    x = found.instruments[0]
    assert (x.kind, x.base, x.quote) == ("inverse", "A", "USD")


def test_cryptocom_version_1_chains_by_pu(tmp_path: Path) -> None:
    """Lost: version 1 of the venue, which sends deltas."""
    def book(channel: str, **data: Any) -> dict[str, Any]:
        return {"id": -1, "method": "subscribe", "code": 0, "result": {
            "instrument_name": "A_USD", "subscription": "book.A_USD.50", "channel": channel, "depth": 50,
            "data": [{"t": MS + 9, "tt": MS, **data}]}}

    def change(u: int, pu: int, *bids: Any) -> dict[str, Any]:
        return book("book.update", update={"bids": list(bids), "asks": []}, u=u, pu=pu)

    feed = Feed("cryptocom").got(
        book("book", bids=[["1.5", "2", "1"], ["1.4", "2", "1"]], asks=[["1.6", "2", "1"]], u=10),
        change(11, 10, ["1.5", "3", "1"], ["1.4", "0", "0"]), change(12, 11), change(20, 13, ["1.5", "4", "1"]),
        book("book", bids=[["1.5", "5", "1"]], asks=[], u=21), change(22, 21, ["1.3", "1", "1"]),
        book("book", bids=[["1.3", "1", "1"], ["1.2", "1", "1"]], asks=[], u=23))
    trade = {"dataTime": 0, "d": "9", "s": "BUY", "p": "1.6", "q": "1", "t": MS, "i": "A_USD"}
    tick = {"b": "1.5", "bs": "3", "k": "1.6", "ks": "2", "t": MS}
    later = [{**trade, "d": "11"}, {**trade, "d": "10"}]
    for channel, data in (("trade", [trade]), ("trade", later), ("ticker", [tick])):
        feed.got({"method": "subscribe", "result": {"instrument_name": "A_USD", "channel": channel, "data": data}})
    found = imported(feed, tmp_path)
    assert found.rows("SNAPSHOT_BEGIN", "BOOK_LEVEL", "LINK_GAP") == [
        ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "1.5", "2"), ("BOOK_LEVEL", "B", "1.4", "2"),
        ("BOOK_LEVEL", "S", "1.6", "2"), ("BOOK_LEVEL", "B", "1.5", "3"), ("BOOK_LEVEL", "B", "1.4", "0"),
        ("LINK_GAP", " ", "0", "0"), ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "1.5", "5"),
        ("BOOK_LEVEL", "B", "1.3", "1"), ("BOOK_LEVEL", "B", "1.5", "0"), ("BOOK_LEVEL", "B", "1.2", "1")]
    trades = found.events[[kind == "TRADE" for kind in found.kinds()]]
    assert trades["sequence"].tolist() == [9, 10, 11]
    history = FLAGS["SNAPSHOT"] | FLAGS["NOT_MARKET"]
    assert [int(flags) & history == history for flags in trades["flags"]] == [True, False, False]
    assert found.rows("QUOTE") == [("QUOTE", "B", "1.5", "3"), ("QUOTE", "S", "1.6", "2")]
    assert found.summary.sequence_gaps == 1


def push(channel: str, data: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}


def test_deribits_loss_grouped_book_trades_and_empty_sides(tmp_path: Path) -> None:
    """Lost: channels of Deribit that the recordings do not have."""
    def book(kind: str, change: int, before: int | None, bids: list[Any]) -> dict[str, Any]:
        return push("book.BTC-PERPETUAL.raw", {"type": kind, "timestamp": MS, "instrument_name": "BTC-PERPETUAL",
                                               "change_id": change, "prev_change_id": before, "bids": bids, "asks": []})

    grouped = {"timestamp": MS, "instrument_name": "ETH-PERPETUAL", "change_id": 5, "bids": [[10.5, 3.0]], "asks": []}
    trade = {"trade_seq": 30, "trade_id": "x", "timestamp": MS, "price": 64000.5, "amount": 10.0, "direction": "sell",
             "instrument_name": "BTC-PERPETUAL", "tick_direction": 0}
    ticker = {"timestamp": MS, "instrument_name": "BTC-PERPETUAL", "best_bid_price": 0.0, "best_bid_amount": 0.0,
              "best_ask_price": 64001, "best_ask_amount": 20.0, "mark_price": 64000.75, "index_price": 63999.5,
              "current_funding": 1.5e-06}
    feed = Feed("deribit").got(
        book("snapshot", 1, None, [["new", 64000.0, 10.0]]), book("change", 3, 1, [["change", 64000.0, 20.0]]),
        book("change", 9, 7, [["delete", 64000.0, 0.0]]), book("snapshot", 10, None, []),
        push("book.ETH-PERPETUAL.none.10.100ms", grouped),
        push("book.ETH-PERPETUAL.none.10.100ms", {**grouped, "change_id": 6, "bids": [[11.0, 4.0]]}),
        push("trades.BTC-PERPETUAL.raw", [trade, {**trade, "trade_seq": 31, "liquidation": "M"}]),
        push("ticker.BTC-PERPETUAL.raw", ticker), {"method": "heartbeat", "params": {"type": "heartbeat"}},
        push("deribit_price_index.btc_usd", {"price": 1}))
    found = imported(feed, tmp_path)
    assert found.rows(symbol="BTC-PERPETUAL") == [
        ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "64000", "10"), ("BOOK_LEVEL", "B", "64000", "20"),
        ("LINK_GAP", " ", "0", "0"), ("SNAPSHOT_BEGIN", " ", "0", "0"), ("TRADE", "S", "64000.5", "10"),
        ("TRADE", "S", "64000.5", "10"), ("QUOTE", "S", "64001", "20"), ("MARK", " ", "64001", "-250000000"),
        ("MARK", " ", "63999.5", "0")]
    assert found.rows(symbol="ETH-PERPETUAL") == [
        ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "10.5", "3"), ("BOOK_LEVEL", "B", "10.5", "0"),
        ("BOOK_LEVEL", "B", "11", "4")]
    assert len(found.flagged("NOT_MARKET")) == 1                            # the liquidation
    assert int(found.events["aux"].max()) == 1_500_000                      # 1.5e-06 in 1e-12
    assert (found.summary.sequence_gaps, found.summary.ignored_messages) == (1, 2)
    assert [x.kind for x in found.instruments] == ["inverse", "inverse"]


def test_kraken_futures_loss_and_liquidation(tmp_path: Path) -> None:
    """Lost: a break of seq, or a liquidation that fills orders."""
    def level(seq: int, price: float, quantity: float) -> dict[str, Any]:
        return {"feed": "book", "product_id": "PI_XBTUSD", "side": "buy", "seq": seq, "price": price, "qty": quantity,
                "timestamp": MS}

    trade = {"feed": "trade", "product_id": "PI_XBTUSD", "uid": "x", "side": "sell", "type": "liquidation", "seq": 3,
             "time": MS, "qty": 7.0, "price": 100.5}
    feed = Feed("kraken futures").got(
        {"feed": "book_snapshot", "product_id": "PI_XBTUSD", "timestamp": MS, "seq": 5, "tickSize": None,
         "bids": [{"price": 100.0, "qty": 10.0}], "asks": []},
        level(6, 100.0, 0.0), level(8, 100.0, 5.0), level(9, 100.0, 6.0), trade,
        {"feed": "ticker", "time": MS, "product_id": "PI_XBTUSD", "bid": 100.0, "bid_size": 3.0, "ask": 101.0,
         "ask_size": 4.0, "funding_rate": 0.0}, {"feed": "heartbeat", "time": MS})
    found = imported(feed, tmp_path)
    assert found.kinds() == ["SNAPSHOT_BEGIN", "BOOK_LEVEL", "BOOK_LEVEL", "LINK_GAP", "TRADE", "QUOTE", "QUOTE"]
    assert found.flagged("NOT_MARKET") == [4]
    assert (found.summary.sequence_gaps, found.summary.ignored_messages, found.instruments[0].kind) == (1, 1, "inverse")


def test_a_snapshot_of_coinbase_pro_takes_the_first_deltas_time(tmp_path: Path) -> None:
    """Lost: a book that the venue's side of a replay never gets, since its snapshot has no time."""
    feed = Feed("pro").got(
        {"type": "snapshot", "product_id": "A-USD", "bids": [["1", "1"]], "asks": [["2", "1"]]},
        {"type": "snapshot", "product_id": "B-USD", "bids": [["1", "1"]], "asks": []},
        {"type": "l2update", "product_id": "A-USD", "changes": [["buy", "1", "0.00000000"], ["sell", "2", "3"]],
         "time": "2026-08-09T21:13:20.5Z"}, {"type": "subscriptions", "channels": []})
    found = imported(feed, tmp_path)
    a, b = (found.events[found.events["instrument"] == i] for i in (0, 1))
    assert set(a["ts_exchange_ns"].tolist()) == {1786310000500000000}
    assert set(b["ts_exchange_ns"].tolist()) == {0}                         # nothing ever told the time
    changes = found.rows("BOOK_LEVEL", symbol="A-USD")[2:]
    assert changes == [("BOOK_LEVEL", "B", "1", "0"), ("BOOK_LEVEL", "S", "2", "3")]


def test_steps_of_the_venue_and_of_the_command_line(tmp_path: Path) -> None:
    """Lost: a grid coarser than the venue's, on which no order could be placed; or --tick of one symbol for all."""
    def feed() -> Feed:
        made = Feed("bybit").rest("https://api.bybit.com/v5/market/instruments-info?&category=linear", {"result": {
            "list": [{"symbol": "AB", "baseCoin": "A", "quoteCoin": "B", "priceFilter": {"tickSize": "0.05"},
                      "lotSizeFilter": {"qtyStep": "0.01"}}]}})
        made.got(bybit("snapshot", 5, [["1", "1"]], [["2", "1"]]))
        other = bybit("snapshot", 5, [["10", "3"]], [["20", "3"]])
        other["data"]["s"] = "CD"
        return made.got(other)

    found = imported(feed(), tmp_path)
    assert [(x.symbol, x.tick, x.lot, x.base, x.quote) for x in found.instruments] == [
        ("AB", "0.05", "0.01", "A", "B"), ("CD", "10", "3", "", "")]
    found = imported(feed(), tmp_path, tick=["CD=2.5", "0.5"], lot=["bybit:CD=0.5", "bybit:AB:linear=0.25"])
    assert [(x.symbol, x.tick, x.lot) for x in found.instruments] == [("AB", "0.5", "0.25"), ("CD", "2.5", "0.5")]
    with pytest.raises(ConfigError, match="--lot of XY"):
        imported(feed(), tmp_path, lot=["XY=1"])


@pytest.mark.parametrize("late", ["price", "quantity", "instrument"])
def test_a_sample_that_was_too_small_is_not_the_end(tmp_path: Path, late: str) -> None:
    """Lost: a long recording whose later messages do not fit what its first ones taught."""
    feed = Feed("bybit").got(bybit("snapshot", 1, [["1", "1"]], [["2", "1"]]))
    text = [bybit("delta", number, [["1", str(1 + number % 3)]], []) for number in range(2, 5000)]
    feed.got(*text)
    last = bybit("delta", 5000, [["1.25" if late == "price" else "1", "0.125" if late == "quantity" else "1"]], [])
    if late == "instrument":
        last = bybit("snapshot", 1, [["1", "1"]], [])
        last["data"]["s"] = "CD"
    found = imported(feed.got(last), tmp_path)
    grid = {"price": [("AB", "0.25", "1")], "quantity": [("AB", "1", "0.125")],
            "instrument": [("AB", "1", "1"), ("CD", "1", "1")]}
    assert [(x.symbol, x.tick, x.lot) for x in found.instruments] == grid[late]
    assert found.summary.channels == {"orderbook.50": 5000}
    assert found.summary.level_updates == (4998 if late == "instrument" else 4999)
