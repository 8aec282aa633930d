/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kct.h: allocation traces of kernels: their events, and the reader of the `.kct` format.
 *
 * A trace is a sequence of struct kc_event in time order, from whatever source: a `.kct` file (read
 * here), or an import that sim/trace makes on the fly. The format is described in
 * docs/trace-format.md. The reader is freestanding and pure: it pulls bytes through a function of
 * the caller's, gives events out, keeps a bounded state of its own and one block in a buffer of the
 * caller's, and trusts nothing that it reads.
 *
 * Addresses are resolved by whoever makes a trace: an object that lives is a *slot*, a small number
 * that is used again after the object has died. The events of one slot alternate: alloc, free.
 */
#ifndef KC_KCT_H
#define KC_KCT_H

#include <kc/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

KC_EXTERN_C_BEGIN

/* ---- limits that every trace keeps; the reader refuses what exceeds them --------------------- */
#define KC_TRACE_TYPES_MAX  1024u      /* types of allocation */
#define KC_TRACE_SITES_MAX  65536u     /* call sites */
#define KC_TRACE_SLOTS_MAX  (1u << 23) /* objects and page blocks that live at one time */
#define KC_TRACE_CPUS_MAX   4096u      /* CPU numbers of the source */
#define KC_TRACE_BYTES_MAX  (1u << 30) /* size of one object */
#define KC_TRACE_ORDER_MAX  20u        /* order of one page block */
#define KC_TRACE_NAME_MAX   63u        /* bytes of a type's or a site's name, without zero */
#define KC_TRACE_PAGE_BYTES 4096u      /* page of the source that orders and geometry refer to */

/* ---- events ---------------------------------------------------------------------------------- */

enum kc_event_kind {
    KC_EVENT_TYPE,              /* defines type number `type`; comes before its first use */
    KC_EVENT_SITE,              /* defines call site number `site` */
    KC_EVENT_ALLOC,             /* an object of `type` is born in `slot` */
    KC_EVENT_FREE,              /* the object in `slot` dies */
    KC_EVENT_NULL_FREE,         /* the source freed NULL */
    KC_EVENT_UNKNOWN_FREE,      /* it freed an object that was born before the recording */
    KC_EVENT_PAGE_ALLOC,        /* 1 << order pages are born in `slot` */
    KC_EVENT_PAGE_FREE,         /* the page block in `slot` dies */
    KC_EVENT_PAGE_UNKNOWN_FREE, /* pages from before the recording were freed */
    KC_EVENT_SKIPPED,           /* `count` lines of the source were of no known event */
    KC_EVENT_LOST,              /* the source lost `count` events */
    KC_EVENT_KIND_COUNT
};

enum kc_type_kind {
    KC_TYPE_CACHE, /* a named cache: all its objects have one size */
    KC_TYPE_HEAP,  /* a size class of the source's general heap; requests differ */
    KC_TYPE_LARGE, /* the general heap's requests that take whole pages */
    KC_TYPE_KIND_COUNT
};

/* What KC_EVENT_TYPE defines. */
struct kc_trace_type {
    uint32_t kind;             /* enum kc_type_kind */
    uint32_t object_bytes;     /* CACHE: what its objects request; others: 0 */
    uint32_t granted_bytes;    /* what the source's allocator grants for one; LARGE: 0, it varies */
    uint32_t objects_per_slab; /* geometry of the source's slabs; 0 where it is not known */
    uint32_t pages_per_slab;   /* 0 where it is not known; of KC_TRACE_PAGE_BYTES */
    char name[KC_TRACE_NAME_MAX + 1];
};

/* One event. Members that a kind does not mention are 0. */
struct kc_event {
    uint64_t time_ns; /* of the source's clock; never goes back within a trace */
    uint32_t slot;
    uint32_t requested; /* ALLOC: bytes asked for; 0 is legal and asks for nothing */
    uint32_t granted;   /* ALLOC: bytes that the source's allocator gave, not below requested */
    uint32_t site;      /* ALLOC, PAGE_ALLOC (0 there), SITE: call site; 0 is "not known" */
    uint64_t count;     /* SKIPPED, LOST; not 0 */
    uint16_t type;      /* ALLOC, TYPE */
    uint16_t cpu;
    uint8_t kind;     /* enum kc_event_kind */
    uint8_t order;    /* PAGE_ALLOC */
    uint8_t implicit; /* FREE, PAGE_FREE: not recorded; the address came back while live */
    uint8_t unused;
    /* TYPE and SITE: the definition. Storage is the source's, good until its next fill. */
    const struct kc_trace_type *definition;
    const char *name; /* SITE: zero-terminated, at most KC_TRACE_NAME_MAX bytes */
};

/** Name of an event kind for people, static storage; "?" for an unknown one. */
const char *kc_event_kind_name(uint32_t kind);

/**
 * Where the events of a trace come from.
 *
 * fill   gives the next events, 1 to max of them, in *n; *n is 0 with KC_OK at the end, and again
 *        at each later call. Any other status ends the trace; the source can say why.
 */
struct kc_replay_source {
    kc_status_t (*fill)(void *ctx, struct kc_event *buf, uint32_t max, uint32_t *n);
    void *ctx;
};

/* ---- totals ---------------------------------------------------------------------------------- */

/* What a trace holds, counted. A line of the source is in one of the first groups. */
struct kc_trace_totals {
    uint64_t allocs;         /* objects born */
    uint64_t frees;          /* frees of objects in the source, null and unknown ones included */
    uint64_t null_frees;     /* of these, those of NULL */
    uint64_t unknown_frees;  /* of these, those of objects born before the recording */
    uint64_t implicit_frees; /* deaths that no event recorded; not in frees */
    uint64_t page_allocs;
    uint64_t page_frees; /* unknown ones included */
    uint64_t page_unknown_frees;
    uint64_t page_implicit_frees; /* not in page_frees */
    uint64_t skipped_lines;
    uint64_t lost_events;
    uint64_t types;
    uint64_t sites;
    uint64_t slots; /* highest slot number in use, plus 1 */
    uint64_t first_ns;
    uint64_t last_ns;
};

