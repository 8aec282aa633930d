/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/a64/regs.h: values of the system registers of the EL1&0 translation regime, as data.
 *
 * Encoders make the value that software should write; decoders take apart what hardware reports
 * (ID registers, ESR_EL1, PAR_EL1). Nothing here reads or writes a register. References are to
 * DDI 0487 issue J.a, D19.2 "General system control registers", by register name.
 *
 * Context: every function here is pure and may be called from anywhere, before the MMU is on too.
 */
#ifndef KC_A64_REGS_H
#define KC_A64_REGS_H

#include <kc/a64/desc.h>

KC_EXTERN_C_BEGIN

/* ---- memory types --------------------------------------------------------------------------- */

/* Index into MAIR_EL1, fixed for this library; also AttrIndx of the descriptors it writes. */
enum kc_a64_mem {
    KC_A64_MEM_NORMAL = 0,        /* write-back, read and write allocate, inner and outer: 0xff */
    KC_A64_MEM_NORMAL_NC = 1,     /* non-cacheable, inner and outer: 0x44 */
    KC_A64_MEM_DEVICE_nGnRE = 2,  /* 0x04 */
    KC_A64_MEM_DEVICE_nGnRnE = 3, /* 0x00 */
    KC_A64_MEM_COUNT
};

/** Attribute byte (MAIR Attr<n>) of a type; type is below KC_A64_MEM_COUNT. */
uint8_t kc_a64_mem_attr(enum kc_a64_mem type);

/** Shareability that a descriptor of that type carries: Inner for NORMAL, Outer for the rest. */
enum kc_a64_sh kc_a64_mem_sh(enum kc_a64_mem type);

/** Value of MAIR_EL1 with each type at its index. */
uint64_t kc_a64_mair(void);

/** Name of a type for people, static storage; "?" for an unknown one. */
const char *kc_a64_mem_name(enum kc_a64_mem type);

/* ---- features ------------------------------------------------------------------------------- */

/* ID registers as read. */
struct kc_a64_id {
    uint64_t isar0; /* ID_AA64ISAR0_EL1 */
    uint64_t mmfr0; /* ID_AA64MMFR0_EL1 */
    uint64_t mmfr1; /* ID_AA64MMFR1_EL1 */
    uint64_t mmfr2; /* ID_AA64MMFR2_EL1 */
};

/* What they say. */
struct kc_a64_machine {
    uint8_t pa_bits;   /* PARange; 0 if the field holds a reserved value */
    uint8_t asid_bits; /* 8 or 16 */
    uint8_t va_bits;   /* 48, or 52 with FEAT_LVA */
    uint8_t bbm;       /* 0, 1, 2 */
    bool granule_4k;   /* stage 1 */
    bool granule_16k;
    bool granule_64k;
    uint16_t features; /* KC_A64_FEAT_*, without BBM2_NOABORT, which no ID register promises */
};

/** Decode the ID registers. Unknown larger values of ascending fields count as the largest known.
 */
void kc_a64_id_decode(const struct kc_a64_id *id, struct kc_a64_machine *m);

/**
 * The 4 KiB stage 1 format that suits a machine.
 *
 * va_bits   wanted input size, 25 to 48
 * upper     true for the TTBR1 half
 * out       untouched on error
 *
 * Errors:  KC_ERR_UNSUPPORTED  no 4 KiB granule, or a reserved PARange
 *          KC_ERR_ARG          va_bits outside its limits
 * PA sizes above 48 are used as 48 (TCR_EL1.IPS says so to the machine, by kc_a64_tcr()).
 */
KC_NODISCARD kc_status_t kc_a64_format_for(const struct kc_a64_machine *m, uint32_t va_bits,
                                           bool upper, struct kc_a64_format *out);

/* ---- control registers ---------------------------------------------------------------------- */

/**
 * Value of TCR_EL1: both halves on, inner and outer write-back write-allocate inner-shareable
 * walks, ASID from TTBR0 (A1 = 0), no tag bits ignored, hardware flags off.
 *
 * lower, upper   formats of the two halves; NULL: that half is disabled (EPD). Not both NULL
 *
 * Errors:  KC_ERR_ARG          both NULL, wrong half, or they disagree in pa_bits or ASID size
 *          KC_ERR_UNSUPPORTED  format not encoded by this version
 */
KC_NODISCARD kc_status_t kc_a64_tcr(const struct kc_a64_format *lower,
                                    const struct kc_a64_format *upper, uint64_t *out);

/* One half of the address space, as TCR_EL1 has it. */
enum kc_a64_half_state {
    KC_A64_HALF_ON,
    KC_A64_HALF_OFF,         /* EPDn: every address faults at level 0 */
    KC_A64_HALF_BAD_SIZE,    /* TnSZ outside 16 to 39, or no walk of that granule begins so */
    KC_A64_HALF_BAD_GRANULE, /* TGn holds a reserved value */
    KC_A64_HALF_STATE_COUNT
};
struct kc_a64_half {
    struct kc_a64_format format; /* ASID size, granule, sizes; only if state is ON */
    uint8_t state;               /* enum kc_a64_half_state */
    bool no_hierarchy;           /* HPDn: attributes of table descriptors are ignored */
    bool top_byte_ignored;       /* TBIn */
};

/**
 * Take TCR_EL1 apart. Any value decodes. Features that only ID registers know (BBM, TLB range) are
 * left out of the format; the output size is IPS, at most 48 bits.
 */
void kc_a64_tcr_decode(uint64_t tcr, bool upper, struct kc_a64_half *out);

/** Name of a state for people, static storage; "?" for an unknown one. */
const char *kc_a64_half_state_name(enum kc_a64_half_state s);

