/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any registers over any descriptors: kc/explain.h and kc/ptview.h give an answer, in bounded
 * words, and read nothing but RAM (what lies beside it is not mapped, or is ASan's).
 *
 * Input: 7 registers; then words of 8 bytes, alternately where one is stored (in 8 pages) and what.
 * Bit 62 of what is stored lets its address point back into the pages, so that walks go on.
 */
#include "fuzz.h"

#include <host_ram.h>

#include <kc/explain.h>

#include "kc_bytes.h"

#define PAGES     8u
#define PAGE      UINT64_C(4096)
#define LINES_MAX 40u
#define READS_MAX 3000u

static size_t said;

static void count(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    FUZZ_REQUIRE(n < 200);
    for (size_t i = 0; i < n; i++) {
        FUZZ_REQUIRE(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
    }
    said += n;
}

static uint64_t take(struct kc_bytes *b)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < 8; i++) {
        v = v << 8 | kc_bytes_u8(b);
    }
    return v;
}

static void store(struct kc_bytes *b, uint64_t base)
{
    uint64_t at = take(b);
    uint64_t desc = take(b);
    if ((desc & KC_BIT(62)) != 0) {
        desc = (desc & ~KC_MASK(47, 12)) | (base + (desc >> 12) % PAGES * PAGE);
    }
    kc_plat_desc_store(kc_pa(base + at % (PAGES * PAGE / 8) * 8), desc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct kc_boot_info info;
    struct kc_bytes b = {data, n, 0};
    struct kc_explain e;
    if (info.range_count == 0) {
        FUZZ_REQUIRE(host_ram_create(PAGES * PAGE, &info) == KC_OK);
    }
    uint64_t base = kc_pa_raw(info.range[0].base);
    kc_plat_desc_fill(info.range[0].base, PAGES * PAGE / 8, 0, 0);
    struct kc_explain_regs regs = {.esr = take(&b),
                                   .far = take(&b),
                                   .sctlr = take(&b),
                                   .tcr = take(&b),
                                   .mair = take(&b),
                                   .ttbr0 = take(&b),
                                   .ttbr1 = take(&b)};
    if ((regs.ttbr0 & KC_BIT(62)) != 0) {
        regs.ttbr0 = regs.ttbr1 = base;
    }
    while (!kc_bytes_is_empty(&b)) {
        store(&b, base);
    }
    said = 0;
    kc_explain(&regs, &info, &e);
    kc_explain_say(&e, count, NULL);
    FUZZ_REQUIRE(said > 0 && said < 2000);
    FUZZ_REQUIRE(e.kind < KC_EXPLAIN_KIND_COUNT);
    if (e.kind == KC_EXPLAIN_WALKED) {
        FUZZ_REQUIRE(e.walk.step_count <= 4 && e.walk.end < KC_PTVIEW_END_COUNT);
        FUZZ_REQUIRE(!e.agrees || e.now == e.syndrome.fault);
        uint64_t lines =
            kc_ptview_dump(&e.view, (struct kc_ptview_bounds){LINES_MAX, READS_MAX}, count, NULL);
        FUZZ_REQUIRE(lines <= LINES_MAX);
    }
    return 0;
}
