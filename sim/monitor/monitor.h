/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * monitor.h: the judges of the simulated machine.
 *
 * The machine tells a struct monitor of every effect *before* it takes place; the monitor keeps,
 * per translation-table descriptor, a small automaton (written, visible, invalidated, clean) with
 * the set of CPUs that may still hold what was there before, and reports which step of the protocol
 * the software left out. It decodes from the Arm manual alone (DDI 0487) and shares no code with
 * the library that it judges. It changes nothing in the machine.
 *
 * Rows are those of docs/checks.md. Three kinds of judgement are made:
 *   at steps   from stores, barriers, TLBIs, register writes and notes, at every speed;
 *   at use     at each access, fault and walk that the machine tells of, which is all of them on
 *              the exact machine and only first touches at native speed.
 *   at races   R1: the exact machine keeps who touched what, and tells of each pair.
 * Which row is of which kind: mon_row_info(), `ksim checks`.
 *
 * Context: all mon_ functions are called with the machine's baton held: one at a time, no locks.
 */
#ifndef SIM_MONITOR_MONITOR_H
#define SIM_MONITOR_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <kc/plat.h>

#include "../machine/tlb.h"

/* ---- rows ----------------------------------------------------------------------------------- */

/* The rows that are judged, in the order in which they are listed. */
/* clang-format off */
#define MON_ROWS(X) \
    X(T1) X(T2) X(T3) X(T4) X(T5) X(T6) X(T7) X(T8) X(T9) X(T10) X(T11) X(T12) X(T13) X(T14) \
    X(T15) X(T16) X(T17) X(T18) X(T19) X(T20) X(T21) X(T22) X(T25) X(T26) X(T27) X(T28) X(T30) \
    X(R1)
/* clang-format on */

enum mon_row {
#define MON_ROW_ENUM(id) MON_##id,
    MON_ROWS(MON_ROW_ENUM)
#undef MON_ROW_ENUM
    MON_ROW_COUNT
};

enum mon_policy {
    MON_OFF,    /* neither judged nor counted */
    MON_REPORT, /* reported; the run goes on (the default) */
    MON_PANIC   /* reported, then mon_machine.panic is called */
};

/* ---- what the machine gives ----------------------------------------------------------------- */

struct mon_access {
    uint64_t va;
    uint64_t pa; /* as translated by the entry */
    uint32_t size;
    bool write;
    bool fetch;
    uint8_t el; /* 0 or 1 */
};

/* Two accesses of different CPUs, one a write and one plain, that nothing orders. */
struct mon_race {
    uint64_t pa;    /* first byte that both touch */
    char where[60]; /* the same in words, where it is in no RAM: static storage or a stack */
    bool held; /* the second CPU has read, with a relaxed load, what a release published after */
    struct {
        uint32_t cpu;
        bool write, atomic;
        uint64_t at;   /* clock */
        uint32_t code; /* offset in the program, for addr2line */
        char where[60];
    } first, second;
};

enum mon_store_kind {
    MON_STORE,
    MON_FILL,
    MON_CAS
};

/* Queries. None has an effect; each gets `ctx`. */
struct mon_machine {
    void *ctx;
    /** The clock of the reports: counts events up; that of sim_tlb_entry.seq. */
    uint64_t (*now)(void *ctx);
    /** 8 bytes of RAM at pa (8-aligned) into *out; false if that is no RAM. */
    bool (*read)(void *ctx, uint64_t pa, uint64_t *out);
    /** Value of a system register of that CPU. */
    uint64_t (*sysreg)(void *ctx, uint32_t cpu, enum kc_sysreg reg);
    /** The entries that are stale, of all CPUs, as sim_tlb_each_stale(); may be NULL. */
    uint32_t (*each_stale)(void *ctx, sim_tlb_fn fn, void *arg);
    /** Where that CPU's own code reaches pa 0 now: `linear`, or 0 where it runs by an identity map.
     *  NULL: always `linear`. */
    uint64_t (*view)(void *ctx, uint32_t cpu);
    /** Stop the run: a row with policy PANIC has reported. May return (then the run goes on). */
    void (*panic)(void *ctx, const char *text);
    uint64_t
        linear; /* where the high half maps pa 0, if it maps all memory in a line; 0: unknown */
};

