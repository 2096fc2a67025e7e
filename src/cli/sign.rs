//! `hookward sign`: the headers that a sender would send with a body, for scripts and tests.
//!
//! What it prints is a genuine delivery for whoever knows the secret, so it goes to standard output and nowhere else.
//! Everything else goes to standard error. Must never print the secret.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use http::{HeaderMap, Method};

use super::outgoing::{self, Trouble};
use crate::check::signature::{Delivery, Signed, sign_as};
use crate::providers::Catalog;

/// Options of `sign`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    sender: outgoing::Args,
    /// The body, byte for byte; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// Where the delivery goes, in the sender's spelling; needed where the URL is signed.
    #[arg(long)]
    url: Option<String>,
    /// The delivery's method.
    #[arg(long, default_value = "POST")]
    method: Method,
    /// How to print it: `name: value` lines, one JSON document, or a command.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Curl,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    match outgoing::catalog().and_then(|catalog| print(args, &catalog, out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.exit(),
    }
}

fn print(args: &Args, catalog: &Catalog, out: &mut dyn Write) -> Result<(), Trouble> {
    let sender = args.sender.sender(catalog)?;
    let base = args.sender.headers(&sender, false)?;
    let body = outgoing::body(&args.body)?;
    let id = args.sender.id.clone().unwrap_or_else(|| sender.fresh_id());
    let delivery = Delivery {
        id: &id,
        timestamp: args.sender.now(),
        method: &args.method,
        url: args.url.as_deref(),
        headers: &base,
        body: &body,
    };
    let signed = sign_as(&sender.scheme, &sender.signer, &delivery).map_err(|problem| sender.unsigned(problem))?;
    if let Some(member) = sender.time_in_body() {
        let _ = writeln!(
            io::stderr(),
            "note: {} signs the time inside of the body, at {member}: it must be the present one",
            sender.name
        );
    }
    let headers = together(&base, &signed);
    for missing in sender.missing_headers(&headers) {
        let _ =
            writeln!(io::stderr(), "note: {} also sends {missing}: give it with --header '{missing}: …'", sender.name);
    }
    let text = match args.format {
        Format::Text => as_text(&headers, &signed)?,
        Format::Json => as_json(args, &sender.name, &headers, &signed),
        Format::Curl => as_curl(args, &headers, &signed)?,
    };
    writeln!(out, "{}", text.trim_end())?;
    Ok(())
}

/// All headers of a signed delivery: what was signed replaces what was there.
pub(super) fn together(base: &HeaderMap, signed: &Signed) -> HeaderMap {
    let mut headers = base.clone();
    for (name, value) in &signed.headers {
        headers.insert(name.clone(), value.clone());
    }
    headers
}

