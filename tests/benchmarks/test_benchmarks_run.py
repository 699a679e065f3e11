"""The benchmarks run, so that they cannot rot. What they measure is asserted nowhere."""

from __future__ import annotations

import pytest

from tests.benchmarks import help_time, payments, upload
from tests.peers import foreign


def test_the_upload_benchmark_runs(capsys):
    """A tiny run prints a row of ours in all three tables, and no upload of ours stops short."""
    upload.main(["--tiny"])
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith("utbench")]
    assert len(rows) == 1 + 4 + 1, out
    assert not any("stopped" in row for row in rows), out


def test_a_missing_client_is_named_and_the_rest_is_measured(tmp_path, monkeypatch, capsys):
    """Where no foreign client is installed, the benchmark says so."""
    monkeypatch.setenv("UTBENCH_PEERS", str(tmp_path))
    foreign.why_missing.cache_clear()
    try:
        assert upload.at_hand("mcumgr-toolkit", "smpclient") == []
    finally:
        foreign.why_missing.cache_clear()
    assert "without smpclient" in capsys.readouterr().out


@pytest.mark.parametrize(("benchmark", "rows"), [(help_time, 3), (payments, 4)])
def test_the_other_benchmarks_run(benchmark, rows, capsys):
    """A tiny run of each prints its table."""
    benchmark.main(["--tiny"])
    table = capsys.readouterr().out.partition("---")[2]
    assert len([line for line in table.splitlines()[1:] if "  " in line]) == rows


def test_the_limit_is_what_the_framing_leaves():
    """A 115,200 baud line carries 11,520 bytes a second, of which base64, lines, header and map take their share."""
    per_s = upload.limit_per_s(115_200, 2048, 64 * 1024)
    assert 0.70 * 11_520 < per_s < 0.75 * 11_520
    assert upload.limit_per_s(115_200, 384, 64 * 1024) < per_s
