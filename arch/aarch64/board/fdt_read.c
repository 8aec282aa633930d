/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fdt_read.c: see fdt_read.h.
 *
 * A blob is a header, a list of reserved ranges, a block of strings and a block of big-endian
 * tokens:
 *
 *     header | reserved (base,size)* 0,0 | structs: BEGIN name (PROP len nameoff value)* ... END |
 * strings
 *
 * kc_fdt_open() runs the same walk as kc_fdt_next() over everything with all checks, once. After
 * that the walk cannot leave the blob, because the blob does not change.
 *
 * Invariants of an accepted blob
 *  I1  structs + structs_size, strings + strings_size and the reserved list's end are at most size.
 *  I2  Every token, name and value ends at or before the end of the structure block.
 *  I3  Every property name is zero-terminated inside the strings block.
 *  I4  BEGIN and END balance, there is one root, depth is at most KC_FDT_DEPTH_MAX, properties
 * precede subnodes, END is last and ends the block's use. I5  Every read is a single byte at an
 * offset below size.
 *
 * Sources: Devicetree Specification v0.4, 5.2 "Header", 5.3 "Memory Reservation Block", 5.4
 * "Structure Block", 5.5 "Strings Block", 5.6 "Alignment".
 */
#include "fdt_read.h"

enum {
    MAGIC_BE = 0xd00dfeed,
    TOKEN_BEGIN = 1,
    TOKEN_END_NODE = 2,
    TOKEN_PROP = 3,
    TOKEN_NOP = 4,
    TOKEN_END = 9
};

uint32_t kc_fdt_u32(const uint8_t *v)
{
    return (uint32_t)v[0] << 24 | (uint32_t)v[1] << 16 | (uint32_t)v[2] << 8 | v[3];
}

uint64_t kc_fdt_u64(const uint8_t *v)
{
    return (uint64_t)kc_fdt_u32(v) << 32 | kc_fdt_u32(v + 4);
}

