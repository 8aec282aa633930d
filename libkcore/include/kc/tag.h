/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/tag.h: memory tags, as the allocators of this library use them at hardening tagged.
 *
 * There a pointer to a live block carries a tag, and so does the block's memory, where the body has
 * tags (kc_plat_tag_granule()); all other memory carries 0. The theory is in src/mem/tag.c. Below
 * that level all of this is the identity, and costs nothing. Who makes an address of a block by
 * other means than its pointer (kc_plat_ram()) gets at the block through kc_tag_load().
 *
 * None of these functions accesses the memory itself. Context: any.
 */
#ifndef KC_TAG_H
#define KC_TAG_H

#include <kc/plat.h>

KC_EXTERN_C_BEGIN

#define KC_TAG_IS_USED (KC_HARDENING >= KC_HARDENING_TAGGED)
#define KC_TAG_GRANULE 16u /* bytes with a tag, where there are tags */

/** p without its tag: as an allocator uses it. */
KC_INLINE void *kc_tag_strip(const void *p)
{
    return KC_TAG_IS_USED ? kc_plat_tag_with(p, 0) : (void *)(uintptr_t)p;
}

/** p with the tag that its memory has: as the block's owner has it. */
KC_INLINE void *kc_tag_load(const void *p)
{
    return KC_TAG_IS_USED ? kc_plat_tag_with(p, kc_plat_tag_get(p)) : (void *)(uintptr_t)p;
}

/** True if p carries the tag of its memory: it is not what an earlier owner had. */
KC_INLINE bool kc_tag_fits(const void *p)
{
    return kc_tag_load(p) == p;
}

/** True if none of the granules of p..p+bytes-1 has a tag. For validators. Cost: O(bytes). */
KC_INLINE bool kc_tag_is_plain(const void *p, size_t bytes)
{
    for (size_t at = 0; KC_TAG_IS_USED && at < bytes; at += KC_TAG_GRANULE) {
        if (kc_plat_tag_get((const char *)p + at) != 0) {
            return false;
        }
    }
    return true;
}

/** Those granules lose their tags: somebody's block becomes memory of an allocator. O(bytes). */
KC_INLINE void kc_tag_wipe(void *p, size_t bytes)
{
    if (KC_TAG_IS_USED) {
        (void)kc_plat_tag_set(p, bytes, 0);
    }
}

/** `bytes` behind a live block become part of it: they get its tag. Cost: O(bytes). */
KC_INLINE void kc_tag_extend(const void *block, void *behind, size_t bytes)
{
    if (KC_TAG_IS_USED) {
        (void)kc_plat_tag_set(behind, bytes, kc_plat_tag_get(block));
    }
}

#if KC_TAG_IS_USED
/** The tag that p itself carries, 0 to 15. */
uint32_t kc_tag_of(const void *p);

/** An allocator's count of tags begins, where kc_plat_entropy() says if the machine can. */
void kc_tag_seed(uint32_t *given);

/*
 * For allocators whose objects lie `stride` bytes apart, of which `bytes` are the owner's. Where
 * these are not multiples of a granule, or leave none for a redzone, objects stay without tags.
 */

/**
 * An object becomes the allocator's, whole, to be given away or to be kept.
 *
 * object    without a tag
 * was_live  false: it was free
 *
 * Returns what kc_tag_give() or kc_tag_keep() is to be told.
 */
uint32_t kc_tag_take(void *object, size_t bytes, size_t stride, bool was_live);

/**
 * It is handed out.
 *
 * last     from kc_tag_take()
 * number   of the object, one apart from its neighbours' in memory
 * given    a count that the allocator keeps for this, from kc_tag_seed(); atomic
 *
 * Returns the pointer that the owner gets.
 */
void *kc_tag_give(void *object, size_t bytes, size_t stride, uint32_t last, uint32_t number,
                  uint32_t *given);

/** It stays free for now. */
void kc_tag_keep(void *object, size_t bytes, size_t stride, uint32_t last);

/**
 * A block of whole granules, without a redzone, is handed out; as kc_tag_give().
 *
 * before, behind   tags of the memory there, which the block's differs from
 *
 * Cost: O(bytes)
 */
void *kc_tag_give_block(void *block, size_t bytes, uint32_t before, uint32_t behind,
                        uint32_t *given);
#endif

/** The reverse of kc_tag_wipe(): p..p+bytes-1 is again of the owner whose pointer p is. */
KC_INLINE void kc_tag_restore(void *p, size_t bytes)
{
#if KC_TAG_IS_USED
    (void)kc_plat_tag_set(p, bytes, kc_tag_of(p));
#endif
    (void)p;
    (void)bytes;
}

KC_EXTERN_C_END

#endif
