"""Objects and patterns for the study of phase retrieval: how many a second of one core's time, by size and exposures.

A pattern is an object's share, its transform, photons and Poisson numbers, as the stages crystal and diffract and the
trainings make them.  Seconds are those of the processor, so that other work on the machine counts little.
Usage: bench_crystal.py [--number N]
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from braggfill.physics import crystals, diffraction


def seconds(number: int, extent: tuple[int, ...], shape: tuple[int, ...], exposures: int) -> tuple[float, float]:
    """Processor time of an object, and of one of its exposures."""
    rng = np.random.default_rng(0)
    crystals.draw(rng, extent)
    start = time.process_time()
    made = [crystals.draw(rng, extent) for _ in range(number)]
    drawn = time.process_time()
    for one in made:
        for _ in range(exposures):
            period = int(np.ceil(rng.uniform(2.0, 4.0) * one.extent.max()))
            found = diffraction.amplitude(one.object, shape, max(period, *one.object.shape, *shape))
            diffraction.expose(found, 10 ** rng.uniform(4.5, 7), rng)
    return (drawn - start) / number, (time.process_time() - drawn) / number / exposures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=600, help="objects in two dimensions; a twentieth of it in three")
    number = parser.parse_args().number
    print("pattern       object ms  exposure ms  patterns/s a core, each object exposed once  four times")
    for shape in ((64, 64), (128, 128), (32, 32, 32), (64, 64, 64)):
        few = number if len(shape) == 2 else max(number // 20, 1)
        half = tuple(n // 2 for n in shape) if shape != (32, 32, 32) else (28, 28, 28)
        one, exposed = seconds(few, half, shape, 2)
        name = " x ".join(map(str, shape))
        print(f"{name:12s} {1e3 * one:10.2f} {1e3 * exposed:12.2f} {1 / (one + exposed):44.0f} "
              f"{1 / (one / 4 + exposed):12.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
