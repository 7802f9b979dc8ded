//! Output that replaces the one before: it is collected, then written at once.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use unicode_width::UnicodeWidthChar as _;

use crate::clean::{clean, shorten};

/// What is gathered, and the terminal it is for.
#[derive(Clone)]
pub struct Frame {
    gathered: Rc<RefCell<Vec<u8>>>,
    lines: usize,
    columns: usize,
    out: Rc<RefCell<Box<dyn Write>>>,
}

impl Frame {
    /// An empty frame for a terminal of this size behind `out`.
    pub fn new(out: Box<dyn Write>, lines: usize, columns: usize) -> Self {
        Self { gathered: Rc::default(), lines, columns, out: Rc::new(RefCell::new(out)) }
    }

    /// Takes out what was gathered.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.gathered.borrow_mut())
    }

    /// Writes `body` as it is.
    pub fn print(&self, body: &[u8]) {
        self.put(body);
    }

    /// Puts `body` below `head` in the place of what is on the screen; what there is no room for is counted.
    pub fn show(&self, head: &str, body: &[u8]) {
        self.put(&lay(head, body, self.lines, self.columns));
    }

    /// Errors are ignored: the terminal was closed.
    fn put(&self, bytes: &[u8]) {
        let mut out = self.out.borrow_mut();
        drop(out.write_all(bytes).and_then(|()| out.flush()));
    }
}

impl Write for Frame {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From the upper left corner, each line cut at the edge, so that a line is a line, and erased to its end.
fn lay(head: &str, body: &[u8], lines: usize, columns: usize) -> Vec<u8> {
    let mut out = b"\x1b[H".to_vec();
    out.extend_from_slice(shorten(&clean(&crate::mask::message(head)), columns).as_bytes());
    out.extend_from_slice(b"\x1b[K\n\x1b[K\n");
    let room = lines.saturating_sub(3).max(1);
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let all: Vec<&[u8]> = if body.is_empty() { Vec::new() } else { body.split(|byte| *byte == b'\n').collect() };
    let fits = if all.len() > room { room - 1 } else { all.len() };
    for line in &all[..fits] {
        cut(&String::from_utf8_lossy(line), columns, &mut out);
        // A line that is cut at the edge must reset its colour.
        out.extend_from_slice(b"\x1b[0m\x1b[K\n");
    }
    if fits < all.len() {
        out.extend_from_slice(format!("… {} more lines\x1b[K\n", all.len() - fits).as_bytes());
    }
    out.extend_from_slice(b"\x1b[J");
    out
}

/// The first `columns` columns of a line. Colours take none; what came from a database is clean by now, so there are no
/// other sequences.
fn cut(line: &str, columns: usize, out: &mut Vec<u8>) {
    let mut left = columns;
    let mut coloring = false;
    for c in line.chars() {
        if c == '\x1b' {
            coloring = true;
        }
        if coloring {
            coloring = c != 'm';
        } else {
            match left.checked_sub(c.width().unwrap_or(0)) {
                Some(rest) => left = rest,
                None => return,
            }
        }
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(body: &str, lines: usize) -> String {
        let mut parser = vt100::Parser::new(lines as u16, 20, 0);
        let text = String::from_utf8(lay("every 2s", body.as_bytes(), lines, 20)).unwrap();
        parser.process(text.replace('\n', "\r\n").as_bytes());
        parser.screen().contents()
    }

    #[test]
    fn what_does_not_fit_is_counted_and_nothing_scrolls() {
        assert_eq!(shown("a\nb\n", 6), "every 2s\n\na\nb");
        assert_eq!(shown("a\nb\nc\nd\ne\n", 6), "every 2s\n\na\nb\n… 3 more lines");
        assert_eq!(shown("", 6), "every 2s");
        // A long line is cut, not wrapped.
        assert_eq!(shown(&format!("{}\nb\n", "x".repeat(50)), 6).lines().nth(3), Some("b"));
        let colored = format!("\x1b[31m{}\x1b[0m\nb\n", "注".repeat(50));
        assert_eq!(shown(&colored, 6).lines().nth(3), Some("b"));
    }
}
