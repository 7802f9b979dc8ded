//! A pickle's nodes as JSON for people and scripts: bounded in size, without recursion, and honest about what was cut.
//!
//! Lists and tuples are arrays, bytes are tagged as the JSON codec tags them, an object is
//! `{"__class__": "module.Name", "args": […], "state": {…}}`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::value::{Id, Node, Pickle};

/// JSON text, and whether something was left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One valid JSON document.
    pub json: String,
    /// Whether it was too large, or refers to itself, and is cut there (`"…"`).
    pub cut: bool,
}

/// Deeper is cut: tools that read JSON have limits, too.
const DEPTH: usize = 100;

/// A container under way: which one, how far, and what closes it.
struct Frame {
    id: Id,
    part: usize,
    close: &'static str,
}

impl Pickle {
    /// The object at `id` as JSON of about `room` bytes at most.
    pub fn render(&self, id: Id, room: usize) -> Rendered {
        let mut out = Writer { pickle: self, text: String::new(), frames: Vec::new(), room, cut: false };
        out.value(id);
        while out.next() {}
        Rendered { json: out.text, cut: out.cut }
    }
}

struct Writer<'a> {
    pickle: &'a Pickle,
    text: String,
    frames: Vec<Frame>,
    room: usize,
    cut: bool,
}

/// A part of a container.
enum Part<'a> {
    Item(Id),
    Entry(Id, Id),
    Named(&'static str, Id),
    Class(&'a str, &'a str),
}

impl<'a> Writer<'a> {
    /// Continues with the innermost container; false when there is none left.
    fn next(&mut self) -> bool {
        let Some(frame) = self.frames.last_mut() else { return false };
        let (id, part) = (frame.id, frame.part);
        frame.part += 1;
        let full = self.text.len() >= self.room;
        let wanted = part_of(self.pickle, id, part);
        match wanted {
            Some(wanted) if !full => {
                if part > 0 {
                    self.text.push(',');
                }
                self.part(&wanted);
            }
            found => {
                self.cut |= found.is_some();
                if let Some(frame) = self.frames.pop() {
                    if found.is_some() && !frame.close.starts_with('}') {
                        self.text.push_str(if part > 0 { ",\"…\"" } else { "\"…\"" });
                    }
                    self.text.push_str(frame.close);
                }
            }
        }
        true
    }

    fn part(&mut self, part: &Part<'_>) {
        match part {
            Part::Item(id) => self.value(*id),
            Part::Entry(key, value) => {
                self.key(*key);
                self.value(*value);
            }
            Part::Named(name, id) => {
                string(&mut self.text, name, usize::MAX);
                self.text.push(':');
                self.value(*id);
            }
            Part::Class(module, name) => {
                self.text.push_str("\"__class__\":");
                string(&mut self.text, &class_name(module, name), 1000);
            }
        }
    }

    /// A dict's key as the text JSON wants.
    fn key(&mut self, id: Id) {
        let text = match self.pickle.node(id) {
            Node::Text(text) => {
                string(&mut self.text, text, self.room);
                self.text.push(':');
                return;
            }
            Node::None => "None".to_owned(),
            Node::Bool(flag) => if *flag { "True" } else { "False" }.to_owned(),
            Node::Int(number) => number.to_string(),
            Node::Float(number) => number.to_string(),
            // A container as a key, in a few words of its own; these words hold no such key again.
            _ if self.text.len() < self.room => self.pickle.render_flat(id),
            _ => "…".to_owned(),
        };
        string(&mut self.text, &text, 1000);
        self.text.push(':');
    }

    fn value(&mut self, id: Id) {
        if self.text.len() >= self.room || self.frames.len() >= DEPTH {
            self.cut = true;
            self.text.push_str("\"…\"");
            return;
        }
        if let Some((open, close)) = container(self.pickle.node(id)) {
            if self.frames.iter().any(|frame| frame.id == id) {
                self.cut = true;
                self.text.push_str("\"… (refers to itself)\"");
                return;
            }
            if let Some(moment) = datetime(self.pickle, id) {
                string(&mut self.text, &moment, usize::MAX);
                return;
            }
            self.text.push_str(open);
            self.frames.push(Frame { id, part: 0, close });
            return;
        }
        let left = self.room.saturating_sub(self.text.len());
        self.cut |= scalar(&mut self.text, self.pickle.node(id), left);
    }
}

/// What opens and closes a node that holds others.
fn container(node: &Node) -> Option<(&'static str, &'static str)> {
    Some(match node {
        Node::List(_) | Node::Tuple(_) => ("[", "]"),
        Node::Set(_) => ("{\"__set__\":[", "]}"),
        Node::Dict(_) | Node::Object { .. } | Node::Outside(_) => ("{", "}"),
        _ => return None,
    })
}

