//! What people see of a running gate: one access line per request, and a few lines about the process.
//!
//! Must never print a body, a secret, a signature or a query.

pub(crate) mod access;
mod fields;
pub mod metrics;
mod output;

pub use access::AccessLog;
pub use metrics::Metrics;
pub(crate) use metrics::ReplayMetrics;
pub use output::{Output, Writer};

use crate::plan::LogFormat;

/// Sends the process's own lines to the same output as the access lines. Does nothing the second time.
pub fn init(output: &Output, format: LogFormat) {
    let lines = tracing_subscriber::fmt().with_writer(output.clone()).with_target(false).with_ansi(false);
    // A second subscriber in one process (tests, the demo) is not an error.
    let _ = match format {
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
        LogFormat::Text => tracing::subscriber::set_global_default(lines.finish()),
    };
}
