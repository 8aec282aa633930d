/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets of caches: the ring of empty slabs, and on each CPU the ring of filled magazines. The theory
 * and C7 and C9 are in cache.c.
 */
#include "cache_priv.h"

/* ---- rings ----------------------------------------------------------------------------------- */

/*
 * An empty slab of c is kept: puts c into the ring, if it is not there, and sends back the slab of
 * whoever was there longest. No lock is held. If c is found in the ring, nothing is to be done even
 * when somebody takes it out just now: he says so before he locks c, hence he has not locked it
 * before we did (or we would have seen what he said), and will see the slab. The order is the
 * lock's: in_ring itself needs none.
 */
KC_COLD void kc_cache_priv_set_spare(struct kc_cache_set *s, struct kc_cache *c)
{
    if (__atomic_exchange_n(&c->in_ring, 1, __ATOMIC_RELAXED) != 0) {
        return;
    }
    uint32_t at = __atomic_fetch_add(&s->spare_next, 1, __ATOMIC_RELAXED) & (s->spares - 1);
    size_t offset = (size_t)((const char *)c - (const char *)s->cache);
    uint32_t number = (uint32_t)(offset / sizeof(*c)) + 1;
    uint32_t last = __atomic_exchange_n(&s->spare[at], number, __ATOMIC_ACQ_REL);
    if (last != 0) {
        __atomic_store_n(&s->cache[last - 1].in_ring, 0, __ATOMIC_RELAXED);
        struct kc_cache *other = &s->cache[last - 1];
        uint64_t irq = kc_lock_acquire_irqsave(&other->lock);
        (void)kc_cache_priv_slab_drop_empty(other);
        kc_lock_release_irqrestore(&other->lock, irq);
    }
}

/* The first in the list of magazines that are to be emptied here leaves it. */
static void strike(struct kc_cache_set *s, struct kc_cache_set_cpu *here, uint32_t cpu)
{
    struct kc_cache_cpu *m = s->cache[here->draining - 1].cpu[cpu];
    here->draining = m->drain_next == CACHE_DRAIN_END ? 0 : m->drain_next;
    m->drain_next = 0;
}

/* What has got a place again meanwhile stays as it is; if it is the first, the second is next. */
void kc_cache_priv_set_tidy(struct kc_cache_set *s, uint32_t cpu)
{
    struct kc_cache_set_cpu *here = &s->cpu[cpu];
    if (s->cache[here->draining - 1].cpu[cpu]->place != 0) {
        strike(s, here, cpu);
        if (here->draining == 0) {
            return;
        }
    }
    struct kc_cache *c = &s->cache[here->draining - 1];
    struct kc_cache_cpu *m = c->cpu[cpu];
    if (m->place == 0) {
        kc_cache_priv_flush(c, m, 1);
    }
    if (m->place != 0 || kc_mag_count(&m->mag) == 0) {
        strike(s, here, cpu);
    }
}

/* The cache in that place of the ring loses it; its magazine is to be emptied. */
static void push_out(struct kc_cache_set *s, struct kc_cache_set_cpu *here, uint32_t cpu,
                     uint32_t number)
{
    struct kc_cache_cpu *m = s->cache[number - 1].cpu[cpu];
    m->place = 0;
    m->limit = 0; /* it takes no more, but allocations may use what it has */
    m->slow_left = 0;
    if (m->drain_next == 0) {
        m->drain_next = here->draining == 0 ? CACHE_DRAIN_END : here->draining;
        here->draining = number;
    }
}

void kc_cache_priv_set_place(struct kc_cache_set *s, struct kc_cache *c, struct kc_cache_cpu *m,
                             uint32_t cpu)
{
    struct kc_cache_set_cpu *here = &s->cpu[cpu];
    uint32_t at = here->next;
    here->next = (at + 1) & (s->spares - 1);
    if (here->ring[at] != 0) {
        push_out(s, here, cpu, here->ring[at]);
    }
    here->ring[at] = (uint32_t)(((uintptr_t)c - (uintptr_t)s->cache) / sizeof(*c)) + 1;
    m->place = at + 1;
}

/* ---- life cycle and members -------------------------------------------------------------------
 */

/* As a reclaimer: all empty slabs, for they are few (KC_CACHE_SPARES_MAX) and cheap to make. */
static uint64_t give_back(void *context, uint64_t frames)
{
    (void)frames;
    return kc_cache_set_shrink((struct kc_cache_set *)context);
}

kc_status_t kc_cache_set_init(struct kc_cache_set *s, const struct kc_cache_set_config *config,
                              struct kc_frames *frames)
{
    if (s == NULL || config == NULL || frames == NULL || config->cache == NULL ||
        !kc_frame_is_place(config->frame_flags)) {
        return KC_ERR_ARG;
    }
    if (config->cpu_count > KC_CPUS_MAX || config->cache_max == 0 ||
        config->spares > KC_CACHE_SPARES_MAX || !kc_is_pow2(config->spares)) {
        return KC_ERR_RANGE;
    }
    /* First, for what is cleared then has a link of the frames' list. Later it cannot fail. */
    if (kc_frame_priv_has_reclaimer(frames, &s->reclaimer)) {
        return KC_ERR_EXISTS;
    }
    __builtin_memset(s, 0, sizeof(*s));
    kc_lock_init(&s->lock, "cache set", KC_RANK_CACHE);
    s->frames = frames;
    s->misuse = config->misuse;
    s->cache = config->cache;
    s->cache_max = config->cache_max;
    s->frame_flags = config->frame_flags;
    s->spares = config->spares;
    s->cpu_count = KC_MAG_IS_USED ? config->cpu_count : 0;
    kc_cache_priv_set_name(s->name, config->name);
    s->reclaimer.name = "cache set";
    s->reclaimer.reclaim = give_back;
    s->reclaimer.context = s;
    return kc_frames_reclaimer_add(frames, &s->reclaimer);
}

