/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * account: blocks by owner. Theory.
 *
 * Nouns. An *entry* says of one block whose it is: its address and its owner in one word, or 0. The
 * table is cut into *lines* of 8 places, one cache line. Two functions of its address give a block
 * its two lines (they may be one).
 *
 *     word    | address / 8: 49 bits | owner + 1: 8 bits |
 *     line    | e | e | e | - | - | - | - | - |
 *
 * Of its two lines an entry goes to the emptier, and is never moved. With two choices the fullest
 * of n lines has O(log log n) more than the average, so the table fills far before a
 * block finds both of its lines full, and no call looks at more than 16 places: a table that probes
 * further would never refuse, but have no bound.
 *
 * Invariants
 *  B1  Each entry is of an owner that exists, in one of its block's lines, and of a live block of
 * the heap; no block has two. B2  blocks and bytes of each owner are what its entries add up to
 * (while no call is under way: in the middle of one, bytes may be more); bytes <= peak_bytes.
 *
 * Order. An allocation charges the bill, takes from the heap, notes the entry; what fails undoes
 * what went before. A free takes the entry away before it gives the block to the heap, for after
 * that the address may be another's. Of two frees at once one finds the entry, the other is told.
 *
 * Cost and locking. One lock, interrupts masked, for table and bills; the heap is called without
 * it.
 *
 * Sources: Y. Azar, A. Broder, A. Karlin, E. Upfal, Balanced Allocations, SIAM J. Comput. 29
 * (1999).
 */
#include <kc/account.h>
#include <kc/tag.h>

#include "heap_priv.h"

#define OWNER_BITS 8u
KC_STATIC_ASSERT(KC_ACCOUNT_OWNERS_MAX < 1u << OWNER_BITS, "owner + 1 fits");
KC_STATIC_ASSERT(KC_ACCOUNT_LINE * sizeof(uint64_t) == 64, "a line is a cache line");

static void raise(struct kc_account *a, enum kc_misuse_kind kind, const char *where,
                  const void *ptr, uint64_t found)
{
    struct kc_misuse_report report = {
        .kind = kind, .where = where, .object = a->name, .address = (uintptr_t)ptr, .found = found};
    kc_misuse_raise(a->misuse, &report);
}

/* ---- the table: the lock is held ------------------------------------------------------------- */

/* An entry but for its owner. */
static uint64_t key_of(const struct kc_account *a, const void *ptr)
{
    return kc_pa_raw(kc_frame_ptr_pa(a->heap->frames, ptr)) / KC_HEAP_ALIGN_MIN << OWNER_BITS;
}

static uint32_t owner_of(uint64_t entry)
{
    return (uint32_t)(entry & ((1u << OWNER_BITS) - 1)) - 1;
}

static uint64_t address_of(uint64_t entry)
{
    return (entry >> OWNER_BITS) * KC_HEAP_ALIGN_MIN;
}

static void *block_of(uint64_t entry)
{
    return kc_tag_load(kc_plat_ram(kc_pa(address_of(entry))));
}

/* The block's lines, by the two halves of its key, mixed. */
static uint64_t *line_of(const struct kc_account *a, uint64_t key, uint32_t which)
{
    uint64_t mixed = kc_mix_u64(key >> OWNER_BITS);
    uint32_t line = (uint32_t)(which == 0 ? mixed >> 32 : mixed) & a->line_mask;
    return &a->slot[(size_t)line * KC_ACCOUNT_LINE];
}

/* Place of the block's entry, or NULL. */
static uint64_t *find(const struct kc_account *a, const void *ptr)
{
    uint64_t key = key_of(a, ptr);
    kc_pa_t pa = kc_frame_ptr_pa(a->heap->frames, ptr);
    for (uint32_t which = 0; which < 2; which++) {
        uint64_t *line = line_of(a, key, which);
        for (uint32_t i = 0; i < KC_ACCOUNT_LINE; i++) {
            /* The address, not the key: of a pointer that is no block's, that lacks bits. */
            if (line[i] != 0 && address_of(line[i]) == kc_pa_raw(pa)) {
                return &line[i];
            }
        }
    }
    return NULL;
}

/* Free places of a line; *free: one of them, if there is one. */
static uint32_t count_free(uint64_t *line, uint64_t **free)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < KC_ACCOUNT_LINE; i++) {
        if (line[i] == 0) {
            *free = &line[i];
            count++;
        }
    }
    return count;
}

