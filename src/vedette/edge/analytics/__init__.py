"""From detections to events: tracks, lines, zones. Pure; time is passed in."""
