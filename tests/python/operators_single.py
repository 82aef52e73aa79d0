"""Models of one operator each, with attributes drawn at random: the forms that exporters seldom write, and that readers
of models may meet all the same. ONNX Runtime says what is right."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from operators_cases import Case

FEATURES = 5
ROWS = 40
TRANSFORMS = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"]
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
TYPES = {
    "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64,
    "int32": TensorProto.INT32, "object": TensorProto.STRING,
}


def model(
    name: str, op: str, inputs: dict[str, np.ndarray], outputs: dict[str, int], domain: str = "ai.onnx.ml",
    version: int = 3, rows_alone: bool = True, opset: int = 17, **attributes,
) -> Case:
    """Returns a case of one operator; outputs are names with element types."""
    node = helper.make_node(op, list(inputs), list(outputs), domain=domain, **attributes)
    # One row of strings is one row: StringNormalizer takes no other.
    given = [
        helper.make_tensor_value_info(n, TYPES[str(v.dtype)], [1 if len(v) == 1 else None, *v.shape[1:]])
        for n, v in inputs.items()
    ]
    answered = [helper.make_tensor_value_info(n, t, None) for n, t in outputs.items()]
    graph = helper.make_graph([node], name, given, answered)
    imports = [helper.make_opsetid("", opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, version))
    proto = helper.make_model(graph, opset_imports=imports, ir_version=8)
    return Case(f"op-{name}", proto, inputs, rows_alone)


def rows(random: np.random.Generator, kind: str = "float32") -> np.ndarray:
    """Returns rows of small integers and halves, so that equality is met; floats with NaN and infinities."""
    x = random.integers(-4, 5, size=(ROWS, FEATURES)) / (1 if kind.startswith("int") else 2)
    x = x.astype(kind)
    if kind.startswith("float"):
        x[random.random(x.shape) < 0.1] = np.nan
        x[0], x[1] = np.inf, -np.inf
    return x


def grown(random: np.random.Generator, trees: int, depth: int, modes: list[str]) -> tuple[dict, list[tuple[int, int]]]:
    """Returns the node lists of random trees, and tree and number of each leaf."""
    lists: dict = {k: [] for k in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")}
    leaves = []
    for tree in range(trees):
        open_nodes, next_id = [(0, 0)], 1
        while open_nodes:
            node, level = open_nodes.pop()
            lists["treeids"].append(tree)
            lists["nodeids"].append(node)
            if level == depth or (level and random.random() < 0.2):
                leaves.append((tree, node))
                for key, value in (("featureids", 0), ("modes", "LEAF"), ("values", 0.0)):
                    lists[key].append(value)
                lists["truenodeids"].append(0)
                lists["falsenodeids"].append(0)
                continue
            lists["featureids"].append(int(random.integers(FEATURES)))
            lists["modes"].append(str(random.choice(modes)))
            lists["values"].append(float(random.integers(-4, 5)) / 2)
            lists["truenodeids"].append(next_id)
            lists["falsenodeids"].append(next_id + 1)
            open_nodes += [(next_id, level + 1), (next_id + 1, level + 1)]
            next_id += 2
    return {f"nodes_{k}": v for k, v in lists.items()}, leaves


def weights(random: np.random.Generator, leaves: list, prefix: str, targets: list[int], sign: str) -> dict:
    """Returns the weight lists: each leaf has a weight for each of `targets`."""
    lists: dict = {f"{prefix}_{k}": [] for k in ("treeids", "nodeids", "ids", "weights")}
    for (tree, node), target in itertools.product(leaves, targets):
        weight = random.random() * 0.2 if sign == "positive" else random.normal() * 0.3
        for key, value in (("treeids", tree), ("nodeids", node), ("ids", target), ("weights", float(weight))):
            lists[f"{prefix}_{key}"].append(value)
    return lists


def tracked(random: np.random.Generator, nodes: dict, tracks: bool) -> dict:
    if not tracks:
        return {}
    return {"nodes_missing_value_tracks_true": [int(v) for v in random.integers(0, 2, size=len(nodes["nodes_modes"]))]}


def as_doubles(attributes: dict, names: list[str]) -> dict:
    """Returns the attributes with these lists as tensors of doubles."""
    out = dict(attributes)
    for name in names:
        if name in out:
            values = np.array(out.pop(name), dtype=np.float64)
            out[f"{name}_as_tensor"] = numpy_helper.from_array(values, f"{name}_as_tensor")
    return out


def tree_classifiers() -> Iterator[Callable[[], Case]]:
    # Forms of binary weights, transforms, base values; then more classes.
    binary = itertools.product(([0], [1], [0, 1]), ("positive", "mixed"), TRANSFORMS, (0, 2))
    for i, (targets, sign, transform, base) in enumerate(binary):
        def case(i=i, targets=targets, sign=sign, transform=transform, base=base) -> Case:
            random = np.random.default_rng(i)
            nodes, leaves = grown(random, 3, 3, MODES if i % 3 == 0 else [MODES[i % 4]])
            labels = {"classlabels_strings": ["no", "yes"]} if i % 2 else {"classlabels_int64s": [5, 7]}
            attributes = nodes | weights(random, leaves, "class", targets, sign) | labels | tracked(random, nodes, i % 4 > 1)
            if base:
                attributes["base_values"] = [0.1, -0.2]
            outputs = {"label": TensorProto.STRING if i % 2 else TensorProto.INT64, "scores": TensorProto.FLOAT}
            name = f"classifier-{i:02}-{''.join(map(str, targets))}-{sign}-{transform.lower()}-{base}"
            return model(name, "TreeEnsembleClassifier", {"x": rows(random)}, outputs, post_transform=transform, **attributes)

        # With probit and a single score the second column is not written by ONNX Runtime.
        if transform != "PROBIT" or len(targets) == 2 or base:
            yield case
    for i, (classes, transform) in enumerate(itertools.product((1, 3, 6), TRANSFORMS)):
        def many(i=i, classes=classes, transform=transform) -> Case:
            random = np.random.default_rng(100 + i)
            nodes, leaves = grown(random, 4, 3, MODES)
            targets = list(range(classes)) if i % 2 else [0, classes - 1][: min(2, classes)]
            labels = {"classlabels_int64s": [3 * c for c in range(classes)]}
            attributes = nodes | weights(random, leaves, "class", targets, "mixed") | labels | tracked(random, nodes, True)
            kind = ["float32", "float64", "int64", "int32"][i % 4]
            outputs = {"label": TensorProto.INT64, "scores": TensorProto.FLOAT}
            if kind == "float64":
                attributes = as_doubles(attributes, ["nodes_values", "class_weights"])
            return model(
                f"classifier-many-{i:02}-{classes}-{transform.lower()}-{kind}", "TreeEnsembleClassifier",
                {"x": rows(random, kind)}, outputs, post_transform=transform, **attributes,
            )

        yield many


def tree_regressors() -> Iterator[Callable[[], Case]]:
    kinds = itertools.product(("SUM", "AVERAGE", "MIN", "MAX"), (1, 3), ("NONE", "LOGISTIC", "SOFTMAX"))
    for i, (aggregate, targets, transform) in enumerate(kinds):
        def case(i=i, aggregate=aggregate, targets=targets, transform=transform) -> Case:
            random = np.random.default_rng(200 + i)
            nodes, leaves = grown(random, 5, 4, MODES if i % 2 else [MODES[i % 4]])
            some = list(range(targets)) if i % 3 else [targets - 1]
            attributes = nodes | weights(random, leaves, "target", some, "mixed") | tracked(random, nodes, i % 3 == 1)
            if i % 2:
                attributes["base_values"] = [0.5 + t for t in range(targets)]
            kind = "float64" if i % 5 == 4 else "float32"
            if kind == "float64":
                attributes = as_doubles(attributes, ["nodes_values", "target_weights", "base_values"])
            return model(
                f"regressor-{i:02}-{aggregate.lower()}-{targets}-{transform.lower()}-{kind}", "TreeEnsembleRegressor",
                {"x": rows(random, kind)}, {"y": TensorProto.FLOAT}, n_targets=targets, aggregate_function=aggregate,
                post_transform=transform, **attributes,
            )

        yield case


def tree_version_5() -> Iterator[Callable[[], Case]]:
    for i in range(10):
        def case(i=i) -> Case:
            random = np.random.default_rng(300 + i)
            kind = np.float64 if i % 2 else np.float32
            x = rows(random, np.dtype(kind).name)
            members = i >= 4
            if members:
                # ONNX Runtime takes features asked for membership as whole numbers.
                x = np.where(np.isfinite(x), np.round(np.abs(x)), 40).astype(kind)
            modes, splits, features, ways, sets = [], [], [], {"true": [], "false": []}, []
            leaf_targets, leaf_weights = [], []
            roots = []
            for _ in range(3):
                roots.append(len(modes))
                grow_5(random, 3, members, modes, splits, features, ways, sets, leaf_targets, leaf_weights)
            tensor = lambda values, dtype, name: numpy_helper.from_array(np.array(values, dtype=dtype), name)  # noqa: E731
            attributes = {
                "tree_roots": roots,
                "nodes_modes": tensor(modes, np.uint8, "nodes_modes"),
                "nodes_splits": tensor(splits, kind, "nodes_splits"),
                "nodes_featureids": features,
                "nodes_truenodeids": [w[0] for w in ways["true"]],
                "nodes_trueleafs": [w[1] for w in ways["true"]],
                "nodes_falsenodeids": [w[0] for w in ways["false"]],
                "nodes_falseleafs": [w[1] for w in ways["false"]],
                "leaf_targetids": leaf_targets,
                "leaf_weights": tensor(leaf_weights, kind, "leaf_weights"),
                "n_targets": 2,
                "aggregate_function": i % 4,
                "post_transform": i % 3,
            }
            if members:
                attributes["membership_values"] = tensor(sets, kind, "membership_values")
            output = TensorProto.DOUBLE if i % 2 else TensorProto.FLOAT
            return model(f"ensemble-v5-{i}", "TreeEnsemble", {"x": x}, {"y": output}, version=5, **attributes)

        yield case


def grow_5(random, depth, members, modes, splits, features, ways, sets, leaf_targets, leaf_weights) -> int:
    """Grows a tree in place and returns the number of its first node."""
    node = len(modes)
    member = members and random.random() < 0.5
    modes.append(6 if member else int(random.integers(0, 4)))
    splits.append(0.0 if member else float(random.integers(-4, 5)) / 2)
    features.append(int(random.integers(FEATURES)))
    if member:
        big = random.random() < 0.5
        sets.extend([*sorted({int(v) for v in random.integers(1, 60 if big else 5, size=3)}), np.nan])
    for way in ways.values():
        way.append((0, 0))
    for way in ways.values():
        if depth == 1 or random.random() < 0.3:
            way[node] = (len(leaf_weights), 1)
            leaf_targets.append(int(random.integers(2)))
            leaf_weights.append(float(random.normal()))
        else:
            way[node] = (
                grow_5(random, depth - 1, members, modes, splits, features, ways, sets, leaf_targets, leaf_weights), 0,
            )
    return node


def linear() -> Iterator[Callable[[], Case]]:
    for i, (classes, transform) in enumerate(itertools.product((1, 2, 3), TRANSFORMS)):
        def classifier(i=i, classes=classes, transform=transform) -> Case:
            random = np.random.default_rng(400 + i)
            labels = {"classlabels_strings": ["a", "b", "c"][: max(classes, 2)]} if i % 2 else {
                "classlabels_ints": [4, 6, 8][: max(classes, 2)]
            }
            outputs = {"label": TensorProto.STRING if i % 2 else TensorProto.INT64, "scores": TensorProto.FLOAT}
            kind = ["float32", "float64", "int64", "int32"][i % 4]
            x = np.nan_to_num(rows(random, kind), nan=0.5, posinf=2, neginf=-2) if kind.startswith("f") else rows(random, kind)
            return model(
                f"linear-classifier-{i:02}-{classes}-{transform.lower()}", "LinearClassifier", {"x": x}, outputs, version=1,
                coefficients=[float(v) for v in random.normal(size=classes * FEATURES) * 0.1],
                intercepts=[float(v) for v in random.normal(size=classes) * 0.1 + 0.3],
                post_transform=transform, multi_class=int(classes > 1), **labels,
            )

        # Probit of one sum is written without the second column.
        if classes > 1 or transform != "PROBIT":
            yield classifier
    for i, (targets, transform) in enumerate(itertools.product((1, 2), ("NONE", "LOGISTIC", "SOFTMAX"))):
        def regressor(i=i, targets=targets, transform=transform) -> Case:
            random = np.random.default_rng(420 + i)
            x = np.nan_to_num(rows(random), nan=0.5, posinf=2, neginf=-2)
            extra = {"intercepts": [0.5] * targets} if i % 2 else {}
            return model(
                f"linear-regressor-{targets}-{transform.lower()}", "LinearRegressor", {"x": x}, {"y": TensorProto.FLOAT},
                version=1, coefficients=[float(v) for v in random.normal(size=targets * FEATURES)], targets=targets,
                post_transform=transform, **extra,
            )

        yield regressor


def svms() -> Iterator[Callable[[], Case]]:
    kernels = {"LINEAR": [], "RBF": [0.3, 0.0, 0.0], "POLY": [0.2, 0.5, 3.0], "SIGMOID": [0.1, 0.2, 0.0]}
    choices = itertools.product(kernels.items(), (2, 3), (False, True), ("NONE", "LOGISTIC", "SOFTMAX"))
    for i, ((kernel, parameters), classes, probability, transform) in enumerate(choices):
        def case(i=i, kernel=kernel, parameters=parameters, classes=classes, probability=probability, transform=transform):
            random = np.random.default_rng(500 + i)
            x = np.nan_to_num(rows(random), nan=0.5, posinf=2, neginf=-2)
            per_class = [2, 3, 1][:classes]
            pairs = classes * (classes - 1) // 2
            extra = {}
            if probability:
                extra = {"prob_a": [-1.5] * pairs, "prob_b": [0.1] * pairs}
            return model(
                f"svm-classifier-{i:02}-{kernel.lower()}-{classes}-{transform.lower()}", "SVMClassifier", {"x": x},
                {"label": TensorProto.INT64, "scores": TensorProto.FLOAT}, version=1, kernel_type=kernel,
                kernel_params=parameters or [0.0, 0.0, 0.0], vectors_per_class=per_class,
                support_vectors=[float(v) for v in random.normal(size=sum(per_class) * FEATURES)],
                coefficients=[float(v) for v in random.normal(size=sum(per_class) * (classes - 1))],
                rho=[0.1 * p for p in range(pairs)], classlabels_ints=[2, 4, 6][:classes], post_transform=transform, **extra,
            )

        yield case
    for classes in (2, 3):
        def linear_mode(classes=classes) -> Case:
            random = np.random.default_rng(560 + classes)
            x = np.nan_to_num(rows(random), nan=0.5, posinf=2, neginf=-2)
            return model(
                f"svm-classifier-liblinear-{classes}", "SVMClassifier", {"x": x},
                {"label": TensorProto.STRING, "scores": TensorProto.FLOAT}, version=1,
                kernel_params=[0.0, 0.0, 0.0], coefficients=[float(v) for v in random.normal(size=classes * FEATURES)],
                rho=[0.2], classlabels_strings=["a", "b", "c"][:classes],
            )

        yield linear_mode
    for i, (one_class, vectors) in enumerate(itertools.product((0, 1), (0, 4))):
        def regressor(i=i, one_class=one_class, vectors=vectors) -> Case:
            random = np.random.default_rng(580 + i)
            x = np.nan_to_num(rows(random), nan=0.5, posinf=2, neginf=-2)
            stock = {"support_vectors": [float(v) for v in random.normal(size=vectors * FEATURES)]} if vectors else {}
            return model(
                f"svm-regressor-{i}", "SVMRegressor", {"x": x}, {"y": TensorProto.FLOAT}, version=1, kernel_type="RBF",
                kernel_params=[0.3, 0.0, 3.0], n_supports=vectors, one_class=one_class, rho=[0.1], **stock,
                coefficients=[float(v) for v in random.normal(size=vectors or FEATURES)],
            )

        yield regressor


def features() -> Iterator[Callable[[], Case]]:
    random = np.random.default_rng(600)
    f32, f64, i64, i32 = (rows(random, kind) for kind in ("float32", "float64", "int64", "int32"))
    tame = np.nan_to_num(f32, nan=0.5, posinf=2, neginf=-2)
    words = random.choice(["oslo", "rome", "lima", "", "bonn"], size=(ROWS, 2)).astype(object)
    out = {"y": TensorProto.FLOAT}
    for x in (f32, f64, i64, i32):
        kind = str(x.dtype)
        yield lambda x=x, kind=kind: model(
            f"scaler-{kind}", "Scaler", {"x": x}, out, version=1, offset=[0.5] * FEATURES, scale=[2.0, 3.0, 0.1, 0.0, -1.0]
        )
        yield lambda x=x, kind=kind: model(
            f"scaler-one-{kind}", "Scaler", {"x": x}, out, version=1, offset=[0.5], scale=[2.0]
        )
        for norm in ("MAX", "L1", "L2"):
            yield lambda x=x, kind=kind, norm=norm: model(
                f"normalizer-{norm.lower()}-{kind}", "Normalizer", {"x": x}, out, version=1, norm=norm
            )
        if kind != "int32":
            yield lambda x=x, kind=kind: model(
                f"onehot-{kind}", "OneHotEncoder", {"x": x}, out, version=1, cats_int64s=[1, -2, 3, 0]
            )
    yield lambda: model("onehot-strings", "OneHotEncoder", {"x": words}, out, version=1, cats_strings=["rome", "", "oslo"])
    yield lambda: model("binarizer", "Binarizer", {"x": tame}, out, version=1, threshold=0.5)
    for name, replaced, values in (("nan", np.nan, [9.0, 8.0, 7.0, 6.0, 5.0]), ("zero", 0.0, [4.5]), ("nan-one", np.nan, [3.0])):
        yield lambda name=name, replaced=replaced, values=values: model(
            f"imputer-{name}", "Imputer", {"x": f32}, out, version=1, imputed_value_floats=values, replaced_value_float=replaced
        )
    yield lambda: model(
        "imputer-integers", "Imputer", {"x": i64}, {"y": TensorProto.INT64}, version=1,
        imputed_value_int64s=[10, 20, 30, 40, 50], replaced_value_int64=-1,
    )
    yield lambda: model(
        "feature-vectorizer", "FeatureVectorizer", {"a": f32, "b": tame, "c": tame[:, :2]}, out, version=1,
        inputdimensions=[5, 3, 4],
    )
    yield lambda: model(
        "category-mapper-words", "CategoryMapper", {"x": words}, {"y": TensorProto.INT64}, version=1,
        cats_strings=["rome", "oslo"], cats_int64s=[7, 8], default_int64=-9,
    )
    yield lambda: model(
        "category-mapper-numbers", "CategoryMapper", {"x": i64}, {"y": TensorProto.STRING}, version=1,
        cats_strings=["one", "two"], cats_int64s=[1, 2], default_string="none",
    )
    keys = {"int64s": [1, 2, -1], "floats": [0.5, np.nan, 1.0], "strings": ["oslo", "", "rome"]}
    values = {"int64s": [10, 20, 30], "floats": [0.1, np.nan, 0.3], "strings": ["x", "y", "z"]}
    asked = {"int64s": i64, "floats": f32, "strings": words}
    answered = {"int64s": TensorProto.INT64, "floats": TensorProto.FLOAT, "strings": TensorProto.STRING}
    for (k, v), version in itertools.product(itertools.product(keys, values), (2, 4)):
        if (version == 2 and k == v) or (version == 2 and k == "floats"):
            continue
        extra = {} if (len(k) + len(v)) % 2 else {"default_string": "?", "default_int64": 99, "default_float": 9.5}
        yield lambda k=k, v=v, version=version, extra=extra: model(
            f"label-encoder-{version}-{k}-{v}", "LabelEncoder", {"x": asked[k]}, {"y": answered[v]}, version=version,
            **{f"keys_{k}": keys[k], f"values_{v}": values[v]}, **(extra if version == 2 else {}),
        )
    yield lambda: model(
        "label-encoder-1-words", "LabelEncoder", {"x": words}, {"y": TensorProto.INT64}, version=1,
        classes_strings=["rome", "oslo"], default_int64=-3,
    )
    yield lambda: model(
        "label-encoder-doubles", "LabelEncoder", {"x": f64}, {"y": TensorProto.DOUBLE}, version=4,
        keys_tensor=numpy_helper.from_array(np.array([0.5, np.nan], dtype=np.float64)),
        values_tensor=numpy_helper.from_array(np.array([2.5, 3.5], dtype=np.float64)),
        default_tensor=numpy_helper.from_array(np.array([-7.5], dtype=np.float64)),
    )
    for x, output in ((f32, TensorProto.FLOAT), (f64, TensorProto.DOUBLE), (i64, TensorProto.INT64), (words, TensorProto.STRING)):
        def taken(x=x, output=output) -> Case:
            case = model(f"array-feature-extractor-{x.dtype}", "ArrayFeatureExtractor", {"x": x, "i": i64[:1]}, {"y": output}, version=1)
            case.model.graph.input.pop()
            case.model.graph.initializer.append(numpy_helper.from_array(np.array([1, 0, 1], dtype=np.int64), "i"))
            del case.inputs["i"]
            return case

        yield taken


def strings() -> Iterator[Callable[[], Case]]:
    texts = np.array(["The PUMP, is loud", "ärger Über", "", "a-b_c d", "all fine fine", "42 x"], dtype=object)
    one_row = texts.reshape(1, -1)
    many = texts.reshape(-1, 1)
    out = {"y": TensorProto.STRING}
    for case, sensitive, stop in itertools.product(("NONE", "LOWER", "UPPER"), (0, 1), ([], ["the pump, is loud", "42 X"])):
        yield lambda case=case, sensitive=sensitive, stop=stop: model(
            f"string-normalizer-{case.lower()}-{sensitive}-{len(stop)}", "StringNormalizer", {"x": one_row}, out, domain="",
            rows_alone=False, case_change_action=case, is_case_sensitive=sensitive, **({"stopwords": stop} if stop else {}),
        )
    cuts = {
        "words": {"tokenexp": "[a-zA-Z0-9_]+"}, "ascii": {"tokenexp": r"\w+"}, "blanks": {"separators": [" "]},
        "two": {"separators": [" ", "[-,_]"]}, "letters": {"separators": [""]},
    }
    for (name, cut), mark, least in itertools.product(cuts.items(), (0, 1), (1, 2)):
        if name == "letters" and least == 2:
            continue
        yield lambda name=name, cut=cut, mark=mark, least=least: model(
            f"tokenizer-{name}-{mark}-{least}", "Tokenizer", {"x": many}, out, domain="com.microsoft", version=1,
            rows_alone=False, mark=mark, mincharnum=least, pad_value="#", **cut,
        )
    random = np.random.default_rng(700)
    items = random.integers(0, 6, size=(12, 9)).astype(np.int64)
    words = np.array(["a", "b", "c", "d", "e", "#"], dtype=object)[items]
    pool = [0, 1, 2, 4, 0, 1, 2, 2, 3, 4, 0, 0, 1, 2, 3]
    for mode, (short, long), skip, weighted in itertools.product(("TF", "IDF", "TFIDF"), ((1, 1), (1, 3), (2, 3)), (0, 2), (0, 1)):
        def case(mode=mode, short=short, long=long, skip=skip, weighted=weighted, strings=weighted) -> Case:
            counts = {"ngram_counts": [0, 4, 12], "ngram_indexes": [3, 1, 0, 2, 8, 5, 6, 7, 4]}
            extra = {"weights": [0.5 + i for i in range(9)]} if weighted else {}
            stock = {"pool_strings": [str(words_of(p)) for p in pool]} if strings else {"pool_int64s": pool}
            return model(
                f"tf-idf-{mode.lower()}-{short}-{long}-{skip}-{weighted}", "TfIdfVectorizer", {"x": words if strings else items},
                {"y": TensorProto.FLOAT}, domain="", mode=mode, min_gram_length=short, max_gram_length=long, max_skip_count=skip,
                **counts, **extra, **stock,
            )

        yield case
    yield lambda: model("string-concat", "StringConcat", {"a": many, "b": many[::-1]}, out, domain="", opset=20)
    yield lambda: model(
        "regex-full-match", "RegexFullMatch", {"x": many}, {"y": TensorProto.BOOL}, domain="", opset=20, pattern=r"[a-z ]*|\d+ x"
    )
    for name, extra in {"blanks": {}, "comma": {"delimiter": ","}, "once": {"maxsplit": 1}}.items():
        yield lambda name=name, extra=extra: model(
            f"string-split-{name}", "StringSplit", {"x": texts}, {"y": TensorProto.STRING, "n": TensorProto.INT64}, domain="",
            opset=20, rows_alone=False, **extra,
        )


def words_of(item: int) -> str:
    return "abcde#"[item]


def single_operators() -> Iterator[Callable[[], Case]]:
    """All models of one operator."""
    yield from tree_classifiers()
    yield from tree_regressors()
    yield from tree_version_5()
    yield from linear()
    yield from svms()
    yield from features()
    yield from strings()
