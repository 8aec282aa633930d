/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stage.c: the stage that scenarios play on.
 *
 *     TTBR0 -> root[0] -> level1[1] -> level2[1] -> level3[0..7] -> frame 0..7
 *                              \             level2[2] -> a 2 MiB block
 *                               [RAM]  -> blocks at their own address: the first 2 MiB of RAM,
 *                                         read-only and executable (the pretended text), and the
 *                                         scratch memory, writable, with the tables in it
 *
 * Each CPU turns its MMU on in full order. Turns are passed through host memory, which orders
 * nothing that a monitor counts: happens-before comes from the lock notes of the story alone.
 */
#include <stdio.h>
#include <string.h>

#include "machine.h"

#include "scenario.h"

#define SCENARIOS(X)              \
    X(bad_remap_live)             \
    X(bad_retype_live)            \
    X(bad_split_live)             \
    X(bad_remake_no_tlbi)         \
    X(bad_remake_no_dsb)          \
    X(bad_remake_store_dsb)       \
    X(bad_release_owed)           \
    X(bad_tlbi_before_dsb)        \
    X(bad_local_tlbi)             \
    X(bad_narrow_dsb)             \
    X(bad_wrong_asid)             \
    X(bad_ttl_leak)               \
    X(bad_range_short)            \
    X(bad_last_level_table)       \
    X(bad_map_no_isb)             \
    X(bad_plain_store)            \
    X(bad_beyond_pa)              \
    X(bad_unmap_no_tlbi)          \
    X(bad_first_page_only)        \
    X(bad_remote_stale)           \
    X(bad_protect_no_tlbi)        \
    X(bad_table_reused)           \
    X(bad_free_before_tlbi)       \
    X(bad_table_free_before_tlbi) \
    X(bad_root_free)              \
    X(bad_asid_reused)            \
    X(bad_contiguous_edit)        \
    X(bad_contiguous_gap)         \
    X(bad_contiguous_misaligned)  \
    X(bad_globalise_live)         \
    X(bad_globalise_no_tlbi)      \
    X(bad_map_table)              \
    X(bad_map_table_user)         \
    X(bad_stack_guard)            \
    X(bad_table_of_mapped_page)   \
    X(bad_unlocked_store)         \
    X(bad_write_execute_alias)    \
    X(bad_switch_no_isb)          \
    X(bad_mair_no_tlbi)           \
    X(bad_tcr_tlbi_before_isb)    \
    X(bad_join_no_tlbi)           \
    X(bad_stale_window)           \
    X(bad_flush_for_one)          \
    X(bad_refill_before_switch)   \
    X(bad_root_free_no_isb)       \
    X(bad_free_in_idle_space)     \
    X(good_asid_reused)           \
    X(good_contiguous)            \
    X(good_globalise)             \
    X(good_locked_store)          \
    X(good_map_table)             \
    X(good_stack_guard)           \
    X(good_write_or_execute)      \
    X(good_remap)                 \
    X(good_retype)                \
    X(good_split)                 \
    X(good_split_bbm2)            \
    X(good_unmap)                 \
    X(good_local_each_cpu)        \
    X(good_range)                 \
    X(good_level_hint)            \
    X(good_unlink_table)          \
    X(good_map)                   \
    X(good_remote_during)         \
    X(good_protect)               \
    X(good_plain_before_link)     \
    X(good_free)                  \
    X(good_root_free)             \
    X(good_switch)                \
    X(good_mair)                  \
    X(good_join)                  \
    X(good_window)                \
    X(good_never_touched)         \
    X(good_flush_of_many)         \
    X(good_free_in_idle_space)

#define DECLARE(name_) extern const struct scenario scenario_##name_;
SCENARIOS(DECLARE)

static const struct scenario *const all[] = {
#define ENTRY(name_) &scenario_##name_,
    SCENARIOS(ENTRY)};

const struct scenario *scenario_at(uint32_t i)
{
    return i < KC_ARRAY_COUNT(all) ? all[i] : NULL;
}

const struct scenario *scenario_named(const char *name)
{
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(all); i++) {
        if (strcmp(all[i]->name, name) == 0) {
            return all[i];
        }
    }
    return NULL;
}

const struct scenario *scenario_find(const char *row)
{
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(all); i++) {
        if (strcmp(all[i]->row, row) == 0 && strcmp(row, "clean") != 0) {
            return all[i];
        }
    }
    return NULL;
}

/* ---- steps ----------------------------------------------------------------------------------- */

void stage_turn(struct stage *s, uint32_t n)
{
    while (__atomic_load_n(&s->turn, __ATOMIC_ACQUIRE) != n) {
        kc_plat_relax();
    }
}

