//! Asks the image repository what the target is: metadata, then the manifest, over MQTT or HTTP.
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};

use pinnace_protocol::ids::Digest;
use pinnace_protocol::join::{METADATA_PATH, TARGETS_PATH};
use pinnace_protocol::limits::MANIFEST_MAX_BYTES;
use pinnace_protocol::manifest::Manifest;
use pinnace_protocol::message::{FailCode, Failure, WantBody};
use pinnace_protocol::time::Mono;
use pinnace_protocol::trust::{Floors, ImageClient, Released, Request, Response, Store, TrustError, intersect};

use crate::Agent;
use crate::api::{Effect, FetchError, HttpId, Key};
use crate::fetch::answer_ms;
use crate::limits::RETRY_AFTER_MAX_S;
use crate::turn::Turn;
use crate::work::{Asked, Order, Source, Work};

/// First HTTP status that blames the server and not what was asked.
const SERVER_FAULT: u16 = 500;

/// A look-up in progress.
#[derive(Debug)]
pub(crate) struct Resolve {
    /// Digest of the manifest that is looked for.
    pub(crate) manifest: Digest,
    client: ImageClient,
    source: Source,
    wanted: Wanted,
    pub(crate) asked: Asked,
}

/// The file that is waited for.
#[derive(Debug, Clone)]
enum Wanted {
    Meta { name: String, max: u64 },
    Manifest { name: String, released: Box<Released> },
}

impl Wanted {
    fn name(&self) -> &str {
        match self {
            Self::Meta { name, .. } | Self::Manifest { name, .. } => name,
        }
    }
}

/// Returns a failure of the metadata with what to do about it.
fn metadata_failure(e: &TrustError) -> Failure {
    let code = match e {
        TrustError::Hash { .. } | TrustError::Length { .. } => FailCode::Integrity,
        _ => FailCode::Metadata,
    };
    Failure { code, text: format!("image repository: {e}; {}", e.hint()) }
}

impl Agent {
    /// Begins to look up what is ordered.
    pub(crate) fn resolve(&mut self, turn: &mut Turn, order: &Order) {
        let Some(trusted) = self.trusted.clone() else {
            let text = "the image repository's first root is unsound; let the device join again".to_string();
            return self.refuse(turn, Failure { code: FailCode::Metadata, text });
        };
        let now_s = self.clock.judge_s(turn.now, &self.floors);
        let client = ImageClient::new(trusted, self.floors.clone(), now_s);
        let source = if self.link.up { Source::Mqtt } else { Source::Http };
        let resolve = Resolve {
            manifest: order.manifest,
            client,
            source,
            wanted: Wanted::Meta { name: String::new(), max: 0 },
            asked: Asked::Later { at: Mono(0) },
        };
        self.next_document(turn, Box::new(resolve));
    }

    /// Asks for whatever the client needs next, or goes on to the manifest.
    fn next_document(&mut self, turn: &mut Turn, mut resolve: Box<Resolve>) {
        let Some(order) = self.order.clone().filter(|o| o.manifest == resolve.manifest) else {
            self.work = Work::Idle;
            return;
        };
        let found = match resolve.client.find(order.assignment.path()) {
            Request::Fetch(fetch) => {
                resolve.wanted = Wanted::Meta { name: fetch.name, max: fetch.max_bytes as u64 };
                return self.ask(turn, resolve);
            }
            Request::Failed(e) => return self.faulty(turn, resolve, &e),
            Request::Done(found) => found,
        };
        let path = order.assignment.path();
        let missing = || TrustError::Missing { what: format!("`{path}` in the image repository") };
        let target = found.ok_or_else(missing);
        let file = target.as_ref().map(|t| t.file_name()).unwrap_or_default();
        match target.and_then(|t| intersect(&order.assignment, &t)) {
            Ok(released) => {
                self.trusted = Some(resolve.client.state());
                resolve.wanted = Wanted::Manifest { name: file, released: Box::new(released) };
                self.ask(turn, resolve);
            }
            Err(e) => self.faulty(turn, resolve, &e),
        }
    }

