/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * monitor.c: the events, and what each is judged by.
 *
 * Nouns. A *table* is a page that walkers read (tables.c). A *change* is a descriptor value that
 * memory no longer holds but a TLB may (changes.c). A change is *over* when no CPU can hold the old
 * value, *published* when the changer has released the lock of those tables: by the contract of
 * KC_NOTE_PT_LOCK a change that was made under it is over by then.
 *
 *     store ----> change ----DSB, TLBI, DSB----> over
 *       |            |
 *       | T1 T2 T3   | re-made: T6 (or T7 T8 T9 T10: whichever says why it is not over)
 *       | T13 T14    | lock released: the same
 *       |            | page freed: T19, table page freed: T20
 *       v            v
 *     access through an entry that differs from the tables: T16 T17 T26 T28; walk: T18;
 *     that two entries may match: T22; unsynchronised: T11; after a register write: T12
 *
 * One file each: stores.c, changes.c, uses.c, registers.c, frees.c, locks.c, rights.c (what no
 * mapping may open), lint.c (what is right and dear), tables.c (which page is a table of what).
 *
 * When is the use of a stale entry a violation? The architecture lets a walker keep the old value
 * until the invalidation is complete, so on *another* CPU a stale access is legal while the change
 * is being made. It is a violation
 *   - on the CPU that made the change: from the store on (program order);
 *   - elsewhere: once the change is published, or, where the tables' lock is not known, once the
 *     store happens-before the access through any lock (vector clocks over LOCK_RELEASED and
 *     LOCK_TAKEN).
 * And never while the access gets exactly what the tables give now (same address, memory type, and
 * permission for this access): then nobody can tell which was used.
 *
 * Invariants
 *   J1  a report is made only of a state that the manual forbids, or leaves unpredictable, on some
 *       implementation: reports are independent of what this machine's TLB happens to hold, except
 *       for the rows of use.
 *
 *   J2  an entry remembered as good equals memory while the epoch stays the same.
 *
 * Cost: an access through an entry known as good is one compare; a store to a live table some hash
 * look-ups; a TLBI or DSB the number of changes that are not over, which is small in correct code.
 *
 * Sources: DDI 0487 issue J.a, D8.13 "TLB maintenance", D8.14 "Break-before-make", B2.3 "Ordering";
 * casemate for the idea of an automaton per descriptor.
 */
#include <string.h>

#include "monitor_priv.h"

/* ---- life cycle ------------------------------------------------------------------------------ */

struct monitor *mon_create(const struct mon_config *config)
{
    struct monitor *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return NULL;
    }
    m->config = *config;
    m->epoch = 1;
    for (uint32_t i = 0; i < MON_ROW_COUNT; i++) {
        m->policy[i] = MON_REPORT;
    }
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        m->cpu[i].vc[i] = 1;
    }
    return m;
}

static void map_free_values(struct map *map)
{
    for (uint64_t i = 0; map->slot != NULL && i <= map->mask; i++) {
        free(map->slot[i].value);
    }
    map_fini(map);
}

void mon_destroy(struct monitor *m)
{
    if (m == NULL) {
        return;
    }
    if (m->config.sites != NULL) {
        sites_print(m);
    }
    while (m->oldest != NULL) {
        change_end(m, m->oldest);
    }
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        free(m->cpu[i].flush);
    }
    map_free_values(&m->mappings);
    free(m->site);
    map_fini(&m->changes);
    map_free_values(&m->tables);
    map_free_values(&m->histories);
    map_free_values(&m->locks);
    map_fini(&m->lock_of);
    map_free_values(&m->report_of);
    free(m->report);
    free(m);
}

void mon_set_policy(struct monitor *m, enum mon_row row, enum mon_policy policy)
{
    m->policy[row] = policy;
}

uint64_t mon_judgements(const struct monitor *m, enum mon_row row)
{
    return m->judgements[row];
}

uint64_t mon_violations(const struct monitor *m, enum mon_row row)
{
    return m->violations[row];
}

uint64_t mon_total(const struct monitor *m)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < MON_ROW_COUNT; i++) {
        sum += mon_row_is_lint((enum mon_row)i) ? 0 : m->violations[i];
    }
    return sum;
}

const struct mon_report *mon_report_at(const struct monitor *m, size_t i)
{
    return i < m->report_count ? m->report[i] : NULL;
}

uint64_t mon_epoch(const struct monitor *m)
{
    return m->epoch;
}

void mon_access_same(struct monitor *m, uint64_t n)
{
    if (m->policy[MON_T16] != MON_OFF) {
        m->judgements[MON_T16] += n;
    }
}

bool mon_is_table(const struct monitor *m, uint64_t pa)
{
    return is_watched(table_find(m, pa));
}
/* ---- barriers, invalidations, registers ------------------------------------------------------ */