/* Notes a block's owner; false: both lines are full. */
static bool note(struct kc_account *a, const void *ptr, uint32_t owner)
{
    uint64_t key = key_of(a, ptr);
    uint64_t *first = NULL;
    uint64_t *second = NULL;
    uint32_t in_first = count_free(line_of(a, key, 0), &first);
    uint32_t in_second = count_free(line_of(a, key, 1), &second);
    uint64_t *to = in_first >= in_second ? first : second;
    if (to == NULL) {
        a->full_count++;
        return false;
    }
    *to = key | (owner + 1);
    return true;
}

/* ---- bills: the lock is held ------------------------------------------------------------------
 */

/* Puts bytes on a bill, if the quota has room. */
static bool charge(struct kc_account_owner *o, uint64_t bytes)
{
    uint64_t sum = o->bytes + bytes;
    if (sum > o->quota_bytes) {
        o->quota_count++;
        return false;
    }
    o->bytes = sum;
    o->peak_bytes = sum > o->peak_bytes ? sum : o->peak_bytes;
    return true;
}

/* ---- life cycle -------------------------------------------------------------------------------
 */

kc_status_t kc_account_init(struct kc_account *a, const struct kc_account_config *config,
                            struct kc_heap *h)
{
    if (a == NULL || config == NULL || h == NULL || config->owner == NULL || config->slot == NULL) {
        return KC_ERR_ARG;
    }
    if (config->owner_count == 0 || config->owner_count > KC_ACCOUNT_OWNERS_MAX ||
        config->slot_count < KC_ACCOUNT_SLOTS_MIN || !kc_is_pow2(config->slot_count)) {
        return KC_ERR_RANGE;
    }
    __builtin_memset(a, 0, sizeof(*a));
    kc_lock_init(&a->lock, "account", KC_RANK_ACCOUNT);
    a->heap = h;
    a->misuse = config->misuse;
    a->owner = config->owner;
    a->slot = config->slot;
    a->owner_count = config->owner_count;
    a->line_mask = config->slot_count / KC_ACCOUNT_LINE - 1;
    for (uint32_t i = 0;
         config->name != NULL && config->name[i] != 0 && i < KC_ACCOUNT_NAME_CHARS - 1; i++) {
        a->name[i] = config->name[i];
    }
    __builtin_memset(a->slot, 0, config->slot_count * sizeof(*a->slot));
    __builtin_memset(a->owner, 0, config->owner_count * sizeof(*a->owner));
    for (uint32_t i = 0; i < a->owner_count; i++) {
        a->owner[i].quota_bytes = UINT64_MAX;
    }
    return KC_OK;
}

kc_status_t kc_account_fini(struct kc_account *a)
{
    uint64_t live = 0;
    for (uint32_t i = 0; i < a->owner_count; i++) {
        live += a->owner[i].blocks;
    }
    if (live != 0) {
        raise(a, KC_MISUSE_BUSY, __func__, NULL, live);
        return KC_ERR_STATE;
    }
    return KC_OK;
}

kc_status_t kc_account_set_quota(struct kc_account *a, uint32_t owner, uint64_t bytes)
{
    if (owner >= a->owner_count) {
        return KC_ERR_RANGE;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&a->lock);
    a->owner[owner].quota_bytes = bytes;
    kc_lock_release_irqrestore(&a->lock, irq);
    return KC_OK;
}

/* ---- blocks -----------------------------------------------------------------------------------
 */

/* Judges a request of the owner's, and puts what it will be granted on the bill. */
static kc_status_t begin(struct kc_account *a, uint32_t owner, size_t granted)
{
    uint64_t irq = kc_lock_acquire_irqsave(&a->lock);
    bool good = charge(&a->owner[owner], granted);
    kc_lock_release_irqrestore(&a->lock, irq);
    return good ? KC_OK : KC_ERR_QUOTA;
}

/* Takes it off the bill, of a block that was or was not noted. */
static void take_off(struct kc_account *a, uint32_t owner, size_t bytes)
{
    uint64_t irq = kc_lock_acquire_irqsave(&a->lock);
    a->owner[owner].bytes -= bytes;
    kc_lock_release_irqrestore(&a->lock, irq);
}

