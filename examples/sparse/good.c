/* SPDX-License-Identifier: BSD-2-Clause */
/* Each use is of the right kind: sparse says nothing. */
#include "bitwise.h"

#include <kc/addr.h>

void device_start(my_bus_t at);
my_bus_t device_address(my_phys_t at, uint64_t bus_offset);
kc_pa_t frame_of(my_phys_t at);

my_bus_t device_address(my_phys_t at, uint64_t bus_offset)
{
    return my_bus(my_phys_raw(at) + bus_offset);
}

kc_pa_t frame_of(my_phys_t at)
{
    return kc_pa(my_phys_raw(at));
}
