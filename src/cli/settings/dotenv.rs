//! The text of a `.env` file, read by the rules of python-dotenv. Pure: no file is opened and no variable looked up.
//!
//! Lines that are no settings are skipped, as there: only a broken line of a requested name is an error.

/// One `NAME=value`, or a broken line of a name that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The name.
    pub name: String,
    /// The line it begins on, from 1.
    pub number: usize,
    /// Its value, before `${…}` is filled in.
    pub value: Result<String, Wrong>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is not `NAME=value`.
    Shape,
    /// Its value is not UTF-8.
    Bytes,
}

/// The settings in `content` whose names `wanted` accepts, in order.
pub(super) fn parse(content: &[u8], wanted: &dyn Fn(&str) -> bool) -> Vec<Line> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let content = &in_unix_lines(content);
    let mut reader = Reader { text: content, at: 0, number: 1 };
    let mut out = Vec::new();
    while reader.at < reader.text.len() {
        let (begin, number) = (reader.at, reader.number);
        let parsed = reader.statement();
        if parsed.is_err() {
            // A broken statement ends with its first line: an open quote must not swallow the settings of later lines
            // (python-dotenv continues after the next quote).
            (reader.at, reader.number) = (begin, number);
            reader.spaces();
            reader.rest_of_line();
        }
        let (name, value) = match parsed {
            Ok(Some((name, Some(value)))) => (name.to_vec(), Ok(value)),
            // A bare name is no setting; with `export` it is a shell statement.
            Ok(Some((name, None))) if !is_export(&content[begin..]) => (name.to_vec(), Err(Wrong::Shape)),
            Ok(_) => continue,
            Err(()) => (named(&content[begin..]), Err(Wrong::Shape)),
        };
        let Ok(name) = String::from_utf8(name) else { continue };
        if !wanted(&name) {
            continue;
        }
        // Blank lines before a statement belong to it.
        let blank = content[begin..].iter().take_while(|byte| byte.is_ascii_whitespace());
        let number = number + blank.filter(|byte| **byte == b'\n').count();
        let value = value.and_then(|value| String::from_utf8(value).map_err(|_| Wrong::Bytes));
        out.push(Line { name, number, value });
    }
    out
}

fn is_export(statement: &[u8]) -> bool {
    let statement = statement.trim_ascii_start();
    statement.strip_prefix(b"export").is_some_and(|rest| blank(rest) > 0)
}

/// Every end of a line as Python reads it in a file: `\n`.
fn in_unix_lines(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    for (at, byte) in content.iter().enumerate() {
        match byte {
            b'\r' if content.get(at + 1) == Some(&b'\n') => {}
            b'\r' => out.push(b'\n'),
            other => out.push(*other),
        }
    }
    out
}

/// How many bytes the white space has that a text begins with, by Python's meaning of it; 0 where there is none.
fn space(text: &[u8]) -> usize {
    match text {
        [b'\t'..=b'\r' | 0x1c..=0x1f | b' ', ..] => 1,
        // U+0085 and U+00A0.
        [0xc2, 0x85 | 0xa0, ..] => 2,
        // U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F, U+3000.
        [0xe1, 0x9a, 0x80, ..]
        | [0xe2, 0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf, ..]
        | [0xe2, 0x81, 0x9f, ..]
        | [0xe3, 0x80, 0x80, ..] => 3,
        _ => 0,
    }
}

/// The same within a line.
fn blank(text: &[u8]) -> usize {
    if matches!(text, [b'\n' | b'\r', ..]) { 0 } else { space(text) }
}

/// A text without the white space at its end.
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let Some(length) = (1..=3.min(text.len())).find(|length| space(&text[text.len() - length..]) == *length) {
        text = &text[..text.len() - length];
    }
    text
}

/// An unquoted value without the comment after it, which is separated by white space.
fn uncommented(line: &[u8]) -> &[u8] {
    let comment = (0..line.len()).find(|at| {
        let length = space(&line[*at..]);
        length > 0 && line.get(at + length) == Some(&b'#')
    });
    trimmed(&line[..comment.unwrap_or(line.len())])
}

/// The name that a broken line begins with.
fn named(statement: &[u8]) -> Vec<u8> {
    let mut statement = statement.trim_ascii_start();
    if is_export(statement) {
        statement = statement[b"export".len()..].trim_ascii_start();
    }
    let statement = statement.strip_prefix(b"'").unwrap_or(statement);
    statement.iter().copied().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').collect()
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    number: usize,
}

