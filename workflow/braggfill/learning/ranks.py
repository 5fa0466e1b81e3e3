"""One training on several GPUs of a machine: a process for each, all with the same weights.

Each process is a fresh Python that runs ``python -m braggfill.learning.ranks FOLDER``, with ``FOLDER`` holding the
plan, the first weights and the task, whose data are mapped into memory so that there is one copy of them however many
processes there are.  Lightning averages their gradients (DDP).  Which patterns make a batch is drawn as for one
process, and each takes its share of every batch, so that the number of GPUs changes how fast a training is and, but
for rounding and for the counts that are drawn afresh in training with many exposures, nothing else.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.learning.task import Plan, SharedTask
from braggfill.runs import device

if TYPE_CHECKING:
    from torch.nn import Module

    from braggfill.networks.network import Network

LEAST = 8
"""Patterns of a batch that are worth a GPU of their own."""
PATIENCE_S = 10.0
"""How long processes have to end by themselves once one of them has failed."""


def number(plan: Plan) -> int:
    """How many processes train: one a GPU, one on a processor unless more are asked for.

    Raises
    ------
    BraggfillError : GPUs are asked for that are not there.
    """
    there = device.gpus(plan.device)
    if plan.device == "gpu" and not there:
        raise BraggfillError("train.device: there is no GPU that PyTorch can use here; use auto or cpu")
    if there and plan.devices and plan.devices > there:
        raise BraggfillError(f"train.devices: {plan.devices} GPUs are asked for, {there} are there; use fewer")
    if plan.devices:
        return min(plan.devices, plan.batch_size)
    return max(1, min(there, plan.batch_size // LEAST))


def fit(network: Module, task: SharedTask, plan: Plan, checkpoint: Path, ranks: int) -> None:
    """Train in ``ranks`` processes, to the end; what they found is in ``checkpoint``.

    Raises
    ------
    BraggfillError : a process failed; the others are ended, and the checkpoint is that of the last whole epoch.
    """
    folder = checkpoint.with_suffix(".ranks")
    shutil.rmtree(folder, ignore_errors=True)  # left by one that was killed
    folder.mkdir(parents=True)
    processes: list[subprocess.Popen] = []
    try:
        _write(folder, network, task, plan, checkpoint, ranks)
        port = _free_port()
        for rank in range(ranks):
            processes.append(_start(folder, rank, ranks, port))
        told = threading.Thread(target=_tell, args=(processes[0],), daemon=True)
        told.start()
        _wait(processes, folder)
        told.join()
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, network: Module, task: SharedTask, plan: Plan, checkpoint: Path, ranks: int) -> None:
    try:
        networks.save(folder / "first.safetensors", cast("Network", network))
        task.save(folder)
        kind = f"{type(task).__module__}:{type(task).__qualname__}"
        told = {"plan": asdict(plan), "task": kind, "ranks": ranks, "checkpoint": str(checkpoint.resolve())}
        (folder / "training.json").write_text(json.dumps(told))
    except OSError as error:
        raise BraggfillError(f"{folder}: cannot be written ({error.strerror}); free space") from error


def _start(folder: Path, rank: int, ranks: int, port: int) -> subprocess.Popen:
    package = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")])),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    command = [sys.executable, "-m", "braggfill.learning.ranks", str(folder), str(os.getpid())]
    with open(folder / f"rank-{rank}.log", "wb") as log:
        stderr = subprocess.PIPE if rank == 0 else log
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=stderr)


def _tell(process: subprocess.Popen) -> None:
    """What the first process says goes where this one's words go, its job's log included."""
    assert process.stderr is not None
    while chunk := os.read(process.stderr.fileno(), 65536):
        sys.stderr.write(chunk.decode(errors="replace"))
        sys.stderr.flush()


def _wait(processes: list[subprocess.Popen], folder: Path) -> None:
    """Until all have ended well, or one has not: the others would wait for it for ever."""
    while any(process.poll() is None for process in processes):
        if any(process.poll() for process in processes):
            break
        time.sleep(0.1)
    limit = time.monotonic() + PATIENCE_S
    while any(process.poll() is None for process in processes) and time.monotonic() < limit:
        time.sleep(0.1)
    failed = [rank for rank, process in enumerate(processes) if process.poll() != 0]
    if failed:
        rank = next((rank for rank in failed if processes[rank].poll() is not None), failed[0])
        log = folder / f"rank-{rank}.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
        said = f": {lines[-1].strip()}" if lines else "; its words are above"
        raise BraggfillError(
            f"train.devices: process {rank + 1} of {len(processes)} failed (status {processes[rank].poll()}){said}; "
            "run it again and it goes on, or with fewer devices"
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(folder: Path, parent: int) -> None:
    """One process of a training."""
    _die_with(parent)
    plain: dict[str, Any] = json.loads((folder / "training.json").read_text())
    import torch

    from braggfill.learning import trainer

    plan = Plan(**plain["plan"])
    torch.set_num_threads(max(1, plan.threads // plain["ranks"]))
    module, _, name = plain["task"].partition(":")
    task = getattr(importlib.import_module(module), name).load(folder)
    network = networks.load(folder / "first.safetensors").train()
    trainer.fit_here(network, task, plan, Path(plain["checkpoint"]), plain["ranks"])


def _die_with(parent: int) -> None:
    """A training whose starter was killed must not go on unseen, holding GPUs."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, Linux
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
