"""The settings that a run was made with, from Snakemake's records of rules that each look at some of them."""

from __future__ import annotations

from braggfill.bundle import records
from braggfill.settings.root import parse

WHOLE = parse({"run": "x"})
PLAIN = WHOLE.model_dump(mode="json")


def ran(*jobs: tuple[str, str, float, list]) -> dict:
    """What is found from jobs: rule, output below the run's folder, when it ended, mappings among the parameters."""
    kept = {
        f"results/x/{output}": records.Record(
            rule=rule, params=[*map(repr, mappings), "'0123456789abcdef'", "7"], starttime=end - 1, endtime=end
        )
        for rule, output, end, mappings in jobs
    }
    return records.settings_that_ran(records.jobs(kept), PLAIN)


def test_rules_of_a_stage_tell_each_what_they_look_at():
    network = WHOLE.reconstruct.only("device") | {"device": "cpu"}
    widths = {"true_phase": {"gap_widths_px": [3]}}
    found = ran(
        ("reconstruct_map_cell", "reconstruct/cell-0.h5", 1.0, [network]),
        ("reconstruct_true_phase", "reconstruct/true_phase.h5", 2.0, [widths]),
        ("reconstruct_map", "reconstruct/map.csv", 3.0, [{}]),
    )
    differ = records.differences(found, PLAIN)
    assert {line.split(" ")[0] for line in differ} <= {"reconstruct.device", "reconstruct.true_phase.gap_widths_px"}
    assert found["reconstruct"]["device"] == "cpu"
    assert found["reconstruct"]["true_phase"] == PLAIN["reconstruct"]["true_phase"] | {"gap_widths_px": [3]}


def test_other_mappings_of_a_rule_are_no_settings_of_its_stage():
    """Such as those of other stages, which the figures look at, the drawing of the rules, or options of a sweep."""
    others = WHOLE.only("seed", "inpaint.scan", "evaluate.scan", "reconstruct.retrieval.cases")
    sweep = {"oversampling": [2.0], "fringes": 3}
    rules = {f"rule_{number}": ["scatter"] for number in range(40)}
    found = ran(
        (
            "scatter_oversampling",
            "scatter/oversampling-0000.h5",
            1.0,
            [sweep, {"reach": 9.0}],
        ),
        ("figures", "figures/figures.json", 2.0, [others, WHOLE.figures.model_dump(mode="json")]),
        ("report", "report.html", 3.0, [rules, {"title": "Another"}]),
    )
    assert found["figures"] == PLAIN["figures"]
    assert found["scatter"] == PLAIN["scatter"] | {"reach": 9.0}


def test_the_rule_of_the_stages_name_counts_first_and_others_tell_the_rest():
    """Also where they ran last, after the report, which tells everything."""
    own, changed = PLAIN["perturb"], PLAIN["perturb"] | {"modulus_noise": [0.0, 0.0]}
    scatter = WHOLE.scatter.only("hkl", "device")
    found = ran(
        ("perturb", "perturb/chunk-0000.h5", 1.0, [own]),
        ("report", "report.html", 2.0, [PLAIN | {"seed": 5}]),
        ("perturb_oversampling", "perturb/oversampling-0000.h5", 3.0, [changed]),
        ("scatter", "scatter/chunk-0000.h5", 4.0, [scatter]),
        ("scatter_check", "scatter/check.csv", 5.0, [scatter | {"device": "cpu", "check_voxels": 5}]),
    )
    assert found["perturb"] == own
    assert found["scatter"] == PLAIN["scatter"] | scatter | {"check_voxels": 5}
    assert found["seed"] == 5
