/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The region map's tree: a B+-tree whose nodes are written once and then replaced.
 *
 * Nouns. An *entry* of a leaf is a region; one of an inner node is a child and the base of the
 * lowest region beneath it. A *change* writes new nodes for the path from the leaf to the root, and
 * publishes the new root; every change makes a *version*. The nodes that a version leaves out are
 * *retired*, and join the end of the free list; nodes are taken from its front, after those that
 * have never been used.
 *
 *     version 7        root            root'       version 8: two nodes written, two retired,
 *                    /   |   \       /   |   \     all others shared
 *                leaf  leaf  leaf  ...  ...  leaf'
 *
 * R1  Each region is sound (region_is_sound()) and ends at or before the last byte of the space:
 *     base + size - 1 has 64 bits.
 * R2  Regions ascend and do not meet.
 * R3  `count` is their number, within region_max, and `bytes` the sum of the sizes, modulo 2^64.
 * R4  Nodes of one level have its number, and as many entries as region_node_min() and _max() say;
 *     the root has one entry at least, or two if it is no leaf.
 * R5  The base of an inner entry is exactly that of the lowest region beneath it.
 * R6  A node is in the tree, free, or has never been used: exactly one of these, and once.
 * R7  Free nodes are in the order of the versions that retired them, none later than the present
 *     one; floor is no later than the present version either.
 *
 * No end address is ever formed, since the last one of the space would be 0: all sums are of the
 * forms of kc/bits.h.
 *
 * Reading without a lock. A lookup takes the version v, then the root, then walks down. Its tree is
 * version v or a later one, so the nodes that it may meet are retired by changes later than v, if
 * at all. Before a retired node is written again, `floor` is raised to the version that retired it.
 * Hence: floor <= v after the walk means that nothing the walk read had been written over, and the
 * answer is that of one version of the map. Otherwise the lookup starts again. What it reads
 * meanwhile may be words of any node, so nothing is used as an index unchecked, the number of steps
 * is the height's, and `name` is not followed. Three orders carry this:
 *
 *   W1  floor, then each word of a node taken again with release; each read with acquire, before
 *       floor. Without: a reader takes words of the new use and an old floor.
 *   W2  words of new nodes, then the root with release; read with acquire. Without: a reader takes
 *       the new root and finds in its nodes what was there before.
 *   W3  the root, then the version with release; read with acquire, before the root. Without: a
 *       reader takes the new version and the old root, whose nodes may be written over with a floor
 *       that the new version passes.
 *
 * tests/unit/test_region_orders.c tries all executions that these orders allow, and shows that each
 * is needed. A stopped change stops no lookup: the old tree stays whole until the new root is
 * there. A lookup starts again only if a node of its tree was taken from the free list while it
 * ran, which was behind all nodes that were free when it began; a change takes at most 2 x height
 * + 1.
 *
 * Room. Leaves are at most regions / 7, level n at most a 15th of level n - 1, and one node at
 * least: with n regions less than n / 6.5 nodes and the height. KC_REGION_NODES() has n / 6 and 16
 * more, and so a change always finds its 2 x height + 1 (test: region.there_is_always_a_node). That
 * is why no change fails for want of a node, and none has to be undone.
 *
 * Cost: a lookup reads one node a level, 4 levels for 100,000 regions; a change writes that many.
 * W1 could be two fences, which cost a reader less where a load with acquire costs more than a
 * plain one; but ThreadSanitizer does not follow fences, and the loads of a search wait for each
 * other anyway.
 *
 * Sources: the tree is Bayer's and McCreight's, in the form that copies paths (Rodeh, "B-trees,
 * Shadowing, and Clones", 2008); what a reader must do whose words may be written over is as in a
 * sequence lock (Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?", 2012),
 * with a floor in the place of the sequence, so that it minds only the reuse of nodes and not every
 * change.
 */
#include "region_priv.h"

/* One node of the path from a leaf to the root, and the entry that the path goes through. */
struct region_step {
    uint32_t node;
    uint32_t slot;
};

/* ---- nodes ---------------------------------------------------------------------------------- */

/* A node to write. Its words may still be read by lookups of old trees. */
static uint32_t take_node(struct kc_region_map *m)
{
    if (m->fresh != m->node_count) {
        return m->fresh++;
    }
    KC_CHECK(m->free_count != 0); /* room: see above */
    uint32_t index = m->free_first;
    const struct kc_region_node *n = &m->node[index];
    m->free_first = n->next;
    m->free_count--;
    if (n->retired > m->floor) {
        __atomic_store_n(&m->floor, n->retired, __ATOMIC_RELAXED); /* W1: before its words */
    }
    return index;
}

/* The new version is without this node. It is not yet free: the present tree still has it. */
static void leave_out(struct kc_region_map *m, uint32_t index)
{
    struct kc_region_node *n = &m->node[index];
    n->level = REGION_NONE;
    n->retired = m->version + 1;
    n->next = REGION_NONE;
    if (m->left_count == 0) {
        m->left_first = index;
    } else {
        m->node[m->left_last].next = index;
    }
    m->left_last = index;
    m->left_count++;
}

/* Publish a tree, and set free what it left out. */
static void publish(struct kc_region_map *m, uint64_t root)
{
    __atomic_store_n(&m->root, root, __ATOMIC_RELEASE);              /* W2 */
    __atomic_store_n(&m->version, m->version + 1, __ATOMIC_RELEASE); /* W3 */
    if (m->left_count == 0) {
        return;
    }
    if (m->free_count == 0) {
        m->free_first = m->left_first;
    } else {
        m->node[m->free_last].next = m->left_first; /* R7 */
    }
    m->free_last = m->left_last;
    m->free_count += m->left_count;
    m->left_count = 0;
}

/* ---- the node in the making ----------------------------------------------------------------- */

/* Entries of a node to the end of the work; columns is a constant where this is inlined. */
KC_INLINE void append_entries(struct kc_region_map *m, const struct kc_region_node *n,
                              uint32_t columns)
{
    uint64_t *to = &m->work[(size_t)m->work_count * columns];
    for (uint32_t i = 0; i < n->count; i++) {
        for (uint32_t c = 0; c < columns; c++) {
            *to++ = n->word[c * (KC_REGION_NODE_WORDS / columns) + i];
        }
    }
    m->work_count += n->count;
}

static void work_append(struct kc_region_map *m, uint32_t index)
{
    if (m->work_level == 0) {
        append_entries(m, &m->node[index], REGION_LEAF_COLUMNS);
    } else {
        append_entries(m, &m->node[index], REGION_INNER_COLUMNS);
    }
}

static void work_load(struct kc_region_map *m, uint32_t level, uint32_t index)
{
    m->work_level = level;
    m->work_count = 0;
    work_append(m, index);
}

/* Replace `drop` entries from `at` on by n others. */
static void work_replace(struct kc_region_map *m, uint32_t at, uint32_t drop, const uint64_t *entry,
                         uint32_t n)
{
    size_t columns = region_columns(m->work_level);
    uint64_t *gap = &m->work[at * columns];
    size_t behind = (m->work_count - at - drop) * columns;
    KC_ASSERT((m->work_count - drop + n) * columns <= KC_ARRAY_COUNT(m->work));
    __builtin_memmove(gap + n * columns, gap + drop * columns, behind * sizeof(*gap));
    __builtin_memcpy(gap, entry, n * columns * sizeof(*gap));
    m->work_count = m->work_count - drop + n;
}

/* Entries to a node that lookups of old trees may still read. */
KC_INLINE void store_entries(struct kc_region_node *node, const uint64_t *from, uint32_t n,
                             uint32_t columns)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t c = 0; c < columns; c++) {
            __atomic_store_n(&node->word[c * (KC_REGION_NODE_WORDS / columns) + i], *from++,
                             __ATOMIC_RELEASE); /* W1 */
        }
    }
}

