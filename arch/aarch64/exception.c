/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exception.c: what happens at each of the 16 vectors.
 *
 *   vector   from          synchronous                      IRQ
 *    0 ..  3 EL1t          kernel, table, else dump         taken
 *    4 ..  7 EL1h          dump: a fault in a handler       dump
 *    8 .. 11 EL0 A64       back to kc_plat_user_run()       taken, then likewise
 *   12 .. 15 EL0 A32       dump                             dump
 *
 * A synchronous exception of the kernel is offered to the kernel first, then to the exception table
 * (user copies and the like: a fault there is an answer, not an error), and is fatal otherwise. One
 * from EL0 is never fatal: it ends the program's stay there (user.c). FIQ and SError are fatal.
 *
 * I1  A dump never returns and never nests: a fault while dumping stops without another word more
 *     than its number.
 * I2  Only a fault whose ELR is in the table is fixed up, only by its own entry.
 *
 * Sources: DDI 0487 J.a, D1.3 "Exceptions", D17.2.37 "ESR_EL1".
 */
#include <kc/a64/regs.h>

#include "body.h"

static const char *vector_name(uint64_t vector)
{
    switch (vector & 3) {
    case 0:
        return "synchronous exception";
    case 1:
        return "IRQ";
    case 2:
        return "FIQ";
    default:
        return "SError";
    }
}

static const char *vector_from(uint64_t vector)
{
    switch (vector >> 2) {
    case 0:
        return "EL1";
    case 1:
        return "EL1, inside an exception handler";
    case 2:
        return "EL0";
    default:
        return "EL0 in AArch32 state";
    }
}

static void say_register(const char *name, uint64_t v)
{
    kc_body_say(name);
    kc_body_say_hex(v);
}

static void say_abort(const struct kc_a64_syndrome *s)
{
    kc_body_say(": ");
    kc_body_say(kc_a64_fault_name((enum kc_a64_fault)s->fault));
    if (s->level != KC_A64_LEVEL_NONE) {
        kc_body_say(", level ");
        kc_body_say_dec(s->level);
    }
    kc_body_say(s->is_fetch         ? ", fetch"
                : s->is_maintenance ? ", cache maintenance"
                : s->is_write       ? ", write"
                                    : ", read");
    if (s->walk_stage2) {
        kc_body_say(", in the stage 2 translation of a walk");
    }
}

static void say_syndrome(const struct kc_body_frame *f)
{
    struct kc_a64_syndrome s;
    kc_a64_esr_decode(f->esr, &s);
    say_register("  ESR  ", f->esr);
    kc_body_say("  ");
    kc_body_say(kc_a64_ec_name(s.ec));
    if (s.is_abort) {
        say_abort(&s);
    } else {
        say_register(", ISS ", s.iss);
    }
    say_register("\n  FAR  ", f->far);
    if (s.is_abort && s.far_invalid) {
        kc_body_say("  (not valid)");
    }
    kc_body_say("\n");
}

/* Image address of a code address, which is what a disassembly of the ELF file shows. */
static void say_code(const char *name, uint64_t a)
{
    uint64_t base = (uint64_t)kc_image_start;
    say_register(name, a);
    if (a >= base && a < (uint64_t)kc_image_text_end) {
        say_register("  image ", a - base);
    }
    kc_body_say("\n");
}

static void say_registers(const struct kc_body_frame *f)
{
    static const char names[31][5] = {
        "x0  ", "x1  ", "x2  ", "x3  ", "x4  ", "x5  ", "x6  ", "x7  ", "x8  ", "x9  ", "x10 ",
        "x11 ", "x12 ", "x13 ", "x14 ", "x15 ", "x16 ", "x17 ", "x18 ", "x19 ", "x20 ", "x21 ",
        "x22 ", "x23 ", "x24 ", "x25 ", "x26 ", "x27 ", "x28 ", "x29 ", "x30 "};
    for (uint32_t i = 0; i < 31; i++) {
        kc_body_say("  ");
        say_register(names[i], f->x[i]);
        if (i % 3 == 2) {
            kc_body_say("\n");
        }
    }
    kc_body_say("  ");
    say_register("sp  ", f->sp);
    kc_body_say("\n");
}

static void explain(const struct kc_body_frame *f)
{
    const struct kc_explain_regs regs = {
        .esr = f->esr,
        .far = f->far,
        .sctlr = kc_plat_sysreg_read(KC_SCTLR_EL1),
        .tcr = kc_plat_sysreg_read(KC_TCR_EL1),
        .mair = kc_plat_sysreg_read(KC_MAIR_EL1),
        .ttbr0 = kc_plat_sysreg_read(KC_TTBR0_EL1),
        .ttbr1 = kc_plat_sysreg_read(KC_TTBR1_EL1),
    };
    kc_program_explain(kc_program_kernel(), &regs);
}

