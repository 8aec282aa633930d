/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * at.c: kc_pt_translate() and kc_pt_expect_at() beside AT S1E{0,1}{R,W}.
 *
 * The nouns. A *shape* is a level, a set of permissions and a memory type. Each shape that exists
 * has one *sample*: a range of input addresses that is mapped so. All samples are in one tree of
 * the lower half, level 1 to 3 below several level 0 entries, so that every kind of hole is beside
 * them:
 *
 *     L0 [1 + n % 3] -> L1 [n]        level 1: a block of 1 GiB
 *                          [128 + n]  -> L2 [n] level 2: a block of 2 MiB
 *                          [256 + n]  -> L2 [n] -> L3 [n] level 3: a page
 *
 * Output addresses need no memory behind them: AT does not access what it translates. (On a machine
 * that speculates into Normal memory they would; this workload is for QEMU and for models.)
 *
 * AT walks memory afresh, so stale TLB entries cannot help; hardware updates of flags are off in
 * the core's TCR_EL1, so AT changes nothing.
 *
 * I1  The tree is live in TTBR0 before the first AT and out of it before it is torn down.
 * I2  Every address is compared by all four instructions.
 * I3  Each category is counted by what the core's walk says, and by nothing that AT says.
 *
 * Sources: DDI 0487 J.a, C5.4 "A64 System instructions for address translation", D17.2 "PAR_EL1".
 */
#include "at.h"

#include <kc/fmt.h>

#define LEVELS       3u /* 1 to 3, as index 0 to 2 */
#define SAMPLES_MAX  64u
#define ADDRESSES    24000u
#define NEEDED_ALL   10000u
#define NEEDED_EACH  100u
#define ASID         1u
#define OUTPUT_BASE  KC_GIB(64)
#define L0_SPAN_LOG2 39u
#define L1_SPAN_LOG2 30u
#define L2_SPAN_LOG2 21u
#define SHOWN_MAX    10u

static const uint8_t perms[] = {
    KC_PT_R,
    KC_PT_R | KC_PT_W,
    KC_PT_R | KC_PT_X,
    KC_PT_R | KC_PT_USER,
    KC_PT_R | KC_PT_W | KC_PT_USER,
    KC_PT_R | KC_PT_X | KC_PT_USER,
};
static const char perm_names[][5] = {"r---", "rw--", "r-x-", "r--u", "rw-u", "r-xu"};
static const char op_names[KC_AT_COUNT][6] = {"S1E1R", "S1E1W", "S1E0R", "S1E0W"};

struct sample {
    uint64_t ia;
    uint64_t bytes;
    uint32_t perm, type, level;
};

struct at {
    struct kc_kernel *k;
    struct kc_at_counts *counts;
    struct kc_pt pt;
    struct sample sample[SAMPLES_MAX];
    uint32_t sample_count;
    uint64_t random;
    /* by index of level, perm, op; by type; by level of the fault */
    uint64_t seen[LEVELS][KC_ARRAY_COUNT(perms)][KC_AT_COUNT];
    uint64_t seen_type[KC_A64_MEM_COUNT];
    uint64_t seen_hole[4][KC_AT_COUNT];
    uint64_t seen_upper; /* of the addresses, those of the kernel's half */
    uint64_t refused[KC_AT_COUNT];
    uint64_t shown;
};

static struct at at;

static uint64_t any(uint64_t below)
{
    at.random += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    uint64_t z = at.random;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    z ^= z >> 31;
    return below == 0 ? z : z % below;
}

/* ---- the tree ------------------------------------------------------------------------------- */

static uint64_t span_log2(uint32_t level)
{
    return level == 1 ? L1_SPAN_LOG2 : level == 2 ? L2_SPAN_LOG2 : KC_FRAME_LOG2;
}

