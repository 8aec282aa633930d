/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A service's life, on one CPU:
 *
 *     build    the body's pages <- text     frames <- data     lazy <- stack     nothing <- hole
 *                         all in areas of one space, which this CPU then is in
 *     live     kc_plat_user_run() again and again: serve its calls, make pages present, count
 *              interrupts, until it exits, does what it may not, or has had its time
 *     kill     its owner: running, mappings, areas, space, frames
 *
 * S1. A service has nothing that its owner does not have: a kill leaves nothing.
 * S2. The kernel reads and writes a service's memory by kc/ucopy.h alone, once it may run.
 * S3. What ends a service is decided by the syndrome and its space, never by its kind; the kind
 * only says afterwards how it should have ended.
 */
#include "service.h"

#include "own.h"

#define PAGE        ((uint64_t)KC_FRAME_BYTES)
#define DATA_ORDER  1u
#define DATA_BYTES  (PAGE << DATA_ORDER)
#define STACK_BYTES (16 * PAGE)
#define FRAMES_MAX  KC_BIT(DATA_ORDER)
#define ITEMS_MAX   16u

/* A service's time in slices of the timer; one that is to end by itself only has to end at all. */
#define SLICES_A_SECOND   10000u
#define SLICES_OF_ENDLESS 4u
#define SLICES_OF_OTHERS  200000u

/* One life. */
struct life {
    struct kc_kernel *k;
    struct kc_service *s;
    struct kc_service_counts *counts;
    kc_track_owner_t owner;
    kc_track_item_t space; /* its item */
    struct kc_uwindow window;
    struct kc_service_start start;
    uint64_t entry;      /* of its program */
    uint64_t next_slice; /* kc_plat_ticks() at which the present one is over */
    uint32_t slices;
    uint32_t cpu;
    bool over;
    enum kc_service_end end;
    uint64_t verdict;                /* of an EXIT */
    struct kc_a64_syndrome syndrome; /* of a fault */
    uint64_t far;
};

/* ---- how each kind has to end --------------------------------------------------------------- */

struct expectation {
    const char *name;
    enum kc_service_end end;
    bool write;
    bool fetch;
    enum kc_a64_fault fault; /* NONE: no abort */
};

static const struct expectation expected_of[KC_SERVICE_KIND_COUNT] = {
    [KC_SERVICE_HONEST] = {"honest", KC_SERVICE_END_EXIT, false, false, KC_A64_FAULT_NONE},
    [KC_SERVICE_LOADS_UNMAPPED] = {"load of nothing", KC_SERVICE_END_UNMAPPED, false, false,
                                   KC_A64_FAULT_TRANSLATION},
    [KC_SERVICE_LOADS_HOLE] = {"load of an empty area", KC_SERVICE_END_UNMAPPED, false, false,
                               KC_A64_FAULT_TRANSLATION},
    [KC_SERVICE_WRITES_TEXT] = {"write to text", KC_SERVICE_END_DENIED, true, false,
                                KC_A64_FAULT_PERMISSION},
    [KC_SERVICE_EXECUTES_DATA] = {"jump into data", KC_SERVICE_END_DENIED, false, true,
                                  KC_A64_FAULT_PERMISSION},
    [KC_SERVICE_TOUCHES_GUARD] = {"touch of a guard", KC_SERVICE_END_GUARD, false, false,
                                  KC_A64_FAULT_TRANSLATION},
    [KC_SERVICE_OVERFLOWS_STACK] = {"stack overflow", KC_SERVICE_END_GUARD, true, false,
                                    KC_A64_FAULT_TRANSLATION},
    [KC_SERVICE_LOADS_KERNEL] = {"load of the kernel", KC_SERVICE_END_KERNEL, false, false,
                                 KC_A64_FAULT_PERMISSION},
    [KC_SERVICE_STORES_KERNEL] = {"store to the kernel", KC_SERVICE_END_KERNEL, true, false,
                                  KC_A64_FAULT_PERMISSION},
    [KC_SERVICE_RUNS_UNDEFINED] = {"undefined instruction", KC_SERVICE_END_INSTRUCTION, false,
                                   false, KC_A64_FAULT_NONE},
    [KC_SERVICE_RUNS_PRIVILEGED] = {"privileged instruction", KC_SERVICE_END_INSTRUCTION, false,
                                    false, KC_A64_FAULT_NONE},
    [KC_SERVICE_RETURNS_NOWHERE] = {"return to nowhere", KC_SERVICE_END_UNMAPPED, false, true,
                                    KC_A64_FAULT_TRANSLATION},
    [KC_SERVICE_NEVER_ENDS] = {"endless", KC_SERVICE_END_TIME, false, false, KC_A64_FAULT_NONE},
};

