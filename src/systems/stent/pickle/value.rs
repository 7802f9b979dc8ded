//! What a pickle holds: nodes in one arena that name one another by their places.

use std::sync::Arc;

/// A node's index in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(u32);

impl Id {
    /// Of a place, if there is one so far out.
    pub(super) fn of(place: usize) -> Option<Self> {
        u32::try_from(place).ok().map(Self)
    }

    /// The place.
    pub(super) fn place(self) -> usize {
        self.0 as usize
    }
}

/// A Python object, as far as its pickle tells without running anything.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// Beyond 64 bits: little-endian two's complement.
    Long(Vec<u8>),
    Float(f64),
    Text(Arc<str>),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function, by name.
    Global(Arc<str>, Arc<str>),
    /// What a call would have made: of what, with which arguments, and what was put into it afterwards.
    Object {
        class: Id,
        args: Id,
        state: Option<Id>,
        items: Option<Id>,
        entries: Option<Id>,
    },
    /// A reference to something outside of the pickle.
    Outside(Id),
}

/// What a pickle holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Pickle {
    pub(super) nodes: Vec<Node>,
    root: Id,
}

impl Pickle {
    pub(super) fn new(nodes: Vec<Node>, root: Id) -> Self {
        Self { nodes, root }
    }

    /// The outermost object.
    pub fn root(&self) -> Id {
        self.root
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        // Ids are only made by the machine, for nodes it has made.
        self.nodes.get(id.place()).unwrap_or(&Node::None)
    }

    /// The class of an object, as (module, name).
    pub fn class(&self, id: Id) -> Option<(&str, &str)> {
        match self.node(id) {
            Node::Object { class, .. } => match self.node(*class) {
                Node::Global(module, name) => Some((module, name)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The arguments an object was to be made with.
    pub fn args(&self, id: Id) -> &[Id] {
        match self.node(id) {
            Node::Object { args, .. } => match self.node(*args) {
                Node::Tuple(items) | Node::List(items) => items,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// What was put into an object's `__dict__`.
    pub fn state(&self, id: Id) -> Option<Id> {
        match self.node(id) {
            Node::Object { state, .. } => *state,
            _ => None,
        }
    }

    /// The value under a text key of a dict.
    pub fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let Node::Dict(entries) = self.node(dict) else { return None };
        let named = |id: &Id| matches!(self.node(*id), Node::Text(text) if **text == *key);
        entries.iter().rev().find(|(name, _)| named(name)).map(|(_, value)| *value)
    }

    /// Text.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A truth value.
    pub fn flag(&self, id: Id) -> Option<bool> {
        match self.node(id) {
            Node::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// Whether it is `None`.
    pub fn is_none(&self, id: Id) -> bool {
        *self.node(id) == Node::None
    }
}
