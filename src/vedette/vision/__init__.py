"""Pure functions on arrays: boxes, resizing, decoding, suppression. NumPy and OpenCV only; no torch, no I/O."""
