"""Payloads for decoders: sound messages with bytes, tokens or parts changed, and new ones of the same grammar."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from typing import Any

ODD_NUMBERS = (
    b"0", b"-0", b"-1", b"00", b"01", b"1e5", b"1E400", b"1e-400", b"NaN", b"Infinity", b"-Infinity", b"nan", b"0x10",
    b"1_000", b"+1", b".5", b"5.", b"1.0.0", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616",
    b"-9223372036854775808", b"99999999999999999999999999999999", b"0." + b"0" * 40 + b"1", b"1" * 400, b"",
    b"0.00000001", b"1000000000000000000", b"4294967296", b"\xd9\xa1",
)
"""Numbers at the ends of types, and texts that some readers take for numbers."""
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, "", "x", "-1", "1e5", "0", "NaN", 0, -1, 1, 10**30, -(10**30), 0.1, 1e300, [], {}, [[]],
    [["1", "2"]], {"b": 1}, "\u0661", "\x00", "\ud800", "1" * 300, ["1"] * 3,
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


def _bytes(data: bytearray, rng: random.Random) -> None:
    """Change, add, leave out or swap single bytes, mostly of the payload's own alphabet."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not data:
            return
        at, byte = rng.randrange(len(data)), rng.choice(data) if rng.random() < 0.7 else rng.randrange(256)
        kind = rng.randrange(5)
        if kind == 0:
            data[at] = byte
        elif kind == 1:
            data.insert(at, byte)
        elif kind == 2:
            del data[at]
        elif kind == 3:
            data[at] ^= 1 << rng.randrange(8)
        else:
            other = rng.randrange(len(data))
            data[at], data[other] = data[other], data[at]


def _number(data: bytearray, rng: random.Random) -> None:
    """Another number in the place of one."""
    found = list(_NUMBER.finditer(data))
    if not found:
        return
    match, kind = rng.choice(found), rng.random()
    if kind < 0.5:
        new: bytes = rng.choice(ODD_NUMBERS)
    elif kind < 0.8:
        new = bytes(rng.choice(found)[0])
    else:
        new = b"%d" % rng.getrandbits(rng.choice((1, 8, 31, 53, 63, 64, 70)))
    data[match.start():match.end()] = new


def _slices(data: bytearray, rng: random.Random) -> None:
    """Cut, double, move or drop a stretch."""
    if len(data) < 2:
        return
    first = rng.randrange(len(data))
    last = min(len(data), first + int(rng.expovariate(1 / 20)) + 1)
    part, kind = bytes(data[first:last]), rng.randrange(5)
    if kind == 0:
        del data[first:]
    elif kind == 1:
        del data[first:last]
    elif kind == 2:
        data[first:first] = part * rng.choice((1, 1, 2, 50))
    elif kind == 3:
        del data[first:last]
        at = rng.randrange(len(data) + 1)
        data[at:at] = part
    else:
        del data[:first]


def mutated(sample: bytes, samples: Sequence[bytes], rng: random.Random) -> bytes:
    """A sound payload that something happened to."""
    data = bytearray(sample)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        kind = rng.random()
        if kind < 0.45:
            _bytes(data, rng)
        elif kind < 0.7:
            _number(data, rng)
        elif kind < 0.9:
            _slices(data, rng)
        elif kind < 0.97:
            other = rng.choice(samples)
            data[rng.randrange(len(data) + 1):] = other[rng.randrange(len(other) + 1):]
        else:
            at = rng.randrange(len(data) + 1)
            data[at:at] = rng.choice((b'{"a":' * 3000, b"[" * 3000, b"\xff\xfe", bytes(64), b"9" * 2000))
    return bytes(data)


def regrown(value: Any, rng: random.Random, odd: float) -> Any:
    """A document of the same grammar: values drawn anew in the form they had, and now and then one of another kind."""
    if rng.random() < odd:
        return rng.choice(ODD_VALUES)
    if isinstance(value, dict):
        items = [(key, regrown(part, rng, odd)) for key, part in value.items() if rng.random() >= odd]
        if rng.random() < odd:
            rng.shuffle(items)
        if rng.random() < odd and items:
            items.append((rng.choice(items)[0] + rng.choice(("", "x")), rng.choice(ODD_VALUES)))
        return dict(items)
    if isinstance(value, list):
        parts = [regrown(part, rng, odd) for part in value]
        if rng.random() < 0.2 and parts:
            parts = parts * rng.choice((0, 1, 2, 3, 40))
        return parts
    if isinstance(value, bool):
        return rng.random() < 0.5
    if isinstance(value, int):
        kind = rng.random()
        near = value if kind < 0.7 else max(0, value + rng.randint(-3, 3))
        return near if kind < 0.98 else rng.getrandbits(rng.choice((4, 31, 53, 63)))
    if isinstance(value, str) and _NUMBER.fullmatch(value.encode()):
        change = rng.choice((0.0, 0.0, 0.3, 0.9))
        return "".join(rng.choice("123456789") if c in "123456789" and rng.random() < change else c for c in value)
    return value


def json_like(sample: bytes, rng: random.Random) -> bytes | None:
    """A new payload with the grammar of a JSON one, what stands before the document kept; None where it is none."""
    start = sample.find(b"{")
    if start < 0:
        return None
    try:
        document = json.loads(sample[start:])
    except ValueError:
        return None
    made = regrown(document, rng, rng.choice((0.0, 0.0, 0.01, 0.05)))
    separators = (", ", ": ") if rng.random() < 0.05 else (",", ":")
    text = json.dumps(made, separators=separators, ensure_ascii=rng.random() < 0.5)
    return sample[:start] + text.encode("utf-8", "surrogatepass")


def cells(sample: bytes, rng: random.Random) -> bytes:
    """A table with cells of other numbers, rows out of place or away."""
    rows = sample.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(rows))
        parts = rows[at].split(b",")
        place, kind = rng.randrange(len(parts)), rng.random()
        if kind < 0.5:
            parts[place] = rng.choice(ODD_NUMBERS)
        elif kind < 0.7:
            parts[place] = rng.choice(rng.choice(rows).split(b","))
        elif kind < 0.8:
            del parts[place]
        elif kind < 0.9:
            rows[at], rows[place % len(rows)] = rows[place % len(rows)], rows[at]
            continue
        else:
            parts.insert(place, rng.choice(parts))
        rows[at] = b",".join(parts)
    return b"\n".join(rows)


def words(sample: bytes, rng: random.Random) -> bytes:
    """A binary payload with whole fields of 1, 2, 4 or 8 bytes changed where they are aligned."""
    data = bytearray(sample)
    for _ in range(rng.choice((1, 1, 2, 5))):
        size = rng.choice((1, 2, 4, 8))
        if len(data) < size:
            break
        at = rng.randrange(len(data) - size + 1) // size * size
        bits = 8 * size
        value = rng.choice((0, 1, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1, rng.getrandbits(bits)))
        data[at:at + size] = value.to_bytes(size, "little")
    return bytes(data)


def payload(samples: Sequence[bytes], rng: random.Random) -> bytes:
    """One payload: half of them damaged, half grown by the grammar that the sample shows."""
    sample = rng.choice(samples)
    if rng.random() < 0.5:
        return mutated(sample, samples, rng)
    grown = json_like(sample.rstrip(b"\n"), rng) if sample.count(b"\n") < 2 else None
    if grown is None:
        grown = cells(sample, rng) if b"," in sample and b"\0" not in sample else words(sample, rng)
    elif sample.endswith(b"\n"):
        grown += b"\n"
    return mutated(grown, samples, rng) if rng.random() < 0.1 and grown else grown
