//! The ids of everything that matches: the set of a bulk act, fixed before anything is written.

use futures_util::StreamExt as _;
use sen_core::error::Result;
use sen_core::model::listing::Filter;
use sen_core::model::value::Value;
use sen_core::system::System;

/// The ids of all records that match; they stand in the first column.
///
/// # Errors
/// What the store reports.
pub async fn ids(system: &dyn System, filter: &Filter) -> Result<Vec<String>> {
    let mut listing = system.list(filter).await?;
    let mut ids = Vec::new();
    while let Some(part) = listing.parts.next().await {
        ids.extend(part?.rows.into_iter().filter_map(|mut row| match row.swap_remove(0) {
            Value::Text(id) => Some(id),
            _ => None,
        }));
    }
    Ok(ids)
}
