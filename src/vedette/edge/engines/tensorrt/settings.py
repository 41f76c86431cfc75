"""What a person or a program may choose when TensorRT builds an engine."""

from dataclasses import dataclass, field
from pathlib import Path

from vedette.contracts.ports import Progress, SilentProgress

CALIBRATED = "calibrated"  # the name of an INT8 variant that the bundle does not have


@dataclass(frozen=True, slots=True)
class TensorRtSettings:
    """`cache` holds engines and timing caches; a build that takes longer than `time_limit_s` is ended.

    `most_pictures` is the largest batch of one run, for models of an open batch. `calibration` is the text of a
    calibration cache of TensorRT, with which the FP32 model is built in INT8 where the version still has calibrators
    and the bundle has no INT8 variant for TensorRT. What takes time is told to `progress`.
    """

    cache: Path = field(default_factory=lambda: Path.home() / ".cache" / "vedette" / "engines")
    time_limit_s: float = 1500.0  # less than deploy/systemd gives a start
    most_pictures: int = 8
    calibration: Path | None = None
    progress: Progress = field(default_factory=SilentProgress)
