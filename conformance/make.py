"""Writes the binary vectors and the JSON files that describe them.

python conformance/make.py

Files that must be refused are made by damaging a whole one. The digest's bytes are put
together here by hand, apart from the library, so that the two can be held against each
other.
"""

from __future__ import annotations

import hashlib
import json
import math
import pathlib
import struct
import zlib

import make_bake
import numpy as np
import safetensors.numpy
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

HERE = pathlib.Path(__file__).parent
FILES = HERE / "files"
SEAL_BYTES = 32
NAME = b"tflite_odl.manifest"
STATE = {
    "kernel": np.float32([[0.5, -1.0], [2.0, 0.25]]),
    "step": np.int32([3]),
    "photo": np.uint8([1, 2, 255]),
    "tiny": np.int8([-1, 127]),
    "seen": np.array([True, False]),
}
FACTS = {
    "artifact_id": "ab" * 32,
    "contract_version": "2",
    "step": "3",
    "position": "4",
}
ROWS = {
    "x_train": np.uint8([[1, 2], [3, 4], [5, 6]]),
    "y_train": np.int32([0, 1, -1]),
    "none": np.zeros((0, 2), np.float32),
}
ABOUT = {"classes": "Zürich\nBern", "scale": "0.5", "offset": "-1.0"}


def main() -> None:
    FILES.mkdir(exist_ok=True)
    for old in FILES.iterdir():
        old.unlink()
    dump("digest", {"cases": digests()})
    dump("checkpoints", checkpoints())
    dump("streams", streams())
    dump("manifests", manifests())
    dump("bake", baking())
    dump("sums", {"cases": sums()})


def dump(name: str, content: dict) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def tensor(value: np.ndarray) -> dict:
    data = value.ravel().tolist()
    return {"dtype": value.dtype.name, "shape": list(value.shape), "data": data}


def tensors(arrays: dict[str, np.ndarray]) -> dict:
    return {name: tensor(value) for name, value in arrays.items()}


def hashed_bytes(facts: dict[str, str], arrays: dict[str, np.ndarray]) -> bytes:
    """Returns what the digest is taken of."""

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value.encode())) + value.encode()

    content = struct.pack("<I", len(facts))
    for name in sorted(facts):
        content += text(name) + text(facts[name])
    content += struct.pack("<I", len(arrays))
    for name in sorted(arrays):
        value = arrays[name]
        content += text(name) + text(value.dtype.name) + struct.pack("<I", value.ndim)
        content += b"".join(struct.pack("<Q", size) for size in value.shape)
        content += struct.pack("<Q", value.nbytes) + value.tobytes()
    return content


