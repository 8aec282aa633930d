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
 * Where memory has tags, the last judgement is that of tags.c.
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

#define FAULTS_NESTED   8u  /* faults in handlers of faults, after which there is no answer */
#define FAULTS_IN_A_ROW 64u /* retries of one access after which the handler is called broken */

static bool fault_at(struct machine_fault *f, struct cpu *c, uint64_t va, enum sim_access_kind kind,
                     uint32_t fsc)
{
    /* LDTR and STTR, too, fault without a change of exception level: EC 0x25. */
    *f = (struct machine_fault){.esr = mmu_syndrome(kind, false, fsc), .far = va, .cpu = c->id};
    return false;
}

/* MMU off: the address is the physical address (D8.2.9 "stage 1 disabled"). */
static bool flat(struct cpu *c, uint64_t va, enum sim_access_kind kind, uint32_t bytes,
                 struct landing *l, struct machine_fault *f)
{
    if ((va >> sim.config.pa_bits) != 0) {
        return fault_at(f, c, va, kind, MMU_FSC_SIZE);
    }
    if (ram_at(va, bytes) == NULL) {
        return fault_at(f, c, va, kind, MMU_FSC_EXTERNAL);
    }
    *l = (struct landing){.pa = va, .good = true};
    return true;
}

/*
 * Two entries match (D8.13, TLB conflicts): the seed draws an abort, or an amalgam of both,
 * which here has the bits of either output address and the rights that both give.
 */
static struct tlb_record *settle_conflict(struct cpu *c, uint64_t va, uint16_t asid,
                                          struct tlb_record *r, struct sim_walk *w)
{
    const struct tlb_record *o = tlb_conflict(c, va, asid, r);
    if (o == NULL) {
        return r;
    }
    if (machine_random(&sim.walk_random) % 2 == 0) {
        *w = (struct sim_walk){.dfsc = MMU_FSC_CONFLICT};
        return NULL;
    }
    const struct sim_tlb_entry *fine = r->e.level > o->e.level ? &r->e : &o->e;
    uint64_t pa = (r->e.pa + (va - r->e.va)) | (o->e.pa + (va - o->e.va));
    c->amalgam.e = r->e;
    c->amalgam.e.va = va & ~(fine->size - 1);
    c->amalgam.e.size = fine->size;
    c->amalgam.e.pa = pa & ~(fine->size - 1);
    c->amalgam.e.level = fine->level;
    c->amalgam.e.perm = r->e.perm & o->e.perm;
    c->amalgam.e.stale = true;
    return &c->amalgam;
}

/* The entry that this access uses, from the TLB or by a walk; NULL: *w says why there is none. */
static struct tlb_record *look_up(struct cpu *c, uint64_t va, struct sim_walk *w)
{
    uint64_t input = mmu_strip(&c->now, va);
    uint16_t asid = mmu_asid(&c->now);
    struct tlb_record *r = tlb_find(c, input, asid, true);
    if (r != NULL) {
        return settle_conflict(c, input, asid, r, w);
    }
    struct tlb_record *from = tlb_find(c, input, asid, false);
    walker_walk(c, &c->now, va, from != NULL ? &from->e : NULL, w);
    return w->ok ? tlb_insert(c, &w->entry, SIM_FILL_DEMAND) : NULL;
}

static void tell_table(struct cpu *c, const struct landing *l, uint32_t bytes,
                       enum sim_access_kind kind)
{
    if (kind != SIM_FETCH && tell_is_table(l->pa)) {
        tell_plain(c, l->pa, bytes, kind == SIM_WRITE);
    }
}

bool access_try(struct cpu *c, uint64_t va, enum sim_access_kind kind, bool el0, uint32_t bytes,
                struct landing *l, struct machine_fault *f)
{
    if (!mmu_is_on(&c->now)) {
        if (!flat(c, va, kind, bytes, l, f)) {
            return false;
        }
        tell_table(c, l, bytes, kind);
        return true;
    }
    struct sim_walk w;
    struct tlb_record *r = look_up(c, va, &w);
    if (r == NULL) {
        tell_fault(c, va, bytes, kind, el0);
        return fault_at(f, c, va, kind, w.dfsc);
    }
    uint32_t fsc = mmu_judge(&c->now, r->e.perm, r->e.level, kind, el0);
    if (fsc != 0) {
        tell_fault(c, va, bytes, kind, el0);
        return fault_at(f, c, va, kind, fsc);
    }
    *l = (struct landing){.pa = r->e.pa + (mmu_strip(&c->now, va) - r->e.va), .entry = r};
    if (ram_at(l->pa, bytes) == NULL) {
        return fault_at(f, c, va, kind, MMU_FSC_EXTERNAL);
    }
    l->good = tell_access(c, r, va, l->pa, bytes, kind, el0) && !r->e.stale;
    tell_table(c, l, bytes, kind);
    return true;
}

bool access_deliver(struct cpu *c, const struct machine_fault *f)
{
    c->reg[KC_ESR_EL1] = f->esr;
    c->reg[KC_FAR_EL1] = f->far;
    if (sim.config.hooks.fault == NULL || c->fault_depth >= FAULTS_NESTED) {
        return false;
    }
    bool masked = c->irq_masked;
    c->fault_depth++;
    cpu_mask(c, true);
    tell_sync(c);
    cpu_sync(c);
    bool retry = sim.config.hooks.fault(sim.config.hooks.arg, f);
    tell_sync(c);
    cpu_sync(c);
    cpu_mask(c, masked);
    c->fault_depth--;
    return retry;
}

