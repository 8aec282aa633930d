/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/early.h: the memory map, and the allocator before there are frames.
 *
 * kc_early_init() judges what the body says of its machine (kc/boot.h) and turns it into a map:
 * RAM, and in it what is taken and by what. Memory is then handed out from the top of RAM
 * downwards, until kc_frames_init() takes over all that is free. The map stays readable after that.
 *
 * There is no pointer in a struct kc_early: addresses are physical, so that it means the same with
 * the MMU off and on. Memory handed out is *not* zeroed and is not looked at.
 *
 * What the map says of a byte of RAM:
 *
 *     free | allocated (KC_EARLY_ALLOCATED) | taken as one of the boot kinds that lie inside RAM
 *
 * Not thread-safe, takes no lock: for CPU 0 while it is alone.
 */
#ifndef KC_EARLY_H
#define KC_EARLY_H

#include <kc/boot.h>
#include <kc/status.h>

KC_EXTERN_C_BEGIN

/* The page by which RAM is measured, and in which free memory is handed on. */
#define KC_EARLY_PAGE_BYTES 4096u

/* Physical addresses are below this: 52 bits (DDI 0487, D8.1.7 "Implemented physical address
 * size"). */
#define KC_EARLY_PA_LIMIT KC_BIT(52)

/* Granule of the dynamic and user windows of struct kc_boot_info. */
#define KC_EARLY_WINDOW_ALIGN KC_MIB(2)

/* Kind of memory that kc_early_alloc() gave out; follows the boot kinds. */
#define KC_EARLY_ALLOCATED ((uint32_t)KC_BOOT_KIND_COUNT)

/*
 * Slots for taken ranges. Each of the boot ranges may need one and split another in two; the rest
 * is for allocations, of which those that touch share a slot.
 */
#define KC_EARLY_TAKEN_MAX (2u * KC_BOOT_RANGES_MAX + 128u)

struct kc_early_range {
    kc_pa_t base;
    uint64_t size;
    uint32_t kind; /* enum kc_boot_kind, or KC_EARLY_ALLOCATED */
    uint32_t unused;
};

/* Private member by member; placed by the caller. */
struct kc_early {
    uint32_t state; /* 0 before init, then open, then closed */
    uint32_t ram_count;
    uint32_t taken_count;
    uint32_t unused;
    uint64_t ram_bytes;
    uint64_t taken_bytes;
    kc_pa_range_t ram[KC_BOOT_RANGES_MAX];           /* ascending; a gap between neighbours */
    struct kc_early_range taken[KC_EARLY_TAKEN_MAX]; /* ascending, none meets another */
};

/* What kc_early_check() found: which invariant of early.c, and where. */
struct kc_early_fault {
    uint32_t invariant; /* n of "En" in src/mem/early.c; 0: none is broken */
    uint32_t index;     /* of the range in question */
    kc_pa_t at;         /* its base */
};

/* ---- life cycle ----------------------------------------------------------------------------- */

/**
 * Judge the boot information and make the map.
 *
 * e    storage of any content; as before on error
 * bi   from outside: nothing in it is trusted. Its rules:
 *      - RAM is page-aligned and page-sized and below KC_EARLY_PA_LIMIT; ranges may touch, then
 *        they are one; they do not overlap
 *      - kinds inside RAM lie wholly in RAM that is contiguous; nothing is clipped. TEXT, RODATA,
 *        DATA and NOMAP are page-aligned and page-sized, for each is mapped in its own way;
 *        RESERVED, INITRD and DTB may start and end at any byte, and pages that they touch in part
 *        are not free
 *      - of the kinds inside RAM only RESERVED may overlap another range (firmware often lists its
 *        device tree twice); the byte then belongs to the other
 *      - MMIO is page-aligned and page-sized, outside RAM, and overlaps nothing
 *      - linear_base + pa wraps for no range half-way; the dynamic and the user window are each
 *        empty or 2 MiB-aligned and -sized, and overlap neither each other nor the linear map
 *
 * Errors:  KC_ERR_ARG     bi is NULL; an unknown kind; a range of 0 bytes; cmdline does not end
 *          KC_ERR_UNSUPPORTED  version is not KC_BOOT_VERSION
 *          KC_ERR_RANGE   cpu_count or range_count outside its limits; a range that wraps, or
 *                         reaches the PA limit; a kind inside RAM that does not lie wholly in RAM;
 *                         a linear map or window that wraps
 *          KC_ERR_ALIGN   misaligned where the rules above say aligned
 *          KC_ERR_EXISTS  an overlap that the rules above do not allow
 *          KC_ERR_ABSENT  there is no RAM
 * Cost:    O(ranges^2), at most 128
 * Context: before or after the MMU is on, CPU 0 alone
 */
