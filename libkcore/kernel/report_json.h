/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * report_json.h: the JSON of schema kcore.replay/1, as image and simulator both print it.
 *
 * One object on one line with a newline behind it. Apart from "latency_ns", the same seed and input
 * give the same bytes. Percentages have three decimals; what is not known is null.
 */
#ifndef KC_REPORT_JSON_H
#define KC_REPORT_JSON_H

#include "replay.h"
#include "service.h"

KC_EXTERN_C_BEGIN

#define KC_REPORT_SCHEMA "kcore.replay/1"

/* How often one row of the monitors was judged. */
struct kc_report_judgement {
    const char *row; /* as in docs/checks.md: "T1" */
    uint64_t count;
};

struct kc_report {
    const struct kc_replay_result *replay;
    uint64_t seed;
    uint64_t ram_bytes;
    uint64_t leaks;      /* what the kernel still held after shutdown, the replay's included */
    uint64_t violations; /* reports of monitors, of misuse, and overlaps */
    const struct kc_service_counts *services;    /* NULL: there were none */
    const struct kc_report_judgement *judgement; /* judgement_count of them; NULL if 0 */
    uint32_t judgement_count;
};

/* Takes n bytes of the report. */
typedef void (*kc_report_sink_fn)(void *ctx, const char *text, size_t n);

/** Write it, in pieces, to the sink. Context: any. */
void kc_report_json(const struct kc_report *report, kc_report_sink_fn sink, void *ctx);

KC_EXTERN_C_END

#endif
