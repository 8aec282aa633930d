/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All executions of a lookup beside changes of the map that the memory model of C allows.
 *
 * A lookup writes nothing that a change reads. So an execution of the two is a run of the changes,
 * and for each load of the lookup a choice of the store that it reads: any that is not older, in
 * the order of its location, than one that the lookup has read there or that happens before it.
 * Changes are of one CPU at a time, so that all their stores have numbers, and what happens before
 * a load is a number too. That is small enough to try every choice.
 *
 * Nouns. A *location* is a word of the arena, which holds the map and its nodes. A *message* is one
 * store to it: the value, its number, and the number up to which stores happen before whoever reads
 * it with acquire (0: it releases nothing). An *execution* is a list of choices; the next one
 * differs in the last choice that has something left.
 *
 * An execution is right if the lookup refuses its view, or if all that it found is of one version
 * of the map that is not older than the version it began with. Each order of region_tree.c is taken
 * away once, and then some execution must be wrong: a test that cannot fail would not see that.
 *
 * The sources under test are compiled again here, with the atomic operations as below.
 */
#include "kc_test.h"

#include <kc/region.h>

enum orders_weak {
    WEAK_NONE,
    WEAK_WORDS_RELEASE,   /* W1 */
    WEAK_WORDS_ACQUIRE,   /* W1 */
    WEAK_ROOT_RELEASE,    /* W2 */
    WEAK_ROOT_ACQUIRE,    /* W2 */
    WEAK_VERSION_RELEASE, /* W3 */
    WEAK_VERSION_ACQUIRE, /* W3 */
    WEAK_COUNT
};

static uint64_t orders_load(const void *p, size_t width, int order);
static void orders_store(void *p, size_t width, uint64_t value, int order);

static inline uint32_t orders_load32(const uint32_t *p, int order)
{
    return (uint32_t)orders_load(p, sizeof(*p), order);
}
static inline uint64_t orders_load64(const uint64_t *p, int order)
{
    return orders_load(p, sizeof(*p), order);
}
static inline void orders_store32(uint32_t *p, uint32_t value, int order)
{
    orders_store(p, sizeof(*p), value, order);
}
static inline void orders_store64(uint64_t *p, uint64_t value, int order)
{
    orders_store(p, sizeof(*p), value, order);
}

#define __atomic_load_n(p, order) \
    _Generic((p),                        \
        const uint32_t *: orders_load32, \
        uint32_t *: orders_load32,       \
        const uint64_t *: orders_load64, \
        uint64_t *: orders_load64)(p, order)
#define __atomic_store_n(p, value, order) \
    _Generic((p), uint32_t * : orders_store32, uint64_t * : orders_store64)(p, value, order)
#define kc_region_priv_plant   orders_plant
#define kc_region_priv_replace orders_replace
#include "mem/region_tree.c"
#undef __atomic_load_n
#undef __atomic_store_n

#define NODES_MAX    12u
#define MESSAGES_MAX 24u
#define VERSIONS_MAX 16u
#define CHOICES_MAX  64u

static struct {
    struct kc_region_map map;
    struct kc_region_node node[NODES_MAX];
} arena;

struct message {
    uint64_t value;
    uint32_t number;
    uint32_t releases;
};

struct location {
    uint32_t count; /* 0: it was never written since the beginning */
    uint32_t run;   /* execution in which it was read last, */
    uint32_t seen;  /*   and the message read then */
    struct message message[MESSAGES_MAX];
};

static struct {
    enum {
        STILL,   /* not recording: before the changes, and between them */
        WRITING, /* a change runs */
        READING  /* a lookup runs */
    } phase;
    enum orders_weak weak;
    struct location location[sizeof(arena) / sizeof(uint64_t)]; /* one in 8 bytes is atomic */
    uint32_t number;                                            /* of the last store */
    uint32_t before; /* stores up to it happen before the lookup's next step */
    uint32_t run;
    uint32_t choice[CHOICES_MAX];
    uint32_t options[CHOICES_MAX];
    uint32_t choices;
    uint64_t executions, accepted, refused;
} all;

static struct location *location_of(const void *p)
{
    return &all.location[((uintptr_t)p - (uintptr_t)&arena) / sizeof(uint64_t)];
}

static uint64_t in_memory(const void *p, size_t width)
{
    return width == sizeof(uint32_t) ? *(const uint32_t *)p : *(const uint64_t *)p;
}

/* Is the order of this access taken away? */
static bool is_weak(const void *p, int order)
{
    bool release = order == __ATOMIC_RELEASE;
    if (p == &arena.map.root) {
        return all.weak == (release ? WEAK_ROOT_RELEASE : WEAK_ROOT_ACQUIRE);
    }
    if (p == &arena.map.version) {
        return all.weak == (release ? WEAK_VERSION_RELEASE : WEAK_VERSION_ACQUIRE);
    }
    return all.weak == (release ? WEAK_WORDS_RELEASE : WEAK_WORDS_ACQUIRE);
}

