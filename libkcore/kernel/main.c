/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of the kernel once the MMU is on: frames, tracker, dynamic range, heap, CPUs, workload;
 * and the way down, which must end with exactly what there was before the heap.
 *
 * Everything the kernel makes is in its tracker, with what it needs:
 *
 *     ground   early memory <- linear tables      empty root
 *                                   ^                 ^
 *     kernel   identity tables    space     heap    ASIDs
 *                                   ^________^________^____ each CPU
 *     work     the workload's things; and an owner for each of its steps and services
 *
 * M1. The way down is killing the owners: first whoever is left of the work, which is a leak and
 *     listed as one; then the kernel, in which the CPUs stop first, for they need all else; then
 *     the ground, whose things stay: the CPU runs on them until the machine is off.
 * M2. The frames' own count of owners is a second opinion: what no item stands for is found there.
 */
#include "kernel_priv.h"
#include "own.h"

#include <stdarg.h>

#include <kc/fmt.h>

#define LOG_LINE_MAX 256u

/* Blocks that a leak listing names. */
#define LEAKS_LISTED 16u

/* Owners, in the type that they have. */
static const uint16_t owner_count = KC_FRAME_OWNER_COUNT;

static void log_va(const struct kc_kernel *k, const char *fmt, va_list args) KC_PRINTF(2, 0);

static void log_va(const struct kc_kernel *k, const char *fmt, va_list args)
{
    char line[LOG_LINE_MAX];
    uint64_t us = 0;
    uint64_t hz = kc_plat_ticks_hz();
    uint64_t since = kc_plat_ticks() - k->boot_ticks;
    if (hz != 0) {
        us = since / hz * 1000000u + since % hz * 1000000u / hz;
    }
    size_t n = kc_fmt(line, sizeof(line), "[%5llu.%06llu] ", (unsigned long long)(us / 1000000u),
                      (unsigned long long)(us % 1000000u));
    n += kc_vfmt(line + n, sizeof(line) - n - 1, fmt, args);
    if (n > sizeof(line) - 2) {
        n = sizeof(line) - 2;
    }
    line[n++] = '\n';
    kc_plat_console(line, n);
}

void kc_kernel_log(const struct kc_kernel *k, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    log_va(k, fmt, args);
    va_end(args);
}

void kc_kernel_set_user(struct kc_kernel *k, struct kc_aspace *space)
{
    k->user[kc_plat_cpu()] = space;
}

/* An access that missed a fenced object: it is reported, and goes on to a page of nothing. */
static bool is_fenced(struct kc_kernel *k, const struct kc_fault *f, bool write)
{
    struct kc_fence *fence = k->fence[f->cpu];
    if (fence == NULL) {
        return false;
    }
    enum kc_fence_verdict verdict = kc_fence_explain(fence, f->far, write, NULL);
    return verdict != KC_FENCE_ELSEWHERE && verdict != KC_FENCE_LIVE &&
           kc_fence_let(fence, f->far) == KC_OK;
}

bool kc_kernel_fault(struct kc_kernel *k, const struct kc_fault *f)
{
    struct kc_a64_syndrome s;
    kc_a64_esr_decode(f->esr, &s);
    if (!s.is_abort || s.far_invalid || f->cpu >= KC_CPUS_MAX) {
        return false;
    }
    bool upper = (f->far >> 63) != 0;
    struct kc_aspace *space = upper ? &k->space : k->user[f->cpu];
    if (space == NULL || (upper && k->info.dynamic_bytes == 0)) {
        return false;
    }
    if (upper && !kc_range_has(k->info.dynamic_base, k->info.dynamic_bytes, f->far)) {
        return false;
    }
    if (is_fenced(k, f, s.is_write)) {
        return true;
    }
    enum kc_aspace_verdict verdict = kc_aspace_fault(space, &s, f->far);
    if (verdict == KC_FAULT_NOMEM) {
        k->faults_no_memory[f->cpu]++;
    }
    if (verdict != KC_FAULT_RETRY) {
        return false;
    }
    __atomic_add_fetch(&k->faults_resolved, 1, __ATOMIC_RELAXED);
    return true;
}

void kc_kernel_ipi(struct kc_kernel *k)
{
    (void)k; /* the interrupt itself is the message: whoever waits looks again */
}

/* ---- up ------------------------------------------------------------------------------------- */

static void log_memory(struct kc_kernel *k)
{
    uint32_t cursor = 0;
    uint32_t kind = 0;
    kc_pa_range_t r;
    while (kc_early_next_ram(&k->early, &cursor, &r)) {
        kc_kernel_log(k, "memory: RAM       0x%012llx + %8llu KiB",
                      (unsigned long long)kc_pa_raw(r.base), (unsigned long long)(r.size >> 10));
    }
    cursor = 0;
    while (kc_early_next_taken(&k->early, &cursor, &r, &kind)) {
        kc_kernel_log(k, "memory: %-9s 0x%012llx + %8llu KiB",
                      kind == KC_EARLY_ALLOCATED ? "early" : kc_boot_kind_name(kind),
                      (unsigned long long)kc_pa_raw(r.base), (unsigned long long)(r.size >> 10));
    }
}