static uint64_t sample_ia(uint32_t level, uint32_t n)
{
    uint64_t ia = (uint64_t)(1 + n % 3) << L0_SPAN_LOG2;
    switch (level) {
    case 1:
        return ia | (uint64_t)n << L1_SPAN_LOG2;
    case 2:
        return ia | (uint64_t)(128 + n) << L1_SPAN_LOG2 | (uint64_t)n << L2_SPAN_LOG2;
    default:
        return ia | (uint64_t)(256 + n) << L1_SPAN_LOG2 | (uint64_t)n << L2_SPAN_LOG2 |
               (uint64_t)n << KC_FRAME_LOG2;
    }
}

static kc_status_t map_sample(uint32_t level, uint32_t perm, uint32_t type, uint32_t n)
{
    struct sample *s = &at.sample[at.sample_count];
    s->bytes = KC_BIT(span_log2(level));
    s->ia = sample_ia(level, n);
    s->perm = perm;
    s->type = type;
    s->level = level;
    uint64_t pa = OUTPUT_BASE + (uint64_t)n * KC_GIB(1);
    kc_status_t st = kc_pt_map(&at.pt, kc_ia(s->ia), kc_pa(pa), s->bytes,
                               kc_pt_attr(perms[perm], (enum kc_a64_mem)type, false));
    if (st == KC_OK) {
        at.sample_count++;
    }
    return st;
}

static kc_status_t map_samples(void)
{
    for (uint32_t level = 1; level <= LEVELS; level++) {
        uint32_t n = 0;
        for (uint32_t perm = 0; perm < KC_ARRAY_COUNT(perms); perm++) {
            for (uint32_t type = 0; type < KC_A64_MEM_COUNT; type++) {
                bool device = type == KC_A64_MEM_DEVICE_nGnRE || type == KC_A64_MEM_DEVICE_nGnRnE;
                if (device && (perms[perm] & KC_PT_X) != 0) {
                    continue;
                }
                kc_status_t st = map_sample(level, perm, type, n);
                if (st != KC_OK) {
                    return st;
                }
                n++;
            }
        }
    }
    return KC_OK;
}

