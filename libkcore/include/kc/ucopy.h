/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/ucopy.h: copies between kernel memory and a user's, whatever the user says.
 *
 * Pointer, size and contents come from somebody who may be hostile and whose other threads write
 * while we read. So: the range is judged once, before anything is touched, against a *window* (the
 * addresses that the user may have at all); each byte of user memory is read at most once in a
 * call, so what was judged is what is used; a fault ends a copy with the exact count of what was
 * not copied; and what a failed read leaves in kernel memory is zeros, never what was there before.
 *
 * The user's pages may come and go meanwhile: what is mapped in the window is for the MMU to say
 * (KC_ERR_FAULT). Loads and stores of 16 to 64 bits are copies and need no alignment; another
 * thread of the user may see a part of them.
 *
 * The kernel side is one live object, or part of one. That is the caller's word, unless the window
 * has a *judge*: then it is looked up before anything else, from hardening `checked` on, and a
 * length that leaves the object is refused, reported, and nothing outside the object is written.
 * Values of 8 to 64 bits are not judged: their type says what they are.
 *
 * In every function below n = 0 touches nothing and is KC_OK at any address, and:
 *
 * Errors:  KC_ERR_STATE  the kernel side leaves its object (misuse BOUNDS), or is none
 *          KC_ERR_ARG    the range wraps around the end of the 64-bit space
 *          KC_ERR_PERM   it begins in the kernel's half (bit 63 set)
 *          KC_ERR_SPAN   part of it is in the window, part is not
 *          KC_ERR_RANGE  none of it is in the window
 *          KC_ERR_FAULT  all of it is, but some page is not there, or not for this access
 * Cost:    O(n)
 * Context: where a fault may be resolved: no spinlock held, interrupts enabled if pages may be lazy
 */
#ifndef KC_UCOPY_H
#define KC_UCOPY_H

#include <kc/aspace.h>
#include <kc/bounds.h>

KC_EXTERN_C_BEGIN

/* Kernel memory that is no allocator's and may be copied: stacks, static data. Never text. */
struct kc_ucopy_plain {
    const void *base;
    size_t bytes;
};

/* Who says what the kernel's side of a copy is. Read only; the embedder's, shared by all windows.
 */
struct kc_ucopy_judge {
    struct kc_frames *frames; /* whatever lies in them is judged by kc_bounds_reach() */
    const struct kc_ucopy_plain *plain;
    uint32_t plain_count;
    struct kc_misuse *misuse; /* NULL as in kc_misuse_raise() */
};

/* The addresses that a user may have. A value; make one with kc_uwindow_of(). */
struct kc_uwindow {
    kc_uva_t base;
    uint64_t bytes;
    const struct kc_ucopy_judge *judge; /* NULL: the kernel side is the caller's word */
};

/**
 * The window of a user space: all that its areas may lie in. Empty for the kernel's space. Without
 * a judge; who has one sets it.
 */
struct kc_uwindow kc_uwindow_of(const struct kc_aspace *as);

/**
 * Judge a range of the user's. Touches nothing; copies do it by themselves.
 *
 * Errors: as above, but KC_ERR_FAULT and KC_ERR_STATE
 * Cost:   O(1)
 */
KC_NODISCARD kc_status_t kc_uwindow_check(const struct kc_uwindow *w, kc_uva_t at, uint64_t n);

/* ---- bytes ---------------------------------------------------------------------------------- */

/**
 * Copy n bytes from the user.
 *
 * to     n bytes; always written whole: after the bytes that were copied come zeros. With
 *        KC_ERR_STATE, what of the n bytes is its object's is zero
 * left   out, may be NULL: bytes at the end that were not copied; n if the range was refused
 *
 * Errors: as above
 */
KC_NODISCARD kc_status_t kc_ucopy_from(const struct kc_uwindow *w, void *to, kc_uva_t from,
                                       size_t n, size_t *left);

/** Copy n bytes to the user. left as above. What was copied before a fault stays. Errors: as above.
 */
KC_NODISCARD kc_status_t kc_ucopy_to(const struct kc_uwindow *w, kc_uva_t to, const void *from,
                                     size_t n, size_t *left);

/** Write n zero bytes to the user. As kc_ucopy_to(). */
KC_NODISCARD kc_status_t kc_ucopy_clear(const struct kc_uwindow *w, kc_uva_t to, size_t n,
                                        size_t *left);

/**
 * Are n bytes of the user's all zero?
 *
 * zero   out; false on error. A byte that is not zero decides, whatever faults behind it
 *
 * Errors: as above
 */
