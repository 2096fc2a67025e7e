//! Path patterns of Next.js: sources and destinations of rewrites, and dynamic pages.
//!
//! Only as exact as the question needs ("can this lead there, and from which path?"): a constraint that is not a plain list
//! of words fits everything, so that the answer errs on the side of a way that does not exist. Source: path-to-regexp 6,
//! which Next.js uses; Next's page file conventions.

use std::collections::BTreeSet;

/// Enough witnesses to find an undeclared one; a bound on the work.
const MOST: usize = 64;

/// A pattern, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(String),
    Param(Param),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Param {
    name: String,
    /// Whether the `/` before it comes and goes with it.
    slash: bool,
    /// May be absent.
    optional: bool,
    /// May hold `/`.
    several: bool,
    /// The only values that fit; empty: any.
    words: Vec<String>,
}

/// Values of parameters by name.
pub(super) type Bindings = Vec<(String, String)>;

impl Pattern {
    /// A rewrite's source: `/old/:path*`, `/h/:kind(clerk|stripe)`.
    pub(super) fn rewrite(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        let mut unnamed = 0_usize;
        while let Some(c) = rest.chars().next() {
            let after = rest.get(c.len_utf8()..).unwrap_or_default();
            let name_length = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            match c {
                ':' if name_length > 0 => {
                    let (name, after) = after.split_at_checked(name_length).unwrap_or((after, ""));
                    rest = param(name, after, &mut literal, &mut tokens);
                }
                // One without its end is what it looks like.
                '(' if parenthesis(rest).is_some() => {
                    rest = param(&unnamed.to_string(), rest, &mut literal, &mut tokens);
                    unnamed = unnamed.saturating_add(1);
                }
                '\\' => {
                    literal.extend(after.chars().next());
                    rest = after.get(after.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
                }
                // A group's braces; its content is read as if it were always there.
                '{' | '}' => rest = after,
                _ => {
                    literal.push(c);
                    rest = after;
                }
            }
        }
        push_literal(&mut tokens, &mut literal);
        Self(tokens)
    }

    /// A destination: what its parameters may hold is the source's to say.
    pub(super) fn destination(text: &str) -> Self {
        let mut pattern = Self::rewrite(text);
        for token in &mut pattern.0 {
            if let Token::Param(param) = token {
                param.several = true;
            }
        }
        pattern
    }

    /// A page: `/api/[provider]`, `/api/[...path]`, `/api/[[...rest]]`.
    pub(super) fn page(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut literal = String::new();
        for segment in text.split('/').skip(1) {
            let inner = segment.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
            match inner {
                None => {
                    literal.push('/');
                    literal.push_str(segment);
                }
                Some(inner) => {
                    push_literal(&mut tokens, &mut literal);
                    let optional = inner.starts_with('[');
                    let several = inner.contains("...");
                    let name = inner.trim_matches(['[', ']', '.']).to_owned();
                    tokens.push(Token::Param(Param { name, slash: true, optional, several, words: Vec::new() }));
                }
            }
        }
        push_literal(&mut tokens, &mut literal);
        Self(tokens)
    }

    /// Without a first parameter of this name, with which Next prefixes rewrites of localised apps.
    pub(super) fn without_leading(mut self, name: &str) -> Self {
        if matches!(self.0.first(), Some(Token::Param(param)) if param.name == name) {
            self.0.remove(0);
        }
        self
    }

    /// Without a literal beginning, such as the base path.
    pub(super) fn without_prefix(mut self, prefix: &str) -> Self {
        if let Some(Token::Literal(literal)) = self.0.first_mut()
            && let Some(rest) = literal.strip_prefix(prefix)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            *literal = rest.to_owned();
            if literal.is_empty() {
                self.0.remove(0);
            }
        }
        self
    }

    /// The fixed part before the first parameter, if there is one of each.
    pub(super) fn stem(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Token::Literal(stem), Token::Param(param), ..] if param.slash => Some(stem),
            _ => None,
        }
    }

    /// Every way to be `path`, or (`below`) to be `path` or anything below it.
    pub(super) fn ways_to(&self, path: &str, below: bool) -> Vec<Bindings> {
        let mut search = Search { below, bindings: Vec::new(), found: Vec::new(), dead: BTreeSet::new() };
        search.tokens(&self.0, path);
        search.found
    }

    /// Whether its first segment is this literal one, `/x`.
    pub(super) fn is_inside(&self, segment: &str) -> bool {
        let Some(Token::Literal(literal)) = self.0.first() else { return false };
        strip_ignoring_case(literal, segment).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether it has more paths under these bindings than [`Pattern::paths`] lists.
    pub(super) fn is_open(&self, bindings: &Bindings) -> bool {
        self.0.iter().any(|token| match token {
            Token::Literal(_) => false,
            Token::Param(param) => param.words.is_empty() && !bindings.iter().any(|(name, _)| *name == param.name),
        })
    }

    /// The concrete paths of this pattern under these bindings; what is not bound takes sample values, more than one, so that
    /// no list can have them by chance.
    pub(super) fn paths(&self, bindings: &Bindings) -> Vec<String> {
        let mut paths = vec![String::new()];
        for token in &self.0 {
            let choices: Vec<String> = match token {
                Token::Literal(literal) => vec![literal.clone()],
                Token::Param(param) => param.choices(bindings),
            };
            paths = paths
                .iter()
                .flat_map(|path| choices.iter().map(move |choice| format!("{path}{choice}")))
                .take(MOST)
                .collect();
        }
        paths.into_iter().map(|path| if path.is_empty() { "/".to_owned() } else { path }).collect()
    }
}

