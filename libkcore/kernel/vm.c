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
 *     fence     miss a fenced object on either side, and after its free (fenced.c)
 *     user      make a space with a lazy area, run in it, copy out and in, copy over the end of the
 *               area, leave it, destroy it
 *     kill      build up a service, one thing after the other (frame, space, area, mapping that
 *               needs all three, and being in the space), and kill it at a random point: from here,
 *               or from here and the next CPU at once; nothing may remain
 *
 * Every step has an owner of its own in the kernel's tracker, and makes things through own.h alone.
 *
 * Asking the next CPU to read (or to kill) is a mail box: the asker fills it and sets ASKED, the
 * reader reads and sets DONE. A CPU that waits serves its own box, and one that has finished serves
 * until all have, so nobody waits for ever.
 *
 * V1. A frame is freed only after its last mapping is gone: the mapping's item needs the frame's.
 * V2. Contents depend on seed, CPU, round and address alone, so a stale or mixed-up translation
 *     reads something else.
 */
#include "vm.h"

#include "own.h"

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
    struct kc_vm_user *user;
    kc_track_owner_t owner; /* of the present step */
    uint64_t random;        /* xorshift state, never 0 */
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

/* Frames, and an area that they fit in; each may be mapped there. All of it is the step's. */
struct place {
    kc_pa_t pa;
    kc_va_t va;
    uint64_t bytes;
    kc_track_item_t frames;
    kc_track_item_t area;
    kc_track_item_t mapping;
};

static struct kc_own by(const struct worker *w, const char *site)
{
    return kc_own(w->k, w->owner, site);
}

static kc_status_t find_place(struct worker *w, uint32_t order, uint64_t bytes, uint64_t align,
                              struct place *p)
{
    const struct kc_aspace_request rq = {
        .bytes = bytes, .align = align, .guard_bytes = GUARD_BYTES};
    kc_ia_t ia;
    kc_status_t st =
        kc_own_frames(by(w, KC_TRACK_SITE), order, 0, KC_FRAME_OWNER_KERNEL, &p->pa, &p->frames);
    if (st == KC_OK) {
        st = kc_own_area(by(w, KC_TRACK_SITE), &w->k->space, w->k->own.space, &rq, &ia, &p->area);
    }
    if (st == KC_OK) {
        p->va = kc_va_of_ia(ia);
        p->bytes = bytes;
    }
    return st;
}

static kc_status_t map(struct worker *w, struct place *p, kc_pa_t pa)
{
    w->counts->maps++;
    return kc_own_mapping(by(w, KC_TRACK_SITE), &w->k->space, p->area, kc_ia_of_va(p->va),
                          &p->frames, pa, p->bytes,
                          kc_pt_attr(KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true), &p->mapping);
}

static kc_status_t make_read_only(struct worker *w, kc_va_t va, uint64_t bytes)
{
    w->counts->protects++;
    return kc_aspace_protect(&w->k->space, kc_ia_of_va(va), bytes,
                             kc_pt_attr(KC_PT_R, KC_A64_MEM_NORMAL, true));
}

static kc_status_t unmap(struct worker *w, const struct place *p)
{
    w->counts->unmaps++;
    return kc_track_release(&w->k->track, p->mapping);
}

static kc_va_t at(kc_va_t base, uint64_t offset)
{
    return kc_va(kc_va_raw(base) + offset); /* inside a range that the address space gave */
}

static kc_status_t pages_step(struct worker *w)
{
    struct place p;
    uint32_t order = (uint32_t)(next_random(w) % 3);
    uint64_t bytes = PAGE << order;
    kc_status_t st = find_place(w, order, bytes, 0, &p);
    if (st == KC_OK) {
        st = map(w, &p, p.pa);
    }
    if (st != KC_OK) {
        return st;
    }
    for (uint64_t offset = 0; offset < bytes; offset += PAGE) {
        put(at(p.va, offset), pattern(w, offset));
    }
    let_next_read(w, at(p.va, bytes - PAGE), pattern(w, bytes - PAGE));
    st = make_read_only(w, p.va, bytes);
    for (uint64_t offset = 0; offset < bytes; offset += PAGE) {
        expect(w, at(p.va, offset), pattern(w, offset), "contents changed by protect");
    }
    let_next_read(w, p.va, pattern(w, 0));
    kc_status_t down = unmap(w, &p);
    return st != KC_OK ? st : down;
}

