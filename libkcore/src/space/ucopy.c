/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ucopy: copies from and to users. Theory.
 *
 * Nouns. The *window* is the range of addresses that a user may have. A *range* is what one call is
 * asked to touch. The seam's two copies are the only accesses; they say how many bytes at the end
 * they did not copy.
 *
 *     0        base                    base + bytes      2^63                2^64
 *     |  RANGE  |        window          |     RANGE      |       PERM         | wraps: ARG
 *                |--ok--|            |--SPAN--|
 *
 * Invariants
 *  U1  No user byte is touched before its whole range was judged (of a string: before the part of
 *      it that may be read was cut to the window).
 *  U2  No user byte is read twice in one call: every decision is about the kernel's copy. What is
 *      checked for zero is not copied, what is copied is not checked in place.
 *  U3  A function that fills kernel memory fills all of it on every path but that of U5; what did
 *      not come from the user is zero.
 *  U4  left is what the seam said, of the whole range, and never more than it.
 *  U5  From hardening checked on, and with a judge: kernel memory outside the object that it begins
 *      in is neither read nor written, whatever n is. Judged first, for what follows trusts n.
 *
 * Cost. What is looked at, and not kept, goes through a buffer of CHUNK bytes on the stack.
 *
 * Sources: the three cases of sizes are those of Linux's copy_struct_from_user()
 * (include/linux/uaccess.h), which openat2() and clone3() made known.
 */
#include <kc/ucopy.h>

#define CHUNK 64u /* a divisor of any page, so that an aligned chunk is in one */

KC_STATIC_ASSERT(KC_UCOPY_STRUCT_MAX % CHUNK == 0, "a structure is whole chunks at most");

/* ---- the window ----------------------------------------------------------------------------- */

struct kc_uwindow kc_uwindow_of(const struct kc_aspace *as)
{
    struct kc_uwindow w = {kc_uva(0), 0, NULL};
    if (as->kind == KC_ASPACE_USER) {
        w.base = kc_uva(as->base);
        w.bytes = as->bytes;
    }
    return w;
}

static bool is_kernels(kc_uva_t at)
{
    return (kc_uva_raw(at) & KC_BIT(63)) != 0;
}

kc_status_t kc_uwindow_check(const struct kc_uwindow *w, kc_uva_t at, uint64_t n)
{
    uint64_t base = kc_uva_raw(w->base);
    uint64_t a = kc_uva_raw(at);
    if (n == 0) {
        return KC_OK;
    }
    if (!kc_range_fits(a, n)) {
        return KC_ERR_ARG;
    }
    if (is_kernels(at)) {
        return KC_ERR_PERM;
    }
    if (kc_range_covers(base, w->bytes, a, n)) {
        return KC_OK;
    }
    return kc_range_meets(base, w->bytes, a, n) ? KC_ERR_SPAN : KC_ERR_RANGE;
}

/* ---- the kernel's side ---------------------------------------------------------------------- */

#if KC_HARDENING >= KC_HARDENING_CHECKED
/* Bytes from p on, at most n, that may be copied: of one object, or of plain memory. */
static size_t reach_of(const struct kc_ucopy_judge *judge, const void *p, size_t n)
{
    for (uint32_t i = 0; i < judge->plain_count; i++) {
        size_t offset = (uintptr_t)p - (uintptr_t)judge->plain[i].base;
        if (offset < judge->plain[i].bytes) {
            size_t room = judge->plain[i].bytes - offset;
            return room < n ? room : n;
        }
    }
    size_t reach;
    return kc_bounds_reach(judge->frames, p, n, &reach) == KC_OK ? reach : 0;
}
#endif

/* U5. What may be touched is n, or with false *reach. */
static bool judge_kernel(const struct kc_uwindow *w, const void *p, size_t n, const char *where,
                         size_t *reach)
{
    *reach = n;
#if KC_HARDENING >= KC_HARDENING_CHECKED
    if (n != 0 && w->judge != NULL) {
        *reach = reach_of(w->judge, p, n);
    }
    if (KC_UNLIKELY(*reach != n)) {
        struct kc_misuse_report r = {KC_MISUSE_BOUNDS, where, "user copy", (uintptr_t)p,
                                     *reach,           n,     0,           NULL};
        kc_misuse_raise(w->judge->misuse, &r);
        return false;
    }
#else
    (void)w;
    (void)p;
    (void)where;
#endif
    return true;
}

/* User address `offset` bytes on; inside a range that was judged. */
static kc_uva_t at_offset(kc_uva_t base, uint64_t offset)
{
    return kc_uva(kc_uva_raw(base) + offset);
}

/* ---- unchecked: the range was judged -------------------------------------------------------- */

/* U3, U4 */
static size_t read_user(void *to, kc_uva_t from, size_t n)
{
    size_t left = n == 0 ? 0 : kc_plat_user_read(to, from, n);
    KC_CHECK(left <= n);
    if (left != 0) {
        __builtin_memset((unsigned char *)to + (n - left), 0, left);
    }
    return left;
}

