//! `hookward send`: posts a sample event as the real sender would, and says what came of it.
//!
//! The "send test event" button for local work. Signed at the time of each attempt, with the same id on every attempt, as
//! senders do. Must never show a secret or a signature.

mod json_edit;
mod show;
mod tamper;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;

use super::outgoing::{self, Sender, Trouble};
use super::run::runtime;
use super::sign::together;
use crate::check::signature::{Delivery, sign_as, write_time};
use crate::clock;
use crate::config::{self, METHODS};
use crate::https::{Bounds, ExchangeError, Https};
use crate::providers::{Catalog, samples};

/// Before each attempt: the beginning of Svix's schedule (immediately, then after 5 seconds), cut short.
const ATTEMPTS: &[Duration] = &[Duration::ZERO, Duration::ZERO, Duration::from_secs(5)];
/// For senders whose patience is unknown.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer that is read, bytes.
const LONGEST: usize = 1 << 20;
/// What senders call themselves if nobody knows what the real one does.
const OWN_NAME: &str = concat!("hookward-send/", env!("CARGO_PKG_VERSION"));

/// Options of `send`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    sender: outgoing::Args,
    /// The sample event to send; without it they are listed, where there are several.
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// Where to: an http:// or https:// address.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// The method, where it is not POST.
    #[arg(long, default_value = "POST", value_parser = method)]
    method: Method,
    /// The address that is signed, where the URL is signed and the sender knows another one: `server.public_url` and the path.
    #[arg(long)]
    url: Option<String>,
    /// Another body than the sample, byte for byte; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "event")]
    body: Option<PathBuf>,
    /// Change a member of the JSON body: `data.id=user_1`. The value is JSON, or else a string. May repeat.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Send the same delivery so many times, each signed anew.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Try again after any answer but 2xx: at once, and after 5 seconds.
    #[arg(long)]
    retry: bool,
    /// Spoil the delivery after it was signed, to see it refused.
    #[arg(long, value_enum, value_name = "WHAT")]
    tamper: Option<tamper::Tamper>,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    match outgoing::catalog().and_then(|catalog| deliver(args, &catalog, out)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => trouble.exit(),
    }
}

/// One that a route can take; in capitals, as methods are.
fn method(text: &str) -> Result<Method, String> {
    let known = METHODS.contains(&text);
    let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| known);
    method.ok_or_else(|| format!("write one of {}", METHODS.join(", ")))
}

/// Whether every delivery was taken.
fn deliver(args: &Args, catalog: &Catalog, out: &mut dyn Write) -> Result<bool, Trouble> {
    let event = chosen_event(args, out)?;
    let Some(to) = &args.to else {
        return Err(Trouble::usage("where to? use --to http://127.0.0.1:8080/api/webhooks/…"));
    };
    let target: Uri = to.parse().map_err(|_| Trouble::usage(format!("--to {to} is not an address")))?;
    if !matches!(target.scheme_str(), Some("http" | "https")) {
        return Err(Trouble::usage(format!("--to {to}: write the whole address, http://… or https://…")));
    }
    let sender = args.sender.sender(catalog)?;
    let draft = Draft::new(args, &sender, event, to)?;
    runtime(1)?.block_on(send_all(args, &sender, &draft, &target, out))
}

/// The body of the event that was asked for, where the provider has several. `None`: it has not.
fn chosen_event(args: &Args, out: &mut dyn Write) -> Result<Option<&'static str>, Trouble> {
    let provider = args.sender.provider.as_str();
    let events = samples::of(provider);
    if events.is_empty() || args.body.is_some() {
        return Ok(None);
    }
    let Some(wanted) = &args.event else {
        for (event, _) in events {
            writeln!(out, "{event}")?;
        }
        return Err(Trouble::usage("which event? use --event TYPE"));
    };
    if let Some((_, body)) = events.iter().find(|(event, _)| event == wanted) {
        return Ok(Some(body));
    }
    let hint = match config::nearest(wanted, events.iter().map(|(event, _)| *event)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "without --event they are listed".to_owned(),
    };
    Err(Trouble::usage(format!("{provider} has no sample event `{wanted}`\n  hint: {hint}")))
}

