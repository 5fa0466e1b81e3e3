"""Which network a command uses, and what its file says of itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from braggfill import networks
from braggfill.cli.texts import NETWORK
from braggfill.errors import BraggfillError
from braggfill.filling import methods

OURS = "braggfill"
"""The network of the package, which runs train, too."""


def choose(named: str | None, method: str, say: Callable[[str], None]) -> Path | None:
    """The file of the network that a method takes: named, in the environment, shipped, or trained here; says which it
    took.  None for a method without a network.

    Raises
    ------
    BraggfillError : the file that is named is not there, or there is none at all.
    """
    wanted = methods.get(method).network
    if wanted is None:
        return None
    if named:
        return _existing(named, "--network")
    ours = wanted in (OURS, methods.GIVEN)
    if ours and os.environ.get(NETWORK):
        network = _existing(os.environ[NETWORK], NETWORK)
        say(f"network {network} (from {NETWORK})")
        return network
    if wanted != methods.GIVEN and networks.is_shipped(wanted):
        return networks.shipped(wanted)
    results = Path("results")
    trained = [*results.glob("*/train/model.safetensors"), *results.glob("*/train/*/model.safetensors")]
    if trained and ours:
        network = max(trained, key=lambda file: file.stat().st_mtime)
        say(f"network {network} (the newest under ./results)")
        return network
    if not ours:
        raise BraggfillError(f"no network: none for --method {method} came with braggfill; name one with --network")
    came = "none was named" if wanted == methods.GIVEN else "none came with braggfill"
    raise BraggfillError(
        f"no network: {came} and none was trained under ./results; "
        "train one with 'make run', name one with --network, or use --method linear"
    )


def once(path: Path) -> Any:
    """The network of a file, loaded once for all the scans of a command."""
    return _loaded(str(path), Path(path).stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _loaded(path: str, _changed: int) -> Any:
    from braggfill.runs import interrupts

    with interrupts.held():
        import torch  # noqa: F401
    return networks.load(path)


def provenance(path: Path) -> dict[str, Any]:
    """Name, sha256 and card of a network's file."""
    import hashlib

    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"network": path.name, "network_sha256": digest, "network_card": networks.card(path)}


def _existing(name: str, given_by: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise BraggfillError(f"{path}: no such network file (given by {given_by}); check the path")
    return path
