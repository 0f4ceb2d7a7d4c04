"""The ncnn engine, and what a .ncnn file may hold: everything is checked before ncnn sees it."""

from __future__ import annotations

import dataclasses
import random
import struct
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from cxr_edge.engines import Output, open_engine
from cxr_edge.engines.ncnn_file import FLOAT16, MEMBERS, members_of, read_ncnn
from cxr_edge.errors import EngineError
from cxr_edge.export.convert.ncnn_archive import pack_ncnn
from cxr_edge.spec import SEED_SPEC, InputSpec

SMALL = dataclasses.replace(SEED_SPEC, input=InputSpec(height=8, width=6))
"""The contract that the drawn files below fulfil or break."""

INPUT = "Input image 0 1 image 0=6 1=8 2=1"
CONVOLUTION = (
    "Convolution conv 1 1 image a 0=4 1=3 11=3 2=1 12=1 3=1 13=1 4=1 15=1 14=1 16=1 5=1 6=36 9=1"
)
POOL = "Pooling pool 1 1 a b 0=1 4=1"
DENSE = "InnerProduct dense 1 1 b c 0=1 1=1 2=4"
SIGMOID = "Sigmoid sigmoid 1 1 c scores"
LAYERS = (INPUT, CONVOLUTION, POOL, DENSE, SIGMOID)


def listed(layers: tuple[str, ...] = LAYERS, counts: str = "") -> bytes:
    """A list of layers."""
    blobs = sum(int(line.split()[3]) for line in layers)
    return "\n".join(["7767517", counts or f"{len(layers)} {blobs}", *layers, ""]).encode()


def drawn_weights() -> bytes:
    chance = np.random.default_rng(0)
    flag = b"\0\0\0\0"
    parts = [chance.normal(0, 0.3, size).astype("<f4").tobytes() for size in (36, 4, 4, 1)]
    return flag + parts[0] + parts[1] + flag + parts[2] + parts[3]


def drawn(layers: tuple[str, ...] = LAYERS, **members: bytes) -> bytes:
    """A file of one convolution, with other members where they are given."""
    content = dict(zip(MEMBERS, (b"fp32", b"{}", listed(layers), drawn_weights()), strict=True))
    names = {"precision": MEMBERS[0], "param": MEMBERS[2], "weights": MEMBERS[3]}
    return pack_ncnn({**content, **{names[key]: value for key, value in members.items()}})


def changed(place: int, old: str, new: str) -> tuple[str, ...]:
    """The layers with one of them changed."""
    assert old in LAYERS[place]
    return (*LAYERS[:place], LAYERS[place].replace(old, new, 1), *LAYERS[place + 1 :])


def refused(data: bytes, match: str) -> None:
    with pytest.raises(EngineError, match=match) as caught:
        open_engine("ncnn", data, SMALL)
    assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)


