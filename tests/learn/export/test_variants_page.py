"""The page about variants: receipts, then pictures in which they differ; nothing from outside, nothing unescaped."""

import re

import numpy as np

from small_bundle import make_manifest
from vedette.contracts.bundle import BundleManifest, EngineName, FileEntry, Precision, Variant
from vedette.contracts.detections import Detections
from vedette.contracts.receipt import Accuracy, AccuracyChange, ClassChange, Evidence, Receipt, Source
from vedette.learn.export.variants_page import Shown, render_variants_page

NAMES = ("<b>red</b>", "green")
PICTURE = np.full((120, 160, 3), 90, np.uint8)


def found(*boxes: tuple[int, float, float]) -> Detections:
    return Detections(
        np.array([(x, y, x + 20, y + 20) for _, x, y in boxes], np.float32).reshape(-1, 4),
        np.full(len(boxes), 0.5, np.float32),
        np.array([class_id for class_id, _, _ in boxes], np.int32),
        NAMES,
    )


def make_receipt(map50: float, network_ms: float | None, change: float | None = None) -> Receipt:
    classes = tuple(
        ClassChange(name=name, ap50=map50, ap50_95=0.4, change_ap50=change or 0, change_ap50_95=0) for name in NAMES
    )
    return Receipt(
        accuracy=Accuracy(data_digest="d", split="test", pictures=3, map50=map50, map50_95=0.4),
        change=None if change is None else AccuracyChange(map50=change, map50_95=0, classes=classes),
        evidence=Evidence(
            accuracy=Source.MEASURED if network_ms else Source.SIMULATED,
            speed=Source.MEASURED if network_ms else Source.UNMEASURED,
        ),
        ms_per_picture=network_ms,
        network_ms=network_ms,
        kept_layers=() if network_ms else ("head_0_conv",),
        engine="openvino",
        host="Linux",
    )


def make_page(second: list[Detections]) -> str:
    first = [found((0, 0, 0), (1, 50, 50)), found((0, 10, 10)), found()]
    variants = (
        Variant(name="fp32", file="m.onnx", precision=Precision.FP32, receipt=make_receipt(0.9, 20.0)),
        Variant(
            name="int8",
            file="m8.xml",
            precision=Precision.INT8,
            engines=(EngineName.OPENVINO,),
            receipt=make_receipt(0.88, 7.0, -0.02),
        ),
    )
    entry = FileEntry(sha256="0" * 64, size_bytes=2**20)
    manifest: BundleManifest = make_manifest().model_copy(
        update={"variants": variants, "files": {"m.onnx": entry, "m8.xml": entry}, "name": "<i>squares</i>"}
    )
    shown = [Shown(variants[0], first), Shown(variants[1], second)]
    return render_variants_page(manifest, shown, lambda _: PICTURE, "cells (test)")


def test_only_the_pictures_that_differ_are_shown_the_most_different_first() -> None:
    page = make_page([found((0, 0, 0)), found((1, 10, 10), (1, 100, 90)), found()])
    captions = re.findall(r"<figcaption><strong>(\w+)</strong> <span class=\"soft\">([^<]*)</span>", page)
    assert captions == [("fp32", "1 found"), ("int8", "1 missing, 2 extra"), ("fp32", "2 found"), ("int8", "1 missing")]
    assert page.count('<img src="data:image/jpeg;base64,') == 4


def test_variants_that_find_the_same_need_no_picture() -> None:
    page = make_page([found((0, 0, 0), (1, 50, 50)), found((0, 10, 10)), found()])
    assert "<img" not in page and "every variant finds what FP32 finds" in page


def test_figures_stand_in_the_tables() -> None:
    page = make_page([found(), found(), found()])
    for figure in ("90.00", "88.00", "-2.00", "2.86", "20.00", "7.00", "accuracy: measured, speed: measured"):
        assert figure in page


def test_the_page_is_whole_in_itself_and_escapes_names() -> None:
    page = make_page([found(), found(), found()])
    assert "<b>red</b>" not in page and "&lt;b&gt;red" in page and "<i>squares</i>" not in page
    assert "http://" not in page and "https://" not in page and "<script" not in page
