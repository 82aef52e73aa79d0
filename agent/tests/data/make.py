"""Writes the ONNX models of the engine tests, with the answers that ONNX Runtime gives for them.

Run it with onnx, onnxruntime and numpy installed: `python agent/tests/data/make.py`. The files are committed, so the
tests need none of these.
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

HERE = pathlib.Path(__file__).parent
RNG = np.random.default_rng(7)
FEATURES = 8


def weight(name, *shape):
    return nh.from_array((RNG.standard_normal(shape) * 0.6).astype(np.float32), name)


def model(nodes, inits, outputs, inp=("features", T.FLOAT, ["N", FEATURES]), extra=()):
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info(*inp)], [h.make_tensor_value_info(*o) for o in outputs], inits)
    opsets = [h.make_opsetid("", 17), *[h.make_opsetid(d, v) for d, v in extra]]
    return h.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="pinnace-tests")


def save(name, m, rows=None, output="probabilities", task="classification", classes=2):
    (HERE / f"{name}.onnx").write_bytes(m.SerializeToString())
    if rows is None:
        return
    session = ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = [session.run([output], {"features": rows[i : i + 1]})[0].reshape(1, -1)[0] for i in range(len(rows))]
    golden = {
        "input": [[None if np.isnan(v) else float(v) for v in r] for r in rows],
        "expected": [[float(v) for v in e] for e in expected],
        "rtol": 1e-3,
        "atol": 1e-5,
    }
    doc = {"task": task, "output": output, "classes": classes, "golden": golden}
    (HERE / f"{name}.json").write_text(json.dumps(doc) + "\n")


rows = RNG.standard_normal((12, FEATURES)).astype(np.float32)
gaps = rows.copy()
gaps[::3, 2] = np.nan

linear = [
    h.make_node("Gemm", ["features", "w", "b"], ["z"]),
    h.make_node("Softmax", ["z"], ["probabilities"], axis=1),
    h.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
]
both = [("probabilities", T.FLOAT, ["N", 2]), ("label", T.INT64, ["N"])]
save("linear", model(linear, [weight("w", FEATURES, 2), weight("b", 2)], both), rows)
save("linear_other", model(linear, [weight("w", FEATURES, 2), weight("b", 2)], both), rows)

mlp = [
    h.make_node("IsNaN", ["features"], ["gap"]),
    h.make_node("Where", ["gap", "mean", "features"], ["filled"]),
    h.make_node("Gemm", ["filled", "w1", "b1"], ["h"]),
    h.make_node("Relu", ["h"], ["r"]),
    h.make_node("Gemm", ["r", "w2", "b2"], ["z"]),
    h.make_node("Softmax", ["z"], ["probabilities"], axis=1),
]
inits = [weight("mean", FEATURES), weight("w1", FEATURES, 16), weight("b1", 16), weight("w2", 16, 3), weight("b2", 3)]
save("mlp", model(mlp, inits, [("probabilities", T.FLOAT, ["N", 3])]), gaps, classes=3)

# Trees as the trainer writes them: raw scores from the ensemble, Softmax beside it; missing values follow `missing`.
TREES, DEPTH = 6, 3
table = {k: [] for k in ("tree", "node", "feature", "mode", "value", "true", "false", "missing")}
leaves = {k: [] for k in ("tree", "node", "class", "weight")}
for tree in range(TREES):
    for node in range(2 ** (DEPTH + 1) - 1):
        leaf = node >= 2**DEPTH - 1
        table["tree"].append(tree)
        table["node"].append(node)
        table["feature"].append(0 if leaf else int(RNG.integers(FEATURES)))
        table["mode"].append("LEAF" if leaf else "BRANCH_LEQ")
        table["value"].append(0.0 if leaf else float(np.float32(RNG.standard_normal() * 0.5)))
        table["true"].append(0 if leaf else 2 * node + 1)
        table["false"].append(0 if leaf else 2 * node + 2)
        table["missing"].append(0 if leaf else int(RNG.integers(2)))
        if leaf:
            for label, weight_of in ((0, 0.0), (1, float(np.float32(RNG.standard_normal())))):
                if label == 1 or tree == 0:
                    leaves["tree"].append(tree)
                    leaves["node"].append(node)
                    leaves["class"].append(label)
                    leaves["weight"].append(weight_of)
trees = [
    h.make_node(
        "TreeEnsembleClassifier", ["features"], ["trees_label", "raw"], domain="ai.onnx.ml",
        classlabels_int64s=[0, 1], post_transform="NONE",
        nodes_treeids=table["tree"], nodes_nodeids=table["node"], nodes_featureids=table["feature"],
        nodes_modes=table["mode"], nodes_values=table["value"], nodes_truenodeids=table["true"],
        nodes_falsenodeids=table["false"], nodes_missing_value_tracks_true=table["missing"],
        class_treeids=leaves["tree"], class_nodeids=leaves["node"], class_ids=leaves["class"],
        class_weights=leaves["weight"],
    ),
    h.make_node("Softmax", ["raw"], ["probabilities"], axis=1),
    h.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
]
save("trees", model(trees, [], both, extra=[("ai.onnx.ml", 3)]), gaps)

regression = [h.make_node("Gemm", ["features", "w", "b"], ["value"])]
save("regression", model(regression, [weight("w", FEATURES, 1), weight("b", 1)], [("value", T.FLOAT, ["N", 1])]), rows, "value", "regression", 0)

# Rows fixed to one inside the graph: no plan for many rows exists.
single = [
    h.make_node("Reshape", ["features", "shape"], ["flat"]),
    h.make_node("MatMul", ["flat", "w"], ["z1"]),
    h.make_node("Reshape", ["z1", "back"], ["z"]),
    h.make_node("Softmax", ["z"], ["probabilities"], axis=1),
]
inits = [
    nh.from_array(np.array([FEATURES], np.int64), "shape"),
    nh.from_array(np.array([1, 2], np.int64), "back"),
    weight("w", FEATURES, 2),
]
save("single", model(single, inits, [("probabilities", T.FLOAT, [1, 2])], ("features", T.FLOAT, [1, FEATURES])), rows)

# What engines must refuse.
unknown = [h.make_node("Teleport", ["features"], ["probabilities"], domain="far.away")]
save("unknown_operator", model(unknown, [], [("probabilities", T.FLOAT, ["N", 2])], extra=[("far.away", 1)]))

outside = h.make_tensor("w", T.FLOAT, [FEATURES, 2], b"\0" * FEATURES * 8, raw=True)
outside.ClearField("raw_data")
outside.data_location = T.EXTERNAL
for key, value in (("location", "/etc/hostname"), ("offset", "0"), ("length", "64")):
    entry = outside.external_data.add()
    entry.key, entry.value = key, value
save("outside_file", model(linear, [outside, weight("b", 2)], both))

# Asks for 2^40 values when it is run: allocates until it dies.
bomb = [
    h.make_node("ConstantOfShape", ["huge"], ["zeros"]),
    h.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
    h.make_node("Gemm", ["features", "w", "b"], ["z"]),
    h.make_node("Add", ["z", "sum"], ["probabilities"]),
]
inits = [nh.from_array(np.array([1 << 40], np.int64), "huge"), weight("w", FEATURES, 2), weight("b", 2)]
save("memory_bomb", model(bomb, inits, [("probabilities", T.FLOAT, ["N", 2])]))

for path in sorted(HERE.glob("*.onnx")):
    print(path.name, path.stat().st_size)

# Takes 16 MB once loaded, and about as long as reading them for each row.
hungry = [
    h.make_node("ConstantOfShape", ["extent"], ["wide"], value=nh.from_array(np.array([1e-3], np.float32))),
    h.make_node("MatMul", ["features", "wide"], ["spread"]),
    h.make_node("ReduceMax", ["spread"], ["most"], axes=[1], keepdims=1),
    h.make_node("Mul", ["most", "little"], ["nearly"]),
    h.make_node("Gemm", ["features", "w", "b"], ["z"]),
    h.make_node("Add", ["z", "nearly"], ["sum"]),
    h.make_node("Softmax", ["sum"], ["probabilities"], axis=1),
]
inits = [
    nh.from_array(np.array([FEATURES, 500_000], np.int64), "extent"),
    nh.from_array(np.array([1e-6], np.float32), "little"),
    weight("w", FEATURES, 2),
    weight("b", 2),
]
save("hungry", model(hungry, inits, [("probabilities", T.FLOAT, ["N", 2])]), rows)
