# Signals: thresholds over features and weighted scores, and combinations of them; they decide when a strategy is called.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from apex._core.feature cimport DIRTY_BOOK, DIRTY_TRADE
from apex._core.features cimport SLOTS_MAX

cdef enum:
    RULES_MAX = 64           # a bit each in the words of what fired, holds and is known
    SCORES_MAX = 16
    TERMS_MAX = 64           # of one score

cdef enum Shape:
    LINEAR = 0               # (x - centre) / scale, within +-limit
    TANH = 1                 # tanh((x - centre) / scale)
    ZSCORE = 2               # (x - mean) / deviation of the last updates, exponentially weighted, within +-limit

cdef struct Rule:
    double above             # +infinity = no upper zone
    double below             # -infinity = no lower zone
    double hysteresis        # how far a value must leave a zone before it may enter again, >= 0
    int64_t cooldown_ns
    int64_t fired_ns         # last firing; has_fired tells whether there was one
    uint64_t all_of, any_of, none_of     # of a combination: earlier rules, a bit each; 0 = no such condition
    int32_t instrument
    int32_t input            # slot, SLOTS_MAX + score, or -1: a combination
    uint32_t dirty           # updates that can change the input
    int32_t zone             # +1, -1, or 0: outside, armed
    bint has_fired
    bint quiet               # a condition of others: it never fires

cdef struct Term:            # value: weight * shaped (x - centre) * scale
    double weight
    double centre            # of ZSCORE the mean, NaN until it is warm
    double scale             # 1 / the scale that was given; of ZSCORE 1 / deviation, 0 while that is 0
    double limit             # > 0, infinity = none
    int32_t slot
    int32_t shape

cdef struct Learned:         # what a term keeps besides
    double last_in, last_out             # of TANH
    double mean, variance, decay         # of ZSCORE; decay = 1 - 1 / updates
    int64_t count, warm
    uint32_t dirty

cdef struct Score:
    double bias
    Term[64] terms           # [TERMS_MAX], slots ascend
    Learned[64] learned
    int32_t count
    uint32_t dirty
    int32_t instrument
    bint learns              # it has a ZSCORE

cdef class Signals:
    cdef Rule[64] rules
    cdef readonly int rule_count
    cdef Score[16] scores
    cdef readonly int score_count
    cdef dict score_names    # (name, instrument) -> index
    cdef list rule_names     # None where a rule has none
    cdef list features       # of each instrument, or None: only NAMES are known
    cdef uint64_t holds      # rules in a zone, combinations that are true
    cdef uint64_t known      # rules whose input is not NaN
    cdef readonly int64_t cooled         # crossings within a cool-down
    cdef uint64_t evaluate(self, int instrument, const double* values, uint32_t dirty, int64_t now) noexcept nogil
    cdef bint _combined(self, Rule* rule, int i) noexcept nogil
    cdef bint _crossed(self, Rule* rule, int i, double x) noexcept nogil
    cdef double score_value(self, int score, const double* values) noexcept nogil
    cdef void _learn(self, Score* score, const double* values, uint32_t dirty) noexcept nogil
    cdef int _slot(self, feature, int instrument, uint32_t* dirty) except -2
    cdef Rule* _new_rule(self, name, int instrument, int64_t cooldown_ns, bint quiet) except NULL
    cdef int _number(self, which) except -1
