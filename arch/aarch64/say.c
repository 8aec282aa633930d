/* SPDX-License-Identifier: BSD-2-Clause */
/* say.c: what the body prints by itself, before there is a kernel and after it has stopped. */
#include "body.h"

/* On a CPU that starts, with its MMU off, constants carry their addresses of the upper half. */
static const char *reachable(const char *text)
{
    return kc_body_mmu_is_on() ? text : kc_plat_ram(kc_plat_ram_pa(text));
}

void kc_body_say(const char *text)
{
    size_t n = 0;
    text = reachable(text);
    while (text[n] != 0) {
        n++;
    }
    kc_plat_console(text, n);
}

void kc_body_say_hex(uint64_t v)
{
    char out[18] = "0x";
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t digit = (uint32_t)(v >> (60 - 4 * i)) & 0xf;
        out[2 + i] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
    kc_plat_console(out, sizeof out);
}

void kc_body_say_dec(uint64_t v)
{
    char out[20];
    size_t at = sizeof out;
    do {
        out[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    kc_plat_console(out + at, sizeof out - at);
}
