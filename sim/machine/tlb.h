/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tlb.h: what a translation lookaside buffer of the simulated machine holds, as data.
 *
 * One entry is the outcome of one walk, or (leaf false) of the first levels of one: a cached
 * intermediate level, which later walks of the same addresses may start from. It carries every
 * descriptor that the walk read, with the value that it saw, so that anyone can tell whether, and
 * through which store, the entry has become stale.
 *
 * Entries come about on demand (an access missed) or by capture: just before a valid descriptor is
 * overwritten, each CPU that may hold a walk through it is given one (machine.h, policy eager).
 * They go by TLBI, once completed, and under the random policy also by eviction.
 *
 * Not here: how entries are found and kept (tlb.c).
 */
#ifndef SIM_TLB_H
#define SIM_TLB_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_WALK_STEPS_MAX 5u /* levels -1 to 3 */

/* Permissions of a leaf, hierarchical attributes and WXN applied, PAN not (it belongs to PSTATE).
 */
enum sim_perm {
    SIM_PERM_R1 = 1u << 0, /* EL1 may read */
    SIM_PERM_W1 = 1u << 1, /* EL1 may write */
    SIM_PERM_X1 = 1u << 2, /* EL1 may execute */
    SIM_PERM_R0 = 1u << 3, /* EL0 may read */
    SIM_PERM_W0 = 1u << 4,
    SIM_PERM_X0 = 1u << 5
};

enum sim_fill {
    SIM_FILL_DEMAND,  /* an access needed it */
    SIM_FILL_CAPTURE, /* the machine's right: the walk was valid until now, so it may be held */
    SIM_FILL_PREFETCH /* random policy: a speculative walk */
};

/* One descriptor that a walk read. */
struct sim_walk_step {
    uint64_t desc_pa; /* physical address of the descriptor */
    uint64_t value;   /* what the walker saw */
    uint64_t since;   /* sequence number of the store of that value; 0: before the machine looked */
    int32_t level;    /* -1 to 3 */
    uint32_t unused;
};

struct sim_tlb_entry {
    uint64_t va;   /* first input address, aligned to size */
    uint64_t size; /* bytes that the entry covers (contiguous bit: of one descriptor only) */
    uint64_t pa;   /* leaf: output address of va; intermediate: the next table's page */
    uint64_t root; /* physical address of the root table of the walk */
    uint64_t seq;  /* sequence number when filled (sim_seq()); of this entry alone */
    uint64_t tick; /* virtual time when filled */
    uint16_t asid; /* the ASID that the walk ran under; compared only where not global */
    uint8_t half;  /* 0: TTBR0, 1: TTBR1 */
    bool global;   /* nG was 0 at the leaf; false for intermediate entries */
    bool leaf;
    bool contiguous;
    bool stale;        /* some descriptor of the walk no longer holds the value seen */
    uint8_t level;     /* 0 to 3: of the last descriptor read */
    uint8_t perm;      /* enum sim_perm, leaf only */
    uint8_t memattr;   /* MAIR attribute byte, leaf only */
    uint8_t shareable; /* SH field, leaf only */
    uint8_t fill;      /* enum sim_fill */
    uint32_t step_count;
    struct sim_walk_step step[SIM_WALK_STEPS_MAX];
};

/** Called for one entry; returns false to stop. It must not change the machine. */
typedef bool (*sim_tlb_fn)(uint32_t cpu, const struct sim_tlb_entry *e, void *arg);

/*
 * Queries. Each calls fn for the matching entries of one CPU (SIM_ALL_CPUS: of every CPU), leaf and
 * intermediate, and returns how many it called fn for. Cost: the entries looked at; *_stale looks
 * at stale entries only, which are few in a correct kernel.
 */
#define SIM_ALL_CPUS UINT32_MAX

uint32_t sim_tlb_each(uint32_t cpu, sim_tlb_fn fn, void *arg);

/** Entries that are stale: what a missing or incomplete TLBI leaves behind. */
uint32_t sim_tlb_each_stale(uint32_t cpu, sim_tlb_fn fn, void *arg);

/** Entries that translate va under that ASID (global entries match any). */
uint32_t sim_tlb_each_va(uint32_t cpu, uint64_t va, uint16_t asid, sim_tlb_fn fn, void *arg);

/** Entries that were filled through the descriptor at desc_pa. */
uint32_t sim_tlb_each_desc(uint32_t cpu, uint64_t desc_pa, sim_tlb_fn fn, void *arg);

/** Leaf entries whose output meets pa..pa+size-1, and intermediate ones whose table does. */
uint32_t sim_tlb_each_page(uint32_t cpu, uint64_t pa, uint64_t size, sim_tlb_fn fn, void *arg);

#endif
