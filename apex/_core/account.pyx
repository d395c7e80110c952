"""The margin account as the venue keeps it, in the ledger's arithmetic but at venue time."""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from apex._core.ledger cimport (
    FEE_SCALE, INVERSE, Ledger, apex_floor, int128, ledger_charge, ledger_post, ledger_unit, ledger_value,
)


cdef class MarginAccount:
    """See MarginAccount in account.pyi."""

    def __cinit__(self, Ledger rates not None, *args, **kwargs):
        self.count = rates.count
        self.terms = <Terms*> calloc(max(self.count, 1), sizeof(Terms))
        self.positions = <Position*> calloc(max(self.count, 1), sizeof(Position))
        self.marks = <Marked*> calloc(max(self.count, 1), sizeof(Marked))
        if self.terms == NULL or self.positions == NULL or self.marks == NULL:
            raise MemoryError("no memory for the margin account")

    def __dealloc__(self):
        free(self.terms)
        free(self.positions)
        free(self.marks)

    def __init__(self, Ledger rates not None, int64_t cash, int64_t maintenance, int64_t fee=0):
        """See MarginAccount in account.pyi."""
        cdef int i
        if not 0 < maintenance < FEE_SCALE or not 0 <= fee < FEE_SCALE:
            raise ValueError("maintenance and fee are fractions in 1e-12, maintenance above 0")
        self.rates, self.cash, self.maintenance, self.fee = rates, cash, maintenance, fee
        for i in range(self.count):
            self.terms[i] = rates.terms[i]

    cdef void fill(self, int instrument, int side, int64_t ticks, int64_t lots, bint maker) noexcept nogil:
        """A fill at venue time, at the fees that are in force for us."""
        cdef int64_t fee = 0
        self.terms[instrument] = self.rates.terms[instrument]
        self.failed = self.failed or ledger_post(
            &self.positions[instrument], &self.terms[instrument], side, ticks, lots, maker, 0, False, &fee)

    cdef void charge(self, int instrument, int which, int64_t lots, int64_t ticks, int64_t rest, int64_t rate) noexcept nogil:
        """Funding, or a liquidation's fee."""
        cdef int64_t paid = 0
        self.failed = self.failed or ledger_charge(
            &self.positions[instrument], &self.terms[instrument], which, lots, ticks, rest, rate, &paid)

    cdef void mark(self, int instrument, int64_t ticks, int64_t rest) noexcept nogil:
        self.marks[instrument].ticks, self.marks[instrument].rest = ticks, rest

    cdef bint under(self) noexcept nogil:
        """Whether the equity at mark prices is below the maintenance margin; an unmarked position is at its cost."""
        cdef int128 equity = self.cash, needed = 0, worth
        cdef const Position* p
        cdef int i
        for i in range(self.count):
            p = &self.positions[i]
            equity = equity + p.cash + p.variation
            if p.lots == 0:
                continue
            if self.marks[i].ticks == 0 or ledger_value(
                    &self.terms[i], p.lots, self.marks[i].ticks, self.marks[i].rest, FEE_SCALE, False, &worth):
                equity = equity + p.realised - p.flows
                continue
            worth = apex_floor(worth, ledger_unit(&self.terms[i]))
            equity = equity + (-worth if self.terms[i].kind == INVERSE else worth)
            needed = needed + (worth if worth > 0 else -worth)
        return equity * FEE_SCALE < needed * self.maintenance

    @property
    def is_under(self):
        """Whether the equity is below the maintenance margin."""
        return self.under()
