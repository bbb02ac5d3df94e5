"""Fixtures of the clients' tests."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The messages of Flower's logger, which does not propagate them to pytest by default."""
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)
    return caplog
