/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * scenario.h: protocol stories. Each is one tiny program for the simulated machine, without the
 * kernel and without the library's tables: it writes descriptors through the seam and goes through
 * a protocol, rightly (good_) or with one step left out (bad_). The first line of its file is the
 * verdict that the monitors must reach:
 *
 *     expect: clean                      no report at all, the cost lint (T30) apart
 *     expect: lint-free                  no report at all
 *     expect: T16                        reports of this row, and of no other
 *     expect: T16 also: T6               the same; reports of T6 as well are right
 *
 * A story runs on CPU 0 and perhaps 1, which take turns (stage_turn), so that the order of steps is
 * the one that is written down, whatever the seed. They also serve as plants: ksim runs the bad_ of
 * a row on scratch memory at the end of RAM once its workload is over.
 */
#ifndef TESTS_PROTOCOL_SCENARIO_H
#define TESTS_PROTOCOL_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

#include <kc/plat.h>

#define STAGE_CPUS   2u
#define STAGE_BYTES  (UINT64_C(256) * 1024) /* at the end of RAM */
#define STAGE_RAM    (UINT64_C(8) << 20)    /* text, a block, and the scratch memory apart */
#define STAGE_ASID   5u
#define STAGE_FRAMES 8u

/* Where the stage's pages appear: one level 3 table, slots 0 to 7 mapped at the start. */
#define STAGE_VA(slot) (UINT64_C(0x40200000) + 4096u * (uint64_t)(slot))
#define STAGE_BLOCK_VA UINT64_C(0x40400000) /* one 2 MiB block, level 2 */
#define STAGE_BLOCK_SZ UINT64_C(0x200000)

/* Stage 1 descriptor bits (DDI 0487, D8.3.2), for EL1 data, inner shareable, not global. */
#define D_TABLE  UINT64_C(0x3)
#define D_PAGE   UINT64_C(0x60000000000f03) /* AF, SH 0b11, nG, PXN and UXN, read and write */
#define D_BLOCK  UINT64_C(0x60000000000f01)
#define D_NG     (UINT64_C(1) << 11)
#define D_PXN    (UINT64_C(1) << 53)
#define D_CONT   (UINT64_C(1) << 52)
#define D_USER   (UINT64_C(1) << 6)
#define D_RO     (UINT64_C(1) << 7)
#define D_DEVICE (UINT64_C(1) << 2) /* attribute index 1 */

struct stage {
    uint64_t memory; /* first byte of the scratch memory */
    uint64_t next;   /* next page not handed out */
    uint64_t text;   /* first 2 MiB of RAM: the pretended text */
    uint64_t block;  /* 2 MiB below the scratch memory, of which nobody makes a table */
    uint64_t root, level1, level2, level3;
    uint64_t frame[STAGE_FRAMES]; /* what the slots map */
    uint32_t turn;
    uint8_t other; /* its address owns the tables of stage_other_root() */
    uint64_t lock; /* stands for the lock of these tables, in notes */
};

typedef void scenario_fn(struct stage *s);

struct scenario {
    const char *name;             /* that of its file */
    const char *row;              /* "clean", or the row that must be reported */
    const char *missing;          /* words that the named step must contain; NULL where clean */
    uint32_t features;            /* enum machine_feature beyond the default ones */
    scenario_fn *cpu[STAGE_CPUS]; /* NULL: that CPU stays off */
};

#define SCENARIO(name_, ...)                       \
    extern const struct scenario scenario_##name_; \
    const struct scenario scenario_##name_ = {.name = #name_, __VA_ARGS__}

/* ---- all of them ---------------------------------------------------------------------------- */

/** The i-th scenario, or NULL. */
const struct scenario *scenario_at(uint32_t i);

/** By name. */
const struct scenario *scenario_named(const char *name);

/** The fault to plant for a row ("T16"): its first bad_ scenario; NULL if the row has none. */
const struct scenario *scenario_find(const char *row);

/**
 * Run one on the machine that exists, with the monitor that is attached: resets the CPUs it needs,
 * uses the last STAGE_BYTES of RAM.
 *
 * Returns false, with a line on standard error, if the machine is too small for it or the story did
 * not come to its end.
 */
bool scenario_plant(const struct scenario *s);

/* ---- what stories are told with -------------------------------------------------------------- */

/** Wait until it is turn n (from 0); the end of a turn is stage_next(). */
void stage_turn(struct stage *s, uint32_t n);
void stage_next(struct stage *s);

/** A fresh zeroed page of the scratch memory, noted as a frame that was handed out. */
uint64_t stage_page(struct stage *s);

/** Physical address of the descriptor of a slot. */
uint64_t stage_desc(const struct stage *s, uint32_t slot);

/** Physical addresses of the level 2 descriptors above the slots and of the block. */
uint64_t stage_table_desc(const struct stage *s);
uint64_t stage_block_desc(const struct stage *s);

/** Another root, with tables of its own, that maps the pretended text alone. */
uint64_t stage_other_root(struct stage *s);

/** Put a root and its ASID into TTBR0, and ISB. */
void stage_switch(uint64_t root, uint64_t asid);

/** Operand of a TLBI by address. */
uint64_t stage_operand(uint64_t va, uint64_t asid);

/** One 8-byte access on this CPU; false if it faulted. */
bool stage_read(uint64_t va);
bool stage_write(uint64_t va);

/** The steps. */
void put(uint64_t desc_pa, uint64_t value);
void barrier(enum kc_barrier kind);
void tlbi(enum kc_tlbi op, uint64_t operand);
void lock(struct stage *s);
void unlock(struct stage *s);
void free_frame(uint64_t pa);
void free_table(struct stage *s, uint64_t pa);

/** break (store 0), DSB ISHST, TLBI VALE1IS, DSB ISH: the whole protocol for one slot. */
void unmap(struct stage *s, uint32_t slot);

#endif
