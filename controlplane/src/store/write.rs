//! The one connection that writes.
use pinnace_controlplane_core::api::{Batch, Row, Table};
use pinnace_protocol::ids::DeviceId;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Row as _, SqliteConnection, SqliteTransaction};

use super::tokens::{self, NewToken};
use super::{SCHEMA_VERSION, StoreError, sql, vendors};
use crate::limits::CERTIFICATES_PER_DEVICE_MAX;

/// What lets a device in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdmittedBy {
    /// An invitation.
    Token {
        /// SHA-256 of its secret, hexadecimal.
        hash: String,
    },
    /// A certificate of its maker.
    Vendor {
        /// SHA-256 of the issuer's name, hexadecimal.
        issuer: String,
        /// The device's serial number.
        serial: String,
    },
}

/// A device that is let in: everything that must become true together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Its name.
    pub device: DeviceId,
    /// By what it is let in, which is used up.
    pub by: AdmittedBy,
    /// SHA-256 of the request, hexadecimal.
    pub request: String,
    /// Report key, hexadecimal.
    pub report_key: String,
    /// Hardware class.
    pub device_profile: String,
    /// Serial number of its certificate, hexadecimal.
    pub serial: String,
    /// End of its certificate, seconds since 1970.
    pub not_after: u64,
    /// Its certificate, PEM.
    pub pem: String,
    /// Now, seconds since 1970.
    pub now: u64,
    /// Whether it may take the place of a device of this name that has another report key.
    pub replaces: bool,
}

/// What a transaction writes besides the steward's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extra {
    /// Files of a repository (`image` or `director`).
    Metadata {
        /// Which repository.
        repository: &'static str,
        /// Names and contents.
        files: Vec<(String, Vec<u8>)>,
        /// Names of files to delete.
        drop: Vec<String>,
    },
    /// The last version signed for a device.
    Director {
        /// The device.
        device: DeviceId,
        /// The version.
        sequence: u64,
    },
    /// A device is let in; fails when the invitation was used.
    Admit(Box<Admission>),
    /// A device gets a new certificate, unless the one it asked with was revoked meanwhile, or it has as many as may be:
    /// then nothing is written.
    Renew {
        /// The device.
        device: DeviceId,
        /// Serial number of the certificate that it asked with, or had last.
        old: String,
        /// Now, seconds since 1970.
        now: u64,
        /// Serial number of the new certificate, hexadecimal.
        serial: String,
        /// Its end, seconds since 1970.
        not_after: u64,
        /// The certificate, PEM.
        pem: String,
    },
    /// A new invitation; invitations that ended are forgotten, and an older one for the same name is withdrawn.
    Invite(Box<NewToken>),
    /// An invitation admits nobody any more.
    Withdraw {
        /// SHA-256 of its secret, hexadecimal.
        token: String,
        /// Now, seconds since 1970.
        now: u64,
    },
    /// A device's certificates are void.
    Revoke {
        /// The device.
        device: DeviceId,
        /// Now, seconds since 1970.
        now: u64,
    },
}

/// Voids the certificates of a device.
const RENEW: &str = "UPDATE enrolled SET serial = ?1 WHERE device = ?2 AND EXISTS \
    (SELECT 1 FROM certificate WHERE serial = ?3 AND device = ?2 AND revoked IS NULL) AND \
    (SELECT COUNT(*) FROM certificate WHERE device = ?2 AND not_after > ?4) < ?5";
pub(super) const REVOKE: &str = "UPDATE certificate SET revoked = ? WHERE device = ? AND revoked IS NULL";

/// Writes; owned by the driver.
#[derive(Debug)]
pub struct Writer {
    options: SqliteConnectOptions,
    /// None after a transaction failed, until the next use.
    connection: Option<SqliteConnection>,
}

fn put_sql(table: Table) -> &'static str {
    match table {
        Table::Device => "INSERT OR REPLACE INTO device (key, value) VALUES (?, ?)",
        Table::Bundle => "INSERT OR REPLACE INTO bundle (key, value) VALUES (?, ?)",
        Table::Rollout => "INSERT OR REPLACE INTO rollout (key, value) VALUES (?, ?)",
        Table::Member => "INSERT OR REPLACE INTO member (key, value) VALUES (?, ?)",
        Table::Aggregate => "INSERT OR REPLACE INTO aggregate (key, value) VALUES (?, ?)",
        Table::Dedupe => "INSERT OR REPLACE INTO dedupe (key, value) VALUES (?, ?)",
        Table::Event => "INSERT OR REPLACE INTO event (key, value) VALUES (?, ?)",
    }
}

