"""The distilling step in Keras and NumPy loops: what an artifact is compared with.

Teacher and student are Keras models, the losses are written out and differentiated by
TensorFlow, the controller and the gap rule are loops over rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from tflite_odl.methods.distill.method import PREFIX
from tflite_odl.proof.proof import Answer, Arrays
from tflite_odl.proof.references.optimizers import clipped
from tflite_odl.proof.references.quantized import QuantizedModel
from tflite_odl.proof.references.supervised import (
    Batch,
    KerasReference,
    as_arrays,
    dense,
)

PEAK_SHARE, PEAK_STEPS, MOST = 0.95, 20, 2.0**24


class DistillReference(KerasReference):
    """`distill` by Keras.

    Args:
      method: a `Distill`.
      dtype: "float32" or "float64".
    """

    def __init__(self, method, dtype: str) -> None:
        super().__init__(method, dtype)
        self.online = method.teacher_learner is not None
        theirs = SimpleNamespace(
            network=method.teacher,
            learner=method.teacher_learner,
            config=method.config,
            features=method.teacher.features,
            num_classes=method.num_classes,
            salts=method.salts,
        )
        self.teacher = KerasReference(theirs, dtype)

    def adapted(self) -> dict[str, tf.Variable]:
        """Returns the student's variables; its model quantizes from here on."""
        self.student = QuantizedModel(self.model, self.graph, self.method.schemes)
        return self.student.named

    def call(self, signature: str, state: Arrays, inputs: Arrays) -> Answer:
        self.student.choices()
        answer = super().call(signature, state, inputs)
        margins = np.concatenate([self.student.choices(), answer.margins])
        return dataclasses.replace(answer, margins=margins)

    def _step(self, state: Arrays, batch: Batch) -> Answer:
        of_teacher = self._of_teacher(state)
        self._load(state)
        self.teacher._load(of_teacher)
        good = self.good(batch)
        x, y = self.seen(state, batch, good), batch.y[good]
        for one in (self, self.teacher):
            one.drawn.set(state["random"], good)
        watched = [*self.learning, *self.teacher.learning]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(watched)
            z_s = self._run(x, training=True)
            z_t = self.teacher._run(x, training=self.online)
            margins: list[float] = []
            p_s, p_t = (tf.nn.softmax(z).numpy() for z in (z_s, z_t))
            controlled = self._control(state, p_t, p_s, margins)
            loss = self._student_loss(
                state, z_s, z_t.numpy(), y, controlled["temperature"], controlled["w"]
            )
            loss += self.penalties()
            teacher_loss = self._teacher_loss(z_t, p_s, y) + self.teacher.penalties()
        self._note_margins(state, z_t.numpy(), p_t, p_s, margins)
        gradients = dense(
            tape.gradient(loss, self.learning, unconnected_gradients="zero")
        )
        outputs = {
            "loss": float(loss),
            "gradient_norm": float(tf.linalg.global_norm(gradients)),
            "step": int(state["step"][0]) + 1,
            "accepted": 1,
            "rejected_rows": int(batch.count[0] - good.sum()),
            "temperature": controlled["temperature"],
            "hard_weight": controlled["w"],
            "teacher_entropy": controlled["news"]["teacher_entropy"],
            "student_entropy": controlled["news"]["student_entropy"],
        }
        made_from = self._made_from(gradients, gradients)
        optimizer = self._optimizer(state, int(state["step"][0]))
        self._apply(state, self, optimizer, gradients)
        after = self._new_state(state, optimizer)
        after |= as_arrays(controlled["news"])
        if self.online:
            learns = self._learns(p_s, p_t, y, margins)
            theirs = tape.gradient(
                teacher_loss, self.teacher.learning, unconnected_gradients="zero"
            )
            outputs["teacher_loss"] = float(teacher_loss)
            outputs["gap_mode"] = int(not learns)
            after |= self._teach(of_teacher, theirs, learns)
            if learns:
                found = self.teacher._made_from(theirs, theirs)
                made_from |= {PREFIX + name: value for name, value in found.items()}
        theirs = {PREFIX + name: ulps for name, ulps in self.teacher.ulps.items()}
        margins = np.array(margins)
        ulps = {**self.ulps, **theirs}
        return Answer(as_arrays(outputs), after, margins, made_from, ulps=ulps)

    def _of_teacher(self, state: Arrays) -> dict[str, np.ndarray]:
        """Returns the teacher's part of the state, without its prefix."""
        return {
            name.removeprefix(PREFIX): value
            for name, value in state.items()
            if name.startswith(PREFIX) or name in ("random", "step")
        }

    def _apply(self, state: Arrays, of: KerasReference, optimizer, gradients) -> None:
        of.apply(optimizer, clipped(state, gradients))

    def _teach(self, state: Arrays, gradients: Sequence, learns: bool) -> Arrays:
        """Returns the teacher's new state, by the method's names."""
        done = int(state["updates"][0])
        optimizer = self.teacher._optimizer(state, done)
        if learns:
            self._apply(state, self.teacher, optimizer, gradients)
        after = self.teacher._new_state(state, optimizer)
        after["updates"] = np.array([done + learns], np.int32)
        moved = [n for n, v in after.items() if v is not state.get(n)]
        return {PREFIX + n: after[n] for n in moved if n not in ("random", "step")}

    def _control(self, state: Arrays, p_t, p_s, margins: list[float]) -> dict:
        """Returns the controller's numbers after a batch."""
        config = self.config
        number = {name: float(value.flat[0]) for name, value in state.items()}
        news = {}
        for name, p in (("teacher_entropy", p_t), ("student_entropy", p_s)):
            batch = sum(map(_entropy, p)) / len(p)
            first = number["entropy_steps"] < 1
            keep = 0.0 if first else config.smoothing
            news[name] = keep * number[name] + (1 - keep) * batch
        distance = abs(news["teacher_entropy"] - news["student_entropy"])
        peak = max(number["distance_peak"], distance)
        margins.append((PEAK_SHARE * peak - distance) / max(peak, 1e-9))
        below = 0.0
        if distance < PEAK_SHARE * peak:
            below = min(number["steps_below_peak"] + 1, MOST)
        peaked = float(number["peaked"] > 0 or below >= PEAK_STEPS or not self.online)
        news |= {
            "entropy_steps": min(number["entropy_steps"] + 1, MOST),
            "distance_peak": peak,
            "steps_below_peak": below,
            "peaked": peaked,
        }
        ratio = distance / peak if peak > 0 else 0.0
        u = {
            "ratchet": ratio if peaked else 1.0,
            "distance": distance,
            "teacher": news["teacher_entropy"],
            "maximum": max(news["teacher_entropy"], distance),
        }[config.drive]
        if config.temperature == "fixed":
            u = 1.0
        elif config.temperature == "cosine":
            done = min(number["step"] / config.cosine_steps, 1.0)
            u = (1 + math.cos(math.pi * done)) / 2
        else:
            u = u**config.power
        u = min(max(u, 0.0), 1.0)
        low, high = number["min_temperature"], number["max_temperature"]
        t = low + max(high - low, 0.0) * u
        w = 1 - (t - low) / (high - low) if high > low else 1 - u
        return {"temperature": t, "w": w, "news": news}

    def _student_loss(self, state, z_s, z_t, y, t: float, w: float) -> tf.Tensor:
        labelled, count = y >= 0, max(int((y >= 0).sum()), 1)
        of = {name: float(state[name][0]) for name in state if name.endswith("_weight")}
        log = tf.nn.log_softmax(z_s)
        rows = np.arange(len(y))
        hits = np.stack([rows, np.maximum(y, 0)], 1)
        loss = -of["label_weight"] * tf.reduce_sum(
            tf.boolean_mask(tf.gather_nd(log, hits), labelled)
        )
        loss /= count
        q = tf.nn.softmax(z_t / t)
        cold = tf.nn.log_softmax(z_s / t)
        soft = tf.reduce_sum(q * (tf.nn.log_softmax(z_t / t) - cold), 1)
        best = tf.cast(z_t == z_t.max(1, keepdims=True), z_s.dtype)
        best /= tf.reduce_sum(best, 1, keepdims=True)
        hard = -tf.reduce_sum(best * log, 1)
        told = tf.reduce_mean((1 - w) * t * t * soft + w * hard)
        ours, theirs = (
            tf.reduce_mean(-tf.reduce_sum(tf.nn.softmax(z) * tf.nn.log_softmax(z), 1))
            / math.log(z.shape[1])
            for z in (z_s, tf.constant(z_t))
        )
        excess = tf.abs(theirs - ours) - float(state["entropy_margin"][0])
        beyond = of["entropy_weight"] * tf.nn.relu(excess)
        return loss + of["teacher_weight"] * told + beyond

    def _teacher_loss(self, z_t, p_s: np.ndarray, y: np.ndarray) -> tf.Tensor:
        keep = np.flatnonzero(y >= 0)
        if not keep.size:
            return 0.0 * tf.reduce_sum(z_t)
        log = tf.gather(tf.nn.log_softmax(z_t), keep)
        hits = np.stack([np.arange(len(keep)), y[keep]], 1)
        q = p_s[keep]
        divergence = tf.reduce_sum(q * (np.log(q) - log), 1)
        mutual = self.config.mutual_weight
        return tf.reduce_mean(-tf.gather_nd(log, hits) + mutual * divergence)

    def _learns(self, p_s, p_t, y, margins: list[float]) -> bool:
        """Returns whether the teacher learns from this batch."""
        rows = [i for i in range(len(y)) if y[i] >= 0]
        if not rows or not self.config.gap_rule:
            return bool(rows)
        gap = sum(np.abs(p_s[i] - p_t[i]).sum() for i in rows) / len(rows)
        a, b = (
            sum(np.abs(p[i] - np.eye(len(p[i]))[y[i]]).sum() for i in rows) / len(rows)
            for p in (p_s, p_t)
        )
        delta = a - math.exp(-b / (a + b) if a + b else 0.0) * b
        margins += [gap - delta, a - b]
        return not (gap > delta and b < a)

    def _note_margins(self, state, z_t, p_t, p_s, margins: list[float]) -> None:
        """Notes how clear the teacher's choices and the entropy term's edge are."""
        best, second = np.sort(z_t)[:, ::-1][:, :2].T
        margins += [float(m) for m in best - second]
        ours, theirs = (sum(map(_entropy, p)) / len(p) for p in (p_s, p_t))
        margins.append(abs(theirs - ours) - float(state["entropy_margin"][0]))


def _entropy(p: np.ndarray) -> float:
    """Returns H / ln C of one row."""
    return -sum(float(v) * math.log(float(v)) for v in p if v > 0) / math.log(len(p))
