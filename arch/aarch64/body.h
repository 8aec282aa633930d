/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * body.h: the bare-metal body within itself. What the kernel sees of it is kc/plat.h; what it sees
 * of the kernel is kernel.h, through the *program* of an image (below).
 *
 * An image is boot.S, this body, the core and one program: image/ (the kernel with its workloads),
 * test/tests.c (the unit tests) or test/probe.c (the body alone).
 */
#ifndef KC_A64_BODY_H
#define KC_A64_BODY_H

#include <kc/boot.h>
#include <kc/explain.h>
#include <kc/plat.h>

#include "board/dt.h"
#include "layout.h"

KC_STATIC_ASSERT(CPUS_MAX == KC_CPUS_MAX, "layout.h and kc/config.h agree");
KC_STATIC_ASSERT((uint64_t)KC_LINEAR_TOP16 << 48 == KC_BODY_LINEAR_BASE, "one linear base");

struct kc_kernel;

/* ---- the program of an image, which each image defines -------------------------------------- */

/** Storage of the kernel: static, zero, the same byte low and high. Context: any regime. */
struct kc_kernel *kc_program_kernel(void);

/** MMU off: what kc_kernel_boot() does (kernel.h). */
KC_NODISCARD kc_status_t kc_program_boot(struct kc_kernel *k, const struct kc_boot_info *info);

/** MMU on, CPU 0, interrupts open: run, and return the exit code of the image, 0 for good. */
int kc_program_main(struct kc_kernel *k, const struct kc_boot_info *info,
                    const struct kc_board *board);

/** MMU on, another CPU; returns when it may be switched off. */
void kc_program_cpu_main(uint32_t cpu, void *arg);

/** A synchronous exception of the kernel's that the body could not fix up; true: retry. */
bool kc_program_fault(struct kc_kernel *k, uint64_t esr, uint64_t far, uint64_t elr);

/** Something panicked; returns if the program has no other way on: then the machine stops. */
void kc_program_panic(const struct kc_panic *why);

/** An exception is about to end everything; its registers are printed next. */
void kc_program_dying(void);

/** They are printed: explain it, with kc_body_say(), if there is more to say. */
void kc_program_explain(struct kc_kernel *k, const struct kc_explain_regs *regs);

/** An interrupt of kc_plat_ipi() on this CPU. */
void kc_program_ipi(struct kc_kernel *k);

/* ---- state of the body ---------------------------------------------------------------------- */

/* What a CPU is started with; read by boot.S with the MMU off. */
struct kc_body_start {
    uint64_t cpu;
    uint64_t entry; /* physical address */
    uint64_t arg;   /* physical address */
    uint64_t unused[5];
};
KC_STATIC_ASSERT(offsetof(struct kc_body_start, cpu) == START_CPU, "boot.S");
KC_STATIC_ASSERT(offsetof(struct kc_body_start, entry) == START_ENTRY, "boot.S");
KC_STATIC_ASSERT(offsetof(struct kc_body_start, arg) == START_ARG, "boot.S");
KC_STATIC_ASSERT(sizeof(struct kc_body_start) == START_BYTES, "boot.S");

/* The interrupted state, as vectors.S saves it. */
struct kc_body_frame {
    uint64_t x[31];
    uint64_t sp;
    uint64_t elr;
    uint64_t spsr;
    uint64_t esr;
    uint64_t far;
};
KC_STATIC_ASSERT(offsetof(struct kc_body_frame, x[30]) == FRAME_LR, "vectors.S");
KC_STATIC_ASSERT(offsetof(struct kc_body_frame, sp) == FRAME_SP, "vectors.S");
KC_STATIC_ASSERT(offsetof(struct kc_body_frame, elr) == FRAME_ELR, "vectors.S");
KC_STATIC_ASSERT(offsetof(struct kc_body_frame, spsr) == FRAME_SPSR, "vectors.S");
KC_STATIC_ASSERT(offsetof(struct kc_body_frame, esr) == FRAME_ESR, "vectors.S");
KC_STATIC_ASSERT(offsetof(struct kc_body_frame, far) == FRAME_FAR, "vectors.S");
KC_STATIC_ASSERT(sizeof(struct kc_body_frame) == FRAME_BYTES, "vectors.S");

