"""What the gate asks of an artifact beside the faults it must find."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tf_keras

from tests import nets
from tests.proof.nets import NETS
from tflite_odl.errors import ExportError
from tflite_odl.exporter.export import export
from tflite_odl.exporter.layers import converted
from tflite_odl.methods import Finetune, supervised
from tflite_odl.proof import layers
from tflite_odl.proof.cache import Cache
from tflite_odl.proof.candidate import ParityError
from tflite_odl.proof.faults import FAULTS
from tflite_odl.proof.limits import Limits
from tflite_odl.proof.proof import PADDED, SPOILED, Answer, Trial
from tflite_odl.proof.supervised import SupervisedProof


def exported(method, *sizes, **options):
    return export(method, *sizes, cache=Cache(None), **options)


@pytest.mark.parametrize(("batch", "infer"), [(1, 1), (2, 1), (3, 2), (4, 4), (3, 8)])
def test_small_batches_and_any_infer_batch_are_proven(batch, infer):
    done = exported(Finetune(nets.mlp(), learning_rate=0.1), batch, infer)
    assert done.manifest.proofs["batches"]["agreed"] >= 4


@pytest.mark.parametrize("rows", [2, 3, 4, 8])
def test_every_batch_that_has_room_is_padded_and_spoiled_in_every_way(rows):
    proof = SupervisedProof(NETS["weights"].of())
    trials = proof.trials(rows)
    drawn = [proof.draw(t, n, rows, 0, 0) for n, t in enumerate(trials)]
    pairs = list(zip(trials, drawn, strict=True))
    padded = [b for t, b in pairs if t.filling == PADDED]
    assert all(0 < b["count"][0] < rows for b in padded) and padded
    spoiled = [b for t, b in pairs if t.filling == SPOILED]
    kinds = {
        "unlabelled": lambda b: np.isnan(b["y"]).all(1),
        "bad label": lambda b: (b["y"] < 0).any(1),
        "not a number": lambda b: np.isnan(b["x"]).any(1),
        "weight": lambda b: b["weight"] < 0,
    }
    for kind, of in kinds.items():
        assert any(of(b).any() for b in spoiled), kind
    assert all(not any(of(b)[0] for of in kinds.values()) for b in spoiled)


def test_batches_of_a_trial_keep_labels_and_classes_go_on_from_trial_to_trial():
    proof = SupervisedProof(NETS["classes"].of())
    first, again = (proof.draw(Trial(), 0, 4, attempt, 0) for attempt in (0, 1))
    np.testing.assert_array_equal(first["y"], again["y"])
    assert (first["x"] != again["x"]).all()
    all_of_them = [proof.draw(Trial(), n, 4, 0, 0)["y"] for n in range(3)]
    assert len(np.unique(np.concatenate(all_of_them))) == 10


@pytest.mark.parametrize("factor", [0.0, -1.0, 3.0])
def test_a_small_update_beside_large_ones_is_not_noise(factor):
    """Weights under raw pixels move a million times less than moving variances do."""
    rng = np.random.default_rng(0)
    before = {
        "kernel": rng.normal(0, 0.1, (3, 3, 3, 8)).astype(np.float32),
        "variance": np.ones(8, np.float32),
    }
    gradient = rng.normal(0, 1e-3, before["kernel"].shape)
    update = {"kernel": -0.01 * gradient, "variance": np.full(8, 100.0)}

    def answer(noise: float) -> Answer:
        state = {n: v + update[n] * (1 + noise) for n, v in before.items()}
        return Answer({}, state, gradients={"kernel": gradient * (1 + noise)})

    kinds = {"kernel": "weight", "variance": "moving_variance"}
    limits = Limits(before, answer(1e-6), answer(0.0), kinds)
    wrong = before["kernel"] + factor * update["kernel"]
    assert not limits.noise and not limits.unclear
    right = before["kernel"] + update["kernel"]
    assert limits.error("kernel", right).within(limits.limit("kernel"))
    assert not limits.error("kernel", wrong).within(limits.limit("kernel"))


@pytest.mark.parametrize(
    ("kind", "times", "fits"),
    [
        ("first_moment", 9.0, True),
        ("first_moment", 12.0, False),
        ("second_moment", 81.0, True),
        ("second_moment", 144.0, False),
    ],
)
def test_noise_of_a_square_is_off_by_a_square(kind, times, fits):
    """Of a bias before a batch norm, beside one that has a gradient."""
    size = 2 if kind == "second_moment" else 1
    before = {name: np.zeros(3, np.float32) for name in ("noise", "moment")}

    def answer(noise: float) -> Answer:
        state = {"noise": np.full(3, noise**size), "moment": np.full(3, 1.0)}
        return Answer({}, state)

    limits = Limits(before, answer(1e-8), answer(1e-12), dict.fromkeys(before, kind))
    assert limits.noise == ("noise",)
    assert limits.fits("noise", np.full(3, times * 1e-8**size)) == fits


def test_a_gradient_that_only_rounding_makes_is_held_loosely_and_named():
    net = tf_keras.Sequential(
        [
            tf_keras.layers.Input((6, 6, 2)),
            tf_keras.layers.Conv2D(4, 3, name="conv"),
            tf_keras.layers.BatchNormalization(),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(3),
        ]
    )
    done = exported(Finetune(net, optimizer="adam", loss="sparse_cross_entropy"), 6)
    loose = done.manifest.proofs["held_loosely"]["gradient_is_noise"]
    moments = [f"conv_bias_{n}_moment" for n in ("first", "second")]
    assert loose == ["conv_bias", *moments]


@pytest.mark.parametrize("ending", ["softmax", None])
def test_the_model_as_it_was_given_is_compared(monkeypatch, ending):
    """A slip in what is done to a model before it is read shows in no reference."""
    right = supervised.all_as_logits

    def wrong(model, *options):
        logits, found = right(model, *options)
        other = tf_keras.models.clone_model(logits)
        other.set_weights([w * 1.001 for w in logits.get_weights()])
        return other, found

    monkeypatch.setattr(supervised, "all_as_logits", wrong)
    with pytest.raises(ParityError, match="as it was given"):
        exported(Finetune(nets.mlp(ending), loss="sparse_cross_entropy"), 6)


def of(net: str, batch: int = 6) -> list[layers.Layer]:
    return list(NETS[net].of().proof().layers(batch))


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        ("a relu's mask dropped", r"'relu' \(relu.*gradient 1"),
        ("a batch norm's epsilon 5 % too large", r"'norm' \(batch_norm.*output"),
        ("a batch norm's backward without its slope", r"'norm'.*gradient 1"),
        ("an average over pixels outside the image", r"'average'.*gradient 1"),
    ],
)
def test_a_fault_of_a_layer_is_found_in_the_layer_by_itself(fault, place, tmp_path):
    fault = next(f for f in FAULTS if f.name == fault)
    cache = Cache(tmp_path)
    assert layers.prove(of(fault.net), converted, cache)["known"] == 0
    assert layers.prove(of(fault.net), converted, cache)["known"] > 2
    with fault.put_in(), pytest.raises(ParityError, match=place):
        layers.prove(of(fault.net), converted, cache)


def test_damaged_entries_of_the_cache_are_made_anew(tmp_path):
    cache = Cache(tmp_path)
    count = layers.prove(of("dense"), converted, cache)["layers"]
    cut, other, *_ = sorted(tmp_path.iterdir())
    cut.write_bytes(cut.read_bytes()[:-3])
    content = json.loads(other.read_text())
    other.write_text(json.dumps({**content, "value": -1.0}))
    assert layers.prove(of("dense"), converted, cache)["known"] == count - 2
    assert layers.prove(of("dense"), converted, cache)["known"] == count


def test_every_op_has_a_reference():
    from tflite_odl.builtin.ops import FAMILIES
    from tflite_odl.builtin.over_time import SUFFIX
    from tflite_odl.proof.references.ops import OPS

    # What is carried is Keras' own function; at every step it is the op itself.
    own = {name.removesuffix(SUFFIX) for name in FAMILIES}
    assert own - {"carried"} == OPS.keys()


def test_a_sample_is_drawn_class_by_class():
    y = np.repeat(np.arange(10, dtype=np.int32), [91, *[1] * 9])
    x = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    proof = NETS["classes"].of().proof((x, y))
    drawn = [proof.draw(Trial(), n, 4, 0, 0)["y"] for n in range(3)]
    assert len(np.unique(np.concatenate(drawn))) == 10


def test_an_update_that_no_trial_shows_is_refused(monkeypatch):
    def quiet(self, batch_size):
        return [
            dataclasses.replace(t, calm=False) for t in trials(self, batch_size)[:1]
        ]

    trials = SupervisedProof.trials
    monkeypatch.setattr(SupervisedProof, "trials", quiet)
    with pytest.raises(ExportError, match="by more than the rounding"):
        exported(Finetune(nets.mlp(), learning_rate=1e-6), 6)
