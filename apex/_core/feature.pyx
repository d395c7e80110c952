"""What every feature is made of: the base class, windows of time, and values in order."""

from libc.math cimport NAN, floor
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memmove, memset

from apex._core.book cimport (
    NO_ASK, NO_BID, WINDOW, BookData, BookSide, apex_highest, apex_lowest, book_next, book_quantity,
)
from apex._core.events cimport BUY

cdef enum:
    WINDOW_FIRST = 256       # rows of a window at the start; doubled when it is full, up to ROWS_MAX


_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
          "d": 86_400_000_000_000}


def duration_ns(text):
    """Nanoseconds of a duration such as "100ms": an integer and ns, us, ms, s, m, h or d.

    Raises
    ------
    ValueError
        If `text` is no such duration.
    """
    digits = text.rstrip("nsumhd") if isinstance(text, str) else ""
    unit = text[len(digits):] if digits else ""
    if not (digits.isascii() and digits.isdigit()) or unit not in _UNITS or len(digits) > 18:
        raise ValueError(f"{text!r} is not a duration: write an integer and ns, us, ms, s, m, h or d, like 100ms")
    if int(digits) * _UNITS[unit] >= 1 << 62:
        raise ValueError(f"{text!r} is longer than 64 bits of nanoseconds hold")
    return int(digits) * _UNITS[unit]


cdef class Feature:
    """See Feature in feature.pyi."""

    def __cinit__(self, *args, **kwargs):
        self.asked = self.due = INT64_MIN

    cdef void on_book(self, const Market* m) noexcept nogil:
        """A whole depth message was applied."""

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        """A market trade. Returns a time after which `on_time` must be called, besides the one it asked for itself."""
        return INT64_MAX

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        """Time has passed; `m` is the market before `now`. Returns the time after which it must be called again."""
        return INT64_MIN

    cdef void on_gap(self) noexcept nogil:
        """The book is unknown: forget what was learnt from it."""

    cdef void blank(self) noexcept nogil:
        """No value is known."""
        cdef int i
        for i in range(PARTS_MAX):
            self.out[i][0] = NAN


# ---- windows of time over integers -----------------------------------------------------------------------------------

cdef int window_make(Window* w, int64_t span_ns, int width) except -1:
    if span_ns <= 0:
        raise ValueError("windows must be > 0 ns")
    w.span_ns, w.width, w.mask = span_ns, width, WINDOW_FIRST - 1
    w.times = <int64_t*> calloc(WINDOW_FIRST, sizeof(int64_t))
    w.rows = <int64_t*> calloc(WINDOW_FIRST * width, sizeof(int64_t))
    w.sums = <int64_t*> calloc(width, sizeof(int64_t))
    if w.times == NULL or w.rows == NULL or w.sums == NULL:
        raise MemoryError("no memory for a window")
    return 0


cdef void window_free(Window* w) noexcept nogil:
    free(w.times)
    free(w.rows)
    free(w.sums)


cdef void window_clear(Window* w) noexcept nogil:
    w.first = w.next = 0
    memset(w.sums, 0, w.width * sizeof(int64_t))


cdef bint window_grow(Window* w) noexcept nogil:
    """Double a full ring; False when it is as large as it may be, or there is no memory."""
    cdef int64_t size = w.mask + 1, place, i
    cdef int64_t* times
    cdef int64_t* rows
    if size >= ROWS_MAX:
        return False
    times = <int64_t*> malloc(2 * size * sizeof(int64_t))
    rows = <int64_t*> malloc(2 * size * w.width * sizeof(int64_t))
    if times == NULL or rows == NULL:
        free(times)
        free(rows)
        return False
    for i in range(size):
        place = (w.first + i) & w.mask
        times[i] = w.times[place]
        memmove(&rows[i * w.width], &w.rows[place * w.width], w.width * sizeof(int64_t))
    free(w.times)
    free(w.rows)
    w.times, w.rows, w.mask = times, rows, 2 * size - 1
    w.first, w.next = 0, size
    return True


# ---- levels and medians ----------------------------------------------------------------------------------------------

