/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exception.c: what happens at each of the 16 vectors.
 *
 *   vector   from          synchronous                      IRQ
 *    0 ..  3 EL1t          kernel, table, else dump         taken
 *    4 ..  7 EL1h          dump: a fault in a handler       dump
 *    8 .. 11 EL0 A64       kernel, else dump                taken
 *   12 .. 15 EL0 A32       dump                             dump
 *
 * A synchronous exception is offered to the kernel first, then to the exception table (user copies
 * and the like: a fault there is an answer, not an error), and is fatal otherwise. FIQ and SError
 * are fatal.
 *
 * I1  A dump never returns and never nests: a fault while dumping stops without another word more
 *     than its number.
 * I2  Only a fault whose ELR is in the table is fixed up, only by its own entry.
 *
 * Sources: DDI 0487 J.a, D1.3 "Exceptions", D17.2.37 "ESR_EL1".
 */
#include "body.h"

#define ESR_EC_SHIFT 26
#define ESR_EC_MASK  0x3fu
#define EC_IABT_EL0  0x20u
#define EC_IABT_EL1  0x21u
#define EC_DABT_EL0  0x24u
#define EC_DABT_EL1  0x25u
#define ISS_FNV      0x400u
#define ISS_CM       0x100u
#define ISS_S1PTW    0x80u
#define ISS_WNR      0x40u

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

static const char *class_name(uint32_t ec)
{
    switch (ec) {
    case 0x00:
        return "unknown reason (undefined instruction)";
    case 0x01:
        return "trapped WFI or WFE";
    case 0x07:
        return "access to FP, SIMD or SVE registers";
    case 0x0d:
        return "branch target exception";
    case 0x0e:
        return "illegal execution state";
    case 0x15:
        return "SVC";
    case 0x16:
        return "HVC";
    case 0x17:
        return "SMC";
    case 0x18:
        return "trapped MSR, MRS or system instruction";
    case 0x1c:
        return "pointer authentication failure";
    case EC_IABT_EL0:
        return "instruction abort from EL0";
    case EC_IABT_EL1:
        return "instruction abort from EL1";
    case 0x22:
        return "PC alignment fault";
    case EC_DABT_EL0:
        return "data abort from EL0";
    case EC_DABT_EL1:
        return "data abort from EL1";
    case 0x26:
        return "SP alignment fault";
    case 0x2f:
        return "SError";
    case 0x30:
    case 0x31:
        return "breakpoint";
    case 0x32:
    case 0x33:
        return "software step";
    case 0x34:
    case 0x35:
        return "watchpoint";
    case 0x3c:
        return "BRK instruction";
    default:
        return "another class";
    }
}

/* Fault status code of an abort: what, and at which level (-1: none is meant). */
static const char *status_name(uint32_t fsc, int *level)
{
    *level = -1;
    if (fsc < 0x10) {
        static const char kinds[4][24] = {"address size fault", "translation fault",
                                          "access flag fault", "permission fault"};
        *level = (int)(fsc & 3);
        return kinds[fsc >> 2];
    }
    if (fsc >= 0x14 && fsc <= 0x17) {
        *level = (int)(fsc & 3);
        return "external abort on a table walk";
    }
    switch (fsc) {
    case 0x10:
        return "external abort";
    case 0x11:
        return "tag check fault";
    case 0x21:
        return "alignment fault";
    case 0x30:
        return "TLB conflict abort";
    case 0x35:
        return "unsupported exclusive or atomic access";
    default:
        return "another fault status";
    }
}

static void say_register(const char *name, uint64_t v)
{
    kc_body_say(name);
    kc_body_say_hex(v);
}

static bool is_abort(uint32_t ec)
{
    return ec == EC_IABT_EL0 || ec == EC_IABT_EL1 || ec == EC_DABT_EL0 || ec == EC_DABT_EL1;
}

static void say_syndrome(const struct kc_body_frame *f)
{
    uint32_t ec = (uint32_t)(f->esr >> ESR_EC_SHIFT) & ESR_EC_MASK;
    uint32_t iss = (uint32_t)f->esr & 0x1ffffff;
    say_register("  ESR  ", f->esr);
    kc_body_say("  ");
    kc_body_say(class_name(ec));
    if (is_abort(ec)) {
        int level;
        const char *what = status_name(iss & 0x3f, &level);
        kc_body_say(": ");
        kc_body_say(what);
        if (level >= 0) {
            kc_body_say(", level ");
            kc_body_say_dec((uint64_t)level);
        }
        if (ec >= EC_DABT_EL0) {
            kc_body_say((iss & ISS_CM) != 0    ? ", cache maintenance"
                        : (iss & ISS_WNR) != 0 ? ", write"
                                               : ", read");
        } else {
            kc_body_say(", fetch");
        }
        if ((iss & ISS_S1PTW) != 0) {
            kc_body_say(", in the stage 2 translation of a walk");
        }
    } else {
        say_register(", ISS ", iss);
    }
    say_register("\n  FAR  ", f->far);
    if (is_abort(ec) && (iss & ISS_FNV) != 0) {
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
static bool synchronous(struct kc_body_frame *f, bool user)
{
    if (kc_program_fault(kc_program_kernel(), f->esr, f->far, f->elr, user)) {
        return true;
    }
    return !user && fix_up(f);
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
    bool user = vector >= 8;
    switch (vector) {
    case 0:
    case 8:
        if (!synchronous(f, user)) {
            dump(f, vector);
        }
        break;
    case 1:
    case 9:
        interrupt();
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

/* With the MMU off a constant of this image may carry its address of the upper half. */
static const char *reachable(const char *text)
{
    if (text != NULL && !kc_body_mmu_is_on()) {
        return kc_plat_ram(kc_plat_ram_pa(text));
    }
    return text;
}

void kc_plat_panic(const struct kc_panic *why)
{
    kc_program_panic(why);
    kc_plat_irq_save();
    kc_body_say("\nkcore: panic on CPU ");
    kc_body_say_dec(kc_plat_cpu());
    kc_body_say(": ");
    kc_body_say(reachable(why->what));
    if (why->text != NULL) {
        kc_body_say(": ");
        kc_body_say(reachable(why->text));
    }
    kc_body_say("\n  at ");
    kc_body_say(reachable(why->file));
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
