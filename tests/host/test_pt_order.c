/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of seam calls of kc/pt.h and kc/aspace.h, recorded on the hosted body. O1 to O6 of
 * space/pt.c, A1 of space/aspace_asid.c. Each call is one letter:
 *
 *     a x   frame allocated, freed          N X   page became a table, is one no longer
 *     S Z   store of a valid, of an invalid descriptor        F   fill
 *     w d i DSB ISHST, DSB ISH, ISB         T   TLBI          R   system register written
 */
#include "kc_test.h"

#include <host_record.h>

#include "pt_model.h"

#include <kc/aspace.h>

#define EVENTS_MAX 60000u

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_pt pt;
static struct host_event events[EVENTS_MAX];
static size_t event_count;
static char letters[EVENTS_MAX + 1];
static size_t letter_count;
static uint64_t tlbi_op[EVENTS_MAX];
static uint64_t tlbi_operand[EVENTS_MAX];
static size_t tlbi_count;

static const struct kc_a64_format fmt = {KC_A64_STAGE1, 12, 48, 40, 0, 0, 0};
static const struct kc_pt_attr rw = {KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, false};
static const struct kc_pt_attr ro = {KC_PT_R, KC_A64_MEM_NORMAL, false};
static const struct kc_pt_attr nc = {KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL_NC, false};

static void begin(const struct kc_a64_format *f, bool any_asid)
{
    struct kc_pt_config c = {
        .format = *f, .source = {.frames = &frames}, .asid = 0x2a, .any_asid = any_asid};
    cr_assert_eq(kc_pt_init(&pt, &c), KC_OK);
    kc_pt_set_live(&pt);
}

static void set_up(void)
{
    cr_assert(kc_test_ram(KC_MIB(2), &info));
    kc_misuse_init(&misuse, KC_MISUSE_PANIC);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    begin(&fmt, false);
}

TestSuite(pt_order, .init = set_up);

static char letter_of(const struct host_event *e)
{
    switch (e->call) {
    case HOST_DESC_STORE:
        return (e->b & 1) != 0 ? 'S' : 'Z';
    case HOST_DESC_FILL:
        return 'F';
    case HOST_BARRIER:
        return e->a == KC_DSB_ISHST ? 'w'
                                    : (e->a == KC_DSB_ISH ? 'd' : (e->a == KC_ISB ? 'i' : '?'));
    case HOST_TLBI:
        return 'T';
    case HOST_SYSREG_WRITE:
        return 'R';
    case HOST_NOTE:
        return e->a == KC_NOTE_FRAME_ALLOC  ? 'a'
               : e->a == KC_NOTE_FRAME_FREE ? 'x'
               : e->a == KC_NOTE_TABLE      ? 'N'
               : e->a == KC_NOTE_TABLE_FREE ? 'X'
                                            : 0;
    default:
        return '?';
    }
}

static void record(void)
{
    host_record_start(events, EVENTS_MAX);
}

static const char *recorded(void)
{
    event_count = host_record_stop();
    cr_assert_leq(event_count, EVENTS_MAX);
    letter_count = 0;
    tlbi_count = 0;
    for (size_t i = 0; i < event_count; i++) {
        char c = letter_of(&events[i]);
        if (c != 0) {
            letters[letter_count++] = c;
        }
        if (c == 'T') {
            tlbi_op[tlbi_count] = events[i].a;
            tlbi_operand[tlbi_count++] = events[i].b;
        }
    }
    letters[letter_count] = 0;
    return letters;
}

#define MAP(ia, pa, bytes, attr) \
    cr_assert_eq(kc_pt_map(&pt, kc_ia(ia), kc_pa(pa), bytes, attr), KC_OK)

/* Record one call that succeeds, and compare. */
#define EXPECT_ORDER(call, order)       \
    do {                                \
        record();                       \
        kc_status_t status_ = (call);   \
        const char *seen_ = recorded(); \
        cr_assert_eq(status_, KC_OK);   \
        cr_assert_str_eq(seen_, order); \
    } while (0)

#define MIB2 KC_MIB(2)
#define GIB4 (UINT64_C(4) << 30)

/* ---- map ------------------------------------------------------------------------------------ */

/* Three tables are got; filled and linked bottom-up; DSB before the one link that makes them
   reachable (O1); no TLBI, for nothing was valid; DSB and ISB before use. */
