//! The signals that `once` forwards to the command, and the terminal that it gives to it.

use std::future::poll_fn;
use std::io::IsTerminal as _;
use std::task::Poll;

use rustix::process::{Pid, Signal, getpgrp, kill_process_group};
use rustix::termios::{tcgetpgrp, tcsetpgrp};
use sen_core::error::{Error, ErrorKind, Result};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// What is passed on by name. KILL and STOP cannot be caught, and ILL, FPE, SEGV and BUS are faults of `sen` itself.
const PASSED: [Signal; 12] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::VTALARM,
    Signal::PROF,
    Signal::XCPU,
    Signal::XFSZ,
    Signal::ABORT,
];

/// Signals that only some systems have, the real-time ones among them.
#[cfg(target_os = "linux")]
const UNNAMED: std::ops::RangeInclusive<i32> = 34..=64;
#[cfg(not(target_os = "linux"))]
const UNNAMED: std::ops::Range<i32> = 0..0;

/// Listens from its making on; until it is dropped none of these signals ends the process by itself. A signal that was ignored
/// when `sen` was started (`nohup`, a background job of a shell) stays ignored, here and in the command.
pub struct Signals {
    listeners: Vec<(Arrived, Listener)>,
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// A signal to pass on.
    Pass(Signal),
    /// One that has a number only, to be passed on, too.
    Number(i32),
    /// Ctrl-Z: not obeyed, because a stopped `sen` keeps no lease.
    Stop,
    /// A child changed its state.
    Child,
}

impl Signals {
    /// Starts listening.
    pub fn listen() -> Result<Self> {
        let ignored = ignored();
        let is_ignored =
            |number: i32| u32::try_from(number - 1).is_ok_and(|bit| ignored.checked_shr(bit).unwrap_or(0) & 1 == 1);
        let named = PASSED.map(|signal| (Arrived::Pass(signal), signal.as_raw()));
        let own = [(Arrived::Stop, Signal::TSTP.as_raw()), (Arrived::Child, Signal::CHILD.as_raw())];
        let unnamed = UNNAMED.map(|number| (Arrived::Number(number), number));
        let mut listeners = Vec::new();
        for (arrived, number) in named.into_iter().chain(own).chain(unnamed) {
            if is_ignored(number) && arrived != Arrived::Child {
                continue;
            }
            match signal(SignalKind::from_raw(number)) {
                Ok(listener) => listeners.push((arrived, listener)),
                // Some systems reserve real-time signals.
                Err(_) if matches!(arrived, Arrived::Number(_)) => {}
                Err(error) => {
                    return Err(Error::new(ErrorKind::Internal, "cannot listen to signals").with_source(error));
                }
            }
        }
        Ok(Self { listeners })
    }

    /// The next one.
    pub async fn next(&mut self) -> Arrived {
        poll_fn(|context| {
            let ready = |(arrived, listener): &mut (Arrived, Listener)| {
                matches!(listener.poll_recv(context), Poll::Ready(Some(()))).then_some(*arrived)
            };
            self.listeners.iter_mut().find_map(ready).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The next one that asks for the end: its number.
    pub async fn ending(&mut self) -> i32 {
        loop {
            match self.next().await {
                Arrived::Pass(Signal::USR1 | Signal::USR2) | Arrived::Stop | Arrived::Child => {}
                Arrived::Pass(signal) => return signal.as_raw(),
                Arrived::Number(number) => return number,
            }
        }
    }
}

/// The signals ignored by this process, a bit each, the lowest for signal 1.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Sends a signal that has a number only to a process group. Only the `kill` program can do that without unsafe code.
pub fn send_number(number: i32, group: Pid) -> std::io::Result<()> {
    let group = format!("-{}", group.as_raw_nonzero());
    let sent = std::process::Command::new("kill")
        .args([format!("-{number}"), "--".into(), group])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()?;
    if sent.success() { Ok(()) } else { Err(std::io::Error::other(format!("kill -{number} failed"))) }
}

/// The terminal, lent to a command that wants to read it. The command is in a group of its own, in the background, so
/// that Ctrl-C comes to `sen`, which passes it on; a background command that reads the terminal is stopped by it, and that
/// is when it gets the foreground (and Ctrl-C with it).
#[derive(Default)]
pub struct Loan {
    lent: bool,
}

impl Loan {
    /// Lends the terminal to `group` when it is ours to lend, and lets the group go on.
    pub fn lend(&mut self, group: Pid) {
        let stdin = std::io::stdin();
        if !self.lent && stdin.is_terminal() && tcgetpgrp(&stdin).is_ok_and(|front| front == getpgrp()) {
            self.lent = tcsetpgrp(&stdin, group).is_ok();
        }
        if self.lent {
            let _ = kill_process_group(group, Signal::CONT);
        }
    }

    /// Takes it back. A process in the background that does so is stopped by SIGTTOU unless it blocks that.
    fn take_back(&mut self) {
        if !std::mem::take(&mut self.lent) {
            return;
        }
        let mut blocked = nix::sys::signal::SigSet::empty();
        blocked.add(nix::sys::signal::Signal::SIGTTOU);
        if blocked.thread_block().is_ok() {
            let _ = tcsetpgrp(std::io::stdin(), getpgrp());
            let _ = blocked.thread_unblock();
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.take_back();
    }
}
