"""Losses of phase networks in two dimensions, beside each other: as Fig. 4.11 of Masto's thesis, at a chosen size.

Trains one network for each loss, set and width, for the same number of steps from the same first weights; prints the
accuracy of objects (Eq. 4.5), WCA, how far the ambiguity of object and twin is broken, and the time of a step.
Usage: planar_phase.py [--high] [--patterns N …] [--widths F …] [--steps N] [--losses NAME …]
"""

from __future__ import annotations

import argparse
import time

import torch
from braggfill.learning import planar_phase, planar_sets
from braggfill.networks.planar import PHASE
from braggfill.networks.unets import UNet, parameters, scaled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--high", action="store_true", help="high strain with Poisson noise (section 4.5)")
    parser.add_argument("--patterns", type=int, nargs="+", default=[1000], help="sizes of the training set")
    parser.add_argument(
        "--widths", type=float, nargs="+", default=[0.3], help="of the network, 1: 6.9 million parameters"
    )
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--losses", nargs="+", default=list(planar_phase.LOSSES), choices=planar_phase.LOSSES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    kind = planar_sets.HIGH_STRAIN if given.high else planar_sets.LOW_STRAIN
    start = time.process_time()
    whole = planar_sets.patterns(max(given.patterns), kind)
    print(f"{len(whole)} patterns, {1e3 * (time.process_time() - start) / len(whole):.2f} ms each", flush=True)
    test = planar_sets.patterns(200, kind, seed=2)
    print("loss               patterns parameters  first   last  accuracy   wca  broken  ms a step", flush=True)
    for number in given.patterns:
        learning = planar_sets.PlanarSet(whole.intensity[:number], whole.phase[:number])
        for width in given.widths:
            for loss in given.losses:
                torch.manual_seed(0)
                network = UNet(scaled(PHASE, width))
                start = time.process_time()
                curve = planar_phase.train(network, loss, learning, given.steps, rate=given.rate)
                spent = 1e3 * (time.process_time() - start) / given.steps
                mean = {name: float(values.mean()) for name, values in planar_phase.scores(network, test).items()}
                print(f"{loss:18s} {number:8d} {parameters(network):10,d} {curve[0]:6.3f} "
                      f"{sum(curve[-10:]) / len(curve[-10:]):6.3f} {mean['accuracy']:9.3f} {mean['wca']:5.3f} "
                      f"{mean['broken']:7.3f} {spent:10.1f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
