"""Volumes in a browser: what is packed comes back, the file is light and holds everything, and it works when used."""

from __future__ import annotations

import base64
import gzip
import json
import re

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.filling import report as filled_report
from braggfill.filling.inpainting import Filled
from braggfill.phasing import report as phased_report
from braggfill.phasing.realspace import real_space
from braggfill.viewing import page, surface, volumes
from braggfill.viewing.surface import Colour, Surface
from browser import opened
from test_phase_output import GEOMETRY, result

LARGEST = 15e6
"""Bytes of a report of 128³ voxels."""


def unpacked(one: dict) -> np.ndarray:
    raw = gzip.decompress(base64.b64decode(one["data"]))
    codes = np.frombuffer(raw, np.uint8).reshape(2, -1).T.copy().view("<u2").ravel().reshape(one["shape"])
    told = one["low"] + one["step"] * codes.astype(float)
    return np.where(codes == volumes.MISSING, np.nan, np.expm1(told) if one["log"] else told)


def pattern(side: int) -> Filled:
    rng = np.random.default_rng(1)
    g = np.indices((side,) * 3) - side // 2
    r = np.sqrt((g**2).sum(axis=0))
    expected = 1e6 / (1 + r**2 / 4) ** 2 * (1 + np.cos(r / 2 + g[1] / 5))
    mask = np.zeros(expected.shape, bool)
    mask[:, side // 2 + 3 : side // 2 + 6] = True
    sigma = np.where(mask, np.sqrt(expected + 1), np.nan).astype(np.float32)
    return Filled(rng.poisson(expected).astype(np.float32), mask, sigma)


def test_an_array_comes_back_to_its_precision():
    values = np.random.default_rng(2).normal(size=(5, 6, 7)) * 1e-4
    values[1, 2, 3] = np.nan
    back = unpacked(volumes.packed(values))
    assert np.nanmax(np.abs(back - values)) <= (np.nanmax(values) - np.nanmin(values)) / volumes.LEVELS
    assert np.isnan(back[1, 2, 3])


def test_counts_come_back_to_a_thousandth_from_one_photon_to_a_billion():
    counts = np.array([[[0, 1, 2, 10, 1e3, 1e6, 1e9]]])
    np.testing.assert_allclose(unpacked(volumes.packed(counts, logarithmic=True)), counts, rtol=1e-3, atol=1e-6)


def test_an_array_of_one_value_and_an_empty_one_are_packed():
    np.testing.assert_array_equal(unpacked(volumes.packed(np.full((2, 2, 2), 3.5))), 3.5)
    assert np.isnan(unpacked(volumes.packed(np.full((2, 2, 2), np.nan)))).all()


def test_arrays_of_two_shapes_are_no_stack():
    layers = [volumes.Layer("a", np.zeros((3, 4, 5)))]
    with pytest.raises(ValueError, match="one shape"):
        volumes.stack(volumes.Stack("s", layers, mask=np.zeros((3, 4, 6), bool)))


def test_a_surface_lies_on_the_object_and_has_the_colour_of_its_place():
    g = np.indices((40,) * 3) - 20
    inside = (g**2).sum(axis=0) <= 12**2
    strain = np.where(inside, g[0] * 1e-4, np.nan)
    made = surface.mesh(Surface("ball", inside, (Colour("strain", strain, "10⁻⁴", factor=1e4),), edges=(2.0, 2.0, 2.0)))
    assert made is not None
    count, faces = made["count"]
    raw = gzip.decompress(base64.b64decode(made["vertices"]))
    places = np.frombuffer(raw, np.uint8).reshape(4, -1).T.copy().view("<f4").reshape(count, 3)
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 2 * 12.2, atol=1.6)
    raw = gzip.decompress(base64.b64decode(made["colours"][0]["values"]))
    values = np.frombuffer(raw, np.uint8).reshape(4, -1).T.copy().view("<f4").ravel()
    assert np.abs(values - places[:, 0] / 2 * 0.88).max() < 1.5
    assert faces <= surface.MOST
    assert surface.mesh(Surface("none", np.zeros((4, 4, 4), bool), ())) is None


