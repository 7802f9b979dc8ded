//! The tokens of a statement, as PostgreSQL's own scanner cuts them. Pure.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An unquoted name or keyword.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string in any of its notations.
    Str,
    /// A number.
    Num,
    /// `$1`.
    Param,
    /// An operator.
    Op,
    /// `(` or `[`.
    Open,
    /// `)` or `]`.
    Close,
    /// `,` `;` `.` `:` or `::`.
    Mark,
}

/// A piece of a statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this mark, bracket or operator.
    pub(super) fn mark(&self, text: &str) -> bool {
        !matches!(self.kind, Kind::Word | Kind::Quoted | Kind::Str) && self.text == text
    }
}

const OPERATOR: [bool; 256] = {
    let (mut found, all, mut at) = ([false; 256], b"+-*/<>=~!@#%^&|`?", 0);
    while at < all.len() {
        found[all[at] as usize] = true;
        at += 1;
    }
    found
};
/// An operator of several characters may end in `+` or `-` only if it has one of these.
const ODD: &[u8] = b"~!@#%^&|`?";

/// The tokens; white space and comments are left out.
pub(super) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut tokens = Vec::with_capacity(sql.len() / 4);
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest[0].is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if rest.starts_with(b"--") {
            at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with(b"/*") {
            at += comment(rest);
            continue;
        }
        let (kind, length) = token(rest);
        // A token ends at an ASCII byte or before one, so at a boundary of characters.
        let end = (at + length.max(1)).min(bytes.len());
        let end = (end..=bytes.len()).find(|&end| sql.is_char_boundary(end)).unwrap_or(bytes.len());
        tokens.push(Token { kind, text: &sql[at..end] });
        at = end;
    }
    tokens
}

/// The length of a comment, nested ones included.
fn comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn token(rest: &[u8]) -> (Kind, usize) {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80;
    match rest[0] {
        b'\'' => (Kind::Str, quoted(rest, 0, b'\'', false)),
        b'"' => (Kind::Quoted, quoted(rest, 0, b'"', false)),
        b'e' | b'E' if rest.get(1) == Some(&b'\'') => (Kind::Str, quoted(rest, 1, b'\'', true)),
        b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if rest.get(1) == Some(&b'\'') => {
            (Kind::Str, quoted(rest, 1, b'\'', false))
        }
        b'u' | b'U' if rest[1..].starts_with(b"&'") => (Kind::Str, quoted(rest, 2, b'\'', false)),
        b'u' | b'U' if rest[1..].starts_with(b"&\"") => (Kind::Quoted, quoted(rest, 2, b'"', false)),
        b'$' if rest.get(1).is_some_and(u8::is_ascii_digit) => {
            (Kind::Param, 1 + rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count())
        }
        b'$' => {
            let tag = 1 + rest[1..].iter().take_while(|&&byte| named(byte) && byte != b'$').count();
            if rest.get(tag) != Some(&b'$') {
                return (Kind::Op, 1);
            }
            let tag = &rest[..=tag];
            let body = rest[tag.len()..].windows(tag.len()).position(|window| window == tag);
            (Kind::Str, body.map_or(rest.len(), |body| body + 2 * tag.len()))
        }
        b'(' | b'[' => (Kind::Open, 1),
        b')' | b']' => (Kind::Close, 1),
        b':' if rest.get(1) == Some(&b':') => (Kind::Mark, 2),
        b'.' if rest.get(1).is_some_and(u8::is_ascii_digit) => (Kind::Num, number(rest)),
        b',' | b';' | b'.' | b':' => (Kind::Mark, 1),
        byte if byte.is_ascii_digit() => (Kind::Num, number(rest)),
        byte if OPERATOR[usize::from(byte)] => (Kind::Op, operator(rest)),
        _ => (Kind::Word, rest.iter().take_while(|&&byte| named(byte)).count()),
    }
}

fn number(rest: &[u8]) -> usize {
    let digits = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'_').count();
    let mut at = digits(0);
    if rest.get(at) == Some(&b'.') {
        at += 1;
        at += digits(at);
    }
    if rest.get(at).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e')) {
        let sign = usize::from(rest.get(at + 1).is_some_and(|byte| b"+-".contains(byte)));
        let exponent = digits((at + 1 + sign).min(rest.len()));
        if exponent > 0 {
            at += 1 + sign + exponent;
        }
    }
    at
}

fn operator(rest: &[u8]) -> usize {
    let mut length = rest.iter().take_while(|&&byte| OPERATOR[usize::from(byte)]).count();
    for comment in [b"--", b"/*"] {
        if let Some(at) = rest[..length].windows(2).position(|window| window == comment) {
            length = at;
        }
    }
    while length > 1 && matches!(rest[length - 1], b'+' | b'-') && !rest[..length].iter().any(|byte| ODD.contains(byte))
    {
        length -= 1;
    }
    length
}

/// The length of what stands in quotes, the first of which is at `from`.
fn quoted(rest: &[u8], from: usize, quote: u8, escapes: bool) -> usize {
    let mut at = from + 1;
    while at < rest.len() {
        if escapes && rest[at] == b'\\' {
            at += 2;
        } else if rest[at] == quote {
            if rest.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 2;
        } else {
            at += 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_as_postgresql_cuts_them() {
        let cut = |sql: &'static str| tokens(sql).iter().map(|token| token.text).collect::<Vec<_>>();
        assert_eq!(cut("a<>-1 /* /* x */ f( */ --y\n||b"), ["a", "<>", "-", "1", "||", "b"].map(String::from));
        assert_eq!(
            cut("E'a\\'b' 'it''s' $t$ 'f(' $t$ \"q\"\"(\""),
            ["E'a\\'b'", "'it''s'", "$t$ 'f(' $t$", "\"q\"\"(\""]
        );
        assert_eq!(
            cut("x::int8[] 1.5e-3*$12 @- w.é"),
            ["x", "::", "int8", "[", "]", "1.5e-3", "*", "$12", "@-", "w", ".", "é"]
        );
    }
}
