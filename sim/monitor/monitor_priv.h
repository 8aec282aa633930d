/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of sim/monitor/ share. The theory is in monitor.c. */
#ifndef SIM_MONITOR_PRIV_H
#define SIM_MONITOR_PRIV_H

#include "map.h"
#include "monitor.h"
#include "vmsa.h"

#define SEEN_SLOTS    1024u /* per CPU: entries found good, by seq */
#define DEBTS_MAX     8u    /* per CPU: register writes whose old values may matter (T12) */
#define GONE_MAX      16u   /* per debt: ranges invalidated since */
#define SUBTREE_MAX   1024u /* leaves followed beneath one removed table */
#define FILTER_WORDS  1024u
#define ROOT_IN_USE   UINT64_MAX
#define LEVEL_UNKNOWN (-1)

/* One page that is, or was, a translation table. */
struct table {
    uint64_t pa;
    uint64_t parent;            /* descriptor that points here; 0: none or root */
    uint64_t freed_at;          /* clock when it was given back; 0: never since it was noted */
    const void *owner;          /* as noted; NULL: unknown */
    int level;                  /* LEVEL_UNKNOWN until it was reached from a root */
    bool noted;                 /* NOTE_TABLE or NOTE_ROOT, and no TABLE_FREE since */
    bool linked;                /* parent points here */
    bool root;                  /* in a TTBR at some time */
    bool high;                  /* root of TTBR1 */
    uint32_t walks;             /* pending changes of table descriptors that led here */
    uint8_t hold;               /* root: CPUs whose TLB may hold something of it */
    uint64_t used[KC_CPUS_MAX]; /* root: order when the CPU left it; ROOT_IN_USE: it has not */
    uint16_t asid;              /* root: ASID of its latest use */
    bool asids;       /* root: walked under several ASIDs since everything was invalidated */
    uint32_t va_bits; /* root */
    struct table *next_root;
};

/* Why a change is not over, in the order in which explanations are preferred. */
enum reason {
    R_NO_TLBI,       /* none was issued */
    R_WRONG_VA,      /* one was, but for an address that nobody changed */
    R_RANGE_SHORT,   /* a range operation ended too soon */
    R_WRONG_ASID,    /* right address, wrong ASID (or by ASID for a global entry) */
    R_WRONG_LEVEL,   /* TTL hint or granule wrong */
    R_LAST_LEVEL,    /* last-level form after a table descriptor changed */
    R_BEFORE_DSB,    /* issued before the store was visible */
    R_LOCAL,         /* not broadcast */
    R_NARROW_DSB,    /* broadcast, but completed by a DSB NSH */
    R_NOT_COMPLETED, /* no DSB since */
    R_COUNT
};

struct attempt {
    enum reason reason;
    enum kc_tlbi op;
    uint64_t operand;
    uint64_t at; /* clock */
    uint32_t cpu;
};

/* One descriptor value that TLBs may still hold although memory holds another: the automaton. */
struct change {
    struct change *prev, *next; /* all pending ones, oldest first */
    struct change *same;        /* next newer of the same key */
    uint64_t key;               /* descriptor whose store made it stale */
    uint64_t desc_pa;           /* descriptor that is cached: key, or a leaf beneath it */
    uint64_t va, span;
    uint64_t old_value, new_value; /* of desc_pa; new is 0 for what lies beneath a removed table */
    uint64_t at;                   /* clock of the store */
    uint64_t order;                /* the monitor's own count of events */
    uint64_t stamp;                /* the changer's component of its vector clock */
    struct table *root;
    int level;
    uint32_t cpu; /* changer */
    bool leaf;
    bool global;
    bool visible;   /* a DSB of the changer's, at least Inner Shareable, followed the store */
    bool visible_n; /* a DSB NSH did */
    bool published; /* the changer has released the table's lock since */
    uint16_t asid;
    bool asids;                  /* may be cached under several: by-ASID forms do not suffice */
    uint8_t left;                /* CPUs that may still hold it */
    uint8_t issued[KC_CPUS_MAX]; /* by issuer: CPUs that a TLBI not yet completed will clear */
    uint32_t dsb_site;           /* the DSB that made it visible, and how many did since */
    uint32_t dsbs;
    uint32_t tlbi_site; /* the TLBI that counted, and how many did */
    uint32_t tlbis;
    struct attempt done;  /* latest TLBI that counted */
    struct attempt tried; /* best of those that did not */
    uint64_t weak_at;     /* clock of a DSB that could not complete it; 0: none */
    enum kc_barrier weak;
};

