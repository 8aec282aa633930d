/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Register values of the EL1&0 translation regime.
 *
 * Invariants
 *   R1  an encoder sets no bit that Armv8.0 calls RES0 for the format given, and every bit that it
 *       calls RES1.
 *   R2  MAIR, the index in a descriptor and the shareability beside it come from one table here.
 *   R3  decoders accept any value: what hardware reports is outside data.
 *
 * Sources: DDI 0487 J.a, D19.2: "ID_AA64ISAR0_EL1", "ID_AA64MMFR0_EL1", "ID_AA64MMFR1_EL1",
 * "ID_AA64MMFR2_EL1", "MAIR_EL1", "SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "ESR_EL1",
 * "PAR_EL1".
 */
#include <kc/a64/regs.h>

/* ---- memory types --------------------------------------------------------------------------- */

struct mem_type {
    uint8_t attr; /* MAIR_EL1.Attr<n> */
    uint8_t sh;
    const char *name;
};

/*
 * Device and Non-cacheable locations are Outer Shareable whatever SH says (D8.5.2), and PAR_EL1
 * reports them so: the descriptor says the same.
 */
static const struct mem_type mem_types[KC_A64_MEM_COUNT] = {
    [KC_A64_MEM_NORMAL] = {0xff, KC_A64_SH_INNER, "Normal WB"},
    [KC_A64_MEM_NORMAL_NC] = {0x44, KC_A64_SH_OUTER, "Normal NC"},
    [KC_A64_MEM_DEVICE_nGnRE] = {0x04, KC_A64_SH_OUTER, "Device-nGnRE"},
    [KC_A64_MEM_DEVICE_nGnRnE] = {0x00, KC_A64_SH_OUTER, "Device-nGnRnE"},
};

uint8_t kc_a64_mem_attr(enum kc_a64_mem type)
{
    return mem_types[type].attr;
}

enum kc_a64_sh kc_a64_mem_sh(enum kc_a64_mem type)
{
    return (enum kc_a64_sh)mem_types[type].sh;
}

uint64_t kc_a64_mair(void)
{
    uint64_t mair = 0;
    for (uint32_t i = 0; i < KC_A64_MEM_COUNT; i++) {
        mair |= (uint64_t)mem_types[i].attr << (8 * i);
    }
    return mair;
}

const char *kc_a64_mem_name(enum kc_a64_mem type)
{
    return (uint32_t)type < KC_A64_MEM_COUNT ? mem_types[type].name : "?";
}

/* ---- features ------------------------------------------------------------------------------- */

/* PARange and TCR_EL1.IPS have one encoding. */
static const uint8_t pa_sizes[] = {32, 36, 40, 42, 44, 48, 52};

static uint8_t pa_bits_of(uint64_t range)
{
    if (range == 7) {
        return 52; /* 56 bits (FEAT_D128): as much of it as VMSAv8-64 can name */
    }
    return range < KC_ARRAY_COUNT(pa_sizes) ? pa_sizes[range] : 0;
}

static uint64_t ips_of(uint32_t pa_bits)
{
    uint64_t i = 0;
    while (pa_sizes[i] != pa_bits) {
        i++;
    }
    return i;
}

static uint16_t feature(bool present, uint32_t bit)
{
    return present ? (uint16_t)bit : (uint16_t)0;
}

