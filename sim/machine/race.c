/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * race.c: which accesses of two CPUs nothing orders, by the orders that the software itself states.
 *
 * The exact machine performs memory in sequence, so a missing barrier shows in no value. It shows
 * here: each CPU keeps a *clock*, how far it knows each CPU to be; each atomic location keeps what
 * the store that it holds has published; each byte keeps who touched it since. An access that meets
 * one of another CPU that it does not know of is a race (row R1).
 *
 *     CPU 0: write data;  store-release flag  --clock-->  flag
 *     CPU 1:                                  load-acquire flag  --clock-->  CPU 1;  read data
 *
 * Nouns. A CPU's own component is its *time*; it grows with each publication. A *cell* is the last
 * access of one kind to some bytes of a *granule* (8 bytes) by one CPU. What a CPU *holds* are the
 * publications that it has read without an acquire: an acquiring fence later makes them known.
 * Memory has one name: the physical address for all windows, the host's address (HOST_BIT) for
 * static storage and stacks.
 *
 * Edges, and no others (C17 5.1.2.4 and 7.17.4; DDI 0487 J.a, B2.3 and B2.7)
 *   - a release store, or a store behind a releasing fence, to an acquire load that reads it, or a
 *     relaxed one before an acquiring fence; read-modify-writes continue what was published, any
 *     other store ends it;
 *   - DMB and DSB, Inner Shareable or wider: full ones release and acquire, LD acquires, ST
 *     releases what was stored (not what was read); ISB and Non-shareable: nothing;
 *   - a started CPU, and one that takes an interrupt, knows what came before the last DSB of the
 *     sender. SEV and WFE order nothing, and notes of locks nothing: a lock's own atomics do.
 *
 * Invariants
 *   I1  clock.all[i] and .stores[i]: every access, and every store, of CPU i up to that time comes
 *       before what this CPU does next. all <= stores.
 *   I2  a cell is dropped only for one that comes after it, covers its bytes, and conflicts with
 *       whatever it conflicts with: of every location, if there is a race, one is found.
 *   I3  nothing here changes who runs when: a schedule is the same with and without.
 *
 * Cost: an access to a granule visits its cells, usually one or two; memory is 10 KiB a touched
 * page and 20 bytes a further cell, given back when the run ends. Accesses before a second CPU is
 * on are not looked at. After Flanagan and Freund, "FastTrack", PLDI 2009.
 */
#include <string.h>

#include "../monitor/map.h"
#include "machine_priv.h"
#include "race.h"

#define HOST_BIT      KC_BIT(63)
#define GRANULE       8u
#define PAGE_GRANULES (SIM_PAGE_BYTES / GRANULE)
#define RECENT_SLOTS  1024u
#define CELLS_MIN     4096u

struct clock {
    uint32_t all[SIM_CPUS_MAX];
    uint32_t stores[SIM_CPUS_MAX];
};

struct cell {
    uint32_t time;
    uint32_t at; /* the reports' clock, low half */
    uint32_t code;
    uint32_t next; /* in its granule; 0: none */
    uint8_t cpu, kind, mask;
};

struct shadow {
    struct cell head[PAGE_GRANULES];     /* the newest of each; time 0: none */
    uint64_t atomic[PAGE_GRANULES / 64]; /* granules in which something was published */
};

struct known {
    struct clock now;
    struct clock fence;     /* what a relaxed store publishes: up to the last releasing fence */
    struct clock held;      /* read by relaxed loads, for the next acquiring fence */
    struct clock dsb;       /* up to the last DSB that waits for accesses, or for stores */
    struct clock interrupt; /* of those that sent interrupts */
};

bool race_on;

static struct {
    struct known cpu[SIM_CPUS_MAX];
    struct map shadows;   /* page of a name, to struct shadow */
    struct map published; /* name of an atomic location, to struct clock */
    struct {
        uint64_t page;
        struct shadow *shadow;
    } recent[RECENT_SLOTS];
    struct cell *cell; /* from 1 */
    uint32_t cells, room, free;
} race;

/* ---- clocks --------------------------------------------------------------------------------- */

