"""IJB-C-sized 1:1 and 1:N on made-up features: seconds by stage, peak memory, and that the numbers are exact.

As many faces, media, templates and pairs as IJB-C has (Maze et al. 2018), in files of its form. What a model
would take to embed the faces is not in it. `python benchmarks/ijb.py [--share 0.01]`
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from facewise.data.ijb import Enrolled, OneToN, read_template_pairs
from facewise.evaluation.ijb_protocols import FMRS, identify_templates, verify_templates
from facewise.evaluation.templates import Templates, pair_similarities, pool_templates

FACES, TEMPLATES, GALLERY, SUBJECTS = 469_375, 23_124, (1_772, 1_759), 3_531
PAIRS, GENUINE = 15_658_489, 19_557
SIZE = 512
MEDIA = 3
"""Media a template, about."""

Result = TypeVar("Result")
rows: list[str] = []


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--share", type=float, default=1.0, help="Of the faces and templates; its square, of the pairs."
    )
    share = parser.parse_args().share
    rng = np.random.default_rng(0)
    subject = people(rng, share)
    total = len(subject)
    probes = np.arange(sum(galleries(share)), total)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.txt"
        write_pairs(path, rng, subject, round(PAIRS * share**2), round(GENUINE * share))
        before = peak()
        templates = stage("features made up and pooled", lambda: made_up(rng, subject, round(FACES * share)))
        pairs = stage(
            f"{path.stat().st_size / 2**20:.0f} MB of pairs read",
            lambda: read_template_pairs(path, np.arange(total)),
        )
    scores = stage("pairs compared, alone", lambda: pair_similarities(templates, pairs.first, pairs.second))
    result = stage(
        "1:1: pairs compared, all metrics and intervals", lambda: verify_templates(templates, pairs)
    )
    one, two = galleries(share)
    protocol = OneToN(
        (enrolled("G1", 0, one, subject), enrolled("G2", one, one + two, subject)),
        Enrolled("probe_mixed", probes, subject[probes]),
    )
    search = stage("1:N, three galleries", lambda: identify_templates(templates, protocol))
    most = peak()
    check(scores, pairs.same, result.metrics.operating_points)
    check_pairs_by_hand(rng, templates, pairs.first, pairs.second, scores)
    print(
        f"{total:,} templates of {round(FACES * share):,} faces, "
        f"{len(pairs.same):,} pairs ({pairs.same.sum():,} same)\n"
    )
    print("| stage | wall s | CPU s | peak so far |\n|---|---|---|---|")
    print("\n".join(rows))
    print(f"\nPeak {most:.2f} GB, {before:.2f} GB of it for making up the files.")
    print("TAR: " + ", ".join(f"{p.tar:.4f} at {p.fmr_target:g}" for p in result.metrics.operating_points))
    print(f"EER {result.metrics.eer:.5f}, AUC {result.metrics.auc:.6f}, rank-1 {search.average['rank1']:.4f}")
    print(
        "TAR at every FMR equals that of a full sort, no threshold exceeds its FMR; a thousand pairs equal "
        "float64 products."
    )


def galleries(share: float) -> tuple[int, int]:
    return round(GALLERY[0] * share), round(GALLERY[1] * share)


def people(rng: np.random.Generator, share: float) -> np.ndarray:
    """The person of each template: one template each in the galleries, several among the probes."""
    enrolled_people = sum(galleries(share))
    return np.append(
        np.arange(enrolled_people),
        rng.integers(0, enrolled_people, round(TEMPLATES * share) - enrolled_people),
    )


def enrolled(name: str, start: int, end: int, subject: np.ndarray) -> Enrolled:
    return Enrolled(name, np.arange(start, end), subject[start:end])


def write_pairs(path: Path, rng: np.random.Generator, subject: np.ndarray, count: int, genuine: int) -> None:
    """Gallery templates with probes, in the order of the published list."""
    gallery = int(subject.max()) + 1
    owner = subject[gallery:]
    with path.open("w") as file:
        for person in range(gallery):
            impostors = (count - genuine) * (person + 1) // gallery - (count - genuine) * person // gallery
            others = rng.choice(np.flatnonzero(owner != person), impostors, replace=False)
            own = np.flatnonzero(owner[:genuine] == person)
            probes = np.sort(np.append(others, own))
            lines = zip(probes.tolist(), (owner[probes] == person).tolist(), strict=True)
            file.write("".join(f"{person} {gallery + probe} {int(same)}\n" for probe, same in lines))


def made_up(rng: np.random.Generator, subject: np.ndarray, faces: int) -> Templates:
    """Faces scatter around their person; pooled some templates at a time, as `embed_templates` does."""
    centres = rng.standard_normal((int(subject.max()) + 1, SIZE), dtype=np.float32)
    template = np.sort(
        np.append(np.arange(len(subject)), rng.integers(0, len(subject), faces - len(subject)))
    )
    media = rng.integers(0, MEDIA, faces)
    features, there = [], []
    for low in range(0, len(subject), 512):
        start, end = np.searchsorted(template, [low, low + 512])
        mine = template[start:end]
        noise = rng.standard_normal((end - start, SIZE), dtype=np.float32)
        hard = 3 + 20 * rng.random((len(subject), 1), dtype=np.float32)[mine] ** 2
        pooled = pool_templates(
            centres[subject[mine]] + hard * noise, mine - low, media[start:end], rng.random(end - start),
            count=min(512, len(subject) - low),
        )  # fmt: skip
        features.append(pooled.features)
        there.append(pooled.there)
    return Templates(np.concatenate(features), np.concatenate(there))


def stage(name: str, work: Callable[[], Result]) -> Result:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    rows.append(
        f"| {name} | {time.perf_counter() - wall:.1f} | {time.process_time() - cpu:.1f} | {peak():.2f} GB |"
    )
    return result


def peak() -> float:
    """Most memory this process has had, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def check(scores: np.ndarray, same: np.ndarray, points: tuple) -> None:
    """TAR at FMR by sorting all pairs and walking down, independent of the metrics' code."""
    order = np.argsort(-scores, kind="stable")
    ranked, genuine = scores[order], same[order]
    false, true = np.cumsum(~genuine), np.cumsum(genuine)
    last = np.append(ranked[1:] != ranked[:-1], True)  # a threshold takes all of a tie or none
    for point, fmr in zip(points, FMRS, strict=True):
        allowed = np.flatnonzero(last & (false <= fmr * false[-1] * (1 + 1e-12)))
        tar = true[allowed[-1]] / true[-1] if len(allowed) else 0.0
        if point.tar != tar:
            raise SystemExit(f"TAR at FMR {fmr:g} is {point.tar}, but by a full sort {tar}.")
        if np.count_nonzero(scores[~same] >= point.threshold) / false[-1] > fmr:
            raise SystemExit(f"The threshold for FMR {fmr:g} lets too many through.")


def check_pairs_by_hand(
    rng: np.random.Generator, templates: Templates, first: np.ndarray, second: np.ndarray, scores: np.ndarray
) -> None:
    some = rng.choice(len(first), 1000)
    wide = templates.features.astype(np.float64)
    if np.abs((wide[first[some]] * wide[second[some]]).sum(axis=1) - scores[some]).max() > 1e-6:
        raise SystemExit("A similarity is not the product of its templates.")


if __name__ == "__main__":
    main()
