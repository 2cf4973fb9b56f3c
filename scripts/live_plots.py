#!/usr/bin/env python3
"""Makes the table and the plots of scripts/live.sh from the logs of its runs.

    scripts/live_plots.py FOLDER

Reads FOLDER/run.MODEL.TRACE.json (as cleave run --log writes them) and writes FOLDER/table.csv,
table.md and, for each model, MODEL.energy.svg (mean energy against misses), MODEL.latency.svg
(distribution of latencies) and MODEL.decisions.svg (latency over deadline, request after request, by
where it ran). Needs Python alone. Energies are those of the runs' boundary and origin, which the
table and the plots name; requests without an answer count as missed and have no energy.
"""
import csv
import html
import json
import math
import pathlib
import sys

# Okabe and Ito's palette, which colour-blind readers tell apart.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
KINDS = {"edge": "#009E73", "split": "#0072B2", "cloud": "#D55E00"}
PARTS = {"edge": [], "edge+cloud device": ["cloud_device_j"],
         "edge+cloud machine": ["cloud_machine_j"]}
WIDTH, HEIGHT, LEFT, TOP, GAP, BOTTOM = 300, 230, 62, 34, 70, 74  # of a panel, in pixels


def energy(outcome, boundary):
    parts = outcome["energy_parts"]
    return sum(parts[name] for name in
               ["edge_compute_j", "edge_wait_j", "radio_j"] + PARTS[boundary])


def quantile(values, part):
    """Between the closest ranks, as cleave's own summaries."""
    if not values:
        return math.nan
    ordered = sorted(values)
    at = part * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def summary(model, trace, run):
    outcomes = run["requests"]
    done = [o for o in outcomes if not o["error"]]
    latencies = [o["latency_s"] for o in done]
    joules = [energy(o, run["energy_boundary"]) for o in done]
    missed = sum(1 for o in outcomes if o["error"] or o["latency_s"] > o["deadline_s"])
    origins = sorted({o["energy_parts"]["origin"] for o in done})
    return {
        "model": model, "trace": trace, "policy": run["policy"], "requests": len(outcomes),
        "missed": missed, "missed_percent": 100 * missed / len(outcomes),
        "mean_energy_j": sum(joules) / len(joules) if joules else math.nan,
        "energy_boundary": run["energy_boundary"], "energy_origin": "+".join(origins),
        "median_latency_ms": 1e3 * quantile(latencies, 0.5),
        "p95_latency_ms": 1e3 * quantile(latencies, 0.95),
        "on_edge": sum(1 for o in outcomes if o["decided"] == "edge"),
        "split": sum(1 for o in outcomes if o["decided"] == "split"),
        "in_cloud": sum(1 for o in outcomes if o["decided"] == "cloud"),
        "fell_back": sum(1 for o in outcomes if o["fell_back"]),
        "configurations": len({o["row"] for o in done}),
    }


