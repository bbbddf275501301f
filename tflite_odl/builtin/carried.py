"""A frozen layer that is carried along as a function of its own."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.lowering import Lowering, Output, Site


class Carried(Lowering):
    """One output of `forward`, a function of the inputs that knows its own weights.

    No gradient ever goes through it, so it has no backward.
    """

    name = "as_it_is"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        a, shape = site.node.attributes, [inputs[0].shape[0], *site.node.shape]
        value = a["forward"](inputs)[a["place"]]
        # Not every function of TensorFlow knows the shape of what it returns.
        return Output(
            value if value.shape.is_fully_defined() else tf.reshape(value, shape)
        )


FAMILIES = {"carried": (Carried(),)}
