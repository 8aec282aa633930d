/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Golden descriptors, register values and TLBI operands.
 *
 * Each was put together by hand from the bit positions that the cited page gives, not with the
 * library; the sum stands beside it so that a reader can do it again. DDI 0487 is issue J.a. "PTE"
 * values that Linux prints for the same mappings agree where it uses the same attribute index.
 */
#ifndef A64_VECTORS_H
#define A64_VECTORS_H

#include <kc/a64/regs.h>

/* ---- leaves: D8.3.1 "VMSAv8-64 descriptor formats", block and page descriptors --------------- */

struct leaf_vector {
    const char *cite;
    uint32_t level;
    struct kc_a64_leaf leaf;
    uint64_t desc;
};

static const struct leaf_vector leaf_vectors[] = {
    /* 0x8000_0000 | AF 1<<10 | SH 3<<8 | PXN 1<<53 | UXN 1<<54 | 0b11 */
    {"D8.3.1 page: kernel data, AttrIndx 0, Inner Shareable",
     3,
     {.out = 0x80000000, .sh = 3, .af = true, .pxn = true, .uxn = true},
     0x0060000080000703},
    /* 0x4020_0000 | AF | SH 3<<8 | AP[2] 1<<7 | UXN 1<<54 | 0b01 */
    {"D8.3.1 level 2 block: kernel text, read-only, executable at EL1",
     2,
     {.out = 0x40200000, .sh = 3, .af = true, .ap = 2, .uxn = true},
     0x0040000040200781},
    /* 0x1_4000_0000 | AF | SH 3<<8 | PXN | UXN | 0b01 */
    {"D8.3.1 level 1 block: 1 GiB of RAM",
     1,
     {.out = 0x140000000, .sh = 3, .af = true, .pxn = true, .uxn = true},
     0x0060000140000701},
    /* 0x0900_0000 | AttrIndx 2<<2 | SH 2<<8 | AF | PXN | UXN | 0b11 */
    {"D8.3.1 page: device registers, AttrIndx 2, Outer Shareable",
     3,
     {.out = 0x09000000, .attr_index = 2, .sh = 2, .af = true, .pxn = true, .uxn = true},
     0x006000000900060b},
    /* 0x1234_5000 | AP 3<<6 | SH 3<<8 | AF | nG 1<<11 | PXN 1<<53 | 0b11 */
    {"D8.3.1 page: user text, read-only for all, executable at EL0, nG",
     3,
     {.out = 0x12345000, .ap = 3, .sh = 3, .af = true, .not_global = true, .pxn = true},
     0x0020000012345fc3},
    /* 0x1234_6000 | AP 1<<6 | SH 3<<8 | AF | nG | PXN | UXN | 0b11 */
    {"D8.3.1 page: user data, read and write, nG",
     3,
     {.out = 0x12346000,
      .ap = 1,
      .sh = 3,
      .af = true,
      .not_global = true,
      .pxn = true,
      .uxn = true},
     0x0060000012346f43},
    /* 0xffff_ffff_f000 | 0b11: the highest page of 48 bits, every attribute 0 */
    {"D8.3.1 page: output address bits [47:12] all ones",
     3,
     {.out = 0xfffffffff000},
     0x0000fffffffff003},
    /* every single field at a value of its own:
       out 0x2000 | AttrIndx 5<<2=0x14 | NS 1<<5=0x20 | AP 2<<6=0x80 | SH 2<<8=0x200 | AF 0x400 |
       nG 0x800 | GP 1<<50 | DBM 1<<51 | Contiguous 1<<52 | PXN 1<<53 | UXN 1<<54 |
       software 0xa<<55 | 0b11
       high: 0x0004 + 0x0008 + 0x0010 + 0x0020 + 0x0040 = 0x007c; 0xa<<55 = 0x0500 */
    {"D8.3.1 page: every field",
     3,
     {.out = 0x2000,
      .attr_index = 5,
      .non_secure = true,
      .ap = 2,
      .sh = 2,
      .af = true,
      .not_global = true,
      .guarded = true,
      .dbm = true,
      .contiguous = true,
      .pxn = true,
      .uxn = true,
      .software = 0xa},
     0x057c000000002eb7},
};

/* ---- tables: D8.3.1, table descriptor -------------------------------------------------------- */

struct table_vector {
    const char *cite;
    uint32_t level;
    struct kc_a64_table table;
    uint64_t desc;
};

static const struct table_vector table_vectors[] = {
    {"D8.3.1 table: next at 0x8000_1000, no limits", 0, {.next = 0x80001000}, 0x80001003},
    /* PXNTable 1<<59 = 0x0800..., UXNTable 1<<60 = 0x1000..., APTable 3<<61 = 0x6000...,
       NSTable 1<<63 = 0x8000...: 0xf800... */
    {"D8.3.1 table: every limit",
     2,
     {.next = 0x80002000, .ap_table = 3, .uxn_table = true, .pxn_table = true, .ns_table = true},
     0xf800000080002003},
    {"D8.3.1 table: APTable[0], no EL0 access",
     1,
     {.next = 0x3000, .ap_table = 1},
     0x2000000000003003},
    {"D8.3.1 table: APTable[1], no writes", 1, {.next = 0x3000, .ap_table = 2}, 0x4000000000003003},
};

