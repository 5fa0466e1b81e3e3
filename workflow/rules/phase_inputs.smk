# What the rules of phase.smk take: choices from the settings and functions that name files.
from braggfill import networks
from braggfill.runs import external

PHASE_NETWORKS = list(dict.fromkeys(settings.phase.learn.networks))
PHASE_KINDS = list(dict.fromkeys(settings.phase.assess.kinds))
PHASE_STRAINS = list(dict.fromkeys(settings.phase.patches.strains))
PHASE_CASES = list(dict.fromkeys(settings.phase.refine.cases))
PHASE_SCANS = list(dict.fromkeys(settings.phase.measured.scans))
PHASE_LEARNING = [
    f"learn.{name}" for name in type(settings.phase.learn).model_fields if name not in ("networks", "tested")
]
PHASE_PATTERNS = ["kinds", "box_px", "oversampling", "photons_exponent"]  # what patterns for comparisons are made by
PHASE_MEASURING = [f"measured.{name}" for name in type(settings.phase.measured).model_fields if name != "scans"]
PHASE_FILLS = filled_by("braggfill")
PHASE_OBJECT = "id01_s978"  # the strongly strained object reconstructed from a measurement
SHIPPED_PHASE = networks.shipped_digest("braggphase")


def phase_model(wildcards):
    """The run's network for phases, where it is the one that is judged."""
    trained = settings.phase.assess.network == "trained" and "braggphase" in PHASE_NETWORKS
    return [f"{RUN}/phase/learn/braggphase.safetensors"] if trained else []


def phase_object(wildcards):
    """The measured object, for the case that is made of it."""
    return [f"{RUN}/fetch/{PHASE_OBJECT}.h5"] if getattr(wildcards, "case", "") == "id01" else []


def phase_scan(wildcards):
    """The measured scan."""
    return f"{RUN}/fetch/{getattr(wildcards, 'scan', PHASE_SCANS[0])}.h5"


def phase_part(part, *files):
    """The files of a part of the stage that this run has; none of one that it has not."""
    return list(files) if part in settings.phase.parts else []


PHASE_CURVES = phase_part("learn", *expand(f"{RUN}/phase/learn/{{network}}.csv", network=PHASE_NETWORKS))
PHASE_STITCHED = phase_part("patches", *expand(f"{RUN}/phase/patches/{{strain}}.csv", strain=PHASE_STRAINS))
PHASE_TABLES = [
    f"{RUN}/phase/summary.csv",
    *phase_part("learn", f"{RUN}/phase/compared.csv"),
    *phase_part("assess", f"{RUN}/phase/assess.csv"),
    *PHASE_STITCHED,
    *phase_part("refine", f"{RUN}/phase/refine.csv"),
    *phase_part("measured", f"{RUN}/phase/measured.csv"),
]


def phase_files():
    """What the figures of the chapter show: the tables, too."""
    patches = expand(
        f"{RUN}/phase/patches/{{strain}}-{{kind}}",
        strain=PHASE_STRAINS,
        kind=["history.csv", "shells.csv", "slices.h5"],
    )
    return [
        *PHASE_TABLES,
        *PHASE_CURVES,
        *phase_part("learn", f"{RUN}/phase/compared.h5"),
        *phase_part("patches", *patches),
        *phase_part("refine", *expand(f"{RUN}/phase/refine/{{case}}.h5", case=PHASE_CASES)),
        *phase_part("measured", *expand(f"{RUN}/phase/measured-{{scan}}.h5", scan=PHASE_SCANS)),
    ]
