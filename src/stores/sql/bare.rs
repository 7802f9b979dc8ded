//! What a qualified statement still leaves to the search path. Knows nothing of how it was qualified: it looks at the
//! tokens alone, so that what the one overlooks the other one sees.

use super::lex::{Kind, Token, tokens};

/// Words that may stand before a bracket and call nothing, and functions that the grammar itself knows; so may [`TYPES`].
const BEFORE_BRACKETS: [&str; 45] = [
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "BY",
    "CASE",
    "CAST",
    "COALESCE",
    "CONFLICT",
    "DISTINCT",
    "ELSE",
    "EXCEPT",
    "EXISTS",
    "FILTER",
    "FROM",
    "GREATEST",
    "HAVING",
    "INTERSECT",
    "JOIN",
    "LATERAL",
    "LEAST",
    "LIMIT",
    "MATERIALIZED",
    "NOT",
    "OFFSET",
    "ON",
    "OPERATOR",
    "OR",
    "OVER",
    "RETURNING",
    "ROW",
    "SELECT",
    "SET",
    "SOME",
    "THEN",
    "UNION",
    "VALUES",
    "WHEN",
    "WHERE",
    "ZONE",
    "EXTRACT",
    "VARYING",
    "PRECISION",
    "IN",
];

/// Types that are keywords.
const TYPES: [&str; 19] = [
    "BIGINT",
    "BIT",
    "BOOLEAN",
    "CHAR",
    "CHARACTER",
    "DEC",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "INTERVAL",
    "NCHAR",
    "NUMERIC",
    "REAL",
    "SMALLINT",
    "TIME",
    "TIMESTAMP",
    "VARCHAR",
];

/// What compares by an operator that it does not name.
const COMPARING: [&str; 8] = ["LIKE", "ILIKE", "BETWEEN", "NULLIF", "SIMILAR", "NATURAL", "OVERLAPS", "IN"];

/// The functions, operators and types that are found through the search path, each with what is around it; none, if all is
/// well.
pub(super) fn bare(sql: &str) -> Vec<String> {
    let all = Look { tokens: tokens(sql) };
    let mut found = Vec::new();
    // For each open bracket: the word before it, and whether assignments are listed in it.
    let mut open: Vec<(&str, bool)> = vec![("", false)];
    for (at, token) in all.tokens.iter().enumerate() {
        let assigning = open.last().is_some_and(|(_, assigning)| *assigning);
        let good = match token.kind {
            Kind::Open => {
                let before = at.checked_sub(1).map_or("", |before| all.tokens[before].text);
                open.push((before, false));
                true
            }
            Kind::Close => {
                if open.len() > 1 {
                    open.pop();
                }
                true
            }
            Kind::Op => all.operator(at, assigning),
            Kind::Mark if token.text == "::" => all.type_name(at + 1),
            Kind::Word | Kind::Quoted => {
                if let Some((_, assigning)) = open.last_mut() {
                    *assigning |= token.is("SET");
                    *assigning &= !["FROM", "WHERE", "RETURNING", "SELECT"].iter().any(|word| token.is(word));
                }
                let place =
                    token.is("IN") && open.last().is_some_and(|(word, _)| word.eq_ignore_ascii_case("position"));
                place || all.word(at, open.last().is_some_and(|(word, _)| word.eq_ignore_ascii_case("CAST")))
            }
            _ => true,
        };
        if !good {
            let around = &all.tokens[at.saturating_sub(3)..(at + 4).min(all.tokens.len())];
            found.push(around.iter().map(|token| token.text).collect::<Vec<_>>().join(" "));
        }
    }
    found
}

struct Look<'a> {
    tokens: Vec<Token<'a>>,
}

