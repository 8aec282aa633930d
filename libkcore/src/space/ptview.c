/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Views of tables.
 *
 * A walk reads one descriptor a level and stops at the first that does not go on. An iteration is a
 * walk for each entry: it goes on behind the entry that the last walk ended at, and so skips what a
 * table descriptor that is invalid covers in one step. Four loads an entry, no state but the next
 * address, and nothing to go stale.
 *
 * Invariants
 *   I1  A descriptor is loaded only if its 8 bytes are in RAM of the boot information and in none
 * of its NOMAP ranges. I2  A walk ends: levels only rise, to 3. An iteration ends: each step goes
 * up by a span, and there are at most `reads` loads.
 *
 * Sources: DDI 0487 J.a, D8.2 "Translation process", D8.3 "Translation table descriptor formats";
 * D19.2 "TTBR0_EL1", BADDR: a root table is aligned to its size. Linux arch/arm64/mm/ptdump.c for
 * what people want to see in a line.
 */
#include "ptview_priv.h"

#include <kc/fmt.h>

#define LAST_LEVEL     3u
#define DESC_BYTES     8u
#define ROOT_ALIGN_MIN UINT64_C(64)
#define LINE_MAX       200u
/* All but type and address: two leaves that agree in it go into one run. */
#define DESC_ATTRIBUTES (KC_MASK(63, 48) | KC_MASK(11, 2))

/* ---- views ---------------------------------------------------------------------------------- */

void kc_ptview_of(const struct kc_pt *pt, const struct kc_boot_info *info, struct kc_ptview *out)
{
    *out = (struct kc_ptview){.format = *kc_pt_format(pt),
                              .root = kc_pt_root(pt),
                              .mair = kc_a64_mair(),
                              .wxn = true,
                              .info = info};
}

enum kc_a64_half_state kc_ptview_of_regs(uint64_t sctlr, uint64_t tcr, uint64_t mair, uint64_t ttbr,
                                         bool upper, const struct kc_boot_info *info,
                                         struct kc_ptview *out)
{
    struct kc_a64_half half;
    kc_a64_tcr_decode(tcr, upper, &half);
    if (half.state != KC_A64_HALF_ON) {
        return (enum kc_a64_half_state)half.state;
    }
    uint32_t start = kc_a64_start_level(&half.format);
    uint64_t bytes = (uint64_t)kc_a64_level_entries(&half.format, start) * DESC_BYTES;
    uint64_t align = bytes < ROOT_ALIGN_MIN ? ROOT_ALIGN_MIN : bytes;
    *out = (struct kc_ptview){.format = half.format,
                              .root = kc_pa(kc_align_down(ttbr & KC_MASK(47, 1), align)),
                              .mair = mair,
                              .wxn = (sctlr & KC_A64_SCTLR_EL1_WXN) != 0,
                              .no_hierarchy = half.no_hierarchy,
                              .info = info};
    return KC_A64_HALF_ON;
}

/* I1 */
static bool is_readable(const struct kc_boot_info *info, uint64_t pa)
{
    bool ram = false;
    for (uint32_t i = 0; i < info->range_count && i < KC_BOOT_RANGES_MAX; i++) {
        const struct kc_boot_range *r = &info->range[i];
        uint64_t base = kc_pa_raw(r->base);
        if (r->kind == KC_BOOT_RAM && kc_range_covers(base, r->size, pa, DESC_BYTES)) {
            ram = true;
        } else if (r->kind == KC_BOOT_NOMAP && kc_range_meets(base, r->size, pa, DESC_BYTES)) {
            return false;
        }
    }
    return ram && kc_is_aligned(pa, DESC_BYTES);
}

/* ---- walk ----------------------------------------------------------------------------------- */

static void end_at(struct kc_ptview_walk *w, enum kc_ptview_end end)
{
    w->end = (uint8_t)end;
}

static bool fits(const struct kc_ptview *v, uint64_t address)
{
    return address >> v->format.pa_bits == 0;
}

