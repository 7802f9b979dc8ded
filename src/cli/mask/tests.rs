//! How much is hidden of what must be, and how little of what need not be, on lists of both; and what holds of every text.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Letters and digits that look random and are always the same.
struct Letters(u64);

impl Letters {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn text(&mut self, alphabet: &[u8], count: usize) -> String {
        (0..count).map(|_| char::from(alphabet[self.below(alphabet.len())])).collect()
    }

    fn of(&mut self, kind: char, count: usize) -> String {
        match kind {
            'h' => self.text(b"0123456789abcdef", count),
            'n' => self.text(b"123456789", count),
            'u' => self.text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", count),
            _ => self.text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", count),
        }
    }
}

/// The lines of a list, with `{a40}` filled in.
fn lines(list: &str) -> Vec<String> {
    let holes = regex::Regex::new(r"\{([ahnu])(\d+)\}").unwrap();
    let mut letters = Letters(7);
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines
        .map(|line| {
            let line = line
                .replace("{zw}", "\u{200b}")
                .replace("\\r", "\r")
                .replace("\\\\n", "\u{1}")
                .replace("\\n", "\n")
                .replace('\u{1}', "\\n");
            holes
                .replace_all(&line, |hole: &regex::Captures<'_>| {
                    letters.of(hole[1].chars().next().unwrap(), hole[2].parse().unwrap())
                })
                .into_owned()
        })
        .collect()
}

/// A shape, and the secrets in it.
fn shapes() -> Vec<(String, Vec<String>)> {
    let marked = regex::Regex::new("(?s)«(.*?)»").unwrap();
    lines(include_str!("secrets.txt"))
        .into_iter()
        .map(|line| {
            let secrets = marked.captures_iter(&line).map(|found| found[1].to_owned()).collect();
            (line.replace(['«', '»'], ""), secrets)
        })
        .collect()
}

/// Harmless values: the list, and ids, hashes, times and cursors of many kinds.
fn harmless() -> Vec<String> {
    let mut all = lines(include_str!("harmless.txt"));
    let mut letters = Letters(11);
    for at in 0..60 {
        let mut hex = |count| letters.of('h', count);
        all.push(format!("{}-{}-4{}-a{}-{}", hex(8), hex(4), hex(3), hex(3), hex(12)));
        all.push(hex(64));
        all.push(format!("order-{}", hex(8)));
        all.push(letters.of('n', 6 + at % 13));
        all.push(letters.of('a', 21));
        all.push(format!("{}==", letters.of('a', 22)));
        all.push(format!("{{\"id\":\"{}\",\"cursor\":\"{}\"}}", letters.of('a', 16), letters.of('a', 40)));
        all.push(format!("2026-{:02}-{:02}T{:02}:{:02}:00Z", 1 + at % 12, 1 + at % 28, at % 24, at));
    }
    all
}

#[test]
fn most_shapes_of_secrets_are_hidden() {
    let shapes = shapes();
    assert!(shapes.len() >= 400, "{}", shapes.len());
    let seen: Vec<String> = shapes
        .iter()
        .filter_map(|(text, secrets)| {
            assert!(!secrets.is_empty(), "{text}: nothing is marked");
            let shown = super::text(text);
            let was_json = text.starts_with(['{', '[']) && serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert!(
                !was_json || serde_json::from_str::<serde_json::Value>(&shown).is_ok(),
                "{shown} is no JSON any more"
            );
            let leaks = secrets.iter().any(|secret| shown.contains(secret.as_str()));
            leaks.then(|| format!("{text:?} reads {shown:?}"))
        })
        .collect();
    let hidden = shapes.len() - seen.len();
    assert!(hidden * 100 >= shapes.len() * 95, "{hidden} of {}:\n{}", shapes.len(), seen.join("\n"));
    // Those known to be seen: a word after a word, without anything that tells.
    assert!(seen.len() <= 8, "{} of {} are seen:\n{}", seen.len(), shapes.len(), seen.join("\n"));
}

