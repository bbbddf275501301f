"""One suite over every method and net: what the contract promises, on both runtimes.

Export itself has compared each of these artifacts with Keras, step by step.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.nets import BATCH, CASES, CLASSES
from tflite_odl import contract
from tflite_odl.errors import ContractError, RunError
from tflite_odl.host import goldens, loop
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
    rng = np.random.default_rng(seed)
    train = session.manifest.signature(contract.TRAIN)
    draw = {
        "uint8": lambda shape: rng.integers(0, 256, shape),
        "float32": lambda shape: rng.normal(size=shape),
        "int32": lambda shape: rng.integers(0, CLASSES, shape),
    }
    inputs = {
        spec.name: draw[spec.dtype](spec.shape).astype(spec.dtype)
        for spec in train.inputs
        if spec.role in ("feature", "label")
    }
    if "y" in inputs and inputs["y"].dtype == np.float32:
        inputs["y"] = np.float32(inputs["y"] > 0)
    return inputs


def labelled(session: Session, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns the same with labels, for evaluate; what it goes by is enrolled."""
    inputs = batch(session, seed)
    if "y" not in inputs:
        inputs["y"] = np.arange(BATCH, dtype=np.int32) % CLASSES
        count = np.array([BATCH], np.int32)
        session.run("enroll", **inputs, count=count)
    return inputs


def features(session: Session, inputs: dict) -> dict[str, np.ndarray]:
    return {name: inputs[name] for name in session.features}


def spoil(inputs: dict, first: int = 0) -> int:
    """Makes rows bad, in place, by their labels if there are any; returns how many
    will be rejected. Bytes without a label are never bad: `count` leaves them out."""
    if "y" in inputs:
        y = inputs["y"][first:]
        y[:] = CLASSES if y.dtype == np.int32 else np.inf
    elif inputs["x"].dtype == np.float32:
        inputs["x"][first:, 0] = np.nan
    else:
        inputs["count"] = np.array([first], np.int32)
        return 0
    return BATCH - first


def same(a: dict, b: dict) -> bool:
    return all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_manifest_describes_the_artifact(artifact):
    manifest = Artifact.open(artifact).manifest
    names = [name for name in manifest.signatures if name in contract.SIGNATURES]
    assert tuple(names) == contract.SIGNATURES
    own = {"contrastive": {"enroll", "classify", "refresh"}}
    assert manifest.signatures.keys() - names == own.get(manifest.method["name"], set())
    assert all(spec.role for spec in manifest.state)
    names = {spec.name for spec in manifest.state}
    assert set(manifest.signature(contract.RESTORE).input_names) == names
    assert not [op for ops in manifest.ops.values() for op in ops if "Flex" in op]
    alone = Artifact.open(artifact / contract.MODEL_FILE).manifest
    assert alone.artifact_id == manifest.artifact_id
    assert alone.signatures == manifest.signatures


