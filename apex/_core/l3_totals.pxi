# Market by order told as levels and trades, part of l3.pyx.


cdef inline int _side_of(const L3Data* l3, const Event* row, int64_t* ticks) noexcept nogil:
    """Where the order of a row stands: its side and price, or the row's own when it is not here."""
    cdef int32_t place = l3_find(l3, row.order_id)
    if place == NO_ORDER:
        ticks[0] = row.price_ticks
        return row.side
    ticks[0] = l3.orders[place].ticks
    return l3.orders[place].side


cdef inline Event* _put(Event* out, const Event* row, int kind, int side, int64_t ticks, int64_t lots) noexcept nogil:
    """Write a row of another kind with the times and the message of `row`; the place after it."""
    out[0] = row[0]
    out.kind, out.side, out.order_id, out.aux = <uint8_t> kind, <uint8_t> side, 0, 0
    out.price_ticks, out.quantity_lots = ticks, lots
    return out + 1


cdef Event* _told(L3Data* l3, const Event* row, Event* out) noexcept nogil:
    """Apply a row of an order; the trade it was and the levels it changed, three rows at most; the place after them."""
    cdef int64_t ticks, before, to_before
    cdef int side = _side_of(l3, row, &ticks)
    cdef bint moves = (row.kind == ORDER_ADD or row.kind == ORDER_MODIFY) and row.side != 0 and (
        row.side != side or row.price_ticks != ticks)
    cdef L3Change change
    if row.kind == ORDER_EXECUTE and not row.flags & KEEPS_BOOK:
        out = _put(out, row, TRADE, SELL if side == BUY else BUY if side == SELL else 0, row.price_ticks,
                   row.quantity_lots)
    before = book_quantity(l3.book, side, ticks) if side else 0
    to_before = book_quantity(l3.book, row.side, row.price_ticks) if moves else 0
    l3_apply(l3, row, &change)
    book_end_message(l3.book)
    if side and book_quantity(l3.book, side, ticks) != before:
        out = _put(out, row, BOOK_LEVEL, side, ticks, book_quantity(l3.book, side, ticks))
    if moves and book_quantity(l3.book, row.side, row.price_ticks) != to_before:
        out = _put(out, row, BOOK_LEVEL, row.side, row.price_ticks, book_quantity(l3.book, row.side, row.price_ticks))
    return out


def totals(L3Book book not None, const Event[::1] rows not None):
    """Rows of one instrument with its orders told as levels and trades; see l3.pyi."""
    cdef Py_ssize_t i, n = rows.shape[0]
    made = np.empty(3 * n, EVENT_DTYPE)
    source = np.empty(3 * n, np.int64)
    if n == 0:
        return made, source
    cdef Event[::1] out = made
    cdef int64_t[::1] places = source
    cdef Event* start = &out[0]
    cdef Event* at = start
    cdef Event* end
    cdef const Event* row
    with nogil:
        for i in range(n):
            row = &rows[i]
            if ORDER_ADD <= row.kind <= ORDER_EXECUTE:
                end = _told(book.data, row, at)
            else:
                if row.kind == SNAPSHOT_BEGIN:
                    l3_clear(book.data, 0)
                elif row.kind == BOOK_CLEAR:
                    _clear_row(book.data, row.side, row.price_ticks, row.flags & CLEAR_TO)
                    book_end_message(book.data.book)
                at[0] = row[0]
                end = at + 1
            while at != end:
                places[at - start] = i
                at += 1
    book._lost()
    return made[:at - start], source[:at - start]
