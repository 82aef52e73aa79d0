"""Models that other programs exported, with rows and what ONNX Runtime answers: what operators_agree.py holds us to.

Every case has a name, a model, and inputs by name. Data is made here, seeded; training takes seconds.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# One thread: small models, and two cores that others use.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import onnx  # noqa: E402

ROWS = 120
FEATURES = 8
SEED = 7

warnings.filterwarnings("ignore")


@dataclass
class Case:
    """A model with the rows that it is asked."""

    name: str
    model: onnx.ModelProto
    inputs: dict[str, np.ndarray]
    rows_alone: bool = True


def data(classes: int, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows and labels that trees, lines and distances all find something in."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(400, FEATURES)).astype(np.float32)
    score = x[:, 0] * 1.5 + np.sin(x[:, 1] * 2) + x[:, 2] * x[:, 3] + random.normal(scale=0.3, size=400)
    y = np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]))
    return x, y


def values(targets: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows and real values."""
    random = np.random.default_rng(SEED)
    x = random.normal(size=(400, FEATURES)).astype(np.float32)
    y = np.stack([x[:, t] * 3 + x[:, t + 1] ** 2 + 10 * t for t in range(targets)], axis=1)
    return x, (y[:, 0] if targets == 1 else y)


def edge_rows(x: np.ndarray) -> np.ndarray:
    """Returns rows to ask, with extremes among them."""
    rows = x[:ROWS].copy()
    rows[0] = 0
    rows[1] = 1e6
    rows[2] = -1e6
    rows[3, ::2] = -0.0
    return rows


def with_gaps(rows: np.ndarray) -> np.ndarray:
    """Returns the rows with a tenth of the cells missing."""
    rows = rows.copy()
    rows[np.random.default_rng(1).random(rows.shape) < 0.1] = np.nan
    rows[5] = np.nan
    return rows


def plain_number(value: object) -> object:
    """Returns a number of numpy, or a truth value, as a plain number; all else as it is."""
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, bool) else value


def _plain_numbers() -> None:
    """Makes skl2onnx write numbers of numpy as plain ones: this version of onnx refuses lists of np.uint32."""
    from skl2onnx.common import _container

    if hasattr(_container.make_node, "plain"):
        return
    make_node = _container.make_node

    def make(*words, **attributes):
        plain = {
            name: [plain_number(v) for v in value] if isinstance(value, list) else value
            for name, value in attributes.items()
        }
        return make_node(*words, **plain)

    make.plain = True
    _container.make_node = make


def _sklearn(name: str, model, rows: np.ndarray, zipmap: bool = False, **extra) -> Case:
    from skl2onnx import to_onnx

    _plain_numbers()
    options = {} if zipmap or not hasattr(model, "predict_proba") else {id(model): {"zipmap": False}}
    options.setdefault(id(model), {}).update(extra.pop("options", {}))
    options = {k: v for k, v in options.items() if v}
    proto = to_onnx(model, rows[:1], options=options or None, target_opset={"": 17, "ai.onnx.ml": 3}, **extra)
    return Case(name, proto, {proto.graph.input[0].name: rows})


