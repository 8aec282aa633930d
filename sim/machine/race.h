/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * race.h: happens-before among the emulated CPUs, and the orders that atomics state. Exact only.
 */
#ifndef SIM_RACE_H
#define SIM_RACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kc/plat.h>

/* What an access is to a race: two conflict if one writes and one is plain. */
enum race_kind {
    RACE_READ,
    RACE_WRITE,
    RACE_ATOMIC_READ,
    RACE_ATOMIC_WRITE
};

/* What an atomic operation does with the order that it states. */
enum race_op {
    RACE_LOAD,
    RACE_STORE,
    RACE_RMW
};

/** More than one CPU is on, and somebody wants to know. */
extern bool race_on;

/* ---- race.c --------------------------------------------------------------------------------- */

/** An access of all of p..p+n-1 by the CPU with the baton, which its page has been judged for. */
void race_access(const void *p, size_t n, enum race_kind kind, const void *caller);

/** A whole atomic operation on [p, p + n), n a power of two up to 8; order as the compiler says. */
void race_atomic(const volatile void *p, size_t n, enum race_op op, int order, const void *caller);

/** A load or store of the descriptor at pa through the seam: atomic, of that order. */
void race_desc(uint64_t pa, enum race_op op, int order, const void *caller);

/** A fence by its C order, or a barrier of the seam. */
void race_fence(int order);
void race_barrier(enum kc_barrier kind);

/** CPU `to` is started, or sent an interrupt, by the CPU with the baton; it takes the interrupt. */
void race_start(uint32_t to);
void race_ipi(uint32_t to);
void race_ipi_taken(void);

/** A run begins or ends: all that was done before comes before all that is done after. */
void race_begin(void);
void race_end(void);

/* ---- order.c -------------------------------------------------------------------------------- */

/** The order that the atomic operation called from there is taken for. */
int order_of(const void *caller, enum race_op op, int order);

/** Offset of code in the program's file image, as addr2line takes it; of the call before `pc`. */
uint32_t order_code(const void *pc);

/** "function+0x12" of such an offset, or "+0x1234". */
void order_code_name(uint32_t code, char *out, size_t room);

/** "object+0x8" of static storage, or "a stack". */
void order_data_name(const void *p, char *out, size_t room);

static inline void race_plain(const void *p, size_t n, bool write, const void *caller)
{
    if (KC_UNLIKELY(race_on) && n != 0) {
        race_access(p, n, write ? RACE_WRITE : RACE_READ, caller);
    }
}

#endif
