/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * access.c: one access of the simulated software, whatever brought it here.
 *
 * Nouns. An access has a simulated address, a kind, a level of privilege. It is *translated* (TLB,
 * else a walk that fills the TLB), *judged* (permissions), *told* to the monitors, and only then
 * made. Exact speed calls access_pointer() for each; native speed calls it for first touches.
 *
 *     host pointer --window--> address --TLB or walk--> entry --judge--> told --> host mapping
 *
 * Invariants
 *   I1  no access is made before the monitors were told of it.
 *   I2  an access that spans pages is judged page by page, in ascending order, before any part is
 *       made, as the architecture allows (B2.2.1: the parts are separate accesses).
 *   I3  in touch[] stand only pages whose entry is clean, whose page is no table, and that the
 *       monitors have judged under the present mon_epoch(); `generation` empties it.
 *   I4  a fault is a context synchronisation, masks interrupts, and sets ESR_EL1 and FAR_EL1.
 *
 * Cost: a hit in touch[] is a compare and a decrement; else one TLB look-up, and a walk if it
 * misses.
 */
#include <string.h>

#include "machine_priv.h"

#define FAULTS_IN_A_ROW 64u /* retries of one access after which the handler is called broken */

static uint32_t fault_at(struct machine_fault *f, struct cpu *c, uint64_t va,
                         enum sim_access_kind kind, bool el0, uint32_t fsc)
{
    *f = (struct machine_fault){.esr = mmu_syndrome(kind, el0, fsc),
                                .far = va,
                                .cpu = c->id,
                                .from_user = false};
    /* LDTR and STTR fault from EL1: the abort is taken without a change of exception level. */
    if (el0) {
        f->esr = (f->esr & ~KC_MASK(31, 26)) | (kind == SIM_FETCH ? 0x20ull : 0x25ull) << 26;
    }
    return fsc == 0 ? UINT32_MAX : fsc; /* address size fault, level 0, is code 0 */
}

/* MMU off: the address is the physical address (D8.2.9 "stage 1 disabled"). */
static uint32_t flat(struct cpu *c, uint64_t va, enum sim_access_kind kind, uint32_t bytes,
                     bool el0, uint64_t *pa, struct machine_fault *f)
{
    if ((va >> sim.config.pa_bits) != 0) {
        return fault_at(f, c, va, kind, el0, MMU_FSC_SIZE);
    }
    if (ram_at(va, bytes) == NULL) {
        return fault_at(f, c, va, kind, el0, MMU_FSC_EXTERNAL);
    }
    *pa = va;
    return 0;
}

/* The entry that this access uses, from the TLB or by a walk; NULL: *w says why there is none. */
static struct tlb_record *look_up(struct cpu *c, uint64_t va, struct sim_walk *w)
{
    uint64_t input = mmu_strip(&c->now, va);
    uint16_t asid = mmu_asid(&c->now);
    struct tlb_record *r = tlb_find(c, input, asid, true);
    if (r != NULL) {
        return r;
    }
    struct tlb_record *from = tlb_find(c, input, asid, false);
    walker_walk(c, &c->now, va, from != NULL ? &from->e : NULL, w);
    return w->ok ? tlb_insert(c, &w->entry, SIM_FILL_DEMAND, from) : NULL;
}

uint32_t access_try(struct cpu *c, uint64_t va, enum sim_access_kind kind, bool el0, uint32_t bytes,
                    uint64_t *pa, struct tlb_record **entry, struct machine_fault *fault)
{
    *entry = NULL;
    if (!mmu_is_on(&c->now)) {
        uint32_t fsc = flat(c, va, kind, bytes, el0, pa, fault);
        if (fsc == 0 && tell_is_table(*pa)) {
            tell_plain(c, *pa, bytes, kind == SIM_WRITE);
        }
        return fsc;
    }
    struct sim_walk w;
    struct tlb_record *r = look_up(c, va, &w);
    if (r == NULL) {
        return fault_at(fault, c, va, kind, el0, w.dfsc);
    }
    uint32_t fsc = mmu_judge(&c->now, r->e.perm, r->e.level, kind, el0);
    if (fsc != 0) {
        return fault_at(fault, c, va, kind, el0, fsc);
    }
    *pa = r->e.pa + (mmu_strip(&c->now, va) - r->e.va);
    if (ram_at(*pa, bytes) == NULL) {
        return fault_at(fault, c, va, kind, el0, MMU_FSC_EXTERNAL);
    }
    tell_access(c, r, va, *pa, bytes, kind, el0);
    if (kind != SIM_FETCH && tell_is_table(*pa)) {
        tell_plain(c, *pa, bytes, kind == SIM_WRITE);
    }
    *entry = r;
    return 0;
}

bool access_deliver(struct cpu *c, const struct machine_fault *f)
{
    if (sim.config.hooks.fault == NULL || c->fault_depth >= 8) {
        return false;
    }
    bool masked = c->irq_masked;
    c->fault_depth++;
    c->irq_masked = true;
    c->reg[KC_ESR_EL1] = f->esr;
    c->reg[KC_FAR_EL1] = f->far;
    tell_sync(c);
    cpu_sync(c);
    bool retry = sim.config.hooks.fault(sim.config.hooks.arg, f);
    tell_sync(c);
    cpu_sync(c);
    c->irq_masked = masked;
    c->fault_depth--;
    return retry;
}

bool access_do(struct cpu *c, uint64_t va, enum sim_access_kind kind, bool el0, uint32_t bytes,
               uint64_t *pa, struct tlb_record **entry)
{
    struct machine_fault f;
    for (uint32_t i = 0; i < FAULTS_IN_A_ROW; i++) {
        if (access_try(c, va, kind, el0, bytes, pa, entry, &f) == 0) {
            return true;
        }
        if (!access_deliver(c, &f)) {
            break;
        }
    }
    c->reg[KC_ESR_EL1] = f.esr;
    c->reg[KC_FAR_EL1] = f.far;
    return false;
}