static size_t write_user(kc_uva_t to, const void *from, size_t n)
{
    size_t left = n == 0 ? 0 : kc_plat_user_write(to, from, n);
    KC_CHECK(left <= n);
    return left;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Bytes from there to the next multiple of CHUNK: no chunk crosses a page. */
static size_t to_chunk_end(kc_uva_t at)
{
    return CHUNK - (size_t)(kc_uva_raw(at) & (CHUNK - 1));
}

static size_t clear_user(kc_uva_t to, size_t n)
{
    static const unsigned char zeros[CHUNK];
    size_t done = 0;
    while (done < n) {
        size_t part = least(CHUNK, n - done);
        size_t left = write_user(at_offset(to, done), zeros, part);
        done += part - left;
        if (left != 0) {
            break;
        }
    }
    return n - done;
}

static bool all_zero(const unsigned char *p, size_t n)
{
    unsigned char any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= p[i];
    }
    return any == 0;
}

/* KC_OK or KC_ERR_FAULT. */
static kc_status_t look_for_zeros(kc_uva_t from, size_t n, bool *zero)
{
    unsigned char chunk[CHUNK];
    size_t done = 0;
    *zero = true;
    while (done < n && *zero) {
        kc_uva_t at = at_offset(from, done);
        size_t part = least(to_chunk_end(at), n - done);
        size_t left = read_user(chunk, at, part);
        *zero = all_zero(chunk, part); /* beyond what came, zeros: they decide nothing */
        if (*zero && left != 0) {
            *zero = false;
            return KC_ERR_FAULT;
        }
        done += part;
    }
    return KC_OK;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static kc_status_t answer(size_t left, size_t *out)
{
    if (out != NULL) {
        *out = left;
    }
    return left == 0 ? KC_OK : KC_ERR_FAULT;
}

static kc_status_t refuse(kc_status_t st, size_t n, size_t *out)
{
    if (out != NULL) {
        *out = n;
    }
    return st;
}

static kc_status_t copy_from(const struct kc_uwindow *w, void *to, kc_uva_t from, size_t n,
                             size_t *left)
{
    kc_status_t st = kc_uwindow_check(w, from, n);
    if (st != KC_OK) {
        __builtin_memset(to, 0, n); /* U3 */
        return refuse(st, n, left);
    }
    return answer(read_user(to, from, n), left);
}

static kc_status_t copy_to(const struct kc_uwindow *w, kc_uva_t to, const void *from, size_t n,
                           size_t *left)
{
    kc_status_t st = kc_uwindow_check(w, to, n);
    return st == KC_OK ? answer(write_user(to, from, n), left) : refuse(st, n, left);
}

kc_status_t kc_ucopy_from(const struct kc_uwindow *w, void *to, kc_uva_t from, size_t n,
                          size_t *left)
{
    size_t reach;
    if (!judge_kernel(w, to, n, __func__, &reach)) {
        __builtin_memset(to, 0, reach); /* U5 */
        return refuse(KC_ERR_STATE, n, left);
    }
    return copy_from(w, to, from, n, left);
}

kc_status_t kc_ucopy_to(const struct kc_uwindow *w, kc_uva_t to, const void *from, size_t n,
                        size_t *left)
{
    size_t reach;
    return judge_kernel(w, from, n, __func__, &reach) ? copy_to(w, to, from, n, left)
                                                      : refuse(KC_ERR_STATE, n, left);
}

kc_status_t kc_ucopy_clear(const struct kc_uwindow *w, kc_uva_t to, size_t n, size_t *left)
{
    kc_status_t st = kc_uwindow_check(w, to, n);
    return st == KC_OK ? answer(clear_user(to, n), left) : refuse(st, n, left);
}

kc_status_t kc_ucopy_is_zero(const struct kc_uwindow *w, kc_uva_t from, size_t n, bool *zero)
{
    kc_status_t st = kc_uwindow_check(w, from, n);
    if (st != KC_OK) {
        *zero = false;
        return st;
    }
    return look_for_zeros(from, n, zero);
}

/* ---- one value ------------------------------------------------------------------------------ */

/* All of it or zero. */
static kc_status_t load(const struct kc_uwindow *w, void *to, kc_uva_t from, size_t n)
{
    kc_status_t st = copy_from(w, to, from, n, NULL);
    if (st != KC_OK) {
        __builtin_memset(to, 0, n);
    }
    return st;
}

kc_status_t kc_ucopy_load_u8(const struct kc_uwindow *w, kc_uva_t from, uint8_t *out)
{
    return load(w, out, from, sizeof(*out));
}

kc_status_t kc_ucopy_load_u16(const struct kc_uwindow *w, kc_uva_t from, uint16_t *out)
{
    return load(w, out, from, sizeof(*out));
}

kc_status_t kc_ucopy_load_u32(const struct kc_uwindow *w, kc_uva_t from, uint32_t *out)
{
    return load(w, out, from, sizeof(*out));
}

kc_status_t kc_ucopy_load_u64(const struct kc_uwindow *w, kc_uva_t from, uint64_t *out)
{
    return load(w, out, from, sizeof(*out));
}

kc_status_t kc_ucopy_store_u8(const struct kc_uwindow *w, kc_uva_t to, uint8_t v)
{
    return copy_to(w, to, &v, sizeof(v), NULL);
}

kc_status_t kc_ucopy_store_u16(const struct kc_uwindow *w, kc_uva_t to, uint16_t v)
{
    return copy_to(w, to, &v, sizeof(v), NULL);
}

kc_status_t kc_ucopy_store_u32(const struct kc_uwindow *w, kc_uva_t to, uint32_t v)
{
    return copy_to(w, to, &v, sizeof(v), NULL);
}

kc_status_t kc_ucopy_store_u64(const struct kc_uwindow *w, kc_uva_t to, uint64_t v)
{
    return copy_to(w, to, &v, sizeof(v), NULL);
}

/* ---- strings -------------------------------------------------------------------------------- */

/* Copies until a zero byte, `limit` or a fault; *length is what came before that. */
static kc_status_t copy_to_zero(char *to, kc_uva_t from, size_t limit, size_t *length)
{
    size_t done = 0;
    while (done < limit) {
        kc_uva_t at = at_offset(from, done);
        size_t part = least(to_chunk_end(at), limit - done);
        size_t left = read_user(to + done, at, part);
        for (size_t end = done + part - left; done < end; done++) {
            if (to[done] == 0) {
                *length = done;
                return KC_OK;
            }
        }
        if (left != 0) {
            return KC_ERR_FAULT;
        }
    }
    return KC_ERR_QUOTA;
}

kc_status_t kc_ucopy_string(const struct kc_uwindow *w, char *to, kc_uva_t from, size_t size,
                            size_t *length)
{
    size_t n = 0;
    size_t reach;
    if (size == 0) {
        return KC_ERR_ARG;
    }
    if (!judge_kernel(w, to, size, __func__, &reach)) {
        __builtin_memset(to, 0, reach); /* U5 */
        return KC_ERR_STATE;
    }
    kc_status_t st = kc_uwindow_check(w, from, 1);
    if (st == KC_OK) {
        uint64_t room = w->bytes - kc_uva_diff(from, w->base);
        size_t limit = room < size ? (size_t)room : size; /* U1 */
        st = copy_to_zero(to, from, limit, &n);
        if (st == KC_ERR_QUOTA && limit < size) {
            st = KC_ERR_SPAN;
        }
    }
    __builtin_memset(to + n, 0, size - n); /* U3: n is 0 on error */
    if (st == KC_OK && length != NULL) {
        *length = n;
    }
    return st;
}

/* ---- structures that grow ------------------------------------------------------------------- */

static kc_status_t judge_struct(const struct kc_uwindow *w, kc_uva_t at, size_t size,
                                size_t user_size)
{
    if (size == 0 || size > KC_UCOPY_STRUCT_MAX || user_size == 0) {
        return KC_ERR_ARG;
    }
    if (user_size > KC_UCOPY_STRUCT_MAX) {
        return KC_ERR_UNSUPPORTED;
    }
    return kc_uwindow_check(w, at, user_size);
}

/* U2: the tail is looked at, the head is copied; no byte is in both. */
static kc_status_t copy_struct(void *to, size_t size, kc_uva_t from, size_t user_size)
{
    size_t both = least(size, user_size);
    bool zero = true;
    if (user_size > size) {
        kc_status_t st = look_for_zeros(at_offset(from, size), user_size - size, &zero);
        if (st != KC_OK) {
            return st;
        }
    }
    if (!zero) {
        return KC_ERR_UNSUPPORTED;
    }
    __builtin_memset((unsigned char *)to + both, 0, size - both);
    return read_user(to, from, both) == 0 ? KC_OK : KC_ERR_FAULT;
}

kc_status_t kc_ucopy_struct_from(const struct kc_uwindow *w, void *to, size_t size, kc_uva_t from,
                                 size_t user_size)
{
    size_t reach;
    if (!judge_kernel(w, to, size, __func__, &reach)) {
        __builtin_memset(to, 0, reach); /* U5 */
        return KC_ERR_STATE;
    }
    kc_status_t st = judge_struct(w, from, size, user_size);
    if (st == KC_OK) {
        st = copy_struct(to, size, from, user_size);
    }
    if (st != KC_OK) {
        __builtin_memset(to, 0, size); /* U3 */
    }
    return st;
}

kc_status_t kc_ucopy_struct_to(const struct kc_uwindow *w, kc_uva_t to, size_t user_size,
                               const void *from, size_t size, bool *lost)
{
    size_t both = least(size, user_size);
    size_t reach;
    if (!judge_kernel(w, from, size, __func__, &reach)) {
        return KC_ERR_STATE;
    }
    kc_status_t st = judge_struct(w, to, size, user_size);
    if (st != KC_OK) {
        return st;
    }
    if (write_user(to, from, both) != 0 || clear_user(at_offset(to, both), user_size - both) != 0) {
        return KC_ERR_FAULT;
    }
    if (lost != NULL) {
        *lost = !all_zero((const unsigned char *)from + both, size - both);
    }
    return KC_OK;
}
