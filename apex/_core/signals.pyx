"""Signals: thresholds over features and weighted scores, combined, evaluated in compiled code after whole messages."""

from libc.math cimport INFINITY, NAN, isfinite, isnan, sqrt, tanh
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from apex._core.features cimport TRADE_SIGN, Features

from apex._core.features import NAMES as _NAMES

SHAPES = {"linear": LINEAR, "clip": LINEAR, "tanh": TANH, "zscore": ZSCORE}


cdef class Signals:
    """See Signals in signals.pyi."""

    def __cinit__(self, list features=None):
        self.score_names, self.rule_names, self.features = {}, [], features

    # ---- evaluation --------------------------------------------------------------------------------------------

    cdef double score_value(self, int score, const double* values) noexcept nogil:
        """Bias + sum of weight * shaped feature; NaN when a feature with a weight is NaN, or its shape is not warm."""
        cdef Score* s = &self.scores[score]
        cdef double total = s.bias, x, limit
        cdef int i
        for i in range(s.count):                          # <= TERMS_MAX
            x = (values[s.terms[i].slot] - s.terms[i].centre) * s.terms[i].scale     # exactly the value unless shaped
            if s.terms[i].shape == TANH:
                if x != s.learned[i].last_in:
                    s.learned[i].last_in, s.learned[i].last_out = x, tanh(x)
                x = s.learned[i].last_out
            limit = s.terms[i].limit
            x = limit if limit < x else x                 # without a branch; a NaN stays one
            x = -limit if -limit > x else x
            total += s.terms[i].weight * x
        return total

    cdef void _learn(self, Score* score, const double* values, uint32_t dirty) noexcept nogil:
        """Count the updates of this message into the means and variances of the z-scores, this value included."""
        cdef Learned* one
        cdef double x, share
        cdef int i
        for i in range(score.count):
            one = &score.learned[i]
            x = values[score.terms[i].slot]
            if score.terms[i].shape != ZSCORE or not one.dirty & dirty or isnan(x):
                continue
            share = 1.0 - one.decay
            if one.count == 0:
                one.mean = x
            one.variance = one.decay * (one.variance + share * (x - one.mean) * (x - one.mean))
            one.mean += share * (x - one.mean)
            one.count += 1
            if one.count >= one.warm:
                score.terms[i].centre = one.mean
                score.terms[i].scale = 1.0 / sqrt(one.variance) if one.variance > 0.0 else 0.0

    cdef bint _crossed(self, Rule* rule, int i, double x) noexcept nogil:
        """Whether a value enters a zone of its rule."""
        cdef int zone
        if isnan(x):
            self.known = self.known & ~(<uint64_t> 1 << i)
            return False
        self.known = self.known | <uint64_t> 1 << i
        zone = 1 if x > rule.above else (-1 if x < rule.below else 0)
        if zone == rule.zone:
            return False
        if zone == 0:
            # Leaves its zone only beyond the hysteresis.
            if x < rule.above - rule.hysteresis if rule.zone == 1 else x > rule.below + rule.hysteresis:
                rule.zone = 0
            elif rule.hysteresis == 0.0:
                rule.zone = 0
            if rule.zone == 0:
                self.holds = self.holds & ~(<uint64_t> 1 << i)
            return False
        rule.zone = zone
        self.holds = self.holds | <uint64_t> 1 << i
        return True

    cdef bint _combined(self, Rule* rule, int i) noexcept nogil:
        """Whether a combination becomes true. While a rule in it is unknown it keeps what it was."""
        cdef uint64_t used = rule.all_of | rule.any_of | rule.none_of
        cdef bint now
        if used & ~self.known:
            self.known = self.known & ~(<uint64_t> 1 << i)
            return False
        self.known = self.known | <uint64_t> 1 << i
        now = (self.holds & rule.all_of) == rule.all_of and not self.holds & rule.none_of and (
            rule.any_of == 0 or (self.holds & rule.any_of) != 0)
        if now == rule.zone:
            return False
        rule.zone = now
        if now:
            self.holds = self.holds | <uint64_t> 1 << i
        else:
            self.holds = self.holds & ~(<uint64_t> 1 << i)
        return now

    cdef uint64_t evaluate(self, int instrument, const double* values, uint32_t dirty, int64_t now) noexcept nogil:
        """Bits of the rules that fire. A NaN changes nothing: it is no signal."""
        cdef uint64_t fired = 0
        cdef int i
        cdef Rule* rule
        cdef bint enters
        for i in range(self.score_count):                 # <= SCORES_MAX
            if self.scores[i].learns and self.scores[i].instrument == instrument:
                self._learn(&self.scores[i], values, dirty)
        for i in range(self.rule_count):                  # <= RULES_MAX
            rule = &self.rules[i]
            if rule.input < 0:
                enters = self._combined(rule, i)
            elif rule.instrument != instrument or not rule.dirty & dirty:
                continue
            elif rule.input < SLOTS_MAX:
                enters = self._crossed(rule, i, values[rule.input])
            else:
                enters = self._crossed(rule, i, self.score_value(rule.input - SLOTS_MAX, values))
            if not enters or rule.quiet:
                continue
            if rule.has_fired and now - rule.fired_ns < rule.cooldown_ns:
                self.cooled = self.cooled + 1
                continue
            rule.has_fired, rule.fired_ns = True, now
            fired |= <uint64_t> 1 << i
        return fired

    # ---- declaration -------------------------------------------------------------------------------------------

    cdef int _slot(self, feature, int instrument, uint32_t* dirty) except -2:
        """Slot of a feature and the updates that change it; without Features only those of _NAMES are known."""
        cdef Features known
        cdef int slot
        if self.features is None:
            if feature not in _NAMES:
                raise ValueError(f"no feature {feature!r}: there are {', '.join(_NAMES)}")
            dirty[0] = DIRTY_TRADE if _NAMES[feature] == TRADE_SIGN else DIRTY_BOOK
            return _NAMES[feature]
        known = self.features[instrument]
        slot = known.slot(feature, {})
        dirty[0] = known.dirty[slot]
        return slot

    def blend(self, name, weights, double bias=0.0, int instrument=0):
        """Declare a weighted score; see signals.pyi."""
        cdef Score made
        cdef uint32_t dirty
        if self.score_count == SCORES_MAX:
            raise ValueError(f"more than {SCORES_MAX} scores in one run")
        if name in _NAMES or (name, instrument) in self.score_names:
            raise ValueError(f"{name!r} is a feature or score already: choose another name")
        if not weights or not isfinite(bias):
            raise ValueError(f"score {name!r} needs weights and a finite bias")
        if len(weights) > TERMS_MAX:
            raise ValueError(f"score {name!r} has more than {TERMS_MAX} features")
        memset(&made, 0, sizeof(Score))
        slots = [(self._slot(feature, instrument, &dirty), feature, given) for feature, given in weights.items()]
        for _, feature, given in sorted(slots, key=_first):
            memset(&made.terms[made.count], 0, sizeof(Term))
            memset(&made.learned[made.count], 0, sizeof(Learned))
            made.terms[made.count].slot = self._slot(feature, instrument, &dirty)
            _shape(&made.terms[made.count], &made.learned[made.count], feature, given)
            if made.terms[made.count].weight != 0.0:
                made.learned[made.count].dirty = dirty
                made.dirty |= dirty
                made.learns = made.learns or made.terms[made.count].shape == ZSCORE
                made.count += 1
        made.bias, made.instrument = bias, instrument
        self.scores[self.score_count] = made
        self.score_names[name, instrument] = self.score_count
        self.score_count = self.score_count + 1

    def value(self, name, Features features not None, int instrument=0):
        """A score's value now; see signals.pyi."""
        if (name, instrument) not in self.score_names:
            known = ", ".join(n for n, i in self.score_names if i == instrument) or "none: declare one with blend"
            raise ValueError(f"no score {name!r}; the scores are {known}")
        return self.score_value(self.score_names[name, instrument], features.values)

    cdef Rule* _new_rule(self, name, int instrument, int64_t cooldown_ns, bint quiet) except NULL:
        """The next rule, not yet counted."""
        cdef Rule* rule
        if self.rule_count == RULES_MAX:
            raise ValueError(f"more than {RULES_MAX} rules in one run")
        if name is not None and name in self.rule_names:
            raise ValueError(f"there is a rule {name!r} already: choose another name")
        rule = &self.rules[self.rule_count]
        memset(rule, 0, sizeof(Rule))
        rule.instrument, rule.cooldown_ns, rule.quiet = instrument, cooldown_ns, quiet
        return rule

    def when(self, feature, above=None, below=None, double hysteresis=0.0, int64_t cooldown_ns=0, int instrument=0,
             name=None, bint quiet=False):
        """Declare a rule; see signals.pyi."""
        cdef Rule* rule = self._new_rule(name, instrument, cooldown_ns, quiet)
        cdef int score
        if above is None and below is None:
            raise ValueError(f"when({feature!r}) needs above, below or both")
        rule.above = INFINITY if above is None else above
        rule.below = -INFINITY if below is None else below
        if not (rule.below <= rule.above and hysteresis >= 0 and cooldown_ns >= 0):
            raise ValueError(f"when({feature!r}): below must not exceed above, hysteresis and cooldown must be >= 0")
        rule.hysteresis = hysteresis
        if (feature, instrument) in self.score_names:
            score = self.score_names[feature, instrument]
            rule.input, rule.dirty = SLOTS_MAX + score, self.scores[score].dirty
        else:
            try:
                rule.input = self._slot(feature, instrument, &rule.dirty)
            except ValueError as error:
                raise ValueError(f"no feature or score {feature!r}: {error}") from None
        return self._counted(name)

    def _counted(self, name):
        self.rule_names.append(name)
        self.rule_count = self.rule_count + 1
        return self.rule_count - 1

    cdef int _number(self, which) except -1:
        """Number of an earlier rule from its number or name."""
        if which in self.rule_names and which is not None:
            return self.rule_names.index(which)
        if not isinstance(which, int) or not 0 <= which < self.rule_count:
            known = ", ".join(str(i if n is None else n) for i, n in enumerate(self.rule_names)) or "none"
            raise ValueError(f"no rule {which!r} was declared before; there are {known}")
        return which

    def combine(self, all=(), any=(), none=(), int64_t cooldown_ns=0, name=None, bint quiet=False):
        """Declare a combination; see signals.pyi."""
        cdef Rule* rule = self._new_rule(name, -1, cooldown_ns, quiet)
        cdef int number
        if not (all or any or none):
            raise ValueError("combine needs rules in all, any or none")
        if cooldown_ns < 0:
            raise ValueError("combine: cooldown must be >= 0")
        for which in all:
            number = self._number(which)
            rule.all_of |= <uint64_t> 1 << number
        for which in any:
            number = self._number(which)
            rule.any_of |= <uint64_t> 1 << number
        for which in none:
            number = self._number(which)
            rule.none_of |= <uint64_t> 1 << number
        rule.input = -1
        return self._counted(name)

    def name(self, int rule):
        """A rule's name; see signals.pyi."""
        return self.rule_names[self._number(rule)]

    def holding(self, which):
        """Whether a rule holds; see signals.pyi."""
        cdef uint64_t bit = <uint64_t> 1 << self._number(which)
        return None if not self.known & bit else bool(self.holds & bit)

    def check(self, Features features not None, int64_t now, int instrument=0, int dirty=3):
        """Rules that fire now; see signals.pyi."""
        cdef uint64_t fired = self.evaluate(instrument, features.values, <uint32_t> dirty, now)
        return [i for i in range(self.rule_count) if fired >> i & 1]


