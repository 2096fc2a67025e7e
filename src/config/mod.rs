//! Configuration: TOML as typed → [`Plan`] as needed, or every problem at once.
//!
//! Three steps, one file each: `keys` is the one table of keys (types, defaults, documentation; the JSON Schema and the
//! did-you-mean hints derive from it), `walk` reads the text against that table into the tree of `raw`, `compile*` turns that into the
//! plan. The environment and the files are handed in, so that tests need neither. Must never print any part of a secret,
//! and nothing may be validated again after it.

mod compile;
mod compile_client;
mod compile_events;
mod compile_handshake;
mod compile_lists;
mod compile_options;
mod compile_otlp;
mod compile_replay;
mod compile_routes;
mod compile_scheme;
mod compile_secrets;
mod compile_server;
mod compile_token;
mod findings;
mod fingerprint;
mod hint;
mod keys;
mod keys_otlp;
mod keys_replay;
mod keys_route;
mod keys_scheme;
mod keys_token;
mod next_manifest;
mod problem;
mod raw;
mod schema;
pub(crate) mod values;
mod walk;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::plan::{ListSource, Listed, Plan};

pub(crate) use self::compile_routes::METHODS;
pub use crate::secret::Origin;
pub(crate) use hint::nearest;
pub use next_manifest::inspect as inspect_next_manifest;
pub use problem::{Position, Problem, Report, Severity};
pub use schema::schema;
pub(crate) use values::{show_duration, show_size};

/// What a configuration may read beside its own text. The real one is [`System`]; tests bring their own.
pub trait Environment {
    /// The bytes of an environment variable, if it is set.
    fn variable(&self, name: &str) -> Option<Vec<u8>>;
    /// The names of the variables that are set, for hints.
    fn variable_names(&self) -> Vec<String>;
    /// A file's bytes.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The bytes of what is named to be the configuration itself, or asked about: it may be a pipe.
    fn read_named(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read(path)
    }
    /// The last good content of a list that is refreshed. `None`: there never was any.
    fn list(&self, _: &ListSource) -> Option<Listed> {
        None
    }
}

/// Lists of addresses are the longest files that there are, bytes.
const LONGEST: u64 = 64 << 20;
/// A configuration is shorter.
const LONGEST_NAMED: u64 = 16 << 20;

/// The process's own environment and file system. Files are regular ones of a sane length: what a configuration names is never
/// waited for, nor read without end.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Environment for System {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes)
    }

    fn variable_names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Asked before it is opened: opening a pipe waits for its other end.
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
        }
        // Room for all of it at once: a buffer that grew would leave copies of a secret behind.
        let expected = usize::try_from(metadata.len().min(LONGEST)).unwrap_or_default();
        read_to_end(path, LONGEST, expected.saturating_add(1))
    }

    fn read_named(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_to_end(path, LONGEST_NAMED, 0)
    }
}

fn read_to_end(path: &Path, longest: u64, room: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(room);
    File::open(path)?.take(longest.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= longest) {
        Ok(bytes)
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("is longer than {} MiB", longest >> 20)))
    }
}

/// A configuration that holds.
#[derive(Debug)]
pub struct Loaded {
    /// What the gate reads.
    pub plan: Plan,
    /// Warnings and notes, in the order of the file. To be shown at start and by `check`.
    pub notices: Vec<Problem>,
    /// How the app reads paths, as typed: for `check` and the reading of a Next.js manifest.
    pub app: App,
    /// Per route of the plan, in its order: what the plan itself does not keep.
    pub summaries: Vec<RouteSummary>,
    /// Every file that was read, this configuration first.
    pub files: Vec<PathBuf>,
}

/// `[app]`, compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct App {
    /// Prepended to every route's path and alias; empty or `/something`.
    pub base_path: String,
    /// What Next.js strips from paths beside the locales; empty or `/something`.
    pub asset_prefix: String,
    /// The app's locales.
    pub locales: Vec<String>,
    /// The app's own ways to a protected route.
    pub aliases: Vec<String>,
}

/// What `check` shows of a route beside its plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteSummary {
    /// Where each of its keys came from, in their order.
    pub secrets: Vec<SecretSource>,
    /// Addresses and networks that are typed in `allow_ips`.
    pub allow_ips: usize,
    /// Named lists and files in `allow_ips`.
    pub lists: Vec<ListSummary>,
}

/// A list of addresses that a route uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSummary {
    /// Its name, or its file's path.
    pub name: Box<str>,
    /// Addresses and networks in it.
    pub entries: usize,
    /// When it was published or fetched, unix seconds. `None`: a file, or nothing yet.
    pub as_of: Option<u64>,
    /// Where its content comes from.
    pub origin: ListOrigin,
}

/// The kinds of [`ListSummary`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOrigin {
    /// Shipped with this version.
    BuiltIn {
        /// It is at least as old as its date.
        older: bool,
    },
    /// Fetched, by this process or one before it.
    Fetched,
    /// A file of the user's own.
    File,
}

impl ListSummary {
    /// Whether it has no content yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.as_of.is_none() && self.origin != ListOrigin::File
    }
}

/// Where the secret of a label came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSource {
    /// The secret's label.
    pub label: Box<str>,
    /// Its origin.
    pub origin: Origin,
}

/// Reads and compiles the configuration at `path`.
pub fn load(path: &Path, environment: &dyn Environment) -> Result<Loaded, Report> {
    let file = path.display().to_string();
    let unreadable = |what: String, hint: Option<&str>| Report {
        problems: vec![Problem {
            severity: Severity::Error,
            file: file.as_str().into(),
            position: None,
            key: "".into(),
            what: what.into(),
            hint: hint.map(Into::into),
        }],
    };
    let bytes = environment.read_named(path).map_err(|error| unreadable(format!("cannot be read: {error}"), None))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        unreadable("is not UTF-8".to_owned(), Some("save the file as UTF-8, the only encoding of TOML"))
    })?;
    let mut loaded = compile(&text, path, environment)?;
    loaded.files.insert(0, path.to_path_buf());
    Ok(loaded)
}

/// Compiles `text`; `file` is its name in problems. Reads nothing but what `environment` gives.
pub fn compile(text: &str, file: &Path, environment: &dyn Environment) -> Result<Loaded, Report> {
    compile::compile(text, &file.display().to_string(), environment)
}

#[cfg(test)]
pub(crate) mod tests;
