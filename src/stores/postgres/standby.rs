//! What a hot standby says of itself: whose standby it is, and how far what it shows is behind.

use super::Postgres;
use super::decode::Cells;
use crate::sql::Sql;
use sen_model::time::humane;

/// What was replayed of what was received. `sender_host` is NULL for roles that may not see it (`pg_read_all_stats`).
static STANDBY: Sql = Sql::new(
    "SELECT r.pid IS NOT NULL, r.sender_host::text, r.sender_port::int8, pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn(),
        (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000000)::int8
    FROM (SELECT 1 AS one) AS o LEFT JOIN pg_stat_wal_receiver AS r ON true",
);

/// A hot standby, in the moment it was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standby {
    /// `host:port` of the server it receives from, where this role may know it.
    pub primary: Option<String>,
    /// Whether it receives, where it tells.
    pub receives: Option<bool>,
    /// Whether it has replayed all that it received.
    pub is_level: bool,
    /// How long ago the last transaction was committed that it has replayed, in microseconds; `None`: none since its start.
    pub last: Option<i64>,
}

impl Standby {
    /// Whose standby it is and how far behind, in words.
    pub fn words(&self) -> String {
        let whose = self.primary.as_ref().map_or_else(String::new, |primary| format!(" of {primary}"));
        let last = self.last.map(humane);
        match (self.receives, self.is_level, last) {
            (Some(true), true, _) => {
                format!("a standby{whose}: it shows all that it received, which can be a moment behind")
            }
            (Some(true), false, Some(last)) => {
                format!("a standby{whose}, and behind: the last change that it shows is {last} old")
            }
            (Some(true), false, None) => format!("a standby{whose}, and behind by an unknown time"),
            (Some(false), _, Some(last)) => {
                format!(
                    "a standby that receives nothing now: the last change that it shows is {last} old, later ones are missing"
                )
            }
            (None, ..) => "a standby, and does not say how far behind".to_owned(),
            (Some(false), _, None) => {
                "a standby that receives nothing now: how old is what it shows is unknown".to_owned()
            }
        }
    }
}

impl Postgres {
    /// What this server says of itself, being a standby. Of one that does not tell nothing more is known.
    pub async fn as_standby(&self) -> Standby {
        let rows = self.client().query_typed(STANDBY.for_postgres(), &[]).await.unwrap_or_default();
        let Some(row) = rows.first() else { return Standby::default() };
        let mut cells = Cells::new(row);
        let receives = cells.flag(0);
        let primary = match (cells.text(1), cells.int(2)) {
            (Some(host), Some(port)) if host.contains(':') => Some(format!("[{host}]:{port}")),
            (Some(host), Some(port)) => Some(format!("{host}:{port}")),
            _ => None,
        };
        Standby { primary, receives, is_level: cells.flag(3).unwrap_or_default(), last: cells.int(4) }
    }
}
