/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine at work: CPUs, faults, what a TLB keeps and a TLBI takes away. The same file is
 * linked with the native and with the exact library; what only the exact one can see says so.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "guest.h"
#include "mmu.h"

static struct guest guest;
static struct machine_fault last_fault;
static uint32_t fault_count;

static bool on_fault(void *arg, const struct machine_fault *f)
{
    (void)arg;
    last_fault = *f;
    fault_count++;
    return false;
}

static void build(uint32_t cpus, uint64_t seed)
{
    struct machine_config c;
    const char *why = NULL;
    machine_config_default(&c);
    c.cpus = cpus;
    c.seed = seed;
    c.ram_bytes = UINT64_C(64) << 20;
    c.hooks.fault = on_fault;
    cr_assert_eq(machine_create(&c, &why), KC_OK, "%s", why);
    fault_count = 0;
}

static struct machine_result run1(machine_cpu_fn fn)
{
    struct machine_result r;
    machine_run(&fn, NULL, 1, &r);
    return r;
}

static void boot0(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    guest_tables(&guest);
    guest_mmu_on(&guest);
}

#define DATA(i) (SIM_RAM_BASE + UINT64_C(0x100000) + (uint64_t)(i)*GUEST_PAGE)
#define VA(i)   (GUEST_KVA + (uint64_t)(i)*GUEST_PAGE)

/* ---- translation ---------------------------------------------------------------------------- */

static uint64_t got;

static void map_and_use(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    guest_map(&guest, 3, DATA(0), D_RW);
    guest_store(VA(3) + 8, 0x1234);
    got = guest_load(SIM_LINEAR_BASE + DATA(0) + 8);
}

Test(machine, page_and_linear_map_reach_the_same_memory)
{
    build(1, 1);
    struct machine_result r = run1(map_and_use);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(got, 0x1234);
    uint64_t value = 0;
    cr_assert(sim_phys_read(DATA(0) + 8, &value));
    cr_assert_eq(value, 0x1234);
    machine_destroy();
}

static void read_unmapped(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    guest_load(VA(7) + 0x18);
}

Test(machine, unmapped_page_gives_a_level_3_translation_fault)
{
    build(1, 1);
    struct machine_result r = run1(read_unmapped);
    cr_assert_eq(r.end, MACHINE_END_FAULT);
    cr_assert_eq(fault_count, 1);
    /* EC 0x25, IL, WnR 0, DFSC 0b000111: translation fault, level 3 (D17.2.37) */
    cr_assert_eq(last_fault.esr, 0x96000007u, "0x%lx", last_fault.esr);
    cr_assert_eq(last_fault.far, VA(7) + 0x18);
    machine_destroy();
}

static void write_read_only(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    guest_map(&guest, 1, DATA(0), D_RO);
    guest_load(VA(1));
    guest_store(VA(1), 1);
}

Test(machine, write_to_read_only_page_gives_a_permission_fault)
{
    build(1, 1);
    struct machine_result r = run1(write_read_only);
    cr_assert_eq(r.end, MACHINE_END_FAULT);
    /* WnR, DFSC 0b001111: permission fault, level 3 */
    cr_assert_eq(last_fault.esr, 0x9600004fu, "0x%lx", last_fault.esr);
    cr_assert_eq(last_fault.far, VA(1));
    machine_destroy();
}

static void touch_no_access_flag(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    guest_map(&guest, 1, DATA(0), D_RW & ~D_AF);
    guest_store(VA(1), 1);
}

Test(machine, clear_access_flag_gives_an_access_flag_fault)
{
    build(1, 1);
    struct machine_result r = run1(touch_no_access_flag);
    cr_assert_eq(r.end, MACHINE_END_FAULT);
    cr_assert_eq(last_fault.esr, 0x9600004bu, "0x%lx", last_fault.esr);
    machine_destroy();
}

static void physical_with_mmu_on(uint32_t cpu, void *arg)
{
    uint64_t *p = (uint64_t *)kc_plat_ram(kc_pa(DATA(0)));
    *p = 5; /* MMU off: fine */
    boot0(cpu, arg);
    got = *(volatile uint64_t *)p; /* MMU on, and no identity map */
}