def test_learns_a_batch_by_heart(session):
    inputs = batch(session)
    if session.manifest.method["name"] == "contrastive":
        # Views are drawn anew in each step, so the means of many steps are compared;
        # the first steps, of fewer rows, have another loss.
        losses = [float(session.train(**inputs)["loss"][0]) for _ in range(80)]
        assert np.isfinite(losses).all() and session.step == 80
        if session.manifest.method["config"]["minibatch"] == "buffer_and_new":
            # Else the mini-batch soon is copies of one item, which nothing tells apart.
            assert np.mean(losses[-20:]) < 0.98 * np.mean(losses[4:24])
        return
    if session.manifest.method["name"] == "distill":  # else a teacher moves the loss
        session.configure(label_weight=1.0, teacher_weight=0.0, entropy_weight=0.0)
    losses = [float(session.train(**inputs)["loss"][0]) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.98 * losses[0]
    assert session.step == 30


def test_runtimes_agree_over_steps_and_signatures(artifact):
    with Session(artifact, "interpreter") as a, Session(artifact, "compiled") as b:
        for step in range(4):
            inputs = batch(a, step)
            for one, other in zip(
                (a.train(**inputs), {"p": a.infer(**features(a, inputs))}),
                (b.train(**inputs), {"p": b.infer(**features(b, inputs))}),
            ):
                for name, value in one.items():
                    # The same kernels in the same order: 1e-5 is the contract's bound.
                    np.testing.assert_allclose(value, other[name], rtol=1e-5, atol=1e-6)


def test_infer_takes_any_number_of_rows(session):
    x = {n: value[:5] for n, value in features(session, batch(session)).items()}
    found = session.infer(**x)
    (output,) = session.manifest.signature(contract.INFER).outputs
    assert found.shape == (5, *output.shape[1:])
    if session.manifest.method["config"].get("loss") == "sparse_cross_entropy":
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    if output.name == "embedding":
        np.testing.assert_allclose(np.square(found).sum(1), 1, rtol=1e-5)
    none = session.infer(**{name: value[:0] for name, value in x.items()})
    assert none.shape == (0, *output.shape[1:])


def test_evaluate_sums_over_calls(session):
    inputs = labelled(session)
    once = session.evaluate(**inputs)
    twice = session.evaluate(**{n: np.repeat(v, 2, 0) for n, v in inputs.items()})
    assert twice["count"] == 2 * once["count"] and once["count"] >= BATCH
    for name in once.keys() - {"count", "correct"}:
        assert twice[name] == pytest.approx(once[name], rel=1e-6)  # float32 sums


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
    rejected = spoil(bad, rows)
    metrics = session.train(**bad)
    assert metrics["rejected_rows"][0] == rejected
    assert same(padded, session.state())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_pixels_that_are_not_numbers_change_nothing(session, value):
    inputs = batch(session)
    if inputs["x"].dtype != np.float32:
        spoil(inputs)  # an integer is always a number: bad labels instead
    else:
        inputs["x"][:] = value
    before = session.state(include_buffers=True)
    for _ in range(2):
        metrics = session.train(**inputs)
        assert metrics["accepted"][0] == 0 and metrics["step"][0] == 0
    assert same(before, session.state(include_buffers=True))
    session.train(**batch(session, 1))
    assert session.step == 1


def test_weights_are_one_if_left_out(session):
    if "weight" not in session.manifest.signature(contract.TRAIN).input_names:
        with pytest.raises(ContractError, match=r"unknown \['weight'\]"):
            session.train(**batch(session), weight=np.ones(BATCH, np.float32))
        return
    inputs, shipped = batch(session), session.state()
    session.train(**inputs)
    plain = session.state()
    session.load_state(shipped)
    session.train(**inputs, weight=np.ones(BATCH, np.float32))
    assert same(plain, session.state())
    session.load_state(shipped)
    weight = np.float32([1, 2, 3, -1, np.nan, np.inf])
    assert session.train(**inputs, weight=weight)["rejected_rows"][0] == 3


def test_unlabelled_rows_alone_change_nothing(session):
    """But where a teacher says what they are."""
    inputs = batch(session)
    if "y" not in inputs:  # no row has a label
        assert session.train(**inputs)["accepted"][0] == 1
        return
    of_ints = inputs["y"].dtype == np.int32
    inputs["y"][:] = contract.UNLABELLED if of_ints else np.nan
    before = session.state(include_buffers=True)
    assert session.train(**inputs)["rejected_rows"][0] == 0
    taught = session.manifest.method["name"] == "distill"
    assert same(before, session.state(include_buffers=True)) != taught
    assert session.step == taught


@pytest.mark.parametrize("value", [1e10, 3e19, -3e38])
def test_a_row_with_a_value_beyond_the_limit_is_left_out(session, value):
    inputs = batch(session)
    floats = [n for n in session.features if inputs[n].dtype == np.float32]
    for name in floats[:1]:
        inputs[name][0].flat[0] = value
    # No value of an integer input is beyond it.
    assert session.train(**inputs)["rejected_rows"] == len(floats[:1])
    state = session.state()
    assert all(np.abs(v).max() < 1e6 for v in state.values() if v.dtype.kind == "f")


def test_a_hyperparameter_out_of_its_range_is_kept_as_it_is(session):
    configure = session.manifest.signature(contract.CONFIGURE)
    before = session.configure()
    for spec in configure.inputs:
        assert spec.low <= before[spec.name] <= spec.high
        for value in (spec.high * 1.01 + 1e-3, spec.low - 1e-3, np.inf, -np.inf):
            inputs = {n: np.full(1, np.nan, np.float32) for n in before}
            inputs[spec.name][:] = value
            outputs = session.run(contract.CONFIGURE, **inputs)
            assert {n: float(v[0]) for n, v in outputs.items()} == before


def test_a_step_that_would_leave_a_state_that_is_not_finite_is_rejected(build):
    """Each step of a decay beyond all reason makes the weights a million times larger,
    while loss and gradient stay finite until one is infinite."""
    with Session(build("finetune-adamw-binary-weights")) as session:
        session.configure(learning_rate=1e3, weight_decay=1e3)
        inputs = batch(session)
        inputs["x"] *= 0
        accepted = [int(session.train(**inputs)["accepted"][0]) for _ in range(10)]
        state = session.state()
    assert accepted[0] == 1 and accepted[-1] == 0
    assert all(np.isfinite(v).all() for v in state.values() if v.dtype.kind == "f")


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
        (lambda i: {**i, "y": i["y"] + np.float64(0.1)}, "needs y .*, got"),
        (lambda i: {n: v for n, v in i.items() if n != "x"}, r"missing \[.*'x'"),
        (lambda i: {**i, "z": i["x"]}, r"unknown \['z'\]"),
        (lambda i: {**i, "y": i["y"][:3]}, "rows differ"),
        (lambda i: {n: np.repeat(v, 2, 0) for n, v in i.items()}, "needs x"),
    ],
)
def test_bad_input_is_refused_before_the_runtime_is_touched(session, change, message):
    before = session.state(include_buffers=True)
    inputs = batch(session)
    if "y" not in inputs and message in ("needs y .*, got", "rows differ"):
        return  # no label to be wrong
    with pytest.raises(ContractError, match=message):
        session.train(**change(inputs))
    assert same(before, session.state(include_buffers=True)) and session.position == 0


