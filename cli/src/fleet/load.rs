//! Starts the devices at a steady pace, each as one task beside its link's.
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::VerifyingKey;
use indicatif::ProgressBar;
use pinnace_agent::http;
use pinnace_agent::link::{self, LinkConfig, LinkEvent};
use pinnace_agent_core::{Config, Intervals};
use pinnace_protocol::join::Anchor;
use pinnace_protocol::message::ReportKey;
use pinnace_protocol::signature::Verifier;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::chance::is_chosen;
use super::fetch::Fetch;
use super::home::Member;
use super::limits::{BUNDLE_MAX_BYTES, CONNECT_LIMIT, DEVICE_CHANNEL, LOOK, MODEL_MEMORY_MIB, PACE_MS};
use super::shell::{Parts, Shell};
use super::{Settings, Shared};
use crate::output::Failure;

/// What every device is made from.
pub struct Mould {
    shared: Arc<Shared>,
    anchor: Anchor,
    plane_key: VerifyingKey,
    host: String,
    port: u16,
    https: Arc<str>,
    device_profile: String,
    labels: Vec<String>,
}

impl Mould {
    /// Reads what the anchor says; `broker` names another broker than it does.
    ///
    /// # Errors
    /// [`Failure`] when an address or key cannot be read.
    pub fn new(
        shared: Arc<Shared>,
        anchor: Anchor,
        broker: Option<&str>,
        device_profile: &str,
        labels: &[String],
    ) -> Result<Self, Failure> {
        let address = broker.unwrap_or(&anchor.mqtt);
        let (host, port) = address
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
            .ok_or_else(|| {
                Failure::error(format!(
                    "`{address}` is no broker address\n  hint: write host:port, e.g. mqtt.example.org:8883"
                ))
            })?;
        let mut key = [0; 32];
        let read = hex::decode_to_slice(&anchor.plane_key, &mut key).ok();
        let plane_key = read.and_then(|()| VerifyingKey::from_bytes(&key).ok());
        let plane_key = plane_key.ok_or_else(|| {
            Failure::error(
                "the trust anchor's message key is not usable\n  hint: join again; is the plane of this version?",
            )
        })?;
        let https = anchor.https_url.as_str().into();
        let (device_profile, labels) = (device_profile.to_owned(), labels.to_vec());
        Ok(Self { shared, anchor, plane_key, host, port, https, device_profile, labels })
    }

    fn device(&self, index: u32, member: &Member) -> Result<(Shell, mpsc::Receiver<LinkEvent>), Failure> {
        let Settings { heartbeat, failing, .. } = self.shared.settings;
        let identity = http::ClientIdentity::new(&member.cert_pem, &member.key_pem)?;
        let tls = http::tls_config(&self.anchor.ca_pem, Some(identity))?;
        let mut random = [0; 24];
        getrandom::fill(&mut random)
            .map_err(|e| Failure::error(format!("the system gives no random bytes: {e}\n  hint: check the kernel")))?;
        let mut numbers =
            random.chunks(8).map(|bytes| bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)));
        let mut number = || numbers.next().unwrap_or_default();
        let heartbeat_ms = u64::try_from(heartbeat.as_millis()).unwrap_or(u64::MAX);
        let config = Config {
            tenant: self.anchor.tenant.clone(),
            device: member.device.clone(),
            agent: concat!(env!("CARGO_PKG_VERSION"), "-light").into(),
            device_profile: self.device_profile.clone(),
            arch: std::env::consts::ARCH.into(),
            labels: self.labels.clone(),
            engines: vec!["stub".into()],
            memory_mib: MODEL_MEMORY_MIB,
            bundle_max_bytes: BUNDLE_MAX_BYTES,
            plane_key: self.plane_key,
            verifier: Verifier::STRICT,
            image_root: self.anchor.image_root.clone().into_bytes(),
            director_root: self.anchor.director_root.clone().into_bytes(),
            not_before_s: self.anchor.issued,
            new_epoch: number(),
            seed: number(),
            intervals: Intervals { heartbeat_ms, ..Intervals::default() },
        };
        let (events, link) = mpsc::channel(DEVICE_CHANNEL);
        let sender = link::start(
            LinkConfig {
                host: self.host.clone(),
                port: self.port,
                tls: Arc::clone(&tls),
                tenant: self.anchor.tenant.clone(),
                device: member.device.clone(),
            },
            events,
        );
        let parts = Parts {
            config,
            sender,
            fetch: Fetch::new(tls, Arc::clone(&self.https)),
            report_key: ReportKey::from_bytes(&member.report_seed),
            failing: is_chosen(index, failing),
            seed: number(),
        };
        Ok((Shell::start(Arc::clone(&self.shared), parts), link))
    }

    /// Starts all devices, `rate` of them a second, and waits until each has connected once.
    ///
    /// # Errors
    /// [`Failure`] when a device cannot be made, or most of them do not connect.
    pub async fn start(
        &self,
        tasks: &mut JoinSet<()>,
        members: &[Member],
        rate: u32,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let arrived = &self.shared.counters.arrived;
        bar.set_length(members.len() as u64);
        let began = Instant::now();
        let mut pace = interval(Duration::from_millis(PACE_MS));
        pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut started = 0;
        while started < members.len() {
            pace.tick().await;
            let due = (began.elapsed().as_secs_f64() * f64::from(rate)).ceil() as usize;
            for (index, member) in members.iter().enumerate().take(due).skip(started) {
                let (shell, link) = self.device(u32::try_from(index).unwrap_or(u32::MAX), member)?;
                tasks.spawn(live(shell, link));
                started = index + 1;
            }
            bar.set_position(arrived.get());
        }
        let until = Instant::now() + CONNECT_LIMIT;
        while arrived.get() < members.len() as u64 && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
            bar.set_position(arrived.get());
        }
        if 2 * arrived.get() < members.len() as u64 {
            return Err(Failure::error(format!(
                "only {} of {} devices reach the broker at {}:{}\n  hint: look at its log and at `ulimit -n` of both processes, or try a lower --connect-rate",
                arrived.get(),
                members.len(),
                self.host,
                self.port
            )));
        }
        Ok(())
    }
}

/// The life of one device.
async fn live(shell: Shell, mut link: mpsc::Receiver<LinkEvent>) {
    // On the heap once, so that the task's own state stays small.
    let mut shell = Box::new(shell);
    let stop = shell.stopped();
    loop {
        let wake = Instant::from_std(shell.wake_at());
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            event = link.recv() => match event {
                Some(event) => shell.linked(&event),
                // The link's task ends only with the runtime.
                None => break,
            },
            fetched = shell.fetched() => shell.answered(&fetched),
            () = sleep_until(wake) => shell.tick(),
        }
    }
    shell.stop();
}
