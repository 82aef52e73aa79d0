//! What is damaged, foreign or malformed is refused with one clear error and a hint; nothing is lost or half-applied.
use std::path::Path;

use pinnace_tests::agent::{Agent, Source};
use pinnace_tests::bundles::{card_digest, flip_bit, model_digest, rename_operator, train};
use pinnace_tests::data::{RAIN, read, weather};
use pinnace_tests::plane::Plane;
use pinnace_tests::process::pinnace;
use pinnace_tests::source_root;
use pinnace_tests::wait::{STEP_S, wait_until};
use serde_json::{Value, json};

const LEARN: usize = 600;

/// A plane, one device that runs `rain/v1`, and a trained but unpublished `rain/v2`.
struct Scene {
    plane: Plane,
    agent: Agent,
    first: std::path::PathBuf,
    second: std::path::PathBuf,
    temp: tempfile::TempDir,
}

fn scene() -> Scene {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let plane = Plane::start(dir);
    let csv = weather(&dir.join("learn.csv"), 0, LEARN);
    let first = train(&csv, RAIN, "rain", 1, "logistic", &[]);
    let second = train(&csv, RAIN, "rain", 2, "logistic", &["--seed", "2"]);
    plane.publish(&first);
    let live = weather(&dir.join("live.csv"), 0, 18_000);
    let source = Source { csv: &live, label: RAIN, rate: 50, stride: 1, offset: 0 };
    let agent = Agent::start(&plane, dir, "station-1", Some(&source));
    let id = plane.roll_out("rain/v1", &[]);
    plane.wait_rollout(&id, &["completed"], STEP_S);
    agent.wait_serving("rain/v1", STEP_S);
    Scene { plane, agent, first, second, temp }
}

fn bundles(plane: &Plane) -> Vec<String> {
    let list = plane.get("/v1/bundles").unwrap();
    list.as_array()
        .unwrap()
        .iter()
        .map(|b| format!("{}/v{}", b["bundle"]["family"].as_str().unwrap(), b["bundle"]["version"]))
        .collect()
}

fn problem(answer: &pinnace_tests::http::Answer, status: u16, says: &str) {
    let problem = answer.json();
    assert_eq!(answer.status, status, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
    assert!(!problem["hint"].as_str().unwrap().is_empty(), "{problem}");
}

#[test]
fn a_damaged_truncated_or_foreign_bundle_does_not_enter_the_registry() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let plane = Plane::start(dir);
    let csv = weather(&dir.join("learn.csv"), 0, LEARN);
    let bundle = train(&csv, RAIN, "rain", 1, "logistic", &[]);
    let model = std::fs::read(bundle.join("model.onnx")).unwrap();
    let digest = model_digest(&bundle);

    // One bit, on the way to the plane.
    let mut flipped = model.clone();
    flipped[model.len() / 2] ^= 1;
    problem(&plane.send("PUT", &format!("/v1/blobs/{digest}"), &flipped), 422, "SHA-256");
    // Half of it, then silence.
    plane.break_off_upload(&digest, model.len(), &model[..model.len() / 2]);
    assert_eq!(plane.send("GET", &format!("/v1/blobs/{digest}"), &[]).status, 404);
    wait_until("the unfinished upload to be gone", STEP_S, || {
        let left = std::fs::read_dir(plane.data.join("blobs/incoming")).unwrap().count();
        if left == 0 { Ok(()) } else { Err(left) }
    });

    // One bit, and a missing end, in the folder that is published.
    let name = bundle.display().to_string();
    flip_bit(&bundle.join("model.onnx"));
    let error = plane.cli(&["publish", &name]).refused();
    assert!(error.contains("model.onnx") && error.contains("not what the manifest says"), "{error}");
    std::fs::write(bundle.join("model.onnx"), &model[..model.len() - 1]).unwrap();
    let error = plane.cli(&["publish", &name]).refused();
    assert!(error.contains("model.onnx") && error.contains("length or digest"), "{error}");
    std::fs::write(bundle.join("model.onnx"), &model).unwrap();

    // Other people's keys.
    let other = dir.join("other");
    drop(Plane::start(&other));
    let keys = other.join("plane/keys").display().to_string();
    let error = plane.cli(&["publish", &name, "--keys", &keys]).refused();
    assert!(error.contains("not trusted"), "{error}");

    assert_eq!(bundles(&plane), Vec::<String>::new());
    // Nothing was left that stands in the way of the right one.
    plane.publish(&bundle);
    assert_eq!(bundles(&plane), ["rain/v1"]);
}

