"""TFLite with the Flex delegate, the official recipe, in tensorflow 2.18.1:

engine_flex.py CASE THREADS SECONDS WEIGHTS; the converted file is kept beside them.
"""

import os
import sys

import cases
import tensorflow as tf


def main(name: str, threads: str, seconds: str, weights: str) -> None:
    case, path = cases.CASES[name], f"{weights}.flex.tflite"
    if not os.path.exists(path):
        convert(case, weights, path)
    if float(seconds) == 0:
        return
    before = cases.resident_mb()
    x, y = cases.data(case)
    interpreter = tf.lite.Interpreter(path, num_threads=int(threads))
    runner = interpreter.get_signature_runner("train")
    cases.measure(lambda: runner(x=x, y=y)["loss"], float(seconds), before)


def convert(case: cases.Case, weights: str, path: str) -> None:
    from engine_tf_function import train_step

    module = tf.Module()
    module.model = cases.keras_model(case, weights)
    step = train_step(module.model)
    module.train = tf.function(
        lambda x, y: {"loss": step(x, y)},
        input_signature=[
            tf.TensorSpec((case.batch, *case.shape), tf.float32, "x"),
            tf.TensorSpec((case.batch,), tf.int32, "y"),
        ],
    )
    folder = f"{path}.saved"
    signatures = {"train": module.train.get_concrete_function()}
    tf.saved_model.save(module, folder, signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    converter.experimental_enable_resource_variables = True
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    with open(path, "wb") as file:
        file.write(converter.convert())


if __name__ == "__main__":
    main(*sys.argv[1:])
