/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc_test.h: how test cases are written. One named subset of Criterion's macros, two
 * implementations.
 *
 * With KC_TEST_CRITERION defined the cases run under Criterion, each in a process of its own.
 * Without, they run in kc_runner.c: one process, or a bare machine, no libc needed. The subset:
 *
 *     TestSuite(suite, .init = f, .fini = f)
 *     Test(suite, name, .init = f, .fini = f, .disabled = true) { ... }
 *     cr_assert(cond, ...)              and cr_assert_not
 *     cr_assert_eq(a, b, ...)           and _neq _lt _leq _gt _geq
 *     cr_assert_null(p, ...)            and _not_null
 *     cr_assert_str_eq(a, b, ...)       and _str_neq
 *     cr_assert_arr_eq(a, b, bytes, ...)
 *     cr_assert_fail(...)               and cr_skip_test(...)
 *     cr_expect, cr_expect_eq, ...      the same, but the test goes on
 *     KC_TEST_PANICS(expr)              evaluating expr ends in kc_plat_panic()
 *
 * where ... is an optional printf-style message. cr_assert leaves the test at once, so it is for
 * the thread (or CPU) that runs the test; other threads use cr_expect. Operands are evaluated once
 * and must not be bit-fields. Conditions in a fini count only in our own runner. No stdio in cases
 * that are to run on metal: kc_test_printf().
 */
#ifndef KC_TEST_H
#define KC_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kc/assert.h>
#include <kc/boot.h>

#if __STDC_HOSTED__
#include <setjmp.h>
#endif

/* A panic that unwinds to a test leaves locals as they were; tests do not change one inside expr.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wclobbered"
#endif

/* ---- what both implementations offer -------------------------------------------------------- */

/**
 * The seed for everything random in a test: KC_TEST_SEED from the environment (on metal: from the
 * kernel's command line), else a fresh one, the same for the whole run. Printed at every call.
 */
uint64_t kc_test_seed(void);

/**
 * Let the body hear of locks (as it does when a case begins), or not, if it can do without: what
 * takes another path when nobody is told (kc_plat_note_heard()) is tested both ways.
 */
void kc_test_listen(bool on);

/** Print a line for people; does not disturb the test protocol. The printf subset of kc_test.c. */
void kc_test_printf(const char *format, ...) KC_PRINTF(1, 2);

/**
 * Zeroed RAM for one test, described as a body would describe it: bi gets one RAM range.
 *
 * bytes   multiple of 4096, at most 16 MiB in tests that also run on metal
 *
 * Owner:   the runner, which takes it back after the test
 * Returns false if the body has no such memory left. At most once per test.
 */
KC_NODISCARD bool kc_test_ram(uint64_t bytes, struct kc_boot_info *bi);

/** What the panic that KC_TEST_PANICS saw last said; NULL before the first. */
const struct kc_panic *kc_test_last_panic(void);

/** Bytes written without the zero, as snprintf counts; for tests that have no libc. */
size_t kc_test_format(char *out, size_t size, const char *format, ...) KC_PRINTF(3, 4);

/**
 * A body's kc_plat_panic() calls this before it stops. Returns if no test expects a panic here, or
 * if this is not the test's thread.
 */
void kc_test_on_panic(const struct kc_panic *why);

/* ---- unwinding ------------------------------------------------------------------------------ */
#if __STDC_HOSTED__
struct kc_test_jump {
    jmp_buf env;
};
#define KC_TEST_SETJMP(j)  _setjmp((j)->env)
#define KC_TEST_LONGJMP(j) longjmp((j)->env, 1)
#else
struct kc_test_jump {
    uint64_t reg[14]; /* x19 to x30, sp; jump_aarch64.S */
};
int kc_test_setjmp(struct kc_test_jump *j) __attribute__((returns_twice));
KC_NORETURN void kc_test_longjmp(struct kc_test_jump *j);
#define KC_TEST_SETJMP(j)  kc_test_setjmp(j)
#define KC_TEST_LONGJMP(j) kc_test_longjmp(j)
#endif

struct kc_test_trap {
    struct kc_test_jump jump;
    struct kc_test_trap *outer;
};
void kc_test_trap_push(struct kc_test_trap *trap);
void kc_test_trap_pop(struct kc_test_trap *trap);

