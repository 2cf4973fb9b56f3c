#!/usr/bin/env python3
"""Writes the link traces of data/traces: synthetic ones of 3G, 4G, 5G and Wi-Fi shape.

    scripts/make_traces.py            write them all
    scripts/make_traces.py --check    only compare: exit code 1 and a line for each that differs

docs/traces.md describes the model and where its figures come from. Python's standard library only.
The traces are the same on every machine: Python promises the sequence of random() for a seed, and
what the mathematical functions of two machines may differ in is far below the digits written.
"""

import argparse
import math
import random
import sys
from pathlib import Path

STEP = 0.5  # seconds a row
ROWS = 600  # five minutes

# Rates up and down in Mbit/s, the round trip and the jitter in ms, the standard deviation of the
# logarithm of fading and the seconds over which it is correlated. States: name, factor on the rates,
# factor on round trip and jitter, mean seconds in it.
LINKS = {
    "3g": {
        "up": 2.0, "down": 5.9, "round_trip": 63.5, "jitter": 8.0,
        "sigma": 0.45, "correlation": 4.0,
        "states": [("good", 1.3, 0.9, 25), ("fair", 1.0, 1.0, 30), ("poor", 0.3, 2.0, 12)],
    },
    "4g": {
        "up": 7.6, "down": 29.5, "round_trip": 53.1, "jitter": 5.0,
        "sigma": 0.40, "correlation": 3.0,
        "states": [("good", 1.5, 0.9, 25), ("fair", 1.0, 1.0, 30), ("poor", 0.25, 1.6, 8)],
    },
    "5g": {
        "up": 14.7, "down": 129.9, "round_trip": 31.0, "jitter": 3.0,
        "sigma": 0.45, "correlation": 2.0,
        "states": [("good", 1.5, 0.9, 20), ("fair", 1.0, 1.0, 30), ("fallback", 0.2, 1.7, 8)],
    },
    "wifi": {
        "up": 18.4, "down": 69.4, "round_trip": 15.0, "jitter": 3.0,
        "sigma": 0.25, "correlation": 2.0,
        "states": [("clear", 1.2, 0.9, 25), ("shared", 1.0, 1.0, 30), ("interfered", 0.15, 3.0, 3)],
    },
}


def normal(source):
    """Box and Muller; random.gauss() is not promised to stay as it is."""
    return math.sqrt(-2 * math.log(1 - source.random())) * math.cos(2 * math.pi * source.random())


def rows_of(link, seed):
    """(time in s, up and down in bit/s, one-way delay and jitter in ms) for each row."""
    source = random.Random(seed)
    states = link["states"]
    state = 1
    left = -states[state][3] * math.log(1 - source.random())
    keep = math.exp(-STEP / link["correlation"])
    fading = normal(source)
    for row in range(ROWS):
        while left <= 0:
            # From the middle state to either side, from a side to the middle.
            state = 1 if state != 1 else (0 if source.random() < 0.5 else 2)
            left += -states[state][3] * math.log(1 - source.random())
        _, rate, round_trip, _ = states[state]
        factor = rate * math.exp(link["sigma"] * fading)
        yield (row * STEP, link["up"] * 1e6 * factor, link["down"] * 1e6 * factor,
               link["round_trip"] * round_trip / 2, link["jitter"] * round_trip)
        # Gauss and Markov: an autoregressive process of variance 1.
        fading = keep * fading + math.sqrt(1 - keep * keep) * normal(source)
        left -= STEP


def rounded(value):
    """Three significant digits."""
    digits = 2 - math.floor(math.log10(value))
    return round(value, digits)


def text_of(name, link):
    seed = sum(ord(letter) * 256**i for i, letter in enumerate(name))
    lines = [
        f"# Synthetic, of {name} shape: scripts/make_traces.py, docs/traces.md",
        "time_s,rate,rate_down,delay,jitter",
    ]
    for time, up, down, delay, jitter in rows_of(link, seed):
        lines.append(f"{time:.1f},{rounded(up):.0f},{rounded(down):.0f},"
                     f"{rounded(delay):.3g}ms,{rounded(jitter):.3g}ms")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--folder", type=Path,
                        default=Path(__file__).resolve().parent.parent / "data" / "traces")
    options = parser.parse_args()
    wrong = 0
    for name, link in LINKS.items():
        path, text = options.folder / f"{name}.csv", text_of(name, link)
        if not options.check:
            path.write_bytes(text.encode())
        elif not path.is_file() or path.read_bytes() != text.encode():
            print(f"{path}: is not what scripts/make_traces.py makes", file=sys.stderr)
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
