//! Python pickles, read as structure and never executed: classes and functions are names here, and nothing is ever called.
//!
//! The reader is a loop over opcodes that builds nodes in one arena. Neither depth nor sharing costs stack, and size is
//! bounded: a pickle is foreign bytes and may have been made to harm. The nodes are in `value.rs`, their looks in `render.rs`.

mod opcode;
mod render;
mod value;

pub use render::Rendered;
pub use value::{Id, Pickle};

use std::sync::Arc;

use opcode::{Reader, op};
use value::Node;

/// The maximum number of nodes.
const NODES: usize = 200_000;
/// The maximum number of references between nodes: a pickle writes a million references to one `None` cheaply.
const LINKS: usize = 1_000_000;

/// The maximum number of bytes of texts: what cannot be decoded takes three times as many as it had.
const BYTES: usize = 16 << 20;

/// Why a pickle could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong.
    pub what: &'static str,
    /// At which byte.
    pub at: usize,
}

impl Pickle {
    /// Reads a pickle of any protocol.
    ///
    /// # Errors
    /// When it is cut short, holds what no pickle holds, or is too large.
    pub fn read(bytes: &[u8]) -> Result<Self, Trouble> {
        let mut machine = Machine::new(bytes);
        let root = machine.run().map_err(|what| Trouble { what, at: machine.reader.at() })?;
        Ok(Self::new(machine.nodes, root))
    }
}

/// The unpickler's memory: a stack with marks, a memo, and what it has made.
struct Machine<'a> {
    reader: Reader<'a>,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: std::collections::HashMap<u32, Id>,
    links: usize,
    bytes: usize,
}