cdef int levels_within(const BookData* book, int side, int64_t end, int count_max, int64_t* ticks,
                       int64_t* lots) noexcept nogil:
    """Copy the levels of a side from the touch to a price, that included; how many there were, at most `count_max`."""
    cdef const BookSide* s = &book.bid if side == BUY else &book.ask
    cdef int64_t tick = s.best
    cdef uint64_t slot, word = 0
    cdef int n = 0
    while n < count_max and tick != NO_BID and tick != NO_ASK and (tick >= end if side == BUY else tick <= end):
        slot = <uint64_t> tick - <uint64_t> s.base
        ticks[n] = tick
        lots[n] = s.lots[slot] if slot < WINDOW else book_quantity(book, side, tick)
        n += 1
        if slot < WINDOW:                                     # the proof of both indices
            word = s.words[slot >> 6]
            word &= ((<uint64_t> 1 << (slot & 63)) - 1) if side == BUY else (~<uint64_t> 1 << (slot & 63))
            if word:
                tick = s.base + <int64_t> (slot & ~<uint64_t> 63) + (
                    apex_highest(word) if side == BUY else apex_lowest(word))
                continue
        tick = book_next(book, side, tick)
    return n


cdef double _select(double* values, int64_t count, int64_t k) noexcept nogil:
    """Put the k-th smallest value into its place, the smaller ones before it (Hoare's selection); 0 <= k < count."""
    cdef int64_t low = 0, high = count - 1, i, j
    cdef double pivot, a, b, c
    while low < high:
        a, b, c = values[low], values[(low + high) >> 1], values[high]
        pivot = max(min(a, b), min(max(a, b), c))             # the middle one of three
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


cdef double middle(double* values, int64_t count) noexcept nogil:
    """Median of values, which change their places; count > 0."""
    cdef int64_t half = count // 2, i
    cdef double upper = _select(values, count, half), lower
    if count % 2:
        return upper
    lower = values[0]
    for i in range(1, half):                                  # the smaller ones lie before it
        lower = max(lower, values[i])
    return 0.5 * (lower + upper)


# ---- values in order -------------------------------------------------------------------------------------------------