def classifiers() -> Iterator[Callable[[], Case]]:
    """scikit-learn classifiers of numeric rows: two and three classes, integer and string labels."""
    from sklearn import discriminant_analysis, ensemble, linear_model, naive_bayes, neighbors, neural_network, svm, tree

    makers = {
        "logistic": lambda: linear_model.LogisticRegression(),
        "sgd": lambda: linear_model.SGDClassifier(loss="log_loss", random_state=0),
        "perceptron": lambda: linear_model.Perceptron(random_state=0),
        "linear-svc": lambda: svm.LinearSVC(random_state=0),
        "svc-rbf-probability": lambda: svm.SVC(probability=True, random_state=0),
        "svc-rbf": lambda: svm.SVC(),
        "svc-poly": lambda: svm.SVC(kernel="poly", degree=3, coef0=0.5),
        "svc-sigmoid-probability": lambda: svm.SVC(kernel="sigmoid", gamma=0.05, probability=True, random_state=0),
        "nu-svc-linear": lambda: svm.NuSVC(kernel="linear", nu=0.3),
        "gaussian-nb": lambda: naive_bayes.GaussianNB(),
        "bernoulli-nb": lambda: naive_bayes.BernoulliNB(),
        "knn": lambda: neighbors.KNeighborsClassifier(3),
        "mlp": lambda: neural_network.MLPClassifier((12,), max_iter=60, random_state=0),
        "lda": lambda: discriminant_analysis.LinearDiscriminantAnalysis(),
        "tree": lambda: tree.DecisionTreeClassifier(max_depth=6, random_state=0),
        "forest": lambda: ensemble.RandomForestClassifier(20, max_depth=6, random_state=0),
        "extra-trees": lambda: ensemble.ExtraTreesClassifier(20, max_depth=6, random_state=0),
        "gradient-boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=15, random_state=0),
        "hist-boosting": lambda: ensemble.HistGradientBoostingClassifier(max_iter=15, random_state=0),
        "adaboost": lambda: ensemble.AdaBoostClassifier(n_estimators=8, random_state=0),
        "bagging": lambda: ensemble.BaggingClassifier(n_estimators=5, random_state=0),
    }
    words = np.array(["no", "yes", "maybe"])
    for name, make in makers.items():
        for classes in (2, 3):
            def case(name=name, make=make, classes=classes) -> Case:
                x, y = data(classes)
                # Every second model has labels that are strings.
                labels = words[y] if (len(name) + classes) % 2 else y
                rows = edge_rows(x)
                missing = name == "hist-boosting"
                fitted = make().fit(with_gaps(x) if missing else x, labels)
                return _sklearn(f"sklearn-{name}-{classes}", fitted, with_gaps(rows) if missing else rows)

            yield case

    def zip_mapped() -> Case:
        x, y = data(3)
        fitted = ensemble.RandomForestClassifier(5, max_depth=4, random_state=0).fit(x, words[y])
        return _sklearn("sklearn-forest-zipmap", fitted, edge_rows(x), zipmap=True)

    def doubles() -> Case:
        x, y = data(3)
        fitted = ensemble.RandomForestClassifier(5, max_depth=4, random_state=0).fit(x, y)
        return _sklearn("sklearn-forest-double-rows", fitted, edge_rows(x).astype(np.float64))

    def odd_labels() -> Case:
        x, y = data(2)
        fitted = ensemble.RandomForestClassifier(5, max_depth=4, random_state=0).fit(x, np.array([5, 7])[y])
        return _sklearn("sklearn-forest-labels-5-7", fitted, edge_rows(x))

    yield from (zip_mapped, doubles, odd_labels)


def regressors() -> Iterator[Callable[[], Case]]:
    """scikit-learn regressors and outlier detectors."""
    from sklearn import ensemble, linear_model, neighbors, neural_network, svm, tree

    makers = {
        "linear": (linear_model.LinearRegression(), 1),
        "linear-two": (linear_model.LinearRegression(), 2),
        "ridge": (linear_model.Ridge(), 1),
        "svr-rbf": (svm.SVR(), 1),
        "svr-poly": (svm.SVR(kernel="poly", degree=2), 1),
        "linear-svr": (svm.LinearSVR(random_state=0), 1),
        "knn": (neighbors.KNeighborsRegressor(4), 1),
        "mlp": (neural_network.MLPRegressor(hidden_layer_sizes=(12,), max_iter=60, random_state=0), 1),
        "tree": (tree.DecisionTreeRegressor(max_depth=6, random_state=0), 1),
        "tree-two": (tree.DecisionTreeRegressor(max_depth=6, random_state=0), 2),
        "forest": (ensemble.RandomForestRegressor(20, max_depth=6, random_state=0), 1),
        "extra-trees": (ensemble.ExtraTreesRegressor(20, max_depth=6, random_state=0), 1),
        "gradient-boosting": (ensemble.GradientBoostingRegressor(n_estimators=15, random_state=0), 1),
        "hist-boosting": (ensemble.HistGradientBoostingRegressor(max_iter=15, random_state=0), 1),
        "adaboost": (ensemble.AdaBoostRegressor(n_estimators=6, random_state=0), 1),
    }
    for name, (model, targets) in makers.items():
        def case(name=name, model=model, targets=targets) -> Case:
            x, y = values(targets)
            missing = name == "hist-boosting"
            rows = with_gaps(edge_rows(x)) if missing else edge_rows(x)
            return _sklearn(f"sklearn-{name}-value", model.fit(with_gaps(x) if missing else x, y), rows)

        yield case

    def one_class() -> Case:
        x, _ = values()
        return _sklearn("sklearn-one-class-svm", svm.OneClassSVM(nu=0.2, gamma=0.1).fit(x), edge_rows(x))

    def isolation() -> Case:
        x, _ = values()
        return _sklearn(
            "sklearn-isolation-forest", ensemble.IsolationForest(n_estimators=6, random_state=0).fit(x), edge_rows(x)
        )

    yield from (one_class, isolation)


