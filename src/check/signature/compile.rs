//! From a scheme as written to a [`Scheme`]: every flaw at once, each with the field that has it.
//!
//! After this nothing about a scheme is checked again. Must never accept a scheme under which two readings of a request
//! share one signature, or whose time is not signed; what is risky on purpose is spelled `insecure_`.

use http::HeaderName;

use super::content::Template;
use super::family::{Family, Source, TimeSource};
use super::grammar::{Format, Grammar, Slot, is_name};
use super::key::KeyForms;
use super::scheme::{FieldSpec, OneOrMany, SchemeSpec, SignatureFormat, SignatureSpec, TimestampSpec};
use super::{Scheme, Time};

/// What is wrong with a scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemeProblem {
    /// The key's path inside the scheme: `signature.prefix`.
    pub field: &'static str,
    /// What is wrong with it.
    pub flaw: SchemeFlaw,
}

/// A way in which a scheme can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemeFlaw {
    /// Not a header name.
    #[error("`{0}` is not a header name")]
    NotAHeader(Box<str>),
    /// A header that HTTP, or hookward itself, uses for something else.
    #[error("`{0}` does not reach the check unchanged, so a scheme cannot use it")]
    UnusableHeader(Box<str>),
    /// One header for two things.
    #[error("`{0}` is used twice")]
    HeaderTwice(Box<str>),
    /// Another number of headers than `signature.header` has.
    #[error("needs one name, or exactly one for each name in signature.header")]
    FamilyCount,
    /// An empty list.
    #[error("is empty")]
    Empty,
    /// Not a text that can be compared.
    #[error("is not plain ASCII without spaces and separators")]
    NotPlain,
    /// A separator that occurs in what it separates.
    #[error("cannot separate entries")]
    BadSeparator,
    /// The version is missing.
    #[error("is needed with this signature.format")]
    VersionMissing,
    /// A key that only other formats have.
    #[error("has no meaning with this signature.format")]
    NoMeaning,
    /// Two kinds of entry with the same name.
    #[error("`{0}` would mean two things")]
    VersionTwice(Box<str>),
    /// Both or neither of two keys.
    #[error("needs exactly one of `{0}` and `{1}`")]
    ExactlyOne(&'static str, &'static str),
    /// A prefix that would make every secret match.
    #[error("an empty prefix fits every secret")]
    EmptyPrefix,
    /// A rule about prefixes without prefixes.
    #[error("needs key.prefixes")]
    NoPrefixes,
    /// A placeholder that we do not know.
    #[error("`{{{0}}}` is not a placeholder")]
    UnknownPlaceholder(Box<str>),
    /// A lone brace.
    #[error("has a brace without its partner")]
    UnbalancedBrace,
    /// A placeholder twice.
    #[error("has a placeholder twice")]
    PlaceholderTwice,
    /// Two variable parts side by side.
    #[error("has two placeholders without a delimiter between them")]
    NoDelimiter,
    /// A delimiter that the parts may contain.
    #[error("has a delimiter that begins or ends with a letter or digit")]
    WeakDelimiter,
    /// The body is not signed.
    #[error("lacks {{body}}: anyone could exchange it under a genuine signature")]
    BodyNotSigned,
    /// Nothing that varies is signed.
    #[error("signs nothing of the request")]
    NothingSigned,
    /// A placeholder without its source.
    #[error("has {{{0}}}, but nothing says where it is")]
    SourceMissing(&'static str),
    /// A time that anyone can change.
    #[error("lacks {{timestamp}}, so anyone could freshen an old delivery")]
    TimeNotSigned,
}

