/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ram.c: simulated memory, and the host mappings through which the code under test reaches it.
 *
 * Nouns. RAM is one sparse memory file. The machine itself reaches it through one flat mapping of
 * its own. The code under test sees the *area*: three *windows* of host addresses, reserved without
 * access, in which pages of the file appear when a translation says so.
 *
 *     area   | physical window | kernel window              | user window      |
 *     means  | pa              | linear_base + pa, dynamic  | 0 ...            |
 *
 * Where memory has tags, the kernel window has aliases (tags.c), windows of the same meaning.
 *
 * Each window page has a *state*: which physical page the host maps there now, and whether
 * writable.
 *
 * Invariants
 *   I1  state[p] is 0 exactly when the host maps nothing at page p.
 *   I2  what the host maps at p is what state[p] says; whoever relied on another state has been
 * told by a new generation (machine_rejudge) before. I3  no more than MAPS_MAX mapping calls happen
 * between two wipes, so that the host's limit of 65,530 mappings is never reached.
 *
 * Cost: host_map is one mmap of at most HOST_CHUNK when the state differs, else a table look-up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine_priv.h"

#define MAPS_MAX     20000u /* each call leaves at most two more mappings than there were */
#define STATE_MAPPED 1u
#define STATE_WRITE  2u
#define GUARD_BYTES  (UINT64_C(1) << 21)

static void *reserve(uint64_t bytes, int protection)
{
    void *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static bool window_create(struct window *w, uint8_t *host, uint64_t bytes, uint64_t va)
{
    *w = (struct window){.host = host, .bytes = bytes, .va = va};
    w->state = reserve(bytes / SIM_PAGE_BYTES * 8, PROT_READ | PROT_WRITE);
    w->low = bytes / SIM_PAGE_BYTES;
    return w->state != NULL;
}

/* What the kernel window takes, with its aliases and a guard behind each. */
static uint64_t room_of_kernel(uint64_t bytes)
{
    if (!SIM_TAGS) {
        return bytes;
    }
    sim.alias_log2 = 64u - (uint32_t)__builtin_clzll(bytes + GUARD_BYTES - 1);
    return (uint64_t)TAG_COUNT << sim.alias_log2;
}

kc_status_t ram_create(void)
{
    const struct machine_config *c = &sim.config;
    sim.ram_base = c->ram_base;
    sim.ram_bytes = c->ram_bytes;
    sim.memory_fd = memfd_create("kcore-ram", MFD_CLOEXEC);
    if (sim.memory_fd < 0 || ftruncate(sim.memory_fd, (off_t)sim.ram_bytes) != 0) {
        snprintf(sim.why, sizeof sim.why, "cannot make a memory file of %llu bytes: %s",
                 (unsigned long long)sim.ram_bytes, strerror(errno));
        return KC_ERR_NOMEM;
    }
    void *flat = mmap(NULL, sim.ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                      sim.memory_fd, 0);
    sim.ram = flat == MAP_FAILED ? NULL : flat;

    uint64_t ram_span = (sim.ram_bytes + GUARD_BYTES - 1) & ~(GUARD_BYTES - 1);
    uint64_t kernel_bytes = ram_span + GUARD_BYTES + c->dynamic_bytes;
    uint64_t kernel_room = room_of_kernel(kernel_bytes);
    sim.area_bytes = ram_span + GUARD_BYTES + kernel_room + GUARD_BYTES + c->user_bytes;
    /* Chunks are aligned to HOST_CHUNK in host and in simulated addresses alike. */
    uint8_t *raw = reserve(sim.area_bytes + GUARD_BYTES, PROT_NONE);
    if (sim.ram == NULL || raw == NULL) {
        snprintf(sim.why, sizeof sim.why, "cannot reserve %llu bytes of address space: %s",
                 (unsigned long long)sim.area_bytes, strerror(errno));
        return KC_ERR_NOMEM;
    }
    uint8_t *aligned = (uint8_t *)(((uintptr_t)raw + GUARD_BYTES - 1) & ~(GUARD_BYTES - 1));
    munmap(raw, (size_t)(aligned - raw));
    if (raw + GUARD_BYTES != aligned) {
        munmap(aligned + sim.area_bytes, (size_t)(raw + GUARD_BYTES - aligned));
    }
    sim.area = aligned;
    sim.seen_bytes = sim.area_bytes;
    uint8_t *kernel = sim.area + ram_span + GUARD_BYTES;
    uint8_t *user = kernel + kernel_room + GUARD_BYTES;
    bool good = tags_create();
    for (uint32_t i = SIM_WINDOW_USER + 1u; good && i < WINDOWS; i++) {
        uint64_t tag = i - SIM_WINDOW_USER;
        good = window_create(&sim.window[i], kernel + (tag << sim.alias_log2), kernel_bytes,
                             SIM_LINEAR_BASE + sim.ram_base);
    }
    if (!good || !window_create(&sim.window[SIM_WINDOW_PHYS], sim.area, ram_span, sim.ram_base) ||
        !window_create(&sim.window[SIM_WINDOW_KERNEL], kernel, kernel_bytes,
                       SIM_LINEAR_BASE + sim.ram_base) ||
        !window_create(&sim.window[SIM_WINDOW_USER], user, c->user_bytes, 0)) {
        snprintf(sim.why, sizeof sim.why, "cannot reserve address space for the windows: %s",
                 strerror(errno));
        return KC_ERR_NOMEM;
    }
    return KC_OK;
}

void ram_destroy(void)
{
    tags_destroy();
    for (uint32_t i = 0; i < WINDOWS; i++) {
        if (sim.window[i].state != NULL) {
            munmap(sim.window[i].state, sim.window[i].bytes / SIM_PAGE_BYTES * 8);
        }
    }
    if (sim.area != NULL) {
        munmap(sim.area, sim.area_bytes);
    }
    if (sim.ram != NULL) {
        munmap(sim.ram, sim.ram_bytes);
    }
    if (sim.memory_fd >= 0) {
        close(sim.memory_fd);
    }
}

void *ram_at(uint64_t pa, uint64_t bytes)
{
    if (!kc_range_covers(sim.ram_base, sim.ram_bytes, pa, bytes)) {
        return NULL;
    }
    return sim.ram + (pa - sim.ram_base);
}

struct window *window_of(const void *p, uint64_t *va)
{
    p = tag_strip(p);
    for (uint32_t i = 0; i <= SIM_WINDOW_USER; i++) {
        struct window *w = &sim.window[i];
        uint64_t offset = (uintptr_t)p - (uintptr_t)w->host;
        if (offset < w->bytes) {
            *va = w->va + offset;
            return w;
        }
    }
    return NULL;
}

/* Take the host's access to a part of a window away. */
static void hide(uint8_t *at, uint64_t bytes)
{
    if (mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0) == MAP_FAILED) {
        cpu_end(MACHINE_END_STOPPED, "the host refuses to unmap simulated memory", NULL);
    }
}

