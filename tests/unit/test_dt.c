/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device tree reader of the bare-metal body, against trees made here byte by byte; the same
 * file runs on the image itself. (tests/host/test_fdt.c compares it with libfdt.)
 */
#include "../../arch/aarch64/board/dt.h"
#include "kc_test.h"

#include <kc/early.h>

/* ---- a writer of trees ---------------------------------------------------------------------- */

#define BLOB_BYTES 16384u

static struct {
    uint8_t structs[8192];
    uint8_t strings[2048];
    uint8_t reserved[256];
    uint32_t structs_size, strings_size, reserved_size;
} t;
static uint8_t blob[BLOB_BYTES];
static struct kc_boot_info info;
static struct kc_board board;
static struct kc_dt_error error;

static void put32(uint8_t *at, uint32_t v)
{
    for (uint32_t i = 0; i < 4; i++) {
        at[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

static void put64(uint8_t *at, uint64_t v)
{
    put32(at, (uint32_t)(v >> 32));
    put32(at + 4, (uint32_t)v);
}

static void word(uint32_t v)
{
    put32(t.structs + t.structs_size, v);
    t.structs_size += 4;
}

static void bytes(const void *from, size_t n)
{
    __builtin_memcpy(t.structs + t.structs_size, from, n);
    t.structs_size += (uint32_t)n;
    while ((t.structs_size & 3) != 0) {
        t.structs[t.structs_size++] = 0;
    }
}

static void begin(const char *name)
{
    word(1);
    bytes(name, __builtin_strlen(name) + 1);
}

static void end(void)
{
    word(2);
}

static void prop(const char *name, const void *value, size_t n)
{
    word(3);
    word((uint32_t)n);
    word(t.strings_size);
    size_t length = __builtin_strlen(name) + 1;
    __builtin_memcpy(t.strings + t.strings_size, name, length);
    t.strings_size += (uint32_t)length;
    bytes(value, n);
}

static void prop_text(const char *name, const char *value)
{
    prop(name, value, __builtin_strlen(value) + 1);
}

static void prop_cells(const char *name, const uint32_t *cells, size_t n)
{
    uint8_t raw[64];
    for (size_t i = 0; i < n; i++) {
        put32(raw + 4 * i, cells[i]);
    }
    prop(name, raw, 4 * n);
}
#define CELLS(...) \
    (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)

static void reserve(uint64_t base, uint64_t size)
{
    put64(t.reserved + t.reserved_size, base);
    put64(t.reserved + t.reserved_size + 8, size);
    t.reserved_size += 16;
}

static void tree_start(void)
{
    __builtin_memset(&t, 0, sizeof t);
}

/* Header, reservations, structs, strings. Returns the size. */
static uint32_t tree_end(void)
{
    word(9);
    uint32_t at = 40;
    uint32_t reserved = at;
    reserve(0, 0);
    __builtin_memcpy(blob + at, t.reserved, t.reserved_size);
    at += t.reserved_size;
    uint32_t structs = at;
    __builtin_memcpy(blob + at, t.structs, t.structs_size);
    at += t.structs_size;
    uint32_t strings = at;
    __builtin_memcpy(blob + at, t.strings, t.strings_size);
    at += t.strings_size;
    const uint32_t header[10] = {0xd00dfeed, at, structs, strings,        reserved,
                                 17,         16, 0,       t.strings_size, t.structs_size};
    for (uint32_t i = 0; i < 10; i++) {
        put32(blob + 4 * i, header[i]);
    }
    return at;
}

/* ---- a machine ------------------------------------------------------------------------------ */

/* What to leave out or spoil, one at a time. */
enum spoil {
    NOTHING,
    NO_MEMORY,
    NO_UART,
    UART_DISABLED,
    NO_GIC,
    NO_TIMER,
    NO_PSCI,
    PSCI_METHOD,
    NO_CPUS,
    CPU_TWICE,
    BOOT_CPU_TWICE,
    CPU_REG_WILD,
    MEMORY_WRAPS,
    MEMORY_RAGGED,
    ROOT_CELLS,
    INITRD_REVERSED,
    INITRD_START_ONLY,
    INITRD_WIDTH,
    BOOTARGS_LONG,
    BOOTARGS_OPEN,
    TIMER_SHORT,
    TIMER_SHARED,
    GIC_ONE_REG,
    GIC_TWICE,
    GIC_SMALL,
    UART_NO_REG,
    RESERVED_WRAPS,
    RESERVED_CONTRADICTS,
    MANY_RANGES,
    SPOIL_COUNT
};

static void cpu(uint32_t mpidr)
{
    begin("cpu@x");
    prop_text("device_type", "cpu");
    prop_cells("reg", CELLS(mpidr));
    end();
}

static void write_chosen(enum spoil s)
{
    static char args[600];
    begin("chosen");
    if (s == BOOTARGS_LONG) {
        __builtin_memset(args, 'a', sizeof args - 1);
        prop_text("bootargs", args);
    } else if (s == BOOTARGS_OPEN) {
        prop("bootargs", "abc", 3);
    } else {
        prop_text("bootargs", "seed=7 run");
    }
    prop_cells("linux,initrd-start", CELLS(s == INITRD_REVERSED ? 0x48001000 : 0x48000000));
    if (s == INITRD_WIDTH) {
        prop_cells("linux,initrd-end", CELLS(0, 0, 0x48000123));
    } else if (s != INITRD_START_ONLY) {
        prop_cells("linux,initrd-end", CELLS(0, 0x48000123));
    }
    prop("rng-seed", "0123456789abcdef", 16);
    end();
}

static void write_gic(enum spoil s)
{
    begin("intc@8000000");
    prop_text("compatible", "arm,gic-v3");
    if (s == GIC_ONE_REG) {
        prop_cells("reg", CELLS(0, 0x8000000, 0, 0x10000));
    } else {
        prop_cells("reg",
                   CELLS(0, 0x8000000, 0, 0x10000, 0, 0x80a0000, 0, s == GIC_SMALL ? 1 : 0xf60000));
    }
    end();
}

static void write_memory(enum spoil s)
{
    begin("memory@40000000");
    prop_text("device_type", "memory");
    if (s == MEMORY_WRAPS) {
        prop_cells("reg", CELLS(0xffffffff, 0xfffff000, 0, 0x2000));
    } else if (s == MEMORY_RAGGED) {
        prop_cells("reg", CELLS(0, 0x40000000, 0x10000000));
    } else {
        prop_cells("reg", CELLS(0, 0x40000000, 0, 0x10000000, 1, 0, 0, 0x200000));
    }
    end();
}

static void write_reserved(enum spoil s)
{
    begin("reserved-memory");
    prop_cells("#address-cells", CELLS(2));
    prop_cells("#size-cells", CELLS(2));
    prop("ranges", "", 0);
    begin("firmware@41000000");
    prop_cells("reg", CELLS(0, 0x41000000, s == RESERVED_WRAPS ? 0xffffffff : 0,
                            s == RESERVED_WRAPS ? 0xf0000000 : 0x1000));
    prop("no-map", "", 0);
    if (s == RESERVED_CONTRADICTS) {
        prop("reusable", "", 0);
    }
    end();
    begin("buffer@42000000");
    prop_cells("reg", CELLS(0, 0x42000000, 0, 0x3000));
    end();
    begin("pool@46000000"); /* a driver's; others could use it meanwhile */
    prop_text("compatible", "shared-dma-pool");
    prop("reusable", "", 0);
    prop_cells("reg", CELLS(0, 0x46000000, 0, 0x200000, 0, 0x46400000, 0, 0x1000));
    end();
    begin("anywhere"); /* of the system's choice, for a driver */
    prop("reusable", "", 0);
    prop_cells("size", CELLS(0, 0x100000));
    end();
    begin("off@47000000");
    prop_text("status", "disabled");
    prop_cells("reg", CELLS(0, 0x47000000, 0, 0x1000));
    end();
    for (uint32_t i = 0; s == MANY_RANGES && i < KC_BOOT_RANGES_MAX; i++) {
        begin("more");
        prop_cells("reg", CELLS(0, 0x43000000 + 0x1000 * i, 0, 0x1000));
        end();
    }
    end();
}

static void write_cpus(enum spoil s, uint32_t count)
{
    begin("cpus");
    prop_cells("#address-cells", CELLS(1));
    prop_cells("#size-cells", CELLS(0));
    for (uint32_t i = 0; i < count; i++) {
        cpu(i < 8 ? i : 0x100 + i);
    }
    if (s == CPU_TWICE) {
        cpu(1);
    }
    if (s == BOOT_CPU_TWICE) {
        cpu(0);
    }
    if (s == CPU_REG_WILD) {
        cpu(0x80000001);
    }
    begin("cpu-map"); /* no CPU */
    end();
    end();
}

/* A tree like QEMU virt's. */
static uint32_t machine(enum spoil s, uint32_t cpus)
{
    tree_start();
    reserve(0x44000000, 0x1000);
    begin("");
    prop_cells("#address-cells", CELLS(s == ROOT_CELLS ? 3 : 2));
    prop_cells("#size-cells", CELLS(2));
    if (s != NO_PSCI) {
        begin("psci");
        prop_text("method", s == PSCI_METHOD ? "fax" : "smc");
        prop("compatible", "arm,psci-1.0\0arm,psci-0.2", 26);
        end();
    }
    if (s != NO_MEMORY) {
        write_memory(s);
    }
    write_reserved(s);
    if (s != NO_CPUS) {
        write_cpus(s, cpus);
    }
    if (s != NO_TIMER) {
        begin("timer");
        prop("compatible", "arm,armv8-timer\0arm,armv7-timer", 32);
        prop_cells("interrupts",
                   CELLS(1, 13, 4, 1, 14, 4, s == TIMER_SHARED ? 0 : 1, 11, 4, 1, 10, 4));
        if (s == TIMER_SHORT) {
            prop_cells("interrupts", CELLS(1, 13, 4, 1, 14, 4)); /* the last one counts */
        }
        end();
    }
    if (s != NO_GIC) {
        write_gic(s);
    }
    if (s == GIC_TWICE) {
        write_gic(NOTHING);
    }
    if (s != NO_UART) {
        begin("pl011@9040000");
        prop("compatible", "arm,pl011\0arm,primecell", 24);
        prop_cells("reg", CELLS(0, 0x9040000, 0, 0x1000));
        prop_text("status", "disabled");
        end();
        begin("pl011@9000000");
        prop("compatible", "arm,pl011\0arm,primecell", 24);
        if (s != UART_NO_REG) {
            prop_cells("reg", CELLS(0, 0x9000000, 0, 0x1000));
        }
        if (s == UART_DISABLED) {
            prop_text("status", "disabled");
        }
        end();
    }
    word(4); /* NOP */
    write_chosen(s);
    end();
    return tree_end();
}

static kc_status_t read_as(uint32_t limit, uint64_t mpidr)
{
    return kc_dt_read(blob, kc_pa(0x4a000000), limit, mpidr, &info, &board, &error);
}

static bool has_range(uint64_t base, uint64_t size, uint32_t kind)
{
    for (uint32_t i = 0; i < info.range_count; i++) {
        if (kc_pa_raw(info.range[i].base) == base && info.range[i].size == size &&
            info.range[i].kind == kind) {
            return true;
        }
    }
    return false;
}

/* ---- cases ---------------------------------------------------------------------------------- */

Test(dt, a_machine_is_read_whole)
{
    uint32_t size = machine(NOTHING, 4);
    cr_assert_eq(read_as(size, 0x80000002), KC_OK, "%s in %s", error.what, error.node);
    cr_expect_eq(info.version, KC_BOOT_VERSION);
    cr_expect(has_range(0x40000000, 0x10000000, KC_BOOT_RAM));
    cr_expect(has_range(0x100000000, 0x200000, KC_BOOT_RAM));
    cr_expect(has_range(0x41000000, 0x1000, KC_BOOT_NOMAP));
    cr_expect(has_range(0x42000000, 0x3000, KC_BOOT_RESERVED));
    cr_expect(has_range(0x44000000, 0x1000, KC_BOOT_RESERVED));
    cr_expect(has_range(0x48000000, 0x123, KC_BOOT_INITRD));
    cr_expect(has_range(0x4a000000, size, KC_BOOT_DTB));
    cr_expect(has_range(0x9000000, 0x1000, KC_BOOT_MMIO));
    cr_expect(has_range(0x8000000, 0x10000, KC_BOOT_MMIO));
    cr_expect(has_range(0x80a0000, 4 * 0x20000, KC_BOOT_MMIO), "as many frames as CPUs");
    cr_expect(has_range(0x46000000, 0x200000, KC_BOOT_RESERVED), "reusable");
    cr_expect(has_range(0x46400000, 0x1000, KC_BOOT_RESERVED), "its second entry");
    cr_expect_eq(info.range_count, 12);
    cr_expect_str_eq(info.cmdline, "seed=7 run");
    cr_expect_eq(board.psci, KC_BOARD_PSCI_SMC);
    cr_expect_eq(board.gic_version, 3);
    cr_expect_eq(board.timer_intid, 27);
    cr_expect_eq(board.initrd.size, 0x123);
    cr_expect_eq(board.seed_bytes, 16);
    cr_expect_eq(board.seed[15], 'f');
}

/* What the tree says of memory, through early memory to frames: no reserved byte is handed on. */
Test(dt, reserved_memory_of_every_kind_is_never_free)
{
    static struct kc_early early;
    uint32_t size = machine(NOTHING, 1);
    cr_assert_eq(read_as(size, 0), KC_OK);
    /* The kernel's own image comes from the caller. */
    cr_assert(kc_dt_add(&info, kc_pa(0x40200000), 0x200000, KC_BOOT_TEXT));
    cr_assert(kc_dt_add(&info, kc_pa(0x40400000), 0x100000, KC_BOOT_DATA));
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    uint32_t cursor = 0;
    uint64_t bytes = 0;
    kc_pa_range_t free;
    while (kc_early_next_free(&early, &cursor, &free)) {
        bytes += free.size;
        for (uint32_t i = 0; i < info.range_count; i++) {
            const struct kc_boot_range *r = &info.range[i];
            cr_expect(r->kind == KC_BOOT_RAM || !kc_range_meets(kc_pa_raw(free.base), free.size,
                                                                kc_pa_raw(r->base), r->size),
                      "a %s range", kc_boot_kind_name(r->kind));
        }
    }
    /* RAM less: no-map, buffer, memreserve, pool, its second, initrd, tree, image. */
    uint64_t tree = (size + 0xfff) & ~(uint64_t)0xfff;
    cr_expect_eq(bytes, 0x10200000 - (0x1000 + 0x3000 + 0x1000 + 0x200000 + 0x1000 + 0x1000 + tree +
                                      0x300000));
}

Test(dt, the_cpu_that_boots_is_number_0)
{
    uint32_t size = machine(NOTHING, 4);
    static const uint64_t order[4] = {2, 0, 1, 3};
    cr_assert_eq(read_as(size, 0x80000002), KC_OK);
    cr_assert_eq(info.cpu_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        cr_expect_eq(board.mpidr[i], order[i], "CPU %u", i);
    }
    cr_expect_eq(read_as(size, 4), KC_ERR_ABSENT, "a CPU that is not in the tree");
}

Test(dt, cpus_beyond_the_limit_stay_off)
{
    uint32_t size = machine(NOTHING, 12);
    cr_assert_eq(read_as(size, 0), KC_OK);
    cr_expect_eq(info.cpu_count, KC_CPUS_MAX);
    cr_expect_eq(board.cpus_in_tree, 12);
    /* Also where the one that boots comes last. */
    cr_assert_eq(read_as(size, 0x10b), KC_OK);
    cr_expect_eq(info.cpu_count, KC_CPUS_MAX);
    cr_expect_eq(board.mpidr[0], 0x10b);
}

Test(dt, one_cpu_needs_no_psci)
{
    uint32_t size = machine(NO_PSCI, 1);
    cr_expect_eq(read_as(size, 0), KC_OK);
}

Test(dt, each_defect_is_refused_with_its_own_words)
{
    static const struct {
        uint8_t spoil;
        uint8_t status;
        const char *node;
    } want[] = {
        {NO_MEMORY, KC_ERR_ABSENT, "/"},
        {NO_UART, KC_ERR_ABSENT, "/"},
        {UART_DISABLED, KC_ERR_ABSENT, "/"},
        {NO_GIC, KC_ERR_ABSENT, "/"},
        {NO_TIMER, KC_ERR_ABSENT, "/"},
        {NO_PSCI, KC_ERR_ABSENT, "/"},
        {PSCI_METHOD, KC_ERR_UNSUPPORTED, "psci"},
        {NO_CPUS, KC_ERR_ABSENT, "cpus"},
        {CPU_TWICE, KC_ERR_RANGE, "cpu@x"},
        {BOOT_CPU_TWICE, KC_ERR_RANGE, "cpu@x"},
        {CPU_REG_WILD, KC_ERR_RANGE, "cpu@x"},
        {MEMORY_WRAPS, KC_ERR_RANGE, "memory@40000000"},
        {MEMORY_RAGGED, KC_ERR_RANGE, "memory@40000000"},
        {ROOT_CELLS, KC_ERR_UNSUPPORTED, ""},
        {INITRD_REVERSED, KC_ERR_RANGE, "chosen"},
        {INITRD_START_ONLY, KC_ERR_RANGE, "chosen"},
        {INITRD_WIDTH, KC_ERR_RANGE, "chosen"},
        {BOOTARGS_LONG, KC_ERR_RANGE, "chosen"},
        {BOOTARGS_OPEN, KC_ERR_RANGE, "chosen"},
        {TIMER_SHORT, KC_ERR_RANGE, "timer"},
        {TIMER_SHARED, KC_ERR_RANGE, "timer"},
        {GIC_ONE_REG, KC_ERR_ABSENT, "intc@8000000"},
        {GIC_TWICE, KC_ERR_UNSUPPORTED, "intc@8000000"},
        {GIC_SMALL, KC_ERR_RANGE, "intc@8000000"},
        {UART_NO_REG, KC_ERR_ABSENT, "pl011@9000000"},
        {RESERVED_WRAPS, KC_ERR_RANGE, "firmware@41000000"},
        {RESERVED_CONTRADICTS, KC_ERR_ARG, "firmware@41000000"},
        {MANY_RANGES, KC_ERR_NOMEM, "more"},
    };
    cr_assert_eq(KC_ARRAY_COUNT(want), SPOIL_COUNT - 1u);
    for (size_t i = 0; i < KC_ARRAY_COUNT(want); i++) {
        uint32_t size = machine((enum spoil)want[i].spoil, 4);
        kc_status_t s = read_as(size, 0);
        cr_expect_eq(s, want[i].status, "defect %u: %s", want[i].spoil, error.what);
        cr_expect_str_eq(error.node, want[i].node, "defect %u: %s", want[i].spoil, error.what);
        cr_expect(error.what != NULL && error.what[0] != 0);
    }
}

Test(dt, a_cut_blob_is_refused_at_every_length)
{
    uint32_t size = machine(NOTHING, 2);
    for (uint32_t limit = 0; limit < size; limit++) {
        cr_assert_neq(read_as(limit, 0), KC_OK, "limit %u of %u", limit, size);
    }
    /* The same where the header lies about the size. */
    for (uint32_t total = 0; total < size; total++) {
        put32(blob + 4, total);
        cr_assert_neq(read_as(size, 0), KC_OK, "total size %u of %u", total, size);
    }
}

Test(dt, any_changed_byte_gives_an_answer_that_holds)
{
    uint32_t size = machine(NOTHING, 2);
    uint32_t accepted = 0;
    for (uint32_t at = 0; at < size; at++) {
        static const uint8_t flips[] = {0x01, 0x80, 0xff};
        for (size_t f = 0; f < sizeof flips; f++) {
            blob[at] ^= flips[f];
            if (read_as(size, 0) == KC_OK) {
                accepted++;
                cr_assert(info.range_count <= KC_BOOT_RANGES_MAX);
                cr_assert(info.cpu_count >= 1 && info.cpu_count <= KC_CPUS_MAX);
                for (uint32_t i = 0; i < info.range_count; i++) {
                    cr_assert(kc_range_fits(kc_pa_raw(info.range[i].base), info.range[i].size));
                    cr_assert(info.range[i].kind < KC_BOOT_KIND_COUNT);
                }
            }
            blob[at] ^= flips[f];
        }
    }
    cr_expect_gt(accepted, 0u, "some bytes do not matter");
    cr_expect_eq(read_as(size, 0), KC_OK, "and nothing was left changed");
}

/* ---- the token reader ----------------------------------------------------------------------- */

static kc_status_t open_now(uint32_t size, struct kc_fdt *f)
{
    struct kc_fdt_error e;
    return kc_fdt_open(f, blob, size, &e);
}

Test(fdt, grammar)
{
    struct kc_fdt f;
    tree_start();
    begin("");
    end();
    cr_expect_eq(open_now(tree_end(), &f), KC_OK, "an empty root");

    tree_start();
    cr_expect_eq(open_now(tree_end(), &f), KC_ERR_CORRUPT, "no root");

    tree_start();
    begin("");
    end();
    begin("second");
    end();
    cr_expect_eq(open_now(tree_end(), &f), KC_ERR_CORRUPT, "two roots");

    tree_start();
    begin("");
    cr_expect_eq(open_now(tree_end(), &f), KC_ERR_CORRUPT, "a root that does not end");

    tree_start();
    begin("");
    end();
    end();
    cr_expect_eq(open_now(tree_end(), &f), KC_ERR_CORRUPT, "an end too many");

    tree_start();
    begin("");
    begin("sub");
    end();
    prop_text("late", "x");
    end();
    cr_expect_eq(open_now(tree_end(), &f), KC_ERR_CORRUPT, "a property behind a subnode");

    tree_start();
    begin("");
    word(5);
    end();
    cr_expect_eq(open_now(tree_end(), &f), KC_ERR_CORRUPT, "an unknown token");
}

Test(fdt, depth_is_bounded)
{
    struct kc_fdt f;
    for (uint32_t depth = KC_FDT_DEPTH_MAX; depth <= KC_FDT_DEPTH_MAX + 1; depth++) {
        tree_start();
        for (uint32_t i = 0; i < depth; i++) {
            begin(i == 0 ? "" : "n");
        }
        for (uint32_t i = 0; i < depth; i++) {
            end();
        }
        cr_expect_eq(open_now(tree_end(), &f), depth > KC_FDT_DEPTH_MAX ? KC_ERR_SPAN : KC_OK);
    }
}

Test(fdt, header_defects)
{
    struct kc_fdt f;
    static const struct {
        uint32_t at, value;
        uint8_t status;
    } bad[] = {
        {0, 0xd00dfeee, KC_ERR_ARG},    {4, 0, KC_ERR_RANGE},
        {4, 0xffffffff, KC_ERR_RANGE},  {8, 0xfffffff0, KC_ERR_RANGE},
        {8, 41, KC_ERR_ALIGN},          {12, 0xffffffff, KC_ERR_RANGE},
        {16, 0xfffffff8, KC_ERR_RANGE}, {16, 4, KC_ERR_ALIGN},
        {20, 2, KC_ERR_UNSUPPORTED},    {24, 18, KC_ERR_UNSUPPORTED},
        {32, 0xffffffff, KC_ERR_RANGE}, {36, 0xffffffff, KC_ERR_RANGE},
        {36, 4, KC_ERR_RANGE},          {8, 0, KC_ERR_RANGE},
    };
    for (size_t i = 0; i < KC_ARRAY_COUNT(bad); i++) {
        uint32_t size = machine(NOTHING, 1);
        put32(blob + bad[i].at, bad[i].value);
        cr_expect_eq(open_now(size, &f), bad[i].status, "field at %u = %x", bad[i].at,
                     bad[i].value);
    }
}

Test(fdt, the_walk_ends_for_good)
{
    struct kc_fdt f;
    struct kc_fdt_item item;
    uint32_t cursor = 0, nodes = 0, ends = 0;
    cr_assert_eq(open_now(machine(NOTHING, 3), &f), KC_OK);
    do {
        kc_fdt_next(&f, &cursor, &item);
        nodes += item.token == KC_FDT_NODE;
        ends += item.token == KC_FDT_NODE_END;
    } while (item.token != KC_FDT_DONE);
    cr_expect_eq(nodes, ends);
    cr_expect_gt(nodes, 10u);
    kc_fdt_next(&f, &cursor, &item);
    cr_expect_eq(item.token, KC_FDT_DONE);
}
