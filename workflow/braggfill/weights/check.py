"""A small fixed test set, made on the spot, on which shipped weights have to keep what their card states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from braggfill.patterns import gaps, metrics, patching
from braggfill.patterns.interpolate import interpolate
from braggfill.physics import fourier
from braggfill.runs import seeds

if TYPE_CHECKING:
    from braggfill.networks.network import Network

SEED = 20240901
PATTERNS, EDGE, PATCHES, SIZE = 5, 96, 10, 32
WIDTHS = (3, 6, 9, 12)
PHOTONS_PER_VOXEL = 1.0


def pattern(index: int) -> np.ndarray:
    r"""Expected photons of a made-up crystal, (96, 96, 96).

    .. math:: I = s\, |\mathrm{FT}[\rho\, e^{i \varphi}]|^2

    with :math:`\rho` a convex polyhedron of 8 to 14 random facets (oversampling 2.5 to 4.5), :math:`\varphi` a random
    quadratic form of up to 1.5 rad and :math:`s` such that the peak has 10^5.5 to 10^7 photons.
    """
    rng = seeds.generator(SEED, "promise", index)
    axis = np.arange(EDGE) - EDGE // 2
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).astype(float)
    radius = EDGE / rng.uniform(2.5, 4.5) / 2
    inside = np.ones(grid.shape[1:], bool)
    for _ in range(rng.integers(8, 15)):
        normal = rng.normal(size=3)
        inside &= np.tensordot(normal / np.linalg.norm(normal), grid, 1) <= radius * rng.uniform(0.6, 1)
    inside &= (np.abs(grid) <= radius).all(axis=0)
    form = rng.uniform(-1, 1, (3, 3)) * 0.5 / radius**2
    phase = np.einsum("i...,ij,j...->...", grid, form, grid)
    intensity = np.abs(fourier.forward(inside * np.exp(1j * phase))) ** 2
    return intensity * 10 ** rng.uniform(5.5, 7) / intensity.max()


def patches() -> tuple[np.ndarray, np.ndarray]:
    """Counts and expectation of 32³ patches of at least one photon per voxel, (n, 32, 32, 32) each."""
    counted, expected = [], []
    for index in range(PATTERNS):
        expectation = pattern(index)
        rng = seeds.generator(SEED, "promise/counts", index)
        counts = rng.poisson(expectation)
        origins = patching.random_origins(rng, counts.shape, 6 * PATCHES, SIZE)
        whole = patching.cut(expectation, origins, SIZE)
        chosen = np.flatnonzero(whole.mean(axis=(1, 2, 3)) >= PHOTONS_PER_VOXEL)[:PATCHES]
        counted.append(patching.cut(counts, origins[chosen], SIZE))
        expected.append(whole[chosen])
    return np.concatenate(counted).astype(np.float32), np.concatenate(expected).astype(np.float32)


def figures(network: Network) -> dict[str, dict[str, float]]:
    """Mean PCC over a vertical gap in the middle, against the noise-free log expectation.

    Returns
    -------
    ``{"3": {"network": …, "linear": …}, …}`` for gaps of 3, 6, 9 and 12 px.
    """
    import torch

    counts, expectation = patches()
    found = {}
    for width in WIDTHS:
        mask = gaps.plane((SIZE,) * 3, width, axis=2)
        seen = np.where(mask, 0, counts)
        logs = torch.from_numpy(np.log1p(seen).astype(np.float32))
        with torch.inference_mode():
            guess = network.predict(logs, torch.from_numpy(mask).expand(logs.shape))[0].float().numpy()[:, mask]
        truth = np.log1p(expectation[:, mask])
        line = np.log1p(interpolate(seen, mask, "linear")[:, mask])
        every = np.ones(truth.shape[1], bool)
        found[str(width)] = {
            "network": float(np.nanmean(metrics.pcc(truth, guess, every))),
            "linear": float(np.nanmean(metrics.pcc(truth, line, every))),
        }
    return found
