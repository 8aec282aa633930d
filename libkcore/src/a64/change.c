/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From old and new descriptor to the steps between them.
 *
 *     old \ new   invalid           valid, same but for     valid, otherwise
 *                                   the harmless bits
 *     invalid     NONE or IDLE      FRESH                   FRESH
 *     valid       REMOVE            LIVE                    BREAK (GROUP if contiguous)
 *
 * Harmless bits of a leaf: PXN, UXN, AP[2] (read-only), DBM, AF, the software bits, and nG from 0
 * to
 * 1. AP[1] (EL0 access) is not among them, so the answer is the careful one. A table descriptor has
 * none: APTable and the rest may be cached combined with the leaf.
 *
 * Invariants
 *   C1  a plan never has two different valid values of a BREAK without STORE_INVALID, DSB_ISHST,
 *       TLBI, DSB_ISH in that order between them.
 *   C2  every TLBI of a plan has a DSB_ISHST before it (after the store it follows) and a DSB_ISH
 *       after it.
 *   C3  every plan that ends in a valid descriptor, or removes one, ends in ISB.
 *
 * Sources: DDI 0487 J.a, D8.14.1 "Using break-before-make when updating translation table entries",
 * D8.14.2 "Support levels for changing block size", D8.6.1 "The Contiguous bit"; Linux
 * arch/arm64/mm/mmu.c, pgattr_change_is_safe(), for the list of harmless bits.
 */
#include <kc/a64/change.h>

#define AP2        KC_BIT(7)
#define AF         KC_BIT(10)
#define NG         KC_BIT(11)
#define DBM        KC_BIT(51)
#define CONTIGUOUS KC_BIT(52)
#define PXN        KC_BIT(53)
#define UXN        KC_BIT(54)
#define SOFTWARE   KC_MASK(58, 55)
#define HARMLESS   (AP2 | AF | DBM | PXN | UXN | SOFTWARE)

static bool is_leaf(enum kc_a64_kind k)
{
    return k == KC_A64_BLOCK || k == KC_A64_PAGE;
}

/* A walker treats both the same, and neither is cached. */
static bool is_void(enum kc_a64_kind k)
{
    return k == KC_A64_INVALID || k == KC_A64_RESERVED;
}

enum kc_a64_change kc_a64_change_classify(const struct kc_a64_format *f, uint32_t level,
                                          uint64_t before, uint64_t after)
{
    if (before == after) {
        return KC_A64_CHANGE_NONE;
    }
    enum kc_a64_kind was = kc_a64_kind(f, level, before);
    enum kc_a64_kind is = kc_a64_kind(f, level, after);
    if (is_void(was)) {
        return is_void(is) ? KC_A64_CHANGE_IDLE : KC_A64_CHANGE_FRESH;
    }
    /* One member of a group may be cached as the whole group: no single entry is its own master. */
    bool group =
        (is_leaf(was) && (before & CONTIGUOUS) != 0) || (is_leaf(is) && (after & CONTIGUOUS) != 0);
    if (group) {
        return KC_A64_CHANGE_GROUP;
    }
    if (is_void(is)) {
        return KC_A64_CHANGE_REMOVE;
    }
    if (was != is) {
        bool size_may_change = f->bbm >= 2 && (f->features & KC_A64_FEAT_BBM2_NOABORT) != 0;
        return size_may_change ? KC_A64_CHANGE_LIVE : KC_A64_CHANGE_BREAK;
    }
    uint64_t changed = before ^ after;
    if (!is_leaf(was)) {
        return KC_A64_CHANGE_BREAK;
    }
    if ((changed & NG) != 0 && (after & NG) != 0) {
        changed &= ~NG;
    }
    return (changed & ~HARMLESS) == 0 ? KC_A64_CHANGE_LIVE : KC_A64_CHANGE_BREAK;
}

static void add(struct kc_a64_plan *plan, enum kc_a64_step step)
{
    plan->step[plan->step_count++] = (uint8_t)step;
}

static void add_invalidation(struct kc_a64_plan *plan)
{
    add(plan, KC_A64_STEP_DSB_ISHST);
    add(plan, KC_A64_STEP_TLBI);
    add(plan, KC_A64_STEP_DSB_ISH);
}

void kc_a64_change_plan(const struct kc_a64_format *f, uint32_t level, uint64_t before,
                        uint64_t after, struct kc_a64_plan *plan)
{
    *plan = (struct kc_a64_plan){.change = kc_a64_change_classify(f, level, before, after)};
    plan->all_levels = kc_a64_kind(f, level, before) == KC_A64_TABLE;
    switch (plan->change) {
    case KC_A64_CHANGE_NONE:
    case KC_A64_CHANGE_GROUP:
    case KC_A64_CHANGE_COUNT:
        break;
    case KC_A64_CHANGE_IDLE:
        add(plan, KC_A64_STEP_STORE);
        break;
    case KC_A64_CHANGE_FRESH:
        add(plan, KC_A64_STEP_STORE);
        add(plan, KC_A64_STEP_DSB_ISHST);
        add(plan, KC_A64_STEP_ISB);
        break;
    case KC_A64_CHANGE_REMOVE:
    case KC_A64_CHANGE_LIVE:
        add(plan, KC_A64_STEP_STORE);
        add_invalidation(plan);
        add(plan, KC_A64_STEP_ISB);
        break;
    case KC_A64_CHANGE_BREAK:
        add(plan, KC_A64_STEP_STORE_INVALID);
        add_invalidation(plan);
        add(plan, KC_A64_STEP_STORE);
        add(plan, KC_A64_STEP_DSB_ISHST);
        add(plan, KC_A64_STEP_ISB);
        break;
    }
}

const char *kc_a64_change_name(enum kc_a64_change c)
{
    static const char *const names[KC_A64_CHANGE_COUNT] = {"none", "idle",  "fresh", "remove",
                                                           "live", "break", "group"};
    return (uint32_t)c < KC_A64_CHANGE_COUNT ? names[c] : "?";
}

const char *kc_a64_step_name(enum kc_a64_step s)
{
    static const char *const names[KC_A64_STEP_COUNT] = {"store 0", "store",   "DSB ISHST",
                                                         "TLBI",    "DSB ISH", "ISB"};
    return (uint32_t)s < KC_A64_STEP_COUNT ? names[s] : "?";
}
