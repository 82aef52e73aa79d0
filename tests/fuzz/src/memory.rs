//! Counts what each thread allocates: an input of a few bytes must not cost megabytes.
#![expect(unsafe_code, reason = "an allocator that counts has to be one; it hands everything on to the system's")]
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::limits::MEMORY_HARD_MAX_BYTES;

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Counts `bytes` more and tells whether they may be had.
fn take(bytes: usize) -> bool {
    // Fails only while the thread ends: nobody counts then.
    LIVE.try_with(|live| {
        let now = live.get().saturating_add(bytes);
        if WATCHED.get() && now > MEMORY_HARD_MAX_BYTES {
            return false;
        }
        live.set(now);
        PEAK.set(PEAK.get().max(now));
        true
    })
    .unwrap_or(true)
}

fn give(bytes: usize) {
    _ = LIVE.try_with(|live| live.set(live.get().saturating_sub(bytes)));
}

// SAFETY: every call goes to the system's allocator as it came; counting touches plain thread-local cells, which are
// initialised without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !take(size.saturating_sub(layout.size())) {
            return std::ptr::null_mut();
        }
        give(layout.size().saturating_sub(size));
        // SAFETY: as the caller promised.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        give(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(old, layout) }
    }
}

/// Runs `work` and returns its result with the most bytes that this thread held for it at once.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    WATCHED.set(true);
    let result = work();
    WATCHED.set(false);
    (result, PEAK.get().saturating_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_was_held_at_once_is_counted() {
        let ((), peak) = peak_of(|| {
            drop(std::hint::black_box(vec![1_u8; 1_000_000]));
            drop(std::hint::black_box(vec![1_u8; 300_000]));
        });
        assert!((1_000_000..1_100_000).contains(&peak), "{peak}");
        let (kept, peak) = peak_of(|| {
            let mut list: Vec<u8> = Vec::with_capacity(10);
            list.resize(500_000, 7);
            list
        });
        assert!((500_000..600_000).contains(&peak), "{peak}");
        drop(kept);
    }
}
