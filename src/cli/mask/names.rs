//! Which names say that their value is a secret: in any case and spelling (`access_key`, `accessKey`, `ACCESS-KEY`), in other
//! languages, and in letters that only look like Latin ones.

mod lists;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;

use lists::{ABOUT, COUNTED, IDS, OF_IT, PARTS, SHAPED, WEAK, WORDS};

/// How sure a name makes it that its value is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It says nothing.
    None,
    /// It may hold one (`signature`, `refresh`): only what looks random is.
    Shaped,
    /// It may hold one (`auth`, `card`, `session`): text and numbers are, what is inside a container has names of its own.
    Weak,
    /// Whatever it holds is one.
    Strong,
}

/// Judged names are kept, because payloads repeat them a million times over.
const KEPT: usize = 2048;
/// A longer name is a sentence, of which both ends are looked at.
const LONGEST: usize = 96;

thread_local! {
    static JUDGED: RefCell<HashMap<String, Weight>> = RefCell::new(HashMap::new());
}

/// Judges a name.
pub fn weight(name: &str) -> Weight {
    if name.len() < 3 {
        return if name.eq_ignore_ascii_case("pw") { Weight::Strong } else { Weight::None };
    }
    if name.len() > LONGEST {
        let cut = |at: usize| (0..=at).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        return weight(&name[..cut(LONGEST / 2)]).max(weight(&name[cut(name.len() - LONGEST / 2)..]));
    }
    JUDGED.with_borrow_mut(|judged| {
        if let Some(known) = judged.get(name) {
            return *known;
        }
        let found = judge(name);
        if judged.len() >= KEPT {
            judged.clear();
        }
        judged.insert(name.to_owned(), found);
        found
    })
}

fn judge(name: &str) -> Weight {
    let (flat, words) = split(name);
    let last = words.last().map_or("", String::as_str);
    let before = words.len().checked_sub(2).map_or("", |at| words[at].as_str());
    let contains = |parts: &[&str]| parts.iter().any(|part| flat.contains(part));
    // `aws_access_key_id` is half of a credential; other ids are just names.
    if words.len() > 1 && words.iter().any(|word| word == "require") {
        return Weight::None;
    }
    if words.len() > 1 && (ABOUT.contains(&last) || (last == "id" && !contains(IDS) && !WEAK_IDS.contains(&before))) {
        return Weight::None;
    }
    let secret = flat.match_indices("secret").any(|(at, _)| !flat[at..].starts_with("secretar"));
    let authorization = ["authorization", "authorizationheader", "authorizationcode"];
    let token = match last {
        "token" | "tok" => !COUNTED.contains(&before),
        "tokens" => ["access", "refresh", "api", "auth", "bearer", "session"].contains(&before),
        "value" => before == "token",
        _ => {
            flat.ends_with("token")
                && flat != "fencingtoken"
                && !COUNTED.iter().any(|word| flat == format!("{word}token"))
        }
    };
    let word = words.iter().any(|word| WORDS.contains(&word.as_str()));
    if secret
        || token
        || word
        || flat == "clave"
        || contains(PARTS)
        || (flat.ends_with("pwd") && flat.len() < 16)
        || (contains(&["cookie"]) && (last.ends_with("cookie") || last.ends_with("cookies")))
        || authorization.iter().any(|tail| flat.ends_with(tail))
    {
        return Weight::Strong;
    }
    let weak = WEAK.contains(&last) || (OF_IT.contains(&last) && WEAK.contains(&before)) || flat == "sessionid";
    if weak {
        Weight::Weak
    } else if SHAPED.contains(&last) {
        Weight::Shaped
    } else {
        Weight::None
    }
}

/// Whose id is as good as the thing.
const WEAK_IDS: &[&str] = &["session", "sess", "php", "j"];

/// In a URL's query, or a form: short names that mean nothing elsewhere.
pub fn query_weight(name: &str) -> Weight {
    let (flat, _) = split(name);
    let known = [
        "code",
        "key",
        "sig",
        "signature",
        "hmac",
        "hash",
        "auth",
        "sid",
        "pw",
        "p",
        "passw",
        "xamzsignature",
        "xamzcredential",
        "xamzsecuritytoken",
        "xgoogsignature",
        "xgoogcredential",
        "otp",
        "ticket",
        "assertion",
        "samlresponse",
        "st",
        "jwt",
    ];
    if known.contains(&flat.as_str()) && flat != "p" { Weight::Strong } else { weight(name) }
}

