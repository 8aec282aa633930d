/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the hosted body share with each other alone. */
#ifndef HOST_PRIV_H
#define HOST_PRIV_H

#include <host.h>

/* The tools' record of these bytes is no longer true: they are about to be given to the host. */
void host_memory_forget(void *p, size_t n);

/* This thread took, or is about to release, the lock at that address. */
void host_lock_taken(uint64_t lock, uint64_t rank);
void host_lock_released(uint64_t lock);

/* This thread's CPU takes an interrupt if one is pending and none is masked. */
void host_irq_poll(void);

#endif
