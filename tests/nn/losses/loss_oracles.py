"""Every loss again, straight from its paper: plain loops over samples and people, angles by acos, no tricks.

Slow, float64, unsafe at cos θ = ±1, and independent of the code under test. Autograd gives the gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def length(v: Tensor) -> Tensor:
    return sum(e * e for e in v).sqrt()


def cosine(u: Tensor, v: Tensor) -> Tensor:
    return sum(a * b for a, b in zip(u, v, strict=True)) / (length(u) * length(v))


def theta(u: Tensor, v: Tensor) -> Tensor:
    return torch.acos(cosine(u, v))


def mean(values: Sequence[Tensor]) -> Tensor:
    return sum(values) / len(values)


def choice(logits: Sequence[Tensor], true: int) -> Tensor:
    """−log(e^(l_y)/Σ e^(l_j))."""
    most = max(value.item() for value in logits)
    return torch.log(sum(torch.exp(value - most) for value in logits)) - (logits[true] - most)


def softmax(x: Tensor, w: Tensor, labels: Sequence[int], b: Tensor) -> Tensor:
    rows = [[sum(a * c for a, c in zip(w[j], v, strict=True)) + b[j] for j in range(len(w))] for v in x]
    return mean([choice(row, y) for row, y in zip(rows, labels, strict=True)])


def margin_loss(
    x: Tensor, w: Tensor, labels: Sequence[int], scale: float, target: Callable[[int, Tensor], Tensor]
) -> Tensor:
    """Cross entropy of s·cos θ_j with s·target(i, θ_y) at the true person."""
    losses = []
    for i, (v, y) in enumerate(zip(x, labels, strict=True)):
        row = [scale * (target(i, theta(v, u)) if j == y else cosine(v, u)) for j, u in enumerate(w)]
        losses.append(choice(row, y))
    return mean(losses)


def arc_target(angle: Tensor, m: float | Tensor) -> Tensor:
    return torch.cos(angle + m) if angle + m <= math.pi else torch.cos(angle) - m * math.sin(m)


def psi(angle: Tensor, m: float) -> Tensor:
    """(−1)^k cos(mθ) − 2k, k found by search."""
    k = next(k for k in range(100) if k * math.pi / m <= float(angle) <= (k + 1) * math.pi / m)
    return (-1) ** k * torch.cos(m * angle) - 2 * k


def sphereface(x: Tensor, w: Tensor, labels: Sequence[int], m: float, blend: float) -> Tensor:
    losses = []
    for v, y in zip(x, labels, strict=True):
        row = [length(v) * cosine(v, u) for u in w]
        angle = theta(v, w[y])
        row[y] = length(v) * (blend * torch.cos(angle) + psi(angle, m)) / (1 + blend)
        losses.append(choice(row, y))
    return mean(losses)


def sphereface_r_v2(x: Tensor, w: Tensor, labels: Sequence[int], s: float, m: float) -> Tensor:
    losses = []
    for v, y in zip(x, labels, strict=True):
        angles = [theta(v, u) for u in w]
        row = [s * torch.cos(a if j == y else a / m) for j, a in enumerate(angles)]
        losses.append(choice(row, y))
    return mean(losses)


def sphereface2(
    x: Tensor, w: Tensor, labels: Sequence[int], b: Tensor, r: float, m: float, lam: float, t: float
) -> Tensor:
    def g(z: Tensor) -> Tensor:
        return 2 * ((z + 1) / 2) ** t - 1

    losses = []
    for v, y in zip(x, labels, strict=True):
        loss = lam / r * torch.log(1 + torch.exp(-r * (g(cosine(v, w[y])) - m) - b))
        for j, u in enumerate(w):
            if j != y:
                loss = loss + (1 - lam) / r * torch.log(1 + torch.exp(r * (g(cosine(v, u)) + m) + b))
        losses.append(loss)
    return mean(losses)


def subcenter(x: Tensor, w: Tensor, labels: Sequence[int], s: float, m: float, k: int) -> Tensor:
    losses = []
    for v, y in zip(x, labels, strict=True):
        best = [max((cosine(v, u) for u in w[j : j + k]), key=float) for j in range(0, len(w), k)]
        row = [s * c for c in best]
        row[y] = s * arc_target(torch.acos(best[y]), m)
        losses.append(choice(row, y))
    return mean(losses)


def adacos_scale(x: Tensor, w: Tensor, labels: Sequence[int], before: float) -> float:
    sums = [
        sum(math.exp(before * float(cosine(v, u))) for j, u in enumerate(w) if j != y)
        for v, y in zip(x, labels, strict=True)
    ]
    angles = sorted(float(theta(v, w[y])) for v, y in zip(x, labels, strict=True))
    median = angles[(len(angles) - 1) // 2]
    return math.log(sum(sums) / len(sums)) / math.cos(min(math.pi / 4, median))


def curricular(x: Tensor, w: Tensor, labels: Sequence[int], s: float, m: float, t: float) -> Tensor:
    losses = []
    for v, y in zip(x, labels, strict=True):
        target = arc_target(theta(v, w[y]), m)
        row = []
        for j, u in enumerate(w):
            c = cosine(v, u)
            row.append(s * (target if j == y else c if target >= c else c * (t + c)))
        losses.append(choice(row, y))
    return mean(losses)


def magface(
    x: Tensor,
    w: Tensor,
    labels: Sequence[int],
    s: float,
    norms: tuple[float, float],
    margins: tuple[float, float],
    lam: float,
) -> Tensor:
    low, high = norms
    losses = []
    for v, y in zip(x, labels, strict=True):
        a = length(v)
        a = a if low < a < high else torch.tensor(low if a <= low else high, dtype=x.dtype)
        m = margins[0] + (margins[1] - margins[0]) * (a - low) / (high - low)
        angle = theta(v, w[y])
        target = torch.cos(angle + m) if angle + m <= math.pi else torch.cos(angle) - m * torch.sin(m)
        row = [s * (target if j == y else cosine(v, u)) for j, u in enumerate(w)]
        losses.append(choice(row, y) + lam * (1 / a + a / high**2))
    return mean(losses)


def adaface(
    x: Tensor, w: Tensor, labels: Sequence[int], s: float, m: float, h: float, mu: float, sigma: float
) -> Tensor:
    def target(i: int, angle: Tensor) -> Tensor:
        norm = min(max(float(length(x[i])), 1e-3), 100.0)
        z = min(max(h * (norm - mu) / (sigma + 1e-3), -1.0), 1.0)
        shifted = (angle - m * z).clamp(0, math.pi)
        return torch.cos(shifted) - (m * z + m)

    return margin_loss(x, w, labels, s, target)


def circle_rows(rows: Sequence[tuple[list[Tensor], list[Tensor]]], gamma: float, m: float) -> Tensor:
    """log(1 + ΣΣ exp(γ(α_n(s_n − Δ_n) − α_p(s_p − Δ_p)))) for each anchor; no gradient in α."""
    losses = []
    for positives, negatives in rows:
        terms = [
            gamma * (max(float(n) + m, 0) * (n - m) - max(1 + m - float(p), 0) * (p - (1 - m)))
            for p in positives
            for n in negatives
        ]
        most = max(0.0, *[float(term) for term in terms])
        losses.append(most + torch.log(math.exp(-most) + sum(torch.exp(term - most) for term in terms)))
    return mean(losses)


def circle(x: Tensor, w: Tensor, labels: Sequence[int], gamma: float, m: float) -> Tensor:
    rows = []
    for v, y in zip(x, labels, strict=True):
        c = [cosine(v, u) for u in w]
        rows.append(([c[y]], c[:y] + c[y + 1 :]))
    return circle_rows(rows, gamma, m)


def circle_pair(x: Tensor, labels: Sequence[int], gamma: float, m: float) -> Tensor:
    rows = []
    for i in range(len(x)):
        c = {j: cosine(x[i], x[j]) for j in range(len(x)) if j != i}
        positives = [value for j, value in c.items() if labels[j] == labels[i]]
        negatives = [value for j, value in c.items() if labels[j] != labels[i]]
        if positives and negatives:
            rows.append((positives, negatives))
    return circle_rows(rows, gamma, m)


def distance(u: Tensor, v: Tensor) -> Tensor:
    return length(u / length(u) - v / length(v))


def triplets(labels: Sequence[int]) -> list[tuple[int, int, int]]:
    n = range(len(labels))
    return [
        (a, p, q)
        for a in n
        for p in n
        for q in n
        if a != p and labels[a] == labels[p] and labels[a] != labels[q]
    ]


def semi_hard(x: Tensor, labels: Sequence[int]) -> list[tuple[int, int, int]]:
    chosen = []
    for a, p in sorted({(a, p) for a, p, _ in triplets(labels)}):
        far = {q: float(distance(x[a], x[q])) for q in range(len(x)) if labels[q] != labels[a]}
        beyond = {q: d for q, d in far.items() if d > float(distance(x[a], x[p]))}
        chosen.append((a, p, min(beyond, key=beyond.get) if beyond else max(far, key=far.get)))
    return chosen


def batch_hard(x: Tensor, labels: Sequence[int]) -> list[tuple[int, int, int]]:
    chosen = []
    for a in sorted({a for a, _, _ in triplets(labels)}):
        d = {q: float(distance(x[a], x[q])) for q in range(len(x)) if q != a}
        same = {q: e for q, e in d.items() if labels[q] == labels[a]}
        other = {q: e for q, e in d.items() if labels[q] != labels[a]}
        chosen.append((a, max(same, key=same.get), min(other, key=other.get)))
    return chosen


def triplet(
    x: Tensor, chosen: Sequence[tuple[int, int, int]], margin: float, power: int, soft: bool = False
) -> Tensor:
    losses = []
    for a, p, q in chosen:
        excess = distance(x[a], x[p]) ** power - distance(x[a], x[q]) ** power
        losses.append(torch.log1p(torch.exp(excess)) if soft else torch.relu(excess + margin))
    return mean(losses)


def given_contrastive(x: Tensor, labels: Sequence[int], margin: float) -> Tensor:
    """Rows 0 and 1, 2 and 3 …, one by one."""
    losses = []
    for i in range(0, len(labels) - 1, 2):
        d = distance(x[i], x[i + 1])
        losses.append(d * d if labels[i] == labels[i + 1] else torch.relu(margin - d) ** 2)
    return mean(losses)


def balanced_contrastive(x: Tensor, labels: Sequence[int], margin: float) -> Tensor:
    """The mean of y·d² and that of (1 − y)·[m − d]₊², halved, pair by pair."""
    unit = [row / row.norm() for row in x]
    same, different = [], []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            distance = (unit[i] - unit[j]).norm()
            if labels[i] == labels[j]:
                same.append(distance**2)
            else:
                different.append(torch.clamp(margin - distance, min=0) ** 2)
    return (sum(same) / len(same) + sum(different) / len(different)) / 2


def contrastive(x: Tensor, labels: Sequence[int], margin: float, hardest: bool = False) -> Tensor:
    positive, negative = [], []
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            d = distance(x[i], x[j])
            if labels[i] == labels[j]:
                positive.append(d * d)
            else:
                negative.append((d, torch.relu(margin - d) ** 2))
    if hardest:
        negative = sorted(negative, key=lambda pair: float(pair[0]))[: max(1, len(positive))]
    return mean(positive + [value for _, value in negative])


def supcon(x: Tensor, labels: Sequence[int], tau: float) -> Tensor:
    losses = []
    for i in range(len(x)):
        e = {a: torch.exp(cosine(x[i], x[a]) / tau) for a in range(len(x)) if a != i}
        positives = [p for p in e if labels[p] == labels[i]]
        if positives and len(positives) < len(e):
            total = sum(e.values())
            losses.append(-mean([torch.log(e[p] / total) for p in positives]))
    return mean(losses)
