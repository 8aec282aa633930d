/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * import.h: events from the text of ftrace, `trace-cmd report` and `perf script`.
 *
 * Reads the kmem events kmalloc, kmalloc_node, kfree, kmem_cache_alloc, kmem_cache_alloc_node,
 * kmem_cache_free, mm_page_alloc and mm_page_free, of kernels old and new. Addresses become slots
 * here, in a table of what lives now: memory grows with that, not with the trace.
 */
#ifndef SIM_TRACE_IMPORT_H
#define SIM_TRACE_IMPORT_H

#include "slabinfo.h"
#include "text.h"

struct sim_import;

/**
 * Begin.
 *
 * lines   the text; the import's until it is freed
 * slabs   geometry of the source's caches, or NULL; must outlive the import
 *
 * Returns NULL if there is no memory.
 */
struct sim_import *sim_import_new(struct sim_lines *lines, const struct sim_slabinfo *slabs);

/** As sim_trace_fill(); err is filled at the first failure. */
kc_status_t sim_import_fill(struct sim_import *m, struct kc_event *buf, uint32_t max, uint32_t *n,
                            struct sim_trace_error *err);

/** Free it, its lines included. NULL is allowed. */
void sim_import_free(struct sim_import *m);

#endif
