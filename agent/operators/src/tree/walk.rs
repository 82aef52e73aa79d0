//! Going down: eight ways at once, so that the processor does not wait for one node after the other.

use super::plan::Mode;
use crate::number::Number;

/// How many ways are gone down at once.
pub(super) const LANES: usize = 8;
/// Levels that all ways may go down without a look at whether they have ended: what shallow trees have in all.
const SHALLOW: u32 = 10;
/// Levels gone down between two looks in deeper trees, whose ways differ in length.
const LEVELS: u32 = 4;

/// A branch or a leaf: 16 bytes in `f32`. A leaf leads to itself, so that ways of different lengths go on together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place<T> {
    /// What a branch compares with; the weight of a leaf, or its number in the table of weights.
    pub value: T,
    /// Where true leads; false leads one further. A leaf's own place.
    pub next: u32,
    /// Which feature is compared; zero for a leaf.
    pub feature: u32,
    /// How, when not all branches compare alike.
    pub mode: Mode,
    /// Whether what is not a number takes the way of true.
    pub missing_is_true: bool,
    /// One for a branch, zero for a leaf.
    pub step: u8,
}

/// What kinds of branches there are: the fewer, the faster the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// The mode of all branches, when they have the same.
    pub mode: Option<Mode>,
    /// Whether any sends what is not a number to true.
    pub missing: bool,
    /// Levels between two looks.
    levels: u32,
}

impl Kind {
    /// Returns the kind of trees of that depth: how many branches the longest way has.
    pub(super) fn new(mode: Option<Mode>, missing: bool, depth: u32) -> Self {
        Self { mode, missing, levels: if depth <= SHALLOW { depth.max(1) } else { LEVELS } }
    }
}

trait Compare<T: Number> {
    fn holds(value: T, place: &Place<T>, sets: &[Vec<T>]) -> bool;
}

macro_rules! compare {
    ($name:ident, $operator:tt) => {
        struct $name<const MISSING: bool>;
        impl<T: Number, const MISSING: bool> Compare<T> for $name<MISSING> {
            #[inline(always)]
            fn holds(value: T, place: &Place<T>, _: &[Vec<T>]) -> bool {
                (value $operator place.value) | (MISSING && place.missing_is_true && value.is_nan())
            }
        }
    };
}
compare!(Leq, <=);
compare!(Lt, <);
compare!(Gte, >=);
compare!(Gt, >);

/// Branches of different modes.
struct Mixed;
impl<T: Number> Compare<T> for Mixed {
    #[inline(always)]
    fn holds(value: T, place: &Place<T>, sets: &[Vec<T>]) -> bool {
        let holds = match place.mode {
            Mode::Leq => value <= place.value,
            Mode::Lt => value < place.value,
            Mode::Gte => value >= place.value,
            Mode::Gt => value > place.value,
            Mode::Eq => value == place.value,
            Mode::Neq => value != place.value,
            Mode::Member => is_member(value, sets.get(place.value.to_index() as usize)),
        };
        holds || (place.missing_is_true && value.is_nan())
    }
}

fn is_member<T: Number>(value: T, set: Option<&Vec<T>>) -> bool {
    set.is_some_and(|set| set.get(set.partition_point(|s| *s < value)).is_some_and(|s| *s == value))
}

/// Goes down from each of `at` with the row of the same lane, until all stand on leaves.
///
/// Every way ends: a plan has no cycles. Rows must have as many features as the plan names, and at least one.
pub(super) fn down<T: Number>(
    kind: Kind,
    places: &[Place<T>],
    sets: &[Vec<T>],
    at: &mut [u32; LANES],
    rows: [&[T]; LANES],
) {
    match (kind.mode, kind.missing) {
        (Some(Mode::Leq), false) => lanes::<T, Leq<false>>(kind.levels, places, sets, at, rows),
        (Some(Mode::Leq), true) => lanes::<T, Leq<true>>(kind.levels, places, sets, at, rows),
        (Some(Mode::Lt), false) => lanes::<T, Lt<false>>(kind.levels, places, sets, at, rows),
        (Some(Mode::Lt), true) => lanes::<T, Lt<true>>(kind.levels, places, sets, at, rows),
        (Some(Mode::Gte), false) => lanes::<T, Gte<false>>(kind.levels, places, sets, at, rows),
        (Some(Mode::Gte), true) => lanes::<T, Gte<true>>(kind.levels, places, sets, at, rows),
        (Some(Mode::Gt), false) => lanes::<T, Gt<false>>(kind.levels, places, sets, at, rows),
        (Some(Mode::Gt), true) => lanes::<T, Gt<true>>(kind.levels, places, sets, at, rows),
        _ => lanes::<T, Mixed>(kind.levels, places, sets, at, rows),
    }
}

#[inline(always)]
fn lanes<T: Number, C: Compare<T>>(
    levels: u32,
    places: &[Place<T>],
    sets: &[Vec<T>],
    at: &mut [u32; LANES],
    rows: [&[T]; LANES],
) {
    // A copy of its own, so that it can live in registers.
    let mut here = *at;
    loop {
        for _ in 0..levels {
            for lane in 0..LANES {
                let place = &places[here[lane] as usize];
                let holds = C::holds(rows[lane][place.feature as usize], place, sets);
                here[lane] = place.next + (u32::from(place.step) & u32::from(!holds));
            }
        }
        if here.iter().all(|at| places[*at as usize].step == 0) {
            *at = here;
            return;
        }
    }
}