def pipelines() -> Iterator[Callable[[], Case]]:
    """Pipelines: scaling, filling gaps, one-hot, ordinal, text."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.feature_selection import SelectKBest
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import (
        Binarizer, KBinsDiscretizer, MaxAbsScaler, MinMaxScaler, Normalizer, OneHotEncoder, OrdinalEncoder,
        PolynomialFeatures, RobustScaler, StandardScaler,
    )

    numeric = {
        "standard-logistic": [StandardScaler(), LogisticRegression()],
        "imputer-standard-logistic": [SimpleImputer(), StandardScaler(), LogisticRegression()],
        "imputer-median-forest": [SimpleImputer(strategy="median"), RandomForestClassifier(8, max_depth=5, random_state=0)],
        "minmax-logistic": [MinMaxScaler(), LogisticRegression()],
        "maxabs-logistic": [MaxAbsScaler(), LogisticRegression()],
        "robust-logistic": [RobustScaler(), LogisticRegression()],
        "l1-logistic": [Normalizer("l1"), LogisticRegression()],
        "l2-logistic": [Normalizer("l2"), LogisticRegression()],
        "max-logistic": [Normalizer("max"), LogisticRegression()],
        "binarizer-logistic": [Binarizer(threshold=0.3), LogisticRegression()],
        "bins-logistic": [KBinsDiscretizer(4, encode="onehot-dense"), LogisticRegression()],
        "polynomial-logistic": [PolynomialFeatures(2), StandardScaler(), LogisticRegression(max_iter=300)],
        "best-logistic": [SelectKBest(k=4), LogisticRegression()],
    }
    for name, steps in numeric.items():
        def case(name=name, steps=steps) -> Case:
            x, y = data(3 if "forest" in name else 2)
            missing = "imputer" in name
            x = with_gaps(x) if missing else x
            fitted = make_pipeline(*steps).fit(x, y)
            rows = with_gaps(edge_rows(x)) if missing else edge_rows(x)
            return _sklearn(f"pipeline-{name}", fitted, rows)

        yield case

    random = np.random.default_rng(3)
    towns = random.choice(["oslo", "rome", "lima"], size=(400, 1)).astype(object)
    sizes = random.integers(0, 4, size=(400, 1)).astype(np.int64)
    x, y = data(2)
    numbers = x[:, :3]

    def columns(name: str, encoder, category, category_type, unseen) -> Callable[[], Case]:
        def case() -> Case:
            frame = np.concatenate([numbers.astype(object), category], axis=1)
            transformer = ColumnTransformer([("n", StandardScaler(), [0, 1, 2]), ("c", encoder, [3])])
            fitted = make_pipeline(transformer, LogisticRegression()).fit(frame, y)
            proto = to_onnx(
                fitted,
                initial_types=[("numbers", FloatTensorType([None, 3])), ("category", category_type([None, 1]))],
                options={id(fitted): {"zipmap": False}},
                target_opset={"": 17, "ai.onnx.ml": 3},
            )
            asked = category[:ROWS].copy()
            if unseen is not None:
                asked[7] = unseen
            return Case(f"pipeline-{name}", proto, {"numbers": numbers[:ROWS], "category": asked})

        return case

    yield columns("onehot-strings", OneHotEncoder(handle_unknown="ignore"), towns, StringTensorType, "bonn")
    yield columns("onehot-integers", OneHotEncoder(handle_unknown="ignore"), sizes, Int64TensorType, 9)
    yield columns("ordinal-strings", OrdinalEncoder(), towns, StringTensorType, None)

    texts = np.array(["the pump is loud and hot", "all is fine, really fine", "hot bearing! loud noise", "fine day"] * 20)
    asked = np.array([*texts[:6], "", "The PUMP, the pump", "unknown words only", "a 42 b"])
    about = np.array([1, 0, 1, 0] * 20)

    def text(name: str, vectorizer, model=None) -> Callable[[], Case]:
        def case() -> Case:
            fitted = make_pipeline(vectorizer, model or LogisticRegression()).fit(texts, about)
            options = {id(fitted): {"zipmap": False}} if model is None else {}
            options[CountVectorizer] = options[TfidfVectorizer] = {"tokenexp": "[a-zA-Z0-9_]+"}
            proto = to_onnx(
                fitted,
                initial_types=[("text", StringTensorType([None, 1]))],
                options=options,
                target_opset={"": 17, "ai.onnx.ml": 3},
            )
            return Case(f"pipeline-{name}", proto, {"text": asked.astype(object).reshape(-1, 1)})

        return case

    yield text("count", CountVectorizer())
    yield text("count-bigrams", CountVectorizer(ngram_range=(1, 2), lowercase=True))
    yield text("tfidf", TfidfVectorizer())
    yield text("tfidf-stopwords", TfidfVectorizer(stop_words=["the", "is"], ngram_range=(1, 2)))
    yield text("tfidf-sublinear", TfidfVectorizer(norm="l1", binary=True))
    yield text("count-letters", CountVectorizer(analyzer="char", ngram_range=(1, 2)))
    yield text("count-linear", CountVectorizer(), LinearRegression())


def boosters() -> Iterator[Callable[[], Case]]:
    """LightGBM and XGBoost, exported by onnxmltools."""
    import lightgbm
    import onnxmltools
    import xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    shape = [("features", FloatTensorType([None, FEATURES]))]

    def light(name: str, model, classes: int, **extra) -> Callable[[], Case]:
        def case() -> Case:
            x, y = data(classes) if classes else values()
            x = with_gaps(x)
            model.set_params(verbose=-1, n_jobs=1, random_state=0)
            fitted = model.fit(x, y, **extra)
            proto = onnxmltools.convert_lightgbm(fitted, initial_types=shape, zipmap=False, target_opset=15)
            return Case(f"lightgbm-{name}", proto, {"features": with_gaps(edge_rows(x))})

        return case

    yield light("binary", lightgbm.LGBMClassifier(n_estimators=20), 2)
    yield light("multiclass", lightgbm.LGBMClassifier(n_estimators=10), 3)
    yield light("value", lightgbm.LGBMRegressor(n_estimators=20), 0)
    yield light("forest", lightgbm.LGBMClassifier(n_estimators=10, boosting_type="rf", subsample=0.7, subsample_freq=1), 2)
    yield light("dart", lightgbm.LGBMClassifier(n_estimators=10, boosting_type="dart"), 2)
    yield light("poisson", lightgbm.LGBMRegressor(n_estimators=10, objective="quantile"), 0)

    def categorical() -> Case:
        x, y = data(2)
        x[:, 0] = np.random.default_rng(2).integers(0, 12, size=len(x))
        y = np.where(np.isin(x[:, 0], [1, 4, 7]), 1, y)
        fitted = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1, min_child_samples=5).fit(
            x, y, categorical_feature=[0]
        )
        proto = onnxmltools.convert_lightgbm(fitted, initial_types=shape, zipmap=False, target_opset=15)
        rows = x[:ROWS].copy()
        rows[3, 0] = 99
        return Case("lightgbm-categories", proto, {"features": rows})

    yield categorical

    def extreme(name: str, model, classes: int) -> Callable[[], Case]:
        def case() -> Case:
            x, y = data(classes) if classes else values()
            x = with_gaps(x)
            model.set_params(n_jobs=1, random_state=0)
            fitted = model.fit(x, y)
            proto = onnxmltools.convert_xgboost(fitted, initial_types=shape, target_opset=15)
            return Case(f"xgboost-{name}", proto, {"features": with_gaps(edge_rows(x))})

        return case

    yield extreme("binary", xgboost.XGBClassifier(n_estimators=20, max_depth=4), 2)
    yield extreme("multiclass", xgboost.XGBClassifier(n_estimators=10, max_depth=4), 3)
    yield extreme("value", xgboost.XGBRegressor(n_estimators=20, max_depth=4), 0)
    yield extreme("forest", xgboost.XGBRFRegressor(n_estimators=10, max_depth=4), 0)
    yield extreme("linear-start", xgboost.XGBRegressor(n_estimators=10, max_depth=3, base_score=3.5), 0)


def exported() -> Iterator[Callable[[], Case]]:
    """All models of scikit-learn, LightGBM and XGBoost."""
    yield from classifiers()
    yield from regressors()
    yield from pipelines()
    yield from boosters()
