"""Networks: what a training step and a filled scan cost, the default network against the published one.

Two tables, each from one run, so that their ratios hold on any machine:

1. parameters, GFLOP of a 32³ portion forward, milliseconds of a portion forward and of a training step, for one thread
   and for all;
2. seconds and gigabytes to fill a 128³ scan with a 6 px cross, and a large one with --large (512 x 512 x 300).

Usage: bench_networks.py [--quick] [--large]
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from braggfill import filling, gaps, losses, networks
from torch.utils.flop_counter import FlopCounterMode

NETWORKS = (
    ("paper", {}),
    ("braggfill", {"channels": [32, 64, 128]}),
    ("braggfill", {"channels": [16, 32, 64]}),
    ("braggfill", {"channels": [8, 16, 32]}),
)


def best(compute: Callable[[], object], times: int) -> float:
    """Shortest wall time in seconds, after one call that does not count."""
    compute()
    shortest = np.inf
    for _ in range(times):
        start = time.perf_counter()
        compute()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def steps(batch: int, times: int) -> None:
    masks = torch.from_numpy(gaps.draw(np.random.default_rng(0), batch).masks())
    logs = torch.rand(batch, 32, 32, 32) * 5
    print(f"{'network':24}{'parameters':>11}{'GFLOP':>7}{'threads':>9}{'forward ms':>12}{'step ms':>9}{'ratio':>7}")
    for threads in sorted({1, os.cpu_count() or 1}):
        torch.set_num_threads(threads)
        reference = None
        for name, options in NETWORKS:
            network = networks.build(name, **options).to(memory_format=torch.channels_last_3d)
            optimizer = torch.optim.Adam(network.parameters())

            def step(network=network, optimizer=optimizer):
                optimizer.zero_grad()
                losses.mse(network.predict(logs, masks)[0], logs, masks).backward()
                optimizer.step()

            with FlopCounterMode(display=False) as counter, torch.no_grad():
                network.predict(logs[:1], masks[:1])
            with torch.inference_mode():
                forward = best(lambda network=network: network.predict(logs, masks), times) / batch * 1e3
            whole = best(step, times) / batch * 1e3
            reference = reference or whole
            label = f"{name} {'-'.join(map(str, options.get('channels', [])))}"
            number = sum(p.numel() for p in network.parameters())
            flops = counter.get_total_flops() / 1e9
            print(f"{label:24}{number:11,}{flops:7.2f}{threads:9}{forward:12.1f}{whole:9.1f}{reference / whole:7.2f}")


def scans(large: bool) -> None:
    network = networks.build("braggfill").eval()
    print(f"\n{'scan':20}{'method':12}{'seconds':>9}{'peak GB':>9}")
    for shape in [(128, 128, 128), *([(512, 512, 300)] if large else [])]:
        counts = np.random.default_rng(0).poisson(3.0, shape).astype(np.int32)
        mask = gaps.cross(shape, 6)
        for method in ("linear", "braggfill"):
            start = time.perf_counter()
            filling.fill(counts, mask, method=method, network=network)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"{' x '.join(map(str, shape)):20}{method:12}{seconds:9.2f}{peak:9.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one repetition, small batches")
    parser.add_argument("--large", action="store_true", help="also fill 512 x 512 x 300 voxels")
    choices = parser.parse_args()
    steps(*((4, 1) if choices.quick else (16, 3)))
    scans(choices.large)
