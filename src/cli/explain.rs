//! `hookward explain`: why was this request refused? Exit 0 accepted, 1 refused, 2 usage.
//!
//! Reads the request, the configuration and the clock, and prints; `crate::explain` judges. Must never use the network, nor
//! take a secret from the command line, where every user of the machine could read it.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use http::Method;
use serde::Deserialize;

use super::config_file;
use crate::capture::{self, Captured, Note};
use crate::check::signature::SchemeSpec;
use crate::clock;
use crate::config::{self, Loaded, System};
use crate::explain::{self, Asked, Case, Explanation, Question, Usage};
use crate::ip_lists::WithLists;

/// For testing hypotheses: whoever asks waits.
const BUDGET: Duration = Duration::from_secs(5);
const STDIN: &str = "-";

/// Options of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request: a raw HTTP message, HAR, `curl -v`, tcpdump, an inspector's export; `-` is standard input.
    #[arg(value_name = "REQUEST", required_unless_present_any = ["headers", "body"])]
    request: Option<PathBuf>,
    /// The configuration to judge by; else, without --provider, as for `run`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The configuration's route; else the one that the request's path leads to.
    #[arg(long, value_name = "NAME", conflicts_with = "provider")]
    route: Option<String>,
    /// A provider instead of a route, or one of the configuration's [schemes].
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// A variable that holds a secret; else the route's secrets, or the provider's customary variable. May repeat.
    #[arg(long, value_name = "VARIABLE")]
    secret_env: Vec<String>,
    /// A file that holds a secret. May repeat.
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// Judge as of then: unix seconds, or a date such as 2026-01-02T03:04:05Z.
    #[arg(long, value_name = "TIME", value_parser = explain::parse_moment)]
    now: Option<u64>,
    /// How far off a timestamp may be: `5m`, `300s`, or seconds.
    #[arg(long, value_name = "DURATION", value_parser = explain::parse_span)]
    tolerance: Option<u64>,
    /// The URL as the sender has it, for providers that sign it; or the path alone.
    #[arg(long)]
    url: Option<String>,
    /// One of the provider's options, as in a route's `options`. May repeat.
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = option)]
    options: Vec<(String, String)>,
    /// The address that called, for the allowlist.
    #[arg(long, value_name = "ADDRESS", value_parser = peer)]
    peer: Option<IpAddr>,
    /// The method, if the request does not say it.
    #[arg(long)]
    method: Option<Method>,
    /// A header, instead of REQUEST. May repeat.
    #[arg(long = "header", value_name = "NAME: VALUE", conflicts_with = "request")]
    headers: Vec<String>,
    /// The body, byte for byte; also for a REQUEST that lacks it.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    let explanation = match answer(args) {
        Ok(explanation) => explanation,
        Err(message) => return usage(&message),
    };
    let written = match args.format {
        Format::Json => explain::write_json(&explanation, out),
        Format::Text => {
            let colour =
                io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            explain::write_text(&explanation, colour, out)
        }
    };
    match written {
        Err(error) => usage(&error.to_string()),
        Ok(()) if explanation.outcome.is_accepted() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
    }
}

fn usage(message: &str) -> ExitCode {
    // Nothing can be done about a standard error that cannot be written.
    let _ = writeln!(io::stderr(), "{}", message.trim_end());
    ExitCode::from(2)
}

/// # Errors
/// What belongs on standard error.
fn answer(args: &Args) -> Result<Explanation, String> {
    let mut notes = Vec::new();
    let request = request(args, &mut notes).map_err(|usage| usage.to_string())?;
    let (loaded, own_schemes) = configuration(args, &mut notes)?;
    let asked = Asked {
        route: args.route.clone(),
        provider: args.provider.clone(),
        secret_env: args.secret_env.clone(),
        secret_file: args.secret_file.clone(),
        options: args.options.clone(),
        url: args.url.clone(),
        tolerance: args.tolerance,
    };
    let question = Question {
        request,
        loaded,
        own_schemes,
        asked,
        peer: args.peer,
        now: args.now.unwrap_or_else(clock::unix_now),
    };
    let start = clock::monotonic();
    let mut may_go_on = || clock::monotonic().saturating_duration_since(start) < BUDGET;
    let case = Case::of(question, &System).map_err(|usage| usage.to_string())?;
    let mut explanation = explain::explain(&case, &mut may_go_on);
    explanation.notes.extend(notes);
    Ok(explanation)
}

