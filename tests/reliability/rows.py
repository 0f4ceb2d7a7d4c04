"""The table of reliability: what is promised, and the tests that hold each promise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One promise."""

    id: str
    what: str
    """What is done to the software."""
    promise: str
    """What must hold."""
    tests: tuple[str, ...] = ()
    """Test files below ``tests/``, or ``FILE::TEST`` for one of a file."""
    soak: tuple[str, ...] = ()
    """Long runs of ``make soak``, by the name of their test."""
    waits_for: str = ""
    """What has to be built first; empty: nothing."""


_SERVICE = "the service, which is not built yet"

GROUPS: dict[str, tuple[Row, ...]] = {
    "Images": (
        Row(
            "I1",
            "3,243 malformed or unusual images of other projects' test suites, in one process",
            "no crash, hang (5 s a file) or traceback; each a prediction or a typed failure",
            ("image/test_odd_images.py",),
        ),
        Row(
            "I2",
            "JPEG cut at 200 points: baseline, progressive, restart markers",
            "0 accepted",
            ("image/test_jpeg.py::test_cut_anywhere_is_refused",),
        ),
        Row(
            "I3",
            "JPEG with a hole of zeros, a zero tail or a cut closed by an end marker",
            "0 accepted where more than 2 % of the rows are lost; no sound radiograph refused",
            (
                "image/test_jpeg.py::test_damage_that_libjpeg_papers_over",
                "image/test_jpeg.py::test_no_false_refusal",
            ),
        ),
        Row(
            "I3b",
            "restart intervals emptied while their markers stay; cut and closed at 224 to 1024 "
            "pixels, 4:4:4 and 4:2:0",
            "0 accepted where more than 2 % of the rows are lost",
            ("image/test_jpeg.py",),
        ),
        Row(
            "I4",
            "cut PNG, BMP, TIFF and WebP",
            "0 accepted",
            (
                "image/test_png.py::test_cut_anywhere_is_refused",
                "image/test_formats.py::test_cut_anywhere_is_refused",
            ),
        ),
        Row(
            "I5",
            "headers that claim up to 65 k pixels a side; progressive JPEG of 10,000 scans",
            "typed, less than 64 MB more memory, less than 1 s",
            (
                "image/test_limits.py::test_headers_over_the_limit",
                "image/test_jpeg.py::test_scan_bomb",
            ),
        ),
        Row(
            "I5b",
            "bombs of every reader: overlapping tables, data that inflates past the picture, "
            "shared tiles, empty tables, restart storms, many components, false headers",
            "at most 64 MB beyond the picture's own size, at most 1 s for a file under 1 MB; "
            "MemoryError typed",
            ("image/test_bombs.py",),
        ),
        Row(
            "I6",
            "50 Mpx and 256 MiB, settable",
            "exact at the limit and one over; 0 and less refused",
            ("image/test_limits.py",),
        ),
        Row(
            "I7",
            "EXIF orientation 1 to 8 against Pillow's exif_transpose",
            "mean difference at most 0.1 grey level",
            ("image/test_jpeg.py::test_orientation", "image/test_jpeg.py::test_exif_samples"),
        ),
        Row(
            "I8",
            "PngSuite",
            "8-bit opaque files as Pillow decodes them; 16 bits and alpha by the stated rule; "
            "broken ones refused",
            ("image/test_png.py::test_png_suite",),
        ),
        Row(
            "I9",
            "12 bits in a 16-bit PNG, 16 bits",
            "a typed refusal, never silently dark",
            ("image/test_png.py::test_sixteen_bits_are_refused",),
        ),
        Row(
            "I10",
            "several frames, alpha, CMYK, palettes, 1 bit",
            "right or typed",
            (
                "image/test_png.py",
                "image/test_formats.py",
                "image/test_jpeg.py::test_kinds_that_are_refused",
            ),
        ),
        Row(
            "I11",
            "folders, FIFOs, devices, link loops, mode 000, empty files, odd names, a file that "
            "shrinks while it is read",
            "typed, less than 1 s",
            ("image/test_paths.py",),
        ),
        Row(
            "I12",
            "DICOM: MONOCHROME1 and 2, VOI LUT, rescale, JPEG, JPEG-LS, JPEG 2000, RLE, no "
            "pixels, cut, other modality",
            "right or typed; MONOCHROME1 equals its inverted MONOCHROME2 twin",
            (
                *("image/test_dicom.py", "image/test_dicom_bits.py", "image/test_dicom_padding.py"),
                *("image/test_dicom_tables.py", "image/test_dicom_windows.py"),
                *("image/test_dicom_aspect.py", "image/test_dicom_files.py"),
            ),
        ),
        Row(
            "I12b",
            "folders as a CD or PACS writes them: no suffixes, DICOMDIR, several series",
            "chest radiographs found, the rest named with the reason",
            ("cli/test_studies.py", "image/test_dicom_selection.py"),
        ),
        Row(
            "I13",
            "pictures that are no chest X-ray",
            "marked out of domain, with measured rates",
            ("test_domain.py",),
        ),
    ),
    "Bundle and model files": (
        Row(
            "B1",
            "bit flips, truncations, swapped and deleted files",
            "typed before a session exists; verify also reports files that are not listed",
            ("bundle/test_reader.py", "bundle/test_verify.py"),
        ),
        Row(
            "B2",
            "a manifest with ../, absolute paths, links, 1 GB or 100,000 levels of JSON, duplicate "
            "or unknown keys, NaN",
            "typed; at most 1 MiB is read",
            ("bundle/test_manifest.py", "test_documents.py"),
        ),
        Row(
            "B3",
            "wrong layout, channels, type, batch, two inputs, more outputs",
            "typed when it is loaded",
            (
                "engines/test_engines.py::test_a_file_of_another_contract_is_refused_when_it_is_loaded",
            ),
        ),
        Row(
            "B4",
            "ONNX with external data or custom operators; .keras with code",
            "refused; no code runs",
            ("engines", "original"),
        ),
        Row(
            "B4b",
            "a bundle of every earlier minor version",
            "opens; a newer one or an unknown key is refused in one line",
            ("bundle/test_compatibility.py",),
        ),
        Row(
            "B5",
            "hashing what load opens",
            "less than 10 % of the time to load, or at most 2 ms",
            soak=("test_b5_hashing_what_is_loaded",),
        ),
    ),
    "Export": (
        Row(
            "E1",
            "kill -9 at 200 random moments of the commit, and at 10 of an export",
            "the old bundle or the new one, whole; leftovers swept by the next",
            ("export/test_commit.py",),
            ("test_e1_killed_commits",),
        ),
        Row(
            "E2",
            "every write failing in turn",
            "exit 6, the old bundle byte-identical",
            ("export/test_commit.py",),
        ),
        Row(
            "E3",
            "a converter off by .01, a file of NaN, one that never crosses the threshold",
            "caught by the gate, exit 6, nothing replaced",
            ("export/test_gate.py",),
        ),
        Row(
            "E4",
            "the same export twice, in two processes",
            "identical bytes",
            ("export/convert/test_files.py",),
        ),
    ),
    "Running": (
        Row(
            "R1",
            "100,000 predictions in one process, each engine",
            "less than 5 MB growth after the first 1,000; no new descriptors or threads",
            ("test_classifier.py::test_memory_does_not_grow_with_the_number_of_images",),
            ("test_r1_predictions_in_one_process",),
        ),
        Row(
            "R2",
            "16 threads on one Classifier against one",
            "bitwise equal",
            ("engines/test_engines.py::test_16_threads_on_one_engine_answer_bitwise_like_one",),
        ),
        Row(
            "R3",
            "fork, fork pool, spawn pool, preloading server, 50 each",
            "works or a typed error at once; never a hang or a signal",
            ("engines",),
            ("test_r3_processes",),
        ),
        Row(
            "R4",
            "strace of predict, verify, benchmark, export, train",
            "no network connection; no file outside what was asked for",
            ("system/test_strace.py",),
        ),
        Row(
            "R5",
            "10,000 images with 5 % bad ones; Ctrl-C; a reader that stops",
            "good ones as in a clean run; memory flat; a valid prefix and exit 130; quiet",
            ("cli/test_predict.py", "cli/test_streams.py"),
            ("test_r5_ten_thousand_images",),
        ),
        Row(
            "R6",
            "the same image alone, first and last in a batch",
            "difference at most 1e-6",
            (
                "engines/test_engines.py"
                "::test_an_image_is_answered_alike_alone_first_and_last_in_a_batch",
            ),
        ),
        Row(
            "R7",
            "output that is not finite or outside 0..1",
            "typed, never printed as a result",
            ("test_decision.py", "test_classifier.py"),
        ),
        Row(
            "R8",
            "ASCII locale, read-only folder, no HOME, unreadable HOME, empty environment, closed "
            "streams, /dev/full, python -O, -W error",
            "works, or one line and the documented code",
            ("cli/test_edges.py", "cli/test_streams.py"),
        ),
        Row(
            "R9",
            "the service killed 100 times among 2,000 arriving images; disk full",
            "every delivery exactly once in the store; audit chain whole",
            ("service/test_exactly_once.py", "service/test_store.py", "service/test_moving.py"),
            ("test_r9_killed_a_hundred_times", "test_r9_disk_full_and_freed"),
        ),
        Row(
            "R10",
            "20,000 images through the service",
            "memory, descriptors and database flat; red within a minute of a failing input",
            ("service/test_recorder.py", "service/test_retention.py"),
            ("test_r10_a_day_of_images",),
        ),
        Row(
            "R11",
            "oversized, slow, malformed and 200 parallel HTTP requests; no or a wrong token",
            "typed status, service alive, nothing stored twice",
            ("service/http/test_limits.py", "service/http/test_guard.py"),
        ),
        Row(
            "R12",
            "DICOM listener: 1,000 associations, 2 GB announced, killed while receiving",
            "none acknowledged and lost, none twice",
            (
                "service/dicom/test_limits.py",
                "service/dicom/test_listener.py",
                "service/dicom/test_whole_way.py",
            ),
            ("test_r12_killed_while_receiving", "test_r12_hostile_peers", "test_r12_disk_full"),
        ),
        Row(
            "R13",
            "an upgrade of the bundle killed at 50 moments",
            "the old or the new one serves",
            ("bundle/test_upgrade.py",),
            ("test_r13_killed_upgrades",),
        ),
    ),
    "Fuzzing": (
        Row(
            "fuzz",
            "mutated files through every reader",
            "an image or an error of ours",
            ("image/test_property.py",),
            ("test_fuzz_every_reader",),
        ),
    ),
}

ROWS = tuple(row for rows in GROUPS.values() for row in rows)
