"""CUDA has no matrix products of whole numbers: none may be in what runs on a GPU.

Looked for on the processor, which has them, in every network and in each kind of computing that takes a device.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from braggfill import filling, networks
from braggfill.learning.gap import drawn, drawn_training, losses
from braggfill.learning.gap.drawn_options import BufferOptions, DrawnOptions, TrainingOptions
from braggfill.networks.gap.bridge import bridge
from braggfill.patterns import gaps
from braggfill.phasing import cycling
from braggfill.phasing.phase import phase_pattern
from braggfill.phasing.recipe import Recipe, Schedule
from braggfill.physics import crystals
from phasing_objects import counted
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = {"mm", "bmm", "mv", "addmm", "addmv", "addbmm", "baddbmm", "dot", "vdot", "_int_mm", "addr"}


class Products(TorchDispatchMode):
    """Notes the products of tensors that are whole numbers or booleans."""

    def __init__(self):
        super().__init__()
        self.seen, self.found = set(), []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.seen.add(name)
        given = [x for x in args if isinstance(x, torch.Tensor)]
        if name in PRODUCTS and any(not (x.is_floating_point() or x.is_complex()) for x in given):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def test_it_notices_one():
    with Products() as products:
        _ = torch.ones((2, 3), dtype=torch.long) @ torch.tensor([9, 3, 1])
        _ = torch.ones((2, 3)) @ torch.ones(3)
    assert products.found == ["mv"]


@pytest.mark.parametrize("name", networks.NAMES)
def test_no_network_multiplies_whole_numbers(name):
    network = networks.build(name).eval()
    side = getattr(network, "size", 32)
    mask = torch.from_numpy(gaps.cross((side,) * 3, (3, 4)))[None]
    mask = torch.stack([mask[0], mask[0].movedim(0, 2)])  # another gap in the same batch
    if name == "paper":
        mask = torch.from_numpy(gaps.plane((side,) * 3, 6))[None]
    with Products() as products, torch.no_grad():
        network.predict(torch.rand(len(mask), side, side, side) * 4, mask)
    assert any("conv" in name for name in products.seen)
    assert not products.found


def test_training_multiplies_none():
    network = networks.build("braggfill", channels=[4, 8])
    logs, mask = torch.rand(2, 32, 32, 32) * 4, torch.from_numpy(gaps.plane((32,) * 3, 6))[None].repeat(2, 1, 1, 1)
    with Products() as products:
        prediction, log_variance = network(bridge(logs, mask), mask)
        losses.total(dict.fromkeys(losses.NAMES, 1.0), prediction, log_variance, logs, logs, logs, mask).backward()
    assert not products.found


def test_drawing_patches_and_learning_from_them_multiply_none():
    options = DrawnOptions(side=32, box=20, size=16)
    held = BufferOptions(objects=2, patterns=2)
    drawer = drawn.PatchDrawer(options, held, 1)
    own = TrainingOptions(batch=3, patches=9, channels=(4, 8))
    nothing = torch.zeros((1, 16, 16, 16), dtype=torch.int16)
    for optimiser in ("muon", "adam"):
        validation = drawn.Patches(nothing, nothing, torch.ones(1, dtype=torch.bool))
        training = drawn_training.Training(None, replace(own, optimiser=optimiser), options, validation)
        with Products() as products:
            drawer.put(torch.rand((2, 20, 20, 20)).to(torch.complex64), torch.full((2, 3), 3.0), torch.arange(2))
            drawer.make(2)
            training.learn(drawer.batch(3))
        assert {"_fft_r2c", "bmm", "poisson", "convolution"} <= products.seen
        assert not products.found


class Here:
    """A pool of threads that works in this one, where it is seen."""

    def __init__(self, threads):
        assert threads == 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    map = staticmethod(map)


def test_filling_and_phasing_multiply_none(monkeypatch):
    monkeypatch.setattr(cycling, "ThreadPoolExecutor", Here)
    made = crystals.draw_object(np.random.default_rng(2), (32, 32, 32), kind="gaussians", oversampling=2.6, range=3.0)
    counts = counted(made, 1e5)[0]
    mask = gaps.plane(counts.shape, 3, start=20)
    short = Schedule((("HIO", 10), ("RAAR", 10), ("ER", 5)), 10, (1.5, 0.6), 0.2)
    recipe = Recipe(long=short, finer=short, coarse=short, coarse_starts=2, kept=2, rounds=1)
    with Products() as products:
        filled = filling.inpaint(np.where(mask, 0, counts), mask).data
        phase_pattern(np.where(mask, 0, counts), mask, filled=filled, recipe=recipe, threads=1)
    assert "_fft_c2c" in products.seen
    assert any("conv" in name for name in products.seen)
    assert not products.found
