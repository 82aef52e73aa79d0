//! Invitations: how many devices each admits, which, and whom it admitted.
use pinnace_protocol::ids::DeviceId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteTransaction};

use super::read::uint;
use super::write::{Admission, Writer, int};
use super::{Reader, StoreError, sql};

/// A new invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// SHA-256 of its secret, hexadecimal.
    pub hash: String,
    /// The only name it admits; a device of that name is replaced.
    pub device: Option<DeviceId>,
    /// Now, seconds since 1970.
    pub created: u64,
    /// Its end, seconds since 1970.
    pub expires: u64,
    /// Devices it admits.
    pub uses: u64,
    /// The only names it admits; any when empty.
    pub names: Vec<DeviceId>,
}

/// An invitation as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// SHA-256 of its secret, hexadecimal.
    pub hash: String,
    /// The only name it admits.
    pub device: Option<String>,
    /// When it was made, seconds since 1970.
    pub created: u64,
    /// Its end, seconds since 1970.
    pub expires: u64,
    /// Devices it admits.
    pub uses: u64,
    /// Devices it admitted.
    pub used: u64,
    /// Names on its list; 0 when it admits any.
    pub names: u64,
    /// When it was withdrawn, seconds since 1970.
    pub withdrawn: Option<u64>,
}

impl StoredToken {
    /// Returns whether it admits another device at `now`, seconds since 1970.
    pub const fn is_open(&self, now: u64) -> bool {
        self.withdrawn.is_none() && self.used < self.uses && self.expires > now
    }
}

/// A device that an invitation admitted, or may admit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUse {
    /// Its name.
    pub device: String,
    /// When it joined, seconds since 1970.
    pub at: Option<u64>,
}

/// Counts the invitations that may be used.
pub(super) const OPEN_TOKENS: &str =
    "SELECT count(*) FROM token WHERE used < uses AND withdrawn IS NULL AND expires > ?";
/// Forgets ended invitations, and with them whom they admitted.
pub(super) const FORGET_TOKENS: &str = "DELETE FROM token WHERE expires < ?";
/// Voids older invitations for one name.
pub(super) const SUPERSEDE: &str =
    "UPDATE token SET withdrawn = ? WHERE device = ? AND used < uses AND withdrawn IS NULL";
const COLUMNS: &str = "hash, device, created, expires, uses, used, names, withdrawn";

fn read_token(row: SqliteRow) -> Result<StoredToken, sqlx::Error> {
    Ok(StoredToken {
        hash: row.try_get(0)?,
        device: row.try_get(1)?,
        created: uint(row.try_get(2)?),
        expires: uint(row.try_get(3)?),
        uses: uint(row.try_get(4)?),
        used: uint(row.try_get(5)?),
        names: uint(row.try_get(6)?),
        withdrawn: row.try_get::<Option<i64>, _>(7)?.map(uint),
    })
}

impl Reader {
    /// Returns an invitation by the hash of its secret.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn token(&self, hash: &str) -> Result<Option<StoredToken>, StoreError> {
        let query = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM token WHERE hash = ?"));
        let row = sqlx::query(query).bind(hash).fetch_optional(&self.0).await.map_err(sql("read invitation"))?;
        row.map(read_token).transpose().map_err(sql("read invitation"))
    }

    /// Returns the newest invitations that are not forgotten, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tokens(&self, limit: usize) -> Result<Vec<StoredToken>, StoreError> {
        let query = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM token ORDER BY created DESC, hash LIMIT ?"));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = sqlx::query(query).bind(limit).fetch_all(&self.0).await.map_err(sql("read invitations"))?;
        rows.into_iter().map(read_token).collect::<Result<_, _>>().map_err(sql("read invitations"))
    }

    /// Returns the invitations whose hash begins with `id`, at most two.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tokens_like(&self, id: &str) -> Result<Vec<StoredToken>, StoreError> {
        // `g` comes after every hexadecimal digit.
        let query =
            sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM token WHERE hash >= ? AND hash < ? || 'g' LIMIT 2"));
        let rows = sqlx::query(query).bind(id).bind(id).fetch_all(&self.0).await.map_err(sql("read invitations"))?;
        rows.into_iter().map(read_token).collect::<Result<_, _>>().map_err(sql("read invitations"))
    }

    /// Returns the SHA-256 of the request with which an invitation admitted a device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn token_request(&self, hash: &str, device: &DeviceId) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT request FROM token_use WHERE token = ? AND device = ?")
            .bind(hash)
            .bind(device.as_str())
            .fetch_optional(&self.0)
            .await
            .map_err(sql("read invitation"))
    }

    /// Returns whether a name is on an invitation's list.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn token_lists(&self, hash: &str, device: &DeviceId) -> Result<bool, StoreError> {
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM token_name WHERE token = ? AND device = ?")
            .bind(hash)
            .bind(device.as_str())
            .fetch_one(&self.0)
            .await
            .map_err(sql("read invitation"))?;
        Ok(found > 0)
    }

    /// Returns the names on an invitation's list and those it admitted, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn token_devices(&self, hash: &str) -> Result<Vec<StoredUse>, StoreError> {
        let rows = sqlx::query(
            "SELECT device, max(at) FROM (SELECT device, NULL AS at FROM token_name WHERE token = ?1 UNION ALL \
             SELECT device, at FROM token_use WHERE token = ?1) GROUP BY device ORDER BY device",
        )
        .bind(hash)
        .fetch_all(&self.0)
        .await
        .map_err(sql("read invitation"))?;
        let read = |row: SqliteRow| -> Result<StoredUse, sqlx::Error> {
            Ok(StoredUse { device: row.try_get(0)?, at: row.try_get::<Option<i64>, _>(1)?.map(uint) })
        };
        rows.into_iter().map(read).collect::<Result<_, _>>().map_err(sql("read invitation"))
    }

    /// Returns how many invitations were neither used up nor withdrawn nor ended at `now`, seconds since 1970.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_tokens(&self, now: u64) -> Result<i64, StoreError> {
        sqlx::query_scalar(OPEN_TOKENS).bind(int(now)).fetch_one(&self.0).await.map_err(sql("count invitations"))
    }

    /// Returns how many names are on the lists of all invitations. Reads all of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn listed_names(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT count(*) FROM token_name").fetch_one(&self.0).await.map_err(sql("count names"))
    }
}

