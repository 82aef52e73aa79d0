#!/usr/bin/env python3
"""Prints what ONNX Runtime answers for the rows of a CSV file, as a flat JSON list.

usage: onnx_predict.py BUNDLE_DIR ROWS.csv

Rows are encoded from the bundle's manifest alone: numbers as they are, categories as their index in the manifest's
list, missing and unknown values as NaN. The list holds class probabilities (or values), row after row.
"""

import csv
import json
import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def encode(feature: dict, cell: str) -> float:
    """Returns a cell as the model takes it."""
    cell = cell.strip()
    if not cell:
        return math.nan
    if feature["kind"] == "numeric":
        return float(cell)
    categories = feature["kind"]["categorical"]
    return float(categories.index(cell)) if cell in categories else math.nan


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    bundle, rows = Path(sys.argv[1]), Path(sys.argv[2])
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    signature = manifest["signature"]
    with rows.open(newline="") as file:
        matrix = [[encode(f, row[f["name"]]) for f in signature["features"]] for row in csv.DictReader(file)]
    session = onnxruntime.InferenceSession(
        str(bundle / manifest["variants"][0]["blob"]), providers=["CPUExecutionProvider"]
    )
    answers = session.run([signature["output"]], {signature["input"]: np.array(matrix, dtype=np.float32)})[0]
    json.dump([float(value) for value in answers.ravel()], sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
