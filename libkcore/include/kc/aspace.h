/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/aspace.h: address spaces: areas of input addresses, their tables, and an ASID.
 *
 * An address space is a sorted set of *areas* (reserved ranges with guard pages about them) over
 * one struct kc_pt. Nothing is mapped outside an area. A user space owns its tree and takes an ASID
 * from a struct kc_asids when it is activated; the kernel's space borrows the kernel's tree.
 *
 * Addresses are kc_ia_t; whoever owns the space makes them from its kind with kc_ia_of_uva() or
 * kc_ia_of_va() below, the only place where that is done.
 *
 * Memory behind an area is either the caller's (kc_aspace_map(): the space never frees it) or the
 * space's own (kc_aspace_map_new() and lazy areas: zeroed frames, freed when unmapped, always after
 * the invalidation is complete). For after the MMU is on.
 */
#ifndef KC_ASPACE_H
#define KC_ASPACE_H

#include <kc/pt.h>

KC_EXTERN_C_BEGIN

/* The owner of a space turns its addresses into input addresses and back. */
KC_INLINE kc_ia_t kc_ia_of_uva(kc_uva_t a)
{
    return kc_ia(kc_uva_raw(a));
}
KC_INLINE kc_uva_t kc_uva_of_ia(kc_ia_t a)
{
    return kc_uva(kc_ia_raw(a));
}
KC_INLINE kc_ia_t kc_ia_of_va(kc_va_t a)
{
    return kc_ia(kc_va_raw(a));
}
KC_INLINE kc_va_t kc_va_of_ia(kc_ia_t a)
{
    return kc_va(kc_ia_raw(a));
}

/* ---- ASIDs ---------------------------------------------------------------------------------- */

#define KC_ASID_BITS_MAX 16u

struct kc_aspace;

/*
 * Hands out ASIDs in generations. ASID 0 belongs to the empty root, which every CPU runs under
 * while no user space is active on it. When all are used, a rollover starts a new generation: all
 * ASIDs but those of spaces that run on some CPU become free, and every TLB is invalidated before
 * one is given again. Private member by member; placed by the caller; 8 KiB.
 */
struct kc_asids {
    struct kc_lock lock;
    uint64_t empty_ttbr;
    uint32_t count;      /* ASIDs there are, ASID 0 included */
    uint32_t next;       /* where the search goes on */
    uint64_t generation; /* starts at 1 */
    uint64_t rollovers;
    struct kc_aspace *running[KC_CPUS_MAX]; /* space that each CPU is in; NULL: the empty root */
    uint64_t used[(1u << KC_ASID_BITS_MAX) / 64];
};

/**
 * Prepare the ASIDs of a machine.
 *
 * asid_bits    8 or 16; any number from 4 to 16, so that tests see rollovers. 4 bits hold more
 * ASIDs than there are CPUs, so that a rollover always frees some empty_root   a zeroed page,
 * aligned to the granule: a root table that maps nothing. The caller's, and in use until no CPU
 * runs under these ASIDs
 *
 * Errors:  KC_ERR_ARG    asid_bits outside its limits
 *          KC_ERR_ALIGN  empty_root is not aligned
 */
KC_NODISCARD kc_status_t kc_asids_init(struct kc_asids *a, uint32_t asid_bits, kc_pa_t empty_root);

/* ---- spaces --------------------------------------------------------------------------------- */

enum kc_aspace_kind {
    KC_ASPACE_KERNEL,
    KC_ASPACE_USER
};

enum kc_area_backing {
    KC_AREA_EMPTY,   /* reserved, nothing mapped yet */
    KC_AREA_FOREIGN, /* the caller's memory */
    KC_AREA_OWN,     /* the space's frames */
    KC_AREA_DEVICE   /* device registers */
};

#define KC_AREA_LAZY 0x1u /* frames appear at the first access (kc_aspace_fault()) */

