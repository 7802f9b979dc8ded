//! Python environments with pinned packages, made once under the target folder and shared by all test processes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use rustix::fs::{FlockOperation, flock};

use super::INSTALL;

/// One environment: its name, the oldest Python it runs on, and its requirements as pip takes them.
#[derive(Debug)]
pub struct Environment {
    /// The folder's name under `target/peers`.
    pub name: &'static str,
    /// The oldest (major, minor).
    pub oldest: (u32, u32),
    /// Exact or bounded requirements.
    pub requirements: &'static [&'static str],
}

impl Environment {
    /// The environment's Python; makes the environment when it is missing or its requirements changed.
    pub fn python(&self) -> PathBuf {
        // The file lock holds between processes, this one between the threads of one.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let base = peers_dir();
        fs::create_dir_all(&base).unwrap_or_else(|error| panic!("cannot create {}: {error}", base.display()));
        let lock = File::create(base.join(format!("{}.lock", self.name))).expect("the lock file can be made");
        flock(&lock, FlockOperation::LockExclusive).expect("the lock file can be locked");

        let folder = base.join(self.name);
        let python = folder.join("bin/python");
        let marker = folder.join("requirements.txt");
        let wanted = self.requirements.join("\n");
        if fs::read_to_string(&marker).is_ok_and(|made| made == wanted) && answers(&python) {
            return python;
        }
        let _ = fs::remove_dir_all(&folder);
        run(Command::new(interpreter(self.oldest)).args(["-m", "venv"]).arg(&folder));
        // pip's own settings (its index, its certificates) stay in force, so the environment is inherited here.
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
            .args(self.requirements));
        // Last, so that an environment whose making was interrupted is made anew.
        fs::write(&marker, wanted).expect("the marker can be written");
        python
    }
}

/// `target/peers`, wherever cargo's target folder is.
fn peers_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("cargo's tmp folder lies in its target folder").join("peers")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn answers(python: &Path) -> bool {
    Command::new(python).args(["-c", ""]).output().is_ok_and(|output| output.status.success())
}

/// A Python of at least this version that can make environments: plain `python3` first, then by version, then pyenv's.
fn interpreter((major, minor): (u32, u32)) -> PathBuf {
    let mut candidates = vec![PathBuf::from("python3")];
    candidates.extend((minor..=minor.max(14)).rev().map(|minor| PathBuf::from(format!("python{major}.{minor}"))));
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let mut versions: Vec<PathBuf> = fs::read_dir(pyenv.unwrap_or_default().join("versions"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin/python3"))
        .collect();
    versions.sort();
    candidates.extend(versions.into_iter().rev());

    // Debian ships `venv` without `ensurepip` unless python3-venv is installed, so both are asked for.
    let probe = format!("import sys, venv, ensurepip; sys.exit(sys.version_info < ({major}, {minor}))");
    let works = |python: &PathBuf| {
        Command::new(python).args(["-c", &probe]).output().is_ok_and(|output| output.status.success())
    };
    candidates.into_iter().find(works).unwrap_or_else(|| {
        panic!("no Python {major}.{minor} or newer with `venv` was found (`apt-get install python3 python3-venv`): {INSTALL}")
    })
}
