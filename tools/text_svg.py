#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A picture of text as a terminal shows it: bold, colours, nothing else. SVG on standard output.

usage: COMMAND | tools/text_svg.py [LINES] >PICTURE.svg     at most LINES lines; no LINES: all
"""
import re
import sys
from xml.sax.saxutils import escape

COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341"}
LINE, CHAR, MARGIN = 17, 7.85, 14


def spans(line):
    """(text, bold, colour) of a line with the escapes that ksim prints."""
    bold, colour = False, None
    for text, code in re.findall(r"([^\x1b]*)(?:\x1b\[([0-9;]*)[mK])?", line):
        if text:
            yield text, bold, colour
        for c in code.split(";") if code else ():
            bold = c == "1" or (bold and c != "0")
            colour = COLOURS.get(c, None if c == "0" else colour)


def main():
    lines = sys.stdin.read().replace("\r", "").split("\n")[:int(sys.argv[1]) if sys.argv[1:] else None]
    while lines and not lines[-1]:
        lines.pop()
    width = max(len(re.sub(r"\x1b\[[0-9;]*[mK]", "", line)) for line in lines) * CHAR + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
          f'viewBox="0 0 {width:.0f} {height}">')
    print('<rect width="100%" height="100%" rx="8" fill="#0d1117"/>')
    print('<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="13" '
          'fill="#c9d1d9">')
    for i, line in enumerate(lines):
        pieces = []
        for text, bold, colour in spans(line):
            style = (' font-weight="bold"' if bold else "") + (f' fill="{colour}"' if colour else "")
            text = escape(text).replace(" ", "\u00a0")  # viewers make one of several spaces
            pieces.append(f"<tspan{style}>{text}</tspan>" if style else text)
        if pieces:
            print(f'<text x="{MARGIN}" y="{MARGIN + LINE * (i + 1) - 4}">{"".join(pieces)}</text>')
    print("</g></svg>")


main()
