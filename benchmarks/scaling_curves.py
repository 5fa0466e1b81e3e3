"""What more data and a larger network bring: the default network, trained small many times over.

Along three axes, everything else alike, on the patches of a run (``results/paper`` after
``make run CONFIG=config/paper.yaml``):

- ``patches seen``: one pass over 600 to 9,600 patches of all particles, each with its own whole schedule;
- ``particles``: 4,800 patches seen of the first 10 to 150 particles, those of few particles again and again;
- ``parameters``: 4,800 patches seen by networks of 0.2 to 3.6 million parameters.

Each network is judged by simulated test patches against their noise-free expectation, by the measured scan against
its counts (PCC over gaps of 3 to 12 voxels, and its share of the way from linear interpolation to the noise ceiling),
and by the strain that gaps of 3 and 9 voxels leave in the reconstructed object with the true phase.  Networks trained
elsewhere, the shipped one among them, stand beside them (``--also``).  Where the error falls as a power of what it is
drawn against, the fit says what the next factor of ten would bring.

scaling.csv: a row a network; fits.csv: a row an axis and measure; scaling.png.  A network that is already in the
folder is not trained again.  About an hour on two cores.

Usage: scaling_curves.py results/paper OUT [--threads 2] [--only "patches seen" …] [--also NAME=model.safetensors …]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from braggfill import networks
from braggfill.runs import storage
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.settings.reconstruct import ReconstructSettings, TruePhaseSettings
from braggfill.settings.train import TrainSettings
from braggfill.stages.evaluate.patches import gap_table, simulated_table
from braggfill.stages.reconstruct import true_phase
from braggfill.stages.train import train
from compare_networks import SHARED

WIDTHS = (3, 6, 9, 12)
STRAIN_WIDTHS = (3, 9)
PATCHES = 160
SEEN = 4800
AXES = ("patches seen", "particles", "parameters")
MEASURES = {
    "lost_simulated": "1 - PCC, simulated",
    "lost_measured": "1 - share of the ceiling, measured",
    "strain_rmse": "strain RMSE",
}
"""Errors, columns of the table: the smaller, the better."""


def plan(files: list[Path], threads: int) -> dict[str, tuple[tuple[str, ...], TrainSettings, list[Path]]]:
    """Axes, settings and files of every network; the one in the middle stands on all the axes."""

    def settings(patches: int, epochs: int = 1, channels: tuple[int, int, int] = (32, 64, 96)) -> TrainSettings:
        more = {"patches_max": patches, "epochs": epochs, "channels": channels, "threads": threads}
        return TrainSettings.model_validate(SHARED | more)

    found = {"4800 patches": (AXES, settings(SEEN), files)}
    for patches in (600, 1200, 2400, 9600):
        found[f"{patches} patches"] = (AXES[:1], settings(patches), files)
    for number in (1, 2, 5):  # files; of their patches some are empty, hence a few less than there are
        epochs = -(-SEEN // (number * 930))
        found[f"{particles(files[:number])} particles"] = (AXES[1:2], settings(SEEN // epochs, epochs), files[:number])
    for channels in ((12, 24, 36), (20, 40, 60), (48, 96, 144)):
        found[f"channels {'-'.join(map(str, channels))}"] = (AXES[2:], settings(SEEN, 1, channels), files)
    return found


def particles(files: list[Path]) -> int:
    """How many particles there are training patches of."""
    found = 0
    for path in files:
        with storage.read(path) as file:
            found += len(np.unique(file["particle"][...][file["split"][...] == 0]))
    return found


def judge(run: Path, model: Path) -> dict[str, float]:
    """The measures of a network, each a mean over the widths of the gap."""
    chosen = EvaluateSettings(
        methods=("network", "linear"),
        patches={"gap_widths_px": WIDTHS},
        measured={"patches": PATCHES},
        simulated={"patches": PATCHES},
    )
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        out, arrays = Path(folder) / "table.csv", Path(folder) / "objects.h5"
        simulated_table(chosen, 1, sorted((run / "extract").glob("chunk-*.h5")), model, out)
        table = pd.read_csv(out).query("method == 'network' and against == 'expectation' and selection == 'ge1'")
        found["lost_simulated"] = 1 - float(table["pcc_mean"].mean())
        scan = next((run / "fetch").glob("aps*.h5"), None)
        if scan is not None:
            gap_table(chosen, 1, scan, model, out)
            table = pd.read_csv(out).query("method == 'network' and selection == 'ge1'")
            found["pcc_measured"] = float(table["pcc_mean"].mean())
            found["lost_measured"] = 1 - float(table["recovered_fraction"].mean())
        obj = next((run / "fetch").glob("id01_s11*.h5"), None)
        if obj is not None:
            phase = TruePhaseSettings(oversamplings=(4.0,), gap_widths_px=STRAIN_WIDTHS, methods=("network",))
            true_phase.true_phase(ReconstructSettings(true_phase=phase), 1, obj, model, arrays, out)
            table = pd.read_csv(out).query("method == 'network'")
            found["strain_rmse"] = float(np.exp(np.log(table["strain_rmse"]).mean()))
            found["strain_factor"] = float(np.exp(np.log(table["strain_rmse_factor"]).mean()))
    return found


def fits(table: pd.DataFrame) -> pd.DataFrame:
    """Error = a x^-b along each axis, and by what factor it would change for ten times as much."""
    rows = []
    for axis in AXES:
        part = table[table["axis"] == axis].dropna(subset=["x"])
        for measure, label in MEASURES.items():
            if len(part) < 3 or measure not in part:
                continue
            x, y = np.log10(part["x"]), np.log10(part[measure])
            slope, offset = np.polyfit(x, y, 1)
            spread = float(np.std(y - (slope * x + offset)))
            about = {"axis": axis, "measure": label, "exponent": slope, "ten_times": 10**slope}
            rows.append({**about, "scatter_decades": spread})
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, out: Path) -> None:
    """A panel an axis; each measure relative to the network in the middle, so that they share a scale."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, ScalarFormatter

    middle = table[table["network"] == "4800 patches"].iloc[0]
    figure, panels = plt.subplots(1, len(AXES), figsize=(12, 3.6), sharey=True, layout="constrained")
    for panel, axis in zip(panels, AXES, strict=True):
        part = table[table["axis"] == axis].sort_values("x")
        for number, (measure, label) in enumerate(MEASURES.items()):
            if measure not in part:
                continue
            panel.plot(part["x"], part[measure] / middle[measure], "o-", color=f"C{number}", label=label)
            if axis == AXES[0]:
                also = table[table["axis"] == "also"]
                panel.plot(also["x"], also[measure] / middle[measure], "*", ms=11, color=f"C{number}")
        panel.set(xscale="log", yscale="log", xlabel=axis)
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.3, which="both")
    panels[0].yaxis.set_major_locator(FixedLocator([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3]))
    panels[0].yaxis.set_major_formatter(ScalarFormatter())
    panels[0].yaxis.set_minor_locator(NullLocator())
    panels[0].set_ylabel("error, relative to 4,800 patches seen")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(out, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with its patches")
    parser.add_argument("out", type=Path, help="folder of the trained networks, the tables and the figure")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=AXES, choices=AXES, help="these axes; all by default")
    parser.add_argument("--also", nargs="*", default=[], metavar="NAME=FILE", help="networks trained elsewhere")
    wanted = parser.parse_args()
    files = sorted((wanted.run / "extract").glob("chunk-[0-9]*.h5"))
    rows = []
    for name, (axes, settings, used) in plan(files, wanted.threads).items():
        if not set(axes) & set(wanted.only):
            continue
        folder = wanted.out / name.replace(" ", "-")
        model = folder / "model.safetensors"
        if not model.is_file():
            train(settings, 1, used, model, folder / "history.csv", folder / "work")
        rows += described(wanted.run, name, axes, model, particles(used), folder / "judged.csv")
        storage.write_table(wanted.out / "scaling.csv", pd.DataFrame(rows))
    for name, model in (pair.split("=", 1) for pair in [f"shipped={networks.shipped()}", *wanted.also]):
        rows += described(wanted.run, name, ("also",), Path(model), particles(files), wanted.out / f"{name}.csv")
    table = pd.DataFrame(rows)
    storage.write_table(wanted.out / "scaling.csv", table)
    storage.write_table(wanted.out / "fits.csv", fits(table))
    draw(table, wanted.out / "scaling.png")
    print(table.round(4).to_string(index=False))
    print(fits(table).round(3).to_string(index=False))


def described(run: Path, name: str, axes: tuple[str, ...], model: Path, number: int, kept: Path) -> list[dict]:
    """Rows of one network, one for each axis that it stands on; judged once, and kept in a file."""
    card = networks.card(model)
    if not kept.is_file():
        storage.write_table(kept, pd.DataFrame([judge(run, model)]))
    scores = pd.read_csv(kept).iloc[0].to_dict()
    size = sum(weight.numel() for weight in networks.load(model).parameters())
    places = {"patches seen": card["patches_seen"], "particles": number, "parameters": size}
    known = {"network": name, "patches_seen": card["patches_seen"], "particles": number, "parameters": size}
    known |= {kind: card["metrics"].get(kind) for kind in ("val_loss", "val_pcc")}
    return [{"axis": axis, "x": places.get(axis, card["patches_seen"]), **known, **scores} for axis in axes]


if __name__ == "__main__":
    main()
