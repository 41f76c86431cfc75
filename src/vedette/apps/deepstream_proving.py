"""`vedette deepstream run --prove`: the engine that nvinfer loads must first reproduce the golden pictures.

NVIDIA's trtexec loads the very file and runs it, seconds a picture; what it must answer is asked of every engine that
Vedette builds itself (`edge.engines.tensorrt.proving`). What was proved is noted beside the engine, so that the next
start asks again only after the engine, the bundle, TensorRT or the GPU changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.contracts.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from vedette.bundle_folder import OpenBundle
    from vedette.contracts.bundle import Precision
    from vedette.edge.deepstream.rendered import RenderedFacts
    from vedette.edge.engines.tensorrt.trtexec import TrtexecBuilder

NOTE_ENDING = ".proved.json"


def prove_engine(folder: Path, facts: RenderedFacts, source: str, say: Callable[[str], None]) -> None:
    """Prove the engine of a rendered folder; builds it where the folder has a script for that.

    Raises:
        UsageError: the bundle is not the one that the folder was rendered from.
        UnavailableError: there is no trtexec.
        EngineError: the engine cannot be built or run, or is wrong; says how.
    """
    from vedette.apps.object_storage import local_bundle
    from vedette.bundle_folder import open_bundle
    from vedette.edge.engines.tensorrt.trtexec import TrtexecBuilder, find_trtexec

    bundle = open_bundle(local_bundle(source))
    if bundle.digest != facts.bundle.digest:
        raise UsageError(
            f"--prove: the folder was rendered from bundle {facts.bundle.digest[:12]}, {source} is "
            f"{bundle.digest[:12]}; render the pipeline file again"
        )
    engine, precision, batch = _named_engine(folder)
    if not engine.is_file() and not _build(folder, say):
        say(f"{engine.name} is not there yet: nvinfer builds it when it first starts, the next start proves it")
        return
    program = os.environ.get("TRTEXEC") or find_trtexec()
    if program is None:
        raise UnavailableError("--prove needs NVIDIA's trtexec: sudo apt install tensorrt")
    builder, content = TrtexecBuilder(program), engine.read_bytes()
    key = {
        **builder.key,
        "engine": hashlib.sha256(content).hexdigest(),
        "bundle": bundle.digest,
        "precision": precision.value,
    }
    note = engine.with_name(engine.name + NOTE_ENDING)
    if _read_note(note) == key:
        return
    proved = _prove(bundle, builder, content, precision, batch)
    say(f"{engine.name}: reproduces {proved} golden detections")
    try:
        note.write_text(json.dumps(key))
    except OSError as error:
        say(f"{note}: cannot be written ({error.strerror}); the next start proves the engine again")


def _named_engine(folder: Path) -> tuple[Path, Precision, int]:
    """What nvinfer's file says: the engine, its precision, its batch.

    Raises:
        UsageError: the file is not as `render` wrote it.
    """
    from vedette.edge.deepstream.import_settings import group_of, read_config
    from vedette.edge.deepstream.render_nvinfer import NETWORK_MODES
    from vedette.edge.deepstream.render_settings import NVINFER_FILE

    group = group_of(read_config(folder / NVINFER_FILE), "property")
    modes = {number: precision for precision, number in NETWORK_MODES.items()}
    name, mode, batch = (
        (None, None, None)
        if group is None
        else (group.text("model-engine-file"), group.integer("network-mode"), group.integer("batch-size"))
    )
    if name is None or mode not in modes or batch is None or batch < 1:
        raise UsageError(f"{folder / NVINFER_FILE}: names no engine, mode or batch; render the pipeline file again")
    return folder / name, modes[mode], batch


def _build(folder: Path, say: Callable[[str], None]) -> bool:
    """Build the engine by the folder's own script, where it has one."""
    from vedette.edge.deepstream.render_settings import ENGINE_BUILD_FILE
    from vedette.edge.engines.errors import EngineError

    script = folder / ENGINE_BUILD_FILE
    if not script.is_file():
        return False
    say("building the engine: this takes minutes")
    done = subprocess.run([str(script.absolute())], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(" / ".join(done.stderr.strip().splitlines()[-3:]) or f"{script}: failed")
    return True


def _prove(bundle: OpenBundle, builder: TrtexecBuilder, engine: bytes, precision: Precision, batch: int) -> int:
    from vedette.edge.deepstream.render_nvinfer import model_variant
    from vedette.edge.engines.fixed_batch import FixedBatchEngine
    from vedette.edge.engines.tensorrt.order import Order
    from vedette.edge.engines.tensorrt.proving import require_proved
    from vedette.edge.engines.tensorrt.recipe import shapes_of
    from vedette.edge.engines.tensorrt.settings import TensorRtSettings

    manifest = bundle.manifest
    variant = model_variant(manifest, precision)
    model = bundle.read(variant.file)
    order = Order(manifest, model, precision, shapes_of(manifest, batch), TensorRtSettings(most_pictures=batch))
    opened = builder.open(order, engine)
    asked = opened if manifest.input.batch is None else FixedBatchEngine(opened, manifest.input.batch)
    # nvinfer makes FP16 of the FP32 file: what may differ is FP16's to say
    return require_proved(bundle, variant.model_copy(update={"precision": precision}), model, asked, precision)


def _read_note(note: Path) -> object:
    try:
        return json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None
