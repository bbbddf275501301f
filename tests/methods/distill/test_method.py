"""What a step of `distill` changes and what not, and what its proof reaches."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests import nets
from tests.nets import BATCH, CLASSES
from tflite_odl.errors import ModelError
from tflite_odl.exporter.build import build
from tflite_odl.methods import Distill, Finetune
from tflite_odl.methods.distill.config import DistillConfig
from tflite_odl.reading.load import load
from tflite_odl.signatures import TrainableModule


def middle(shape=(4,), classes=CLASSES) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(6)
    return tf_keras.Sequential(
        [
            kl.Input(shape),
            kl.Dense(16, use_bias=False, name="first"),
            kl.BatchNormalization(name="norm"),
            kl.Dense(16, name="middle"),
            kl.ReLU(name="relu"),
            kl.Dense(classes, name="head"),
        ]
    )


class Running:
    """A method's train signature, run eagerly from a state of its own."""

    def __init__(self, method: Distill, rows: int = BATCH) -> None:
        self.rows = rows
        self.module = TrainableModule(method, rows, 1)

    def train(self, x, y) -> dict[str, np.ndarray]:
        inputs = {"x": x, "y": y, "count": np.array([self.rows], np.int32)}
        names = self.module.interface["train"].input_names
        tensors = {name: tf.constant(inputs[name]) for name in names}
        found = self.module.functions["train"](**tensors)
        return {name: value.numpy() for name, value in found.items()}

    def set(self, **values) -> None:
        for name, value in values.items():
            self.module.state[name].assign(value)

    def state(self) -> dict[str, bytes]:
        return {n: v.numpy().tobytes() for n, v in self.module.state.items()}


def batch(seed: int = 0, rows: int = BATCH):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    return x, (np.arange(rows) % CLASSES).astype(np.int32)


def changed(before, after, prefix: str) -> set[str]:
    return {n for n in before if n.startswith(prefix) and before[n] != after[n]}


TEACHER = ("teacher_first", "teacher_middle", "teacher_head", "teacher_updates")


@pytest.mark.parametrize("rule", [True, False])
def test_a_teacher_far_ahead_pauses_unless_the_rule_is_off(rule):
    running = Running(Distill(middle(), optimizer="momentum", gap_rule=rule))
    x, y = batch()
    y[:] = 0
    zero, sure = np.zeros((16, CLASSES)), np.float32([0, 4, 0])
    running.set(head_kernel=zero, head_bias=sure)
    running.set(teacher_head_kernel=zero, teacher_head_bias=-sure)
    before = running.state()
    outputs = running.train(x, y)
    after = running.state()
    assert outputs["gap_mode"] == rule and outputs["accepted"] == 1
    assert bool(changed(before, after, TEACHER)) != rule
    assert changed(before, after, "head_") and before["step"] != after["step"]


def test_of_rows_without_labels_only_the_student_learns():
    running = Running(Distill(middle(), optimizer="adam"))
    x, y = batch()
    # The twins begin alike: the teacher is made another one.
    running.set(teacher_head_kernel=np.random.default_rng(1).normal(size=(16, 3)))
    before = running.state()
    outputs = running.train(x, np.full_like(y, -1))
    after = running.state()
    assert outputs["teacher_loss"] == 0 and outputs["gap_mode"] == 1
    assert not changed(before, after, TEACHER)
    assert changed(before, after, ("first_kernel", "middle_kernel", "head_kernel"))
    assert outputs["step"] == 1 and running.train(x, y)["gap_mode"] in (0, 1)


def test_a_frozen_teacher_is_constant_and_has_peaked():
    teacher = middle()
    method = Distill(middle(), teacher="frozen", teacher_model=teacher)
    assert not [n for n in method.state() if n.startswith(TEACHER)]
    running = Running(method)
    x, y = batch()
    outputs = running.train(x, y)
    assert set(outputs).isdisjoint({"teacher_loss", "gap_mode"})
    p = tf.nn.softmax(teacher(x)).numpy()
    entropy = -(p * np.log(p)).sum(1).mean() / np.log(CLASSES)
    np.testing.assert_allclose(outputs["teacher_entropy"], [entropy], 1e-5)
    assert running.module.state["peaked"].numpy() == 1


def test_a_step_with_a_teacher_that_is_not_finite_changes_nothing():
    running = Running(Distill(middle()))
    running.set(teacher_head_bias=np.float32([np.inf, 0, 0]))
    before = running.state()
    assert running.train(*batch())["accepted"] == 0
    assert running.state() == before


