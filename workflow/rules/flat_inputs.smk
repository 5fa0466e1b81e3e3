# What the rules of flat.smk take: choices from the settings and functions that name files.
FLAT = settings.flat
FLAT_NETWORKS = ("networks.planar.msd", "networks.planar.gated")  # looked up by name
FLAT_SETS = {  # what the patterns of a study are made by
    "gaps": ["side_px", "patterns", "validation", "test", "oversampling", "photons_exponent", "phase_range_radians"],
    "low": ["patterns", "validation", "test", "oversampling", "photons_exponent", "phase_range_radians"],
}
FLAT_SETS["high"] = FLAT_SETS["low"]
FLAT_TRAINING = ["epochs", "batch", "rate", "own_rate", "width", "channels", "cross_fraction"]
FLAT_SWEEP = ["side_px", "oversampling", "photons_exponent", "phase_range_radians", "example_width_px", "spacing_px"]


def flat_settings(study, *names):
    """Settings of a study that a task looks at."""
    return block("flat", *(f"{study}.{name}" for name in names))


def flat_gap_cells():
    """Network, loss and widths of every training of the gap study."""
    gaps, found = FLAT.gaps, []
    for widths in gaps.widths_px:
        pairs = [(network, "mse_ssim_gradients") for network in gaps.networks]
        pairs += [(network, "likelihood") for network in gaps.networks if network == "braggfill"]
        pairs += [(network, loss) for network in gaps.loss_networks for loss in gaps.losses]
        found += [f"{network}-{loss}-{'_'.join(map(str, widths))}" for network, loss in pairs]
    return list(dict.fromkeys(found))


def flat_compared():
    """The networks that sweeps compare, trained on the width of the figures if there are several trainings."""
    gaps = FLAT.gaps
    widths = next((one for one in gaps.widths_px if gaps.example_width_px in one), gaps.widths_px[0])
    ends = ("mse_ssim_gradients", "likelihood")
    cells = [cell.split("-") for cell in flat_gap_cells()]
    return [
        f"{RUN}/flat/gap-{'-'.join(cell)}.safetensors"
        for cell in cells
        if cell[1] in ends
        and cell[2] == "_".join(map(str, widths))
        and not (cell[0] == "braggfill" and cell[1] == ends[0])
    ]


def flat_phase_cells(study):
    """Loss, patterns and width of every training of a phase study."""
    chosen = getattr(FLAT, study)
    found = [f"{loss}-{chosen.patterns[0]}-{chosen.widths[0]:g}" for loss in chosen.losses]
    found += [f"{loss}-{n}-{w:g}" for loss in chosen.grid_losses for w in chosen.widths for n in chosen.patterns]
    return list(dict.fromkeys(found))


def flat_phase_files(ending="h5"):
    """What all trainings of both phase studies leave."""
    return [
        f"{RUN}/flat/phase-{study}-{cell}.{ending}" for study in ("low", "high") for cell in flat_phase_cells(study)
    ]


FLAT_TABLES = expand(
    f"{RUN}/flat/{{table}}.csv",
    table=["gaps", "position", "oversampling", "full", "phases", "parts", "starts", "claims"],
)


def flat_files():
    """What the report shows of these studies."""
    cells = [f"{RUN}/flat/gap-{cell}.h5" for cell in flat_gap_cells()]
    others = expand(
        f"{RUN}/flat/{{name}}.h5", name=["patterns-gaps", "patterns-low", "patterns-high", "baseline", "fit"]
    )
    return FLAT_TABLES + cells + flat_phase_files() + others
