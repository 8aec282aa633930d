/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A round of one CPU:
 *
 *     pages     map 1..4 frames, write, let the next CPU read, protect read-only, read, unmap
 *     remake    map frame A, touch, unmap, map frame B at the same address, read B's contents
 *     block     map 2 MiB, write both ends, let the next CPU read, make one page of it read-only
 *               (which splits the block), read all three places, unmap
 *     stack     map two pages between guards, say that they are a stack, fill it down, unmap
 *     heap      take and give a few sizes of the kernel heap
 *     user      make a space with a lazy area, run in it, copy out and in, copy over the end of the
 *               area, leave it, destroy it
 *
 * Asking the next CPU to read is a mail box: the asker fills it and sets ASKED, the reader reads
 * and sets DONE. A CPU that waits serves its own box, and one that has finished serves until all
 * have, so nobody waits for ever.
 *
 * V1. A frame is freed only after its last mapping is gone (unmap has returned).
 * V2. Contents depend on seed, CPU, round and address alone, so a stale or mixed-up translation
 *     reads something else.
 */
#include "vm.h"

enum {
    MAIL_EMPTY,
    MAIL_ASKED,
    MAIL_DONE
};

#define PAGE        ((uint64_t)KC_FRAME_BYTES)
#define BLOCK_ORDER 9u
#define BLOCK_BYTES (PAGE << BLOCK_ORDER)
#define PAGES_MAX   4u
#define USER_BYTES  (4 * PAGE)
#define COPY_BYTES  64u
#define GUARD_BYTES PAGE

/* What one CPU works with. */
struct worker {
    struct kc_vm *vm;
    struct kc_kernel *k;
    struct kc_vm_counts *counts;
    uint64_t random; /* xorshift state, never 0 */
    uint32_t cpu;
    uint32_t round;
};

static uint64_t next_random(struct worker *w)
{
    uint64_t x = w->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    w->random = x;
    return x;
}

/* V2 */
static uint64_t pattern(const struct worker *w, uint64_t salt)
{
    uint64_t x = w->k->info.seed ^ ((uint64_t)w->cpu << 56) ^ ((uint64_t)w->round << 32) ^ salt;
    x *= 0x9e3779b97f4a7c15u;
    return x ^ (x >> 29);
}

static void wrong(struct worker *w, const char *what, uint64_t va)
{
    kc_kernel_log(w->k, "vm: cpu%u round %u: %s at 0x%016llx", w->cpu, w->round, what,
                  (unsigned long long)va);
    __atomic_add_fetch(&w->vm->failed, 1, __ATOMIC_RELAXED);
}

static void put(kc_va_t va, uint64_t value)
{
    *(uint64_t *)kc_plat_ptr(va) = value;
}

static uint64_t get(kc_va_t va)
{
    return *(const uint64_t *)kc_plat_ptr(va);
}

static void expect(struct worker *w, kc_va_t va, uint64_t value, const char *what)
{
    if (get(va) != value) {
        wrong(w, what, kc_va_raw(va));
    }
}

/* ---- letting the next CPU read -------------------------------------------------------------- */

static void serve_mail(struct worker *w)
{
    struct kc_vm_mail *m = &w->vm->mail[w->cpu];
    if (__atomic_load_n(&m->state, __ATOMIC_ACQUIRE) != MAIL_ASKED) {
        return;
    }
    m->wrong = get(kc_va(m->va)) != m->expected;
    w->counts->remote_reads++;
    __atomic_store_n(&m->state, MAIL_DONE, __ATOMIC_RELEASE);
}

static void let_next_read(struct worker *w, kc_va_t va, uint64_t expected)
{
    if (w->vm->cpu_count < 2) {
        return;
    }
    struct kc_vm_mail *m = &w->vm->mail[(w->cpu + 1) % w->vm->cpu_count];
    m->va = kc_va_raw(va);
    m->expected = expected;
    __atomic_store_n(&m->state, MAIL_ASKED, __ATOMIC_RELEASE);
    while (__atomic_load_n(&m->state, __ATOMIC_ACQUIRE) != MAIL_DONE) {
        serve_mail(w);
        kc_plat_relax();
    }
    if (m->wrong != 0) {
        wrong(w, "the next CPU read something else", m->va);
    }
    __atomic_store_n(&m->state, MAIL_EMPTY, __ATOMIC_RELAXED);
}

