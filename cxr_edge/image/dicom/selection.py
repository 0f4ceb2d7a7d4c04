"""Which DICOM files are read: every rule, and the reason for each file that is left out.

Rules of the kind hold always: a file must be one grey radiograph for presentation. The rules of
``frontal-chest`` refuse what the file states to be another body part or another view. A file that
states neither is accepted, as many of computed radiography do; the check for images out of domain
still looks at its pixels. Free text (series, study and protocol descriptions) is no evidence.

A reason never quotes the file: a value is named only where it is one of this module's own words,
since any element may hold a patient's name.

Sources: DICOM PS3.3 C.8.1.1, C.8.11.1 and C.8.11.5 (modality, view), PS3.16 CID 4 and CID 4010
(coded regions and views) and Annex L (body parts); spellings of the chest in other languages as in
PixelMed's anatomy tables.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cxr_edge.image.dicom.attributes import number
from cxr_edge.image.dicom.orientation import directions
from cxr_edge.image.header import Radiographs


def _table(words: str) -> frozenset[str]:
    return frozenset(words.split())


@dataclass(frozen=True, slots=True)
class Rules:
    """What a file may state; words are upper case, without accents and punctuation."""

    modalities: tuple[str, ...] = ("CR", "DX", "RG", "DR")
    """Computed, digital and screen-film radiography; DR stands in old files."""
    classes: frozenset[str] = frozenset(
        {
            "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography
            "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray, for presentation
            "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray, for processing: refused by its intent
            "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture, and below its forms with frames
            "1.2.840.10008.5.1.4.1.1.7.2",
            "1.2.840.10008.5.1.4.1.1.7.3",
        }
    )
    """SOP classes that hold a radiograph. Of a class that the standard does not name, the modality
    decides."""
    chest: frozenset[str] = _table("""
        CHEST CXR CHST THX THORAX TORAX TORACE TORAKS LUNG LUNGS LUNGE LUNGEN POUMON POUMONS PULMON
        PULMONES POLMONI BRUSTKORB POITRINE BORST BORSTKAS BROSTKORG BRYSTKASSE PECHO PEITO HRUDNIK
        MELLKAS KLATKA RINTAKEHA RINDKERE AKCIGER ГРУДЬ ГРУДНАЯ КЛЕТКА КЛЕТКИ ОГК 胸部 胸 흉부
    """)
    """Body Part Examined has one of these words, alone or written together with another (CHESTPA,
    PACHEST)."""
    other_parts: frozenset[str] = _table("""
        ABD ABDO ABDOMEN ABDOMENPELVIS ABDPELV ABDPELVIS ADDOME ANKLE ARM BACK BRAIN BREAST BRZUCH
        BUCH BWS CALCANEUS CERVICAL CLAVICLE CLAVICULA COCCYX COLLO COLONNA COLONNE COLUMNA COLUNA
        CSPINE CTSPINE ELBOW EXTREMITY FEMUR FINGER FOOT FOREARM GERINC HALS HAND HEAD HEADNECK
        HEART HIP HUMERUS HWS JAW KNEE LEG LIVER LSPINE LSSPINE LUMBAR LWS MANDIBLE MAXILLA
        MEDIASTINUM MIEDNICA NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE ORBIT PATELLA
        PELV PELVIS PHANTOM RACHIS RADIUS RADIUSULNA RIB RIBS RIPPEN SACRUM SCAPULA SHOULDER SINUS
        SKULL SPINE SSPINE STERNUM THIGH THORACIC THUMB TIBIA TIBIAFIBULA TLSPINE TOE TRACHEA TSPINE
        ULNA UPPERLIMB VERTEBRA WERVEL WHOLEBODY WIRBEL WRIST 胸椎 胸腰椎 胸骨 胸腹部
    """)
    """Words of other body parts: beside the chest, they make a picture of more than the chest."""
    frontal: frozenset[str] = _table("""
        PA AP DV VD FRONTAL FRONTALE FRONT FRENTE FACE POSTEROANTERIOR ANTEROPOSTERIOR
        POSTERIORANTERIOR ANTERIORPOSTERIOR POSTEROANTERIEUR ANTEROPOSTERIEUR POSTEROANTERIORE
        ANTEROPOSTERIORE DORSOVENTRAL VENTRODORSAL 正面 正位 后前位 後前位 前后位 前後位
    """)
    """View Position has one of these words, in any posture (AP SUPINE)."""
    not_frontal: frozenset[str] = _table("""
        LL RL LAT LLAT RLAT LATL LATR LATERAL LLD RLD DECUBITUS LLO RLO LAO RAO LPO RPO OBL OBLIQUE
        AXIAL APICAL XTL XTABLE CROSSTABLE MLO ML LM CC 側面 侧面 側位 侧位
    """)
    """One of these words makes a view another than frontal, also beside PA or AP (AP LLD)."""
    not_frontal_stems: frozenset[str] = _table("""
        LATERAL SEITL PROFIL PERFIL DECUB OBLI SCHRAG LORDO TANGENTI SWIMMER SAGITTAL
    """)
    """So does a word that has one of these in it (LLDECUB, LATERALE)."""
    posture: frozenset[str] = _table("""
        SUPINE ERECT UPRIGHT STANDING SITTING SEMI SEMIERECT SEMIUPRIGHT PRONE BED PORTABLE PORT
        MOBILE BEDSIDE GRID BUCKY VIEW INSPIRATION INSP EXPIRATION EXP BILATERAL ROUTINE STANDARD
    """)
    """Words that tell nothing about the view."""
    not_stated: frozenset[str] = _table("""
        UNKNOWN UNK NONE NA N A OTHER UNSPECIFIED UNDEFINED NULL DEFAULT ANY
    """)
    """Words that tell nothing at all."""
    schemes: frozenset[str] = _table("SCT SRT SNM3 99SDM")
    """Coding schemes that are read; codes of others are no evidence."""
    chest_codes: frozenset[str] = _table("""
        816094009 51185008 302551006 39607008 43799004 T-D3000 T-28000 T-D3200
    """)
    """Thorax, thorax (before 2023), entire thorax, lung, intra-thoracic."""
    frontal_codes: frozenset[str] = _table("""
        272479007 399348003 399033003 R-40888 R-10214 R-10206 R-10202
    """)
    """Postero-anterior, antero-posterior, frontal."""
    image_types: frozenset[str] = _table("LOCALIZER SCOUT")
    """Third and later values of Image Type that are left out. ORIGINAL or DERIVED, PRIMARY or
    SECONDARY are not looked at: processed and recompressed radiographs are marked as either."""


RULES = Rules()

_CLASS_PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11."
_CLASS_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
_OTHER_MODALITIES = _table("""
    AU BMD CT DG DOC ECG ES FID GM HC IO IVUS KO MG MR NM OCT OP OT PLAN PT PX REG RF RTDOSE RTIMAGE
    RTPLAN RTRECORD RTSTRUCT RWV SC SEG SM SR TG US XA XC