Test(machine, physical_pointer_faults_once_the_mmu_is_on)
{
    build(1, 1);
    struct machine_result r = run1(physical_with_mmu_on);
    if (machine_is_exact()) {
        cr_skip_test("the test's own accesses are not instrumented");
    }
    cr_assert_eq(r.end, MACHINE_END_FAULT, "%s", r.text);
    cr_assert_eq(last_fault.far, DATA(0));
    machine_destroy();
}

static uint32_t map_on_fault_index;
static bool map_on_fault(void *arg, const struct machine_fault *f)
{
    (void)arg;
    fault_count++;
    last_fault = *f;
    guest_map(&guest, map_on_fault_index, DATA(9), D_RW);
    return true;
}

static void demand(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    map_on_fault_index = 9;
    guest_store(VA(9) + 16, 77);
    got = guest_load(VA(9) + 16);
}

Test(machine, fault_handler_may_map_and_retry)
{
    struct machine_config c;
    const char *why;
    machine_config_default(&c);
    c.hooks.fault = map_on_fault;
    fault_count = 0;
    cr_assert_eq(machine_create(&c, &why), KC_OK);
    struct machine_result r = run1(demand);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(fault_count, 1);
    cr_assert_eq(got, 77);
    machine_destroy();
}

static void copy_across_pages(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    guest_map(&guest, 1, DATA(1), D_RW);
    guest_map(&guest, 2, DATA(5), D_RW);
    for (uint64_t i = 0; i < 512; i++) {
        guest_store(SIM_LINEAR_BASE + DATA(20) + 8 * i, i);
    }
    guest_copy(VA(1) + 2048, SIM_LINEAR_BASE + DATA(20), 4096);
}

Test(machine, copy_across_pages_lands_in_both)
{
    build(1, 1);
    struct machine_result r = run1(copy_across_pages);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    uint64_t value = 0;
    cr_assert(sim_phys_read(DATA(1) + 4088, &value) && value == 255);
    cr_assert(sim_phys_read(DATA(5), &value) && value == 256);
    machine_destroy();
}

static size_t not_copied;
static void user_copy(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    uint64_t at = guest.l3_user + 8 * (GUEST_UVA >> 12 & 0x1ff);
    kc_plat_desc_store(kc_pa(at), DATA(2) | D_RW | D_AP(1) | D_NG | D_PAGE);
    kc_plat_barrier(KC_DSB_ISHST);
    kc_plat_barrier(KC_ISB);
    static char text[64] = "to a user page, and a little beyond";
    not_copied = kc_plat_user_write(kc_uva(GUEST_UVA + 4096 - 10), text, 30);
}

Test(machine, user_copy_is_exact_to_the_byte)
{
    build(1, 1);
    struct machine_result r = run1(user_copy);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(not_copied, 20);
    uint64_t value = 0;
    cr_assert(sim_phys_read(DATA(2) + 4088, &value));
    cr_assert_eq(memcmp(&value, " a user ", 8), 0);
    machine_destroy();
}

/* ---- TLB ------------------------------------------------------------------------------------ */

static uint32_t stale_seen;
static bool count_stale(uint32_t cpu, const struct sim_tlb_entry *e, void *arg)
{
    (void)arg;
    stale_seen += e->stale && e->leaf ? 1u << (8 * cpu) : 0;
    return true;
}

static uint32_t stale_entries(void)
{
    stale_seen = 0;
    sim_tlb_each_stale(SIM_ALL_CPUS, count_stale, NULL);
    return stale_seen;
}

static uint32_t during[4];

static void unmap_steps(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    guest_map(&guest, 4, DATA(0), D_RW);
    during[0] = stale_entries();
    kc_plat_desc_store(kc_pa(guest.l3 + 8 * 4), 0);
    kc_plat_barrier(KC_DSB_ISHST);
    during[1] = stale_entries();
    kc_plat_tlbi(KC_TLBI_VAAE1IS, VA(4) >> 12 & UINT64_C(0xfffffffffff));
    during[2] = stale_entries();
    kc_plat_barrier(KC_DSB_ISH);
    during[3] = stale_entries();
}

