//! The command as a child process: its own process group, its environment without credentials, and its end before the lease
//! expires.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid};
use sen_core::once::{Hold, Lost};
use sen_core::time::{Timestamp, Uptime};

use super::capture::Pump;
use super::guard::Guard;
use super::record::Ending;
use super::signals::{Arrived, Loan, Signals, send_number};

/// The time between SIGTERM and SIGKILL when the lease is already somebody else's.
const GRACE: Duration = Duration::from_secs(5);
/// How often the clock is looked at while a command is being ended, and a stopped command is looked for.
const TICK: Duration = Duration::from_millis(50);

/// How a supervised command ended.
pub struct Supervised {
    /// Its end.
    pub ending: Ending,
    /// Why it was ended by us.
    pub lost: Option<Lost>,
    /// Whether somebody still held its output open when it had ended.
    pub left_open: bool,
    /// Why `sen` could not end it, though it had to.
    pub not_ended: Option<io::Error>,
    /// Whether processes of its group still ran when it had ended although it had to end.
    pub survivors: bool,
    /// Which stream could not be passed on, and why.
    pub unwritten: Option<(&'static str, io::Error)>,
}

/// A started command.
pub struct Running {
    child: Child,
    group: Pid,
    started: Timestamp,
    out: Pump,
    err: Pump,
    guard: Option<Guard>,
}

/// Whether a variable tells how to reach a database: ours, and libpq's (`PG` and capitals only).
fn is_credential(name: &str) -> bool {
    let libpq = name.strip_prefix("PG").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_uppercase()));
    name == "DATABASE_URL" || name.starts_with("SEN_") || libpq
}

