"""The serving twin of every kind of net, and what would break it without a word."""

import numpy as np
import pytest
import tf_keras
from tf_keras import layers as kl

from tests import nets
from tests.builtin.test_fold import randomize
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.errors import ExportError
from tflite_odl.exporter.places import places
from tflite_odl.exporter.twin import serve
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.bake import Twin, manifest_of, patched
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.methods import Finetune
from tflite_odl.proof import twins
from tflite_odl.proof.candidate import ParityError


def method_of(*layers, shape=(6, 6, 2), **config):
    tf_keras.utils.set_random_seed(5)
    model = tf_keras.Sequential([kl.Input(shape), *layers])
    return Finetune(randomize(model), loss="sparse_cross_entropy", **config)


def head(*layers):
    return *layers, kl.Flatten(), kl.Dense(3, name="head")


# Factors beside a layer without padding go into its weights if nothing keeps them off.
FACTORS = {
    "preprocessing": head(kl.Conv2D(4, 3, name="conv")),
    "rescaling": head(kl.Rescaling(0.5), kl.Conv2D(4, 3, name="conv")),
    "hard_sigmoid": head(kl.Conv2D(4, 3, activation="hard_sigmoid", name="conv")),
    "pointwise": head(kl.Rescaling(2.0), kl.DepthwiseConv2D(1, name="conv")),
    "dense": (kl.Flatten(), kl.Dense(4, name="conv"), kl.Dense(3, name="head")),
}


@pytest.mark.parametrize("name", FACTORS)
def test_factors_beside_a_layer_stay_out_of_its_weights(name):
    method = method_of(
        *FACTORS[name], preprocessing=Preprocessing("uint8", 1 / 127.5, -1.0)
    )
    served = serve(method)
    weights = {w.formula.kernel or w.formula.bias for w in served.twin.weights}
    assert {"conv_kernel", "head_kernel"} <= weights
    for weight in served.twin.weights:
        value = weight.formula.value(
            {n: t.value for n, t in method.state().items()}
        ).transpose(weight.order)
        place = slice(weight.offset, weight.offset + weight.bytes)
        assert served.model[place] == value.tobytes()


def test_weights_that_start_equal_have_places_of_their_own():
    tf_keras.utils.set_random_seed(5)
    layers = [kl.Conv2D(4, 3, padding="same", name=f"conv{k}") for k in range(3)]
    model = tf_keras.Sequential([kl.Input((6, 6, 4)), *layers, *head()])
    served = serve(
        Finetune(model, loss="sparse_cross_entropy")
    )  # Keras' biases are zeros, all of them
    offsets = [weight.offset for weight in served.twin.weights]
    assert len(offsets) == len(set(offsets)) == 8
    ends = sorted((w.offset, w.offset + w.bytes) for w in served.twin.weights)
    assert all(end <= begin for (_, end), (begin, _) in zip(ends, ends[1:]))


def test_two_weights_at_one_place_are_refused():
    served = serve(method_of(*head(kl.Conv2D(4, 3))))
    weight = served.twin.weights[0]
    content = served.model[weight.offset : weight.offset + weight.bytes]
    value = np.frombuffer(content, np.float32)
    with pytest.raises(ExportError, match="at the same place"):
        places(served.model, {"one": value, "other": value})


def test_the_same_method_gives_the_same_twin():
    one, other = (serve(nets.method_of("finetune-sgd"), 2) for _ in range(2))
    assert one.model == other.model and one.twin == other.twin


def test_a_weight_that_bake_forgets_is_found(build):
    artifact = Artifact.open(build("finetune-sgd"))
    model = (artifact.path / "serve.tflite").read_bytes()
    whole = Twin.from_json(artifact.manifest.serving)
    shipped = {n: t.value for n, t in nets.method_of("finetune-sgd").state().items()}
    x = {"x": np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype(np.float32)}
    kind = RUNTIMES["interpreter"]

    def prove(twin):
        def baked(state):
            return kind(patched(model, twin, state), manifest_of(artifact.manifest))

        with kind(artifact.model, artifact.manifest) as runtime:
            return twins.prove(runtime, baked, shipped, x)

    assert prove(whole)["moved"] < 1e-6
    for forgotten in whole.weights:
        kept = tuple(w for w in whole.weights if w is not forgotten)
        with pytest.raises(ParityError, match="serving twin, moved weights"):
            prove(Twin(kept, whole.constants, whole.bytes))


def test_every_weight_moves_for_the_proof(build):
    artifact = Artifact.open(build("finetune-sgd"))
    state = {n: t.value for n, t in nets.method_of("finetune-sgd").state().items()}
    with RUNTIMES["interpreter"](artifact.model, artifact.manifest) as runtime:
        new = twins.moved(runtime, state)
    for spec in artifact.manifest.state:
        if spec.role == "weight":
            assert (new[spec.name] != state[spec.name]).all()
            assert "variance" not in spec.name or (new[spec.name] > 0).all()