/* Write n entries of the work into a node; entry becomes what its parent says of it. */
static void work_write(struct kc_region_map *m, uint32_t first, uint32_t n,
                       uint64_t entry[REGION_INNER_COLUMNS])
{
    uint32_t index = take_node(m);
    struct kc_region_node *node = &m->node[index];
    const uint64_t *from = &m->work[(size_t)first * region_columns(m->work_level)];
    entry[0] = from[0]; /* R5 */
    entry[1] = index;
    node->level = m->work_level;
    __atomic_store_n(&node->count, n, __ATOMIC_RELEASE); /* W1 */
    if (m->work_level == 0) {
        store_entries(node, from, n, REGION_LEAF_COLUMNS);
    } else {
        store_entries(node, from, n, REGION_INNER_COLUMNS);
    }
}

/* Write the work into one node, or two if one cannot hold it; how many. */
static uint32_t work_emit(struct kc_region_map *m, uint64_t entry[2 * REGION_INNER_COLUMNS])
{
    uint32_t count = m->work_count;
    if (count <= region_node_max(m->work_level)) {
        work_write(m, 0, count, entry);
        return 1;
    }
    work_write(m, 0, count / 2, entry);
    work_write(m, count / 2, count - count / 2, entry + REGION_INNER_COLUMNS);
    return 2;
}

