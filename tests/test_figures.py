"""Figures and report: drawn from small real outputs of every stage, self-contained, open about what is missing."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser

import h5py
import numpy as np
import pytest
from braggfill.filling import methods
from braggfill.runs import storage
from braggfill.stages.figures import record, slices, style
from braggfill.stages.figures.catalogue import catalogue, draw, draw_one
from braggfill.stages.figures.chapters import CHAPTERS
from braggfill.stages.figures.page import report
from braggfill.stages.figures.record import left_out
from braggfill.stages.figures.summary import summary
from figures_helpers import RULES, RUN, SETTINGS, folder
from PIL import Image

__all__ = ["folder"]  # a fixture
pytestmark = pytest.mark.long  # its small outputs of every stage take minutes; the tiny DAG makes a report, too


@pytest.fixture(scope="module")
def drawn(folder):
    draw(SETTINGS.figures, SETTINGS.seed, RUN, folder, folder / "figures/figures.json")
    return {entry["name"]: entry for entry in json.loads((folder / "figures/figures.json").read_text())}


@pytest.fixture(scope="module")
def html(folder, drawn):
    report(SETTINGS.figures, RUN, folder, folder / "report.html", RULES)
    return (folder / "report.html").read_text(encoding="utf-8")


# Figures --------------------------------------------------------------------------------------------------------------

SWEPT = {"intensity", "oversampling", "oversampling_images", "position", "skip", "gaps"}
MADE = {
    "particles",
    "perturbation",
    "patches",
    "slices-06",
    "detector",
    "accuracy",
    "calibration",
    "true_phase",
    "errors",
    *SWEPT,
}
MADE |= {"widths", "savings", "finetune", "residuals-06"}
MISSING = {"training", "treatments", "map"}
MISSING |= {f"retrieval_{case}" for case in ("known", "strained", "far", "simulated", "measured")}


def test_every_figure_is_made_or_left_out_with_a_reason(drawn):
    assert set(drawn) == MADE | MISSING
    assert {name for name, entry in drawn.items() if entry["files"]} == MADE
    assert all((entry["left_out"] is None) == bool(entry["files"]) for entry in drawn.values())
    assert drawn["training"]["left_out"] == "train/history.csv is not there"
    assert drawn["retrieval_known"]["left_out"] == "PyNX is not <installed>"


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_figure_is_a_png_with_something_in_it_and_an_svg(folder, drawn, name):
    assert drawn[name]["files"][:2] == [f"{name}.png", f"{name}.svg"]
    assert all((folder / "figures" / file).is_file() for file in drawn[name]["files"])
    with Image.open(folder / f"figures/{name}.png") as image:
        assert image.width == pytest.approx(style.WIDTH * 50, abs=2)
        colours = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 50
    svg = (folder / f"figures/{name}.svg").read_text()
    assert svg.lstrip().startswith("<?xml")
    assert len(drawn[name]["caption"]) > 100


def test_a_figure_drawn_again_is_the_same_to_the_byte(folder, drawn, tmp_path):
    figure = next(f for _, f in catalogue(SETTINGS.figures, RUN) if f.name == "errors")
    files, _ = draw_one(SETTINGS.figures, figure, folder, tmp_path)
    for path in files:
        assert path.read_bytes() == (folder / "figures" / path.name).read_bytes()


def test_formats_are_those_of_the_settings(folder, tmp_path):
    own = SETTINGS.figures.model_copy(update={"formats": ("svg",)})
    figure = next(f for _, f in catalogue(own, RUN) if f.name == "errors")
    draw_one(own, figure, folder, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["errors.svg"]


def test_loss_curves_are_drawn_from_a_history(folder, tmp_path):
    from braggfill.stages.figures import learning

    path = tmp_path / "history.csv"
    path.write_text(
        "epoch,train_loss,val_loss,val_pcc,linear_pcc,learning_rate,seconds\n"
        "1,1.0,1.2,0.7,0.65,1e-3,3\n2,0.1,0.5,0.72,0.65,5e-4,3\n3,0.01,,,,0,3\n"
    )
    assert learning.losses(SETTINGS.figures, tmp_path / "losses", path)


def test_a_case_is_the_scan_outside_the_gap_and_the_filling_inside(folder):
    scan, cases = folder / f"fetch/{SETTINGS.inpaint.scan}.h5", folder / "inpaint/cases.h5"
    case = slices.load(scan, cases, "cross-06")
    with storage.read(cases) as file:
        for method in ("network", "linear"):
            inside = storage.array(file["cross-06/filled"], method)
            assert np.array_equal(case.filled[method][case.mask], inside)
    assert list(case.filled) == methods.available(["network", "braggfill", "linear", "cubic", "nearest"])
    for cube in case.filled.values():
        assert np.array_equal(cube[~case.mask], case.truth[~case.mask])
    assert case.truth[case.peak] == case.truth.max()
    assert slices.load(scan, cases, "cross-99") is None


def test_shapes_come_first_in_the_gallery(folder, tmp_path):
    from braggfill.stages.figures import particles

    path = tmp_path / "relax.h5"
    with storage.create(path) as file:
        for index, (shape, element) in enumerate([("cube", "Au"), ("cube", "Pt"), ("wulff", "Au"), ("wulff", "Ni")]):
            file.create_group(f"{index:06d}").attrs.update(shape=shape, element=element)
    assert [name for _, name in particles._choose([path], 3)] == ["000000", "000003", "000001"]
    assert len(particles._choose([path], 9)) == 4


# The report -----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Every address in a page, its identifiers, and whether its tags are balanced."""

    VOID = frozenset(("meta", "img", "path", "rect", "br", "link"))

    def __init__(self):
        super().__init__()
        self.loaded, self.followed, self.ids, self.open, self.pictures = [], [], [], [], 0

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "href" and tag == "a":
                self.followed.append(value)
            elif name in ("href", "src", "action", "data", "poster", "srcset"):
                self.loaded.append(value)
            if name == "id":
                self.ids.append(value)
        self.pictures += tag == "img"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.pictures += tag == "img"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def parsed(html):
    parser = Page()
    parser.feed(html)
    parser.close()
    return parser


