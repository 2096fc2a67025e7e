//! What `sign` and `send` share: whose delivery it is, with which secret, and which headers it has.
//!
//! Must never print a secret, nor take one from the command line, where every user of the machine could read it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::check::signature::scheme::{Algorithm, OneOrMany};
use crate::check::signature::{Options, Scheme, SchemeSpec, SignProblem, Signer};
use crate::clock;
use crate::config;
use crate::explain::parse_moment;
use crate::providers::{Catalog, Provider};

/// Options that `sign` and `send` share.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// A name that `hookward providers` lists, or with --config one of that file's [schemes].
    #[arg(long, value_name = "NAME")]
    pub(super) provider: String,
    /// A configuration whose [schemes] may be named.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The variable that holds the secret; else the provider's customary one.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "secret_file")]
    secret_env: Option<String>,
    /// The file that holds the secret.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The delivery's id, where there is one; else a new one.
    #[arg(long)]
    pub(super) id: Option<String>,
    /// When it is signed: unix seconds, or a date such as 2026-01-02T03:04:05Z; else now.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    now: Option<u64>,
    /// One of the provider's options, as in a route's `options`. May repeat.
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
    /// A further header, or another value for one. May repeat.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
}

/// Why a command ends without having done its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The arguments cannot be right: exit 2.
    Usage(String),
    /// It was tried, or can never work: exit 1.
    Failed(String),
}

impl Trouble {
    pub(super) fn usage(message: impl Display) -> Self {
        Self::Usage(message.to_string())
    }

    pub(super) fn exit(&self) -> ExitCode {
        let (message, code) = match self {
            Self::Usage(message) => (message, ExitCode::from(2)),
            Self::Failed(message) => (message, ExitCode::FAILURE),
        };
        // Nothing can be done about a standard error that cannot be written.
        let _ = writeln!(io::stderr(), "{}", message.trim_end());
        code
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Who sends.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) name: String,
    pub(super) spec: SchemeSpec,
    pub(super) scheme: Scheme,
    pub(super) signer: Signer,
    /// The catalogue's sample, or what is known of a scheme of one's own: nothing.
    pub(super) sample: Sample,
}

/// What the catalogue knows of a provider's deliveries.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) body: String,
    content_type: Option<String>,
    headers: BTreeMap<String, String>,
    pub(super) user_agent: Option<String>,
    /// Seconds that the sender waits.
    pub(super) patience: Option<std::time::Duration>,
}

/// The catalogue, which is part of the binary.
pub(super) fn catalog() -> Result<Catalog, Trouble> {
    Catalog::load().map_err(|error| Trouble::Failed(error.to_string()))
}

impl Args {
    /// The sender that these arguments name.
    pub(super) fn sender(&self, catalog: &Catalog) -> Result<Sender, Trouble> {
        let name = self.provider.as_str();
        let (spec, provider) = match (self.config.as_deref(), catalog.get(name), catalog.scheme(name)) {
            (_, Some(provider), Some(spec)) => (spec.clone(), Some(provider)),
            (Some(file), ..) => (own_scheme(file, name)?, None),
            (None, ..) => return Err(Trouble::Usage(unknown(name, catalog))),
        };
        let scheme = Scheme::compile(name, &spec, &self.options(&spec)?).map_err(|problems| {
            let lines = problems.iter().map(|problem| match problem.field {
                "options" => format!("{name}: {}\n  hint: use --option NAME=VALUE", problem.flaw),
                field => format!("{name}: {field} {}\n  hint: {}", problem.flaw, problem.flaw.hint()),
            });
            Trouble::Usage(lines.collect::<Vec<_>>().join("\n"))
        })?;
        let signer = self.signer(&scheme, &spec, provider)?;
        let sample = provider.map(|provider| Sample {
            body: provider.sample.clone(),
            content_type: provider.sample_type.clone(),
            headers: provider.sample_headers.clone(),
            user_agent: provider.user_agent.clone(),
            patience: Some(provider.sender_deadline()),
        });
        Ok(Sender { name: name.to_owned(), spec, scheme, signer, sample: sample.unwrap_or_default() })
    }

    fn options(&self, spec: &SchemeSpec) -> Result<Options, Trouble> {
        let mut options = Options::new();
        for text in &self.options {
            let (name, value) =
                text.split_once('=').ok_or_else(|| Trouble::usage(format!("--option {text}: write NAME=VALUE")))?;
            let value = match spec.options.get(name) {
                Some(option) if option.file => std::fs::read_to_string(value)
                    .map_err(|error| Trouble::usage(format!("--option {name}: {value} cannot be read: {error}")))?,
                Some(_) | None => value.to_owned(),
            };
            options.insert(name.to_owned(), value);
        }
        Ok(options)
    }

