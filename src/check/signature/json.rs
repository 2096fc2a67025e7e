//! The id, the type and the time that live in the JSON body, read after the MAC by one bounded scan.
//!
//! A path names members of objects, `data.event_type`; arrays are not looked into. A member that is there twice (escaped
//! spellings included), or inside of one that is, is absent, because parsers differ on which one counts; so is every member
//! of a body that is not one JSON object. Nothing is built but the wanted values. Must never be called before the signature
//! is verified. Source: RFC 8259 §4.

mod cursor;
#[cfg(test)]
mod reference;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use self::cursor::{Cursor, Member};
use super::{MAX_FIELD, is_line};

/// How many values one scan can find.
pub(super) const WANTED: usize = 3;

/// Where a value is: names of members, outermost first. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::check) struct Path(Box<[Box<str>]>);

impl Path {
    /// `data.event_type`. `None`: an empty name.
    pub(in crate::check) fn parse(text: &str) -> Option<Self> {
        let names: Box<[Box<str>]> = text.split('.').map(Into::into).collect();
        names.iter().all(|name| !name.is_empty()).then_some(Self(names))
    }
}

/// A found value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::check) enum Scalar {
    /// Bounded, never empty, without control characters.
    Text(Box<str>),
    /// An integer from zero on.
    Number(u64),
    /// A text that is too long, or has control characters: its SHA-256. Two of them can be told apart, and no more.
    Unfit([u8; 32]),
}

impl Scalar {
    pub(in crate::check) fn into_text(self) -> Option<Box<str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Unfit(_) => None,
        }
    }
}

/// The wanted values, each `None` where it is absent, repeated, or neither a presentable text nor an integer from zero on.
pub(super) fn read(body: &[Bytes], wanted: [Option<&Path>; WANTED]) -> [Option<Scalar>; WANTED] {
    if wanted.iter().all(Option::is_none) {
        return Default::default();
    }
    find(body, wanted, MAX_FIELD)
}

/// One value, `None` as for [`read`], but with a bound of its own in bytes.
pub(in crate::check) fn value(body: &[Bytes], path: &Path, longest: usize) -> Option<Scalar> {
    let [found, _, _] = find(body, [Some(path), None, None], longest);
    found.filter(|found| !matches!(found, Scalar::Unfit(_)))
}

fn find(body: &[Bytes], wanted: [Option<&Path>; WANTED], longest: usize) -> [Option<Scalar>; WANTED] {
    let mut scan = Scan { wanted, longest, found: Default::default() };
    let whole = scan.run(body);
    finish(scan, whole.is_some())
}

fn finish(scan: Scan<'_>, is_json: bool) -> [Option<Scalar>; WANTED] {
    if !is_json {
        return Default::default();
    }
    scan.found.map(|found| match found {
        Found::Once(value) => value,
        Found::Never | Found::Twice => None,
    })
}

#[derive(Clone, Default)]
enum Found {
    #[default]
    Never,
    Once(Option<Scalar>),
    Twice,
}

/// Which of the wanted values: one flag each.
type Hits = [bool; WANTED];

struct Scan<'p> {
    wanted: [Option<&'p Path>; WANTED],
    /// Of a text, in bytes.
    longest: usize,
    found: [Found; WANTED],
}