impl Param {
    fn fits(&self, value: &str) -> bool {
        let listed = || self.words.is_empty() || self.words.iter().any(|word| word.eq_ignore_ascii_case(value));
        if value.is_empty() { self.optional } else { (self.several || !value.contains('/')) && listed() }
    }

    fn choices(&self, bindings: &Bindings) -> Vec<String> {
        let bound = bindings.iter().find(|(name, _)| *name == self.name).map(|(_, value)| value.as_str());
        let values: Vec<&str> = match bound {
            Some(value) if self.fits(value) => vec![value],
            // The source cannot have this value, so it is no way.
            Some(_) => Vec::new(),
            None => {
                let words = if self.words.is_empty() {
                    vec!["x", "any-other"]
                } else {
                    self.words.iter().map(String::as_str).collect()
                };
                words.into_iter().chain(self.optional.then_some("")).collect()
            }
        };
        let slash = if self.slash { "/" } else { "" };
        let shown = |value: &str| if value.is_empty() { String::new() } else { format!("{slash}{value}") };
        values.into_iter().map(shown).collect()
    }
}

/// Reads what follows a parameter's name: `(pattern)` and a modifier. Returns the rest.
fn param<'t>(name: &str, after: &'t str, literal: &mut String, tokens: &mut Vec<Token>) -> &'t str {
    let (pattern, rest) = match parenthesis(after) {
        Some((pattern, rest)) => (Some(pattern), rest),
        None => (None, after),
    };
    let modifier = rest.chars().next().filter(|c| matches!(c, '*' | '+' | '?'));
    let rest = rest.get(modifier.map_or(0, char::len_utf8)..).unwrap_or_default();
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let words: Vec<String> = match pattern {
        Some(pattern) if pattern.split('|').all(is_word) => pattern.split('|').map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let slash = literal.ends_with('/');
    if slash {
        literal.pop();
    }
    push_literal(tokens, literal);
    let anything = pattern.is_some() && words.is_empty();
    tokens.push(Token::Param(Param {
        name: name.to_owned(),
        slash,
        optional: matches!(modifier, Some('*' | '?')) || anything,
        several: matches!(modifier, Some('*' | '+')) || anything,
        words,
    }));
    rest
}

/// `(…)` at the beginning, balanced, and what follows.
fn parenthesis(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return if at == 0 { None } else { Some((text.get(1..at)?, text.get(at.saturating_add(1)..)?)) };
        }
    }
    None
}

fn push_literal(tokens: &mut Vec<Token>, literal: &mut String) {
    if !literal.is_empty() {
        tokens.push(Token::Literal(std::mem::take(literal)));
    }
}

/// Backtracks over all ways in which a pattern's tokens can produce a path.
struct Search {
    /// Whether a way to anything below the path counts.
    below: bool,
    /// Of the way that is being tried.
    bindings: Bindings,
    found: Vec<Bindings>,
    /// How many tokens and bytes were left where no way went on: without it, many parameters take exponential time.
    dead: BTreeSet<(usize, usize)>,
}

impl Search {
    fn tokens(&mut self, tokens: &[Token], text: &str) {
        let (state, before) = ((tokens.len(), text.len()), self.found.len());
        if before >= MOST || self.dead.contains(&state) {
            return;
        }
        match tokens.split_first() {
            None if text.is_empty() => self.found.push(self.bindings.clone()),
            None => {}
            Some((Token::Literal(literal), rest)) => match strip_ignoring_case(text, literal) {
                Some(after) => self.tokens(rest, after),
                // The literal goes on below the protected prefix: whatever follows is inside.
                None if self.below && strip_ignoring_case(literal, text).is_some_and(|more| more.starts_with('/')) => {
                    self.found.push(self.bindings.clone());
                }
                None => {}
            },
            Some((Token::Param(param), rest)) => self.param(param, rest, text),
        }
        if self.found.len() == before {
            self.dead.insert(state);
        }
    }

    fn param(&mut self, param: &Param, rest: &[Token], text: &str) {
        if self.below && text.is_empty() && param.slash {
            self.found.push(self.bindings.clone());
            return;
        }
        let mut attempt = |value: &str, after: &str| {
            self.bindings.push((param.name.clone(), value.to_owned()));
            self.tokens(rest, after);
            self.bindings.pop();
        };
        if param.optional {
            attempt("", text);
        }
        let Some(body) = (if param.slash { text.strip_prefix('/') } else { Some(text) }) else { return };
        for (at, c) in body.char_indices() {
            let end = at.saturating_add(c.len_utf8());
            if let Some((value, after)) = body.split_at_checked(end)
                && param.fits(value)
            {
                attempt(value, after);
            }
        }
    }
}

