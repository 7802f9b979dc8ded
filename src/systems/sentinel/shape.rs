//! Which version made the tables, told by their columns. Pure.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use sen_stores::catalogue::Catalogue;

/// The table that makes a database one of Sentinel's.
pub const LEASES: &str = "sentinel_leases";

/// The table of what happened, from 0.5.0 on.
pub const EVENTS: &str = "sentinel_events";

/// What a timestamp column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// `timestamp with time zone`: unambiguous.
    Aware,
    /// `timestamp without time zone`: wall-clock time of the session that wrote it.
    Naive,
    /// Microseconds since 1970 (the embedded SQLite form).
    Epoch,
}

/// A column as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFact {
    /// `sentinel_leases` or `sentinel_events`.
    pub relation: String,
    /// The column.
    pub name: String,
    /// The type as the catalogue names it: `timestamp`.
    pub type_name: String,
    /// The schema the relation was found in.
    pub schema: String,
}

/// What the tables look like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// The columns of both tables.
    pub columns: Vec<ColumnFact>,
}

impl Shape {
    /// What the catalogue has of them.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub fn of(catalogue: &Catalogue) -> Self {
        let of = |name: &'static str| {
            let relation = catalogue.named(name);
            relation.into_iter().flat_map(move |relation| {
                relation.columns.iter().map(move |column| ColumnFact {
                    relation: name.to_owned(),
                    name: column.name.clone(),
                    type_name: column.type_name.clone(),
                    schema: relation.schema.clone().unwrap_or_else(|| "main".into()),
                })
            })
        };
        Self { columns: of(LEASES).chain(of(EVENTS)).collect() }
    }

    fn column(&self, relation: &str, name: &str) -> Option<&ColumnFact> {
        self.columns.iter().find(|fact| fact.relation == relation && fact.name == name)
    }

    fn has(&self, relation: &str, name: &str) -> bool {
        self.column(relation, name).is_some()
    }

    /// The schema of the leases.
    pub fn schema(&self) -> Option<&str> {
        self.columns.iter().find(|fact| fact.relation == LEASES).map(|fact| fact.schema.as_str())
    }

    /// Whether there is an events table.
    pub fn has_events(&self) -> bool {
        self.columns.iter().any(|fact| fact.relation == EVENTS)
    }

    /// How the lease times are stored.
    pub fn lease_zone(&self) -> Option<Zone> {
        self.column(LEASES, "lease_expires_at").map(|fact| match fact.type_name.as_str() {
            "timestamp" => Zone::Naive,
            "timestamptz" => Zone::Aware,
            _ => Zone::Epoch,
        })
    }

    /// Whether every act works: 0.4.2 and later, its mixtures and Django's migrations.
    pub fn fully_served(&self) -> bool {
        self.has(LEASES, "ttl_ms") && self.has(LEASES, "hard_expires_at")
    }

    /// The version in words.
    pub fn version(&self) -> String {
        let leases = LEASES;
        if !self.has(leases, "hard_expires_at") {
            return "0.1.x (older than 0.2.0: reading only)".into();
        }
        if !self.has(leases, "ttl_ms") {
            return "0.2.0 to 0.4.1 (older than 0.4.2: reading only)".into();
        }
        let django = self.column(leases, "status").is_some_and(|fact| fact.type_name == "varchar");
        match (self.lease_zone(), self.has_events(), django) {
            (Some(Zone::Epoch), _, _) => "0.5.0 (embedded SQLite form)".into(),
            (_, true, true) => "0.5.0 (Django migrations)".into(),
            (_, false, true) => "0.4.x (Django migrations, no events)".into(),
            (Some(Zone::Naive), true, false) => "0.4.x leases with 0.5.0 events".into(),
            (_, true, false) => "0.5.0".into(),
            (_, false, false) => "0.4.2 (no events)".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(columns: &[(&str, &str, &str)]) -> Shape {
        let columns = columns.iter().map(|(relation, name, type_name)| ColumnFact {
            relation: format!("sentinel_{relation}"),
            name: (*name).into(),
            type_name: (*type_name).into(),
            schema: "public".into(),
        });
        Shape { columns: columns.collect() }
    }

    #[test]
    fn versions_are_told_by_their_columns() {
        let naive = "timestamp";
        let aware = "timestamptz";
        let status = ("leases", "status", "text");
        let old = shape(&[("leases", "lease_expires_at", naive), status]);
        assert!(old.version().starts_with("0.1.x") && !old.fully_served());
        let middle = shape(&[("leases", "lease_expires_at", naive), ("leases", "hard_expires_at", naive), status]);
        assert!(middle.version().starts_with("0.2.0") && !middle.fully_served());
        let base = |zone| {
            vec![
                ("leases", "lease_expires_at", zone),
                ("leases", "hard_expires_at", zone),
                ("leases", "ttl_ms", "integer"),
            ]
        };
        let with = |zone, more: &[(&'static str, &'static str, &'static str)]| {
            let mut columns = base(zone);
            columns.extend_from_slice(more);
            shape(&columns)
        };
        let events = ("events", "id", "bigint");
        let django = ("leases", "status", "varchar");
        assert_eq!(with(naive, &[status]).version(), "0.4.2 (no events)");
        assert_eq!(with(naive, &[status, events]).version(), "0.4.x leases with 0.5.0 events");
        assert_eq!(with(aware, &[status, events]).version(), "0.5.0");
        assert_eq!(with(aware, &[django, events]).version(), "0.5.0 (Django migrations)");
        assert_eq!(with(naive, &[status]).lease_zone(), Some(Zone::Naive));
    }
}
