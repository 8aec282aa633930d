/* SPDX-License-Identifier: BSD-2-Clause */
/* The bundled sample, put into the program by the assembler. SIM_SAMPLE_PATH comes from the build.
 */
#include "trace.h"

__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        ".globl sim_sample_begin\n"
        "sim_sample_begin:\n"
        ".incbin \"" SIM_SAMPLE_PATH "\"\n"
        ".globl sim_sample_end\n"
        "sim_sample_end:\n"
        ".popsection\n");

extern const unsigned char sim_sample_begin[];
extern const unsigned char sim_sample_end[];

const void *sim_trace_sample(size_t *bytes)
{
    *bytes = (size_t)(sim_sample_end - sim_sample_begin);
    return sim_sample_begin;
}
