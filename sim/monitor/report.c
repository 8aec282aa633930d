/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.c: reports as data and as words.
 *
 * A report is new if no earlier one has the same row, descriptor, CPU and reason; all are counted,
 * new ones are kept (up to a limit per row) and printed.
 */
#include <stdarg.h>
#include <string.h>

#include "monitor_priv.h"

const char *vm_tlbi_name(enum kc_tlbi op)
{
    static const char *const names[KC_TLBI_COUNT] = {
        "VMALLE1",   "VMALLE1IS",  "ASIDE1",     "ASIDE1IS",    "VAE1",         "VAE1IS",
        "VALE1",     "VALE1IS",    "VAAE1",      "VAAE1IS",     "VAALE1",       "VAALE1IS",
        "RVAE1IS",   "RVALE1IS",   "RVAAE1IS",   "RVAALE1IS",   "VMALLS12E1IS", "ALLE1IS",
        "IPAS2E1IS", "IPAS2LE1IS", "RIPAS2E1IS", "RIPAS2LE1IS", "ALLE2",        "ALLE2IS",
        "VAE2",      "VAE2IS",     "VALE2",      "VALE2IS"};
    return (uint32_t)op < KC_TLBI_COUNT ? names[op] : "?";
}

const char *vm_barrier_name(enum kc_barrier b)
{
    static const char *const names[KC_BARRIER_COUNT] = {
        "DMB SY",    "DMB ST",    "DMB LD",    "DMB ISH", "DMB ISHST", "DMB ISHLD", "DMB OSH",
        "DMB OSHST", "DMB OSHLD", "DSB SY",    "DSB ST",  "DSB LD",    "DSB ISH",   "DSB ISHST",
        "DSB ISHLD", "DSB NSH",   "DSB NSHST", "DSB OSH", "DSB OSHST", "ISB"};
    return (uint32_t)b < KC_BARRIER_COUNT ? names[b] : "?";
}

struct mon_report *report_begin(struct mon_report *r, enum mon_row row, uint32_t cpu)
{
    memset(r, 0, sizeof(*r));
    r->row = row;
    r->cpu = cpu;
    return r;
}

void report_cause(struct mon_report *r, uint64_t at, uint32_t cpu, const char *format, ...)
{
    if (r->cause_count == MON_CAUSES_MAX) {
        return;
    }
    uint32_t i = r->cause_count++;
    while (i > 0 && r->cause[i - 1].at > at) { /* oldest first */
        r->cause[i] = r->cause[i - 1];
        i--;
    }
    r->cause[i].at = at;
    r->cause[i].cpu = cpu;
    va_list args;
    va_start(args, format);
    vsnprintf(r->cause[i].what, sizeof(r->cause[i].what), format, args);
    va_end(args);
}

void report_change(struct mon_report *r, const struct change *c)
{
    report_cause(r, c->at, c->cpu,
                 "wrote the descriptor at %#llx (level %d, va %#llx): %#llx became %#llx",
                 (unsigned long long)c->desc_pa, c->level, (unsigned long long)c->va,
                 (unsigned long long)c->old_value, (unsigned long long)c->new_value);
    if (c->key != c->desc_pa) {
        report_cause(r, c->at, c->cpu, "by unlinking the table above it at descriptor %#llx",
                     (unsigned long long)c->key);
    }
    const struct attempt *a[2] = {&c->tried, &c->done};
    for (uint32_t i = 0; i < 2; i++) {
        if (a[i]->at != 0 && (i == 0 || a[i]->at != c->tried.at)) {
            report_cause(r, a[i]->at, a[i]->cpu, "issued TLBI %s, operand %#llx",
                         vm_tlbi_name(a[i]->op), (unsigned long long)a[i]->operand);
        }
    }
    if (c->weak_at != 0) {
        report_cause(r, c->weak_at, c->cpu, "executed %s", vm_barrier_name(c->weak));
    }
}

static uint64_t dedupe_key(const struct mon_report *r, uint32_t reason)
{
    uint64_t k = map_hash(r->desc_pa + 1);
    k = map_hash(k ^ ((uint64_t)r->row << 32 | (uint64_t)r->cpu << 16 | reason));
    if (r->row == MON_R1) { /* a pair of places, whatever memory they meet in */
        return k & (UINT64_MAX >> 1);
    }
    return (r->desc_pa == 0 ? map_hash(k ^ r->pa) : k) & (UINT64_MAX >> 1);
}

void report_end(struct monitor *m, struct mon_report *r, uint32_t reason)
{
    uint64_t key = dedupe_key(r, reason);
    m->violations[r->row]++;
    struct mon_report *before = map_get(&m->report_of, key);
    if (before != NULL) {
        before->times++;
        return;
    }
    uint32_t keep = m->config.keep == 0 ? 64 : m->config.keep;
    if (m->kept_of_row[r->row] == keep) {
        return;
    }
    m->kept_of_row[r->row]++;
    r->at = mon_clock(m);
    r->seed = m->config.seed;
    r->times = 1;
    if (m->report_count == m->report_room) {
        m->report_room = m->report_room * 2 + 16;
        m->report = mon_resize(m->report, m->report_room * sizeof(struct mon_report *));
    }
    struct mon_report *kept = mon_alloc(sizeof(*kept));
    *kept = *r;
    m->report[m->report_count++] = kept;
    map_put(&m->report_of, key, kept);
    if (m->config.words != NULL) {
        mon_report_words(kept, m->config.words);
    }
    if (m->config.json != NULL) {
        mon_report_json(kept, m->config.json);
    }
    if (m->policy[r->row] == MON_PANIC && m->config.machine.panic != NULL) {
        m->config.machine.panic(m->config.machine.ctx, kept->sentence);
    }
}

void mon_report_words(const struct mon_report *r, FILE *to)
{
    fprintf(to, "%s  CPU %u, t=%llu: %s\n", mon_row_name(r->row), r->cpu, (unsigned long long)r->at,
            r->sentence);
    for (uint32_t i = 0; i < r->cause_count; i++) {
        fprintf(to, "      t=%-8llu CPU %u %s\n", (unsigned long long)r->cause[i].at,
                r->cause[i].cpu, r->cause[i].what);
    }
    fprintf(to, "      %s\n      seed %llu\n", r->missing, (unsigned long long)r->seed);
}

/* Our own texts hold no quote, backslash or control character. */
void mon_report_json(const struct mon_report *r, FILE *to)
{
    fprintf(to,
            "{\"schema\":\"kcore.%s/1\",\"row\":\"%s\",\"sentence\":\"%s\",\"missing\":\"%s\","
            "\"at\":%llu,\"cpu\":%u,\"va\":\"%#llx\",\"pa\":\"%#llx\",\"descriptor\":\"%#llx\","
            "\"old\":\"%#llx\",\"new\":\"%#llx\",\"seed\":%llu,\"times\":%llu,\"causes\":[",
            mon_row_is_lint(r->row) ? "lint" : "violation", mon_row_name(r->row), r->sentence,
            r->missing, (unsigned long long)r->at, r->cpu, (unsigned long long)r->va,
            (unsigned long long)r->pa, (unsigned long long)r->desc_pa,
            (unsigned long long)r->old_desc, (unsigned long long)r->new_desc,
            (unsigned long long)r->seed, (unsigned long long)r->times);
    for (uint32_t i = 0; i < r->cause_count; i++) {
        fprintf(to, "%s{\"at\":%llu,\"cpu\":%u,\"what\":\"%s\"}", i == 0 ? "" : ",",
                (unsigned long long)r->cause[i].at, r->cause[i].cpu, r->cause[i].what);
    }
    fputs("]}\n", to);
}
