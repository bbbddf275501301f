"""One suite over every method and net: what the contract promises, on both runtimes.

Export itself has compared each of these artifacts with Keras, step by step.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.nets import BATCH, CASES, CLASSES
from tflite_odl import contract
from tflite_odl.errors import ContractError
from tflite_odl.host import goldens
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session


@pytest.fixture(params=CASES)
def artifact(request, build):
    return build(request.param)


@pytest.fixture(params=RUNTIMES)
def session(request, artifact):
    with Session(artifact, runtime=request.param) as session:
        yield session


def batch(session: Session, seed: int = 0) -> dict[str, np.ndarray]:
    spec = session.manifest.signature(contract.TRAIN).input("x")
    rng = np.random.default_rng(seed)
    x = rng.normal(size=spec.shape).astype(np.float32)
    if spec.dtype == "uint8":
        x = rng.integers(0, 256, spec.shape).astype(np.uint8)
    return {"x": x, "y": rng.integers(0, CLASSES, BATCH).astype(np.int32)}


def same(a: dict, b: dict) -> bool:
    return all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_manifest_describes_the_artifact(artifact):
    manifest = Artifact.open(artifact).manifest
    assert tuple(manifest.signatures) == contract.SIGNATURES
    assert all(spec.role for spec in manifest.state)
    names = {spec.name for spec in manifest.state}
    assert set(manifest.signature(contract.RESTORE).input_names) == names
    assert not [op for ops in manifest.ops.values() for op in ops if "Flex" in op]
    alone = Artifact.open(artifact / contract.MODEL_FILE).manifest
    assert alone.artifact_id == manifest.artifact_id
    assert alone.signatures == manifest.signatures


def test_learns_a_batch_by_heart(session):
    inputs = batch(session)
    losses = [float(session.train(**inputs)["loss"][0]) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.98 * losses[0]
    assert session.step == 30


def test_runtimes_agree_over_steps_and_signatures(artifact):
    with Session(artifact, "interpreter") as a, Session(artifact, "compiled") as b:
        for step in range(4):
            inputs = batch(a, step)
            for one, other in zip(
                (a.train(**inputs), {"p": a.infer(inputs["x"])}),
                (b.train(**inputs), {"p": b.infer(inputs["x"])}),
            ):
                for name, value in one.items():
                    # The same kernels in the same order: 1e-5 is the contract's bound.
                    np.testing.assert_allclose(value, other[name], rtol=1e-5, atol=1e-6)


def test_probabilities_sum_to_one_for_any_number_of_rows(session):
    x = batch(session)["x"][:5]
    probabilities = session.infer(x)
    assert probabilities.shape == (5, CLASSES)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert session.infer(x[:0]).shape == (0, CLASSES)


def test_save_restore_continues_bit_for_bit(session, artifact):
    for step in range(3):
        session.train(**batch(session, step))
    state = session.state(include_buffers=True)
    with Session(artifact) as fresh:
        assert fresh.load_state(state) == 3
        assert same(state, fresh.state(include_buffers=True))
    inputs = batch(session, 9)
    session.train(**inputs)
    after = session.state(include_buffers=True)
    session.load_state(state)
    session.train(**inputs)
    assert same(after, session.state(include_buffers=True))


def test_reset_returns_to_the_shipped_weights(session):
    shipped = session.state()
    session.train(**batch(session))
    assert not same(shipped, session.state())
    session.reset()
    assert same(shipped, session.state())


def test_padding_and_bad_rows_do_not_count(session):
    """A padded batch, and one with bad rows in its place, train like the good rows."""
    inputs, rows = batch(session), 4
    shipped = session.state(include_buffers=True)
    session.train(**{name: value[:rows] for name, value in inputs.items()})
    padded = session.state()
    session.load_state(shipped)
    bad = {name: value.copy() for name, value in inputs.items()}
    bad["y"][rows:] = (CLASSES, -2)
    metrics = session.train(**bad)
    assert metrics["rejected_rows"][0] == 2
    assert same(padded, session.state())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_pixels_that_are_not_numbers_change_nothing(session, value):
    inputs = batch(session)
    if inputs["x"].dtype != np.float32:
        inputs["y"][:] = CLASSES  # a byte is always a number: bad labels instead
    else:
        inputs["x"][:] = value
    before = session.state(include_buffers=True)
    for _ in range(2):
        metrics = session.train(**inputs)
        assert metrics["accepted"][0] == 0 and metrics["step"][0] == 0
    assert same(before, session.state(include_buffers=True))
    session.train(**batch(session, 1))
    assert session.step == 1


def test_unlabelled_rows_alone_change_nothing(session):
    inputs = batch(session)
    inputs["y"][:] = contract.UNLABELLED
    before = session.state(include_buffers=True)
    assert session.train(**inputs)["rejected_rows"][0] == 0
    assert same(before, session.state(include_buffers=True))


def test_configure_sets_keeps_and_takes_effect(session):
    assert session.configure(learning_rate=0.25)["learning_rate"] == 0.25
    assert session.configure()["learning_rate"] == 0.25
    assert session.state()["learning_rate"][0] == 0.25
    with pytest.raises(ContractError, match="configure knows"):
        session.configure(learning_speed=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: {**i, "x": i["x"].astype(np.float64)}, "needs x .* got .* float64"),
        (lambda i: {**i, "x": i["x"][:, :1]}, "needs x"),
        (lambda i: {**i, "y": i["y"].astype(np.int64)}, "needs y .* int32, got"),
        (lambda i: {"x": i["x"]}, r"missing \['y'\]"),
        (lambda i: {**i, "z": i["y"]}, r"unknown \['z'\]"),
        (lambda i: {**i, "y": i["y"][:3]}, "rows differ"),
        (lambda i: {n: np.repeat(v, 2, 0) for n, v in i.items()}, "needs x"),
    ],
)
def test_bad_input_is_refused_before_the_runtime_is_touched(session, change, message):
    before = session.state(include_buffers=True)
    with pytest.raises(ContractError, match=message):
        session.train(**change(batch(session)))
    assert same(before, session.state(include_buffers=True)) and session.position == 0


def test_goldens_hold(artifact):
    opened = Artifact.open(artifact)
    for kind in RUNTIMES.values():
        with kind(opened.model, opened.manifest) as runtime:
            results = goldens.check(runtime, opened)
        assert len(results) > 10
        assert all(result.passed for result in results), results
