/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * session.h: one run of the kernel on the simulated machine, judged: what `ksim run` and
 * `ksim replay` have in common.
 */
#ifndef SIM_SESSION_H
#define SIM_SESSION_H

#include <kc/boot.h>

#include "cli.h"
#include "machine.h"
#include "monitor.h"
#include "report.h"
#include "report_json.h"
#include "run.h"

struct session_config {
    const struct cli_options *options;
    uint32_t cpus;          /* where the options do not say */
    uint64_t ram_bytes;     /* likewise */
    const char *trace_name; /* what the replay replays, for reports; NULL: no replay */
    const char *trace_kind;
    bool page_only; /* no report on standard output */
};

#define SESSION_STORY_MAX 4096u

/* What came of it. Read after session_run(). */
struct session {
    struct kc_boot_info info;
    struct machine_result machine;
    kc_status_t boot;   /* of kc_kernel_boot() */
    kc_status_t kernel; /* of kc_kernel_main(); KC_ERR_STATE if it did not return */
    uint64_t misuse;    /* misuse reported to the kernel's policy */
    uint64_t leaked_frames;
    uint64_t leaked_things;
    uint64_t faults_resolved;
    uint64_t findings; /* of all kinds: monitors, misuse, overlaps, a run that ended badly */
    uint64_t sites;    /* mutable seam calls */
    FILE *log_file;    /* --log */
    FILE *sites_file;  /* --sites */
    FILE *orders_file; /* --orders */
    FILE *tables_file; /* --tables */
    bool mutated;      /* the mutation asked for was reached */
    struct machine_site_info mutation;
    struct monitor *monitor; /* for its reports and judgements; until session_end() */
    struct kc_report_judgement judgement[MON_ROW_COUNT];
    struct report_type *type; /* types of the trace, copied before the replay's tables went */
    uint32_t type_count;
    struct kc_replay_source source; /* as the caller gave it, beneath the session's own */
    struct timeline timeline;
    bool source_known; /* at the last sample */
    struct lifetimes lifetimes;
    struct memmap memmap; /* at the end */
    struct memmap peak;   /* when the replay held the most, to a 64th */
    uint64_t peak_time_ns, peak_bytes, peak_most_bytes; /* as in report_data */
    char story[SESSION_STORY_MAX]; /* of a fault that ended the run, level by level; else empty */
    size_t story_size;
};

/**
 * Build the machine, boot the kernel, run the work, judge, plant the fault that was asked for.
 *
 * run   inputs set, the rest zero; results are in it afterwards
 *
 * Returns CLI_GOOD if a run took place, whatever came of it; CLI_USAGE or CLI_INTERNAL after a
 * message if there could be none.
 * Owner:   the caller, until session_end()
 */
KC_NODISCARD enum cli_exit session_run(const struct session_config *config, struct kc_run *run,
                                       struct session *out);

/** Release machine and monitor. False, after a message, if a file asked for was not written whole.
 */
KC_NODISCARD bool session_end(struct session *s);

/**
 * Print what came of it, as JSON or as words, and say with which code the command ends.
 */
enum cli_exit session_report(const struct session_config *config, const struct session *s,
                             const struct kc_run *run);

/** The same as one page, and the memory map as a picture. The caller looks at failed. */
void session_html(const struct session_config *config, const struct session *s,
                  const struct kc_run *run, struct markup *out);
void session_svg(const struct session_config *config, const struct session *s,
                 const struct kc_run *run, struct markup *out);

#endif
