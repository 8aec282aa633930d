/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of locks, checked: what the core cannot do by itself, having no memory of what each CPU
 * holds. A thread is a CPU here.
 *
 * K1  held[0..held_count-1] are the locks that this thread holds, in the order in which it took
 *     them; ranks descend strictly, so the last has the lowest.
 *
 * Locks may be released in any order, and then the rest still descends.
 */
#define _GNU_SOURCE
#include "host_priv.h"

#include <kc/lock.h>

#define HELD_MAX 32u /* more than there are ranks: by K1 no thread holds two of one */

struct held {
    uint64_t lock;
    uint64_t rank;
};

KC_STATIC_ASSERT(HELD_MAX > KC_RANK_KERNEL, "one of each rank can be held");

static __thread struct held held[HELD_MAX];
static __thread uint32_t held_count;

void host_watch_locks(bool on)
{
    if (on) {
        host_watch_set(HOST_WATCH_LOCKS, 0);
    } else {
        host_watch_set(0, HOST_WATCH_LOCKS);
    }
}

void host_locks_forget(void)
{
    held_count = 0;
    host_irq_forget();
}

void host_lock_taken(uint64_t lock, uint64_t rank)
{
    if (held_count != 0 && held[held_count - 1].rank <= rank) {
        struct kc_panic why = {__FILE__,
                               __LINE__,
                               "lock order",
                               "a lock was taken while one of the same or a lower rank is held",
                               {rank, held[held_count - 1].rank}};
        kc_plat_panic(&why);
    }
    KC_CHECK(held_count < HELD_MAX);
    held[held_count].lock = lock;
    held[held_count].rank = rank;
    held_count++;
}

/* One that was taken before checking began is not in the list, and that is no fault. */
void host_lock_released(uint64_t lock)
{
    uint32_t i = held_count;
    while (i > 0 && held[i - 1].lock != lock) {
        i--;
    }
    if (i == 0) {
        return;
    }
    for (; i < held_count; i++) {
        held[i - 1] = held[i];
    }
    held_count--;
}
