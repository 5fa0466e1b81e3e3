# Simulated chunks shared between runs and users: `snakemake --cache`, with the shared folder in SNAKEMAKE_OUTPUT_CACHE.
# They are told apart by settings, seed, code and everything upstream, and lie in a folder for each set of versions.
if workflow.workflow_settings.cache is not None:
    import hashlib
    import json

    from braggfill.runs.storage import versions as _versions

    if not os.environ.get("SNAKEMAKE_OUTPUT_CACHE"):
        raise WorkflowError("--cache: name the shared folder in the environment variable SNAKEMAKE_OUTPUT_CACHE")
    # `--cache` alone means all that is simulated. The jobs of a cluster get the names from here.
    if not workflow.workflow_settings.cache:
        workflow.workflow_settings.cache.extend(["particle", "relax", "scatter", "perturb", "extract"])
    _shared = Path(os.environ.get("SNAKEMAKE_OUTPUT_CACHE")).absolute()
    if not _shared.name.startswith("software-"):  # in a job it does already
        _shared /= f"software-{hashlib.sha256(json.dumps(_versions()).encode()).hexdigest():.12}"
        _shared.mkdir(parents=True, exist_ok=True)
        os.environ.update(SNAKEMAKE_OUTPUT_CACHE=str(_shared))
    for _name in filter(workflow.is_rule, workflow.workflow_settings.cache):
        workflow.get_rule(_name)._benchmark = None  # Snakemake takes no times of a rule that may be fetched
