/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * registers.c: T12: the registers that translation depends on change, and something of their old
 * values is still used.
 *
 * A write of TTBR0, TTBR1, TCR, MAIR or SCTLR leaves a *debt* with its CPU:
 *
 *     written --ISB--> synchronised --TLBI of everything, DSB--> settled
 *       either value    entries made under the old value may
 *       may be used     still be used: valid ones alone
 *
 * An access is a violation if old and new value serve it differently, and never if they serve it
 * alike: then nobody can tell which was used. TTBR0 is settled by the ISB: ASIDs tell its entries
 * apart, and who gives an ASID twice is T21's. So is a TTBR1 whose old root held nothing.
 *
 * Invariants
 *   D1  a debt that is synchronised is held against an access only if the half's TTBR is what it
 *       was when the register was written: of another root nothing was cached under the old value.
 *   D2  a TLBI by address or ASID takes from a debt what it names, when it is issued; when there
 * are too many to remember, the debt is settled. That loses findings and invents none.
 *
 * Turning the MMU on or off is no debt: with it off no access is told of.
 *
 * Sources: DDI 0487 J.a, D19.1.2 "Synchronization requirements for AArch64 System registers";
 * D8.13 "TLB maintenance" (fields of registers that a TLB may cache).
 */
#include <string.h>

#include "monitor_priv.h"

#define VM_SCTLR_WXN (UINT64_C(1) << 19)

/* What of a register bears on how an access is served. */
static uint64_t relevant(enum kc_sysreg reg)
{
    switch (reg) {
    case KC_TTBR0_EL1:
    case KC_TTBR1_EL1:
        return UINT64_C(0xffff) << 48 | VM_OA;
    case KC_TCR_EL1: /* TxSZ, EPDx, A1, TGx, IPS, AS, HPDx */
        return UINT64_C(0x3f) | VM_TCR_EPD0 | UINT64_C(3) << 14 | UINT64_C(0x3f) << 16 | VM_TCR_A1 |
               VM_TCR_EPD1 | UINT64_C(3) << 30 | UINT64_C(7) << 32 | VM_TCR_AS | UINT64_C(3) << 41;
    case KC_MAIR_EL1:
        return UINT64_MAX;
    case KC_SCTLR_EL1:
        return VM_SCTLR_WXN;
    default:
        return 0;
    }
}

static struct regime regime_of(const struct monitor *m, uint32_t cpu)
{
    return (struct regime){
        .sctlr = reg_read(m, cpu, KC_SCTLR_EL1),
        .tcr = reg_read(m, cpu, KC_TCR_EL1),
        .mair = reg_read(m, cpu, KC_MAIR_EL1),
        .ttbr = {reg_read(m, cpu, KC_TTBR0_EL1), reg_read(m, cpu, KC_TTBR1_EL1)}};
}

static void debt_drop(struct cpu_state *s, uint32_t i)
{
    memmove(&s->debt[i], &s->debt[i + 1], sizeof(s->debt[0]) * (--s->debt_count - i));
}

void registers_written(struct monitor *m, uint32_t cpu, enum kc_sysreg reg, uint64_t old_value,
                       uint64_t new_value)
{
    struct cpu_state *s = &m->cpu[cpu];
    struct regime now = regime_of(m, cpu);
    bool on = (now.sctlr & VM_SCTLR_M) != 0;
    if (on) {
        s->held = now;
        s->walked = true;
    }
    if (((old_value ^ new_value) & relevant(reg)) == 0 || !s->walked) {
        return;
    }
    for (uint32_t i = s->debt_count; i-- > 0;) { /* nobody needed its steps in time */
        if (s->debt[i].reg == reg && s->debt[i].state == DEBT_SETTLED) {
            debt_drop(s, i);
        }
    }
    if (s->debt_count == DEBTS_MAX) {
        debt_drop(s, 0);
    }
    s->debt[s->debt_count++] = (struct debt){.reg = reg,
                                             .old = s->held,
                                             .at = mon_clock(m),
                                             .ttbr = {now.ttbr[0], now.ttbr[1]},
                                             .old_value = old_value,
                                             .new_value = new_value};
    m->epoch++; /* accesses that were found good may not be any more */
}