fn request(args: &Args, notes: &mut Vec<String>) -> Result<Captured, Usage> {
    let body = args.body.as_deref().map(read).transpose()?;
    let Some(path) = &args.request else {
        if body.is_none() {
            notes.push("without --body the body is taken to be empty".to_owned());
        }
        let method = args.method.as_ref().map(Method::as_str);
        let parts = capture::from_parts(&args.headers, body.unwrap_or_default(), method, args.url.as_deref());
        return parts.map_err(|problem| Usage::Request { source_name: "the request".to_owned(), problem });
    };
    let source_name = if path == Path::new(STDIN) { "standard input".to_owned() } else { path.display().to_string() };
    let mut request = capture::read(&read(path)?).map_err(|problem| Usage::Request { source_name, problem })?;
    if let Some(body) = body {
        request.body = body;
        request.notes.retain(|note| !is_about_the_body(note));
        notes.push("the body is that of --body".to_owned());
    }
    if let Some(method) = &args.method {
        request.method = method.clone();
        request.notes.retain(|note| *note != Note::MethodAssumed);
    }
    Ok(request)
}

/// Whether a note tells of a body that `--body` has taken the place of.
fn is_about_the_body(note: &Note) -> bool {
    match note {
        Note::Truncated { .. }
        | Note::FinalNewlineCut
        | Note::SurplusCut { .. }
        | Note::LineEndsChanged { .. }
        | Note::LengthDiffers { .. }
        | Note::ChunkedDecoded
        | Note::ChunkedAlreadyDecoded
        | Note::ChunkedUnfinished { .. }
        | Note::AlreadyDecompressed
        | Note::Base64Body
        | Note::LostBytes
        | Note::BodyMissing
        | Note::FormFieldsOnly
        | Note::BodyWasParsed
        | Note::DotsForBytes => true,
        Note::ByteOrderMark
        | Note::LfLineEnds
        | Note::ContentLengthUnusable
        | Note::LengthAndChunked
        | Note::ContentEncoding
        | Note::QueryRebuilt
        | Note::MethodAssumed
        | Note::TargetAssumed
        | Note::PacketMissing
        | Note::PacketsCut
        | Note::Chosen { .. } => false,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Usage> {
    let mut bytes = Vec::new();
    let read = if path == Path::new(STDIN) {
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|error| Usage::Unreadable { name: path.display().to_string(), error })
}

/// The configuration and all of its schemes. For a provider by name it need not hold: only its schemes matter.
fn configuration(
    args: &Args,
    notes: &mut Vec<String>,
) -> Result<(Option<Loaded>, BTreeMap<String, SchemeSpec>), String> {
    let path = match (&args.provider, &args.config) {
        (Some(_), None) => return Ok((None, BTreeMap::new())),
        (None, None) => config_file::find(None).map_err(|_| Usage::NoProvider.to_string())?,
        (_, Some(path)) => path.clone(),
    };
    let loaded = match config::load(&path, &WithLists::new(System, Arc::default())) {
        Ok(loaded) => Some(loaded),
        Err(report) if args.provider.is_some() && path.exists() => {
            let count = report.errors();
            notes.push(format!(
                "{} has problems ({count}; see `hookward check`): its routes and their secrets are not known here",
                path.display()
            ));
            None
        }
        Err(report) => return Err(report.to_string()),
    };
    Ok((loaded, own_schemes(&path)))
}

/// `[schemes]`, as far as they can be read. What cannot is no scheme, and told by its name if somebody asks for it.
fn own_schemes(path: &Path) -> BTreeMap<String, SchemeSpec> {
    #[derive(Deserialize)]
    struct Schemes {
        #[serde(default)]
        schemes: BTreeMap<String, toml::Value>,
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let all = toml::from_str(&text).map(|Schemes { schemes }| schemes).unwrap_or_default();
    all.into_iter().filter_map(|(name, scheme)| Some((name, scheme.try_into().ok()?))).collect()
}

fn option(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn peer(text: &str) -> Result<IpAddr, &'static str> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).ok_or("write an IP address")
}
