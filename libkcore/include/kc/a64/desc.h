/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/a64/desc.h: VMSAv8-64 translation table descriptors as data.
 *
 * Pure functions over a value-typed format: nothing here reads a register, touches a table or keeps
 * state. Levels and fields have the manual's names and direction (level 0 is the largest, level 3
 * holds pages). References are to DDI 0487 issue J.a, D8.3 "Translation table descriptor formats",
 * unless stated.
 *
 * Complete today: stage 1 of the EL1&0 regime, 4 KiB granule, output addresses up to 48 bits. The
 * geometry (shifts, spans, start level) is right for all granules; encoders refuse the rest with
 * KC_ERR_UNSUPPORTED instead of making a descriptor that nobody has checked.
 *
 * Context: every function here may be called from anywhere, before the MMU is on too.
 */
#ifndef KC_A64_DESC_H
#define KC_A64_DESC_H

#include <kc/addr.h>
#include <kc/status.h>

KC_EXTERN_C_BEGIN

/* ---- format --------------------------------------------------------------------------------- */

enum kc_a64_stage {
    KC_A64_STAGE1 = 1, /* EL1&0, two privilege levels, ASIDs */
    KC_A64_STAGE2 = 2  /* not encoded yet */
};

/* Features of the machine that change what may be written or how it is invalidated. */
#define KC_A64_FEAT_TLBIRANGE 0x0001u /* FEAT_TLBIRANGE: range invalidation */
#define KC_A64_FEAT_TTL       0x0002u /* FEAT_TTL: level hint in TLBI operands */
#define KC_A64_FEAT_HA        0x0004u /* FEAT_HAFDBS: hardware sets the access flag */
#define KC_A64_FEAT_HD        0x0008u /* FEAT_HAFDBS: and the dirty state */
#define KC_A64_FEAT_PAN       0x0010u /* FEAT_PAN */
#define KC_A64_FEAT_ASID16    0x0020u /* 16-bit ASIDs */
#define KC_A64_FEAT_CNP       0x0040u /* FEAT_TTCNP */
#define KC_A64_FEAT_XNX       0x0080u /* FEAT_XNX */
#define KC_A64_FEAT_LPA2      0x0100u /* FEAT_LPA2 for the granule of the format */
#define KC_A64_FEAT_BBM2_NOABORT                                    \
    0x0200u /* BBM level 2 on a CPU known never to raise a conflict \
               abort; the ID register alone does not promise that */

/* How tables are laid out. A value: copied, compared, never changed behind anybody's back. */
struct kc_a64_format {
    uint8_t stage;        /* enum kc_a64_stage */
    uint8_t granule_log2; /* 12, 14 or 16 */
    uint8_t va_bits;      /* 64 - TnSZ: 25 to 48 */
    uint8_t pa_bits;      /* 32, 36, 40, 42, 44, 48 or 52: the effective output size */
    uint8_t upper;        /* 1: TTBR1 half (input bits above va_bits are ones); 0: TTBR0 half */
    uint8_t bbm;          /* ID_AA64MMFR2_EL1.BBM: 0, 1, 2 */
    uint16_t features;    /* KC_A64_FEAT_* */
};

/**
 * Judge a format.
 *
 * Returns KC_OK; KC_ERR_ARG: a field outside its legal values, or start level and granule do not go
 * together; KC_ERR_UNSUPPORTED: legal, but not encoded by this version (stage 2, 16 and 64 KiB
 * granules, 52-bit output).
 */
KC_NODISCARD kc_status_t kc_a64_format_check(const struct kc_a64_format *f);

/* Geometry; f has passed kc_a64_format_check() or would but for KC_ERR_UNSUPPORTED. */

/** First level of the walk (D8.2.8, tables "start level"): 0 to 3. */
uint32_t kc_a64_start_level(const struct kc_a64_format *f);

/** log2 of the bytes one entry of that level covers: 4 KiB granule 39, 30, 21, 12. */
uint32_t kc_a64_level_shift(const struct kc_a64_format *f, uint32_t level);

/** Entries of a table at that level; fewer than a full page only at the start level. */
uint32_t kc_a64_level_entries(const struct kc_a64_format *f, uint32_t level);

/** Index of the entry that translates ia in a table at that level. */
uint32_t kc_a64_index(const struct kc_a64_format *f, uint32_t level, uint64_t ia);

/** True if that level may hold a block or page: 4 KiB granule levels 1, 2, 3. */
bool kc_a64_level_is_leaf(const struct kc_a64_format *f, uint32_t level);

/** Number of adjacent entries that the Contiguous bit groups at that level; 4 KiB granule 16. */
uint32_t kc_a64_contiguous_entries(const struct kc_a64_format *f, uint32_t level);

/** True if ia is in the half that the format translates. Tags (TBI) are not honoured. */
bool kc_a64_ia_in_range(const struct kc_a64_format *f, uint64_t ia);

/** Lowest input address of the format. */
uint64_t kc_a64_ia_base(const struct kc_a64_format *f);

/* ---- descriptors ---------------------------------------------------------------------------- */