    fn signer(&self, scheme: &Scheme, spec: &SchemeSpec, provider: Option<&Provider>) -> Result<Signer, Trouble> {
        if scheme.needs_no_secret() {
            return Ok(Signer::none());
        }
        let (place, text) = self.secret(spec, provider)?;
        let signer = Signer::new(scheme, spec, &text).map_err(|problem| {
            let looks = provider.map(|provider| provider.secret.as_str()).filter(|looks| !looks.is_empty());
            let looks = looks.map(|looks| format!("\n  {}'s: {looks}", self.provider)).unwrap_or_default();
            Trouble::Usage(format!("{place}: {problem}\n  hint: {}{looks}", problem.hint()))
        })?;
        if let Some([hex, base64]) = signer.public_half() {
            let _ = writeln!(
                io::stderr(),
                "note: signed with a private key; its public half is {hex} (hex), {base64} (base64)"
            );
        }
        Ok(signer)
    }

    /// Where the secret is, and the secret.
    fn secret(&self, spec: &SchemeSpec, provider: Option<&Provider>) -> Result<(String, Zeroizing<Vec<u8>>), Trouble> {
        let variable = |name: &str| std::env::var_os(name).map(|value| Zeroizing::new(value.into_encoded_bytes()));
        if let Some(name) = &self.secret_env {
            let text = variable(name)
                .ok_or_else(|| Trouble::usage(format!("--secret-env: the environment variable {name} is not set")))?;
            return Ok((name.clone(), without_newline(text)));
        }
        if let Some(file) = &self.secret_file {
            let text = std::fs::read(file).map_err(|error| {
                Trouble::usage(format!("--secret-file: {} cannot be read: {error}", file.display()))
            })?;
            return Ok((file.display().to_string(), without_newline(Zeroizing::new(text))));
        }
        if spec.algorithm.is_public_key() {
            // What the customary variable holds is the public half, which signs nothing.
            return Err(Trouble::Failed(only_the_sender(&self.provider, spec)));
        }
        let names = provider.map(|provider| provider.secret_env.as_slice()).unwrap_or_default();
        let found = names.iter().find_map(|name| Some((name.clone(), without_newline(variable(name)?))));
        found.ok_or_else(|| {
            let missing = match names.first() {
                Some(name) => format!("the environment variable {name} is not set"),
                None => "which secret?".to_owned(),
            };
            Trouble::Usage(format!("{missing}\n  hint: use --secret-env VARIABLE or --secret-file FILE"))
        })
    }

    /// Unix seconds.
    pub(super) fn now(&self) -> u64 {
        self.now.unwrap_or_else(clock::unix_now)
    }

    /// What goes with every delivery: content type, what the sender always sends and the scheme reads, and `--header`.
    /// With `whole`, all that comes with the sample.
    pub(super) fn headers(&self, sender: &Sender, whole: bool) -> Result<HeaderMap, Trouble> {
        let mut headers = HeaderMap::new();
        let content_type = sender.sample.content_type.as_deref().unwrap_or("application/json");
        headers.insert(CONTENT_TYPE, HeaderValue::try_from(content_type).map_err(Trouble::usage)?);
        let event_type = sender.spec.event_type.as_ref().and_then(|field| field.header.as_ref());
        for (name, value) in &sender.sample.headers {
            let name = HeaderName::try_from(name).map_err(Trouble::usage)?;
            let read = sender.scheme.headers().any(|header| *header == name)
                || event_type.is_some_and(|names| names.all().iter().any(|header| *header == name.as_str()));
            if read || whole {
                headers.insert(name, HeaderValue::try_from(value).map_err(Trouble::usage)?);
            }
        }
        let mut own = HeaderMap::new();
        for text in &self.headers {
            let (name, value) = text
                .split_once(':')
                .ok_or_else(|| Trouble::usage(format!("--header {text:?}: write 'NAME: VALUE'")))?;
            let name = HeaderName::try_from(name.trim());
            let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value.trim())) else {
                return Err(Trouble::usage(format!("--header {text:?} is not a header")));
            };
            own.append(name, value);
        }
        for name in own.keys() {
            headers.remove(name);
        }
        headers.extend(own);
        Ok(headers)
    }
}

impl Sender {
    /// What a delivery cannot be signed for, in words.
    pub(super) fn unsigned(&self, problem: SignProblem) -> Trouble {
        match problem {
            SignProblem::PublicKey => Trouble::Failed(only_the_sender(&self.name, &self.spec)),
            SignProblem::Url => {
                Trouble::usage(format!("{problem}\n  hint: use --url https://…, as in server.public_url"))
            }
            SignProblem::Id | SignProblem::Body => Trouble::usage(problem),
        }
    }

    /// The delivery's header id if none is given: like the sample's, or else like Svix's.
    pub(super) fn fresh_id(&self) -> String {
        let names = self.spec.id.as_ref().and_then(|id| id.header.as_ref()).map(OneOrMany::all).unwrap_or_default();
        let sample = names.iter().find_map(|name| self.sample.headers.get(name));
        fresh_like(sample.map_or("msg_2x4RZnRzGqAQK0mWnCtTvhxmL1b", String::as_str))
    }

    /// Headers that the scheme asks for besides those that are signed, and that a signed delivery lacks.
    pub(super) fn missing_headers(&self, headers: &HeaderMap) -> Vec<String> {
        let signature = self.spec.signature.as_ref().map(|signature| signature.header.all()).unwrap_or_default();
        let family = signature.iter().position(|name| headers.contains_key(name)).unwrap_or_default();
        let required = self.spec.required_headers.iter().filter_map(|names| names.of_family(family));
        required.filter(|name| !headers.contains_key(*name)).map(str::to_owned).collect()
    }

