"""Times a first refresh of one repository: our trust core (through the example `judge`, pipe and base64 included) beside
python-tuf, in the same run, without a network.

    tuf_speed.py TARGET_DIR [REFRESHES]
"""

import base64
import json
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from tuf_differential import TARGET, theirs

ROUNDS = 5


def main() -> int:
    examples, count = Path(sys.argv[1], "examples"), int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([examples / "tuf_repo", f"{work}/repo"], check=True, stdout=subprocess.DEVNULL)
        files = {path.name: path.read_bytes() for path in Path(work, "repo", "metadata").iterdir()}
        root = files["1.root.json"]
        case = json.dumps({"now": int(datetime.now(timezone.utc).timestamp()), "target": TARGET,
                           "root": base64.b64encode(root).decode(),
                           "files": {name: base64.b64encode(raw).decode() for name, raw in files.items()}}) + "\n"
        ours, peers = [], []
        with subprocess.Popen([examples / "judge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as judge:
            for _ in range(ROUNDS):
                began = time.perf_counter()
                for _ in range(count):
                    judge.stdin.write(case)
                    judge.stdin.flush()
                    mine = judge.stdout.readline().strip()
                ours.append((time.perf_counter() - began) / count)
                began = time.perf_counter()
                for _ in range(count):
                    other = theirs(root, files, Path(work))
                peers.append((time.perf_counter() - began) / count)
                if not mine.startswith("ok") or mine != other:
                    print(f"not the same verdict: ours `{mine}`, python-tuf `{other}`")
                    return 1
            judge.stdin.close()
    best, peer = min(ours), min(peers)
    size = sum(map(len, files.values()))
    print(f"{len(files)} documents, {size} bytes: ours {best * 1e3:.2f} ms, python-tuf {peer * 1e3:.2f} ms, "
          f"{peer / best:.1f} times (best of {ROUNDS} rounds of {count})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
