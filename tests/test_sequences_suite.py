"""The suite of nets over time: what its page says of what was measured."""

import pytest

from tools.sequences import page
from tools.sequences.cases import CASES


def record(*ratios):
    def step(ms, losses):
        return {"cpu_ms": ms, "losses": losses, "others": 1.5}

    rounds = [
        {"ours": step(10 * r, [2.0, 1.0]), "flex": step(10.0, [2.0, 1.1])}
        for r in ratios
    ]
    figures = {"export_s": 41.2, "export_cpu_s": 23.4, "ops": 2973}
    return {"case": "lstm", **figures, "rounds": rounds}


def test_ratios_are_of_rounds():
    assert page.ratios(record(0.5, 0.25, 0.4)) == [0.5, 0.25, 0.4]
    assert page.difference(record(0.5)) == pytest.approx(0.1 / 1.1)


def test_the_page_shows_medians_ranges_and_bounds():
    results = {"machine": "m", "versions": ["a==1"], "records": [record(0.5, 0.2, 0.4)]}
    text = page.page(results, "python tools/benchmark.py --suite=sequences")
    (row,) = [line for line in text.splitlines() if line.startswith("| LSTM")]
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert cells[:4] == ["41 (23)", "2,973", "4.0", "10.0"]
    assert cells[4:] == ["0.40 (0.20 - 0.50)", "1.0", "9e-02", "1.5"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_rows_fit_the_nets(case):
    model, (x, y) = case.model(), case.data()
    assert model.input_shape[1:] == x.shape[1:] and len(x) == len(y) == case.batch
    assert model.output_shape[-1] > y.max()
