/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Notes of the core, told on to AddressSanitizer and to Valgrind's Memcheck.
 *
 *     note            ASan            Memcheck
 *     ALLOC           unpoison        addressable, undefined
 *     FREE            poison          not addressable
 *     FRAME_ALLOC     unpoison        addressable, undefined
 *     FRAME_FREE      poison          not addressable
 *
 * Notes of locks go to locks.c where that is wanted. All other notes concern the monitors of the
 * simulator, and here only a recording.
 *
 * The library need not be built with a sanitizer: ASan's two functions are weak references, there
 * when the program has the run-time in it. ASan poisons 8 bytes at a time: the tail of an object
 * whose size is no multiple of 8 is exact, its head must be 8-byte aligned, and blocks of the core
 * are. Valgrind's requests are a few no-op instructions outside Valgrind; its header is optional.
 */
#define _GNU_SOURCE
#include "host_priv.h"

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define HAVE_VALGRIND 1
#endif
#endif
#ifndef HAVE_VALGRIND
#define HAVE_VALGRIND 0
#endif

extern void __asan_poison_memory_region(const volatile void *p, size_t n) __attribute__((weak));
extern void __asan_unpoison_memory_region(const volatile void *p, size_t n) __attribute__((weak));

uint32_t host_watch;

static uint32_t tools_present(void)
{
    uint32_t bits = 0;
    if (__asan_poison_memory_region != NULL && __asan_unpoison_memory_region != NULL) {
        bits |= HOST_WATCH_ASAN;
    }
#if HAVE_VALGRIND
    if (RUNNING_ON_VALGRIND) {
        bits |= HOST_WATCH_MEMCHECK;
    }
#endif
    return bits;
}

__attribute__((constructor)) static void look_for_tools(void)
{
    host_watch_tools(true);
}

void host_watch_tools(bool on)
{
    if (on) {
        host_watch_set(tools_present(), 0);
    } else {
        host_watch_set(0, HOST_WATCH_ASAN | HOST_WATCH_MEMCHECK);
    }
}

uint32_t host_watch_get(void)
{
    return __atomic_load_n(&host_watch, __ATOMIC_SEQ_CST);
}

/* These bytes are live, with contents nobody may rely on. */
static void became_live(void *p, size_t n, uint32_t watch)
{
    if ((watch & HOST_WATCH_ASAN) != 0) {
        __asan_unpoison_memory_region(p, n);
    }
#if HAVE_VALGRIND
    if ((watch & HOST_WATCH_MEMCHECK) != 0) {
        (void)VALGRIND_MAKE_MEM_UNDEFINED(p, n);
    }
#endif
}

static void became_defined(void *p, size_t n, uint32_t watch)
{
    if ((watch & HOST_WATCH_ASAN) != 0) {
        __asan_unpoison_memory_region(p, n);
    }
#if HAVE_VALGRIND
    if ((watch & HOST_WATCH_MEMCHECK) != 0) {
        (void)VALGRIND_MAKE_MEM_DEFINED(p, n);
    }
#endif
}

/*
 * The least range that holds all that was ever made dead, as first and last byte: so that
 * forgetting a terabyte of RAM, of which a page was used, does not write an eighth of a terabyte of
 * shadow.
 */
static uintptr_t dead_first = UINTPTR_MAX;
static uintptr_t dead_last;

static void remember_dead(uintptr_t first, uintptr_t last)
{
    uintptr_t seen = __atomic_load_n(&dead_first, __ATOMIC_RELAXED);
    while (first < seen && !__atomic_compare_exchange_n(&dead_first, &seen, first, true,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    seen = __atomic_load_n(&dead_last, __ATOMIC_RELAXED);
    while (last > seen && !__atomic_compare_exchange_n(&dead_last, &seen, last, true,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

/* Nobody may touch these bytes. */
static void became_dead(void *p, size_t n, uint32_t watch)
{
    if (n != 0) {
        remember_dead((uintptr_t)p, (uintptr_t)p + (n - 1));
    }
    if ((watch & HOST_WATCH_ASAN) != 0) {
        __asan_poison_memory_region(p, n);
    }
#if HAVE_VALGRIND
    if ((watch & HOST_WATCH_MEMCHECK) != 0) {
        (void)VALGRIND_MAKE_MEM_NOACCESS(p, n);
    }
#endif
}

void host_memory_forget(void *p, size_t n)
{
    uint32_t watch = tools_present();
    uintptr_t first = (uintptr_t)p;
    uintptr_t last = (uintptr_t)p + (n - 1);
    uintptr_t from = __atomic_load_n(&dead_first, __ATOMIC_RELAXED);
    uintptr_t to = __atomic_load_n(&dead_last, __ATOMIC_RELAXED);
    from = from > first ? from : first;
    to = to < last ? to : last;
    if (from > to) {
        return;
    }
    if ((watch & HOST_WATCH_ASAN) != 0) {
        __asan_unpoison_memory_region((void *)from, to - from + 1);
    }
#if HAVE_VALGRIND
    if ((watch & HOST_WATCH_MEMCHECK) != 0) {
        (void)VALGRIND_MAKE_MEM_DEFINED(from, to - from + 1);
    }
#endif
}

void host_note(enum kc_note kind, uint64_t base, uint64_t size, const void *owner)
{
    (void)owner;
    uint32_t watch = host_watch_get();
    host_seen(HOST_NOTE, (uint64_t)kind, base, size);
    switch (kind) {
    case KC_NOTE_ALLOC:
        became_live((void *)(uintptr_t)base, (size_t)size, watch);
        break;
    case KC_NOTE_DEFINED:
        became_defined((void *)(uintptr_t)base, (size_t)size, watch);
        break;
    case KC_NOTE_FREE:
        became_dead((void *)(uintptr_t)base, (size_t)size, watch);
        break;
    case KC_NOTE_FRAME_ALLOC:
        became_live(kc_plat_ram(kc_pa(base)), (size_t)size, watch);
        break;
    case KC_NOTE_FRAME_FREE:
        became_dead(kc_plat_ram(kc_pa(base)), (size_t)size, watch);
        break;
    case KC_NOTE_LOCK_TAKEN:
        if ((watch & HOST_WATCH_LOCKS) != 0) {
            host_lock_taken(base, size);
        }
        break;
    case KC_NOTE_LOCK_RELEASED:
        if ((watch & HOST_WATCH_LOCKS) != 0) {
            host_lock_released(base);
        }
        break;
    default:
        break;
    }
}
