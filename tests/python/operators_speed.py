#!/usr/bin/env python3
"""Measures tract with our operators beside ONNX Runtime's wheel, in turns, on the same models and rows.

usage: operators_speed.py TARGET_DIR [LIMIT]        (TARGET_DIR/examples/operators_speed)

Prints microseconds a call, the fastest of many, and the ratio. With LIMIT, exits 1 when a forest of 100 trees of depth 8
at one row takes more than LIMIT times what ONNX Runtime takes.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from operators_cases import FEATURES, SEED

TURNS = 3
SECONDS = 0.6
# Rows between two looks at the clock, at least one call.
ROWS = 50


def rows() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(SEED)
    x = random.normal(size=(4000, FEATURES)).astype(np.float32)
    y = (x[:, 0] + np.sin(3 * x[:, 1]) + x[:, 2] * x[:, 3] + random.normal(size=4000) > 0).astype(int)
    return x, y


def models(x: np.ndarray, y: np.ndarray) -> dict[str, tuple[bytes, tuple[int, ...]]]:
    """Returns models with the batches that they are asked with."""
    import lightgbm
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(100, max_depth=8, random_state=0).fit(x, y)
    proto = to_onnx(forest, x[:1], options={id(forest): {"zipmap": False}}, target_opset={"": 17, "ai.onnx.ml": 3})
    boosting = lightgbm.LGBMClassifier(
        n_estimators=100, max_depth=6, num_leaves=63, verbose=-1, n_jobs=1, random_state=0
    ).fit(x, y)
    boosted = onnxmltools.convert_lightgbm(
        boosting, initial_types=[("features", FloatTensorType([None, FEATURES]))], zipmap=False, target_opset=15
    )
    return {
        "forest, 100 trees of depth 8": (proto.SerializeToString(), (1, 1000)),
        "boosting, 100 trees of depth 6": (boosted.SerializeToString(), (1, 1000)),
    }


def peer(model: bytes, x: np.ndarray, batch: int, threads: int) -> float:
    """Returns microseconds of one call of ONNX Runtime; threads 0: as many as it likes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name, scores = session.get_inputs()[0].name, [session.get_outputs()[-1].name]
    inputs = [{name: x[i : i + batch]} for i in range(0, len(x) - batch + 1, batch)]
    calls = max(ROWS // batch, 1)
    fastest, until, turn = np.inf, time.perf_counter() + SECONDS, 0
    while time.perf_counter() < until:
        begin = time.perf_counter()
        for _ in range(calls):
            turn = (turn + 1) % len(inputs)
            session.run(scores, inputs[turn])
        fastest = min(fastest, (time.perf_counter() - begin) / calls)
    return fastest * 1e6


def ours(program: Path, model: Path, csv: Path, batch: int) -> float:
    said = subprocess.run([program, model, csv, str(batch)], capture_output=True, text=True, check=True).stdout
    return float(said.split()[1])


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    program = Path(sys.argv[1]) / "examples" / "operators_speed"
    limit = float(sys.argv[2]) if len(sys.argv) == 3 else np.inf
    x, y = rows()
    said, worst = [], 0.0
    with tempfile.TemporaryDirectory() as work:
        csv = Path(work) / "rows.csv"
        np.savetxt(csv, x, delimiter=",")
        for name, (model, batches) in models(x, y).items():
            path = Path(work) / "model.onnx"
            path.write_bytes(model)
            for batch in batches:
                # In turns, so that what else runs on the machine meets all of them.
                turns = [
                    (ours(program, path, csv, batch), peer(model, x, batch, 1), peer(model, x, batch, 0)) for _ in range(TURNS)
                ]
                mine, one, many = (min(column) for column in zip(*turns, strict=True))
                ratio = mine / min(one, many)
                if batch == 1 and name.startswith("forest"):
                    worst = ratio
                said.append(
                    f"{name}, {batch} rows: {mine:.1f} us; ONNX Runtime {one:.1f} us (one thread), {many:.1f} us"
                    f" (its choice); ratio to the better {ratio:.2f}"
                )
    print("\n".join(said))
    return 0 if worst <= limit else 1


if __name__ == "__main__":
    sys.exit(main())
