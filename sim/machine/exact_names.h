/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exact_names.h: included before each object that the exact machine watches.
 *
 * gcc's instrumentation sees loads, stores and structure copies, but it lets the memory functions
 * expand to bare moves. So they get names of the machine's own, which it cannot expand.
 */
#ifndef SIM_EXACT_NAMES_H
#define SIM_EXACT_NAMES_H

void *sim_memcpy(void *to, const void *from, __SIZE_TYPE__ n);
void *sim_memmove(void *to, const void *from, __SIZE_TYPE__ n);
void *sim_memset(void *to, int byte, __SIZE_TYPE__ n);
int sim_memcmp(const void *a, const void *b, __SIZE_TYPE__ n);

#define __builtin_memcpy  sim_memcpy
#define __builtin_memmove sim_memmove
#define __builtin_memset  sim_memset
#define __builtin_memcmp  sim_memcmp
#define memcpy            sim_memcpy
#define memmove           sim_memmove
#define memset            sim_memset
#define memcmp            sim_memcmp

#endif
