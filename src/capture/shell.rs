//! A command line in its words, as a POSIX shell would split it.
//!
//! Source: POSIX.1-2024 Shell Command Language §2.2 (quoting, with `$'…'`). Nothing is expanded: a variable's value is not
//! in the file, so a `$name` is refused. Must never keep a word's bytes in a problem.

use super::problem::{CaptureProblem, Fault};
use super::raw::newlines;

/// One word, and the line on which it begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: Vec<u8>,
    pub(super) line: usize,
}

/// The words of the first command. It ends at an operator, or at a line end unless the next line goes on with an option.
pub(super) fn words(bytes: &[u8]) -> Result<Vec<Word>, CaptureProblem> {
    let mut shell = Shell { rest: bytes, line: 1 };
    let mut words = Vec::new();
    loop {
        shell.skip_blanks();
        match shell.rest.first() {
            None | Some(b'|' | b'&' | b';' | b'<' | b'>' | b'(' | b')') => return Ok(words),
            Some(b'#') => {
                while shell.peek().is_some_and(|next| next != b'\n') {
                    shell.next();
                }
            }
            Some(b'\n') => {
                let after = shell.rest.trim_ascii_start();
                if !words.is_empty() && after.first() != Some(&b'-') {
                    return Ok(words);
                }
                shell.skip_to(after);
            }
            Some(_) => {
                let line = shell.line;
                let text = shell.word()?;
                // `2>&1`: the number belongs to the operator.
                let redirects = matches!(shell.rest.first(), Some(b'<' | b'>')) && text.iter().all(u8::is_ascii_digit);
                if !redirects {
                    words.push(Word { text, line });
                }
            }
        }
    }
}

struct Shell<'a> {
    rest: &'a [u8],
    line: usize,
}

impl Shell<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        self.line = self.line.saturating_add(usize::from(*first == b'\n'));
        Some(*first)
    }

    fn skip_to(&mut self, after: &[u8]) {
        let (skipped, after) =
            self.rest.split_at_checked(self.rest.len().saturating_sub(after.len())).unwrap_or_default();
        self.line = self.line.saturating_add(newlines(skipped));
        self.rest = after;
    }

    /// Backslash and line end: the two vanish.
    fn skip_continuation(&mut self) -> bool {
        for joined in [b"\\\n".as_slice(), b"\\\r\n"] {
            if let Some(rest) = self.rest.strip_prefix(joined) {
                self.rest = rest;
                self.line = self.line.saturating_add(1);
                return true;
            }
        }
        false
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => {
                    self.next();
                }
                _ if self.skip_continuation() => {}
                _ => return,
            }
        }
    }

    fn word(&mut self) -> Result<Vec<u8>, CaptureProblem> {
        let mut text = Vec::new();
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b'|' | b'&' | b';' | b'<' | b'>' | b'(' | b')' => break,
                b'\'' => self.single(&mut text)?,
                b'"' => self.double(&mut text)?,
                b'$' if self.rest.starts_with(b"$'") => self.ansi(&mut text)?,
                b'\\' => {
                    if !self.skip_continuation() {
                        self.next();
                        text.extend(self.next());
                    }
                }
                _ => {
                    self.refuse_substitution()?;
                    text.extend(self.next());
                }
            }
        }
        Ok(text)
    }

    fn refuse_substitution(&self) -> Result<(), CaptureProblem> {
        let named = |next: &u8| next.is_ascii_alphanumeric() || b"_{(@*#?$!-\"".contains(next);
        let replaced = match self.rest {
            [b'`', ..] => true,
            [b'$', next, ..] => named(next),
            _ => false,
        };
        if replaced { Err(CaptureProblem::line(self.line, Fault::Substitution)) } else { Ok(()) }
    }

    fn single(&mut self, text: &mut Vec<u8>) -> Result<(), CaptureProblem> {
        let opened = self.line;
        self.next();
        loop {
            match self.next() {
                Some(b'\'') => return Ok(()),
                Some(byte) => text.push(byte),
                None => return Err(CaptureProblem::line(opened, Fault::Quote("single"))),
            }
        }
    }

    fn double(&mut self, text: &mut Vec<u8>) -> Result<(), CaptureProblem> {
        let opened = self.line;
        self.next();
        loop {
            if self.skip_continuation() {
                continue;
            }
            // A `$"` at the end of a quoted text is a dollar and the closing quote.
            if !self.rest.starts_with(b"$\"") {
                self.refuse_substitution()?;
            }
            match self.next() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => match self.peek() {
                    Some(byte @ (b'$' | b'`' | b'"' | b'\\')) => {
                        self.next();
                        text.push(byte);
                    }
                    _ => text.push(b'\\'),
                },
                Some(byte) => text.push(byte),
                None => return Err(CaptureProblem::line(opened, Fault::Quote("double"))),
            }
        }
    }

    /// `$'…'`, with the escapes of C.
    fn ansi(&mut self, text: &mut Vec<u8>) -> Result<(), CaptureProblem> {
        let opened = self.line;
        let unclosed = || CaptureProblem::line(opened, Fault::Quote("$'"));
        self.next();
        self.next();
        loop {
            match self.next().ok_or_else(unclosed)? {
                b'\'' => return Ok(()),
                b'\\' => {
                    let escape = self.next().ok_or_else(unclosed)?;
                    self.escape(escape, text);
                }
                byte => text.push(byte),
            }
        }
    }

    fn escape(&mut self, escape: u8, text: &mut Vec<u8>) {
        match escape {
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'a' => text.push(7),
            b'b' => text.push(8),
            b'e' | b'E' => text.push(27),
            b'f' => text.push(12),
            b'v' => text.push(11),
            b'\\' | b'\'' | b'"' | b'?' => text.push(escape),
            b'0'..=b'7' => {
                let more = self.digits(2, 8);
                let digits: String = std::iter::once(char::from(escape)).chain(more.chars()).collect();
                // `\400` and above wrap to a byte, as in a shell.
                let value = u32::from_str_radix(&digits, 8).unwrap_or_default() & 0xff;
                text.extend(u8::try_from(value));
            }
            b'x' => self.coded(2, escape, text, |value| u8::try_from(value).ok().map(|byte| vec![byte])),
            b'u' => self.coded(4, escape, text, utf8),
            b'U' => self.coded(8, escape, text, utf8),
            _ => text.extend([b'\\', escape]),
        }
    }

    fn coded(&mut self, most: usize, escape: u8, text: &mut Vec<u8>, bytes: fn(u32) -> Option<Vec<u8>>) {
        let digits = self.digits(most, 16);
        if let Some(bytes) = u32::from_str_radix(&digits, 16).ok().and_then(bytes) {
            text.extend(bytes);
        } else {
            text.extend([b'\\', escape]);
            text.extend(digits.bytes());
        }
    }

    fn digits(&mut self, most: usize, radix: u32) -> String {
        let mut digits = String::new();
        while digits.len() < most
            && let Some(digit) = self.peek().map(char::from).filter(|digit| digit.is_digit(radix))
        {
            digits.push(digit);
            self.next();
        }
        digits
    }
}

fn utf8(value: u32) -> Option<Vec<u8>> {
    char::from_u32(value).map(|letter| letter.to_string().into_bytes())
}
