"""The pages hold the tables that the benchmarks of training recorded; what they say of seeds is arithmetic."""

import importlib
import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
BENCHMARKS = REPOSITORY / "benchmarks"
REFERENCE = REPOSITORY / "docs" / "reference" / "training.md"
DECISION = REPOSITORY / "docs" / "adr" / "0012-the-default-recipe.md"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="benchmarks are not part of a source distribution")


@pytest.fixture
def benchmark_module(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def recorded(name):
    return json.loads((BENCHMARKS / "results" / f"{name}.json").read_text(encoding="utf-8"))


def missing_lines(text, page):
    written = page.read_text(encoding="utf-8").splitlines()
    return [line for line in text.splitlines() if line and line not in written]


def run_of(map50, map50_95=0.5, rare=0.5):
    classes = {name: [rare, 0.1] for name in ("Platelets", "mascarilla_mal_puesta")}
    return {"map50": map50, "map50_95": map50_95, "classes": classes, "val": {"map50": map50, "map50_95": 0.4}}


class TestThePages:
    def test_the_decision_holds_both_recorded_tables(self, benchmark_module):
        about = {name: one.about for name, one in benchmark_module("training_ablations").VARIANTS.items()}
        tables = benchmark_module("training_ablation_tables")
        document = recorded("training_ablations")

        assert missing_lines(tables.short_runs(document, about), DECISION) == []
        assert missing_lines(tables.full_runs(document, about), DECISION) == []

    def test_the_reference_holds_the_recorded_table_of_quality(self, benchmark_module):
        text = benchmark_module("rivals.training").as_markdown(recorded("training_quality"))

        assert "ultralytics-0" in text
        assert missing_lines(text, REFERENCE) == []


class TestSeeds:
    def test_differences_are_taken_seed_by_seed(self, benchmark_module):
        seeds = benchmark_module("seeds")
        default = {"0": 0.80, "1": 0.70, "2": 0.75}

        both = seeds.paired({"0": 0.82, "1": 0.74, "7": 0.1}, default)
        assert (both.mean, both.error, both.count) == (pytest.approx(0.03), pytest.approx(0.01), 2)
        one = seeds.paired({"1": 0.69}, default)
        assert (one.mean, one.error, one.count) == (pytest.approx(-0.01), None, 1)
        assert seeds.paired({"7": 0.69}, default) is None

    def test_scatter_is_that_of_runs_around_their_own_settings_mean(self, benchmark_module):
        seeds = benchmark_module("seeds")

        scatter, degrees = seeds.pooled_scatter([[0.8, 0.9], [0.1, 0.2], [0.5]])

        assert (scatter, degrees) == (pytest.approx(0.005**0.5), 2)
        assert seeds.pooled_scatter([[0.8], [0.1]]) is None

    def test_what_seeds_hide_shrinks_with_runs_and_what_they_need_grows_with_their_scatter(self, benchmark_module):
        seeds = benchmark_module("seeds")

        assert seeds.visible(0.01, 10, 2) == pytest.approx(0.0223)  # Student's 2.23 for ten degrees of freedom
        assert seeds.visible(0.01, 1000, 8) == pytest.approx(0.0106)
        assert seeds.seeds_to_see(0.01, 0.01) == 16  # 15.7 by the normal distribution
        assert seeds.seeds_to_see(0.001, 0.01) == 2


class TestTheTables:
    def test_precisions_are_compared_over_the_seeds_that_both_have(self, benchmark_module):
        values = {"bf16-0": 0.80, "bf16-1": 0.82, "bf16-15min-1": 0.1, "fp32-0": 0.79, "fp32-1": 0.83, "fp32-9": 0.1}
        runs = {f"vedette-{who}": {"weights": {"best": run_of(value)}} for who, value in values.items()}
        table = benchmark_module("rivals.training").precisions_as_markdown({"bccd": {"runs": runs}})

        assert "| bccd | mAP50 | 0.810 (1.4) | 0.810 (2.8) | +0.0 ± 1.0 | 2 |" in table
        lone = {"bccd": {"runs": {name: runs[name] for name in ("vedette-bf16-0", "vedette-fp32-0")}}}
        assert benchmark_module("rivals.training").precisions_as_markdown(lone) == ""

    def test_runs_of_full_length_are_told_with_their_error_and_what_the_seeds_do(self, benchmark_module):
        default = {"0": run_of(0.80), "1": run_of(0.82)}
        no_decay = {"0": run_of(0.81), "1": run_of(0.85)}
        document = {
            "measured_utc": "2026-11-23T10:00:00Z",
            "host": {"processor": "a processor"},
            "figures": {
                "full": {
                    "bccd": {"default": default, "no-decay": no_decay},
                    "mask": {"default": {"0": run_of(0.5)}, "no-decay": {"0": run_of(0.4)}},
                }
            },
        }
        text = benchmark_module("training_ablation_tables").full_runs(
            document, {"default": "as it is", "no-decay": "no decay", "sizes": "not run"}
        )

        assert "| as it is | 0.810 | 0.500 | 0.810 | 0.400 | 0.500 | 0.500 | 0.500 | 2 + 1 |" in text
        assert "| no decay | 0.830 (+2.0 ± 1.0) |" in text
        assert "not run" not in text
        assert "| 0.400 (-10.0) |" in text
        assert "**" not in text.partition("\n\n")[2]
        assert "| bccd test mAP50 | 2.2 (2 degrees of freedom) | 13.6, 9.6, 7.9 | 79 |" in text
        assert "| mask mAP50 | one run of each: not known | | |" in text

    def test_a_difference_beyond_what_seeds_do_is_bold(self, benchmark_module):
        values = {"default": (0.800, 0.801, 0.799), "no-decay": (0.790, 0.791, 0.789), "sizes": (0.801, 0.802, 0.800)}
        runs = {name: {str(seed): run_of(one) for seed, one in enumerate(own)} for name, own in values.items()}
        document = {
            "measured_utc": "2026-11-23T10:00:00Z",
            "host": {"processor": "a processor"},
            "figures": {"full": {"bccd": runs}},
        }
        text = benchmark_module("training_ablation_tables").full_runs(document, {name: name for name in values})

        assert "| no-decay | 0.790 (**-1.0 ± 0.0**) |" in text
        assert "| sizes | 0.801 (+0.1 ± 0.0) |" in text  # 0.2 could be the seeds'

    def test_a_run_of_full_length_that_changes_nothing_is_the_contests_own(
        self, benchmark_module, tmp_path, monkeypatch
    ):
        ablations = benchmark_module("training_ablations")
        monkeypatch.setattr(ablations, "source_of", lambda folder, data: folder / data)

        names = {name: Path(ablations.specify(tmp_path, "bccd", name, 1, True).out).name for name in ablations.VARIANTS}

        assert (names["default"], names["fp32"]) == ("ours-bccd-bf16-1", "ours-bccd-fp32-1")
        assert (names["no-average"], names["batch-16"]) == ("bccd-no-average-1", "bccd-batch-16-1")
        full, short = (ablations.specify(tmp_path, "bccd", "default", 1, full) for full in (True, False))
        assert (full.epochs, full.score_split) == (40, "test")
        assert (short.epochs, short.score_split, Path(short.out).name) == (10, "val", "bccd-default-1")
