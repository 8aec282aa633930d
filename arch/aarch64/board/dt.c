/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dt.c: one walk over the tree. A stack of *nodes* holds, per depth, the properties that matter; a
 * node is judged when it ends, and by then its parent's cells are known, since properties precede
 * subnodes (fdt_read.c, I4).
 *
 *   /                       cells
 *   /memory*                device_type "memory": RAM
 *   /reserved-memory/x      RESERVED, or NOMAP with `no-map`. `reusable` memory stays RESERVED: it
 *                           could be used until a driver wants it back, but nobody here could move
 *                           what is in it. A node without reg, which asks for memory of the
 *                           system's choice, is for a driver too: nothing is taken for it.
 *   /chosen                 bootargs, linux,initrd-*, rng-seed, kaslr-seed
 *   /cpus/cpu*              device_type "cpu": affinity
 *   /psci, /timer, /intc*, /pl011*   by compatible; `status` other than okay: not there
 *
 * Devices are looked for right below the root, where their addresses need no translation.
 *
 * I1  Nothing is taken from a property before its length is checked.
 * I2  Every range that leaves here fits its address space (kc_pa_range_fits).
 * I3  mpidr[0] is the CPU that boots.
 * I4  The first defect is the one reported; the walk goes on, because it may still find the
 * console.
 *
 * Sources: Devicetree Specification v0.4, chapters 2 and 3; the Linux bindings arm/psci.yaml,
 * arm/cpus.yaml, timer/arm,arch_timer.yaml, interrupt-controller/arm,gic-v3.yaml.
 */
#include "dt.h"

struct node {
    const char *name;
    struct kc_fdt_item reg, compatible, device_type, status, method, interrupts;
    uint32_t address_cells, size_cells; /* for its children */
    bool no_map, reusable;
};

struct reader {
    struct kc_fdt fdt;
    struct kc_boot_info *info;
    struct kc_board *board;
    struct kc_dt_error *e;
    struct node node[KC_FDT_DEPTH_MAX + 1]; /* by depth; 0 is above the root */
    uint64_t initrd_start, initrd_end;
    uint64_t boot_mpidr;
    kc_status_t first; /* what was wrong first */
    bool boot_cpu_seen, initrd_start_seen, initrd_end_seen;
};

#define MPIDR_AFFINITY 0xff00ffffffull
#define PPI_FIRST      16u

static kc_status_t refuse(struct reader *r, const char *node, const char *what, kc_status_t s)
{
    if (r->first == KC_OK) {
        r->first = s;
        r->e->node = node;
        r->e->what = what;
        r->e->offset = 0;
    }
    return s;
}

bool kc_dt_add(struct kc_boot_info *info, kc_pa_t base, uint64_t size, uint32_t kind)
{
    if (info->range_count >= KC_BOOT_RANGES_MAX) {
        return false;
    }
    struct kc_boot_range *range = &info->range[info->range_count++];
    range->base = base;
    range->size = size;
    range->kind = kind;
    range->unused = 0;
    return true;
}

static kc_status_t add(struct reader *r, const char *node, kc_pa_range_t range, uint32_t kind)
{
    if (!kc_pa_range_fits(range)) {
        return refuse(r, node, "a range that does not wrap", KC_ERR_RANGE);
    }
    if (range.size != 0 && !kc_dt_add(r->info, range.base, range.size, kind)) {
        return refuse(r, node, "at most 128 ranges in all", KC_ERR_NOMEM);
    }
    return KC_OK;
}

static uint64_t cells(const uint8_t *value, uint32_t count)
{
    return count == 2 ? kc_fdt_u64(value) : count == 1 ? kc_fdt_u32(value) : 0;
}

