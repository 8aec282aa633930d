/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory map before there are frames.
 *
 * A *run* is a stretch of RAM without a gap: boot ranges that touch are one run. A *taken range* is
 * a stretch of a run that is not free, of one kind. A *gap* is a stretch of a run between taken
 * ranges.
 *
 *     run 0                                    run 1
 *     |text|data|........|initrd|....|alloc|   |....reserved..|alloc|
 *                  gap            gap           gap
 *
 * E1  The state is open or closed, and the counts are within the arrays.
 * E2  Runs ascend, are not empty, page-aligned and page-sized, below KC_EARLY_PA_LIMIT, and do not
 *     touch each other; ram_bytes is their sum.
 * E3  Taken ranges ascend, are not empty, do not meet, and each lies in one run; taken_bytes is
 *     their sum.
 * E4  A taken range has a kind that can be inside RAM; TEXT, RODATA, DATA and NOMAP are
 * page-aligned and page-sized. E5  Two ranges of a kind that merges (allocated, reserved) do not
 * touch.
 *
 * Because of the limit of E2 no sum of a base and a size wraps, and ends may be used. Sums that
 * come from outside are judged before, in judge_range().
 *
 * kc_early_init() judges all of the boot information first and writes after that, so that an error
 * leaves nothing half done. The map cannot overflow then: n boot ranges have 2n ends, which cut RAM
 * into fewer than 2n taken pieces, and KC_EARLY_TAKEN_MAX is more than that.
 *
 * Cost: everything is linear in the taken ranges; a few hundred at most, and only during boot. No
 * lock: CPU 0 is alone.
 *
 * Sources: the two sorted arrays are those of Linux memblock; its way of allocating top-down too,
 * which leaves low memory to devices that reach no other.
 */
#include "early_priv.h"

KC_STATIC_ASSERT(KC_EARLY_TAKEN_MAX > 2 * KC_BOOT_RANGES_MAX, "kc_early_init() cannot overflow");

/* ---- kinds ---------------------------------------------------------------------------------- */

static bool is_inside_ram(uint32_t kind)
{
    return kind < KC_BOOT_KIND_COUNT && kind != KC_BOOT_RAM && kind != KC_BOOT_MMIO;
}

/* Kinds that are mapped each in its own way, or not at all: a page is all of it or nothing. */
static bool is_whole_pages(uint32_t kind)
{
    return kind == KC_BOOT_RAM || kind == KC_BOOT_MMIO || kind == KC_BOOT_TEXT ||
           kind == KC_BOOT_RODATA || kind == KC_BOOT_DATA || kind == KC_BOOT_NOMAP;
}

static bool merges(uint32_t kind)
{
    return kind == KC_EARLY_ALLOCATED || kind == KC_BOOT_RESERVED;
}

static bool may_overlap(uint32_t kind, uint32_t other)
{
    return (kind == KC_BOOT_RESERVED && is_inside_ram(other)) ||
           (other == KC_BOOT_RESERVED && is_inside_ram(kind));
}

/* ---- judging what comes from outside -------------------------------------------------------- */

/* What can be said of one range by itself. */
static kc_status_t judge_range(uint64_t base, uint64_t size, uint32_t kind)
{
    if (kind >= KC_BOOT_KIND_COUNT || size == 0) {
        return KC_ERR_ARG;
    }
    if (!kc_range_fits(base, size) || !kc_range_covers(0, KC_EARLY_PA_LIMIT, base, size)) {
        return KC_ERR_RANGE;
    }
    if (is_whole_pages(kind) &&
        (!kc_is_aligned(base, KC_EARLY_PAGE_BYTES) || !kc_is_aligned(size, KC_EARLY_PAGE_BYTES))) {
        return KC_ERR_ALIGN;
    }
    return KC_OK;
}

/* True if every byte of a range is in some RAM range of bi. */
static bool boot_ram_covers(const struct kc_boot_info *bi, uint64_t base, uint64_t size)
{
    for (bool advanced = true; advanced;) {
        advanced = false;
        for (uint32_t i = 0; i < bi->range_count; i++) {
            const struct kc_boot_range *r = &bi->range[i];
            uint64_t ram = kc_pa_raw(r->base);
            if (r->kind != KC_BOOT_RAM || !kc_range_has(ram, r->size, base)) {
                continue;
            }
            uint64_t here = r->size - (base - ram);
            if (size <= here) {
                return true;
            }
            base += here;
            size -= here;
            advanced = true;
        }
    }
    return false;
}