const char *kc_service_kind_name(uint32_t kind)
{
    return kind < KC_SERVICE_KIND_COUNT ? expected_of[kind].name : "?";
}

static bool address_is_right(const struct life *l)
{
    const struct kc_service_start *s = &l->start;
    switch (s->kind) {
    case KC_SERVICE_LOADS_UNMAPPED:
        return l->far == s->unmapped;
    case KC_SERVICE_LOADS_HOLE:
        return l->far == s->hole;
    case KC_SERVICE_WRITES_TEXT:
        return l->far == s->text;
    case KC_SERVICE_EXECUTES_DATA:
        return l->far == s->data + PAGE;
    case KC_SERVICE_TOUCHES_GUARD:
        return l->far == s->stack - 1;
    case KC_SERVICE_OVERFLOWS_STACK: /* anywhere in the guard */
        return kc_range_has(s->stack - PAGE, PAGE, l->far);
    case KC_SERVICE_RETURNS_NOWHERE:
        return l->far == 0;
    default:
        return l->far == s->kernel;
    }
}

static bool ended_as_expected(const struct life *l)
{
    const struct expectation *e = &expected_of[l->start.kind];
    if (l->end != e->end) {
        return false;
    }
    if (e->end == KC_SERVICE_END_EXIT) {
        return l->verdict == 0;
    }
    if (e->fault == KC_A64_FAULT_NONE) {
        return true;
    }
    return l->syndrome.fault == e->fault && l->syndrome.is_write == e->write &&
           l->syndrome.is_fetch == e->fetch && l->syndrome.from_lower && address_is_right(l);
}

static void tell(const struct life *l)
{
    const char *kind = kc_service_kind_name(l->start.kind);
    const char *how = kc_service_end_name(l->end);
    if (l->end == KC_SERVICE_END_EXIT) {
        kc_kernel_log(l->k, "service: cpu%u: %s: exit %llu", l->cpu, kind,
                      (unsigned long long)l->verdict);
    } else if (l->syndrome.is_abort) {
        kc_kernel_log(l->k, "service: cpu%u: %s: killed (%s): %s at 0x%016llx, %s fault, level %u",
                      l->cpu, kind, how,
                      l->syndrome.is_fetch   ? "fetch"
                      : l->syndrome.is_write ? "write"
                                             : "read",
                      (unsigned long long)l->far,
                      kc_a64_fault_name((enum kc_a64_fault)l->syndrome.fault), l->syndrome.level);
    } else {
        kc_kernel_log(l->k, "service: cpu%u: %s: killed (%s)", l->cpu, kind, how);
    }
}

static void unexpected(struct life *l, const char *what)
{
    kc_kernel_log(l->k, "service: cpu%u: %s: UNEXPECTED: %s", l->cpu,
                  kc_service_kind_name(l->start.kind), what);
    l->counts->unexpected++;
}

/* ---- building ------------------------------------------------------------------------------- */

static struct kc_own by(const struct life *l, const char *site)
{
    return kc_own(l->k, l->owner, site);
}

static kc_status_t build_space(struct life *l)
{
    const struct kc_aspace_config config = {
        .kind = KC_ASPACE_USER,
        .name = "service",
        .frames = &l->k->frames,
        .asids = &l->k->asids,
        .format = l->k->lower,
        .base = kc_ia(l->k->info.user_base),
        .bytes = l->k->info.user_bytes,
        .areas = l->s->area,
        .area_max = KC_SERVICE_AREAS,
    };
    return kc_own_space(by(l, KC_TRACK_SITE), &l->s->space, &config, &l->space);
}

/* An area with a guard on each side. */
static kc_status_t build_area(struct life *l, uint64_t bytes, uint8_t flags, uint64_t *out,
                              kc_track_item_t *item)
{
    const struct kc_aspace_request rq = {
        .bytes = bytes,
        .guard_bytes = PAGE,
        .flags = flags,
        .attr = kc_pt_attr(KC_PT_R | KC_PT_W | KC_PT_USER, KC_A64_MEM_NORMAL, false),
    };
    kc_ia_t ia;
    kc_status_t st = kc_own_area(by(l, KC_TRACK_SITE), &l->s->space, l->space, &rq, &ia, item);
    if (st == KC_OK) {
        *out = kc_ia_raw(ia);
    }
    return st;
}

