"""`decode` of a manifest is told apart by its kind; manifests of before the second kind read as they did."""

import json

import pytest
from pydantic import ValidationError

from small_bundle import make_manifest
from vedette.contracts.bundle import BundleManifest, DarknetHeads, DarknetRegionHead, DecodedBoxes, RegionHead

REGION = DarknetRegionHead(
    heads=(RegionHead(output="head_0", grid_width=7, grid_height=7, anchors=((34.56, 38.08), (109.44, 141.12))),)
)


def test_each_decode_kind_survives_json() -> None:
    yolo = make_manifest()
    region = yolo.model_copy(update={"decode": REGION})

    assert isinstance(BundleManifest.model_validate_json(yolo.model_dump_json()).decode, DarknetHeads)
    assert BundleManifest.model_validate_json(region.model_dump_json()) == region


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "darknet_yolo_heads"}, "darknet_yolo_heads"),
        ({"heads": REGION.model_dump()["heads"] * 2}, "heads"),
    ],
)
def test_a_decode_that_is_not_of_its_kind_is_refused(change: dict[str, object], message: str) -> None:
    document = json.loads(make_manifest().model_copy(update={"decode": REGION}).model_dump_json())
    document["decode"].update(change)
    if "kind" in change:
        document["decode"]["heads"][0]["softmax"] = True
    with pytest.raises(ValidationError, match=message):
        BundleManifest.model_validate(document)


def test_an_unknown_decode_kind_is_refused_by_name() -> None:
    document = json.loads(make_manifest().model_dump_json())
    document["decode"]["kind"] = "something_else"
    with pytest.raises(ValidationError, match="something_else"):
        BundleManifest.model_validate(document)


@pytest.mark.parametrize("kind", ["boxes_scores", "boxes_objectness_scores", "boxes_score_class"])
def test_decoded_boxes_survive_json(kind: str) -> None:
    decode = DecodedBoxes(kind=kind, outputs=("a", "b"), classes=3, box_form="xyxy", box_units="normalised")
    manifest = make_manifest().model_copy(update={"decode": decode})
    assert BundleManifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert decode.outputs == ("a", "b") and make_manifest().decode.outputs == ("head_0", "head_1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 4}, "decode speaks of 4 classes, 3 are named"),
        ({"outputs": []}, "outputs"),
        ({"outputs": ["a", "b", "c"]}, "outputs"),
        ({"box_form": "yxyx"}, "box_form"),
        ({"anchors": [[1, 2]]}, "anchors"),
    ],
)
def test_decoded_boxes_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    decode = DecodedBoxes(kind="boxes_scores", outputs=("a",), classes=3, box_form="xyxy", box_units="pixels")
    document = json.loads(make_manifest().model_copy(update={"decode": decode}).model_dump_json())
    BundleManifest.model_validate(document)
    document["decode"].update(change)
    with pytest.raises(ValidationError, match=message):
        BundleManifest.model_validate(document)


def test_only_an_onnx_detector_comes_without_a_cfg() -> None:
    document = json.loads(make_manifest().model_dump_json())
    document["provenance"]["cfg_sha256"] = None
    with pytest.raises(ValidationError, match="comes with a cfg"):
        BundleManifest.model_validate(document)
    document["provenance"]["source"] = "onnx"
    assert BundleManifest.model_validate(document).provenance.cfg_sha256 is None
