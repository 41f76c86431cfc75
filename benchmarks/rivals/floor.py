"""The floor: bare decoding of the same clips, then bare inference of as many pictures, with nothing else done.

    python -m benchmarks.rivals.floor BUNDLE PRECISION EVERY BATCH CLIP...

Decoding is PyAV, one thread a clip, frames thrown away; inference is our engine in batches. What a program costs beside
this is what it adds. Run in a process of its own by `benchmarks.rivals.measuring`.
"""

import json
import sys
import threading

import av
import numpy as np

import vedette


def main() -> None:
    """Decode everything, then infer."""
    bundle, precision, every, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    clips = sys.argv[5:]
    detector = vedette.load(bundle, precision=precision)
    frames = [0] * len(clips)

    def decode(number: int) -> None:
        with av.open(clips[number]) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            frames[number] = sum(1 for _ in container.decode(stream))

    threads = [threading.Thread(target=decode, args=(number,)) for number in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spec = detector.manifest.input
    shape = (batch, spec.height, spec.width, 3)
    pictures = np.random.default_rng(1).integers(0, 255, shape, np.uint8)  # (batch, height, width, 3) uint8
    slots = sum(-(-count // every) for count in frames)
    for _ in range(-(-slots // batch)):
        detector.infer(pictures)
    print(json.dumps({"frames": sum(frames), "slots": slots}))


if __name__ == "__main__":
    main()
