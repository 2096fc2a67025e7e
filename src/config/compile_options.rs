//! A route's `options` and the public URL: what a scheme needs to know besides its secrets.
//!
//! Must never let a route start whose scheme signs a URL that nobody has told, or whose provider would take deliveries that
//! anyone can order from it.

use std::path::Path;

use super::compile::Context;
use super::raw::Table;
use crate::check::signature::scheme::Engine;
use crate::check::signature::{Options, Scheme, SchemeSpec};
use crate::plan::PublicUrl;

/// What an HTTP message signature has to cover unless the route says otherwise: without the body's digest, the method and the
/// path, one signed request would open the way for any other.
const COVERED: &str = "@method,@target-uri|@request-target|@path,content-digest";
/// A certificate or key that is longer than this is none, bytes.
const LONGEST: usize = 64 << 10;

impl Context<'_, '_> {
    /// The scheme as this route uses it.
    pub(super) fn compiled(
        &mut self,
        raw: &Table,
        table: &Table,
        name: &str,
        spec: &SchemeSpec,
    ) -> Option<(Scheme, Options)> {
        let mut options = self.options(table, spec)?;
        if spec.engine == Engine::Rfc9421 {
            options.entry("components".to_owned()).or_insert_with(|| COVERED.to_owned());
        }
        let scheme = match Scheme::compile(name, spec, &options) {
            Ok(scheme) => scheme,
            Err(problems) => {
                for problem in problems {
                    let spot = table.spot_of(if problem.field == "options" { "options" } else { "provider" });
                    self.findings.error(&spot, problem.flaw.to_string(), problem.flaw.hint());
                }
                return None;
            }
        };
        let public_url = raw.table("server").is_some_and(|server| server.given("public_url"));
        if scheme.signs_url() && !public_url {
            let what = format!("`{name}` signs the URL, and only the sender's spelling of it counts");
            let hint = "add public_url = \"https://app.example.com\" to [server]";
            self.findings.error(&table.spot_of("path"), what, hint);
        }
        if spec.engine == Engine::AwsSns && !options.contains_key("topics") {
            let what = "without `topics` everyone who has an AWS account could send signed messages";
            self.findings.error(&table.spot_of("options"), what, "write options = { topics = \"arn:aws:sns:…\" }");
        }
        Some((scheme, options))
    }

    /// The values, files read. `None`: a problem was reported.
    fn options(&mut self, table: &Table, spec: &SchemeSpec) -> Option<Options> {
        let mut options = Options::new();
        let mut whole = true;
        for (name, (text, spot)) in table.table("options").into_iter().flat_map(Table::all_texts) {
            let value = if spec.options.get(name).is_some_and(|option| option.file) {
                match self.environment.read(Path::new(text)) {
                    Ok(bytes) if bytes.len() <= LONGEST => String::from_utf8(bytes).ok(),
                    Ok(_) => None,
                    Err(error) => {
                        let hint = "mount or create the file, readable by hookward's user";
                        self.findings.error(spot, format!("{text} cannot be read: {error}"), hint);
                        whole = false;
                        continue;
                    }
                }
            } else {
                Some(text.to_owned())
            };
            if let Some(value) = value {
                options.insert(name.to_owned(), value);
            } else {
                self.findings.error(spot, format!("{text} is no text file of this kind"), "name the right file");
                whole = false;
            }
        }
        whole.then_some(options)
    }

    /// `server.public_url`.
    pub(super) fn public_url(&mut self, server: &Table) -> Option<PublicUrl> {
        let (text, spot) = server.text("public_url")?;
        let url = PublicUrl::parse(text);
        if url.is_none() {
            let hint = "write scheme and host as senders do, and the path only if something in front strips it: \"https://app.example.com\"";
            self.findings.error(spot, format!("{text:?} is not an absolute address without query"), hint);
        }
        url
    }
}
