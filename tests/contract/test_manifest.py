"""A manifest of any content parses or is refused in the contract's own words."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest

from tflite_odl.contract import Manifest, Signature, TensorSpec
from tflite_odl.errors import ArtifactError, ContractError

STATE = (
    TensorSpec("w", "float32", (2, 3), "weight"),
    TensorSpec("rate", "float32", (1,), "hyperparameter", low=0.0, high=1.0),
    TensorSpec("step", "int32", (1,), "counter"),
)
MANIFEST = Manifest(
    "abc",
    {"name": "m", "config": {"rate": 0.1}},
    {
        "train": Signature(
            "train",
            (
                TensorSpec("x", "float32", (4, 2), "feature"),
                TensorSpec("y", "float32", (4, 2), "label", fill=math.nan),
                TensorSpec("weight", "float32", (4,), "row_weight", fill=1.0),
            ),
            (TensorSpec("loss", "float32", (1,)),),
        ),
        "save": Signature("save", (TensorSpec("unused", "float32", (1,)),), STATE),
    },
    STATE,
    classes=("a", "b"),
    ops={"train": {"ADD": 3}},
    files={"model.tflite": "00"},
)
HOSTILE = [
    None,
    True,
    -1,
    0,
    2**31,
    10**400,
    1.5,
    "",
    "a",
    "../x",
    [],
    ["a"],
    [None],
    [[1]],
    [True],
    {},
    {"a": {"b": []}},
]


def places(content, path=()):
    """Yields the path of every value of a JSON tree."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def changed(content, path, value):
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


def test_a_manifest_comes_back_equal_with_its_nan():
    text = MANIFEST.to_json()
    assert '"fill": "NaN"' in text and Manifest.from_json(text) == MANIFEST
    assert Manifest.from_json(text).to_json() == text


def test_any_value_anywhere_parses_or_is_refused():
    content, refused = json.loads(MANIFEST.to_json()), 0
    for path in places(content):
        for value in HOSTILE:
            text = json.dumps(changed(content, path, value))
            try:
                Manifest.from_json(text)
            except (ArtifactError, ContractError):
                refused += 1
    assert refused > 1000


def test_any_damaged_text_parses_or_is_refused():
    text, rng = MANIFEST.to_json().encode(), np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(text)
        damaged[rng.integers(len(text))] = rng.integers(256)
        try:
            Manifest.from_json(bytes(damaged))
        except (ArtifactError, ContractError):
            pass
    for text in (
        b"",
        b"[",
        b"[" * 100_000,
        b"\xff",
        b"3",
        b'{"contract_version": NaN}',
    ):
        with pytest.raises(ArtifactError, match="not an artifact's manifest"):
            Manifest.from_json(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": ["a"]}, r"'x' has shape \['a'\], needs whole numbers"),
        ({"shape": None}, "needs whole numbers"),
        ({"shape": [[1]]}, "needs whole numbers"),
        ({"shape": [1.0]}, "needs whole numbers"),
        ({"shape": [True]}, "needs whole numbers"),
        ({"shape": []}, "rank >= 1"),
        ({"shape": [2, 0]}, "fixed sizes >= 1"),
        ({"shape": [2**16, 2**15]}, "2147483647 elements at most"),
        ({"shape": [10**400]}, "elements at most"),
        ({"name": 3}, "tensor name 3"),
        ({"name": "a b"}, "letters, digits"),
        ({"dtype": ["float32"]}, "needs one of"),
        ({"role": "king"}, "role 'king', needs one of"),
        ({"role": None}, "role None"),
        ({"unit": 3}, "unit 3, needs a text"),
        ({"total": "product"}, "total 'product'"),
        ({"fill": "one"}, "fill 'one', needs a number"),
        ({"fill": math.inf}, "fill inf, needs a number"),
        ({"low": 10**400}, "low .*, needs a number"),
        ({"low": math.nan}, "needs finite ends"),
        ({"low": 2.0, "high": 1.0}, "range 2.0 to 1.0, needs finite ends, the lower"),
        ({"dtype": "int32", "fill": 0.5}, "fill 0.5, which no int32 is"),
        ({"dtype": "uint8", "fill": -1}, "which no uint8 is"),
        ({"dtype": "int32", "fill": math.nan}, "which no int32 is"),
    ],
)
def test_a_tensor_says_what_it_needs(fields, message):
    with pytest.raises(ContractError, match=message):
        TensorSpec(**{"name": "x", "dtype": "float32", "shape": (1,), **fields})


def test_numpy_sizes_are_sizes():
    assert TensorSpec("x", "float32", np.array([2, 3])).shape == (2, 3)
    assert TensorSpec("x", "float32", (2**16, 2**14)).bytes == 2**32


def test_a_mean_needs_the_count_it_is_a_mean_by():
    unused = (TensorSpec("unused", "float32", (1,)),)
    loss = TensorSpec("loss", "float32", (1,), total="mean")
    with pytest.raises(ContractError, match=r"\['loss'\] are means by 'count'"):
        Signature("evaluate", unused, (loss,))


def test_state_and_what_carries_it_must_agree():
    other = (TensorSpec("w", "float32", (3, 2)), *STATE[1:])
    signatures = {"restore": Signature("restore", other, ())}
    with pytest.raises(ContractError, match=r"its signature takes differ.*'w \[2, 3\]"):
        Manifest("abc", {}, signatures, STATE)