impl Running {
    /// Starts it.
    pub fn start(command: &[OsString], hold: &Hold, streams: (std::fs::File, std::fs::File)) -> io::Result<Self> {
        let held = hold.held();
        let (from_out, to_out) = io::pipe()?;
        let (from_err, to_err) = io::pipe()?;
        let (program, args) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut prepared = Command::new(program);
        prepared.args(args).stdin(Stdio::inherit()).stdout(to_out).stderr(to_err).process_group(0);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(is_credential) {
                prepared.env_remove(&name);
            }
        }
        prepared.env("SEN_KEY", &held.key).env("SEN_FENCING_TOKEN", held.token.to_string());
        // Started before the command, so that the command never runs without it.
        // After its last heartbeat a lease lasts for two thirds of its TTL or more.
        let grace = (Uptime::now().until(hold.over_at()) / 4).min(GRACE);
        let mut guard = Guard::start(held, grace).ok();
        let started = Timestamp::here();
        let child = prepared.spawn()?;
        // It holds this process's ends of the pipes, which would keep them open forever.
        drop(prepared);
        let group = Pid::from_child(&child);
        if guard.as_mut().is_some_and(|guard| guard.over(group).is_err()) {
            guard = None;
        }
        let (out, err) = (Pump::start(from_out, streams.0), Pump::start(from_err, streams.1));
        Ok(Self { child, group, started, out, err, guard })
    }

    /// Whether a process watches over the command, that ends it when this one is killed.
    pub fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// Sends a signal to the command's group. Gone already is no error: then there is nobody to tell.
    fn send(&self, signal: Signal) -> io::Result<()> {
        match kill_process_group(self.group, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether processes of its group run though the command itself has ended and was waited for. What was killed takes a
    /// moment to vanish.
    async fn has_survivors(&self) -> bool {
        for _ in 0..20 {
            if test_kill_process_group(self.group) == Err(rustix::io::Errno::SRCH) {
                return false;
            }
            tokio::time::sleep(TICK).await;
        }
        true
    }

    /// Whether the child has ended; it is not reaped, so that its group's number cannot become another's.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.group), options), Ok(None))
    }

    /// Whether it was stopped for touching a terminal it does not have.
    fn wants_terminal(&self) -> bool {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let stopped =
            waitid(WaitId::Pid(self.group), options).ok().flatten().and_then(|status| status.stopping_signal());
        stopped.is_some_and(|signal| [Signal::TTIN.as_raw(), Signal::TTOU.as_raw()].contains(&signal))
    }

    /// Waits for its end, passing signals on; ends it when the lease cannot be kept.
    /// `tell` hears of what could not be done meanwhile.
    pub async fn supervise(
        mut self,
        hold: &Hold,
        signals: &mut Signals,
        tell: &dyn Fn(String),
    ) -> io::Result<Supervised> {
        let mut keep = std::pin::pin!(hold.keep());
        let mut loan = Loan::default();
        let mut lost: Option<Lost> = None;
        let mut kill_at: Option<Uptime> = None;
        let mut not_ended: Option<io::Error> = None;
        let mut interrupts = 0;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.has_ended() {
            tokio::select! {
                why = &mut keep, if lost.is_none() => {
                    let now = Uptime::now();
                    let grace = GRACE.min(now.until(hold.kill_at()));
                    kill_at = Some(now.plus(grace));
                    if let Err(error) = self.send(Signal::TERM) {
                        tell(format!("{why}, and the command cannot be ended ({error}): it goes on without a lease"));
                    }
                    lost = Some(why);
                    // A stopped command cannot end itself.
                    let _ = self.send(Signal::CONT);
                }
                arrived = signals.next() => match arrived {
                    Arrived::Pass(signal) => {
                        interrupts += u32::from(signal == Signal::INT);
                        let signal = if signal == Signal::INT && interrupts > 1 { Signal::KILL } else { signal };
                        if let Err(error) = self.send(signal) {
                            tell(format!("signal {} could not be passed on to the command: {error}", signal.as_raw()));
                        }
                    }
                    Arrived::Number(number) => if let Err(error) = send_number(number, self.group) {
                        tell(format!("signal {number} could not be passed on to the command: {error}"));
                    },
                    Arrived::Stop | Arrived::Child => {}
                },
                _ = tick.tick() => if self.wants_terminal() {
                    loan.lend(self.group);
                },
            }
            if kill_at.is_some_and(|at| Uptime::now() >= at) {
                not_ended = self.send(Signal::KILL).err();
            }
        }
        if lost.is_some() {
            // The command has ended, but processes in its group may still run.
            let _ = self.send(Signal::KILL);
        }
        let status = self.child.wait()?;
        let survivors = lost.is_some() && self.has_survivors().await;
        self.guard = None;
        drop(loan);
        let finished = Timestamp::here();
        let flushing = async { self.out.finish().await & self.err.finish().await };
        let complete = {
            let mut flushing = std::pin::pin!(flushing);
            loop {
                tokio::select! {
                    complete = &mut flushing => break complete,
                    // It ended by itself: the guard of the completion decides whether its result is still accepted.
                    _ = &mut keep, if lost.is_none() => break flushing.await,
                    _ = signals.next() => {}
                }
            }
        };
        let (code, signal) = code_of(status);
        let ending =
            Ending { code, signal, started: self.started, finished, stdout: self.out.kept(), stderr: self.err.kept() };
        let unwritten = self.out.unwritten().map(|error| ("standard output", error));
        let unwritten = unwritten.or_else(|| self.err.unwritten().map(|error| ("standard error", error)));
        Ok(Supervised { ending, lost, left_open: !complete, not_ended, survivors, unwritten })
    }
}

/// As shells have it: 128 + n when signal n ended it.
fn code_of(status: ExitStatus) -> (u8, Option<i32>) {
    match (status.code(), status.signal()) {
        (Some(code), _) => (u8::try_from(code & 0xff).unwrap_or(255), None),
        (None, Some(signal)) => (u8::try_from(128 + signal).unwrap_or(255), Some(signal)),
        (None, None) => (255, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_told_by_their_names() {
        for name in ["DATABASE_URL", "PGPASSWORD", "PGHOST", "PGSSLKEY", "SEN_SPOOL_DIR", "SEN_KEY"] {
            assert!(is_credential(name), "{name}");
        }
        for name in ["PATH", "PGP_KEY", "pghost", "MY_DATABASE_URL", "SENTRY_DSN"] {
            assert!(!is_credential(name), "{name}");
        }
    }
}
