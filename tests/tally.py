#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Count one `meson test` run: tally.py TESTLOG.JSON EXIT-STATUS

Prints "PASSED FAILED". A test that speaks TAP counts by its cases, any other as one. What a plan
promised and did not come is failed, and so is a run that passed nothing, or whose exit status tells
of a failure that no test shows. The output of failed tests goes to standard error."""
import json
import re
import sys

CASE = re.compile(r'^(not )?ok\b(?P<rest>.*)$')
PLAN = re.compile(r'^1\.\.(\d+)')
SHOWN_LINES = 60


def tap_counts(text):
    """(passed, failed, seen, planned) of a TAP stream; planned is None without a plan."""
    passed = failed = seen = 0
    planned = None
    for line in text.splitlines():
        case = CASE.match(line)
        plan = PLAN.match(line)
        if plan and planned is None:
            planned = int(plan.group(1))
        elif case:
            seen += 1
            if case.group(1):
                failed += 1
            elif not re.search(r'#\s*skip', case.group('rest'), re.I):
                passed += 1
    return passed, failed, seen, planned


def count(entry):
    """(passed, failed) of one test of the log."""
    good = entry['result'] in ('OK', 'EXPECTEDFAIL')
    passed, failed, seen, planned = tap_counts(entry.get('stdout') or '')
    if planned is None:
        if entry['result'] == 'SKIP':
            return 0, 0
        return (1, 0) if good else (0, 1)
    failed += max(0, planned - seen)
    if failed == 0 and not good and entry['result'] != 'SKIP':
        failed = 1
    return passed, failed


def show(entry):
    print('  FAILED %s (%s)' % (entry['name'], entry['result']), file=sys.stderr)
    print('    command: %s' % ' '.join(entry.get('command', [])), file=sys.stderr)
    for stream in ('stdout', 'stderr'):
        lines = (entry.get(stream) or '').splitlines()
        lines = [line for line in lines if not re.match(r'^ok\b', line)]
        for line in lines[-SHOWN_LINES:]:
            print('    ' + line, file=sys.stderr)


def main():
    passed = failed = 0
    try:
        with open(sys.argv[1], encoding='utf-8', errors='replace') as log:
            entries = [json.loads(line) for line in log if line.strip()]
    except OSError as error:
        print('  no test log: %s' % error, file=sys.stderr)
        entries = []
    for entry in entries:
        good, bad = count(entry)
        passed += good
        failed += bad
        if bad:
            show(entry)
    if failed == 0 and (passed == 0 or sys.argv[2] != '0'):
        print('  nothing passed, or meson test ended %s' % sys.argv[2], file=sys.stderr)
        failed = 1
    print(passed, failed)


if __name__ == '__main__':
    main()
