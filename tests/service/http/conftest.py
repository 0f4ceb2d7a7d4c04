"""A running server with a fake service behind it."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FAKE: dict[str, Any] = runpy.run_path(str(Path(__file__).parent / "fake.py"))


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Any, Any]]:
    """A service, and a server of it with default settings; stopping one takes 0.2 s."""
    service = FAKE["FakeService"]()
    server = FAKE["serve"](service)
    yield service, server
    server.stop()
    service.pool.shutdown(cancel_futures=True)


@pytest.fixture
def service(shared: tuple[Any, Any]) -> Any:
    """What stands behind the servers; nothing is classified yet."""
    shared[0].reset()
    return shared[0]


@pytest.fixture
def client(shared: tuple[Any, Any], service: Any) -> Any:
    """Asks a server with default settings."""
    return FAKE["Client"](shared[1])


@pytest.fixture
def start(service: Any) -> Iterator[Callable[..., Any]]:
    """Starts servers for the service, with settings; they are stopped at the end."""
    servers: list[Any] = []

    def start_server(**settings: Any) -> Any:
        servers.append(FAKE["serve"](service, **settings))
        return FAKE["Client"](servers[-1])

    yield start_server
    for server in servers:
        server.stop()
        assert not server.is_running


@pytest.fixture
def upload() -> Callable[..., bytes]:
    """Makes bytes that the fake reads as an image."""
    make: Callable[..., bytes] = FAKE["upload"]
    return make
