/* SPDX-License-Identifier: BSD-2-Clause */
/* One function a section, in the order in which they are read. */
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TYPES_SHOWN   12u
#define REPORTS_SHOWN 5u
#define BAR_WIDTH     24u

struct page {
    FILE *to;
    bool colour;
};

static void heading(const struct page *p, const char *text)
{
    fprintf(p->to, "\n%s%s%s\n", p->colour ? "\033[1m" : "", text, p->colour ? "\033[0m" : "");
}

/* 1234567 as 1,234,567; four results may be in use at a time. */
static const char *grouped(uint64_t v)
{
    static char ring[8][32];
    static unsigned next;
    char digits[24];
    char *out = ring[next++ % 8];
    int n = snprintf(digits, sizeof(digits), "%" PRIu64, v);
    char *o = out;
    for (int i = 0; i < n; i++) {
        if (i != 0 && (n - i) % 3 == 0) {
            *o++ = ',';
        }
        *o++ = digits[i];
    }
    *o = '\0';
    return out;
}

/* Bytes in the unit that leaves 1 to 4 digits. */
static const char *sized(uint64_t bytes)
{
    static char ring[8][32];
    static unsigned next;
    char *out = ring[next++ % 8];
    if (bytes < KC_KIB(10)) {
        snprintf(out, 32, "%" PRIu64 " B", bytes);
    } else if (bytes < 10 * KC_MIB(1)) {
        snprintf(out, 32, "%.1f KiB", (double)bytes / 1024.0);
    } else if (bytes < 10 * KC_GIB(1)) {
        snprintf(out, 32, "%.1f MiB", (double)bytes / 1048576.0);
    } else {
        snprintf(out, 32, "%.1f GiB", (double)bytes / 1073741824.0);
    }
    return out;
}

static const char *milli_pct(int64_t v)
{
    static char ring[8][32];
    static unsigned next;
    char *out = ring[next++ % 8];
    if (v == KC_REPLAY_NOT_KNOWN) {
        return "not known";
    }
    snprintf(out, 32, "%.2f %%", (double)v / 1000.0);
    return out;
}

static void bar(FILE *to, uint64_t part, uint64_t whole)
{
    unsigned n = whole != 0 ? (unsigned)((double)part / (double)whole * BAR_WIDTH + 0.5) : 0;
    for (unsigned i = 0; i < BAR_WIDTH; i++) {
        fputc(i < n ? '#' : '.', to);
    }
}

static void title(const struct page *p, const struct report_data *d)
{
    fprintf(p->to,
            "%skcore %s%s on a simulated ARM64 machine: %u CPU%s, %s RAM, %s machine, seed %" PRIu64
            "\n",
            p->colour ? "\033[1m" : "", d->version, p->colour ? "\033[0m" : "", d->cpus,
            d->cpus == 1 ? "" : "s", sized(d->ram_bytes), d->speed, d->seed);
    fprintf(p->to, "schedule 0x%016" PRIx64 ", %s switches, %s steps\n", d->schedule,
            grouped(d->switches), grouped(d->steps));
}

static int by_base(const void *a, const void *b)
{
    const struct kc_boot_range *x = a;
    const struct kc_boot_range *y = b;
    if (kc_pa_eq(x->base, y->base)) {
        return (x->kind > y->kind) - (x->kind < y->kind);
    }
    return kc_pa_lt(x->base, y->base) ? -1 : 1;
}

static void memory_map(const struct page *p, const struct report_data *d)
{
    struct kc_boot_range r[KC_BOOT_RANGES_MAX];
    uint32_t n = d->info->range_count;
    memcpy(r, d->info->range, n * sizeof(r[0]));
    qsort(r, n, sizeof(r[0]), by_base);
    heading(p, "Memory map");
    for (uint32_t i = 0; i < n; i++) {
        uint64_t base = kc_pa_raw(r[i].base);
        bool inside = r[i].kind != KC_BOOT_RAM && r[i].kind != KC_BOOT_MMIO;
        fprintf(p->to, "  0x%012" PRIx64 " - 0x%012" PRIx64 "  %11s  %s%s\n", base,
                base + (r[i].size - 1), sized(r[i].size), inside ? "  " : "",
                kc_boot_kind_name(r[i].kind));
    }
}

