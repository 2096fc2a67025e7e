//! An entry of the catalogue as text that can be pasted into a configuration and changed there.
//!
//! The scheme's lines are the catalogue's own, comments included: found by the parser's spans, not by a serialiser, so what
//! is printed cannot differ from what is compiled (a test compiles all of it). Must never print what is not in the catalogue.

use std::fmt::Write as _;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{CATALOG, Catalog, EventTypes, Provider};
use crate::check::signature::SchemeSpec;
use crate::check::signature::scheme::{Engine, FieldSpec};

/// What the printed scheme is called: a built-in name cannot be taken again.
const PREFIX: &str = "my-";

/// One entry: what to know about it, its scheme as `[schemes.my-NAME]`, and a route that uses it. `None`: no such provider.
pub fn entry(catalog: &Catalog, name: &str) -> Option<String> {
    let provider = catalog.get(name)?;
    let spec = catalog.scheme(name)?;
    let owner = if provider.scheme.is_none() { provider.like.as_deref().unwrap_or(name) } else { name };
    let mut text = String::new();
    // Writing into a `String` cannot fail.
    for line in about(catalog, name, provider, spec) {
        let _ = writeln!(text, "# {line}");
    }
    let _ = write!(text, "\n[schemes.{PREFIX}{name}]\n{}\n", scheme(owner)?);
    for line in route(catalog, name, provider, spec) {
        let _ = writeln!(text, "# {line}");
    }
    Some(text)
}

fn about(catalog: &Catalog, name: &str, provider: &Provider, spec: &SchemeSpec) -> Vec<String> {
    let mut lines = vec![provider.title.clone(), provider.docs.clone()];
    if let Some(other) = &provider.like {
        lines.push(format!("Signs like {other}."));
    }
    if !provider.secret.is_empty() {
        lines.push(format!("Secret: {}", provider.secret));
    }
    let mut deadline = format!("The sender waits {} s for an answer", provider.sender_deadline);
    deadline.push_str(if provider.answer_matters { ", and uses what is in it." } else { "." });
    lines.push(deadline);
    lines.extend(catalog.signs(name).map(|signs| format!("Signed: {signs}.")));
    let in_header = |field: &Option<FieldSpec>| field.as_ref().is_some_and(|field| field.header.is_some());
    let id_is_signed = catalog.signs(name).is_some_and(|signs| signs.id);
    let unsigned = match (in_header(&spec.id) && !id_is_signed, in_header(&spec.event_type)) {
        (true, true) => Some("Neither the id nor the type is signed: whoever is in between could change them."),
        (true, false) => Some("The id is not signed: whoever is in between could change it."),
        (false, true) => Some("The type is not signed: whoever is in between could change it."),
        (false, false) => None,
    };
    lines.extend(unsigned.map(str::to_owned));
    if let Some(types) = EventTypes::of(name) {
        let (count, day) = (types.count(), types.day());
        lines.push(format!(
            "Event types: {count} are known, as of {day}; with provider = \"{name}\", a pattern in `events` that matches none is warned about."
        ));
    }
    if !catalog.handshakes(name).is_empty() {
        lines.push(format!("Handshake: answered on a route with provider = \"{name}\" and handshake = true, not with a scheme of one's own."));
    }
    if spec.engine != Engine::Template {
        lines.push("What the keys below do not say is code: only the keys themselves can be changed.".to_owned());
    }
    lines
}

/// An example, every line of it commented out.
fn route(catalog: &Catalog, name: &str, provider: &Provider, spec: &SchemeSpec) -> Vec<String> {
    let signs = catalog.signs(name);
    let mut lines =
        vec![format!("A route that uses it. Unchanged, provider = \"{name}\" does the same without the table above.")];
    if signs.is_some_and(|signs| signs.url) {
        lines.push("[server]".to_owned());
        lines
            .push("public_url = \"https://app.example.com\"  # the URL is signed, in the sender's spelling".to_owned());
    }
    lines.push(format!("[routes.{name}]"));
    lines.push(format!("path = \"/api/webhooks/{name}\""));
    lines.push(format!("scheme = \"{PREFIX}{name}\""));
    if signs.is_none_or(|signs| signs.secret) {
        let usual = || format!("{}_WEBHOOK_SECRET", name.to_ascii_uppercase().replace('-', "_"));
        lines.push(format!(
            "secrets = [{{ env = \"{}\" }}]",
            provider.secret_env.first().cloned().unwrap_or_else(usual)
        ));
    }
    let (required, optional): (Vec<_>, Vec<_>) =
        spec.options.iter().partition(|(name, option)| option.required || is_asked_for(spec, name));
    if !required.is_empty() {
        let values: Vec<String> = required.iter().map(|(option, _)| format!("{option} = \"…\"")).collect();
        lines.push(format!("options = {{ {} }}", values.join(", ")));
    }
    lines.extend(required.iter().map(|(option, spec)| format!("  # {option}: {}", spec.doc)));
    lines.extend(optional.iter().map(|(option, spec)| format!("  # {option} (optional): {}", spec.doc)));
    lines
}

/// Whether the configuration wants an option without which the scheme alone would do: anyone can order signed messages.
fn is_asked_for(spec: &SchemeSpec, option: &str) -> bool {
    spec.engine == Engine::AwsSns && option == "topics"
}

