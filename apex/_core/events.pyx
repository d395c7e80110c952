"""Event, packed batch, order command: the structs' numpy dtypes, derived, and the packing between both encodings."""

import numpy as np

cimport cython

BUILD = (<bytes>APEX_BUILD).decode()
COMPILER_FLAGS = (<bytes>APEX_FLAGS).decode()


cdef extern from *:
    """
    #define APEX_BUILD APEX_BUILD_NAME
    #define APEX_FLAGS APEX_FLAGS_TEXT
    """
    const char* APEX_BUILD
    const char* APEX_FLAGS


cdef Event _event
cdef Batch _batch
cdef Level _level
cdef OrderCommand _command

EVENT_DTYPE = np.asarray(<Event[:1]> &_event).dtype
BATCH_DTYPE = np.asarray(<Batch[:1]> &_batch).dtype
LEVEL_DTYPE = np.asarray(<Level[:1]> &_level).dtype
COMMAND_DTYPE = np.asarray(<OrderCommand[:1]> &_command).dtype

if (sizeof(Event), sizeof(Batch), sizeof(Level), sizeof(OrderCommand)) != (64, 40, 16, 64):
    raise ImportError("apex._core.events: a struct has not its stated size on this platform")

KINDS = {
    "BOOK_LEVEL": BOOK_LEVEL, "BOOK_CLEAR": BOOK_CLEAR, "TRADE": TRADE, "QUOTE": QUOTE, "MARK": MARK, "BAR": BAR,
    "ACK": ACK, "REJECT": REJECT, "CANCELED": CANCELED, "EXPIRED": EXPIRED, "FILL": FILL,
    "TRIGGERED": TRIGGERED, "FUNDING": FUNDING, "LIQUIDATION": LIQUIDATION, "HALT": HALT,
    "LINK_UP": LINK_UP, "LINK_DOWN": LINK_DOWN, "LINK_GAP": LINK_GAP, "SNAPSHOT_BEGIN": SNAPSHOT_BEGIN,
    "FEE": FEE, "ERROR": ERROR, "CLOCK": CLOCK, "TIMER": TIMER, "COMMAND": COMMAND, "SCORE": SCORE,
    "CONTROLS": CONTROLS, "ORDER_ADD": ORDER_ADD, "ORDER_MODIFY": ORDER_MODIFY, "ORDER_DELETE": ORDER_DELETE,
    "ORDER_EXECUTE": ORDER_EXECUTE,
}
FLAGS = {
    "LAST_IN_BATCH": LAST_IN_BATCH, "SNAPSHOT": SNAPSHOT, "MAKER": MAKER, "AT_VENUE": AT_VENUE,
    "AT_LOCAL": AT_LOCAL, "CLEAR_TO": CLEAR_TO, "NO_VENUE_TIME": NO_VENUE_TIME, "NOT_MARKET": NOT_MARKET,
    "OPTIMISTIC": OPTIMISTIC, "KEEPS_BOOK": KEEPS_BOOK,
}
SIDES = {"NO_SIDE": NO_SIDE, "BUY": BUY, "SELL": SELL}
TIFS = {"GTC": GTC, "GTX": GTX, "IOC": IOC, "FOK": FOK}
ENCODINGS = {"LEVELS": LEVELS, "ROWS": ROWS}


cdef inline bint _fits(const Event* row) noexcept nogil:
    """Whether a row can be a Level: no order, no aux, and a price of 32 bits."""
    return row.order_id == 0 and row.aux == 0 and -2147483648 <= row.price_ticks <= 2147483647


cdef inline bint _same(const Event* first, const Event* row) noexcept nogil:
    """Whether `row` belongs to the message that `first` begins (LAST_IN_BATCH apart)."""
    return (
        first.ts_local_ns == row.ts_local_ns and first.ts_exchange_ns == row.ts_exchange_ns
        and first.sequence == row.sequence and first.instrument == row.instrument and first.kind == row.kind
        and (first.flags & ~LAST_IN_BATCH) == (row.flags & ~LAST_IN_BATCH) and _fits(first) == _fits(row)
    )