type Statement<'a> = Option<(&'a [u8], Option<Vec<u8>>)>;

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// Goes on by `count` bytes and counts the lines among them.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let taken = &self.rest()[..count];
        self.number += taken.iter().filter(|byte| **byte == b'\n').count();
        self.at += count;
        taken
    }

    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let count = self.rest().iter().take_while(|byte| fits(**byte)).count();
        self.take(count)
    }

    fn blanks(&mut self) {
        while blank(self.rest()) > 0 {
            self.take(blank(self.rest()));
        }
    }

    /// White space, ends of lines among it.
    fn spaces(&mut self) {
        while space(self.rest()) > 0 {
            self.take(space(self.rest()));
        }
    }

    fn rest_of_line(&mut self) {
        self.take_while(|byte| byte != b'\n' && byte != b'\r');
        self.end_of_line();
    }

    fn end_of_line(&mut self) -> bool {
        match self.rest() {
            [b'\r', b'\n', ..] => self.take(2),
            [b'\n' | b'\r', ..] => self.take(1),
            [] => &[],
            _ => return false,
        };
        true
    }

    /// A setting, a comment (`None`), or an error, after which nothing counts up to the end of its line.
    fn statement(&mut self) -> Result<Statement<'a>, ()> {
        self.spaces();
        match self.peek() {
            None => return Ok(None),
            Some(b'#') => {
                self.rest_of_line();
                return Ok(None);
            }
            Some(_) => {}
        }
        if is_export(self.rest()) {
            self.take(b"export".len());
            self.blanks();
        }
        let name = match self.peek() {
            Some(b'\'') => {
                self.take(1);
                let name = self.take_while(|byte| byte != b'\'');
                if self.peek().is_none() {
                    return Err(());
                }
                self.take(1);
                name
            }
            _ => {
                let rest = self.rest();
                let ends = |at: &usize| matches!(rest[*at], b'=' | b'#') || space(&rest[*at..]) > 0;
                self.take((0..rest.len()).find(ends).unwrap_or(rest.len()))
            }
        };
        if name.is_empty() {
            return Err(());
        }
        self.blanks();
        let value = if self.peek() == Some(b'=') {
            self.take(1);
            self.blanks();
            Some(self.value()?)
        } else {
            None
        };
        self.blanks();
        if self.peek() == Some(b'#') {
            self.take_while(|byte| byte != b'\n' && byte != b'\r');
        }
        if self.end_of_line() { Ok(Some((name, value))) } else { Err(()) }
    }

    fn value(&mut self) -> Result<Vec<u8>, ()> {
        let quote = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => {
                let line = self.take_while(|byte| byte != b'\n' && byte != b'\r');
                return Ok(uncommented(line).to_vec());
            }
        };
        let inner = &self.rest()[1..];
        let (mut end, mut escaped, mut at) = (None, None, 0);
        while let Some(byte) = inner.get(at) {
            if *byte == quote {
                end = Some(at);
                break;
            }
            if *byte == b'\\' && inner.get(at + 1) == Some(&quote) {
                escaped = Some(at + 1);
                at += 1;
            }
            at += 1;
        }
        // A value that ends in a backslash: the escaped quote is its last one.
        let end = end.or(escaped).ok_or(())?;
        self.take(1);
        let raw = self.take(end);
        self.take(1);
        Ok(unescaped(raw, quote))
    }
}

/// Escapes as python-dotenv has them: more in double quotes than in single ones.
fn unescaped(raw: &[u8], quote: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let meant = match (byte, bytes.peek()) {
            (b'\\', Some(next @ (b'\\' | b'\''))) => *next,
            (b'\\', Some(next)) if quote == b'"' => match next {
                b'"' => b'"',
                b'a' => 7,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 11,
                _ => {
                    out.push(byte);
                    continue;
                }
            },
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.push(meant);
        bytes.next();
    }
    out
}