def test_a_drawn_file_computes_what_numpy_does() -> None:
    image = np.random.default_rng(1).normal(size=(8, 6)).astype(np.float32)
    scores = open_engine("ncnn", drawn(), SMALL).run(image.reshape(1, 8, 6, 1))
    weights = np.frombuffer(drawn_weights(), "<f4")
    kernel, bias, dense, offset = weights[1:37], weights[37:41], weights[42:46], weights[46]
    padded = np.pad(image, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    maps = np.einsum("hwij,oij->ohw", windows, kernel.reshape(4, 3, 3)) + bias[:, None, None]
    logit = dense @ np.maximum(maps, 0).mean(axis=(1, 2)) + offset
    np.testing.assert_allclose(scores, [[1 / (1 + np.exp(-logit))]], rtol=1e-5)


def test_a_file_says_what_goes_in_and_what_comes_out() -> None:
    file = read_ncnn(drawn())
    assert (file.input, file.output, file.precision) == ((1, 8, 6), (1,), "fp32")


@pytest.mark.parametrize(
    ("layers", "match"),
    [
        (changed(0, "0=6 1=8", "0=8 1=6"), r"image is float32 \(1, 6, 8, 1\)"),
        (changed(0, "2=1", "2=3"), "parameter 6 of a layer Convolution is 36"),
        (changed(3, "0=1 1=1 2=4", "0=2 1=1 2=8"), "bytes of weights"),
        (LAYERS[:1], "its output is 'image'"),
        ((INPUT, "Split split 1 2 image a scores"), "its output is 'a, scores'"),
        (LAYERS[1:], "first layer"),
        ((*LAYERS, INPUT.replace("image", "second")), "first layer"),
        ((INPUT.replace("image", "picture"), *LAYERS[1:]), "input is 'picture'"),
        ((*LAYERS[:-1], SIGMOID.replace("scores", "other")), "its output is 'other'"),
        (changed(2, " a b", " missing b"), "reads 'missing'"),
        ((*LAYERS[:2], "Concat cat 2 1 a a b 0=0", *LAYERS[3:]), "reads 'a'"),
        (changed(2, " a b", " a image"), "two layers output 'image'"),
        (changed(4, "Sigmoid", "Convolution3D"), "has the line"),
        (changed(4, "Sigmoid", "YoloDetectionOutput"), "never loads ncnn layers"),
        (changed(4, "Sigmoid", "Python"), "never loads ncnn layers of the type 'Python'"),
        (changed(1, "0=4", "0=5"), "parameter 6"),
        (changed(1, "0=4", "0=0"), "parameter 0 of a layer Convolution is 0"),
        (changed(1, "0=4", "0=-4"), "parameter 0"),
        (changed(1, "0=4", "0=4.00000000e+00"), "parameter 0"),
        (changed(1, "0=4", "0=4 0=4"), "has the parameter '0=4'"),
        (changed(1, "0=4", "0=0x4"), "has the number '0x4'"),
        (changed(1, "0=4", "0=4 8=1"), "has the parameter 8, unknown"),
        (changed(1, "1=3 11=3", "1=9 11=1"), "outputs"),
        (changed(1, " 16=1", ""), "lacks the parameter 16"),
        (changed(1, "9=1", "9=4"), "parameter 9"),
        (changed(1, "9=1", "9=2"), "lacks the parameter 10"),
        (changed(1, "9=1", "9=2 -23310=9,1.00000000e+00"), "has the array"),
        (changed(1, "9=1", "9=2 -23310=1,1"), "has the array"),
        (changed(1, "3=1", "3=0"), "parameter 3"),
        (changed(1, "4=1", "4=5000"), "parameter 4"),
        (changed(2, "4=1", "4=2"), "parameter 4"),
        (changed(4, "Sigmoid sigmoid 1 1 c scores", "ReLU r 1 1 c scores 0=0"), "parameter 0"),
        (changed(4, "sigmoid", "sig\u00efmoid"), "not ASCII"),
        (changed(4, "c scores", "c scores " + "x" * 300), "has the line"),
    ],
)  # fmt: skip
def test_a_network_that_ncnn_must_not_see_is_refused(layers: tuple[str, ...], match: str) -> None:
    refused(drawn(layers), match)


def padded_copies(count: int) -> tuple[str, ...]:
    """A list of a few layers whose blobs are large and all needed at once."""
    sizes = "0=3000 1=3000 2=3000 3=3000 4=0 5=0.00000000e+00"
    names = range(count)
    return (
        INPUT,
        f"Split s 1 {count} image " + " ".join(f"s{n}" for n in names),
        *(f"Padding p{n} 1 1 s{n} q{n} {sizes}" for n in names),
        f"Concat cat {count} 1 " + " ".join(f"q{n}" for n in names) + " scores 0=0",
    )


def test_the_memory_of_an_inference_is_bounded() -> None:
    """ncnn ends the process where memory runs out."""
    refused(drawn(padded_copies(8)), r"layers compute more than 134,217,728 values")


@pytest.mark.parametrize(
    ("param", "match"),
    [
        (b"", "does not begin or end"),
        (b"7767517\n0 0\n", "does not begin or end"),
        (listed()[:-1], "does not begin or end"),
        (b"7767518" + listed()[7:], "does not begin or end"),
        (listed(counts="5 6"), "counts '5 6'"),
        (listed(counts="999999999 1"), "counts"),
        (listed().replace(b"\n", b"\r\n"), "does not begin or end"),
        (listed() + b"\0", "does not begin or end"),
        (listed((INPUT,) + ("Sigmoid s 1 1 a b",) * 2_001), "more than 2,000 layers"),
        (b"7767517\n" + b"x" * 2**22, "more than 4,194,304 bytes"),
    ],
)  # fmt: skip
def test_a_list_of_layers_of_another_form_is_refused(param: bytes, match: str) -> None:
    refused(drawn(param=param), match)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (b"", "stored in an unknown way, or cut"),
        (drawn_weights()[:-4], "need 188 bytes of weights, it has 184"),
        (drawn_weights() + b"\0", "need 188 bytes"),
        (b"\1" + drawn_weights()[1:], "stored in an unknown way"),
        (struct.pack("<I", 0x000D4B38) + drawn_weights()[4:], "stored in an unknown way"),
        (struct.pack("<I", FLOAT16) + drawn_weights()[4:], "stored in an unknown way"),
    ],
)
def test_weights_that_do_not_fit_the_layers_are_refused(weights: bytes, match: str) -> None:
    refused(drawn(weights=weights), match)


