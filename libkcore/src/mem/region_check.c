/* SPDX-License-Identifier: BSD-2-Clause */
/* Validator of kc/region.h; invariants R1 to R7 are those of region_tree.c. */
#include "region_priv.h"

/* What the walk has seen so far. */
struct walk {
    const struct kc_region_map *m;
    uint32_t nodes;
    uint32_t regions;
    uint64_t bytes;
    struct kc_region last; /* size 0: none yet */
    uint32_t broken;       /* n of Rn; 0: none */
    uint32_t index;        /* node in question */
};

static bool is_broken(struct walk *w, uint32_t invariant, uint32_t index)
{
    w->broken = invariant;
    w->index = index;
    return true;
}

static bool check_leaf(struct walk *w, uint32_t index)
{
    struct region_place p = {.leaf = index};
    for (p.slot = 0; p.slot < w->m->node[index].count; p.slot++) {
        struct kc_region r;
        region_get(w->m, &p, &r);
        if (!region_is_sound(&r) || !kc_range_fits(kc_ia_raw(r.base), r.size)) {
            return is_broken(w, 1, index);
        }
        if (w->last.size != 0 &&
            (!kc_ia_lt(w->last.base, r.base) || kc_ia_diff(r.base, w->last.base) < w->last.size)) {
            return is_broken(w, 2, index);
        }
        w->last = r;
        w->bytes += r.size;
        w->regions++;
    }
    return false;
}

/* R4 of one node. A node that occurs twice is of two levels or breaks R2; more than all are R6. */
static bool check_node(struct walk *w, uint32_t index, uint32_t level, bool is_root)
{
    if (index >= w->m->node_count || ++w->nodes > w->m->node_count) {
        return is_broken(w, 6, index);
    }
    const struct kc_region_node *n = &w->m->node[index];
    uint32_t least = region_node_min(level);
    if (is_root) {
        least = level == 0 ? 1 : 2;
    }
    if (n->level != level || n->count < least || n->count > region_node_max(level)) {
        return is_broken(w, 4, index);
    }
    return false;
}

/* Depth: the height of the tree, REGION_HEIGHT_MAX at most. True: something is broken. */
static bool check_tree(struct walk *w, uint32_t index, uint32_t level, bool is_root)
{
    if (check_node(w, index, level, is_root)) {
        return true;
    }
    if (level == 0) {
        return check_leaf(w, index);
    }
    const struct kc_region_node *n = &w->m->node[index];
    for (uint32_t i = 0; i < n->count; i++) {
        uint64_t child = n->word[REGION_INNER_MAX + i];
        if (child >= w->m->node_count) {
            return is_broken(w, 6, index);
        }
        if (n->word[i] != w->m->node[child].word[0]) {
            return is_broken(w, 5, index);
        }
        if (check_tree(w, (uint32_t)child, level - 1, false)) {
            return true;
        }
    }
    return false;
}

/* R6 of the free nodes, and R7. */
static bool check_free(struct walk *w)
{
    const struct kc_region_map *m = w->m;
    uint64_t before = 0;
    uint32_t index = m->free_first;
    for (uint32_t i = 0; i < m->free_count; i++) {
        if (index >= m->node_count || m->node[index].level != REGION_NONE) {
            return is_broken(w, 6, index);
        }
        const struct kc_region_node *n = &m->node[index];
        if (n->retired < before || n->retired > m->version) {
            return is_broken(w, 7, index);
        }
        if (i + 1 == m->free_count && index != m->free_last) {
            return is_broken(w, 6, index);
        }
        before = n->retired;
        index = n->next;
    }
    if (m->floor > m->version) {
        return is_broken(w, 7, 0);
    }
    bool all_there =
        m->left_count == 0 && m->fresh <= m->node_count && w->nodes + m->free_count == m->fresh;
    return !all_there && is_broken(w, 6, 0);
}

static void check_map(struct walk *w)
{
    const struct kc_region_map *m = w->m;
    uint32_t height = (uint32_t)(m->root >> 32);
    if (height > REGION_HEIGHT_MAX) {
        is_broken(w, 4, 0);
        return;
    }
    if (height != 0 && check_tree(w, (uint32_t)m->root, height - 1, true)) {
        return;
    }
    if (w->regions != m->count || m->count > m->region_max || w->bytes != m->bytes) {
        is_broken(w, 3, 0);
        return;
    }
    (void)check_free(w);
}

kc_status_t kc_region_map_check(const struct kc_region_map *m, struct kc_region_fault *where)
{
    struct walk w = {.m = m};
    check_map(&w);
    if (where != NULL) {
        where->invariant = w.broken;
        where->index = w.index;
    }
    return w.broken == 0 ? KC_OK : KC_ERR_CORRUPT;
}
