"""Writes drift_oracle.json: what scipy and numpy say about samples that the drift tests read.

Run with numpy 2 and scipy 1.17; the samples are kept in the file, so no other run is needed.
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon

SHARES = [0, 0.001, 0.01, *(i / 30 for i in range(1, 30)), 0.99, 0.999, 1]


def edges(values):
    """The bins of the reference: few values get one bin each, many get quantiles."""
    values = np.sort(values)
    distinct = np.unique(values)
    if len(distinct) <= 36:
        between = (distinct[:-1] * np.float32(0.5)) + (distinct[1:] * np.float32(0.5))
        return np.concatenate([distinct[:1], between, distinct[-1:]])
    rank = [int(np.floor(share * (len(values) - 1) + 0.5)) for share in SHARES]
    return np.unique(values[rank])


def counts(values, at):
    """Below, each bin (the last with its upper edge), above."""
    slots = np.searchsorted(at[:-1], values, side="right") + (values > at[-1])
    return np.bincount(slots, minlength=len(at) + 1)


def case(name, reference, live):
    reference, live = (np.round(side, 3).astype(np.float32) for side in (reference, live))
    at = edges(reference)
    r, l = counts(reference, at), counts(live, at)
    used = (r + l) > 0
    p, q = r[used] / r.sum(), l[used] / l.sum()
    smooth = [(c[used] + 0.5) / (c.sum() + 0.5 * used.sum()) for c in (r, l)]
    psi = float(np.sum((smooth[1] - smooth[0]) * np.log(smooth[1] / smooth[0])))
    noise = (used.sum() - 1) * (1 / r.sum() + 1 / l.sum())
    wide = [side.astype(float) for side in (reference, live)]
    return {
        "name": name,
        "reference": [round(float(v), 3) for v in reference],
        "live": [round(float(v), 3) for v in live],
        "reference_counts": r.tolist(),
        "live_counts": l.tolist(),
        "psi": psi,
        "psi_star": max(0.0, psi - noise),
        "js": float(jensenshannon(p, q, base=2)),
        "hellinger": float(np.sqrt(max(0.0, 1 - np.sum(np.sqrt(p * q))))),
        "l_inf": float(np.max(np.abs(p - q))),
        "ks": float(stats.ks_2samp(*wide).statistic),
        "w1": float(stats.wasserstein_distance(*wide) / np.std(wide[0])),
        "mean": float(np.mean(wide[1])),
    }


def main():
    rng = np.random.default_rng(20)
    normal = rng.normal
    cases = [
        case("equal", normal(size=900), normal(size=700)),
        case("a third of a standard deviation up", normal(size=900), normal(0.33, 1, size=700)),
        case("twice as wide", normal(size=900), normal(0, 2, size=700)),
        case("skewed and scaled", rng.lognormal(0, 1, size=900), rng.lognormal(0.4, 1, size=700)),
        case("few values", rng.poisson(4, size=900), rng.poisson(5, size=700)),
        case("two humps", normal(size=900), np.concatenate([normal(-1, 0.4, 350), normal(1, 0.4, 350)])),
        case("many zeros", np.maximum(0, normal(size=900)), np.maximum(0, normal(0.2, 1, size=700))),
    ]
    tables = []
    for reference, live in ([[50, 60, 70], [40, 80, 30]], [[500, 60, 50, 400], [45, 12, 9, 40]], [[90, 10], [180, 21]]):
        result = stats.chi2_contingency([reference, live], correction=False)
        tables.append({"reference": reference, "live": live, "statistic": result.statistic, "p": result.pvalue})
    poisson = [
        {"count": k, "expected": lam, "p": float(stats.poisson.sf(k - 1, lam))}
        for k, lam in [(1, 0.07), (3, 0.5), (20, 8.0), (100, 130.0), (1200, 1000.0), (5000, 5000.0)]
    ]
    p_values = [0.0001, 0.4, 0.0021, 0.9, 0.0042, 0.011, 0.0055, 0.2]
    discoveries = (stats.false_discovery_control(p_values) <= 0.01).tolist()
    canary, control = normal(0.8, 1, 12).round(3), normal(0, 1, 30).round(3)
    shuffled = stats.permutation_test(
        (canary, control), lambda a, b: abs(a.mean() - b.mean()), alternative="greater", n_resamples=200_000, rng=rng
    )
    out = {
        "cases": cases,
        "chi_square": tables,
        "poisson": poisson,
        "false_discovery": {"p_values": p_values, "discoveries": discoveries},
        "permutation": {"canary": canary.tolist(), "control": control.tolist(), "p": float(shuffled.pvalue)},
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(out) + "\n")


main()
