"""The networks: build one by name, save it with what made it, load it again.

A network has ``predict(log_intensity, mask)``, tensors (B, n0, n1, n2) of log(1 + photons) and booleans (True =
missing), which returns the expected log(1 + photons) and the logarithm of its variance (None where ``uncertain`` is
False).  Only voxels that are not missing are looked at.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braggfill.errors import BraggfillError

if TYPE_CHECKING:
    from braggfill.networks.network import Network

REGISTRY = {
    "braggfill": "braggfill.networks.gap.unet:Braggfill",
    "paper": "braggfill.networks.gap.paper:Paper",
    "braggphase": "braggfill.networks.phase.braggphase:Braggphase",
    "rsp": "braggfill.networks.phase.whole:rsp",
    "central": "braggfill.networks.phase.whole:central",
    "complex": "braggfill.networks.phase.whole:complex_unet",
    "autophasenn": "braggfill.networks.phase.whole:autophasenn",
}
"""The networks by name, module and class: the only list of them.  To add one, write its file and a line here."""
NAMES = tuple(REGISTRY)
GAP_NAMES = tuple(name for name, place in REGISTRY.items() if place.startswith("braggfill.networks.gap."))
"""Those that fill gaps."""
PHASE_NAMES = tuple(name for name, place in REGISTRY.items() if place.startswith("braggfill.networks.phase."))
"""Those that predict phases."""
FORMAT = 1
DEEPEST, WIDEST = 8, 4096
"""Most levels, and channels of a level, that a network may have."""
WEIGHTS = Path(__file__).parent.parent / "weights"
"""Folder of the weights that come with the package."""


def build(name: str = "braggfill", **options: Any) -> Network:
    """A new network with random weights.

    Parameters
    ----------
    name : ``"braggfill"`` (options ``channels``, by default 32, 64, 192, and
        ``design``, ``start``: :class:`braggfill.networks.gap.unet.Braggfill`), ``"paper"`` (no options), or one of
        those whose ``predict`` gives phases and concentrations: ``"braggphase"``
        (:class:`braggfill.networks.phase.braggphase.Braggphase`), and the published ones of
        :mod:`braggfill.networks.phase.whole`.

    Raises
    ------
    BraggfillError : an unknown name or option.
    """
    module = importlib.import_module(module_of(name))
    _plausible(name, options)
    try:
        return getattr(module, REGISTRY[name].partition(":")[2])(**options)
    except (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError) as error:
        raise BraggfillError(f"network {name}: options {_short(options)} do not fit it ({_short(error)})") from error


def _plausible(name: str, options: dict[str, Any]) -> None:
    """Stop at options that no network has: a file's may be anything."""
    for option, value in options.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        sizes = [n for n in numbers if not isinstance(n, str)]
        if option == "width" and isinstance(value, float) and 0 < value <= 1:  # of the published number of channels
            continue
        several = option == "channels"
        if (several and not 0 < len(sizes) == len(numbers) <= DEEPEST) or not all(
            isinstance(n, int) and not isinstance(n, bool) and 0 < n <= WIDEST for n in sizes
        ):
            what = f"1 to {DEEPEST} whole numbers" if several else "a word or a whole number"
            raise BraggfillError(
                f"network {name}: options {option} = {_short(value)} do not fit it; give {what}, from 1 to {WIDEST}"
            )


def _short(value: object) -> str:
    """A value in one line that is not too long."""
    try:
        text = " ".join(str(value).split())
    except RecursionError:
        return "…"
    return text if len(text) < 120 else f"{text[:120]} …"


def module_of(name: str) -> str:
    """The module that a network is written in, e.g. ``braggfill.networks.gap.unet``.

    Raises
    ------
    BraggfillError : an unknown name.
    """
    if name not in REGISTRY:
        raise BraggfillError(f"network: {name!r} is unknown; use one of {', '.join(NAMES)}")
    return REGISTRY[name].partition(":")[0]


