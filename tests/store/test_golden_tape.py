"""Tapes of every version of the format are read, and the page that describes it is true to the byte."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from apex._core.events import BATCH_DTYPE, EVENT_DTYPE, FLAGS, KINDS, LEVEL_DTYPE
from apex.store.layout import VERSION
from apex.store.tape import Tape, content_hash
from apex.store.verify import verify
from tests.store.markets import BOTH, LOCAL_ONLY, PAIR, START, joined, message, write

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "tape"
PAGE = (ROOT / "docs" / "tape-format.md").read_text(encoding="utf-8")


def rows() -> Any:
    """One message of each kind that market data have, both encodings, both orders, an empty book, a wide price."""
    return joined([
        message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], sequence=7, last=False),
        message("BOOK_LEVEL", START, [(1, 618000, 5, 0), (2, 618001, 6, 0)], sequence=7,
                flags=BOTH | FLAGS["SNAPSHOT"]),
        message("SNAPSHOT_BEGIN", START + 1, [(0, 0, 0, 0)], instrument=1),
        message("BOOK_LEVEL", START + 2, [(1, 617999, 0, 0), (2, 1 << 40, 9, 0)], sequence=8),
        message("TRADE", START + 3, [(1, 618001, 2, 0)], sequence=9, delay=2_000_000),
        message("TRADE", START + 3, [(2, 618000, 3, 0)], sequence=10, flags=BOTH | FLAGS["NOT_MARKET"]),
        message("QUOTE", START + 4, [(1, 300, 1, 0), (2, 301, 0, 0)], instrument=1, flags=LOCAL_ONLY),
        message("MARK", START + 5, [(0, 618000, 12, -100), (0, 618001, 7, START + 10**9)]),
        message("BOOK_CLEAR", START + 6, [(2, 618005, 0, 0)], flags=BOTH | FLAGS["CLEAR_TO"]),
        message("LINK_GAP", START + 7, [(0, 0, 0, 0)], sequence=11),
        message("LINK_DOWN", START + 8, [(0, 0, 0, 0)], instrument=1, flags=LOCAL_ONLY),
    ])


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_tapes_of_every_version_are_read(version: int) -> None:
    """Lost: recordings made with an older APEX. A new version needs a file: `write(path, rows(), seed=5)`."""
    with Tape.open(GOLDEN / f"version-{version}.bin") as tape:
        assert (tape.header["version"], tape.header["seed"], tape.instruments) == (version, 5, PAIR)
        assert tape.events().tobytes() == rows().tobytes()
        assert tape.content_hash == content_hash(tape)
        assert tape.content_hash == "6cded75097524986a8c2eab9cdd8d7c9955e563b069e655a91caa9a5b60e0e95"
        assert verify(tape).ok
        assert tape.venue_order is not None


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    """Lost: tapes whose bytes depend on the machine or the day, or a format that changed without a new version."""
    write(tmp_path / "t", rows(), seed=5)
    assert (tmp_path / "t").read_bytes() == (GOLDEN / f"version-{VERSION}.bin").read_bytes()


@pytest.mark.parametrize(("name", "dtype"), [("batches", BATCH_DTYPE), ("levels", LEVEL_DTYPE), ("rows", EVENT_DTYPE)])
def test_the_page_has_every_byte_of_a_struct(name: str, dtype: Any) -> None:
    """Lost: a page that a reader in another language follows into the wrong field."""
    section = PAGE.split(f"`{name}`, {dtype.itemsize} bytes", 1)[1]
    table = re.search(r"\| byte .*?\n\|[-|]+\n((?:\|.*\n)+)", section)
    assert table is not None
    found = [tuple(cell.strip() for cell in line.split("|")[1:4]) for line in table[1].splitlines()]
    assert dtype.fields is not None
    kinds = {"u": "u", "i": "i"}
    assert found == [(str(offset), field, f"{kinds[kind.kind]}{8 * kind.itemsize}") for field, (kind, offset, *_)
                     in sorted(dtype.fields.items(), key=lambda item: item[1][1])]


def test_the_page_has_every_kind_and_flag() -> None:
    """Lost: a code on a tape that no page explains."""
    pairs = dict(re.findall(r"\| ([A-Z_]{3,}) \| (\d+) ", PAGE.replace("|", " | ").replace("  ", " ")))
    assert {name: int(code) for name, code in pairs.items() if name in KINDS} == KINDS
    assert {name: 1 << int(bit) for name, bit in pairs.items() if name in FLAGS} == FLAGS
    assert set(pairs) == {*KINDS, *FLAGS}
