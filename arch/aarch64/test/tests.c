/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tests.c: the program that runs the unit tests: the harness's view of this body, and kc_program_*.
 *
 * bootargs: `only=SUITE[.NAME]` runs those alone, `seed=N` seeds them, `tap` prints TAP, `list`
 * prints the names. The exit code is 0 if nothing failed.
 */
#include "../words.h"
#include "flat.h"
#include "kc_test.h"
#include "kc_test_body.h"

#define RAM_BYTES KC_MIB(16)

struct kc_kernel {
    const char *suite, *name; /* of the test that runs */
};

static struct kc_kernel kernel;
static unsigned char ram[RAM_BYTES] KC_ALIGNED(1u << 21);

/* The compiler's name for what the cases call __builtin_strlen(); images of the core do not need
 * it. */
size_t strlen(const char *s);

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n] != 0) {
        n++;
    }
    return n;
}

/* ---- the harness ---------------------------------------------------------------------------- */

void kc_test_write_body(const char *text, size_t n, bool is_protocol)
{
    (void)is_protocol; /* one console: what is not protocol begins with # */
    kc_plat_console(text, n);
}

bool kc_test_seed_body(uint64_t *out)
{
    return kc_words_u64(kc_body_info.cmdline, "seed", out);
}

bool kc_test_ram_body(uint64_t bytes, struct kc_boot_info *bi)
{
    if (bytes == 0 || bytes > RAM_BYTES || bytes % 4096 != 0) {
        return false;
    }
    __builtin_memset(ram, 0, bytes);
    __builtin_memset(bi, 0, sizeof *bi);
    bi->version = KC_BOOT_VERSION;
    bi->cpu_count = KC_CPUS_MAX;
    bi->linear_base = kc_body_info.linear_base;
    bi->dynamic_base = kc_body_info.dynamic_base;
    bi->dynamic_bytes = kc_body_info.dynamic_bytes;
    bi->user_base = kc_body_info.user_base;
    bi->user_bytes = kc_body_info.user_bytes;
    bi->seed = 1;
    bi->range_count = 1;
    bi->range[0].base = kc_plat_ram_pa(ram);
    bi->range[0].size = bytes;
    bi->range[0].kind = KC_BOOT_RAM;
    return true;
}

void kc_test_ram_release_body(void)
{
    flat_restore(); /* a test may have left its own tables in TTBR0 */
}

void kc_test_listen_body(bool on)
{
    (void)on; /* nobody listens on metal */
}

bool kc_test_is_test_thread_body(void)
{
    return kc_plat_cpu() == 0;
}

void kc_test_running_body(const char *suite, const char *name)
{
    kernel.suite = suite;
    kernel.name = name;
}

/* ---- the program ---------------------------------------------------------------------------- */

struct kc_kernel *kc_program_kernel(void)
{
    return &kernel;
}

void kc_program_cpu_main(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
}

/* The machine stops here: say in which test. */
void kc_program_dying(void)
{
    if (kernel.name != NULL) {
        kc_test_printf("\nBail out! %s.%s: ended by an exception\n", kernel.suite, kernel.name);
    }
}

bool kc_program_fault(struct kc_kernel *k, uint64_t esr, uint64_t far, uint64_t elr)
{
    (void)esr;
    (void)far;
    (void)elr;
    (void)k;
    return false;
}

void kc_program_panic(const struct kc_panic *why)
{
    kc_test_on_panic(why);
}

void kc_program_explain(struct kc_kernel *k, const struct kc_explain_regs *regs)
{
    (void)k;
    flat_explain(regs);
}

void kc_program_ipi(struct kc_kernel *k)
{
    (void)k;
}

int kc_program_main(struct kc_kernel *k, const struct kc_boot_info *info,
                    const struct kc_board *board)
{
    static char only[128];
    const char *value = NULL;
    size_t n = 0;
    struct kc_test_run run = {.body = "image",
                              .tap = kc_words_find(info->cmdline, "tap", NULL, NULL),
                              .list = kc_words_find(info->cmdline, "list", NULL, NULL)};
    (void)k;
    (void)board;
    if (kc_words_find(info->cmdline, "only", &value, &n)) {
        if (n >= sizeof only) {
            kc_body_say("tests: only= is too long\n");
            return 2;
        }
        __builtin_memcpy(only, value, n);
        run.pattern = only;
    }
    struct kc_test_result r = kc_test_run(&run);
    return r.failed == 0 ? 0 : 1;
}
