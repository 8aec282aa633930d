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
 *     reclaim   ask for frames back, as one does who is short of them: the slabs that heap left
 *               empty, on whatever CPU, while others use their caches
 *     user      make a space with a lazy area, run in it, copy out and in, copy over the end of the
 *               area, leave it, destroy it
 *     kill      build up a service, one tracked thing after the other (frame, space, area, mapping
 *               that needs all three, and being in the space), and kill it at a random point: from
 *               here, or from here and the next CPU at once; nothing may remain
 *
 * Asking the next CPU to read (or to kill) is a mail box: the asker fills it and sets ASKED, the
 * reader reads and sets DONE. A CPU that waits serves its own box, and one that has finished serves
 * until all have, so nobody waits for ever.
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

/* True if the answer is one that a killer among several may get. */
static bool kill_service(struct worker *w, kc_track_owner_t victim)
{
    kc_status_t st = kc_track_owner_kill(&w->k->track, victim, NULL);
    return st == KC_OK || st == KC_ERR_STATE || st == KC_ERR_ABSENT;
}

static void serve_mail(struct worker *w)
{
    struct kc_vm_mail *m = &w->vm->mail[w->cpu];
    if (__atomic_load_n(&m->state, __ATOMIC_ACQUIRE) != MAIL_ASKED) {
        return;
    }
    if (m->kill) {
        m->wrong = kill_service(w, m->victim) ? 0 : 1;
    } else {
        m->wrong = get(kc_va(m->va)) != m->expected;
        w->counts->remote_reads++;
    }
    __atomic_store_n(&m->state, MAIL_DONE, __ATOMIC_RELEASE);
}

static struct kc_vm_mail *next_mail(struct worker *w)
{
    return &w->vm->mail[(w->cpu + 1) % w->vm->cpu_count];
}

static bool wait_for_answer(struct worker *w, struct kc_vm_mail *m)
{
    while (__atomic_load_n(&m->state, __ATOMIC_ACQUIRE) != MAIL_DONE) {
        serve_mail(w);
        kc_plat_relax();
    }
    bool good = m->wrong == 0;
    __atomic_store_n(&m->state, MAIL_EMPTY, __ATOMIC_RELAXED);
    return good;
}