void kc_a64_id_decode(const struct kc_a64_id *id, struct kc_a64_machine *m)
{
    uint64_t gran4 = kc_field_get(id->mmfr0, 31, 28);
    uint64_t gran64 = kc_field_get(id->mmfr0, 27, 24);
    uint64_t gran16 = kc_field_get(id->mmfr0, 23, 20);
    uint64_t asid = kc_field_get(id->mmfr0, 7, 4);
    uint64_t hafdbs = kc_field_get(id->mmfr1, 3, 0);
    uint64_t bbm = kc_field_get(id->mmfr2, 55, 52);
    /* TGran4 and TGran64 are signed: 0b1111 is "not supported", 0 is "supported". */
    m->granule_4k = gran4 < 8;
    m->granule_64k = gran64 < 8;
    m->granule_16k = gran16 != 0;
    m->pa_bits = pa_bits_of(kc_field_get(id->mmfr0, 3, 0));
    m->asid_bits = asid == 2 ? 16 : 8;
    m->va_bits = kc_field_get(id->mmfr2, 19, 16) != 0 ? 52 : 48;
    m->bbm = (uint8_t)(bbm > 2 ? 2 : bbm);
    m->features =
        (uint16_t)(feature(kc_field_get(id->isar0, 59, 56) >= 2, KC_A64_FEAT_TLBIRANGE) |
                   feature(kc_field_get(id->mmfr2, 51, 48) != 0, KC_A64_FEAT_TTL) |
                   feature(hafdbs >= 1, KC_A64_FEAT_HA) | feature(hafdbs >= 2, KC_A64_FEAT_HD) |
                   feature(kc_field_get(id->mmfr1, 23, 20) != 0, KC_A64_FEAT_PAN) |
                   feature(asid == 2, KC_A64_FEAT_ASID16) |
                   feature(kc_field_get(id->mmfr2, 3, 0) != 0, KC_A64_FEAT_CNP) |
                   feature(kc_field_get(id->mmfr1, 31, 28) != 0, KC_A64_FEAT_XNX) |
                   feature(gran4 >= 1 && gran4 < 8, KC_A64_FEAT_LPA2));
}

kc_status_t kc_a64_format_for(const struct kc_a64_machine *m, uint32_t va_bits, bool upper,
                              struct kc_a64_format *out)
{
    if (!m->granule_4k || m->pa_bits == 0) {
        return KC_ERR_UNSUPPORTED;
    }
    if (va_bits < 25 || va_bits > 48) {
        return KC_ERR_ARG;
    }
    *out = (struct kc_a64_format){
        .stage = KC_A64_STAGE1,
        .granule_log2 = 12,
        .va_bits = (uint8_t)va_bits,
        .pa_bits = m->pa_bits > 48 ? 48 : m->pa_bits,
        .upper = upper,
        .bbm = m->bbm,
        .features = m->features,
    };
    return KC_OK;
}

/* ---- control registers ---------------------------------------------------------------------- */

#define TCR_RGN_WBWA 1u /* IRGN, ORGN: write-back, read- and write-allocate */
#define TCR_TG0_4K   0u
#define TCR_TG1_4K   2u /* TG1 is coded otherwise than TG0, and its 0 is reserved */
#define TCR_AS       KC_BIT(36)
#define TCR_EPD0     KC_BIT(7)
#define TCR_EPD1     KC_BIT(23)

/* T<n>SZ, IRGN<n>, ORGN<n>, SH<n> have the same layout, 16 bits apart. */
static uint64_t tcr_half(const struct kc_a64_format *f)
{
    return (uint64_t)(64u - f->va_bits) | TCR_RGN_WBWA << 8 | TCR_RGN_WBWA << 10 |
           (uint64_t)KC_A64_SH_INNER << 12;
}

kc_status_t kc_a64_tcr(const struct kc_a64_format *lower, const struct kc_a64_format *upper,
                       uint64_t *out)
{
    const struct kc_a64_format *any = lower != NULL ? lower : upper;
    if (any == NULL || (lower != NULL && lower->upper) || (upper != NULL && !upper->upper)) {
        return KC_ERR_ARG;
    }
    const struct kc_a64_format *halves[2] = {lower, upper};
    for (uint32_t i = 0; i < 2; i++) {
        if (halves[i] == NULL) {
            continue;
        }
        kc_status_t status = kc_a64_format_check(halves[i]);
        if (status != KC_OK) {
            return status;
        }
        uint32_t differs = (uint32_t)(halves[i]->features ^ any->features);
        if (halves[i]->pa_bits != any->pa_bits || (differs & KC_A64_FEAT_ASID16) != 0) {
            return KC_ERR_ARG;
        }
    }
    /* A disabled half still holds legal values: TnSZ 16 is one for every machine. */
    uint64_t low = lower != NULL ? tcr_half(lower) : TCR_EPD0 | 16u;
    uint64_t high = upper != NULL ? tcr_half(upper) << 16 : TCR_EPD1 | 16u << 16;
    *out = low | high | (uint64_t)TCR_TG0_4K << 14 | (uint64_t)TCR_TG1_4K << 30 |
           ips_of(any->pa_bits) << 32 | ((any->features & KC_A64_FEAT_ASID16) != 0 ? TCR_AS : 0);
    return KC_OK;
}

