/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's last words on a fault that nobody had an answer for: kc/explain.h, and what this
 * kernel knows of the address. No lock is taken: the CPU that faulted may hold any.
 */
#include "kernel_priv.h"

#include <kc/explain.h>
#include <kc/fmt.h>

#define LINE_MAX 160u

static void say(kc_ptview_sink_fn sink, void *ctx, const char *fmt, ...) KC_PRINTF(3, 4);

static void say(kc_ptview_sink_fn sink, void *ctx, const char *fmt, ...)
{
    char line[LINE_MAX];
    va_list args;
    va_start(args, fmt);
    size_t n = kc_vfmt(line, sizeof(line), fmt, args);
    va_end(args);
    sink(ctx, line, n < sizeof(line) ? n : sizeof(line) - 1);
}

/* What the boot information calls that byte of the linear map; the last of several is the narrowest
   that a body reports. */
static void say_linear(const struct kc_kernel *k, uint64_t ia, kc_ptview_sink_fn sink, void *ctx)
{
    const char *kind = NULL;
    if (ia < k->info.linear_base) {
        return;
    }
    uint64_t pa = ia - k->info.linear_base;
    for (uint32_t i = 0; i < k->info.range_count && i < KC_BOOT_RANGES_MAX; i++) {
        const struct kc_boot_range *r = &k->info.range[i];
        if (kc_range_has(kc_pa_raw(r->base), r->size, pa) &&
            (kind == NULL || r->kind != KC_BOOT_RAM)) {
            kind = kc_boot_kind_name(r->kind);
        }
    }
    if (kind == NULL) {
        kind = "neither RAM nor a device";
    }
    say(sink, ctx, "  linear map: %s, at 0x%llx\n", kind, (unsigned long long)pa);
}

void kc_kernel_explain(const struct kc_kernel *k, const struct kc_explain_regs *regs, uint32_t cpu,
                       kc_ptview_sink_fn sink, void *ctx)
{
    struct kc_explain e;
    kc_explain(regs, &k->info, &e);
    kc_explain_say(&e, sink, ctx);
    if (e.kind != KC_EXPLAIN_WALKED) {
        return;
    }
    bool dynamic = e.upper && kc_range_has(k->info.dynamic_base, k->info.dynamic_bytes, e.ia);
    if (dynamic) {
        kc_explain_space(&k->space, kc_ia(e.ia), sink, ctx);
    } else if (e.upper) {
        say_linear(k, e.ia, sink, ctx);
    } else if (cpu < KC_CPUS_MAX && k->user[cpu] != NULL) {
        kc_explain_space(k->user[cpu], kc_ia(e.ia), sink, ctx);
    } else {
        say(sink, ctx, "  no user space is active on CPU %u\n", cpu);
    }
}

void kc_kernel_dump(const struct kc_kernel *k, struct kc_ptview_bounds bounds,
                    kc_ptview_sink_fn sink, void *ctx)
{
    struct kc_ptview v;
    if (k->linear.ready) {
        kc_ptview_of(&k->linear, &k->info, &v);
        (void)kc_ptview_dump(&v, bounds, sink, ctx);
    }
}