KC_NODISCARD kc_status_t kc_ucopy_is_zero(const struct kc_uwindow *w, kc_uva_t from, size_t n,
                                          bool *zero);

/* ---- one value ------------------------------------------------------------------------------ */

/** Load one value. *out is 0 on error. Errors: as above. */
KC_NODISCARD kc_status_t kc_ucopy_load_u8(const struct kc_uwindow *w, kc_uva_t from, uint8_t *out);
KC_NODISCARD kc_status_t kc_ucopy_load_u16(const struct kc_uwindow *w, kc_uva_t from,
                                           uint16_t *out);
KC_NODISCARD kc_status_t kc_ucopy_load_u32(const struct kc_uwindow *w, kc_uva_t from,
                                           uint32_t *out);
KC_NODISCARD kc_status_t kc_ucopy_load_u64(const struct kc_uwindow *w, kc_uva_t from,
                                           uint64_t *out);

/** Store one value. On KC_ERR_FAULT its first bytes may have been stored. Errors: as above. */
KC_NODISCARD kc_status_t kc_ucopy_store_u8(const struct kc_uwindow *w, kc_uva_t to, uint8_t v);
KC_NODISCARD kc_status_t kc_ucopy_store_u16(const struct kc_uwindow *w, kc_uva_t to, uint16_t v);
KC_NODISCARD kc_status_t kc_ucopy_store_u32(const struct kc_uwindow *w, kc_uva_t to, uint32_t v);
KC_NODISCARD kc_status_t kc_ucopy_store_u64(const struct kc_uwindow *w, kc_uva_t to, uint64_t v);

/* ---- strings -------------------------------------------------------------------------------- */

/**
 * Copy a string that ends in a zero byte.
 *
 * to       size bytes; always written whole: the string, then zeros; only zeros on error
 * size     with the zero byte; 1 or more
 * length   out, may be NULL: without the zero byte; untouched on error
 *
 * Only the string has to be in the window and mapped, not all the `size` bytes; what is behind it
 * in the same 64 bytes may be read, and is not kept.
 *
 * Errors:  KC_ERR_ARG    size is 0
 *          KC_ERR_QUOTA  there is no zero byte among the first `size`
 *          KC_ERR_PERM, KC_ERR_RANGE  where it begins, as above
 *          KC_ERR_SPAN   the window ends before the string does
 *          KC_ERR_FAULT  as above
 */
KC_NODISCARD kc_status_t kc_ucopy_string(const struct kc_uwindow *w, char *to, kc_uva_t from,
                                         size_t size, size_t *length);

/* ---- structures that grow ------------------------------------------------------------------- */

#define KC_UCOPY_STRUCT_MAX 4096u /* no structure of a user's may be larger; bounds the work */

/**
 * Copy a structure whose size the user states, so that old and new sides understand each other:
 * members are only ever added at the end, and zero in a member means what its absence meant.
 *
 *     the user's is smaller   what it lacks becomes zero here
 *     equal                   copied
 *     larger                  copied, if all that we do not know is zero
 *
 * to           size bytes; all zero on error
 * size         of the structure as the kernel knows it; 1 to KC_UCOPY_STRUCT_MAX
 * user_size    of the structure as the user knows it; 1 or more
 *
 * Errors:  KC_ERR_ARG          size is outside its limits or user_size is 0, and as above
 *          KC_ERR_UNSUPPORTED  too big: user_size exceeds KC_UCOPY_STRUCT_MAX, or some byte that
 *                              the kernel does not know is not zero
 *          KC_ERR_PERM, KC_ERR_SPAN, KC_ERR_RANGE, KC_ERR_FAULT  as above, of user_size bytes
 */
KC_NODISCARD kc_status_t kc_ucopy_struct_from(const struct kc_uwindow *w, void *to, size_t size,
                                              kc_uva_t from, size_t user_size);

/**
 * The same the other way: a smaller one of the user's gets the members it knows, a larger one gets
 * zeros behind ours.
 *
 * lost   out, may be NULL: true if something that is not zero did not fit; untouched on error
 *
 * Errors:  as kc_ucopy_struct_from(); KC_ERR_UNSUPPORTED only for user_size
 */
KC_NODISCARD kc_status_t kc_ucopy_struct_to(const struct kc_uwindow *w, kc_uva_t to,
                                            size_t user_size, const void *from, size_t size,
                                            bool *lost);

KC_EXTERN_C_END

#endif
