/* SPDX-License-Identifier: BSD-2-Clause */
/* account: the contract of kc/account.h, and the invariants B1 and B2 of src/mem/account.c. */
#include <kc_test.h>

#include <kc/account.h>
#include <kc/tag.h>

#include "kc_bytes.h"
#include "expect_misuse.h"

#define OWNERS 64u
#define SLOTS  1024u

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_heap heap;
static struct kc_account account;
static struct kc_account_owner owners[OWNERS];
static KC_ALIGNED(64) uint64_t table[SLOTS];

static void set_up(void)
{
    struct kc_heap_config config = {"test", &misuse, 0, 0, NULL, 0};
    cr_assert(kc_test_ram(KC_MIB(8), &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_heap_init(&heap, &config, &frames), KC_OK);
    struct kc_account_config c = {"test", owners, table, OWNERS, SLOTS, &misuse};
    cr_assert_eq(kc_account_init(&account, &c, &heap), KC_OK);
}

TestSuite(account, .init = set_up);

static void expect_nothing_held(void)
{
    struct kc_frame_stats s;
    cr_expect_eq(kc_heap_fini(&heap), KC_OK);
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.used_frames, 0);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
}

static void *get(uint32_t owner, size_t size)
{
    void *p = NULL;
    cr_assert_eq(kc_account_alloc(&account, owner, size, 0, &p), KC_OK);
    return p;
}

static uint64_t bytes_of(uint32_t owner)
{
    struct kc_account_owner o;
    cr_assert(kc_account_owner_stats(&account, owner, &o));
    return o.bytes;
}

Test(account, init_refuses_what_is_malformed)
{
    struct kc_account a;
    struct kc_account_config good = {NULL, owners, table, OWNERS, SLOTS, &misuse};
    struct kc_account_config c = good;
    cr_expect_eq(kc_account_init(NULL, &c, &heap), KC_ERR_ARG);
    cr_expect_eq(kc_account_init(&a, NULL, &heap), KC_ERR_ARG);
    cr_expect_eq(kc_account_init(&a, &c, NULL), KC_ERR_ARG);
    c.owner = NULL;
    cr_expect_eq(kc_account_init(&a, &c, &heap), KC_ERR_ARG);
    c = good;
    c.slot = NULL;
    cr_expect_eq(kc_account_init(&a, &c, &heap), KC_ERR_ARG);
    c = good;
    c.owner_count = 0;
    cr_expect_eq(kc_account_init(&a, &c, &heap), KC_ERR_RANGE);
    c.owner_count = KC_ACCOUNT_OWNERS_MAX + 1;
    cr_expect_eq(kc_account_init(&a, &c, &heap), KC_ERR_RANGE);
    c = good;
    c.slot_count = KC_ACCOUNT_SLOTS_MIN / 2;
    cr_expect_eq(kc_account_init(&a, &c, &heap), KC_ERR_RANGE);
    c.slot_count = SLOTS - 8;
    cr_expect_eq(kc_account_init(&a, &c, &heap), KC_ERR_RANGE);
}

Test(account, quota_holds_and_counts)
{
    struct kc_account_owner o;
    void *p, *q = &p;
    cr_expect_eq(kc_account_set_quota(&account, OWNERS, 1), KC_ERR_RANGE);
    cr_expect_eq(kc_account_set_quota(&account, 3, 300), KC_OK);
    p = get(3, 190); /* is granted 192 */
    cr_expect_eq(kc_account_alloc(&account, 3, 105, 0, &q), KC_ERR_QUOTA);
    cr_expect_eq(q, (void *)&p, "untouched");
    void *r = get(3, 104);
    void *other = get(4, 50000);
    cr_expect(kc_account_owner_stats(&account, 3, &o));
    cr_expect_eq(o.bytes, 296);
    cr_expect_eq(o.blocks, 2);
    cr_expect_eq(o.alloc_count, 2);
    cr_expect_eq(o.quota_count, 1);
    cr_expect_eq(kc_account_resize(&account, r, 200, 0, &q), KC_ERR_QUOTA);
    cr_expect_eq(kc_account_resize(&account, other, 60000, 0, &q), KC_OK);
    cr_expect_eq(bytes_of(4), kc_heap_granted(60000));
    other = q;
    cr_expect_eq(kc_account_free(&account, p), KC_OK);
    cr_expect_eq(kc_account_resize(&account, r, 190, 0, &q), KC_OK);
    cr_expect_eq(bytes_of(3), 192);
    cr_expect_eq(kc_account_alloc(&account, OWNERS, 8, 0, &q), KC_ERR_RANGE);
    cr_expect_eq(kc_account_alloc(&account, 1, 0, 0, &q), KC_ERR_RANGE);
    cr_expect_eq(kc_account_alloc(&account, 1, 8, KC_HEAP_ERASE, &q), KC_ERR_ARG);
    cr_expect_not(kc_account_owner_stats(&account, OWNERS, &o));
    EXPECT_MISUSE(kc_account_fini(&account), KC_ERR_STATE, KC_MISUSE_BUSY);
    cr_expect_eq(kc_account_free(&account, q), KC_OK);
    cr_expect_eq(kc_account_free(&account, other), KC_OK);
    cr_expect_eq(bytes_of(3) + bytes_of(4), 0);
    cr_expect_eq(kc_account_check(&account, NULL), KC_OK);
    cr_expect_eq(kc_account_fini(&account), KC_OK);
    expect_nothing_held();
}

