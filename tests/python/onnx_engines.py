#!/usr/bin/env python3
"""Holds both engines of the agent against ONNX's own test cases and against models of other projects.

usage: onnx_engines.py TARGET_DIR [--update] [--only WORD]        (TARGET_DIR/examples/onnx_worker)

Cases: the ONNX backend tests (node, simple, pytorch-*) with the answers they bring; the light models of ONNX,
silero-vad, magika and atspm-detector with the answers of ONNX Runtime for seeded random inputs. tests/data/onnx holds
  tract.txt, ort.txt   backend tests that pass, sorted: one that no longer passes fails the check. Of one that passes and
                       is not listed the check tells; --update writes it in. --update never takes one out.
  models.txt           models that tract does not run like ONNX Runtime, each with the reason, held exact; what people
                       add after ` # ` is kept.
Each engine runs in worker processes with a time limit a case; a worker that dies costs its case and is started anew.
--only WORD runs the cases whose name holds WORD, and changes no list.
"""

import queue
import re
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

LISTS = Path(__file__).resolve().parent.parent / "data" / "onnx"
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
# Fewer cases mean that the wheel has changed what it ships, and the check would hold nothing.
CASES_MIN = 1500
CASE_TIME_S = 20
MODEL_TIME_S = 60
WORKERS = 2
SEED = 7
# Time for everything: what has not been run by then has failed.
TOTAL_TIME_S = 170
REASON_MAX = 160


@dataclass(frozen=True)
class Case:
    """One folder with a model and data sets."""

    name: str
    folder: Path
    seconds: int


class Worker:
    """A worker process that is started when needed and killed when it takes too long."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.process: Popen | None = None

    def ask(self, case: Case) -> str:
        """Returns `pass`, or why not."""
        if self.process is None:
            self.process = Popen(self.words, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True)
        process, late = self.process, threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(case.seconds, end)
        timer.start()
        try:
            process.stdin.write(f"{case.folder}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError:
            answer = ""
        timer.cancel()
        if late.is_set():
            # Also when its answer came at the very end: the next case needs a worker that lives.
            self.stop()
            return f"took more than {case.seconds} s"
        if answer.endswith("\n"):
            kind, _, why = answer.rstrip("\n").partition("\t")
            return "pass" if kind == "pass" else why or "failed"
        self.stop()
        return "the process died"

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def run(words: list[str], cases: list[Case], until: float) -> dict[str, str]:
    """Runs all cases with one engine and returns each one's answer; `until` is the monotonic time to be done by."""
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    for case in cases:
        waiting.put(case)
    answers: dict[str, str] = {}

    def work() -> None:
        worker = Worker(words)
        while True:
            try:
                case = waiting.get_nowait()
            except queue.Empty:
                worker.stop()
                return
            late = time.monotonic() > until
            answers[case.name] = f"not run within {TOTAL_TIME_S} s" if late else worker.ask(case)

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def backend_cases() -> list[Case]:
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    found = [
        Case(f"{kind}/{folder.name.removeprefix('test_')}", folder, CASE_TIME_S)
        for kind in KINDS
        for folder in sorted((data / kind).glob("test_*"))
    ]
    if len(found) < CASES_MIN:
        raise AssertionError(f"{len(found)} backend tests in {data}, at least {CASES_MIN} belong there: is onnx 1.22 installed?")
    return found


