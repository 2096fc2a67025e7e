//! Which request of a JSON file is meant: a HAR or one of its parts, or an export of one or more requests.
//!
//! Source: HAR 1.2 (softwareishard.com/blog/har-12-spec), and the exports' own documentation as `export` names it. Must
//! never pick one of several in silence.

use super::choose::{Candidate, choose};
use super::export;
use super::json::Value;
use super::problem::{CaptureProblem, Fault};
use super::url::Url;
use super::{Captured, Shape};

/// Where lists of requests stand: HAR, ngrok, Hookdeck and webhook.site, a bare list of entries.
const LISTS: &[&[&str]] = &[&["log", "entries"], &["entries"], &["requests"], &["models"], &["data"]];

/// Reads the request of a JSON file.
pub(super) fn read(bytes: &[u8]) -> Result<Captured, CaptureProblem> {
    let document = Value::parse(bytes)?;
    let requests = match list(&document) {
        Some(list) => list.items()?.iter().map(request).collect(),
        None => vec![request(&document)],
    };
    let candidates: Vec<Candidate> = requests.iter().map(candidate).collect();
    let (index, note) = choose(&candidates).map_err(|fault| document.problem(fault))?;
    let request = requests.get(index).ok_or_else(|| document.problem(Fault::NoRequest))?;
    let is_har = request.get("postData").is_some() || request.get("httpVersion").is_some();
    let mut captured = export::read(request, if is_har { Shape::Har } else { Shape::Export })?;
    captured.notes.extend(note);
    Ok(captured)
}

fn list<'a>(document: &Value<'a>) -> Option<Value<'a>> {
    if document.is_array() {
        return Some(document.clone());
    }
    let found = LISTS
        .iter()
        .find_map(|path| path.iter().try_fold(document.clone(), |value, name| value.get(name)).filter(Value::is_array));
    // A request may have a member `data` or `requests` of its own.
    found.filter(|_| export::headers_of(document).is_none())
}

/// The request in an entry: HAR and ngrok have `request`, Hookdeck has `data`.
fn request<'a>(entry: &Value<'a>) -> Value<'a> {
    if export::headers_of(entry).is_some() {
        return entry.clone();
    }
    let inside = ["request", "data"].iter().filter_map(|name| entry.get(name));
    inside.into_iter().find(|value| export::headers_of(value).is_some()).unwrap_or_else(|| entry.clone())
}

fn candidate(request: &Value<'_>) -> Candidate {
    let method = export::method_of(request).and_then(|method| method.string().ok());
    let target = export::target_of(request).and_then(|target| target.string().ok()).unwrap_or_default();
    let target = match Url::read(&target) {
        Some(url) => url.shown(),
        None => target.split('?').next().unwrap_or_default().to_owned(),
    };
    Candidate { method: method.unwrap_or_else(|| "POST".to_owned()), target }
}