Test(account, the_peak_is_the_most_there_was)
{
    struct kc_account_owner o;
    void *great = get(0, 1000);
    uint64_t most = bytes_of(0);
    cr_expect_eq(kc_account_free(&account, great), KC_OK);
    void *small = get(0, 8);
    cr_assert(kc_account_owner_stats(&account, 0, &o));
    cr_expect_lt(o.bytes, most);
    cr_expect_eq(o.peak_bytes, most);
    cr_expect_eq(kc_account_free(&account, small), KC_OK);
    expect_nothing_held();
}

Test(account, every_bad_free_has_its_answer)
{
    static unsigned char elsewhere[16];
    void *out = NULL;
    unsigned char *nobodys = kc_heap_alloc(&heap, 40, 0);
    unsigned char *p = get(7, 40);
    uint32_t owner = 0;
    cr_expect(kc_account_owner_of(&account, p, &owner));
    cr_expect_eq(owner, 7);
    cr_expect_not(kc_account_owner_of(&account, p + 1, &owner));
    cr_expect_not(kc_account_owner_of(&account, nobodys, &owner));
    cr_expect_eq(kc_account_free(&account, NULL), KC_OK);
    EXPECT_MISUSE(kc_account_free(&account, nobodys), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    EXPECT_MISUSE(kc_account_resize(&account, nobodys, 8, 0, &out), KC_ERR_PERM,
                  KC_MISUSE_WRONG_OWNER);
    EXPECT_MISUSE(kc_account_free(&account, p + 8), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_account_free(&account, elsewhere), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    cr_expect_eq(kc_account_free(&account, p), KC_OK);
    EXPECT_MISUSE(kc_account_free(&account, p), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(kc_heap_free(&heap, nobodys), KC_OK);
    cr_expect_eq(kc_account_fini(&account), KC_OK);
    expect_nothing_held();
}

/* How far the table fills before a block finds both of its lines full; then nothing is left over.
 */
Test(account, the_table_fills_well_and_then_refuses)
{
    struct kc_heap_stats s;
    void *p = NULL;
    uint32_t count = 0;
    while (kc_account_alloc(&account, count % OWNERS, 24 + count % 3 * 40, 0, &p) == KC_OK) {
        count++;
    }
    /* Of addresses that nobody chose, one table in a hundred is full before three quarters. */
    cr_expect_geq(count, SLOTS / 2, "%u of %u", count, SLOTS);
    cr_expect_lt(count, SLOTS + 1);
    cr_expect_eq(kc_account_full_count(&account), 1);
    kc_heap_stats(&heap, &s);
    cr_expect_eq(s.live, count);
    cr_expect_eq(kc_account_check(&account, NULL), KC_OK);
    for (uint32_t o = 0; o < OWNERS; o++) {
        uint32_t cursor = 0;
        while ((p = kc_account_next(&account, o, &cursor)) != NULL) {
            cr_assert_eq(kc_account_free(&account, p), KC_OK);
            count--;
        }
        cr_expect_eq(bytes_of(o), 0);
    }
    cr_expect_eq(count, 0);
    cr_expect_eq(kc_account_fini(&account), KC_OK);
    expect_nothing_held();
}

/* The model: a table of blocks, owners and sums; some frames fail. */
Test(account, random_operations_agree_with_the_model)
{
    static struct {
        unsigned char *p;
        size_t usable;
        uint32_t owner;
    } block[200];
    static uint64_t sum[OWNERS], blocks[OWNERS];
    uint64_t seed = kc_test_seed();
    __builtin_memset(block, 0, sizeof(block));
    __builtin_memset(sum, 0, sizeof(sum));
    __builtin_memset(blocks, 0, sizeof(blocks));
    for (uint32_t step = 0; step < 6000; step++) {
        uint64_t x = kc_random(&seed) >> 8;
        uint32_t i = (uint32_t)(x % KC_ARRAY_COUNT(block));
        size_t size = 1 + (size_t)(x >> 20) % ((x >> 12 & 7) == 0 ? 40000 : 500);
        void *p = NULL;
        if ((x >> 40) % 16 == 0) {
            kc_frames_fail_after(&frames, (x >> 44) % 2);
        }
        if (block[i].p == NULL) {
            uint32_t owner = (uint32_t)(x >> 32) % OWNERS;
            uint64_t quota = (x >> 48) % 20000;
            kc_account_set_quota(&account, owner, quota);
            bool fits = sum[owner] + kc_heap_granted(size) <= quota;
            kc_status_t status = kc_account_alloc(&account, owner, size, 0, &p);
            cr_assert(fits ? status == KC_OK || status == KC_ERR_NOMEM : status == KC_ERR_QUOTA);
            if (status == KC_OK) {
                block[i].p = p;
                block[i].owner = owner;
                block[i].usable = kc_heap_usable(&heap, p);
                __builtin_memset(p, (int)i, block[i].usable);
                sum[owner] += block[i].usable;
                blocks[owner]++;
            }
        } else if ((x >> 32) % 3 == 0) {
            uint32_t owner = block[i].owner;
            size_t old = block[i].usable;
            kc_status_t status = kc_account_resize(&account, block[i].p, size, 0, &p);
            cr_assert(status == KC_OK || status == KC_ERR_NOMEM || status == KC_ERR_QUOTA);
            if (status == KC_OK) {
                block[i].p = p;
                block[i].usable = kc_heap_usable(&heap, p);
                cr_assert_eq(block[i].usable, kc_heap_granted(size));
                sum[owner] = sum[owner] + block[i].usable - old;
            }
            cr_assert_eq(block[i].p[0], i);
            cr_assert_eq(block[i].p[(old < size ? old : size) - 1], i);
            __builtin_memset(block[i].p, (int)i, block[i].usable);
        } else {
            cr_assert_eq(kc_account_free(&account, block[i].p), KC_OK);
            sum[block[i].owner] -= block[i].usable;
            blocks[block[i].owner]--;
            block[i].p = NULL;
        }
        uint32_t o = (uint32_t)(x >> 32) % OWNERS;
        struct kc_account_owner is;
        cr_assert(kc_account_owner_stats(&account, o, &is));
        cr_assert(is.bytes == sum[o] && is.blocks == blocks[o]);
        if (step % 64 == 0) {
            cr_assert_eq(kc_account_check(&account, NULL), KC_OK);
        }
    }
    cr_expect_eq(kc_account_check(&account, NULL), KC_OK);
    kc_frames_fail_after(&frames, UINT64_MAX);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(block); i++) {
        cr_assert_eq(kc_account_free(&account, block[i].p), KC_OK);
    }
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    cr_expect_eq(kc_account_fini(&account), KC_OK);
    expect_nothing_held();
}

#define EXPECT_BROKEN(n, place, wrong)                                         \
    do {                                                                       \
        uint32_t invariant_ = 0;                                               \
        __typeof__(place) saved_ = (place);                                    \
        (place) = (wrong);                                                     \
        cr_expect_eq(kc_account_check(&account, &invariant_), KC_ERR_CORRUPT); \
        cr_expect_eq(invariant_, (uint32_t)(n), #place);                       \
        (place) = saved_;                                                      \
    } while (0)

Test(account, check_sees_each_broken_invariant)
{
    void *p = get(0, 40);
    void *own = kc_heap_alloc(&heap, 40, 0);
    uint64_t *entry = table;
    while (*entry == 0) {
        entry++;
    }
    EXPECT_BROKEN(1, *entry, *entry | 0xff);
    EXPECT_BROKEN(1, *entry, *entry + 0x100);
    EXPECT_BROKEN(1, entry[entry == table ? 64 : -(entry - table)], *entry);
    EXPECT_BROKEN(2, *entry, *entry + 1);
    EXPECT_BROKEN(2, *entry, 0u);
    EXPECT_BROKEN(2, owners[0].bytes, 48u);
    EXPECT_BROKEN(2, owners[0].peak_bytes, 8u);
    EXPECT_BROKEN(2, owners[0].blocks, 2u);
    cr_expect_eq(kc_account_free(&account, p), KC_OK);
    cr_expect_eq(kc_heap_free(&heap, own), KC_OK);
    cr_expect_eq(kc_account_fini(&account), KC_OK);
    expect_nothing_held();
}

/* An address that differs from a block's in any bit is no block's. */
Test(account, owner_of_looks_at_every_bit)
{
    void *p = get(3, 100);
    uint32_t owner = 99;
    cr_assert(kc_account_owner_of(&account, p, &owner));
    cr_expect_eq(owner, 3);
    for (uint32_t bit = 0; bit < sizeof(p) * 8; bit++) {
        const void *q = (const void *)((uintptr_t)p ^ (uintptr_t)1 << bit);
        if (kc_tag_strip(q) == kc_tag_strip(p)) {
            continue; /* a tag's bit: no part of the address */
        }
        cr_expect(!kc_account_owner_of(&account, q, &owner), "bit %u", bit);
    }
    cr_expect_eq(kc_account_free(&account, p), KC_OK);
}

Test(account, resize_of_null_is_refused)
{
    void *out = &account;
    EXPECT_MISUSE(kc_account_resize(&account, NULL, 100, 0, &out), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    cr_expect_eq(out, (void *)&account);
    cr_expect_eq(kc_account_check(&account, NULL), KC_OK);
}
