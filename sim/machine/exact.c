/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exact.c: exact speed: every access of the code under test, before it happens.
 *
 * The core, the kernel and the scenarios are compiled by gcc with -fsanitize=thread and linked with
 * this file instead of the sanitizer's runtime: the compiler calls __tsan_* before each load and
 * store, and replaces each atomic operation by a call that must perform it.
 *
 * Invariants
 *   I1  a call for an address outside the windows costs a subtraction and a compare, save I6.
 *   I2  an access whose page is in the CPU's touch[] has been judged good under this generation;
 *       any other, and any whose tag does not fit (tags.c), goes through access_pointer().
 *   I3  the baton moves, and interrupts are taken, only before an access, never between its
 *       judgement and the access itself: not before the second access of a call (`second`), nor
 *       within an atomic operation. A fault masks interrupts until its access is retried.
 *   I4  each atomic is performed as what it is, sequentially consistent; its stated order counts
 *       for races (race.c), where nothing that the host does could hide that it is too weak.
 *   I5  every access of a program at EL0 goes through user_access(): seen_bytes covers all of the
 *       host's address space, and no page in touch[] was judged for EL0.
 *   I6  while an interrupt may come (cpu.c, I6), accesses outside the windows, too, take time and
 *       are seen, so that it may come before them; nothing else is done about them, and the baton
 *       stays. But those to the host's measures take none: how many there are depends on host time.
 *
 * The names are fixed by the compiler (gcc 12, gcc/sanitizer.def), hence no prototypes of ours.
 */
#include <string.h>

#include "machine_priv.h"
#include "race.h"

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wconversion"

#define CALLER __builtin_return_address(0)

const bool sim_exact = true;

/* The second access of a function that makes two: the first has been judged already. */
static bool second;

/* I6 */
static void outside(const void *p)
{
    if ((uintptr_t)p - (uintptr_t)sim.config.measures < sim.config.measures_bytes) {
        sim.budget++;
        return;
    }
    if (sim.budget <= 0 && !second) {
        cpu_before_access(false);
    }
}

static __attribute__((noinline)) void slow(const void *p, size_t n, bool write)
{
    if (sim.cur->user.inside) {
        /* I5: the kernel may run before this returns, and its accesses are first ones. */
        bool is_second = second;
        second = false;
        user_access(p, n, write, !is_second);
        second = is_second;
        return;
    }
    if ((uintptr_t)p - (uintptr_t)sim.area >= sim.area_bytes) {
        outside(p);
        return;
    }
    if (sim.budget <= 0 && !second) {
        cpu_before_access(true); /* I3 */
    }
    access_pointer(p, n, write);
}

static inline __attribute__((always_inline)) void judge(const void *p, size_t n, bool write)
{
    uint64_t offset = (uintptr_t)p - (uintptr_t)sim.area;
    if (KC_LIKELY(offset >= sim.seen_bytes)) {
        return; /* I1 */
    }
    uint64_t page = offset / SIM_PAGE_BYTES;
    const struct touch *t = &sim.cur->touch[page % TOUCH_SLOTS];
    sim.budget--;
    if (KC_LIKELY(t->tag == page + 1 && t->generation == sim.generation &&
                  (t->rights & (write ? 2u : 1u)) != 0 &&
                  (offset & PAGE_MASK_LOW) + n <= SIM_PAGE_BYTES && sim.budget > 0 &&
                  tag_fits(p, t->pa + (offset & PAGE_MASK_LOW), n))) {
        if (write) {
            sim.clean_writes++;
        } else {
            sim.clean_reads++;
        }
        return; /* I2 */
    }
    slow(p, n, write);
}

/* A plain access: judged, then compared with those of other CPUs. */
static inline __attribute__((always_inline)) void see(const void *p, size_t n, bool write)
{
    judge(p, n, write);
    race_plain(p, n, write, CALLER);
}

/* ---- plain accesses ------------------------------------------------------------------------- */

void __tsan_init(void)
{
}
void __tsan_func_entry(void *pc)
{
    (void)pc;
}
void __tsan_func_exit(void)
{
}

#define PLAIN(n)                           \
    void __tsan_read##n(void *p)           \
    {                                      \
        see(p, n, false);                  \
    }                                      \
    void __tsan_write##n(void *p)          \
    {                                      \
        see(p, n, true);                   \
    }                                      \
    void __tsan_volatile_read##n(void *p)  \
    {                                      \
        see(p, n, false);                  \
    }                                      \
    void __tsan_volatile_write##n(void *p) \
    {                                      \
        see(p, n, true);                   \
    }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

#define UNALIGNED(n)                        \
    void __tsan_unaligned_read##n(void *p)  \
    {                                       \
        see(p, n, false);                   \
    }                                       \
    void __tsan_unaligned_write##n(void *p) \
    {                                       \
        see(p, n, true);                    \
    }
UNALIGNED(2)
UNALIGNED(4)
UNALIGNED(8)
UNALIGNED(16)

void __tsan_read_range(void *p, unsigned long n)
{
    if (n != 0) {
        see(p, n, false);
    }
}
void __tsan_write_range(void *p, unsigned long n)
{
    if (n != 0) {
        see(p, n, true);
    }
}
void __tsan_vptr_update(void *p, void *value)
{
    (void)value;
    see(p, sizeof(void *), true);
}
void __tsan_vptr_read(void *p)
{
    see(p, sizeof(void *), false);
}

