"""Times as venues write them, to UTC nanoseconds; exact, without floats."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from apex.importers.common import FrameProblem

MS, US, S = 10**6, 10**3, 10**9
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\d*(Z|[+-]\d\d:?\d\d)?")
_NS_MAX = (1 << 63) - 1
_DIGITS_MAX = 40


def ms(value: object) -> int:
    """A count of milliseconds, a JSON integer or its text.

    >>> ms("1652459225464")
    1652459225464000000
    """
    return _fitting(_count(value) * MS, str(value))


def us(value: object) -> int:
    """A count of microseconds."""
    return _fitting(_count(value) * US, str(value))


def _count(value: object) -> int:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and value.isdecimal()
                                                                  and len(value) <= _DIGITS_MAX)):
        raise FrameProblem(f"{str(value)[:_DIGITS_MAX]!r} is no time", "The line is damaged", "time")
    found = int(value)
    if found < 0:
        raise FrameProblem(f"{found} is no time", "The line is damaged", "time")
    return found


def _fitting(ns: int, text: str) -> int:
    """Nanoseconds that a tape can hold."""
    if not -_NS_MAX <= ns <= _NS_MAX:
        raise FrameProblem(f"{text[:40]} is no time: it does not fit 64 bits of nanoseconds", "The line is damaged",
                           "time")
    return ns


def seconds(text: str) -> int:
    """Seconds as a decimal.

    >>> seconds("1617666423.606671")
    1617666423606671000
    """
    whole, _, part = text.partition(".")
    if not (whole.isdecimal() and len(whole) <= 10 and (part.isdecimal() or not part)):
        raise FrameProblem(f"{text[:40]!r} is no time in seconds", "The line is damaged", "time")
    return _fitting(int(whole) * S + int((part + "000000000")[:9]), text)


def iso(text: str) -> int:
    """A date and time of ISO 8601, up to nanoseconds; UTC where it names no zone.

    >>> iso("2026-08-09T21:05:48.506659391Z")
    1786309548506659391
    """
    found = _ISO.fullmatch(text)
    if not found:
        raise FrameProblem(f"{text[:40]!r} is no date and time", "The line is damaged", "time")
    return _fitting(_second(found[1], found[2], found[4] or "Z") * S + int((found[3] or "").ljust(9, "0")), text)


@lru_cache(4096)
def _second(date: str, time: str, zone: str) -> int:
    try:
        at = datetime.fromisoformat(f"{date}T{time}{'+00:00' if zone == 'Z' else zone}").astimezone(UTC)
    except ValueError as error:
        raise FrameProblem(f"{date} {time} is no date and time: {error}", "The line is damaged", "time") from None
    return int(at.timestamp())


def any_time(text: str) -> int:
    """ISO 8601, or an integer in s, ms, us or ns by its size, or seconds as a decimal.

    >>> any_time("1586000000"), any_time("1586000000000000000"), any_time("2020-04-04T11:33:20Z")
    (1586000000000000000, 1586000000000000000, 1586000000000000000)
    """
    if text.isdecimal() and len(text) <= _DIGITS_MAX:
        value = int(text)
        for scale, most in ((S, 10**11), (MS, 10**14), (US, 10**17), (1, 1 << 63)):
            if value < most:
                return _fitting(value * scale, text)
        return _fitting(value, text)
    return seconds(text) if text[:1].isdecimal() and text.replace(".", "", 1).isdecimal() else iso(text)