Test(machine, a_page_never_touched_is_held_from_its_unmapping_to_the_dsb_after_the_tlbi)
{
    build(1, 1);
    struct machine_result r = run1(unmap_steps);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(during[0], 0);
    cr_assert_eq(during[1], 1);
    cr_assert_eq(during[2], 1, "a TLBI is complete only after a DSB");
    cr_assert_eq(during[3], 0);
    machine_destroy();
}

static void unmap_tlbi_before_dsb(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    guest_map(&guest, 4, DATA(0), D_RW);
    kc_plat_desc_store(kc_pa(guest.l3 + 8 * 4), 0);
    kc_plat_tlbi(KC_TLBI_VAAE1IS, VA(4) >> 12 & UINT64_C(0xfffffffffff));
    kc_plat_barrier(KC_DSB_ISH);
    during[0] = stale_entries();
}

Test(machine, a_tlbi_before_the_store_is_visible_leaves_the_old_walk)
{
    build(1, 1);
    run1(unmap_tlbi_before_dsb);
    cr_assert_eq(during[0], 1);
    machine_destroy();
}

static void boot1(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    guest_mmu_on(&guest);
}

static void unmap_local(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    guest_map(&guest, 4, DATA(0), D_RW);
    kc_plat_desc_store(kc_pa(guest.l3 + 8 * 4), 0);
    kc_plat_barrier(KC_DSB_ISHST);
    during[0] = stale_entries();
    kc_plat_tlbi(KC_TLBI_VAAE1, VA(4) >> 12 & UINT64_C(0xfffffffffff));
    kc_plat_barrier(KC_DSB_NSH);
    during[1] = stale_entries();
    kc_plat_tlbi(KC_TLBI_VAAE1IS, VA(4) >> 12 & UINT64_C(0xfffffffffff));
    kc_plat_barrier(KC_DSB_NSH);
    during[2] = stale_entries();
    kc_plat_barrier(KC_DSB_ISH);
    during[3] = stale_entries();
}

Test(machine, a_local_tlbi_leaves_the_other_cpus_entries)
{
    build(2, 1);
    run1(boot0);
    machine_cpu_fn second[2] = {NULL, boot1};
    machine_run(second, NULL, 2, NULL);
    run1(unmap_local);
    cr_assert_eq(during[0], 0x101, "both CPUs hold it: 0x%x", during[0]);
    cr_assert_eq(during[1], 0x100);
    cr_assert_eq(during[2], 0x100, "DSB NSH does not complete an Inner Shareable TLBI");
    cr_assert_eq(during[3], 0);
    machine_destroy();
}

static void stale_use(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    guest_map(&guest, 4, DATA(0), D_RW);
    guest_store(VA(4), 11);
    guest_unmap(&guest, 4, false); /* no TLBI */
    guest_map(&guest, 4, DATA(1), D_RW);
    guest_store(VA(4), 22);
}

Test(machine, without_a_tlbi_the_old_page_is_written)
{
    build(1, 1);
    struct machine_result r = run1(stale_use);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    uint64_t old_page = 0, new_page = 0;
    cr_assert(sim_phys_read(DATA(0), &old_page) && sim_phys_read(DATA(1), &new_page));
    cr_assert_eq(old_page, 22);
    cr_assert_eq(new_page, 0);
    machine_destroy();
}

static void good_use(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    guest_map(&guest, 4, DATA(0), D_RW);
    guest_store(VA(4), 11);
    guest_unmap(&guest, 4, true);
    guest_map(&guest, 4, DATA(1), D_RW);
    guest_store(VA(4), 22);
}

Test(machine, with_a_tlbi_the_new_page_is_written)
{
    build(1, 1);
    struct machine_result r = run1(good_use);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    uint64_t old_page = 0, new_page = 0;
    cr_assert(sim_phys_read(DATA(0), &old_page) && sim_phys_read(DATA(1), &new_page));
    cr_assert_eq(old_page, 11);
    cr_assert_eq(new_page, 22);
    machine_destroy();
}

