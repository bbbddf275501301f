"""Layers that join inputs, broadcasting included, against Keras' own gradients."""

import pytest
import tf_keras
from tf_keras import layers as kl

from tests.builtin.single import check_model
from tflite_odl.errors import ModelError
from tflite_odl.reading.graph import from_keras

SHAPES = {
    "equal": [(5, 4, 3), (5, 4, 3)],
    "gate": [(5, 4, 3), (1, 1, 3)],  # squeeze and excite
    "both": [(5, 1, 3), (1, 4, 3)],
    "map": [(1, 4, 1), (5, 4, 3)],
    "long": [(9, 11, 3), (1, 1, 3)],  # a sum of more than 64 terms
    "rank": [(5, 4, 3), (3,)],
    "vectors": [(6,), (6,)],
    "one": [(1,), (1,)],
}
MERGES = [kl.Add, kl.Subtract, kl.Multiply, kl.Average, kl.Maximum, kl.Minimum]


def merged(merge, shapes):
    """Dense layers below a merging layer, so that each input's gradient matters."""
    inputs = kl.Input((2,))
    branches = [
        kl.Reshape(s)(kl.Dense(tf_keras.backend.count_params(_ones(s)))(inputs))
        for s in shapes
    ]
    return tf_keras.Model(inputs, kl.Dense(3)(kl.Flatten()(merge(branches))))


def _ones(shape):
    return tf_keras.backend.ones(shape)


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("merge", MERGES, ids=lambda merge: merge.__name__)
def test_two_inputs(merge, shapes):
    check_model(merged(merge(), shapes))


# Subtract takes two.
OF_MANY = [merge for merge in MERGES if merge is not kl.Subtract]


@pytest.mark.parametrize("merge", OF_MANY, ids=lambda merge: merge.__name__)
def test_three_inputs_that_broadcast_step_by_step(merge):
    check_model(merged(merge(), [(1, 1, 3), (1, 4, 3), (5, 4, 1)]), batch=1)


@pytest.mark.parametrize("merge", [kl.Maximum, kl.Minimum])
def test_of_equal_values_the_earlier_one_takes_the_gradient(merge):
    inputs = kl.Input((4,))
    x = kl.Dense(5)(inputs)
    twin = kl.ReLU()(x)  # equal to x where x > 0
    check_model(tf_keras.Model(inputs, kl.Dense(3)(merge()([x, twin, x]))), batch=8)


def test_a_tensor_merged_with_itself():
    inputs = kl.Input((4,))
    x = kl.Dense(5)(inputs)
    x = kl.Multiply()([x, x, kl.Add()([x, x])])
    check_model(tf_keras.Model(inputs, kl.Dense(3)(kl.Concatenate()([x, x]))))


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concatenate(axis):
    shapes = [[5, 4, 3], [5, 4, 3]]
    shapes[1][axis - 1 if axis > 0 else axis] = 2
    check_model(merged(kl.Concatenate(axis=axis), shapes))


def test_concatenate_more_inputs_than_one_op_takes():
    check_model(merged(kl.Concatenate(), [(3, n) for n in range(1, 8)]))


def test_shapes_that_do_not_fit_are_refused():
    layer = kl.Concatenate(axis=0)
    x = kl.Input((3,))
    model = tf_keras.Model(x, layer([x, kl.Dense(3, name="learns")(x)]))
    with pytest.raises(ModelError, match="'concatenate.*joined along the batch"):
        from_keras(model, {"learns"})
