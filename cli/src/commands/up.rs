//! `pinnace up`: the control plane in the foreground.
use std::path::Path;

use pinnace_controlplane::vendor::VendorConfig;
use pinnace_controlplane::{Config, ControlPlane, Mqtt};
use pinnace_controlplane_core::api::{Config as StewardConfig, IntervalBy};
use pinnace_protocol::ids::TenantId;

use crate::args::UpArgs;
use crate::output::{Failure, line};

/// Bytes of a file of trust anchors or serial numbers.
const VENDOR_FILE_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Returns the makers whose devices may join by their certificates.
fn vendors(anchors: Option<&Path>, serials: Option<&Path>) -> Result<Option<VendorConfig>, Failure> {
    let read = |path: &Path| {
        let failed = |why: String| {
            Failure::error(format!(
                "{}: {why}\n  hint: a text file is meant, of at most {VENDOR_FILE_MAX_BYTES} bytes",
                path.display()
            ))
        };
        let length = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
        if length > VENDOR_FILE_MAX_BYTES {
            return Err(failed("it is too large".into()));
        }
        std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))
    };
    let Some(anchors_pem) = anchors.map(read).transpose()? else { return Ok(None) };
    let lines = |text: String| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    Ok(Some(VendorConfig { anchors_pem, serials: serials.map(read).transpose()?.map(lines) }))
}

/// Runs the command until it is asked to stop.
pub async fn run(args: UpArgs) -> Result<(), Failure> {
    let mqtt = match &args.broker {
        None => Mqtt::Embedded { addr: args.mqtt },
        Some(broker) => {
            let (host, port) =
                broker.rsplit_once(':').and_then(|(h, p)| Some((h.to_string(), p.parse().ok()?))).ok_or_else(|| {
                    Failure::error(format!(
                        "`{broker}` is no broker address\n  hint: write host:port, e.g. mqtt.example.org:8883"
                    ))
                })?;
            Mqtt::External { host, port }
        }
    };
    // Every device is a connection: without this a fleet ends at about a thousand.
    let files = crate::open_files::raise();
    tracing::debug!(files, "open files allowed");
    let interval = args.interval_windows.map_or(IntervalBy::Seconds(args.interval), IntervalBy::Windows);
    let config = Config {
        data_dir: args.data.clone(),
        http_addr: args.http,
        https_addr: args.https,
        mqtt,
        tenant: TenantId::parse(&args.tenant)?,
        public_host: Some(args.host),
        vendors: vendors(args.vendor_ca.as_deref(), args.vendor_serials.as_deref())?,
        steward: StewardConfig { interval, interval_rows: args.interval_rows },
    };
    let mut plane = ControlPlane::start(config).await?;
    line(format!(
        "The control plane is up: dashboard http://{}/, devices https://{}",
        plane.http_addr, plane.https_addr
    ));
    if args.vendor_ca.is_some() {
        line(format!("Hash of the trust anchor, for devices without a token: {}", plane.anchor_hash()));
    }
    line(format!(
        "The admin token is in {}. Next: pinnace device invite",
        args.data.join(crate::client::ADMIN_TOKEN_FILE).display()
    ));
    let ended = tokio::select! {
        ended = plane.wait() => Some(ended),
        () = super::asked_to_stop() => None,
    };
    match ended {
        Some(ended) => Ok(ended?),
        None => Ok(plane.shutdown().await?),
    }
}