def package(name: str) -> Path:
    """Returns a package's folder without importing it: what it depends on is not installed."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise AssertionError(f"the package {name} is not installed (tests/python/requirements-alone.txt)")
    return Path(spec.origin).parent


def model_files() -> dict[str, Path]:
    light = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    found = {f"light/{path.stem.removeprefix('light_')}": path for path in light.glob("*.onnx")}
    for name in ("silero_vad", "magika", "atspm_detector"):
        found |= {f"{name}/{path.stem}": path for path in package(name).rglob("*.onnx")}
    return dict(sorted(found.items()))


def random_input(value: onnx.ValueInfoProto, rng: np.random.Generator) -> np.ndarray:
    """Returns numbers that the model can make sense of; a dimension without a number is 2, one that is called a batch 1."""
    kind = value.type.tensor_type
    shape = [d.dim_value or (1 if "batch" in d.dim_param else 2) for d in kind.shape.dim]
    if value.name == "sr":
        return np.array(16000, dtype=np.int64)
    if value.name == "input" and shape[-1] == 2:
        # silero-vad leaves the number of samples open; it takes 512 with 64 before them.
        shape[-1] = 576
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if kind.elem_type == TensorProto.BOOL:
        return rng.random(shape) < 0.5
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, 10, shape).astype(dtype)
    return rng.random(shape, dtype=np.float32).astype(dtype)


def model_case(name: str, path: Path, folder: Path) -> Case:
    """Writes a case for a model: random inputs, and what ONNX Runtime answers."""
    model = onnx.load(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    rng = np.random.default_rng(SEED)
    given = {value.name: random_input(value, rng) for value in inputs}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    answers = session.run(None, given)
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    (folder / "model.onnx").symlink_to(path)
    for kind, arrays in (("input", given.values()), ("output", answers)):
        for index, array in enumerate(arrays):
            (data / f"{kind}_{index}.pb").write_bytes(numpy_helper.from_array(np.asarray(array)).SerializeToString())
    return Case(name, folder, MODEL_TIME_S)


def read_list(name: str) -> list[str]:
    path = LISTS / name
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")] if path.exists() else []


def hold_list(engine: str, answers: dict[str, str], update: bool) -> list[str]:
    """Compares what passes with the list, tells what is new and returns what is wrong."""
    listed = set(read_list(f"{engine}.txt"))
    passing = {name for name, answer in answers.items() if answer == "pass"}
    wrong = [f"{engine}: {name} no longer passes: {answers.get(name, 'it is gone')}" for name in sorted(listed - passing)]
    new = sorted(passing - listed)
    if update:
        head = f"# ONNX backend tests (onnx {onnx.__version__}) that {engine} passes: tests/python/onnx_engines.py --update\n"
        (LISTS / f"{engine}.txt").write_text(head + "".join(f"{name}\n" for name in sorted(listed | passing)))
    elif new:
        print(f"{engine}: {len(new)} more pass, e.g. {', '.join(new[:3])}: run with --update and commit the list")
    return wrong


def reason(answer: str) -> str:
    """Returns why a model is not run, in words that are the same on every machine."""
    differs = re.match(r"output \d+: value \d+ is", answer)
    if differs:
        return differs.group().partition(":")[0] + " differs"
    return answer.partition(" hint:")[0][:REASON_MAX].rstrip()


def hold_models(answers: dict[str, str], update: bool) -> list[str]:
    """Compares the models that tract does not run with their list and returns what is wrong."""
    path = LISTS / "models.txt"
    listed = dict(line.partition(" # ")[::2] for line in read_list("models.txt"))
    found = [f"{name}: {reason(answer)}" for name, answer in sorted(answers.items()) if answer != "pass"]
    if update:
        lines = [f"{line} # {listed[line]}" if listed.get(line) else line for line in found]
        head = "# Models that tract does not run like ONNX Runtime, and why: tests/python/onnx_engines.py --update\n"
        path.write_text(head + "".join(f"{line}\n" for line in lines))
        return []
    gone = [f"tract: listed, but not so any more: {line}" for line in listed if line not in found]
    return gone + [f"tract: not listed: {line}" for line in found if line not in listed]


def main() -> int:
    words = sys.argv[1:]
    update = "--update" in words
    words = [word for word in words if word != "--update"]
    only = words[words.index("--only") + 1] if "--only" in words else None
    if not words:
        print(__doc__, file=sys.stderr)
        return 2
    worker = str(Path(words[0]).resolve() / "examples" / "onnx_worker")
    library = next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*"))
    engines = {"tract": [worker, "tract"], "ort": [worker, "ort", str(library)]}
    cases = [case for case in backend_cases() if only is None or only in case.name]
    wrong, said = [], []
    until = time.monotonic() + TOTAL_TIME_S
    for engine, command in engines.items():
        began = time.monotonic()
        answers = run(command, cases, until)
        passed = sum(answer == "pass" for answer in answers.values())
        said.append(f"{engine} passes {passed} of {len(cases)} backend tests in {time.monotonic() - began:.0f} s")
        if only is None:
            wrong += hold_list(engine, answers, update)
        else:
            for name, answer in sorted(answers.items()):
                print(f"{engine}\t{name}\t{answer}")
    with tempfile.TemporaryDirectory() as work:
        began = time.monotonic()
        files = {name: path for name, path in model_files().items() if only is None or only in name}
        models = [model_case(name, path, Path(work) / str(i)) for i, (name, path) in enumerate(files.items())]
        answers = run(engines["tract"], models, until)
        same = sum(answer == "pass" for answer in answers.values())
        said.append(f"tract equals ONNX Runtime on {same} of {len(models)} models in {time.monotonic() - began:.0f} s")
        if only is None:
            wrong += hold_models(answers, update)
        else:
            for name, answer in sorted(answers.items()):
                print(f"tract\t{name}\t{answer}")
    for line in wrong:
        print(line)
    print("; ".join(said))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
