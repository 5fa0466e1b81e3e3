"""Chapter: phase retrieval, and networks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures.chapter import Chapter, Figure, Number, Tone, Verdict
from braggfill.stages.figures.table import Table, figures, number, read

CASES = {
    "particle_1": "a simulated, strained particle",
    "particle_2": "another simulated particle",
    "id01": "an object reconstructed from a measurement",
}
TONES: dict[str, Tone] = {"converged": "good", "failed": "bad"}
ASSESS = {"table": "phase/assess.csv"}
OWN = ("an idea", "fails")
"""What the column ``published`` has where a comparison goes beyond what was published."""


def drawn(settings: FiguresSettings, run: Mapping[str, Any]) -> list[Figure]:
    """The figures of those parts of the stage that the run has."""
    chosen = run.get("phase") or {}
    parts = chosen.get("parts", ("learn", "assess", "patches", "refine", "measured"))
    made = {"measured": _measured, "refine": _refined, "learn": _learnt, "assess": _assessed, "patches": _patches}
    return [figure for part, of in made.items() if part in parts for figure in of(chosen)]


def _measured(chosen: Mapping[str, Any]) -> Iterator[Figure]:
    from braggfill.stages.figures import phase_objects, phase_tables

    for scan in (chosen.get("measured") or {}).get("scans", ()):
        yield Figure(
            f"phase_measured_{scan}",
            phase_tables.MEASURED,
            f"Object of the measured scan {scan}",
            "Slices through the peak of the pattern and through the middle of the object: modulus, phase, strain where "
            "the geometry of the scan is known, and how far the starts that it is made of differ. (a) Free "
            "log-likelihood of every start: Poisson deviance per voxel of voxels that were kept out of the phasing. "
            "(b) Phase retrieval transfer function. The page beside the picture shows the object as a surface to turn "
            "and its slices to move through.",
            phase_objects.measured,
            {"phased": f"phase/measured-{scan}.h5"},
        )


def _refined(chosen: Mapping[str, Any]) -> Iterator[Figure]:
    from braggfill.stages.figures import phase_objects, phase_tables

    for case in (chosen.get("refine") or {}).get("cases", ()):
        told, file = CASES.get(case, case), {"case": f"phase/refine/{case}.h5"}
        yield Figure(
            f"phase_refined_{case}",
            phase_tables.REFINED,
            f"Truth, network, refinement, random runs: {told}",
            "Slices through the middle of the true object; of the network's object; of that object after error "
            "reduction in which only voxels at the border of the support change, and after one run of RAAR, HIO, RAAR "
            "and ER; and of the best three of many runs from random starts, taken together. Below: accuracy (Eq. 4.5). "
            "Compare with the thesis, Figs 4.34 to 4.41.",
            phase_objects.refined,
            file,
        )
        yield Figure(
            f"phase_projections_{case}",
            phase_tables.REFINED,
            f"Projections of counts and of calculated intensities: {told}",
            "The counts and the intensity of each object, summed along each of the three axes, on one logarithmic "
            "scale; mismatch: mean square of the difference of log(1 + photons). Compare with the thesis, Fig. 4.42.",
            phase_objects.projections,
            file,
        )


def _learnt(chosen: Mapping[str, Any]) -> Iterator[Figure]:
    from braggfill.stages.figures import phase_networks, phase_tables

    names = (chosen.get("learn") or {}).get("networks", ())
    yield Figure(
        "phase_networks",
        phase_tables.TRAINED,
        "Predicting the phase against predicting the object",
        "Patterns that no network has seen, of ever wider range of the phase: slices of the true object and of what "
        "each network's phase gives with the measured amplitude, with accuracies (Eq. 4.5); below: all patterns. Each "
        f"network ({', '.join(names)}) was trained on the same patterns. Compare with the thesis, Fig. 4.52.",
        phase_networks.networks,
        {"objects": "phase/compared.h5", "table": "phase/compared.csv"},
    )
    yield Figure(
        "phase_curves",
        phase_tables.TRAINED,
        "Learning curves of the networks",
        "Losses of training and validation, each network's own, and the weighted coherent average (WCA) of the error "
        "of "
        "the phases on the same validation patterns, which compares them: 0 is right.",
        phase_networks.curves,
        {"histories": "phase/learn/*.csv"},
    )


def _assessed(chosen: Mapping[str, Any]) -> Iterator[Figure]:
    from braggfill.stages.figures import phase_networks, phase_tables

    part = phase_tables.ASSESSED
    yield Figure(
        "phase_compared",
        part,
        "Network, one random run, and network with refinement",
        "Accuracy (Eq. 4.5) of the objects of one particle under ever stronger phases of three kinds. Right is 0.95 "
        "(dotted) and more. Compare with the thesis, Figs 4.47 to 4.49.",
        phase_networks.compared,
        ASSESS,
    )
    yield Figure(
        "phase_strengths",
        part,
        "Accuracy by kind and strength of the phase",
        "Accuracy (Eq. 4.5) of the network's objects: mean over particles, band: standard deviation, points: each "
        "particle. Right is 0.95 (dotted) and more. Compare with the thesis, Fig. 4.46.",
        phase_networks.strengths,
        ASSESS,
    )
    yield Figure(
        "phase_bodies",
        part,
        "Bodies with and without a centre of symmetry",
        "Accuracy (Eq. 4.5) of the network's objects under two Gaussians, body by body. A weak phase on a body without "
        "a centre of symmetry gives a phase in reciprocal space that is far from spherical; a stronger phase may make "
        "it easier. Compare with the thesis, Figs 4.50 and 4.51.",
        phase_networks.bodies,
        ASSESS,
    )
    yield Figure(
        "phase_conditions",
        part,
        "Other oversampling, fewer photons, gaps",
        "Accuracy (Eq. 4.5) of the network's objects, mean over particles, at half the largest strength; open circles: "
        "the conditions of the other figures. The gap lies eight voxels from the peak.",
        phase_networks.conditions,
        ASSESS,
    )


def _patches(chosen: Mapping[str, Any]) -> Iterator[Figure]:
    from braggfill.stages.figures import phase_patches, phase_tables

    part = phase_tables.PATCHES
    yield Figure(
        "phase_shells",
        part,
        "Accuracy by shell of patches",
        "Left: accuracy (Eq. 4.5) of the object with the phase of all patches up to each shell. Middle and right: WCA "
        "of the phase that the shell brings, with a constant and a sign of its own, and with those of the central "
        "patch. Dashed: the outer network was trained on what the networks themselves predict. Compare with the "
        "thesis, "
        "sections 4.6.5 and 4.7.",
        phase_patches.shells,
        {"tables": "phase/patches/*-shells.csv"},
    )
    for strain in (chosen.get("patches") or {}).get("strains", ()):
        yield Figure(
            f"phase_stitched_{strain}",
            part,
            f"Stitched phases, {strain} strain",
            "Slices through the middle of a pattern that no network has seen: the true phase where patches reach "
            "(frame: "
            "central patch) and that of each way of stitching, with the constant and the sign of the truth; modulus "
            "and "
            "phase of the objects. Compare with the thesis, Figs 4.22, 4.24 and 4.29.",
            phase_patches.stitched,
            {"slices": f"phase/patches/{strain}-slices.h5"},
        )
    yield Figure(
        "phase_patch_curves",
        part,
        "Learning curves of the networks for patches",
        "Weighted coherent average of the error of the phase, training and validation, of the central network and of "
        "the "
        "outer one. Compare with the thesis, Figs 4.18 and 4.25.",
        phase_patches.curves,
        {"histories": "phase/patches/*-history.csv"},
    )


def told(folder: Path) -> list[Table | None]:
    from braggfill.stages.figures import phase_tables

    return phase_tables.every(folder)


def verdict(folder: Path) -> Verdict | None:
    """The measured scans' verdicts, what the network is worth, and how many statements are reproduced."""
    found = [*_scans(folder), *_refinement(folder), *_network(folder), *_statements(folder)]
    if not found:
        return None
    return Verdict(" ".join(text for text, _ in found), tuple(one for _, one in found if one)[:4])


