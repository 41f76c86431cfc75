"""What a camera's gate may be asked for. In a module of its own, which decoders load: it needs no validation."""

from enum import Enum


class GateMode(str, Enum):
    """What is spared while nothing happens. `motion`: detection; `bitstream`: decoding too.

    `auto` is `bitstream` for live cameras and paced files, `off` for files that are read as fast as possible.
    """

    AUTO = "auto"
    OFF = "off"
    MOTION = "motion"
    BITSTREAM = "bitstream"