/*
 * Marks: 1/256 of all frames, 1 MiB at least where that is no more than an eighth, is for tables (a
 * mapping may need one to be undone); twice as much free is little, and three times is enough
 * again. Low memory is kept for devices by 1/256 of what is above it.
 */
static kc_status_t set_marks(struct kc_kernel *k, uint64_t frame_count)
{
    uint64_t least = KC_MIB(1) >> KC_FRAME_LOG2;
    least = least < frame_count / 8 ? least : frame_count / 8;
    uint64_t min = frame_count / 256 > least ? frame_count / 256 : least;
    struct kc_frame_marks marks = {.min = min, .low = 2 * min, .high = 3 * min, .keep_log2 = 8};
    return kc_frames_set_marks(&k->frames, &marks);
}

static kc_status_t start_tracker(struct kc_kernel *k)
{
    const struct kc_track_config config = {
        .name = "kernel",
        .owners = k->track_owner,
        .owner_max = KC_KERNEL_OWNERS_MAX,
        .items = k->track_item,
        .item_max = KC_KERNEL_ITEMS_MAX,
        .misuse = &k->misuse,
    };
    kc_status_t st = kc_track_init(&k->track, &config);
    if (st == KC_OK) {
        st = kc_track_owner_add(&k->track, "ground", NULL, &k->own.ground);
    }
    if (st == KC_OK) {
        st = kc_track_owner_add(&k->track, "kernel", NULL, &k->own.kernel);
    }
    return st == KC_OK ? kc_track_owner_add(&k->track, "work", NULL, &k->own.work) : st;
}

/* M1: of the ground. The machine is switched off with it in place. */
static void stays(const struct kc_track_resource *r)
{
    (void)r;
}

/* The other CPUs have left it, or have stopped. Without an empty root there is no way out of it. */
static void clean_identity(const struct kc_track_resource *r)
{
    struct kc_kernel *k = (struct kc_kernel *)r->object;
    if (kc_pa_raw(k->empty_root) != 0) {
        kc_tramp_leave(kc_pa_raw(k->empty_root));
        kc_status_t st = kc_tramp_fini(&k->tramp);
        KC_CHECK(st == KC_OK);
    }
}

/* What boot left, before there was a tracker. */
static kc_status_t track_boot(struct kc_kernel *k)
{
    const struct kc_own ground = kc_own(k, k->own.ground, KC_TRACK_SITE);
    const struct kc_track_resource early = {
        &k->early, {kc_early_taken_bytes(&k->early), 0}, KC_OWN_EARLY};
    const struct kc_track_resource linear = {&k->linear, {0, 0}, KC_OWN_TREE};
    const struct kc_track_resource identity = {k, {0, 0}, KC_OWN_TREE};
    kc_status_t st = kc_own_made(ground, &early, stays, 0, NULL, 0, &k->own.early);
    if (st == KC_OK) {
        st = kc_own_made(ground, &linear, stays, 0, &k->own.early, 1, &k->own.linear);
    }
    if (st == KC_OK) {
        st = kc_own_made(kc_own(k, k->own.kernel, KC_TRACK_SITE), &identity, clean_identity, 0,
                         &k->own.early, 1, &k->own.identity);
    }
    return st;
}

static kc_status_t start_frames(struct kc_kernel *k)
{
    log_memory(k);
    kc_pa_t lists;
    kc_status_t st = kc_early_alloc(&k->early, k->info.cpu_count * sizeof(struct kc_frame_cpu),
                                    KC_LINE_BYTES, &lists);
    if (st == KC_OK) {
        st = kc_frames_init(&k->frames, &k->early, &k->misuse);
    }
    if (st == KC_OK) {
        st = kc_frames_set_cpus(&k->frames, kc_plat_ram(lists), k->info.cpu_count);
    }
    if (st != KC_OK) {
        return st;
    }
    struct kc_frame_stats stats;
    kc_frame_stats(&k->frames, &stats);
    kc_kernel_log(k, "frames: %llu free, records take %llu KiB",
                  (unsigned long long)stats.free_frames,
                  (unsigned long long)(stats.table_bytes >> 10));
    st = set_marks(k, stats.frame_count);
    if (st != KC_OK) {
        return st;
    }
    struct kc_pt_source source = {.early = NULL, .frames = &k->frames};
    st = kc_pt_set_source(&k->linear, &source);
    if (st == KC_OK) {
        /* Its pointer to early memory was made with the MMU off: it must not be used again. */
        st = kc_pt_set_source(&k->tramp.identity, &source);
    }
    return st == KC_OK ? track_boot(k) : st;
}

