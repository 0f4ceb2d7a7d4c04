"""Small sound files of every format, to mutate."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow

from cxr_edge.data.phantom import draw_phantom


def seeds() -> dict[str, bytes]:
    """Files by name."""
    grey = Pillow.fromarray(draw_phantom(np.random.default_rng(1), height=60, width=80))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    recipes: dict[str, tuple[Pillow.Image, str, dict[str, object]]] = {
        "exif.jpeg": (grey, "JPEG", {"exif": exif}),
        "progressive.jpeg": (grey.convert("RGB"), "JPEG", {"progressive": True}),
        "restarts.jpeg": (grey, "JPEG", {"restart_marker_blocks": 5, "optimize": True}),
        "exif.png": (grey, "PNG", {"exif": exif}),
        "palette.png": (grey.quantize(16), "PNG", {"transparency": b"\xff" * 16}),
        "alpha.png": (grey.convert("RGBA"), "PNG", {}),
        "grey.bmp": (grey, "BMP", {}),
        "palette.bmp": (grey.quantize(16), "BMP", {}),
        "deflate.tiff": (grey, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "plain.tiff": (grey.convert("RGB"), "TIFF", {}),
        "exif.webp": (grey, "WEBP", {"exif": exif}),
        "lossless.webp": (grey.convert("RGBA"), "WEBP", {"lossless": True}),
    }
    files = {}
    for name, (picture, format_name, options) in recipes.items():
        buffer = io.BytesIO()
        picture.save(buffer, format_name, **options)
        files[name] = buffer.getvalue()
    return files


def dicom_seeds() -> dict[str, bytes]:
    """DICOM files by name: plain, with a window, RLE, baseline JPEG and a lookup table."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

    pixels = draw_phantom(np.random.default_rng(1), height=60, width=80)

    def plain() -> Dataset:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
        dataset.Modality, dataset.PhotometricInterpretation = "CR", "MONOCHROME2"
        dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit = 7
        dataset.PixelData = pixels.tobytes()
        dataset["PixelData"].VR = "OB"
        return dataset

    window, rle, jpeg, table = plain(), plain(), plain(), plain()
    window.WindowCenter, window.WindowWidth, window.PhotometricInterpretation = (
        *(100, 90),
        "MONOCHROME1",
    )
    rle.compress(RLELossless)
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "JPEG")
    jpeg.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    jpeg.PixelData = encapsulate([buffer.getvalue()])
    lookup = Dataset()
    lookup.LUTDescriptor, lookup.LUTData = [256, 0, 8], bytes(range(256))
    lookup["LUTData"].VR = "OW"
    table.VOILUTSequence = [lookup]
    files = {}
    datasets = {"plain": plain(), "window": window, "rle": rle, "jpeg": jpeg, "table": table}
    for name, dataset in datasets.items():
        out = io.BytesIO()
        dataset.save_as(out, enforce_file_format=True)
        files[f"{name}.dcm"] = out.getvalue()
    return files
