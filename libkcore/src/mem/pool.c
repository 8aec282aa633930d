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
 * keep the state bytes of what two CPUs use apart in different lines. Behind the stock and the
 * states there is padding, so that a transfer writes whole words: what it writes too much lies
 * behind the top of the stock, or belongs to fresh blocks.
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
 *  P3  Every block below fresh is FREE, LIVE or LOST; `lost` are LOST, those FREE are those of P2.
 *  P4  Blocks, magazines, stock and state lie in the memory in this order and do not meet.
 *  P5  Hardening full: the block_bytes of a FREE block are zero.
 *  P6  A CPU knows (`known`) no block that is not below fresh; its run is below what it knows.
 *  P7  But at hardening full, a fresh block is taken only when the stock is empty: so `fresh` is
 *      the most that were ever out.
 *
 * Cost and locking. O(1): a pop or a push, or one hold of a lock of rank POOL in which at most
 * POOL_MOVE blocks move, and the states of a run are written. A magazine is touched by its CPU
 * alone, pinned (kc/pool.h); its count and run are relaxed atomics, for whoever counts. Without
 * magazines all is under the lock, or under
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

void kc_pool_priv_raise(struct kc_pool *p, enum kc_misuse_kind kind, const char *where,
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
    at += (size_t)p->capacity * (pool_is_long(p) ? 3 : 2);
    if (magazines != 0) {
        at = (at + POOL_STACK_PAD) & ~(uintptr_t)7; /* transfers are by words */
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
#if !POOL_HAS_STATE
            p->cpu[i]->limit = KC_POOL_CPU_BLOCKS;
#endif
        }
    }
    /* A run is no more than each CPU's share, so that small pools are not all runs. */
    uint32_t share = magazines == 0 ? 0 : p->capacity / magazines / 2;
    p->run_blocks = share < KC_POOL_RUN_BLOCKS ? share : KC_POOL_RUN_BLOCKS;
    p->run_blocks =
        p->run_blocks < POOL_MOVE ? POOL_MOVE : p->run_blocks - p->run_blocks % POOL_MOVE;
}

static bool is_coloured(const struct kc_pool_config *c)
{
    return (c->flags & KC_POOL_COLOURED) != 0;
}

