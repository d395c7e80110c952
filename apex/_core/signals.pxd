# Signals: thresholds over features and weighted scores; they decide when a strategy is called.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef enum:
    RULES_MAX = 64           # a bit each in the word of what fired
    SCORES_MAX = 16
    FEATURES_MAX = 5         # FEATURE_COUNT, checked at import
    DIRTY_BOOK = 1           # what an update may have changed
    DIRTY_TRADE = 2

cdef struct Rule:
    double above             # +infinity = no upper zone
    double below             # -infinity = no lower zone
    double hysteresis        # how far a value must leave a zone before it may enter again, >= 0
    int64_t cooldown_ns
    int64_t fired_ns         # last firing; has_fired tells whether there was one
    int32_t instrument
    int32_t input            # feature, or FEATURES_MAX + score
    uint32_t dirty           # updates that can change the input
    int32_t zone             # +1, -1, or 0: outside, armed
    bint has_fired

cdef struct Score:
    double bias
    double[5] weights        # [FEATURES_MAX]
    uint32_t dirty
    int32_t instrument

cdef class Signals:
    cdef Rule[64] rules
    cdef readonly int rule_count
    cdef Score[16] scores
    cdef readonly int score_count
    cdef dict score_names    # (name, instrument) -> index
    cdef readonly int64_t cooled         # crossings within a cool-down
    cdef uint64_t evaluate(self, int instrument, const double* values, uint32_t dirty, int64_t now) noexcept nogil
    cdef double score_value(self, int score, const double* values) noexcept nogil
