/* SPDX-License-Identifier: BSD-2-Clause */
/* The .kct reader: handmade files, every cut, every flipped bit, and lies with right checksums. */
#include "kc_test.h"

#include "kct.h"

#include <kc/bits.h>

#define FILE_MAX 16384u

/* ---- a file made by hand --------------------------------------------------------------------- */

struct image {
    uint8_t byte[FILE_MAX];
    size_t size;
    size_t block; /* where the block under construction begins */
};

static struct image file;
static struct kc_kct kct;
static uint8_t block[KC_KCT_BLOCK_MAX];
static struct kc_event events[64];

static void put(uint32_t b)
{
    file.byte[file.size++] = (uint8_t)b;
}

static void put32_at(size_t at, uint32_t v)
{
    for (uint32_t i = 0; i < 4; i++) {
        file.byte[at + i] = (uint8_t)(v >> (8 * i));
    }
}

static void put_bytes(const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put(((const uint8_t *)bytes)[i]);
    }
}

static void put_varint(uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        put((uint32_t)(v & 0x7f) | 0x80);
    }
    put((uint32_t)v);
}

static void put_name(const char *name)
{
    size_t n = __builtin_strlen(name);
    put_varint(n);
    put_bytes(name, n);
}

static void begin_file(uint32_t version)
{
    file.size = 0;
    put_bytes(KC_KCT_MAGIC, KC_KCT_MAGIC_BYTES);
    put(version);
    put(0);
    put(0);
    put(0);
    file.size += 4;
    put32_at(12, kc_crc32c(0, file.byte, 12));
}

static void begin_block(void)
{
    file.block = file.size;
    file.size += KC_KCT_BLOCK_HEADER;
}

static void end_block(uint32_t count, uint32_t kind)
{
    size_t at = file.block;
    put32_at(at, (uint32_t)(file.size - at - KC_KCT_BLOCK_HEADER));
    put32_at(at + 4, count);
    put32_at(at + 8, kind);
    uint32_t crc = kc_crc32c(0, file.byte + at, 12);
    put32_at(at + 12, kc_crc32c(crc, file.byte + at + KC_KCT_BLOCK_HEADER,
                                file.size - at - KC_KCT_BLOCK_HEADER));
}

/* A block of events whose time unit is 1000 ns and whose first time is 5 units. */
static void begin_events(void)
{
    begin_block();
    put_varint(1000);
    put_varint(5);
}

static void put_type(void)
{
    put(KC_EVENT_TYPE);
    put_varint(KC_TYPE_CACHE);
    put_varint(184);
    put_varint(192);
    put_varint(21);
    put_varint(1);
    put_name("filp");
}

static void put_footer(const uint64_t total[16])
{
    begin_block();
    for (uint32_t i = 0; i < 16; i++) {
        put_varint(total[i]);
    }
    end_block(0, KC_KCT_FOOTER);
}

/* The file that most cases begin with: 8 records in two blocks. */
static void make_good_file(void)
{
    begin_file(1);
    begin_events();
    put_type();
    put(KC_EVENT_SITE);
    put_name("f+0x1/0x2");
    put(KC_EVENT_ALLOC | KC_KCT_OTHER_CPU | KC_KCT_OTHER_SLOT | KC_KCT_OTHER_SITE);
    put_varint(2); /* time 7 units */
    put_varint(1); /* CPU */
    put_varint(6); /* slot 0 + 3 */
    put_varint(0); /* type */
    put_varint(1); /* site */
    put(KC_EVENT_FREE | KC_KCT_IMPLICIT);
    put_varint(0);
    end_block(4, KC_KCT_EVENTS);
    begin_block();
    put_varint(1000);
    put_varint(9);
    put(KC_EVENT_PAGE_ALLOC | KC_KCT_OTHER_SLOT);
    put_varint(1); /* time 10 units */
    put_varint(3); /* slot 3 - 2 */
    put_varint(2); /* order */
    put(KC_EVENT_PAGE_FREE);
    put_varint(0);
    put(KC_EVENT_NULL_FREE);
    put_varint(0);
    put(KC_EVENT_LOST);
    put_varint(0);
    put_varint(300);
    end_block(4, KC_KCT_EVENTS);
    const uint64_t total[16] = {1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 300, 1, 1, 4, 7000, 10000};
    put_footer(total);
}

/* ---- reading it ------------------------------------------------------------------------------ */

static struct kc_kct_memory memory;

static void open_file(size_t size)
{
    memory.bytes = file.byte;
    memory.size = size;
    memory.at = 0;
    const struct kc_kct_input in = {kc_kct_memory_read, &memory};
    kc_kct_init(&kct, &in, block);
}

