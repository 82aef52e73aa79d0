//! Patches from someone who wants to do harm: each is refused, none makes the device panic or run out of memory.
use common::models::{Chance, int8};
use common::{bomb, content, leb, patch, sealed, stored, tensor_body};
use pinnace_patch::{Kind, PatchError, apply, limits, make};
use pinnace_protocol::ids::Digest;

mod common;

/// Returns an old and a new model, and both patches between them.
fn models() -> (Vec<u8>, Vec<u8>, [Vec<u8>; 2]) {
    let chance = &mut Chance(5);
    let mut model = int8(&[40, 30, 20], chance);
    let from = model.file();
    model.change(|w| w, |w| if chance.share() < 0.05 { w.saturating_add(1) } else { w });
    model.version = "2.10".into();
    let to = model.file();
    let patches = [Kind::Zstd, Kind::Tensor].map(|kind| make(&from, &to, kind).unwrap().bytes);
    (from, to, patches)
}

#[test]
fn every_flipped_byte_and_every_cut_is_refused() {
    let (from, to, patches) = models();
    let (digest, length) = (Digest::of(&to), to.len() as u64);
    for patch in patches {
        assert_eq!(apply(&from, &patch, &digest, length).as_ref(), Ok(&to));
        for at in 0..patch.len() {
            assert!(apply(&from, &patch[..at], &digest, length).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = patch.clone();
                flipped[at] ^= 1 << bit;
                assert!(apply(&from, &flipped, &digest, length).is_err(), "bit {bit} of {at}");
            }
        }
        assert_eq!(apply(&from, &[&patch[..], b"\0"].concat(), &digest, length), Err(PatchError::Damaged));
    }
}