Test(pt_order, map_with_new_tables)
{
    EXPECT_ORDER(kc_pt_map(&pt, kc_ia(0x1000), kc_pa(GIB4), 0x1000, rw), "aFNZaFNZaFNZ"
                                                                         "ZZZFSS"
                                                                         "wS"
                                                                         "wi");
}

Test(pt_order, map_into_an_existing_table)
{
    MAP(0x1000, GIB4, 0x1000, rw);
    EXPECT_ORDER(kc_pt_map(&pt, kc_ia(0x2000), kc_pa(GIB4), 0x3000, rw), "SSSwi");
}

/* O6: none that walkers need now, but the one that another CPU's activation will rely on. */
Test(pt_order, a_tree_that_is_not_live_owes_one_barrier)
{
    struct kc_pt_config c = {.format = fmt, .source = {.frames = &frames}};
    cr_assert_eq(kc_pt_fini(&pt), KC_OK);
    cr_assert_eq(kc_pt_init(&pt, &c), KC_OK);
    EXPECT_ORDER(kc_pt_map(&pt, kc_ia(0), kc_pa(GIB4), 0x1000, rw), "aFNZaFNZaFNZZZZFSSSw");
    EXPECT_ORDER(kc_pt_protect(&pt, kc_ia(0), 0x1000, nc), "ZSw");
    EXPECT_ORDER(kc_pt_unmap(&pt, kc_ia(0), 0x1000), "ZZZZZZZwZXxZXxZXx");
    record();
    kc_pt_set_live(&pt);
    cr_assert_str_eq(recorded(), "w", "what was stored is visible before a TTBR names it");
}

Test(pt_order, map_that_fails_stores_nothing_reachable)
{
    MAP(0x1000, GIB4, 0x1000, rw);
    record();
    kc_status_t status = kc_pt_map(&pt, kc_ia(0x0), kc_pa(GIB4), 0x2000, rw);
    cr_assert_str_eq(recorded(), "");
    cr_assert_eq(status, KC_ERR_EXISTS);
    kc_frames_fail_after(&frames, 1);
    record();
    status = kc_pt_map(&pt, kc_ia(KC_GIB(1)), kc_pa(GIB4), 0x1000, rw);
    cr_assert_str_eq(recorded(), "aFNZZXx", "one page got, zeroed, and given back");
    cr_assert_eq(status, KC_ERR_NOMEM);
}

/* ---- unmap ---------------------------------------------------------------------------------- */

/* O3: DSB ISHST between the store and the TLBI, DSB ISH after it, ISB at the end (O5). */
Test(pt_order, unmap_one_page)
{
    MAP(0x1000, GIB4, 0x2000, rw);
    EXPECT_ORDER(kc_pt_unmap(&pt, kc_ia(0x1000), 0x1000), "ZwTdi");
    cr_expect_eq(tlbi_op[0], KC_TLBI_VALE1IS, "a leaf alone: last level");
    cr_expect_eq(tlbi_operand[0], UINT64_C(0x002a000000000001));
}

/* O4: tables that became empty are unlinked with the leaf, invalidated at all levels, and freed
   behind the DSB. */
Test(pt_order, unmap_the_last_page_frees_tables)
{
    MAP(0x1000, GIB4, 0x1000, rw);
    EXPECT_ORDER(kc_pt_unmap(&pt, kc_ia(0x1000), 0x1000),
                 "Z"      /* the page */
                 "ZZZZZZ" /* per table: its link, then its place in the chain of what is to go */
                 "wTdi"
                 "ZXxZXxZXx");
    cr_expect_eq(tlbi_op[0], KC_TLBI_VAE1IS, "a table went: all levels");
}

/* A level hint would spare the cached tables above that level, which are about to be freed. */
Test(pt_order, no_level_hint_where_a_table_goes)
{
    struct kc_a64_format f = fmt;
    f.features = KC_A64_FEAT_TTL;
    cr_assert_eq(kc_pt_fini(&pt), KC_OK);
    begin(&f, false);
    MAP(0x1000, GIB4, 0x2000, rw);
    record();
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(0x1000), 0x1000), KC_OK);
    (void)recorded();
    cr_expect_eq(tlbi_operand[0], UINT64_C(0x002a700000000001), "a page alone: level 3");
    record();
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(0x2000), 0x1000), KC_OK);
    (void)recorded();
    cr_expect_eq(tlbi_op[0], KC_TLBI_VAE1IS);
    cr_expect_eq(tlbi_operand[0], UINT64_C(0x002a000000000002));
}

