"""Folders to share: a run packed as a Workflow Run RO-Crate, checked, and continued elsewhere.

``pack`` writes a run, the code that makes it and Snakemake's records of it into one zip file or folder; ``verify``
checks every checksum and says what would run again here, and why; ``unpack`` lays the run into a folder so that
Snakemake finds it as it was left.

What a bundle holds is told in ``docs/sharing.md``; ``bundle.json`` in it is :class:`braggfill.bundle.about.About`.
"""

from braggfill.bundle.about import installed
from braggfill.bundle.pack import pack
from braggfill.bundle.unpack import unpack
from braggfill.bundle.verify import Verdict, verify

__all__ = ["Verdict", "installed", "pack", "unpack", "verify"]
