//! Reading beside the writer.
use std::collections::BTreeMap;

use pinnace_controlplane_core::api::{Row, Table};
use pinnace_protocol::ids::DeviceId;
use sqlx::Row as _;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::write::int;
use super::{StoreError, sql};

/// Reads; cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader(pub(super) SqlitePool);

/// A joined device as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDevice {
    /// Its name.
    pub device: DeviceId,
    /// Report key, hexadecimal.
    pub report_key: String,
    /// Hardware class.
    pub device_profile: String,
    /// When it joined, seconds since 1970.
    pub joined: u64,
    /// Serial number of its certificate, hexadecimal.
    pub serial: String,
}

/// A certificate as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCertificate {
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Whose it is.
    pub device: String,
    /// Its end, seconds since 1970.
    pub not_after: u64,
    /// When it was revoked, seconds since 1970.
    pub revoked: Option<u64>,
    /// The certificate, PEM.
    pub pem: String,
}

pub(super) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Finds the certificates that must be refused.
pub(super) const REVOKED: &str =
    "SELECT serial, device, not_after, revoked, pem FROM certificate WHERE revoked IS NOT NULL AND not_after > ?";

impl Reader {
    pub(super) const fn new(pool: SqlitePool) -> Self {
        Self(pool)
    }

    /// Returns the joined devices whose certificate is not revoked, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn speaking(&self) -> Result<Vec<StoredDevice>, StoreError> {
        let rows = sqlx::query(
            "SELECT device, report_key, device_profile, joined, serial FROM enrolled WHERE NOT EXISTS \
             (SELECT 1 FROM certificate c WHERE c.serial = enrolled.serial AND c.revoked IS NOT NULL) ORDER BY device",
        )
        .fetch_all(&self.0)
        .await
        .map_err(sql("read devices"))?;
        rows.into_iter().map(read_device).collect()
    }

    /// Returns how many devices ever joined. Reads all of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enrolled_count(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT count(*) FROM enrolled").fetch_one(&self.0).await.map_err(sql("count devices"))
    }

    /// Returns one joined device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enrolled_one(&self, device: &DeviceId) -> Result<Option<StoredDevice>, StoreError> {
        let row =
            sqlx::query("SELECT device, report_key, device_profile, joined, serial FROM enrolled WHERE device = ?")
                .bind(device.as_str())
                .fetch_optional(&self.0)
                .await
                .map_err(sql("read device"))?;
        row.map(read_device).transpose()
    }

    /// Returns a certificate by its serial number, hexadecimal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn certificate(&self, serial: &str) -> Result<Option<StoredCertificate>, StoreError> {
        let row = sqlx::query("SELECT serial, device, not_after, revoked, pem FROM certificate WHERE serial = ?")
            .bind(serial)
            .fetch_optional(&self.0)
            .await
            .map_err(sql("read certificate"))?;
        row.map(read_certificate).transpose().map_err(sql("read certificate"))
    }

    /// Returns the revoked certificates that have not ended at `now`, seconds since 1970.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoked(&self, now: u64) -> Result<Vec<StoredCertificate>, StoreError> {
        let rows = sqlx::query(REVOKED).bind(int(now)).fetch_all(&self.0).await.map_err(sql("read certificates"))?;
        rows.into_iter().map(read_certificate).collect::<Result<_, _>>().map_err(sql("read certificates"))
    }

    /// Returns all files of a repository by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn metadata(&self, repository: &str) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let rows = sqlx::query("SELECT name, bytes FROM metadata WHERE repository = ?")
            .bind(repository)
            .fetch_all(&self.0)
            .await
            .map_err(sql("read metadata"))?;
        let read =
            |row: SqliteRow| -> Result<(String, Vec<u8>), sqlx::Error> { Ok((row.try_get(0)?, row.try_get(1)?)) };
        rows.into_iter().map(read).collect::<Result<_, _>>().map_err(sql("read metadata"))
    }

    /// Returns the last version signed for each device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn director_sequences(&self) -> Result<BTreeMap<DeviceId, u64>, StoreError> {
        let rows = sqlx::query("SELECT device, sequence FROM director")
            .fetch_all(&self.0)
            .await
            .map_err(sql("read director versions"))?;
        let mut all = BTreeMap::new();
        for row in rows {
            let name: String = row.try_get(0).map_err(sql("read director versions"))?;
            let device =
                DeviceId::parse(&name).map_err(|_| StoreError::Damaged { table: "director", what: "device id" })?;
            all.insert(device, uint(row.try_get(1).map_err(sql("read director versions"))?));
        }
        Ok(all)
    }

    /// Returns events from sequence number `from` on, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_from(&self, from: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.events("SELECT value FROM event WHERE key >= ? ORDER BY key LIMIT ?", from, limit).await
    }

    /// Returns the newest events, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_newest(&self, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.events("SELECT value FROM event WHERE key >= ? ORDER BY key DESC LIMIT ?", 0, limit).await
    }

    async fn events(&self, query: &'static str, seq: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        let rows = sqlx::query(query)
            .bind(format!("{seq:020}"))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.0)
            .await
            .map_err(sql("read events"))?;
        rows.into_iter()
            .map(|row| {
                let value: &[u8] = row.try_get(0).map_err(sql("read events"))?;
                Ok(Row::decode(Table::Event, value)?)
            })
            .collect()
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

fn read_device(row: SqliteRow) -> Result<StoredDevice, StoreError> {
    let name: String = row.try_get(0).map_err(sql("read device"))?;
    let device = DeviceId::parse(&name).map_err(|_| StoreError::Damaged { table: "enrolled", what: "device id" })?;
    let read = || -> Result<StoredDevice, sqlx::Error> {
        Ok(StoredDevice {
            device,
            report_key: row.try_get(1)?,
            device_profile: row.try_get(2)?,
            joined: uint(row.try_get(3)?),
            serial: row.try_get(4)?,
        })
    };
    read().map_err(sql("read device"))
}

fn read_certificate(row: SqliteRow) -> Result<StoredCertificate, sqlx::Error> {
    Ok(StoredCertificate {
        serial: row.try_get(0)?,
        device: row.try_get(1)?,
        not_after: uint(row.try_get(2)?),
        revoked: row.try_get::<Option<i64>, _>(3)?.map(uint),
        pem: row.try_get(4)?,
    })
}
