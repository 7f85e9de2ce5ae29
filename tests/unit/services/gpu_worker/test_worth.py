"""A result is kept for others if making it again takes longer than fetching it."""

from __future__ import annotations

import pytest

from services.gpu_worker.domain.worth import MARGIN, Worth

MIB = 1024 * 1024


def test_a_dear_result_is_kept_and_a_cheap_one_is_not() -> None:
    worth = Worth(latency_seconds=0.02, bytes_per_second=50e6)
    assert worth.is_kept(seconds=2.0, size_bytes=64 * 1024)
    assert not worth.is_kept(seconds=0.05, size_bytes=64 * 1024)


def test_a_large_result_must_be_dearer() -> None:
    worth = Worth(latency_seconds=0.02, bytes_per_second=50e6)
    assert worth.is_kept(0.5, 1 * MIB)
    assert not worth.is_kept(0.5, 12 * MIB)


def test_a_slow_way_is_learned() -> None:
    worth = Worth()
    for _ in range(50):
        worth.fetch_took(1000, 0.5)
    assert worth.latency_seconds == pytest.approx(0.5, rel=0.01)
    for _ in range(50):
        worth.fetch_took(10 * MIB, 10.5)
    assert worth.bytes_per_second == pytest.approx(MIB, rel=0.01)
    assert not worth.is_kept(MARGIN * 0.4, 0)


def test_an_unknown_node_is_looked_for_and_one_that_is_known_to_be_cheap_is_not() -> None:
    worth = Worth(latency_seconds=0.02)
    assert worth.is_asked_for("KSampler")
    worth.node_took("KSampler", 3.0)
    worth.node_took("EmptyLatentImage", 0.001)
    assert worth.is_asked_for("KSampler")
    assert not worth.is_asked_for("EmptyLatentImage")


def test_a_node_that_was_dear_once_is_looked_for_though_it_is_cheap_at_times() -> None:
    worth = Worth(latency_seconds=0.02)
    worth.node_took("KSampler", 10.0)
    for _ in range(5):
        worth.node_took("KSampler", 0.01)
    assert worth.is_asked_for("KSampler")