static uint32_t walks_held;
static bool count_walks(uint32_t cpu, const struct sim_tlb_entry *e, void *arg)
{
    (void)cpu;
    (void)arg;
    walks_held += e->leaf ? 0 : 1;
    return true;
}

static void unlink_table(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    uint64_t l2 = GUEST_TABLES + 4 * GUEST_PAGE; /* its entry 0 leads to guest.l3 */
    guest_map(&guest, 4, DATA(0), D_RW);
    guest_map(&guest, 5, DATA(1), D_RW);
    kc_plat_desc_store(kc_pa(l2), 0);
    kc_plat_barrier(KC_DSB_ISHST);
    kc_plat_tlbi(KC_TLBI_VAALE1IS, VA(4) >> 12 & UINT64_C(0xfffffffffff));
    kc_plat_barrier(KC_DSB_ISH);
    walks_held = 0;
    sim_tlb_each_stale(0, count_walks, NULL);
    during[0] = walks_held;
    kc_plat_tlbi(KC_TLBI_VAAE1IS, VA(4) >> 12 & UINT64_C(0xfffffffffff));
    kc_plat_barrier(KC_DSB_ISH);
    walks_held = 0;
    sim_tlb_each_stale(0, count_walks, NULL);
    during[1] = walks_held;
    during[2] = stale_entries(); /* page 5 was valid below the table: it is still held */
}

Test(machine, a_last_level_tlbi_leaves_the_cached_table_and_one_page_leaves_its_sister)
{
    build(1, 1);
    struct machine_result r = run1(unlink_table);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(during[0], 1);
    cr_assert_eq(during[1], 0);
    cr_assert_eq(during[2], 1);
    machine_destroy();
}

static void asids(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    uint64_t at = guest.l3_user + 8 * (GUEST_UVA >> 12 & 0x1ff);
    kc_plat_desc_store(kc_pa(at), DATA(2) | D_RW | D_AP(1) | D_NG | D_PAGE);
    kc_plat_barrier(KC_DSB_ISHST);
    kc_plat_barrier(KC_ISB);
    /* away to another ASID with an empty table, then the page goes */
    kc_plat_sysreg_write(KC_TTBR0_EL1, DATA(30) | UINT64_C(2) << 48);
    kc_plat_barrier(KC_ISB);
    kc_plat_desc_store(kc_pa(at), 0);
    kc_plat_barrier(KC_DSB_ISHST);
    during[0] = stale_entries();
    kc_plat_tlbi(KC_TLBI_ASIDE1IS, UINT64_C(2) << 48);
    kc_plat_barrier(KC_DSB_ISH);
    during[1] = stale_entries();
    kc_plat_tlbi(KC_TLBI_ASIDE1IS, UINT64_C(1) << 48);
    kc_plat_barrier(KC_DSB_ISH);
    during[2] = stale_entries();
    /* and since then nothing of that ASID can be held */
    kc_plat_desc_store(kc_pa(at), DATA(2) | D_RW | D_AP(1) | D_NG | D_PAGE);
    kc_plat_barrier(KC_DSB_ISHST);
    kc_plat_desc_store(kc_pa(at), 0);
    kc_plat_barrier(KC_DSB_ISHST);
    during[3] = stale_entries();
}

Test(machine, entries_outlive_the_switch_of_their_asid_until_it_is_invalidated)
{
    build(1, 1);
    struct machine_result r = run1(asids);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(during[0], 1);
    cr_assert_eq(during[1], 1);
    cr_assert_eq(during[2], 0);
    cr_assert_eq(during[3], 0);
    machine_destroy();
}

static void use_before_dsb(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    kc_plat_desc_store(kc_pa(guest.l3 + 8 * 4), DATA(0) | D_RW | D_PAGE);
    guest_load(VA(4));
}

Test(machine, a_mapping_is_not_there_before_its_dsb)
{
    build(1, 1);
    struct machine_result r = run1(use_before_dsb);
    cr_assert_eq(r.end, MACHINE_END_FAULT);
    cr_assert_eq(last_fault.esr, 0x96000007u);
    machine_destroy();
}

/* ---- coherence of what is pending --------------------------------------------------------------
 */