/* Everything up to the end or an error; the events are counted in *count. */
static kc_status_t read_all(uint32_t *count)
{
    uint32_t n;
    *count = 0;
    for (;;) {
        kc_status_t s = kc_kct_fill(&kct, events, (uint32_t)KC_ARRAY_COUNT(events), &n);
        if (s != KC_OK || n == 0) {
            return s;
        }
        *count += n;
    }
}

/* The file as it stands must be refused, with that place and those words. */
static void expect_error(kc_status_t status, uint64_t offset, const char *expected)
{
    uint32_t count;
    open_file(file.size);
    cr_expect_eq(read_all(&count), status);
    cr_expect_eq(kc_kct_error(&kct)->status, status);
    cr_expect_eq(kc_kct_error(&kct)->offset, offset, "offset %llu",
                 (unsigned long long)kc_kct_error(&kct)->offset);
    cr_expect_str_eq(kc_kct_error(&kct)->expected, expected);
    cr_expect_eq(read_all(&count), status, "an error stays");
    cr_expect_eq(count, 0);
}

/* ---- cases ----------------------------------------------------------------------------------- */

Test(kct, crc32c_matches_rfc_3720)
{
    uint8_t b[32];
    cr_assert_eq(kc_crc32c(0, "123456789", 9), 0xe3069283u);
    for (uint32_t i = 0; i < 32; i++) {
        b[i] = 0;
    }
    cr_assert_eq(kc_crc32c(0, b, 32), 0x8a9136aau);
    for (uint32_t i = 0; i < 32; i++) {
        b[i] = 0xff;
    }
    cr_assert_eq(kc_crc32c(0, b, 32), 0x62a8ab43u);
    for (uint32_t i = 0; i < 32; i++) {
        b[i] = (uint8_t)i;
    }
    cr_assert_eq(kc_crc32c(0, b, 32), 0x46dd794eu);
    cr_assert_eq(kc_crc32c(kc_crc32c(0, b, 7), b + 7, 25), 0x46dd794eu, "in two parts");
}

Test(kct, reads_every_kind_as_written)
{
    uint32_t n;
    make_good_file();
    open_file(file.size);
    cr_assert_eq(kc_kct_fill(&kct, events, 64, &n), KC_OK);
    cr_assert_eq(n, 1, "a definition ends its batch");
    cr_assert_eq(events[0].kind, KC_EVENT_TYPE);
    cr_assert_str_eq(events[0].definition->name, "filp");
    cr_assert_eq(events[0].definition->object_bytes, 184);
    cr_assert_eq(events[0].definition->granted_bytes, 192);
    cr_assert_eq(events[0].definition->objects_per_slab, 21);
    cr_assert_eq(kc_kct_fill(&kct, events, 64, &n), KC_OK);
    cr_assert_eq(n, 1);
    cr_assert_eq(events[0].site, 1);
    cr_assert_str_eq(events[0].name, "f+0x1/0x2");
    cr_assert_eq(kc_kct_fill(&kct, events, 64, &n), KC_OK);
    cr_assert_eq(n, 6);
    cr_assert_eq(events[0].kind, KC_EVENT_ALLOC);
    cr_assert_eq(events[0].time_ns, 7000);
    cr_assert_eq(events[0].cpu, 1);
    cr_assert_eq(events[0].slot, 3);
    cr_assert_eq(events[0].requested, 184, "as the type says");
    cr_assert_eq(events[0].granted, 192);
    cr_assert_eq(events[0].site, 1);
    cr_assert_eq(events[1].kind, KC_EVENT_FREE);
    cr_assert_eq(events[1].implicit, 1);
    cr_assert_eq(events[1].slot, 3);
    cr_assert_eq(events[1].cpu, 1);
    cr_assert_eq(events[2].kind, KC_EVENT_PAGE_ALLOC);
    cr_assert_eq(events[2].time_ns, 10000);
    cr_assert_eq(events[2].slot, 1);
    cr_assert_eq(events[2].order, 2);
    cr_assert_eq(events[3].kind, KC_EVENT_PAGE_FREE);
    cr_assert_eq(events[4].kind, KC_EVENT_NULL_FREE);
    cr_assert_eq(events[5].kind, KC_EVENT_LOST);
    cr_assert_eq(events[5].count, 300);
    cr_assert_eq(kc_kct_fill(&kct, events, 64, &n), KC_OK);
    cr_assert_eq(n, 0);
    cr_assert_eq(kc_kct_fill(&kct, events, 64, &n), KC_OK, "the end stays the end");
    cr_assert_eq(n, 0);
    cr_assert_eq(kc_kct_totals(&kct)->lost_events, 300);
    cr_assert_eq(kc_kct_totals(&kct)->slots, 4);
}

