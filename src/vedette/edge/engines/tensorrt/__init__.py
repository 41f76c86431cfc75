"""Engines that TensorRT builds on this box from a bundle's ONNX: built, proved by the golden pictures, cached, run."""