enum kc_a64_kind {
    KC_A64_INVALID,  /* bit 0 clear: never cached by a TLB */
    KC_A64_BLOCK,    /* levels 1, 2 (4 KiB granule) */
    KC_A64_PAGE,     /* level 3 */
    KC_A64_TABLE,    /* levels 0 to 2 */
    KC_A64_RESERVED, /* bit 0 set where no such descriptor exists: faults as invalid */
    KC_A64_KIND_COUNT
};

/* AP[2:1], stage 1, two privilege levels (D8.4.1, "Stage 1 data accesses"). */
enum kc_a64_ap {
    KC_A64_AP_RW_EL1 = 0, /* EL1 read/write, EL0 nothing */
    KC_A64_AP_RW_ALL = 1, /* EL1 and EL0 read/write */
    KC_A64_AP_RO_EL1 = 2, /* EL1 read-only, EL0 nothing */
    KC_A64_AP_RO_ALL = 3  /* EL1 and EL0 read-only */
};

/* SH[1:0]. */
enum kc_a64_sh {
    KC_A64_SH_NON = 0,
    KC_A64_SH_OUTER = 2,
    KC_A64_SH_INNER = 3
};

/* Every field of a stage 1 block or page descriptor, as the manual names it. */
struct kc_a64_leaf {
    uint64_t out;       /* output address, aligned to the entry's span */
    uint8_t attr_index; /* AttrIndx[2:0]: which byte of MAIR */
    uint8_t ap;         /* enum kc_a64_ap */
    uint8_t sh;         /* enum kc_a64_sh */
    uint8_t software;   /* bits [58:55], ignored by hardware */
    bool af;            /* access flag */
    bool not_global;    /* nG: entry belongs to an ASID */
    bool pxn;           /* not executable at EL1 */
    bool uxn;           /* not executable at EL0 */
    bool contiguous;
    bool dbm;        /* dirty bit modifier */
    bool guarded;    /* GP: branch target identification */
    bool no_block;   /* nT, block descriptors only (FEAT_BBM) */
    bool non_secure; /* NS: only meaningful in Secure state */
};

/* Every field of a stage 1 table descriptor. */
struct kc_a64_table {
    uint64_t next;    /* address of the next-level table, aligned to the granule */
    uint8_t ap_table; /* APTable[1:0]: bit 0 removes EL0 access, bit 1 removes write */
    bool uxn_table;
    bool pxn_table;
    bool ns_table;
};

/** What the descriptor is at that level. Never KC_ERR: any 64-bit value has a kind. */
enum kc_a64_kind kc_a64_kind(const struct kc_a64_format *f, uint32_t level, uint64_t desc);

/** Name of a kind for people, static storage; "?" for an unknown one. */
const char *kc_a64_kind_name(enum kc_a64_kind k);

/** True if bit 0 is set: the descriptor may be held in a TLB. */
KC_INLINE bool kc_a64_is_valid(uint64_t desc)
{
    return (desc & 1u) != 0;
}

/**
 * Make a block (level 1, 2) or page (level 3) descriptor.
 *
 * out   descriptor; untouched on error
 *
 * Errors:  KC_ERR_UNSUPPORTED  format not encoded by this version
 *          KC_ERR_ARG    the level holds no leaf, or a field exceeds its width or is reserved
 *                        (sh 1; no_block without BBM level 1; no_block on a page)
 *          KC_ERR_ALIGN  l->out is not aligned to the span of the entry
 *          KC_ERR_RANGE  l->out exceeds pa_bits
 */
KC_NODISCARD kc_status_t kc_a64_leaf_encode(const struct kc_a64_format *f, uint32_t level,
                                            const struct kc_a64_leaf *l, uint64_t *out);

/**
 * Take one apart.
 *
 * Errors:  KC_ERR_UNSUPPORTED  format not encoded by this version
 *          KC_ERR_ARG      it is no block or page at that level
 *          KC_ERR_CORRUPT  a RES0 bit is set, SH is reserved, or the output address exceeds pa_bits
 */
KC_NODISCARD kc_status_t kc_a64_leaf_decode(const struct kc_a64_format *f, uint32_t level,
                                            uint64_t desc, struct kc_a64_leaf *l);

/**
 * Make a table descriptor; level is that of the entry, not of the table it points to.
 *
 * Errors: as kc_a64_leaf_encode()
 */
KC_NODISCARD kc_status_t kc_a64_table_encode(const struct kc_a64_format *f, uint32_t level,
                                             const struct kc_a64_table *t, uint64_t *out);

/** Take one apart. Errors: as kc_a64_leaf_decode(). */
KC_NODISCARD kc_status_t kc_a64_table_decode(const struct kc_a64_format *f, uint32_t level,
                                             uint64_t desc, struct kc_a64_table *t);

/**
 * The fields of a block or page, and of a table descriptor, as they stand: for any value, unjudged.
 * out, next and no_block, which depend on level and format, are 0. For walks of tables that
 * somebody else wrote: hardware ignores what kc_a64_leaf_decode() calls corrupt.
 */
void kc_a64_leaf_fields(uint64_t desc, struct kc_a64_leaf *l);
void kc_a64_table_fields(uint64_t desc, struct kc_a64_table *t);

/** Output address of a block or page, or next table of a table descriptor: the bits, unjudged. */
uint64_t kc_a64_desc_address(const struct kc_a64_format *f, uint32_t level, uint64_t desc);

KC_EXTERN_C_END

#endif
