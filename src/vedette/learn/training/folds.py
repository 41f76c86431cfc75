"""RUN of a cross-validation: `folds.json` says how far it is, `fold-1` and so on are runs, `report.html` sums them up.

The document holds what the folds were begun with, what each that has ended reached, and mean and deviation (of the
sample, with n - 1) of every figure, over all folds that have it. It is written whole after every fold.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.learn.training.atomic import write_atomically
from vedette.learn.training.errors import RunFolderError
from vedette.learn.training.report import REPORT_FILE, page_environment
from vedette.version import __version__

FOLDS_FILE = "folds.json"
FIGURES = {"map50": "mAP50", "map50_95": "mAP50-95", "precision": "precision", "recall": "recall"}
CLASS_FIGURES = {"ap50": "AP50", "ap50_95": "AP50-95", "precision": "precision", "recall": "recall"}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FoldsFolder:
    """The folder of all folds."""

    path: Path

    def fold(self, number: int) -> Path:
        """The run of one, counted from 1."""
        return self.path / f"fold-{number}"

    def begin(self, count: int, settings: Mapping[str, Any]) -> None:
        """Write what is begun.

        Raises:
            RunFolderError: the folder cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be made: {error.strerror or error}") from error
        self.write({"folds": count, "settings": dict(settings), "done": [], "summary": {}})

    def read(self) -> Document:
        """What was begun, and how far it is.

        Raises:
            RunFolderError: there is none, or it is damaged.
        """
        path = self.path / FOLDS_FILE
        try:
            document = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
            if not (isinstance(document["folds"], int) and isinstance(document["settings"], dict)):
                raise TypeError("folds or settings")
            numbers = [one["fold"] for one in document["done"]]
            if not all(isinstance(number, int) for number in numbers):
                raise TypeError("done")
        except OSError as error:
            raise RunFolderError(f"{self.path} holds no folds to go on with; leave out --resume") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"{path} is damaged ({error!r}); train anew in another folder") from error
        return dict(document)

    def add(self, result: Mapping[str, Any]) -> Document:
        """One more fold has ended; the document with it."""
        document = self.read()
        done = [one for one in document["done"] if one["fold"] != result["fold"]]
        document["done"] = sorted([*done, dict(result)], key=lambda one: int(one["fold"]))
        document["summary"] = summarise_folds([one["evaluation"] for one in document["done"]])
        self.write(document)
        return document

    def write(self, document: Document) -> None:
        """folds.json and the page."""
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(
            self.path / FOLDS_FILE,
            lambda temporary: temporary.write_text(text, encoding="utf-8", errors="surrogateescape"),
        )
        page = render_folds(self.path.resolve().name, document)
        write_atomically(
            self.path / REPORT_FILE,
            lambda temporary: temporary.write_text(page, encoding="utf-8", errors="surrogateescape"),
        )


def summarise_folds(evaluations: Sequence[Mapping[str, Any]]) -> Document:
    """Mean and deviation of every figure, and of every class's, from evaluations as `Evaluation.to_json` gives them."""
    names = dict.fromkeys(one["name"] for evaluation in evaluations for one in evaluation["classes"])
    classes = []
    for name in names:
        found = [one for evaluation in evaluations for one in evaluation["classes"] if one["name"] == name]
        figures = {key: _spread([one[key] for one in found]) for key in CLASS_FIGURES}
        classes.append({"name": name, "objects": sum(one["objects"] for one in found), **figures})
    return {**{key: _spread([one[key] for one in evaluations]) for key in FIGURES}, "classes": classes}


def _spread(values: Sequence[float | None]) -> Document:
    there = [value for value in values if value is not None]
    return {
        "mean": round(statistics.fmean(there), 6) if there else None,
        "deviation": round(statistics.stdev(there), 6) if len(there) > 1 else None,
        "values": there,
    }


def spread_text(spread: Mapping[str, Any]) -> str:
    """`0.874 ± 0.012`."""
    if spread["mean"] is None:
        return "–"
    return f"{spread['mean']:.3f}" + ("" if spread["deviation"] is None else f" ± {spread['deviation']:.3f}")


def render_folds(name: str, document: Document) -> str:
    """The page that sums the folds up."""
    done, count, summary = document["done"], document["folds"], document["summary"]
    state = f"{count} folds" if len(done) == count else f"{len(done)} of {count} folds done"
    rows = [(FIGURES[key], summary[key]) for key in ("map50", "map50_95") if summary]
    rows += [(f"{one['name']}, AP50", one["ap50"]) for one in summary.get("classes", ())]
    return page_environment().get_template("folds.html.j2").render(
        name=name,
        state=state,
        is_training=len(done) < count,
        tiles=[(title, spread_text(summary[key])) for key, title in FIGURES.items() if summary],
        done=done,
        figures=FIGURES,
        rows=rows,
        classes=summary.get("classes", []),
        class_figures=CLASS_FIGURES,
        spread_text=spread_text,
        settings=document["settings"],
        version=__version__,
    )  # fmt: skip