static void wipe(struct window *w)
{
    if (w->low >= w->high) {
        return;
    }
    uint64_t bytes = (w->high - w->low) * SIM_PAGE_BYTES;
    hide(w->host + w->low * SIM_PAGE_BYTES, bytes);
    /* Anonymous private memory reads as zero again after this, and is given back. */
    uint64_t first = w->low * 8 & ~(uint64_t)PAGE_MASK_LOW;
    madvise((uint8_t *)w->state + first, w->high * 8 - first, MADV_DONTNEED);
    w->low = w->bytes / SIM_PAGE_BYTES;
    w->high = 0;
}

void host_wipe(struct window *w)
{
    bool aliases = w == NULL || w == &sim.window[SIM_WINDOW_KERNEL];
    machine_rejudge();
    for (uint32_t i = 0; i < WINDOWS; i++) {
        if (w == NULL || w == &sim.window[i] || (aliases && i > SIM_WINDOW_USER)) {
            wipe(&sim.window[i]);
        }
    }
    if (w == NULL) {
        sim.maps = 0;
    }
}

void host_map(struct window *w, uint64_t va, uint64_t span_va, uint64_t span_bytes,
              uint64_t span_pa, bool writable, bool user)
{
    uint64_t flags = STATE_MAPPED | (writable ? STATE_WRITE : 0u);
    uint64_t page = (va - w->va) / SIM_PAGE_BYTES;
    uint64_t pa = span_pa + ((va & ~(uint64_t)PAGE_MASK_LOW) - span_va);
    if (w->state[page] == (pa | flags)) {
        return;
    }
    /* As much of the span as lies in one chunk, in the window and in RAM; else the page alone. */
    uint64_t chunk = va & ~(HOST_CHUNK - 1);
    uint64_t bytes = HOST_CHUNK;
    if (span_bytes < HOST_CHUNK) {
        chunk = span_va;
        bytes = span_bytes;
    }
    uint64_t chunk_pa = span_pa + (chunk - span_va);
    if (chunk < w->va || chunk - w->va + bytes > w->bytes || ram_at(chunk_pa, bytes) == NULL) {
        chunk = va & ~(uint64_t)PAGE_MASK_LOW;
        chunk_pa = pa;
        bytes = SIM_PAGE_BYTES;
    }
    if (sim.maps >= MAPS_MAX) {
        host_wipe(NULL);
    }
    sim.maps++;
    if (sim_exact && w == &sim.window[SIM_WINDOW_USER] && !user) {
        sim.low_regime = 0; /* EL1's page: the next program begins with an empty window */
    }
    uint64_t first = (chunk - w->va) / SIM_PAGE_BYTES;
    uint64_t count = bytes / SIM_PAGE_BYTES;
    bool changed = false;
    for (uint64_t i = 0; i < count; i++) {
        changed |= w->state[first + i] != 0;
        w->state[first + i] = (chunk_pa + i * SIM_PAGE_BYTES) | flags;
    }
    if (changed) {
        machine_rejudge();
    }
    void *at =
        mmap(w->host + first * SIM_PAGE_BYTES, bytes, PROT_READ | (writable ? PROT_WRITE : 0),
             MAP_SHARED | MAP_FIXED, sim.memory_fd, (off_t)(chunk_pa - sim.ram_base));
    if (at == MAP_FAILED) {
        cpu_end(MACHINE_END_STOPPED, "the host refuses a mapping of simulated memory", NULL);
    }
    w->low = first < w->low ? first : w->low;
    w->high = first + count > w->high ? first + count : w->high;
}

