"""Signals: thresholds over features and weighted scores, evaluated in compiled code after whole messages."""

from libc.math cimport INFINITY, isfinite, isnan
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from apex._core.features cimport FEATURE_COUNT, TRADE_SIGN, Features

from apex._core.features import NAMES as _NAMES

if <int> FEATURE_COUNT != FEATURES_MAX:
    raise ImportError("apex._core.signals: FEATURES_MAX is not the number of features")


cdef inline uint32_t _dirty(int feature) noexcept nogil:
    """What kind of update changes a feature."""
    return DIRTY_TRADE if feature == TRADE_SIGN else DIRTY_BOOK


cdef class Signals:
    """See Signals in signals.pyi."""

    def __cinit__(self):
        self.score_names = {}

    cdef double score_value(self, int score, const double* values) noexcept nogil:
        """Bias + sum of weight * feature; NaN when a feature with a weight is NaN."""
        cdef double total = self.scores[score].bias
        cdef int i
        for i in range(FEATURES_MAX):
            if self.scores[score].weights[i] != 0.0:
                total += self.scores[score].weights[i] * values[i]
        return total

    cdef uint64_t evaluate(self, int instrument, const double* values, uint32_t dirty, int64_t now) noexcept nogil:
        """Bits of the rules that fire. A NaN changes nothing: it is no signal."""
        cdef uint64_t fired = 0
        cdef int i, zone
        cdef Rule* rule
        cdef double x
        for i in range(self.rule_count):                  # <= RULES_MAX
            rule = &self.rules[i]
            if rule.instrument != instrument or not rule.dirty & dirty:
                continue
            x = values[rule.input] if rule.input < FEATURES_MAX else self.score_value(rule.input - FEATURES_MAX, values)
            if isnan(x):
                continue
            zone = 1 if x > rule.above else (-1 if x < rule.below else 0)
            if zone == rule.zone:
                continue
            if zone == 0:
                # Leaves its zone only beyond the hysteresis.
                if x < rule.above - rule.hysteresis if rule.zone == 1 else x > rule.below + rule.hysteresis:
                    rule.zone = 0
                elif rule.hysteresis == 0.0:
                    rule.zone = 0
                continue
            rule.zone = zone
            if rule.has_fired and now - rule.fired_ns < rule.cooldown_ns:
                self.cooled = self.cooled + 1
                continue
            rule.has_fired, rule.fired_ns = True, now
            fired |= <uint64_t> 1 << i
        return fired

    def blend(self, name, weights, double bias=0.0, int instrument=0):
        """Declare a weighted score; see signals.pyi."""
        cdef Score* score
        cdef double weight
        if self.score_count == SCORES_MAX:
            raise ValueError(f"more than {SCORES_MAX} scores in one run")
        if name in _NAMES or (name, instrument) in self.score_names:
            raise ValueError(f"{name!r} is a feature or score already: choose another name")
        if not weights or not isfinite(bias):
            raise ValueError(f"score {name!r} needs weights and a finite bias")
        score = &self.scores[self.score_count]
        memset(score, 0, sizeof(Score))
        for feature, given in weights.items():
            if feature not in _NAMES:
                raise ValueError(f"no feature {feature!r}: there are {', '.join(_NAMES)}")
            weight = given
            if not isfinite(weight):
                raise ValueError(f"weight {given!r} of {feature} is not finite")
            score.weights[<int> _NAMES[feature]] = weight
            score.dirty |= _dirty(_NAMES[feature]) if weight != 0.0 else 0
        score.bias, score.instrument = bias, instrument
        self.score_names[name, instrument] = self.score_count
        self.score_count += 1

    def value(self, name, Features features not None, int instrument=0):
        """A score's value now; see signals.pyi."""
        if (name, instrument) not in self.score_names:
            known = ", ".join(n for n, i in self.score_names if i == instrument) or "none: declare one with blend"
            raise ValueError(f"no score {name!r}; the scores are {known}")
        return self.score_value(self.score_names[name, instrument], features.values)

    def when(self, feature, above=None, below=None, double hysteresis=0.0, int64_t cooldown_ns=0, int instrument=0):
        """Declare a rule; see signals.pyi."""
        cdef Rule* rule
        cdef int score
        if self.rule_count == RULES_MAX:
            raise ValueError(f"more than {RULES_MAX} rules in one run")
        if above is None and below is None:
            raise ValueError(f"when({feature!r}) needs above, below or both")
        rule = &self.rules[self.rule_count]
        rule.above = INFINITY if above is None else above
        rule.below = -INFINITY if below is None else below
        if not (rule.below <= rule.above and hysteresis >= 0 and cooldown_ns >= 0):
            raise ValueError(f"when({feature!r}): below must not exceed above, hysteresis and cooldown must be >= 0")
        if feature in _NAMES:
            rule.input, rule.dirty = _NAMES[feature], _dirty(_NAMES[feature])
        elif (feature, instrument) in self.score_names:
            score = self.score_names[feature, instrument]
            rule.input, rule.dirty = FEATURES_MAX + score, self.scores[score].dirty
        else:
            raise ValueError(f"no feature or score {feature!r}: the features are {', '.join(_NAMES)}")
        rule.hysteresis, rule.cooldown_ns, rule.instrument = hysteresis, cooldown_ns, instrument
        rule.zone, rule.has_fired = 0, False
        self.rule_count += 1
        return self.rule_count - 1

    def check(self, Features features not None, int64_t now, int instrument=0, int dirty=3):
        """Rules that fire now; see signals.pyi."""
        cdef uint64_t fired = self.evaluate(instrument, features.values, <uint32_t> dirty, now)
        return [i for i in range(self.rule_count) if fired >> i & 1]
