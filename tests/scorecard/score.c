/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runner of the scorecard.
 *
 *     open -> the case's steps -> sweep -> put back, free what is held -> sweep -> go on -> close
 *
 *  S1  A misuse is noticed at the first step during which the number of reports grew, or which was
 *      refused.
 *  S2  After what the case overwrote is put back, the second sweep finds nothing: what was reported
 *      once is not reported again, and noticing has torn nothing. A subject of which that is not
 *      true is SCORE_BREAKS, whatever was said before.
 *  S3  A subject that is sound goes on: it allocates, and takes back, without a word.
 */
#include <kc/tag.h>

#include "score.h"

#define GO_ON_BLOCKS 8u
#define GO_ON_LARGE  2u /* of blocks above a page */

struct score_env score_env;

static const char *const at_names[SCORE_AT_COUNT] = {"never", "breaks", "write", "access", "free",
                                                     "alloc", "copy",   "call",  "sweep"};

const char *score_at_name(enum score_at at)
{
    return (uint32_t)at < SCORE_AT_COUNT ? at_names[at] : "?";
}

static bool same(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

const struct score_row *score_row_of(const char *id, const char *subject)
{
    for (uint32_t i = 0; i < score_row_count; i++) {
        if (same(score_rows[i].id, id) && same(score_rows[i].subject, subject)) {
            return &score_rows[i];
        }
    }
    return NULL;
}

bool score_has_tags(void)
{
    return KC_TAG_IS_USED && kc_plat_tag_granule() != 0;
}

enum score_at score_aimed_at(const struct score_row *r, uint32_t level)
{
    uint8_t target = r->at[level] >> 4;
    return (enum score_at)(target != 0 ? target : r->at[level] & SCORE_AT_MASK);
}

enum score_at score_expected(const struct score_row *r, uint32_t level)
{
    return level == KC_HARDENING_TAGGED && score_has_tags()
               ? score_aimed_at(r, level)
               : (enum score_at)(r->at[level] & SCORE_AT_MASK);
}

bool score_by_tag(const struct score_row *r, enum score_at at)
{
    return (at == SCORE_WRITE || at == SCORE_ACCESS) && score_has_tags() &&
           r->at[KC_HARDENING_TAGGED] >> 4 == at;
}

bool score_said(const struct score_row *r, const struct score_outcome *o)
{
    return score_by_tag(r, o->at) ? o->reports != 0 && same(o->message, "tag")
                                  : o->reports == r->reports && same(o->message, r->message);
}

/* ---- steps ---------------------------------------------------------------------------------- */

void score_begin(struct score *s, enum score_at at)
{
    s->phase = at;
    if (score_env.phase != NULL) {
        score_env.phase(at);
    }
}

void score_end(struct score *s)
{
    uint64_t now = s->a->reports != NULL ? s->a->reports() : 0;
    if (now != s->seen && s->at == SCORE_NEVER) { /* S1 */
        s->at = s->phase;
        s->message = s->a->message();
    }
    s->seen = now;
}

void score_refuse(struct score *s, enum score_at at)
{
    if (s->at == SCORE_NEVER) {
        s->at = at;
        s->message = "refused";
    }
    s->refused++;
}

void score_promise(struct score *s, bool kept, const char *why)
{
    if (!kept && !s->wrong) {
        s->wrong = true;
        s->why = why;
    }
}

void score_hold(struct score *s, void *p)
{
    score_promise(s, s->held_count < SCORE_HELD_MAX, "the case holds too many blocks");
    if (s->held_count < SCORE_HELD_MAX) {
        s->held[s->held_count++] = p;
    }
}

void score_let(struct score *s, void *p)
{
    for (uint32_t i = 0; i < s->held_count; i++) {
        if (s->held[i] == p) {
            s->held[i] = s->held[--s->held_count];
            return;
        }
    }
}

unsigned char *score_held(const struct score *s, uintptr_t at)
{
    for (uint32_t i = 0; i < s->held_count; i++) {
        if (kc_tag_strip(s->held[i]) == kc_tag_strip((void *)at)) {
            return (unsigned char *)s->held[i];
        }
    }
    return NULL;
}

uintptr_t score_apart(const struct score *s)
{
    uintptr_t least = UINTPTR_MAX;
    for (uint32_t i = 0; i < s->held_count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            uintptr_t a = (uintptr_t)kc_tag_strip(s->held[i]);
            uintptr_t b = (uintptr_t)kc_tag_strip(s->held[k]);
            uintptr_t apart = a > b ? a - b : b - a;
            least = apart < least ? apart : least;
        }
    }
    return least;
}

