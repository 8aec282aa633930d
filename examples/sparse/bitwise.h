/* SPDX-License-Identifier: BSD-2-Clause */
/* docs/sparse.md: integers that do not mix, for code that cannot change its integers into structs.
 */
#ifndef BITWISE_H
#define BITWISE_H

#include <stdint.h>

#ifdef __CHECKER__ /* sparse is reading */
#define my_kind  __attribute__((bitwise))
#define my_force __attribute__((force))
#else
#define my_kind
#define my_force
#endif

typedef uint64_t my_kind my_phys_t; /* a physical address */
typedef uint64_t my_kind my_bus_t;  /* what a device puts on its bus */

static inline my_phys_t my_phys(uint64_t raw)
{
    return (my_force my_phys_t)raw;
}

static inline my_bus_t my_bus(uint64_t raw)
{
    return (my_force my_bus_t)raw;
}

static inline uint64_t my_phys_raw(my_phys_t a)
{
    return (my_force uint64_t)a;
}

#endif
