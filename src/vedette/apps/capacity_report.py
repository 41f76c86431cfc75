"""What `vedette capacity` answers: tables and sentences for people, one document for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vedette.apps.capacity_clips import CapacityClip
from vedette.edge.stream.capacity import DECODE, RESERVE, SKIPS, Answer, CameraWork, UnitCost, answers_by_rate, rate_for

RESIZE, INFERENCE, BOXES, TRACKING = "resizing", "inference", "boxes", "tracking"
ADVICE = {
    DECODE: "fewer frames a second or smaller pictures from the cameras give more cameras",
    RESIZE: "detecting on fewer frames gives more cameras",
    INFERENCE: "detecting on fewer frames, a smaller network input or --precision int8 gives more cameras",
    BOXES: "a higher score threshold or detecting on fewer frames gives more cameras",
    TRACKING: "detecting on fewer frames gives more cameras",
}
WELL = 0.01  # share of detections that may be missed by a box that keeps up
CLOSE = 0.1  # how far a prediction may be from what was measured


@dataclass(frozen=True, slots=True)
class MeasuredModel:
    """A bundle in one precision. `map50` is its receipt's, in 0..1."""

    name: str
    precision: str
    engine: str
    map50: float | None
    inference: UnitCost
    boxes: UnitCost
    tracking: UnitCost

    @property
    def label(self) -> str:
        """`belt int8`"""
        return f"{self.name} {self.precision}"


@dataclass(frozen=True, slots=True)
class PacedRun:
    """So many cameras in their own time: the share of detections missed, frames a second of a camera."""

    cameras: int
    missed: float
    frames_per_s: float

    @property
    def kept_up(self) -> bool:
        """Whether practically nothing was missed."""
        return self.missed < WELL


@dataclass(frozen=True, slots=True)
class Proof:
    """A prediction held against runs. `measured` is by wall clock, `measured_by_cpu` by processor time.

    `others` is the share of the processors that other programs took meanwhile.
    """

    predicted: float
    measured: float
    measured_by_cpu: float
    others: float
    paced: tuple[PacedRun, ...]

    @property
    def difference(self) -> float:
        """Of the prediction from what processor time says: -0.05 promised too little by 5 %."""
        return self.predicted / self.measured_by_cpu - 1


