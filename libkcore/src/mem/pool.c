/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool: blocks of one size in one range. Theory.
 *
 * Nouns. The memory holds `capacity` *blocks*, `stride` bytes apart; a *magazine* for each CPU; the
 * *stock*, a stack with a slot for each block; and a *state* byte for each (not at hardening off).
 * A block is *fresh* until a CPU takes it for the first time. After that it is live, in the stock,
 * *kept* by a CPU (in its magazine, or in its *run* of blocks not used yet), or *lost* (hardening
 * full only).
 *
 *     memory  | block 0 | ... | block n-1 | magazines | sites | stock: n slots | state: n bytes |
 *     stock   | 7 | 2 | 9 | ...             depth = 3: block 9 goes next
 *     blocks  | live, kept, in the stock or lost | fresh ...        fresh = first never taken
 *
 *       alloc                  empty: 8 from the stock, or 8 of the run
 *     <--------  magazine  <---------------------------------------------  stock
 *     -------->            --------------------------------------------->
 *       free                   full: 8 to the stock                        run: 64 fresh at once
 *
 * The stock holds indexes of 2 bytes up to 65,536 blocks and 3 beyond, so with the state byte a
 * block costs 3 or 4 bytes; at hardening off it holds pointers, and there is no state. Nothing
 * needs to be written before it is used: init does not grow with the pool, which costs only what is
 * used of it. Blocks are never written to, so a clobbered block cannot lead the pool astray. Runs
 * keep the state bytes of what two CPUs use apart in different lines.
 *
 * Index of a block from its address: kc/mag.h, exact for every pointer at all.
 *
 * A pointer is judged at its free: no block (FOREIGN, INTERIOR), or a block that is not live. Two
 * wrong frees of one block at the same instant on two CPUs can both see it live, and put it into
 * two magazines; the state then says so when the second is popped, and that entry is dropped.
 *
 * Invariants
 *  P1  depth + lost + kept <= fresh <= capacity.
 *  P2  The stock, magazines and runs hold indexes below fresh, of blocks in state FREE, each once.
 *  P3  Every block below fresh is FREE, LIVE or LOST; `lost` are LOST, and those FREE are those of
 * P2. P4  Blocks, magazines, stock and state lie in the memory in this order and do not meet. P5
 * Hardening full: the block_bytes of a FREE block are zero. P6  A CPU knows (`known`) no block that
 * is not below fresh; its run is below what it knows. P7  But at hardening full, a fresh block is
 * taken only when the stock is empty: so `fresh` is the most that were ever out.
 *
 * Cost and locking. O(1): a pop or a push, or one hold of a lock of rank POOL in which at most
 * POOL_MOVE blocks move. A magazine is touched by its CPU alone, pinned (kc/pool.h); its count and
 * run are relaxed atomics, for whoever counts. Without magazines all is under the lock, or under
 * none with KC_POOL_UNLOCKED. At full a block is cleared at free and looked over at allocation,
 * without the lock: it is nobody else's then.
 *
 * Hardening full. No magazines. The stock is a queue: what was free longest goes next, or rather
 * one at random of the POOL_RANDOM_PICK that were, and fresh blocks before all of them, so that a
 * block is reused as late as can be. Between block_bytes and the stride lies a redzone, written at
 * the allocation, judged at the free. The site of the last call for a block is in every report.
 *
 * Sources: magazines after J. Bonwick and J. Adams, Magazines and Vmem, USENIX 2001; that the
 * transfer is small and fixed is what bounds the worst call.
 */
#include "pool_priv.h"

KC_INLINE void enter(struct kc_pool *p)
{
    if ((p->flags & KC_POOL_UNLOCKED) == 0) {
        kc_lock_enter(&p->lock);
    }
}

KC_INLINE void leave(struct kc_pool *p)
{
    if ((p->flags & KC_POOL_UNLOCKED) == 0) {
        kc_lock_leave(&p->lock);
    }
}

/* The depth is peeked at without the lock. */
KC_INLINE void set_depth(struct kc_pool *p, uint32_t depth)
{
    __atomic_store_n(&p->depth, depth, __ATOMIC_RELAXED);
}

#if POOL_HAS_MAGS
KC_INLINE uint32_t peek_depth(const struct kc_pool *p)
{
    return __atomic_load_n(&p->depth, __ATOMIC_RELAXED);
}
#endif

