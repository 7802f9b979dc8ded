//! The command line for clap, and the one path from arguments to exit code.

use std::ffi::OsString;
use std::rc::Rc;

use clap::{Args as _, CommandFactory as _, FromArgMatches as _, Parser};
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::verdict::NextCommand;
use sen_core::text::is_mark;
use sen_core::time::When;

use crate::args::Globals;
use crate::commands::{self, Command};
use crate::completion;
use crate::consent;
use crate::exit::Exit;
use crate::hook;
use crate::interrupt::Interrupt;
use crate::mask;
use crate::output::{Format, Options};
use crate::screen::Screen;
use crate::screen::terminal::ColorChoice;
use crate::session::{CommandLine, Running, Session, Surroundings};
use crate::times;
use crate::usage;
use crate::views::{CommandOutput, View};
use crate::watch::repeat;

/// See, decide and act on work that must not run twice.
///
/// sen reads DATABASE_URL, finds the systems in that database (leases, durable executions, sagas, agent tasks), and tells
/// what really happened and what to do next. It works beside live workers and leaves the data as they expect it.
#[derive(Debug, Parser)]
#[command(
    name = "sen",
    version,
    long_version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SEN_BUILD"), ")"),
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    propagate_version = false,
    after_help = "\
Examples:
  sen status                          what needs a person, and what to type
  sen why payments:order-789          the chain of causes, through every system
  sen inspect payments:order-789      everything known of a key or id
  sen dlq groups                      what died, by step and error
  sen once backup:today -- ./backup   run a command at most once

`sen demo` makes a database to play with; `sen help exit-codes` is for scripts."
)]
pub struct App {
    /// The options every command takes.
    #[command(flatten)]
    pub globals: Globals,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs the program with these arguments, the first being its own name.
pub fn run(arguments: Vec<OsString>) -> Exit {
    if arguments.get(1).is_some_and(|word| word == completion::WORD) {
        return completion::answer(&arguments, App::command(), &Screen::new(ColorChoice::Never, true, &environment));
    }
    // A URL may be given in a wrong place: the error must not show its password.
    arguments.iter().filter_map(|argument| argument.to_str()).for_each(sen_core::stores::url::remember);
    let (app, words) = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let screen = Screen::new(ColorChoice::Auto, false, &environment);
            return usage::say(&error, &arguments, strict(App::command()), &screen);
        }
    };
    let (color, quiet) = (app.globals.color, app.globals.quiet);
    let screen = Rc::new(Screen::new(color, quiet, &environment));
    let format = app.globals.output;
    let watch = app.globals.watch;
    // What stands behind `--` of `sen once` is the command's own.
    let own =
        arguments.iter().take_while(|argument| words.first().is_none_or(|word| word != "once") || *argument != "--");
    if let Some(mark) = own.filter_map(|argument| argument.to_str()).find(|argument| is_mark(argument)) {
        let error = Error::usage(format!("{mark} is a mark for something that only you know; nothing was done"))
            .with_hint("put the value itself in its place");
        return screen.fault(&error, format);
    }
    if format == Format::Csv && !commands::is_list(&words) {
        let error = Error::usage(format!("`sen {}` cannot be printed as CSV; nothing was done", words.join(" ")))
            .with_hint("-o csv is for lists, whose rows are flat; use -o json or -o jsonl here");
        screen.fault(&error, format);
        return usage::exit(&arguments, &App::command());
    }
    NextCommand::chosen_by(app.globals.naming());
    mask::reveal(app.globals.reveal);
    times::choose(app.globals.utc);
    if watch.is_some() && !repeat::can(&words) {
        let error = Error::usage(format!("`{}` cannot be repeated with --watch", words.join(" ")))
            .with_hint("--watch is for commands that list or show; `sen watch` is a dashboard of everything");
        return screen.fault(&error, format);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::new(ErrorKind::Internal, "cannot start the runtime").with_source(error);
            return screen.fault(&error, format);
        }
    };
    let interrupt = Rc::new(Interrupt::default());
    let hears_signals = app.command.hears_signals();
    let exit = runtime.block_on(async {
        let interrupted = async {
            // A command that forwards signals decides itself what an interrupt means.
            if hears_signals {
                std::future::pending::<()>().await;
            }
            interrupt.heard(&screen).await;
        };
        let work = async {
            let Some(every) = watch else { return work(app, &screen, &interrupt, false).await };
            let title = usage::title(&arguments);
            let fresh = || Screen::new(color, quiet, &environment);
            // Boxed: a command that is not repeated must not pay for its size.
            let repeated = Box::pin(repeat::repeat(every, &title, format, fresh, async |screen| {
                // Parsed again each time: running a command consumes its arguments.
                match parse(&arguments) {
                    Ok((mut app, _)) => {
                        app.globals.read_only = true;
                        work(app, &Rc::new(screen), &interrupt, false).await
                    }
                    Err(_) => Exit::Usage,
                }
            }));
            repeated.await
        };
        tokio::select! {
            exit = work => exit,
            () = interrupted => interrupt.exit(),
        }
    });
    // The end of the process closes open connections; closing them in order costs a round trip.
    runtime.shutdown_background();
    exit
}

