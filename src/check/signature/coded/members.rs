//! The members of one JSON object, each of which has one meaning.
//!
//! Parsers differ on which one of two equal names counts, so an object that has any is none. Must never build more of a
//! nested value than it takes to step over it. Source: RFC 8259 §4, RFC 7515 §4.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The members of an object by name.
#[derive(Debug)]
pub(super) struct Members(BTreeMap<String, Value>);

#[derive(Debug)]
enum Value {
    Text(String),
    /// An integer from zero on.
    Number(u64),
    Other,
}

impl Members {
    /// `None`: not one object alone, or one with two members of the same name.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let members = deserializer.deserialize_map(Object).ok()?;
        deserializer.end().ok().map(|()| Self(members))
    }

    /// The member's text. `None`: not there, or no text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Value::Text(text) => Some(text),
            Value::Number(_) | Value::Other => None,
        }
    }

    /// The member's integer. `None`: not there, or not an integer from zero on.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.0.get(name)? {
            Value::Number(number) => Some(*number),
            Value::Text(_) | Value::Other => None,
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = BTreeMap<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("two members with the same name"));
            }
        }
        Ok(members)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Member)
    }
}

struct Member;

impl<'de> Visitor<'de> for Member {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_texts_and_integers_and_steps_over_the_rest() {
        let json = br#" {"a":"x\n","b":7,"c":-1,"d":1.0,"e":null,"f":{"a":1},"g":["a"],"h":true} "#;
        let members = Members::read(json).unwrap();
        assert_eq!((members.text("a"), members.number("b")), (Some("x\n"), Some(7)));
        for name in ["c", "d", "e", "f", "g", "h"] {
            assert!(members.has(name), "{name}");
            assert_eq!((members.text(name), members.number(name)), (None, None), "{name}");
        }
        assert_eq!((members.text("b"), members.number("a"), members.has("i")), (None, None, false));
    }

    #[test]
    fn refuses_two_members_with_one_name_however_they_are_spelled() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            "[]",
            "\"a\"",
            "",
            "{}{}",
            "{} x",
            r#"{"a":1"#,
            "\u{feff}{}",
            "{'a':1}",
        ] {
            assert!(Members::read(json.as_bytes()).is_none(), "{json}");
        }
        assert!(Members::read(b"{\"a\":\"\xff\"}").is_none());
    }
}
