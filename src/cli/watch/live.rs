//! The loop of the dashboard: queries the database at intervals, handles keys and signals, draws. At most one snapshot is under
//! way; dead letters, which are expensive to group, have a longer interval.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::letter::LetterGroup;
use sen_core::model::verdict::NextCommand;
use sen_core::ops::snapshot::{Snapshot, letter_groups, snapshot};
use sen_core::ops::why::why;
use sen_core::registry::{self, Access, Database};
use sen_core::stores::url::{RedisInfo, Target};
use sen_core::text::named;
use sen_core::time::{Timestamp, Uptime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::board::{Board, KeyAction, Then, Trouble};
use super::draw::draw;
use super::found;
use super::pace::Pace;
use super::page::Page;
use crate::clean::clean;
use crate::exit::{self, Exit};
use crate::screen::full::Full;
use crate::session::Session;

/// A look of so many milliseconds is followed by this many times as many without one, and so takes less than 2 % of one
/// core, together with the dead letters and what the server does around it.
pub const SHARE: u32 = 64;
/// The same for dead letters: a further 0.4 %.
pub const LETTERS_SHARE: u32 = 250;
/// Dead letters are grouped no more often than this.
pub const LETTERS: Duration = Duration::from_secs(30);
/// More of them are not grouped here at all: it reads every one, and costs the server about a second for ten thousand.
pub const MANY: u64 = 10_000;
/// The maximum number of records under way that are read of each system.
pub const PAGE: u64 = 50;
/// How long a message stays below the panes.
const SAID: Duration = Duration::from_secs(5);
/// A lost connection is sought again no sooner, and no later, than this.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// The database, and how it is opened.
#[derive(Clone)]
pub struct Source {
    /// The database.
    pub target: Target,
    /// A Redis beside it.
    pub beside: Option<RedisInfo>,
    /// How it is opened.
    pub settings: registry::Settings,
}

impl Source {
    /// Connects.
    ///
    /// # Errors
    /// `Connect`.
    pub async fn open(&self) -> Result<Database> {
        let mut database = registry::open_with(&self.target, Access::Watch, self.settings.clone()).await?;
        if let Some(info) = &self.beside {
            database.beside(info, self.settings.limit);
        }
        Ok(database)
    }

    /// Runs a question that a silent network must not keep for ever.
    ///
    /// # Errors
    /// What `question` returns; `Disconnected` when it does not.
    pub async fn within<T>(&self, question: impl Future<Output = Result<T>>) -> Result<T> {
        let patience =
            self.settings.limit.unwrap_or(Duration::from_secs(60)).saturating_mul(2) + Duration::from_secs(5);
        tokio::time::timeout(patience, question).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Disconnected, format!("no answer within {}s", patience.as_secs())))
        })
    }
}

/// Whether the connection is of no more use.
pub fn is_loss(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Connect | ErrorKind::Disconnected)
}

/// An error in one clean line.
pub fn told(error: &Error) -> String {
    clean(&crate::mask::message(&error.to_string())).into_owned()
}

type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The end of a snapshot: its connection, its duration, and the answer.
type Looked = (Option<Rc<Database>>, Duration, Result<Snapshot>);

async fn look(source: Source, open: Option<Rc<Database>>) -> Looked {
    let question = async {
        let database = match open {
            Some(database) => database,
            None => Rc::new(source.open().await?),
        };
        let start = Uptime::now();
        let answer = source.within(snapshot(&database, PAGE)).await;
        Ok((database, start.until(Uptime::now()), answer))
    };
    match question.await {
        Ok((database, took, answer)) => (Some(database), took, answer),
        Err(error) => (None, Duration::ZERO, Err(error)),
    }
}

async fn letters(source: Source, database: Rc<Database>) -> (Duration, Result<Vec<LetterGroup>>) {
    let start = Uptime::now();
    let answer = source.within(letter_groups(&database)).await;
    (start.until(Uptime::now()), answer)
}

/// What a command shows, as a page.
async fn page(source: Source, session: &Session, next: NextCommand) -> Result<Option<Page>> {
    source
        .within(async {
            let output = session.read_command(next.words()).await?;
            Page::of(&next, output).await
        })
        .await
}