static void unmap_in(struct window *w, uint64_t va, uint64_t size)
{
    if (!kc_range_meets(w->va, w->bytes, va, size) || w->low >= w->high) {
        return;
    }
    uint64_t first = va > w->va ? (va - w->va) / SIM_PAGE_BYTES : 0;
    uint64_t last = (va - w->va) / SIM_PAGE_BYTES + (size - 1) / SIM_PAGE_BYTES;
    if (va < w->va) {
        last = (size - (w->va - va) - 1) / SIM_PAGE_BYTES;
    }
    first = first < w->low ? w->low : first;
    last = last >= w->high ? w->high - 1 : last;
    for (uint64_t page = first; page <= last; page++) {
        uint64_t run = 0;
        while (page + run <= last && w->state[page + run] != 0) {
            w->state[page + run] = 0;
            run++;
        }
        if (run != 0) {
            sim.maps++;
            hide(w->host + page * SIM_PAGE_BYTES, run * SIM_PAGE_BYTES);
            page += run - 1;
        }
    }
}

void host_unmap(uint64_t va, uint64_t size)
{
    machine_rejudge();
    for (uint32_t i = 0; i < WINDOWS; i++) {
        unmap_in(&sim.window[i], va, size);
    }
}

/* Marks a regime as EL0's: none of EL1 has this bit. */
#define REGIME_USER 4u

/* What the translation of the low half depends on, as a number that differs where the registers do.
 */
static uint64_t low_regime_of(const struct mmu_regs *r)
{
    if (!mmu_is_on(r)) {
        return 1;
    }
    uint64_t h = r->ttbr[0] * UINT64_C(0x9e3779b97f4a7c15);
    h ^= (h >> 29) ^ r->tcr ^ ((uint64_t)mmu_asid(r) << 40) ^ (r->sctlr << 8);
    return (h & ~(uint64_t)7) | 2;
}

void host_regime(struct cpu *c)
{
    if (sim_exact) {
        return; /* each access makes the mapping its own */
    }
    uint64_t low = low_regime_of(&c->now);
    if (low != sim.low_regime) {
        sim.low_regime = low;
        host_wipe(&sim.window[SIM_WINDOW_PHYS]);
        host_wipe(&sim.window[SIM_WINDOW_USER]);
    }
    if (mmu_is_on(&c->now)) {
        /* The ASID does not matter to global kernel pages; the root, TCR and SCTLR do. */
        uint64_t high = c->now.ttbr[1] ^ (c->now.tcr << 1) ^ (c->now.sctlr << 20);
        if (high != sim.high_regime) {
            sim.high_regime = high;
            host_wipe(&sim.window[SIM_WINDOW_KERNEL]);
        }
    }
}

/*
 * Native: one change of regime, both ways. Exact: EL1 sees each access before it makes it, so its
 * mappings may stay; but a program's own stack is used by instructions that nobody sees, so its
 * window may hold nothing of EL1's and nothing of another program's.
 */
void host_regime_user(struct cpu *c)
{
    uint64_t low = low_regime_of(&c->now) | REGIME_USER;
    if (low != sim.low_regime) {
        sim.low_regime = low;
        host_wipe(&sim.window[SIM_WINDOW_PHYS]);
        host_wipe(&sim.window[SIM_WINDOW_USER]);
    }
    if (!sim_exact && sim.high_regime != REGIME_USER) {
        sim.high_regime = REGIME_USER;
        host_wipe(&sim.window[SIM_WINDOW_KERNEL]);
    }
}
