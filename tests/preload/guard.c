/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library that guards what it does by a lock, and holds that over a fork, as many do: its
 * handlers are registered by its constructor, which runs before that of a preloaded library.
 */
#include <pthread.h>
#include <stdlib.h>

#include "guard.h"

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

static void lock(void)
{
    pthread_mutex_lock(&guard);
}

static void unlock(void)
{
    pthread_mutex_unlock(&guard);
}

__attribute__((constructor)) static void start(void)
{
    if (pthread_atfork(lock, unlock, unlock) != 0) {
        abort();
    }
}

void *guarded_malloc(size_t n)
{
    lock();
    void *p = malloc(n);
    unlock();
    return p;
}
