"""TFLite with the Flex delegate, the official recipe: flex.py CASE SECONDS FOLDER.

0 seconds convert the net with the weights that ours starts from, others measure it, on
one thread.
"""

from __future__ import annotations

import json
import pathlib
import sys
import tempfile

import numpy as np
import tensorflow as tf
from sequences.cases import CASES, LEARNING_RATE
from speed import measuring


def main(name: str, seconds: str, folder: str) -> None:
    case, path = CASES[name], pathlib.Path(folder) / f"{name}.flex.tflite"
    if not float(seconds):
        path.write_bytes(_converted(case, pathlib.Path(folder)))
        return print(json.dumps({"flex_mb": path.stat().st_size / 1e6}))
    before = measuring.resident_mb()
    x, y = case.data()
    runner = tf.lite.Interpreter(str(path), num_threads=1).get_signature_runner("train")
    result = measuring.measure(lambda: runner(x=x, y=y)["loss"], float(seconds), before)
    return measuring.report(result)


def _converted(case, folder: pathlib.Path) -> bytes:
    module = tf.Module()
    module.model = case.model()
    with np.load(folder / f"{case.name}.npz") as weights:
        module.model.set_weights([weights[name] for name in weights.files])

    @tf.function(
        input_signature=[
            tf.TensorSpec((case.batch, *case.shape), tf.float32, "x"),
            tf.TensorSpec((case.batch,), tf.int32, "y"),
        ]
    )
    def train(x, y):
        with tf.GradientTape() as tape:
            logits = module.model(x, training=True)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            loss = tf.reduce_mean(each)
        variables = module.model.trainable_variables
        for variable, gradient in zip(variables, tape.gradient(loss, variables)):
            variable.assign_sub(LEARNING_RATE * gradient)
        return {"loss": loss}

    module.train = train
    signatures = {"train": train.get_concrete_function()}
    with tempfile.TemporaryDirectory() as saved:
        tf.saved_model.save(module, saved, signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        converter.experimental_enable_resource_variables = True
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
        return converter.convert()


if __name__ == "__main__":
    main(*sys.argv[1:])