/* One reserved range. Read by callers through kc_aspace_find(); written by the space alone. */
struct kc_area {
    uint64_t base;          /* first usable byte */
    uint64_t bytes;         /* usable bytes */
    uint64_t guard_bytes;   /* never mapped, on each side */
    struct kc_pt_attr attr; /* of a lazy area */
    uint8_t backing;        /* enum kc_area_backing; one kind for the whole area */
    uint8_t flags;          /* KC_AREA_* */
};

struct kc_aspace_config {
    enum kc_aspace_kind kind;
    const char *name;            /* static storage */
    struct kc_frames *frames;    /* tables of a user space, and memory of its own */
    struct kc_asids *asids;      /* user spaces; NULL for the kernel's */
    struct kc_a64_format format; /* user spaces; the kernel's has its tree's */
    struct kc_pt *kernel_pt;     /* the kernel's tree, which outlives the space; NULL for users */
    kc_ia_t base; /* lowest and number of bytes that areas may take, guards included */
    uint64_t bytes;
    struct kc_area *areas; /* array of the caller's, for as long as the space lives */
    uint32_t area_max;
};

/* Private member by member; placed by the caller. */
struct kc_aspace {
    struct kc_lock lock; /* rank KC_RANK_ASPACE; covers areas and what is mapped in them */
    struct kc_pt *pt;
    struct kc_pt own_pt;
    struct kc_frames *frames;
    struct kc_asids *asids;
    const char *name;
    struct kc_area *areas; /* sorted by base */
    uint32_t area_max;
    uint32_t area_count;
    uint64_t base;
    uint64_t bytes;
    uint64_t own_frames; /* frames of its own that are mapped */
    uint64_t generation; /* of asid; 0: never had one */
    uint32_t asid;
    uint32_t kind;
    uint32_t running; /* CPUs it is active on */
    bool ready;
};

/**
 * Make an empty space.
 *
 * Errors:  KC_ERR_ARG    a member is missing or does not go with the kind; area_max is 0
 *          KC_ERR_ALIGN  base or bytes is not a multiple of the granule
 *          KC_ERR_RANGE  they leave the half of the format
 *          KC_ERR_NOMEM  no page for the root table; and what kc_pt_init() says of the format
 */
KC_NODISCARD kc_status_t kc_aspace_init(struct kc_aspace *as,
                                        const struct kc_aspace_config *config);

/**
 * Give everything back: areas, own frames, tables, ASID.
 *
 * The ASID is invalidated on all CPUs, and that is complete, before its number, a frame or a table
 * page can be given to anybody else. The kernel's space unmaps its areas and leaves the tree.
 *
 * Errors:  KC_ERR_STATE  active on some CPU, or not initialised; nothing is done then
 * Cost:    O(mapped pages + tables)
 */
KC_NODISCARD kc_status_t kc_aspace_fini(struct kc_aspace *as);

/* What to reserve. */
struct kc_aspace_request {
    bool fixed;             /* at `at`, else wherever there is room */
    kc_ia_t at;             /* first usable byte; only if fixed */
    uint64_t bytes;         /* usable bytes, a multiple of the granule, not 0 */
    uint64_t align;         /* of the first usable byte; a power of two, or 0 for the granule */
    uint64_t guard_bytes;   /* on each side, a multiple of the granule; 0 for none */
    uint8_t flags;          /* KC_AREA_* */
    struct kc_pt_attr attr; /* of a lazy area; else ignored */
};

/**
 * Reserve an area. Nothing is mapped. Guards of neighbours may not overlap.
 *
 * out   first usable byte; untouched on error
 *
 * Errors:  KC_ERR_ARG     bytes is 0, align is no power of two, unknown flags, bad attr (lazy)
 *          KC_ERR_PERM    attr asks for W and X (lazy)
 *          KC_ERR_ALIGN   bytes, guard_bytes or at is no multiple of the granule, at none of
 *                         align
 *          KC_ERR_RANGE   fixed: outside the space
 *          KC_ERR_EXISTS  fixed: overlaps an area or its guards
 *          KC_ERR_NOMEM   no gap is long enough
 *          KC_ERR_QUOTA   area_max areas exist
 * Cost:    O(areas)
 */
