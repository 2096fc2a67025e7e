//! Walks over JSON text and builds nothing: most of a body is passed over, and a long text at the speed of `memchr`.
//!
//! The text comes in the pieces that it was received in, and is never put together: only a string or number that is read, where
//! it lies on both sides of a cut. Takes what `serde_json` takes when it ignores a value: every rule of RFC 8259 but that a text
//! that nobody reads is UTF-8 and its surrogates come in pairs. Must never recurse, since a stranger may choose how deep the
//! text is.

use std::borrow::Cow;
use std::iter;

use bytes::Bytes;

/// What is left of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'t> {
    /// Of the piece that it is in.
    rest: &'t [u8],
    /// The pieces after that.
    more: &'t [Bytes],
}

/// A part of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'t> {
    from: Cursor<'t>,
    to: Cursor<'t>,
}

/// A string as it is written, with its quotation marks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t> {
    written: Written<'t>,
    has_escapes: bool,
}

/// What comes next in an object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Member<'t> {
    /// A member of this name.
    Named(Text<'t>),
    /// Its end.
    None,
}

impl<'t> Written<'t> {
    /// Its bytes, copied only where there is a cut between them.
    pub(super) fn bytes(self) -> Option<Cow<'t, [u8]>> {
        let Self { from, to } = self;
        let entered = from.more.get(..from.more.len().checked_sub(to.more.len())?)?;
        let Some((last, whole)) = entered.split_last() else {
            return from.rest.get(..from.rest.len().checked_sub(to.rest.len())?).map(Cow::Borrowed);
        };
        let last = last.get(..last.len().checked_sub(to.rest.len())?)?;
        let pieces = iter::once(from.rest).chain(whole.iter().map(|piece| &**piece)).chain([last]);
        Some(Cow::Owned(pieces.collect::<Vec<_>>().concat()))
    }
}

impl<'t> Text<'t> {
    /// What it says. `None`: that is not Unicode.
    pub(super) fn read(self) -> Option<Cow<'t, str>> {
        match self.written.bytes()? {
            Cow::Borrowed(written) if !self.has_escapes => {
                let inner = written.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
                std::str::from_utf8(inner).ok().map(Cow::Borrowed)
            }
            written => serde_json::from_slice::<String>(&written).ok().map(Cow::Owned),
        }
    }
}

/// Every step is `None` where the text is not JSON.
impl<'t> Cursor<'t> {
    pub(super) const fn new(text: &'t [Bytes]) -> Self {
        Self { rest: &[], more: text }
    }

    /// Goes on to the next piece. `None`: there is none.
    fn turn(&mut self) -> Option<()> {
        let (piece, more) = self.more.split_first()?;
        *self = Self { rest: piece, more };
        Some(())
    }

    /// The next byte that is not whitespace.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.rest {
                [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] => self.rest = rest,
                [next, ..] => return Some(*next),
                [] => self.turn()?,
            }
        }
    }

    /// The next byte.
    fn next(&mut self) -> Option<u8> {
        while self.rest.is_empty() {
            self.turn()?;
        }
        self.rest.first().copied()
    }

    /// Passes one byte, of those that fit.
    fn take(&mut self, fits: impl Fn(u8) -> bool) -> Option<u8> {
        let next = self.next().filter(|next| fits(*next))?;
        self.rest = self.rest.get(1..)?;
        Some(next)
    }

    /// Passes this byte, which must come now.
    fn pass(&mut self, byte: u8) -> Option<()> {
        self.peek().filter(|next| *next == byte)?;
        self.rest = self.rest.get(1..)?;
        Some(())
    }

    /// Nothing but whitespace is left.
    pub(super) fn end(mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// Begins an object.
    pub(super) fn open(&mut self) -> Option<()> {
        self.pass(b'{')
    }

    /// An open object's next member, up to its value, or the object's end.
    pub(super) fn member(&mut self, is_first: bool) -> Option<Member<'t>> {
        if self.peek()? == b'}' {
            self.pass(b'}')?;
            return Some(Member::None);
        }
        if !is_first {
            self.pass(b',')?;
        }
        self.name().map(Member::Named)
    }

    fn name(&mut self) -> Option<Text<'t>> {
        self.peek()?;
        let name = self.string()?;
        self.pass(b':')?;
        Some(name)
    }

    /// A string that begins here.
    pub(super) fn string(&mut self) -> Option<Text<'t>> {
        let from = *self;
        let mut has_escapes = false;
        self.take(|byte| byte == b'"')?;
        loop {
            let end = memchr::memchr2(b'"', b'\\', self.rest);
            let (plain, tail) = self.rest.split_at_checked(end.unwrap_or(self.rest.len()))?;
            // The least of all: many bytes are looked at together.
            if plain.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < b' ' {
                return None;
            }
            self.rest = tail;
            if end.is_none() {
                self.turn()?;
                continue;
            }
            if self.take(|_| true)? == b'"' {
                return Some(Text { written: Written { from, to: *self }, has_escapes });
            }
            has_escapes = true;
            if self.take(|byte| matches!(byte, b'u' | b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'))? == b'u'
            {
                for _ in 0..4 {
                    self.take(|byte| byte.is_ascii_hexdigit())?;
                }
            }
        }
    }

    /// A number that begins here, as it is written.
    pub(super) fn number(&mut self) -> Option<Written<'t>> {
        let from = *self;
        let _ = self.take(|byte| byte == b'-');
        if self.take(|byte| byte == b'0').is_none() {
            self.digits()?;
        } else if self.next().is_some_and(|byte| byte.is_ascii_digit()) {
            return None;
        }
        if self.take(|byte| byte == b'.').is_some() {
            self.digits()?;
        }
        if self.take(|byte| matches!(byte, b'e' | b'E')).is_some() {
            let _ = self.take(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Some(Written { from, to: *self })
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        self.take(|byte| byte.is_ascii_digit())?;
        while self.take(|byte| byte.is_ascii_digit()).is_some() {}
        Some(())
    }

    /// Passes over one value of any kind.
    pub(super) fn skip(&mut self) -> Option<()> {
        // How the objects and arrays that are open will end.
        let mut open: Vec<u8> = Vec::new();
        loop {
            let closing = match self.peek()? {
                b'{' => Some(b'}'),
                b'[' => Some(b']'),
                b'"' => self.string().map(|_| None)?,
                b'-' | b'0'..=b'9' => self.number().map(|_| None)?,
                _ => self.literal().map(|()| None)?,
            };
            if let Some(closing) = closing {
                self.rest = self.rest.get(1..)?;
                if self.peek()? == closing {
                    self.pass(closing)?;
                } else {
                    open.push(closing);
                    if closing == b'}' {
                        self.name()?;
                    }
                    continue;
                }
            }
            // Behind a value.
            loop {
                let Some(closing) = open.last().copied() else { return Some(()) };
                if self.peek()? != closing {
                    self.pass(b',')?;
                    if closing == b'}' {
                        self.name()?;
                    }
                    break;
                }
                self.pass(closing)?;
                open.pop();
            }
        }
    }

    fn literal(&mut self) -> Option<()> {
        let word: &[u8] = match self.next()? {
            b't' => b"true",
            b'f' => b"false",
            _ => b"null",
        };
        word.iter().try_for_each(|letter| self.take(|byte| byte == *letter).map(|_| ()))
    }
}
