/* SPDX-License-Identifier: BSD-2-Clause */
/* Each line marked BAD mixes kinds. A compiler is silent about them; sparse reports every one. */
#include "bitwise.h"

#include <kc/addr.h>

void device_start(my_bus_t at);
my_bus_t device_address(my_phys_t at, uint64_t bus_offset);
kc_pa_t frame_of(my_phys_t at);
void start(my_phys_t at);

my_bus_t device_address(my_phys_t at, uint64_t bus_offset)
{
    return at + bus_offset; /* BAD */
}

kc_pa_t frame_of(my_phys_t at)
{
    return kc_pa(at); /* BAD */
}

void start(my_phys_t at)
{
    device_start(at); /* BAD */
}
