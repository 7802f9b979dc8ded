//! The opcodes of pickle and the bytes behind them.

use std::sync::Arc;

use super::value::Node;

/// The opcodes, by the names of Python's `pickle.py`.
pub(super) mod op {
    macro_rules! opcodes {
        ($($name:ident = $code:literal,)+) => { $(pub(crate) const $name: u8 = $code;)+ };
    }

    opcodes! {
        MARK = b'(', STOP = b'.', POP = b'0', POP_MARK = b'1', DUP = b'2', FLOAT = b'F', INT = b'I', BININT = b'J', BININT1 = b'K',
        LONG = b'L', BININT2 = b'M', NONE = b'N', PERSID = b'P', BINPERSID = b'Q', REDUCE = b'R', STRING = b'S', BINSTRING = b'T',
        SHORT_BINSTRING = b'U', UNICODE = b'V', BINUNICODE = b'X', APPEND = b'a', BUILD = b'b', GLOBAL = b'c', DICT = b'd',
        EMPTY_DICT = b'}', APPENDS = b'e', GET = b'g', BINGET = b'h', INST = b'i', LONG_BINGET = b'j', LIST = b'l', EMPTY_LIST = b']',
        OBJ = b'o', PUT = b'p', BINPUT = b'q', LONG_BINPUT = b'r', SETITEM = b's', TUPLE = b't', EMPTY_TUPLE = b')', SETITEMS = b'u',
        BINFLOAT = b'G', PROTO = 0x80, NEWOBJ = 0x81, EXT1 = 0x82, EXT2 = 0x83, EXT4 = 0x84, TUPLE1 = 0x85, TUPLE2 = 0x86,
        TUPLE3 = 0x87, NEWTRUE = 0x88, NEWFALSE = 0x89, LONG1 = 0x8a, LONG4 = 0x8b, BINBYTES = b'B', SHORT_BINBYTES = b'C',
        SHORT_BINUNICODE = 0x8c, BINUNICODE8 = 0x8d, BINBYTES8 = 0x8e, EMPTY_SET = 0x8f, ADDITEMS = 0x90, FROZENSET = 0x91,
        NEWOBJ_EX = 0x92, STACK_GLOBAL = 0x93, MEMOIZE = 0x94, FRAME = 0x95, BYTEARRAY8 = 0x96,
    }
}

/// The bytes of a pickle, taken from the front.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

const CUT: &str = "it is cut short";

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn byte(&mut self) -> Result<u8, &'static str> {
        let byte = *self.bytes.get(self.at).ok_or(CUT)?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let end = self.at.checked_add(count).ok_or(CUT)?;
        let taken = self.bytes.get(self.at..end).ok_or(CUT)?;
        self.at = end;
        Ok(taken)
    }

    /// Up to the end of the line, without it.
    pub(super) fn line(&mut self) -> Result<&'a [u8], &'static str> {
        let rest = self.bytes.get(self.at..).ok_or(CUT)?;
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or(CUT)?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    /// As many bytes as a little-endian length of `width` bytes says.
    fn counted(&mut self, width: usize) -> Result<&'a [u8], &'static str> {
        let count = little(self.take(width)?);
        self.take(usize::try_from(count).map_err(|_| CUT)?)
    }

    /// The node of an opcode that stands for a plain value; `None` for any other opcode.
    pub(super) fn scalar(&mut self, code: u8) -> Result<Option<Node>, &'static str> {
        let text = |bytes: &[u8]| Node::Text(lossy(bytes));
        Ok(Some(match code {
            op::NONE => Node::None,
            op::NEWTRUE => Node::Bool(true),
            op::NEWFALSE => Node::Bool(false),
            op::BININT => Node::Int(i64::from(little(self.take(4)?) as u32 as i32)),
            op::BININT1 => Node::Int(i64::from(self.byte()?)),
            op::BININT2 => Node::Int(little(self.take(2)?) as i64),
            op::INT => match self.line()? {
                b"00" => Node::Bool(false),
                b"01" => Node::Bool(true),
                digits => number(digits),
            },
            op::LONG => {
                let line = self.line()?;
                number(line.strip_suffix(b"L").unwrap_or(line))
            }
            op::LONG1 => long(self.counted(1)?),
            op::LONG4 => long(self.counted(4)?),
            op::FLOAT => Node::Float(decimal(self.line()?).ok_or("a bad number")?),
            op::BINFLOAT => Node::Float(f64::from_be_bytes(self.take(8)?.try_into().map_err(|_| CUT)?)),
            op::SHORT_BINUNICODE => text(self.counted(1)?),
            op::BINUNICODE => text(self.counted(4)?),
            op::BINUNICODE8 => text(self.counted(8)?),
            op::UNICODE => text(self.line()?),
            op::STRING => {
                let line = self.line()?;
                let quote = line.first().copied().filter(|quote| matches!(quote, b'\'' | b'"'));
                let bare = quote.and_then(|quote| line.get(1..)?.strip_suffix(&[quote]));
                text(bare.unwrap_or(line))
            }
            op::SHORT_BINSTRING => text(self.counted(1)?),
            op::BINSTRING => text(self.counted(4)?),
            op::SHORT_BINBYTES => Node::Bytes(self.counted(1)?.to_vec()),
            op::BINBYTES => Node::Bytes(self.counted(4)?.to_vec()),
            op::BINBYTES8 | op::BYTEARRAY8 => Node::Bytes(self.counted(8)?.to_vec()),
            _ => return Ok(None),
        }))
    }
}

/// Little-endian and unsigned, up to eight bytes.
pub(super) fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// Text as Python would have it, or nearly: surrogates that stand alone have no place in UTF-8.
pub(super) fn lossy(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}

pub(super) fn decimal<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

fn number(digits: &[u8]) -> Node {
    // Beyond 64 bits the digits are shown as they are.
    decimal(digits).map_or_else(|| Node::Text(lossy(digits)), Node::Int)
}

/// Two's complement, little-endian, any length.
fn long(bytes: &[u8]) -> Node {
    if bytes.len() > 8 {
        return Node::Long(bytes.to_vec());
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Node::Int(i64::from_le_bytes(wide))
}
