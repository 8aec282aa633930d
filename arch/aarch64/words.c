/* SPDX-License-Identifier: BSD-2-Clause */
/* words.c: see words.h. */
#include "words.h"

#include <kc/bits.h>

bool kc_words_find(const char *line, const char *key, const char **value, size_t *n)
{
    const char *at = line;
    while (*at != 0) {
        const char *k = key;
        while (*k != 0 && *at == *k) {
            at++;
            k++;
        }
        bool same = *k == 0 && (*at == 0 || *at == ' ' || *at == '=');
        if (same && *at == '=') {
            at++;
        }
        const char *start = at;
        while (*at != 0 && *at != ' ') {
            at++;
        }
        if (same) {
            if (value != NULL) {
                *value = start;
            }
            if (n != NULL) {
                *n = (size_t)(at - start);
            }
            return true;
        }
        while (*at == ' ') {
            at++;
        }
    }
    return false;
}

static bool digit(char c, uint64_t base, uint64_t *out)
{
    if (c >= '0' && c <= '9') {
        *out = (uint64_t)(c - '0');
    } else if (c >= 'a' && c <= 'f') {
        *out = (uint64_t)(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
        *out = (uint64_t)(c - 'A') + 10;
    } else {
        return false;
    }
    return *out < base;
}

bool kc_words_u64(const char *line, const char *key, uint64_t *out)
{
    const char *v = NULL;
    size_t n = 0, i = 0;
    uint64_t r = 0, base = 10;
    if (!kc_words_find(line, key, &v, &n) || n == 0) {
        return false;
    }
    if (n > 2 && v[0] == '0' && (v[1] == 'x' || v[1] == 'X')) {
        base = 16;
        i = 2;
    }
    for (; i < n; i++) {
        uint64_t d = 0;
        if (!digit(v[i], base, &d) || !kc_mul_u64(r, base, &r) || !kc_add_u64(r, d, &r)) {
            return false;
        }
    }
    *out = r;
    return true;
}

bool kc_words_is(const char *line, const char *key, const char *value)
{
    const char *v = NULL;
    size_t n = 0, i = 0;
    if (!kc_words_find(line, key, &v, &n)) {
        return false;
    }
    while (i < n && value[i] != 0 && v[i] == value[i]) {
        i++;
    }
    return i == n && value[i] == 0;
}
