#!/usr/bin/env python3
"""Draws the symbols of Debian's hershey-fonts-data as detypify's inputs: strokes.npy.

    scripts/hershey_symbols.py FONTS_FOLDER strokes.npy

One float32 picture of 1x224x224 a symbol, white on black, scaled and drawn with lines 8 pixels wide,
as detypify-service draws what a user's pen did (its dist/index.mjs). The folder is
/usr/share/hershey-fonts. Greek and mathematical letters and signs, map symbols, astrological
and meteorological symbols; equal shapes once. Needs Python alone.
"""
import array
import pathlib
import struct
import sys

SIZE, WIDTH, MARGIN = 224, 8.0, 20
FONTS = ["greek", "mathlow", "symbolic", "astrology", "meteorology"]


def glyphs(path):
    """The strokes of each symbol: http://paulbourke.net/dataformats/hershey/ (the .jhf format)."""
    lines = path.read_text("latin-1").replace("\r", "").split("\n")
    while lines:
        record = lines.pop(0)
        if len(record) < 10:
            continue
        pairs = int(record[5:8])
        while len(record) < 8 + 2 * pairs and lines:  # a long one goes on in the next line
            record += lines.pop(0)
        strokes, stroke = [], []
        for i in range(1, pairs):
            x, y = record[8 + 2 * i], record[9 + 2 * i]
            if (x, y) == (" ", "R"):
                strokes.append(stroke)
                stroke = []
            else:
                stroke.append((ord(x) - ord("R"), ord(y) - ord("R")))
        strokes.append(stroke)
        strokes = [s for s in strokes if len(s) > 1]
        if strokes:
            yield strokes


def draw(strokes):
    points = [p for stroke in strokes for p in stroke]
    low = [min(p[i] for p in points) for i in (0, 1)]
    high = [max(p[i] for p in points) for i in (0, 1)]
    extent = max(high[0] - low[0], high[1] - low[1])
    scale = (SIZE - MARGIN) / extent if extent > 1e-6 else 1
    picture = array.array("f", bytes(4 * SIZE * SIZE))

    def place(point):
        return [round((point[i] - (low[i] + high[i]) / 2) * scale + SIZE / 2) for i in (0, 1)]

    for stroke in strokes:
        path = [place(p) for p in stroke]
        for (ax, ay), (bx, by) in zip(path, path[1:]):
            dx, dy = bx - ax, by - ay
            length = dx * dx + dy * dy
            for y in range(max(0, min(ay, by) - 6), min(SIZE, max(ay, by) + 7)):
                for x in range(max(0, min(ax, bx) - 6), min(SIZE, max(ax, bx) + 7)):
                    px, py = x + 0.5 - ax, y + 0.5 - ay
                    t = 0 if length == 0 else max(0.0, min(1.0, (px * dx + py * dy) / length))
                    away = ((px - t * dx) ** 2 + (py - t * dy) ** 2) ** 0.5
                    shade = max(0.0, min(1.0, WIDTH / 2 + 0.5 - away))  # one pixel of antialiasing
                    at = y * SIZE + x
                    if shade > picture[at]:
                        picture[at] = shade
    return picture


folder, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
seen, pictures = set(), []
for font in FONTS:
    for strokes in glyphs(folder / f"{font}.jhf"):
        shape = repr(strokes)
        if shape not in seen:
            seen.add(shape)
            pictures.append(draw(strokes))
header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(pictures)}, 1, {SIZE}, {SIZE}), }}"
header = header.ljust(117) + "\n"
with target.open("wb") as out:
    out.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
    for picture in pictures:
        out.write(picture.tobytes())
print(f"{target}: {len(pictures)} symbols")
