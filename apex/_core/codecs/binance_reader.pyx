"""Reader of a recording of Binance streams: lines `<local time> <frame>` in, packed batches out, by the venue's rules.

The rules of the book (Binance's "How to manage a local order book correctly", spot and futures):

1. Deltas that come before a snapshot are kept.
2. A snapshot with lastUpdateId L drops kept deltas with u <= L (spot) or u < L (futures).
3. The first delta after it has U <= L + 1 (spot) or U <= L <= u (futures; pu == L says the same), else the snapshot is
   too old and the next one is waited for.
4. Then, spot: u <= last is ignored, U > last + 1 is a break. Futures: pu != last is a break.
5. After a break the book is out of sync (LINK_GAP) until the next snapshot that can be joined.

Kept deltas follow their snapshot at once, with its local time. Deltas that no snapshot can take are counted and left out.
"""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy, memmove, memset

from apex._core.book cimport book_clear, book_end_message, book_free, book_new, book_set
from apex._core.codecs.base cimport OFF_GRID, TOO_MANY_LEVELS, UNKNOWN_FORM, WIDE_PRICE
from apex._core.codecs.binance cimport (
    DEPTH, MARK_PRICE, PRINT, REST_SNAPSHOT, SPOT, TICKER, TO_LEVELS, TO_ROWS, TO_STEPS, BinanceCodec, Message, Sink,
    flags_of, kind_of, mark_rows, scan,
)
from apex._core.events cimport (
    AT_VENUE, LAST_IN_BATCH, LEVELS, LINK_GAP, NO_VENUE_TIME, ROWS, SNAPSHOT_BEGIN, Batch, Event, Level,
)

from apex._core.events import BATCH_DTYPE, EVENT_DTYPE, LEVEL_DTYPE

cdef enum:
    NS_DIGITS = 19
    US_DIGITS = 16
    SHORTEST_LEVEL = 8             # bytes: ["1",""] is no level, so frames hold fewer levels than size / 8
    KEPT_MAX = 64 << 20            # bytes of kept deltas; the oldest go first
    HELD_MAX = 1 << 20             # batches behind a snapshot without a venue time

cdef int64_t US_LAST = 9223372036854775

ERRORS = {
    OFF_GRID: ("off_grid", "a price or quantity is not on the grid of tick and lot"),
    UNKNOWN_FORM: ("form", "a frame that is not understood"),
    TOO_MANY_LEVELS: ("levels", "more levels than the frame has room for"),
    LINE_NO_TIME: ("local_time", "a line without a local time in microseconds or nanoseconds"),
    LINE_MIXED_TIME: ("mixed_time", "local times in microseconds and in nanoseconds are mixed"),
    LINE_ORDER: ("order", "local time goes back"),
    LINE_EMPTY_SNAPSHOT: ("empty_snapshot", "a snapshot without a level"),
}


class RecordingError(ValueError):
    """A line that cannot be read; `code` is a short name, `line` counts from 1."""

    def __init__(self, code, text, line):
        super().__init__(text)
        self.code, self.line = code, line


cdef inline const char* line_end(const char* p, const char* end, bint final) noexcept nogil:
    """The newline that ends the line, the end of the last line, or NULL when the line is not all here."""
    cdef const char* stop = <const char*> memchr(p, b'\n', end - p)
    if stop == NULL and final:
        return end
    return stop


cdef inline Py_ssize_t trimmed(const char* p, const char* stop) noexcept nogil:
    """Size of a line without the spaces and carriage returns at its end."""
    while stop > p and ((stop - 1)[0] == b"\r" or (stop - 1)[0] == b" "):
        stop -= 1
    return stop - p


cdef inline Py_ssize_t local_time(const char* p, Py_ssize_t size, int64_t* value) noexcept nogil:
    """Read the digits before the space; their count, or 0 when there is no local time."""
    cdef Py_ssize_t i = 0
    cdef uint64_t v = 0
    cdef unsigned int digit
    while i < size and i < NS_DIGITS:
        digit = <unsigned int> p[i] - 48u
        if digit > 9:
            break
        v = v * 10 + digit
        i += 1
    if i == size or p[i] != b' ' or (i != NS_DIGITS and i != US_DIGITS) or v >> 63:
        return 0
    value[0] = <int64_t> v
    return i


