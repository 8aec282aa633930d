/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report_json.c: one function per group of the schema, keys in the schema's order.
 *
 * Nothing is gathered: pieces go to the sink as they are made, from a buffer of PIECE_BYTES that no
 * piece exceeds. Strings are names of our own (rows), which need no escapes; others are escaped.
 */
#include "report_json.h"

#include <kc/fmt.h>

#define PIECE_BYTES 256u

struct out {
    kc_report_sink_fn sink;
    void *ctx;
};

KC_PRINTF(2, 3) static void put(const struct out *o, const char *format, ...)
{
    char piece[PIECE_BYTES];
    va_list args;
    va_start(args, format);
    size_t n = kc_vfmt(piece, sizeof(piece), format, args);
    va_end(args);
    KC_CHECK(n < sizeof(piece));
    o->sink(o->ctx, piece, n);
}

typedef unsigned long long num;

/* "key":N with a comma before it, unless it is the first of its object. */
static void put_number(const struct out *o, const char *key, uint64_t v)
{
    put(o, "\"%s\":%llu", key, (num)v);
}

static void put_pct(const struct out *o, const char *key, int64_t milli)
{
    if (milli == KC_REPLAY_NOT_KNOWN) {
        put(o, "\"%s\":null", key);
        return;
    }
    num v = milli < 0 ? 0 - (num)milli : (num)milli;
    put(o, "\"%s\":%s%llu.%03llu", key, milli < 0 ? "-" : "", v / 1000, v % 1000);
}

static void put_text(const struct out *o, const char *text)
{
    put(o, "\"");
    for (; *text != 0; text++) {
        uint8_t c = (uint8_t)*text;
        if (c == '"' || c == '\\' || c < 0x20) {
            put(o, "\\u%04x", c);
        } else {
            put(o, "%c", c);
        }
    }
    put(o, "\"");
}

static void put_trace(const struct out *o, const struct kc_trace_totals *t)
{
    put(o, "\"trace\":{\"events\":%llu,\"allocs\":%llu,\"frees\":%llu,\"null_frees\":%llu,",
        (num)t->allocs + (num)t->frees, (num)t->allocs, (num)t->frees, (num)t->null_frees);
    put(o, "\"unknown_frees\":%llu,\"implicit_frees\":%llu,", (num)t->unknown_frees,
        (num)t->implicit_frees);
    put(o, "\"skipped_lines\":%llu,\"lost_events\":%llu},", (num)t->skipped_lines,
        (num)t->lost_events);
}

static void put_usage(const struct out *o, const char *key, const struct kc_replay_usage *u)
{
    put(o, "\"%s\":{", key);
    put_number(o, "peak_requested_bytes", u->peak_requested_bytes);
    put(o, ",");
    if (u->footprint_known) {
        put_number(o, "peak_footprint_bytes", u->peak_footprint_bytes);
    } else {
        put(o, "\"peak_footprint_bytes\":null");
    }
    put(o, ",");
    put_pct(o, "weighted_waste_pct", u->waste_milli_pct);
    put(o, ",");
    put_pct(o, "weighted_footprint_over_requested_pct", u->footprint_milli_pct);
    put(o, ",");
    put_pct(o, "weighted_slabs_over_requested_pct", u->slabs_milli_pct);
}

static void put_latency(const struct out *o, const char *key, const struct kc_replay_latency *l)
{
    put(o, "\"%s\":{\"p50\":%llu,\"p99\":%llu,\"p999\":%llu,\"max\":%llu}", key, (num)l->p50,
        (num)l->p99, (num)l->p999, (num)l->max);
}

/* The words of the log, too: kept here, where they are keys of the schema. */
const char *kc_service_end_name(uint32_t end)
{
    static const char *const names[KC_SERVICE_END_COUNT] = {
        [KC_SERVICE_END_EXIT] = "exit",
        [KC_SERVICE_END_UNMAPPED] = "unmapped",
        [KC_SERVICE_END_DENIED] = "denied",
        [KC_SERVICE_END_GUARD] = "guard",
        [KC_SERVICE_END_KERNEL] = "kernel_address",
        [KC_SERVICE_END_INSTRUCTION] = "instruction",
        [KC_SERVICE_END_TIME] = "time",
        [KC_SERVICE_END_NO_MEMORY] = "no_memory",
        [KC_SERVICE_END_OTHER] = "other",
    };
    return end < KC_SERVICE_END_COUNT ? names[end] : "?";
}

static void put_services(const struct out *o, const struct kc_service_counts *given)
{
    static const struct kc_service_counts none;
    const struct kc_service_counts *s = given != NULL ? given : &none;
    put(o, "\"services\":{\"started\":%llu,\"ended\":{", (num)s->started);
    for (uint32_t i = 0; i < KC_SERVICE_END_COUNT; i++) {
        put(o, "%s\"%s\":%llu", i == 0 ? "" : ",", kc_service_end_name(i), (num)s->ended[i]);
    }
    put(o, "},\"calls\":%llu,\"refused_calls\":%llu,\"exchanged_bytes\":%llu,", (num)s->calls,
        (num)s->refused, (num)s->exchanged_bytes);
    put(o, "\"pages\":%llu,\"interrupts\":%llu,\"cleaned\":%llu,\"unexpected\":%llu},",
        (num)s->pages, (num)s->interrupts, (num)s->cleaned, (num)s->unexpected);
}

void kc_report_json(const struct kc_report *report, kc_report_sink_fn sink, void *ctx)
{
    const struct kc_replay_result *r = report->replay;
    const struct out out = {sink, ctx};
    const struct out *o = &out;
    put(o, "{\"schema\":\"" KC_REPORT_SCHEMA "\",\"seed\":%llu,\"ram_bytes\":%llu,",
        (num)report->seed, (num)report->ram_bytes);
    put_trace(o, &r->trace);
    put(o, "\"pages\":{\"allocs\":%llu,\"frees\":%llu,\"unknown_frees\":%llu,",
        (num)r->trace.page_allocs, (num)r->trace.page_frees, (num)r->trace.page_unknown_frees);
    put(o, "\"peak_bytes\":%llu},", (num)r->page_peak_bytes);
    put_usage(o, "kcore", &r->kcore);
    put(o, ",\"failures\":%llu},", (num)r->failures + (num)r->page_failures);
    put_usage(o, "linux", &r->source);
    put(o, ",\"failures\":null},\"latency_ns\":{");
    put_latency(o, "alloc", &r->alloc);
    put(o, ",");
    put_latency(o, "free", &r->free);
    put(o, "},");
    put_services(o, report->services);
    put(o, "\"live_at_end\":%llu,\"leaks\":%llu,\"violations\":%llu,\"judgements\":{",
        (num)r->live_at_end, (num)report->leaks, (num)report->violations);
    for (uint32_t i = 0; i < report->judgement_count; i++) {
        put(o, i == 0 ? "" : ",");
        put_text(o, report->judgement[i].row);
        put(o, ":%llu", (num)report->judgement[i].count);
    }
    put(o, "}}\n");
}
