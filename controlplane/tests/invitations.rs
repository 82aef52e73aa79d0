//! Invitations for several devices, lists of names, withdrawal, rivals for one name: over real HTTPS.
mod common;

use common::device::{fetch_anchor, join_request, post_join};
use common::{Plane, SOON};
use pinnace_protocol::join::{Anchor, JoinRequest, JoinToken};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Returns an invitation with its id and the anchor it names.
async fn invite(plane: &Plane, body: Value) -> (JoinToken, String, Anchor) {
    let (status, reply) = plane.post("/v1/invites", body).await;
    assert_eq!(status, StatusCode::CREATED, "{reply}");
    let token = JoinToken::parse(reply["token"].as_str().unwrap()).unwrap();
    let anchor = fetch_anchor(&token).await;
    (token, reply["id"].as_str().unwrap().to_owned(), anchor)
}

/// Sends all requests at once; returns the statuses in their order.
async fn all_at_once(anchor: &Anchor, requests: Vec<JoinRequest>) -> Vec<StatusCode> {
    let send = |request: JoinRequest| {
        let anchor = anchor.clone();
        tokio::spawn(async move { post_join(&anchor, &request).await.0 })
    };
    let tasks: Vec<_> = requests.into_iter().map(send).collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    statuses
}

async fn invitation(plane: &Plane, id: &str) -> Value {
    plane.get(&format!("/v1/invites/{id}")).await["invitation"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_admits_as_many_devices_as_it_says_however_many_come_at_once() {
    const ROUNDS: usize = 4;
    const RIVALS: usize = 9;
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    for round in 0..ROUNDS {
        let (token, id, anchor) = invite(&plane, json!({ "uses": RIVALS - 1 })).await;
        let requests = (0..RIVALS).map(|n| join_request(&token, &format!("d-{round}-{n}")).0).collect();
        let statuses = all_at_once(&anchor, requests).await;
        let count = |wanted| statuses.iter().filter(|s| **s == wanted).count();
        // The loser is told either by the list as read, or by the transaction that found it used up.
        let refused = count(StatusCode::FORBIDDEN) + count(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!((count(StatusCode::OK), refused), (RIVALS - 1, 1), "{statuses:?}");
        let shown = invitation(&plane, &id).await;
        assert_eq!((shown["state"].as_str(), shown["used"].as_u64()), (Some("used"), Some(RIVALS as u64 - 1)));
    }
    assert_eq!(plane.get("/v1/devices").await["total"], ROUNDS * (RIVALS - 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_admits_each_of_its_names_once_and_a_refusal_costs_no_use() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let (token, id, anchor) = invite(&plane, json!({ "allow": ["sn-1", "sn-2"], "life_s": 600 })).await;
    let (stranger, _, _) = join_request(&token, "sn-3");
    let (status, problem) = post_join(&anchor, &stranger).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("not for device `sn-3`"), "{problem}");
    assert_eq!(invitation(&plane, &id).await["used"], 0);

    let (first, _, _) = join_request(&token, "sn-1");
    let (status, reply) = post_join(&anchor, &first).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(post_join(&anchor, &first).await, (StatusCode::OK, reply), "a lost reply is repeated");
    // Another machine with that name, and the same device with another request.
    let (again, _, _) = join_request(&token, "sn-1");
    let changed = JoinRequest { labels: vec!["site=south".into()], ..first.clone() };
    for request in [again, changed] {
        let (status, problem) = post_join(&anchor, &request).await;
        assert_eq!((status, problem["code"].as_str()), (StatusCode::CONFLICT, Some("conflict")), "{problem}");
    }
    assert_eq!(invitation(&plane, &id).await["used"], 1);
    plane.crash().await;
    let plane = Plane::start(dir.path()).await;
    let (second, _, _) = join_request(&token, "sn-2");
    assert_eq!(post_join(&anchor, &second).await.0, StatusCode::OK, "the invitation outlives the process");
    let shown = plane.get(&format!("/v1/invites/{id}")).await;
    assert_eq!(shown["invitation"]["state"], "used");
    let devices: Vec<_> = shown["devices"].as_array().unwrap().iter().map(|d| d["device"].as_str().unwrap()).collect();
    assert_eq!(devices, ["sn-1", "sn-2"]);
    assert_eq!(post_join(&anchor, &first).await.0, StatusCode::OK, "also of an invitation that is used up");
    assert!(!shown.to_string().contains(&token.secret) && !shown.to_string().contains(&token.secret_hash()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_or_ended_invitation_admits_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let (token, id, anchor) = invite(&plane, json!({ "uses": 5 })).await;
    let (inside, _, _) = join_request(&token, "inside");
    assert_eq!(post_join(&anchor, &inside).await.0, StatusCode::OK);
    let withdraw = async |id: &str| plane.send(Method::DELETE, &format!("/v1/invites/{id}"), None).await.status();
    assert_eq!(withdraw(&id).await, StatusCode::NO_CONTENT);
    let (outside, _, _) = join_request(&token, "outside");
    assert_eq!(post_join(&anchor, &outside).await.0, StatusCode::FORBIDDEN);
    assert_eq!(post_join(&anchor, &inside).await.0, StatusCode::OK, "whoever is in stays in");
    for unknown in [id.as_str(), "0000000000000000", "%", "zz", ""] {
        let status = withdraw(unknown).await;
        assert!(matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED), "{unknown}: {status}");
    }

    let (token, id, anchor) = invite(&plane, json!({ "uses": 5, "life_s": 1 })).await;
    tokio::time::timeout(SOON, async { while invitation(&plane, &id).await["state"] != "ended" {} }).await.unwrap();
    let (late, _, _) = join_request(&token, "late");
    assert_eq!(post_join(&anchor, &late).await.0, StatusCode::FORBIDDEN);
    let listed = plane.get("/v1/invites").await;
    let mut states: Vec<_> = listed.as_array().unwrap().iter().map(|i| i["state"].as_str().unwrap()).collect();
    // Newest first, and both may be of one second.
    states.sort_unstable();
    assert_eq!(states, ["ended", "withdrawn"]);
    for body in [json!({ "uses": 0 }), json!({ "uses": 9, "allow": ["a"] }), json!({ "allow": ["a/b"] })] {
        assert_eq!(plane.post("/v1/invites", body).await.0, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_belongs_to_the_first_that_joins_with_it_whatever_invitations_rivals_have() {
    const ROUNDS: usize = 6;
    const RIVALS: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    for round in 0..ROUNDS {
        let name = format!("contested-{round}");
        let (mut requests, mut ids) = (Vec::new(), Vec::new());
        let mut anchor = None;
        for _ in 0..RIVALS {
            let (token, id, found) = invite(&plane, json!({})).await;
            requests.push(join_request(&token, &name).0);
            ids.push(id);
            anchor = Some(found);
        }
        let statuses = all_at_once(&anchor.unwrap(), requests).await;
        let count = |wanted| statuses.iter().filter(|s| **s == wanted).count();
        assert_eq!((count(StatusCode::OK), count(StatusCode::CONFLICT)), (1, RIVALS - 1), "{statuses:?}");
        let mut open = 0;
        for id in &ids {
            open += usize::from(invitation(&plane, id).await["state"] == "open");
        }
        assert_eq!(open, RIVALS - 1, "the losers' invitations are still good");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_invitations_for_one_name_the_newer_counts() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let (older, older_id, anchor) = invite(&plane, json!({ "device": "station-1" })).await;
    let (newer, _, _) = invite(&plane, json!({ "device": "station-1" })).await;
    assert_eq!(invitation(&plane, &older_id).await["state"], "withdrawn");
    assert_eq!(post_join(&anchor, &join_request(&older, "station-1").0).await.0, StatusCode::FORBIDDEN);
    let (kept, _, _) = join_request(&newer, "station-1");
    assert_eq!(post_join(&anchor, &kept).await.0, StatusCode::OK);
    // Used, it is not withdrawn by the next one: a lost reply can still be repeated until somebody else took the name.
    let (third, _, _) = invite(&plane, json!({ "device": "station-1" })).await;
    assert_eq!(post_join(&anchor, &kept).await.0, StatusCode::OK);
    assert_eq!(post_join(&anchor, &join_request(&third, "station-1").0).await.0, StatusCode::OK);
    let (status, reply) = post_join(&anchor, &kept).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "the replaced device gets no certificate of its successor: {reply}");
}
