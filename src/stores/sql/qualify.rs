//! Statements that nothing in the search path can take over.
//!
//! PostgreSQL looks for functions, operators and types in every schema of the search path, and one whose argument types fit
//! better wins, even over the built-in one that everybody means (CVE-2018-1058). So whoever may create in such a schema could
//! have code run by whoever asks. Here every function, type, catalogue and operator of a statement gets its schema,
//! `pg_catalog`, and what the grammar compares by an operator without naming one (IN, LIKE, BETWEEN, CASE x WHEN, NULLIF, IS
//! DISTINCT FROM) is written with it. Operators that are named with their schema all bind alike, so what binds tighter
//! gets parentheses. Tables stay as they are: where they are, the search path decides.
//!
//! Longer than other files, because the rules of the grammar call each other.

use std::borrow::Cow;

use super::lex::{Kind, Token, tokens};

/// The statement with everything but its tables qualified, and what was not understood: nothing, the tests say.
pub(super) fn qualify(sql: &str) -> (String, Vec<String>) {
    let mut parser = Parser { tokens: tokens(sql), at: 0, odd: Vec::new() };
    let mut text = String::with_capacity(sql.len() * 2);
    while parser.at < parser.tokens.len() {
        push(&mut text, &parser.group(false));
        if let Some(token) = parser.next() {
            parser.odd.push(token.text.to_owned());
            push(&mut text, token.text);
        }
    }
    (text, parser.odd)
}

/// Keywords that stand between expressions, by their length: every word of every statement is looked up here.
const BETWEEN_EXPRESSIONS: [&[&str]; 10] = [
    &[],
    &[],
    &["OR", "ON", "AS", "DO", "BY"],
    &["AND", "NOT", "SET", "FOR", "ASC"],
    &["FROM", "JOIN", "FULL", "WITH", "INTO", "DESC", "LEFT", "BOTH"],
    &["WHERE", "LIMIT", "GROUP", "ORDER", "UNION", "CROSS", "INNER", "OUTER", "USING", "RIGHT"],
    &["SELECT", "VALUES", "OFFSET", "HAVING", "EXCEPT", "INSERT", "UPDATE", "DELETE"],
    &["LATERAL", "PLACING", "LEADING"],
    &["DISTINCT", "CONFLICT", "TRAILING"],
    &["RETURNING", "INTERSECT"],
];

/// Keywords that look like calls and are none.
const FORMS: [&str; 9] = ["EXISTS", "ANY", "ALL", "SOME", "ARRAY", "ROW", "COALESCE", "GREATEST", "LEAST"];

/// Types that are keywords: the grammar itself knows where they are, and refuses some of them with a schema.
const TYPES: [&str; 18] = [
    "bigint",
    "bit",
    "boolean",
    "char",
    "character",
    "dec",
    "decimal",
    "double",
    "float",
    "int",
    "integer",
    "interval",
    "nchar",
    "numeric",
    "real",
    "smallint",
    "time",
    "timestamp",
];

/// Types that may stand in front of a literal: `interval '1 day'`.
const BEFORE_LITERALS: [&str; 11] =
    ["interval", "timestamp", "timestamptz", "time", "date", "jsonb", "json", "text", "uuid", "bytea", "bool"];

/// How tightly operators bind, the loosest first.
mod binding {
    pub(super) const IS: u8 = 1;
    pub(super) const COMPARISON: u8 = 2;
    pub(super) const LIKE: u8 = 3;
    pub(super) const OTHER: u8 = 4;
    pub(super) const SUM: u8 = 5;
    pub(super) const PRODUCT: u8 = 6;
    pub(super) const POWER: u8 = 7;
}

fn of(operator: &str) -> u8 {
    match operator {
        "<" | ">" | "=" | "<=" | ">=" | "<>" | "!=" => binding::COMPARISON,
        "+" | "-" => binding::SUM,
        "*" | "/" | "%" => binding::PRODUCT,
        "^" => binding::POWER,
        _ => binding::OTHER,
    }
}

/// An expression, and whether it can stand beside an operator without parentheses. Most are one name, which is not copied:
/// statements are taken apart at every start of the program.
struct Expr<'a> {
    text: Cow<'a, str>,
    whole: bool,
}

impl<'a> Expr<'a> {
    fn whole(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), whole: true }
    }

    fn parts(text: String) -> Self {
        Self { text: text.into(), whole: false }
    }

    fn operand(self) -> Cow<'a, str> {
        if self.whole {
            return self.text;
        }
        let mut text = self.text.into_owned();
        text.insert(0, '(');
        text.push(')');
        text.into()
    }
}