static kc_status_t judge_config(const struct kc_pool_config *c, size_t *align)
{
    bool unlocked = (c->flags & KC_POOL_UNLOCKED) != 0;
    size_t a = c->align == 0 ? KC_POOL_ALIGN_MIN : c->align;
    if (c->memory == NULL || c->block_bytes == 0 ||
        (c->flags & ~(KC_POOL_UNLOCKED | KC_POOL_COLOURED)) != 0 ||
        (unlocked && c->cpu_count != 0) || !kc_is_pow2(a) || a < KC_POOL_ALIGN_MIN ||
        (is_coloured(c) && a > KC_LINE_BYTES)) {
        return KC_ERR_ARG;
    }
    *align = is_coloured(c) ? KC_LINE_BYTES : a;
    if (!kc_is_aligned((uintptr_t)c->memory, *align)) {
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
    size_t align;
    kc_status_t status = judge_config(config, &align);
    size_t padded;
    if (status != KC_OK) {
        return status;
    }
    size_t grain = KC_POOL_GRAIN(align);
    if (!kc_add_size(config->block_bytes, grain - 1 + KC_POOL_REDZONE_BYTES, &padded)) {
        return KC_ERR_RANGE;
    }
    size_t stride = padded & ~(grain - 1);
    stride = is_coloured(config) ? KC_MAG_COLOURED(stride) : stride;
    uint32_t magazines = POOL_HAS_MAGS ? config->cpu_count : 0;
    size_t own_bytes = magazines == 0 ? 0
                                      : (size_t)magazines * KC_POOL_CPU_BYTES + KC_LINE_BYTES - 1 +
                                            KC_POOL_PAD_BYTES;
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
    p->none.base = (uintptr_t)kc_tag_strip(config->memory);
    p->none.shift = (uint8_t)kc_log2_floor(stride & -stride);
    p->none.inverse = kc_mag_inverse((uintptr_t)stride >> p->none.shift);
    p->memory = config->memory;
    kc_tag_wipe(config->memory, config->memory_bytes);
    lay_out(p, magazines);
    set_magazines(p, magazines);
    set_name(p->name, config->name);
#if POOL_IS_FULL
    if (!kc_plat_entropy(&p->random)) {
        p->random ^= kc_plat_ticks();
    }
#endif
#if KC_TAG_IS_USED
    kc_tag_seed(&p->tags);
#endif
    return KC_OK;
}

kc_status_t kc_pool_fini(struct kc_pool *p)
{
    uint32_t live = pool_out(p) - pool_kept_all(p);
    if (live != 0) {
        kc_pool_priv_raise(p, KC_MISUSE_BUSY, __func__, (const void *)p->none.base, 0, live);
        return KC_ERR_STATE;
    }
    /* The memory is the caller's again, whole. */
    kc_mag_tell(KC_NOTE_ALLOC, (void *)p->none.base, pool_span(p), p);
    kc_tag_restore(p->memory, p->memory_bytes);
    set_magazines(p, 0);
    p->own = NULL;
    p->capacity = 0;
    p->fresh = 0;
    p->lost = 0;
    pool_set_depth(p, 0);
    return KC_OK;
}

/* ---- called forms -----------------------------------------------------------------------------
 */

void *kc_pool_alloc_pinned(struct kc_pool *p)
{
    return kc_pool_alloc_here(kc_pool_here(p));
}

kc_status_t kc_pool_free_pinned(struct kc_pool *p, void *ptr)
{
    /* The state of a block tells it from NULL; where there is none, somebody must ask. */
    if (!POOL_HAS_STATE && KC_UNLIKELY(ptr == NULL)) {
        return KC_OK;
    }
    return kc_pool_free_here(kc_pool_here(p), ptr);
}

/*
 * What is not quick is another function's, and its last act: so the quick way saves no registers.
 * That goes for masking, too.
 */
static KC_COLD void *restore_after_alloc(void *block, uint64_t irq)
{
    kc_plat_irq_restore_rest(irq);
    return block;
}

static __attribute__((noinline)) void *alloc_masked(struct kc_pool_cpu *m, uint64_t irq)
{
    void *block = kc_pool_alloc_slow(m);
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? block : restore_after_alloc(block, irq);
}

static KC_COLD void *alloc_late(struct kc_pool *p, uint64_t irq)
{
    irq = kc_plat_irq_save_rest(irq);
    void *block = kc_pool_alloc_here(kc_pool_here(p));
    kc_plat_irq_restore(irq);
    return block;
}

void *kc_pool_alloc(struct kc_pool *p)
{
    uint64_t irq;
    if (KC_UNLIKELY(!kc_plat_irq_save_quick(&irq))) {
        return alloc_late(p, irq);
    }
    struct kc_pool_cpu *m = kc_pool_here(p);
    void *block;
    if (KC_UNLIKELY(!kc_pool_alloc_quick(m, &block))) {
        return alloc_masked(m, irq);
    }
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? block : restore_after_alloc(block, irq);
}

static KC_COLD kc_status_t restore_after_free(kc_status_t status, uint64_t irq)
{
    kc_plat_irq_restore_rest(irq);
    return status;
}

static __attribute__((noinline)) kc_status_t free_masked(struct kc_pool_cpu *m, void *ptr,
                                                         uint64_t irq)
{
    kc_status_t status = kc_pool_free_slow(m, ptr);
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? status : restore_after_free(status, irq);
}

static KC_COLD kc_status_t free_late(struct kc_pool *p, void *ptr, uint64_t irq)
{
    irq = kc_plat_irq_save_rest(irq);
    kc_status_t status = kc_pool_free_pinned(p, ptr);
    kc_plat_irq_restore(irq);
    return status;
}

kc_status_t kc_pool_free(struct kc_pool *p, void *ptr)
{
    if (!POOL_HAS_STATE && KC_UNLIKELY(ptr == NULL)) {
        return KC_OK;
    }
    uint64_t irq;
    if (KC_UNLIKELY(!kc_plat_irq_save_quick(&irq))) {
        return free_late(p, ptr, irq);
    }
    struct kc_pool_cpu *m = kc_pool_here(p);
    if (KC_UNLIKELY(!kc_pool_free_quick(m, ptr))) {
        return free_masked(m, ptr, irq);
    }
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? KC_OK : restore_after_free(KC_OK, irq);
}

void *kc_pool_alloc_zeroed(struct kc_pool *p)
{
    void *block = kc_pool_alloc(p);
    if (block != NULL) {
        __builtin_memset(block, 0, p->block_bytes);
    }
    return block;
}

/* ---- many at once ---------------------------------------------------------------------------- */

#if POOL_HAS_MAGS
#if !POOL_HAS_STATE
/* Pointers, a few: a call of memcpy() would cost as much as they do; four are in line. */
KC_INLINE void copy(void **to, void *const *from, size_t n)
{
    for (; n >= 4; n -= 4, to += 4, from += 4) {
        __builtin_memcpy(to, from, 4 * sizeof(*to));
    }
    for (; n != 0; n--, to++, from++) {
        void *block = *from;
        KC_FORGET(block); /* or a compiler calls memcpy() */
        *to = block;
    }
}
#endif

/* Up to n blocks that the magazine has; 0: it cannot serve the next one at once. */
KC_INLINE size_t pop_many(struct kc_pool_cpu *m, size_t n, void **out)
{
    size_t count = kc_mag_count(&m->mag);
    size_t most = n < count ? n : count;
    if (KC_UNLIKELY(kc_mag_is_heard())) {
        return 0;
    }
#if POOL_HAS_STATE
    const kc_pool_entry *top = kc_pool_entries(m) + count;
    uintptr_t base = m->base;
    size_t stride = m->stride;
    uint8_t *state = m->state;
    size_t i = 0;
    for (; i < most; i++) {
        kc_pool_entry e = *--top;
        if (KC_UNLIKELY(state[e] != KC_MAG_FREE)) {
            break;
        }
        state[e] = KC_MAG_LIVE;
        out[i] = (void *)(base + e * stride);
    }
    kc_mag_set_count(&m->mag, count - i);
    return i;
#else
    kc_mag_set_count(&m->mag, count - most);
    copy(out, kc_pool_entries(m) + (count - most), most);
    return most;
#endif
}

/* Frees up to n blocks for which the magazine has room; 0: it cannot serve the next one at once. */
KC_INLINE size_t push_many(struct kc_pool_cpu *m, size_t n, void *const *ptr)
{
    size_t count = kc_mag_count(&m->mag);
    size_t room = pool_limit(m) - count;
    size_t most = n < room ? n : room;
    if (KC_UNLIKELY(kc_mag_is_heard())) {
        return 0;
    }
#if POOL_HAS_STATE
    const struct kc_pool_cpu fixed = *m;
    kc_pool_entry *to = kc_pool_entries(m) + count;
    size_t i = 0;
    for (; i < most; i++) {
        kc_pool_found found;
        if (KC_UNLIKELY(!kc_pool_find(&fixed, ptr[i], &found))) {
            break;
        }
        fixed.state[found] = KC_MAG_FREE;
        to[i] = (kc_pool_entry)found;
    }
    kc_mag_set_count(&m->mag, count + i);
    return i;
#else
    copy(kc_pool_entries(m) + count, ptr, most);
    kc_mag_set_count(&m->mag, count + most);
    return most;
#endif
}

/* More for an empty magazine, or room in a full one; where somebody listens, not at once. */
KC_INLINE bool fill(struct kc_pool_cpu *m, uint32_t n)
{
    return !kc_mag_is_heard() && kc_pool_priv_fill(m, n);
}

KC_INLINE bool spill(struct kc_pool_cpu *m, uint32_t n)
{
    return !kc_mag_is_heard() && kc_pool_priv_spill(m, n);
}
#else
KC_INLINE size_t pop_many(struct kc_pool_cpu *m, size_t n, void **out)
{
    (void)m, (void)n, (void)out;
    return 0;
}
KC_INLINE size_t push_many(struct kc_pool_cpu *m, size_t n, void *const *ptr)
{
    (void)m, (void)n, (void)ptr;
    return 0;
}
KC_INLINE bool fill(struct kc_pool_cpu *m, uint32_t n)
{
    (void)m, (void)n;
    return false;
}
KC_INLINE bool spill(struct kc_pool_cpu *m, uint32_t n)
{
    (void)m, (void)n;
    return false;
}
#endif

/*
 * Where a whole transfer would be more than is left to do, just that is moved: so a CPU that asks
 * for as many as it frees, and these go into its magazine, comes to the lock no more.
 */
bool kc_pool_alloc_bulk(struct kc_pool *p, size_t n, void **out)
{
    struct kc_pool_cpu *m = kc_pool_here(p);
    for (size_t done = 0; done < n;) {
        size_t left = n - done;
        size_t got = pop_many(m, left, out + done);
        if (got == 0 && !(left < POOL_MOVE && fill(m, (uint32_t)left))) {
            out[done] = kc_pool_alloc_here(m);
            if (KC_UNLIKELY(out[done] == NULL)) {
                kc_status_t status = kc_pool_free_bulk(p, done, out);
                KC_CHECK(status == KC_OK);
                return false;
            }
            got = 1;
        }
        done += got;
    }
    return true;
}

kc_status_t kc_pool_free_bulk(struct kc_pool *p, size_t n, void *const *ptr)
{
    struct kc_pool_cpu *m = kc_pool_here(p);
    kc_status_t first = KC_OK;
    for (size_t done = 0; done < n;) {
        size_t left = n - done;
        size_t gone = push_many(m, left, ptr + done);
        if (gone == 0 && !(left < POOL_MOVE && spill(m, (uint32_t)left))) {
            kc_status_t status = kc_pool_free_here(m, ptr[done]);
            first = first == KC_OK ? status : first;
            gone = 1;
        }
        done += gone;
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
        pool_stock_set(p, depth++, pool_entry_index(p, kc_pool_entries(m)[i]));
    }
    /* Backwards, so that the lowest comes out first again. */
    for (uint32_t i = m->run_left; i > 0; i--) {
        pool_stock_set(p, depth++, m->run + (i - 1));
    }
    __atomic_store_n(&m->run_left, 0, __ATOMIC_RELAXED);
    kc_mag_set_count(&m->mag, 0);
    pool_set_depth(p, depth);
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
    pool_enter(p);
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
    pool_leave(p);
    kc_plat_irq_restore(irq);
}

#if !POOL_HAS_STATE
/* Without states a block is free if it is somewhere among the free. */
static bool is_kept(const struct kc_pool *p, const void *block, uint32_t index)
{
    for (uint32_t c = 0; p->own != NULL && c < p->cpu_count; c++) {
        struct kc_pool_cpu *m = pool_own(p, c);
        if (index - m->run < m->run_left) {
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
    pool_enter(p);
    uintptr_t index = pool_index(p, ptr);
    bool live = index < p->fresh && is_live(p, (uint32_t)index) && kc_tag_fits(ptr);
    pool_leave(p);
    kc_plat_irq_restore(irq);
    return live;
}

void *kc_pool_next_live(struct kc_pool *p, uint32_t *cursor)
{
    void *block = NULL;
    uint64_t irq = kc_plat_irq_save();
    pool_enter(p);
    uint32_t i = *cursor;
    while (i < p->fresh && block == NULL) {
        if (is_live(p, i)) {
            block = kc_tag_load(pool_block(p, i));
        }
        i++;
    }
    *cursor = i;
    pool_leave(p);
    kc_plat_irq_restore(irq);
    return block;
}