static void mapping(const struct page *p, const struct kc_vm_counts *v)
{
    heading(p, "Mapping rounds");
    fprintf(p->to, "  %s maps, %s unmaps, %s protects, %s blocks split while live\n",
            grouped(v->maps), grouped(v->unmaps), grouped(v->protects), grouped(v->splits));
    fprintf(p->to, "  %s reads by another CPU, %s user spaces, %s bytes copied to and from user,\n",
            grouped(v->remote_reads), grouped(v->user_spaces), grouped(v->user_bytes));
    fprintf(p->to, "  %s user accesses refused to the byte, %s pages made present at first touch\n",
            grouped(v->user_faults), grouped(v->lazy_faults));
    fprintf(p->to, "  %s services killed, %s things of theirs cleaned, nothing left\n",
            grouped(v->kills), grouped(v->cleanups));
    fprintf(p->to, "  %s accesses that missed a fenced object, each explained\n",
            grouped(v->fenced));
    fprintf(p->to, "  %s frames reclaimed from empty slabs meanwhile\n", grouped(v->reclaimed));
    if (v->text_changes != 0) {
        fprintf(p->to, "  %s changes of the block that holds the running text\n",
                grouped(v->text_changes));
    }
    if (v->no_memory != 0) {
        fprintf(p->to, "  %s steps left out for want of memory\n", grouped(v->no_memory));
    }
}

static void services(const struct page *p, const struct kc_service_counts *s)
{
    const uint64_t *e = s->ended;
    heading(p, "Services at EL0");
    fprintf(p->to, "  %s started, %s ended by themselves, killed for: unmapped memory %s,\n",
            grouped(s->started), grouped(e[KC_SERVICE_END_EXIT]),
            grouped(e[KC_SERVICE_END_UNMAPPED]));
    fprintf(p->to,
            "  no permission %s, guard pages %s, kernel addresses %s, instructions %s, time %s\n",
            grouped(e[KC_SERVICE_END_DENIED]), grouped(e[KC_SERVICE_END_GUARD]),
            grouped(e[KC_SERVICE_END_KERNEL]), grouped(e[KC_SERVICE_END_INSTRUCTION]),
            grouped(e[KC_SERVICE_END_TIME]));
    fprintf(p->to, "  %s calls served, %s of them refused, %s bytes exchanged,\n",
            grouped(s->calls), grouped(s->refused), grouped(s->exchanged_bytes));
    fprintf(p->to, "  %s pages made present, %s interrupts, %s things of theirs cleaned\n",
            grouped(s->pages), grouped(s->interrupts), grouped(s->cleaned));
    if (s->unexpected != 0) {
        fprintf(p->to, "  %s did NOT end as they had to\n", grouped(s->unexpected));
    }
    if (s->no_memory != 0) {
        fprintf(p->to, "  %s left out for want of memory\n", grouped(s->no_memory));
    }
}

static void trace(const struct page *p, const struct report_data *d)
{
    const struct kc_trace_totals *t = &d->replay->trace;
    heading(p, "Trace");
    fprintf(p->to, "  %s (%s), %.3f s of the recorded kernel's time\n", d->trace_name,
            d->trace_kind, (double)(t->last_ns - t->first_ns) / 1e9);
    fprintf(p->to, "  %s allocations, %s frees (%s of NULL, %s of objects from before)\n",
            grouped(t->allocs), grouped(t->frees), grouped(t->null_frees),
            grouped(t->unknown_frees));
    fprintf(p->to, "  %s page allocations, %s page frees (%s from before), peak %s\n",
            grouped(t->page_allocs), grouped(t->page_frees), grouped(t->page_unknown_frees),
            sized(d->replay->page_peak_bytes));
    if (t->implicit_frees + t->skipped_lines + t->lost_events != 0) {
        fprintf(p->to, "  untidy: %s implicit frees, %s skipped lines, %s lost events\n",
                grouped(t->implicit_frees), grouped(t->skipped_lines), grouped(t->lost_events));
    }
}

