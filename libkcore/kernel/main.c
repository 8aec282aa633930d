/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of the kernel once the MMU is on: frames, CPUs, dynamic range, heap, workload, and the
 * way down in reverse, which must end with exactly what there was before the heap.
 */
#include "kernel_priv.h"

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

static kc_status_t start_frames(struct kc_kernel *k)
{
    log_memory(k);
    kc_status_t st = kc_frames_init(&k->frames, &k->early, &k->misuse);
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
    if (st == KC_OK) {
        st = kc_frame_alloc(&k->frames, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_KERNEL, &k->empty_root);
    }
    if (st == KC_OK) {
        kc_plat_note(KC_NOTE_ROOT, kc_pa_raw(k->empty_root), KC_FRAME_BYTES, &k->empty_root);
        /* The zeros are in memory before any TTBR0 points at them. */
        kc_plat_barrier(KC_DSB_ISHST);
    }
    return st;
}

static kc_status_t start_services(struct kc_kernel *k)
{
    kc_status_t st = kc_asids_init(&k->asids, k->asid_bits, k->empty_root);
    if (st == KC_OK && k->info.dynamic_bytes != 0) {
        struct kc_aspace_config config = {
            .kind = KC_ASPACE_KERNEL,
            .name = "kernel",
            .frames = &k->frames,
            .kernel_pt = &k->linear,
            .base = kc_ia(k->info.dynamic_base),
            .bytes = k->info.dynamic_bytes,
            .areas = k->area,
            .area_max = KC_KERNEL_AREAS_MAX,
        };
        st = kc_aspace_init(&k->space, &config);
    }
    if (st == KC_OK) {
        struct kc_heap_config config = {
            .name = "kernel", .misuse = &k->misuse, .cpu_count = k->info.cpu_count};
        st = kc_heap_init(&k->heap, &config, &k->frames);
    }
    if (st == KC_OK) {
        struct kc_track_config config = {
            .name = "kernel",
            .owners = k->track_owner,
            .owner_max = KC_KERNEL_OWNERS_MAX,
            .items = k->track_item,
            .item_max = KC_KERNEL_ITEMS_MAX,
            .misuse = &k->misuse,
        };
        st = kc_track_init(&k->track, &config);
    }
    return st;
}

/* ---- down ----------------------------------------------------------------------------------- */

static void list_tracked(struct kc_kernel *k)
{
    uint32_t cursor = 0;
    struct kc_track_info info;
    while (kc_track_next(&k->track, &cursor, &info)) {
        kc_kernel_log(k, "leak:  %s still holds what %s made", info.owner_name,
                      info.site == NULL ? "somebody" : info.site);
    }
}

static kc_status_t stop_services(struct kc_kernel *k)
{
    list_tracked(k);
    kc_status_t track = kc_track_fini(&k->track);
    kc_status_t heap = kc_heap_fini(&k->heap);
    kc_status_t space = k->info.dynamic_bytes != 0 ? kc_aspace_fini(&k->space) : KC_OK;
    if (track != KC_OK) {
        kc_kernel_log(k, "shutdown: tracker: %s", kc_status_name(track));
    }
    if (heap != KC_OK) {
        kc_kernel_log(k, "shutdown: heap: %s", kc_status_name(heap));
    }
    if (space != KC_OK) {
        kc_kernel_log(k, "shutdown: address space: %s", kc_status_name(space));
    }
    if (track != KC_OK) {
        return track;
    }
    return heap != KC_OK ? heap : space;
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

kc_status_t kc_kernel_main(struct kc_kernel *k, const struct kc_work *work)
{
    uint64_t before[KC_FRAME_OWNER_COUNT] = {0};
    k->work = work;
    kc_status_t st = start_frames(k);
    if (st != KC_OK) {
        kc_kernel_log(k, "boot: frames: %s", kc_status_name(st));
        return st;
    }
    kc_kernel_start_cpus(k);
    st = kc_kernel_leave_identity(k);
    for (uint16_t owner = 1; owner < owner_count; owner++) {
        before[owner] = kc_frame_owner_frames(&k->frames, owner);
    }
    if (st == KC_OK) {
        st = start_services(k);
    }
    if (st != KC_OK) {
        kc_kernel_log(k, "boot: %s", kc_status_name(st));
        kc_kernel_stop_cpus(k);
        return st;
    }
    kc_kernel_log(k, "work: %s", work->name);
    st = kc_kernel_run_work(k);
    kc_kernel_log(k, "work: %s: %s", work->name, kc_status_name(st));
    kc_kernel_stop_cpus(k);
    kc_status_t down = stop_services(k);
    k->leaked_frames = count_leaks(k, before);
    kc_kernel_log(k, "shutdown: %llu frame(s) leaked", (unsigned long long)k->leaked_frames);
    if (st != KC_OK) {
        return st;
    }
    return down != KC_OK || k->leaked_frames != 0 ? KC_ERR_STATE : KC_OK;
}
