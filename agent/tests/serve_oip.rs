//! The local API: Open Inference Protocol v2, feedback, status, metrics; every refusal is a status and a reason.

mod common;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::{Sample, loaded, sample, tract_only};
use pinnace_agent::router::{Router, RouterConfig, WindowLimits};
use pinnace_agent::serve::{self, Status, StatusBoard};
use pinnace_protocol::manifest::FeatureKind;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

fn start() -> Router {
    let windows = WindowLimits { rows: 1_000_000, interval: Duration::from_secs(3600) };
    Router::start(RouterConfig { workers: 1, max_inflight: 16, windows }).unwrap().0
}

fn serving(name: &str) -> (Router, axum::Router) {
    let router = start();
    router.install(loaded(name, 3)).unwrap();
    let app = serve::app(router.clone(), StatusBoard::default());
    (router, app)
}

async fn send(app: &axum::Router, request: Request<Body>) -> (StatusCode, Vec<u8>, axum::http::HeaderMap) {
    let response = app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    (head.status, axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec(), head.headers)
}

async fn call(app: &axum::Router, method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
    let (status, body, headers) = send(app, request).await;
    assert_eq!(headers["content-type"], "application/json", "{method} {path}");
    (status.as_u16(), serde_json::from_slice(&body).unwrap())
}

fn matrix(shape: [usize; 2], datatype: &str, data: &Value) -> String {
    json!({"id": "q1", "inputs": [{"name": "features", "shape": shape, "datatype": datatype, "data": data}]})
        .to_string()
}

