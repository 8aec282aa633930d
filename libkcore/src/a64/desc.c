/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors of VMSAv8-64, stage 1, 4 KiB granule.
 *
 * A descriptor is 64 bits. Where its fields lie depends on its kind, and its kind on bits [1:0] and
 * on the level:
 *
 *     63      62:61    60        59        58:51    50:48  47:12          11:2     1 0
 *     NSTable APTable  UXNTable  PXNTable  ignored  RES0   next table     ignored  1 1   table
 *
 *     63:59    58:55     54   53   52          51   50  49:48  47:n     n-1:12      11  10
 *     ignored  software  UXN  PXN  Contiguous  DBM  GP  RES0   output   RES0 (16nT) nG  AF
 *     9:8  7:6      5   4:2       1 0
 *     SH   AP[2:1]  NS  AttrIndx  0 1 block (n = 30, 21)   1 1 page (n = 12)
 *
 * Invariants
 *   D1  encode and decode are inverse to each other on everything they accept.
 *   D2  what encode makes, has every RES0 bit clear and an output address below 2^pa_bits.
 *   D3  a kind is TABLE only at levels 0 to 2, BLOCK only at 1 and 2, PAGE only at 3; bit 0 set and
 *       none of these is RESERVED, which a walker treats as invalid.
 *
 * Cost: constant. No state, no locks.
 *
 * Sources: DDI 0487 J.a, D8.3.1 "VMSAv8-64 descriptor formats" (table descriptor; block and page
 * descriptors; their ignored and RES0 bits), D8.2.8 "VMSAv8-64 translation using the 4KB
 * translation granule" (and the two after it for 16KB and 64KB), D8.6.1 "The Contiguous bit".
 */
#include <kc/a64/desc.h>

#define DESC_TYPE_MASK   3u
#define DESC_TYPE_BLOCK  1u
#define DESC_TYPE_TABLE  3u /* and page, at level 3 */

#define LEAF_ATTR_HI     4u
#define LEAF_ATTR_LO     2u
#define LEAF_NS          KC_BIT(5)
#define LEAF_AP_HI       7u
#define LEAF_AP_LO       6u
#define LEAF_SH_HI       9u
#define LEAF_SH_LO       8u
#define LEAF_AF          KC_BIT(10)
#define LEAF_NG          KC_BIT(11)
#define LEAF_NT          KC_BIT(16)
#define LEAF_GP          KC_BIT(50)
#define LEAF_DBM         KC_BIT(51)
#define LEAF_CONTIGUOUS  KC_BIT(52)
#define LEAF_PXN         KC_BIT(53)
#define LEAF_UXN         KC_BIT(54)
#define LEAF_SOFTWARE_HI 58u
#define LEAF_SOFTWARE_LO 55u
#define LEAF_RES0_HIGH   KC_MASK(49, 48)

#define TABLE_PXN        KC_BIT(59)
#define TABLE_UXN        KC_BIT(60)
#define TABLE_AP_HI      62u
#define TABLE_AP_LO      61u
#define TABLE_NS         KC_BIT(63)
#define TABLE_RES0       KC_MASK(50, 48)

#define OUT_HI           47u
#define LAST_LEVEL       3u

/* ---- format --------------------------------------------------------------------------------- */

static bool pa_bits_are_legal(uint32_t bits)
{
    return bits == 32 || bits == 36 || bits == 40 || bits == 42 || bits == 44 || bits == 48 ||
           bits == 52;
}

kc_status_t kc_a64_format_check(const struct kc_a64_format *f)
{
    if (f->stage != KC_A64_STAGE1 && f->stage != KC_A64_STAGE2) {
        return KC_ERR_ARG;
    }
    if (f->granule_log2 != 12 && f->granule_log2 != 14 && f->granule_log2 != 16) {
        return KC_ERR_ARG;
    }
    /* TnSZ is 16 to 39 without FEAT_TTST and FEAT_LVA (TCR_EL1.T0SZ). */
    if (f->va_bits < 25 || f->va_bits > 48 || !pa_bits_are_legal(f->pa_bits)) {
        return KC_ERR_ARG;
    }
    if (f->upper > 1 || f->bbm > 2 || (f->stage == KC_A64_STAGE2 && f->upper != 0)) {
        return KC_ERR_ARG;
    }
    if (f->stage != KC_A64_STAGE1 || f->granule_log2 != 12 || f->pa_bits > 48) {
        return KC_ERR_UNSUPPORTED;
    }
    return KC_OK;
}

/* log2 of the entries in a full table: a descriptor is 8 bytes. */
static uint32_t entries_log2(const struct kc_a64_format *f)
{
    return f->granule_log2 - 3u;
}

uint32_t kc_a64_level_shift(const struct kc_a64_format *f, uint32_t level)
{
    return f->granule_log2 + (LAST_LEVEL - level) * entries_log2(f);
}

