/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the body's boot information to a running MMU.
 *
 * The nouns: the *linear* tree maps all RAM and the device registers at linear_base + pa in the
 * upper half, for good; the *identity* tree maps the kernel's image to itself in the lower half,
 * only so that the program counter survives the moment in which the MMU goes on; the *registers*
 * are the five values that this and every other CPU writes.
 *
 *     check the map -> tables in early memory -> registers -> TLBI -> MMU on
 *
 * Caches are off here on a real machine: every table store goes to memory, past whatever clean or
 * dirty lines a boot loader left behind for those addresses. A dirty line written back later would
 * overwrite a table, a clean one would hide it once caches are on. So the lines of all early memory
 * that tables came from are invalidated to the point of coherency after the last store (DDI 0487,
 * D7.5 "Caches"; the same reason as the `dcache_inval_poc` in every arm64 kernel's head code).
 *
 * Invariants
 * I1. Until the MMU is on, no lock is taken and no pointer is kept: objects hold kc_pa_t.
 * I2. No table is reachable by a walker before its stores have completed (DSB).
 * I3. TCR, MAIR and TTBRs are in effect (ISB) before SCTLR.M is set.
 */
#include "kernel_priv.h"
#include "plan.h"

#define KERNEL_VA_BITS 48u

static struct kc_pt_attr attr_of(uint32_t kind, bool global)
{
    switch (kind) {
    case KC_BOOT_TEXT:
        return kc_pt_attr(KC_PT_R | KC_PT_X, KC_A64_MEM_NORMAL, global);
    case KC_BOOT_RODATA:
    case KC_BOOT_INITRD:
    case KC_BOOT_DTB:
        return kc_pt_attr(KC_PT_R, KC_A64_MEM_NORMAL, global);
    case KC_BOOT_MMIO:
        return kc_pt_attr(KC_PT_R | KC_PT_W, KC_A64_MEM_DEVICE_nGnRE, global);
    default:
        return kc_pt_attr(KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, global);
    }
}

static bool is_image(uint32_t kind)
{
    return kind == KC_BOOT_TEXT || kind == KC_BOOT_RODATA || kind == KC_BOOT_DATA;
}

/* Map each segment of the plan: all of them at linear_base, or the image to itself. */
static kc_status_t map_plan(struct kc_pt *pt, const struct kc_boot_info *info, bool linear)
{
    struct kc_plan_segment s;
    uint64_t from = 0;
    while (kc_plan_next(info, &from, &s)) {
        uint64_t pa = kc_pa_raw(s.base);
        uint64_t ia = pa;
        if (linear && !kc_add_u64(info->linear_base, pa, &ia)) {
            return KC_ERR_RANGE;
        }
        if (linear || is_image(s.kind)) {
            kc_status_t st = kc_pt_map(pt, kc_ia(ia), s.base, s.size, attr_of(s.kind, true));
            if (st != KC_OK) {
                return st;
            }
        }
        if (from == 0) {
            break;
        }
    }
    return KC_OK;
}

static void read_machine(struct kc_a64_machine *m)
{
    struct kc_a64_id id = {
        .isar0 = kc_plat_sysreg_read(KC_ID_AA64ISAR0_EL1),
        .mmfr0 = kc_plat_sysreg_read(KC_ID_AA64MMFR0_EL1),
        .mmfr1 = kc_plat_sysreg_read(KC_ID_AA64MMFR1_EL1),
        .mmfr2 = kc_plat_sysreg_read(KC_ID_AA64MMFR2_EL1),
    };
    kc_a64_id_decode(&id, m);
}

static kc_status_t build_trees(struct kc_kernel *k)
{
    struct kc_pt_config config = {
        .format = k->upper,
        .source = {.early = &k->early, .frames = NULL},
        .any_asid = true,
    };
    kc_status_t st = kc_pt_init(&k->linear, &config);
    if (st == KC_OK) {
        config.format = k->lower;
        st = kc_pt_init(&k->identity, &config);
    }
    if (st == KC_OK) {
        st = map_plan(&k->linear, &k->info, true);
    }
    if (st == KC_OK) {
        st = map_plan(&k->identity, &k->info, false);
    }
    return st;
}

static kc_status_t choose_registers(struct kc_kernel *k, const struct kc_a64_machine *m)
{
    struct kc_kernel_regs *r = &k->regs;
    kc_status_t st = kc_a64_tcr(&k->lower, &k->upper, &r->tcr);
    if (st == KC_OK) {
        st = kc_a64_ttbr(&k->lower, kc_pt_root(&k->identity), 0, &r->ttbr0);
    }
    if (st == KC_OK) {
        st = kc_a64_ttbr(&k->upper, kc_pt_root(&k->linear), 0, &r->ttbr1);
    }
    uint32_t options =
        KC_A64_SCTLR_MMU | KC_A64_SCTLR_CACHES | KC_A64_SCTLR_WXN | KC_A64_SCTLR_STACK;
    if ((m->features & KC_A64_FEAT_PAN) != 0) {
        options |= KC_A64_SCTLR_PAN;
    }
    r->mair = kc_a64_mair();
    r->sctlr = kc_a64_sctlr(options);
    return st;
}

/* Invalidate what caches hold of the memory that tables were written to with caches off. */
static void forget_cached_tables(struct kc_kernel *k)
{
    uint64_t line = (uint64_t)4 << kc_field_get(kc_plat_sysreg_read(KC_CTR_EL0), 19, 16);
    uint32_t cursor = 0;
    uint32_t kind;
    kc_pa_range_t used;
    /* The stores are in memory before their lines are dropped. */
    kc_plat_barrier(KC_DSB_SY);
    while (kc_early_next_taken(&k->early, &cursor, &used, &kind)) {
        if (kind != KC_EARLY_ALLOCATED) {
            continue;
        }
        char *first = (char *)kc_plat_ram(used.base);
        for (uint64_t at = 0; at < used.size; at += line) {
            kc_plat_cache(KC_DC_IVAC, first + at);
        }
    }
    kc_plat_barrier(KC_DSB_SY);
}

void kc_kernel_mmu_on(const struct kc_kernel_regs *r)
{
    kc_plat_sysreg_write(KC_MAIR_EL1, r->mair);
    kc_plat_sysreg_write(KC_TCR_EL1, r->tcr);
    kc_plat_sysreg_write(KC_TTBR0_EL1, r->ttbr0);
    kc_plat_sysreg_write(KC_TTBR1_EL1, r->ttbr1);
    /* I3: no walk may start under a mix of old and new registers. */
    kc_plat_barrier(KC_ISB);
    /* What the TLB holds from before reset, or from a boot loader, is not ours. */
    kc_plat_tlbi(KC_TLBI_VMALLE1, 0);
    kc_plat_barrier(KC_DSB_NSH);
    kc_plat_barrier(KC_ISB);
    kc_plat_sysreg_write(KC_SCTLR_EL1, r->sctlr);
    /* From here on every fetch and access is translated. */
    kc_plat_barrier(KC_ISB);
}

kc_status_t kc_kernel_boot(struct kc_kernel *k, const struct kc_boot_info *info)
{
    struct kc_a64_machine machine;
    k->info = *info;
    k->boot_ticks = kc_plat_ticks();
    kc_misuse_init(&k->misuse, KC_MISUSE_REPORT);
    kc_status_t st = kc_early_init(&k->early, &k->info);
    if (st == KC_OK) {
        read_machine(&machine);
        st = kc_a64_format_for(&machine, KERNEL_VA_BITS, false, &k->lower);
    }
    if (st == KC_OK) {
        k->asid_bits = machine.asid_bits;
        st = kc_a64_format_for(&machine, KERNEL_VA_BITS, true, &k->upper);
    }
    if (st == KC_OK) {
        st = build_trees(k);
    }
    if (st == KC_OK) {
        st = choose_registers(k, &machine);
    }
    if (st != KC_OK) {
        return st;
    }
    kc_pt_set_live(&k->linear);
    kc_pt_set_live(&k->identity);
    forget_cached_tables(k);
    kc_kernel_mmu_on(&k->regs);
    return KC_OK;
}
