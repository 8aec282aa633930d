#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""clang-tidy over all that is built, with the checks and exceptions of .clang-tidy: core, kernel,
simulator, tests and fuzz targets as clang builds them here, and the bare-metal body as the cross
compiler builds it. Each file once, however many targets it is in.

usage: check_tidy.py [ROOT [FILE...]]
"""
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile

# The host's databases come first: of a file that is in both, its flags there count. Cases are
# read with our own harness: Criterion's macros would be judged at each use.
BUILDS = (
    ('host', ['-Dtest_runner=own'], []),
    ('metal', ['--cross-file', 'tests/cross/aarch64-none.ini'],
     ['--extra-arg-before=--target=aarch64-none-elf']),
)

# Words of the cross compiler that clang does not know.
GCC_ONLY = ' -fno-tree-loop-distribute-patterns'


def set_up(root, build, options):
    """The compile database of one build."""
    environment = dict(os.environ, CC='clang')
    done = subprocess.run(['meson', 'setup', *options, build, root], cwd=root, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(done.stdout)
        sys.exit(4)
    with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as f:
        return json.load(f)


def tidy(job):
    """What clang-tidy says of one file; None if nothing."""
    path, build, extra = job
    done = subprocess.run(['clang-tidy', '--quiet', '-p', build,
                           '--extra-arg=-Wno-unknown-warning-option',
                           '--extra-arg=-Wno-unused-command-line-argument', *extra, path],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode == 0:
        return None
    return done.stdout.strip() or done.stderr.strip() or '%s: clang-tidy failed' % path


def main():
    root = os.path.realpath(sys.argv[1] if len(sys.argv) > 1
                            else os.path.join(os.path.dirname(__file__), '..'))
    chosen = {os.path.realpath(os.path.join(root, name)) for name in sys.argv[2:]}
    with tempfile.TemporaryDirectory() as work:
        jobs = {}
        for name, options, extra in BUILDS:
            build = os.path.join(work, name)
            once = {}
            for entry in set_up(root, build, options):
                path = os.path.realpath(os.path.join(entry['directory'], entry['file']))
                if path.startswith(root + os.sep) and path.endswith('.c'):
                    command = entry['command'].replace(GCC_ONLY, '')
                    once.setdefault(path, dict(entry, file=path, command=command))
            with open(os.path.join(build, 'compile_commands.json'), 'w', encoding='utf-8') as f:
                json.dump(list(once.values()), f)
            for path in once:
                if not chosen or path in chosen:
                    jobs.setdefault(path, (path, build, extra))
        missing = chosen - set(jobs)
        if missing or not jobs:
            print('check_tidy: not in any build:', ' '.join(sorted(missing)))
            return 4
        # The longest first, so that no CPU is left with one at the end.
        order = sorted(jobs.values(), key=lambda job: -os.path.getsize(job[0]))
        bad = 0
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            for text in pool.map(tidy, order):
                if text:
                    print(text, flush=True)
                    bad += 1
    print('check_tidy: %d files, %d with findings' % (len(order), bad))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