Test(pt_order, many_pages_one_by_one_up_to_the_limit)
{
    MAP(0, GIB4, KC_MIB(1), rw);
    record();
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(0), KC_PT_TLBI_MAX * UINT64_C(4096)), KC_OK);
    (void)recorded();
    cr_assert_eq(tlbi_count, KC_PT_TLBI_MAX);
    for (uint32_t i = 0; i < KC_PT_TLBI_MAX; i++) {
        cr_assert_eq(tlbi_op[i], KC_TLBI_VALE1IS);
        cr_assert_eq(tlbi_operand[i], UINT64_C(0x2a) << 48 | i);
    }
}

Test(pt_order, beyond_the_limit_the_whole_asid)
{
    MAP(0, GIB4, KC_MIB(1), rw);
    record();
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(0), (KC_PT_TLBI_MAX + 1) * UINT64_C(4096)), KC_OK);
    (void)recorded();
    cr_assert_eq(tlbi_count, 1);
    cr_expect_eq(tlbi_op[0], KC_TLBI_ASIDE1IS);
    cr_expect_eq(tlbi_operand[0], UINT64_C(0x002a000000000000));
}

Test(pt_order, beyond_the_limit_a_range_where_there_is_one)
{
    struct kc_a64_format f = fmt;
    f.features = KC_A64_FEAT_TLBIRANGE | KC_A64_FEAT_TTL;
    cr_assert_eq(kc_pt_fini(&pt), KC_OK);
    begin(&f, false);
    MAP(0, GIB4, KC_MIB(1), rw);
    record();
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(0), 67 * UINT64_C(4096)), KC_OK);
    (void)recorded();
    cr_assert_eq(tlbi_count, 3, "64 + 2 + 1 pages");
    cr_expect_eq(tlbi_op[0], KC_TLBI_RVALE1IS);
    /* ASID 0x2a; TG 0b01, SCALE 1, NUM 0; TTL 3; base 0 */
    cr_expect_eq(tlbi_operand[0], UINT64_C(0x002a506000000000));
    cr_expect_eq(tlbi_op[1], KC_TLBI_RVALE1IS);
    cr_expect_eq(tlbi_operand[1], UINT64_C(0x002a406000000040));
    cr_expect_eq(tlbi_op[2], KC_TLBI_VALE1IS);
    cr_expect_eq(tlbi_operand[2], UINT64_C(0x002a700000000042), "TTL 0b0111");
}

Test(pt_order, kernel_trees_are_invalidated_for_all_asids)
{
    struct kc_a64_format f = fmt;
    struct kc_pt_attr global = rw;
    uint64_t ia = UINT64_C(0xffff800000000000);
    global.global = true;
    f.upper = 1;
    cr_assert_eq(kc_pt_fini(&pt), KC_OK);
    begin(&f, true);
    MAP(ia, GIB4, KC_MIB(1), global);
    EXPECT_ORDER(kc_pt_unmap(&pt, kc_ia(ia), 0x1000), "ZwTdi");
    cr_expect_eq(tlbi_op[0], KC_TLBI_VAALE1IS);
    cr_expect_eq(tlbi_operand[0], UINT64_C(0x00000ff800000000), "no address bit in TTL or ASID");
    record();
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(ia + 0x1000), 0xff000), KC_OK);
    (void)recorded();
    cr_assert_eq(tlbi_count, 1);
    cr_expect_eq(tlbi_op[0], KC_TLBI_VMALLE1IS);
}

/* ---- protect, split, join ------------------------------------------------------------------- */

Test(pt_order, protect_of_permissions_does_not_break)
{
    MAP(0, GIB4, 0x2000, rw);
    EXPECT_ORDER(kc_pt_protect(&pt, kc_ia(0), 0x2000, ro), "SSwTTdi");
    EXPECT_ORDER(kc_pt_protect(&pt, kc_ia(0), 0x2000, ro), "");
}

/* O2: all are broken, invalidated together, and made again. */
Test(pt_order, protect_of_the_memory_type_breaks)
{
    MAP(0, GIB4, 0x2000, rw);
    EXPECT_ORDER(kc_pt_protect(&pt, kc_ia(0), 0x2000, nc), "ZZwTTdSSwi");
}