static void store_page(uint32_t i)
{
    kc_plat_desc_store(kc_pa(guest.l3 + 8 * 4), DATA(i) | D_RW | D_PAGE);
}

static void store_first(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    store_page(0);
}

static void store_second(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    store_page(1);
}

static struct sim_walk fresh_walk; /* not by the TLB, which may hold the first page */

static void order_and_walk(uint32_t cpu, void *arg)
{
    (void)arg;
    kc_plat_barrier(KC_DSB_ISHST);
    kc_plat_barrier(KC_ISB);
    sim_translate(cpu, VA(4), &fresh_walk);
}

/* CPU 0 stores a descriptor, then CPU 1 `second` to the same place; `who` orders its store. */
static struct machine_result two_stores_of(machine_cpu_fn second, uint32_t who)
{
    struct machine_result r;
    machine_cpu_fn fn[2] = {NULL, boot1};
    build(2, 1);
    run1(boot0);
    machine_run(fn, NULL, 2, NULL);
    run1(store_first);
    fn[1] = second;
    machine_run(fn, NULL, 2, NULL);
    fn[0] = who == 0 ? order_and_walk : NULL;
    fn[1] = who == 1 ? order_and_walk : NULL;
    machine_run(fn, NULL, 2, &r);
    return r;
}

static struct machine_result two_stores(uint32_t who)
{
    return two_stores_of(store_second, who);
}

/* Coherence (B2.3, "Coherence order"): once the younger store is visible, so is the older one. */
Test(machine, a_visible_store_leaves_no_older_pending_store_of_another_cpu)
{
    struct machine_result r = two_stores(1);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert(fresh_walk.ok);
    cr_assert_eq(fresh_walk.entry.pa, DATA(1));
    machine_destroy();
}

/* Once the older store is visible, what preceded it is gone, whatever the younger one's state. */
Test(machine, a_visible_store_hides_what_preceded_it_though_a_younger_one_is_pending)
{
    struct machine_result r = two_stores(0);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert(fresh_walk.ok);
    cr_assert_eq(fresh_walk.entry.pa, DATA(0));
    machine_destroy();
}

/* The younger store may be of the very same value: it is a store, and hides what came before. */
Test(machine, a_visible_store_of_the_same_value_leaves_no_older_pending_one)
{
    struct machine_result r = two_stores_of(store_first, 1);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert(fresh_walk.ok);
    cr_assert_eq(fresh_walk.entry.pa, DATA(0));
    machine_destroy();
}

static void two_makes_one_dsb(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    store_page(0);
    store_page(1);
    kc_plat_barrier(KC_DSB_ISH);
    during[0] = stale_entries();
}

Test(machine, a_value_that_no_dsb_made_visible_may_have_been_walked)
{
    build(1, 1);
    struct machine_result r = run1(two_makes_one_dsb);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(during[0], 1, "the first page may be in the TLB");
    machine_destroy();
}

/* A level hint other than the leaf's lets the entry stay (C5.5, "TTL"); so does a wrong granule. */
static void hints(uint32_t cpu, void *arg)
{
    boot0(cpu, arg);
    uint64_t va = VA(4) >> 12 & UINT64_C(0xfffffffffff);
    guest_map(&guest, 4, DATA(0), D_RW);
    kc_plat_desc_store(kc_pa(guest.l3 + 8 * 4), 0);
    kc_plat_barrier(KC_DSB_ISHST);
    static const uint64_t ttl[3] = {0x6, 0xb, 0x7};
    for (uint32_t i = 0; i < 3; i++) { /* level 2 of 4 KiB; level 3 of 16 KiB; level 3 of 4 KiB */
        kc_plat_tlbi(KC_TLBI_VAALE1IS, va | ttl[i] << 44);
        kc_plat_barrier(KC_DSB_ISH);
        during[i] = stale_entries();
    }
}

Test(machine, a_wrong_level_hint_invalidates_nothing)
{
    build(1, 1);
    struct machine_result r = run1(hints);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(during[0], 1);
    cr_assert_eq(during[1], 1);
    cr_assert_eq(during[2], 0);
    machine_destroy();
}

/* ---- CPUs ----------------------------------------------------------------------------------- */