/* D19.2 "TCR_EL1": IPS [34:32], AS [36], TBI0 [37], TBI1 [38], HPD0 [41], HPD1 [42]. TG0 and TG1
   number the granules differently. */
void kc_a64_tcr_decode(uint64_t tcr, bool upper, struct kc_a64_half *out)
{
    static const uint8_t granules[2][4] = {{12, 16, 14, 0}, {0, 14, 12, 16}};
    static const uint8_t output_bits[8] = {32, 36, 40, 42, 44, 48, 48, 48};
    uint32_t size = (uint32_t)kc_field_get(tcr, upper ? 21 : 5, upper ? 16 : 0);
    uint32_t granule = granules[upper ? 1 : 0][kc_field_get(tcr, upper ? 31 : 15, upper ? 30 : 14)];
    *out = (struct kc_a64_half){
        .no_hierarchy = (tcr & KC_BIT(upper ? 42 : 41)) != 0,
        .top_byte_ignored = (tcr & KC_BIT(upper ? 38 : 37)) != 0,
    };
    if ((tcr & (upper ? TCR_EPD1 : TCR_EPD0)) != 0) {
        out->state = KC_A64_HALF_OFF;
        return;
    }
    if (granule == 0) {
        out->state = KC_A64_HALF_BAD_GRANULE;
        return;
    }
    out->format = (struct kc_a64_format){
        .stage = KC_A64_STAGE1,
        .granule_log2 = (uint8_t)granule,
        .va_bits = (uint8_t)(64 - size),
        .pa_bits = output_bits[kc_field_get(tcr, 34, 32)],
        .upper = upper ? 1 : 0,
        .features = (tcr & TCR_AS) != 0 ? KC_A64_FEAT_ASID16 : (uint16_t)0,
    };
    if (kc_a64_format_check(&out->format) == KC_ERR_ARG) {
        out->state = KC_A64_HALF_BAD_SIZE;
    }
}

const char *kc_a64_half_state_name(enum kc_a64_half_state s)
{
    static const char *const names[KC_A64_HALF_STATE_COUNT] = {
        "on", "walks are disabled by EPD", "TnSZ is not legal", "TG is reserved"};
    return (uint32_t)s < KC_A64_HALF_STATE_COUNT ? names[s] : "?";
}

#define SCTLR_M    KC_A64_SCTLR_EL1_M
#define SCTLR_C    KC_BIT(2)
#define SCTLR_SA   KC_BIT(3)
#define SCTLR_SA0  KC_BIT(4)
#define SCTLR_I    KC_BIT(12)
#define SCTLR_WXN  KC_A64_SCTLR_EL1_WXN
#define SCTLR_SPAN KC_BIT(23)
/* RES1 in Armv8.0: LSMAOE (29), nTLSMD (28), SPAN (23), EIS (22), bit 20, EOS (11). */
#define SCTLR_RES1 (KC_BIT(29) | KC_BIT(28) | SCTLR_SPAN | KC_BIT(22) | KC_BIT(20) | KC_BIT(11))

