# braggfill: from atoms to filled patterns, strain maps and a report.
#   snakemake --cores 2 --configfile config/demo.yaml      on this machine
#   snakemake --profile slurm --configfile config/paper.yaml   on a cluster
from snakemake.utils import min_version

min_version("9.20")


configfile: "config/default.yaml"


include: "workflow/rules/common.smk"


for stage in ORDER:

    include: f"workflow/rules/{stage}.smk"


include: "workflow/rules/upstream.smk"
include: "workflow/rules/cache.smk"


rule all:
    default_target: True
    input:
        f"{RUN}/report.html",
        f"{RUN}/summary.txt",
    localrule: True
