#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Hold the code to libkcore/layers.txt: check_layers.py [ROOT]

 L1  every public header stands in layers.txt
 L2  a public header includes only what stands above it, and compiler headers
 L3  a core source includes its own header, what stands above it, its own private header, and those of
     its room that stand above
 L4  the core names no architecture, holds no assembly, and includes nothing hosted
 L5  sim/machine and sim/monitor reach neither kc/a64/ nor kc/pt.h, not even through another header
 L6  lock ranks are in layer order, and a module makes locks of its own rank alone; with L3 this is
     lock order: whatever a module can call while it holds its lock has a lower rank
 L7  kernel/ includes the core, its own headers and compiler headers

Prints one line per violation, FILE:LINE: RULE: what. Exit 0 if there is none, else 1."""
import os
import re
import sys

COMPILER = {'stdbool.h', 'stddef.h', 'stdint.h', 'stdarg.h', 'stdalign.h', 'limits.h', 'float.h',
            'stdnoreturn.h', 'iso646.h'}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
ARCH = re.compile(r'\b(__aarch64__|__arm__|__x86_64__|__i386__|_M_X64|_M_ARM64|__riscv)\b')
ASM = re.compile(r'\b(__asm__|__asm|asm)\b\s*(volatile|__volatile__|goto)?\s*\(')
RANK_USE = re.compile(r'\b(?:kc_lock_init|KC_LOCK_INIT)\s*\(')
RANK = re.compile(r'\bKC_RANK_([A-Z0-9]+)\b')
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*', re.S)
KERNEL = 'kernel'


class Tree:
    def __init__(self, root):
        self.root = root
        self.bad = 0
        self.order = []  # (room, header), in layer order
        path = os.path.join(root, 'libkcore/layers.txt')
        with open(path, encoding='utf-8') as lines:
            for line in lines:
                words = line.split('#')[0].split()
                if words:
                    self.order.append((words[0], words[1]))
        self.place = {header: i for i, (_, header) in enumerate(self.order)}

    def complain(self, path, line, rule, what):
        self.bad += 1
        print('%s:%d: %s: %s' % (os.path.relpath(path, self.root), line, rule, what))

    def files(self, under, *endings):
        for folder, _, names in sorted(os.walk(os.path.join(self.root, under))):
            for name in sorted(names):
                if name.endswith(endings):
                    yield os.path.join(folder, name)

    def includes(self, path):
        """(line number, is quoted, name) of each include; comments do not count."""
        with open(path, encoding='utf-8') as f:
            text = COMMENT.sub(lambda m: re.sub(r'[^\n]', ' ', m.group()), f.read())
        for number, line in enumerate(text.splitlines(), 1):
            found = INCLUDE.match(line)
            if found:
                yield number, found.group(1) == '"', found.group(2)


def read_code(path):
    """The text without comments and strings, lines kept."""
    with open(path, encoding='utf-8') as f:
        text = COMMENT.sub(lambda m: re.sub(r'[^\n]', ' ', m.group()), f.read())
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)


def module_of(tree, room, stem):
    """The header that a source file of a room belongs to: the longest that its name begins with."""
    best = None
    for at, header in tree.order:
        name = os.path.splitext(os.path.basename(header))[0]
        if at == room and (stem == name or stem.startswith(name + '_')):
            if best is None or len(name) > len(os.path.splitext(os.path.basename(best))[0]):
                best = header
    return best


def check_headers(tree):
    base = os.path.join(tree.root, 'libkcore/include/kc')
    for path in tree.files('libkcore/include/kc', '.h'):
        header = os.path.relpath(path, base)
        if header not in tree.place:
            tree.complain(path, 1, 'L1', 'not in layers.txt')
            continue
        for line, _, name in tree.includes(path):
            if name in COMPILER or (name == 'kc_body.h' and header == 'plat.h'):
                continue
            if not name.startswith('kc/') or name[3:] not in tree.place:
                tree.complain(path, line, 'L2', 'may not include %s' % name)
            elif tree.place[name[3:]] >= tree.place[header]:
                tree.complain(path, line, 'L2', '%s does not stand above %s' % (name, header))


def check_sources(tree):
    for path in tree.files('libkcore/src', '.c', '.h'):
        room = os.path.basename(os.path.dirname(path))
        stem = os.path.splitext(os.path.basename(path))[0]
        own = module_of(tree, room, 'config' if stem == 'guard' else stem)
        if own is None:
            tree.complain(path, 1, 'L3', 'belongs to no header of room %s' % room)
            continue
        for line, quoted, name in tree.includes(path):
            target = os.path.splitext(os.path.basename(name))[0]
            if name in COMPILER:
                continue
            if quoted and target.endswith('_priv'):
                other = module_of(tree, room, target[:-len('_priv')])
                if '/' in name or other is None or tree.place[other] > tree.place[own]:
                    tree.complain(path, line, 'L3', '%s is private to another module' % name)
            elif name.startswith('kc/') and name[3:] in tree.place:
                if tree.place[name[3:]] > tree.place[own]:
                    tree.complain(path, line, 'L3', '%s stands below %s' % (name, own))
            else:
                tree.complain(path, line, 'L3', 'may not include %s' % name)


def check_core_text(tree):
    for path in tree.files('libkcore', '.c', '.h'):
        for number, line in enumerate(read_code(path).splitlines(), 1):
            if ARCH.search(line):
                tree.complain(path, number, 'L4', 'names an architecture')
            if ASM.search(line):
                tree.complain(path, number, 'L4', 'holds assembly')


def reach(tree, name, seen):
    """All kc headers that an include of name brings."""
    if name in seen:
        return seen
    seen.add(name)
    path = os.path.join(tree.root, 'libkcore/include', name)
    if os.path.exists(path):
        for _, _, inner in tree.includes(path):
            if inner.startswith('kc/'):
                reach(tree, inner, seen)
    return seen


def check_second_opinion(tree):
    for part in ('sim/machine', 'sim/monitor'):
        for path in tree.files(part, '.c', '.h'):
            for line, _, name in tree.includes(path):
                for got in sorted(reach(tree, name, set())):
                    if got == 'kc/pt.h' or got.startswith('kc/a64/'):
                        tree.complain(path, line, 'L5', '%s brings %s' % (name, got))


def check_ranks(tree):
    lock_h = os.path.join(tree.root, 'libkcore/include/kc/lock.h')
    last = -1
    ranks = {}
    text = read_code(lock_h)
    body = re.search(r'enum kc_lock_rank\s*\{(.*?)\}', text, re.S)
    line = text[:body.start()].count('\n') + 1
    for name in RANK.findall(body.group(1)):
        header = name.lower() + '.h'
        ranks[name] = header
        at = tree.place.get(header, len(tree.order) if name.lower() == KERNEL else None)
        if at is None:
            tree.complain(lock_h, line, 'L6', 'KC_RANK_%s is no module' % name)
        elif at <= last:
            tree.complain(lock_h, line, 'L6', 'KC_RANK_%s is out of layer order' % name)
        else:
            last = at
    for path in list(tree.files('libkcore/src', '.c', '.h')) + list(tree.files('libkcore/kernel', '.c')):
        parts = os.path.relpath(path, tree.root).split(os.sep)
        stem = os.path.splitext(parts[-1])[0]
        own = KERNEL + '.h' if parts[1] == 'kernel' else module_of(tree, parts[2], stem)
        code = read_code(path)
        for use in RANK_USE.finditer(code):
            number = code[:use.start()].count('\n') + 1
            end = code.find(';', use.end())
            for name in RANK.findall(code[use.end():end]):
                if ranks.get(name) != own:
                    tree.complain(path, number, 'L6', 'makes a lock of KC_RANK_%s' % name)


def check_kernel(tree):
    own = {os.path.basename(p) for p in tree.files('libkcore/kernel', '.h')}
    for path in tree.files('libkcore/kernel', '.c', '.h'):
        for line, quoted, name in tree.includes(path):
            if name in COMPILER or name in own:
                continue
            if not (name.startswith('kc/') and name[3:] in tree.place):
                tree.complain(path, line, 'L7', 'may not include %s' % name)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), '..')
    tree = Tree(os.path.abspath(root))
    check_headers(tree)
    check_sources(tree)
    check_core_text(tree)
    check_second_opinion(tree)
    check_ranks(tree)
    check_kernel(tree)
    return 1 if tree.bad else 0


if __name__ == '__main__':
    sys.exit(main())
