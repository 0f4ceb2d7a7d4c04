"""Peers that send too much, too slowly, nonsense or nothing: the listener goes on."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time

import pytest
from dicom_peers import CR, association, part, radiograph, request_bytes, send, store_command
from pynetdicom.dsutils import encode
from service_process import wait_until

from cxr_edge.service.dicom.protocol import LimitedAssociation

REJECTED = b"\x03\x00\x00\x00\x00\x04\x00\x02\x03\x02"


def context_of(made):
    return next(c.context_id for c in made.accepted_contexts if c.abstract_syntax == CR)


def wire(made):
    """The socket below an association."""
    return made.dul.socket.socket


def is_closed(connected, *, timeout_s=15):
    end = time.monotonic() + timeout_s
    with contextlib.suppress(OSError, ValueError):  # pynetdicom may close it here meanwhile
        while connected.fileno() >= 0 and time.monotonic() < end:
            connected.settimeout(0.1)
            try:
                if not connected.recv(2**16):
                    return True
            except TimeoutError:
                continue
    return time.monotonic() < end


def test_more_associations_than_allowed_are_told_to_try_again(listen):
    listening = listen(max_associations=2)
    with association(listening.port) as first, association(listening.port) as second:
        assert first.is_established and second.is_established
        with association(listening.port) as third:
            assert third.is_rejected
            answer = third.acceptor.primitive
            assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 2)
    wait_until(lambda: listening.figures.associations == 0)
    assert send(listening.port, radiograph(1)) == 0


def test_a_peer_that_is_turned_away_and_goes_on_sending_delays_nobody(listen):
    listening = listen(max_associations=1)
    is_over = threading.Event()

    def flood():
        address = ("127.0.0.1", listening.port)
        with contextlib.suppress(OSError), socket.create_connection(address) as peer:
            while not is_over.is_set():
                peer.sendall(b"\0" * 2**20)

    with association(listening.port) as first:
        assert first.is_established
        flooding = threading.Thread(target=flood)
        flooding.start()
        wait_until(lambda: listening.figures.refusals["limit"] == 1)
        with association(listening.port) as second:
            assert second.is_rejected
        flooding.join(10)  # it is cut after two seconds
        assert not flooding.is_alive()
        is_over.set()


@pytest.mark.slow
def test_a_thousand_associations_at_once(listen):
    """Each is accepted, told to try again, or closed; then the next is served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"the system allows {hard} open files, this needs 4,096")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    listening = listen(max_associations=4)
    request = request_bytes()
    before = threading.active_count()
    outcomes = {"accepted": 0, "rejected": 0, "closed": 0}
    with contextlib.ExitStack() as stack:
        peers = []
        for _ in range(1000):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", listening.port)))
            with contextlib.suppress(ConnectionError):
                peer.sendall(request)
            peers.append(peer)
        assert threading.active_count() - before <= 2 * 4
        for peer in peers:
            peer.settimeout(15)
            try:
                answer = peer.recv(2**16)
            except ConnectionError:
                answer = b""
            kind = {b"\x02": "accepted", b"\x03": "rejected"}.get(answer[:1], "closed")
            outcomes[kind] += 1
            assert kind != "rejected" or answer == REJECTED
    assert outcomes["accepted"] == 4
    assert outcomes["rejected"] > 900
    wait_until(lambda: listening.figures.associations == 0)
    assert send(listening.port, radiograph(1)) == 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_connection_that_says_nothing_is_closed(listen):
    listening = listen(association_s=0.3, max_associations=1)
    with socket.create_connection(("127.0.0.1", listening.port)) as silent:
        assert is_closed(silent, timeout_s=5)
    wait_until(lambda: listening.figures.associations == 0)
    assert send(listening.port, radiograph(1)) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01\x00\xff\xff\xff\xff" + b"x" * 100,  # 4 GB announced
        b"\x01\x00\x00\x00\x00\x10" + b"\xff" * 16,
        b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x02\x01\x03",  # an object without association
        b"\x16\x03\x01\x00\x05hello",
        b"\x01\x00",
    ],
)
def test_nonsense_ends_the_connection(listen, data, capfd):
    listening = listen(association_s=0.5, idle_s=0.5)
    with socket.create_connection(("127.0.0.1", listening.port)) as peer:
        peer.sendall(data)
        assert is_closed(peer, timeout_s=5)
    wait_until(lambda: listening.figures.associations == 0)
    assert send(listening.port, radiograph(1)) == 0
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_part_that_drips_in_is_cut(listen):
    listening = listen(idle_s=0.5)
    with association(listening.port) as made:
        peer = wire(made)
        began = time.monotonic()
        with contextlib.suppress(OSError):
            peer.sendall(b"\x04\x00\x00\x00\x10\x00")
            for _ in range(50):
                peer.sendall(b"\x00")
                time.sleep(0.1)
        assert time.monotonic() - began < 4
    wait_until(lambda: listening.figures.associations == 0)


