/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grace: frees that wait for readers. Theory.
 *
 * Nouns. The *epoch* is a number that grows by one when every CPU *on line* has reported it: `seen`
 * of a CPU is the epoch that it reported last. An entry of a queue carries the `seen` that its CPU
 * had when the object was deferred. It is *ripe* when the epoch is KC_GRACE_EPOCHS beyond that.
 *
 *     epoch      5           6              7              8
 *     writer  report 5 | unlink, defer (5) | report 6 |  report 7 |        reclaim: ripe, freed
 *     reader  report 5 |      report 6 | holds it       report 7 | holds no more
 *
 * Why three. Say an object was deferred with t. Its CPU unlinked it after it had reported t, and
 * before it reported t + 1 (or went off line). Epoch t + 2 begins after that; so a CPU that reports
 * t + 2 has seen the unlinking, and finds the object no more. Two would not do: the reader above
 * found it after its report of t + 1. Epoch t + 3 begins when all CPUs have reported t + 2. All
 * this needs no fence and no atomic read-modify-write where an object is deferred; the price is
 * that one epoch more passes than with a shared counter that each writer moves.
 *
 * Invariants
 *  G1  A CPU on line has seen the epoch or the one before: an epoch begins only when all have seen
 *      the last.
 *  G2  Epochs in a queue do not decrease, from the first entry on, and none is beyond its CPU's
 *      `seen`; count <= capacity; `oldest` is the first's.
 *  G3  Epoch and CPUs on line are one word, which is changed by compare-and-exchange alone: so an
 *      epoch ends by exactly the CPUs that were looked at. One that comes on line meanwhile makes
 *      the exchange fail; one that came before it is looked at.
 *  G4  Objects accepted = objects given to their allocators + objects in queues.
 *
 * Orders. `seen` is stored with release: what the CPU read came before. Who ends the epoch loads it
 * with acquire, and exchanges the word with release; who finds an entry ripe has loaded the word
 * with acquire. All changes of the word are read-modify-writes, so that each continues the release
 * of those before it: also of a CPU that went off line. The other way round, a CPU loads the word
 * with acquire before it reports an epoch, or by coming on line in it, and so sees what was
 * unlinked before that began. Two CPUs that report at one instant may each miss the other's store:
 * then the epoch goes on with the next report. Epochs are compared by their difference, and begin
 * short of where they wrap around.
 *
 * Cost and locking. A queue is its CPU's, with interrupts masked, while that is on line; else it is
 * the lock's, which also covers going on and off line. Objects are freed with neither: the
 * allocators' own rules hold. `wanted` lets epochs rest while nothing is deferred.
 *
 * Sources: M. Desnoyers and others, "User-Level Implementations of Read-Copy Update" (QSBR); K.
 * Fraser, "Practical lock-freedom" (epochs); Linux's kfree_rcu(), FreeBSD's
 * smr(9), Concurrency Kit's ck_epoch: their batches live in the objects or in allocated pages, ours
 * in what the caller gave.
 */
#include <kc/grace.h>

#define FIRST_EPOCH (UINT32_MAX - 8) /* so that every test sees it wrap */
#define KIND_MASK   ((uintptr_t)KC_GRACE_KINDS - 1)

KC_STATIC_ASSERT(KC_CPUS_MAX <= 32, "a bit for each CPU");
KC_STATIC_ASSERT(KC_GRACE_HEAP < KC_GRACE_KINDS, "kinds have room below an allocator's address");
KC_STATIC_ASSERT(_Alignof(struct kc_pool) >= KC_GRACE_KINDS &&
                     _Alignof(struct kc_cache) >= KC_GRACE_KINDS &&
                     _Alignof(struct kc_heap) >= KC_GRACE_KINDS,
                 "as their addresses have");
KC_STATIC_ASSERT(sizeof(struct kc_grace_cpu) == KC_LINE_BYTES, "one line");

static uint32_t epoch_of(uint64_t state)
{
    return (uint32_t)(state >> 32);
}

static bool is_online(uint64_t state, uint32_t cpu)
{
    return (state >> cpu & 1) != 0;
}

/* How far `to` is beyond `from`; negative: before it. */
static int32_t ahead(uint32_t to, uint32_t from)
{
    return (int32_t)(to - from);
}

static bool is_ripe(uint32_t epoch, uint32_t deferred)
{
    return ahead(epoch, deferred) >= (int32_t)KC_GRACE_EPOCHS;
}

