//! What a load has read, remembered by hash: enough to tell whether it would read the same again.
//!
//! Of the plan in force the bytes are kept too, wiped when another plan takes its place: a list that changes while the disk holds
//! something that was refused is compiled with them. Must never keep the bytes of what was refused, nor wait for a pipe or
//! read without end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::config::{Environment, System};
use crate::plan::{ListSource, Listed};

type Hash = [u8; 32];
type Files = BTreeMap<PathBuf, io::Result<Zeroizing<Vec<u8>>>>;

/// What was read: every file, there or not, and every named list. Equal when all content is.
#[derive(Clone, Default)]
pub struct Reading {
    /// The kind of error where a file could not be read.
    files: BTreeMap<PathBuf, Result<Hash, io::ErrorKind>>,
    /// `None`: no content yet.
    lists: Vec<(ListSource, Option<Hash>)>,
    /// The files' bytes, until they are forgotten.
    bytes: Arc<Files>,
}

impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files && self.lists == other.lists
    }
}

impl Eq for Reading {}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("files", &self.files.keys()).finish_non_exhaustive()
    }
}

impl Reading {
    /// What `load` reads, which sees each file as it was when it first read it.
    pub(super) fn of<T>(environment: &dyn Environment, load: impl FnOnce(&dyn Environment) -> T) -> (Self, T) {
        let recorder = Recorder { environment, files: RefCell::default(), lists: RefCell::default() };
        let outcome = load(&recorder);
        let bytes = recorder.files.into_inner();
        let files = bytes.iter().map(|(path, read)| (path.clone(), content(read))).collect();
        let lists = recorder
            .lists
            .into_inner()
            .into_iter()
            .map(|(source, listed)| (source, version(listed.as_ref())))
            .collect();
        (Self { files, lists, bytes: Arc::new(bytes) }, outcome)
    }

    /// Whether the same would be read now. Reads no further than the first difference.
    pub(super) fn still_holds(&self, environment: &dyn Environment) -> bool {
        let now = |path: &Path| content(&environment.read(path).map(Zeroizing::new));
        self.lists_hold(environment) && self.files.iter().all(|(path, hash)| now(path) == *hash)
    }
}

impl Reading {
    /// Whether every list holds what it held.
    pub(super) fn lists_hold(&self, environment: &dyn Environment) -> bool {
        self.lists.iter().all(|(source, hash)| version(environment.list(source).as_ref()) == *hash)
    }

    /// The files as they were read, the lists as `environment` has them now.
    pub(super) fn with_lists_of<'e>(&'e self, environment: &'e dyn Environment) -> impl Environment + 'e {
        Remembered { files: &self.bytes, environment }
    }

    /// Drops the files' bytes.
    pub(super) fn forget(&mut self) {
        self.bytes = Arc::default();
    }
}

/// Files that were read before.
struct Remembered<'e> {
    files: &'e Files,
    environment: &'e dyn Environment,
}

impl Environment for Remembered<'_> {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        self.environment.variable(name)
    }

    fn variable_names(&self) -> Vec<String> {
        self.environment.variable_names()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).map_or_else(|| Err(io::ErrorKind::NotFound.into()), again)
    }

    fn list(&self, source: &ListSource) -> Option<Listed> {
        self.environment.list(source)
    }
}

/// The same outcome once more.
fn again(read: &io::Result<Zeroizing<Vec<u8>>>) -> io::Result<Vec<u8>> {
    match read {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        }),
    }
}

fn content(read: &io::Result<Zeroizing<Vec<u8>>>) -> Result<Hash, io::ErrorKind> {
    match read {
        Ok(bytes) => Ok(Sha256::digest(bytes.as_slice()).into()),
        Err(error) => Err(error.kind()),
    }
}

/// By the addresses alone: a list that was fetched again and is the same changes nothing.
fn version(listed: Option<&Listed>) -> Option<Hash> {
    let mut hash = Sha256::new();
    for network in listed?.entries.iter() {
        hash.update(format!("{network} "));
    }
    Some(hash.finalize().into())
}

/// Hands on what the environment gives, and remembers it.
struct Recorder<'e> {
    environment: &'e dyn Environment,
    files: RefCell<Files>,
    lists: RefCell<Vec<(ListSource, Option<Listed>)>>,
}

impl Environment for Recorder<'_> {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        self.environment.variable(name)
    }

    fn variable_names(&self) -> Vec<String> {
        self.environment.variable_names()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut files = self.files.borrow_mut();
        again(files.entry(path.to_path_buf()).or_insert_with(|| self.environment.read(path).map(Zeroizing::new)))
    }

    fn read_named(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut files = self.files.borrow_mut();
        again(files.entry(path.to_path_buf()).or_insert_with(|| self.environment.read_named(path).map(Zeroizing::new)))
    }

    fn list(&self, source: &ListSource) -> Option<Listed> {
        let mut lists = self.lists.borrow_mut();
        if let Some((_, listed)) = lists.iter().find(|(known, _)| known == source) {
            return listed.clone();
        }
        let listed = self.environment.list(source);
        lists.push((source.clone(), listed.clone()));
        listed
    }
}

/// The process's own environment, for reading the same files again and again: not even the configuration may be a pipe.
#[derive(Debug, Clone, Copy, Default)]
pub struct Careful;

impl Environment for Careful {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        System.variable(name)
    }

    fn variable_names(&self) -> Vec<String> {
        System.variable_names()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        System.read(path)
    }
}
