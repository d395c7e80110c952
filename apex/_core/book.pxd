# The L2 book of one instrument: integer ticks and lots, every level of both sides kept.
#
# A side is a window of 2^16 ticks around its best (lots in an array, three levels of bitmaps to find the next best)
# and an open-addressing hash for the levels outside it. An update inside the window is O(1); finding the next best is
# at most three masked words. The window moves, exactly, when the best leaves its middle half.
from libc.stdint cimport int64_t, uint8_t, uint64_t

from apex._core.events cimport Batch, Event, Level

cdef extern from "bits.h" nogil:
    int apex_lowest(uint64_t word) noexcept
    int apex_highest(uint64_t word) noexcept
    void apex_prefetch(const void* address) noexcept
    bint apex_likely(bint condition) noexcept
    bint apex_unlikely(bint condition) noexcept
    const int64_t NO_BID "APEX_NO_BID"    # best of an empty bid side, below every tick
    const int64_t NO_ASK "APEX_NO_ASK"

cdef enum:
    WINDOW = 65536           # ticks
    WINDOW_WORDS = 1024
    WINDOW_GROUPS = 16
    FAR_FIRST = 1024         # slots of the hash at the start; doubled at half load
    FAR_SLOTS_MAX = 1 << 22  # more levels outside the window than half of it: the side fails

cdef struct BookSide:
    int64_t* lots            # [WINDOW], 0 = no level
    uint64_t* words          # [WINDOW_WORDS], a bit a tick
    uint64_t groups[16]      # a bit a word
    uint64_t top             # a bit a group
    int64_t base             # tick of slot 0, a multiple of 64
    int64_t best             # ticks; NO_BID or NO_ASK when there is none
    int64_t bound            # compat: the farthest tick that a search for the next best may find
    int64_t level_count      # levels in the window and outside
    int64_t* far_ticks       # hash: FAR_EMPTY or a tick outside the window
    int64_t* far_lots
    int64_t far_mask         # slots - 1
    int64_t far_count
    int64_t recentres        # times the window moved
    uint8_t failed           # a level was lost: no memory, or FAR_SLOTS_MAX reached

cdef struct BookData:
    BookSide bid
    BookSide ask
    int64_t negatives        # updates with a negative quantity, read as 0

cdef BookData* book_new() noexcept nogil
cdef void book_free(BookData* book) noexcept nogil
cdef void book_clear(BookData* book, int side) noexcept nogil              # side 0: both
cdef void book_clear_to(BookData* book, int side, int64_t ticks, bint compat) noexcept nogil
cdef int64_t book_next(const BookData* book, int side, int64_t ticks) noexcept nogil   # next level away from the touch
cdef int64_t book_walk(const BookData* book, int side, int64_t lots, int64_t limit, int64_t* worst,
                       int64_t* cost) noexcept nogil
cdef int64_t book_volume_within(const BookData* book, int side, int64_t ticks) noexcept nogil
cdef int book_top(const BookData* book, int side, int count, int64_t* ticks, int64_t* lots) noexcept nogil

cdef void side_far_put(BookSide* s, int side, int64_t ticks, int64_t lots) noexcept nogil
cdef int64_t side_far_get(const BookSide* s, int64_t ticks) noexcept nogil
cdef int64_t side_below(const BookSide* s, int64_t ticks) noexcept nogil   # highest level < ticks, or NO_BID
cdef int64_t side_above(const BookSide* s, int64_t ticks) noexcept nogil   # lowest level > ticks, or NO_ASK
cdef int64_t side_next_bid(BookSide* s, int64_t ticks) noexcept nogil      # side_below, and the window follows
cdef int64_t side_next_ask(BookSide* s, int64_t ticks) noexcept nogil
cdef void side_recentre(BookSide* s, int64_t ticks) noexcept nogil

cdef inline bint book_crossed(const BookData* book) noexcept nogil:
    return book.bid.best > book.ask.best          # an empty side is never crossed: NO_BID < every tick < NO_ASK

cdef inline bint book_locked(const BookData* book) noexcept nogil:
    return book.bid.best == book.ask.best

cdef inline int64_t book_quantity(const BookData* book, int side, int64_t ticks) noexcept nogil:
    """Lots at a price, 0 if there is no level."""
    cdef const BookSide* s = &book.bid if side == 1 else &book.ask
    cdef uint64_t slot = <uint64_t> ticks - <uint64_t> s.base
    if apex_likely(slot < WINDOW):                # also the proof of the index
        return s.lots[slot]
    return side_far_get(s, ticks)

cdef inline void _side_put(BookSide* s, int side, int64_t ticks, int64_t lots) noexcept nogil:
    """Store a level of the side and keep its bitmaps and count; the best is the caller's."""
    cdef uint64_t slot = <uint64_t> ticks - <uint64_t> s.base
    cdef uint64_t word, before, after
    if apex_unlikely(slot >= WINDOW):
        side_far_put(s, side, ticks, lots)
        return
    # Whether a level comes, goes or changes is a coin's throw: no branch on it, only on a word that fills or empties.
    s.level_count += (lots != 0) - (s.lots[slot] != 0)                   # slot < WINDOW
    s.lots[slot] = lots
    word = slot >> 6                                                     # < WINDOW_WORDS
    before = s.words[word]
    after = before & ~(<uint64_t> 1 << (slot & 63)) | <uint64_t> (lots != 0) << (slot & 63)
    s.words[word] = after
    if apex_unlikely((before != 0) != (after != 0)):
        if after != 0:
            s.groups[word >> 6] |= <uint64_t> 1 << (word & 63)
            s.top |= <uint64_t> 1 << (word >> 6)
        else:
            s.groups[word >> 6] &= ~(<uint64_t> 1 << (word & 63))
            if s.groups[word >> 6] == 0:
                s.top &= ~(<uint64_t> 1 << (word >> 6))

