/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plat.c: the seam, kc/plat.h, on the simulated machine.
 *
 * Each function is one effect and has the same three parts: a step (time passes, interrupts arrive,
 * the baton may move), the telling of the monitors, the effect. Sites that mutation may alter
 * (barriers, TLBIs, descriptor stores) are counted first.
 *
 * Invariants
 *   I1  the step comes first: between the telling and the effect nothing else happens.
 *   I2  the monitors are told what takes place: of an altered call the altered form, of a dropped
 *       one nothing.
 *   I3  a register write is told and remembered at once, and in effect from the next context
 *       synchronisation on; walks of the adversary may use either until then (walker.c).
 */
#include <string.h>
#include <time.h>

#include "machine_priv.h"
#include "race.h"

/* ---- mutation ------------------------------------------------------------------------------- */

/* Count a site. True: this is the one to alter. */
static bool site(enum machine_site kind, uint32_t what, uint64_t a, uint64_t b, const void *caller)
{
    uint64_t k = machine_sites();
    sim.site_count[kind]++;
    if (!sim.mutate || k != sim.mutate_at) {
        return false;
    }
    sim.mutated = true;
    sim.mutated_site = (struct machine_site_info){kind, sim.cur->id, what, a, b, caller};
    return true;
}

static enum kc_barrier weaker(enum kc_barrier kind)
{
    switch (kind) {
    case KC_DSB_SY:
    case KC_DSB_OSH:
    case KC_DSB_ISH:
        return KC_DSB_NSH;
    case KC_DSB_ST:
    case KC_DSB_OSHST:
    case KC_DSB_ISHST:
        return KC_DSB_NSHST;
    case KC_DSB_NSH:
        return KC_DMB_ISH;
    case KC_DSB_NSHST:
        return KC_DMB_ISHST;
    case KC_DSB_LD:
    case KC_DSB_ISHLD:
    case KC_DMB_SY:
    case KC_DMB_OSH:
    case KC_DMB_ISH:
        return KC_DMB_ISHLD;
    default:
        return KC_BARRIER_COUNT; /* nothing weaker: none at all */
    }
}

static bool local_form(enum kc_tlbi *op)
{
    switch (*op) {
    case KC_TLBI_VMALLE1IS:
        *op = KC_TLBI_VMALLE1;
        return true;
    case KC_TLBI_ASIDE1IS:
        *op = KC_TLBI_ASIDE1;
        return true;
    case KC_TLBI_VAE1IS:
        *op = KC_TLBI_VAE1;
        return true;
    case KC_TLBI_VALE1IS:
        *op = KC_TLBI_VALE1;
        return true;
    case KC_TLBI_VAAE1IS:
        *op = KC_TLBI_VAAE1;
        return true;
    case KC_TLBI_VAALE1IS:
        *op = KC_TLBI_VAALE1;
        return true;
    default:
        return false;
    }
}

/* Another page; of ranges, too: the base field is the lowest in each operand. */
static uint64_t other_page(uint64_t operand)
{
    return operand ^ (uint64_t)0x100;
}

static void do_store(struct cpu *c, uint64_t pa, uint64_t value, enum mon_store_kind kind)
{
    uint64_t old = 0;
    if (!sim_phys_read(pa, &old)) {
        char text[100];
        snprintf(text, sizeof text, "descriptor store at 0x%llx: misaligned or no RAM there",
                 (unsigned long long)pa);
        cpu_end(MACHINE_END_FAULT, text, NULL);
    }
    tell_store(c, pa, old, value, kind);
    walker_store(c, pa, value);
}

static void settle_delayed(struct cpu *c)
{
    if (c->delayed) {
        c->delayed = false;
        do_store(c, c->delayed_pa, c->delayed_value, MON_STORE);
    }
}

/* ---- tables --------------------------------------------------------------------------------- */

