"""Write a simulated pattern and the mask of a cross-shaped gap.  Usage: python docs/example_scan.py SCAN.npz MASK.npy

The pattern is the first one that `make run` simulated (in results/demo/perturb); its gap, 6 px wide, lies 20 px from
the peak.
"""

import sys
from pathlib import Path

import numpy as np
from braggfill import gaps, storage

scan, mask = map(Path, sys.argv[1:3])
with storage.read("results/demo/perturb/chunk-0000.h5") as file:
    particle = file[next(iter(file))]
    counts = particle[next(iter(particle))]["counts"][()]
missing = gaps.cross(counts.shape, (6, 6), tuple(n // 2 + 20 for n in counts.shape[1:]))
np.savez_compressed(scan, data=np.where(missing, 0, counts))
np.save(mask, missing)
print(f"{scan}: {counts.shape}, {counts.sum():,} photons; {mask}: {missing.mean():.1%} missing")
