//! What can be wrong with a scheme, and what to do about it.
//!
//! Must never hold a rule: `compile.rs` and `content.rs` decide, this file has their words.

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
    /// None, or more than one, of three keys.
    #[error("needs exactly one of `{0}`, `{1}` and `{2}`")]
    ExactlyOneOfThree(&'static str, &'static str, &'static str),
    /// Not there.
    #[error("is missing")]
    Missing,
    /// No timestamp where the sender always has one.
    #[error("is missing: an old delivery could be sent again for ever")]
    TimeMissing,
    /// A key of another algorithm.
    #[error("does not go with this algorithm")]
    NotThisAlgorithm,
    /// Not names with dots between them.
    #[error("is not a path of member names")]
    NotAPath,
    /// An option that the scheme does not have.
    #[error("`{0}` is not an option of this scheme")]
    UnknownOption(Box<str>),
    /// An option that a route must have.
    #[error("`{0}` is missing: {1}")]
    OptionMissing(Box<str>, Box<str>),
    /// An option whose value cannot be right.
    #[error("`{0}` {1}")]
    OptionUnusable(&'static str, &'static str),
    /// A content where nothing is signed.
    #[error("a token signs nothing")]
    TokenSignsNothing,
    /// The secret is hashed without a key, or the other way round.
    #[error("{{secret}} belongs to algorithm = \"sha256\", and to no other")]
    SecretInContent,
    /// A time that is signed as part of the body.
    #[error("has {{timestamp}}, but that is in the body")]
    TimeInBody,
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
            Self::ExactlyOne(..) | Self::ExactlyOneOfThree(..) => "keep one of them",
            Self::Missing => "say in which header the signature is",
            Self::TimeMissing => "add timestamp = { unit = \"s\", tolerance = 300 }",
            Self::NotThisAlgorithm => {
                "use \"spki\" for ECDSA and RSA keys, and signature.encoding = \"text\" or \"base64\" for tokens"
            }
            Self::NotAPath => "write names with dots between them, such as \"data.event_type\"",
            Self::UnknownOption(_) => "see `hookward providers NAME` for the options that there are",
            Self::OptionMissing(..) => "write options = { NAME = \"…\" } in the route",
            Self::OptionUnusable(..) => "see `hookward providers NAME` for what it takes",
            Self::SecretInContent => "use {secret} with algorithm = \"sha256\" alone; other algorithms have a key",
            Self::EmptyPrefix | Self::TokenSignsNothing | Self::TimeInBody => "remove it",
            Self::NoPrefixes => "list the prefixes that the provider's secrets have",
            Self::UnknownPlaceholder(_) => {
                "known are {id}, {timestamp}, {method}, {url}, {url_decoded}, {body} and {secret}"
            }
            Self::UnbalancedBrace => "placeholders look like {body}; a literal brace is not supported",
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