/* ---- the writer ----------------------------------------------------------------------------- */

static void put(struct location *l, struct message m)
{
    cr_assert_lt(l->count, MESSAGES_MAX);
    l->message[l->count++] = m;
}

static void orders_store(void *p, size_t width, uint64_t value, int order)
{
    if (all.phase == WRITING) {
        struct location *l = location_of(p);
        if (l->count == 0) {
            put(l, (struct message){in_memory(p, width), 0, 0});
        }
        all.number++;
        bool releases = order == __ATOMIC_RELEASE && !is_weak(p, order);
        put(l, (struct message){value, all.number, releases ? all.number : 0});
    }
    if (width == sizeof(uint32_t)) {
        *(uint32_t *)p = (uint32_t)value;
    } else {
        *(uint64_t *)p = value;
    }
}

/* ---- the reader ----------------------------------------------------------------------------- */

/* The next choice among n: as the execution has it, or the first where it has come to an end. */
static uint32_t choose(uint32_t n)
{
    uint32_t i = all.choices++;
    cr_assert_lt(i, CHOICES_MAX);
    if (all.options[i] == 0) {
        all.choice[i] = 0;
    }
    all.options[i] = n;
    return all.choice[i];
}

/* Same value, same order, one after the other: the older one allows all that the newer one does. */
static bool is_same(const struct message *a, const struct message *b)
{
    return a->value == b->value && a->releases == b->releases;
}

static uint64_t orders_load(const void *p, size_t width, int order)
{
    struct location *l = location_of(p);
    if (all.phase != READING || l->count == 0) {
        return in_memory(p, width);
    }
    uint32_t option[MESSAGES_MAX];
    uint32_t n = 0;
    uint32_t first = l->run == all.run ? l->seen : 0;
    for (uint32_t i = first; i < l->count; i++) {
        if (l->message[i].number <= all.before) {
            n = 0; /* the ones before it are overwritten for good */
        }
        if (n == 0 || !is_same(&l->message[i - 1], &l->message[i])) {
            option[n++] = i;
        }
    }
    l->seen = option[n == 1 ? 0 : choose(n)];
    l->run = all.run;
    const struct message *m = &l->message[l->seen];
    if (order == __ATOMIC_ACQUIRE && !is_weak(p, order) && m->releases > all.before) {
        all.before = m->releases;
    }
    return m->value;
}

/* Go to the next execution; false: all have been. */
static bool next_execution(void)
{
    uint32_t i = all.choices;
    while (i != 0 && all.choice[i - 1] + 1 == all.options[i - 1]) {
        i--;
    }
    if (i == 0) {
        return false;
    }
    all.choice[i - 1]++;
    for (; i < CHOICES_MAX; i++) {
        all.options[i] = 0;
    }
    return true;
}

/* ---- lookups and versions ------------------------------------------------------------------- */

/* All that a lookup finds: the four words of the region, and where the next begins. */
struct found {
    uint64_t word[REGION_LEAF_COLUMNS];
    uint64_t above;
    bool has_region;
    bool has_above;
};

static bool is_found_same(const struct found *a, const struct found *b)
{
    bool same = a->has_region == b->has_region && a->has_above == b->has_above &&
                (!a->has_above || a->above == b->above);
    for (uint32_t c = 0; a->has_region && c < REGION_LEAF_COLUMNS; c++) {
        same = same && a->word[c] == b->word[c];
    }
    return same;
}

static bool look(const struct region_view *v, uint64_t at, struct found *f)
{
    struct region_place p;
    struct kc_region r;
    *f = (struct found){.above = 0};
    if (!region_seek(&arena.map, v, at, &p)) {
        return false;
    }
    f->has_region = p.leaf != REGION_NONE;
    if (f->has_region) {
        region_get(&arena.map, &p, &r);
        region_pack(&r, f->word);
    }
    f->has_above = region_above(&arena.map, &p, &f->above);
    return true;
}

static struct found due[VERSIONS_MAX]; /* of one address, by versions since the beginning */
static uint64_t first_version;
static uint32_t versions;

/* Is what was found that of one version, the view's or a later one? */
static bool is_right(const struct region_view *v, const struct found *f)
{
    for (uint64_t i = v->version - first_version; i < versions; i++) {
        if (is_found_same(f, &due[i])) {
            return true;
        }
    }
    return false;
}

/* One execution: false if the lookup accepts what it should not. */
static bool run_lookup(uint64_t at)
{
    struct found f;
    all.run++;
    all.before = 0;
    all.choices = 0;
    all.executions++;
    struct region_view v = region_begin(&arena.map);
    bool made_sense = look(&v, at, &f);
    if (!region_holds(&arena.map, &v)) {
        all.refused++;
        return true;
    }
    all.accepted++;
    return made_sense && is_right(&v, &f);
}

/* ---- stories -------------------------------------------------------------------------------- */

