/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/mmio.h: device registers through a handle that knows where they are.
 *
 * A *handle* (struct kc_mmio) stands for the registers of one device, or a part of them. It is made
 * only from a range that lies in one KC_REGION_MMIO region of a region map, allows what is wanted,
 * and is mapped as device memory in the tables in use. From then on an access costs a bounds check.
 *
 * Accessors have a width, and an order as those of Linux:
 *
 *     kc_mmio_read32_relaxed    one access of the device; in order with the other accesses of this
 *                               CPU to the same device, and with nothing else
 *     kc_mmio_read32            the same, then KC_DMB_OSHLD: loads of memory that come later see
 *                               what the device wrote before it let itself be read so (DMA)
 *     kc_mmio_write32_relaxed   one access
 *     kc_mmio_write32           KC_DMB_OSHST, then the same: the device sees what was stored to
 *                               memory before (descriptors, then the doorbell)
 *
 * and so for 8, 16 and 64 bits. Neither kind waits until the device has got a write: read something
 * back for that. Barriers are calls of the seam, one each. The order on the device's side comes
 * from its mapping: Device-nGnRE, no gathering and no reordering (DDI 0487, B2.10 "Device memory").
 *
 * An access outside the handle, across its end, misaligned, or of a direction that it does not
 * allow is a mistake of the driver: it goes to the misuse policy and not to the device. A refused
 * read gives all ones, as a bus does where nobody answers; a refused write does nothing.
 *
 * Offsets that come from a device or a device tree are no mistake of the driver's: take a part with
 * kc_mmio_part(), which answers with a status.
 */
#ifndef KC_MMIO_H
#define KC_MMIO_H

#include <kc/aspace.h>
#include <kc/region.h>

KC_EXTERN_C_BEGIN

/* Private member by member; a value, copied at will. Zeroed, it allows nothing. */
struct kc_mmio {
    kc_va_t base;
    uint64_t bytes;
    uint32_t perms; /* KC_REGION_READ, KC_REGION_WRITE */
    const char *name;
    struct kc_misuse *misuse;
};

/* What handles are judged by. */
struct kc_mmio_judge {
    const struct kc_region_map *map;
    struct kc_pt *pt;         /* tables in use; NULL: the MMU is off, or they are somebody else's */
    struct kc_misuse *misuse; /* where wrong accesses go; as in kc_misuse_raise() */
};

/* ---- handles -------------------------------------------------------------------------------- */

/**
 * Make a handle for registers that are mapped already.
 *
 * base, bytes  the registers; 1 byte or more
 * perms        KC_REGION_READ, KC_REGION_WRITE or both
 * name         for people; storage outlives the handle
 * out          untouched on error
 *
 * The handle is good while region and mapping stay: whoever removes them makes sure that nobody
 * uses it any more.
 *
 * Errors:  KC_ERR_ARG    bytes or perms is 0, or perms has another bit
 *          KC_ERR_STATE  some page is not mapped as device memory with these permissions, or is
 *                        mapped for user space
 *          and kc_region_answer_status() of what the map answers (KC_ERR_UNSUPPORTED: no MMIO)
 * Cost:    O(log regions + pages)
 */
KC_NODISCARD kc_status_t kc_mmio_open(const struct kc_mmio_judge *j, kc_va_t base, uint64_t bytes,
                                      uint32_t perms, const char *name, struct kc_mmio *out);

/**
 * A handle for a part of another's registers.
 *
 * Errors:  KC_ERR_ARG    bytes is 0
 *          KC_ERR_RANGE  the part leaves the handle
 */
KC_NODISCARD kc_status_t kc_mmio_part(const struct kc_mmio *h, uint64_t offset, uint64_t bytes,
                                      const char *name, struct kc_mmio *out);

/**
 * Map registers in the kernel's space, add their region to the map, and make a handle for reading
 * and writing.
 *
 * as          kind KC_ASPACE_KERNEL
 * map         of the same addresses; written here
 * pa, bytes   any; the region is exactly these bytes, the mapping is the pages that hold them
 * owner       of the region
 * out         untouched on error, and nothing is mapped or added then
 *
 * Errors:  KC_ERR_ARG  as is a user space; and what kc_aspace_map_device(), kc_region_add() and
 *          kc_mmio_open() say
 */
KC_NODISCARD kc_status_t kc_mmio_map(struct kc_aspace *as, struct kc_region_map *map,
                                     struct kc_misuse *misuse, kc_pa_t pa, uint64_t bytes,
                                     uint32_t owner, const char *name, struct kc_mmio *out);

/**
 * Undo kc_mmio_map(): the region goes first, so that no new handle is made, then the mapping. The
 * handle is zeroed. Parts and copies of it are the caller's care.
 *
 * Errors:  KC_ERR_ABSENT, KC_ERR_SPAN  the handle is not one of kc_mmio_map() with this map and
 *          space; nothing is undone then
 */
KC_NODISCARD kc_status_t kc_mmio_unmap(struct kc_aspace *as, struct kc_region_map *map,
                                       struct kc_mmio *h);