def test_the_report_is_one_balanced_page_that_fetches_nothing(html, parsed):
    assert parsed.open == []
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert all(address.startswith(("#", "data:")) for address in parsed.loaded), parsed.loaded
    for address in parsed.followed:  # links to a work or to a file of the run
        assert address.startswith("https://doi.org/") or not re.match(r"[a-z]+:|/", address), address[:80]
        if address.startswith("#"):
            assert address[1:] in parsed.ids
    assert not re.search(r"url\(|@import|<script[^>]+src|<iframe|<link|<object|<embed", html)


def test_the_report_shows_every_figure_with_its_caption(parsed, html, drawn):
    assert parsed.pictures == len(MADE) + 2  # that which opens the report, and the place where one enlarges
    for name in MADE:
        assert f"figure-{name}" in parsed.ids
        assert drawn[name]["title"] in unescape(html)
        assert drawn[name]["caption"].replace("`", "") in re.sub(r"</?code>", "", unescape(html))


def test_the_report_tells_what_was_left_out_escaped_and_once(html):
    assert html.count("PyNX is not &lt;installed&gt;") == 1
    assert "<installed>" not in html
    assert "train/history.csv is not there" in html


def test_the_report_has_settings_versions_codes_and_times(html, folder):
    assert "min_atoms: 250" in html
    assert f"numpy {np.__version__}" in html
    assert "0123456789abcdef" in html
    assert "1 min 22 s" in html
    rows = {row["rule"]: row for row in record.stages(folder)}
    assert rows["scatter"] == {"rule": "scatter", "jobs": 2, "seconds": 82.5, "longest": 70.0, "megabytes": 500.0}


