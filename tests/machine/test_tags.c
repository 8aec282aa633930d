/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory tags of the machine (sim/machine/tags.c), at hardening tagged. The same file is linked
 * with the native and with the exact library; only the exact one sees the accesses.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "guest.h"

static struct guest guest;
static struct machine_fault last_fault;
static uint32_t fault_count;
static uint8_t *retag; /* the fault handler gives the granule there this pointer's tag */
static uint32_t retag_to;

static bool on_fault(void *arg, const struct machine_fault *f)
{
    (void)arg;
    last_fault = *f;
    fault_count++;
    if (retag != NULL) {
        kc_plat_tag_set(retag, 1, retag_to);
    }
    return retag != NULL;
}

static struct machine_result run(machine_cpu_fn fn)
{
    struct machine_config c;
    struct machine_result r;
    const char *why = NULL;
    machine_config_default(&c);
    c.cpus = 1;
    c.ram_bytes = UINT64_C(64) << 20;
    c.hooks.fault = on_fault;
    cr_assert_eq(machine_create(&c, &why), KC_OK, "%s", why);
    fault_count = 0;
    machine_run(&fn, NULL, 1, &r);
    return r;
}

#define DATA(i) (SIM_RAM_BASE + UINT64_C(0x100000) + (uint64_t)(i)*GUEST_PAGE)
#define VA(i)   (GUEST_KVA + (uint64_t)(i)*GUEST_PAGE)
#define LINEAR  (SIM_LINEAR_BASE + DATA(0))

/* The MMU on, and a pointer to memory of the linear map. */
static uint8_t *boot(void)
{
    guest_tables(&guest);
    guest_mmu_on(&guest);
    return (uint8_t *)kc_plat_ram(kc_pa(DATA(0)));
}

static void expect_done(machine_cpu_fn fn)
{
    struct machine_result r = run(fn);
    cr_expect_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    machine_destroy();
}

/* The run ends with that fault; exact only, for natively a wrong tag is not noticed. */
static void expect_fault(machine_cpu_fn fn, uint64_t esr, uint64_t far, const char *text)
{
    struct machine_result r = run(fn);
    if (!machine_is_exact()) {
        cr_expect_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    } else {
        cr_expect_eq(r.end, MACHINE_END_FAULT, "%s", r.text);
        cr_expect_eq(fault_count, 1);
        cr_expect_eq(last_fault.esr, esr, "0x%lx", last_fault.esr);
        cr_expect_eq(last_fault.far, far, "0x%lx", last_fault.far);
        cr_expect_eq(r.fault.far, far);
        cr_expect_str_eq(r.text, text);
    }
    machine_destroy();
}

/* ---- tags of memory and of pointers --------------------------------------------------------- */

static void look_at_fresh(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    cr_expect_eq(kc_plat_tag_granule(), 16);
    for (uint64_t at = 0; at < 4 * GUEST_PAGE; at += 16) {
        cr_assert_eq(kc_plat_tag_get(p + at), 0);
    }
    cr_expect_eq(kc_plat_tag_get(kc_plat_ram(kc_pa(SIM_RAM_BASE + (UINT64_C(64) << 20) - 1))), 0);
    cr_expect_eq(kc_plat_tag_with(p, 0), (void *)p, "a pointer of kc_plat_ram() has tag 0");
}

Test(machine_tags, fresh_memory_and_its_pointers_have_tag_0)
{
    expect_done(look_at_fresh);
    expect_done(look_at_fresh); /* of another machine, too */
}