KC_NODISCARD kc_status_t kc_early_init(struct kc_early *e, const struct kc_boot_info *bi);

/** Hand-over is done: from now on alloc, free and reserve fail with KC_ERR_STATE. */
void kc_early_close(struct kc_early *e);

/* ---- operations ----------------------------------------------------------------------------- */

/**
 * Take memory: the highest free place that fits.
 *
 * bytes   1 or more; contiguous
 * align   power of two, 1 or more
 * out     untouched on error
 *
 * Owner:   the caller, for ever or until kc_early_free()
 * Errors:  KC_ERR_ARG    bytes is 0, or align is no power of two
 *          KC_ERR_NOMEM  no free run holds it, or there is no slot left to note it
 *          KC_ERR_STATE  the map is closed
 * Cost:    O(taken ranges)
 */
KC_NODISCARD kc_status_t kc_early_alloc(struct kc_early *e, uint64_t bytes, uint64_t align,
                                        kc_pa_t *out);

/**
 * Give back memory from kc_early_alloc(): all of one allocation, or any part.
 *
 * Errors:  KC_ERR_ARG     bytes is 0
 *          KC_ERR_ABSENT  some byte of it is not allocated
 *          KC_ERR_NOMEM   it splits a run and there is no slot left for the second half
 *          KC_ERR_STATE   the map is closed
 * Cost:    O(taken ranges)
 */
KC_NODISCARD kc_status_t kc_early_free(struct kc_early *e, kc_pa_t base, uint64_t bytes);

/**
 * Take a certain range, as one of the boot kinds inside RAM, by the rules of kc_early_init().
 *
 * Errors:  KC_ERR_ARG     r is empty, or kind is RAM, MMIO or unknown
 *          KC_ERR_RANGE   r wraps or does not lie wholly in RAM
 *          KC_ERR_ALIGN   misaligned for its kind
 *          KC_ERR_EXISTS  it meets what is allocated, or what its kind may not overlap
 *          KC_ERR_NOMEM   no slot is left to note it
 *          KC_ERR_STATE   the map is closed
 * Cost:    O(taken ranges)
 */
KC_NODISCARD kc_status_t kc_early_reserve(struct kc_early *e, kc_pa_range_t r, uint32_t kind);

/* ---- queries: also on a closed map ---------------------------------------------------------- */

/**
 * Next run of whole free pages, in ascending order. Start with *cursor = 0; between calls the map
 * must not change. False at the end, *out untouched.
 *
 * Cost: O(1) amortised over a walk
 */
KC_NODISCARD bool kc_early_next_free(const struct kc_early *e, uint32_t *cursor,
                                     kc_pa_range_t *out);

/** Next run of RAM, in ascending order; touching boot ranges are one run. */
KC_NODISCARD bool kc_early_next_ram(const struct kc_early *e, uint32_t *cursor, kc_pa_range_t *out);

/** Next taken range, in ascending order, with its kind; exact to the byte. */
KC_NODISCARD bool kc_early_next_taken(const struct kc_early *e, uint32_t *cursor,
                                      kc_pa_range_t *out, uint32_t *kind);

/** Bytes of RAM; and of those, bytes that are taken or allocated. */
uint64_t kc_early_ram_bytes(const struct kc_early *e);
uint64_t kc_early_taken_bytes(const struct kc_early *e);

/** True after a successful kc_early_init() and before kc_early_close(). */
bool kc_early_is_open(const struct kc_early *e);

/* ---- check ---------------------------------------------------------------------------------- */

/**
 * Walk the whole map.
 *
 * where   out, may be NULL: the first broken invariant and where; invariant 0 if none is
 *
 * Errors:  KC_ERR_CORRUPT  an invariant is broken
 * Cost:    O(ranges)
 */
KC_NODISCARD kc_status_t kc_early_check(const struct kc_early *e, struct kc_early_fault *where);

KC_EXTERN_C_END

#endif
