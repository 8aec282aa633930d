/* SPDX-License-Identifier: BSD-2-Clause */
/* The hosted body itself: what kc/plat.h says of a body, and what host*.h add. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <host.h>
#include <host_ram.h>
#include <host_record.h>

#include "kc_test.h"

#include <kc/early.h>
#include <kc/lock.h>

static struct kc_boot_info bi;

/* ---- RAM ------------------------------------------------------------------------------------ */

static void no_ram(void)
{
    host_ram_destroy();
}

TestSuite(host_ram, .fini = no_ram);

Test(host_ram, describes_itself_so_that_early_accepts_it)
{
    static struct kc_early e;
    cr_assert_eq(host_ram_create(KC_MIB(4), &bi), KC_OK);
    cr_expect_eq(host_ram_bytes(), KC_MIB(4));
    cr_expect_eq(bi.range_count, 1);
    cr_expect_eq(kc_pa_raw(bi.range[0].base), HOST_RAM_BASE);
    cr_expect_neq(bi.linear_base, 0);
    cr_expect_eq(kc_early_init(&e, &bi), KC_OK);
    cr_expect_eq(kc_early_ram_bytes(&e), KC_MIB(4));
}

Test(host_ram, is_zero_and_both_ways_of_reaching_it_agree)
{
    cr_assert_eq(host_ram_create(KC_MIB(1), &bi), KC_OK);
    kc_pa_t last = kc_pa(HOST_RAM_BASE + KC_MIB(1) - 8);
    uint64_t *p = kc_plat_ram(last);
    cr_expect_eq(*p, 0);
    *p = 77;
    uint64_t *q = kc_plat_ptr(kc_va(bi.linear_base + kc_pa_raw(last)));
    cr_expect_eq(*q, 77);
    cr_expect(kc_pa_eq(kc_plat_ram_pa(p), last));
    cr_expect_eq(kc_plat_ptr(kc_plat_ptr_va(p)), p);
}

Test(host_ram, refuses_bad_sizes)
{
    struct kc_boot_info before;
    memset(&bi, 0x5a, sizeof(bi));
    before = bi;
    cr_expect_eq(host_ram_create(4096, NULL), KC_ERR_ARG);
    cr_expect_eq(host_ram_create(0, &bi), KC_ERR_RANGE);
    cr_expect_eq(host_ram_create(4097, &bi), KC_ERR_ALIGN);
    cr_expect_eq(host_ram_create(HOST_RAM_MAX + 4096, &bi), KC_ERR_RANGE);
    cr_expect_eq(host_ram_create(UINT64_MAX, &bi), KC_ERR_RANGE);
    cr_expect_arr_eq(&bi, &before, sizeof(bi));
    cr_expect_eq(host_ram_bytes(), 0);
}

Test(host_ram, one_at_a_time)
{
    cr_assert_eq(host_ram_create(4096, &bi), KC_OK);
    cr_expect_eq(host_ram_create(4096, &bi), KC_ERR_STATE);
    host_ram_destroy();
    host_ram_destroy(); /* nothing */
    cr_expect_eq(host_ram_create(4096, &bi), KC_OK);
}

/* Sparse: works, or is refused for want of addresses; nothing in between. */
Test(host_ram, one_tib_is_sparse_or_refused)
{
    kc_status_t s = host_ram_create(KC_GIB(1024), &bi);
    if (s != KC_OK) {
        cr_expect_eq(s, KC_ERR_NOMEM);
        cr_expect_eq(host_ram_bytes(), 0);
        return;
    }
    uint8_t *far = kc_plat_ram(kc_pa(HOST_RAM_BASE + KC_GIB(1024) - 1));
    *far = 1;
    cr_expect_eq(*far, 1);
}

/* ---- recordings ----------------------------------------------------------------------------- */

