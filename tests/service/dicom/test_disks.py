"""A disk that is full, fails or is away: no object is acknowledged and lost."""

from __future__ import annotations

from pathlib import Path

from dicom_peers import association, radiograph

from cxr_edge.service.dicom import spool


def test_without_room_an_object_is_refused_and_can_come_again(listen, monkeypatch):
    listening, image = listen(), radiograph(1)
    monkeypatch.setattr(spool.ReceivedFolder, "has_room", lambda folder: False)
    with association(listening.port) as made:
        assert made.send_c_store(image).Status == 0xA700
        assert listening.files == []
        monkeypatch.undo()
        assert made.send_c_store(image).Status == 0
    assert listening.figures.objects == {0xA700: 1, 0: 1}


def test_a_disk_that_fills_while_receiving_leaves_nothing(listen, monkeypatch):
    listening, image = listen(), radiograph(1, side=1600)  # 5 MB
    answers = [True, True, True, False]
    monkeypatch.setattr(spool.ReceivedFolder, "has_room", lambda folder: answers.pop(0))
    with association(listening.port) as made:
        assert made.send_c_store(image).Status == 0xA700
        assert not answers and listening.files == []
        monkeypatch.undo()
        assert made.send_c_store(image).Status == 0


def test_nothing_is_received_below_a_disk_that_is_away(listen, monkeypatch):
    """Where it would be found no more once the disk is back."""
    monkeypatch.setattr(Path, "is_mount", lambda path: True)
    listening, image = listen(), radiograph(1)
    with association(listening.port) as made:
        monkeypatch.undo()
        assert made.send_c_store(image).Status == 0xA700
        assert listening.files == []


def test_a_disk_that_fails_to_flush_is_not_acknowledged(listen, monkeypatch):
    listening, image = listen(), radiograph(1)

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool.os, "fsync", fail)
    with association(listening.port) as made:
        assert made.send_c_store(image).Status == 0xA700
        monkeypatch.undo()
        assert listening.files == []
        assert made.send_c_store(image).Status == 0


def test_what_a_killed_process_was_receiving_is_removed(listen, tmp_path):
    (tmp_path / "received").mkdir()
    (tmp_path / "received/.receiving-0123456789abcdef").write_bytes(b"half")
    assert listen().files == []
