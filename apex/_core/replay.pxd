# The replay driver: two views of the same tapes, one for the venue and one for us.
from libc.stdint cimport int64_t, uint32_t

from apex._core.engine cimport Engine
from apex._core.events cimport Batch, Event, Level
from apex._core.simvenue cimport SimVenue

cdef struct Stream:              # one instrument of one tape
    const Batch* batches
    const Level* levels
    const Event* rows
    const uint32_t* order        # venue order of the batches, NULL = as they stand
    int64_t count
    int64_t order_count
    int64_t local_at             # next batch of the local view
    int64_t venue_at             # next place of the venue view
    uint32_t instrument          # within the tape
    uint32_t tape

cdef class ReplayDriver:
    cdef Engine engine
    cdef list venues
    cdef list kept
    cdef Stream* streams
    cdef int64_t* times          # next time of each queue, in the order in which ties go
    cdef int count
    cdef int64_t shift, grid_ns, grid_next, stop_ns
    cdef readonly int64_t start_ns   # when strategies start, >= clock_start
    cdef readonly int64_t end_ns
    cdef readonly int64_t clock_start
    cdef readonly int64_t rows_seen
    cdef readonly bint finished
    cdef bint compat, started

    cdef int _validate(self, const Stream* s, int64_t levels, int64_t rows) except -1
    cdef inline int _slot(self, int kind, int stream) noexcept
    cdef void _next_local(self, int stream) noexcept
    cdef void _next_venue(self, int stream) noexcept
    cdef int _refresh(self, SimVenue venue, int stream) except -1
    cdef int64_t _local_run(self, int stream, int64_t ts) except -1
    cdef int64_t _venue_run(self, int stream, int64_t ts) except -1
    cdef int _timer(self, SimVenue venue, int stream) except -1
    cdef int _struck(self, SimVenue venue) except -1
    cdef int _replies(self, SimVenue venue, int64_t ts) except -1
