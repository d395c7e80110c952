# Literals and numbers of a frame. The frame's last byte is `}`, so a loop over digits stops before its end; whatever reads
# several bytes at once checks the length left.
cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "the scanner reads eight digits at once in little-endian order"
    #endif
    #define ASCII_ZEROS 0x3030303030303030ULL
    /* Eight characters as digit values, first character in the lowest byte. */
    static inline uint64_t load_digits(const char* p) { uint64_t v; memcpy(&v, p, 8); return v ^ ASCII_ZEROS; }
    static inline int all_digits(uint64_t v) {
        return ((v | (v + 0x0606060606060606ULL)) & 0xF0F0F0F0F0F0F0F0ULL) == 0;
    }
    static inline uint64_t join_digits(uint64_t v) {
        v = v * 10 + (v >> 8);
        return (((v & 0x000000FF000000FFULL) * 0x000F424000000064ULL)
              + (((v >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL)) >> 32;
    }
    static const uint64_t POWERS_OF_TEN[19] = {
        1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL, 1000000000ULL,
        10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL, 100000000000000ULL,
        1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL};
    """
    uint64_t load_digits(const char* p) noexcept nogil
    bint all_digits(uint64_t v) noexcept nogil
    uint64_t join_digits(uint64_t v) noexcept nogil
    const uint64_t* POWERS_OF_TEN

cdef enum:
    DIGITS_MAX = 18           # 10**18 < 2**63
    MS_DIGITS = 13
    US_DIGITS = 16

cdef uint64_t MS_LAST = 9223372036854          # the last millisecond and microsecond that fit int64 ns
cdef uint64_t US_LAST = 9223372036854775


cdef inline bint literal(const char* p, const char* end, const char* text, Py_ssize_t size) noexcept nogil:
    return end - p >= size and memcmp(p, text, size) == 0


cdef inline const char* decimal(
    const char* p, const char* end, int places, int64_t step, bint wide, int64_t* value, int* error
) noexcept nogil:
    """Read a decimal up to its closing quote, in steps of `step` / 10**places; NULL and `error` if it is none."""
    cdef const char* start = p
    cdef uint64_t v = 0, x
    cdef int left = places
    cdef unsigned int d = <unsigned int> p[0] - 48u
    while d <= 9:
        v = v * 10 + d
        p += 1
        d = <unsigned int> p[0] - 48u
    if p == start or p - start + places > DIGITS_MAX:
        error[0] = UNKNOWN_FORM
        return NULL
    if p[0] == b'.':
        p += 1
        if wide and end - p >= 9:
            x = load_digits(p)
            if p[8] == b'"' and all_digits(x):
                if places < 8:
                    if (x >> (8 * places)) != 0:
                        error[0] = OFF_GRID
                        return NULL
                    x <<= 8 * (8 - places)
                v = v * POWERS_OF_TEN[places] + join_digits(x)
                p += 8
                left = 0
                start = NULL
        if start != NULL:
            start = p
            d = <unsigned int> p[0] - 48u
            while d <= 9 and left > 0:
                v = v * 10 + d
                left -= 1
                p += 1
                d = <unsigned int> p[0] - 48u
            while p[0] == b'0':
                p += 1
            if p == start and <unsigned int> p[0] - 48u > 9:
                error[0] = UNKNOWN_FORM
                return NULL
    if p[0] != b'"':
        error[0] = OFF_GRID if <unsigned int> p[0] - 48u <= 9 else UNKNOWN_FORM
        return NULL
    v *= POWERS_OF_TEN[left]
    if step != 1:
        if v % <uint64_t> step != 0:
            error[0] = OFF_GRID
            return NULL
        v //= <uint64_t> step
    value[0] = <int64_t> v
    return p


cdef inline const char* number(const char* p, const char* end, uint64_t* value) noexcept nogil:
    """Read an unsigned integer of 1 to 18 digits, as JSON writes it: no zero before others. NULL if there is none."""
    cdef const char* start = p
    cdef uint64_t v = 0, x
    cdef unsigned int d
    if end - p >= 8:
        x = load_digits(p)
        if all_digits(x):
            v = join_digits(x)
            p += 8
    d = <unsigned int> p[0] - 48u
    while d <= 9:
        v = v * 10 + d
        p += 1
        d = <unsigned int> p[0] - 48u
    if p == start or p - start > DIGITS_MAX or (start[0] == b"0" and p - start > 1):
        return NULL
    value[0] = v
    return p


cdef inline const char* moment(const char* p, const char* end, int64_t* ns) noexcept nogil:
    """Read a time of 13 digits (ms) or 16 (us) as ns; NULL if it is neither."""
    cdef uint64_t v = 0
    cdef const char* start = p
    p = number(p, end, &v)
    if p == NULL:
        return NULL
    if p - start == MS_DIGITS and v <= MS_LAST:
        ns[0] = <int64_t> v * 1000000
    elif p - start == US_DIGITS and v <= US_LAST:
        ns[0] = <int64_t> v * 1000
    else:
        return NULL
    return p


cdef inline const char* boolean(const char* p, const char* end, bint* value) noexcept nogil:
    if literal(p, end, b"true", 4):
        value[0] = True
        return p + 4
    if literal(p, end, b"false", 5):
        value[0] = False
        return p + 5
    return NULL
