//! The measured bypasses, the traffic that must pass, and a differential test against the reference rule.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

macro_rules! data {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/", $name))
    };
}

fn paths<T: AsRef<str>>(texts: &[T]) -> Vec<RoutePath> {
    texts.iter().map(|text| RoutePath::parse(text.as_ref()).unwrap()).collect()
}

/// Shorthand for a table of routes; the rest is set with the methods below.
#[derive(Clone)]
struct Table {
    framework: Framework,
    base: String,
    locales: Vec<String>,
    aliases: Vec<RoutePath>,
    routes: Vec<RoutePath>,
}

fn next<T: AsRef<str>>(routes: &[T]) -> Table {
    let routes = paths(routes);
    Table { framework: Framework::NextJs, base: String::new(), locales: Vec::new(), aliases: Vec::new(), routes }
}

fn any_app(routes: &[&str]) -> Table {
    Table { framework: Framework::None, ..next(routes) }
}

impl Table {
    fn base(mut self, base: &str) -> Self {
        base.clone_into(&mut self.base);
        self
    }

    fn locales<T: AsRef<str>>(mut self, locales: &[T]) -> Self {
        self.locales = locales.iter().map(|locale| locale.as_ref().to_owned()).collect();
        self
    }

    fn aliases<T: AsRef<str>>(mut self, aliases: &[T]) -> Self {
        self.aliases = paths(aliases);
        self
    }

    fn compile(&self) -> Result<Targets, Vec<SpecFault>> {
        let Self { framework, base, locales, aliases, routes } = self;
        Targets::compile(TargetSpec { framework: *framework, base_path: base, locales, aliases, routes })
    }

    #[track_caller]
    fn check(&self, cases: &[(&str, Verdict)]) {
        let targets = self.compile().unwrap();
        for (target, expected) in cases {
            assert_eq!(targets.classify(b"GET", target.as_bytes()), *expected, "{target:?}");
        }
    }
}

use TargetFault::*;
use Verdict::{Refused, Route, Unmatched};

/// As a request line arrives: one byte a character, as Python's `latin1`.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

#[test]
fn dbg_differential() {
    let specs: Value = serde_json::from_str(data!("target-oracle.json")).unwrap();
    let mut faults: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for spec in specs.as_array().unwrap() {
        let table = next(&strings(&spec["routes"]))
            .base(spec["base"].as_str().unwrap())
            .locales(&strings(&spec["locales"]))
            .aliases(&strings(&spec["aliases"]));
        let targets = table.compile().unwrap();
        for case in spec["cases"].as_array().unwrap() {
            let (method, target) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
            let mine = targets.classify(method.as_bytes(), &latin1(target));
            let ok = match (case[2].as_str(), mine) {
                (Some("reject"), Refused(_)) | (Some("pass"), Unmatched) => true,
                (None, Route(i)) => case[2].as_u64() == Some(u64::try_from(i).unwrap()),
                _ => false,
            };
            if !ok { faults.entry(format!("{} vs {mine:?}", case[2])).or_default().push(format!("{method} {target}")); }
        }
    }
    for (k, v) in faults { println!("{k}: {}", v.len()); for x in v.iter().take(400) { println!("     {x}"); } }
}
