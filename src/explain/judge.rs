//! What a signature is judged by: the scheme, compiled, and every secret that could be meant.
//!
//! Must never print a secret.

use std::sync::Arc;

use super::usage::Usage;
use crate::check::diagnose::NamedSecret;
use crate::check::signature::{
    KeyProblem, KeyWarning, LabeledKey, Options, Scheme, SchemeFlaw, SchemeProblem, SchemeSpec,
};
use crate::secret::Secret;

/// A secret and what people call it.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) secret: Secret,
}

impl Named {
    pub(crate) fn borrowed(&self) -> NamedSecret<'_> {
        NamedSecret { name: &self.name, text: self.secret.expose() }
    }
}

/// A scheme, its secrets, and what it needs to know besides.
#[derive(Debug)]
pub(crate) struct Judge {
    /// The provider's or scheme's name.
    pub(crate) name: String,
    pub(crate) spec: SchemeSpec,
    pub(crate) options: Options,
    pub(crate) scheme: Scheme,
    /// Of those secrets that can be keys.
    pub(crate) keys: Vec<LabeledKey>,
    pub(crate) secrets: Vec<Named>,
    /// Secrets that are configured elsewhere.
    pub(crate) others: Vec<Named>,
    /// By the secret's name.
    pub(crate) problems: Vec<(String, KeyProblem)>,
    pub(crate) warnings: Vec<(String, KeyWarning)>,
    /// Where the secret is found and what it looks like; empty if nobody has written that down.
    pub(crate) looks: String,
    /// The URL as the sender wrote it.
    pub(crate) url: Option<String>,
    /// Seconds.
    pub(crate) tolerance: u64,
}

impl Judge {
    /// Compiles the scheme and the keys.
    ///
    /// # Errors
    /// [`Usage::Options`]: the scheme does not take these options.
    pub(super) fn new(
        name: &str,
        spec: SchemeSpec,
        options: Options,
        secrets: Vec<Named>,
        others: Vec<Named>,
    ) -> Result<Self, Usage> {
        let scheme = Scheme::compile(name, &spec, &options)
            .map_err(|problems| Usage::Options(problems.iter().map(|problem| told(problem, &spec)).collect()))?;
        let (mut keys, mut problems, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        for Named { name, secret } in &secrets {
            match scheme.key(secret.expose()) {
                Ok((key, warning)) => {
                    warnings.extend(warning.map(|warning| (name.clone(), warning)));
                    keys.push(LabeledKey { label: Arc::from(name.as_str()), key });
                }
                Err(problem) => problems.push((name.clone(), problem)),
            }
        }
        Ok(Self {
            name: name.to_owned(),
            spec,
            options,
            scheme,
            keys,
            secrets,
            others,
            problems,
            warnings,
            looks: String::new(),
            url: None,
            tolerance: 0,
        })
    }

    /// Whether some key can be tried.
    pub(crate) fn can_verify(&self) -> bool {
        !self.keys.is_empty() || self.scheme.needs_no_secret()
    }

    /// A secret's text by its name.
    pub(crate) fn text(&self, name: &str) -> Option<&[u8]> {
        self.secrets.iter().find(|secret| secret.name == name).map(|secret| secret.secret.expose())
    }

    /// How old a token may be, in seconds. `None`: as old as it says itself.
    pub(crate) fn token_age(&self) -> Option<u64> {
        let age = self.spec.jwt.as_ref()?.max_age?;
        Some(if self.spec.timestamp.is_some() { self.tolerance } else { age })
    }

    /// Seconds by which a token's own times may be missed.
    pub(crate) fn token_leeway(&self) -> u64 {
        self.spec.jwt.as_ref().map(|jwt| jwt.leeway).unwrap_or_default()
    }

    /// The option that takes the place of what the gate would fetch.
    pub(crate) fn file_option(&self) -> Option<&str> {
        self.spec.options.iter().find(|(_, option)| option.file).map(|(name, _)| name.as_str())
    }
}

/// A problem with an option in the command line's words.
fn told(problem: &SchemeProblem, spec: &SchemeSpec) -> (String, String) {
    let hint = match &problem.flaw {
        SchemeFlaw::UnknownOption(_) if spec.options.is_empty() => "this scheme has no options: remove it".to_owned(),
        SchemeFlaw::UnknownOption(_) => {
            format!("known are {}", spec.options.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
        }
        SchemeFlaw::OptionMissing(name, _) => format!("give --option {name}=…"),
        other => other.hint().to_owned(),
    };
    (problem.flaw.to_string(), hint)
}
