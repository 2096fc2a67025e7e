//! Published lists of senders' addresses: from a document to networks, and whether a new list may take an old one's place.
//!
//! Must never take a part of a document for its whole: what is not exactly a list is a fault. Sources: the documents that
//! Svix (`webhook-ips.json`: region to addresses), Stripe (`ips_webhooks.json`: `WEBHOOKS`) and GitHub (`/meta`: `hooks`
//! among others) publish; plain text has one entry a line and `#` before a comment. RFC 8259 §4 on names that are there twice.

use std::collections::HashSet;
use std::fmt;

use ipnet::IpNet;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::ip::{IpEntryError, parse_entry};

/// No list of senders is wider in one piece: a /8 of IPv4, a /16 of IPv6.
const WIDEST: (u32, u32) = (24, 112);
/// What a fault quotes of a document that somebody else wrote, in characters.
const QUOTED: usize = 48;
/// How many names of keys a fault lists.
const LISTED: usize = 12;

/// Why a document is no list, or a list is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListFault {
    /// Plain text that is not UTF-8.
    #[error("it is neither JSON nor text in UTF-8")]
    NotText,
    /// A line of plain text.
    #[error("line {line}: {entry:?}: {error}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What stands there, cut.
        entry: Box<str>,
        /// What is wrong with it.
        error: IpEntryError,
    },
    /// Broken JSON.
    #[error("it is not JSON: {0}")]
    Json(Box<str>),
    /// A name of the outermost object that is there twice: readers differ on which one counts.
    #[error("the key {0:?} is there twice")]
    DuplicateKey(Box<str>),
    /// An element of an array, by its place from 0.
    #[error("{}[{index}]: {entry:?}: {error}", .key.as_deref().unwrap_or_default().escape_debug())]
    Element {
        /// The array's key, cut; `None`: the document is the array.
        key: Option<Box<str>>,
        /// From 0.
        index: usize,
        /// What stands there, cut.
        entry: Box<str>,
        /// What is wrong with it.
        error: IpEntryError,
    },
    /// A document with keys, not all of which hold addresses.
    #[error("not every key holds addresses ({0}): name those that count with `select`")]
    NeedsSelect(Box<Self>),
    /// A selected key, or the whole document, that holds something else than texts.
    #[error("{}it is not a list of addresses", .0.as_ref().map(|key| format!("{key:?}: ")).unwrap_or_default())]
    NotAList(Option<Box<str>>),
    /// `select` on a document without keys.
    #[error("`select` names keys, and the document has none")]
    NoKeys,
    /// A selected key that is not there.
    #[error("there is no key {key:?}; there {}", there(.keys, *.more))]
    MissingKey {
        /// The key.
        key: Box<str>,
        /// Some of those that are there, cut.
        keys: Box<[Box<str>]>,
        /// How many more there are.
        more: usize,
    },
    /// Nothing is in it.
    #[error("it is empty")]
    Empty,
    /// An entry that is wider than any list of senders.
    #[error("{0} is wider than /{length}", length = widest_length(.0))]
    TooWide(IpNet),
    /// Entries of one family, by the first of them, that are too wide together.
    #[error("{0} and the others are together wider than /{length}", length = widest_length(.0))]
    TooWideTogether(IpNet),
    /// Less than half is left of the old list.
    #[error(
        "it has {new} entries, less than half of the {old} that it had; configure it under another name if that is meant"
    )]
    Shrunk {
        /// Entries of the new list.
        new: usize,
        /// Entries of the old one.
        old: usize,
    },
}

impl ListFault {
    /// The same without what stands in the document, which may be anything if it is not one that somebody published.
    #[must_use]
    pub fn without_entry(self) -> Self {
        match self {
            Self::Line { line, error, .. } => Self::Line { line, entry: "…".into(), error },
            Self::Element { key, index, error, .. } => Self::Element { key, index, entry: "…".into(), error },
            Self::NeedsSelect(inner) => Self::NeedsSelect(Box::new(inner.without_entry())),
            other => other,
        }
    }
}

/// A document's addresses and networks, sorted, each once. With `select` exactly these keys of an object count; without, every
/// array in it.
///
/// # Errors
/// See [`ListFault`].
pub fn parse(document: &[u8], select: &[Box<str>]) -> Result<Vec<IpNet>, ListFault> {
    let mut entries = match document.trim_ascii_start().first() {
        Some(b'{' | b'[') => json(document, select)?,
        Some(_) | None if !select.is_empty() => return Err(ListFault::NoKeys),
        Some(_) | None => {
            let text = std::str::from_utf8(document).map_err(|_| ListFault::NotText)?;
            lines(text).map(|line| line.entry).collect::<Result<_, _>>()?
        }
    };
    entries.sort_unstable();
    entries.dedup();
    Ok(entries)
}