""")
_COLOURS = {"PALETTE COLOR"} | _table("""
    RGB YBR_FULL YBR_FULL_422 YBR_PARTIAL_420 YBR_PARTIAL_422 YBR_ICT YBR_RCT HSV ARGB CMYK
""")
_LONG = 5  # letters of a word that may be part of another
_LONG_CHEST = {name for name in RULES.chest if len(name) >= _LONG}
_LONG_OTHERS = {name for name in RULES.other_parts if len(name) >= _LONG}
_HINT = "; --radiographs any reads it (in the service, worker.radiographs)"


def reason_to_leave_out(dataset: Any, radiographs: Radiographs = "frontal-chest") -> str | None:
    """Why a file is not wanted; None: it is read.

    Args:
        dataset: the file's elements (:func:`cxr_edge.image.dicom.elements.read_elements`).
        radiographs: ``any`` leaves out what is no single grey radiograph for presentation,
            ``frontal-chest`` other body parts and views too.
    """
    reason = reason_of_kind(dataset) or _reason_of_pixels(dataset)
    if reason or radiographs == "any":
        return reason
    return _reason_of_part(dataset) or _reason_of_view(dataset)


def reason_of_kind(dataset: Any) -> str | None:
    """Why a file of this SOP class and modality is not wanted; both come first in a file."""
    sop_class = str(_class_uid(dataset) or "")
    modality = _text(dataset, "Modality")
    if sop_class.startswith(_CLASS_PRESENTATION_STATE) or modality == "PR":
        return "a presentation state: the image that it refers to is shown without it"
    name = _name_of(dataset)
    if name and sop_class not in RULES.classes:
        return f"the DICOM file is of class {name}, expected a radiograph"
    *others, last = RULES.modalities
    expected = f"expected a radiograph: {', '.join(others)} or {last}"
    if modality and modality not in RULES.modalities:
        stated = modality if modality in _OTHER_MODALITIES else "none that is known"
        return f"the DICOM modality is {stated}, {expected}"
    if not modality and "Rows" in dataset:  # which come later: else the file was cut
        return f"the DICOM file states no modality, {expected}"
    return None


def _reason_of_pixels(dataset: Any) -> str | None:
    """Why a radiograph is none that is shown as one grey picture."""
    frames = number(dataset, "NumberOfFrames") or 1
    if frames != 1:
        return f"the DICOM file has {frames:g} frames, expected one; save the frame to read"
    photometric = _text(dataset, "PhotometricInterpretation")
    samples = number(dataset, "SamplesPerPixel") or 1
    if photometric in _COLOURS or samples > 1:
        named = photometric if photometric in _COLOURS else "in colour"
        return (
            f"the DICOM file is {named} with {samples:g} samples a pixel, supported are MONOCHROME1"
            " and MONOCHROME2"
        )
    intent = _text(dataset, "PresentationIntentType")
    if "PROCESSING" in intent or (
        not intent and str(_class_uid(dataset) or "") == _CLASS_FOR_PROCESSING
    ):
        return "the DICOM file is raw detector data (FOR PROCESSING); send the processed one"
    if intent not in ("", "FOR PRESENTATION"):
        return "the presentation intent is none that is known, expected FOR PRESENTATION"
    return None


def _reason_of_part(dataset: Any) -> str | None:
    """Why a radiograph is none of the chest; None: it is, or does not say."""
    if _text(dataset, "AnatomicalOrientationType") == "QUADRUPED":
        return f"the patient is an animal, expected a chest of a person{_HINT}"
    words = _words(dataset.get("BodyPartExamined"))
    expected = f"expected the chest{_HINT}"
    if not set(words) <= RULES.not_stated:
        rest, has_chest = _without_chest(words)
        other = _other_part(rest)
        if not has_chest:
            return f"the body part is {other or 'another one'}, {expected}"
        if other:
            return f"the body part is the chest with {other}, {expected}"
    if _codes_contradict(dataset, "AnatomicRegionSequence", RULES.chest_codes):
        return f"the coded region is another body part, {expected}"
    return None


def _reason_of_view(dataset: Any) -> str | None:
    """Why a radiograph is not frontal; None: it is, or does not say."""
    expected = f"expected PA or AP{_HINT}"
    words, _ = _without_chest(_words(dataset.get("ViewPosition")))
    other = _other_view(words)
    if other:
        return f"the view is {other}, {expected}"
    other = _other_part(words)
    if other:
        return f"the view names the body part {other}, expected the chest{_HINT}"
    told = {*words} - RULES.not_stated - RULES.posture
    if told and not _first(words, RULES.frontal) and not all(map(str.isdigit, told)):
        return f"the view is none that is known, {expected}"
    part, _ = _without_chest(_words(dataset.get("BodyPartExamined")))
    other = _other_view(part)
    if other and not _first(part, RULES.frontal):  # both: the examination, not this picture
        return f"the body part names the view {other}, {expected}"
    if _codes_contradict(dataset, "ViewCodeSequence", RULES.frontal_codes):
        return f"the coded view is another one, {expected}"
    stated = directions(dataset)
    if stated and {"A", "P"} & {*stated}:
        return f"the patient's orientation {'/'.join(stated)} is not frontal, {expected}"
    types = {str(value).strip().upper() for value in _values(dataset.get("ImageType"))[2:]}
    if types & RULES.image_types:
        return f"the image is a localizer, expected a radiograph{_HINT}"
    return None


def _codes_contradict(dataset: Any, keyword: str, accepted: frozenset[str]) -> bool:
    """Whether a sequence of codes that are read holds none of those accepted."""
    codes = [
        str(item.get("CodeValue", "")).strip().upper()
        for item in dataset.get(keyword) or ()
        if str(item.get("CodingSchemeDesignator", "")).strip().upper() in RULES.schemes
    ]
    return bool(codes) and accepted.isdisjoint(codes)


def _without_chest(words: Iterable[str]) -> tuple[list[str], bool]:
    """The words without those of the chest, which may be written together with another."""
    rest, has_chest = [], False
    for word in words:
        before = max((name for name in RULES.chest if word.startswith(name)), key=len, default="")
        after = max((name for name in _LONG_CHEST if word.endswith(name)), key=len, default="")
        if word in RULES.other_parts or not before + after:
            rest.append(word)
            continue
        has_chest = True
        rest.append(word.removeprefix(before) if before else word.removesuffix(after))
    return [word for word in rest if word], has_chest


def _other_part(words: list[str]) -> str:
    """The first word that is another body part or begins with one (SHOULDERS); empty: none."""
    names = sorted(_LONG_OTHERS)
    parts = (name for word in words for name in names if word.startswith(name))
    return _first(words, RULES.other_parts) or next(parts, "")


def _other_view(words: list[str]) -> str:
    """A word that makes a view another than frontal; empty: none."""
    stems = sorted(RULES.not_frontal_stems)
    parts = (stem for word in words if word not in RULES.posture for stem in stems if stem in word)
    return _first(words, RULES.not_frontal) or next(parts, "")


def _first(words: list[str], known: frozenset[str]) -> str:
    """The first known word, also one written as two (POSTERO-ANTERIOR, P.A.); empty: none."""
    pairs = (first + second for first, second in itertools.pairwise(words))
    return next((word for word in (*words, *pairs) if word in known), "")


def _words(value: Any) -> list[str]:
    """The words of an element: upper case, without accents and punctuation."""
    text = " ".join(map(str, _values(value)))
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    letters = "".join(c for c in plain if not unicodedata.combining(c))
    return re.findall(r"[^\W\d_]+|\d+", unicodedata.normalize("NFC", letters).upper())


def _values(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str | bytes | int | float) else list(value)


def _text(dataset: Any, keyword: str) -> str:
    return str(dataset.get(keyword) or "").strip().upper()


def _name_of(dataset: Any) -> str:
    """The standard's name of the file's SOP class; empty: it has none."""
    uid = _class_uid(dataset)
    name = str(getattr(uid, "name", uid) or "")
    return "" if name == str(uid or "") else name.removesuffix(" Storage")


def _class_uid(dataset: Any) -> Any:
    meta = getattr(dataset, "file_meta", None)
    return dataset.get("SOPClassUID") or (meta.get("MediaStorageSOPClassUID") if meta else None)
