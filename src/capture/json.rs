//! A JSON document as spans of its text: values are found by walking, nothing is built.
//!
//! A tree would lose what an export is read for: the order of headers, repeated names, a number's digits, and the line of
//! a value. `serde_json` (RFC 8259) checks the document once; after that the walk only has to find where values end, and
//! it does so without recursion. Must never take a name for the value of another object.

use serde::de::IgnoredAny;

use super::problem::{CaptureProblem, Fault, Place, shown};
use super::raw::newlines;

/// The most members or items that are listed.
const MAX_VALUES: usize = 10_000;

/// A value: its text, where it stands, and its path.
#[derive(Debug, Clone)]
pub(super) struct Value<'a> {
    document: &'a str,
    start: usize,
    end: usize,
    path: String,
}

impl<'a> Value<'a> {
    /// The whole document.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, CaptureProblem> {
        let document = str::from_utf8(bytes).map_err(|error| {
            let above = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = newlines(above).saturating_add(1);
            let column = above.iter().rev().take_while(|byte| **byte != b'\n').count().saturating_add(1);
            CaptureProblem::line(line, Fault::Json { column })
        })?;
        serde_json::from_str::<IgnoredAny>(document)
            .map_err(|error| CaptureProblem::line(error.line().max(1), Fault::Json { column: error.column() }))?;
        let start = blank(document.as_bytes(), 0);
        Ok(Self { document, start, end: value_end(document.as_bytes(), start), path: String::new() })
    }

    /// As it stands in the file.
    pub(super) fn text(&self) -> &'a str {
        self.document.get(self.start..self.end).unwrap_or_default()
    }

    /// A problem at this value.
    pub(super) fn problem(&self, fault: Fault) -> CaptureProblem {
        let above = self.document.as_bytes().get(..self.start).unwrap_or_default();
        let line = newlines(above).saturating_add(1);
        CaptureProblem::new(Place::Json { line, path: self.path.clone() }, fault)
    }

    fn first(&self) -> u8 {
        self.text().bytes().next().unwrap_or_default()
    }

    pub(super) fn is_object(&self) -> bool {
        self.first() == b'{'
    }

    pub(super) fn is_array(&self) -> bool {
        self.first() == b'['
    }

    pub(super) fn is_string(&self) -> bool {
        self.first() == b'"'
    }

    pub(super) fn is_null(&self) -> bool {
        self.text() == "null"
    }

    pub(super) fn is_true(&self) -> bool {
        self.text() == "true"
    }

    /// The text of a string.
    pub(super) fn string(&self) -> Result<String, CaptureProblem> {
        if !self.is_string() {
            return Err(self.problem(Fault::JsonKind("a string")));
        }
        serde_json::from_str(self.text()).map_err(|_| self.problem(Fault::JsonText))
    }

    /// The members of an object, in order, repeats kept.
    pub(super) fn members(&self) -> Result<Vec<(String, Self)>, CaptureProblem> {
        if !self.is_object() {
            return Err(self.problem(Fault::JsonKind("an object")));
        }
        let mut members = Vec::new();
        for (name, start, end) in self.walk() {
            if members.len() >= MAX_VALUES {
                return Err(self.problem(Fault::TooManyValues));
            }
            let name: String =
                name.map_or(Ok(String::new()), serde_json::from_str).map_err(|_| self.problem(Fault::JsonText))?;
            let path = match (self.path.as_str(), shown(name.as_bytes())) {
                ("", name) => name,
                (path, name) => format!("{path}.{name}"),
            };
            members.push((name, Self { document: self.document, start, end, path }));
        }
        Ok(members)
    }

    /// The items of an array.
    pub(super) fn items(&self) -> Result<Vec<Self>, CaptureProblem> {
        if !self.is_array() {
            return Err(self.problem(Fault::JsonKind("an array")));
        }
        let mut items = Vec::new();
        for (index, (_, start, end)) in self.walk().enumerate() {
            if index >= MAX_VALUES {
                return Err(self.problem(Fault::TooManyValues));
            }
            items.push(Self { document: self.document, start, end, path: format!("{}[{index}]", self.path) });
        }
        Ok(items)
    }

    /// A member that is not null. Of several of one name the last counts, as in JavaScript.
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        if !self.is_object() {
            return None;
        }
        let quoted = format!("\"{name}\"");
        let (_, start, end) = self.walk().filter(|(found, _, _)| *found == Some(&quoted)).last()?;
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Some(Self { document: self.document, start, end, path }).filter(|value| !value.is_null())
    }

    /// The first of these members that is there.
    pub(super) fn get_any(&self, names: &[&str]) -> Option<Self> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Without white space outside strings.
    pub(super) fn compact(&self) -> String {
        let mut compact = String::with_capacity(self.text().len());
        let mut rest = self.text();
        while let Some(first) = rest.chars().next() {
            let length = if first == '"' { string_end(rest.as_bytes(), 0) } else { first.len_utf8() };
            let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            if !matches!(first, ' ' | '\t' | '\r' | '\n') {
                compact.push_str(token);
            }
            rest = after;
        }
        compact
    }

    fn walk(&self) -> Walk<'a> {
        Walk {
            bytes: self.document.as_bytes(),
            document: self.document,
            at: self.start.saturating_add(1),
            object: self.is_object(),
        }
    }
}

/// The values directly inside an object or array, with a member's name as written, quotes included.
struct Walk<'a> {
    bytes: &'a [u8],
    document: &'a str,
    at: usize,
    object: bool,
}

impl<'a> Iterator for Walk<'a> {
    type Item = (Option<&'a str>, usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let mut start = blank(self.bytes, self.at);
        if self.bytes.get(start) == Some(&b',') {
            start = blank(self.bytes, start.saturating_add(1));
        }
        if matches!(self.bytes.get(start), None | Some(b'}' | b']')) {
            return None;
        }
        let mut name = None;
        if self.object {
            let end = string_end(self.bytes, start);
            name = self.document.get(start..end);
            // The colon, and white space on both sides of it.
            start = blank(self.bytes, blank(self.bytes, end).saturating_add(1));
        }
        let end = value_end(self.bytes, start);
        // A value has at least one byte; without one the document would not have been checked.
        self.at = end.max(start.saturating_add(1));
        Some((name, start, end))
    }
}

fn blank(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
    at.saturating_add(blanks)
}

/// Behind the closing quote of the string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut escaped = false;
    for (index, byte) in bytes.iter().enumerate().skip(at.saturating_add(1)) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index.saturating_add(1),
            _ => {}
        }
    }
    bytes.len()
}

/// Behind the value that begins at `at`.
fn value_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut index = at;
    while let Some(byte) = bytes.get(index) {
        match byte {
            b'"' => {
                index = string_end(bytes, index);
                if depth == 0 {
                    return index;
                }
                continue;
            }
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' if depth <= 1 => return index.saturating_add(depth),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return index,
            _ => {}
        }
        index = index.saturating_add(1);
    }
    bytes.len()
}
