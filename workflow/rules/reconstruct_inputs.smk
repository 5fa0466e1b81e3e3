# What the rules of reconstruct.smk take: choices from the settings and functions that name files.
from braggfill.runs.splits import TEST, VALIDATION, split_of
from braggfill.phasing import single
from braggfill.settings.reconstruct import RecipeSettings
from braggfill.stages.reconstruct.treatments import WEIGHTED

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
TUNED_WITH = options.of_card("braggfill", networks.card(networks.shipped())) if networks.is_shipped() else TRAINED_WITH
TUNED_LOSSES = losses.modules(TUNED_WITH.loss)
MAP_FILLS = filled_by(settings.reconstruct.map.filled_by, *settings.reconstruct.map.treatments)


def untrained(number):
    """The first particles that the network was not trained on, those of the test before those of the validation."""
    looked_at = range(min(settings.size.particles, 100 * max(number, 1)))
    split = {i: split_of(settings.extract.fractions, SEED, i) for i in looked_at}
    return [i for wanted in (TEST, VALIDATION) for i in split if split[i] == wanted][:number]


def scattered(particles):
    """The files of their patterns."""
    return [f"{RUN}/scatter/chunk-{i:04d}.h5" for i in sorted({i // settings.size.chunk for i in particles})]


def phased_by(recipe):
    """The modules of the engines that may take this recipe's starts, for the fingerprint of a task."""
    names = single.engines(recipe.engine, bool(WEIGHTED & set(recipe.treatments)))
    return [single.ENGINES[name] for name in names]


PARTICLES = untrained(settings.reconstruct.true_phase.particles)
PHASED = untrained(settings.reconstruct.retrieval.simulated_particles) or [0]
STRAINED = "id01_s978" if "strained" in settings.reconstruct.retrieval.cases else "id01_s11"  # asked for or not
STRAINED_TUNED = "id01_s978" if "strained" in settings.reconstruct.finetune.cases else "id01_s11"
STARTS = [f"{i:02d}" for i in range(settings.reconstruct.retrieval.starts)]
CELLS = [f"{i:03d}" for i in range(settings.reconstruct.map.cells)]
