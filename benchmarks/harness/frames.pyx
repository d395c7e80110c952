"""Frames through a codec into a book as a live link does it, and packed messages into a book, timed one by one."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

from apex._core.book cimport BookData, book_apply, book_clear, book_end_message, book_free, book_new, book_set
from apex._core.codecs.binance cimport BinanceCodec
from apex._core.events cimport BOOK_LEVEL, SNAPSHOT_BEGIN, Batch, Event, Level

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* out)
    int CLOCK_MONOTONIC

cdef enum:
    ROWS_MAX = 1 << 15


cdef inline int64_t now() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t> t.tv_sec * 1000000000 + t.tv_nsec


cdef class Frames:
    """Frames decoded to events and put into a book; the deltas that a snapshot makes stale are left out.

    Parameters
    ----------
    codec : BinanceCodec
    text : bytes
        All frames, one after the other.
    ends : int64 array
        Where each frame ends.
    """

    cdef BinanceCodec codec
    cdef const unsigned char[::1] text
    cdef const int64_t[::1] ends
    cdef BookData* book
    cdef Event* rows
    cdef uint64_t snapshot
    cdef readonly bint synced
    cdef readonly int64_t levels, fallbacks

    def __cinit__(self, BinanceCodec codec not None, const unsigned char[::1] text not None,
                  const int64_t[::1] ends not None):
        if ends.shape[0] == 0 or ends[ends.shape[0] - 1] > text.shape[0]:
            raise ValueError("frames outside the text")
        self.codec, self.text, self.ends = codec, text, ends
        self.book = book_new()
        self.rows = <Event*> malloc(ROWS_MAX * sizeof(Event))
        if self.book == NULL or self.rows == NULL:
            raise MemoryError("no memory for a book")

    def __dealloc__(self):
        book_free(self.book)
        free(self.rows)

    cdef int _frame(self, const char* payload, Py_ssize_t size) noexcept nogil:
        """One frame; the count of rows, or below 0 when the fast decoder does not know it."""
        cdef int n = self.codec.decode(payload, size, 0, self.rows, ROWS_MAX), i
        cdef Event* row = self.rows
        if n <= 0 or (row.kind != BOOK_LEVEL and row.kind != SNAPSHOT_BEGIN):
            return n
        if row.kind == SNAPSHOT_BEGIN:
            book_clear(self.book, 0)
            self.synced, self.snapshot = True, row.sequence
        elif not self.synced or row.sequence < self.snapshot:
            return n
        for i in range(n):
            row = self.rows + i                    # n <= ROWS_MAX
            if row.kind == BOOK_LEVEL:
                book_set(self.book, row.side, row.price_ticks, row.quantity_lots, False)
                self.levels += 1
        book_end_message(self.book)
        return n

    def run(self):
        """All frames once."""
        cdef const char* text = <const char*> &self.text[0]
        cdef int64_t i, at = 0
        with nogil:
            for i in range(self.ends.shape[0]):
                self.fallbacks += self._frame(text + at, self.ends[i] - at) < 0
                at = self.ends[i]

    def times(self, int64_t[::1] out not None):
        """All frames once; wall nanoseconds of each into `out`, a reading of the clock included."""
        cdef const char* text = <const char*> &self.text[0]
        cdef int64_t i, at = 0, before, after
        if out.shape[0] != self.ends.shape[0]:
            raise ValueError("one place for each frame")
        with nogil:
            before = now()
            for i in range(self.ends.shape[0]):
                self.fallbacks += self._frame(text + at, self.ends[i] - at) < 0
                at = self.ends[i]
                after = now()
                out[i] = after - before
                before = after

    def touch(self):
        """Best bid and ask in ticks, and the counts of levels."""
        return self.book.bid.best, self.book.ask.best, self.book.bid.level_count, self.book.ask.level_count


def book_times(const Batch[::1] batches not None, const Level[::1] levels not None, const Event[::1] rows not None,
               double[::1] out not None):
    """Messages into a fresh book, one by one; wall nanoseconds a level of each into `out`, a clock reading included."""
    cdef BookData* book = book_new()
    cdef const Event* row = &rows[0] if rows.shape[0] else NULL
    cdef int64_t i, before, after
    if book == NULL:
        raise MemoryError("no memory for a book")
    if out.shape[0] != batches.shape[0] or levels.shape[0] == 0:
        raise ValueError("one place for each message")
    with nogil:
        before = now()
        for i in range(batches.shape[0]):
            book_apply(book, &batches[i], &levels[0], row, False)
            after = now()
            out[i] = <double> (after - before) / batches[i].count
            before = after
    book_free(book)