uint64_t kc_plat_desc_load(kc_pa_t pa)
{
    cpu_step(true);
    uint64_t value;
    if (!sim_phys_read(kc_pa_raw(pa), &value)) {
        cpu_end(MACHINE_END_FAULT, "descriptor load: misaligned or no RAM there", NULL);
    }
    tell_load(sim.cur, kc_pa_raw(pa));
    if (race_on) {
        race_desc(kc_pa_raw(pa), RACE_LOAD, __ATOMIC_RELAXED, __builtin_return_address(0));
    }
    return value;
}

void kc_plat_desc_store(kc_pa_t pa, uint64_t value)
{
    cpu_step(true);
    struct cpu *c = sim.cur;
    if (site(MACHINE_SITE_DESC_STORE, 0, kc_pa_raw(pa), value, __builtin_return_address(0))) {
        if (sim.mutate_how == MACHINE_ALTER) {
            c->delayed = true;
            c->delayed_pa = kc_pa_raw(pa);
            c->delayed_value = value;
        }
        return;
    }
    if (race_on) {
        race_desc(kc_pa_raw(pa), RACE_STORE, __ATOMIC_RELAXED, __builtin_return_address(0));
    }
    do_store(c, kc_pa_raw(pa), value, MON_STORE);
}

void kc_plat_desc_fill(kc_pa_t pa, uint32_t count, uint64_t value, uint64_t step)
{
    cpu_step(true);
    for (uint32_t i = 0; i < count; i++) {
        if (race_on) {
            race_desc(kc_pa_raw(pa) + 8 * (uint64_t)i, RACE_STORE, __ATOMIC_RELAXED,
                      __builtin_return_address(0));
        }
        do_store(sim.cur, kc_pa_raw(pa) + 8 * (uint64_t)i, value + i * step, MON_FILL);
    }
}

bool kc_plat_desc_cas(kc_pa_t pa, uint64_t *expected, uint64_t value)
{
    cpu_step(true);
    uint64_t old;
    if (!sim_phys_read(kc_pa_raw(pa), &old)) {
        cpu_end(MACHINE_END_FAULT, "descriptor exchange: misaligned or no RAM there", NULL);
    }
    tell_load(sim.cur, kc_pa_raw(pa));
    if (race_on) {
        race_desc(kc_pa_raw(pa), old == *expected ? RACE_RMW : RACE_LOAD, __ATOMIC_ACQ_REL,
                  __builtin_return_address(0));
    }
    if (old != *expected) {
        *expected = old;
        return false;
    }
    do_store(sim.cur, kc_pa_raw(pa), value, MON_CAS);
    return true;
}

/* ---- where memory is ------------------------------------------------------------------------ */

static void *pointer_in(enum sim_window which, uint64_t va, const char *what)
{
    struct window *w = &sim.window[which];
    uint64_t offset = va - w->va;
    if (offset >= w->bytes) {
        char text[160];
        snprintf(text, sizeof text,
                 "%s 0x%llx is outside the machine's window of 0x%llx bytes from 0x%llx", what,
                 (unsigned long long)va, (unsigned long long)w->bytes, (unsigned long long)w->va);
        cpu_end(MACHINE_END_FAULT, text, NULL);
    }
    return w->host + offset;
}

void *kc_plat_ram(kc_pa_t pa)
{
    uint64_t raw = kc_pa_raw(pa);
    if (mmu_is_on(&sim.cur->now) && !sim.cur->low) {
        return pointer_in(SIM_WINDOW_KERNEL, SIM_LINEAR_BASE + raw, "the linear map's address");
    }
    return pointer_in(SIM_WINDOW_PHYS, raw, "the physical address");
}

kc_pa_t kc_plat_ram_pa(const void *p)
{
    uint64_t va = 0;
    struct window *w = window_of(p, &va);
    if (w == NULL || w == &sim.window[SIM_WINDOW_USER]) {
        cpu_end(MACHINE_END_FAULT, "kc_plat_ram_pa() of a pointer that kc_plat_ram() never gave",
                NULL);
    }
    return kc_pa(w == &sim.window[SIM_WINDOW_KERNEL] ? va - SIM_LINEAR_BASE : va);
}

