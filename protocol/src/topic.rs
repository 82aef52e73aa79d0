//! The whole MQTT topic scheme: every topic is written and read here and nowhere else.
//!
//! ```text
//! pn/v1/<tenant>/d/<device>/up/{hello,report,window,want,log,done}    device -> plane
//! pn/v1/<tenant>/d/<device>/down/{director,ack,chunk,command}         plane -> device (director retained)
//! pn/v1/<tenant>/blob/<digest16>/c                                    plane -> many
//! ```
use alloc::format;
use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, Digest, TenantId};

/// The first two levels of every topic of this protocol version.
pub const ROOT: &str = "pn/v1";

/// What a device sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Up {
    /// "I am here": after each connect.
    Hello,
    /// What it runs and how it fares.
    Report,
    /// A closed statistics window.
    Window,
    /// What it needs: metadata or chunks.
    Want,
    /// Log lines.
    Log,
    /// How a command ended.
    Done,
}

/// What a device receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Down {
    /// The signed assignment (retained).
    Director,
    /// Which windows are durably counted.
    Ack,
    /// Metadata or a chunk of a blob.
    Chunk,
    /// What an operator asks of it, signed.
    Command,
}

impl Up {
    /// All kinds, in wire order.
    pub const ALL: [Self; 6] = [Self::Hello, Self::Report, Self::Window, Self::Want, Self::Log, Self::Done];
    /// Returns the topic level.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Report => "report",
            Self::Window => "window",
            Self::Want => "want",
            Self::Log => "log",
            Self::Done => "done",
        }
    }
}

impl Down {
    /// All kinds, in wire order.
    pub const ALL: [Self; 4] = [Self::Director, Self::Ack, Self::Chunk, Self::Command];
    /// Returns the topic level.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Director => "director",
            Self::Ack => "ack",
            Self::Chunk => "chunk",
            Self::Command => "command",
        }
    }
}

/// One concrete topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// From a device.
    Up(TenantId, DeviceId, Up),
    /// To a device.
    Down(TenantId, DeviceId, Down),
    /// Chunks of a blob, to all who listen.
    Blob(TenantId, BlobTopic),
}

/// The first half of a blob's digest: enough to tell topics apart, since what comes there is checked by its whole digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobTopic([u8; 8]);

impl BlobTopic {
    /// Returns the topic level of a blob.
    pub fn of(blob: &Digest) -> Self {
        let mut half = [0; 8];
        half.copy_from_slice(&blob.0[..8]);
        Self(half)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut half = [0; 8];
        hex::decode_to_slice(text, &mut half).ok()?;
        // Upper-case digits would be a second topic for the same blob.
        let one = Self(half);
        (one.to_text() == text).then_some(one)
    }

    fn to_text(self) -> String {
        crate::ids::hex_text(&self.0)
    }
}

impl Topic {
    /// Returns the topic as text.
    pub fn to_text(&self) -> String {
        match self {
            Self::Up(t, d, k) => format!("{ROOT}/{t}/d/{d}/up/{}", k.as_str()),
            Self::Down(t, d, k) => format!("{ROOT}/{t}/d/{d}/down/{}", k.as_str()),
            Self::Blob(t, b) => format!("{ROOT}/{t}/blob/{}/c", b.to_text()),
        }
    }

    /// Reads a topic; `None` for anything this version does not define.
    pub fn parse(text: &str) -> Option<Self> {
        let mut levels = text.strip_prefix(ROOT)?.strip_prefix('/')?.split('/');
        let tenant = TenantId::parse(levels.next()?).ok()?;
        match levels.next()? {
            "d" => {}
            "blob" => {
                let blob = BlobTopic::parse(levels.next()?)?;
                return (levels.next()? == "c" && levels.next().is_none()).then_some(Self::Blob(tenant, blob));
            }
            _ => return None,
        }
        let device = DeviceId::parse(levels.next()?).ok()?;
        let (direction, kind) = (levels.next()?, levels.next()?);
        if levels.next().is_some() {
            return None;
        }
        match direction {
            "up" => Up::ALL.into_iter().find(|k| k.as_str() == kind).map(|k| Self::Up(tenant, device, k)),
            "down" => Down::ALL.into_iter().find(|k| k.as_str() == kind).map(|k| Self::Down(tenant, device, k)),
            _ => None,
        }
    }
}

/// Returns the filter for all messages to one device.
pub fn device_down_filter(tenant: &TenantId, device: &DeviceId) -> String {
    format!("{ROOT}/{tenant}/d/{device}/down/#")
}

/// Returns the filter for all messages of one kind from all devices of all tenants.
pub fn plane_up_filter(kind: Up) -> String {
    format!("{ROOT}/+/d/+/up/{}", kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_reads_back() {
        let (t, d) = (TenantId::parse("acme").unwrap(), DeviceId::parse("station-1").unwrap());
        for k in Up::ALL {
            let topic = Topic::Up(t.clone(), d.clone(), k);
            assert_eq!(Topic::parse(&topic.to_text()), Some(topic));
        }
        for k in Down::ALL {
            let topic = Topic::Down(t.clone(), d.clone(), k);
            assert_eq!(Topic::parse(&topic.to_text()), Some(topic));
        }
        let topic = Topic::Blob(t, BlobTopic::of(&Digest::of(b"blob")));
        assert_eq!(Topic::parse(&topic.to_text()), Some(topic));
        for bad in [
            "pn/v1/acme/blob/00/c",
            "pn/v1/acme/blob/00112233445566AA/c",
            "pn/v1/acme/blob/00112233445566aa",
            "pn/v1/acme/blob/00112233445566aa/c/x",
            "pn/v1/acme/blob/00112233445566aa/d",
            "pn/v1/acme/d/+/up/hello",
            "pn/v1/acme/d/x/up/hello/y",
            "pn/v2/acme/d/x/up/hello",
            "pn/v1//d/x/up/hello",
            "",
        ] {
            assert_eq!(Topic::parse(bad), None, "{bad}");
        }
    }
}