static void end_at_leaf(const struct kc_ptview *v, uint64_t ia, uint64_t desc,
                        struct kc_ptview_walk *w)
{
    uint64_t out = kc_a64_desc_address(&v->format, w->level, desc);
    if (!fits(v, out)) {
        end_at(w, KC_PTVIEW_TOO_LARGE);
        return;
    }
    kc_a64_leaf_fields(desc, &w->leaf);
    w->leaf.out = out;
    w->pa = kc_pa(out | (ia & (w->span - 1)));
    end_at(w, KC_PTVIEW_LEAF);
}

/* Read the descriptor of this level. False: the walk has ended. */
static bool step(const struct kc_ptview *v, uint64_t ia, uint64_t *table, struct kc_ptview_walk *w)
{
    const struct kc_a64_format *f = &v->format;
    struct kc_ptview_step *s = &w->step[w->step_count++];
    uint64_t at = *table + (uint64_t)kc_a64_index(f, w->level, ia) * DESC_BYTES;
    w->span = KC_BIT(kc_a64_level_shift(f, w->level));
    *s = (struct kc_ptview_step){.at = kc_pa(at), .level = w->level, .kind = KC_A64_INVALID};
    if (!is_readable(v->info, at)) {
        end_at(w, KC_PTVIEW_NO_RAM);
        return false;
    }
    s->is_read = true;
    s->desc = kc_plat_desc_load(s->at);
    s->kind = (uint8_t)kc_a64_kind(f, w->level, s->desc);
    if (s->kind == KC_A64_BLOCK || s->kind == KC_A64_PAGE) {
        end_at_leaf(v, ia, s->desc, w);
        return false;
    }
    if (s->kind != KC_A64_TABLE) {
        end_at(w, s->kind == KC_A64_INVALID ? KC_PTVIEW_INVALID : KC_PTVIEW_RESERVED);
        return false;
    }
    *table = kc_a64_desc_address(f, w->level, s->desc);
    if (!fits(v, *table)) {
        end_at(w, KC_PTVIEW_TOO_LARGE);
        return false;
    }
    if (!v->no_hierarchy) {
        struct kc_a64_table t;
        kc_a64_table_fields(s->desc, &t);
        w->by.ap_table |= t.ap_table;
        w->by.uxn_table = w->by.uxn_table || t.uxn_table;
        w->by.pxn_table = w->by.pxn_table || t.pxn_table;
    }
    return true;
}

void kc_ptview_walk(const struct kc_ptview *v, uint64_t ia, struct kc_ptview_walk *out)
{
    uint64_t table = kc_pa_raw(v->root);
    *out = (struct kc_ptview_walk){.end = KC_PTVIEW_OUTSIDE, .by = {.wxn = v->wxn}};
    if (!kc_a64_ia_in_range(&v->format, ia)) {
        return;
    }
    if (!fits(v, table)) {
        /* D8.2.6: an address size fault of TTBRn is one at level 0. */
        out->span = KC_BIT(v->format.va_bits);
        end_at(out, KC_PTVIEW_TOO_LARGE);
        return;
    }
    out->level = (uint8_t)kc_a64_start_level(&v->format);
    while (step(v, ia, &table, out)) {
        out->level++; /* a table descriptor exists at levels 0 to 2 alone: I2 */
    }
}

enum kc_a64_fault kc_ptview_fault(const struct kc_ptview_walk *w)
{
    switch ((enum kc_ptview_end)w->end) {
    case KC_PTVIEW_LEAF:
        return w->leaf.af ? KC_A64_FAULT_NONE : KC_A64_FAULT_ACCESS_FLAG;
    case KC_PTVIEW_TOO_LARGE:
        return KC_A64_FAULT_ADDRESS_SIZE;
    case KC_PTVIEW_NO_RAM:
        return KC_A64_FAULT_EXTERNAL_WALK;
    case KC_PTVIEW_OUTSIDE:
    case KC_PTVIEW_INVALID:
    case KC_PTVIEW_RESERVED:
    case KC_PTVIEW_END_COUNT:
    default:
        return KC_A64_FAULT_TRANSLATION;
    }
}

/* ---- runs ----------------------------------------------------------------------------------- */