uint32_t kc_a64_start_level(const struct kc_a64_format *f)
{
    uint32_t level = LAST_LEVEL;
    while (level > 0 && kc_a64_level_shift(f, level) + entries_log2(f) < f->va_bits) {
        level--;
    }
    return level;
}

uint32_t kc_a64_level_entries(const struct kc_a64_format *f, uint32_t level)
{
    if (level == kc_a64_start_level(f)) {
        return 1u << (f->va_bits - kc_a64_level_shift(f, level));
    }
    return 1u << entries_log2(f);
}

uint32_t kc_a64_index(const struct kc_a64_format *f, uint32_t level, uint64_t ia)
{
    return (uint32_t)(ia >> kc_a64_level_shift(f, level)) & (kc_a64_level_entries(f, level) - 1);
}

bool kc_a64_level_is_leaf(const struct kc_a64_format *f, uint32_t level)
{
    if (level > LAST_LEVEL) {
        return false;
    }
    /* 4 KiB: 1 GiB and 2 MiB blocks; 16 and 64 KiB: level 2 only (without FEAT_LPA2, FEAT_LPA). */
    return level == 3 || level == 2 || (level == 1 && f->granule_log2 == 12);
}

uint32_t kc_a64_contiguous_entries(const struct kc_a64_format *f, uint32_t level)
{
    if (!kc_a64_level_is_leaf(f, level)) {
        return 1;
    }
    if (f->granule_log2 == 14) {
        return level == 3 ? 128 : 32;
    }
    return f->granule_log2 == 12 ? 16 : 32;
}

uint64_t kc_a64_ia_base(const struct kc_a64_format *f)
{
    return f->upper ? ~(KC_BIT(f->va_bits) - 1) : 0;
}

bool kc_a64_ia_in_range(const struct kc_a64_format *f, uint64_t ia)
{
    return (ia & ~(KC_BIT(f->va_bits) - 1)) == kc_a64_ia_base(f);
}

/* ---- kinds ---------------------------------------------------------------------------------- */

enum kc_a64_kind kc_a64_kind(const struct kc_a64_format *f, uint32_t level, uint64_t desc)
{
    if (!kc_a64_is_valid(desc)) {
        return KC_A64_INVALID;
    }
    if ((desc & DESC_TYPE_MASK) == DESC_TYPE_TABLE) {
        return level == LAST_LEVEL ? KC_A64_PAGE : KC_A64_TABLE;
    }
    return level != LAST_LEVEL && kc_a64_level_is_leaf(f, level) ? KC_A64_BLOCK : KC_A64_RESERVED;
}

const char *kc_a64_kind_name(enum kc_a64_kind k)
{
    static const char *const names[KC_A64_KIND_COUNT] = {"invalid", "block", "page", "table",
                                                         "reserved"};
    return (uint32_t)k < KC_A64_KIND_COUNT ? names[k] : "?";
}

uint64_t kc_a64_desc_address(const struct kc_a64_format *f, uint32_t level, uint64_t desc)
{
    uint32_t low = kc_a64_kind(f, level, desc) == KC_A64_TABLE ? f->granule_log2
                                                               : kc_a64_level_shift(f, level);
    return desc & KC_MASK(OUT_HI, low);
}

/* ---- leaves --------------------------------------------------------------------------------- */

static uint64_t leaf_res0(const struct kc_a64_format *f, uint32_t level)
{
    uint64_t res0 = LEAF_RES0_HIGH;
    if (level != LAST_LEVEL) {
        res0 |= KC_MASK(kc_a64_level_shift(f, level) - 1, f->granule_log2);
        if (f->bbm >= 1) {
            res0 &= ~LEAF_NT;
        }
    }
    return res0;
}

static bool address_fits(const struct kc_a64_format *f, uint64_t address)
{
    return address >> f->pa_bits == 0;
}

static uint64_t flag(bool on, uint64_t bit)
{
    return on ? bit : 0;
}

kc_status_t kc_a64_leaf_encode(const struct kc_a64_format *f, uint32_t level,
                               const struct kc_a64_leaf *l, uint64_t *out)
{
    kc_status_t status = kc_a64_format_check(f);
    if (status != KC_OK) {
        return status;
    }
    if (!kc_a64_level_is_leaf(f, level) || l->attr_index > 7 || l->ap > 3 || l->sh > 3 ||
        l->sh == 1 || l->software > 15 || (l->no_block && (f->bbm < 1 || level == LAST_LEVEL))) {
        return KC_ERR_ARG;
    }
    if (!kc_is_aligned(l->out, KC_BIT(kc_a64_level_shift(f, level)))) {
        return KC_ERR_ALIGN;
    }
    if (!address_fits(f, l->out)) {
        return KC_ERR_RANGE;
    }
    *out = l->out | (level == LAST_LEVEL ? DESC_TYPE_TABLE : DESC_TYPE_BLOCK) |
           ((uint64_t)l->attr_index << LEAF_ATTR_LO) | ((uint64_t)l->ap << LEAF_AP_LO) |
           ((uint64_t)l->sh << LEAF_SH_LO) | ((uint64_t)l->software << LEAF_SOFTWARE_LO) |
           flag(l->non_secure, LEAF_NS) | flag(l->af, LEAF_AF) | flag(l->not_global, LEAF_NG) |
           flag(l->no_block, LEAF_NT) | flag(l->guarded, LEAF_GP) | flag(l->dbm, LEAF_DBM) |
           flag(l->contiguous, LEAF_CONTIGUOUS) | flag(l->pxn, LEAF_PXN) | flag(l->uxn, LEAF_UXN);
    return KC_OK;
}

