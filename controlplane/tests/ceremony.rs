//! A ceremony on three machines, a plane that never sees an offline key, and the rotation of every role: a device that
//! holds the first roots follows all of it, and a stolen key is worth nothing afterwards.
mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::Plane;
use common::author::{self as releases, now};
use common::device::Device;
use pinnace_controlplane::ceremony::change::{self, Change, Expiry, Present};
use pinnace_controlplane::ceremony::first::{self, Holders};
use pinnace_controlplane::ceremony::{Draft, Repository, Signatures};
use pinnace_controlplane::keys;
use pinnace_protocol::topic::{Down, Up};
use pinnace_protocol::trust::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use pinnace_protocol::trust::names::metadata_name;
use pinnace_protocol::trust::{
    Envelope, Floors, ImageClient, MetaFile, Request, Response, Signer as _, SigningKey, Store, Timestamp, TrustError,
    TrustedState, TufKey, VerifiedDirector, author, verify_director,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const DAY_S: u64 = 86_400;

fn expiry() -> Expiry {
    Expiry { root: now() + 365 * DAY_S, targets: now() + 180 * DAY_S, family: now() + 90 * DAY_S }
}

/// Three machines of three people, and what the people who release models have on theirs.
struct People {
    dir: PathBuf,
}

impl People {
    fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes a key where it stays; only its public half is carried.
    fn make(&self, name: &str) -> TufKey {
        keys::generate(&self.path(name)).unwrap();
        keys::read_public(&keys::public_path(&self.path(name))).unwrap()
    }

    fn key(&self, name: &str) -> SigningKey {
        keys::read(&self.path(name)).unwrap()
    }

    /// Carries the draft to each machine as a file, and the signatures back as files.
    fn sign(&self, draft: &Draft, names: &[&str]) -> Draft {
        let mut signed = draft.clone();
        for name in names {
            let there = Draft::parse(&draft.to_bytes().unwrap()).unwrap();
            let back = there.sign(&self.key(name)).unwrap().to_bytes().unwrap();
            signed.attach(&Signatures::parse(&back).unwrap()).unwrap();
        }
        signed
    }
}

/// The names under which release keys are looked for by the release tests.
const TARGETS_KEY: &str = "a/keys/offline/targets.key";
const TRAINER: &str = "a/keys/offline/trainer-rain.key";
const APPROVER: &str = "a/keys/offline/approver-rain.key";

/// Holds the first ceremony; the plane's folder gets signed documents and its own online keys, nothing else.
fn first_ceremony(people: &People, data: &Path) {
    let online = |name: &str| {
        let path = data.join("keys/online").join(name);
        keys::generate(&path).unwrap().key()
    };
    let holders = Holders {
        root: ["a/root.key", "b/root.key", "c/root.key"].map(|name| people.make(name)).to_vec(),
        root_threshold: 2,
        director_root: Vec::new(),
        targets: vec![people.make(TARGETS_KEY)],
        targets_threshold: 1,
        snapshot: vec![online("snapshot.key")],
        timestamp: vec![online("timestamp.key")],
        director: vec![online("director.key")],
    };
    people.make(TRAINER);
    people.make(APPROVER);
    let image = people.sign(&first::image(&holders, expiry()).unwrap(), &["a/root.key", "c/root.key", TARGETS_KEY]);
    let director = people.sign(&first::director(&holders, expiry()).unwrap(), &["b/root.key", "c/root.key"]);
    for draft in [image, director] {
        draft.check_complete().unwrap();
        let dir = first::folder(data, draft.repository);
        std::fs::create_dir_all(&dir).unwrap();
        for (role, bytes) in draft.files().unwrap() {
            std::fs::write(dir.join(metadata_name(&role, Some(1))), bytes).unwrap();
        }
    }
}

async fn file(plane: &Plane, name: &str) -> Option<Vec<u8>> {
    let response = plane.send(Method::GET, &format!("/repo/metadata/{name}"), None).await;
    match response.status() {
        StatusCode::OK => Some(response.bytes().await.unwrap().to_vec()),
        StatusCode::NOT_FOUND => None,
        other => panic!("{name}: {other}"),
    }
}

async fn present(plane: &Plane) -> Present {
    let repository = plane.get("/v1/repository").await;
    let root = file(plane, &metadata_name(ROOT, repository["root"].as_u64())).await.unwrap();
    let mut present = Present { root, ..Present::default() };
    for role in repository["roles"].as_array().unwrap() {
        let bytes = file(plane, role["file"].as_str().unwrap()).await.unwrap();
        match role["role"].as_str().unwrap() {
            TARGETS => present.targets = bytes,
            family => drop(present.families.insert(family.to_owned(), bytes)),
        }
    }
    present
}

fn request(draft: &Draft) -> Value {
    let documents = draft.files().unwrap().into_iter();
    let documents = documents.map(|(role, bytes)| json!({ "role": role, "metadata": BASE64.encode(bytes) }));
    json!({ "repository": draft.repository.name(), "documents": documents.collect::<Vec<_>>() })
}

async fn publish(plane: &Plane, draft: &Draft) {
    draft.check_complete().unwrap();
    let (status, reply) = plane.post("/v1/keys", request(draft)).await;
    assert_eq!(status, StatusCode::CREATED, "{reply}");
}

/// Must be refused with this code and a hint, and change nothing.
async fn refused(plane: &Plane, draft: &Draft, code: &str) {
    let state = async || (plane.get("/v1/repository").await, plane.get("/v1/keys").await["roles"].clone());
    let before = state().await;
    let (status, problem) = plane.post("/v1/keys", request(draft)).await;
    assert!(status.is_client_error(), "{problem}");
    assert_eq!(problem["code"], code, "{problem}");
    assert!(!problem["hint"].as_str().unwrap().is_empty(), "{problem}");
    assert_eq!(state().await, before);
}

fn replace(old: &TufKey, new: TufKey) -> Change {
    Change { add: vec![new], remove: vec![old.key_id()], threshold: None }
}

/// What a device does with the image repository: it keeps what it is told to keep, nothing else.
struct Follower {
    first: Vec<u8>,
    kept: BTreeMap<String, Vec<u8>>,
    floors: Floors,
}

impl Follower {
    fn new(first: Vec<u8>) -> Self {
        Self { first, kept: BTreeMap::new(), floors: Floors::default() }
    }

    /// Looks a target up, reading the plane's repository except for a file that a thief serves instead.
    async fn find(&mut self, plane: &Plane, path: &str, forged: Option<&[u8]>) -> Result<bool, TrustError> {
        let state = TrustedState::load(&self.first, self.kept.clone()).unwrap();
        let mut client = ImageClient::new(state, self.floors.clone(), now());
        for _ in 0..100 {
            match client.find(path) {
                Request::Done(found) => return Ok(found.is_some()),
                Request::Failed(fault) => return Err(fault),
                Request::Fetch(fetch) => {
                    let bytes = match forged {
                        Some(forged) if fetch.name == metadata_name(TIMESTAMP, None) => Some(forged.to_vec()),
                        _ => file(plane, &fetch.name).await,
                    };
                    let effects = client.feed(bytes.as_deref().map_or(Response::NotFound, Response::Bytes));
                    for effect in effects {
                        match effect {
                            Store::RaiseFloors(floors) => self.floors = floors,
                            Store::PutMetadata { name, bytes } => drop(self.kept.insert(name, bytes)),
                            Store::RemoveMetadata { name } => drop(self.kept.remove(&name)),
                        }
                    }
                }
            }
        }
        panic!("the look-up does not end");
    }
}

const RAIN: &str = "rain-v1.manifest.json";

/// A timestamp far ahead that pins the present snapshot: all that a stolen timestamp key can do.
async fn fast_forward(plane: &Plane, thief: &SigningKey, version: u64) -> Vec<u8> {
    let number = plane.get("/v1/repository").await["snapshot"].as_u64().unwrap();
    let snapshot = file(plane, &metadata_name(SNAPSHOT, Some(number))).await.unwrap();
    let timestamp = Timestamp::new(version, now() + DAY_S, MetaFile::of(number, &snapshot));
    author::sign(&timestamp, &[thief]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_of_the_image_repository_is_rotated_and_devices_follow() {
    let dir = tempfile::tempdir().unwrap();
    let (people, data) = (People::new(dir.path()), dir.path().join("plane"));
    first_ceremony(&people, &data);
    let plane = Plane::start(&data).await;
    assert!(!data.join("keys/offline").exists(), "no offline key comes near the plane");
    let shown = plane.get("/v1/keys").await;
    assert_eq!(shown["development_keys"], false);
    let role = |repository: &str, role: &str| {
        let roles = shown["roles"].as_array().unwrap();
        roles.iter().find(|one| one["repository"] == repository && one["role"] == role).unwrap().clone()
    };
    assert_eq!(role("image", "timestamp")["keys"][0]["place"], "online/timestamp.key");
    assert_eq!(role("image", "root")["keys"][0]["place"], Value::Null);
    assert_eq!(role("image", "root")["threshold"], 2);
    assert_eq!(role("director", "online")["keys"][0]["place"], "online/director.key");
    let metrics = plane.send(Method::GET, "/metrics", None).await.text().await.unwrap();
    assert!(
        metrics.contains("pinnace_metadata_expires_seconds{repository=\"image\",role=\"timestamp\"} "),
        "{metrics}"
    );

    // Trainer and approver release; a device with the first root finds it.
    releases::Draft::build(&plane, &people.path("a"), "rain", 1, 1_000).await.publish(&plane).await;
    let mut device = Follower::new(file(&plane, "1.root.json").await.unwrap());
    assert!(device.find(&plane, RAIN, None).await.unwrap());

    // The timestamp key is stolen: the thief cannot release, but can push devices out of the plane's reach.
    let stolen = keys::read(&data.join("keys/online/timestamp.key")).unwrap();
    let forged = fast_forward(&plane, &stolen, 1_000_000).await;
    assert!(device.find(&plane, RAIN, Some(&forged)).await.unwrap());
    assert!(matches!(device.find(&plane, RAIN, None).await, Err(TrustError::Rollback { .. })));

    // The cure: a new key, named by a root that the offline keys sign.
    let new = people.make("new/timestamp.key");
    let draft = change::image(&present(&plane).await, TIMESTAMP, &replace(&stolen.key(), new), expiry()).unwrap();
    let one = people.sign(&draft, &["b/root.key"]);
    assert!(one.check_complete().is_err());
    refused(&plane, &one, "not-trusted").await;
    let both = people.sign(&draft, &["b/root.key", "a/root.key"]);
    // The plane must hold the new key before it can promise to sign with it.
    refused(&plane, &both, "missing-key").await;
    std::fs::copy(people.path("new/timestamp.key"), data.join("keys/online/timestamp-2.key")).unwrap();
    publish(&plane, &both).await;
    assert!(device.find(&plane, RAIN, None).await.unwrap(), "floors of the stolen key are void");
    let history = plane.get("/v1/events?limit=1").await.to_string();
    assert!(history.contains("keys-changed") && history.contains("is replaced by"), "{history}");
    let forged = fast_forward(&plane, &stolen, 2_000_000).await;
    assert!(matches!(device.find(&plane, RAIN, Some(&forged)).await, Err(TrustError::Threshold { .. })));
    refused(&plane, &both, "conflict").await;

    // Snapshot: made on the plane's machine this time.
    let old = keys::read(&data.join("keys/online/snapshot.key")).unwrap().key();
    let new = keys::generate(&data.join("keys/online/snapshot-2.key")).unwrap().key();
    let draft = change::image(&present(&plane).await, SNAPSHOT, &replace(&old, new), expiry()).unwrap();
    publish(&plane, &people.sign(&draft, &["c/root.key", "a/root.key"])).await;
    assert!(device.find(&plane, RAIN, None).await.unwrap());

    // A root key is lost: its machine is replaced. Old and new keys must agree.
    let lost = people.key("b/root.key").key();
    let new = people.make("d/root.key");
    let draft = change::image(&present(&plane).await, ROOT, &replace(&lost, new), expiry()).unwrap();
    let too_few_old = people.sign(&draft, &["a/root.key", "d/root.key"]);
    assert!(too_few_old.check_complete().is_err());
    refused(&plane, &too_few_old, "not-trusted").await;
    publish(&plane, &people.sign(&draft, &["a/root.key", "c/root.key"])).await;
    assert!(device.find(&plane, RAIN, None).await.unwrap());
    let draft = change::image(&present(&plane).await, ROOT, &Change::default(), expiry()).unwrap();
    assert!(draft.sign(&people.key("b/root.key")).is_err(), "the lost key has no part any more");

    // The targets key, and with it the targets.
    let old = people.key(TARGETS_KEY).key();
    let new = people.make("new/targets.key");
    let draft = change::image(&present(&plane).await, TARGETS, &replace(&old, new), expiry()).unwrap();
    publish(&plane, &people.sign(&draft, &["d/root.key", "c/root.key", "new/targets.key"])).await;
    assert!(device.find(&plane, RAIN, None).await.unwrap());
    std::fs::copy(people.path("new/targets.key"), people.path(TARGETS_KEY)).unwrap();

    // The approver leaves: the family is signed anew by trainer and new approver.
    let old = people.key(APPROVER).key();
    let new = people.make("new/approver.key");
    let draft = change::image(&present(&plane).await, "rain", &replace(&old, new), expiry()).unwrap();
    publish(&plane, &people.sign(&draft, &["new/targets.key", TRAINER, "new/approver.key"])).await;
    assert!(device.find(&plane, RAIN, None).await.unwrap());
    let second = releases::Draft::build(&plane, &people.path("a"), "rain", 2, 1_000).await;
    second.upload(&plane).await;
    let (status, problem) = plane.post("/v1/releases", second.signed()).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("not-trusted")), "{problem}");
    std::fs::copy(people.path("new/approver.key"), people.path(APPROVER)).unwrap();
    second.publish(&plane).await;
    assert!(device.find(&plane, "rain-v2.manifest.json", None).await.unwrap());

    // A change of keys is no way to release.
    let mut smuggled: pinnace_protocol::trust::Targets =
        Envelope::parse("rain", &present(&plane).await.families["rain"], 1 << 20).unwrap().body("rain").unwrap();
    smuggled = author::next(&smuggled, now() + DAY_S);
    smuggled.targets.remove(RAIN);
    let signed = author::sign(&smuggled, &[&people.key(TRAINER), &people.key(APPROVER)]).unwrap();
    let body = json!({ "repository": "image", "documents": [{ "role": "rain", "metadata": BASE64.encode(signed) }] });
    let (status, problem) = plane.post("/v1/keys", body).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");

    // All of it outlives the plane, and a device that slept from the first day follows step by step.
    plane.crash().await;
    let plane = Plane::start(&data).await;
    let roots = plane.get("/v1/repository").await["root"].clone();
    assert_eq!(roots, 5);
    let mut sleeper = Follower::new(file(&plane, "1.root.json").await.unwrap());
    for path in [RAIN, "rain-v2.manifest.json"] {
        assert!(sleeper.find(&plane, path, None).await.unwrap());
        assert!(device.find(&plane, path, None).await.unwrap());
    }
    let anonymous = plane.anonymous(Method::POST, "/v1/keys").await;
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_does_not_stand_in_the_way_of_its_own_cure() {
    let dir = tempfile::tempdir().unwrap();
    let (people, data) = (People::new(dir.path()), dir.path().join("plane"));
    first_ceremony(&people, &data);
    let plane = Plane::start(&data).await;
    releases::Draft::build(&plane, &people.path("a"), "rain", 1, 1_000).await.publish(&plane).await;
    let mut device = Follower::new(file(&plane, "1.root.json").await.unwrap());
    assert!(device.find(&plane, RAIN, None).await.unwrap());

    // Root, targets and family all end in a moment, each long enough after it was taken in.
    for (role, keys) in
        [("rain", &[TRAINER, APPROVER][..]), (TARGETS, &[TARGETS_KEY]), (ROOT, &["a/root.key", "b/root.key"])]
    {
        let end = now() + 10;
        let soon = Expiry { root: end, targets: end, family: end };
        let draft = change::image(&present(&plane).await, role, &Change::default(), soon).unwrap();
        publish(&plane, &people.sign(&draft, keys)).await;
    }
    tokio::time::timeout(common::SOON, async {
        while plane.get("/v1/keys").await["roles"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|r| r["expiry"] == "expired")
            .count()
            < 3
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    assert!(matches!(device.find(&plane, RAIN, None).await, Err(TrustError::Expired { .. })));
    let page = plane.send(Method::GET, "/", None).await.text().await.unwrap();
    assert!(page.contains("Expired. ") && page.contains("image rain ("), "{page}");
    assert_eq!(plane.send(Method::GET, "/v1/health", None).await.status(), StatusCode::SERVICE_UNAVAILABLE);

    // One after the other, in any order; signatures are judged as ever.
    for (role, keys) in
        [(TARGETS, &[TARGETS_KEY][..]), (ROOT, &["a/root.key", "b/root.key"]), ("rain", &[TRAINER, APPROVER])]
    {
        let draft = change::image(&present(&plane).await, role, &Change::default(), expiry()).unwrap();
        let fewer = people.sign(&draft, &keys[1..]);
        refused(&plane, &fewer, if role == ROOT { "not-trusted" } else { "not-followed" }).await;
        publish(&plane, &people.sign(&draft, keys)).await;
    }
    assert!(device.find(&plane, RAIN, None).await.unwrap());
    assert_eq!(plane.send(Method::GET, "/v1/health", None).await.status(), StatusCode::OK);
}

/// What a device knows of the director.
struct Orders {
    root: Vec<u8>,
    floors: Floors,
}

impl Orders {
    fn verify(&mut self, device: &Device, bytes: &[u8]) -> Result<VerifiedDirector, TrustError> {
        let verified = verify_director(bytes, &self.root, device.id.as_str(), None, &self.floors, now())?;
        for store in verified.stores() {
            match store {
                Store::RaiseFloors(floors) => self.floors = floors,
                Store::PutMetadata { bytes, .. } => self.root = bytes,
                Store::RemoveMetadata { .. } => {}
            }
        }
        Ok(verified)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_director_root_is_pushed_to_devices_and_the_old_key_is_void() {
    let dir = tempfile::tempdir().unwrap();
    let (people, data) = (People::new(dir.path()), dir.path().join("plane"));
    first_ceremony(&people, &data);
    let plane = Plane::start(&data).await;
    let mut device = Device::join(&plane.invite().await, "station-1").await;
    let mut link = device.connect().await;
    let mut orders = Orders { root: device.anchor.director_root.clone().into_bytes(), floors: Floors::default() };
    let hello = device.hello([7; 16]);
    let hello = device.seal(Up::Hello, &hello);
    link.publish(Up::Hello, hello).await;
    let before = link.next(Down::Director).await;
    orders.verify(&device, &before).unwrap();

    let stolen = keys::read(&data.join("keys/online/director.key")).unwrap();
    let new = keys::generate(&data.join("keys/online/director-2.key")).unwrap();
    let root = plane.send(Method::GET, "/v1/director/root.json", None).await.bytes().await.unwrap();
    let draft = change::director(&root, "director", &replace(&stolen.key(), new.key()), expiry()).unwrap();
    refused(&plane, &people.sign(&draft, &["a/root.key"]), "not-trusted").await;
    publish(&plane, &people.sign(&draft, &["a/root.key", "b/root.key"])).await;

    // No hello is needed: the new root and what the new key signed are on their way.
    let pushed = link.next(Down::Director).await;
    let verified = orders.verify(&device, &pushed).unwrap();
    assert!(verified.new_root.is_some());
    assert!(matches!(orders.verify(&device, &before), Err(TrustError::Threshold { .. })), "the old key is void");

    // The director's root keys change too: everybody but one machine.
    let root = plane.send(Method::GET, "/v1/director/root.json", None).await.bytes().await.unwrap();
    let change = Change {
        add: vec![people.make("d/director.key"), people.make("e/director.key")],
        remove: vec![people.key("a/root.key").key_id(), people.key("b/root.key").key_id()],
        threshold: None,
    };
    let draft = change::director(&root, "director-root", &change, expiry()).unwrap();
    assert_eq!(draft.repository, Repository::Director);
    let signed = people.sign(&draft, &["a/root.key", "b/root.key"]);
    assert!(signed.check_complete().is_err(), "the new keys have not agreed");
    publish(&plane, &people.sign(&signed, &["c/root.key", "d/director.key"])).await;
    orders.verify(&device, &link.next(Down::Director).await).unwrap();

    // After a restart the plane still signs with the new key, and new devices begin with the newest root.
    drop(link);
    plane.crash().await;
    let plane = Plane::start(&data).await;
    let mut late = Device::join(&plane.invite().await, "station-2").await;
    let mut link = late.connect().await;
    let hello = late.hello([8; 16]);
    let hello = late.seal(Up::Hello, &hello);
    link.publish(Up::Hello, hello).await;
    let mut orders = Orders { root: late.anchor.director_root.clone().into_bytes(), floors: Floors::default() };
    orders.verify(&late, &link.next(Down::Director).await).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ceremony_that_was_not_finished_does_not_become_a_development_set() {
    let dir = tempfile::tempdir().unwrap();
    let (people, data) = (People::new(dir.path()), dir.path().join("plane"));
    first_ceremony(&people, &data);
    let director = data.join("first/director/1.root.json");
    let bytes = std::fs::read(&director).unwrap();
    let starts = async || Plane::try_start(Plane::config(&data)).await;

    let first = data.join("first");
    std::fs::rename(&first, dir.path().join("first")).unwrap();
    let Err(error) = starts().await else { panic!("a ceremony was begun") };
    assert!(error.to_string().contains("keys of a ceremony"), "{error}");
    std::fs::rename(dir.path().join("first"), &first).unwrap();

    std::fs::remove_file(&director).unwrap();
    let Err(error) = starts().await else { panic!("half a ceremony") };
    assert!(error.to_string().contains("keys publish"), "{error}");
    std::fs::write(&director, &bytes[..bytes.len() / 2]).unwrap();
    assert!(starts().await.is_err());
    std::fs::write(&director, &bytes).unwrap();

    // The plane's own key is not the one that the root names.
    let key = data.join("keys/online/timestamp.key");
    std::fs::rename(&key, dir.path().join("away.key")).unwrap();
    let Err(error) = starts().await else { panic!("a key is missing") };
    assert!(error.to_string().contains("timestamp"), "{error}");
    assert!(!data.join("keys/offline").exists());
    std::fs::rename(dir.path().join("away.key"), &key).unwrap();
    starts().await.unwrap().shutdown().await;
}
