/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sites.c: which seam calls a run needed, for tests/mutate.
 *
 * A run without mutation tells by itself which calls must be missed: the DSB that alone stands
 * between a store and the TLBI that counts, the only TLBI that covers a change, the DSB that
 * completes it before the lock is released, the only DSB and ISB between a new descriptor and its
 * first use. Those carry the row that must report when they are dropped. A call that nothing needed
 * is an equivalent mutant *in that run*.
 */
#include "monitor_priv.h"

uint32_t site_add(struct monitor *m, uint32_t cpu, const char *kind, enum site_role role)
{
    if (m->config.sites == NULL) {
        return 0;
    }
    if (m->site_count == m->site_room) {
        m->site_room = m->site_room * 2 + 1024;
        m->site = mon_resize(m->site, m->site_room * sizeof(*m->site));
    }
    m->site[m->site_count++] = (struct site){kind, cpu, role, -1};
    return m->site_count;
}

void site_role_set(struct monitor *m, uint32_t number, enum site_role role)
{
    if (number != 0) {
        m->site[number - 1].role = role;
    }
}

void site_needed(struct monitor *m, uint32_t number, enum mon_row row)
{
    if (number != 0) {
        m->site[number - 1].row = (int)row;
    }
}

void sites_print(const struct monitor *m)
{
    static const char *const roles[] = {
        [SITE_BUILD] = "builds-unreachable-table",
        [SITE_MAKE] = "makes-live",
        [SITE_BREAK] = "breaks-live",
        [SITE_REWRITE] = "rewrites-same",
        [SITE_ORDER] = "orders-store",
        [SITE_COMPLETE] = "completes-tlbi",
        [SITE_FLUSH] = "invalidates-nothing-owed",
        [SITE_COVER] = "covers-change",
        [SITE_OTHER] = "orders-nothing-judged",
    };
    for (uint32_t i = 0; i < m->site_count; i++) {
        const struct site *s = &m->site[i];
        fprintf(m->config.sites, "%u %u %s %s %s\n", i + 1, s->cpu, s->kind, roles[s->role],
                s->row < 0 ? "-" : mon_row_name((enum mon_row)s->row));
    }
    fflush(m->config.sites);
}