/// Describing every command to clap takes a third of a millisecond and more, which `sen inspect` feels. So the one that
/// seems to be named is tried alone; help, errors and everything unusual get the whole.
fn parse(arguments: &[OsString]) -> Result<(App, Vec<String>), clap::Error> {
    let read = |matches: clap::ArgMatches| {
        let words = words(&matches);
        must_be_a_span(&matches)?;
        App::from_arg_matches(&matches).map(|app| (app, words))
    };
    let named = arguments.iter().skip(1).filter_map(|argument| argument.to_str()).find_map(commands::alone);
    let alone = named.and_then(|command| {
        let small =
            Globals::augment_args(clap::Command::new("sen").subcommand_required(true).disable_help_subcommand(true))
                .subcommand(command);
        strict(small).try_get_matches_from(arguments).and_then(read).ok()
    });
    match alone {
        Some(app) => Ok(app),
        None => strict(App::command()).try_get_matches_from(arguments).and_then(read),
    }
}

/// Refuses `--until` before `--since`, of every command that has them: nothing lies between, and "nothing happened" would be
/// read as news. A time and a span are not compared: what they mean is for the database's clock to say.
fn must_be_a_span(mut matches: &clap::ArgMatches) -> Result<(), clap::Error> {
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    let given = |id| matches.try_get_one::<When>(id).ok().flatten().copied();
    let empty = match (given("since"), given("until")) {
        (Some(When::At(since)), Some(When::At(until))) => since >= until,
        (Some(When::Ago(since)), Some(When::Ago(until))) => since <= until,
        _ => false,
    };
    if !empty {
        return Ok(());
    }
    let message = "--until is not after --since: nothing lies between (2h is two hours ago: --since 2h --until 1h)\n";
    Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, message))
}

/// With every text refused where it is empty: `--worker "$WORKER"` with an unset variable must not mean every worker, nor
/// silently match nothing.
fn strict(command: clap::Command) -> clap::Command {
    let text = clap::builder::ValueParser::string().type_id();
    let command = command.mut_args(|argument| {
        let free = argument.get_possible_values().is_empty();
        if free && argument.get_action().takes_values() && argument.get_value_parser().type_id() == text {
            argument.value_parser(clap::builder::NonEmptyStringValueParser::new())
        } else {
            argument
        }
    });
    aliased(command.mut_subcommands(strict))
}

/// With the short names that people type elsewhere: `ls` lists, and `get` shows.
fn aliased(command: clap::Command) -> clap::Command {
    let taken = command.find_subcommand("get").is_some();
    command.mut_subcommands(|inner| match inner.get_name() {
        "list" => inner.alias("ls"),
        "show" | "inspect" if !taken => inner.alias("get"),
        _ => inner,
    })
}

/// The words that name the command: `list`, `saga outbox list`.
fn words(mut matches: &clap::ArgMatches) -> Vec<String> {
    let mut words = Vec::new();
    while let Some((name, inner)) = matches.subcommand() {
        words.push(name.to_owned());
        matches = inner;
    }
    words
}

/// The command line as commands know it.
pub const LINE: CommandLine = CommandLine { tree: App::command, read: read_inside, act: act_inside };

