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
        by: AdmittedBy::Token { hash: token.into() },
        request: "r".into(),
        report_key: "k".into(),
        device_profile: "p".into(),
        serial: serial.into(),
        not_after: 2_000,
        pem: "pem".into(),
        now: 1_000,
        replaces: false,
    }))
}

fn invite(hash: &str, created: u64, expires: u64) -> Extra {
    batch(hash, None, 1, &[], created, expires)
}

fn batch(hash: &str, device: Option<&str>, uses: u64, names: &[&str], created: u64, expires: u64) -> Extra {
    let id = |name: &&str| DeviceId::parse(name).unwrap();
    let names = names.iter().map(id).collect();
    let device = device.as_ref().map(id);
    Extra::Invite(Box::new(NewToken { hash: hash.into(), device, created, expires, uses, names }))
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
    let used = StoredUse { device: "a".into(), at: Some(1_000) };
    assert_eq!(reader.token_devices("t").await.unwrap(), [used]);
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
    writer.put_setting("schema", &3_u64.to_le_bytes()).await.unwrap();
    // Without closing: as after a kill.
    drop((writer, reader));
    let path = dir.path().join("plane.sqlite");
    assert!(matches!(open(&path).await, Err(StoreError::Newer { found: 3, .. })));
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
    for statement in [tokens::FORGET_TOKENS, tokens::SUPERSEDE, tokens::OPEN_TOKENS, write::REVOKE, read::REVOKED] {
        let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        for step in sqlx::query(plan).fetch_all(&mut raw).await.unwrap() {
            let detail: String = step.get("detail");
            assert!(!detail.starts_with("SCAN"), "{statement}: {detail}");
        }
    }
}

#[tokio::test]
async fn an_invitation_for_several_counts_each_device_once_and_a_withdrawn_one_none() {
    let (_dir, mut writer, reader) = temp().await;
    let none = Batch::default();
    writer.commit(&none, &[batch("t", None, 2, &["a", "b", "c"], 500, 2_000)]).await.unwrap();
    writer.commit(&none, &[admission("a", "t", "01")]).await.unwrap();
    assert_eq!(writer.uses_left("t", 1_000).await.unwrap(), 1);
    // The name is in use with another key: nothing is written, no use is lost.
    let Extra::Admit(mut thief) = admission("a", "t", "02") else { unreachable!() };
    thief.report_key = "other".into();
    assert!(matches!(writer.commit(&none, &[Extra::Admit(thief)]).await, Err(StoreError::NameTaken)));
    assert_eq!(
        (writer.uses_left("t", 1_000).await.unwrap(), reader.speaking().await.unwrap()[0].serial.as_str()),
        (1, "01")
    );
    writer.commit(&none, &[admission("b", "t", "03")]).await.unwrap();
    assert!(matches!(writer.commit(&none, &[admission("c", "t", "04")]).await, Err(StoreError::TokenUsed)));
    let joined: Vec<_> = reader.token_devices("t").await.unwrap().into_iter().map(|u| (u.device, u.at)).collect();
    assert_eq!(joined, [("a".into(), Some(1_000)), ("b".into(), Some(1_000)), ("c".into(), None)]);

    writer.commit(&none, &[batch("w", None, 2, &[], 500, 2_000)]).await.unwrap();
    writer.commit(&none, &[Extra::Withdraw { token: "w".into(), now: 900 }]).await.unwrap();
    assert_eq!(writer.uses_left("w", 1_000).await.unwrap(), 0);
    assert!(matches!(writer.commit(&none, &[admission("c", "w", "05")]).await, Err(StoreError::TokenUsed)));
    // A new invitation for a name withdraws the older one.
    writer.commit(&none, &[batch("n1", Some("c"), 1, &[], 500, 2_000)]).await.unwrap();
    writer.commit(&none, &[batch("n2", Some("c"), 1, &[], 600, 2_000)]).await.unwrap();
    assert_eq!((writer.uses_left("n1", 1_000).await.unwrap(), writer.uses_left("n2", 1_000).await.unwrap()), (0, 1));
    // Ended ones are forgotten with their lists.
    writer.commit(&none, &[batch("later", None, 1, &[], 3_000, 4_000)]).await.unwrap();
    assert_eq!((reader.tokens(10).await.unwrap().len(), reader.listed_names().await.unwrap()), (1, 0));
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_up_and_keeps_its_invitations() {
    const FIRST: &str = "CREATE TABLE token (hash TEXT PRIMARY KEY NOT NULL, device TEXT, created INTEGER NOT NULL, \
        expires INTEGER NOT NULL, used_by TEXT, used_at INTEGER, request TEXT) WITHOUT ROWID; \
        CREATE INDEX token_open ON token (expires) WHERE used_by IS NULL; \
        CREATE TABLE setting (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID; \
        INSERT INTO setting VALUES ('schema', x'0100000000000000'); \
        INSERT INTO token VALUES ('used', NULL, 500, 2000, 'a', 700, 'r'), ('open', 'b', 500, 2000, NULL, NULL, NULL)";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plane.sqlite");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut raw = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(FIRST).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    // Twice: the second start finds it brought up.
    for _ in 0..2 {
        let (mut writer, reader) = open(&path).await.unwrap();
        assert_eq!(
            (writer.uses_left("used", 1_000).await.unwrap(), writer.uses_left("open", 1_000).await.unwrap()),
            (0, 1)
        );
        let a = DeviceId::parse("a").unwrap();
        assert_eq!(reader.token_request("used", &a).await.unwrap().as_deref(), Some("r"));
        assert_eq!(reader.token("open").await.unwrap().unwrap().device.as_deref(), Some("b"));
        writer.close().await;
        reader.close().await;
    }
}
