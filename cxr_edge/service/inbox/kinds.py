"""The two ways of files: the inbox, and the folder of objects received by DICOM."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_edge.service.health import Part
from cxr_edge.service.store.rows import DeliverySource


@dataclass(frozen=True, slots=True)
class FolderKind:
    """What differs between the folders that files are taken from."""

    source: DeliverySource
    name: str
    """For messages."""
    kept_in: str
    """Begins the paths of its files in the folders of processed and failed files."""
    stuck: str
    """Begins the paths in the store's table of files that cannot be moved; no path of another
    folder begins so, since a backslash in a name is doubled there."""
    unreadable: Part
    moving: Part
    claimed: Part
    extra: Part


INBOX = FolderKind("inbox", "the inbox", "", "", "inbox", "moving", "claimed", "extra")
RECEIVED = FolderKind(
    *("dicom", "the folder of received images", "received/", "\\dicom/"),
    *("received", "received-moving", "received-claimed", "received-extra"),
)
