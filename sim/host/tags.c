/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory tags of the hosted body: the Memory Tagging Extension, where the host has it (arm64 Linux,
 * also under qemu-user); elsewhere there are none.
 *
 *     pointer   | 0 | tag | 0 ... | address            tag: bits [59:56]
 *     memory    | 16 bytes: tag | 16 bytes: tag | ...   RAM is mapped for it (ram.c)
 *
 * A load or store through a pointer whose tag is not the memory's is a synchronous SIGSEGV, whose
 * address comes without the tag. Whatever was never tagged has tag 0, in pointers and in memory:
 * with tags on, code that knows nothing of them goes on as before. They are turned on before main,
 * for the first thread, and so for all that it starts.
 *
 * Sources: DDI 0487 J.a, D6 "Memory Tagging Extension"; Linux
 * Documentation/arch/arm64/memory-tagging-extension.rst.
 */
#define _GNU_SOURCE
#include "host_priv.h"

#if defined(__aarch64__) && defined(__linux__)

#include <sys/auxv.h>
#include <sys/prctl.h>

/* Of the kernel's interface; the C library's headers may be older. */
#define HOST_HWCAP2_MTE      (1ul << 18)
#define HOST_PROT_MTE        0x20
#define HOST_SET_TAGGED_ADDR 55
#define HOST_TAGGED_ADDR_ON  1ul
#define HOST_MTE_SYNCHRONOUS 2ul
#define HOST_MTE_ALL_TAGS    (0xfffful << 3)

#define GRANULE_BYTES        16u
#define TAG_SHIFT            56u

static bool tags_on;

__attribute__((constructor)) static void turn_on(void)
{
    if ((getauxval(AT_HWCAP2) & HOST_HWCAP2_MTE) != 0) {
        tags_on =
            prctl(HOST_SET_TAGGED_ADDR,
                  HOST_TAGGED_ADDR_ON | HOST_MTE_SYNCHRONOUS | HOST_MTE_ALL_TAGS, 0, 0, 0) == 0;
    }
}

int host_tag_protection(void)
{
    return tags_on ? HOST_PROT_MTE : 0;
}

uintptr_t host_tag_strip(uintptr_t address)
{
    return address & (((uintptr_t)1 << TAG_SHIFT) - 1);
}

uint32_t kc_plat_tag_granule(void)
{
    return tags_on ? GRANULE_BYTES : 0;
}

void *kc_plat_tag_set(void *p, size_t n, uint32_t tag)
{
    if (!tags_on) {
        return p;
    }
    uintptr_t tagged = host_tag_strip((uintptr_t)p) | (uintptr_t)(tag & 15u) << TAG_SHIFT;
    uintptr_t end = tagged + n;
    for (uintptr_t at = tagged & ~(uintptr_t)(GRANULE_BYTES - 1); at < end; at += GRANULE_BYTES) {
        /* The granule at that address gets the tag that the address carries. */
        __asm__ volatile(".arch armv8.5-a+memtag\n\tstg %0, [%0]" : : "r"(at) : "memory");
    }
    return (void *)tagged;
}

uint32_t kc_plat_tag_get(const void *p)
{
    if (!tags_on) {
        return 0;
    }
    uintptr_t at = host_tag_strip((uintptr_t)p) & ~(uintptr_t)(GRANULE_BYTES - 1);
    __asm__ volatile(".arch armv8.5-a+memtag\n\tldg %0, [%0]" : "+r"(at) : : "memory");
    return (uint32_t)(at >> TAG_SHIFT) & 15u;
}

void *kc_plat_tag_with(const void *p, uint32_t tag)
{
    uintptr_t plain = host_tag_strip((uintptr_t)p);
    return (void *)(tags_on ? plain | (uintptr_t)(tag & 15u) << TAG_SHIFT : plain);
}

#else

int host_tag_protection(void)
{
    return 0;
}

uintptr_t host_tag_strip(uintptr_t address)
{
    return address;
}

#endif