static kc_status_t build_text(struct life *l)
{
    kc_pa_range_t text;
    kc_track_item_t area;
    kc_status_t st = kc_plat_user_text(kc_service_program, &text, &l->entry);
    if (st == KC_OK) {
        st = build_area(l, text.size, 0, &l->start.text, &area);
    }
    if (st == KC_OK) {
        st = kc_own_mapping(
            by(l, KC_TRACK_SITE), &l->s->space, area, kc_ia(l->start.text), NULL, text.base,
            text.size, kc_pt_attr(KC_PT_R | KC_PT_X | KC_PT_USER, KC_A64_MEM_NORMAL, false), NULL);
    }
    return st;
}

static kc_status_t build_data(struct life *l)
{
    kc_track_item_t frames;
    kc_track_item_t area;
    kc_pa_t pa;
    kc_status_t st = kc_own_frames(by(l, KC_TRACK_SITE), DATA_ORDER, KC_FRAME_ZERO,
                                   KC_FRAME_OWNER_USER, &pa, &frames);
    if (st == KC_OK) {
        l->start.data_bytes = DATA_BYTES;
        st = build_area(l, DATA_BYTES, 0, &l->start.data, &area);
    }
    if (st == KC_OK) {
        st = kc_own_mapping(
            by(l, KC_TRACK_SITE), &l->s->space, area, kc_ia(l->start.data), &frames, pa, DATA_BYTES,
            kc_pt_attr(KC_PT_R | KC_PT_W | KC_PT_USER, KC_A64_MEM_NORMAL, false), NULL);
    }
    return st;
}

static void set_name(struct kc_service_start *s, uint32_t cpu)
{
    static const char text[] = "hello from cpu?";
    KC_STATIC_ASSERT(sizeof(text) <= sizeof(s->name), "it fits");
    s->name_bytes = (uint32_t)sizeof(text) - 1;
    for (uint32_t i = 0; i < s->name_bytes; i++) {
        s->name[i] = text[i] == '?' ? (uint8_t)('0' + cpu) : (uint8_t)text[i];
    }
}

/* S2: from here on its memory is reached as the service reaches it. */
static kc_status_t enter(struct life *l)
{
    struct kc_user_context *u = &l->s->context;
    kc_status_t st = kc_own_running(by(l, KC_TRACK_SITE), &l->s->space, l->space, NULL);
    if (st != KC_OK) {
        return st;
    }
    l->window = kc_uwindow_of(&l->s->space);
    *u = (struct kc_user_context){
        .x = {l->start.data},
        .sp = l->start.stack + STACK_BYTES,
        .pc = l->start.text + l->entry,
        .program = kc_service_program,
    };
    return kc_ucopy_to(&l->window, kc_uva(l->start.data), &l->start, sizeof(l->start), NULL);
}

static kc_status_t build(struct life *l)
{
    const struct kc_boot_info *info = &l->k->info;
    l->start.unmapped = info->user_base + (info->user_bytes - PAGE);
    l->start.kernel = info->linear_base + kc_pa_raw(info->range[0].base) + PAGE + 8;
    l->start.seed = info->seed + l->cpu;
    set_name(&l->start, l->cpu);
    kc_status_t st = build_space(l);
    if (st == KC_OK) {
        st = build_text(l);
    }
    if (st == KC_OK) {
        st = build_data(l);
    }
    if (st == KC_OK) {
        l->start.stack_bytes = STACK_BYTES;
        st = build_area(l, STACK_BYTES, KC_AREA_LAZY, &l->start.stack, NULL);
    }
    if (st == KC_OK) {
        st = build_area(l, PAGE, 0, &l->start.hole, NULL);
    }
    return st == KC_OK ? enter(l) : st;
}

/* ---- calls ---------------------------------------------------------------------------------- */

static bool all_zero(const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

/* From the service; what a failed copy leaves in the kernel is zeros. */
static kc_status_t copy_in(struct life *l, uint8_t *to, uint64_t at, uint64_t n)
{
    size_t left = 0;
    kc_status_t st = kc_ucopy_from(&l->window, to, kc_uva(at), n, &left);
    if (!all_zero(to + (n - left), left)) {
        unexpected(l, "a failed copy left something in the kernel's buffer");
    }
    return st;
}

static kc_status_t call_log(struct life *l, uint64_t at, uint64_t n)
{
    char text[KC_SERVICE_LOG_MAX + 1];
    if (n == 0 || n > KC_SERVICE_LOG_MAX) {
        return KC_ERR_RANGE;
    }
    kc_status_t st = copy_in(l, (uint8_t *)text, at, n);
    if (st != KC_OK) {
        return st;
    }
    text[n] = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            text[i] = '?';
        }
    }
    if (l->start.kind == KC_SERVICE_HONEST) { /* the others say the same */
        kc_kernel_log(l->k, "service: cpu%u says: %s", l->cpu, text);
    }
    return KC_OK;
}

