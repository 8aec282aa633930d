/* SPDX-License-Identifier: BSD-2-Clause */
/* ptview_priv.h: printing, for ptview.c and for explain.c, which goes on where it ends. */
#ifndef KC_SPACE_PTVIEW_PRIV_H
#define KC_SPACE_PTVIEW_PRIV_H

#include <kc/ptview.h>

/* Where text goes. */
struct kc_ptview_out {
    kc_ptview_sink_fn sink;
    void *ctx;
};

/** Format and hand over; at most 200 bytes. */
void kc_ptview_priv_say(const struct kc_ptview_out *o, const char *fmt, ...) KC_PRINTF(2, 3);

/** Name of the memory type that AttrIndx selects, given MAIR_EL1. */
void kc_ptview_priv_say_type(const struct kc_ptview_out *o, uint64_t mair, uint32_t index);

#endif