    /// The member of the body that says when the delivery was signed.
    pub(super) fn time_in_body(&self) -> Option<&str> {
        self.spec.timestamp.as_ref().and_then(|time| time.json.as_deref())
    }
}

fn only_the_sender(name: &str, spec: &SchemeSpec) -> String {
    let mut message = format!("only {name} can sign its deliveries: what receivers have is a public key");
    if spec.algorithm == Algorithm::Ed25519 {
        message.push_str(
            "\n  hint: for tests make a key pair, give its private half here with --secret-env or --secret-file (32 bytes of seed in hex or base64) and its public half to hookward",
        );
    }
    message
}

/// A delivery's body: a file, or standard input for `-`.
pub(super) fn body(file: &Path) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| Trouble::usage(format!("--body: {} cannot be read: {error}", file.display())))
}

/// A text of the same shape: letters and digits after the last `_` are new, hex digits stay hex digits.
pub(super) fn fresh_like(sample: &str) -> String {
    let (prefix, tail) = sample.rsplit_once('_').map_or(("", sample), |(prefix, tail)| (prefix, tail));
    let hex = tail.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let letters = if hex { 6 } else { 26 };
    let mut fresh = String::with_capacity(sample.len());
    if prefix.len() != sample.len() && sample.contains('_') {
        fresh.push_str(prefix);
        fresh.push('_');
    }
    // The standard library's hash keys are random for each value: good enough for what only has to differ.
    let random = RandomState::new();
    for (place, letter) in tail.chars().enumerate() {
        let number = random.hash_one(place);
        let of = |first: u8, count: u64| {
            let step = u8::try_from(number.checked_rem(count).unwrap_or_default()).unwrap_or_default();
            char::from(first.saturating_add(step))
        };
        fresh.push(match letter {
            '0'..='9' => of(b'0', 10),
            'a'..='z' => of(b'a', letters),
            'A'..='Z' => of(b'A', letters),
            other => other,
        });
    }
    fresh
}

/// As the configuration reads a secret: editors and `echo` add one newline.
fn without_newline(mut text: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    text
}

/// There is no such provider: the nearest names.
pub(super) fn unknown(name: &str, catalog: &Catalog) -> String {
    let hint = match config::nearest(name, catalog.names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`hookward providers` lists them".to_owned(),
    };
    format!("there is no provider `{name}`\n  hint: {hint}")
}

/// A scheme of a configuration, of which nothing else is looked at: `sign` needs neither its routes nor their secrets.
fn own_scheme(file: &Path, name: &str) -> Result<SchemeSpec, Trouble> {
    #[derive(Deserialize)]
    struct Schemes {
        #[serde(default)]
        schemes: BTreeMap<String, toml::Value>,
    }
    let place = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|error| Trouble::usage(format!("{place}: cannot be read: {error}")))?;
    let mut schemes = toml::from_str::<Schemes>(&text)
        .map_err(|error| Trouble::usage(format!("{place}: {}", error.message())))?
        .schemes;
    let Some(scheme) = schemes.remove(name) else {
        let hint = match config::nearest(name, schemes.keys().map(String::as_str)) {
            Some(near) => format!("\n  hint: did you mean `{near}`?"),
            None => String::new(),
        };
        return Err(Trouble::usage(format!("{place} has no [schemes.{name}], and no provider is called so{hint}")));
    };
    scheme.try_into().map_err(|error: toml::de::Error| {
        Trouble::usage(format!("{place}: schemes.{name}: {}\n  hint: `hookward check` shows where", error.message()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_id_has_the_shape_of_the_sample() {
        let uuid = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
        for sample in ["msg_2x4RZnRz", uuid, "evt_1ABCxyz", "order_1_abc", "_", ""] {
            let fresh = fresh_like(sample);
            assert_eq!(fresh.len(), sample.len(), "{fresh}");
            let kind = |c: char| match c {
                '0'..='9' => '0',
                'a'..='z' => 'a',
                'A'..='Z' => 'A',
                other => other,
            };
            assert!(fresh.chars().map(kind).eq(sample.chars().map(kind)), "{fresh}");
            assert!(sample.len() < 5 || fresh != sample, "{fresh}");
        }
        assert!(fresh_like(uuid).bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'));
        assert!(fresh_like("evt_1ABCxyz").starts_with("evt_"));
    }

    #[test]
    fn an_unknown_provider_gets_the_nearest_name() {
        let catalog = Catalog::load().unwrap();
        assert!(unknown("gihtub", &catalog).contains("`github`"));
        assert!(unknown("nothing-like-it", &catalog).contains("hookward providers"));
    }

    #[test]
    fn one_newline_of_a_secret_is_dropped() {
        let read = |text: &[u8]| without_newline(Zeroizing::new(text.to_vec())).to_vec();
        assert_eq!(read(b"x\r\n"), b"x");
        assert_eq!(read(b"x\n\n"), b"x\n");
        assert_eq!(read(b"x "), b"x ");
    }
}
