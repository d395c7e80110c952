"""Dated fee tables with tiers: the fee of a fill is that of the table of its day and of the tier of the 30 days before.

A UTC day's tier goes by the volume of the 30 days that ended before it, as venues reckon at midnight.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from apex._core.ledger cimport Terms, apex_saturate, int128

cdef int64_t DAY_NS = 86_400_000_000_000


cdef class Fees:
    """See Fees in fees.pyi."""

    def __cinit__(self, rows, *args, **kwargs):
        self.rows = <FeeRow*> calloc(max(len(rows), 1), sizeof(FeeRow))
        if self.rows == NULL:
            raise MemoryError("no memory for the fees")

    def __dealloc__(self):
        free(self.rows)

    def __init__(self, rows, int64_t volume=0):
        """See Fees in fees.pyi."""
        cdef int i
        if not rows or sorted(rows, key=lambda r: r[:2]) != list(rows):
            raise ValueError("fee rows must be given in order of time, then of volume, at least one")
        self.count = len(rows)
        for i in range(self.count):
            self.rows[i].since_ns, self.rows[i].volume = rows[i][0], rows[i][1]
            self.rows[i].maker, self.rows[i].taker = rows[i][2], rows[i][3]
        self.history, self.day, self.volume = volume, -1, volume

    cdef void _roll(self, int64_t day) noexcept nogil:
        """Begin a day: the one 30 days before it leaves the sum; a fill of an earlier day counts for the latest."""
        cdef int i
        if self.day < 0:
            self.day = day
            for i in range(1, 31):               # evenly over the 30 days before, to the unit
                self.days[(day + i) % 31] = self.history // 30 + (i <= self.history % 30)
        while self.day < day:
            self.day = self.day + 1
            self.days[self.day % 31] = 0
        self.volume = 0
        for i in range(31):
            if i != self.day % 31:
                self.volume = apex_saturate(<int128> self.volume + self.days[i])

    cdef void at(self, int64_t ts, Terms* terms) noexcept nogil:
        """Set the fees of a fill at venue time `ts`; before the first table they stay as they are."""
        cdef int i, found = -1
        if ts // DAY_NS != self.day:
            self._roll(ts // DAY_NS)
        for i in range(self.count):
            if self.rows[i].since_ns > ts:
                break
            if found < 0 or self.rows[i].since_ns != self.rows[found].since_ns or self.rows[i].volume <= self.volume:
                found = i
        if found >= 0:
            terms.maker_fee, terms.taker_fee = self.rows[found].maker, self.rows[found].taker

    cdef void traded(self, int64_t value) noexcept nogil:
        """A fill of so many cash units on the latest day."""
        self.days[self.day % 31] = apex_saturate(<int128> self.days[self.day % 31] + value)

    def rates(self, int64_t ts):
        """Maker and taker fee (1e-12) of a fill at `ts`; None before the first table."""
        cdef Terms terms
        if ts < self.rows[0].since_ns:
            return None
        self.at(ts, &terms)
        return terms.maker_fee, terms.taker_fee

    def trade(self, int64_t ts, int64_t value):
        """Count a fill of `value` cash units."""
        if ts // DAY_NS != self.day:
            self._roll(ts // DAY_NS)
        self.traded(value)
