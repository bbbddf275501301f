"""The report of a run: findings as data, verdicts, one page without a network."""
