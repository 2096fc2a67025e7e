//! Secrets: from the environment or files to keys.
//!
//! Must never put a secret, or a text that looks like one, into a problem: what is printed here goes into logs. Each
//! secret's problems stand at its own table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::compile::Context;
use super::findings::Spot;
use super::hint::nearest;
use super::raw::{LABEL_HINT, Table, Text, is_label};
use super::{Origin, SecretSource};
use crate::check::signature::{LabeledKey, Scheme};
use crate::providers::Provider;
use crate::secret::Secret;

/// A file longer than this is no secret, bytes.
const LONGEST: usize = 64 << 10;

/// The keys of a route, and where each came from.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) usable: Vec<LabeledKey>,
    pub(super) sources: Vec<SecretSource>,
    pub(super) texts: Vec<(Arc<str>, Secret)>,
}

/// One secret, read.
struct Found {
    label: String,
    origin: Origin,
    spot: Spot,
    bytes: Zeroizing<Vec<u8>>,
}

/// The secrets of one route. Empty or incomplete only if a problem was reported. Without a scheme they are only read.
pub(super) fn secrets(
    context: &mut Context<'_, '_>,
    route: &Table,
    scheme: Option<&Scheme>,
    provider: Option<&Provider>,
) -> Keys {
    let found = match route.tables("secrets") {
        Some(tables) => context.listed(route, tables),
        None if route.given("secrets") || scheme.is_none_or(Scheme::needs_no_secret) => return Keys::default(),
        None => context.implied(route, provider),
    };
    scheme.map(|scheme| context.keys(scheme, provider, found)).unwrap_or_default()
}

