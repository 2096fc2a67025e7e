//! What the command line says about secrets and options, and the reading of it.
//!
//! Must never put a secret, or a text that may be one, into a note or a problem.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::judge::Named;
use super::usage::{Usage, nearest};
use crate::check::signature::{Options, SchemeSpec};
use crate::config::Environment;
use crate::secret::Secret;

/// A file longer than this is neither a secret nor a certificate, bytes.
const LONGEST: usize = 64 << 10;

/// By what to judge, as asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// A route of the configuration.
    pub(crate) route: Option<String>,
    /// A provider, or one of `[schemes]`.
    pub(crate) provider: Option<String>,
    /// Names of variables.
    pub(crate) secret_env: Vec<String>,
    pub(crate) secret_file: Vec<PathBuf>,
    /// Names and values.
    pub(crate) options: Vec<(String, String)>,
    /// An absolute URL, or a path.
    pub(crate) url: Option<String>,
    /// Seconds.
    pub(crate) tolerance: Option<u64>,
}

impl Asked {
    /// The secrets that are named, in the order of their kinds.
    pub(super) fn secrets(&self, environment: &dyn Environment, notes: &mut Vec<String>) -> Result<Given, Usage> {
        let mut given = Given::default();
        for name in &self.secret_env {
            let bytes = environment.variable(name).ok_or_else(|| {
                let names = environment.variable_names();
                let names = names.iter().map(String::as_str).filter(|name| is_plain_name(name));
                let shown = Some(name.clone()).filter(|name| is_plain_name(name));
                let near = if shown.is_some() { nearest(name, names) } else { Vec::new() };
                Usage::Variable { shown, near }
            })?;
            given.push(name, bytes, notes);
        }
        for (number, path) in (1_usize..).zip(&self.secret_file) {
            let label = path.file_name().unwrap_or_default().to_string_lossy();
            // By its number: what was typed may be the secret itself.
            let name = format!("--secret-file {number}");
            let bytes = read(path, &name, environment)?;
            if bytes.len() > LONGEST {
                return Err(Usage::NotText { name });
            }
            given.push(&label, bytes, notes);
        }
        Ok(given)
    }

    /// The route's options with those that are given on top, files read.
    pub(super) fn options(
        &self,
        route: Option<&Options>,
        spec: &SchemeSpec,
        environment: &dyn Environment,
    ) -> Result<Options, Usage> {
        let mut options = route.cloned().unwrap_or_default();
        for (name, value) in &self.options {
            let value = if spec.options.get(name).is_some_and(|option| option.file) {
                let option = format!("--option {name}");
                let bytes = read(Path::new(value), &option, environment)?;
                let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST);
                text.ok_or(Usage::NotText { name: option })?
            } else {
                value.clone()
            };
            options.insert(name.clone(), value);
        }
        Ok(options)
    }
}

/// The secrets that were named on the command line.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) secrets: Vec<Named>,
    /// What was named and holds nothing.
    pub(super) empty: Vec<String>,
}

impl Given {
    /// Whether nothing was named.
    pub(super) fn is_nothing(&self) -> bool {
        self.secrets.is_empty() && self.empty.is_empty()
    }

    fn push(&mut self, name: &str, bytes: Vec<u8>, notes: &mut Vec<String>) {
        match named(name, bytes, notes) {
            Some(secret) => self.secrets.push(secret),
            None => self.empty.push(name.to_owned()),
        }
    }
}

/// The provider's customary variables, for a question that names no secret.
pub(super) fn implied(names: &[String], environment: &dyn Environment, notes: &mut Vec<String>) -> Vec<Named> {
    let mut secrets: Vec<Named> = Vec::new();
    for name in names {
        let Some(bytes) = environment.variable(name) else { continue };
        if let Some(secret) = named(name, bytes, notes)
            && !secrets.iter().any(|other| other.secret.expose() == secret.secret.expose())
        {
            notes.push(format!("no secret was given: the one in {name} is taken"));
            secrets.push(secret);
        }
    }
    secrets
}

