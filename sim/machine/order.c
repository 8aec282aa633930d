/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * order.c: the atomic operations of the code under test that state an order, each by the place from
 * which it is called, and the wish to have some of them taken for relaxed.
 *
 * Sites are numbered from 1 as they are first executed; a number means the same place in every run
 * with the same program, options and seed, for weakening a site changes no schedule (race.c, I3).
 */
#define _GNU_SOURCE
#include <elf.h>
#include <string.h>

#include "../monitor/map.h"
#include "machine_priv.h"
#include "race.h"

#define SITES_MAX  4096u
#define ORDER_MASK 7 /* above it are hints of the compiler */

struct site {
    uint32_t code;
    enum race_op op;
    int order;
    uint64_t times;
    bool weak;
};

static struct {
    struct site site[SITES_MAX];
    uint32_t count;
    struct map of_code; /* to its site */
    bool weak[SITES_MAX];
    uint32_t weak_orders; /* bit of each order of the compiler's */
} orders;

static const char *const order_names[] = {
    [__ATOMIC_RELAXED] = "relaxed", [__ATOMIC_CONSUME] = "consume", [__ATOMIC_ACQUIRE] = "acquire",
    [__ATOMIC_RELEASE] = "release", [__ATOMIC_ACQ_REL] = "acq_rel", [__ATOMIC_SEQ_CST] = "seq_cst"};

extern const char __executable_start[]; /* the linker's */

uint32_t order_code(const void *pc)
{
    return pc == NULL ? 0 : (uint32_t)((uintptr_t)pc - (uintptr_t)__executable_start) - 1;
}

int order_of(const void *caller, enum race_op op, int order)
{
    order &= ORDER_MASK;
    if (order == __ATOMIC_RELAXED || sim.cur->user.inside) {
        return order;
    }
    uint32_t code = order_code(caller);
    struct site *s = map_get(&orders.of_code, code);
    if (s == NULL && orders.count < SITES_MAX) {
        s = &orders.site[orders.count];
        *s = (struct site){.code = code, .op = op, .order = order};
        s->weak = orders.weak[orders.count++] || (orders.weak_orders >> order & 1) != 0;
        map_put(&orders.of_code, code, s);
    }
    if (s == NULL) {
        return order;
    }
    s->times++;
    return s->weak ? __ATOMIC_RELAXED : order;
}

bool machine_weaken(const char *what)
{
    for (uint32_t i = __ATOMIC_ACQUIRE; i <= __ATOMIC_SEQ_CST; i++) {
        if (strcmp(what, order_names[i]) == 0) {
            orders.weak_orders |= 1u << i;
            return true;
        }
    }
    for (;;) {
        char *end;
        unsigned long k = strtoul(what, &end, 10);
        if (*what < '0' || *what > '9' || k == 0 || k > SITES_MAX || (*end != 0 && *end != ',')) {
            return false;
        }
        orders.weak[k - 1] = true;
        if (*end == 0) {
            return true;
        }
        what = end + 1;
    }
}

void machine_write_orders(FILE *to)
{
    static const char *const ops[] = {
        [RACE_LOAD] = "load", [RACE_STORE] = "store", [RACE_RMW] = "rmw"};
    for (uint32_t i = 0; i < orders.count; i++) {
        const struct site *s = &orders.site[i];
        char where[60];
        order_code_name(s->code, where, sizeof where);
        fprintf(to, "%u 0x%x %s %s %llu %s %s\n", i + 1, s->code, ops[s->op], order_names[s->order],
                (unsigned long long)s->times, s->weak ? "weak" : "-", where);
    }
}

/* ---- names of code -------------------------------------------------------------------------- */

/* The symbol table of this program, read once; empty where it was stripped. */
static struct {
    bool read;
    uint8_t *file;
    uint64_t first; /* address at which the image begins */
    const Elf64_Sym *symbol;
    uint64_t count;
    const char *text;
} names;

static uint8_t *whole_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *all = NULL;
    if (f != NULL && fseek(f, 0, SEEK_END) == 0) {
        long size = ftell(f);
        all = size > 0 ? malloc((size_t)size) : NULL;
        rewind(f);
        if (all != NULL && fread(all, 1, (size_t)size, f) != (size_t)size) {
            free(all);
            all = NULL;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return all;
}

static void read_names(void)
{
    names.read = true;
    names.file = whole_file("/proc/self/exe");
    const Elf64_Ehdr *e = (const void *)names.file;
    if (e == NULL || memcmp(e->e_ident, ELFMAG, SELFMAG) != 0 ||
        e->e_ident[EI_CLASS] != ELFCLASS64) {
        return;
    }
    const Elf64_Phdr *load = (const void *)(names.file + e->e_phoff);
    names.first = UINT64_MAX;
    for (uint32_t i = 0; i < e->e_phnum; i++) {
        if (load[i].p_type == PT_LOAD && load[i].p_vaddr < names.first) {
            names.first = load[i].p_vaddr;
        }
    }
    const Elf64_Shdr *section = (const void *)(names.file + e->e_shoff);
    for (uint32_t i = 0; i < e->e_shnum; i++) {
        if (section[i].sh_type == SHT_SYMTAB) {
            names.symbol = (const void *)(names.file + section[i].sh_offset);
            names.count = section[i].sh_size / sizeof *names.symbol;
            names.text = (const char *)names.file + section[section[i].sh_link].sh_offset;
        }
    }
}

static bool name_symbol(uint32_t type, uint64_t offset, char *out, size_t room)
{
    if (!names.read) {
        read_names();
    }
    uint64_t address = names.first + offset;
    for (uint64_t i = 0; i < names.count; i++) {
        const Elf64_Sym *s = &names.symbol[i];
        if (ELF64_ST_TYPE(s->st_info) == type && address - s->st_value < s->st_size) {
            snprintf(out, room, "%s+0x%llx", names.text + s->st_name,
                     (unsigned long long)(address - s->st_value));
            return true;
        }
    }
    return false;
}

void order_code_name(uint32_t code, char *out, size_t room)
{
    if (!name_symbol(STT_FUNC, code, out, room)) {
        snprintf(out, room, "+0x%x", code);
    }
}

void order_data_name(const void *p, char *out, size_t room)
{
    if (!name_symbol(STT_OBJECT, (uintptr_t)p - (uintptr_t)__executable_start, out, room)) {
        snprintf(out, room, "a stack"); /* where it lies is the host's choice, of every run anew */
    }
}