uint64_t kc_a64_sctlr(uint32_t options)
{
    uint64_t v = SCTLR_RES1;
    if ((options & KC_A64_SCTLR_MMU) != 0) {
        v |= SCTLR_M;
    }
    if ((options & KC_A64_SCTLR_CACHES) != 0) {
        v |= SCTLR_C | SCTLR_I;
    }
    if ((options & KC_A64_SCTLR_WXN) != 0) {
        v |= SCTLR_WXN;
    }
    if ((options & KC_A64_SCTLR_PAN) != 0) {
        v &= ~SCTLR_SPAN;
    }
    if ((options & KC_A64_SCTLR_STACK) != 0) {
        v |= SCTLR_SA | SCTLR_SA0;
    }
    return v;
}

#define TTBR_ASID_LO   48u
#define TTBR_ALIGN_MIN 64u

kc_status_t kc_a64_ttbr(const struct kc_a64_format *f, kc_pa_t root, uint32_t asid, uint64_t *out)
{
    kc_status_t status = kc_a64_format_check(f);
    if (status != KC_OK) {
        return status;
    }
    uint64_t bytes = (uint64_t)kc_a64_level_entries(f, kc_a64_start_level(f)) * 8u;
    if (!kc_pa_is_aligned(root, bytes < TTBR_ALIGN_MIN ? TTBR_ALIGN_MIN : bytes)) {
        return KC_ERR_ALIGN;
    }
    uint32_t asid_bits = (f->features & KC_A64_FEAT_ASID16) != 0 ? 16 : 8;
    if (kc_pa_raw(root) >> f->pa_bits != 0 || asid >> asid_bits != 0) {
        return KC_ERR_RANGE;
    }
    *out = kc_pa_raw(root) | (uint64_t)asid << TTBR_ASID_LO;
    return KC_OK;
}

/* ---- faults --------------------------------------------------------------------------------- */

#define FSC_RESERVED 0x3fu

enum kc_a64_fault kc_a64_fsc_decode(uint32_t fsc, uint32_t *level)
{
    /* The four classes with bits [5:2] below 4, and the walk classes, carry a level in [1:0]. */
    static const uint8_t by_group[4] = {KC_A64_FAULT_ADDRESS_SIZE, KC_A64_FAULT_TRANSLATION,
                                        KC_A64_FAULT_ACCESS_FLAG, KC_A64_FAULT_PERMISSION};
    uint32_t group = (fsc & 0x3fu) >> 2;
    if (group < 4) {
        *level = fsc & 3u;
        return (enum kc_a64_fault)by_group[group];
    }
    if (group == 0x5 || group == 0x7) { /* 0b0101LL, and 0b0111LL: parity or ECC */
        *level = fsc & 3u;
        return KC_A64_FAULT_EXTERNAL_WALK;
    }
    *level = KC_A64_LEVEL_NONE;
    switch (fsc & 0x3fu) {
    case 0x10:
    case 0x18: /* parity or ECC */
        return KC_A64_FAULT_EXTERNAL;
    case 0x11:
        return KC_A64_FAULT_TAG;
    case 0x21:
        return KC_A64_FAULT_ALIGNMENT;
    case 0x30:
        return KC_A64_FAULT_CONFLICT;
    default:
        return KC_A64_FAULT_OTHER;
    }
}

uint32_t kc_a64_fsc_encode(enum kc_a64_fault fault, uint32_t level)
{
    switch (fault) {
    case KC_A64_FAULT_ADDRESS_SIZE:
        return level;
    case KC_A64_FAULT_TRANSLATION:
        return 0x04u | level;
    case KC_A64_FAULT_ACCESS_FLAG:
        return 0x08u | level;
    case KC_A64_FAULT_PERMISSION:
        return 0x0cu | level;
    default:
        return FSC_RESERVED;
    }
}

const char *kc_a64_fault_name(enum kc_a64_fault f)
{
    static const char *const names[KC_A64_FAULT_COUNT] = {"none",
                                                          "address size",
                                                          "translation",
                                                          "access flag",
                                                          "permission",
                                                          "external abort",
                                                          "external abort on a walk",
                                                          "tag check",
                                                          "alignment",
                                                          "TLB conflict",
                                                          "other"};
    return (uint32_t)f < KC_A64_FAULT_COUNT ? names[f] : "?";
}

