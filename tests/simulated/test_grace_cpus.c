/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deferred frees among the CPUs of the machine, switched between any two accesses by its seed: one
 * CPU in two replaces objects (at least one), the others read them.
 */
#include "grace_race.h"
#include "kc_test.h"
#include "kc_test_cpus.h"

#include <kc/boot.h>

#define ROUNDS    600u
#define RAM_BYTES KC_MIB(1)

/* In the machine's RAM: accesses there are seen, and CPUs are switched at them. */
static struct grace_race *race;

static void run(uint32_t cpu, void *arg)
{
    (void)arg;
    if (cpu < race->writers) {
        gr_write(race, cpu);
    } else {
        gr_read(race, cpu);
    }
}

Test(grace_cpus, readers_keep_what_they_hold)
{
    cr_assert_geq(kc_test_cpus(), 2);
    struct kc_boot_info info;
    cr_assert(kc_test_ram(RAM_BYTES, &info));
    race = (struct grace_race *)kc_plat_ram(info.range[0].base);
    cr_assert(gr_start(race, kc_test_seed(), kc_test_cpus() / 2, ROUNDS));
    kc_test_on_cpus(run, NULL);
    cr_expect_eq(race->wrong, 0, "broken: 0x%x", race->wrong);
    cr_expect_gt(race->looked, ROUNDS / 8);
    const char *broken = gr_finish(race);
    cr_expect_null(broken, "%s", broken != NULL ? broken : "");
}

static void tell(uint32_t cpu, void *arg)
{
    (void)arg;
    /* The teller is the CPU that is looked at last: a report that finds another one behind has no
     * order from it but the epoch's. */
    if (cpu == kc_test_cpus() - 1) {
        gr_tell(race, cpu);
    } else {
        gr_hear(race, cpu);
    }
}

Test(grace_cpus, what_came_before_a_free_is_seen_after_its_grace_period)
{
    struct kc_boot_info info;
    cr_assert(kc_test_ram(RAM_BYTES, &info));
    race = (struct grace_race *)kc_plat_ram(info.range[0].base);
    cr_assert(gr_start(race, kc_test_seed(), 1, 0));
    kc_test_on_cpus(tell, NULL);
    cr_expect_eq(race->wrong, 0, "broken: 0x%x", race->wrong);
    cr_expect_eq(race->told, GR_NOTES);
    const char *broken = gr_finish(race);
    cr_expect_null(broken, "%s", broken != NULL ? broken : "");
}