def test_a_request_that_drips_in_is_cut(listen):
    listening = listen(association_s=0.5, idle_s=60)
    with socket.create_connection(("127.0.0.1", listening.port)) as peer:
        began = time.monotonic()
        peer.settimeout(0.1)
        for byte in request_bytes():
            with contextlib.suppress(TimeoutError):
                peer.sendall(bytes([byte]))
                if not peer.recv(1) or time.monotonic() - began > 5:
                    break
        assert time.monotonic() - began < 3
    wait_until(lambda: not listening.figures.associations, timeout_s=3)


def test_an_object_that_drips_in_is_cut(listen):
    listening, image = listen(object_s=0.5, idle_s=10), radiograph(1)
    with association(listening.port) as made:
        peer = wire(made)
        context = context_of(made)
        began = time.monotonic()
        with contextlib.suppress(OSError):
            peer.sendall(part(context, 3, store_command(image)))
            for _ in range(50):
                peer.sendall(part(context, 0, b"\0" * 10))
                time.sleep(0.1)
        assert time.monotonic() - began < 4
    wait_until(lambda: listening.figures.associations == 0)
    assert listening.files == []


def test_two_gigabytes_are_cut_at_the_limit(listen):
    """Neither announced in one part, nor in many, nor as the length of the pixels."""
    listening, image = listen(max_object_mb=4), radiograph(1)
    with association(listening.port) as made:
        peer = wire(made)
        peer.sendall(b"\x04\x00\x80\x00\x00\x00")
        assert is_closed(peer)
    head = encode(image, False, True).partition(image.PixelData)[0]
    head = head[:-4] + (2**31 - 2).to_bytes(4, "little")
    with association(listening.port) as made:
        peer = wire(made)
        context, sent = context_of(made), 0
        chunk = part(context, 0, b"\0" * 60_000)
        peer.sendall(part(context, 3, store_command(image)) + part(context, 0, head))
        peer.settimeout(10)
        with contextlib.suppress(OSError):
            while sent < 2**31:
                peer.sendall(chunk)
                sent += 60_000
    assert sent < 20e6  # what the network holds included
    wait_until(lambda: listening.figures.associations == 0)
    assert listening.files == []
    assert send(listening.port, image) == 0


@pytest.mark.parametrize("ending", ["abort", "close", "release"])
def test_an_association_that_ends_midway_leaves_nothing(listen, ending):
    listening, image = listen(), radiograph(1)
    with association(listening.port) as made:
        peer = wire(made)
        context = context_of(made)
        peer.sendall(part(context, 3, store_command(image)) + part(context, 0, b"\0" * 999))
        wait_until(lambda: listening.files)
        if ending == "abort":
            made.abort()
        elif ending == "close":
            peer.close()
        else:
            peer.sendall(bytes.fromhex("05000000000400000000"))
    wait_until(lambda: listening.figures.associations == 0)
    assert listening.files == []
    assert send(listening.port, image) == 0


@pytest.mark.parametrize(
    "parts",
    [
        lambda c, i: part(c, 1, b"\0" * 60_000) * 3,  # a command without end
        lambda c, i: part(c, 3, b"no command"),
        lambda c, i: part(c, 0, b"\0" * 100),  # an object without command
        lambda c, i: part(99, 3, store_command(i)),
        lambda c, i: part(c, 3, store_command(i, CommandField=0x0999)),
        lambda c, i: part(c, 3, store_command(i, CommandField=0x0020)) + part(c, 0, b"\0" * 99),
        lambda c, i: part(c, 3, store_command(i)) + part(c, 3, store_command(i)),
        lambda c, i: part(c, 3, store_command(i, AffectedSOPInstanceUID="1." + "2" * 80)),
        lambda c, i: part(c, 3, store_command(i)) + b"\x04\x00\x00\x00\x00\x00",
    ],
)
def test_messages_that_break_the_rules_end_the_association(listen, parts, capfd):
    listening, image = listen(idle_s=1), radiograph(1)
    with association(listening.port) as made:
        peer = wire(made)
        with contextlib.suppress(OSError):
            peer.sendall(parts(context_of(made), image))
        assert is_closed(peer, timeout_s=5)
    wait_until(lambda: listening.figures.associations == 0)
    assert listening.files == []
    assert send(listening.port, image) == 0
    errors = "".join(capfd.readouterr())
    assert "Traceback" not in errors and image.SOPInstanceUID not in errors


def test_a_connection_for_which_there_is_no_thread_takes_no_place(listen, monkeypatch, caplog):
    listening = listen(max_associations=1)

    def fail(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(LimitedAssociation, "start", fail)
    for _ in range(2):
        assert send(listening.port, radiograph(1)) is None
    monkeypatch.undo()
    assert send(listening.port, radiograph(1)) == 0
    said = [line for line in caplog.messages if line.startswith("DICOM: ")]
    assert said == ["DICOM: a connection cannot be served: RuntimeError"] * 2


def test_stopping_ends_what_is_arriving(listen):
    listening, image = listen(), radiograph(1)
    with association(listening.port) as made:
        peer = wire(made)
        peer.sendall(part(context_of(made), 3, store_command(image)))
        wait_until(lambda: listening.files)
        began = time.monotonic()
        listening.listener.stop()
        assert time.monotonic() - began < 4
    assert listening.files == []
