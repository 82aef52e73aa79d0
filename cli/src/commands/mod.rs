//! One file a noun; each command prints what it did and what to type next.
pub mod broker;
pub mod bundle;
pub mod device;
pub mod doctor;
pub mod drift;
pub mod events;
pub mod export;
pub mod keys;
pub mod lint;
mod names;
pub mod publish;
pub mod rollout;
pub mod train;
pub mod up;

/// Returns when the program is asked to stop: Ctrl-C or SIGTERM.
pub async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

/// Returns the present, seconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