/* Last store to a descriptor of a live table. */
struct history {
    uint64_t at, order;
    uint64_t old_value, new_value;
    uint64_t made_order; /* order of the last store that turned invalid into valid; 0: none */
    uint32_t cpu;
    uint32_t made_cpu;
    uint32_t break_site;
    uint64_t broken_value; /* what the break took away */
    bool broken;           /* was valid once and was made invalid */
};

/* One mutable seam call, if config.sites asks for them. */
enum site_role {
    SITE_BUILD,    /* store to a table that no CPU can walk */
    SITE_MAKE,     /* store: invalid to valid, live: its absence is a fault, not a row */
    SITE_BREAK,    /* store that takes something away, live */
    SITE_REWRITE,  /* store of what is there already, or of software bits */
    SITE_ORDER,    /* DSB after a store, or ISB after such a DSB */
    SITE_COMPLETE, /* DSB after a TLBI */
    SITE_FLUSH,    /* TLBI that no pending change needs */
    SITE_COVER,    /* TLBI that a pending change needs */
    SITE_OTHER     /* barrier that orders nothing which the rows judge */
};

struct site {
    const char *kind; /* "store", or the instruction */
    uint32_t cpu;
    enum site_role role;
    int row; /* enum mon_row; -1: nothing needed it */
};

/* Mappings of live tables by their output address, for T19: a page that is freed while mapped. */
struct mapping {
    uint64_t desc_pa;
    uint64_t value;
    uint32_t break_site; /* store that took it away; 0: it is there */
    uint64_t freed_at; /* clock when the page was freed beneath a root out of use; 0: it was not */
};

struct lock {
    uint64_t vc[KC_CPUS_MAX];
    uint32_t holder; /* CPU that holds it, plus 1; 0: nobody */
    bool taken;      /* ever */
    bool of_tables;  /* NOTE_PT_LOCK */
};

/* An invalidation of everything, or of an ASID, that no DSB has completed. */
struct flush {
    bool all;
    uint16_t asid;
    uint8_t targets;
    uint64_t order; /* when it was issued, */
    uint32_t site;  /*   and by which call */
};

/* The registers that say how an address is translated. */
struct regime {
    uint64_t sctlr, tcr, mair, ttbr[2];
};

enum debt_state {
    DEBT_WRITTEN,      /* no context synchronisation since */
    DEBT_SYNCHRONISED, /* what was cached under the old value may still be used */
    DEBT_SETTLED       /* kept until an access shows that the steps were needed (sites.c) */
};

/* A register write whose old value may still be in use: T12. */
struct debt {
    enum kc_sysreg reg;
    enum debt_state state;
    struct regime old; /* the regime that used the old value */
    uint64_t ttbr[2];  /* as they were at the write: D1 */
    uint64_t old_value, new_value;
    uint64_t at;
    uint64_t synced_order;
    uint32_t syncs; /* context synchronisations since the write */
    uint32_t sync_site, flush_site;
    bool local_gone; /* a TLBI by ASID was issued */
    uint32_t gone_count;
    struct {
        uint64_t base, size;
    } gone[GONE_MAX];
};

struct cpu_state {
    bool on;
    uint64_t vc[KC_CPUS_MAX];
    uint64_t dsb_order;  /* of the last DSB that waits for stores */
    uint64_t dsb_before; /* of the one before that */
    uint64_t sync_before;
    uint32_t dsb_site, sync_site, complete_site;
    uint64_t sync_order; /* stores before this order are seen by this CPU's walks for certain */
    struct flush *flush;
    uint32_t flush_count, flush_room;
    bool walked;        /* the MMU has been on */
    struct regime held; /* with what, the last time */
    struct debt debt[DEBTS_MAX];
    uint32_t debt_count;
    bool leaving; /* a root was taken from a TTBR and no context synchronisation followed */
    uint64_t stored_order; /* of the last store to a live table */
    uint32_t tlbis_issued; /* since the last DSB that completes them */
    bool changed;          /* recorded a change since it last released a lock of tables */
    struct {
        uint64_t seq, va, epoch;
    } seen[SEEN_SLOTS];
};