/* Members of struct kc_trace_totals, all of them counts of 64 bits. */
#define KC_TRACE_TOTALS 16u

/** The totals as a list in the order of the structure: the order of a .kct footer. */
void kc_trace_totals_list(const struct kc_trace_totals *t, uint64_t out[KC_TRACE_TOTALS]);

/** Count one event into totals that began zeroed. Context: any. */
void kc_trace_count(struct kc_trace_totals *t, const struct kc_event *e);

/* ---- the .kct format --------------------------------------------------------------------------
 */

#define KC_KCT_VERSION      1u
#define KC_KCT_MAGIC        "\x93KCT\r\n\x1a\n"
#define KC_KCT_MAGIC_BYTES  8u
#define KC_KCT_HEADER_BYTES 16u
#define KC_KCT_BLOCK_HEADER 16u
#define KC_KCT_BLOCK_MAX    65536u /* payload of one block */
#define KC_KCT_RECORD_MAX   160u   /* no record is longer */

enum kc_kct_block {
    KC_KCT_EVENTS = 1,
    KC_KCT_FOOTER = 2
};

/* Flags in the high half of a record's first byte; the kind is in the low half. */
#define KC_KCT_OTHER_CPU   0x10u /* a CPU number follows; else it is that of the event before */
#define KC_KCT_OTHER_SLOT  0x20u /* a slot difference follows; else the slot of the event before */
#define KC_KCT_OTHER_SIZES 0x40u /* ALLOC: sizes follow; else those of the type's last ALLOC */
#define KC_KCT_OTHER_SITE  0x80u /* ALLOC: a site follows; else that of the type's last ALLOC */
#define KC_KCT_IMPLICIT    0x40u /* FREE, PAGE_FREE */

/** CRC32C (Castagnoli) of n bytes, continued from crc (0 to begin). Context: any. */
uint32_t kc_crc32c(uint32_t crc, const void *bytes, size_t n);

/*
 * Where the bytes of a .kct come from. read() gives 1 to max bytes in *n, or 0 with KC_OK at the
 * end of the input; a status other than KC_OK ends the trace with that status.
 */
struct kc_kct_input {
    kc_status_t (*read)(void *ctx, void *buf, size_t max, size_t *n);
    void *ctx;
};

/* A .kct that lies in memory, as an input: read is kc_kct_memory_read(), ctx is this. */
struct kc_kct_memory {
    const void *bytes;
    size_t size;
    size_t at; /* begins 0 */
};

/** See struct kc_kct_input. ctx is a struct kc_kct_memory. */
kc_status_t kc_kct_memory_read(void *ctx, void *buf, size_t max, size_t *n);

/* Why reading ended: what was expected at that byte of the input. */
struct kc_kct_error {
    kc_status_t status;   /* KC_OK while nothing is wrong */
    uint64_t offset;      /* byte of the input, from 0 */
    const char *expected; /* static storage */
    uint64_t found;       /* the number in question, where that applies */
};

/* What ALLOC records of one type leave out when it is as it was. Private. */
struct kc_kct_last {
    uint32_t requested;
    uint32_t granted;
    uint32_t site;
};

/* The reader. Private member by member, except through the functions; about 13 KiB. */
struct kc_kct {
    struct kc_kct_input input;
    uint8_t *block;        /* KC_KCT_BLOCK_MAX bytes of the caller's */
    uint64_t offset;       /* bytes of the input taken so far */
    uint64_t block_offset; /* of the block's payload in the input */
    uint32_t at;           /* next byte of the block */
    uint32_t size;         /* bytes in the block */
    uint32_t left;         /* records of the block still to come */
    bool opened;
    bool ended;
    uint64_t time_ns;
    uint32_t unit_ns;
    uint32_t slot;
    uint16_t cpu;
    uint32_t type_count;
    uint32_t site_count;
    struct kc_trace_totals totals;
    struct kc_kct_error error;
    struct kc_trace_type definition; /* of the last TYPE event given out */
    char name[KC_TRACE_NAME_MAX + 1];
    struct kc_kct_last last[KC_TRACE_TYPES_MAX];
};

/**
 * Begin to read a .kct. Reads nothing yet.
 *
 * input   copied; its ctx stays the caller's and must outlive the reader
 * block   KC_KCT_BLOCK_MAX bytes; the reader's until it is no longer used
 *
 * Context: any; a reader serves one CPU at a time.
 */
void kc_kct_init(struct kc_kct *k, const struct kc_kct_input *input, void *block);

/**
 * The next events: the fill of a struct kc_replay_source whose ctx is a struct kc_kct. A TYPE or
 * SITE event is the last of its batch, so that its definition lives until the next call.
 *
 * Errors:  KC_ERR_UNSUPPORTED  a .kct of another version
 *          KC_ERR_CORRUPT      not a .kct, cut, checksum wrong, or a record that breaks the format
 *          what the input's read returned
 *          What is good before an error is given out first; then each call returns the error;
 * kc_kct_error() has the place. Cost:    linear in the bytes taken.
 */
KC_NODISCARD kc_status_t kc_kct_fill(void *ctx, struct kc_event *buf, uint32_t max, uint32_t *n);

/** What went wrong, and where. */
const struct kc_kct_error *kc_kct_error(const struct kc_kct *k);

/** What was read so far, counted. */
const struct kc_trace_totals *kc_kct_totals(const struct kc_kct *k);

KC_EXTERN_C_END

#endif
