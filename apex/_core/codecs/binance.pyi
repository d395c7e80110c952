from typing import Any, Final

from numpy.typing import NDArray

from apex._core.codecs.base import Codec

MARKETS: Final[dict[str, int]]
"""Names of the markets: spot, usdm, cm."""

class BinanceCodec(Codec):
    """Decoder of one instrument's streams.

    Parameters
    ----------
    symbol : str
        As the venue writes it: BTCUSDT, BTCUSD_PERP.
    market : {"spot", "usdm", "cm"}
        Which of the venue's markets; each writes its messages in another order.
    pair_symbol : str
        The pair of a COIN-M contract (BTCUSD); empty elsewhere.
    tick, lot : (int, int)
        Step and decimal places: (5, 1) is 0.5.

    Raises
    ------
    ValueError
        Steps out of range (12 places, 2**40), or a symbol too long.
    """

    symbol: str
    market: str
    def __init__(
        self, symbol: str, market: str, pair_symbol: str, tick: tuple[int, int], lot: tuple[int, int]
    ) -> None: ...
    def decode_frame(self, payload: bytes, local_ns: int) -> NDArray[Any]:
        """Rows (EVENT_DTYPE) of one frame. ValueError names a DecodeError."""
