"""Checks an exported bundle with the tools that a third party has: model-signing, securesystemslib, CycloneDX.

usage: supply_chain.py FOLDER KEY_PEM TARGETS_JSON DATA

FOLDER is the bundle, KEY_PEM the trainer's public key, TARGETS_JSON the top-level targets metadata (python-tuf reads the
release keys from it), DATA the file that the model was trained on. Works on copies. Exits with 0 and a line when all
accept the bundle and refuse what was changed; with 1 and the reason otherwise.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from model_signing import verifying
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from tuf.api.metadata import Metadata, Targets

SIGNATURE = "model.sig"
# The manifest holds the digest of the signature, so the signature cannot cover it; the release signs it.
UNSIGNED = {SIGNATURE, "manifest.json"}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def expect(true: bool, what: str) -> None:
    if not true:
        raise AssertionError(what)


def flip(path: Path) -> None:
    """Changes one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def accepts(folder: Path, key: Path) -> bool:
    """Returns whether model-signing accepts the folder."""
    config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    try:
        config.verify(folder, folder / SIGNATURE)
    except Exception:  # noqa: BLE001 - each kind of damage has an exception of its own
        return False
    return True


def model_signature(folder: Path, key: Path, work: Path) -> int:
    """The command accepts; the library refuses each change; returns how many it was shown."""
    words = [sys.executable, "-m", "model_signing", "verify", "key", folder, "--signature", folder / SIGNATURE]
    done = subprocess.run([*words, "--public_key", key], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"model_signing refuses the bundle: {done.stdout}{done.stderr}")

    def change(what: str, damage) -> None:
        copy = work / "copy"
        shutil.copytree(folder, copy)
        expect(accepts(copy, key), "model_signing refuses a copy")
        damage(copy)
        expect(not accepts(copy, key), f"model_signing accepts {what}")
        shutil.rmtree(copy)

    changes = 0
    for path in sorted(folder.iterdir()):
        if path.name not in UNSIGNED:
            change(f"a flipped bit in {path.name}", lambda copy, name=path.name: flip(copy / name))
            change(f"no {path.name}", lambda copy, name=path.name: (copy / name).unlink())
            changes += 2
    change("an unsigned file", lambda copy: (copy / "weights.bin").write_text("x"))
    change("a changed signature", lambda copy: flip(copy / SIGNATURE))
    other = work / "other.pem"
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    other.write_bytes(public.public_bytes(*form))
    expect(not accepts(folder, other), "model_signing accepts another key")
    return changes + 3


def provenance(folder: Path, key: Path, targets: Path, data: Path) -> str:
    """securesystemslib accepts both signatures; the statement is SLSA v1 and about these files; returns the builder."""
    text = (folder / "provenance.intoto.json").read_text()
    third_party = SSlibKey.from_crypto(serialization.load_pem_public_key(key.read_bytes()))
    envelope = Envelope.from_dict(json.loads(text))
    expect(envelope.payload_type == "application/vnd.in-toto+json", "the payload is another")
    expect(third_party.keyid in envelope.verify([third_party], 1), "the trainer's P-256 key did not sign")
    # The same hand that signs releases: its ed25519 key is known from the repository's signed metadata.
    release = Metadata[Targets].from_bytes(targets.read_bytes()).signed.delegations
    envelope.verify(list(release.keys.values()), 1)
    envelope.payload = envelope.payload.replace(b"model.onnx", b"other.onnx")
    try:
        envelope.verify([third_party], 1)
        raise AssertionError("securesystemslib accepts a changed statement")
    except VerificationError:
        pass

    # Protobuf refuses fields that the in-toto and SLSA v1 definitions do not have.
    payload = Envelope.from_dict(json.loads(text)).payload.decode()
    parsed = json_format.Parse(payload, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    expect(parsed.predicate_type == "https://slsa.dev/provenance/v1", "the predicate is another")
    predicate = json_format.MessageToJson(parsed.predicate)
    said = json_format.Parse(predicate, provenance_pb2.Provenance())
    subjects = {s.name: s.digest["sha256"] for s in parsed.subject}
    expect("model.onnx" in subjects and "bom.cdx.json" in subjects, f"it is about {sorted(subjects)}")
    for name, digest in subjects.items():
        expect(sha256(folder / name) == digest, f"it is about another {name}")
    definition, details = said.build_definition, said.run_details
    expect(definition.build_type.startswith("urn:pinnace:build:"), "the build type is missing")
    expect("algorithm" in definition.external_parameters, "the learner's parameters are missing")
    digests = [d.digest["sha256"] for d in definition.resolved_dependencies]
    expect(sha256(data) in digests, "it names other data")
    times = details.metadata
    expect(times.started_on.ToDatetime() <= times.finished_on.ToDatetime(), "it ended before it began")
    expect(details.builder.id != "", "it names no builder")
    return details.builder.id


def bill_of_materials(folder: Path, data: Path) -> str:
    """The strict validator of CycloneDX 1.6 accepts it, and it is about these files; returns its serial number."""
    text = (folder / "bom.cdx.json").read_text()
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    fault = validator.validate_str(text)
    expect(fault is None, f"cyclonedx refuses the bill of materials: {fault!r}")
    spoilt = text.replace('"machine-learning-model"', '"machine-learning"')
    expect(validator.validate_str(spoilt) is not None, "cyclonedx accepts anything")
    bom = json.loads(text)
    expect(bom["specVersion"] == "1.6", "another version")
    datetime.fromisoformat(bom["metadata"]["timestamp"])
    model = bom["metadata"]["component"]
    expect(model["type"] == "machine-learning-model", "it is about no model")
    expect(model["hashes"] == [{"alg": "SHA-256", "content": sha256(folder / "model.onnx")}], "another model")
    card = model["modelCard"]
    expect(card["quantitativeAnalysis"]["performanceMetrics"] != [], "it does not say how good the model is")
    parts = {part["bom-ref"]: part for part in bom["components"]}
    for reference in card["modelParameters"]["datasets"]:
        part = parts[reference["ref"]]
        expect(part["type"] == "data" and part["hashes"][0]["content"] == sha256(data), "other data")
    for part in bom["components"]:
        if part["type"] == "file":
            expect(part["hashes"][0]["content"] == sha256(folder / part["name"]), f"another {part['name']}")
    return bom["serialNumber"]


def main() -> int:
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        return 2
    folder, key, targets, data = (Path(word).resolve() for word in sys.argv[1:])
    with tempfile.TemporaryDirectory() as work:
        try:
            changes = model_signature(folder, key, Path(work))
            builder = provenance(folder, key, targets, data)
            serial = bill_of_materials(folder, data)
        except Exception as fault:  # noqa: BLE001 - every failure is a line
            print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
            return 1
    print(f"model signature accepted and {changes} changes refused; provenance by {builder}; {serial}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
