"""From bundle to detections: one module for each accelerator, all behind `contracts.ports.Detector`."""
