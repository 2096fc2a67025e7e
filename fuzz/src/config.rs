//! Configurations: read, compiled, printed as `check` does; and the route manifest of a Next.js build.
//!
//! The text is TOML; its comments `# env NAME=value` and `# file /path=content` say what else there is. What follows a line
//! `=== manifest` is one.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use hookward::config::{self, Environment};
use hookward::fuzzing;

/// In the environment, under two names that routes look for. No output may hold a part of it.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECRET_PART: &str = "MfKQ9r8GKYqrTwjU";
const NAMES: [&str; 2] = ["CLERK_WEBHOOK_SIGNING_SECRET", "SECRET"];
const FILE: &str = "/hookward.toml";

/// What a text says that there is.
#[derive(Debug)]
pub struct Written {
    text: String,
    variables: BTreeMap<String, Vec<u8>>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Written {
    pub fn new(text: &str) -> Self {
        let unescaped = |value: &str| value.replace("\\r", "\r").replace("\\n", "\n").into_bytes();
        let said = |kind: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix("# ")?.strip_prefix(kind)?.split_once('='));
            lines.map(|(name, value)| (name.to_owned(), unescaped(value))).collect::<BTreeMap<_, _>>()
        };
        let (mut variables, files) = (said("env "), said("file "));
        variables.extend(NAMES.map(|name| (name.to_owned(), SECRET.into())));
        Self { text: text.to_owned(), variables, files }
    }
}

impl Environment for Written {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        self.variables.get(name).cloned()
    }

    fn variable_names(&self) -> Vec<String> {
        self.variables.keys().cloned().collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new(FILE) {
            return Ok(self.text.clone().into());
        }
        path.to_str().and_then(|path| self.files.get(path)).cloned().ok_or(io::ErrorKind::NotFound.into())
    }
}

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, manifest) = text.split_once("\n=== manifest\n").map_or((text, None), |(text, rest)| (text, Some(rest)));
    let written = Written::new(text);
    let file = Path::new(FILE);
    let hidden = |shown: &str| {
        assert!(text.contains(SECRET_PART) || !shown.contains(SECRET_PART), "a secret is shown: {shown}");
    };
    let (out, problems) = fuzzing::check(file, &written, 1_800_000_000).expect("memory takes what is written");
    hidden(&out);
    hidden(&problems);
    let loaded = match config::compile(text, file, &written) {
        Err(report) => {
            assert!(!report.to_string().trim().is_empty());
            assert!(report.errors() > 0 && !problems.trim().is_empty(), "refused without a reason");
            return;
        }
        Ok(loaded) => loaded,
    };
    assert!(problems.is_empty() && !out.is_empty(), "compiled, yet: {problems}");
    assert!(!loaded.plan.fingerprint.is_empty());
    assert!(!loaded.plan.routes.iter().any(|route| route.keys.is_empty() && !route.scheme.needs_no_secret()));
    // A comment is no change, and nothing depends on when or how often it is compiled.
    // A byte order mark is one at the beginning alone.
    let content = text.strip_prefix('\u{feff}').unwrap_or(text);
    for again in [text.to_owned(), format!("# nothing\n{content}\n")] {
        let again = config::compile(&again, file, &written).expect("the same");
        assert_eq!(again.plan.fingerprint, loaded.plan.fingerprint);
    }
    // Two words for the same: what is typed once is found twice alike.
    assert_eq!(loaded.summaries.len(), loaded.plan.routes.len());
    hidden(&format!("{loaded:?}"));
    if let Some(manifest) = manifest {
        for problem in config::inspect_next_manifest(manifest, None, Path::new("/routes-manifest.json"), &loaded) {
            assert!(!problem.to_string().is_empty());
        }
    }
}
