/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the hosted body share with each other alone. */
#ifndef HOST_PRIV_H
#define HOST_PRIV_H

#include <host.h>

/* The tools' record of these bytes is no longer true: they are about to be given to the host. */
void host_memory_forget(void *p, size_t n);

/* Listeners, bits HOST_WATCH_*: these begin, then these end. Not masked. */
void host_watch_set(uint32_t begin, uint32_t end);

/* This thread took, or is about to release, the lock at that address. */
void host_lock_taken(uint64_t lock, uint64_t rank);
void host_lock_released(uint64_t lock);

/* What memory that is to carry tags is mapped with beside reading and writing; 0: there are none.
 */
int host_tag_protection(void);

/* The address in a pointer that may carry a tag. */
uintptr_t host_tag_strip(uintptr_t address);

/* This thread's CPU, unmasked, takes an interrupt if one is pending. */
void host_irq_take(void);

/* Undoes kc_plat_irq_save() without letting interrupts in. */
void host_irq_unmask(uint64_t saved);

/* Unmasks a thread whatever it was in the middle of. */
void host_irq_forget(void);

#endif
