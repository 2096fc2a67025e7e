//! Why `explain` cannot even begin: exit 2.
//!
//! Must never show a secret, nor a text that may be one because it was typed in the wrong place.

use std::io;

use crate::capture::{CaptureProblem, Place};

/// Names that are looked for among others, and are shown at most.
const NEAR: usize = 3;

/// A question that has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Usage {
    /// The request cannot be read.
    #[error("{source_name}: {}\n  hint: {}", placed(problem), problem.hint())]
    Request {
        /// The file, or what stands for it.
        source_name: String,
        problem: CaptureProblem,
    },
    /// A file cannot be read.
    #[error("{name}: cannot be read: {error}")]
    Unreadable { name: String, error: io::Error },
    /// A file that is no text, or far too long.
    #[error("{name} is no text file of this kind\n  hint: name the right file")]
    NotText { name: String },
    /// The catalogue in this binary is damaged.
    #[error("the built-in catalogue is broken: {0}\n  hint: report this")]
    Catalog(String),
    /// Neither a provider nor a configuration.
    #[error(
        "nothing says how the request is signed\n  hint: give --provider NAME with --secret-env NAME, or --config FILE"
    )]
    NoProvider,
    /// No such provider.
    #[error(
        "there is no provider `{name}`{}\n  hint: `hookward providers` lists them; describe others in [schemes.NAME] and give --config",
        did_you_mean(near)
    )]
    UnknownProvider { name: String, near: Vec<String> },
    /// No such route.
    #[error("the configuration has no route `{name}`{}", did_you_mean(near))]
    UnknownRoute { name: String, near: Vec<String> },
    /// Several routes and no path.
    #[error("the request has no path to find its route by\n  hint: give --url, or --route with one of {}", .0.join(", "))]
    WhichRoute(Vec<String>),
    /// What was named is not set.
    #[error("{}{}\n  hint: --secret-env takes the name of a variable that holds the secret, never the secret itself", not_set(shown.as_deref()), did_you_mean(near))]
    Variable {
        /// `None`: it may be a secret.
        shown: Option<String>,
        near: Vec<String>,
    },
    /// No secret at all.
    #[error("no secret is given\n  hint: give --secret-env NAME or --secret-file FILE{}{}", or_set(variable.as_deref()), looks_like(provider, looks))]
    NoSecret { provider: String, variable: Option<String>, looks: String },
    /// Options of the scheme.
    #[error("{}", options(.0))]
    Options(Vec<(String, String)>),
    /// The URL is signed and not known.
    #[error(
        "`{0}` signs the URL, and the request does not say to which one it was sent\n  hint: give --url with the address as the sender has it"
    )]
    NoUrl(String),
    /// Not a URL.
    #[error("--url is neither an http(s) URL nor a path")]
    Url,
}

/// The names that were probably meant, nearest first.
pub(crate) fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let wanted = plain(name);
    let budget = match wanted.chars().count() {
        0..=5 => 1,
        6..=7 => 2,
        _ => 3,
    };
    let mut near: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|other| {
            let (found, distance) = (plain(other), strsim::damerau_levenshtein(&wanted, &plain(other)));
            // `stripe-connect` and `twilio` are near `stripe` and `twilio-sms`, whatever their letters are.
            let part = |long: &str, short: &str| short.len() > 3 && long.starts_with(short);
            let is_near = distance <= budget || part(&found, &wanted) || part(&wanted, &found);
            is_near.then_some((distance, other))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(NEAR).map(|(_, name)| name.to_owned()).collect()
}

fn did_you_mean(near: &[String]) -> String {
    let names: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!(": did you mean {}?", names.join(" or ")) }
}

/// The file is named already.
fn placed(problem: &CaptureProblem) -> String {
    match &problem.place {
        Place::File => problem.fault.to_string(),
        Place::Line(_) | Place::Json { .. } | Place::Header(_) | Place::Option(_) => problem.to_string(),
    }
}

fn not_set(shown: Option<&str>) -> String {
    match shown {
        Some(name) => format!("the environment variable {name} is not set"),
        None => "no environment variable has the name that was given".to_owned(),
    }
}

fn or_set(variable: Option<&str>) -> String {
    variable.map(|name| format!(", or set {name}")).unwrap_or_default()
}

fn looks_like(provider: &str, looks: &str) -> String {
    if looks.is_empty() { String::new() } else { format!("\n  {provider}: {looks}") }
}

fn options(problems: &[(String, String)]) -> String {
    let lines: Vec<String> = problems.iter().map(|(what, hint)| format!("--option: {what}\n  hint: {hint}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_near_by_letters_or_by_their_beginning() {
        let names = ["clerk", "svix", "stripe", "shopify", "standard-webhooks", "twilio", "twilio-sendgrid"];
        assert_eq!(nearest("strpie", names), ["stripe"]);
        assert_eq!(nearest("standard_webhook", names), ["standard-webhooks"]);
        assert_eq!(nearest("twilio-sms", names), ["twilio"]);
        assert_eq!(nearest("twili", names), ["twilio", "twilio-sendgrid"]);
        assert!(nearest("acme", names).is_empty());
        assert!(nearest("NOPE", ["HOME"]).is_empty(), "half of the letters are others");
    }
}