/// A line of plain text that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its entry; the fault is [`ListFault::Line`].
    pub entry: Result<IpNet, ListFault>,
}

/// The entries of plain text, in order. Blank lines, and what follows a `#`, do not count.
pub fn lines(text: &str) -> impl Iterator<Item = Line> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (1_usize..).zip(text.lines()).filter_map(|(line, whole)| {
        let entry = whole.split('#').next().unwrap_or_default().trim();
        let parsed = || parse_entry(entry).map_err(|error| ListFault::Line { line, entry: cut(entry), error });
        (!entry.is_empty()).then(|| Line { entry: parsed() })
    })
}

/// Whether `new` may take the place of `old`. The order of checks is that of the harm: a list that admits too much is named
/// before one that admits too little.
///
/// # Errors
/// [`ListFault::Empty`], [`ListFault::TooWide`], [`ListFault::TooWideTogether`], [`ListFault::Shrunk`].
pub fn accept(new: &[IpNet], old: Option<&[IpNet]>) -> Result<(), ListFault> {
    if new.is_empty() {
        return Err(ListFault::Empty);
    }
    if let Some(wide) = new.iter().find(|entry| entry.prefix_len() < widest_length(entry)) {
        return Err(ListFault::TooWide(*wide));
    }
    for v4 in [true, false] {
        if let Some(wide) = too_wide_together(new, v4) {
            return Err(ListFault::TooWideTogether(wide));
        }
    }
    match old.map(<[IpNet]>::len) {
        Some(old) if new.len() < old.div_ceil(2) => Err(ListFault::Shrunk { new: new.len(), old }),
        Some(_) | None => Ok(()),
    }
}

/// The first entry of a family whose entries hold more addresses, all together, than the widest network may: gaps do not make
/// a list narrow.
fn too_wide_together(entries: &[IpNet], v4: bool) -> Option<IpNet> {
    let most = 1_u128.checked_shl(if v4 { WIDEST.0 } else { WIDEST.1 })?;
    let mut ranges: Vec<(u128, u128, IpNet)> =
        entries.iter().filter(|entry| entry.addr().is_ipv4() == v4).map(|entry| ends(*entry)).collect();
    ranges.sort_unstable();
    let (mut held, mut next) = (0_u128, 0_u128);
    for (first, last, _) in &ranges {
        // What overlaps counts once.
        let beyond = last.saturating_add(1);
        held = held.saturating_add(beyond.saturating_sub(next.max(*first)));
        next = next.max(beyond);
    }
    ranges.first().filter(|_| held > most).map(|(_, _, entry)| *entry)
}

fn ends(entry: IpNet) -> (u128, u128, IpNet) {
    match entry {
        IpNet::V4(net) => (u32::from(net.network()).into(), u32::from(net.broadcast()).into(), entry),
        IpNet::V6(net) => (net.network().into(), net.broadcast().into(), entry),
    }
}

const fn widest_length(entry: &IpNet) -> u8 {
    match entry {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 16,
    }
}

fn json(document: &[u8], select: &[Box<str>]) -> Result<Vec<IpNet>, ListFault> {
    match serde_json::from_slice::<Document>(document).map_err(|error| ListFault::Json(cut(&error.to_string())))? {
        Document::Array(_) if !select.is_empty() => Err(ListFault::NoKeys),
        Document::Array(array) => array.into_entries(None),
        Document::Object { twice: Some(key), .. } => Err(ListFault::DuplicateKey(cut(&key))),
        Document::Object { members, .. } if select.is_empty() => {
            let mut entries = Vec::new();
            for (key, member) in members {
                let Value::Array(array) = member else { continue };
                let found = array.into_entries(Some(&key));
                entries.append(&mut found.map_err(|fault| ListFault::NeedsSelect(fault.into()))?);
            }
            Ok(entries)
        }
        Document::Object { mut members, .. } => {
            let mut entries = Vec::new();
            for wanted in select {
                let Some((key, member)) = members.iter_mut().find(|(key, _)| key == &**wanted) else {
                    return Err(missing(wanted, &members));
                };
                let Value::Array(array) = member else { return Err(ListFault::NotAList(Some(cut(key)))) };
                entries.append(&mut std::mem::take(array).into_entries(Some(key))?);
            }
            Ok(entries)
        }
    }
}