Said = tuple[str, Number | None]


def _scans(folder: Path) -> Iterator[Said]:
    table = read(folder / "phase/measured.csv")
    if table is None:
        return
    told = ". ".join(f"{row.scan}: {row.verdict}, {row.why}" for row in table.itertuples())
    first = table.iloc[0]
    agreement = f"agreement of {first.chosen} starts, {first.scan}: {first.verdict}"
    yield (
        f"{told}.",
        Number(number(first.agreement), agreement, TONES.get(first.verdict, "")) if first.chosen > 1 else None,
    )


def _refinement(folder: Path) -> Iterator[Said]:
    """Network and one run against many random runs, the first object."""
    from braggfill.phasing.score import RIGHT

    table = read(folder / "phase/refine.csv")
    if table is None:
        return
    many = table[table.method == "runs"].sort_values("accuracy").drop_duplicates("case", keep="last").set_index("case")
    one = table[table.method == "network_run"].set_index("case")
    both = [case for case in many.index if case in one.index]
    if not both:
        right = int((many.accuracy >= RIGHT).sum())
        text = f"Without a network, random runs find {right} of {len(many)} objects whose truth is known."
        yield text, Number(f"{right} of {len(many)}", "objects right (≥ 0.95) by random runs alone")
        return
    found = {name: int((part.loc[both].accuracy >= RIGHT).sum()) for name, part in (("one", one), ("many", many))}
    faster = float((many.loc[both].cpu_seconds / one.loc[both].cpu_seconds.clip(lower=1e-9)).mean())
    yield (
        f"Network and one run find {found['one']} of {len(both)} objects whose truth is known, "
        f"{int(many.runs.iloc[0])} random runs {found['many']}, in {figures(faster, 2)} times the time.",
        Number(f"{found['one']} of {len(both)}", f"objects right by network and one run; random runs: {found['many']}",
               "good" if found["one"] == len(both) or found["one"] > found["many"] else "bad"),
    )  # fmt: skip