/* A leaf that lets code run: T27. */
struct exec {
    uint64_t desc_pa, oa, span;
};
#define EXEC_MAX 1024u

/* A stack as noted; its guards are the pages beside it: T28. */
struct stack {
    uint64_t va, bytes;
    bool live;
};
#define STACKS_MAX 64u

/* A leaf whose rights were widened: a TLBI may follow, and need not. */
struct widened {
    uint64_t va, span; /* span 0: none */
};
#define WIDENED_MAX 64u

struct monitor {
    struct mon_config config;
    enum mon_policy policy[MON_ROW_COUNT];
    uint64_t judgements[MON_ROW_COUNT];
    uint64_t violations[MON_ROW_COUNT];
    uint32_t kept_of_row[MON_ROW_COUNT];
    struct mon_report **report;
    size_t report_count, report_room;
    struct map report_of; /* dedupe key to report */

    struct map tables; /* page address to struct table */
    uint64_t filter[FILTER_WORDS];
    struct table *roots;
    struct map changes; /* key to oldest pending change */
    struct change *oldest, *newest;
    uint64_t pending;
    struct map histories; /* descriptor address to struct history */
    struct map locks;     /* lock address to struct lock */
    struct map lock_of;   /* owner to address of its tables' lock */
    struct map mappings;  /* output address and size class to struct mapping */
    struct exec exec[EXEC_MAX];
    uint32_t exec_count;
    struct stack stack[STACKS_MAX];
    uint32_t stack_count;
    struct widened widened[WIDENED_MAX];
    uint32_t widened_next;
    uint64_t lint[MON_LINT_COUNT];
    uint32_t orphans; /* mappings whose page was freed while no CPU could reach their root */
    struct site *site;
    uint32_t site_count, site_room;
    uint64_t order;
    uint64_t epoch;
    struct cpu_state cpu[KC_CPUS_MAX];
};

/* ---- tables.c: which page is a table of what ------------------------------------------------- */

struct translation {
    bool valid;
    uint32_t step_count;
    uint64_t step[5]; /* addresses of the descriptors read */
    uint64_t pa;      /* of the address asked for */
    uint64_t leaf;
    uint64_t over; /* hierarchical bits */
    int level;
};

static inline uint8_t cpu_bit(uint32_t cpu)
{
    return (uint8_t)(1u << cpu);
}

static inline uint64_t page_of(uint64_t pa)
{
    return pa & ~(VM_PAGE - 1);
}

/** A store to the page is somebody's business: it is a table, or walks to it may be cached. */
static inline bool is_watched(const struct table *t)
{
    return t != NULL && (t->noted || t->linked || t->root || t->walks != 0);
}

static inline const struct history *history_of(const struct monitor *m, uint64_t desc_pa)
{
    return map_get(&m->histories, desc_pa);
}

/** Where a page of that size class appears: blocks and pages do not share a key. */
static inline uint64_t mapping_key(uint64_t oa, int level)
{
    return oa | (uint64_t)(level & 3);
}

uint64_t mon_clock(const struct monitor *m);
uint64_t mem_read(const struct monitor *m, uint64_t pa);
uint64_t reg_read(const struct monitor *m, uint32_t cpu, enum kc_sysreg reg);
struct table *table_find(const struct monitor *m, uint64_t pa);
struct table *table_make(struct monitor *m, uint64_t pa);
/** The root that a table is reached from, if any CPU may hold something of it; else NULL. */
struct table *table_live_root(const struct monitor *m, const struct table *t);
/** Input address of a descriptor in a table beneath root. */
uint64_t desc_va(const struct monitor *m, const struct table *root, uint64_t desc_pa);
/** Reach a table, and all beneath it, at a level. */
void table_connect(struct monitor *m, uint32_t cpu, struct table *t, int level, uint64_t parent);
void tables_regime(struct monitor *m, uint32_t cpu, uint64_t sctlr, uint64_t tcr, uint64_t ttbr0,
                   uint64_t ttbr1);