fn missing(wanted: &str, members: &[(String, Value)]) -> ListFault {
    let keys: Box<[Box<str>]> = members.iter().take(LISTED).map(|(key, _)| cut(key)).collect();
    let more = members.len().saturating_sub(keys.len());
    ListFault::MissingKey { key: cut(wanted), keys, more }
}

fn there(keys: &[Box<str>], more: usize) -> String {
    let names: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
    match (keys.len(), more) {
        (0, _) => "is none".to_owned(),
        (1, 0) => format!("is {}", names.concat()),
        (_, 0) => format!("are {}", names.join(", ")),
        (_, more) => format!("are {} and {more} more", names.join(", ")),
    }
}

fn cut(text: &str) -> Box<str> {
    match text.char_indices().nth(QUOTED) {
        Some((at, _)) => [text.get(..at).unwrap_or_default(), "…"].concat().into(),
        None => text.into(),
    }
}

/// A document as far as it matters. Entries are read as they come, so that it never takes much more room than its text.
enum Document {
    Array(Array),
    Object { members: Vec<(String, Value)>, twice: Option<String> },
}

enum Value {
    Entry(Result<IpNet, (Box<str>, IpEntryError)>),
    Array(Array),
    /// Anything that is neither.
    Other,
}

/// An array's entries up to the first fault.
#[derive(Default)]
struct Array {
    entries: Vec<IpNet>,
    fault: Option<Fault>,
}

enum Fault {
    Entry { index: usize, entry: Box<str>, error: IpEntryError },
    NotText,
}

impl Array {
    fn read<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut array = Self::default();
        let mut index = 0_usize;
        while array.fault.is_none() {
            match seq.next_element()? {
                Some(Value::Entry(Ok(entry))) => array.entries.push(entry),
                Some(Value::Entry(Err((entry, error)))) => array.fault = Some(Fault::Entry { index, entry, error }),
                Some(Value::Array(_) | Value::Other) => array.fault = Some(Fault::NotText),
                None => return Ok(array),
            }
            index = index.saturating_add(1);
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(array)
    }

    fn into_entries(self, key: Option<&str>) -> Result<Vec<IpNet>, ListFault> {
        match self.fault {
            None => Ok(self.entries),
            Some(Fault::NotText) => Err(ListFault::NotAList(key.map(cut))),
            Some(Fault::Entry { index, entry, error }) => {
                Err(ListFault::Element { key: key.map(cut), index, entry, error })
            }
        }
    }
}

struct Outermost;

impl<'de> Visitor<'de> for Outermost {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Document, A::Error> {
        Array::read(seq).map(Document::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let (mut members, mut twice, mut seen) = (Vec::new(), None, HashSet::new());
        while let Some((key, member)) = map.next_entry::<String, Value>()? {
            if !seen.insert(key.clone()) {
                twice.get_or_insert_with(|| key.clone());
            }
            members.push((key, member));
        }
        Ok(Document::Object { members, twice })
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Outermost)
    }
}

struct Inner;

