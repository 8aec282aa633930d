/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * service_program.h: what the kernel and its service at EL0 say to each other.
 *
 * The service's whole code is service_program.c, in a section of its own (KC_USER_TEXT) that the
 * kernel maps read-only and executable. It has no constants and no variables but what lies on its
 * stack and in its data area, where the kernel leaves a start block.
 *
 * System calls: number in x8, arguments in x0 to x2, answer in x0: a kc_status_t. All other
 * registers are kept.
 */
#ifndef KC_KERNEL_SERVICE_PROGRAM_H
#define KC_KERNEL_SERVICE_PROGRAM_H

#include <kc/plat.h>

enum kc_service_call {
    /* The service is over: x0 is its verdict, 0 or the number of the step that went wrong. */
    KC_SERVICE_EXIT,
    /* Print x1 bytes of text at x0, 1 to KC_SERVICE_LOG_MAX. KC_ERR_RANGE, or what kc_ucopy says */
    KC_SERVICE_LOG,
    /*
     * The buffer of x1 bytes at x0, 1 to KC_SERVICE_EXCHANGE_MAX, comes back in reverse order and
     * with every bit turned. KC_ERR_RANGE, or what kc_ucopy says: then it is as it was up to the
     * fault
     */
    KC_SERVICE_EXCHANGE,
    /* Somebody else may run. KC_OK */
    KC_SERVICE_YIELD,
    KC_SERVICE_CALL_COUNT /* from here on: KC_ERR_UNSUPPORTED */
};

#define KC_SERVICE_LOG_MAX      64u
#define KC_SERVICE_EXCHANGE_MAX 512u

/* What a service does: the honest thing, or one forbidden thing after a while of honest ones. */
enum kc_service_kind {
    KC_SERVICE_HONEST,
    KC_SERVICE_LOADS_UNMAPPED,  /* of its space, where no area is */
    KC_SERVICE_LOADS_HOLE,      /* reserved, nothing mapped */
    KC_SERVICE_WRITES_TEXT,     /* read-only memory */
    KC_SERVICE_EXECUTES_DATA,   /* memory that is not executable */
    KC_SERVICE_TOUCHES_GUARD,   /* the last byte below its stack */
    KC_SERVICE_OVERFLOWS_STACK, /* calls itself until its stack is over */
    KC_SERVICE_LOADS_KERNEL,    /* an address in the kernel's half that the kernel has mapped */
    KC_SERVICE_STORES_KERNEL,   /* the same, to write */
    KC_SERVICE_RUNS_UNDEFINED,  /* an undefined instruction */
    KC_SERVICE_RUNS_PRIVILEGED, /* a write to TTBR0_EL1 */
    KC_SERVICE_RETURNS_NOWHERE, /* returns from its first function, to address 0 */
    KC_SERVICE_NEVER_ENDS,      /* works and yields for ever */
    KC_SERVICE_KIND_COUNT
};

/* The start block, at the beginning of the data area; its address is in x0 at the start. */
struct kc_service_start {
    uint32_t kind; /* enum kc_service_kind */
    uint32_t name_bytes;
    uint8_t name[16];
    uint64_t seed;
    uint64_t data; /* user addresses, as far as it may know them */
    uint64_t data_bytes;
    uint64_t text;
    uint64_t stack; /* its lowest byte */
    uint64_t stack_bytes;
    uint64_t hole;
    uint64_t unmapped;
    uint64_t kernel; /* a kernel address */
};

#define KC_USER_TEXT \
    __attribute__((section("kc_user_text"), noinline, no_sanitize("address", "undefined")))

/** The service. start: user address of its start block. At EL0 alone; never returns, but on
 * purpose. */
void kc_service_program(uint64_t start);

#endif