/* Not inlined, so that the paths beside it need no registers for it. */
#define POOL_APART __attribute__((noinline))

/* What a slot of the stock holds; of a long index, the low half. */
#if POOL_HAS_STATE
typedef uint16_t stock_slot;
#else
typedef void *stock_slot;
#endif

static KC_COLD void raise(struct kc_pool *p, enum kc_misuse_kind kind, const char *where,
                          const void *ptr, uint64_t expected, uint64_t found)
{
    struct kc_misuse_report r = {.kind = kind,
                                 .where = where,
                                 .object = p->name,
                                 .address = (uintptr_t)ptr,
                                 .expected = expected,
                                 .found = found};
    kc_misuse_raise(p->misuse, &r);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

/* Greatest number of blocks that fits with its bookkeeping into so many bytes. */
static size_t capacity_for(size_t bytes, size_t stride)
{
    if (bytes < KC_POOL_META_SHORT || stride > bytes - KC_POOL_META_SHORT) {
        return 0;
    }
    size_t n = bytes / (stride + KC_POOL_META_SHORT);
    if (n > KC_POOL_SHORT_MAX) {
        size_t more = bytes / (stride + KC_POOL_META_LONG);
        n = more > KC_POOL_SHORT_MAX ? more : KC_POOL_SHORT_MAX;
    }
    return n < KC_POOL_BLOCKS_MAX ? n : KC_POOL_BLOCKS_MAX;
}

static void set_name(char *to, const char *from)
{
    uint32_t i = 0;
    for (; from != NULL && from[i] != 0 && i < KC_POOL_NAME_CHARS - 1; i++) {
        to[i] = from[i];
    }
    to[i] = 0;
}

/* Places magazines, sites, stock and state behind the blocks (P4). */
static void lay_out(struct kc_pool *p, uint32_t magazines)
{
    uintptr_t at = p->none.base + pool_span(p);
    if (magazines != 0) {
        at = (at + KC_LINE_BYTES - 1) & ~(uintptr_t)(KC_LINE_BYTES - 1);
        p->own = (struct kc_pool_cpu *)at;
        at += (size_t)magazines * KC_POOL_CPU_BYTES;
    }
#if POOL_IS_FULL
    p->site = (uintptr_t *)at;
    at += p->capacity * sizeof(*p->site);
#endif
    p->stack = (void *)at;
#if POOL_HAS_STATE
    at += p->capacity * sizeof(uint16_t);
    if (pool_is_long(p)) {
        p->stack_high = (uint8_t *)at;
        at += p->capacity;
    }
    p->none.state = (uint8_t *)at;
#endif
}

/* Every CPU has its magazine, empty, or none. */
static void set_magazines(struct kc_pool *p, uint32_t magazines)
{
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        p->cpu[i] = &p->none;
        if (i < magazines) {
            p->cpu[i] = pool_own(p, i);
            *p->cpu[i] = p->none;
            p->cpu[i]->mag.limit = KC_POOL_CPU_BLOCKS;
        }
    }
    /* A run is no more than each CPU's share, so that small pools are not all runs. */
    uint32_t share = magazines == 0 ? 0 : p->capacity / magazines / 2;
    p->run_blocks = share < KC_POOL_RUN_BLOCKS ? share : KC_POOL_RUN_BLOCKS;
    p->run_blocks =
        p->run_blocks < POOL_MOVE ? POOL_MOVE : p->run_blocks - p->run_blocks % POOL_MOVE;
}

static kc_status_t judge_config(const struct kc_pool_config *c, size_t align)
{
    bool unlocked = (c->flags & KC_POOL_UNLOCKED) != 0;
    if (c->memory == NULL || c->block_bytes == 0 || (c->flags & ~KC_POOL_UNLOCKED) != 0 ||
        (unlocked && c->cpu_count != 0) || !kc_is_pow2(align) || align < KC_POOL_ALIGN_MIN) {
        return KC_ERR_ARG;
    }
    if (!kc_is_aligned((uintptr_t)c->memory, align)) {
        return KC_ERR_ALIGN;
    }
    if (c->cpu_count > KC_CPUS_MAX ||
        (c->memory_bytes != 0 && c->memory_bytes - 1 > UINTPTR_MAX - (uintptr_t)c->memory)) {
        return KC_ERR_RANGE;
    }
    return KC_OK;
}

