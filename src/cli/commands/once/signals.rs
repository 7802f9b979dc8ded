//! The signals that `once` passes on instead of obeying, and the terminal it may have to lend to the command.

use std::io::IsTerminal as _;

use rustix::process::{Pid, Signal, getpgrp, kill_process_group};
use rustix::termios::{tcgetpgrp, tcsetpgrp};
use sen_core::error::{Error, ErrorKind, Result};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// Listens from its making on; until it is dropped none of these signals ends the process by itself.
pub struct Signals {
    term: Listener,
    int: Listener,
    hup: Listener,
    quit: Listener,
    usr1: Listener,
    usr2: Listener,
    tstp: Listener,
    child: Listener,
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// A signal to pass on.
    Pass(Signal),
    /// Ctrl-Z: not obeyed, because a stopped `sen` keeps no lease.
    Stop,
    /// A child changed its state.
    Child,
}

impl Signals {
    /// Starts listening.
    pub fn listen() -> Result<Self> {
        let on = |kind| {
            signal(kind).map_err(|error| Error::new(ErrorKind::Internal, "cannot listen to signals").with_source(error))
        };
        Ok(Self {
            term: on(SignalKind::terminate())?,
            int: on(SignalKind::interrupt())?,
            hup: on(SignalKind::hangup())?,
            quit: on(SignalKind::quit())?,
            usr1: on(SignalKind::user_defined1())?,
            usr2: on(SignalKind::user_defined2())?,
            tstp: on(SignalKind::from_raw(Signal::TSTP.as_raw()))?,
            child: on(SignalKind::child())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Arrived {
        tokio::select! {
            _ = self.term.recv() => Arrived::Pass(Signal::TERM),
            _ = self.int.recv() => Arrived::Pass(Signal::INT),
            _ = self.hup.recv() => Arrived::Pass(Signal::HUP),
            _ = self.quit.recv() => Arrived::Pass(Signal::QUIT),
            _ = self.usr1.recv() => Arrived::Pass(Signal::USR1),
            _ = self.usr2.recv() => Arrived::Pass(Signal::USR2),
            _ = self.tstp.recv() => Arrived::Stop,
            _ = self.child.recv() => Arrived::Child,
        }
    }

    /// The next one that asks for the end.
    pub async fn ending(&mut self) -> Signal {
        loop {
            if let Arrived::Pass(signal) = self.next().await
                && signal != Signal::USR1
                && signal != Signal::USR2
            {
                return signal;
            }
        }
    }
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