/* ---- what the monitor gives ----------------------------------------------------------------- */

#define MON_CAUSES_MAX 8u
#define MON_TEXT_MAX   200u

/* One link of the cause chain, oldest first. */
struct mon_cause {
    uint64_t at; /* clock of it */
    uint32_t cpu;
    char what[MON_TEXT_MAX];
};

struct mon_report {
    enum mon_row row;
    char sentence[MON_TEXT_MAX]; /* what is wrong */
    char missing[MON_TEXT_MAX];  /* the step that was left out, beginning "missing: " */
    struct mon_cause cause[MON_CAUSES_MAX];
    uint32_t cause_count;
    uint64_t at;      /* clock of the judgement */
    uint32_t cpu;     /* CPU on which it was noticed */
    uint64_t va;      /* input address concerned */
    uint64_t pa;      /* output address concerned */
    uint64_t desc_pa; /* descriptor concerned, 0 if none */
    uint64_t old_desc, new_desc;
    uint64_t seed;
    uint64_t times; /* how often this was seen: same row, descriptor, CPU and missing step */
};

struct mon_config {
    uint32_t cpu_count; /* 1 to KC_CPUS_MAX */
    uint32_t keep;      /* distinct reports kept per row; 0 means 64. All are counted. */
    uint64_t seed;      /* for the reports; nothing here is random */
    bool deferred; /* the code under judgement may release a table's lock with a TLBI still owed */
    struct mon_machine machine;
    FILE *sites; /* at the end, one line for each seam call that can be mutated; NULL: none */
    FILE *words; /* each new report as words; NULL: none */
    FILE *json;  /* each new report as one JSON line; NULL: none */
};

struct monitor;

/**
 * Make a monitor for a machine whose RAM is still blank and whose CPUs are all off.
 *
 * Returns NULL if there is no memory. Owner: the caller, until mon_destroy().
 */
struct monitor *mon_create(const struct mon_config *config);
void mon_destroy(struct monitor *m);

/** Change the policy of one row. */
void mon_set_policy(struct monitor *m, enum mon_row row, enum mon_policy policy);

/** Name of a row ("T16"), and the row of a name; false if there is none. */
const char *mon_row_name(enum mon_row row);
bool mon_row_find(const char *name, enum mon_row *out);

/** One sentence on what the row forbids. */
const char *mon_row_text(enum mon_row row);

/** A lint row: its reports are kept and counted, but are no violations (mon_total()). */
bool mon_row_is_lint(enum mon_row row);

/* A row of the design's list, judged or not: what docs/checks.md says of it. */
struct mon_row_info {
    const char *name;
    const char *text;    /* what it forbids */
    const char *when;    /* judged: reported when; in the marks of Markdown, like the next three */
    const char *at;      /* judged: at which events */
    const char *native;  /* judged: how far it sees at native speed, */
    const char *exact;   /*   and on the exact machine */
    const char *not_yet; /* why it is not judged; NULL: it is */
    bool lint;
};

/** The i-th row of the list, from 0; NULL beyond its end. */
const struct mon_row_info *mon_row_info(uint32_t i);

/** How often the row was judged: how many states it could have reported on. */
uint64_t mon_judgements(const struct monitor *m, enum mon_row row);

/** How often it reported, repeats included; and the sum over the rows that are no lint. */
uint64_t mon_violations(const struct monitor *m, enum mon_row row);
uint64_t mon_total(const struct monitor *m);

/* Findings of the cost lint (T30), by kind. */
enum mon_lint {
    MON_LINT_REDUNDANT,
    MON_LINT_WIDE,
    MON_LINT_STORES,
    MON_LINT_SYSTEM,
    MON_LINT_COUNT
};
const char *mon_lint_text(enum mon_lint kind);
uint64_t mon_lints(const struct monitor *m, enum mon_lint kind);

/** The i-th distinct report, in order of appearance, or NULL. Good until the next event. */
const struct mon_report *mon_report_at(const struct monitor *m, size_t i);

