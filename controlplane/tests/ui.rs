//! The dashboard over made-up data: every page answers, stays small, fits the content security policy, escapes what
//! devices and people say, and says the next command when there is nothing.
#[path = "../examples/ui_preview/sample.rs"]
mod sample;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use pinnace_controlplane::ui;
use sample::Sample;
use tower::ServiceExt as _;

/// Bytes of a page at most: it must be quick on a slow link.
const PAGE_MAX_BYTES: usize = 150 * 1024;

const PAGES: [&str; 17] = [
    "/",
    "/devices/station-01",
    "/devices/station-03",
    "/devices/station-06",
    "/devices/station-07",
    "/rollouts",
    "/rollouts/rain-v2-r2",
    "/rollouts/rain-v3-r3",
    "/rollouts/rain-v4-r4",
    "/models",
    "/models/rain/v2",
    "/models/rain/v2/drift",
    "/models/rain/v4/drift",
    "/drift",
    "/events",
    "/events?q=station-01&decisions=on&before=12&nonsense=1",
    "/health",
];

async fn get(source: &Sample, path: &str) -> Response {
    let request = Request::get(path).body(Body::empty()).unwrap();
    ui::routes(source.clone()).oneshot(request).await.unwrap()
}

async fn text(source: &Sample, path: &str) -> (StatusCode, String) {
    let response = get(source, path).await;
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn every_page_answers_small_and_without_anything_inline() {
    for devices in [8, 10_000] {
        let source = Sample::new(devices);
        for path in PAGES {
            let (status, page) = text(&source, path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(page.len() < PAGE_MAX_BYTES, "{path} has {} bytes for {devices} devices", page.len());
            assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<h1"), "{path}");
            for inline in [" style=", "<style", " onclick=", "javascript:", "<script>", "http://", "https://"] {
                assert!(!page.contains(inline), "{path} has `{inline}`, which the content security policy forbids");
            }
        }
    }
}

#[tokio::test]
async fn addresses_of_assets_and_pages_lead_somewhere() {
    let source = Sample::new(8);
    for path in PAGES {
        let (_, page) = text(&source, path).await;
        for attribute in ["href=\"", "src=\"", "data-cells=\""] {
            for rest in page.split(attribute).skip(1) {
                let href = rest.split('"').next().unwrap().replace("&amp;", "&");
                let target = href.split('#').next().unwrap();
                // The API is not part of these routes.
                if target.is_empty() || target.starts_with("/v1/") {
                    continue;
                }
                let status = get(&source, target).await.status();
                assert_eq!(status, StatusCode::OK, "{path} leads to {href}");
            }
        }
    }
}

#[tokio::test]
async fn hostile_words_stay_words() {
    let source = Sample { words: Some("\"><script>alert(1)</script><img src=x onerror=alert(1)>"), ..Sample::new(8) };
    for path in PAGES {
        let (_, page) = text(&source, path).await;
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{path}");
    }
    let (_, page) = text(&source, "/events?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>alert"));
}

#[tokio::test]
async fn what_is_not_there_is_named_with_a_hint() {
    let source = Sample::new(8);
    for path in [
        "/devices/station-99",
        "/devices/A%2FB",
        "/rollouts/none",
        "/models/rain/v9",
        "/models/rain/x",
        "/models/rain/v9/drift",
    ] {
        let (status, page) = text(&source, path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.contains("Hint: "), "{path}: {page}");
    }
    assert_eq!(get(&source, "/assets/none.css").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get(&source, "/assets/..%2Fsrc%2Flib.rs").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn empty_pages_say_the_next_command() {
    let source = Sample::new(0);
    for (path, command) in [
        ("/", "pinnace device invite"),
        ("/rollouts", "pinnace rollout start"),
        ("/models", "pinnace publish"),
        ("/drift", "pinnace train"),
        ("/events", "Nothing has happened yet"),
    ] {
        let (status, page) = text(&source, path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(page.contains(command), "{path} does not say `{command}`");
    }
}

#[tokio::test]
async fn warnings_are_on_every_page() {
    let source = Sample { healthy: false, ..Sample::new(8) };
    for path in PAGES.iter().chain(&["/devices/none"]) {
        let (_, page) = text(&source, path).await;
        assert!(page.contains("Development keys.") && page.contains("no connection to the broker"), "{path}");
    }
}

#[tokio::test]
async fn a_rollout_shows_evidence_and_only_what_can_be_done() {
    let source = Sample::new(8);
    let (_, aborted) = text(&source, "/rollouts/rain-v4-r4").await;
    assert!(aborted.contains("2 of 2 devices failed (limit 5 %;") && aborted.contains("golden vector 7 of 32"));
    assert!(
        aborted.contains("Evidence to abort") && !aborted.contains("data-action"),
        "an ended rollout has no buttons"
    );
    let (_, running) = text(&source, "/rollouts/rain-v3-r3").await;
    for verb in ["pause", "promote", "abort"] {
        assert!(running.contains(&format!("data-action=\"/v1/rollouts/rain-v3-r3/{verb}\"")), "{verb}");
        assert!(running.contains(&format!("pinnace rollout {verb} rain-v3-r3")), "{verb} by command");
    }
    assert!(!running.contains("/resume\""), "what runs cannot be resumed");
}

#[tokio::test]
async fn drift_says_what_drives_it_and_what_the_estimate_cannot_see() {
    let (_, page) = text(&Sample::new(8), "/models/rain/v2/drift").await;
    for words in [
        "Driven by dew point",
        "PSI* 0.61 is above 0.25",
        "class=\"heat-map\"",
        "Retraining was asked for",
        "class=\"reference-line\"",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("blind to a change of what is right") || page.contains("Accuracy, measured"));
    let (_, page) = text(&Sample::new(8), "/models/rain/v4/drift").await;
    assert!(page.contains("No statistics yet"));
}

#[tokio::test]
async fn the_canvas_gets_every_device() {
    let (status, cells) = text(&Sample::new(10_000), "/fragments/cells").await;
    assert_eq!(status, StatusCode::OK);
    let cells: serde_json::Value = serde_json::from_str(&cells).unwrap();
    assert_eq!(cells["cells"].as_array().unwrap().len(), 10_000);
    assert_eq!(cells["cells"][0][0], "station-01");
    let (_, page) = text(&Sample::new(10_000), "/?after=station-50").await;
    assert!(
        page.contains("fleet-canvas")
            && page.contains("/devices/station-500\"")
            && !page.contains("/devices/station-49\"")
    );
}

#[tokio::test]
async fn assets_are_kept_by_their_content() {
    let source = Sample::new(8);
    let (_, page) = text(&source, "/").await;
    let css = page.split("href=\"").find(|h| h.starts_with("/assets/app.css")).unwrap().split('"').next().unwrap();
    let answer = get(&source, css).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/css; charset=utf-8");
    assert!(answer.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let stale = get(&source, "/assets/app.css?v=0").await;
    assert_eq!(stale.headers()[header::CACHE_CONTROL], "no-cache");
}
