"""Recording, clips and publishing in the status and in the metrics."""

from vedette.contracts.status import Outlets, OutletState, PublishingStatus, RecordingStatus, Status
from vedette.edge.live.metrics_text import metrics_text


def test_what_stands_beside_watching_is_in_the_metrics() -> None:
    outlets = Outlets(
        recording=RecordingStatus("recording", "films", files=2, bytes=700, free_bytes=10**9),
        clips=RecordingStatus("clips", "clips", OutletState.STOPPED, "no clips", True, 1.0, 1, 1, 9, 4, 5, 0),
        publishing=(PublishingStatus("north", "rtsp://m/north", OutletState.WORKING, pictures=7, bytes=8, dropped=1),),
    )
    status = Status(outlets=outlets, sink_problems=("a broker is away",))
    document = status.to_json()
    assert document["problems"] == ["no clips", "a broker is away"]
    assert (document["recording"]["files"], document["clips"]["stops"]) == (2, 1)
    lines = metrics_text({**document, "now_unix_s": 0.0}).splitlines()
    for line in (
        'vedette_recording_working{what="recording"} 1',
        'vedette_recording_working{what="clips"} 0',
        'vedette_recording_stops_total{what="clips"} 1',
        'vedette_recording_bytes_total{what="recording"} 700',
        'vedette_recording_removed_total{what="clips"} 4',
        'vedette_recording_dropped_total{what="clips"} 5',
        'vedette_recording_disk_free_bytes{what="recording"} 1000000000',
        'vedette_publish_working{camera="north"} 1',
        'vedette_publish_dropped_total{camera="north"} 1',
    ):
        assert line in lines
    assert "vedette_recording" not in metrics_text({**Status().to_json(), "now_unix_s": 0.0})
