/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What region.c, region_tree.c and region_check.c share: the layout of nodes, and how one is read
 * while the map changes. The theory is in region_tree.c.
 */
#ifndef KC_REGION_PRIV_H
#define KC_REGION_PRIV_H

#include <kc/assert.h>
#include <kc/region.h>

/* ---- layout --------------------------------------------------------------------------------- */

#define REGION_NONE UINT32_MAX /* no node; also the level of a free one */

/* Entries of a leaf are base, size, what, name; of an inner node base, child: by columns. */
#define REGION_LEAF_COLUMNS  4u
#define REGION_INNER_COLUMNS 2u
#define REGION_LEAF_MAX      (KC_REGION_NODE_WORDS / REGION_LEAF_COLUMNS)
#define REGION_INNER_MAX     (KC_REGION_NODE_WORDS / REGION_INNER_COLUMNS)

/* Leaves of 2^32 regions, each with 7: 2^29.2; an inner node has 15 children: 8 levels above. */
#define REGION_HEIGHT_MAX 9u

KC_STATIC_ASSERT(sizeof(struct kc_region_node) == 512, "8 lines a node");

static inline uint32_t region_columns(uint32_t level)
{
    return level == 0 ? REGION_LEAF_COLUMNS : REGION_INNER_COLUMNS;
}

static inline uint32_t region_node_max(uint32_t level)
{
    return level == 0 ? REGION_LEAF_MAX : REGION_INNER_MAX;
}

/* Fewer only in the root. */
static inline uint32_t region_node_min(uint32_t level)
{
    return region_node_max(level) / 2;
}

static inline uint64_t region_root(uint32_t node, uint32_t height)
{
    return (uint64_t)height << 32 | node;
}

/* R1 of region_tree.c: what a region may be, by itself, but for its address. */
static inline bool region_is_sound(const struct kc_region *r)
{
    return r->size != 0 && r->kind < KC_REGION_KIND_COUNT && (r->perms & ~KC_REGION_PERMS) == 0 &&
           r->source < KC_REGION_SOURCE_COUNT;
}

/* A region as the four words of an entry, and back. */
static inline void region_pack(const struct kc_region *r, uint64_t word[REGION_LEAF_COLUMNS])
{
    word[0] = kc_ia_raw(r->base);
    word[1] = r->size;
    word[2] = (uint64_t)r->owner << 32 | r->source << 16 | r->perms << 8 | r->kind;
    word[3] = (uintptr_t)r->name;
}

static inline void region_unpack(const uint64_t word[REGION_LEAF_COLUMNS], struct kc_region *r)
{
    r->base = kc_ia(word[0]);
    r->size = word[1];
    r->owner = (uint32_t)(word[2] >> 32);
    r->source = (uint32_t)(word[2] >> 16) & 0xffff;
    r->perms = (uint32_t)(word[2] >> 8) & 0xff;
    r->kind = (uint32_t)word[2] & 0xff;
    r->name = (const char *)(uintptr_t)word[3];
}

/* ---- reading -------------------------------------------------------------------------------- */

/* The tree that one lookup reads. */
struct region_view {
    uint64_t version; /* the tree is this one or a later one */
    uint64_t root;
};

/* Where an address is among the regions of a view. */
struct region_place {
    uint32_t
        leaf; /* with the last region that begins at or before it; REGION_NONE: there is none */
    uint32_t slot;   /* of that region */
    uint32_t count;  /* of the leaf */
    bool has_beyond; /* a region begins above the leaf, */
    uint64_t beyond; /*   the lowest of them here */
};

static inline struct region_view region_begin(const struct kc_region_map *m)
{
    struct region_view v;
    v.version = __atomic_load_n(&m->version, __ATOMIC_ACQUIRE); /* W3: that root or a later one */
    v.root = __atomic_load_n(&m->root, __ATOMIC_ACQUIRE);       /* W2: its nodes are written */
    return v;
}