struct kc_ptview_cursor kc_ptview_from(const struct kc_ptview *v, uint64_t ia, uint64_t reads)
{
    uint64_t base = kc_a64_ia_base(&v->format);
    struct kc_ptview_cursor c = {ia, reads, false};
    if (!kc_a64_ia_in_range(&v->format, ia)) {
        c.done = ia > base;
        c.next = base;
    }
    return c;
}

static uint64_t last_desc(const struct kc_ptview_walk *w)
{
    return w->step_count == 0 ? 0 : w->step[w->step_count - 1].desc;
}

static bool same_limits(const struct kc_a64_limits *a, const struct kc_a64_limits *b)
{
    return a->ap_table == b->ap_table && a->uxn_table == b->uxn_table &&
           a->pxn_table == b->pxn_table;
}

/* The run begins with what the walk ended at, or goes on with it. */
static bool run_takes(struct kc_ptview_run *run, uint64_t *attributes, uint64_t ia,
                      const struct kc_ptview_walk *w, uint64_t bytes)
{
    uint64_t bits = last_desc(w) & DESC_ATTRIBUTES;
    if (run->bytes == 0) {
        *run = (struct kc_ptview_run){
            .ia = ia, .end = w->end, .pa = w->pa, .leaf = w->leaf, .by = w->by};
        *attributes = bits;
    } else if (run->end != w->end || (w->end == KC_PTVIEW_LEAF &&
                                      (kc_pa_raw(run->pa) + run->bytes != kc_pa_raw(w->pa) ||
                                       *attributes != bits || !same_limits(&run->by, &w->by)))) {
        return false;
    }
    run->bytes += bytes;
    run->leaves[w->level & LAST_LEVEL]++;
    return true;
}

bool kc_ptview_each(const struct kc_ptview *v, struct kc_ptview_cursor *c,
                    struct kc_ptview_run *out)
{
    struct kc_ptview_run run = {.bytes = 0};
    uint64_t attributes = 0;
    while (!c->done) {
        struct kc_ptview_walk w;
        if (c->reads_left < LAST_LEVEL + 1) {
            c->done = true;
            run.ia = run.bytes == 0 ? c->next : run.ia;
            run.cut = true;
            break;
        }
        kc_ptview_walk(v, c->next, &w);
        c->reads_left -= w.step_count == 0 ? 1 : w.step_count;
        uint64_t bytes = w.span - (c->next & (w.span - 1));
        if (w.end == KC_PTVIEW_INVALID ? run.bytes != 0
                                       : !run_takes(&run, &attributes, c->next, &w, bytes)) {
            break;
        }
        /* One more would wrap, or leave the half. */
        c->done = !kc_add_u64(c->next, bytes, &c->next) || !kc_a64_ia_in_range(&v->format, c->next);
    }
    if (run.bytes == 0 && !run.cut) {
        return false;
    }
    *out = run;
    return true;
}

/* ---- in words ------------------------------------------------------------------------------- */

void kc_ptview_priv_say(const struct kc_ptview_out *o, const char *fmt, ...)
{
    char text[LINE_MAX];
    va_list args;
    va_start(args, fmt);
    size_t n = kc_vfmt(text, sizeof(text), fmt, args);
    va_end(args);
    o->sink(o->ctx, text, n < sizeof(text) ? n : sizeof(text) - 1);
}

void kc_ptview_priv_say_type(const struct kc_ptview_out *o, uint64_t mair, uint32_t index)
{
    uint32_t byte = (uint32_t)(mair >> (8 * (index & 7u))) & 0xffu;
    for (uint32_t i = 0; i < KC_A64_MEM_COUNT; i++) {
        if (kc_a64_mem_attr((enum kc_a64_mem)i) == byte) {
            kc_ptview_priv_say(o, "%s", kc_a64_mem_name((enum kc_a64_mem)i));
            return;
        }
    }
    kc_ptview_priv_say(o, "memory type 0x%02x", byte);
}