kc_status_t kc_pool_init(struct kc_pool *p, const struct kc_pool_config *config)
{
    if (p == NULL || config == NULL) {
        return KC_ERR_ARG;
    }
    size_t align = config->align == 0 ? KC_POOL_ALIGN_MIN : config->align;
    kc_status_t status = judge_config(config, align);
    size_t padded;
    if (status != KC_OK) {
        return status;
    }
    if (!kc_add_size(config->block_bytes, align - 1 + KC_POOL_REDZONE_BYTES, &padded)) {
        return KC_ERR_RANGE;
    }
    size_t stride = padded & ~(align - 1);
    uint32_t magazines = POOL_HAS_MAGS ? config->cpu_count : 0;
    size_t own_bytes =
        magazines == 0 ? 0 : (size_t)magazines * KC_POOL_CPU_BYTES + KC_LINE_BYTES - 1;
    size_t capacity = config->memory_bytes <= own_bytes
                          ? 0
                          : capacity_for(config->memory_bytes - own_bytes, stride);
    if (capacity == 0) {
        return KC_ERR_NOMEM;
    }

    __builtin_memset(p, 0, sizeof(*p));
    kc_lock_init(&p->lock, "pool", KC_RANK_POOL);
    p->capacity = (uint32_t)capacity;
    p->none.stride = stride;
    p->block_bytes = config->block_bytes;
    p->memory_bytes = config->memory_bytes;
    p->flags = config->flags;
    p->cpu_count = magazines;
    p->misuse = config->misuse;
    p->random = (uintptr_t)p ^ stride;
    p->none.pool = p;
    p->none.base = (uintptr_t)config->memory;
    p->none.shift = kc_log2_floor(stride & -stride);
    p->none.inverse = kc_mag_inverse((uintptr_t)stride >> p->none.shift);
    p->quick_depth = pool_is_long(p) ? UINT32_MAX : POOL_MOVE;
    lay_out(p, magazines);
    set_magazines(p, magazines);
    set_name(p->name, config->name);
#if POOL_IS_FULL
    if (!kc_plat_entropy(&p->random)) {
        p->random ^= kc_plat_ticks();
    }
#endif
    return KC_OK;
}

kc_status_t kc_pool_fini(struct kc_pool *p)
{
    uint32_t live = pool_out(p) - pool_kept_all(p);
    if (live != 0) {
        raise(p, KC_MISUSE_BUSY, __func__, (const void *)p->none.base, 0, live);
        return KC_ERR_STATE;
    }
    /* The memory is the caller's again, whole. */
    kc_plat_note(KC_NOTE_ALLOC, p->none.base, pool_span(p), p);
    set_magazines(p, 0);
    p->own = NULL;
    p->capacity = 0;
    p->fresh = 0;
    p->lost = 0;
    p->none.known = 0;
    set_depth(p, 0);
    return KC_OK;
}

/* ---- without magazines ----------------------------------------------------------------------- */

/* Takes a block out of the stock, or a fresh one; *used says whether it was out before. */
KC_INLINE bool take(struct kc_pool *p, uint32_t *index, bool *used)
{
    bool ok = true;
    enter(p);
    uint32_t depth = p->depth;
    *used = depth != 0;
#if POOL_IS_FULL
    *used = p->fresh == p->capacity;
    if (!*used) {
        *index = p->fresh++;
    } else if (depth != 0) {
        /* One of the first few in the queue; the first takes its place. */
        p->random = p->random * 6364136223846793005u + 1442695040888963407u;
        uint32_t few = depth < POOL_RANDOM_PICK ? depth : POOL_RANDOM_PICK;
        uint32_t slot = pool_stock_slot(p, (uint32_t)(p->random >> 33) % few);
        *index = pool_stock_get(p, slot);
        pool_stock_set(p, slot, pool_stock_get(p, p->head));
        p->head = pool_stock_slot(p, 1);
        set_depth(p, depth - 1);
    } else {
        ok = false;
    }
#else
    if (KC_LIKELY(*used)) {
        *index = pool_stock_get(p, depth - 1);
        set_depth(p, depth - 1);
    } else if (p->fresh < p->capacity) {
        *index = p->fresh++;
    } else {
        ok = false;
    }
#endif
    if (KC_LIKELY(ok)) {
#if POOL_HAS_STATE
        p->none.state[*index] = KC_MAG_LIVE;
#endif
#if POOL_IS_FULL
        p->peak_out = pool_out(p) > p->peak_out ? pool_out(p) : p->peak_out;
#endif
    } else {
        p->fail_count++;
    }
    leave(p);
    return ok;
}

