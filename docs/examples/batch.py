"""Fill every scan of a folder with one mask.  Usage: python batch.py FOLDER MASK.npy OUT_FOLDER"""

import sys
from pathlib import Path

import braggfill
import numpy as np
from braggfill import networks

folder, mask, out = sys.argv[1:4]
missing = np.load(mask)
network = networks.load(networks.shipped(), "cpu")  # loaded once for all

Path(out).mkdir(parents=True, exist_ok=True)
for scan in sorted(Path(folder).glob("*.npz")):
    filled = braggfill.inpaint(np.load(scan)["data"], missing, network=network)
    np.savez_compressed(Path(out) / scan.name, data=filled.data, sigma=filled.sigma)
    print(scan.name, repr(filled))
