"""Every option of every method has a flag, and a flag is of the method that has it."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import sys

import pytest
from absl import flags

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
import method_flags

from tests import nets
from tflite_odl import methods
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.builtin.schedules import Schedule
from tflite_odl.errors import ModelError
from tflite_odl.methods.contrastive.config import ContrastiveConfig
from tflite_odl.methods.distill.config import DistillConfig
from tflite_odl.methods.skip.config import PUBLISHED, SkipConfig

ROOT = pathlib.Path(__file__).parents[1]
# Each field as it is typed and as it is meant; no value is the default.
TYPED = {
    "trainable": ("last:2", "last:2"),
    "batch_norm": ("frozen", "frozen"),
    "target": ("avx512", "avx512"),
    "chunk_mb": ("0.5", 0.5),
    "feature_limit": ("1000", 1000.0),
    "seed": ("7", 7),
    "optimizer": ("adamw", "adamw"),
    "learning_rate": ("0.25", 0.25),
    "hyperparameters": (
        "beta_1=0.8,weight_decay=0.1",
        {"beta_1": 0.8, "weight_decay": 0.1},
    ),
    "accumulate": ("2", 2),
    "clip_norm": ("0.5", 0.5),
    "clip_weight_norm": ("0.5", 0.5),
    "clip_value": ("0.25", 0.25),
    "optimizer_state": ("saved", "saved"),
    "loss": ("binary_cross_entropy", "binary_cross_entropy"),
    "label_smoothing": ("0.1", 0.1),
    "class_weights": ("1,0.5,2", (1.0, 0.5, 2.0)),
    "sample_weights": ("true", True),
    "noise": ("0.1", 0.1),
}
WITHIN = {
    "schedule": ("cosine", "kind"),
    "warmup_steps": ("5", "warmup_steps"),
    "decay_steps": ("60", "decay_steps"),
    "final_rate": ("0.1", "final_rate"),
    "decay_rate": ("0.75", "decay_rate"),
    "decay_power": ("2", "decay_power"),
    "first_rate": ("0.125", "first_rate"),
    "input_dtype": ("uint8", "dtype"),
    "scale": ("0.5", "scale"),
    "offset": ("-1,-0.5", "offset"),
}
SKIP = {
    "policy": ("infobatch", "infobatch"),
    "error_bound": ("0.2", 0.2),
    "intervals": ("30", 30),
    "spacing": ("uniform", "uniform"),
    "update_period": ("9", 9),
    "kappa": ("3", 3.0),
    "warm_up": ("4", 4),
    "final_full_fraction": ("0.25", 0.25),
    "total_steps": ("100", 100),
    "confidence": ("max", "max"),
    "gradient_ends": ("probe", "probe"),
    "keep_skipped": ("0.5", 0.5),
    "divide": ("kept", "kept"),
    "norm_means": ("batch", "batch"),
    "forward": ("recompute", "recompute"),
    "buckets": ("0.5,0.75", (0.5, 0.75)),
    "skip_rate": ("0.25", 0.25),
    "fixed_threshold": ("0.8", 0.8),
}
DISTILL = {
    "teacher": ("mine.keras", "mine.keras"),
    "student": ("Conv2D:w1a1,head:w8a8", "Conv2D:w1a1,head:w8a8"),
    "clipping": ("largest", "largest"),
    "temperature": ("cosine", "cosine"),
    "min_temperature": ("2", 2.0),
    "max_temperature": ("8", 8.0),
    "drive": ("distance", "distance"),
    "power": ("0.5", 0.5),
    "smoothing": ("0.5", 0.5),
    "cosine_steps": ("100", 100),
    "label_weight": ("0.2", 0.2),
    "teacher_weight": ("0.7", 0.7),
    "entropy_weight": ("0.3", 0.3),
    "entropy_margin": ("0.1", 0.1),
    "mutual_weight": ("0.2", 0.2),
    "gap_rule": ("false", False),
}
CONTRASTIVE = {
    "buffer": ("64", 64),
    "replay": ("8", 8),
    "buffer_policy": ("flip_score", "flip_score"),
    "score": ("nt_xent", "nt_xent"),
    "minibatch": ("buffer_only", "buffer_only"),
    "draw_by_score": ("true", True),
    "rho": ("0.25", 0.25),
    "rescore_every": ("20", 20),
    "max_uses": ("9", 9),
    "tau": ("0.2", 0.2),
    "projector_width": ("32", 32),
    "projection": ("16", 16),
    "enroll": ("32", 32),
    "neighbours": ("5", 5),
}
AUGMENT = {
    "augment": ("images", "images"),
    "image_area": ("0.2,0.9", (0.2, 0.9)),
    "image_ratio": ("0.5,2", (0.5, 2.0)),
    "image_flip": ("0.25", 0.25),
    "image_strength": ("0.25", 0.25),
    "image_jitter": ("0.5", 0.5),
    "image_grey": ("0.1", 0.1),
    "image_values": ("0,1", (0.0, 1.0)),
    "sensor_rotate": ("0.5", 0.5),
    "sensor_negate": ("0.1", 0.1),
    "sensor_time_flip": ("0.1", 0.1),
    "sensor_permute": ("0.1", 0.1),
    "sensor_shuffle": ("0.1", 0.1),
    "sensor_segments": ("8", 8),
    "sensor_scale": ("0.3", 0.3),
    "sensor_jitter": ("0.2", 0.2),
    "sensor_spread": ("2,1,1", (2.0, 1.0, 1.0)),
}


def options(method: str, *typed: str, **defaults) -> dict:
    values = flags.FlagValues()
    method_flags.define(values)
    values(["convert", *typed])
    return method_flags.options(method, defaults, values)


def typed(table: dict) -> list[str]:
    return [f"--{name}={text}" for name, (text, _) in table.items()]


def test_every_field_has_a_flag_that_says_what_it_means():
    assert set(method_flags.known()) == {
        *TYPED,
        *WITHIN,
        *SKIP,
        *DISTILL,
        *CONTRASTIVE,
        *AUGMENT,
    }
    found = options("finetune", *typed(TYPED), *typed(WITHIN), *typed(AUGMENT))
    assert {name: found[name] for name in TYPED} == {
        n: v for n, (_, v) in TYPED.items()
    }
    assert found["schedule"] == Schedule("cosine", 5, 60, 0.1, 0.75, 2.0, 0.125)
    assert found["preprocessing"] == Preprocessing("uint8", 0.5, (-1.0, -0.5))
    made = methods.config_class("finetune")(**found)
    plain = methods.config_class("finetune")()
    fields = dataclasses.fields(made)
    assert all(getattr(made, f.name) != getattr(plain, f.name) for f in fields)


def test_skip_has_its_own_and_those_of_every_method():
    found = options("skip", *typed(SKIP), "--learning_rate=0.5")
    assert found == {name: v for name, (_, v) in SKIP.items()} | {"learning_rate": 0.5}
    assert SkipConfig(**found).kappa == 3.0


def test_distill_has_its_own_and_those_of_every_method():
    found = options("distill", *typed(DISTILL), "--learning_rate=0.5")
    expected = {name: v for name, (_, v) in DISTILL.items()} | {"learning_rate": 0.5}
    assert found == expected
    made, plain = DistillConfig(**found), DistillConfig()
    assert all(getattr(made, name) != getattr(plain, name) for name in DISTILL)


def test_contrastive_has_its_own_and_augmentation():
    # A flip's scores are renewed; nothing else is.
    given = {**CONTRASTIVE, "score": ("flip", "flip")}
    found = options("contrastive", *typed(given), *typed(AUGMENT), "--optimizer=adam")
    made, plain = ContrastiveConfig(**found), ContrastiveConfig()
    for name, (_, value) in given.items():
        assert getattr(made, name) == value != getattr(plain, name)
    assert made.optimizer == "adam" and made.augment == "images"
    for field, prefix in (("images", "image_"), ("sensors", "sensor_")):
        family = getattr(made, field)
        for part in dataclasses.fields(family):
            value = getattr(family, part.name)
            assert value == AUGMENT[prefix + part.name][1] != part.default


def test_what_is_not_given_is_left_to_the_configuration():
    assert options("skip") == {}
    assert options("finetune", update_period=3, noise=0.5) == {"noise": 0.5}
    scaled = Preprocessing("uint8", 0.5, -1.0)
    found = options("skip", "--scale=0.25", preprocessing=scaled, update_period=3)
    assert found["preprocessing"] == Preprocessing("uint8", 0.25, -1.0)
    assert found["update_period"] == 3


def test_as_published_is_one_flag():
    assert options("skip", "--as_published") == PUBLISHED
    mixed = options("skip", "--as_published", "--spacing=geometric")
    assert mixed == {**PUBLISHED, "spacing": "geometric"}
    assert SkipConfig() == SkipConfig(spacing="geometric", norm_means="kept")


@pytest.mark.parametrize(
    ("flag", "owner"),
    [
        *((flag, "skip") for flag in [*typed(SKIP), "--as_published"]),
        *((flag, "distill") for flag in typed(DISTILL)),
        *((flag, "contrastive") for flag in typed(CONTRASTIVE)),
    ],
)
def test_a_flag_of_another_method_is_refused(flag, owner):
    name = flag.partition("=")[0]
    with pytest.raises(ModelError, match=f"{name} is of --method={owner}"):
        options("finetune", flag)


@pytest.mark.parametrize(
    "flag", ["--class_weights=1,a", "--buckets=.5,", "--hyperparameters=rho"]
)
def test_what_is_no_number_is_refused(flag):
    with pytest.raises(ModelError, match="is no number"):
        options("skip", flag)


def test_help_lists_all_by_groups_without_tensorflow():
    code = (
        "import runpy, sys; sys.modules['tensorflow'] = None;"
        "sys.argv = ['tools/convert.py', '--help'];"
        "sys.path.insert(0, 'tools');"
        "runpy.run_path('tools/convert.py', run_name='__main__')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rest, own = done.stdout.split("Configuration of `skip` (--method=skip):")
    heading = "Configuration of `{0}` (--method={0}):".format
    rest, distill = rest.split(heading("distill"))
    common, contrastive = rest.split(heading("contrastive"))
    for name in ("out", "verbose", *TYPED, *WITHIN, *AUGMENT):
        assert f"--{name}:" in common or f"--[no]{name}:" in common
    for name in ("[no]as_published", *SKIP):
        assert f"--{name}:" in own
    for name in (
        "[no]draw_by_score",
        *(n for n in CONTRASTIVE if n != "draw_by_score"),
    ):
        assert f"--{name}:" in contrastive
    for name in ("[no]gap_rule", *(n for n in DISTILL if n != "gap_rule")):
        assert f"--{name}:" in distill
    assert "one of sgd, momentum, nesterov, adam" in common.replace("\n    ", " ")


def test_every_registered_method_is_in_the_contract_suite():
    cases = {case.method for case in nets.CASES.values()} - {nets.FrozenTeacher}
    assert cases == set(methods.METHODS.values())
    for name, kind in methods.METHODS.items():
        assert kind.name == name
        assert getattr(methods, kind.__name__) is kind
        case = next(n for n, case in nets.CASES.items() if case.method is kind)
        assert type(nets.method_of(case).config) is methods.config_class(name)
