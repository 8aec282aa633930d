/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory tags. Theory.
 *
 * At hardening tagged, on a body whose memory has tags (kc_plat_tag_granule()), a live object and
 * the pointer to it carry a tag of 1 to 14; all else carries 0: free objects, redzones,
 * bookkeeping. So every access through a pointer whose object was freed, and every one that leaves
 * its object by less than a redzone, faults. The allocators themselves use pointers with tag 0, and
 * touch no object while it is live.
 *
 *     live   | t t t t | 0 | last |   next object: of the other parity
 *     free   | 0 0 0 0 | 0 | t    |   `last` becomes the tag that it had
 *            object    redzone      one granule, at the end of the stride
 *
 * A block without a redzone differs from what lies before and behind it when it is handed out.
 *
 * Which tag. Neighbours differ in parity: what leaves an object and lands in the next one faults.
 * An object differs from what it was before, which the last granule of its redzone remembers: what
 * is left of a pointer to it faults also when it is live again. Within that the tag is random. 15
 * is left out, as is 0: either may be set to match all (DDI 0487, TCR_EL1.TCMA0 and TCMA1).
 *
 * Memory without tags. Where the memory that an allocator was given takes no tags (a body may have
 * some that does), reading back gives 0, and the pointer is handed out plain.
 *
 * Sources: DDI 0487 J.a, D6 "Memory Tagging Extension"; K. Serebryany et al., Memory Tagging and
 * how it improves C/C++ memory safety, 2018, for redzones, parity and quarantine by tags.
 */
#include <kc/tag.h>

#if KC_TAG_IS_USED

#define TAGS_OF_A_PARITY 7u

uint32_t kc_tag_of(const void *p)
{
    uint32_t tag = 0;
    while (kc_plat_tag_with(p, tag) != p) {
        tag++;
    }
    return tag;
}

void kc_tag_seed(uint32_t *given)
{
    uint64_t seed;
    *given = (uint32_t)(kc_plat_entropy(&seed) ? seed : (uintptr_t)given >> 6);
}

/*
 * Something that nobody foretells. The count alone, multiplied, would not do: while the clock
 * stands, or goes evenly, tags were an equal distance apart.
 */
static uint32_t next(uint32_t *given)
{
    uint64_t n = __atomic_fetch_add(given, 1, __ATOMIC_RELAXED) ^ kc_plat_ticks() << 32;
    return (uint32_t)(kc_mix_u64(n) >> 32);
}

/* The pointer with that tag, which the memory gets; where it takes none, the plain one. */
static void *set(void *p, size_t bytes, uint32_t tag)
{
    void *tagged = kc_plat_tag_set(p, bytes, tag);
    return kc_plat_tag_get(p) == tag ? tagged : p;
}

/* The granule of the redzone that remembers; NULL: the redzone has none of its own. */
static unsigned char *memory_of(void *object, size_t bytes, size_t stride)
{
    bool fits = stride % KC_TAG_GRANULE == 0 && (uintptr_t)object % KC_TAG_GRANULE == 0 &&
                stride >= bytes + KC_TAG_GRANULE;
    return fits ? (unsigned char *)object + stride - KC_TAG_GRANULE : NULL;
}

uint32_t kc_tag_take(void *object, size_t bytes, size_t stride, bool was_live)
{
    unsigned char *memory = memory_of(object, bytes, stride);
    if (memory == NULL) {
        return 0;
    }
    uint32_t last = kc_plat_tag_get(was_live ? object : memory);
    (void)kc_plat_tag_set(object, stride, 0);
    return last;
}

void kc_tag_keep(void *object, size_t bytes, size_t stride, uint32_t last)
{
    unsigned char *memory = memory_of(object, bytes, stride);
    if (memory != NULL) {
        (void)kc_plat_tag_set(memory, KC_TAG_GRANULE, last);
    }
}

void *kc_tag_give(void *object, size_t bytes, size_t stride, uint32_t last, uint32_t number,
                  uint32_t *given)
{
    if (memory_of(object, bytes, stride) == NULL) {
        return object;
    }
    uint32_t at = next(given) % TAGS_OF_A_PARITY;
    uint32_t tag = 2 * at + 1 + number % 2;
    if (tag == last) {
        tag = 2 * ((at + 1) % TAGS_OF_A_PARITY) + 1 + number % 2;
    }
    void *tagged = set(object, bytes, tag);
    if (tagged != object) {
        kc_tag_keep(object, bytes, stride, last);
    }
    return tagged;
}

void *kc_tag_give_block(void *block, size_t bytes, uint32_t before, uint32_t behind,
                        uint32_t *given)
{
    uint32_t tag = next(given);
    do {
        tag = 1 + tag % (2 * TAGS_OF_A_PARITY);
    } while (tag == before || tag == behind);
    return set(block, bytes, tag);
}

#endif
