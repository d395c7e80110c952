/* Bit scans and branch hints that Cython has no words for. Arguments of the scans are never 0. */
#ifndef APEX_BITS_H
#define APEX_BITS_H
#include <stdint.h>

static inline int apex_lowest(uint64_t word) { return __builtin_ctzll(word); }
static inline int apex_highest(uint64_t word) { return 63 - __builtin_clzll(word); }
/* Ticks no price reaches; sums and differences of two of them stay inside int64. */
#define APEX_NO_BID (-((int64_t)1 << 62))
#define APEX_NO_ASK ((int64_t)1 << 62)
#define apex_prefetch(address) __builtin_prefetch((address), 1)
#define apex_likely(x) __builtin_expect(!!(x), 1)
#define apex_unlikely(x) __builtin_expect(!!(x), 0)
#endif
