"""Makes the golden tapes of the current format version: python -m tests.golden.make_tapes

Their rows are written out by hand, one message of every kind, so that they never depend on a generator. A golden tape
is made once for each version and kept, one more where kinds come to a version later; this makes none that is there.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, pack
from apex.domain.instrument import Instrument
from apex.store.bbo import touches
from apex.store.layout import VERSION
from apex.store.tape import Tape, TapeWriter

FOLDER = Path(__file__).parent / "tapes"
INSTRUMENTS = [
    Instrument("BTCUSDT", "binance-usdm", "0.10", "0.001", base="BTC", quote="USDT"),
    Instrument("BTCUSD_PERP", "binance-coinm", "0.1", "1", kind="inverse", multiplier="100", base="BTC", quote="USD"),
    Instrument("EURUSD", "somewhere", "0.00001", "1000", kind="spot"),
]
START = 1_723_161_255_000_000_000
HERE, THERE, LAST = FLAGS["AT_LOCAL"], FLAGS["AT_VENUE"], FLAGS["LAST_IN_BATCH"]
UNTIMED = HERE | FLAGS["NO_VENUE_TIME"]
BOTH = HERE | THERE
WIDE = 2**31 + 5

MESSAGES: list[tuple[str, int, int, int, int, int, list[tuple[int, int, int, int]]]] = [
    # kind, local time after START, venue time after START (0: none), sequence, instrument, flags, rows of
    # (side, price, quantity, aux)
    ("LINK_UP", 0, 0, 0, 0, UNTIMED | LAST, [(0, 0, 0, 0)]),
    ("SNAPSHOT_BEGIN", 10, 1200, 100, 0, BOTH, [(0, 0, 0, 0)]),
    ("BOOK_LEVEL", 10, 1200, 100, 0, BOTH | FLAGS["SNAPSHOT"] | LAST,
     [(1, 618_002, 2507, 0), (1, 618_001, 10, 0), (2, 618_003, 2510, 0), (2, 618_009, 1, 0)]),
    ("BOOK_LEVEL", 20, 1100, 105, 0, BOTH | LAST, [(1, 618_002, 0, 0), (2, 618_003, 7, 0)]),
    ("TRADE", 20, 1300, 2**63, 0, BOTH | LAST, [(2, 618_001, 3, 0)]),
    ("TRADE", 21, 1250, 501, 0, BOTH | FLAGS["NOT_MARKET"] | LAST, [(1, 630_000, 9, 0)]),
    ("QUOTE", 30, 0, 106, 0, UNTIMED | LAST, [(1, 618_001, 10, 0), (2, 618_003, 7, 0)]),
    ("MARK", 40, 1400, 0, 0, BOTH | LAST, [(0, 618_000, 12_345_678, -27_540_000), (0, 618_010, -1, START)]),
    ("BAR", 50, 1500, 0, 0, BOTH | LAST,
     [(0, 618_000, 618_100, 617_900), (0, 618_050, 77, 12), (0, 5, 40, 60_000_000_000)]),
    ("SNAPSHOT_BEGIN", 5, 1000, 9, 1, BOTH, [(0, 0, 0, 0)]),
    ("BOOK_LEVEL", 5, 1000, 9, 1, BOTH | FLAGS["SNAPSHOT"] | LAST, [(1, WIDE, 4, 0), (2, WIDE + 1, 2**40, 0)]),
    ("LINK_GAP", 60, 1600, 120, 0, BOTH | LAST, [(0, 0, 0, 0)]),
    ("BOOK_CLEAR", 61, 1610, 121, 0, BOTH | FLAGS["CLEAR_TO"] | LAST, [(1, 618_001, 0, 0)]),
    ("BOOK_LEVEL", 62, 1605, 0, 2, THERE | LAST, [(1, -5, 3, 0)]),
    ("BOOK_LEVEL", 63, 1605, 0, 2, HERE | LAST, [(1, -5, 3, 0)]),
    ("ACK", 70, 1700, 0, 0, BOTH | LAST, [(1, 618_000, 5, 0)]),
    ("REJECT", 71, 1701, 0, 0, BOTH | LAST, [(1, 618_000, 5, 3)]),
    ("FILL", 72, 1702, 777, 0, BOTH | FLAGS["MAKER"], [(1, 618_000, 2, 2)]),
    ("FEE", 72, 1702, 777, 0, BOTH | LAST, [(0, 0, 0, -123_600)]),
    ("CANCELED", 73, 1703, 0, 0, BOTH | LAST, [(1, 618_000, 3, 0)]),
    ("EXPIRED", 74, 1704, 0, 0, BOTH | LAST, [(2, 618_000, 3, 7)]),
    ("ERROR", 75, 0, 0, 0, UNTIMED | LAST, [(0, 0, 0, 42)]),
    ("CLOCK", 76, 0, 0, 0, UNTIMED | LAST, [(0, 0, 0, 1_000_000)]),
    ("TIMER", 77, 0, 0, 0, UNTIMED | LAST, [(0, 0, 0, 1)]),
    ("COMMAND", 78, 0, 0, 0, UNTIMED | LAST, [(0, 0, 0, 2)]),
    ("SCORE", 79, 0, 0, 0, UNTIMED | LAST, [(0, 0, 0, 4_602_678_819_172_646_912)]),
    ("CONTROLS", 80, 0, 0, 0, UNTIMED | LAST, [(0, 0, 0, 3)]),
    ("LINK_DOWN", 90, 0, 0, 0, UNTIMED | LAST, [(0, 0, 0, 0)]),
]
ORDERS: list[tuple[str, int, int, int, int, int, list[tuple[int, int, int, int]]]] = [
    # the same, with the order's id in the place of aux
    ("SNAPSHOT_BEGIN", 0, 100, 1, 0, BOTH, [(0, 0, 0, 0)]),
    ("ORDER_ADD", 0, 100, 1, 0, BOTH | FLAGS["SNAPSHOT"] | LAST, [(1, 618_002, 5, 7), (2, 618_004, 6, 2**63 - 1)]),
    ("ORDER_ADD", 1, 110, 2, 0, BOTH | FLAGS["SNAPSHOT"] | LAST, [(1, 618_001, 4, 8)]),
    ("ORDER_ADD", 2, 120, 3, 0, BOTH | LAST, [(1, 618_002, 9, 9)]),
    ("ORDER_EXECUTE", 3, 130, 4, 0, BOTH | LAST, [(1, 618_002, 2, 7)]),
    ("TRADE", 4, 140, 5, 0, BOTH, [(2, 618_002, 3, 0)]),
    ("ORDER_EXECUTE", 4, 140, 5, 0, BOTH | FLAGS["KEEPS_BOOK"] | LAST, [(1, 618_002, 3, 7)]),
    ("ORDER_DELETE", 5, 150, 6, 0, BOTH | LAST, [(1, 618_002, 3, 7), (1, 618_001, 0, 8)]),
    ("ORDER_MODIFY", 6, 145, 7, 0, BOTH | LAST, [(1, 618_003, 4, 9)]),
    ("ORDER_EXECUTE", 7, 160, 8, 0, BOTH | FLAGS["NOT_MARKET"] | LAST, [(2, 618_004, 1, 2**63 - 1)]),
]
VENUE: list[tuple[str, int, int, int, int, int, list[tuple[int, int, int, int]]]] = [
    ("HALT", 0, 100, 1, 0, BOTH | LAST, [(0, 0, 0, 1)]),
    ("HALT", 1, 90, 2, 0, BOTH | LAST, [(0, 0, 0, 0)]),
    ("TRIGGERED", 2, 300, 0, 0, HERE | LAST, [(2, 618_000, 5, 617_999)]),
    ("FUNDING", 3, 400, 2**64 - 7, 0, HERE | LAST, [(0, 618_000, -5, 100_000_000)]),
    ("LIQUIDATION", 4, 500, 0, 0, HERE | LAST, [(2, 0, 5, 5_000_000_000)]),
]
TAPES = {"": MESSAGES, "-orders": ORDERS, "-venue": VENUE}
"""What a golden tape is called besides its version, and its messages."""


def rows(which: str = "") -> NDArray[Any]:
    """The messages of a golden tape as canonical rows."""
    made = []
    for kind, local, venue, sequence, instrument, flags, entries in TAPES[which]:
        for number, (side, price, quantity, aux) in enumerate(entries, 1):
            row = np.zeros((), EVENT_DTYPE)
            row["ts_local_ns"], row["ts_exchange_ns"] = START + local, START + venue if venue else 0
            row["sequence"], row["instrument"], row["kind"] = sequence, instrument, KINDS[kind]
            row["side"], row["price_ticks"], row["quantity_lots"], row["aux"] = side, price, quantity, aux
            row["flags"] = flags if number == len(entries) else flags & ~LAST
            row["order_id"] = 2**54 + 1 if kind in ("ACK", "REJECT", "FILL", "CANCELED", "EXPIRED", "TRIGGERED") else 0
            if kind.startswith("ORDER_"):
                row["order_id"], row["aux"] = aux, 0
            made.append(row)
    return np.array(made, EVENT_DTYPE)


def write(path: Path, which: str = "") -> None:
    """The tape, as the current writer writes it."""
    with TapeWriter(path, INSTRUMENTS, source="golden", seed=7) as tape:
        tape.append(*pack(rows(which)))


def _make(path: Path, which: str) -> None:
    """The tape, its rows as CSV, and what else a reader must find."""
    write(path, which)
    with Tape.open(path) as tape:
        with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(EVENT_DTYPE.names or ())
            table.writerows(tape.events().tolist())
        final = [list(touches(tape, i, [START + 1000])[0]) for i in range(len(INSTRUMENTS))]
        found = {"content_hash": tape.content_hash, "touches": final,
                 "header": {k: v for k, v in tape.header.items() if k not in ("sections", "content_hash")}}
        path.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Make what is missing."""
    missing = {FOLDER / f"v{VERSION}{which}.tape": which for which in TAPES}
    missing = {path: which for path, which in missing.items() if not path.exists()}
    for path, which in missing.items():
        _make(path, which)
    if not missing:
        sys.stderr.write(f"all of version {VERSION} are there: a golden tape is made once for each version\n")
    return 0 if missing else 1


if __name__ == "__main__":
    raise SystemExit(main())
