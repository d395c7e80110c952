"""The replay driver: merges the venue's view, our view, both order legs and the timers into one order of time."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from apex._core.engine cimport Engine
from apex._core.events cimport AT_LOCAL, AT_VENUE, LEVELS, ORDER_ADD, ORDER_EXECUTE, ROWS, Batch, Event, Level
from apex._core.l3 cimport L3Data, l3_ask_ahead
from apex._core.simvenue cimport SimVenue

cdef int64_t NEVER = 9223372036854775807
cdef enum:
    LOCAL_DATA = 0
    LOCAL_REPLY = 1
    VENUE_DATA = 2
    VENUE_REQUEST = 3


cdef inline void _ask_ahead(const L3Data* l3, const Batch* batch, const Event* rows) noexcept nogil:
    """Fetch the order of a coming message early."""
    if l3 != NULL and ORDER_ADD <= batch.kind <= ORDER_EXECUTE and batch.encoding == ROWS:
        l3_ask_ahead(l3, rows[batch.first].order_id)


cdef class ReplayDriver:
    def __cinit__(self, Engine engine not None, list venues not None, list sources not None, *args, **kwargs):
        self.engine, self.venues = engine, venues
        self.count = len(sources)
        if not self.count == len(venues) == engine.count or not all(isinstance(v, SimVenue) for v in venues):
            raise ValueError(f"{engine.count} instruments need a simulated venue and a source each")
        self.streams = <Stream*> calloc(max(self.count, 1), sizeof(Stream))
        self.times = <int64_t*> calloc(max(4 * self.count, 4), sizeof(int64_t))
        if self.streams == NULL or self.times == NULL:
            raise MemoryError("no memory for the replay")

    def __dealloc__(self):
        free(self.streams)
        free(self.times)

    def __init__(self, Engine engine, list venues, list sources, int64_t shift_ns=0, bint compat=False,
                 int64_t grid_ns=1_000_000_000, start_ns=None, stop_ns=None):
        """See ReplayDriver in replay.pyi."""
        cdef int i
        cdef const Batch[::1] batches
        cdef const Level[::1] levels
        cdef const Event[::1] rows
        cdef const uint32_t[::1] order
        cdef Stream* stream
        self.compat, self.shift, self.grid_ns = compat, shift_ns, grid_ns
        self.kept = sources
        self.clock_start = NEVER
        self.end_ns = -NEVER
        self.stop_ns = NEVER if stop_ns is None else min(NEVER, stop_ns + shift_ns)
        for i in range(self.count):
            tape, instrument, arrays = sources[i]
            stream = &self.streams[i]
            batches, levels, rows = arrays[0], arrays[1], arrays[2]
            stream.count = batches.shape[0]
            stream.batches = &batches[0] if batches.shape[0] else NULL
            stream.levels = &levels[0] if levels.shape[0] else NULL
            stream.rows = &rows[0] if rows.shape[0] else NULL
            stream.order_count = stream.count
            if arrays[3] is not None:
                order = arrays[3]
                stream.order_count = order.shape[0]
                stream.order = &order[0] if order.shape[0] else NULL
            stream.instrument, stream.tape = instrument, tape
            if i == 0 or arrays is not sources[i - 1][2]:
                self._validate(stream, levels.shape[0], rows.shape[0])
            self._next_local(i)
            self._next_venue(i)
            self.times[self._slot(LOCAL_REPLY, i)] = self.times[self._slot(VENUE_REQUEST, i)] = NEVER
            self.clock_start = min(self.clock_start, min(
                self.times[self._slot(LOCAL_DATA, i)], self.times[self._slot(VENUE_DATA, i)]))
            self.end_ns = max(self.end_ns, self._last(i))
        if start_ns is None:
            self.start_ns = self.clock_start
        else:
            self.start_ns = min(NEVER, max(self.clock_start, start_ns + shift_ns))
        self.end_ns = min(self.end_ns, self.stop_ns)
        self.grid_next = (self.start_ns // grid_ns + 1) * grid_ns if self.clock_start != NEVER else NEVER
        self.engine.timers_end = self.end_ns

    cdef int _validate(self, const Stream* s, int64_t levels, int64_t rows) except -1:
        """Prove every index that the walk will use: a tape may be damaged."""
        cdef int64_t k
        for k in range(s.count):
            if <uint64_t> s.batches[k].first + s.batches[k].count > <uint64_t> (
                    levels if s.batches[k].encoding == LEVELS else rows):
                raise ValueError(f"tape {s.tape}: the rows of batch {k} lie outside its sections")
        for k in range(s.order_count if s.order != NULL else 0):
            if s.order[k] >= s.count:
                raise ValueError(f"tape {s.tape}: place {k} of the venue order lies outside its batches")
        return 0

    def _last(self, int i):
        """Latest time of either view of a stream."""
        cdef Stream* s = &self.streams[i]
        cdef int64_t last = -NEVER, k
        k = s.count - 1
        while k >= 0 and not (s.batches[k].instrument == s.instrument and s.batches[k].flags & AT_LOCAL):
            k -= 1
        if k >= 0:
            last = s.batches[k].ts_local_ns + self.shift
        k = s.order_count - 1
        while k >= 0:
            batch = s.batches[s.order[k] if s.order != NULL else k]
            if batch.instrument == s.instrument and batch.flags & AT_VENUE:
                return max(last, batch.ts_exchange_ns)
            k -= 1
        return last

    cdef inline int _slot(self, int kind, int stream) noexcept:
        """Place of a queue: ties go to the lowest (compat puts an instrument's four side by side)."""
        return 4 * stream + kind if self.compat else kind * self.count + stream

    cdef void _next_local(self, int stream) noexcept:
        """Move the local cursor to the stream's next batch."""
        cdef Stream* s = &self.streams[stream]
        cdef int64_t ts = NEVER
        while s.local_at < s.count and not (
                s.batches[s.local_at].instrument == s.instrument and s.batches[s.local_at].flags & AT_LOCAL):
            s.local_at += 1
        if s.local_at < s.count:
            ts = s.batches[s.local_at].ts_local_ns + self.shift
            if ts > self.stop_ns:
                ts = NEVER
            _ask_ahead(self.engine.local[stream].l3, &s.batches[s.local_at], s.rows)
        self.times[self._slot(LOCAL_DATA, stream)] = ts

    cdef void _next_venue(self, int stream) noexcept:
        """Move the venue cursor to the stream's next batch."""
        cdef Stream* s = &self.streams[stream]
        cdef const Batch* batch
        cdef int64_t ts = NEVER
        while s.venue_at < s.order_count:
            batch = &s.batches[s.order[s.venue_at] if s.order != NULL else s.venue_at]
            if batch.instrument == s.instrument and batch.flags & AT_VENUE:
                ts = batch.ts_exchange_ns
                if ts > self.stop_ns:
                    ts = NEVER
                _ask_ahead((<SimVenue> self.venues[stream]).l3, batch, s.rows)
                break
            s.venue_at += 1
        self.times[self._slot(VENUE_DATA, stream)] = ts

    cdef int _refresh(self, SimVenue venue, int stream) except -1:
        """Next times of an instrument's two order legs."""
        if venue.failed or venue.book.bid.failed or venue.book.ask.failed:
            raise MemoryError("no memory for the simulated venue")
        self.times[self._slot(LOCAL_REPLY, stream)] = (
            venue.responses[venue.response_head].ts if venue.response_head < venue.response_tail else NEVER)
        self.times[self._slot(VENUE_REQUEST, stream)] = (
            venue.requests[venue.request_head & 8191].ts if venue.request_head < venue.request_tail else NEVER)
        if venue.timer_next != NEVER:
            self._timer(venue, stream)

    cdef int _timer(self, SimVenue venue, int stream) except -1:
        """The venue does something by itself: among its requests, up to the end of the run."""
        if venue.unmarked:
            raise LookupError(f"no mark price is known at a funding time of instrument {venue.instrument}")
        if venue.timer_next < self.times[self._slot(VENUE_REQUEST, stream)] and venue.timer_next <= self.end_ns:
            self.times[self._slot(VENUE_REQUEST, stream)] = venue.timer_next

    cdef int64_t _local_run(self, int stream, int64_t ts) except -1:
        """Every batch of the local view stamped `ts`; returns their number."""
        cdef Stream* s = &self.streams[stream]
        cdef const Batch* batch
        cdef int64_t done = 0, raw = ts - self.shift
        cdef Engine engine = self.engine
        while s.local_at < s.count:
            batch = &s.batches[s.local_at]
            if batch.ts_local_ns != raw:
                break
            if batch.instrument == s.instrument and batch.flags & AT_LOCAL:
                engine.on_batch(stream, batch, s.levels, s.rows, ts)
                self.rows_seen += batch.count
                done += 1
            elif batch.instrument == s.instrument:
                break
            s.local_at += 1
        self._next_local(stream)
        return done

    cdef int64_t _venue_run(self, int stream, int64_t ts) except -1:
        """Every batch of the venue's view stamped `ts`; returns their number."""
        cdef Stream* s = &self.streams[stream]
        cdef SimVenue venue = <SimVenue> self.venues[stream]
        cdef const Batch* batch
        cdef int64_t done = 0
        while s.venue_at < s.order_count:
            batch = &s.batches[s.order[s.venue_at] if s.order != NULL else s.venue_at]
            if batch.instrument == s.instrument and batch.flags & AT_VENUE:
                if batch.ts_exchange_ns != ts:
                    break
                venue.on_batch(batch, s.levels, s.rows)
                if not batch.flags & AT_LOCAL:
                    self.rows_seen += batch.count
                done += 1
            s.venue_at += 1
        self._next_venue(stream)
        self._refresh(venue, stream)
        if venue.account is not None:
            self._struck(venue)
        return done

    cdef int _replies(self, SimVenue venue, int64_t ts) except -1:
        """Every reply that reaches us at exactly `ts`."""
        cdef Event event                          # a copy: what the strategy sends may move the replies
        while venue.response_head < venue.response_tail and venue.responses[venue.response_head].ts == ts:
            event = venue.responses[venue.response_head].event
            venue.response_head += 1
            self.engine.on_reply(&event)
        return 0

    def run(self, int64_t batches_max=NEVER):
        """Go on for about `batches_max` batches; True when the replay is over.

        Any split into calls gives the same result.
        """
        cdef Engine engine = self.engine
        cdef int64_t* times = self.times
        cdef int64_t best, timer, done = 0, sent, until
        cdef int q, chosen, kind, stream, queues = 4 * self.count
        while done < batches_max:
            best = times[0]
            chosen = 0
            for q in range(1, queues):
                if times[q] < best:
                    best = times[q]
                    chosen = q
            if not self.started:
                if best > self.start_ns or best == NEVER:
                    self.started = True
                    engine.start(self.start_ns)
                    self._refresh_all()
                    continue
            else:
                timer = min(engine.timer_next, self.grid_next)
                if timer < best and not (best == NEVER and timer > self.end_ns and engine.timer_next == NEVER):
                    sent = engine.sent
                    if self.grid_next == timer:
                        if timer <= self.end_ns:
                            engine.on_grid(timer)
                        self.grid_next = self.grid_next + self.grid_ns if timer <= self.end_ns else NEVER
                    if engine.timer_next == timer:
                        engine.on_timers(timer)
                    else:
                        until = min(min(best, engine.timer_next) - 1, self.end_ns)
                        if self.grid_next <= until:
                            until = (until - self.grid_next) // self.grid_ns + 1
                            engine.on_quiet_grid(until, self.grid_ns)
                            self.grid_next += until * self.grid_ns
                    if engine.sent != sent:
                        self._refresh_all()
                    done += 1
                    continue
                if best == NEVER:
                    self._finish()
                    return True
            if self.compat or self.count == 1:              # one instrument: both layouts are the same
                kind, stream = chosen & 3, chosen >> 2
            else:
                kind, stream = chosen // self.count, chosen % self.count
            if kind == VENUE_DATA:
                done += self._venue_run(stream, best)
                continue
            sent = engine.sent
            if kind == LOCAL_DATA:
                done += self._local_run(stream, best)
            elif kind == LOCAL_REPLY:
                self._replies(<SimVenue> self.venues[stream], best)
                self._refresh(<SimVenue> self.venues[stream], stream)
                done += 1
            else:
                (<SimVenue> self.venues[stream]).on_requests(best)
                self._refresh(<SimVenue> self.venues[stream], stream)
                if (<SimVenue> self.venues[stream]).account is not None:
                    self._struck(<SimVenue> self.venues[stream])
                done += 1
            if engine.sent != sent:
                self._refresh_all()
        return False

    cdef int _struck(self, SimVenue venue) except -1:
        """A liquidation reaches every instrument of the account."""
        if venue.account.failed:
            raise OverflowError("a posting overflows the margin account")
        if venue.account.struck:
            venue.account.struck = False
            self._refresh_all()
        return 0

    def _refresh_all(self):
        for i in range(self.count):
            self._refresh(<SimVenue> self.venues[i], i)

    def _finish(self):
        """Close the equity curve and the strategies."""
        if not self.finished:
            self.finished = True
            self.engine.stop()
            self._refresh_all()
            self.engine.on_grid(max(self.end_ns, self.engine.now))

    def positions(self):
        """For each stream: its tape, and the first batch that neither view needs any more."""
        return [(self.streams[i].tape, min(self.streams[i].local_at, self.streams[i].venue_at))
                for i in range(self.count)]
