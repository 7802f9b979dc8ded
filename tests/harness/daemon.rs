//! A server that cannot outlive the test process: its folder, its unprivileged account, and the watchdog that ends it.
//!
//! The parent-death signal of Linux is no use here: it follows the *thread* that started the child, and libtest starts
//! every test in a thread of its own. So a small shell holds the read end of a pipe whose write end only the test process
//! has; when that process ends, even by SIGKILL, the shell stops the server and removes the folder.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::patience::{PATIENCE, until};

/// The longest socket path the kernel takes is 107 bytes; `/.s.PGSQL.65535` needs 15 of them.
const LONGEST_SOCKET_DIR: usize = 90;

/// The signals are ignored so that Ctrl-C cannot end the watchdog before its server; servers install handlers of their own.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
signal=$1 home=$2
shift 2
"$@" >>"$home/log" 2>&1 </dev/null &
pid=$!
echo "$pid"
while read -r _; do :; done
kill -s "$signal" "$pid" 2>/dev/null
wait "$pid"
[ -e "$home/keep" ] || rm -rf "$home"
"#;

/// The account servers run under when the tests run as root, which PostgreSQL and PgBouncer refuse.
#[derive(Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

fn account() -> Option<Account> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
    let find = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse::<u32>);
        Some(Account { uid: fields.next()?.ok()?, gid: fields.next()?.ok()? })
    };
    let found = find("postgres").or_else(|| find("nobody"));
    Some(found.expect("servers refuse to run as root: a user `postgres` or `nobody` is needed"))
}

/// A command run under the servers' account.
pub fn unprivileged(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Some(account) = account() {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// A short-named folder that the servers' account owns.
pub fn home(kind: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let base = std::env::temp_dir();
    let prefix = format!("sen-{kind}-");
    if COUNT.load(Ordering::Relaxed) == 0 {
        sweep(&base);
    }
    let home = base.join(format!("{prefix}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    assert!(
        home.as_os_str().len() <= LONGEST_SOCKET_DIR,
        "{} is too long for a unix socket: set TMPDIR to a shorter folder",
        home.display()
    );
    fs::create_dir(&home).unwrap_or_else(|error| panic!("cannot create {}: {error}", home.display()));
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("a new folder's mode can be set");
    hand_over(&home);
    home
}

/// Gives a file or folder to the servers' account.
pub fn hand_over(path: &Path) {
    if let Some(account) = account() {
        chown(path, Some(account.uid), Some(account.gid)).expect("root can change the owner");
    }
}

/// Writes a file that the servers' account owns and only it can read (what PostgreSQL wants of a private key).
pub fn write_private(path: &Path, content: &str) {
    fs::write(path, content).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a new file's mode can be set");
    hand_over(path);
}

/// Removes folders whose test process is gone and whose server is, too: left over when the watchdog itself was killed.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = ["sen-pg-", "sen-pgb-", "sen-rd-"].iter().find_map(|prefix| name.strip_prefix(prefix)) else {
            continue;
        };
        let owner = rest.split('-').next().and_then(|pid| pid.parse().ok());
        let server = fs::read_to_string(entry.path().join("pid")).ok().and_then(|pid| pid.trim().parse().ok());
        // Without both ids the folder is either not ours or still being made.
        let (Some(owner), Some(server)) = (owner, server) else { continue };
        if !alive(owner) && !alive(server) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a process of this id exists.
pub fn alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(
        |pid| !matches!(rustix::process::test_kill_process(pid), Err(error) if error == rustix::io::Errno::SRCH),
    )
}

/// The processes whose parent is this one.
pub fn children_of(parent: i32) -> Vec<i32> {
    let ppid = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(") ").next()?.split(' ').nth(1)?.parse::<i32>().ok()
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| ppid(*pid) == Some(parent)).collect()
}

/// Sends a signal to a process that may have gone.
pub fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// A running server and its watchdog.
pub struct Daemon {
    watchdog: Child,
    lifeline: Option<ChildStdin>,
    pid: i32,
    home: PathBuf,
}

/// Waits until none of these processes is there any more.
pub fn wait_for_the_end_of(pids: &[i32]) {
    until("the end of what was killed", || !pids.iter().any(|pid| is_running(*pid)));
}

impl Daemon {
    /// Starts `command` (program and arguments) in `home`; at the end it gets `signal` (`QUIT`, `INT`, `TERM`).
    pub fn start(home: &Path, signal: &str, command: &[&str]) -> Self {
        let mut watchdog = unprivileged("sh")
            .args(["-c", WATCHDOG, "watchdog", signal])
            .arg(home)
            .args(command)
            .current_dir(home)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`sh` can be started");
        let lifeline = watchdog.stdin.take();
        let mut line = String::new();
        let stdout = watchdog.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the watchdog can be read");
        let pid = line.trim().parse().unwrap_or_else(|_| panic!("the watchdog did not start {command:?}"));
        fs::write(home.join("pid"), line.trim()).expect("the server's folder can be written");
        Self { watchdog, lifeline, pid, home: home.to_owned() }
    }

    /// The server's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until `ready` says so; panics with the server's log when it ends or takes too long.
    pub fn wait_until(&self, what: &str, ready: impl Fn() -> bool) {
        let start = Instant::now();
        while !ready() {
            assert!(is_running(self.pid), "{what} ended while starting; its log:\n{}", self.log());
            assert!(start.elapsed() < PATIENCE, "{what} did not come up in {PATIENCE:?}; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the server printed so far.
    pub fn log(&self) -> String {
        fs::read(self.home.join("log")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Sends a signal to the server itself.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid).expect("a process id is positive");
        rustix::process::kill_process(pid, signal).expect("the server can be signalled");
    }

    /// Stops the server but leaves its folder, for a restart.
    pub fn stop_keeping_home(self) {
        let keep = self.home.join("keep");
        fs::write(&keep, "").expect("the server's folder can be written");
        drop(self);
        fs::remove_file(&keep).expect("the server's folder can be written");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.lifeline.take();
        let _ = self.watchdog.wait();
    }
}

/// Whether the process runs: one that has ended and only waits to be reaped does not.
pub fn is_running(pid: i32) -> bool {
    let zombie = fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')));
    alive(pid) && !zombie
}
