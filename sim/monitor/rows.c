/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rows.c: the list of rows, judged and not yet judged: what is printed by `ksim checks`, and from
 * there becomes the table of docs/checks.md (tools/checks_table.py).
 */
#include <string.h>

#include "monitor_priv.h"

/* How far a row sees at a speed. */
#define STEPS      .native = "yes", .exact = "yes"
#define FIRST_USES .native = "first touch", .exact = "every"

static const struct mon_row_info list[] = {
    {"T1", "valid to valid with another output address",
     .when = "valid to valid with another output address, or a pointer to another table",
     .at = "store", STEPS},
    {"T2", "valid to valid with another memory type or shareability",
     .when = "valid to valid with another memory type or shareability", .at = "store", STEPS},
    {"T3", "table to block, or block to table, beyond the CPU's BBM level",
     .when = "table to block or block to table, beyond the CPU's BBM level "
             "(`ID_AA64MMFR2_EL1.BBM`)",
     .at = "store", STEPS},
    {"T4", "contiguous group edited while live, not uniform, or misaligned",
     .when =
         "contiguous bit: a live entry of a group edited, an output address that does not lie in "
         "its group of 16 as the input address does, or a group used while its 16 entries do "
         "not agree",
     .at = "store; fill", STEPS},
    {"T5", "non-global to global while the non-global entries live",
     .when = "a leaf becomes global while its non-global entry may be cached: live, or broken but "
             "not invalidated",
     .at = "store", STEPS},
    {"T6", "re-made, or declared finished, before the TLBI was completed",
     .when = "re-made, or the lock of the tables released, before the TLBI was completed by a DSB",
     .at = "store, `LOCK_RELEASED`", STEPS},
    {"T7", "TLBI before the invalidating store is visible",
     .when = "the same, because no DSB stood between the store and the TLBI", .at = "as T6", STEPS},
    {"T8", "local TLBI or non-shareable DSB where other CPUs share the tables",
     .when = "the same, because the TLBI was local, or completed by DSB NSH, while other CPUs may "
             "hold it",
     .at = "as T6", STEPS},
    {"T9", "TLBI operand wrong",
     .when = "the same, because the operand named another address, ASID, level or granule, or a "
             "short range",
     .at = "as T6", STEPS},
    {"T10", "last-level-only TLBI after a table descriptor changed",
     .when = "the same, because only the last level was invalidated after a table descriptor "
             "changed",
     .at = "as T6", STEPS},
    {"T11", "no DSB and ISB before the first access that depends on a new mapping",
     .when = "first access through a descriptor this CPU made, with no DSB and then ISB since, "
             "whether it is served or faults",
     .at = "use, fault", FIRST_USES},
    {"T12", "translation register changed under live entries without its ISB or invalidation",
     .when = "an access that old and new value of `TTBRn`, `TCR`, `MAIR` or `SCTLR.WXN` serve "
             "differently: with no ISB since the write; or, unless ASIDs tell the entries apart, "
             "with no TLBI of everything issued after that ISB and completed",
     .at = "use, fault", FIRST_USES},
    {"T13", "descriptor written by something other than one atomic store",
     .when = "a plain store to a table that a CPU can walk", .at = "plain store", FIRST_USES},
    {"T14", "malformed descriptor",
     .when = "reserved bits, reserved shareability or memory type, misaligned or too large output "
             "address",
     .at = "store", STEPS},
    {"T15", "table written without its lock",
     .when = "a live table is written while this CPU does not hold the lock of its owner "
             "(`KC_NOTE_PT_LOCK`)",
     .at = "store", STEPS},
    {"T16", "access served by an entry whose descriptor has changed since",
     .when = "an access gets through a stale entry what the tables no longer give", .at = "use",
     FIRST_USES},
    {"T17", "write through a stale writable entry after the page became read-only",
     .when = "a write goes through a stale writable entry of a page that is read-only now",
     .at = "use", FIRST_USES},
    {"T18", "walk through a cached table descriptor whose table was freed or reused",
     .when = "a walk goes through a cached table descriptor into a page that was freed or reused",
     .at = "fill", STEPS},
    {"T19", "page freed while a TLB may still hold it",
     .when =
         "a page is freed that a TLB may still hold, or that is still mapped outside the linear "
         "and identity maps; or a root is put to use that maps a page which was freed meanwhile",
     .at = "`FRAME_FREE`, TTBR write", STEPS},
    {"T20", "table page freed while reachable or while walks through it are cached",
     .when = "a table page is freed while reachable, or while walks through it may be cached",
     .at = "`FRAME_FREE`, reuse", STEPS},
    {"T21", "ASID reused while entries of its former owner live",
     .when = "an ASID goes to a root (TTBR0, or the first entry of a root that is there already) "
             "while this CPU's TLB may hold something of another root under it",
     .at = "TTBR0 write, store", STEPS},
    {"T22", "one address may match two entries of a TLB",
     .when =
         "an access to an address for which the TLB may hold an old entry of another size, or a "
         "non-global one under a global one, beside what the tables give now; the machine "
         "raises a conflict abort or amalgamates, by the seed",
     .at = "use, fault", FIRST_USES},
    {"T23", "code written and then executed without cache maintenance and ISB",
     .not_yet = "the machine has no caches, and instruction fetch is pretended"},
    {"T24", "software descriptor write races the hardware's access flag or dirty update",
     .not_yet = "the machine does no hardware update, and its ID registers say so"},
    {"T25", "a walker may cache any valid entry at any time and never an invalid one",
     .when =
         "the premise of all others, judged of the machine: an entry was filled from an invalid "
         "descriptor, or from a value that is neither in memory nor one that this CPU may "
         "still hold",
     .at = "store, fill", STEPS},
    {"T26", "table read or written through a stale mapping of the table itself",
     .when = "T16, where the stale entry leads, or should lead, to a translation table; also the "
             "linear map's own entry at a descriptor access through the seam",
     .at = "use, seam access", FIRST_USES},
    {"T27", "table mapped to write or to users, or a page to write and execute",
     .when = "a table mapped to EL0, or writable outside linear and identity maps; a page writable "
             "and executable, by one mapping or by two",
     .at = "store, `TABLE`", STEPS},
    {"T28", "guard page or dead stack reached through a stale entry",
     .when =
         "T16, where the address is a guard (the page beside a `STACK`) or a stack that is gone",
     .at = "use", FIRST_USES},
    {"T29", "T16 to T22 for the SMMU's IOTLB", .not_yet = "the machine has no SMMU and no devices"},
    {"T30", "barrier or invalidation that costs more than its work needs",
     .when = "cost lint, no violation: a TLBI that takes nothing away, ALL or by ASID where a few "
             "by address would do, a DSB that waits for more than was outstanding",
     .at = "TLBI, DSB", STEPS, .lint = true},
    {"R1", "data race: two CPUs, one of them writing, and nothing orders them",
     .when = "two CPUs touch a byte, one writes and one plainly, and no memory order that the "
             "software states lies between (`docs/simulator.md`)",
     .at = "every access", .native = "no", .exact = "yes"},
};