/* Entry i of a reg under that parent. KC_ERR_ABSENT after the last. */
static kc_status_t reg_entry(struct reader *r, const struct node *n, const struct node *parent,
                             uint32_t i, kc_pa_range_t *out)
{
    uint32_t ac = parent->address_cells, sc = parent->size_cells;
    if (ac < 1 || ac > 2 || sc > 2) {
        return refuse(r, parent->name, "1 or 2 address cells and at most 2 size cells",
                      KC_ERR_UNSUPPORTED);
    }
    uint32_t bytes = (ac + sc) * 4;
    if (n->reg.bytes % bytes != 0) {
        return refuse(r, n->name, "a reg of whole entries", KC_ERR_RANGE);
    }
    if (i >= n->reg.bytes / bytes) {
        return KC_ERR_ABSENT;
    }
    const uint8_t *v = n->reg.value + (size_t)i * bytes;
    *out = kc_pa_range(kc_pa(cells(v, ac)), cells(v + (size_t)ac * 4, sc));
    if (!kc_pa_range_fits(*out)) {
        return refuse(r, n->name, "a reg that does not wrap", KC_ERR_RANGE);
    }
    return KC_OK;
}

static kc_status_t each_reg(struct reader *r, const struct node *n, const struct node *parent,
                            uint32_t kind)
{
    kc_pa_range_t range = {{0}, 0};
    for (uint32_t i = 0;; i++) {
        kc_status_t s = reg_entry(r, n, parent, i, &range);
        if (s == KC_ERR_ABSENT) {
            return KC_OK;
        }
        if (s == KC_OK) {
            s = add(r, n->name, range, kind);
        }
        if (s != KC_OK) {
            return s;
        }
    }
}

static bool starts_with(const char *s, const char *prefix)
{
    while (*prefix != 0 && *s == *prefix) {
        s++;
        prefix++;
    }
    return *prefix == 0;
}

/* Node name without its unit address is `plain`. */
static bool named(const struct node *n, const char *plain)
{
    const char *s = n->name;
    while (*plain != 0 && *s == *plain) {
        s++;
        plain++;
    }
    return *plain == 0 && (*s == 0 || *s == '@');
}

static bool is_okay(const struct node *n)
{
    return n->status.value == NULL || kc_fdt_has_string(&n->status, "okay") ||
           kc_fdt_has_string(&n->status, "ok");
}

static bool is_compatible(const struct node *n, const char *with)
{
    return n->compatible.value != NULL && kc_fdt_has_string(&n->compatible, with);
}