def _network(folder: Path) -> Iterator[Said]:
    table = read(folder / "phase/assess.csv")
    if table is None:
        return
    alone = table[(table.study == "particles") & (table.method == "network")]
    means = alone.groupby("kind").accuracy.mean()
    if not len(means):
        return
    best = str(means.idxmax())
    words = {"gaussians": "two Gaussians", "cosines": "two cosines", "correlated": "random fields"}
    yield (
        f"The {table.network.iloc[0]} network's objects have an accuracy of "
        + ", ".join(f"{number(value, 2)} ({words.get(str(kind), kind)})" for kind, value in means.items()) + ".",
        Number(number(means[best], 2), f"accuracy of the network's objects, {words.get(best, best)}"),
    )  # fmt: skip


def _statements(folder: Path) -> Iterator[Said]:
    table = read(folder / "phase/summary.csv")
    if table is None:
        return
    own = table.published.isin(OWN)
    held = table.holds == "yes"
    number_of, right = int((~own).sum()), int(held[~own].sum())
    if number_of:
        yield (
            f"{right} of {number_of} statements of the thesis are reproduced at the sizes of this run.",
            Number(
                f"{right} of {number_of}", "published statements reproduced", "good" if right == number_of else "bad"
            ),
        )
    if own.any():
        yield f"{int(held[own].sum())} of {int(own.sum())} further comparisons hold.", None


CHAPTER = Chapter(
    "phase",
    "Phase",
    "Phase retrieval: measured scans, networks that predict the phase of a pattern, what refinement makes of their "
    "objects (Masto, thesis, sections 4.6 to 4.11), at the sizes of this run's settings.",
    drawn,
    told,
    verdict,
    "phase",
)
