//! Markdown for tickets, as CommonMark and GitHub read it. All text has passed the control-character filter, is masked unless
//! secrets are asked for, and is escaped: what a database holds is shown as it is and forms nothing.

use std::borrow::Cow;

use crate::clean::clean;
use crate::mask;

/// A text in a paragraph, a list or a table.
pub fn text(text: &str, reveal: bool) -> String {
    escaped(&shown(text, reveal))
}

/// A key, an id or a command, which are never masked, in a paragraph, a list or a table.
pub fn code(text: &str) -> String {
    code_of(&clean(text))
}

/// A value in a paragraph, a list or a table.
pub fn value(text: &str, reveal: bool) -> String {
    code_of(&shown(text, reveal))
}

/// Lines in a block of their own, which nothing in them ends.
pub fn block(language: &str, lines: &[impl AsRef<str>], out: &mut String) {
    let lines: Vec<Cow<'_, str>> = lines.iter().map(|line| clean(line.as_ref())).collect();
    let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    *out += &format!("{fence}{language}\n");
    for line in lines {
        out.push_str(&line);
        out.push('\n');
    }
    *out += &format!("{fence}\n");
}

/// A table of cells that are Markdown already; nothing without rows.
pub fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>, out: &mut String) {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return;
    }
    *out += &format!("| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for row in rows {
        *out += &format!("| {} |\n", row.join(" | "));
    }
}

