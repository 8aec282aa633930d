/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of the suites is no case here: because a property makes it impossible, and then a test shows
 * the property; or because it needs more than one CPU, or user memory, and then a test elsewhere is
 * the case.
 */
#include "score.h"

const struct score_excuse score_excuses[] = {
    {"Scudo", "header corruption, chunk state in the header",
     "objects have no header: neighbours lie one stride apart", "no-header"},
    {"SLUB KUnit", "next pointer of a free object clobbered",
     "a free object holds no pointer: all of them may be overwritten", "fill-free"},
    {"Scudo", "ring buffer and stack depot",
     "a report is a value of fixed size; no stacks are recorded, no memory is needed", "no-memory"},
    {"KASAN, Scudo", "match-all tag, odd and even tags",
     "no tag is 0 or 15, and neighbours differ in parity", "tags"},
    {"hardened_malloc", "read and write of a block of size 0",
     "there is no such block: nothing asked for is nothing given", "zero-size"},
    {"KASAN", "negative size of memmove", "the core takes lengths from callers in user copies only",
     "copy-negative"},
    {"LKDTM", "heap zeroed or constructed, not both",
     "a cache with a constructor refuses to hand out zeroed objects", "ctor"},
    {"KASAN", "mempool: reserved elements, element freed twice",
     "a pool is reserved memory as a whole: it runs out, and refuses", "exhaust-small"},
    {"hardened_malloc", "sized free with the wrong alignment",
     "alignment is part of the size class, and not stated at free", "sized-less"},
    {"KASAN", "free by page, by physical address",
     "one way leads to each free; another kind of address is another type", "physical"},
    {"KASAN", "vmap of tags, percpu areas", "an area maps frames and nothing else",
     "aspace.fixed_areas_and_their_guards"},
    {"LKDTM", "stack guard: overrun of a running stack",
     "needs an MMU: stacks of the kernel's rounds lie between guards, monitor row T28 judges",
     "cpus-exact"},
    {"usercopy KUnit", "check-zeroed for every start and end across a page", "needs user memory",
     "ucopy_pages.is_zero_for_every_start_and_end"},
    {"usercopy KUnit", "structures of smaller, equal and larger size", "needs user memory",
     "ucopy_pages.structures_of_every_size"},
    {"usercopy KUnit", "get and put of 8 to 64 bits", "needs user memory",
     "ucopy_pages.values_at_every_alignment"},
    {"Scudo", "threads (32)", "needs threads", "alloc_threads.every_block_has_one_owner"},
    {"KFENCE KUnit", "real faults at guard pages",
     "needs an MMU: the kernel's rounds do it on every machine that has one", "kernel/fenced.c"},
};

const uint32_t score_excuse_count = KC_ARRAY_COUNT(score_excuses);
