"""Lets OpenVINO be imported without its model converter, which a run never needs.

`import openvino` brings `openvino.tools.ovc` along (with telemetry, argparse, urllib and masked arrays: 16 MiB and two
thirds of its processor time) and does without where that cannot be imported. For programs of our own only: in somebody
else's process `openvino.convert_model` may be wanted later.
"""

import sys
from typing import Any, cast

CONVERTER = "openvino.tools.ovc"


def leave_converter_out() -> None:
    """Call before anything imports OpenVINO; where that has happened nothing changes."""
    # None is how the import system is told that there is no such module
    cast("dict[str, Any]", sys.modules).setdefault(CONVERTER, None)