void stage_next(struct stage *s)
{
    __atomic_fetch_add(&s->turn, 1, __ATOMIC_ACQ_REL);
}

uint64_t stage_page(struct stage *s)
{
    uint64_t pa = s->next;
    s->next += 4096;
    for (uint64_t at = 0; at < 4096; at += 8) {
        (void)sim_phys_write(pa + at, 0);
    }
    kc_plat_note(KC_NOTE_FRAME_ALLOC, pa, 4096, NULL);
    return pa;
}

uint64_t stage_desc(const struct stage *s, uint32_t slot)
{
    return s->level3 + UINT64_C(8) * slot;
}

uint64_t stage_table_desc(const struct stage *s)
{
    return s->level2 + 8;
}

uint64_t stage_block_desc(const struct stage *s)
{
    return s->level2 + 16;
}

uint64_t stage_operand(uint64_t va, uint64_t asid)
{
    return asid << 48 | (va >> 12 & KC_MASK(43, 0));
}

void stage_switch(uint64_t root, uint64_t asid)
{
    kc_plat_sysreg_write(KC_TTBR0_EL1, root | asid << 48);
    barrier(KC_ISB);
}

static bool access_one(uint64_t va, enum sim_access_kind kind)
{
    uint64_t data = 0x5a5a5a5a;
    struct machine_fault fault;
    return sim_access(va, kind, false, 8, &data, &fault);
}

bool stage_read(uint64_t va)
{
    return access_one(va, SIM_READ);
}

bool stage_write(uint64_t va)
{
    return access_one(va, SIM_WRITE);
}

void put(uint64_t desc_pa, uint64_t value)
{
    kc_plat_desc_store(kc_pa(desc_pa), value);
}

void barrier(enum kc_barrier kind)
{
    kc_plat_barrier(kind);
}

void tlbi(enum kc_tlbi op, uint64_t operand)
{
    kc_plat_tlbi(op, operand);
}

void lock(struct stage *s)
{
    kc_plat_note(KC_NOTE_LOCK_TAKEN, s->lock, 0, NULL);
}

void unlock(struct stage *s)
{
    kc_plat_note(KC_NOTE_LOCK_RELEASED, s->lock, 0, NULL);
}

void free_frame(uint64_t pa)
{
    kc_plat_note(KC_NOTE_FRAME_FREE, pa, 4096, NULL);
}

void free_table(struct stage *s, uint64_t pa)
{
    kc_plat_note(KC_NOTE_TABLE_FREE, pa, 4096, s);
    free_frame(pa);
}

void unmap(struct stage *s, uint32_t slot)
{
    put(stage_desc(s, slot), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(slot), STAGE_ASID));
    barrier(KC_DSB_ISH);
}

/* ---- the stage ------------------------------------------------------------------------------- */

static uint64_t table(struct stage *s, enum kc_note kind)
{
    uint64_t pa = stage_page(s);
    kc_plat_note(kind, pa, 4096, s);
    return pa;
}

/* A 2 MiB block at its own address. */
static void map_identity(struct stage *s, uint64_t block, uint64_t attributes)
{
    uint64_t at = s->level1 + 8 * (block >> 30 & 511);
    uint64_t above = kc_plat_desc_load(kc_pa(at));
    uint64_t l2 = above & ~(uint64_t)0xfff;
    if (above == 0) {
        l2 = table(s, KC_NOTE_TABLE);
        put(at, l2 | D_TABLE);
    }
    put(l2 + 8 * (block >> 21 & 511), block | attributes);
}

uint64_t stage_other_root(struct stage *s)
{
    const void *owner = &s->other;
    uint64_t page[3];
    for (uint32_t i = 0; i < 3; i++) {
        page[i] = stage_page(s);
        kc_plat_note(i == 0 ? KC_NOTE_ROOT : KC_NOTE_TABLE, page[i], 4096, owner);
    }
    put(page[2] + 8 * (s->text >> 21 & 511), s->text | 0xf01 | D_RO);
    put(page[1] + 8 * (s->text >> 30 & 511), page[2] | D_TABLE);
    put(page[0] + 8 * (s->text >> 39 & 511), page[1] | D_TABLE);
    barrier(KC_DSB_ISH);
    return page[0];
}

