"""The named clips as they are, behind a gate: how much of them is active, what that allows to save, what is saved.

Active is what somebody (of the class looked for) is in view of, as gate off finds and tracks it, or, where the detector
finds nothing, as a person noted it. Two limits stand beside the saving: what the active share allows, and what of that
the keyframes leave, since whatever is decoded must be decoded from a keyframe on. CPU seconds are the least of
`ROUNDS` runs of each in turns.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from benchmarks.gate_material import data_folder

ROUNDS = 7
WANTED_SHARE = 0.8


@dataclass(frozen=True)
class Clip:
    """What is looked for, on every Nth frame (about six a second), and frames of movement where no detector tells."""

    name: str
    every: int
    wanted: str
    noted: tuple[tuple[int, int], ...] = ()


CLIPS = (
    Clip("intel_one-by-one-person-detection", 2, "person"),
    Clip("intel_bottle-detection", 5, "bottle"),
    Clip("intel_car-detection", 2, "car", ((54, 118), (178, 240), (272, 284), (312, 352))),  # seen from above
    Clip("nvidia_Retail02_short", 5, "person"),
    Clip("quiet_1080p30_h264", 5, "person"),
)


@dataclass(frozen=True)
class Coding:
    """A clip's frames, its keyframes' numbers, and what decoding one frame takes."""

    frames: int
    keyframes: tuple[int, ...]
    decode_s: float

    @property
    def groups(self) -> list[tuple[int, int]]:
        """First frame and end of each group of pictures."""
        return list(zip(self.keyframes, (*self.keyframes[1:], self.frames), strict=True))


def measure(bundle: Path) -> list[dict[str, Any]]:
    """A row for each clip."""
    return [row(clip, bundle) for clip in CLIPS]


def row(clip: Clip, bundle: Path) -> dict[str, Any]:
    """One clip."""
    from benchmarks.gate import missed_events, run_gated

    path = data_folder() / f"{clip.name}.mp4"
    runs: dict[str, list[dict[str, Any]]] = {"off": [], "bitstream": []}
    for _ in range(ROUNDS):
        for gate, found in runs.items():
            found.append(run_gated(path, clip.wanted, gate, clip.every, bundle, sampled=False))
    off, on = (runs[gate][0] for gate in ("off", "bitstream"))
    off_s, on_s = (min(run["cpu_s"] for run in runs[gate]) for gate in ("off", "bitstream"))
    coding = read_coding(path)
    active = active_slots(clip, off["in_view"], coding.frames)
    allowed = 1 - len(active) / off["slots"]
    possible = 1 - least_cpu_s(clip, coding, active, off_s) / off_s
    saving = 1 - on_s / off_s
    return {
        "clip": clip.name,
        "active_share": round(1 - allowed, 3),
        "most_frames_of_a_group": max(end - first for first, end in coding.groups),
        "decode_share": round(coding.frames * coding.decode_s / off_s, 3),
        "gated_share": round(on["gated"] / on["frames_all"], 3),
        "gated_slots_share": round(on["gated_slots"] / on["slots"], 3),
        "cpu_s_off": round(off_s, 2),
        "cpu_s_on": round(on_s, 2),
        "saving": round(saving, 3),
        "allowed_by_share": round(allowed, 3),
        "allowed_with_keyframes": round(possible, 3),
        "achieved_of_share": round(saving / allowed, 2) if allowed > 0.02 else None,
        "achieved_with_keyframes": round(saving / possible, 2) if possible > 0.02 else None,
        "true_events": len(off["events"]),
        "missed": len(missed_events(off["events"], on["events"])),
        "openings": on["openings"],
        "note": on["note"],
    }


def read_coding(path: Path) -> Coding:
    """By decoding it once, on one thread."""
    keyframes = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for number, packet in enumerate(packet for packet in container.demux(stream) if packet.size):
            if packet.is_keyframe:
                keyframes.append(number)
    took = []
    for _ in range(2):
        with av.open(str(path)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            began = time.process_time()
            frames = sum(1 for _ in container.decode(video=0))
            took.append((time.process_time() - began) / frames)
    return Coding(frames, tuple(keyframes), min(took))


def active_slots(clip: Clip, in_view: list[int], frames: int) -> list[int]:
    """Frames that are detected on while something is there."""
    slots = range(0, frames, clip.every)
    if clip.noted:
        return [slot for slot in slots if any(first <= slot < last for first, last in clip.noted)]
    seen = set(in_view)
    return [slot for slot in slots if slot in seen]


def least_cpu_s(clip: Clip, coding: Coding, active: list[int], off_s: float) -> float:
    """What gate off would take for active slots alone, and for decoding from keyframes to the last of them, no more."""
    slot_s = (off_s - coding.frames * coding.decode_s) / len(range(0, coding.frames, clip.every))
    decoded = 0
    for first, end in coding.groups:
        last = max((slot for slot in active if first <= slot < end), default=first)
        decoded += last + 1 - first
    return decoded * coding.decode_s + len(active) * slot_s
