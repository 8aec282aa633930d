/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE 1
#include "progress.h"

#include <stdio.h>
#include <time.h>

#define SECOND_NS  UINT64_C(1000000000)
#define REFRESH_NS UINT64_C(100000000)

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

void progress_init(struct progress *p, struct sim_trace *trace, bool wanted)
{
    *p = (struct progress){.trace = trace, .wanted = wanted};
    p->begin_ns = now_ns();
    p->last_ns = p->begin_ns;
}

static void show(struct progress *p, uint64_t now)
{
    uint64_t taken;
    uint64_t size;
    double rate = (double)p->events / ((double)(now - p->begin_ns) / 1e9) / 1e6;
    sim_trace_progress(p->trace, &taken, &size);
    if (size != 0) {
        fprintf(stderr, "\r%3.0f %%  %llu events, %.2f million a second ",
                (double)taken * 100.0 / (double)size, (unsigned long long)p->events, rate);
    } else {
        fprintf(stderr, "\r%llu events, %.2f million a second ", (unsigned long long)p->events,
                rate);
    }
    p->shown = true;
    p->last_ns = now;
}

kc_status_t progress_fill(void *ctx, struct kc_event *buf, uint32_t max, uint32_t *n)
{
    struct progress *p = (struct progress *)ctx;
    kc_status_t st = sim_trace_fill(p->trace, buf, max, n);
    p->events += st == KC_OK ? *n : 0;
    if (st != KC_OK || *n == 0) {
        progress_end(p); /* so that the boot log goes on in a line of its own */
    } else if (p->wanted) {
        uint64_t now = now_ns();
        if (now - p->begin_ns > SECOND_NS && now - p->last_ns > REFRESH_NS) {
            show(p, now);
        }
    }
    return st;
}

void progress_end(struct progress *p)
{
    if (p->shown) {
        fputs("\r\033[K", stderr);
        p->shown = false;
    }
}
