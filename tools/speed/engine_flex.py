"""TFLite with the Flex delegate, the official recipe, in tensorflow 2.18.1:

engine_flex.py CASE THREADS SECONDS NET; 0 seconds convert, to a file beside the net,
the others measure it: converting does not count as memory.
"""

import os
import tempfile

import cases
import measuring
import nets
import tensorflow as tf


def main(name: str, threads: int, seconds: float, path: str) -> None:
    case = cases.CASES[name]
    model = os.path.join(os.path.dirname(path), f"{name}.flex.tflite")
    if not seconds:
        return convert(case, path, model)
    before = measuring.resident_mb()
    x, y = cases.data(case)
    interpreter = tf.lite.Interpreter(model, num_threads=threads)
    runner = interpreter.get_signature_runner("train")
    result = measuring.measure(lambda: runner(x=x, y=y)["loss"], seconds, before)
    return measuring.report(result, "tensorflow", model)


def convert(case: cases.Case, path: str, model: str) -> None:
    from engine_tf_function import train_step

    module = tf.Module()
    module.model = nets.keras_model(case, path)
    step = train_step(module.model)
    module.train = tf.function(
        lambda x, y: {"loss": step(x, y)},
        input_signature=[
            tf.TensorSpec((case.batch, *case.net.shape), tf.float32, "x"),
            tf.TensorSpec((case.batch,), tf.int32, "y"),
        ],
    )
    signatures = {"train": module.train.get_concrete_function()}
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.experimental_enable_resource_variables = True
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
        content = converter.convert()
    with open(model, "wb") as file:
        file.write(content)


if __name__ == "__main__":
    main(*measuring.arguments())
