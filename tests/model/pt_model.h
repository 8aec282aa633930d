/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * pt_model.h: slow, obviously right twin of kc/pt.h, and a decoder of bytes into operations on
 * both.
 *
 * The model is a window of PTM_PAGES pages as an array: where each page goes and how, or nothing.
 * The window is placed where tables of every level begin and end (across a 1 GiB boundary, at the
 * first and the last page of a half). After each operation the whole tree must say the same as the
 * array: by iteration from the bottom of the half, by walks, and by kc_pt_check(). An operation
 * that fails must leave every descriptor as it was, bit for bit.
 */
#ifndef PT_MODEL_H
#define PT_MODEL_H

#include <kc/early.h>
#include <kc/frame.h>
#include <kc/pt.h>

#include "kc_bytes.h"

#define PTM_PAGES 2048u /* 8 MiB: four blocks of level 2 */
#define PTM_PAGE  UINT64_C(4096)
#define PTM_BLOCK 512u

struct ptm_page {
    bool mapped;
    uint64_t pa;
    struct kc_pt_attr attr;
};

struct pt_model {
    struct kc_pt pt;
    struct kc_frames *frames;
    uint64_t base; /* input address of page 0 */
    bool any_asid;
    uint32_t level_min;
    struct ptm_page page[PTM_PAGES];
};

static inline bool ptm_same_attr(struct kc_pt_attr a, struct kc_pt_attr b)
{
    return a.perm == b.perm && a.type == b.type && a.global == b.global;
}

/* ---- every descriptor as one number --------------------------------------------------------- */

static inline uint64_t ptm_hash_table(const struct kc_a64_format *f, kc_pa_t table, uint32_t level,
                                      uint64_t h)
{
    for (uint32_t i = 0; i < kc_a64_level_entries(f, level); i++) {
        uint64_t d = kc_plat_desc_load(kc_pa(kc_pa_raw(table) + i * 8u));
        h = (h ^ d) * UINT64_C(0x100000001b3) + i;
        if (level < 3 && (d & 3) == 3) {
            h = ptm_hash_table(f, kc_pa(d & KC_MASK(47, 12)), level + 1, h);
        }
    }
    return h;
}

