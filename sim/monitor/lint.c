/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lint.c: T30: what is right, and costs more than it needs.
 *
 *     TLBI that takes nothing away                    redundant
 *     ALL or by ASID, for a few pages                 by address would do
 *     DSB SY, OSH or ISH with stores alone to wait for   DSB ISHST would do
 *     DSB SY or OSH with TLBIs to wait for            DSB ISH would do
 *
 * A lint is no violation: a barrier may stand there for something that no monitor sees (a device,
 * data of another CPU), and a wide TLBI may be chosen to keep code small. So they are counted
 * apart, and never make a run unclean. Judged of CPUs whose MMU is on; what a CPU invalidates at
 * its start is due, for nobody knows what its TLB holds.
 *
 * A right that is widened needs no TLBI to be safe, but a fault less with one: not redundant.
 */
#include "monitor_priv.h"

/* Pages for which as many TLBIs by address are not dearer than one of everything. */
#define FEW 8u

const char *mon_lint_text(enum mon_lint kind)
{
    static const char *const text[MON_LINT_COUNT] = {
        [MON_LINT_REDUNDANT] = "TLBI that takes nothing away",
        [MON_LINT_WIDE] = "TLBI of everything, or of an ASID, where a few by address would do",
        [MON_LINT_STORES] = "DSB for all accesses where DSB ISHST would do",
        [MON_LINT_SYSTEM] = "DSB of the whole system where DSB ISH would do",
    };
    return text[kind];
}

uint64_t mon_lints(const struct monitor *m, enum mon_lint kind)
{
    return m->lint[kind];
}

static void found(struct monitor *m, uint32_t cpu, enum mon_lint kind, const char *what,
                  uint64_t operand, const char *instead)
{
    struct mon_report r;
    m->lint[kind]++;
    report_begin(&r, MON_T30, cpu);
    snprintf(r.sentence, sizeof(r.sentence), "%s, operand %#llx: %s", what,
             (unsigned long long)operand, mon_lint_text(kind));
    snprintf(r.missing, sizeof(r.missing), "missing: nothing; %s", instead);
    report_end(m, &r, (uint32_t)kind);
}

static bool is_on(const struct monitor *m, uint32_t cpu)
{
    return (reg_read(m, cpu, KC_SCTLR_EL1) & VM_SCTLR_M) != 0;
}

/* A store only widened what is allowed there. */
void lint_widened(struct monitor *m, uint64_t va, uint64_t span)
{
    m->widened[m->widened_next++ % WIDENED_MAX] = (struct widened){va, span};
}

/* Was a right widened there? Then the TLBI is for that, and no further one. */
static bool take_widened(struct monitor *m, const struct vm_tlbi *t)
{
    const uint64_t low56 = (UINT64_C(1) << 56) - 1;
    bool any = false;
    for (uint32_t i = 0; i < WIDENED_MAX; i++) {
        struct widened *w = &m->widened[i];
        if (w->span != 0 &&
            (!t->by_va || kc_range_meets(t->base & low56, t->size, w->va & low56, w->span))) {
            w->span = 0;
            any = true;
        }
    }
    return any;
}

void lint_tlbi(struct monitor *m, uint32_t cpu, const struct lint_tlbi *l)
{
    struct cpu_state *s = &m->cpu[cpu];
    s->tlbis_issued++;
    bool widened = take_widened(m, l->t);
    if (!is_on(m, cpu) || !judged(m, MON_T30)) {
        return;
    }
    bool owed = widened || l->roots != 0;
    for (uint32_t i = 0; i < m->config.cpu_count && !owed; i++) {
        owed = (l->t->broadcast || i == cpu) && registers_owe(m, i);
    }
    if (l->changes == 0 && !owed && !l->astray) {
        found(m, cpu, MON_LINT_REDUNDANT, vm_tlbi_name(l->op), l->operand,
              "without this TLBI no TLB could serve anything else");
    } else if ((l->t->all || l->t->by_asid) && !owed && l->changes <= FEW) {
        found(m, cpu, MON_LINT_WIDE, vm_tlbi_name(l->op), l->operand,
              "TLBI by address for what had changed would have left the rest of the TLB");
    }
}

void lint_barrier(struct monitor *m, uint32_t cpu, enum kc_barrier kind)
{
    struct cpu_state *s = &m->cpu[cpu];
    bool system = kind == KC_DSB_SY || kind == KC_DSB_OSH;
    bool completes = system || kind == KC_DSB_ISH || kind == KC_DSB_NSH;
    bool stores = s->stored_order > s->dsb_order;
    bool tlbis = s->tlbis_issued != 0;
    if (kind < KC_DSB_SY || kind > KC_DSB_OSHST) {
        return;
    }
    if (completes) {
        s->tlbis_issued = 0;
    }
    if (!is_on(m, cpu) || !judged(m, MON_T30)) {
        return;
    }
    if (!tlbis && stores && (system || kind == KC_DSB_ISH)) {
        found(m, cpu, MON_LINT_STORES, vm_barrier_name(kind), 0,
              "DSB ISHST makes stores of descriptors visible to walkers");
    } else if (tlbis && system) {
        found(m, cpu, MON_LINT_SYSTEM, vm_barrier_name(kind), 0,
              "DSB ISH completes TLBIs on all CPUs that share the tables");
    }
}