#if POOL_IS_FULL
/* Offset of the first byte from `from` to `to` that is not `value`; `to` if there is none. */
static size_t first_other(const unsigned char *b, size_t from, size_t to, unsigned char value)
{
    while (from < to && b[from] == value) {
        from++;
    }
    return from;
}

/* Takes a block that was written after its free out of use, and reports it. */
static KC_COLD void lose(struct kc_pool *p, uint32_t index)
{
    void *block = pool_block(p, index);
    enter(p);
    p->none.state[index] = KC_MAG_LOST;
    p->lost++;
    leave(p);
    kc_plat_note(KC_NOTE_FREE, (uintptr_t)block, p->block_bytes, p);
    raise(p, KC_MISUSE_CORRUPT, "kc_pool_alloc", block, 0, p->site[index]);
}
#endif

/* An allocation under the lock. */
static POOL_APART void *alloc_alone(struct kc_pool *p, const void *site)
{
    uint32_t index;
    bool used;
    while (take(p, &index, &used)) {
        unsigned char *block = (unsigned char *)pool_block(p, index);
        kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)block, p->block_bytes, p);
#if POOL_IS_FULL
        if (used && first_other(block, 0, p->block_bytes, 0) != p->block_bytes) {
            lose(p, index);
            continue;
        }
        __builtin_memset(block + p->block_bytes, POOL_REDZONE, p->none.stride - p->block_bytes);
        p->site[index] = (uintptr_t)site;
#endif
        (void)site;
        return block;
    }
    return NULL;
}

struct verdict {
    kc_status_t status;
    enum kc_misuse_kind kind;
};

/* What ptr is to the pool, if it is no live block: index is of it, and the fresh bound is known. */
static struct verdict judge(const struct kc_pool *p, const void *ptr, uintptr_t index)
{
    struct verdict v = {KC_OK, KC_MISUSE_KIND_COUNT};
    /* Below base the difference wraps and is too large. */
    if ((uintptr_t)ptr - p->none.base >= pool_span(p)) {
        v.status = KC_ERR_RANGE;
        v.kind = KC_MISUSE_FOREIGN;
#if POOL_HAS_STATE
    } else if (index >= p->capacity) {
        v.status = KC_ERR_ALIGN;
        v.kind = KC_MISUSE_INTERIOR;
    } else if (index >= p->fresh || p->none.state[index] != KC_MAG_LIVE) {
        v.status = KC_ERR_STATE;
        v.kind = KC_MISUSE_DOUBLE_FREE;
#else
    } else if (p->depth >= p->fresh) {
        (void)index;
        v.status = KC_ERR_STATE;
        v.kind = KC_MISUSE_DOUBLE_FREE;
#endif
    }
    return v;
}

static KC_COLD kc_status_t refuse(struct kc_pool *p, const struct verdict *v, const void *ptr)
{
    uint64_t found = (uintptr_t)ptr;
#if POOL_IS_FULL
    uintptr_t index = pool_index(p, ptr);
    found = index < p->fresh ? p->site[index] : found;
#endif
    raise(p, v->kind, "kc_pool_free", ptr, p->none.base, found);
    return v->status;
}

/* A free under the lock. */
static POOL_APART kc_status_t free_alone(struct kc_pool *p, void *ptr, const void *site)
{
    uintptr_t index = pool_index(p, ptr);
    kc_status_t status = KC_OK;
    enter(p);
    struct verdict v = judge(p, ptr, index);
    if (KC_UNLIKELY(v.status != KC_OK)) {
        leave(p);
        return refuse(p, &v, ptr);
    }
#if POOL_IS_FULL
    unsigned char *block = (unsigned char *)ptr;
    size_t clobbered = first_other(block, p->block_bytes, p->none.stride, POOL_REDZONE);
    __builtin_memset(block, 0, p->block_bytes);
    p->site[index] = (uintptr_t)site;
#endif
    /* Before the push: from then on another CPU may be given the block. */
    kc_plat_note(KC_NOTE_FREE, (uintptr_t)ptr, p->block_bytes, p);
#if POOL_HAS_STATE
    p->none.state[index] = KC_MAG_FREE;
#endif
    pool_stock_set(p, pool_stock_slot(p, p->depth), (uint32_t)index);
    set_depth(p, p->depth + 1);
    leave(p);
#if POOL_IS_FULL
    if (KC_UNLIKELY(clobbered != p->none.stride)) {
        raise(p, KC_MISUSE_CORRUPT, "kc_pool_free", ptr, p->block_bytes, clobbered);
        status = KC_ERR_CORRUPT;
    }
#endif
    (void)site;
    return status;
}