/* ---- changes -------------------------------------------------------------------------------- */

/*
 * The work has too few entries: add those of a neighbour, which has the same parent. Returns the
 * entry of the parent at which the two begin.
 */
static uint32_t join_neighbour(struct kc_region_map *m, const struct region_step *parent)
{
    const struct kc_region_node *p = &m->node[parent->node];
    uint32_t slot = parent->slot;
    if (slot + 1 < p->count) {
        uint32_t right = (uint32_t)p->word[REGION_INNER_MAX + slot + 1];
        work_append(m, right);
        leave_out(m, right);
        return slot;
    }
    /* Behind the last there is nobody, but a parent has two entries at least (R4). */
    uint32_t left = (uint32_t)p->word[REGION_INNER_MAX + slot - 1];
    size_t columns = region_columns(m->work_level);
    uint32_t mine = m->work_count;
    uint32_t its = m->node[left].count;
    __builtin_memmove(&m->work[its * columns], m->work, mine * columns * sizeof(m->work[0]));
    m->work_count = 0;
    work_append(m, left);
    m->work_count += mine;
    leave_out(m, left);
    return slot - 1;
}

/* The work is all of the topmost level: the root that it makes. */
static uint64_t make_root(struct kc_region_map *m)
{
    uint64_t entry[2 * REGION_INNER_COLUMNS];
    uint32_t level = m->work_level;
    if (m->work_count == 0) {
        return region_root(0, 0);
    }
    if (level != 0 && m->work_count == 1) {
        return region_root((uint32_t)m->work[1], level); /* its only child */
    }
    if (work_emit(m, entry) == 2) {
        m->work_level = ++level;
        m->work_count = 0;
        work_replace(m, 0, 0, entry, 2);
        work_write(m, 0, 2, entry);
    }
    return region_root((uint32_t)entry[1], level + 1);
}

/* The path to the last region that begins at or before an address, or to the first of all. */
static uint32_t find_path(const struct kc_region_map *m, uint64_t at,
                          struct region_step path[REGION_HEIGHT_MAX], bool *below_all)
{
    uint32_t height = (uint32_t)(m->root >> 32);
    uint32_t index = (uint32_t)m->root;
    *below_all = height == 0;
    for (uint32_t level = height; level-- != 0;) {
        const struct kc_region_node *n = &m->node[index];
        uint32_t upper = region_upper(n, n->count, at);
        *below_all |= upper == 0;
        path[level] = (struct region_step){index, upper == 0 ? 0 : upper - 1};
        index = (uint32_t)n->word[REGION_INNER_MAX + path[level].slot]; /* unused for a leaf */
    }
    return height;
}

void kc_region_priv_replace(struct kc_region_map *m, uint64_t at, uint32_t drop,
                            const struct kc_region *r, uint32_t n)
{
    struct region_step path[REGION_HEIGHT_MAX];
    uint64_t entry[2 * REGION_LEAF_COLUMNS] = {0};
    bool below_all;
    uint32_t height = find_path(m, at, path, &below_all);

    for (uint32_t i = 0; i < n; i++) {
        region_pack(&r[i], &entry[(size_t)i * REGION_LEAF_COLUMNS]);
    }
    m->work_level = 0;
    m->work_count = 0;
    uint32_t slot = 0;
    if (height != 0) {
        work_load(m, 0, path[0].node);
        slot = path[0].slot + (drop == 0 && !below_all ? 1 : 0);
    }
    work_replace(m, slot, drop, entry, n);

    for (uint32_t level = 0; level + 1 < height; level++) {
        const struct region_step *parent = &path[level + 1];
        uint32_t from = parent->slot;
        uint32_t children = 1;
        if (m->work_count < region_node_min(level)) {
            from = join_neighbour(m, parent);
            children = 2;
        }
        leave_out(m, path[level].node);
        uint32_t made = work_emit(m, entry);
        work_load(m, level + 1, parent->node);
        work_replace(m, from, children, entry, made);
    }
    if (height != 0) {
        leave_out(m, path[height - 1].node);
    }
    publish(m, make_root(m));
}

void kc_region_priv_plant(struct kc_region_map *m, struct kc_region_node *node, uint32_t node_count)
{
    m->root = region_root(0, 0);
    m->version = 0;
    m->floor = 0;
    m->node = node;
    m->node_count = node_count;
    m->fresh = 0;
    m->free_first = REGION_NONE;
    m->free_last = REGION_NONE;
    m->free_count = 0;
    m->left_first = REGION_NONE;
    m->left_last = REGION_NONE;
    m->left_count = 0;
    m->work_count = 0;
    m->work_level = 0;
}
