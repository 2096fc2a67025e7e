//! Walks over JSON text and builds nothing: most of a body is passed over, and a long text at the speed of `memchr`.
//!
//! Takes what `serde_json` takes when it ignores a value: every rule of RFC 8259 but that a text that nobody reads is UTF-8 and
//! its surrogates come in pairs. Must never recurse, since a stranger may choose how deep the text is.

use std::borrow::Cow;

/// What is left of the text.
#[derive(Debug)]
pub(super) struct Cursor<'t> {
    rest: &'t [u8],
}

/// A string as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t> {
    /// With its quotation marks.
    written: &'t [u8],
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

impl<'t> Text<'t> {
    /// What it says. `None`: that is not Unicode.
    pub(super) fn read(self) -> Option<Cow<'t, str>> {
        if self.has_escapes {
            return serde_json::from_slice::<String>(self.written).ok().map(Cow::Owned);
        }
        let inner = self.written.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        std::str::from_utf8(inner).ok().map(Cow::Borrowed)
    }
}

/// Every step is `None` where the text is not JSON.
impl<'t> Cursor<'t> {
    pub(super) const fn new(text: &'t [u8]) -> Self {
        Self { rest: text }
    }

    /// The next byte that is not whitespace.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
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
        let whole = self.rest;
        let mut rest = whole.strip_prefix(b"\"")?;
        let mut has_escapes = false;
        loop {
            let (plain, tail) = rest.split_at_checked(memchr::memchr2(b'"', b'\\', rest)?)?;
            // The least of all: many bytes are looked at together.
            if plain.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < b' ' {
                return None;
            }
            rest = match tail {
                [b'"', after @ ..] => {
                    self.rest = after;
                    let written = whole.get(..whole.len().checked_sub(after.len())?)?;
                    return Some(Text { written, has_escapes });
                }
                [b'\\', b'u', digits @ ..] => {
                    let (digits, after) = digits.split_at_checked(4)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then_some(after)?
                }
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..] => after,
                _ => return None,
            };
            has_escapes = true;
        }
    }

    /// A number that begins here, as it is written.
    pub(super) fn number(&mut self) -> Option<&'t [u8]> {
        let whole = self.rest;
        let mut rest = whole.strip_prefix(b"-").unwrap_or(whole);
        rest = match rest {
            [b'0', b'0'..=b'9', ..] => return None,
            _ => digits(rest)?,
        };
        if let [b'.', fraction @ ..] = rest {
            rest = digits(fraction)?;
        }
        if let [b'e' | b'E', exponent @ ..] = rest {
            let [b'+' | b'-', unsigned @ ..] = exponent else {
                rest = digits(exponent)?;
                return self.until(whole, rest);
            };
            rest = digits(unsigned)?;
        }
        self.until(whole, rest)
    }

    fn until(&mut self, whole: &'t [u8], rest: &'t [u8]) -> Option<&'t [u8]> {
        self.rest = rest;
        whole.get(..whole.len().checked_sub(rest.len())?)
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
        let words: [&[u8]; 3] = [b"true", b"false", b"null"];
        self.rest = words.iter().find_map(|word| self.rest.strip_prefix(*word))?;
        Some(())
    }
}

/// What follows one digit or more.
fn digits(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.get(end..).filter(|_| end > 0)
}
