//! The command as a child: its own process group, its environment without our credentials, and its end before the lease's.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use sen_core::once::{Held, Hold, Lost};
use sen_core::time::{Timestamp, Uptime};

use super::capture::Pump;
use super::record::Ending;
use super::signals::{Arrived, Loan, Signals};

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
}

/// A started command.
pub struct Running {
    child: Child,
    group: Pid,
    started: Timestamp,
    out: Pump,
    err: Pump,
}

/// Whether a variable tells how to reach a database: ours, and libpq's (`PG` and capitals only).
fn is_credential(name: &str) -> bool {
    let libpq = name.strip_prefix("PG").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_uppercase()));
    name == "DATABASE_URL" || name.starts_with("SEN_") || libpq
}

impl Running {
    /// Starts it.
    pub fn start(command: &[OsString], held: &Held, streams: (std::fs::File, std::fs::File)) -> io::Result<Self> {
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
        let started = Timestamp::here();
        let child = prepared.spawn()?;
        // It holds our ends of the pipes, which would keep them open for ever.
        drop(prepared);
        let group = Pid::from_child(&child);
        let (out, err) = (Pump::start(from_out, streams.0), Pump::start(from_err, streams.1));
        Ok(Self { child, group, started, out, err })
    }

    fn send(&self, signal: Signal) {
        // Gone already: then there is nobody to tell.
        let _ = kill_process_group(self.group, signal);
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
    pub async fn supervise(mut self, hold: &Hold, signals: &mut Signals) -> io::Result<Supervised> {
        let mut keep = std::pin::pin!(hold.keep());
        let mut loan = Loan::default();
        let mut lost: Option<Lost> = None;
        let mut kill_at: Option<Uptime> = None;
        let mut interrupts = 0;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.has_ended() {
            tokio::select! {
                why = &mut keep, if lost.is_none() => {
                    let now = Uptime::now();
                    let grace = GRACE.min(now.until(hold.kill_at()));
                    kill_at = Some(now.plus(grace));
                    lost = Some(why);
                    self.send(Signal::TERM);
                    // A stopped command cannot end itself.
                    self.send(Signal::CONT);
                }
                arrived = signals.next() => match arrived {
                    Arrived::Pass(Signal::INT) => {
                        interrupts += 1;
                        self.send(if interrupts > 1 { Signal::KILL } else { Signal::INT });
                    }
                    Arrived::Pass(signal) => self.send(signal),
                    Arrived::Stop | Arrived::Child => {}
                },
                _ = tick.tick() => if self.wants_terminal() {
                    loan.lend(self.group);
                },
            }
            if kill_at.is_some_and(|at| Uptime::now() >= at) {
                self.send(Signal::KILL);
            }
        }
        if lost.is_some() {
            // The command itself has ended, what it started in its group may not have.
            self.send(Signal::KILL);
        }
        let status = self.child.wait()?;
        drop(loan);
        let finished = Timestamp::here();
        let flushing = async { self.out.finish().await & self.err.finish().await };
        let complete = {
            let mut flushing = std::pin::pin!(flushing);
            loop {
                tokio::select! {
                    complete = &mut flushing => break complete,
                    // It ended by itself: the guard of the completion decides whether that still counts.
                    _ = &mut keep, if lost.is_none() => break flushing.await,
                    _ = signals.next() => {}
                }
            }
        };
        let (code, signal) = code_of(status);
        let ending =
            Ending { code, signal, started: self.started, finished, stdout: self.out.kept(), stderr: self.err.kept() };
        Ok(Supervised { ending, lost, left_open: !complete })
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
