"""Networks: what a training step and a filled scan cost, the default network against the published one.

Two tables, each from one run, so that their ratios hold on any machine:

1. parameters, GFLOP of a 32³ patch forward, megabytes a patch that a training step keeps for its backward pass,
   milliseconds of a patch forward and of a training step with the network's own loss, batches in channels-last
   layout; the networks take turns, repetition by repetition, and medians and the median of the ratios are told, so that
   a machine that is busy with something else falsifies little;
2. seconds and gigabytes to fill a 128³ scan with a 6 px cross, and a large one with --large (512 x 512 x 300).

Usage: bench_networks.py [--quick] [--large] [--batch 16] [--repeat 7] [--threads 1 2] [--device cpu]
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from braggfill import filling, networks
from braggfill.learning.gap import losses
from braggfill.patterns import gaps
from torch.utils.flop_counter import FlopCounterMode

NETWORKS = (
    ("paper", {}),
    ("braggfill", {}),
    ("braggfill", {"channels": [16, 32, 64]}),
    ("braggfill", {"channels": [8, 16, 32]}),
)


@dataclass
class Bench:
    """One network and what was measured of it."""

    label: str
    network: torch.nn.Module
    step: Callable[[], None]
    forward: Callable[[], None]
    times: dict[str, list[float]] = field(default_factory=lambda: {"step": [], "forward": []})


def prepared(name: str, options: dict, logs: torch.Tensor, masks: torch.Tensor) -> Bench:
    """The network with its own loss and optimizer."""
    torch.manual_seed(0)
    network = networks.build(name, **options).to(logs.device, memory_format=torch.channels_last_3d)
    optimizer = torch.optim.Adam(network.parameters())
    weights = options(name).loss

    def step() -> None:
        optimizer.zero_grad()
        mean, log_variance = network.predict(logs, masks)
        losses.total(weights, mean, log_variance, logs, logs, logs, masks).backward()
        optimizer.step()

    def forward() -> None:
        with torch.inference_mode():
            network.predict(logs, masks)

    return Bench(" ".join([name, *("-".join(map(str, v)) for v in options.values())]), network, step, forward)


def seconds(compute: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    compute()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def kept(bench: Bench, logs: torch.Tensor, masks: torch.Tensor) -> int:
    """Bytes that the backward pass needs of the forward pass, weights left out, each memory counted once."""
    own = {p.data_ptr() for p in bench.network.parameters()}
    found: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if tensor.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        mean, _ = bench.network.predict(logs, masks)
        total = sum(found.values())
        mean.sum().backward()  # the graph, and with it every tensor, lives until here
    bench.network.zero_grad()
    return total


def steps(batch: int, repeat: int, every: list[int], device: torch.device) -> None:
    masks = torch.from_numpy(gaps.draw(np.random.default_rng(0), batch).masks()).to(device)
    logs = (torch.rand(batch, 32, 32, 32, generator=torch.Generator().manual_seed(0)) * 5).to(device)
    head = f"{'network':24}{'parameters':>11}{'GFLOP':>7}{'kept MB':>9}{'threads':>9}{'forward ms':>12}{'step ms':>9}"
    print(f"batches of {batch}, {device}, medians of {repeat}; ratios: the first network's time over the network's")
    print(head + f"{'forward ratio':>15}{'step ratio':>12}")
    for threads in every:
        torch.set_num_threads(threads)
        benches = [prepared(name, options, logs, masks) for name, options in NETWORKS]
        for bench in benches:  # once that does not count
            bench.step(), bench.forward()
        for _ in range(repeat):
            for kind in ("step", "forward"):
                for bench in benches:
                    bench.times[kind].append(seconds(getattr(bench, kind), device))
        for bench in benches:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                bench.network.predict(logs[:1], masks[:1])
            ratio = {k: np.median(np.divide(benches[0].times[k], bench.times[k])) for k in bench.times}
            took = {k: np.median(v) / batch * 1e3 for k, v in bench.times.items()}
            number = sum(p.numel() for p in bench.network.parameters())
            print(
                f"{bench.label:24}{number:11,}{counter.get_total_flops() / 1e9:7.2f}"
                f"{kept(bench, logs, masks) / batch / 1e6:9.1f}{threads:9}{took['forward']:12.1f}{took['step']:9.1f}"
                f"{ratio['forward']:15.2f}{ratio['step']:12.2f}",
                flush=True,
            )


def scans(large: bool) -> None:
    network = networks.build("braggfill").eval()
    print(f"\n{'scan':20}{'method':12}{'seconds':>9}{'peak GB':>9}")
    for shape in [(128, 128, 128), *([(512, 512, 300)] if large else [])]:
        counts = np.random.default_rng(0).poisson(3.0, shape).astype(np.int32)
        mask = gaps.cross(shape, 6)
        for method in ("linear", "braggfill"):
            start = time.perf_counter()
            filling.inpaint(counts, mask, method=method, network=network)
            took = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"{' x '.join(map(str, shape)):20}{method:12}{took:9.2f}{peak:9.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one repetition, small batches")
    parser.add_argument("--large", action="store_true", help="also fill 512 x 512 x 300 voxels")
    parser.add_argument("--batch", type=int, default=16, help="patches a step (16)")
    parser.add_argument("--repeat", type=int, default=7, help="repetitions behind each median (7)")
    parser.add_argument("--threads", type=int, nargs="+", help="of the processor (1 and all)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; the scans are filled on either (cpu)")
    parser.add_argument("--no-scans", action="store_true", help="the first table only")
    choices = parser.parse_args()
    threads = choices.threads or sorted({1, os.cpu_count() or 1})
    size = (4, 1) if choices.quick else (choices.batch, choices.repeat)
    steps(*size, threads, torch.device(choices.device))
    if not choices.no_scans:
        scans(choices.large)
