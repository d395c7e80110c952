"""Impact of our own taking: square-root law of a sweep, and its decay after it (propagator).

A sweep of Q lots costs on average at least I(Q) = y * sigma_D * sqrt(Q / V_D) of the touch where it takes more than the
touch holds: what walking the book does not cost is added to the prices, rounded up to ticks. With the propagator each
sweep leaves the displacement I(Q) behind, which decays as (1 + t / t0) ** -beta and moves the prices of our later takers.

Source: Almgren, Thum, Hauptmann, Li, Direct Estimation of Equity Market Impact (2005); Bouchaud, Gefen, Potters, Wyart,
Fluctuations and Response in Financial Markets (2004).
"""

from libc.math cimport ceil, fmin, pow, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from apex._core.events cimport BUY

cdef enum:
    TAKEN_MAX = 1024             # sweeps that are remembered, a power of two

cdef double FAR = 1e15           # ticks: beyond any price that an account holds

KINDS = {"square-root": SQUARE_ROOT, "propagator": PROPAGATOR}


cdef class Impact:
    """See Impact in impact.pyi."""

    def __cinit__(self):
        self.taken = <Taken*> calloc(TAKEN_MAX, sizeof(Taken))
        if self.taken == NULL:
            raise MemoryError("no memory for the impact")

    def __dealloc__(self):
        free(self.taken)

    def __init__(self, kind, double y, double volatility, double volume_lots, int64_t decay_ns=1, double beta=0.5):
        """See Impact in impact.pyi."""
        if kind not in KINDS:
            raise ValueError(f"impact model {kind!r} is none of {', '.join(KINDS)}")
        if not (y >= 0 and volatility >= 0 and volume_lots > 0 and decay_ns > 0 and beta >= 0):
            raise ValueError("impact needs y and volatility of 0 or more, a daily volume and a decay time above 0")
        self.kind, self.scale = KINDS[kind], y * volatility / sqrt(volume_lots)
        self.decay_ns, self.beta = <double> decay_ns, beta

    cdef double law(self, int64_t lots) noexcept nogil:
        """Relative displacement of a sweep."""
        return self.scale * sqrt(<double> lots)

    cdef double displaced(self, int64_t ts) noexcept nogil:
        """Relative displacement that our earlier sweeps have left, > 0 up."""
        cdef double total = 0.0
        cdef int64_t i
        if self.kind != PROPAGATOR:
            return 0.0
        for i in range(max(self.count - TAKEN_MAX, 0), self.count):
            total += self.taken[i & (TAKEN_MAX - 1)].push * pow(
                1.0 + (<double> (ts - self.taken[i & (TAKEN_MAX - 1)].ts)) / self.decay_ns, -self.beta)
        return total

    cdef int64_t extra(self, int64_t touch, int64_t there, int64_t done, int64_t lots, double walked) noexcept nogil:
        """Ticks that `lots` more of a sweep cost beyond the book, after `done` lots.

        walked: what the sweep has cost with them beyond the touch so far, ticks * lots.
        """
        cdef double due
        if done + lots <= there:
            return 0
        due = self.law(done + lots) * (<double> touch) * (<double> (done + lots)) - walked
        return <int64_t> fmin(ceil(due / (<double> lots)), FAR) if due > 0.0 else 0

    cdef void pays(self, int side, int64_t tick, int64_t price, int64_t lots) noexcept nogil:
        """Count a fill at `price` where the book said `tick`."""
        cdef int64_t worse = price - tick if side == BUY else tick - price
        self.paid = self.paid + worse * lots
        self.paid_inverse = self.paid_inverse + (<double> worse) * (<double> lots) / ((<double> tick) * (<double> price))

    cdef void took(self, int64_t ts, int side, int64_t lots) noexcept nogil:
        """A sweep is over."""
        cdef Taken* at = &self.taken[self.count & (TAKEN_MAX - 1)]
        at.ts = ts
        at.push = self.law(lots) if side == BUY else -self.law(lots)
        self.count = self.count + 1
        self.takings = self.takings + 1

    def of(self, int64_t lots):
        """Relative displacement of a sweep of so many lots."""
        return self.law(lots)

    def at(self, int64_t ts):
        """Relative displacement at a time after the last sweep."""
        return self.displaced(ts)
