"""A network of my own fills a scan: anything with `predict`.  Usage: python own_network.py SCAN.npz MASK.npy

CONTRIBUTING.md says how a network becomes one of the package, with training, files and settings.
"""

import sys

import braggfill
import numpy as np
import torch
from braggfill.networks.network import Network


class Smooth(Network):
    """Each missing voxel is the mean of what was measured in a cube around it: no weights, but the same interface."""

    name, size, uncertain = "smooth", 32, False

    def __init__(self) -> None:
        super().__init__()
        self.reach = torch.nn.Parameter(torch.tensor(7.0), requires_grad=False)

    @property
    def options(self) -> dict:
        return {}

    def predict(self, log_intensity, mask):
        """(B, n0, n1, n2) log(1 + photons), zero where missing, and the mask → expectation, no variance."""
        measured = (~mask.bool()).to(log_intensity)[:, None]
        kernel = torch.ones(1, 1, 9, 9, 9, device=measured.device)
        total = torch.nn.functional.conv3d(log_intensity[:, None] * measured, kernel, padding=4)
        known = torch.nn.functional.conv3d(measured, kernel, padding=4)
        return (total / known.clamp(min=1))[:, 0], None


counts, missing = np.load(sys.argv[1])["data"], np.load(sys.argv[2])
filled = braggfill.inpaint(counts, missing, method="network", network=Smooth().eval())
print(repr(filled))
