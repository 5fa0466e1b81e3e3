"""Phases of patches: networks trained, whole patterns stitched, objects judged (thesis, sections 4.6 and 4.7)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from braggfill import networks as stored_networks
from braggfill.errors import BraggfillError
from braggfill.learning import phase_patches
from braggfill.learning.phase_patches import PatchOptions, Whole
from braggfill.phasing import score, stitching
from braggfill.physics import align, fourier
from braggfill.runs import storage
from braggfill.settings.phase import PatchSettings, PhaseSettings

RANGES = {"low": (0.0, math.pi), "high": (2 * math.pi, 5 * math.pi)}
CURVES = ["strain", "network", "epoch", "train_loss", "val_loss"]
COLUMNS = ["strain", "pattern", "guess", "way", "accuracy", "wca", "predicted_share", "spike"]
SHELLS = ["strain", "pattern", "guess", "way", "shell", "accuracy", "wca", "wca_joined"]
VALIDATING = 64
"""Patches in the fixed validation set of each network."""
EXPECTED_RATE = 6e-4
"""Learning rate of the network that is told expected phasors, which begins with trained weights."""


def options(settings: PatchSettings, strain: str) -> PatchOptions:
    """What the patches of a strain are cut from."""
    return PatchOptions(settings.box_px, settings.step_px, settings.shells, RANGES[strain])


def learn(settings: PhaseSettings, seed: int, strain: str, model: Path, history: Path, code: str = "") -> None:
    """Train the network for central patches, and one for outer ones for each kind of guess.

    ``model`` : safetensors, weights ``central.…``, ``truth.…``, ``own.…``, ``expected.…``.  ``history`` : CSV, a row an
    epoch.

    Raises
    ------
    BraggfillError : ``expected`` is asked for and no weights of braggphase come with this version.
    """
    import pandas as pd
    import torch
    from safetensors.torch import save as pack

    torch.set_num_threads(settings.learn.threads)
    chosen, cut = settings.patches, options(settings.patches, strain)
    shared: dict[str, Any] = {"batch": chosen.batch_size, "rate": chosen.learning_rate}
    shared |= {"width": chosen.width, "validating": VALIDATING}
    central, curve = phase_patches.train_central(seed, cut, chosen.central, chosen.epochs, **shared)
    networks: dict[str, Any] = {"central": central}
    rows = [{"strain": strain, "network": "central", **row} for row in curve]
    for guess in dict.fromkeys(chosen.guesses):
        if guess == "expected":
            from braggfill.learning import phase_told

            networks[guess], curve = phase_told.train(
                seed, cut, chosen.outer, chosen.epochs, _braggphase(), batch=chosen.batch_size, rate=EXPECTED_RATE,
                validating=VALIDATING, each=chosen.exposures,
            )  # fmt: skip
        else:
            networks[guess], curve = phase_patches.train_outer(
                seed, cut, chosen.outer, chosen.epochs, central if guess == "own" else None, each=chosen.exposures,
                **shared,
            )  # fmt: skip
        rows += [{"strain": strain, "network": f"outer, {guess}", **row} for row in curve]
    weights = {
        f"{name}.{key}": value.detach().contiguous()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    with storage.replacing(model) as temporary:
        temporary.write_bytes(pack(weights, metadata={"strain": strain, "code": code, "seed": str(seed)}))
    storage.write_table(history, pd.DataFrame(rows), columns=CURVES)


def _braggphase() -> Any:
    """The network that comes along, which knows the middle of a pattern."""
    if not stored_networks.is_shipped("braggphase"):
        raise BraggfillError(
            "phase.patches.guesses: no weights of braggphase come with this version; leave out expected"
        )
    return stored_networks.load(stored_networks.shipped("braggphase"))


def _networks(settings: PatchSettings, model: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    from braggfill.networks.phase.published import Outer, patch
    from braggfill.networks.phase.told import Told
    from braggfill.networks.unets import UNet, scaled

    guesses = dict.fromkeys(settings.guesses)
    try:
        stored = load(model.read_bytes())
        found: dict[str, Any] = {"central": UNet(scaled(patch(1), settings.width))}
        found |= {guess: Outer(settings.width) for guess in guesses if guess != "expected"}
        if "expected" in guesses:
            middle = _braggphase()
            found["expected"] = Told.of(middle)
        if not all(bool(value.isfinite().all()) for value in stored.values()):
            raise RuntimeError("weights that are not finite")
        for name, network in found.items():
            network.load_state_dict(
                {key.partition(".")[2]: v for key, v in stored.items() if key.partition(".")[0] == name}
            )
        if "expected" in guesses:
            found["braggphase"] = middle
    except (SafetensorError, RuntimeError, OSError) as error:
        raise BraggfillError(f"{model}: damaged; delete it and run again") from error
    return {name: network.eval() for name, network in found.items()}


def stitch(
    settings: PhaseSettings,
    seed: int,
    strain: str,
    model: Path,
    out: Path,
    shells: Path,
    slices: Path,
    code: str = "",
) -> None:
    """Stitch whole patterns that no network has seen, and judge their objects.

    Parameters
    ----------
    out : CSV, a row a pattern, guess and way of stitching; ``way`` is central for the central patch alone, truth for
        the true phase where patches reach, and angles for expected phasors whose length is not looked at; ``spike`` is
        the modulus at the object's centre over its median inside.
    shells : CSV, a row a shell of patches of each of them, 0 for the central patch: ``accuracy`` of the object with the
        phase up to this shell; ``wca`` of what the shell brings, with a constant and a sign of its own; ``wca_joined``
        with those of the central patch.
    slices : HDF5 of the first pattern: ``counts``, ``phase`` (true), ``shell`` (which brings a voxel, -1 for none),
        ``obj``, and a group a way with ``phase`` (of the constant and the sign of the truth, NaN where there is none)
        and ``obj``, laid over the true one; all through the middle across axis 0.
    """
    import pandas as pd
    import torch

    torch.set_num_threads(settings.learn.threads)
    chosen, cut = settings.patches, options(settings.patches, strain)
    networks = _networks(chosen, model)
    places = stitching.shells(chosen.box_px, chosen.step_px, chosen.shells, chosen.per_shell)
    brought = _brought(chosen.box_px, places)
    rows, parts = [], []
    with storage.create(slices, settings=settings, seed=seed, code=code, strain=strain) as file:
        for index in range(chosen.tested):
            one = phase_patches.whole(seed, "test", index, cut)
            middle = len(one.counts) // 2
            if index == 0:
                file["counts"], file["phase"] = one.counts[middle], one.phase[middle]
                file["shell"], file["obj"] = brought[middle], one.obj[middle].astype(np.complex64)
            for guess, way, field in _fields(one, networks, places):
                about = {"strain": strain, "pattern": index, "guess": guess, "way": way}
                judged = _judged(one, field)
                rows.append({**about, **judged})
                parts += [{**about, **part} for part in _by_shell(one, field, brought, judged["accuracy"])]
                if index == 0 and way != "truth":
                    group = file.create_group(f"{guess}-{way}".strip("-"))
                    phase, there = np.angle(field), field != 0
                    sign, constant = _suits(one, phase, there & (brought == 0))
                    shown = np.angle(np.exp(1j * (sign * phase - constant)))
                    group["phase"] = np.where(there, shown, np.nan)[middle].astype(np.float32)
                    group["obj"] = align.align(_object(one, field), one.obj).obj[middle].astype(np.complex64)
    storage.write_table(out, pd.DataFrame(rows), columns=COLUMNS)
    storage.write_table(shells, pd.DataFrame(parts), columns=SHELLS)


def _brought(box: int, places: list[np.ndarray]) -> np.ndarray:
    """The shell that first reaches each voxel: 0 for the central patch, -1 for none."""
    found = np.full((box,) * 3, -1, np.int8)
    for number, centres in reversed(list(enumerate([np.full((1, 3), box // 2), *places]))):
        for centre in centres:
            phase_patches.cut(found, centre)[...] = number
    return found


def _by_shell(one: Whole, field: np.ndarray, brought: np.ndarray, whole: float) -> Iterator[dict[str, float]]:
    """Accuracy up to each shell and errors of what it brings; ``whole``: accuracy of all that is there."""
    phase, there = np.angle(field), field != 0
    last = int(brought[there].max())
    sign, constant = _suits(one, phase, there & (brought == 0))
    for shell in range(last + 1):
        part = there & (brought == shell)
        weights = np.sqrt(one.counts[part])
        own, turn = _suits(one, phase, part)
        error = {
            name: 1 - float((weights * np.cos(s * phase[part] - one.phase[part] - c)).sum()) / max(weights.sum(), 1e-30)
            for name, s, c in (("wca", own, turn), ("wca_joined", sign, constant))
        }
        upto = whole if shell == last else score.accuracy(_object(one, np.where(brought <= shell, field, 0)), one.obj)
        yield {"shell": shell, "accuracy": upto, **error}


def _suits(one: Whole, phase: np.ndarray, part: np.ndarray) -> tuple[int, float]:
    """The sign and the constant that lay a phase over the true one, within a part."""
    weights = np.sqrt(one.counts[part])
    sums = {sign: complex((weights * np.exp(1j * (sign * phase[part] - one.phase[part]))).sum()) for sign in (1, -1)}
    sign = max(sums, key=lambda each: abs(sums[each]))
    return sign, float(np.angle(sums[sign]))


def _object(one: Whole, field: np.ndarray) -> np.ndarray:
    """The object of phasors; shorter ones count less, 0 is nothing."""
    return fourier.inverse((np.sqrt(one.counts) * field).astype(np.complex64))


def _fields(one: Whole, networks: dict[str, Any], places: list[np.ndarray]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Guess, way and phasors, 0 where there are none, of every way to the phase of a pattern."""

    def phasors(phase: np.ndarray, there: np.ndarray) -> np.ndarray:
        return np.where(there, np.exp(1j * phase), 0).astype(np.complex64)

    central = networks["central"]
    yield "", "central", phasors(*stitching.stitch(central, central, one.counts, []))
    for guess in (name for name in networks if name not in ("central", "expected", "braggphase")):
        for way in stitching.WAYS:
            yield guess, way, phasors(*stitching.stitch(central, networks[guess], one.counts, places, way))
    if "expected" in networks:
        told = networks["braggphase"], networks["expected"], one.counts
        yield "expected", "central", stitching.expected(*told, [])
        field = stitching.expected(*told, places)
        yield "expected", "expected", field
        yield "expected", "angles", phasors(np.angle(field), field != 0)
    yield "", "truth", phasors(one.phase, np.ones(one.phase.shape, bool))


def _judged(one: Whole, field: np.ndarray) -> dict[str, float]:
    """Accuracy of the object, WCA of the phase, and the spike that wrong phases leave at the object's centre."""
    amplitude = np.where(field != 0, np.sqrt(one.counts), 0)
    obj, phase = _object(one, field), np.angle(field)
    weights = amplitude / max(float(amplitude.sum()), 1e-30)
    same, twin = (abs((weights * np.exp(1j * (sign * phase - one.phase))).sum()) for sign in (1, -1))
    inside = np.abs(one.obj) > 0.5 * np.abs(one.obj).max()
    middle = tuple(n // 2 for n in obj.shape)
    return {
        "accuracy": score.accuracy(obj, one.obj),
        "wca": float(1 - max(same, twin)),
        "predicted_share": float((field != 0).mean()),
        "spike": float(abs(obj[middle]) / max(float(np.median(np.abs(obj[inside]))), 1e-30)),
    }
