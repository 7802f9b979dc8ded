//! Dead letters of every system: work that failed permanently, and groups of those that failed alike. Pure.
//!
//! Two dead letters are alike when their step is the same and their errors are, once ids, numbers and quoted values are folded
//! away: [`normalize_error`].

use crate::columns;
use crate::time::Timestamp;
use crate::value::Value;

/// The state of a dead letter that can be replayed, in every system.
pub const REPLAYABLE: &str = "replayable";

/// One dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// The system's name.
    pub system: &'static str,
    /// What it is there: `orchestrator`, `activity`, `outbox`, `inbox`, `agent_task`.
    pub kind: &'static str,
    /// Its id there.
    pub id: String,
    /// What was to be done: a step's, message's or task's name.
    pub step: String,
    /// Why it failed permanently, as the system wrote it.
    pub error: Option<String>,
    /// When.
    pub died_at: Option<Timestamp>,
    /// The queue it was in.
    pub queue: Option<String>,
    /// What it belongs to.
    pub parent: Option<Parent>,
    /// The group of those that died alike; see [`group_id`].
    pub group: String,
    /// How often it was tried.
    pub attempts: Option<i64>,
    /// [`REPLAYABLE`], or why it cannot be replayed: `execution_gone`, …
    pub replayability: &'static str,
    /// What a person should know of it.
    pub note: Option<String>,
    /// Its payload: JSON text.
    pub payload: Option<String>,
}

impl Letter {
    /// Whether it can be replayed.
    pub fn is_replayable(&self) -> bool {
        self.replayability == REPLAYABLE
    }
}

/// What a dead letter belongs to, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parent {
    /// An execution.
    Execution(String),
    /// A saga.
    Saga(String),
    /// What a saga is about, where the saga itself is not known.
    Aggregation(String),
    /// A tenant.
    Tenant(String),
}

/// Letters of one step that died of the same error.
#[derive(Debug, Clone, PartialEq)]
pub struct LetterGroup {
    /// The system's name.
    pub system: &'static str,
    /// Names the group in commands; see [`group_id`].
    pub id: String,
    /// The step.
    pub step: String,
    /// The error with what differs from letter to letter folded away.
    pub error: String,
    /// How many.
    pub count: u64,
    /// When the first of them died.
    pub first: Option<Timestamp>,
    /// When the last of them died.
    pub last: Option<Timestamp>,
    /// The id of one of them.
    pub sample: String,
    /// How many of them can be replayed, where that is known.
    pub replayable: Option<u64>,
    /// What a person should know of some of them.
    pub note: Option<String>,
}

impl LetterGroup {
    /// Puts what can be replayed, as far as is known, before what cannot, and of these the largest first.
    pub fn sort(groups: &mut [Self]) {
        groups.sort_by_key(|group| (group.replayable == Some(0), std::cmp::Reverse(group.count)));
    }
}

columns! {
    /// The columns of a list of letters.
    pub LETTER_COLUMNS,
    /// A letter under them.
    pub fn letter_row(letter: Letter) {
        // What it belongs to has the name that it has everywhere else.
        let (mut execution, mut saga, mut aggregation, mut tenant) = (Value::Null, Value::Null, Value::Null, Value::Null);
        match letter.parent {
            Some(Parent::Execution(id)) => execution = Value::Text(id),
            Some(Parent::Saga(id)) => saga = Value::Text(id),
            Some(Parent::Aggregation(id)) => aggregation = Value::Text(id),
            Some(Parent::Tenant(id)) => tenant = Value::Text(id),
            None => {}
        }
    }
    "id", "ID", Whole => Value::Text(letter.id);
    "system", "SYSTEM", Wide => Value::Name(letter.system);
    "kind", "KIND", Wide => Value::Name(letter.kind);
    "step", "STEP", Short => Value::Text(letter.step);
    "error", "ERROR", Short => Value::text(letter.error);
    "died_at", "DIED", Whole => Value::time(letter.died_at);
    "attempts", "TRIES", Wide => letter.attempts.map_or(Value::Null, Value::Int);
    "queue", "QUEUE", Wide => Value::text(letter.queue);
    "execution_id", "EXECUTION", Wide => execution;
    "saga_id", "SAGA", Asked => saga;
    "aggregation_id", "AGGREGATION", Asked => aggregation;
    "tenant_id", "TENANT", Asked => tenant;
    "state", "STATE", Whole => Value::Name(letter.replayability);
    "group", "GROUP", Asked => Value::Text(letter.group);
    "note", "NOTE", Asked => Value::text(letter.note);
    "payload", "PAYLOAD", Asked => Value::json(letter.payload);
}

columns! {
    /// The columns of a list of groups.
    pub GROUP_COLUMNS,
    /// A group under them.
    pub fn group_row(group: LetterGroup) {
        let count = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
    }
    "group", "GROUP", Whole => Value::Text(group.id);
    "system", "SYSTEM", Wide => Value::Name(group.system);
    "count", "COUNT", Whole => count(group.count);
    "step", "STEP", Short => Value::Text(group.step);
    "error", "ERROR", Short => Value::Text(group.error);
    "first_died_at", "FIRST", Wide => Value::time(group.first);
    "last_died_at", "LAST", Whole => Value::time(group.last);
    "replayable", "REPLAYABLE", Whole => group.replayable.map_or(Value::Null, count);
    "note", "NOTE", Wide => Value::text(group.note);
    "sample_id", "SAMPLE", Wide => Value::Text(group.sample);
}

/// The length of an error by which errors are grouped.
const TELLING: usize = 300;

