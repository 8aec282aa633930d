/* SPDX-License-Identifier: BSD-2-Clause */
/* types.c: the types of a trace in the order in which reports list them. */
#include <stdlib.h>
#include <string.h>

#include "report.h"

static int by_allocs(const void *a, const void *b)
{
    const struct report_type *x = *(const struct report_type *const *)a;
    const struct report_type *y = *(const struct report_type *const *)b;
    if (x->allocs != y->allocs) {
        return x->allocs < y->allocs ? 1 : -1;
    }
    return strcmp(x->name, y->name);
}

const struct report_type **report_types_by_allocs(const struct report_data *d)
{
    const struct report_type **order = calloc(d->type_count + 1u, sizeof(struct report_type *));
    for (uint32_t i = 0; order != NULL && i < d->type_count; i++) {
        order[i] = &d->type[i];
    }
    if (order != NULL) {
        qsort(order, d->type_count, sizeof(struct report_type *), by_allocs);
    }
    return order;
}