/// The command of these words, with the options for every command that are given already.
fn inside(words: &[String], globals: Globals) -> Result<App> {
    let arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
    let (app, _) = parse(&arguments).map_err(|error| {
        let rendered = error.to_string();
        Error::usage(rendered.lines().next().unwrap_or_default().trim_start_matches("error: "))
    })?;
    Ok(App { globals: Globals { watch: None, fields: Vec::new(), output: Format::Table, ..globals }, ..app })
}

/// Words of an act with the reason for it, where the operator gives one.
fn with_reason(mut words: Vec<String>) -> Result<Vec<String>> {
    // It asks by itself, once it is known what is to become of the key.
    if words.get(1).is_some_and(|word| word == "reconcile") {
        return Ok(words);
    }
    if let Some(reason) = consent::reason()? {
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        words.insert(end, format!("--reason={reason}"));
    }
    Ok(words)
}

fn read_inside(words: Vec<String>, (globals, screen, interrupt): Surroundings) -> Running<Result<CommandOutput>> {
    Box::pin(async move {
        let app = inside(&words, Globals { read_only: true, ..globals })?;
        let session = Session::new(app.globals, LINE, screen, interrupt);
        match app.command.run(&session).await {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NoSystem) => {
                Err(session.denied().into_iter().next().unwrap_or(error))
            }
            answer => answer,
        }
    })
}

fn act_inside(words: Vec<String>, (globals, _, interrupt): Surroundings) -> Running<Exit> {
    Box::pin(async move {
        // The terminal may have another size than when the program began.
        let screen = Rc::new(Screen::new(globals.color, globals.quiet, &environment));
        match with_reason(words).and_then(|words| inside(&words, globals)) {
            Ok(app) => work(app, &screen, &interrupt, true).await,
            Err(error) => screen.fault(&error, Format::Table),
        }
    })
}

async fn work(app: App, screen: &Rc<Screen>, interrupt: &Rc<Interrupt>, always_asks: bool) -> Exit {
    let options = Options {
        format: app.globals.output,
        fields: app.globals.fields.clone(),
        reveal: app.globals.reveal,
        pager: !app.globals.no_pager,
    };
    let verbose = app.globals.verbose;
    let mut session = Session::new(app.globals, LINE, Rc::clone(screen), Rc::clone(interrupt));
    session.always_asks = always_asks;
    let answer = app.command.run(&session).await;
    let exit = shown(answer, &session, screen, &options, verbose).await;
    if let Some(report) = session.take_report() {
        interrupt.decide(exit);
        if let Some(wrong) = hook::tell(&session, report, exit).await {
            screen.warn(&wrong);
        }
    }
    exit
}

