//! Installs completion scripts in the user's own folder for them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sen_core::error::{Error, ErrorKind, Result};

use super::script::{MARK, Shell};

use crate::files;

/// What became of it.
pub struct Installed {
    /// The file.
    pub path: PathBuf,
    /// Whether it had to be written.
    pub written: bool,
    /// What the person still has to do.
    pub remains: Vec<String>,
}

fn folder(env: &dyn Fn(&str) -> Option<String>, name: &str, below_home: &str) -> Result<PathBuf> {
    let set = |name: &str| env(name).filter(|value| Path::new(value).is_absolute()).map(PathBuf::from);
    if let Some(path) = set(name) {
        return Ok(path);
    }
    let home = set("HOME").ok_or_else(|| Error::usage("HOME is not set: where would the script go?"))?;
    Ok(home.join(below_home))
}

/// Where the shell finds the user's own scripts.
///
/// # Errors
/// `Usage` when there is no home.
pub fn place(shell: Shell, env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf> {
    Ok(match shell {
        Shell::Bash => match env("BASH_COMPLETION_USER_DIR").filter(|path| Path::new(path).is_absolute()) {
            Some(path) => PathBuf::from(path).join("completions/sen"),
            None => folder(env, "XDG_DATA_HOME", ".local/share")?.join("bash-completion/completions/sen"),
        },
        Shell::Zsh => folder(env, "XDG_DATA_HOME", ".local/share")?.join("zsh/site-functions/_sen"),
        Shell::Fish => folder(env, "XDG_CONFIG_HOME", ".config")?.join("fish/completions/sen.fish"),
    })
}

/// Writes the script; another program's file is replaced only with `force`.
///
/// # Errors
/// `Refused` for another program's file; `Io`.
pub fn install(shell: Shell, env: &dyn Fn(&str) -> Option<String>, force: bool) -> Result<Installed> {
    let path = place(shell, env)?;
    let shown = path.display().to_string();
    let script = shell.script();
    let failed = files::cannot("write", &path);
    let remains = remains(shell, &path, env);
    match std::fs::read(&path) {
        Ok(old) if old == script.as_bytes() => return Ok(Installed { path, written: false, remains }),
        Ok(old) if !force && !String::from_utf8_lossy(&old).contains(MARK) => {
            return Err(Error::new(ErrorKind::Refused, format!("{shown} exists and was not written by sen"))
                .with_hint("look at it; --yes replaces it"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // A file that cannot be read is not overwritten: it may be another program's.
        Err(error) if !force => return Err(failed(error)),
        Err(_) => {}
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(failed)?;
    // Written under another name first: a shell that starts meanwhile reads the old file or the whole new one.
    let draft = parent.join(format!(".sen-completions-{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::options().write(true).create_new(true).open(&draft)?;
        file.write_all(script.as_bytes())?;
        drop(file);
        std::fs::rename(&draft, &path)
    };
    write().map_err(|error| {
        drop(std::fs::remove_file(&draft));
        failed(error)
    })?;
    Ok(Installed { path, written: true, remains })
}

fn remains(shell: Shell, path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let home = env("HOME").unwrap_or_default();
    let below_home = |path: &Path| match path.strip_prefix(&home) {
        Ok(rest) if !home.is_empty() => format!("~/{}", rest.display()),
        _ => path.display().to_string(),
    };
    match shell {
        Shell::Bash => {
            let loaded = ["/usr/share/bash-completion/bash_completion", "/etc/bash_completion"];
            if loaded.iter().any(|path| Path::new(path).exists()) {
                vec!["a new shell has it".to_owned()]
            } else {
                vec![
                    "the package bash-completion, which loads it, was not found; without it add to ~/.bashrc:"
                        .to_owned(),
                    format!("  source {}", below_home(path)),
                ]
            }
        }
        Shell::Zsh => {
            let folder = path.parent().unwrap_or(path);
            let zshrc = env("ZDOTDIR")
                .map_or_else(|| PathBuf::from(&home).join(".zshrc"), |dir| PathBuf::from(dir).join(".zshrc"));
            let known = std::fs::read_to_string(&zshrc).unwrap_or_default();
            if known.contains("zsh/site-functions") && known.contains("fpath") {
                vec!["a new shell has it".to_owned()]
            } else {
                vec![
                    format!("add to {}, before compinit:", below_home(&zshrc)),
                    format!("  fpath=({} $fpath)", below_home(folder)),
                    "  autoload -Uz compinit && compinit".to_owned(),
                ]
            }
        }
        Shell::Fish => vec!["a new shell has it".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().to_str().unwrap().to_owned();
        let env = move |name: &str| (name == "HOME").then(|| root.clone());
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let first = install(shell, &env, false).unwrap();
            assert!(first.written && first.path.starts_with(home.path()));
            assert!(!install(shell, &env, false).unwrap().written);
            // An older script of this program is replaced, another program's is not.
            std::fs::write(&first.path, format!("#x\n{MARK}\nold")).unwrap();
            assert!(install(shell, &env, false).unwrap().written);
            std::fs::write(&first.path, "complete -W 'a b' sen").unwrap();
            let refused = install(shell, &env, false).err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::Refused);
            assert_eq!(std::fs::read_to_string(&first.path).unwrap(), "complete -W 'a b' sen");
            assert!(install(shell, &env, true).unwrap().written);
            assert_eq!(std::fs::read_to_string(&first.path).unwrap(), shell.script());
            assert_eq!(std::fs::read_dir(first.path.parent().unwrap()).unwrap().count(), 1);
        }
    }

    #[test]
    fn without_a_home_nothing_is_written() {
        assert_eq!(install(Shell::Zsh, &|_| None, false).err().unwrap().kind(), ErrorKind::Usage);
    }
}
