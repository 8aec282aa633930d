/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c: the C half of start-up. Low: device tree to boot information, then the kernel's boot,
 * which turns the MMU on. High: interrupts, then the program of the image, whose answer is the exit
 * code.
 *
 * I1  Low code keeps no pointer for later: the board and the boot information are values.
 * I2  What the image occupies is reported as TEXT, RODATA and DATA, in whole pages that touch.
 */
#include "body.h"
#include "words.h"

struct kc_board kc_body_board;
struct kc_boot_info kc_body_info;

/* What this body promises about addresses (kc/boot.h): 48-bit halves; the linear map takes the
 * lower half of TTBR1's, dynamic mappings are above it, user space leaves out page 0 and its
 * neighbours. */
#define DYNAMIC_BASE       0xffff800000000000ull
#define DYNAMIC_BYTES      (KC_GIB(1024))
#define USER_BASE          KC_MIB(2)
#define USER_BYTES         (KC_BIT(47) - KC_MIB(2))

#define ID_MMFR1_PAN_SHIFT 20

KC_NORETURN static void refuse(const char *what, const char *node, uint64_t offset, kc_status_t s)
{
    kc_body_say("kcore: refused to boot: ");
    kc_body_say(what);
    kc_body_say(", in ");
    kc_body_say(node);
    kc_body_say(" at offset ");
    kc_body_say_dec(offset);
    kc_body_say(" (status ");
    kc_body_say_dec(s);
    kc_body_say(")\n");
    kc_board_exit(KC_BODY_EXIT_BOOT);
}

static void add_image(struct kc_boot_info *info)
{
    static const uint8_t kinds[3] = {KC_BOOT_TEXT, KC_BOOT_RODATA, KC_BOOT_DATA};
    const char *edge[4] = {kc_image_start, kc_image_rodata, kc_image_data, kc_image_end};
    for (uint32_t i = 0; i < 3; i++) {
        if (!kc_dt_add(info, kc_plat_ram_pa(edge[i]), (uint64_t)(edge[i + 1] - edge[i]),
                       kinds[i])) {
            refuse("room for the image's three ranges", "the boot information", 0, KC_ERR_NOMEM);
        }
    }
}

void kc_body_boot(uint64_t dtb_pa)
{
    struct kc_dt_error e = {"", "", 0};
    struct kc_boot_info *info = &kc_body_info;
    kc_status_t s = kc_dt_read((const void *)dtb_pa, kc_pa(dtb_pa), KC_FDT_BYTES_MAX,
                               kc_plat_sysreg_read(KC_MPIDR_EL1), info, &kc_body_board, &e);
    if (s != KC_OK) {
        refuse(e.what, e.node, e.offset, s);
    }
    add_image(info);
    info->linear_base = KC_BODY_LINEAR_BASE;
    info->dynamic_base = DYNAMIC_BASE;
    info->dynamic_bytes = DYNAMIC_BYTES;
    info->user_base = USER_BASE;
    info->user_bytes = USER_BYTES;
    if (!kc_words_u64(info->cmdline, "seed", &info->seed) && !kc_plat_entropy(&info->seed)) {
        info->seed = kc_plat_ticks(); /* no chance to be had: at least another one each time */
    }
    s = kc_program_boot(kc_program_kernel(), info);
    if (s != KC_OK) {
        refuse("the kernel to accept the boot information", "the boot information", 0, s);
    }
}

/* Kernel code does not touch what EL0 can reach, where the CPU can hold it to that. */
static void forbid_user_access(void)
{
    if ((kc_plat_sysreg_read(KC_ID_AA64MMFR1_EL1) >> ID_MMFR1_PAN_SHIFT & 0xf) != 0) {
        __asm__ volatile(".inst 0xd500419f" ::: "memory"); /* MSR PAN, #1 */
    }
}

static void open_cpu(uint32_t cpu)
{
    kc_body_user_init();
    kc_board_irq_cpu_init(cpu);
    kc_plat_timer(UINT64_MAX);
    __asm__ volatile("msr daifclr, #0xe" ::: "memory"); /* D stays masked: nobody debugs us */
}

void kc_body_main(void)
{
    kc_board_irq_init();
    forbid_user_access();
    open_cpu(0);
    kc_board_exit(kc_program_main(kc_program_kernel(), &kc_body_info, &kc_body_board));
}

void kc_body_secondary(uint32_t cpu, void *arg)
{
    forbid_user_access();
    open_cpu(cpu);
    kc_program_cpu_main(cpu, arg);
    kc_plat_cpu_off();
}
