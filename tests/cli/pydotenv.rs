//! `.env` files as python-dotenv reads them: the same file is given to the library and to `sen`, and the value that `sen` sends
//! to a server as its user must be the library's.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::peers::PYTHON_DOTENV;
use crate::harness::sen::sen;

/// Reads each file as an application would have it: variables of the environment win, `${…}` is filled in.
const READ: &str = r"
import json, sys
from dotenv.main import DotEnv
out = []
for path in sys.argv[1:]:
    try:
        out.append(DotEnv(dotenv_path=path, encoding='utf-8', interpolate=True, override=False).dict().get('PGUSER', False))
    except UnicodeDecodeError:
        out.append({'undecodable': True})
print(json.dumps(out))
";

/// A server that keeps the user of each start-up and says goodbye.
struct Listener {
    port: u16,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut length = [0; 4];
                if stream.read_exact(&mut length).is_err() {
                    continue;
                }
                let mut body = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4).min(10_000)];
                if stream.read_exact(&mut body).is_err() {
                    continue;
                }
                let mut words = body[4..].split(|byte| *byte == 0);
                while let (Some(name), Some(value)) = (words.next(), words.next()) {
                    if name == b"user" {
                        kept.lock().unwrap().push(value.to_owned());
                    }
                }
                let text = b"SFATAL\0VFATAL\0C28000\0Mno\0\0";
                let _ = stream.write_all(b"E");
                let _ = stream.write_all(&(4 + text.len() as u32).to_be_bytes());
                let _ = stream.write_all(text);
            }
        });
        Self { port, heard }
    }
}

/// What is read as the library reads it.
const SAME: &[&str] = &[
    "PGUSER=a",
    "PGUSER=a\n",
    "PGUSER=a\r\n",
    "PGUSER=a\rB=c",
    "PGUSER = a",
    "PGUSER\t=\ta",
    "  PGUSER=a  ",
    "export PGUSER=a",
    "export\tPGUSER=a",
    "  export   PGUSER =  a",
    "exportPGUSER=a\nPGUSER=b",
    "'PGUSER'=a",
    "export 'PGUSER'=a",
    "PGUSER=a b",
    "PGUSER=a b c  ",
    "PGUSER=a#b",
    "PGUSER=a #b",
    "PGUSER=a\t# b",
    "PGUSER=a # b # c",
    "PGUSER=a  #",
    "PGUSER=#a",
    "PGUSER= #a",
    "PGUSER='a'",
    "PGUSER=\"a\"",
    "PGUSER='a' # b",
    "PGUSER=\"a\"# b",
    "PGUSER='a # b'",
    "PGUSER=\"a # b\"",
    "PGUSER='a\"b'",
    "PGUSER=\"a'b\"",
    "PGUSER='a\\'b'",
    "PGUSER=\"a\\\"b\"",
    "PGUSER='a\\nb'",
    "PGUSER=\"a\\nb\"",
    "PGUSER=\"a\\tb\"",
    "PGUSER=\"a\\\\b\"",
    "PGUSER='a\\\\b'",
    "PGUSER=\"a\\qb\"",
    "PGUSER=\"a\\a\\b\\f\\r\\v\"",
    "PGUSER=\"a\\u00e9\"",
    "PGUSER='two\nlines'",
    "PGUSER=\"two\nlines\"",
    "PGUSER='two\r\nlines'",
    "PGUSER=\"a\n\n\nb\"",
    "PGUSER='ends in \\'",
    "PGUSER=a\\nb",
    "PGUSER=a'b'",
    "PGUSER=a\"b\"c",
    "PGUSER=$HOME",
    "PGUSER=a$b",
    "PGUSER=${NOBODY}a",
    "PGUSER=${NOBODY:-d}",
    "PGUSER=${NOBODY:-d e}f",
    "PGUSER=${NOBODY-d}",
    "PGUSER=${FROM_OUTSIDE}",
    "PGUSER='${FROM_OUTSIDE}'",
    "PGUSER=\"x${FROM_OUTSIDE}y\"",
    "FIRST=a\nPGUSER=${FIRST}b",
    "PGUSER=${FIRST}b\nFIRST=a",
    "PGUSER=a${",
    "PGUSER=a${b",
    "PGUSER=${a:b}",
    "PGUSER=${NOBODY:-${FROM_OUTSIDE}}",
    "FROM_OUTSIDE=inside\nPGUSER=${FROM_OUTSIDE}",
    "PGUSER=a\nPGUSER=b",
    "PGUSER='a'\nPGUSER=b\n",
    "# PGUSER=x\nPGUSER=a",
    "#\n\n\nPGUSER=a",
    "\n\n  \nPGUSER=a",
    "\tPGUSER=a",
    "A=b\nexport B=c\nPGUSER=d",
    "OPEN='never closed\nPGUSER=a",
    "A B C\nPGUSER=a",
    "=x\nPGUSER=a",
    "A: b\nPGUSER=a",
    "[section]\nPGUSER=a",
    "PGUSER=é",
    "PGUSER='注文'",
    "PGUSER=a\u{a0}b",
    "PGUSER=a\u{a0}",
    "PGUSER=\u{a0}a",
    "PGUSER\u{a0}=a",
    "PGUSER=a\u{a0}# b",
    "\u{a0}PGUSER=a",
    "PGUSER=a\u{b}",
    "PGUSER=a\u{b}# b",
    "PGUSER=\u{c}a",
    "PGUSER=a\u{85}# b",
    "PGUSER=a\u{2028}# b",
    "PGUSER=a\u{1f}#b",
    "export\u{a0}PGUSER=a",
    "PGUSER='a'\u{a0}# b",
    "PGUSER==a",
    "PGUSER=a=b",
    "PGUSER=a,b;c|d&e",
    "PGUSER=(a)",
    "PGUSER=a@b.c",
    "pguser=a\nPGUSER=b",
    "PGUSER2=a\nPGUSER=b",
    "PGUSER.X=a\nPGUSER=b",
];

