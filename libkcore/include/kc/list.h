/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/list.h: intrusive doubly linked circular list.
 *
 * A struct kc_list is a head or a link in an object. An unlinked link points at itself, so removal
 * twice is harmless and kc_list_is_linked() is exact. All O(1), no locking of its own.
 *
 * Every change checks first (KC_CHECK, at every level) that the links it will write point back at
 * each other, so that a smashed one is caught before it spreads, and before anything is written;
 * and that what is added is in no list.
 */
#ifndef KC_LIST_H
#define KC_LIST_H

#include <kc/assert.h>

KC_EXTERN_C_BEGIN

struct kc_list {
    struct kc_list *next;
    struct kc_list *prev;
};

/* The object of type T whose member M is the link at p. */
#define kc_list_entry(p, T, M) ((T *)(void *)((char *)(p)-offsetof(T, M)))

/* For each link `it` of `head`; the body must not remove `it`. */
#define kc_list_each(it, head) for (struct kc_list *it = (head)->next; it != (head); it = it->next)

/* The same; the body may remove `it`. `tmp` is a name of the caller's choosing. */
#define kc_list_each_safe(it, tmp, head) \
    for (struct kc_list *it = (head)->next, *tmp = it->next; it != (head); it = tmp, tmp = it->next)

/** Make an empty head, or an unlinked link. */
KC_INLINE void kc_list_init(struct kc_list *l)
{
    l->next = l;
    l->prev = l;
}

/** True if the head has no links. */
KC_INLINE bool kc_list_is_empty(const struct kc_list *head)
{
    return head->next == head;
}

/** True if the link is in some list. */
KC_INLINE bool kc_list_is_linked(const struct kc_list *l)
{
    return l->next != l;
}

/** Put an unlinked link right after `at` (a head: first; a link: behind it). */
KC_INLINE void kc_list_add_after(struct kc_list *at, struct kc_list *l)
{
    KC_CHECK(!kc_list_is_linked(l) && at->next->prev == at);
    l->next = at->next;
    l->prev = at;
    at->next->prev = l;
    at->next = l;
}

/** Put an unlinked link right before `at` (a head: last). */
KC_INLINE void kc_list_add_before(struct kc_list *at, struct kc_list *l)
{
    KC_CHECK(at->prev->next == at); /* or `prev` may be a sound link of another list */
    kc_list_add_after(at->prev, l);
}

/** Take a link out of its list and make it unlinked. */
KC_INLINE void kc_list_del(struct kc_list *l)
{
    KC_CHECK(l->next->prev == l && l->prev->next == l);
    l->prev->next = l->next;
    l->next->prev = l->prev;
    kc_list_init(l);
}

/** First link of the list, taken out; NULL if the list is empty. */
KC_INLINE struct kc_list *kc_list_pop(struct kc_list *head)
{
    struct kc_list *l = head->next;
    if (l == head) {
        return NULL;
    }
    kc_list_del(l);
    return l;
}

KC_EXTERN_C_END

#endif