impl<'de> Visitor<'de> for Inner {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Entry(parse_entry(text).map_err(|error| (cut(text), error))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Value, A::Error> {
        Array::read(seq).map(Value::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(document: &str, select: &[&str]) -> Result<Vec<String>, ListFault> {
        let select: Vec<Box<str>> = select.iter().map(|key| (*key).into()).collect();
        Ok(parse(document.as_bytes(), &select)?.iter().map(ToString::to_string).collect())
    }

    fn nets(entries: &[&str]) -> Vec<IpNet> {
        entries.iter().map(|entry| parse_entry(entry).unwrap()).collect()
    }

    fn many(count: u8) -> Vec<IpNet> {
        (0..count).map(|n| IpNet::from(std::net::IpAddr::from([10, 0, 0, n]))).collect()
    }

    const SVIX: &str = r#"{"us": ["192.0.2.1", "2001:db8::/56"], "eu": ["192.0.2.2", "192.0.2.1"]}"#;
    const GITHUB: &str = r#"{"verifiable_password_authentication": false, "ssh_key_fingerprints": {"SHA256_RSA": "x"},
        "ssh_keys": ["ssh-ed25519 AAAA"], "hooks": ["192.0.2.0/24", "2001:db8::/32"], "web": ["198.51.100.0/24"],
        "n": 1, "m": -1, "f": 1.5, "z": null, "domains": {"website": ["*.github.com"]}}"#;
    const NEITHER: &str = "it is neither an address nor a network such as 192.0.2.0/24";

    #[test]
    fn a_fault_without_its_entry_shows_no_value_of_the_document() {
        let mut faults = 0;
        for document in [
            "never-shown",
            "192.0.2.1\nnever-shown\n",
            "\"never-shown\"",
            "[\"never-shown\"]",
            "[\"192.0.2.1\", {\"key\": \"never-shown\"}]",
            "{\"key\": [\"never-shown\"]}",
            "{\"key\": \"never-shown\"}",
            "{\"key\": {\"inner\": [\"never-shown\"]}}",
            "{\"key\": never-shown}",
            "[\"192.0.2.1\"] never-shown",
        ] {
            for select in [&[][..], &["key"]] {
                // An object without any list is read, and refused as an empty one later.
                let Err(fault) = listed(document, select) else { continue };
                let fault = fault.without_entry().to_string();
                assert!(!fault.contains("shown"), "{document}: {fault}");
                faults += 1;
            }
        }
        assert!(faults >= 18, "{faults}");
    }

    #[test]
    fn reads_what_svix_stripe_and_github_publish() {
        assert_eq!(listed(SVIX, &[]).unwrap(), ["192.0.2.1/32", "192.0.2.2/32", "2001:db8::/56"]);
        assert_eq!(listed(SVIX, &["eu"]).unwrap(), ["192.0.2.1/32", "192.0.2.2/32"]);
        assert_eq!(listed(SVIX, &["us", "us"]).unwrap(), ["192.0.2.1/32", "2001:db8::/56"]);
        assert_eq!(listed(r#"{"WEBHOOKS": ["192.0.2.7"]}"#, &[]).unwrap(), ["192.0.2.7/32"]);
        assert_eq!(listed(GITHUB, &["hooks"]).unwrap(), ["192.0.2.0/24", "2001:db8::/32"]);
        assert_eq!(listed(r#" ["192.0.2.7", "::ffff:192.0.2.7"]"#, &[]).unwrap(), ["192.0.2.7/32"]);
        assert_eq!(listed(r#"{"us": ["192.0.2.1"], "n": 1, "o": {"x": ["?"]}}"#, &[]).unwrap(), ["192.0.2.1/32"]);
    }

    #[test]
    fn reads_plain_text_with_comments_blank_lines_and_either_line_end() {
        let text = "\u{feff}# office\r\n192.0.2.1\r\n\r\n  2001:db8::/32  # home\n#\n192.0.2.1";
        assert_eq!(listed(text, &[]).unwrap(), ["192.0.2.1/32", "2001:db8::/32"]);
        assert_eq!(listed("", &[]).unwrap(), [""; 0], "the guard refuses it, not the parser");
    }

    #[test]
    fn says_which_entry_is_wrong() {
        for (document, message) in [
            (
                "192.0.2.1\n\n192.0.2.1/24\nx\n",
                "line 3: \"192.0.2.1/24\": it has bits set beyond its length; did you mean 192.0.2.0/24?".to_owned(),
            ),
            ("192.0.2.1 192.0.2.2", format!("line 1: \"192.0.2.1 192.0.2.2\": {NEITHER}")),
            ("192.0.2.1,", format!("line 1: \"192.0.2.1,\": {NEITHER}")),
            ("<html>", format!("line 1: \"<html>\": {NEITHER}")),
            (
                r#"["192.0.2.1", "010.0.0.1"]"#,
                "[1]: \"010.0.0.1\": numbers must be written without leading zeros".to_owned(),
            ),
            (r#"["192.0.2.1", 7]"#, "it is not a list of addresses".to_owned()),
            (r#"["192.0.2.1", ["192.0.2.1"]]"#, "it is not a list of addresses".to_owned()),
            (
                r#"{"us": ["192.0.2.1"], "eu": ["?"]}"#,
                format!("not every key holds addresses (eu[0]: \"?\": {NEITHER}): name those that count with `select`"),
            ),
            (
                // A terminal would obey it.
                r#"{"\u001b[31m\u007f": ["?"], "eu": "?"}"#,
                format!(
                    "not every key holds addresses (\\u{{1b}}[31m\\u{{7f}}[0]: \"?\": {NEITHER}): name those that count with `select`"
                ),
            ),
            (
                r#"{"prefixes": [{"ip_prefix": "192.0.2.0/24"}]}"#,
                "not every key holds addresses (\"prefixes\": it is not a list of addresses): name those that count with \
                 `select`"
                    .to_owned(),
            ),
            (r#"{"us": ["192.0.2.1"], "us": ["192.0.2.2"]}"#, "the key \"us\" is there twice".to_owned()),
            (r#"{"us": ["192.0.2.1"], "u\u0073": 1}"#, "the key \"us\" is there twice".to_owned()),
        ] {
            assert_eq!(listed(document, &[]).unwrap_err().to_string(), message, "{document}");
        }
        assert_eq!(parse(b"\xff", &[]).unwrap_err(), ListFault::NotText);
        let deep = "[".repeat(100_000);
        for broken in [r#"["192.0.2.1""#, r#"["192.0.2.1"] x"#, "[", "{,}", "{]", &deep] {
            assert!(matches!(listed(broken, &[]), Err(ListFault::Json(_))), "{broken:.20}");
        }
    }

    #[test]
    fn a_selected_key_must_be_there_and_hold_addresses() {
        let ssh = format!("ssh_keys[0]: \"ssh-ed25519 AAAA\": {NEITHER}");
        for (document, select, message) in [
            (SVIX, ["us", "ca"].as_slice(), "there is no key \"ca\"; there are \"us\", \"eu\""),
            (r#"{"a": []}"#, &["ca"], "there is no key \"ca\"; there is \"a\""),
            ("{}", &["ca"], "there is no key \"ca\"; there is none"),
            (GITHUB, &["domains"], "\"domains\": it is not a list of addresses"),
            (GITHUB, &["ssh_keys"], &ssh),
            (r#"["192.0.2.1"]"#, &["us"], "`select` names keys, and the document has none"),
            ("192.0.2.1", &["us"], "`select` names keys, and the document has none"),
        ] {
            assert_eq!(listed(document, select).unwrap_err().to_string(), message, "{document} {select:?}");
        }
        let keys: Vec<String> = (0..20).map(|n| format!("\"{n}{}\": []", "x".repeat(90))).collect();
        let fault = listed(&format!("{{{}}}", keys.join(",")), &["us"]).unwrap_err().to_string();
        assert!(fault.ends_with("and 8 more") && fault.len() < 800, "{fault}");
    }

    #[test]
    fn refuses_a_list_that_is_empty() {
        assert_eq!(accept(&[], None), Err(ListFault::Empty));
        assert_eq!(accept(&[], Some(&[])), Err(ListFault::Empty));
        assert_eq!(accept(&nets(&["192.0.2.1"]), Some(&[])), Ok(()));
    }

    #[test]
    fn refuses_a_network_one_bit_wider_than_the_widest() {
        for good in ["10.0.0.0/8", "2001::/16"] {
            assert_eq!(accept(&nets(&[good]), None), Ok(()), "{good}");
        }
        for bad in ["10.0.0.0/7", "0.0.0.0/0", "2000::/15", "::/0"] {
            assert_eq!(accept(&nets(&["192.0.2.1", bad]), None), Err(ListFault::TooWide(nets(&[bad])[0])), "{bad}");
        }
    }

    #[test]
    fn a_list_is_as_wide_as_its_networks_are_together() {
        for good in [
            &["10.0.0.0/9", "10.128.0.0/9"][..],
            &["10.0.0.0/8", "10.1.0.0/16", "10.255.255.255", "2001::/16"],
            &["2001::/17", "2001:8000::/17"],
            &["9.255.255.255", "11.0.0.0", "255.255.255.255", "::"],
        ] {
            assert_eq!(accept(&nets(good), None), Ok(()), "{good:?}");
        }
        for bad in [
            &["10.0.0.0/8", "11.0.0.0"][..],
            &["11.0.0.0", "10.0.0.0/8"],
            &["10.0.0.0/9", "10.128.0.0/9", "11.0.0.0/9"],
            &["192.0.2.1", "10.128.0.0/9", "11.0.0.0/9", "11.128.0.0/9", "10.0.0.0/9"],
            &["2001::/16", "2002::"],
            &["ffff::/16", "fffe:ffff::/32"],
            &["255.0.0.0/8", "254.255.255.255"],
            // Gaps do not make it narrow.
            &["10.0.0.0/9", "12.0.0.0/9", "192.0.2.1"],
            &["10.0.0.0/8", "192.0.2.1"],
            &["2001::/16", "2003::"],
        ] {
            assert!(matches!(accept(&nets(bad), None), Err(ListFault::TooWideTogether(_))), "{bad:?}");
        }
    }

    #[test]
    fn refuses_less_than_half_of_the_old_list() {
        for (new, old, good) in
            [(5, 10, true), (4, 10, false), (5, 9, true), (4, 9, false), (1, 2, true), (1, 3, false)]
        {
            let result = accept(&many(new), Some(&many(old)));
            let refused = ListFault::Shrunk { new: new.into(), old: old.into() };
            assert_eq!(result, if good { Ok(()) } else { Err(refused) }, "{new} of {old}");
        }
    }
}
