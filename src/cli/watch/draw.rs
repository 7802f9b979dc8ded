//! Draws the dashboard into a terminal of any size. All text has passed the control-character filter (`picture`). Pure.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Block, Paragraph};
use sen_core::model::verdict::Severity;
use sen_core::text::many;
use sen_core::time::{Timestamp, humane};

use super::board::Board;
use super::brush::Brush;
use super::leaf;
use super::page::Page;
use super::picture::{Line, Pane};
use crate::clean::{shorten, width};
use crate::output::text::wrap;

/// Below this only the pane that has the keys is shown.
const SMALL: (u16, u16) = (60, 18);

/// Columns of a pane that no text gets: the marks of the selected row, and of rows out of sight.
const EDGES: usize = 3;

/// Draws all of it.
pub fn draw(board: &Board, here: Timestamp, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < 8 || area.height < 3 {
        return;
    }
    let brush = Brush { color: board.color, faint: board.trouble.is_some() };
    let head = if area.height >= 8 { 2 } else { 1 };
    let [top, body, bottom] =
        Layout::vertical([Constraint::Length(head), Constraint::Fill(1), Constraint::Length(1)]).areas(area);
    frame.render_widget(Paragraph::new(header(board, here, top, brush)), top);
    match board.pages.last() {
        None => panes(board, body, brush, frame),
        Some(page) => leaf::draw(page, body, brush, frame),
    }
    frame.render_widget(Paragraph::new(footer(board, bottom, brush)), bottom);
}

/// `23:59:59Z` of a moment.
fn clock(moment: Timestamp) -> String {
    let text = moment.to_string();
    text.split_once('T').map_or(String::new(), |(_, time)| format!("{}Z", &time[..time.len().min(8)]))
}

fn since(moment: Timestamp, here: Timestamp) -> String {
    humane(here.micros_since(moment).max(0) / 1_000_000 * 1_000_000)
}

fn span(span: std::time::Duration) -> String {
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    humane(if micros >= 1_000_000 { micros } else { micros.max(1000) })
}

fn header(board: &Board, here: Timestamp, area: Rect, brush: Brush) -> Vec<Text<'static>> {
    let room = usize::from(area.width);
    let mut right = Vec::new();
    right.extend(board.picture.now.map(clock));
    right.push(format!("every {}", span(board.pace.interval())));
    // A slow query is reported while it runs.
    match board.asking.filter(|asked| here.micros_since(*asked) >= 1_000_000) {
        Some(asked) => right.push(format!("asking for {}", since(asked, here))),
        None => right.extend(board.pace.last().map(|took| {
            let slow = if board.pace.is_slow() { " (slow)" } else { "" };
            format!("query {}{slow}", span(took))
        })),
    }
    // On a narrow terminal the time of the last snapshot is dropped first, then the interval.
    while right.len() > 1 && width(&right.join("  ")) + 14 > room {
        right.remove(0);
    }
    let right = shorten(&right.join("  "), room.saturating_sub(12)).into_owned();
    let left_room = room.saturating_sub(width(&right) + 2);
    let name = shorten(&board.picture.database, left_room.saturating_sub(11)).into_owned();
    let used = 11 + width(&name) + width(&right);
    let slow = board.pace.is_slow() || board.pace.stretched();
    let first = Text::from(vec![
        Span::styled(" sen watch ", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(name),
        Span::raw(" ".repeat(room.saturating_sub(used))),
        Span::styled(right, if slow { brush.severity(Severity::Warning) } else { brush.dim() }),
    ]);
    let state = state(board, here, room, brush);
    match (area.height, board.trouble.is_some()) {
        (1, true) => vec![state],
        (1, false) => vec![first],
        _ => vec![first, state],
    }
}

