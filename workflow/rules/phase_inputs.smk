# What the rules of phase.smk take: choices from the settings and functions that name files.
from braggfill import networks
from braggfill.runs import external

PHASE_NETWORKS = list(dict.fromkeys(settings.phase.learn.networks))
PHASE_KINDS = list(dict.fromkeys(settings.phase.assess.kinds))
PHASE_STRAINS = list(dict.fromkeys(settings.phase.patches.strains))
PHASE_CASES = list(dict.fromkeys(settings.phase.refine.cases))
PHASE_LEARNING = [f"learn.{name}" for name in type(settings.phase.learn).model_fields if name != "networks"]
PHASE_OBJECT = "id01_s978"  # the strongly strained object reconstructed from a measurement
SHIPPED_PHASE = networks.shipped_digest("braggphase")


def phase_model(wildcards):
    """The run's network for phases, where it is the one that is judged."""
    trained = settings.phase.assess.network == "trained" and "braggphase" in PHASE_NETWORKS
    return [f"{RUN}/phase/learn/braggphase.safetensors"] if trained else []


def phase_object(wildcards):
    """The measured object, for the case that is made of it."""
    return [f"{RUN}/fetch/{PHASE_OBJECT}.h5"] if getattr(wildcards, "case", "") == "id01" else []
