"""`frame_pixels.py CLIP OUT.npz`: digests of a clip's decoded planes, and frames as the pipeline fits them for a net.

Runs on both machines with what [edge] installs and nothing else.
"""

import hashlib
import sys

import av
import numpy as np

from vedette.contracts.bundle import InputSpec
from vedette.edge.stream.fitting import FrameFitter

EVERY = 10


def main(clip: str, out: str) -> None:
    fitter, digests, pixels = FrameFitter(InputSpec(width=320, height=320)), [], []
    with av.open(clip) as film:
        for number, frame in enumerate(film.decode(video=0)):
            if number % EVERY == 0:
                digests.append(hashlib.sha256(b"".join(bytes(plane) for plane in frame.planes)).hexdigest())
                pixels.append(np.array(fitter.fit(frame)[0]))
    np.savez(out, digests=np.array(digests), pixels=np.stack(pixels))  # (frames, height, width, 3) uint8


if __name__ == "__main__":
    main(*sys.argv[1:3])
