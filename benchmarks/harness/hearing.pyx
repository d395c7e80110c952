"""Features fed without an engine around them: touches alone, and whole messages with the book they need."""

from libc.stdint cimport int64_t

from apex._core.book cimport NO_ASK, NO_BID, BookData, book_apply, book_free, book_new
from apex._core.events cimport AT_LOCAL, BOOK_LEVEL, LAST_IN_BATCH, LEVELS, NOT_MARKET, TRADE, Batch, Event, Level
from apex._core.features cimport Features
from apex._core.signals cimport Signals


def touches(Features features not None, const int64_t[:, ::1] rows not None):
    """Feed rows of time, bid, bid lots, ask, ask lots."""
    cdef int64_t i
    if rows.shape[1] != 5:
        raise ValueError("rows of five are needed")
    with nogil:
        for i in range(rows.shape[0]):
            features.on_touch(rows[i, 1], rows[i, 2], rows[i, 3], rows[i, 4], True, rows[i, 0], NULL)


def trades(Features features not None, const int64_t[:, ::1] rows not None):
    """Feed rows of time, side, ticks, lots, venue time."""
    cdef int64_t i
    if rows.shape[1] != 5:
        raise ValueError("rows of five are needed")
    with nogil:
        for i in range(rows.shape[0]):
            features.on_trade(<int> rows[i, 1], rows[i, 2], rows[i, 3], rows[i, 0], rows[i, 4])


def messages(Features features not None, const Batch[::1] batches not None, const Level[::1] levels not None,
             const Event[::1] rows not None):
    """Feed the local view of instrument 0, books and trades in their order; the numbers of depth messages and trades."""
    cdef BookData* book = book_new()
    cdef const Event* row = &rows[0] if rows.shape[0] else NULL
    cdef const Level* level = &levels[0] if levels.shape[0] else NULL
    cdef const Batch* batch
    cdef int64_t i, k, depths = 0, prints = 0
    cdef int what
    cdef bint synced = False
    if book == NULL:
        raise MemoryError("no memory for a book")
    with nogil:
        for i in range(batches.shape[0]):
            batch = &batches[i]
            if batch.instrument != 0 or not batch.flags & AT_LOCAL:
                continue
            if batch.kind == TRADE:
                if batch.flags & NOT_MARKET:
                    continue
                for k in range(batch.first, <int64_t> batch.first + batch.count):
                    prints += 1
                    if batch.encoding == LEVELS:
                        features.on_trade(level[k].side, level[k].price_ticks, level[k].quantity_lots,
                                          batch.ts_local_ns, batch.ts_exchange_ns)
                    else:
                        features.on_trade(row[k].side, row[k].price_ticks, row[k].quantity_lots, batch.ts_local_ns,
                                          batch.ts_exchange_ns)
                continue
            if batch.kind == BOOK_LEVEL and not synced:
                continue
            what = book_apply(book, batch, level, row, False)
            if what > 1:
                synced = what == 2
                features.on_gap()
            elif what == 1 and batch.flags & LAST_IN_BATCH:
                depths += 1
                features.on_book(book, book.bid.best != NO_BID and book.ask.best != NO_ASK
                                 and book.bid.best < book.ask.best, batch.ts_local_ns)
    book_free(book)
    return depths, prints


def evaluations(Signals signals not None, const double[:, ::1] values not None):
    """Evaluate the rules once for each row of values, one a slot; how often one fired."""
    cdef int64_t i, fired = 0
    with nogil:
        for i in range(values.shape[0]):
            fired += signals.evaluate(0, &values[i, 0], 3, i) != 0
    return fired
