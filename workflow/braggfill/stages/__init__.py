"""The stages of the workflow, in the order of the DAG: the only list of them.

A stage is what Snakemake runs: its rules, script, settings, tests and results folder bear its name. Stages stand on
the libraries beside this folder and never on each other.
"""

ORDER = (
    "fetch",
    "particle",
    "relax",
    "scatter",
    "perturb",
    "extract",
    "crystal",
    "diffract",
    "flat",
    "train",
    "inpaint",
    "phase",
    "evaluate",
    "reconstruct",
    "figures",
)
