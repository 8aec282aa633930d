/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tags.c: memory tags, as the Memory Tagging Extension has them, in software.
 *
 * Nouns. A *granule* is 16 bytes of RAM. It has a *tag* of 4 bits, 0 from the beginning. So does a
 * pointer into the kernel window: hosts do not ignore the top byte of an address, so it lies in the
 * *alias* of the kernel window that stands for its tag. Aliases lie at the same distance from each
 * other, a power of two; the first is the kernel window itself. *To strip* a pointer is to go to
 * that one.
 *
 *     area   | physical | kernel = tag 0 | tag 1 | tag 2 | ... | tag 15 | user |
 *     RAM    one tag for each granule of each physical page, whatever maps it
 *
 * An alias is a window as the others (ram.c): its pages appear when they are used and go when the
 * translation goes. It has no simulated addresses of its own.
 *
 * Invariants
 *   I1  what turns a pointer into an address strips it first: window_of(), and nothing else.
 *   I2  what the host maps in an alias at some address it could map in the kernel window there:
 *       both come from one judgement of that address, and one invalidation ends both.
 *   I3  exact: no access through the kernel window or an alias is made before the tag of every
 *       granule that it touches was found to be the pointer's. Tag 0 is no exception (TCMA 0).
 *   I4  a tag check comes behind the translation, whose faults come first, and behind the telling
 *       of the monitors.
 *   I5  loads and stores of tags are translated and judged as those of data, but have no tag check.
 *
 * Without tags are: the physical window, where the MMU is off or a low address is used, the user
 * window, and memory of the host, as static storage and stacks of the code under test. At native
 * speed plain accesses are not seen: there only who asks for a tag gets to know of a wrong one.
 *
 * Below hardening tagged there are no aliases and no tags, and all checks are constants.
 *
 * Cost: a byte of the host for each granule used; exact, a compare for each access.
 *
 * Sources: DDI 0487 J.a, D6 "Memory Tagging Extension"; D17.2.37 "ESR_EL1", DFSC 0b010001.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "machine_priv.h"

#if SIM_TAGS

#define TAG_MASK (TAG_COUNT - 1u)

static uint64_t shadow_bytes(void)
{
    return sim.ram_bytes / TAG_GRANULE;
}

bool tags_create(void)
{
    void *p = mmap(NULL, shadow_bytes(), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    sim.tags = p == MAP_FAILED ? NULL : p;
    return sim.tags != NULL;
}

void tags_destroy(void)
{
    if (sim.tags != NULL) {
        munmap(sim.tags, shadow_bytes());
        sim.tags = NULL;
    }
}

static uint32_t granule_tag(uint64_t granule)
{
    return __atomic_load_n(&sim.tags[granule], __ATOMIC_RELAXED);
}

/* The first byte of the access whose granule has another tag; n: there is none. */
static uint32_t mismatch(const void *p, uint64_t pa, uint32_t n)
{
    uint32_t at = 0;
    while (at < n && granule_tag(tag_granule_of(pa + at)) == tag_of(p)) {
        at += TAG_GRANULE - (uint32_t)((pa + at) % TAG_GRANULE);
    }
    return at < n ? at : n;
}

bool tag_judge(struct cpu *c, const void *p, uint64_t va, uint64_t pa, uint32_t n, bool write,
               bool may_retry)
{
    if (!sim_exact || tag_fits(p, pa, n)) {
        return true;
    }
    uint32_t at = mismatch(p, pa, n);
    uint32_t memory = granule_tag(tag_granule_of(pa + at));
    const struct machine_fault f = {
        .esr = mmu_syndrome(write ? SIM_WRITE : SIM_READ, false, MMU_FSC_TAG),
        .far = va + at,
        .cpu = c->id};
    if (access_deliver(c, &f) && may_retry) {
        return false;
    }
    char text[200];
    snprintf(text, sizeof text,
             "%s of %u bytes at 0x%016llx: tag check fault at 0x%016llx: the pointer has tag %u, "
             "memory %u (ESR_EL1 0x%llx)",
             write ? "write" : "read", n, (unsigned long long)va, (unsigned long long)f.far,
             (uint32_t)tag_of(p), memory, (unsigned long long)f.esr);
    cpu_end(MACHINE_END_FAULT, text, &f);
}

struct window *tag_window(struct window *w, const void *p)
{
    uint64_t tag = tag_of(p);
    return tag != 0 && tag < TAG_COUNT ? &sim.window[SIM_WINDOW_USER + tag] : w;
}

/* ---- the seam ------------------------------------------------------------------------------- */

uint32_t kc_plat_tag_granule(void)
{
    return TAG_GRANULE;
}

void *kc_plat_tag_with(const void *p, uint32_t tag)
{
    if (tag_of(p) >= TAG_COUNT) {
        return (void *)(uintptr_t)p;
    }
    return (void *)((uintptr_t)tag_strip(p) + ((uintptr_t)(tag & TAG_MASK) << sim.alias_log2));
}

/* I5. Physical address behind p, whose page is judged for it; false: nothing there has tags. */
static bool place_of(const void *p, bool write, uint64_t *pa)
{
    return tag_of(p) < TAG_COUNT && access_for_tag(tag_strip(p), write, pa);
}

void *kc_plat_tag_set(void *p, size_t n, uint32_t tag)
{
    cpu_step(true);
    uintptr_t at = (uintptr_t)p & ~(uintptr_t)(TAG_GRANULE - 1);
    uintptr_t end = (uintptr_t)p + n;
    while (n != 0 && at < end) {
        uint64_t pa;
        uintptr_t stop = (at | PAGE_MASK_LOW) + 1;
        stop = stop < end ? stop : end;
        if (!place_of((const void *)at, true, &pa)) {
            return p;
        }
        for (; at < stop; at += TAG_GRANULE, pa += TAG_GRANULE) {
            __atomic_store_n(&sim.tags[tag_granule_of(pa)], (uint8_t)(tag & TAG_MASK),
                             __ATOMIC_RELAXED);
        }
    }
    return kc_plat_tag_with(p, tag);
}

uint32_t kc_plat_tag_get(const void *p)
{
    uint64_t pa;
    cpu_step(true);
    return place_of(p, false, &pa) ? granule_tag(tag_granule_of(pa)) : 0;
}

#endif