#define ROUNDS 20u

static void count_boot(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    guest_mmu_on(&guest);
    guest_count(&guest, ROUNDS);
}

static struct machine_result two_cpus(uint64_t seed)
{
    struct machine_result r;
    build(2, seed);
    run1(boot0);
    machine_cpu_fn fn[2] = {count_boot, count_boot};
    machine_run(fn, NULL, 2, &r);
    uint64_t value = 0;
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert(sim_phys_read(guest.counter_pa, &value));
    cr_assert_eq(value, 2 * ROUNDS);
    machine_destroy();
    return r;
}

Test(machine, a_hundred_seeds_give_more_than_fifty_schedules)
{
    uint64_t seen[100];
    uint32_t distinct = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        uint64_t hash = two_cpus(seed).schedule;
        bool is_new = true;
        for (uint32_t i = 0; i < distinct; i++) {
            is_new &= seen[i] != hash;
        }
        if (is_new) {
            seen[distinct++] = hash;
        }
    }
    cr_assert_gt(distinct, 50, "%u distinct schedules", distinct);
}

Test(machine, one_seed_is_one_schedule)
{
    for (uint64_t seed = 7; seed < 12; seed++) {
        struct machine_result a = two_cpus(seed);
        struct machine_result b = two_cpus(seed);
        cr_assert_eq(a.schedule, b.schedule);
        cr_assert_eq(a.steps, b.steps);
        cr_assert_eq(a.ticks, b.ticks);
    }
}

static void wait_for_ever(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    for (;;) {
        kc_plat_relax();
    }
}

Test(machine, deadlock_is_told)
{
    struct machine_config c;
    const char *why;
    struct machine_result r;
    machine_config_default(&c);
    c.stuck_limit = 1000;
    cr_assert_eq(machine_create(&c, &why), KC_OK);
    machine_cpu_fn fn[2] = {wait_for_ever, wait_for_ever};
    machine_run(fn, NULL, 2, &r);
    cr_assert_eq(r.end, MACHINE_END_DEADLOCK);
    machine_destroy();
}

static uint32_t ipis[SIM_CPUS_MAX], timers;
static void on_ipi(void *arg, uint32_t cpu)
{
    (void)arg;
    ipis[cpu]++;
}
static void on_timer(void *arg, uint32_t cpu)
{
    (void)arg;
    (void)cpu;
    timers++;
}
static void wait_for_ipi(uint32_t cpu, void *arg)
{
    (void)arg;
    kc_plat_irq_restore(0);
    while (ipis[cpu] == 0) {
        kc_plat_wait();
    }
}
static void main_of_cpu(void *arg, uint32_t cpu, void *cpu_arg)
{
    (void)arg;
    cr_expect_eq(*(uint64_t *)cpu_arg, 4711);
    wait_for_ipi(cpu, NULL);
}
static uint64_t cpu_arg_value = 4711;
static void entry_of_cpu(uint32_t cpu, void *arg)
{
    (void)cpu;
    cr_expect_eq(*(uint64_t *)arg, 4711);
    cr_expect_eq(kc_plat_sysreg_read(KC_SCTLR_EL1) & 1, 0);
}
static void start_others(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    for (uint32_t i = 1; i < 4; i++) {
        cr_expect_eq(kc_plat_cpu_start(i, entry_of_cpu, &cpu_arg_value), KC_OK);
    }
    cr_expect_eq(kc_plat_cpu_start(1, entry_of_cpu, &cpu_arg_value), KC_ERR_STATE);
    cr_expect_eq(kc_plat_cpu_start(4, entry_of_cpu, &cpu_arg_value), KC_ERR_RANGE);
    kc_plat_irq_restore(0);
    kc_plat_timer(kc_plat_ticks() + UINT64_C(1000000000));
    while (timers == 0) {
        kc_plat_wait();
    }
    kc_plat_ipi(0xe);
}