cdef inline int64_t _next_bid(BookSide* s, int64_t ticks) noexcept nogil:
    cdef uint64_t slot = <uint64_t> ticks - <uint64_t> s.base
    cdef uint64_t left
    if apex_likely(slot < WINDOW):
        left = s.words[slot >> 6] & ((<uint64_t> 1 << (slot & 63)) - 1)
        if apex_likely(left != 0):
            return s.base + <int64_t> (slot & ~<uint64_t> 63) + apex_highest(left)
    return side_next_bid(s, ticks)

cdef inline int64_t _next_ask(BookSide* s, int64_t ticks) noexcept nogil:
    cdef uint64_t slot = <uint64_t> ticks - <uint64_t> s.base
    cdef uint64_t left
    if apex_likely(slot < WINDOW):
        left = s.words[slot >> 6] & (~<uint64_t> 1 << (slot & 63))
        if apex_likely(left != 0):
            return s.base + <int64_t> (slot & ~<uint64_t> 63) + apex_lowest(left)
    return side_next_ask(s, ticks)

cdef inline void book_set(BookData* book, int side, int64_t ticks, int64_t lots, bint compat) noexcept nogil:
    """Set the total quantity at a price; 0 deletes. Call book_end_message when the venue's message is applied.

    compat, a literal: hftbacktest's rule, where an insert that crosses moves the opposite best to its next level
    beyond and leaves the stale levels behind.
    """
    if apex_unlikely(lots < 0):
        book.negatives += 1
        lots = 0
    if side == 1:
        _side_put(&book.bid, 1, ticks, lots)
        if apex_likely(ticks < book.bid.best):
            if compat and apex_unlikely((lots != 0) & (ticks < book.bid.bound)):
                book.bid.bound = ticks
        elif lots:
            if ticks > book.bid.best:
                book.bid.best = ticks
                if compat and ticks >= book.ask.best:
                    book.ask.best = _next_ask(&book.ask, ticks)
                    if book.ask.best > book.ask.bound:
                        book.ask.best = NO_ASK
            if compat and ticks < book.bid.bound:
                book.bid.bound = ticks
        elif ticks == book.bid.best:
            book.bid.best = _next_bid(&book.bid, ticks)
            if compat and book.bid.best < book.bid.bound:
                book.bid.best = NO_BID
                book.bid.bound = NO_ASK
    else:
        _side_put(&book.ask, 2, ticks, lots)
        if apex_likely(ticks > book.ask.best):
            if compat and apex_unlikely((lots != 0) & (ticks > book.ask.bound)):
                book.ask.bound = ticks
        elif lots:
            if ticks < book.ask.best:
                book.ask.best = ticks
                if compat and ticks <= book.bid.best:
                    book.bid.best = _next_bid(&book.bid, ticks)
                    if book.bid.best < book.bid.bound:
                        book.bid.best = NO_BID
            if compat and ticks > book.ask.bound:
                book.ask.bound = ticks
        elif ticks == book.ask.best:
            book.ask.best = _next_ask(&book.ask, ticks)
            if compat and book.ask.best > book.ask.bound:
                book.ask.best = NO_ASK
                book.ask.bound = NO_BID

cdef inline void book_ask_ahead(const BookData* book, const Level* levels, uint64_t i, uint64_t count) noexcept nogil:
    """Fetch the slot of a coming level of the message early: the windows of four sides fill the cache of a core."""
    cdef const BookSide* s
    if i + 8 < count:
        i += 8
    s = &book.bid if levels[i].side == 1 else &book.ask
    apex_prefetch(s.lots + ((<uint64_t> levels[i].price_ticks - <uint64_t> s.base) & (WINDOW - 1)))

cdef inline void book_set_levels(BookData* book, const Level* levels, uint64_t count, bint compat) noexcept nogil:
    """Set the levels of one packed message."""
    cdef uint64_t i
    for i in range(count):
        book_ask_ahead(book, levels, i, count)
        book_set(book, levels[i].side, levels[i].price_ticks, levels[i].quantity_lots, compat)

cdef inline void book_end_message(BookData* book) noexcept nogil:
    """Move a window whose best has left its middle half."""
    if apex_unlikely(<uint64_t> (book.bid.best - book.bid.base) - WINDOW // 4 >= WINDOW // 2):
        if book.bid.best != NO_BID:
            side_recentre(&book.bid, book.bid.best)
    if apex_unlikely(<uint64_t> (book.ask.best - book.ask.base) - WINDOW // 4 >= WINDOW // 2):
        if book.ask.best != NO_ASK:
            side_recentre(&book.ask, book.ask.best)

cdef int book_apply(BookData* book, const Batch* batch, const Level* levels, const Event* rows, bint compat) noexcept nogil

cdef class Book:
    cdef BookData* data
    cdef readonly bint synced, compat
    cdef readonly int64_t crossed_messages   # synced depth messages after which bid >= ask