#define LIST_COUNT (sizeof(list) / sizeof(list[0]))

const struct mon_row_info *mon_row_info(uint32_t i)
{
    return i < LIST_COUNT ? &list[i] : NULL;
}

/* The judged rows stand in the list in the order of the enumeration. */
static const struct mon_row_info *info_of(enum mon_row row)
{
    uint32_t left = (uint32_t)row;
    for (uint32_t i = 0; i < LIST_COUNT; i++) {
        if (list[i].not_yet == NULL && left-- == 0) {
            return &list[i];
        }
    }
    return NULL;
}

const char *mon_row_name(enum mon_row row)
{
    static const char *const names[MON_ROW_COUNT] = {
#define NAME(id) #id,
        MON_ROWS(NAME)
#undef NAME
    };
    return names[row];
}

const char *mon_row_text(enum mon_row row)
{
    return info_of(row)->text;
}

bool mon_row_is_lint(enum mon_row row)
{
    return info_of(row)->lint;
}

bool mon_row_find(const char *name, enum mon_row *out)
{
    for (uint32_t i = 0; i < MON_ROW_COUNT; i++) {
        if (strcmp(mon_row_name((enum mon_row)i), name) == 0) {
            *out = (enum mon_row)i;
            return true;
        }
    }
    return false;
}