void *score_get(struct score *s, size_t size)
{
    void *p = s->a->alloc(size);
    score_promise(s, p != NULL, "no memory for the case");
    if (p != NULL) {
        score_hold(s, p);
    }
    return p;
}

void score_put(struct score *s, void *p)
{
    score_let(s, p);
    score_promise(s, p == NULL || s->a->free(p), "a proper free was refused");
}

/* The tools that watch the hosted body would notice for us. */
__attribute__((noinline, no_sanitize("address"))) static void store(unsigned char *p,
                                                                    unsigned char value)
{
    *(volatile unsigned char *)p = value;
}

__attribute__((noinline, no_sanitize("address"))) static unsigned char load(const unsigned char *p)
{
    return *(const volatile unsigned char *)p;
}

void *score_touch(struct score *s, void *p, size_t n, bool write)
{
    return p == NULL || s->a->touch == NULL ? p : s->a->touch(p, n, write);
}

void score_poke(struct score *s, void *p, size_t n, unsigned char value)
{
    score_begin(s, SCORE_WRITE);
    unsigned char *b = (unsigned char *)score_touch(s, p, n, true);
    if (b == NULL) {
        score_end(s);
        return;
    }
    kc_plat_note(KC_NOTE_DEFINED, (uintptr_t)b, n, NULL);
    score_promise(s, s->log_count + n <= SCORE_LOG_MAX, "the case overwrites too much");
    for (size_t i = 0; i < n && s->log_count < SCORE_LOG_MAX; i++) {
        s->log[s->log_count].p = b + i;
        s->log[s->log_count].was = load(b + i);
        s->log_count++;
        store(b + i, value);
    }
    score_end(s);
}

static unsigned char flooded[SCORE_FLOOD_MAX];

__attribute__((noinline, no_sanitize("address"))) static void flood(unsigned char *p, size_t n,
                                                                    unsigned char value)
{
    kc_plat_note(KC_NOTE_DEFINED, (uintptr_t)p, n, NULL);
    for (size_t i = 0; i < n; i++) {
        flooded[i] = load(p + i);
        store(p + i, value);
    }
}

void score_flood(struct score *s, void *p, size_t n, unsigned char value)
{
    score_begin(s, SCORE_WRITE);
    p = score_touch(s, p, n, true);
    if (p != NULL) {
        score_promise(s, s->flood == NULL && n <= SCORE_FLOOD_MAX, "the case floods too much");
        flood((unsigned char *)p, n <= SCORE_FLOOD_MAX ? n : SCORE_FLOOD_MAX, value);
        s->flood = (unsigned char *)p;
        s->flood_bytes = n;
    }
    score_end(s);
}

void score_peek(struct score *s, void *p, size_t n)
{
    score_begin(s, SCORE_ACCESS);
    unsigned char *b = (unsigned char *)score_touch(s, p, n, false);
    if (b != NULL) {
        kc_plat_note(KC_NOTE_DEFINED, (uintptr_t)b, n, NULL);
        for (size_t i = 0; i < n; i++) {
            (void)load(b + i);
        }
    }
    score_end(s);
}

bool score_free(struct score *s, void *p)
{
    uint64_t before = s->seen;
    score_begin(s, SCORE_FREE);
    bool done = s->a->free(p);
    score_end(s);
    if (done) {
        score_let(s, p);
    } else if (s->seen == before) {
        score_refuse(s, SCORE_FREE);
    }
    return done;
}

void *score_alloc(struct score *s, size_t size)
{
    score_begin(s, SCORE_ALLOC);
    void *p = s->a->alloc(size);
    score_end(s);
    if (p != NULL) {
        score_hold(s, p);
    }
    return p;
}

void score_stops(struct score *s, void (*f)(void *), void *arg)
{
    score_begin(s, SCORE_CALL);
    if (score_env.panics(f, arg)) {
        score_refuse(s, SCORE_CALL);
        s->message = "stopped";
    }
    score_end(s);
}