/// Shows the answer and what belongs to it, and says how the program ends.
async fn shown(
    answer: Result<CommandOutput>,
    session: &Session,
    screen: &Screen,
    options: &Options,
    verbose: bool,
) -> Exit {
    let format = options.format;
    if let Some(opened) = session.opened().filter(|_| verbose) {
        screen.note(&opened);
    }
    for warning in session.warnings() {
        screen.warn(&warning);
    }
    for note in session.notes() {
        screen.note(&note);
    }
    let CommandOutput { view, exit, errors } = match answer {
        Ok(answer) => answer,
        // An empty answer means that nothing is there only if everything could be read.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NoSystem) => {
            return screen.fault(session.denied().first().unwrap_or(&error), format);
        }
        Err(error) => return screen.fault(&error, format),
    };
    let fail_if_empty = matches!(&view, View::List(list) if list.fail_if_empty);
    match screen.show(view, options).await {
        Ok(shown) => {
            for error in &errors {
                screen.fault(error, format);
            }
            // Something could not be read and is missing from the output: that is reported, and is no success.
            let mut unread = None;
            for error in session.denied() {
                unread = Some(screen.fault(&error, format));
            }
            match unread {
                Some(exit) => exit,
                None if shown == 0 && fail_if_empty => Exit::NotFound,
                None => exit,
            }
        }
        Err(error) => screen.fault(&error, format),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::live::Completes;

    #[test]
    fn the_command_line_is_well_formed() {
        App::command().debug_assert();
        strict(App::command()).debug_assert();
    }

    #[test]
    fn short_names_are_taken_where_no_command_has_them() {
        let named = |words: &[&str]| {
            let arguments: Vec<OsString> = ["sen"].iter().chain(words).map(OsString::from).collect();
            parse(&arguments).map(|(_, words)| words.join(" ")).unwrap_or_else(|error| error.to_string())
        };
        assert_eq!(named(&["ls"]), "list");
        assert_eq!(named(&["get", "k"]), "inspect");
        assert_eq!(named(&["saga", "outbox", "ls"]), "saga outbox list");
        assert_eq!(named(&["dlq", "get", "i"]), "dlq show");
        assert_eq!(named(&["agent", "rate-limit", "get", "t"]), "agent rate-limit get");
    }

    /// Every argument of every command that is a key or an id, with the words of the command.
    fn named(command: &clap::Command, path: &str, out: &mut Vec<(String, bool)>) {
        for argument in command.get_positionals() {
            let shown = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
            if shown.split('|').any(|word| matches!(word, "KEY" | "ID")) {
                out.push((path.to_owned(), argument.get::<Completes>().is_some()));
            }
        }
        for inner in command.get_subcommands() {
            named(inner, format!("{path} {}", inner.get_name()).trim_start(), out);
        }
    }

    #[test]
    fn keys_and_ids_are_completed_from_the_database() {
        let mut found = Vec::new();
        named(&App::command(), "", &mut found);
        assert!(found.len() >= 25, "{found:?}");
        // Messages are looked up by ids without an index.
        let without = |(path, completed): &&(String, bool)| !completed && !path.contains("box ");
        assert_eq!(found.iter().filter(without).collect::<Vec<_>>(), Vec::<&(String, bool)>::new());
    }

    /// Every option and argument of every command that takes a text.
    fn texts(command: &clap::Command, path: &[String], out: &mut Vec<(Vec<String>, Option<String>)>) {
        let text = clap::builder::ValueParser::string().type_id();
        for argument in command.get_arguments() {
            if argument.get_action().takes_values() && argument.get_value_parser().type_id() == text {
                out.push((path.to_vec(), argument.get_long().map(|long| format!("--{long}"))));
            }
        }
        for inner in command.get_subcommands() {
            texts(inner, &[path, &[inner.get_name().to_owned()]].concat(), out);
        }
    }

    #[test]
    fn an_empty_text_is_refused_by_every_command_and_says_which() {
        let mut found = Vec::new();
        texts(&App::command(), &["sen".to_owned()], &mut found);
        let options = found.iter().filter(|(_, option)| option.is_some()).count();
        assert!(options >= 60, "only {options} options take a text");
        for (path, option) in found {
            let mut words = path.clone();
            words.extend(option.clone());
            for words in [[words.clone(), vec![String::new()]].concat(), {
                let last = words.len() - 1;
                let joined = format!("{}=", words[last]);
                [words[..last].to_vec(), vec![joined]].concat()
            }] {
                if option.is_none() && words.last().is_some_and(|last| last.ends_with('=')) {
                    continue;
                }
                let arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
                let error = parse(&arguments).map(drop).expect_err(&format!("{words:?} was taken"));
                assert_eq!(
                    usage::exit(&arguments, &App::command()).code(),
                    if path.get(1).is_some_and(|name| name == "once") { 125 } else { 2 }
                );
                let said = error.to_string();
                assert!(option.as_ref().is_none_or(|option| said.contains(option)), "{words:?}: {said}");
            }
        }
    }

    #[test]
    fn a_state_that_there_is_not_is_answered_with_those_there_are() {
        let said = |words: &[&str]| {
            parse(&words.iter().map(OsString::from).collect::<Vec<_>>()).map(drop).unwrap_err().to_string()
        };
        let error = said(&["sen", "list", "--state", "uncertian"]);
        assert!(
            error.contains("possible values: claimed") && error.contains("similar value exists: 'uncertain'"),
            "{error}"
        );
        assert!(said(&["sen", "exec", "list", "--sort", ""]).contains("possible values: created"));
    }
}
