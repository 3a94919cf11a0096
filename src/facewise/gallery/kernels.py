"""Scores of int8 codes: FAISS's scan for one probe, one matrix product for many.

A code is a signed byte kept with 128 added, as FAISS's `QT_8bit_direct_signed` keeps it. All sums are exact
integers.
"""

from __future__ import annotations

import base64
import threading
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Codes: TypeAlias = NDArray[np.uint8]
"""`(N, D)` signed bytes with 128 added."""

LARGEST = 127


def scan(
    codes: Codes, probe: NDArray[np.float32], k: int, slots: NDArray[np.int64], chosen: Any = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The `k` highest integer scores of one probe, by FAISS, which leaves Python's lock meanwhile.

    Args:
        codes: `(n, D)`, C-contiguous; may be memory-mapped.
        probe: `(D,)` integers of at most `LARGEST`, as float32.
        k: At most so many.
        slots: `(n,)` the number of each row.
        chosen: A FAISS selector of slots, or None for all.

    Returns:
        Scores and slots, in no order; fewer than `k` where there are fewer rows.
    """
    import faiss  # noqa: PLC0415  a third of a second, and only large galleries need it

    scores = np.full(k, -np.inf, dtype=np.float32)
    found = np.full(k, -1, dtype=np.int64)
    scanner = _quantizer(codes.shape[1]).select_InvertedListScanner(
        faiss.METRIC_INNER_PRODUCT, None, False, chosen, False
    )
    scanner.list_no = 0
    scanner.set_query(faiss.swig_ptr(probe))
    scanner.scan_codes(
        len(codes),
        faiss.swig_ptr(codes),
        faiss.swig_ptr(slots),
        faiss.swig_ptr(scores),
        faiss.swig_ptr(found),
        k,
    )
    there = found >= 0
    return scores[there], found[there]


@cache
def _quantizer(size: int) -> Any:
    import faiss  # noqa: PLC0415  see above

    return faiss.ScalarQuantizer(size, faiss.ScalarQuantizer.QT_8bit_direct_signed)


_sessions = threading.local()


def products(codes: Codes, probes: NDArray[np.int8]) -> NDArray[np.int32]:
    """`(n, P)` integer scores of many probes, by ONNX Runtime's product of bytes, on this thread.

    Args:
        codes: `(n, D)`.
        probes: `(D, P)`, of at most `largest_factor()`.
    """
    session = getattr(_sessions, "product", None)
    if session is None:
        session = _sessions.product = _product_session()
    scores: NDArray[np.int32] = session.run(None, {"codes": codes, "probes": probes})[0]
    return scores


@cache
def largest_factor() -> int:
    """The largest byte a probe of `products` may hold.

    Processors without VNNI add pairs of products in 16 bits, which overflow from 2·255·65 on: there a probe
    has seven bits. Found by trying, as the runtime does not tell.
    """
    codes = np.full((16, 64), 255, dtype=np.uint8)
    probes = np.full((64, 16), LARGEST, dtype=np.int8)
    return LARGEST if (products(codes, probes) == 64 * 127 * LARGEST).all() else 64


def _product_session() -> Any:
    import onnxruntime as ort  # noqa: PLC0415  who searches small galleries needs none

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the callers are the threads
    return ort.InferenceSession(base64.b64decode(_PRODUCT), options, providers=["CPUExecutionProvider"])


_PRODUCT = (
    "CAgSADqVAQouCgVjb2RlcwoGcHJvYmVzCgZtaWRkbGUSBnNjb3JlcyINTWF0TXVsSW50ZWdlchIBZyoNEAJCBm1pZGRsZUoB"
    "gFoZCgVjb2RlcxIQCg4IAhIKCgMSAW4KAxIBZFoaCgZwcm9iZXMSEAoOCAMSCgoDEgFkCgMSAXBiGgoGc2NvcmVzEhAKDggG"
    "EgoKAxIBbgoDEgFwQgQKABAR"
)
"""An ONNX network of one node: `MatMulInteger` of uint8 codes (zero point 128) and int8 probes, opset 17."""