void *kc_plat_ptr(kc_va_t va)
{
    uint64_t raw = kc_va_raw(va);
    if (mmu_half(raw) == 0) { /* an identity map: low addresses that are those of RAM */
        return pointer_in(SIM_WINDOW_PHYS, raw, "the identity map's address");
    }
    return pointer_in(SIM_WINDOW_KERNEL, raw, "the kernel address");
}

kc_va_t kc_plat_ptr_va(const void *p)
{
    uint64_t va = 0;
    if (window_of(p, &va) == NULL) {
        cpu_end(MACHINE_END_FAULT, "kc_plat_ptr_va() of a pointer that is in no window", NULL);
    }
    return kc_va(va);
}

void *kc_plat_uptr(kc_uva_t uva)
{
    return pointer_in(SIM_WINDOW_USER, kc_uva_raw(uva), "the user address");
}

void *kc_plat_low(const void *p)
{
    uint64_t va;
    if (window_of(p, &va) == &sim.window[SIM_WINDOW_KERNEL]) {
        return pointer_in(SIM_WINDOW_PHYS, va - SIM_LINEAR_BASE, "the address to reach from below");
    }
    return (void *)(uintptr_t)p;
}

/* The jumps there and back: the pretended text is fetched where it goes on. */
static void jump(struct cpu *c, bool low)
{
    cpu_step(true);
    c->low = low;
    c->pc = (low ? 0 : SIM_LINEAR_BASE) + sim.config.ram_base;
    access_fetch(c);
}

void kc_plat_call_low(void (*fn)(void *arg), void *arg)
{
    struct cpu *c = sim.cur; /* interrupts are masked: it stays this one */
    jump(c, true);
    fn(kc_plat_low(arg));
    jump(c, false);
}

/* ---- order, TLB, caches, registers ---------------------------------------------------------- */

/* What a barrier does to stores of descriptors and to pending TLBIs (B2.3.10, D8.14.1). */
static void barrier_effect(struct cpu *c, enum kc_barrier kind)
{
    switch (kind) {
    case KC_DSB_SY:
    case KC_DSB_ISH:
    case KC_DSB_OSH:
        walker_complete(c, true);
        walker_publish(c, true);
        access_fetch(c); /* what follows, of which nothing may be in the TLB any more */
        break;
    case KC_DSB_NSH:
        walker_complete(c, false);
        walker_publish(c, false);
        access_fetch(c);
        break;
    case KC_DSB_ST:
    case KC_DSB_ISHST:
    case KC_DSB_OSHST:
        walker_publish(c, true);
        break;
    case KC_DSB_NSHST:
        walker_publish(c, false);
        break;
    case KC_ISB:
        cpu_sync(c);
        access_fetch(c);
        break;
    default:
        break; /* a DMB orders accesses; none is out of order here */
    }
}

