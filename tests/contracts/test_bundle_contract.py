"""`decode` of a manifest is told apart by its kind; manifests of before the second kind read as they did."""

import json

import pytest
from pydantic import ValidationError

from small_bundle import make_manifest
from vedette.contracts.bundle import BundleManifest, DarknetHeads, DarknetRegionHead, RegionHead

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