cdef Ranked* ranked_new(int64_t count_max) except NULL:
    """Room for `count_max` values. Two neighbours are never both less than a quarter full, which bounds the blocks."""
    cdef Ranked* r = <Ranked*> calloc(1, sizeof(Ranked))
    if r == NULL:
        raise MemoryError("no memory for a ranked window")
    r.blocks_max = <int32_t> (8 * count_max // BLOCK + 4)
    r.store = <double*> malloc(<size_t> r.blocks_max * BLOCK * sizeof(double))
    r.block = <int32_t*> calloc(r.blocks_max, sizeof(int32_t))
    r.size = <int32_t*> calloc(r.blocks_max, sizeof(int32_t))
    r.before = <int32_t*> calloc(r.blocks_max, sizeof(int32_t))
    r.free = <int32_t*> calloc(r.blocks_max, sizeof(int32_t))
    r.last = <double*> calloc(r.blocks_max, sizeof(double))
    if r.store == NULL or r.block == NULL or r.size == NULL or r.before == NULL or r.free == NULL or r.last == NULL:
        ranked_free(r)
        raise MemoryError("no memory for a ranked window")
    ranked_clear(r)
    return r


cdef void ranked_free(Ranked* r) noexcept nogil:
    if r == NULL:
        return
    free(r.store)
    free(r.block)
    free(r.size)
    free(r.before)
    free(r.free)
    free(r.last)
    free(r)


cdef void ranked_clear(Ranked* r) noexcept nogil:
    cdef int32_t i
    for i in range(r.blocks_max):
        r.free[i] = r.blocks_max - 1 - i
    r.free_count, r.places, r.clean, r.count = r.blocks_max, 0, 0, 0


cdef inline int32_t _place(const Ranked* r, double x) noexcept nogil:
    """First place whose greatest value is not below x; `places` when there is none."""
    cdef int32_t low = 0, high = r.places, middle
    while low < high:
        middle = (low + high) >> 1
        if r.last[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline int32_t _within(const double* values, int32_t size, double x) noexcept nogil:
    """First index whose value is not below x."""
    cdef int32_t low = 0, high = size, middle
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


cdef void _open_place(Ranked* r, int32_t place) noexcept nogil:
    """Make room for a block; the bound on blocks proves that one is free."""
    cdef size_t after = r.places - place
    memmove(&r.block[place + 1], &r.block[place], after * sizeof(int32_t))
    memmove(&r.size[place + 1], &r.size[place], after * sizeof(int32_t))
    memmove(&r.last[place + 1], &r.last[place], after * sizeof(double))
    r.places += 1
    r.free_count -= 1
    r.block[place], r.size[place] = r.free[r.free_count], 0


cdef void _close_place(Ranked* r, int32_t place) noexcept nogil:
    cdef size_t after = r.places - place - 1
    r.free[r.free_count] = r.block[place]
    r.free_count += 1
    r.places -= 1
    memmove(&r.block[place], &r.block[place + 1], after * sizeof(int32_t))
    memmove(&r.size[place], &r.size[place + 1], after * sizeof(int32_t))
    memmove(&r.last[place], &r.last[place + 1], after * sizeof(double))


cdef void ranked_add(Ranked* r, double x) noexcept nogil:
    """Put a value in; the caller keeps to `count_max`, and gives no NaN."""
    cdef int32_t place = _place(r, x), at, half = BLOCK // 2
    cdef double* values
    if r.places == 0:
        _open_place(r, 0)
    place = min(place, r.places - 1)
    if r.size[place] == BLOCK:
        _open_place(r, place + 1)
        values = &r.store[r.block[place] * BLOCK]
        memmove(&r.store[r.block[place + 1] * BLOCK], values + half, half * sizeof(double))
        r.size[place] = r.size[place + 1] = half
        r.last[place + 1], r.last[place] = r.last[place], values[half - 1]
        place += x > r.last[place]
    values = &r.store[r.block[place] * BLOCK]
    at = _within(values, r.size[place], x)
    memmove(values + at + 1, values + at, (r.size[place] - at) * sizeof(double))
    values[at] = x
    r.size[place] += 1
    r.last[place] = values[r.size[place] - 1]
    r.clean = min(r.clean, place)
    r.count += 1


cdef void _merge(Ranked* r, int32_t place) noexcept nogil:
    """Put a block and the one after it into one when they are small."""
    cdef int32_t size
    if place < 0 or place + 1 >= r.places:
        return
    size = r.size[place]
    if size + r.size[place + 1] > BLOCK // 2:
        return
    memmove(&r.store[r.block[place] * BLOCK + size], &r.store[r.block[place + 1] * BLOCK],
            r.size[place + 1] * sizeof(double))
    r.size[place] += r.size[place + 1]
    r.last[place] = r.last[place + 1]
    _close_place(r, place + 1)


cdef void ranked_drop(Ranked* r, double x) noexcept nogil:
    """Take a value out that was put in."""
    cdef int32_t place = _place(r, x), at, size
    cdef double* values
    if place == r.places:
        return
    values = &r.store[r.block[place] * BLOCK]
    at = _within(values, r.size[place], x)                # < size: the block's last value is not below x
    if values[at] != x:
        return
    size = r.size[place] - 1
    memmove(values + at, values + at + 1, (size - at) * sizeof(double))
    r.size[place] = size
    r.clean = max(min(r.clean, place - 1), 0)
    r.count -= 1
    if size == 0:
        _close_place(r, place)
        return
    r.last[place] = values[size - 1]
    if size < BLOCK // 4:
        _merge(r, place)
        _merge(r, place - 1)


cdef double ranked_at(Ranked* r, int64_t rank) noexcept nogil:
    """The value of a rank, 0 is the least; 0 <= rank < count."""
    cdef int32_t low = 0, high, middle
    while r.clean < r.places:
        r.before[r.clean] = r.before[r.clean - 1] + r.size[r.clean - 1] if r.clean else 0
        r.clean += 1
    high = r.places - 1
    while low < high:                                     # the last place with before <= rank
        middle = (low + high + 1) >> 1
        if r.before[middle] <= rank:
            low = middle
        else:
            high = middle - 1
    return r.store[r.block[low] * BLOCK + (rank - r.before[low])]


cdef double ranked_median(Ranked* r) noexcept nogil:
    """Middle value, or the mean of the two in the middle; count > 0."""
    cdef int64_t half = r.count // 2
    if r.count % 2:
        return ranked_at(r, half)
    return 0.5 * (ranked_at(r, half - 1) + ranked_at(r, half))


cdef double ranked_quantile(Ranked* r, double q) noexcept nogil:
    """Linear between the two nearest ranks, as numpy's default; count > 0, 0 <= q <= 1."""
    cdef double at = q * <double> (r.count - 1)
    cdef int64_t low = <int64_t> floor(at)
    cdef double a = ranked_at(r, low), b = ranked_at(r, min(low + 1, r.count - 1))
    return a + (b - a) * (at - <double> low)


cdef double _nearest(Ranked* r, double median, int64_t k) noexcept nogil:
    """The k-th smallest distance from the median, 0 is the least: of two sorted halves, by bisection."""
    cdef int64_t left = r.count // 2, right = r.count - left, low, high, i, j
    cdef double a, b, c, d
    low, high = max(k + 1 - right, 0), min(k + 1, left)
    while True:
        i = (low + high) >> 1                             # taken from the left half, its nearest first
        j = k + 1 - i                                     # taken from the right half
        a = median - ranked_at(r, left - i) if i else -1.0
        b = ranked_at(r, left + j - 1) - median if j else -1.0
        c = median - ranked_at(r, left - 1 - i) if i < left else -1.0
        d = ranked_at(r, left + j) - median if j < right else -1.0
        if i and j < right and a > d:
            high = i - 1
        elif j and i < left and b > c:
            low = i + 1
        else:
            return max(a, b)


cdef double ranked_deviation(Ranked* r, double median) noexcept nogil:
    """Median of the distances from the median (MAD); count > 0."""
    cdef int64_t half = r.count // 2
    if r.count % 2:
        return _nearest(r, median, half)
    return 0.5 * (_nearest(r, median, half - 1) + _nearest(r, median, half))


# ---- Python's face, for tests ----------------------------------------------------------------------------------------

cdef class RankedWindow:
    """See RankedWindow in feature.pyi."""

    cdef Ranked* data
    cdef int64_t count_max

    def __cinit__(self, int64_t count_max):
        if not 1 <= count_max <= PARENTS_MAX:
            raise ValueError(f"a window of 1 to {PARENTS_MAX} values, not {count_max}")
        self.count_max = count_max
        self.data = ranked_new(count_max)

    def __dealloc__(self):
        ranked_free(self.data)

    def __len__(self):
        return self.data.count

    def add(self, double x):
        if x != x or self.data.count == self.count_max:
            raise ValueError("NaN has no rank, and a full window no room")
        ranked_add(self.data, x)

    def drop(self, double x):
        cdef int64_t before = self.data.count
        ranked_drop(self.data, x)
        if self.data.count == before:
            raise KeyError(f"{x} is not in the window")

    def at(self, int64_t rank):
        if not 0 <= rank < self.data.count:
            raise IndexError(f"rank {rank} of {self.data.count} values")
        return ranked_at(self.data, rank)

    def median(self):
        return ranked_median(self.data) if self.data.count else NAN

    def quantile(self, double q):
        if not 0 <= q <= 1:
            raise ValueError(f"quantile {q} is not in 0 to 1")
        return ranked_quantile(self.data, q) if self.data.count else NAN

    def deviation(self):
        return ranked_deviation(self.data, ranked_median(self.data)) if self.data.count else NAN

    def _check(self):
        """Walk every invariant."""
        cdef int32_t i, k
        total = 0
        before = -float("inf")
        for i in range(self.data.places):
            assert 0 < self.data.size[i] <= BLOCK, ("size of a block", i, self.data.size[i])
            assert i == 0 or self.data.size[i] + self.data.size[i - 1] >= BLOCK // 4, ("two small neighbours", i)
            for k in range(self.data.size[i]):
                x = self.data.store[self.data.block[i] * BLOCK + k]
                assert x >= before, ("order", i, k)
                before = x
            assert self.data.last[i] == before, ("last of a block", i)
            total += self.data.size[i]
        assert total == self.data.count, ("count", total, self.data.count)
        assert self.data.places + self.data.free_count == self.data.blocks_max, "a block is lost"
