//! The state of the dashboard: the pane in focus, the selected row, sort orders, filter, what is open over the panes. Takes keys
//! and returns actions; draws and queries nothing. Pure.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use sen_core::time::Timestamp;

use super::pace::Pace;
use super::picture::{Line, Open, Pane, Picture};

/// What a key requests of the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyAction {
    /// Only to draw again.
    Nothing,
    /// To end.
    Quit,
    /// To end as after an interrupt.
    Interrupt,
    /// To go to the background.
    Suspend,
    /// To take a snapshot now, if the minimum interval allows it.
    Look,
    /// To fetch what this opens.
    Open(Open),
    /// To put a text into the clipboard.
    Copy(String),
}

/// What is shown over the panes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// Nothing.
    Nothing,
    /// The keys.
    Help,
    /// Something in depth: title, clean lines, the first one shown, the command that belongs to it.
    Detail {
        /// What it is.
        title: String,
        /// The lines.
        lines: Vec<String>,
        /// The first one shown.
        top: usize,
        /// What `c` copies.
        command: String,
    },
}

/// Why there is no fresh picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Since when, by this machine's clock.
    pub since: Timestamp,
    /// The error of the last attempt, filtered.
    pub why: String,
    /// Whether the connection is lost, rather than an answer late.
    pub lost: bool,
}

/// The whole dashboard.
pub struct Board {
    /// What was found.
    pub picture: Picture,
    /// How often a snapshot is taken.
    pub pace: Pace,
    /// The pane that has the keys.
    pub pane: Pane,
    /// What is shown over the panes.
    pub over: Over,
    /// Whether keys go into the filter.
    pub typing: bool,
    /// Only rows that hold this are shown.
    pub filter: String,
    /// The last message.
    pub message: Option<String>,
    /// Why the picture is old.
    pub trouble: Option<Trouble>,
    /// Since when an answer is awaited, by this machine's clock.
    pub asking: Option<Timestamp>,
    /// Whether colour is allowed.
    pub color: bool,
    orders: [usize; 5],
    selected: [(usize, String); 5],
}

impl Board {
    /// An empty board.
    pub fn new(pace: Pace, color: bool) -> Self {
        Self {
            picture: Picture::default(),
            pace,
            pane: Pane::Attention,
            over: Over::Nothing,
            typing: false,
            filter: String::new(),
            message: None,
            trouble: None,
            asking: None,
            color,
            orders: [0; 5],
            selected: Default::default(),
        }
    }

    /// The rows of a pane as they are to be shown.
    pub fn rows(&self, pane: Pane) -> Vec<&Line> {
        self.picture.rows(pane, self.orders[pane as usize], &self.filter.to_lowercase())
    }

