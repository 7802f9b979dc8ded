//! `sen man`: manual pages.

use clap::CommandFactory as _;
use sen_core::error::{Error, ErrorKind, Result};

use crate::app::App;
use crate::exit;
use crate::views::{Answer, View};

/// Print a manual page: `sen man | man -l -`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command to describe; without one, sen itself
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Answer> {
    let root = App::command();
    let (command, name) = match &args.command {
        None => (root, "sen".to_owned()),
        Some(wanted) => {
            let mut root = root;
            root.build();
            let found = root.find_subcommand(wanted).cloned();
            let found = found
                .ok_or_else(|| Error::usage(format!("no command {wanted:?}")).with_hint("sen --help lists them"))?;
            (found, format!("sen-{wanted}"))
        }
    };
    let page = render(command, &name)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot render the page").with_source(error))?;
    Ok(Answer::new(View::Text(page)))
}

fn render(command: clap::Command, name: &str) -> std::io::Result<String> {
    let page = clap_mangen::Man::new(command.name(name.to_owned()).display_name(name.to_owned()))
        .date("")
        .manual("sen manual");
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    if name == "sen" {
        page.render_subcommands_section(&mut out)?;
    }
    page.render_extra_section(&mut out)?;
    let mut text = String::from_utf8_lossy(&out).into_owned();
    text += ".SH \"EXIT STATUS\"\n";
    for (code, meaning) in exit::TABLE {
        text += &format!(".TP\n\\fB{code}\\fR\n{}\n", meaning.replace('-', "\\-"));
    }
    text += ".SH ENVIRONMENT\n.TP\n\\fBDATABASE_URL\\fR\nThe database: postgres://…, sqlite:PATH or a libpq connection string. \
             Without it the PG* variables of libpq apply.\n.TP\n\\fBNO_COLOR\\fR, \\fBCLICOLOR\\fR, \\fBCLICOLOR_FORCE\\fR, \
             \\fBPAGER\\fR, \\fBSEN_PAGER\\fR, \\fBCOLUMNS\\fR\nAs elsewhere.\n";
    Ok(text)
}