#[test]
fn a_file_is_no_secret_whatever_names_it() {
    for text in [
        "sen --database-url sqlite:x.db reconcile a:b",
        "DATABASE_URL=sqlite:/srv/sen demo.db",
        "sen --database-url sqlite:./x.db",
    ] {
        assert_eq!(super::text(text), text);
    }
    assert!(!super::text("DATABASE_URL=mysql:u:hunter22secret@h").contains("hunter22secret"));
}

#[test]
fn harmless_values_stay_as_they_are() {
    let all = harmless();
    assert!(all.len() >= 800, "{}", all.len());
    let changed: Vec<String> = all
        .iter()
        .filter_map(|text| match super::text(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(shown) => Some(format!("{text:?} reads {shown:?}")),
        })
        .collect();
    assert!(changed.len() * 100 < all.len(), "{} of {}:\n{}", changed.len(), all.len(), changed.join("\n"));
    assert!(changed.len() <= 2, "{}", changed.join("\n"));
}

/// The literals of the sources that are sentences, with a number for what is filled in.
fn sentences(folder: &std::path::Path, out: &mut Vec<String>) {
    let literal = regex::Regex::new(r#"(?s)"((?:[^"\\]|\\.)*)""#).unwrap();
    let sentence = regex::Regex::new("[a-z]{2} [a-z]").unwrap();
    let hole = regex::Regex::new(r"\{[a-z_0-9]*(:[^}]*)?\}").unwrap();
    let broken = regex::Regex::new(r"\\\n\s*").unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            sentences(&path, out);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            let source = std::fs::read_to_string(&path).unwrap();
            let code = source.split("#[cfg(test)]").next().unwrap();
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for found in literal.captures_iter(&code.join("\n")) {
                let text = broken.replace_all(&found[1], "").replace("\\n", "\n").replace("\\\"", "\"");
                if sentence.is_match(&text) {
                    out.push(hole.replace_all(&text, "7").into_owned());
                }
            }
        }
    }
}

#[test]
fn the_programs_own_sentences_lose_no_words() {
    let mut all = Vec::new();
    for folder in ["core", "systems", "stores", "model"] {
        sentences(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder), &mut all);
    }
    assert!(all.len() >= 1000, "{}", all.len());
    // What a server says is compared, not shown.
    let own = all.iter().filter(|text| !text.starts_with("AUTH <password>"));
    let changed: Vec<String> = own
        .filter(|text| super::text(text) != text.as_str())
        .map(|text| format!("{text:?} reads {:?}", super::text(text)))
        .collect();
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