fn delete_sql(table: Table) -> &'static str {
    match table {
        Table::Device => "DELETE FROM device WHERE key = ?",
        Table::Bundle => "DELETE FROM bundle WHERE key = ?",
        Table::Rollout => "DELETE FROM rollout WHERE key = ?",
        Table::Member => "DELETE FROM member WHERE key = ?",
        Table::Aggregate => "DELETE FROM aggregate WHERE key = ?",
        Table::Dedupe => "DELETE FROM dedupe WHERE key = ?",
        Table::Event => "DELETE FROM event WHERE key = ?",
    }
}

fn select_sql(table: Table) -> &'static str {
    match table {
        Table::Device => "SELECT value FROM device ORDER BY key",
        Table::Bundle => "SELECT value FROM bundle ORDER BY key",
        Table::Rollout => "SELECT value FROM rollout ORDER BY key",
        Table::Member => "SELECT value FROM member ORDER BY key",
        Table::Aggregate => "SELECT value FROM aggregate ORDER BY key",
        Table::Dedupe => "SELECT value FROM dedupe ORDER BY key",
        // The newest are enough to go on from; the steward keeps no more in memory.
        Table::Event => "SELECT value FROM event ORDER BY key DESC LIMIT 4096",
    }
}

/// SQLite's integers are signed; our seconds and versions stay far below the limit, and clamp there.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Writer {
    pub(super) const fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        Self { options, connection: Some(connection) }
    }

    pub(super) async fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.options).await.map_err(sql("open again"))?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Reads the rows of the steward, table by table; of the history the newest 4096, which go on from one another.
    ///
    /// # Errors
    /// [`StoreError`]; also for a row that is damaged or of a later version.
    pub async fn rows(&mut self) -> Result<Vec<Row>, StoreError> {
        let connection = self.connection().await?;
        let mut rows = Vec::new();
        for table in Table::ALL {
            let found = sqlx::query(select_sql(table)).fetch_all(&mut *connection).await.map_err(sql("read rows"))?;
            for row in found {
                let value: &[u8] = row.try_get(0).map_err(sql("read rows"))?;
                rows.push(Row::decode(table, value)?);
            }
        }
        Ok(rows)
    }

    /// Writes everything or nothing; when it returns, it is on disk.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    pub async fn commit(&mut self, batch: &Batch, extras: &[Extra]) -> Result<(), StoreError> {
        let outcome = self.transaction(batch, extras).await;
        // A full disk makes SQLite end the transaction by itself, which its driver does not notice: it would refuse
        // every later one. A new connection knows of none.
        if outcome.is_err()
            && let Some(connection) = self.connection.take()
        {
            // What it cannot say any more is of no use to the next one.
            let _ = connection.close().await;
        }
        outcome
    }

    async fn transaction(&mut self, batch: &Batch, extras: &[Extra]) -> Result<(), StoreError> {
        let connection = self.connection().await?;
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(sql("begin"))?;
        for row in &batch.put {
            sqlx::query(put_sql(row.table()))
                .bind(row.key())
                .bind(row.value()?)
                .execute(&mut *tx)
                .await
                .map_err(sql("write row"))?;
        }
        for key in &batch.delete {
            sqlx::query(delete_sql(key.table)).bind(&key.key).execute(&mut *tx).await.map_err(sql("delete row"))?;
        }
        for extra in extras {
            write_extra(&mut tx, extra).await?;
        }
        tx.commit().await.map_err(sql("commit"))
    }

    /// Makes or brings up the tables; `found` is the version of those that are there.
    pub(super) async fn apply(&mut self, found: Option<u64>) -> Result<(), StoreError> {
        let connection = self.connection().await?;
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(sql("begin"))?;
        if found == Some(1) {
            sqlx::raw_sql(include_str!("schema_2.sql")).execute(&mut *tx).await.map_err(sql("bring up tables"))?;
        }
        sqlx::raw_sql(include_str!("schema.sql")).execute(&mut *tx).await.map_err(sql("create tables"))?;
        sqlx::query("INSERT OR REPLACE INTO setting (key, value) VALUES ('schema', ?)")
            .bind(SCHEMA_VERSION.to_le_bytes().as_slice())
            .execute(&mut *tx)
            .await
            .map_err(sql("write setting"))?;
        tx.commit().await.map_err(sql("commit"))
    }

    /// Returns whether there is a table of this name.
    pub(super) async fn has_table(&mut self, name: &str) -> Result<bool, StoreError> {
        let connection = self.connection().await?;
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?")
            .bind(name)
            .fetch_one(connection)
            .await
            .map_err(sql("look for tables"))?;
        Ok(found > 0)
    }

    /// Returns the report key of the device of this name, hexadecimal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn report_key(&mut self, device: &DeviceId) -> Result<Option<String>, StoreError> {
        let connection = self.connection().await?;
        sqlx::query_scalar("SELECT report_key FROM enrolled WHERE device = ?")
            .bind(device.as_str())
            .fetch_optional(connection)
            .await
            .map_err(sql("read device"))
    }

    /// Returns a setting.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn setting(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let connection = self.connection().await?;
        sqlx::query_scalar("SELECT value FROM setting WHERE key = ?")
            .bind(key)
            .fetch_optional(connection)
            .await
            .map_err(sql("read setting"))
    }

    /// Writes a setting.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_setting(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let connection = self.connection().await?;
        sqlx::query("INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)")
            .bind(key)
            .bind(value)
            .execute(connection)
            .await
            .map_err(sql("write setting"))?;
        Ok(())
    }

    /// Lets the database grow no further over this connection.
    #[cfg(test)]
    pub(super) async fn limit_to_present_size(&mut self) {
        let connection = self.connection().await.unwrap();
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *connection).await.unwrap();
        let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(limit).execute(connection).await.unwrap();
    }

    /// Closes the connection, folding the write-ahead log into the file.
    pub async fn close(self) {
        if let Some(connection) = self.connection {
            // A failure changes nothing: what was committed is in the log.
            let _ = connection.close().await;
        }
    }
}