def test_a_binary_student_learns_from_unlabelled_rows_what_the_teacher_knows():
    """Three clusters, the teacher taught by labels, the student by the teacher."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 2, (CLASSES, 4))
    y = (np.arange(960) % CLASSES).astype(np.int32)
    x = (centres[y] + rng.normal(0, 0.5, (960, 4))).astype(np.float32)
    teacher = middle()
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher.compile("adam", loss)
    teacher.fit(x, y, 32, epochs=8, verbose=0)
    student = middle()
    student.layers[-1].kernel.assign(-teacher.layers[-1].kernel)
    method = Distill(
        student,
        teacher="frozen",
        teacher_model=teacher,
        optimizer="adam",
        learning_rate=0.01,
    )
    running, none = Running(method, 32), np.full(32, -1, np.int32)
    names = running.module.interface["infer"].output_names

    def accuracy() -> float:
        infer = running.module.functions["infer"]
        found = [infer(x=tf.constant(x[i : i + 1]))[names[0]] for i in range(120)]
        return float((np.concatenate(found).argmax(1) == y[:120]).mean())

    before = accuracy()
    for step in range(90):
        rows = (np.arange(32) + 32 * step) % 960
        running.train(x[rows], none)
    assert (teacher.predict(x, verbose=0).argmax(1) == y).mean() > 0.95
    assert before < 0.7 and accuracy() > 0.9


def test_trials_reach_every_mode():
    method = Distill(nets.binary_net(), learning_rate=0.05)
    proof, rows = method.proof(), 6
    reference = proof.reference("float64")
    state = {name: tensor.value for name, tensor in method.state().items()}
    seen = []
    for number, trial in enumerate(proof.trials(rows)):
        given = proof.draw(trial, number, rows, 0, 0)
        start = {**state, **trial.changes(state)}
        answer = reference.call("train", start, given)
        state = dict(answer.state) if trial.carried else state
        labels = (given["y"][: given["count"][0]] >= 0).sum()
        seen.append({n: float(v[0]) for n, v in answer.outputs.items()})
        seen[-1] |= {"labels": labels, "peaked": float(answer.state["peaked"][0])}
        seen[-1]["narrow"] = _beyond(method, start)
    before = [one for one in seen if not one["peaked"]]
    past = [one for one in seen if one["peaked"]]
    assert {one["temperature"] for one in before} == {4.0}
    assert min(one["temperature"] for one in past) < 3.9
    assert all(0 < one["hard_weight"] < 1 for one in past[:1])
    paused = [one["gap_mode"] for one in seen if one["labels"]]
    assert {0.0, 1.0} <= set(paused)
    assert 0 in {one["labels"] for one in seen}
    assert max(one["narrow"] for one in seen) > 0.1


def _beyond(method, state) -> float:
    """Returns the share of a binary kernel's weights that are beyond their bounds."""
    return float((np.abs(state["conv_kernel"]) > state["conv_kernel_clip"]).mean())


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (lambda: middle((5,)), r"the student reads \[.*4.*\], the teacher \[.*5"),
        (lambda: middle(classes=4), r"student has 3 classes, .*output is \[4\]"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(teacher, message):
    with pytest.raises(ModelError, match=message):
        Distill(middle(), teacher="frozen", teacher_model=teacher())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": "frozen"}, "needs a teacher_model"),
        ({"teacher": "nowhere.keras"}, "no model at nowhere.keras"),
        ({"optimizer": "adamw"}, "adamw. would decay the trained bounds"),
        ({"use_labels": False}, "an online teacher learns from labels"),
        ({"loss": "mean_squared_error"}, "distill has no .*loss"),
        ({"min_temperature": 5.0}, "min_temperature 5.0 is above max_temperature"),
        ({"smoothing": 1.0}, "smoothing is 1.0, needs 0 to"),
        ({"drive": "hope"}, "drive 'hope' is not one of"),
        ({"temperature": "cosine"}, "needs cosine_steps"),
        ({"student": "binary", "trainable": "nothing"}, "matches no layer"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        Distill(middle(), **options)


def test_a_teacher_of_a_file_is_loaded(tmp_path):
    path = str(tmp_path / "teacher.keras")
    middle().save(path)
    method = Distill(middle(), teacher=path)
    assert method.teacher_learner is None and not method.config.online
    assert method.config.teacher == "teacher.keras"
    assert DistillConfig().online


def test_a_saved_model_teaches_its_own_student(tmp_path):
    """As it was saved: compiled, and ending in softmax, as the student's twin does."""
    model = middle()
    whole = tf_keras.Model(model.inputs, kl.Softmax(name="ending")(model.output))
    whole.compile(tf_keras.optimizers.SGD(0.3), "sparse_categorical_crossentropy")
    path = str(tmp_path / "small.keras")
    whole.save(path)
    method = Distill(load(path), student="middle:w1a1,head:w8a32")
    theirs, ours = method.teacher.learning(), method.network.learning()
    assert len(theirs) == 7 and not any("clip" in name for name in theirs)
    for name, value in theirs.items():
        np.testing.assert_array_equal(value, ours[name.removeprefix("teacher_")])
    line, warning = method.notes[-2:]
    assert line.startswith("student w1a1: ") and line.count("; ") == 2
    assert "middle; w8a32: " in line and line.endswith("first")
    assert warning.startswith("sgd moves the weights behind signs and steps slowly")


def test_fresh_students_learn_by_adam():
    """Which is said; other methods' default stays, and so does what is told."""
    method = Distill(middle())
    assert method.config.optimizer == "adam"
    assert "optimizer adam: the default; its state starts fresh" in method.notes
    assert not any("slowly" in note for note in method.notes)
    assert Distill(middle(), optimizer="sgd").config.optimizer == "sgd"
    loss = "sparse_cross_entropy"
    assert Finetune(middle(), loss=loss).config.optimizer == "sgd"


@pytest.mark.parametrize("temperature", ["fixed", "cosine", "learnable"])
def test_each_temperature_converts(temperature):
    """No output is a constant, which one runtime returns as garbage."""
    method = Distill(middle(), temperature=temperature, cosine_steps=9)
    assert build(method, BATCH, 1)[1].signature("train").outputs
