//! The store against a real file.
use pinnace_controlplane_core::api::Batch;
use pinnace_protocol::ids::DeviceId;

use super::*;

async fn temp() -> (tempfile::TempDir, Writer, Reader) {
    let dir = tempfile::tempdir().unwrap();
    let (writer, reader) = open(&dir.path().join("plane.sqlite")).await.unwrap();
    (dir, writer, reader)
}

fn admission(device: &str, token: &str, serial: &str) -> Extra {
    Extra::Admit(Box::new(Admission {
        device: DeviceId::parse(device).unwrap(),
        token: token.into(),
        request: "r".into(),
        report_key: "k".into(),
        device_profile: "p".into(),
        serial: serial.into(),
        not_after: 2_000,
        pem: "pem".into(),
        now: 1_000,
    }))
}

fn invite(hash: &str, created: u64, expires: u64) -> Extra {
    Extra::Invite { hash: hash.into(), device: None, created, expires }
}

#[tokio::test]
async fn an_invitation_works_once_and_all_or_nothing_is_written() {
    let (_dir, mut writer, reader) = temp().await;
    let none = Batch::default();
    writer.commit(&none, &[invite("t", 500, 2_000), invite("late", 500, 900)]).await.unwrap();
    writer.commit(&none, &[admission("a", "t", "01")]).await.unwrap();
    let sequence = Extra::Director { device: DeviceId::parse("b").unwrap(), sequence: 7 };
    for token in ["t", "late", "unknown"] {
        let refused = writer.commit(&none, &[sequence.clone(), admission("b", token, "02")]).await;
        assert!(matches!(refused, Err(StoreError::TokenUsed)), "{token}");
    }
    assert_eq!(reader.enrolled_count().await.unwrap(), 1);
    assert!(reader.director_sequences().await.unwrap().is_empty(), "a refused transaction leaves nothing");
    assert_eq!(reader.token("t").await.unwrap().unwrap().used_by.as_deref(), Some("a"));
}

#[tokio::test]
async fn a_device_that_joins_again_voids_its_old_certificate() {
    let (_dir, mut writer, reader) = temp().await;
    let none = Batch::default();
    writer.commit(&none, &[invite("t1", 500, 2_000), invite("t2", 500, 2_000)]).await.unwrap();
    writer.commit(&none, &[admission("a", "t1", "01")]).await.unwrap();
    writer.commit(&none, &[admission("a", "t2", "02")]).await.unwrap();
    let revoked = reader.revoked(1_500).await.unwrap();
    assert_eq!(revoked.iter().map(|c| c.serial.as_str()).collect::<Vec<_>>(), ["01"]);
    assert_eq!(reader.speaking().await.unwrap()[0].serial, "02");
    writer.commit(&none, &[Extra::Revoke { device: DeviceId::parse("a").unwrap(), now: 1_600 }]).await.unwrap();
    assert!(reader.speaking().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again_and_a_later_version_is_refused() {
    let (dir, mut writer, reader) = temp().await;
    let files = vec![("timestamp.json".into(), b"{}".to_vec())];
    let file = Extra::Metadata { repository: "image", files, drop: vec![] };
    writer.commit(&Batch::default(), &[file]).await.unwrap();
    writer.put_setting("schema", &2_u64.to_le_bytes()).await.unwrap();
    // Without closing: as after a kill.
    drop((writer, reader));
    let path = dir.path().join("plane.sqlite");
    assert!(matches!(open(&path).await, Err(StoreError::Newer { found: 2, .. })));
    let mut raw = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await.unwrap();
    sqlx::query("DELETE FROM setting").execute(&mut raw).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut raw).await.unwrap();
    assert_eq!(mode, "wal");
    let (_writer, reader) = open(&path).await.unwrap();
    assert_eq!(reader.metadata("image").await.unwrap()["timestamp.json"], b"{}");
}

#[tokio::test]
async fn a_full_disk_refuses_one_transaction_and_spoils_none_after_it() {
    let (_dir, mut writer, reader) = temp().await;
    let none = Batch::default();
    // No page more than there are: what a full disk looks like from inside.
    writer.limit_to_present_size().await;
    let large =
        Extra::Metadata { repository: "image", files: vec![("big".into(), vec![7; 1 << 20])], drop: Vec::new() };
    let refused = writer.commit(&none, std::slice::from_ref(&large)).await.unwrap_err();
    assert!(refused.to_string().contains("full") && refused.to_string().contains("\n  hint: "), "{refused}");
    assert!(reader.metadata("image").await.unwrap().is_empty());
    writer.commit(&none, &[large]).await.unwrap();
    assert_eq!(reader.metadata("image").await.unwrap()["big"].len(), 1 << 20);
}

#[tokio::test]
async fn a_join_reads_no_rows_of_other_devices() {
    use sqlx::Row as _;
    let (dir, writer, reader) = temp().await;
    drop((writer, reader));
    let path = dir.path().join("plane.sqlite");
    let mut raw = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await.unwrap();
    for statement in [write::FORGET_TOKENS, write::REVOKE, read::OPEN_TOKENS, read::REVOKED] {
        let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        for step in sqlx::query(plan).fetch_all(&mut raw).await.unwrap() {
            let detail: String = step.get("detail");
            assert!(!detail.starts_with("SCAN"), "{statement}: {detail}");
        }
    }
}