#if POOL_HAS_MAGS
/* ---- transfers between a magazine and the stock ---------------------------------------------- */

/* POOL_MOVE slots of a stock of short indexes become entries. */
KC_INLINE void load(kc_pool_entry *to, const stock_slot *from)
{
#if POOL_HAS_STATE
    to[0] = from[0];
    to[1] = from[1];
    to[2] = from[2];
    to[3] = from[3];
    to[4] = from[4];
    to[5] = from[5];
    to[6] = from[6];
    to[7] = from[7];
#else
    __builtin_memcpy(to, from, POOL_MOVE * sizeof(*to));
#endif
}
KC_STATIC_ASSERT(POOL_MOVE == 8, "transfers are written out");

/* The reverse; of long indexes, the low halves. */
KC_INLINE void store(stock_slot *to, const kc_pool_entry *from)
{
#if POOL_HAS_STATE
    to[0] = (stock_slot)from[0];
    to[1] = (stock_slot)from[1];
    to[2] = (stock_slot)from[2];
    to[3] = (stock_slot)from[3];
    to[4] = (stock_slot)from[4];
    to[5] = (stock_slot)from[5];
    to[6] = (stock_slot)from[6];
    to[7] = (stock_slot)from[7];
#else
    __builtin_memcpy(to, from, POOL_MOVE * sizeof(*to));
#endif
}

KC_INLINE kc_pool_entry entry_of(const struct kc_pool_cpu *m, uint32_t index)
{
#if POOL_HAS_STATE
    (void)m;
    return index;
#else
    return pool_block(m->pool, index);
#endif
}

KC_INLINE uint32_t index_of(const struct kc_pool_cpu *m, kc_pool_entry e)
{
#if POOL_HAS_STATE
    (void)m;
    return e;
#else
    return (uint32_t)pool_index(m->pool, e);
#endif
}

/* Makes the block of an entry live and gives it; NULL if it is not free as it should be. */
KC_INLINE void *make_live(struct kc_pool_cpu *m, kc_pool_entry e)
{
#if POOL_HAS_STATE
    if (KC_UNLIKELY(m->state[e] != KC_MAG_FREE)) {
        return NULL;
    }
    m->state[e] = KC_MAG_LIVE;
    void *block = (void *)(m->base + e * m->stride);
#else
    void *block = e;
#endif
    kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)block, m->pool->block_bytes, m->pool);
    return block;
}

/* Fresh blocks for this CPU: a run of them. The lock is held. */
static void take_run(struct kc_pool *p, struct kc_pool_cpu *m)
{
    uint32_t left = p->capacity - p->fresh;
    uint32_t n = left < p->run_blocks ? left : p->run_blocks;
#if POOL_HAS_STATE
    __builtin_memset(m->state + p->fresh, KC_MAG_FREE, n);
#endif
    __atomic_store_n(&m->run, p->fresh, __ATOMIC_RELAXED);
    p->fresh += n;
    __atomic_store_n(&m->run_end, p->fresh, __ATOMIC_RELAXED);
    m->known = p->fresh;
}

/* Entries from the run into the empty magazine, so that the lowest is popped first. */
static void load_run(struct kc_pool_cpu *m)
{
    uint32_t left = m->run_end - m->run;
    uint32_t n = left < POOL_MOVE ? left : POOL_MOVE;
    for (uint32_t i = 0; i < n; i++) {
        kc_pool_entries(m)[i] = entry_of(m, m->run + (n - 1 - i));
    }
    __atomic_store_n(&m->run, m->run + n, __ATOMIC_RELAXED);
    kc_mag_set_count(&m->mag, n);
}

