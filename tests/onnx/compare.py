"""Compares ONNX exports with the logits that Rewind computes itself, in onnxruntime on the CPU.

    pip install onnx onnxruntime numpy
    REWIND_ONNX=exports cargo test --test integration onnx     # every preset, narrow
    rewind export --model model.safetensors --onnx exports/mine/model.onnx \\
        --onnx-sample exports/mine/test_data_set_0          # another model
    python tests/onnx/compare.py exports

Each folder in `exports` contains a `model.onnx` and a `test_data_set_0`. ONNX's checker checks the file,
with shape inference. The logits must agree within 1e-4, also in a batch of two. Images of sizes that the
network does not take must be refused.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

TOLERANCE = 1e-4


def tensor(file):
    proto = onnx.TensorProto()
    proto.ParseFromString(file.read_bytes())
    return numpy_helper.to_array(proto)


def refuses_other_sizes(session, image, properties):
    """Returns whether each axis is refused below the smallest size and at sizes that are no multiples."""
    size = json.loads(properties["size"])
    for axis in (2, 3, 4):
        for extent in {1, size["at_least"] - 1, size["at_least"] + 1}:
            if extent >= size["at_least"] and extent % size["multiple_of"] == 0 or extent < 1:
                continue
            shape = list(image.shape)
            shape[axis] = extent
            try:
                session.run(["logits"], {"image": np.zeros(shape, np.float32)})
            except Exception:
                continue
            print(f"  an image of {shape} is not refused")
            return False
    return True


def compare(folder):
    file = folder / "model.onnx"
    onnx.checker.check_model(str(file), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    properties = session.get_modelmeta().custom_metadata_map
    assert "not a medical device" in properties["disclaimer"], properties
    image, expected = (tensor(folder / "test_data_set_0" / f"{name}_0.pb") for name in ("input", "output"))
    (actual,) = session.run(["logits"], {"image": image})
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    two = np.concatenate([image, image[:, :, ::-1]])
    (both,) = session.run(["logits"], {"image": two})
    (reversed_image,) = session.run(["logits"], {"image": np.ascontiguousarray(two[1:])})
    batch = max(np.abs(both[0] - actual[0]).max(), np.abs(both[1] - reversed_image[0]).max())
    difference = np.abs(actual - expected).max()
    within = difference <= TOLERANCE and batch <= TOLERANCE and refuses_other_sizes(session, image, properties)
    size = file.stat().st_size / 1e6
    print(
        f"{folder.name:20} {'x'.join(map(str, image.shape)):18} {size:8.2f} MB  largest logit "
        f"{np.abs(expected).max():7.3f}  difference {difference:.1e}  in a batch {batch:.1e}"
        f"  {'ok' if within else 'TOO LARGE'}"
    )
    return within


def main():
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
    folders = sorted(file.parent for file in Path(sys.argv[1]).glob("*/model.onnx"))
    if not folders:
        sys.exit(f"expected folders with a model.onnx in {sys.argv[1]}, found none")
    results = [compare(folder) for folder in folders]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
