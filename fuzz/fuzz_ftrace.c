/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The imports (and the unpackers before them) on hostile bytes. Slots must alternate between birth
 * and death, time must not go back, and a .kct written from the events must give the same events.
 */
#include "fuzz.h"

#include <string.h>

#include "import.h"

#define SLOTS_MAX  8192u
#define EVENTS_MAX 4096u

static struct kc_event kept[EVENTS_MAX];
static uint32_t kept_count;
static uint8_t holds[SLOTS_MAX]; /* 0 nothing, 1 object, 2 pages */
static uint8_t file[1u << 21];
static size_t file_size;
static uint8_t block[KC_KCT_BLOCK_MAX];
static struct kc_kct kct;

static bool to_memory(void *ctx, const void *bytes, size_t n)
{
    (void)ctx;
    if (n > sizeof(file) - file_size) {
        return false;
    }
    memcpy(file + file_size, bytes, n);
    file_size += n;
    return true;
}

static void judge(const struct kc_event *e, uint64_t *time)
{
    static const uint8_t before[KC_EVENT_KIND_COUNT] = {
        [KC_EVENT_FREE] = 1, [KC_EVENT_PAGE_FREE] = 2};
    static const uint8_t after[KC_EVENT_KIND_COUNT] = {
        [KC_EVENT_ALLOC] = 1, [KC_EVENT_PAGE_ALLOC] = 2};
    FUZZ_REQUIRE(e->kind < KC_EVENT_KIND_COUNT && e->slot < KC_TRACE_SLOTS_MAX);
    if (e->kind == KC_EVENT_TYPE || e->kind == KC_EVENT_SITE) {
        return;
    }
    FUZZ_REQUIRE(e->time_ns >= *time);
    *time = e->time_ns;
    if (e->slot < SLOTS_MAX && (before[e->kind] != 0 || after[e->kind] != 0)) {
        FUZZ_REQUIRE(holds[e->slot] == before[e->kind]);
        holds[e->slot] = after[e->kind];
    }
}

/* What is kept of an event for the comparison: all but the pointers. */
static void keep(const struct kc_event *e)
{
    if (kept_count < EVENTS_MAX) {
        kept[kept_count] = *e;
        kept[kept_count].definition = NULL;
        kept[kept_count].name = NULL;
        kept_count++;
    }
}

static void read_back(void)
{
    struct kc_kct_memory memory = {file, file_size, 0};
    const struct kc_kct_input in = {kc_kct_memory_read, &memory};
    struct kc_event batch[64];
    uint32_t seen = 0;
    uint32_t n;
    kc_status_t s;
    kc_kct_init(&kct, &in, block);
    while ((s = kc_kct_fill(&kct, batch, 64, &n)) == KC_OK && n != 0) {
        for (uint32_t i = 0; i < n && seen < kept_count; i++, seen++) {
            batch[i].definition = NULL;
            batch[i].name = NULL;
            FUZZ_REQUIRE(memcmp(&batch[i], &kept[seen], sizeof(kept[seen])) == 0);
        }
    }
    FUZZ_REQUIRE(s == KC_OK && seen == kept_count);
}

static void run(struct sim_import *m, struct sim_kct_writer *w)
{
    struct sim_trace_error err = {{0}};
    struct kc_event batch[64];
    uint64_t time = 0;
    uint32_t n;
    kc_status_t s;
    kept_count = 0;
    memset(holds, 0, sizeof(holds));
    while ((s = sim_import_fill(m, batch, 64, &n, &err)) == KC_OK && n != 0) {
        for (uint32_t i = 0; i < n; i++) {
            judge(&batch[i], &time);
            keep(&batch[i]);
            FUZZ_REQUIRE(sim_kct_writer_add(w, &batch[i]));
        }
    }
    FUZZ_REQUIRE((s == KC_OK) == (err.text[0] == 0));
    FUZZ_REQUIRE(sim_kct_writer_close(w));
    read_back();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sim_trace_error err = {{0}};
    struct sim_input *in = sim_input_memory("fuzz", SIM_WANT_TRACE, data, n, &err);
    if (in == NULL) {
        FUZZ_REQUIRE(err.text[0] != 0);
        return 0;
    }
    struct sim_lines *lines = malloc(sizeof(*lines));
    file_size = 0;
    FUZZ_REQUIRE(lines != NULL && sim_lines_init(lines, in, "", 0));
    struct sim_import *m = sim_import_new(lines, NULL);
    struct sim_kct_writer *w = sim_kct_writer_open(to_memory, NULL, 1);
    FUZZ_REQUIRE(m != NULL && w != NULL);
    run(m, w);
    sim_import_free(m);
    sim_input_close(in);
    return 0;
}