/* Fills the empty magazine, from wherever there are blocks, as far as there are. */
static void refill(struct kc_pool *p, struct kc_pool_cpu *m)
{
    kc_lock_enter(&p->lock);
    uint32_t n = p->depth < POOL_MOVE ? p->depth : POOL_MOVE;
    if (n != 0) {
        set_depth(p, p->depth - n);
        for (uint32_t i = 0; i < n; i++) {
            kc_pool_entries(m)[i] = entry_of(m, pool_stock_get(p, p->depth + i));
        }
        kc_mag_set_count(&m->mag, n);
    } else if (p->fresh != p->capacity) {
        take_run(p, m);
    } else {
        p->fail_count++;
    }
    kc_lock_leave(&p->lock);
    if (n == 0 && m->run != m->run_end) {
        load_run(m);
    }
}

/* ---- the slow path of magazines ---------------------------------------------------------------
 */

/* An entry is of a block that is not free: two wrong frees of it raced. It was dropped. */
static KC_COLD void tell_dropped(struct kc_pool *p, kc_pool_entry e)
{
#if POOL_HAS_STATE
    raise(p, KC_MISUSE_DOUBLE_FREE, "kc_pool_alloc", pool_block(p, e), KC_MAG_FREE,
          p->none.state[e]);
#else
    (void)p;
    (void)e;
#endif
}

/* Whatever is not the one case that happens again and again. */
static POOL_APART void *alloc_rare(struct kc_pool_cpu *m)
{
    struct kc_pool *p = m->pool;
    for (;;) {
        if (kc_mag_count(&m->mag) == 0 && m->run != m->run_end && peek_depth(p) == 0) {
            load_run(m);
        } else if (kc_mag_count(&m->mag) == 0) {
            refill(p, m);
        }
        uint32_t count = kc_mag_count(&m->mag);
        if (count == 0) {
            return NULL;
        }
        kc_pool_entry e = kc_pool_entries(m)[count - 1];
        kc_mag_set_count(&m->mag, count - 1);
        void *block = make_live(m, e);
        if (KC_LIKELY(block != NULL)) {
            return block;
        }
        tell_dropped(p, e);
    }
}

/* The one case: POOL_MOVE blocks from the stock, of which the topmost is handed out at once. */
void *kc_pool_alloc_slow(struct kc_pool_cpu *m)
{
    struct kc_pool *p = m->pool;
    if (KC_UNLIKELY(m->mag.limit == 0)) {
        return alloc_alone(p, __builtin_return_address(0));
    }
    if (KC_UNLIKELY(kc_mag_count(&m->mag) != 0 || peek_depth(p) < p->quick_depth)) {
        return alloc_rare(m);
    }
    kc_lock_enter(&p->lock);
    if (KC_UNLIKELY(p->depth < POOL_MOVE)) {
        kc_lock_leave(&p->lock);
        return alloc_rare(m);
    }
    size_t depth = p->depth - POOL_MOVE;
    kc_pool_entry *to = kc_pool_entries(m);
    load(to, (const stock_slot *)p->stack + depth);
    kc_pool_entry e = to[POOL_MOVE - 1];
    set_depth(p, (uint32_t)depth);
    kc_lock_leave(&p->lock);
    kc_mag_set_count(&m->mag, POOL_MOVE - 1);
    void *block = make_live(m, e);
    if (KC_UNLIKELY(block == NULL)) {
        tell_dropped(p, e);
        return alloc_rare(m);
    }
    return block;
}

/* More entries than blocks: wrong frees that nothing noticed (off), or that raced. */
static KC_COLD KC_NORETURN void overflowed(void)
{
    KC_PANIC("more frees than blocks reached a pool's stock");
}

/* The topmost POOL_MOVE blocks of the full magazine go to the stock. */
KC_INLINE void flush(struct kc_pool *p, struct kc_pool_cpu *m)
{
    const kc_pool_entry *from = kc_pool_entries(m) + (KC_POOL_CPU_BLOCKS - POOL_MOVE);
    kc_lock_enter(&p->lock);
    size_t depth = p->depth;
    if (KC_UNLIKELY(depth + POOL_MOVE > p->fresh)) {
        overflowed();
    }
    store((stock_slot *)p->stack + depth, from);
#if POOL_HAS_STATE
    for (uint32_t i = 0; KC_UNLIKELY(p->stack_high != NULL) && i < POOL_MOVE; i++) {
        p->stack_high[depth + i] = (uint8_t)(from[i] >> 16);
    }
#endif
    set_depth(p, (uint32_t)depth + POOL_MOVE);
    kc_lock_leave(&p->lock);
}

