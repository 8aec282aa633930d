/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * threads.hh: two CPUs. A case's time is the wall's, from when both start to when both are done.
 *
 *     hand over     one CPU allocates and writes, the other frees; a ring of 1,024 lies between
 *     churn 1 CPU   1,024 live; a random one is freed and allocated anew
 *     churn 2 CPUs  the same on both at once, each with objects of its own
 *
 * The ring is as bare as one can be: head and tail on lines of their own, each side looks at the
 * other's only when it has used up what it knew of.
 */
#ifndef THREADS_HH
#define THREADS_HH

#include "work.hh"

#include <sched.h>

namespace bench {

constexpr uint64_t thread_items = 1u << 16;

/* Run job(number) here as CPU 0 and on the other CPU's thread as CPU 1, at once. */
void on_two_cpus(void (*job)(uint32_t cpu));

/* Run it on the other CPU's thread alone, and wait. */
void on_other_cpu(void (*job)(uint32_t cpu));

struct Ring {
    static constexpr uint32_t size = 1024;
    alignas(128) uint32_t head, known_tail; /* the producer's */
    alignas(128) uint32_t tail, known_head; /* the consumer's */
    alignas(128) void *slot[size];

    void put(void *p)
    {
        for (uint32_t spins = 0; head - known_tail == size; pause(spins)) {
            known_tail = __atomic_load_n(&tail, __ATOMIC_ACQUIRE);
        }
        slot[head % size] = p;
        __atomic_store_n(&head, head + 1, __ATOMIC_RELEASE);
    }
    void *take()
    {
        for (uint32_t spins = 0; tail == known_head; pause(spins)) {
            known_head = __atomic_load_n(&head, __ATOMIC_ACQUIRE);
        }
        void *p = slot[tail % size];
        __atomic_store_n(&tail, tail + 1, __ATOMIC_RELEASE);
        return p;
    }
    /* On a busy machine the other side may not be running at all. */
    static void pause(uint32_t &spins)
    {
        if (++spins > 2000) {
            sched_yield();
        }
    }
};

template <class A> struct Pair {
    static inline Ring ring;
    static inline uint64_t items;
    static inline void (*join)();
    static inline void *live[2][ring_live];
    static inline std::vector<uint32_t> pick;

    static void *get()
    {
        void *p = A::alloc(64);
        *static_cast<volatile uint64_t *>(p) = 1;
        return p;
    }
    static void begin()
    {
        A::begin();
        pick = random_below(ring_live, 4);
    }
    static void enter(uint32_t cpu)
    {
        if (cpu != 0 && join != nullptr) {
            join();
        }
    }
    static void side(uint32_t cpu)
    {
        enter(cpu);
        for (uint64_t n = items; n > 0; n--) {
            if (cpu == 0) {
                ring.put(get());
            } else {
                A::free(ring.take());
            }
        }
    }
    static void hand_over(uint64_t n)
    {
        items = n;
        on_two_cpus(side);
    }
    static void fill(uint32_t cpu)
    {
        enter(cpu);
        for (void *&p : live[cpu]) {
            p = get();
        }
    }
    static void empty(uint32_t cpu)
    {
        for (void *&p : live[cpu]) {
            A::free(p);
        }
    }
    static void churn(uint32_t cpu)
    {
        void **slot = live[cpu];
        for (uint64_t i = 0; i < items; i++) {
            void **p = &slot[pick[i % random_count]];
            A::free(*p);
            *p = get();
        }
    }
    static void begin_churn()
    {
        begin();
        on_two_cpus(fill);
    }
    static void end_churn()
    {
        on_two_cpus(empty);
    }
    static void churn_one(uint64_t n)
    {
        items = n;
        churn(0);
    }
    static void churn_two(uint64_t n)
    {
        items = n;
        on_two_cpus(churn);
    }
};

template <class A> void add_threads(const Subject &s, void (*join)() = nullptr)
{
    using P = Pair<A>;
    P::join = join;
    constexpr uint64_t items = thread_items;
    add({s.group, "hand over, 64 B", s.name, s.role, "object", items, 0, P::begin, nullptr,
         P::hand_over, nullptr, true});
    add({s.group, "churn 1 CPU, 64 B", s.name, s.role, "pair", items, 0, P::begin_churn, nullptr,
         P::churn_one, P::end_churn, true});
    add({s.group, "churn 2 CPUs, 64 B", s.name, s.role, "pair", items, 0, P::begin_churn, nullptr,
         P::churn_two, P::end_churn, true});
}

} // namespace bench

#endif
