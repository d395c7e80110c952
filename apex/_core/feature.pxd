# What every feature is made of: the state of the market that it hears, the base class, and exact windows.
#
# A feature is a class that hears whole depth messages, trades and the passing of time, and writes its values where
# `out` points. It allocates when it is made; nothing else in it fails.
from libc.stdint cimport int32_t, int64_t, uint32_t

from apex._core.book cimport BookData

cdef enum:
    PARTS_MAX = 16           # values of one feature
    DEPTH_MAX = 32           # levels of a side that are copied once a message
    ROWS_MAX = 65536         # updates within a window; beyond, the oldest are forgotten and counted
    PARENTS_MAX = 131072     # values of a ranked window
    STEPS_MAX = 4096         # grid steps kept
    WALK_MAX = 4096          # levels of a side that a look at the book sees
    BLOCK = 256              # values of a block of Ranked
    DIRTY_BOOK = 1           # what an update may have changed
    DIRTY_TRADE = 2
    HEARS_BOOK = 1           # on_book, after each whole depth message
    HEARS_TRADE = 2          # on_trade
    HEARS_TIME = 4           # on_time, before a message that comes after the time it asked for
    HEARS_READ = 8           # on_time, before somebody reads
    HEARS_GRID = 16          # on_book, after the first valid message of each step of `every_ns`; it needs a whole book

cdef struct Market:              # what is known of the market; a copy of nothing that changes within a message
    int64_t now
    int64_t bid, bid_lots, ask, ask_lots     # last valid touch
    int64_t mid2                 # bid + ask of the last valid touch, 0 = none
    int64_t mid2_ts              # its time
    int64_t mid2_before          # the one before `mid2_ts`, 0 = none
    int64_t since                # time of the first valid touch since the start or a gap, -1 = none
    bint valid                   # both sides have a level, and they do not cross
    int bid_count, ask_count     # levels copied, at most `depth`
    int64_t bid_ticks[32]        # [DEPTH_MAX], best first
    int64_t bid_sizes[32]
    int64_t ask_ticks[32]
    int64_t ask_sizes[32]
    const BookData* book         # NULL: only the touch is known
    double value_scale           # quote currency of one tick times one lot; 0 for inverse contracts
    double value_lot             # quote currency of one lot of an inverse contract; else 0

cdef struct Print:               # a market trade
    int64_t now
    int64_t ts_exchange_ns       # `now` where the venue says none
    int64_t ticks, lots
    int64_t mid2                 # of the last valid touch strictly before, 0 = none
    double value                 # quote currency
    int sign                     # +1 the aggressor bought, -1 sold: the venue's word, else Lee and Ready's rule; 0 unknown

cdef class Feature:
    cdef double* out[16]         # [PARTS_MAX], into the values of the Features that holds this feature
    cdef uint32_t hears, dirty
    cdef uint32_t wants          # a bit for each part that was asked for
    cdef int depth               # levels of a side that it reads
    cdef int64_t every_ns        # step of HEARS_GRID, 0 = every message
    cdef int64_t due             # from when HEARS_GRID hears the next valid message
    cdef int64_t asked           # time from which it hears
    cdef readonly int64_t forgotten      # updates that a full window let go before their time
    cdef void on_book(self, const Market* m) noexcept nogil
    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil
    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil
    cdef void on_gap(self) noexcept nogil
    cdef void blank(self) noexcept nogil

# ---- sums ------------------------------------------------------------------------------------------------------------

cdef struct Sum:                 # Neumaier's compensated sum (ZAMM 54, 1974) of what is in a window
    double total, carry
    int64_t count                # terms that are not 0: without any, the sum is exactly 0

cdef inline void _sum(Sum* s, double x) noexcept nogil:
    cdef double total = s.total + x
    if (s.total if s.total >= 0 else -s.total) >= (x if x >= 0 else -x):
        s.carry += (s.total - total) + x
    else:
        s.carry += (x - total) + s.total
    s.total = total

cdef inline void sum_add(Sum* s, double x) noexcept nogil:
    """Count a term in."""
    if x != 0.0:
        s.count += 1
        _sum(s, x)

cdef inline void sum_drop(Sum* s, double x) noexcept nogil:
    """Take a term out that was counted in."""
    if x != 0.0:
        s.count -= 1
        _sum(s, -x)
        if s.count == 0:
            s.total = s.carry = 0.0

