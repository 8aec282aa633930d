/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plat.c: the seam on bare metal, one effect a function; what is one instruction is inline in
 * include/kc_body.h. Contracts stand in kc/plat.h. In the header's order.
 *
 * I1  No function executes a barrier or an invalidation that its contract does not name. (The one
 *     maintenance of the body's own, of its stack, is in boot.S, I3.)
 * I2  An instruction that may fault by a user's address has an entry in the exception table.
 */
#include "body.h"

/* ---- TLB, caches, registers ----------------------------------------------------------------- */

/* By generic names (SYS), so that any assembler level will do: op1, CRn, CRm, op2 of C5.5. */
#define TLBI(kind_, sys_)                                               \
    case kind_:                                                         \
        __asm__ volatile("sys " sys_ ", %0" ::"r"(operand) : "memory"); \
        break

void kc_plat_tlbi(enum kc_tlbi op, uint64_t operand)
{
    switch (op) {
        TLBI(KC_TLBI_VMALLE1, "#0, C8, C7, #0");
        TLBI(KC_TLBI_VMALLE1IS, "#0, C8, C3, #0");
        TLBI(KC_TLBI_ASIDE1, "#0, C8, C7, #2");
        TLBI(KC_TLBI_ASIDE1IS, "#0, C8, C3, #2");
        TLBI(KC_TLBI_VAE1, "#0, C8, C7, #1");
        TLBI(KC_TLBI_VAE1IS, "#0, C8, C3, #1");
        TLBI(KC_TLBI_VALE1, "#0, C8, C7, #5");
        TLBI(KC_TLBI_VALE1IS, "#0, C8, C3, #5");
        TLBI(KC_TLBI_VAAE1, "#0, C8, C7, #3");
        TLBI(KC_TLBI_VAAE1IS, "#0, C8, C3, #3");
        TLBI(KC_TLBI_VAALE1, "#0, C8, C7, #7");
        TLBI(KC_TLBI_VAALE1IS, "#0, C8, C3, #7");
        TLBI(KC_TLBI_RVAE1IS, "#0, C8, C2, #1");
        TLBI(KC_TLBI_RVALE1IS, "#0, C8, C2, #5");
        TLBI(KC_TLBI_RVAAE1IS, "#0, C8, C2, #3");
        TLBI(KC_TLBI_RVAALE1IS, "#0, C8, C2, #7");
        TLBI(KC_TLBI_VMALLS12E1IS, "#4, C8, C3, #6");
        TLBI(KC_TLBI_ALLE1IS, "#4, C8, C3, #4");
        TLBI(KC_TLBI_IPAS2E1IS, "#4, C8, C0, #1");
        TLBI(KC_TLBI_IPAS2LE1IS, "#4, C8, C0, #5");
        TLBI(KC_TLBI_RIPAS2E1IS, "#4, C8, C0, #2");
        TLBI(KC_TLBI_RIPAS2LE1IS, "#4, C8, C0, #6");
        TLBI(KC_TLBI_ALLE2, "#4, C8, C7, #0");
        TLBI(KC_TLBI_ALLE2IS, "#4, C8, C3, #0");
        TLBI(KC_TLBI_VAE2, "#4, C8, C7, #1");
        TLBI(KC_TLBI_VAE2IS, "#4, C8, C3, #1");
        TLBI(KC_TLBI_VALE2, "#4, C8, C7, #5");
        TLBI(KC_TLBI_VALE2IS, "#4, C8, C3, #5");
    case KC_TLBI_COUNT:
    default: {
        static const struct kc_panic why = {
            __FILE__, __LINE__, "kc_plat_tlbi", "no such kind", {0, 0}};
        kc_plat_panic(&why);
    }
    }
}

#define CACHE(kind_, text_)                                 \
    case kind_:                                             \
        __asm__ volatile(text_ ", %0" ::"r"(p) : "memory"); \
        break

void kc_plat_cache(enum kc_cache_op op, const void *p)
{
    switch (op) {
        CACHE(KC_DC_CVAC, "dc cvac");
        CACHE(KC_DC_CVAU, "dc cvau");
        CACHE(KC_DC_CIVAC, "dc civac");
        CACHE(KC_DC_IVAC, "dc ivac");
        CACHE(KC_DC_ZVA, "dc zva");
        CACHE(KC_IC_IVAU, "ic ivau");
    case KC_IC_IALLU:
        __asm__ volatile("ic iallu" ::: "memory");
        break;
    case KC_IC_IALLUIS:
        __asm__ volatile("ic ialluis" ::: "memory");
        break;
    case KC_CACHE_OP_COUNT:
    default: {
        static const struct kc_panic why = {
            __FILE__, __LINE__, "kc_plat_cache", "no such kind", {0, 0}};
        kc_plat_panic(&why);
    }
    }
}

#define READ(kind_, name_)                                      \
    case kind_:                                                 \
        __asm__ volatile("mrs %0, " name_ : "=r"(v)::"memory"); \
        return v

uint64_t kc_plat_sysreg_read(enum kc_sysreg reg)
{
    uint64_t v = 0;
    switch (reg) {
        READ(KC_SCTLR_EL1, "sctlr_el1");
        READ(KC_TCR_EL1, "tcr_el1");
        READ(KC_MAIR_EL1, "mair_el1");
        READ(KC_TTBR0_EL1, "ttbr0_el1");
        READ(KC_TTBR1_EL1, "ttbr1_el1");
        READ(KC_ESR_EL1, "esr_el1");
        READ(KC_FAR_EL1, "far_el1");
        READ(KC_PAR_EL1, "par_el1");
        READ(KC_CONTEXTIDR_EL1, "contextidr_el1");
        READ(KC_CURRENTEL, "CurrentEL");
        READ(KC_MIDR_EL1, "midr_el1");
        READ(KC_MPIDR_EL1, "mpidr_el1");
        READ(KC_CTR_EL0, "ctr_el0");
        READ(KC_CLIDR_EL1, "clidr_el1");
        READ(KC_DCZID_EL0, "dczid_el0");
        READ(KC_ID_AA64PFR0_EL1, "id_aa64pfr0_el1");
        READ(KC_ID_AA64ISAR0_EL1, "id_aa64isar0_el1");
        READ(KC_ID_AA64MMFR0_EL1, "id_aa64mmfr0_el1");
        READ(KC_ID_AA64MMFR1_EL1, "id_aa64mmfr1_el1");
        READ(KC_ID_AA64MMFR2_EL1, "S3_0_C0_C7_2");
    case KC_SYSREG_COUNT:
    default: {
        static const struct kc_panic why = {
            __FILE__, __LINE__, "kc_plat_sysreg_read", "no such register", {0, 0}};
        kc_plat_panic(&why);
    }
    }
}

#define WRITE(kind_, name_)                                            \
    case kind_:                                                        \
        __asm__ volatile("msr " name_ ", %0" ::"r"(value) : "memory"); \
        break

void kc_plat_sysreg_write(enum kc_sysreg reg, uint64_t value)
{
    switch (reg) {
    case KC_SCTLR_EL1:
        kc_body_sctlr_write(value);
        break;
        WRITE(KC_TCR_EL1, "tcr_el1");
        WRITE(KC_MAIR_EL1, "mair_el1");
        WRITE(KC_TTBR0_EL1, "ttbr0_el1");
        WRITE(KC_TTBR1_EL1, "ttbr1_el1");
        WRITE(KC_ESR_EL1, "esr_el1");
        WRITE(KC_FAR_EL1, "far_el1");
        WRITE(KC_PAR_EL1, "par_el1");
        WRITE(KC_CONTEXTIDR_EL1, "contextidr_el1");
    case KC_CURRENTEL:
    case KC_MIDR_EL1:
    case KC_MPIDR_EL1:
    case KC_CTR_EL0:
    case KC_CLIDR_EL1:
    case KC_DCZID_EL0:
    case KC_ID_AA64PFR0_EL1:
    case KC_ID_AA64ISAR0_EL1:
    case KC_ID_AA64MMFR0_EL1:
    case KC_ID_AA64MMFR1_EL1:
    case KC_ID_AA64MMFR2_EL1:
    case KC_SYSREG_COUNT:
    default: {
        static const struct kc_panic why = {__FILE__,
                                            __LINE__,
                                            "kc_plat_sysreg_write",
                                            "no such register, or one that cannot be written",
                                            {0, 0}};
        kc_plat_panic(&why);
    }
    }
}

bool kc_plat_at(enum kc_at op, uint64_t va)
{
    switch (op) {
    case KC_AT_S1E1R:
        __asm__ volatile("at s1e1r, %0" ::"r"(va) : "memory");
        return true;
    case KC_AT_S1E1W:
        __asm__ volatile("at s1e1w, %0" ::"r"(va) : "memory");
        return true;
    case KC_AT_S1E0R:
        __asm__ volatile("at s1e0r, %0" ::"r"(va) : "memory");
        return true;
    case KC_AT_S1E0W:
        __asm__ volatile("at s1e0w, %0" ::"r"(va) : "memory");
        return true;
    case KC_AT_COUNT:
    default:
        return false;
    }
}

/* ---- devices -------------------------------------------------------------------------------- */

uint64_t kc_plat_mmio_read(kc_va_t va, uint32_t width)
{
    uint64_t a = kc_va_raw(va), v = 0;
    switch (width) {
    case 1:
        __asm__ volatile("ldrb %w0, [%1]" : "=r"(v) : "r"(a) : "memory");
        return v & 0xff;
    case 2:
        __asm__ volatile("ldrh %w0, [%1]" : "=r"(v) : "r"(a) : "memory");
        return v & 0xffff;
    case 4:
        __asm__ volatile("ldr %w0, [%1]" : "=r"(v) : "r"(a) : "memory");
        return v & 0xffffffff;
    default:
        __asm__ volatile("ldr %0, [%1]" : "=r"(v) : "r"(a) : "memory");
        return v;
    }
}

void kc_plat_mmio_write(kc_va_t va, uint32_t width, uint64_t value)
{
    uint64_t a = kc_va_raw(va);
    switch (width) {
    case 1:
        __asm__ volatile("strb %w0, [%1]" ::"r"(value), "r"(a) : "memory");
        break;
    case 2:
        __asm__ volatile("strh %w0, [%1]" ::"r"(value), "r"(a) : "memory");
        break;
    case 4:
        __asm__ volatile("str %w0, [%1]" ::"r"(value), "r"(a) : "memory");
        break;
    default:
        __asm__ volatile("str %0, [%1]" ::"r"(value), "r"(a) : "memory");
        break;
    }
}

/* ---- user access ---------------------------------------------------------------------------- */

/* LDTR and STTR check as EL0 does, whatever PAN says. False if the access faulted. */
#define USER_ACCESS(insn_, reg_, ok_, addr_)             \
    __asm__ volatile("1: " insn_ "\n"                    \
                     "   mov %w1, #1\n"                  \
                     "2:\n"                              \
                     ".pushsection .kc_extable, \"a\"\n" \
                     ".balign 4\n"                       \
                     ".long 1b - ., 2b - .\n"            \
                     ".popsection\n"                     \
                     : "+r"(reg_), "+&r"(ok_)            \
                     : "r"(addr_)                        \
                     : "memory")

typedef uint64_t __attribute__((may_alias)) word_t;

size_t kc_plat_user_read(void *to, kc_uva_t from, size_t n)
{
    unsigned char *t = to;
    uint64_t a = kc_uva_raw(from);
    while (n > 0) {
        uint64_t v = 0;
        uint32_t ok = 0;
        if (n >= 8 && (((uint64_t)t | a) & 7) == 0) {
            USER_ACCESS("ldtr %0, [%2]", v, ok, a);
            if (ok != 0) {
                *(word_t *)t = v;
                t += 8;
                a += 8;
                n -= 8;
                continue;
            }
        }
        ok = 0;
        USER_ACCESS("ldtrb %w0, [%2]", v, ok, a);
        if (ok == 0) {
            return n;
        }
        *t++ = (unsigned char)v;
        a++;
        n--;
    }
    return 0;
}

size_t kc_plat_user_write(kc_uva_t to, const void *from, size_t n)
{
    const unsigned char *f = from;
    uint64_t a = kc_uva_raw(to);
    while (n > 0) {
        uint64_t v;
        uint32_t ok = 0;
        if (n >= 8 && (((uint64_t)f | a) & 7) == 0) {
            v = *(const word_t *)f;
            USER_ACCESS("sttr %0, [%2]", v, ok, a);
            if (ok != 0) {
                f += 8;
                a += 8;
                n -= 8;
                continue;
            }
        }
        ok = 0;
        v = *f;
        USER_ACCESS("sttrb %w0, [%2]", v, ok, a);
        if (ok == 0) {
            return n;
        }
        f++;
        a++;
        n--;
    }
    return 0;
}

/* ---- CPUs ----------------------------------------------------------------------------------- */

void kc_plat_event(void)
{
    __asm__ volatile("sev" ::: "memory");
}

void kc_plat_wait(void)
{
    __asm__ volatile("wfe" ::: "memory");
}

/* PSCI (DEN 0022 D.b, 5.1 and 5.2.2). */
#define PSCI_CPU_OFF       0x84000002u
#define PSCI_CPU_ON        0xc4000003u
#define PSCI_AFFINITY_INFO 0xc4000004u
#define PSCI_OFF           1

static struct kc_body_start starts[KC_CPUS_MAX] KC_ALIGNED(START_BYTES);

kc_status_t kc_plat_cpu_start(uint32_t cpu, kc_cpu_entry_fn entry, void *arg)
{
    if (cpu >= kc_body_board.cpu_count) {
        return KC_ERR_RANGE;
    }
    uint64_t mpidr = kc_body_board.mpidr[cpu];
    int64_t info = kc_board_psci(PSCI_AFFINITY_INFO, mpidr, 0, 0);
    if (info < 0) {
        return KC_ERR_UNSUPPORTED;
    }
    if (info != PSCI_OFF) {
        return KC_ERR_STATE;
    }
    struct kc_body_start *s = &starts[cpu];
    s->cpu = cpu;
    s->entry = kc_pa_raw(kc_plat_ram_pa((const void *)(uintptr_t)entry));
    s->arg = kc_pa_raw(kc_plat_ram_pa(arg));

    /* The CPU reads its start block, and uses its stacks, with the MMU off. */
    kc_body_clean_inval_poc(s, s + 1);
    kc_body_clean_inval_poc(kc_body_stacks + (size_t)cpu * STACK_BYTES,
                            kc_body_stacks + (size_t)(cpu + 1) * STACK_BYTES);
    kc_body_clean_inval_poc(kc_body_exception_stacks + (size_t)cpu * EXCEPTION_STACK_BYTES,
                            kc_body_exception_stacks + (size_t)(cpu + 1) * EXCEPTION_STACK_BYTES);
    kc_pa_t first = kc_plat_ram_pa((const void *)(uintptr_t)kc_body_secondary_entry);
    int64_t r = kc_board_psci(PSCI_CPU_ON, mpidr, kc_pa_raw(first), kc_pa_raw(kc_plat_ram_pa(s)));
    switch (r) {
    case 0:
        return KC_OK;
    case -2: /* INVALID_PARAMETERS */
        return KC_ERR_RANGE;
    case -4: /* ALREADY_ON */
    case -5: /* ON_PENDING */
        return KC_ERR_STATE;
    default:
        return KC_ERR_UNSUPPORTED;
    }
}

void kc_plat_cpu_off(void)
{
    kc_board_psci(PSCI_CPU_OFF, 0, 0, 0);
    for (;;) { /* the firmware refused: as good as off */
        __asm__ volatile("msr daifset, #0xf\n\twfi");
    }
}

void kc_plat_ipi(uint64_t mask)
{
    kc_board_sgi(mask, KC_BODY_SGI_IPI);
}

/* ---- console, time, chance ------------------------------------------------------------------ */

static bool quiet;

void kc_body_quiet(bool be_quiet)
{
    __atomic_store_n(&quiet, be_quiet, __ATOMIC_RELAXED);
}

void kc_plat_console(const char *text, size_t n)
{
    for (size_t i = 0; i < n && !__atomic_load_n(&quiet, __ATOMIC_RELAXED); i++) {
        kc_board_uart_put(text[i]);
    }
}

uint64_t kc_plat_ticks(void)
{
    uint64_t v;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(v)::"memory");
    return v;
}