def test_a_report_of_128_voxels_a_side_is_light_and_whole(tmp_path):
    filled_report.write(tmp_path / "f.html", pattern(128), title="<scan>", provenance={"scan": "a</script>b"})
    text = (tmp_path / "f.html").read_text()
    assert len(text.encode()) <= LARGEST
    assert not re.search(r"<script[^>]+src|<link|@import|<iframe", text)
    assert "&lt;scan&gt;" in text
    assert "a</script>b" not in text
    told = json.loads(re.search(r"id=volumes>(.*?)</script>", text, re.S)[1])
    assert [layer["name"] for layer in told["stacks"][0]["layers"]][:2] == ["after: filled", "before: as measured"]


def test_without_plotly_a_report_is_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "plotly" else object())
    with pytest.raises(BraggfillError, match="needs plotly; pip install"):
        page.check()


def test_a_filled_pattern_is_looked_through(tmp_path):
    filled = pattern(40)
    filled.report(tmp_path / "f.html")
    with opened(tmp_path / "f.html") as (shown, messages):
        shown.evaluate("() => window.viewer.ready")
        peak = np.unravel_index(np.argmax(np.where(filled.mask, 0, filled.data)), filled.data.shape)
        image = "k => document.querySelectorAll('.plot')[k].data[0].customdata"
        np.testing.assert_allclose(shown.evaluate(image, 0), filled.data[peak[0]], rtol=1e-3, atol=0.01)
        for axis in range(3):  # each slider moves its slice
            shown.locator("input[type=range]").nth(axis).fill("7")
            shown.wait_for_function(
                f"() => document.querySelectorAll('.where')[{axis}].textContent.includes('8 of 40')"
            )
            at = np.take(filled.data, 7, axis=axis)
            np.testing.assert_allclose(shown.evaluate(image, axis), at, rtol=1e-3, atol=0.01)
        shown.select_option("select.layer", label="before: as measured")
        shown.wait_for_function(f"() => ({image})(2).flat().includes(null)")
        hidden = np.array([[v is None for v in row] for row in shown.evaluate(image, 0)])
        np.testing.assert_array_equal(hidden, filled.mask[7])
        before = shown.evaluate("() => document.querySelector('.plot').data[0].zmax")
        shown.locator("input.log").uncheck()
        shown.wait_for_function(f"() => document.querySelector('.plot').data[0].zmax > {2 * before}")
        for number in (1, 2):
            shown.select_option("select.overlay", str(number))
            shown.wait_for_function("() => document.querySelectorAll('.plot')[2].data.length === 2")
        assert messages == []


def test_an_object_is_turned_and_coloured(tmp_path):
    found = result((28, 30, 32))
    phased_report.write(tmp_path / "o.html", found, real_space(found, GEOMETRY), title="scan", provenance={})
    with opened(tmp_path / "o.html") as (shown, messages):
        shown.evaluate("() => window.viewer.ready")
        eye = "() => JSON.stringify(document.querySelector('.turned')._fullLayout.scene._scene.getCamera().eye)"
        before = shown.evaluate(eye)
        shown.locator(".turned").scroll_into_view_if_needed()
        box = shown.locator(".turned").bounding_box()
        x, y = box["x"] + box["width"] / 3, box["y"] + box["height"] / 2
        shown.mouse.move(x, y)
        shown.mouse.down()
        for step in range(1, 9):
            shown.mouse.move(x + 15 * step, y + 5 * step)
            shown.wait_for_timeout(60)
        shown.mouse.up()
        shown.wait_for_function(f"before => ({eye})() !== before", arg=before)
        name = "() => document.querySelector('.turned').data[0].colorbar.title.text"
        assert shown.evaluate(name) == "strain along Q (10⁻⁴)"
        shown.select_option("select.colour", label="phase")
        shown.wait_for_function("() => document.querySelector('.turned').data[0].colorbar.title.text === 'phase (rad)'")
        assert messages == []