/// Fills in `${NAME}` and `${NAME:-default}`, as python-dotenv does; `$NAME` is taken as it stands, as there.
///
/// # Errors
/// The name of a variable that `look_up` refuses.
pub(super) fn filled(value: &str, look_up: &dyn Fn(&str) -> Result<Option<String>, String>) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("${") {
        let inner = &rest[at + 2..];
        // The name contains neither } nor :, and a : is followed by -.
        let name_end = inner.find(['}', ':']);
        let parsed = name_end.and_then(|end| match inner.as_bytes()[end] {
            b'}' => Some((&inner[..end], "", &inner[end + 1..])),
            _ => {
                let default = inner[end..].strip_prefix(":-")?;
                let close = default.find('}')?;
                Some((&inner[..end], &default[..close], &default[close + 1..]))
            }
        });
        let Some((name, default, after)) = parsed else {
            out.push_str(&rest[..at + 2]);
            rest = inner;
            continue;
        };
        out.push_str(&rest[..at]);
        out.push_str(&look_up(name)?.unwrap_or_else(|| default.to_owned()));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ours(name: &str) -> bool {
        name == "DATABASE_URL" || name.starts_with("PG")
    }

    fn read(content: &[u8]) -> Vec<(String, usize, Result<String, Wrong>)> {
        parse(content, &ours).into_iter().map(|line| (line.name, line.number, line.value)).collect()
    }

    #[test]
    fn values_as_python_dotenv_reads_them() {
        for (text, value) in [
            ("PGUSER=a", "a"),
            ("export PGUSER = a # comment", "a"),
            ("  export\tPGUSER=a\r", "a"),
            ("'PGUSER'=a", "a"),
            ("PGUSER=a b#c", "a b#c"),
            ("PGUSER=", ""),
            ("PGUSER=  # nothing", "# nothing"),
            ("PGUSER='a # b' # c", "a # b"),
            ("PGUSER='it\\'s \\\\ \\n'", "it's \\ \\n"),
            ("PGUSER=\"a\\nb \\\" \\x\"", "a\nb \" \\x"),
            ("PGUSER='two\nlines'", "two\nlines"),
            ("PGUSER='ends in \\'", "ends in \\"),
            ("PGUSER=pa$word${", "pa$word${"),
        ] {
            let found = read(text.as_bytes());
            assert_eq!(found, [("PGUSER".to_owned(), 1, Ok(value.to_owned()))], "{text:?}");
        }
    }

    #[test]
    fn lines_of_others_do_not_matter() {
        let content = b"APP_NAME=My Shop\nexport PATH\n[prod]\nNAME=M\xfcller\nKEY=\"-----\nPGHOST=inside\n-----\"\n\
            =x\nOPEN='never closed\nPGUSER='me'\nspring.x: y\n{\n  json: 1\n}\nexport PGUSER\nPGTZ_NOTE: x\n\nPGHOST=h\n";
        let found: Vec<_> = parse(content, &|name| ["PGUSER", "PGHOST"].contains(&name));
        let found: Vec<_> = found.iter().map(|line| (line.name.as_str(), line.number, line.value.as_deref())).collect();
        assert_eq!(found, [("PGUSER", 10, Ok("me")), ("PGHOST", 18, Ok("h"))]);
    }

    #[test]
    fn broken_lines_of_ours_have_their_number() {
        for (text, number) in [
            ("A=b\nPGUSER: x\n", 2),
            ("A=b\n\n\nPGUSER 'x'\n", 4),
            ("PGUSER='open\nA=b\n", 1),
            ("A='two\nlines'\nexport PGUSER='a' b\n", 3),
            ("PGUSER\n", 1),
            ("#\n'PGUSER=x\n", 2),
        ] {
            assert_eq!(read(text.as_bytes()), [("PGUSER".to_owned(), number, Err(Wrong::Shape))], "{text:?}");
        }
        assert_eq!(read(b"A=b\nPGUSER=\xff\n"), [("PGUSER".to_owned(), 2, Err(Wrong::Bytes))]);
        assert_eq!(read(b"\xff\xfeP\0G\0"), []);
    }

    #[test]
    fn names_are_filled_in() {
        let look_up = |name: &str| match name {
            "A" => Ok(Some("a".to_owned())),
            "SECRET" => Err(name.to_owned()),
            _ => Ok(None),
        };
        for (text, filled_in) in
            [("x${A}y${B}z", "xayz"), ("${B:-d}${A:-d}", "da"), ("$A ${ ${A", "$A ${ ${A"), ("${A:x}", "${A:x}")]
        {
            assert_eq!(filled(text, &look_up).as_deref(), Ok(filled_in), "{text}");
        }
        assert_eq!(filled("${SECRET:-x}", &look_up), Err("SECRET".to_owned()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(content in proptest::collection::vec(any::<u8>(), 0..200), text in "(?s).{0,60}") {
            parse(&content, &|_| true);
            parse(text.as_bytes(), &|_| true);
            let _ = filled(&text, &|_| Ok(None));
        }

        #[test]
        fn what_is_quoted_comes_back(value in "[^\\\\'\"$\0\r]{0,30}", before in "(#[a-z ='\"]{0,9}\n){0,3}") {
            for quote in ["'", "\""] {
                let content = format!("{before}PGUSER={quote}{value}{quote}\n");
                prop_assert_eq!(read(content.as_bytes()), [("PGUSER".to_owned(), 1 + before.lines().count(), Ok(value.clone()))]);
            }
        }
    }
}
