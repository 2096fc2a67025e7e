//! What is wrong with a configuration, where, and what to do about it.
//!
//! Problems are collected, never thrown one at a time, and are rendered the way compilers do, so that editors can jump to
//! them. Must never hold a secret, nor quote a line of the file: the line may hold one.

use std::fmt;

/// How much a [`Problem`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is accepted, and probably not what was meant.
    Warning,
    /// It is accepted; worth knowing.
    Note,
}

/// A place in the configuration's text, counted from 1. Columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One finding about the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// The file as it was named.
    pub file: Box<str>,
    /// Where; `None` when the file could not be read.
    pub position: Option<Position>,
    /// The key, in full: `routes.clerk.allow_ips[1]`. Empty when the text is not TOML.
    pub key: Box<str>,
    /// What is wrong.
    pub what: Box<str>,
    /// What to do about it.
    pub hint: Option<Box<str>>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        match self.severity {
            Severity::Error => {}
            Severity::Warning => f.write_str("warning: ")?,
            Severity::Note => f.write_str("note: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Why a configuration was refused: all of its problems, in the order of the file, warnings and notes among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// At least one of them is an error.
    pub problems: Vec<Problem>,
}

impl Report {
    /// How many of the findings are errors.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        match self.errors() {
            1 => f.write_str("1 problem"),
            count => write!(f, "{count} problems"),
        }
    }
}

impl std::error::Error for Report {}

/// Offsets of line starts: byte offset → [`Position`].
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut starts = vec![0];
        starts.extend(text.match_indices('\n').map(|(newline, _)| newline.saturating_add(1)));
        Self { text, starts }
    }

    pub(crate) fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or_default();
        Position { line, column: before.chars().count().saturating_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_one_and_in_characters() {
        let lines = Lines::new("a = 1\nbé = \"x\"\n");
        assert_eq!(lines.position(0), Position { line: 1, column: 1 });
        assert_eq!(lines.position(5), Position { line: 1, column: 6 });
        assert_eq!(lines.position(6), Position { line: 2, column: 1 });
        assert_eq!(lines.position(12), Position { line: 2, column: 6 }, "é is two bytes and one column");
        assert_eq!(lines.position(99), Position { line: 3, column: 1 });
    }

    #[test]
    fn renders_like_a_compiler() {
        let problem = Problem {
            severity: Severity::Error,
            file: "hookward.toml".into(),
            position: Some(Position { line: 12, column: 8 }),
            key: "routes.clerk.allow_ips[1]".into(),
            what: "10.0.3.7/8 has host bits set".into(),
            hint: Some("write 10.0.0.0/8".into()),
        };
        assert_eq!(
            problem.to_string(),
            "hookward.toml:12:8: routes.clerk.allow_ips[1]: 10.0.3.7/8 has host bits set\n  hint: write 10.0.0.0/8"
        );
    }
}
