//! Which names say that their value is a secret: in any case and spelling (`access_key`, `accessKey`, `ACCESS-KEY`), in other
//! languages, and in letters that only look like Latin ones.

use std::cell::RefCell;
use std::collections::HashMap;

/// How sure a name makes it that its value is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It says nothing.
    None,
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

/// Anywhere in a name, whatever stands around them.
const PARTS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "kennwort",
    "zugangsdaten",
    "privatekey",
    "apikey",
    "accesskey",
    "signingkey",
    "encryptionkey",
    "decryptionkey",
    "masterkey",
    "sharedkey",
    "accountkey",
    "authkey",
    "licensekey",
    "licencekey",
    "sshkey",
    "hmackey",
    "aeskey",
    "jwtkey",
    "appkey",
    "servicekey",
    "subscriptionkey",
    "publishablekey",
    "stripekey",
    "sendgridkey",
    "credential",
    "cardnumber",
    "cardnum",
    "cardno",
    "ccnumber",
    "ccnum",
    "creditcard",
    "debitcard",
    "connectionstring",
    "connstring",
    "connstr",
    "sessiontoken",
    "sessionkey",
    "sessionsecret",
    "socialsecurity",
    "mfacode",
    "2facode",
    "twofactorcode",
    "verificationcode",
    "recoverycode",
    "recoverykey",
    "backupcode",
    "onetimecode",
    "seedphrase",
    "accountnumber",
    "accountno",
    "routingnumber",
    "passportn",
    "databaseurl",
    "databaseuri",
    "dburl",
    "dburi",
    "redisurl",
    "brokerurl",
    "amqpurl",
    "mongourl",
    "mongouri",
    "mongodburi",
    "mongodburl",
    "postgresurl",
    "postgresqlurl",
    "mysqlurl",
    "webhookurl",
    "signedurl",
    "connectionurl",
    "connectionuri",
    "jdbcurl",
    "sasurl",
    "reseturl",
    "magiclink",
    "sharedaccess",
    "xhubsignature",
    "stripesignature",
    "hmacsignature",
    "amzsignature",
    "sessid",
    "contrasena",
    "motdepasse",
    "senha",
    "wachtwoord",
    "losenord",
    "salasana",
    "adgangskode",
    "jelszo",
    "lozinka",
    "matkhau",
    "clavesecreta",
    "пароль",
    "парол",
    "секрет",
    "токен",
    "密码",
    "密碼",
    "口令",
    "令牌",
    "密钥",
    "密鑰",
    "パスワード",
    "暗証番号",
    "비밀번호",
    "암호",
    "كلمةالسر",
    "كلمةالمرور",
    "סיסמה",
    "סיסמא",
    "पासवर्ड",
    "รหัสผ่าน",
    "κωδικός",
    "κωδικος",
    "συνθηματικ",
];
/// As a word of its own.
const WORDS: &[&str] = &[
    "pwd",
    "pan",
    "pin",
    "ssn",
    "cvv",
    "cvv2",
    "cvc",
    "cvc2",
    "csc",
    "otp",
    "totp",
    "dsn",
    "jwt",
    "iban",
    "creds",
    "cred",
    "psk",
    "mnemonic",
    "haslo",
    "heslo",
    "sifre",
    "parola",
    "cookie",
    "cookies",
    "bearer",
    "passkey",
    "pincode",
    "apitoken",
    "authtoken",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "csrftoken",
    "xsrftoken",
    "bottoken",
];
/// As the last word, or before one of [`OF_IT`].
const WEAK: &[&str] = &["pass", "auth", "card", "session", "sid", "phpsessid", "basicauth"];
const OF_IT: &[&str] = &[
    "number", "no", "num", "code", "value", "header", "data", "string", "secret", "token", "cookie", "key", "info",
    "pan", "id", "hash",
];
/// What a name ends with that is about a secret without holding it.
const ABOUT: &[&str] = &[
    "at",
    "count",
    "length",
    "len",
    "policy",
    "expiry",
    "expires",
    "expired",
    "expiration",
    "ttl",
    "type",
    "name",
    "kind",
    "hint",
    "enabled",
    "required",
    "valid",
    "changed",
    "strength",
    "age",
    "max",
    "min",
    "limit",
    "usage",
    "used",
    "status",
    "state",
    "method",
    "version",
    "attempts",
    "format",
    "field",
    "path",
    "file",
    "filename",
    "last4",
    "brand",
    "network",
    "scheme",
    "provider",
    "mode",
    "level",
    "algorithm",
    "alg",
    "arn",
    "ref",
    "duration",
    "timeout",
    "seconds",
    "ms",
    "days",
    "failed",
    "failures",
    "error",
    "errors",
    "rate",
    "total",
    "size",
    "consent",
    "service",
    "server",
    "endpoint",
    "host",
    "date",
    "time",
    "list",
    "page",
    "form",
    "label",
    "column",
    "index",
];
/// What makes a token a count, a place in a list or a fence.
const COUNTED: &[&str] = &[
    "fencing",
    "fence",
    "per",
    "max",
    "min",
    "page",
    "next",
    "nextpage",
    "prev",
    "previous",
    "continuation",
    "sync",
    "cursor",
    "pagination",
    "resume",
    "scroll",
    "execution",
    "step",
    "lease",
    "lock",
    "dedup",
    "idempotency",
    "version",
    "change",
    "stop",
    "new",
    "old",
    "pad",
    "eos",
    "bos",
    "first",
    "last",
];

