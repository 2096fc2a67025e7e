//! The parts of a request that an HTTP message signature can cover, and what each is worth in the signed text.
//!
//! A part that is not there, or that could be told in two ways, has no value, and a signature over it none either. Must never
//! take a parameter that it does not understand: `sf` (which needs the field's type), `tr` (trailers) and `req` (responses)
//! are refused. Sources: RFC 9421 §2.1 and §2.2, RFC 9651 §4, URL Standard §1.3 and §5.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, Method};
use sfv::{BareItem, Dictionary, FieldType as _, Item, ListEntry, Parser};

/// A request as far as signatures can cover it.
pub(super) struct Message<'m> {
    pub(super) method: &'m Method,
    /// The absolute URL as the sender wrote it.
    pub(super) url: Option<&'m str>,
    pub(super) headers: &'m HeaderMap,
}

/// A part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Component {
    Method,
    TargetUri,
    Authority,
    Scheme,
    RequestTarget,
    Path,
    Query,
    /// One parameter of the query, its name percent-encoded.
    QueryParam(String),
    /// All lines of a field.
    Field(HeaderName),
    /// All lines of a field, each in base64 (`;bs`).
    Bytes(HeaderName),
    /// A member of a field that is a dictionary (`;key="…"`).
    Member(HeaderName, String),
}

/// A component as people write it: `@method`, `content-digest`, `@query-param;name="id"`.
pub(super) fn parse_component(text: &str) -> Option<Component> {
    let (name, parameters) = text.find(';').and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""));
    Component::read(&Parser::new(&format!("\"{name}\"{parameters}")).parse().ok()?)
}

impl Component {
    /// `None`: unknown, or with a parameter that we cannot take.
    pub(super) fn read(item: &Item) -> Option<Self> {
        let name = item.bare_item.as_string()?.as_str();
        let mut parameters = item.params.iter();
        let parameter = parameters.next().map(|(key, value)| (key.as_str(), value));
        if parameters.next().is_some() {
            return None;
        }
        if name == "@query-param" {
            let Some(("name", BareItem::String(name))) = parameter else { return None };
            return name
                .as_str()
                .bytes()
                .all(|b| is_kept(b) || b == b'%')
                .then(|| Self::QueryParam(name.as_str().into()));
        }
        if name.starts_with('@') {
            return parameter.is_none().then(|| Self::derived(name))?;
        }
        let field = HeaderName::try_from(name).ok().filter(|field| field.as_str() == name)?;
        match parameter {
            None => Some(Self::Field(field)),
            Some(("bs", BareItem::Boolean(true))) => Some(Self::Bytes(field)),
            Some(("key", BareItem::String(key))) => {
                sfv::KeyRef::from_str(key.as_str()).ok().map(|key| Self::Member(field, key.as_str().into()))
            }
            Some(_) => None,
        }
    }

    fn derived(name: &str) -> Option<Self> {
        match name {
            "@method" => Some(Self::Method),
            "@target-uri" => Some(Self::TargetUri),
            "@authority" => Some(Self::Authority),
            "@scheme" => Some(Self::Scheme),
            "@request-target" => Some(Self::RequestTarget),
            "@path" => Some(Self::Path),
            "@query" => Some(Self::Query),
            // `@status` is a response's; whatever else there may be one day is unknown.
            _ => None,
        }
    }

    /// As RFC 9421 §2 writes it.
    pub(super) fn identifier(&self) -> String {
        match self {
            Self::Method => "\"@method\"".to_owned(),
            Self::TargetUri => "\"@target-uri\"".to_owned(),
            Self::Authority => "\"@authority\"".to_owned(),
            Self::Scheme => "\"@scheme\"".to_owned(),
            Self::RequestTarget => "\"@request-target\"".to_owned(),
            Self::Path => "\"@path\"".to_owned(),
            Self::Query => "\"@query\"".to_owned(),
            Self::QueryParam(name) => format!("\"@query-param\";name=\"{name}\""),
            Self::Field(name) => format!("\"{name}\""),
            Self::Bytes(name) => format!("\"{name}\";bs"),
            Self::Member(name, key) => format!("\"{name}\";key=\"{key}\""),
        }
    }

    /// The field that it is about.
    pub(super) fn field(&self) -> Option<&HeaderName> {
        match self {
            Self::Field(name) | Self::Bytes(name) | Self::Member(name, _) => Some(name),
            Self::Method
            | Self::TargetUri
            | Self::Authority
            | Self::Scheme
            | Self::RequestTarget
            | Self::Path
            | Self::Query
            | Self::QueryParam(_) => None,
        }
    }

    /// Whether it is about the whole of this field.
    pub(super) fn is_all_of(&self, name: &HeaderName) -> bool {
        matches!(self, Self::Field(own) | Self::Bytes(own) if own == name)
    }

