"""The same step as tf.function: engine_tf_function.py CASE THREADS SECONDS WEIGHTS."""

import sys

import cases
import tensorflow as tf


def main(name: str, threads: str, seconds: str, weights: str) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    tf.config.threading.set_inter_op_parallelism_threads(1)
    before = cases.resident_mb()
    x, y = map(tf.constant, cases.data(cases.CASES[name]))
    step = train_step(cases.keras_model(cases.CASES[name], weights))
    cases.measure(lambda: step(x, y), float(seconds), before)


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
    main(*sys.argv[1:])
