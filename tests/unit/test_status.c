/* SPDX-License-Identifier: BSD-2-Clause */
#include "kc_test.h"

#include <kc/boot.h>
#include <kc/status.h>

Test(status, every_code_has_its_own_name)
{
    for (uint32_t i = 0; i < KC_STATUS_COUNT; i++) {
        const char *name = kc_status_name((kc_status_t)i);
        cr_expect_str_neq(name, "KC_ERR_?", "code %u", i);
        for (uint32_t j = 0; j < i; j++) {
            cr_expect_str_neq(name, kc_status_name((kc_status_t)j));
        }
    }
}

Test(status, names_are_as_spelt)
{
    cr_expect_str_eq(kc_status_name(KC_OK), "KC_OK");
    cr_expect_str_eq(kc_status_name(KC_ERR_ARG), "KC_ERR_ARG");
    cr_expect_str_eq(kc_status_name(KC_ERR_NOMEM), "KC_ERR_NOMEM");
    cr_expect_str_eq(kc_status_name(KC_ERR_CORRUPT), "KC_ERR_CORRUPT");
}

Test(status, unknown_codes_have_a_name_too)
{
    cr_expect_str_eq(kc_status_name(KC_STATUS_COUNT), "KC_ERR_?");
    cr_expect_str_eq(kc_status_name((kc_status_t)-1), "KC_ERR_?");
    cr_expect_str_eq(kc_status_name((kc_status_t)1000), "KC_ERR_?");
}

Test(status, success_is_zero)
{
    cr_expect_eq((int)KC_OK, 0);
}

Test(status, every_boot_kind_has_its_own_name)
{
    for (uint32_t i = 0; i < KC_BOOT_KIND_COUNT; i++) {
        cr_expect_str_neq(kc_boot_kind_name(i), "?");
        for (uint32_t j = 0; j < i; j++) {
            cr_expect_str_neq(kc_boot_kind_name(i), kc_boot_kind_name(j));
        }
    }
    cr_expect_str_eq(kc_boot_kind_name(KC_BOOT_KIND_COUNT), "?");
    cr_expect_str_eq(kc_boot_kind_name(UINT32_MAX), "?");
}
