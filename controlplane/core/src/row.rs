//! The durable rows: one typed enum, a text key and a versioned CBOR value each.
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use pinnace_protocol::cbor::{self, CborError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::bundle::Bundle;
use crate::fleet::Device;
use crate::history::EventRecord;
use crate::limits::ROW_MAX_BYTES;
use crate::rollout::{Member, Rollout};
use crate::windows::{Aggregate, Dedupe};

/// Version written into every row; rows of a later one are refused, of an earlier one are read.
pub const ROW_VERSION: u32 = 1;

/// Where a row belongs; the shell keeps one table `(key TEXT PRIMARY KEY, value BLOB)` for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// Devices by id.
    Device,
    /// Bundles by `family/vN`.
    Bundle,
    /// Rollouts by id.
    Rollout,
    /// Devices in a rollout, by `rollout/device`.
    Member,
    /// Folded windows, by `family/vN/first interval` (20 digits).
    Aggregate,
    /// Which windows were folded, by device id.
    Dedupe,
    /// The history, by sequence number (20 digits).
    Event,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 7] =
        [Self::Device, Self::Bundle, Self::Rollout, Self::Member, Self::Aggregate, Self::Dedupe, Self::Event];
    /// Returns the table's stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Bundle => "bundle",
            Self::Rollout => "rollout",
            Self::Member => "member",
            Self::Aggregate => "aggregate",
            Self::Dedupe => "dedupe",
            Self::Event => "event",
        }
    }
}

/// Names a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey {
    /// The table.
    pub table: Table,
    /// The key in it.
    pub key: String,
}

/// A durable row.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "lives from the turn to the commit; a box per row would cost more")]
pub enum Row {
    /// A device.
    Device(Device),
    /// A bundle.
    Bundle(Bundle),
    /// A rollout.
    Rollout(Rollout),
    /// A device in a rollout.
    Member(Member),
    /// Folded windows.
    Aggregate(Aggregate),
    /// Which windows were folded.
    Dedupe(Dedupe),
    /// One entry of the history.
    Event(EventRecord),
}

/// Says why stored bytes are not a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Written by a later version.
    #[error(
        "a row of table `{table}` is of version {version}, this program reads up to {ROW_VERSION}\n  hint: run the newer control plane again, or restore the backup made before it"
    )]
    Version {
        /// The table.
        table: &'static str,
        /// The row's version.
        version: u32,
    },
    /// Damaged, or of another shape.
    #[error("a row of table `{table}` cannot be read: {source}")]
    Cbor {
        /// The table.
        table: &'static str,
        /// What is wrong.
        source: CborError,
    },
}

#[derive(Deserialize)]
struct In<T> {
    #[serde(rename = "version")]
    _version: u32,
    body: T,
}

#[derive(Serialize)]
struct Out<'a, T> {
    version: u32,
    body: &'a T,
}

/// Only the version, so that a later row is named as such even when its body has another shape.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

fn write<T: Serialize>(table: Table, body: &T) -> Result<Vec<u8>, RowError> {
    cbor::encode(&Out { version: ROW_VERSION, body }).map_err(|source| RowError::Cbor { table: table.as_str(), source })
}

fn read<T: DeserializeOwned>(table: Table, bytes: &[u8]) -> Result<T, RowError> {
    let broken = |source| RowError::Cbor { table: table.as_str(), source };
    let head: VersionOnly = cbor::decode(bytes, ROW_MAX_BYTES).map_err(broken)?;
    if head.version > ROW_VERSION {
        return Err(RowError::Version { table: table.as_str(), version: head.version });
    }
    let row: In<T> = cbor::decode(bytes, ROW_MAX_BYTES).map_err(broken)?;
    Ok(row.body)
}

impl Row {
    /// Returns where the row belongs.
    pub const fn table(&self) -> Table {
        match self {
            Self::Device(_) => Table::Device,
            Self::Bundle(_) => Table::Bundle,
            Self::Rollout(_) => Table::Rollout,
            Self::Member(_) => Table::Member,
            Self::Aggregate(_) => Table::Aggregate,
            Self::Dedupe(_) => Table::Dedupe,
            Self::Event(_) => Table::Event,
        }
    }

    /// Returns the row's key in its table; keys sort in the order of time where there is one.
    pub fn key(&self) -> String {
        match self {
            Self::Device(d) => d.id.to_string(),
            Self::Bundle(b) => b.bundle.to_string(),
            Self::Rollout(r) => r.id.to_string(),
            Self::Member(m) => format!("{}/{}", m.rollout, m.device),
            Self::Aggregate(a) => aggregate_key(&a.bundle, a.first),
            Self::Dedupe(d) => d.device.to_string(),
            Self::Event(e) => format!("{:020}", e.seq),
        }
    }

    /// Returns the row's value.
    ///
    /// # Errors
    /// [`RowError::Cbor`] when a value cannot be expressed; none of ours is.
    pub fn value(&self) -> Result<Vec<u8>, RowError> {
        let table = self.table();
        match self {
            Self::Device(x) => write(table, x),
            Self::Bundle(x) => write(table, x),
            Self::Rollout(x) => write(table, x),
            Self::Member(x) => write(table, x),
            Self::Aggregate(x) => write(table, x),
            Self::Dedupe(x) => write(table, x),
            Self::Event(x) => write(table, x),
        }
    }

    /// Reads a row of `table`.
    ///
    /// # Errors
    /// [`RowError`] when it was written by a later version or is damaged. Never panics.
    pub fn decode(table: Table, bytes: &[u8]) -> Result<Self, RowError> {
        Ok(match table {
            Table::Device => Self::Device(read(table, bytes)?),
            Table::Bundle => Self::Bundle(read(table, bytes)?),
            Table::Rollout => Self::Rollout(read(table, bytes)?),
            Table::Member => Self::Member(read(table, bytes)?),
            Table::Aggregate => Self::Aggregate(read(table, bytes)?),
            Table::Dedupe => Self::Dedupe(read(table, bytes)?),
            Table::Event => Self::Event(read(table, bytes)?),
        })
    }
}

/// Returns the key of an aggregate.
pub(crate) fn aggregate_key(bundle: &pinnace_protocol::ids::BundleRef, first: u64) -> String {
    format!("{bundle}/{first:020}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use pinnace_protocol::ids::DeviceId;

    #[test]
    fn rows_read_back_and_later_or_damaged_ones_are_refused() {
        let id = DeviceId::parse("station-01").unwrap();
        let row = Row::Device(Device::new(id, "pi", &["site=north".into()], 7));
        let bytes = row.value().unwrap();
        assert_eq!(Row::decode(Table::Device, &bytes).unwrap(), row);
        // The version is the first field: map of two, key 0, value.
        assert_eq!(bytes[..3], [0xa2, 0x00, 0x01]);
        let mut later = bytes.clone();
        later[2] = 0x02;
        assert_eq!(Row::decode(Table::Device, &later), Err(RowError::Version { table: "device", version: 2 }));
        for end in 0..bytes.len() {
            assert!(Row::decode(Table::Device, &bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(Row::decode(Table::Rollout, &bytes).is_err());
        assert!(Row::decode(Table::Event, &vec![0x81; 5000]).is_err());
    }

    #[test]
    fn every_table_has_its_own_name() {
        let mut names = Table::ALL.map(Table::as_str);
        names.sort_unstable();
        assert!(names.windows(2).all(|w| w[0] != w[1]));
    }
}
