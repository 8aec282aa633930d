/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trampoline.
 *
 * Nouns. *High* is running in the linear map, *low* at physical addresses through the identity map.
 * The *maker* makes a change, the other CPUs are *parked*. A *round* is one change; its number is
 * odd while it lasts.
 *
 *     maker                                       each other CPU
 *     round becomes odd ----------------------->  sees it
 *     TTBR0 = identity                            TTBR0 = identity, goes low
 *     waits for parked = others  <--------------  parked++
 *     goes low, changes, comes back               spins, low, on `released`
 *     released = round  ----------------------->  comes back, leaves the identity map
 *     leaves the identity map                     left++
 *     waits for left = others  <----------------
 *     round becomes even  --------------------->  sees it and returns
 *
 * Invariants
 *   I1  From parked++ to `released` a CPU executes, loads and stores through the identity map
 * alone: what it waits for is reached through kc_plat_low(). I2  While a leaf is broken the maker
 * is low as well. What its operation reaches by a pointer that is not low (the frames that tables
 * come from) it reaches before the break or after the make: kc/pt.h gets every page first and gives
 * pages back last, and stores descriptors by physical address, which is low here. I3  No CPU is in
 * the identity map, and no TLB holds a translation of it, when a round ends. I4  The identity map's
 * entries are global, so each CPU invalidates all of its own TLB when it leaves (kc_tramp_leave());
 * what was broken in the linear map the operation has invalidated on all CPUs. I5  A CPU that has
 * left waits for the end of the round: otherwise it could come back for the next change and be
 * counted in this one.
 *
 * Locking: none is taken but by the operation, of rank KC_RANK_PT. Costs: see the header.
 *
 * Sources: DDI 0487 J.a, D8.14.1 "General TLB maintenance requirements" for what must be broken;
 * D17.2.147 "TTBR1_EL1". Linux arch/arm64/mm/proc.S (idmap_cpu_replace_ttbr1,
 * idmap_kpti_install_ng_mappings) goes to the identity map for the same reason.
 */
#include <kc/tramp.h>

/* ---- registers ------------------------------------------------------------------------------ */

kc_status_t kc_tramp_choose(const struct kc_pt *identity, const struct kc_pt *linear,
                            struct kc_tramp_regs *out)
{
    const struct kc_a64_format *lower = kc_pt_format(identity);
    const struct kc_a64_format *upper = kc_pt_format(linear);
    struct kc_tramp_regs r = {.mair = kc_a64_mair()};
    kc_status_t status = kc_a64_tcr(lower, upper, &r.tcr);
    if (status == KC_OK) {
        status = kc_a64_ttbr(lower, kc_pt_root(identity), 0, &r.ttbr0);
    }
    if (status == KC_OK) {
        status = kc_a64_ttbr(upper, kc_pt_root(linear), 0, &r.ttbr1);
    }
    if (status != KC_OK) {
        return status;
    }
    uint32_t options =
        KC_A64_SCTLR_MMU | KC_A64_SCTLR_CACHES | KC_A64_SCTLR_WXN | KC_A64_SCTLR_STACK;
    if ((upper->features & KC_A64_FEAT_PAN) != 0) {
        options |= KC_A64_SCTLR_PAN;
    }
    r.sctlr = kc_a64_sctlr(options);
    *out = r;
    return KC_OK;
}

void kc_tramp_mmu_on(const struct kc_tramp_regs *r)
{
    kc_plat_sysreg_write(KC_MAIR_EL1, r->mair);
    kc_plat_sysreg_write(KC_TCR_EL1, r->tcr);
    kc_plat_sysreg_write(KC_TTBR0_EL1, r->ttbr0);
    kc_plat_sysreg_write(KC_TTBR1_EL1, r->ttbr1);
    /* Without it: a walk starts under a mix of old and new registers once M is set. */
    kc_plat_barrier(KC_ISB);
    /* What the TLB holds from before reset, or from a boot loader, is not ours. */
    kc_plat_tlbi(KC_TLBI_VMALLE1, 0);
    kc_plat_barrier(KC_DSB_NSH);
    kc_plat_barrier(KC_ISB);
    kc_plat_sysreg_write(KC_SCTLR_EL1, r->sctlr);
    /* From here on every fetch and access is translated. */
    kc_plat_barrier(KC_ISB);
}

void kc_tramp_leave(uint64_t home_ttbr0)
{
    kc_plat_sysreg_write(KC_TTBR0_EL1, home_ttbr0);
    /* No translation of the identity map may start after this point ... */
    kc_plat_barrier(KC_ISB);
    /* ... and none may be left: it is global, so a change of ASID does not hide it (I4). */
    kc_plat_tlbi(KC_TLBI_VMALLE1, 0);
    kc_plat_barrier(KC_DSB_NSH);
    kc_plat_barrier(KC_ISB);
}

static void enter(uint64_t ttbr0)
{
    kc_plat_sysreg_write(KC_TTBR0_EL1, ttbr0);
    /* Without it: the jump is fetched through the former root, which maps nothing. The root that is
       left maps nothing either, so there is nothing of it to invalidate. */
    kc_plat_barrier(KC_ISB);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

kc_status_t kc_tramp_init(struct kc_tramp *t, const struct kc_tramp_config *config)
{
    if (config->format.upper || config->cpus > KC_CPUS_MAX) {
        return KC_ERR_ARG;
    }
    struct kc_pt_config pc = {.format = config->format, .source = config->source, .any_asid = true};
    kc_status_t status = kc_pt_init(&t->identity, &pc);
    if (status != KC_OK) {
        return status;
    }
    t->home_ttbr0 = config->home_ttbr0;
    t->cpus = config->cpus;
    return KC_OK; /* round stays: others may look at it already */
}

kc_status_t kc_tramp_cover(struct kc_tramp *t, kc_pa_t base, uint64_t bytes, uint32_t perm)
{
    if ((perm & KC_PT_USER) != 0) {
        return KC_ERR_ARG;
    }
    /* The one place where a physical address is an input address as well. */
    return kc_pt_map(&t->identity, kc_ia(kc_pa_raw(base)), base, bytes,
                     kc_pt_attr(perm, KC_A64_MEM_NORMAL, true));
}

kc_status_t kc_tramp_fini(struct kc_tramp *t)
{
    return kc_pt_fini(&t->identity);
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Release and acquire: what a CPU did before it counts itself is seen by who waits for the count.
 */
static void count_in(uint32_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELEASE);
    kc_plat_event();
}

static void await_count(const uint32_t *counter, uint32_t count)
{
    while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) != count) {
        kc_plat_relax();
    }
}