Test(machine, cpus_start_and_take_interrupts)
{
    struct machine_config c;
    const char *why;
    machine_config_default(&c);
    c.cpus = 4;
    c.hooks.ipi = on_ipi;
    c.hooks.timer = on_timer;
    c.hooks.cpu_main = main_of_cpu;
    cr_assert_eq(machine_create(&c, &why), KC_OK);
    struct machine_result r = run1(start_others);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(timers, 1);
    cr_assert(ipis[0] == 0 && ipis[1] == 1 && ipis[2] == 1 && ipis[3] == 1);
    machine_destroy();
}

/* ---- mutation ------------------------------------------------------------------------------- */

Test(machine, dropping_each_site_of_an_unmap_in_turn_changes_what_is_seen)
{
    /* the last TLBI of good_use: without it the old page is written */
    build(1, 1);
    run1(good_use);
    uint64_t sites = machine_sites();
    cr_assert_eq(machine_site_count(MACHINE_SITE_TLBI), 1);
    machine_destroy();
    uint32_t differ = 0;
    for (uint64_t k = 0; k < sites; k++) {
        build(1, 1);
        machine_mutate(k, MACHINE_DROP);
        struct machine_result r = run1(good_use);
        uint64_t a = 0, b = 0;
        struct machine_site_info info;
        cr_assert(machine_mutated(&info));
        sim_phys_read(DATA(0), &a);
        sim_phys_read(DATA(1), &b);
        bool differs = r.end != MACHINE_END_DONE || a != 11 || b != 22;
        differ += differs;
        if (info.site == MACHINE_SITE_TLBI) {
            cr_assert(differs, "a dropped TLBI must be felt");
        }
        machine_destroy();
    }
    cr_assert_gt(differ, 5, "%u of %lu sites are felt", differ, (unsigned long)sites);
}

/* ---- refusals ------------------------------------------------------------------------------- */

Test(machine, refuses_what_it_cannot_build)
{
    struct machine_config c;
    const char *why;
    machine_config_default(&c);
    c.ram_bytes = 0;
    cr_assert_eq(machine_create(&c, &why), KC_ERR_RANGE);
    c.ram_bytes = 4096;
    cr_assert_eq(machine_create(&c, &why), KC_ERR_RANGE);
    c.ram_bytes = 8191;
    cr_assert_eq(machine_create(&c, &why), KC_ERR_ARG);
    c.ram_bytes = (UINT64_C(1) << 40) + 4096;
    cr_assert_eq(machine_create(&c, &why), KC_ERR_RANGE);
    c.ram_bytes = UINT64_MAX & ~UINT64_C(4095);
    cr_assert_eq(machine_create(&c, &why), KC_ERR_RANGE);
    machine_config_default(&c);
    c.cpus = 9;
    cr_assert_eq(machine_create(&c, &why), KC_ERR_RANGE);
    c.cpus = 0;
    cr_assert_eq(machine_create(&c, &why), KC_ERR_RANGE);
    machine_config_default(&c);
    c.pa_bits = 41;
    cr_assert_eq(machine_create(&c, &why), KC_ERR_ARG);
    machine_config_default(&c);
    c.pa_bits = 32;
    c.ram_bytes = UINT64_C(4) << 30;
    cr_assert_eq(machine_create(&c, &why), KC_ERR_RANGE);
    machine_config_default(&c);
    cr_assert_eq(machine_create(&c, &why), KC_OK);
    cr_assert_eq(machine_create(&c, &why), KC_ERR_STATE);
    machine_destroy();
}

static void touch_far(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint64_t top = SIM_RAM_BASE + (UINT64_C(1) << 40) - 8;
    guest_tables(&guest);
    guest_mmu_on(&guest);
    guest_map(&guest, 0, (top & ~UINT64_C(4095)), D_RW);
    guest_store(VA(0) + 4088, 99);
}

Test(machine, a_tebibyte_is_sparse)
{
    struct machine_config c;
    const char *why;
    uint64_t value = 0;
    machine_config_default(&c);
    c.ram_bytes = UINT64_C(1) << 40;
    cr_assert_eq(machine_create(&c, &why), KC_OK, "%s", why);
    struct machine_result r = run1(touch_far);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert(sim_phys_read(SIM_RAM_BASE + (UINT64_C(1) << 40) - 8, &value) && value == 99);
    machine_destroy();
}