impl Context<'_, '_> {
    fn listed(&mut self, route: &Table, tables: &[Table]) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        let mut labels: Vec<String> = Vec::new();
        let mut skipped = 0_usize;
        for (number, table) in (1_usize..).zip(tables) {
            let label = self.label(table, number, &labels);
            labels.push(label.clone());
            let optional = table.bool("optional") == Some(true);
            match self.one(table, optional) {
                Some((origin, spot, bytes)) => found.push(Found { label, origin, spot, bytes }),
                None if optional => skipped = skipped.saturating_add(1),
                None => {}
            }
        }
        if found.is_empty() && skipped == tables.len() && !self.findings.refused_inside(&route.spot_of("secrets")) {
            let what = if tables.is_empty() { "the list is empty" } else { "none of the optional secrets is there" };
            let hint = "a route needs at least one secret; write { env = \"NAME\" } or { file = \"/path\" }";
            self.findings.error(&route.spot_of("secrets"), what, hint);
        }
        found
    }

    fn label(&mut self, table: &Table, number: usize, taken: &[String]) -> String {
        let usual = if number == 1 { "current".to_owned() } else { format!("secret-{number}") };
        let (label, spot) = match table.text("label") {
            Some((label, spot)) => (label.to_owned(), spot.clone()),
            None => (usual, table.spot_of("label")),
        };
        if looks_like_secret(&label) {
            self.findings.error(&spot, "looks like a secret, and labels are shown", LABEL_HINT);
        } else if !is_label(&label) {
            self.findings.error(&spot, "is not usable as a label", LABEL_HINT);
        } else if taken.contains(&label) {
            let what = format!("the label `{label}` is taken by another secret of this route");
            self.findings.error(&spot, what, "give each secret its own label: logs and the app tell them apart by it");
        }
        label
    }

    /// Without the newline at its end. `None`: refused, or optional and not there.
    pub(super) fn one(&mut self, table: &Table, optional: bool) -> Option<(Origin, Spot, Zeroizing<Vec<u8>>)> {
        let (origin, spot, bytes) = self.as_it_is(table, optional)?;
        let bytes = if origin == Origin::Inline { bytes } else { self.without_newline(&spot, bytes) };
        Some((origin, spot, bytes))
    }

    /// The same with its newline.
    pub(super) fn as_it_is(&mut self, table: &Table, optional: bool) -> Option<(Origin, Spot, Zeroizing<Vec<u8>>)> {
        if self.findings.refused_inside(&table.spot) {
            return None;
        }
        if let Some(name) = table.text("env") {
            let bytes = self.variable(name, optional)?;
            return Some((Origin::Variable(name.0.into()), name.1.clone(), bytes));
        }
        if let Some(path) = table.text("file") {
            let bytes = self.file(path, optional)?;
            return Some((Origin::File(PathBuf::from(path.0)), path.1.clone(), bytes));
        }
        let (value, spot) = table.text("insecure_value")?;
        let what = "the secret is in the configuration: whoever can read this file can sign";
        self.findings.warn(spot, what, "use `env` or `file` outside of tests");
        if optional {
            self.findings.note(&table.spot_of("optional"), "has no effect on insecure_value");
        }
        Some((Origin::Inline, spot.clone(), Zeroizing::new(value.as_bytes().to_vec())))
    }

    fn variable(&mut self, (name, spot): Text<'_>, optional: bool) -> Option<Zeroizing<Vec<u8>>> {
        let is_name = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || looks_like_secret(name) {
            self.findings.error(
                spot,
                "is not the name of an environment variable",
                "write the name of the variable that holds the secret, never the secret itself",
            );
            return None;
        }
        let Some(bytes) = self.environment.variable(name).map(Zeroizing::new) else {
            if optional {
                self.findings.note(spot, format!("{name} is not set: this optional secret is skipped"));
                return None;
            }
            let names = self.environment.variable_names();
            let names = names.iter().map(String::as_str).filter(|other| !looks_like_secret(other));
            let hint = match nearest(name, names) {
                Some(near) => format!("{near} is set: did you mean that?"),
                None => {
                    "set it where hookward is started, or write optional = true if another secret is there".to_owned()
                }
            };
            self.findings.error(spot, format!("the environment variable {name} is not set"), hint);
            return None;
        };
        if optional && bytes.is_empty() {
            self.findings.note(spot, format!("{name} is empty: this optional secret is skipped"));
            return None;
        }
        Some(bytes)
    }

    fn file(&mut self, (path, spot): Text<'_>, optional: bool) -> Option<Zeroizing<Vec<u8>>> {
        if path.is_empty() || looks_like_secret(path) {
            let hint = "write the path of the file that holds the secret, never the secret itself";
            self.findings.error(spot, "is not the path of a file", hint);
            return None;
        }
        let bytes = match self.environment.read(Path::new(path)) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => {
                self.findings.note(spot, format!("{path} does not exist: this optional secret is skipped"));
                return None;
            }
            Err(error) => {
                let hint = "mount or create the file, readable by hookward's user";
                self.findings.error(spot, format!("{path} cannot be read: {error}"), hint);
                return None;
            }
        };
        self.files.push(PathBuf::from(path));
        if bytes.len() > LONGEST {
            self.findings.error(
                spot,
                format!("{path} is too long to be a secret"),
                "name the file that holds nothing but the secret",
            );
            return None;
        }
        Some(bytes)
    }

    /// Editors and `echo` end a file in a newline, which is never meant. More than one is not theirs to add.
    fn without_newline(&mut self, spot: &Spot, mut bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
            self.findings.note(spot, "the newline at the end of the secret was dropped");
        }
        bytes
    }

    /// A route that names no secrets: the provider's customary variables.
    fn implied(&mut self, route: &Table, provider: Option<&Provider>) -> Vec<Found> {
        let spot = route.spot_of("secrets");
        let names = provider.map(|provider| provider.secret_env.as_slice()).unwrap_or_default();
        let Some((newest, older)) = names.split_first() else {
            let hint = "add secrets = [{ env = \"NAME\" }], or `file`";
            self.findings.error(&spot, "is missing", hint);
            return Vec::new();
        };
        let mut found: Vec<Found> = Vec::new();
        for name in names {
            let Some(bytes) = self.environment.variable(name) else { continue };
            let bytes = self.without_newline(&spot, Zeroizing::new(bytes));
            if found.iter().any(|earlier| *earlier.bytes == *bytes) {
                self.findings.note(&spot, format!("{name} holds the same secret as {newest} and can go"));
                continue;
            }
            if older.contains(name) {
                let what = if found.is_empty() {
                    format!("the secret comes from {name}, an older name")
                } else {
                    format!("{name}, an older name, is set too and differs: both secrets are accepted")
                };
                let hint = if found.is_empty() {
                    format!("rename the variable to {newest}")
                } else {
                    format!("unset {name}, or list both in `secrets` if that is meant")
                };
                self.findings.warn(&spot, what, hint);
            }
            let label = match found.len() {
                0 => "current".to_owned(),
                1 => "previous".to_owned(),
                count => format!("previous-{count}"),
            };
            found.push(Found { label, origin: Origin::Variable(name.as_str().into()), spot: spot.clone(), bytes });
        }
        if found.is_empty() {
            let hint = format!(
                "set it where hookward is started, or add secrets = [{{ env = \"NAME\" }}] to {}",
                route.spot.key
            );
            self.findings.error(&spot, format!("the environment variable {newest} is not set"), hint);
        }
        found
    }

    fn keys(&mut self, scheme: &Scheme, provider: Option<&Provider>, found: Vec<Found>) -> Keys {
        let Keys { usable: mut keys, mut sources, mut texts } = Keys::default();
        let mut seen: Vec<(String, Zeroizing<Vec<u8>>)> = Vec::new();
        for Found { label, origin, spot, bytes } in found {
            if let Some((twin, _)) = seen.iter().find(|(_, other)| **other == *bytes) {
                self.findings.warn(&spot, format!("is the same secret as `{twin}`"), "remove one of them");
                continue;
            }
            let name = match &origin {
                Origin::Variable(name) => format!(" ({name})"),
                Origin::File(_) | Origin::Inline => String::new(),
            };
            match scheme.key(&bytes) {
                Ok((key, warning)) => {
                    if let Some(warning) = warning {
                        self.findings.warn(
                            &spot,
                            format!("{warning}{name}"),
                            "copy it again from the provider's dashboard, whole",
                        );
                    }
                    let shown: Arc<str> = Arc::from(label.as_str());
                    texts.extend(Secret::try_from(bytes.to_vec()).ok().map(|secret| (Arc::clone(&shown), secret)));
                    keys.push(LabeledKey { label: shown, key });
                    sources.push(SecretSource { label: label.as_str().into(), origin });
                    seen.push((label, bytes));
                }
                Err(problem) => {
                    let looks = provider.map(|provider| provider.secret.as_str()).filter(|looks| !looks.is_empty());
                    let hint = looks.map_or_else(
                        || problem.hint().to_owned(),
                        |looks| format!("{}; it is {looks}", problem.hint()),
                    );
                    self.findings.error(&spot, format!("{problem}{name}"), hint);
                }
            }
        }
        Keys { usable: keys, sources, texts }
    }
}

/// Whether a name may be a secret that was written in the wrong place. Errs on the side of not printing it.
fn looks_like_secret(text: &str) -> bool {
    const BEGINNINGS: &[&str] = &["whsec_", "whsk_", "whpk_", "v1,", "sk_", "rk_", "xox", "shp", "gh", "github_pat_"];
    let tail = text.rsplit('/').next().unwrap_or(text);
    let mixed = text.bytes().any(|byte| byte.is_ascii_lowercase())
        && text.bytes().any(|byte| byte.is_ascii_uppercase())
        && text.bytes().any(|byte| byte.is_ascii_digit());
    let hex = text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let known = BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) && tail == text && text.len() > 12;
    known || hex || (mixed && text.len() >= 24 && !text.starts_with(['/', '.']))
}
