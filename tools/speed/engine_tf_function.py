"""The same step as tf.function: engine_tf_function.py CASE THREADS SECONDS NET.

It also says how far TensorFlow parts from itself when the input is off by 1e-6:
batch statistics and relus make some nets chaotic, and no engine can be held to more.
"""

import agreement
import cases
import measuring
import nets
import numpy as np
import tensorflow as tf

TWINS = 4


def main(name: str, threads: int, seconds: float, path: str) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    before = measuring.resident_mb()
    x, y = map(tf.constant, cases.data(cases.CASES[name]))
    model = nets.keras_model(cases.CASES[name], path)
    start, step = model.get_weights(), train_step(model)
    result = measuring.measure(lambda: step(x, y), seconds, before)
    result["twin_losses"] = []
    for seed in range(TWINS):
        model.set_weights(start)
        noise = np.random.default_rng(seed).uniform(-1e-6, 1e-6, x.shape)
        twin = x * (1 + noise.astype(np.float32))
        losses = [float(step(twin, y)) for _ in range(agreement.STEPS)]
        result["twin_losses"].append(losses)
    measuring.report(result, "tensorflow")


def train_step(model):
    """Returns (x, y) -> loss, which trains once, as a tf.function."""

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            loss = tf.reduce_mean(each)
        gradients = tape.gradient(loss, model.trainable_variables)
        for variable, gradient in zip(model.trainable_variables, gradients):
            variable.assign_sub(cases.LEARNING_RATE * gradient)
        return loss

    return step


if __name__ == "__main__":
    main(*measuring.arguments())
