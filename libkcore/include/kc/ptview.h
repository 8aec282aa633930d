/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/ptview.h: reading translation tables that one does not trust.
 *
 * A *view* is a root, the register fields that say how to read it, and the RAM that may be read. A
 * walk through it says what the walker meets at each level; an iteration gives runs of equal
 * attributes; a dump prints them. Unlike kc/pt.h, which knows its own trees, it takes whatever it
 * meets: any descriptor value, tables outside RAM, loops. It stores nothing, takes no lock and
 * allocates nothing, so that it serves a kernel that has just died.
 *
 * Tables that change meanwhile are read as they are at each load: the answer may then be a mixture,
 * and stays inside RAM all the same.
 */
#ifndef KC_PTVIEW_H
#define KC_PTVIEW_H

#include <kc/boot.h>
#include <kc/pt.h>

KC_EXTERN_C_BEGIN

/* Where tables are, and how to read them. A value; made by one of the functions below or by hand.
 */
struct kc_ptview {
    struct kc_a64_format format; /* any granule of stage 1 */
    kc_pa_t root;
    uint64_t mair;                   /* MAIR_EL1, for the names of memory types */
    bool wxn;                        /* SCTLR_EL1.WXN */
    bool no_hierarchy;               /* TCR_EL1.HPDn */
    const struct kc_boot_info *info; /* its RAM, without NOMAP, is all that is read */
};

/** View of a tree of this library, under kc_a64_mair() and WXN. */
void kc_ptview_of(const struct kc_pt *pt, const struct kc_boot_info *info, struct kc_ptview *out);

/**
 * View of the half that these register values describe.
 *
 * ttbr   TTBR0_EL1, or TTBR1_EL1 if upper; any value
 *
 * Returns what TCR_EL1 says of that half; *out is filled only if that is KC_A64_HALF_ON.
 */
enum kc_a64_half_state kc_ptview_of_regs(uint64_t sctlr, uint64_t tcr, uint64_t mair, uint64_t ttbr,
                                         bool upper, const struct kc_boot_info *info,
                                         struct kc_ptview *out);

/* ---- one walk ------------------------------------------------------------------------------- */

enum kc_ptview_end {
    KC_PTVIEW_LEAF,      /* at a block or page; its access flag may be 0 */
    KC_PTVIEW_OUTSIDE,   /* before it began: the address is not in the half */
    KC_PTVIEW_INVALID,   /* at a descriptor with bit 0 clear */
    KC_PTVIEW_RESERVED,  /* at one that does not exist at its level */
    KC_PTVIEW_TOO_LARGE, /* root, next table or output address exceeds the output size */
    KC_PTVIEW_NO_RAM,    /* at a table that is not in RAM, and was not read */
    KC_PTVIEW_END_COUNT
};

/* One level. */
struct kc_ptview_step {
    kc_pa_t at;    /* of the descriptor */
    uint64_t desc; /* 0 if it was not read */
    uint8_t level;
    uint8_t kind; /* enum kc_a64_kind */
    bool is_read;
};

struct kc_ptview_walk {
    uint8_t end;   /* enum kc_ptview_end */
    uint8_t level; /* where it ended */
    uint8_t step_count;
    struct kc_ptview_step step[4];
    struct kc_a64_limits by; /* hierarchical attributes and WXN; pan is false */
    struct kc_a64_leaf leaf; /* only at a LEAF; fields as they stand, out included */
    kc_pa_t pa;              /* only at a LEAF: what the address translates to, to the byte */
    uint64_t span;           /* bytes that the last descriptor covers; 0 if OUTSIDE */
};

/** Walk for one input address. Cost: at most four loads. */
void kc_ptview_walk(const struct kc_ptview *v, uint64_t ia, struct kc_ptview_walk *out);

/** The class of fault that the walk alone gives: NONE, TRANSLATION, ACCESS_FLAG, ADDRESS_SIZE, or
    EXTERNAL_WALK where there is no RAM. */
enum kc_a64_fault kc_ptview_fault(const struct kc_ptview_walk *w);

/* ---- runs ----------------------------------------------------------------------------------- */

/* Input addresses that translate to consecutive memory with equal attributes, or that are wrong in
   the same way. */
struct kc_ptview_run {
    uint64_t ia;
    uint64_t bytes;     /* 0: nothing, see cut */
    uint8_t end;        /* enum kc_ptview_end, never INVALID */
    bool cut;           /* the reads ran out here: there may be more */
    uint32_t leaves[4]; /* entries of each level */
    kc_pa_t pa;         /* LEAF: of the first byte */
    struct kc_a64_leaf leaf;
    struct kc_a64_limits by;
};

/* Where an iteration stands. */
struct kc_ptview_cursor {
    uint64_t next;       /* private */
    uint64_t reads_left; /* private */
    bool done;           /* private */
};

/**
 * Start at ia, or at the bottom of the half if ia is below it.
 *
 * reads   descriptors to read at most: tables may loop, and then cover 2^36 entries
 */
struct kc_ptview_cursor kc_ptview_from(const struct kc_ptview *v, uint64_t ia, uint64_t reads);

/**
 * Next run. False at the end of the half, or when the reads have run out; the last run before that
 * then has `cut`, and *out may be an empty one, of 0 entries, if there was nothing to go with it.
 */
KC_NODISCARD bool kc_ptview_each(const struct kc_ptview *v, struct kc_ptview_cursor *c,
                                 struct kc_ptview_run *out);

/* ---- in words ------------------------------------------------------------------------------- */

/** Takes text, a line or a part of one. */
typedef void (*kc_ptview_sink_fn)(void *ctx, const char *text, size_t n);

/* What a dump may take. */
struct kc_ptview_bounds {
    uint64_t lines; /* of runs */
    uint64_t reads; /* of descriptors */
};

/**
 * Print the view: a head line, then a line a run.
 *
 *     0xffff000080000000-0xffff0000801fffff     2 MiB  0x000080000000  EL1 r-x  EL0 ---  normal ...
 *
 * Returns the number of runs printed. Context: any where the sink may be called; 600 bytes of stack
 */
uint64_t kc_ptview_dump(const struct kc_ptview *v, struct kc_ptview_bounds bounds,
                        kc_ptview_sink_fn sink, void *ctx);

KC_EXTERN_C_END

#endif