void kc_a64_leaf_fields(uint64_t desc, struct kc_a64_leaf *l)
{
    *l = (struct kc_a64_leaf){
        .attr_index = (uint8_t)kc_field_get(desc, LEAF_ATTR_HI, LEAF_ATTR_LO),
        .ap = (uint8_t)kc_field_get(desc, LEAF_AP_HI, LEAF_AP_LO),
        .sh = (uint8_t)kc_field_get(desc, LEAF_SH_HI, LEAF_SH_LO),
        .software = (uint8_t)kc_field_get(desc, LEAF_SOFTWARE_HI, LEAF_SOFTWARE_LO),
        .af = (desc & LEAF_AF) != 0,
        .not_global = (desc & LEAF_NG) != 0,
        .pxn = (desc & LEAF_PXN) != 0,
        .uxn = (desc & LEAF_UXN) != 0,
        .contiguous = (desc & LEAF_CONTIGUOUS) != 0,
        .dbm = (desc & LEAF_DBM) != 0,
        .guarded = (desc & LEAF_GP) != 0,
        .non_secure = (desc & LEAF_NS) != 0,
    };
}

kc_status_t kc_a64_leaf_decode(const struct kc_a64_format *f, uint32_t level, uint64_t desc,
                               struct kc_a64_leaf *l)
{
    kc_status_t status = kc_a64_format_check(f);
    if (status != KC_OK) {
        return status;
    }
    enum kc_a64_kind kind = level <= LAST_LEVEL ? kc_a64_kind(f, level, desc) : KC_A64_INVALID;
    if (kind != KC_A64_BLOCK && kind != KC_A64_PAGE) {
        return KC_ERR_ARG;
    }
    uint64_t address = kc_a64_desc_address(f, level, desc);
    uint64_t sh = kc_field_get(desc, LEAF_SH_HI, LEAF_SH_LO);
    if ((desc & leaf_res0(f, level)) != 0 || sh == 1 || !address_fits(f, address)) {
        return KC_ERR_CORRUPT;
    }
    kc_a64_leaf_fields(desc, l);
    l->out = address;
    l->no_block = level != LAST_LEVEL && (desc & LEAF_NT) != 0;
    return KC_OK;
}

/* ---- tables --------------------------------------------------------------------------------- */

kc_status_t kc_a64_table_encode(const struct kc_a64_format *f, uint32_t level,
                                const struct kc_a64_table *t, uint64_t *out)
{
    kc_status_t status = kc_a64_format_check(f);
    if (status != KC_OK) {
        return status;
    }
    if (level >= LAST_LEVEL || t->ap_table > 3) {
        return KC_ERR_ARG;
    }
    if (!kc_is_aligned(t->next, KC_BIT(f->granule_log2))) {
        return KC_ERR_ALIGN;
    }
    if (!address_fits(f, t->next)) {
        return KC_ERR_RANGE;
    }
    *out = t->next | DESC_TYPE_TABLE | ((uint64_t)t->ap_table << TABLE_AP_LO) |
           flag(t->uxn_table, TABLE_UXN) | flag(t->pxn_table, TABLE_PXN) |
           flag(t->ns_table, TABLE_NS);
    return KC_OK;
}

void kc_a64_table_fields(uint64_t desc, struct kc_a64_table *t)
{
    *t = (struct kc_a64_table){
        .ap_table = (uint8_t)kc_field_get(desc, TABLE_AP_HI, TABLE_AP_LO),
        .uxn_table = (desc & TABLE_UXN) != 0,
        .pxn_table = (desc & TABLE_PXN) != 0,
        .ns_table = (desc & TABLE_NS) != 0,
    };
}

kc_status_t kc_a64_table_decode(const struct kc_a64_format *f, uint32_t level, uint64_t desc,
                                struct kc_a64_table *t)
{
    kc_status_t status = kc_a64_format_check(f);
    if (status != KC_OK) {
        return status;
    }
    if (level >= LAST_LEVEL || kc_a64_kind(f, level, desc) != KC_A64_TABLE) {
        return KC_ERR_ARG;
    }
    uint64_t next = kc_a64_desc_address(f, level, desc);
    if ((desc & TABLE_RES0) != 0 || !address_fits(f, next)) {
        return KC_ERR_CORRUPT;
    }
    kc_a64_table_fields(desc, t);
    t->next = next;
    return KC_OK;
}