static void set_and_get(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    for (uint32_t tag = 0; tag < 16; tag++) {
        /* From within a granule, over the end of a page, into another granule. */
        uint8_t *from = p + GUEST_PAGE - 24;
        uint8_t *tagged = (uint8_t *)kc_plat_tag_set(from, 33, tag);
        cr_expect_eq(tagged, (uint8_t *)kc_plat_tag_with(from, tag));
        cr_expect_eq(tagged == from, tag == 0);
        cr_expect_eq(kc_plat_tag_with(tagged, 0), (void *)from);
        cr_expect_eq(kc_plat_tag_with(tagged, tag ^ 5), kc_plat_tag_with(from, tag ^ 5));
        for (uint32_t at = 0; at < 96; at++) {
            bool inside = at >= 32 && at < 80;
            cr_assert_eq(kc_plat_tag_get(p + GUEST_PAGE - 64 + at), inside ? tag : 0, "%u", at);
        }
        cr_expect_eq(kc_plat_tag_get(tagged + 1), tag, "whatever the pointer carries");
        cr_expect_eq(kc_plat_tag_set(tagged, 0, 3), kc_plat_tag_with(from, 3), "of no bytes");
        cr_expect_eq(kc_plat_tag_get(from), tag);
    }
}

Test(machine_tags, what_is_set_is_got)
{
    expect_done(set_and_get);
}

static void translate(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    for (uint32_t tag = 0; tag < 16; tag++) {
        uint8_t *tagged = (uint8_t *)kc_plat_tag_set(p, 16, tag) + 8;
        enum sim_window window = SIM_WINDOW_USER;
        uint64_t address = 0;
        cr_expect_eq(kc_pa_raw(kc_plat_ram_pa(tagged)), DATA(0) + 8);
        cr_expect_eq(kc_va_raw(kc_plat_ptr_va(tagged)), LINEAR + 8);
        cr_expect_eq(kc_plat_low(tagged), kc_plat_low(p + 8));
        cr_expect(sim_pointer(tagged, &window, &address));
        cr_expect_eq(window, SIM_WINDOW_KERNEL);
        cr_expect_eq(address, LINEAR + 8);
        cr_expect(sim_pointer_pa(tagged, &address) && address == DATA(0) + 8);
        guest_store_to(tagged, 100 + tag);
        cr_expect(sim_phys_read(DATA(0) + 8, &address) && address == 100 + tag);
        cr_expect_eq(guest_load_from(tagged), 100 + tag);
    }
}

Test(machine_tags, a_pointer_means_the_same_memory_whatever_its_tag)
{
    expect_done(translate);
}

static void map_twice(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    guest_map(&guest, 1, DATA(0), D_RW);
    uint8_t *other = (uint8_t *)kc_plat_ptr(kc_va(VA(1)));
    kc_plat_tag_set(p + 32, 16, 9);
    cr_expect_eq(kc_plat_tag_get(other + 32), 9);
    guest_store_to(kc_plat_tag_with(other + 32, 9), 7);
    cr_expect_eq(guest_load_from(kc_plat_tag_with(p + 32, 9)), 7);
}

Test(machine_tags, tags_are_of_memory_not_of_addresses)
{
    expect_done(map_twice);
}

static void try_without(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    static uint8_t here[32];
    uint8_t *low = (uint8_t *)kc_plat_ram(kc_pa(DATA(0))); /* MMU off */
    cr_expect_eq(kc_plat_tag_set(low, 16, 6), (void *)low);
    cr_expect_eq(kc_plat_tag_get(low), 0);
    uint8_t *p = boot();
    cr_expect_eq(kc_plat_tag_get(p), 0);
    void *user = kc_plat_uptr(kc_uva(GUEST_UVA));
    cr_expect_eq(kc_plat_tag_set(user, 16, 6), user);
    cr_expect_eq(kc_plat_tag_with(user, 6), user);
    cr_expect_eq(kc_plat_tag_get(user), 0);
    cr_expect_eq(kc_plat_tag_set(here, 16, 6), (void *)here);
    cr_expect_eq(kc_plat_tag_get(here), 0);
}

Test(machine_tags, other_memory_than_the_kernel_window_has_none)
{
    expect_done(try_without);
}

/* ---- what is checked ------------------------------------------------------------------------ */

static void load_wrong(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    uint8_t *tagged = (uint8_t *)kc_plat_tag_set(p, 32, 5);
    guest_load_from(tagged + 16); /* the page has been judged good */
    guest_load_from(kc_plat_tag_with(p + 16, 3));
}