def ticks(low, high, log=False):
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        few = last - first > 2
        return [t for e in range(first, last + 1) for t in
                ([10.0 ** e] if few else [10.0 ** e, 2 * 10.0 ** e, 5 * 10.0 ** e])
                if low <= t <= high]
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(s * step for s in (1, 2, 5, 10) if (high - low) / (s * step) <= 5)
    return [step * i for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


class Plot:
    """Panels side by side that share their axes' ranges, as one SVG."""

    def __init__(self, title, panels, x, y, legend):
        self.x, self.y, self.panels = x, y, panels  # an axis: (name, low, high, log)
        self.width = LEFT + panels * WIDTH + (panels - 1) * GAP + 20
        self.height = TOP + 24 + HEIGHT + BOTTOM
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{html.escape(title)}</text>']
        at = LEFT
        for name, colour in legend:
            self.parts.append(f'<circle cx="{at + 5}" cy="{self.height - 14}" r="5" fill="{colour}"/>'
                              f'<text x="{at + 15}" y="{self.height - 10}">{html.escape(name)}</text>')
            at += 34 + 7.2 * len(name)

    def place(self, panel, x, y):
        def share(value, axis):
            _, low, high, log = axis
            value = min(max(value, low), high)
            if log:
                return math.log(value / low) / math.log(high / low)
            return (value - low) / (high - low)
        left = LEFT + panel * (WIDTH + GAP)
        return (left + WIDTH * share(x, self.x),
                TOP + 24 + HEIGHT * (1 - share(y, self.y)))

    def frame(self, panel, name):
        left, top = LEFT + panel * (WIDTH + GAP), TOP + 24
        put = self.parts.append
        put(f'<text x="{left + WIDTH / 2}" y="{top - 8}" text-anchor="middle">{html.escape(name)}</text>')
        for value in ticks(*self.x[1:]):
            x, _ = self.place(panel, value, self.y[1])
            put(f'<path d="M{x:.1f} {top}v{HEIGHT}" stroke="#ddd"/>'
                f'<text x="{x:.1f}" y="{top + HEIGHT + 16}" text-anchor="middle">{value:g}</text>')
        for value in ticks(*self.y[1:]):
            _, y = self.place(panel, self.x[1], value)
            put(f'<path d="M{left} {y:.1f}h{WIDTH}" stroke="#ddd"/>'
                f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        put(f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#444"/>')
        put(f'<text x="{left + WIDTH / 2}" y="{top + HEIGHT + 34}" text-anchor="middle">'
            f'{html.escape(self.x[0])}</text>')
        middle = top + HEIGHT / 2
        put(f'<text x="{left - 46}" y="{middle}" text-anchor="middle" '
            f'transform="rotate(-90 {left - 46} {middle})">{html.escape(self.y[0])}</text>')

    def dot(self, panel, x, y, colour, radius=5, label=""):
        px, py = self.place(panel, x, y)
        self.parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{radius}" fill="{colour}" '
                          f'fill-opacity="0.85"><title>{html.escape(label)}</title></circle>')

    def line(self, panel, points, colour, dash=""):
        path = " ".join(f"{'L' if i else 'M'}{px:.1f} {py:.1f}" for i, (px, py) in
                        enumerate(self.place(panel, x, y) for x, y in points))
        self.parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.8" '
                          f'stroke-dasharray="{dash}"/>')

    def save(self, path):
        path.write_text("\n".join(self.parts) + "\n</svg>\n")
        print(path)


def padded(values, log=False):
    low, high = min(values), max(values)
    if log:
        return low / 1.15, high * 1.15
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1
    return max(0.0, low - room), high + room


def plot_model(folder, model, traces, runs, rows):
    policies = list(dict.fromkeys(run["policy"] for trace in traces for run in runs[trace]))
    colours = {p: COLOURS[i % len(COLOURS)] for i, p in enumerate(policies)}
    legend = list(colours.items())
    mine = [row for row in rows if row["model"] == model]
    whose = f'{mine[0]["energy_boundary"]}, {mine[0]["energy_origin"]}'

    shown = [row for row in mine if row["mean_energy_j"] == row["mean_energy_j"]]
    plot = Plot(f"{model}: energy against misses", len(traces),
                ("requests late or lost, %", *padded([r["missed_percent"] for r in shown]), False),
                (f"mean energy, J ({whose})", *padded([r["mean_energy_j"] for r in shown]), False),
                legend)
    for panel, trace in enumerate(traces):
        plot.frame(panel, trace)
        for row in shown:
            if row["trace"] == trace:
                plot.dot(panel, row["missed_percent"], row["mean_energy_j"], colours[row["policy"]],
                         6, f'{row["policy"]}: {row["missed_percent"]:.1f} %, '
                            f'{row["mean_energy_j"]:.4g} J')
    plot.save(folder / f"{model}.energy.svg")

    latencies = {(t, r["policy"]): sorted(1e3 * o["latency_s"] for o in r["requests"]
                                          if not o["error"]) for t in traces for r in runs[t]}
    everything = [v for values in latencies.values() for v in values]
    plot = Plot(f"{model}: latencies", len(traces),
                ("latency, ms", *padded(everything, True), True),
                ("share of requests", 0.0, 1.0, False), legend)
    for panel, trace in enumerate(traces):
        plot.frame(panel, trace)
        for policy in policies:
            values = latencies.get((trace, policy), [])
            steps = [(v, (i + 1) / len(values)) for i, v in enumerate(values)]
            if steps:
                plot.line(panel, [(steps[0][0], 0.0)] + steps, colours[policy])
    plot.save(folder / f"{model}.latency.svg")

    first = {t: next((r for r in runs[t] if r["policy"] == "cleave"), runs[t][0]) for t in traces}
    longest = max(len(r["requests"]) for r in first.values())
    plot = Plot(f"{model}: where {first[traces[0]]['policy']} ran its requests", len(traces),
                ("request", 0.0, float(max(longest, 2)), False),
                ("latency over deadline", 0.05, 5.0, True), list(KINDS.items()))
    for panel, trace in enumerate(traces):
        plot.frame(panel, trace)
        plot.line(panel, [(0, 1), (longest, 1)], "#444", "4 3")
        for i, o in enumerate(first[trace]["requests"]):
            ratio = 5.0 if o["error"] else o["latency_s"] / o["deadline_s"]
            plot.dot(panel, i + 1, ratio, KINDS[o["decided"]], 2 if longest > 200 else 3, o["label"])
    plot.save(folder / f"{model}.decisions.svg")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    logs = {}
    for path in sorted(folder.glob("run.*.*.json")):
        _, model, trace, _ = path.name.rsplit(".", 3)
        document = json.loads(path.read_text())
        if document.get("format") != "cleave-runs":
            sys.exit(f"{path}: not a log of cleave run")
        logs.setdefault(model, {})[trace] = document["runs"]
    if not logs:
        sys.exit(f"{folder}: no run.MODEL.TRACE.json (scripts/live.sh writes them)")
    rows = [summary(model, trace, run)
            for model, runs in logs.items() for trace, of in runs.items() for run in of]
    with (folder / "table.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    lines = [f'Energy: {rows[0]["energy_boundary"]}, {rows[0]["energy_origin"]}.', "",
             "| model | trace | policy | requests | missed | mean energy | median | p95 | edge / split "
             "/ cloud | fell back | configurations |", "|" + " --- |" * 11]
    for r in rows:
        lines.append(
            f'| {r["model"]} | {r["trace"]} | {r["policy"]} | {r["requests"]} | {r["missed"]} '
            f'({r["missed_percent"]:.1f} %) | {r["mean_energy_j"]:.4g} J | '
            f'{r["median_latency_ms"]:.1f} ms | {r["p95_latency_ms"]:.1f} ms | {r["on_edge"]} / '
            f'{r["split"]} / {r["in_cloud"]} | {r["fell_back"]} | {r["configurations"]} |')
    (folder / "table.md").write_text("\n".join(lines) + "\n")
    print(folder / "table.csv")
    print(folder / "table.md")
    for model, runs in logs.items():
        plot_model(folder, model, list(runs), runs, rows)


main()