/**
 * What the run needed of each mutable seam call (descriptor store, barrier, TLBI, in the machine's
 * numbering, from 1) goes to config.sites in mon_destroy(), a line each:
 *
 *     K CPU KIND ROLE ROW
 *
 * ROW is the row that must report if call K is dropped, "-" if none must: then ROLE says why the
 * call is not needed for what happened in this run (redundant, or nothing used what it ordered), or
 * that no row judges it. docs/checks.md states the rules.
 */

/** Print one report as words (several lines) or as one JSON line. */
void mon_report_words(const struct mon_report *r, FILE *to);
void mon_report_json(const struct mon_report *r, FILE *to);

/* ---- events --------------------------------------------------------------------------------- */

/** A CPU goes on (with its MMU off and its TLB in an unknown state) or off. CPU 0 too. */
void mon_cpu(struct monitor *m, uint32_t cpu, bool on);

/** A descriptor is about to be written: one store each (a run is told entry by entry). */
void mon_desc_store(struct monitor *m, uint32_t cpu, uint64_t pa, uint64_t old_value,
                    uint64_t new_value, enum mon_store_kind kind);

/** A descriptor is about to be read through the seam: where the MMU is on, by the linear map. */
void mon_desc_load(struct monitor *m, uint32_t cpu, uint64_t pa);

/**
 * A plain access (not through the seam) is about to touch RAM at pa. Told at least when the page
 * is a table (mon_is_table()); told of others it does nothing.
 */
void mon_plain_access(struct monitor *m, uint32_t cpu, uint64_t pa, uint32_t size, bool write);

/** True if the page that holds pa has been noted as a table, or is reachable as one. Constant time.
 */
bool mon_is_table(const struct monitor *m, uint64_t pa);

void mon_barrier(struct monitor *m, uint32_t cpu, enum kc_barrier kind);

/** A context synchronisation that is no ISB: exception entry or return. */
void mon_context_sync(struct monitor *m, uint32_t cpu);

/** A TLBI is issued. Its completion is the monitor's own business: it sees the DSB. */
void mon_tlbi(struct monitor *m, uint32_t cpu, enum kc_tlbi op, uint64_t operand);

void mon_sysreg_write(struct monitor *m, uint32_t cpu, enum kc_sysreg reg, uint64_t old_value,
                      uint64_t new_value);

/**
 * A walk on this CPU has just produced e, leaf or intermediate, which goes into its TLB. The steps
 * that it took from a cached intermediate entry carry the values that were cached.
 */
void mon_tlb_fill(struct monitor *m, uint32_t cpu, const struct sim_tlb_entry *e);

/**
 * An access is about to be made through e (which is in the TLB, stale or fresh; a fresh one has
 * been told by mon_tlb_fill() before), and e's permissions allow it. e->seq identifies the entry.
 *
 * Returns true if e is what the tables say: while mon_epoch() does not change, further accesses
 * through the same e on this CPU need not be told one by one; they are counted by
 * mon_access_same(). (A machine that tells them all the same pays a compare: the monitor remembers
 * too.)
 */
bool mon_access(struct monitor *m, uint32_t cpu, const struct mon_access *a,
                const struct sim_tlb_entry *e);

/**
 * An access is about to fault with the MMU on: no entry, or one that does not allow it, or two that
 * conflict. a->pa is 0.
 */
void mon_fault(struct monitor *m, uint32_t cpu, const struct mon_access *a);

/** kc_plat_note(). base is an address of the kind that the note says. */
void mon_note(struct monitor *m, uint32_t cpu, enum kc_note kind, uint64_t base, uint64_t size,
              const void *owner);

/** Changes with every event that may make an entry stale or a state of affairs a violation. */
uint64_t mon_epoch(const struct monitor *m);

/** Row R1: such a pair; and how many pairs were compared since, this one included. */
void mon_race(struct monitor *m, const struct mon_race *r);
void mon_races_judged(struct monitor *m, uint64_t n);
bool mon_wants_races(const struct monitor *m);

/** Count accesses that were not told because nothing had changed (mon_access()). */
void mon_access_same(struct monitor *m, uint64_t n);

#endif