static inline uint64_t ptm_hash(const struct kc_pt *pt)
{
    const struct kc_a64_format *f = kc_pt_format(pt);
    return ptm_hash_table(f, kc_pt_root(pt), kc_a64_start_level(f), 0);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static inline const char *ptm_compare_run(const struct pt_model *m, const struct kc_pt_run *run,
                                          uint32_t *next)
{
    uint64_t off = kc_ia_raw(run->ia) - m->base;
    if (kc_ia_raw(run->ia) < m->base || off >= PTM_PAGES * PTM_PAGE || off % PTM_PAGE != 0 ||
        run->bytes == 0 || run->bytes > PTM_PAGES * PTM_PAGE - off) {
        return "iteration: a run outside the window";
    }
    uint32_t first = (uint32_t)(off / PTM_PAGE);
    for (; *next < first; (*next)++) {
        if (m->page[*next].mapped) {
            return "iteration: a mapped page was left out";
        }
    }
    for (uint64_t done = 0; done < run->bytes; done += PTM_PAGE, (*next)++) {
        const struct ptm_page *p = &m->page[*next];
        if (!p->mapped || p->pa != kc_pa_raw(run->pa) + done ||
            !ptm_same_attr(p->attr, run->attr)) {
            return "iteration: a page that the model maps otherwise";
        }
    }
    return NULL;
}

static inline const char *ptm_compare_walk(struct pt_model *m, uint32_t i)
{
    struct kc_pt_walk w;
    const struct ptm_page *p = &m->page[i];
    uint64_t ia = m->base + i * PTM_PAGE + (i * 37u) % PTM_PAGE;
    kc_status_t status = kc_pt_translate(&m->pt, kc_ia(ia), &w);
    if (status != (p->mapped ? KC_OK : KC_ERR_ABSENT)) {
        return "translate: status";
    }
    if (p->mapped &&
        (kc_pa_raw(w.pa) != p->pa + (i * 37u) % PTM_PAGE || !ptm_same_attr(w.attr, p->attr))) {
        return "translate: address or attributes";
    }
    return NULL;
}

static inline const char *ptm_compare(struct pt_model *m)
{
    struct kc_pt_cursor c = kc_pt_each_from(&m->pt, kc_ia(kc_a64_ia_base(kc_pt_format(&m->pt))));
    struct kc_pt_run run;
    struct kc_pt_run before = {.bytes = 0};
    uint32_t next = 0;
    const char *wrong = NULL;
    if (kc_pt_check(&m->pt, NULL) != KC_OK) {
        return "kc_pt_check() found a broken invariant";
    }
    while (kc_pt_each(&m->pt, &c, &run)) {
        wrong = ptm_compare_run(m, &run, &next);
        if (wrong != NULL) {
            return wrong;
        }
        if (before.bytes != 0 && kc_ia_raw(before.ia) + before.bytes == kc_ia_raw(run.ia) &&
            kc_pa_raw(before.pa) + before.bytes == kc_pa_raw(run.pa) &&
            ptm_same_attr(before.attr, run.attr)) {
            return "iteration: two runs that are one";
        }
        before = run;
    }
    for (; next < PTM_PAGES; next++) {
        if (m->page[next].mapped) {
            return "iteration: a mapped page was left out at the end";
        }
    }
    for (uint32_t i = 0; i < PTM_PAGES && wrong == NULL; i += 61) {
        wrong = ptm_compare_walk(m, i);
    }
    return wrong;
}

/* ---- operations ----------------------------------------------------------------------------- */

struct ptm_op {
    uint32_t first;
    uint32_t count;
    uint64_t pa;
    struct kc_pt_attr attr;
    uint64_t fail_after; /* of frames; UINT64_MAX for never */
    uint64_t hash;
};

static inline void ptm_decode(struct pt_model *m, struct kc_bytes *b, struct ptm_op *op)
{
    static const uint8_t perms[] = {KC_PT_R, KC_PT_R | KC_PT_W, KC_PT_R | KC_PT_X};
    uint32_t at = kc_bytes_below(b, PTM_PAGES + 1) % PTM_PAGES;
    uint32_t shape = kc_bytes_below(b, 8);
    uint32_t more = kc_bytes_u8(b);
    op->first = shape < 3 ? at : at / PTM_BLOCK * PTM_BLOCK + (shape == 7 ? 1 : 0);
    op->count = shape < 2 ? 1 + more % 16 : (shape < 5 ? PTM_BLOCK : 1 + (more * 7u) % 1200);
    if (op->count > PTM_PAGES - op->first) {
        op->count = PTM_PAGES - op->first;
    }
    /* Congruent to the input address modulo 2 MiB or not, by one bit; never beyond 40 bits. */
    uint32_t where = kc_bytes_u8(b);
    op->pa = (UINT64_C(1) << 33) + (uint64_t)(where >> 2) * KC_MIB(2) +
             ((where & 1) != 0 ? op->first % PTM_BLOCK * PTM_PAGE : 0);
    uint32_t how = kc_bytes_u8(b);
    bool user = !m->any_asid && (how & 0x80) != 0;
    op->attr =
        kc_pt_attr(perms[how % 3] | (user ? KC_PT_USER : 0u), KC_A64_MEM_NORMAL, m->any_asid);
    if ((how & 0x60) == 0x60) {
        op->attr.type = KC_A64_MEM_DEVICE_nGnRE;
        op->attr.perm &= (uint8_t)~KC_PT_X;
    }
    op->fail_after = (how & 0x1c) == 0x1c ? kc_bytes_below(b, 4) : UINT64_MAX;
}

static inline bool ptm_any(const struct pt_model *m, const struct ptm_op *op, bool mapped)
{
    for (uint32_t i = op->first; i < op->first + op->count; i++) {
        if (m->page[i].mapped == mapped) {
            return true;
        }
    }
    return false;
}

static inline kc_ia_t ptm_ia(const struct pt_model *m, uint32_t page)
{
    return kc_ia(m->base + page * PTM_PAGE);
}

/* Was the answer right, given what the model expects of a call that finds memory? */
static inline const char *ptm_judge(struct pt_model *m, const struct ptm_op *op, kc_status_t got,
                                    kc_status_t want, const char *text)
{
    if (got != want && !(got == KC_ERR_NOMEM && want == KC_OK && op->fail_after != UINT64_MAX)) {
        return text;
    }
    if (got != KC_OK && ptm_hash(&m->pt) != op->hash) {
        return "an operation that failed has changed a descriptor";
    }
    return NULL;
}

static inline const char *ptm_map(struct pt_model *m, const struct ptm_op *op)
{
    kc_status_t want = ptm_any(m, op, true) ? KC_ERR_EXISTS : KC_OK;
    kc_status_t got =
        kc_pt_map(&m->pt, ptm_ia(m, op->first), kc_pa(op->pa), op->count * PTM_PAGE, op->attr);
    for (uint32_t i = 0; got == KC_OK && i < op->count; i++) {
        m->page[op->first + i] = (struct ptm_page){true, op->pa + i * PTM_PAGE, op->attr};
    }
    return ptm_judge(m, op, got, want, "map: status");
}

static inline const char *ptm_unmap(struct pt_model *m, const struct ptm_op *op)
{
    kc_status_t want = ptm_any(m, op, false) ? KC_ERR_ABSENT : KC_OK;
    kc_status_t got = kc_pt_unmap(&m->pt, ptm_ia(m, op->first), op->count * PTM_PAGE);
    for (uint32_t i = 0; got == KC_OK && i < op->count; i++) {
        m->page[op->first + i].mapped = false;
    }
    return ptm_judge(m, op, got, want, "unmap: status");
}

static inline const char *ptm_protect(struct pt_model *m, const struct ptm_op *op)
{
    kc_status_t want = ptm_any(m, op, false) ? KC_ERR_ABSENT : KC_OK;
    kc_status_t got = kc_pt_protect(&m->pt, ptm_ia(m, op->first), op->count * PTM_PAGE, op->attr);
    for (uint32_t i = 0; got == KC_OK && i < op->count; i++) {
        m->page[op->first + i].attr = op->attr;
    }
    return ptm_judge(m, op, got, want, "protect: status");
}

/* Does some leaf of the range, as it is now, not fit its new place? Cuts leave smaller ones. */
static inline bool ptm_has_block(struct pt_model *m, const struct ptm_op *op)
{
    struct kc_pt_walk w;
    for (uint32_t i = op->first; i < op->first + op->count; i++) {
        if (kc_pt_translate(&m->pt, ptm_ia(m, i), &w) == KC_OK && w.level < 3) {
            return true;
        }
    }
    return false;
}

static inline const char *ptm_move(struct pt_model *m, const struct ptm_op *op)
{
    kc_status_t want = ptm_any(m, op, false) ? KC_ERR_ABSENT : KC_OK;
    bool congruent = (op->pa - kc_ia_raw(ptm_ia(m, op->first))) % (PTM_BLOCK * PTM_PAGE) == 0;
    bool may_refuse = !congruent && ptm_has_block(m, op);
    kc_status_t got = kc_pt_move(&m->pt, ptm_ia(m, op->first), kc_pa(op->pa), op->count * PTM_PAGE);
    for (uint32_t i = 0; got == KC_OK && i < op->count; i++) {
        m->page[op->first + i].pa = op->pa + i * PTM_PAGE;
    }
    if (got == KC_ERR_ALIGN && may_refuse) {
        return ptm_hash(&m->pt) == op->hash ? NULL : "move: refused, but changed a descriptor";
    }
    return ptm_judge(m, op, got, want, "move: status");
}

static inline const char *ptm_split(struct pt_model *m, const struct ptm_op *op)
{
    uint32_t level = op->count % 4;
    kc_status_t want = m->page[op->first].mapped ? KC_OK : KC_ERR_ABSENT;
    kc_status_t got = kc_pt_split(&m->pt, ptm_ia(m, op->first), level);
    struct kc_pt_walk w;
    if (got == KC_OK &&
        (kc_pt_translate(&m->pt, ptm_ia(m, op->first), &w) != KC_OK || w.level < level)) {
        return "split: the leaf is larger than asked for";
    }
    return ptm_judge(m, op, got, want, "split: status");
}

/* One run of memory with one set of attributes, congruent to the block? */
static inline bool ptm_is_block(const struct pt_model *m, uint32_t first)
{
    const struct ptm_page *p = &m->page[first];
    for (uint32_t i = 0; i < PTM_BLOCK; i++) {
        if (!p[i].mapped || p[i].pa != p->pa + i * PTM_PAGE || !ptm_same_attr(p[i].attr, p->attr)) {
            return false;
        }
    }
    return p->pa % KC_MIB(2) == 0;
}

static inline const char *ptm_join(struct pt_model *m, const struct ptm_op *op)
{
    uint32_t first = op->first / PTM_BLOCK * PTM_BLOCK;
    struct kc_pt_walk w;
    kc_status_t got = kc_pt_join(&m->pt, ptm_ia(m, first), 2);
    if (m->level_min > 2) {
        return got == KC_ERR_ARG ? NULL : "join: level_min forbids it";
    }
    if (got == KC_OK && (!ptm_is_block(m, first) ||
                         kc_pt_translate(&m->pt, ptm_ia(m, first), &w) != KC_OK || w.level != 2)) {
        return "join: that is no block";
    }
    if (got != KC_OK && ptm_is_block(m, first) &&
        (kc_pt_translate(&m->pt, ptm_ia(m, first), &w) != KC_OK || w.level == 3)) {
        return "join: refused what is one block";
    }
    if (got != KC_OK && ptm_hash(&m->pt) != op->hash) {
        return "join: refused, but changed a descriptor";
    }
    return got == KC_OK || got == KC_ERR_ABSENT || got == KC_ERR_STATE ? NULL : "join: status";
}

static inline const char *ptm_step(struct pt_model *m, struct kc_bytes *b)
{
    struct ptm_op op;
    const char *wrong;
    uint32_t what = kc_bytes_below(b, 16);
    ptm_decode(m, b, &op);
    op.hash = ptm_hash(&m->pt);
    kc_frames_fail_after(m->frames, op.fail_after);
    if (what < 6) {
        wrong = ptm_map(m, &op);
    } else if (what < 10) {
        wrong = ptm_unmap(m, &op);
    } else if (what < 13) {
        wrong = ptm_protect(m, &op);
    } else if (what < 14) {
        wrong = ptm_split(m, &op);
    } else if (what < 15) {
        wrong = ptm_move(m, &op);
    } else {
        wrong = ptm_join(m, &op);
    }
    kc_frames_fail_after(m->frames, UINT64_MAX);
    return wrong;
}

/* ---- a whole story -------------------------------------------------------------------------- */

/* What changes the invalidations, as far as this machine has it: on metal they are executed. */
static inline uint16_t ptm_features(void)
{
    struct kc_a64_machine machine;
    struct kc_a64_id id = {.isar0 = kc_plat_sysreg_read(KC_ID_AA64ISAR0_EL1),
                           .mmfr0 = kc_plat_sysreg_read(KC_ID_AA64MMFR0_EL1),
                           .mmfr1 = kc_plat_sysreg_read(KC_ID_AA64MMFR1_EL1),
                           .mmfr2 = kc_plat_sysreg_read(KC_ID_AA64MMFR2_EL1)};
    kc_a64_id_decode(&id, &machine);
    return machine.features & (KC_A64_FEAT_TLBIRANGE | KC_A64_FEAT_TTL);
}

/* An empty tree, and the model of one. */
static inline const char *ptm_start(struct pt_model *m, const struct kc_pt_config *c, uint64_t base)
{
    __builtin_memset(m, 0, sizeof(*m));
    m->frames = c->source.frames;
    m->base = base;
    m->any_asid = c->any_asid;
    m->level_min = c->level_min;
    return kc_pt_init(&m->pt, c) == KC_OK ? NULL : "init";
}

static inline const char *ptm_begin(struct pt_model *m, struct kc_frames *frames,
                                    struct kc_bytes *b)
{
    static const uint8_t va_bits[] = {48, 39, 31};
    struct kc_pt_config c = {.source = {.frames = frames}, .asid = 5};
    uint32_t how = kc_bytes_u8(b);
    c.format = (struct kc_a64_format){.stage = KC_A64_STAGE1,
                                      .granule_log2 = 12,
                                      .va_bits = va_bits[how % 3],
                                      .pa_bits = 40,
                                      .upper = (how & 4) != 0};
    if ((how & 8) != 0) {
        c.format.features = ptm_features();
    }
    c.any_asid = (how & 16) != 0;
    c.level_min = (how & 32) != 0 ? 2 + (how >> 7) : 0;
    uint64_t half = kc_a64_ia_base(&c.format);
    uint64_t size = KC_BIT(c.format.va_bits);
    uint32_t place = kc_bytes_below(b, 3);
    const char *wrong =
        ptm_start(m, &c,
                  half + (place == 0 ? KC_GIB(1) - PTM_PAGES / 2 * PTM_PAGE
                                     : (place == 1 ? 0 : size - PTM_PAGES * PTM_PAGE)));
    if (wrong == NULL && (how & 64) != 0) {
        kc_pt_set_live(&m->pt);
    }
    return wrong;
}

/* Operations and comparisons until the bytes are used up. */
static inline const char *ptm_steps(struct pt_model *m, struct kc_bytes *b)
{
    const char *wrong;
    do {
        wrong = ptm_step(m, b);
        if (wrong == NULL) {
            wrong = ptm_compare(m);
        }
        struct kc_pt_stats stats;
        kc_pt_stats(&m->pt, &stats);
        if (wrong == NULL &&
            stats.tables != kc_frame_owner_frames(m->frames, KC_FRAME_OWNER_TABLE)) {
            wrong = "a table page leaked, or was freed twice";
        }
    } while (wrong == NULL && !kc_bytes_is_empty(b));
    return wrong;
}

static inline const char *ptm_end(struct pt_model *m)
{
    if (kc_pt_fini(&m->pt) != KC_OK) {
        return "fini: status";
    }
    return kc_frame_owner_frames(m->frames, KC_FRAME_OWNER_TABLE) != 0
               ? "fini: table pages are left"
               : NULL;
}

/* frames are fresh: nothing of owner TABLE is allocated. */
static inline const char *pt_model_run(struct pt_model *m, struct kc_frames *frames,
                                       struct kc_bytes *b)
{
    const char *wrong = ptm_begin(m, frames, b);
    if (wrong != NULL) {
        return wrong;
    }
    wrong = ptm_steps(m, b);
    const char *at_end = ptm_end(m);
    return wrong != NULL ? wrong : at_end;
}

#endif
