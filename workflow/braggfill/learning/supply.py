"""What other processes draw, fetched by a thread while a training goes on."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from braggfill.errors import BraggfillError

PATIENCE = 1.0
"""Seconds between two looks at whether a process has failed."""
WAITING = 64
"""Items that wait to be taken, at the most."""


class Supply:
    """The items of a dataset without an end, from worker processes.  A ``with`` block starts and ends it.

    Parameters
    ----------
    dataset : yields whole items, each process its own.
    workers : processes; 0 draws in the thread itself.
    what : is drawn, for the error.
    device : where items go; for CUDA their memory is pinned, so that copies need not be waited for.
    """

    def __init__(self, dataset: IterableDataset, workers: int, what: str, device: torch.device | str = "cpu") -> None:
        self.what = what
        self._loader = DataLoader(
            dataset,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=torch.device(device).type == "cuda",
        )
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=WAITING)
        self._stopped = False
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._fetch, daemon=True)

    def __enter__(self) -> Supply:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        while self._thread.is_alive():  # it may wait for a place
            self._waiting()
            self._thread.join(0.1)

    def take(self, *, wait: bool = False) -> list[Any]:
        """What has been drawn since the last call, maybe nothing; ``wait``: at least one item.

        Raises
        ------
        BraggfillError : a process failed; without new items the old ones would be learnt by heart.
        """
        found: list[Any] = []
        while wait and not found and self._failed is None:
            with suppress(queue.Empty):
                found.append(self._queue.get(timeout=PATIENCE))
        if self._failed is not None:
            lines = str(self._failed).strip().splitlines() or [type(self._failed).__name__]  # the last of a traceback
            told = lines[-1].removeprefix(f"{BraggfillError.__module__}.{BraggfillError.__name__}: ")
            raise BraggfillError(f"a process that draws {self.what} failed: {told}") from self._failed
        return found + self._waiting()

    def _waiting(self) -> list[Any]:
        found = []
        while True:
            try:
                found.append(self._queue.get_nowait())
            except queue.Empty:
                return found

    def _fetch(self) -> None:
        try:
            for one in self._loader:
                if self._stopped:
                    return
                self._queue.put(one)
        except Exception as error:  # whatever it is, the training has to hear of it
            self._failed = error
