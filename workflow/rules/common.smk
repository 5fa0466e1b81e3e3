# What the rules of all stages share: the checked settings, the run's folder, what a task's parameters and limits are.
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

from braggfill.stages import ORDER
from braggfill.errors import BraggfillError
from braggfill.runs.fingerprint import code as _code
from braggfill.settings import root as _root

try:
    for _file in workflow.configfiles if workflow.is_main_process else ():
        _root.read(_file)  # Snakemake has merged them by now, and said nothing of a setting that stands there twice.
    settings = _root.parse(config, where="configuration")
except BraggfillError as error:
    raise WorkflowError(str(error)) from None

RUN = f"results/{settings.run}"
SEED = settings.seed
CHUNKS = [f"{i:04d}" for i in range(settings.size.chunks)]
fingerprint = cache(_code)


def block(stage, *names):
    """The settings of its stage that a task looks at, as its rule's parameter: a change of them reruns the task.

    Names are those of settings or blocks, or `block.name`; the whole stage's where none is given.
    """
    chosen = getattr(settings, stage)
    return chosen.only(*names or type(chosen).model_fields)


def code(*modules):
    """The fingerprint of a task's code, as its rule's parameter: of its own module and those that it looks up by name.

    Worked out only for those jobs that a process looks at.
    """

    def told(wildcards):
        return fingerprint(*modules)

    told.modules = modules
    return told


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


wildcard_constraints:
    chunk=r"(test)?[0-9]+",
    shard=r"[0-9]+",
    name=r"[a-z0-9_]+",
