//! Documents of the largest size that is read, made of what costs a parser most: memory stays within a named bound.
use pinnace_fuzz::memory::peak_of;
use pinnace_protocol::cbor;
use pinnace_protocol::limits::PAYLOAD_MAX_BYTES;
use pinnace_protocol::message::LogLines;
use pinnace_protocol::trust::limits::{
    DIRECTOR_BUNDLE_MAX_BYTES, ROOT_MAX_BYTES, SNAPSHOT_MAX_BYTES, TARGETS_MAX_BYTES, TIMESTAMP_MAX_BYTES,
};
use pinnace_protocol::trust::{DirectorBundle, Envelope};

/// Bytes of memory for each byte of a document's cap: a device with 256 MiB has to survive any mirror.
const PER_BYTE: usize = 24;
/// Bytes for the objects that every document may hold.
const BASE: usize = 512 * 1024;

/// Short pieces that make a reader allocate: values, lists, objects with one field.
const PIECES: [&str; 8] = ["0,", "[],", "{},", "\"\",", "{\"\":0},", "[0],", "[[0]],", "{\"\":{\"\":0}},"];

#[test]
fn no_document_of_any_size_takes_more_memory_than_its_cap_allows() {
    let roles = [
        ("timestamp", TIMESTAMP_MAX_BYTES),
        ("director", DIRECTOR_BUNDLE_MAX_BYTES),
        ("root", ROOT_MAX_BYTES),
        ("snapshot", SNAPSHOT_MAX_BYTES),
        ("targets", TARGETS_MAX_BYTES),
    ];
    for (role, cap) in roles {
        for piece in PIECES {
            // As many as fit, and as many as are still parsed.
            for share in [1, 2, 4, 8, 16, 24, 32] {
                let many = (cap / piece.len() / share).saturating_sub(20);
                let text = format!("{{\"signatures\":[],\"signed\":[{}0]}}", piece.repeat(many));
                let (result, peak) = peak_of(|| Envelope::parse(role, text.as_bytes(), cap).map(drop));
                let allowed = BASE + PER_BYTE * cap;
                assert!(peak <= allowed, "{role}, {many} times `{piece}`: {peak} of {allowed} bytes, {result:?}");
                let (_, peak) = peak_of(|| DirectorBundle::decode(text.as_bytes()).is_ok());
                assert!(peak <= BASE + PER_BYTE * DIRECTOR_BUNDLE_MAX_BYTES, "{role}, `{piece}`: {peak} bytes");
            }
        }
    }
}

#[test]
fn no_message_takes_more_memory_than_its_items_allow() {
    for item in [&b"\x60"[..], b"\x80", b"\x00", b"\x40"] {
        let many = 65_530_u32;
        let list = [&[0x9a][..], &many.to_be_bytes(), &item.repeat(many as usize)].concat();
        let bytes = [&[0xa2, 0x00, 0xa3, 0x00, 0x01, 0x01, 0x02, 0x02, 0x03, 0x01][..], &list].concat();
        let (_, peak) = peak_of(|| cbor::decode::<LogLines>(&bytes, PAYLOAD_MAX_BYTES).is_ok());
        assert!(peak < 4 * 1024 * 1024, "{peak} bytes for {item:?}");
    }
}
