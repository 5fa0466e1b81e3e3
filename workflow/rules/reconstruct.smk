# Patterns with gap, filled and whole to real-space objects, strain and errors.
from braggfill.runs.splits import TEST, VALIDATION, split_of
from braggfill.settings.reconstruct import RecipeSettings

# What tasks look at: what turns a phase into a strain, where networks run, how gaps with the true phase are treated,
# one start of a recipe.
GEOMETRY = ("d_spacing_angstrom", "voxel_nm", "strain_axis", "surface_layers")
NETWORK = ("device", "threads")
SUPPORT = "true_phase.support_threshold"
EXACT = (SUPPORT, "true_phase.photons_at_peak", "true_phase.offset_px", "true_phase.methods")
RECIPE = [name for name in RecipeSettings.model_fields if name != "starts"]
CASES = ("cases", "simulated_particles", "box_px", "zoom", "strained_zoom", "gap_width_px", "offset_px", "far")
CASES += ("photons_at_peak", "min_oversampling")

EXACT_FILLS = filled_by(*settings.reconstruct.true_phase.methods)
RETRIEVAL_FILLS = filled_by(settings.reconstruct.retrieval.filled_by, *settings.reconstruct.retrieval.treatments)
MAP_FILLS = filled_by(settings.reconstruct.map.filled_by, *settings.reconstruct.map.treatments)


def untrained(number):
    """The first particles that the network was not trained on, those of the test before those of the validation."""
    looked_at = range(min(settings.size.particles, 100 * max(number, 1)))
    split = {i: split_of(settings.extract.fractions, SEED, i) for i in looked_at}
    return [i for wanted in (TEST, VALIDATION) for i in split if split[i] == wanted][:number]


