/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to track.c, track_check.c and white-box tests: states and links of the tracker. */
#ifndef KC_TRACK_PRIV_H
#define KC_TRACK_PRIV_H

#include <kc/track.h>

#define TRACK_NONE UINT32_MAX /* end of every list */

enum track_item_state {
    TRACK_ITEM_FREE = 0x11,
    TRACK_ITEM_LIVE,
    TRACK_ITEM_CLEANING, /* claimed; its cleanup runs */
    TRACK_ITEM_SPENT     /* its generations are used up */
};

enum track_owner_state {
    TRACK_OWNER_FREE = 0x21,
    TRACK_OWNER_LIVE,
    TRACK_OWNER_DRAINING, /* dying, and somebody is at it */
    TRACK_OWNER_STUCK,    /* dying, in the list of stuck owners */
    TRACK_OWNER_SPENT
};

/* A need is named by one number: slot of the item that needs, and place among its needs. */
KC_INLINE uint32_t track_need_id(uint32_t item, uint32_t place)
{
    return item * KC_TRACK_NEEDS_MAX + place;
}

KC_INLINE uint32_t track_need_item(uint32_t id)
{
    return id / KC_TRACK_NEEDS_MAX;
}

KC_INLINE struct kc_track_need *track_need(const struct kc_track *t, uint32_t id)
{
    return &t->item[id / KC_TRACK_NEEDS_MAX].need[id % KC_TRACK_NEEDS_MAX];
}

#endif