/** Bytes of the handle, and whether an access is one it allows (width 1, 2, 4 or 8). */
KC_INLINE uint64_t kc_mmio_bytes(const struct kc_mmio *h)
{
    return h->bytes;
}
KC_NODISCARD KC_INLINE bool kc_mmio_allows(const struct kc_mmio *h, uint64_t offset, uint32_t width,
                                           uint32_t perm)
{
    return offset < h->bytes && h->bytes - offset >= width &&
           kc_is_aligned(kc_va_raw(h->base) + offset, width) && (h->perms & perm) != 0;
}

/* ---- registers ------------------------------------------------------------------------------ */

/* An access that is not allowed, to the misuse policy: FOREIGN outside, INTERIOR misaligned,
 * WRONG_OWNER for a direction that the handle does not have. */
KC_COLD void kc_mmio_refuse(const struct kc_mmio *h, uint64_t offset, uint32_t width,
                            uint32_t perm);

#define KC_MMIO_ACCESSORS(bits)                                                                   \
    KC_INLINE uint##bits##_t kc_mmio_read##bits##_relaxed(const struct kc_mmio *h,                \
                                                          uint64_t offset)                        \
    {                                                                                             \
        if (KC_UNLIKELY(!kc_mmio_allows(h, offset, (bits) / 8, KC_REGION_READ))) {                \
            kc_mmio_refuse(h, offset, (bits) / 8, KC_REGION_READ);                                \
            return (uint##bits##_t)UINT64_MAX;                                                    \
        }                                                                                         \
        return (uint##bits##_t)kc_plat_mmio_read(kc_va(kc_va_raw(h->base) + offset), (bits) / 8); \
    }                                                                                             \
    KC_INLINE uint##bits##_t kc_mmio_read##bits(const struct kc_mmio *h, uint64_t offset)         \
    {                                                                                             \
        uint##bits##_t value = kc_mmio_read##bits##_relaxed(h, offset);                           \
        /* Else a later load of a buffer could be satisfied before the device said "full". */     \
        kc_plat_barrier(KC_DMB_OSHLD);                                                            \
        return value;                                                                             \
    }                                                                                             \
    KC_INLINE void kc_mmio_write##bits##_relaxed(const struct kc_mmio *h, uint64_t offset,        \
                                                 uint##bits##_t value)                            \
    {                                                                                             \
        if (KC_UNLIKELY(!kc_mmio_allows(h, offset, (bits) / 8, KC_REGION_WRITE))) {               \
            kc_mmio_refuse(h, offset, (bits) / 8, KC_REGION_WRITE);                               \
            return;                                                                               \
        }                                                                                         \
        kc_plat_mmio_write(kc_va(kc_va_raw(h->base) + offset), (bits) / 8, value);                \
    }                                                                                             \
    KC_INLINE void kc_mmio_write##bits(const struct kc_mmio *h, uint64_t offset,                  \
                                       uint##bits##_t value)                                      \
    {                                                                                             \
        /* Else the device could start on a descriptor that is still in a store buffer. */        \
        kc_plat_barrier(KC_DMB_OSHST);                                                            \
        kc_mmio_write##bits##_relaxed(h, offset, value);                                          \
    }                                                                                             \
    KC_STATIC_ASSERT((bits) % 8 == 0, "whole bytes")

KC_MMIO_ACCESSORS(8);
KC_MMIO_ACCESSORS(16);
KC_MMIO_ACCESSORS(32);
KC_MMIO_ACCESSORS(64);

/**
 * Read a register, clear the bits of one mask, set those of another, write it: relaxed. Two
 * accesses; who else writes the register meanwhile is overwritten. Nothing is written if the handle
 * does not allow both. Fields: kc_field_get() and KC_MASK() of kc/bits.h.
 */
KC_INLINE void kc_mmio_update32(const struct kc_mmio *h, uint64_t offset, uint32_t clear,
                                uint32_t set)
{
    if (KC_UNLIKELY(!kc_mmio_allows(h, offset, 4, KC_REGION_READ))) {
        kc_mmio_refuse(h, offset, 4, KC_REGION_READ);
        return;
    }
    kc_mmio_write32_relaxed(h, offset, (kc_mmio_read32_relaxed(h, offset) & ~clear) | set);
}

/**
 * Read a register until some of its bits have a value, with kc_plat_relax() between the reads.
 *
 * mask, value  done when (register & mask) == value; value is within mask
 * tries        reads at most; 1 or more
 * last         out, may be NULL: what was read last, also on KC_ERR_FAULT
 *
 * When they have it, what comes later is ordered as after kc_mmio_read32().
 *
 * Errors:  KC_ERR_ARG    tries is 0, or value has a bit outside mask
 *          KC_ERR_PERM   the handle does not allow to read the register (misuse, as above)
 *          KC_ERR_FAULT  it did not come to that within so many reads
 */
KC_NODISCARD kc_status_t kc_mmio_poll32(const struct kc_mmio *h, uint64_t offset, uint32_t mask,
                                        uint32_t value, uint64_t tries, uint32_t *last);

KC_EXTERN_C_END

#endif