#[tokio::test]
async fn the_protocol_table() {
    let (_router, app) = serving("linear");
    let eight = json!([1, 2, 3, 4, 5, 6, 7, 8]);
    let good = matrix([1, 8], "FP32", &eight);
    let infer = "/v2/models/demo/infer";
    // Method, path, body, status, and a text that the answer must hold.
    let table: Vec<(&str, &str, String, u16, &str)> = vec![
        ("GET", "/v2", String::new(), 200, "pinnace-agent"),
        ("GET", "/v2/health/live", String::new(), 200, "\"live\":true"),
        ("GET", "/v2/health/ready", String::new(), 200, "\"ready\":true"),
        ("GET", "/v2/models/demo", String::new(), 200, "\"versions\":[\"3\"]"),
        ("GET", "/v2/models/demo/versions/3", String::new(), 200, "\"datatype\":\"FP32\""),
        ("GET", "/v2/models/demo/ready", String::new(), 200, "\"ready\":true"),
        ("GET", "/v2/models/demo/versions/3/ready", String::new(), 200, "\"version\":\"3\""),
        ("GET", "/v2/models/demo/stats", String::new(), 200, "inference_count"),
        ("GET", "/v2/models/demo/versions/3/stats", String::new(), 200, "inference_stats"),
        ("POST", "/v2/repository/index", "{}".into(), 200, "READY"),
        ("POST", infer, good.clone(), 200, "\"id\":\"q1\""),
        ("POST", "/v2/models/demo/versions/3/infer", good.clone(), 200, "\"model_version\":\"3\""),
        ("POST", infer, matrix([1, 8], "FP64", &json!([eight])), 200, "probabilities"),
        ("POST", infer, matrix([2, 8], "INT64", &json!([eight, eight])), 200, "\"shape\":[2,2]"),
        ("POST", infer, matrix([1, 8], "FP32", &json!([1, null, 3, 4, 5, 6, 7, 8])), 200, "null"),
        ("GET", "/v2/models/other", String::new(), 404, "no model `other`"),
        ("GET", "/v2/models/demo/versions/2", String::new(), 404, "version 3 does"),
        ("POST", "/v2/models/demo/versions/2/infer", good.clone(), 404, "version 2"),
        ("GET", "/nowhere", String::new(), 404, "nothing at this path"),
        ("GET", infer, String::new(), 405, "another method"),
        ("DELETE", "/v2", String::new(), 405, "another method"),
        ("GET", "/v2/models/%ff", String::new(), 400, "error"),
        ("POST", infer, "{".into(), 400, "not an inference request"),
        ("POST", infer, String::new(), 400, "not an inference request"),
        ("POST", infer, "[]".into(), 400, "not an inference request"),
        ("POST", infer, json!({"inputs": []}).to_string(), 400, "0 inputs"),
        ("POST", infer, good.replace("FP32", "FP99"), 400, "not an inference request"),
        ("POST", infer, good.replace("\"features\"", "\"rows\""), 400, "no input `rows`"),
        ("POST", infer, matrix([1, 7], "FP32", &json!([1, 2, 3, 4, 5, 6, 7])), 400, "the model takes [rows, 8]"),
        ("POST", infer, matrix([2, 8], "FP32", &eight), 400, "do not fit its shape"),
        ("POST", infer, good.replace("[1,8]", "[-1,-8]"), 400, "do not fit its shape"),
        ("POST", infer, good.replace("[1,8]", "[0,8]").replace(&eight.to_string(), "[]"), 400, "no rows"),
        ("POST", infer, matrix([1, 8], "BYTES", &json!(["a", 2, 3, 4, 5, 6, 7, 8])), 400, "holds a text"),
        ("POST", infer, matrix([1, 8], "FP32", &json!([{}])), 400, "no tensor element"),
        (
            "POST",
            infer,
            good.replace(&format!(",\"data\":{eight}"), "").replace(&format!("\"data\":{eight},"), ""),
            400,
            "has no data",
        ),
        ("POST", infer, good.replace("{\"id\"", "{\"outputs\":[{\"name\":\"nope\"}],\"id\""), 400, "no output `nope`"),
        ("POST", infer, matrix([5000, 8], "FP32", &json!(vec![eight.clone(); 5000])), 400, "at most 4096"),
        ("POST", "/v1/feedback", "{}".into(), 400, "not a feedback"),
        ("POST", "/v1/feedback", json!({"id": "x"}).to_string(), 400, "either `label` or `labels`"),
        ("POST", "/v1/feedback", json!({"id": "x", "label": "1"}).to_string(), 404, "no answer with this id"),
        ("GET", "/v1/status", String::new(), 200, "demo/v3"),
    ];
    for (method, path, body, status, holds) in table {
        let (found, answer) = call(&app, method, path, &body).await;
        let text = answer.to_string();
        let shown = &body[..body.len().min(200)];
        assert!(found == status && text.contains(holds), "{method} {path} {shown}\n  got {found}: {text}");
        assert_eq!(found >= 400, answer.get("error").is_some_and(Value::is_string), "{method} {path}: {text}");
    }
}

