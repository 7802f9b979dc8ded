//! What a database may not ask for that is named by a file nobody pointed to: such a file can lie in any repository.

use super::parameters::Values;
use sen_model::error::{Error, Result};

/// Parameters that lead to files of the operator's, with passwords in them or a certificate that says who it is.
const PRIVATE: [&str; 5] = ["service", "servicefile", "passfile", "sslcert", "sslkey"];

/// Refuses what reaches beyond the database itself.
///
/// # Errors
/// `Usage` naming the parameter.
pub(super) fn refuse(values: &Values) -> Result<()> {
    let private = PRIVATE.iter().copied().find(|name| values.contains_key(name));
    let settings = values.get("options").filter(|options| !is_harmless(options)).map(|_| "options");
    let Some(name) = private.or(settings) else { return Ok(()) };
    Err(Error::usage(format!("{name} is not taken from a file that is only found"))
        .with_hint("name the file with --env-file if it is yours"))
}

/// Server settings that choose a schema, or a project of a hosted service. Any other can run code where the role is a
/// superuser (`session_preload_libraries`).
fn is_harmless(options: &str) -> bool {
    let options = options.replace("-c ", "-c");
    options.split_whitespace().all(|word| {
        let path = ["-csearch_path=", "--search_path=", "--search-path="].iter().any(|start| word.starts_with(start));
        (path && !word.contains('\\')) || !word.starts_with('-') && !word.contains('\\')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_schemas_and_projects() {
        for good in ["", "-c search_path=a", "-csearch_path=a,b", "endpoint=ep-cool-1", "--search_path=x project=y"] {
            assert!(is_harmless(good), "{good}");
        }
        for bad in [
            "-c session_preload_libraries=x",
            "-crole=x",
            "--role=x",
            "-c search_path=a -c role=b",
            "-d 5",
            "a\\ -crole=x",
        ] {
            assert!(!is_harmless(bad), "{bad}");
        }
    }
}