/// What may be seen of a text.
fn shown(text: &str, reveal: bool) -> String {
    let text = mask::sentence(text);
    let text = if reveal { Cow::Borrowed(text) } else { mask::text(text) };
    clean(&text).into_owned()
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

fn code_of(text: &str) -> String {
    // Within a table a bar ends the cell even here, and the ways around that differ between readers.
    if text.is_empty() || text.trim().is_empty() || text.contains(['|', '\\']) {
        return if text.trim().is_empty() { "\"\"".into() } else { escaped(text) };
    }
    let fence = "`".repeat(longest_run(text) + 1);
    // One blank on each side is taken away again.
    let pad = text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']);
    let pad = if pad { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// The name behind an `@` that a tracker would notify, as of a person or a team: escaping does not keep it from that, only
/// being code does.
fn mention(before: Option<char>, c: char, rest: &str) -> Option<&str> {
    let follows = c == '@' && !before.is_some_and(|before| before.is_ascii_alphanumeric() || before == '_');
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '/')).unwrap_or(rest.len());
    (follows && rest.starts_with(|c: char| c.is_ascii_alphanumeric())).then_some(&rest[..end])
}

/// Escapes what would form something.
fn escaped(text: &str) -> String {
    let text = text.trim();
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = None;
    let marker = text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let rest = &text[at + c.len_utf8()..];
        if let Some(name) = mention(before, c, rest) {
            out.extend(["`@", name, "`"]);
            // The names are ASCII.
            before = name.chars().next_back();
            chars.nth(name.len() - 1);
            continue;
        }
        let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let first = at == 0 && matches!(c, '-' | '+' | '#' | '=' | ':')
            || (marker == text.len() - at && at < 10 && matches!(c, '.' | ')'));
        let forms = match c {
            '`' | '*' | '[' | ']' | '<' | '>' | '~' | '$' | '^' => true,
            // Between letters it is a part of a name.
            '_' => !inside(before) || !inside(rest.chars().next()),
            '&' => rest.starts_with(|c: char| c == '#' || c.is_alphanumeric()),
            // An address becomes a link by itself.
            ':' => rest.starts_with("//") || first,
            '.' => text[..at].to_ascii_lowercase().ends_with("www") || first,
            _ => first,
        };
        match c {
            // Two marks in a row, one of them a bar, are read in different ways.
            '|' => out.push_str("&#124;"),
            '\\' => out.push_str("&#92;"),
            c if forms => out.extend(['\\', c]),
            c => out.push(c),
        }
        before = Some(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag};

    /// The texts that a document shows, and the elements it has.
    fn read(markdown: &str) -> (Vec<String>, Vec<String>) {
        let (mut texts, mut elements) = (vec![String::new()], Vec::new());
        for event in Parser::new_ext(markdown, Options::all() - Options::ENABLE_SMART_PUNCTUATION) {
            match event {
                Event::Text(text) | Event::Code(text) => texts.last_mut().unwrap().push_str(&text),
                Event::Start(tag) => {
                    if matches!(tag, Tag::TableCell | Tag::Item) {
                        texts.push(String::new());
                    }
                    elements.push(format!("{tag:?}"));
                }
                Event::End(_) => {}
                other => elements.push(format!("{other:?}")),
            }
        }
        texts.remove(0);
        (texts, elements)
    }

    #[test]
    fn what_would_form_something_is_escaped() {
        let shown = |text: &str| super::text(text, true);
        assert_eq!(shown("hard_expires_at is over"), "hard_expires_at is over");
        assert_eq!(
            shown("a | b <img src=x> [x](http://y) *z*"),
            "a &#124; b \\<img src=x\\> \\[x\\](http\\://y) \\*z\\*"
        );
        assert_eq!(shown("- a"), "\\- a");
        assert_eq!(shown("12. a"), "12\\. a");
        assert_eq!(shown("see www.example.com & co"), "see www\\.example.com & co");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(shown("for @org/team-a, not maria@ops-3"), "for `@org/team-a`, not maria@ops-3");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a|b"), "a&#124;b");
        assert_eq!(text("password=hunter22", false), "password=\\*\\*\\*");
        assert_eq!(text("password=hunter22", true), "password=hunter22");
        let mut out = String::new();
        block("json", &["```", "x ````", "# y\u{1b}[2J"], &mut out);
        assert_eq!(out, "`````json\n```\nx ````\n# y\\u{1b}[2J\n`````\n");
    }

    fn hostile() -> impl Strategy<Value = String> {
        let marks: Vec<char> = "`*_[]<>|~$&#\\:!-+=.)(1 ahtpw/@^{}\"'\n\u{1b}".chars().collect();
        prop_oneof![
            crate::clean::hostile(),
            prop::collection::vec(prop::sample::select(marks), 0..30).prop_map(|text| text.into_iter().collect()),
            prop::sample::select(vec![
                "<script>",
                "</td>|",
                "http://x.y",
                "www.x.y",
                "&amp;",
                "|\\|",
                "\\|",
                "> x",
                "```"
            ])
            .prop_map(str::to_owned),
        ]
    }

    proptest! {
        #[test]
        fn nothing_in_a_text_forms_anything(one in hostile(), other in hostile()) {
            let (wanted, beside) = (clean(&one).into_owned(), clean(&other).into_owned());
            let bare = |text: &str| text.trim().trim_matches('\u{a0}').to_owned();
            for (left, right) in [(text(&one, true), text(&other, true)), (code(&one), code(&other))] {
                let mut table = String::new();
                super::table(&["a", "b"], [vec![left.clone(), right]], &mut table);
                let (texts, elements) = read(&table);
                let blank = |text: &str| if bare(text).is_empty() && left == "\"\"" { "\"\"".into() } else { bare(text) };
                prop_assert_eq!(texts.len(), 4, "{}", table);
                prop_assert_eq!(bare(&texts[2]), blank(&wanted), "{}", table);
                prop_assert!(bare(&texts[3]) == bare(&beside) || texts[3] == "\"\"", "{}", table);
                prop_assert!(elements.iter().all(|one| one.starts_with("Table")), "{table} {elements:?}");
                if !bare(&left).is_empty() {
                    let (texts, elements) = read(&format!("- {left}\n"));
                    prop_assert_eq!(bare(&texts.concat()), blank(&wanted), "{}", left);
                    prop_assert_eq!(elements.len(), 2, "{} {:?}", left, elements);
                }
            }
        }

        #[test]
        fn nothing_in_a_block_ends_it(lines in prop::collection::vec(hostile(), 1..5)) {
            let mut out = "- x\n\n".to_owned();
            block("", &lines, &mut out);
            out += "end\n";
            let mut blocks = 0;
            let mut inside = String::new();
            let mut within = false;
            for event in Parser::new_ext(&out, Options::all() - Options::ENABLE_SMART_PUNCTUATION) {
                match event {
                    Event::Start(Tag::CodeBlock(_)) => (blocks, within) = (blocks + 1, true),
                    Event::End(pulldown_cmark::TagEnd::CodeBlock) => within = false,
                    Event::Text(text) if within => inside.push_str(&text),
                    _ => {}
                }
            }
            let wanted: String = lines.iter().map(|line| clean(line).into_owned() + "\n").collect();
            prop_assert_eq!((blocks, inside), (1, wanted));
        }
    }
}
