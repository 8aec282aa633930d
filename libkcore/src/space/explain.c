/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults in words.
 *
 * The *report* is ESR_EL1 and FAR_EL1. The *tables* are what a walk finds now. A report that the
 * tables do not agree with is news by itself: they were changed since, or a TLB held what they no
 * longer say.
 *
 * Order of what is looked for, which is that of the hardware (DDI 0487 J.a, D8.15.2 "Prioritization
 * of faults"): translation, address size, access flag, permission.
 *
 * Cost: one walk, and a pass over the areas of a space. Locking: none.
 */
#include <kc/explain.h>

#include "ptview_priv.h"

/* ---- deciding ------------------------------------------------------------------------------- */

static struct kc_a64_access access_of(const struct kc_a64_syndrome *s)
{
    return (struct kc_a64_access){
        .write = s->is_write && !s->is_fetch, .fetch = s->is_fetch, .el0 = s->from_lower};
}

static bool reported_permission_of_el1_data(const struct kc_a64_syndrome *s)
{
    return s->fault == KC_A64_FAULT_PERMISSION && !s->from_lower && !s->is_fetch;
}

static void judge_leaf(struct kc_explain *e)
{
    struct kc_a64_access a = access_of(&e->syndrome);
    struct kc_a64_limits by = e->walk.by;
    enum kc_a64_refusal r = kc_a64_access_judge(&e->walk.leaf, &by, a);
    if (r == KC_A64_ALLOWED && reported_permission_of_el1_data(&e->syndrome)) {
        by.pan = true;
        r = kc_a64_access_judge(&e->walk.leaf, &by, a);
        if (r == KC_A64_ALLOWED) {
            a.el0 = true;
            r = kc_a64_access_judge(&e->walk.leaf, &by, a);
            e->as_el0 = r != KC_A64_ALLOWED;
        }
    }
    e->refusal = (uint8_t)r;
    if (r != KC_A64_ALLOWED) {
        e->now = KC_A64_FAULT_PERMISSION;
    }
}

/* Without its tag: bits 63 to 56 as bit 55 (D8.2.1.1, "Address tagging"). */
static uint64_t without_tag(const struct kc_a64_half *half, uint64_t far)
{
    if (!half->top_byte_ignored) {
        return far;
    }
    return (far & KC_BIT(55)) != 0 ? far | KC_MASK(63, 56) : far & ~KC_MASK(63, 56);
}

void kc_explain(const struct kc_explain_regs *regs, const struct kc_boot_info *info,
                struct kc_explain *out)
{
    struct kc_explain *e = out;
    *e = (struct kc_explain){.regs = *regs, .kind = KC_EXPLAIN_NOT_ABORT};
    kc_a64_esr_decode(regs->esr, &e->syndrome);
    if (!e->syndrome.is_abort) {
        return;
    }
    e->kind = e->syndrome.far_invalid ? KC_EXPLAIN_NO_FAR : KC_EXPLAIN_MMU_OFF;
    if (e->syndrome.far_invalid || (regs->sctlr & KC_A64_SCTLR_EL1_M) == 0) {
        return;
    }
    e->upper = (regs->far & KC_BIT(55)) != 0;
    kc_a64_tcr_decode(regs->tcr, e->upper, &e->half);
    e->ia = without_tag(&e->half, regs->far);
    e->kind = KC_EXPLAIN_NO_WALK;
    if (kc_ptview_of_regs(regs->sctlr, regs->tcr, regs->mair, e->upper ? regs->ttbr1 : regs->ttbr0,
                          e->upper, info, &e->view) != KC_A64_HALF_ON) {
        e->now = KC_A64_FAULT_TRANSLATION;
        e->agrees = e->syndrome.fault == e->now && e->syndrome.level == 0;
        return;
    }
    e->kind = KC_EXPLAIN_WALKED;
    kc_ptview_walk(&e->view, e->ia, &e->walk);
    e->now = (uint8_t)kc_ptview_fault(&e->walk);
    if (e->now == KC_A64_FAULT_NONE) {
        judge_leaf(e);
    }
    e->agrees = e->syndrome.fault == e->now && e->syndrome.level == e->walk.level;
}

/* ---- in words ------------------------------------------------------------------------------- */

static void say_report(const struct kc_ptview_out *o, const struct kc_explain *e)
{
    const struct kc_a64_syndrome *s = &e->syndrome;
    if (!s->is_abort) {
        kc_ptview_priv_say(o, "%s (ESR_EL1 0x%llx): not an abort, nothing to walk for\n",
                           kc_a64_ec_name(s->ec), (unsigned long long)e->regs.esr);
        return;
    }
    kc_ptview_priv_say(o, "%s at 0x%016llx by EL%c: %s",
                       s->is_fetch         ? "fetch"
                       : s->is_maintenance ? "cache maintenance"
                       : s->is_write       ? "write"
                                           : "read",
                       (unsigned long long)e->regs.far, s->from_lower ? '0' : '1',
                       kc_a64_fault_name((enum kc_a64_fault)s->fault));
    if (s->level != KC_A64_LEVEL_NONE) {
        kc_ptview_priv_say(o, ", level %u", s->level);
    }
    kc_ptview_priv_say(o, " (ESR_EL1 0x%llx)%s\n", (unsigned long long)e->regs.esr,
                       s->walk_stage2 ? ", in the stage 2 translation of a walk" : "");
}

static void say_table(const struct kc_ptview_out *o, const struct kc_explain *e,
                      const struct kc_ptview_step *step)
{
    struct kc_a64_table t;
    kc_a64_table_fields(step->desc, &t);
    kc_ptview_priv_say(
        o, "table at 0x%llx",
        (unsigned long long)kc_a64_desc_address(&e->view.format, step->level, step->desc));
    if (t.ap_table != 0 || t.uxn_table || t.pxn_table) {
        kc_ptview_priv_say(o, ", APTable %u, UXNTable %u, PXNTable %u", t.ap_table, t.uxn_table,
                           t.pxn_table);
    }
}

static void say_leaf(const struct kc_ptview_out *o, const struct kc_explain *e,
                     const struct kc_ptview_step *step)
{
    struct kc_a64_leaf l;
    kc_a64_leaf_fields(step->desc, &l);
    kc_ptview_priv_say(
        o, "%s of 0x%llx, ", kc_a64_kind_name((enum kc_a64_kind)step->kind),
        (unsigned long long)kc_a64_desc_address(&e->view.format, step->level, step->desc));
    kc_ptview_priv_say_type(o, e->view.mair, l.attr_index);
    kc_ptview_priv_say(o, ", AP %u, SH %u, AF %u, nG %u, PXN %u, UXN %u", l.ap, l.sh, l.af,
                       l.not_global, l.pxn, l.uxn);
}

static void say_step(const struct kc_ptview_out *o, const struct kc_explain *e,
                     const struct kc_ptview_step *step)
{
    kc_ptview_priv_say(o, "  level %u at 0x%llx: ", step->level,
                       (unsigned long long)kc_pa_raw(step->at));
    if (!step->is_read) {
        kc_ptview_priv_say(o, "not in RAM, not read\n");
        return;
    }
    kc_ptview_priv_say(o, "0x%016llx  ", (unsigned long long)step->desc);
    switch ((enum kc_a64_kind)step->kind) {
    case KC_A64_TABLE:
        say_table(o, e, step);
        break;
    case KC_A64_BLOCK:
    case KC_A64_PAGE:
        say_leaf(o, e, step);
        break;
    case KC_A64_INVALID:
    case KC_A64_RESERVED:
    case KC_A64_KIND_COUNT:
    default:
        kc_ptview_priv_say(o, "%s", kc_a64_kind_name((enum kc_a64_kind)step->kind));
        break;
    }
    kc_ptview_priv_say(o, "\n");
}

/* Why, in one sentence: of the tables alone. */
static void say_why(const struct kc_ptview_out *o, const struct kc_explain *e)
{
    const struct kc_ptview_walk *w = &e->walk;
    switch ((enum kc_ptview_end)w->end) {
    case KC_PTVIEW_OUTSIDE:
        kc_ptview_priv_say(o, "bits above %u are not a sign extension: the address is in no half",
                           e->view.format.va_bits);
        break;
    case KC_PTVIEW_INVALID:
        kc_ptview_priv_say(o, "bit 0 of the descriptor is 0: nothing is mapped at level %u",
                           w->level);
        break;
    case KC_PTVIEW_RESERVED:
        kc_ptview_priv_say(o, "there is no such descriptor at level %u", w->level);
        break;
    case KC_PTVIEW_TOO_LARGE:
        kc_ptview_priv_say(o, "%s exceeds the output size of %u bits",
                           w->step_count == 0 ? "the root's address" : "the descriptor's address",
                           e->view.format.pa_bits);
        break;
    case KC_PTVIEW_NO_RAM:
        kc_ptview_priv_say(o, "the table of level %u is not in RAM", w->level);
        break;
    case KC_PTVIEW_LEAF:
    case KC_PTVIEW_END_COUNT:
    default:
        if (e->now == KC_A64_FAULT_ACCESS_FLAG) {
            kc_ptview_priv_say(o, "AF is 0: it was not accessed before");
        } else if (e->now == KC_A64_FAULT_PERMISSION) {
            kc_ptview_priv_say(o, "%s%s",
                               e->as_el0 ? "with the permissions of EL0 (LDTR, STTR) " : "",
                               kc_a64_refusal_text((enum kc_a64_refusal)e->refusal));
        } else {
            kc_ptview_priv_say(o, "it is mapped to 0x%llx, and this access is allowed",
                               (unsigned long long)kc_pa_raw(w->pa));
        }
        break;
    }
}

static bool is_of_tables(uint32_t fault)
{
    return fault == KC_A64_FAULT_TRANSLATION || fault == KC_A64_FAULT_ADDRESS_SIZE ||
           fault == KC_A64_FAULT_ACCESS_FLAG || fault == KC_A64_FAULT_PERMISSION;
}

static void say_verdict(const struct kc_ptview_out *o, const struct kc_explain *e)
{
    if (!is_of_tables(e->syndrome.fault)) {
        kc_ptview_priv_say(o, "  the tables: ");
        say_why(o, e);
        kc_ptview_priv_say(o, "; the fault is not one of theirs\n");
        return;
    }
    kc_ptview_priv_say(o, e->agrees ? "  because " : "  but now ");
    say_why(o, e);
    kc_ptview_priv_say(o, e->agrees ? "\n"
                                    : ": the tables were changed since, or a stale TLB entry was "
                                      "used\n");
}

void kc_explain_say(const struct kc_explain *e, kc_ptview_sink_fn sink, void *ctx)
{
    const struct kc_ptview_out o = {sink, ctx};
    say_report(&o, e);
    switch ((enum kc_explain_kind)e->kind) {
    case KC_EXPLAIN_NO_FAR:
        kc_ptview_priv_say(&o, "  FAR_EL1 is not valid: the address is not known\n");
        break;
    case KC_EXPLAIN_MMU_OFF:
        kc_ptview_priv_say(&o, "  the MMU is off: addresses are physical\n");
        break;
    case KC_EXPLAIN_NO_WALK:
        kc_ptview_priv_say(&o, "  TTBR%c's half: %s\n", e->upper ? '1' : '0',
                           kc_a64_half_state_name((enum kc_a64_half_state)e->half.state));
        break;
    case KC_EXPLAIN_WALKED:
        kc_ptview_priv_say(&o, "  TTBR%c's half: root at 0x%llx, %u bits, granule %u KiB\n",
                           e->upper ? '1' : '0', (unsigned long long)kc_pa_raw(e->view.root),
                           e->view.format.va_bits, 1u << (e->view.format.granule_log2 - 10));
        for (uint32_t i = 0; i < e->walk.step_count; i++) {
            say_step(&o, e, &e->walk.step[i]);
        }
        say_verdict(&o, e);
        break;
    case KC_EXPLAIN_NOT_ABORT:
    case KC_EXPLAIN_KIND_COUNT:
    default:
        break;
    }
}

/* ---- spaces --------------------------------------------------------------------------------- */

static void say_area(const struct kc_ptview_out *o, const struct kc_area *a)
{
    static const char *const backings[] = {"empty", "the caller's memory", "frames of its own",
                                           "device registers"};
    kc_ptview_priv_say(o, "area 0x%016llx + 0x%llx (%s%s)\n", (unsigned long long)a->base,
                       (unsigned long long)a->bytes,
                       a->backing < KC_ARRAY_COUNT(backings) ? backings[a->backing] : "?",
                       (a->flags & KC_AREA_LAZY) != 0 ? ", lazy" : "");
}

void kc_explain_space(const struct kc_aspace *as, kc_ia_t ia, kc_ptview_sink_fn sink, void *ctx)
{
    static const char *const places[KC_PLACE_COUNT] = {"outside its window\n", "in no area\n",
                                                       "in the guard below ", "in the guard above ",
                                                       "in "};
    const struct kc_ptview_out o = {sink, ctx};
    struct kc_aspace_belief b;
    if (!kc_aspace_ask(as, ia, &b)) {
        return;
    }
    kc_ptview_priv_say(&o, "  space %s: %s", b.space, places[b.place]);
    if (b.place > KC_PLACE_FREE) {
        say_area(&o, &b.area);
    }
}