/// An operation.
fn apply<'a>(left: impl Into<Cow<'a, str>>, operator: &str, right: &str) -> String {
    let operator = if operator == "!=" { "<>" } else { operator };
    let mut left = left.into().into_owned();
    left.reserve(24 + operator.len() + right.len());
    for piece in [" OPERATOR(pg_catalog.", operator, ") ", right] {
        left.push_str(piece);
    }
    left
}

/// Adds a piece with a space before it where one may be needed.
fn push(text: &mut String, piece: &str) {
    let close = piece.starts_with([',', ')', ']', ';']);
    if !(piece.is_empty() || text.is_empty() || close || text.ends_with(['(', '['])) {
        text.push(' ');
    }
    text.push_str(piece);
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    odd: Vec<String>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at + by).copied()
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    fn is(&self, by: usize, word: &str) -> bool {
        self.ahead(by).is_some_and(|token| token.is(word))
    }

    fn mark(&self, by: usize, text: &str) -> bool {
        self.ahead(by).is_some_and(|token| token.mark(text))
    }

    fn kind(&self, by: usize) -> Option<Kind> {
        self.ahead(by).map(|token| token.kind)
    }

    /// What stands between two brackets, or up to WHEN, THEN, ELSE or END. `place`: IN is no operator but part of
    /// `position(a IN b)`.
    fn group(&mut self, place: bool) -> String {
        let mut text = String::new();
        let (mut assigns, mut target) = (false, false);
        while let Some(token) = self.peek() {
            let ends = ["WHEN", "THEN", "ELSE", "END"].iter().any(|word| token.is(word));
            if token.kind == Kind::Close || ends {
                break;
            }
            if token.kind == Kind::Mark && !token.mark("::") {
                self.at += 1;
                push(&mut text, token.text);
                target = assigns;
            } else if place && token.is("IN") {
                self.at += 1;
                push(&mut text, token.text);
            } else if self.separates(token) {
                self.at += 1;
                push(&mut text, token.text);
                match token.text.to_ascii_uppercase().as_str() {
                    "WITH" if !self.is(0, "ORDINALITY") => self.common(&mut text),
                    "SET" => (assigns, target) = (true, true),
                    "FROM" | "WHERE" | "RETURNING" => (assigns, target) = (false, false),
                    "AS" => self.alias(&mut text),
                    "INTO" => self.into(&mut text),
                    "CONFLICT" if self.mark(0, "(") => push(&mut text, &self.names()),
                    "USING" if self.mark(0, "(") && !self.is(1, "SELECT") => self.odd.push("USING (".into()),
                    _ => {}
                }
            } else if target {
                target = false;
                let name = if token.mark("(") { self.names().into() } else { self.name() };
                push(&mut text, &name);
                if self.mark(0, "=") {
                    self.at += 1;
                    push(&mut text, "=");
                }
            } else {
                push(&mut text, &self.expression(0).text);
            }
        }
        text
    }

    fn separates(&self, token: Token<'a>) -> bool {
        if token.kind != Kind::Word || self.mark(1, ".") {
            return false;
        }
        let keyword =
            BETWEEN_EXPRESSIONS.get(token.text.len()).is_some_and(|words| words.iter().any(|word| token.is(word)));
        let called = (token.is("LEFT") || token.is("RIGHT")) && self.mark(1, "(");
        keyword && !called
    }

    /// The queries that WITH names, each with its columns and its body: `[RECURSIVE] name (a, b) AS [NOT] MATERIALIZED (…), …`.
    fn common(&mut self, text: &mut String) {
        if self.is(0, "RECURSIVE") {
            self.at += 1;
            push(text, "RECURSIVE");
        }
        loop {
            push(text, &self.name());
            if self.mark(0, "(") {
                push(text, &self.names());
            }
            if !self.is(0, "AS") {
                return self.puzzled();
            }
            self.at += 1;
            push(text, "AS");
            self.materialized(text);
            if !self.mark(0, "(") {
                return self.puzzled();
            }
            self.at += 1;
            let inner = self.group(false);
            if !self.mark(0, ")") {
                push(text, &format!("({inner}"));
                return self.puzzled();
            }
            self.at += 1;
            push(text, &format!("({inner})"));
            if self.is(0, "SEARCH") || self.is(0, "CYCLE") {
                return self.puzzled();
            }
            if !self.mark(0, ",") {
                return;
            }
            self.at += 1;
            text.push(',');
        }
    }

    /// `MATERIALIZED` or `NOT MATERIALIZED`, if it is there.
    fn materialized(&mut self, text: &mut String) {
        let negated = usize::from(self.is(0, "NOT"));
        if self.is(negated, "MATERIALIZED") {
            self.at += negated + 1;
            push(text, if negated == 1 { "NOT MATERIALIZED" } else { "MATERIALIZED" });
        }
    }

    /// What comes next is not understood.
    fn puzzled(&mut self) {
        self.odd.push(self.peek().map_or("the end", |token| token.text).to_owned());
    }

    /// What follows AS: a name, and the names (and types) of its columns.
    fn alias(&mut self, text: &mut String) {
        if self.is(0, "MATERIALIZED") || (self.is(0, "NOT") && self.is(1, "MATERIALIZED")) {
            return self.materialized(text);
        }
        if matches!(self.kind(0), Some(Kind::Word | Kind::Quoted)) {
            push(text, &self.name());
            if self.mark(0, "(") {
                push(text, &self.columns());
            }
        }
    }

    /// `(a, b)` or `(a int, b text)`.
    fn columns(&mut self) -> String {
        self.at += 1;
        let mut text = String::from("(");
        while self.peek().is_some_and(|token| token.kind != Kind::Close) {
            if self.mark(0, ",") {
                self.at += 1;
                text.push(',');
                continue;
            }
            push(&mut text, &self.name());
            if matches!(self.kind(0), Some(Kind::Word | Kind::Quoted)) {
                push(&mut text, &self.type_name());
            }
        }
        self.at += 1;
        text + ")"
    }

    /// The table after INTO, its alias and its columns.
    fn into(&mut self, text: &mut String) {
        push(text, &self.name());
        if self.is(0, "AS") {
            self.at += 1;
            push(text, "AS");
            push(text, &self.name());
        }
        if self.mark(0, "(") && !self.is(1, "SELECT") {
            push(text, &self.names());
        }
    }

    /// A bracket with nothing in it but names; anything else is not understood.
    fn names(&mut self) -> String {
        let from = self.at;
        let text = self.verbatim();
        let odd = self.tokens[from + 1..self.at.max(from + 2) - 1]
            .iter()
            .find(|token| !(matches!(token.kind, Kind::Word | Kind::Quoted) || token.mark(",") || token.mark(".")));
        self.odd.extend(odd.map(|token| format!("{} in {text}", token.text)));
        text
    }

    /// A bracket and all that is in it, as it is.
    fn verbatim(&mut self) -> String {
        let (mut text, mut depth) = (String::new(), 0_usize);
        while let Some(token) = self.next() {
            let dotted = token.mark(".") || text.ends_with('.');
            if dotted {
                text.push_str(token.text)
            } else {
                push(&mut text, token.text)
            }
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        text
    }

    /// `a`, `"a"."b"`, `a.*`; a catalogue gets its schema.
    fn name(&mut self) -> Cow<'a, str> {
        let Some(first) = self.next() else { return "".into() };
        let system = first.kind == Kind::Word && first.text.starts_with("pg_") && first.text != "pg_catalog";
        let system = system && !self.mark(0, "(");
        if !system && !self.mark(0, ".") {
            return first.text.into();
        }
        let mut text = String::with_capacity(40);
        if system {
            text.push_str("pg_catalog.");
        }
        text.push_str(first.text);
        while self.mark(0, ".") {
            self.at += 1;
            text.push('.');
            if let Some(token) = self.next() {
                text.push_str(token.text);
            }
        }
        text.into()
    }

    /// A type with its schema, its modifiers and its brackets.
    fn type_name(&mut self) -> String {
        let first = self.peek();
        let keyword = first.is_some_and(|token| TYPES.iter().any(|known| token.is(known)) || token.is("varchar"));
        let qualified = self.mark(1, ".");
        let mut text = if keyword || qualified { String::new() } else { "pg_catalog.".to_owned() };
        text += &self.name();
        if keyword {
            for words in [&["precision"][..], &["varying"], &["with", "time", "zone"], &["without", "time", "zone"]] {
                if words.iter().enumerate().all(|(at, word)| self.is(at, word)) {
                    self.at += words.len();
                    text = text + " " + &words.join(" ");
                }
            }
        }
        if self.mark(0, "(") {
            text += &self.verbatim();
        }
        while self.mark(0, "[") {
            text += &self.verbatim();
        }
        text
    }

    /// An expression of operators that bind at least so tightly.
    fn expression(&mut self, least: u8) -> Expr<'a> {
        let mut left = self.primary();
        while let Some(token) = self.peek() {
            let negated = token.is("NOT");
            let word = if negated { 1 } else { 0 };
            let like = ["LIKE", "ILIKE"].into_iter().find(|like| self.is(word, like));
            if token.kind == Kind::Op && least <= of(token.text) {
                self.at += 1;
                let right = self.expression(of(token.text) + 1);
                left = Expr::parts(apply(left.operand(), token.text, &right.operand()));
            } else if token.is("OPERATOR") && self.mark(1, "(") && least <= binding::OTHER {
                self.at += 1;
                let operator = self.verbatim();
                let right = self.expression(binding::OTHER + 1);
                let text = format!("{} OPERATOR{operator} {}", left.operand(), right.operand());
                left = Expr::parts(text);
            } else if token.is("IS") && least <= binding::IS {
                left = self.is_what(left);
            } else if self.is(word, "IN") && self.mark(word + 1, "(") && least <= binding::LIKE {
                self.at += word + 1;
                let text = self.is_in(left);
                left = if negated { Expr::whole(format!("(NOT ({text}))")) } else { Expr::parts(text) };
            } else if self.is(word, "BETWEEN") && least <= binding::LIKE {
                self.at += word + 1;
                let low = self.expression(binding::OTHER);
                self.at += usize::from(self.is(0, "AND"));
                let high = self.expression(binding::OTHER);
                let left_side = left.operand();
                let from = apply(left_side.clone(), ">=", &low.operand());
                let to = apply(left_side, "<=", &high.operand());
                let not = if negated { "NOT " } else { "" };
                left = Expr::whole(format!("({not}({from} AND {to}))"));
            } else if let (Some(like), true) = (like, least <= binding::LIKE) {
                self.at += word + 1;
                let operator = match (like, negated) {
                    ("LIKE", false) => "~~",
                    ("LIKE", true) => "!~~",
                    (_, false) => "~~*",
                    (_, true) => "!~~*",
                };
                let right = self.expression(binding::OTHER);
                left = Expr::parts(apply(left.operand(), operator, &right.operand()));
            } else {
                break;
            }
        }
        left
    }

    /// From IS on.
    fn is_what(&mut self, left: Expr<'a>) -> Expr<'a> {
        self.at += 1;
        let mut words = String::from("IS");
        let negated = self.is(0, "NOT");
        if negated {
            self.at += 1;
            words += " NOT";
        }
        if self.is(0, "DISTINCT") && self.is(1, "FROM") {
            self.at += 2;
            let right = self.expression(binding::COMPARISON).operand();
            let left = left.operand();
            let [absent, other, operator] =
                if negated { ["IS NULL", "false", "="] } else { ["IS NOT NULL", "true", "<>"] };
            let compared = apply(left.clone(), operator, &right);
            return Expr::whole(format!(
                "CASE WHEN {left} IS NULL THEN {right} {absent} WHEN {right} IS NULL THEN {other} ELSE {compared} END"
            ));
        }
        let what = self.next().map_or("", |token| token.text);
        if !["NULL", "TRUE", "FALSE", "UNKNOWN"].iter().any(|known| known.eq_ignore_ascii_case(what)) {
            self.odd.push(format!("IS {what}"));
        }
        Expr::parts(format!("{} {words} {what}", left.text))
    }

    /// From the bracket after IN on, as PostgreSQL itself reads it: `= ANY` of a query or of an array.
    fn is_in(&mut self, left: Expr<'a>) -> String {
        let query = ["SELECT", "WITH", "VALUES"].iter().any(|word| self.is(1, word)) || self.mark(1, "(");
        let plain = |token: &Token<'_>| {
            let text = token.text.trim_matches('\'');
            let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
            match token.kind {
                Kind::Num => true,
                Kind::Str => token.text.starts_with('\'') && !text.is_empty() && text.bytes().all(bare),
                _ => token.mark(","),
            }
        };
        let end = self.tokens[self.at..].iter().position(|token| token.mark(")")).unwrap_or(0) + self.at;
        let items = self.tokens.get(self.at + 1..end).unwrap_or_default();
        let right = if !items.is_empty() && items.iter().all(plain) {
            let items: Vec<&str> =
                items.iter().filter(|token| !token.mark(",")).map(|token| token.text.trim_matches('\'')).collect();
            self.at = end + 1;
            // An untyped literal takes the type of the array of what it is compared with, as each item of the list would.
            format!("ANY ('{{\"{}\"}}')", items.join("\",\""))
        } else {
            self.at += 1;
            let inner = self.group(false);
            self.at += 1;
            if query { format!("ANY ({inner})") } else { format!("ANY (ARRAY[{inner}])") }
        };
        apply(left.operand(), "=", &right)
    }

    fn primary(&mut self) -> Expr<'a> {
        let Some(token) = self.next() else { return Expr::whole("") };
        let text: Cow<'a, str> = match token.kind {
            Kind::Op if token.text == "*" => return Expr::whole("*"),
            Kind::Op if matches!(token.text, "-" | "+") && self.kind(0) == Some(Kind::Num) => {
                let number = self.next().map_or("", |token| token.text);
                format!("{}{number}", token.text).into()
            }
            Kind::Op => {
                let tight = matches!(token.text, "-" | "+");
                let right = if tight { self.primary() } else { self.expression(binding::OTHER) };
                return Expr::whole(format!("(OPERATOR(pg_catalog.{}) {})", token.text, right.operand()));
            }
            Kind::Open => {
                let inner = self.group(false);
                let close = self.next().map_or("", |token| token.text);
                format!("{}{inner}{close}", token.text).into()
            }
            Kind::Word if token.is("CASE") => self.case().into(),
            Kind::Word if token.is("CAST") && self.mark(0, "(") => self.cast().into(),
            Kind::Word if token.is("NULLIF") && self.mark(0, "(") => self.null_if().into(),
            Kind::Word | Kind::Quoted => {
                self.at -= 1;
                self.named()
            }
            Kind::Mark | Kind::Close => {
                self.odd.push(token.text.to_owned());
                token.text.into()
            }
            _ => token.text.into(),
        };
        self.after(text)
    }

    /// What belongs to an operand and follows it.
    fn after(&mut self, mut text: Cow<'a, str>) -> Expr<'a> {
        loop {
            if self.mark(0, "::") {
                self.at += 1;
                let kind = self.type_name();
                text.to_mut().extend(["::", kind.as_str()]);
            } else if self.mark(0, "[") {
                self.at += 1;
                let inner = self.group(false);
                self.at += 1;
                text = format!("{text}[{inner}]").into();
            } else if self.mark(0, ".") {
                self.at += 1;
                text += ".";
                text += self.next().map_or("", |token| token.text);
            } else if self.is(0, "AT") && self.is(1, "TIME") && self.is(2, "ZONE") {
                self.at += 3;
                let zone = self.primary().operand();
                text = format!("{text} AT TIME ZONE {zone}").into();
            } else if self.is(0, "COLLATE") {
                self.at += 1;
                let own = self.mark(1, ".");
                let name = self.name();
                text = format!("{text} COLLATE {}{name}", if own { "" } else { "pg_catalog." }).into();
            } else if (self.is(0, "FILTER") || self.is(0, "OVER")) && self.mark(1, "(") {
                let word = self.next().map_or("", |token| token.text);
                self.at += 1;
                let inner = self.group(false);
                self.at += 1;
                text = format!("{text} {word} ({inner})").into();
            } else {
                return Expr::whole(text);
            }
        }
    }

    /// A column, a table, a literal with its type, or a call.
    fn named(&mut self) -> Cow<'a, str> {
        let Some(first) = self.peek() else { return "".into() };
        if self.kind(1) == Some(Kind::Str) && BEFORE_LITERALS.iter().any(|known| first.is(known)) {
            let kind = self.type_name();
            return (kind + " " + self.next().map_or("", |token| token.text)).into();
        }
        if ["NATURAL", "SIMILAR", "OVERLAPS", "ESCAPE"].iter().any(|word| first.is(word)) {
            self.odd.push(first.text.to_owned());
        }
        let dotted = self.mark(1, ".");
        let name = self.name();
        if self.mark(0, "[") && name.eq_ignore_ascii_case("array") {
            return name;
        }
        if !self.mark(0, "(") {
            return name;
        }
        let lower = name.to_ascii_lowercase();
        let (arguments, special) = self.arguments();
        let own = FORMS.iter().any(|form| name.eq_ignore_ascii_case(form))
            || (matches!(lower.as_str(), "position" | "substring" | "trim" | "overlay") && special)
            || lower == "extract"
            || (lower == "unnest" && arguments > 1);
        self.at += 1;
        let inner = self.group(lower == "position");
        self.at += 1;
        format!("{}{name}({inner})", if own || dotted { "" } else { "pg_catalog." }).into()
    }

    /// How many arguments the call has whose bracket comes next, and whether keywords stand between them.
    fn arguments(&self) -> (usize, bool) {
        let (mut depth, mut count, mut special) = (0_usize, 1, false);
        for token in &self.tokens[self.at..] {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                _ if depth == 1 => {
                    count += usize::from(token.mark(","));
                    special |= ["FROM", "FOR", "IN", "PLACING"].iter().any(|word| token.is(word));
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        (count, special)
    }

    /// From after CASE to END. `CASE x WHEN y` compares, so it becomes `CASE WHEN x = y`.
    fn case(&mut self) -> String {
        let subject = if self.is(0, "WHEN") { None } else { Some(self.group(false)) };
        let mut text = String::from("CASE");
        while let Some(token) = self.next() {
            push(&mut text, token.text);
            if token.is("END") {
                break;
            }
            let inner = self.group(false);
            match &subject {
                Some(subject) if token.is("WHEN") => {
                    push(&mut text, &apply(format!("({subject})"), "=", &format!("({inner})")))
                }
                _ => push(&mut text, &inner),
            }
        }
        text
    }

    fn cast(&mut self) -> String {
        self.at += 1;
        let inner = self.expression(0).operand();
        self.at += usize::from(self.is(0, "AS"));
        let kind = self.type_name();
        self.at += 1;
        format!("CAST({inner} AS {kind})")
    }

    fn null_if(&mut self) -> String {
        self.at += 1;
        let left = self.expression(0).operand();
        self.at += usize::from(self.mark(0, ","));
        let right = self.expression(0).operand();
        self.at += 1;
        format!("CASE WHEN {} THEN NULL ELSE {left} END", apply(left.clone(), "=", &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(sql: &str) -> String {
        let (text, odd) = qualify(sql);
        assert!(odd.is_empty(), "{odd:?} in {sql}");
        assert_eq!(crate::sql::bare::bare(&text), Vec::<String>::new(), "{text}");
        text
    }

    #[test]
    fn functions_types_and_catalogues_get_their_schema() {
        assert_eq!(
            q("SELECT now(), x.y::int8[], count(*) FROM pg_class AS c"),
            "SELECT pg_catalog.now(), x.y::pg_catalog.int8[], pg_catalog.count(*) FROM pg_catalog.pg_class AS c"
        );
        assert_eq!(
            q("SELECT left(a, 2)::varchar(3), b::timestamp without time zone, CAST(c AS text)"),
            "SELECT pg_catalog.left(a, 2)::varchar(3), b::timestamp without time zone, CAST(c AS pg_catalog.text)"
        );
        assert_eq!(
            q("SELECT * FROM unnest($1::text[], $2) WITH ORDINALITY AS w (id, at), unnest($3) AS v"),
            "SELECT * FROM unnest($1::pg_catalog.text[], $2) WITH ORDINALITY AS w (id, at), pg_catalog.unnest($3) AS v"
        );
        assert_eq!(
            q("SELECT a::\"s\".\"t\", timestamptz 'epoch', interval '1 s', jsonb_to_record(x) AS r (a int, b jsonb)"),
            "SELECT a::\"s\".\"t\", pg_catalog.timestamptz 'epoch', interval '1 s', \
            pg_catalog.jsonb_to_record(x) AS r (a int, b pg_catalog.jsonb)"
        );
        assert_eq!(
            q("SELECT position('f(' IN a), substring(b FROM 1 FOR $2), substring(b, 1), extract(epoch FROM now())"),
            "SELECT position('f(' IN a), substring(b FROM 1 FOR $2), pg_catalog.substring(b, 1), extract(epoch FROM pg_catalog.now())"
        );
    }

    #[test]
    fn operators_get_their_schema_and_still_bind_as_they_did() {
        assert_eq!(
            q("SELECT a > b + c * 2 OR NOT d -> 'x' ? $1"),
            "SELECT a OPERATOR(pg_catalog.>) (b OPERATOR(pg_catalog.+) (c OPERATOR(pg_catalog.*) 2)) \
            OR NOT (d OPERATOR(pg_catalog.->) 'x') OPERATOR(pg_catalog.?) $1"
        );
        assert_eq!(
            q("SELECT a || b = ANY($1), -x, -1, (a, b) < (SELECT c, d FROM t)"),
            "SELECT (a OPERATOR(pg_catalog.||) b) OPERATOR(pg_catalog.=) ANY($1), (OPERATOR(pg_catalog.-) x), -1, \
            (a, b) OPERATOR(pg_catalog.<) (SELECT c, d FROM t)"
        );
        assert_eq!(
            q("SELECT a - b - c <= d IS NOT NULL, count(*) FILTER (WHERE x = 1) > 0"),
            "SELECT ((a OPERATOR(pg_catalog.-) b) OPERATOR(pg_catalog.-) c) OPERATOR(pg_catalog.<=) d IS NOT NULL, \
            pg_catalog.count(*) FILTER (WHERE x OPERATOR(pg_catalog.=) 1) OPERATOR(pg_catalog.>) 0"
        );
    }

    #[test]
    fn comparisons_without_an_operator_get_one() {
        assert_eq!(
            q("SELECT a IN ('x', 'y'), b NOT IN (1), c IN (SELECT d), e IN (f, g)"),
            "SELECT a OPERATOR(pg_catalog.=) ANY ('{\"x\",\"y\"}'), (NOT (b OPERATOR(pg_catalog.=) ANY ('{\"1\"}'))), \
            c OPERATOR(pg_catalog.=) ANY (SELECT d), e OPERATOR(pg_catalog.=) ANY (ARRAY[f, g])"
        );
        assert_eq!(
            q("SELECT CASE a WHEN 'x' THEN b LIKE 'c%' ELSE d NOT LIKE 'e' END, nullif(a, 'b')"),
            "SELECT CASE WHEN (a) OPERATOR(pg_catalog.=) ('x') THEN b OPERATOR(pg_catalog.~~) 'c%' \
            ELSE d OPERATOR(pg_catalog.!~~) 'e' END, CASE WHEN a OPERATOR(pg_catalog.=) 'b' THEN NULL ELSE a END"
        );
        assert_eq!(
            q("SELECT a BETWEEN $1::text AND b AND c, a IS NOT DISTINCT FROM b"),
            "SELECT ((a OPERATOR(pg_catalog.>=) $1::pg_catalog.text AND a OPERATOR(pg_catalog.<=) b)) AND c, \
            CASE WHEN a IS NULL THEN b IS NULL WHEN b IS NULL THEN false ELSE a OPERATOR(pg_catalog.=) b END"
        );
    }

    #[test]
    fn assignments_and_lists_of_columns_are_no_expressions() {
        assert_eq!(
            q("WITH x (a, b) AS (SELECT 1) INSERT INTO t AS u (a, b) SELECT 1, f(2) ON CONFLICT (a) DO UPDATE \
                SET a = excluded.a, b = u.b + 1 WHERE u.c = 2 RETURNING a"),
            "WITH x (a, b) AS (SELECT 1) INSERT INTO t AS u (a, b) SELECT 1, pg_catalog.f(2) ON CONFLICT (a) DO UPDATE \
            SET a = excluded.a, b = u.b OPERATOR(pg_catalog.+) 1 WHERE u.c OPERATOR(pg_catalog.=) 2 RETURNING a"
        );
        assert_eq!(
            q("SELECT row_number() OVER (PARTITION BY a ORDER BY b DESC NULLS LAST), a AT TIME ZONE 'UTC' + b"),
            "SELECT pg_catalog.row_number() OVER (PARTITION BY a ORDER BY b DESC NULLS LAST), \
            a AT TIME ZONE 'UTC' OPERATOR(pg_catalog.+) b"
        );
        for puzzling in [
            "SELECT a FROM b JOIN c USING (d)",
            "INSERT INTO t (a) SELECT 1 ON CONFLICT (lower(a)) DO NOTHING",
            "WITH a (f(b)) AS (SELECT 1) SELECT 1",
            "WITH a MATERIALIZED (SELECT 1) SELECT 1",
            "WITH a AS (SELECT 1) SEARCH DEPTH FIRST BY b SET c, d (SELECT 1) SELECT 1",
        ] {
            let (text, odd) = qualify(puzzling);
            assert!(!odd.is_empty(), "{puzzling}: {text}");
        }
    }

    /// The string literals of a source.
    fn literals(source: &str) -> Vec<String> {
        let (mut found, mut rest) = (Vec::new(), source);
        while let Some(at) = rest.find(['"', '\'', '/']) {
            let (mark, after) = (&rest[at..=at], &rest[at + 1..]);
            rest = match mark {
                "/" if after.starts_with('/') => &after[after.find('\n').unwrap_or(after.len())..],
                // A character that would look like the beginning of a literal.
                "'" if after.starts_with("\"'") => &after[2..],
                "\"" => {
                    let (mut text, mut chars, mut end) = (String::new(), after.char_indices().peekable(), after.len());
                    while let Some((at, char)) = chars.next() {
                        match char {
                            '"' => {
                                end = at + 1;
                                break;
                            }
                            '\\' => match chars.next() {
                                Some((_, '\n')) => while chars.next_if(|(_, char)| char.is_whitespace()).is_some() {},
                                Some((_, other)) => text.push(if other == 'n' { '\n' } else { other }),
                                None => {}
                            },
                            char => text.push(char),
                        }
                    }
                    found.push(text);
                    &after[end..]
                }
                _ => after,
            };
        }
        found
    }

    fn sources(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.to_string_lossy().contains("postgres") {
                found.push(path);
            }
        }
    }

    /// Every piece of SQL in the sources that speak to PostgreSQL, whether a test runs it or not.
    #[test]
    fn no_piece_of_any_statement_is_left_to_the_search_path() {
        let mut paths = Vec::new();
        sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut paths);
        let (mut wrong, mut pieces) = (Vec::new(), 0);
        for path in paths {
            let source = std::fs::read_to_string(&path).unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap();
            for piece in literals(source) {
                let speaks = |word: &&str| piece.split(|char: char| !char.is_alphabetic()).any(|found| found == *word);
                let sql = ["SELECT", "FROM", "WHERE", "AND", "UPDATE", "DELETE", "CASE", "WHEN"].iter().any(speaks);
                // What is shown to a person to be typed is not sent.
                if !sql || piece.starts_with("ALTER SYSTEM ") {
                    continue;
                }
                pieces += 1;
                // What the piece before it begins, and the one after it ends.
                let before = match piece.trim_start() {
                    text if text.starts_with(')') => "(1",
                    text if text.starts_with("WHEN ") => "CASE ",
                    _ => "",
                };
                let after = match piece.trim_end() {
                    text if text.ends_with("CASE") => "WHEN true",
                    text if text.ends_with(" IN") => "(1)",
                    _ => "",
                };
                let (text, _) = qualify(&format!("{before}{piece}{after}"));
                let bare = crate::sql::bare::bare(&text);
                if !bare.is_empty() {
                    wrong.push(format!("{}: {bare:?} in {text}", path.display()));
                }
            }
        }
        assert!(pieces > 300, "{pieces}");
        assert!(wrong.is_empty(), "{}\n{} of {pieces}", wrong.join("\n"), wrong.len());
    }

    #[test]
    fn the_body_of_every_query_that_with_names_is_qualified_however_it_is_spelt() {
        let body = "SELECT lower(a) FROM t WHERE b = 'x'";
        let done = "SELECT pg_catalog.lower(a) FROM t WHERE b OPERATOR(pg_catalog.=) 'x'";
        for recursive in ["", "RECURSIVE "] {
            for columns in ["", " (a, \"b c\")"] {
                for kept in ["", "MATERIALIZED ", "NOT MATERIALIZED "] {
                    let of = |body: &str| {
                        format!("WITH {recursive}x{columns} AS {kept}({body}), y{columns} AS {kept}({body}) SELECT 1")
                    };
                    assert_eq!(q(&of(body)), of(done));
                    // One in another.
                    assert_eq!(q(&of(&of(body))), of(&of(done)));
                }
            }
        }
        assert_eq!(
            q("WITH a AS MATERIALIZED (UPDATE t SET b = b + 1 WHERE c > 2 RETURNING lower(d)), \
                e AS (DELETE FROM t USING a WHERE f IN ('g') RETURNING *), \
                h (i) AS NOT MATERIALIZED (INSERT INTO t (a, b) VALUES (now(), 1 - 2) RETURNING upper(d)) SELECT count(*) FROM e"),
            "WITH a AS MATERIALIZED (UPDATE t SET b = b OPERATOR(pg_catalog.+) 1 WHERE c OPERATOR(pg_catalog.>) 2 \
            RETURNING pg_catalog.lower(d)), \
            e AS (DELETE FROM t USING a WHERE f OPERATOR(pg_catalog.=) ANY ('{\"g\"}') RETURNING *), \
            h (i) AS NOT MATERIALIZED (INSERT INTO t (a, b) VALUES (pg_catalog.now(), 1 OPERATOR(pg_catalog.-) 2) \
            RETURNING pg_catalog.upper(d)) SELECT pg_catalog.count(*) FROM e"
        );
    }
}