/* Was everything that has been read of the view since region_begin() of its tree? */
static inline bool region_holds(const struct kc_region_map *m, const struct region_view *v)
{
    /* W1: if a word was of a later use of its node, then the floor that came before it is seen. */
    return __atomic_load_n(&m->floor, __ATOMIC_RELAXED) <= v->version;
}

static inline uint64_t region_word(const struct kc_region_node *n, uint32_t i)
{
    return __atomic_load_n(&n->word[i], __ATOMIC_ACQUIRE); /* W1 */
}

/* How many of the first count bases are at or before an address; count is not 0. */
static inline uint32_t region_upper(const struct kc_region_node *n, uint32_t count, uint64_t at)
{
    uint32_t low = 0;
    while (count > 1) {
        uint32_t half = count / 2;
        low += region_word(n, low + half) <= at ? half : 0;
        count -= half;
    }
    return low + (region_word(n, low) <= at ? 1 : 0);
}

/*
 * Find the place of an address. False: the words made no sense, so that the view cannot hold; what
 * was read is checked before it is used as an index, for it may be of any tree.
 */
static inline bool region_seek(const struct kc_region_map *m, const struct region_view *v,
                               uint64_t at, struct region_place *p)
{
    uint32_t level = (uint32_t)(v->root >> 32);
    uint32_t index = (uint32_t)v->root;
    p->leaf = REGION_NONE;
    p->has_beyond = false;
    p->beyond = 0;
    while (level-- != 0) {
        if (index >= m->node_count) {
            return false;
        }
        const struct kc_region_node *n = &m->node[index];
        uint32_t count = __atomic_load_n(&n->count, __ATOMIC_ACQUIRE); /* W1 */
        if (count == 0 || count > region_node_max(level)) {
            return false;
        }
        uint32_t upper = region_upper(n, count, at);
        if (upper == 0) {
            /* R5: below the first base of the tree, or else not of one tree. */
            p->beyond = region_word(n, 0);
            p->has_beyond = true;
            return level + 1 == (uint32_t)(v->root >> 32);
        }
        if (level == 0) {
            p->leaf = index;
            p->slot = upper - 1;
            p->count = count;
            return true;
        }
        if (upper < count) {
            p->beyond = region_word(n, upper);
            p->has_beyond = true;
        }
        index = (uint32_t)region_word(n, REGION_INNER_MAX + upper - 1);
    }
    return true;
}

/* Base of the first region above that of the place. */
static inline bool region_above(const struct kc_region_map *m, const struct region_place *p,
                                uint64_t *base)
{
    if (p->leaf != REGION_NONE && p->slot + 1 < p->count) {
        *base = region_word(&m->node[p->leaf], p->slot + 1);
        return true;
    }
    *base = p->beyond;
    return p->has_beyond;
}

/* The region of a place that has one. */
static inline void region_get(const struct kc_region_map *m, const struct region_place *p,
                              struct kc_region *out)
{
    uint64_t word[REGION_LEAF_COLUMNS];
    for (uint32_t c = 0; c < REGION_LEAF_COLUMNS; c++) {
        word[c] = region_word(&m->node[p->leaf], c * REGION_LEAF_MAX + p->slot);
    }
    region_unpack(word, out);
}

/* ---- changing ------------------------------------------------------------------------------- */

/* Make an empty tree in these nodes. */
void kc_region_priv_plant(struct kc_region_map *m, struct kc_region_node *node,
                          uint32_t node_count);

/*
 * Replace regions, and publish the new tree. The lock is held; order and room are the caller's.
 *
 * at     of the region that is replaced, or after which new ones come
 * drop   1: that region goes; 0: it stays
 * r, n   what comes in its place or behind it: n regions, 0 to 2
 */
void kc_region_priv_replace(struct kc_region_map *m, uint64_t at, uint32_t drop,
                            const struct kc_region *r, uint32_t n);

#endif
