"""The session's promises on a toy artifact, on both runtimes."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.host import toy
from tflite_odl.contract import Signature, TensorSpec
from tflite_odl.errors import ContractError
from tflite_odl.host import labels, rows, runtimes
from tflite_odl.host.session import Session

RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 3)).astype(np.float32)
Y = RNG.integers(0, 2, 10).astype(np.int32)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return toy.write(tmp_path_factory.mktemp("toy") / "artifact")


@pytest.fixture(params=runtimes.RUNTIMES)
def session(request, artifact):
    with Session(artifact, request.param) as session:
        yield session


def softmax(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    e = np.exp(x @ kernel.astype(np.float64) + 0.25)
    return e / e.sum(1, keepdims=True)


def test_infer_and_evaluate_take_any_number_of_rows(session):
    kernel = session.state()["kernel"]
    for number in (1, 3, 4, 5, 10):
        x, y = X[:number], Y[:number]
        p = softmax(x, kernel)
        # float32 against float64 over three products.
        np.testing.assert_allclose(session.infer(x), p, rtol=1e-5)
        found = session.evaluate(x, y)
        correct = int((p.argmax(1) == y).sum())
        assert (found["correct"], found["count"]) == (correct, number)
        assert found["accuracy"] == correct / number
        loss = -np.log(p[np.arange(number), y]).mean()
        np.testing.assert_allclose(found["loss"], loss, rtol=1e-5)


def test_train_follows_the_equation_and_outputs_are_the_callers_own(session):
    kernel = session.state()["kernel"].astype(np.float64)
    first = session.train(x=X[:4], y=Y[:4])
    kept = {name: value.copy() for name, value in first.items()}
    error = softmax(X[:4], kernel) - np.eye(2)[Y[:4]]
    kernel = kernel - 0.5 * X[:4].T.astype(np.float64) @ error
    # float32 against float64 over four products; weights are of order 1.
    np.testing.assert_allclose(session.state()["kernel"], kernel, atol=1e-6)
    session.train(x=X[4:8], y=Y[4:8])
    assert session.step == 2 and first["step"][0] == 1
    assert all((first[name] == kept[name]).all() for name in kept)


def test_every_dtype_survives_restore_and_save(session):
    state = session.state(include_buffers=True)
    for name, value in state.items():
        high = {"learning_rate": 10}.get(name, 2 if value.dtype == bool else 100)
        state[name] = RNG.integers(0, high, value.shape).astype(value.dtype)
    assert session.load_state(state) == state["step"][0]
    for name, value in session.state(include_buffers=True).items():
        assert value.dtype == state[name].dtype
        np.testing.assert_array_equal(value, state[name])


def test_signatures_of_a_method_share_its_variables(session):
    photo = np.arange(5, dtype=np.uint8)
    stored = session.run("remember", photo=photo)["stored"]
    np.testing.assert_array_equal(stored, photo)
    assert "photos" not in session.state()
    np.testing.assert_array_equal(session.state(include_buffers=True)["photos"], photo)
    with pytest.raises(ContractError, match="no signature 'forget', the artifact has"):
        session.run("forget", photo=photo)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": X[:2], "y": Y[:2], "count": np.int32([3])}, "count is 3, needs 0 to"),
        ({"x": X[:2], "y": Y[:2], "count": np.int32([-1])}, "count is -1"),
        ({"x": X[:2], "y": Y[:2], "count": np.int64([2])}, "needs count .* int32"),
        ({"x": X[:2], "y": Y[:2], "count": "two"}, "needs count"),
        ({"x": np.float32(1), "y": Y[:1]}, "x needs rows, got the single value"),
        ({"x": [[1.0], [2.0, 3.0]], "y": Y[:2]}, "x is no array"),
        ({"x": X[:0], "y": Y[:0]}, "needs x"),
        ({"x": X[:5], "y": Y[:5]}, "needs x"),
    ],
)
def test_unfitting_rows_are_refused(session, inputs, message):
    before = session.state(include_buffers=True)
    with pytest.raises(ContractError, match=message):
        session.train(**inputs)
    after = session.state(include_buffers=True)
    assert all((before[name] == after[name]).all() for name in before)
    assert session.position == 0


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 1, 0],
        np.int64([0, 1, 1, 0]),
        np.uint8([0, 1, 1, 0]),
        np.int64([[0], [1], [1], [0]]),
        [[0], [1], [1], [0]],
    ],
)
def test_labels_are_cast_where_they_fit_exactly(session, artifact, labels):
    session.train(x=X[:4], y=labels)
    found = session.evaluate(X[:4], labels)
    with Session(artifact) as other:
        other.train(x=X[:4], y=np.int32([0, 1, 1, 0]))
        expected = other.evaluate(X[:4], np.int32([0, 1, 1, 0]))
        kernel = other.state()["kernel"]
    # Two runtimes: the same kernels in the same order.
    np.testing.assert_allclose(session.state()["kernel"], kernel, atol=1e-6)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "labels",
    [
        [0.0, 1.0, 1.0, 0.0],
        np.float32([0, 1, 1, 0]),
        np.int64([0, 1, 2**32, 0]),
        np.uint64([0, 1, 2**64 - 1, 0]),
        np.array([True, False, True, False]),
        np.array(["0", "1", "1", "0"]),
        np.int64([[0, 1], [1, 0], [1, 0], [0, 1]]),
    ],
)
def test_labels_that_would_change_are_refused(session, labels):
    with pytest.raises(ContractError, match="needs y"):
        session.train(x=X[:4], y=labels)


def test_nothing_but_labels_is_cast(session):
    with pytest.raises(ContractError, match="needs x .*got .* float64"):
        session.train(x=X[:4].astype(np.float64), y=Y[:4])


def test_float_labels_take_lists_and_exact_values():
    spec = TensorSpec("y", "float32", (3, 2), "label", fill=np.nan)
    for given in ([[0.1, 1], [0, 2]], np.int64([[0, 1]]), np.float64([[0.5, np.nan]])):
        found = labels.cast(spec, given)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.asarray(given).astype(np.float32))
    for given in (np.float64([[0.1, 1]]), np.int64([[2**24 + 1, 0]]), [[1e300, 0]]):
        assert labels.cast(spec, given).dtype != np.float32


def test_what_is_left_out_is_filled_in(session):
    assert session.evaluate(X[:5])["count"] == 5  # the toy counts unlabelled rows too
    filled = rows.padded(session.manifest.signature("train"), {"x": X[:3]})
    assert filled["y"].tolist() == [-1, -1, -1, 0] and filled["count"] == [3]
    with pytest.raises(ContractError, match=r"missing \['x'"):
        session.train(y=Y[:3])


def test_x_and_y_are_names_or_the_only_ones_of_their_role():
    def signature(*inputs: tuple[str, str]) -> Signature:
        specs = tuple(TensorSpec(name, "float32", (2,), role) for name, role in inputs)
        return Signature("train", specs, ())

    one = signature(("image", "feature"), ("target", "label"))
    assert rows.named(one, {}, 1, 2) == {"image": 1, "target": 2}
    two = signature(("x", "feature"), ("side", "feature"), ("y", "label"))
    assert rows.named(two, {"side": 3}, 1, 2) == {"x": 1, "side": 3, "y": 2}
    other = signature(("a", "feature"), ("b", "feature"))
    assert rows.named(other, {"a": 1, "b": 2}) == {"a": 1, "b": 2}
    with pytest.raises(ContractError, match=r"\['a', 'b'\] of role 'feature', not one"):
        rows.named(other, {}, 1)
    with pytest.raises(ContractError, match=r"has \[\] of role 'label'"):
        rows.named(other, {"a": 1}, y=1)


def test_configure_stays_in_the_range(session):
    for value in (-0.1, 10.001, float("inf"), -1e300):
        with pytest.raises(ContractError, match=r"learning_rate=.*needs 0.0 to 10.0"):
            session.configure(learning_rate=value)
    assert session.configure(learning_rate=10)["learning_rate"] == 10
    assert session.configure(learning_rate=0.0)["learning_rate"] == 0
    assert session.configure(learning_rate=np.nan)["learning_rate"] == 0


def test_a_count_below_the_rows_is_kept(session, artifact):
    session.train(x=X[:4], y=Y[:4], count=np.int32([2]))
    with Session(artifact) as other:
        other.train(x=X[:2], y=Y[:2])
        expected = other.state()["kernel"]
    # The same two rows; the other two add products with exact zeros.
    np.testing.assert_allclose(session.state()["kernel"], expected, atol=1e-7)


def test_values_that_are_not_rows_or_numbers_are_refused(session):
    with pytest.raises(ContractError, match="x needs rows"):
        session.infer(np.float32(3))
    with pytest.raises(ContractError, match="rows differ"):
        session.evaluate(X, Y[:4])
    with pytest.raises(ContractError, match="learning_rate='fast' is no number"):
        session.configure(learning_rate="fast")


def test_closed_session_says_so(artifact):
    for name in runtimes.RUNTIMES:
        session = Session(artifact, name)
        session.close()
        session.close()
        for call in (session.state, session.reset, lambda s=session: s.infer(X)):
            with pytest.raises(ContractError, match="session is closed"):
                call()


def test_without_private_parts_the_public_runner_gives_the_same(artifact, monkeypatch):
    class Public:
        """LiteRT's Interpreter with nothing but what its documentation has."""

        def __init__(self, **options):
            self.get_signature_runner = Interpreter(**options).get_signature_runner

    with Session(artifact) as session:
        expected = everything(session)
    monkeypatch.setattr(runtimes, "Interpreter", Public)
    with Session(artifact) as session:
        found = everything(session)
    assert all((expected[name] == found[name]).all() for name in expected)


def everything(session: Session) -> dict[str, np.ndarray]:
    """Uses every signature, twice where it matters; returns what came of it."""
    session.configure(learning_rate=0.25)
    for start in (0, 4):
        session.train(x=X[start : start + 4], y=Y[start : start + 4])
    session.run("remember", photo=np.arange(5, dtype=np.uint8))
    state = session.state(include_buffers=True)
    session.load_state(state)
    return {**state, "probabilities": session.infer(X)}