/* ---- what a walker reads: D8.3.1, descriptor type by bits [1:0] and level -------------------- */

struct kind_vector {
    uint32_t level;
    uint64_t desc;
    enum kc_a64_kind kind;
};

static const struct kind_vector kind_vectors[] = {
    {0, 0x0, KC_A64_INVALID},  {3, 0xfffffffffffffffe, KC_A64_INVALID},
    {1, 0x2, KC_A64_INVALID},  {0, 0x1, KC_A64_RESERVED}, /* no blocks at level 0 (4 KiB) */
    {1, 0x1, KC_A64_BLOCK},    {2, 0x1, KC_A64_BLOCK},
    {3, 0x1, KC_A64_RESERVED}, /* 0b01 at level 3 */
    {0, 0x3, KC_A64_TABLE},    {1, 0x3, KC_A64_TABLE},
    {2, 0x3, KC_A64_TABLE},    {3, 0x3, KC_A64_PAGE},
};

/* ---- ESR_EL1: D19.2 "ESR_EL1", ISS encoding for an exception from a Data or Instruction Abort -
 */

struct esr_vector {
    const char *cite;
    uint64_t esr;
    struct kc_a64_syndrome is; /* iss is not compared */
};

static const struct esr_vector esr_vectors[] = {
    /* EC 0x25<<26 = 0x9400_0000 | IL 1<<25 = 0x0200_0000 | WnR 1<<6 | DFSC 0b000111 */
    {"data abort, same EL, write, translation fault level 3",
     0x96000047,
     {.ec = 0x25,
      .is_abort = true,
      .is_write = true,
      .fault = KC_A64_FAULT_TRANSLATION,
      .level = 3,
      .fsc = 0x07}},
    /* EC 0x24<<26 = 0x9000_0000 | IL | DFSC 0b001111 */
    {"data abort, lower EL, read, permission fault level 3",
     0x9200000f,
     {.ec = 0x24,
      .is_abort = true,
      .from_lower = true,
      .fault = KC_A64_FAULT_PERMISSION,
      .level = 3,
      .fsc = 0x0f}},
    /* EC 0x20<<26 = 0x8000_0000 | IL | IFSC 0b000100 */
    {"instruction abort, lower EL, translation fault level 0",
     0x82000004,
     {.ec = 0x20,
      .is_abort = true,
      .is_fetch = true,
      .from_lower = true,
      .fault = KC_A64_FAULT_TRANSLATION,
      .level = 0,
      .fsc = 0x04}},
    /* EC 0x21<<26 = 0x8400_0000 | IL | IFSC 0b001110 */
    {"instruction abort, same EL, permission fault level 2",
     0x8600000e,
     {.ec = 0x21,
      .is_abort = true,
      .is_fetch = true,
      .fault = KC_A64_FAULT_PERMISSION,
      .level = 2,
      .fsc = 0x0e}},
    /* EC 0x25 | IL | WnR | CM 1<<8 | DFSC 0b000110 */
    {"cache maintenance: WnR is 1 but nothing was written",
     0x96000146,
     {.ec = 0x25,
      .is_abort = true,
      .is_maintenance = true,
      .fault = KC_A64_FAULT_TRANSLATION,
      .level = 2,
      .fsc = 0x06}},
    /* EC 0x25 | IL | EA 1<<9 | FnV 1<<10 | DFSC 0b010000 */
    {"synchronous external abort, FAR not valid",
     0x96000610,
     {.ec = 0x25,
      .is_abort = true,
      .external = true,
      .far_invalid = true,
      .fault = KC_A64_FAULT_EXTERNAL,
      .level = KC_A64_LEVEL_NONE,
      .fsc = 0x10}},
    /* EC 0x25 | IL | DFSC 0b001001 */
    {"access flag fault level 1",
     0x96000009,
     {.ec = 0x25, .is_abort = true, .fault = KC_A64_FAULT_ACCESS_FLAG, .level = 1, .fsc = 0x09}},
    /* EC 0x25 | IL | DFSC 0b110000 */
    {"TLB conflict abort",
     0x96000030,
     {.ec = 0x25,
      .is_abort = true,
      .fault = KC_A64_FAULT_CONFLICT,
      .level = KC_A64_LEVEL_NONE,
      .fsc = 0x30}},
    /* EC 0x25 | IL | DFSC 0b010110 */
    {"external abort on a walk, level 2",
     0x96000016,
     {.ec = 0x25, .is_abort = true, .fault = KC_A64_FAULT_EXTERNAL_WALK, .level = 2, .fsc = 0x16}},
    /* EC 0x15<<26 = 0x5400_0000 | IL; ISS is the immediate */
    {"SVC #7", 0x56000007, {.ec = 0x15, .from_lower = true, .level = KC_A64_LEVEL_NONE}},
};

#endif
