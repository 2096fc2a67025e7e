//! From a scheme as written to a [`Scheme`]: every flaw at once, each with the field that has it.
//!
//! After this nothing about a scheme is checked again. Must never accept a scheme under which two readings of a request
//! share one signature, or whose time is not signed; what is risky on purpose is spelled `insecure_`.

use http::{HeaderName, HeaderValue};

use super::content::{Piece, Template};
use super::family::{Family, Source, TimeSource, is_unusable};
use super::flaw::{SchemeFlaw, SchemeProblem};
use super::grammar::{Format, Grammar, Slot, is_name};
use super::json::Path;
use super::key::KeyForms;
use super::scheme::{
    Algorithm, Engine as EngineName, FieldSpec, KeyEncoding, OneOrMany, SchemeSpec, SignatureEncoding, SignatureFormat,
    SignatureSpec, TimestampSpec,
};
use super::template::{TemplateScheme, Time};
use super::{Engine, Options, Scheme, coded};

impl Scheme {
    /// Compiles a scheme for a route with these options.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(name: &str, spec: &SchemeSpec, options: &Options) -> Result<Self, Vec<SchemeProblem>> {
        let mut compiler = Compiler { spec, problems: Vec::new() };
        compiler.options(options);
        compiler.scheme(name, options)
    }

    /// What is wrong with a scheme, whatever a route's options are.
    pub fn problems(name: &str, spec: &SchemeSpec) -> Vec<SchemeProblem> {
        let mut compiler = Compiler { spec, problems: Vec::new() };
        // Any text will do: the scheme that comes out is dropped.
        let options = spec.options.keys().map(|option| (option.clone(), "x".to_owned())).collect();
        match spec.engine {
            EngineName::Template => compiler.scheme(name, &options).err().unwrap_or_default(),
            // Which values its options take is for the route to hear.
            _coded => {
                compiler.keys();
                let of_engine = coded::compile(spec.engine, spec, &Options::new()).and_then(Result::err);
                let own = of_engine.into_iter().flatten().filter(|problem| problem.field != "options");
                compiler.problems.into_iter().chain(own).collect()
            }
        }
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

    /// Names that the scheme knows, and all that it needs.
    fn options(&mut self, given: &Options) {
        let spec = self.spec;
        for name in given.keys().filter(|name| !spec.options.contains_key(*name)) {
            self.problem("options", SchemeFlaw::UnknownOption(name.as_str().into()));
        }
        for (name, option) in &spec.options {
            match given.get(name) {
                Some(value) if value.trim().is_empty() => {
                    self.problem(
                        "options",
                        SchemeFlaw::OptionMissing(name.as_str().into(), option.doc.as_str().into()),
                    );
                }
                None if option.required => {
                    self.problem(
                        "options",
                        SchemeFlaw::OptionMissing(name.as_str().into(), option.doc.as_str().into()),
                    );
                }
                Some(_) | None => {}
            }
        }
    }

    fn scheme(mut self, name: &str, options: &Options) -> Result<Scheme, Vec<SchemeProblem>> {
        self.keys();
        let (engine, headers) = match coded::compile(self.spec.engine, self.spec, options) {
            None => {
                let template = self.template(options);
                let (Some(template), true) = (template, self.problems.is_empty()) else { return Err(self.problems) };
                let headers = template.families.iter().flat_map(Family::headers).cloned();
                let values = template.required_values.iter().map(|(header, _)| header.clone());
                let headers: Vec<HeaderName> = headers.chain(values).collect();
                (Engine::Template(Box::new(template)), headers)
            }
            Some(Ok(coded)) if self.problems.is_empty() => {
                let headers = coded.headers();
                (Engine::Coded(coded), headers)
            }
            Some(Ok(_)) => return Err(self.problems),
            Some(Err(problems)) => {
                self.problems.extend(problems);
                return Err(self.problems);
            }
        };
        let mut once: Vec<HeaderName> = Vec::new();
        for header in headers {
            if !once.contains(&header) {
                once.push(header);
            }
        }
        Ok(Scheme {
            name: name.into(),
            engine,
            headers: once,
            tolerance: self
                .spec
                .timestamp
                .as_ref()
                .map(|time| if time.insecure_any_age { u64::MAX } else { time.tolerance }),
            keys: KeyForms::new(self.spec, options),
        })
    }

    fn template(&mut self, options: &Options) -> Option<TemplateScheme> {
        let spec = self.spec;
        let content = self.content();
        let families = self.families();
        let grammar = self.grammar();
        let time = spec.timestamp.as_ref().and_then(|time| self.time(time));
        let id = self.source("id", spec.id.as_ref());
        let event_type = self.source("event_type", spec.event_type.as_ref());
        let required_values = self.required_values(options);
        Some(TemplateScheme {
            families,
            grammar: grammar?,
            time,
            content: content?,
            id,
            event_type,
            required_values,
            refuse_empty_body: spec.refuse_empty_body,
            unkeyed: spec.algorithm == Algorithm::Sha256,
        })
    }

    fn content(&mut self) -> Option<Template> {
        let spec = self.spec;
        let template = match Template::parse(&spec.content, spec.timestamp.as_ref().map(|time| time.unit)) {
            Ok(template) => template,
            Err(flaw) => {
                self.problem("content", flaw);
                return None;
            }
        };
        let has_header = |field: &Option<FieldSpec>| field.as_ref().is_some_and(|field| field.header.is_some());
        let varies = [Piece::Body, Piece::Id, Piece::Timestamp].iter().any(|piece| template.has(piece));
        let is_token = spec.algorithm == Algorithm::Token;
        if !template.has(&Piece::Body) && !spec.insecure_unsigned_body {
            self.problem("content", SchemeFlaw::BodyNotSigned);
        } else if is_token && !template.pieces().is_empty() {
            self.problem("content", SchemeFlaw::TokenSignsNothing);
        } else if !is_token && !varies {
            self.problem("content", SchemeFlaw::NothingSigned);
        }
        if (spec.algorithm == Algorithm::Sha256) != template.has(&Piece::Secret) {
            self.problem("content", SchemeFlaw::SecretInContent);
        }
        if template.has(&Piece::Id) && !has_header(&spec.id) {
            self.problem("content", SchemeFlaw::SourceMissing("id"));
        }
        let in_body = spec.timestamp.as_ref().is_some_and(|time| time.json.is_some()) && template.has(&Piece::Body);
        match (template.has(&Piece::Timestamp), spec.timestamp.is_some()) {
            (true, true) if in_body => self.problem("content", SchemeFlaw::TimeInBody),
            (true, false) => self.problem("content", SchemeFlaw::SourceMissing("timestamp")),
            (false, true) if !in_body => self.problem("content", SchemeFlaw::TimeNotSigned),
            (true, true) | (false, true | false) => {}
        }
        Some(template)
    }

    fn required_values(&mut self, options: &Options) -> Vec<(HeaderName, HeaderValue)> {
        let mut values = Vec::new();
        for required in &self.spec.required_values {
            let value = match (&required.value, &required.option) {
                (Some(value), None) => Some(value),
                (None, Some(option)) if !self.spec.options.contains_key(option) => {
                    self.problem("required_values", SchemeFlaw::UnknownOption(option.as_str().into()));
                    continue;
                }
                (None, Some(option)) => options.get(option),
                (Some(_), Some(_)) | (None, None) => {
                    self.problem("required_values", SchemeFlaw::ExactlyOne("value", "option"));
                    continue;
                }
            };
            // An option that is not required and not given asks for nothing.
            let Some(value) = value else { continue };
            let Some(name) = self.header("required_values", &required.header) else { continue };
            match HeaderValue::try_from(value.as_str()) {
                Ok(value) => values.push((name, value)),
                Err(_) => self.problem("required_values", SchemeFlaw::NotPlain),
            }
        }
        values
    }

    fn families(&mut self) -> Vec<Family> {
        let spec = self.spec;
        let Some(signature_spec) = &spec.signature else {
            self.problem("signature", SchemeFlaw::Missing);
            return Vec::new();
        };
        let count = signature_spec.header.all().len();
        if count == 0 {
            self.problem("signature.header", SchemeFlaw::Empty);
        }
        let signature = self.headers("signature.header", Some(&signature_spec.header), count);
        let also: Vec<HeaderName> =
            signature_spec.also.iter().filter_map(|name| self.header("signature.also", name)).collect();
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
                also: also.clone(),
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
        if matches!(names, OneOrMany::One(_)) {
            let header = names.of_family(0).and_then(|name| self.header(field, name));
            return vec![header; count];
        }
        (0..count).map(|family| names.of_family(family).and_then(|name| self.header(field, name))).collect()
    }

    fn header(&mut self, field: &'static str, name: &str) -> Option<HeaderName> {
        match HeaderName::try_from(name) {
            Ok(header) if is_unusable(&header) => {
                self.problem(field, SchemeFlaw::UnusableHeader(name.into()));
                None
            }
            Ok(header) => Some(header),
            Err(_) => {
                self.problem(field, SchemeFlaw::NotAHeader(name.into()));
                None
            }
        }
    }

    fn grammar(&mut self) -> Option<Grammar> {
        let spec = self.spec;
        let SignatureSpec { encoding, ref prefix, format, separator, ref version, trim, .. } =
            *spec.signature.as_ref()?;
        if (spec.algorithm == Algorithm::Token) != (encoding == SignatureEncoding::Text)
            && !(spec.algorithm == Algorithm::Token && encoding == SignatureEncoding::Base64)
        {
            self.problem("signature.encoding", SchemeFlaw::NotThisAlgorithm);
        }
        if trim && format != SignatureFormat::Pairs {
            self.problem("signature.trim", SchemeFlaw::NoMeaning);
        }
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
        // A space, as in `Bearer `, is no part of what is decoded.
        if !prefix.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
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
        Some(Grammar { format, prefix: prefix.as_bytes().into(), encoding, trim, slots })
    }

    /// Versions and the time's key are plain, and all different.
    fn names(&mut self) {
        let versions = self.spec.signature.iter().filter_map(|signature| signature.version.as_ref());
        let versions = versions.map(|version| ("signature.version", version));
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
        let has_pairs = |signature: &SignatureSpec| signature.format == SignatureFormat::Pairs;
        let source = match (&time.header, &time.pair, &time.json) {
            (Some(_), None, None) => TimeSource::Header,
            (None, Some(_), None) if self.spec.signature.as_ref().is_some_and(has_pairs) => TimeSource::Pair,
            (None, Some(_), None) => {
                self.problem("timestamp.pair", SchemeFlaw::NoMeaning);
                return None;
            }
            (None, None, Some(path)) => TimeSource::Json(self.path("timestamp.json", path)?),
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) | (None, None, None) => {
                self.problem("timestamp", SchemeFlaw::ExactlyOneOfThree("header", "pair", "json"));
                return None;
            }
        };
        Some(Time { source, unit: time.unit, any_age: time.insecure_any_age })
    }

    fn source(&mut self, name: &'static str, field: Option<&FieldSpec>) -> Option<Source> {
        let field = field?;
        match (&field.header, &field.json) {
            (Some(_), None) => Some(Source::Header),
            (None, Some(path)) => self.path(name, path).map(Source::Json),
            (Some(_), Some(_)) | (None, None) => {
                self.problem(name, SchemeFlaw::ExactlyOne("header", "json"));
                None
            }
        }
    }

    fn path(&mut self, field: &'static str, path: &str) -> Option<Path> {
        let parsed = Path::parse(path);
        if parsed.is_none() {
            self.problem(field, SchemeFlaw::NotAPath);
        }
        parsed
    }

    fn keys(&mut self) {
        let key = &self.spec.key;
        let has_spki = matches!(self.spec.algorithm, Algorithm::EcdsaP256 | Algorithm::RsaSha256);
        if has_spki != (key.encoding == KeyEncoding::Spki) && self.spec.engine == EngineName::Template {
            self.problem("key.encoding", SchemeFlaw::NotThisAlgorithm);
        }
        if key.prefixes.iter().chain(&key.foreign_prefixes).any(String::is_empty) {
            self.problem("key.prefixes", SchemeFlaw::EmptyPrefix);
        }
        if key.prefixes.is_empty() && key.prefix_required {
            self.problem("key.prefix_required", SchemeFlaw::NoPrefixes);
        }
        if key.prefixes.is_empty() && key.keep_prefix {
            self.problem("key.keep_prefix", SchemeFlaw::NoPrefixes);
        }
        let signs = |algorithm: Algorithm| !matches!(algorithm, Algorithm::Token | Algorithm::Sha256);
        let alternatives = &self.spec.alternative_keys;
        if alternatives.iter().any(|key| !(signs(key.algorithm) && signs(self.spec.algorithm))) {
            self.problem("alternative_keys.algorithm", SchemeFlaw::NotThisAlgorithm);
        }
        if matches!(self.spec.engine, EngineName::Mailgun | EngineName::Rfc9421) && self.spec.timestamp.is_none() {
            self.problem("timestamp", SchemeFlaw::TimeMissing);
        }
        let privates = alternatives.iter().filter_map(|key| key.private_prefix.as_ref());
        if alternatives.iter().map(|key| &key.prefix).chain(privates).any(String::is_empty) {
            self.problem("alternative_keys.prefix", SchemeFlaw::EmptyPrefix);
        }
    }
}
