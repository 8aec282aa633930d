/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service's own code, which runs at EL0. It is compiled with the kernel and shares nothing with
 * it: no function outside this file, no constant, no variable.
 *
 * P1. Memory is reached through at() alone, so that each access is one of the machine's: the
 *     compiler makes no memory function of them, and may not leave one out.
 * P2. Whatever it expects of the kernel it checks; the number of the first step that was not so is
 *     its verdict. Steps are numbered by where they stand.
 */
#include "service_program.h"

#define PAGE          4096u
#define PATTERN_BYTES 96u
#define STRIDE        0x9e3779b97f4a7c15u
#define LONG_WORK     2000u /* rounds of work in registers; interrupts fall into it */
#define DEPTH         40u   /* of calls, more than one page of stack */

KC_INLINE volatile uint8_t *at(uint64_t va)
{
    return (volatile uint8_t *)kc_plat_uptr(kc_uva(va));
}

KC_INLINE uint64_t exchange(uint64_t va, uint64_t n)
{
    return kc_plat_user_call(KC_SERVICE_EXCHANGE, va, n, 0);
}

static KC_USER_TEXT uint8_t pattern(uint64_t seed, uint64_t i)
{
    uint64_t x = (seed + i) * STRIDE;
    return (uint8_t)(x >> 56);
}

/* Send a buffer that crosses into the second page of the data area, and judge what came back. */
static KC_USER_TEXT bool exchange_is_right(uint64_t va, uint64_t n, uint64_t seed)
{
    for (uint64_t i = 0; i < n; i++) {
        *at(va + i) = pattern(seed, i);
    }
    *at(va + n) = 0x5a;
    if (exchange(va, n) != KC_OK) {
        return false;
    }
    for (uint64_t i = 0; i < n; i++) {
        if ((*at(va + i) ^ pattern(seed, n - 1 - i)) != 0xff) {
            return false;
        }
    }
    return *at(va + n) == 0x5a;
}

/* Every refusal that a caller can run into. */
static KC_USER_TEXT bool refusals_are_right(const struct kc_service_start *s)
{
    uint64_t end = s->data + s->data_bytes;
    bool good = exchange(s->kernel, 8) == KC_ERR_PERM;
    good = good && exchange(0 - (uint64_t)4, 8) == KC_ERR_ARG;
    good = good && exchange(s->hole, 8) == KC_ERR_FAULT;
    good = good && exchange(s->text, 8) == KC_ERR_FAULT; /* read, but not written back */
    good = good && exchange(end - 4, 8) == KC_ERR_FAULT;
    good = good && exchange(0, 8) == KC_ERR_RANGE;
    good = good && exchange(s->data, 0) == KC_ERR_RANGE;
    good = good && exchange(s->data, KC_SERVICE_EXCHANGE_MAX + 1) == KC_ERR_RANGE;
    good = good &&
           kc_plat_user_call(KC_SERVICE_LOG, s->data, KC_SERVICE_LOG_MAX + 1, 0) == KC_ERR_RANGE;
    good = good && kc_plat_user_call(KC_SERVICE_LOG, s->hole, 1, 0) == KC_ERR_FAULT;
    good = good && kc_plat_user_call(KC_SERVICE_CALL_COUNT, 0, 0, 0) == KC_ERR_UNSUPPORTED;
    good = good && kc_plat_user_call(UINT64_MAX, 0, 0, 0) == KC_ERR_UNSUPPORTED;
    return good;
}

/*
 * The same sums twice, in two orders, over calls: a register that somebody changed, by a call or
 * by an interrupt between two instructions, makes them differ.
 */
static KC_USER_TEXT bool registers_are_kept(uint64_t seed)
{
    uint64_t a = seed, b = seed ^ STRIDE, c = 1, d = 2, e = 3, f = 5, g = 7, h = 11;
    uint64_t sum = 0;
    uint64_t expected = 0;
    for (uint32_t i = 0; i < LONG_WORK; i++) {
        a += STRIDE, b ^= a >> 7, c += b, d ^= c << 3, e += d, f ^= e >> 5, g += f, h ^= g;
        sum += a ^ b ^ c ^ d ^ e ^ f ^ g ^ h;
        if (i % 256 == 255) {
            kc_plat_user_call(KC_SERVICE_YIELD, 0, 0, 0);
        }
    }
    a = seed, b = seed ^ STRIDE, c = 1, d = 2, e = 3, f = 5, g = 7, h = 11;
    for (uint32_t i = 0; i < LONG_WORK; i++) {
        a += STRIDE, b ^= a >> 7, c += b, d ^= c << 3, e += d, f ^= e >> 5, g += f, h ^= g;
        expected += a ^ b ^ c ^ d ^ e ^ f ^ g ^ h;
    }
    return sum == expected;
}

