//! Finds the operations that make one model of another.
use std::collections::{BTreeMap, VecDeque};

use crate::elements::{Groups, Width};
use crate::onnx::{self, Region};
use crate::table::{self, Operation, Streams};
use crate::{limits, weigh};

/// Bytes of literals from which the old file is worth its place as prefix: it takes as long as all the rest.
const PREFIX_FROM_LITERALS: usize = 16 * 1024;

/// Bytes outside of tensors that are worth an operation to copy.
const COPY_MIN_BYTES: usize = 16;

/// The content of a patch of kind tensor.
pub(crate) struct Content {
    /// Table and streams.
    pub(crate) bytes: Vec<u8>,
    /// Whether zstd may find some of it in the old file.
    pub(crate) worth_prefix: bool,
}

/// Returns what makes `to` of `from`; `None` when there are no tensors to compare.
pub(crate) fn content(from: &[u8], to: &[u8]) -> Option<Content> {
    let (old, new) = match (onnx::regions(from), onnx::regions(to)) {
        (Some(old), Some(new)) if !old.is_empty() && !new.is_empty() => (old, new),
        // Files of tensors alone have no names in them; of equal length, they are one tensor.
        _ if from.len() == to.len() && to.len() >= limits::TENSOR_MIN_BYTES => {
            let whole = Region { name: &[], width: guess(from, to), start: 0, end: to.len() };
            (vec![whole], vec![whole])
        }
        _ => return None,
    };
    let mut planner = Planner { from, to, at: 0, old_at: 0, operations: Vec::new(), streams: Streams::default() };
    for (new, old) in new.iter().zip(pairs(&old, &new)) {
        planner.between(new.start, old.map_or(planner.old_at, |old| old.start));
        planner.tensor(new, old);
    }
    planner.between(to.len(), from.len());
    if planner.operations.len() > limits::OPERATIONS_MAX {
        return None;
    }
    let worth_prefix = planner.streams.literals.len() >= PREFIX_FROM_LITERALS;
    Some(Content { bytes: table::write(&planner.operations, &planner.streams), worth_prefix })
}

/// Returns the width of elements that makes the difference of two files smallest.
fn guess(from: &[u8], to: &[u8]) -> Width {
    let fits = [Width::One, Width::Two, Width::Four].into_iter().filter(|width| to.len().is_multiple_of(width.bytes()));
    let weighed = fits.map(|width| {
        let difference = weigh::difference(from, to, width);
        (difference.dense.min(difference.sparse), width)
    });
    weighed.min_by(|(a, _), (b, _)| a.total_cmp(b)).map_or(Width::One, |(_, width)| width)
}

/// Returns the old tensor for each new one: of equal name and length, or the next left over of equal length, or of equal
/// name.
fn pairs<'a>(old: &[Region<'a>], new: &[Region<'a>]) -> Vec<Option<Region<'a>>> {
    let mut pairs = vec![None; new.len()];
    let mut used = vec![false; old.len()];
    for pass in 0..3 {
        let key = |region: &Region<'a>| match pass {
            0 => (region.name, region.len(), region.width),
            1 => (&[][..], region.len(), region.width),
            _ => (region.name, 0, region.width),
        };
        let mut left: BTreeMap<_, VecDeque<usize>> = BTreeMap::new();
        for (index, region) in old.iter().enumerate().filter(|(index, _)| !used[*index]) {
            left.entry(key(region)).or_default().push_back(index);
        }
        for (pair, region) in pairs.iter_mut().zip(new).filter(|(pair, _)| pair.is_none()) {
            if let Some(index) = left.get_mut(&key(region)).and_then(VecDeque::pop_front) {
                used[index] = true;
                *pair = Some(old[index]);
            }
        }
    }
    pairs
}

/// Operations so far.
struct Planner<'a> {
    from: &'a [u8],
    to: &'a [u8],
    /// Bytes of the new file that are planned.
    at: usize,
    /// Where the old file goes on after what was last used of it.
    old_at: usize,
    operations: Vec<Operation>,
    streams: Streams,
}

