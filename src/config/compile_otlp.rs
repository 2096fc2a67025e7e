//! `[telemetry.otlp]`: where spans are sent.
//!
//! Must never put a part of a header's value into a problem.

use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Uri};

use super::compile::Context;
use super::compile_replay::is_near;
use super::findings::Spot;
use super::raw::{Table, Text};
use crate::plan::Collector;

/// Appended to the endpoint, as the specification of OTLP exporters says.
const PATH: &str = "/v1/traces";
const FORM: &str = "write \"http://127.0.0.1:4318\"";
/// OTLP over gRPC has this port, over HTTP the next one.
const GRPC: u16 = 4317;
const LONGEST_NAME: usize = 256;
/// What we say ourselves about the body and the connection.
const OURS: [HeaderName; 6] = [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING];

impl Context<'_, '_> {
    /// # Errors
    /// A problem was reported.
    pub(super) fn otlp(&mut self, raw: &Table) -> Result<Option<Arc<Collector>>, ()> {
        let Some(telemetry) = raw.table("telemetry") else { return Ok(None) };
        let Some(table) = telemetry.table("otlp") else { return Ok(None) };
        if !cfg!(feature = "otlp") {
            let hint = "build hookward with it: cargo build --release --features otlp; or remove the table";
            self.findings.error(&telemetry.spot_of("otlp"), "this hookward was built without OTLP", hint);
            return Err(());
        }
        self.collector(table).map(|collector| Some(Arc::new(collector))).ok_or(())
    }

    fn collector(&mut self, table: &Table) -> Option<Collector> {
        let endpoint = self.endpoint(table.text("endpoint")?, table.given("headers"));
        let ca = match table.text("ca") {
            Some(ca) => Some(self.trusting(Some(ca), "the collector's")?.1.into()),
            None => None,
        };
        let mut headers = Vec::new();
        for header in table.tables("headers").unwrap_or_default() {
            headers.extend(self.header(header));
        }
        let (service_name, spot) = table.text("service_name")?;
        if service_name.is_empty() || service_name.len() > LONGEST_NAME || service_name.chars().any(char::is_control) {
            let hint = format!("write a name of at most {LONGEST_NAME} bytes");
            self.findings.error(spot, "is empty, too long or holds a control character", hint);
        }
        Some(Collector { endpoint: endpoint?, service_name: service_name.into(), headers, ca })
    }

    fn endpoint(&mut self, (text, spot): Text<'_>, has_headers: bool) -> Option<Uri> {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let authority = rest.and_then(|rest| rest.split('/').next());
        let authority: Option<Authority> = authority.and_then(|authority| authority.parse().ok());
        let is_port = |authority: &Authority| match authority.port() {
            Some(port) => authority.port_u16().is_some_and(|number| number != 0 && number.to_string() == port.as_str()),
            None => !authority.as_str().ends_with(':'),
        };
        let authority = authority.filter(|authority| !authority.host().is_empty() && is_port(authority));
        let problem = if rest.is_none() {
            Some("must start with http:// or https://")
        } else if text.contains('@') {
            Some("a user name or password has no place here: use `headers`")
        } else if text.contains(['?', '#']) {
            Some("a query or fragment has no place here")
        } else {
            authority.is_none().then_some("is not an address with a host")
        };
        let whole = format!("{}{PATH}", text.trim_end_matches('/').trim_end_matches(PATH));
        let uri = problem.is_none().then(|| whole.parse::<Uri>().ok()).flatten();
        let (Some(uri), Some(authority)) = (uri, authority) else {
            self.findings.error(spot, problem.unwrap_or("is not an address"), FORM);
            return None;
        };
        if authority.port_u16() == Some(GRPC) {
            self.findings.warn(spot, "4317 is the port of OTLP over gRPC, and this is over HTTP", "write port 4318");
        }
        if has_headers && text.starts_with("http://") && !is_near(authority.host().trim_matches(['[', ']'])) {
            let what = "the headers go over the network in clear";
            self.findings.warn(spot, what, "write \"https://…\" unless the network is trusted");
        }
        Some(uri)
    }

    fn header(&mut self, table: &Table) -> Option<(HeaderName, HeaderValue)> {
        let (name, spot) = table.text("name")?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| !OURS.contains(name));
        if name.is_none() {
            let hint = "write the name alone, `authorization`; what describes the body is sent anyway";
            self.findings.error(spot, "is not the name of a field that can be set", hint);
        }
        let (_, spot, bytes) = self.one(table, false)?;
        let value = self.header_value(&bytes, &spot);
        Some((name?, value?))
    }

    fn header_value(&mut self, bytes: &[u8], spot: &Spot) -> Option<HeaderValue> {
        let value = HeaderValue::from_bytes(bytes).ok().filter(|value| !value.is_empty());
        let Some(mut value) = value else {
            self.findings.error(spot, "is empty or no header can carry it", "put the field's value there, in one line");
            return None;
        };
        value.set_sensitive(true);
        Some(value)
    }
}
