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

static uint64_t now(void *ctx)
{
    (void)ctx;
    return sim_seq();
}

static uint64_t view(void *ctx, uint32_t cpu)
{
    (void)ctx;
    return sim.cpu[cpu].low ? 0 : SIM_LINEAR_BASE;
}

static uint32_t each_stale(void *ctx, sim_tlb_fn fn, void *arg)
{
    (void)ctx;
    return sim_tlb_each_stale(SIM_ALL_CPUS, fn, arg);
}

static void stop(void *ctx, const char *text)
{
    (void)ctx;
    machine_stop(MACHINE_END_STOPPED, text);
}

void machine_monitor_side(struct mon_machine *out)
{
    *out = (struct mon_machine){.now = now,
                                .read = read_ram,
                                .sysreg = read_sysreg,
                                .each_stale = each_stale,
                                .view = view,
                                .panic = stop,
                                .linear = SIM_LINEAR_BASE};
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
    uint64_t reads = sim.clean_reads - sim.told_reads;
    uint64_t writes = sim.clean_writes - sim.told_writes;
    if (sim.monitor != NULL && reads + writes != 0) {
        mon_access_same(sim.monitor, reads + writes);
    }
    if (sim.monitor != NULL && sim.races_judged != sim.told_races) {
        mon_races_judged(sim.monitor, sim.races_judged - sim.told_races);
    }
    sim.told_races = sim.races_judged;
    sim.told_reads = sim.clean_reads;
    sim.told_writes = sim.clean_writes;
}

void tell_race(struct cpu *c, const struct mon_race *r)
{
    (void)c;
    if (sim.monitor != NULL) {
        mon_race(sim.monitor, r);
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
        settle();
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

void tell_fill(struct cpu *c, const struct tlb_record *r)
{
    if (sim.monitor != NULL) {
        mon_tlb_fill(sim.monitor, c->id, &r->e);
        settle();
    }
}

static struct mon_access access_of(uint64_t va, uint64_t pa, uint32_t bytes,
                                   enum sim_access_kind kind, bool el0)
{
    return (struct mon_access){.va = va,
                               .pa = pa,
                               .size = bytes,
                               .write = kind == SIM_WRITE,
                               .fetch = kind == SIM_FETCH,
                               .el = el0 ? 0 : 1};
}

bool tell_access(struct cpu *c, const struct tlb_record *r, uint64_t va, uint64_t pa,
                 uint32_t bytes, enum sim_access_kind kind, bool el0)
{
    if (sim.monitor == NULL) {
        return true;
    }
    struct mon_access a = access_of(va, pa, bytes, kind, el0);
    bool good = mon_access(sim.monitor, c->id, &a, &r->e);
    settle();
    return good;
}

void tell_fault(struct cpu *c, uint64_t va, uint32_t bytes, enum sim_access_kind kind, bool el0)
{
    if (sim.monitor != NULL) {
        struct mon_access a = access_of(va, 0, bytes, kind, el0);
        mon_fault(sim.monitor, c->id, &a);
        settle();
    }
}

void tell_note(struct cpu *c, enum kc_note kind, uint64_t base, uint64_t size, const void *owner)
{
    sim.seq++;
    uint64_t address;
    if ((kind == KC_NOTE_STACK || kind == KC_NOTE_STACK_FREE) &&
        window_of((const void *)(uintptr_t)base, &address) != NULL) {
        base = address; /* monitors know simulated addresses alone */
    }
    if (sim.monitor != NULL) {
        mon_note(sim.monitor, c->id, kind, base, size, owner);
        settle();
    }
    if (kind == KC_NOTE_TABLE || kind == KC_NOTE_ROOT || kind == KC_NOTE_TABLE_FREE) {
        machine_rejudge();
    }
}
