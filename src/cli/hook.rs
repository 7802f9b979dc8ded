//! `--on-report` and `SEN_HOOK`: a program of the operator's that is told what an act came to, as JSON on its standard input,
//! once that is on the screen. What becomes of the program is said on stderr and changes nothing: the act is done by then.

use std::time::Duration;

use sen_core::error::Result;
use sen_core::model::value::Value;
use sen_core::stores::program::Program;

use crate::exit::Exit;
use crate::output::encode;
use crate::session::Session;

/// How long it may take: whoever acts waits for it.
const LIMIT: Duration = Duration::from_secs(10);

/// The program's command line: `--on-report`, else `SEN_HOOK` of the environment or of a file that was named.
///
/// # Errors
/// `Usage` when the settings cannot be read.
pub fn named(session: &Session) -> Result<Option<String>> {
    match &session.globals.on_report {
        Some(text) => Ok(Some(text.clone())),
        None => Ok(session.setting("SEN_HOOK")?.filter(|text| !text.is_empty())),
    }
}

/// Runs it with the fields of a report and says what went wrong, if anything did.
pub async fn tell(session: &Session, mut fields: Vec<(&'static str, Value)>, exit: Exit) -> Option<String> {
    fields.push(("exit_code", Value::Int(exit.code().into())));
    fields.push(("version", Value::Text(env!("CARGO_PKG_VERSION").into())));
    let mut input = Vec::new();
    // It goes where others read it, whatever the operator wants to see.
    encode::value(&mut input, &Value::Map(fields), false);
    input.push(b'\n');
    let run = async {
        match named(session)? {
            Some(text) => Program::parse(&text, LIMIT)?.run(&input, &[]).await.map(drop),
            None => Ok(()),
        }
    };
    let error = run.await.err()?;
    let cause: Vec<String> = error.causes().into_iter().map(|cause| format!(" ({cause})")).collect();
    Some(format!("the hook was not told, or failed: {error}{}; what was done stays done", cause.concat()))
}
