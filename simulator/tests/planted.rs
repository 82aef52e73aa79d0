//! Every check sees the bug that was planted for it: a check that never fires proves nothing.
use pinnace_simulator::{Check, Options, Plant, Profile, run_with};

/// Returns the seed in which `check` caught the bug, within `seeds`.
fn caught(plant: Plant, check: Check, profile: Profile, seeds: u64) -> Option<u64> {
    (0..seeds).find(|seed| {
        let options = Options { seed: *seed, devices: 6, hours: 9, profile };
        run_with(&options, plant).violation.is_some_and(|violation| violation.check == check)
    })
}

/// Fails unless `check` catches `plant` within `seeds` seeds.
fn must_catch(plant: Plant, check: Check, profile: Profile, seeds: u64) {
    let seed = caught(plant, check, profile, seeds);
    assert!(seed.is_some(), "{check} did not catch {plant:?} within {seeds} seeds of {profile}");
}

#[test]
fn s1_bytes_that_nobody_verified() {
    must_catch(Plant::SkipVerification, Check::S1, Profile::Chaos, 20);
}

#[test]
fn s2_floors_in_one_file() {
    must_catch(Plant::FloorsInOneFile, Check::S2, Profile::Powerloss, 10);
}

#[test]
fn s3_a_seal_without_a_sync() {
    must_catch(Plant::SealWithoutSync, Check::S3, Profile::Powerloss, 10);
}

#[test]
fn s3_a_ledger_that_is_not_flushed() {
    must_catch(Plant::NoFlush, Check::S3, Profile::Powerloss, 5);
}

#[test]
fn s4_slots_mistaken_for_each_other() {
    must_catch(Plant::SwapSlots, Check::S4, Profile::Calm, 3);
}

#[test]
fn s5_a_generation_told_before_it_is_durable() {
    must_catch(Plant::PublishBeforeCommit, Check::S5, Profile::Powerloss, 10);
}

#[test]
fn s6_one_device_more() {
    must_catch(Plant::TellOneMore, Check::S6, Profile::Calm, 3);
}

#[test]
fn s7_forgotten_numbers() {
    must_catch(Plant::ForgetCounted, Check::S7, Profile::Calm, 1);
}

#[test]
fn s7_an_acknowledgement_too_early() {
    must_catch(Plant::AckBeforeCommit, Check::S7, Profile::Calm, 1);
}

#[test]
fn l1_a_plane_that_does_not_answer() {
    must_catch(Plant::SilentPlane, Check::L1, Profile::Chaos, 5);
}

#[test]
fn l2_windows_that_are_not_stored() {
    must_catch(Plant::LoseWindows, Check::L2, Profile::Powerloss, 5);
}

#[test]
fn l3_a_plane_that_takes_nothing_back() {
    must_catch(Plant::KeepBad, Check::L3, Profile::Calm, 10);
}
