"""How accurate is the filling on my scan?  An artificial gap where there is none, filled by several methods.

Usage: python compare.py SCAN.npz
"""

import sys

import braggfill
import numpy as np
from braggfill.patterns import gaps, metrics

counts = np.load(sys.argv[1])["data"]
peak = np.unravel_index(np.argmax(counts), counts.shape)
gap = gaps.cross(counts.shape, 4, [peak[1] + 12, peak[2] + 12])

for method in ("braggfill", "linear", "nearest"):
    filled = braggfill.inpaint(np.where(gap, 0, counts), gap, method=method)
    score = metrics.pcc(np.log1p(counts[gap]), np.log1p(filled.data[gap]))
    print(f"{method:<10} PCC of log(1 + counts) over the gap: {score:.3f}")