Test(pt_order, unmap_of_half_a_block_breaks_it)
{
    MAP(MIB2, GIB4, MIB2, rw);
    EXPECT_ORDER(kc_pt_unmap(&pt, kc_ia(MIB2), KC_MIB(1)),
                 "aFNZ" /* the table for the other half */
                 "ZFZ"  /* taken, filled; the block is broken */
                 "wTd"
                 "S"
                 "wi");
    cr_expect_eq(tlbi_op[0], KC_TLBI_VALE1IS, "a block is a last level");
    cr_expect_eq(tlbi_operand[0], UINT64_C(0x002a000000000200));
}

Test(pt_order, split_breaks_the_block)
{
    MAP(MIB2, GIB4, MIB2, rw);
    EXPECT_ORDER(kc_pt_split(&pt, kc_ia(MIB2), 3), "aFNZZFFZwTdSwi");
    EXPECT_ORDER(kc_pt_split(&pt, kc_ia(MIB2), 3), "");
}

/* Walkers may hold the table: all levels, for the whole span; and only then is its page touched. */
Test(pt_order, join_breaks_the_table)
{
    MAP(MIB2, GIB4, MIB2, rw);
    cr_assert_eq(kc_pt_split(&pt, kc_ia(MIB2), 3), KC_OK);
    EXPECT_ORDER(kc_pt_join(&pt, kc_ia(MIB2), 2), "ZwTdSwiZZXx");
    cr_expect_eq(tlbi_op[0], KC_TLBI_ASIDE1IS);
}

Test(pt_order, fini_invalidates_before_it_frees)
{
    MAP(0x1000, GIB4, 0x1000, rw);
    EXPECT_ORDER(kc_pt_fini(&pt), "wTdiZZZZZXxZXxZXxZXx");
    cr_expect_eq(tlbi_op[0], KC_TLBI_ASIDE1IS);
}

/* ---- address spaces ------------------------------------------------------------------------- */

static struct kc_asids asids;
static struct kc_aspace space;
static struct kc_area area[2];

static void begin_space(struct kc_aspace *as)
{
    struct kc_aspace_config c = {.kind = KC_ASPACE_USER,
                                 .name = "user",
                                 .frames = &frames,
                                 .asids = &asids,
                                 .format = fmt,
                                 .base = kc_ia(0),
                                 .bytes = KC_GIB(1),
                                 .areas = area,
                                 .area_max = 2};
    cr_assert_eq(kc_aspace_init(as, &c), KC_OK);
}

static void begin_asids(void)
{
    kc_pa_t root;
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_KERNEL, &root), KC_OK);
    cr_assert_eq(kc_asids_init(&asids, 4, root), KC_OK);
}

/* The tables are visible before the root is in the register; ISB before anything depends on it. */
Test(pt_order, activate_and_deactivate)
{
    begin_asids();
    begin_space(&space);
    EXPECT_ORDER(kc_aspace_activate(&space), "wRi");
    cr_expect_eq(kc_plat_sysreg_read(KC_TTBR0_EL1),
                 kc_pa_raw(kc_pt_root(space.pt)) | UINT64_C(1) << 48, "root and ASID in one");
    EXPECT_ORDER(kc_aspace_deactivate(&space), "Ri");
    cr_expect_eq(kc_plat_sysreg_read(KC_TTBR0_EL1), asids.empty_ttbr);
    cr_assert_eq(kc_aspace_fini(&space), KC_OK);
}

/* A3 by rollover: everything is invalidated, and that is complete, before the register is written.
 */
Test(pt_order, rollover_invalidates_before_it_gives)
{
    static struct kc_aspace many[15];
    begin_asids();
    for (uint32_t i = 0; i < 15; i++) {
        begin_space(&many[i]);
        cr_assert_eq(kc_aspace_activate(&many[i]), KC_OK);
        cr_assert_eq(kc_aspace_deactivate(&many[i]), KC_OK);
    }
    begin_space(&space);
    EXPECT_ORDER(kc_aspace_activate(&space), "wTdwRi");
    cr_expect_eq(tlbi_op[0], KC_TLBI_VMALLE1IS);
    cr_expect_eq(space.asid, 1, "given again");
    cr_assert_eq(kc_aspace_deactivate(&space), KC_OK);
}