#[test]
fn what_was_changed_and_sealed_again_makes_the_right_file_or_none() {
    let (from, to, patches) = models();
    let (digest, length) = (Digest::of(&to), to.len() as u64);
    for patch in patches {
        let inner = &patch[..patch.len() - 8];
        let mut refused = 0;
        for at in 0..inner.len() {
            let cut = apply(&from, &sealed(inner[..at].to_vec()), &digest, length);
            assert!(cut.is_err(), "cut at {at}");
            for flip in [1, 0x80, 0xff] {
                let mut flipped = inner.to_vec();
                flipped[at] ^= flip;
                match apply(&from, &sealed(flipped), &digest, length) {
                    Ok(made) => assert!(made == to),
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > inner.len() * 2, "{refused} of {}", inner.len() * 3);
    }
}

#[test]
fn a_frame_that_grows_without_end_stops_at_the_length_that_was_asked_for() {
    let (from, to) = (vec![1; 100], vec![7; 1000]);
    let digest = Digest::of(&to);
    for said in [0, 1000, 1001, u32::MAX] {
        let zstd = patch(1, &from, &to, &bomb(30_000, said));
        let refused = apply(&from, &zstd, &digest, 1000);
        assert!(matches!(refused, Err(PatchError::Compressed { .. })), "{refused:?}");
        let tensor = patch(2, &from, &to, &[&1000_u64.to_le_bytes()[..], &bomb(30_000, said)].concat());
        let refused = apply(&from, &tensor, &digest, 1000);
        assert!(matches!(refused, Err(PatchError::Compressed { .. })), "{refused:?}");
    }
    let endless = patch(2, &from, &to, &[&u64::MAX.to_le_bytes()[..], &stored(b"")].concat());
    assert!(matches!(apply(&from, &endless, &digest, 1000), Err(PatchError::Operation { .. })));
    let long = patch(1, &from, &to, &stored(&to));
    let mut head = long[..long.len() - 8].to_vec();
    head[73..81].copy_from_slice(&u64::MAX.to_le_bytes());
    let refused = apply(&from, &sealed(head), &digest, u64::MAX);
    assert_eq!(refused, Err(PatchError::TooLong { length: u64::MAX }));
}

#[test]
fn frames_that_say_less_or_have_company_are_refused() {
    let (from, to) = (vec![1; 100], vec![7; 50]);
    let digest = Digest::of(&to);
    let two = [stored(&to[..20]), stored(&to[20..])].concat();
    // A skippable frame, which a zstd decoder steps over.
    let skipped = [&stored(&to)[..], &[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9]].concat();
    for body in [stored(&to[..49]), two, skipped, Vec::new(), stored(&[&to[..], b"x"].concat())] {
        let refused = apply(&from, &patch(1, &from, &to, &body), &digest, 50);
        assert!(matches!(refused, Err(PatchError::Compressed { .. })), "{refused:?}");
    }
    let other = apply(&from, &patch(1, &from, &to, &stored(&[8; 50])), &digest, 50);
    assert_eq!(other, Err(PatchError::WrongResult));
}

#[test]
fn operations_that_do_not_add_up_are_refused() {
    let (from, to) = (vec![1; 64], vec![1; 64]);
    let digest = Digest::of(&to);
    let huge = leb(u64::MAX >> 1);
    let table = |parts: &[&[u8]]| content(&parts.concat(), &[]);
    let planes =
        |width: usize| -> Vec<(usize, &[u8])> { (0..width).map(|plane| (1 + width + plane, &[0; 16][..])).collect() };
    let whole = table(&[&[1, 0, 0, 64]]);
    let good = apply(&from, &patch(2, &from, &to, &tensor_body(&whole)), &digest, 64);
    assert_eq!(good, Ok(to.clone()), "the whole file, copied");
    let bad: [(&str, Vec<u8>); 23] = [
        ("nothing", Vec::new()),
        ("no operation", table(&[&[0]])),
        ("too little", table(&[&[1, 0, 0, 63]])),
        ("too much", table(&[&[2, 0, 0, 64, 0, 0, 1]])),
        ("beyond the old file", table(&[&[1, 0, 1, 64]])),
        ("an offset that overflows", table(&[&[1, 0], &huge, &[64]])),
        ("a length that overflows", table(&[&[1, 0, 1], &huge])),
        ("a literal that is not there", table(&[&[1, 0x10, 64]])),
        ("a literal that overflows", table(&[&[1, 0x10], &huge])),
        ("an operation that is not known", table(&[&[1, 0x60, 64]])),
        ("a copy with a width", table(&[&[1, 0x01, 0, 64]])),
        ("a width that is not known", table(&[&[1, 0x24, 0, 64]])),
        ("planes that are not there", table(&[&[1, 0x42, 64]])),
        ("half an element", content(&[2, 0x42, 63, 0x00, 0, 1], &planes(4))),
        ("differences beyond the old file", content(&[1, 0x22, 4, 64], &planes(4))),
        ("a plane left over", content(&[1, 0x00, 0, 64], &planes(4))),
        ("literals left over", content(&[1, 0x00, 0, 64], &[(0, b"x")])),
        ("gaps left over", content(&[1, 0x00, 0, 64], &[(1, &[0])])),
        ("a gap beyond the tensor", content(&[1, 0x30, 0, 64, 1], &[(1, &[64]), (2, &[0])])),
        ("a gap without end", content(&[1, 0x30, 0, 64, 1], &[(1, &[255; 9]), (2, &[0])])),
        ("more changes than elements", content(&[1, 0x30, 0, 64, 65], &[(1, &[0; 65]), (2, &[0; 65])])),
        ("changes without end", table(&[&[1, 0x30, 0, 64], &huge])),
        ("operations without end", [leb(limits::OPERATIONS_MAX as u64 + 1), vec![0; 200_000]].concat()),
    ];
    for (what, content) in bad {
        let refused = apply(&from, &patch(2, &from, &to, &tensor_body(&content)), &digest, 64);
        assert!(matches!(refused, Err(PatchError::Operation { .. })), "{what}: {refused:?}");
    }
    let behind = tensor_body(&[&whole[..], b"x"].concat());
    assert!(apply(&from, &patch(2, &from, &to, &behind), &digest, 64).is_err(), "something behind the streams");
    let long_number = tensor_body(&[&[1, 0][..], &[0x80; 10], &[0, 64]].concat());
    assert!(apply(&from, &patch(2, &from, &to, &long_number), &digest, 64).is_err(), "a number without end");
    assert!(apply(&from, &patch(2, &from, &to, &[1, 2, 3]), &digest, 64).is_err(), "a body cut short");
}

#[test]
fn every_refusal_says_what_to_do() {
    let digest = Digest::of(b"");
    let all = [
        PatchError::NotAPatch,
        PatchError::Damaged,
        PatchError::OtherResult { patch: digest, wanted: digest },
        PatchError::OtherBase { wanted: digest },
        PatchError::TooLong { length: 1 },
        PatchError::Memory { length: 1 },
        PatchError::Compressed { why: "x" },
        PatchError::Operation { why: "x" },
        PatchError::WrongResult,
    ];
    assert!(all.iter().all(|error| error.to_string().contains("\n  hint: ")));
}