/// What has this key or id, and what mentions it, as `sen why` finds it.
async fn search(source: Source, database: Rc<Database>, text: String) -> Result<Option<Page>> {
    let chain = source.within(why(&database, &text)).await?;
    if chain.links.is_empty() {
        return Ok(None);
    }
    Ok(Some(found::page(&text, &chain.links)))
}

/// Ends when a task that is there ends; never when there is none.
async fn ended<T>(task: &mut Option<Task<'_, T>>) -> T {
    match task {
        Some(running) => {
            let value = running.await;
            *task = None;
            value
        }
        None => std::future::pending().await,
    }
}

/// The signals that end a program, and what their exit codes are.
struct Ends([(Signal, u8); 3]);

impl Ends {
    fn listen() -> Result<Self> {
        let on = |kind: SignalKind, code| {
            let heard = signal(kind);
            heard
                .map(|heard| (heard, code))
                .map_err(|error| Error::new(ErrorKind::Internal, "cannot listen for signals").with_source(error))
        };
        Ok(Self([on(SignalKind::terminate(), 143)?, on(SignalKind::hangup(), 129)?, on(SignalKind::quit(), 131)?]))
    }

    async fn heard(&mut self) -> Exit {
        let [(term, term_code), (hangup, hangup_code), (quit, quit_code)] = &mut self.0;
        tokio::select! {
            _ = term.recv() => Exit::Own(*term_code),
            _ = hangup.recv() => Exit::Own(*hangup_code),
            _ = quit.recv() => Exit::Own(*quit_code),
        }
    }
}

/// What follows from an event.
enum Step {
    /// Nothing further.
    Further,
    /// The end.
    End(Exit),
    /// A command that changes something.
    Act(NextCommand),
}

/// The running dashboard.
struct Live<'a> {
    session: &'a Session,
    source: Source,
    board: Board,
    full: Full,
    database: Option<Rc<Database>>,
    look: Option<Task<'a, Looked>>,
    letters: Option<Task<'a, (Duration, Result<Vec<LetterGroup>>)>>,
    page: Option<Task<'a, Result<Option<Page>>>>,
    /// What becomes of that page, and what is said where there is none.
    then: (Then, String),
    letters_pace: Pace,
    next_look: Instant,
    next_letters: Instant,
    failures: u32,
    /// What the board last said, and when it began to.
    said: Option<(String, Instant)>,
}

/// Shows the dashboard until its end. `database` is open already: what cannot be had at all is said without it.
///
/// # Errors
/// `Io`; what the first look meets when there is nothing to see here.
pub async fn run(
    session: &Session,
    source: Source,
    database: Database,
    interval: Duration,
    (full, color): (Full, bool),
) -> Result<Exit> {
    let mut ends = Ends::listen()?;
    let mut events = EventStream::new();
    let now = Instant::now();
    let mut live = Live {
        session,
        source,
        board: Board::new(Pace::new(interval, SHARE), color),
        full,
        database: Some(Rc::new(database)),
        look: None,
        letters: None,
        page: None,
        then: (Then::Show, String::new()),
        letters_pace: Pace::new(LETTERS, LETTERS_SHARE),
        next_look: now,
        next_letters: now,
        failures: 0,
        said: None,
    };
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        live.forget();
        live.lay()?;
        let here = Timestamp::here();
        live.full.draw(|frame| draw(&live.board, here, frame))?;
        #[cfg(debug_assertions)]
        if std::env::var_os("SEN_DEBUG_PANIC").is_some() && live.board.picture.now.is_some() {
            panic!("asked for by SEN_DEBUG_PANIC");
        }
        // One query at a time, or the second one would be taken for slow.
        let idle = live.look.is_none() && live.letters.is_none();
        tokio::select! {
            end = ends.heard() => return Ok(end),
            event = events.next() => match event {
                Some(Ok(event)) => match live.event(event)? {
                    Step::Further => {}
                    Step::End(exit) => return Ok(exit),
                    Step::Act(next) => {
                        // Its reader would take the answers to what is asked.
                        drop(events);
                        if let Some(exit) = live.act(next).await? {
                            return Ok(exit);
                        }
                        events = EventStream::new();
                    }
                },
                // The terminal was closed.
                Some(Err(_)) | None => return Ok(Exit::Own(129)),
            },
            looked = ended(&mut live.look) => live.looked(looked)?,
            (took, answer) = ended(&mut live.letters) => live.grouped(took, answer),
            answer = ended(&mut live.page) => live.opened(answer),
            () = tokio::time::sleep_until(live.next_look), if idle => live.start(),
            _ = second.tick() => {}
        }
    }
}

