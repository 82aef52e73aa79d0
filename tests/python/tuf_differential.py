#!/usr/bin/env python3
"""Mutates a signed repository at random and lets python-tuf and our core judge each result.

usage: tuf_differential.py TARGET_DIR [MUTATIONS] [SEED]     (TARGET_DIR/examples/{tuf_repo,judge})

Bits are flipped, documents cut, fields removed, added, retyped and changed; some results are signed again with the
repository's own keys and pinned anew, as its owner, or a thief of keys, could do. Both judges must accept the same
target or both refuse. Where one of them is stricter, the difference must be one of EXPLAINED.
Exits with 1 for any other difference.
"""

import base64
import copy
import hashlib
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import unquote, urlparse

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.formats import encode_canonical
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

TARGET = "shuttle-2"
MUTATIONS = 1000
# Seeds of the example's keys, by the role that they sign for.
SIGNERS = {"root": (1, 2, 3), "targets": (4,), "snapshot": (5,), "timestamp": (7, 6), "shuttle": (8, 9)}

# Why a judge may be stricter: who refuses, a part of our reason, or of theirs, and the explanation.
EXPLAINED = [
    ("ours", "is given twice", "python's JSON reader keeps the last of two equal keys; we refuse what reads in two ways"),
    ("ours", "two signatures under key id", "as above, for signatures under one key id"),
    ("ours", "names a key id twice", "the specification wants key ids of a role to be unique; python keeps one of them"),
    ("ours", "whole 64-bit number", "canonical JSON has no fractions, and numbers have 64 bits here"),
    ("ours", "number out of range", "as above"),
    ("ours", "invalid type", "every known field has one type here; python reads some as they come"),
    ("ours", "deeper than", "the nesting of documents is bounded"),
    ("ours", "no digest of an algorithm", "a digest has one spelling and one length"),
    ("ours", "surrogate", "a lone surrogate is no text; python lets it pass"),
    ("ours", "unicode code point", "as above"),
    ("ours", "end of hex escape", "as above"),
    ("ours", "control character", "python reads control characters in strings"),
    ("ours", "timestamp carries 0 valid", "python drops other entries of a timestamp's meta before it verifies the signature"),
    ("theirs", "timestamp was signed by 0/1", "as above: the signature covers what was sent, and that is what we verify"),
    ("theirs", "Unsupported algorithm", "python refuses a hash algorithm that it does not know beside one that it does"),
    ("theirs", "Role names must be", "python refuses a root with more roles; we ignore those that we do not know"),
    ("theirs", "Unsupported public key", "python refuses a root with a key that it cannot use; we do not count the key"),
    ("theirs", "Hashes must be a non empty", "an empty list of hashes beside a length is as no list for us"),
]


class Memory(FetcherInterface):
    """Serves files from a dictionary."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = unquote(urlparse(url).path).rsplit("/", 1)[-1]
        if name not in self.files:
            raise DownloadHTTPError(f"no {name}", 404)
        return iter([self.files[name]])


def theirs(root: bytes, files: dict[str, bytes], folder: Path) -> str:
    """Returns python-tuf's verdict: `ok LENGTH SHA256` or `no REASON`."""
    with tempfile.TemporaryDirectory(dir=folder) as stored:
        try:
            updater = Updater(stored, "http://127.0.0.1/m/", stored, "http://127.0.0.1/t/", Memory(files), bootstrap=root)
            updater.refresh()
            info = updater.get_targetinfo(TARGET)
        except Exception as e:  # noqa: BLE001  (python-tuf lets errors of its JSON reader through)
            return f"no {type(e).__name__}: {e}: {e.__cause__}".replace("\n", " ")
        return "no target" if info is None else f"ok {info.length} {info.hashes.get('sha256', '')}"


def sign(document: dict, seeds: tuple[int, ...]) -> None:
    """Signs again with these keys; keeps old signatures when the document has no canonical form."""
    try:
        payload = encode_canonical(document["signed"]).encode()
    except Exception:  # noqa: BLE001
        return
    signatures = []
    for seed in seeds:
        key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        public = key.public_key().public_bytes_raw().hex()
        value = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}
        keyid = hashlib.sha256(encode_canonical(value).encode()).hexdigest()
        signatures.append({"keyid": keyid, "sig": key.sign(payload).hex()})
    document["signatures"] = signatures


