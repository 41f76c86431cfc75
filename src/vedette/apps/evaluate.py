"""`vedette evaluate`: how good a bundle, or Darknet weights, are on labelled pictures, by COCO's definition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vedette.apps.evaluation_folder import check_free, write_folder
from vedette.apps.many_pictures import On, Processes, check_processes, everywhere, outcomes_elsewhere, threads_of_each
from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    from vedette.contracts.frame import ResizeMode
    from vedette.learn.predicting.outcomes import Predict
    from vedette.learn.training.evaluate import Evaluation

LARGEST_CLASS_MAP_BYTES = 1_000_000


def evaluate(  # noqa: PLR0913 - one parameter for each flag
    bundle: Path | None = None,
    /,
    *,
    data: Path,
    cfg: Path | None = None,
    weights: Path | None = None,
    names: Path | None = None,
    split: str | None = None,
    format: Literal["voc", "darknet", "yolo", "coco", "manifest"] | None = None,
    class_map: Path | None = None,
    resize: Literal["stretch", "letterbox", "darknet"] | None = None,
    nms: float | None = None,
    nms_kind: Literal["iou", "diou", "agnostic"] | None = None,
    engine: Literal["auto", "openvino", "onnxruntime"] = "auto",
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32",
    processes: Processes = 1,
    on: On = "local",
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Measure a bundle (`vedette evaluate BUNDLE --data SOURCE`) or weights (`--cfg C --weights W --names N`).

    mAP50 and mAP50-95 as COCO defines them; precision and recall at the score threshold with the best mean F1. Classes
    match by name, spelling and a table of aliases; a class of the data that the model does not know is an error. The
    figures are the same, to the last bit, with any number of processes; the time for a picture is not.

    Parameters
    ----------
    bundle
        A packed bundle (a folder, or s3://BUCKET/PREFIX); it runs on the engine that the edge would use.
    data
        Labelled pictures: a folder or file in VOC, Darknet, YOLO or COCO format, a Ground Truth manifest, or
        s3://BUCKET/PREFIX.
    cfg
        Darknet network, instead of a bundle; runs in torch.
    weights
        Its weights.
    names
        Its classes, one a line.
    split
        Which split of the data, such as test; all of its pictures when left out.
    format
        The data's format, where it is not to be guessed.
    class_map
        JSON or YAML file: data class -> model class, or null to leave a data class out.
    resize
        How pictures are fitted into the network; the bundle's own, or the cfg's letter_box, when left out. darknet is a
        stretch with Darknet's own resize.
    nms
        Greatest overlap of two boxes of one class (agnostic: of any two boxes); the bundle's own, or 0.45, when left
        out.
    nms_kind
        What overlap means: IoU, DIoU as in Darknet's greedynms, or agnostic: IoU between boxes of any classes; the
        bundle's own, or as the cfg's nms_kind says, when left out.
    engine
        For a bundle: auto is OpenVINO where it is installed, else ONNX Runtime.
    precision
        For a bundle: int8 and fp16 where it was packed with them; bf16 and fp16 need a processor that has them.
    out
        A new folder for a report: report.html with curves, what scores are worth, AP by size and the 20 worst pictures;
        `vedette compare` takes such folders.
    json
        Print the figures as JSON on standard output.
    """
    if out is not None:
        check_free(out)
    if nms is not None and not 0 <= nms <= 1:
        raise UsageError(f"--nms must lie between 0 and 1; got {nms}")
    check_processes(processes)
    source = _source(bundle, (cfg, weights, names), engine, precision)
    mapping = {} if class_map is None else read_class_map(class_map)

    from vedette.apps.console import ConsoleProgress, print_json, print_line
    from vedette.apps.object_storage import local_data
    from vedette.learn.data.reading import read_data_set
    from vedette.learn.data.samples import Layout
    from vedette.learn.predicting.outcomes import outcomes_here
    from vedette.learn.training.diagnosis.diagnose import diagnose, evaluation_of
    from vedette.learn.training.evaluate import choose_split, judge_outcomes

    labelled = choose_split(read_data_set(local_data(data), None if format is None else Layout(format)), split)
    judged = source.open(resize, nms, nms_kind)
    with ConsoleProgress() as progress:
        progress.say(f"{judged.name} on {judged.engine}, {judged.resize.value}")
        pictures = [sample.picture for sample in labelled.samples]
        if (processes, on) == (1, "local"):
            outcomes = outcomes_here(judged.predict, pictures)
        else:
            opener = JudgedOpener(source, resize, nms, nms_kind, threads_of_each(processes, on))
            outcomes = outcomes_elsewhere(opener, pictures, processes, on, progress)
        found = judge_outcomes(outcomes, labelled, judged.classes, class_map=mapping, progress=progress)
    result = evaluation_of(found)
    facts = judged.to_json() | {"data": str(data), "split": split}
    if out is not None:
        write_folder(out, found, result, facts)
    if json:
        print_json(result.to_json() | diagnose(found, result.best_score).to_json(found) | facts)
    else:
        print_evaluation(judged.name, result)
        if out is not None:
            print_line(f"report: {out}/report.html")
    return 0


