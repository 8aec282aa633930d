/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The misuse policy.
 *
 * M1  Every report is counted, whatever becomes of it. Counts are atomic and only grow.
 * M2  `last` is written by one reporter at a time: by the one that turned `busy` from 0 to 1. One
 *     that finds it taken leaves `last` to the other; nobody waits, so a report from an interrupt
 * in the middle of a report cannot hang.
 */
#include <kc/assert.h>
#include <kc/fmt.h>

/* A name of a pool or cache is cut in the message, so that this suffices. */
#define LINE_BYTES 256u
#define NAME_MAX   64

const char *kc_misuse_kind_name(enum kc_misuse_kind k)
{
    switch (k) {
    case KC_MISUSE_FOREIGN:
        return "foreign";
    case KC_MISUSE_INTERIOR:
        return "interior";
    case KC_MISUSE_DOUBLE_FREE:
        return "double free";
    case KC_MISUSE_WRONG_SIZE:
        return "wrong size";
    case KC_MISUSE_WRONG_OWNER:
        return "wrong owner";
    case KC_MISUSE_BUSY:
        return "busy";
    case KC_MISUSE_CORRUPT:
        return "corrupt";
    case KC_MISUSE_LOCK:
        return "lock";
    case KC_MISUSE_BOUNDS:
        return "out of bounds";
    case KC_MISUSE_AFTER_FREE:
        return "use after free";
    case KC_MISUSE_REFS:
        return "references";
    case KC_MISUSE_OVERUSE:
        return "overuse";
    case KC_MISUSE_KIND_COUNT:
        break;
    }
    return "?";
}

void kc_misuse_init(struct kc_misuse *m, enum kc_misuse_policy policy)
{
    static const struct kc_misuse_report none = {KC_MISUSE_FOREIGN, "", "", 0, 0, 0, 0, NULL};
    m->policy = policy;
    for (uint32_t i = 0; i < KC_MISUSE_KIND_COUNT; i++) {
        m->count[i] = 0;
    }
    m->last = none;
    m->busy = 0;
}

static void print(const struct kc_misuse_report *r)
{
    char line[LINE_BYTES];
    size_t n = kc_fmt(line, sizeof(line),
                      "misuse: %s: %.*s '%.*s' at 0x%llx (expected 0x%llx, found 0x%llx)",
                      kc_misuse_kind_name(r->kind), NAME_MAX, r->where, NAME_MAX, r->object,
                      (unsigned long long)r->address, (unsigned long long)r->expected,
                      (unsigned long long)r->found);
    if (r->owner_name != NULL) {
        n += kc_fmt(line + n, sizeof(line) - n, ", %s %.*s (%u)",
                    r->kind == KC_MISUSE_DOUBLE_FREE ? "last owner" : "owner", NAME_MAX,
                    r->owner_name, r->owner);
    }
    n += kc_fmt(line + n, sizeof(line) - n, "\n");
    kc_plat_console(line, n < sizeof(line) ? n : sizeof(line) - 1);
}

static void keep(struct kc_misuse *m, const struct kc_misuse_report *r)
{
    __atomic_fetch_add(&m->count[r->kind], 1, __ATOMIC_RELAXED); /* M1 */
    uint32_t idle = 0;
    if (__atomic_compare_exchange_n(&m->busy, &idle, 1, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED)) { /* M2 */
        m->last = *r;
        __atomic_store_n(&m->busy, 0, __ATOMIC_RELEASE);
    }
}

void kc_misuse_raise(struct kc_misuse *m, const struct kc_misuse_report *r)
{
    KC_CHECK((uint32_t)r->kind < KC_MISUSE_KIND_COUNT);
    enum kc_misuse_policy policy = m != NULL ? m->policy : KC_MISUSE_REPORT;
    if (m != NULL) {
        keep(m, r);
    }
    if (policy != KC_MISUSE_SILENT) {
        print(r);
    }
    if (policy == KC_MISUSE_PANIC) {
        struct kc_panic why = {r->where,
                               0,
                               kc_misuse_kind_name(r->kind),
                               "misuse by a caller",
                               {r->found, r->expected}};
        kc_plat_panic(&why);
    }
}

uint64_t kc_misuse_total(const struct kc_misuse *m)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < KC_MISUSE_KIND_COUNT; i++) {
        total += __atomic_load_n(&m->count[i], __ATOMIC_RELAXED);
    }
    return total;
}
