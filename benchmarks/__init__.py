"""How well does an edit come out? Cases with a known answer, metrics, baselines and the runner (see spec/benchmark.md)."""