fn strip_ignoring_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(source: &str, destination: &str, path: &str, below: bool) -> Vec<String> {
        let source = Pattern::rewrite(source);
        let ways = Pattern::destination(destination).ways_to(path, below);
        let mut paths: Vec<String> = ways.iter().flat_map(|bindings| source.paths(bindings)).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    #[test]
    fn finds_the_source_of_a_plain_rewrite() {
        assert_eq!(sources("/hooks/clerk", "/api/clerk", "/api/clerk", false), ["/hooks/clerk"]);
        assert_eq!(sources("/hooks/clerk", "/API/Clerk", "/api/clerk", false), ["/hooks/clerk"]);
        assert!(sources("/hooks/clerk", "/api/clerks", "/api/clerk", false).is_empty());
        assert!(sources("/hooks/clerk", "/api", "/api/clerk", false).is_empty());
    }

    #[test]
    fn binds_parameters() {
        assert_eq!(sources("/old/:path*", "/api/:path*", "/api/webhooks/clerk", false), ["/old/webhooks/clerk"]);
        assert_eq!(sources("/:path*", "/:path*", "/api/clerk", false), ["/api/clerk"]);
        assert_eq!(sources("/h/:kind(clerk|stripe)", "/api/:kind", "/api/clerk", false), ["/h/clerk"]);
        assert!(sources("/h/:kind(github|stripe)", "/api/:kind", "/api/clerk", false).is_empty());
        assert!(sources("/h/:kind", "/api/:kind", "/api/webhooks/clerk", false).is_empty(), "one segment only");
        assert!(sources("/a/:x", "/api/clerk/:x*", "/api/clerk", false).is_empty(), "a parameter is never empty");
        assert_eq!(sources("/x/:a/:b", "/:b/:a", "/api/clerk", false), ["/x/clerk/api"]);
        assert_eq!(sources("/v-:a.json", "/api/:a", "/api/clerk", false), ["/v-clerk.json"]);
        assert_eq!(sources("/((?!api).*)", "/api/:0", "/api/a/b", false), ["/a/b"]);
    }

    #[test]
    fn a_parenthesis_without_its_end_is_a_character() {
        assert_eq!(sources("/in/:x*", "/api/clerk(/:x*", "/api/clerk(/a", false), ["/in/a"]);
        assert_eq!(sources("/in(", "/api/clerk", "/api/clerk", false), ["/in("]);
        assert_eq!(sources("/in(a(b)", "/api/clerk", "/api/clerk", false), ["/in(ab"]);
    }

    #[test]
    fn many_parameters_do_not_take_exponential_time() {
        let many = "/:a*".repeat(40);
        assert!(sources("/in", &format!("{many}/end"), &"/a".repeat(100), false).is_empty());
        assert!(!sources("/in", &many, &"/a".repeat(100), false).is_empty());
    }

    #[test]
    fn samples_what_is_not_bound() {
        assert_eq!(sources("/t/:tenant/hook", "/api/clerk", "/api/clerk", false), ["/t/any-other/hook", "/t/x/hook"]);
        assert_eq!(sources("/t/:lang(en|fr)/hook", "/api/clerk", "/api/clerk", false), ["/t/en/hook", "/t/fr/hook"]);
        assert_eq!(sources("/t/:rest*", "/api/clerk", "/api/clerk", false), ["/t", "/t/any-other", "/t/x"]);
    }

    #[test]
    fn a_prefix_is_reached_at_and_below_it() {
        assert_eq!(sources("/in", "/api/hooks", "/api/hooks", true), ["/in"]);
        assert_eq!(sources("/in", "/api/hooks/clerk", "/api/hooks", true), ["/in"]);
        assert_eq!(sources("/in/:x", "/api/hooks/:x", "/api/hooks", true), ["/in/any-other", "/in/x"]);
        assert!(sources("/in", "/api/hooksy", "/api/hooks", true).is_empty());
    }

    #[test]
    fn pages_have_their_own_notation() {
        let matches = |page: &str, path: &str| !Pattern::page(page).ways_to(path, false).is_empty();
        assert!(matches("/api/[provider]", "/api/clerk"));
        assert!(!matches("/api/[provider]", "/api/a/b"));
        assert!(matches("/api/[...path]", "/api/a/b"));
        assert!(!matches("/api/[...path]", "/api"));
        assert!(matches("/api/[[...path]]", "/api"));
        assert!(matches("/", "/"));
    }

    #[test]
    fn the_locale_and_the_base_path_come_off() {
        let pattern = Pattern::rewrite("/base/:nextInternalLocale(en|fr)/hooks/clerk");
        let plain = pattern.without_prefix("/base").without_leading("nextInternalLocale");
        assert_eq!(plain.paths(&Vec::new()), ["/hooks/clerk"]);
        let other = Pattern::rewrite("/basement/x").without_prefix("/base");
        assert_eq!(other.paths(&Vec::new()), ["/basement/x"]);
    }
}