/// The first `most` bytes, or a little less where that would split a character.
fn beginning(text: &str, most: usize) -> &str {
    &text[..(0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)]
}

/// The length of an error that is read: it may be of any size.
const READ: usize = 64 << 10;

/// The error without what differs from letter to letter: numbers become `<n>`, ids `<id>`, quoted values `'…'`; white space
/// is one blank. At most [`TELLING`] characters.
pub fn normalize_error(error: &str) -> String {
    let error = beginning(error, READ);
    let mut out = String::with_capacity(error.len().min(TELLING + 16));
    let mut rest = error.trim_start();
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        if out.len() > TELLING {
            let cut = (0..=TELLING).rev().find(|at| out.is_char_boundary(*at)).unwrap_or(0);
            out.truncate(cut);
            out.push('…');
            break;
        }
        if let Some(length) = uuid(rest) {
            out.push_str("<id>");
            (rest, before) = (&rest[length..], '0');
        } else if first.is_ascii_alphanumeric() {
            let length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
            let (word, after) = rest.split_at(length);
            fold_word(word, &mut out);
            (rest, before) = (after, 'a');
        } else if let Some(length) = quoted(first, before, rest) {
            out.push(first);
            out.push('…');
            out.push(first);
            (rest, before) = (&rest[length..], first);
        } else if first.is_whitespace() {
            let after = rest.trim_start();
            if !after.is_empty() {
                out.push(' ');
            }
            (rest, before) = (after, ' ');
        } else {
            out.push(first);
            (rest, before) = (&rest[first.len_utf8()..], first);
        }
    }
    // A number with a fraction, thousands or a clock is one number.
    for joint in ["<n>.<n>", "<n>,<n>", "<n>:<n>"] {
        while let Some(at) = out.find(joint) {
            out.replace_range(at..at + joint.len(), "<n>");
        }
    }
    out
}

/// The name of the group of letters of `step` that died of `folded`: short, and the same everywhere and always.
pub fn group_id(step: &str, folded: &str) -> String {
    // FNV-1a: a checksum, no secret.
    let bytes = step.bytes().chain([0]).chain(folded.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{:010x}", hash >> 24)
}

/// The length of the UUID that `text` begins with.
fn uuid(text: &str) -> Option<usize> {
    let shape = text.as_bytes().get(..36)?;
    let fits = shape.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    let ends = text.as_bytes().get(36).is_none_or(|next| !next.is_ascii_alphanumeric());
    (fits && ends).then_some(36)
}

/// The length of the quotation that `text` begins with. An apostrophe inside a word (`don't`) opens none.
fn quoted(first: char, before: char, text: &str) -> Option<usize> {
    if !matches!(first, '\'' | '"' | '`') || before.is_alphanumeric() {
        return None;
    }
    let inner = beginning(&text[1..], 512);
    let end = inner.match_indices(first).map(|(at, _)| at).find(|at| {
        // The closing one is not followed by a letter: `'it's'`.
        inner[at + 1..].chars().next().is_none_or(|next| !next.is_alphanumeric())
    })?;
    (end <= 500).then_some(end + 2)
}

fn fold_word(word: &str, out: &mut String) {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let hexadecimal = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits == 0 {
        out.push_str(word);
    } else if digits == word.len() && digits < 20 {
        out.push_str("<n>");
    } else if word.starts_with("0x") || (word.len() >= 8 && (hexadecimal || digits >= 3)) || word.len() >= 20 {
        out.push_str("<id>");
    } else {
        let mut number = false;
        for letter in word.chars() {
            if !letter.is_ascii_digit() {
                out.push(letter);
            } else if !number {
                out.push_str("<n>");
            }
            number = letter.is_ascii_digit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_beginning_of_an_error_is_folded() {
        for piece in [" ", "x", "'", "'a ", "7", "\"b "] {
            assert!(normalize_error(&piece.repeat(16 << 20)).len() < 1 << 17, "{piece}");
        }
    }

    #[test]
    fn what_differs_is_folded_away() {
        let cases = [
            ("provider unreachable for order-77 after 3000 ms", "provider unreachable for order-<n> after <n> ms"),
            ("no row 3f2a8c1e-9d1c-4e5f-8a2b-3c4d5e6f7a8b here", "no row <id> here"),
            ("key 'cus_19' is not in \"eu\"", "key '…' is not in \"…\""),
            ("can't reach it, don't know", "can't reach it, don't know"),
            ("[Errno None] None: None -> None", "[Errno None] None: None -> None"),
            ("took 1.5 s at 10:20:30, 1,000 left", "took <n> s at <n>, <n> left"),
            ("object at 0x7f3a2b, sha deadbeef01", "object at <id>, sha <id>"),
            ("  two\n  lines\t", "two lines"),
            ("v2 of utf8 refused", "v<n> of utf<n> refused"),
            ("'open", "'open"),
            ("", ""),
        ];
        for (error, folded) in cases {
            assert_eq!(normalize_error(error), folded, "{error:?}");
        }
        assert!(normalize_error(&"wörter ".repeat(500)).chars().count() <= TELLING + 1);
    }

    #[test]
    fn groups_have_names() {
        assert_eq!(group_id("a", "b").len(), 10);
        assert_eq!(group_id("a", "b"), group_id("a", "b"));
        assert_ne!(group_id("a", "b"), group_id("ab", ""));
    }

    proptest! {
        #[test]
        fn any_text_is_folded(error in "\\PC{0,80}", number in 0_u32..1000) {
            drop(normalize_error(&error));
            prop_assert_eq!(normalize_error(&format!("order {number} lost")), "order <n> lost");
        }
    }
}
