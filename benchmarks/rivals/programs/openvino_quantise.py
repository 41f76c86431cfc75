"""INT8 for the hand-written loop: NNCF's defaults on an ONNX file, calibrated on pictures.

    python openvino_quantise.py MODEL.onnx MODEL.xml PICTURE...

A program of its own, run once by benchmarks/rivals in the hand-written loop's environment; nothing imports it.
"""

import sys

import cv2
import nncf
import numpy as np
import openvino as ov


def main() -> None:
    source, target, pictures = sys.argv[1], sys.argv[2], sys.argv[3:]
    model = ov.Core().read_model(source)
    shape = model.input().partial_shape
    height, width = shape[2].get_length(), shape[3].get_length()
    model.reshape([1, 3, height, width])

    def tensor(path: str) -> np.ndarray:
        picture = cv2.resize(cv2.imread(path), (width, height))[:, :, ::-1]
        return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / 255  # (1, 3, h, w) float32

    data = nncf.Dataset(pictures, tensor)
    ov.save_model(nncf.quantize(model, data, subset_size=len(pictures)), target, compress_to_fp16=False)


if __name__ == "__main__":
    main()
