//! One request as JSON: a HAR request, or what inspectors, gateways and serverless platforms write.
//!
//! Sources: HAR 1.2 §request and §postData; AWS "Lambda proxy integration" for HTTP APIs (payload 2.0), REST APIs (1.0)
//! and load balancers; the request objects of webhook.site, Hookdeck and ngrok's agent API; Node's `rawHeaders` and its
//! `Buffer` as JSON. The first member that is there counts, the one nearest to the wire first. Must never pass a body that
//! was put together again for the one that was sent.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::Method;
use http::header::{HOST, HeaderMap};

use super::json::Value;
use super::note::Note;
use super::problem::{CaptureProblem, Fault};
use super::raw::{self, BodyRule, Declared, Message};
use super::url::{self, Url};
use super::{Captured, MAX_HEADERS, Shape, add_host, note_length};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const HEADERS: &[&str] = &["rawHeaders", "multiValueHeaders", "headers"];
const METHODS: &[&str] = &["method", "httpMethod"];
const TARGETS: &[&str] = &["originalUrl", "rawPath", "path", "uri"];
const QUERIES: &[&str] = &["rawQueryString", "query_string", "queryString", "query"];
const PARAMETERS: &[&str] = &["multiValueQueryStringParameters", "queryStringParameters", "query", "parsed_query"];
const BODIES_BASE64: &[&str] = &["rawBodyBase64", "bodyBase64", "body_base64"];
const BODIES: &[&str] = &["rawBody", "raw_body", "rawbody", "body", "content"];
const FLAGS: &[&str] = &["isBase64Encoded", "is_base64_encoded", "base64"];
const ENCODINGS: &[&str] = &["encoding", "_encoding", "bodyEncoding", "body_encoding", "rawBodyEncoding"];

/// Where the headers are. Without them it is no request.
pub(super) fn headers_of<'a>(request: &Value<'a>) -> Option<Value<'a>> {
    HEADERS.iter().filter_map(|name| request.get(name)).find(|value| value.is_object() || value.is_array())
}

pub(super) fn method_of<'a>(request: &Value<'a>) -> Option<Value<'a>> {
    let nested = || request.get("requestContext")?.get("http")?.get("method");
    request.get_any(METHODS).or_else(nested)
}

/// The URL if it is absolute, else the target.
pub(super) fn target_of<'a>(request: &Value<'a>) -> Option<Value<'a>> {
    let url = request.get("url").filter(Value::is_string);
    let absolute = url.clone().filter(|url| url.string().is_ok_and(|url| url::is_absolute(url.as_bytes())));
    let other = || TARGETS.iter().filter_map(|name| request.get(name)).find(Value::is_string);
    absolute.or_else(other).or(url)
}

/// Reads one request.
pub(super) fn read(request: &Value<'_>, shape: Shape) -> Result<Captured, CaptureProblem> {
    let headers = headers_of(request).ok_or_else(|| {
        let known = shape == Shape::Har || method_of(request).is_some() && target_of(request).is_some();
        request.problem(if known { Fault::JsonMissing("headers") } else { Fault::NotAnExport })
    })?;
    // ngrok keeps the very bytes.
    if let Some(raw) = request.get("raw").filter(|raw| raw.is_string() && request.get("uri").is_some()) {
        return read_raw(&raw, shape);
    }
    let mut notes = Vec::new();
    let method = if let Some(value) = method_of(request) {
        raw::method(value.string()?.as_bytes()).map_err(|fault| value.problem(fault))?
    } else {
        notes.push(Note::MethodAssumed);
        Method::POST
    };
    let (url, target) = url_and_target(request, &mut notes)?;
    let mut headers = read_headers(&headers)?;
    if let Some(url) = url.as_deref().and_then(Url::read) {
        add_host(&mut headers, &url);
    }
    let body = body(request, &mut notes)?;
    let length = raw::declared(&headers);
    let sends =
        matches!(length, Declared::Bytes(1..)) || ![Method::GET, Method::HEAD, Method::DELETE].contains(&method);
    if body.is_none() && sends && !matches!(length, Declared::Bytes(0)) && !notes.contains(&Note::FormFieldsOnly) {
        notes.push(Note::BodyMissing);
    }
    let known = body.is_some();
    let mut captured = Captured { method, target, url, headers, body: body.unwrap_or_default(), shape, notes };
    if known {
        note_length(&mut captured);
    }
    Ok(captured)
}