/// What matters most, in one line.
fn state(board: &Board, here: Timestamp, room: usize, brush: Brush) -> Text<'static> {
    if let Some(trouble) = &board.trouble {
        let what = if trouble.lost { "disconnected" } else { "no answer" };
        let text = format!(" {what} since {} ({}): {}", clock(trouble.since), since(trouble.since, here), trouble.why);
        let text = shorten(&text, room).into_owned();
        let style = brush.paint(Color::Red).add_modifier(Modifier::BOLD | Modifier::REVERSED);
        return Text::from(Span::styled(text, style));
    }
    if board.picture.now.is_none() {
        return Text::from(" looking …");
    }
    let mut spans = vec![Span::raw(" ")];
    for severity in [Severity::Critical, Severity::Warning] {
        let count = board.picture.severe(severity);
        if count > 0 {
            spans.push(Span::styled(format!("{count} {}", severity.name()), brush.severity(severity)));
            spans.push(Span::raw("  "));
        }
    }
    if spans.len() == 1 {
        spans.push(Span::styled("nothing needs a person  ", brush.paint(Color::Green)));
    }
    let dead = board.picture.dead();
    if dead > 0 {
        spans.extend([Span::styled(many(dead, "dead letter"), brush.severity(Severity::Warning)), Span::raw("  ")]);
    }
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    let systems = board.picture.systems.join(", ");
    let systems = shorten(&systems, room.saturating_sub(used + 1)).into_owned();
    spans.push(Span::raw(" ".repeat(room.saturating_sub(used + width(&systems)))));
    spans.push(Span::styled(systems, brush.dim()));
    Text::from(spans)
}

fn footer(board: &Board, area: Rect, brush: Brush) -> Text<'static> {
    let room = usize::from(area.width);
    if board.typing {
        return Text::from(format!(" /{}▏", shorten(&board.filter, room.saturating_sub(4))));
    }
    if let Some(message) = &board.message {
        let text = shorten(&format!(" {message}"), room).into_owned();
        return Text::from(Span::styled(text, brush.bold()));
    }
    let keys = match (board.pages.last(), room) {
        (None, 100..) => "Tab pane  Enter rows  a act  / find  s sort  ? keys  q quit",
        (None, 60..100) => "Enter rows  a act  / find  ? keys  q quit",
        (Some(Page::Rows(_)), 60..) => "Enter detail  a act  Esc back  ? keys",
        (Some(Page::Sheet(sheet)), 60..) if sheet.subjects.is_empty() => "Esc back  ? keys",
        (Some(Page::Sheet(sheet)), 60..) if sheet.is_chain => "t timeline  a act  Esc back  ? keys",
        (Some(Page::Sheet(_)), 60..) => "Enter why  t timeline  a act  Esc back",
        (Some(Page::Acts(_)), 60..) => "Enter shows its plan and asks  Esc back",
        (Some(Page::Help { .. }), 60..) => "Esc back",
        _ => "? q",
    };
    let command = match board.pages.last() {
        Some(page) => page.command().unwrap_or_default(),
        None => board.current().map_or(String::new(), |line| line.command.clone()),
    };
    let command = crate::clean::clean(&command).into_owned();
    let left = if command.is_empty() { String::new() } else { format!(" c: {command}") };
    let left = shorten(&left, room.saturating_sub(width(keys) + 3)).into_owned();
    let gap = room.saturating_sub(width(&left) + width(keys) + 1);
    Text::from(vec![Span::raw(left), Span::raw(" ".repeat(gap)), Span::styled(keys.to_owned(), brush.dim())])
}

