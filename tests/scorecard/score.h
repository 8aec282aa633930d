/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * score.h: the hardening scorecard: what an allocator notices of its callers' mistakes, and when.
 *
 * A *case* is one misuse, as code over an *adapter*: about a dozen functions, so that any allocator
 * can be scored. A *subject* is what an adapter drives. Running a case gives an *outcome*: at which
 * step the misuse was noticed first, what was said, how often, and whether the subject was sound
 * and went on working once the case had put back what it overwrote. What must come of each case is
 * in expect.c, by subject and hardening level.
 *
 * Nothing here needs libc: the cases run in every body.
 */
#ifndef SCORE_H
#define SCORE_H

#include <kc/assert.h>
#include <kc/boot.h>

/* Where a misuse is noticed. */
enum score_at {
    SCORE_NEVER,  /* nowhere, and the subject's state is whole */
    SCORE_BREAKS, /* nowhere in time: the subject's state is torn; a sweep may find that */
    SCORE_WRITE,  /* at the store itself */
    SCORE_ACCESS, /* at the load itself */
    SCORE_FREE,
    SCORE_ALLOC,
    SCORE_COPY,  /* in a copy to or from a user */
    SCORE_CALL,  /* in another call that is handed the mistake */
    SCORE_SWEEP, /* by the deep validator */
    SCORE_AT_COUNT
};

/* What a subject can do; what a case needs. */
#define SCORE_ZERO     0x0001u /* zeroed allocation */
#define SCORE_ALIGNED  0x0002u
#define SCORE_RESIZE   0x0004u
#define SCORE_SIZED    0x0008u /* free that states the size */
#define SCORE_USABLE   0x0010u /* usable size of any pointer, a question */
#define SCORE_ANY_SIZE 0x0020u /* blocks of different sizes */
#define SCORE_LARGE    0x0040u /* blocks of 256 KiB */
#define SCORE_TWO      0x0080u /* a second one of its kind: other_alloc */
#define SCORE_PLAIN    0x0100u /* free takes a pointer that is plain memory of any kind */
#define SCORE_CORE     0x0200u /* not an allocator: the core's other modules */
#define SCORE_CHECK    0x0400u /* has a deep validator */
#define SCORE_FINI     0x0800u /* can be ended */
#define SCORE_SMALL    0x1000u /* blocks below a page */
#define SCORE_DENSE    0x2000u /* neighbours are live blocks of its own: an overrun hits those */
#define SCORE_ARRAY    0x4000u /* arrays, count and size apart */
#define SCORE_FINITE   0x8000u /* little memory: it may be used up */

/* An allocator under test. Functions that `caps` does not promise may be NULL. */
struct score_adapter {
    const char *name;
    uint32_t caps;
    bool (*open)(size_t size); /* fresh; blocks will be of at most that size. False: cannot */
    void *(*alloc)(size_t size);
    void *(*alloc_zero)(size_t size);
    void *(*alloc_aligned)(size_t size, size_t align);
    void *(*alloc_array)(size_t count, size_t size);
    void *(*resize)(void *p, size_t size);
    bool (*free)(void *p); /* false: refused */
    bool (*free_sized)(void *p, size_t size);
    size_t (*usable)(void *p);
    void *(*other_alloc)(size_t size); /* from another one of its kind */
    bool (*other_free)(void *p);       /* to that */
    /* Where the bytes at p are to be read or written; NULL: the access faulted. No function: there.
     */
    void *(*touch)(void *p, size_t size, bool write);
    bool in_place; /* touch gives p, where it gives anything: what is written can be put back */
    bool (*check)(void);          /* sound */
    uint64_t (*reports)(void);    /* since open */
    const char *(*message)(void); /* of the last report; static storage */
    bool (*end)(void);            /* the subject alone, which must refuse while blocks are live */
    bool (*close)(void);          /* all; false: something is live */
    bool (*moat)(size_t bytes);   /* so many bytes will be used next, and a megabyte about them is
                                     nobody's; NULL: there is no such way */
};

#define SCORE_RAM_BYTES KC_MIB(12)

/* What the program that runs the cases provides. */
struct score_env {
    const struct kc_boot_info *info;              /* SCORE_RAM_BYTES for the core's own subjects */
    bool (*panics)(void (*f)(void *), void *arg); /* runs f; true if it ended in a panic */
    void (*phase)(enum score_at at);   /* told before each step; NULL: nobody wants to know */
    bool (*can_access)(const void *p); /* the byte at p, by its tag; NULL: user copies find out */
};
extern struct score_env score_env;

struct score;

struct score_case {
    const char *id;
    const char *source; /* suites and their names for it */
    const char *misuse; /* one line */
    uint32_t needs;     /* capabilities */
    size_t size;        /* of the blocks */
    size_t arg;         /* of the misuse: bytes, offset, alignment */
    void (*run)(struct score *s);
};

#define SCORE_HELD_MAX  40u
#define SCORE_LOG_MAX   4096u
#define SCORE_FLOOD_MAX (1u << 20)

