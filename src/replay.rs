//! Claims: the right to run one delivery, and the memory of those that ran.
//!
//! Must never be asked about a delivery that is not verified.

mod redis;

pub use self::redis::{Claimed, Down, Forgotten, Key, Owner, ParsedUrl, PlaceFault, RedisPlace, RedisStore, RedisTls};