/// Editors and `echo` end a file in a newline, which is never meant: the configuration drops it too.
fn named(name: &str, bytes: Vec<u8>, notes: &mut Vec<String>) -> Option<Named> {
    let mut bytes = Zeroizing::new(bytes);
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        // A key in PEM always ends in one.
        if !bytes.starts_with(b"-----BEGIN") {
            notes.push(format!("{name}: the newline at the end of the secret was dropped, as `run` does"));
        }
    }
    Secret::try_from(bytes.to_vec()).ok().map(|secret| Named { name: name.to_owned(), secret })
}

fn read(path: &Path, name: &str, environment: &dyn Environment) -> Result<Vec<u8>, Usage> {
    environment.read_named(path).map_err(|error| Usage::Unreadable { name: name.to_owned(), error })
}

/// Whether a text is surely the name of a variable, and not a secret that was typed in its place.
fn is_plain_name(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        && !name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    struct Fake;

    impl Environment for Fake {
        fn variable(&self, name: &str) -> Option<Vec<u8>> {
            match name {
                "STRIPE_WEBHOOK_SECRET" => Some(b"whsec_abc".to_vec()),
                "WITH_NEWLINE" => Some(b"whsec_abc\r\n".to_vec()),
                "PEM" => Some(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".to_vec()),
                "EMPTY" => Some(b"\n".to_vec()),
                _ => None,
            }
        }

        fn variable_names(&self) -> Vec<String> {
            ["STRIPE_WEBHOOK_SECRET", "WITH_NEWLINE", "whsec_abcdefgh"].map(Into::into).to_vec()
        }

        fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
            Ok(vec![b'x'; LONGEST + 1])
        }
    }

    fn variables(names: &[&str]) -> Result<(Vec<Named>, Vec<String>), String> {
        let asked = Asked { secret_env: names.iter().map(|name| (*name).to_owned()).collect(), ..Asked::default() };
        let mut notes = Vec::new();
        let given = asked.secrets(&Fake, &mut notes).map_err(|usage| usage.to_string())?;
        assert_eq!(given.empty.len().saturating_add(given.secrets.len()), names.len());
        Ok((given.secrets, notes))
    }

    #[test]
    fn drops_one_newline_and_says_so() {
        let (secrets, notes) = variables(&["WITH_NEWLINE", "STRIPE_WEBHOOK_SECRET"]).unwrap();
        assert!(secrets.iter().all(|secret| secret.secret.expose() == b"whsec_abc"));
        assert_eq!(notes.len(), 1);
        assert!(variables(&["EMPTY"]).unwrap().0.is_empty());
    }

    #[test]
    fn a_key_in_pem_ends_in_a_newline_that_nobody_has_to_hear_of() {
        let (secrets, notes) = variables(&["PEM"]).unwrap();
        assert_eq!((secrets.len(), notes.len()), (1, 0), "{notes:?}");
    }

    #[test]
    fn a_secret_in_the_place_of_a_name_is_not_repeated() {
        let problem = variables(&["STRIPE_WEBHOK_SECRET"]).unwrap_err();
        assert!(
            problem.contains("STRIPE_WEBHOK_SECRET is not set: did you mean `STRIPE_WEBHOOK_SECRET`?"),
            "{problem}"
        );
        for secret in ["whsec_abcdefgi", "0123456789ABCDEF", "sk_live_1"] {
            let problem = variables(&[secret]).unwrap_err();
            assert!(!problem.contains(secret), "{problem}");
            assert!(!problem.contains("whsec_"), "{problem}");
        }
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused() {
        let asked = Asked { secret_file: vec!["big.bin".into()], ..Asked::default() };
        assert!(matches!(asked.secrets(&Fake, &mut Vec::new()), Err(Usage::NotText { .. })));
    }

    #[test]
    fn customary_variables_are_named_when_they_are_used() {
        let mut notes = Vec::new();
        let names = ["STRIPE_WEBHOOK_SECRET", "WITH_NEWLINE", "OLD"].map(String::from);
        let secrets = implied(&names, &Fake, &mut notes);
        assert_eq!(secrets.len(), 1, "the second is the same secret");
        assert!(notes.iter().any(|note| note.contains("STRIPE_WEBHOOK_SECRET")), "{notes:?}");
    }
}
