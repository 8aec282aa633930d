/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/config.h: build options that public headers depend on, and the link-time guard for them.
 *
 * The build passes -DKC_ASSERT_LEVEL and -DKC_HARDENING; an installed library passes the same
 * values through kcore.pc and its CMake config. Inline fast paths differ between levels, so objects
 * of different levels must not be linked together: every translation unit that includes this header
 * refers to a symbol whose name holds the levels (and KC_CPUS_MAX), and only a library built with
 * them defines it (src/base/guard.c). A mismatch is an undefined symbol that names what differs.
 *
 * Not an option here: anything that would change the meaning or the layout of the API.
 */
#ifndef KC_CONFIG_H
#define KC_CONFIG_H

/* KC_ASSERT_LEVEL: which assertions are built (kc/assert.h). */
#define KC_ASSERT_LEVEL_CHECK  0 /* KC_CHECK only */
#define KC_ASSERT_LEVEL_ASSERT 1 /* and KC_ASSERT (default) */
#define KC_ASSERT_LEVEL_AUDIT  2 /* and KC_AUDIT: whole-structure checks after each operation */
#ifndef KC_ASSERT_LEVEL
#define KC_ASSERT_LEVEL KC_ASSERT_LEVEL_ASSERT
#endif

/* KC_HARDENING: what the allocators notice of their callers' misuse. */
#define KC_HARDENING_OFF     0 /* constant-time sanity only */
#define KC_HARDENING_CHECKED 1 /* bounds, alignment and double free at every free (default) */
#define KC_HARDENING_FULL    2 /* and redzones, quarantine, zero on free, guard pages */
#define KC_HARDENING_TAGGED  3 /* and memory tags, where the body has some (kc/tag.h) */
#ifndef KC_HARDENING
#define KC_HARDENING KC_HARDENING_CHECKED
#endif

/*
 * Layout constant that keeps hot fields together. It is *not* the machine's cache line: that is
 * read from CTR_EL0 where maintenance needs it.
 */
#define KC_LINE_BYTES 64u

/*
 * Highest number of CPUs that one kernel instance serves, 1 to 32; a bound for static arrays. A
 * body that compiles the core for itself alone may state another.
 */
#ifndef KC_CPUS_MAX
#define KC_CPUS_MAX 8u
#endif

#define KC_CONFIG_PASTE_(h, l, c) kc_built_with_hardening_##h##_assert_##l##_cpus_##c
#define KC_CONFIG_PASTE(h, l, c)  KC_CONFIG_PASTE_(h, l, c)
#define KC_GUARD_SYMBOL           KC_CONFIG_PASTE(KC_HARDENING, KC_ASSERT_LEVEL, KC_CPUS_MAX)

#ifdef __cplusplus
#define KC_EXTERN_C_BEGIN extern "C" {
#define KC_EXTERN_C_END   }
#else
#define KC_EXTERN_C_BEGIN
#define KC_EXTERN_C_END
#endif

/*
 * A quick function begins on a line: what a processor makes of it does not hang on what is linked
 * before it. (Some foretell by a few bits of an instruction's address which stores a load has to
 * wait for: one loop took twice as long elsewhere.)
 */
#define KC_QUICK        __attribute__((aligned(KC_LINE_BYTES)))

#define KC_NODISCARD    __attribute__((warn_unused_result))
#define KC_INLINE       static inline __attribute__((always_inline))
#define KC_LIKELY(x)    __builtin_expect(!!(x), 1)
#define KC_UNLIKELY(x)  __builtin_expect(!!(x), 0)
#define KC_COLD         __attribute__((cold, noinline))
#define KC_ALIGNED(n)   __attribute__((aligned(n)))
#define KC_PRINTF(f, a) __attribute__((format(printf, f, a)))

#ifdef __cplusplus
#define KC_STATIC_ASSERT(cond, text) static_assert(cond, text)
#define KC_NORETURN                  [[noreturn]]
#else
#define KC_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#define KC_NORETURN                  _Noreturn
#endif

KC_EXTERN_C_BEGIN
extern const char KC_GUARD_SYMBOL;
#ifndef KC_NO_LINK_GUARD
static const char *const kc_link_guard __attribute__((used, unused)) = &KC_GUARD_SYMBOL;
#endif
KC_EXTERN_C_END

#endif
