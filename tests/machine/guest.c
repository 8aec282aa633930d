/* SPDX-License-Identifier: BSD-2-Clause */
/* guest.c: compiled twice: as it is, and with every access handed to the exact machine. */
#include "guest.h"

static void put(uint64_t pa, uint64_t value)
{
    kc_plat_desc_store(kc_pa(pa), value);
}

static uint64_t index_of(uint64_t va, uint32_t level)
{
    return va >> (39 - 9 * level) & 0x1ff;
}

/* A chain of tables at `at`, `at` + 1 page ... from the root's entry for va down to level 3. */
static uint64_t chain(uint64_t root, uint64_t at, uint64_t va)
{
    put(root + 8 * index_of(va, 0), at | D_TABLE);
    put(at + 8 * index_of(va, 1), (at + GUEST_PAGE) | D_TABLE);
    put(at + GUEST_PAGE + 8 * index_of(va, 2), (at + 2 * GUEST_PAGE) | D_TABLE);
    return at + 2 * GUEST_PAGE;
}

void guest_tables(struct guest *g)
{
    uint64_t at = GUEST_TABLES;
    g->root1 = at;
    g->root0 = at + GUEST_PAGE;
    uint64_t linear = at + 2 * GUEST_PAGE;
    uint64_t va = SIM_LINEAR_BASE + SIM_RAM_BASE;
    put(g->root1 + 8 * index_of(va, 0), linear | D_TABLE);
    put(linear + 8 * index_of(va, 1), SIM_RAM_BASE | D_BLOCK | D_RW);
    g->l3 = at + 5 * GUEST_PAGE;
    uint64_t kernel_l2 = at + 4 * GUEST_PAGE;
    /* GUEST_KVA is under the same level 0 entry as the linear map */
    put(linear + 8 * index_of(GUEST_KVA, 1), kernel_l2 | D_TABLE);
    put(kernel_l2 + 8 * index_of(GUEST_KVA, 2), g->l3 | D_TABLE);
    g->l3_user = chain(g->root0, at + 6 * GUEST_PAGE, GUEST_UVA);
    g->counter_pa = SIM_RAM_BASE + UINT64_C(0x80000);
    kc_plat_barrier(KC_DSB_ISH);
}

void guest_mmu_on(const struct guest *g)
{
    kc_plat_sysreg_write(KC_MAIR_EL1, GUEST_MAIR);
    kc_plat_sysreg_write(KC_TCR_EL1, GUEST_TCR);
    kc_plat_sysreg_write(KC_TTBR0_EL1, g->root0 | UINT64_C(1) << 48);
    kc_plat_sysreg_write(KC_TTBR1_EL1, g->root1);
    kc_plat_barrier(KC_ISB);
    kc_plat_sysreg_write(KC_SCTLR_EL1, kc_plat_sysreg_read(KC_SCTLR_EL1) | 1);
    kc_plat_barrier(KC_ISB);
}

void guest_map(const struct guest *g, uint32_t i, uint64_t pa, uint64_t attributes)
{
    put(g->l3 + 8 * i, pa | attributes | D_PAGE);
    kc_plat_barrier(KC_DSB_ISHST);
    kc_plat_barrier(KC_ISB);
}

void guest_unmap(const struct guest *g, uint32_t i, bool tlbi)
{
    put(g->l3 + 8 * i, 0);
    kc_plat_barrier(KC_DSB_ISHST);
    if (tlbi) {
        kc_plat_tlbi(KC_TLBI_VAAE1IS, (GUEST_KVA + i * GUEST_PAGE) >> 12 & UINT64_C(0xfffffffffff));
    }
    kc_plat_barrier(KC_DSB_ISH);
    kc_plat_barrier(KC_ISB);
}

uint64_t guest_load(uint64_t va)
{
    return *(const uint64_t *)kc_plat_ptr(kc_va(va));
}

void guest_store(uint64_t va, uint64_t value)
{
    *(uint64_t *)kc_plat_ptr(kc_va(va)) = value;
}

struct word {
    uint64_t value;
} __attribute__((packed));

uint64_t guest_load_from(const void *p)
{
    return ((const volatile struct word *)p)->value;
}

void guest_store_to(void *p, uint64_t value)
{
    ((volatile struct word *)p)->value = value;
}

void guest_copy_to(void *to, const void *from, size_t n)
{
    __builtin_memcpy(to, from, n);
}

void guest_copy(uint64_t to, uint64_t from, size_t n)
{
    guest_copy_to(kc_plat_ptr(kc_va(to)), kc_plat_ptr(kc_va(from)), n);
}

void guest_count(const struct guest *g, uint32_t rounds)
{
    uint64_t *counter = (uint64_t *)kc_plat_ram(kc_pa(g->counter_pa));
    uint32_t *lock = (uint32_t *)(counter + 1);
    for (uint32_t i = 0; i < rounds; i++) {
        while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) != 0) {
            kc_plat_relax();
        }
        uint64_t seen = *counter;
        kc_plat_ticks(); /* a step inside: without the lock, counts would be lost */
        *counter = seen + 1;
        __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
        kc_plat_ticks();
    }
}

