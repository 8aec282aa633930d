/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * report.h: what a run or a replay came to, for people: as text, and as one page for a browser.
 *
 * The caller collects (struct report_data), this prints. Sections without anything to say are left
 * out. The text is plain ASCII; on a terminal headings are bold and findings stand out. The page
 * stands alone: no script, nothing loaded, light or dark as its reader's machine is, and each
 * picture is there as numbers too. Apart from its section "latency", the same data give the same
 * bytes.
 */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <kc/boot.h>

#include "kct.h"
#include "lifetimes.h"
#include "memmap.h"
#include "monitor.h"
#include "replay.h"
#include "report_json.h"
#include "timeline.h"
#include "service.h"
#include "vm.h"

/* A type of the trace, copied before the replay's tables go. */
struct report_type {
    char name[KC_TRACE_NAME_MAX + 1];
    uint32_t kind; /* enum kc_type_kind */
    uint32_t object_bytes;
    uint64_t allocs;
    uint64_t live;
    uint64_t peak_live;
    uint64_t requested_bytes;
    uint64_t frames_bytes;
    uint64_t failures;
};

struct report_data {
    const char *version;
    const char *speed;      /* "exact" or "native" */
    const char *trace_name; /* NULL: no replay */
    const char *trace_kind;
    uint64_t seed;
    uint32_t cpus;
    uint64_t ram_bytes;
    const struct kc_boot_info *info;
    const struct kc_vm_counts *vm;            /* NULL: no mapping rounds */
    const struct kc_service_counts *services; /* NULL: no services */
    const struct kc_replay_result *replay;    /* NULL: no replay */
    const struct report_type *type;
    uint32_t type_count;
    const struct timeline *timeline; /* NULL: none, like the next three */
    const struct lifetimes *lifetimes;
    const struct memmap *memmap; /* at the end */
    const struct memmap *peak;   /* when the replay held the most: */
    uint64_t peak_time_ns;       /*   the time of the trace, */
    uint64_t peak_bytes;         /*   what objects and pages held then, */
    uint64_t peak_most_bytes;    /*   and the most they ever held */
    const struct kc_replay_latencies *latency;
    bool source_known; /* the timeline's points of Linux mean something */
    struct monitor *monitor;
    const struct kc_report_judgement *judgement;
    uint32_t judgement_count;
    uint64_t misuse;
    uint64_t leaked_frames;
    uint64_t leaked_things; /* that workloads left, and the kernel then cleaned */
    uint64_t findings;
    const char *end;    /* how the machine's run ended, if not well; NULL if well */
    const char *story;  /* lines that explain it, or empty */
    uint64_t schedule;  /* hash of the schedule, */
    uint64_t switches;  /*   switches of the baton, */
    uint64_t steps;     /*   and steps */
    const char *repeat; /* command that repeats the run */
};

/**
 * The types, most allocations first, those of equal counts by name. NULL: no memory. The caller
 * frees it.
 */
const struct report_type **report_types_by_allocs(const struct report_data *d);

/** Print all of it. colour: with terminal escapes. */
void report_text(const struct report_data *d, FILE *to, bool colour);

/** The page. out->failed says whether memory ran out. */
void report_html(const struct report_data *d, struct markup *out);

/** The memory map alone, as the text of an .svg file. */
void report_svg(const struct report_data *d, struct markup *out);

#endif
