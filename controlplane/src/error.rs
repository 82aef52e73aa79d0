//! Why a control plane does not start or stops.
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Says why a control plane does not start or has stopped.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// Another plane uses the data directory.
    #[error("the data directory `{}` is used by another control plane\n  hint: stop it first, or choose another directory with --data", .0.display())]
    InUse(PathBuf),
    /// The disk said no.
    #[error("{what} `{}`: {source}\n  hint: look at free space and permissions", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}\n  hint: another process may use the port; devices know this address, so free it, or choose another and let them join again"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system answered.
        source: io::Error,
    },
    /// Listening on all addresses, without a name for devices.
    #[error(
        "devices cannot be told where {0} is\n  hint: name this machine with --public-host, or listen on one address"
    )]
    PublicHost(SocketAddr),
    /// No randomness.
    #[error("the system gives no random bytes: {0}\n  hint: the container may lack /dev/urandom or getrandom(2)")]
    Random(String),
    /// A task panicked.
    #[error("a task of the control plane failed: {0}\n  hint: this is a fault of the program; please report it")]
    Task(String),
    /// Published metadata cannot be read.
    #[error("the stored repository cannot be read: {0}\n  hint: restore the data directory from its backup")]
    Repository(#[from] pinnace_protocol::trust::TrustError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The stored rows contradict each other.
    #[error("the database cannot be gone on from: {0}\n  hint: restore the data directory from its backup")]
    Recover(#[from] pinnace_controlplane_core::RecoverError),
    /// A key is missing.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
    /// The director's roots cannot be read, or the plane does not hold its key.
    #[error(transparent)]
    Online(#[from] crate::registry::OnlineError),
    /// The first metadata could not be written.
    #[error(transparent)]
    Ceremony(#[from] crate::ceremony::FirstMetadataError),
    /// The blob store failed.
    #[error(transparent)]
    Blob(#[from] crate::blobs::BlobError),
    /// The certificate authority failed.
    #[error(transparent)]
    Ca(#[from] crate::ca::CaError),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// The broker did not start.
    #[error(transparent)]
    Broker(#[from] crate::broker::BrokerError),
    /// The makers' certificates cannot be used.
    #[error(transparent)]
    Vendor(#[from] crate::vendor::VendorError),
    /// Devices cannot be let in.
    #[error(transparent)]
    Join(#[from] crate::join::JoinError),
}