static void type_row(FILE *to, const struct report_type *t, uint64_t most)
{
    char size[16] = "any";
    if (t->kind == KC_TYPE_CACHE) {
        snprintf(size, sizeof(size), "%" PRIu32, t->object_bytes);
    }
    fprintf(to, "  %-26.26s %7s %11s %9s %9s %11s  ", t->name, size, grouped(t->allocs),
            grouped(t->peak_live), grouped(t->live),
            t->kind == KC_TYPE_CACHE ? sized(t->frames_bytes) : "in heap");
    bar(to, t->allocs, most);
    if (t->failures != 0) {
        fprintf(to, "  %s failed", grouped(t->failures));
    }
    fputc('\n', to);
}

static void types(const struct page *p, const struct report_data *d)
{
    const struct report_type **order = report_types_by_allocs(d);
    if (order == NULL || d->type_count == 0) {
        free(order);
        return;
    }
    heading(p, "Allocators by type");
    fprintf(p->to, "  %-26s %7s %11s %9s %9s %11s  allocations\n", "type", "bytes", "allocs",
            "peak live", "live", "frames");
    uint32_t shown = d->type_count < TYPES_SHOWN ? d->type_count : TYPES_SHOWN;
    for (uint32_t i = 0; i < shown; i++) {
        type_row(p->to, order[i], order[0]->allocs);
    }
    uint64_t rest = 0;
    for (uint32_t i = shown; i < d->type_count; i++) {
        rest += order[i]->allocs;
    }
    if (d->type_count > shown) {
        fprintf(p->to, "  and %u more types with %s allocations\n", d->type_count - shown,
                grouped(rest));
    }
    free(order);
}

static void latency_row(FILE *to, const char *what, const struct kc_replay_latency *l)
{
    if (l->count != 0) {
        fprintf(to, "  %-12s %11s %8s %8s %8s %10s\n", what, grouped(l->count), grouped(l->p50),
                grouped(l->p99), grouped(l->p999), grouped(l->max));
    }
}

static void latency(const struct page *p, const struct report_data *d)
{
    const struct kc_replay_result *r = d->replay;
    heading(p, "Latency, ns of the host (with the simulator's own cost)");
    fprintf(p->to, "  %-12s %11s %8s %8s %8s %10s\n", "", "calls", "p50", "p99", "p99.9", "max");
    latency_row(p->to, "alloc", &r->alloc);
    latency_row(p->to, "free", &r->free);
    latency_row(p->to, "page alloc", &r->page_alloc);
    latency_row(p->to, "page free", &r->page_free);
}

static void usage_row(FILE *to, const char *who, const struct kc_replay_usage *u)
{
    fprintf(to, "  %-22s %12s %12s %14s %14s\n", who, sized(u->peak_requested_bytes),
            u->footprint_known ? sized(u->peak_footprint_bytes) : "not known",
            milli_pct(u->waste_milli_pct), milli_pct(u->footprint_milli_pct));
}

static void footprint(const struct page *p, const struct report_data *d)
{
    const struct kc_replay_result *r = d->replay;
    heading(p, "Footprint");
    fprintf(p->to, "  %-22s %12s %12s %14s %14s\n", "", "peak asked", "peak held", "waste",
            "held over asked");
    usage_row(p->to, "kcore", &r->kcore);
    usage_row(p->to, "Linux (from its slabs)", &r->source);
    fprintf(p->to, "  waste and held over asked are weighted by time; 0 %% is perfect\n");
    fprintf(p->to, "  at the end of the trace: caches %s, heap %s, records of their frames %s\n",
            sized(r->cache_frames_bytes), sized(r->heap_frames_bytes),
            sized(r->frame_records_bytes));
    fprintf(p->to, "  apart: the whole frame table %s, pages of the trace itself at most %s\n",
            sized(r->frame_table_bytes), sized(r->page_peak_bytes));
}