/// The lines of `[owner.scheme]`, below its header.
fn scheme(owner: &str) -> Option<String> {
    let catalog = DeTable::parse(CATALOG).ok()?;
    let scheme = catalog.get_ref().get(owner)?.get_ref().as_table()?.get("scheme")?.get_ref().as_table()?;
    let mut text = String::new();
    for (key, value) in in_order(scheme) {
        let (start, end) = (key.span().start, value.span().end);
        if !is_nested(value) {
            for line in comments_above(CATALOG.get(..start)?) {
                text.push_str(line);
                text.push('\n');
            }
        }
        let _ = write!(text, "{} = {}", key.get_ref(), written(value)?);
        let after = CATALOG.get(end..)?.lines().next().unwrap_or_default();
        if after.trim_start().starts_with('#') {
            let _ = write!(text, "  {}", after.trim());
        }
        text.push('\n');
    }
    Some(text)
}

fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut members: Vec<_> = table.iter().collect();
    members.sort_by_key(|(key, _)| key.span().start);
    members
}

/// The comment lines directly above the line that is begun at the end of `before`.
fn comments_above(before: &str) -> Vec<&str> {
    let above = before.rsplit_once('\n').map_or("", |(above, _)| above);
    let mut lines: Vec<&str> = above.lines().rev().take_while(|line| line.starts_with('#')).collect();
    lines.reverse();
    lines
}

/// Whether a table is written with a header or dotted keys of its own.
fn is_nested(value: &Spanned<DeValue<'_>>) -> bool {
    let opening = CATALOG.get(value.span()).and_then(|text| text.chars().next());
    match value.get_ref() {
        DeValue::Table(_) => opening != Some('{'),
        DeValue::Array(items) => items.iter().any(is_nested),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            false
        }
    }
}

/// A value as the catalogue writes it; one with headers of its own, in one line.
fn written(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::Table(table) if is_nested(value) => {
            let members = in_order(table)
                .into_iter()
                .map(|(key, value)| Some(format!("{} = {}", key.get_ref(), written(value)?)))
                .collect::<Option<Vec<_>>>()?;
            Some(format!("{{ {} }}", members.join(", ")))
        }
        DeValue::Array(items) if is_nested(value) => {
            let items = items.iter().map(written).collect::<Option<Vec<_>>>()?;
            Some(format!("[{}]", items.join(", ")))
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => CATALOG.get(value.span()).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::super::example;
    use super::*;
    use crate::check::signature::Scheme;
    use crate::config::{self, Environment, Severity};

    struct One(String);

    impl Environment for One {
        fn variable(&self, _: &str) -> Option<Vec<u8>> {
            Some(self.0.clone().into_bytes())
        }

        fn variable_names(&self) -> Vec<String> {
            Vec::new()
        }

        fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// The printed text with its example route switched on, and values that fit.
    fn pasted(text: &str, spec: &SchemeSpec) -> String {
        let (scheme, route) = text.split_once("# A route that uses it.").unwrap();
        let route: Vec<&str> = route.lines().skip(1).map(|line| line.strip_prefix("# ").unwrap()).collect();
        let mut route = route.join("\n");
        for (name, value) in example::options(spec) {
            route = route.replace(&format!("{name} = \"…\""), &format!("{name} = \"{value}\""));
        }
        format!("{scheme}\n{route}")
    }

    #[test]
    fn every_entry_can_be_pasted_into_a_configuration_and_is_the_same_scheme() {
        let catalog = Catalog::load().unwrap();
        let mut wrong = Vec::new();
        for name in catalog.names() {
            let spec = catalog.scheme(name).unwrap();
            let text = pasted(&entry(&catalog, name).unwrap(), spec);
            let loaded = match config::compile(&text, Path::new("pasted.toml"), &One(example::secret(spec))) {
                Ok(loaded) => loaded,
                Err(report) => {
                    wrong.push(format!("{name}: {report}\n{text}"));
                    continue;
                }
            };
            let route = &loaded.plan.routes[0];
            assert_eq!(route.provider.strip_prefix("my-"), Some(name));
            assert_eq!(route.ingredients.spec, *spec, "{name}");
            let expected = usize::from(spec.insecure_unsigned_body);
            let warnings: Vec<String> = loaded
                .notices
                .iter()
                .filter(|notice| notice.severity == Severity::Warning)
                .map(ToString::to_string)
                .collect();
            assert!(warnings.len() <= expected, "{name}: {warnings:?}");
            if example::is_signable(spec) {
                let own = Scheme::compile(name, spec, &example::options(spec)).unwrap();
                for scheme in [&own, &*route.scheme] {
                    let (headers, body, signed) = example::signed(&catalog, name, &own, spec).unwrap();
                    let url = signed.url.as_deref().unwrap_or(example::URL);
                    if let Err(failure) = example::judge(scheme, spec, url, &headers, &body) {
                        wrong.push(format!("{name}: {failure:?} {headers:?}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn says_what_is_not_signed() {
        let catalog = Catalog::load().unwrap();
        assert!(entry(&catalog, "github").unwrap().contains("# Neither the id nor the type is signed"));
        assert!(!entry(&catalog, "clerk").unwrap().contains("could change"));
        assert!(entry(&catalog, "nobody").is_none());
    }

    #[test]
    fn says_how_many_event_types_are_known_where_all_are() {
        let catalog = Catalog::load().unwrap();
        let clerk = entry(&catalog, "clerk").unwrap();
        assert!(clerk.contains("\n# Event types: 45 are known, as of 2026-08-21; "), "{clerk}");
        assert!(!entry(&catalog, "svix").unwrap().contains("Event types"));
    }

    #[test]
    fn keeps_the_comments_of_the_scheme_and_no_others() {
        let catalog = Catalog::load().unwrap();
        let text = entry(&catalog, "shopify").unwrap();
        assert!(text.contains("\n# Not signed, but always sent"), "{text}");
        assert_eq!(text.matches("[schemes.").count(), 1);
    }
}
