/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * locks.c: locks as they are noted: who holds them, what happens before what, and what the release
 * of the lock of some tables declares finished (T6 and its relatives).
 */
#include "monitor_priv.h"

static struct lock *lock_at(struct monitor *m, uint64_t address)
{
    struct lock *l = map_get(&m->locks, address);
    if (l == NULL) {
        l = mon_alloc(sizeof(*l));
        map_put(&m->locks, address, l);
    }
    return l;
}

static void vc_join(uint64_t *to, const uint64_t *from)
{
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        to[i] = to[i] > from[i] ? to[i] : from[i];
    }
}

static bool is_table_lock(struct monitor *m, uint64_t address)
{
    const struct lock *l = map_get(&m->locks, address);
    return l != NULL && l->of_tables;
}

/* The lock of some tables is released: what was changed under it is declared finished. */
static void publish(struct monitor *m, uint32_t cpu, uint64_t lock)
{
    if (m->cpu[cpu].changed && is_table_lock(m, lock)) {
        m->cpu[cpu].changed = false;
        (void)judged(m, MON_T6);
        site_needed(m, m->cpu[cpu].complete_site, MON_T6);
        m->cpu[cpu].complete_site = 0;
    }
    for (struct change *c = m->oldest; c != NULL; c = c->next) {
        if (c->cpu != cpu || c->published || c->root->owner == NULL) {
            continue;
        }
        const struct lock *of = map_get(&m->lock_of, (uint64_t)(uintptr_t)c->root->owner);
        if (of == NULL || of != map_get(&m->locks, lock)) {
            continue;
        }
        c->published = true;
        if (m->config.deferred) {
            continue;
        }
        char text[MON_TEXT_MAX];
        snprintf(
            text, sizeof(text),
            "the lock of the tables is released while TLBs of CPU mask %#x may still hold %#llx "
            "for va %#llx",
            c->left, (unsigned long long)c->old_value, (unsigned long long)c->va);
        report_of_change(m, reason_row(change_reason(c)), cpu, c, "the release of the lock", text);
    }
}

void note_lock_taken(struct monitor *m, uint32_t cpu, uint64_t address)
{
    struct lock *l = lock_at(m, address);
    l->taken = true;
    l->holder = cpu + 1;
    vc_join(m->cpu[cpu].vc, l->vc);
}

void note_lock_released(struct monitor *m, uint32_t cpu, uint64_t address)
{
    struct lock *l = lock_at(m, address);
    publish(m, cpu, address);
    l->holder = 0;
    m->cpu[cpu].vc[cpu]++;
    vc_join(l->vc, m->cpu[cpu].vc);
}

void note_lock_of_tables(struct monitor *m, uint64_t address, const void *owner)
{
    lock_at(m, address)->of_tables = true;
    map_put(&m->lock_of, (uint64_t)(uintptr_t)owner, lock_at(m, address));
}
