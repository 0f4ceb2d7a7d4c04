import dataclasses
import json
import tomllib
from pathlib import Path

import pytest

from cxr_edge.errors import UsageError
from cxr_edge.service.config import InboxSettings, ServiceConfig, read_config, sample_config


def read(tmp_path, text):
    file = tmp_path / "cxr-edge.toml"
    file.write_text(text)
    return read_config(file)[0]


def test_what_a_file_does_not_name_has_its_default(tmp_path):
    config = read(tmp_path, "# nothing\n")
    assert config == dataclasses.replace(ServiceConfig(), inbox=config.inbox, dicom=config.dicom)
    assert config.inbox == dataclasses.replace(
        InboxSettings(),
        processed="/var/lib/cxr-edge/processed",
        failed="/var/lib/cxr-edge/failed",
    )


def test_the_sample_names_every_setting_with_its_default(tmp_path):
    text = sample_config()
    settings = [line[2:] for line in text.splitlines() if line.startswith("# ") and " = " in line]
    active = "\n".join(
        line[2:] if line.startswith("# ") and line[2:] in settings else line
        for line in text.splitlines()
        if not line.startswith("# ") or line[2:] in settings
    )
    values = tomllib.loads(active)
    assert values == json.loads(json.dumps(dataclasses.asdict(ServiceConfig())))  # lists


def test_the_sample_as_it_is_means_the_defaults(tmp_path):
    assert read(tmp_path, sample_config()) == read(tmp_path, "# nothing\n")


def test_relative_paths_begin_at_the_file(tmp_path):
    config = read(tmp_path, '[inbox]\nfolder = "in"\n[http]\ntoken_file = "token"\n')
    assert config.inbox.folder == f"{tmp_path}/in"
    assert config.http.token_file == f"{tmp_path}/token"
    assert config.bundle == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bundel = 'x'", "line 1: unknown key 'bundel', did you mean bundle?"),
        ("[inbox]\n\nsettle = 1", "line 3: unknown key 'inbox.settle', did you mean settle_s?"),
        ("[http]\nport = 99999", "line 2: http.port is 99999, expected at most 65,535"),
        ("[store]\nkeep_days = nan", "line 2: store.keep_days is not a finite number"),
        ("threads = '2'", "line 1: threads is a text, expected a whole number"),
        ("[worker]\nheatmaps = 'no'", "line 2: worker.heatmaps is 'no', expected one of"),
        (
            "[inbox]\nfolder = d/i",
            "not valid TOML: Invalid value (at line 2, column 10); text",
        ),
        ("[http]\n[http]", "not valid TOML: "),
        ("inbox = 3", "line 1: inbox is a whole number, expected an object"),
        ("[http]\nhost = '0.0.0.0'", "can be reached from other computers; give an http.token"),
        ("[inbox]\nfolder = 'a'\nprocessed = 'a/b'", "one lies within another"),
        ("[inbox]\nfolder = 'a'\nprocessed = 'a'", "are not different folders"),
        ("[inbox]\nfolder = ''\n[http]\nenabled = false", "nothing can arrive"),
        ("a = 1\nb = 2", "line 1: unknown key 'a'"),
        ("[dicom]\naddresses = 'a'", "line 2: dicom.addresses is a text, expected a list"),
        ("[dicom]\naddresses = ['ward']", "dicom.addresses in line 2: dicom.addresses: 'ward'"),
        ("[dicom]\nae_title = ''", "dicom.ae_title: '' is no AE title; expected 1 to 16"),
        ("[dicom]\ncalling_ae_titles = ['a\\\\b']", "is no AE title"),
        ("[dicom]\nenabled = true\nhost = '0.0.0.0'", "give dicom.addresses, or a certificate"),
        ("[dicom]\ncertificate = 'a'", "belong together; set both"),
        ("[dicom]\nforward = 'pacs:104'", "expected HOST:PORT:AETITLE such as pacs:104:ARCHIVE"),
        ("[dicom]\nforward = 'p:1:A'\nforward_tls = true", "needs a dicom.ca_file"),
        ("[dicom]\nenabled = true\nfolder = '/var/lib/cxr-edge/inbox/d'", "one lies within"),
        ("[dicom]\nforward = 'p:1:A'\noutbox = '/var/lib/cxr-edge/failed'", "not different"),
        ("[dicom]\nca_file = '/var/lib/cxr-edge/inbox/ca'", "lies in the inbox"),
    ],
)
def test_a_mistake_is_one_line_that_names_key_and_line(tmp_path, text, message):
    with pytest.raises(UsageError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_every_mistake_of_a_file_is_named_at_once(tmp_path):
    with pytest.raises(UsageError, match=r"line 1: .*line 3: "):
        read(tmp_path, "threads = -1\n[http]\nport = -1\n")


def test_a_missing_file_and_other_bytes(tmp_path):
    with pytest.raises(UsageError, match="cannot be opened: No such file"):
        read_config(tmp_path / "nothing.toml")
    file = tmp_path / "cxr-edge.toml"
    file.write_bytes(b"")
    with pytest.raises(UsageError, match="the file is empty"):  # it was cut, or never written
        read_config(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not valid TOML"):
        read_config(file)


def test_what_is_processed_lies_beside_the_inbox(tmp_path):
    config = read(tmp_path, '[inbox]\nfolder = "~/in"\nfailed = "x"\n')
    home = Path("~").expanduser()
    assert config.inbox.folder == f"{home}/in"
    assert config.inbox.processed == f"{home}/processed"
    assert config.inbox.failed == f"{tmp_path}/x"


@pytest.mark.parametrize("inside", ["inbox", "processed", "failed"])
@pytest.mark.parametrize("ending", ["", "/b"])
@pytest.mark.parametrize("key", ["bundle", "key", "profile"])
def test_nothing_else_lies_where_files_are_moved_or_deleted(tmp_path, key, inside, ending):
    text = f'{key} = "{inside}{ending}"\n[inbox]\nfolder = "inbox"\n'
    with pytest.raises(UsageError, match=f"{key} in line 1: {key} is or lies in the inbox"):
        read(tmp_path, text)


def test_dicom_alone_has_folders_beside_the_store(tmp_path):
    text = '[inbox]\nfolder = ""\n[store]\nfile = "a/results.db"\n[dicom]\nenabled = true\n'
    config = read(tmp_path, text + "addresses = ['10.0.0.0/8', '::1']\n[http]\nenabled = false")
    assert config.dicom.folder == f"{tmp_path}/a/received"
    assert config.dicom.outbox == f"{tmp_path}/a/outbox"
    assert config.inbox.processed == f"{tmp_path}/a/processed"
    assert config.dicom.addresses == ("10.0.0.0/8", "::1")
