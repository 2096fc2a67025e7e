//! The file that keeps a list over a restart.
//!
//! Must never be believed more than the network: it counts only for the address and selection that it was written for, and
//! its entries go through the same guard. A crash leaves the old file or the new one, never a half.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::Content;
use crate::check::address_list::{self, ListFault};
use crate::check::ip::parse_entry;
use crate::plan::{ListSource, Listed};

/// More than a list of 4 MiB can become.
const LONGEST: u64 = 32 << 20;
/// Others may read it: it holds nothing that is not published.
const MODE: u32 = 0o644;

/// The file's content.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    url: String,
    select: Vec<Box<str>>,
    /// Unix seconds.
    fetched: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    entries: Vec<String>,
}

/// Why the file is ignored.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is too long")]
    TooLong,
    /// Without the parser's words: they may quote a file that was named by mistake.
    #[error("it is not what was written (line {})", .0.line())]
    Broken(#[source] serde_json::Error),
    #[error(transparent)]
    List(#[from] ListFault),
}

impl Saved {
    pub(super) fn of(source: &ListSource, content: &Content) -> Self {
        Self {
            url: source.url.to_string(),
            select: source.select.clone(),
            fetched: content.listed.as_of,
            etag: content.etag.as_ref().and_then(|etag| etag.to_str().ok()).map(str::to_owned),
            entries: content.listed.entries.iter().map(ToString::to_string).collect(),
        }
    }

    /// `None`: there is no file yet.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, CacheError> {
        // Asked before it is opened: opening a pipe waits for its other end.
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file").into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let file = File::open(path)?;
        let mut bytes = Vec::new();
        file.take(LONGEST.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= LONGEST) {
            Ok(Some(serde_json::from_slice(&bytes).map_err(CacheError::Broken)?))
        } else {
            Err(CacheError::TooLong)
        }
    }

    pub(super) fn is_of(&self, source: &ListSource) -> bool {
        self.url == source.url.to_string() && self.select == source.select
    }

    /// A time that has not come yet is taken for now.
    pub(super) fn content(self, now: u64) -> Result<Content, CacheError> {
        let parse = |(index, entry): (usize, &String)| {
            parse_entry(entry).map_err(|error| ListFault::Element { key: None, index, entry: "…".into(), error })
        };
        let mut entries = self.entries.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
        entries.sort_unstable();
        entries.dedup();
        address_list::accept(&entries, None)?;
        let etag = self.etag.and_then(|etag| HeaderValue::try_from(etag).ok());
        let as_of = self.fetched.min(now);
        Ok(Content { listed: Listed { entries: entries.into(), as_of }, since: as_of, etag })
    }

    /// Beside the file first, then in its place.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let draft = path.with_file_name(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
        let written = self.write_anew(&draft).and_then(|()| fs::rename(&draft, path));
        if written.is_err() {
            // What is left over is in nobody's way.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    fn write_anew(&self, path: &Path) -> io::Result<()> {
        let create = || OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
        let mut file = match create() {
            // Of a process before us that had our number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(path)?;
                create()?
            }
            other => other?,
        };
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.write_all(b"\n")?;
        file.sync_all()
    }
}