/* ---- the kernel's dynamic range ------------------------------------------------------------- */

static kc_status_t reserve(struct worker *w, uint64_t bytes, uint64_t align, kc_va_t *out)
{
    struct kc_aspace_request rq = {.bytes = bytes, .align = align, .guard_bytes = GUARD_BYTES};
    kc_ia_t ia;
    kc_status_t st = kc_aspace_reserve(&w->k->space, &rq, &ia);
    if (st == KC_OK) {
        *out = kc_va_of_ia(ia);
    }
    return st;
}

static kc_status_t map(struct worker *w, kc_va_t va, kc_pa_t pa, uint64_t bytes)
{
    w->counts->maps++;
    return kc_aspace_map(&w->k->space, kc_ia_of_va(va), pa, bytes,
                         kc_pt_attr(KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true));
}

static kc_status_t make_read_only(struct worker *w, kc_va_t va, uint64_t bytes)
{
    w->counts->protects++;
    return kc_aspace_protect(&w->k->space, kc_ia_of_va(va), bytes,
                             kc_pt_attr(KC_PT_R, KC_A64_MEM_NORMAL, true));
}

static kc_status_t unmap(struct worker *w, kc_va_t va, uint64_t bytes)
{
    w->counts->unmaps++;
    return kc_aspace_unmap(&w->k->space, kc_ia_of_va(va), bytes);
}

static kc_va_t at(kc_va_t base, uint64_t offset)
{
    return kc_va(kc_va_raw(base) + offset); /* inside a range that the address space gave */
}

static kc_status_t take_frames(struct worker *w, uint32_t order, kc_pa_t *out)
{
    return kc_frame_alloc(&w->k->frames, order, 0, KC_FRAME_OWNER_KERNEL, out);
}

static kc_status_t use_pages(struct worker *w, kc_va_t va, kc_pa_t pa, uint64_t bytes)
{
    kc_status_t st = map(w, va, pa, bytes);
    if (st != KC_OK) {
        return st;
    }
    for (uint64_t offset = 0; offset < bytes; offset += PAGE) {
        put(at(va, offset), pattern(w, offset));
    }
    let_next_read(w, at(va, bytes - PAGE), pattern(w, bytes - PAGE));
    st = make_read_only(w, va, bytes);
    for (uint64_t offset = 0; offset < bytes; offset += PAGE) {
        expect(w, at(va, offset), pattern(w, offset), "contents changed by protect");
    }
    let_next_read(w, va, pattern(w, 0));
    kc_status_t down = unmap(w, va, bytes);
    return st != KC_OK ? st : down;
}

static kc_status_t pages_step(struct worker *w)
{
    uint32_t order = (uint32_t)(next_random(w) % 3);
    uint64_t bytes = PAGE << order;
    kc_pa_t pa;
    kc_va_t va;
    kc_status_t st = take_frames(w, order, &pa);
    if (st != KC_OK) {
        return st;
    }
    st = reserve(w, bytes, 0, &va);
    if (st == KC_OK) {
        st = use_pages(w, va, pa, bytes);
        kc_status_t down = kc_aspace_release(&w->k->space, kc_ia_of_va(va));
        st = st != KC_OK ? st : down;
    }
    kc_status_t freed = kc_frame_free(&w->k->frames, pa, order); /* V1 */
    return st != KC_OK ? st : freed;
}

static kc_status_t remake(struct worker *w, kc_va_t va, kc_pa_t a, kc_pa_t b)
{
    kc_status_t st = map(w, va, a, PAGE);
    if (st == KC_OK) {
        put(va, pattern(w, 1));
        let_next_read(w, va, pattern(w, 1));
        st = unmap(w, va, PAGE);
    }
    if (st == KC_OK) {
        *(uint64_t *)kc_plat_ram(b) = pattern(w, 2);
        st = map(w, va, b, PAGE);
    }
    if (st == KC_OK) {
        expect(w, va, pattern(w, 2), "re-made page shows something else");
        let_next_read(w, va, pattern(w, 2));
        st = unmap(w, va, PAGE);
    }
    return st;
}