static void publish(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    kc_plat_event();
}

static uint32_t round_of(const struct kc_tramp *t)
{
    return __atomic_load_n(&t->round, __ATOMIC_ACQUIRE);
}

/* ---- the other CPUs ------------------------------------------------------------------------- */

bool kc_tramp_is_wanted(const struct kc_tramp *t)
{
    return (round_of(t) & 1u) != 0;
}

/* Low. I1 */
static void stand_aside(void *arg)
{
    struct kc_tramp *t = (struct kc_tramp *)arg;
    uint32_t round = round_of(t);
    count_in(&t->parked);
    await_count(&t->released, round);
}

void kc_tramp_park(struct kc_tramp *t)
{
    while (!kc_tramp_is_wanted(t)) {
        kc_plat_relax();
    }
    uint32_t round = round_of(t);
    if (t->ttbr0 != 0) {
        uint64_t saved = kc_plat_irq_save();
        enter(t->ttbr0);
        kc_plat_call_low(stand_aside, t);
        kc_tramp_leave(t->home_ttbr0);
        kc_plat_irq_restore(saved);
    }
    count_in(&t->left);
    while (round_of(t) == round) { /* I5 */
        kc_plat_relax();
    }
}

/* ---- the CPU that makes the change ---------------------------------------------------------- */

struct job {
    struct kc_tramp_request rq;
    kc_status_t status;
};

/* Low. I2 */
static void change_low(void *arg)
{
    struct job *j = (struct job *)arg;
    const struct kc_tramp_request *rq = &j->rq;
    switch (rq->op) {
    case KC_TRAMP_PROTECT:
        j->status = kc_pt_protect(rq->pt, rq->ia, rq->bytes, rq->attr);
        break;
    case KC_TRAMP_MOVE:
        j->status = kc_pt_move(rq->pt, rq->ia, rq->pa, rq->bytes);
        break;
    case KC_TRAMP_SPLIT:
        j->status = kc_pt_split(rq->pt, rq->ia, rq->level);
        break;
    case KC_TRAMP_JOIN:
        j->status = kc_pt_join(rq->pt, rq->ia, rq->level);
        break;
    default:
        break; /* refused before */
    }
}

/* Begin a round, alone: false if one is under way. ttbr0: 0 if it is called off. */
static bool open_round(struct kc_tramp *t, uint32_t *round, uint64_t ttbr0)
{
    uint32_t before = round_of(t);
    if ((before & 1u) != 0) {
        return false;
    }
    *round = before + 1;
    t->ttbr0 = ttbr0;
    publish(&t->round, *round); /* what it needs is seen by who sees it */
    return true;
}

/* I3 */
static void close_round(struct kc_tramp *t, uint32_t round, uint32_t others)
{
    await_count(&t->left, others);
    __atomic_store_n(&t->parked, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&t->left, 0, __ATOMIC_RELAXED);
    publish(&t->round, round + 1);
}

void kc_tramp_call_off(struct kc_tramp *t, uint32_t cpus)
{
    uint32_t round = 0;
    if (open_round(t, &round, 0)) {
        close_round(t, round, cpus > 1 ? cpus - 1 : 0);
    }
}

static kc_status_t judge(const struct kc_tramp *t, const struct kc_tramp_request *rq)
{
    if ((uint32_t)rq->op >= KC_TRAMP_OP_COUNT) {
        return KC_ERR_ARG;
    }
    return t->identity.ready && kc_plat_sysreg_read(KC_TTBR0_EL1) == t->home_ttbr0 ? KC_OK
                                                                                   : KC_ERR_STATE;
}

kc_status_t kc_tramp_change(struct kc_tramp *t, const struct kc_tramp_request *rq)
{
    struct job job = {.rq = *rq, .status = judge(t, rq)};
    uint32_t others = t->cpus > 1 ? t->cpus - 1 : 0;
    uint32_t round = 0;
    uint64_t ttbr0 = 0;
    if (job.status != KC_OK) {
        kc_tramp_call_off(t, t->cpus);
        return job.status;
    }
    kc_pt_set_live(&t->identity);
    job.status = kc_a64_ttbr(kc_pt_format(&t->identity), kc_pt_root(&t->identity), 0, &ttbr0);
    KC_CHECK(job.status == KC_OK); /* a page below 2^pa_bits, ASID 0 */
    if (!open_round(t, &round, ttbr0)) {
        return KC_ERR_STATE;
    }
    job.rq.pt = (struct kc_pt *)kc_plat_low(rq->pt);
    uint64_t saved = kc_plat_irq_save();
    enter(ttbr0);
    await_count(&t->parked, others);
    kc_plat_call_low(change_low, &job);
    publish(&t->released, round);
    kc_tramp_leave(t->home_ttbr0);
    kc_plat_irq_restore(saved);
    close_round(t, round, others);
    return job.status;
}