#[test]
fn only_the_values_change() {
    let text = r#"{ "b":1e400, "a":1.10, "password" : {"x":["}",{}]} ,"a":2,"Token":"t\"}", "n":[{"cvv":123},{"secret":[1,2]}], "api_key":null,"ssn":7}"#;
    let want = r#"{ "b":1e400, "a":1.10, "password" : "***" ,"a":2,"Token":"***", "n":[{"cvv":"***"},{"secret":"***"}], "api_key":null,"ssn":"***"}"#;
    assert_eq!(mask(text), want);
    assert_eq!(mask(r#"{"pass\u0077ord":"x"}"#), r#"{"pass\u0077ord":"***"}"#);
    let cases = [
        ("user=bob, password=x, host=h", "user=bob, password=***, host=h"),
        ("postgres://u:p@h:5432/d?sslmode=require", "postgres://u:***@h:5432/d?sslmode=require"),
        ("curl -H 'Authorization: Bearer x' https://h", "curl -H 'Authorization: ***' https://h"),
        (r#"{"body":"{\"password\":\"x\",\"n\":1}"}"#, r#"{"body":"{\"password\":\"***\",\"n\":1}"}"#),
        ("{'password': 'x', 'n': 1}", "{'password': '***', 'n': 1}"),
        ("<a><password>x</password><n>1</n></a>", "<a><password>***</password><n>1</n></a>"),
        (r#"[{"name":"password","value":"x","n":1}]"#, r#"[{"name":"password","value":"***","n":1}]"#),
    ];
    for (text, want) in cases {
        assert_eq!(super::text(text), want);
    }
}

#[test]
fn clean_documents_are_passed_by_reference() {
    for text in
        [r#"{"fencing_token":7,"note":"a b"}"#, r#""password""#, r#"["secret","token"]"#, "", "{", r#"{"a\"b":1}"#]
    {
        assert!(matches!(mask(text), Cow::Borrowed(_)), "{text} was copied");
    }
}

#[test]
fn depth_and_size_cost_no_stack() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(mask(&format!(r#"{{"secret":{deep},"k":1}}"#)), r#"{"secret":"***","k":1}"#);
    let nested = format!("{}{}{}", r#"{"a":"#.repeat(100_000), r#"{"token":"x"}"#, "}".repeat(100_000));
    assert!(mask(&nested).contains(r#"{"token":"***"}"#));
    let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(mask(&long), r#"{"token":"***"}"#);
}

/// The time this thread has spent at work: how busy the machine is does not count.
fn spent() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap(), u32::try_from(spent.tv_nsec).unwrap())
}

/// Texts made to be slow: sixty-four times as much must not take anything like four thousand times as long.
#[test]
fn time_is_linear() {
    let pieces = [
        "password",
        "password=",
        "password: ",
        "password:",
        "auth:",
        "auth: a ",
        "token,",
        "a://",
        "a://b:c/",
        "<password ",
        "<password>",
        "\"",
        "\\\"",
        "'password',",
        "-----BEGIN ",
        "-----BEGIN X PRIVATE",
        "=",
        "?key=&",
        "name=password ",
        "4111 ",
        "DE89 ",
        "Bearer ",
        "--password ",
        "{\"password\":",
        "[",
        "{",
        "key: token\n",
        "\n",
        "password: [",
        "password: (",
        "a,",
        "is ",
        "password is ",
        "token:token",
        "\\\\\\\"",
        "{\"a\":\"",
        "[\"--p\",",
        "é",
        "\"name\":\"token\",",
        "password) values (),",
        "(password) values ('",
        "thin:",
        "Private-Lines ",
        "your code is ",
        "|password|",
        "token \"",
        "token \\\"token '",
        "password '\\",
        "%22password",
        "password%3D",
        "&quot;password",
        "identified by '",
        "password=a(\"",
        "password for ",
        "<input type=password ",
        "\"tokens\":{\"",
        "a b=c \"",
    ];
    let mut slow = Vec::new();
    for piece in pieces {
        let took = |count: usize| {
            let text = piece.repeat(count / piece.len());
            (0..2)
                .map(|_| {
                    let start = spent();
                    drop(super::text(&text));
                    drop(mask(&text));
                    spent() - start
                })
                .min()
                .unwrap()
        };
        let (small, large) = (took(1 << 12), took(1 << 18));
        let bound = small * 500 + Duration::from_millis(100);
        slow.extend((large >= bound).then(|| format!("{piece:?}: {small:?}, then {large:?}")));
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

#[test]
fn known_passwords_are_scrubbed_from_messages() {
    let known = ["swordfish-9".to_owned(), "demo".to_owned(), "ab".to_owned()];
    let of = |text: &'static str| scrub(Cow::Borrowed(text), &known).into_owned();
    assert_eq!(of("ERR AUTH swordfish-9 called"), "ERR AUTH *** called");
    assert_eq!(of("xswordfish-9x"), "x***x");
    assert_eq!(of("role demo, democracy, ab"), "role ***, democracy, ab");
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        crate::clean::hostile().prop_map(Into::into),
        Just("password=x".into()),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let name = prop_oneof![
            crate::clean::hostile(),
            Just("password".to_owned()),
            Just("apiKey".to_owned()),
            Just("name".to_owned()),
            Just("value".to_owned()),
            Just("a".to_owned())
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::Array),
            prop::collection::vec((name, inner), 0..6)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Whether `masked` is `value` with some of it replaced: nothing else has changed, and nothing under a secret's name is left.
fn agrees(value: &serde_json::Value, masked: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Object, String};
    match (value, masked) {
        _ if value == masked => match value {
            Array(items) => items.iter().zip(items).all(|(one, other)| agrees(one, other)),
            Object(fields) => fields.iter().all(|(name, value)| {
                let nothing = value.is_null() || value.is_boolean() || value == "" || value == MASK;
                (names::weight(name) < names::Weight::Strong || nothing) && agrees(value, value)
            }),
            _ => true,
        },
        (_, String(text)) if text == MASK => true,
        (String(_), String(text)) => text.contains(MASK),
        (Array(left), Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| agrees(left, right))
        }
        (Object(left), Object(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|((name, left), (other, right))| {
                    let nothing = left.is_null() || left.is_boolean() || left == "";
                    name == other
                        && if names::weight(name) == names::Weight::Strong && !nothing {
                            right == MASK
                        } else {
                            agrees(left, right)
                        }
                })
        }
        _ => false,
    }
}

fn soup() -> impl Strategy<Value = String> {
    let pieces: Vec<&'static str> = vec![
        "password",
        "token",
        "auth",
        "name",
        "value",
        "key",
        "Bearer ",
        "Authorization: ",
        "=",
        ": ",
        ":",
        ", ",
        "; ",
        "&",
        "?",
        "\"",
        "'",
        "\\\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "<",
        ">",
        "</",
        "://",
        "@",
        "\n",
        "\r\n",
        " ",
        "-----BEGIN PRIVATE KEY-----",
        "-----END",
        "4111111111111111",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
        "--password ",
        "-p",
        "mysql ",
        "hunter2",
        "***",
        "é",
        "密码",
        "7",
        "null",
        "is ",
        "redis",
        "/",
        "#",
        "%",
        "x1",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn json_stays_json_and_the_rest_as_it_was(value in document(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let masked = serde_json::from_str::<serde_json::Value>(&mask(&text)).unwrap();
        prop_assert!(agrees(&value, &masked), "{text}\n{masked}");
    }

    #[test]
    fn to_mask_again_changes_nothing(text in prop_oneof![soup(), crate::clean::hostile()]) {
        let once = super::text(&text).into_owned();
        prop_assert_eq!(super::text(&once), once.as_str());
        let json = mask(&text).into_owned();
        prop_assert_eq!(mask(&json), json.as_str());
    }

    #[test]
    fn it_hardly_grows(text in soup()) {
        prop_assert!(super::text(&text).len() <= 3 * text.len() + 8);
    }

    #[test]
    fn words_without_any_sign_are_left_alone(text in "[a-z]{1,9}( [a-z]{1,9}){0,8}") {
        prop_assert!(matches!(super::text(&text), Cow::Borrowed(_)), "{}", super::text(&text));
    }

    #[test]
    fn a_password_never_shows(before in soup(), name in "(password|DB_PASSWORD|apiKey|client_secret)", secret in "[A-Za-z0-9]{8,20}") {
        let secret = format!("Q7{secret}");
        for text in [
            format!("{before} {name}={secret}"),
            format!("{{\"a\":1,\"{name}\":\"{secret}\"}}"),
            format!("{before}\nx {name}=\"{secret}\" y"),
            format!("https://h/?{name}={secret}&a=1"),
            format!("{{'{name}': '{secret}'}}"),
        ] {
            // What stands before may have opened a quotation that never ends.
            if !before.contains(['"', '\'', '\\', '`', '<', '(', '[', '{', '=', ':', '-', '?', '&']) {
                prop_assert!(!super::text(&text).contains(&secret), "{text}");
            }
        }
    }
}