#if POOL_HAS_STATE
/* A pointer that is no live block the CPU knows of: KC_OK if it is one after all; now all is known.
 */
static KC_COLD kc_status_t look_again(struct kc_pool_cpu *m, const void *ptr)
{
    struct kc_pool *p = m->pool;
    kc_lock_enter(&p->lock);
    struct verdict v = judge(p, ptr, pool_index(p, ptr));
    m->known = p->fresh;
    kc_lock_leave(&p->lock);
    return v.status == KC_OK ? KC_OK : refuse(p, &v, ptr);
}
#endif

kc_status_t kc_pool_free_slow(struct kc_pool_cpu *m, void *ptr)
{
    struct kc_pool *p = m->pool;
    if (KC_UNLIKELY(ptr == NULL)) {
        return KC_OK;
    }
    if (KC_UNLIKELY(m->mag.limit == 0)) {
        return free_alone(p, ptr, __builtin_return_address(0));
    }
#if POOL_HAS_STATE
    uintptr_t index = kc_mag_quotient((uintptr_t)ptr - m->base, m->inverse, m->shift);
    if (KC_UNLIKELY(index >= m->known || m->state[index] != KC_MAG_LIVE)) {
        kc_status_t status = look_again(m, ptr);
        if (status != KC_OK) {
            return status;
        }
    }
    kc_pool_entry e = (kc_pool_entry)index;
    m->state[index] = KC_MAG_FREE;
#else
    kc_pool_entry e = ptr;
#endif
    uint32_t count = kc_mag_count(&m->mag);
    if (KC_LIKELY(count == KC_POOL_CPU_BLOCKS)) {
        count -= POOL_MOVE;
        flush(p, m);
    }
    kc_plat_note(KC_NOTE_FREE, (uintptr_t)ptr, p->block_bytes, p);
    kc_pool_entries(m)[count] = e;
    kc_mag_set_count(&m->mag, count + 1);
    return KC_OK;
}

#else /* every call is judged under the lock */

void *kc_pool_alloc_slow(struct kc_pool_cpu *m)
{
    return alloc_alone(m->pool, __builtin_return_address(0));
}

kc_status_t kc_pool_free_slow(struct kc_pool_cpu *m, void *ptr)
{
    return ptr == NULL ? KC_OK : free_alone(m->pool, ptr, __builtin_return_address(0));
}
#endif

/* ---- called forms -----------------------------------------------------------------------------
 */

void *kc_pool_alloc_pinned(struct kc_pool *p)
{
    return kc_pool_alloc_here(kc_pool_here(p));
}

kc_status_t kc_pool_free_pinned(struct kc_pool *p, void *ptr)
{
    return kc_pool_free_here(kc_pool_here(p), ptr);
}

void *kc_pool_alloc(struct kc_pool *p)
{
    uint64_t irq = kc_plat_irq_save();
    void *block = kc_pool_alloc_here(kc_pool_here(p));
    kc_plat_irq_restore(irq);
    return block;
}

kc_status_t kc_pool_free(struct kc_pool *p, void *ptr)
{
    uint64_t irq = kc_plat_irq_save();
    kc_status_t status = kc_pool_free_here(kc_pool_here(p), ptr);
    kc_plat_irq_restore(irq);
    return status;
}

void *kc_pool_alloc_zeroed(struct kc_pool *p)
{
    void *block = kc_pool_alloc(p);
    if (block != NULL) {
        __builtin_memset(block, 0, p->block_bytes);
    }
    return block;
}

bool kc_pool_alloc_bulk(struct kc_pool *p, size_t n, void **out)
{
    struct kc_pool_cpu *m = kc_pool_here(p);
    for (size_t i = 0; i < n; i++) {
        out[i] = kc_pool_alloc_here(m);
        if (KC_UNLIKELY(out[i] == NULL)) {
            kc_status_t status = kc_pool_free_bulk(p, i, out);
            KC_CHECK(status == KC_OK);
            return false;
        }
    }
    return true;
}

kc_status_t kc_pool_free_bulk(struct kc_pool *p, size_t n, void *const *ptr)
{
    struct kc_pool_cpu *m = kc_pool_here(p);
    kc_status_t first = KC_OK;
    for (size_t i = 0; i < n; i++) {
        kc_status_t status = kc_pool_free_here(m, ptr[i]);
        first = first == KC_OK ? status : first;
    }
    return first;
}