def places(value: object, path: tuple = ()) -> Iterator[tuple]:
    """Returns the path of everything inside a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


WEIRD = [0, 1, -1, 2, 2**31, 2**63, 2**64, 1.5, True, None, "", "x", "1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z", [], {},
         ["x"], {"x": 1}, "*", "root", "ed25519", "1.0.31", "1.1", "2.0.0", "\ud800", "é", "a" * 200]


def change(document: dict, chance: random.Random) -> None:
    """Changes one thing inside a document."""
    path = chance.choice(list(places(document)))
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    key, old = path[-1], parent[path[-1]]
    way = chance.randrange(7)
    if way == 0:
        del parent[key]
    elif way == 1:
        parent[key] = chance.choice(WEIRD)
    elif way == 2 and isinstance(old, int):
        parent[key] = old + chance.choice([-1, 1, 10])
    elif way == 3 and isinstance(old, str) and old:
        at = chance.randrange(len(old))
        parent[key] = old[:at] + chance.choice(["", "a", "0", old[at].upper(), "\n"]) + old[at + 1 :]
    elif way == 4 and isinstance(old, list) and old:
        old.append(copy.deepcopy(chance.choice(old)))
    elif way == 5 and isinstance(old, dict):
        old[f"x-{chance.randrange(9)}"] = copy.deepcopy(chance.choice(WEIRD))
    elif isinstance(parent, dict):
        parent[f"{key}-2"] = copy.deepcopy(old)
    else:
        parent.append(copy.deepcopy(old))


def spoil(raw: bytes, chance: random.Random) -> bytes:
    """Changes bytes, not structure."""
    way, at = chance.randrange(5), chance.randrange(max(1, len(raw)))
    if way == 0:
        return raw[:at] + bytes([raw[at] ^ (1 << chance.randrange(8))]) + raw[at + 1 :]
    if way == 1:
        return raw[:at]
    if way == 2:
        return raw[:at] + bytes(chance.randrange(256) for _ in range(chance.randrange(1, 5))) + raw[at:]
    if way == 3:
        return raw + chance.choice([b" ", b"\n", b"x", b"{}", b"\0"])
    # A key given twice.
    mark = raw.find(b'"version":')
    return raw if mark < 0 else raw[:mark] + b'"version":%d,' % chance.randrange(5) + raw[mark:]


def repin(files: dict[str, bytes], names: dict[str, str], role: str) -> None:
    """Pins a changed document in the snapshot, and the snapshot in the timestamp, and signs both."""
    if role in ("targets", "shuttle"):
        pinning = [("snapshot", role), ("timestamp", "snapshot")]
    elif role == "snapshot":
        pinning = [("timestamp", "snapshot")]
    else:
        return
    for upper, lower in pinning:
        document, raw = json.loads(files[names[upper]]), files[names[lower]]
        pin = document["signed"]["meta"].get(f"{lower}.json")
        if not isinstance(pin, dict):
            return
        if "length" in pin:
            pin["length"] = len(raw)
        if "hashes" in pin:
            pin["hashes"] = {"sha256": hashlib.sha256(raw).hexdigest()}
        sign(document, SIGNERS[upper])
        files[names[upper]] = json.dumps(document).encode()


def mutate(base: dict[str, bytes], names: dict[str, str], chance: random.Random) -> dict[str, bytes]:
    """Returns a changed copy of the repository."""
    files = dict(base)
    for _ in range(chance.choice([1, 1, 1, 2])):
        role = chance.choice(list(names))
        name = names[role]
        if chance.random() < 0.25:
            files[name] = spoil(files[name], chance)
        else:
            try:
                document = json.loads(files[name])
                change(document, chance)
                if chance.random() < 0.75 and isinstance(document.get("signed"), dict):
                    sign(document, SIGNERS[role])
                files[name] = json.dumps(document).encode()
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
        if chance.random() < 0.7:
            try:
                repin(files, names, role)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
    return files


def newest(folder: Path, role: str) -> str:
    """Returns the name of a role's newest file."""
    found = sorted(folder.glob(f"*.{role}.json"), key=lambda p: int(p.name.split(".")[0]))
    return found[-1].name if found else f"{role}.json"


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    examples = Path(sys.argv[1], "examples")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else MUTATIONS
    chance = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    tally: Counter[str] = Counter()
    unexplained = 0
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([examples / "tuf_repo", f"{work}/repo"], check=True, stdout=subprocess.DEVNULL)
        folder = Path(work, "repo", "metadata")
        base = {path.name: path.read_bytes() for path in folder.iterdir()}
        names = {role: newest(folder, role) for role in SIGNERS}
        root = base["1.root.json"]
        now = int(datetime.now(timezone.utc).timestamp())
        with subprocess.Popen([examples / "judge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as judge:
            for at in range(-1, count):
                files = base if at < 0 else mutate(base, names, chance)
                case = {"now": now, "target": TARGET, "root": base64.b64encode(root).decode(),
                        "files": {name: base64.b64encode(raw).decode() for name, raw in files.items()}}
                judge.stdin.write(json.dumps(case) + "\n")
                judge.stdin.flush()
                mine, other = judge.stdout.readline().strip(), theirs(root, files, Path(work))
                if at < 0 and not (mine.startswith("ok") and mine == other):
                    print(f"the repository itself is refused: ours `{mine}`, python-tuf `{other}`")
                    return 1
                accepted = (mine.startswith("ok"), other.startswith("ok"))
                if mine == other or accepted == (False, False):
                    tally["both accept" if accepted[0] else "both refuse"] += 1
                    continue
                stricter = "ours" if accepted == (False, True) else "theirs" if accepted == (True, False) else "other"
                reason = mine if stricter == "ours" else other
                why = next((text for who, part, text in EXPLAINED if who == stricter and part in reason), None)
                if why:
                    tally[f"stricter: {stricter}: {why}"] += 1
                else:
                    unexplained += 1
                    changed = [name for name in files if files[name] != base.get(name)]
                    print(f"mutation {at} of {changed}: ours `{mine}`, python-tuf `{other}`")
            judge.stdin.close()
    for what, times in tally.most_common():
        print(f"{times:6}  {what}")
    print(f"{count} mutations, {unexplained} unexplained differences")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
