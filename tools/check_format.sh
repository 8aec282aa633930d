#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Layout of every C file is what .clang-format says.
#
# usage: check_format.sh [ROOT]
set -u
cd "${1:-$(dirname "$0")/..}" || exit 4
find . \( -name 'build*' -o -name subprojects -o -name .git \) -prune -o \
    \( -name '*.c' -o -name '*.h' -o -name '*.cpp' \) -print0 |
    xargs -0 clang-format --dry-run -Werror --style=file
status=$?
[ "$status" -eq 0 ]
