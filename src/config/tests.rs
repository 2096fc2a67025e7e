//! Whole configurations: golden reports for `tests/config/*.toml`, and what a compiled plan holds.
//!
//! A fixture says in its first comments what is set: `# env NAME=value`, `# file /path=content` (`\n`, `\r`). The expected
//! text stands beside it; `HOOKWARD_BLESS=1 cargo test` writes it anew, to be read before it is committed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::*;

/// An environment that a test wrote down.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    variables: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, String>,
}

impl Fake {
    pub(crate) fn of(text: &str) -> Self {
        let mut fake = Self::default();
        for line in text.lines() {
            let unescape = |value: &str| value.replace("\\r", "\r").replace("\\n", "\n");
            if let Some((name, value)) = line.strip_prefix("# env ").and_then(|line| line.split_once('=')) {
                fake.variables.insert(name.to_owned(), unescape(value));
            }
            if let Some((path, value)) = line.strip_prefix("# file ").and_then(|line| line.split_once('=')) {
                fake.files.insert(path.into(), unescape(value));
            }
        }
        fake
    }

    /// Every value, without its newline.
    fn secrets(&self) -> Vec<&str> {
        self.variables.values().chain(self.files.values()).map(|value| value.trim()).filter(|value| value.len() > 5).collect()
    }
}

impl Environment for Fake {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        self.variables.get(name).map(|value| value.clone().into_bytes())
    }

    fn variable_names(&self) -> Vec<String> {
        self.variables.keys().cloned().collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).map(|text| text.clone().into_bytes()).ok_or(io::ErrorKind::NotFound.into())
    }
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    found.sort();
    assert!(found.len() >= 15);
    found
}

fn render(text: &str, file: &str) -> String {
    match compile(text, Path::new(file), &Fake::of(text)) {
        Ok(loaded) => {
            let notices: Vec<String> = loaded.notices.iter().map(|notice| format!("{notice}\n")).collect();
            format!("{}accepted\n", notices.concat())
        }
        Err(report) => format!("{report}\n"),
    }
}

#[test]
fn every_fixture_is_reported_as_written_down() {
    let bless = std::env::var_os("HOOKWARD_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in fixtures() {
        let text = fs::read_to_string(&path).unwrap();
        let actual = render(&text, path.file_name().unwrap().to_str().unwrap());
        let golden = path.with_extension("expected");
        if bless {
            fs::write(&golden, &actual).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if actual != expected {
            wrong.push(format!("--- {}\n{actual}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "not as written down:\n{}", wrong.join("\n"));
}

#[test]
fn no_report_holds_a_part_of_a_secret() {
    for path in fixtures() {
        let text = fs::read_to_string(&path).unwrap();
        let report = render(&text, "x.toml");
        assert!(!report.contains("printed"), "{}", path.display());
        for secret in Fake::of(&text).secrets() {
            let body = secret.trim_start_matches("whsec_").trim_start_matches("sk_test_");
            for window in body.as_bytes().windows(8) {
                let part = std::str::from_utf8(window).unwrap();
                assert!(!report.contains(part), "{}: {part}", path.display());
            }
        }
    }
}

#[test]
fn ten_different_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/ten-mistakes.toml")).unwrap();
    let report = compile(&text, Path::new("x.toml"), &Fake::default()).unwrap_err();
    assert!(report.errors() >= 10, "{report}");
    assert!(report.problems.is_sorted_by_key(|problem| problem.position));
    assert!(report.problems.iter().all(|problem| problem.position.is_some() && problem.hint.is_some()));
}