static kc_status_t remake_step(struct worker *w)
{
    struct place p;
    kc_status_t st = find_place(w, 1, PAGE, 0, &p);
    if (st == KC_OK) {
        st = map(w, &p, p.pa);
    }
    if (st == KC_OK) {
        put(p.va, pattern(w, 1));
        let_next_read(w, p.va, pattern(w, 1));
        st = unmap(w, &p);
    }
    if (st == KC_OK) {
        kc_pa_t second = kc_pa(kc_pa_raw(p.pa) + PAGE);
        *(uint64_t *)kc_plat_ram(second) = pattern(w, 2);
        st = map(w, &p, second);
    }
    if (st == KC_OK) {
        expect(w, p.va, pattern(w, 2), "re-made page shows something else");
        let_next_read(w, p.va, pattern(w, 2));
        st = unmap(w, &p);
    }
    return st;
}

static kc_status_t block_step(struct worker *w)
{
    struct place p;
    kc_status_t st = find_place(w, BLOCK_ORDER, BLOCK_BYTES, BLOCK_BYTES, &p);
    if (st != KC_OK) {
        return st;
    }
    uint64_t inner = PAGE * (1 + next_random(w) % ((BLOCK_BYTES / PAGE) - 2));
    st = map(w, &p, p.pa);
    if (st != KC_OK) {
        return st;
    }
    put(p.va, pattern(w, 3));
    put(at(p.va, inner), pattern(w, 4));
    put(at(p.va, BLOCK_BYTES - 8), pattern(w, 5));
    let_next_read(w, at(p.va, inner), pattern(w, 4));
    st = make_read_only(w, at(p.va, inner), PAGE);
    if (st == KC_OK) {
        w->counts->splits++;
        put(p.va, pattern(w, 6));
        expect(w, p.va, pattern(w, 6), "write beside a split");
        expect(w, at(p.va, inner), pattern(w, 4), "page that was split off");
        expect(w, at(p.va, BLOCK_BYTES - 8), pattern(w, 5), "end of a split block");
        let_next_read(w, at(p.va, inner), pattern(w, 4));
    }
    kc_status_t down = unmap(w, &p);
    return st != KC_OK ? st : down;
}

/* ---- stacks --------------------------------------------------------------------------------- */

/* A stack of two pages between guards: written from its top down to its last byte. */
static kc_status_t stack_step(struct worker *w)
{
    struct place p;
    kc_status_t st = find_place(w, 1, 2 * PAGE, 0, &p);
    if (st == KC_OK) {
        st = map(w, &p, p.pa);
    }
    if (st != KC_OK) {
        return st;
    }
    uint64_t where = (uintptr_t)kc_plat_ptr(p.va);
    kc_plat_note(KC_NOTE_STACK, where, p.bytes, w->k);
    for (uint64_t down = 512; down <= p.bytes; down += 512) {
        put(at(p.va, p.bytes - down), pattern(w, down));
    }
    expect(w, p.va, pattern(w, p.bytes), "lowest word of a stack");
    let_next_read(w, at(p.va, p.bytes - 512), pattern(w, 512));
    kc_plat_note(KC_NOTE_STACK_FREE, where, p.bytes, w->k);
    return unmap(w, &p);
}

/* ---- heap ----------------------------------------------------------------------------------- */

static kc_status_t heap_step(struct worker *w)
{
    static const size_t sizes[] = {24, 100, 1000, 9000};
    void *p[KC_ARRAY_COUNT(sizes)];
    kc_track_item_t item[KC_ARRAY_COUNT(sizes)];
    kc_status_t st = KC_OK;
    for (size_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
        p[i] = NULL;
        kc_status_t made = kc_own_object(by(w, KC_TRACK_SITE), sizes[i], &p[i], &item[i]);
        if (made == KC_OK) {
            *(uint64_t *)p[i] = pattern(w, i);
        } else if (made == KC_ERR_NOMEM) {
            w->counts->no_memory++;
        } else {
            st = made;
        }
    }
    for (size_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
        if (p[i] != NULL && *(const uint64_t *)p[i] != pattern(w, i)) {
            wrong(w, "heap object changed", i);
        }
        /* Every second one goes by itself, the others with the step. */
        if (p[i] != NULL && i % 2 == 0) {
            kc_status_t freed = kc_track_release(&w->k->track, item[i]);
            st = st != KC_OK ? st : freed;
        }
    }
    return st;
}

