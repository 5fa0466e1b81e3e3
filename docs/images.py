"""Draw the pictures of README.md, from the results of `make run` and the shipped weights: `make figures-docs`."""

import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from braggfill.runs import storage
from braggfill.stages.figures import slices, style
from matplotlib.colors import LogNorm

HERE = Path(__file__).parent / "images"
WIDTH = 6
TREATMENTS = {
    "whole": "no gap",
    "zeros": "gap taken as zero",
    "free": "masked",
    "braggfill": "filled",
    "sure": "the default",
}
CASES = {"known": "near the peak", "far": "far from the peak"}


def pattern(run: Path, out: Path) -> None:
    """The measured scan with a 6 px cross, filled by the shipped network, and as measured."""
    scan = next(path for path in sorted((run / "fetch").glob("aps*.h5")))
    case = slices.load(scan, run / "inpaint/cases.h5", f"cross-{WIDTH:02d}")
    if case is None or "braggfill" not in case.filled:
        raise SystemExit(f"{run}/inpaint/cases.h5: has no cross of {WIDTH} px filled by braggfill")
    frame = case.peak[0]
    near = tuple(slice(max(c - 40, 0), c + 40) for c in case.peak[1:])
    norm = LogNorm(0.5, case.truth[frame].max())
    colours = plt.get_cmap("inferno").with_extremes(bad="0.75", under="black")
    panels = {
        f"measured scan, with a {WIDTH} px gap": np.where(case.mask, np.nan, np.maximum(case.truth, 0.1)),
        "filled": np.maximum(case.filled["braggfill"], 0.1),
        "as measured, before the gap was cut": np.maximum(case.truth, 0.1),
    }
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
    for axis, (title, cube) in zip(axes, panels.items(), strict=True):
        shown = axis.imshow(cube[frame][near], norm=norm, cmap=colours, interpolation="nearest", origin="lower")
        axis.set_title(title, fontsize=11)
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0].set_xlabel("detector horizontal")
    axes[0].set_ylabel("detector vertical")
    figure.colorbar(shown, ax=axes, label="photons", shrink=0.85, pad=0.01)
    figure.savefig(out, dpi=110)


def strain(run: Path, out: Path) -> None:
    """Strain after phase retrieval of a known object, for each treatment of a gap near the peak and far from it."""
    with storage.read(run / "reconstruct/retrieval.h5") as file:
        cases = {name: file[name] for name in CASES if name in file}
        if not cases:
            raise SystemExit(f"{run}/reconstruct/retrieval.h5: phase retrieval was skipped in this run (PyNX)")
        figure, grid = plt.subplots(len(cases), 1 + len(TREATMENTS), figsize=(11, 0.3 + 2.1 * len(cases)),
                                    layout="constrained", squeeze=False)  # fmt: skip
        for row, (line, (name, group)) in enumerate(zip(grid, cases.items(), strict=True)):
            true = storage.array(group["truth/strain"], "0") * 1e4
            reach = float(np.nanpercentile(np.abs(true), 99))
            inside = np.argwhere(np.isfinite(true))
            low, high = inside.min(axis=0) - 2, inside.max(axis=0) + 3
            near = tuple(slice(max(a, 0), b) for a, b in zip(low, high, strict=True))
            voxel = float(np.ravel(group["truth"].attrs["voxel_angstrom"])[-1]) / 10
            width = int(group["whole"].attrs["gap_px"])
            for axis, key in zip(line, ("truth", *TREATMENTS), strict=True):
                image = true if key == "truth" else storage.array(group[f"{key}/strain"], "0") * 1e4
                shown = style.show(axis, image[near], style.symmetric(reach), "RdBu_r")
                told = "truth" if key == "truth" else TREATMENTS[key]
                axis.set_title("" if row else told, fontsize=11)
                if key != "truth":
                    axis.set_xlabel(f"error {float(group[key].attrs['strain_rmse']) * 1e4:.2f}·10⁻⁴", fontsize=9)
            style.length_bar(line[0], voxel)
            line[0].set_ylabel(f"{width} px gap\n{CASES[name]}")
            figure.colorbar(shown, ax=list(line), label="strain (10⁻⁴)", shrink=0.85, pad=0.01)
        figure.savefig(out, dpi=110)


def rules(run: Path, out: Path) -> None:
    """The rules of the workflow, as the run's report draws them."""
    found = re.search(r'<svg class="dag".*?</svg>', (run / "report.html").read_text(encoding="utf-8"), re.S)
    if found is None:
        raise SystemExit(f"{run}/report.html: has no picture of the rules; make run again")
    storage.write_text(out, found[0].replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results/demo")
    if not (folder / "report.html").is_file():
        raise SystemExit(f"{folder}/report.html is not there; give `make run` first")
    HERE.mkdir(exist_ok=True)
    matplotlib.rcParams.update(style.STYLE)
    rules(folder, HERE / "dag.svg")
    pattern(folder, HERE / "before_after.png")
    strain(folder, HERE / "strain.png")