fn judge(name: &str) -> Weight {
    let (flat, words) = split(name);
    let last = words.last().map_or("", String::as_str);
    let before = words.len().checked_sub(2).map_or("", |at| words[at].as_str());
    let contains = |parts: &[&str]| parts.iter().any(|part| flat.contains(part));
    // `aws_access_key_id` is half of a credential; other ids are just names.
    if words.len() > 1
        && (ABOUT.contains(&last) || (last == "id" && !flat.contains("accesskey") && !WEAK_IDS.contains(&before)))
    {
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
        || contains(PARTS)
        || (flat.ends_with("pwd") && flat.len() < 16)
        || (contains(&["cookie"]) && (last.ends_with("cookie") || last.ends_with("cookies")))
        || authorization.iter().any(|tail| flat.ends_with(tail))
    {
        return Weight::Strong;
    }
    let weak = WEAK.contains(&last) || (OF_IT.contains(&last) && WEAK.contains(&before)) || flat == "sessionid";
    if weak { Weight::Weak } else { Weight::None }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            "password",
            "DB_PASSWORD",
            "userPasswd",
            "client_secret",
            "clientSecret",
            "token",
            "access_token",
            "accessToken",
            "accesstoken",
            "api_key",
            "apiKey",
            "X-Api-Key",
            "Authorization",
            "credentials",
            "private_key",
            "aws_access_key_id",
            "card_number",
            "cardNumber",
            "cvv",
            "card_cvc",
            "ssn",
            "user_ssn",
            "refresh_tokens",
            "pwd",
            "pan",
            "pin",
            "passphrase",
            "PassCode",
            "social_security_no",
            "signing-key",
            "AUTHORIZATION_HEADER",
            "authorizationCode",
            "connection_string",
            "creditCard",
            "Cookie",
            "cvv2",
            "ENCRYPTION_KEY",
            "token_value",
            "dsn",
            "SENTRY_DSN",
            "database_url",
            "REDIS_URL",
            "jwt",
            "iban",
            "otp",
            "pass",
            "auth",
            "card",
            "session",
            "session_id",
            "sessionid",
            "PHPSESSID",
            "Set-Cookie",
            "userPin",
            "DBPassword",
            "dbpwd",
            "ｐａｓｓｗｏｒｄ",
            "pаssword",
            "Passwort",
            "contraseña",
            "mot_de_passe",
            "hasło",
            "пароль",
            "Пароль",
            "密码",
            "パスワード",
            "비밀번호",
            "κωδικός",
            "mật_khẩu",
            "كلمة_السر",
            "रपासवर्ड",
            "webhook_url",
            "creds",
            "csrf_token",
        ] {
            assert!(weight(name) > Weight::None, "{name} is not masked");
        }
        assert!(weight(&format!("{}_password", "ü".repeat(100))) > Weight::None);
    }

    #[test]
    fn names_of_other_things() {
        for name in [
            "fencing_token",
            "fencingToken",
            "max_tokens",
            "total_tokens",
            "tokens",
            "token_count",
            "token_type",
            "cost_per_token",
            "secretary",
            "authorization_id",
            "authorized_at",
            "password_changed_at",
            "company",
            "pandas",
            "mission",
            "key",
            "passed",
            "",
            "span",
            "next_page_token",
            "page_token",
            "continuationToken",
            "author",
            "authority",
            "authenticated",
            "auth_method",
            "compass",
            "passenger",
            "bypass",
            "pass_count",
            "discard",
            "cardinality",
            "wildcard",
            "scorecard",
            "opinion",
            "spinner",
            "pinned",
            "sessions",
            "session_count",
            "primary_key",
            "idempotency_key",
            "cache_key",
            "url",
            "image_url",
            "card_id",
            "card_type",
            "secret_name",
            "token_id",
            "public_key",
            "hash",
            "checksum",
            "ключ",
            "注文番号",
            "step_execution_token",
            "password_policy",
            "iban_valid",
            "jwtAlg",
            "accountant",
            "tokenizer",
            "keyboard",
            "monkey",
        ] {
            assert_eq!(weight(name), Weight::None, "{name} is masked");
        }
    }
}