    /// The name of a pane's order.
    pub fn order(&self, pane: Pane) -> &'static str {
        pane.orders()[self.orders[pane as usize]]
    }

    /// The index of the selected row in `rows`: the row that was selected, wherever it is now; else the row in its place.
    pub fn selected(&self, pane: Pane, rows: &[&Line]) -> Option<usize> {
        let (index, name) = &self.selected[pane as usize];
        let same = rows.iter().position(|line| line.name == *name);
        same.or_else(|| (!rows.is_empty()).then(|| (*index).min(rows.len() - 1)))
    }

    /// The selected row of the pane that has the keys.
    pub fn current(&self) -> Option<&Line> {
        let rows = self.rows(self.pane);
        self.selected(self.pane, &rows).and_then(|at| rows.get(at).copied())
    }

    /// The panes that are there, in order.
    pub fn panes(&self) -> Vec<Pane> {
        Pane::ALL.into_iter().filter(|pane| self.picture.has(*pane)).collect()
    }

    /// Moves the focus away from a pane that no longer exists.
    pub fn settle(&mut self) {
        if !self.picture.has(self.pane) {
            self.pane = Pane::Attention;
        }
    }

    /// What a key means.
    pub fn key(&mut self, key: KeyEvent) -> KeyAction {
        if key.kind == KeyEventKind::Release {
            return KeyAction::Nothing;
        }
        self.message = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return KeyAction::Interrupt,
                KeyCode::Char('z') => return KeyAction::Suspend,
                KeyCode::Char('l' | 'r') => return KeyAction::Look,
                KeyCode::Char('u') if self.typing => self.filter.clear(),
                KeyCode::Char('d') => self.step(10),
                KeyCode::Char('u') => self.step(-10),
                _ => {}
            }
            return KeyAction::Nothing;
        }
        if self.typing {
            self.type_filter(key.code);
            return KeyAction::Nothing;
        }
        match key.code {
            KeyCode::Char('q') if self.over == Over::Nothing => KeyAction::Quit,
            KeyCode::Char('q') | KeyCode::Esc | KeyCode::Backspace => {
                match &self.over {
                    Over::Nothing => self.filter.clear(),
                    _ => self.over = Over::Nothing,
                }
                KeyAction::Nothing
            }
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => {
                self.over = if self.over == Over::Help { Over::Nothing } else { Over::Help };
                KeyAction::Nothing
            }
            KeyCode::Char('c' | 'y') => self.copy(),
            KeyCode::Char('r') => KeyAction::Look,
            code => self.walk(code),
        }
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Esc => {
                self.filter.clear();
                self.typing = false;
            }
            KeyCode::Enter | KeyCode::Up | KeyCode::Down => self.typing = false,
            KeyCode::Backspace if self.filter.is_empty() => self.typing = false,
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if !crate::clean::hidden(c) => self.filter.push(c),
            _ => {}
        }
    }

    /// Text that was pasted: into the filter while one is typed, else nowhere.
    pub fn paste(&mut self, text: &str) {
        if self.typing {
            self.filter.extend(text.chars().filter(|c| !crate::clean::hidden(*c)).take(200));
        }
    }

    fn copy(&mut self) -> KeyAction {
        let command = match &self.over {
            Over::Detail { command, .. } => Some(command.clone()),
            _ => self.current().map(|line| line.command.clone()),
        };
        match command.filter(|command| !command.is_empty()) {
            Some(command) => KeyAction::Copy(command),
            None => {
                self.message = Some("no row is selected".into());
                KeyAction::Nothing
            }
        }
    }

    fn walk(&mut self, code: KeyCode) -> KeyAction {
        match code {
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.step(10),
            KeyCode::PageUp => self.step(-10),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX),
            _ if self.over != Over::Nothing => {}
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(-1),
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('s') => {
                let order = &mut self.orders[self.pane as usize];
                *order = (*order + 1) % self.pane.orders().len();
            }
            KeyCode::Enter => return self.open(),
            _ => {}
        }
        KeyAction::Nothing
    }

    fn open(&mut self) -> KeyAction {
        let Some((open, title, command)) =
            self.current().map(|line| (line.open.clone(), line.cells[0].clone(), line.command.clone()))
        else {
            return KeyAction::Nothing;
        };
        match open {
            Open::Words(lines) => {
                self.over = Over::Detail { title: format!("{}: {title}", self.pane.title()), lines, top: 0, command };
                KeyAction::Nothing
            }
            open => KeyAction::Open(open),
        }
    }

    fn turn(&mut self, by: isize) {
        let panes = self.panes();
        let at = panes.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        let next = (at as isize + by).rem_euclid(panes.len() as isize);
        self.pane = panes[next as usize];
    }

    fn step(&mut self, by: isize) {
        if let Over::Detail { top, lines, .. } = &mut self.over {
            *top = moved(*top, by, lines.len());
            return;
        }
        let rows = self.rows(self.pane);
        let Some(at) = self.selected(self.pane, &rows) else { return };
        let next = moved(at, by, rows.len());
        let name = rows[next].name.clone();
        self.selected[self.pane as usize] = (next, name);
    }
}

fn moved(at: usize, by: isize, length: usize) -> usize {
    at.saturating_add_signed(by).min(length.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn board() -> Board {
        Board::new(Pace::new(Duration::from_secs(2), 50), false)
    }

    fn press(board: &mut Board, code: KeyCode) -> KeyAction {
        board.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn an_empty_board_takes_every_key() {
        let mut board = board();
        for code in ['j', 'k', 's', 'g', 'G', 'l', 'h', 'h', 'c', ' '] {
            assert_eq!(press(&mut board, KeyCode::Char(code)), KeyAction::Nothing);
        }
        for code in [KeyCode::Enter, KeyCode::Tab, KeyCode::BackTab, KeyCode::PageDown, KeyCode::End, KeyCode::Esc] {
            assert_eq!(press(&mut board, code), KeyAction::Nothing);
        }
        assert_eq!(press(&mut board, KeyCode::Char('q')), KeyAction::Quit);
    }

    #[test]
    fn while_a_filter_is_typed_letters_are_letters() {
        let mut board = board();
        press(&mut board, KeyCode::Char('/'));
        for c in "qs\u{1b}?".chars() {
            assert_eq!(press(&mut board, KeyCode::Char(c)), KeyAction::Nothing);
        }
        assert_eq!(board.filter, "qs?");
        press(&mut board, KeyCode::Enter);
        assert_eq!(press(&mut board, KeyCode::Char('q')), KeyAction::Quit);
        press(&mut board, KeyCode::Esc);
        assert_eq!(board.filter, "");
        assert_eq!(board.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), KeyAction::Interrupt);
    }

    #[test]
    fn q_closes_what_is_open_first() {
        let mut board = board();
        press(&mut board, KeyCode::Char('?'));
        assert_eq!(board.over, Over::Help);
        assert_eq!(press(&mut board, KeyCode::Char('q')), KeyAction::Nothing);
        assert_eq!(press(&mut board, KeyCode::Char('q')), KeyAction::Quit);
    }
}
