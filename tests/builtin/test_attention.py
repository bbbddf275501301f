"""Attention, tables and products of two tensors, against Keras' own gradients."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests.builtin import single
from tests.builtin.single import check, check_model
from tflite_odl.errors import ModelError
from tflite_odl.reading.graph import from_keras

STEPS, SIZE = 6, 5


def attended(layer, masked=False, **kwargs):
    """A sequence that attends to itself, or (query, value, key) of three layers."""
    x = kl.Input((STEPS, SIZE))
    y = kl.Masking(0.5)(x) if masked else x
    query, value = kl.Dense(4)(y), kl.Dense(4)(y)
    key = kl.Dense(4, use_bias=False)(y)  # a softmax takes away what all share
    several = isinstance(layer, kl.MultiHeadAttention)
    z = layer(query, value, key, **kwargs) if several else layer([query, value, key])
    z = kl.GlobalAveragePooling1D()(z) if masked else kl.Flatten()(z)
    return tf_keras.Model(x, kl.Dense(3)(z))


def rows():
    x = np.random.default_rng(0).normal(size=(4, STEPS, SIZE)).astype(np.float32)
    x[0, 4:] = x[2, 3:] = 0.5
    return x


LAYERS = {
    "heads": lambda: kl.MultiHeadAttention(2, 3),
    "sizes": lambda: kl.MultiHeadAttention(3, 2, value_dim=4, output_shape=7),
    "no bias": lambda: kl.MultiHeadAttention(2, 3, use_bias=False),
    "dot": lambda: kl.Attention(),
    "additive": lambda: kl.AdditiveAttention(),
}


def check_attention(model):
    single.randomize(model)
    errors = single.compare(model, 4, x=rows())
    # The true gradient of a key's bias is 0: a softmax takes away what all share.
    off = {n: e for n, e in errors.items() if e > 1e-5 and "key_bias" not in n}
    assert not off, off


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_attention(name, masked):
    check_attention(attended(LAYERS[name](), masked))


@pytest.mark.parametrize("masked", [False, True])
def test_attention_to_earlier_steps_alone(masked):
    layer = kl.MultiHeadAttention(2, 3)
    check_attention(attended(layer, masked, use_causal_mask=True))


def test_attention_to_itself_and_its_scores():
    x = kl.Input((STEPS, SIZE))
    y = kl.Dense(4)(x)
    z, scores = kl.MultiHeadAttention(2, 3)(y, y, return_attention_scores=True)
    z = kl.Concatenate()([kl.Flatten()(z), kl.Flatten()(scores)])
    check_model(tf_keras.Model(x, kl.Dense(3)(z)))


def test_attention_of_steps_along_two_axes():
    """As of the patches of an image: every step attends to all."""
    x = kl.Input((STEPS, SIZE))
    queries = kl.Reshape((2, 3, 4))(kl.Dense(4)(x))
    values = kl.Reshape((1, 6, 4))(kl.Dense(4)(x))
    both = [
        kl.MultiHeadAttention(2, 3)(queries, values),
        kl.MultiHeadAttention(2, 3, output_shape=5)(values, values),
    ]
    z = kl.Concatenate()([kl.Flatten()(z) for z in both])
    check_attention(tf_keras.Model(x, kl.Dense(3)(z)))


@pytest.mark.parametrize(
    ("options", "call", "message"),
    [
        ({"attention_axes": (2,)}, {}, "attention_axes=.2"),
        ({}, {"return_attention_scores": True}, "scores with steps along several"),
    ],
)
def test_of_several_axes_only_whole_attention_is_built(options, call, message):
    x = kl.Input((2, 3, 4))
    z = tf.nest.flatten(
        kl.MultiHeadAttention(2, 3, name="heads", **options)(x, x, **call)
    )[0]
    model = tf_keras.Model(x, kl.Dense(3)(kl.Flatten()(z)))
    with pytest.raises(ModelError, match=f"'heads'.*{message}"):
        from_keras(model, {"heads"})


def test_an_attention_mask_among_the_inputs():
    x = kl.Input((STEPS, SIZE))
    y = kl.Dense(4)(x)
    seen = kl.ReLU()(x[:, :, :1] - x[:, :1, :1])  # 0 or not
    seen = kl.Concatenate()([seen] * (STEPS - 1) + [x[:, :, :1]])
    z = kl.MultiHeadAttention(2, 3)(y, y, attention_mask=seen)
    check_model(tf_keras.Model(x, kl.Dense(3)(kl.Flatten()(z))))


@pytest.mark.parametrize("mask_zero", [False, True])
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_rows_of_a_table_by_ids_that_repeat(mask_zero, dtype):
    ids = kl.Input((STEPS,), dtype=dtype)
    y = kl.Embedding(9, SIZE, mask_zero=mask_zero)(ids)
    y = kl.GlobalAveragePooling1D()(y)
    x = np.random.default_rng(0).integers(1, 9, (8, STEPS)).astype(dtype)
    x[0, 3:] = x[5, 1:] = 0
    check_model(tf_keras.Model(ids, kl.Dense(3)(y)), 8, x=x)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    ("shapes", "axes"),
    [
        ([(5,), (5,)], 1),
        ([(4, 5), (3, 5)], 2),
        ([(5, 4), (3, 5)], (1, 2)),
        ([(4, 1), (4, 6)], 1),
    ],
)
def test_products_of_two_tensors(shapes, axes, normalize):
    x = kl.Input((6,))
    parts = [kl.Reshape(s)(kl.Dense(int(np.prod(s)))(x)) for s in shapes]
    y = kl.Dot(axes, normalize)(parts)
    check_model(tf_keras.Model(x, kl.Dense(3)(kl.Flatten()(y))))


@pytest.mark.parametrize("transpose", [False, True])
def test_a_function_of_two_tensors(transpose):
    x = kl.Input((STEPS, SIZE))
    a, b = kl.Dense(4)(x), kl.Dense(4)(x)
    b = b if transpose else kl.Permute((2, 1))(b)
    y = tf.matmul(a, b, transpose_b=transpose)
    check_model(tf_keras.Model(x, kl.Dense(3)(kl.Flatten()(y))))


@pytest.mark.parametrize(
    ("equation", "output", "bias"),
    [("abc,cd->abd", (None, 4), "d"), ("abc,bcde->ade", (4, 3), "de")],
)
def test_dense_over_several_axes(equation, output, bias):
    layer = kl.EinsumDense(equation, output, bias_axes=bias, activation="relu")
    check(layer, shape=(STEPS, SIZE))


def test_other_equations_are_refused():
    x = kl.Input((STEPS, SIZE))
    y = kl.EinsumDense("abc,bd->adc", (4, None), name="turned")(x)
    with pytest.raises(ModelError, match="'turned'.*the equation"):
        from_keras(tf_keras.Model(x, y), {"turned"})
