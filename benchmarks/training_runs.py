"""One training run in a process of its own, measured and scored: what the benchmarks of training are made of.

    python -m benchmarks.training_runs SPEC.json      (what `run` starts; SPEC is a `Spec`)

A spec names data, model, size, epochs, batch, seed, precision, what of the recipe is changed, and at most one patch:
something that no setting turns off (`PATCHES`). The weights are scored by `learn.training.evaluate` on a split, with
the detections that training's own validation makes. CPU seconds are the kernel's account of the process.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.recording import identify_code

ROOT = Path(__file__).resolve().parents[1]
RESULT = "measured.json"
WEIGHTS = ("best", "last")


@dataclass(frozen=True, slots=True)
class Spec:
    """One run. `changes` are fields of Recipe; those of its parts have the part's name and a dot before them."""

    data: str
    out: str
    score_split: str = "val"
    model: str = "yolov3-tiny"
    weights: str | None = None
    size: int = 320
    epochs: int = 40
    time_budget_s: float | None = None
    batch: int | None = None  # None: the default
    seed: int = 0
    precision: str = "bf16"
    validate_every: int = 1
    changes: Mapping[str, float] = field(default_factory=dict)
    patch: str | None = None


def run(spec: Spec, threads: int, core: int | None = None) -> dict[str, Any]:
    """Train and score; what `main` wrote. A run that is there already is not made again.

    Raises:
        SystemExit: the run failed; its own last words are shown.
    """
    out = Path(spec.out)
    done = out / RESULT
    if not done.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        asked = out.with_suffix(".spec.json")
        asked.write_text(json.dumps(asdict(spec)), encoding="utf-8")
        pinned = ["taskset", "-c", str(core)] if core is not None else []
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        command = [*pinned, sys.executable, "-m", "benchmarks.training_runs", str(asked)]
        with out.with_suffix(".log").open("w", encoding="utf-8") as log:
            ended = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False)
        if ended.returncode:
            tail = out.with_suffix(".log").read_text(encoding="utf-8")[-2000:]
            raise SystemExit(f"{out.name}: the run ended with {ended.returncode}:\n{tail}")
    document: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return document


def main() -> None:
    """Train what the spec says, score best and last weights, write the figures beside them."""
    spec = Spec(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    if spec.patch is not None:
        PATCHES[spec.patch]()

    from vedette.contracts.ports import SilentProgress
    from vedette.learn.training.loop import train

    code, began, cpu = identify_code(), time.monotonic(), time.process_time()
    result = train(_settings(spec), Path(spec.out), SilentProgress())
    figures: dict[str, Any] = {
        **code,
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "wall_s": round(time.monotonic() - began, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "score_split": spec.score_split,
        "weights": {name: score(spec, name) for name in WEIGHTS},
    }
    figures["val_map50_by_epoch"] = _curve(Path(spec.out))
    (Path(spec.out) / RESULT).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _settings(spec: Spec) -> Any:
    from vedette.learn.training.arithmetic import PrecisionChoice
    from vedette.learn.training.settings import Recipe, TrainSettings

    recipe = Recipe()
    for name, value in spec.changes.items():
        part, dot, inner = name.partition(".")
        recipe = replace(recipe, **{part: replace(getattr(recipe, part), **{inner: value}) if dot else value})
    default = TrainSettings(Path(spec.data), spec.model)
    return replace(
        default,
        weights=None if spec.weights is None else Path(spec.weights),
        size_px=(spec.size, spec.size),
        epochs=spec.epochs,
        time_budget_s=spec.time_budget_s,
        batch=spec.batch or default.batch,
        seed=spec.seed,
        precision=PrecisionChoice(spec.precision),
        validate_every=spec.validate_every,
        recipe=recipe,
    )


def score(spec: Spec, name: str) -> dict[str, Any]:
    """COCO's figures of one file of weights on the split, by class too."""
    import torch

    from vedette.contracts.bundle import Thresholds
    from vedette.contracts.frame import ResizeMode
    from vedette.learn.darknet.cfg import read_cfg
    from vedette.learn.darknet.network import DarknetNetwork
    from vedette.learn.darknet.plan import decode_spec, nms_kind_of, plan_network
    from vedette.learn.darknet.weights import read_weights
    from vedette.learn.data.reading import read_data_set
    from vedette.learn.training.arithmetic import full_precision
    from vedette.learn.training.evaluate import SCORE_FLOOR, choose_split, detections_needed
    from vedette.learn.training.loading import PictureStore
    from vedette.learn.training.validate import validate
    from vedette.vision.postprocess import DetectionRules

    run_folder = Path(spec.out)
    plan = plan_network(read_cfg(run_folder / "model.cfg"))
    network = DarknetNetwork(plan).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.load_darknet(read_weights(run_folder / f"{name}.weights", plan))
    data = choose_split(read_data_set(Path(spec.data)), spec.score_split)
    ids = {class_name: index for index, class_name in enumerate(data.classes)}
    resize = ResizeMode.LETTERBOX if plan.letter_box else ResizeMode.STRETCH
    store = PictureStore(data.samples, ids, (plan.input_width, plan.input_height), resize)
    rules = DetectionRules(
        decode_spec(plan),
        data.classes,
        SCORE_FLOOR,
        Thresholds().nms_iou,
        nms_kind_of(plan),
        detections_needed(len(data.classes)),
    )
    evaluation, _ = validate(network, store, rules, full_precision(torch.device("cpu")))
    return brief(evaluation.to_json())


def brief(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What a table needs of an evaluation."""
    return {
        "map50": round(evaluation["map50"], 4),
        "map50_95": round(evaluation["map50_95"], 4),
        "classes": {
            one["name"]: [None if one[key] is None else round(one[key], 4) for key in ("ap50", "ap50_95")]
            for one in evaluation["classes"]
        },
    }


def _curve(run_folder: Path) -> list[float | None]:
    lines = (run_folder / "results.csv").read_text(encoding="utf-8").splitlines()
    column = lines[0].split(",").index("val_map50")
    cells = [line.split(",")[column] for line in lines[1:]]
    return [round(float(cell), 4) if cell else None for cell in cells]


def _no_average() -> None:
    from vedette.learn.training import method

    method.average_decay = lambda step: 0.0


def _plain_overlap() -> None:
    from vedette.learn.darknet import loss

    complete = loss.box_overlap
    loss.box_overlap = lambda a, b: (complete(a, b)[0],) * 2


def _no_priors() -> None:
    from vedette.learn.training import prepare

    prepare.start_network = lambda network, settings, loaded: None


def _family_anchors() -> None:
    from vedette.learn.darknet.errors import FamilyError
    from vedette.learn.training import new_network

    def refuse(*_: object) -> None:
        raise FamilyError("left out by the benchmark")

    new_network.fit_anchors = refuse  # type: ignore[assignment]


def _steady_rate() -> None:
    from vedette.learn.training.schedule import Schedule

    Schedule.rate = lambda self, step, fraction: min((step + 1) / max(self.warm_up_steps, 1), 1.0)  # type: ignore[method-assign]


PATCHES: Mapping[str, Callable[[], None]] = {
    "no average": _no_average,
    "overlap": _plain_overlap,
    "no priors": _no_priors,
    "family anchors": _family_anchors,
    "steady rate": _steady_rate,
}

if __name__ == "__main__":
    main()
