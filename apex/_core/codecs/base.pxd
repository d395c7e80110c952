from libc.stdint cimport int64_t

from apex._core.events cimport Event

# What a decoder answers instead of a row count.
cdef enum DecodeError:
    UNKNOWN_FORM = -1        # not the form this decoder knows: let the checked slow path look at it
    OFF_GRID = -2            # a price or quantity has digits below one tick or lot
    TOO_MANY_LEVELS = -3     # more rows than the scratch array holds
    WIDE_PRICE = -4          # a price of more than 32 bits of ticks: decode to 64-byte rows instead


cdef class Codec:
    # Decodes one frame into at most rows_max events. Reads payload[0 : size] and nothing else, keeps no pointer.
    # Answers the count of rows (0: nothing of interest), or a DecodeError and leaves `rows` undefined.
    cdef int decode(
        self, const char* payload, Py_ssize_t size, int64_t local_ns, Event* rows, int rows_max
    ) noexcept nogil
