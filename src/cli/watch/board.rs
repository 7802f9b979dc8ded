//! The state of the dashboard: the pane in focus, the selected row, sort orders, filter, what is open over the panes. Takes keys
//! and returns actions; draws and queries nothing. Pure.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use sen_core::model::verdict::NextCommand;
use sen_core::time::Timestamp;

use super::pace::Pace;
use super::page::{Acts, Page, Sheet};
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
    /// To open what a command shows.
    Read(NextCommand, Then),
    /// To look for a key, an id, or what mentions it.
    Search(String),
    /// To run a command that changes something, outside of the full screen.
    Act(NextCommand),
    /// To put a text into the clipboard.
    Copy(String),
}

/// What becomes of a page that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is shown.
    Show,
    /// It is shown, and over it the acts it offers.
    Acts,
    /// It takes the place of the rows that were shown before.
    Again,
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
    /// What is open over the panes, the newest last.
    pub pages: Vec<Page>,
    /// Whether the filter was changed since it was opened.
    typed: bool,
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
            pages: Vec::new(),
            typing: false,
            typed: false,
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
            return self.type_filter(key.code);
        }
        match key.code {
            KeyCode::Char('q') if self.pages.is_empty() => KeyAction::Quit,
            KeyCode::Char('q') | KeyCode::Esc | KeyCode::Backspace => {
                if self.pages.pop().is_none() {
                    self.filter.clear();
                }
                KeyAction::Nothing
            }
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => {
                match self.pages.last() {
                    Some(Page::Help { .. }) => drop(self.pages.pop()),
                    _ => self.pages.push(Page::Help { top: 0 }),
                }
                KeyAction::Nothing
            }
            KeyCode::Char('a') => self.acts(),
            KeyCode::Char('w') => self.about(&["sen", "why"]),
            KeyCode::Char('t') => self.about(&["sen", "timeline"]),
            KeyCode::Char('c' | 'y') => self.copy(),
            KeyCode::Char('r') => KeyAction::Look,
            code => self.walk(code),
        }
    }

    fn type_filter(&mut self, code: KeyCode) -> KeyAction {
        self.typed |= matches!(code, KeyCode::Char(_) | KeyCode::Backspace);
        match code {
            KeyCode::Esc => {
                self.filter.clear();
                self.typing = false;
            }
            KeyCode::Enter => {
                self.typing = false;
                // What no pane shows is looked for in the database, and so is what is asked for again.
                let shown = self.typed && Pane::ALL.into_iter().any(|pane| !self.rows(pane).is_empty());
                if !shown && !self.filter.trim().is_empty() {
                    return KeyAction::Search(self.filter.trim().to_owned());
                }
            }
            KeyCode::Up | KeyCode::Down => self.typing = false,
            KeyCode::Backspace if self.filter.is_empty() => self.typing = false,
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if !crate::clean::hidden(c) => self.filter.push(c),
            _ => {}
        }
        KeyAction::Nothing
    }

    /// Text that was pasted: into the filter while one is typed, else nowhere.
    pub fn paste(&mut self, text: &str) {
        if self.typing {
            self.typed = true;
            self.filter.extend(text.chars().filter(|c| !crate::clean::hidden(*c)).take(200));
        }
    }

    fn copy(&mut self) -> KeyAction {
        let command = match self.pages.last() {
            Some(page) => page.command(),
            None => self.current().map(|line| line.command.clone()),
        };
        match command.filter(|command| !command.is_empty()) {
            Some(command) => KeyAction::Copy(command),
            None => self.say("no row is selected"),
        }
    }

    fn say(&mut self, message: &str) -> KeyAction {
        self.message = Some(message.into());
        KeyAction::Nothing
    }

    /// The acts on what is selected.
    fn acts(&mut self) -> KeyAction {
        match self.pages.last() {
            Some(Page::Sheet(_)) => self.offer(),
            Some(Page::Rows(rows)) => match (rows.group(), rows.detail()) {
                (Some(acts), _) => {
                    self.pages.push(Page::Acts(acts));
                    KeyAction::Nothing
                }
                (None, Some((_, next))) => KeyAction::Read(next.clone(), Then::Acts),
                (None, None) => self.say("no row is selected"),
            },
            Some(Page::Help { .. } | Page::Acts(_)) => KeyAction::Nothing,
            None => match self.current().map(|line| (line.acts.clone(), line.open.clone(), line.id.is_some())) {
                Some((acts, ..)) if !acts.is_empty() => {
                    let title = self.current().map_or(String::new(), |line| line.cells[1].clone());
                    self.pages.push(Page::Acts(Acts { title, acts, selected: 0 }));
                    KeyAction::Nothing
                }
                Some((_, Open::Command(next), true)) => KeyAction::Read(next, Then::Acts),
                _ => self.say("acts are on one record: Enter shows the rows"),
            },
        }
    }

    /// Shows the acts that the open page offers.
    pub fn offer(&mut self) -> KeyAction {
        let Some(Page::Sheet(sheet)) = self.pages.last() else { return KeyAction::Nothing };
        if sheet.acts.is_empty() {
            return self.say("there is no act on this");
        }
        let (title, acts) = (sheet.title.clone(), sheet.acts.clone());
        self.pages.push(Page::Acts(Acts { title, acts, selected: 0 }));
        KeyAction::Nothing
    }

    /// Puts rows that were read again in the place of the same rows, the selection in its place.
    pub fn renew(&mut self, page: Page) {
        if let (Some(Page::Rows(old)), Page::Rows(mut new)) = (self.pages.last_mut(), page)
            && old.source == new.source
        {
            new.selected = old.selected.min(new.count().saturating_sub(1));
            *old = new;
        }
    }

    /// What another command tells of the record that is selected.
    fn about(&mut self, words: &[&str]) -> KeyAction {
        let id = match self.pages.last() {
            Some(page) => page.id().map(str::to_owned),
            None => self.current().and_then(|line| line.id.clone()),
        };
        match id {
            Some(id) => KeyAction::Read(NextCommand::new(words, "").id(&id), Then::Show),
            None => self.say("no single record is selected"),
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
            KeyCode::Enter => return self.open(),
            KeyCode::Char('/') => {
                self.pages.clear();
                self.typing = true;
                self.typed = false;
            }
            _ if !self.pages.is_empty() => {}
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(-1),
            KeyCode::Char('s') => {
                let order = &mut self.orders[self.pane as usize];
                *order = (*order + 1) % self.pane.orders().len();
            }
            _ => {}
        }
        KeyAction::Nothing
    }

    fn open(&mut self) -> KeyAction {
        match self.pages.last() {
            Some(Page::Rows(rows)) => {
                return rows.detail().map_or(KeyAction::Nothing, |(_, next)| KeyAction::Read(next.clone(), Then::Show));
            }
            Some(Page::Acts(acts)) => {
                return acts.acts.get(acts.selected).map_or(KeyAction::Nothing, |act| KeyAction::Act(act.clone()));
            }
            Some(Page::Sheet(sheet)) if !sheet.is_chain => return self.about(&["sen", "why"]),
            Some(Page::Sheet(_) | Page::Help { .. }) => return KeyAction::Nothing,
            None => {}
        }
        let Some((open, title, command)) =
            self.current().map(|line| (line.open.clone(), line.cells[0].clone(), line.command.clone()))
        else {
            return KeyAction::Nothing;
        };
        match open {
            Open::Words(lines) => {
                let title = format!("{}: {title}", self.pane.title());
                self.pages.push(Page::Sheet(Sheet::words(title, lines, command)));
                KeyAction::Nothing
            }
            Open::Command(next) => KeyAction::Read(next, Then::Show),
        }
    }

    fn turn(&mut self, by: isize) {
        let panes = self.panes();
        let at = panes.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        let next = (at as isize + by).rem_euclid(panes.len() as isize);
        self.pane = panes[next as usize];
    }

    fn step(&mut self, by: isize) {
        if let Some(page) = self.pages.last_mut() {
            page.step(by);
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
    fn a_filter_that_is_asked_for_again_is_looked_for_in_the_database() {
        let mut board = board();
        board.filter = "qs".into();
        press(&mut board, KeyCode::Char('/'));
        assert_eq!(press(&mut board, KeyCode::Enter), KeyAction::Search("qs".into()));
    }

    #[test]
    fn q_closes_what_is_open_first() {
        let mut board = board();
        press(&mut board, KeyCode::Char('?'));
        assert!(matches!(board.pages.as_slice(), [Page::Help { .. }]));
        assert_eq!(press(&mut board, KeyCode::Char('q')), KeyAction::Nothing);
        assert_eq!(press(&mut board, KeyCode::Char('q')), KeyAction::Quit);
    }
}