static kc_status_t remake_step(struct worker *w)
{
    kc_pa_t pair;
    kc_va_t va;
    kc_status_t st = take_frames(w, 1, &pair);
    if (st != KC_OK) {
        return st;
    }
    st = reserve(w, PAGE, 0, &va);
    if (st == KC_OK) {
        st = remake(w, va, pair, kc_pa(kc_pa_raw(pair) + PAGE));
        kc_status_t down = kc_aspace_release(&w->k->space, kc_ia_of_va(va));
        st = st != KC_OK ? st : down;
    }
    kc_status_t freed = kc_frame_free(&w->k->frames, pair, 1);
    return st != KC_OK ? st : freed;
}

static kc_status_t use_block(struct worker *w, kc_va_t va, kc_pa_t pa)
{
    uint64_t inner = PAGE * (1 + next_random(w) % ((BLOCK_BYTES / PAGE) - 2));
    kc_status_t st = map(w, va, pa, BLOCK_BYTES);
    if (st != KC_OK) {
        return st;
    }
    put(va, pattern(w, 3));
    put(at(va, inner), pattern(w, 4));
    put(at(va, BLOCK_BYTES - 8), pattern(w, 5));
    let_next_read(w, at(va, inner), pattern(w, 4));
    st = make_read_only(w, at(va, inner), PAGE);
    if (st == KC_OK) {
        w->counts->splits++;
        put(va, pattern(w, 6));
        expect(w, va, pattern(w, 6), "write beside a split");
        expect(w, at(va, inner), pattern(w, 4), "page that was split off");
        expect(w, at(va, BLOCK_BYTES - 8), pattern(w, 5), "end of a split block");
        let_next_read(w, at(va, inner), pattern(w, 4));
    }
    kc_status_t down = unmap(w, va, BLOCK_BYTES);
    return st != KC_OK ? st : down;
}

static kc_status_t block_step(struct worker *w)
{
    kc_pa_t pa;
    kc_va_t va;
    kc_status_t st = take_frames(w, BLOCK_ORDER, &pa);
    if (st != KC_OK) {
        return st;
    }
    st = reserve(w, BLOCK_BYTES, BLOCK_BYTES, &va);
    if (st == KC_OK) {
        st = use_block(w, va, pa);
        kc_status_t down = kc_aspace_release(&w->k->space, kc_ia_of_va(va));
        st = st != KC_OK ? st : down;
    }
    kc_status_t freed = kc_frame_free(&w->k->frames, pa, BLOCK_ORDER);
    return st != KC_OK ? st : freed;
}

/* ---- stacks --------------------------------------------------------------------------------- */

/* A stack of two pages between guards: written from its top down to its last byte. */
static kc_status_t use_stack(struct worker *w, kc_va_t va, kc_pa_t pa, uint64_t bytes)
{
    kc_status_t st = map(w, va, pa, bytes);
    if (st != KC_OK) {
        return st;
    }
    uint64_t where = (uintptr_t)kc_plat_ptr(va);
    kc_plat_note(KC_NOTE_STACK, where, bytes, w->k);
    for (uint64_t down = 512; down <= bytes; down += 512) {
        put(at(va, bytes - down), pattern(w, down));
    }
    expect(w, va, pattern(w, bytes), "lowest word of a stack");
    let_next_read(w, at(va, bytes - 512), pattern(w, 512));
    kc_plat_note(KC_NOTE_STACK_FREE, where, bytes, w->k);
    return unmap(w, va, bytes);
}