/* A frame for each step down; what it holds is looked at on the way up. */
static KC_USER_TEXT uint64_t descend(uint64_t depth) /* NOLINT(misc-no-recursion) */
{
    volatile uint64_t frame[24];
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(frame); i++) {
        frame[i] = depth + i;
    }
    uint64_t below = depth == 0 ? 0 : descend(depth - 1);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(frame); i++) {
        if (frame[i] != depth + i) {
            return UINT64_MAX;
        }
    }
    return below + 1;
}

static KC_USER_TEXT uint64_t be_honest(const struct kc_service_start *s)
{
    uint64_t name = s->data + offsetof(struct kc_service_start, name);
    if (kc_plat_user_call(KC_SERVICE_LOG, name, s->name_bytes, 0) != KC_OK) {
        return 1;
    }
    if (!exchange_is_right(s->data + PAGE - PATTERN_BYTES / 2, PATTERN_BYTES, s->seed)) {
        return 2;
    }
    if (!exchange_is_right(s->data + PAGE + 1, KC_SERVICE_EXCHANGE_MAX, s->seed + 1)) {
        return 3;
    }
    if (!refusals_are_right(s)) {
        return 4;
    }
    if (!registers_are_kept(s->seed)) {
        return 5;
    }
    return descend(DEPTH) == DEPTH + 1 ? 0 : 6;
}

static KC_USER_TEXT void work_for_ever(const struct kc_service_start *s)
{
    for (uint64_t i = 0;; i++) {
        *at(s->data + PAGE + i % PAGE) = (uint8_t)i;
        if (i % 64 == 0) {
            kc_plat_user_call(KC_SERVICE_YIELD, 0, 0, 0);
        }
    }
}

/* True if the kind is to return from the service's first function. */
static KC_USER_TEXT bool misbehave(const struct kc_service_start *s)
{
    if (s->kind == KC_SERVICE_LOADS_UNMAPPED) {
        (void)*at(s->unmapped);
    } else if (s->kind == KC_SERVICE_LOADS_HOLE) {
        (void)*at(s->hole);
    } else if (s->kind == KC_SERVICE_WRITES_TEXT) {
        *at(s->text) = 0;
    } else if (s->kind == KC_SERVICE_EXECUTES_DATA) {
        ((void (*)(void))(uintptr_t)at(s->data + PAGE))();
    } else if (s->kind == KC_SERVICE_TOUCHES_GUARD) {
        (void)*at(s->stack - 1);
    } else if (s->kind == KC_SERVICE_OVERFLOWS_STACK) {
        descend(UINT32_MAX);
    } else if (s->kind == KC_SERVICE_LOADS_KERNEL) {
        (void)*(volatile uint8_t *)kc_plat_ptr(kc_va(s->kernel));
    } else if (s->kind == KC_SERVICE_STORES_KERNEL) {
        *(volatile uint8_t *)kc_plat_ptr(kc_va(s->kernel)) = 0;
    } else if (s->kind == KC_SERVICE_RUNS_UNDEFINED) {
        kc_plat_user_undefined();
    } else if (s->kind == KC_SERVICE_RUNS_PRIVILEGED) {
        kc_plat_user_privileged();
    } else if (s->kind == KC_SERVICE_NEVER_ENDS) {
        work_for_ever(s);
    }
    return s->kind == KC_SERVICE_RETURNS_NOWHERE;
}

KC_USER_TEXT void kc_service_program(uint64_t start)
{
    /* P1: the start block is copied by volatile bytes, then read on the service's own stack. */
    struct kc_service_start s;
    volatile uint8_t *to = (volatile uint8_t *)&s;
    for (uint64_t i = 0; i < sizeof(s); i++) {
        to[i] = *at(start + i);
    }
    uint64_t verdict = be_honest(&s);
    if (verdict == 0 && misbehave(&s)) {
        return;
    }
    /* A misdeed that was let through is a verdict of its own. */
    if (verdict == 0 && s.kind != KC_SERVICE_HONEST) {
        verdict = 100;
    }
    for (;;) {
        kc_plat_user_call(KC_SERVICE_EXIT, verdict, 0, 0);
    }
}