#[tokio::test]
async fn answers_are_the_model_s_numbers_and_outputs_can_be_chosen() {
    let (_router, app) = serving("linear");
    let sample = sample("linear");
    let rows = sample.rows();
    let body = matrix([rows.len(), 8], "FP32", &json!(rows));
    let (status, answer) = call(&app, "POST", "/v2/models/demo/infer", &body).await;
    assert_eq!(status, 200);
    let [probabilities, label] = answer["outputs"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    assert_eq!((&probabilities["datatype"], &label["datatype"]), (&json!("FP32"), &json!("INT64")));
    let found: Vec<f64> = probabilities["data"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    for (f, e) in found.iter().zip(sample.golden.expected.concat()) {
        assert!((f - f64::from(e)).abs() < 1e-4);
    }
    for (row, label) in found.chunks(2).zip(label["data"].as_array().unwrap()) {
        assert_eq!(label.as_i64().unwrap() == 1, row[1] > row[0]);
    }
    let only = body.replace("{\"id\"", "{\"outputs\":[{\"name\":\"label\"}],\"id\"");
    let (_, answer) = call(&app, "POST", "/v2/models/demo/infer", &only).await;
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(answer["outputs"][0]["name"], "label");
}

#[tokio::test]
async fn raw_tensors_go_in_and_come_out() {
    let (_router, app) = serving("linear");
    let row = sample("linear").rows()[0].clone();
    let raw: Vec<u8> = row.iter().flat_map(|v| v.to_le_bytes()).collect();
    let header = json!({
        "inputs": [{"name": "features", "shape": [1, 8], "datatype": "FP32", "parameters": {"binary_data_size": raw.len()}}],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": true}}],
    })
    .to_string();
    let ask = |length: usize, raw: &[u8]| {
        let body = [header.as_bytes(), raw].concat();
        let request =
            Request::post("/v2/models/demo/infer").header("Inference-Header-Content-Length", length.to_string());
        request.body(Body::from(body)).unwrap()
    };
    let (status, body, headers) = send(&app, ask(header.len(), &raw)).await;
    assert_eq!(status, StatusCode::OK);
    let length: usize = headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    let answer: Value = serde_json::from_slice(&body[..length]).unwrap();
    assert_eq!(answer["outputs"][0]["parameters"]["binary_data_size"], 8);
    let found: Vec<f32> = body[length..].chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect();
    let expected = &sample("linear").golden.expected[0];
    assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-4), "{found:?} {expected:?}");

    let extra = [raw.as_slice(), &[0; 4]].concat();
    let hostile = [(header.len(), &raw[..30]), (header.len(), &extra), (1 << 40, &raw), (header.len() - 1, &raw)];
    for (length, raw) in hostile {
        let (status, body, _) = send(&app, ask(length, raw)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{}", String::from_utf8_lossy(&body));
    }
}

#[tokio::test]
async fn one_input_per_feature_takes_texts_for_categories() {
    let mut coloured: Sample = sample("linear");
    coloured.signature.features[7].kind = FeatureKind::Categorical(vec!["red".into(), "blue".into()]);
    let router = start();
    let mut model = tract_only().load(&sample("linear").bundle(3, &["tract"])).unwrap();
    model.manifest.signature = coloured.signature.clone();
    model.profile = None;
    router.install(model).unwrap();
    let app = serve::app(router, StatusBoard::default());
    let column = |i: usize, datatype: &str, data: Value| json!({"name": format!("f{i}"), "shape": [2], "datatype": datatype, "data": data});
    let mut inputs: Vec<Value> = (0..7).map(|i| column(i, "FP32", json!([0.5, 1.5]))).collect();
    inputs.push(column(7, "BYTES", json!(["blue", "red"])));
    let (status, by_name) = call(&app, "POST", "/v2/models/demo/infer", &json!({"inputs": inputs}).to_string()).await;
    assert_eq!(status, 200, "{by_name}");
    let rows = json!([[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1], [1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 0]]);
    let (_, by_matrix) = call(&app, "POST", "/v2/models/demo/infer", &matrix([2, 8], "FP32", &rows)).await;
    assert_eq!(by_name["outputs"], by_matrix["outputs"]);

    inputs.pop();
    let (status, answer) = call(&app, "POST", "/v2/models/demo/infer", &json!({"inputs": inputs}).to_string()).await;
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("`f7` is missing"), "{answer}");
    inputs.push(json!({"name": "f7", "shape": [3], "datatype": "BYTES", "data": ["red", "red", "red"]}));
    let (status, answer) = call(&app, "POST", "/v2/models/demo/infer", &json!({"inputs": inputs}).to_string()).await;
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("3 rows"), "{answer}");
    inputs.push(inputs[0].clone());
    let (status, answer) = call(&app, "POST", "/v2/models/demo/infer", &json!({"inputs": inputs}).to_string()).await;
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("there twice"), "{answer}");
}

#[tokio::test]
async fn feedback_reaches_the_answer_it_names() {
    let (router, app) = serving("linear");
    call(&app, "POST", "/v2/models/demo/infer", &matrix([1, 8], "FP32", &json!([1, 2, 3, 4, 5, 6, 7, 8]))).await;
    let tell = |label: Value| json!({"id": "q1", "label": label}).to_string();
    let (status, answer) = call(&app, "POST", "/v1/feedback", &tell(json!("wet"))).await;
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("none of the model's classes"), "{answer}");
    assert_eq!(call(&app, "POST", "/v1/feedback", &tell(json!(1))).await, (200, json!({"counted": 1})));
    assert_eq!(call(&app, "POST", "/v1/feedback", &tell(json!(1))).await.0, 404);
    assert_eq!(router.metrics().counts().feedback, 1);
}