static const char *const kind_name[] = {"read", "write", "instruction fetch"};

static KC_NORETURN void unanswered(struct cpu *c, enum sim_access_kind kind)
{
    struct machine_fault f = {.esr = c->reg[KC_ESR_EL1], .far = c->reg[KC_FAR_EL1], .cpu = c->id};
    static const char *const by_type[16] = {
        "address size fault",  "translation fault", "access flag fault", "permission fault",
        "external abort",      "external abort on a walk", "?", "?",
        "alignment fault",     "?", "?", "?", "TLB conflict", "?", "?", "?"};
    uint32_t fsc = (uint32_t)f.esr & 0x3f;
    char text[200];
    snprintf(text, sizeof text, "%s at 0x%016llx: %s, level %u (ESR_EL1 0x%llx)", kind_name[kind],
             (unsigned long long)f.far, by_type[fsc >> 2], fsc & 3, (unsigned long long)f.esr);
    cpu_end(MACHINE_END_FAULT, text, &f);
}

/* Part of an access that lies in one page of a window. */
static void touch_page(struct cpu *c, struct window *w, const uint8_t *p, uint64_t va,
                       uint32_t bytes, bool write)
{
    uint64_t pa = 0;
    struct tlb_record *r = NULL;
    enum sim_access_kind kind = write ? SIM_WRITE : SIM_READ;
    if (!access_do(c, va, kind, false, bytes, &pa, &r)) {
        unanswered(c, kind);
    }
    bool writable = r == NULL || mmu_judge(&c->now, r->e.perm, r->e.level, SIM_WRITE, false) == 0;
    if (r != NULL) {
        host_map(w, va, r->e.va, r->e.size, r->e.pa, writable);
    } else {
        uint64_t chunk = va & ~(HOST_CHUNK - 1);
        host_map(w, va, chunk, HOST_CHUNK, chunk, true);
    }
    if (!sim_exact || (r != NULL && r->e.stale) || tell_is_table(pa)) {
        return;
    }
    uint64_t page = ((uintptr_t)p - (uintptr_t)sim.area) / SIM_PAGE_BYTES;
    struct touch *t = &c->touch[page % TOUCH_SLOTS];
    uint32_t right = write ? 2u : 1u;
    if (t->tag != page + 1 || t->generation != sim.generation) {
        *t = (struct touch){page + 1, sim.generation, 0};
    }
    t->rights |= right;
}

void access_pointer(const void *pointer, size_t n, bool write)
{
    const uint8_t *p = pointer;
    while (n != 0) {
        uint64_t va;
        struct window *w = window_of(p, &va);
        size_t part = SIM_PAGE_BYTES - (size_t)((uintptr_t)p & PAGE_MASK_LOW);
        part = part < n ? part : n;
        if (w != NULL) {
            touch_page(sim.cur, w, p, va, (uint32_t)part, write);
        }
        p += part;
        n -= part;
    }
}

/* ---- queries -------------------------------------------------------------------------------- */

void sim_translate(uint32_t cpu, uint64_t va, struct sim_walk *out)
{
    struct cpu *c = &sim.cpu[cpu];
    if (mmu_is_on(&c->now)) {
        uint64_t random = sim.walk_random;
        walker_walk(c, &c->now, va, NULL, out);
        sim.walk_random = random;
        return;
    }
    *out = (struct sim_walk){.ok = (va >> sim.config.pa_bits) == 0};
    out->entry = (struct sim_tlb_entry){.va = va & ~(uint64_t)PAGE_MASK_LOW,
                                        .pa = va & ~(uint64_t)PAGE_MASK_LOW,
                                        .size = SIM_PAGE_BYTES,
                                        .leaf = true,
                                        .global = true,
                                        .perm = 0x3f,
                                        .shareable = 2};
}

uint32_t sim_judge(uint32_t cpu, const struct sim_tlb_entry *e, enum sim_access_kind kind, bool el0)
{
    struct cpu *c = &sim.cpu[cpu];
    return mmu_is_on(&c->now) ? mmu_judge(&c->now, e->perm, e->level, kind, el0) : 0;
}

bool sim_access(uint64_t va, enum sim_access_kind kind, bool el0, uint32_t bytes, void *data,
                struct machine_fault *fault)
{
    struct machine_fault f = {0};
    uint64_t pa;
    struct tlb_record *r;
    if (bytes == 0 || bytes > 8 || (va & PAGE_MASK_LOW) + bytes > SIM_PAGE_BYTES ||
        access_try(sim.cur, va, kind, el0, bytes, &pa, &r, &f) != 0) {
        if (fault != NULL) {
            *fault = f;
        }
        return false;
    }
    if (data != NULL && kind != SIM_FETCH) {
        void *at = ram_at(pa, bytes);
        memcpy(kind == SIM_WRITE ? at : data, kind == SIM_WRITE ? data : at, bytes);
    }
    return true;
}

bool sim_pointer(const void *p, enum sim_window *window, uint64_t *address)
{
    struct window *w = window_of(p, address);
    if (w != NULL && window != NULL) {
        *window = (enum sim_window)(w - sim.window);
    }
    return w != NULL;
}

bool sim_pointer_pa(const void *p, uint64_t *pa)
{
    uint64_t va;
    if (window_of(p, &va) == NULL) {
        return false;
    }
    struct sim_walk w;
    sim_translate(sim.cur->id, va, &w);
    if (w.ok) {
        *pa = w.entry.pa + (mmu_strip(&sim.cur->now, va) & (w.entry.size - 1));
    }
    return w.ok;
}