static bool dumping[KC_CPUS_MAX];

KC_NORETURN static void dump(const struct kc_body_frame *f, uint64_t vector)
{
    uint32_t cpu = kc_plat_cpu();
    kc_body_quiet(false);
    if (cpu >= KC_CPUS_MAX || dumping[cpu]) { /* I1 */
        kc_body_say("\nkcore: exception inside a register dump\n");
        kc_board_exit(KC_BODY_EXIT_FAULT);
    }
    dumping[cpu] = true;
    kc_program_dying();
    kc_body_say("\nkcore: unhandled ");
    kc_body_say(vector_name(vector));
    kc_body_say(" on CPU ");
    kc_body_say_dec(cpu);
    kc_body_say(" from ");
    kc_body_say(vector_from(vector));
    kc_body_say("\n");
    say_syndrome(f);
    say_code("  ELR  ", f->elr);
    say_code("  LR   ", f->x[30]);
    say_register("  SPSR ", f->spsr);
    say_register("  SCTLR ", kc_plat_sysreg_read(KC_SCTLR_EL1));
    say_register("  TCR ", kc_plat_sysreg_read(KC_TCR_EL1));
    say_register("\n  TTBR0 ", kc_plat_sysreg_read(KC_TTBR0_EL1));
    say_register("  TTBR1 ", kc_plat_sysreg_read(KC_TTBR1_EL1));
    kc_body_say("\n");
    say_registers(f);
    explain(f);
    kc_board_exit(KC_BODY_EXIT_FAULT);
}

/* I2 */
static bool fix_up(struct kc_body_frame *f)
{
    for (const struct kc_body_extable *e = kc_image_extable; e < kc_image_extable_end; e++) {
        uint64_t insn = (uint64_t)&e->insn + (uint64_t)(int64_t)e->insn;
        if (insn == f->elr) {
            f->elr = (uint64_t)&e->fixup + (uint64_t)(int64_t)e->fixup;
            return true;
        }
    }
    return false;
}

/* The kernel may make the access good (memory that appears at its first touch); else it is an
 * answer for who expected a fault there (I2). */
static bool synchronous(struct kc_body_frame *f)
{
    return kc_program_fault(kc_program_kernel(), f->esr, f->far, f->elr) || fix_up(f);
}

static enum kc_user_exit_kind exit_of(const struct kc_body_frame *f)
{
    return kc_field_get(f->esr, 31, 26) == KC_A64_EC_SVC64 ? KC_USER_CALL : KC_USER_FAULT;
}

static void interrupt(void)
{
    uint32_t taken = kc_board_irq_take(), intid = KC_BOARD_INTID(taken);
    if (intid >= KC_BOARD_INTID_NONE) {
        return; /* it went away */
    }
    if (intid == kc_body_board.timer_intid) {
        kc_plat_timer(UINT64_MAX); /* once: level, so silence it before it is done */
    }
    kc_board_irq_done(taken);
    if (intid == KC_BODY_SGI_IPI) {
        kc_program_ipi(kc_program_kernel());
    }
}

void kc_body_exception(struct kc_body_frame *f, uint64_t vector)
{
    switch (vector) {
    case 0:
        if (!synchronous(f)) {
            dump(f, vector);
        }
        break;
    case 1:
        interrupt();
        break;
    case 8:
        if (!kc_body_user_leave(f, exit_of(f))) {
            dump(f, vector);
        }
        break;
    case 9:
        interrupt();
        if (!kc_body_user_leave(f, KC_USER_IRQ)) {
            dump(f, vector);
        }
        break;
    case 4:
        if (!fix_up(f)) { /* the way out of a dump, with no debugger attached */
            dump(f, vector);
        }
        break;
    default:
        dump(f, vector);
    }
}

/* ---- the last word -------------------------------------------------------------------------- */

void kc_plat_panic(const struct kc_panic *why)
{
    kc_program_panic(why);
    kc_plat_irq_save();
    kc_body_say("\nkcore: panic on CPU ");
    kc_body_say_dec(kc_plat_cpu());
    kc_body_say(": ");
    kc_body_say(why->what);
    if (why->text != NULL) {
        kc_body_say(": ");
        kc_body_say(why->text);
    }
    kc_body_say("\n  at ");
    kc_body_say(why->file);
    kc_body_say(":");
    kc_body_say_dec((uint64_t)(int64_t)why->line);
    if (why->value[0] != 0 || why->value[1] != 0) {
        say_register("\n  values ", why->value[0]);
        say_register(" ", why->value[1]);
    }
    kc_body_say("\n");
    kc_board_exit(KC_BODY_EXIT_PANIC);
}

void kc_body_exit(int code)
{
    kc_board_exit(code);
}