static void fragmentation(const struct page *p, const struct kc_frame_stats *f)
{
    heading(p, "Fragmentation of free memory at the end of the trace");
    fprintf(p->to, "  %s of %s frames free; free memory in blocks too small for\n ",
            grouped(f->free_frames), grouped(f->frame_count));
    for (uint32_t order = 1; order < KC_FRAME_ORDERS; order += 3) {
        fprintf(p->to, "  %s: %.1f %%", sized((uint64_t)KC_FRAME_BYTES << order),
                f->frag_permille[order] / 10.0);
    }
    fputc('\n', p->to);
}

/* Findings of the cost lint: right, but dear. */
static void lints(const struct page *p, const struct report_data *d)
{
    for (uint32_t i = 0; i < MON_LINT_COUNT; i++) {
        uint64_t n = mon_lints(d->monitor, (enum mon_lint)i);
        if (n != 0) {
            fprintf(p->to, "  lint: %s: %s\n", mon_lint_text((enum mon_lint)i), grouped(n));
        }
    }
}

static void judgements(const struct page *p, const struct report_data *d)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < d->judgement_count; i++) {
        all += d->judgement[i].count;
    }
    heading(p, "Monitors");
    fprintf(p->to, "  %s judgements, %s violations\n ", grouped(all),
            grouped(mon_total(d->monitor)));
    for (uint32_t i = 0; i < d->judgement_count; i++) {
        fprintf(p->to, "%s  %s %s", i != 0 && i % 6 == 0 ? "\n " : "", d->judgement[i].row,
                grouped(d->judgement[i].count));
    }
    fputc('\n', p->to);
    lints(p, d);
    uint32_t shown = 0;
    const struct mon_report *r;
    for (size_t i = 0; shown < REPORTS_SHOWN && (r = mon_report_at(d->monitor, i)) != NULL; i++) {
        if (!mon_row_is_lint(r->row)) {
            fputc('\n', p->to);
            mon_report_words(r, p->to);
            shown++;
        }
    }
}

static void verdict(const struct page *p, const struct report_data *d)
{
    uint64_t failures = d->replay != NULL ? d->replay->failures + d->replay->page_failures : 0;
    uint64_t leaks =
        d->leaked_frames + d->leaked_things + (d->replay != NULL ? d->replay->leaks : 0);
    uint64_t live = d->replay != NULL ? d->replay->live_at_end : 0;
    bool good = d->findings == 0 && leaks == 0;
    heading(p, "Verdict");
    if (d->end != NULL) {
        fprintf(p->to, "  %s\n%s", d->end, d->story);
    }
    fprintf(p->to, "  %s%s%s: %s violations and findings, %s leaks, %s failures, %s live at end\n",
            p->colour ? (good ? "\033[32m" : "\033[31m") : "", good ? "clean" : "NOT CLEAN",
            p->colour ? "\033[0m" : "", grouped(d->findings), grouped(leaks), grouped(failures),
            grouped(live));
    if (!good && d->repeat != NULL) {
        fprintf(p->to, "  repeat it with: %s\n", d->repeat);
    }
}

void report_text(const struct report_data *d, FILE *to, bool colour)
{
    struct page p = {to, colour};
    title(&p, d);
    memory_map(&p, d);
    if (d->vm != NULL) {
        mapping(&p, d->vm);
    }
    if (d->services != NULL) {
        services(&p, d->services);
    }
    if (d->replay != NULL) {
        trace(&p, d);
        types(&p, d);
        latency(&p, d);
        footprint(&p, d);
        fragmentation(&p, &d->replay->frames);
    }
    judgements(&p, d);
    verdict(&p, d);
}
