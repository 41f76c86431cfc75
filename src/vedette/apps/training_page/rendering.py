"""The page as text: the run's report, made anew only when its files have changed, and the card of the moment."""

import json
from pathlib import Path
from threading import Lock

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from vedette.apps.console import clock
from vedette.apps.training_page.state import Now, TrainingState
from vedette.contracts.errors import InputError
from vedette.learn.training.plots import read_results
from vedette.learn.training.report import RESULTS_FILE, SETTINGS_FILE, VIEW, render_report
from vedette.learn.training.report_charts import Curve, curves_chart

WATCHED = (RESULTS_FILE, SETTINGS_FILE, "evaluation.json", "val_batch0.jpg", "train_batch0.jpg", "train_batch2.jpg",
           "labels.png")  # fmt: skip
NO_FOLDER = Path("training")


class Rendering:
    """Thread-safe; of the report only the newest text is kept."""

    def __init__(self, state: TrainingState) -> None:
        self._state = state
        self._lock = Lock()
        self._made: tuple[str, str] = ("", "")  # version, page
        environment = Environment(
            loader=PackageLoader("vedette.apps.training_page", "assets"), autoescape=True, undefined=StrictUndefined
        )
        self._now = environment.get_template("now.html.j2")

    def report(self) -> str:
        """The run's report as it is now."""
        now = self._state.now()
        version = version_of(now)
        with self._lock:
            if self._made[0] != version:
                folder = now.folder or NO_FOLDER
                try:
                    page = render_report(folder, epochs=epochs_expected(folder), finished=now.ended, live=True)
                except InputError:  # a settings.json that somebody else is writing
                    return self._made[1]
                self._made = (version, page)
            return self._made[1]

    def moment(self) -> dict[str, object]:
        """What the page asks for every second: the version of the report, and the card as HTML."""
        now = self._state.now()
        return {"version": version_of(now), "ended": now.ended, "html": self._card(now)}

    def _card(self, now: Now) -> str:
        rate = now.done / now.seconds if now.seconds > 0 and now.done else None
        left = (now.total - now.done) / rate if rate else None
        settings = _settings(now.folder)
        batch = settings.get("batch")
        speed = None
        if rate is not None:
            per_s = rate * batch if now.unit == "batches" and isinstance(batch, int) else rate
            speed = f"{per_s:.1f} {'pictures' if now.unit == 'batches' else now.unit}/s"
        run_left = now.figures.get("run_left_min")
        chart = None
        if len(now.steps) > 1:
            x, y = np.array(now.steps).T  # (n,) each
            chart = curves_chart("Loss of every step", [Curve("loss", x - x.min(), y)], "epoch")
        return self._now.render(
            now=now,
            share=100 * now.done / now.total if now.total else 0,
            loss=now.figures.get("loss"),
            speed=speed,
            left=None if left is None or not left else clock(left),
            run_left=None if run_left is None else clock(run_left * 60),
            chart=chart,
            first_epoch=now.steps[0][0] if now.steps else 0.0,
            view=VIEW,
            report=None if now.folder is None else str(now.folder / "report.html"),
        )


def version_of(now: Now) -> str:
    """Another one whenever the report would be another."""
    if now.folder is None:
        return f"nothing {now.ended}"
    times = []
    for name in WATCHED:
        try:
            times.append((now.folder / name).stat().st_mtime_ns)
        except OSError:
            times.append(0)
    return f"{now.folder} {now.ended} {times}"


def epochs_expected(folder: Path) -> int:
    """How many epochs the run will have, by its settings; with a time budget by how far it has come."""
    settings = _settings(folder)
    results = read_results(folder / RESULTS_FILE)
    done = int(results["epoch"][-1]) if len(results.get("epoch", ())) else 0
    if settings.get("time_budget_s") is None:
        epochs = settings.get("epochs")
        if not isinstance(epochs, int):
            whole, count, batch = (settings.get(key) for key in ("net_max_batches", "train_pictures", "batch"))
            if isinstance(whole, int) and isinstance(count, int) and isinstance(batch, int) and min(count, batch) > 0:
                epochs = -(-whole // -(-count // batch)) or None  # as long as the cfg says
        return epochs if isinstance(epochs, int) else max(done, 1)
    left, spent = (float(results[name][-1]) if done and name in results else np.nan for name in ("left_s", "time_s"))
    return max(done, round(done * (spent + left) / spent)) if np.isfinite(left) and spent > 0 else max(done, 1)


def _settings(folder: Path | None) -> dict[str, object]:
    """settings.json as far as it can be read: the page does without."""
    try:
        document = (
            json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8", errors="surrogateescape"))
            if folder is not None
            else {}
        )
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