static kc_status_t reclaim_step(struct worker *w)
{
    w->counts->reclaimed += kc_frames_reclaim(&w->k->frames, 1 + w->round % 8);
    w->counts->reclaimed += kc_frames_balance(&w->k->frames);
    return KC_OK;
}

static kc_status_t fence_step(struct worker *w)
{
    uint64_t wrongs = 0;
    kc_status_t st =
        kc_fenced_round(&w->vm->fenced[w->cpu], w->k, next_random(w), &w->counts->fenced, &wrongs);
    if (wrongs != 0) {
        wrong(w, "misses of a fenced object that were not explained", wrongs);
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

static kc_status_t make_space(struct worker *w, const char *name, kc_track_item_t *item)
{
    struct kc_kernel *k = w->k;
    const struct kc_aspace_config config = {
        .kind = KC_ASPACE_USER,
        .name = name,
        .frames = &k->frames,
        .asids = &k->asids,
        .format = k->lower,
        .base = kc_ia(k->info.user_base),
        .bytes = k->info.user_bytes,
        .areas = w->user->area,
        .area_max = KC_VM_USER_AREAS,
    };
    return kc_own_space(by(w, KC_TRACK_SITE), &w->user->space, &config, item);
}

static kc_status_t user_step(struct worker *w)
{
    struct kc_aspace *space = &w->user->space;
    struct kc_aspace_request rq = {
        .bytes = USER_BYTES,
        .guard_bytes = GUARD_BYTES,
        .flags = KC_AREA_LAZY,
        .attr = kc_pt_attr(KC_PT_R | KC_PT_W | KC_PT_USER, KC_A64_MEM_NORMAL, false),
    };
    kc_track_item_t item;
    kc_ia_t base;
    kc_status_t st = make_space(w, "user", &item);
    if (st != KC_OK) {
        return st;
    }
    w->counts->user_spaces++;
    st = kc_own_area(by(w, KC_TRACK_SITE), space, item, &rq, &base, NULL);
    if (st == KC_OK) {
        st = kc_own_running(by(w, KC_TRACK_SITE), space, item, NULL);
    }
    if (st == KC_OK) {
        struct kc_uwindow window = kc_uwindow_of(space);
        st = use_user_memory(w, &window, base);
    }
    return st;
}

/* ---- services that are killed --------------------------------------------------------------- */

enum {
    THING_FRAME,
    THING_SPACE,
    THING_AREA,
    THING_MAPPING,
    THING_RUNNING,
    THINGS
};

/* A service as it is being built; the first `made` things are tracked. */
struct building {
    struct worker *w;
    struct kc_vm_user *u;
    kc_track_item_t item[THINGS];
    kc_pa_t frame;
    kc_ia_t base;
    uint32_t made;
};

static kc_status_t make_victim_frame(struct building *b)
{
    return kc_own_frames(by(b->w, KC_TRACK_SITE), 1, KC_FRAME_ZERO, KC_FRAME_OWNER_USER, &b->frame,
                         &b->item[THING_FRAME]);
}

static kc_status_t make_victim_space(struct building *b)
{
    return make_space(b->w, "victim", &b->item[THING_SPACE]);
}

static kc_status_t make_victim_area(struct building *b)
{
    const struct kc_aspace_request rq = {.bytes = 2 * PAGE, .guard_bytes = GUARD_BYTES};
    return kc_own_area(by(b->w, KC_TRACK_SITE), &b->u->space, b->item[THING_SPACE], &rq, &b->base,
                       &b->item[THING_AREA]);
}

static kc_status_t make_victim_mapping(struct building *b)
{
    return kc_own_mapping(by(b->w, KC_TRACK_SITE), &b->u->space, b->item[THING_AREA], b->base,
                          &b->item[THING_FRAME], b->frame, 2 * PAGE,
                          kc_pt_attr(KC_PT_R | KC_PT_W | KC_PT_USER, KC_A64_MEM_NORMAL, false),
                          &b->item[THING_MAPPING]);
}

static kc_status_t make_victim_running(struct building *b)
{
    struct kc_uwindow window = kc_uwindow_of(&b->u->space);
    kc_uva_t across = kc_uva(kc_ia_raw(b->base) + PAGE - 4);
    uint64_t sent = pattern(b->w, kc_uva_raw(across));
    uint64_t back = 0;
    kc_status_t st = kc_own_running(by(b->w, KC_TRACK_SITE), &b->u->space, b->item[THING_SPACE],
                                    &b->item[THING_RUNNING]);
    if (st == KC_OK && (kc_ucopy_store_u64(&window, across, sent) != KC_OK ||
                        kc_ucopy_load_u64(&window, across, &back) != KC_OK || back != sent)) {
        wrong(b->w, "memory of a service", kc_uva_raw(across));
    }
    return st;
}

/* Each was cleaned; once, for a handle that was cleaned is dead. */
static bool all_are_gone(const struct building *b)
{
    for (uint32_t i = 0; i < b->made; i++) {
        if (kc_track_release(&b->w->k->track, b->item[i]) != KC_ERR_ABSENT) {
            return false;
        }
    }
    return true;
}

/* From here; or from here and the next CPU at once; this one leaves the space first. */
static void kill_it(struct building *b, bool both)
{
    struct worker *w = b->w;
    struct kc_vm_mail *m = NULL;
    if (both && w->vm->cpu_count >= 2) {
        if (b->made == THINGS && kc_track_release(&w->k->track, b->item[THING_RUNNING]) != KC_OK) {
            wrong(w, "a service that could not be taken out of its space", b->made);
        }
        m = next_mail(w);
        m->kill = true;
        m->victim = w->owner;
        __atomic_store_n(&m->state, MAIL_ASKED, __ATOMIC_RELEASE);
        for (uint64_t n = next_random(w) % 32; n != 0; n--) {
            kc_plat_relax();
        }
    }
    bool good = kill_service(w, w->owner);
    if (m != NULL) {
        good = wait_for_answer(w, m) && good;
    }
    while (!kc_track_owner_is_gone(&w->k->track, w->owner)) {
        serve_mail(w);
        kc_plat_relax();
    }
    w->counts->kills++;
    w->counts->cleanups += b->made;
    if (!good || !all_are_gone(b)) {
        wrong(w, "things of a killed service that are not gone", b->made);
    }
}

static kc_status_t kill_step(struct worker *w)
{
    static kc_status_t (*const make[THINGS])(struct building *) = {
        make_victim_frame, make_victim_space, make_victim_area, make_victim_mapping,
        make_victim_running};
    struct building b = {.w = w, .u = w->user};
    struct kc_track_limits limits = {THINGS, 2};
    uint64_t point = next_random(w) % (THINGS + 1);
    bool both = next_random(w) % 2 != 0;
    kc_status_t st = kc_track_owner_add(&w->k->track, "victim", &limits, &w->owner);
    if (st != KC_OK) {
        return st;
    }
    while (b.made < point && st == KC_OK) {
        st = make[b.made](&b);
        b.made += st == KC_OK;
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

/* A step is an owner: what it made and has not given back goes with it, however it ended. */
static kc_status_t owned_step(struct worker *w, const char *name,
                              kc_status_t (*step)(struct worker *))
{
    bool gone = false;
    serve_mail(w);
    kc_status_t st = kc_track_owner_add(&w->k->track, name, NULL, &w->owner);
    if (st != KC_OK) {
        return st;
    }
    st = step(w);
    kc_status_t down = kc_track_owner_kill(&w->k->track, w->owner, &gone);
    if (down != KC_OK || !gone) {
        wrong(w, "a step that left something", 0);
    }
    return allowing_no_memory(w, st);
}

static kc_status_t one_round(struct worker *w)
{
    static const struct {
        const char *name;
        kc_status_t (*step)(struct worker *);
    } steps[] = {{"vm pages", pages_step}, {"vm remake", remake_step}, {"vm block", block_step},
                 {"vm stack", stack_step}, {"vm heap", heap_step},     {"vm reclaim", reclaim_step},
                 {"vm fence", fence_step}};
    kc_status_t st = KC_OK;
    if (w->k->info.dynamic_bytes != 0) {
        for (size_t i = 0; i < KC_ARRAY_COUNT(steps) && st == KC_OK; i++) {
            st = owned_step(w, steps[i].name, steps[i].step);
        }
    }
    if (st == KC_OK && w->k->info.user_bytes != 0) {
        st = owned_step(w, "vm user", user_step);
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
        .user = &vm->user[cpu],
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
        t.fenced += c->fenced;
        t.no_memory += c->no_memory;
        t.kills += c->kills;
        t.cleanups += c->cleanups;
    }
    t.lazy_faults = __atomic_load_n(&vm->kernel->faults_resolved, __ATOMIC_RELAXED);
    *out = t;
}
