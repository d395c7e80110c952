# The order-by-order book of one instrument: every order in its place in the queue, and the L2 book that they add up to.
#
# Orders lie in a pool; a hash finds them by the venue's id, and each level is a doubly linked queue. A change of an order
# is O(1): it finds the order, its level through the order, and the level's total goes into the L2 book. Only an order
# that enters a queue looks its level up. `entered` numbers the entries into any queue, so who is ahead of whom is one
# comparison, own orders of a simulation included.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from apex._core.book cimport Book, BookData, apex_prefetch
from apex._core.events cimport Batch, Event, Level

cdef enum:
    L3_PLACES_FIRST = 16384      # of orders and of levels at the start, untouched until used; four times when full
    L3_ORDERS_MAX = 1 << 26
    NO_ORDER = -1

cdef struct L3Order:             # 64 bytes, a cache line
    uint64_t id                  # the venue's; 0 = a free place
    int64_t ticks
    int64_t lots                 # what is left
    int64_t executed             # lots of KEEPS_BOOK executions that no change of the order has answered yet
    uint64_t entered             # rises with every entry into a queue
    int32_t ahead                # neighbours in the queue, NO_ORDER at its ends
    int32_t behind               # and the next free place
    int32_t level                # place of its level
    uint8_t side
    uint8_t fills_the_line[11]

cdef struct L3Level:             # 32 bytes
    int64_t ticks
    int64_t lots                 # sum of its orders
    int32_t front
    int32_t back                 # and the next free place
    int32_t count                # orders; 0 = a free place
    uint8_t side

cdef struct L3Data:
    BookData* book               # the totals
    L3Order* orders
    int32_t* order_slots         # open addressing by order id: places + 1, 0 = empty
    int64_t order_mask           # slots - 1: four slots a place
    int32_t order_capacity
    int32_t order_used           # places from here on were never used
    int32_t order_free           # first place given back, NO_ORDER = none
    int64_t order_count
    L3Level* levels
    int32_t* level_slots         # open addressing by side and ticks
    int64_t level_mask
    int32_t level_capacity
    int32_t level_used
    int32_t level_free
    int64_t level_count
    uint64_t entered             # last number given
    int64_t unknown              # changes of orders that are not here
    int64_t repeated             # an order added again under its id: read as a modification
    int64_t excess               # executions and cancellations of more than was left, read as all
    uint8_t compat               # hftbacktest's rule of crossing levels, see book_set
    uint8_t failed               # an order was lost: no memory, or a level of more than 2^63 lots

cdef struct L3Change:            # the order of a row as it was before; all 0: it was not here
    uint64_t entered             # its number in the queue
    int64_t ticks
    int64_t lots                 # what was left of it
    uint8_t side

cdef L3Data* l3_new(BookData* book, bint compat) noexcept nogil
cdef void l3_free(L3Data* l3) noexcept nogil
cdef void l3_clear(L3Data* l3, int side) noexcept nogil                    # 0: both
cdef void l3_clear_to(L3Data* l3, int side, int64_t ticks) noexcept nogil
cdef int32_t l3_find(const L3Data* l3, uint64_t id) noexcept nogil         # place, or NO_ORDER
cdef int32_t l3_level(const L3Data* l3, int side, int64_t ticks) noexcept nogil
cdef void l3_apply(L3Data* l3, const Event* row, L3Change* change) noexcept nogil
cdef int64_t l3_ahead(const L3Data* l3, int side, int64_t ticks, uint64_t entered) noexcept nogil

cdef inline int64_t l3_home(const L3Data* l3, uint64_t id) noexcept nogil:
    """First slot in which an id may lie. 16 ids that follow one another share a cache line, as orders that come together
    go together."""
    return <int64_t> (((id >> 4) * <uint64_t> 0x9E3779B97F4A7C15 >> 32 << 4) + (id & 15)) & l3.order_mask

cdef inline void l3_ask_ahead(const L3Data* l3, uint64_t id) noexcept nogil:
    """Fetch an order of a coming row early: pools of two views do not fit the cache of a core."""
    apex_prefetch(l3.orders + l3.order_slots[l3_home(l3, id)] - 1)  # of an empty slot: a line that nobody reads

cdef class L3Book:
    cdef L3Data* data
    cdef readonly Book book      # the L2 book of the totals
    cdef int _batch(self, const Batch* batch, const Level* levels, const Event* rows) noexcept nogil
    cdef _row(self, int kind, uint64_t id, int side, int64_t ticks, int64_t lots)