#[test]
fn a_bit_flipped_in_the_plane_s_store_is_refused_by_the_device() {
    let Scene { plane, agent, second, temp: _temp, .. } = scene();
    plane.publish(&second);
    // Not the model's: the patch that was made of it before goes around the damage.
    flip_bit(&plane.blob_file(&card_digest(&second)));
    let id = plane.roll_out("rain/v2", &[("gates", json!({ "integrity_devices": 1 }))]);
    let page = plane.wait_rollout(&id, &["rolled-back"], STEP_S);
    let history = plane.history().unwrap();
    assert!(history.contains("device-failed") && history.contains("integrity"), "{history}");
    assert!(page.to_string().contains("integrity"), "{page}");
    assert!(agent.process.said().contains("is not what was signed: refused"), "{}", agent.process.said());
    let status = agent.wait_serving("rain/v1", STEP_S);
    assert!(status["errors"] == 0, "{status}");
}

#[test]
fn a_bit_flipped_in_a_slot_is_never_loaded_and_heals() {
    let Scene { plane, mut agent, first, temp, .. } = scene();
    agent.kill_9();
    let digest = model_digest(&first);
    let slots = ["a", "b"].map(|slot| agent.home.join("slots").join(slot).join(&digest));
    let file = slots.iter().find(|f| f.is_file()).expect("the model is in a slot");
    flip_bit(file);
    agent.restart();
    agent.wait_serving("rain/v1", STEP_S);
    let said = agent.process.said();
    assert!(said.contains("damaged") || said.contains("does not match") || said.contains("hash"), "{said}");
    // What answers now are the right bytes.
    let slots = ["a", "b"].map(|slot| agent.home.join("slots").join(slot).join(&digest));
    let whole = std::fs::read(first.join("model.onnx")).unwrap();
    assert!(slots.iter().any(|f| std::fs::read(f).is_ok_and(|bytes| bytes == whole)), "{said}");
    let (header, rows) = read(&temp.path().join("live.csv"));
    let numeric: Vec<&str> = header.iter().map(String::as_str).collect();
    let width = header.iter().position(|h| h == RAIN).unwrap();
    let rows: Vec<_> = rows[..3].iter().map(|r| r[1..width].to_vec()).collect();
    assert_eq!(agent.infer("rain", &header[1..width], &rows, &numeric).unwrap().len(), 6);
    let _ = plane;
}

#[test]
fn a_model_with_an_operator_that_nobody_knows_is_refused_by_name() {
    let Scene { plane, agent, second, temp: _temp, .. } = scene();
    rename_operator(&second, "MatMul", "Tarpit");
    plane.publish(&second);
    // One device is little evidence: 11 to 1 against the bundle. Here that is enough.
    let id = plane.roll_out("rain/v2", &[("gates", json!({ "alpha": 0.1 }))]);
    let page = plane.wait_rollout(&id, &["rolled-back"], STEP_S);
    let failure = page["members"].as_array().into_iter().flatten().map(Value::to_string).collect::<String>();
    let history = plane.history().unwrap();
    assert!(failure.contains("Tarpit") || history.contains("Tarpit"), "{failure}\n{history}");
    agent.wait_serving("rain/v1", STEP_S);
}

