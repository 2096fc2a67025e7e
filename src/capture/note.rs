//! What a reader of a captured request should know about how it was read.
//!
//! Must never hold a header's value or any byte of the body.

/// One thing to tell the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Note {
    /// A UTF-8 byte order mark before the request was dropped.
    #[error("the file begins with a byte order mark, which was left out")]
    ByteOrderMark,
    /// The head's lines end in LF.
    #[error("the lines end in LF where HTTP has CRLF: what saved the file may have changed line ends in the body too")]
    LfLineEnds,
    /// Fewer bytes than `content-length` says. Both in bytes.
    #[error("content-length says {declared} bytes but the file holds {found}: the body is cut off or was changed")]
    Truncated {
        /// By `content-length`.
        declared: usize,
        /// In the file.
        found: usize,
    },
    /// One line end after the body, which an editor adds.
    #[error("a final newline follows the body that content-length does not count; it was cut")]
    FinalNewlineCut,
    /// More than that after the body. Both in bytes.
    #[error("content-length says {declared} bytes but the file holds {found}: the rest was cut")]
    SurplusCut {
        /// By `content-length`.
        declared: usize,
        /// In the file.
        found: usize,
    },
    /// The length fits if the body's line ends are changed back. The body is as in the file. Both in bytes.
    #[error("content-length says {declared} bytes but the file holds {found}: the body's line ends were changed")]
    LineEndsChanged {
        /// By `content-length`.
        declared: usize,
        /// In the file.
        found: usize,
    },
    /// An export's body has another length than `content-length` says. Both in bytes.
    #[error("content-length says {declared} bytes but the body here has {found}: it is not as it was sent")]
    LengthDiffers {
        /// By `content-length`.
        declared: usize,
        /// In the file.
        found: usize,
    },
    /// `content-length` is not a number, or there are two.
    #[error("content-length is no single number; everything after the head is taken for the body")]
    ContentLengthUnusable,
    /// Both length fields: hookward refuses such a request when it arrives.
    #[error("the request has both content-length and transfer-encoding, which is refused when it arrives")]
    LengthAndChunked,
    /// The chunked body was decoded.
    #[error("the chunked body was decoded")]
    ChunkedDecoded,
    /// `transfer-encoding` says chunked, but the body has no chunks.
    #[error("transfer-encoding says chunked, but the body was saved already decoded")]
    ChunkedAlreadyDecoded,
    /// The last chunk is missing. In bytes.
    #[error("the chunked body ends early, after {found} bytes of content")]
    ChunkedUnfinished {
        /// Content that was decoded.
        found: usize,
    },
    /// The request has a `content-encoding`.
    #[error("the body has a content-encoding: the signature covers the bytes as they were sent")]
    ContentEncoding,
    /// It has a `content-encoding`, but the body does not begin as such.
    #[error("content-encoding says the body is compressed, but here it is not: it was decompressed on the way")]
    AlreadyDecompressed,
    /// The body was base64 in the file.
    #[error("the body was base64 in the file")]
    Base64Body,
    /// The body has U+FFFD, which stands where bytes were lost.
    #[error("the body holds the replacement character U+FFFD: bytes that were not UTF-8 were lost when it was saved")]
    LostBytes,
    /// The file has no body.
    #[error("the file does not hold the body; give it with --body")]
    BodyMissing,
    /// The export has the form's fields, not the body.
    #[error("the file holds the form's fields but not the body; give it with --body")]
    FormFieldsOnly,
    /// The export has the body as JSON values. They were written without white space.
    #[error("the file holds the body as parsed JSON, not as it was sent; it was written compactly")]
    BodyWasParsed,
    /// The query was made from decoded parameters.
    #[error("the query was put together from its parameters; order and escapes may differ")]
    QueryRebuilt,
    /// The file does not name the method.
    #[error("the file does not name the method; POST is assumed")]
    MethodAssumed,
    /// The file does not name the path.
    #[error("the file does not name the path; `/` is assumed")]
    TargetAssumed,
    /// The dump has dots for bytes.
    #[error("this kind of dump shows unprintable bytes as dots: the body may differ from what was sent")]
    DotsForBytes,
    /// A packet between two others is missing.
    #[error("a packet is missing; the request is read up to there")]
    PacketMissing,
    /// The packets were saved shorter than they were.
    #[error("the packets were not captured in full (tcpdump: use -s 0)")]
    PacketsCut,
    /// One of several requests was taken: the only POST.
    #[error("request {number} of {of} was taken, the only POST")]
    Chosen {
        /// From 1.
        number: usize,
        /// How many there are.
        of: usize,
    },
}