Test(machine_tags, a_load_through_another_tag_faults)
{
    /* EC 0x25, IL, DFSC 0b010001: synchronous tag check fault (D17.2.37) */
    expect_fault(load_wrong, 0x96000011u, LINEAR + 16,
                 "read of 8 bytes at 0xffff000080100010: tag check fault at 0xffff000080100010: "
                 "the pointer has tag 3, memory 5 (ESR_EL1 0x96000011)");
}

static void store_wrong(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    kc_plat_tag_set(p, 32, 5);
    guest_store_to(kc_plat_tag_with(p + 8, 12), 1);
}

Test(machine_tags, a_store_through_another_tag_faults)
{
    expect_fault(store_wrong, 0x96000051u, LINEAR + 8,
                 "write of 8 bytes at 0xffff000080100008: tag check fault at 0xffff000080100008: "
                 "the pointer has tag 12, memory 5 (ESR_EL1 0x96000051)");
}

static void load_freed(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    uint8_t *tagged = (uint8_t *)kc_plat_tag_set(p, 32, 5);
    guest_store_to(tagged, 1);
    kc_plat_tag_set(p, 32, 0);
    guest_load_from(p);
    guest_load_from(tagged);
}

Test(machine_tags, a_pointer_whose_memory_lost_its_tag_faults)
{
    expect_fault(load_freed, 0x96000011u, LINEAR,
                 "read of 8 bytes at 0xffff000080100000: tag check fault at 0xffff000080100000: "
                 "the pointer has tag 5, memory 0 (ESR_EL1 0x96000011)");
}

static void load_plain(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    guest_load_from(p);
    kc_plat_tag_set(p, 16, 1);
    guest_load_from(p + 16);
    guest_load_from(p);
}

Test(machine_tags, a_pointer_with_tag_0_is_checked)
{
    expect_fault(load_plain, 0x96000011u, LINEAR,
                 "read of 8 bytes at 0xffff000080100000: tag check fault at 0xffff000080100000: "
                 "the pointer has tag 0, memory 1 (ESR_EL1 0x96000011)");
}

static void store_over(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    uint8_t *tagged = (uint8_t *)kc_plat_tag_set(p, 32, 7);
    guest_store_to(tagged + 12, 1); /* over two granules, of one tag */
    guest_store_to(tagged + 24, 1);
    guest_store_to(tagged + 28, 1);
}

Test(machine_tags, an_access_over_two_granules_faults_for_the_second)
{
    expect_fault(store_over, 0x96000051u, LINEAR + 32,
                 "write of 8 bytes at 0xffff00008010001c: tag check fault at 0xffff000080100020: "
                 "the pointer has tag 7, memory 0 (ESR_EL1 0x96000051)");
}

static void copy_over(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    uint8_t *tagged = (uint8_t *)kc_plat_tag_set(p, 2 * GUEST_PAGE - 16, 7);
    guest_copy_to(tagged + 8, p + 4 * GUEST_PAGE, 2 * GUEST_PAGE - 24);
    guest_copy_to(tagged + 8, p + 4 * GUEST_PAGE, 2 * GUEST_PAGE - 23);
}

/* Page by page: what is left for the second one is what the fault is of. */
Test(machine_tags, a_copy_over_pages_faults_for_its_last_granule)
{
    expect_fault(copy_over, 0x96000051u, LINEAR + 2 * GUEST_PAGE - 16,
                 "write of 4081 bytes at 0xffff000080101000: tag check fault at "
                 "0xffff000080101ff0: the pointer has tag 7, memory 0 (ESR_EL1 0x96000051)");
}

static void zero_wrong(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    kc_plat_tag_set(p + 48, 16, 2);
    kc_plat_cache(KC_DC_ZVA, p);
}

Test(machine_tags, what_the_seam_does_to_memory_is_checked)
{
    expect_fault(zero_wrong, 0x96000051u, LINEAR + 48,
                 "write of 64 bytes at 0xffff000080100000: tag check fault at 0xffff000080100030: "
                 "the pointer has tag 0, memory 2 (ESR_EL1 0x96000051)");
}

static void load_answered(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    kc_plat_tag_set(p, 16, 4);
    retag = p;
    retag_to = 0;
    guest_load_from(p);
    retag = NULL;
    cr_expect_eq(fault_count, machine_is_exact() ? 1 : 0);
    cr_expect_eq(kc_plat_tag_get(p), machine_is_exact() ? 0 : 4);
}