/* A3 by fini: own frames after their invalidation, tables and the ASID after the ASID's. */
Test(pt_order, fini_of_a_space)
{
    struct kc_aspace_request rq = {.fixed = true, .at = kc_ia(MIB2), .bytes = 0x2000};
    struct kc_pt_attr user = {KC_PT_R | KC_PT_W | KC_PT_USER, KC_A64_MEM_NORMAL, false};
    kc_ia_t ia;
    begin_asids();
    begin_space(&space);
    cr_assert_eq(kc_aspace_reserve(&space, &rq, &ia), KC_OK);
    cr_assert_eq(kc_aspace_map_new(&space, ia, 0x2000, user), KC_OK);
    cr_assert_eq(kc_aspace_activate(&space), KC_OK);
    cr_assert_eq(kc_aspace_deactivate(&space), KC_OK);
    EXPECT_ORDER(kc_aspace_fini(&space), "ZZ"     /* two pages */
                                         "ZZZZZZ" /* three tables unlinked */
                                         "wTTdi"
                                         "ZXxZXxZXx" /* the tables */
                                         "xx"        /* the frames */
                                         "wTdi"      /* the ASID */
                                         "ZZXx");    /* the root */
    cr_expect_eq(tlbi_op[0], KC_TLBI_VAE1IS);
    cr_expect_eq(tlbi_operand[0], UINT64_C(0x0001000000000200));
    cr_expect_eq(tlbi_operand[1], UINT64_C(0x0001000000000201));
    cr_expect_eq(tlbi_op[2], KC_TLBI_ASIDE1IS);
    cr_expect_eq(tlbi_operand[2], UINT64_C(0x0001000000000000));
    cr_expect_eq(asids.used[0], 1, "the number is free again");
}

/* No TLB can hold anything of it. */
Test(pt_order, a_space_that_was_never_active_needs_no_invalidation)
{
    begin_asids();
    begin_space(&space);
    EXPECT_ORDER(kc_aspace_fini(&space), "ZZXx");
}

/* ---- any order of operations ---------------------------------------------------------------- */

/*
 * O1 to O5 over a recording, from what is recorded alone: the value and state of every word of RAM
 * that was ever stored to.
 *
 *     clean -> (valid value changed) -> dirty -DSB ISHST-> pushed -TLBI-> aimed -DSB ISH-> clean
 */
enum word_state {
    CLEAN,
    DIRTY,
    PUSHED,
    AIMED
};

#define WORDS (KC_MIB(2) / 8)

static uint64_t word_value[WORDS];
static uint8_t word_state[WORDS];
static bool word_unpushed[WORDS]; /* stored to, and no DSB ISHST since */
static uint32_t dirty_words[WORDS];
static size_t dirty_count;

static size_t word_of(uint64_t pa)
{
    return (size_t)(pa - kc_pa_raw(info.range[0].base)) / 8;
}

static void dirty_advance(uint8_t from, uint8_t to)
{
    for (size_t i = 0; i < dirty_count; i++) {
        if (word_state[dirty_words[i]] == from) {
            word_state[dirty_words[i]] = to;
        }
    }
}

static bool page_has_state(uint64_t pa, bool unpushed)
{
    size_t w = word_of(pa & ~UINT64_C(4095));
    for (size_t i = 0; i < 512; i++) {
        if (unpushed ? word_unpushed[w + i] : word_state[w + i] != CLEAN) {
            return true;
        }
    }
    return false;
}

/* Is the page linked into the tree? Its own words then matter to walkers. */
static bool in_tree(kc_pa_t table, uint32_t level, uint64_t page)
{
    if (kc_pa_raw(table) == page) {
        return true;
    }
    for (uint32_t i = 0; level < 3 && i < kc_a64_level_entries(&pt.format, level); i++) {
        uint64_t d = word_value[word_of(kc_pa_raw(table)) + i];
        if ((d & 3) == 3 && in_tree(kc_pa(d & KC_MASK(47, 12)), level + 1, page)) {
            return true;
        }
    }
    return false;
}

static bool is_table_store(uint64_t value)
{
    uint64_t target = value & KC_MASK(47, 12);
    uint64_t base = kc_pa_raw(info.range[0].base);
    return (value & 3) == 3 && target >= base && target - base < KC_MIB(2);
}

static const char *judge_store(uint64_t pa, uint64_t value)
{
    size_t w = word_of(pa);
    uint64_t old = word_value[w];
    const char *wrong = NULL;
    bool reachable = in_tree(pt.root, kc_a64_start_level(&pt.format), pa & ~UINT64_C(4095));
    if (reachable && is_table_store(value) && page_has_state(value & KC_MASK(47, 12), true)) {
        wrong = "O1: table linked before its fill is visible";
    }
    if (reachable && (value & 1) != 0 && word_state[w] != CLEAN) {
        wrong = "O2: made again before the invalidation was complete";
    }
    word_value[w] = value;
    word_unpushed[w] = true;
    if (reachable && (old & 1) != 0 && old != value) {
        if ((value & 1) != 0 && ((old ^ value) & KC_MASK(47, 12)) != 0) {
            wrong = "O2: output address changed without a break";
        }
        word_state[w] = DIRTY;
        dirty_words[dirty_count++] = (uint32_t)w;
    }
    return wrong;
}

