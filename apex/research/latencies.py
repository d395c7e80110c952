"""Order latencies modelled from feed latencies, where no order was ever sent and timed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from apex._core.events import FLAGS
from apex.domain.decimals import scaled
from apex.domain.errors import ConfigError, InputError
from apex.domain.limits import duration_ns
from apex.store.tape import Tape

CHUNK = 1 << 16
"""Messages looked at at once."""
PLACES_MAX = 12
FACTOR_MAX = 10**6
LATENCY_DTYPE = np.dtype([("req_ts", "<i8"), ("exch_ts", "<i8"), ("resp_ts", "<i8"), ("_padding", "<i8")])
"""As hftbacktest has it."""
QUANTILES = {"min": 0, "p50": 500, "p90": 900, "p99": 990, "p999": 999, "max": 1000}
"""Per mille."""

_BOTH = FLAGS["AT_VENUE"] | FLAGS["AT_LOCAL"]
_NONE = FLAGS["NO_VENUE_TIME"] | FLAGS["SNAPSHOT"]

Array = NDArray[Any]
Samples = dict[int, tuple[int, int]]
"""Interval -> (local time, venue time) of its last message."""


class Leg(NamedTuple):
    """A latency as factor * feed latency + offset: the product is rounded toward zero to a whole ns."""

    mantissa: int
    divisor: int
    offset_ns: int

    def of(self, feed_ns: int) -> int:
        """The latency in ns."""
        product = abs(feed_ns) * self.mantissa // self.divisor
        return (product if feed_ns >= 0 else -product) + self.offset_ns


class Modelled(NamedTuple):
    """Order latencies and what they came from.

    Attributes
    ----------
    table : LATENCY_DTYPE array
        One row an interval, by time.
    feed_ns : int64 array
        The feed latency of each.
    held_back : int
        Rows whose arrival was put 1 ns after the one before, since no request overtakes another.
    """

    table: Array
    feed_ns: Array
    held_back: int


def leg(text: str, option: str) -> Leg:
    """Factor and offset of a latency: "4,250us" is 4 * feed + 250 us; the offset is a duration, or ns.

    >>> leg("0.5,-1ms", "--entry").of(7_000_001)
    2500000

    Raises
    ------
    ConfigError
    """
    factor, _, offset = text.partition(",")
    try:
        mantissa, places = scaled(factor)
        shift = offset.strip() or "0"
        ns = int(shift) if shift.lstrip("-").isdecimal() else _signed(shift)
    except (ConfigError, ValueError):
        raise ConfigError(f"{text!r} is no factor and offset", option, "Write for example 4,250us") from None
    if mantissa < 0 or places > PLACES_MAX or mantissa > FACTOR_MAX * 10**places or abs(ns) >= 1 << 62:
        raise ConfigError(f"{text!r} is out of range", option,
                          f"The factor is 0 to {FACTOR_MAX:,} with at most {PLACES_MAX} places")
    return Leg(mantissa, 10**places, ns)


def _signed(text: str) -> int:
    return -duration_ns(text[1:]) if text.startswith("-") else duration_ns(text)


def sample(tape: Tape, wanted: Collection[int], every_ns: int, shift_ns: int, found: Samples) -> None:
    """Add a tape's last message with both times in each interval of the shifted local clock.

    Snapshots do not count: their way is not the feed's. Of messages of one time the last on the tape counts.
    """
    keep = np.zeros(len(tape.instruments), bool)
    keep[list(wanted)] = True
    for start in range(0, len(tape.batches), CHUNK):
        part = tape.batches[start:start + CHUNK]
        flags = part["flags"]
        part = part[(flags & _BOTH == _BOTH) & (flags & _NONE == 0) & keep[part["instrument"]]]
        local, venue = part["ts_local_ns"] + shift_ns, part["ts_exchange_ns"]
        order = np.argsort(local, kind="stable")
        local, venue = local[order], venue[order]
        interval = local // every_ns
        last = np.flatnonzero(np.diff(interval, append=np.iinfo(np.int64).max))
        for key, ours, theirs in zip(*(a[last].tolist() for a in (interval, local, venue)), strict=True):
            if key not in found or found[key][0] <= ours:
                found[key] = (ours, theirs)
        tape.release(start)


def model(found: Samples, entry: Leg, response: Leg) -> Modelled:
    """Order latencies of the sampled messages: an order sent when a message was received takes its time both ways.

    Raises
    ------
    InputError
        If there is no message, or one before 1970.
    ConfigError
        If a latency comes out below 0.
    """
    if not found:
        raise InputError("no message has both times", "TAPE", "Feed latencies need the venue's time and ours")
    table = np.zeros(len(found), LATENCY_DTYPE)
    rows, feeds, before, held_back = [], [], 0, 0
    for key in sorted(found):
        sent, venue = found[key]
        feed = sent - venue
        there, back = entry.of(feed), response.of(feed)
        for latency, option in ((there, "--entry"), (back, "--response")):
            if latency < 0:
                raise ConfigError(f"a latency of {latency} ns, from a feed latency of {feed} ns at {sent}", option,
                                  "Raise its offset, or --base-latency")
        if venue <= 0:
            raise InputError("a message from before 1970", f"time {venue}", "Such times mean refused requests")
        arrives = max(sent + there, before + 1)
        held_back += arrives != sent + there
        before = arrives
        rows.append((sent, arrives, arrives + back, 0))
        feeds.append(feed)
    table[:] = rows
    return Modelled(table, np.array(feeds, np.int64), held_back)


def quantiles(values: Array) -> dict[str, int]:
    """Nearest-rank quantiles: each is a value that occurred."""
    ordered = np.sort(values)
    return {name: int(ordered[max(0, -(-share * len(ordered) // 1000) - 1)]) for name, share in QUANTILES.items()}
