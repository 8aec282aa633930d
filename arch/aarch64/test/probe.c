/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe.c: the program that tests the body alone, without core and kernel.
 *
 * Its tables are two pages: L0[0] -> L1, L1[n] a block of 1 GiB, used by both halves at once, so
 * that the identity and the linear map are the same tables.
 *
 *     L0 [0] ---> L1 [0] device   0 .. 1 GiB
 *                    [n] RAM      where the boot information has RAM
 *
 * bootargs: `fault=read`, `fault=write`, `fault=undefined`, `fault=fp`,
 * `fault=stack` and `panic`
 * make it die on purpose, which a script expects; otherwise it checks every function of the seam
 * that has an answer and says `probe: N passed, M failed`.
 */
#include "../words.h"
#include "flat.h"

struct kc_kernel {
    uint32_t ipis[KC_CPUS_MAX];
    uint32_t up[KC_CPUS_MAX];
    uint32_t leave;
    uint32_t faults;
};

static struct kc_kernel kernel KC_ALIGNED(64);
static uint32_t passed, failed;

struct kc_kernel *kc_program_kernel(void)
{
    return &kernel;
}

static void cpu_boot(uint32_t cpu, void *arg)
{
    (void)arg;
    (void)cpu;
    flat_mmu_on();
}

void kc_program_cpu_main(uint32_t cpu, void *arg)
{
    struct kc_kernel *k = arg;
    __atomic_store_n(&k->up[cpu], 1 + kc_plat_cpu(), __ATOMIC_RELEASE);
    while (__atomic_load_n(&k->leave, __ATOMIC_ACQUIRE) == 0) {
        kc_plat_relax();
    }
    __atomic_store_n(&k->up[cpu], 0, __ATOMIC_RELEASE);
}

bool kc_program_fault(struct kc_kernel *k, uint64_t esr, uint64_t far, uint64_t elr)
{
    (void)esr;
    (void)far;
    (void)elr;
    k->faults++;
    return false;
}

void kc_program_panic(const struct kc_panic *why)
{
    (void)why;
}

void kc_program_dying(void)
{
}

void kc_program_explain(struct kc_kernel *k, const struct kc_explain_regs *regs)
{
    (void)k;
    flat_explain(regs);
}

void kc_program_ipi(struct kc_kernel *k)
{
    __atomic_fetch_add(&k->ipis[kc_plat_cpu()], 1, __ATOMIC_RELEASE);
}

/* ---- checks --------------------------------------------------------------------------------- */

static void check(bool ok, const char *what)
{
    if (ok) {
        passed++;
        return;
    }
    failed++;
    kc_body_say("probe: FAILED: ");
    kc_body_say(what);
    kc_body_say("\n");
}

/* Waits for *word to be value; on a busy host that may take a while, and 20 seconds is never. */
static bool becomes(const uint32_t *word, uint32_t value)
{
    uint64_t until = kc_plat_ticks() + 20 * kc_plat_ticks_hz();
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value) {
        if (kc_plat_ticks() > until) {
            return false;
        }
        kc_plat_relax();
    }
    return true;
}

static void check_memory_functions(void)
{
    static unsigned char a[64], b[64];
    bool ok = true;
    for (size_t from = 0; from < 9; from++) {
        for (size_t to = 0; to < 9; to++) {
            for (size_t n = 0; n < 24; n++) {
                for (size_t i = 0; i < sizeof a; i++) {
                    a[i] = (unsigned char)i;
                    b[i] = 0xee;
                }
                __builtin_memcpy(b + to, a + from, n);
                for (size_t i = 0; i < sizeof b; i++) {
                    bool inside = i >= to && i - to < n;
                    ok = ok && b[i] == (inside ? (unsigned char)(from + i - to) : 0xee);
                }
                __builtin_memmove(a + to, a + from, n);
                for (size_t i = 0; i < n; i++) {
                    ok = ok && a[to + i] == (unsigned char)(from + i);
                }
                __builtin_memset(b + to, 0x5a, n);
                for (size_t i = 0; i < n; i++) {
                    ok = ok && b[to + i] == 0x5a;
                }
            }
        }
    }
    check(ok, "memcpy, memmove and memset at every alignment");
    check(__builtin_memcmp("abc", "abd", 3) < 0 && __builtin_memcmp("abc", "abd", 2) == 0,
          "memcmp");
}

static const char *const relocated[] = {"one", "two"};

static void check_addresses(void)
{
    uint64_t here = (uint64_t)&kernel;
    check(here >= KC_BODY_LINEAR_BASE, "code runs in the linear map");
    const char *const *volatile through = relocated;
    check((uint64_t)through[1] >= KC_BODY_LINEAR_BASE, "constants point to the linear map");
    check(kc_plat_ram(kc_plat_ram_pa(&kernel)) == (void *)&kernel, "kc_plat_ram is inverse");
    check((kc_plat_sysreg_read(KC_CURRENTEL) >> 2 & 3) == 1, "the kernel runs at EL1");
    check(kc_plat_cpu() == 0, "the CPU that boots is 0");
    check(kc_body_info.seed != 0, "there is a seed");
}