Test(host_record, keeps_the_sequence_and_counts_what_did_not_fit)
{
    static struct host_event event[8];
    static uint64_t table[4];
    kc_pa_t pa = kc_plat_ram_pa(table);
    uint64_t expected = 5;

    kc_plat_desc_store(pa, 1); /* before the recording */
    host_record_start(event, KC_ARRAY_COUNT(event));
    kc_plat_desc_store(pa, 5);
    kc_plat_barrier(KC_DSB_ISHST);
    kc_plat_tlbi(KC_TLBI_VAE1IS, 0x123);
    kc_plat_barrier(KC_DSB_ISH);
    kc_plat_barrier(KC_ISB);
    cr_expect(kc_plat_desc_cas(pa, &expected, 6));
    kc_plat_sysreg_write(KC_TTBR0_EL1, 0x9000);
    kc_plat_note(KC_NOTE_TABLE, 0x4000, 4096, NULL);
    cr_expect_eq(host_record_count(), 8);
    kc_plat_desc_fill(pa, 4, 10, 3);
    cr_expect_eq(host_record_stop(), 9);
    kc_plat_barrier(KC_ISB); /* after it */
    cr_expect_eq(host_record_count(), 9);

    static const struct host_event due[] = {
        {HOST_DESC_STORE, 0, 0, 5, 0},
        {HOST_BARRIER, 0, KC_DSB_ISHST, 0, 0},
        {HOST_TLBI, 0, KC_TLBI_VAE1IS, 0x123, 0},
        {HOST_BARRIER, 0, KC_DSB_ISH, 0, 0},
        {HOST_BARRIER, 0, KC_ISB, 0, 0},
        {HOST_DESC_CAS, 0, 0, 6, 1},
        {HOST_SYSREG_WRITE, 0, KC_TTBR0_EL1, 0x9000, 0},
        {HOST_NOTE, 0, KC_NOTE_TABLE, 0x4000, 4096},
    };
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(due); i++) {
        bool has_pa = due[i].call == HOST_DESC_STORE || due[i].call == HOST_DESC_CAS;
        cr_expect_eq((uint32_t)event[i].call, (uint32_t)due[i].call, "event %u", i);
        cr_expect_eq(event[i].a, has_pa ? kc_pa_raw(pa) : due[i].a, "event %u", i);
        cr_expect_eq(event[i].b, due[i].b, "event %u", i);
        cr_expect_eq(event[i].c, due[i].c, "event %u", i);
    }
    for (uint32_t i = 0; i < 4; i++) {
        cr_expect_eq(table[i], 10 + 3 * i);
    }
}

Test(host_record, every_call_has_its_own_name)
{
    for (uint32_t i = 0; i < HOST_CALL_COUNT; i++) {
        cr_expect_str_neq(host_call_name((enum host_call)i), "?");
        for (uint32_t j = 0; j < i; j++) {
            cr_expect_str_neq(host_call_name((enum host_call)i), host_call_name((enum host_call)j));
        }
    }
    cr_expect_str_eq(host_call_name(HOST_CALL_COUNT), "?");
}

/* ---- descriptors, registers, devices -------------------------------------------------------- */

Test(host_body, descriptor_cas_reports_what_it_found)
{
    static uint64_t d = 7;
    uint64_t expected = 6;
    cr_expect_not(kc_plat_desc_cas(kc_plat_ram_pa(&d), &expected, 9));
    cr_expect_eq(expected, 7);
    cr_expect_eq(d, 7);
    cr_expect(kc_plat_desc_cas(kc_plat_ram_pa(&d), &expected, 9));
    cr_expect_eq(kc_plat_desc_load(kc_plat_ram_pa(&d)), 9);
}