static uint32_t later(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void join(struct clock *to, const struct clock *from)
{
    for (uint32_t i = 0; i < SIM_CPUS_MAX; i++) {
        to->all[i] = later(to->all[i], from->all[i]);
        to->stores[i] = later(to->stores[i], from->stores[i]);
    }
}

static bool is_empty(const struct clock *c)
{
    static const struct clock none;
    return memcmp(c, &none, sizeof none) == 0;
}

/* What was published so far is over; what comes is later. */
static void tick(uint32_t cpu)
{
    struct clock *c = &race.cpu[cpu].now;
    c->all[cpu]++;
    c->stores[cpu]++;
}

/* Does a CPU of that clock know of that access? */
static bool knows(const struct clock *c, const struct cell *of)
{
    bool stored = of->kind == RACE_WRITE || of->kind == RACE_ATOMIC_WRITE;
    return (stored ? c->stores : c->all)[of->cpu] >= of->time;
}

/* ---- cells ---------------------------------------------------------------------------------- */

static struct shadow *shadow_of(uint64_t name)
{
    uint64_t page = name / SIM_PAGE_BYTES;
    uint64_t slot = page % RECENT_SLOTS;
    if (race.recent[slot].page == page && race.recent[slot].shadow != NULL) {
        return race.recent[slot].shadow;
    }
    struct shadow *s = map_get(&race.shadows, page);
    if (s == NULL) {
        s = mon_alloc(sizeof *s);
        map_put(&race.shadows, page, s);
    }
    race.recent[slot].page = page;
    race.recent[slot].shadow = s;
    return s;
}

static uint32_t cell_new(void)
{
    uint32_t i = race.free;
    if (i != 0) {
        race.free = race.cell[i].next;
        return i;
    }
    if (race.cells + 1 >= race.room) {
        race.room = race.room * 2 + CELLS_MIN;
        race.cell = realloc(race.cell, race.room * sizeof *race.cell);
        if (race.cell == NULL) {
            fputs("ksim: no memory left for the history of accesses\n", stderr);
            exit(4);
        }
    }
    return ++race.cells;
}

static bool is_plain(uint8_t kind)
{
    return kind == RACE_READ || kind == RACE_WRITE;
}

static bool is_write(uint8_t kind)
{
    return kind == RACE_WRITE || kind == RACE_ATOMIC_WRITE;
}

static bool conflict(uint8_t a, uint8_t b)
{
    return (is_write(a) || is_write(b)) && (is_plain(a) || is_plain(b));
}

/* I2: whatever conflicts with `old` conflicts with `new`. */
static bool stands_for(uint8_t new, uint8_t old)
{
    return new == RACE_WRITE || new == old || old == RACE_ATOMIC_READ;
}

static void report(const struct cell *first, const struct cell *second, uint8_t mask, uint64_t name)
{
    uint64_t common = first->mask & mask;
    uint64_t granule = name & ~HOST_BIT & ~(uint64_t)(GRANULE - 1);
    uint64_t byte = granule + (uint64_t)__builtin_ctzll(common);
    bool host = (name & HOST_BIT) != 0;
    struct mon_race r = {.pa = host ? 0 : byte,
                         .first = {.cpu = first->cpu,
                                   .write = is_write(first->kind),
                                   .atomic = !is_plain(first->kind),
                                   .at = (sim.seq & ~(uint64_t)UINT32_MAX) | first->at,
                                   .code = first->code},
                         .second = {.cpu = second->cpu,
                                    .write = is_write(second->kind),
                                    .atomic = !is_plain(second->kind),
                                    .at = sim.seq,
                                    .code = second->code},
                         .held = knows(&race.cpu[second->cpu].held, first)};
    if (host) {
        order_data_name((const void *)(uintptr_t)byte, r.where, sizeof r.where);
    }
    order_code_name(r.first.code, r.first.where, sizeof r.first.where);
    order_code_name(r.second.code, r.second.where, sizeof r.second.where);
    tell_race(sim.cur, &r);
}

/*
 * Report `c` if `mine` races with it. True: it may be dropped for `mine` (I2), which has taken over
 * its bytes if both are of one place and one time.
 */
static bool compare(const struct cell *c, struct cell *mine, uint8_t mask, const struct clock *now,
                    uint64_t name)
{
    bool before = c->cpu == mine->cpu;
    if (before && c->time == mine->time && c->kind == mine->kind && c->code == mine->code) {
        mine->mask |= c->mask;
        return true;
    }
    if (!before && (c->mask & mask) != 0) {
        before = knows(now, c);
        if (conflict(c->kind, mine->kind)) {
            sim.races_judged++;
            if (!before) {
                report(c, mine, mask, name);
            }
        }
    }
    return before && (c->mask & ~mask) == 0 && stands_for(mine->kind, c->kind);
}

/* The others of a granule, from *link on: compare, drop those that `mine` stands for. */
static void visit_rest(uint32_t *link, struct cell *mine, uint8_t mask, uint64_t name)
{
    const struct clock *now = &race.cpu[mine->cpu].now;
    while (*link != 0) {
        uint32_t i = *link;
        struct cell *c = &race.cell[i];
        if (compare(c, mine, mask, now, name)) {
            *link = c->next;
            c->next = race.free;
            race.free = i;
        } else {
            link = &c->next;
        }
    }
}

static void visit(struct shadow *s, uint64_t name, uint8_t mask, enum race_kind kind, uint32_t code)
{
    uint8_t me = (uint8_t)sim.cur->id;
    const struct clock *now = &race.cpu[me].now;
    struct cell *head = &s->head[name % SIM_PAGE_BYTES / GRANULE];
    for (const struct cell *c = head; c->cpu == me && c->time == now->all[me];
         c = &race.cell[c->next]) {
        if ((mask & ~c->mask) == 0 && stands_for(c->kind, (uint8_t)kind)) {
            return; /* seen at this time already, and by nobody since */
        }
        if (c->next == 0) {
            break;
        }
    }
    struct cell mine = {.time = now->all[me],
                        .at = (uint32_t)sim.seq,
                        .code = code,
                        .cpu = me,
                        .kind = (uint8_t)kind,
                        .mask = mask};
    bool dropped = head->time == 0 || compare(head, &mine, mask, now, name);
    if (head->next != 0) {
        visit_rest(&head->next, &mine, mask, name);
    }
    mine.next = head->next;
    if (!dropped) {
        mine.next = cell_new();
        race.cell[mine.next] = *head;
    }
    *head = mine;
}

/* ---- names ---------------------------------------------------------------------------------- */

static uint64_t name_of(const void *p)
{
    uint64_t pa;
    bool inside = (uintptr_t)p - (uintptr_t)sim.area < sim.area_bytes;
    return inside && access_pa(p, &pa) ? pa : (uintptr_t)p | HOST_BIT;
}

/* A plain store is no publication. */
static void unpublish(struct shadow *s, uint64_t name, uint8_t mask)
{
    uint64_t granule = name % SIM_PAGE_BYTES / GRANULE;
    if ((s->atomic[granule / 64] >> granule % 64 & 1) == 0) {
        return;
    }
    for (uint32_t i = 0; i < GRANULE; i++) {
        struct clock *c =
            (mask >> i & 1) != 0 ? map_get(&race.published, (name & ~(uint64_t)7) + i) : NULL;
        if (c != NULL) {
            memset(c, 0, sizeof *c);
        }
    }
}

static void visit_all(uint64_t name, size_t n, enum race_kind kind, uint32_t code)
{
    struct shadow *s = shadow_of(name);
    while (n != 0) {
        uint32_t skip = name % GRANULE;
        uint32_t part = n < GRANULE - skip ? (uint32_t)n : GRANULE - skip;
        uint8_t mask = (uint8_t)(((1u << part) - 1) << skip);
        visit(s, name, mask, kind, code);
        if (kind == RACE_WRITE) {
            unpublish(s, name, mask);
        }
        name += part;
        n -= part;
    }
}

void race_access(const void *pointer, size_t n, enum race_kind kind, const void *caller)
{
    const uint8_t *p = pointer;
    if (sim.cur->user.inside) {
        return; /* a program's races are its own */
    }
    if ((uintptr_t)p - (uintptr_t)sim.config.measures < sim.config.measures_bytes) {
        return;
    }
    while (n != 0) {
        size_t part = SIM_PAGE_BYTES - (size_t)((uintptr_t)p & PAGE_MASK_LOW);
        part = part < n ? part : n;
        visit_all(name_of(p), part, kind, order_code(caller));
        p += part;
        n -= part;
    }
}

/* ---- atomics -------------------------------------------------------------------------------- */

static bool acquires(int order)
{
    return order == __ATOMIC_CONSUME || order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL ||
           order == __ATOMIC_SEQ_CST;
}

static bool releases(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static struct clock *published_at(uint64_t name)
{
    struct clock *c = map_get(&race.published, name);
    if (c == NULL) {
        uint64_t granule = name % SIM_PAGE_BYTES / GRANULE;
        c = mon_alloc(sizeof *c);
        map_put(&race.published, name, c);
        shadow_of(name)->atomic[granule / 64] |= KC_BIT(granule % 64);
    }
    return c;
}

static void atomic_at(uint64_t name, size_t n, enum race_op op, int order, uint32_t code)
{
    struct known *k = &race.cpu[sim.cur->id];
    /* The access first: what it acquires orders what follows it, not itself. */
    visit_all(name, n, op == RACE_LOAD ? RACE_ATOMIC_READ : RACE_ATOMIC_WRITE, code);
    struct clock *there = map_get(&race.published, name);
    if (op != RACE_STORE && there != NULL) {
        join(acquires(order) ? &k->now : &k->held, there);
    }
    if (op == RACE_LOAD) {
        return;
    }
    const struct clock *give = releases(order) ? &k->now : &k->fence;
    if (there == NULL && is_empty(give)) {
        return;
    }
    there = published_at(name);
    if (op == RACE_STORE) {
        *there = *give;
    } else {
        join(there, give);
    }
    if (releases(order)) {
        tick(sim.cur->id);
    }
}

void race_atomic(const volatile void *p, size_t n, enum race_op op, int order, const void *caller)
{
    if (!sim.cur->user.inside) {
        atomic_at(name_of((const void *)(uintptr_t)p), n, op, order, order_code(caller));
    }
}

void race_desc(uint64_t pa, enum race_op op, int order, const void *caller)
{
    atomic_at(pa, 8, op, order, order_code(caller));
}

/* ---- fences --------------------------------------------------------------------------------- */

/* Everything so far, or only what was stored, is in front of what `to` stands for. */
static void release_to(struct clock *to, bool stores_only)
{
    uint32_t me = sim.cur->id;
    uint32_t read = to->all[me];
    *to = race.cpu[me].now;
    if (stores_only) {
        to->all[me] = read;
    }
}

static void fence(bool acquire, bool release, bool stores_only)
{
    struct known *k = &race.cpu[sim.cur->id];
    if (acquire) {
        join(&k->now, &k->held);
    }
    if (release) {
        release_to(&k->fence, stores_only);
    }
}

void race_fence(int order)
{
    if (!sim.cur->user.inside) {
        fence(acquires(order), releases(order), false);
        tick(sim.cur->id);
    }
}

void race_barrier(enum kc_barrier kind)
{
    bool dsb = false;
    bool stores_only = false;
    switch (kind) {
    case KC_DSB_SY:
    case KC_DSB_ISH:
    case KC_DSB_OSH:
        dsb = true;
        fence(true, true, false);
        break;
    case KC_DMB_SY:
    case KC_DMB_ISH:
    case KC_DMB_OSH:
        fence(true, true, false);
        break;
    case KC_DSB_ST:
    case KC_DSB_ISHST:
    case KC_DSB_OSHST:
        dsb = true;
        stores_only = true;
        fence(false, true, true);
        break;
    case KC_DMB_ST:
    case KC_DMB_ISHST:
    case KC_DMB_OSHST:
        fence(false, true, true);
        break;
    case KC_DSB_LD:
    case KC_DSB_ISHLD:
    case KC_DMB_LD:
    case KC_DMB_ISHLD:
    case KC_DMB_OSHLD:
        fence(true, false, false);
        break;
    default:
        return; /* ISB; Non-shareable: for no other CPU */
    }
    if (dsb) {
        release_to(&race.cpu[sim.cur->id].dsb, stores_only);
    }
    tick(sim.cur->id);
}

/* ---- CPUs ----------------------------------------------------------------------------------- */

static bool is_wanted(void)
{
    return sim_exact && sim.monitor != NULL && mon_wants_races(sim.monitor);
}

void race_start(uint32_t to)
{
    join(&race.cpu[to].now, &race.cpu[sim.cur->id].dsb);
    tick(to);
    race_on = is_wanted();
}

void race_ipi(uint32_t to)
{
    join(&race.cpu[to].interrupt, &race.cpu[sim.cur->id].dsb);
}

void race_ipi_taken(void)
{
    struct known *k = &race.cpu[sim.cur->id];
    join(&k->now, &k->interrupt);
}

void race_begin(void)
{
    memset(race.cpu, 0, sizeof race.cpu);
    for (uint32_t i = 0; i < SIM_CPUS_MAX; i++) {
        tick(i);
    }
    race_on = is_wanted() && sim.live > 1;
}

void race_end(void)
{
    race_on = false;
    for (uint64_t i = 0; race.shadows.slot != NULL && i <= race.shadows.mask; i++) {
        free(race.shadows.slot[i].value);
    }
    for (uint64_t i = 0; race.published.slot != NULL && i <= race.published.mask; i++) {
        free(race.published.slot[i].value);
    }
    map_fini(&race.shadows);
    map_fini(&race.published);
    free(race.cell);
    memset(&race, 0, sizeof race);
}
