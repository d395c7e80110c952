"""Which venue an address belongs to, and who reads it."""

from __future__ import annotations

import re
from collections.abc import Callable

from apex.importers.cryptofeed.binance import Binance
from apex.importers.cryptofeed.bybit import Bybit
from apex.importers.cryptofeed.coinbase import Coinbase
from apex.importers.cryptofeed.coinbase_pro import CoinbasePro
from apex.importers.cryptofeed.cryptocom import CryptoCom
from apex.importers.cryptofeed.deribit import Deribit
from apex.importers.cryptofeed.kraken import Kraken
from apex.importers.cryptofeed.kraken_futures import KrakenFutures
from apex.importers.cryptofeed.okx import Okx
from apex.importers.cryptofeed.venue import Venue
from apex.importers.sheet import Sheet

Factory = Callable[[Sheet], Venue]

_SERVERS: list[tuple[str, str, Factory]] = [
    ("binance spot", r"//(stream|data-stream|api\d*|data-api|www)\.binance\.(com|us|vision)",
     lambda s: Binance(s, "spot")),
    ("binance usdm", r"//(fstream|fapi)\.binance\.com", lambda s: Binance(s, "usdm")),
    ("binance cm", r"//(dstream|dapi)\.binance\.com", lambda s: Binance(s, "cm")),
    ("bybit linear", r"//[a-z-]+\.bybit\.com/.*(/linear|category=linear)", lambda s: Bybit(s, "linear")),
    ("bybit inverse", r"//[a-z-]+\.bybit\.com/.*(/inverse|category=inverse)", lambda s: Bybit(s, "inverse")),
    ("bybit spot", r"//[a-z-]+\.bybit\.com/.*(/spot|category=spot)", lambda s: Bybit(s, "spot")),
    ("coinbase", r"//(advanced-trade-ws|api)\.coinbase\.com", Coinbase),
    ("coinbase pro", r"//(ws-feed|ws-direct|api)\.(pro|exchange)\.coinbase\.com", CoinbasePro),
    ("cryptocom", r"//(stream|api|uat-stream|uat-api)\.crypto\.com", CryptoCom),
    ("deribit", r"//(www|test|history)\.deribit\.com", Deribit),
    ("kraken futures", r"//futures\.kraken\.com", KrakenFutures),
    ("kraken", r"//(ws|ws-beta|api)\.kraken\.com", Kraken),
    ("okx", r"//(ws|wsaws|www|aws)\.okx\.com", Okx),
]
_FACTORIES = {name: factory for name, _, factory in _SERVERS}
_PATTERNS = [(name, re.compile(pattern)) for name, pattern, _ in _SERVERS]


def server_of(address: str) -> str | None:
    """Name of the server that an address belongs to; None for one that no reader knows.

    >>> server_of("wss://stream.bybit.com/v5/public/spot")
    'bybit spot'
    """
    return next((name for name, pattern in _PATTERNS if pattern.search(address[:200])), None)


def venue_named(name: str, sheet: Sheet) -> Venue:
    """A reader for a server that `server_of` names."""
    return _FACTORIES[name](sheet)
