//! The configuration as typed: a tree of values, each with its place.
//!
//! Every value has the right type and is inside its own bounds, absent keys have their defaults, and what was refused holds
//! nothing (`walk` has reported it). Must never look at two keys together: that is `compile*`.

use std::time::Duration;

use super::findings::Spot;

/// A table: its values by key. Of `[routes]` and `[schemes]`, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Where it is.
    pub(crate) spot: Spot,
    pub(super) nodes: Vec<Node>,
}

/// One value.
#[derive(Debug)]
pub(crate) struct Node {
    /// The key as typed.
    pub(crate) name: String,
    /// Where its value is; of a default, where its table is.
    pub(crate) spot: Spot,
    /// Whether it was typed, as opposed to a default.
    pub(crate) given: bool,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Bool(bool),
    Integer(u64),
    Duration(Duration),
    Text(String),
    Texts(Vec<(String, Spot)>),
    Integers(Vec<u64>),
    Table(Table),
    Tables(Vec<Table>),
    /// Something that works later and is harmless, or was refused as a whole.
    Nothing,
}

/// A text and where it is.
pub(crate) type Text<'t> = (&'t str, &'t Spot);

impl Table {
    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Where the key is, or would be.
    pub(crate) fn spot_of(&self, name: &str) -> Spot {
        self.node(name).map_or_else(|| self.spot.child(name), |node| node.spot.clone())
    }

    /// Whether the key was typed.
    pub(crate) fn given(&self, name: &str) -> bool {
        self.node(name).is_some_and(|node| node.given)
    }

    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        match self.node(name)?.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// An integer, or a size in bytes.
    pub(crate) fn integer(&self, name: &str) -> Option<u64> {
        match self.node(name)?.value {
            Value::Integer(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        match self.node(name)?.value {
            Value::Duration(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<Text<'_>> {
        let node = self.node(name)?;
        match &node.value {
            Value::Text(text) => Some((text, &node.spot)),
            _ => None,
        }
    }

    /// The list's elements; none if it is absent.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = Text<'_>> {
        let list: &[(String, Spot)] = match self.node(name).map(|node| &node.value) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        };
        list.iter().map(|(text, spot)| (text.as_str(), spot))
    }

    /// The numbers of a list; none if it is absent.
    pub(crate) fn integers(&self, name: &str) -> &[u64] {
        match self.node(name).map(|node| &node.value) {
            Some(Value::Integers(numbers)) => numbers,
            _ => &[],
        }
    }

    /// Whether a list is there, typed or by default, that was not refused as a whole.
    pub(crate) fn has_list(&self, name: &str) -> bool {
        self.node(name).is_some_and(|node| matches!(node.value, Value::Texts(_)))
    }

    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        match &self.node(name)?.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn tables(&self, name: &str) -> Option<&[Table]> {
        match &self.node(name)?.value {
            Value::Tables(tables) => Some(tables),
            _ => None,
        }
    }

    /// The texts of a table, by name.
    pub(crate) fn all_texts(&self) -> impl Iterator<Item = (&str, Text<'_>)> {
        self.nodes.iter().filter_map(|node| match &node.value {
            Value::Text(text) => Some((node.name.as_str(), (text.as_str(), &node.spot))),
            _ => None,
        })
    }

    /// The tables under names of the user's own, in the order of the file.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &Table)> {
        self.nodes.iter().filter_map(|node| match &node.value {
            Value::Table(table) => Some((node.name.as_str(), table)),
            _ => None,
        })
    }
}

/// What a name must be to serve as a label in logs, metrics and structured fields.
pub(crate) const LABEL_HINT: &str = "use 1 to 64 letters, digits, `-` and `_`";

/// Whether `name` may be the name of a route or scheme, or the label of a secret.
pub(crate) fn is_label(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}
