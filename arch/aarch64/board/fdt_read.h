/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * fdt_read.h: a bounded reader of flattened device trees (Devicetree Specification v0.4, chapter
 * 5).
 *
 * Not a tree library: it checks the whole blob once, then walks its tokens in order and looks up
 * properties. It allocates nothing, recurses nowhere, reads single bytes (so it may run with the
 * MMU off), and never reads outside blob .. blob + size - 1, whatever the blob says. Everything the
 * walk functions return lies inside a blob that kc_fdt_open() accepted.
 */
#ifndef KC_A64_FDT_READ_H
#define KC_A64_FDT_READ_H

#include <kc/addr.h>
#include <kc/status.h>

KC_EXTERN_C_BEGIN

#define KC_FDT_HEADER_BYTES 40u
#define KC_FDT_DEPTH_MAX    16u        /* nodes within nodes; Linux and libfdt allow 32 and more */
#define KC_FDT_BYTES_MAX    (2u << 20) /* the arm64 boot protocol's limit */

/* An accepted blob. Private member by member; good as long as the blob lies there unchanged. */
struct kc_fdt {
    const uint8_t *blob;
    uint32_t size;
    uint32_t structs, structs_size;
    uint32_t strings, strings_size;
    uint32_t reserved; /* offset of the memory reservation block */
};

enum kc_fdt_token {
    KC_FDT_NODE,     /* a node begins: name, depth (root 1) */
    KC_FDT_NODE_END, /* it ends */
    KC_FDT_PROP,     /* a property of the innermost node: name, value, bytes */
    KC_FDT_DONE      /* no more */
};

struct kc_fdt_item {
    enum kc_fdt_token token;
    uint32_t depth;
    const char *name; /* zero-terminated, inside the blob */
    const uint8_t *value;
    uint32_t bytes;
};

/* Where the blob was found wrong. */
struct kc_fdt_error {
    const char *what; /* what was expected; static storage */
    uint32_t offset;  /* in the blob */
};

/**
 * Check a whole blob: header, blocks inside it and apart from each other's ends, token grammar,
 * names, property bounds, depth.
 *
 * f      out: untouched on error
 * limit  bytes that may be read at blob, at least KC_FDT_HEADER_BYTES for anything but an error
 * e      out on error; may be NULL
 *
 * Errors:  KC_ERR_ARG          no device tree: wrong magic, or fewer bytes than a header
 *          KC_ERR_UNSUPPORTED  version newer than 17's compatibility, or older than 16
 *          KC_ERR_RANGE        a block, name or property leaves the blob; larger than
 * KC_FDT_BYTES_MAX KC_ERR_ALIGN        a block starts at a wrong alignment KC_ERR_CORRUPT token
 * grammar KC_ERR_SPAN         deeper than KC_FDT_DEPTH_MAX Cost:    O(size)
 */
KC_NODISCARD kc_status_t kc_fdt_open(struct kc_fdt *f, const void *blob, uint64_t limit,
                                     struct kc_fdt_error *e);

/**
 * Next token after *cursor; start with 0. The walk ends with KC_FDT_DONE, for good.
 */
void kc_fdt_next(const struct kc_fdt *f, uint32_t *cursor, struct kc_fdt_item *out);

/**
 * Entry `index` of the memory reservation block; false after the last.
 */
KC_NODISCARD bool kc_fdt_reserved(const struct kc_fdt *f, uint32_t index, uint64_t *base,
                                  uint64_t *size);

/** Big-endian cells of 4 bytes at value: one, or two as one number. In bounds by the caller. */
uint32_t kc_fdt_u32(const uint8_t *value);
uint64_t kc_fdt_u64(const uint8_t *value);

/** True if zero-terminated a and b are the same. */
bool kc_fdt_same(const char *a, const char *b);

/** True if the property is a list of strings, each terminated inside it, and one of them is s. */
bool kc_fdt_has_string(const struct kc_fdt_item *p, const char *s);

KC_EXTERN_C_END

#endif