def sha256(facts: dict[str, str], arrays: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(hashed_bytes(facts, arrays)).hexdigest()


def digests() -> list[dict]:
    cases = {
        "nothing": ({}, {}),
        "one fact": ({"step": "3"}, {}),
        "one tensor": ({}, {"w": np.float32([[1.0, -2.0]])}),
        "every dtype, names out of order": (FACTS, STATE),
        "text beyond ASCII, a tensor without elements": (ABOUT, ROWS),
    }
    return [
        {
            "name": name,
            "facts": facts,
            "tensors": tensors(arrays),
            "bytes": hashed_bytes(facts, arrays).hex(),
            "sha256": sha256(facts, arrays),
        }
        for name, (facts, arrays) in cases.items()
    ]


def packed(facts: dict[str, str], arrays: dict[str, np.ndarray]) -> bytes:
    header = {**facts, "sha256": sha256(facts, arrays)}
    return safetensors.numpy.save(arrays, header)


def damaged(whole: bytes) -> dict[str, bytes]:
    """Returns damaged copies by what was done to them."""
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    return {
        "last bit flipped": flipped,
        "cut by a byte": whole[:-1],
        "cut in the header": whole[:20],
        "empty": b"",
        "a header longer than the file": bytes([255] * 7 + [0]) + whole[8:],
    }


def described(kind: str, good: dict[str, dict], bad: dict[str, bytes]) -> list[dict]:
    """Writes the files; returns their cases."""
    cases = []
    for number, (name, case) in enumerate(good.items()):
        file = f"{kind}_{number}.bin"
        (FILES / file).write_bytes(case.pop("content"))
        cases.append({"name": name, "file": file, **case})
    for number, (name, content) in enumerate(bad.items(), len(good)):
        file = f"{kind}_{number}.bin"
        (FILES / file).write_bytes(content)
        cases.append({"name": name, "file": file, "refused": True})
    return cases


def checkpoints() -> dict:
    whole = packed(FACTS, STATE)
    read = {"facts": FACTS, "tensors": tensors(STATE)}
    bad = damaged(whole)
    bad["step altered in the header"] = whole.replace(b'"step":"3"', b'"step":"9"')
    bad["of another artifact"] = packed({**FACTS, "artifact_id": "cd" * 32}, STATE)
    bad["of a newer contract"] = packed({**FACTS, "contract_version": "99"}, STATE)
    other = {**STATE, "step": np.int32([3, 3])}
    bad["another shape of a tensor"] = packed(FACTS, other)
    bad["a tensor is missing"] = packed(FACTS, {"step": STATE["step"]})
    return {
        "artifact_id": FACTS["artifact_id"],
        "state": [
            {"name": n, "dtype": v.dtype.name, "shape": list(v.shape)}
            for n, v in STATE.items()
        ],
        "cases": described("checkpoint", {"whole": {"content": whole, **read}}, bad),
    }


def streams() -> dict:
    whole = packed(ABOUT, ROWS)
    read = {"facts": ABOUT, "tensors": tensors(ROWS)}
    bad = damaged(whole)
    bad["without a checksum"] = safetensors.numpy.save(ROWS, ABOUT)
    bad["classes altered in the header"] = whole.replace(b"Bern", b"Born")
    return {"cases": described("stream", {"whole": {"content": whole, **read}}, bad)}


def model(name: bytes, content: bytes) -> bytes:
    """Returns the smallest model with metadata: no op, a weight, two buffers."""
    weights = np.arange(16, dtype=np.uint8)
    buffers = [schema.BufferT(), schema.BufferT(data=weights)]
    buffers.append(schema.BufferT(data=np.frombuffer(content, np.uint8)))
    entry = schema.MetadataT(name=name, buffer=2)
    other = schema.MetadataT(name=b"min_runtime_version", buffer=1)
    tree = schema.ModelT(version=3, buffers=buffers, metadata=[other, entry])
    builder = Builder(64)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def sealed(content: bytes) -> tuple[bytes, int]:
    """Returns a model with the content and its seal, and where the content is."""
    mark = content + bytes(SEAL_BYTES)
    file = model(NAME, mark)
    start = file.index(mark)
    end = start + len(mark)
    seal = hashlib.sha256(file).digest()
    return file[: end - SEAL_BYTES] + seal + file[end:], start


def baking() -> dict:
    cases, after = make_bake.cases()
    (FILES / "bake_before.bin").write_bytes(make_bake.twin())
    for case in cases:
        if case["name"] in after:
            case["after"] = f"bake_after_{case['name'].replace(' ', '_')}.bin"
            (FILES / case["after"]).write_bytes(after[case["name"]])
    state = tensors(make_bake.STATE)
    return {"before": "bake_before.bin", "state": state, "cases": cases}


def terms(shape: tuple[int, ...]) -> np.ndarray:
    """Returns what is summed: ((7919 i) mod 2003 - 1001) / 997 at place i."""
    places = np.arange(math.prod(shape)) * 7919 % 2003 - 1001
    return (places.astype(np.float32) / np.float32(997)).reshape(shape)


def sums() -> list[dict]:
    """Returns sums in NumPy's order of additions, by which levels were trained."""
    cases = {
        "a convolution's channels last": ((3, 3, 4, 8), (-1,)),
        "a depthwise one's in two axes": ((3, 3, 8, 2), (-2, -1)),
        "channels before the last axis": ((3, 3, 5, 20), (-2,)),
        "a long last axis": ((4, 300), (-2,)),
        "a short last axis": ((6, 5, 7), (-2,)),
        "a dense layer's": ((300, 7), (-1,)),
        "all in one": ((64, 200), ()),
        "a channel of its own": ((200, 1), (-1,)),
        "axes of one element between": ((5, 1, 1, 33), (-4,)),
        "channels first, two axes summed together": ((6, 9, 50), (-3,)),
    }
    found = []
    for name, (shape, axes) in cases.items():
        own = {axis % len(shape) for axis in axes}
        summed = tuple(axis for axis in range(len(shape)) if axis not in own)
        values = terms(shape).sum(summed).ravel()
        about = {"name": name, "shape": list(shape), "axes": list(axes)}
        found.append({**about, "sums": [float(v) for v in values]})
    return found


def manifests() -> dict:
    text = json.dumps({"contract_version": 2, "about": "é" * 40}, ensure_ascii=False)
    good, files = {}, {}
    for name, content in (
        ("plain", text.encode()),
        ("compressed", zlib.compress(text.encode(), 9)),
    ):
        files[name], start = sealed(content)
        length = len(content) + SEAL_BYTES
        seal = files[name][start + len(content) : start + length].hex()
        about = {"start": start, "length": length, "seal": seal, "text": text}
        good[name] = {"content": files[name], **about}
    foreign = model(b"some.other.note", b"{}")
    good["no manifest"] = {"content": foreign, "start": None}
    whole, start = sealed(text.encode())
    length = len(text.encode()) + SEAL_BYTES

    def changed(at: int, *values: int) -> bytes:
        return whole[:at] + bytes(values) + whole[at + len(values) :]

    bad = {
        "no TFLite identifier": changed(4, 0),
        "the root leads out of the file": changed(0, 255, 255, 255, 127),
        "a bit of a weight": changed(whole.index(bytes(range(16))), 1),
        "a bit of the manifest": changed(start + 3, whole[start + 3] ^ 4),
        "a bit of the seal": changed(start + length - 1, whole[start + length - 1] ^ 1),
        "cut": whole[:-5],
        "cut to the root": whole[:6],
        "longer": whole + b"\0",
        "empty": b"",
        "contract 1, without a seal": model(NAME, b'{"contract_version": 1}'),
    }
    return {"cases": described("manifest", good, bad)}


if __name__ == "__main__":
    main()