static struct kc_region region_at(uint64_t base, uint64_t size)
{
    return (struct kc_region){
        kc_ia(base),    size, KC_REGION_KERNEL, KC_REGION_READ, KC_REGION_FROM_NONE,
        (uint32_t)base, NULL};
}

struct story {
    uint32_t nodes;   /* free when the changes begin */
    uint32_t regions; /* at the beginning, at 16, 32, ... */
    uint32_t changes;
    void (*change)(uint64_t middle, uint32_t i); /* number i; middle is near one of the regions */
};

/* The region in the middle moves to and fro and grows. */
static void move(uint64_t middle, uint32_t i)
{
    struct kc_region r = region_at(middle + (i + 1) % 2, 1 + i);
    orders_replace(&arena.map, middle + i % 2, 1, &r, 1);
}

/* One comes behind it, it goes, and both ways back: 15 regions are 16, 15, 14, and 15 again. */
static void come_and_go(uint64_t middle, uint32_t i)
{
    struct kc_region r = region_at(middle + (i % 4 == 0 ? 8 : 0), 1 + i);
    bool comes = i % 4 == 0 || i % 4 == 3;
    orders_replace(&arena.map, middle + (i % 4 == 2 ? 8 : 0), comes ? 0 : 1, &r, comes ? 1 : 0);
}

static uint64_t middle_of(const struct story *s)
{
    return (uint64_t)(s->regions / 2 + 1) * 16;
}

static void see_version(uint64_t at)
{
    struct region_view v = {arena.map.version, arena.map.root};
    cr_assert_lt(versions, VERSIONS_MAX);
    cr_assert(look(&v, at, &due[versions++]));
}

/* Run the changes, recording; then all lookups of `at`. True if all were right. */
static bool run_story(const struct story *s, enum orders_weak weak, uint64_t at)
{
    bool right = true;
    __builtin_memset(&all, 0, sizeof(all));
    __builtin_memset(&arena, 0, sizeof(arena));
    all.weak = weak;
    orders_plant(&arena.map, arena.node, NODES_MAX);
    for (uint32_t i = 1; i <= s->regions; i++) {
        struct kc_region r = region_at((uint64_t)i * 16, 1);
        orders_replace(&arena.map, (uint64_t)i * 16, 0, &r, 1);
    }
    /* Only so many nodes from now on, so that they come round soon. */
    while (arena.map.free_count + arena.map.node_count - arena.map.fresh > s->nodes) {
        if (arena.map.fresh != arena.map.node_count) {
            arena.map.node_count--;
        } else {
            arena.map.free_first = arena.node[arena.map.free_first].next;
            arena.map.free_count--;
        }
    }
    arena.map.node_count = NODES_MAX;
    arena.map.fresh = NODES_MAX;
    first_version = arena.map.version;
    versions = 0;
    see_version(at);
    for (uint32_t i = 0; i < s->changes; i++) {
        all.phase = WRITING;
        s->change(middle_of(s), i);
        all.phase = STILL;
        see_version(at);
    }
    all.phase = READING;
    do {
        right = run_lookup(at);
    } while (right && next_execution());
    return right;
}

/* One leaf; two leaves beneath a root; and one that becomes two and one again. */
static const struct story one_leaf = {2, 3, 9, move};
static const struct story two_levels = {5, 16, 9, move};
static const struct story split_and_join = {7, 15, 12, come_and_go};

static void all_are_right(const struct story *s, uint64_t at)
{
    cr_assert(run_story(s, WEAK_NONE, at), "execution %u", (uint32_t)all.executions);
    cr_assert_gt(all.accepted, s->changes);
    cr_assert_gt(all.refused, 0, "no node came round: nothing was shown");
}

static void everywhere(const struct story *s)
{
    all_are_right(s, middle_of(s));
    all_are_right(s, middle_of(s) + 8);
    all_are_right(s, 0);
    all_are_right(s, UINT64_MAX);
}

Test(region_orders, every_execution_on_one_leaf_is_right)
{
    everywhere(&one_leaf);
}

Test(region_orders, every_execution_on_two_levels_is_right)
{
    everywhere(&two_levels);
}

Test(region_orders, every_execution_while_the_height_changes_is_right)
{
    everywhere(&split_and_join);
}

static void is_needed(enum orders_weak weak)
{
    cr_expect_not(run_story(&one_leaf, weak, middle_of(&one_leaf) + 8), "order %u", (uint32_t)weak);
}

Test(region_orders, floor_is_before_the_words)
{
    is_needed(WEAK_WORDS_RELEASE);
    is_needed(WEAK_WORDS_ACQUIRE);
}

Test(region_orders, words_are_before_the_root)
{
    is_needed(WEAK_ROOT_RELEASE);
    is_needed(WEAK_ROOT_ACQUIRE);
}

Test(region_orders, root_is_before_the_version)
{
    is_needed(WEAK_VERSION_RELEASE);
    is_needed(WEAK_VERSION_ACQUIRE);
}