/// A delivery that is not signed yet.
struct Draft {
    /// As it is signed.
    url: String,
    id: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A delivery as it is sent.
struct Composed {
    headers: HeaderMap,
    body: Vec<u8>,
    /// If it is another than that of the draft.
    url: Option<String>,
    /// Unix seconds.
    signed_at: u64,
}

impl Draft {
    fn new(args: &Args, sender: &Sender, event: Option<&str>, to: &str) -> Result<Self, Trouble> {
        let mut headers = args.sender.headers(sender, args.body.is_none())?;
        if !headers.contains_key(USER_AGENT) {
            let name = sender.sample.user_agent.as_deref().unwrap_or(OWN_NAME);
            headers.insert(USER_AGENT, HeaderValue::try_from(name).map_err(Trouble::usage)?);
        }
        let mut body = match (&args.body, event) {
            (Some(file), _) => outgoing::body(file)?,
            (None, Some(event)) => event.as_bytes().to_vec(),
            (None, None) if sender.sample.body.is_empty() => {
                return Err(Trouble::usage(format!("there is no sample of {}\n  hint: use --body FILE", sender.name)));
            }
            (None, None) => {
                only_sample(args, sender, &headers)?;
                sender.sample.body.as_bytes().to_vec()
            }
        };
        let in_body = sender.spec.id.as_ref().and_then(|id| id.json.as_deref());
        if let Some(path) = in_body.filter(|_| args.sender.id.is_some() || args.body.is_none()) {
            let text = String::from_utf8(body).map_err(Trouble::usage)?;
            let old = json_edit::find(&text, path).and_then(|value| serde_json::from_str::<String>(value).ok());
            let id = args.sender.id.clone().or_else(|| old.as_deref().map(outgoing::fresh_like));
            body = match id {
                Some(id) => set(&text, path, &serde_json::Value::from(id).to_string())?.into_bytes(),
                None => text.into_bytes(),
            };
        }
        for change in &args.set {
            let (path, value) =
                change.split_once('=').ok_or_else(|| Trouble::usage(format!("--set {change}: write PATH=VALUE")))?;
            let text = String::from_utf8(body).map_err(|_| Trouble::usage("--set: the body is not JSON"))?;
            body = set(&text, path, &json_edit::as_json(value))?.into_bytes();
        }
        let id = args.sender.id.clone().unwrap_or_else(|| sender.fresh_id());
        Ok(Self { url: args.url.clone().unwrap_or_else(|| to.to_owned()), id, headers, body })
    }

    fn compose(&self, args: &Args, sender: &Sender) -> Result<(Composed, Option<&'static str>), Trouble> {
        let now = args.sender.now();
        let body = self.body_at(sender, now);
        let delivery = Delivery {
            id: &self.id,
            timestamp: now,
            method: &args.method,
            url: Some(&self.url),
            headers: &self.headers,
            body: &body,
        };
        let signed = sign_as(&sender.scheme, &sender.signer, &delivery).map_err(|problem| sender.unsigned(problem))?;
        let headers = together(&self.headers, &signed);
        let mut composed =
            Composed { headers, body: signed.body.unwrap_or_else(|| body.clone()), url: signed.url, signed_at: now };
        let note = match args.tamper {
            Some(what) => tamper::tamper(what, sender, &mut composed, &body)?,
            None => None,
        };
        Ok((composed, note))
    }

