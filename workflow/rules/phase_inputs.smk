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

CONVEX_MEASURED = {"id01_s11": "id01_s11", "id01_s978": "id01_s978", "aps": "aps_staff20_s0054"}  # case: data set
CONVEX_SETTINGS = type(settings.phase.convex).model_fields.keys() - {"cases", "particles"}
CONVEX_SETTINGS = [f"convex.{name}" for name in sorted(CONVEX_SETTINGS)]


def convex_cases():
    """The cases of automatic differentiation; simulated ones with their numbers."""
    found = []
    for case in dict.fromkeys(settings.phase.convex.cases):
        numbers = range(1, settings.phase.convex.particles + 1)
        found += [case] if case in CONVEX_MEASURED else [f"{case}_{number}" for number in numbers]
    return found


def convex_object(wildcards):
    """The measured object or scan, for the cases that are made of one."""
    name = CONVEX_MEASURED.get(getattr(wildcards, "case", ""))
    return [f"{RUN}/fetch/{name}.h5"] if name else []


def convex_files():
    """What the chapter on automatic differentiation is made of."""
    return [*expand(f"{RUN}/phase/convex/{{case}}.h5", case=convex_cases()), f"{RUN}/phase/convex.csv",
            f"{RUN}/phase/convex-claims.csv"]