/* Fields of SCTLR_EL1 that decide about an access. */
#define KC_A64_SCTLR_EL1_M   KC_BIT(0)
#define KC_A64_SCTLR_EL1_WXN KC_BIT(19)

/* Options of kc_a64_sctlr(). */
#define KC_A64_SCTLR_MMU    0x01u /* M */
#define KC_A64_SCTLR_CACHES 0x02u /* C and I */
#define KC_A64_SCTLR_WXN    0x04u /* writable implies not executable */
#define KC_A64_SCTLR_PAN    0x08u /* SPAN = 0: exceptions to EL1 set PSTATE.PAN (FEAT_PAN) */
#define KC_A64_SCTLR_STACK  0x10u /* SA, SA0: stack pointer alignment checks */

/** Value of SCTLR_EL1: little-endian, options as given, every other field at its Armv8.0 RES1. */
uint64_t kc_a64_sctlr(uint32_t options);

/**
 * Value of TTBR0_EL1 or TTBR1_EL1.
 *
 * root   address of the root table
 * asid   0 in the register that does not carry the ASID
 *
 * Errors:  KC_ERR_ALIGN  root is not aligned to the root table's size (at least 64 bytes)
 *          KC_ERR_RANGE  root exceeds pa_bits, or asid the ASID size
 *          KC_ERR_UNSUPPORTED  format not encoded by this version
 */
KC_NODISCARD kc_status_t kc_a64_ttbr(const struct kc_a64_format *f, kc_pa_t root, uint32_t asid,
                                     uint64_t *out);

/* ---- faults --------------------------------------------------------------------------------- */

/* Class of a fault status code (DFSC, IFSC, FST). */
enum kc_a64_fault {
    KC_A64_FAULT_NONE,
    KC_A64_FAULT_ADDRESS_SIZE,
    KC_A64_FAULT_TRANSLATION,
    KC_A64_FAULT_ACCESS_FLAG,
    KC_A64_FAULT_PERMISSION,
    KC_A64_FAULT_EXTERNAL,      /* synchronous external abort, not on a walk */
    KC_A64_FAULT_EXTERNAL_WALK, /* the same on a table walk */
    KC_A64_FAULT_TAG,           /* synchronous tag check */
    KC_A64_FAULT_ALIGNMENT,
    KC_A64_FAULT_CONFLICT, /* TLB conflict abort */
    KC_A64_FAULT_OTHER,
    KC_A64_FAULT_COUNT
};

#define KC_A64_LEVEL_NONE 0xffu

/** Class of a six-bit fault status code; *level its level, or KC_A64_LEVEL_NONE. */
enum kc_a64_fault kc_a64_fsc_decode(uint32_t fsc, uint32_t *level);

/**
 * The six-bit code of a class that has a level (address size, translation, access flag,
 * permission). level is 0 to 3. Other classes give 0x3f, which is reserved.
 */
uint32_t kc_a64_fsc_encode(enum kc_a64_fault fault, uint32_t level);

/** Name of a class for people, static storage; "?" for an unknown one. */
const char *kc_a64_fault_name(enum kc_a64_fault f);

/* Exception classes that the library itself names (ESR_EL1.EC). */
#define KC_A64_EC_SVC64      0x15u
#define KC_A64_EC_INST_LOWER 0x20u
#define KC_A64_EC_INST_SAME  0x21u
#define KC_A64_EC_PC_ALIGN   0x22u
#define KC_A64_EC_DATA_LOWER 0x24u
#define KC_A64_EC_DATA_SAME  0x25u
#define KC_A64_EC_SP_ALIGN   0x26u
#define KC_A64_EC_SERROR     0x2fu
#define KC_A64_EC_BRK64      0x3cu

/* ESR_EL1, taken apart. The abort fields are meaningful only if is_abort. */
struct kc_a64_syndrome {
    uint8_t ec;          /* exception class */
    bool is_abort;       /* instruction or data abort */
    bool is_fetch;       /* instruction abort */
    bool from_lower;     /* taken from EL0 */
    bool is_write;       /* WnR, and not by cache maintenance or AT */
    bool is_maintenance; /* CM: cache maintenance or AT */
    bool walk_stage2;    /* S1PTW */
    bool far_invalid;    /* FnV: FAR_EL1 holds nothing */
    bool external;       /* EA */
    uint8_t fault;       /* enum kc_a64_fault */
    uint8_t level;       /* 0 to 3, or KC_A64_LEVEL_NONE */
    uint8_t fsc;         /* raw status code */
    uint32_t iss;        /* raw ISS[24:0] */
};

/** Decode ESR_EL1. Any value decodes. */
void kc_a64_esr_decode(uint64_t esr, struct kc_a64_syndrome *s);

/** Name of an exception class for people, static storage; "unknown class" if it has none. */
const char *kc_a64_ec_name(uint32_t ec);

/* ---- PAR_EL1 -------------------------------------------------------------------------------- */

/* Answer of an AT instruction. */
struct kc_a64_par {
    bool failed;   /* F */
    uint64_t pa;   /* of the granule: bits [47:12]; only if !failed */
    uint8_t attr;  /* MAIR-style attribute byte; only if !failed */
    uint8_t sh;    /* enum kc_a64_sh; Outer for Device and Non-cacheable; only if !failed */
    uint8_t fault; /* enum kc_a64_fault; only if failed */
    uint8_t level; /* of the fault; only if failed */
    uint8_t fst;   /* raw fault status; only if failed */
};

/** Decode PAR_EL1 (64-bit format). Any value decodes. */
void kc_a64_par_decode(uint64_t par, struct kc_a64_par *out);

KC_EXTERN_C_END

#endif