/* ---- CPUs that stop, queries ------------------------------------------------------------------
 */

uint32_t kc_pool_drain(struct kc_pool *p, uint32_t cpu)
{
    if (p->own == NULL || cpu >= p->cpu_count) {
        return 0;
    }
#if POOL_HAS_MAGS
    struct kc_pool_cpu *m = pool_own(p, cpu);
    uint64_t irq = kc_plat_irq_save();
    kc_lock_enter(&p->lock);
    uint32_t kept = pool_kept(m);
    uint32_t depth = p->depth;
    KC_CHECK(depth + kept <= p->fresh);
    for (uint32_t i = 0; i < kc_mag_count(&m->mag); i++) {
        pool_stock_set(p, depth++, index_of(m, kc_pool_entries(m)[i]));
    }
    /* Backwards, so that the lowest comes out first again. */
    for (uint32_t i = m->run_end; i > m->run; i--) {
        pool_stock_set(p, depth++, i - 1);
    }
    __atomic_store_n(&m->run, m->run_end, __ATOMIC_RELAXED);
    kc_mag_set_count(&m->mag, 0);
    set_depth(p, depth);
    kc_lock_leave(&p->lock);
    kc_plat_irq_restore(irq);
    return kept;
#else
    return 0;
#endif
}

void kc_pool_stats(struct kc_pool *p, struct kc_pool_stats *out)
{
    uint64_t irq = kc_plat_irq_save();
    enter(p);
    uint32_t kept = pool_kept_all(p);
    uint32_t used = pool_out(p);
    out->block_bytes = p->block_bytes;
    out->stride_bytes = p->none.stride;
    out->capacity = p->capacity;
    /* While others allocate, what they keep may be of a later moment than what is out. */
    out->kept = kept < used ? kept : used;
    out->live = used - out->kept;
#if POOL_IS_FULL
    out->peak = p->peak_out;
#else
    out->peak = p->fresh; /* P7 */
#endif
    out->lost = p->lost;
    out->fail_count = p->fail_count;
    out->memory_bytes = p->memory_bytes;
    out->meta_bytes = (size_t)p->capacity * pool_meta_bytes(p);
    out->cpu_bytes = (size_t)p->cpu_count * KC_POOL_CPU_BYTES;
    leave(p);
    kc_plat_irq_restore(irq);
}

#if !POOL_HAS_STATE
/* Without states a block is free if it is somewhere among the free. */
static bool is_kept(const struct kc_pool *p, const void *block, uint32_t index)
{
    for (uint32_t c = 0; p->own != NULL && c < p->cpu_count; c++) {
        struct kc_pool_cpu *m = pool_own(p, c);
        if (index >= m->run && index < m->run_end) {
            return true;
        }
        for (uint32_t i = 0; i < kc_mag_count(&m->mag); i++) {
            if (kc_pool_entries(m)[i] == block) {
                return true;
            }
        }
    }
    return false;
}

static bool is_live(const struct kc_pool *p, uint32_t index)
{
    const void *block = pool_block(p, index);
    for (uint32_t i = 0; i < p->depth; i++) {
        if (((void *const *)p->stack)[i] == block) {
            return false;
        }
    }
    return !is_kept(p, block, index);
}
#else
static bool is_live(const struct kc_pool *p, uint32_t index)
{
    return p->none.state[index] == KC_MAG_LIVE;
}
#endif

bool kc_pool_is_live(struct kc_pool *p, const void *ptr)
{
    uint64_t irq = kc_plat_irq_save();
    enter(p);
    uintptr_t index = pool_index(p, ptr);
    bool live = index < p->fresh && is_live(p, (uint32_t)index);
    leave(p);
    kc_plat_irq_restore(irq);
    return live;
}

void *kc_pool_next_live(struct kc_pool *p, uint32_t *cursor)
{
    void *block = NULL;
    uint64_t irq = kc_plat_irq_save();
    enter(p);
    uint32_t i = *cursor;
    while (i < p->fresh && block == NULL) {
        if (is_live(p, i)) {
            block = pool_block(p, i);
        }
        i++;
    }
    *cursor = i;
    leave(p);
    kc_plat_irq_restore(irq);
    return block;
}