void score_sweep(struct score *s)
{
    if (s->a->check == NULL) {
        return;
    }
    score_begin(s, SCORE_SWEEP);
    bool sound = s->a->check();
    score_end(s);
    if (!sound && s->at == SCORE_NEVER) {
        s->at = SCORE_SWEEP;
        s->message = "found by the validator";
    }
}

/* ---- a run ---------------------------------------------------------------------------------- */

/* Stores, whosever the byte is meanwhile. */
static void mend(unsigned char *p, unsigned char value)
{
    store((unsigned char *)kc_tag_load(p), value);
}

/* Behind `touch` the bytes went with their page when the block was freed: there is nothing to mend.
 */
static void put_back(struct score *s)
{
    while (s->log_count > 0) {
        s->log_count--;
        if (s->a->touch == NULL || s->a->in_place) {
            kc_plat_note(KC_NOTE_DEFINED, (uintptr_t)s->log[s->log_count].p, 1, NULL);
            mend(s->log[s->log_count].p, s->log[s->log_count].was);
        }
    }
    if (s->flood != NULL) {
        kc_plat_note(KC_NOTE_DEFINED, (uintptr_t)s->flood, s->flood_bytes, NULL);
    }
    for (size_t i = 0; s->flood != NULL && i < s->flood_bytes; i++) {
        mend(s->flood + i, flooded[i]);
    }
    while (s->held_count > 0) {
        void *p = s->held[--s->held_count];
        score_promise(s, s->a->free(p), "a block that the case left could not be freed");
    }
}

/* S3. */
static void go_on(struct score *s)
{
    void *p[GO_ON_BLOCKS];
    uint32_t count = s->c->size > 4096 ? GO_ON_LARGE : GO_ON_BLOCKS;
    for (uint32_t i = 0; i < count; i++) {
        p[i] = s->a->alloc(s->c->size);
        unsigned char *b = (unsigned char *)score_touch(s, p[i], 1, true);
        score_promise(s, b != NULL, "no good block after the case");
        if (b != NULL) {
            *b = (unsigned char)(i + 1);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        const unsigned char *b = (const unsigned char *)score_touch(s, p[i], 1, false);
        score_promise(s, b == NULL || *b == i + 1, "two blocks share memory after the case");
        score_promise(s, p[i] == NULL || s->a->free(p[i]), "a free was refused after the case");
    }
}

bool score_run(const struct score_case *c, const struct score_adapter *a, struct score_outcome *out)
{
    static struct score s; /* one at a time */
    bool core = (c->needs & SCORE_CORE) != 0;
    if ((c->needs & ~a->caps) != 0 || core != (a->alloc == NULL) || !a->open(c->size)) {
        return false;
    }
    s.a = a;
    s.c = c;
    s.at = SCORE_NEVER;
    s.message = "";
    s.refused = 0;
    s.wrong = false;
    s.why = NULL;
    s.held_count = 0;
    s.log_count = 0;
    s.flood = NULL;
    s.seen = a->reports != NULL ? a->reports() : 0;
    uint64_t first = s.seen;

    c->run(&s);
    score_sweep(&s);
    out->reports = (uint32_t)(s.seen - first) + (s.at == SCORE_SWEEP) + s.refused;
    out->at = s.at;
    out->message = s.message;
    if (score_env.phase != NULL) {
        score_env.phase(SCORE_BREAKS);
    }
    put_back(&s);
    bool sound = a->check == NULL || a->check(); /* S2 */
    uint64_t silent = a->reports != NULL ? a->reports() : 0;
    score_promise(&s, silent == s.seen, "the misuse was reported again after repair");
    if (sound) {
        if (a->alloc != NULL) {
            go_on(&s);
        }
        sound = a->check == NULL || a->check();
        score_promise(&s, a->close == NULL || a->close(), "the subject could not be ended");
        score_promise(&s, (a->reports != NULL ? a->reports() : 0) == silent,
                      "a report after the case");
    }
    if (!sound) {
        out->at = SCORE_BREAKS;
        out->reports = 0;
        out->message = "";
        s.why = NULL;
    }
    out->why = s.why;
    return true;
}
