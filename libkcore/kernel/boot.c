/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the body's boot information to a running MMU.
 *
 * The nouns: the *linear* tree maps all RAM and the device registers at linear_base + pa in the
 * upper half, for good; the *identity* tree maps the kernel's image to itself in the lower half,
 * only so that the program counter survives the moment in which the MMU goes on (kc/tramp.h, which
 * also has the registers and the order in which this and every other CPU writes them).
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
 */
#include "kernel_priv.h"
#include "plan.h"

#define KERNEL_VA_BITS 48u

static uint32_t perm_of(uint32_t kind)
{
    switch (kind) {
    case KC_BOOT_TEXT:
        return KC_PT_R | KC_PT_X;
    case KC_BOOT_RODATA:
    case KC_BOOT_INITRD:
    case KC_BOOT_DTB:
        return KC_PT_R;
    default:
        return KC_PT_R | KC_PT_W;
    }
}

static bool is_image(uint32_t kind)
{
    return kind == KC_BOOT_TEXT || kind == KC_BOOT_RODATA || kind == KC_BOOT_DATA;
}

static kc_status_t map_segment(struct kc_kernel *k, const struct kc_plan_segment *s)
{
    uint64_t ia;
    if (!kc_add_u64(k->info.linear_base, kc_pa_raw(s->base), &ia)) {
        return KC_ERR_RANGE;
    }
    enum kc_a64_mem type = s->kind == KC_BOOT_MMIO ? KC_A64_MEM_DEVICE_nGnRE : KC_A64_MEM_NORMAL;
    return kc_pt_map(&k->linear, kc_ia(ia), s->base, s->size,
                     kc_pt_attr(perm_of(s->kind), type, true));
}

static kc_status_t map_linear(struct kc_kernel *k)
{
    struct kc_plan_segment s;
    uint64_t from = 0;
    kc_status_t st = KC_OK;
    while (st == KC_OK && kc_plan_next(&k->info, &from, &s)) {
        st = map_segment(k, &s);
        if (from == 0) {
            break;
        }
    }
    return st;
}

kc_status_t kc_kernel_cover(struct kc_kernel *k, bool all)
{
    struct kc_plan_segment s;
    uint64_t from = 0;
    kc_status_t st = KC_OK;
    while (st == KC_OK && kc_plan_next(&k->info, &from, &s)) {
        if (is_image(s.kind) || (all && s.kind != KC_BOOT_MMIO)) {
            st = kc_tramp_cover(&k->tramp, s.base, s.size, perm_of(s.kind));
        }
        if (from == 0) {
            break;
        }
    }
    return st;
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
    struct kc_pt_source source = {.early = &k->early, .frames = NULL};
    struct kc_pt_config config = {.format = k->upper, .source = source, .any_asid = true};
    struct kc_tramp_config low = {.format = k->lower, .source = source};
    kc_status_t st = kc_pt_init(&k->linear, &config);
    if (st == KC_OK) {
        st = kc_tramp_init(&k->tramp, &low);
    }
    if (st == KC_OK) {
        st = map_linear(k);
    }
    if (st == KC_OK) {
        st = kc_kernel_cover(k, false);
    }
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
        st = kc_tramp_choose(&k->tramp.identity, &k->linear, &k->regs);
    }
    if (st != KC_OK) {
        return st;
    }
    kc_pt_set_live(&k->linear);
    kc_pt_set_live(&k->tramp.identity);
    forget_cached_tables(k);
    kc_tramp_mmu_on(&k->regs);
    return KC_OK;
}
