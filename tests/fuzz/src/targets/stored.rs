//! What a device keeps for itself and reads after a restart: floors and the released record.
use pinnace_protocol::ids::Digest;
use pinnace_protocol::trust::{Floors, Recovered, Released};

use crate::target::{Budget, Form, Target};
use crate::verdict::Verdict;

pub const TARGET: Target = Target {
    name: "stored",
    what: "floor records and released records on a damaged disk",
    form: Form::Bytes,
    max_bytes: 16 * 1024,
    budget: Budget { base: 64 * 1024, per_byte: 200 },
    cost: 1,
    words: &["PNFLOOR1", "PNRELSD1", "image", "director", "time", "root", "epoch", "roles", "custom", "sha256", "path"],
    run,
    repair: Some(repair),
};

fn run(input: &[u8]) -> Verdict {
    let floors = Floors::decode(input);
    if let Ok(floors) = &floors {
        assert_eq!(Floors::decode(&floors.encode()).as_ref(), Ok(floors), "they say the same when written again");
        assert_eq!(&floors.join(floors), floors);
        assert_eq!(Floors::recover(Some(input), None), Recovered::Floors(floors.clone()));
        return Verdict::accepted("floors");
    }
    match Released::from_ledger(input) {
        Ok(released) => {
            let again = Released::from_ledger(released.to_ledger());
            assert_eq!(again.as_ref(), Ok(&released), "it says the same when written again");
            _ = (released.release_counter(), released.model(), released.fits("pi4"));
            Verdict::accepted("released")
        }
        Err(fault) => Verdict::refused(fault.kind(), format!("{fault} {:?}", floors.err())),
    }
}

/// Makes the checksum right again.
fn repair(input: &[u8], _: u64) -> Option<Vec<u8>> {
    let body = input.get(..input.len().checked_sub(32)?)?;
    Some([body, &Digest::of(body).0].concat())
}