static kc_status_t call_exchange(struct life *l, uint64_t at, uint64_t n)
{
    uint8_t buffer[KC_SERVICE_EXCHANGE_MAX];
    if (n == 0 || n > KC_SERVICE_EXCHANGE_MAX) {
        return KC_ERR_RANGE;
    }
    kc_status_t st = copy_in(l, buffer, at, n);
    if (st != KC_OK) {
        return st;
    }
    for (uint64_t i = 0; i < (n + 1) / 2; i++) {
        uint8_t first = buffer[i];
        buffer[i] = (uint8_t)~buffer[n - 1 - i];
        buffer[n - 1 - i] = (uint8_t)~first;
    }
    st = kc_ucopy_to(&l->window, kc_uva(at), buffer, n, NULL);
    if (st == KC_OK) {
        l->counts->exchanged_bytes += 2 * n;
    }
    return st;
}

static void serve(struct life *l)
{
    struct kc_user_context *u = &l->s->context;
    kc_status_t st = KC_ERR_UNSUPPORTED;
    l->counts->calls++;
    switch (u->x[8]) {
    case KC_SERVICE_EXIT:
        l->over = true;
        l->end = KC_SERVICE_END_EXIT;
        l->verdict = u->x[0];
        return;
    case KC_SERVICE_LOG:
        st = call_log(l, u->x[0], u->x[1]);
        break;
    case KC_SERVICE_EXCHANGE:
        st = call_exchange(l, u->x[0], u->x[1]);
        break;
    case KC_SERVICE_YIELD:
        kc_plat_relax();
        st = KC_OK;
        break;
    default:
        break;
    }
    l->counts->refused += st != KC_OK;
    u->x[0] = (uint64_t)st;
}

/* ---- living --------------------------------------------------------------------------------- */

static enum kc_service_end end_of(enum kc_aspace_verdict v)
{
    switch (v) {
    case KC_FAULT_NO_AREA:
    case KC_FAULT_UNMAPPED:
        return KC_SERVICE_END_UNMAPPED;
    case KC_FAULT_GUARD:
        return KC_SERVICE_END_GUARD;
    case KC_FAULT_DENIED:
        return KC_SERVICE_END_DENIED;
    case KC_FAULT_NOMEM:
        return KC_SERVICE_END_NO_MEMORY;
    default:
        return KC_SERVICE_END_OTHER;
    }
}

/* S3. ESR_EL1.EC 0 is "unknown reason": UNDEFINED at EL0 (DDI 0487 J.a, D17.2.37). */
static void judge(struct life *l, const struct kc_user_exit *why)
{
    struct kc_a64_syndrome s;
    kc_a64_esr_decode(why->esr, &s);
    l->end = s.ec == 0 ? KC_SERVICE_END_INSTRUCTION : KC_SERVICE_END_OTHER;
    if (s.is_abort && !s.far_invalid) {
        if ((why->far >> 63) != 0) {
            l->end = KC_SERVICE_END_KERNEL;
        } else {
            enum kc_aspace_verdict v = kc_aspace_fault(&l->s->space, &s, why->far);
            if (v == KC_FAULT_RETRY) {
                l->counts->pages++;
                return;
            }
            l->end = end_of(v);
        }
    }
    l->over = true;
    l->syndrome = s;
    l->far = why->far;
}

static void begin_slice(struct life *l)
{
    l->next_slice = kc_plat_ticks() + kc_plat_ticks_hz() / SLICES_A_SECOND;
    kc_plat_timer(l->next_slice);
}

/* The clock is looked at after each stay at EL0: an interrupt may also have come in the kernel. */
static void count_slices(struct life *l)
{
    uint32_t most = l->start.kind == KC_SERVICE_NEVER_ENDS ? SLICES_OF_ENDLESS : SLICES_OF_OTHERS;
    if (kc_plat_ticks() < l->next_slice) {
        return;
    }
    begin_slice(l);
    l->slices++;
    if (l->slices >= most && !l->over) {
        l->over = true;
        l->end = KC_SERVICE_END_TIME;
    }
}