static void say_size(const struct kc_ptview_out *o, uint64_t bytes)
{
    static const char units[] = "KMGTP";
    uint32_t unit = 0;
    bytes >>= 10; /* every span is a multiple */
    while (unit + 1 < sizeof(units) - 1 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    kc_ptview_priv_say(o, "%7llu %ciB", (unsigned long long)bytes, units[unit]);
}

/* The permissions of one exception level, as rwx. */
static void say_perm(const struct kc_ptview_out *o, const struct kc_ptview_run *run, bool el0)
{
    static const struct kc_a64_access kinds[3] = {
        {false, false, false}, {true, false, false}, {false, true, false}};
    char text[4] = "rwx";
    for (uint32_t i = 0; i < 3; i++) {
        struct kc_a64_access a = kinds[i];
        a.el0 = el0;
        if (kc_a64_access_judge(&run->leaf, &run->by, a) != KC_A64_ALLOWED) {
            text[i] = '-';
        }
    }
    kc_ptview_priv_say(o, "  EL%c %s", el0 ? '0' : '1', text);
}

static void say_leaf(const struct kc_ptview_out *o, const struct kc_ptview *v,
                     const struct kc_ptview_run *run)
{
    static const char *const sh[4] = {"non-shareable", "reserved SH", "outer", "inner"};
    const struct kc_a64_leaf *l = &run->leaf;
    kc_ptview_priv_say(o, "  0x%012llx", (unsigned long long)kc_pa_raw(run->pa));
    say_perm(o, run, false);
    say_perm(o, run, true);
    kc_ptview_priv_say(o, "  ");
    kc_ptview_priv_say_type(o, v->mair, l->attr_index);
    kc_ptview_priv_say(o, "  %s  %s", sh[l->sh & 3u], l->not_global ? "one ASID" : "global");
    kc_ptview_priv_say(o, "%s%s%s%s%s", l->af ? "" : "  no access flag",
                       l->contiguous ? "  contiguous" : "", l->dbm ? "  DBM" : "",
                       l->guarded ? "  guarded" : "", l->non_secure ? "  NS" : "");
    if (l->software != 0) {
        kc_ptview_priv_say(o, "  software 0x%x", l->software);
    }
}

static void say_run(const struct kc_ptview_out *o, const struct kc_ptview *v,
                    const struct kc_ptview_run *run)
{
    static const char *const wrong[KC_PTVIEW_END_COUNT] = {"",
                                                           "",
                                                           "",
                                                           "reserved descriptors",
                                                           "addresses beyond the output size",
                                                           "tables outside RAM, not read"};
    kc_ptview_priv_say(o, "0x%016llx-0x%016llx", (unsigned long long)run->ia,
                       (unsigned long long)(run->ia + (run->bytes - 1)));
    say_size(o, run->bytes);
    if (run->end == KC_PTVIEW_LEAF) {
        say_leaf(o, v, run);
    } else {
        kc_ptview_priv_say(o, "  %s", wrong[run->end < KC_PTVIEW_END_COUNT ? run->end : 0]);
    }
    for (uint32_t level = 0; level <= LAST_LEVEL; level++) {
        if (run->leaves[level] != 0) {
            kc_ptview_priv_say(o, "  L%u x %u", level, run->leaves[level]);
        }
    }
    kc_ptview_priv_say(o, "\n");
}

uint64_t kc_ptview_dump(const struct kc_ptview *v, struct kc_ptview_bounds bounds,
                        kc_ptview_sink_fn sink, void *ctx)
{
    const struct kc_ptview_out o = {sink, ctx};
    uint64_t lines = 0;
    struct kc_ptview_run run = {.bytes = 0};
    struct kc_ptview_cursor c = kc_ptview_from(v, 0, bounds.reads);
    kc_ptview_priv_say(&o,
                       "%s half, %u bits, granule %u KiB, addresses of %u bits, root at 0x%llx\n",
                       v->format.upper != 0 ? "upper" : "lower", v->format.va_bits,
                       1u << (v->format.granule_log2 - 10), v->format.pa_bits,
                       (unsigned long long)kc_pa_raw(v->root));
    while (kc_ptview_each(v, &c, &run)) {
        if (lines == bounds.lines) {
            run.cut = true;
            run.bytes = 0;
        }
        if (run.bytes != 0) {
            say_run(&o, v, &run);
            lines++;
        }
        if (run.cut) {
            kc_ptview_priv_say(&o, "and more: the dump ends after %llu runs\n",
                               (unsigned long long)lines);
            break;
        }
    }
    return lines;
}
