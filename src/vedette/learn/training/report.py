"""report.html of a training run: one page beside its pictures that opens without any network, also while training.

It is made from what lies in the run folder and written atomically, so that it can be rewritten each epoch (a few
milliseconds) and after a resume. Curves are inline SVG; pictures are relative links. What is absent is left out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from vedette.contracts.errors import InputError
from vedette.learn.training.atomic import write_atomically
from vedette.learn.training.evaluate import Evaluation
from vedette.learn.training.plots import read_results
from vedette.learn.training.report_charts import HEIGHT, LEFT, RIGHT, WIDTH, Chart, line_chart
from vedette.version import __version__

RESULTS_COLUMNS = (
    "epoch",  # from 1
    "time_s",  # since the start of the run, resumed runs add up
    "train_box_loss",
    "train_objectness_loss",
    "train_class_loss",
    "val_map50",
    "val_map50_95",
    "val_precision",
    "val_recall",
    "learning_rate",
    "pictures_per_s",
)
RESULTS_FILE = "results.csv"
SETTINGS_FILE = "settings.json"  # JSON object, setting -> value; written by the trainer
EVALUATION_FILE = "evaluation.json"  # Evaluation.to_json() of the best weights so far; by write_evaluation
REPORT_FILE = "report.html"
RELOAD_S = 5
# In the order of the page: (glob, what it shows)
PICTURES = (
    ("val_batch*.jpg", "Labels (left) and predictions (right) on validation pictures"),
    ("??_curve.png", "Precision against recall, and F1 against the score threshold"),
    ("confusion_matrix.png", "Confusion matrix: what was found as what"),
    ("labels.png", "The labels: objects by class, where they lie, how large they are"),
    ("train_batch*.jpg", "What the network was shown: augmented training pictures"),
)
FILES = ("best.weights", "last.weights", "model.cfg", "names.txt", "split.json", RESULTS_FILE, "results.png",
         SETTINGS_FILE, EVALUATION_FILE)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LinkedPicture:
    """A picture beside the page; `version` makes a browser fetch it again once it has changed."""

    file: str
    version: int


@dataclass(frozen=True, slots=True)
class Gallery:
    caption: str
    pictures: tuple[LinkedPicture, ...]


def write_evaluation(evaluation: Evaluation, run_folder: Path) -> None:
    """Write RUN/evaluation.json atomically, for the report's table of classes."""
    text = json.dumps(evaluation.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(run_folder / EVALUATION_FILE, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_report(run_folder: Path, *, epochs: int, finished: bool, facts: Mapping[str, str] | None = None) -> Path:
    """Write RUN/report.html from what lies in RUN: results.csv, settings.json, evaluation.json, pictures.

    While not `finished` the page reloads itself every few seconds. `epochs` is how many the run shall have. `facts`
    are further lines of its settings table, such as {"data digest": ..., "device": ...}.

    Raises:
        InputError: when settings.json or evaluation.json is no JSON object.
    """
    results = read_results(run_folder / RESULTS_FILE)
    done = int(np.nanmax(results["epoch"])) if len(results.get("epoch", ())) else 0
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = resources.files("vedette.learn.training").joinpath("report.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(template).render(
        name=run_folder.resolve().name,
        version=__version__,
        reload_s=None if finished else RELOAD_S,
        status=_status(results, done, epochs, finished),
        tiles=_tiles(results, finished),
        charts=_charts(results, max(epochs, done, 1)),
        view={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT},
        evaluation=_read_object(run_folder / EVALUATION_FILE),
        galleries=_galleries(run_folder),
        settings={**dict(facts or {}), **{k: _plain(v) for k, v in _read_object(run_folder / SETTINGS_FILE).items()}},
        files=[(name, _size((run_folder / name).stat().st_size)) for name in FILES if (run_folder / name).is_file()],
    )
    path = run_folder / REPORT_FILE
    write_atomically(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))
    return path


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the run folder; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); delete it, and the report is written without it") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds no JSON object; delete it, and the report is written without it")
    return document


def _status(results: Mapping[str, NDArray[np.float64]], done: int, epochs: int, finished: bool) -> str:
    if finished:
        return f"finished: {done} epochs" if done >= epochs else f"stopped after epoch {done} of {epochs}"
    if not done:
        return "training: first epoch"
    left_s = float(results["time_s"][-1]) / done * (epochs - done) if "time_s" in results else float("nan")
    return f"training: epoch {done} of {epochs} done" + (
        f", about {_clock(left_s)} left" if np.isfinite(left_s) else ""
    )


def _tiles(results: Mapping[str, NDArray[np.float64]], finished: bool) -> list[tuple[str, str, str]]:
    """The headline: (name, figure, remark), at the epoch with the best mAP50."""
    scores = results.get("val_map50", np.zeros(0))
    if not np.isfinite(scores).any():
        return []
    row = int(np.nanargmax(scores))
    remark = f"epoch {results['epoch'][row]:.0f}"
    tiles = [("mAP50", f"{scores[row]:.3f}", f"best, {remark}")]
    for name, column in (("mAP50-95", "val_map50_95"), ("precision", "val_precision"), ("recall", "val_recall")):
        if column in results and np.isfinite(results[column][row]):
            tiles.append((name, f"{results[column][row]:.3f}", remark))
    for name, column, text in (("time", "time_s", _clock), ("pictures/s", "pictures_per_s", "{:.1f}".format)):
        if column in results and np.isfinite(results[column][-1]):
            moment = "last epoch" if column != "time_s" else "in all" if finished else "so far"
            tiles.append((name, text(float(results[column][-1])), moment))
    return tiles


def _charts(results: Mapping[str, NDArray[np.float64]], last_epoch: int) -> list[Chart]:
    epochs = results.get("epoch", np.zeros(0))

    def series(columns: Sequence[tuple[str, str]]) -> dict[str, NDArray[np.float64]]:
        return {label: results.get(column, np.full(len(epochs), np.nan)) for label, column in columns}

    losses = series([("box", "train_box_loss"), ("objectness", "train_objectness_loss"), ("class", "train_class_loss")])
    return [
        line_chart("Validation mAP", epochs, series([("mAP50", "val_map50"), ("mAP50-95", "val_map50_95")]),
                   last_epoch, top=1.0),
        line_chart("Training loss", epochs, losses, last_epoch),
        line_chart("Precision and recall", epochs, series([("precision", "val_precision"), ("recall", "val_recall")]),
                   last_epoch, top=1.0),
        line_chart("Learning rate", epochs, series([("learning rate", "learning_rate")]), last_epoch),
    ]  # fmt: skip


def _galleries(run_folder: Path) -> list[Gallery]:
    galleries = []
    for pattern, caption in PICTURES:
        found = sorted(run_folder.glob(pattern), key=lambda path: (len(path.name), path.name))
        if found:
            galleries.append(Gallery(caption, tuple(LinkedPicture(p.name, p.stat().st_mtime_ns) for p in found)))
    return galleries


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _size(count_bytes: int) -> str:
    if count_bytes < 1000:
        return f"{count_bytes} B"
    return f"{count_bytes / 1e6:.1f} MB" if count_bytes >= 1e5 else f"{count_bytes / 1e3:.1f} kB"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
