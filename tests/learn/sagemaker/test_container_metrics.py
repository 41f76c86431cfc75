"""The regexes that a job is created with find the figures in lines as they are printed."""

import re

import pytest

from vedette.learn.sagemaker.container.delivering import best_line
from vedette.learn.sagemaker.metrics import METRIC_DEFINITIONS, metrics_line, read_metrics_line
from vedette.learn.training.report import RESULTS_COLUMNS


def found_by_regexes(line: str) -> dict[str, float]:
    found = {}
    for definition in METRIC_DEFINITIONS:
        match = re.search(definition.regex, line)
        if match is not None:
            found[definition.column] = float(match.group(1))
    return found


def test_definitions_are_within_sagemakers_limits_and_have_one_group() -> None:
    assert len(METRIC_DEFINITIONS) <= 40
    assert len({definition.name for definition in METRIC_DEFINITIONS}) == len(METRIC_DEFINITIONS)
    for definition in METRIC_DEFINITIONS:
        assert 0 < len(definition.name) <= 255
        assert 0 < len(definition.regex) <= 500
        assert re.compile(definition.regex).groups == 1


def test_every_column_of_results_has_a_definition() -> None:
    assert {definition.column for definition in METRIC_DEFINITIONS} >= set(RESULTS_COLUMNS)


def test_each_regex_finds_its_own_figure_and_no_other() -> None:
    figures = {definition.column: number + 0.5 for number, definition in enumerate(METRIC_DEFINITIONS)}
    assert found_by_regexes(metrics_line(figures)) == figures
    for column, value in figures.items():
        assert found_by_regexes(metrics_line({column: value})) == {column: value}


@pytest.mark.parametrize("value", [0.0, -1.25, 1e-12, 123456789.0, 2.5e20])
def test_numbers_of_any_size_come_back(value: float) -> None:
    line = metrics_line({"epoch": 1, "learning_rate": value})
    assert found_by_regexes(line)["learning_rate"] == pytest.approx(value)
    assert read_metrics_line(f"2026-01-01T00:00:00Z {line}")["learning_rate"] == pytest.approx(value)


def test_what_is_not_finite_is_left_out_and_other_lines_tell_nothing() -> None:
    assert metrics_line({"epoch": 2, "val_map50": float("nan")}) == "metrics: epoch=2;"
    for line in ("epoch 1: box 0.4  object 1.8", "metrics: nothing", "", "best_map50=1;"):
        assert read_metrics_line(line) == {}
        assert found_by_regexes(line) == {}


def test_the_result_of_a_run_becomes_the_line_of_the_best() -> None:
    evaluation = {"map50": 0.75, "map50_95": 0.5, "precision": 1.0, "recall": None}
    line = best_line({"best_epoch": 4, "evaluation": evaluation})
    assert read_metrics_line(line) == {"best_epoch": 4, "best_map50": 0.75, "best_map50_95": 0.5, "best_precision": 1}