/// What `sen` refuses by name where the library goes on without a value or with half of the file: a setting of the database
/// that is not understood must not be passed over.
const REFUSED: &[&str] = &[
    "PGUSER",
    "export PGUSER\nPGUSER",
    "PGUSER: a",
    "PGUSER 'a'",
    "PGUSER='open",
    "PGUSER=\"open\nA=b",
    "PGUSER='a' b",
    "PGUSER=\"a\"b",
    "'PGUSER=a",
];

#[test]
fn every_file_is_read_as_python_dotenv_reads_it() {
    let (listener, folder) = (Listener::start(), tempfile::tempdir().unwrap());
    let port = listener.port;
    let whole = |text: &str| format!("PGHOST=127.0.0.1\nPGPORT={port}\nPGDATABASE=d\nPGSSLMODE=disable\n{text}");
    let paths: Vec<_> = SAME
        .iter()
        .chain(REFUSED)
        .enumerate()
        .map(|(at, text)| {
            let path = folder.path().join(format!("{at}.env"));
            fs::write(&path, whole(text)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        })
        .collect();
    let output = Command::new(PYTHON_DOTENV.python())
        .args(["-c", READ])
        .args(&paths)
        .env_clear()
        .env("FROM_OUTSIDE", "outside")
        .env("PYTHONUTF8", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let me = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned();
    let mut different = Vec::new();
    for ((text, path), theirs) in SAME.iter().chain(REFUSED).zip(&paths).zip(&theirs) {
        let run = sen(["list", "--env-file", path.to_str().unwrap()]).env("FROM_OUTSIDE", "outside").env("USER", &me);
        let output = run.run();
        let heard = std::mem::take(&mut *listener.heard.lock().unwrap());
        if REFUSED.contains(text) {
            // The error names the file's line and the setting.
            if output.code != 2 || !output.stderr.contains("PGUSER") || !output.stderr.contains(", line ") {
                different.push(format!("{text:?} is not refused by name: {} {}", output.code, output.stderr));
            }
            continue;
        }
        // An empty user means none, as in libpq: the user of the system.
        let wanted = theirs.as_str().filter(|user| !user.is_empty()).unwrap_or(&me);
        let ours = heard.first().map(|user| String::from_utf8_lossy(user).into_owned());
        if ours.as_deref() != Some(wanted) {
            different.push(format!("{text:?}: sen {ours:?}, python-dotenv {theirs}; {}", output.stderr));
        }
    }
    assert!(SAME.len() >= 60, "{} lines", SAME.len());
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), SAME.len(), different.join("\n"));
}
