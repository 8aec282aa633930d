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
 *       alloc                  empty: 8 from the stock, or 4 of the run
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
 * Index of a block from its address: kc/mag.h, exact for every pointer at all. A magazine has both
 * of each block, so that an allocation waits for no multiplication; the stock, which is to be
 * small, has the index, and a refill computes the address. That is most of what a refill costs:
 * where interrupts are masked for it, it takes fewer (POOL_MOVE_MASKED).
 *
 * While somebody listens, a called form finds `none` where its CPU's magazine would be
 * (kc_mag_place()), and so its way to the twin that tells, which looks for the right one; the
 * inline forms, whose caller has the magazine already, ask.
 *
 * A pointer is judged at its free: no block (FOREIGN, INTERIOR), or a block that is not live. Two
 * wrong frees of one block at the same instant on two CPUs can both see it live, and put it into
 * two magazines; the state then says so when the second is popped, and that entry is dropped.
 *
 * Invariants
 *  P1  depth + lost + kept <= fresh <= capacity.
 *  P2  The stock, magazines and runs hold indexes below fresh, of blocks in state FREE, each once;
 *      in a magazine beside the address of the same block.
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
 * magazines all is under the lock, or under none with KC_POOL_UNLOCKED. At full a block is cleared
 * at free and looked over at allocation, without the lock: it is nobody else's then.
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
    for (uint32_t i = 0; i <= KC_CPUS_MAX; i++) {
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
        pool_stock_set(p, depth++, pool_found_index(p, kc_pool_entry(m, i)));
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
            if (kc_pool_blocks(m)[i] == block) {
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