KC_STATIC_ASSERT(offsetof(struct kc_user_context, x) == USER_X, "user.S");
KC_STATIC_ASSERT(offsetof(struct kc_user_context, sp) == USER_SP, "user.S");
KC_STATIC_ASSERT(offsetof(struct kc_user_context, pc) == USER_PC, "user.S");
KC_STATIC_ASSERT(offsetof(struct kc_user_context, pstate) == USER_PSTATE, "user.S");
KC_STATIC_ASSERT(offsetof(struct kc_user_context, tls) == USER_TLS, "user.S");

/* One fix-up: an instruction that may fault, and where to go on if it does; both self-relative. */
struct kc_body_extable {
    int32_t insn;
    int32_t fixup;
};

/* The one instance of what the device tree said; written by kc_body_boot() only. */
extern struct kc_board kc_body_board;
extern struct kc_boot_info kc_body_info;

/* Places in the image (image.lds). */
extern char kc_image_start[], kc_image_text_end[], kc_image_rodata[], kc_image_rodata_end[];
extern char kc_image_data[], kc_image_end[];
extern char kc_image_user_text[], kc_image_user_text_end[];
extern const struct kc_body_extable kc_image_extable[], kc_image_extable_end[];
extern char kc_body_stacks[], kc_body_exception_stacks[];

/* ---- effects in assembler ------------------------------------------------------------------- */
void kc_body_secondary_entry(void);
void kc_body_sctlr_write(uint64_t value);

/** Clean and invalidate the lines of first .. end - 1 to the point of coherency; ends with DSB SY.
 */
void kc_body_clean_inval_poc(const void *first, const void *end);

/**
 * To EL0 with the registers of u. Returns at the program's next exception: kc_body_user_leave()
 * has then saved them. kernel_sp: out, SP_EL0 of the kernel while the program runs.
 */
void kc_body_user_enter(struct kc_user_context *u, uint64_t *kernel_sp);

/** Where an exception from EL0 returns to, with SP_EL0 = kernel_sp. Not to be called. */
void kc_body_user_back(void);

/**
 * An exception has come from EL0. If a program is running there: save it, and make the frame
 * return to who ran it; false if there is none.
 */
bool kc_body_user_leave(struct kc_body_frame *f, enum kc_user_exit_kind kind);

/** Nothing of this CPU that a program at EL0 could read or use, but what its context says. */
void kc_body_user_init(void);

/* Entered from boot.S and vectors.S. */
void kc_body_boot(uint64_t dtb_pa);
KC_NORETURN void kc_body_main(void);
KC_NORETURN void kc_body_secondary(uint32_t cpu, void *arg);
void kc_body_exception(struct kc_body_frame *f, uint64_t vector);

/* ---- printing ------------------------------------------------------------------------------- */
/** Text, a number in hexadecimal (16 digits with 0x) or decimal, to the console, in any regime. */
void kc_body_say(const char *text);
void kc_body_say_hex(uint64_t v);
void kc_body_say_dec(uint64_t v);

/** From now on kc_plat_console() prints nothing, or prints again; kc_board_uart_put() always does.
 */
void kc_body_quiet(bool quiet);

/** Stop everything: the exit code goes to the host, else the machine is switched off. */
KC_NORETURN void kc_body_exit(int code);

#define KC_BODY_EXIT_FAULT 101 /* an exception that nobody had an answer for */
#define KC_BODY_EXIT_PANIC 102
#define KC_BODY_EXIT_BOOT  103 /* the device tree or the boot information was refused */

/* ---- the board (board/virt) ----------------------------------------------------------------- */
void kc_board_uart_put(char c);

/** Make the interrupt controller work, once, MMU on; then this CPU's part of it, on each CPU. */
void kc_board_irq_init(void);
void kc_board_irq_cpu_init(uint32_t cpu);

/** Send software interrupt `id` (0 to 15) to the CPUs in mask. */
void kc_board_sgi(uint64_t mask, uint32_t id);

/** Take the pending interrupt, and later say that it is done. Its number is in the low 10 bits. */
uint32_t kc_board_irq_take(void);
void kc_board_irq_done(uint32_t taken);

#define KC_BOARD_INTID(taken) ((taken)&0x3ffu)
#define KC_BOARD_INTID_NONE   1020u /* and above: nothing is pending */

/** PSCI (DEN 0022): the return value of the function. */
int64_t kc_board_psci(uint32_t function, uint64_t a0, uint64_t a1, uint64_t a2);

KC_NORETURN void kc_board_exit(int code);

#define KC_BODY_SGI_IPI  0u
#define KC_BODY_SGI_STOP 1u

#endif
