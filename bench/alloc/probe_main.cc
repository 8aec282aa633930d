/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kc-probe: what is not timed: single operations, and memory. One subject a process, so that none
 * sees what another left behind. bench/alloc/report.py and check_ceilings.py run it.
 */
#include "probe.hh"

#include "../bench.hh"

#include <cstdio>
#include <cstring>
#include <host.h>

namespace bench {

/* kc-probe has no table of its own: lists say what is missing. */
void add(const Case &)
{
}

void missing(const char *, const std::string &subject, const std::string &why)
{
    std::printf("%s\tmissing\t%s\n", subject.c_str(), why.c_str());
}

} // namespace bench

int main(int argc, char **argv)
{
    host_watch_tools(false);
    if (argc >= 3 && std::strcmp(argv[1], "single") == 0) {
        return bench::probe_single(argc - 2, argv + 2);
    }
    if (argc >= 3 && std::strcmp(argv[1], "memory") == 0) {
        return bench::probe_memory(argc - 2, argv + 2);
    }
    std::fprintf(stderr,
                 "usage: kc-probe single list | single NAME [quick]\n"
                 "       kc-probe memory list | memory NAME BYTES | memory NAME SCENARIO\n");
    return 2;
}