uint64_t kc_plat_ticks_hz(void)
{
    uint64_t v;
    __asm__("mrs %0, cntfrq_el0" : "=r"(v));
    return v;
}

uint64_t kc_plat_stopwatch_ns(void)
{
    const uint64_t second_ns = 1000000000u;
    uint64_t hz = kc_plat_ticks_hz();
    uint64_t now = kc_plat_ticks();
    return now / hz * second_ns + now % hz * second_ns / hz;
}

void kc_plat_timer(uint64_t at_ticks)
{
    __asm__ volatile("msr cntv_cval_el0, %0\n\tmsr cntv_ctl_el0, %1" ::"r"(at_ticks),
                     "r"((uint64_t)(at_ticks != UINT64_MAX))
                     : "memory");
}

#define ISAR0_RNDR_SHIFT 60

/* FEAT_RNG: NZCV is 0b0100 if no number could be had in time. */
static bool rndr(uint64_t *out)
{
    uint64_t v, failed;
    for (uint32_t tries = 0; tries < 10; tries++) {
        __asm__ volatile("mrs %0, S3_3_C2_C4_0\n\tcset %1, eq" : "=r"(v), "=r"(failed)::"cc");
        if (failed == 0) {
            *out = v;
            return true;
        }
    }
    return false;
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull; /* Stafford's variant 13, as in splitmix64 */
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/*
 * From RNDR, else from what the firmware gave in the device tree, 8 bytes a call and each byte
 * once: when it is used up there is no more.
 */
bool kc_plat_entropy(uint64_t *out)
{
    static uint32_t used;
    if (kc_plat_sysreg_read(KC_ID_AA64ISAR0_EL1) >> ISAR0_RNDR_SHIFT != 0 && rndr(out)) {
        return true;
    }
    uint64_t saved = kc_plat_irq_save();
    uint32_t at = used;
    if (kc_body_mmu_is_on()) {
        at = __atomic_fetch_add(&used, 8, __ATOMIC_RELAXED);
    } else {
        used = at + 8; /* alone; exclusives may not work yet */
    }
    kc_plat_irq_restore(saved);
    if (at + 8 > kc_body_board.seed_bytes) {
        __atomic_store_n(&used, KC_BOARD_SEED_BYTES, __ATOMIC_RELAXED);
        return false;
    }
    uint64_t v = 0;
    for (uint32_t i = 0; i < 8; i++) {
        v = v << 8 | kc_body_board.seed[at + i];
    }
    *out = mix(v);
    return true;
}