cdef class BinanceReader:
    """Turns the lines of one chain of recordings into batches, levels and rows.

    Parameters
    ----------
    codec : BinanceCodec
        Decoder of the instrument's streams; its tick and lot are the units of what comes out.
    """

    def __cinit__(self, BinanceCodec codec not None):
        self.codec = codec
        self.held = -1
        self.book = book_new()
        if self.book == NULL:
            raise MemoryError("no memory for a book")

    def __dealloc__(self):
        free(self.batches)
        free(self.levels)
        free(self.rows)
        free(self.pending)
        free(self.kept)
        book_free(self.book)

    def begin_file(self):
        """Count lines from 1 again; everything else goes on."""
        self.line = 0

    def feed(self, const unsigned char[::1] data not None, slow not None, bint final=False):
        """Read the whole lines of `data`; the count of bytes used.

        Parameters
        ----------
        data : bytes
            What is left of the chain, from the start of a line.
        slow : callable
            Asked for frames of another form: bytes in; the same frame in the known form, or None to leave it out.
        final : bool
            The last line may lack its newline.

        Raises
        ------
        RecordingError
            A line that cannot be read. What came before it can be taken.
        """
        if data.shape[0] == 0:
            return 0
        cdef const char* start = <const char*> &data[0]
        cdef const char* p = start
        cdef const char* end = p + data.shape[0]
        cdef const char* stop
        cdef Py_ssize_t size = 0
        cdef int status = 0
        while p < end:
            with nogil:
                while p < end:
                    stop = line_end(p, end, final)
                    if stop == NULL:
                        break
                    size = trimmed(p, stop)
                    self.line = self.line + 1
                    if size:
                        self.messages = self.messages + 1
                        status = self._line(p, size)
                        if status < 0:
                            break
                    p = stop + 1
            if status < 0:
                self._slow(p, size, status, slow)
                status = 0
                p = stop + 1
            elif stop == NULL:
                break
        return min(p - start, data.shape[0])

    cdef int _slow(self, const char* p, Py_ssize_t size, int status, slow) except -1:
        """A line that the fast path refused: ask, and read the answer."""
        cdef bytes frame, line = p[:size]
        cdef object answer
        if status == LINE_MEMORY:
            raise MemoryError("no memory for the messages of one piece of a recording")
        if status == UNKNOWN_FORM:
            answer = slow(line[line.index(b" ") + 1:])
            if answer is None:
                self.ignored += 1
                return 0
            frame = answer
            self.slow_path += 1
            status = self._frame(<const char*> frame, len(frame), self.last_local_ns)
        if status < 0:
            code, text = ERRORS.get(status)
            raise RecordingError(code, text, self.line)
        return 0

    cdef int _line(self, const char* p, Py_ssize_t size) noexcept nogil:
        cdef int64_t value = 0, scale
        cdef Py_ssize_t digits = local_time(p, size, &value)
        if digits == 0:
            return LINE_NO_TIME
        scale = 1 if digits == NS_DIGITS else 1000
        if self.time_scale != scale:
            if self.time_scale != 0:
                return LINE_MIXED_TIME
            self.time_scale = scale
        if scale != 1 and value > US_LAST:
            return LINE_NO_TIME
        value *= scale
        if value < self.last_local_ns:
            return LINE_ORDER
        self.last_local_ns = value
        return self._frame(p + digits + 1, size - digits - 1, value)

    cdef int _frame(self, const char* p, Py_ssize_t size, int64_t local_ns) noexcept nogil:
        """One frame: read, count, and put its batches; 0 or an error."""
        cdef Message m
        cdef Sink sink
        cdef int count
        cdef bint wide = False
        if self._reserve(size // SHORTEST_LEVEL + 8) < 0:
            return LINE_MEMORY
        m.previous_id = 0
        sink.levels = self.levels + self.level_count
        sink.room = <int> (self.level_room - self.level_count) - 2
        count = scan(&self.codec.forms, &self.codec.grid, p, size, &m, &sink, TO_LEVELS)
        if count == WIDE_PRICE:
            wide = True
            sink.rows = self.rows + self.row_count
            sink.room = <int> (self.row_room - self.row_count) - 2
            count = scan(&self.codec.forms, &self.codec.grid, p, size, &m, &sink, TO_ROWS)
        if count < 0:
            return count
        if m.type == TICKER:
            self.book_tickers = self.book_tickers + 1
            return self._emit(&m, local_ns, count, wide)
        if m.type == PRINT:
            self.trades = self.trades + 1
            if (self.rows[self.row_count].quantity_lots if wide else self.levels[self.level_count].quantity_lots) == 0:
                self.ignored = self.ignored + 1                  # futures send some for what is no trade (X is NA)
                return 0
            return self._emit(&m, local_ns, count, wide)
        if m.type == DEPTH:
            self.level_updates = self.level_updates + count
            return self._depth(p, size, &m, local_ns, count, wide)
        if m.type == REST_SNAPSHOT:
            return self._snapshot(&m, local_ns, count, wide)
        self.mark_prices = self.mark_prices + 1
        return self._mark(&m, local_ns)

    # ---- the venue's rules -------------------------------------------------------------------------------------------

    cdef bint _stale(self, uint64_t last_id) noexcept nogil:
        """Rules 2 and 4: whether the book already has all of a delta."""
        if self.codec.forms.market == SPOT:
            return last_id <= self.last_id
        return not self.joined and last_id < self.last_id

    cdef bint _follows(self, uint64_t first_id, uint64_t last_id, uint64_t previous_id) noexcept nogil:
        """Rules 3 and 4: whether a delta that is not stale is the next one."""
        if self.codec.forms.market == SPOT:
            return first_id <= self.last_id + 1
        if previous_id == self.last_id:
            return True
        return not self.joined and first_id <= self.last_id <= last_id

    cdef int _depth(
        self, const char* p, Py_ssize_t size, const Message* m, int64_t local_ns, int count, bint wide
    ) noexcept nogil:
        if self.synced:
            if self._stale(m.last_id):
                return 0
            if self._follows(m.first_id, m.last_id, m.previous_id):
                return self._apply(m, local_ns, count, wide)
            self._gap(m, local_ns)
        return self._keep(p, size, m)

    cdef int _apply(self, const Message* m, int64_t local_ns, int count, bint wide) noexcept nogil:
        """Put a delta that follows, and keep the book that crossings are seen in."""
        cdef int i
        cdef Level* level
        cdef Event* row
        self.last_id = m.last_id
        self.level_updates_applied = self.level_updates_applied + count
        if not self.joined:
            self.joined = True
            self._release(m.ts_exchange_ns)
        if wide:
            for i in range(count):
                row = self.rows + self.row_count + i
                book_set(self.book, row.side, row.price_ticks, row.quantity_lots, False)
        else:
            for i in range(count):
                level = self.levels + self.level_count + i
                book_set(self.book, level.side, level.price_ticks, level.quantity_lots, False)
        book_end_message(self.book)
        self.crossed_books = self.crossed_books + (self.book.bid.best >= self.book.ask.best)
        return self._emit(m, local_ns, count, wide)

    cdef int _snapshot(self, const Message* m, int64_t local_ns, int count, bint wide) noexcept nogil:
        """Rules 2 and 3: take a snapshot that kept deltas can follow, and them after it."""
        cdef Py_ssize_t first = 0
        cdef uint64_t before = self.last_id
        cdef bint was_joined = self.joined
        cdef Message begin = m[0]
        cdef int i, status
        if count == 0:
            return LINE_EMPTY_SNAPSHOT
        self.snapshots = self.snapshots + 1
        if self.synced and m.last_id <= before:
            return 0                               # the book is newer, by an unbroken chain
        self.last_id = m.last_id
        self.joined = False
        while first < self.pending_count and self._stale(self.pending[first].last_id):
            first += 1
        self._drop(first)
        if self.pending_count:
            if not self._follows(
                self.pending[0].first_id, self.pending[0].last_id, self.pending[0].previous_id
            ):
                self.last_id, self.joined = before, was_joined
                return 0                           # too old; only a book out of sync has pending deltas
        self._release(0)
        self.synced = True
        book_clear(self.book, 0)
        if wide:
            for i in range(count):
                book_set(self.book, self.rows[self.row_count + i].side, self.rows[self.row_count + i].price_ticks,
                         self.rows[self.row_count + i].quantity_lots, False)
        else:
            for i in range(count):
                book_set(self.book, self.levels[self.level_count + i].side,
                         self.levels[self.level_count + i].price_ticks,
                         self.levels[self.level_count + i].quantity_lots, False)
            memmove(self.levels + self.level_count + 1, self.levels + self.level_count, count * sizeof(Level))
        book_end_message(self.book)
        self.crossed_books = self.crossed_books + (self.book.bid.best >= self.book.ask.best)
        if m.ts_exchange_ns == 0:
            self.held, self.held_rows = self.batch_count, self.row_count
        begin.type = DEPTH
        memset(self.levels + self.level_count, 0, sizeof(Level))
        self._emit(&begin, local_ns, 1, False)
        cdef Batch* opening = &self.batches[self.batch_count - 1]
        opening.kind = SNAPSHOT_BEGIN
        opening.flags &= <uint16_t> ~LAST_IN_BATCH
        status = self._emit(m, local_ns, count, wide)
        return status if status < 0 else self._join(local_ns)

    cdef int _join(self, int64_t local_ns) noexcept nogil:
        """Apply the kept deltas; they follow each other, so none can break the chain."""
        cdef Message m
        cdef Sink sink
        cdef int count, status
        cdef bint wide
        cdef Py_ssize_t i
        cdef const char* p
        for i in range(self.pending_count):
            if self._reserve(self.pending[i].size // SHORTEST_LEVEL + 8) < 0:
                return LINE_MEMORY
            wide = False
            m.previous_id = 0
            p = self.kept + self.pending[i].at
            sink.levels = self.levels + self.level_count
            sink.room = <int> (self.level_room - self.level_count) - 2
            count = scan(&self.codec.forms, &self.codec.grid, p, self.pending[i].size, &m, &sink, TO_LEVELS)
            if count == WIDE_PRICE:
                wide = True
                sink.rows = self.rows + self.row_count
                sink.room = <int> (self.row_room - self.row_count) - 2
                count = scan(&self.codec.forms, &self.codec.grid, p, self.pending[i].size, &m, &sink, TO_ROWS)
            if count < 0:
                return count                       # not reached: the same bytes were read before
            status = self._apply(&m, local_ns, count, wide)
            if status < 0:
                return status
        self._drop(self.pending_count)
        return 0

    cdef int _gap(self, const Message* m, int64_t local_ns) noexcept nogil:
        """Rule 5: one row that says so, at the times of the delta that does not follow."""
        cdef Message gap = m[0]
        self._release(0)
        self.synced = False
        self.joined = False
        self.sequence_gaps = self.sequence_gaps + 1
        memset(self.levels + self.level_count, 0, sizeof(Level))
        self._emit(&gap, local_ns, 1, False)
        self.batches[self.batch_count - 1].kind = LINK_GAP
        return 0

    cdef int _keep(self, const char* p, Py_ssize_t size, const Message* m) noexcept nogil:
        """Rule 1. A delta that does not follow the one before it makes those useless."""
        cdef Pending* last
        cdef void* moved
        cdef Py_ssize_t room
        if self.pending_count:
            last = self.pending + self.pending_count - 1
            if self.codec.forms.market == SPOT:
                if m.last_id <= last.last_id:
                    return 0
                if m.first_id > last.last_id + 1:
                    self._drop(self.pending_count)
            elif m.previous_id != last.last_id:
                self._drop(self.pending_count)
        if self.kept_size + size > KEPT_MAX:
            self._drop((self.pending_count + 1) // 2)
        if self.kept_size + size > self.kept_room:
            room = max(2 * self.kept_room, self.kept_size + size, 1 << 16)
            moved = realloc(self.kept, room)
            if moved == NULL:
                return LINE_MEMORY
            self.kept, self.kept_room = <char*> moved, room
        if self.pending_count == self.pending_room:
            room = max(2 * self.pending_room, 256)
            moved = realloc(self.pending, room * sizeof(Pending))
            if moved == NULL:
                return LINE_MEMORY
            self.pending, self.pending_room = <Pending*> moved, room
        memcpy(self.kept + self.kept_size, p, size)
        last = self.pending + self.pending_count
        last.first_id, last.last_id, last.previous_id = m.first_id, m.last_id, m.previous_id
        last.at, last.size = self.kept_size, size
        self.kept_size = self.kept_size + size
        self.pending_count = self.pending_count + 1
        return 0

    cdef void _drop(self, Py_ssize_t count) noexcept nogil:
        """Forget the oldest `count` kept deltas."""
        cdef Py_ssize_t i, bytes_gone
        if count == 0:
            return
        bytes_gone = self.kept_size if count == self.pending_count else self.pending[count].at
        memmove(self.kept, self.kept + bytes_gone, self.kept_size - bytes_gone)
        memmove(self.pending, self.pending + count, (self.pending_count - count) * sizeof(Pending))
        self.kept_size = self.kept_size - bytes_gone
        self.pending_count = self.pending_count - count
        for i in range(self.pending_count):
            self.pending[i].at = self.pending[i].at - bytes_gone

    # ---- what comes out ----------------------------------------------------------------------------------------------

    cdef int _reserve(self, Py_ssize_t levels) noexcept nogil:
        """Room for one message of `levels` levels, a begin row, a gap row and two marks."""
        cdef void* moved
        cdef Py_ssize_t room
        if self.batch_count + 4 > self.batch_room:
            room = max(2 * self.batch_room, 4096)
            moved = realloc(self.batches, room * sizeof(Batch))
            if moved == NULL:
                return LINE_MEMORY
            self.batches, self.batch_room = <Batch*> moved, room
        if self.level_count + levels + 4 > self.level_room:
            room = max(2 * self.level_room, self.level_count + levels + 4, 1 << 16)
            moved = realloc(self.levels, room * sizeof(Level))
            if moved == NULL:
                return LINE_MEMORY
            self.levels, self.level_room = <Level*> moved, room
        if self.row_count + levels + 4 > self.row_room:
            room = max(2 * self.row_room, self.row_count + levels + 4, 4096)
            moved = realloc(self.rows, room * sizeof(Event))
            if moved == NULL:
                return LINE_MEMORY
            self.rows, self.row_room = <Event*> moved, room
        return 0

    cdef int _emit(self, const Message* m, int64_t local_ns, int count, bint wide) noexcept nogil:
        """Close a batch over the `count` levels (or rows) that were read behind the last one."""
        cdef Batch* batch
        cdef Event* row
        cdef int i
        if count == 0:
            return 0
        batch = self.batches + self.batch_count
        batch.ts_exchange_ns = m.ts_exchange_ns
        batch.ts_local_ns = local_ns
        batch.sequence = m.last_id
        batch.count = <uint32_t> count
        batch.instrument = 0
        batch.flags = <uint16_t> (flags_of(m) | LAST_IN_BATCH)
        batch.kind = <uint8_t> kind_of(m.type)
        self.batch_count = self.batch_count + 1
        if not wide:
            batch.encoding = LEVELS
            batch.first = <uint32_t> self.level_count
            self.level_count = self.level_count + count
            return 0
        batch.encoding = ROWS
        batch.first = <uint32_t> self.row_count
        for i in range(count):
            row = self.rows + self.row_count + i
            row.ts_exchange_ns, row.ts_local_ns = m.ts_exchange_ns, local_ns
            row.sequence = m.last_id
            row.order_id = 0
            if m.type != MARK_PRICE:
                row.aux = 0
            row.instrument = 0
            row.kind = batch.kind
            row.flags = batch.flags if i == count - 1 else batch.flags & <uint16_t> ~LAST_IN_BATCH
        self.row_count = self.row_count + count
        return 0

    cdef int _mark(self, Message* m, int64_t local_ns) noexcept nogil:
        m.last_id = 0
        mark_rows(&self.codec.grid, m, self.rows + self.row_count)
        return self._emit(m, local_ns, 2, True)

    cdef void _release(self, int64_t ts_exchange_ns) noexcept nogil:
        """Give the held snapshot the venue time of the delta that joined it; 0: it has none."""
        cdef Py_ssize_t i
        cdef uint32_t j
        cdef Batch* batch
        if self.held < 0:
            return
        if ts_exchange_ns != 0:
            for i in range(self.held, self.held + 2):
                batch = self.batches + i
                batch.ts_exchange_ns = ts_exchange_ns
                batch.flags = <uint16_t> ((batch.flags & ~NO_VENUE_TIME) | AT_VENUE)
                if batch.encoding == ROWS:
                    for j in range(batch.first, batch.first + batch.count):
                        self.rows[j].ts_exchange_ns = ts_exchange_ns
                        self.rows[j].flags = <uint16_t> ((self.rows[j].flags & ~NO_VENUE_TIME) | AT_VENUE)
        self.held = -1

    def take(self, bint final=False):
        """What was read since the last call: batches, levels, rows, with `first` counted from 0.

        A spot snapshot that still waits for its venue time, and all after it, stay back unless `final`.
        """
        cdef Py_ssize_t batch_count = self.batch_count, level_count = self.level_count, row_count = self.row_count, i
        if self.book.bid.failed or self.book.ask.failed:
            raise MemoryError("no memory for the levels of the book")
        if self.held >= 0 and (final or self.batch_count - self.held > HELD_MAX):
            self._release(0)
        if self.held >= 0:
            batch_count, row_count = self.held, self.held_rows
            level_count = self.batches[self.held].first
        batches = np.empty(batch_count, BATCH_DTYPE)
        levels = np.empty(level_count, LEVEL_DTYPE)
        rows = np.empty(row_count, EVENT_DTYPE)
        cdef Batch[::1] to_batches = batches
        cdef Level[::1] to_levels = levels
        cdef Event[::1] to_rows = rows
        if batch_count:
            memcpy(&to_batches[0], self.batches, batch_count * sizeof(Batch))
        if level_count:
            memcpy(&to_levels[0], self.levels, level_count * sizeof(Level))
        if row_count:
            memcpy(&to_rows[0], self.rows, row_count * sizeof(Event))
        self.batch_count -= batch_count
        self.level_count -= level_count
        self.row_count -= row_count
        if self.held >= 0:
            memmove(self.batches, self.batches + batch_count, self.batch_count * sizeof(Batch))
            memmove(self.levels, self.levels + level_count, self.level_count * sizeof(Level))
            memmove(self.rows, self.rows + row_count, self.row_count * sizeof(Event))
            for i in range(self.batch_count):
                self.batches[i].first -= <uint32_t> (level_count if self.batches[i].encoding == LEVELS else row_count)
            self.held = self.held_rows = 0
        return batches, levels, rows


def scan_steps(BinanceCodec codec not None, const unsigned char[::1] data not None, int64_t price_step,
               int64_t lot_step, bint final=False):
    """The gcd of all prices and quantities of whole lines, in 1e-8, mark prices apart.

    Parameters
    ----------
    data : bytes
        From the start of a line.
    price_step, lot_step : int
        The gcd of what was read before; 0 at the start.

    Returns
    -------
    price_step, lot_step, used : int
        The gcd, and the bytes used.
    odd : list of bytes
        Frames that only the slow path can read; their values are not in the gcd.
    """
    if data.shape[0] == 0:
        return price_step, lot_step, 0, []
    cdef const char* start = <const char*> &data[0]
    cdef const char* p = start
    cdef const char* end = p + data.shape[0]
    cdef const char* stop
    cdef Py_ssize_t size, digits
    cdef int64_t value = 0
    cdef Message m
    cdef Sink sink
    cdef list odd = []
    sink.price_step, sink.lot_step = price_step, lot_step
    while p < end:
        stop = line_end(p, end, final)
        if stop == NULL:
            break
        size = trimmed(p, stop)
        digits = local_time(p, size, &value)
        if digits and scan(&codec.forms, NULL, p + digits + 1, size - digits - 1, &m, &sink, TO_STEPS) < 0:
            odd.append(p[digits + 1:size])
        p = stop + 1
    return sink.price_step, sink.lot_step, min(p - start, data.shape[0]), odd
