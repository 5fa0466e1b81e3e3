"""Retrieve the phase of one scan with a gap.  Usage: python phase.py SCAN.npz MASK.npy OUT.npz"""

import sys

import braggfill
import numpy as np

scan, mask, out = sys.argv[1:4]
counts, missing = np.load(scan)["data"], np.load(mask)

found = braggfill.phase(counts, missing, seed=1)
print(found.verdict)
if not found.failed:
    np.savez_compressed(out, obj=found.obj, support=found.support, phase_std=found.phase_std)