/// The part at a place of a container.
fn part_of(pickle: &Pickle, id: Id, part: usize) -> Option<Part<'_>> {
    match pickle.node(id) {
        Node::List(items) | Node::Tuple(items) | Node::Set(items) => items.get(part).copied().map(Part::Item),
        Node::Dict(entries) => entries.get(part).map(|(key, value)| Part::Entry(*key, *value)),
        Node::Outside(id) => (part == 0).then_some(Part::Named("__outside__", *id)),
        Node::Object { class, args, state, items, entries } => {
            let head = match pickle.node(*class) {
                Node::Global(module, name) => Part::Class(module, name),
                _ => Part::Named("__class__", *class),
            };
            let args = Some(*args).filter(|args| !matches!(pickle.node(*args), Node::Tuple(items) if items.is_empty()));
            let named = [("args", args), ("state", *state), ("items", *items), ("entries", *entries)];
            let named = named.into_iter().filter_map(|(name, id)| Some(Part::Named(name, id?)));
            std::iter::once(head).chain(named).nth(part)
        }
        _ => None,
    }
}

impl Pickle {
    /// One level of an object, for the key of a dict.
    fn render_flat(&self, id: Id) -> String {
        let mut text = String::new();
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) | Node::Set(items) => {
                text.push('(');
                for (at, item) in items.iter().take(8).enumerate() {
                    if at > 0 {
                        text.push_str(", ");
                    }
                    if container(self.node(*item)).is_some() {
                        text.push('…');
                    } else {
                        scalar(&mut text, self.node(*item), 100);
                    }
                }
                text.push_str(if items.len() > 8 { ", …)" } else { ")" });
            }
            Node::Object { .. } => {
                let (module, name) = self.class(id).unwrap_or(("?", "?"));
                text.push_str(&class_name(module, name));
                text.push_str("(…)");
            }
            node if container(node).is_none() => {
                scalar(&mut text, node, 100);
            }
            _ => text.push('…'),
        }
        text
    }
}

fn class_name(module: &str, name: &str) -> String {
    if module == "builtins" || module == "__builtin__" { name.to_owned() } else { format!("{module}.{name}") }
}

/// Appends a value that holds no others; whether it was cut to about `room` bytes.
fn scalar(out: &mut String, node: &Node, room: usize) -> bool {
    match node {
        Node::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Node::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Node::Float(number) if number.is_finite() => {
            {
                let _ = write!(out, "{number:?}");
            };
        }
        Node::Float(number) => {
            let _ = write!(out, "\"{number}\"");
        }
        Node::Long(bytes) => {
            let _ = write!(out, "\"{}\"", hexadecimal(bytes));
        }
        Node::Text(text) => return string(out, text, room),
        Node::Bytes(bytes) => {
            let shown = &bytes[..bytes.len().min(room)];
            {
                let _ = write!(out, "{{\"__type__\":\"bytes\",\"data\":\"{}\"}}", STANDARD.encode(shown));
            };
            return shown.len() < bytes.len();
        }
        Node::Global(module, name) => {
            out.push_str("{\"__global__\":");
            string(out, &class_name(module, name), 1000);
            out.push('}');
        }
        _ => out.push_str("null"),
    }
    false
}

/// A number beyond 64 bits: its digits would take time that grows with their square.
fn hexadecimal(bytes: &[u8]) -> String {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut carry = u8::from(negative);
    let mut digits: Vec<u8> = Vec::with_capacity(bytes.len());
    for byte in bytes.iter().take(128) {
        let (value, overflow) = if negative { (!byte).overflowing_add(carry) } else { (*byte, false) };
        carry = u8::from(overflow);
        digits.push(value);
    }
    let text: String = digits.iter().rev().map(|byte| format!("{byte:02x}")).collect();
    let text = text.trim_start_matches('0');
    format!("{}0x{}{}", if negative { "-" } else { "" }, if bytes.len() > 128 { "…" } else { "" }, text)
}

/// `datetime.datetime`, `date` and `time` travel as packed bytes.
fn datetime(pickle: &Pickle, id: Id) -> Option<String> {
    let ("datetime", name) = pickle.class(id)? else { return None };
    let first = pickle.args(id).first()?;
    let Node::Bytes(packed) = pickle.node(*first) else { return None };
    match (name, packed.as_slice()) {
        ("datetime", [high, low, month, day, hour, minute, second, micros @ ..]) if micros.len() == 3 => {
            let year = u16::from_be_bytes([*high, *low]);
            // The highest bit of the month says which of two equal wall-clock times is meant.
            let month = month & 0x7f;
            let fraction = u32::from_be_bytes([0, micros[0], micros[1], micros[2]]);
            let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
            let zone = if pickle.args(id).len() > 1 { " (with a zone)" } else { "" };
            Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
        }
        ("date", [high, low, month, day]) => {
            Some(format!("{:04}-{month:02}-{day:02}", u16::from_be_bytes([*high, *low])))
        }
        _ => None,
    }
}

/// Appends a JSON string; whether it was cut to about `room` bytes.
fn string(out: &mut String, text: &str, room: usize) -> bool {
    let mut end = text.len().min(room.max(16));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let cut = end < text.len();
    out.push('"');
    for c in text[..end].chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    if cut {
        out.push('…');
    }
    out.push('"');
    cut
}
