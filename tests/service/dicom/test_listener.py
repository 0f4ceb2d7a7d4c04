"""What a device may send, and what it is answered."""

from __future__ import annotations

import ssl
import stat

import pydicom
import pytest
from dicom_certificates import make_certificates
from dicom_peers import CR, CR_RAW, MARKER, association, radiograph, send
from pydicom.uid import (
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from service_process import wait_until

from cxr_edge.errors import UsageError
from cxr_edge.files import sha256
from cxr_edge.image.dicom.frame import readable_syntaxes
from cxr_edge.service.dicom.figures import Figures
from cxr_edge.service.dicom.listener import Listener
from cxr_edge.service.dicom.settings import DicomSettings, is_allowed, parse_networks
from cxr_edge.service.dicom.spool import ReceivedFolder


def test_an_object_is_a_whole_file_before_it_is_acknowledged(listen):
    listening, image = listen(), radiograph(1)
    with association(listening.port) as made:
        assert made.send_c_echo().Status == 0
        assert made.send_c_store(image).Status == 0
        (file,) = listening.files
    data = file.read_bytes()
    assert file.name == f"{sha256(data)}.dcm"
    assert listening.woken == 1 and listening.figures.report().received == 1
    kept = pydicom.dcmread(file)
    assert kept.SOPInstanceUID == image.SOPInstanceUID == kept.file_meta.MediaStorageSOPInstanceUID
    assert kept.PixelData == image.PixelData
    assert image.SOPInstanceUID not in str(file) and MARKER not in str(file)


def test_an_object_sent_again_is_the_same_file(listen):
    listening, image = listen(), radiograph(1)
    assert [send(listening.port, image) for _ in range(2)] == [0, 0]
    with association(listening.port, calling="ANOTHER") as made:
        assert made.send_c_store(image).Status == 0
    assert len(listening.files) == 1
    assert send(listening.port, radiograph(2)) == 0
    assert len(listening.files) == 2


def test_raw_detector_data_and_deflated_objects_are_not_agreed_on(listen):
    listening = listen()
    with association(listening.port) as made:
        agreed = {context.abstract_syntax for context in made.accepted_contexts}
    assert CR in agreed and CR_RAW not in agreed
    with association(listening.port, syntaxes=[DeflatedExplicitVRLittleEndian]) as made:
        agreed = {context.abstract_syntax for context in made.accepted_contexts}
    assert CR not in agreed
    with association(listening.port, syntaxes=[ImplicitVRLittleEndian]) as made:
        assert CR in {context.abstract_syntax for context in made.accepted_contexts}


def test_what_is_no_image_or_not_what_the_command_says_is_refused(listen):
    listening = listen()
    without_pixels = radiograph(1)
    del without_pixels.PixelData
    assert send(listening.port, without_pixels) == 0xC000
    with association(listening.port) as made:
        from io import BytesIO

        from pynetdicom.dimse_primitives import C_STORE
        from pynetdicom.dsutils import encode

        def store(sop_class, instance, data):
            request = C_STORE()
            request.MessageID, request.Priority = 7, 0
            request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class, instance
            request.DataSet = BytesIO(data)
            context = next(c for c in made.accepted_contexts if c.abstract_syntax == CR)
            made._reactor_checkpoint.clear()
            made.dimse.send_msg(request, context.context_id)
            _, response = made.dimse.get_msg(block=True)
            made._reactor_checkpoint.set()
            return response.Status

        image = radiograph(2)
        data = encode(image, False, True)
        assert store(CR, image.SOPInstanceUID, data) == 0
        assert store(CR, radiograph(3).SOPInstanceUID, data) == 0xA900
        assert store("1.2.840.10008.5.1.4.1.1.7", image.SOPInstanceUID, data) == 0x0122
        assert store(CR, image.SOPInstanceUID, data[:-100]) == 0xC000  # its pixels are cut
        assert store(CR, image.SOPInstanceUID, b"no data set at all") == 0xC000
    assert len(listening.files) == 1
    assert listening.figures.objects == {0: 1, 0xC000: 3, 0xA900: 1, 0x0122: 1}


@pytest.mark.parametrize(
    ("reason", "settings", "arguments", "why"),
    [
        ("called", {}, {"called": "ANOTHER"}, "the AE title that it called is not dicom.ae_title"),
        (
            *("calling", {"calling_ae_titles": ("CT1", "DX 2")}, {"calling": "DX2"}),
            "its own AE title is none of dicom.calling_ae_titles",
        ),
    ],
)
def test_another_name_is_rejected(listen, reason, settings, arguments, why, caplog):
    listening = listen(**settings)
    for _ in range(2):
        with association(listening.port, **arguments) as made:
            assert made.is_rejected
    assert listening.figures.refusals == {reason: 2}
    assert listening.figures.report().turned_away == 2
    assert [record.getMessage() for record in caplog.records if record.name == "cxr_edge"] == [
        f"DICOM: an association was refused or cut: {why} (1 since the start)"
    ]


def test_a_name_of_the_list_is_accepted(listen):
    listening = listen(calling_ae_titles=("CT1", "DX 2"), ae_title="X RAY 1")
    with association(listening.port, calling="DX 2", called="X RAY 1") as made:
        assert made.is_established


def test_another_address_is_closed_unread(listen):
    listening = listen(addresses=("10.1.0.0/16",))
    with association(listening.port) as made:
        assert not made.is_established and not made.is_rejected
    assert listening.figures.refusals == {"address": 1}
    listening = listen(addresses=("10.1.0.0/16", "127.0.0.1"))
    with association(listening.port) as made:
        assert made.is_established


def test_networks():
    networks = parse_networks(("10.1.2.3/24", "fe80::/10", "192.168.1.9"))
    allowed = ("10.1.2.200", "::ffff:10.1.2.1", "fe80::1%eth0", "192.168.1.9")
    assert all(is_allowed(address, networks) for address in allowed)
    assert not any(is_allowed(a, networks) for a in ("10.1.3.1", "::1", "192.168.1.8"))
    assert is_allowed("8.8.8.8", ())
    with pytest.raises(UsageError, match=r"dicom.addresses: 'ward'.* 10\.1\.2\.0/24"):
        parse_networks(("ward",))


def test_a_port_that_is_taken_is_one_line(listen, tmp_path):
    port = listen().port
    settings = DicomSettings(enabled=True, port=port)
    folder = ReceivedFolder(tmp_path / "other", max_bytes=1, min_free_bytes=1)
    listener = Listener(settings, folder, Figures(), lambda: None)
    with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1 port {port}: .*in use"):
        listener.start()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def client_context(folder, *, with_certificate):
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if with_certificate:
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return context, "127.0.0.1"


def tls_settings(folder, *, ca=True):
    return {
        "certificate": str(folder / "server.pem"),
        "private_key": str(folder / "server.key"),
        "ca_file": str(folder / "ca.pem") if ca else "",
    }


def test_tls_takes_senders_with_a_certificate(listen, certificates):
    listening = listen(**tls_settings(certificates))
    context = client_context(certificates, with_certificate=True)
    with association(listening.port, tls_args=context) as made:
        assert made.send_c_store(radiograph(1)).Status == 0
    context = client_context(certificates, with_certificate=False)
    with association(listening.port, tls_args=context) as made:
        assert not made.is_established
    with association(listening.port) as made:  # without TLS
        assert not made.is_established
    wait_until(lambda: listening.figures.associations == 0)
    context = client_context(certificates, with_certificate=True)
    with association(listening.port, tls_args=context) as made:
        assert made.is_established
    assert len(listening.files) == 1


def test_a_private_key_that_everybody_can_read_is_refused(certificates, tmp_path):
    settings = tls_settings(certificates)
    file = tmp_path / "server.key"
    file.write_bytes((certificates / "server.key").read_bytes())
    file.chmod(0o644)
    folder = ReceivedFolder(tmp_path, max_bytes=1, min_free_bytes=1)
    with pytest.raises(UsageError, match=r"can read the private key \(mode 0644\); run: chmod o="):
        Listener(DicomSettings(**{**settings, "private_key": str(file)}), folder, Figures(), print)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    with pytest.raises(UsageError, match="cannot be used"):
        Listener(
            DicomSettings(**{**settings, "certificate": str(certificates / "client.pem")}),
            *(folder, Figures(), print),
        )


def test_explicit_and_implicit_encoding_are_read_alike(listen):
    listening = listen()
    for number, syntax in enumerate([ExplicitVRLittleEndian, ImplicitVRLittleEndian]):
        with association(listening.port, syntaxes=[syntax]) as made:
            image = radiograph(number)
            assert made.send_c_store(image).Status == 0
    assert len(listening.files) == 2


def test_what_the_reader_reads_is_agreed_on_and_nothing_else(listen):
    listening = listen()
    readable = readable_syntaxes(pydicom)
    offered = [syntax for syntax in AllTransferSyntaxes if not syntax.is_private]
    agreed = []
    for syntax in offered:
        with association(listening.port, syntaxes=[syntax]) as made:
            if CR in {context.abstract_syntax for context in made.accepted_contexts}:
                agreed.append(str(syntax))
    assert sorted(agreed) == sorted(set(readable))
    decoders = [s for s in readable if s.startswith("1.2.840.10008.1.2.4.") and s[-2:] >= "57"]
    assert all(pydicom.pixels.get_decoder(syntax).is_available for syntax in decoders)