def test_every_number_of_the_tables_is_in_its_csv(folder, html):
    """The network's row of each gap, read back from the page's tables."""
    import pandas as pd

    measured = pd.read_csv(folder / "evaluate/measured.csv")
    ready = {table.source: table for chapter in CHAPTERS for table in chapter.tables(folder) if table}
    table = ready["evaluate/measured.csv"]
    assert len(table.rows) == len(measured.groupby(["gap_axis", "gap_px", "selection"]))
    for row in measured[(measured.method == "network") & (measured.patches > 0)].itertuples():
        said = "all" if row.selection == "all" else f"≥ {row.selection.removeprefix('ge')} / voxel"
        line = next(r for r in table.rows if r[:3] == [f"axis {row.gap_axis}", said, f"{row.gap_px} px"])
        assert line[3] == str(row.patches)
        assert line[4].startswith(f"{row.pcc_mean:.3f} [")
        assert f"{row.ceiling:.3f}" in line
    assert all(len(line) == len(t.head) for t in ready.values() for line in t.rows)
    assert set(ready) >= {"relax/", "evaluate/realism.csv", "evaluate/cases.csv", "reconstruct/true_phase.csv"}
    swept = ("oversampling", "position", "skip", "gaps", "claims")
    assert set(ready) >= {f"evaluate/{name}.csv" for name in swept}


def test_an_empty_folder_gives_a_report_too(tmp_path):
    report(SETTINGS.figures, RUN, tmp_path, tmp_path / "report.html", RULES)
    parser = Page()
    parser.feed((tmp_path / "report.html").read_text())
    assert parser.open == []
    assert parser.pictures == 1  # the place where one enlarges
    assert summary(tmp_path) == ""


def test_a_damaged_file_is_told_in_one_line(folder, tmp_path):
    (tmp_path / "relax").mkdir()
    (tmp_path / "relax/chunk-0000.h5").write_bytes(b"not HDF5")
    figure = next(f for _, f in catalogue(SETTINGS.figures, RUN) if f.name == "particles")
    with pytest.raises(storage.BraggfillError, match="chunk-0000"):
        draw_one(SETTINGS.figures, figure, tmp_path, tmp_path / "figures")


# The summary ----------------------------------------------------------------------------------------------------------


def test_the_summary_is_aligned_and_says_the_tables_numbers(folder):
    import pandas as pd

    text = summary(folder)
    lines = text.splitlines()
    measured = pd.read_csv(folder / "evaluate/measured.csv").query("selection == 'ge1' and gap_axis == 2")
    start = lines.index("measured, gap across axis 2")
    shown = methods.available(["braggfill", "network", "linear"])
    for method, line in zip(shown, lines[start + 1 : start + 1 + len(shown)], strict=True):
        values = measured[measured.method == method].sort_values("gap_px").pcc_mean
        assert line.split() == [method, *(f"{value:.3f}" for value in values)]
    heads = [line for line in lines if re.fullmatch(r"\s+(\d+ px\s*)+", line)]
    assert heads
    assert lines[start + 1].rstrip()[-1].isdigit()
    assert len({len(line) for line in lines[start - 1 : start] + lines[start + 1 : start + 4]}) == 1
    assert any("PyNX is not <installed>" in line for line in lines)


def test_what_is_missing_for_one_reason_is_told_in_one_line(tmp_path):
    for name in ("fetch/a.h5", "inpaint/cases.h5"):
        (tmp_path / name).parent.mkdir()
        with storage.create(tmp_path / name, left_out="no data"):
            pass
    with storage.create(tmp_path / "fetch/b.h5") as file:
        file.attrs["left_out_known"] = "no object"
    with h5py.File(tmp_path / "inpaint/cases.h5", "r+") as file:
        file.attrs["without_detector"] = "no masks"
    assert left_out(tmp_path) == [
        ("fetch/a.h5, inpaint/cases.h5", "no data"),
        ("fetch/b.h5 (known)", "no object"),
        ("inpaint/cases.h5 (detector)", "no masks"),
    ]