def scattered(particles):
    """The files of their patterns."""
    return [f"{RUN}/scatter/chunk-{i:04d}.h5" for i in sorted({i // settings.size.chunk for i in particles})]


PARTICLES = untrained(settings.reconstruct.true_phase.particles)
PHASED = untrained(settings.reconstruct.retrieval.simulated_particles) or [0]
STRAINED = "id01_s978" if "strained" in settings.reconstruct.retrieval.cases else "id01_s11"  # asked for or not
STRAINED_TUNED = "id01_s978" if "strained" in settings.reconstruct.finetune.cases else "id01_s11"
STARTS = [f"{i:02d}" for i in range(settings.reconstruct.retrieval.starts)]
CELLS = [f"{i:03d}" for i in range(settings.reconstruct.map.cells)]


wildcard_constraints:
    start=r"[0-9]+",
    cell=r"[0-9]+",


rule reconstruct_true_phase:
    input:
        obj=f"{RUN}/fetch/id01_s11.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        out=f"{RUN}/reconstruct/true_phase.h5",
        table=f"{RUN}/reconstruct/true_phase.csv",
    log:
        f"{RUN}/logs/reconstruct/true_phase.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_true_phase.tsv"
    conda:
        "../../envs/retrieve.yaml"
    threads: settings.reconstruct.threads
    resources:
        mem_mb=memory(6000),
        runtime=minutes(120),
    params:
        settings=block(
            "reconstruct",
            *EXACT,
            *(f"true_phase.{name}" for name in ("oversamplings", "zoom", "box_px", "gap_widths_px")),
            *GEOMETRY,
            *NETWORK,
        ),
        code=code("stages.reconstruct.true_phase", *EXACT_FILLS),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_particles:
    input:
        patterns=scattered(PARTICLES),
        model=f"{RUN}/train/model.safetensors",
    output:
        table=f"{RUN}/reconstruct/particles.csv",
        means=f"{RUN}/reconstruct/particles_mean.csv",
    log:
        f"{RUN}/logs/reconstruct/particles.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_particles.tsv"
    conda:
        "../../envs/retrieve.yaml"
    threads: settings.reconstruct.threads
    resources:
        mem_mb=memory(4000),
        runtime=minutes(180),
    params:
        settings=block("reconstruct", *EXACT, "true_phase.particle_gap_widths_px", "surface_layers", *NETWORK),
        code=code("stages.reconstruct.true_phase", *EXACT_FILLS),
        seed=SEED,
        shipped=SHIPPED,
        chosen=PARTICLES,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_prepare:
    input:
        patterns=scattered(PHASED),
        obj=f"{RUN}/fetch/id01_s11.h5",
        strained=f"{RUN}/fetch/{STRAINED}.h5",
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        out=f"{RUN}/reconstruct/cases.h5",
    log:
        f"{RUN}/logs/reconstruct/prepare.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_prepare.tsv"
    conda:
        "../../envs/retrieve.yaml"
    threads: settings.reconstruct.threads
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=block(
            "reconstruct",
            *(f"retrieval.{name}" for name in (*CASES, "treatments", "filled_by")),
            SUPPORT,
            *GEOMETRY,
            *NETWORK,
        ),
        code=code("stages.reconstruct.phasing", *RETRIEVAL_FILLS),
        seed=SEED,
        shipped=SHIPPED,
        pynx=PYNX,
        chosen=PHASED,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_phase:
    input:
        cases=f"{RUN}/reconstruct/cases.h5",
    output:
        out=f"{RUN}/reconstruct/starts/{{start}}.h5",
    log:
        f"{RUN}/logs/reconstruct/start-{{start}}.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_phase-{{start}}.tsv"
    conda:
        "../../envs/retrieve.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        settings=block("reconstruct", *(f"retrieval.{name}" for name in RECIPE)),
        code=code("stages.reconstruct.phasing"),
        seed=SEED,
        shipped=SHIPPED,
        pynx=PYNX,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_retrieval:
    input:
        cases=f"{RUN}/reconstruct/cases.h5",
        starts=expand(f"{RUN}/reconstruct/starts/{{start}}.h5", start=STARTS),
    output:
        out=f"{RUN}/reconstruct/retrieval.h5",
        table=f"{RUN}/reconstruct/retrieval.csv",
    log:
        f"{RUN}/logs/reconstruct/retrieval.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_retrieval.tsv"
    conda:
        "../../envs/retrieve.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=block("reconstruct", "retrieval.cases", "retrieval.treatments", SUPPORT),
        code=code("stages.reconstruct.phasing"),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_map_cell:
    input:
        obj=f"{RUN}/fetch/id01_s11.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        table=f"{RUN}/reconstruct/map/{{cell}}.csv",
    log:
        f"{RUN}/logs/reconstruct/map-{{cell}}.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_map-{{cell}}.tsv"
    conda:
        "../../envs/retrieve.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=minutes(60),
    params:
        settings=block("reconstruct", "map", SUPPORT, *GEOMETRY, "device"),
        code=code("stages.reconstruct.treatment_map", *MAP_FILLS),
        seed=SEED,
        shipped=SHIPPED,
        pynx=PYNX,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_map:
    input:
        cells=expand(f"{RUN}/reconstruct/map/{{cell}}.csv", cell=CELLS),
    output:
        table=f"{RUN}/reconstruct/map.csv",
    log:
        f"{RUN}/logs/reconstruct/map.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_map.tsv"
    localrule: True
    conda:
        "../../envs/retrieve.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        settings=dict(),
        code=code("stages.reconstruct.treatment_map"),
        seed=SEED,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_finetune:
    input:
        obj=f"{RUN}/fetch/id01_s11.h5",
        strained=f"{RUN}/fetch/{STRAINED_TUNED}.h5",
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        out=f"{RUN}/reconstruct/finetune.h5",
        table=f"{RUN}/reconstruct/finetune.csv",
    log:
        f"{RUN}/logs/reconstruct/finetune.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_finetune.tsv"
    conda:
        "../../envs/retrieve.yaml"
    threads: settings.reconstruct.threads
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=block("reconstruct", "finetune", SUPPORT, *NETWORK),
        code=code("stages.reconstruct.finetuning", *filled_by("network", "braggfill", "linear")),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/reconstruct.py"