static kc_status_t judge_header(const struct kc_boot_info *bi)
{
    if (bi->version != KC_BOOT_VERSION) {
        return KC_ERR_UNSUPPORTED;
    }
    if (bi->cpu_count == 0 || bi->cpu_count > KC_CPUS_MAX || bi->range_count == 0 ||
        bi->range_count > KC_BOOT_RANGES_MAX) {
        return KC_ERR_RANGE;
    }
    for (uint32_t i = 0; i < KC_BOOT_CMDLINE_MAX; i++) {
        if (bi->cmdline[i] == '\0') {
            return KC_OK;
        }
    }
    return KC_ERR_ARG;
}

static kc_status_t judge_ranges(const struct kc_boot_info *bi)
{
    bool has_ram = false;
    for (uint32_t i = 0; i < bi->range_count; i++) {
        const struct kc_boot_range *r = &bi->range[i];
        kc_status_t s = judge_range(kc_pa_raw(r->base), r->size, r->kind);
        if (s != KC_OK) {
            return s;
        }
        has_ram = has_ram || r->kind == KC_BOOT_RAM;
    }
    return has_ram ? KC_OK : KC_ERR_ABSENT;
}

/* How ranges lie to each other: what is inside RAM is, and nothing else overlaps. */
static kc_status_t judge_overlaps(const struct kc_boot_info *bi)
{
    for (uint32_t i = 0; i < bi->range_count; i++) {
        const struct kc_boot_range *r = &bi->range[i];
        for (uint32_t j = i + 1; j < bi->range_count; j++) {
            const struct kc_boot_range *o = &bi->range[j];
            bool nested = (r->kind == KC_BOOT_RAM && is_inside_ram(o->kind)) ||
                          (o->kind == KC_BOOT_RAM && is_inside_ram(r->kind));
            if (!nested && !may_overlap(r->kind, o->kind) &&
                kc_range_meets(kc_pa_raw(r->base), r->size, kc_pa_raw(o->base), o->size)) {
                return KC_ERR_EXISTS;
            }
        }
        if (is_inside_ram(r->kind) && !boot_ram_covers(bi, kc_pa_raw(r->base), r->size)) {
            return KC_ERR_RANGE;
        }
    }
    return KC_OK;
}

static kc_status_t judge_window(uint64_t base, uint64_t size)
{
    if (size == 0) {
        return KC_OK;
    }
    if (!kc_is_aligned(base, KC_EARLY_WINDOW_ALIGN) ||
        !kc_is_aligned(size, KC_EARLY_WINDOW_ALIGN)) {
        return KC_ERR_ALIGN;
    }
    return kc_range_fits(base, size) ? KC_OK : KC_ERR_RANGE;
}

/* Virtual addresses: the linear image of every range that is mapped, and the two windows. */
static kc_status_t judge_windows(const struct kc_boot_info *bi)
{
    kc_status_t s = judge_window(bi->dynamic_base, bi->dynamic_bytes);
    if (s == KC_OK) {
        s = judge_window(bi->user_base, bi->user_bytes);
    }
    if (s != KC_OK) {
        return s;
    }
    if (kc_range_meets(bi->dynamic_base, bi->dynamic_bytes, bi->user_base, bi->user_bytes)) {
        return KC_ERR_EXISTS;
    }
    for (uint32_t i = 0; i < bi->range_count; i++) {
        const struct kc_boot_range *r = &bi->range[i];
        if (r->kind != KC_BOOT_RAM && r->kind != KC_BOOT_MMIO) {
            continue;
        }
        uint64_t va = bi->linear_base + kc_pa_raw(r->base); /* modulo 2^64 is meant: boot.h */
        if (!kc_range_fits(va, r->size)) {
            return KC_ERR_RANGE;
        }
        if (kc_range_meets(va, r->size, bi->dynamic_base, bi->dynamic_bytes) ||
            kc_range_meets(va, r->size, bi->user_base, bi->user_bytes)) {
            return KC_ERR_EXISTS;
        }
    }
    return KC_OK;
}

/* ---- the two arrays ------------------------------------------------------------------------- */

static uint64_t run_base(const struct kc_early *e, uint32_t i)
{
    return kc_pa_raw(e->ram[i].base);
}

static uint64_t run_end(const struct kc_early *e, uint32_t i)
{
    return run_base(e, i) + e->ram[i].size; /* E2: cannot wrap */
}

static uint64_t taken_base(const struct kc_early *e, uint32_t j)
{
    return kc_pa_raw(e->taken[j].base);
}

static uint64_t taken_end(const struct kc_early *e, uint32_t j)
{
    return taken_base(e, j) + e->taken[j].size; /* E3, E2: cannot wrap */
}

