/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user.c: programs at EL0.
 *
 *     kc_plat_user_run --kc_body_user_enter--> EL0 --exception--> vectors.S --> kc_body_exception
 *          ^                                                                          |
 *          +-------- kc_body_user_back <--ERET, frame changed-- kc_body_user_leave <--+
 *
 * The kernel that waits in kc_plat_user_run() is on its own stack (SP_EL0 of EL1t), the handler on
 * SP_EL1, so neither is in the other's way.
 *
 * I1  stay[cpu].u is set exactly while that CPU is at EL0, or on its way there or back.
 * I2  A program never gets more of PSTATE than PSTATE_KEPT: it starts at EL0, AArch64, with
 *     interrupts open, whatever its context says.
 * I3  The kernel goes on with the interrupt mask that it had, and with PAN where the CPU has it.
 *
 * Sources: DDI 0487 J.a, D1.3.4 "Exception return"; C5.2.18 "SPSR_EL1"; D8.4.5 "PAN".
 */
#include "body.h"

/* NZCV, TCO, DIT, SSBS, BTYPE: what EL0 may change of PSTATE without the kernel. */
#define PSTATE_KEPT (KC_MASK(31, 28) | KC_BIT(25) | KC_BIT(24) | KC_BIT(12) | KC_MASK(11, 10))

#define SPSR_EL1T   4u
#define SPSR_PAN    KC_BIT(22)

/* One CPU's program. */
struct stay {
    const struct kc_user_context *of; /* the last that began here */
    struct kc_user_context *u;        /* while it is at EL0 (I1) */
    struct kc_user_exit *why;
    uint64_t kernel_sp;
    uint64_t kernel_spsr;
} KC_ALIGNED(64);

static struct stay stays[KC_CPUS_MAX];

void kc_body_user_init(void)
{
    __asm__ volatile("msr cntkctl_el1, xzr\n\t" /* no counters, no timers */
                     "msr cpacr_el1, xzr\n\t"   /* no FP, no SIMD */
                     "msr tpidrro_el0, xzr\n\t"
                     "isb" ::
                         : "memory");
}

static bool has_pan(void)
{
    return kc_field_get(kc_plat_sysreg_read(KC_ID_AA64MMFR1_EL1), 23, 20) != 0;
}

kc_status_t kc_plat_user_text(void (*program)(uint64_t x0), kc_pa_range_t *text, uint64_t *entry)
{
    uint64_t base = (uint64_t)kc_image_user_text;
    uint64_t bytes = (uint64_t)kc_image_user_text_end - base;
    if (!kc_range_has(base, bytes, (uint64_t)program)) {
        return KC_ERR_ABSENT;
    }
    *text = (kc_pa_range_t){.base = kc_plat_ram_pa(kc_image_user_text), .size = bytes};
    *entry = (uint64_t)program - base;
    return KC_OK;
}

kc_status_t kc_plat_user_run(struct kc_user_context *u, struct kc_user_exit *why)
{
    uint64_t daif;
    struct stay *s = &stays[kc_plat_cpu()];
    if (!kc_body_mmu_is_on() || (u->begun_ != 0 && s->of != u)) {
        return KC_ERR_STATE;
    }
    __asm__ volatile("mrs %0, daif" : "=r"(daif)::"memory");
    s->kernel_spsr = SPSR_EL1T | daif | (has_pan() ? SPSR_PAN : 0); /* I3 */
    s->why = why;
    u->pstate &= PSTATE_KEPT; /* I2 */
    u->begun_ = 1;
    s->of = u;
    kc_plat_irq_save(); /* I1: an interrupt from here on is not one from EL0 */
    s->u = u;
    kc_body_user_enter(u, &s->kernel_sp);
    return KC_OK;
}

bool kc_body_user_leave(struct kc_body_frame *f, enum kc_user_exit_kind kind)
{
    struct stay *s = &stays[kc_plat_cpu()];
    struct kc_user_context *u = s->u;
    if (u == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(u->x); i++) {
        u->x[i] = f->x[i];
    }
    u->sp = f->sp;
    u->pc = f->elr;
    u->pstate = f->spsr;
    __asm__ volatile("mrs %0, tpidr_el0" : "=r"(u->tls));
    *s->why = (struct kc_user_exit){.kind = (uint32_t)kind, .esr = f->esr, .far = f->far};
    s->u = NULL;
    f->sp = s->kernel_sp;
    f->elr = (uint64_t)kc_body_user_back;
    f->spsr = s->kernel_spsr;
    return true;
}