def pack(const Event[::1] events not None):
    """Pack canonical rows into batches, levels and raw rows.

    Parameters
    ----------
    events : array of EVENT_DTYPE, shape (n,)
        Canonical rows in tape order.

    Returns
    -------
    batches : BATCH_DTYPE, levels : LEVEL_DTYPE, rows : EVENT_DTYPE
        `first` counts from 0 within the returned arrays. `unpack` gives back exactly `events`.
    """
    cdef Py_ssize_t n = events.shape[0], i = 0, j, k
    batches = np.zeros(n, BATCH_DTYPE)
    levels = np.zeros(n, LEVEL_DTYPE)
    if n == 0:
        return batches, levels, np.zeros(0, EVENT_DTYPE)
    cdef Batch[::1] b = batches
    cdef Level[::1] lv = levels
    cdef const Event* e = &events[0]
    cdef Py_ssize_t batch_count = 0, level_count = 0, row_count = 0
    picked = np.zeros(n, np.bool_)
    cdef cython.uchar[::1] raw = picked.view(np.uint8)
    while i < n:
        j = i + 1
        while j < n and not (e[j - 1].flags & LAST_IN_BATCH) and _same(&e[i], &e[j]):
            j += 1
        b[batch_count].ts_exchange_ns = e[i].ts_exchange_ns
        b[batch_count].ts_local_ns = e[i].ts_local_ns
        b[batch_count].sequence = e[i].sequence
        b[batch_count].instrument = e[i].instrument
        b[batch_count].flags = e[j - 1].flags
        b[batch_count].kind = e[i].kind
        b[batch_count].count = <uint32_t> (j - i)
        if _fits(&e[i]):
            b[batch_count].encoding = LEVELS
            b[batch_count].first = <uint32_t> level_count
            for k in range(i, j):
                lv[level_count].quantity_lots = e[k].quantity_lots
                lv[level_count].price_ticks = <int32_t> e[k].price_ticks
                lv[level_count].side = e[k].side
                level_count += 1
        else:
            b[batch_count].encoding = ROWS
            b[batch_count].first = <uint32_t> row_count
            for k in range(i, j):
                raw[k] = 1
                row_count += 1
        batch_count += 1
        i = j
    return batches[:batch_count].copy(), levels[:level_count].copy(), np.asarray(events)[picked]


def unpack(const Batch[::1] batches not None, const Level[::1] levels not None, const Event[::1] rows not None):
    """Canonical rows of packed batches: the inverse of `pack`.

    Raises
    ------
    ValueError
        If a batch points outside `levels` or `rows`.
    """
    cdef Py_ssize_t i, n = 0, k = 0
    cdef uint32_t j
    cdef uint64_t limit
    for i in range(batches.shape[0]):
        limit = levels.shape[0] if batches[i].encoding == LEVELS else rows.shape[0]
        if batches[i].count == 0 or <uint64_t> batches[i].first + batches[i].count > limit:
            raise ValueError(f"batch {i} points outside the tape's sections")
        n += batches[i].count
    events = np.zeros(n, EVENT_DTYPE)
    if n == 0:
        return events
    cdef Event[::1] out = events
    cdef Event* e
    for i in range(batches.shape[0]):
        for j in range(batches[i].count):
            e = &out[k]
            if batches[i].encoding == ROWS:
                e[0] = rows[batches[i].first + j]
            else:
                e.ts_exchange_ns = batches[i].ts_exchange_ns
                e.ts_local_ns = batches[i].ts_local_ns
                e.sequence = batches[i].sequence
                e.price_ticks = levels[batches[i].first + j].price_ticks
                e.quantity_lots = levels[batches[i].first + j].quantity_lots
                e.instrument = batches[i].instrument
                e.kind = batches[i].kind
                e.side = levels[batches[i].first + j].side
                e.flags = batches[i].flags & ~LAST_IN_BATCH
                if j + 1 == batches[i].count:
                    e.flags = batches[i].flags
            k += 1
    return events
