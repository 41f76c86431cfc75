"""From weights to a bundle: ONNX, golden pictures, receipts."""