static const char *judge_event(const struct host_event *e)
{
    switch (e->call) {
    case HOST_DESC_STORE:
        return judge_store(e->a, e->b);
    case HOST_DESC_FILL: {
        size_t w = word_of(e->a);
        if (in_tree(pt.root, kc_a64_start_level(&pt.format), e->a & ~UINT64_C(4095)) && e->b != 0) {
            return "a table that walkers can reach was filled in no certain order";
        }
        /* The step is not recorded: pages, or blocks of level 2, for the window has no larger. */
        uint64_t step = e->b == 0 ? 0 : ((e->b & 3) == 3 ? 4096 : MIB2);
        for (uint64_t i = 0; i < e->c; i++) {
            word_value[w + i] = e->b + i * step;
            word_unpushed[w + i] = true;
        }
        return NULL;
    }
    case HOST_BARRIER:
        if (e->a == KC_DSB_ISHST || e->a == KC_DSB_ISH) {
            __builtin_memset(word_unpushed, 0, sizeof(word_unpushed));
            dirty_advance(DIRTY, PUSHED);
        }
        if (e->a == KC_DSB_ISH) {
            dirty_advance(AIMED, CLEAN);
        }
        return NULL;
    case HOST_TLBI:
        dirty_advance(PUSHED, AIMED);
        for (size_t i = 0; i < dirty_count; i++) {
            if (word_state[dirty_words[i]] == DIRTY) {
                return "O3: TLBI before the store is visible";
            }
        }
        return NULL;
    case HOST_NOTE:
        if ((e->a == KC_NOTE_TABLE_FREE || e->a == KC_NOTE_FRAME_FREE) && dirty_count != 0) {
            for (size_t i = 0; i < dirty_count; i++) {
                if (word_state[dirty_words[i]] != CLEAN) {
                    return "O4: page given back before the invalidation was complete";
                }
            }
        }
        return NULL;
    default:
        return NULL;
    }
}

static const char *judge_recording(void)
{
    const char *wrong = NULL;
    bool stored = false;
    bool synchronised = true;
    dirty_count = 0;
    for (size_t i = 0; i < event_count && wrong == NULL; i++) {
        wrong = judge_event(&events[i]);
        if (events[i].call == HOST_DESC_STORE && (events[i].b & 1) != 0) {
            stored = true;
            synchronised = false;
        }
        if (events[i].call == HOST_BARRIER && events[i].a == KC_ISB) {
            synchronised = true;
        }
    }
    for (size_t i = 0; i < dirty_count; i++) {
        if (wrong == NULL && word_state[dirty_words[i]] != CLEAN) {
            wrong = "O3: an operation ended with stale entries in a TLB";
        }
    }
    if (wrong == NULL && stored && !synchronised) {
        wrong = "O5: no ISB at the end";
    }
    return wrong;
}

Test(pt_order, random_operations_keep_the_order)
{
    static uint8_t bytes[400];
    static struct pt_model m;
    uint64_t state = kc_test_seed();
    for (uint32_t story = 0; story < 12; story++) {
        kc_random_fill(&state, bytes, sizeof(bytes));
        struct kc_bytes b = {bytes, sizeof(bytes), 0};
        bytes[0] |= 64; /* live */
        cr_assert_null(ptm_begin(&m, &frames, &b));
        pt = m.pt;
        __builtin_memset(word_value, 0, sizeof(word_value));
        __builtin_memset(word_state, 0, sizeof(word_state));
        __builtin_memset(word_unpushed, 0, sizeof(word_unpushed));
        while (!kc_bytes_is_empty(&b)) {
            record();
            const char *wrong = ptm_step(&m, &b);
            (void)recorded();
            cr_assert_null(wrong, "%s", wrong);
            wrong = judge_recording();
            cr_assert_null(wrong, "story %u at byte %u: %s", story, (uint32_t)b.at, wrong);
        }
        cr_assert_eq(kc_pt_fini(&m.pt), KC_OK);
    }
}
