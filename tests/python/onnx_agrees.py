#!/usr/bin/env python3
"""Checks that ONNX Runtime gives the predictions the trainer gave.

usage: onnx_agrees.py MODEL.onnx ROWS.csv PREDICTIONS.csv [TOLERANCE]

ROWS.csv holds encoded rows without a header (missing cells are nan), PREDICTIONS.csv the
probabilities (or values) of the same rows. Also runs onnx.checker with shape inference, and
compares the label output with the most probable class. Exits 1 with a reason if anything differs.
"""

import sys

import numpy as np
import onnx
import onnxruntime


def main() -> int:
    if len(sys.argv) not in (4, 5):
        print(__doc__, file=sys.stderr)
        return 2
    model_path, rows_path, predictions_path = sys.argv[1:4]
    tolerance = float(sys.argv[4]) if len(sys.argv) == 5 else 1e-5
    onnx.checker.check_model(onnx.load(model_path), full_check=True)
    rows = np.loadtxt(rows_path, delimiter=",", dtype=np.float32, ndmin=2)
    expected = np.loadtxt(predictions_path, delimiter=",", dtype=np.float32, ndmin=2)
    session = onnxruntime.InferenceSession(model_path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers = dict(zip(names, session.run(names, {"features": rows})))
    main_output = "probabilities" if "probabilities" in answers else "value"
    found = answers[main_output]
    if found.shape != expected.shape:
        print(f"{main_output} has shape {found.shape}, expected {expected.shape}")
        return 1
    # Probabilities are compared as they are, values in units of their size.
    scale = 1.0 if main_output == "probabilities" else max(1.0, float(np.abs(expected).max()))
    worst = float(np.abs(found - expected).max()) / scale
    if not worst <= tolerance:
        print(f"{main_output} differs by {worst:.3g}, allowed is {tolerance:.3g}")
        return 1
    if "label" in answers:
        top_two = np.sort(expected, axis=1)[:, -2:]
        clear = top_two[:, 1] - top_two[:, 0] > 2 * tolerance
        wrong = int((answers["label"] != expected.argmax(axis=1))[clear].sum())
        if wrong:
            print(f"label differs in {wrong} of {int(clear.sum())} rows")
            return 1
    missing = int(np.isnan(rows).any(axis=1).sum())
    print(f"agrees on {len(rows)} rows ({missing} with missing values), worst {worst:.3g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