static kc_status_t make_empty_root(struct kc_kernel *k)
{
    kc_status_t st =
        kc_frame_alloc(&k->frames, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_KERNEL, &k->empty_root);
    if (st != KC_OK) {
        return st;
    }
    kc_plat_note(KC_NOTE_ROOT, kc_pa_raw(k->empty_root), KC_FRAME_BYTES, &k->empty_root);
    /* The zeros are in memory before any TTBR0 points at them. */
    kc_plat_barrier(KC_DSB_ISHST);
    const struct kc_track_resource what = {
        &k->frames, {kc_pa_raw(k->empty_root), 0}, KC_OWN_FRAMES};
    return kc_own_made(kc_own(k, k->own.ground, KC_TRACK_SITE), &what, stays, 1, NULL, 0,
                       &k->own.root);
}

/* ---- services of the kernel ----------------------------------------------------------------- */

static void unclean(struct kc_kernel *k, const char *what, kc_status_t st)
{
    if (st != KC_OK) {
        kc_kernel_log(k, "shutdown: %s: %s", what, kc_status_name(st));
        k->unclean++;
    }
}

static void clean_asids(const struct kc_track_resource *r)
{
    struct kc_kernel *k = (struct kc_kernel *)r->object;
    for (uint32_t cpu = 0; cpu < KC_CPUS_MAX; cpu++) {
        unclean(k, "a CPU is still in a space",
                k->asids.running[cpu] != NULL ? KC_ERR_STATE : KC_OK);
    }
}

static void clean_kernel_space(const struct kc_track_resource *r)
{
    struct kc_kernel *k = (struct kc_kernel *)r->object;
    unclean(k, "address space", kc_aspace_fini(&k->space));
}

static void clean_heap(const struct kc_track_resource *r)
{
    struct kc_kernel *k = (struct kc_kernel *)r->object;
    unclean(k, "heap", kc_heap_fini(&k->heap));
}

static kc_status_t start_asids(struct kc_kernel *k)
{
    const struct kc_track_resource what = {k, {k->asid_bits, 0}, KC_OWN_ASIDS};
    kc_status_t st = kc_asids_init(&k->asids, k->asid_bits, k->empty_root);
    return st != KC_OK ? st
                       : kc_own_made(kc_own(k, k->own.kernel, KC_TRACK_SITE), &what, clean_asids, 0,
                                     &k->own.root, 1, &k->own.asids);
}

static kc_status_t start_space(struct kc_kernel *k)
{
    const struct kc_track_resource what = {k, {k->info.dynamic_base, 0}, KC_OWN_SPACE};
    const struct kc_aspace_config config = {
        .kind = KC_ASPACE_KERNEL,
        .name = "kernel",
        .frames = &k->frames,
        .kernel_pt = &k->linear,
        .base = kc_ia(k->info.dynamic_base),
        .bytes = k->info.dynamic_bytes,
        .areas = k->area,
        .area_max = KC_KERNEL_AREAS_MAX,
    };
    kc_status_t st = kc_aspace_init(&k->space, &config);
    return st != KC_OK ? st
                       : kc_own_made(kc_own(k, k->own.kernel, KC_TRACK_SITE), &what,
                                     clean_kernel_space, 0, &k->own.linear, 1, &k->own.space);
}

static kc_status_t start_heap(struct kc_kernel *k)
{
    const struct kc_track_resource what = {k, {0, 0}, KC_OWN_HEAP};
    const struct kc_heap_config config = {
        .name = "kernel", .misuse = &k->misuse, .cpu_count = k->info.cpu_count};
    kc_status_t st = kc_heap_init(&k->heap, &config, &k->frames);
    return st != KC_OK ? st
                       : kc_own_made(kc_own(k, k->own.kernel, KC_TRACK_SITE), &what, clean_heap, 0,
                                     &k->own.linear, 1, &k->own.heap);
}

static kc_status_t start_services(struct kc_kernel *k)
{
    kc_status_t st = start_asids(k);
    if (st == KC_OK && k->info.dynamic_bytes != 0) {
        st = start_space(k);
    }
    return st == KC_OK ? start_heap(k) : st;
}

/* The other CPUs use all services, so they need all of them. */
static kc_status_t start_cpus(struct kc_kernel *k)
{
    const kc_track_item_t needs[] = {k->own.root, k->own.asids, k->own.heap, k->own.space};
    return kc_kernel_start_cpus(k, needs, k->info.dynamic_bytes != 0 ? 4 : 3);
}

/* ---- down ----------------------------------------------------------------------------------- */