static void check_user_access(void)
{
    char buffer[16] = "untouched";
    uint32_t before = kernel.faults;
    /* RAM is mapped without EL0 access, 4 GiB up nothing is mapped at all. */
    check(kc_plat_user_read(buffer, kc_uva(KC_GIB(1)), 9) == 9, "no user access to kernel memory");
    check(kc_plat_user_read(buffer, kc_uva(KC_GIB(300) + 3), 7) == 7, "no user memory there");
    check(kc_plat_user_write(kc_uva(KC_GIB(300)), buffer, 16) == 16, "nor to write to");
    check(__builtin_memcmp(buffer, "untouched", 9) == 0, "a failed copy leaves the buffer");
    check(kernel.faults - before >= 3, "user faults are offered to the kernel, then fixed up");
    check(kc_plat_at(KC_AT_S1E1R, (uint64_t)&kernel), "AT exists");
    kc_plat_barrier(KC_ISB);
    uint64_t par = kc_plat_sysreg_read(KC_PAR_EL1);
    check((par & 1) == 0 &&
              (par & 0xfffffffff000) == (kc_pa_raw(kc_plat_ram_pa(&kernel)) & ~0xfffull),
          "AT translates the linear map");
}

static void check_timer(void)
{
    uint64_t ctl = 1, start = kc_plat_ticks(), hz = kc_plat_ticks_hz();
    kc_plat_timer(start + hz / 1000);
    while ((ctl & 1) != 0 && kc_plat_ticks() < start + 20 * hz) {
        __asm__ volatile("mrs %0, cntv_ctl_el0" : "=r"(ctl)::"memory");
    }
    check((ctl & 1) == 0, "the timer's interrupt arrived and disarmed it");
    check(kc_plat_ticks() >= start + hz / 1000, "and not before its time");
    uint64_t saved = kc_plat_irq_save();
    kc_plat_ipi(1);
    uint32_t masked = __atomic_load_n(&kernel.ipis[0], __ATOMIC_ACQUIRE);
    kc_plat_irq_restore(saved);
    check(masked == 0 && becomes(&kernel.ipis[0], 1), "interrupts wait while masked");
}

static void check_cpus(const struct kc_boot_info *info)
{
    uint32_t n = info->cpu_count;
    check(kc_plat_cpu_start(n, cpu_boot, &kernel) == KC_ERR_RANGE, "no CPU beyond the last");
    check(kc_plat_cpu_start(0, cpu_boot, &kernel) == KC_ERR_STATE, "CPU 0 is on already");
    for (uint32_t round = 0; round < 2; round++) {
        __atomic_store_n(&kernel.leave, 0, __ATOMIC_RELEASE);
        for (uint32_t i = 0; i < n; i++) {
            kernel.ipis[i] = 0;
        }
        kc_body_clean_inval_poc(&kernel, &kernel + 1);
        for (uint32_t cpu = 1; cpu < n; cpu++) {
            kc_status_t s;
            uint64_t until = kc_plat_ticks() + 20 * kc_plat_ticks_hz();
            do { /* of the second round: it may still be on its way out */
                s = kc_plat_cpu_start(cpu, cpu_boot, &kernel);
            } while (s == KC_ERR_STATE && round > 0 && kc_plat_ticks() < until);
            check(s == KC_OK, "a CPU starts");
            check(becomes(&kernel.up[cpu], 1 + cpu), "it runs, with its own number");
            check(kc_plat_cpu_start(cpu, cpu_boot, &kernel) == KC_ERR_STATE, "it is on now");
        }
        kc_plat_barrier(KC_DSB_SY);
        kc_plat_ipi((1ull << n) - 1);
        for (uint32_t cpu = 0; cpu < n; cpu++) {
            check(becomes(&kernel.ipis[cpu], 1), "an interrupt from CPU 0 arrives once");
        }
        __atomic_store_n(&kernel.leave, 1, __ATOMIC_RELEASE);
        for (uint32_t cpu = 1; cpu < n; cpu++) {
            check(becomes(&kernel.up[cpu], 0), "it leaves");
        }
    }
}

/* ---- dying on purpose ----------------------------------------------------------------------- */

static bool asked(const struct kc_boot_info *info, const char *fault)
{
    return kc_words_is(info->cmdline, "fault", fault);
}

static void die(const struct kc_boot_info *info)
{
    volatile uint64_t *nowhere = (volatile uint64_t *)KC_GIB(300);
    if (asked(info, "read")) {
        (void)*nowhere;
    } else if (asked(info, "write")) {
        *nowhere = 1;
    } else if (asked(info, "undefined")) {
        __asm__ volatile("udf #0");
    } else if (asked(info, "fp")) {
        __asm__ volatile("msr cpacr_el1, xzr\n\tisb\n\tfmov x9, d0" ::: "x9");
    } else if (asked(info, "stack")) {
        uint64_t far = KC_GIB(300); /* a stack pointer that leads nowhere */
        __asm__ volatile("mov sp, %0\n\tstr xzr, [sp]" ::"r"(far) : "memory");
    } else if (kc_words_find(info->cmdline, "panic", NULL, NULL)) {
        static const struct kc_panic why = {__FILE__, __LINE__, "panic", "as asked for", {1, 2}};
        kc_plat_panic(&why);
    }
}

int kc_program_main(struct kc_kernel *k, const struct kc_boot_info *info,
                    const struct kc_board *board)
{
    (void)k;
    kc_body_say("kcore probe: ");
    kc_body_say_dec(info->cpu_count);
    kc_body_say(" CPUs, MIDR ");
    kc_body_say_hex(kc_plat_sysreg_read(KC_MIDR_EL1));
    kc_body_say(", image at ");
    kc_body_say_hex(kc_pa_raw(kc_plat_ram_pa(kc_image_start)));
    kc_body_say(", GIC ");
    kc_body_say_dec(board->gic_version);
    kc_body_say("\n");
    die(info);
    check_memory_functions();
    check_addresses();
    check_user_access();
    check_timer();
    check_cpus(info);
    kc_body_say("probe: ");
    kc_body_say_dec(passed);
    kc_body_say(" passed, ");
    kc_body_say_dec(failed);
    kc_body_say(" failed\n");
    return failed == 0 ? 0 : 1;
}
