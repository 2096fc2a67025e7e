//! The access lines of a connection that no request of its own writes: heads that came too late, and what h2 refuses by itself.
//!
//! h2 answers or resets what breaks its rules without handing it over. Which of the requests that were reset the gate has never
//! seen follows from counting: more were begun than were handed over. Must never write a second line about a request that has
//! one, at the price of none about a client that breaks rules and withdraws requests besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::crowd::Leave;
use crate::gate::Caller;
use crate::reject::Reject;
use crate::telemetry::AccessLog;
use crate::telemetry::access::Record;
use crate::wire::{Abuse, News, Protocol, Refusal};

/// Writes them, the last ones when dropped.
#[derive(Debug)]
pub(crate) struct Chronicle {
    log: AccessLog,
    caller: Arc<Caller>,
    /// Requests that the gate has got.
    pub(crate) handed_over: Arc<AtomicU32>,
    /// Requests that have a line from here.
    told: u32,
    /// Why the connection ends was said.
    ended: bool,
}

impl Chronicle {
    pub(crate) fn new(log: AccessLog, caller: Arc<Caller>) -> Self {
        Self { log, caller, handed_over: Arc::default(), told: 0, ended: false }
    }

    /// To be called when everything that was read is handed over.
    pub(crate) fn write(&mut self) {
        let mut all = self.caller.line.news();
        // What is sure goes first: what is left of the count then is sure too.
        all.sort_by_key(|news| matches!(news, News::Refused { refusal: Refusal::Empty, .. }));
        for news in all {
            match news {
                News::LateHead if self.caller.protocol == Protocol::Http2 => {
                    self.ending(Reject::Framing, "HTTP/2: what was begun did not end within `limits.head_timeout`");
                }
                News::LateHead => self.ending(Reject::Framing, "the head did not end within `limits.head_timeout`"),
                News::Refused { refusal: Refusal::Connection(reason), .. } => {
                    self.ending(Reject::Framing, format!("HTTP/2: the connection is closed because {}", reason.text()));
                }
                News::Refused { refusal, standing } if self.is_unheard_of(standing) => {
                    self.told = self.told.saturating_add(1);
                    match refusal {
                        Refusal::Stream(reason) => {
                            let why = format!("HTTP/2: a request is refused because {}", reason.text());
                            self.line(Reject::Framing, why);
                        }
                        Refusal::Connection(_) | Refusal::Answered | Refusal::Empty => {
                            self.line(Reject::HeadTooLarge, "more bytes than `limits.max_head` (RFC 9113 §10.5.1)");
                        }
                    }
                }
                News::Refused { .. } => {}
            }
        }
    }

    /// Our own reason to end it.
    pub(crate) fn abused(&mut self, leave: Leave) {
        match leave {
            Leave::Dismissed => {}
            Leave::Abused(Abuse::Withdrawn) => {
                let why = "an HTTP/2 client withdraws requests faster than they can be answered";
                self.ending(Reject::Overloaded, why);
            }
            Leave::Abused(Abuse::Flooded) => {
                let why = "an HTTP/2 client floods with frames that carry no request (ENHANCE_YOUR_CALM)";
                self.ending(Reject::Overloaded, why);
            }
            Leave::Abused(Abuse::Scattered) => {
                let why = "an HTTP/2 client sends bodies that the app does not read in too many small frames (ENHANCE_YOUR_CALM)";
                self.ending(Reject::Overloaded, why);
            }
        }
    }

    fn is_unheard_of(&self, standing: u32) -> bool {
        standing > self.handed_over.load(Ordering::Relaxed).saturating_add(self.told)
    }

    fn ending(&mut self, reject: Reject, why: impl Into<std::borrow::Cow<'static, str>>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.line(reject, why);
        }
    }

    fn line(&self, reject: Reject, why: impl Into<std::borrow::Cow<'static, str>>) {
        Record::refused_connection(self.log.clone(), self.caller.peer.text().clone(), reject, why);
    }
}

impl Drop for Chronicle {
    fn drop(&mut self) {
        self.write();
    }
}
