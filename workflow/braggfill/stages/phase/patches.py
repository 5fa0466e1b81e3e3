"""Phases of patches: networks trained, whole patterns stitched, objects judged (thesis, sections 4.6 and 4.7)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.learning import phase_patches
from braggfill.learning.phase_patches import PatchOptions, Whole
from braggfill.phasing import score, stitching
from braggfill.physics import fourier
from braggfill.runs import storage
from braggfill.settings.phase import PatchSettings, PhaseSettings

RANGES = {"low": (0.0, math.pi), "high": (2 * math.pi, 5 * math.pi)}
CURVES = ["strain", "network", "epoch", "train_loss", "val_loss"]
COLUMNS = ["strain", "pattern", "guess", "way", "accuracy", "wca", "predicted_share", "spike"]
VALIDATING = 64
"""Patches in the fixed validation set of each network."""


def options(settings: PatchSettings, strain: str) -> PatchOptions:
    """What the patches of a strain are cut from."""
    return PatchOptions(settings.box_px, settings.step_px, settings.shells, RANGES[strain])


def learn(settings: PhaseSettings, seed: int, strain: str, model: Path, history: Path, code: str = "") -> None:
    """Train the network for central patches, and one for outer ones for each kind of guess.

    ``model`` : safetensors, weights ``central.…``, ``truth.…``, ``own.…``.  ``history`` : CSV, a row an epoch.
    """
    import pandas as pd
    import torch
    from safetensors.torch import save as pack

    torch.set_num_threads(settings.learn.threads)
    chosen, cut = settings.patches, options(settings.patches, strain)
    shared: dict[str, Any] = {"batch": chosen.batch_size, "rate": chosen.learning_rate}
    shared |= {"width": chosen.width, "validating": VALIDATING}
    central, curve = phase_patches.train_central(seed, cut, chosen.central, chosen.epochs, **shared)
    networks = {"central": central}
    rows = [{"strain": strain, "network": "central", **row} for row in curve]
    for guess in dict.fromkeys(chosen.guesses):
        networks[guess], curve = phase_patches.train_outer(
            seed, cut, chosen.outer, chosen.epochs, central if guess == "own" else None, each=chosen.exposures, **shared
        )
        rows += [{"strain": strain, "network": f"outer, {guess}", **row} for row in curve]
    weights = {
        f"{name}.{key}": value.detach().contiguous()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    with storage.replacing(model) as temporary:
        temporary.write_bytes(pack(weights, metadata={"strain": strain, "code": code, "seed": str(seed)}))
    storage.write_table(history, pd.DataFrame(rows), columns=CURVES)


def _networks(settings: PatchSettings, model: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    from braggfill.networks.phase.published import Outer, patch
    from braggfill.networks.unets import UNet, scaled

    try:
        stored = load(model.read_bytes())
        found: dict[str, Any] = {"central": UNet(scaled(patch(1), settings.width))}
        found |= {guess: Outer(settings.width) for guess in dict.fromkeys(settings.guesses)}
        for name, network in found.items():
            network.load_state_dict(
                {key.partition(".")[2]: v for key, v in stored.items() if key.partition(".")[0] == name}
            )
    except (SafetensorError, RuntimeError, OSError) as error:
        raise BraggfillError(f"{model}: damaged; delete it and run again") from error
    return {name: network.eval() for name, network in found.items()}


def stitch(settings: PhaseSettings, seed: int, strain: str, model: Path, out: Path, code: str = "") -> None:
    """Stitch whole patterns that no network has seen, and judge their objects.

    ``out`` : CSV, a row a pattern, guess and way of stitching; ``way`` is central for the central patch alone and truth
    for the true phase where patches reach; ``spike`` is the modulus at the object's centre over its median inside.
    """
    import pandas as pd
    import torch

    torch.set_num_threads(settings.learn.threads)
    chosen, cut = settings.patches, options(settings.patches, strain)
    networks = _networks(chosen, model)
    places = stitching.shells(chosen.box_px, chosen.step_px, chosen.shells, chosen.per_shell)
    rows = []
    for index in range(chosen.tested):
        one = phase_patches.whole(seed, "test", index, cut)
        for guess, way, phase, there in _phases(one, networks, places):
            rows.append({"strain": strain, "pattern": index, "guess": guess, "way": way, **_judged(one, phase, there)})
    storage.write_table(out, pd.DataFrame(rows), columns=COLUMNS)


def _phases(
    one: Whole, networks: dict[str, Any], places: list[np.ndarray]
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Guess, way, phase and where it is, of every way to the phase of a pattern."""
    phase, there = stitching.stitch(networks["central"], networks["central"], one.counts, [])
    yield "", "central", phase, there
    for guess in (name for name in networks if name != "central"):
        for way in stitching.WAYS:
            phase, there = stitching.stitch(networks["central"], networks[guess], one.counts, places, way)
            yield guess, way, phase, there
    yield "", "truth", one.phase, there


def _judged(one: Whole, phase: np.ndarray, there: np.ndarray) -> dict[str, float]:
    """Accuracy of the object, WCA of the phase, and the spike that wrong phases leave at the object's centre."""
    amplitude = np.where(there, np.sqrt(one.counts), 0)
    obj = fourier.inverse((amplitude * np.exp(1j * phase)).astype(np.complex64))
    weights = amplitude / max(float(amplitude.sum()), 1e-30)
    same, twin = (abs((weights * np.exp(1j * (sign * phase - one.phase))).sum()) for sign in (1, -1))
    inside = np.abs(one.obj) > 0.5 * np.abs(one.obj).max()
    middle = tuple(n // 2 for n in obj.shape)
    return {
        "accuracy": score.accuracy(obj, one.obj),
        "wca": float(1 - max(same, twin)),
        "predicted_share": float(there.mean()),
        "spike": float(abs(obj[middle]) / max(float(np.median(np.abs(obj[inside]))), 1e-30)),
    }
