"""The search over millions against FAISS's flat index, in one run: `python benchmarks/index.py`.

The gallery is 512 random numbers a vector, of unit length; half the probes are gallery vectors with noise
(similarity about 0.7 to the one they came from), half are strangers. FAISS has as many threads as ours.
`--opening FOLDER` also makes a SQLite gallery of so many samples there (2.6 GB for a million, and as much
for its snapshot) and times opening it with the first identification.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import faiss
import numpy as np

from facewise.gallery import Gallery, Sample
from facewise.gallery.index import View, best_people
from facewise.gallery.results import Space
from facewise.gallery.segment import Scale, Segment
from facewise.hardware import available_threads, cpu

FINGERPRINT = "f" * 64


def unit_rows(rng, count, size):
    rows = rng.standard_normal((count, size), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def probes_of(rng, rows, count):
    """Noisy gallery vectors and strangers, by turns; and the row each came from, -1 for strangers."""
    origin = np.where(np.arange(count) % 2 == 0, rng.integers(0, len(rows), count), -1)
    probes = unit_rows(rng, count, rows.shape[1])
    probes[origin >= 0] += rows[origin[origin >= 0]]
    return probes / np.linalg.norm(probes, axis=1, keepdims=True), origin


def timed(work: Callable[[int], object], count: int) -> list[float]:
    """Seconds of each call, after one that does not count."""
    work(0)
    taken = []
    for i in range(count):
        start = time.perf_counter()
        work(i)
        taken.append(time.perf_counter() - start)
    return taken


def view_of(rows):
    scale = Scale.of(rows)
    numbers = np.arange(len(rows))
    segment = Segment.of(rows, numbers, numbers.copy(), scale)
    far = segment.errors > scale.usual
    return View((segment,), scale, float(segment.errors[~far].max()), np.flatnonzero(far), (0,))


def read_once(codes, workers):
    """Sums all bytes as 64-bit words, in so many threads: the least a scan can take."""
    words = codes.reshape(-1).view(np.uint64)
    parts = np.array_split(words, workers)
    with ThreadPoolExecutor(workers) as pool:
        return timed(lambda _: list(pool.map(np.sum, parts)), 9)


def searching(args):
    rng = np.random.default_rng(args.seed)
    rows = unit_rows(rng, args.samples, args.size)
    probes, _ = probes_of(rng, rows, args.probes)
    view = view_of(rows)
    flat = faiss.IndexFlatIP(args.size)
    flat.add(rows)
    faiss.omp_set_num_threads(available_threads())
    turns = args.turns
    ours = timed(lambda i: best_people(view, probes[i : i + 1], 5), turns)
    theirs = timed(lambda i: flat.search(probes[i : i + 1], 5), turns)
    faiss.omp_set_num_threads(1)
    theirs_single = timed(lambda i: flat.search(probes[i : i + 1], 5), turns)
    faiss.omp_set_num_threads(available_threads())
    reading = read_once(view.segments[0].codes, available_threads())
    reading_single = read_once(view.segments[0].codes, 1)
    batch = probes[:64]
    many = timed(lambda _: best_people(view, batch, 5), max(3, turns // 6))
    their_many = timed(lambda _: flat.search(batch, 5), max(3, turns // 6))
    print(
        f"one probe: {median(theirs) / median(ours):.2f} times as fast as FAISS flat "
        f"({median(theirs_single) / median(ours):.2f} times FAISS with one thread), "
        f"{median(ours) / median(reading):.2f} times reading the bytes once"
    )
    print(f"64 probes: {median(their_many) / median(many):.2f} times FAISS flat's throughput")
    for name, taken in (
        ("ours, one probe", ours), ("FAISS flat, one probe", theirs),
        ("FAISS flat, one probe, one thread", theirs_single), ("reading the bytes", reading),
        ("reading the bytes, one thread", reading_single), ("ours, 64", many), ("FAISS flat, 64", their_many),
    ):  # fmt: skip
        print(f"  {name}: median {1e3 * median(taken):.1f} ms, least {1e3 * min(taken):.1f} ms")
    compare(view, flat, rows, probes)


def compare(view, flat, rows, probes):
    """Whether both name the same first one; where not, which is right in float64."""
    same, wrong = 0, []
    for at in range(0, len(probes), 64):
        block = probes[at : at + 64]
        found = [best[0][0] for best in best_people(view, block, 5)]
        expected = flat.search(block, 1)[1][:, 0].tolist()
        for probe, a, b in zip(block, found, expected, strict=True):
            same += a == b
            if a != b:
                wrong.append(tuple(float(rows[i].astype(float) @ probe.astype(float)) for i in (a, b)))
    print(f"top-1 identical to FAISS flat: {same} of {len(probes)}; others (ours, theirs): {wrong[:5]}")


def opening(args):
    rng = np.random.default_rng(args.seed)
    path = Path(args.opening) / "people.db"
    start = time.perf_counter()
    with Gallery.open(path) as gallery:
        for at in range(0, args.samples, 20_000):
            rows = unit_rows(rng, min(20_000, args.samples - at), args.size)
            store(gallery, at, rows)
        probe = rows[:1]
        print(f"  made in {time.perf_counter() - start:.0f} s")
        start = time.perf_counter()
        gallery.identify_embeddings(probe, fingerprint=FINGERPRINT)
        print(f"  index and snapshot made in {time.perf_counter() - start:.1f} s")
    for _ in range(3):
        start = time.perf_counter()
        with Gallery.open(path) as gallery:
            gallery.identify_embeddings(probe, fingerprint=FINGERPRINT)
            first = time.perf_counter() - start
            taken = timed(lambda _: gallery.identify_embeddings(probe, fingerprint=FINGERPRINT), 9)
        print(
            f"opening {args.samples} samples, first identification included: {first:.2f} s; "
            f"then {1e3 * median(taken):.1f} ms each"
        )


def store(gallery, at, rows):
    """One sample a person, all in one transaction."""
    batches = [(f"person {at + i}", [Sample(row, f"{at + i}.jpg")]) for i, row in enumerate(rows)]
    gallery._store.add(batches, Space(FINGERPRINT, "benchmark", rows.shape[1], False))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--probes", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--opening")
    parser.add_argument("--only-opening", action="store_true")
    args = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True
    ).stdout
    print(
        f"{args.samples} samples of {args.size}; commit {commit.strip()}; "
        f"{cpu()}, {available_threads()} threads; FAISS {faiss.__version__}, numpy {np.__version__}; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    if not args.only_opening:
        searching(args)
    if args.opening:
        opening(args)


if __name__ == "__main__":
    main()
