/* Exact products of money. Every product of ticks, lots and rates goes through __int128 here, each with its check. */
#ifndef APEX_MONEY_H
#define APEX_MONEY_H
#include <stdint.h>

typedef __int128 apex_int128;

#define APEX_FEE_SCALE ((int64_t)1000000000000)   /* fees are fractions in 1e-12 */

/* Sums, differences and products: 1 when the result does not fit, and *out is then void. */
static inline int apex_add(apex_int128 a, apex_int128 b, apex_int128 *out) { return __builtin_add_overflow(a, b, out); }
static inline int apex_sub(apex_int128 a, apex_int128 b, apex_int128 *out) { return __builtin_sub_overflow(a, b, out); }
static inline int apex_mul(apex_int128 a, int64_t b, apex_int128 *out)
{
    return __builtin_mul_overflow(a, (apex_int128)b, out);
}
static inline apex_int128 apex_mul2(int64_t a, int64_t b) { return (apex_int128)a * b; }   /* always fits */
static inline int apex_mul3(int64_t a, int64_t b, int64_t c, apex_int128 *out)
{
    return apex_mul((apex_int128)a * b, c, out);
}

/* Quotients; b > 0. Operands that fit 64 bits take the machine's division, which is several times cheaper. */
static inline int apex_fits(apex_int128 a) { return a == (apex_int128)(int64_t)a; }
static inline apex_int128 apex_floor(apex_int128 a, apex_int128 b)
{
    if (apex_fits(a) && apex_fits(b)) {
        int64_t x = (int64_t)a, y = (int64_t)b, q;
        if (y == 1)
            return x;
        q = x / y;
        return q - (q * y > x);
    }
    apex_int128 q = a / b;
    return q - (q * b > a);
}
static inline apex_int128 apex_ceil(apex_int128 a, apex_int128 b)
{
    apex_int128 q = apex_floor(a, b);
    return q + (q * b < a);
}

/* The nearest int64 that can be negated: a reading that would wrap stops at the end of the range. */
static inline int64_t apex_saturate(apex_int128 a)
{
    return a > INT64_MAX ? INT64_MAX : a < -INT64_MAX ? -INT64_MAX : (int64_t)a;
}

/* Halves of a 128-bit integer for Python, high first: (high << 64) + low. */
static inline int64_t apex_high(apex_int128 a) { return (int64_t)(a >> 64); }
static inline uint64_t apex_low(apex_int128 a) { return (uint64_t)a; }
#endif