KC_NODISCARD kc_status_t kc_aspace_reserve(struct kc_aspace *as, const struct kc_aspace_request *rq,
                                           kc_ia_t *out);

/**
 * Unmap whatever an area holds and forget the area.
 *
 * ia   its first usable byte
 *
 * Errors:  KC_ERR_ABSENT  no area begins there
 */
KC_NODISCARD kc_status_t kc_aspace_release(struct kc_aspace *as, kc_ia_t ia);

/**
 * Map memory of the caller's in one area.
 *
 * attr   user spaces take only KC_PT_USER, not global; the kernel's only without, global. Device
 *        types make the area a device area
 *
 * Owner:   the caller keeps the memory and must not reuse it before it is unmapped here
 * Errors:  KC_ERR_ABSENT  ia is in no area
 *          KC_ERR_SPAN    the range leaves the area (guards included)
 *          KC_ERR_STATE   the area holds memory of another backing, or is lazy
 *          KC_ERR_PERM    attr does not go with the space; and what kc_pt_map() says
 */
KC_NODISCARD kc_status_t kc_aspace_map(struct kc_aspace *as, kc_ia_t ia, kc_pa_t pa, uint64_t bytes,
                                       struct kc_pt_attr attr);

/**
 * Map zeroed frames of the space's own.
 *
 * Errors: as kc_aspace_map(); KC_ERR_NOMEM: frames or tables ran out, nothing is mapped then
 */
KC_NODISCARD kc_status_t kc_aspace_map_new(struct kc_aspace *as, kc_ia_t ia, uint64_t bytes,
                                           struct kc_pt_attr attr);

/**
 * Reserve an area (with one guard page on each side) and map device registers in it: Device-nGnRE,
 * read and write, never executable, with user permission in a user space.
 *
 * pa, bytes   any; the mapping covers the pages that hold them
 * out         address of the byte at pa; untouched on error
 *
 * Errors:  KC_ERR_ARG  bytes is 0;  KC_ERR_RANGE  pa + bytes wraps or exceeds pa_bits; and what
 *          kc_aspace_reserve() and kc_aspace_map() say. Undone by kc_aspace_release() of the page
 */
KC_NODISCARD kc_status_t kc_aspace_map_device(struct kc_aspace *as, kc_pa_t pa, uint64_t bytes,
                                              kc_ia_t *out);

/**
 * Unmap part of one area. Own frames are freed, after the invalidation is complete.
 *
 * In an area of own frames pages that are not there (lazy ones never touched) are passed over;
 * elsewhere every page must be mapped. An area unmapped as a whole takes any backing again.
 *
 * Errors: KC_ERR_ABSENT, KC_ERR_SPAN as kc_aspace_map(), and what kc_pt_unmap() says
 */
KC_NODISCARD kc_status_t kc_aspace_unmap(struct kc_aspace *as, kc_ia_t ia, uint64_t bytes);

/** Change attributes of mapped pages of one area. Errors: as above, and what kc_pt_protect() says.
 */
KC_NODISCARD kc_status_t kc_aspace_protect(struct kc_aspace *as, kc_ia_t ia, uint64_t bytes,
                                           struct kc_pt_attr attr);

/** Copy of the area whose usable bytes or guards hold ia; false if there is none. */
KC_NODISCARD bool kc_aspace_find(struct kc_aspace *as, kc_ia_t ia, struct kc_area *out);

/* ---- faults --------------------------------------------------------------------------------- */