def save(path: str | Path, network: Network, metadata: dict[str, Any] | None = None, *, half: bool = False) -> None:
    """Write a network as safetensors, whole or not at all.

    Parameters
    ----------
    metadata : anything that JSON holds: settings, seed, code fingerprint, metrics.
    half : store weights in half precision (they are loaded as single precision).
    """
    import torch
    from safetensors.torch import save as pack

    from braggfill.runs.storage import replacing

    weights = {
        name: value.detach().cpu().contiguous().to(torch.float16 if half else torch.float32)
        for name, value in network.state_dict().items()
    }
    card = {"format": FORMAT, "network": network.name, "options": network.options, **(metadata or {})}
    card["sha256"] = _digest(weights)
    with replacing(path) as temporary:
        temporary.write_bytes(pack(weights, metadata={"braggfill": json.dumps(card)}))


def _digest(weights: dict[str, Any]) -> str:
    """sha256 of all weights, names and types included."""
    import hashlib

    found = hashlib.sha256()
    for name, value in sorted(weights.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        found.update(value.numpy().tobytes())
    return found.hexdigest()


def card(path: str | Path) -> dict[str, Any]:
    """What a network's file says about it: ``network``, ``options`` and the metadata that it was saved with.

    Raises
    ------
    BraggfillError : no such file, or not a network of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise BraggfillError(f"{path}: no such file; give a trained network (.safetensors)")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            found = json.loads((file.metadata() or {})["braggfill"])
        if found["format"] != FORMAT or found["network"] not in REGISTRY or not isinstance(found["options"], dict):
            raise ValueError
    except KeyError as error:
        raise BraggfillError(f"{path}: not the weights of a braggfill network; choose another file") from error
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise BraggfillError(f"{path}: damaged or of another version; train it again or fetch it anew") from error
    return found


def shipped(name: str = "braggfill") -> Path:
    """The weights that come with the package.

    Raises
    ------
    BraggfillError : none of that name did.
    """
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        raise BraggfillError(
            f"network: no weights of {name} come with this version; train one (make run) and give its file, "
            "or use method linear"
        )
    return path


def is_shipped(name: str = "braggfill") -> bool:
    """Whether weights of that name come with the package."""
    return (WEIGHTS / f"{name}.safetensors").is_file()


def shipped_digest(name: str = "braggfill") -> str:
    """The sha256 of the weights that come with the package, or ``"none"``: what depends on them is made again when
    they change."""
    import hashlib

    return hashlib.sha256(shipped(name).read_bytes()).hexdigest() if is_shipped(name) else "none"


def load(path: str | Path, device: str = "cpu") -> Network:
    """A trained network, ready to predict; its :func:`card` is kept as ``network.card``.

    Raises
    ------
    BraggfillError : the file is missing, truncated, or was tampered with: weights that are not those that were saved,
        of the wrong shape, or not finite.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as unpack

    found = card(path)
    try:
        stored = unpack(Path(path).read_bytes())
        _fits(found, stored)
        network = build(found["network"], **found["options"])
        if found.get("sha256", "") != _digest(stored):
            raise RuntimeError("they are not those that were saved")
        weights = {name: value.float() for name, value in stored.items()}
        if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
            raise RuntimeError("weights that are not finite")
        network.load_state_dict(weights)
    except BraggfillError as error:
        raise BraggfillError(f"{path}: {error}; train it again or fetch it anew") from error
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BraggfillError(f"{path}: damaged weights ({reason}); train it again or fetch it anew") from error
    network.card = found
    return network.to(device).eval()


def _fits(found: dict[str, Any], stored: dict[str, Any]) -> None:
    """Stop at weights that are not of the network that the card names, before memory is taken for one of any size."""
    import torch

    with torch.device("meta"):
        wanted = build(found["network"], **found["options"]).state_dict()
    if {name: tuple(value.shape) for name, value in wanted.items()} != {n: tuple(v.shape) for n, v in stored.items()}:
        raise RuntimeError("they are of another network than its options tell")