type Step<T> = Result<T, &'static str>;

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(bytes),
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: std::collections::HashMap::new(),
            links: 0,
            bytes: 0,
        }
    }

    fn run(&mut self) -> Step<Id> {
        loop {
            let code = self.reader.byte()?;
            if code == op::STOP {
                return self.pop();
            }
            self.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Step<()> {
        match code {
            op::PROTO => {
                self.reader.byte()?;
            }
            op::FRAME => {
                self.reader.take(8)?;
            }
            op::MARK => self.mark()?,
            op::POP => {
                // Above a mark there may be nothing: then it is the mark that goes.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            op::POP_MARK => {
                self.since_mark()?;
            }
            op::DUP => {
                let top = *self.stack.last().ok_or("nothing on the stack")?;
                self.push(top)?;
            }
            op::PERSID => {
                let line = self.reader.line()?;
                let id = self.make(Node::Text(opcode::lossy(line)))?;
                self.make_and_push(Node::Outside(id))?;
            }
            op::BINPERSID => {
                let id = self.pop()?;
                self.make_and_push(Node::Outside(id))?;
            }
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.put(code)?,
            op::GET | op::BINGET | op::LONG_BINGET => self.get(code)?,
            op::APPEND | op::APPENDS | op::ADDITEMS | op::SETITEM | op::SETITEMS => self.extend(code)?,
            op::BUILD => self.build()?,
            _ => {
                let node = self.fresh(code)?;
                self.make_and_push(node)?;
            }
        }
        Ok(())
    }

    /// The node that an opcode makes anew.
    fn fresh(&mut self, code: u8) -> Step<Node> {
        if let Some(scalar) = self.reader.scalar(code)? {
            return Ok(scalar);
        }
        Ok(match code {
            op::EMPTY_LIST => Node::List(Vec::new()),
            op::EMPTY_TUPLE => Node::Tuple(Vec::new()),
            op::EMPTY_DICT => Node::Dict(Vec::new()),
            op::EMPTY_SET => Node::Set(Vec::new()),
            op::LIST => Node::List(self.since_mark()?),
            op::TUPLE => Node::Tuple(self.since_mark()?),
            op::FROZENSET => Node::Set(self.since_mark()?),
            op::DICT => {
                let items = self.since_mark()?;
                Node::Dict(pairs(&items)?)
            }
            op::TUPLE1 => Node::Tuple(self.top(1)?),
            op::TUPLE2 => Node::Tuple(self.top(2)?),
            op::TUPLE3 => Node::Tuple(self.top(3)?),
            op::GLOBAL => {
                let module = opcode::lossy(self.reader.line()?);
                Node::Global(module, opcode::lossy(self.reader.line()?))
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                Node::Global(self.text(module)?, self.text(name)?)
            }
            op::EXT1 | op::EXT2 | op::EXT4 => {
                let width = match code {
                    op::EXT1 => 1,
                    op::EXT2 => 2,
                    _ => 4,
                };
                Node::Global("copyreg.extension".into(), opcode::little(self.reader.take(width)?).to_string().into())
            }
            op::REDUCE | op::NEWOBJ => {
                let (args, class) = (self.pop()?, self.pop()?);
                object(class, args)
            }
            op::NEWOBJ_EX => {
                let (kwargs, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                let named = self.make(Node::Tuple(vec![args, kwargs]))?;
                object(class, named)
            }
            op::INST => {
                let module = opcode::lossy(self.reader.line()?);
                let name = opcode::lossy(self.reader.line()?);
                let items = self.since_mark()?;
                let class = self.make(Node::Global(module, name))?;
                let args = self.make(Node::Tuple(items))?;
                object(class, args)
            }
            op::OBJ => {
                let mut items = self.since_mark()?;
                if items.is_empty() {
                    return Err("an object without a class");
                }
                let class = items.remove(0);
                let args = self.make(Node::Tuple(items))?;
                object(class, args)
            }
            _ => return Err("an unknown opcode"),
        })
    }

    fn put(&mut self, code: u8) -> Step<()> {
        let place = match code {
            op::MEMOIZE => u32::try_from(self.memo.len()).map_err(|_| "the memo is too large")?,
            _ => self.place(code)?,
        };
        let top = *self.stack.last().ok_or("nothing on the stack")?;
        self.memo.insert(place, top);
        if self.memo.len() > NODES {
            return Err("the memo is too large");
        }
        Ok(())
    }

    fn get(&mut self, code: u8) -> Step<()> {
        let place = self.place(code)?;
        let id = *self.memo.get(&place).ok_or("a reference to nothing")?;
        self.push(id)
    }

    fn place(&mut self, code: u8) -> Step<u32> {
        Ok(match code {
            op::PUT | op::GET => opcode::decimal(self.reader.line()?).ok_or("a bad memo number")?,
            op::BINPUT | op::BINGET => u32::from(self.reader.byte()?),
            _ => opcode::little(self.reader.take(4)?) as u32,
        })
    }

    /// Puts items into the container that lies below them.
    fn extend(&mut self, code: u8) -> Step<()> {
        let items = match code {
            op::APPEND => self.top(1)?,
            op::SETITEM => self.top(2)?,
            _ => self.since_mark()?,
        };
        self.link(items.len())?;
        let keyed = matches!(code, op::SETITEM | op::SETITEMS);
        let target = *self.stack.last().ok_or("nothing to put items into")?;
        let target = self.inside(target, keyed)?;
        match self.nodes.get_mut(target.place()) {
            Some(Node::Dict(entries)) if keyed => entries.extend(pairs(&items)?),
            Some(Node::List(own) | Node::Set(own)) if !keyed => own.extend(items),
            _ => return Err("items for what holds none"),
        }
        Ok(())
    }

    /// The list or dict that an object of a subclass of one of them is as well, made when it is first needed.
    fn inside(&mut self, target: Id, keyed: bool) -> Step<Id> {
        let Some(Node::Object { items, entries, .. }) = self.nodes.get(target.place()) else { return Ok(target) };
        if let Some(own) = if keyed { *entries } else { *items } {
            return Ok(own);
        }
        let made = self.make(if keyed { Node::Dict(Vec::new()) } else { Node::List(Vec::new()) })?;
        if let Some(Node::Object { items, entries, .. }) = self.nodes.get_mut(target.place()) {
            *(if keyed { entries } else { items }) = Some(made);
        }
        Ok(made)
    }

    fn build(&mut self) -> Step<()> {
        let wanted = self.pop()?;
        let target = *self.stack.last().ok_or("nothing to build")?;
        match self.nodes.get_mut(target.place()) {
            Some(Node::Object { state, .. }) => *state = Some(wanted),
            // A class or a plain value with a state: kept, as the state of an object made of it.
            Some(_) => {
                let args = self.make(Node::Tuple(Vec::new()))?;
                let made =
                    self.make(Node::Object { class: target, args, state: Some(wanted), items: None, entries: None })?;
                self.stack.pop();
                self.push(made)?;
            }
            None => return Err("nothing to build"),
        }
        Ok(())
    }

    /// A text that is a name, shared and not copied: a name of some bytes may stand in a hundred thousand places.
    fn text(&self, id: Id) -> Step<Arc<str>> {
        match self.nodes.get(id.place()) {
            Some(Node::Text(text)) => Ok(Arc::clone(text)),
            _ => Err("a class whose name is no text"),
        }
    }

    fn make(&mut self, node: Node) -> Step<Id> {
        self.bytes += match &node {
            Node::Text(text) => text.len(),
            Node::Bytes(bytes) | Node::Long(bytes) => bytes.len(),
            _ => 0,
        };
        if self.bytes > BYTES {
            return Err("it holds too many bytes");
        }
        if self.nodes.len() >= NODES {
            return Err("it holds too many objects");
        }
        if let Node::List(items) | Node::Tuple(items) | Node::Set(items) = &node {
            self.link(items.len())?;
        }
        let id = Id::of(self.nodes.len()).ok_or("it holds too many objects")?;
        self.nodes.push(node);
        Ok(id)
    }

    fn make_and_push(&mut self, node: Node) -> Step<()> {
        let id = self.make(node)?;
        self.push(id)
    }

    fn push(&mut self, id: Id) -> Step<()> {
        // A stack never needs more room than there are references.
        if self.stack.len() >= LINKS {
            return Err("it holds too many references");
        }
        self.stack.push(id);
        Ok(())
    }

    fn link(&mut self, more: usize) -> Step<()> {
        self.links += more;
        if self.links > LINKS { Err("it holds too many references") } else { Ok(()) }
    }

    fn mark(&mut self) -> Step<()> {
        if self.marks.len() >= NODES {
            return Err("it is nested too deeply");
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop(&mut self) -> Step<Id> {
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err("a mark in the way");
        }
        self.stack.pop().ok_or("nothing on the stack")
    }

    fn top(&mut self, count: usize) -> Step<Vec<Id>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start =
            self.stack.len().checked_sub(count).filter(|start| *start >= floor).ok_or("nothing on the stack")?;
        Ok(self.stack.split_off(start))
    }

    fn since_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or("no mark")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }
}

fn object(class: Id, args: Id) -> Node {
    Node::Object { class, args, state: None, items: None, entries: None }
}

fn pairs(items: &[Id]) -> Step<Vec<(Id, Id)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    } else {
        Err("a key without a value")
    }
}

#[cfg(test)]
mod tests;
