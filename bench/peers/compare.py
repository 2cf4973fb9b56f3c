#!/usr/bin/env python3
"""Whole passes in cleave and in ONNX Runtime, on the same files, each run in a process of its own,
in turn and in alternating order. Prints a table, the ratio of every pair's medians, and the
geometric means of the ratios.

    compare.py [--threads 1,2] [--rounds 5] [--seconds 2] [--models NAME,...] [--build FOLDER]
    compare.py --calm [...]

A row's times are the medians over the rounds of each run's median; its ratio is the median over the
rounds of that round's ratio, in which both runs saw the same machine; "least" is the ratio of the
two least times seen, which a disturbance changes least.

--calm: instead, how a pass fares beside one busy process, on as many threads as there are
processors: the 95th percentile over the median of a quiet run before it. OpenMP threads wait as
they do under `cleave`, then as libgomp has it by default.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(os.path.dirname(here))
waiting = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "5000"}  # as `cleave` sets them
exported = ["mobilenet_v2", "resnet50", "vgg16", "vit_b_16"]


def run(command, **environment):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode != 0:
        sys.exit(f"compare.py: {' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def calm(names, place_of, options, peers):
    threads = os.cpu_count()
    print(f"{'model':14} {'runtime':16} {'threads':>7} {'quiet median ms':>16} "
          f"{'p95 beside one':>15} {'ratio':>7}", flush=True)
    for name in names:
        path, sizes = place_of(name)
        for peer, run_peer in peers.items():
            first = run_peer(path, sizes, threads, 3)
            passes = max(20, round(options.seconds * 1e3 / first["median_ms"]))
            ratios, quiet, busy = [], [], []
            for _ in range(options.rounds):
                quiet.append(run_peer(path, sizes, threads, passes)["median_ms"])
                other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                try:
                    busy.append(run_peer(path, sizes, threads, passes)["p95_ms"])
                finally:
                    other.kill()
                    other.wait()
                ratios.append(busy[-1] / quiet[-1])
            print(f"{name:14} {peer:16} {threads:7} {statistics.median(quiet):16.2f} "
                  f"{statistics.median(busy):15.2f} {statistics.median(ratios):7.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="about so long a run")
    parser.add_argument("--models", default=",".join(exported + ["detypify"]))
    parser.add_argument("--build", default=os.path.join(root, "build", "release"))
    parser.add_argument("--calm", action="store_true", help="beside a busy process")
    options = parser.parse_args()
    if options.calm and options.models == parser.get_default("models"):
        options.models = "resnet50"

    names = options.models.split(",")
    subprocess.run([os.path.join(root, "scripts", "peers.sh")], check=True)
    peers = os.path.join(root, "build", "peers")
    modules = os.path.join(peers, "node_modules")
    models = os.path.join(peers, "models")
    # Not the first python3 on the path, which need not be the one that Debian's torch belongs to.
    subprocess.run(["/usr/bin/python3", os.path.join(here, "export.py"), models,
                    *[name for name in names if name != "detypify"]], check=True)
    bench = os.path.join(options.build, "bench", "cleave_bench_whole")
    if not os.path.exists(bench):
        sys.exit(f"compare.py: there is no {bench}; build it: cmake --build --preset release")

    def cleave(path, sizes, threads, passes, **environment):
        return run([bench, path, "--input", sizes, "--threads", str(threads), "--passes",
                    str(passes)], **(environment or waiting))

    def onnxruntime(path, sizes, threads, passes):
        return run(["node", os.path.join(here, "onnxruntime.mjs"), modules, path, sizes,
                    str(threads), str(passes)])

    def place_of(name):
        if name == "detypify":
            return os.path.join(modules, "detypify-service", "train", "model.onnx"), "1x1x224x224"
        return os.path.join(models, name + ".onnx"), "1x3x224x224"

    if options.calm:
        calm(names, place_of, options, {
            "cleave": cleave,
            "libgomp default": lambda *given: cleave(*given, UNUSED=""),
            "ONNX Runtime": onnxruntime,
        })
        return
    print(f"{'model':14} {'threads':>7} {'cleave ms':>10} {'ORT ms':>10} {'ratio':>7} {'least':>7}",
          flush=True)
    for threads in [int(t) for t in options.threads.split(",")]:
        ratios, leasts = [], []
        for name in names:
            path, sizes = place_of(name)
            # The first run of cleave also chooses kernels and writes them down.
            first = cleave(path, sizes, threads, 3)
            passes = max(5, min(500, round(options.seconds * 1e3 / first["median_ms"])))
            rounds = []
            for i in range(options.rounds):
                pair = [cleave, onnxruntime] if i % 2 == 0 else [onnxruntime, cleave]
                results = {peer["runtime"]: peer
                           for peer in [run_peer(path, sizes, threads, passes) for run_peer in pair]}
                rounds.append((results["cleave"], results["onnxruntime"]))
            ratio = statistics.median(a["median_ms"] / b["median_ms"] for a, b in rounds)
            least = min(a["least_ms"] for a, _ in rounds) / min(b["least_ms"] for _, b in rounds)
            ratios.append(ratio)
            leasts.append(least)
            ours = statistics.median(a["median_ms"] for a, _ in rounds)
            theirs = statistics.median(b["median_ms"] for _, b in rounds)
            print(f"{name:14} {threads:7} {ours:10.2f} {theirs:10.2f} {ratio:7.3f} {least:7.3f}",
                  flush=True)
        mean = [math.exp(statistics.fmean(math.log(r) for r in values)) for values in (ratios, leasts)]
        print(f"{'geometric mean':14} {threads:7} {'':10} {'':10} {mean[0]:7.3f} {mean[1]:7.3f}",
              flush=True)


main()
