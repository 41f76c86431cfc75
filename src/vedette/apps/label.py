"""`vedette label`: a bundle pre-labels pictures as VOC; a person corrects them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vedette.apps.many_pictures import (
    On,
    available_processors,
    check_processes,
    everywhere,
    outcomes_elsewhere,
    threads_of_each,
)
from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.contracts.ports import Detector
    from vedette.learn.labelling.labelling import Labelled, Plan
    from vedette.learn.labelling.prelabels import Maker
    from vedette.learn.predicting.outcomes import Predict


def label(  # noqa: PLR0913 - one parameter for each flag
    source: Path,
    /,
    *,
    bundle: Annotated[str, Parameter(name="--with")],
    out: Path,
    classes: str | None = None,
    score: float | None = None,
    nms: float | None = None,
    max_detections: Annotated[int | None, Parameter(name="--max")] = None,
    engine: Literal["auto", "openvino", "onnxruntime"] = "auto",
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32",
    processes: int | None = None,
    on: On = "local",
    overwrite: bool = False,
    json: bool = False,
) -> int:
    """Pre-label pictures with a bundle: VOC annotations with scores, for a person to correct.

    The same command goes on where it was stopped or killed. What somebody has labelled or corrected stays as it is. A
    picture that cannot be used is reported, the others are done, and the exit code is 1.

    Parameters
    ----------
    source
        A picture, a folder (pictures in it and below it), or s3://BUCKET/PREFIX.
    bundle
        The bundle's folder, or s3://BUCKET/PREFIX.
    out
        The VOC data set to write or to add to: JPEGImages, Annotations and, in a new one, classes.txt. Pictures that
        lie in it already are labelled in place.
    classes
        Label these classes of the bundle only: names parted by commas.
    score
        Least score; the bundle's own (0.25 unless packed otherwise) when left out.
    nms
        Greatest overlap (IoU) of two boxes of one class; the bundle's own (0.45) when left out.
    max_detections
        Most objects of a picture; the bundle's own (300) when left out.
    engine
        auto is OpenVINO where it is installed, else ONNX Runtime.
    precision
        int8 and fp16 where the bundle was packed with them; bf16 and fp16 need a processor that has them.
    processes
        Processes that work at once; as many as there are processors when left out. The labels are the same, to the last
        bit, with any number.
    overwrite
        Replace what people have labelled or corrected, too.
    json
        Print what was done as JSON on standard output.
    """
    from contextlib import closing

    from vedette.apps.console import ConsoleProgress
    from vedette.apps.object_storage import local_data, refuse_s3
    from vedette.learn.labelling.labelling import held_folder, plan_labelling, settle_classes, write_prelabels

    refuse_s3(out, "--out")
    check_processes(1 if processes is None else processes)
    opener = LabelOpener(str(everywhere(Path(bundle))), engine, precision, score, nms, max_detections)
    wanted, maker, description = opener.describe(classes)
    pictures = local_data(source)
    with held_folder(out.absolute()) as folder, ConsoleProgress() as progress:
        plan = plan_labelling(pictures, folder, maker, overwrite)
        settle_classes(folder, wanted)
        count = max(1, min(processes or available_processors(), len(plan.tasks)))
        if plan.tasks:
            progress.say(f"{description}, {count} process{'es' if count > 1 else ''}{_before(plan)}")
        for reason in plan.failures.values():
            progress.say(f"vedette: {reason}")
        places = [task.picture for task in plan.tasks]
        working = opener.with_threads(threads_of_each(count, on))
        try:
            with closing(outcomes_elsewhere(working, places, count, on, progress)) as outcomes:
                done = write_prelabels(outcomes, plan.tasks, maker, frozenset(wanted), progress)
        except KeyboardInterrupt:
            progress.say("what is labelled stays; the same command goes on from here")
            raise
    return _report(out, plan, done, {"bundle": bundle, "key": maker.key, "processes": count}, json)


@dataclass(frozen=True, slots=True)
class LabelOpener:
    """Opens the bundle with the thresholds asked for, here or in another process."""

    bundle: str
    engine: str
    precision: str
    score: float | None
    nms: float | None
    max_detections: int | None
    threads: int | None = None

    def __call__(self) -> Predict:
        return self._open(self.threads)

    def _open(self, threads: int | None) -> Detector:
        from vedette.apps.library import load

        return load(
            self.bundle,
            self.engine,
            self.precision,
            score=self.score,
            nms_iou=self.nms,
            max_detections=self.max_detections,
            threads=threads,
        )

    def with_threads(self, threads: int) -> LabelOpener:
        from dataclasses import replace

        return replace(self, threads=threads)

    def describe(self, classes: str | None) -> tuple[tuple[str, ...], Maker, str]:
        """The classes to label, what the labels are made by, and a line about it; a mistake shows here, once."""
        from vedette.apps.object_storage import local_bundle
        from vedette.bundle_folder import open_bundle
        from vedette.learn.labelling.prelabels import maker_of

        detector = self._open(threads=1)
        manifest = detector.manifest
        wanted = choose_classes(classes, manifest.classes)
        settings = {
            "bundle": open_bundle(local_bundle(self.bundle)).digest,
            "engine": detector.engine_name,
            "precision": self.precision,
            "score": self.score,
            "nms": self.nms,
            "max": self.max_detections,
            "classes": wanted,
        }
        line = f"{manifest.name} on {detector.engine_name} {self.precision}"
        return wanted, maker_of(manifest.name, settings), line


def choose_classes(asked: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of the bundle that are to be labelled, in its order.

    Raises:
        UsageError: a name that the bundle does not have.
    """
    if asked is None:
        return known
    names = {name.strip() for name in asked.split(",")} - {""}
    unknown = sorted(names - set(known))
    if unknown or not names:
        raise UsageError(f"--classes: the bundle does not know {', '.join(unknown) or 'a class without a name'}; "
                         f"it has: {', '.join(known)}")  # fmt: skip
    return tuple(name for name in known if name in names)


def _before(plan: Plan) -> str:
    parts = [
        f"{plan.done_before} pictures are labelled already" if plan.done_before else "",
        f"{plan.by_hand} stay as somebody labelled them" if plan.by_hand else "",
    ]
    told = ", ".join(part for part in parts if part)
    return f"; {told}" if told else ""


def _report(out: Path, plan: Plan, done: Labelled, about: dict[str, Any], as_json: bool) -> int:
    from vedette.apps.console import print_json, print_line

    failures = plan.failures | done.failures
    if as_json:
        failed = [{"picture": str(picture), "reason": reason} for picture, reason in failures.items()]
        print_json(
            {"out": str(out), "labelled": done.pictures, "objects": done.objects, "done_before": plan.done_before,
             "by_hand": plan.by_hand, "failed": failed, **about}
        )  # fmt: skip
    else:
        print_line(f"{out}: {done.pictures} pictures labelled, {done.objects} objects{_before(plan)}")
        if failures:
            print_line(f"{len(failures)} pictures could not be labelled; see above")
    return 1 if failures else 0
