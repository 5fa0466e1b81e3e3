"""A file that holds several scans."""

from __future__ import annotations

from braggfill.errors import BraggfillError


class Ambiguous(BraggfillError):
    """Which array is meant has to be said."""