fn read_raw(raw: &Value<'_>, shape: Shape) -> Result<Captured, CaptureProblem> {
    let bytes = unbase64(raw)?;
    // The message is one line of the file, so its own lines would mislead.
    let message = Message { bytes, marks: vec![(0, 1)] };
    raw::read(&message, shape, BodyRule::Framed).map_err(|problem| raw.problem(problem.fault))
}

fn url_and_target(request: &Value<'_>, notes: &mut Vec<Note>) -> Result<(Option<String>, String), CaptureProblem> {
    let Some(value) = target_of(request) else {
        notes.push(Note::TargetAssumed);
        return Ok((None, "/".to_owned()));
    };
    let (url, mut target) = url::target(&value.string()?).map_err(|fault| value.problem(fault))?;
    if url.is_some() {
        return Ok((url, target));
    }
    if !target.contains('?') {
        let query = query(request, notes)?;
        if !query.is_empty() {
            target = format!("{target}?{query}");
        }
    }
    // A gateway of AWS speaks nothing but TLS.
    let host = request.get("rawPath").and_then(|_| request.get("requestContext")?.get("domainName")?.string().ok());
    let url = host.map(|host| format!("https://{host}{target}"));
    Ok((url, target))
}

/// As sent if the file has it so, else put together from its parameters.
fn query(request: &Value<'_>, notes: &mut Vec<Note>) -> Result<String, CaptureProblem> {
    if let Some(value) = QUERIES.iter().filter_map(|name| request.get(name)).find(Value::is_string) {
        let query = value.string()?;
        let query = query.strip_prefix('?').unwrap_or(&query);
        url::target(&format!("/?{query}")).map_err(|fault| value.problem(fault))?;
        return Ok(query.to_owned());
    }
    let Some(parameters) = PARAMETERS.iter().filter_map(|name| request.get(name)).find(Value::is_object) else {
        return Ok(String::new());
    };
    let mut pairs = Vec::new();
    for (name, value) in parameters.members()? {
        for value in one_or_many(value)? {
            let text = if value.is_string() { value.string()? } else { value.text().to_owned() };
            pairs.push(format!("{}={}", url::encode(&name), url::encode(&text)));
        }
    }
    if !pairs.is_empty() {
        notes.push(Note::QueryRebuilt);
    }
    Ok(pairs.join("&"))
}

