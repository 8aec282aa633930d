/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs one scenario in a process of its own, for run.py:
 *
 *     scenarios --list                names, one a line
 *     scenarios NAME SEED             reports as JSON lines, then the judgements, on standard
 * output scenarios --count NAME          mutable seam calls of the scenario scenarios --mutate
 * K:drop NAME SEED     the same with the K-th of them (from 1) dropped
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "monitor.h"

#include "scenario.h"

static int list(void)
{
    for (uint32_t i = 0; scenario_at(i) != NULL; i++) {
        puts(scenario_at(i)->name);
    }
    return 0;
}

static struct monitor *attach(uint64_t seed)
{
    struct mon_config config = {.cpu_count = sim_cpus(), .seed = seed, .json = stdout};
    machine_monitor_side(&config.machine);
    struct monitor *m = mon_create(&config);
    if (m != NULL) {
        machine_attach(m);
    }
    return m;
}

static bool build(const struct scenario *sc, uint64_t seed)
{
    struct machine_config mc;
    const char *why = "";
    machine_config_default(&mc);
    mc.ram_bytes = STAGE_RAM;
    mc.seed = seed;
    mc.features |= sc->features;
    if (machine_create(&mc, &why) != KC_OK) {
        fprintf(stderr, "scenarios: no machine: %s\n", why);
        return false;
    }
    return true;
}

static int run(const char *name, uint64_t seed, uint64_t mutate, bool alter, bool count)
{
    const struct scenario *sc = scenario_named(name);
    if (sc == NULL) {
        fprintf(stderr, "scenarios: there is no %s\n", name);
        return 2;
    }
    if (!build(sc, seed)) {
        return 4;
    }
    struct monitor *m = attach(seed);
    if (m == NULL) {
        return 4;
    }
    if (mutate != 0) {
        machine_mutate(mutate - 1, alter ? MACHINE_ALTER : MACHINE_DROP);
    }
    bool ended = scenario_plant(sc);
    if (count) {
        printf("%" PRIu64 "\n", machine_sites());
    } else {
        printf("{\"scenario\":\"%s\",\"row\":\"%s\",\"missing\":\"%s\",\"exact\":%s,\"ended\":%s,"
               "\"judgements\":{",
               sc->name, sc->row, sc->missing != NULL ? sc->missing : "",
               machine_is_exact() ? "true" : "false", ended ? "true" : "false");
        for (uint32_t i = 0; i < MON_ROW_COUNT; i++) {
            printf("%s\"%s\":%" PRIu64, i == 0 ? "" : ",", mon_row_name((enum mon_row)i),
                   mon_judgements(m, (enum mon_row)i));
        }
        puts("}}");
    }
    machine_attach(NULL);
    mon_destroy(m);
    machine_destroy();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        return list();
    }
    if (argc == 3 && strcmp(argv[1], "--count") == 0) {
        return run(argv[2], 1, 0, false, true);
    }
    if (argc == 5 && strcmp(argv[1], "--mutate") == 0) {
        char *how;
        uint64_t k = strtoull(argv[2], &how, 10);
        bool alter = strcmp(how, ":alter") == 0;
        if (k == 0 || (!alter && strcmp(how, ":drop") != 0)) {
            fprintf(stderr, "scenarios: --mutate takes K:drop or K:alter\n");
            return 2;
        }
        return run(argv[3], strtoull(argv[4], NULL, 0), k, alter, false);
    }
    if (argc == 3) {
        return run(argv[1], strtoull(argv[2], NULL, 0), 0, false, false);
    }
    fprintf(stderr, "usage: scenarios --list | --count NAME | [--mutate K:drop] NAME SEED\n");
    return 2;
}