void kc_plat_barrier(enum kc_barrier kind)
{
    cpu_step(true);
    struct cpu *c = sim.cur;
    if (site(MACHINE_SITE_BARRIER, kind, 0, 0, __builtin_return_address(0))) {
        kind = sim.mutate_how == MACHINE_ALTER ? weaker(kind) : KC_BARRIER_COUNT;
    }
    settle_delayed(c);
    if (kind != KC_BARRIER_COUNT) {
        if (race_on) {
            race_barrier(kind);
        }
        tell_barrier(c, kind);
        barrier_effect(c, kind);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void kc_plat_tlbi(enum kc_tlbi op, uint64_t operand)
{
    cpu_step(true);
    if (site(MACHINE_SITE_TLBI, op, operand, 0, __builtin_return_address(0))) {
        if (sim.mutate_how == MACHINE_DROP) {
            return;
        }
        if (!local_form(&op)) {
            operand = other_page(operand);
        }
    }
    tell_tlbi(sim.cur, op, operand);
    walker_tlbi(sim.cur, op, operand);
}

void kc_plat_cache(enum kc_cache_op op, const void *p)
{
    cpu_step(true);
    if (op == KC_DC_ZVA) {
        uint8_t *block = (uint8_t *)((uintptr_t)p & ~(uintptr_t)63);
        access_pointer(block, 64, true);
        race_plain(block, 64, true, __builtin_return_address(0));
        memset(block, 0, 64);
    }
    /* RAM is coherent here and has no lines: nothing else to do, nothing to lose. */
}

uint64_t kc_plat_sysreg_read(enum kc_sysreg reg)
{
    cpu_step(true);
    return sim_sysreg(sim.cur->id, reg);
}

void kc_plat_sysreg_write(enum kc_sysreg reg, uint64_t value)
{
    cpu_step(true);
    struct cpu *c = sim.cur;
    if ((uint32_t)reg >= KC_SYSREG_COUNT || reg >= KC_CURRENTEL) {
        cpu_end(MACHINE_END_FAULT, "write to a system register that is read-only", NULL);
    }
    tell_sysreg(c, reg, c->reg[reg], value);
    c->reg[reg] = value;
    if (mmu_is_on(&c->now) || (c->reg[KC_SCTLR_EL1] & 1) != 0) {
        walker_contexts(c);
    }
}

bool kc_plat_at(enum kc_at op, uint64_t va)
{
    cpu_step(true);
    struct cpu *c = sim.cur;
    struct sim_walk w;
    sim_translate(c->id, va, &w);
    uint32_t fsc = 0;
    if (w.ok && mmu_is_on(&c->now)) {
        /* AT S1E1R and S1E1W do not look at PSTATE.PAN (C5.6.x); SPAN set does as much here. */
        struct mmu_regs r = c->now;
        r.sctlr |= KC_BIT(23);
        bool write = op == KC_AT_S1E1W || op == KC_AT_S1E0W;
        bool el0 = op == KC_AT_S1E0R || op == KC_AT_S1E0W;
        fsc = mmu_judge(&r, w.entry.perm, w.entry.level, write ? SIM_WRITE : SIM_READ, el0);
    }
    c->reg[KC_PAR_EL1] = mmu_par(&w, mmu_strip(&c->now, va), fsc);
    return true;
}

/* ---- devices -------------------------------------------------------------------------------- */

static KC_NORETURN void no_device(uint64_t va)
{
    char text[100];
    snprintf(text, sizeof text, "device access at 0x%llx: this machine has no device there",
             (unsigned long long)va);
    cpu_end(MACHINE_END_FAULT, text, NULL);
}

uint64_t kc_plat_mmio_read(kc_va_t va, uint32_t width)
{
    (void)width;
    no_device(kc_va_raw(va));
}

void kc_plat_mmio_write(kc_va_t va, uint32_t width, uint64_t value)
{
    (void)width;
    (void)value;
    no_device(kc_va_raw(va));
}

/* ---- user access ---------------------------------------------------------------------------- */

/* Page by page; what lies before the first page that faults is copied. */
static size_t user_copy(uint8_t *kernel, uint64_t user, size_t n, bool to_user, const void *caller)
{
    struct cpu *c = sim.cur;
    while (n != 0) {
        size_t part = SIM_PAGE_BYTES - (size_t)(user & PAGE_MASK_LOW);
        part = part < n ? part : n;
        struct landing l;
        access_pointer(kernel, part, !to_user);
        if (mmu_half(user) != 0 ||
            !access_do(c, user, to_user ? SIM_WRITE : SIM_READ, true, (uint32_t)part, &l)) {
            return n;
        }
        race_plain(kernel, part, !to_user,
                   caller); /* the user's side is for its programs to order */
        uint8_t *at = ram_at(l.pa, part);
        memcpy(to_user ? at : kernel, to_user ? kernel : at, part);
        kernel += part;
        user += part;
        n -= part;
    }
    return 0;
}

size_t kc_plat_user_read(void *to, kc_uva_t from, size_t n)
{
    cpu_step(true);
    return user_copy(to, kc_uva_raw(from), n, false, __builtin_return_address(0));
}

size_t kc_plat_user_write(kc_uva_t to, const void *from, size_t n)
{
    cpu_step(true);
    return user_copy((uint8_t *)(uintptr_t)from, kc_uva_raw(to), n, true,
                     __builtin_return_address(0));
}

/* ---- CPUs ----------------------------------------------------------------------------------- */

uint32_t kc_plat_cpu(void)
{
    return sim.cur->id;
}

uint64_t kc_plat_irq_save(void)
{
    bool masked = sim.cur->irq_masked;
    cpu_mask(sim.cur, true);
    return masked ? 1 : 0;
}

void kc_plat_irq_restore(uint64_t saved)
{
    cpu_mask(sim.cur, saved != 0);
    cpu_step(true); /* takes what is pending */
}

void kc_plat_relax(void)
{
    cpu_step(false);
    cpu_yield();
    access_fetch(sim.cur); /* the loop that spins */
}

void kc_plat_event(void)
{
    cpu_step(true);
    for (uint32_t i = 0; i < sim.config.cpus; i++) {
        sim.cpu[i].event = true;
    }
}

void kc_plat_wait(void)
{
    cpu_step(false);
    if (!sim.cur->event) {
        cpu_yield(); /* WFE may return at any time */
    }
    sim.cur->event = false;
}

kc_status_t kc_plat_cpu_start(uint32_t cpu, kc_cpu_entry_fn entry, void *arg)
{
    cpu_step(true);
    if (cpu >= sim.config.cpus) {
        return KC_ERR_RANGE;
    }
    if (sim.cpu[cpu].state == CPU_READY) {
        return KC_ERR_STATE;
    }
    machine_cpu_reset(cpu);
    kc_status_t st = cpu_start(cpu, entry, kc_plat_low(arg), true);
    if (st == KC_OK) {
        race_start(cpu);
    }
    return st;
}

void kc_plat_cpu_off(void)
{
    cpu_step(true);
    cpu_leave();
}

void kc_plat_ipi(uint64_t mask)
{
    cpu_step(true);
    for (uint32_t i = 0; i < sim.config.cpus; i++) {
        if ((mask >> i & 1) != 0 && sim.cpu[i].state == CPU_READY) {
            sim.cpu[i].ipi++;
            race_ipi(i);
        }
    }
    cpu_attend(); /* it may be one of those */
}

/* ---- console, time, chance ------------------------------------------------------------------ */

void kc_plat_console(const char *text, size_t n)
{
    cpu_step(true);
    access_pointer(text, n, false);
    race_plain(text, n, false, __builtin_return_address(0));
    if (sim.config.hooks.console != NULL) {
        sim.config.hooks.console(sim.config.hooks.arg, text, n);
    } else {
        fwrite(text, 1, n, stdout);
    }
}

uint64_t kc_plat_ticks(void)
{
    cpu_step(false);
    return cpu_ticks();
}

uint64_t kc_plat_ticks_hz(void)
{
    return TICKS_HZ;
}

uint64_t kc_plat_stopwatch_ns(void)
{
    return machine_host_ns();
}

void kc_plat_timer(uint64_t at_ticks)
{
    cpu_step(true);
    sim.cur->timer_at = at_ticks;
    cpu_attend();
}

bool kc_plat_entropy(uint64_t *out)
{
    cpu_step(true);
    *out = machine_random(&sim.entropy);
    return true;
}

uint64_t machine_host_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* ---- telling and stopping ------------------------------------------------------------------- */

void kc_plat_note(enum kc_note kind, uint64_t base, uint64_t size, const void *owner)
{
    /* No step: a note is no effect, and must not move the baton between two that belong together.
     */
    tell_note(sim.cur, kind, base, size, owner);
}

bool kc_plat_note_heard(uint32_t kinds)
{
    return kinds != 0;
}

void kc_plat_panic(const struct kc_panic *why)
{
    char text[380];
    if (sim.config.hooks.panic != NULL) {
        sim.config.hooks.panic(sim.config.hooks.arg, why);
    }
    snprintf(text, sizeof text, "panic on CPU %u: %s:%d: %s%s%s", sim.cur->id, why->file, why->line,
             why->what != NULL ? why->what : "", why->text != NULL ? ": " : "",
             why->text != NULL ? why->text : "");
    cpu_end(MACHINE_END_PANIC, text, NULL);
}