@dataclass(frozen=True, slots=True)
class Row:
    """One clip with one model, or with none."""

    clip: CapacityClip
    model: MeasuredModel | None
    work: CameraWork
    answer: Answer
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class CapacityReport:
    """Everything that was found out."""

    processors: int
    every: int
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def sentence(self, row: Row) -> str:
        """The answer in words."""
        answer = row.answer
        share = f"{100 * answer.shares[answer.bottleneck]:.0f} %"
        box = f"{self.processors} processor{'s' if self.processors > 1 else ''}"
        cameras = f"{answer.planned} camera{'' if answer.planned == 1 else 's'}"
        if row.model is None:
            return f"{box} decode {cameras} of {row.clip.label} and nothing else; --bundle says how many with detection"
        return (
            f"{box} watch {cameras} of {row.clip.label} with {row.model.label}, detecting on {nth_frame(self.every)} "
            f"({answer.detections_per_s:.3g} a second each). Most of the time goes to {answer.bottleneck} ({share}): "
            f"{ADVICE[answer.bottleneck]}."
        )

    def print(self) -> None:
        """Tables and sentences on standard output."""
        from vedette.apps.console import print_line, print_table

        print_table("Processor milliseconds", ["of", "with", "alone", "all processors busy"], list(self._cost_rows()))
        if any(row.model for row in self.rows):
            tables = [(row, answers_by_rate(row.work, self.processors)) for row in self.rows]
            lines = [
                [row.clip.label, row.model.label if row.model else "", *(str(one.planned) for one in table.values())]
                for row, table in tables
            ]
            heads = ["each frame", *(nth_frame(every).removesuffix(" frame") for every in SKIPS[1:])]
            print_table("How many cameras, by how often is detected", ["of", "with", *heads], lines)
        for row in self.rows:
            print_line(self.sentence(row))
            for line in _proof_lines(row.proof):
                print_line(f"  {line}")
        for note in self.notes:
            print_line(note)
        print_line(
            f"Cameras are counted at {100 * RESERVE:.0f} % of the processors' time, and as if something always "
            "happened: gates spare quiet ones."
        )

    def to_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {
            "processors": self.processors,
            "every": self.every,
            "reserve": RESERVE,
            "answers": [self._row_json(row) for row in self.rows],
            "notes": list(self.notes),
        }

    def _row_json(self, row: Row) -> dict[str, Any]:
        clip, model, answer = row.clip, row.model, row.answer
        by_rate = answers_by_rate(row.work, self.processors)
        most = max(round(answer.full), 1)
        return {
            "clip": {
                "codec": clip.codec, "width_px": clip.width_px, "height_px": clip.height_px,
                "frames_per_s": clip.frames_per_s, "file": None if clip.drawn else clip.path,
            },
            "model": None if model is None else asdict(model),
            "cost_ms": {DECODE: asdict(row.work.per_frame)} | {k: asdict(v) for k, v in row.work.per_slot.items()},
            "cameras": answer.planned,
            "cameras_full": round(answer.full, 2),
            "detections_per_s": round(answer.detections_per_s, 3),
            "bottleneck": answer.bottleneck,
            "shares": {stage: round(share, 4) for stage, share in answer.shares.items()},
            "cameras_by_every": {str(every): one.planned for every, one in by_rate.items()},
            "detections_per_s_by_cameras": {
                str(cameras): round(rate_for(row.work, cameras, self.processors), 3) for cameras in range(1, most + 1)
            } if model is not None else {},
            "sentence": self.sentence(row),
            "proof": None if row.proof is None else _proof_json(row.proof),
        }  # fmt: skip

    def _cost_rows(self) -> "list[list[str]]":
        rows: dict[tuple[str, str], UnitCost] = {}
        for row in self.rows:
            rows[f"{DECODE} a frame", row.clip.label] = row.work.per_frame
            for stage, cost in row.work.per_slot.items():
                of_model = row.model is not None and stage in (INFERENCE, BOXES)
                rows.setdefault((stage, row.model.label if of_model and row.model else ""), cost)
        return [[of, what, f"{cost.alone_ms:.2f}", f"{cost.loaded_ms:.2f}"] for (of, what), cost in rows.items()]


def nth_frame(every: int) -> str:
    """`every frame`, `every 2nd frame`, `every 5th frame`."""
    if every == 1:
        return "every frame"
    teen = 10 <= every % 100 < 20
    ending = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(every % 10, "th")
    return f"every {every}{ending} frame"


def _proof_lines(proof: Proof | None) -> list[str]:
    if proof is None:
        return []
    others = f"; other programs took {100 * proof.others:.0f} % of the processors" if proof.others >= 0.03 else ""
    word = "agree" if abs(proof.difference) <= CLOSE else "do not agree"
    lines = [
        f"predicted at full load: {proof.predicted:.2f} cameras; measured: {proof.measured_by_cpu:.2f} by processor "
        f"time ({100 * proof.difference:+.0f} %: they {word}), {proof.measured:.2f} by wall clock{others}"
    ]
    for run in proof.paced:
        verdict = "keeps up" if run.kept_up else "does not keep up"
        lines.append(
            f"in real time, {run.cameras} cameras: {100 * run.missed:.1f} % of detections missed, "
            f"{run.frames_per_s:.1f} frames a second each: {verdict}"
        )
    return lines


def _proof_json(proof: Proof) -> dict[str, Any]:
    return {
        "predicted": round(proof.predicted, 3),
        "measured_by_cpu": round(proof.measured_by_cpu, 3),
        "measured_by_wall_clock": round(proof.measured, 3),
        "difference": round(proof.difference, 4),
        "within_10_percent": abs(proof.difference) <= CLOSE,
        "others_share": round(proof.others, 3),
        "realtime": [
            {"cameras": run.cameras, "missed": round(run.missed, 4), "frames_per_s": round(run.frames_per_s, 2)}
            for run in proof.paced
        ],
    }