/** A context synchronisation: what was taken from the TTBRs before is left. */
void tables_synchronised(struct monitor *m, uint32_t cpu);
/** The root that t hangs from, live or not; NULL if it hangs from none. */
const struct table *table_root(const struct monitor *m, const struct table *t);
/** May this CPU walk that root: is it in a TTBR, its MMU on, or left without a synchronisation? */
bool root_in_use(const struct monitor *m, uint32_t cpu, const struct table *root);
struct translation translate(const struct monitor *m, uint64_t root, bool high, uint32_t va_bits,
                             uint64_t va);
void desc_check(struct monitor *m, uint32_t cpu, uint64_t desc_pa, uint64_t value, int level);
void note_table(struct monitor *m, uint32_t cpu, uint64_t base, const void *owner);

/* ---- changes.c: the automaton ---------------------------------------------------------------- */

void change_record(struct monitor *m, uint32_t cpu, struct table *root, uint64_t desc_pa, int level,
                   uint64_t old_value, uint64_t new_value);
void change_end(struct monitor *m, struct change *c);
struct change *change_first(const struct monitor *m, uint64_t key);
void changes_tlbi(struct monitor *m, uint32_t cpu, enum kc_tlbi op, uint64_t operand);
void changes_barrier(struct monitor *m, uint32_t cpu, enum kc_barrier kind);
void changes_cpu_gone(struct monitor *m, uint32_t cpu);
bool needs_break(const struct monitor *m, uint32_t cpu, uint64_t old_value, uint64_t new_value,
                 int level);
/** Old and new give the same wherever old permits anything: nobody can tell which was used. */
bool only_widens(uint64_t old_value, uint64_t new_value, int level);
enum reason change_reason(const struct change *c);
/** Row of a change that was declared over although it is not. */
enum mon_row reason_row(enum reason r);
/** The missing step in words; `until` says before what it was due. */
void change_missing(const struct change *c, const char *until, char *text);

/** Report a change that is not over, under that row; `until` as above. */
void report_of_change(struct monitor *m, enum mon_row row, uint32_t cpu, const struct change *c,
                      const char *until, const char *sentence);

/* ---- stores.c -------------------------------------------------------------------------------- */

/** A leaf of a table beneath a root is, or is about to be, there: remember what it maps. */
void mapping_record(struct monitor *m, const struct table *root, uint64_t pa, uint64_t old_value,
                    uint64_t new_value, int level, uint32_t site);

/* ---- uses.c ---------------------------------------------------------------------------------- */

/** First of the first `steps` steps of e that memory contradicts, or -1. */
int stale_step(const struct monitor *m, const struct sim_tlb_entry *e, uint32_t steps);
/** The change that made step i of an entry stale, as far as it is still pending on this CPU. */
const struct change *change_of_step(const struct monitor *m, uint32_t cpu,
                                    const struct sim_tlb_entry *e, int i);

/** T26, of a descriptor that is loaded or stored through the seam. */
void judge_own_view(struct monitor *m, uint32_t cpu, uint64_t pa);

/* ---- registers.c: T12 ------------------------------------------------------------------------ */

void registers_written(struct monitor *m, uint32_t cpu, enum kc_sysreg reg, uint64_t old_value,
                       uint64_t new_value);
void registers_synchronised(struct monitor *m, uint32_t cpu, uint32_t site);
void registers_tlbi(struct monitor *m, uint32_t cpu, const struct vm_tlbi *t);
/** A TLBI of everything, issued then, has been completed on that CPU. */
void registers_flushed(struct monitor *m, uint32_t cpu, uint64_t issued_order, uint32_t site);
/** Does some register of that CPU wait for a TLBI of everything? */
bool registers_owe(const struct monitor *m, uint32_t cpu);
void judge_registers(struct monitor *m, uint32_t cpu, const struct mon_access *a);

/* ---- lint.c: T30 ----------------------------------------------------------------------------- */

