"""The tracker's file: NVIDIA's NvDCF with numbers of ours, small enough for a Jetson Nano.

Of the trackers in the library only NvDCF moves boxes on in the frames that are not detected on, so it is taken whenever
the interval is not 0. The names are those that every version since 6.0 reads; the numbers are starting points, not
measured on a board. The first line is OpenCV's, which parses the file; other YAML readers refuse it.
"""

from vedette.edge.deepstream.render_settings import Rendering
from vedette.edge.deepstream.sizing import SMALL_MEMORY_MB


def render_tracker(rendering: Rendering) -> bytes:
    """`config_tracker.yml`."""
    is_small = rendering.target.memory_mb <= SMALL_MEMORY_MB
    step = rendering.sizing.interval + 1
    groups: dict[str, dict[str, float]] = {
        "BaseConfig": {"minDetectorConfidence": rendering.score},
        "TargetManagement": {
            "enableBboxUnClipping": 1,
            "maxTargetsPerStream": 50 if is_small else 150,
            "minIouDiff4NewTarget": 0.5,
            "minTrackerConfidence": 0.2,
            "probationAge": 2 * step,  # frames: seen in three detections
            "maxShadowTrackingAge": max(30, 4 * step),
            "earlyTerminationAge": max(1, step),
        },
        "TrajectoryManagement": {"useUniqueID": 0},
        "DataAssociator": {
            "dataAssociatorType": 0,
            "associationMatcherType": 0,
            "checkClassMatch": 1,
            "minMatchingScore4Overall": 0.0,
            "minMatchingScore4SizeSimilarity": 0.5,
            "minMatchingScore4Iou": 0.1,
            "minMatchingScore4VisualSimilarity": 0.2,
            "matchingScoreWeight4VisualSimilarity": 0.6,
            "matchingScoreWeight4SizeSimilarity": 0.0,
            "matchingScoreWeight4Iou": 0.4,
        },
        "StateEstimator": {
            "stateEstimatorType": 1,
            "processNoiseVar4Loc": 2.0,
            "processNoiseVar4Size": 1.0,
            "processNoiseVar4Vel": 0.1,
            "measurementNoiseVar4Detector": 4.0,
            "measurementNoiseVar4Tracker": 16.0,
        },
        "VisualTracker": {
            "visualTrackerType": 1,
            "useColorNames": 1,
            "useHog": 0,
            "featureImgSizeLevel": 1 if is_small else 2,
            "filterLr": 0.075,
        },
    }
    lines = ["%YAML:1.0", "# NvDCF; written by vedette, see README.md"]
    for group, keys in groups.items():
        lines += ["", f"{group}:", *(f"  {key}: {value}" for key, value in keys.items())]
    return ("\n".join(lines) + "\n").encode()