@dataclass(frozen=True, slots=True)
class Judged:
    """A detector opened for evaluation, and in what way."""

    name: str
    predict: Predict
    classes: tuple[str, ...]
    engine: str
    resize: ResizeMode
    nms_iou: float
    nms_kind: str

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "engine": self.engine,
            "resize": self.resize.value,
            "nms_iou": self.nms_iou,
            "nms_kind": self.nms_kind,
        }


@dataclass(frozen=True, slots=True)
class BundleSource:
    """What the command line says about a bundle to evaluate."""

    path: Path
    engine: str
    precision: str

    def open(self, resize: str | None, nms: float | None, nms_kind: str | None, threads: int | None = None) -> Judged:
        from vedette.apps.object_storage import local_bundle
        from vedette.bundle_folder import open_bundle
        from vedette.contracts.bundle import NmsKind, Precision
        from vedette.contracts.frame import ResizeMode
        from vedette.contracts.pipeline import EngineChoice
        from vedette.edge.engines.opening import open_detector
        from vedette.learn.training.evaluate import SCORE_FLOOR, detections_needed

        opened = open_bundle(local_bundle(self.path))
        manifest = opened.manifest
        own = manifest.thresholds
        mode = manifest.input.resize if resize is None else ResizeMode(resize)
        kind = own.nms_kind if nms_kind is None else NmsKind(nms_kind)
        asked = manifest.model_copy(
            update={
                "input": manifest.input.model_copy(update={"resize": mode}),
                "thresholds": own.model_copy(update={"nms_kind": kind}),
            }
        )
        overlap = own.nms_iou if nms is None else nms
        detector = open_detector(
            replace(opened, manifest=asked),
            EngineChoice(self.engine),
            Precision(self.precision),
            score=SCORE_FLOOR,
            nms_iou=overlap,
            max_detections=detections_needed(len(manifest.classes)),
            threads=threads,
        )
        return Judged(manifest.name, detector, manifest.classes, detector.engine_description, mode, overlap, kind.value)


@dataclass(frozen=True, slots=True)
class DarknetSource:
    """What the command line says about Darknet weights to evaluate."""

    cfg: Path
    weights: Path
    names: Path

    def open(self, resize: str | None, nms: float | None, nms_kind: str | None, threads: int | None = None) -> Judged:
        """`threads` is for a process that does nothing else: torch keeps one number for all of a process."""
        import torch

        from vedette.contracts.bundle import NmsKind, Thresholds
        from vedette.contracts.frame import ResizeMode
        from vedette.learn.darknet.cfg import read_cfg
        from vedette.learn.darknet.plan import decode_spec, nms_kind_of, plan_network
        from vedette.learn.darknet.weights import read_weights
        from vedette.learn.training.evaluate import SCORE_FLOOR, detections_needed
        from vedette.learn.training.predictor import DarknetPredictor
        from vedette.vision.postprocess import DetectionRules

        if threads is not None:
            torch.set_num_threads(threads)
        plan = plan_network(read_cfg(self.cfg))
        classes = read_class_names(self.names, plan.class_count)
        own = ResizeMode.LETTERBOX if plan.letter_box else ResizeMode.STRETCH
        mode = own if resize is None else ResizeMode(resize)
        rules = DetectionRules(
            decode=decode_spec(plan),
            class_names=classes,
            score=SCORE_FLOOR,
            nms_iou=Thresholds().nms_iou if nms is None else nms,
            nms_kind=nms_kind_of(plan) if nms_kind is None else NmsKind(nms_kind),
            max_detections=detections_needed(len(classes)),
        )
        predictor = DarknetPredictor(plan, read_weights(self.weights, plan), rules, mode)
        name = self.weights.stem
        return Judged(name, predictor, classes, predictor.description, mode, rules.nms_iou, rules.nms_kind.value)