fn one_or_many(value: Value<'_>) -> Result<Vec<Value<'_>>, CaptureProblem> {
    if value.is_array() { value.items() } else { Ok(vec![value]) }
}

/// An object of texts or lists of texts; or a list of `{name, value}`, of pairs, of lines, or of names and values in turn.
fn read_headers(list: &Value<'_>) -> Result<HeaderMap, CaptureProblem> {
    let mut headers = HeaderMap::new();
    if list.is_object() {
        for (name, values) in list.members()? {
            for value in one_or_many(values)? {
                add_header(&mut headers, &name, &value)?;
            }
        }
        return Ok(headers);
    }
    let items = list.items()?;
    let lines = items.first().filter(|first| first.is_string()).map(Value::string).transpose()?;
    if lines.is_some_and(|first| !first.starts_with(':') && !first.contains(": ")) {
        for pair in items.chunks(2) {
            let [name, value] = pair else { return Err(list.problem(Fault::JsonKind("names and values in turn"))) };
            add_header(&mut headers, &name.string()?, value)?;
        }
        return Ok(headers);
    }
    for item in items {
        if item.is_string() {
            let (name, value) = raw::field(item.string()?.as_bytes()).map_err(|fault| item.problem(fault))?;
            append(&mut headers, name, value, &item)?;
        } else if item.is_array() {
            let pair = item.items()?;
            let [name, value] = pair.as_slice() else {
                return Err(item.problem(Fault::JsonKind("a name and a value")));
            };
            add_header(&mut headers, &name.string()?, value)?;
        } else {
            let name = item.get_any(&["name", "key"]).ok_or_else(|| item.problem(Fault::JsonMissing("name")))?;
            if let Some(value) = item.get("value") {
                add_header(&mut headers, &name.string()?, &value)?;
            }
        }
    }
    Ok(headers)
}

fn add_header(headers: &mut HeaderMap, name: &str, value: &Value<'_>) -> Result<(), CaptureProblem> {
    if value.is_null() {
        return Ok(());
    }
    if value.is_object() || value.is_array() {
        return Err(value.problem(Fault::JsonKind("a string")));
    }
    let text = if value.is_string() { value.string()? } else { value.text().to_owned() };
    let name = match name.strip_prefix(':') {
        Some("authority") if !headers.contains_key(HOST) => "host",
        // Browsers list what HTTP/2 has for a request line among the headers.
        Some(_) => return Ok(()),
        None => name,
    };
    let (name, line) = raw::pair(name.as_bytes(), text.as_bytes()).map_err(|fault| value.problem(fault))?;
    append(headers, name, line, value)
}

fn append(
    headers: &mut HeaderMap,
    name: http::HeaderName,
    value: http::HeaderValue,
    at: &Value<'_>,
) -> Result<(), CaptureProblem> {
    if headers.len() >= MAX_HEADERS {
        return Err(at.problem(Fault::TooManyHeaders));
    }
    headers.append(name, value);
    Ok(())
}

fn body(request: &Value<'_>, notes: &mut Vec<Note>) -> Result<Option<Vec<u8>>, CaptureProblem> {
    if let Some(data) = request.get("postData").filter(Value::is_object) {
        let Some(text) = data.get("text") else {
            let fields = data.get("params").is_some_and(|fields| fields.is_array());
            notes.extend(fields.then_some(Note::FormFieldsOnly));
            return Ok(None);
        };
        return content(&text, is_base64(&data), notes).map(Some);
    }
    if let Some(text) = request.get_any(BODIES_BASE64) {
        return content(&text, true, notes).map(Some);
    }
    request.get_any(BODIES).map(|value| content(&value, is_base64(request), notes)).transpose()
}

fn is_base64(holder: &Value<'_>) -> bool {
    let named = |value: Value<'_>| value.string().is_ok_and(|name| name.eq_ignore_ascii_case("base64"));
    FLAGS.iter().filter_map(|name| holder.get(name)).any(|flag| flag.is_true())
        || ENCODINGS.iter().filter_map(|name| holder.get(name)).any(named)
}

fn content(value: &Value<'_>, base64: bool, notes: &mut Vec<Note>) -> Result<Vec<u8>, CaptureProblem> {
    if value.is_string() && base64 {
        notes.push(Note::Base64Body);
        return unbase64(value);
    }
    if value.is_string() {
        return value.string().map(String::into_bytes);
    }
    if let Some(bytes) = value.get("type").filter(|kind| kind.text() == "\"Buffer\"").and_then(|_| value.get("data")) {
        if bytes.is_string() {
            notes.push(Note::Base64Body);
            return unbase64(&bytes);
        }
        return serde_json::from_str(bytes.text()).map_err(|_| bytes.problem(Fault::JsonKind("a list of bytes")));
    }
    notes.push(Note::BodyWasParsed);
    Ok(value.compact().into_bytes())
}

fn unbase64(value: &Value<'_>) -> Result<Vec<u8>, CaptureProblem> {
    let digits: String = value.string()?.split_ascii_whitespace().collect();
    BASE64.decode(digits).map_err(|_| value.problem(Fault::Base64))
}
