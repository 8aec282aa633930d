/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes of the linear map under the kernel's own feet (kc/tramp.h).
 *
 * The identity map exists only for the time of a change: it costs a table for each stretch of RAM
 * with other permissions, and a page that is not mapped twice cannot be written by mistake. It
 * covers all RAM: the frames that tables lie in are anywhere.
 */
#include "kernel_priv.h"

kc_status_t kc_kernel_change(struct kc_kernel *k, const struct kc_tramp_request *rq)
{
    struct kc_tramp_config config = {
        .format = k->lower,
        .source = {.early = NULL, .frames = &k->frames},
        .home_ttbr0 = kc_pa_raw(k->empty_root),
        .cpus = __atomic_load_n(&k->online, __ATOMIC_ACQUIRE),
    };
    struct kc_tramp_request on_linear = *rq;
    on_linear.pt = &k->linear;
    kc_status_t st = kc_tramp_init(&k->tramp, &config);
    if (st != KC_OK) {
        kc_tramp_call_off(&k->tramp, config.cpus);
        return st;
    }
    st = kc_kernel_cover(k, true);
    if (st == KC_OK) {
        st = kc_tramp_change(&k->tramp, &on_linear);
    } else {
        kc_tramp_call_off(&k->tramp, config.cpus);
    }
    kc_status_t down = kc_tramp_fini(&k->tramp);
    return st != KC_OK ? st : down;
}

void kc_kernel_park(struct kc_kernel *k)
{
    kc_tramp_park(&k->tramp);
}
