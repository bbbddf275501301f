"""The configuration of `distill`."""

from __future__ import annotations

import dataclasses

from tflite_odl.builtin.quantizers import CLIPPINGS
from tflite_odl.errors import ModelError
from tflite_odl.methods.config import SupervisedConfig, check_known

ONLINE, FROZEN = "online", "frozen"
CHOICES = {
    "clipping": CLIPPINGS,
    "temperature": ("adaptive", "fixed", "cosine", "learnable"),
    "drive": ("ratchet", "distance", "teacher", "maximum"),
}
# Both ends included; those that are hyper-parameters keep to them on the phone, too.
RANGES = {
    "min_temperature": (0.1, 100),
    "max_temperature": (0.1, 100),
    "power": (0.01, 100),
    "smoothing": (0, 0.999999),
    "label_weight": (0, 1e3),
    "teacher_weight": (0, 1e3),
    "entropy_weight": (0, 1e3),
    "mutual_weight": (0, 1e3),
    "entropy_margin": (0, 1),
}
HYPERPARAMETERS = (
    "min_temperature",
    "max_temperature",
    "label_weight",
    "teacher_weight",
    "entropy_weight",
    "entropy_margin",
)


@dataclasses.dataclass(frozen=True)
class DistillConfig(SupervisedConfig):
    """Configuration of `distill`; also every field of `SupervisedConfig`.

    Attributes:
      optimizer: where the model was not compiled with one, adam: by sgd latent weights
        cross zero so slowly that a binary student hardly learns.
      teacher: "online", a real-valued twin of the model that learns too; or the file of
        a Keras model, which stays frozen.
      student: how the model's layers are quantized: "binary", "ternary", "int2",
        "int4", "int8", or a list as "Conv2D:w1a1,head:w8a8" of classes (but for the
        first and the last layer) and layers, each with the bits of its weights (1, t =
        ternary, 2 - 8, 32 = real) and of the activations it reads.
      clipping: bounds of weights: "trained" for each output channel (PWC), or constant
        ones for comparison: 2.5 standard "deviations", "one", the "largest", or "none".
      temperature: "adaptive", driven by entropies; "fixed" at max_temperature, with
        only soft targets; "cosine" from max_temperature down to min_temperature; or
        "learnable" between them, against the student, with only soft targets (CTKD).
      min_temperature: T_min.
      max_temperature: T_max.
      drive: of an adaptive temperature, u: "ratchet" (the entropy distance relative to
        its peak, once that is past), the bare "distance", the entropy of the
        "teacher", or the "maximum" of these two.
      power: of u, kappa.
      smoothing: of the running means of entropies, beta.
      cosine_steps: steps until the temperature "cosine" is at min_temperature, or a
        "learnable" one learns at its full strength.
      standardize: whether soft targets are of standardised logits.
      use_labels: whether training looks at labels; without them the teacher is frozen.
      label_weight: l_ce, of the labels' cross-entropy.
      teacher_weight: l_kd, of what the teacher says.
      entropy_weight: l_h, of an entropy distance above the margin.
      entropy_margin: m.
      mutual_weight: l_t, by how much an online teacher follows the student.
      gap_rule: whether an online teacher pauses where it is too far ahead (SwitOKD).
    """

    optimizer: str = "adam"
    teacher: str = ONLINE
    student: str = "binary"
    clipping: str = "trained"
    temperature: str = "adaptive"
    min_temperature: float = 1.0
    max_temperature: float = 4.0
    drive: str = "ratchet"
    power: float = 1.0
    smoothing: float = 0.9
    cosine_steps: int | None = None
    standardize: bool = False
    use_labels: bool = True
    label_weight: float = 0.1
    teacher_weight: float = 0.9
    entropy_weight: float = 0.1
    entropy_margin: float = 0.05
    mutual_weight: float = 0.1
    gap_rule: bool = True

    def __post_init__(self) -> None:
        if self.loss is None:
            object.__setattr__(self, "loss", "sparse_cross_entropy")
        super().__post_init__()
        for name, allowed in CHOICES.items():
            check_known(name, getattr(self, name), allowed)
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ModelError(f"{name} is {value}, needs {low} to {high}")
        if self.min_temperature > self.max_temperature:
            raise ModelError(
                f"min_temperature {self.min_temperature} is above max_temperature "
                f"{self.max_temperature}"
            )
        if self.temperature in ("cosine", "learnable") and not self.cosine_steps:
            raise ModelError(f"temperature={self.temperature!r} needs cosine_steps")
        if self.loss != "sparse_cross_entropy":
            raise ModelError(
                f"distill has no loss {self.loss!r}: use sparse_cross_entropy, or "
                "method finetune"
            )
        if self.online and not self.use_labels:
            raise ModelError("an online teacher learns from labels: use_labels=True")
        decay = self.make_optimizer().weight_decay
        if decay is not None and self.clipping == "trained":
            raise ModelError(
                f"weight_decay={decay:g} ({self.optimizer}) would decay the trained "
                "bounds of weights: do without (optimizer), or use constant bounds "
                "(clipping)"
            )

    @property
    def online(self) -> bool:
        """Whether the teacher learns too."""
        return self.teacher == ONLINE

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of its own fields that `configure` sets."""
        return (*HYPERPARAMETERS, *(["mutual_weight"] if self.online else []))