void kc_a64_esr_decode(uint64_t esr, struct kc_a64_syndrome *s)
{
    uint32_t level = KC_A64_LEVEL_NONE;
    *s = (struct kc_a64_syndrome){
        .ec = (uint8_t)kc_field_get(esr, 31, 26),
        .iss = (uint32_t)kc_field_get(esr, 24, 0),
        .level = KC_A64_LEVEL_NONE,
    };
    s->is_fetch = s->ec == KC_A64_EC_INST_LOWER || s->ec == KC_A64_EC_INST_SAME;
    s->is_abort = s->is_fetch || s->ec == KC_A64_EC_DATA_LOWER || s->ec == KC_A64_EC_DATA_SAME;
    s->from_lower =
        s->ec == KC_A64_EC_INST_LOWER || s->ec == KC_A64_EC_DATA_LOWER || s->ec == KC_A64_EC_SVC64;
    if (!s->is_abort) {
        return;
    }
    s->fsc = (uint8_t)(s->iss & 0x3fu);
    s->fault = (uint8_t)kc_a64_fsc_decode(s->fsc, &level);
    s->level = (uint8_t)level;
    s->walk_stage2 = (s->iss & KC_BIT(7)) != 0;
    s->external = (s->iss & KC_BIT(9)) != 0;
    /* FnV is defined for the plain synchronous external abort alone. */
    s->far_invalid = s->fsc == 0x10u && (s->iss & KC_BIT(10)) != 0;
    if (!s->is_fetch) {
        s->is_maintenance = (s->iss & KC_BIT(8)) != 0;
        s->is_write = (s->iss & KC_BIT(6)) != 0 && !s->is_maintenance;
    }
}

const char *kc_a64_ec_name(uint32_t ec)
{
    switch (ec) {
    case 0x00:
        return "unknown reason";
    case 0x01:
        return "trapped WFI or WFE";
    case 0x07:
        return "trapped FP or SIMD";
    case 0x0d:
        return "branch target";
    case 0x0e:
        return "illegal execution state";
    case KC_A64_EC_SVC64:
        return "SVC";
    case 0x18:
        return "trapped MSR, MRS or system instruction";
    case KC_A64_EC_INST_LOWER:
        return "instruction abort from EL0";
    case KC_A64_EC_INST_SAME:
        return "instruction abort from EL1";
    case KC_A64_EC_PC_ALIGN:
        return "PC alignment";
    case KC_A64_EC_DATA_LOWER:
        return "data abort from EL0";
    case KC_A64_EC_DATA_SAME:
        return "data abort from EL1";
    case KC_A64_EC_SP_ALIGN:
        return "SP alignment";
    case 0x2c:
        return "floating-point exception";
    case KC_A64_EC_SERROR:
        return "SError";
    case 0x30:
        return "breakpoint from EL0";
    case 0x31:
        return "breakpoint from EL1";
    case 0x32:
        return "software step from EL0";
    case 0x33:
        return "software step from EL1";
    case 0x34:
        return "watchpoint from EL0";
    case 0x35:
        return "watchpoint from EL1";
    case KC_A64_EC_BRK64:
        return "BRK";
    default:
        return "unknown class";
    }
}

/* ---- PAR_EL1 -------------------------------------------------------------------------------- */

void kc_a64_par_decode(uint64_t par, struct kc_a64_par *out)
{
    uint32_t level = KC_A64_LEVEL_NONE;
    *out = (struct kc_a64_par){.failed = (par & 1u) != 0, .level = KC_A64_LEVEL_NONE};
    if (out->failed) {
        out->fst = (uint8_t)kc_field_get(par, 6, 1);
        out->fault = (uint8_t)kc_a64_fsc_decode(out->fst, &level);
        out->level = (uint8_t)level;
        return;
    }
    out->pa = par & KC_MASK(47, 12);
    out->attr = (uint8_t)kc_field_get(par, 63, 56);
    out->sh = (uint8_t)kc_field_get(par, 8, 7);
}