Test(host_body, registers_are_per_cpu_and_id_registers_read_only)
{
    host_sysregs_reset();
    kc_plat_sysreg_write(KC_TTBR0_EL1, 42);
    host_cpu_set(1);
    cr_expect_eq(kc_plat_sysreg_read(KC_TTBR0_EL1), 0);
    cr_expect_eq(kc_plat_sysreg_read(KC_MPIDR_EL1) & 0xff, 1);
    host_cpu_set(0);
    cr_expect_eq(kc_plat_sysreg_read(KC_TTBR0_EL1), 42);
    KC_TEST_PANICS((kc_plat_sysreg_write(KC_ID_AA64MMFR0_EL1, 0), 0));
    KC_TEST_PANICS((kc_plat_sysreg_write(KC_SYSREG_COUNT, 0), 0));
    host_sysregs_reset();
    cr_expect_eq(kc_plat_sysreg_read(KC_TTBR0_EL1), 0);
    cr_expect_not(kc_plat_at(KC_AT_S1E1R, 0));
}

Test(host_body, device_registers_are_memory_of_each_width)
{
    cr_assert_eq(host_ram_create(4096, &bi), KC_OK);
    kc_va_t va = kc_va(bi.linear_base + HOST_MMIO_BASE);
    kc_plat_mmio_write(va, 8, UINT64_C(0x1122334455667788));
    cr_expect_eq(kc_plat_mmio_read(va, 8), UINT64_C(0x1122334455667788));
    cr_expect_eq(kc_plat_mmio_read(va, 4), 0x55667788);
    cr_expect_eq(kc_plat_mmio_read(va, 2), 0x7788);
    kc_plat_mmio_write(va, 1, 0xaa);
    cr_expect_eq(kc_plat_mmio_read(va, 4), 0x556677aa);
    KC_TEST_PANICS((kc_plat_mmio_read(kc_va(kc_va_raw(va) + 2), 4), 0));
    KC_TEST_PANICS((kc_plat_mmio_read(va, 3), 0));
    KC_TEST_PANICS((kc_plat_mmio_read(va, 16), 0));
    host_ram_destroy();
}

Test(host_body, dc_zva_zeroes_its_block_and_no_more)
{
    static uint8_t bytes[256] KC_ALIGNED(64);
    memset(bytes, 1, sizeof(bytes));
    uint64_t block = UINT64_C(4) << (kc_plat_sysreg_read(KC_DCZID_EL0) & 15);
    cr_assert_eq(block, 64);
    kc_plat_cache(KC_DC_ZVA, &bytes[70]);
    for (uint32_t i = 0; i < sizeof(bytes); i++) {
        cr_expect_eq(bytes[i], i >= 64 && i < 128 ? 0 : 1);
    }
}

Test(host_body, time_goes_on_and_chance_differs)
{
    uint64_t a = 0;
    uint64_t b = 0;
    uint64_t t = kc_plat_ticks();
    cr_expect_eq(kc_plat_ticks_hz(), 1000000000u);
    cr_expect_geq(kc_plat_ticks(), t);
    cr_assert(kc_plat_entropy(&a) && kc_plat_entropy(&b));
    cr_expect_neq(a, b);
    cr_expect_eq(kc_plat_tag_granule(), 0);
    cr_expect_eq(kc_plat_tag_set(&a, 8, 3), &a);
}

/* ---- user access ---------------------------------------------------------------------------- */

static size_t page_bytes;
static uint8_t *pages; /* readable and writable, read-only, nothing */

