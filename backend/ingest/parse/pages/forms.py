"""What is filled in on the form of a PDF page: its text holds the labels, the values lie beside it."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from backend.ingest.parse.text import clean, squeeze

_UNSEEN = raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW
_PASSWORD = 1 << 13
_CHOSEN = frozenset((raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON))
_WRITTEN = frozenset((raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX))
_PLACE = re.compile(r"\[\d+\]$")
_MOST = 5000


def filled_in(pdf: pdfium.PdfDocument, page: pdfium.PdfPage) -> list[str]:
    """A line "label: value" for each field of the page that holds something."""
    if pdf.formenv is None:
        return []
    lines = (_line(pdf.formenv.raw, annotation) for annotation in _widgets(page))
    return list(dict.fromkeys(line for line in lines if line))


def _widgets(page: pdfium.PdfPage) -> Iterator[Any]:
    for index in range(min(raw.FPDFPage_GetAnnotCount(page.raw), _MOST)):
        annotation = raw.FPDFPage_GetAnnot(page.raw, index)
        with closing(_Closing(annotation)):
            shown = not raw.FPDFAnnot_GetFlags(annotation) & _UNSEEN
            if shown and raw.FPDFAnnot_GetSubtype(annotation) == raw.FPDF_ANNOT_WIDGET:
                yield annotation


class _Closing:
    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation

    def close(self) -> None:
        raw.FPDFPage_CloseAnnot(self._annotation)


def _line(form: Any, annotation: Any) -> str:
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in _CHOSEN and raw.FPDFAnnot_IsChecked(form, annotation):
        value = _said(raw.FPDFAnnot_GetFormFieldExportValue, form, annotation)
    elif kind in _WRITTEN and not raw.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
        value = _said(raw.FPDFAnnot_GetFormFieldValue, form, annotation)
    else:
        return ""
    label = _said(raw.FPDFAnnot_GetFormFieldAlternateName, form, annotation) or _PLACE.sub(
        "", _said(raw.FPDFAnnot_GetFormFieldName, form, annotation).rsplit(".", 1)[-1]
    )
    return f"{label}: {value}" if label and value else ""


def _said(ask: Callable[..., int], form: Any, annotation: Any) -> str:
    """What pdfium answers in UTF-16, on one line."""
    size = ask(form, annotation, None, 0)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    ask(form, annotation, ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    return squeeze(clean(buffer.raw[: size - 2].decode("utf-16-le", "replace")))
