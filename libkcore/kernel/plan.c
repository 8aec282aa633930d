/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cut points of a plan are the first and last pages of all ranges. Between two neighbouring cut
 * points every page is covered by the same ranges, so one look at the first page decides all.
 *
 *   RAM       |-----------------------------------------|
 *   TEXT            |------|
 *   DATA                   |----|
 *   NOMAP                                |-----|
 *   plan      [ RAM ][TEXT ][DATA][ RAM  ]     [  RAM   ]
 *
 * All arithmetic is on inclusive page numbers, so the last page of the address space needs no end
 * address.
 *
 * I1. Segments come in strictly rising order and do not meet.
 * I2. A page is in a segment if and only if it is wholly RAM and not NOMAP, or is touched by MMIO.
 */
#include "plan.h"

#define PAGE_LOG2 KC_FRAME_LOG2

struct pages {
    uint64_t first;
    uint64_t last; /* included */
    bool any;
};

/* Pages that a range decides: RAM only those wholly inside, other kinds all that they touch. */
static struct pages pages_of(const struct kc_boot_range *r)
{
    struct pages p = {0, 0, false};
    if (r->size == 0) {
        return p;
    }
    uint64_t first = kc_pa_raw(r->base);
    uint64_t last = first + (r->size - 1);
    p.first = first >> PAGE_LOG2;
    p.last = last >> PAGE_LOG2;
    p.any = true;
    if (r->kind == KC_BOOT_RAM) {
        bool ragged_first = (first & (KC_FRAME_BYTES - 1)) != 0;
        bool ragged_last = ((last + 1) & (KC_FRAME_BYTES - 1)) != 0;
        uint64_t lost = (uint64_t)ragged_first + (uint64_t)ragged_last;
        if (p.last - p.first + 1 <= lost) {
            p.any = false;
            return p;
        }
        p.first += ragged_first;
        p.last -= ragged_last;
    }
    return p;
}

static uint32_t strictness(uint32_t kind)
{
    static const uint8_t order[KC_BOOT_KIND_COUNT] = {
        [KC_BOOT_RAM] = 1,    [KC_BOOT_RESERVED] = 2, [KC_BOOT_DTB] = 3,
        [KC_BOOT_INITRD] = 4, [KC_BOOT_DATA] = 5,     [KC_BOOT_RODATA] = 6,
        [KC_BOOT_TEXT] = 7,   [KC_BOOT_NOMAP] = 8,    [KC_BOOT_MMIO] = 9,
    };
    return kind < KC_BOOT_KIND_COUNT ? order[kind] : 0;
}

/* What decides a page, and the last page for which the same ranges decide. */
struct decision {
    bool mapped;
    uint32_t kind;
    uint64_t last;
};

static struct decision decide(const struct kc_boot_info *info, uint64_t page)
{
    const uint64_t top = UINT64_MAX >> PAGE_LOG2;
    struct decision d = {false, KC_BOOT_KIND_COUNT, top};
    bool in_ram = false;
    uint32_t best = 0;
    for (uint32_t i = 0; i < info->range_count; i++) {
        struct pages p = pages_of(&info->range[i]);
        uint32_t kind = info->range[i].kind;
        if (!p.any || page > p.last) {
            continue;
        }
        if (page < p.first) {
            if (p.first - 1 < d.last) {
                d.last = p.first - 1;
            }
            continue;
        }
        if (p.last < d.last) {
            d.last = p.last;
        }
        in_ram = in_ram || kind == KC_BOOT_RAM;
        if (strictness(kind) > best) {
            best = strictness(kind);
            d.kind = kind;
        }
    }
    d.mapped = best != 0 && d.kind != KC_BOOT_NOMAP && (in_ram || d.kind == KC_BOOT_MMIO);
    return d;
}

bool kc_plan_next(const struct kc_boot_info *info, uint64_t *from, struct kc_plan_segment *out)
{
    const uint64_t top = UINT64_MAX >> PAGE_LOG2;
    uint64_t page = *from >> PAGE_LOG2;
    struct decision d = decide(info, page);
    while (!d.mapped) {
        if (d.last == top) {
            return false;
        }
        page = d.last + 1;
        d = decide(info, page);
    }
    uint64_t last = d.last;
    while (last != top) {
        struct decision next = decide(info, last + 1);
        if (!next.mapped || next.kind != d.kind) {
            break;
        }
        last = next.last;
    }
    out->base = kc_pa(page << PAGE_LOG2);
    out->size = (last - page + 1) << PAGE_LOG2;
    out->kind = d.kind;
    *from = last == top ? 0 : (last + 1) << PAGE_LOG2;
    return true;
}
