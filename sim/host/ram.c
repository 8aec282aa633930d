/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RAM of the hosted body: one private, zero-filled, unreserved mapping.
 *
 * host_ram_offset is what makes a pointer of a physical address. It is written here alone, while no
 * other thread uses RAM, and read by the inline functions of kc_body.h.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "host_priv.h"
#include <host_ram.h>

uintptr_t host_ram_offset;

static unsigned char *block; /* HOST_MMIO_BYTES of registers, then RAM; NULL while there is none */
static uint64_t ram_bytes;

/*
 * Maps bytes at a pointer equal to HOST_MMIO_BASE modulo HOST_RAM_ALIGN, so that what is aligned in
 * physical memory is aligned for the host too. NULL if the host does not give it.
 */
static unsigned char *map_congruent(size_t bytes)
{
    unsigned char *p =
        mmap(NULL, bytes + HOST_RAM_ALIGN, PROT_READ | PROT_WRITE | host_tag_protection(),
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        return NULL;
    }
    size_t before = (size_t)(HOST_MMIO_BASE - (uintptr_t)p) % HOST_RAM_ALIGN;
    if (before != 0) {
        munmap(p, before);
    }
    munmap(p + before + bytes, HOST_RAM_ALIGN - before);
    return p + before;
}

kc_status_t host_ram_create(uint64_t bytes, struct kc_boot_info *bi)
{
    if (bi == NULL) {
        return KC_ERR_ARG;
    }
    if (bytes == 0 || bytes > HOST_RAM_MAX) {
        return KC_ERR_RANGE;
    }
    if (!kc_is_aligned(bytes, HOST_PAGE_BYTES)) {
        return KC_ERR_ALIGN;
    }
    if (block != NULL) {
        return KC_ERR_STATE;
    }
    uint64_t map_bytes = bytes + HOST_MMIO_BYTES;
    if (map_bytes > SIZE_MAX / 2) {
        return KC_ERR_NOMEM; /* a 32-bit host: no such object can exist */
    }
    unsigned char *p = map_congruent((size_t)map_bytes);
    if (p == NULL) {
        return KC_ERR_NOMEM;
    }
    block = p;
    ram_bytes = bytes;
    host_ram_offset = (uintptr_t)block - (uintptr_t)HOST_MMIO_BASE;

    memset(bi, 0, sizeof(*bi));
    bi->version = KC_BOOT_VERSION;
    bi->cpu_count = KC_CPUS_MAX;
    bi->linear_base = (uint64_t)(uintptr_t)block - HOST_MMIO_BASE; /* modulo 2^64, as va is */
    bi->dynamic_base = HOST_DYNAMIC_BASE;
    bi->dynamic_bytes = HOST_DYNAMIC_BYTES;
    bi->user_base = HOST_USER_BASE;
    bi->user_bytes = HOST_USER_BYTES;
    bi->seed = 1;
    bi->range_count = 1;
    bi->range[0].base = kc_pa(HOST_RAM_BASE);
    bi->range[0].size = bytes;
    bi->range[0].kind = KC_BOOT_RAM;
    return KC_OK;
}

void host_ram_destroy(void)
{
    if (block == NULL) {
        return;
    }
    size_t map_bytes = (size_t)(ram_bytes + HOST_MMIO_BYTES);
    host_memory_forget(block, map_bytes); /* the host may give these addresses to anyone */
    munmap(block, map_bytes);
    block = NULL;
    ram_bytes = 0;
    host_ram_offset = 0;
}

uint64_t host_ram_bytes(void)
{
    return ram_bytes;
}
