//! The walk over the text: every key and value is compared with the table of keys.
//!
//! Must never stop at a problem, nor put a text that may be a secret into one: only durations, sizes and choices are quoted.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::findings::{Findings, Spot};
use super::hint::{alternatives, nearest};
use super::keys::{Key, Kind, Shape, Status, TOP};
use super::raw::{LABEL_HINT, Node, Table, Value, is_label};
use super::values;

const DURATION_HINT: &str = "write whole numbers with h, m, s or ms, larger units first: \"5m\", \"1h30m\", \"250ms\"";

/// Walks a whole document.
pub(crate) fn read(document: &DeTable<'_>, findings: &mut Findings<'_>) -> Table {
    Walk { findings }.table(&TOP, Spot::default(), document)
}

struct Walk<'f, 'a> {
    findings: &'f mut Findings<'a>,
}

impl Walk<'_, '_> {
    fn table(&mut self, shape: &'static Shape, spot: Spot, table: &DeTable<'_>) -> Table {
        let mut nodes = Vec::new();
        for (name, value) in table {
            let here = spot.child(name.get_ref()).at(name.span().start);
            match shape.keys.iter().find(|key| key.name == name.get_ref()) {
                Some(key) => nodes.extend(self.known(key, here, value)),
                None => self.unknown(shape, &here, name.get_ref()),
            }
        }
        for key in shape.keys.iter().filter(|key| !table.contains_key(key.name)) {
            nodes.extend(self.absent(key, &spot));
        }
        self.exactly_one(shape, &spot, table);
        Table { spot, nodes }
    }

    /// A key that may be written. `here` is where the key is.
    fn known(&mut self, key: &'static Key, here: Spot, value: &Spanned<DeValue<'_>>) -> Option<Node> {
        match key.status {
            Status::Works | Status::Required => {
                let is_header = matches!(key.kind, Kind::Table(_) | Kind::Named(_));
                let spot = if is_header { here } else { here.at(value.span().start) };
                // What was refused stays known as typed, so that nobody calls it missing.
                let value = self.value(&key.kind, &spot, value.get_ref()).unwrap_or(Value::Nothing);
                Some(Node { name: key.name.to_owned(), spot, given: true, value })
            }
            Status::Never(hint) => {
                self.findings.error(&here, "is not accepted", hint);
                None
            }
        }
    }

