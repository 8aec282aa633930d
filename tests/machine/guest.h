/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest.h: a little software of the tests' own that runs on the simulated machine: it writes its
 * tables by hand, in descriptors spelt out as numbers from the Arm manual.
 */
#ifndef TESTS_MACHINE_GUEST_H
#define TESTS_MACHINE_GUEST_H

#include <stdbool.h>

#include "machine.h"

#define GUEST_PAGE   UINT64_C(4096)
#define GUEST_KVA    UINT64_C(0xffff000400000000) /* pages mapped one by one */
#define GUEST_TABLES (SIM_RAM_BASE + UINT64_C(0x10000))

/* Descriptor bits, DDI 0487 D8.3. */
#define D_TABLE   UINT64_C(3)
#define D_PAGE    UINT64_C(3)
#define D_BLOCK   UINT64_C(1)
#define D_ATTR(n) ((uint64_t)(n) << 2)
#define D_AP(n)   ((uint64_t)(n) << 6)
#define D_ISH     (UINT64_C(3) << 8)
#define D_AF      (UINT64_C(1) << 10)
#define D_NG      (UINT64_C(1) << 11)
#define D_PXN     (UINT64_C(1) << 53)
#define D_UXN     (UINT64_C(1) << 54)
#define D_RW      (D_AF | D_ISH | D_PXN | D_UXN)
#define D_RO      (D_RW | D_AP(2))

/* TCR_EL1: 48-bit halves, 4 KiB granules, 48-bit addresses, 16-bit ASIDs. */
#define GUEST_TCR \
    (UINT64_C(16) | UINT64_C(16) << 16 | UINT64_C(2) << 30 | UINT64_C(5) << 32 | UINT64_C(1) << 36)
#define GUEST_MAIR UINT64_C(0x44ff) /* 0: Normal write-back; 1: Normal non-cacheable */

/* Where things are, shared by all CPUs. */
struct guest {
    uint64_t root1, root0; /* roots of both halves */
    uint64_t l3;           /* level 3 table of GUEST_KVA */
    uint64_t l3_user;      /* level 3 table of user address GUEST_UVA */
    uint64_t counter_pa;
};
#define GUEST_UVA UINT64_C(0x40000000)

/** Write tables: linear map of the first GiB of RAM by blocks, one level 3 table for GUEST_KVA. */
void guest_tables(struct guest *g);

/** MMU on, on this CPU. */
void guest_mmu_on(const struct guest *g);

/** One page of GUEST_KVA, at index i; with the steps of the protocol. */
void guest_map(const struct guest *g, uint32_t i, uint64_t pa, uint64_t attributes);
void guest_unmap(const struct guest *g, uint32_t i, bool tlbi);

uint64_t guest_load(uint64_t va);
void guest_store(uint64_t va, uint64_t value);

/** The same through a pointer, whatever its alignment. */
uint64_t guest_load_from(const void *p);
void guest_store_to(void *p, uint64_t value);
void guest_copy_to(void *to, const void *from, size_t n);

/** Add `rounds` times 1 to the counter under a lock of its own; relaxes while it waits. */
void guest_count(const struct guest *g, uint32_t rounds);

/* How a counter is counted that the handler of an interrupt counts, too. */
enum guest_tally {
    TALLY_PLAIN,    /* load, add, store */
    TALLY_MASKED,   /* the same with interrupts masked around it */
    TALLY_ADD,      /* one atomic addition */
    TALLY_EXCHANGE, /* load, then exchange if it is still the same, until it is */
    TALLY_WAYS
};

/** Add `rounds` times 1 to *counter. No seam call but those that mask. */
void guest_tally(uint64_t *counter, uint32_t rounds, enum guest_tally how);

/** Set word[0] to word[n - 1] to 1, one after the other, without a seam call. */
void guest_mark(uint64_t *word, uint32_t n);

/** Load *word until it is not 0, without a seam call. */
void guest_spin(const uint64_t *word);

/* A program at EL0 and its pages, from GUEST_UVA on: text, data, nothing, stack. */
enum guest_deed {
    DEED_WORKS, /* calls 7 with data it wrote; stops with what the answer gave */
    DEED_WRITES_TEXT,
    DEED_READS_NOTHING, /* and, resumed, reads on: stops with what it read */
    DEED_READS_KERNEL,  /* after a call GUEST_LOOK, in which the kernel does so */
    DEED_READS_TAGGED,  /* the same through a pointer with GUEST_TAG, where there are tags */
    DEED_READS_PRIVATE, /* a page of the lower half that EL1 alone may read */
    DEED_RUNS_DATA,
    DEED_OVERFLOWS,
    DEED_UNDEFINED,
    DEED_PRIVILEGED,
    DEED_SEAM, /* calls the kernel's seam */
    DEED_HOST, /* reads the host's memory */
    DEED_SPINS /* for ever */
};
#define GUEST_TEXT    GUEST_UVA
#define GUEST_DATA    (GUEST_UVA + GUEST_PAGE)
#define GUEST_NOTHING (GUEST_UVA + 2 * GUEST_PAGE)
#define GUEST_STACK   (GUEST_UVA + 3 * GUEST_PAGE)
#define GUEST_PRIVATE (GUEST_UVA + 5 * GUEST_PAGE)
#define GUEST_STOP    1u
#define GUEST_LOOK    2u
#define GUEST_TAG     4u

/** Map its pages. */
void guest_program_pages(const struct guest *g);

/** Page i of them at pa. */
void guest_user_page(const struct guest *g, uint32_t i, uint64_t pa, uint64_t attributes);

/** The program: x0 is its deed. It stops by call GUEST_STOP. */
void guest_program(uint64_t x0);

extern uint64_t guest_host_word;

void guest_copy(uint64_t to, uint64_t from, size_t n);

#endif