/* ---- interrupts ----------------------------------------------------------------------------- */

static void tally_plain(uint64_t *counter)
{
    volatile uint64_t *c = counter;
    uint64_t seen = *c;
    *c = seen + 1;
}

static void tally_exchange(uint64_t *counter)
{
    uint64_t seen = __atomic_load_n(counter, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(counter, &seen, seen + 1, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

static void tally_one(uint64_t *counter, enum guest_tally how)
{
    uint64_t saved;
    switch (how) {
    case TALLY_PLAIN:
        tally_plain(counter);
        break;
    case TALLY_MASKED:
        saved = kc_plat_irq_save();
        tally_plain(counter);
        kc_plat_irq_restore(saved);
        break;
    case TALLY_ADD:
        __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
        break;
    default:
        tally_exchange(counter);
        break;
    }
}

void guest_tally(uint64_t *counter, uint32_t rounds, enum guest_tally how)
{
    for (uint32_t i = 0; i < rounds; i++) {
        tally_one(counter, how);
    }
}

void guest_mark(uint64_t *word, uint32_t n)
{
    volatile uint64_t *w = word;
    for (uint32_t i = 0; i < n; i++) {
        w[i] = 1;
    }
}

void guest_spin(const uint64_t *word)
{
    const volatile uint64_t *w = word;
    while (*w == 0) {
    }
}

/* ---- a program at EL0 ----------------------------------------------------------------------- */

uint64_t guest_host_word = 5;

void guest_user_page(const struct guest *g, uint32_t i, uint64_t pa, uint64_t attributes)
{
    put(g->l3_user + 8 * (index_of(GUEST_UVA, 3) + i), pa | attributes | D_NG | D_PAGE);
    kc_plat_barrier(KC_DSB_ISHST);
    kc_plat_barrier(KC_ISB);
}

void guest_program_pages(const struct guest *g)
{
    const uint64_t pa = SIM_RAM_BASE + UINT64_C(0x200000);
    guest_user_page(g, 0, pa, D_AF | D_ISH | D_PXN | D_AP(3));
    guest_user_page(g, 1, pa + GUEST_PAGE, D_RW | D_AP(1));
    guest_user_page(g, 3, pa + 2 * GUEST_PAGE, D_RW | D_AP(1));
    guest_user_page(g, 4, pa + 3 * GUEST_PAGE, D_RW | D_AP(1));
    guest_user_page(g, 5, pa + 4 * GUEST_PAGE, D_RW);
}

static volatile uint64_t *word_at(uint64_t va)
{
    return (volatile uint64_t *)kc_plat_uptr(kc_uva(va));
}

static __attribute__((noinline)) uint64_t deeper(uint64_t n)
{
    volatile uint64_t frame[16];
    frame[n % 16] = n;
    return n == 0 ? 0 : deeper(n - 1) + frame[n % 16];
}

static uint64_t works(void)
{
    *word_at(GUEST_DATA + 8) = 0x1122;
    uint64_t answer = kc_plat_user_call(7, GUEST_DATA + 8, 2, 3);
    return answer + *word_at(GUEST_DATA + 8) + deeper(4);
}

void guest_program(uint64_t x0)
{
    uint64_t result = 0;
    switch ((enum guest_deed)x0) {
    case DEED_WORKS:
        result = works();
        break;
    case DEED_WRITES_TEXT:
        *word_at(GUEST_TEXT + 16) = 1;
        break;
    case DEED_READS_NOTHING:
        result = *word_at(GUEST_NOTHING + 24);
        break;
    case DEED_READS_KERNEL:
        kc_plat_user_call(GUEST_LOOK, 0, 0, 0);
        result = *(volatile uint64_t *)kc_plat_ptr(kc_va(SIM_LINEAR_BASE + SIM_RAM_BASE + 8));
        break;
    case DEED_READS_TAGGED:
        kc_plat_user_call(GUEST_LOOK, 0, 0, 0);
        result = guest_load_from(
            kc_plat_tag_with(kc_plat_ptr(kc_va(SIM_LINEAR_BASE + SIM_RAM_BASE + 8)), GUEST_TAG));
        break;
    case DEED_READS_PRIVATE:
        result = *word_at(GUEST_PRIVATE);
        break;
    case DEED_RUNS_DATA:
        ((void (*)(void))(uintptr_t)word_at(GUEST_DATA + 32))();
        break;
    case DEED_OVERFLOWS:
        result = deeper(1000);
        break;
    case DEED_UNDEFINED:
        kc_plat_user_undefined();
        break;
    case DEED_PRIVILEGED:
        kc_plat_user_privileged();
        break;
    case DEED_SEAM:
        kc_plat_sysreg_write(KC_TTBR0_EL1, 0);
        break;
    case DEED_HOST:
        result = *(volatile uint64_t *)&guest_host_word;
        break;
    case DEED_SPINS:
        for (;;) {
            *word_at(GUEST_DATA) += 1;
            kc_plat_user_call(GUEST_LOOK, 0, 0, 0);
        }
    }
    for (;;) {
        kc_plat_user_call(GUEST_STOP, result, 0, 0);
    }
}
