"""Runs detectors on video, on the device, without torch."""
