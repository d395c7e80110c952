# What ties orders together: what each fill of one sends, and pairs of which one cancels the other. Part of engine.pyx.
# All of it happens at our side, so each child passes the gate when it is sent, and takes the latency of an order.

cdef enum:
    LINKS_FIRST = 64


cdef int more_room(Engine e, int64_t capacity) except -1:
    """Room for what `capacity` orders may have more than a row."""
    cdef OrderMore* grown = <OrderMore*> realloc(e.more, max(capacity, 1) * sizeof(OrderMore))
    if grown == NULL:
        raise MemoryError("no memory for the orders")
    e.more, e.more_capacity = grown, max(capacity, 1)
    return 0


cdef int more_next(Engine e) except -1:
    """An empty place for the row that is about to be added."""
    if e.order_count >= e.more_capacity:
        more_room(e, e.order_capacity)
    memset(&e.more[e.order_count], 0, sizeof(OrderMore))
    return 0


cdef OrderMore* more_of(Engine e, int64_t index, const OrderCommand* command) except NULL:
    """The order's further fields, set from its command; NULL: keep them."""
    if e.more == NULL:
        more_room(e, e.order_capacity)
        memset(e.more, 0, e.order_capacity * sizeof(OrderMore))
    if command != NULL:
        e.more[index].flags, e.more[index].extra = command.flags, command.extra
    return &e.more[index]


cdef inline int64_t index_of(uint64_t id) noexcept nogil:
    return <int64_t> (id & COUNTER_MASK) - 1


cdef inline Slot slot_of(Engine e, uint64_t id):
    return <Slot> e.slots[<Py_ssize_t> (id >> 54)]


cdef int link_pair(Engine e, uint64_t first, uint64_t second) except -1:
    """One of the two cancels the other."""
    more_of(e, index_of(first), NULL).sibling = second
    more_of(e, index_of(second), NULL).sibling = first
    return 0


cdef int link_drop(Engine e, int64_t index) except -1:
    """Cancel the other of a pair, now or as soon as nothing of it is pending."""
    cdef uint64_t other = e.more[index].sibling
    cdef int64_t at = index_of(other)
    if other == 0:
        return 0
    e.more[index].sibling = e.more[at].sibling = 0
    if e.orders[at].state != IN_FLIGHT and e.orders[at].state != WORKING:
        return 0
    e.more[at].unwanted = True
    return link_unwanted(e, at)


cdef int link_unwanted(Engine e, int64_t index) except -1:
    """Cancel an unwanted order, if it can be cancelled now."""
    if e.more[index].unwanted and e.orders[index].state == WORKING and e.orders[index].pending == 0:
        e.request(slot_of(e, e.orders[index].id), index, CANCEL, 0, 0)
    return 0


cdef int link_event(Engine e, int64_t index, const Event* event) except -1:
    """After a reply: children of a fill, the end of the other of a pair, cancellations that had to wait.

    Rows of orders may move in memory by it.
    """
    cdef int64_t k = 0
    if event.kind == FILL or event.kind == TRIGGERED:
        link_drop(e, index)
    if event.kind == FILL:
        for k in range(e.attached_count):
            if e.attached[k].parent == event.order_id:
                link_children(e, k, event.quantity_lots)
                break
    link_unwanted(e, index)
    if e.orders[index].state != IN_FLIGHT and e.orders[index].state != WORKING:
        for k in range(e.attached_count):
            if e.attached[k].parent == e.orders[index].id:
                e.attached_count -= 1
                e.attached[k] = e.attached[e.attached_count]
                break
    return 0


cdef int link_children(Engine e, int64_t which, int64_t lots) except -1:
    """Send the legs attached to an order, for the lots that have filled; of two, one cancels the other."""
    cdef Attached legs = e.attached[which]
    cdef uint64_t[2] sent
    cdef int k
    for k in range(legs.count):
        legs.legs[k].quantity_lots = lots
        sent[k] = <uint64_t> e.submit(slot_of(e, legs.parent), &legs.legs[k])
        more_of(e, e.order_count - 1, NULL).parent = legs.parent
    if legs.count == 2 and sent[0] and sent[1]:
        link_pair(e, sent[0], sent[1])
    return 0


cdef Attached* link_attach(Engine e, uint64_t parent) except NULL:
    """An empty place for what an order's fills send; one that it already has is emptied."""
    cdef Attached* grown
    cdef int64_t k
    more_of(e, index_of(parent), NULL)
    for k in range(e.attached_count):
        if e.attached[k].parent == parent:
            e.attached[k].count = 0
            return &e.attached[k]
    if e.attached_count == e.attached_capacity:
        e.attached_capacity = max(<int64_t> LINKS_FIRST, 2 * e.attached_capacity)
        grown = <Attached*> realloc(e.attached, e.attached_capacity * sizeof(Attached))
        if grown == NULL:
            raise MemoryError("no memory for attached orders")
        e.attached = grown
    memset(&e.attached[e.attached_count], 0, sizeof(Attached))
    e.attached[e.attached_count].parent = parent
    e.attached_count += 1
    return &e.attached[e.attached_count - 1]
