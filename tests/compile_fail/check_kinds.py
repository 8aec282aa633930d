#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Mixing address kinds must not compile: for each ordered pair of kinds, as an argument, in an
assignment, in a comparison and in a range; the same against plain integers; in C and in C++.

usage: check_kinds.py SOURCE-DIR [COMPILER...]     prints TAP

All wrong uses stand in one file per language, one a line. The compiler must report an error about
types at each such line and at no other; the twin file, in which each use is of the right kind,
must compile without a warning."""
import itertools
import os
import re
import subprocess
import sys
import tempfile

KINDS = ['pa', 'va', 'uva', 'ipa', 'dva', 'ia']
# What K expects against what it is given: {k} the kind expected, {v} a value of the other kind.
USES = {
    'argument': 'uint64_t {n}(kc_{w}_t x); uint64_t {n}(kc_{w}_t x) {{ return kc_{k}_raw(x); }}',
    'assignment': 'void {n}(kc_{w}_t x); void {n}(kc_{w}_t x) {{ kc_{k}_t y; y = x; (void)y; }}',
    'comparison': 'bool {n}(kc_{k}_t a, kc_{w}_t x); '
                  'bool {n}(kc_{k}_t a, kc_{w}_t x) {{ return kc_{k}_eq(a, x); }}',
    'range': 'kc_{k}_range_t {n}(kc_{w}_t x); '
             'kc_{k}_range_t {n}(kc_{w}_t x) {{ return kc_{k}_range(x, 1); }}',
    'range as argument': 'bool {n}(kc_{w}_range_t x); '
                         'bool {n}(kc_{w}_range_t x) {{ return kc_{k}_range_fits(x); }}',
}
NUMBER_USES = {
    'integer as argument': ('uint64_t {n}(uint64_t x); '
                            'uint64_t {n}(uint64_t x) {{ return kc_{k}_raw({x}); }}'),
    'kind as integer': ('uint64_t {n}(kc_{k}_t x); '
                        'uint64_t {n}(kc_{k}_t x) {{ uint64_t y; y = {y}; return y; }}'),
}
TYPE_ERROR = re.compile(r'incompatible type|incompatible types|cannot convert|could not convert|'
                        r'no viable|no matching|no known conversion|invalid conversion|'
                        r'from incompatible type|no match for|passing .* to parameter')
ERROR_LINE = re.compile(r'^[^:\n]+:(\d+):\d+: error: (.*)$', re.M)


def uses():
    """(name of the case, wrong line, right line) of everything that must not compile."""
    for k, w in itertools.permutations(KINDS, 2):
        for i, (what, text) in enumerate(USES.items()):
            name = 'f_%s_%s_%d' % (k, w, i)
            yield ('%s for %s, %s' % (w, k, what), text.format(n=name, k=k, w=w),
                   text.format(n=name, k=k, w=k))
    for k in KINDS:
        a, b = NUMBER_USES.values()
        name = 'n_%s' % k
        yield ('integer for %s, argument' % k, a.format(n=name + '_0', k=k, x='x'),
               a.format(n=name + '_0', k=k, x='kc_%s(x)' % k))
        yield ('%s for integer, assignment' % k, b.format(n=name + '_1', k=k, y='x'),
               b.format(n=name + '_1', k=k, y='kc_%s_raw(x)' % k))


def compile_lines(compiler, source, folder, name, lines):
    cxx = compiler.endswith('++')
    path = os.path.join(folder, name + ('.cpp' if cxx else '.c'))
    with open(path, 'w', encoding='utf-8') as f:
        f.write('#include <kc/addr.h>\n' + '\n'.join(lines) + '\n')
    limit = '-ferror-limit=0' if 'clang' in compiler else '-fmax-errors=0'
    return subprocess.run(
        [compiler, '-std=c++17' if cxx else '-std=c17', '-fsyntax-only', '-Wall', '-Wextra',
         '-Wconversion', '-Werror', limit, '-I', os.path.join(source, 'libkcore/include'), path],
        capture_output=True, text=True, env={**os.environ, 'LC_ALL': 'C'})


def main():
    source = sys.argv[1]
    compilers = sys.argv[2:] or ['gcc', 'clang', 'g++', 'clang++']
    cases = list(uses())
    print('TAP version 13\n1..%d' % (len(compilers) * (len(cases) + 2)))
    number = bad = 0

    def verdict(good, what, log=''):
        nonlocal number, bad
        number += 1
        bad += not good
        print('%s %d - %s' % ('ok' if good else 'not ok', number, what))
        if not good:
            print('\n'.join('# ' + line for line in log.splitlines()[:10]))

    with tempfile.TemporaryDirectory() as folder:
        for compiler in compilers:
            right = compile_lines(compiler, source, folder, 'right', [c[2] for c in cases])
            verdict(right.returncode == 0, '%s: right uses compile' % compiler, right.stderr)
            wrong = compile_lines(compiler, source, folder, 'wrong', [c[1] for c in cases])
            errors = {}
            for line, text in ERROR_LINE.findall(wrong.stderr):
                errors.setdefault(int(line), []).append(text)
            for i, (what, text, _) in enumerate(cases):
                said = errors.pop(i + 2, [])
                verdict(any(TYPE_ERROR.search(s) for s in said), '%s: %s' % (compiler, what),
                        text + '\n' + '\n'.join(said))
            verdict(not errors and wrong.returncode != 0, '%s: no error elsewhere' % compiler,
                    repr(errors))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
