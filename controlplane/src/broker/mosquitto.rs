//! The same access rules for Eclipse Mosquitto, so that a fleet can move to it by configuration alone.
//!
//! Mosquitto takes the user name from the certificate's common name (the device id), not its
//! organization (the tenant): one Mosquitto therefore serves one tenant, and refuses nothing at SUBSCRIBE
//! but delivers only what the rules allow. Nor does it tie client ids to certificates by itself: without
//! `use_username_as_clientid`, any device could take over the session of any other, and of the plane.
//! What revoking means there is told in `docs/BROKERS.md`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use pinnace_protocol::ids::TenantId;

use super::acl::{device_filters, plane_filter};
use super::limits::{INFLIGHT_MAX, KEEP_ALIVE_MAX_S, PACKET_MAX_BYTES, PLANE_QUEUE_MESSAGES};
use crate::ca::PLANE_COMMON_NAME;

/// Returns the text of an `acl_file` that grants what [`super::Permissions`] grants, for one tenant.
pub fn acl_file(tenant: &TenantId) -> String {
    let (publish, subscribe) = device_filters(tenant, "%u");
    let mut out = String::from("# Devices: the user name is the common name of the certificate.\n");
    for filter in publish {
        let _ = writeln!(out, "pattern write {filter}");
    }
    for filter in subscribe {
        let _ = writeln!(out, "pattern read {filter}");
    }
    let _ = writeln!(out, "\n# The control plane.\nuser {PLANE_COMMON_NAME}\ntopic readwrite {}", plane_filter());
    out
}

/// Where a Mosquitto finds its files.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The certificate authority's certificate.
    pub authority: &'a Path,
    /// The broker's certificate, issued by that authority for the broker's names.
    pub certificate: &'a Path,
    /// The broker's key.
    pub key: &'a Path,
    /// The text of [`acl_file`].
    pub acl: &'a Path,
    /// The authority's newest revocation list, PEM. Without the file, or after the list's end, nobody is let in.
    pub revoked: &'a Path,
}

/// Returns the text of a `mosquitto.conf` that listens on `address` with mandatory client certificates.
pub fn config_file(address: SocketAddr, files: Files<'_>) -> String {
    format!(
        "per_listener_settings false\n\
         allow_anonymous false\n\
         acl_file {acl}\n\
         persistence false\n\
         max_keepalive {KEEP_ALIVE_MAX_S}\n\
         max_packet_size {PACKET_MAX_BYTES}\n\
         max_inflight_messages {INFLIGHT_MAX}\n\
         max_queued_messages {PLANE_QUEUE_MESSAGES}\n\
         set_tcp_nodelay true\n\
         listener {port} {ip}\n\
         max_qos 1\n\
         max_topic_alias 0\n\
         cafile {authority}\n\
         certfile {certificate}\n\
         keyfile {key}\n\
         crlfile {revoked}\n\
         require_certificate true\n\
         use_identity_as_username true\n\
         use_username_as_clientid true\n",
        acl = files.acl.display(),
        port = address.port(),
        ip = address.ip(),
        authority = files.authority.display(),
        certificate = files.certificate.display(),
        key = files.key.display(),
        revoked = files.revoked.display(),
    )
}
