/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recordings of seam calls. A slot is claimed by one atomic increment, then filled by its claimer;
 * the buffer is read after host_record_stop(), when the threads that filled it have been joined.
 */
#define _GNU_SOURCE
#include <host_record.h>

#include "host_priv.h"

static struct host_event *events;
static size_t capacity;
static size_t seen;

void host_record_start(struct host_event *to, size_t n)
{
    events = to;
    capacity = n;
    __atomic_store_n(&seen, 0, __ATOMIC_SEQ_CST);
    host_watch_set(HOST_WATCH_RECORD, 0);
}

size_t host_record_stop(void)
{
    host_watch_set(0, HOST_WATCH_RECORD);
    return host_record_count();
}

size_t host_record_count(void)
{
    return __atomic_load_n(&seen, __ATOMIC_SEQ_CST);
}

void host_record_add(enum host_call call, uint64_t a, uint64_t b, uint64_t c)
{
    size_t slot = __atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST);
    if (slot < capacity) {
        struct host_event e = {call, host_cpu, a, b, c};
        events[slot] = e;
    }
}

const char *host_call_name(enum host_call call)
{
    switch (call) {
    case HOST_DESC_STORE:
        return "desc_store";
    case HOST_DESC_FILL:
        return "desc_fill";
    case HOST_DESC_CAS:
        return "desc_cas";
    case HOST_BARRIER:
        return "barrier";
    case HOST_TLBI:
        return "tlbi";
    case HOST_CACHE:
        return "cache";
    case HOST_SYSREG_WRITE:
        return "sysreg_write";
    case HOST_MMIO_READ:
        return "mmio_read";
    case HOST_MMIO_WRITE:
        return "mmio_write";
    case HOST_NOTE:
        return "note";
    case HOST_IPI:
        return "ipi";
    case HOST_CALL_COUNT:
        break;
    }
    return "?";
}