#[tokio::test]
async fn a_device_without_a_model_is_live_but_not_ready() {
    let router = start();
    let board = StatusBoard::new(Status { device: "station-1".into(), ..Status::default() });
    board.update(|s| s.link.connected = true);
    let app = serve::app(router, board);
    assert_eq!(call(&app, "GET", "/v2/health/live", "").await.0, 200);
    assert_eq!(call(&app, "GET", "/v2/health/ready", "").await, (503, json!({"ready": false})));
    let (status, answer) = call(&app, "POST", "/v2/models/demo/infer", "{}").await;
    assert!(status == 503 && answer["error"].as_str().unwrap().contains("no model is ready"), "{answer}");
    let (_, status) = call(&app, "GET", "/v1/status", "").await;
    assert_eq!(
        (&status["device"], &status["link"]["connected"], &status["model"]),
        (&json!("station-1"), &json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_in_json() {
    let (_router, app) = serving("linear");
    let (status, answer) = call(&app, "POST", "/v2/models/demo/infer", &" ".repeat(9 * 1024 * 1024)).await;
    assert!(status == 413 && answer["error"].as_str().unwrap().contains("bytes"), "{answer}");
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let (_router, app) = serving("linear");
    for _ in 0..3 {
        call(&app, "POST", "/v2/models/demo/infer", &matrix([1, 8], "FP32", &json!([1, 2, 3, 4, 5, 6, 7, 8]))).await;
    }
    let (status, body, headers) = send(&app, Request::get("/metrics").body(Body::empty()).unwrap()).await;
    let text = String::from_utf8(body).unwrap();
    assert!(
        status == StatusCode::OK && headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4")
    );
    for line in [
        "pinnace_inferences_total 3",
        "pinnace_inference_seconds_bucket{le=\"+Inf\"} 3",
        "pinnace_inference_seconds_count 3",
        "pinnace_model_info{bundle=\"demo/v3\",variant=\"fp32\",engine=\"tract 0.23\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let value = line.rsplit_once(' ').map(|(_, v)| v.parse::<f64>());
        assert!(matches!(value, Some(Ok(_))), "{line}");
    }
}

#[tokio::test]
async fn it_listens_on_loopback_and_on_a_socket_and_stops_when_asked() {
    let (_router, app) = serving("linear");
    assert!(serve::bind_tcp("0.0.0.0:0".parse().unwrap()).await.unwrap_err().to_string().contains("loopback"));
    let listener = serve::bind_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    drop(serve::bind_unix(&socket).await.unwrap());
    let unix = serve::bind_unix(&socket).await.expect("a socket that a dead agent left is replaced");
    assert!(serve::bind_unix(&socket).await.is_err(), "a living agent keeps its socket");
    let stop = Arc::new(CancellationToken::new());
    let (first, second) = (Arc::clone(&stop), Arc::clone(&stop));
    let tcp = tokio::spawn(serve::serve_tcp(listener, app.clone(), async move { first.cancelled().await }));
    let unix = tokio::spawn(serve::serve_unix(unix, app, async move { second.cancelled().await }));

    let ask = async |host: &str, over_unix: bool| {
        let text = format!("GET /v2/health/live HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        if over_unix {
            let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.read_to_string(&mut answer).await.unwrap();
        } else {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.read_to_string(&mut answer).await.unwrap();
        }
        answer
    };
    assert!(ask("localhost", false).await.starts_with("HTTP/1.1 200"));
    assert!(ask("evil.example", false).await.starts_with("HTTP/1.1 403"));
    assert!(ask("anything", true).await.starts_with("HTTP/1.1 200"));
    stop.cancel();
    tcp.await.unwrap().unwrap();
    unix.await.unwrap().unwrap();
}
