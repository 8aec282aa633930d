/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/assert.h: assertions, and the policy for callers' misuse.
 *
 * | macro      | built at          | for                                                         |
 * |------------|-------------------|-------------------------------------------------------------|
 * | KC_CHECK   | always            | states of ours in which going on is unsafe: a torn structure |
 * | KC_ASSERT  | assert (default)  | cheap facts, mistakes of our own                            |
 * | KC_AUDIT   | audit             | whole-structure checks after each operation                 |
 *
 * Never assert on data from outside: return a status. Conditions have no side effects. Every
 * failure ends in kc_plat_panic() with file, line and expression.
 *
 * *Misuse* is different: a caller frees twice, frees a foreign pointer, destroys what is busy. It
 * is reported to a struct kc_misuse, which the embedder places and shares among as many objects as
 * it likes; its policy decides whether the call is refused and the kernel goes on, or stops.
 */
#ifndef KC_ASSERT_H
#define KC_ASSERT_H

#include <kc/plat.h>

KC_EXTERN_C_BEGIN

#define KC_PANIC(text_)                                                                          \
    do {                                                                                         \
        static const struct kc_panic kc_panic_ = {__FILE__, __LINE__, "panic", (text_), {0, 0}}; \
        kc_plat_panic(&kc_panic_);                                                               \
    } while (0)

#define KC_CHECK(cond)                                                                          \
    do {                                                                                        \
        if (KC_UNLIKELY(!(cond))) {                                                             \
            static const struct kc_panic kc_panic_ = {__FILE__, __LINE__, #cond, NULL, {0, 0}}; \
            kc_plat_panic(&kc_panic_);                                                          \
        }                                                                                       \
    } while (0)

#if KC_ASSERT_LEVEL >= KC_ASSERT_LEVEL_ASSERT
#define KC_ASSERT(cond) KC_CHECK(cond)
#else
#define KC_ASSERT(cond) ((void)sizeof(!(cond)))
#endif

#if KC_ASSERT_LEVEL >= KC_ASSERT_LEVEL_AUDIT
#define KC_AUDIT(cond) KC_CHECK(cond)
#else
#define KC_AUDIT(cond) ((void)sizeof(!(cond)))
#endif

/* ---- misuse --------------------------------------------------------------------------------- */

enum kc_misuse_kind {
    KC_MISUSE_FOREIGN,     /* pointer or frame that was never this object's */
    KC_MISUSE_INTERIOR,    /* inside a block, not at its start */
    KC_MISUSE_DOUBLE_FREE, /* is free already */
    KC_MISUSE_WRONG_SIZE,  /* freed with another size or order than it has */
    KC_MISUSE_WRONG_OWNER, /* freed or used by somebody else than its owner */
    KC_MISUSE_BUSY,        /* destroyed while something of it is live */
    KC_MISUSE_CORRUPT,     /* its bookkeeping or guard bytes were overwritten */
    KC_MISUSE_LOCK,        /* lock released by another CPU, taken twice, or out of order */
    KC_MISUSE_BOUNDS,      /* an access or a copy leaves the object that it began in */
    KC_MISUSE_AFTER_FREE,  /* an access to an object that is free */
    KC_MISUSE_REFS,        /* references taken from none, given back twice, or too many */
    KC_MISUSE_OVERUSE,     /* more was taken than was set aside */
    KC_MISUSE_KIND_COUNT
};

enum kc_misuse_policy {
    KC_MISUSE_REPORT, /* print, count, refuse the call; state is as before */
    KC_MISUSE_PANIC,  /* print and stop */
    KC_MISUSE_SILENT  /* count and refuse; for embedders that read `last` themselves */
};

struct kc_misuse_report {
    enum kc_misuse_kind kind;
    const char *where;  /* function that noticed; static storage */
    const char *object; /* name of the pool, cache, heap or lock; its storage is the object's */
    uint64_t address;   /* the pointer or physical address in question */
    uint64_t expected;  /* what was expected, where that applies (size, owner), else 0 */
    uint64_t found;     /* what was found instead */
    /* Who has it, or had it last if it is free, by the object's own numbers; 0, NULL: not known. */
    uint32_t owner;
    const char *owner_name; /* static storage */
};

/* Where misuse goes. The embedder sets policy; the rest is private, read through the functions. */
struct kc_misuse {
    enum kc_misuse_policy policy;
    uint64_t count[KC_MISUSE_KIND_COUNT];
    struct kc_misuse_report last;
    uint32_t busy; /* somebody is writing `last` */
};

/** Prepare one. Context: any. */
void kc_misuse_init(struct kc_misuse *m, enum kc_misuse_policy policy);

/**
 * Report one misuse. For the library's own modules, and for an embedder's.
 *
 * m   where to; NULL acts as policy REPORT and keeps no count
 *
 * Returns only where the policy is not PANIC.
 * Context: any; counts are atomic, `last` is that of one of the racing reporters.
 */
KC_COLD void kc_misuse_raise(struct kc_misuse *m, const struct kc_misuse_report *r);

/** Reports so far, of all kinds. */
uint64_t kc_misuse_total(const struct kc_misuse *m);

/** Name of a kind for people, static storage; "?" for an unknown one. */
const char *kc_misuse_kind_name(enum kc_misuse_kind k);

KC_EXTERN_C_END

#endif
