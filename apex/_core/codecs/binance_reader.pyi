from collections.abc import Callable
from typing import Any, Final

from numpy.typing import NDArray

from apex._core.codecs.binance import BinanceCodec

ERRORS: Final[dict[int, tuple[str, str]]]
"""Short name and words of each error a line can have."""

class RecordingError(ValueError):
    """A line that cannot be read; `code` is a short name, `line` counts from 1."""

    code: str
    line: int
    def __init__(self, code: str, text: str, line: int) -> None: ...

class BinanceReader:
    """Turns the lines of one chain of recordings into batches, levels and rows, by the venue's book rules."""

    codec: BinanceCodec
    synced: bool
    line: int
    messages: int
    level_updates: int
    level_updates_applied: int
    trades: int
    book_tickers: int
    mark_prices: int
    snapshots: int
    sequence_gaps: int
    crossed_books: int
    slow_path: int
    ignored: int
    last_local_ns: int
    def __init__(self, codec: BinanceCodec) -> None: ...
    def begin_file(self) -> None:
        """Count lines from 1 again; everything else goes on."""
    def feed(self, data: bytes | bytearray | memoryview, slow: Callable[[bytes], bytes | None],
             final: bool = False) -> int:
        """Read the whole lines of `data`; the count of bytes used. RecordingError on a line that cannot be read."""
    def take(self, final: bool = False) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Batches, levels and rows since the last call, with `first` counted from 0."""

def scan_steps(
    codec: BinanceCodec, data: bytes | bytearray | memoryview, price_step: int, lot_step: int, final: bool = False
) -> tuple[int, int, int, list[bytes]]:
    """The gcd of prices and of quantities in 1e-8, the bytes used, and the frames for the slow path."""