impl SchemeFlaw {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotAHeader(_) => "use letters, digits and `-`",
            Self::UnusableHeader(_) => "name the header that the provider documents",
            Self::HeaderTwice(_) => "each of signature, timestamp and id needs its own header",
            Self::FamilyCount => "list one name per family, in the same order as signature.header",
            Self::Empty => "name at least one",
            Self::NotPlain => "use letters, digits, `-` and `_`; a prefix may have any visible character",
            Self::BadSeparator => "use one visible ASCII character or a space that cannot be in a version or signature",
            Self::VersionMissing => "say which entries count, such as version = \"v1\"",
            Self::NoMeaning => "remove it, or set signature.format to \"pairs\" or \"versioned\"",
            Self::VersionTwice(_) => "give each kind of entry its own name",
            Self::ExactlyOne(..) => "keep one of them",
            Self::EmptyPrefix => "remove it",
            Self::NoPrefixes => "list the prefixes that the provider's secrets have",
            Self::UnknownPlaceholder(_) => "known are {id}, {timestamp} and {body}",
            Self::UnbalancedBrace => "placeholders are {id}, {timestamp} and {body}; a literal brace is not supported",
            Self::PlaceholderTwice => "use each placeholder once",
            Self::NoDelimiter | Self::WeakDelimiter => "put the provider's delimiter between them, such as `.` or `:`",
            Self::BodyNotSigned => {
                "add {body}, or set insecure_unsigned_body = true if the provider really does not sign it"
            }
            Self::NothingSigned => "use at least one of {id}, {timestamp} and {body}",
            Self::SourceMissing(_) => "add the table of the same name with a header, or remove the placeholder",
            Self::TimeNotSigned => "add {timestamp} to content, or remove the timestamp table",
        }
    }
}

impl Scheme {
    /// Compiles a scheme.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(name: &str, spec: &SchemeSpec) -> Result<Self, Vec<SchemeProblem>> {
        let mut compiler = Compiler { spec, problems: Vec::new() };
        let content = compiler.content();
        let families = compiler.families();
        let grammar = compiler.grammar();
        let time = spec.timestamp.as_ref().and_then(|time| compiler.time(time));
        let id = compiler.source("id", spec.id.as_ref());
        let event_type = compiler.source("event_type", spec.event_type.as_ref());
        compiler.keys();
        let (Some(content), Some(grammar), true) = (content, grammar, compiler.problems.is_empty()) else {
            return Err(compiler.problems);
        };
        let mut headers: Vec<HeaderName> = Vec::new();
        for header in families.iter().flat_map(Family::headers) {
            if !headers.contains(header) {
                headers.push(header.clone());
            }
        }
        Ok(Self {
            name: name.into(),
            families,
            headers,
            grammar,
            time,
            content,
            keys: KeyForms::new(spec),
            id,
            event_type,
            refuse_empty_body: spec.refuse_empty_body,
        })
    }
}

struct Compiler<'s> {
    spec: &'s SchemeSpec,
    problems: Vec<SchemeProblem>,
}

