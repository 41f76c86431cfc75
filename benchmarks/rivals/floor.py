"""The floor: bare decoding of the same clips, then bare inference of as many pictures, with nothing else done.

    python -m benchmarks.rivals.floor BUNDLE PRECISION EVERY BATCH CLIP... [--active SPANS]

Decoding is PyAV, one thread a clip, frames thrown away; inference is our engine in batches. What a program costs beside
this is what it adds. With spans, a JSON list of [first frame, frame behind the last] for each clip, it is the floor of
a gate that knows everything beforehand: all packets are read, and only what lies between the keyframe before a due
frame of a span and that frame is decoded. Run in a process of its own by `benchmarks.rivals.measuring`.
"""

import argparse
import json
import threading
from collections.abc import Sequence
from typing import Any

import av
import numpy as np

import vedette


def decode_all(clip: str) -> tuple[int, int]:
    """How many frames there are, and how many were decoded: the same."""
    with av.open(clip) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        frames = sum(1 for _ in container.decode(stream))
    return frames, frames


def decode_active(clip: str, due: set[int]) -> tuple[int, int]:
    """The same for due frames and what they build on alone; of a clip without B-frames."""
    frames = decoded = 0
    held: list[Any] = []  # packets since the last keyframe or what was decoded
    with av.open(clip) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.is_keyframe:
                held.clear()
            held.append(packet)
            if frames in due:
                for one in held:
                    one.decode()
                decoded += len(held)
                held.clear()
            frames += 1
    return frames, decoded


def main() -> None:
    """Decode, then infer."""
    parser = argparse.ArgumentParser()
    for name, kind in (("bundle", str), ("precision", str), ("every", int), ("batch", int)):
        parser.add_argument(name, type=kind)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--active", type=json.loads)
    asked = parser.parse_args()
    detector = vedette.load(asked.bundle, precision=asked.precision)
    counts = [(0, 0)] * len(asked.clips)
    due = [due_frames(spans, asked.every) for spans in asked.active or ()]

    def decode(number: int) -> None:
        clip = asked.clips[number]
        counts[number] = decode_active(clip, due[number]) if due else decode_all(clip)

    threads = [threading.Thread(target=decode, args=(number,)) for number in range(len(asked.clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spec = detector.manifest.input
    shape = (asked.batch, spec.height, spec.width, 3)
    pictures = np.random.default_rng(1).integers(0, 255, shape, np.uint8)  # (batch, height, width, 3) uint8
    slots = sum(map(len, due)) if due else sum(-(-frames // asked.every) for frames, _ in counts)
    for _ in range(-(-slots // asked.batch)):
        detector.infer(pictures)
    frames, decoded = (sum(column) for column in zip(*counts, strict=True))
    print(json.dumps({"frames": frames, "slots": slots, **({"decoded": decoded} if due else {})}))


def due_frames(spans: Sequence[Sequence[int]], every: int) -> set[int]:
    """Every Nth frame of a clip that lies in a span."""
    return {frame for first, end in spans for frame in range(-(-first // every) * every, end, every)}


if __name__ == "__main__":
    main()
