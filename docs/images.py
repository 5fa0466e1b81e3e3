"""Draw the pictures of README.md from the results of `make run`.  Usage: python docs/images.py"""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import braggfill
import matplotlib.pyplot as plt
from braggfill.patterns import gaps
from braggfill.runs import storage
from braggfill.stages.figures.graph import dag_svg
from matplotlib.colors import LogNorm

HERE = Path(__file__).parent / "images"
RUN = Path("results/demo")


def brightest_pattern() -> np.ndarray:
    """The simulated pattern with the most photons of the run's last chunk."""
    with storage.read(sorted((RUN / "perturb").glob("chunk-[0-9]*.h5"))[-1]) as file:
        patterns = [view["counts"][()] for particle in file.values() for view in particle.values()]
    return max(patterns, key=lambda counts: counts.sum())


def before_after(out: Path) -> None:
    """The central detector frame with a 6 px cross, filled, and as it was."""
    counts = brightest_pattern()
    mask = gaps.cross(counts.shape, 6, [n // 2 + 11 for n in counts.shape[1:]])
    filled = braggfill.inpaint(np.where(mask, 0, counts), mask, network=RUN / "train/model.safetensors")
    frame = counts.shape[0] // 2
    norm = LogNorm(0.5, counts[frame].max())
    colours = plt.get_cmap("inferno").with_extremes(bad="0.75", under="black")
    panels = {
        "simulated pattern, with a 6 px gap": np.where(mask, np.nan, np.maximum(counts, 0.1))[frame],
        "filled": np.maximum(filled.data, 0.1)[frame],
        "before the gap was cut": np.maximum(counts, 0.1)[frame],
    }
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
    for axis, (title, image) in zip(axes, panels.items(), strict=True):
        shown = axis.imshow(image, norm=norm, cmap=colours, interpolation="nearest")
        axis.set_title(title, fontsize=11)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.colorbar(shown, ax=axes, label="photons", shrink=0.85, pad=0.01)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    storage.write_text(HERE / "dag.svg", dag_svg().replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    before_after(HERE / "before_after.png")