static kc_status_t stack_step(struct worker *w)
{
    kc_pa_t pa;
    kc_va_t va;
    kc_status_t st = take_frames(w, 1, &pa);
    if (st != KC_OK) {
        return st;
    }
    st = reserve(w, 2 * PAGE, 0, &va);
    if (st == KC_OK) {
        st = use_stack(w, va, pa, 2 * PAGE);
        kc_status_t down = kc_aspace_release(&w->k->space, kc_ia_of_va(va));
        st = st != KC_OK ? st : down;
    }
    kc_status_t freed = kc_frame_free(&w->k->frames, pa, 1);
    return st != KC_OK ? st : freed;
}

/* ---- heap ----------------------------------------------------------------------------------- */

static kc_status_t heap_step(struct worker *w)
{
    static const size_t sizes[] = {24, 100, 1000, 9000};
    void *p[KC_ARRAY_COUNT(sizes)];
    kc_status_t st = KC_OK;
    for (size_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
        p[i] = kc_heap_alloc(&w->k->heap, sizes[i], 0);
        if (p[i] != NULL) {
            *(uint64_t *)p[i] = pattern(w, i);
        } else {
            w->counts->no_memory++;
        }
    }
    for (size_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
        if (p[i] == NULL) {
            continue;
        }
        if (*(const uint64_t *)p[i] != pattern(w, i)) {
            wrong(w, "heap object changed", i);
        }
        kc_status_t freed = kc_heap_free(&w->k->heap, p[i]);
        st = st != KC_OK ? st : freed;
    }
    return st;
}

/* ---- user spaces ---------------------------------------------------------------------------- */

static void fill_bytes(struct worker *w, unsigned char *to, uint64_t salt)
{
    for (uint32_t i = 0; i < COPY_BYTES; i++) {
        to[i] = (unsigned char)pattern(w, salt + i);
    }
}

static bool same_bytes(const unsigned char *a, const unsigned char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

/* Copy across the second page boundary, read back, then copy over the end of the area. */
static kc_status_t use_user_memory(struct worker *w, kc_ia_t base)
{
    const uint64_t *short_of = &w->k->faults_no_memory[w->cpu];
    uint64_t short_before = *short_of;
    unsigned char sent[COPY_BYTES];
    unsigned char back[COPY_BYTES];
    uint64_t across = kc_ia_raw(base) + 2 * PAGE - COPY_BYTES / 2;
    uint64_t end = kc_ia_raw(base) + USER_BYTES;
    fill_bytes(w, sent, across);
    bool good = kc_plat_user_write(kc_uva(across), sent, COPY_BYTES) == 0 &&
                kc_plat_user_read(back, kc_uva(across), COPY_BYTES) == 0 &&
                same_bytes(sent, back, COPY_BYTES);
    if (*short_of != short_before) {
        return KC_ERR_NOMEM; /* a lazy page could not be had, and the copy ended there */
    }
    if (!good) {
        wrong(w, "user memory", across);
    }
    w->counts->user_bytes += (uint64_t)2 * COPY_BYTES;
    const size_t inside = COPY_BYTES / 4;
    size_t left = kc_plat_user_write(kc_uva(end - inside), sent, COPY_BYTES);
    if (*short_of != short_before) {
        return KC_ERR_NOMEM;
    }
    if (left != COPY_BYTES - inside) {
        wrong(w, "write over the end of user memory", end);
    }
    w->counts->user_faults++;
    return KC_OK;
}

static kc_status_t run_in_space(struct worker *w, struct kc_aspace *space)
{
    struct kc_aspace_request rq = {
        .bytes = USER_BYTES,
        .guard_bytes = GUARD_BYTES,
        .flags = KC_AREA_LAZY,
        .attr = kc_pt_attr(KC_PT_R | KC_PT_W | KC_PT_USER, KC_A64_MEM_NORMAL, false),
    };
    kc_ia_t base;
    kc_status_t st = kc_aspace_reserve(space, &rq, &base);
    if (st != KC_OK) {
        return st;
    }
    st = kc_aspace_activate(space);
    if (st != KC_OK) {
        return st;
    }
    kc_kernel_set_user(w->k, space);
    st = use_user_memory(w, base);
    kc_kernel_set_user(w->k, NULL);
    kc_status_t left = kc_aspace_deactivate(space);
    return st != KC_OK ? st : left;
}

static kc_status_t user_step(struct worker *w)
{
    struct kc_aspace *space = &w->vm->user[w->cpu];
    struct kc_aspace_config config = {
        .kind = KC_ASPACE_USER,
        .name = "service",
        .frames = &w->k->frames,
        .asids = &w->k->asids,
        .format = w->k->lower,
        .base = kc_ia(w->k->info.user_base),
        .bytes = w->k->info.user_bytes,
        .areas = w->vm->user_area[w->cpu],
        .area_max = KC_VM_USER_AREAS,
    };
    kc_status_t st = kc_aspace_init(space, &config);
    if (st != KC_OK) {
        return st;
    }
    st = run_in_space(w, space);
    w->counts->user_spaces++;
    kc_status_t down = kc_aspace_fini(space);
    return st != KC_OK ? st : down;
}

/* ---- the run -------------------------------------------------------------------------------- */

/* Want of memory is no failure: every step has undone what it did. */
static kc_status_t allowing_no_memory(struct worker *w, kc_status_t st)
{
    if (st != KC_ERR_NOMEM) {
        return st;
    }
    w->counts->no_memory++;
    return KC_OK;
}

static kc_status_t one_round(struct worker *w)
{
    static kc_status_t (*const steps[])(struct worker *) = {pages_step, remake_step, block_step,
                                                            stack_step, heap_step};
    kc_status_t st = KC_OK;
    if (w->k->info.dynamic_bytes != 0) {
        for (size_t i = 0; i < KC_ARRAY_COUNT(steps) && st == KC_OK; i++) {
            serve_mail(w);
            st = allowing_no_memory(w, steps[i](w));
        }
    }
    if (st == KC_OK && w->k->info.user_bytes != 0) {
        st = allowing_no_memory(w, user_step(w));
    }
    return st;
}

void kc_vm_init(struct kc_vm *vm, struct kc_kernel *k, uint32_t cpu_count, uint32_t rounds)
{
    vm->kernel = k;
    vm->cpu_count = cpu_count;
    vm->rounds = rounds;
    vm->finished = 0;
    vm->failed = 0;
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        vm->mail[i] = (struct kc_vm_mail){0};
        vm->counts[i] = (struct kc_vm_counts){0};
    }
}

