"""Write a made-up pattern and the mask of a cross-shaped gap.  Usage: python docs/example_scan.py SCAN.npz MASK.npy

The pattern is that of a small strained crystal, as a detector would count it; its gap, 6 px wide, lies 20 px from the
peak.
"""

import sys

import numpy as np
from braggfill.patterns import gaps
from braggfill.weights import check

scan, mask = sys.argv[1:3]
counts = np.random.default_rng(1).poisson(check.pattern(2)).astype(np.int32)
missing = gaps.cross(counts.shape, (6, 6), tuple(n // 2 + 20 for n in counts.shape[1:]))
np.savez_compressed(scan, data=np.where(missing, 0, counts))
np.save(mask, missing)
print(f"{scan}: {counts.shape}, {counts.sum():,} photons; {mask}: {missing.mean():.1%} missing")