impl Planner<'_> {
    /// Plans what lies before `end` and is in no tensor; what may be like it in the old file lies before `old_end`.
    fn between(&mut self, end: usize, old_end: usize) {
        let new = &self.to[self.at..end];
        let old = self.from.get(self.old_at..old_end).unwrap_or_default();
        let same = |pairs: &mut dyn Iterator<Item = (&u8, &u8)>| {
            let same = pairs.take_while(|(old, new)| old == new).count();
            if same >= COPY_MIN_BYTES { same } else { 0 }
        };
        let before = same(&mut old.iter().zip(new));
        let after = same(&mut old[before..].iter().rev().zip(new[before..].iter().rev()));
        self.copy(self.old_at, before);
        self.literal(new.len() - before - after);
        self.copy(old_end - after, after);
    }
    fn tensor(&mut self, new: &Region<'_>, old: Option<Region<'_>>) {
        let common = old.map_or(0, |old| old.len().min(new.len()));
        if let Some(old) = old.filter(|_| common > 0) {
            self.changed(old.start, common, new.width);
            self.old_at = old.end;
        }
        self.fresh(new.end - self.at, new.width);
    }
    /// Plans a tensor, or its first part, that was in the old file.
    fn changed(&mut self, offset: usize, length: usize, width: Width) {
        let (old, new) = (&self.from[offset..offset + length], &self.to[self.at..self.at + length]);
        if old == new {
            return self.copy(offset, length);
        }
        let difference = weigh::difference(old, new, width);
        let (fresh, _) = weigh::fresh(new, width);
        if difference.dense.min(difference.grouped).min(difference.sparse) >= fresh {
            return self.fresh(length, width);
        }
        let elements = old.chunks_exact(width.bytes()).zip(new.chunks_exact(width.bytes()));
        let difference_of = |(old, new)| width.difference(width.read(old), width.read(new));
        // Streams are never longer than what is made of them: the device counts on it.
        if difference.sparse < difference.dense.min(difference.grouped) && difference.sparse_bytes <= length {
            let mut gap = 0;
            for pair in elements {
                if pair.0 == pair.1 {
                    gap += 1;
                    continue;
                }
                self.streams.gap(gap);
                self.streams.element(width, difference_of(pair));
                gap = 0;
            }
            self.operations.push(Operation::Sparse { offset, length, width, count: difference.count });
        } else if difference.grouped < difference.dense {
            let mut groups = Groups::new(old, width);
            let mut grouped = vec![0; length / width.bytes()];
            elements.for_each(|pair| grouped[groups.place(width.read(pair.0))] = difference_of(pair));
            grouped.into_iter().for_each(|difference| self.streams.element(width, difference));
            self.operations.push(Operation::Grouped { offset, length, width });
        } else {
            elements.for_each(|pair| self.streams.element(width, difference_of(pair)));
            self.operations.push(Operation::Dense { offset, length, width });
        }
        self.at += length;
    }
    /// Plans a tensor, or its last part, of which the old file has nothing.
    fn fresh(&mut self, length: usize, width: Width) {
        let new = &self.to[self.at..self.at + length];
        if length < limits::TENSOR_MIN_BYTES || !weigh::fresh(new, width).1 {
            return self.literal(length);
        }
        new.chunks_exact(width.bytes())
            .for_each(|element| self.streams.element(width, width.turn(width.read(element))));
        self.operations.push(Operation::Planes { length, width });
        self.at += length;
    }
    fn copy(&mut self, from: usize, more: usize) {
        match self.operations.last_mut() {
            _ if more == 0 => return,
            Some(Operation::Copy { offset, length }) if *offset + *length == from => *length += more,
            _ => self.operations.push(Operation::Copy { offset: from, length: more }),
        }
        self.at += more;
        self.old_at = from + more;
    }
    fn literal(&mut self, more: usize) {
        match self.operations.last_mut() {
            _ if more == 0 => return,
            Some(Operation::Literal { length }) => *length += more,
            _ => self.operations.push(Operation::Literal { length: more }),
        }
        self.streams.literals.extend(&self.to[self.at..self.at + more]);
        self.at += more;
    }
}