impl Look<'_> {
    fn is(&self, at: Option<usize>, words: &[&str]) -> bool {
        at.and_then(|at| self.tokens.get(at)).is_some_and(|token| words.iter().any(|word| token.is(word)))
    }

    fn mark(&self, at: Option<usize>, mark: &str) -> bool {
        at.and_then(|at| self.tokens.get(at)).is_some_and(|token| token.mark(mark))
    }

    fn kind(&self, at: Option<usize>) -> Option<Kind> {
        at.and_then(|at| self.tokens.get(at)).map(|token| token.kind)
    }

    fn operator(&self, at: usize, assigning: bool) -> bool {
        let before = |by: usize| at.checked_sub(by);
        let named = self.mark(before(1), ".") && self.is(before(2), &["pg_catalog"]) && self.mark(before(3), "(");
        if named && self.is(before(4), &["OPERATOR"]) {
            return true;
        }
        let first = matches!(self.kind(before(1)), None | Some(Kind::Open | Kind::Mark | Kind::Op));
        match self.tokens[at].text {
            "*" => first || self.is(before(1), &["SELECT", "RETURNING", "DISTINCT"]),
            "-" | "+" => {
                let word = self.is(before(1), &["SELECT", "THEN", "ELSE", "WHEN", "AND", "OR", "LIMIT", "OFFSET"]);
                // After `OPERATOR(pg_catalog.x)`.
                let second =
                    self.mark(before(1), ")") && self.mark(before(3), ".") && self.is(before(4), &["pg_catalog"]);
                (first || word || second) && self.kind(Some(at + 1)) == Some(Kind::Num)
            }
            "=" if assigning => {
                let name = matches!(self.kind(before(1)), Some(Kind::Word | Kind::Quoted));
                (name && (self.is(before(2), &["SET"]) || self.mark(before(2), ","))) || self.mark(before(1), ")")
            }
            _ => false,
        }
    }

    /// The type that begins here.
    fn type_name(&self, at: usize) -> bool {
        self.is(Some(at), &TYPES) || self.mark(Some(at + 1), ".")
    }

    fn word(&self, at: usize, cast: bool) -> bool {
        let token = &self.tokens[at];
        let before = |by: usize| at.checked_sub(by);
        if self.mark(before(1), ".") || self.mark(Some(at + 1), ".") {
            return true;
        }
        if token.is("AS") && cast {
            return self.type_name(at + 1);
        }
        if token.is("CASE") {
            return self.is(Some(at + 1), &["WHEN"]);
        }
        if COMPARING.iter().any(|word| token.is(word)) {
            return false;
        }
        if token.is("DISTINCT") && self.is(Some(at + 1), &["FROM"]) {
            return !self.is(before(1), &["IS", "NOT"]);
        }
        if !self.mark(Some(at + 1), "(") || BEFORE_BRACKETS.iter().chain(&TYPES).any(|word| token.is(word)) {
            return true;
        }
        // The grammar's own only with keywords between the arguments, or with several arguments.
        if ["POSITION", "SUBSTRING", "TRIM", "OVERLAY"].iter().any(|word| token.is(word)) {
            return self.between(at + 1, |token| ["FROM", "FOR", "IN", "PLACING"].iter().any(|word| token.is(word)));
        }
        if token.is("UNNEST") {
            return self.between(at + 1, |token| token.mark(","));
        }
        // A query to use; of columns that are joined by, it would compare each by an operator without a name.
        if token.is("USING") {
            return self.is(Some(at + 2), &["SELECT"]);
        }
        // A list of columns: of what an alias names, of what is inserted into, or of a query that is named in front.
        let Some(end) = self.plain(at + 1) else { return false };
        self.is(before(1), &["AS", "INTO"])
            || (self.is(Some(end + 1), &["AS"])
                && (self.is(before(1), &["WITH", "RECURSIVE"]) || self.mark(before(1), ",")))
    }

    /// Whether there is such a token in the bracket that opens here, and in none within it.
    fn between(&self, at: usize, wanted: impl Fn(&Token<'_>) -> bool) -> bool {
        let mut depth = 0_usize;
        for token in &self.tokens[at..] {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                _ if depth == 1 && wanted(token) => return true,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        false
    }

    /// Where the bracket that opens here ends, if there is nothing in it but names and types.
    fn plain(&self, at: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (end, token) in self.tokens.iter().enumerate().skip(at) {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                Kind::Word | Kind::Quoted | Kind::Num => {}
                Kind::Mark if token.text == "," || token.text == "." => {}
                _ => return None,
            }
            if depth == 0 {
                return Some(end);
            }
            if token.is("SELECT") || token.is("VALUES") {
                return None;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_the_search_path_is_seen() {
        for careless in [
            "SELECT now()",
            "SELECT substring(a, 1), unnest(b)",
            "SELECT a = b",
            "SELECT a FROM b JOIN c USING (d)",
            "SELECT - a",
            "SELECT a - 1",
            "SELECT (a) - 1",
            "SELECT f.a() - 1",
            "SELECT a::text",
            "SELECT CAST(a AS text)",
            "SELECT a LIKE 'x'",
            "SELECT a IN (1)",
            "SELECT CASE a WHEN 1 THEN 2 END",
            "SELECT a IS NOT DISTINCT FROM b",
            "UPDATE t SET a = b = c",
            "UPDATE t SET a = 1 WHERE b = 2",
            "WITH a AS MATERIALIZED (SELECT 1 FROM t WHERE x > 1) SELECT 1",
            "WITH a (b) AS NOT MATERIALIZED (SELECT left(c, 1)) SELECT 1",
            "WITH a AS (WITH b AS (DELETE FROM t WHERE c OPERATOR(other.=) 1) SELECT 1) SELECT 1",
        ] {
            assert!(!bare(careless).is_empty(), "{careless}");
        }
    }

    #[test]
    fn what_is_not_is_left_alone() {
        for good in [
            "SELECT pg_catalog.count(*), t.*, * FROM t",
            "SELECT a OPERATOR(pg_catalog.-) -1, a::pg_catalog.text, (OPERATOR(pg_catalog.-) x), -1",
            "DELETE FROM t USING (SELECT 1) AS u",
            "SELECT position('f(' IN a), EXISTS (SELECT 1), CAST(a AS pg_catalog.text)",
            "WITH RECURSIVE a (b, c) AS (SELECT 1), d (e) AS MATERIALIZED (SELECT 2) INSERT INTO t AS u (a, b) SELECT 1 \
            ON CONFLICT (a) DO UPDATE SET a = excluded.a, b = 2 WHERE u.c OPERATOR(pg_catalog.=) 2",
            "SELECT * FROM unnest($1::pg_catalog.text[], $2) WITH ORDINALITY AS w (id, at) JOIN t AS r (a int, b pg_catalog.jsonb) ON true",
        ] {
            assert_eq!(bare(good), Vec::<String>::new(), "{good}");
        }
    }
}
