/* SPDX-License-Identifier: BSD-2-Clause */
/* flat.c: see flat.h. The MMU is off while the tables are written, so that memory holds them. */
#include "flat.h"

static uint64_t l0[512] KC_ALIGNED(4096);
static uint64_t l1[512] KC_ALIGNED(4096);

#define MAIR_VALUE 0xff04ull /* 0: Device-nGnRE; 1: Normal write-back */
#define BLOCK_AF   0x401ull  /* valid block, access flag */
#define BLOCK_ISH  0x300ull
#define BLOCK_NX   (3ull << 53) /* PXN, UXN */
#define BLOCK_UXN  (1ull << 54)
#define TABLE      3ull
/* T0SZ, T1SZ 16; 4 KiB; inner shareable, write-back walks; IPS from the machine. */
#define TCR_VALUE                                                                          \
    (16ull | 16ull << 16 | 1ull << 8 | 1ull << 10 | 3ull << 12 | 1ull << 24 | 1ull << 26 | \
     3ull << 28 | 2ull << 30)

void flat_mmu_on(void)
{
    kc_pa_t root = kc_plat_ram_pa(l0);
    uint64_t pa_range = kc_plat_sysreg_read(KC_ID_AA64MMFR0_EL1) & 7;
    kc_plat_sysreg_write(KC_MAIR_EL1, MAIR_VALUE);
    kc_plat_sysreg_write(KC_TCR_EL1, TCR_VALUE | (pa_range > 5 ? 5 : pa_range) << 32);
    kc_plat_sysreg_write(KC_TTBR0_EL1, kc_pa_raw(root));
    kc_plat_sysreg_write(KC_TTBR1_EL1, kc_pa_raw(root));
    kc_plat_tlbi(KC_TLBI_VMALLE1, 0);
    kc_plat_cache(KC_IC_IALLU, NULL);
    kc_plat_barrier(KC_DSB_NSH);
    kc_plat_barrier(KC_ISB);
    kc_plat_sysreg_write(KC_SCTLR_EL1, kc_plat_sysreg_read(KC_SCTLR_EL1) | 0x1005); /* M C I */
    kc_plat_barrier(KC_ISB);
}

kc_status_t kc_program_boot(struct kc_kernel *k, const struct kc_boot_info *info)
{
    (void)k;
    kc_plat_desc_store(kc_plat_ram_pa(l0), kc_pa_raw(kc_plat_ram_pa(l1)) | TABLE);
    kc_plat_desc_store(kc_plat_ram_pa(&l1[0]), BLOCK_AF | BLOCK_NX);
    for (uint32_t i = 0; i < info->range_count; i++) {
        uint64_t base = kc_pa_raw(info->range[i].base);
        if (info->range[i].kind != KC_BOOT_RAM || base < KC_GIB(1) || base >= KC_GIB(512)) {
            continue;
        }
        uint64_t last = (base + info->range[i].size - 1) >> 30;
        for (uint64_t n = base >> 30; n <= last && n < 512; n++) {
            kc_plat_desc_store(kc_plat_ram_pa(&l1[n]),
                               n << 30 | BLOCK_AF | BLOCK_ISH | BLOCK_UXN | 1 << 2);
        }
    }
    kc_plat_barrier(KC_DSB_SY);
    flat_mmu_on();
    return KC_OK;
}

void flat_restore(void)
{
    kc_plat_sysreg_write(KC_TTBR0_EL1, kc_pa_raw(kc_plat_ram_pa(l0)));
    kc_plat_barrier(KC_ISB);
    kc_plat_tlbi(KC_TLBI_VMALLE1, 0);
    kc_plat_barrier(KC_DSB_NSH);
    kc_plat_barrier(KC_ISB);
}

static void out(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    kc_plat_console(text, n);
}

void flat_explain(const struct kc_explain_regs *regs)
{
    struct kc_explain e;
    kc_explain(regs, &kc_body_info, &e);
    kc_explain_say(&e, out, NULL);
}