async fn write_extra(tx: &mut SqliteTransaction<'_>, extra: &Extra) -> Result<(), StoreError> {
    match extra {
        Extra::Metadata { repository, files, drop } => {
            for name in drop {
                sqlx::query("DELETE FROM metadata WHERE repository = ? AND name = ?")
                    .bind(*repository)
                    .bind(name)
                    .execute(&mut **tx)
                    .await
                    .map_err(sql("delete metadata"))?;
            }
            for (name, bytes) in files {
                sqlx::query("INSERT OR REPLACE INTO metadata (repository, name, bytes) VALUES (?, ?, ?)")
                    .bind(*repository)
                    .bind(name)
                    .bind(bytes)
                    .execute(&mut **tx)
                    .await
                    .map_err(sql("write metadata"))?;
            }
        }
        Extra::Director { device, sequence } => {
            sqlx::query("INSERT OR REPLACE INTO director (device, sequence) VALUES (?, ?)")
                .bind(device.as_str())
                .bind(int(*sequence))
                .execute(&mut **tx)
                .await
                .map_err(sql("write director version"))?;
        }
        Extra::Admit(admission) => admit(tx, admission).await?,
        Extra::Renew { device, old, now, serial, not_after, pem } => {
            // A successor under the same name may have joined, or the device may have been put out: its word is void.
            let renewed = sqlx::query(RENEW)
                .bind(serial)
                .bind(device.as_str())
                .bind(old)
                .bind(int(*now))
                .bind(int(CERTIFICATES_PER_DEVICE_MAX))
                .execute(&mut **tx)
                .await
                .map_err(sql("write device"))?;
            if renewed.rows_affected() > 0 {
                certificate(tx, device, serial, *not_after, pem).await?;
            }
        }
        Extra::Invite(token) => tokens::invite(tx, token).await?,
        Extra::Withdraw { token, now } => tokens::withdraw(tx, token, *now).await?,
        Extra::Revoke { device, now } => {
            sqlx::query(REVOKE)
                .bind(int(*now))
                .bind(device.as_str())
                .execute(&mut **tx)
                .await
                .map_err(sql("revoke"))?;
        }
    }
    Ok(())
}

async fn admit(tx: &mut SqliteTransaction<'_>, a: &Admission) -> Result<(), StoreError> {
    match &a.by {
        AdmittedBy::Token { hash } => tokens::spend(tx, hash, a).await?,
        AdmittedBy::Vendor { issuer, serial } => vendors::spend(tx, issuer, serial, a).await?,
    }
    // A device that joins anew speaks with its new certificate alone.
    sqlx::query(REVOKE).bind(int(a.now)).bind(a.device.as_str()).execute(&mut **tx).await.map_err(sql("revoke"))?;
    certificate(tx, &a.device, &a.serial, a.not_after, &a.pem).await?;
    let written = sqlx::query(
        "INSERT INTO enrolled (device, report_key, device_profile, joined, serial) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (device) DO UPDATE SET report_key = ?2, device_profile = ?3, joined = ?4, serial = ?5 \
         WHERE report_key = ?2 OR ?6",
    )
    .bind(a.device.as_str())
    .bind(&a.report_key)
    .bind(&a.device_profile)
    .bind(int(a.now))
    .bind(&a.serial)
    .bind(a.replaces)
    .execute(&mut **tx)
    .await
    .map_err(sql("write device"))?;
    if written.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NameTaken) }
}

async fn certificate(
    tx: &mut SqliteTransaction<'_>,
    device: &DeviceId,
    serial: &str,
    not_after: u64,
    pem: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO certificate (serial, device, not_after, pem) VALUES (?, ?, ?, ?)")
        .bind(serial)
        .bind(device.as_str())
        .bind(int(not_after))
        .bind(pem)
        .execute(&mut **tx)
        .await
        .map_err(sql("write certificate"))?;
    Ok(())
}
