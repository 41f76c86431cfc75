"""report.html of a training run: one page beside its pictures that opens without any network, also while training.

It is made from what lies in the run folder and written atomically, so that it can be rewritten each epoch (a few
milliseconds) and after a resume. Curves are inline SVG; pictures are relative links. What is absent is left out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from vedette.contracts.errors import InputError
from vedette.learn.training.atomic import write_atomically
from vedette.learn.training.plots import read_results
from vedette.learn.training.report_charts import HEIGHT, LEFT, RIGHT, WIDTH, Chart, line_chart
from vedette.learn.training.standing import best_row
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
    "left_s",  # to the end of the run, as estimated then
)
RESULTS_FILE = "results.csv"
SETTINGS_FILE = "settings.json"  # JSON object, setting -> value; written by the trainer
EVALUATION_FILE = "evaluation.json"  # of the best weights; by evaluation_files
REPORT_FILE = "report.html"
WORST_FOLDER = "worst"
RELOAD_S = 5
VIEW = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT}  # of the charts
# In the order of the page: (glob, what it shows)
PICTURES = (
    ("val_batch*.jpg", "Labels (left) and predictions (right) on validation pictures"),
    ("??_curve.png", "Precision against recall, and F1 against the score threshold"),
    ("confusion_matrix.png", "Confusion matrix: what was found as what"),
    ("score_*.png", "What scores are worth: how often they are right, and right and wrong detections by score"),
    ("labels.png", "The labels: objects by class, where they lie, how large they are"),
    ("train_batch*.jpg", "What the network was shown: augmented training pictures"),
)
FILES = ("best.weights", "last.weights", "model.cfg", "names.txt", "split.json", RESULTS_FILE, "results.png",
         SETTINGS_FILE, EVALUATION_FILE, "detections.json")  # fmt: skip


@dataclass(frozen=True, slots=True)
class LinkedPicture:
    """A picture beside the page; `version` makes a browser fetch it again once it has changed."""

    file: str
    version: int


@dataclass(frozen=True, slots=True)
class Gallery:
    caption: str
    pictures: tuple[LinkedPicture, ...]


def write_report(run_folder: Path, *, epochs: int, finished: bool, facts: Mapping[str, str] | None = None) -> Path:
    """Write RUN/report.html from what lies in RUN: results.csv, settings.json, evaluation.json, pictures.

    While not `finished` the page reloads itself every few seconds. `epochs` is how many the run shall have. `facts`
    are further lines of its settings table, such as {"data digest": ..., "device": ...}.

    Raises:
        InputError: when settings.json or evaluation.json is no JSON object.
    """
    page = render_report(run_folder, epochs=epochs, finished=finished, facts=facts)
    path = run_folder / REPORT_FILE
    write_atomically(path, lambda temporary: temporary.write_text(page, encoding="utf-8", errors="surrogateescape"))
    return path


def render_report(
    run_folder: Path, *, epochs: int, finished: bool, facts: Mapping[str, str] | None = None, live: bool = False
) -> str:
    """The page as text. A `live` one is for a server that shows pictures only: its script keeps it up to date."""
    results = read_results(run_folder / RESULTS_FILE)
    done = int(np.nanmax(results["epoch"])) if len(results.get("epoch", ())) else 0
    return _render(
        run_folder,
        name=run_folder.resolve().name,
        reload_s=None if finished or live else RELOAD_S,
        live=live,
        status=_status(results, done, epochs, finished),
        is_training=not finished,
        tiles=_tiles(results, finished),
        charts=_charts(results, max(epochs, done, 1)),
        settings={**dict(facts or {}), **_settings(run_folder)},
    )


def write_evaluation_report(folder: Path, facts: Mapping[str, str], name: str) -> Path:
    """FOLDER/report.html of an evaluation without a run: what `evaluation_files` wrote there, and `facts` as settings.

    Raises:
        InputError: as for `write_report`.
    """
    found = _read_object(folder / EVALUATION_FILE)
    tiles = [
        (label, f"{found[key]:.3f}", remark)
        for label, key, remark in (
            ("mAP50", "map50", "mean of classes"),
            ("mAP50-95", "map50_95", "mean of classes"),
            ("precision", "precision", f"at score {found['best_score']:.3f}"),
            ("recall", "recall", f"at score {found['best_score']:.3f}"),
        )
    ]
    status = f"{found['objects']:,} objects in {found['pictures']:,} pictures"
    page = _render(folder, name=name, reload_s=None, live=False, status=status, is_training=False, tiles=tiles,
                   charts=[], settings=dict(facts))  # fmt: skip
    path = folder / REPORT_FILE
    write_atomically(path, lambda temporary: temporary.write_text(page, encoding="utf-8", errors="surrogateescape"))
    return path


def _render(folder: Path, **parts: Any) -> str:
    environment = page_environment()
    return environment.get_template("report.html.j2").render(
        version=__version__,
        view=VIEW,
        evaluation=_read_object(folder / EVALUATION_FILE),
        galleries=_galleries(folder),
        worst={p.stem: LinkedPicture(f"{WORST_FOLDER}/{p.name}", p.stat().st_mtime_ns)
               for p in (folder / WORST_FOLDER).glob("*.jpg")},
        files=[] if parts["live"] else _files(folder),
        **parts,
    )  # fmt: skip


def _files(folder: Path) -> list[tuple[str, str]]:
    return [(name, _size((folder / name).stat().st_size)) for name in FILES if (folder / name).is_file()]


def page_environment() -> Environment:
    """Where this part's templates are: autoescaped, and a name that is not there is an error."""
    return Environment(
        loader=PackageLoader("vedette.learn.training", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _settings(run_folder: Path) -> dict[str, str]:
    return {key: _plain(value) for key, value in meant_settings(_read_object(run_folder / SETTINGS_FILE)).items()}


def meant_settings(document: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run as a person means them: of a run by the clock nobody gave a number of epochs."""
    by_clock = document.get("time_budget_s") is not None
    return {key: value for key, value in document.items() if not (by_clock and key == "epochs")}


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
    left_s = float(results["left_s"][-1]) if "left_s" in results else float("nan")
    return f"training: epoch {done} of {epochs} done" + (
        f", about {_clock(left_s)} left" if np.isfinite(left_s) else ""
    )


def _tiles(results: Mapping[str, NDArray[np.float64]], finished: bool) -> list[tuple[str, str, str]]:
    """The headline: (name, figure, remark), at the epoch of best.weights."""
    row = best_row(results)
    if row is None:
        return []
    scores = results["val_map50"]
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
