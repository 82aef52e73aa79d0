//! Real agents fetch from a real control plane: together what several miss, nothing of what they have.
use pinnace_tests::agent::{Agent, Source};
use pinnace_tests::bundles::{make_heavy, train};
use pinnace_tests::data::{RAIN, weather};
use pinnace_tests::plane::Plane;
use pinnace_tests::wait::STEP_S;

const LEARN: usize = 600;
/// Rows that the devices see, shared out.
const LIVE: usize = 6_000;
/// Bytes of the card: 25 chunks.
const CARD_BYTES: usize = 800_000;

fn counters(plane: &Plane) -> (u64, u64) {
    let stats = plane.get("/v1/stats").unwrap();
    (stats["broadcasts"].as_u64().unwrap(), stats["frame_bytes"].as_u64().unwrap())
}

#[test]
fn a_wave_fetches_together_and_the_next_version_sends_what_changed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let plane = Plane::start(dir);
    let csv = weather(&dir.join("learn.csv"), 0, LEARN);
    let live = weather(&dir.join("live.csv"), LEARN, LEARN + LIVE);
    let start = |n: u32| {
        let source = Source { csv: &live, label: RAIN, rate: 20, stride: 3, offset: n };
        Agent::start(&plane, dir, &format!("station-{n}"), Some(&source))
    };
    let agents: Vec<Agent> = (0..3).map(start).collect();
    for version in [1, 2] {
        let bundle = train(&csv, RAIN, "rain", version, "logistic", &[]);
        // The same seed: the same card in both versions, but for what the trainer wrote above it.
        make_heavy(&bundle, CARD_BYTES, 7);
        plane.publish(&bundle);
        let before = counters(&plane);
        let id = plane.roll_out(&format!("rain/v{version}"), &[]);
        plane.wait_rollout(&id, &["completed"], STEP_S);
        for agent in &agents {
            agent.wait_serving(&format!("rain/v{version}"), STEP_S);
        }
        let after = counters(&plane);
        let (published, bytes) = (after.0 - before.0, after.1 - before.1);
        if version == 1 {
            assert!(published >= 25, "{published} chunks were published to all");
            // The canary fetches alone, the two others together: twice the card and not three times.
            assert!(bytes < 2 * CARD_BYTES as u64 + 500_000, "{bytes} bytes");
        } else {
            assert!(bytes < 400_000, "{bytes} bytes for a version that is nearly the same");
        }
    }
}