/* First taken range that ends above `at`; taken_count if none does. */
static uint32_t taken_from(const struct kc_early *e, uint64_t at)
{
    uint32_t j = 0;
    while (j < e->taken_count && taken_end(e, j) <= at) {
        j++;
    }
    return j;
}

static void slot_insert(struct kc_early *e, uint32_t at, uint64_t base, uint64_t size,
                        uint32_t kind)
{
    KC_CHECK(e->taken_count < KC_EARLY_TAKEN_MAX);
    for (uint32_t j = e->taken_count; j > at; j--) {
        e->taken[j] = e->taken[j - 1];
    }
    e->taken_count++;
    e->taken[at].base = kc_pa(base);
    e->taken[at].size = size;
    e->taken[at].kind = kind;
    e->taken[at].unused = 0;
}

static void slot_remove(struct kc_early *e, uint32_t at)
{
    e->taken_count--;
    for (uint32_t j = at; j < e->taken_count; j++) {
        e->taken[j] = e->taken[j + 1];
    }
}

/* True if slots j and j + 1 are there and are to be one (E5). */
static bool are_one(const struct kc_early *e, uint32_t j)
{
    return j + 1 < e->taken_count && e->taken[j].kind == e->taken[j + 1].kind &&
           merges(e->taken[j].kind) && taken_end(e, j) == taken_base(e, j + 1);
}

static void join(struct kc_early *e, uint32_t j)
{
    e->taken[j].size += e->taken[j + 1].size;
    slot_remove(e, j + 1);
}

/* Take a range that is free, at its place `at` among the slots. */
static void take_free(struct kc_early *e, uint32_t at, uint64_t base, uint64_t size, uint32_t kind)
{
    slot_insert(e, at, base, size, kind);
    e->taken_bytes += size;
    if (are_one(e, at)) {
        join(e, at);
    }
    if (at != 0 && are_one(e, at - 1)) {
        join(e, at - 1);
    }
}

/* Make free the part of slot j that lies in base..end; what sticks out on either side stays. */
static void give_part(struct kc_early *e, uint32_t j, uint64_t base, uint64_t end)
{
    uint64_t from = taken_base(e, j) > base ? taken_base(e, j) : base;
    uint64_t to = taken_end(e, j) < end ? taken_end(e, j) : end;
    uint64_t head = from - taken_base(e, j);
    uint64_t tail = taken_end(e, j) - to;
    uint32_t kind = e->taken[j].kind;
    e->taken_bytes -= to - from;
    if (tail != 0) {
        slot_insert(e, j + 1, to, tail, kind);
    }
    if (head != 0) {
        e->taken[j].size = head;
    } else {
        slot_remove(e, j);
    }
}

/* True if a range lies in one run. */
static bool runs_cover(const struct kc_early *e, uint64_t base, uint64_t size)
{
    for (uint32_t i = 0; i < e->ram_count; i++) {
        if (kc_range_covers(run_base(e, i), e->ram[i].size, base, size)) {
            return true;
        }
    }
    return false;
}

/* ---- reserving ------------------------------------------------------------------------------ */

/* RESERVED takes what is free of a range and leaves the rest to whom it belongs. */
static void reserve_gaps(struct kc_early *e, uint64_t base, uint64_t end)
{
    while (base < end) {
        uint32_t j = taken_from(e, base);
        if (j < e->taken_count && taken_base(e, j) <= base) {
            base = taken_end(e, j);
            continue;
        }
        uint64_t next = j < e->taken_count && taken_base(e, j) < end ? taken_base(e, j) : end;
        take_free(e, j, base, next - base, KC_BOOT_RESERVED);
        base = next;
    }
}

/* Any other kind takes the range from RESERVED where that has it. Nothing else is in it. */
static void reserve_whole(struct kc_early *e, uint64_t base, uint64_t end, uint32_t kind)
{
    for (;;) {
        uint32_t j = taken_from(e, base);
        if (j == e->taken_count || taken_base(e, j) >= end) {
            take_free(e, j, base, end - base, kind);
            return;
        }
        give_part(e, j, base, end);
    }
}