#[test]
fn an_agent_without_its_plane_says_so_serves_on_and_catches_up() {
    let Scene { mut plane, mut agent, temp, .. } = scene();
    let before = plane.rows().unwrap();
    plane.kill_9();
    agent.kill_9();
    agent.restart();
    let status = wait_until("a word about the broker", STEP_S, || match agent.status() {
        Ok(s) if s["link"]["error"].is_string() => Ok(s),
        Ok(s) => Err(s["link"].to_string()),
        Err(why) => Err(why),
    });
    let error = status["link"]["error"].as_str().unwrap();
    assert!(status["link"]["connected"] == false && error.contains("\n  hint: "), "{error}");
    assert!(agent.process.said().contains("not connected to the broker"), "{}", agent.process.said());

    agent.wait_serving("rain/v1", STEP_S);
    let (header, rows) = read(&temp.path().join("live.csv"));
    let numeric: Vec<&str> = header.iter().map(String::as_str).collect();
    let width = header.iter().position(|h| h == RAIN).unwrap();
    let rows: Vec<_> = rows[..5].iter().map(|r| r[1..width].to_vec()).collect();
    assert_eq!(agent.infer("rain", &header[1..width], &rows, &numeric).unwrap().len(), 10);

    plane.restart();
    wait_until("the rows of the lonely time", STEP_S, || match plane.rows() {
        Ok(rows) if rows > before => Ok(()),
        other => Err(format!("{other:?}, before {before}")),
    });
    let status = agent.status().unwrap();
    assert!(status["link"]["connected"] == true && status["link"]["error"].is_null(), "{status}");
}

#[test]
fn mistakes_in_a_csv_file_are_named_by_line_and_column() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("bundle").display().to_string();
    let hostile = source_root().join("tests/data/hostile/csv");
    for (file, label, says) in [
        ("word_in_a_number_column.csv", "rain", &["line 14", "\"wind\"", "gale"][..]),
        ("row_too_short.csv", "rain", &["line 4", "2 fields", "3"]),
        ("no_header.csv", "rain", &["line 1"]),
        ("label_missing.csv", "rain", &["line 3", "\"rain\""]),
        ("doubled_column.csv", "rain", &["line 1", "\"wind\""]),
        ("empty.csv", "rain", &["empty"]),
        ("row_too_short.csv", "snow", &["\"snow\"", "wind"]),
    ] {
        let csv = hostile.join(file).display().to_string();
        let args = ["train", &csv, "--label", label, "--family", "rain", "--version", "1", "--out", &out];
        let error = pinnace(&args).refused();
        for word in says {
            assert!(error.contains(word), "{file}: `{word}` is not in: {error}");
        }
        assert!(!Path::new(&out).exists(), "{file}: nothing is written");
    }
}

#[test]
fn an_agent_counts_cells_it_cannot_read_and_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let plane = Plane::start(dir);
    let csv = weather(&dir.join("learn.csv"), 0, LEARN);
    plane.publish(&train(&csv, RAIN, "rain", 1, "logistic", &[]));
    // Three cells that are no numbers, and one row that ends early (two cells missing, and its label).
    let text = std::fs::read_to_string(weather(&dir.join("live.csv"), 0, 200)).unwrap();
    let spoilt: String = text
        .lines()
        .enumerate()
        .map(|(i, line)| {
            let mut cells: Vec<&str> = line.split(',').collect();
            match i {
                50..=52 => cells[1] = "warm",
                60 => cells.truncate(cells.len() - 3),
                _ => {}
            }
            cells.join(",") + "\n"
        })
        .collect();
    let live = dir.join("live.csv");
    std::fs::write(&live, spoilt).unwrap();
    let source = Source { csv: &live, label: RAIN, rate: 100, stride: 1, offset: 0 };
    let agent = Agent::start(&plane, dir, "station-1", Some(&source));
    plane.roll_out("rain/v1", &[]);
    let status = wait_until("the end of the source", STEP_S, || match agent.status() {
        Ok(s) if s["source"]["finished"] == true => Ok(s),
        Ok(s) => Err(s["source"].to_string()),
        Err(why) => Err(why),
    });
    assert_eq!(status["source"]["rows"], 200, "{status}");
    assert_eq!(status["source"]["bad_cells"], 5, "{status}");
    let said = agent.process.said();
    assert!(
        said.contains("line 51") && said.contains("`temperature`") && said.contains("`warm` is no number"),
        "{said}"
    );
    wait_until("every row to be counted", STEP_S, || match plane.rows() {
        Ok(200) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}