void registers_synchronised(struct monitor *m, uint32_t cpu, uint32_t site)
{
    struct cpu_state *s = &m->cpu[cpu];
    for (uint32_t i = 0; i < s->debt_count; i++) {
        struct debt *d = &s->debt[i];
        d->syncs++;
        if (d->state != DEBT_WRITTEN) {
            continue;
        }
        const struct table *root = table_find(m, d->old.ttbr[1] & VM_OA);
        bool apart = d->reg == KC_TTBR0_EL1 ||
                     (d->reg == KC_TTBR1_EL1 && (root == NULL || !holds_anything(m, root)));
        d->state = apart ? DEBT_SETTLED : DEBT_SYNCHRONISED;
        d->synced_order = m->order;
        d->sync_site = site;
    }
}

bool registers_owe(const struct monitor *m, uint32_t cpu)
{
    for (uint32_t i = 0; i < m->cpu[cpu].debt_count; i++) {
        if (m->cpu[cpu].debt[i].state == DEBT_SYNCHRONISED) {
            return true;
        }
    }
    return false;
}

void registers_tlbi(struct monitor *m, uint32_t cpu, const struct vm_tlbi *t)
{
    for (uint32_t k = 0; k < m->config.cpu_count && !t->all; k++) {
        for (uint32_t i = 0; (t->broadcast || k == cpu) && i < m->cpu[k].debt_count; i++) {
            struct debt *d = &m->cpu[k].debt[i];
            if (d->state != DEBT_SYNCHRONISED) {
                continue;
            }
            if (t->by_asid) {
                d->local_gone = true;
            } else if (d->gone_count == GONE_MAX) {
                d->state = DEBT_SETTLED;
            } else {
                d->gone[d->gone_count].base = t->base;
                d->gone[d->gone_count++].size = t->size;
            }
        }
    }
}

void registers_flushed(struct monitor *m, uint32_t cpu, uint64_t issued_order, uint32_t site)
{
    struct cpu_state *s = &m->cpu[cpu];
    for (uint32_t i = 0; i < s->debt_count; i++) {
        struct debt *d = &s->debt[i];
        if (d->state == DEBT_SYNCHRONISED && issued_order > d->synced_order) {
            d->state = DEBT_SETTLED;
            d->flush_site = site;
        }
    }
}

/* ---- accesses -------------------------------------------------------------------------------- */

struct service {
    bool valid;
    bool global;
    uint64_t pa;
    uint8_t memory; /* MAIR byte */
    struct vm_perm perm;
};

static struct service serve(const struct monitor *m, const struct regime *r, uint64_t va)
{
    bool high = (va >> 55 & 1) != 0;
    struct service out = {0};
    if ((r->tcr & (high ? VM_TCR_EPD1 : VM_TCR_EPD0)) != 0) {
        return out;
    }
    struct translation t = translate(m, r->ttbr[high], high, vm_va_bits(r->tcr, high), va);
    bool hpd = (r->tcr >> (high ? 42 : 41) & 1) != 0;
    out.valid = t.valid;
    out.global = (t.leaf & VM_NG) == 0;
    out.pa = t.pa;
    out.memory = (uint8_t)(r->mair >> (8 * (t.leaf >> 2 & 7)));
    out.perm = vm_perm(t.leaf, hpd ? 0 : t.over);
    if ((r->sctlr & VM_SCTLR_WXN) != 0) {
        out.perm.x1 = out.perm.x1 && !out.perm.w1;
        out.perm.x0 = out.perm.x0 && !out.perm.w0;
    }
    return out;
}

/* Would one be told from the other by this access? */
static bool tells_apart(const struct service *a, const struct service *b,
                        const struct mon_access *x)
{
    bool va = a->valid && vm_allowed(a->perm, x->write, x->fetch, x->el);
    bool vb = b->valid && vm_allowed(b->perm, x->write, x->fetch, x->el);
    return va != vb || (va && (a->pa != b->pa || a->memory != b->memory));
}

