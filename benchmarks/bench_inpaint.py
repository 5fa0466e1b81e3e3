"""Filling: seconds, gigabytes and accuracy, beside what is aimed at and what was published.

    python benchmarks/bench_inpaint.py [--network FILE] [--paper FILE] [--scan FILE.npz] [--full] [--out FOLDER]
                                       [--parts 12345] [--edge 64]

1. start-up: ``braggfill --help``, and a new process until its first voxels are filled;
2. 128 x 128 x 128 voxels with a 6 px cross: every method, patches 16, 9 and 5 voxels apart, and a GPU where there is
   one;
3. the same with ``method="paper"``, 0 and 4 voxels skipped, and their ratio (a sample of the patches of skip 0, scaled
   to their number, unless --full);
4. large scans: 256 x 300 x 300 with a 6 px cross, and with --full 512 x 512 x 300 with a 38 px cross;
5. error and time against skip (supplement, Figs S10 to S12), of ``paper`` with --paper and of ``braggfill``: a table,
   and a figure in --out. One voxel apart (skip 0) is what the others must reach; ``braggfill`` has skip 8 by default.

Without --network the one that comes with the package is taken, or where none does one with random weights, and then
the errors of part 5 mean nothing.  Without --scan a facetted crystal is simulated.  Each row is a process of its own,
on all the processors, so its memory is its own.  Beside the seconds stand those of all the processors together (CPU),
which other programs on the machine change less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TOP = Path(__file__).resolve().parents[1]
SKIPS = (0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 30)
PUBLISHED = "published, on a V100: 716 s and 91 s, 7.9 times"


def pattern(shape: tuple[int, ...], scan: str | None) -> np.ndarray:
    """Counts of the given shape around the brightest voxel of a scan, or of a simulated cuboid crystal."""
    if scan:
        with np.load(scan, allow_pickle=False) as file:
            counts = file[file.files[0]]
        peak = np.unravel_index(int(counts.argmax()), counts.shape)
        first = [max(0, min(p - n // 2, m - n)) for p, n, m in zip(peak, shape, counts.shape, strict=True)]
        return counts[tuple(slice(f, f + n) for f, n in zip(first, shape, strict=True))]
    amplitude = 1000.0
    for axis, (n, width) in enumerate(zip(shape, (0.11, 0.17, 0.13), strict=True)):
        line = np.sinc(width * (np.arange(n) - n // 2 + 0.2)).astype(np.float32)
        amplitude = amplitude * line.reshape([-1 if a == axis else 1 for a in range(3)])
    return np.random.default_rng(0).poisson(amplitude**2 + 0.02).astype(np.int32)


def fill(task: dict) -> dict:
    """One filling in this process: seconds without loading, peak memory, accuracy; see :func:`measured`."""
    import torch
    from braggfill import filling, networks
    from braggfill.filling import methods
    from braggfill.patterns import gaps

    torch.manual_seed(0)
    name, file = task.get("method", "braggfill"), task.get("file")
    network = None
    if name in methods.WITH_NETWORK:
        file = file or (networks.shipped(name) if networks.is_shipped(name) else None)
        network = networks.load(file) if file else networks.build(name).eval()
    shape = tuple(task["shape"])
    counts = pattern(shape, task.get("scan"))
    # The arms lie 13 and 16 voxels from the middle.
    starts = [shape[a] // 2 + off - task["width"] // 2 for a, off in ((1, 13), (2, 16))]
    mask = gaps.cross(shape, task["width"], starts)[0]
    options = {k: task[k] for k in ("step", "skip", "device") if k in task}
    if task.get("warm"):
        filling.inpaint(counts[:32, :40, :40], gaps.plane((40, 40), 4, axis=1), method=name, network=network, **options)
    start, used = time.perf_counter(), time.process_time()
    filled = filling.inpaint(counts, mask, method=name, network=network, **options)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    truth, found = (np.log1p(a[:, mask].astype(np.float64)) for a in (counts, filled.data))
    return {
        "seconds": seconds,
        "cpu": used,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "pcc": float(np.corrcoef(truth.ravel(), found.ravel())[0, 1]),
        "error": float(np.abs(truth - found).mean()),
        "gap": found.reshape(shape[0], -1)[:, : shape[1]].tolist() if task.get("keep") else None,
    }


def sample(task: dict) -> dict:
    """Seconds of a whole sliding, from some batches of patches times their number."""
    import torch
    from braggfill import networks

    torch.manual_seed(0)
    network = networks.build("paper").eval().to(memory_format=torch.channels_last_3d)
    x, m = torch.rand(32, 32, 32, 32), torch.zeros(32, 32, 32, 32, dtype=torch.bool)
    m[..., 13:19] = True
    with torch.inference_mode():
        network.predict(x, m)
        start, used = time.perf_counter(), time.process_time()
        for _ in range(task["batches"]):
            network.predict(x, m)
    share = task["batches"] * 32 / (2 * (task["shape"][0] - 32 + 1) ** 2)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    return {"seconds": seconds / share, "cpu": used / share, "patches": round(task["batches"] * 32 / share)}


def measured(kind: str, **task: object) -> dict:
    """What a process of its own returns."""
    command = [sys.executable, __file__, "--task", kind, json.dumps(task)]
    out = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""})
    if out.returncode:
        raise SystemExit(out.stderr[-2000:])
    return json.loads(out.stdout.splitlines()[-1])


def start_up() -> None:
    script = (
        "import numpy as np, braggfill; from braggfill import networks;"
        "mask = np.zeros((64, 64), bool); mask[:, 29:35] = True;"
        "counts = np.random.default_rng(0).poisson(9, (32, 64, 64));"
        "braggfill.inpaint(counts, mask, network={!r})"
    )
    from braggfill import networks

    print(f"{'start-up':44}{'seconds':>9}{'CPU':>9}{'aim':>8}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.safetensors"
        networks.save(file, networks.build("braggfill"))
        for name, arguments, aim in (
            ("braggfill --help", ["-m", "braggfill", "--help"], 0.5),
            ("a new process, first voxels filled", ["-c", script.format(str(file))], 4.0),
        ):
            times, used = [], []
            for _ in range(3):
                start, before = time.perf_counter(), _children()
                subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
                times.append(time.perf_counter() - start)
                used.append(_children() - before)
            print(f"{name:44}{min(times):9.2f}{min(used):9.2f}{aim:8.1f}", flush=True)


def _children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def cube(choices: argparse.Namespace) -> None:
    import torch

    shape = [128] * 3
    print(f"\n{'128 x 128 x 128, 6 px cross':44}{'seconds':>9}{'CPU':>9}{'aim':>8}{'GB':>7}{'PCC':>8}")
    rows = [(f"braggfill, {step} apart", {"step": step, "file": choices.network, "warm": True}) for step in (16, 9, 5)]
    rows += [(m, {"method": m}) for m in ("linear", "cubic", "nearest", "idw", "biharmonic")]
    if torch.cuda.is_available():
        rows.insert(0, ("braggfill, GPU", {"device": "cuda", "file": choices.network, "warm": True}))
    for name, options in rows:
        got = measured("fill", shape=shape, width=6, scan=choices.scan, **options)
        aim = 1 if "GPU" in name else 10 if "braggfill" in name else float("nan")
        times = f"{got['seconds']:9.2f}{got['cpu']:9.2f}{aim:8.0f}"
        print(f"{name:44}{times}{got['gigabytes']:7.2f}{got['pcc']:8.4f}", flush=True)


def paper(choices: argparse.Namespace) -> None:
    print(f"\n{'method paper (' + PUBLISHED + ')':72}")
    common = {"shape": [128] * 3, "width": 6, "scan": choices.scan, "method": "paper", "file": choices.paper}
    some = measured("fill", skip=4, warm=True, **common)
    print(f"{'':44}{'seconds':>9}{'CPU':>9}\n{'skip 4':44}{some['seconds']:9.1f}{some['cpu']:9.1f}", flush=True)
    if choices.full:
        every, how = measured("fill", skip=0, warm=True, **common), ""
    else:
        every = measured("sample", shape=[128] * 3, batches=6)
        how = f" (192 of {every['patches']} patches, scaled)"
    print(f"{'skip 0' + how:44}{every['seconds']:9.1f}{every['cpu']:9.1f}")
    print(f"{'ratio':44}{every['seconds'] / some['seconds']:9.1f}{every['cpu'] / some['cpu']:9.1f}")


def large(choices: argparse.Namespace) -> None:
    print(f"\n{'large scans':44}{'seconds':>9}{'CPU':>9}{'aim':>8}{'GB':>7}{'aim':>7}")
    cases = [([256, 300, 300], 6, 60, 4)]
    cases += [([300, 512, 512], 6, float("nan"), 8), ([300, 512, 512], 38, float("nan"), 8)] if choices.full else []
    for shape, width, seconds, gigabytes in cases:
        got = measured("fill", shape=shape, width=width, file=choices.network)
        name = " x ".join(map(str, shape)) + f", {width} px cross"
        times = f"{got['seconds']:9.1f}{got['cpu']:9.1f}{seconds:8.0f}"
        print(f"{name:44}{times}{got['gigabytes']:7.2f}{gigabytes:7.0f}", flush=True)


def skips(choices: argparse.Namespace) -> None:
    for method in (["paper"] if choices.paper else []) + ["braggfill"]:
        _skips(choices, method)


def _skips(choices: argparse.Namespace, method: str) -> None:
    edge = choices.edge
    title = f"{method}, {edge} x {edge} x {edge}, 6 px cross"
    print(f"\n{title:34}{'skip':>10}{'seconds':>9}{'CPU':>9}{'error':>9}{'PCC':>9}")
    common = {"shape": [edge] * 3, "width": 6, "scan": choices.scan, "method": method, "warm": True, "keep": True}
    rows = []
    for skip in SKIPS:
        how = {"skip": skip} if method == "paper" else {"step": skip + 1}
        got = measured("fill", file=choices.paper if method == "paper" else choices.network, **how, **common)
        rows.append((skip, got))
        times = f"{got['seconds']:9.2f}{got['cpu']:9.2f}"
        print(f"{'':34}{skip:10}{times}{got['error']:9.4f}{got['pcc']:9.4f}", flush=True)
    if choices.out:
        _draw(rows, method, edge, Path(choices.out))


def _draw(rows: list, method: str, edge: int, folder: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    skip = [k for k, _ in rows]
    fig, axes = plt.subplots(2, 3, figsize=(10, 6.2), layout="constrained")
    shown = (("cpu", "time of all processors (s)"), ("error", "mean |error| of log(1 + I)"))
    for ax, (key, label) in zip(axes[0], shown, strict=False):
        ax.plot([k + 1 for k in skip], [got[key] for _, got in rows], "o-")
        ax.set(xlabel="voxels from patch to patch (skip + 1)", ylabel=label, xscale="log")
    axes[0, 0].set_yscale("log")
    axes[0, 2].plot([k + 1 for k in skip], [got["pcc"] for _, got in rows], "o-")
    axes[0, 2].set(xlabel="skip + 1", ylabel="PCC in the gap", xscale="log")
    for ax, wanted in zip(axes[1], (0, 4, 30), strict=True):
        ax.imshow(np.array(dict(rows)[wanted]["gap"]), origin="lower", aspect="auto")
        ax.set(title=f"filled, skip {wanted}", xlabel="along the gap", ylabel="rocking")
    fig.suptitle(f"method {method}, {edge}³ voxels, 6 px cross")
    fig.savefig(folder / f"skip_{method}.png", dpi=120)
    print(f"{folder / f'skip_{method}.png'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", help="weights of a braggfill network")
    parser.add_argument("--paper", help="weights of a paper network")
    parser.add_argument("--scan", help="NPZ of counts")
    parser.add_argument("--full", action="store_true", help="every patch of skip 0, the largest scan (an hour)")
    parser.add_argument("--out", help="folder for the figure")
    parser.add_argument("--parts", default="12345", help="which parts, e.g. 24")
    parser.add_argument("--edge", type=int, default=64, help="of the pattern of part 5 (default 64)")
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)
    choices = parser.parse_args()
    if choices.task:
        kind, task = choices.task
        print(json.dumps({"fill": fill, "sample": sample}[kind](json.loads(task))))
        return
    parts = (lambda _: start_up(), cube, paper, large, skips)
    for number, part in enumerate(parts, start=1):
        if str(number) in choices.parts:
            part(choices)


if __name__ == "__main__":
    main()
