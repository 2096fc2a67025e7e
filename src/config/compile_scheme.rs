//! `[schemes.NAME]`: the user's own schemes, each problem at the key that has it.
//!
//! What a scheme must be is `Scheme::compile`'s to say; this file only finds the places. Must never let a user's scheme take
//! the name of one in the catalogue, because logs and `verified-event` show that name.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::compile::Context;
use super::findings::Spot;
use super::raw::Table;
use crate::check::signature::{Scheme, SchemeSpec};

/// A user's scheme. One that is broken is kept, so that routes that name it are not told that it does not exist.
#[derive(Debug)]
pub(super) struct Custom {
    pub(super) spec: Option<SchemeSpec>,
    pub(super) used: bool,
    pub(super) spot: Spot,
}

pub(super) fn schemes(context: &mut Context<'_, '_>, raw: &Table, document: &DeTable<'_>) -> BTreeMap<String, Custom> {
    let typed = document.get("schemes").and_then(|schemes| schemes.get_ref().as_table());
    let mut all = BTreeMap::new();
    for (name, table) in raw.table("schemes").into_iter().flat_map(Table::named) {
        if context.catalog.get(name).is_some() {
            let hint = format!("choose another name, or use the built-in one with provider = \"{name}\"");
            context.findings.error(&table.spot, "is the name of a built-in provider", hint);
        }
        let value = typed.and_then(|schemes| schemes.get(name));
        let spec = match value {
            Some(value) if context.is_readable(table) => context.spec(table, value),
            _ => None,
        };
        let spec = spec.filter(|spec| context.is_sound(name, table, spec));
        all.insert(name.to_owned(), Custom { spec, used: false, spot: table.spot.clone() });
    }
    all
}

impl Context<'_, '_> {
    /// Whether serde will take it: the walk has checked all types but this one.
    fn is_readable(&mut self, table: &Table) -> bool {
        let separator = table.table("signature").and_then(|signature| signature.text("separator"));
        if let Some((_, spot)) = separator.filter(|(text, _)| text.chars().count() != 1) {
            self.findings.error(spot, "is not one character", "write the character between two entries, such as \",\"");
        }
        !self.findings.refused_inside(&table.spot)
    }

    fn spec(&mut self, table: &Table, value: &toml::Spanned<DeValue<'_>>) -> Option<SchemeSpec> {
        match SchemeSpec::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(spec) => Some(spec),
            Err(error) => {
                let offset = error.span().map_or(table.spot.offset, |span| span.start);
                let what = error.message().to_owned();
                self.findings.error_without_hint(&table.spot.clone().at(offset), what);
                None
            }
        }
    }

    fn is_sound(&mut self, name: &str, table: &Table, spec: &SchemeSpec) -> bool {
        let problems = Scheme::problems(name, spec);
        for problem in &problems {
            let spot = place(table, problem.field);
            self.findings.error(&spot, problem.flaw.to_string(), problem.flaw.hint());
        }
        if problems.is_empty() && spec.insecure_unsigned_body {
            let what = "the body is not signed: whoever sees one delivery can send another body with its signature";
            let hint = "let the provider sign the body if it can";
            self.findings.warn(&table.spot_of("insecure_unsigned_body"), what, hint);
        }
        problems.is_empty()
    }
}

/// `signature.prefix` → where that key is, or the nearest table around it.
fn place(table: &Table, field: &str) -> Spot {
    match field.split_once('.') {
        None => table.spot_of(field),
        Some((first, rest)) => {
            table.table(first).map_or_else(|| table.spot_of(first).child(rest), |inner| place(inner, rest))
        }
    }
}
