"""``cxr-edge.toml``: every setting of the service."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from cxr_edge.bundle.bundled import find_folder, is_bundled
from cxr_edge.errors import UsageError
from cxr_edge.files import printable, read_file
from cxr_edge.service.dicom.settings import DicomSettings, check_dicom
from cxr_edge.service.http.settings import HttpSettings, is_loopback
from cxr_edge.service.mqtt import MqttSettings
from cxr_edge.service.settings import SettingsFile, parse_settings, sample, setting

T = TypeVar("T")

STATE = "/var/lib/cxr-edge"
"""The one folder that the service of deploy/raspberry-pi writes to."""

_MAX_BYTES = 2**16
_HEADER = """\
# Settings of `cxr-edge serve`. Every setting is shown with its default; remove the # to change it.
# Relative paths begin at this file's folder. `systemctl reload cxr-edge` applies changes; settings
# that do not work are named in the journal, and the old ones stay.

"""


@dataclass(frozen=True, slots=True)
class InboxSettings:
    """Files that arrive in a folder."""

    folder: str = setting(
        f"{STATE}/inbox",
        "Images that appear in this folder, or in folders in it, are classified; empty: there is "
        "no inbox. Names that begin with a dot, or end with .part, .tmp, .filepart, .crdownload or "
        "~, are left alone.",
    )
    processed: str = setting(
        "",
        "Where a file is moved to once its prediction is stored; empty: `processed` beside the "
        "inbox, or beside the store where there is only DICOM.",
    )
    failed: str = setting(
        "", "Where a file is moved to that could not be classified; empty: `failed` beside it."
    )
    settle_s: float = setting(
        2.0,
        "A file is complete when its size and time have not changed for so many seconds, or when "
        "it was renamed into the inbox that long after its last change.",
        least=0.1,
        most=3600,
    )
    sweep_s: float = setting(
        10.0,
        "The inbox is looked through at least every so many seconds, also where nothing reports "
        "changes, as on network shares.",
        least=0.1,
        most=3600,
    )


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Results, and how long they are kept."""

    file: str = setting(f"{STATE}/results.db", "The SQLite database of results.")
    keep_days: float = setting(
        365.0, "Results older than this are deleted.", least=0.001, most=100_000
    )
    keep_mb: float = setting(
        1024.0, "The oldest results are deleted when the database holds more.", least=1
    )
    keep_images_days: float = setting(
        30.0,
        "Files in the folders of processed and failed images are deleted this long after they "
        "were put there.",
        least=0.001,
        most=100_000,
    )
    keep_images_mb: float = setting(
        2048.0, "The oldest of these files are deleted when they take more.", least=1
    )
    min_free_mb: float = setting(
        256.0,
        "With less free disk space the service takes no work; it takes it up again when there is "
        "a tenth more.",
        least=1,
    )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Classification."""

    attempts: int = setting(
        3,
        "A file during whose classification the process ended this often is set aside as failed.",
        least=1,
        most=100,
    )
    heatmaps: Literal["on-request", "always", "never"] = setting(
        "on-request",
        "on-request: a heat map is drawn when somebody opens it on the page, as long as the image "
        "is kept. always: also for each image when it is classified, beside it in the folder of "
        "processed images. never: none is. Needs a bundle with onnx-explain.",
    )
    max_pixels: int = setting(50_000_000, "Larger images fail; width x height.", least=1_000_000)
    max_file_mb: float = setting(256.0, "Larger files fail.", least=1, most=2048)
    radiographs: Literal["frontal-chest", "any"] = setting(
        "frontal-chest", "Which DICOM files are read: chests from the front or behind, or all."
    )


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """The check that the model still makes the original's decisions."""

    check_s: float = setting(
        30.0,
        "Every so many seconds one of the bundle's golden inputs is classified as any image. If "
        "it has not the original model's score, the service takes no work and stops telling "
        "systemd that it is alive, which restarts it.",
        least=0.5,
        most=3600,
    )


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """All settings."""

    bundle: str = setting(
        "",
        "Folder of the bundle, or compact; empty: the package's reference model. `cxr-edge "
        "bundle install` keeps the bundle of a device at /var/lib/cxr-edge/bundles/current.",
    )
    key: str = setting(
        "", "File of the public key that the bundle must be signed for; empty: it need not be."
    )
    artifact: str = setting(
        "", "Model file of the bundle; empty: what `cxr-edge tune` chose, else the default."
    )
    engine: str = setting("", "Engine that runs it; empty: see artifact.")
    threads: int = setting(
        0, "Threads for one image; 0: what `cxr-edge tune` chose, else 1.", least=0, most=1024
    )
    profile: str = setting(
        "", "Profile that `cxr-edge tune` wrote; empty: the one kept for this user."
    )
    inbox: InboxSettings = setting(InboxSettings(), "Files that arrive in a folder.")
    store: StoreSettings = setting(StoreSettings(), "Results, and how long they are kept.")
    worker: WorkerSettings = setting(WorkerSettings(), "Classification.")
    health: HealthSettings = setting(HealthSettings(), "Whether the model works as it should.")
    http: HttpSettings = setting(HttpSettings(), "Requests and the page.")
    mqtt: MqttSettings = setting(MqttSettings(), "Results to an MQTT broker.")
    dicom: DicomSettings = setting(
        DicomSettings(), "Images from DICOM devices, and reports to an archive; the extra dicom."
    )


