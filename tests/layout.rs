//! The house rules that no compiler checks: imports go one way, `check/` is pure, files say what they are and stay short.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// Lowest level first. A module imports only modules of a lower level, or of its own folder.
const LEVELS: &[&[&str]] = &[
    &["reject", "civil", "clock", "secret", "hex", "quiet", "read_width", "backlog", "attention"],
    &["check", "providers", "token", "redis_place"],
    &["plan"],
    &[
        "config",
        "telemetry",
        "headers",
        "budget",
        "in_flight",
        "gather",
        "wire",
        "verified_event",
        "outbound",
        "admit",
        "app_socket",
        "https",
        "capture",
        "live",
        "client_socket",
        "proxy_protocol",
        "descriptors",
        "replay",
    ],
    &[
        "documents",
        "hint",
        "onward",
        "http2",
        "receive",
        "websocket",
        "forward",
        "deliver",
        "inbound",
        "answer",
        "handshake",
        "refusal",
        "head_checks",
        "report",
        "ip_lists",
        "crowd",
        "correlate",
        "collector",
    ],
    &["gate", "explain"],
    &["admin", "connection", "inspector", "reload", "server"],
    &["cli"],
    &["fuzzing"],
];
/// Within a level, these may be imported by their neighbours: each is a leaf of its level or one step above one.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("providers", "check"),
    ("telemetry", "live"),
    ("wire", "gather"),
    ("app_socket", "gather"),
    ("outbound", "headers"),
    ("admit", "outbound"),
    ("admit", "replay"),
    ("replay", "budget"),
    ("replay", "headers"),
    ("replay", "in_flight"),
    ("replay", "telemetry"),
    ("deliver", "forward"),
    ("inbound", "forward"),
    ("answer", "inbound"),
    ("onward", "inbound"),
    ("handshake", "documents"),
    ("handshake", "receive"),
    ("refusal", "receive"),
    ("head_checks", "http2"),
    ("head_checks", "refusal"),
    ("documents", "https"),
    ("inspector", "admin"),
    ("server", "admin"),
    ("server", "connection"),
    ("server", "inspector"),
];
const LONGEST: usize = 450;

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 20, "found {} sources", found.len());
    found
}

fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = relative.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part == "tests.rs" || part == "tests")
}

/// The text without its unit tests and comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

fn level(module: &str) -> Option<usize> {
    LEVELS.iter().position(|modules| modules.contains(&module))
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        if module == "main" || module == "lib" || is_test(&path) {
            continue;
        }
        let own = level(&module).unwrap_or_else(|| panic!("{module} has no level: put it into tests/layout.rs"));
        for part in code(&text).split("crate::").skip(1) {
            let imported: String =
                part.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            let Some(other) = level(&imported) else { continue };
            let allowed =
                other < own || imported == module || NEIGHBOURS.contains(&(module.as_str(), imported.as_str()));
            if !allowed {
                wrong.push(format!("{} (level {own}) imports {imported} (level {other})", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_checks_are_pure() {
    let impure = [
        "tokio",
        "tracing",
        "hyper::",
        "std::net::Tcp",
        "std::fs",
        "std::env",
        "SystemTime",
        "Instant",
        "crate::clock",
        "async ",
    ];
    for (path, text) in sources() {
        if !["check", "providers"].contains(&module_of(&path).as_str()) || is_test(&path) {
            continue;
        }
        let code = code(&text);
        for word in impure {
            assert!(!code.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_short() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} does not open with //!", path.display());
        if !is_test(&path) {
            let lines = text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines().count();
            assert!(lines <= LONGEST, "{} has {lines} lines before its tests", path.display());
        }
    }
}

#[test]
fn only_two_functions_make_an_admitted() {
    let mut in_gate = [0, 0];
    for (path, text) in sources() {
        let code = code(&text);
        let made = ["Admitted::delivery(", "Admitted::passed_through_unverified("].map(|how| code.matches(how).count());
        if module_of(&path) == "gate" {
            in_gate = [in_gate[0] + made[0], in_gate[1] + made[1]];
        } else {
            assert_eq!(made, [0, 0], "{} admits", path.display());
        }
    }
    assert_eq!(
        in_gate,
        [1, 3],
        "a delivery once; unverified, traffic in two ways, and what a check only reports in one"
    );
}

/// Whether a source has a test of this name.
fn has_test(source: &str, name: &str) -> bool {
    source.match_indices(&format!("fn {name}(")).any(|(at, _)| {
        let before = source[..at].rsplit_once('\n').map_or("", |(before, _)| before);
        let above = before.lines().rev().map(str::trim);
        let mut attributes = above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

/// Whether a table of faults has a case of this name: a function that is one by its decorator.
fn has_case(source: &str, name: &str) -> bool {
    let before = source.split_once(&format!("\nasync def {name}(")).map_or("", |(before, _)| before);
    let decorator = before.rsplit_once("\n@case(").map_or("", |(_, decorator)| decorator);
    !decorator.is_empty() && !decorator.contains("\n\n")
}

#[test]
fn the_tests_that_security_md_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let text = read("SECURITY.md");
    let promises = text.split_once("## Promises, and the tests that hold them").unwrap().1;
    let (mut file, mut tests) = (None, 0);
    // In code spans stand files, a part of tests/run, and names of tests of the last file.
    for span in promises.split('`').skip(1).step_by(2) {
        let (path, argument) = span.split_once(' ').unwrap_or((span, ""));
        if root.join(path).is_file() {
            let kind = Path::new(path).extension().unwrap_or_default();
            file = (kind == "rs" || kind == "py").then(|| (path, kind == "rs", read(path)));
            assert!(argument.is_empty() || read(path).contains(&format!("part_{argument}()")), "no part: {span}");
            continue;
        }
        let (path, rust, source) = file.as_ref().unwrap_or_else(|| panic!("{span} is no file, and stands behind none"));
        assert!(if *rust { has_test(source, span) } else { has_case(source, span) }, "{path} has no test {span}");
        tests += 1;
    }
    assert!(tests >= 90, "{tests} tests are named");
}
