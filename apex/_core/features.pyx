"""Incremental features of one instrument: touch imbalance, weighted mid, order-flow imbalance, volatility, trade sign.

Order flow sums integers in a ring, so that it is exact for any length of run. Sources: methods as cited at each part.
"""
from libc.math cimport NAN, log, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from apex._core.events cimport BUY, SELL

NAMES = {
    "imbalance": IMBALANCE, "weighted_mid": WEIGHTED_MID, "ofi": OFI, "volatility": VOLATILITY, "trade_sign": TRADE_SIGN,
}


cdef class Features:
    """See Features in features.pyi."""

    def __cinit__(self, *args, **kwargs):
        self.ofi_times = <int64_t*> calloc(OFI_ROWS_MAX, sizeof(int64_t))
        self.ofi_lots = <int64_t*> calloc(OFI_ROWS_MAX, sizeof(int64_t))
        self.squares = <double*> calloc(STEPS_MAX, sizeof(double))
        if self.ofi_times == NULL or self.ofi_lots == NULL or self.squares == NULL:
            raise MemoryError("no memory for the features")

    def __dealloc__(self):
        free(self.ofi_times)
        free(self.ofi_lots)
        free(self.squares)

    def __init__(self, *, int64_t ofi_window_ns=1_000_000_000, int64_t step_ns=1_000_000_000, int steps=60):
        """See Features in features.pyi."""
        if ofi_window_ns <= 0 or step_ns <= 0 or not 1 <= steps <= STEPS_MAX:
            raise ValueError(f"windows must be > 0 ns and steps 1 to {STEPS_MAX}")
        self.ofi_window_ns, self.step_ns, self.steps = ofi_window_ns, step_ns, steps
        self.trade_ticks = self.trade_tick_sign = 0
        self.on_gap()
        self.values[<int> TRADE_SIGN] = NAN

    cdef void on_gap(self) noexcept nogil:
        """The book is unknown: all that was learnt from it is forgotten. The trades' side is not."""
        self.values[<int> IMBALANCE] = self.values[<int> WEIGHTED_MID] = NAN
        self.values[<int> OFI] = self.values[<int> VOLATILITY] = NAN
        self.has_touch = False
        self.ofi_first = self.ofi_next = self.ofi_sum = 0
        self.ofi_since = self.step_next = -1
        self.square_count = 0
        self.square_sum = self.square_carry = 0.0
        self.step_mid2 = self.mid2 = self.mid2_before = self.mid2_ts = 0

    cdef void on_book(self, int64_t bid, int64_t bid_lots, int64_t ask, int64_t ask_lots, bint valid,
                      int64_t now) noexcept nogil:
        """The touch after a whole depth message; `valid` is False when a side is empty or the book crossed."""
        cdef double share
        self._steps(now)
        if not valid:
            self.values[<int> IMBALANCE] = self.values[<int> WEIGHTED_MID] = self.values[<int> OFI] = NAN
            self.has_touch = False
            return
        share = (<double> bid_lots) / (<double> bid_lots + <double> ask_lots)      # > 0: both sides have a level
        self.values[<int> IMBALANCE] = share
        self.values[<int> WEIGHTED_MID] = share * <double> ask + (1.0 - share) * <double> bid
        self._flow(bid, bid_lots, ask, ask_lots, now)
        if now != self.mid2_ts:
            self.mid2_before = self.mid2
        self.mid2, self.mid2_ts = bid + ask, now
        if self.step_next < 0:
            self.step_next = (now // self.step_ns + 1) * self.step_ns

    cdef void _flow(self, int64_t bid, int64_t bid_lots, int64_t ask, int64_t ask_lots, int64_t now) noexcept nogil:
        """Order-flow imbalance (Cont, Kukanov and Stoikov 2014, 2.1) over the window; the first touch only begins it."""
        cdef int64_t change = 0, place
        if self.has_touch:
            if bid >= self.bid_ticks:
                change += bid_lots
            if bid <= self.bid_ticks:
                change -= self.bid_lots
            if ask <= self.ask_ticks:
                change -= ask_lots
            if ask >= self.ask_ticks:
                change += self.ask_lots
            if self.ofi_next - self.ofi_first == OFI_ROWS_MAX:
                self.ofi_sum = self.ofi_sum - self.ofi_lots[self.ofi_first % OFI_ROWS_MAX]
                self.ofi_first = self.ofi_first + 1
                self.ofi_forgotten = self.ofi_forgotten + 1
            place = self.ofi_next % OFI_ROWS_MAX                                   # >= 0: it only grows
            self.ofi_times[place], self.ofi_lots[place] = now, change
            self.ofi_next = self.ofi_next + 1
            self.ofi_sum = self.ofi_sum + change
        if self.ofi_since < 0:
            self.ofi_since = now
        while self.ofi_first < self.ofi_next and now - self.ofi_times[self.ofi_first % OFI_ROWS_MAX] >= self.ofi_window_ns:
            self.ofi_sum = self.ofi_sum - self.ofi_lots[self.ofi_first % OFI_ROWS_MAX]
            self.ofi_first = self.ofi_first + 1
        self.bid_ticks, self.bid_lots, self.ask_ticks, self.ask_lots = bid, bid_lots, ask, ask_lots
        self.has_touch = True
        self.values[<int> OFI] = <double> self.ofi_sum if now - self.ofi_since >= self.ofi_window_ns else NAN

    cdef void _steps(self, int64_t now) noexcept nogil:
        """Close every grid point before `now` with the mid that held there (previous tick), and update the volatility."""
        cdef double change, square
        cdef int64_t place, count = 0
        if self.step_next < 0:
            return
        while self.step_next < now:
            if self.step_mid2 > 0 and self.mid2 > 0:
                change = log((<double> self.mid2) / (<double> self.step_mid2)) if self.mid2 != self.step_mid2 else 0.0
                square = change * change
                place = self.square_count % self.steps
                if self.square_count >= self.steps:
                    self._add(-self.squares[place])
                self.squares[place] = square
                self._add(square)
                self.square_count = self.square_count + 1
            self.step_mid2 = self.mid2
            self.step_next = self.step_next + self.step_ns
            count += 1
            if count > self.steps and self.step_next < now:      # a long silence: only zeros are left in the ring
                self.step_next = self.step_next + (now - 1 - self.step_next) // self.step_ns * self.step_ns
        if self.square_count >= self.steps:
            self.values[<int> VOLATILITY] = sqrt(max(self.square_sum + self.square_carry, 0.0))

    cdef void _add(self, double x) noexcept nogil:
        """Neumaier's compensated sum (ZAMM 54, 1974)."""
        cdef double total = self.square_sum + x
        if (self.square_sum if self.square_sum >= 0 else -self.square_sum) >= (x if x >= 0 else -x):
            self.square_carry = self.square_carry + ((self.square_sum - total) + x)
        else:
            self.square_carry = self.square_carry + ((x - total) + self.square_sum)
        self.square_sum = total

    cdef void on_trade(self, int side, int64_t ticks, int64_t lots, int64_t now) noexcept nogil:
        """A market trade: the venue's aggressor, or where it says none, Lee and Ready's rule (J. Finance 1991)."""
        cdef int64_t mid2 = self.mid2 if self.mid2_ts < now else self.mid2_before
        cdef int sign = 0
        if self.trade_ticks != 0 and ticks != self.trade_ticks:
            self.trade_tick_sign = 1 if ticks > self.trade_ticks else -1
        self.trade_ticks = ticks
        if side == BUY or side == SELL:
            sign = 1 if side == BUY else -1
        elif mid2 > 0 and 2 * ticks != mid2:
            sign = 1 if 2 * ticks > mid2 else -1
        else:
            sign = self.trade_tick_sign
        self.values[<int> TRADE_SIGN] = sign if sign != 0 else NAN

    # ---- Python's face -------------------------------------------------------------------------------------------

    def value(self, name):
        """Value of a feature; see features.pyi."""
        if name not in NAMES:
            raise ValueError(f"no feature {name!r}: there are {', '.join(NAMES)}")
        return self.values[<int> NAMES[name]]

    def book(self, int64_t bid, int64_t bid_lots, int64_t ask, int64_t ask_lots, int64_t now, bint valid=True):
        """A touch; see features.pyi."""
        if valid and (bid_lots < 0 or ask_lots < 0 or bid_lots + ask_lots == 0):
            raise ValueError(f"a touch of {bid_lots} and {ask_lots} lots")
        self.on_book(bid, bid_lots, ask, ask_lots, valid, now)

    def trade(self, int side, int64_t ticks, int64_t lots, int64_t now):
        """A trade; see features.pyi."""
        self.on_trade(side, ticks, lots, now)

    def gap(self):
        """The book is lost; see features.pyi."""
        self.on_gap()