impl<'a> Live<'a> {
    fn read(&mut self, page: Task<'a, Result<Option<Page>>>, then: (Then, String)) {
        if self.database.is_none() {
            self.board.message = Some("not connected".into());
            return;
        }
        self.then = then;
        self.board.message = Some("looking …".into());
        self.page = Some(page);
    }

    /// An old message is replaced by the list of keys.
    fn forget(&mut self) {
        let Some(message) = &self.board.message else {
            self.said = None;
            return;
        };
        match &self.said {
            Some((said, since)) if said == message => {
                if since.elapsed() >= SAID {
                    self.board.message = None;
                    self.said = None;
                }
            }
            _ => self.said = Some((message.clone(), Instant::now())),
        }
    }

    fn start(&mut self) {
        let begun = Instant::now();
        self.next_look = begun + self.board.pace.interval();
        self.board.asking = Some(Timestamp::here());
        self.look = Some(Box::pin(look(self.source.clone(), self.database.clone())));
    }

    fn looked(&mut self, (database, took, answer): Looked) -> Result<()> {
        let fresh = self.database.is_none() && database.is_some();
        self.board.asking = None;
        self.database = database;
        match answer {
            Ok(snapshot) => {
                self.board.pace.took(took);
                self.next_look = Instant::now() - took.min(Duration::from_secs(60)) + self.board.pace.interval();
                self.board.picture.absorb(&snapshot);
                self.board.settle();
                if self.board.trouble.take().is_some() {
                    self.board.message = Some("here again".into());
                }
                self.failures = 0;
                if fresh {
                    self.next_letters = Instant::now();
                }
                self.start_letters();
            }
            Err(error) => self.fail(error)?,
        }
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Result<()> {
        let never = self.board.picture.now.is_none();
        if never && matches!(error.kind(), ErrorKind::NoSystem | ErrorKind::Usage | ErrorKind::Denied) {
            return Err(error);
        }
        let lost = is_loss(&error);
        if lost {
            self.database = None;
            self.letters = None;
        }
        self.failures += 1;
        let wait = AGAIN.0.saturating_mul(1 << self.failures.min(4)).min(AGAIN.1).max(self.board.pace.interval());
        self.next_look = Instant::now() + wait.min(AGAIN.1.max(self.board.pace.interval()));
        let since = self.board.trouble.as_ref().map_or_else(Timestamp::here, |trouble| trouble.since);
        self.board.trouble = Some(Trouble { since, why: told(&error), lost });
        Ok(())
    }

    fn start_letters(&mut self) {
        let due = self.letters.is_none() && Instant::now() >= self.next_letters;
        let Some(database) = self.database.clone().filter(|_| due) else { return };
        match self.board.picture.dead() {
            0 => self.board.picture.absorb_letters(&[], Timestamp::NEG_INFINITY),
            many if many > MANY => self.board.picture.too_many_letters(many),
            _ => {
                self.letters = Some(Box::pin(letters(self.source.clone(), database)));
                return;
            }
        }
        self.board.settle();
    }

    fn grouped(&mut self, took: Duration, answer: Result<Vec<LetterGroup>>) {
        self.letters_pace.took(took);
        self.next_letters = Instant::now() + self.letters_pace.interval();
        match (answer, self.board.picture.now) {
            (Ok(groups), Some(now)) => self.board.picture.absorb_letters(&groups, now),
            (Err(error), _) if !is_loss(&error) => {
                self.board.message = Some(format!("dead letters: {}", told(&error)));
            }
            _ => {}
        }
        self.board.settle();
    }

    /// Lays the open page out for the width there is.
    fn lay(&mut self) -> Result<()> {
        let columns = self.full.columns();
        self.board.pages.last_mut().map_or(Ok(()), |page| page.lay(columns))
    }

    fn opened(&mut self, answer: Result<Option<Page>>) {
        let (then, nothing) = std::mem::replace(&mut self.then, (Then::Show, String::new()));
        match answer {
            Ok(Some(page)) => {
                match then {
                    Then::Again => self.board.renew(page),
                    Then::Show | Then::Acts => {
                        self.board.message = None;
                        self.board.pages.push(page);
                    }
                }
                if then == Then::Acts {
                    self.board.offer();
                }
            }
            Ok(None) => self.board.message = Some(nothing),
            Err(error) => self.board.message = Some(told(&error)),
        }
    }

    fn event(&mut self, event: Event) -> Result<Step> {
        let wish = match event {
            Event::Key(key) => self.board.key(key),
            Event::Paste(text) => {
                self.board.paste(&text);
                KeyAction::Nothing
            }
            Event::Resize(..) => {
                self.full.refresh()?;
                KeyAction::Nothing
            }
            _ => KeyAction::Nothing,
        };
        match wish {
            KeyAction::Nothing => {}
            KeyAction::Quit => return Ok(Step::End(Exit::Done)),
            KeyAction::Interrupt => return Ok(Step::End(Exit::Interrupted)),
            KeyAction::Suspend => self.full.suspend()?,
            KeyAction::Look => {
                self.full.refresh()?;
                if self.board.pace.stretched() {
                    self.board.message = Some("an answer takes long here; refreshing less often".into());
                } else {
                    self.next_look = self.next_look.min(Instant::now());
                }
            }
            KeyAction::Copy(command) => {
                self.full.copy(&command)?;
                self.board.message = Some(format!("copied: {command}"));
            }
            KeyAction::Read(next, then) => {
                let command = next.command.clone();
                let (source, session) = (self.source.clone(), self.session);
                self.read(Box::pin(page(source, session, next)), (then, format!("nothing to show: {command}")));
            }
            KeyAction::Search(text) => {
                if let Some(database) = self.database.clone() {
                    let nothing = format!("nothing is or mentions {}", named(&clean(&text)));
                    self.read(Box::pin(search(self.source.clone(), database, text)), (Then::Show, nothing));
                }
            }
            KeyAction::Act(next) => match self.refusal() {
                Some(why) => self.board.message = Some(why.to_owned()),
                None => return Ok(Step::Act(next)),
            },
        }
        Ok(Step::Further)
    }

    /// Runs a command outside of the full screen, where it shows its plan and asks, as if it had been typed.
    async fn act(&mut self, next: NextCommand) -> Result<Option<Exit>> {
        self.full.leave();
        let exit = self.session.run_aloud(next).await;
        // An interrupt stops acts for good.
        if self.session.interrupt.revocation().is_revoked() {
            return Ok(Some(Exit::Interrupted));
        }
        self.full.enter_again()?;
        self.board.message = Some(match exit {
            Exit::Done => "done".to_owned(),
            other => {
                let meaning = exit::TABLE.iter().find(|(code, _)| *code == other.code());
                format!("exit code {}: {}", other.code(), meaning.map_or("see above", |(_, meaning)| *meaning))
            }
        });
        self.next_look = Instant::now();
        // What was shown of the record is over; its rows are read again.
        while self.board.pages.last().is_some_and(|page| !matches!(page, Page::Rows(_))) {
            self.board.pages.pop();
        }
        if let Some(Page::Rows(rows)) = self.board.pages.last()
            && let Some(next) = rows.source.clone()
        {
            self.then = (Then::Again, String::new());
            self.page = Some(Box::pin(page(self.source.clone(), self.session, next)));
        }
        Ok(None)
    }

    /// Why nothing can be changed from here.
    fn refusal(&self) -> Option<&'static str> {
        if self.session.globals.read_only {
            return Some("--read-only was given: nothing can be changed");
        }
        (!self.session.can_ask()).then_some("nothing can be asked here, so nothing can be changed")
    }
}
