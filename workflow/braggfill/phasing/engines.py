"""The engines, by name: each takes a pattern and yields the runs that it has so far, the best first."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator

from braggfill.errors import BraggfillError
from braggfill.phasing.context import Context
from braggfill.phasing.pattern import Pattern
from braggfill.phasing.recipe import Recipe
from braggfill.phasing.result import Run
from braggfill.phasing.strategy import Search

Engine = Callable[[Pattern, Recipe, Context], Iterator[list[Run]]]
"""A pattern with its peak at ``n // 2``, a recipe, and where it runs; after each round, all runs so far, sorted by free
log-likelihood.  The caller stops asking when it has enough."""


def projections(pattern: Pattern, recipe: Recipe, context: Context) -> Iterator[list[Run]]:
    """HIO, RAAR and ER from several starts, low to high resolution; see :mod:`braggfill.phasing.strategy`."""
    return Search(pattern, recipe, context).rounds()


def convex(pattern: Pattern, recipe: Recipe, context: Context) -> Iterator[list[Run]]:
    """A convex support and a smooth phase by automatic differentiation."""
    from braggfill.phasing import convex as module

    return module.rounds(pattern, recipe, context)


def pynx(pattern: Pattern, recipe: Recipe, context: Context) -> Iterator[list[Run]]:
    """PyNX's HIO, RAAR and ER."""
    from braggfill.phasing import pynx as module

    return module.rounds(pattern, recipe, context)


def auto(pattern: Pattern, recipe: Recipe, context: Context) -> Iterator[list[Run]]:
    """``projections``, begun with objects of ``convex`` where random starts do not settle the matter: the two fail on
    different objects."""
    return Search(pattern, recipe, context, convex=True).rounds()


ENGINES: dict[str, Engine] = {"auto": auto, "projections": projections, "convex": convex, "pynx": pynx}


def engine(name: str) -> Engine:
    """The engine of a name.

    Raises
    ------
    BraggfillError : there is no such engine, or its software is not installed.
    """
    if name not in ENGINES:
        raise BraggfillError(f"engine: {name!r} is none of {', '.join(ENGINES)}; choose one of them")
    if name == "pynx" and importlib.util.find_spec("pynx") is None:
        raise BraggfillError("engine: PyNX is not installed; install it, or choose projections")
    return ENGINES[name]
