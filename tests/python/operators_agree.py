#!/usr/bin/env python3
"""Holds tract with our operators against ONNX Runtime, on models that scikit-learn, LightGBM and XGBoost exported and
on single operators of many kinds.

usage: operators_agree.py TARGET_DIR [CASES_DIR]        (TARGET_DIR/examples/operators_agree)

Trains, exports, asks ONNX Runtime, writes the cases to CASES_DIR (default: a temporary folder) and runs the program
over them. Which models differ, and why, is listed in tests/data/operators_differ.txt.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from operators_cases import Case, exported
from operators_single import single_operators

HERE = Path(__file__).resolve().parent
DIFFER = HERE.parent / "data" / "operators_differ.txt"
KINDS = {"float32": "f32", "float64": "f64", "int64": "i64", "int32": "i32", "bool": "bool", "object": "string"}


def jsonable(values: np.ndarray) -> list:
    """Returns the values as JSON has them: NaN is null, infinities are strings."""
    if values.dtype == object or values.dtype.kind in "US":
        return [str(value) for value in values.ravel()]
    if values.dtype.kind in "iub":
        return [int(value) for value in values.ravel()]
    exact = (float(value) for value in values.ravel())
    return [None if value != value else ("inf" if value > 0 else "-inf") if abs(value) == np.inf else value for value in exact]


def described(name: str, values: np.ndarray) -> dict:
    kind = "string" if values.dtype.kind in "USO" else KINDS[str(values.dtype)]
    return {"name": name, "kind": kind, "shape": list(values.shape), "values": jsonable(values)}


def scores_of_maps(answer: list) -> np.ndarray:
    """Returns the matrix that a list of maps from label to score was made of."""
    return np.array([list(row.values()) for row in answer], dtype=np.float32)


def freeze(case: Case, folder: Path) -> None:
    """Writes a case with what ONNX Runtime answers."""
    for node in case.model.graph.node:
        if node.op_type == "StringNormalizer" and not any(a.name == "locale" for a in node.attribute):
            # The default locale is not on every machine; this one is, and letters are the same in it.
            node.attribute.append(onnx.helper.make_attribute("locale", "C.UTF-8"))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    model = case.model.SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers = session.run(names, case.inputs)
    outputs = [scores_of_maps(a) if isinstance(a, list) else a for a in answers]
    frozen = {
        "inputs": [described(name, values) for name, values in case.inputs.items()],
        "outputs": [described(name, values) for name, values in zip(names, outputs, strict=True)],
        "rows_alone": case.rows_alone,
    }
    (folder / f"{case.name}.onnx").write_bytes(model)
    (folder / f"{case.name}.json").write_text(json.dumps(frozen))


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2] if len(sys.argv) == 3 else temporary)
        folder.mkdir(exist_ok=True)
        made = 0
        for make in (*exported(), *single_operators()):
            freeze(make(), folder)
            made += 1
        program = Path(sys.argv[1]) / "examples" / "operators_agree"
        done = subprocess.run([program, folder, DIFFER, "--quiet"], check=False)
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