impl Compiler<'_> {
    fn problem(&mut self, field: &'static str, flaw: SchemeFlaw) {
        self.problems.push(SchemeProblem { field, flaw });
    }

    fn content(&mut self) -> Option<Template> {
        let template = match Template::parse(&self.spec.content) {
            Ok(template) => template,
            Err(flaw) => {
                self.problem("content", flaw);
                return None;
            }
        };
        let has_header = |field: &Option<FieldSpec>| field.as_ref().is_some_and(|field| field.header.is_some());
        if !template.has_body() && !self.spec.insecure_unsigned_body {
            self.problem("content", SchemeFlaw::BodyNotSigned);
        } else if !(template.has_body() || template.has_id() || template.has_timestamp()) {
            self.problem("content", SchemeFlaw::NothingSigned);
        }
        if template.has_id() && !has_header(&self.spec.id) {
            self.problem("content", SchemeFlaw::SourceMissing("id"));
        }
        match (template.has_timestamp(), self.spec.timestamp.is_some()) {
            (true, false) => self.problem("content", SchemeFlaw::SourceMissing("timestamp")),
            (false, true) => self.problem("content", SchemeFlaw::TimeNotSigned),
            (true, true) | (false, false) => {}
        }
        Some(template)
    }

    fn families(&mut self) -> Vec<Family> {
        let spec = self.spec;
        let count = spec.signature.header.all().len();
        if count == 0 {
            self.problem("signature.header", SchemeFlaw::Empty);
        }
        let signature = self.headers("signature.header", Some(&spec.signature.header), count);
        let time_header = spec.timestamp.as_ref().and_then(|time| time.header.as_ref());
        let timestamp = self.headers("timestamp.header", time_header, count);
        let id = self.headers("id.header", spec.id.as_ref().and_then(|id| id.header.as_ref()), count);
        let kind = spec.event_type.as_ref().and_then(|kind| kind.header.as_ref());
        let event_type = self.headers("event_type.header", kind, count);
        let required: Vec<_> =
            spec.required_headers.iter().map(|names| self.headers("required_headers", Some(names), count)).collect();

        // What one family shares with another does not say which of them is meant.
        let id_is_mark = spec.content.contains("{id}");
        let marks_of = |family: usize| -> Vec<HeaderName> {
            let of = |names: &[Option<HeaderName>]| names.get(family).cloned().flatten();
            [of(&signature), of(&timestamp), of(&id).filter(|_| id_is_mark)].into_iter().flatten().collect()
        };
        let all_marks: Vec<Vec<HeaderName>> = (0..count).map(marks_of).collect();

        let mut families = Vec::new();
        for (index, marks) in all_marks.iter().enumerate() {
            let at = |names: &[Option<HeaderName>]| names.get(index).cloned().flatten();
            let Some(signature) = at(&signature) else { continue };
            let mut seen: Vec<&HeaderName> = Vec::new();
            for name in marks {
                if seen.contains(&name) {
                    self.problem("signature.header", SchemeFlaw::HeaderTwice(name.as_str().into()));
                }
                seen.push(name);
            }
            let is_shared = |name: &HeaderName| {
                all_marks.iter().enumerate().any(|(other, marks)| other != index && marks.contains(name))
            };
            if is_shared(&signature) {
                self.problem("signature.header", SchemeFlaw::HeaderTwice(signature.as_str().into()));
            }
            families.push(Family {
                marks: marks.iter().filter(|name| !is_shared(name)).cloned().collect(),
                signature,
                timestamp: at(&timestamp),
                id: at(&id),
                event_type: at(&event_type),
                required: required.iter().filter_map(|names| at(names)).collect(),
            });
        }
        families
    }

    /// The header of each family, `None` where there is none.
    fn headers(&mut self, field: &'static str, names: Option<&OneOrMany>, count: usize) -> Vec<Option<HeaderName>> {
        let Some(names) = names else { return vec![None; count] };
        if matches!(names, OneOrMany::Many(names) if names.len() != count) {
            self.problem(field, SchemeFlaw::FamilyCount);
            return vec![None; count];
        }
        for name in names.all() {
            match HeaderName::try_from(name.as_str()) {
                Ok(header) if is_unusable(&header) => {
                    self.problem(field, SchemeFlaw::UnusableHeader(name.as_str().into()));
                }
                Ok(_) => {}
                Err(_) => self.problem(field, SchemeFlaw::NotAHeader(name.as_str().into())),
            }
        }
        (0..count).map(|family| names.of_family(family).and_then(|name| HeaderName::try_from(name).ok())).collect()
    }

    fn grammar(&mut self) -> Option<Grammar> {
        let spec = self.spec;
        let SignatureSpec { encoding, ref prefix, format, separator, ref version, .. } = spec.signature;
        let (format, default) = match format {
            SignatureFormat::Plain => {
                for (is_set, field) in [
                    (version.is_some(), "signature.version"),
                    (separator.is_some(), "signature.separator"),
                    (!spec.alternative_keys.is_empty(), "alternative_keys"),
                ] {
                    if is_set {
                        self.problem(field, SchemeFlaw::NoMeaning);
                    }
                }
                (Format::Plain, None)
            }
            SignatureFormat::Pairs => {
                let time =
                    spec.timestamp.as_ref().and_then(|time| time.pair.as_deref()).map(|pair| pair.as_bytes().into());
                let separator = self.separator(separator.unwrap_or(','), prefix, '=')?;
                (Format::Pairs { separator, time }, version.as_deref())
            }
            SignatureFormat::Versioned => {
                let separator = self.separator(separator.unwrap_or(' '), prefix, ',')?;
                (Format::Versioned { separator }, version.as_deref())
            }
        };
        if !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.problem("signature.prefix", SchemeFlaw::NotPlain);
        }
        if default.is_none() && !matches!(format, Format::Plain) {
            self.problem("signature.version", SchemeFlaw::VersionMissing);
        }
        let mut slots =
            vec![Slot { version: default.unwrap_or_default().as_bytes().into(), algorithm: spec.algorithm }];
        for key in &spec.alternative_keys {
            slots.push(Slot { version: key.version.as_bytes().into(), algorithm: key.algorithm });
        }
        if !matches!(format, Format::Plain) {
            self.names();
        }
        Some(Grammar { format, prefix: prefix.as_bytes().into(), encoding, slots })
    }

    /// Versions and the time's key are plain, and all different.
    fn names(&mut self) {
        let versions = self.spec.signature.version.iter().map(|version| ("signature.version", version));
        let others = self.spec.alternative_keys.iter().map(|key| ("alternative_keys.version", &key.version));
        let pair =
            self.spec.timestamp.iter().filter_map(|time| time.pair.as_ref()).map(|pair| ("timestamp.pair", pair));
        let names: Vec<_> = versions.chain(others).chain(pair).collect();
        for (index, (field, name)) in names.iter().enumerate() {
            if !is_name(name.as_bytes()) {
                self.problem(field, SchemeFlaw::NotPlain);
            }
            if names.iter().take(index).any(|(_, earlier)| earlier == name) {
                self.problem(field, SchemeFlaw::VersionTwice(name.as_str().into()));
            }
        }
    }

    fn separator(&mut self, separator: char, prefix: &str, taken: char) -> Option<u8> {
        let is_usable = matches!(separator, ' '..='~')
            && !separator.is_ascii_alphanumeric()
            && !['+', '/', '=', '-', '_', taken].contains(&separator)
            && !prefix.contains(separator);
        if !is_usable {
            self.problem("signature.separator", SchemeFlaw::BadSeparator);
            return None;
        }
        u8::try_from(separator).ok()
    }

    fn time(&mut self, time: &TimestampSpec) -> Option<Time> {
        let source = match (&time.header, &time.pair) {
            (Some(_), None) => TimeSource::Header,
            (None, Some(_)) if self.spec.signature.format == SignatureFormat::Pairs => TimeSource::Pair,
            (None, Some(_)) => {
                self.problem("timestamp.pair", SchemeFlaw::NoMeaning);
                return None;
            }
            (Some(_), Some(_)) | (None, None) => {
                self.problem("timestamp", SchemeFlaw::ExactlyOne("header", "pair"));
                return None;
            }
        };
        Some(Time { source, unit: time.unit, tolerance: time.tolerance })
    }

    fn source(&mut self, name: &'static str, field: Option<&FieldSpec>) -> Option<Source> {
        let field = field?;
        match (&field.header, &field.json) {
            (Some(_), None) => Some(Source::Header),
            (None, Some(member)) => Some(Source::Json(member.as_str().into())),
            (Some(_), Some(_)) | (None, None) => {
                self.problem(name, SchemeFlaw::ExactlyOne("header", "json"));
                None
            }
        }
    }

    fn keys(&mut self) {
        let key = &self.spec.key;
        if key.prefixes.iter().chain(&key.foreign_prefixes).any(String::is_empty) {
            self.problem("key.prefixes", SchemeFlaw::EmptyPrefix);
        }
        if key.prefixes.is_empty() && key.prefix_required {
            self.problem("key.prefix_required", SchemeFlaw::NoPrefixes);
        }
        if key.prefixes.is_empty() && key.keep_prefix {
            self.problem("key.keep_prefix", SchemeFlaw::NoPrefixes);
        }
        let alternatives = &self.spec.alternative_keys;
        let privates = alternatives.iter().filter_map(|key| key.private_prefix.as_ref());
        if alternatives.iter().map(|key| &key.prefix).chain(privates).any(String::is_empty) {
            self.problem("alternative_keys.prefix", SchemeFlaw::EmptyPrefix);
        }
    }
}

/// Headers that end here, frame the message, or are ours: a scheme cannot rest on them.
fn is_unusable(name: &HeaderName) -> bool {
    const TAKEN: &[&str] = &[
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let name = name.as_str();
    TAKEN.contains(&name) || name.replace('_', "-").starts_with("verified-event")
}