/* ---- memory functions (exact_names.h) ------------------------------------------------------- */

static void see_two(const void *a, bool write_a, const void *b, size_t n, const void *caller)
{
    judge(b, n, false);
    second = true;
    judge(a, n, write_a);
    second = false;
    race_plain(b, n, false, caller);
    race_plain(a, n, write_a, caller);
}

void *sim_memcpy(void *to, const void *from, size_t n)
{
    if (n != 0) {
        see_two(to, true, from, n, CALLER);
        memcpy(to, from, n);
    }
    return to;
}
void *sim_memmove(void *to, const void *from, size_t n)
{
    if (n != 0) {
        see_two(to, true, from, n, CALLER);
        memmove(to, from, n);
    }
    return to;
}
void *sim_memset(void *to, int byte, size_t n)
{
    if (n != 0) {
        see(to, n, true);
        memset(to, byte, n);
    }
    return to;
}
int sim_memcmp(const void *a, const void *b, size_t n)
{
    if (n == 0) {
        return 0;
    }
    see_two(a, false, b, n, CALLER);
    return memcmp(a, b, n);
}
void *__tsan_memcpy(void *to, const void *from, unsigned long n)
{
    return sim_memcpy(to, from, n);
}
void *__tsan_memmove(void *to, const void *from, unsigned long n)
{
    return sim_memmove(to, from, n);
}
void *__tsan_memset(void *to, int byte, unsigned long n)
{
    return sim_memset(to, byte, n);
}

/* ---- atomics -------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void
done(const volatile void *p, size_t n, enum race_op op, int order, const void *caller)
{
    order = order_of(caller, op, order);
    if (KC_UNLIKELY(race_on)) {
        race_atomic(p, n, op, order, caller);
    }
}

#define FETCH(bits, type, name, op)                                              \
    type __tsan_atomic##bits##_fetch_##name(volatile type *p, type v, int order) \
    {                                                                            \
        judge((const void *)p, sizeof(type), true);                              \
        type old = op(p, v, __ATOMIC_SEQ_CST);                                   \
        done(p, sizeof(type), RACE_RMW, order, CALLER);                          \
        return old;                                                              \
    }

/* An exchange that fails is a load, of the order stated for that. */
#define ATOMICS(bits, type)                                                                     \
    type __tsan_atomic##bits##_load(const volatile type *p, int order)                          \
    {                                                                                           \
        judge((const void *)p, sizeof(type), false);                                            \
        type value = __atomic_load_n(p, __ATOMIC_SEQ_CST);                                      \
        done(p, sizeof(type), RACE_LOAD, order, CALLER);                                        \
        return value;                                                                           \
    }                                                                                           \
    void __tsan_atomic##bits##_store(volatile type *p, type v, int order)                       \
    {                                                                                           \
        judge((const void *)p, sizeof(type), true);                                             \
        __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                               \
        done(p, sizeof(type), RACE_STORE, order, CALLER);                                       \
    }                                                                                           \
    type __tsan_atomic##bits##_exchange(volatile type *p, type v, int order)                    \
    {                                                                                           \
        judge((const void *)p, sizeof(type), true);                                             \
        type old = __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                 \
        done(p, sizeof(type), RACE_RMW, order, CALLER);                                         \
        return old;                                                                             \
    }                                                                                           \
    FETCH(bits, type, add, __atomic_fetch_add)                                                  \
    FETCH(bits, type, sub, __atomic_fetch_sub)                                                  \
    FETCH(bits, type, and, __atomic_fetch_and)                                                  \
    FETCH(bits, type, or, __atomic_fetch_or)                                                    \
    FETCH(bits, type, xor, __atomic_fetch_xor)                                                  \
    FETCH(bits, type, nand, __atomic_fetch_nand)                                                \
    static inline __attribute__((always_inline)) int exchange##bits(                            \
        volatile type *p, type *expected, type v, int order, int failure, const void *caller)   \
    {                                                                                           \
        judge((const void *)p, sizeof(type), true);                                             \
        bool good = __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST,        \
                                                __ATOMIC_SEQ_CST);                              \
        done(p, sizeof(type), good ? RACE_RMW : RACE_LOAD, good ? order : failure, caller);     \
        return good;                                                                            \
    }                                                                                           \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *expected, type v, \
                                                      int order, int failure)                   \
    {                                                                                           \
        return exchange##bits(p, expected, v, order, failure, CALLER);                          \
    }                                                                                           \
    int __tsan_atomic##bits##_compare_exchange_weak(volatile type *p, type *expected, type v,   \
                                                    int order, int failure)                     \
    {                                                                                           \
        return exchange##bits(p, expected, v, order, failure, CALLER);                          \
    }                                                                                           \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type *p, type expected, type v,    \
                                                    int order, int failure)                     \
    {                                                                                           \
        exchange##bits(p, &expected, v, order, failure, CALLER);                                \
        return expected;                                                                        \
    }

ATOMICS(8, uint8_t)
ATOMICS(16, uint16_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)

void __tsan_atomic_thread_fence(int order)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (race_on) {
        race_fence(order);
    }
}
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
