//! Draws a page that is open over the panes. Pure.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::brush::Brush;
use super::page::{Acts, Page, Rows};
use crate::clean::{shorten, width};
use crate::output::text::wrap;

const HELP: &[&str] = &[
    "↑ ↓  j k        move             PgUp PgDn  ten rows",
    "g G             first, last row",
    "Tab  ← →        next pane",
    "Enter           from a row to its rows, to one of them, to its causes",
    "w  t            why the record is so; its timeline",
    "a               acts on the record",
    "Esc  q          back; q ends",
    "/               filter; Enter looks in the database for what is in no pane,",
    "                / Enter once more for what is: keys, ids, what mentions them",
    "c  y            copy the command",
    "s               another order of the pane",
    "r               look now",
    "?               this help",
    "",
    "An act runs outside of this screen as its command does: it asks for a reason,",
    "shows its plan and asks before it changes anything.",
    "The database is asked at most for 2 % of the time: where an answer takes long,",
    "refreshing less often. Changes are per minute, over the last minute.",
    "A bar of a lease is the part of it that has passed since the last sign of life;",
    "of other work, its age beside the oldest.",
];

/// Draws a page into an area.
pub fn draw(page: &Page, area: Rect, brush: Brush, frame: &mut Frame<'_>) {
    match page {
        Page::Help { top } => {
            let lines: Vec<String> = HELP.iter().map(|line| (*line).to_owned()).collect();
            sheet("help", &lines, *top, area, brush, frame);
        }
        Page::Sheet(page) => sheet(&page.title, &page.lines, page.top, area, brush, frame),
        Page::Rows(page) => rows(page, area, brush, frame),
        Page::Acts(page) => acts(page, area, brush, frame),
    }
}

/// A frame over everything else, with what of it is shown.
fn over<'a>(title: &str, (first, shown, all): (usize, usize, usize), room: usize, brush: Brush) -> Block<'a> {
    let place =
        if all > shown { format!(" {}–{} of {all} ", first + 1, (first + shown).min(all)) } else { String::new() };
    Block::bordered()
        .title(format!(" {} ", shorten(title, room)))
        .title_bottom(Text::from(place).right_aligned())
        .border_style(brush.bold())
}

/// Rows of a list, the selected one visible.
fn rows(page: &Rows, area: Rect, brush: Brush, frame: &mut Frame<'_>) {
    let room = usize::from(area.width).saturating_sub(4).max(1);
    let notes = page.notes.len();
    let height = usize::from(area.height).saturating_sub(3 + notes).max(1);
    let top = (page.selected + 1).saturating_sub(height);
    let mut laid = vec![Text::from(Span::styled(format!("   {}", shorten(&page.head, room)), brush.bold()))];
    for (at, line) in page.lines.iter().enumerate().skip(top).take(height) {
        let mark = if at == page.selected { " ▸ " } else { "   " };
        let line = shorten(line, room.saturating_sub(2)).into_owned();
        let state = page.states.get(at).and_then(Option::as_ref);
        let place =
            state.and_then(|(state, severity)| Some((line.find(&format!(" {state}"))? + 1, state.len(), *severity)));
        let mut spans = vec![Span::raw(mark)];
        match place {
            Some((from, length, severity)) => spans.extend([
                Span::raw(line[..from].to_owned()),
                Span::styled(line[from..from + length].to_owned(), brush.severity(severity)),
                Span::raw(line[from + length..].to_owned()),
            ]),
            None => spans.push(Span::raw(line)),
        }
        let text = Text::from(spans);
        laid.push(if at == page.selected { text.style(Style::new().add_modifier(Modifier::BOLD)) } else { text });
    }
    for note in &page.notes {
        let note = shorten(&crate::clean::clean(note), room).into_owned();
        laid.push(Text::from(Span::styled(format!("   {note}"), brush.dim())));
    }
    frame.render_widget(Clear, area);
    frame.render_widget(
        Paragraph::new(laid).block(over(&page.title, (top, height, page.lines.len()), room, brush)),
        area,
    );
}

/// Acts to choose from, each with what it is for.
fn acts(page: &Acts, area: Rect, brush: Brush, frame: &mut Frame<'_>) {
    let room = usize::from(area.width).saturating_sub(4).max(1);
    let height = (usize::from(area.height).saturating_sub(2) / 2).max(1);
    let top = (page.selected + 1).saturating_sub(height);
    let mut laid = Vec::new();
    for (at, act) in page.acts.iter().enumerate().skip(top).take(height) {
        let mark = if at == page.selected { " ▸ " } else { "   " };
        let command = crate::clean::clean(&act.command);
        laid.push(Text::from(Span::styled(
            format!("{mark}{}", shorten(&command, room.saturating_sub(2))),
            brush.bold(),
        )));
        laid.push(Text::from(Span::styled(format!("     {}", shorten(&act.why, room.saturating_sub(4))), brush.dim())));
    }
    frame.render_widget(Clear, area);
    let title = format!("acts: {}", page.title);
    frame.render_widget(Paragraph::new(laid).block(over(&title, (top, height, page.acts.len()), room, brush)), area);
}

/// Something in depth, over everything else.
fn sheet(title: &str, lines: &[String], top: usize, area: Rect, brush: Brush, frame: &mut Frame<'_>) {
    let room = usize::from(area.width).saturating_sub(4).max(1);
    let height = usize::from(area.height).saturating_sub(2);
    // Longer text continues on the next line, indented.
    let laid: Vec<String> = lines
        .iter()
        .flat_map(|line| {
            let indent = line.len() - line.trim_start().len();
            let hang = " ".repeat((indent + 2).min(room / 2));
            let broken = wrap(line.trim_start(), room.saturating_sub(hang.len()).max(10));
            let first = " ".repeat(indent.min(room / 2));
            let put = |(at, part): (usize, String)| format!("{}{part}", if at == 0 { &first } else { &hang });
            if width(line) <= room {
                vec![line.clone()]
            } else {
                broken.into_iter().map(|part| part.to_string()).enumerate().map(put).collect::<Vec<_>>()
            }
        })
        .collect();
    let top = top.min(laid.len().saturating_sub(height));
    let block = over(title, (top, height, laid.len()), room, brush);
    let shown: Vec<Text<'_>> =
        laid.iter().skip(top).take(height).map(|line| Text::from(format!(" {}", shorten(line, room + 1)))).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(shown).block(block), area);
}