static kc_status_t live(struct life *l)
{
    kc_status_t st = KC_OK;
    begin_slice(l);
    while (!l->over) {
        struct kc_user_exit why;
        st = kc_plat_user_run(&l->s->context, &why);
        if (st != KC_OK) {
            break;
        }
        if (why.kind == KC_USER_CALL) {
            serve(l);
        } else if (why.kind == KC_USER_FAULT) {
            judge(l, &why);
        } else {
            l->counts->interrupts++;
        }
        count_slices(l);
    }
    kc_plat_timer(UINT64_MAX);
    return st;
}

/* ---- the end -------------------------------------------------------------------------------- */

/* S1 */
static void kill_it(struct life *l)
{
    struct kc_track_owner_stats held;
    bool gone = false;
    kc_status_t st = kc_track_owner_stats(&l->k->track, l->owner, &held);
    if (st == KC_OK) {
        st = kc_track_owner_kill(&l->k->track, l->owner, &gone);
    }
    if (st != KC_OK || !gone || !kc_track_owner_is_gone(&l->k->track, l->owner)) {
        unexpected(l, "something of it is left");
        return;
    }
    l->counts->cleaned += held.items;
}

static kc_status_t one_service(struct kc_services *all, uint32_t cpu, uint32_t kind)
{
    struct kc_track_limits limits = {ITEMS_MAX, FRAMES_MAX};
    struct life l = {
        .k = all->kernel,
        .s = &all->service[cpu],
        .counts = &all->counts[cpu],
        .cpu = cpu,
        .start = {.kind = kind},
    };
    kc_status_t st = kc_track_owner_add(&l.k->track, kc_service_kind_name(kind), &limits, &l.owner);
    if (st != KC_OK) {
        return st;
    }
    st = build(&l);
    if (st == KC_OK) {
        st = live(&l);
    }
    if (l.over) {
        l.counts->started++;
        l.counts->ended[l.end]++;
        tell(&l);
    }
    if (l.over && l.end != KC_SERVICE_END_NO_MEMORY && !ended_as_expected(&l)) {
        unexpected(&l, "it had to end otherwise");
    }
    kill_it(&l);
    if (st == KC_ERR_NOMEM || (l.over && l.end == KC_SERVICE_END_NO_MEMORY)) {
        l.counts->no_memory++;
        return KC_OK;
    }
    return st;
}

/* ---- the rounds ----------------------------------------------------------------------------- */

void kc_services_init(struct kc_services *s, struct kc_kernel *k, uint32_t rounds)
{
    s->kernel = k;
    s->rounds = rounds;
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        s->counts[i] = (struct kc_service_counts){0};
    }
}

kc_status_t kc_services_run(struct kc_services *s, uint32_t cpu)
{
    kc_status_t st = KC_OK;
    if (s->kernel->info.user_bytes == 0) {
        return s->rounds == 0 ? KC_OK : KC_ERR_UNSUPPORTED;
    }
    for (uint32_t round = 0; round < s->rounds && st == KC_OK; round++) {
        for (uint32_t kind = 0; kind < KC_SERVICE_KIND_COUNT && st == KC_OK; kind++) {
            /* Each CPU begins elsewhere, so that different kinds run at one time. */
            st = one_service(s, cpu, (kind + cpu) % KC_SERVICE_KIND_COUNT);
        }
    }
    if (st != KC_OK) {
        kc_kernel_log(s->kernel, "service: cpu%u: %s", cpu, kc_status_name(st));
    }
    return st == KC_OK && s->counts[cpu].unexpected != 0 ? KC_ERR_CORRUPT : st;
}

void kc_services_total(const struct kc_services *s, struct kc_service_counts *out)
{
    *out = (struct kc_service_counts){0};
    for (uint32_t cpu = 0; cpu < KC_CPUS_MAX; cpu++) {
        const struct kc_service_counts *c = &s->counts[cpu];
        out->started += c->started;
        for (uint32_t i = 0; i < KC_SERVICE_END_COUNT; i++) {
            out->ended[i] += c->ended[i];
        }
        out->calls += c->calls;
        out->refused += c->refused;
        out->exchanged_bytes += c->exchanged_bytes;
        out->pages += c->pages;
        out->interrupts += c->interrupts;
        out->cleaned += c->cleaned;
        out->unexpected += c->unexpected;
        out->no_memory += c->no_memory;
    }
}