static kc_status_t use_root(kc_pa_t root, uint32_t asid)
{
    uint64_t ttbr;
    kc_status_t st = kc_a64_ttbr(&at.k->lower, root, asid, &ttbr);
    if (st == KC_OK) {
        kc_plat_sysreg_write(KC_TTBR0_EL1, ttbr);
        kc_plat_barrier(KC_ISB);
    }
    return st;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static void say(const char *fmt, ...) KC_PRINTF(1, 2);

static void say(const char *fmt, ...)
{
    char line[160];
    va_list args;
    va_start(args, fmt);
    kc_vfmt(line, sizeof line, fmt, args);
    va_end(args);
    kc_body_say(line);
}

static bool agree(const struct kc_a64_par *a, const struct kc_a64_par *b)
{
    if (a->failed != b->failed) {
        return false;
    }
    if (a->failed) {
        return a->fault == b->fault && a->level == b->level;
    }
    return a->pa == b->pa && a->attr == b->attr && a->sh == b->sh;
}

static void show(uint64_t ia, uint32_t op, uint64_t par, const struct kc_a64_par *is,
                 const struct kc_a64_par *want)
{
    at.counts->disagreements++;
    if (at.shown++ >= SHOWN_MAX) {
        return;
    }
    say("at: %s 0x%016llx: PAR 0x%016llx: ", op_names[op], (unsigned long long)ia,
        (unsigned long long)par);
    say("machine F=%d pa=0x%llx attr=0x%x sh=%u fault=%s level %u; ", is->failed,
        (unsigned long long)is->pa, is->attr, is->sh, kc_a64_fault_name(is->fault), is->level);
    say("core F=%d pa=0x%llx attr=0x%x sh=%u fault=%s level %u\n", want->failed,
        (unsigned long long)want->pa, want->attr, want->sh, kc_a64_fault_name(want->fault),
        want->level);
}

/* I3 */
static void count(const struct kc_pt_walk *w, uint32_t op, const struct kc_a64_par *want)
{
    if (w->fault != KC_A64_FAULT_NONE) {
        at.seen_hole[w->level & 3][op]++;
        return;
    }
    if (want->failed) {
        at.refused[op]++;
    }
    for (uint32_t p = 0; p < KC_ARRAY_COUNT(perms); p++) {
        if (w->level >= 1 && w->level <= LEVELS && perms[p] == w->attr.perm) {
            at.seen[w->level - 1][p][op]++;
        }
    }
}

/* I2 */
static kc_status_t compare(struct kc_pt *pt, uint64_t ia)
{
    struct kc_pt_walk w;
    kc_status_t st = kc_pt_translate(pt, kc_ia(ia), &w);
    if (st != KC_OK && st != KC_ERR_ABSENT) {
        return st;
    }
    at.counts->addresses++;
    if (w.fault == KC_A64_FAULT_NONE) {
        at.counts->mapped++;
        at.seen_type[w.attr.type]++;
    }
    for (uint32_t op = 0; op < KC_AT_COUNT; op++) {
        struct kc_a64_par is, want;
        uint64_t saved = kc_plat_irq_save(); /* PAR_EL1 is one for all */
        if (!kc_plat_at((enum kc_at)op, ia)) {
            kc_plat_irq_restore(saved);
            return KC_ERR_UNSUPPORTED;
        }
        kc_plat_barrier(KC_ISB);
        uint64_t par = kc_plat_sysreg_read(KC_PAR_EL1);
        kc_plat_irq_restore(saved);
        kc_a64_par_decode(par, &is);
        kc_pt_expect_at(&w, (enum kc_at)op, &want);
        at.counts->comparisons++;
        count(&w, op, &want);
        if (!agree(&is, &want)) {
            show(ia, op, par, &is, &want);
        }
    }
    return KC_OK;
}

/* ---- addresses ------------------------------------------------------------------------------ */

static uint64_t mapped_address(void)
{
    const struct sample *s = &at.sample[any(at.sample_count)];
    switch (any(8)) {
    case 0: /* edges more often than chance would */
        return s->ia;
    case 1:
        return s->ia + s->bytes - 1;
    default:
        return s->ia + any(s->bytes);
    }
}

/* Beside a sample of level 3, within the span of an entry of `level`: a hole that level sees. */
static uint64_t hole(void)
{
    const struct sample *s = &at.sample[at.sample_count - 1 - any(at.sample_count / LEVELS)];
    switch (any(4)) {
    case 0:
        return any(KC_BIT(48)); /* level 0 mostly */
    case 1:
        return kc_align_down(s->ia, KC_BIT(L0_SPAN_LOG2)) | any(KC_BIT(L0_SPAN_LOG2));
    case 2:
        return kc_align_down(s->ia, KC_BIT(L1_SPAN_LOG2)) | any(KC_BIT(L1_SPAN_LOG2));
    default:
        return kc_align_down(s->ia, KC_BIT(L2_SPAN_LOG2)) | any(KC_BIT(L2_SPAN_LOG2));
    }
}

/* In the kernel's half: image, RAM, devices and what lies between, or anywhere. */
static uint64_t upper_address(void)
{
    const struct kc_boot_info *info = &at.k->info;
    const struct kc_boot_range *r = &info->range[any(info->range_count)];
    if (any(4) == 0) {
        return info->linear_base + any(KC_BIT(47));
    }
    return info->linear_base + kc_pa_raw(r->base) + any(r->size);
}

static kc_status_t compare_all(void)
{
    for (uint32_t i = 0; i < ADDRESSES; i++) {
        kc_status_t st;
        switch (i % 8) {
        case 0:
        case 1:
        case 2:
        case 3:
            st = compare(&at.pt, mapped_address());
            break;
        case 4:
        case 5:
        case 6:
            st = compare(&at.pt, hole());
            break;
        default:
            st = compare(&at.k->linear, upper_address());
            at.seen_upper++;
            break;
        }
        if (st != KC_OK) {
            return st;
        }
    }
    return KC_OK;
}

/* ---- the verdict ---------------------------------------------------------------------------- */

static bool enough(uint64_t n)
{
    return n >= NEEDED_EACH;
}

static bool report(void)
{
    const struct kc_at_counts *c = at.counts;
    bool all = c->addresses >= NEEDED_ALL && c->mapped >= NEEDED_ALL / 2;
    say("at: comparisons by      %9s %9s %9s %9s\n", op_names[0], op_names[1], op_names[2],
        op_names[3]);
    for (uint32_t level = 0; level < LEVELS; level++) {
        for (uint32_t p = 0; p < KC_ARRAY_COUNT(perms); p++) {
            const uint64_t *n = at.seen[level][p];
            say("at:   level %u %s      %9llu %9llu %9llu %9llu\n", level + 1, perm_names[p],
                (unsigned long long)n[0], (unsigned long long)n[1], (unsigned long long)n[2],
                (unsigned long long)n[3]);
            for (uint32_t op = 0; op < KC_AT_COUNT; op++) {
                all = all && enough(n[op]);
            }
        }
    }
    for (uint32_t level = 0; level < 4; level++) {
        const uint64_t *n = at.seen_hole[level];
        say("at:   hole at level %u  %9llu %9llu %9llu %9llu\n", level, (unsigned long long)n[0],
            (unsigned long long)n[1], (unsigned long long)n[2], (unsigned long long)n[3]);
        for (uint32_t op = 0; op < KC_AT_COUNT; op++) {
            all = all && enough(n[op]);
        }
    }
    say("at:   not permitted    %9llu %9llu %9llu %9llu\n", (unsigned long long)at.refused[0],
        (unsigned long long)at.refused[1], (unsigned long long)at.refused[2],
        (unsigned long long)at.refused[3]);
    /* Reading at EL1 is always permitted: column 0 stays 0. */
    all = all && at.refused[KC_AT_S1E1R] == 0 && enough(at.refused[KC_AT_S1E1W]) &&
          enough(at.refused[KC_AT_S1E0R]) && enough(at.refused[KC_AT_S1E0W]);
    for (uint32_t type = 0; type < KC_A64_MEM_COUNT; type++) {
        say("at:   %-24s %llu addresses\n", kc_a64_mem_name((enum kc_a64_mem)type),
            (unsigned long long)at.seen_type[type]);
        all = all && enough(at.seen_type[type]);
    }
    all = all && enough(at.seen_upper);
    say("at: %llu addresses, %llu mapped, %llu in the kernel's half, %llu comparisons, ",
        (unsigned long long)c->addresses, (unsigned long long)c->mapped,
        (unsigned long long)at.seen_upper, (unsigned long long)c->comparisons);
    say("%llu disagreements%s\n", (unsigned long long)c->disagreements,
        all ? "" : ": a category is short");
    return all;
}

static kc_status_t work(struct kc_kernel *k, void *arg)
{
    struct kc_pt_config config = {
        .format = k->lower, .source = {.early = NULL, .frames = &k->frames}, .asid = ASID};
    at.k = k;
    at.counts = (struct kc_at_counts *)arg;
    at.random = k->info.seed;
    kc_status_t st = kc_pt_init(&at.pt, &config);
    if (st != KC_OK) {
        return st;
    }
    st = map_samples();
    if (st == KC_OK) {
        kc_pt_set_live(&at.pt); /* I1 */
        st = use_root(kc_pt_root(&at.pt), ASID);
    }
    if (st == KC_OK) {
        st = compare_all();
        kc_status_t back = use_root(k->empty_root, 0);
        st = st != KC_OK ? st : back;
    }
    kc_status_t down = kc_pt_fini(&at.pt);
    if (st != KC_OK || down != KC_OK) {
        return st != KC_OK ? st : down;
    }
    bool all = report();
    return at.counts->disagreements != 0 ? KC_ERR_CORRUPT : all ? KC_OK : KC_ERR_STATE;
}

struct kc_work kc_at_work(struct kc_at_counts *counts)
{
    struct kc_work w = {.name = "at", .main = work, .other = NULL, .arg = counts};
    return w;
}