cdef inline double sum_value(const Sum* s) noexcept nogil:
    return s.total + s.carry

# ---- windows of time over integers -------------------------------------------------------------------------------------

cdef struct Window:              # rows of `width` integers, each with its time, and their sums
    int64_t* times               # rings of `mask` + 1 rows
    int64_t* rows
    int64_t* sums                # [width]
    int64_t mask
    int64_t first, next          # places, taken modulo the ring
    int64_t span_ns              # a row counts while now - its time < span
    int width

cdef int window_make(Window* w, int64_t span_ns, int width) except -1
cdef void window_free(Window* w) noexcept nogil
cdef void window_clear(Window* w) noexcept nogil
cdef bint window_grow(Window* w) noexcept nogil

cdef inline void window_expire(Window* w, int64_t now) noexcept nogil:
    """Let go of the rows whose time is over."""
    cdef int64_t place
    cdef int i
    while w.first < w.next and now - w.times[w.first & w.mask] >= w.span_ns:
        place = (w.first & w.mask) * w.width
        for i in range(w.width):
            w.sums[i] -= w.rows[place + i]
        w.first += 1

cdef inline int window_add(Window* w, int64_t now, const int64_t* row) noexcept nogil:
    """Count a row in; 1 when the oldest had to go for it."""
    cdef int64_t place
    cdef int i, lost = 0
    if w.next - w.first > w.mask and not window_grow(w):
        place = (w.first & w.mask) * w.width
        for i in range(w.width):
            w.sums[i] -= w.rows[place + i]
        w.first += 1
        lost = 1
    place = w.next & w.mask                           # >= 0: it only grows
    w.times[place] = now
    for i in range(w.width):
        w.rows[place * w.width + i] = row[i]
        w.sums[i] += row[i]
    w.next += 1
    return lost

# ---- levels and medians ------------------------------------------------------------------------------------------------

cdef inline bint in_band(const Market* m, int64_t tick, double band) noexcept nogil:
    """Whether a price lies at most `band` bp from the mid."""
    cdef int64_t off = 2 * tick - m.mid2
    return <double> (off if off > 0 else -off) * 1e4 <= band * <double> m.mid2

cdef inline int64_t band_end(const Market* m, bint asks, double band) noexcept nogil:
    """The farthest price of a side in the band; one beyond the touch when there is none."""
    cdef double off = band * <double> m.mid2 / 2e4
    cdef int64_t end
    if m.mid2 > 0 and off < 1e17:
        end = <int64_t> (0.5 * <double> m.mid2 + (off if asks else -off)) + (2 if asks else -2)
        for _ in range(5):                                    # the nearest integers; rounding decides as `in_band` does
            if in_band(m, end, band):
                return end
            end += -1 if asks else 1
    return m.bid if asks else m.ask

cdef int levels_within(const BookData* book, int side, int64_t end, int count_max, int64_t* ticks,
                       int64_t* lots) noexcept nogil
cdef double middle(double* values, int64_t count) noexcept nogil

# ---- values in order ---------------------------------------------------------------------------------------------------

cdef struct Ranked:              # a multiset of doubles in order: O(sqrt n) in and out, exact ranks
    double* store                # [blocks_max * BLOCK]
    int32_t* block               # by place: the block's number in the store
    int32_t* size                # by place: its values, > 0
    double* last                 # by place: its greatest value
    int32_t* before              # by place: values in the places before; right for the first `clean` places
    int32_t* free                # numbers of unused blocks
    int32_t places, free_count, clean, blocks_max
    int64_t count

cdef Ranked* ranked_new(int64_t count_max) except NULL
cdef void ranked_free(Ranked* r) noexcept nogil
cdef void ranked_clear(Ranked* r) noexcept nogil
cdef void ranked_add(Ranked* r, double x) noexcept nogil
cdef void ranked_drop(Ranked* r, double x) noexcept nogil
cdef double ranked_at(Ranked* r, int64_t rank) noexcept nogil
cdef double ranked_median(Ranked* r) noexcept nogil
cdef double ranked_quantile(Ranked* r, double q) noexcept nogil
cdef double ranked_deviation(Ranked* r, double median) noexcept nogil
