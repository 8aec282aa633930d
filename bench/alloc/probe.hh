/* SPDX-License-Identifier: BSD-2-Clause */
/* probe.hh: what kc-probe does, by the first word of its command line. */
#ifndef PROBE_HH
#define PROBE_HH

namespace bench {

/*
 * `single list`: whose single operations can be counted, a line each: NAME, tab, role; a peer that
 * is missing is "missing" with the reason in its place. `single NAME [quick]`: run them, with
 * marks.
 */
int probe_single(int argc, char **argv);

/*
 * `memory list`: the same for memory an object. `memory NAME BYTES`: bytes used for each requested,
 * in thousandths. `memory NAME SCENARIO`: held over requested through a scenario.
 */
int probe_memory(int argc, char **argv);

} // namespace bench

#endif
