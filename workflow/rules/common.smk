# What all the rules use, the checked settings, the run's folder, the code fingerprints.
import math
import os
import sys
from functools import cache
from pathlib import Path

if any(c.isspace() for c in sys.executable):
    raise WorkflowError(
        f"{sys.executable}: Snakemake cannot start a Python whose path has a space in it; move the project to a folder "
        "without one and make .venv there anew"
    )

# The package beside the rules is the one that runs, here and in every job, installed or not.
PACKAGES = str(Path(workflow.basedir) / "workflow")
sys.path.insert(0, PACKAGES)
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [PACKAGES, os.environ.get("PYTHONPATH")])))

from braggfill.stages import fetch as _fetch
from braggfill.errors import BraggfillError
from braggfill.runs.external import pynx_version
from braggfill.runs.fingerprint import code as _code
from braggfill.networks import shipped_digest
from braggfill.settings import root as _root
from braggfill.runs.splits import RESERVED as _RESERVED
from braggfill.runs.splits import TEST, VALIDATION, split_of

try:
    settings = _root.parse(config, where="configuration")
except BraggfillError as error:
    raise WorkflowError(str(error)) from None

RUN = f"results/{settings.run}"
SEED = settings.seed
CHUNKS = [f"{i:04d}" for i in range(settings.size.chunks)]
OWN = [f"test{i:04d}" for i in range(-(-settings.evaluate.particles // settings.evaluate.particles_per_shard))]
PUBLISHED_KIND = list(settings.evaluate.paper_networks.values())  # trained networks of the published kind
FILLED_SCAN = settings.inpaint.scan  # the measured scan whose gaps are filled
JUDGED_SCAN = settings.evaluate.scan  # the one that patches are judged on
PATCHES_PER_SCAN = settings.extract.patches_per_scan(
    settings.size.particles * settings.scatter.views * settings.extract.patches
)
SCANS = list(settings.extract.scans) if PATCHES_PER_SCAN else []
fingerprint = cache(_code)
PYNX = pynx_version() or "none"
SHIPPED = shipped_digest()  # the network that comes with the package is compared with
PATTERN = math.prod(settings.scatter.shape) / 128**3  # the size of one, that of the paper is 1
PATCHES = settings.size.particles * settings.scatter.views * settings.extract.patches


def block(stage, *without):
    """A stage's settings, plain, as a rule's parameter: a change reruns the stage. Without those it doesn't look at."""
    return {k: v for k, v in getattr(settings, stage).model_dump(mode="json").items() if k not in without}


def code(stage):
    """The fingerprint of a stage's code, as a rule's parameter; only for those jobs that a process looks at."""
    return lambda wildcards: fingerprint(stage)


def indices(wildcards):
    """The particles of a chunk of the run, or of one of those that the evaluation has for itself."""
    if wildcards.chunk.startswith("test"):
        chunk, most = settings.evaluate.particles_per_shard, settings.evaluate.particles
        first = int(wildcards.chunk.removeprefix("test")) * chunk
        return [_RESERVED + i for i in range(first, min(first + chunk, most))]
    first = int(wildcards.chunk) * settings.size.chunk
    return list(range(first, min(first + settings.size.chunk, settings.size.particles)))


def scan_file(wildcards):
    """A measured scan by its name in the settings: a file, or `fetch:NAME` for one that the run fetches."""
    path = settings.extract.scans[wildcards.name].path
    return f"{RUN}/fetch/{path.removeprefix('fetch:')}.h5" if path.startswith("fetch:") else path


def scan_settings(wildcards):
    """The settings with this scan alone: another one that is added or changed reruns nothing here."""
    scan = settings.extract.scans[wildcards.name].model_dump(mode="json")
    return {**block("extract", "measured_share"), "scans": {wildcards.name: scan}}


def kept(path):
    """Whole patterns are kept, or removed once their patches are cut (`size.keep_patterns`)."""
    return path if settings.size.keep_patterns else temp(path)


def memory(mb):
    """Memory of a job: what it is thought to need, and as much again with every retry after it ran out."""
    return lambda wildcards, attempt: int(mb) * attempt


def minutes(fixed, particle=0.0, pattern=0.0):
    """Time limit of a job, several times what was measured, by the size of a chunk; longer with every retry."""
    particles = min(settings.size.chunk, settings.size.particles)
    limit = fixed + particles * (particle + settings.scatter.views * pattern)
    return lambda wildcards, attempt: math.ceil(limit) * attempt


def chunks(stage):
    """Every chunk of a stage."""
    return expand(f"{RUN}/{stage}/chunk-{{chunk}}.h5", chunk=CHUNKS)


def own(stage, sweep):
    """The chunks of the evaluation's own test particles, for a sweep that runs."""
    return expand(f"{RUN}/{stage}/chunk-{{chunk}}.h5", chunk=OWN if sweep in settings.evaluate.sweeps else [])


def parts(sweep, table=None):
    """The parts of a sweep's table, those of its shards or chunks; none of a sweep that does not run."""
    own_chunks = OWN if sweep in ("oversampling", "position") else range(settings.evaluate.shards)
    pieces = [""] if sweep in ("skip", "gaps") else [f"-{piece}" for piece in own_chunks]
    runs = sweep in settings.evaluate.sweeps
    return [f"{RUN}/evaluate/parts/{table or sweep}{piece}.csv" for piece in pieces] if runs else []


def swept_images():
    """What the sweeps that run leave for figures beside their tables."""
    sweeps = settings.evaluate.sweeps
    skip = [f"{RUN}/evaluate/skip.h5"] if "skip" in sweeps else []
    return skip + expand(f"{RUN}/evaluate/oversampling-{{chunk}}.h5", chunk=OWN if "oversampling" in sweeps else [])


def unchanging():
    """Settings under which an object is the same at every oversampling: no random fields, the middle of each range."""
    ranges = ("smoothing_sigma_voxels", "blur_sigma_voxels", "background_photons")
    same = {name: [sum(getattr(settings.perturb, name)) / 2] * 2 for name in ranges}
    photons = [math.log10(settings.evaluate.oversampling_photons)] * 2
    return {
        **block("perturb"),
        **same,
        "modulus_noise": [0.0, 0.0],
        "phase_replaced_share": 0.0,
        "photons_exponent": photons,
    }


def untrained(number):
    """The first particles that the network was not trained on, those of the test before those of the validation."""
    looked_at = range(min(settings.size.particles, 100 * max(number, 1)))
    split = {i: split_of(settings.extract.fractions, SEED, i) for i in looked_at}
    return [i for wanted in (TEST, VALIDATION) for i in split if split[i] == wanted][:number]


def scattered(particles):
    """The files of their patterns."""
    return [f"{RUN}/scatter/chunk-{i:04d}.h5" for i in sorted({i // settings.size.chunk for i in particles})]


wildcard_constraints:
    chunk=r"(test)?[0-9]+",
    shard=r"[0-9]+",
    name=r"[a-z0-9_]+",