/* By an ISB (site: which), or an exception (0: no mutable call). */
static void context_sync(struct monitor *m, uint32_t cpu, uint32_t site)
{
    struct cpu_state *s = &m->cpu[cpu];
    s->sync_before = s->sync_order;
    s->sync_order = s->dsb_order;
    s->sync_site = site;
    registers_synchronised(m, cpu, site);
    tables_synchronised(m, cpu);
}

void mon_barrier(struct monitor *m, uint32_t cpu, enum kc_barrier kind)
{
    struct cpu_state *s = &m->cpu[cpu];
    m->order++;
    uint32_t site = site_add(m, cpu, vm_barrier_name(kind), SITE_OTHER);
    lint_barrier(m, cpu, kind);
    changes_barrier(m, cpu, kind);
    if (kind == KC_ISB) {
        if (s->dsb_order > s->sync_order) {
            site_role_set(m, site, SITE_ORDER);
        }
        context_sync(m, cpu, site);
    } else if (kind >= KC_DSB_SY && kind <= KC_DSB_OSHST && kind != KC_DSB_LD &&
               kind != KC_DSB_ISHLD) {
        s->dsb_before = s->dsb_order;
        s->dsb_order = m->order;
        s->dsb_site = site;
    }
}

void mon_context_sync(struct monitor *m, uint32_t cpu)
{
    m->order++;
    context_sync(m, cpu, 0);
}

void mon_tlbi(struct monitor *m, uint32_t cpu, enum kc_tlbi op, uint64_t operand)
{
    m->order++;
    (void)site_add(m, cpu, vm_tlbi_name(op), SITE_FLUSH);
    changes_tlbi(m, cpu, op, operand);
}

void mon_sysreg_write(struct monitor *m, uint32_t cpu, enum kc_sysreg reg, uint64_t old_value,
                      uint64_t new_value)
{
    m->order++;
    registers_written(m, cpu, reg, old_value, new_value);
    if (reg != KC_SCTLR_EL1 && reg != KC_TCR_EL1 && reg != KC_TTBR0_EL1 && reg != KC_TTBR1_EL1) {
        return;
    }
    uint64_t sctlr = reg == KC_SCTLR_EL1 ? new_value : reg_read(m, cpu, KC_SCTLR_EL1);
    uint64_t tcr = reg == KC_TCR_EL1 ? new_value : reg_read(m, cpu, KC_TCR_EL1);
    uint64_t ttbr0 = reg == KC_TTBR0_EL1 ? new_value : reg_read(m, cpu, KC_TTBR0_EL1);
    uint64_t ttbr1 = reg == KC_TTBR1_EL1 ? new_value : reg_read(m, cpu, KC_TTBR1_EL1);
    tables_regime(m, cpu, sctlr, tcr, ttbr0, ttbr1);
}

void mon_cpu(struct monitor *m, uint32_t cpu, bool on)
{
    m->order++;
    m->cpu[cpu].on = on;
    m->cpu[cpu].flush_count = 0;
    m->cpu[cpu].debt_count = 0;
    m->cpu[cpu].walked = false;
    if (on) {
        tables_regime(m, cpu, reg_read(m, cpu, KC_SCTLR_EL1), reg_read(m, cpu, KC_TCR_EL1),
                      reg_read(m, cpu, KC_TTBR0_EL1), reg_read(m, cpu, KC_TTBR1_EL1));
    } else {
        changes_cpu_gone(m, cpu); /* and its TLB with it */
    }
}

/* ---- notes ----------------------------------------------------------------------------------- */

void mon_note(struct monitor *m, uint32_t cpu, enum kc_note kind, uint64_t base, uint64_t size,
              const void *owner)
{
    m->order++;
    switch (kind) {
    case KC_NOTE_TABLE:
    case KC_NOTE_ROOT:
        note_table(m, cpu, base, owner);
        break;
    case KC_NOTE_TABLE_FREE: {
        struct table *t = table_find(m, base);
        if (t != NULL) {
            t->noted = false;
        }
        break;
    }
    case KC_NOTE_FRAME_FREE:
        note_frame_free(m, cpu, base, size);
        break;
    case KC_NOTE_STACK:
    case KC_NOTE_STACK_FREE:
        note_stack(m, base, size, kind == KC_NOTE_STACK);
        break;
    case KC_NOTE_LOCK_TAKEN:
        note_lock_taken(m, cpu, base);
        break;
    case KC_NOTE_LOCK_RELEASED:
        note_lock_released(m, cpu, base);
        break;
    case KC_NOTE_PT_LOCK:
        note_lock_of_tables(m, base, owner);
        break;
    default:
        break;
    }
}
