//! File sources: hostile cells become nulls with their place, and a replay goes on exactly where its windows end.

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{FEATURES, loaded, sample};
use pinnace_agent::router::{ClosedWindow, Router, RouterConfig, WindowLimits};
use pinnace_agent::sources::{SourceConfig, SourceError, SourceReport, replay};
use pinnace_protocol::sketch::{Live, Profile, Tally};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

fn start(rows: u64) -> (Router, Receiver<ClosedWindow>) {
    let windows = WindowLimits { rows, interval: Duration::from_secs(3600) };
    let (router, windows) = Router::start(RouterConfig { workers: 1, max_inflight: 4, windows }).unwrap();
    router.install(loaded("linear", 1)).unwrap();
    (router, windows)
}

fn header() -> String {
    (0..FEATURES).map(|f| format!("f{f}")).collect::<Vec<_>>().join(",") + ",rain\n"
}

fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

async fn run(config: SourceConfig, router: &Router, from: u64) -> Result<SourceReport, SourceError> {
    replay(config, router.clone(), from, CancellationToken::new(), |_| {}).await
}

fn drain(windows: &mut Receiver<ClosedWindow>) -> Vec<ClosedWindow> {
    std::iter::from_fn(|| windows.try_recv().ok()).collect()
}

fn decode(window: &ClosedWindow) -> Live {
    Live::decode(&Profile::from_json(&sample("linear").profile()).unwrap(), &window.sketch).unwrap()
}

#[tokio::test]
async fn hostile_cells_become_nulls_with_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = header().into_bytes();
    csv.extend_from_slice(b"1,2,3,4,5,6,7,8,1\n");
    csv.extend_from_slice(b"1,abc,3,4,5,6,7,8,0\n");
    csv.extend_from_slice(b"1,2,\xff\xfe,4,5,6,7,8,1\n");
    csv.extend_from_slice(b"1,2,3\n");
    csv.extend_from_slice(b"1,2,3,4,5,6,7,8,9,10,11\n");
    csv.extend_from_slice(b"\"1\",\" 2 \",,NaN,inf,6,7,\"8\",storm\n");
    csv.extend_from_slice(b"1e99,-1e99,0x10,4,5,6,7,\"a\nb\",1\n");
    let (router, mut windows) = start(1_000);
    let config =
        SourceConfig { label: Some("rain".into()), ..SourceConfig::of_file(&write(dir.path(), "a.csv", csv)).unwrap() };
    let report = run(config, &router, 0).await.unwrap();
    assert!(report.finished);
    assert_eq!((report.rows, report.failed, report.position), (7, 0, 7), "{report:?}");
    assert_eq!((report.bad_cells, report.bad_labels), (1 + 1 + 5 + 2, 2), "{report:?}");
    for place in [
        "line 3, column 2 (`f1`): the value `abc` is no number",
        "line 4, column 3 (`f2`): the value is not UTF-8",
        "line 5, column 4 (`f3`): the value is missing",
        "line 8, column 3 (`f2`): the value `0x10` is no number",
        "line 7: the label `storm` is none of the model's classes",
        "line 6: the label `9` is none of the model's classes",
    ] {
        assert!(report.problems.iter().any(|p| p == place), "{place} is not in {:#?}", report.problems);
    }
    let closed = drain(&mut windows);
    assert_eq!(closed.len(), 1, "the end of the file closes the window");
    let live = decode(&closed[0]);
    assert_eq!((live.rows(), live.predictions().outcomes()), (7, 4));
    let Tally::Numeric(second) = &live.features()[1] else { panic!("f1 is a number") };
    assert_eq!((second.nulls, second.neg_inf, second.finite()), (1, 1, 5));
    router.shutdown();
}

#[tokio::test]
async fn files_that_are_no_data_are_refused_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _windows) = start(1_000);
    let open = |name: &str, text: &[u8]| SourceConfig::of_file(&write(dir.path(), name, text)).unwrap();
    let twice = run(open("twice.csv", b"f0,f1,f0\n1,2,3\n"), &router, 0).await.unwrap_err();
    assert!(twice.to_string().contains("`f0` is there twice"), "{twice}");
    let empty = run(open("empty.csv", b""), &router, 0).await.unwrap_err();
    assert!(matches!(empty, SourceError::Header { .. }), "{empty}");
    let label = SourceConfig { label: Some("snow".into()), ..open("label.csv", header().as_bytes()) };
    let label = run(label, &router, 0).await.unwrap_err().to_string();
    assert!(label.contains("no column `snow`") && label.contains("rain"), "{label}");
    let gone = run(SourceConfig::of_file(Path::new("/nowhere.csv")).unwrap(), &router, 0).await.unwrap_err();
    assert!(matches!(gone, SourceError::Read { line: 0, .. }), "{gone}");
    // A quote that is never closed must not pull the whole file into memory.
    let open_quote = [header().as_bytes(), b"1,2,3,4,5,6,7,8,1\n\"", &vec![b'x'; 3 << 20]].concat();
    let endless = run(open("quote.csv", &open_quote), &router, 0).await.unwrap_err();
    assert!(matches!(endless, SourceError::Read { line: 3, .. }), "{endless}");
    router.shutdown();
}