impl Scan<'_> {
    fn run(&mut self, body: &[Bytes]) -> Option<()> {
        let mut cursor = Cursor::new(body);
        let hits = self.wanted.map(|path| path.is_some());
        self.members(&mut cursor, hits, 0)?;
        cursor.end()
    }

    /// An object of which some members are wanted, or lead to wanted ones.
    fn members(&mut self, cursor: &mut Cursor<'_>, among: Hits, depth: usize) -> Option<()> {
        cursor.open()?;
        let mut seen: Hits = Default::default();
        let mut is_first = true;
        while let Member::Named(name) = cursor.member(std::mem::take(&mut is_first))? {
            let hits = self.hits(&name.read()?, among, depth);
            if !hits.contains(&true) {
                cursor.skip()?;
                continue;
            }
            self.value(cursor, hits, depth)?;
            for (index, hit) in hits.iter().enumerate() {
                let Some(seen) = seen.get_mut(index).filter(|_| *hit) else { continue };
                if *seen {
                    let mut twice: Hits = Default::default();
                    if let Some(twice) = twice.get_mut(index) {
                        *twice = true;
                    }
                    self.spoil(twice);
                }
                *seen = true;
            }
        }
        Some(())
    }

    /// A value that is wanted, or an object that leads to one. No deeper than the paths are long.
    fn value(&mut self, cursor: &mut Cursor<'_>, hits: Hits, depth: usize) -> Option<()> {
        let ends = self.ends(hits, depth);
        let found = match cursor.peek()? {
            b'"' => match &*cursor.string()?.read()? {
                "" => None,
                text if is_line(text, self.longest) => Some(Scalar::Text(text.into())),
                text => Some(Scalar::Unfit(Sha256::digest(text).into())),
            },
            // As it counts one that no float can hold, the whole is not taken.
            b'-' | b'0'..=b'9' => {
                let number: serde_json::Number = serde_json::from_slice(&cursor.number()?.bytes()?).ok()?;
                number.as_u64().map(Scalar::Number)
            }
            b'{' => {
                self.record(ends, None);
                let mut deeper = hits;
                for (deeper, end) in deeper.iter_mut().zip(ends) {
                    *deeper &= !end;
                }
                let next = depth.saturating_add(1);
                return if deeper.contains(&true) { self.members(cursor, deeper, next) } else { cursor.skip() };
            }
            _ => {
                cursor.skip()?;
                None
            }
        };
        self.record(ends, found.as_ref());
        Some(())
    }

    /// The wanted values whose name at this depth it is, among those whose outer names fit.
    fn hits(&self, name: &str, among: Hits, depth: usize) -> Hits {
        let mut hits = among;
        for (hit, path) in hits.iter_mut().zip(self.wanted) {
            *hit &= path.and_then(|path| path.0.get(depth)).is_some_and(|wanted| **wanted == *name);
        }
        hits
    }

    /// Whether the path of a wanted value ends at this depth.
    fn ends(&self, hits: Hits, depth: usize) -> Hits {
        let mut ends = hits;
        for (end, path) in ends.iter_mut().zip(self.wanted) {
            *end &= path.is_some_and(|path| path.0.len() == depth.saturating_add(1));
        }
        ends
    }

    fn record(&mut self, hits: Hits, value: Option<&Scalar>) {
        for (found, _) in self.found.iter_mut().zip(hits).filter(|(_, hit)| *hit) {
            *found = match found {
                Found::Never => Found::Once(value.cloned()),
                Found::Once(_) | Found::Twice => Found::Twice,
            };
        }
    }

    fn spoil(&mut self, hits: Hits) {
        for (found, _) in self.found.iter_mut().zip(hits).filter(|(_, hit)| *hit) {
            *found = Found::Twice;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(body: &str, paths: [&str; WANTED]) -> [Option<Scalar>; WANTED] {
        let paths = paths.map(Path::parse);
        let wanted = [paths[0].as_ref(), paths[1].as_ref(), paths[2].as_ref()];
        read(&[Bytes::copy_from_slice(body.as_bytes())], wanted)
    }

    fn read_both(body: &str) -> [Option<String>; 2] {
        let [id, kind, _] = read_all(body, ["id", "type", "unwanted"]);
        [id, kind].map(|value| value.and_then(Scalar::into_text).map(String::from))
    }

    fn texts(id: Option<&str>, kind: Option<&str>) -> [Option<String>; 2] {
        [id, kind].map(|text| text.map(String::from))
    }

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.into())
    }

    #[test]
    fn reads_top_level_members_where_top_level_is_asked_for() {
        assert_eq!(
            read_both(r#"{"data":{"id":"x","type":"y"},"type":"user.created","id":"evt_1"}"#),
            texts(Some("evt_1"), Some("user.created"))
        );
        assert_eq!(read_both(r#"{"data":{"id":"x","type":"y"}}"#), [None, None]);
        assert_eq!(read_both(r#"{"id":"caf\u00e9 \ud83d\ude00"}"#), texts(Some("café 😀"), None));
        assert_eq!(read_both(" \r\n{ \"t\\u0079pe\" : \"a\" }\n"), texts(None, Some("a")));
    }

    #[test]
    fn reads_members_of_objects_and_integers() {
        let body = r#"{"data":{"id":"1","event":{"type":"a.b","at":1754300000000},"id2":"x"},"id":"no"}"#;
        let found = read_all(body, ["data.id", "data.event.type", "data.event.at"]);
        assert_eq!(found, [Some(text("1")), Some(text("a.b")), Some(Scalar::Number(1_754_300_000_000))]);
        // A value where an object would be, an object where a value would be, an array in between.
        assert_eq!(read_all(r#"{"data":"x"}"#, ["data.id", "data", "z"]), [None, Some(text("x")), None]);
        assert_eq!(read_all(r#"{"data":{"id":"1"}}"#, ["data.id", "data", "z"]), [Some(text("1")), None, None]);
        assert_eq!(read_all(r#"{"data":[{"id":"1"}]}"#, ["data.id", "data.0.id", "z"]), [None, None, None]);
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
    fn what_is_inside_of_a_repeated_member_is_absent() {
        for body in [
            r#"{"data":{"id":"1"},"data":{"id":"2"}}"#,
            r#"{"data":{"id":"1"},"data":{}}"#,
            r#"{"data":{},"data":{"id":"2"}}"#,
            r#"{"data":null,"data":{"id":"2"}}"#,
            r#"{"data":{"id":"2"},"data":null}"#,
            r#"{"data":{"id":"1","id":"2"}}"#,
            r#"{"data":{"id":"1"},"data":{"id":"2"},"data":{"id":"3"}}"#,
        ] {
            assert_eq!(read_all(body, ["data.id", "y", "z"]), [None, None, None], "{body}");
        }
    }

    #[test]
    fn what_is_no_text_is_no_text() {
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
        let path = Path::parse("id").unwrap();
        assert_eq!(read(&[], [Some(&path), None, None]), [None, None, None]);
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
        let paths = [Path::parse("id").unwrap(), Path::parse("type").unwrap()];
        let [id, kind, _] = read(&chunks, [Some(&paths[0]), Some(&paths[1]), None]);
        assert_eq!([id, kind], [Some(text("evt_1")), Some(text("user.created"))]);
    }

    #[test]
    fn a_path_has_no_empty_name() {
        for text in ["", ".", "a.", ".a", "a..b"] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }

    /// The reference's verdict and ours, of these bytes, in one piece and in pieces of these sizes with an empty one among them.
    fn assert_alike(body: &[u8], sizes: &[usize]) {
        let paths = ["id", "data.id", "data.at.x"].map(|path| Path::parse(path).unwrap());
        let wanted = [Some(&paths[0]), Some(&paths[1]), Some(&paths[2])];
        let expected = reference::find(body, wanted, 8);
        for size in sizes.iter().copied().chain([body.len()]) {
            let mut pieces: Vec<Bytes> = body.chunks(size.max(1)).map(Bytes::copy_from_slice).collect();
            pieces.insert(pieces.len() / 2, Bytes::new());
            assert_eq!(find(&pieces, wanted, 8), expected, "{} in pieces of {size}", body.escape_ascii());
        }
    }

    #[test]
    fn takes_and_refuses_what_serde_json_does() {
        let values = [
            "0",
            "-0",
            "-",
            "01",
            "-01",
            "1.",
            ".1",
            "1.0",
            "1e",
            "1e5",
            "1E+5",
            "1e-",
            "1e999",
            "-1e999",
            "12345678901234567890",
            "123456789012345678901",
            "+1",
            "1a",
            "0x1",
            "NaN",
            "true",
            "tru",
            "truee",
            "null",
            "nul",
            "false",
            "True",
            "\"\"",
            "\"a\"",
            "\"123456789\"",
            "\"\\u0041\"",
            "\"\\u004\"",
            "\"\\u00g1\"",
            "\"\\ud800\"",
            "\"\\ud83d\\ude00\"",
            "\"\\x\"",
            "\"\\",
            "\"a\nb\"",
            "\"a\tb\"",
            "\"\u{7f}\"",
            "\"é\"",
            "\"",
            "[]",
            "[",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1,2]",
            "[[[]]]",
            "[{}]",
            "[}",
            "{}",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1}",
            "{a:1}",
            "{\"id\":1,\"id\":2}",
            "{\"x\":{\"x\":[]}}",
            "{\"x\":[}]}",
            "",
            " ",
            ",",
            "]",
            "}",
            "1 1",
            "\u{feff}1",
            "/**/1",
            "'a'",
        ];
        for value in values {
            for text in [
                "{v}",
                "{\"id\":{v}}",
                "{\"a\":{v},\"id\":7}",
                "{\"data\":{v},\"id\":\"i\"}",
                "{\"data\":{\"at\":{v},\"id\":\"x\"}}",
            ] {
                assert_alike(text.replacen("{v}", value, 1).as_bytes(), &[1, 2, 3, 7]);
            }
        }
        for depth in [1, 10, 200, 100_000] {
            assert_alike(["{\"a\":", &"[".repeat(depth), &"]".repeat(depth), ",\"id\":1}"].concat().as_bytes(), &[5]);
            assert_alike(["{\"a\":", &"[{\"a\":".repeat(depth), ",\"id\":1}"].concat().as_bytes(), &[5]);
        }
    }

    #[test]
    fn agrees_with_serde_json_on_whatever_is_changed_in_a_body() {
        let seeds: [&[u8]; 3] = [
            br#"{"id":"evt_1","data":{"id":12,"at":{"x":"1.5"},"list":[1,-2.5e3,{"a":null}],"t":true},"n":"\u00e9\n"}"#,
            br#" { "data" : { "at" : { "x" : 1 , "x" : 2 } , "id" : [ ] } , "i\u0064" : "a" , "id" : "" } "#,
            br#"{"a":{"b":{"c":"\\\"{[,:]}"}},"id":0,"data":"x","data":{"id":"late"}}"#,
        ];
        let alphabet = br#"{}[],:"\ 0123456789.-+eEutrfalsn/abdix"#;
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut draw = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % below
        };
        for round in 0..60_000 {
            let mut body = seeds[round % seeds.len()].to_vec();
            for _ in 0..=draw(3) {
                if body.is_empty() {
                    break;
                }
                let at = draw(body.len());
                match draw(4) {
                    0 => drop(body.remove(at)),
                    1 => body.insert(at, alphabet[draw(alphabet.len())]),
                    2 => body[at] = alphabet[draw(alphabet.len())],
                    _ => body.truncate(at.max(1)),
                }
            }
            let size = draw(body.len().max(1));
            assert_alike(&body, &[size]);
        }
    }
}