    /// Where the time is in the body, that of this attempt.
    fn body_at(&self, sender: &Sender, now: u64) -> Vec<u8> {
        let Some(spec) = &sender.spec.timestamp else { return self.body.clone() };
        let (Some(path), Ok(text)) = (&spec.json, std::str::from_utf8(&self.body)) else { return self.body.clone() };
        let time = time_as(text, path, &write_time(now, spec.unit));
        json_edit::set(text, path, &time).map_or_else(|_| self.body.clone(), String::into_bytes)
    }
}

fn set(text: &str, path: &str, value: &str) -> Result<String, Trouble> {
    json_edit::set(text, path, value).map_err(|problem| Trouble::usage(format!("{path}: {problem}")))
}

/// A time as a number or a string, whatever is there now.
fn time_as(text: &str, path: &str, time: &str) -> String {
    let is_number = json_edit::find(text, path).is_some_and(|value| !value.starts_with('"'));
    if is_number && time.bytes().all(|byte| byte.is_ascii_digit()) {
        time.to_owned()
    } else {
        serde_json::Value::from(time).to_string()
    }
}

/// `--event` for a provider with one sample: it can only be that one's type.
fn only_sample(args: &Args, sender: &Sender, headers: &HeaderMap) -> Result<(), Trouble> {
    let Some(wanted) = &args.event else { return Ok(()) };
    let field = sender.spec.event_type.as_ref();
    let header = field.and_then(|field| headers.get(field.header.as_ref()?.of_family(0)?)?.to_str().ok());
    let member = || {
        let value = json_edit::find(&sender.sample.body, field?.json.as_deref()?)?;
        serde_json::from_str::<String>(value).ok()
    };
    let known = header.map(str::to_owned).or_else(member);
    if known.as_ref() == Some(wanted) {
        return Ok(());
    }
    let hint = match known {
        Some(known) => format!("there is one, `{known}`; use --set, --header and --body for others"),
        None => "there is one, without a type; use --set, --header and --body for others".to_owned(),
    };
    Err(Trouble::usage(format!("{} has no sample event `{wanted}`\n  hint: {hint}", sender.name)))
}

async fn send_all(
    args: &Args,
    sender: &Sender,
    draft: &Draft,
    target: &Uri,
    out: &mut dyn Write,
) -> Result<bool, Trouble> {
    let client = Https::new();
    let bounds = Bounds { time: sender.sample.patience.unwrap_or(PATIENCE), bytes: LONGEST };
    let attempts = if args.retry { ATTEMPTS } else { ATTEMPTS.get(..1).unwrap_or(ATTEMPTS) };
    let mut all = true;
    for number in 1..=args.repeat {
        let mut taken = false;
        for (attempt, wait) in (1_usize..).zip(attempts) {
            tokio::time::sleep(*wait).await;
            let (composed, note) = draft.compose(args, sender)?;
            let request = request(&composed, &args.method, target)?;
            if number == 1 && attempt == 1 {
                head(sender, draft, &composed, &request, out)?;
                for missing in sender.missing_headers(&composed.headers) {
                    writeln!(
                        out,
                        "  note: {} also sends {missing}: give it with --header '{missing}: …'",
                        sender.name
                    )?;
                }
                if let Some(note) = note {
                    writeln!(out, "  note: {note}")?;
                }
            }
            if args.repeat > 1 {
                write!(out, "#{number} ")?;
            }
            let begun = clock::monotonic();
            let answer = client.exchange(request, bounds).await;
            taken = answered(&answer, begun.elapsed(), args.repeat == 1, out)?;
            if taken {
                break;
            }
        }
        all &= taken;
    }
    Ok(all)
}

fn request(composed: &Composed, method: &Method, target: &Uri) -> Result<Request<Full<Bytes>>, Trouble> {
    let mut target = target.clone();
    // Part of the signature may be in the query.
    let signed = composed.url.as_deref().and_then(|url| url.parse::<Uri>().ok()?.path_and_query().cloned());
    if let Some(path) = signed {
        let mut parts = target.into_parts();
        parts.path_and_query = Some(path);
        target = Uri::from_parts(parts).map_err(Trouble::usage)?;
    }
    let mut request = Request::new(Full::new(Bytes::from(composed.body.clone())));
    *request.method_mut() = method.clone();
    *request.uri_mut() = target;
    *request.headers_mut() = composed.headers.clone();
    Ok(request)
}

/// What is sent, without anything that could be sent again.
fn head(
    sender: &Sender,
    draft: &Draft,
    composed: &Composed,
    request: &Request<Full<Bytes>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let uri = request.uri();
    writeln!(
        out,
        "{} {}://{}{}",
        request.method(),
        uri.scheme_str().unwrap_or_default(),
        uri.authority().map_or("", |at| at.as_str()),
        uri.path()
    )?;
    let id = match &sender.spec.id {
        Some(id) if id.header.is_some() => format!(", id {}", draft.id),
        Some(_) | None => String::new(),
    };
    writeln!(out, "  {}, {} bytes{id}", sender.name, composed.body.len())
}

/// Whether the delivery was taken.
fn answered(
    answer: &Result<Response<Bytes>, ExchangeError>,
    took: Duration,
    whole: bool,
    out: &mut dyn Write,
) -> io::Result<bool> {
    match answer {
        Ok(answer) => {
            let code = show::reject(answer).filter(|_| !whole).map(|reject| format!("  {}", reject.code()));
            writeln!(out, "{}{}", show::status(answer, took), code.unwrap_or_default())?;
            if whole && !answer.body().is_empty() {
                writeln!(out, "{}", show::body(answer).trim_end())?;
            }
            Ok(answer.status().is_success())
        }
        Err(error) => {
            writeln!(out, "no answer after {} ms: {error}", took.as_millis())?;
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::tamper::Tamper;
    use super::*;
    use crate::check::signature::{Coverage, Scheme};
    use crate::providers::example;
    use crate::reject::Reject;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// The sample of an entry as `send` would send it.
    fn composed(catalog: &Catalog, name: &str, tamper: Option<Tamper>) -> Result<Composed, Trouble> {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        let spec = catalog.scheme(name).unwrap();
        std::fs::write(&secret, example::signing_secret(spec)).unwrap();
        let now = example::NOW.to_string();
        let mut line = vec!["send", "--provider", name, "--now", &now, "--to", "http://127.0.0.1:1/x"];
        line.extend(["--url", example::URL, "--secret-file", secret.to_str().unwrap()]);
        let options: Vec<String> =
            example::options(spec).into_iter().map(|(name, value)| format!("--option={name}={value}")).collect();
        line.extend(options.iter().map(String::as_str));
        if name == "clerk" {
            line.extend(["--event", "user.created"]);
        }
        let mut args = Line::parse_from(line).args;
        args.tamper = tamper;
        let event = chosen_event(&args, &mut Vec::new())?;
        let sender = args.sender.sender(catalog)?;
        let draft = Draft::new(&args, &sender, event, "http://127.0.0.1:1/x")?;
        draft.compose(&args, &sender).map(|(composed, _)| composed)
    }

    fn judged(catalog: &Catalog, name: &str, sent: &Composed) -> Result<(), Reject> {
        let spec = catalog.scheme(name).unwrap();
        let scheme = Scheme::compile(name, spec, &example::options(spec)).unwrap();
        let url = sent.url.as_deref().unwrap_or(example::URL);
        example::judge(&scheme, spec, url, &sent.headers, &sent.body).map(|_| ()).map_err(|failure| failure.reject)
    }

    #[test]
    fn the_sample_of_every_provider_with_a_shared_secret_is_genuine() {
        let catalog = Catalog::load().unwrap();
        let mut wrong = Vec::new();
        for name in catalog.names() {
            if !example::is_signable(catalog.scheme(name).unwrap()) {
                assert!(matches!(composed(&catalog, name, None), Err(Trouble::Failed(_))), "{name}");
                continue;
            }
            match composed(&catalog, name, None) {
                Ok(sent) => {
                    wrong.extend(judged(&catalog, name, &sent).err().map(|reject| format!("{name}: {reject:?}")));
                }
                Err(trouble) => wrong.push(format!("{name}: {trouble:?}")),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_was_tampered_with_is_refused_for_every_provider_that_signs_it() {
        let catalog = Catalog::load().unwrap();
        let mut wrong = Vec::new();
        for name in catalog.names() {
            let spec = catalog.scheme(name).unwrap();
            if !example::is_signable(spec) {
                continue;
            }
            let scheme = Scheme::compile(name, spec, &example::options(spec)).unwrap();
            for what in [Tamper::Body, Tamper::Time, Tamper::Signature] {
                let sent = match composed(&catalog, name, Some(what)) {
                    Ok(sent) => sent,
                    Err(_) if what == Tamper::Time && spec.timestamp.is_none() => continue,
                    Err(trouble) => {
                        wrong.push(format!("{name} {what:?}: {trouble:?}"));
                        continue;
                    }
                };
                let covered = what != Tamper::Body || scheme.coverage() == Coverage::Body;
                let verdict = judged(&catalog, name, &sent);
                if covered && verdict != Err(Reject::SignatureMismatch) {
                    wrong.push(format!("{name} {what:?}: {verdict:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_time_in_the_body_keeps_its_kind() {
        assert_eq!(time_as(r#"{"t":1}"#, "t", "17"), "17");
        assert_eq!(time_as(r#"{"t":"1"}"#, "t", "17"), "\"17\"");
        assert_eq!(time_as(r#"{"t":1}"#, "t", "2026-01-01T00:00:00Z"), "\"2026-01-01T00:00:00Z\"");
    }

    #[test]
    fn lists_the_events_where_there_are_several() {
        let mut out = Vec::new();
        let args = Line::parse_from(["send", "--provider", "clerk"]).args;
        assert!(matches!(chosen_event(&args, &mut out), Err(Trouble::Usage(_))));
        assert!(String::from_utf8(out).unwrap().contains("\nuser.created\n"));
        let args = Line::parse_from(["send", "--provider", "clerk", "--event", "user.creatd"]).args;
        let trouble = chosen_event(&args, &mut Vec::new()).unwrap_err();
        assert!(matches!(&trouble, Trouble::Usage(message) if message.contains("`user.created`")), "{trouble:?}");
    }
}
