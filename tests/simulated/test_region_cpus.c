/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A region map among the CPUs of the machine, switched between any two accesses by its seed: one
 * CPU in two changes it (at least one), the others read it.
 */
#include "kc_test.h"
#include "kc_test_cpus.h"
#include "region_race.h"

#include <kc/boot.h>

#define ROUNDS    2000u
#define RAM_BYTES KC_MIB(1)

/* In the machine's RAM: accesses there are seen, and CPUs are switched at them. */
static struct region_race *race;

static void run(uint32_t cpu, void *arg)
{
    (void)arg;
    if (cpu < race->writers) {
        rr_write(race, cpu);
    } else {
        rr_read(race, cpu);
    }
}

Test(region_cpus, lookups_while_regions_change)
{
    cr_assert_geq(kc_test_cpus(), 2);
    struct kc_boot_info info;
    cr_assert(kc_test_ram(RAM_BYTES, &info));
    race = (struct region_race *)kc_plat_ram(info.range[0].base);
    cr_assert(rr_start(race, kc_test_seed(), kc_test_cpus() / 2, ROUNDS));
    kc_test_on_cpus(run, NULL);
    cr_expect_eq(race->wrong, 0, "broken: 0x%x", race->wrong);
    cr_expect_gt(race->looked, ROUNDS / 8);
    cr_expect_null(rr_finish(race));
}
