"""The coloured-squares bundle with golden pictures, as many different ones as a test of installing wants."""

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import numpy_helper

from small_bundle import CLASSES, make_manifest, make_model, make_picture
from vedette.bundle_folder import OpenBundle, open_bundle, write_bundle
from vedette.contracts.bundle import GoldenDetection, GoldenFile, GoldenPicture
from vedette.edge.engines.opening import open_detector

PICTURES = ({(0, 0): "red", (2, 2): "green"}, {(2, 0): "blue"}, {})


def write_golden_bundle(folder: Path, version: str = "1", broken: bool = False, batch: int | None = None) -> OpenBundle:
    """A bundle whose golden detections are those of the good model; a broken one has another model inside."""
    plain = folder.with_name(f".{folder.name}.plain")
    manifest = make_manifest().model_copy(update={"version": version})
    manifest = manifest.model_copy(update={"input": manifest.input.model_copy(update={"batch": batch})})
    model = make_model() if batch is None else _of_batch(make_model(), batch)
    contents = {"model.onnx": model, "labels.txt": "".join(f"{name}\n" for name in CLASSES).encode()}
    detector = open_detector(write_bundle(plain, manifest, contents))
    pictures = []
    for number, squares in enumerate(PICTURES):
        picture = make_picture(squares, 2)
        found = detector(picture)
        detections = tuple(
            GoldenDetection(class_id=int(class_id), score=float(score), box_xyxy_px=tuple(map(float, box)))
            for class_id, score, box in zip(found.class_ids, found.scores, found.boxes_xyxy_px, strict=True)
        )
        name = f"golden_{number:02d}.png"
        contents[name] = cv2.imencode(".png", picture)[1].tobytes()
        height, width = picture.shape[:2]
        pictures.append(GoldenPicture(file=name, width=width, height=height, detections=detections))
    golden = GoldenFile(
        synthetic=True, score=0.25, nms_iou=0.45, score_tolerance=1e-3, box_tolerance_px=1.0, pictures=tuple(pictures)
    )
    assert [len(one.detections) for one in pictures] == [len(squares) for squares in PICTURES]
    contents["golden.json"] = golden.model_dump_json().encode()
    if broken:
        contents["model.onnx"] = _with_red_and_blue_swapped(make_model())
    return write_bundle(folder, manifest.model_copy(update={"golden": "golden.json"}), contents)


def _of_batch(model: bytes, batch: int) -> bytes:
    proto = onnx.load_from_string(model)
    for tensor in (*proto.graph.input, *proto.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = batch
    return bytes(proto.SerializeToString())


def _with_red_and_blue_swapped(model: bytes) -> bytes:
    proto = onnx.load_from_string(model)
    for weight in proto.graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.ndim == 4:
            weight.CopyFrom(numpy_helper.from_array(array[:, ::-1].copy(), weight.name))
    return bytes(proto.SerializeToString())


def flip_bit(path: Path, rng: np.random.Generator) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    place = int(rng.integers(len(content)))
    content[place] ^= 1 << int(rng.integers(8))
    path.chmod(0o644)
    path.write_bytes(content)


def digest_of(folder: Path) -> str:
    """The digest of a bundle that must be whole."""
    return open_bundle(folder).digest