    fn ask(&mut self, turn: &mut Turn, mut resolve: Box<Resolve>) {
        let (now, progress_ms) = (turn.mono(), self.config.intervals.progress_ms);
        resolve.asked = match resolve.source {
            Source::Mqtt => {
                self.want(turn, WantBody::Meta { name: resolve.wanted.name().into() });
                Asked::Mqtt { until: now.plus_ms(progress_ms) }
            }
            Source::Http => {
                let (prefix, max) = match &resolve.wanted {
                    Wanted::Meta { max, .. } => (METADATA_PATH, *max),
                    Wanted::Manifest { .. } => (TARGETS_PATH, MANIFEST_MAX_BYTES as u64),
                };
                let (id, path) = (self.new_http(), format!("{prefix}{}", resolve.wanted.name()));
                turn.effect(Effect::HttpGet { id, path, range: None, max });
                // Documents are smaller than what they may be; a slow link is not a dead one.
                let usual = max.min(MANIFEST_MAX_BYTES as u64);
                Asked::Http { id, until: now.plus_ms(answer_ms(usual, progress_ms)) }
            }
        };
        self.work = Work::Resolving(resolve);
    }

    /// A source gave something that cannot be right: the next source is asked, or the attempt has failed.
    fn faulty(&mut self, turn: &mut Turn, mut resolve: Box<Resolve>, e: &TrustError) {
        match resolve.source {
            Source::Mqtt => {
                let now_s = self.clock.judge_s(turn.now, &self.floors);
                let (trusted, _) = resolve.client.into_state();
                resolve.client = ImageClient::new(trusted, self.floors.clone(), now_s);
                resolve.source = Source::Http;
                self.next_document(turn, resolve);
            }
            Source::Http => {
                self.work = Work::Idle;
                self.attempt_failed(turn, metadata_failure(e));
            }
        }
    }

    /// Takes a document that came over MQTT; ignored unless it is the one that was asked for there.
    pub(crate) fn document_by_mqtt(&mut self, turn: &mut Turn, name: &str, bytes: Option<&[u8]>) {
        let is_wanted =
            |r: &Resolve| matches!(r.asked, Asked::Mqtt { .. }) && r.source == Source::Mqtt && r.wanted.name() == name;
        if let Some(resolve) = self.take_resolve(is_wanted) {
            self.document(turn, resolve, bytes);
        }
    }

    /// Takes the answer to a request for a document; returns whether it was one.
    pub(crate) fn document_by_http(&mut self, turn: &mut Turn, id: HttpId, result: &Result<&[u8], FetchError>) -> bool {
        let Some(mut resolve) = self.take_resolve(|r| r.asked.is_http(id)) else { return false };
        match result {
            Ok(bytes) => self.document(turn, resolve, Some(bytes)),
            Err(FetchError::NotFound) => self.document(turn, resolve, None),
            Err(FetchError::Busy { retry_after_s }) => {
                let wait = u64::from((*retry_after_s).clamp(1, RETRY_AFTER_MAX_S)) * 1000;
                resolve.asked = Asked::Later { at: turn.mono().plus_ms(wait) };
                self.work = Work::Resolving(resolve);
            }
            Err(e) => self.http_failed(turn, resolve.wanted.name(), e),
        }
        true
    }

    fn take_resolve(&mut self, is_wanted: impl Fn(&Resolve) -> bool) -> Option<Box<Resolve>> {
        match core::mem::replace(&mut self.work, Work::Idle) {
            Work::Resolving(resolve) if is_wanted(&resolve) => Some(resolve),
            other => {
                self.work = other;
                None
            }
        }
    }

    fn document(&mut self, turn: &mut Turn, mut resolve: Box<Resolve>, bytes: Option<&[u8]>) {
        self.unanswered = 0;
        match resolve.wanted.clone() {
            Wanted::Meta { .. } => {
                let stores = resolve.client.feed(bytes.map_or(Response::NotFound, Response::Bytes));
                self.store(turn, stores);
                self.next_document(turn, resolve);
            }
            Wanted::Manifest { name, released } => {
                let opened = bytes
                    .ok_or(TrustError::Missing { what: name })
                    .and_then(|bytes| released.open_manifest(bytes))
                    .map(|verified| verified.bytes().to_vec());
                match opened {
                    Ok(bytes) => {
                        self.work = Work::Idle;
                        self.admit(turn, &released, bytes);
                    }
                    Err(e) => self.faulty(turn, resolve, &e),
                }
            }
        }
    }

    fn store(&mut self, turn: &mut Turn, stores: alloc::vec::Vec<Store>) {
        for store in stores {
            match store {
                Store::RaiseFloors(floors) => self.raise_floors(turn, &floors),
                Store::PutMetadata { name, bytes } => turn.put(Key::Meta(name), bytes),
                Store::RemoveMetadata { name } => turn.delete(Key::Meta(name)),
            }
        }
    }

