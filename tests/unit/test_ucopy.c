/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ucopy: what needs no user memory: the judgement of ranges, and that what is refused is refused
 * before anything is touched, with zeros where user data would have been. With user memory:
 * tests/host/test_ucopy_pages.c, and the kernel's vm rounds on the machines with an MMU.
 */
#include <kc_test.h>

#include <kc/ucopy.h>

#define BASE  UINT64_C(0x10000)
#define BYTES UINT64_C(0x20000)

static const struct kc_uwindow window = {{BASE}, BYTES, NULL};
static unsigned char buffer[256];

static void set_up(void)
{
    __builtin_memset(buffer, 0xee, sizeof(buffer));
}

TestSuite(ucopy, .init = set_up);

static bool is_all(unsigned char c, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (buffer[i] != c) {
            return false;
        }
    }
    return true;
}

static kc_status_t judge(uint64_t at, uint64_t n)
{
    return kc_uwindow_check(&window, kc_uva(at), n);
}

/*
 *      0     BASE            BASE + BYTES     2^63          2^64
 *      |      |------------------|              |             |
 */
Test(ucopy, window_answers_are_distinct)
{
    cr_expect_eq(judge(BASE, 1), KC_OK);
    cr_expect_eq(judge(BASE, BYTES), KC_OK);
    cr_expect_eq(judge(BASE + BYTES - 1, 1), KC_OK);
    cr_expect_eq(judge(BASE - 1, 1), KC_ERR_RANGE);
    cr_expect_eq(judge(BASE + BYTES, 1), KC_ERR_RANGE);
    cr_expect_eq(judge(0, BASE), KC_ERR_RANGE, "ends right before");
    cr_expect_eq(judge(0, BASE + 1), KC_ERR_SPAN);
    cr_expect_eq(judge(BASE, BYTES + 1), KC_ERR_SPAN);
    cr_expect_eq(judge(BASE + BYTES - 1, 2), KC_ERR_SPAN);
    cr_expect_eq(judge(BASE - 1, BYTES + 2), KC_ERR_SPAN, "all around");
    cr_expect_eq(judge(BASE, UINT64_C(1) << 63), KC_ERR_SPAN, "into the kernel's half");
    cr_expect_eq(judge(UINT64_C(1) << 63, 1), KC_ERR_PERM);
    cr_expect_eq(judge((UINT64_C(1) << 63) - 1, 1), KC_ERR_RANGE);
    cr_expect_eq(judge(UINT64_C(0xffff000000000000), 4096), KC_ERR_PERM);
    cr_expect_eq(judge(UINT64_MAX, 1), KC_ERR_PERM, "the last byte does not wrap");
    cr_expect_eq(judge(UINT64_MAX, 2), KC_ERR_ARG);
    cr_expect_eq(judge(BASE, UINT64_MAX), KC_ERR_ARG);
    cr_expect_eq(judge(0, UINT64_MAX), KC_ERR_SPAN);
    cr_expect_eq(judge(UINT64_MAX, 0), KC_OK, "nothing is nowhere");
}

/* A twin that counts bytes one by one, over a small space at the bottom. */
Test(ucopy, window_agrees_with_counting)
{
    const struct kc_uwindow small = {kc_uva(8), 16, NULL};
    for (uint64_t at = 0; at < 32; at++) {
        for (uint64_t n = 1; n < 32; n++) {
            uint64_t in = 0;
            for (uint64_t i = at; i < at + n; i++) {
                in += i >= 8 && i < 24;
            }
            kc_status_t expected = in == n ? KC_OK : in == 0 ? KC_ERR_RANGE : KC_ERR_SPAN;
            cr_assert_eq(kc_uwindow_check(&small, kc_uva(at), n), expected);
        }
    }
}

Test(ucopy, window_at_the_ends)
{
    const struct kc_uwindow none = {kc_uva(0), 0, NULL};
    const struct kc_uwindow half = {kc_uva(0), UINT64_C(1) << 63, NULL};
    cr_expect_eq(kc_uwindow_check(&none, kc_uva(0), 1), KC_ERR_RANGE);
    cr_expect_eq(kc_uwindow_check(&half, kc_uva(0), UINT64_C(1) << 63), KC_OK);
    cr_expect_eq(kc_uwindow_check(&half, kc_uva(1), UINT64_C(1) << 63), KC_ERR_SPAN);
}

Test(ucopy, window_of_a_space)
{
    static struct kc_aspace as;
    as.kind = KC_ASPACE_USER;
    as.base = 0x1000;
    as.bytes = 0x5000;
    struct kc_uwindow w = kc_uwindow_of(&as);
    cr_expect_eq(kc_uva_raw(w.base), 0x1000);
    cr_expect_eq(w.bytes, 0x5000);
    as.kind = KC_ASPACE_KERNEL;
    w = kc_uwindow_of(&as);
    cr_expect_eq(w.bytes, 0);
}

static const struct {
    uint64_t at;
    kc_status_t status;
} refused[] = {
    {BASE + BYTES - 4, KC_ERR_SPAN},
    {BASE + BYTES, KC_ERR_RANGE},
    {0, KC_ERR_RANGE},
    {UINT64_C(0xffff000040000000), KC_ERR_PERM},
    {UINT64_MAX - 3, KC_ERR_ARG},
    {UINT64_C(0x0000800000000000), KC_ERR_RANGE},
    {UINT64_C(0x5600000000012345), KC_ERR_RANGE},
};