    /// Whether whoever changes `other` changes this too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::TargetUri,
                Self::Authority | Self::Scheme | Self::RequestTarget | Self::Path | Self::Query | Self::QueryParam(_),
            )
            | (Self::RequestTarget, Self::Path | Self::Query | Self::QueryParam(_))
            | (Self::Query, Self::QueryParam(_)) => true,
            (Self::Bytes(own), Self::Field(field)) => own == field,
            (own, other) => own == other,
        }
    }

    /// What is signed of it. `None`: it is not there, or not to be told.
    pub(super) fn value(&self, message: &Message<'_>) -> Option<Vec<u8>> {
        let target = || message.url.and_then(Target::of);
        let text = match self {
            Self::Method => message.method.as_str().to_owned(),
            Self::TargetUri => target().and(message.url)?.to_owned(),
            Self::Authority if message.url.is_none() => {
                let mut hosts = message.headers.get_all(http::header::HOST).iter();
                let host = hosts.next().filter(|_| hosts.next().is_none())?;
                host.to_str().ok()?.to_ascii_lowercase()
            }
            Self::Authority => target()?.authority(),
            Self::Scheme => target()?.scheme.to_ascii_lowercase(),
            Self::RequestTarget => target()?.request_target(),
            Self::Path => target()?.path.to_owned(),
            Self::Query => format!("?{}", target()?.query.unwrap_or_default()),
            Self::QueryParam(name) => query_param(target()?.query?, name)?,
            Self::Field(name) => return combined(message.headers, name),
            Self::Bytes(name) => {
                let lines = message.headers.get_all(name).iter();
                let lines: Vec<_> =
                    lines.map(|line| format!(":{}:", STANDARD.encode(line.as_bytes().trim_ascii()))).collect();
                Some(lines).filter(|lines| !lines.is_empty())?.join(", ")
            }
            Self::Member(name, key) => {
                match dictionary(&combined(message.headers, name)?)?.swap_remove(key.as_str())? {
                    ListEntry::Item(item) => item.serialize(),
                    list @ ListEntry::InnerList(_) => vec![list].serialize()?,
                }
            }
        };
        Some(text.into_bytes())
    }
}

/// All lines of a field as one (RFC 9421 §2.1). `None`: there is none.
pub(super) fn combined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(|line| line.as_bytes().trim_ascii()).collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}

/// A dictionary that is written as RFC 9651 §4.1 would, but for white space: so nothing in it is there twice.
pub(super) fn dictionary(text: &[u8]) -> Option<Dictionary> {
    let dictionary: Dictionary = Parser::new(text).parse().ok()?;
    let visible = |byte: &&u8| !matches!(byte, b' ' | b'\t');
    let canonical = dictionary.serialize()?;
    text.iter().filter(visible).eq(canonical.as_bytes().iter().filter(visible)).then_some(dictionary)
}

/// The parts of an absolute URL.
struct Target<'u> {
    scheme: &'u str,
    authority: &'u str,
    /// At least a slash.
    path: &'u str,
    query: Option<&'u str>,
}

impl<'u> Target<'u> {
    /// `None`: not an absolute URL, or with a user or a fragment, which no request has.
    fn of(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let path = if path.is_empty() { "/" } else { path };
        let is_plain = url.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b'#');
        (is_plain && !authority.is_empty() && !authority.contains('@')).then_some(Self {
            scheme,
            authority,
            path,
            query,
        })
    }

    /// In small letters, without the scheme's own port (RFC 9421 §2.2.3).
    fn authority(&self) -> String {
        let port = if self.scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
        self.authority.strip_suffix(port).unwrap_or(self.authority).to_ascii_lowercase()
    }

    fn request_target(&self) -> String {
        let query = self.query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.path)
    }
}

/// `None`: not there, or more than once, or not UTF-8.
fn query_param(query: &str, wanted: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| encoded(name) == wanted);
    let (_, value) = values.next().filter(|_| values.next().is_none())?;
    // What is no UTF-8 was replaced by this, so it could have been anything.
    (!value.contains('\u{fffd}')).then(|| encoded(&value))
}

/// Percent-encoded as the URL Standard does it for forms, with `%20` for a space (RFC 9421 §2.2.8).
fn encoded(text: &str) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default().to_ascii_uppercase();
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if is_kept(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 0x0f)]);
        }
        encoded
    })
}

fn is_kept(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_covered_by_its_own_bytes_alone() {
        let covers = |one: &str, other: &str| parse_component(one).unwrap().covers(&parse_component(other).unwrap());
        assert!(covers("x-a;bs", "x-a") && covers("x-a", "x-a"));
        assert!(!covers("x-a;bs", "x-b") && !covers("x-a", "x-a;bs") && !covers("x-a", "x-b"));
        assert!(covers("@target-uri", "@path") && covers("@request-target", "@query"));
        assert!(!covers("@path", "@target-uri") && !covers("@path", "@query"));
    }

    #[test]
    fn the_authority_is_the_urls_and_without_one_the_only_hosts() {
        let value = |url: Option<&str>, hosts: &[&'static str]| {
            let host = |value: &&'static str| (http::header::HOST, http::HeaderValue::from_static(value));
            let headers: HeaderMap = hosts.iter().map(host).fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            });
            Component::Authority.value(&Message { method: &Method::POST, url, headers: &headers })
        };
        assert_eq!(value(Some("https://a.example/hook"), &["b.example"]), Some(b"a.example".to_vec()));
        assert_eq!(value(None, &["B.example"]), Some(b"b.example".to_vec()));
        assert_eq!(value(None, &[]), None);
        assert_eq!(value(None, &["a.example", "b.example"]), None);
    }
}
