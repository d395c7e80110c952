"""What every venue's compiled decoder is: bytes of one frame in, rows out."""


cdef class Codec:
    """Base class of the compiled decoders; on its own it knows no form."""

    cdef int decode(
        self, const char* payload, Py_ssize_t size, int64_t local_ns, Event* rows, int rows_max
    ) noexcept nogil:
        return UNKNOWN_FORM


DECODE_ERRORS = {
    UNKNOWN_FORM: "UNKNOWN_FORM", OFF_GRID: "OFF_GRID", TOO_MANY_LEVELS: "TOO_MANY_LEVELS", WIDE_PRICE: "WIDE_PRICE",
}