Test(machine_tags, a_handler_may_retag_and_retry)
{
    expect_done(load_answered);
}

static void load_answered_in_vain(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    retag = p;
    retag_to = 4;
    kc_plat_tag_set(p, 16, 4);
    guest_load_from(p);
}

Test(machine_tags, a_handler_in_vain_ends_the_run)
{
    struct machine_result r = run(load_answered_in_vain);
    retag = NULL;
    cr_expect_eq(r.end, machine_is_exact() ? MACHINE_END_FAULT : MACHINE_END_DONE, "%s", r.text);
    machine_destroy();
}

/* ---- translation ---------------------------------------------------------------------------- */

static void load_unmapped(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    boot();
    guest_map(&guest, 1, DATA(1), D_RW);
    uint8_t *tagged = (uint8_t *)kc_plat_tag_set(kc_plat_ptr(kc_va(VA(1))), 16, 8);
    guest_store_to(tagged, 1);
    guest_unmap(&guest, 1, true);
    guest_load_from(tagged);
}

Test(machine_tags, an_invalidation_ends_every_alias)
{
    struct machine_result r = run(load_unmapped);
    cr_expect_eq(r.end, MACHINE_END_FAULT, "%s", r.text);
    cr_expect_eq(last_fault.esr, 0x96000007u, "0x%lx", last_fault.esr);
    cr_expect_eq(last_fault.far, VA(1));
    machine_destroy();
}

static void load_remapped(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint8_t *p = boot();
    guest_map(&guest, 1, DATA(1), D_RW);
    uint8_t *tagged = (uint8_t *)kc_plat_tag_set(kc_plat_ptr(kc_va(VA(1))), 16, 8);
    guest_store_to(tagged, 1);
    kc_plat_tag_set(p + 2 * GUEST_PAGE, 16, 8);
    guest_store_to(kc_plat_tag_with(p + 2 * GUEST_PAGE, 8), 2);
    guest_unmap(&guest, 1, true);
    guest_map(&guest, 1, DATA(2), D_RW);
    cr_expect_eq(guest_load_from(tagged), 2);
}

Test(machine_tags, an_alias_shows_what_is_mapped_now)
{
    expect_done(load_remapped);
}

/* A permission fault of a store to VA(1). */
static void expect_refused(machine_cpu_fn fn)
{
    struct machine_result r = run(fn);
    cr_expect_eq(r.end, MACHINE_END_FAULT, "%s", r.text);
    cr_expect_eq(last_fault.esr, 0x9600004fu, "0x%lx", last_fault.esr);
    cr_expect_eq(last_fault.far, VA(1));
    machine_destroy();
}

/* VA(1) is the same memory read-only, with tag 8 and read once. */
static uint8_t *read_only(void)
{
    uint8_t *p = boot();
    guest_map(&guest, 1, DATA(0), D_RO);
    kc_plat_tag_set(p, 16, 8);
    uint8_t *tagged = (uint8_t *)kc_plat_tag_with(kc_plat_ptr(kc_va(VA(1))), 8);
    guest_load_from(tagged);
    return tagged;
}

static void store_read_only(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    guest_store_to(read_only(), 1);
}

Test(machine_tags, an_alias_has_the_permissions_of_its_page)
{
    expect_refused(store_read_only);
}

static void store_twice_wrong(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    guest_store_to(kc_plat_tag_with(read_only(), 9), 1);
}

Test(machine_tags, faults_of_the_translation_come_first)
{
    expect_refused(store_twice_wrong);
}

static void tag_read_only(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    boot();
    guest_map(&guest, 1, DATA(0), D_RO);
    uint8_t *p = (uint8_t *)kc_plat_ptr(kc_va(VA(1)));
    cr_expect_eq(kc_plat_tag_get(p), 0);
    kc_plat_tag_set(p, 16, 8);
}

/* D6: a store of a tag is a store to its address. */
Test(machine_tags, a_tag_is_set_where_one_may_write)
{
    expect_refused(tag_read_only);
}