static void take_as(struct kc_early *e, uint64_t base, uint64_t size, uint32_t kind)
{
    if (kind == KC_BOOT_RESERVED) {
        reserve_gaps(e, base, base + size);
    } else {
        reserve_whole(e, base, base + size, kind);
    }
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void add_run(struct kc_early *e, uint64_t base, uint64_t size)
{
    uint32_t i = 0;
    while (i < e->ram_count && run_base(e, i) < base) {
        i++;
    }
    for (uint32_t k = e->ram_count; k > i; k--) {
        e->ram[k] = e->ram[k - 1];
    }
    e->ram_count++;
    e->ram[i] = kc_pa_range(kc_pa(base), size);
    e->ram_bytes += size;
}

/* Runs that touch become one. */
static void join_runs(struct kc_early *e)
{
    uint32_t last = 0;
    for (uint32_t i = 1; i < e->ram_count; i++) {
        if (run_end(e, last) == run_base(e, i)) {
            e->ram[last].size += e->ram[i].size;
        } else {
            last++;
            e->ram[last] = e->ram[i];
        }
    }
    e->ram_count = last + 1;
}

kc_status_t kc_early_init(struct kc_early *e, const struct kc_boot_info *bi)
{
    if (bi == NULL) {
        return KC_ERR_ARG;
    }
    kc_status_t s = judge_header(bi);
    if (s == KC_OK) {
        s = judge_ranges(bi);
    }
    if (s == KC_OK) {
        s = judge_overlaps(bi);
    }
    if (s == KC_OK) {
        s = judge_windows(bi);
    }
    if (s != KC_OK) {
        return s;
    }

    e->state = EARLY_OPEN;
    e->ram_count = 0;
    e->taken_count = 0;
    e->unused = 0;
    e->ram_bytes = 0;
    e->taken_bytes = 0;
    for (uint32_t i = 0; i < bi->range_count; i++) {
        if (bi->range[i].kind == KC_BOOT_RAM) {
            add_run(e, kc_pa_raw(bi->range[i].base), bi->range[i].size);
        }
    }
    join_runs(e);
    for (uint32_t i = 0; i < bi->range_count; i++) {
        if (is_inside_ram(bi->range[i].kind)) {
            take_as(e, kc_pa_raw(bi->range[i].base), bi->range[i].size, bi->range[i].kind);
        }
    }
    KC_AUDIT(kc_early_check(e, NULL) == KC_OK);
    return KC_OK;
}

void kc_early_close(struct kc_early *e)
{
    KC_ASSERT(e->state == EARLY_OPEN);
    e->state = EARLY_CLOSED;
}

/* ---- operations ----------------------------------------------------------------------------- */

/* Where a request fits into base..end, as high as possible; false if it does not. */
static bool fit_high(uint64_t base, uint64_t end, uint64_t bytes, uint64_t align, uint64_t *at)
{
    if (end - base < bytes) {
        return false;
    }
    uint64_t p = kc_align_down(end - bytes, align);
    if (p < base) {
        return false;
    }
    *at = p;
    return true;
}

/* The highest gap that holds a request; *slot is the place among the slots. */
static bool find_high(const struct kc_early *e, uint64_t bytes, uint64_t align, uint64_t *at,
                      uint32_t *slot)
{
    uint32_t j = e->taken_count;
    for (uint32_t i = e->ram_count; i-- > 0;) {
        uint64_t end = run_end(e, i);
        for (; j > 0 && taken_base(e, j - 1) >= run_base(e, i); j--) {
            if (fit_high(taken_end(e, j - 1), end, bytes, align, at)) {
                *slot = j;
                return true;
            }
            end = taken_base(e, j - 1);
        }
        if (fit_high(run_base(e, i), end, bytes, align, at)) {
            *slot = j;
            return true;
        }
    }
    return false;
}

kc_status_t kc_early_alloc(struct kc_early *e, uint64_t bytes, uint64_t align, kc_pa_t *out)
{
    if (e->state != EARLY_OPEN) {
        return KC_ERR_STATE;
    }
    if (bytes == 0 || !kc_is_pow2(align)) {
        return KC_ERR_ARG;
    }
    uint64_t at;
    uint32_t slot;
    if (e->taken_count == KC_EARLY_TAKEN_MAX || !find_high(e, bytes, align, &at, &slot)) {
        return KC_ERR_NOMEM;
    }
    take_free(e, slot, at, bytes, KC_EARLY_ALLOCATED);
    *out = kc_pa(at);
    KC_AUDIT(kc_early_check(e, NULL) == KC_OK);
    return KC_OK;
}

kc_status_t kc_early_free(struct kc_early *e, kc_pa_t base, uint64_t bytes)
{
    if (e->state != EARLY_OPEN) {
        return KC_ERR_STATE;
    }
    if (bytes == 0) {
        return KC_ERR_ARG;
    }
    uint64_t from = kc_pa_raw(base);
    uint32_t j = taken_from(e, from);
    if (j == e->taken_count || e->taken[j].kind != KC_EARLY_ALLOCATED ||
        !kc_range_covers(taken_base(e, j), e->taken[j].size, from, bytes)) { /* E5: one slot */
        return KC_ERR_ABSENT;
    }
    bool splits = from != taken_base(e, j) && from + bytes != taken_end(e, j);
    if (splits && e->taken_count == KC_EARLY_TAKEN_MAX) {
        return KC_ERR_NOMEM;
    }
    give_part(e, j, from, from + bytes);
    KC_AUDIT(kc_early_check(e, NULL) == KC_OK);
    return KC_OK;
}

/* Whether a kind may take base..end, and how many slots that can need at most. */
static kc_status_t judge_reserve(const struct kc_early *e, uint64_t base, uint64_t end,
                                 uint32_t kind, uint32_t *slots)
{
    uint32_t met = 0;
    for (uint32_t j = taken_from(e, base); j < e->taken_count && taken_base(e, j) < end; j++) {
        if (!may_overlap(kind, e->taken[j].kind)) {
            return KC_ERR_EXISTS;
        }
        met++;
    }
    *slots = kind == KC_BOOT_RESERVED ? met + 1 : 2; /* gaps between; or both ends cut off */
    return KC_OK;
}

kc_status_t kc_early_reserve(struct kc_early *e, kc_pa_range_t r, uint32_t kind)
{
    if (e->state != EARLY_OPEN) {
        return KC_ERR_STATE;
    }
    uint64_t base = kc_pa_raw(r.base);
    if (!is_inside_ram(kind)) {
        return KC_ERR_ARG;
    }
    kc_status_t s = judge_range(base, r.size, kind);
    if (s != KC_OK) {
        return s;
    }
    if (!runs_cover(e, base, r.size)) {
        return KC_ERR_RANGE;
    }
    uint32_t slots;
    s = judge_reserve(e, base, base + r.size, kind, &slots);
    if (s != KC_OK) {
        return s;
    }
    if (slots > KC_EARLY_TAKEN_MAX - e->taken_count) {
        return KC_ERR_NOMEM;
    }
    take_as(e, base, r.size, kind);
    KC_AUDIT(kc_early_check(e, NULL) == KC_OK);
    return KC_OK;
}

/* ---- queries -------------------------------------------------------------------------------- */

/*
 * The cursor is two numbers in one: the run, and the slot of the next taken range, which is where
 * the gap at hand ends, unless the run ends before.
 */
bool kc_early_next_free(const struct kc_early *e, uint32_t *cursor, kc_pa_range_t *out)
{
    uint32_t run = *cursor / (KC_EARLY_TAKEN_MAX + 1);
    uint32_t j = *cursor % (KC_EARLY_TAKEN_MAX + 1);
    while (run < e->ram_count) {
        uint64_t start = run_base(e, run);
        uint64_t end = run_end(e, run);
        if (j > 0 && taken_end(e, j - 1) > start) {
            start = taken_end(e, j - 1);
        }
        if (j < e->taken_count && taken_base(e, j) < end) {
            end = taken_base(e, j);
            j++;
        } else {
            run++;
        }
        uint64_t first = kc_align_down(start + KC_EARLY_PAGE_BYTES - 1, KC_EARLY_PAGE_BYTES);
        uint64_t last = kc_align_down(end, KC_EARLY_PAGE_BYTES);
        if (first < last) {
            *cursor = run * (KC_EARLY_TAKEN_MAX + 1) + j;
            *out = kc_pa_range(kc_pa(first), last - first);
            return true;
        }
    }
    *cursor = run * (KC_EARLY_TAKEN_MAX + 1) + j;
    return false;
}

bool kc_early_next_ram(const struct kc_early *e, uint32_t *cursor, kc_pa_range_t *out)
{
    if (*cursor >= e->ram_count) {
        return false;
    }
    *out = e->ram[(*cursor)++];
    return true;
}

bool kc_early_next_taken(const struct kc_early *e, uint32_t *cursor, kc_pa_range_t *out,
                         uint32_t *kind)
{
    if (*cursor >= e->taken_count) {
        return false;
    }
    const struct kc_early_range *t = &e->taken[(*cursor)++];
    *out = kc_pa_range(t->base, t->size);
    *kind = t->kind;
    return true;
}

uint64_t kc_early_ram_bytes(const struct kc_early *e)
{
    return e->ram_bytes;
}

uint64_t kc_early_taken_bytes(const struct kc_early *e)
{
    return e->taken_bytes;
}

bool kc_early_is_open(const struct kc_early *e)
{
    return e->state == EARLY_OPEN;
}