def _first(row):
    return row[0]


cdef int _shape(Term* term, Learned* learned, feature, given) except -1:
    """Weight and shape of a feature in a score, from a number or a table of them."""
    parts = {"weight": given} if not isinstance(given, dict) else dict(given)
    shape = parts.pop("shape", "linear")
    if shape not in SHAPES:
        raise ValueError(f"shape {shape!r} of {feature} is unknown: choose one of {', '.join(SHAPES)}")
    term.shape = SHAPES[shape]
    term.limit, learned.last_in = INFINITY, NAN
    if shape == "zscore":
        updates = parts.pop("updates", 1000)
        if not isinstance(updates, int) or updates < 2:
            raise ValueError(f"updates of {feature} must be a whole number of 2 or more, not {updates!r}")
        learned.warm, learned.decay, term.centre = updates, 1.0 - 1.0 / updates, NAN
    else:
        scale = parts.pop("scale", 1.0)
        if not (isfinite(scale) and scale > 0):
            raise ValueError(f"scale {scale!r} of {feature} must be finite and > 0")
        term.centre, term.scale = parts.pop("centre", 0.0), 1.0 / scale
    if shape == "clip" or shape == "zscore":
        term.limit = parts.pop("limit", 1.0 if shape == "clip" else INFINITY)
    term.weight = parts.pop("weight", 1.0)
    if parts:
        raise ValueError(f"{feature}: a {shape} takes no {', '.join(map(str, parts))}")
    if not isfinite(term.weight):
        raise ValueError(f"weight {given!r} of {feature} is not finite")
    if not ((isfinite(term.centre) or shape == "zscore") and term.limit > 0):
        raise ValueError(f"centre of {feature} must be finite and limit > 0")
    return 0