    fn unknown(&mut self, shape: &'static Shape, here: &Spot, name: &str) {
        let works = |key: &&Key| matches!(key.status, Status::Works | Status::Required);
        let names = || shape.keys.iter().filter(|key| !matches!(key.status, Status::Never(_))).map(|key| key.name);
        let home = TOP.keys.iter().find_map(|section| match section.kind {
            Kind::Table(shape) => shape.keys.iter().any(|key| key.name == name).then_some(section.name),
            _ => None,
        });
        let hint = match (nearest(name, names()), home) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(section)) => format!("`{name}` is a key of [{section}]"),
            (None, None) => {
                format!("the keys here are {}", alternatives(shape.keys.iter().filter(works).map(|key| key.name)))
            }
        };
        self.findings.error(here, "unknown key", hint);
    }

    fn exactly_one(&mut self, shape: &'static Shape, table: &Spot, written: &DeTable<'_>) {
        let present: Vec<&str> = shape.exactly_one.iter().copied().filter(|name| written.contains_key(*name)).collect();
        let explained = |key: &Key| matches!(key.status, Status::Never(_)) && written.contains_key(key.name);
        match present.as_slice() {
            [] if shape.exactly_one.is_empty() || shape.keys.iter().any(explained) => {}
            [] => self.findings.error(
                table,
                format!("needs {}", alternatives(shape.exactly_one.iter().copied())),
                "add exactly one of them",
            ),
            [_] => {}
            [_, extra, ..] => {
                let spot = written
                    .get_key_value(*extra)
                    .map_or_else(|| table.clone(), |(key, _)| table.child(extra).at(key.span().start));
                let what = format!("only one of {} may be there", alternatives(shape.exactly_one.iter().copied()));
                self.findings.error(&spot, what, "keep one of them");
            }
        }
    }

    /// A key that was not written: its default, or a problem if it has to be there.
    fn absent(&mut self, key: &'static Key, table: &Spot) -> Option<Node> {
        let spot = table.child(key.name);
        if key.status == Status::Required {
            self.findings.error(&spot, "is missing", format!("add it: {}", topic(key)));
            return None;
        }
        let value = match (&key.kind, key.default) {
            (Kind::Table(shape), _) if shape.stands_alone() => {
                Value::Table(self.table(shape, spot.clone(), &DeTable::new()))
            }
            (kind, Some(default)) => {
                let parsed = DeValue::parse(default).ok()?;
                self.value(kind, &spot, parsed.get_ref())?
            }
            (_, None) => return None,
        };
        Some(Node { name: key.name.to_owned(), spot, given: false, value })
    }

    fn value(&mut self, kind: &'static Kind, spot: &Spot, value: &DeValue<'_>) -> Option<Value> {
        match (kind, value) {
            (Kind::Bool, DeValue::Boolean(value)) => Some(Value::Bool(*value)),
            (Kind::Integer { min, max }, DeValue::Integer(_)) => {
                self.bounded(spot, integer(value), *min, *max, |n| n.to_string()).map(Value::Integer)
            }
            (Kind::Integers { min, max }, DeValue::Array(array)) => {
                let mut numbers = Vec::new();
                for (index, element) in array.iter().enumerate() {
                    let here = spot.index(index, element.span().start);
                    if let DeValue::Integer(_) = element.get_ref() {
                        let number = integer(element.get_ref());
                        numbers.extend(self.bounded(&here, number, *min, *max, |n| n.to_string()));
                    } else {
                        let what = format!("expected a whole number, found {}", found(element.get_ref()));
                        self.findings.error(&here, what, "write the number without quotes");
                    }
                }
                Some(Value::Integers(numbers))
            }
            (Kind::Size { min, max }, DeValue::Integer(_)) => {
                self.bounded(spot, integer(value), *min, *max, values::show_size).map(Value::Integer)
            }
            (Kind::Size { min, max }, DeValue::String(text)) => match values::size(text) {
                Some(size) => self.bounded(spot, Some(size), *min, *max, values::show_size).map(Value::Integer),
                None => self.refuse(spot, format!("{text:?} is not a size"), values::size_hint(text)),
            },
            (Kind::Duration { min, max }, DeValue::String(text)) => {
                let Some(length) = values::duration(text) else {
                    return self.refuse(spot, format!("{text:?} is not a duration"), DURATION_HINT);
                };
                self.bounded(spot, Some(length), *min, *max, values::show_duration).map(Value::Duration)
            }
            (Kind::Duration { .. }, DeValue::Integer(number)) => self.refuse(
                spot,
                "expected a duration, found a number without a unit",
                format!("write \"{number}s\" for seconds"),
            ),
            (Kind::Text, DeValue::String(text)) => Some(Value::Text(text.clone().into_owned())),
            (Kind::Choice(choices), DeValue::String(text)) => {
                if choices.contains(&&**text) {
                    return Some(Value::Text(text.clone().into_owned()));
                }
                let hint = match nearest(text, choices.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("write {}", alternatives(choices.iter().copied())),
                };
                self.refuse(spot, format!("{text:?} is not {}", alternatives(choices.iter().copied())), hint)
            }
            (Kind::TextOrTexts, DeValue::String(text)) => {
                Some(Value::Texts(vec![(text.clone().into_owned(), spot.clone())]))
            }
            (Kind::Texts | Kind::TextOrTexts, DeValue::Array(array)) => Some(Value::Texts(self.texts(spot, array))),
            (Kind::Groups, DeValue::Array(groups)) => Some(self.groups(spot, groups)),
            (Kind::Table(shape), DeValue::Table(table)) => Some(Value::Table(self.table(shape, spot.clone(), table))),
            (Kind::Tables(shape), DeValue::Array(array)) => Some(Value::Tables(self.tables(shape, spot, array))),
            (Kind::Named(shape), DeValue::Table(table)) => Some(Value::Table(self.named(shape, spot, table))),
            (Kind::TextMap, DeValue::Table(table)) => Some(Value::Table(self.text_map(spot, table))),
            (kind, value) => self.refuse(
                spot,
                format!("expected {}, found {}", expected(kind), found(value)),
                correction(kind, value),
            ),
        }
    }

    fn texts<'v>(
        &mut self,
        spot: &Spot,
        array: impl IntoIterator<Item = &'v Spanned<DeValue<'v>>>,
    ) -> Vec<(String, Spot)> {
        let mut texts = Vec::new();
        for (index, element) in array.into_iter().enumerate() {
            let here = spot.index(index, element.span().start);
            match element.get_ref() {
                DeValue::String(text) => texts.push((text.clone().into_owned(), here)),
                other => {
                    self.findings.error(
                        &here,
                        format!("expected a string, found {}", found(other)),
                        "put it in quotes",
                    );
                }
            }
        }
        texts
    }

    /// Only checked: serde reads schemes.
    fn groups<'v>(&mut self, spot: &Spot, groups: impl IntoIterator<Item = &'v Spanned<DeValue<'v>>>) -> Value {
        for (index, group) in groups.into_iter().enumerate() {
            self.value(&Kind::TextOrTexts, &spot.index(index, group.span().start), group.get_ref());
        }
        Value::Nothing
    }

    fn tables<'v>(
        &mut self,
        shape: &'static Shape,
        spot: &Spot,
        array: impl IntoIterator<Item = &'v Spanned<DeValue<'v>>>,
    ) -> Vec<Table> {
        let mut tables = Vec::new();
        for (index, element) in array.into_iter().enumerate() {
            let here = spot.index(index, element.span().start);
            match element.get_ref() {
                DeValue::Table(table) => tables.push(self.table(shape, here, table)),
                other => {
                    let hint = correction(&Kind::Tables(shape), other);
                    self.findings.error(&here, format!("expected a table, found {}", found(other)), hint);
                }
            }
        }
        tables
    }

    fn named(&mut self, shape: &'static Shape, spot: &Spot, table: &DeTable<'_>) -> Table {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let mut nodes = Vec::new();
        for (name, value) in entries {
            let here = spot.child(name.get_ref()).at(name.span().start);
            let DeValue::Table(table) = value.get_ref() else {
                let hint = format!("write [{}.NAME] above the keys of one", spot.key);
                self.findings.error(&here, format!("expected a table, found {}", found(value.get_ref())), hint);
                continue;
            };
            if !is_label(name.get_ref()) {
                self.findings.error(&here, "the name is not usable as a label", LABEL_HINT);
            }
            let value = Value::Table(self.table(shape, here.clone(), table));
            nodes.push(Node { name: name.get_ref().clone().into_owned(), spot: here, given: true, value });
        }
        Table { spot: spot.clone(), nodes }
    }

    fn text_map(&mut self, spot: &Spot, table: &DeTable<'_>) -> Table {
        let mut nodes = Vec::new();
        for (name, value) in table {
            let here = spot.child(name.get_ref()).at(value.span().start);
            if let Some(value) = self.value(&Kind::Text, &here, value.get_ref()) {
                nodes.push(Node { name: name.get_ref().clone().into_owned(), spot: here, given: true, value });
            }
        }
        Table { spot: spot.clone(), nodes }
    }

    /// `None`: a number that is negative or does not fit.
    fn bounded<T: PartialOrd + Copy>(
        &mut self,
        spot: &Spot,
        value: Option<T>,
        min: T,
        max: T,
        show: impl Fn(T) -> String,
    ) -> Option<T> {
        let hint = || format!("write a value from {} to {}", show(min), show(max));
        match value {
            Some(value) if value < min => self.refuse(spot, format!("{} is too small", show(value)), hint()),
            Some(value) if value > max => self.refuse(spot, format!("{} is too large", show(value)), hint()),
            Some(value) => Some(value),
            None => self.refuse(spot, "the number is out of range", hint()),
        }
    }

    fn refuse<T>(&mut self, spot: &Spot, what: impl Into<Box<str>>, hint: impl Into<Box<str>>) -> Option<T> {
        self.findings.error(spot, what, hint);
        None
    }
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Integer { .. } => "a whole number",
        Kind::Integers { .. } => "a list of whole numbers",
        Kind::Size { .. } => "a size",
        Kind::Duration { .. } => "a duration",
        Kind::Text | Kind::Choice(_) => "a string",
        Kind::Texts => "a list of strings",
        Kind::TextOrTexts => "a string or a list of strings",
        Kind::Groups => "a list of strings or lists of strings",
        Kind::Table(_) | Kind::Named(_) | Kind::TextMap => "a table",
        Kind::Tables(_) => "a list of tables",
    }
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// How a value of the wrong type is put right, without quoting it: it may be a secret.
fn correction(kind: &Kind, value: &DeValue<'_>) -> String {
    match (kind, value) {
        (Kind::Bool, DeValue::String(_)) => "write true or false without quotes".to_owned(),
        (Kind::Integer { .. }, DeValue::String(_)) => "write the number without quotes".to_owned(),
        (Kind::Integer { .. }, _) => "write a whole number".to_owned(),
        (Kind::Integers { .. }, _) => "write [503]".to_owned(),
        (Kind::Texts, DeValue::String(_)) => "put it in brackets: [\"…\"]".to_owned(),
        (Kind::Tables(_), DeValue::Table(_)) => "put it in brackets: [{ … }]".to_owned(),
        (Kind::Tables(_), DeValue::String(_)) => format!(
            "write [{{ env = \"NAME\" }}]; a secret is never inline: {}",
            "name the variable or file that holds it"
        ),
        (Kind::Text | Kind::Choice(_), _) => "write a string in quotes".to_owned(),
        (Kind::Size { .. }, _) => "write \"1MiB\"".to_owned(),
        (Kind::Duration { .. }, _) => "write \"5m\"".to_owned(),
        (kind, _) => format!("write {}", expected(kind)),
    }
}

fn topic(key: &Key) -> String {
    lower_first(key.doc.trim_end_matches('.'))
}

/// A sentence inside another one; words in capitals stay.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            format!("{}{}", first.to_lowercase(), letters.as_str())
        }
        _ => text.to_owned(),
    }
}
