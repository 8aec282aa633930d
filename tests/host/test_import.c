/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Imports of ftrace, trace-cmd and perf text: what each line becomes, what untidy recordings are
 * counted as, and what each bad input is told. Events are compared as words, one for each:
 *
 *     T0=c:filp:184:192:21x1   type 0: cache, name, sizes, objects x pages a slab
 *     S1=f+0x1                 site 1
 *     A3/0:184:192@1           alloc in slot 3, of type 0, sizes, site 1       (then .cpu if not 0)
 *     F3 F3!                   free, implicit free
 *     N U                      NULL free, unknown free
 *     P4^2 Q4 V                page alloc of order 2, page free, unknown page free
 *     skip2 lost7
 */
#include "kc_test.h"

#include "trace.h"

#include <stdarg.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef KC_TEST_LZMA
#include <lzma.h>
#endif
#ifdef KC_TEST_ZSTD
#include <zstd.h>
#endif

static char dir[64];
static char path[128];
static char said[1u << 16];
static size_t said_size;
static struct sim_trace_error error;
static struct kc_trace_totals totals;

static void set_up(void)
{
    strcpy(dir, "/tmp/kc-import-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void tear_down(void)
{
    char command[160];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    cr_expect_eq(system(command), 0); /* NOLINT(cert-env33-c): a directory of ours */
}

TestSuite(import, .init = set_up, .fini = tear_down);

static const char *in_dir(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void write_bytes(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(in_dir(name), "wb");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, n, f), n);
    cr_assert_eq(fclose(f), 0);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

static void KC_PRINTF(1, 2) say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    said_size += (size_t)vsnprintf(said + said_size, sizeof(said) - said_size, format, args);
    va_end(args);
    cr_assert_lt(said_size, sizeof(said));
}

static void say_event(const struct kc_event *e)
{
    static const char kind[] = "chl";
    const char *gap = said_size == 0 ? "" : " ";
    switch ((enum kc_event_kind)e->kind) {
    case KC_EVENT_TYPE:
        say("%sT%u=%c:%s:%u:%u:%ux%u", gap, e->type, kind[e->definition->kind], e->definition->name,
            e->definition->object_bytes, e->definition->granted_bytes,
            e->definition->objects_per_slab, e->definition->pages_per_slab);
        return;
    case KC_EVENT_SITE:
        say("%sS%u=%s", gap, e->site, e->name);
        return;
    case KC_EVENT_ALLOC:
        say("%sA%u/%u:%u:%u@%u", gap, e->slot, e->type, e->requested, e->granted, e->site);
        break;
    case KC_EVENT_FREE:
        say("%sF%u%s", gap, e->slot, e->implicit ? "!" : "");
        break;
    case KC_EVENT_NULL_FREE:
        say("%sN", gap);
        break;
    case KC_EVENT_UNKNOWN_FREE:
        say("%sU", gap);
        break;
    case KC_EVENT_PAGE_ALLOC:
        say("%sP%u^%u", gap, e->slot, e->order);
        break;
    case KC_EVENT_PAGE_FREE:
        say("%sQ%u%s", gap, e->slot, e->implicit ? "!" : "");
        break;
    case KC_EVENT_PAGE_UNKNOWN_FREE:
        say("%sV", gap);
        break;
    case KC_EVENT_SKIPPED:
        say("%sskip%llu", gap, (unsigned long long)e->count);
        return;
    case KC_EVENT_LOST:
        say("%slost%llu", gap, (unsigned long long)e->count);
        return;
    case KC_EVENT_KIND_COUNT:
        break;
    }
    if (e->cpu != 0) {
        say(".%u", e->cpu);
    }
}

static uint64_t first_ns;

/* The events of a file as words. */
static kc_status_t read_file(const char *file, const char *slabinfo)
{
    struct kc_event batch[7];
    uint32_t n = 0;
    kc_status_t s;
    const struct sim_trace_options options = {file, slabinfo};
    said_size = 0;
    said[0] = 0;
    error.text[0] = 0;
    struct sim_trace *t = sim_trace_open(&options, &error);
    if (t == NULL) {
        return KC_ERR_CORRUPT;
    }
    while ((s = sim_trace_fill(t, batch, 7, &n)) == KC_OK && n != 0) {
        for (uint32_t i = 0; i < n; i++) {
            say_event(&batch[i]);
        }
    }
    if (s != KC_OK) {
        error = *sim_trace_error_of(t);
        cr_expect_neq(error.text[0], 0);
        cr_expect_eq(sim_trace_fill(t, batch, 7, &n), s, "an error stays");
    }
    totals = *sim_trace_totals(t);
    first_ns = totals.first_ns;
    sim_trace_close(t);
    return s;
}

static void expect(const char *text, const char *events)
{
    write_text("t", text);
    cr_expect_eq(read_file(in_dir("t"), NULL), KC_OK, "%s", error.text);
    cr_expect_str_eq(said, events);
}

/* The text is bad input; the message ends so, behind the path. */
static void expect_bad(const char *text, const char *message)
{
    write_text("t", text);
    cr_expect_neq(read_file(in_dir("t"), NULL), KC_OK, "%s", text);
    const char *file = in_dir("t");
    cr_expect_eq(strncmp(error.text, file, strlen(file)), 0, "%s", error.text);
    cr_expect_str_eq(error.text + strlen(file), message);
}

#define PREFIX "          rec.sh-1169    [000] .....  1616.487353: "

/* ---- layouts --------------------------------------------------------------------------------- */

Test(import, ftrace_text)
{
    expect(
        "# tracer: nop\n#\n"
        "          rec.sh-1169    [000] .....  1616.487353: kmem_cache_alloc: "
        "call_site=getname+0x24/0x1f0 ptr=00000000b1456e3a name=names_cache bytes_req=4096 "
        "bytes_alloc=4096 gfp_flags=GFP_KERNEL node=-1 accounted=false\n"
        "          <idle>-0       [001] d.h2.  1616.487354: kmalloc: call_site=f+0x1/0x2 [ext4] "
        "ptr=000000007b1e2357 bytes_req=11 bytes_alloc=16 gfp_flags=GFP_KERNEL node=-1 "
        "accounted=false\n"
        "          rec.sh-1169    [000] .....  1616.487355: kmem_cache_free: "
        "call_site=putname+0x1/0x2 ptr=00000000b1456e3a name=names_cache\n"
        "          rec.sh-1169    [000] .....  1616.487356: kfree: call_site=g+0x1/0x2 "
        "ptr=000000007b1e2357\n"
        "          rec.sh-1169    [000] .....  1616.487429: mm_page_alloc: page=00000000d8d158af "
        "pfn=0x1b0346 order=2 migratetype=0 gfp_flags=GFP_KERNEL|__GFP_COMP\n"
        "          rec.sh-1169    [000] ...2.  1616.487651: mm_page_free: page=00000000d8d158af "
        "pfn=0x1b0346 order=2\n",
        "S1=getname+0x24/0x1f0 T0=c:names_cache:4096:4096:0x0 A0/0:4096:4096@1 "
        "S2=f+0x1/0x2 T1=h:kmalloc-16:0:16:0x0 A1/1:11:16@2.1 F0 F1 P1^2 Q1");
    cr_assert_eq(first_ns, 1616487353000ull);
}

/* Older kernels: no flags column, no name= in caches, pfn in decimal. */
Test(import, ftrace_text_of_old_kernels)
{
    expect(
        "  cat-1  [003]  5.000001: kmem_cache_alloc_node: call_site=ffffffff811d5 ptr=ffff88003f "
        "bytes_req=100 bytes_alloc=104 gfp_flags=GFP_KERNEL node=0\n"
        "  cat-1  [003]  5.000002: kmalloc_node: call_site=ffffffff811d6 ptr=ffff88004f "
        "bytes_req=2000 bytes_alloc=2048 gfp_flags=GFP_KERNEL node=0\n"
        "  cat-1  [003]  5.000003: mm_page_alloc: page=ffffea00001 pfn=1770310 order=0 "
        "migratetype=2 gfp_flags=GFP_KERNEL\n"
        "  cat-1  [003]  5.000004: mm_page_free: page=ffffea00001 pfn=1770310 order=0\n",
        "S1=ffffffff811d5 T0=c:cache-100:100:104:0x0 A0/0:100:104@1.3 S2=ffffffff811d6 "
        "T1=h:kmalloc-2k:0:2048:0x0 A1/1:2000:2048@2.3 P2^0.3 Q2.3");
}

Test(import, trace_cmd_report)
{
    expect("cpus=2\n"
           "CPU 1 is empty\n"
           "           <...>-1169  [000]  1616.487353: kmalloc:              (lsm_blob_alloc+0x3b) "
           "call_site=ffffffff8149 ptr=0xffff888003d7 bytes_req=11 bytes_alloc=16 "
           "gfp_flags=GFP_KERNEL|__GFP_ZERO\n"
           "CPU:0 [7 EVENTS DROPPED]\n"
           "        my task-12-1170  [001] d..2.  1616.487354: kfree:                "
           "(lsm_free+0x3) call_site=ffffffff8150 ptr=0xffff888003d7\n"
           "             cat-9     [001]  1616.487355: kfree: (x+0x3) call_site=1 ptr=(nil)\n",
           "S1=ffffffff8149 T0=h:kmalloc-16:0:16:0x0 A0/0:11:16@1 lost7 F0.1 N.1");
}

Test(import, perf_script)
{
    expect("# captured on    : Sun Nov 22\n"
           "            perf 12345 [001] 12345.678901: kmem:kmalloc: (f+0x3b) "
           "call_site=0xffffffff8149 ptr=0xffff888003d7 bytes_req=11 bytes_alloc=16 "
           "gfp_flags=GFP_KERNEL\n"
           "        ffffffff8149f3b4 kmalloc+0x1b4 ([kernel.kallsyms])\n"
           "        ffffffff8149f3b4 [unknown] ([kernel.kallsyms])\n"
           "\n"
           "Web Content [x] 12345/12346 [000] 12345.678902123:          1 kmem:kfree: (g+0x3) "
           "call_site=0xffffffff8150 ptr=0xffff888003d7\n",
           "S1=0xffffffff8149 T0=h:kmalloc-16:0:16:0x0 A0/0:11:16@1.1 F0");
    cr_assert_eq(first_ns, 12345678901000ull);
}

Test(import, lines_may_end_as_in_dos)
{
    expect(PREFIX "kfree: call_site=f+0x1/0x2 ptr=0000000000000000\r\n", "N");
}

Test(import, a_dash_is_standard_input)
{
    write_text("t", PREFIX "kfree: call_site=f ptr=0000000000000000\n");
    FILE *f = fopen(in_dir("t"), "r");
    cr_assert_not_null(f);
    int saved = dup(STDIN_FILENO);
    cr_assert_eq(dup2(fileno(f), STDIN_FILENO), STDIN_FILENO);
    cr_expect_eq(read_file("-", NULL), KC_OK, "%s", error.text);
    cr_expect_str_eq(said, "N");
    cr_assert_eq(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    (void)close(saved);
    (void)fclose(f);
}

/* ---- untidy recordings ----------------------------------------------------------------------- */

Test(import, frees_of_null_in_all_spellings)
{
    expect(PREFIX "kfree: call_site=f ptr=0000000000000000\n" PREFIX
                  "kfree: call_site=f ptr=(null)\n" PREFIX "kfree: call_site=f ptr=0x0\n" PREFIX
                  "kfree: call_site=f ptr=0\n" PREFIX
                  "kmem_cache_free: call_site=f ptr=(nil) name=a\n",
           "N N N N N");
}

Test(import, frees_of_what_was_born_before)
{
    expect(PREFIX "kfree: call_site=f ptr=1234\n" PREFIX "mm_page_free: page=12 pfn=0x5 order=3\n",
           "U V");
}

#define ALLOC(ptr) PREFIX "kmalloc: call_site=f ptr=" ptr " bytes_req=8 bytes_alloc=8 gfp_flags=0\n"

Test(import, an_address_that_returns_while_live_died_unseen)
{
    expect(ALLOC("a0") ALLOC("b0") ALLOC("a0") PREFIX "kfree: call_site=f ptr=a0\n" PREFIX
                                                      "kfree: call_site=f ptr=a0\n",
           "S1=f T0=h:kmalloc-8:0:8:0x0 A0/0:8:8@1 A1/0:8:8@1 F0! A0/0:8:8@1 F0 U");
    cr_assert_eq(totals.implicit_frees, 1);
    cr_assert_eq(totals.frees, 2);
}

#define PAGE(pfn) PREFIX "mm_page_alloc: page=77 pfn=" pfn " order=0 migratetype=0 gfp_flags=0\n"

Test(import, a_page_that_returns_while_live_died_unseen)
{
    expect(PAGE("0x9") PAGE("9") PAGE("0xa"), "P0^0 Q0! P0^0 P1^0");
}

Test(import, requests_that_the_source_refused_are_skipped)
{
    expect(PREFIX "kmalloc: call_site=f ptr=(null) bytes_req=8 bytes_alloc=8 gfp_flags=0\n" PREFIX
                  "mm_page_alloc: page=(null) pfn=0x0 order=9 migratetype=0 gfp_flags=0\n",
           "skip1 skip1");
}

Test(import, events_of_other_names_are_skipped)
{
    expect(PREFIX "sched_switch: prev_comm=a ==> next_comm=b\n" PREFIX
                  "mm_page_alloc_zone_locked: page=1 pfn=0x2 order=0\n" PREFIX
                  "do_fork <-sys_fork\n" PREFIX "kfree: call_site=f ptr=0\n" PREFIX
                  "tlb_flush: x\n",
           "skip3 N skip1");
    cr_assert_eq(totals.skipped_lines, 4);
}

Test(import, lost_events_are_added_up)
{
    expect("CPU:1 [LOST 41 EVENTS]\n[LOST 2 EVENTS]\nCPU:0 [EVENTS DROPPED]\n",
           "lost41 lost2 lost1");
    cr_assert_eq(totals.lost_events, 44);
}

Test(import, comments_headings_and_stacks_are_passed_over)
{
    expect("#\n\n   \n#P:2\ncpus=8\nversion = 7\nCPU 3 is empty\n" PREFIX
           "kernel_stack: <stack trace>\n => kmalloc\n => 0xffffffff\n",
           "skip1");
}

Test(import, a_cut_last_line_is_skipped)
{
    static const char whole[] =
        PREFIX "kmalloc: call_site=f ptr=00000000000000a0 bytes_req=8 bytes_alloc=8 gfp_flags=0 "
               "node=-1\n";
    char text[512];
    for (size_t n = 1; n < sizeof(whole) - 1; n++) {
        snprintf(text, sizeof(text), "%s%.*s", ALLOC("b0"), (int)n, whole);
        write_text("t", text);
        cr_expect_eq(read_file(in_dir("t"), NULL), KC_OK, "cut to %u: %s", (unsigned)n, error.text);
        cr_expect(totals.allocs == 1 || strstr(text, "gfp_flags=0 ") != NULL, "cut to %u",
                  (unsigned)n);
        cr_expect(totals.skipped_lines + totals.allocs == 2 || n < 11, "cut to %u", (unsigned)n);
    }
}

Test(import, a_last_line_that_is_whole_counts_without_its_newline)
{
    expect(PREFIX "kfree: call_site=f ptr=0000000000000000", "N");
    expect(PREFIX "kfree: call_site=f ptr=00000000000", "skip1");
    expect(PREFIX "kmem_cache_free: call_site=f ptr=12 name=fi", "U");
    expect(PREFIX "mm_page_free: page=1 pfn=0x1 order=1", "skip1");
}

Test(import, time_that_goes_back_stands_still)
{
    expect("a-1 [0] 5.5: kfree: ptr=0\nb-1 [1] 5.4: kfree: ptr=0\nc-1 [0] 5.6: kfree: ptr=0\n",
           "N N.1 N");
    cr_assert_eq(totals.first_ns, 5500000000ull);
    cr_assert_eq(totals.last_ns, 5600000000ull);
}

/* ---- bad input ------------------------------------------------------------------------------- */

Test(import, malformed_lines_are_told_by_number)
{
    expect_bad("# tracer: nop\n" PREFIX "kfree: call_site=f\n", ":2: expected ptr=ADDRESS");
    expect_bad(PREFIX "kfree: call_site=f ptr=zebra\n",
               ":1: expected a number or address in \"ptr=zebra\"");
    expect_bad(PREFIX "kmalloc: ptr=1 bytes_alloc=8\n", ":1: expected bytes_req=NUMBER");
    expect_bad(PREFIX "kmalloc: ptr=1 bytes_req=8\n", ":1: expected bytes_alloc=NUMBER");
    expect_bad(PREFIX "kmalloc: ptr=1 bytes_req=-8 bytes_alloc=8\n",
               ":1: expected a number or address in \"bytes_req=-8\"");
    expect_bad(PREFIX "kmalloc: ptr=1 bytes_req=9 bytes_alloc=8\n",
               ":1: expected bytes_alloc not below bytes_req");
    expect_bad(PREFIX "kmalloc: ptr=1 bytes_req=9 bytes_alloc=99999999999\n",
               ":1: expected bytes_alloc of at most 2^30");
    expect_bad(PREFIX "kmalloc: ptr=1 bytes_req=9 bytes_alloc=99999999999999999999\n",
               ":1: expected a number or address in \"bytes_alloc=99999999999999999999\"");
    expect_bad(PREFIX "kmem_cache_alloc: ptr=1 name=a bytes_req=0 bytes_alloc=8\n",
               ":1: expected bytes_req above 0");
    expect_bad(PREFIX "mm_page_free: order=0\n", ":1: expected pfn=NUMBER or page=ADDRESS");
    expect_bad(PREFIX "mm_page_alloc: pfn=0x1\n", ":1: expected order=NUMBER");
    expect_bad(PREFIX "mm_page_alloc: pfn=0x1 order=21\n", ":1: expected order of at most 20");
    expect_bad(PREFIX "kfree: ptr=0\nhello world\n",
               ":2: expected TASK-PID [CPU] TIME: EVENT: FIELDS, as ftrace, trace-cmd report and "
               "perf script print");
    expect_bad("CPU:1 [LOST 99999999999 EVENTS]\n", ":1: expected at most 2^32 - 1 lost events");
}

Test(import, what_was_good_before_a_bad_line_is_given_out)
{
    expect_bad(ALLOC("a0") PREFIX "kfree: call_site=f ptr=zebra\n",
               ":2: expected a number or address in \"ptr=zebra\"");
    cr_expect_str_eq(said, "S1=f T0=h:kmalloc-8:0:8:0x0 A0/0:8:8@1");
}

Test(import, binary_rubbish_is_refused)
{
    static const char elf[] = "\x7f"
                              "ELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0";
    write_bytes("t", elf, sizeof(elf));
    cr_assert_eq(read_file(in_dir("t"), NULL), KC_ERR_CORRUPT);
    cr_assert_not_null(strstr(error.text, "t:1: byte 0x7f in column 1; expected text"));
    write_bytes("t", "# ok\nkfree\0\n", 12);
    cr_assert_eq(read_file(in_dir("t"), NULL), KC_ERR_CORRUPT);
    cr_assert_not_null(strstr(error.text, "t:2: byte 0x00 in column 6; expected text"));
}

Test(import, a_few_bytes_of_anything_are_no_trace)
{
    expect_bad("\xfd"
               "7zX",
               ":1: expected TASK-PID [CPU] TIME: EVENT: FIELDS, as ftrace, trace-cmd report and "
               "perf script print");
}

Test(import, a_line_without_end_takes_no_memory)
{
    static char long_line[1u << 20];
    memset(long_line, 'x', sizeof(long_line));
    write_bytes("t", long_line, sizeof(long_line));
    cr_assert_eq(read_file(in_dir("t"), NULL), KC_ERR_CORRUPT);
    cr_assert_not_null(strstr(error.text, ":1: a line of more than 16384 bytes"));
}

Test(import, what_is_no_file_is_refused)
{
    cr_assert_eq(read_file(in_dir("absent"), NULL), KC_ERR_CORRUPT);
    cr_assert_not_null(strstr(error.text, "cannot open: No such file"));
    cr_assert_eq(read_file(dir, NULL), KC_ERR_CORRUPT);
    cr_assert_not_null(strstr(error.text, "is a directory; expected a trace (.kct"));
    write_text("empty", "");
    cr_assert_eq(read_file(in_dir("empty"), NULL), KC_ERR_CORRUPT);
    cr_assert_not_null(strstr(error.text, "is empty; expected a trace"));
}

Test(import, too_many_types_are_refused)
{
    FILE *f = fopen(in_dir("t"), "w");
    cr_assert_not_null(f);
    for (unsigned i = 0; i <= KC_TRACE_TYPES_MAX; i++) {
        fprintf(f, PREFIX "kmem_cache_alloc: ptr=%x name=n%u bytes_req=8 bytes_alloc=8\n", i + 1,
                i);
    }
    cr_assert_eq(fclose(f), 0);
    cr_assert_eq(read_file(in_dir("t"), NULL), KC_ERR_RANGE);
    cr_assert_not_null(strstr(error.text, ":1025: expected at most 1024 types"));
}

/* ---- geometry -------------------------------------------------------------------------------- */

#define SLABINFO                                                                         \
    "slabinfo - version: 2.1\n"                                                          \
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n" \
    "filp      10  42  192  21  1 : tunables 0 0 0 : slabdata 2 2 0\n"                   \
    "kmalloc-cg-64  1 64 64 64 1 : tunables 0 0 0 : slabdata 1 1 0\n"                    \
    "kmalloc-rcl-64  1 64 64 32 2 : tunables 0 0 0 : slabdata 1 1 0\n"                   \
    "kmalloc-64  1 64 64 16 4 : tunables 0 0 0 : slabdata 1 1 0\n"                       \
    "kmalloc-1k  1 4 1024 4 1 : tunables 0 0 0 : slabdata 1 1 0\n"

#define KMALLOC(ptr, size, gfp) \
    PREFIX "kmalloc: ptr=" ptr " bytes_req=" size " bytes_alloc=" size " gfp_flags=" gfp "\n"

Test(import, geometry_comes_from_the_slabinfo_beside)
{
    char both[256];
    write_text("a.slabinfo", SLABINFO);
    write_text("a.ftrace.xz.txt",
               KMALLOC("1", "64", "GFP_KERNEL_ACCOUNT|__GFP_ZERO")
                   KMALLOC("2", "64", "GFP_KERNEL|__GFP_RECLAIMABLE")
                       KMALLOC("3", "64", "GFP_KERNEL") KMALLOC("4", "1024", "__GFP_ACCOUNT")
                           KMALLOC("5", "16384", "GFP_KERNEL") PREFIX
               "kmem_cache_alloc: ptr=6 name=filp bytes_req=184 bytes_alloc=192\n");
    cr_assert_eq(read_file(in_dir("a.ftrace.xz.txt"), NULL), KC_OK, "%s", error.text);
    cr_assert_str_eq(said, "T0=h:kmalloc-cg-64:0:64:64x1 A0/0:64:64@0 "
                           "T1=h:kmalloc-rcl-64:0:64:32x2 A1/1:64:64@0 "
                           "T2=h:kmalloc-64:0:64:16x4 A2/2:64:64@0 "
                           "T3=h:kmalloc-1k:0:1024:4x1 A3/3:1024:1024@0 "
                           "T4=l:kmalloc-large:0:0:0x0 A4/4:16384:16384@0 "
                           "T5=c:filp:184:192:21x1 A5/5:184:192@0");
    snprintf(both, sizeof(both), "%s/b", dir);
    write_text("b", KMALLOC("3", "64", "GFP_KERNEL"));
    cr_assert_eq(read_file(both, NULL), KC_OK);
    cr_assert_str_eq(said, "T0=h:kmalloc-64:0:64:0x0 A0/0:64:64@0", "no slabinfo beside");
    cr_assert_eq(read_file(both, in_dir("a.slabinfo")), KC_OK);
    cr_assert_str_eq(said, "T0=h:kmalloc-64:0:64:16x4 A0/0:64:64@0", "but one was given");
}

static void expect_bad_slabinfo(const char *text, const char *message)
{
    char trace[128];
    write_text("t", "#\n");
    snprintf(trace, sizeof(trace), "%s/t", dir);
    write_text("s", text);
    cr_expect_eq(read_file(trace, in_dir("s")), KC_ERR_CORRUPT);
    const char *file = in_dir("s");
    cr_expect_eq(strncmp(error.text, file, strlen(file)), 0, "%s", error.text);
    cr_expect_str_eq(error.text + strlen(file), message);
}

Test(import, bad_slabinfo_is_told_by_line)
{
    expect_bad_slabinfo("hello\n", ":1: expected the line \"slabinfo - version: 2.x\"");
    expect_bad_slabinfo("slabinfo - version: 1.1\n",
                        ":1: expected the line \"slabinfo - version: 2.x\"");
    expect_bad_slabinfo("slabinfo - version: 2.1\nfilp 1 2 192 21\n",
                        ":2: expected the number of pages a slab");
    expect_bad_slabinfo("slabinfo - version: 2.1\n#\nfilp 1 2 x 21 1\n",
                        ":3: expected the size of an object");
    expect_bad_slabinfo("slabinfo - version: 2.1\nfilp 1 2 192 0 1\n",
                        ":2: expected 1 to 65535 objects and pages a slab");
    expect_bad_slabinfo("slabinfo - version: 2.1\nfilp 1 2 0 1 1\n",
                        ":2: expected an object size of 1 to 2^30");
    expect_bad_slabinfo("slabinfo - version: 2.1\nfilp 1 2 99999999999999999999 1 1\n",
                        ":2: expected the size of an object");
    expect_bad_slabinfo("", ": is empty; expected a copy of /proc/slabinfo");
}

/* ---- .kct and packing ------------------------------------------------------------------------ */

static bool to_file(void *ctx, const void *bytes, size_t n)
{
    return fwrite(bytes, 1, n, ctx) == n;
}

/* Convert a trace to a .kct in the directory. */
static void convert(const char *from, const char *name)
{
    struct kc_event e;
    uint32_t n;
    const struct sim_trace_options options = {from, NULL};
    struct sim_trace *t = sim_trace_open(&options, &error);
    cr_assert_not_null(t, "%s", error.text);
    FILE *f = fopen(in_dir(name), "wb");
    cr_assert_not_null(f);
    struct sim_kct_writer *w = sim_kct_writer_open(to_file, f, 1000);
    cr_assert_not_null(w);
    while (sim_trace_fill(t, &e, 1, &n) == KC_OK && n == 1) {
        cr_assert(sim_kct_writer_add(w, &e));
    }
    cr_assert(sim_kct_writer_close(w));
    cr_assert_eq(fclose(f), 0);
    sim_trace_close(t);
}

static const char mixed[] = ALLOC("a0") ALLOC("b0") ALLOC("a0") PAGE("0x9") PREFIX
    "kmem_cache_alloc: call_site=g ptr=c0 name=filp bytes_req=184 bytes_alloc=192\n"
    "b-1 [7] 1700.000001: kfree: ptr=0\nb-1 [7] 1800.000001: tlb: x\n"
    "CPU:1 [LOST 300 EVENTS]\n"
    "b-1 [1] 1800.000001: kmem_cache_free: ptr=c0\nb-1 [0] 1900.5: mm_page_free: pfn=9 order=0\n"
    "b-1 [0] 1900.5: mm_page_free: pfn=9 order=0\nb-1 [0] 1900.5: kfree: ptr=77\n";

Test(import, a_kct_gives_the_events_of_its_import)
{
    static char first[sizeof(said)];
    char kct[128];
    write_text("t", mixed);
    cr_assert_eq(read_file(in_dir("t"), NULL), KC_OK, "%s", error.text);
    memcpy(first, said, said_size + 1);
    const struct kc_trace_totals imported = totals;
    snprintf(kct, sizeof(kct), "%s/t", dir);
    convert(kct, "t.kct");
    cr_assert_eq(read_file(in_dir("t.kct"), NULL), KC_OK, "%s", error.text);
    cr_assert_str_eq(said, first);
    cr_assert_arr_eq(&totals, &imported, sizeof(totals));
    cr_assert_eq(read_file(in_dir("t.kct"), "x"), KC_ERR_CORRUPT);
    cr_assert_not_null(strstr(error.text, "a .kct holds its own geometry; expected no --slabinfo"));
}

Test(import, a_damaged_kct_is_told_by_offset)
{
    static uint8_t bytes[4096];
    write_text("t", mixed);
    char from[128];
    snprintf(from, sizeof(from), "%s/t", dir);
    convert(from, "t.kct");
    FILE *f = fopen(in_dir("t.kct"), "rb");
    cr_assert_not_null(f);
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    (void)fclose(f);
    cr_assert(n > 64 && n < sizeof(bytes));
    write_bytes("t.kct", bytes, n - 1);
    cr_assert_eq(read_file(in_dir("t.kct"), NULL), KC_ERR_CORRUPT);
    cr_assert_not_null(
        strstr(error.text, ": expected the rest of a block; the file is cut; found 1"));
    bytes[40] ^= 1;
    write_bytes("t.kct", bytes, n);
    cr_assert_eq(read_file(in_dir("t.kct"), NULL), KC_ERR_CORRUPT);
    cr_assert_not_null(strstr(error.text, ": byte 28: expected the block's checksum"));
    bytes[40] ^= 1;
    bytes[8] = 9;
    write_bytes("t.kct", bytes, n);
    cr_assert_eq(read_file(in_dir("t.kct"), NULL), KC_ERR_UNSUPPORTED);
    cr_assert_not_null(strstr(error.text, ": byte 8: expected format version 1; found 9"));
}

Test(import, the_bundled_sample_is_whole)
{
    struct kc_event batch[256];
    uint32_t n = 0;
    size_t bytes;
    const struct sim_trace_options options = {NULL, NULL};
    struct sim_trace *t = sim_trace_open(&options, &error);
    cr_assert_not_null(t, "%s", error.text);
    while (sim_trace_fill(t, batch, 256, &n) == KC_OK && n != 0) {
    }
    cr_assert_str_eq(sim_trace_error_of(t)->text, "");
    const struct kc_trace_totals *sum = sim_trace_totals(t);
    (void)sim_trace_sample(&bytes);
    cr_assert_leq(bytes, 1000000);
    cr_assert_gt(sum->allocs + sum->frees + sum->page_allocs + sum->page_frees, 200000);
    cr_assert_str_eq(sim_trace_kind(t), ".kct");
    sim_trace_close(t);
}

#ifdef KC_TEST_LZMA
static size_t pack_xz(const void *bytes, size_t n, uint8_t *out, size_t max)
{
    size_t size = 0;
    cr_assert_eq(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, bytes, n, out, &size, max),
                 LZMA_OK);
    return size;
}

Test(import, xz_is_known_by_content)
{
    static uint8_t packed[1u << 16];
    size_t n = pack_xz(mixed, sizeof(mixed) - 1, packed, sizeof(packed));
    write_text("t", mixed);
    cr_assert_eq(read_file(in_dir("t"), NULL), KC_OK);
    static char plain[sizeof(said)];
    memcpy(plain, said, said_size + 1);
    write_bytes("t.zst", packed, n);
    cr_assert_eq(read_file(in_dir("t.zst"), NULL), KC_OK, "%s", error.text);
    cr_assert_str_eq(said, plain);
    for (size_t cut = 1; cut < n; cut++) {
        write_bytes("t", packed, cut);
        cr_expect_neq(read_file(in_dir("t"), NULL), KC_OK, "cut to %u", (unsigned)cut);
    }
    packed[n / 2] ^= 0xff;
    write_bytes("t", packed, n);
    cr_assert_eq(read_file(in_dir("t"), NULL), KC_ERR_CORRUPT);
    n = pack_xz("", 0, packed, sizeof(packed));
    write_bytes("t", packed, n);
    cr_assert_eq(read_file(in_dir("t"), NULL), KC_ERR_CORRUPT);
    cr_assert_not_null(strstr(error.text, "holds nothing; expected a trace"));
}
#endif

#ifdef KC_TEST_ZSTD
Test(import, zstd_is_known_by_content)
{
    static uint8_t packed[1u << 16];
    static char plain[sizeof(said)];
    size_t n = ZSTD_compress(packed, sizeof(packed), mixed, sizeof(mixed) - 1, 3);
    cr_assert_not(ZSTD_isError(n));
    write_text("t", mixed);
    cr_assert_eq(read_file(in_dir("t"), NULL), KC_OK);
    memcpy(plain, said, said_size + 1);
    write_bytes("t", packed, n);
    cr_assert_eq(read_file(in_dir("t"), NULL), KC_OK, "%s", error.text);
    cr_assert_str_eq(said, plain);
    for (size_t cut = 1; cut < n; cut++) {
        write_bytes("t", packed, cut);
        cr_expect_neq(read_file(in_dir("t"), NULL), KC_OK, "cut to %u", (unsigned)cut);
    }
}
#endif
