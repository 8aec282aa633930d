/* SPDX-License-Identifier: BSD-2-Clause */
/* races.c: row R1. The machine has found the pair (sim/machine/race.c); here it gets its words. */
#include "monitor_priv.h"

static const char *verb(bool write, bool atomic)
{
    return atomic  ? write ? "wrote (atomic)" : "read (atomic)"
           : write ? "wrote (plain)"
                   : "read (plain)";
}

bool mon_wants_races(const struct monitor *m)
{
    return m->policy[MON_R1] != MON_OFF;
}

void mon_races_judged(struct monitor *m, uint64_t n)
{
    m->judgements[MON_R1] += n;
}

void mon_race(struct monitor *m, const struct mon_race *race)
{
    struct mon_report r;
    report_begin(&r, MON_R1, race->second.cpu);
    r.pa = race->pa;
    char where[sizeof(race->where) + 8];
    if (race->where[0] != 0) {
        snprintf(where, sizeof(where), "%s", race->where);
    } else {
        snprintf(where, sizeof(where), "pa %#llx", (unsigned long long)race->pa);
    }
    snprintf(r.sentence, sizeof(r.sentence),
             "%s of %s, which CPU %u %s, and nothing orders the two",
             race->second.write ? "write" : "read", where, race->first.cpu,
             race->first.write ? "wrote" : "read");
    report_cause(&r, race->first.at, race->first.cpu, "%s it in %s (code +%#x)",
                 verb(race->first.write, race->first.atomic), race->first.where, race->first.code);
    report_cause(&r, race->second.at, race->second.cpu, "%s it in %s (code +%#x)",
                 verb(race->second.write, race->second.atomic), race->second.where,
                 race->second.code);
    if (race->held) {
        snprintf(r.missing, sizeof(r.missing),
                 "missing: an acquire load or fence on CPU %u: a relaxed load has read what CPU %u "
                 "released after the first",
                 race->second.cpu, race->first.cpu);
    } else {
        snprintf(r.missing, sizeof(r.missing),
                 "missing: a release store on CPU %u after the first, an acquire load of it on CPU "
                 "%u before the second",
                 race->first.cpu, race->second.cpu);
    }
    report_end(m, &r, (race->first.code * 0x9e3779b1u ^ race->second.code) & 0xffffffff);
}
