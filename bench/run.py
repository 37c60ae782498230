"""All benchmarks, ours and the peer's in turns on one machine: run.py RELEASE_BUILD VENV OUTPUT.md

RELEASE_BUILD: folder with the program, bench_steps and bench_traffic; VENV: environment with PyTorch and
diffusers. Every figure is the median of ROUNDS rounds, a ratio that of the rounds' own ratios, with its
least and largest. `make bench` does it all."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS, PASSES, IMAGES, NFE = 5, 5, 64, 10


def lines_of(command):
    """The JSON objects that a command prints, one to a line."""
    done = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def cost_of(command):
    """Wall seconds, peak MiB and standard output of a whole process."""
    began = time.perf_counter()
    child = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    output = child.stdout.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"bench: {' '.join(map(str, command))} ended with status {status}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024, output


def widest_instructions():
    flags = Path("/proc/cpuinfo").read_text()
    return next((f for f in ("avx512_bf16", "avx512f", "avx2") if f in flags), "no AVX2")


def spread(values):
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


class Bench:
    def __init__(self, build, venv, folder):
        self.build, self.python, self.folder = Path(build), Path(venv) / "bin" / "python", Path(folder)
        self.page, self.aims = [], []

    def say(self, *lines):
        self.page += [*lines, ""]

    def aim(self, what, aim, rounds):
        """What was aimed at, beside the median of a ratio in all rounds."""
        self.aims.append((what, aim, statistics.median(rounds)))

    def round(self, number, what):
        print(f"\rbench: {what}, round {number + 1} of {ROUNDS} ", end="", file=sys.stderr)

    def steps(self):
        ours, theirs = [], []
        for i in range(ROUNDS):
            self.round(i, "steps")
            ours.append({(r["shape"], r["solver"]): r["microseconds"]
                         for r in lines_of([self.build / "bench_steps", PASSES])})
            theirs.append({(r["shape"], r["solver"]): r["microseconds"]
                           for r in lines_of([self.python, ROOT / "bench" / "peer_steps.py", PASSES])})
        self.say("## One step of a sampler, without the network",
                 "", "Microseconds; float32 states. Ours holds a copy of the output by the callback and the "
                 "check for numbers that are not finite, too.", "",
                 "| state | solver | driftless | diffusers | ratio |", "|---|---|---|---|---|",
                 *(f"| {shape} | `{solver}` | {spread([r[shape, solver] for r in ours])} | " +
                   (f"{spread([r[shape, solver] for r in theirs])} | "
                    f"{spread([t[shape, solver] / o[shape, solver] for o, t in zip(ours, theirs)])} |"
                    if (shape, solver) in theirs[0] else "| |") for shape, solver in ours[0]))

        for shape, aim in {"1x2": 20, "1x3x32x32": 20, "64x3x32x32": 10}.items():
            solvers = [key for key in theirs[0] if key[0] == shape]
            worst = min(solvers, key=lambda key: statistics.median(t[key] / o[key] for o, t in zip(ours, theirs)))
            self.aim(f"a step at {shape}, least of the solvers (`{worst[1]}`)", aim,
                     [t[worst] / o[worst] for o, t in zip(ours, theirs)])

    def traffic(self):
        rounds = []
        for i in range(ROUNDS):
            self.round(i, "traffic")
            rounds.append(lines_of([self.build / "bench_traffic", PASSES]))
        self.say("## Memory traffic of the fused sum",
                 "", "GB/s, read and written together, one thread; the measure is memcpy moving as many bytes. Sums run "
                 "in float64: within the cache, float32 waits for its conversion, not for memory.",
                 "", "| numbers in an array | type | sources | sum | memcpy | share |", "|---|---|---|---|---|---|",
                 *(f"| {rows[0]['numbers']} | float{rows[0]['bits']} | {rows[0]['sources']} | "
                   f"{spread([r['sum_gb_s'] for r in rows])} | {spread([r['copy_gb_s'] for r in rows])} | "
                   f"{spread([r['sum_gb_s'] / r['copy_gb_s'] for r in rows])} |" for rows in zip(*rounds)))
        for size, bits in dict.fromkeys((row["numbers"], row["bits"]) for row in rounds[0]):
            shares = [[r["sum_gb_s"] / r["copy_gb_s"] for r in rows] for rows in zip(*rounds)
                      if (rows[0]["numbers"], rows[0]["bits"]) == (size, bits)]
            self.aim(f"share of memcpy, arrays of {size} numbers in float{bits}, least", 0.7,
                     min(shares, key=statistics.median))

    def samples(self):
        checkpoint, model, cache, grid = (self.folder / name for name in ("network.pt", "model", "cache", "grid.png"))
        subprocess.run([self.python, ROOT / "bench" / "peer_network.py", checkpoint, model], check=True)
        command = [self.build / "driftless", "sample", model, "-n", IMAGES, "--solver",
                   "deis:kind=lograb,order=2", "--nfe", NFE, "--microbatch", 32, "--model-cache", cache, "-q",
                   "--json", "-", "-o", grid]
        peer = [self.python, ROOT / "bench" / "peer_sample.py", checkpoint, IMAGES, NFE, self.folder / "peer.png"]
        sides = [command, peer] + ([[*command, "--precision", "bf16"]] if widest_instructions() == "avx512_bf16" else [])
        for words in sides:
            cost_of(words)
        rate, whole, memory = ([[] for _ in sides] for _ in range(3))
        for i in range(ROUNDS):
            self.round(i, "samples")
            for side, words in enumerate(sides):
                seconds, peak, output = cost_of(words)
                result = json.loads(output)
                rate[side].append(result["images_per_second" if words is peer else "samples_per_second"])
                whole[side].append(seconds)
                memory[side].append(peak)
        table = [("images per second, loaded", rate, 0, False), ("whole process, seconds", whole, 0, True),
                 ("peak memory, MiB", memory, 0, True)]
        if len(sides) > 2:
            table.append(("images per second, loaded, driftless in bf16", rate, 2, False))
        ratios = {name: [y / x if less else x / y for x, y in zip(values[ours], values[1])]
                  for name, values, ours, less in table}
        self.say(f"## {IMAGES} images, {NFE} evaluations each",
                 "", "The network of `models/fashion-vp` (2.08 M parameters, 28x28), ONNX in driftless (compiled network "
                 "in the cache), the same module in PyTorch with diffusers' DEISMultistepScheduler; two threads, "
                 "float32 but where bf16 is said, a PNG at the end. Ratio above 1: driftless is better.", "",
                 "| | driftless | PyTorch and diffusers | ratio |", "|---|---|---|---|",
                 *(f"| {name} | {spread(values[ours])} | {spread(values[1])} | {spread(ratios[name])} |"
                   for name, values, ours, _ in table))
        for (name, rounds), aim in zip(ratios.items(), (2, 5, None, 3)):
            if aim:
                self.aim(name, aim, rounds)

    def verdicts(self):
        self.say("## What was aimed at", "", "| ratio | aim | measured | |", "|---|---|---|---|",
                 *(f"| {what} | {aim} | {found:.3g} | {'met' if found >= aim else '**missed**'} |"
                   for what, aim, found in self.aims))

    def heading(self):
        versions = "; ".join(
            subprocess.run([python, "-c", "import sys, importlib.metadata as m; "
                            "print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))", *names],
                           check=True, capture_output=True, text=True).stdout.strip()
            for python, names in ((self.python, ("torch", "diffusers")),
                                  (ROOT / "build" / "venv" / "bin" / "python", ("openvino",))))
        cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                    if line.startswith("model name")), platform.processor())
        ours = subprocess.run([self.build / "driftless", "version"], check=True, capture_output=True,
                              text=True).stdout.strip()
        self.say("# Benchmarks", "", f"Made by `make bench` on {time.strftime('%Y-%m-%d')}: {ours}, {versions}; {cpu}, "
                 f"{os.cpu_count()} cores, {widest_instructions()}. Each figure is the median of {ROUNDS} rounds in which both sides "
                 "ran in turns (least to largest in brackets); a ratio is the median of the rounds' ratios.")


def main():
    build, venv, output = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(build, venv, folder)
        bench.heading()
        for part in (bench.steps, bench.traffic, bench.samples, bench.verdicts):
            part()
            print("\r\033[K", end="", file=sys.stderr)
    Path(output).write_text("\n".join(bench.page))


if __name__ == "__main__":
    main()