    /// Joins the floors with newer ones.
    pub(crate) fn raise_floors(&mut self, turn: &mut Turn, newer: &Floors) {
        let joined = self.floors.join(newer);
        if joined != self.floors {
            self.floors = joined;
            turn.save_floors();
        }
    }

    /// The link is gone: what was asked over it is asked over HTTP.
    pub(crate) fn resolve_link_down(&mut self, turn: &mut Turn) {
        if let Some(mut resolve) = self.take_resolve(|r| r.source == Source::Mqtt) {
            resolve.source = Source::Http;
            self.ask(turn, resolve);
        }
    }

    /// Time is up for what was asked: the next source, or the attempt has failed.
    pub(crate) fn resolve_late(&mut self, turn: &mut Turn, mut resolve: Box<Resolve>) {
        match resolve.asked {
            Asked::Later { .. } => self.ask(turn, resolve),
            Asked::Mqtt { .. } => {
                resolve.source = Source::Http;
                self.ask(turn, resolve);
            }
            // Documents come to one device alone, and never from its disk.
            Asked::Http { .. } | Asked::Round { .. } | Asked::Disk { .. } => {
                let e = FetchError::Network("no answer in time".into());
                self.http_failed(turn, resolve.wanted.name(), &e);
            }
        }
    }

    /// The last source failed too.
    pub(crate) fn http_failed(&mut self, turn: &mut Turn, what: &str, e: &FetchError) {
        self.work = Work::Idle;
        let (why, says_nothing_of_the_bundle) = match e {
            FetchError::NotFound => ("not found".to_string(), false),
            FetchError::TooLarge => ("more bytes than asked for".to_string(), false),
            FetchError::Busy { .. } => ("the server is busy".to_string(), true),
            FetchError::Network(why) => (why.clone(), true),
            FetchError::Status(code) => (format!("HTTP status {code}"), *code >= SERVER_FAULT),
        };
        let why = format!("{what}: {why}");
        if says_nothing_of_the_bundle {
            return self.unanswered(turn, why);
        }
        self.attempt_failed(turn, Failure { code: FailCode::Network, text: why });
    }

    /// Checks that the bundle may and can run here, before a byte of it is fetched.
    fn admit(&mut self, turn: &mut Turn, released: &Released, bytes: alloc::vec::Vec<u8>) {
        let Some(order) = self.order.clone() else { return };
        match self.check_admission(&order, released, &bytes) {
            Ok(manifest) => self.install(turn, &order, released, manifest, bytes),
            Err(failure) => self.refuse(turn, failure),
        }
    }

    fn check_admission(&self, order: &Order, released: &Released, bytes: &[u8]) -> Result<Manifest, Failure> {
        let fail = |code, text: String| Err(Failure { code, text });
        let m = match Manifest::parse(bytes) {
            Ok(m) => m,
            Err(e) => return fail(FailCode::Incompatible, format!("{e}")),
        };
        if m.bundle_ref() != order.custom.bundle || m.release_counter != released.release_counter() {
            let text = format!(
                "the manifest is {} with release counter {}, {} with {} is released",
                m.bundle_ref(),
                m.release_counter,
                order.custom.bundle,
                released.release_counter()
            );
            return fail(FailCode::Metadata, text);
        }
        let (profile, arch) = (&self.config.device_profile, &self.config.arch);
        if !released.fits(profile) && !released.fits(ANY_HARDWARE) {
            return fail(FailCode::Incompatible, format!("not released for device profile `{profile}`"));
        }
        if !m.compat.hardware.is_empty() && !m.compat.hardware.contains(profile) {
            return fail(FailCode::Incompatible, format!("not built for device profile `{profile}`"));
        }
        if !m.compat.arch.is_empty() && !m.compat.arch.contains(arch) {
            return fail(FailCode::Incompatible, format!("not built for architecture `{arch}`"));
        }
        if m.compat.memory_mib > self.config.memory_mib {
            let text =
                format!("needs {} MiB of memory, {} MiB are allowed", m.compat.memory_mib, self.config.memory_mib);
            return fail(FailCode::Incompatible, text);
        }
        let total = m.total_bytes();
        if total > self.config.bundle_max_bytes {
            let text = format!("{total} bytes, {} bytes are allowed for one bundle", self.config.bundle_max_bytes);
            return fail(FailCode::Incompatible, text);
        }
        Ok(m)
    }
}

/// Hardware id of a release that is for every device profile.
pub const ANY_HARDWARE: &str = "any";
