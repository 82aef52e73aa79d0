//! Feedback from the compiler's own counters, where the program was built with them.
//!
//! `-C instrument-coverage` belongs to the stable compiler: each branch counts in a table that its runtime gives away.
//! Without the feature `coverage` there is none, and the reader's verdicts alone say what is new.

/// Remembers which counters were reached, and how often as a magnitude.
#[derive(Debug, Default)]
pub struct Coverage {
    #[cfg(feature = "coverage")]
    seen: Vec<u8>,
}

impl Coverage {
    /// Forgets what the counters hold: called before a run.
    pub fn begin(&mut self) {
        #[cfg(feature = "coverage")]
        counters::all().fill(0);
    }

    /// Takes over what the last run reached and returns how much of it is new.
    pub fn end(&mut self) -> usize {
        #[cfg(feature = "coverage")]
        {
            let counters = counters::all();
            self.seen.resize(counters.len(), 0);
            let mut new = 0;
            for (seen, count) in self.seen.iter_mut().zip(counters.iter()).filter(|(_, count)| **count > 0) {
                // 1, 2, 3, 4-7, 8-15, … : eight classes, as others use.
                let class = 1_u8 << (u64::BITS - count.leading_zeros() - 1).min(7);
                if *seen & class == 0 {
                    *seen |= class;
                    new += 1;
                }
            }
            new
        }
        #[cfg(not(feature = "coverage"))]
        0
    }

    /// Returns how many counters were ever reached; 0 without the feature.
    pub fn reached(&self) -> usize {
        #[cfg(feature = "coverage")]
        return self.seen.iter().filter(|seen| **seen > 0).count();
        #[cfg(not(feature = "coverage"))]
        0
    }
}

#[cfg(feature = "coverage")]
mod counters {
    #![expect(unsafe_code, reason = "the table belongs to the compiler's runtime, which is C")]

    unsafe extern "C" {
        fn __llvm_profile_begin_counters() -> *mut u64;
        fn __llvm_profile_end_counters() -> *mut u64;
    }

    /// Returns the table of counters.
    pub fn all() -> &'static mut [u64] {
        // SAFETY: both functions return the bounds of one static table of 64-bit counters. Other threads may count at
        // the same time; a count more or less changes nothing here.
        unsafe {
            let (begin, end) = (__llvm_profile_begin_counters(), __llvm_profile_end_counters());
            std::slice::from_raw_parts_mut(begin, end.offset_from_unsigned(begin))
        }
    }
}
