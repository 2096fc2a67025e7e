//! A JSON document of which every reader sees the same: no member twice, at any level, however its name is spelled.
//!
//! For schemes whose signature is inside of the body and covers only some of it: a parser that takes the first of two
//! members and one that takes the last would otherwise see two documents. Members keep their order, so that a signed
//! document can be written again. Must never accept what RFC 8259 does not allow, nor grow without bound: depth is
//! that of `serde_json`, 128, and [`MAX_VALUES`] counts the rest. Source: RFC 8259 §4.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// Most values of one document. Each takes some 40 bytes.
const MAX_VALUES: usize = 100_000;

/// Longest name, in bytes, that may be taken for a known one.
const LONGEST_LIKENESS: usize = 128;

/// A document, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// Written as one: `1.0` and `1e3` are not.
    Integer(i128),
    Fraction(f64),
    Text(Box<str>),
    Array(Vec<Json>),
    /// In order, no name twice.
    Object(Vec<(Box<str>, Json)>),
}

/// The document. `None`: not JSON, a name twice, too deep or too large.
pub(super) fn read(body: &[u8]) -> Option<Json> {
    let left = Cell::new(MAX_VALUES);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let document = Reader { left: &left }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(document)
}

impl Json {
    /// The member of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(known, _)| **known == *name).map(|(_, value)| value),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Fraction(_) | Self::Text(_) | Self::Array(_) => None,
        }
    }

    /// Whether no member of an object has a name that a reader who ignores case takes for one of these.
    ///
    /// Go's and .NET's readers do, and let the later member win: unsigned ones would pass for the signed ones.
    pub(super) fn is_plain_about(&self, names: &[&str]) -> bool {
        match self {
            Self::Object(members) => members.iter().all(|(name, _)| !is_likeness(name, names)),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Fraction(_) | Self::Text(_) | Self::Array(_) => true,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Fraction(_) | Self::Array(_) | Self::Object(_) => {
                None
            }
        }
    }

    pub(super) fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Fraction(_) | Self::Text(_) | Self::Object(_) => None,
        }
    }

    /// The object that is a member of this one, made where there is none. `None`: not an object.
    pub(super) fn object_mut(&mut self, name: &str) -> Option<&mut Self> {
        if self.get(name).is_none() {
            self.set(name, Self::Object(Vec::new()))?;
        }
        self.get_mut(name).filter(|member| matches!(member, Self::Object(_)))
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => members.iter_mut().find(|(known, _)| **known == *name).map(|(_, value)| value),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Fraction(_) | Self::Text(_) | Self::Array(_) => None,
        }
    }

    pub(super) fn elements_mut(&mut self) -> Option<&mut [Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Fraction(_) | Self::Text(_) | Self::Object(_) => None,
        }
    }

    /// Adds or replaces a member. `None`: not an object.
    pub(super) fn set(&mut self, name: &str, value: Self) -> Option<()> {
        if let Some(member) = self.get_mut(name) {
            *member = value;
            return Some(());
        }
        match self {
            Self::Object(members) => members.push((name.into(), value)),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Fraction(_) | Self::Text(_) | Self::Array(_) => {
                return None;
            }
        }
        Some(())
    }

    pub(super) fn set_text(&mut self, name: &str, text: &str) -> Option<()> {
        self.set(name, Self::Text(text.into()))
    }

    /// The document, compact.
    pub(super) fn write(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i128(*value),
            Self::Fraction(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Array(elements) => {
                let mut array = serializer.serialize_seq(Some(elements.len()))?;
                for element in elements {
                    array.serialize_element(element)?;
                }
                array.end()
            }
            Self::Object(members) => {
                let mut object = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    object.serialize_entry(&**name, value)?;
                }
                object.end()
            }
        }
    }
}

/// Whether a name is one of these but for the case of its letters, and not one of them itself.
fn is_likeness(name: &str, known: &[&str]) -> bool {
    // Case folding changes a length by a factor of three at most, and the known names are short.
    if name.len() > LONGEST_LIKENESS || known.contains(&name) {
        return false;
    }
    if name.is_ascii() {
        return known.iter().any(|known| known.eq_ignore_ascii_case(name));
    }
    // The Kelvin sign and the long s have ASCII letters for their other case.
    let plain = name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect::<String>();
    known.iter().any(|known| known.eq_ignore_ascii_case(&plain))
}