/** What a TLBI does, told before it is issued: changes it counts for, roots it retires. */
struct lint_tlbi {
    const struct vm_tlbi *t;
    enum kc_tlbi op;
    uint64_t operand;
    uint32_t
        changes;    /* not over, which it covers, not counting what lies beneath a removed table */
    uint32_t roots; /* out of use, of which a TLB may hold something */
    bool astray; /* a change of this CPU waits for a TLBI, and this is none for it: not dear, wrong
                  */
};
void lint_widened(struct monitor *m, uint64_t va, uint64_t span);
void lint_tlbi(struct monitor *m, uint32_t cpu, const struct lint_tlbi *l);
void lint_barrier(struct monitor *m, uint32_t cpu, enum kc_barrier kind);

/* ---- frees.c and locks.c: notes -------------------------------------------------------------- */

void note_frame_free(struct monitor *m, uint32_t cpu, uint64_t base, uint64_t size);
void judge_orphans(struct monitor *m, uint32_t cpu, const struct table *root);
void note_lock_taken(struct monitor *m, uint32_t cpu, uint64_t address);
void note_lock_released(struct monitor *m, uint32_t cpu, uint64_t address);
void note_lock_of_tables(struct monitor *m, uint64_t address, const void *owner);

/* ---- rights.c -------------------------------------------------------------------------------- */

/** T15, of a store to a live table. */
void judge_lock(struct monitor *m, uint32_t cpu, const struct table *t, uint64_t pa);
/** T5; c is the pending change that is re-made, NULL if the old value is there still. */
void judge_globalised(struct monitor *m, uint32_t cpu, const struct table *root, uint64_t pa,
                      uint64_t old_value, uint64_t new_value, int level, const struct change *c);
/** T4: of a live leaf that is replaced, and of a walk that has just ended. */
void judge_group_edit(struct monitor *m, uint32_t cpu, const struct table *root, uint64_t pa,
                      uint64_t old_value, uint64_t new_value, int level);
void judge_group_use(struct monitor *m, uint32_t cpu, const struct sim_tlb_entry *e);
/** T4 and T27, of a leaf that appears in a table beneath some root. */
void judge_leaf(struct monitor *m, uint32_t cpu, const struct table *t, uint64_t pa, uint64_t value,
                int level);
/** T27, of a page that becomes a table. */
void judge_new_table(struct monitor *m, uint32_t cpu, uint64_t page);
bool holds_anything(const struct monitor *m, const struct table *root);
/** T21, of a root that enters TTBR0 with something in it, or gets its first entry there. */
void judge_asid(struct monitor *m, uint32_t cpu, const struct table *to, uint16_t asid);
/** T28: what is a stack; is va its guard, or in one that is gone; an access near one. */
void note_stack(struct monitor *m, uint64_t va, uint64_t bytes, bool live);
bool is_guarded(const struct monitor *m, uint64_t va);
void judge_stack(struct monitor *m, uint64_t va);

/* ---- sites.c --------------------------------------------------------------------------------- */

/** Note a mutable call; its number (from 1), 0 if nobody asked for sites. */
uint32_t site_add(struct monitor *m, uint32_t cpu, const char *kind, enum site_role role);
void site_role_set(struct monitor *m, uint32_t number, enum site_role role);
/** The run needed that call: without it the row must report. */
void site_needed(struct monitor *m, uint32_t number, enum mon_row row);
void sites_print(const struct monitor *m);

/* ---- report.c -------------------------------------------------------------------------------- */

struct mon_report *report_begin(struct mon_report *r, enum mon_row row, uint32_t cpu);
void report_cause(struct mon_report *r, uint64_t at, uint32_t cpu, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/** The store and the TLBIs of a change, as causes. */
void report_change(struct mon_report *r, const struct change *c);
/** Count, and keep and print if it is new. `reason` tells apart reports that are not the same. */
void report_end(struct monitor *m, struct mon_report *r, uint32_t reason);

static inline bool judged(struct monitor *m, enum mon_row row)
{
    if (m->policy[row] == MON_OFF) {
        return false;
    }
    m->judgements[row]++;
    return true;
}

#endif