static bool is_type(const struct node *n, const char *type)
{
    return n->device_type.value != NULL && kc_fdt_has_string(&n->device_type, type);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static kc_status_t take_cpu(struct reader *r, const struct node *n, const struct node *parent)
{
    kc_pa_range_t reg = {{0}, 0};
    kc_status_t s = reg_entry(r, n, parent, 0, &reg);
    if (s != KC_OK) {
        return s == KC_ERR_ABSENT ? refuse(r, n->name, "a reg with the CPU's affinity", s) : s;
    }
    uint64_t mpidr = kc_pa_raw(reg.base);
    struct kc_board *b = r->board;
    b->cpus_in_tree++;
    if ((mpidr & ~MPIDR_AFFINITY) != 0) {
        return refuse(r, n->name, "affinity fields alone in a CPU's reg", KC_ERR_RANGE);
    }
    if (mpidr == r->boot_mpidr) {
        if (r->boot_cpu_seen) {
            return refuse(r, n->name, "each CPU once", KC_ERR_RANGE);
        }
        r->boot_cpu_seen = true;
        return KC_OK; /* place 0 is its own */
    }
    for (uint32_t i = 1; i < b->cpu_count; i++) {
        if (b->mpidr[i] == mpidr) {
            return refuse(r, n->name, "each CPU once", KC_ERR_RANGE);
        }
    }
    if (b->cpu_count < KC_CPUS_MAX) {
        b->mpidr[b->cpu_count++] = mpidr;
    }
    return KC_OK;
}

static kc_status_t take_uart(struct reader *r, const struct node *n, const struct node *parent)
{
    if (r->board->uart.size != 0) {
        return KC_OK; /* the first one is the console */
    }
    kc_status_t s = reg_entry(r, n, parent, 0, &r->board->uart);
    if (s == KC_OK && r->board->uart.size < 0x1000) {
        return refuse(r, n->name, "a PL011 of at least 4096 bytes", KC_ERR_RANGE);
    }
    return s == KC_ERR_ABSENT ? refuse(r, n->name, "a reg with the UART's registers", s) : s;
}

static kc_status_t take_gic(struct reader *r, const struct node *n, const struct node *parent,
                            uint32_t version)
{
    struct kc_board *b = r->board;
    if (b->gic_version != 0) {
        return refuse(r, n->name, "one interrupt controller", KC_ERR_UNSUPPORTED);
    }
    b->gic_version = version;
    for (uint32_t i = 0; i < 2; i++) {
        kc_status_t s = reg_entry(r, n, parent, i, &b->gic[i]);
        if (s != KC_OK) {
            return s == KC_ERR_ABSENT ? refuse(r, n->name, "two reg entries", s) : s;
        }
    }
    if (b->gic[0].size < 0x1000 || b->gic[1].size < (version == 3 ? 0x20000u : 0x1000u)) {
        return refuse(r, n->name, "register blocks of a GIC's size", KC_ERR_RANGE);
    }
    return KC_OK;
}

static kc_status_t take_timer(struct reader *r, const struct node *n)
{
    /* Four interrupts of three cells each: secure, non-secure, virtual, hypervisor. */
    if (n->interrupts.bytes < 36) {
        return refuse(r, n->name, "three cells for each of three interrupts", KC_ERR_RANGE);
    }
    uint32_t type = kc_fdt_u32(n->interrupts.value + 24),
             number = kc_fdt_u32(n->interrupts.value + 28);
    if (type != 1 || number > 15) {
        return refuse(r, n->name, "a private interrupt for the virtual timer", KC_ERR_RANGE);
    }
    r->board->timer_intid = PPI_FIRST + number;
    return KC_OK;
}

static kc_status_t take_psci(struct reader *r, const struct node *n)
{
    if (n->method.value != NULL && kc_fdt_has_string(&n->method, "hvc")) {
        r->board->psci = KC_BOARD_PSCI_HVC;
    } else if (n->method.value != NULL && kc_fdt_has_string(&n->method, "smc")) {
        r->board->psci = KC_BOARD_PSCI_SMC;
    } else {
        return refuse(r, n->name, "method hvc or smc", KC_ERR_UNSUPPORTED);
    }
    return KC_OK;
}

/* `no-map` and `reusable` exclude each other (3.5.4 of the specification). */
static kc_status_t take_reserved(struct reader *r, const struct node *n, const struct node *parent)
{
    if (n->no_map && n->reusable) {
        return refuse(r, n->name, "no-map or reusable, not both", KC_ERR_ARG);
    }
    return each_reg(r, n, parent, n->no_map ? KC_BOOT_NOMAP : KC_BOOT_RESERVED);
}

static kc_status_t take_node(struct reader *r, uint32_t depth)
{
    const struct node *n = &r->node[depth], *parent = &r->node[depth - 1];
    if (depth == 3 && named(parent, "cpus")) {
        return is_type(n, "cpu") ? take_cpu(r, n, parent) : KC_OK;
    }
    if (depth == 3 && named(parent, "reserved-memory")) {
        return is_okay(n) ? take_reserved(r, n, parent) : KC_OK;
    }
    if (depth != 2 || !is_okay(n)) {
        return KC_OK;
    }
    if (is_type(n, "memory")) {
        return each_reg(r, n, parent, KC_BOOT_RAM);
    }
    if (is_compatible(n, "arm,pl011")) {
        return take_uart(r, n, parent);
    }
    if (is_compatible(n, "arm,gic-v3")) {
        return take_gic(r, n, parent, 3);
    }
    if (is_compatible(n, "arm,cortex-a15-gic") || is_compatible(n, "arm,gic-400")) {
        return take_gic(r, n, parent, 2);
    }
    if (is_compatible(n, "arm,armv8-timer")) {
        return take_timer(r, n);
    }
    if (is_compatible(n, "arm,psci-0.2") || is_compatible(n, "arm,psci-1.0")) {
        return take_psci(r, n);
    }
    return KC_OK;
}

/* ---- properties ----------------------------------------------------------------------------- */

static void take_seed(struct kc_board *b, const struct kc_fdt_item *p)
{
    for (uint32_t i = 0; i < p->bytes && b->seed_bytes < KC_BOARD_SEED_BYTES; i++) {
        b->seed[b->seed_bytes++] = p->value[i];
    }
}

static kc_status_t take_chosen(struct reader *r, const struct kc_fdt_item *p)
{
    if (kc_fdt_same(p->name, "bootargs")) {
        if (p->bytes == 0 || p->value[p->bytes - 1] != 0) {
            return refuse(r, "chosen", "terminated bootargs", KC_ERR_RANGE);
        }
        if (p->bytes > KC_BOOT_CMDLINE_MAX) {
            return refuse(r, "chosen", "bootargs of at most 511 characters", KC_ERR_RANGE);
        }
        for (uint32_t i = 0; i < p->bytes; i++) {
            r->info->cmdline[i] = (char)p->value[i];
        }
    } else if (starts_with(p->name, "linux,initrd-")) {
        if (p->bytes != 4 && p->bytes != 8) {
            return refuse(r, "chosen", "an initrd address of one or two cells", KC_ERR_RANGE);
        }
        uint64_t v = cells(p->value, p->bytes / 4);
        if (kc_fdt_same(p->name, "linux,initrd-start")) {
            r->initrd_start = v;
            r->initrd_start_seen = true;
        } else if (kc_fdt_same(p->name, "linux,initrd-end")) {
            r->initrd_end = v;
            r->initrd_end_seen = true;
        }
    } else if (kc_fdt_same(p->name, "rng-seed") || kc_fdt_same(p->name, "kaslr-seed")) {
        take_seed(r->board, p);
    }
    return KC_OK;
}

static kc_status_t take_property(struct reader *r, const struct kc_fdt_item *p)
{
    struct node *n = &r->node[p->depth];
    if (kc_fdt_same(p->name, "#address-cells") || kc_fdt_same(p->name, "#size-cells")) {
        if (p->bytes != 4) {
            return refuse(r, n->name, "a number of cells in one cell", KC_ERR_RANGE);
        }
        uint32_t v = kc_fdt_u32(p->value);
        if (p->name[1] == 'a') {
            n->address_cells = v;
        } else {
            n->size_cells = v;
        }
        return KC_OK;
    }
    if (kc_fdt_same(p->name, "reg")) {
        n->reg = *p;
    } else if (kc_fdt_same(p->name, "compatible")) {
        n->compatible = *p;
    } else if (kc_fdt_same(p->name, "device_type")) {
        n->device_type = *p;
    } else if (kc_fdt_same(p->name, "status")) {
        n->status = *p;
    } else if (kc_fdt_same(p->name, "method")) {
        n->method = *p;
    } else if (kc_fdt_same(p->name, "interrupts")) {
        n->interrupts = *p;
    } else if (kc_fdt_same(p->name, "no-map")) {
        n->no_map = true;
    } else if (kc_fdt_same(p->name, "reusable")) {
        n->reusable = true;
    }
    if (p->depth == 2 && named(n, "chosen")) {
        return take_chosen(r, p);
    }
    return KC_OK;
}

static kc_status_t walk(struct reader *r)
{
    static const struct kc_fdt_item none = {KC_FDT_DONE, 0, "", NULL, 0};
    uint32_t cursor = 0;
    for (;;) {
        struct kc_fdt_item item;
        kc_fdt_next(&r->fdt, &cursor, &item);
        switch (item.token) {
        case KC_FDT_NODE: {
            struct node *n = &r->node[item.depth];
            n->name = item.name;
            n->reg = n->compatible = n->device_type = n->status = none;
            n->method = n->interrupts = none;
            n->address_cells = 2; /* the specification's defaults (2.3.5) */
            n->size_cells = 1;
            n->no_map = n->reusable = false;
            break;
        }
        case KC_FDT_PROP:
            (void)take_property(r, &item); /* r->first keeps what is wrong */
            break;
        case KC_FDT_NODE_END:
            (void)take_node(r, item.depth);
            break;
        case KC_FDT_DONE:
        default:
            return r->first;
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------ */

static kc_status_t take_reservations(struct reader *r)
{
    uint64_t base = 0, size = 0;
    for (uint32_t i = 0; kc_fdt_reserved(&r->fdt, i, &base, &size); i++) {
        kc_status_t s =
            add(r, "memory reservations", kc_pa_range(kc_pa(base), size), KC_BOOT_RESERVED);
        if (s != KC_OK) {
            return s;
        }
    }
    return KC_OK;
}

static kc_status_t take_initrd(struct reader *r)
{
    if (!r->initrd_start_seen && !r->initrd_end_seen) {
        return KC_OK;
    }
    if (!r->initrd_start_seen || !r->initrd_end_seen || r->initrd_end < r->initrd_start) {
        return refuse(r, "chosen", "an initrd that ends behind its start", KC_ERR_RANGE);
    }
    r->board->initrd = kc_pa_range(kc_pa(r->initrd_start), r->initrd_end - r->initrd_start);
    return add(r, "chosen", r->board->initrd, KC_BOOT_INITRD);
}

static kc_status_t what_is_needed(struct reader *r)
{
    const struct kc_board *b = r->board;
    if (!r->boot_cpu_seen) {
        return refuse(r, "cpus", "the CPU that boots", KC_ERR_ABSENT);
    }
    if (b->uart.size == 0) {
        return refuse(r, "/", "an arm,pl011", KC_ERR_ABSENT);
    }
    if (b->gic_version == 0) {
        return refuse(r, "/", "an interrupt controller arm,gic-v3 or arm,cortex-a15-gic",
                      KC_ERR_ABSENT);
    }
    if (b->timer_intid == 0) {
        return refuse(r, "/", "a timer arm,armv8-timer", KC_ERR_ABSENT);
    }
    if (b->cpu_count > 1 && b->psci == KC_BOARD_PSCI_NONE) {
        return refuse(r, "/", "a psci node, with more than one CPU", KC_ERR_ABSENT);
    }
    for (uint32_t i = 0; i < r->info->range_count; i++) {
        if (r->info->range[i].kind == KC_BOOT_RAM) {
            return KC_OK;
        }
    }
    return refuse(r, "/", "a memory node with some memory", KC_ERR_ABSENT);
}

static kc_status_t add_devices(struct reader *r)
{
    struct kc_board *b = r->board;
    kc_pa_range_t second = b->gic[1];
    uint64_t used = (uint64_t)b->cpus_in_tree * 0x20000; /* two 64 KiB frames each */
    if (b->gic_version == 3 && second.size > used) {
        second.size = used;
    }
    kc_status_t s = add(r, "pl011", b->uart, KC_BOOT_MMIO);
    if (s == KC_OK) {
        s = add(r, "intc", b->gic[0], KC_BOOT_MMIO);
    }
    if (s == KC_OK) {
        s = add(r, "intc", second, KC_BOOT_MMIO);
    }
    return s;
}

kc_status_t kc_dt_read(const void *dtb, kc_pa_t dtb_pa, uint64_t limit, uint64_t boot_mpidr,
                       struct kc_boot_info *info, struct kc_board *board, struct kc_dt_error *e)
{
    struct reader r;
    struct kc_fdt_error fe = {"", 0};
    __builtin_memset(&r, 0, sizeof r);
    __builtin_memset(info, 0, sizeof *info);
    __builtin_memset(board, 0, sizeof *board);
    r.info = info;
    r.board = board;
    r.e = e;
    r.boot_mpidr = boot_mpidr & MPIDR_AFFINITY;
    r.node[0].name = "";
    info->version = KC_BOOT_VERSION;
    board->mpidr[0] = r.boot_mpidr;
    board->cpu_count = 1;

    kc_status_t s = kc_fdt_open(&r.fdt, dtb, limit, &fe);
    if (s != KC_OK) {
        (void)refuse(&r, "(blob)", fe.what, s);
        e->offset = fe.offset;
        return s;
    }
    s = walk(&r);
    if (s == KC_OK) {
        s = take_reservations(&r);
    }
    if (s == KC_OK) {
        s = take_initrd(&r);
    }
    if (s == KC_OK) {
        s = what_is_needed(&r);
    }
    if (s == KC_OK) {
        s = add_devices(&r);
    }
    if (s == KC_OK) {
        s = add(&r, "(blob)", kc_pa_range(dtb_pa, r.fdt.size), KC_BOOT_DTB);
    }
    info->cpu_count = board->cpu_count;
    return s;
}