def with_header(data: bytes, place: int, value: bytes) -> bytes:
    """The first member's header with other bytes."""
    return data[:place] + value + data[place + len(value) :]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda data: b"", "no .ncnn file, or cut"),
        (lambda data: b"PK\5\6" + data[4:], "no .ncnn file, or damaged"),
        (lambda data: with_header(data, 6, b"\1"), "packed, cut or damaged"),  # encrypted
        (lambda data: with_header(data, 8, b"\x08"), "packed, cut or damaged"),  # deflated
        (lambda data: with_header(data, 22, b"\xff\xff\xff\x7f"), "packed, cut or damaged"),
        (lambda data: data.replace(b"precision", b"precisiom"), "no .ncnn file"),
        (lambda data: data[:-1], "end is cut"),
        (lambda data: data[: data.index(b"PK\1\2")], "end is cut"),
        (lambda data: data + b"x" * 5000, "end is cut or damaged"),
        (lambda data: drawn(precision=b"int4\n"), r"precision is int4\\n, expected fp32 or fp16"),
    ],
)
def test_an_archive_of_another_form_is_refused(
    change: Callable[[bytes], bytes], match: str
) -> None:
    data = change(drawn())
    refused(data, match)


def test_2000_flipped_bytes_and_200_cuts_end_in_an_error_or_in_scores() -> None:
    """Weights are covered by the hash of the bundle; everything else is found here."""
    whole, chance = drawn(), random.Random(4)
    image = np.full((1, 8, 6, 1), 0.5, np.float32)
    outcomes = {"refused": 0, "scores": 0}
    for number in range(2200):
        data = bytearray(whole)
        if number < 2000:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        else:
            del data[chance.randrange(len(data)) :]
        try:
            scores = open_engine("ncnn", bytes(data), SMALL).run(image)
        except EngineError as err:
            assert len(str(err)) <= 300 and "\n" not in str(err)
            outcomes["refused"] += 1
        else:
            assert scores.shape == (1, 1) and number < 2000
            outcomes["scores"] += 1
    assert min(outcomes.values()) > 200, outcomes


def test_an_image_of_another_size_is_an_error() -> None:
    loaded = open_engine("ncnn", drawn(), SMALL)
    with pytest.raises(EngineError, match=r"ncnn failed: the input is \(1, 6, 8, 1\)"):
        loaded.run(np.zeros((1, 6, 8, 1), np.float32))


def test_it_answers_no_heat_map() -> None:
    declared: tuple[Output, ...] = ("scores", "heatmap")
    with pytest.raises(EngineError, match=r"scores only.*use onnxruntime or openvino"):
        open_engine("ncnn", drawn(), SMALL, outputs=declared)


def test_its_precision_is_the_files_and_not_ncnns_default(monkeypatch: pytest.MonkeyPatch) -> None:
    import ncnn

    seen = []

    class Watched(ncnn.Net):
        def load_param_mem(self, text: str) -> int:
            seen.append(
                (
                    self.opt.use_fp16_arithmetic,
                    self.opt.use_fp16_storage,
                    self.opt.use_fp16_packed,
                    self.opt.use_bf16_storage,
                    self.opt.num_threads,
                )
            )
            return int(super().load_param_mem(text))

    import cxr_edge.engines.ncnn as engine

    monkeypatch.setattr(engine.ncnn, "Net", Watched)
    open_engine("ncnn", drawn(), SMALL)
    open_engine("ncnn", drawn(precision=b"fp16"), SMALL)
    assert seen == [(False, False, False, False, 1), (True, True, True, False, 1)]


def test_nothing_but_the_engine_is_imported() -> None:
    code = (
        "import sys, cxr_edge.engines.ncnn;"
        "print([m for m in ('requests', 'tqdm', 'zipfile', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stdout.strip() == b"[]"


def test_members_are_those_that_were_packed() -> None:
    members = members_of(drawn())
    assert tuple(members) == MEMBERS and bytes(members["model.bin"]) == drawn_weights()
