//! Holds every measure against what scipy and numpy say about the same samples.

use pinnace_protocol::drift::permutation::difference_of_means;
use pinnace_protocol::drift::{Table, benjamini_hochberg, chi_square, chi_square_p, measure, poisson_at_least};
use pinnace_protocol::sketch::{Column, Live, ProfileBuilder, Shape, Tally, Value};
use serde::Deserialize;

#[derive(Deserialize)]
struct Oracle {
    cases: Vec<Case>,
    chi_square: Vec<ChiSquare>,
    poisson: Vec<Poisson>,
    false_discovery: FalseDiscovery,
    permutation: Permutation,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    reference: Vec<f64>,
    live: Vec<f64>,
    reference_counts: Vec<u32>,
    live_counts: Vec<u32>,
    psi: f64,
    psi_star: f64,
    js: f64,
    hellinger: f64,
    l_inf: f64,
    ks: f64,
    w1: f64,
    mean: f64,
}

#[derive(Deserialize)]
struct ChiSquare {
    reference: Vec<u64>,
    live: Vec<u64>,
    statistic: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Poisson {
    count: u64,
    expected: f64,
    p: f64,
}

#[derive(Deserialize)]
struct FalseDiscovery {
    p_values: Vec<f64>,
    discoveries: Vec<bool>,
}

#[derive(Deserialize)]
struct Permutation {
    canary: Vec<f64>,
    control: Vec<f64>,
    p: f64,
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("data/drift_oracle.json")).expect("the oracle's file is read")
}

#[track_caller]
fn close(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found} instead of {expected}");
}

#[test]
fn measures_agree_with_scipy_on_raw_values() {
    for case in oracle().cases {
        let name = &case.name;
        let profile = ProfileBuilder::new(10_000)
            .feature("x", Column::Numeric { values: &case.reference, nulls: None }, 1.0)
            .build()
            .expect("the column is sound");
        let mut live = Live::new(&profile);
        for value in &case.live {
            live.update_row(&[Value::Num(*value)]).expect("the row fits");
        }
        let feature = &live.layout().features()[0];
        let reference = profile.features()[0].tally();
        let (Tally::Numeric(r), Tally::Numeric(l), Shape::Numeric { bins, .. }) =
            (&reference, &live.features()[0], &feature.shape)
        else {
            panic!("the feature is numeric")
        };
        assert_eq!(r.counts()[..bins.slots()], case.reference_counts, "{name}");
        assert_eq!(l.counts()[..bins.slots()], case.live_counts, "{name}");
        let measures = measure(&feature.shape, &reference, &live.features()[0]).expect("both sides have rows");
        close(name, measures.psi, case.psi, 1e-12);
        close(name, measures.psi_star, case.psi_star, 1e-12);
        close(name, measures.js, case.js, 1e-7);
        close(name, measures.hellinger, case.hellinger, 1e-7);
        close(name, measures.l_inf, case.l_inf, 1e-12);
        let ks = measures.ks.expect("the feature is numeric");
        assert!(ks.distance <= case.ks + 1e-9 && case.ks <= ks.distance + ks.bound, "{name}: {ks:?}, {}", case.ks);
        close(name, ks.distance, case.ks, 0.02);
        close(name, measures.w1.expect("the reference varies"), case.w1, 0.01);
        close(name, l.mean(bins).expect("there are values"), case.mean, 0.001);
    }
}

#[test]
fn chi_square_agrees_with_scipy() {
    for case in oracle().chi_square {
        let table = Table::new(&case.reference, &case.live);
        close("statistic", chi_square(&table).0, case.statistic, 1e-9);
        close("p", chi_square_p(&table), case.p, 1e-11);
    }
}

#[test]
fn poisson_tails_agree_with_scipy() {
    for case in oracle().poisson {
        close("tail", poisson_at_least(case.count, case.expected), case.p, 1e-9 + case.p * 1e-7);
    }
}

#[test]
fn false_discoveries_agree_with_scipy() {
    let case = oracle().false_discovery;
    assert_eq!(benjamini_hochberg(&case.p_values, 0.01), case.discoveries);
}

#[test]
fn permutation_agrees_with_scipy_and_repeats_itself() {
    let case = oracle().permutation;
    let p = difference_of_means(&case.canary, &case.control, 9_999, 7);
    // The standard error of a share of 0.02 over 9,999 shuffles is 0.0014.
    close("p", p, case.p, 0.006);
    assert_eq!(p.to_bits(), difference_of_means(&case.canary, &case.control, 9_999, 7).to_bits());
}
