//! JSON as tokens: strings and numbers keep their spelling, so that only what is meant to change does.
//!
//! Strict (RFC 8259), bounded in depth; a body that is no JSON has no tree. Must never be used to decide what a delivery says.

/// Deepest nesting that is rewritten.
const MOST_DEEP: usize = 96;

/// A value. Texts are what stands between the quotes, escapes and all.
pub(super) enum Node<'b> {
    Object(Vec<(&'b str, Node<'b>)>),
    Array(Vec<Node<'b>>),
    Text(&'b str),
    Number(&'b str),
    Word(&'b str),
}

/// A letter of a string, or half of a surrogate pair without the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Letter {
    Char(char),
    Lone(u16),
}

/// The whole body as one value, white space around it allowed.
pub(super) fn parse(body: &[u8]) -> Option<Node<'_>> {
    let (node, rest) = first(body)?;
    rest.trim_ascii().is_empty().then_some(node)
}

/// The first value, and what comes after it.
pub(super) fn first(body: &[u8]) -> Option<(Node<'_>, &[u8])> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(body.get(..error.valid_up_to())?).ok()?,
    };
    let mut reader = Reader { text };
    let node = reader.value(0)?;
    let read = text.len().checked_sub(reader.text.len())?;
    Some((node, body.get(read..)?))
}

struct Reader<'b> {
    text: &'b str,
}

impl<'b> Reader<'b> {
    fn skip(&mut self) {
        self.text = self.text.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn eat(&mut self, letter: char) -> bool {
        self.skip();
        let rest = self.text.strip_prefix(letter);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn take(&mut self, length: usize) -> Option<&'b str> {
        let (taken, rest) = self.text.split_at_checked(length)?;
        self.text = rest;
        Some(taken)
    }

    fn value(&mut self, depth: usize) -> Option<Node<'b>> {
        if depth > MOST_DEEP {
            return None;
        }
        let deeper = depth.saturating_add(1);
        self.skip();
        match self.text.bytes().next()? {
            b'{' => {
                self.take(1)?;
                let mut members = Vec::new();
                if self.eat('}') {
                    return Some(Node::Object(members));
                }
                loop {
                    self.skip();
                    let name = self.string()?;
                    let value = self.eat(':').then(|| self.value(deeper))??;
                    members.push((name, value));
                    if !self.eat(',') {
                        return self.eat('}').then_some(Node::Object(members));
                    }
                }
            }
            b'[' => {
                self.take(1)?;
                let mut items = Vec::new();
                if self.eat(']') {
                    return Some(Node::Array(items));
                }
                loop {
                    items.push(self.value(deeper)?);
                    if !self.eat(',') {
                        return self.eat(']').then_some(Node::Array(items));
                    }
                }
            }
            b'"' => self.string().map(Node::Text),
            b'-' | b'0'..=b'9' => {
                let length =
                    self.text.bytes().take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
                let length = length.count();
                self.take(length).filter(|number| number.parse::<f64>().is_ok()).map(Node::Number)
            }
            _ => {
                let word = ["true", "false", "null"].into_iter().find(|word| self.text.starts_with(word))?;
                self.take(word.len()).map(Node::Word)
            }
        }
    }

    fn string(&mut self) -> Option<&'b str> {
        let inner = self.text.strip_prefix('"')?;
        let end = closing_quote(inner)?;
        let (text, rest) = inner.split_at_checked(end)?;
        self.text = rest.strip_prefix('"')?;
        Some(text)
    }
}

/// Where the quote is that ends a string.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })
}

/// The letters of a string. `None`: an escape that is none.
pub(super) fn letters(raw: &str) -> Option<Vec<Letter>> {
    let mut letters = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(letter) = rest.chars().next() {
        rest = rest.get(letter.len_utf8()..)?;
        if letter != '\\' {
            letters.push(Letter::Char(letter));
            continue;
        }
        let escape = rest.chars().next()?;
        rest = rest.get(escape.len_utf8()..)?;
        let plain = match escape {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '"' | '\\' | '/' => escape,
            'u' => {
                let unit = unit(rest)?;
                rest = rest.get(4..)?;
                let low = rest.strip_prefix("\\u").and_then(unit_of_low);
                match low
                    .and_then(|low| char::decode_utf16([unit, low]).next()?.ok().filter(|pair| pair.len_utf16() == 2))
                {
                    Some(pair) => {
                        rest = rest.get(6..)?;
                        letters.push(Letter::Char(pair));
                    }
                    None => letters.push(char::from_u32(u32::from(unit)).map_or(Letter::Lone(unit), Letter::Char)),
                }
                continue;
            }
            _ => return None,
        };
        letters.push(Letter::Char(plain));
    }
    Some(letters)
}

fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

fn unit_of_low(text: &str) -> Option<u16> {
    unit(text).filter(|unit| (0xdc00..0xe000).contains(unit))
}

/// The string's text in UTF-8. `None`: it has none.
pub(super) fn plain(raw: &str) -> Option<Vec<u8>> {
    let text: Option<String> = letters(raw)?
        .into_iter()
        .map(|letter| match letter {
            Letter::Char(letter) => Some(letter),
            Letter::Lone(_) => None,
        })
        .collect();
    text.map(String::into_bytes)
}

/// The body with each string written by `write`, and all else as it is. `None`: nothing to write, or not UTF-8.
pub(super) fn with_strings(body: &[u8], mut write: impl FnMut(&[Letter], &mut String)) -> Option<String> {
    let mut rest = std::str::from_utf8(body).ok()?;
    let mut out = String::with_capacity(body.len());
    while let Some((before, inner)) = rest.split_once('"') {
        out.push_str(before);
        out.push('"');
        let (text, after) = inner.split_at_checked(closing_quote(inner)?)?;
        write(&letters(text)?, &mut out);
        out.push('"');
        rest = after.strip_prefix('"')?;
    }
    out.push_str(rest);
    (out.as_bytes() != body).then_some(out)
}

/// A number as ECMAScript writes it (ECMA-262 §6.1.6.1.20).
pub(super) fn js_number(text: &str) -> Option<String> {
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    if value == 0.0 {
        return Some("0".to_owned());
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if (-6..21).contains(&exponent) {
        return Some(format!("{value}"));
    }
    let sign = if exponent > 0 { "+" } else { "" };
    Some(format!("{digits}e{sign}{exponent}"))
}