#define KC_TEST_PANICS(expr)                                       \
    do {                                                           \
        struct kc_test_trap kc_trap_;                              \
        kc_test_trap_push(&kc_trap_);                              \
        if (KC_TEST_SETJMP(&kc_trap_.jump) == 0) {                 \
            _Pragma("GCC diagnostic push");                        \
            _Pragma("GCC diagnostic ignored \"-Wunused-result\""); \
            (void)(expr);                                          \
            _Pragma("GCC diagnostic pop");                         \
            kc_test_trap_pop(&kc_trap_);                           \
            cr_assert_fail("no panic: %s", #expr);                 \
        }                                                          \
    } while (0)

/* ---- Criterion ------------------------------------------------------------------------------ */
#ifdef KC_TEST_CRITERION

#include <criterion/criterion.h>

/* ---- our own -------------------------------------------------------------------------------- */
#else

struct kc_test_options {
    void (*init)(void);
    void (*fini)(void);
    bool disabled;
    double timeout; /* accepted, not used: a runner's body bounds the whole run */
};

struct kc_test_case {
    const char *suite;
    const char *name; /* NULL: this is the suite itself */
    void (*run)(void);
    struct kc_test_options options;
};

/* All cases of an executable are pointers in this linker section, in no certain order. */
#define KC_TEST_IN_SECTION __attribute__((section("kc_tests"), used))

#define TestSuite(suite_, ...)                                                        \
    static const struct kc_test_case kc_suite_##suite_ = {                            \
        #suite_, NULL, NULL, {.timeout = 0, ##__VA_ARGS__}};                          \
    static const struct kc_test_case *const kc_suite_at_##suite_ KC_TEST_IN_SECTION = \
        &kc_suite_##suite_

#define Test(suite_, name_, ...)                                                               \
    static void kc_test_##suite_##_##name_(void);                                              \
    static const struct kc_test_case kc_case_##suite_##_##name_ = {                            \
        #suite_, #name_, kc_test_##suite_##_##name_, {.timeout = 0, ##__VA_ARGS__}};           \
    static const struct kc_test_case *const kc_case_at_##suite_##_##name_ KC_TEST_IN_SECTION = \
        &kc_case_##suite_##_##name_;                                                           \
    static void kc_test_##suite_##_##name_(void)

/** One failed condition. Leaves the test if fatal. format begins with one blank. */
void kc_test_fail_(bool fatal, const char *file, int line, const char *what, const char *format,
                   ...) KC_PRINTF(5, 6);
void kc_test_fail_pair_(bool fatal, const char *file, int line, const char *what, uint64_t a,
                        uint64_t b, const char *format, ...) KC_PRINTF(7, 8);
KC_NORETURN void kc_test_skip_(const char *format, ...) KC_PRINTF(1, 2);
bool kc_test_str_eq_(const char *a, const char *b);
bool kc_test_arr_eq_(const void *a, const void *b, size_t bytes);

#define KC_TEST_THAT_(fatal, cond, what, ...)                                \
    do {                                                                     \
        if (!(cond)) {                                                       \
            kc_test_fail_(fatal, __FILE__, __LINE__, what, " " __VA_ARGS__); \
        }                                                                    \
    } while (0)

/* A literal operand becomes a variable here, which must not change what the compiler warns about.
 */
#define KC_TEST_PAIR_(fatal, op, a, b, ...)                                                   \
    do {                                                                                      \
        _Pragma("GCC diagnostic push");                                                       \
        _Pragma("GCC diagnostic ignored \"-Wshadow\"");                                       \
        _Pragma("GCC diagnostic ignored \"-Wsign-compare\"");                                 \
        _Pragma("GCC diagnostic ignored \"-Wpointer-to-int-cast\"");                          \
        __auto_type kc_a_ = (a);                                                              \
        __auto_type kc_b_ = (b);                                                              \
        if (!(kc_a_ op kc_b_)) {                                                              \
            kc_test_fail_pair_(fatal, __FILE__, __LINE__, #a " " #op " " #b, (uint64_t)kc_a_, \
                               (uint64_t)kc_b_, " " __VA_ARGS__);                             \
        }                                                                                     \
        _Pragma("GCC diagnostic pop");                                                        \
    } while (0)

#define cr_assert(cond, ...)       KC_TEST_THAT_(true, cond, #cond, __VA_ARGS__)
#define cr_assert_not(cond, ...)   KC_TEST_THAT_(true, !(cond), "!(" #cond ")", __VA_ARGS__)
#define cr_assert_fail(...)        KC_TEST_THAT_(true, false, "reached", __VA_ARGS__)
#define cr_assert_eq(a, b, ...)    KC_TEST_PAIR_(true, ==, a, b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)   KC_TEST_PAIR_(true, !=, a, b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)    KC_TEST_PAIR_(true, <, a, b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)   KC_TEST_PAIR_(true, <=, a, b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)    KC_TEST_PAIR_(true, >, a, b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)   KC_TEST_PAIR_(true, >=, a, b, __VA_ARGS__)
#define cr_assert_null(p, ...)     KC_TEST_THAT_(true, (p) == NULL, #p " is NULL", __VA_ARGS__)
#define cr_assert_not_null(p, ...) KC_TEST_THAT_(true, (p) != NULL, #p " is not NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) \
    KC_TEST_THAT_(true, kc_test_str_eq_(a, b), #a " is " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) \
    KC_TEST_THAT_(true, !kc_test_str_eq_(a, b), #a " is not " #b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...) \
    KC_TEST_THAT_(true, kc_test_arr_eq_(a, b, n), #a " equals " #b, __VA_ARGS__)

#define cr_expect(cond, ...)       KC_TEST_THAT_(false, cond, #cond, __VA_ARGS__)
#define cr_expect_not(cond, ...)   KC_TEST_THAT_(false, !(cond), "!(" #cond ")", __VA_ARGS__)
#define cr_expect_fail(...)        KC_TEST_THAT_(false, false, "reached", __VA_ARGS__)
#define cr_expect_eq(a, b, ...)    KC_TEST_PAIR_(false, ==, a, b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...)   KC_TEST_PAIR_(false, !=, a, b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...)    KC_TEST_PAIR_(false, <, a, b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...)   KC_TEST_PAIR_(false, <=, a, b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...)    KC_TEST_PAIR_(false, >, a, b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...)   KC_TEST_PAIR_(false, >=, a, b, __VA_ARGS__)
#define cr_expect_null(p, ...)     KC_TEST_THAT_(false, (p) == NULL, #p " is NULL", __VA_ARGS__)
#define cr_expect_not_null(p, ...) KC_TEST_THAT_(false, (p) != NULL, #p " is not NULL", __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) \
    KC_TEST_THAT_(false, kc_test_str_eq_(a, b), #a " is " #b, __VA_ARGS__)
#define cr_expect_str_neq(a, b, ...) \
    KC_TEST_THAT_(false, !kc_test_str_eq_(a, b), #a " is not " #b, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, n, ...) \
    KC_TEST_THAT_(false, kc_test_arr_eq_(a, b, n), #a " equals " #b, __VA_ARGS__)

#define cr_skip_test(...) kc_test_skip_(" " __VA_ARGS__)

#endif
#endif
