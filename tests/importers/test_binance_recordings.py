"""Every Binance chain of the recordings, imported, against a plain reader: all rows, all counts, and the venue's word.

At each depth event whose `u` is that of a bookTicker the book's best levels must be that bookTicker's.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from apex._core.book import Book
from apex._core.events import EVENT_DTYPE, FLAGS, KINDS
from apex.importers.binance import import_binance
from apex.importers.common import ImportSummary
from apex.store.bbo import touches
from apex.store.tape import Tape
from apex.store.verify import verify
from tests.oracles.binance import FIELDS, Reader

pytestmark = pytest.mark.recordings


class Chain(NamedTuple):
    """Files that go on in each other, and what the README of the recordings says of them."""

    market: str
    tick: str
    lot: str
    files: tuple[str, ...]
    depth_events: int
    applied: int
    checks: int
    checks_anywhere: int
    final: tuple[str, str, str, str] | None
    levels: tuple[int, int]


CHAINS = {
    "usdm_btc_2024_08": Chain("usdm", "0.1", "0.001", ("usdm_btcusdt_20240808.gz",), 6547, 443262, 503, 629,
                              ("61659.7", "1.486", "61659.8", "0.981"), (5018, 4578)),
    "spot_btc_2024_08": Chain("spot", "0.01", "0.000001", ("spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"),
                              6493, 298094, 1072, 1072, ("61602.01", "1.67177", "61602.02", "2.66795"), (1971, 2962)),
    "cm_btc_2024_08": Chain("cm", "0.1", "1", ("cm_btcusd_perp_20240808.gz", "cm_btcusd_perp_20240809.gz"),
                            44772, 659405, 1885, 1885, ("61600", "27", "61600.1", "1647"), (1510, 1733)),
    "usdm_btc_2024_07": Chain("usdm", "0.1", "0.001", ("usdm_btcusdt_20240718.gz", "usdm_btcusdt_20240719.gz"),
                              9017, 400668, 519, 625, ("63867.4", "0.002", "63867.5", "5.045"), (5276, 5156)),
    "usdm_eth_2024_07": Chain("usdm", "0.01", "0.001", ("usdm_ethusdt_20240718.gz", "usdm_ethusdt_20240719.gz"),
                              8924, 354944, 744, 834, ("3418.62", "0.007", "3418.63", "12.271"), (4685, 4357)),
    "usdm_btc_2023_04": Chain("usdm", "0.1", "0.001", ("usdm_btcusdt_20230404.dat.gz", "usdm_btcusdt_20230405.dat.gz"),
                              16110, 322682, 1565, 1565, ("28140.1", "8.251", "28140.2", "7.212"), (5393, 3847)),
    "spot_btc_2023_04": Chain("spot", "0.01", "0.000001", ("spot_btcusdt_20230405.dat.gz",), 0, 0, 0, 0, None, (0, 0)),
}


class Case(NamedTuple):
    """One chain: our tape and summary, and the plain reader's result."""

    chain: Chain
    name: str
    tape: Tape
    summary: ImportSummary
    plain: Reader


def lines(paths: list[Path]) -> Iterator[bytes]:
    """All lines of gzip files."""
    for path in paths:
        with gzip.open(path) as stream:
            yield from stream


