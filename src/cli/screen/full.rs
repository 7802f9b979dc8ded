//! Full-screen mode: alternate screen and raw keys, restored however the program ends.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Position, Rect};
use sen_core::error::{Error, ErrorKind, Result};

/// Whether full-screen mode is on. One for the process, because the panic hook needs it.
static OURS: AtomicBool = AtomicBool::new(false);

/// The terminal in full-screen mode; dropping it restores the terminal.
pub struct Full {
    terminal: Terminal<CrosstermBackend<BufWriter<File>>>,
    paper: File,
}

fn failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot use the terminal").with_source(error)
}

impl Full {
    /// Takes the terminal over. `paper` is a stream that leads to it.
    ///
    /// # Errors
    /// `Io`.
    pub fn enter(paper: File) -> Result<Self> {
        let enter = || -> io::Result<Self> {
            let hooked = paper.try_clone()?;
            let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(paper.try_clone()?)))?;
            let full = Self { terminal, paper };
            // A release build aborts on a panic without dropping anything, and the message must not go to the alternate screen.
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back(&hooked);
                before(panic);
            }));
            full.take()?;
            Ok(full)
        };
        enter().map_err(failed)
    }

    fn take(&self) -> io::Result<()> {
        OURS.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        execute!(&self.paper, EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)
    }

    /// Draws a frame; only what differs from the last one is sent.
    ///
    /// # Errors
    /// `Io`.
    pub fn draw(&mut self, paint: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.terminal.draw(paint).map(|_| ()).map_err(failed)
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.terminal.size().map_or(80, |size| usize::from(size.width))
    }

    /// Hands `text` to the terminal for its clipboard (OSC 52); terminals that do not know that ignore it.
    ///
    /// # Errors
    /// `Io`.
    pub fn copy(&mut self, text: &str) -> Result<()> {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        self.paper.write_all(format!("\x1b]52;c;{encoded}\x07").as_bytes()).map_err(failed)
    }

    /// Sends everything anew at the next [`Self::draw`].
    ///
    /// # Errors
    /// `Io`.
    pub fn refresh(&mut self) -> Result<()> {
        // `Terminal::clear` queries the cursor position, and the answer would arrive among the keys.
        let anew = self.terminal.size().and_then(|size| self.terminal.resize(Rect::from((Position::ORIGIN, size))));
        anew.map_err(failed)
    }

    /// Gives the terminal back for something else; [`Self::enter_again`] takes it.
    pub fn leave(&self) {
        give_back(&self.paper);
    }

    /// Takes the terminal over again.
    ///
    /// # Errors
    /// `Io`.
    pub fn enter_again(&mut self) -> Result<()> {
        self.take().map_err(failed)?;
        self.refresh()
    }

    /// Goes to the background, as Ctrl-Z is expected to, and returns when it is called back.
    ///
    /// # Errors
    /// `Io`.
    pub fn suspend(&mut self) -> Result<()> {
        give_back(&self.paper);
        let stopped = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP);
        stopped.map_err(|error| failed(error.into()))?;
        self.enter_again()
    }
}

/// Errors are ignored: the terminal was closed, and they cannot be reported.
fn give_back(mut paper: &File) {
    if OURS.swap(false, Ordering::SeqCst) {
        // Cleared before it is left: a multiplexer whose window has grown would keep parts of it.
        drop(execute!(paper, DisableBracketedPaste, Clear(ClearType::All), LeaveAlternateScreen, cursor::Show));
        drop(disable_raw_mode());
        drop(paper.flush());
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        give_back(&self.paper);
    }
}