/* M1: what is left of the work goes; true while there is an owner that still held something. */
static bool kill_one_leaking(struct kc_kernel *k)
{
    uint32_t cursor = 0;
    struct kc_track_info info;
    while (kc_track_next(&k->track, &cursor, &info)) {
        if (!kc_track_owner_eq(info.owner, k->own.ground) &&
            !kc_track_owner_eq(info.owner, k->own.kernel)) {
            unclean(k, info.owner_name, kc_track_owner_kill(&k->track, info.owner, NULL));
            return true;
        }
    }
    return false;
}

static void list_things(struct kc_kernel *k)
{
    uint32_t cursor = 0;
    struct kc_track_info info;
    while (kc_track_next(&k->track, &cursor, &info)) {
        bool kernels = kc_track_owner_eq(info.owner, k->own.kernel);
        if (kernels || kc_track_owner_eq(info.owner, k->own.ground)) {
            continue;
        }
        kc_kernel_log(k, "leak:  %s still holds %s of %s", info.owner_name,
                      kc_own_kind_name(info.what.kind), info.site == NULL ? "?" : info.site);
        k->leaked_things++;
    }
}

static void kill_kernels(struct kc_kernel *k, kc_track_owner_t owner, const char *name)
{
    if (!kc_track_owner_is_gone(&k->track, owner)) {
        unclean(k, name, kc_track_owner_kill(&k->track, owner, NULL));
    }
}

/* M1 */
static void shut_down(struct kc_kernel *k)
{
    list_things(k);
    while (k->unclean == 0 && kill_one_leaking(k)) {
    }
    kill_kernels(k, k->own.work, "work");
    kill_kernels(k, k->own.kernel, "kernel");
    kill_kernels(k, k->own.ground, "ground");
    unclean(k, "tracker", kc_track_fini(&k->track));
}

static void list_blocks_of(struct kc_kernel *k, uint16_t owner)
{
    uint64_t cursor = 0;
    uint32_t listed = 0;
    struct kc_frame_info block;
    while (listed < LEAKS_LISTED && kc_frame_next_used(&k->frames, &cursor, &block)) {
        if (block.owner == owner) {
            kc_kernel_log(k, "leak?  %s: %u frame(s) at 0x%012llx", kc_frame_owner_name(owner),
                          1u << block.order, (unsigned long long)kc_pa_raw(block.base));
            listed++;
        }
    }
}

/* Frames that each owner holds beyond what it held at the start. */
static uint64_t count_leaks(struct kc_kernel *k, const uint64_t *before)
{
    uint64_t leaked = 0;
    for (uint16_t owner = 1; owner < owner_count; owner++) {
        uint64_t now = kc_frame_owner_frames(&k->frames, owner);
        if (now > before[owner]) {
            leaked += now - before[owner];
            kc_kernel_log(k, "leak:  %s still holds %llu frame(s)", kc_frame_owner_name(owner),
                          (unsigned long long)(now - before[owner]));
            list_blocks_of(k, owner);
        }
    }
    return leaked;
}

/* As far as it comes; the way down follows in any case. */
static kc_status_t start(struct kc_kernel *k, uint64_t *before)
{
    kc_status_t st = start_frames(k);
    if (st == KC_OK) {
        st = make_empty_root(k);
    }
    if (st != KC_OK) {
        return st;
    }
    for (uint16_t owner = 1; owner < owner_count; owner++) {
        before[owner] = kc_frame_owner_frames(&k->frames, owner);
    }
    st = start_services(k);
    if (st == KC_OK) {
        st = start_cpus(k);
    }
    return st == KC_OK ? kc_kernel_leave_identity(k) : st;
}

kc_status_t kc_kernel_main(struct kc_kernel *k, const struct kc_work *work)
{
    uint64_t before[KC_FRAME_OWNER_COUNT] = {0};
    k->work = work;
    kc_status_t st = start_tracker(k);
    if (st != KC_OK) {
        return st;
    }
    st = start(k, before);
    if (st == KC_OK) {
        kc_kernel_log(k, "work: %s", work->name);
        st = kc_kernel_run_work(k);
        kc_kernel_log(k, "work: %s: %s", work->name, kc_status_name(st));
    } else {
        kc_kernel_log(k, "boot: %s", kc_status_name(st));
    }
    bool has_frames = !kc_early_is_open(&k->early);
    shut_down(k);
    if (has_frames) {
        k->leaked_frames = count_leaks(k, before); /* M2 */
    }
    kc_kernel_log(k, "shutdown: %u thing(s) and %llu frame(s) leaked", k->leaked_things,
                  (unsigned long long)k->leaked_frames);
    if (st != KC_OK) {
        return st;
    }
    return k->unclean != 0 || k->leaked_things != 0 || k->leaked_frames != 0 ? KC_ERR_STATE : KC_OK;
}
