//! The collector of problems: everything is reported at once, in the order of the file.
//!
//! Must never stop at the first problem, nor report one twice: a value that was refused is absent for the later steps.

use super::problem::{Lines, Problem, Report, Severity};

/// A key or value in the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The key, in full: `routes.clerk.allow_ips[1]`.
    pub(crate) key: String,
    /// Byte offset in the text.
    pub(crate) offset: usize,
}

impl Spot {
    /// The spot of a key that is not there: positioned at its table.
    pub(crate) fn child(&self, name: &str) -> Self {
        let key = if self.key.is_empty() { name.to_owned() } else { format!("{}.{}", self.key, quoted(name)) };
        Self { key, offset: self.offset }
    }

    /// The same spot with an index.
    pub(crate) fn index(&self, index: usize, offset: usize) -> Self {
        Self { key: format!("{}[{index}]", self.key), offset }
    }

    pub(crate) fn at(self, offset: usize) -> Self {
        Self { offset, ..self }
    }
}

/// Keys that are not bare in TOML are shown in quotes, escaped.
fn quoted(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { format!("{name:?}") }
}

/// All findings so far.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    file: &'a str,
    lines: Lines<'a>,
    found: Vec<(usize, Problem)>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, lines: Lines::new(text), found: Vec::new() }
    }

    /// The configuration's file, as it was named.
    pub(crate) fn file(&self) -> &'a str {
        self.file
    }

    /// Refuses the configuration.
    pub(crate) fn error(&mut self, spot: &Spot, what: impl Into<Box<str>>, hint: impl Into<Box<str>>) {
        self.add(Severity::Error, spot, what.into(), Some(hint.into()));
    }

    /// Refuses the configuration; for the rare problem where nothing useful can be suggested.
    pub(crate) fn error_without_hint(&mut self, spot: &Spot, what: impl Into<Box<str>>) {
        self.add(Severity::Error, spot, what.into(), None);
    }

    /// Accepts it, and says what is probably not meant.
    pub(crate) fn warn(&mut self, spot: &Spot, what: impl Into<Box<str>>, hint: impl Into<Box<str>>) {
        self.add(Severity::Warning, spot, what.into(), Some(hint.into()));
    }

    /// Accepts it, and says something worth knowing.
    pub(crate) fn note(&mut self, spot: &Spot, what: impl Into<Box<str>>) {
        self.add(Severity::Note, spot, what.into(), None);
    }

    /// Whether the configuration is refused already.
    pub(crate) fn refused(&self) -> bool {
        self.found.iter().any(|(_, problem)| problem.severity == Severity::Error)
    }

    /// Whether something inside this table is refused already.
    pub(crate) fn refused_inside(&self, table: &Spot) -> bool {
        self.found.iter().any(|(_, problem)| {
            let rest = problem.key.strip_prefix(table.key.as_str());
            problem.severity == Severity::Error
                && rest.is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'.' | b'[', ..]))
        })
    }

    /// The findings in the order of the file: notices, or a report if one of them is an error.
    pub(crate) fn finish(mut self) -> Result<Vec<Problem>, Report> {
        self.found.sort_by(|(a, left), (b, right)| a.cmp(b).then_with(|| left.severity.cmp(&right.severity)));
        let refused = self.refused();
        let problems = self.found.into_iter().map(|(_, problem)| problem).collect();
        if refused { Err(Report { problems }) } else { Ok(problems) }
    }

    fn add(&mut self, severity: Severity, spot: &Spot, what: Box<str>, hint: Option<Box<str>>) {
        let problem = Problem {
            severity,
            file: self.file.into(),
            position: Some(self.lines.position(spot.offset)),
            key: spot.key.as_str().into(),
            what,
            hint,
        };
        self.found.push((spot.offset, problem));
    }
}
