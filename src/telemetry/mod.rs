//! What people see of a running gate: one access line per request, and a few lines about the process.
//!
//! Must never print a body, a secret, a signature or a query.

pub(crate) mod access;
mod fields;
pub mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;
mod output;
pub(crate) mod recent;
pub(crate) mod request_id;
pub(crate) mod trace_context;

pub use access::{AccessLog, Outcome};
pub use metrics::Metrics;
pub use metrics::ReplayMetrics;
pub use output::{Output, Writer};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use crate::plan::LogFormat;

/// Sends the process's own lines to the same output as the access lines. Does nothing the second time.
pub fn init(output: &Output, format: LogFormat) {
    let lines = tracing_subscriber::fmt::layer().with_writer(output.clone()).with_target(false).with_ansi(false);
    let ours = filter_fn(is_told).with_max_level_hint(LevelFilter::INFO);
    // A second subscriber in one process (tests, the demo) is not an error.
    let _ = match format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter(ours);
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines))
        }
        LogFormat::Text => {
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines.with_filter(ours)))
        }
    };
}

/// h2 tells of a connection without saying whose: the access log does.
fn is_told(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::INFO && !line.target().starts_with("h2::")
}
