"""Re-checks a tape: its content hash, every rule of sequence, and what its header claims."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from apex._core.events import ENCODINGS, unpack
from apex.store.layout import instrument_table, row_chunks, venue_order
from apex.store.rules import WORDS, Rules, Violation
from apex.store.tape import Tape
from apex.store.writer import Summary

HEADER_KEYS = ("first_ts", "last_ts", "feed_min_ns", "clock_defects", "kinds")


class Verdict(NamedTuple):
    """What `verify` found.

    Attributes
    ----------
    hash_ok : bool
    content_hash : str
        Recomputed; empty when the batches do not tile the sections, so that there are no rows to hash.
    violations : dict
        Rule -> number of batches, levels or rows that break it.
    first : dict
        Rule -> index of the first batch that does.
    """

    hash_ok: bool
    content_hash: str
    violations: dict[str, int]
    first: dict[str, int]

    @property
    def ok(self) -> bool:
        """Whether the tape is what it claims to be."""
        return self.hash_ok and not self.violations

    def value(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "hash_ok": self.hash_ok, "violations": sum(self.violations.values()),
            "violations_by": self.violations, "content_hash": self.content_hash or None,
            "details": [{"rule": rule, "what": WORDS[rule], "count": n, "first_message": self.first[rule]}
                        for rule, n in self.violations.items()],
        }


def verify(tape: Tape, advance: Callable[[int], None] = lambda done: None) -> Verdict:
    """Check a tape from end to end in one pass; memory does not grow with it.

    Parameters
    ----------
    tape : Tape
    advance : callable
        Told the number of rows done.
    """
    digest: Any = blake2b(digest_size=32)
    rules, summary = Rules(len(tape.instruments)), Summary()
    counts: dict[str, int] = {}
    first: dict[str, int] = {}
    tiled = True

    def note(found: list[Violation]) -> None:
        for rule, batch, hits in found:
            counts[rule] = counts.get(rule, 0) + hits
            first.setdefault(rule, batch)

    for start, stop in row_chunks(tape.batches):
        batches = tape.batches[start:stop]
        is_level = batches["encoding"] == ENCODINGS["LEVELS"]
        size = int(batches["count"][is_level].sum(dtype=np.int64))
        raw = int(batches["count"].sum(dtype=np.int64)) - size
        levels = tape.levels[rules.levels:rules.levels + size]
        rows = tape.rows[rules.rows:rules.rows + raw]
        found = rules.check(batches, levels, rows)
        note(found)
        summary.add(batches)
        if any(v.rule == "tiling" for v in found) or len(levels) < size or len(rows) < raw:
            note([] if counts.get("tiling") else [Violation("tiling", start, 1)])
            tiled = False
            break
        digest.update(unpack(batches, tape.levels, tape.rows).data)
        tape.release(start)
        advance(summary.rows)
    spoilt = sum(int(np.count_nonzero(gap)) for gap in tape.gaps())
    if spoilt:
        note([Violation("padding", 0, spoilt)])
    if tiled:
        note(rules.finish())
        if rules.levels != len(tape.levels) or rules.rows != len(tape.rows):
            note([Violation("tiling", len(tape.batches), 1)])
        _claims(tape, summary, note)
    digest.update(instrument_table(tape.instruments))
    computed = digest.hexdigest() if tiled else ""
    return Verdict(computed == tape.content_hash, computed, counts, first)


def _claims(tape: Tape, summary: Summary, note: Callable[[list[Violation]], None]) -> None:
    """The header's numbers and the venue order against what the rows gave."""
    if summary.rows != tape.row_count:
        note([Violation("row_count", len(tape.batches), 1)])
    made = summary.header()
    wrong = sum(made[key] != tape.header.get(key) for key in HEADER_KEYS)
    if wrong:
        note([Violation("header", len(tape.batches), wrong)])
    order = tape.venue_order
    if order is None:
        if not summary.in_venue_order:
            note([Violation("venue_order", 0, 1)])
        return
    at = 0
    for part in venue_order(tape.batches):
        bad = order[at:at + len(part)] != part if len(order) >= at + len(part) else np.ones(1, np.bool_)
        if bad.any():
            note([Violation("venue_order", at + int(bad.argmax()), int(np.count_nonzero(bad)))])
        at += len(part)
    if at != len(order):
        note([Violation("venue_order", at, 1)])