@dataclass(frozen=True, slots=True)
class JudgedOpener:
    """Opens the same detector in another process."""

    source: BundleSource | DarknetSource
    resize: str | None
    nms: float | None
    nms_kind: str | None
    threads: int

    def __call__(self) -> Predict:
        return self.source.open(self.resize, self.nms, self.nms_kind, self.threads).predict


def _source(
    bundle: Path | None, files: tuple[Path | None, Path | None, Path | None], engine: str, precision: str
) -> BundleSource | DarknetSource:
    cfg, weights, names = files
    if bundle is not None:
        if any(file is not None for file in files):
            raise UsageError("give a BUNDLE, or --cfg, --weights and --names, not both")
        return BundleSource(everywhere(bundle), engine, precision)
    if cfg is None or weights is None or names is None:
        flags = zip(("--cfg", "--weights", "--names"), files, strict=True)
        missing = ", ".join(flag for flag, file in flags if file is None)
        raise UsageError(f"give a BUNDLE, or --cfg, --weights and --names together; missing: {missing}")
    if (engine, precision) != ("auto", "fp32"):
        raise UsageError("--engine and --precision are for bundles; weights run in torch, FP32: pack them first")
    return DarknetSource(everywhere(cfg), everywhere(weights), everywhere(names))


def read_class_names(path: Path, count: int) -> tuple[str, ...]:
    """The classes of a names file, one a line; trailing empty lines do not count.

    Raises:
        InputError: the file cannot be read, or does not have as many names as the network has classes.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a list of class names: {error}") from error
    names = tuple(line.strip() for line in lines)
    if len(names) != count or not all(names):
        raise InputError(
            f"{path} has {len(names)} lines{'' if all(names) else ', some of them empty'}, but the network has {count} "
            "classes; it needs one name on each line, in the network's order"
        )
    return names


def read_class_map(path: Path) -> dict[str, str | None]:
    """Data class -> model class (`None`: leave the data class out), from JSON or YAML.

    Raises:
        InputError: the file cannot be read, or is not a map from names to names.
    """
    import yaml

    try:
        if path.stat().st_size > LARGEST_CLASS_MAP_BYTES:
            raise InputError(f"{path} is larger than {LARGEST_CLASS_MAP_BYTES} bytes: no class map")
        document = yaml.safe_load(path.read_text(encoding="utf-8-sig"))  # JSON is YAML
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # a date of no calendar is a ValueError
        raise InputError(f"{path} cannot be read as a class map: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or not document:
        raise InputError(f"{path} must map class names of the data to class names of the model, one on each line")
    wrong = [repr(k) for k, v in document.items() if not isinstance(k, str) or not (v is None or isinstance(v, str))]
    if wrong:
        raise InputError(
            f"{path}: names must be text (quote numbers, yes, no), or null on the right: {', '.join(wrong)}"
        )
    return document


def print_evaluation(name: str, result: Evaluation) -> None:
    """The table of classes and the line of means, on standard output."""
    from vedette.apps.console import print_line, print_table

    def cell(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    rows = [
        [c.name, str(c.objects), cell(c.ap50), cell(c.ap50_95), cell(c.precision), cell(c.recall)]
        for c in result.classes
    ]
    figures = (result.map50, result.map50_95, result.precision, result.recall)
    rows.append(["mean of classes", str(result.objects), *(cell(value) for value in figures)])
    print_table(name, ["class", "objects", "AP50", "AP50-95", "precision", "recall"], rows)
    print_line(
        f"{result.pictures} pictures, {result.ms_per_picture:.1f} ms each; "
        f"precision and recall at score {result.best_score:.3f}, IoU 0.5"
    )