static bool is_gone(const struct debt *d, uint64_t va, const struct service *was)
{
    const uint64_t low56 = (UINT64_C(1) << 56) - 1;
    for (uint32_t i = 0; i < d->gone_count; i++) {
        if (kc_range_has(d->gone[i].base & low56, d->gone[i].size, va & low56)) {
            return true;
        }
    }
    return d->local_gone && !was->global;
}

/* An entry of another ASID than the one in use serves nobody. */
static bool is_other_asid(const struct debt *d, const struct regime *now, const struct service *was)
{
    return !was->global && vm_asid(d->old.tcr, d->old.ttbr[0], d->old.ttbr[1]) !=
                               vm_asid(now->tcr, now->ttbr[0], now->ttbr[1]);
}

static const char *reg_name(enum kc_sysreg reg)
{
    return reg == KC_TTBR0_EL1   ? "TTBR0_EL1"
           : reg == KC_TTBR1_EL1 ? "TTBR1_EL1"
           : reg == KC_TCR_EL1   ? "TCR_EL1"
           : reg == KC_MAIR_EL1  ? "MAIR_EL1"
                                 : "SCTLR_EL1";
}

static void report_debt(struct monitor *m, uint32_t cpu, const struct debt *d,
                        const struct mon_access *a, const struct service *was,
                        const struct service *is)
{
    struct mon_report r;
    report_begin(&r, MON_T12, cpu);
    r.va = a->va;
    r.pa = is->pa;
    r.old_desc = d->old_value;
    r.new_desc = d->new_value;
    bool written = d->state == DEBT_WRITTEN;
    snprintf(
        r.sentence, sizeof(r.sentence),
        "access at va %#llx may be served by the old %s: pa %#llx%s, by the new one pa %#llx%s",
        (unsigned long long)a->va, reg_name(d->reg), (unsigned long long)was->pa,
        was->valid ? "" : " (nothing)", (unsigned long long)is->pa, is->valid ? "" : " (nothing)");
    snprintf(r.missing, sizeof(r.missing),
             written
                 ? "missing: ISB between the write of %s at t=%llu and this access"
                 : "missing: TLBI VMALLE1 (or wider) after the ISB that followed the write of %s "
                   "at t=%llu, then DSB, before this access",
             reg_name(d->reg), (unsigned long long)d->at);
    report_cause(&r, d->at, cpu, "wrote %s: %#llx became %#llx", reg_name(d->reg),
                 (unsigned long long)d->old_value, (unsigned long long)d->new_value);
    report_end(m, &r, (uint32_t)d->reg * 2 + written);
}

/* The run needed the steps that settled the debt: tests/mutate. */
static void debt_paid(struct monitor *m, struct debt *d)
{
    if (d->syncs == 1) {
        site_needed(m, d->sync_site, MON_T12);
    }
    site_needed(m, d->flush_site, MON_T12);
    d->sync_site = d->flush_site = 0;
}

void judge_registers(struct monitor *m, uint32_t cpu, const struct mon_access *a)
{
    struct cpu_state *s = &m->cpu[cpu];
    bool high = (a->va >> 55 & 1) != 0;
    for (uint32_t i = s->debt_count; i-- > 0;) {
        struct debt *d = &s->debt[i];
        if ((d->reg == KC_TTBR0_EL1 && high) || (d->reg == KC_TTBR1_EL1 && !high)) {
            continue;
        }
        bool ttbr = d->reg == KC_TTBR0_EL1 || d->reg == KC_TTBR1_EL1;
        struct regime now = regime_of(m, cpu);
        struct service was = serve(m, &d->old, a->va);
        struct service is = serve(m, &now, a->va);
        if (!judged(m, MON_T12) || !tells_apart(&was, &is, a)) {
            continue;
        }
        if (d->state == DEBT_SETTLED) {
            debt_paid(m, d);
            debt_drop(s, i);
        } else if (d->state == DEBT_WRITTEN ||
                   (was.valid && !is_gone(d, a->va, &was) && !is_other_asid(d, &now, &was) &&
                    (ttbr || now.ttbr[high] == d->ttbr[high]))) {
            report_debt(m, cpu, d, a, &was, &is);
        }
    }
}
