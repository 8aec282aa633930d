/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tell.c: the one place where the machine calls the monitors.
 *
 * Each tell_ stands for one event of sim/monitor/monitor.h and is called before the event takes
 * effect. After each, a changed mon_epoch() means that accesses judged good before must be judged
 * again: then nobody may rely on pages judged before (machine_rejudge).
 */
#include "machine_priv.h"

static uint64_t last_epoch;

static void settle(void)
{
    uint64_t epoch = mon_epoch(sim.monitor);
    if (epoch != last_epoch) {
        tell_same();
        last_epoch = epoch;
        machine_rejudge();
    }
}

static bool read_ram(void *ctx, uint64_t pa, uint64_t *out)
{
    (void)ctx;
    return sim_phys_read(pa, out);
}

static uint64_t read_sysreg(void *ctx, uint32_t cpu, enum kc_sysreg reg)
{
    (void)ctx;
    return sim_sysreg(cpu, reg);
}

static void each_entry(void *ctx, uint32_t cpu, mon_entry_fn *fn, void *arg)
{
    (void)ctx;
    struct tlb *t = &sim.cpu[cpu].tlb;
    struct tlb_list *lists[2] = {&t->stale, &t->clean};
    for (uint32_t i = 0; i < 2; i++) {
        for (struct tlb_record *r = lists[i]->first; r != NULL; r = r->next_in) {
            fn(arg, cpu, &r->mon);
        }
    }
}

static void stop(void *ctx, const char *text)
{
    (void)ctx;
    machine_stop(MACHINE_END_STOPPED, text);
}

void machine_monitor_side(struct mon_machine *out)
{
    *out = (struct mon_machine){.read = read_ram,
                                .sysreg = read_sysreg,
                                .each_entry = each_entry,
                                .panic = stop};
}

void machine_attach(struct monitor *m)
{
    tell_same();
    sim.monitor = m;
    last_epoch = m != NULL ? mon_epoch(m) : 0;
    machine_rejudge();
}

void tell_same(void)
{
    if (sim.monitor != NULL && sim.clean != sim.clean_told) {
        mon_access_same(sim.monitor, sim.clean - sim.clean_told);
        sim.clean_told = sim.clean;
    }
}

void tell_cpu(struct cpu *c, bool on)
{
    sim.seq++;
    if (sim.monitor != NULL) {
        mon_cpu(sim.monitor, c->id, on);
        settle();
    }
}

void tell_store(struct cpu *c, uint64_t pa, uint64_t old, uint64_t value, enum mon_store_kind kind)
{
    sim.seq++;
    if (sim.monitor != NULL) {
        mon_desc_store(sim.monitor, c->id, pa, old, value, kind);
        settle();
    }
}

void tell_load(struct cpu *c, uint64_t pa)
{
    if (sim.monitor != NULL) {
        mon_desc_load(sim.monitor, c->id, pa);
    }
}

void tell_plain(struct cpu *c, uint64_t pa, uint32_t bytes, bool write)
{
    if (sim.monitor != NULL) {
        mon_plain_access(sim.monitor, c->id, pa, bytes, write);
        settle();
    }
}

bool tell_is_table(uint64_t pa)
{
    return sim.monitor != NULL && mon_is_table(sim.monitor, pa);
}

void tell_barrier(struct cpu *c, enum kc_barrier kind)
{
    sim.seq++;
    if (sim.monitor != NULL) {
        mon_barrier(sim.monitor, c->id, kind);
        settle();
    }
}

void tell_sync(struct cpu *c)
{
    sim.seq++;
    if (sim.monitor != NULL) {
        mon_context_sync(sim.monitor, c->id);
        settle();
    }
}

void tell_tlbi(struct cpu *c, enum kc_tlbi op, uint64_t operand)
{
    sim.seq++;
    if (sim.monitor != NULL) {
        mon_tlbi(sim.monitor, c->id, op, operand);
        settle();
    }
}

void tell_sysreg(struct cpu *c, enum kc_sysreg reg, uint64_t old, uint64_t value)
{
    sim.seq++;
    if (sim.monitor != NULL) {
        mon_sysreg_write(sim.monitor, c->id, reg, old, value);
        settle();
    }
}

/* The entry in the monitors' own shape. */
static void translate_entry(struct tlb_record *r)
{
    static uint64_t serial;
    const struct sim_tlb_entry *e = &r->e;
    struct mon_entry *m = &r->mon;
    *m = (struct mon_entry){.va = e->va,
                            .size = e->size,
                            .pa = e->pa,
                            .serial = ++serial,
                            .filled = sim.monitor != NULL ? mon_now(sim.monitor) : e->seq,
                            .root = e->root,
                            .asid = e->asid,
                            .top = (uint8_t)e->step[0].level,
                            .level = e->level,
                            .kind = e->leaf ? MON_ENTRY_LEAF : MON_ENTRY_WALK,
                            .global = e->global,
                            .high = e->half != 0};
    for (uint32_t i = 0; i < e->step_count && i < MON_LEVELS; i++) {
        m->walk_pa[e->step[i].level] = e->step[i].desc_pa;
        m->walk[e->step[i].level] = e->step[i].value;
    }
}

void tell_fill(struct cpu *c, struct tlb_record *r, const struct tlb_record *from)
{
    sim.seq++;
    translate_entry(r);
    if (sim.monitor != NULL) {
        mon_tlb_fill(sim.monitor, c->id, &r->mon, from != NULL ? &from->mon : NULL);
        settle();
    }
}

void tell_access(struct cpu *c, struct tlb_record *r, uint64_t va, uint64_t pa, uint32_t bytes,
                 enum sim_access_kind kind, bool el0)
{
    if (sim.monitor == NULL) {
        return;
    }
    struct mon_access a = {.va = va,
                           .pa = pa,
                           .size = bytes,
                           .write = kind == SIM_WRITE,
                           .fetch = kind == SIM_FETCH,
                           .el = el0 ? 0 : 1};
    mon_access(sim.monitor, c->id, &a, &r->mon);
    settle();
}

void tell_note(struct cpu *c, enum kc_note kind, uint64_t base, uint64_t size, const void *owner)
{
    sim.seq++;
    if (sim.monitor != NULL) {
        mon_note(sim.monitor, c->id, kind, base, size, owner);
        settle();
    }
    if (kind == KC_NOTE_TABLE || kind == KC_NOTE_ROOT || kind == KC_NOTE_TABLE_FREE) {
        machine_rejudge();
    }
}