bool kc_fdt_same(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

bool kc_fdt_has_string(const struct kc_fdt_item *p, const char *s)
{
    bool found = false;
    uint32_t at = 0;
    if (p->bytes == 0 || p->value[p->bytes - 1] != 0) {
        return false;
    }
    while (at < p->bytes) {
        const char *one = (const char *)p->value + at;
        found = found || kc_fdt_same(one, s);
        while (p->value[at] != 0) {
            at++;
        }
        at++;
    }
    return found;
}

static kc_status_t refuse(struct kc_fdt_error *e, const char *what, uint32_t offset, kc_status_t s)
{
    if (e != NULL) {
        e->what = what;
        e->offset = offset;
    }
    return s;
}

/* Bytes of the string at `at` with its zero, or 0 if none ends before `end`. */
static uint32_t string_bytes(const struct kc_fdt *f, uint32_t at, uint32_t end)
{
    for (uint32_t i = at; i < end; i++) {
        if (f->blob[i] == 0) {
            return i - at + 1;
        }
    }
    return 0;
}

static uint32_t up4(uint32_t v)
{
    return (v + 3) & ~3u; /* v is at most KC_FDT_BYTES_MAX: no wrap */
}

/* The token at *at, which moves past it. Grammar of one token only; I2, I3. */
static kc_status_t step(const struct kc_fdt *f, uint32_t *at, uint32_t *raw,
                        struct kc_fdt_item *out, struct kc_fdt_error *e)
{
    uint32_t end = f->structs + f->structs_size, p = *at, n;
    if (p > end || end - p < 4) {
        return refuse(e, "a token, before the structure block ends", p, KC_ERR_RANGE);
    }
    *raw = kc_fdt_u32(f->blob + p);
    p += 4;
    switch (*raw) {
    case TOKEN_BEGIN:
        n = string_bytes(f, p, end);
        if (n == 0) {
            return refuse(e, "a terminated node name", p, KC_ERR_RANGE);
        }
        out->name = (const char *)f->blob + p;
        p = up4(p + n);
        break;
    case TOKEN_PROP: {
        uint32_t name;
        if (end - p < 8) {
            return refuse(e, "length and name of a property", p, KC_ERR_RANGE);
        }
        out->bytes = kc_fdt_u32(f->blob + p);
        name = kc_fdt_u32(f->blob + p + 4);
        p += 8;
        if (out->bytes > end - p) {
            return refuse(e, "a property that ends inside the structure block", p - 8,
                          KC_ERR_RANGE);
        }
        if (name >= f->strings_size ||
            string_bytes(f, f->strings + name, f->strings + f->strings_size) == 0) {
            return refuse(e, "a property name inside the strings block", p - 4, KC_ERR_RANGE);
        }
        out->name = (const char *)f->blob + f->strings + name;
        out->value = f->blob + p;
        p = up4(p + out->bytes);
        break;
    }
    case TOKEN_END_NODE:
    case TOKEN_NOP:
    case TOKEN_END:
        break;
    default:
        return refuse(e, "a token that the specification knows", p - 4, KC_ERR_CORRUPT);
    }
    *at = p;
    return KC_OK;
}

/* I4 over the whole structure block. */
static kc_status_t check_structs(const struct kc_fdt *f, struct kc_fdt_error *e)
{
    uint32_t at = f->structs, depth = 0, raw, was;
    bool rooted = false, subnode_seen = false;
    struct kc_fdt_item item = {KC_FDT_DONE, 0, NULL, NULL, 0};
    for (;;) {
        was = at;
        kc_status_t s = step(f, &at, &raw, &item, e);
        if (s != KC_OK) {
            return s;
        }
        switch (raw) {
        case TOKEN_BEGIN:
            if (depth == 0 && rooted) {
                return refuse(e, "one root node", was, KC_ERR_CORRUPT);
            }
            if (depth == KC_FDT_DEPTH_MAX) {
                return refuse(e, "at most 16 nodes within each other", was, KC_ERR_SPAN);
            }
            rooted = true;
            depth++;
            subnode_seen = false;
            break;
        case TOKEN_END_NODE:
            if (depth == 0) {
                return refuse(e, "a node to end", was, KC_ERR_CORRUPT);
            }
            depth--;
            subnode_seen = true;
            break;
        case TOKEN_PROP:
            if (depth == 0 || subnode_seen) {
                return refuse(e, "properties inside a node and before its subnodes", was,
                              KC_ERR_CORRUPT);
            }
            break;
        case TOKEN_END:
            if (depth != 0 || !rooted) {
                return refuse(e, "a whole root node before the end", was, KC_ERR_CORRUPT);
            }
            return KC_OK;
        default:
            break;
        }
    }
}

static bool block_fits(uint32_t base, uint32_t size, uint32_t total)
{
    return base >= KC_FDT_HEADER_BYTES && base <= total && size <= total - base;
}

kc_status_t kc_fdt_open(struct kc_fdt *out, const void *blob, uint64_t limit,
                        struct kc_fdt_error *e)
{
    struct kc_fdt f = {blob, 0, 0, 0, 0, 0, 0};
    uint32_t at;
    if (limit < KC_FDT_HEADER_BYTES) {
        return refuse(e, "at least a header of 40 bytes", 0, KC_ERR_ARG);
    }
    if (kc_fdt_u32(f.blob) != MAGIC_BE) {
        return refuse(e, "the magic number d00dfeed", 0, KC_ERR_ARG);
    }
    f.size = kc_fdt_u32(f.blob + 4);
    f.structs = kc_fdt_u32(f.blob + 8);
    f.strings = kc_fdt_u32(f.blob + 12);
    f.reserved = kc_fdt_u32(f.blob + 16);
    f.strings_size = kc_fdt_u32(f.blob + 32);
    f.structs_size = kc_fdt_u32(f.blob + 36);
    if (kc_fdt_u32(f.blob + 20) < 17 || kc_fdt_u32(f.blob + 24) > 17) {
        return refuse(e, "a version that is compatible with 17", 20, KC_ERR_UNSUPPORTED);
    }
    if (f.size < KC_FDT_HEADER_BYTES || f.size > limit || f.size > KC_FDT_BYTES_MAX) {
        return refuse(e, "a total size of 40 bytes to 2 MiB, all of it readable", 4, KC_ERR_RANGE);
    }
    if ((f.structs & 3) != 0 || (f.reserved & 7) != 0) {
        return refuse(e, "the structure block at 4 and the reservations at 8 bytes", 8,
                      KC_ERR_ALIGN);
    }
    if (!block_fits(f.structs, f.structs_size, f.size)) {
        return refuse(e, "the structure block inside the total size", 8, KC_ERR_RANGE);
    }
    if (!block_fits(f.strings, f.strings_size, f.size)) {
        return refuse(e, "the strings block inside the total size", 12, KC_ERR_RANGE);
    }
    for (at = f.reserved;; at += 16) {
        if (!block_fits(at, 16, f.size)) {
            return refuse(e, "reservations that end inside the total size", 16, KC_ERR_RANGE);
        }
        if (kc_fdt_u64(f.blob + at) == 0 && kc_fdt_u64(f.blob + at + 8) == 0) {
            break;
        }
    }
    kc_status_t s = check_structs(&f, e);
    if (s == KC_OK) {
        *out = f;
    }
    return s;
}

void kc_fdt_next(const struct kc_fdt *f, uint32_t *cursor, struct kc_fdt_item *out)
{
    /* The cursor is the offset in the structure block and, above it, the depth: 21 + 5 bits. */
    uint32_t at = *cursor & 0xffffff, depth = *cursor >> 24, raw;
    struct kc_fdt_item item = {KC_FDT_DONE, 0, "", NULL, 0};
    uint32_t p = f->structs + at;
    do {
        if (step(f, &p, &raw, &item, NULL) != KC_OK) {
            raw = TOKEN_END; /* only if the blob changed under us */
        }
    } while (raw == TOKEN_NOP);
    switch (raw) {
    case TOKEN_BEGIN:
        item.token = KC_FDT_NODE;
        item.depth = ++depth;
        break;
    case TOKEN_END_NODE:
        item.token = KC_FDT_NODE_END;
        item.depth = depth--;
        break;
    case TOKEN_PROP:
        item.token = KC_FDT_PROP;
        item.depth = depth;
        break;
    default:
        *out = item; /* the cursor stays at the end: for good */
        return;
    }
    *cursor = (p - f->structs) | depth << 24;
    *out = item;
}

bool kc_fdt_reserved(const struct kc_fdt *f, uint32_t index, uint64_t *base, uint64_t *size)
{
    uint32_t at = f->reserved;
    for (uint32_t i = 0;; i++, at += 16) {
        uint64_t b = kc_fdt_u64(f->blob + at), n = kc_fdt_u64(f->blob + at + 8);
        if (b == 0 && n == 0) {
            return false;
        }
        if (i == index) {
            *base = b;
            *size = n;
            return true;
        }
    }
}
