"""Handwritten digits that come with scikit-learn: real, small, no network."""

from __future__ import annotations

import numpy as np

from tflite_odl.errors import DataError
from tflite_odl.streams.dataset import Dataset, Split

LARGEST = 16
TEST_ROWS = 397
CITATION = (
    "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine "
    "Learning Repository, 1998, doi 10.24432/C50P49"
)


def load() -> Dataset:
    """Returns 1,400 training and 397 test images, [8, 8, 1] uint8 from 0 to 16.

    The split is stratified and always the same.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise DataError(
            "digits come with scikit-learn: pip install scikit-learn"
        ) from error
    images, labels = load_digits(return_X_y=True)
    x = images.reshape(-1, 8, 8, 1).astype(np.uint8)
    y = labels.astype(np.int32)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=TEST_ROWS, stratify=y, random_state=0
    )
    return Dataset(
        "digits",
        tuple(str(digit) for digit in range(10)),
        Split(x_train, y_train),
        Split(x_test, y_test),
        scale=2 / LARGEST,
        offset=-1.0,
        citation=CITATION,
    )