/* A run of a case. */
struct score {
    const struct score_adapter *a;
    const struct score_case *c;
    enum score_at phase, at;
    const char *message;
    uint64_t seen;    /* reports at the last look */
    uint32_t refused; /* calls refused without a report */
    bool wrong;       /* a promise beside noticing was broken: see `why` */
    const char *why;
    void *held[SCORE_HELD_MAX];
    uint32_t held_count;
    struct {
        unsigned char *p;
        unsigned char was;
    } log[SCORE_LOG_MAX];
    uint32_t log_count;
    unsigned char *flood; /* what is flooded; NULL: nothing */
    size_t flood_bytes;
};

struct score_outcome {
    enum score_at at;
    uint32_t reports;    /* with the validator's own finding */
    const char *message; /* "" where nothing was said */
    const char *why;     /* a broken promise; NULL: none */
};

/** Run one case on one subject. False if the subject lacks what the case needs. */
bool score_run(const struct score_case *c, const struct score_adapter *a,
               struct score_outcome *out);

/* ---- for cases ------------------------------------------------------------------------------ */

/** A block that the runner frees in the end. NULL is a broken promise. */
void *score_get(struct score *s, size_t size);
/** Put a block in the runner's hands, or take it out of them. */
void score_hold(struct score *s, void *p);
void score_let(struct score *s, void *p);
/** The held block at that address, or NULL; and the least distance between two that are held. */
unsigned char *score_held(const struct score *s, uintptr_t at);
uintptr_t score_apart(const struct score *s);
/** A proper free of a held block: nothing may be said. */
void score_put(struct score *s, void *p);

/** Before a step, and after it: what was said in between was said at that step. */
void score_begin(struct score *s, enum score_at at);
void score_end(struct score *s);
/** The step was refused: noticed, if nothing was said before. */
void score_refuse(struct score *s, enum score_at at);
void score_promise(struct score *s, bool kept, const char *why);

/** Where the bytes of a block are to be touched; NULL: nowhere, or the access faulted. */
void *score_touch(struct score *s, void *p, size_t n, bool write);

/** Overwrite bytes that are not the caller's; put back in the end. Store, load. */
void score_poke(struct score *s, void *p, size_t n, unsigned char value);
void score_peek(struct score *s, void *p, size_t n);
/** The same for up to SCORE_FLOOD_MAX bytes, once in a case. */
void score_flood(struct score *s, void *p, size_t n, unsigned char value);
/** A free that should not be; true if it went through. An allocation that may notice. */
bool score_free(struct score *s, void *p);
void *score_alloc(struct score *s, size_t size);
/** A call that should end in a panic: no state is lost by it. */
void score_stops(struct score *s, void (*f)(void *), void *arg);
/** The deep validator now, not only at the end. */
void score_sweep(struct score *s);

/* Cases of one idea, one file each. */
struct score_group {
    const char *name;
    const struct score_case *cases;
    uint32_t count;
};
extern const struct score_group score_bounds, score_frees, score_reuse, score_sizes, score_modules;
extern const struct score_group *const score_groups[];
#define SCORE_GROUPS 5u

/* Subjects of the core, in every body. */
extern const struct score_adapter score_pool, score_cache, score_heap, score_frames, score_fence,
    score_core;

/* ---- what must come of it ------------------------------------------------------------------- */

#define SCORE_TARGET(at) \
    ((uint8_t)((at) << 4)) /* or to a cell: where it is to be noticed one day */
#define SCORE_LEVELS  4u
#define SCORE_AT_MASK 0x0fu

struct score_row {
    const char *id;
    const char *subject;
    const char *message;      /* where it is noticed */
    uint8_t reports;          /* where it is noticed: exactly so many */
    uint8_t at[SCORE_LEVELS]; /* enum score_at | SCORE_TARGET(); off, checked, full, tagged */
};

extern const struct score_row score_rows[];
extern const uint32_t score_row_count;

/* What does not apply, because: `test` names the case that shows the property. */
struct score_excuse {
    const char *source;
    const char *what;
    const char *because;
    const char *test; /* a case here, or SUITE.NAME of the unit tests */
};
extern const struct score_excuse score_excuses[];
extern const uint32_t score_excuse_count;

/** The row of a case and subject; NULL: none. */
const struct score_row *score_row_of(const char *id, const char *subject);

/** True if it is a memory tag that notices it there: each access by itself, however many. */
bool score_by_tag(const struct score_row *r, enum score_at at);

/** True if what came of it is what is to be said there, as often. */
bool score_said(const struct score_row *r, const struct score_outcome *o);

/** Allocators of this build give pointers with tags. */
bool score_has_tags(void);

const char *score_at_name(enum score_at at);
/**
 * What is expected now at a level, and what is aimed at: the same, or a promise. At tagged the
 * former depends on the body, and the latter says what there is with tags.
 */
enum score_at score_expected(const struct score_row *r, uint32_t level);
enum score_at score_aimed_at(const struct score_row *r, uint32_t level);

#endif
