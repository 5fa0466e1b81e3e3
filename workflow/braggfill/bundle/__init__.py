"""Folders to share: a run packed as a Workflow Run RO-Crate, checked, and continued elsewhere.

``pack`` writes a run, the code that makes it and Snakemake's records of it into one zip file or folder; ``verify``
checks every checksum and says what would run again here, and why; ``unpack`` lays the run into a folder so that
Snakemake finds it as it was left.  What a bundle holds:

==========================  =========================================================================================
ro-crate-metadata.json      what was run, when, from what, with which result (Provenance Run Crate 0.5)
bundle.json                 resolved settings, seed, versions, code fingerprints, git revision, what is not included
checksums.sha256            of every other file, for ``sha256sum -c``
BUNDLE.md                   what this is and how to go on, for a person
Snakefile, workflow/, …     the code
results/RUN/                tables, figures, report, weights, times, logs, ``settings.yaml``; arrays (HDF5) on demand
.snakemake/metadata/        Snakemake's records of the run: with what code, settings and input each file was made
==========================  =========================================================================================
"""

from __future__ import annotations

from braggfill.bundle.about import installed
from braggfill.bundle.pack import pack
from braggfill.bundle.unpack import unpack
from braggfill.bundle.verify import Verdict, verify

__all__ = ["Verdict", "installed", "pack", "unpack", "verify"]