fn lines(headers: &HeaderMap) -> Vec<(&str, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

fn as_text(headers: &HeaderMap, signed: &Signed) -> Result<String, Trouble> {
    if signed.body.is_some() || signed.url.is_some() {
        let what = "this provider's signature is not in the headers alone";
        return Err(Trouble::usage(format!("{what}\n  hint: use --format json or --format curl")));
    }
    Ok(lines(headers).iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n"))
}

fn as_json(args: &Args, provider: &str, headers: &HeaderMap, signed: &Signed) -> String {
    let headers: serde_json::Map<String, serde_json::Value> =
        lines(headers).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let document = serde_json::json!({
        "provider": provider,
        "method": args.method.as_str(),
        "url": signed.url.as_ref().or(args.url.as_ref()),
        "headers": headers,
        "body": signed.body.as_ref().map(|body| STANDARD.encode(body)),
    });
    format!("{document:#}")
}

fn as_curl(args: &Args, headers: &HeaderMap, signed: &Signed) -> Result<String, Trouble> {
    let Some(url) = signed.url.as_ref().or(args.url.as_ref()) else {
        return Err(Trouble::usage("--format curl needs --url: where does the delivery go?"));
    };
    let mut command = format!("curl -i -g --path-as-is -X {} {}", quoted(args.method.as_str()), quoted(url));
    for (name, value) in lines(headers) {
        command.push_str(" -H ");
        // curl's way to say that a header is there and empty.
        command.push_str(&quoted(&if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") }));
    }
    let data = match &signed.body {
        None => format!("@{}", args.body.display()),
        Some(body) => match std::str::from_utf8(body) {
            Ok(text) if !text.starts_with('@') && !text.contains('\0') => text.to_owned(),
            Ok(_) | Err(_) => return Err(Trouble::usage("the signed body is no text\n  hint: use --format json")),
        },
    };
    command.push_str(" --data-binary ");
    command.push_str(&quoted(&data));
    Ok(command)
}

/// One word of a POSIX shell (IEEE 1003.1, "Shell Command Language" 2.2.2): nothing is special between single quotes.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::check::signature::Scheme;
    use crate::providers::example;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// What is printed for an entry of the catalogue, and the body that was signed.
    fn printed(catalog: &Catalog, name: &str, more: &[&str]) -> (Result<String, Trouble>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let (secret, file) = (folder.path().join("secret"), folder.path().join("body"));
        let spec = catalog.scheme(name).unwrap();
        let body = example::body(catalog, name);
        std::fs::write(&secret, example::signing_secret(spec)).unwrap();
        std::fs::write(&file, &body).unwrap();
        let now = example::NOW.to_string();
        let mut line = vec!["sign", "--provider", name, "--now", &now, "--url", example::URL];
        line.extend(["--secret-file", secret.to_str().unwrap(), "--body", file.to_str().unwrap()]);
        let options: Vec<String> =
            example::options(spec).into_iter().map(|(name, value)| format!("--option={name}={value}")).collect();
        line.extend(options.iter().map(String::as_str));
        line.extend(more);
        let mut out = Vec::new();
        let done = print(&Line::parse_from(line).args, catalog, &mut out);
        (done.map(|()| String::from_utf8(out).unwrap()), body)
    }

    #[test]
    fn what_is_printed_is_genuine_for_every_provider_with_a_shared_secret() {
        let catalog = Catalog::load().unwrap();
        let mut wrong = Vec::new();
        for name in catalog.names() {
            let spec = catalog.scheme(name).unwrap();
            let (printed, body) = printed(&catalog, name, &["--format", "json"]);
            if !example::is_signable(spec) {
                assert!(matches!(printed, Err(Trouble::Failed(_))), "{name}");
                continue;
            }
            let printed: serde_json::Value = serde_json::from_str(&printed.unwrap()).unwrap();
            let headers: HeaderMap = printed["headers"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| {
                    (name.parse::<HeaderName>().unwrap(), value.as_str().unwrap().parse::<HeaderValue>().unwrap())
                })
                .collect();
            let body = printed["body"].as_str().map_or(body, |body| STANDARD.decode(body).unwrap());
            let scheme = Scheme::compile(name, spec, &example::options(spec)).unwrap();
            if let Err(failure) = example::judge(&scheme, spec, printed["url"].as_str().unwrap(), &headers, &body) {
                wrong.push(format!("{name}: {failure:?} {headers:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn prints_lines_or_a_command() {
        let catalog = Catalog::load().unwrap();
        let (text, _) = printed(&catalog, "github", &["--id", "an-id", "--header", "x-github-event: it's"]);
        let text = text.unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.contains(&"x-github-delivery: an-id") && lines.contains(&"x-github-event: it's"), "{text}");
        assert!(lines.iter().any(|line| line.starts_with("x-hub-signature-256: sha256=")), "{text}");
        let (curl, _) = printed(&catalog, "github", &["--format", "curl", "--header", "x-github-event: it's"]);
        let curl = curl.unwrap();
        assert!(curl.starts_with(&format!("curl -i -g --path-as-is -X POST {}", example::URL)), "{curl}");
        assert!(curl.contains(r"-H 'x-github-event: it'\''s'") && curl.contains(" --data-binary @/"), "{curl}");
    }

    #[test]
    fn a_signature_inside_of_the_body_is_never_left_out() {
        let catalog = Catalog::load().unwrap();
        let (text, _) = printed(&catalog, "mailgun", &[]);
        assert!(matches!(&text, Err(Trouble::Usage(message)) if message.contains("--format json")), "{text:?}");
        let (curl, _) = printed(&catalog, "mailgun", &["--format", "curl"]);
        assert!(curl.unwrap().contains("\"signature\""));
    }

    #[test]
    fn a_quoted_word_is_one_word_whatever_is_in_it() {
        for text in ["it's", "a b", "$(id)", "`id`", "\\", "'", "''", "", "ä\n\"", "plain-1.0", "~", "a=b", "#x"] {
            let output = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quoted(text))]).output();
            assert_eq!(output.unwrap().stdout, text.as_bytes());
        }
        assert_eq!(quoted("POST"), "POST");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
