"""What INT8 and its kin cost in accuracy and save in time, on two trained yolov3-tiny: drawn scenes, and blood cells.

`VEDETTE_BENCH_RUNS` may name a folder with finished runs (`scenes416` beside `scenes416_data`, and `bccd`) to be packed
anew; what is not there is drawn and trained first (5.5 and 20 minutes on two cores; blood cells only where
`VEDETTE_DATA` has them). Accuracy is that of the receipts, on the test splits. Speed is measured here in rounds, FP32
and each variant in turn, in processor milliseconds of the network on one thread, compiled for one picture as `vedette
run` has it: neighbours on the machine touch all alike.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from vedette.apps.pack_darknet import PackOptions, pack_model
from vedette.apps.pack_measuring import for_one_picture
from vedette.apps.pack_variants import VariantWish
from vedette.bundle_folder import OpenBundle
from vedette.contracts.bundle import Variant
from vedette.contracts.pipeline import EngineChoice
from vedette.contracts.ports import SilentProgress
from vedette.edge.engines.detector import HeadEngine
from vedette.edge.engines.opening import open_engine
from vedette.learn.data.scenes.writing import write_stills
from vedette.learn.training.loop import train
from vedette.learn.training.settings import TrainSettings, parse_size

STILLS, TRAIN, VAL = 700, 400, 60  # the rest is for testing; four stills of a scene stay together
ROUNDS, CALLS = 9, 12
LEAST_RATIO, GREATEST_DROP_POINTS = 2.8, 0.5
NAMES = ("fp32", "bf16", "fp16", "int8", "int8_qdq", "int8_qdq_symmetric")


def measure() -> dict[str, Any]:
    """For each network its variants, and whether INT8 on OpenVINO reaches what is promised."""
    given = os.environ.get("VEDETTE_BENCH_RUNS")
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(given) if given else Path(folder)
        networks = {"scenes 416x416": (runs / "scenes416", _scenes(runs), "416", 330.0)}
        cells = Path(os.environ.get("VEDETTE_DATA", "")) / "bccd"
        if "VEDETTE_DATA" in os.environ and cells.is_dir():
            networks["blood cells 320x320"] = (runs / "bccd", cells, "320", 1200.0)
        return {name: _network(*parts, Path(folder) / "packed") for name, parts in networks.items()}


def _scenes(runs: Path) -> Path:
    data = runs / "scenes416_data"
    if not data.is_dir():
        write_stills(data, STILLS, 0, SilentProgress(), os.cpu_count() or 1)
        names = sorted(path.stem for path in (data / "JPEGImages").iterdir())
        sets = data / "ImageSets" / "Main"
        sets.mkdir(parents=True)
        parts = {"train": names[:TRAIN], "val": names[TRAIN : TRAIN + VAL], "test": names[TRAIN + VAL :]}
        for split, chosen in parts.items():
            (sets / f"{split}.txt").write_text("".join(f"{name}\n" for name in chosen), encoding="utf-8")
    return data


def _network(run: Path, data: Path, size: str, budget_s: float, packed: Path) -> dict[str, Any]:
    if not (run / "best.weights").is_file():
        train(TrainSettings(data=data, size_px=parse_size(size), time_budget_s=budget_s), run, SilentProgress())
    bundle_folder = packed / run.name
    options = PackOptions(
        bundle_folder,
        run / "model.cfg",
        run / "best.weights",
        run / "names.txt",
        run=run,
        data=data,
        split="test",
        wish=VariantWish(NAMES, data, report=packed / f"{run.name}.html"),
    )
    bundle = pack_model(options, SilentProgress())
    variants = {variant.name: variant for variant in bundle.manifest.variants}
    ratios = _ratios(bundle)
    figures = {name: _figures(variant, ratios.get(name)) for name, variant in variants.items()}
    drop = -figures["int8"]["change_map50_points"]
    ratio = figures["int8"]["times_fp32"]
    return {
        "pictures": variants["fp32"].receipt.accuracy.pictures if variants["fp32"].receipt.accuracy else None,
        "variants": figures,
        "int8_drop_points": drop,
        "int8_drop_limit": GREATEST_DROP_POINTS,
        "int8_times_fp32": ratio,
        "int8_least_times_fp32": LEAST_RATIO,
        "reached": drop <= GREATEST_DROP_POINTS and ratio >= LEAST_RATIO,
    }


def _figures(variant: Variant, speed: dict[str, float] | None) -> dict[str, Any]:
    receipt = variant.receipt
    assert receipt.accuracy is not None
    assert receipt.evidence is not None
    return {
        "map50": round(receipt.accuracy.map50, 4),
        "map50_95": round(receipt.accuracy.map50_95, 4),
        "change_map50_points": round(100 * receipt.change.map50, 3) if receipt.change else 0.0,
        "change_map50_95_points": round(100 * receipt.change.map50_95, 3) if receipt.change else 0.0,
        "by_class_points": {one.name: round(100 * one.change_ap50, 2) for one in receipt.change.classes}
        if receipt.change
        else {},
        "golden_agreement": round(receipt.golden.agreement, 4) if receipt.golden else 1.0,
        "kept_layers": list(receipt.kept_layers),
        "engine": receipt.engine,
        "accuracy": receipt.evidence.accuracy.value,
        "speed": receipt.evidence.speed.value,
        **(speed or {}),
    }


def _ratios(bundle: OpenBundle) -> dict[str, dict[str, float]]:
    """Network milliseconds, and how many times FP32's speed: on OpenVINO, for int8_qdq on ONNX Runtime."""
    engines = {v.name: _open(bundle, v) for v in bundle.manifest.variants if v.receipt.network_ms is not None}
    spec = bundle.manifest.input
    pixels = np.random.default_rng(0).integers(0, 256, (1, spec.height, spec.width, 3), dtype=np.uint8)
    rounds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            rounds[name].append(_cpu_ms(engine, pixels))
    return {
        name: {
            "network_ms": round(statistics.median(times), 3),
            "times_fp32": round(statistics.median(a / b for a, b in zip(rounds["fp32"], times, strict=True)), 3),
            "times_fp32_least_of_rounds": round(min(a / b for a, b in zip(rounds["fp32"], times, strict=True)), 3),
        }
        for name, times in rounds.items()
    }


def _open(bundle: OpenBundle, variant: Variant) -> HeadEngine:
    weights = None if variant.weights_file is None else bundle.read(variant.weights_file)
    return open_engine(
        for_one_picture(bundle.manifest),
        bundle.read(variant.file),
        EngineChoice(variant.engines[0].value),
        variant.precision,
        threads=1,
        ir_weights=weights,
    )


def _cpu_ms(engine: HeadEngine, pixels: np.ndarray) -> float:
    times = []
    for _ in range(CALLS):
        began = time.process_time()
        engine.infer(pixels)
        times.append((time.process_time() - began) * 1e3)
    return statistics.median(times)
