/* SPDX-License-Identifier: BSD-2-Clause */
/* The slabinfo reader on hostile bytes: a message or a table, and what the table holds is sound. */
#include "fuzz.h"

#include <string.h>

#include "slabinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sim_trace_error err = {{0}};
    struct sim_input *in = sim_input_memory("fuzz", SIM_WANT_SLABINFO, data, n, &err);
    if (in == NULL) {
        FUZZ_REQUIRE(err.text[0] != 0);
        return 0;
    }
    struct sim_slabinfo *s = sim_slabinfo_read(in, &err);
    FUZZ_REQUIRE((s == NULL) == (err.text[0] != 0));
    if (s != NULL) {
        static const char *const name[] = {"filp", "kmalloc-64", "", "a"};
        for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
            const struct sim_slab *slab = sim_slabinfo_find(s, name[i]);
            FUZZ_REQUIRE(slab == NULL ||
                         (strcmp(slab->name, name[i]) == 0 && slab->object_bytes != 0 &&
                          slab->objects_per_slab != 0 && slab->pages_per_slab != 0));
        }
        FUZZ_REQUIRE(sim_slabinfo_count(s) <= SIM_SLABINFO_CACHES_MAX);
    }
    sim_slabinfo_free(s);
    sim_input_close(in);
    return 0;
}
