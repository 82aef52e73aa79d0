//! Serial numbers of devices that joined by their maker's certificate: each once.
use sqlx::SqliteTransaction;

use super::write::{Admission, Writer, int};
use super::{Reader, StoreError, sql};

const REQUEST: &str = "SELECT request FROM vendor_join WHERE issuer = ? AND serial = ?";

impl Reader {
    /// Returns the SHA-256 of the request with which a serial number joined.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn vendor_request(&self, issuer: &str, serial: &str) -> Result<Option<String>, StoreError> {
        let query = sqlx::query_scalar(REQUEST).bind(issuer).bind(serial);
        query.fetch_optional(&self.0).await.map_err(sql("read serial number"))
    }
}

impl Writer {
    /// Returns whether a device with this serial number joined before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn vendor_joined(&mut self, issuer: &str, serial: &str) -> Result<bool, StoreError> {
        let connection = self.connection().await?;
        let query = sqlx::query_scalar::<_, String>(REQUEST).bind(issuer).bind(serial);
        Ok(query.fetch_optional(connection).await.map_err(sql("read serial number"))?.is_some())
    }
}

/// Uses a serial number up.
pub(super) async fn spend(
    tx: &mut SqliteTransaction<'_>,
    issuer: &str,
    serial: &str,
    a: &Admission,
) -> Result<(), StoreError> {
    let noted = sqlx::query(
        "INSERT INTO vendor_join (issuer, serial, device, at, request) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(issuer)
    .bind(serial)
    .bind(a.device.as_str())
    .bind(int(a.now))
    .bind(&a.request)
    .execute(&mut **tx)
    .await
    .map_err(sql("use serial number"))?;
    if noted.rows_affected() == 1 { Ok(()) } else { Err(StoreError::SerialUsed) }
}