@pytest.fixture(scope="module", params=CHAINS)
def case(request: pytest.FixtureRequest, data_file: Callable[[str], Path],
         tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """A chain read by both."""
    chain = CHAINS[request.param]
    paths = [data_file(f"ticks/binance/{name}") for name in chain.files]
    out = tmp_path_factory.mktemp("tapes") / f"{request.param}.tape"
    summary = import_binance(paths[::-1], out)
    plain = Reader(chain.market, chain.tick, chain.lot).read(lines(paths))
    with Tape.open(out) as tape:
        yield Case(chain, request.param, tape, summary, plain)


def rows_of(plain: Reader) -> NDArray[Any]:
    """The plain reader's rows as an array of events."""
    bits = {flags: sum(FLAGS[f] for f in flags) for flags in {row[6] for row in plain.rows}}
    made = np.zeros(len(plain.rows), EVENT_DTYPE)
    for name, column in zip(FIELDS, zip(*plain.rows, strict=True), strict=True):
        if name == "flags":
            made[name] = [bits[flags] for flags in column]
        elif name == "kind":
            made[name] = [KINDS[kind] for kind in column]
        else:
            made[name] = column
    return made


def test_every_row_is_the_plain_readers(case: Case) -> None:
    """Lost: a price, time, side or flag that the compiled decoder reads otherwise than json and Decimal do."""
    ours, theirs = case.tape.events(), rows_of(case.plain)
    assert len(ours) == len(theirs)
    for name in EVENT_DTYPE.names or ():
        bad = np.flatnonzero(ours[name] != theirs[name])
        assert not len(bad), (name, int(bad[0]), ours[bad[0]], theirs[bad[0]])


def test_counts_are_the_plain_readers_and_the_readmes(case: Case) -> None:
    """Lost: an import whose summary says other than what it did."""
    found = {name: getattr(case.summary, name) for name in case.plain.counts}
    assert found == case.plain.counts
    assert (found["level_updates_applied"], found["crossed_books"]) == (case.chain.applied, 0)
    assert found["sequence_gaps"] == 0
    assert len(case.plain.tops) == case.chain.depth_events
    assert case.summary.synced == case.plain.synced == (case.chain.final is not None)
    assert case.summary.slow_path_messages == (1 if case.name == "usdm_btc_2023_04" else 0)


def test_grid_is_the_gcd(case: Case) -> None:
    """Lost: a tick or lot that is not the venue's, so that every price on the tape means another."""
    grid = case.summary.instruments[0]
    assert (grid["tick"], grid["lot"]) == (case.chain.tick, case.chain.lot)
    assert (case.plain.prices.common(), case.plain.quantities.common()) == (Decimal(grid["tick"]), Decimal(grid["lot"]))


def test_best_levels_are_the_venues_own(case: Case) -> None:
    """Lost: the proof, by the venue's own word, that the book is right wherever it can be checked."""
    tape, quotes = case.tape, case.plain.quotes
    depth = (tape.batches["kind"] == KINDS["BOOK_LEVEL"]) & ((tape.batches["flags"] & FLAGS["SNAPSHOT"]) == 0)
    at = np.flatnonzero(depth & np.isin(tape.batches["sequence"], np.array(list(quotes), np.uint64)))
    book, start = Book(synced=False), 0
    ours: dict[int, tuple[int | None, ...]] = {}
    for stop in at.tolist():
        book.apply(tape.batches[:stop + 1], tape.levels, tape.rows, start=start)
        bid, ask = book.bid_ticks, book.ask_ticks
        ours[int(tape.batches["sequence"][stop])] = (bid, None if bid is None else book.quantity(1, bid),
                                                     ask, None if ask is None else book.quantity(2, ask))
        start = stop + 1
    unequal = {u: (top, quotes[u]) for u, top in ours.items() if top != quotes[u]}
    assert not unequal
    assert ours == {u: top for u, top, _ in case.plain.tops if u in quotes}
    early = sum(early for u, _, early in case.plain.tops)
    assert (len(ours), early) == (case.chain.checks_anywhere, case.chain.checks)


def test_the_tape_ends_and_verifies_as_it_must(case: Case) -> None:
    """Lost: other final levels than the README's, or a tape that does not pass its own verification."""
    touch = touches(case.tape, 0, [int(case.tape.header["last_ts"])])[0]
    x = case.tape.instruments[0]
    assert (touch.bid_levels, touch.ask_levels) == case.chain.levels
    assert (len(case.plain.bids.levels), len(case.plain.asks.levels)) == case.chain.levels
    if case.chain.final is None:
        assert (touch.bid_ticks, touch.ask_ticks, touch.synced) == (None, None, False)
    else:
        assert touch.bid_ticks is not None
        assert touch.ask_ticks is not None
        found = (x.price(touch.bid_ticks), x.quantity(touch.bid_lots or 0),
                 x.price(touch.ask_ticks), x.quantity(touch.ask_lots or 0))
        assert (found, touch.synced) == (case.chain.final, True)
    assert verify(case.tape).ok
    assert case.tape.content_hash == case.summary.content_hash


def test_all_chains_together_are_the_figures_of_the_readme() -> None:
    """Lost: a chain that falls out of the list above, and its checks with it."""
    assert sum(c.checks for c in CHAINS.values()) == 6288
    assert sum(c.checks_anywhere for c in CHAINS.values()) == 6610