enum kc_aspace_verdict {
    KC_FAULT_RETRY,     /* the access is allowed now: mapped meanwhile, or just made present */
    KC_FAULT_NOT_ABORT, /* the syndrome is no translation, access flag or permission fault */
    KC_FAULT_NO_AREA,   /* address in no area */
    KC_FAULT_GUARD,     /* in a guard page */
    KC_FAULT_UNMAPPED,  /* in an area, but nothing is mapped */
    KC_FAULT_DENIED,    /* mapped without the permission the access needs */
    KC_FAULT_NOMEM,     /* a lazy area's page could not be had */
    KC_FAULT_VERDICT_COUNT
};

/**
 * Decide about an abort, and make a page of a lazy area present.
 *
 * s     decoded ESR_EL1
 * far   FAR_EL1
 *
 * Cost:    O(log areas), one walk, at most one frame and the tables it needs
 * Context: from the exception path of a CPU that holds no lock of rank KC_RANK_ASPACE or below
 */
KC_NODISCARD enum kc_aspace_verdict kc_aspace_fault(struct kc_aspace *as,
                                                    const struct kc_a64_syndrome *s, uint64_t far);

/** Name of a verdict for people, static storage; "?" for an unknown one. */
const char *kc_aspace_verdict_name(enum kc_aspace_verdict v);

/* What a space believes about an address. */
enum kc_aspace_place {
    KC_PLACE_OUTSIDE,     /* not in the window that areas may take */
    KC_PLACE_FREE,        /* in no area */
    KC_PLACE_GUARD_BELOW, /* in the guard below `area`: what overflows downwards, as stacks do */
    KC_PLACE_GUARD_ABOVE,
    KC_PLACE_AREA, /* in the usable bytes of `area` */
    KC_PLACE_COUNT
};
struct kc_aspace_belief {
    const char *space; /* its name */
    uint8_t place;     /* enum kc_aspace_place */
    struct kc_area area;
};

/**
 * Ask without the lock: for a CPU that is about to stop, and may hold it. What other CPUs change
 * meanwhile may be read half changed; nothing outside the space's own memory is read.
 *
 * Returns false, with *out untouched, if the space is not initialised.
 */
KC_NODISCARD bool kc_aspace_ask(const struct kc_aspace *as, kc_ia_t ia,
                                struct kc_aspace_belief *out);

/* ---- activation ----------------------------------------------------------------------------- */

/**
 * Run this CPU in a user space: give it an ASID of the present generation (a rollover invalidates
 * all TLBs first, by VMALLE1IS and DSB ISH), make the tree live, write TTBR0_EL1, ISB.
 *
 * The new root and the new ASID are in one register (TCR_EL1.A1 = 0), so that no walk can pair one
 * with the other's predecessor.
 *
 * Errors:  KC_ERR_ARG    not a user space
 *          KC_ERR_STATE  not initialised, or this CPU is in a space already: deactivate first
 * Context: the CPU cannot migrate meanwhile
 */
KC_NODISCARD kc_status_t kc_aspace_activate(struct kc_aspace *as);

/**
 * Run this CPU under the empty root and ASID 0: write TTBR0_EL1, ISB. Translations of the space may
 * stay in the TLB under its ASID; they are correct until kc_aspace_fini() invalidates them.
 *
 * Errors:  KC_ERR_STATE  this CPU is not in that space
 */
KC_NODISCARD kc_status_t kc_aspace_deactivate(struct kc_aspace *as);

/* ---- check ---------------------------------------------------------------------------------- */

struct kc_aspace_finding {
    const char *invariant; /* "I1" to "I5" of space/aspace.c, or of space/pt.c; static storage */
    const char *text;
    uint64_t ia;
};

/**
 * Judge every invariant of a space, its tree included.
 *
 * Errors:  KC_ERR_CORRUPT  *finding (may be NULL) says what and where
 * Cost:    O(areas + tables x entries); takes no lock of the space: the caller keeps it still
 */
KC_NODISCARD kc_status_t kc_aspace_check(struct kc_aspace *as, struct kc_aspace_finding *finding);

KC_EXTERN_C_END

#endif