static void user_pages(void)
{
    page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    pages = mmap(NULL, 3 * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(pages != MAP_FAILED);
    for (size_t i = 0; i < 2 * page_bytes; i++) {
        pages[i] = (uint8_t)(i * 7);
    }
    cr_assert_eq(mprotect(pages + page_bytes, page_bytes, PROT_READ), 0);
    cr_assert_eq(mprotect(pages + 2 * page_bytes, page_bytes, PROT_NONE), 0);
}

static void no_user_pages(void)
{
    munmap(pages, 3 * page_bytes);
}

TestSuite(host_user, .init = user_pages, .fini = no_user_pages);

static uint8_t kernel[3 * 65536];

static kc_uva_t user_at(size_t offset)
{
    return kc_uva((uintptr_t)pages + offset);
}

Test(host_user, read_is_exact_to_the_byte)
{
    for (size_t before = 0; before < 70; before++) {
        memset(kernel, 0xee, sizeof(kernel));
        cr_assert_eq(kc_plat_user_read(kernel, user_at(2 * page_bytes - before), before + 40), 40);
        for (size_t i = 0; i < before; i++) {
            cr_assert_eq(kernel[i], (uint8_t)((2 * page_bytes - before + i) * 7));
        }
        cr_assert_eq(kernel[before], 0xee, "beyond what was copied");
    }
}

Test(host_user, read_of_many_pages)
{
    cr_expect_eq(kc_plat_user_read(kernel, user_at(3), 2 * page_bytes - 3), 0);
    cr_expect_eq(memcmp(kernel, pages + 3, 2 * page_bytes - 3), 0);
    cr_expect_eq(kc_plat_user_read(kernel, user_at(0), 0), 0);
}

Test(host_user, write_is_exact_to_the_byte)
{
    memset(kernel, 0x11, sizeof(kernel));
    cr_expect_eq(kc_plat_user_write(user_at(page_bytes - 5), kernel, 12), 7);
    for (size_t i = 0; i < 5; i++) {
        cr_expect_eq(pages[page_bytes - 5 + i], 0x11);
    }
    cr_expect_eq(pages[page_bytes], (uint8_t)(page_bytes * 7));
    cr_expect_eq(kc_plat_user_write(user_at(page_bytes), kernel, 1), 1);
}

Test(host_user, addresses_that_nobody_has)
{
    cr_expect_eq(kc_plat_user_read(kernel, kc_uva(0), 16), 16);
    cr_expect_eq(kc_plat_user_read(kernel, kc_uva(8), 1), 1);
    cr_expect_eq(kc_plat_user_write(kc_uva(16), kernel, 8), 8);
#if UINTPTR_MAX > UINT32_MAX
    cr_expect_eq(kc_plat_user_read(kernel, kc_uva(UINT64_C(0x8000000000000000)), 16), 16);
#endif
}

static void no_program(uint64_t x0)
{
    (void)x0;
}

Test(host_user, there_is_no_el0)
{
    struct kc_user_context u = {.program = no_program};
    struct kc_user_exit why = {.kind = KC_USER_EXIT_COUNT};
    kc_pa_range_t text = {.size = 1};
    uint64_t entry = 7;
    cr_expect_eq(kc_plat_user_run(&u, &why), KC_ERR_UNSUPPORTED);
    cr_expect_eq(kc_plat_user_text(no_program, &text, &entry), KC_ERR_UNSUPPORTED);
    cr_expect(why.kind == KC_USER_EXIT_COUNT && text.size == 1 && entry == 7);
}

Test(host_user, works_again_after_a_fault)
{
    for (uint32_t i = 0; i < 100; i++) {
        cr_assert_eq(kc_plat_user_read(kernel, user_at(2 * page_bytes), 1), 1);
        cr_assert_eq(kc_plat_user_read(kernel, user_at(0), 16), 0);
    }
}

/* ---- CPUs ----------------------------------------------------------------------------------- */

static uint32_t cpus_seen;
static uint32_t mains_seen;
static uint32_t ipis;
static uint32_t timers;

static void no_hooks(void)
{
    host_hooks.ipi = NULL;
    host_hooks.timer = NULL;
    host_hooks.cpu_main = NULL;
    cpus_seen = 0;
    mains_seen = 0;
    ipis = 0;
    timers = 0;
}

TestSuite(host_cpu, .init = no_hooks, .fini = no_hooks);

static void on_entry(uint32_t cpu, void *arg)
{
    cr_expect_eq(cpu, kc_plat_cpu());
    cr_expect_eq(arg, &cpus_seen);
    cr_expect_neq(kc_plat_irq_save(), 0, "starts with interrupts masked");
    __atomic_fetch_or(&cpus_seen, 1u << cpu, __ATOMIC_SEQ_CST);
}

static void on_main(uint32_t cpu, void *arg)
{
    (void)arg;
    __atomic_fetch_or(&mains_seen, 1u << cpu, __ATOMIC_SEQ_CST);
    if (cpu == 2) {
        kc_plat_cpu_off();
    }
}

Test(host_cpu, start_runs_entry_then_main_and_can_be_repeated)
{
    host_hooks.cpu_main = on_main;
    for (uint32_t turn = 0; turn < 3; turn++) {
        for (uint32_t cpu = 1; cpu < KC_CPUS_MAX; cpu++) {
            cr_assert_eq(kc_plat_cpu_start(cpu, on_entry, &cpus_seen), KC_OK);
        }
        host_cpus_join();
        cr_assert_eq(cpus_seen, (1u << KC_CPUS_MAX) - 2);
        cr_assert_eq(mains_seen, (1u << KC_CPUS_MAX) - 2);
        cpus_seen = 0;
        mains_seen = 0;
    }
    cr_expect_eq(kc_plat_cpu(), 0);
}

static uint32_t may_end;

static void wait_for_end(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    while (__atomic_load_n(&may_end, __ATOMIC_ACQUIRE) == 0) {
        kc_plat_relax();
    }
}

Test(host_cpu, start_refuses)
{
    may_end = 0;
    cr_expect_eq(kc_plat_cpu_start(KC_CPUS_MAX, wait_for_end, NULL), KC_ERR_RANGE);
    cr_expect_eq(kc_plat_cpu_start(0, wait_for_end, NULL), KC_ERR_STATE);
    cr_assert_eq(kc_plat_cpu_start(1, wait_for_end, NULL), KC_OK);
    cr_expect_eq(kc_plat_cpu_start(1, wait_for_end, NULL), KC_ERR_STATE);
    __atomic_store_n(&may_end, 1, __ATOMIC_RELEASE);
    host_cpus_join();
}

static void count_ipi(void)
{
    cr_expect_neq(kc_plat_irq_save(), 0, "masked in the handler");
    ipis++;
}

static void count_timer(void)
{
    timers++;
}

Test(host_cpu, interrupts_wait_until_they_are_unmasked)
{
    host_hooks.ipi = count_ipi;
    uint64_t outer = kc_plat_irq_save();
    uint64_t inner = kc_plat_irq_save();
    kc_plat_ipi(1);
    kc_plat_ipi(1);
    kc_plat_relax();
    kc_plat_irq_restore(inner);
    cr_expect_eq(ipis, 0);
    kc_plat_irq_restore(outer);
    cr_expect_eq(ipis, 1, "two that wait are one");
    kc_plat_relax();
    cr_expect_eq(ipis, 1);
    kc_plat_ipi(1);
    kc_plat_wait();
    cr_expect_eq(ipis, 2);
    kc_plat_ipi(2);
    kc_plat_relax();
    cr_expect_eq(ipis, 2, "of another CPU");
    kc_plat_ipi(UINT64_MAX << KC_CPUS_MAX); /* of nobody */
    host_cpu_set(1);
    kc_plat_relax();
    cr_expect_eq(ipis, 3);
    host_cpu_set(0);
}

Test(host_cpu, timer_expires_once)
{
    host_hooks.timer = count_timer;
    kc_plat_timer(kc_plat_ticks() + 1000000);
    for (uint64_t until = kc_plat_ticks() + 3000000; kc_plat_ticks() < until;) {
        kc_plat_relax();
    }
    kc_plat_relax(); /* the host may have taken all that time */
    cr_expect_eq(timers, 1);
    kc_plat_timer(kc_plat_ticks());
    kc_plat_timer(UINT64_MAX); /* disarmed */
    kc_plat_relax();
    cr_expect_eq(timers, 1);
}