/// Reads one value, counted against what is left.
#[derive(Clone, Copy)]
struct Reader<'c> {
    left: &'c Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Fraction(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(self)? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members: Vec<(Box<str>, Json)> = Vec::new();
        while let Some(name) = map.next_key::<Box<str>>()? {
            members.push((name, map.next_value_seed(self)?));
        }
        let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        if names.iter().zip(names.iter().skip(1)).any(|(name, next)| name == next) {
            return Err(A::Error::custom("a member twice"));
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_document_and_writes_it_in_the_same_order() {
        let body = r#"{"z":[1,-2,1.5,true,null],"a":{"é":"\"\u0001"},"n":18446744073709551615}"#;
        let document = read(body.as_bytes()).unwrap();
        assert_eq!(document.get("a").and_then(|a| a.get("é")).and_then(Json::text), Some("\"\u{1}"));
        assert_eq!(String::from_utf8(document.write().unwrap()).unwrap(), body);
    }

    #[test]
    fn refuses_a_name_twice_at_any_level_however_it_is_spelled() {
        for body in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"\u0061":1}"#, r#"{"x":[{"y":{"a":1,"a":null}}]}"#, r#"{"":1,"":2}"#]
        {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
        assert!(read(br#"{"a":{"a":{"a":1}},"A":1,"a ":1}"#).is_some());
    }

    #[test]
    fn knows_the_names_that_a_lax_reader_takes_for_another() {
        let about = |body: &str| read(body.as_bytes()).unwrap().is_plain_about(&["success", "Token"]);
        assert!(about(r#"{"success":1,"Token":2,"other":3,"successes":4}"#));
        for likeness in ["Success", "SUCCESS", "\u{17f}uccess", "token", "To\u{212a}en"] {
            assert!(!about(&format!(r#"{{"success":1,"{likeness}":2}}"#)), "{likeness}");
        }
        assert!(about(&format!(r#"{{"{}":1}}"#, "s".repeat(100_000))));
        assert!(about("[]"));
    }

    #[test]
    fn refuses_what_is_not_one_document() {
        for body in [
            &b""[..],
            b"{}{}",
            b"{} x",
            b"{\"a\":1,}",
            b"{'a':1}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":01}",
            b"{\"a\":NaN}",
            b"[1",
        ] {
            assert_eq!(read(body), None, "{body:?}");
        }
    }

    #[test]
    fn an_integer_is_written_as_one() {
        let value = |text: &str| read(text.as_bytes()).unwrap();
        assert_eq!(value("1000"), Json::Integer(1000));
        assert_eq!(value("-1000"), Json::Integer(-1000));
        for text in ["1000.0", "1e3", "-0", "18446744073709551616"] {
            assert!(matches!(value(text), Json::Fraction(_)), "{text}");
        }
    }

    #[test]
    fn is_bounded_in_depth_and_size() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(100).as_bytes()).is_some());
        assert_eq!(read(nested(100_000).as_bytes()), None);
        let flat = |count: usize| format!("[{}1]", "1,".repeat(count - 2));
        assert!(read(flat(MAX_VALUES).as_bytes()).is_some());
        assert_eq!(read(flat(MAX_VALUES + 1).as_bytes()), None);
    }

    #[test]
    fn sets_members_of_objects_alone() {
        let mut document = read(br#"{"a":{"x":1},"b":[]}"#).unwrap();
        document.object_mut("a").unwrap().set_text("x", "2").unwrap();
        document.object_mut("c").unwrap().set_text("y", "3").unwrap();
        assert_eq!(document.object_mut("b"), None);
        assert_eq!(document.get_mut("b").unwrap().set_text("x", "1"), None);
        assert_eq!(document.write().unwrap(), br#"{"a":{"x":"2"},"b":[],"c":{"y":"3"}}"#);
    }
}