/// The name without separators in lower-case letters as much like Latin ones as can be, and its words.
fn split(name: &str) -> (String, Vec<String>) {
    let (mut flat, mut words): (String, Vec<String>) = (String::new(), Vec::new());
    let mut fresh = true;
    let mut upper = false;
    let chars: Vec<char> = name.chars().collect();
    for (at, &c) in chars.iter().enumerate() {
        if invisible(c) {
            continue;
        }
        if !c.is_alphanumeric() && !is_mark(c) {
            fresh = true;
            upper = false;
            continue;
        }
        // `DBPassword`: the last capital before small letters begins a word, too.
        let begins =
            c.is_uppercase() && (!upper || chars.get(at + 1).is_some_and(|next| next.is_lowercase()) && at > 0);
        if fresh || begins {
            words.push(String::new());
        }
        (fresh, upper) = (false, c.is_uppercase());
        let mut push = |c: char| {
            flat.push(c);
            if let Some(word) = words.last_mut() {
                word.push(c);
            }
        };
        if let Some(latin) = latin(c) {
            push(latin);
        } else if !is_combining(c) {
            c.to_lowercase().for_each(push);
        }
    }
    // A word in another script must not be torn apart by letters that look Latin.
    if !name.is_ascii() {
        let own: String =
            name.chars().filter(|c| c.is_alphanumeric() || is_mark(*c)).flat_map(char::to_lowercase).collect();
        flat.push(' ');
        flat += &own;
    }
    (flat, words)
}

/// Vowel signs that belong to a word without being letters.
fn is_mark(c: char) -> bool {
    is_combining(c) || matches!(c, '\u{900}'..='\u{963}' | '\u{e31}'..='\u{e4e}')
}

/// Characters that take no room and part no words.
pub fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Whether a value is none of a secret, though its name (judged to be `judged`) says so.
pub fn harmless(name: &str, judged: Weight, value: &str) -> bool {
    let value = value.trim_matches(['"', '\'', ' ']);
    if judged == Weight::Shaped {
        return !random(value);
    }
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let first = |word: &str| name.len() < LONGEST && name.to_ascii_lowercase().starts_with(word);
    // Too short for what is a secret in a query only.
    if value.len() <= 2 && judged == Weight::Strong && weight(name) == Weight::None {
        return true;
    }
    // A file; a working directory; a row's number; a postal code of India.
    is_file(value)
        || (name.eq_ignore_ascii_case("pwd") && (value.starts_with(['/', '~']) || value.get(1..3) == Some(":\\")))
        || (digits && value.len() <= 6 && judged <= Weight::Weak && (first("session") || first("sid")))
        || (digits && value.len() == 6 && (first("pin_code") || first("pincode")))
}

/// Whether it names an SQLite file, and nothing in it can be a password.
pub fn is_file(value: &str) -> bool {
    value.strip_prefix("sqlite:").is_some_and(|path| !path.contains(['@', '?', '=']))
}

/// Letters and digits in one word, too mixed to be one of a language.
fn random(value: &str) -> bool {
    value.len() >= 8
        && value.bytes().any(|byte| byte.is_ascii_digit())
        && value.bytes().any(|byte| byte.is_ascii_alphabetic())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_-.~".contains(&byte))
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// The Latin letter that `c` is a variant of, or looks like.
fn latin(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c.to_ascii_lowercase());
    }
    if let '\u{ff01}'..='\u{ff5e}' = c {
        return char::from_u32(u32::from(c) - 0xfee0).map(|c| c.to_ascii_lowercase());
    }
    Some(match c.to_lowercase().next().unwrap_or(c) {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ạ' | 'ả' | 'ấ' | 'ầ' | 'ẩ' | 'ẫ' | 'ậ' | 'ắ' | 'ằ' | 'а' | 'α' | 'ɑ' => {
            'a'
        }
        'ç' | 'ć' | 'č' | 'с' | 'ϲ' => 'c',
        'è'..='ë' | 'ē' | 'ę' | 'ě' | 'е' | 'ё' | 'ε' => 'e',
        'ì'..='ï' | 'ī' | 'ı' | 'і' | 'ї' | 'ι' => 'i',
        'ñ' | 'ń' | 'ň' => 'n',
        'ò'..='ö' | 'ø' | 'ő' | 'ō' | 'о' | 'ο' | 'ơ' => 'o',
        'ù'..='ü' | 'ū' | 'ů' | 'ű' | 'ư' => 'u',
        'ý' | 'ÿ' | 'у' => 'y',
        'ł' => 'l',
        'ś' | 'š' | 'ş' | 'ѕ' => 's',
        'ź' | 'ž' | 'ż' => 'z',
        'р' | 'ρ' => 'p',
        'ԁ' => 'd',
        'ѡ' | 'ԝ' => 'w',
        'к' | 'κ' => 'k',
        'т' | 'τ' => 't',
        'х' | 'χ' => 'x',
        _ => return None,
    })
}
