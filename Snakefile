# braggfill: from atoms to filled patterns, strain maps and a report.
#   snakemake --cores 2 --configfile config/demo.yaml      on this machine
#   snakemake --profile slurm --configfile config/paper.yaml   on a cluster
from snakemake.utils import min_version

min_version("9.20")


configfile: "config/default.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/particle.smk"
include: "workflow/rules/relax.smk"
include: "workflow/rules/scatter.smk"
include: "workflow/rules/perturb.smk"
include: "workflow/rules/extract.smk"
include: "workflow/rules/crystal.smk"
include: "workflow/rules/diffract.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/inpaint.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/reconstruct.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/upstream.smk"
include: "workflow/rules/cache.smk"


rule all:
    default_target: True
    input:
        f"{RUN}/report.html",
        f"{RUN}/summary.txt",
    localrule: True
