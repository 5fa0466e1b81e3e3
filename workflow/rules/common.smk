# What every rule file uses: the checked settings, the run's folder, the code fingerprints.
import os
import sys
from pathlib import Path

# The package beside the rules is the one that runs, here and in every job, installed or not.
PACKAGES = str(Path(workflow.basedir) / "workflow")
sys.path.insert(0, PACKAGES)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [PACKAGES, os.environ.get("PYTHONPATH")]))

from braggfill import fetch as _fetch
from braggfill.errors import BraggfillError
from braggfill.external import pynx_version
from braggfill.fingerprint import code
from braggfill.settings.root import parse

try:
    settings = parse(config, where="configuration")
except BraggfillError as error:
    raise WorkflowError(str(error)) from None

RUN = f"results/{settings.run}"
SEED = settings.seed
CHUNKS = [f"{i:04d}" for i in range(-(-settings.size.particles // settings.size.particles_per_chunk))]
SCANS = list(settings.extract.scans)
PYNX = pynx_version() or "none"


def block(stage):
    """A stage's settings, plain, as a rule's parameter: a change reruns the stage."""
    return getattr(settings, stage).model_dump(mode="json")


def indices(wildcards):
    """The particles of a chunk."""
    first = int(wildcards.chunk) * settings.size.particles_per_chunk
    return list(range(first, min(first + settings.size.particles_per_chunk, settings.size.particles)))


def kept(path):
    """Whole patterns are kept, or removed once their portions are cut (`size.keep_patterns`)."""
    return path if settings.size.keep_patterns else temp(path)


def chunks(stage):
    """Every chunk of a stage."""
    return expand(f"{RUN}/{stage}/chunk-{{chunk}}.h5", chunk=CHUNKS)


wildcard_constraints:
    chunk=r"\d{4,}",
    name=r"[a-z0-9_]+",
