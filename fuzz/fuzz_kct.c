/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The .kct reader on hostile bytes. The first byte chooses: as they are, or with every checksum put
 * right, so that what lies behind the checksums is reached too. Whatever is given out must be
 * inside the limits, and the same when the input comes in small pieces.
 */
#include "fuzz.h"

#include <string.h>

#include "kct.h"

#define FILE_MAX 65536u

static uint8_t file[FILE_MAX];
static uint8_t block[KC_KCT_BLOCK_MAX];
static struct kc_kct kct;

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_le32(uint8_t *p, uint32_t v)
{
    for (uint32_t i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

/* Put the checksums right, block by block, as far as the sizes lead. */
static void repair(size_t n)
{
    size_t at = KC_KCT_HEADER_BYTES;
    if (n < at) {
        return;
    }
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): a magic is no string */
    memcpy(file, KC_KCT_MAGIC, KC_KCT_MAGIC_BYTES);
    put_le32(file + 12, kc_crc32c(0, file, 12));
    while (n - at >= KC_KCT_BLOCK_HEADER) {
        uint32_t size = le32(file + at);
        if (size > n - at - KC_KCT_BLOCK_HEADER) {
            return;
        }
        uint32_t crc = kc_crc32c(0, file + at, 12);
        put_le32(file + at + 12, kc_crc32c(crc, file + at + KC_KCT_BLOCK_HEADER, size));
        at += KC_KCT_BLOCK_HEADER + size;
    }
}

static kc_status_t read_three(void *ctx, void *buf, size_t max, size_t *n)
{
    return kc_kct_memory_read(ctx, buf, max < 3 ? max : 3, n);
}

struct outcome {
    kc_status_t status;
    uint64_t hash;
    struct kc_kct_error error;
};

static void judge(const struct kc_event *e, uint64_t *time, uint32_t *types, uint32_t *sites)
{
    FUZZ_REQUIRE(e->kind < KC_EVENT_KIND_COUNT);
    FUZZ_REQUIRE(e->slot < KC_TRACE_SLOTS_MAX && e->cpu < KC_TRACE_CPUS_MAX);
    FUZZ_REQUIRE(e->granted <= KC_TRACE_BYTES_MAX && e->requested <= e->granted);
    FUZZ_REQUIRE(e->order <= KC_TRACE_ORDER_MAX);
    if (e->kind == KC_EVENT_TYPE) {
        FUZZ_REQUIRE(e->type == (*types)++ && e->definition != NULL);
        FUZZ_REQUIRE(memchr(e->definition->name, 0, sizeof(e->definition->name)) != NULL);
    } else if (e->kind == KC_EVENT_SITE) {
        FUZZ_REQUIRE(e->site == ++*sites && strlen(e->name) <= KC_TRACE_NAME_MAX);
    } else {
        FUZZ_REQUIRE(e->time_ns >= *time);
        FUZZ_REQUIRE(e->kind != KC_EVENT_ALLOC || (e->type < *types && e->site <= *sites));
        *time = e->time_ns;
    }
}

static struct outcome read_all(size_t n, kc_status_t (*read)(void *, void *, size_t, size_t *))
{
    struct kc_kct_memory memory = {file, n, 0};
    const struct kc_kct_input in = {read, &memory};
    struct kc_event batch[16];
    struct outcome out = {KC_OK, 0, {KC_OK, 0, NULL, 0}};
    uint64_t time = 0;
    uint32_t types = 0;
    uint32_t sites = 0;
    uint32_t count;
    kc_kct_init(&kct, &in, block);
    while ((out.status = kc_kct_fill(&kct, batch, 16, &count)) == KC_OK && count != 0) {
        FUZZ_REQUIRE(count <= 16);
        for (uint32_t i = 0; i < count; i++) {
            judge(&batch[i], &time, &types, &sites);
            out.hash = (out.hash ^ batch[i].slot ^ batch[i].kind) * 0x100000001b3ull;
        }
    }
    out.error = *kc_kct_error(&kct);
    FUZZ_REQUIRE(out.error.status == out.status && out.error.offset <= n);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1 || n > FILE_MAX) {
        return 0;
    }
    n--;
    memcpy(file, data + 1, n);
    if ((data[0] & 1) != 0) {
        repair(n);
    }
    struct outcome whole = read_all(n, kc_kct_memory_read);
    struct outcome pieces = read_all(n, read_three);
    FUZZ_REQUIRE(whole.status == pieces.status && whole.hash == pieces.hash);
    FUZZ_REQUIRE(whole.error.offset == pieces.error.offset);
    return 0;
}
