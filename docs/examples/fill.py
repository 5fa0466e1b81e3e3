"""Fill the gap of one scan and write what phase retrieval wants.  Usage: python fill.py SCAN.npz MASK.npy OUT.npz"""

import sys

import braggfill
import numpy as np

scan, mask, out = sys.argv[1:4]
counts, missing = np.load(scan)["data"], np.load(mask)

filled = braggfill.inpaint(counts, missing)
print(repr(filled))

np.savez_compressed(
    out,
    data=filled.for_phasing(),  # the filled voxels hold the square of the expected amplitude
    mask=filled.mask_for_phasing(),  # True where the filling is too uncertain: mask these in phase retrieval
    sigma=filled.sigma,
)
filled.report(out.removesuffix(".npz") + ".html")  # slices to move through, in any browser