Test(ucopy, refused_copies_zero_the_destination)
{
    for (size_t i = 0; i < KC_ARRAY_COUNT(refused); i++) {
        size_t left = 99;
        set_up();
        cr_expect_eq(kc_ucopy_from(&window, buffer + 8, kc_uva(refused[i].at), 40, &left),
                     refused[i].status);
        cr_expect_eq(left, 40);
        cr_expect(is_all(0, 8, 48) && is_all(0xee, 0, 8) && is_all(0xee, 48, 256));
        left = 99;
        cr_expect_eq(kc_ucopy_to(&window, kc_uva(refused[i].at), buffer, 40, &left),
                     refused[i].status);
        cr_expect_eq(left, 40);
        left = 99;
        cr_expect_eq(kc_ucopy_clear(&window, kc_uva(refused[i].at), 40, &left), refused[i].status);
        cr_expect_eq(left, 40);
        bool zero = true;
        cr_expect_eq(kc_ucopy_is_zero(&window, kc_uva(refused[i].at), 40, &zero),
                     refused[i].status);
        cr_expect_not(zero);
    }
}

/* Kernel memory offered as a user's, as a hostile caller would: its own buffer. */
Test(ucopy, kernel_pointers_are_refused_both_ways)
{
    uint64_t at = KC_MASK(63, 48) | KC_KIB(4); /* an address of the upper half */
    cr_expect_eq(kc_ucopy_from(&window, buffer + 128, kc_uva(at), 64, NULL), KC_ERR_PERM);
    cr_expect(is_all(0, 128, 192));
    cr_expect_eq(kc_ucopy_to(&window, kc_uva(at), buffer + 128, 64, NULL), KC_ERR_PERM);
    cr_expect(is_all(0xee, 0, 128));
}

Test(ucopy, refused_values_are_zero)
{
    const kc_uva_t kernels = kc_uva(UINT64_C(0xffffffffffff0000));
    uint8_t a = 1;
    uint16_t b = 1;
    uint32_t c = 1;
    uint64_t d = 1;
    cr_expect_eq(kc_ucopy_load_u8(&window, kernels, &a), KC_ERR_PERM);
    cr_expect_eq(kc_ucopy_load_u16(&window, kernels, &b), KC_ERR_PERM);
    cr_expect_eq(kc_ucopy_load_u32(&window, kernels, &c), KC_ERR_PERM);
    cr_expect_eq(kc_ucopy_load_u64(&window, kernels, &d), KC_ERR_PERM);
    cr_expect_eq(a + b + c + d, 0);
    cr_expect_eq(kc_ucopy_store_u8(&window, kernels, 1), KC_ERR_PERM);
    cr_expect_eq(kc_ucopy_store_u16(&window, kernels, 1), KC_ERR_PERM);
    cr_expect_eq(kc_ucopy_store_u32(&window, kernels, 1), KC_ERR_PERM);
    cr_expect_eq(kc_ucopy_store_u64(&window, kernels, 1), KC_ERR_PERM);
    cr_expect_eq(kc_ucopy_load_u64(&window, kc_uva(BASE + BYTES - 7), &d), KC_ERR_SPAN);
}

Test(ucopy, refused_strings_and_structures_are_zero)
{
    const kc_uva_t kernels = kc_uva(UINT64_C(0xffff000000000000));
    size_t length = 77;
    cr_expect_eq(kc_ucopy_string(&window, (char *)buffer, kernels, 16, &length), KC_ERR_PERM);
    cr_expect(is_all(0, 0, 16) && is_all(0xee, 16, 256));
    cr_expect_eq(length, 77, "untouched on error");
    cr_expect_eq(kc_ucopy_string(&window, (char *)buffer, kc_uva(0), 16, NULL), KC_ERR_RANGE);
    cr_expect_eq(kc_ucopy_string(&window, (char *)buffer, kc_uva(BASE), 0, NULL), KC_ERR_ARG);
    set_up();
    cr_expect_eq(kc_ucopy_struct_from(&window, buffer, 24, kernels, 24), KC_ERR_PERM);
    cr_expect(is_all(0, 0, 24) && is_all(0xee, 24, 256));
    cr_expect_eq(kc_ucopy_struct_from(&window, buffer, 24, kc_uva(BASE), 0), KC_ERR_ARG);
    cr_expect_eq(kc_ucopy_struct_from(&window, buffer, 24, kc_uva(BASE), KC_UCOPY_STRUCT_MAX + 1),
                 KC_ERR_UNSUPPORTED);
    cr_expect_eq(kc_ucopy_struct_from(&window, buffer, 24, kc_uva(BASE + BYTES - 8), 16),
                 KC_ERR_SPAN);
    cr_expect_eq(kc_ucopy_struct_to(&window, kc_uva(BASE), 8, buffer, 0, NULL), KC_ERR_ARG);
    cr_expect_eq(kc_ucopy_struct_to(&window, kernels, 8, buffer, 8, NULL), KC_ERR_PERM);
}

Test(ucopy, nothing_is_copied_from_anywhere)
{
    size_t left = 5;
    bool zero = false;
    cr_expect_eq(kc_ucopy_from(&window, buffer, kc_uva(UINT64_MAX), 0, &left), KC_OK);
    cr_expect_eq(left, 0);
    cr_expect_eq(kc_ucopy_to(&window, kc_uva(0), buffer, 0, NULL), KC_OK);
    cr_expect_eq(kc_ucopy_is_zero(&window, kc_uva(0), 0, &zero), KC_OK);
    cr_expect(zero);
    cr_expect(is_all(0xee, 0, 256));
}