/* Counts of one writer at a time, read by whoever asks. */
static void bump(uint64_t *count)
{
    __atomic_store_n(count, __atomic_load_n(count, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

static void report(struct kc_grace *g, enum kc_misuse_kind kind, const char *where,
                   uint64_t address, uint64_t found)
{
    struct kc_misuse_report r = {
        .kind = kind, .where = where, .object = g->name, .address = address, .found = found};
    kc_misuse_raise(g->misuse, &r);
}

/* ---- life ------------------------------------------------------------------------------------ */

kc_status_t kc_grace_init(struct kc_grace *g, const struct kc_grace_config *config)
{
    if (g == NULL || config == NULL || config->entry == NULL) {
        return KC_ERR_ARG;
    }
    if (config->queue_entries == 0 || config->queue_entries > KC_GRACE_QUEUE_MAX ||
        config->cpu_count == 0 || config->cpu_count > KC_CPUS_MAX) {
        return KC_ERR_RANGE;
    }
    __builtin_memset(g, 0, sizeof(*g));
    g->state = (uint64_t)FIRST_EPOCH << 32;
    g->wanted = FIRST_EPOCH;
    g->cpu_count = config->cpu_count;
    g->capacity = config->queue_entries;
    g->misuse = config->misuse;
    kc_lock_init(&g->lock, "grace", KC_RANK_GRACE);
    for (uint32_t i = 0; i < g->cpu_count; i++) {
        g->cpu[i].entry = config->entry + (size_t)i * g->capacity;
    }
    for (uint32_t i = 0; config->name != NULL && config->name[i] != 0; i++) {
        if (i == KC_GRACE_NAME_CHARS - 1) {
            break;
        }
        g->name[i] = config->name[i];
    }
    return KC_OK;
}

static uint32_t pending_of(const struct kc_grace_cpu *c)
{
    return __atomic_load_n(&c->count, __ATOMIC_RELAXED);
}

static uint32_t pending(const struct kc_grace *g)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < g->cpu_count; i++) {
        sum += pending_of(&g->cpu[i]);
    }
    return sum;
}

kc_status_t kc_grace_fini(struct kc_grace *g)
{
    uint32_t count = pending(g);
    if (count != 0) {
        report(g, KC_MISUSE_BUSY, __func__, (uintptr_t)g, count);
        return KC_ERR_STATE;
    }
    return KC_OK;
}

/* ---- epochs ---------------------------------------------------------------------------------- */

kc_status_t kc_grace_online(struct kc_grace *g, uint32_t cpu)
{
    if (cpu >= g->cpu_count) {
        return KC_ERR_RANGE;
    }
    struct kc_grace_cpu *c = &g->cpu[cpu];
    kc_status_t status = KC_ERR_STATE;
    uint64_t irq = kc_lock_acquire_irqsave(&g->lock);
    if (c->is_on == 0) {
        uint64_t state = __atomic_load_n(&g->state, __ATOMIC_RELAXED);
        do { /* G3. Nobody looks at `seen` before the bit; the exchange publishes it. */
            __atomic_store_n(&c->seen, epoch_of(state), __ATOMIC_RELAXED);
        } while (!__atomic_compare_exchange_n(&g->state, &state, state | UINT64_C(1) << cpu, true,
                                              __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
        c->is_on = 1;
        status = KC_OK;
    }
    kc_lock_release_irqrestore(&g->lock, irq);
    return status;
}

kc_status_t kc_grace_offline(struct kc_grace *g, uint32_t cpu)
{
    if (cpu >= g->cpu_count) {
        return KC_ERR_RANGE;
    }
    struct kc_grace_cpu *c = &g->cpu[cpu];
    kc_status_t status = KC_ERR_STATE;
    uint64_t irq = kc_lock_acquire_irqsave(&g->lock);
    if (c->is_on != 0) {
        c->is_on = 0;
        /* Release: what this CPU read, and unlinked, is before the epochs that it has no part in.
         */
        (void)__atomic_fetch_and(&g->state, ~(UINT64_C(1) << cpu), __ATOMIC_ACQ_REL);
        status = KC_OK;
    }
    kc_lock_release_irqrestore(&g->lock, irq);
    return status;
}

/* Begins the next epoch if all CPUs on line have seen this one. Returns the one that it then is. */
static uint32_t advance(struct kc_grace *g, uint64_t state)
{
    uint32_t epoch = epoch_of(state);
    for (uint32_t i = 0; i < g->cpu_count; i++) {
        /* Acquire: what CPU i read before its report is before the frees that follow from it. */
        if (is_online(state, i) && __atomic_load_n(&g->cpu[i].seen, __ATOMIC_ACQUIRE) != epoch) {
            return epoch;
        }
    }
    uint64_t next = (uint64_t)(epoch + 1) << 32 | (uint32_t)state;
    /* Failure: another CPU has begun it, or went on or off line. Its report, or the next, does. */
    bool begun = __atomic_compare_exchange_n(&g->state, &state, next, false, __ATOMIC_ACQ_REL,
                                             __ATOMIC_RELAXED);
    return begun ? epoch + 1 : epoch;
}

/* True if some entry of a CPU off line, or of this one, is ripe. */
static bool has_ripe(const struct kc_grace *g, uint32_t cpu, uint64_t state, uint32_t epoch)
{
    for (uint32_t i = 0; i < g->cpu_count; i++) {
        const struct kc_grace_cpu *c = &g->cpu[i];
        if ((i == cpu || !is_online(state, i)) && pending_of(c) != 0 &&
            is_ripe(epoch, __atomic_load_n(&c->oldest, __ATOMIC_RELAXED))) {
            return true;
        }
    }
    return false;
}

bool kc_grace_quiescent(struct kc_grace *g, uint32_t cpu)
{
    if (cpu >= g->cpu_count) {
        return false;
    }
    struct kc_grace_cpu *c = &g->cpu[cpu];
    uint64_t irq = kc_plat_irq_save(); /* a report of an interrupt between load and store of `seen`
                                          would be undone */
    /* Acquire: what was unlinked before this epoch began is found no more from here on. */
    uint64_t state = __atomic_load_n(&g->state, __ATOMIC_ACQUIRE);
    uint32_t epoch = epoch_of(state);
    bool ripe = false;
    if (is_online(state, cpu)) {
        if (__atomic_load_n(&c->seen, __ATOMIC_RELAXED) != epoch) {
            /* Release: what this CPU read is before its report. */
            __atomic_store_n(&c->seen, epoch, __ATOMIC_RELEASE);
        }
        if (ahead(__atomic_load_n(&g->wanted, __ATOMIC_RELAXED), epoch) > 0) {
            epoch = advance(g, state);
        }
        ripe = has_ripe(g, cpu, state, epoch);
    }
    kc_plat_irq_restore(irq);
    return ripe;
}

/* Epochs go on until that one. Who finds it wanted already, or more, leaves it. */
static void want(struct kc_grace *g, uint32_t epoch)
{
    uint32_t wanted = __atomic_load_n(&g->wanted, __ATOMIC_RELAXED);
    while (ahead(epoch, wanted) > 0 &&
           !__atomic_compare_exchange_n(&g->wanted, &wanted, epoch, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

/* ---- queues ---------------------------------------------------------------------------------- */

/* Index of the entry that is n behind the first; n <= capacity. */
static uint32_t place(const struct kc_grace *g, const struct kc_grace_cpu *c, uint32_t n)
{
    uint32_t at = c->first + n;
    return at >= g->capacity ? at - g->capacity : at;
}

#if KC_HARDENING >= KC_HARDENING_FULL
static bool is_queued(const struct kc_grace *g, const struct kc_grace_cpu *c, kc_grace_from_t from,
                      const void *ptr)
{
    for (uint32_t i = 0; i < pending_of(c); i++) {
        const struct kc_grace_entry *e = &c->entry[place(g, c, i)];
        /* The same address may be two objects: a pool's block, and the heap's that the pool is in.
         */
        if (e->ptr == ptr && e->from.word == from.word) {
            return true;
        }
    }
    return false;
}
#endif

static kc_status_t defer(struct kc_grace *g, uint32_t cpu, kc_grace_from_t from, void *ptr,
                         const char *where)
{
    (void)where;
    if (cpu >= g->cpu_count) {
        return KC_ERR_RANGE;
    }
    struct kc_grace_cpu *c = &g->cpu[cpu];
    if (c->is_on == 0) {
        return KC_ERR_STATE;
    }
    uint32_t count = pending_of(c);
#if KC_HARDENING >= KC_HARDENING_FULL
    if (is_queued(g, c, from, ptr)) {
        report(g, KC_MISUSE_DOUBLE_FREE, where, (uintptr_t)ptr, 0);
        return KC_ERR_STATE;
    }
#endif
    if (count == g->capacity) {
        bump(&c->full_count);
        return KC_ERR_NOMEM;
    }
    uint32_t epoch = __atomic_load_n(&c->seen, __ATOMIC_RELAXED);
    struct kc_grace_entry e = {ptr, from, epoch};
    c->entry[place(g, c, count)] = e;
    if (count == 0) {
        __atomic_store_n(&c->oldest, epoch, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&c->count, count + 1, __ATOMIC_RELAXED);
    if (count + 1 > __atomic_load_n(&c->peak, __ATOMIC_RELAXED)) {
        __atomic_store_n(&c->peak, count + 1, __ATOMIC_RELAXED);
    }
    bump(&c->defer_count);
    want(g, epoch + KC_GRACE_EPOCHS);
    return KC_OK;
}

kc_status_t kc_grace_free_pinned(struct kc_grace *g, uint32_t cpu, kc_grace_from_t from, void *ptr)
{
    return ptr == NULL ? KC_OK : defer(g, cpu, from, ptr, __func__);
}

kc_status_t kc_grace_free(struct kc_grace *g, kc_grace_from_t from, void *ptr)
{
    if (ptr == NULL) {
        return KC_OK;
    }
    uint64_t irq = kc_plat_irq_save();
    kc_status_t status = defer(g, kc_plat_cpu(), from, ptr, __func__);
    kc_plat_irq_restore(irq);
    return status;
}

/* Takes the first entry out; the queue has one and is the caller's. */
static struct kc_grace_entry take(struct kc_grace *g, struct kc_grace_cpu *c)
{
    struct kc_grace_entry e = c->entry[c->first];
    uint32_t count = pending_of(c) - 1;
    c->first = place(g, c, 1);
    if (count != 0) {
        __atomic_store_n(&c->oldest, c->entry[c->first].epoch, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&c->count, count, __ATOMIC_RELAXED);
    bump(&c->free_count);
    return e;
}

static bool take_ripe(struct kc_grace *g, struct kc_grace_cpu *c, uint32_t epoch,
                      struct kc_grace_entry *out)
{
    if (pending_of(c) == 0 || !is_ripe(epoch, c->entry[c->first].epoch)) {
        return false;
    }
    *out = take(g, c);
    return true;
}

/* A ripe entry of this CPU. */
static bool take_own(struct kc_grace *g, uint32_t cpu, uint32_t epoch, struct kc_grace_entry *out)
{
    struct kc_grace_cpu *c = &g->cpu[cpu];
    uint64_t irq = kc_plat_irq_save();
    bool taken = c->is_on != 0 && take_ripe(g, c, epoch, out);
    kc_plat_irq_restore(irq);
    return taken;
}

static bool has_orphans(const struct kc_grace *g)
{
    uint64_t state = __atomic_load_n(&g->state, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < g->cpu_count; i++) {
        if (!is_online(state, i) && pending_of(&g->cpu[i]) != 0) {
            return true;
        }
    }
    return false;
}

/* A ripe entry of a CPU off line, unless somebody else is about them. */
static bool take_orphan(struct kc_grace *g, uint32_t epoch, struct kc_grace_entry *out)
{
    bool taken = false;
    if (!has_orphans(g)) {
        return false;
    }
    uint64_t irq = kc_plat_irq_save();
    if (kc_lock_try(&g->lock)) {
        for (uint32_t i = 0; i < g->cpu_count && !taken; i++) {
            taken = g->cpu[i].is_on == 0 && take_ripe(g, &g->cpu[i], epoch, out);
        }
        kc_lock_release(&g->lock);
    }
    kc_plat_irq_restore(irq);
    return taken;
}

/* ---- frees ----------------------------------------------------------------------------------- */

static void give_back(struct kc_grace *g, const struct kc_grace_entry *e)
{
    uintptr_t allocator = e->from.word & ~KIND_MASK;
    kc_status_t status = KC_ERR_CORRUPT;
    switch (e->from.word & KIND_MASK) {
    case KC_GRACE_POOL:
        status = kc_pool_free((struct kc_pool *)allocator, e->ptr);
        break;
    case KC_GRACE_CACHE:
        status = kc_cache_free((struct kc_cache *)allocator, e->ptr);
        break;
    case KC_GRACE_HEAP:
        status = kc_heap_free((struct kc_heap *)allocator, e->ptr);
        break;
    default: /* nobody makes such a word */
        report(g, KC_MISUSE_CORRUPT, __func__, (uintptr_t)e->ptr, e->from.word);
        break;
    }
    if (status != KC_OK) {
        __atomic_fetch_add(&g->refuse_count, 1, __ATOMIC_RELAXED);
    }
}

uint32_t kc_grace_reclaim(struct kc_grace *g, uint32_t cpu)
{
    struct kc_grace_entry e;
    uint32_t count = 0;
    if (cpu >= g->cpu_count) {
        return 0;
    }
    /* Acquire: with what every reader did before the epochs that have ended. */
    uint32_t epoch = epoch_of(__atomic_load_n(&g->state, __ATOMIC_ACQUIRE));
    /* Those of CPUs off line first: they are finite, and nobody defers more. */
    while (count < KC_GRACE_FREES && (take_orphan(g, epoch, &e) || take_own(g, cpu, epoch, &e))) {
        give_back(g, &e);
        count++;
    }
    return count;
}

uint32_t kc_grace_drain(struct kc_grace *g)
{
    uint32_t left = KC_GRACE_FREES;
    for (uint32_t i = 0; i < g->cpu_count; i++) {
        struct kc_grace_cpu *c = &g->cpu[i];
        for (; left != 0 && pending_of(c) != 0; left--) {
            struct kc_grace_entry e = take(g, c);
            give_back(g, &e);
        }
    }
    return pending(g);
}

/* ---- queries --------------------------------------------------------------------------------- */

void kc_grace_stats(const struct kc_grace *g, struct kc_grace_stats *out)
{
    uint64_t state = __atomic_load_n(&g->state, __ATOMIC_RELAXED);
    __builtin_memset(out, 0, sizeof(*out));
    out->epoch = epoch_of(state);
    out->oldest = out->epoch;
    out->online = (uint32_t)state;
    out->refuse_count = __atomic_load_n(&g->refuse_count, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < g->cpu_count; i++) {
        const struct kc_grace_cpu *c = &g->cpu[i];
        uint32_t count = pending_of(c);
        uint32_t oldest = __atomic_load_n(&c->oldest, __ATOMIC_RELAXED);
        uint32_t peak = __atomic_load_n(&c->peak, __ATOMIC_RELAXED);
        if (count != 0 && ahead(out->oldest, oldest) > 0) {
            out->oldest = oldest;
        }
        out->pending += count;
        out->peak = peak > out->peak ? peak : out->peak;
        out->defer_count += __atomic_load_n(&c->defer_count, __ATOMIC_RELAXED);
        out->free_count += __atomic_load_n(&c->free_count, __ATOMIC_RELAXED);
        out->full_count += __atomic_load_n(&c->full_count, __ATOMIC_RELAXED);
    }
}

static uint32_t check_queue(const struct kc_grace *g, const struct kc_grace_cpu *c)
{
    uint32_t last = c->oldest;
    if (c->count > g->capacity || c->first >= g->capacity) {
        return 2;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t epoch = c->entry[place(g, c, i)].epoch;
        if ((i == 0 && epoch != c->oldest) || ahead(epoch, last) < 0 || ahead(epoch, c->seen) > 0) {
            return 2;
        }
        last = epoch;
    }
    return c->defer_count - c->free_count == c->count ? 0 : 4;
}

static uint32_t check_all(const struct kc_grace *g)
{
    for (uint32_t i = 0; i < g->cpu_count; i++) {
        const struct kc_grace_cpu *c = &g->cpu[i];
        if ((c->is_on != 0) != is_online(g->state, i)) {
            return 3;
        }
        if (c->is_on != 0 && epoch_of(g->state) - c->seen > 1) {
            return 1;
        }
        uint32_t broken = check_queue(g, c);
        if (broken != 0) {
            return broken;
        }
    }
    return 0;
}

kc_status_t kc_grace_check(struct kc_grace *g, uint32_t *invariant)
{
    uint32_t broken = check_all(g);
    if (broken != 0 && invariant != NULL) {
        *invariant = broken;
    }
    return broken == 0 ? KC_OK : KC_ERR_CORRUPT;
}
