//! The same scan, by `serde_json` alone: what the quick one is held against. Must never be in a build.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

use super::{Hits, Path, Scalar, Scan, WANTED, finish, is_line};

/// As [`super::find`], of a body in one piece.
pub(super) fn find(body: &[u8], wanted: [Option<&Path>; WANTED], longest: usize) -> [Option<Scalar>; WANTED] {
    let mut scan = Scan { wanted, longest, found: Default::default() };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let hits = scan.wanted.map(|path| path.is_some());
    let whole = deserializer.deserialize_map(Members { scan: &mut scan, hits, depth: 0 });
    finish(scan, whole.is_ok() && deserializer.end().is_ok())
}

/// An object of which some members are wanted, or lead to wanted ones.
struct Members<'s, 'p> {
    scan: &'s mut Scan<'p>,
    hits: Hits,
    depth: usize,
}

impl<'de> Visitor<'de> for Members<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Hits = Default::default();
        while let Some(hits) = map.next_key_seed(Name { scan: self.scan, among: self.hits, depth: self.depth })? {
            if !hits.contains(&true) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(Value { scan: self.scan, hits, depth: self.depth })?;
            for (index, hit) in hits.iter().enumerate() {
                let Some(seen) = seen.get_mut(index).filter(|_| *hit) else { continue };
                if *seen {
                    let mut twice: Hits = Default::default();
                    if let Some(twice) = twice.get_mut(index) {
                        *twice = true;
                    }
                    self.scan.spoil(twice);
                }
                *seen = true;
            }
        }
        Ok(())
    }
}

/// A member's name: which of the wanted values it leads to.
struct Name<'s, 'p> {
    scan: &'s Scan<'p>,
    among: Hits,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = Hits;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Hits, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_, '_> {
    type Value = Hits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Hits, E> {
        Ok(self.scan.hits(name, self.among, self.depth))
    }
}

/// A value that is wanted, or an object that leads to one.
struct Value<'s, 'p> {
    scan: &'s mut Scan<'p>,
    hits: Hits,
    depth: usize,
}

impl Value<'_, '_> {
    fn found(self, value: Option<&Scalar>) {
        let ends = self.scan.ends(self.hits, self.depth);
        self.scan.record(ends, value);
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let text = match text {
            "" => None,
            text if is_line(text, self.scan.longest) => Some(Scalar::Text(text.into())),
            text => Some(Scalar::Unfit(Sha256::digest(text).into())),
        };
        self.found(text.as_ref());
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.found(Some(&Scalar::Number(number)));
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.found(None);
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.found(None);
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.found(None);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.found(None);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.found(None);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let ends = self.scan.ends(self.hits, self.depth);
        self.scan.record(ends, None);
        let mut deeper = self.hits;
        for (deeper, end) in deeper.iter_mut().zip(ends) {
            *deeper &= !end;
        }
        if !deeper.contains(&true) {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        Members { scan: self.scan, hits: deeper, depth: self.depth.saturating_add(1) }.visit_map(map)
    }
}