impl Writer {
    /// Returns how many devices an invitation still admits at `now`, seconds since 1970.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn uses_left(&mut self, hash: &str, now: u64) -> Result<u64, StoreError> {
        let connection = self.connection().await?;
        let left: Option<i64> = sqlx::query_scalar(
            "SELECT uses - used FROM token WHERE hash = ? AND used < uses AND withdrawn IS NULL AND expires > ?",
        )
        .bind(hash)
        .bind(int(now))
        .fetch_optional(connection)
        .await
        .map_err(sql("read invitation"))?;
        Ok(left.map_or(0, uint))
    }

    /// Returns whether an invitation admitted this device before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn admitted(&mut self, hash: &str, device: &DeviceId) -> Result<bool, StoreError> {
        let connection = self.connection().await?;
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM token_use WHERE token = ? AND device = ?")
            .bind(hash)
            .bind(device.as_str())
            .fetch_one(connection)
            .await
            .map_err(sql("read invitation"))?;
        Ok(found > 0)
    }
}

/// Writes an invitation; forgets those that ended, withdraws older ones for the same name.
pub(super) async fn invite(tx: &mut SqliteTransaction<'_>, token: &NewToken) -> Result<(), StoreError> {
    sqlx::query(FORGET_TOKENS).bind(int(token.created)).execute(&mut **tx).await.map_err(sql("forget invitations"))?;
    if let Some(device) = &token.device {
        sqlx::query(SUPERSEDE)
            .bind(int(token.created))
            .bind(device.as_str())
            .execute(&mut **tx)
            .await
            .map_err(sql("withdraw invitations"))?;
    }
    sqlx::query("INSERT INTO token (hash, device, created, expires, uses, names) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(&token.hash)
        .bind(token.device.as_ref().map(DeviceId::as_str))
        .bind(int(token.created))
        .bind(int(token.expires))
        .bind(int(token.uses))
        .bind(int(token.names.len() as u64))
        .execute(&mut **tx)
        .await
        .map_err(sql("write invitation"))?;
    for name in &token.names {
        sqlx::query("INSERT INTO token_name (token, device) VALUES (?, ?)")
            .bind(&token.hash)
            .bind(name.as_str())
            .execute(&mut **tx)
            .await
            .map_err(sql("write invitation"))?;
    }
    Ok(())
}

/// Lets an invitation admit nobody any more.
pub(super) async fn withdraw(tx: &mut SqliteTransaction<'_>, token: &str, now: u64) -> Result<(), StoreError> {
    sqlx::query("UPDATE token SET withdrawn = ? WHERE hash = ? AND withdrawn IS NULL")
        .bind(int(now))
        .bind(token)
        .execute(&mut **tx)
        .await
        .map_err(sql("withdraw invitation"))?;
    Ok(())
}

/// Counts one use of an invitation, which must be open.
pub(super) async fn spend(tx: &mut SqliteTransaction<'_>, token: &str, a: &Admission) -> Result<(), StoreError> {
    let used = sqlx::query(
        "UPDATE token SET used = used + 1 WHERE hash = ? AND used < uses AND withdrawn IS NULL AND expires > ?",
    )
    .bind(token)
    .bind(int(a.now))
    .execute(&mut **tx)
    .await
    .map_err(sql("use invitation"))?;
    if used.rows_affected() != 1 {
        return Err(StoreError::TokenUsed);
    }
    let noted =
        sqlx::query("INSERT INTO token_use (token, device, at, request) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(token)
            .bind(a.device.as_str())
            .bind(int(a.now))
            .bind(&a.request)
            .execute(&mut **tx)
            .await
            .map_err(sql("use invitation"))?;
    if noted.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NameTaken) }
}