Test(kct, every_cut_is_noticed)
{
    uint32_t count;
    make_good_file();
    for (size_t size = 0; size < file.size; size++) {
        open_file(size);
        cr_assert_eq(read_all(&count), KC_ERR_CORRUPT, "cut to %u bytes", (unsigned)size);
        cr_assert_leq(kc_kct_error(&kct)->offset, size);
    }
    open_file(file.size);
    cr_assert_eq(read_all(&count), KC_OK);
    cr_assert_eq(count, 8);
}

Test(kct, every_flipped_bit_is_noticed)
{
    uint32_t count;
    make_good_file();
    for (size_t bit = 0; bit < 8 * file.size; bit++) {
        file.byte[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        open_file(file.size);
        cr_assert_neq(read_all(&count), KC_OK, "bit %u of byte %u", (unsigned)(bit % 8),
                      (unsigned)(bit / 8));
        file.byte[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

/* Gives one byte at a time. */
static kc_status_t read_one(void *ctx, void *buf, size_t max, size_t *n)
{
    return kc_kct_memory_read(ctx, buf, max < 1 ? max : 1, n);
}

Test(kct, input_in_single_bytes_reads_the_same)
{
    uint32_t count;
    make_good_file();
    open_file(file.size);
    const struct kc_kct_input in = {read_one, &memory};
    kc_kct_init(&kct, &in, block);
    cr_assert_eq(read_all(&count), KC_OK);
    cr_assert_eq(count, 8);
}

static kc_status_t read_fails(void *ctx, void *buf, size_t max, size_t *n)
{
    (void)ctx;
    (void)buf;
    (void)max;
    *n = 0;
    return KC_ERR_FAULT;
}

Test(kct, a_failing_input_ends_with_its_status)
{
    uint32_t count;
    const struct kc_kct_input in = {read_fails, NULL};
    kc_kct_init(&kct, &in, block);
    cr_assert_eq(read_all(&count), KC_ERR_FAULT);
}

Test(kct, another_version_is_refused)
{
    begin_file(2);
    expect_error(KC_ERR_UNSUPPORTED, 8, "format version 1");
    cr_expect_eq(kc_kct_error(&kct)->found, 2);
}

Test(kct, what_is_no_kct_is_refused)
{
    file.size = 0;
    expect_error(KC_ERR_CORRUPT, 0, "the magic of a .kct file");
    put_bytes("# tracer: nop\n# and so on\n", 26);
    expect_error(KC_ERR_CORRUPT, 0, "the magic of a .kct file");
}

Test(kct, bytes_behind_the_footer_are_refused)
{
    make_good_file();
    put(0);
    expect_error(KC_ERR_CORRUPT, file.size - 1, "the end of the file behind the footer");
}

Test(kct, footer_must_count_right)
{
    begin_file(1);
    const uint64_t total[16] = {1};
    put_footer(total);
    expect_error(KC_ERR_CORRUPT, 33, "a footer total equal to what the file holds");
}

Test(kct, a_block_beyond_the_limit_is_refused_before_it_is_read)
{
    begin_file(1);
    begin_block();
    put32_at(file.block, KC_KCT_BLOCK_MAX + 1);
    put32_at(file.block + 4, 1);
    put32_at(file.block + 8, KC_KCT_EVENTS);
    expect_error(KC_ERR_CORRUPT, 16, "a block of 1 to 65536 bytes");
}

/* One record behind the usual type, in a block whose checksum is right. */
static void make_record(const void *bytes, size_t n)
{
    begin_file(1);
    begin_events();
    put_type();
    put_bytes(bytes, n);
    end_block(2, KC_KCT_EVENTS);
}

#define EXPECT_RECORD_ERROR(expected, ...)                 \
    do {                                                   \
        static const uint8_t record_[] = {__VA_ARGS__};    \
        make_record(record_, sizeof(record_));             \
        expect_error(KC_ERR_CORRUPT, file.size, expected); \
    } while (0)

Test(kct, lies_inside_a_block_are_refused)
{
    EXPECT_RECORD_ERROR("a record kind of 0 to 10 with flags of its own", 0x0f);
    EXPECT_RECORD_ERROR("a record kind of 0 to 10 with flags of its own", 0x80 | KC_EVENT_FREE);
    EXPECT_RECORD_ERROR("a record kind of 0 to 10 with flags of its own", 0x10 | KC_EVENT_TYPE);
    EXPECT_RECORD_ERROR("a type that is defined", KC_EVENT_ALLOC, 0, 1);
    EXPECT_RECORD_ERROR("a site that is defined", KC_EVENT_ALLOC | KC_KCT_OTHER_SITE, 0, 0, 1);
    EXPECT_RECORD_ERROR("a CPU of 0 to 4095", KC_EVENT_NULL_FREE | KC_KCT_OTHER_CPU, 0, 0x80, 0x20);
    EXPECT_RECORD_ERROR("a slot of 0 to 2^23 - 1", KC_EVENT_FREE | KC_KCT_OTHER_SLOT, 0, 1);
    EXPECT_RECORD_ERROR("a slot of 0 to 2^23 - 1", KC_EVENT_FREE | KC_KCT_OTHER_SLOT, 0, 0x80, 0x80,
                        0x80, 0x08);
    EXPECT_RECORD_ERROR("a slot difference of at most 2^23", KC_EVENT_FREE | KC_KCT_OTHER_SLOT, 0,
                        0xff, 0xff, 0xff, 0xff, 0x7f);
    EXPECT_RECORD_ERROR("a requested size of at most 2^30", KC_EVENT_ALLOC | KC_KCT_OTHER_SIZES, 0,
                        0, 0xff, 0xff, 0xff, 0xff, 0x7f);
    EXPECT_RECORD_ERROR("a granted size of at most 2^30", KC_EVENT_ALLOC | KC_KCT_OTHER_SIZES, 0, 0,
                        1, 0x80, 0x80, 0x80, 0x80, 0x04);
    EXPECT_RECORD_ERROR("an order of at most 20", KC_EVENT_PAGE_ALLOC, 0, 21);
    EXPECT_RECORD_ERROR("a count that is not 0", KC_EVENT_SKIPPED, 0, 0);
    EXPECT_RECORD_ERROR("a name of 1 to 63 bytes inside the block", KC_EVENT_SITE, 0);
    EXPECT_RECORD_ERROR("a name of 1 to 63 bytes", KC_EVENT_SITE, 64);
    EXPECT_RECORD_ERROR("a whole number inside the block", KC_EVENT_TYPE, 0x80);
    EXPECT_RECORD_ERROR("a type kind of 0 to 2", KC_EVENT_TYPE, 3);
    EXPECT_RECORD_ERROR("a record inside the block");
    static const uint8_t short_name[] = {KC_EVENT_SITE, 5, 'a'};
    make_record(short_name, sizeof(short_name));
    expect_error(KC_ERR_CORRUPT, file.size - 1, "a name of 1 to 63 bytes inside the block");
}

Test(kct, records_must_fill_their_block)
{
    begin_file(1);
    begin_events();
    put_type();
    put(0);
    end_block(1, KC_KCT_EVENTS);
    expect_error(KC_ERR_CORRUPT, file.size - 1, "the end of the block behind its last record");
}

Test(kct, time_cannot_wrap_or_go_back)
{
    static const uint8_t far[] = {
        KC_EVENT_NULL_FREE, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    make_record(far, sizeof(far));
    expect_error(KC_ERR_CORRUPT, file.size, "a time that fits 64 bits of nanoseconds");
    begin_file(1);
    begin_events();
    put_type();
    end_block(1, KC_KCT_EVENTS);
    begin_block();
    put_varint(1000);
    put_varint(4);
    put_type();
    end_block(1, KC_KCT_EVENTS);
    expect_error(KC_ERR_CORRUPT, file.block + KC_KCT_BLOCK_HEADER + 3,
                 "a time not before the last event");
}

Test(kct, what_is_good_before_an_error_comes_first)
{
    static const uint8_t bad[] = {0x0f};
    uint32_t n;
    make_record(bad, sizeof(bad));
    open_file(file.size);
    cr_assert_eq(kc_kct_fill(&kct, events, 64, &n), KC_OK);
    cr_assert_eq(n, 1);
    cr_assert_eq(kc_kct_fill(&kct, events, 64, &n), KC_ERR_CORRUPT);
    cr_assert_eq(n, 0);
}

Test(kct, memory_of_types_is_bounded)
{
    uint32_t count;
    begin_file(1);
    for (uint32_t i = 0; i < KC_TRACE_TYPES_MAX; i++) {
        if (i % 256 == 0) {
            begin_events();
        }
        put(KC_EVENT_TYPE);
        put_varint(KC_TYPE_HEAP);
        put_varint(0);
        put_varint(8);
        put(0);
        put(0);
        put(1);
        put('h');
        if (i % 256 == 255) {
            end_block(256, KC_KCT_EVENTS);
        }
    }
    open_file(file.size);
    cr_assert_eq(read_all(&count), KC_ERR_CORRUPT, "no footer");
    cr_assert_eq(count, KC_TRACE_TYPES_MAX);
    begin_events();
    put_type();
    end_block(1, KC_KCT_EVENTS);
    expect_error(KC_ERR_CORRUPT, file.block + KC_KCT_BLOCK_HEADER + 4, "at most 1024 types");
}
