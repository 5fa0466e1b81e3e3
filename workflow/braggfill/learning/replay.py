"""A step of a training as one recording: a GPU does most steps faster than their hundreds of kernels are asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

EAGER = 3
"""Steps before the recording, in which the optimisers make what they hold and the fastest convolutions are found."""


class Replay:
    """A step that learns from tensors on a CUDA device, recorded as a CUDA graph once they keep their shapes.

    Whatever it reads besides has to stay where it is: weights, what the optimisers hold, and learning rates, which are
    tensors therefore.  After one of these was replaced, :meth:`reset`.

    Parameters
    ----------
    step : the tensors of a batch to its loss, without its graph; nothing in it may wait for the device.
    """

    def __init__(self, step: Callable[..., Tensor]) -> None:
        self._step = step
        self.reset()

    def reset(self) -> None:
        """Forget the recording."""
        self._graph: torch.cuda.CUDAGraph | None = None
        self._alike: list[tuple[torch.Size, torch.dtype]] = []
        self._done = 0
        self._given: list[Tensor] = []
        self._found = torch.empty(0)

    def __call__(self, *parts: Tensor) -> Tensor:
        """One step; its loss."""
        alike = [(part.shape, part.dtype) for part in parts]
        if alike != self._alike:
            self.reset()
            self._alike = alike
        if self._done < EAGER:
            self._done += 1
            return self._aside(parts)
        if self._graph is None:
            self._given = [part.clone() for part in parts]
            graph = torch.cuda.CUDAGraph()
            # Other threads pin memory for what comes next meanwhile, which is none of the recording's business.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._found = self._step(*self._given)
            self._graph = graph
        torch._foreach_copy_(self._given, list(parts))
        self._graph.replay()
        return self._found.clone()

    def _aside(self, parts: tuple[Tensor, ...]) -> Tensor:
        """The step on a stream of its own, as the recording wants what comes before it."""
        aside, here = torch.cuda.Stream(), torch.cuda.current_stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            found = self._step(*parts)
        here.wait_stream(aside)
        return found
