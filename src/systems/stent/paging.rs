//! The end of a list's statement, the same in every store but for the names of its parameters.

use crate::port::{ExecutionQuery, Order};

/// What lies behind a row, the order of the page, and the same order again of what is told of it: `rows` are those of `table`
/// that the inner query gives, `absent` is whether there is no such row, and then `after` is it.
pub(crate) fn end(
    query: &ExecutionQuery,
    [table, rows]: [&'static str; 2],
    [absent, after, limit]: [&'static str; 3],
) -> Vec<&'static str> {
    let (column, there) = match query.order {
        // Nothing is skipped, so `after` has no condition; it is named because every parameter must be.
        Order::Stored => return vec![" AND ", absent, " LIMIT ", limit, ") AS ", rows],
        Order::Created => ("created_at", ""),
        Order::Started => ("started_at", " AND e.started_at IS NOT NULL"),
        Order::Completed => ("completed_at", " AND e.completed_at IS NOT NULL"),
    };
    let (sign, direction) = if query.descending { ("<", " DESC") } else { (">", " ASC") };
    let behind = [" AND (", absent, " OR (e.", column, ", e.id) ", sign, " (SELECT a.", column, ", a.id FROM ", table];
    let page =
        [" AS a WHERE a.id = ", after, ")) ORDER BY e.", column, direction, ", e.id", direction, " LIMIT ", limit];
    let again = [") AS ", rows, " ORDER BY ", rows, ".", column, direction, ", ", rows, ".id", direction];
    std::iter::once(there).chain(behind).chain(page).chain(again).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Bound;

    #[test]
    fn the_page_and_what_is_told_of_it_have_one_order() {
        let query = ExecutionQuery {
            states: Vec::new(),
            queue: None,
            function: None,
            tag: Vec::new(),
            worker: None,
            error: Vec::new(),
            execution: None,
            ids: None,
            since: Bound::default(),
            until: [Bound::default(); 2],
            after: None,
            order: Order::Started,
            descending: false,
            limit: None,
            payloads: false,
            ahead: 0,
        };
        let told = |query: &ExecutionQuery| end(query, ["tasks", "t"], ["?1 IS NULL", "?1", "?2"]).concat();
        assert_eq!(
            told(&query),
            " AND e.started_at IS NOT NULL AND (?1 IS NULL OR (e.started_at, e.id) > (SELECT a.started_at, a.id FROM tasks AS a \
             WHERE a.id = ?1)) ORDER BY e.started_at ASC, e.id ASC LIMIT ?2) AS t ORDER BY t.started_at ASC, t.id ASC"
        );
        assert_eq!(told(&ExecutionQuery { order: Order::Stored, ..query }), " AND ?1 IS NULL LIMIT ?2) AS t");
    }
}