_PATHS = {
    "": ("bundle", "key", "profile"),
    "inbox": ("folder", "processed", "failed"),
    "store": ("file",),
    "http": ("token_file",),
    "mqtt": ("password_file", "ca_file"),
    "dicom": ("folder", "outbox", "certificate", "private_key", "ca_file"),
}
"""The settings that are paths, by table."""


def read_config(file: Path) -> tuple[ServiceConfig, SettingsFile]:
    """Read the service's settings; paths in them become absolute.

    Returns:
        The settings; and the file, to name the place of one that turns out to be wrong later.

    Raises:
        UsageError: the file cannot be read, or something in it is wrong.
    """
    data = read_file(file, max_bytes=_MAX_BYTES, error=UsageError)
    name = printable(file)
    config = parse_settings(data, ServiceConfig, name=name, error=UsageError)
    source = SettingsFile(name, data.decode())
    folder = file.absolute().parent
    if is_bundled(config.bundle):
        with source.blamed("bundle"):
            config = dataclasses.replace(
                config, bundle=str(find_folder(config.bundle, base=folder))
            )
    for table, keys in _PATHS.items():
        if not table:
            config = _with_absolute_paths(config, keys, folder)
            continue
        table_settings = _with_absolute_paths(getattr(config, table), keys, folder)
        config = dataclasses.replace(config, **{table: table_settings})
    config = _with_default_folders(config)
    _check(config, source)
    return config, source


def _with_default_folders(config: ServiceConfig) -> ServiceConfig:
    inbox, dicom = config.inbox, config.dicom
    beside = Path(inbox.folder or config.store.file).parent
    if inbox.folder or dicom.enabled:
        inbox = dataclasses.replace(
            inbox,
            processed=inbox.processed or str(beside / "processed"),
            failed=inbox.failed or str(beside / "failed"),
        )
    # An inbox may be a share; what was acknowledged is on a disk of this computer.
    here = Path(config.store.file).parent
    dicom = dataclasses.replace(
        dicom,
        folder=dicom.folder or str(here / "received"),
        outbox=dicom.outbox or str(here / "outbox"),
    )
    return dataclasses.replace(config, inbox=inbox, dicom=dicom)


def _with_absolute_paths(settings: T, keys: tuple[str, ...], folder: Path) -> T:
    for key in keys:
        if "\0" in getattr(settings, key):
            raise UsageError(f"{key}: a NUL in a path; expected text")
    absolute: dict[str, Any] = {
        key: str(folder / os.path.expanduser(value))  # noqa: PTH111 - raises where there is no home
        for key in keys
        if (value := getattr(settings, key))
    }
    return dataclasses.replace(settings, **absolute)  # type: ignore[type-var]


def _check(config: ServiceConfig, source: SettingsFile) -> None:
    """Refuse settings that contradict each other."""
    inbox, http, dicom = config.inbox, config.http, config.dicom
    with source.blamed("inbox.folder", "http.enabled", "dicom.enabled"):
        if not (inbox.folder or http.enabled or dicom.enabled):
            raise UsageError("there is neither an inbox nor HTTP nor DICOM, so nothing can arrive")
    with source.blamed("store.file"):
        if not config.store.file:
            raise UsageError("store.file is empty, expected the file of the results")
    with source.blamed(
        *(f"inbox.{key}" for key in _PATHS["inbox"]), "dicom.folder", "dicom.outbox"
    ):
        given = [inbox.folder, inbox.processed, inbox.failed]
        names = "the inbox, processed and failed"
        if dicom.enabled or dicom.forward:
            given += [dicom.folder, dicom.outbox]
            names = "the inbox, processed, failed, received and outbox"
        folders = [Path(folder).resolve() for folder in given if folder]
        if len(set(folders)) < len(folders):
            raise UsageError(f"{names} are not different folders")
        if any(a in b.parents for a in folders for b in folders):
            raise UsageError(f"of {names} one lies within another")
    for table, keys in _PATHS.items():
        for key in keys:
            value = getattr(getattr(config, table) if table else config, key)
            if table == "inbox" or key in ("folder", "outbox") or not value:
                continue
            name = f"{table}.{key}".lstrip(".")
            with source.blamed(name):
                path = Path(value).resolve()
                if any(folder in (path, *path.parents) for folder in folders):
                    raise UsageError(
                        f"{name} is or lies in the inbox, or where files are kept and deleted; "
                        "expected another folder"
                    )
    with source.blamed("profile", "artifact", "engine"):
        if config.profile and (config.artifact or config.engine):
            raise UsageError("a profile chooses artifact and engine; give it without them")
    with source.blamed("http.host"):
        if http.enabled and not is_loopback(http.host) and not http.token_file:
            raise UsageError(
                f"{http.host!r} can be reached from other computers; give an http.token_file, or "
                "listen on 127.0.0.1"
            )
    check_dicom(dicom, source)


def sample_config() -> str:
    """A commented file of every setting with its default."""
    return _HEADER + sample(ServiceConfig)