fn panes(board: &Board, area: Rect, brush: Brush, frame: &mut Frame<'_>) {
    if area.width < SMALL.0 || area.height + 3 < SMALL.1 {
        small(board, area, brush, frame);
        return;
    }
    let below: Vec<Pane> = [Pane::Letters, Pane::Queues].into_iter().filter(|pane| board.picture.has(*pane)).collect();
    let total = area.height;
    let wanted = |pane: Pane| u16::try_from(board.rows(pane).len()).unwrap_or(u16::MAX).saturating_add(2);
    let least = 5;
    let low = if below.is_empty() {
        0
    } else {
        below.iter().map(|pane| wanted(*pane)).max().unwrap_or(0).clamp(4, (total / 4).max(4))
    };
    let inner = usize::from(area.width).saturating_sub(2 + EDGES);
    let attention: usize = board.rows(Pane::Attention).iter().map(|line| attention_lines(line, inner, 3).len()).sum();
    let attention = u16::try_from(attention).unwrap_or(u16::MAX).saturating_add(2);
    let middle = wanted(Pane::States).max(wanted(Pane::Running)).max(least);
    let most = total.saturating_sub(low + middle.min(total / 2)).max(4);
    // Where the commands do not fit, every row is one line, and no more room is taken than that.
    let high = if attention > most { wanted(Pane::Attention) } else { attention }.clamp(3, most);
    let [first, second, third] =
        Layout::vertical([Constraint::Length(high), Constraint::Fill(1), Constraint::Length(low)]).areas(area);
    pane(board, Pane::Attention, first, brush, frame);
    let states = if area.width >= 120 { 48 } else { (area.width / 2).clamp(34, 40) };
    let [left, right] = Layout::horizontal([Constraint::Length(states), Constraint::Fill(1)]).areas(second);
    pane(board, Pane::States, left, brush, frame);
    pane(board, Pane::Running, right, brush, frame);
    // The pane of dead letters gets more room: errors are longer than the names of queues.
    let parts = below.iter().map(|pane| Constraint::Fill(if *pane == Pane::Letters { 3 } else { 2 }));
    let columns = Layout::horizontal(parts).split(third);
    for (which, area) in below.iter().zip(columns.iter()) {
        pane(board, *which, *area, brush, frame);
    }
}