bool access_do(struct cpu *c, uint64_t va, enum sim_access_kind kind, bool el0, uint32_t bytes,
               struct landing *l)
{
    struct machine_fault f;
    for (uint32_t i = 0; i < FAULTS_IN_A_ROW; i++) {
        if (access_try(c, va, kind, el0, bytes, l, &f)) {
            return true;
        }
        if (!access_deliver(c, &f)) {
            return false;
        }
    }
    return false;
}

static const char *const kind_name[] = {"read", "write", "instruction fetch"};

static KC_NORETURN void unanswered(struct cpu *c, enum sim_access_kind kind)
{
    struct machine_fault f = {.esr = c->reg[KC_ESR_EL1], .far = c->reg[KC_FAR_EL1], .cpu = c->id};
    static const char *const by_type[16] = {"address size fault",
                                            "translation fault",
                                            "access flag fault",
                                            "permission fault",
                                            "external abort",
                                            "external abort on a walk",
                                            "?",
                                            "?",
                                            "alignment fault",
                                            "?",
                                            "?",
                                            "?",
                                            "TLB conflict",
                                            "?",
                                            "?",
                                            "?"};
    uint32_t fsc = (uint32_t)f.esr & 0x3f;
    char text[200];
    snprintf(text, sizeof text, "%s at 0x%016llx: %s, level %u (ESR_EL1 0x%llx)", kind_name[kind],
             (unsigned long long)f.far, by_type[fsc >> 2], fsc & 3, (unsigned long long)f.esr);
    cpu_end(MACHINE_END_FAULT, text, &f);
}

void access_fetch(struct cpu *c)
{
    struct landing l;
    if (sim.config.text_bytes != 0 && !access_do(c, c->pc, SIM_FETCH, false, 4, &l)) {
        unanswered(c, SIM_FETCH);
    }
}

/* Where a part of an access lands that lies in one page of a window. */
static struct landing land(struct cpu *c, const uint8_t *p, uint64_t va, uint32_t bytes, bool write,
                           bool tag_checked)
{
    struct landing l;
    enum sim_access_kind kind = write ? SIM_WRITE : SIM_READ;
    uint32_t retries = 0;
    do {
        if (!access_do(c, va, kind, false, bytes, &l)) {
            unanswered(c, kind);
        }
    } while (tag_checked && !tag_judge(c, p, va, l.pa, bytes, write, ++retries < FAULTS_IN_A_ROW));
    return l;
}

static void touch_page(struct cpu *c, struct window *w, const uint8_t *p, uint64_t va,
                       uint32_t bytes, bool write, bool tag_checked)
{
    struct landing l = land(c, p, va, bytes, write, tag_checked);
    const struct tlb_record *r = l.entry;
    w = tag_window(w, p);
    if (r != NULL) {
        bool writable = mmu_judge(&c->now, r->e.perm, r->e.level, SIM_WRITE, false) == 0;
        host_map(w, va, r->e.va, r->e.size, r->e.pa, writable, false);
    } else {
        uint64_t chunk = va & ~(HOST_CHUNK - 1);
        host_map(w, va, chunk, HOST_CHUNK, chunk, true, false);
    }
    if (!sim_exact || !l.good || tell_is_table(l.pa)) {
        return;
    }
    uint64_t page = ((uintptr_t)p - (uintptr_t)sim.area) / SIM_PAGE_BYTES;
    struct touch *t = &c->touch[page % TOUCH_SLOTS];
    if (t->tag != page + 1 || t->generation != sim.generation) {
        *t = (struct touch){page + 1, l.pa & ~(uint64_t)PAGE_MASK_LOW, sim.generation, 0};
    }
    t->rights |= write ? 2u : 1u;
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
            touch_page(sim.cur, w, p, va, (uint32_t)part, write, true);
        }
        p += part;
        n -= part;
    }
}

bool access_for_tag(const void *p, bool write, uint64_t *pa)
{
    struct cpu *c = sim.cur;
    uint64_t page = ((uintptr_t)p - (uintptr_t)sim.area) / SIM_PAGE_BYTES;
    const struct touch *t = &c->touch[page % TOUCH_SLOTS];
    uint64_t va;
    struct window *w = window_of(p, &va);
    if (w == NULL) {
        return false;
    }
    if (t->tag != page + 1 || t->generation != sim.generation ||
        (t->rights & (write ? 2u : 1u)) == 0) {
        touch_page(c, w, p, va, 1, write, false);
    }
    return access_pa(p, pa);
}

bool access_pa(const void *p, uint64_t *pa)
{
    struct cpu *c = sim.cur;
    uint64_t offset = (uintptr_t)p - (uintptr_t)sim.area;
    uint64_t page = offset / SIM_PAGE_BYTES;
    const struct touch *t = &c->touch[page % TOUCH_SLOTS];
    if (t->tag == page + 1 && t->generation == sim.generation) {
        *pa = t->pa + (offset & PAGE_MASK_LOW);
        return true;
    }
    uint64_t va;
    if (window_of(p, &va) == NULL) {
        return false;
    }
    if (!mmu_is_on(&c->now)) {
        *pa = va;
        return true;
    }
    uint64_t input = mmu_strip(&c->now, va);
    const struct tlb_record *r = tlb_find(c, input, mmu_asid(&c->now), true);
    if (r == NULL) {
        return sim_pointer_pa(p, pa);
    }
    *pa = r->e.pa + (input - r->e.va);
    return true;
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
    struct landing l;
    if (bytes == 0 || bytes > 8 || (va & PAGE_MASK_LOW) + bytes > SIM_PAGE_BYTES ||
        !access_try(sim.cur, va, kind, el0, bytes, &l, &f)) {
        if (fault != NULL) {
            *fault = f;
        }
        return false;
    }
    if (data != NULL && kind != SIM_FETCH) {
        void *at = ram_at(l.pa, bytes);
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
