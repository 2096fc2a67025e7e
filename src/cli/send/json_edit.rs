//! Sets one member of a JSON text and leaves every other byte as it is.
//!
//! A parsed and rewritten sample would have other bytes than the sender's. Source: RFC 8259.

use serde::de::IgnoredAny;

/// Why a member cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EditProblem {
    /// Not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// Nothing there.
    #[error("the body has no `{0}`")]
    Missing(String),
    /// A member of something that has none.
    #[error("`{0}` is neither an object nor an array that is long enough")]
    NoMembers(String),
}

/// The text with the member at a dotted path set to a JSON value. A number in the path is an index of an array. All but the
/// last name must exist.
pub(super) fn set(text: &str, path: &str, value: &str) -> Result<String, EditProblem> {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Err(EditProblem::NotJson);
    }
    let mut scan = Scan { text, at: 0 };
    scan.space();
    let mut names = path.split('.').peekable();
    let mut above = String::new();
    while let Some(name) = names.next() {
        match scan.enter(name) {
            Entered::Found => {}
            Entered::End { first } if names.peek().is_none() => {
                let comma = if first { "" } else { "," };
                let name = serde_json::Value::from(name);
                return Ok(replaced(text, scan.at, scan.at, &format!("{comma}{name}:{value}")));
            }
            Entered::End { .. } => return Err(EditProblem::Missing(join(&above, name))),
            Entered::NoMembers => {
                return Err(EditProblem::NoMembers(if above.is_empty() { "the body".to_owned() } else { above }));
            }
        }
        above = join(&above, name);
    }
    let start = scan.at;
    scan.value();
    Ok(replaced(text, start, scan.at, value))
}

/// The JSON text at a dotted path.
pub(super) fn find<'t>(text: &'t str, path: &str) -> Option<&'t str> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut scan = Scan { text, at: 0 };
    scan.space();
    for name in path.split('.') {
        match scan.enter(name) {
            Entered::Found => {}
            Entered::End { .. } | Entered::NoMembers => return None,
        }
    }
    let start = scan.at;
    scan.value();
    text.get(start..scan.at)
}

/// A value as typed: JSON if it is JSON, else a string.
pub(super) fn as_json(typed: &str) -> String {
    match serde_json::from_str::<IgnoredAny>(typed) {
        Ok(_) => typed.to_owned(),
        Err(_) => serde_json::Value::from(typed).to_string(),
    }
}

fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

fn replaced(text: &str, start: usize, end: usize, with: &str) -> String {
    let (before, after) = (text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default());
    format!("{before}{with}{after}")
}

/// What became of looking for a member. The scan stands at its value, or where it would be added.
enum Entered {
    Found,
    End { first: bool },
    NoMembers,
}

/// A place in a text that is known to be JSON.
struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl Scan<'_> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn space(&mut self) {
        while self.byte().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    /// Goes to the value of a member or element of the value that begins here.
    fn enter(&mut self, wanted: &str) -> Entered {
        let is_object = match self.byte() {
            Some(b'{') => true,
            Some(b'[') => false,
            Some(_) | None => return Entered::NoMembers,
        };
        let index = wanted.parse::<usize>().ok();
        self.step();
        self.space();
        for number in 0_usize.. {
            if self.byte().is_none_or(|byte| matches!(byte, b'}' | b']')) {
                return if is_object { Entered::End { first: number == 0 } } else { Entered::NoMembers };
            }
            let found = if is_object {
                let start = self.at;
                self.value();
                let name = self.text.get(start..self.at).and_then(|name| serde_json::from_str::<String>(name).ok());
                self.space();
                // The colon.
                self.step();
                self.space();
                name.as_deref() == Some(wanted)
            } else {
                index == Some(number)
            };
            if found {
                return Entered::Found;
            }
            self.value();
            self.space();
            if self.byte() == Some(b',') {
                self.step();
                self.space();
            }
        }
        Entered::NoMembers
    }

    /// Behind the value that begins here.
    fn value(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.byte() {
                Some(b'"') => self.string(),
                Some(b'{' | b'[') => {
                    depth = depth.saturating_add(1);
                    self.step();
                }
                Some(b'}' | b']') => {
                    depth = depth.saturating_sub(1);
                    self.step();
                }
                Some(_) if depth > 0 => self.step(),
                Some(_) => {
                    while self.byte().is_some_and(|byte| !b",]} \t\r\n".contains(&byte)) {
                        self.step();
                    }
                }
                None => return,
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.step();
        while let Some(byte) = self.byte() {
            self.step();
            match byte {
                b'"' => return,
                b'\\' => self.step(),
                _other => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"a" : 1.0, "b\"}":{"c":[10, {"d":"é\\"} ,"x"],"e":{}}, "t":null}"#;

    #[test]
    fn replaces_one_value_and_no_other_byte() {
        for (path, from, to) in [
            ("a", "1.0", "2"),
            ("t", "null", r#"{"z":[]}"#),
            ("b\"}.c.0", "10", "\"ten\""),
            ("b\"}.c.1.d", r#""é\\""#, "true"),
            ("b\"}.c.2", "\"x\"", "0"),
        ] {
            assert_eq!(set(TEXT, path, to).unwrap(), TEXT.replacen(from, to, 1), "{path}");
            assert_eq!(find(TEXT, path), Some(from));
        }
    }

    #[test]
    fn adds_a_member_to_an_object_that_is_there() {
        assert_eq!(set(TEXT, "b\"}.e.f", "1").unwrap(), TEXT.replace(r#""e":{}"#, r#""e":{"f":1}"#));
        assert_eq!(set("{\"a\":1}", "b", "\"x\"").unwrap(), r#"{"a":1,"b":"x"}"#);
        assert_eq!(find(TEXT, "b\"}.e.f"), None);
    }

    #[test]
    fn says_what_is_missing() {
        assert_eq!(set(TEXT, "b\"}.x.y", "1"), Err(EditProblem::Missing("b\"}.x".to_owned())));
        assert_eq!(set(TEXT, "a.x", "1"), Err(EditProblem::NoMembers("a".to_owned())));
        assert_eq!(set(TEXT, "b\"}.c.3", "1"), Err(EditProblem::NoMembers("b\"}.c".to_owned())));
        assert_eq!(set("a=1", "a", "1"), Err(EditProblem::NotJson));
        assert_eq!(set("7", "a", "1"), Err(EditProblem::NoMembers("the body".to_owned())));
    }

    #[test]
    fn a_typed_value_is_json_or_else_a_string() {
        assert_eq!(as_json("12"), "12");
        assert_eq!(as_json("null"), "null");
        assert_eq!(as_json("[1]"), "[1]");
        assert_eq!(as_json("a \"b\""), r#""a \"b\"""#);
        assert_eq!(as_json("user_1"), "\"user_1\"");
    }
}