/// Only the pane that has the keys, under the names of all.
fn small(board: &Board, area: Rect, brush: Brush, frame: &mut Frame<'_>) {
    let [tabs, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let mut spans = vec![Span::raw(" ")];
    for pane in board.panes() {
        let text = format!("{} {}", pane.title(), counted(board, pane));
        let style = if pane == board.pane { Style::new().add_modifier(Modifier::REVERSED) } else { brush.dim() };
        // The pane in focus is always visible.
        if pane == board.pane {
            spans.insert(1, Span::styled(text, style));
            spans.insert(2, Span::raw("  "));
        } else {
            spans.extend([Span::styled(text, style), Span::raw("  ")]);
        }
    }
    frame.render_widget(Paragraph::new(Text::from(spans)), tabs);
    list(board, board.pane, body, brush, frame);
}

/// What a pane holds: its rows, and of dead letters, which are in groups, what the status counts, too.
fn counted(board: &Board, pane: Pane) -> String {
    let rows = board.rows(pane).len();
    match pane {
        Pane::Letters if board.filter.is_empty() => {
            format!("{} in {}", board.picture.dead(), many(rows as u64, "group"))
        }
        _ => rows.to_string(),
    }
}

fn pane(board: &Board, which: Pane, area: Rect, brush: Brush, frame: &mut Frame<'_>) {
    let has_keys = board.pane == which;
    let mut title = format!(" {} {} ", which.title(), counted(board, which));
    if let (Pane::Running, Some(busy)) = (which, board.picture.busy()) {
        title += &format!("of {busy} ");
    }
    if has_keys {
        title += &format!("· by {} ", board.order(which));
    }
    if !board.filter.is_empty() {
        title += &format!("· /{} ", board.filter);
    }
    let title = shorten(&title, usize::from(area.width).saturating_sub(2)).into_owned();
    let border = if has_keys { brush.bold() } else { brush.dim() };
    let style = if has_keys { brush.bold() } else { brush.plain() };
    let block = Block::bordered().border_style(border).title(Span::styled(title, style));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    list(board, which, inner, brush, frame);
}

fn list(board: &Board, which: Pane, area: Rect, brush: Brush, frame: &mut Frame<'_>) {
    let rows = board.rows(which);
    let (room, height) = (usize::from(area.width), usize::from(area.height));
    if rows.is_empty() {
        let text = match which {
            _ if !board.filter.is_empty() => "nothing matches the filter",
            _ if board.picture.now.is_none() => "",
            Pane::Attention => "nothing needs a person",
            Pane::States => "nothing in it",
            Pane::Running => "nothing is running",
            Pane::Letters | Pane::Queues => "none",
        };
        frame.render_widget(Paragraph::new(Span::styled(format!(" {text}"), brush.dim())), area);
        return;
    }
    let selected = board.selected(which, &rows);
    let full: usize = rows.iter().map(|line| attention_lines(line, room.saturating_sub(EDGES), 3).len()).sum();
    let each = if full <= height { 3 } else { 1 };
    let columns = Columns::measure(which, &rows, room.saturating_sub(EDGES), board.picture.systems.len() > 1);
    let mut laid: Vec<(usize, Text<'static>)> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let marked = selected == Some(at) && board.pane == which;
        for (number, mut spans) in columns.lines(row, each, brush).into_iter().enumerate() {
            spans.insert(0, Span::raw(if marked && number == 0 { "▸ " } else { "  " }));
            let mut text = Text::from(spans);
            if marked && number == 0 {
                text = text.style(Style::new().add_modifier(Modifier::BOLD));
            }
            laid.push((at, text));
        }
    }
    // The selected row is always visible.
    let first = laid.iter().position(|(at, _)| Some(*at) == selected).unwrap_or(0);
    let last = laid.iter().rposition(|(at, _)| Some(*at) == selected).unwrap_or(0);
    let top = if last < height { 0 } else { (last + 1 - height).min(first) };
    let below = laid.len().saturating_sub(top + height);
    let shown: Vec<Text<'static>> = laid.into_iter().skip(top).take(height).map(|(_, text)| text).collect();
    frame.render_widget(Paragraph::new(shown), area);
    // What is out of sight is marked at the edge.
    let mark = |sign: &'static str, y: u16, frame: &mut Frame<'_>| {
        let place = Rect { x: area.x + area.width.saturating_sub(1), y, width: 1.min(area.width), height: 1 };
        frame.render_widget(Paragraph::new(Span::styled(sign, brush.bold())), place);
    };
    if top > 0 && height > 0 {
        mark("↑", area.y, frame);
    }
    if below > 0 && height > 0 {
        mark("↓", area.y + area.height - 1, frame);
    }
}

/// The text of what needs a person over at most `most - 1` lines, and its command; one line where there is no room.
fn attention_lines(line: &Line, room: usize, most: usize) -> Vec<String> {
    let text = &line.cells[line.cells.len().min(2) - 1];
    let indent = 10;
    if most == 1 {
        return vec![shorten(text, room.saturating_sub(indent)).into_owned()];
    }
    let mut lines: Vec<String> =
        wrap(text, room.saturating_sub(indent).max(10)).into_iter().map(|part| part.to_string()).collect();
    lines.truncate(most);
    lines.push(shorten(&line.command, room.saturating_sub(indent)).into_owned());
    lines
}

/// The widths of a pane's columns.
struct Columns {
    pane: Pane,
    room: usize,
    widths: Vec<usize>,
    several: bool,
}

impl Columns {
    fn measure(pane: Pane, rows: &[&Line], room: usize, several: bool) -> Self {
        let count = rows.iter().map(|line| line.cells.len()).max().unwrap_or(0);
        let widest = |at: usize| rows.iter().filter_map(|line| line.cells.get(at)).map(|cell| width(cell)).max();
        Self { pane, room, widths: (0..count).map(|at| widest(at).unwrap_or(0)).collect(), several }
    }

    fn lines(&self, line: &Line, each: usize, brush: Brush) -> Vec<Vec<Span<'static>>> {
        let tone = brush.severity(line.severity);
        match self.pane {
            Pane::Attention => attention_lines(line, self.room, each)
                .into_iter()
                .enumerate()
                .map(|(at, text)| {
                    let label = if at == 0 { line.cells[0].clone() } else { String::new() };
                    let gap = " ".repeat(10_usize.saturating_sub(width(&label)));
                    let command = at > 0 && text == shorten(&line.command, self.room.saturating_sub(10));
                    let style = if command { brush.dim() } else { brush.plain() };
                    vec![Span::styled(label, tone), Span::raw(gap), Span::styled(text, style)]
                })
                .collect(),
            Pane::States => vec![self.states(line, tone, brush)],
            Pane::Running => vec![self.running(line, tone, brush)],
            Pane::Letters => vec![self.letters(line, tone, brush)],
            Pane::Queues => {
                let first = self.widths[0].min(self.room / 2);
                let rest = self.room.saturating_sub(first + 2);
                vec![vec![
                    Span::styled(left(&line.cells[0], first), brush.bold()),
                    Span::raw("  "),
                    Span::styled(shorten(&line.cells[1], rest).into_owned(), brush.plain()),
                ]]
            }
        }
    }

    fn states(&self, line: &Line, tone: Style, brush: Brush) -> Vec<Span<'static>> {
        let rate = self.widths[2].max(8);
        let mut spans = vec![
            Span::styled(left(&line.cells[0], self.widths[0].max(11)), tone),
            Span::styled(right(&line.cells[1], self.widths[1].max(4) + 1), brush.bold()),
        ];
        let mut used = self.widths[0].max(11) + self.widths[1].max(4) + 1;
        for (at, wide) in [(2, rate + 1), (3, self.widths[3].max(4) + 1)] {
            if used + wide <= self.room {
                spans.push(Span::styled(
                    right(&line.cells[at], wide),
                    if at == 2 { brush.plain() } else { brush.dim() },
                ));
                used += wide;
            }
        }
        // How the count moved from snapshot to snapshot.
        let spark = self.widths.get(5).copied().unwrap_or(0);
        if spark > 0 && used + 2 + spark <= self.room {
            spans.push(Span::styled(format!("  {}", left(&line.cells[5], spark)), brush.plain()));
            used += 2 + spark;
        }
        if self.several && used + 2 + self.widths[4] <= self.room {
            spans.push(Span::styled(format!("  {}", line.cells[4]), brush.dim()));
        }
        spans
    }

    fn running(&self, line: &Line, tone: Style, brush: Brush) -> Vec<Span<'static>> {
        let bar = if self.room >= 60 { 16 } else { 4 };
        let (state, age) = (self.widths[1].min(12), self.widths[2].max(4));
        let fixed = state + bar + age + 3;
        let id = self.widths[0].min(self.room.saturating_sub(fixed)).max(6);
        let rest = self.room.saturating_sub(fixed + id + 2);
        let mut spans = vec![
            Span::styled(left(&middle(&line.cells[0], id), id), brush.bold()),
            Span::styled(format!(" {}", left(&line.cells[1], state)), tone),
            Span::styled(format!(" {}", gauge(line.share.unwrap_or(0.0), bar)), tone),
            Span::styled(right(&line.cells[2], age + 1), brush.plain()),
        ];
        if rest >= 8 {
            spans.push(Span::styled(format!("  {}", shorten(&line.cells[3], rest)), brush.dim()));
        }
        spans
    }

    fn letters(&self, line: &Line, tone: Style, brush: Brush) -> Vec<Span<'static>> {
        let count = self.widths[0].max(5);
        let step = self.widths[1].min(self.room / 4);
        let last = self.widths[3].max(4);
        let error = self.room.saturating_sub(count + step + last + 6);
        vec![
            Span::styled(right(&line.cells[0], count), tone),
            Span::styled(format!("  {}", left(&line.cells[1], step)), brush.bold()),
            Span::styled(format!("  {}", left(&line.cells[2], error)), brush.plain()),
            Span::styled(right(&line.cells[3], last + 2), brush.dim()),
        ]
    }
}

/// An id cut in its middle: its end tells it from its neighbours.
fn middle(text: &str, columns: usize) -> String {
    let total = width(text);
    if total <= columns || columns < 4 {
        return text.to_owned();
    }
    let head = shorten(text, columns / 3 + 1).into_owned();
    let mut tail = text;
    while width(tail) > columns.saturating_sub(width(&head)) {
        let mut rest = tail.chars();
        rest.next();
        tail = rest.as_str();
    }
    format!("{head}{tail}")
}

/// `text` in exactly this many columns, left-aligned.
fn left(text: &str, columns: usize) -> String {
    let text = shorten(text, columns);
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(&text))))
}

/// The same from the right.
fn right(text: &str, columns: usize) -> String {
    let text = shorten(text, columns);
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(&text))))
}

/// A bar of this many columns, filled up to `share`.
fn gauge(share: f64, columns: usize) -> String {
    let filled = ((share * columns as f64).round() as usize).min(columns);
    format!("{}{}", "█".repeat(filled), "░".repeat(columns - filled))
}
