# Recorded order latencies, part of simvenue.pyx.


cdef inline int64_t _between(int64_t x1, int64_t y1, int64_t x2, int64_t y2, int64_t at) noexcept nogil:
    """Linear interpolation, truncated toward zero."""
    return <int64_t> ((<double> (y2 - y1)) / (<double> (x2 - x1)) * (<double> (at - x1))) + y1


cdef inline int64_t _row_of(const int64_t* x, int64_t rows, int64_t* cursor, int64_t at) noexcept nogil:
    """Row whose span holds time `at`; the cursor only moves forward."""
    while cursor[0] + 1 < rows and x[cursor[0] + 1] <= at:
        cursor[0] += 1
    return cursor[0]


cdef inline int64_t _entry(Latency* recorded, int64_t at, bint literal) noexcept nogil:
    """Recorded latency to the venue at local time `at`; negative: refused before the venue, known after so long.

    A row whose `received` is 0 is such a refusal. literal: hftbacktest's rule, which subtracts also from a 0 of the
    first row and of the last.
    """
    cdef const int64_t* x = recorded.requested
    cdef const int64_t* y = recorded.received
    cdef int64_t i = 0, n
    if at >= x[0]:
        i = _row_of(x, recorded.rows, &recorded.entry_cursor, at)
        n = i + 1
        if n < recorded.rows:
            if y[i] <= 0 or y[n] <= 0:
                y = recorded.responded
                return -_between(x[i], y[i] - x[i], x[n], y[n] - x[n], at)
            return _between(x[i], y[i] - x[i], x[n], y[n] - x[n], at)
    if y[i] <= 0 and not literal:
        return x[i] - recorded.responded[i]
    return y[i] - x[i]


cdef inline int64_t _answer(Latency* recorded, int64_t at) noexcept nogil:
    """Recorded latency of a reply that leaves the venue at `at`."""
    cdef const int64_t* x = recorded.received
    cdef const int64_t* y = recorded.responded
    cdef int64_t i
    if at < x[0]:
        return y[0] - x[0]
    i = _row_of(x, recorded.rows, &recorded.response_cursor, at)
    if i + 1 < recorded.rows:
        return _between(x[i], y[i] - x[i], x[i + 1], y[i + 1] - x[i + 1], at)
    return y[i] - x[i]
