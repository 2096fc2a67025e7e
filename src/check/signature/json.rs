//! The id and the type that live in the JSON body, read after the MAC by one bounded scan.
//!
//! Only top-level string members count. A member that is there twice (escaped spellings included) is absent, because
//! parsers differ on which one counts; so is every member of a body that is not one JSON object. Nothing is built but the
//! wanted texts. Must never be called before the signature is verified. Source: RFC 8259 §4.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::is_presentable;

/// The texts of the wanted members, each `None` where it is absent, no string, repeated, empty, too long or not printable.
pub(super) fn read(body: &[Bytes], wanted: [Option<&str>; 2]) -> [Option<Box<str>>; 2] {
    if wanted.iter().all(Option::is_none) {
        return [None, None];
    }
    match body {
        [] => None,
        [only] => scan(only, wanted),
        chunks => scan(&chunks.concat(), wanted),
    }
    .unwrap_or_default()
}

fn scan(body: &[u8], wanted: [Option<&str>; 2]) -> Option<[Option<Box<str>>; 2]> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let found = Members { wanted }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(found.map(|member| match member {
        Found::Once(text) => text,
        Found::Never | Found::Twice => None,
    }))
}

#[derive(Clone)]
enum Found {
    Never,
    Once(Option<Box<str>>),
    Twice,
}

/// The top-level object.
struct Members<'n> {
    wanted: [Option<&'n str>; 2],
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = [Found; 2];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = [Found; 2];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [Found::Never, Found::Never];
        while let Some(hits) = map.next_key_seed(Name { wanted: self.wanted })? {
            if !hits.contains(&true) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let text = map.next_value_seed(Text)?;
            for (member, hit) in found.iter_mut().zip(hits) {
                if hit {
                    *member = match member {
                        Found::Never => Found::Once(text.clone()),
                        Found::Once(_) | Found::Twice => Found::Twice,
                    };
                }
            }
        }
        Ok(found)
    }
}

/// A member's name: which of the wanted it is.
struct Name<'n> {
    wanted: [Option<&'n str>; 2],
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = [bool; 2];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = [bool; 2];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.wanted.map(|wanted| wanted == Some(name)))
    }
}

/// A wanted member's value: its text if it is a usable string, else nothing.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<Box<str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<Box<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(is_presentable(text).then(|| text.into()))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_both(body: &str) -> [Option<String>; 2] {
        read(&[Bytes::copy_from_slice(body.as_bytes())], [Some("id"), Some("type")]).map(|text| text.map(String::from))
    }

    fn texts(id: Option<&str>, kind: Option<&str>) -> [Option<String>; 2] {
        [id, kind].map(|text| text.map(String::from))
    }

    #[test]
    fn reads_top_level_strings_alone() {
        assert_eq!(
            read_both(r#"{"data":{"id":"x","type":"y"},"type":"user.created","id":"evt_1"}"#),
            texts(Some("evt_1"), Some("user.created"))
        );
        assert_eq!(read_both(r#"{"data":{"id":"x","type":"y"}}"#), [None, None]);
        assert_eq!(read_both(r#"{"id":"caf\u00e9 \ud83d\ude00"}"#), texts(Some("café 😀"), None));
        assert_eq!(read_both(" \r\n{ \"t\\u0079pe\" : \"a\" }\n"), texts(None, Some("a")));
    }

    #[test]
    fn a_repeated_member_is_absent_however_it_is_spelled() {
        for body in [
            r#"{"type":"a","type":"a","id":"1"}"#,
            r#"{"type":"a","t\u0079pe":"b","id":"1"}"#,
            r#"{"type":"a","id":"1","type":null}"#,
            r#"{"type":1,"id":"1","type":"a"}"#,
            r#"{"type":"a","type":"b","id":"1","type":"c"}"#,
        ] {
            assert_eq!(read_both(body), texts(Some("1"), None), "{body}");
        }
    }

    #[test]
    fn what_is_no_string_is_absent() {
        for value in
            ["1", "-1", "1.5", "null", "true", "[\"a\",[1]]", "{\"a\":{\"b\":1}}", "\"\"", "\"a\\nb\"", "\"\\u0000\""]
        {
            assert_eq!(read_both(&format!(r#"{{"id":"1","type":{value}}}"#)), texts(Some("1"), None), "{value}");
        }
    }

    #[test]
    fn what_is_not_one_object_has_no_members() {
        for body in [
            "",
            "null",
            "[]",
            r#"["type"]"#,
            r#""type""#,
            r#"{"type":"a"} x"#,
            r#"{"type":"a"}{"type":"a"}"#,
            r#"{"type":"a""#,
            r#"{"type":"a",}"#,
            "\u{feff}{\"type\":\"a\"}",
            "type=a",
            r"{'type':'a'}",
        ] {
            assert_eq!(read_both(body), [None, None], "{body}");
        }
        assert_eq!(read(&[], [Some("id"), None]), [None, None]);
    }

    #[test]
    fn a_long_text_is_absent() {
        let fits = "x".repeat(super::super::MAX_FIELD);
        assert_eq!(read_both(&format!(r#"{{"id":"{fits}"}}"#)), texts(Some(&fits), None));
        assert_eq!(read_both(&format!(r#"{{"id":"{fits}x"}}"#)), [None, None]);
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_hides() {
        let deep = format!(r#"{{"data":{}{},"id":"1"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read_both(&deep), texts(Some("1"), None));
        let wanted = format!(r#"{{"id":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read_both(&wanted), [None, None]);
    }

    #[test]
    fn chunks_are_one_body() {
        let body = br#"{"id":"evt_1","type":"user.created"}"#;
        let chunks: Vec<Bytes> = body.chunks(5).map(Bytes::copy_from_slice).collect();
        assert_eq!(read(&chunks, [Some("id"), Some("type")]), [Some("evt_1".into()), Some("user.created".into())]);
    }
}
