# Reader of a recording of Binance streams: lines `<local time> <frame>` in, packed batches out, by the venue's book rules.
from libc.stdint cimport int64_t, uint64_t

from apex._core.book cimport BookData
from apex._core.codecs.binance cimport BinanceCodec, Message
from apex._core.events cimport Batch, Event, Level

cdef enum LineError:
    LINE_SLOW = -20          # the frame has not the known form: the slow path is asked
    LINE_NO_TIME = -21       # no local time of 16 (us) or 19 (ns) digits before the frame
    LINE_MIXED_TIME = -22    # microseconds and nanoseconds in one chain
    LINE_ORDER = -23         # local time goes back
    LINE_EMPTY_SNAPSHOT = -24
    LINE_MEMORY = -25

cdef struct Pending:         # a delta that no snapshot has joined yet
    uint64_t first_id
    uint64_t last_id
    uint64_t previous_id
    Py_ssize_t at            # its frame's place among the kept bytes
    Py_ssize_t size


cdef class BinanceReader:
    cdef readonly BinanceCodec codec
    cdef readonly bint synced           # a snapshot is joined, and no break since
    cdef readonly int64_t line          # lines read so far, blank ones too
    cdef readonly int64_t messages, level_updates, level_updates_applied, trades, book_tickers, mark_prices
    cdef readonly int64_t snapshots, sequence_gaps, crossed_books, slow_path, ignored
    cdef readonly int64_t last_local_ns
    cdef int64_t time_scale             # ns in a unit of local time: 1, 1000, or 0 before the first line
    cdef uint64_t last_id               # u of the last delta applied, or the snapshot's id
    cdef bint joined                    # a delta has followed the snapshot
    cdef Py_ssize_t held                # batch of a snapshot that waits for its venue time, or -1
    cdef Py_ssize_t held_rows           # rows before that batch
    cdef Batch* batches
    cdef Level* levels
    cdef Event* rows
    cdef Py_ssize_t batch_count, batch_room, level_count, level_room, row_count, row_room
    cdef Pending* pending
    cdef Py_ssize_t pending_count, pending_room
    cdef char* kept                     # frames of the pending deltas
    cdef Py_ssize_t kept_size, kept_room
    cdef BookData* book
    cdef int _line(self, const char* p, Py_ssize_t size) noexcept nogil
    cdef int _frame(self, const char* p, Py_ssize_t size, int64_t local_ns) noexcept nogil
    cdef int _emit(self, const Message* m, int64_t local_ns, int count, bint wide) noexcept nogil
    cdef int _mark(self, Message* m, int64_t local_ns) noexcept nogil
    cdef int _slow(self, const char* p, Py_ssize_t size, int status, slow) except -1
    cdef int _depth(self, const char* p, Py_ssize_t size, const Message* m, int64_t ns, int count, bint wide) noexcept nogil
    cdef int _snapshot(self, const Message* m, int64_t local_ns, int count, bint wide) noexcept nogil
    cdef int _apply(self, const Message* m, int64_t local_ns, int count, bint wide) noexcept nogil
    cdef int _join(self, int64_t local_ns) noexcept nogil
    cdef int _gap(self, const Message* m, int64_t local_ns) noexcept nogil
    cdef int _keep(self, const char* p, Py_ssize_t size, const Message* m) noexcept nogil
    cdef void _drop(self, Py_ssize_t count) noexcept nogil
    cdef bint _stale(self, uint64_t last_id) noexcept nogil
    cdef bint _follows(self, uint64_t first_id, uint64_t last_id, uint64_t previous_id) noexcept nogil
    cdef int _reserve(self, Py_ssize_t levels) noexcept nogil
    cdef void _release(self, int64_t ts_exchange_ns) noexcept nogil