/* kc_account_alloc(), of whoever called from that site. */
static kc_status_t alloc_for(struct kc_account *a, uint32_t owner, size_t size, uint32_t flags,
                             void **out, const void *site)
{
    size_t granted = kc_heap_granted(size);
    if (owner >= a->owner_count || granted == 0) {
        return KC_ERR_RANGE;
    }
    if ((flags & ~(KC_HEAP_ZERO | KC_HEAP_ATOMIC)) != 0) {
        return KC_ERR_ARG;
    }
    kc_status_t status = begin(a, owner, granted);
    if (status != KC_OK) {
        return status;
    }
    void *block = kc_heap_priv_alloc(a->heap, size, flags, site);
    if (block == NULL) {
        take_off(a, owner, granted);
        return KC_ERR_NOMEM;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&a->lock);
    bool noted = note(a, block, owner);
    if (noted) {
        a->owner[owner].blocks++;
        a->owner[owner].alloc_count++;
    } else {
        a->owner[owner].bytes -= granted;
    }
    kc_lock_release_irqrestore(&a->lock, irq);
    if (!noted) {
        status = kc_heap_free(a->heap, block);
        KC_CHECK(status == KC_OK);
        return KC_ERR_NOMEM;
    }
    *out = block;
    return KC_OK;
}

kc_status_t kc_account_alloc(struct kc_account *a, uint32_t owner, size_t size, uint32_t flags,
                             void **out)
{
    return alloc_for(a, owner, size, flags, out, KC_MAG_SITE);
}

/* The owner of a live block; what it is instead is reported in the name of `where`. */
static kc_status_t judge(struct kc_account *a, void *ptr, const char *where, uint32_t *owner,
                         size_t *bytes)
{
    *bytes = kc_heap_usable(a->heap, ptr);
    if (*bytes == 0) {
        return kc_heap_free(a->heap, ptr); /* which says what it is */
    }
    if (!kc_account_owner_of(a, ptr, owner)) {
        raise(a, KC_MISUSE_WRONG_OWNER, where, ptr, *bytes);
        return KC_ERR_PERM;
    }
    return KC_OK;
}

/* Takes the entry of a judged block away; false: somebody else just did. */
static bool strike(struct kc_account *a, const void *ptr, size_t bytes)
{
    uint64_t irq = kc_lock_acquire_irqsave(&a->lock);
    uint64_t *entry = find(a, ptr);
    if (entry != NULL) {
        struct kc_account_owner *o = &a->owner[owner_of(*entry)];
        o->blocks--;
        o->bytes -= bytes;
        *entry = 0;
    }
    kc_lock_release_irqrestore(&a->lock, irq);
    return entry != NULL;
}

kc_status_t kc_account_free(struct kc_account *a, void *ptr)
{
    uint32_t owner = 0; /* judge() sets both, which not every compiler sees */
    size_t bytes = 0;
    if (ptr == NULL) {
        return KC_OK;
    }
    kc_status_t status = judge(a, ptr, __func__, &owner, &bytes);
    if (status != KC_OK) {
        return status;
    }
    if (!strike(a, ptr, bytes)) {
        raise(a, KC_MISUSE_DOUBLE_FREE, __func__, ptr, 0);
        return KC_ERR_STATE;
    }
    return kc_heap_priv_free(a->heap, ptr, KC_MAG_SITE);
}

/* Tries it in place; KC_ERR_NOMEM: it would have to move. */
static kc_status_t in_place(struct kc_account *a, uint32_t owner, void *ptr, size_t bytes,
                            size_t size, uint32_t flags)
{
    size_t granted = kc_heap_granted(size);
    kc_status_t status = granted > bytes ? begin(a, owner, granted - bytes) : KC_OK;
    if (status != KC_OK) {
        return status;
    }
    status = kc_heap_try_resize(a->heap, ptr, size, flags);
    if (status != KC_OK && granted > bytes) {
        take_off(a, owner, granted - bytes);
    } else if (status == KC_OK && granted < bytes) {
        take_off(a, owner, bytes - granted);
    }
    return status;
}

