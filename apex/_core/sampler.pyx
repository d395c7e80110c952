"""Features of a tape written down: the local view through the engine, without a venue and without orders."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from apex._core.engine cimport Engine
from apex._core.events cimport (
    AT_LOCAL, BOOK_CLEAR, BOOK_LEVEL, KEEPS_BOOK, LAST_IN_BATCH, LEVELS, NOT_MARKET, ORDER_ADD, ORDER_EXECUTE, TRADE,
    Batch, Event, Level,
)
from apex._core.features cimport Features

cdef int64_t NEVER = 9223372036854775807

cdef enum:
    MESSAGE = 0
    TRADES = 1
    GRID = 2

MOMENTS = {"message": MESSAGE, "trade": TRADES, "grid": GRID}


cdef class Sampler:
    """See Sampler in sampler.pyi."""

    def __cinit__(self, Engine engine not None, arrays not None, list places not None, list features not None, *args,
                  **kwargs):
        self.tape_count, self.feature_count = len(places), len(features)
        self.places = <int32_t*> calloc(max(self.tape_count, 1), sizeof(int32_t))
        self.slots = <int32_t*> calloc(max(engine.count * self.feature_count, 1), sizeof(int32_t))
        if self.places == NULL or self.slots == NULL:
            raise MemoryError("no memory for a sampler")

    def __dealloc__(self):
        free(self.places)
        free(self.slots)

    def __init__(self, Engine engine, arrays, list places, list features, moment="message", int64_t every_ns=0):
        """See Sampler in sampler.pyi."""
        cdef const Batch[::1] batches = arrays[0]
        cdef const Level[::1] levels = arrays[1]
        cdef const Event[::1] rows = arrays[2]
        cdef Features one
        cdef int64_t k
        cdef int i
        if moment not in MOMENTS or (moment == "grid") != (every_ns > 0):
            raise ValueError(f"rows come after each message or trade, or on a grid of > 0 ns, not {moment!r}")
        self.engine, self.kept, self.moment, self.every_ns = engine, arrays, MOMENTS[moment], every_ns
        self.batch_count, self.level_count, self.row_count = batches.shape[0], levels.shape[0], rows.shape[0]
        self.batches = &batches[0] if self.batch_count else NULL
        self.levels = &levels[0] if self.level_count else NULL
        self.rows = &rows[0] if self.row_count else NULL
        self.grid_next, self.end = NEVER, -NEVER
        for i, place in enumerate(places):
            if not -1 <= place < engine.count:
                raise IndexError(f"instrument {place} is not in the engine: it has {engine.count}")
            self.places[i] = place
        for i in range(engine.count):
            one = engine.features[i]
            for k, (text, parameters) in enumerate(features):
                self.slots[i * self.feature_count + k] = one.slot(text, parameters)
        for k in range(self.batch_count):
            if self.grid_next == NEVER and every_ns and self._heard(k):
                self.grid_next = (batches[k].ts_local_ns + every_ns - 1) // every_ns * every_ns
            if <uint64_t> batches[k].first + batches[k].count > <uint64_t> (
                    self.level_count if batches[k].encoding == LEVELS else self.row_count):
                raise ValueError(f"the rows of batch {k} lie outside the tape's sections")
        engine.uses_features = True

    cdef bint _heard(self, int64_t k) noexcept:
        """Whether a batch is of the local view of an instrument of the run."""
        return (self.batches[k].flags & AT_LOCAL and self.batches[k].instrument < <uint32_t> self.tape_count
                and self.places[self.batches[k].instrument] >= 0)

    cdef int _record(self, int instrument, int64_t now, int64_t* ts, int32_t* names, double* values) except -1:
        """One row: the values at `now`."""
        cdef Features features = <Features> self.engine.features[instrument]
        cdef const int32_t* slots = &self.slots[instrument * self.feature_count]
        cdef int k
        features.on_read(now)
        ts[0], names[0] = now, instrument
        for k in range(self.feature_count):
            values[k] = features.values[slots[k]]
        return 0

    def run(self, int64_t[::1] ts not None, int32_t[::1] instruments not None, double[:, ::1] values not None):
        """Go on until the arrays are full or the tape is over; see sampler.pyi."""
        cdef int64_t size = ts.shape[0], n = 0
        cdef int count = self.engine.count, i
        cdef bint order, traded
        cdef const Batch* batch
        if size < count or instruments.shape[0] != size or values.shape[0] != size or (
                values.shape[1] != self.feature_count):
            raise ValueError(f"arrays of one length, {count} or more, and {self.feature_count} columns are needed")
        while n + count <= size:
            if self.at < self.batch_count and not self._heard(self.at):
                self.at += 1
                continue
            batch = &self.batches[self.at] if self.at < self.batch_count else NULL
            if self.grid_next < (batch.ts_local_ns if batch != NULL else self.end + 1):
                for i in range(count):
                    self._record(i, self.grid_next, &ts[n], &instruments[n], &values[n, 0])
                    n += 1
                self.grid_next += self.every_ns
                continue
            if batch == NULL:
                self.finished = True
                break
            i = self.places[batch.instrument]
            self.end = batch.ts_local_ns
            self.engine.on_batch(i, batch, self.levels, self.rows, batch.ts_local_ns)
            self.at += 1
            order = ORDER_ADD <= batch.kind <= ORDER_EXECUTE
            if self.moment == GRID or not batch.flags & LAST_IN_BATCH or (batch.flags & NOT_MARKET and not order):
                continue
            traded = batch.kind == TRADE or (
                batch.kind == ORDER_EXECUTE and self.engine.local[i].synced
                and not batch.flags & (KEEPS_BOOK | NOT_MARKET))
            if traded or (self.moment == MESSAGE and self.engine.local[i].synced and (
                    batch.kind == BOOK_LEVEL or batch.kind == BOOK_CLEAR
                    or (order and not batch.flags & KEEPS_BOOK))):
                self._record(i, batch.ts_local_ns, &ts[n], &instruments[n], &values[n, 0])
                n += 1
        return n