kc_status_t kc_vm_run(struct kc_vm *vm, uint32_t cpu)
{
    struct worker w = {
        .vm = vm,
        .k = vm->kernel,
        .counts = &vm->counts[cpu],
        .random = (vm->kernel->info.seed + cpu + 1) * 0x9e3779b97f4a7c15u | 1,
        .cpu = cpu,
    };
    kc_status_t st = KC_OK;
    for (w.round = 0; w.round < vm->rounds && st == KC_OK; w.round++) {
        st = one_round(&w);
    }
    if (st != KC_OK) {
        kc_kernel_log(w.k, "vm: cpu%u round %u: %s", cpu, w.round, kc_status_name(st));
    }
    __atomic_add_fetch(&vm->finished, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&vm->finished, __ATOMIC_ACQUIRE) < vm->cpu_count) {
        serve_mail(&w);
        kc_plat_relax();
    }
    if (st == KC_OK && __atomic_load_n(&vm->failed, __ATOMIC_RELAXED) != 0) {
        st = KC_ERR_CORRUPT;
    }
    return st;
}

void kc_vm_total(const struct kc_vm *vm, struct kc_vm_counts *out)
{
    struct kc_vm_counts t = {0};
    for (uint32_t i = 0; i < vm->cpu_count; i++) {
        const struct kc_vm_counts *c = &vm->counts[i];
        t.maps += c->maps;
        t.unmaps += c->unmaps;
        t.protects += c->protects;
        t.splits += c->splits;
        t.remote_reads += c->remote_reads;
        t.user_spaces += c->user_spaces;
        t.user_bytes += c->user_bytes;
        t.user_faults += c->user_faults;
        t.no_memory += c->no_memory;
    }
    t.lazy_faults = __atomic_load_n(&vm->kernel->faults_resolved, __ATOMIC_RELAXED);
    *out = t;
}
