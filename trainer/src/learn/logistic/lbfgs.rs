//! L-BFGS: minimises a smooth function from its gradient, with little memory.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::limits;

/// Pairs of steps and gradient changes remembered.
const MEMORY: usize = 12;
/// Share of the promised decrease that a step must deliver (Armijo).
const DECREASE: f64 = 1e-4;

/// Returns the weights that minimise `objective` (which writes its gradient), from zero.
///
/// Stops after `iterations`, when no gradient component is above `tolerance`, when no step
/// lowers the value any more, or when `each` breaks.
pub(super) fn minimise(
    objective: impl Fn(&[f64], &mut [f64]) -> f64,
    n: usize,
    (iterations, tolerance): (usize, f64),
    mut each: impl FnMut(usize, f64, &[f64]) -> ControlFlow<()>,
) -> Vec<f64> {
    let mut at = vec![0.0; n];
    let mut gradient = vec![0.0; n];
    let mut value = objective(&at, &mut gradient);
    let mut memory: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::with_capacity(MEMORY + 1);
    for iteration in 1..=iterations {
        if gradient.iter().all(|g| g.abs() <= tolerance) {
            break;
        }
        let mut direction = descent(&gradient, &memory);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            memory.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -dot(&gradient, &gradient);
        }
        let (mut next, mut next_gradient) = (at.clone(), gradient.clone());
        let mut length = 1.0;
        let mut accepted = None;
        for _ in 0..limits::MAX_LINE_SEARCH_STEPS {
            for ((n, a), d) in next.iter_mut().zip(&at).zip(&direction) {
                *n = a + length * d;
            }
            let next_value = objective(&next, &mut next_gradient);
            if next_value <= value + DECREASE * length * slope {
                accepted = Some(next_value);
                break;
            }
            length /= 2.0;
        }
        let Some(next_value) = accepted else { break };
        let step: Vec<f64> = next.iter().zip(&at).map(|(n, a)| n - a).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(n, g)| n - g).collect();
        if dot(&step, &change) > f64::EPSILON * dot(&change, &change) {
            memory.push_back((step, change));
            if memory.len() > MEMORY {
                memory.pop_front();
            }
        }
        (at, gradient, value) = (next, next_gradient, next_value);
        if each(iteration, value, &at).is_break() {
            break;
        }
    }
    at
}

/// Returns minus the gradient times the approximate inverse Hessian (two-loop recursion).
fn descent(gradient: &[f64], memory: &VecDeque<(Vec<f64>, Vec<f64>)>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(memory.len());
    for (step, change) in memory.iter().rev() {
        let alpha = dot(step, &q) / dot(step, change);
        add(&mut q, -alpha, change);
        alphas.push(alpha);
    }
    if let Some((step, change)) = memory.back() {
        let scale = dot(step, change) / dot(change, change);
        q.iter_mut().for_each(|x| *x *= scale);
    }
    for ((step, change), alpha) in memory.iter().zip(alphas.into_iter().rev()) {
        let beta = dot(change, &q) / dot(step, change);
        add(&mut q, alpha - beta, step);
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, what: &[f64]) {
    for (t, w) in to.iter_mut().zip(what) {
        *t += factor * w;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bottom_of_a_narrow_valley() {
        // Rosenbrock's function, whose minimum 0 is at (1, 1).
        let rosenbrock = |x: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            g[0] = -2.0 * a - 400.0 * x[0] * b;
            g[1] = 200.0 * b;
            a * a + 100.0 * b * b
        };
        let at = minimise(rosenbrock, 2, (200, 1e-9), |_, _, _| ControlFlow::Continue(()));
        assert!((at[0] - 1.0).abs() < 1e-6 && (at[1] - 1.0).abs() < 1e-6, "{at:?}");
    }

    #[test]
    fn stops_when_told() {
        let bowl = |x: &[f64], g: &mut [f64]| {
            g[0] = 2.0 * (x[0] - 3.0);
            (x[0] - 3.0) * (x[0] - 3.0)
        };
        let mut calls = 0;
        minimise(bowl, 1, (100, 0.0), |_, _, _| {
            calls += 1;
            ControlFlow::Break(())
        });
        assert_eq!(calls, 1);
    }
}
