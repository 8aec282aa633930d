#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# docs/sparse.md as a test: its command says nothing of good.c, and reports each line of bad.c that is
# marked BAD, and no other.
#
# usage: check_sparse_recipe.sh SOURCE-DIR
set -u
here=$1/examples/sparse
flags="-I $1/libkcore/include"

# The recipe; $flags is what `pkg-config --cflags kcore` prints for an installed library.
recipe() {
    sparse -std=gnu17 -Wbitwise -Wsparse-error $flags "$1" 2>&1
}

bad=0
said=$(recipe "$here/good.c")
if [ $? -ne 0 ] || [ -n "$said" ]; then
    echo "good.c: $said"
    bad=1
fi
said=$(recipe "$here/bad.c")
if [ $? -eq 0 ]; then
    echo 'bad.c: exit status 0'
    bad=1
fi
found=$(printf '%s\n' "$said" | sed -n 's/.*bad\.c:\([0-9]*\):[0-9]*: error.*/\1/p' | sort -un)
want=$(sed -n '/\/\* BAD \*\//=' "$here/bad.c")
if [ "$found" != "$want" ]; then
    echo "bad.c: reported lines" $found ", expected" $want
    printf '%s\n' "$said"
    bad=1
fi
for compiler in gcc clang; do
    "$compiler" -std=gnu17 -Wall -Wextra -Werror -fsyntax-only $flags "$here/bad.c" || {
        echo "$compiler objects to bad.c: the example shows nothing any more"
        bad=1
    }
done
exit "$bad"