kc_status_t kc_account_resize(struct kc_account *a, void *ptr, size_t size, uint32_t flags,
                              void **out)
{
    uint32_t owner = 0; /* judge() sets both, which not every compiler sees */
    size_t bytes = 0;
    if (kc_heap_granted(size) == 0) {
        return KC_ERR_RANGE;
    }
    if ((flags & ~(KC_HEAP_ZERO | KC_HEAP_ATOMIC | KC_HEAP_ERASE)) != 0) {
        return KC_ERR_ARG;
    }
    if (ptr == NULL) {
        raise(a, KC_MISUSE_FOREIGN, __func__, ptr, 0);
        return KC_ERR_RANGE;
    }
    kc_status_t status = judge(a, ptr, __func__, &owner, &bytes);
    if (status != KC_OK) {
        return status;
    }
    status = in_place(a, owner, ptr, bytes, size, flags);
    if (status != KC_ERR_NOMEM) {
        *out = status == KC_OK ? ptr : *out;
        return status;
    }
    void *to;
    status = alloc_for(a, owner, size, flags & ~KC_HEAP_ERASE, &to, KC_MAG_SITE);
    if (status != KC_OK) {
        return status;
    }
    __builtin_memcpy(to, ptr, bytes < size ? bytes : size);
    if (!strike(a, ptr, bytes)) {
        raise(a, KC_MISUSE_DOUBLE_FREE, __func__, ptr, 0);
        (void)kc_account_free(a, to);
        return KC_ERR_STATE;
    }
    status = (flags & KC_HEAP_ERASE) != 0 ? kc_heap_priv_free_erased(a->heap, ptr, KC_MAG_SITE)
                                          : kc_heap_priv_free(a->heap, ptr, KC_MAG_SITE);
    *out = to;
    return status;
}

/* ---- queries ----------------------------------------------------------------------------------
 */

bool kc_account_owner_of(struct kc_account *a, const void *ptr, uint32_t *owner)
{
    uint64_t irq = kc_lock_acquire_irqsave(&a->lock);
    const uint64_t *entry = find(a, ptr);
    if (entry != NULL) {
        *owner = owner_of(*entry);
    }
    kc_lock_release_irqrestore(&a->lock, irq);
    return entry != NULL;
}

bool kc_account_owner_stats(struct kc_account *a, uint32_t owner, struct kc_account_owner *out)
{
    if (owner >= a->owner_count) {
        return false;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&a->lock);
    *out = a->owner[owner];
    kc_lock_release_irqrestore(&a->lock, irq);
    return true;
}

uint64_t kc_account_full_count(struct kc_account *a)
{
    uint64_t irq = kc_lock_acquire_irqsave(&a->lock);
    uint64_t count = a->full_count;
    kc_lock_release_irqrestore(&a->lock, irq);
    return count;
}

static uint32_t slot_count(const struct kc_account *a)
{
    return (a->line_mask + 1) * KC_ACCOUNT_LINE;
}

void *kc_account_next(struct kc_account *a, uint32_t owner, uint32_t *cursor)
{
    void *block = NULL;
    uint64_t irq = kc_lock_acquire_irqsave(&a->lock);
    while (block == NULL && *cursor < slot_count(a)) {
        uint64_t entry = a->slot[(*cursor)++];
        block = entry != 0 && owner_of(entry) == owner ? block_of(entry) : NULL;
    }
    kc_lock_release_irqrestore(&a->lock, irq);
    return block;
}

/* B1 of one entry. */
static bool is_good(const struct kc_account *a, const uint64_t *entry)
{
    return owner_of(*entry) < a->owner_count && find(a, block_of(*entry)) == entry &&
           kc_heap_usable(a->heap, block_of(*entry)) != 0;
}

kc_status_t kc_account_check(struct kc_account *a, uint32_t *invariant)
{
    uint32_t broken = 0;
    uint64_t irq = kc_lock_acquire_irqsave(&a->lock);
    for (uint32_t i = 0; i < slot_count(a) && broken == 0; i++) {
        broken = a->slot[i] != 0 && !is_good(a, &a->slot[i]) ? 1 : 0;
    }
    for (uint32_t o = 0; o < a->owner_count && broken == 0; o++) {
        uint64_t blocks = 0;
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < slot_count(a); i++) {
            if (a->slot[i] != 0 && owner_of(a->slot[i]) == o) {
                blocks++;
                bytes += kc_heap_usable(a->heap, block_of(a->slot[i]));
            }
        }
        const struct kc_account_owner *is = &a->owner[o];
        broken = blocks != is->blocks || bytes != is->bytes || bytes > is->peak_bytes ? 2 : 0;
    }
    kc_lock_release_irqrestore(&a->lock, irq);
    if (broken != 0 && invariant != NULL) {
        *invariant = broken;
    }
    return broken == 0 ? KC_OK : KC_ERR_CORRUPT;
}
