"""What the method is as a whole: its step, its buffer at work, few labels, privacy."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests import nets
from tests.nets import CONTRASTIVE, conv_net, mlp
from tflite_odl.builtin import rows
from tflite_odl.builtin.losses.nt_xent import normalized, nt_xent
from tflite_odl.builtin.lowering import Rows
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.errors import CheckpointError, ContractError, ModelError
from tflite_odl.exporter.build import build as build_model
from tflite_odl.exporter.partitions import partitions
from tflite_odl.host import journal, loop
from tflite_odl.host.records import RECORDS
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session
from tflite_odl.methods import Contrastive
from tflite_odl.methods.contrastive import policies
from tflite_odl.methods.step import settle
from tflite_odl.signatures import TrainableModule

PIXELS = Preprocessing("uint8", 1 / 127.5, -1.0)


def contrastive(kind=Contrastive, **options):
    given = {"preprocessing": PIXELS, **CONTRASTIVE, **options}
    return kind(conv_net((6, 6, 3)), **given)


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 6, 6, 3)).astype(np.uint8)


class Plain(Contrastive):
    """SimCLR on a stream and nothing else: two views, the loss, a step."""

    def train(self, state, inputs):
        counted = self.network.counted(inputs)
        mask, raw = tf.cast(counted.good, tf.float32), tf.cast(inputs["x"], tf.float32)
        count = raw.shape[0]
        views = [view(state["random"], raw) for view in self.siamese.views]
        x = [self.features[0].preprocessing(tf.concat(views, 0))]
        record = self.network.forward(state, x, Rows.of(tf.concat([mask, mask], 0)))
        first = normalized(record.output[:count])
        second = normalized(record.output[count:])
        found = nt_xent(first.z, second.z, mask, state["tau"])
        du = tf.concat([first.backward(found.dz1), second.backward(found.dz2)], 0)
        gradients = record.backward(du)
        step = state["step"]
        learned = self.learner.learn(state, gradients, step, step)
        good = tf.reduce_sum(mask, keepdims=True)
        arrived = state["arrived"] + tf.cast(good, tf.int32)
        changes = learned.changes({**record.moved, "arrived": arrived})
        outputs = {"loss": found.loss, "rejected_rows": rows.rejected(*_flags(counted))}
        return settle(state, outputs, changes, rows.finite(learned.norm))


def _flags(counted):
    return counted.real, counted.good


def test_without_a_buffer_it_is_plain_simclr_bit_for_bit():
    states = []
    for method in (contrastive(buffer=0), contrastive(Plain, buffer=0)):
        model, manifest = build_model(method, 6, 2)
        with RUNTIMES["interpreter"](model, manifest) as runtime:
            for step in range(4):
                count = np.array([5 if step == 2 else 6], np.int32)
                runtime.run("train", {"x": images(6, step), "count": count})
            states.append(runtime.save())
    assert int(states[0]["step"][0]) == 4
    for name, value in states[0].items():
        assert value.tobytes() == states[1][name].tobytes(), name


def forward_ops(method, batch):
    graph = TrainableModule(method, batch).functions["train"].graph
    return [op.type for op in graph.get_operations() if op.name.startswith("forward/")]


def test_scores_take_no_forward_pass_but_those_of_flipped_views():
    """A mini-batch of n + r rows passes forward as often as n + r rows without a
    buffer."""
    plain = forward_ops(contrastive(buffer=0), 12)
    for policy in ("top_score", "min_red", "fifo"):
        assert forward_ops(contrastive(buffer_policy=policy), 6) == plain
    assert len(forward_ops(contrastive(score="flip"), 6)) > 1.3 * len(plain)


def test_forward_and_backward_are_one_partition(build):
    """What views are made with comes before the draw, in a partition of its own."""
    model = (build("contrastive") / "model.tflite").read_bytes()
    found = partitions(model, ["train"])["train"]
    assert not {"CONV_2D", "BATCH_MATMUL"} & found.outside.keys()
    assert not {"SUM", "MUL"} & found.breaks.keys()  # outside are integers'
    assert sum(found.partitions[:2]) > 0.97 * sum(found.partitions)
    assert found.partitions[0] > 2 * found.partitions[1]


def test_min_red_writes_no_table_of_all_pairs(build):
    """A diagonal of 272 x 272 numbers would be 296 kB; here 14 x 14, of any value."""
    model = (build("contrastive-sensors-min-red") / "model.tflite").read_bytes()
    gap = bytes(4 * 14)
    for value in (1.0, policies.OUT):
        number = np.float32(value).tobytes()
        assert number + gap + number + gap + number not in model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"buffer_policy": "lru"}, "buffer_policy 'lru' is not one of"),
        ({"augment": "none"}, "needs views that differ"),
        ({"max_uses": 1}, "would let no item stay"),
        ({"replay": 9}, "replay 9 of a buffer of 8"),
        ({"buffer": 0, "replay": 2}, "without a buffer nothing is drawn"),
        ({"buffer_policy": "fifo", "score": "flip"}, "nothing goes by the score"),
        ({"rescore_every": 5}, "rescore_every is for score='flip'"),
        ({"buffer_policy": "reservoir", "draw_by_score": True}, "keeps no scores"),
        ({"tau": 0.001}, "tau is 0.001"),
        ({"rho": 1.5}, "rho is 1.5"),
        ({"neighbours": 7}, "7 neighbours of 6"),
        ({"preprocessing": Preprocessing()}, "need their lowest and highest value"),
        ({"augment": "sensors"}, r"needs inputs \[T, C\]"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        contrastive(**options)


def test_models_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match=r"no augmentation fits an input \[4\]"):
        Contrastive(mlp())
    with pytest.raises(ModelError, match="takes one input, the model has 2"):
        Contrastive(nets.two_inputs())


@pytest.fixture
def signs(build):
    with Session(build("contrastive")) as session:
        yield session


@pytest.fixture
def windows(build):
    with Session(build("contrastive-sensors-min-red")) as session:
        yield session


def finite(state):
    return all(np.isfinite(v).all() for v in state.values() if v.dtype.kind == "f")


def test_whatever_a_stream_brings_nothing_breaks_and_nothing_is_lost(signs):
    """Short segments, one item alone, constant and repeated frames, black ones."""
    frame = images(1)
    segments = [
        frame,
        images(2, 1),
        np.repeat(frame, 6, 0),
        np.full((6, 6, 6, 3), 128, np.uint8),
        np.zeros((6, 6, 6, 3), np.uint8),
        *(images(6, seed) for seed in range(4)),
    ]
    arrived = 0
    for segment in segments:
        metrics = signs.train(x=segment)
        arrived += len(segment)
        assert metrics["accepted"][0] == 1 and np.isfinite(metrics["loss"][0])
        state = signs.state(include_buffers=True)
        assert state["arrived"][0] == arrived and finite(state)
        assert metrics["buffer_filled"][0] == min(arrived, 8)
    kept = state["buffer_arrivals"]
    assert len(set(kept.tolist())) == 8 and kept.min() >= 0 and kept.max() < arrived
    shown = np.concatenate(segments)
    for slot, number in enumerate(kept):
        np.testing.assert_array_equal(state["buffer_items"][slot], shown[number])


def test_a_segment_may_be_one_row():
    """The first has nothing to differ from; each later one differs from a drawn one."""
    model, manifest = build_model(contrastive(), 1, 1)
    with RUNTIMES["interpreter"](model, manifest) as runtime:
        for step in range(10):
            given = {"x": images(1, step), "count": np.array([1], np.int32)}
            metrics = runtime.run("train", given)
            assert metrics["accepted"][0] == 1
            assert metrics["buffer_filled"][0] == min(step + 1, 8)
            # A logarithm of one in float32, or about that of three.
            assert (abs(metrics["loss"][0]) < 1e-6) == (step == 0)
            assert (metrics["gradient_norm"][0] == 0) == (step == 0)
        assert finite(runtime.save())


def test_no_bad_frame_comes_into_the_buffer(windows):
    rng = np.random.default_rng(0)
    for step in range(6):
        x = rng.normal(size=(6, 16, 3)).astype(np.float32)
        bad = rng.permutation(6)[: step % 4]
        x[bad, 0] = [np.nan, np.inf, 3e38][step % 3]
        metrics = windows.train(x=x)
        assert metrics["rejected_rows"][0] == len(bad)
        assert finite(windows.state(include_buffers=True))
        items = windows.state(include_buffers=True)["buffer_items"]
        assert np.abs(items).max() < 10
    arrived = windows.state()["arrived"][0]
    assert arrived == 36 - sum(step % 4 for step in range(6))


def test_every_item_is_used_when_it_comes_and_none_more_than_allowed(windows):
    rng = np.random.default_rng(1)
    for _ in range(8):
        windows.train(x=rng.normal(size=(6, 16, 3)).astype(np.float32))
        state = windows.state(include_buffers=True)
        uses = state["buffer_uses"][state["buffer_flags"] > 0]
        assert uses.min() >= 1 and uses.max() < 3  # max_uses: at 3 an item leaves


def test_few_labels_tell_classes_apart(signs):
    dark, bright = (np.full((3, 6, 6, 3), v, np.uint8) for v in (20, 230))
    label, similarity = signs.classify(images(3))
    assert label.tolist() == [-1] * 3 and similarity.tolist() == [0] * 3
    assert signs.evaluate(images(3), np.zeros(3, np.int32))["count"] == 0
    assert signs.enroll(x=dark, y=np.array([2, 2, 2])) == 3
    assert signs.enroll(x=bright, y=np.array([0, 0, 0])) == 6
    label, similarity = signs.classify(np.concatenate([bright, dark]))
    assert label.tolist() == [0] * 3 + [2] * 3
    np.testing.assert_allclose(similarity, 1, rtol=1e-5)  # float32 lengths
    found = signs.evaluate(bright, np.array([0, 2, -1]))
    assert (found["correct"], found["count"], found["accuracy"]) == (1, 2, 0.5)
    # Full: what comes takes the place of the oldest of the fullest class.
    assert signs.enroll(x=images(2), y=np.array([1, 1])) == 6
    labels = signs.state(include_buffers=True)["enrolled_labels"]
    assert sorted(labels.tolist()) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(ContractError, match="needs y"):
        signs.enroll(x=dark, y=np.array([0.5, 1, 1]))


def test_what_is_enrolled_is_embedded_anew_after_a_training(signs):
    x = images(4, 7)
    signs.enroll(x=x, y=np.arange(4) % 3)
    for step in range(3):
        signs.train(x=images(6, step))
    stale = signs.state(include_buffers=True)["enrolled_embeddings"]
    _, similarity = signs.classify(x)
    fresh = signs.state(include_buffers=True)["enrolled_embeddings"]
    assert np.abs(stale - fresh).max() > 1e-4
    # The same rows in another batch size: float32 sums.
    np.testing.assert_allclose(fresh[:4], signs.infer(x), atol=1e-5)
    assert similarity[1:3] == pytest.approx(1, abs=1e-5)


def test_a_buffer_never_leaves_unless_it_is_asked_for(signs, tmp_path):
    buffers = {spec.name for spec in signs.manifest.state if spec.role == "buffer"}
    assert {"buffer_items", "enrolled_items", "enrolled_embeddings"} <= buffers
    signs.checkpoint_dir = tmp_path

    def batches(start):
        while True:
            yield images(6, start), np.zeros(6, np.int32)
            start += 1

    loop.run(signs, batches, 4, tmp_path)
    assert buffers.isdisjoint(signs.state())
    metrics = signs.train(x=images(6))
    assert all(value.size == 1 for value in metrics.values())
    for record in journal.read(tmp_path / RECORDS):
        assert buffers.isdisjoint(record)
        assert not [v for v in record.values() if isinstance(v, (list, dict, str))]


def test_a_run_that_is_stopped_goes_on_bit_for_bit(build, tmp_path):
    """Buffer, scores and random state included, wherever it was stopped."""

    def batches(start):
        while True:
            yield images(6, start), np.zeros(6, np.int32)
            start += 1

    def run(folder, stops):
        for stop in stops:
            with Session(build("contrastive"), checkpoint_dir=folder) as session:
                session.restore_checkpoint()
                loop.run(session, batches, stop, folder, checkpoint_every=100)
                state = session.state(include_buffers=True)
        return state

    whole = run(tmp_path / "whole", [11])
    parts = run(tmp_path / "parts", [2, 3, 7, 11])
    assert all(whole[name].tobytes() == parts[name].tobytes() for name in whole)


def test_what_was_learned_is_adopted_where_it_fits(signs, build, tmp_path):
    signs.checkpoint_dir = tmp_path
    signs.train(x=images(6))
    path = signs.save_checkpoint()
    learned = signs.state()
    with Session(build("finetune-gated")) as other:
        before = other.state()
        with pytest.raises(CheckpointError, match="no weight of the checkpoint"):
            other.adopt(pathlib.Path(tmp_path))
        assert all((before[n] == v).all() for n, v in other.state().items())
    with Session(build("finetune-conv3")) as other:
        found = other.adopt(path)
        assert found.kept == ("head_kernel", "head_bias") and not found.differing
        state = other.state()
        assert {"conv_kernel", "norm_moving_mean"} <= {*found.taken}
        for name in found.taken:
            np.testing.assert_array_equal(state[name], learned[name])
