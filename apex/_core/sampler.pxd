# Features of a tape written down: the local view through the engine, without a venue and without orders.
from libc.stdint cimport int32_t, int64_t

from apex._core.engine cimport Engine
from apex._core.events cimport Batch, Event, Level

cdef class Sampler:
    cdef Engine engine
    cdef object kept                     # the arrays below
    cdef const Batch* batches
    cdef const Level* levels
    cdef const Event* rows
    cdef int64_t batch_count, level_count, row_count
    cdef readonly int64_t at             # next batch
    cdef int32_t* places                 # [instruments of the tape], index in the engine or -1
    cdef int tape_count
    cdef int32_t* slots                  # [instruments][features]
    cdef int feature_count
    cdef int moment                      # when a row is written
    cdef int64_t every_ns, grid_next, end
    cdef readonly bint finished
    cdef bint _heard(self, int64_t k) noexcept
    cdef int _record(self, int instrument, int64_t now, int64_t* ts, int32_t* names, double* values) except -1