kc_status_t kc_cache_set_fini(struct kc_cache_set *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t live = s->cache[i].out - cache_kept(&s->cache[i]);
        if (live != 0) {
            kc_cache_priv_raise(&s->cache[i], KC_MISUSE_BUSY, __func__, NULL, 0, live);
            return KC_ERR_STATE;
        }
    }
    kc_status_t gone = kc_frames_reclaimer_remove(s->frames, &s->reclaimer);
    if (gone != KC_OK) {
        return gone;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        kc_status_t status = kc_cache_fini(&s->cache[i]);
        KC_CHECK(status == KC_OK);
    }
    kc_cache_priv_store_fini(&s->store, s->frames);
    return KC_OK;
}

/* "NAME-BYTES", the name cut so that the size is whole. */
static void member_name(char *to, const char *set, uint32_t bytes)
{
    char digits[8];
    uint32_t count = 0;
    uint32_t i = 0;
    for (; bytes != 0; bytes /= 10) {
        digits[count++] = (char)('0' + bytes % 10);
    }
    for (; set[i] != 0 && i + count + 2 < KC_CACHE_NAME_CHARS; i++) {
        to[i] = set[i];
    }
    to[i++] = '-';
    while (count > 0) {
        to[i++] = digits[--count];
    }
    to[i] = 0;
}

/*
 * The cache for objects of so many bytes at that alignment, which divides them, made if it is not
 * there; the set's lock is held. Without redzones any such cache keeps the alignment.
 */
static kc_status_t member(struct kc_cache_set *s, uint32_t bytes, uint32_t align,
                          struct kc_cache **out)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->cache[i].object_bytes == bytes && s->cache[i].stride % align == 0) {
            *out = &s->cache[i];
            return KC_OK;
        }
    }
    if (s->count == s->cache_max) {
        return KC_ERR_NOMEM;
    }
    char name[KC_CACHE_NAME_CHARS];
    member_name(name, s->name, bytes);
    struct kc_cache_config config = {
        name, bytes, align, NULL, KC_CACHE_SLAB_AUTO, 0, s->frame_flags, s->misuse, s->cpu_count};
    struct kc_cache *c = &s->cache[s->count];
    kc_status_t status = kc_cache_init(c, &config, s->frames);
    if (status == KC_OK) {
        c->set = s;
        *out = c;
        /* Release: who counts it in sees it made. */
        __atomic_store_n(&s->count, s->count + 1, __ATOMIC_RELEASE);
    }
    return status;
}

kc_status_t kc_cache_set_get(struct kc_cache_set *s, size_t object_bytes, size_t align,
                             struct kc_cache **out)
{
    uint32_t stride;
    uint32_t a = align == 0 ? KC_CACHE_ALIGN_MIN : (uint32_t)align;
    kc_status_t status = kc_cache_priv_stride(object_bytes, align, 0, &stride);
    if (status != KC_OK) {
        return status;
    }
    uint32_t bytes = ((uint32_t)object_bytes + a - 1) & ~(a - 1);
    if (CACHE_IS_FULL) {
        /* What the size by itself promises to who shares it, up to a line, a redzone must not take.
         */
        uint32_t natural = bytes & (0 - bytes);
        natural = natural < KC_LINE_BYTES ? natural : KC_LINE_BYTES;
        a = a > natural ? a : natural;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&s->lock);
    status = member(s, bytes, a, out);
    kc_lock_release_irqrestore(&s->lock, irq);
    return status;
}

uint32_t kc_cache_set_count(const struct kc_cache_set *s)
{
    return __atomic_load_n(&s->count, __ATOMIC_ACQUIRE);
}

uint64_t kc_cache_set_shrink(struct kc_cache_set *s)
{
    uint64_t frames = 0;
    uint32_t count = kc_cache_set_count(s);
    for (uint32_t i = 0; i < count; i++) {
        frames += kc_cache_shrink(&s->cache[i]);
    }
    return frames;
}

uint32_t kc_cache_set_drain(struct kc_cache_set *s, uint32_t cpu)
{
    uint32_t objects = 0;
    uint32_t count = kc_cache_set_count(s);
    if (cpu >= s->cpu_count) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        objects += kc_cache_drain(&s->cache[i], cpu);
    }
    struct kc_cache_set_cpu *here = &s->cpu[cpu];
    for (bool more = true; more;) {
        /* Masked: a call that interrupts may push another magazine out, into the list. */
        uint64_t irq = kc_plat_irq_save();
        more = here->draining != 0;
        if (more) {
            objects += kc_cache_drain(&s->cache[here->draining - 1], cpu);
            strike(s, here, cpu);
        }
        kc_plat_irq_restore(irq);
    }
    return objects;
}

uint64_t kc_cache_set_cpu_bytes(struct kc_cache_set *s)
{
    uint64_t irq = kc_lock_acquire_irqsave(&s->lock);
    uint64_t frames = s->store.frame_count;
    kc_lock_release_irqrestore(&s->lock, irq);
    return frames << KC_FRAME_LOG2;
}