#[tokio::test]
async fn ndjson_rows_are_read_by_name_and_broken_lines_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let full = (0..FEATURES).map(|f| format!("\"f{f}\": {f}")).collect::<Vec<_>>().join(", ");
    let long = format!("{{{full}, \"note\": \"{}\"}}", "x".repeat(2 << 20));
    let text = format!(
        "{{{full}, \"rain\": 1}}\n\n{{\"f0\": \"7\", \"f1\": [1], \"f2\": null, \"rain\": true}}\nnot json\n[1]\n{long}\n{{{full}}}"
    );
    let (router, mut windows) = start(1_000);
    let base = SourceConfig::of_file(&write(dir.path(), "rows.ndjson", text)).unwrap();
    let report = run(SourceConfig { label: Some("rain".into()), ..base }, &router, 0).await.unwrap();
    assert_eq!((report.rows, report.failed, report.position), (3, 3, 6), "{report:#?}");
    // f1 is an array, f3 to f7 are missing; the label `true` is no class.
    assert_eq!((report.bad_cells, report.bad_labels), (6, 1), "{report:#?}");
    assert!(report.problems.iter().any(|p| p.starts_with("line 4: ")), "{report:#?}");
    assert_eq!(drain(&mut windows).iter().map(|w| w.rows).sum::<u64>(), 3);
    router.shutdown();
}

#[tokio::test]
async fn rows_are_chosen_by_skip_stride_offset_and_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = header();
    (0..100).for_each(|i| writeln!(csv, "{i},0,0,0,0,0,0,0,1").unwrap());
    let path = write(dir.path(), "hundred.csv", csv);
    let (router, mut windows) = start(1);
    let base = SourceConfig::of_file(&path).unwrap();
    let config = SourceConfig { skip: 10, stride: 8, offset: 3, limit: Some(4), ..base };
    let report = run(config.clone(), &router, 0).await.unwrap();
    assert_eq!((report.rows, report.position, report.finished), (4, 38, true));
    let seen = |windows: &mut Receiver<ClosedWindow>| -> Vec<f32> {
        let first = |w: &ClosedWindow| match &decode(w).features()[0] {
            Tally::Numeric(tally) => tally.range().unwrap().0,
            Tally::Categorical(_) => panic!("f0 is a number"),
        };
        drain(windows).iter().map(first).collect()
    };
    assert_eq!(seen(&mut windows), [13.0, 21.0, 29.0, 37.0]);
    // Resumed after the second row, the limit still counts from the start of the file.
    let report = run(config.clone(), &router, 22).await.unwrap();
    assert_eq!((report.rows, seen(&mut windows)), (2, vec![29.0, 37.0]));
    let report = run(config, &router, 38).await.unwrap();
    assert_eq!((report.rows, report.finished), (0, true));
    router.shutdown();
}

#[tokio::test]
async fn a_replay_that_is_killed_anywhere_counts_every_row_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = header();
    (0..200).for_each(|i| writeln!(csv, "{i},1,0,0,0,0,0,0,{}", i % 2).unwrap());
    let base = SourceConfig::of_file(&write(dir.path(), "rows.csv", csv)).unwrap();
    let config = SourceConfig { label: Some("rain".into()), ..base };
    let mut whole = Live::new(&Profile::from_json(&sample("linear").profile()).unwrap());
    // What a driver has committed: windows and the position that came with the last of them.
    let mut committed: Option<u64> = None;
    let mut lives = 0;
    for die_after in [1, 7, 23, 31, 64, 5, 1_000] {
        lives += 1;
        let (router, mut windows) = start(10);
        let stop = CancellationToken::new();
        let kill = stop.clone();
        let progress = move |report: &SourceReport| {
            if report.rows == die_after {
                kill.cancel();
            }
        };
        let report = replay(config.clone(), router.clone(), committed.unwrap_or(0), stop, progress).await.unwrap();
        // A killed process closes no window: what is open is lost with it, and only whole windows were committed.
        for window in drain(&mut windows) {
            whole.merge(&decode(&window)).unwrap();
            committed = window.source_position;
        }
        drop(router.shutdown());
        assert_eq!(report.finished, committed == Some(200));
        if report.finished {
            break;
        }
    }
    assert_eq!((lives, committed), (7, Some(200)));
    assert_eq!((whole.rows(), whole.predictions().outcomes(), whole.predictions().count()), (200, 200, 200));
    let Tally::Numeric(tally) = &whole.features()[0] else { panic!("f0 is a number") };
    assert_eq!((tally.range(), tally.finite()), (Some((0.0, 199.0)), 200));
}

#[tokio::test]
async fn the_rate_is_never_exceeded() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = header();
    (0..41).for_each(|i| writeln!(csv, "{i},1,0,0,0,0,0,0,1").unwrap());
    let (router, _windows) = start(1_000);
    let base = SourceConfig::of_file(&write(dir.path(), "rows.csv", csv)).unwrap();
    let started = std::time::Instant::now();
    let report = run(SourceConfig { rate: Some(400.0), ..base }, &router, 0).await.unwrap();
    assert_eq!(report.rows, 41);
    // Forty gaps of 2.5 ms; a busy machine only makes it longer.
    assert!(started.elapsed() >= Duration::from_millis(100), "{:?}", started.elapsed());
    router.shutdown();
}
