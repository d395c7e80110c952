# What a strategy sees and may do: part of engine.pyx, in a file of its own for its length.


cdef int64_t _whole(object number) except? -1:
    """An integer of ticks or lots; TypeError for a float, which would be cut off."""
    return PyNumber_Index(number)


cdef class View:
    """One reused object over the engine's memory; see engine.pyi."""

    def __cinit__(self, Engine engine, Slot slot, int instrument=0):
        self.engine, self.slot, self.instrument = engine, slot, instrument

    def __getitem__(self, int instrument):
        return View(self.engine, self.slot, self._which(instrument))

    cdef int _which(self, instrument) except -1:
        """Index of an instrument; this view's for None."""
        if instrument is None:
            return self.instrument
        if not 0 <= instrument < self.engine.count:
            raise IndexError(f"instrument {instrument} is not in this run: it has {self.engine.count}")
        return instrument

    # ---- asking ------------------------------------------------------------------------------------------------

    cdef int _timer(self, int64_t interval, int64_t due) except -1:
        cdef Engine engine = self.engine
        cdef int i
        if engine.now > engine.timers_end and not self.slot.outlasts:
            return 0
        if interval == 0:
            for i in range(engine.timer_count):             # one that is spent, or the same again
                if engine.timers[i].interval_ns == 0 and engine.timers[i].slot == self.slot.index and (
                        engine.timers[i].next_ns == NEVER or engine.timers[i].next_ns == due):
                    engine.timers[i].next_ns = due
                    engine.timer_next = min(engine.timer_next, due)
                    return 0
        if interval and due > engine.timers_end:
            return 0
        if engine.timer_count == TIMERS_MAX:
            raise ValueError(f"more than {TIMERS_MAX} timers in one run")
        engine.timers[engine.timer_count].interval_ns = interval
        engine.timers[engine.timer_count].next_ns = due
        engine.timers[engine.timer_count].slot = self.slot.index
        engine.timer_count += 1
        engine.timer_next = min(engine.timer_next, due)
        return 0

    def every(self, interval):
        cdef int64_t step = duration_ns(interval)
        if step <= 0:
            raise ValueError(f"a timer of {interval} never ends: give more than 0")
        self._timer(step, self.engine.now + min(step, NEVER - self.engine.now))     # at the run's end, now is NEVER

    def at(self, int64_t ts_ns):
        cdef Engine engine = self.engine
        if ts_ns <= engine.now:
            engine.at_once = engine.at_once + 1 if engine.at_once_ns == engine.now else 1
            engine.at_once_ns = engine.now
            if engine.at_once > AT_ONCE_MAX:
                raise ValueError(f"more than {AT_ONCE_MAX:,} timers at once at {engine.now}: ask for a later time")
        self._timer(0, max(ts_ns, self.engine.now))

    cdef int _heard(self, int rule) except -1:
        """A new rule belongs to this strategy, and features are computed from now on."""
        while len(self.engine.rule_slot) <= rule:
            self.engine.rule_slot.append(self.slot)
        self.engine.uses_features = True
        return rule

    def when(self, feature, above=None, below=None, hysteresis=0.0, cooldown="0ns", instrument=None, name=None,
             quiet=False):
        return self._heard(self.engine.signals.when(
            feature, above=above, below=below, hysteresis=hysteresis, cooldown_ns=duration_ns(cooldown),
            instrument=self._which(instrument), name=name, quiet=quiet))

    def combine(self, all=(), any=(), none=(), cooldown="0ns", name=None, quiet=False):
        return self._heard(self.engine.signals.combine(
            all=all, any=any, none=none, cooldown_ns=duration_ns(cooldown), name=name, quiet=quiet))

    def blend(self, name, weights, bias=0.0, instrument=None):
        self.engine.signals.blend(name, weights, bias, self._which(instrument))
        self.engine.uses_features = True

    @property
    def signal_name(self):
        return self.engine.signals.name(self.signal)

    def holding(self, which):
        return self.engine.signals.holding(which)

    def on_move(self, int64_t ticks=1):
        cdef int i
        if not 1 <= ticks <= 1 << 60:
            raise ValueError(f"on_move needs at least 1 tick, and at most 2^60, not {ticks}")
        if self.slot.on_book is None:
            raise ValueError("on_move calls on_book, which this strategy does not have")
        self.slot.move_ticks = ticks
        self.slot.move_base = np.full(self.engine.count, NEVER, np.int64)
        for i in range(self.engine.count):
            if self.engine.local[i].has_mid:
                self.slot.move_base[i] = self.engine.local[i].mid2
        self.engine.uses_moves = True

    def on_bar(self, interval, instrument=None):
        cdef Engine engine = self.engine
        cdef int64_t step = duration_ns(interval)
        cdef BarState* bar
        if step <= 0:
            raise ValueError(f"a bar of {interval} has no length: give more than 0")
        if self.slot.on_bar is None:
            raise ValueError("on_bar calls the strategy's on_bar, which it does not have")
        if engine.bar_count == BARS_MAX:
            raise ValueError(f"more than {BARS_MAX} bars in one run")
        bar = &engine.bars[engine.bar_count]
        bar.interval_ns, bar.end_ns = step, (engine.now // step + 1) * step
        if bar.end_ns > engine.timers_end:
            bar.end_ns = NEVER
        bar.slot, bar.instrument = self.slot.index, self._which(instrument)
        engine.bar_count += 1
        engine.bar_next = min(engine.bar_next, bar.end_ns)
        engine.timer_next = min(engine.timer_next, bar.end_ns)

    # ---- reading -----------------------------------------------------------------------------------------------

    @property
    def now(self):
        return self.engine.now

    @property
    def synced(self):
        return self.engine.local[self.instrument].synced

    @property
    def bid_ticks(self):
        cdef int64_t best = self.engine.local[self.instrument].book.bid.best
        return None if best == NO_BID else best

    @property
    def ask_ticks(self):
        cdef int64_t best = self.engine.local[self.instrument].book.ask.best
        return None if best == NO_ASK else best

    @property
    def mid_ticks(self):
        cdef BookData* book = self.engine.local[self.instrument].book
        if book.bid.best == NO_BID or book.ask.best == NO_ASK:
            return None
        return 0.5 * (book.bid.best + book.ask.best)

    @property
    def spread_ticks(self):
        cdef BookData* book = self.engine.local[self.instrument].book
        if book.bid.best == NO_BID or book.ask.best == NO_ASK:
            return None
        return book.ask.best - book.bid.best

    @property
    def bid_lots(self):
        cdef BookData* book = self.engine.local[self.instrument].book
        return 0 if book.bid.best == NO_BID else book_quantity(book, BUY, book.bid.best)

    @property
    def ask_lots(self):
        cdef BookData* book = self.engine.local[self.instrument].book
        return 0 if book.ask.best == NO_ASK else book_quantity(book, SELL, book.ask.best)

    cdef object _price(self, ticks):
        terms = self.engine.grids[self.instrument]
        return None if ticks is None else ticks * terms[0] / terms[1]

    cdef object _quantity(self, lots):
        terms = self.engine.grids[self.instrument]
        return lots * terms[2] / terms[3]

    @property
    def bid(self):
        return self._price(self.bid_ticks)

    @property
    def ask(self):
        return self._price(self.ask_ticks)

    @property
    def mid(self):
        return self._price(self.mid_ticks)

    @property
    def spread(self):
        return self._price(self.spread_ticks)

    @property
    def bid_quantity(self):
        return self._quantity(self.bid_lots)

    @property
    def ask_quantity(self):
        return self._quantity(self.ask_lots)

    @property
    def position_lots(self):
        return self.engine.ledger.positions[self.instrument].lots

    @property
    def position(self):
        return self._quantity(self.engine.ledger.positions[self.instrument].lots)

    @property
    def cash(self):
        return self.engine.cash_start / 1e8 + self.engine.ledger.cash_total / 1e8

    @property
    def equity(self):
        return (self.engine.cash_start + self.engine._equity()) / 1e8

    @property
    def orders(self):
        cdef LocalSide* side = &self.engine.local[self.instrument]
        cdef OrderRow* order
        cdef Working working
        cdef uint64_t last = 0
        cdef bint sorted_ = True
        cdef int i
        found = []
        for i in range(side.active_count):
            order = &self.engine.orders[side.active[i]]
            if <int> (order.id >> 54) != self.slot.index:
                continue
            working = Working.__new__(Working)
            working.id, working.side = order.id, "buy" if order.side == BUY else "sell"
            working.price_ticks, working.quantity_lots = order.price_ticks, order.quantity_lots
            working.filled_lots = order.filled_lots
            working.acknowledged, working.pending = order.state == WORKING, order.pending != 0
            sorted_ = sorted_ and order.id > last
            last = order.id
            found.append(working)
        if not sorted_:
            found.sort(key=_working_id)
        return found

    @property
    def fill(self):
        cdef FillRow* row
        if self.engine.last_fill < 0:
            return None
        row = &self.engine.fills[self.engine.last_fill]
        return Fill(row.id, "buy" if row.side == BUY else "sell", row.price_ticks, row.quantity_lots, bool(row.maker))

    def feature(self, name, **parameters):
        cdef Features features = <Features> self.engine.features[self.instrument]
        cdef int slot = features.slot(name, parameters)
        self.engine.uses_features = True
        features.on_read(self.engine.now)
        return features.values[slot]

    def score(self, name):
        (<Features> self.engine.features[self.instrument]).on_read(self.engine.now)
        return self.engine.signals.value(name, self.engine.features[self.instrument], self.instrument)

    # ---- acting ------------------------------------------------------------------------------------------------

    cdef int64_t _send(self, OrderCommand* command, side, quantity_lots, tif, trigger, bint reduce_only,
                       instrument) except -1:
        """Fill in what orders of all types have, and submit; the caller has set type, price and extra."""
        try:
            command.side, command.tif = SIDES[side], TIFS[tif]
        except KeyError as error:
            raise ValueError(f"{error} is not a side (buy, sell) or a tif (GTC, GTX, IOC, FOK)") from None
        if trigger is not None:
            if trigger not in ("trade", "mark"):
                raise ValueError(f"a stop watches trade or mark prices, not {trigger!r}")
            command.flags = BY_MARK if trigger == "mark" else 0
        if reduce_only:
            command.flags |= REDUCE_ONLY
        command.quantity_lots = _whole(quantity_lots)
        command.instrument = <uint32_t> self._which(instrument)
        return self.engine.submit(self.slot, command)

    def limit(self, side, price_ticks, quantity_lots, tif="GTC", instrument=None, *, reduce_only=False, display_lots=0):
        cdef OrderCommand command
        memset(&command, 0, sizeof(OrderCommand))
        command.price_ticks, command.extra = _whole(price_ticks), _whole(display_lots)
        return self._send(&command, side, quantity_lots, tif, None, reduce_only, instrument)

    def market(self, side, quantity_lots, instrument=None, *, reduce_only=False):
        cdef OrderCommand command
        memset(&command, 0, sizeof(OrderCommand))
        command.type = MARKET
        return self._send(&command, side, quantity_lots, "IOC", None, reduce_only, instrument)

    def stop(self, side, trigger_ticks, quantity_lots, limit_ticks=None, tif="GTC", instrument=None, *, trigger="trade",
             reduce_only=False):
        cdef OrderCommand command
        memset(&command, 0, sizeof(OrderCommand))
        command.type, command.price_ticks = STOP, _whole(trigger_ticks)
        if limit_ticks is not None:
            command.type, command.extra, command.price_ticks = STOP_LIMIT, command.price_ticks, _whole(limit_ticks)
        return self._send(&command, side, quantity_lots, "IOC" if limit_ticks is None else tif, trigger, reduce_only,
                          instrument)

    def trailing_stop(self, side, distance_ticks, quantity_lots, instrument=None, *, trigger="trade", reduce_only=False):
        cdef OrderCommand command
        cdef int which = self._which(instrument)
        cdef BookData* book = self.engine.local[which].book
        memset(&command, 0, sizeof(OrderCommand))
        command.type, command.extra = TRAILING, _whole(distance_ticks)
        if side == "buy":
            command.price_ticks = 0 if book.ask.best == NO_ASK else book.ask.best + command.extra
        else:
            command.price_ticks = 0 if book.bid.best == NO_BID else book.bid.best - command.extra
        return self._send(&command, side, quantity_lots, "IOC", trigger, reduce_only, which)

    # ---- orders tied together ----------------------------------------------------------------------------------

    def attach(self, uint64_t id, take_profit_ticks=None, stop_ticks=None, *, trigger="trade"):
        cdef OrderRow* order = &self.engine.orders[self._index(id)]
        cdef Attached* legs
        cdef OrderCommand command
        if trigger not in ("trade", "mark"):
            raise ValueError(f"a stop watches trade or mark prices, not {trigger!r}")
        if order.state != IN_FLIGHT and order.state != WORKING:
            return False
        legs = link_attach(self.engine, id)
        memset(&command, 0, sizeof(OrderCommand))
        command.side, command.instrument = SELL if order.side == BUY else BUY, order.instrument
        command.flags = REDUCE_ONLY
        if take_profit_ticks is not None:
            command.price_ticks = _whole(take_profit_ticks)
            legs.legs[legs.count] = command
            legs.count += 1
        if stop_ticks is not None:
            command.type, command.tif, command.price_ticks = STOP, IOC, _whole(stop_ticks)
            command.flags |= BY_MARK if trigger == "mark" else 0
            legs.legs[legs.count] = command
            legs.count += 1
        return True

    def bracket(self, side, price_ticks, quantity_lots, take_profit_ticks=None, stop_ticks=None, tif="GTC",
                instrument=None, *, trigger="trade"):
        if price_ticks is None:
            entry = self.market(side, quantity_lots, instrument)
        else:
            entry = self.limit(side, price_ticks, quantity_lots, tif, instrument)
        if entry:
            self.attach(entry, take_profit_ticks, stop_ticks, trigger=trigger)
        return entry

    def oco(self, uint64_t first, uint64_t second):
        cdef int64_t one = self._index(first), other = self._index(second), at
        if one == other:
            raise ValueError("an order cannot cancel itself: name two")
        for at in (one, other):
            if self.engine.more != NULL and self.engine.more[at].sibling:
                raise ValueError(f"order {self.engine.orders[at].id} already has one that it cancels")
        link_pair(self.engine, first, second)
        for at, id in ((one, second), (other, first)):
            if self.engine.orders[at].fills or (
                    self.engine.orders[at].state != IN_FLIGHT and self.engine.orders[at].state != WORKING):
                link_drop(self.engine, at)
                return False
        return True

    def children(self, uint64_t id):
        cdef int64_t i, first = self._index(id) + 1
        if self.engine.more == NULL:
            return []
        return [self.engine.orders[i].id for i in range(first, self.engine.order_count) if self.engine.more[i].parent == id]

    cdef int64_t _index(self, uint64_t id) except -1:
        cdef int64_t index = <int64_t> (id & COUNTER_MASK) - 1
        if index < 0 or index >= self.engine.order_count or self.engine.orders[index].id != id:
            raise KeyError(f"order {id} is not one of this run")
        if <int> (id >> 54) != self.slot.index:
            raise KeyError(f"order {id} is another strategy's")
        return index

    def amend(self, uint64_t id, price_ticks, quantity_lots):
        return bool(self.engine.request(self.slot, self._index(id), AMEND, _whole(price_ticks), _whole(quantity_lots)))

    def cancel(self, uint64_t id):
        return bool(self.engine.request(self.slot, self._index(id), CANCEL, 0, 0))

    def cancel_all(self):
        cdef LocalSide* side
        cdef int i, sent = 0
        cdef int32_t index
        for instrument in range(self.engine.count):
            side = &self.engine.local[<int> instrument]
            for i in range(side.active_count):
                index = side.active[i]
                if <int> (self.engine.orders[index].id >> 54) == self.slot.index:
                    sent += self.engine.request(self.slot, index, CANCEL, 0, 0)
        return sent

    def target(self, lots, instrument=None):
        cdef int which = self._which(instrument)
        cdef int64_t open_lots = self.engine.local[which].open_buy_lots - self.engine.local[which].open_sell_lots
        cdef int64_t missing, left
        cdef OrderRow* order
        cdef OrderMore* more
        cdef int i
        for i in range(self.engine.local[which].active_count if self.engine.more != NULL else 0):
            order = &self.engine.orders[self.engine.local[which].active[i]]
            more = &self.engine.more[self.engine.local[which].active[i]]
            if order.type >= STOP and not more.triggered or more.flags & REDUCE_ONLY:
                left = order.quantity_lots - order.filled_lots + order.pending_lots
                open_lots += -left if order.side == BUY else left
        missing = _whole(lots) - self.engine.ledger.positions[which].lots - open_lots
        if missing == 0:
            return 0
        return self.market("buy" if missing > 0 else "sell", missing if missing > 0 else -missing, which)