static void let_next_read(struct worker *w, kc_va_t va, uint64_t expected)
{
    if (w->vm->cpu_count < 2) {
        return;
    }
    struct kc_vm_mail *m = next_mail(w);
    m->kill = false;
    m->va = kc_va_raw(va);
    m->expected = expected;
    __atomic_store_n(&m->state, MAIL_ASKED, __ATOMIC_RELEASE);
    if (!wait_for_answer(w, m)) {
        wrong(w, "the next CPU read something else", kc_va_raw(va));
    }
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

static kc_status_t reclaim_step(struct worker *w)
{
    w->counts->reclaimed += kc_frames_reclaim(&w->k->frames, 1 + w->round % 8);
    w->counts->reclaimed += kc_frames_balance(&w->k->frames);
    return KC_OK;
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

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Copy across the second page boundary, read back, then copy over the end of the area. */
static kc_status_t use_user_memory(struct worker *w, const struct kc_uwindow *window, kc_ia_t base)
{
    const uint64_t *short_of = &w->k->faults_no_memory[w->cpu];
    uint64_t short_before = *short_of;
    unsigned char sent[COPY_BYTES];
    unsigned char back[COPY_BYTES];
    uint64_t across = kc_ia_raw(base) + 2 * PAGE - COPY_BYTES / 2;
    uint64_t end = kc_ia_raw(base) + USER_BYTES;
    fill_bytes(w, sent, across);
    size_t left = 0;
    bool good = kc_ucopy_to(window, kc_uva(across), sent, COPY_BYTES, NULL) == KC_OK &&
                kc_ucopy_from(window, back, kc_uva(across), COPY_BYTES, NULL) == KC_OK &&
                same_bytes(sent, back, COPY_BYTES);
    if (*short_of != short_before) {
        return KC_ERR_NOMEM; /* a lazy page could not be had, and the copy ended there */
    }
    if (!good) {
        wrong(w, "user memory", across);
    }
    w->counts->user_bytes += (uint64_t)2 * COPY_BYTES;
    const size_t inside = COPY_BYTES / 4;
    kc_status_t over = kc_ucopy_to(window, kc_uva(end - inside), sent, COPY_BYTES, &left);
    if (*short_of != short_before) {
        return KC_ERR_NOMEM;
    }
    if (over != KC_ERR_FAULT || left != COPY_BYTES - inside) {
        wrong(w, "write over the end of user memory", end);
    }
    over = kc_ucopy_from(window, back, kc_uva(end - inside), COPY_BYTES, &left);
    if (over != KC_ERR_FAULT || left != COPY_BYTES - inside || !same_bytes(sent, back, inside) ||
        !all_zero(back + inside, left)) {
        wrong(w, "read over the end of user memory", end);
    }
    if (kc_ucopy_from(window, back, kc_uva(w->k->info.linear_base), COPY_BYTES, NULL) !=
            KC_ERR_PERM ||
        !all_zero(back, COPY_BYTES)) {
        wrong(w, "kernel memory read as a user's", w->k->info.linear_base);
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
    struct kc_uwindow window = kc_uwindow_of(space);
    st = use_user_memory(w, &window, base);
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

/* ---- services that are killed --------------------------------------------------------------- */

enum {
    KIND_FRAME,
    KIND_SPACE,
    KIND_AREA,
    KIND_MAPPING,
    KIND_RUNNING
};

/* A cleanup has nobody to tell: what it cannot do is a defect, and counts as one. */
static void cleaned(struct kc_vm_service *s, kc_status_t st)
{
    if (st != KC_OK) {
        kc_kernel_log(s->vm->kernel, "vm: cpu%u: cleanup: %s", s->cpu, kc_status_name(st));
        __atomic_add_fetch(&s->vm->failed, 1, __ATOMIC_RELAXED);
    }
    __atomic_add_fetch(&s->cleaned, 1, __ATOMIC_RELAXED);
}

static void wrong_order(struct kc_vm_service *s)
{
    kc_kernel_log(s->vm->kernel, "vm: cpu%u: a frame is cleaned before its mapping", s->cpu);
    __atomic_add_fetch(&s->vm->failed, 1, __ATOMIC_RELAXED);
}

static void clean_frame(const struct kc_track_resource *r)
{
    struct kc_vm_service *s = (struct kc_vm_service *)r->object;
    if (s->mapped) {
        wrong_order(s); /* V1 */
    }
    cleaned(s, kc_frame_free(&s->vm->kernel->frames, kc_pa(r->value[0]), (uint32_t)r->value[1]));
}

static void clean_space(const struct kc_track_resource *r)
{
    struct kc_vm_service *s = (struct kc_vm_service *)r->object;
    cleaned(s, kc_aspace_fini(&s->space));
}

static void clean_area(const struct kc_track_resource *r)
{
    struct kc_vm_service *s = (struct kc_vm_service *)r->object;
    cleaned(s, kc_aspace_release(&s->space, kc_ia(r->value[0])));
}

static void clean_mapping(const struct kc_track_resource *r)
{
    struct kc_vm_service *s = (struct kc_vm_service *)r->object;
    s->mapped = false;
    cleaned(s, kc_aspace_unmap(&s->space, kc_ia(r->value[0]), r->value[1]));
}

/* Only the CPU that is in the space can leave it: such an item is never in another's way. */
static void clean_running(const struct kc_track_resource *r)
{
    struct kc_vm_service *s = (struct kc_vm_service *)r->object;
    kc_kernel_set_user(s->vm->kernel, NULL);
    cleaned(s, kc_aspace_deactivate(&s->space));
}

/* A service as it is being built; `made` things are tracked. */
struct building {
    struct worker *w;
    struct kc_vm_service *s;
    kc_track_owner_t owner;
    kc_track_item_t item[5]; /* by kind */
    kc_pa_t frame;
    kc_ia_t base;
    uint32_t made;
    bool runs;
};

/* Track what exists now; undone here if that is refused. */
static kc_status_t track(struct building *b, uint32_t kind, kc_track_cleanup_fn cleanup,
                         uint64_t v0, uint64_t v1, const kc_track_item_t *needs,
                         uint32_t need_count)
{
    struct kc_track_request rq = {
        .what = {.object = b->s, .value = {v0, v1}, .kind = kind},
        .cleanup = cleanup,
        .units = 1,
        .site = KC_TRACK_SITE,
        .needs = needs,
        .need_count = need_count,
    };
    kc_status_t st = kc_track_add(&b->w->k->track, b->owner, &rq, &b->item[kind]);
    b->made++;
    if (st != KC_OK) {
        cleanup(&rq.what);
    }
    return st;
}

static kc_status_t make_frame(struct building *b)
{
    kc_status_t st =
        kc_frame_alloc(&b->w->k->frames, 1, KC_FRAME_ZERO, KC_FRAME_OWNER_USER, &b->frame);
    return st != KC_OK ? st : track(b, KIND_FRAME, clean_frame, kc_pa_raw(b->frame), 1, NULL, 0);
}

static kc_status_t make_space(struct building *b)
{
    struct kc_kernel *k = b->w->k;
    struct kc_aspace_config config = {
        .kind = KC_ASPACE_USER,
        .name = "victim",
        .frames = &k->frames,
        .asids = &k->asids,
        .format = k->lower,
        .base = kc_ia(k->info.user_base),
        .bytes = k->info.user_bytes,
        .areas = b->s->area,
        .area_max = KC_VM_USER_AREAS,
    };
    kc_status_t st = kc_aspace_init(&b->s->space, &config);
    return st != KC_OK ? st : track(b, KIND_SPACE, clean_space, 0, 0, NULL, 0);
}

static kc_status_t make_area(struct building *b)
{
    struct kc_aspace_request rq = {.bytes = 2 * PAGE, .guard_bytes = GUARD_BYTES};
    kc_status_t st = kc_aspace_reserve(&b->s->space, &rq, &b->base);
    return st != KC_OK
               ? st
               : track(b, KIND_AREA, clean_area, kc_ia_raw(b->base), 0, &b->item[KIND_SPACE], 1);
}

static kc_status_t make_mapping(struct building *b)
{
    const kc_track_item_t needs[] = {b->item[KIND_FRAME], b->item[KIND_AREA]};
    kc_status_t st =
        kc_aspace_map(&b->s->space, b->base, b->frame, 2 * PAGE,
                      kc_pt_attr(KC_PT_R | KC_PT_W | KC_PT_USER, KC_A64_MEM_NORMAL, false));
    b->s->mapped = st == KC_OK;
    return st != KC_OK ? st
                       : track(b, KIND_MAPPING, clean_mapping, kc_ia_raw(b->base), 2 * PAGE, needs,
                               KC_ARRAY_COUNT(needs));
}

static kc_status_t make_running(struct building *b)
{
    struct kc_uwindow window = kc_uwindow_of(&b->s->space);
    kc_uva_t across = kc_uva(kc_ia_raw(b->base) + PAGE - 4);
    uint64_t sent = pattern(b->w, kc_uva_raw(across));
    uint64_t back = 0;
    kc_status_t st = kc_aspace_activate(&b->s->space);
    if (st != KC_OK) {
        return st;
    }
    kc_kernel_set_user(b->w->k, &b->s->space);
    if (kc_ucopy_store_u64(&window, across, sent) != KC_OK ||
        kc_ucopy_load_u64(&window, across, &back) != KC_OK || back != sent) {
        wrong(b->w, "memory of a service", kc_uva_raw(across));
    }
    st = track(b, KIND_RUNNING, clean_running, 0, 0, &b->item[KIND_SPACE], 1);
    b->runs = st == KC_OK;
    return st;
}

/* From here; or from here and the next CPU at once; this one leaves the space first. */
static void kill_it(struct building *b, bool both)
{
    struct worker *w = b->w;
    struct kc_vm_mail *m = NULL;
    if (both && w->vm->cpu_count >= 2) {
        struct kc_track_resource running = {.object = b->s};
        if (b->runs) {
            if (kc_track_take(&w->k->track, b->item[KIND_RUNNING], &running) != KC_OK) {
                wrong(w, "a service that could not be taken out of its space", b->made);
            }
            clean_running(&running);
        }
        m = next_mail(w);
        m->kill = true;
        m->victim = b->owner;
        __atomic_store_n(&m->state, MAIL_ASKED, __ATOMIC_RELEASE);
        for (uint64_t n = next_random(w) % 32; n != 0; n--) {
            kc_plat_relax();
        }
    }
    bool good = kill_service(w, b->owner);
    if (m != NULL) {
        good = wait_for_answer(w, m) && good;
    }
    while (!kc_track_owner_is_gone(&w->k->track, b->owner)) {
        serve_mail(w);
        kc_plat_relax();
    }
    w->counts->kills++;
    w->counts->cleanups += b->made;
    if (!good || __atomic_load_n(&b->s->cleaned, __ATOMIC_RELAXED) != b->made) {
        wrong(w, "things of a killed service that were not cleaned just once", b->made);
    }
}

static kc_status_t kill_step(struct worker *w)
{
    static kc_status_t (*const make[])(struct building *) = {make_frame, make_space, make_area,
                                                             make_mapping, make_running};
    struct building b = {.w = w, .s = &w->vm->service[w->cpu]};
    struct kc_track_limits limits = {KC_ARRAY_COUNT(make), KC_ARRAY_COUNT(make)};
    uint64_t point = next_random(w) % (KC_ARRAY_COUNT(make) + 1);
    bool both = next_random(w) % 2 != 0;
    b.s->vm = w->vm;
    b.s->cpu = w->cpu;
    b.s->cleaned = 0;
    b.s->mapped = false;
    kc_status_t st = kc_track_owner_add(&w->k->track, "victim", &limits, &b.owner);
    if (st != KC_OK) {
        return st;
    }
    for (uint64_t i = 0; i < point && st == KC_OK; i++) {
        st = make[i](&b);
    }
    kill_it(&b, both);
    return st;
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
                                                            stack_step, heap_step,   reclaim_step};
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
    if (st == KC_OK && w->k->info.user_bytes != 0) {
        serve_mail(w);
        st = allowing_no_memory(w, kill_step(w));
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
        t.reclaimed += c->reclaimed;
        t.no_memory += c->no_memory;
        t.kills += c->kills;
        t.cleanups += c->cleanups;
    }
    t.lazy_faults = __atomic_load_n(&vm->kernel->faults_resolved, __ATOMIC_RELAXED);
    *out = t;
}