def test_loop_trains_on_several_inputs(build, tmp_path):
    def batches(start):
        while True:
            inputs = batch(session, start)
            y = inputs.pop("y")
            yield inputs, y
            start += 1

    folder = build("finetune-two-inputs-regression")
    with Session(folder, checkpoint_dir=tmp_path) as session:
        summary = loop.run(session, batches, 3, tmp_path)
    assert summary.steps == 3 and summary.accuracy is None
    assert 0 < summary.absolute_error < 10 and summary.loss > 0


def misfits(session: Session) -> list[str]:
    state = session.state(include_buffers=True)
    return [p for s in session.manifest.state if (p := s.misfit(state[s.name]))]


def test_no_sequence_of_calls_makes_the_state_absurd(session):
    """Settings at the ends of their ranges, values of every size, states kept and taken
    back: whatever is accepted, every number stays finite and in its range."""
    rng, kept = np.random.default_rng(8), session.state(include_buffers=True)
    sizes = (0.0, 1e-45, 1.0, 1e4, 1e6, 1e10, 1e19, 3e38, np.inf, np.nan)
    settings = session.manifest.signature(contract.CONFIGURE).inputs
    for number in range(40):
        kind, inputs = rng.integers(8), batch(session, number)
        if kind == 0:
            spec = settings[rng.integers(len(settings))]
            value = (spec.low, spec.high, np.nan)[rng.integers(3)]
            session.configure(**{spec.name: value})
        elif kind == 1:
            session.load_state(kept)
        elif kind == 2:
            kept = session.state(include_buffers=True)
        else:
            value = np.float32(sizes[rng.integers(len(sizes))])
            floats = [n for n in session.features if inputs[n].dtype == np.float32]
            for name in floats:
                rows = slice(None) if kind == 3 else slice(0, 1)
                inputs[name][rows] = value
            if kind == 4 and "y" in inputs:
                bad = CLASSES if inputs["y"].dtype == np.int32 else np.inf
                inputs["y"][:3] = bad
            session.train(**inputs)
        assert not misfits(session)


def test_a_forged_state_is_refused_before_the_graph_sees_it(session):
    """Counters below zero, an index beyond its table, weights that are no numbers."""
    good = session.state(include_buffers=True)
    ranges = 0
    for spec in session.manifest.state:
        for end, step in ((spec.low, -1), (spec.high, 1)):
            if end is None or spec.dtype == "float32":
                continue
            ranges += 1
            forged = {**good, spec.name: np.full_like(good[spec.name], end + step)}
            with pytest.raises(ContractError, match=f"'{spec.name}' has values out"):
                session.load_state(forged)
        if spec.dtype == "float32":
            forged = {**good, spec.name: np.full_like(good[spec.name], np.inf)}
            with pytest.raises(ContractError, match=f"'{spec.name}' has values that"):
                session.load_state(forged)
    assert ranges and same(good, session.state(include_buffers=True))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_graph_that_fails_in_mid_step_locks_the_session(build, runtime):
    """An index that only a runtime without our host's checks would take."""
    with Session(build("skip-shared"), runtime) as session:
        state = session.state(include_buffers=True)
        index = {"threshold_interval": np.int32([1000])}
        session._runtime.run(contract.RESTORE, {**state, **index})
        with pytest.raises(RunError, match="failed in 'train'"):
            session.train(**batch(session))
        for call in (session.state, lambda: session.infer(batch(session)["x"])):
            with pytest.raises(RunError, match="reset this session"):
                call()
        assert session.load_state(state) == 0
        assert same(state, session.state(include_buffers=True))
        assert session.train(**batch(session))["accepted"][0] == 1


def test_goldens_hold(artifact):
    opened = Artifact.open(artifact)
    for kind in RUNTIMES.values():
        with kind(opened.model, opened.manifest) as runtime:
            results = goldens.check(runtime, opened)
        assert len(results) > 10
        assert all(result.passed for result in results), results