static void stage_build(struct stage *s)
{
    kc_plat_note(KC_NOTE_PT_LOCK, s->lock, 0, s);
    s->root = table(s, KC_NOTE_ROOT);
    s->level1 = table(s, KC_NOTE_TABLE);
    s->level2 = table(s, KC_NOTE_TABLE);
    s->level3 = table(s, KC_NOTE_TABLE);
    put(s->root, s->level1 | D_TABLE);
    put(s->level1 + 8, s->level2 | D_TABLE);
    put(stage_table_desc(s), s->level3 | D_TABLE);
    put(stage_block_desc(s), s->block | D_BLOCK);
    for (uint32_t i = 0; i < STAGE_FRAMES; i++) {
        s->frame[i] = stage_page(s);
        put(stage_desc(s, i), s->frame[i] | D_PAGE);
    }
    map_identity(s, s->text, 0xf01 | D_RO);
    map_identity(s, s->memory & ~(STAGE_BLOCK_SZ - 1), D_BLOCK);
    barrier(KC_DSB_ISH);
}

static void stage_enable(const struct stage *s)
{
    tlbi(KC_TLBI_VMALLE1, 0); /* what a TLB holds after reset is anyone's guess */
    barrier(KC_DSB_NSH);
    kc_plat_sysreg_write(KC_MAIR_EL1, 0x04ff);
    /* T0SZ 16, TG0 4 KiB, inner shareable write-back walks; EPD1; 48-bit PA; 16-bit ASID */
    kc_plat_sysreg_write(KC_TCR_EL1, 16 | UINT64_C(0x35) << 8 | KC_BIT(23) | UINT64_C(2) << 30 |
                                         UINT64_C(16) << 16 | UINT64_C(5) << 32 | KC_BIT(36));
    kc_plat_sysreg_write(KC_TTBR0_EL1, s->root | (uint64_t)STAGE_ASID << 48);
    barrier(KC_ISB);
    kc_plat_sysreg_write(KC_SCTLR_EL1, kc_plat_sysreg_read(KC_SCTLR_EL1) | 1);
    barrier(KC_ISB);
}

struct actor {
    struct stage *stage;
    const struct scenario *scenario;
    uint64_t ram;
    uint32_t *ready; /* CPUs that are enabled: the story begins when all are */
    uint32_t cpus;
    bool *done;
};

static void act(uint32_t cpu, void *arg)
{
    const struct actor *a = arg;
    if (cpu == 0) {
        stage_build(a->stage);
        __atomic_store_n(a->ready, 1, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(a->ready, __ATOMIC_ACQUIRE) == 0) {
        kc_plat_relax();
    }
    stage_enable(a->stage);
    __atomic_fetch_add(a->ready, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(a->ready, __ATOMIC_ACQUIRE) != a->cpus + 1) {
        kc_plat_relax();
    }
    a->scenario->cpu[cpu](a->stage);
    __atomic_store_n(&a->done[cpu], true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&a->done[a->cpus - 1 - cpu], __ATOMIC_ACQUIRE)) {
        kc_plat_relax(); /* a CPU that is off holds nothing: stay to the end */
    }
}

bool scenario_plant(const struct scenario *sc)
{
    struct kc_boot_info info;
    struct stage stage = {.lock = 0x10c};
    uint32_t cpus = sc->cpu[1] != NULL ? 2 : 1;
    uint32_t ready = 0;
    bool done[STAGE_CPUS] = {false, false};
    struct actor actor = {&stage, sc, 0, &ready, cpus, done};
    machine_cpu_fn fn[STAGE_CPUS] = {act, cpus > 1 ? act : NULL};
    void *arg[STAGE_CPUS] = {&actor, &actor};
    struct machine_result result;

    machine_boot_info(&info);
    uint64_t end = 0;
    for (uint32_t i = 0; i < info.range_count; i++) {
        if (info.range[i].kind == KC_BOOT_RAM && info.range[i].size >= STAGE_RAM) {
            actor.ram = kc_pa_raw(info.range[i].base);
            end = actor.ram + info.range[i].size;
        }
    }
    if (end == 0 || sim_cpus() < cpus) {
        fprintf(stderr, "scenario %s needs %u CPUs and %u KiB of RAM\n", sc->name, cpus,
                (unsigned)(STAGE_RAM / 1024));
        return false;
    }
    stage.memory = end - STAGE_BYTES;
    stage.next = stage.memory;
    stage.text = actor.ram & ~(STAGE_BLOCK_SZ - 1);
    stage.block = (stage.memory & ~(STAGE_BLOCK_SZ - 1)) - STAGE_BLOCK_SZ;
    for (uint32_t i = 0; i < sim_cpus(); i++) {
        machine_cpu_reset(i);
    }
    machine_run(fn, arg, cpus, &result);
    for (uint32_t i = 0; i < cpus; i++) {
        if (!done[i]) {
            fprintf(stderr, "scenario %s: CPU %u did not come to the end: %s\n", sc->name, i,
                    result.text);
            return false;
        }
    }
    return true;
}
