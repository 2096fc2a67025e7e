//! `hookward forget`: a delivery that has run may run once more.
//!
//! Of the memory store the running process is asked, on this machine (`admin.health`); Redis is asked itself. Must never be possible from a page
//! in a browser, nor from another machine: `admin` sees to that.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::config_file;
use super::healthcheck::{reachable, status_of};
use super::run::fail;
use crate::admin::{FORGET, FORGET_HEADER};
use crate::check::replay_key::ReplayKey;
use crate::config::{self, System};
use crate::ip_lists::WithLists;
use crate::plan::{Plan, ReplayMode, ReplayStore};
use crate::redis_place::RedisPlace;
use crate::replay::{Forgotten, RedisStore};

/// Options of `forget`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The route's name, `clerk` of `[routes.clerk]`.
    #[arg(long, value_name = "NAME")]
    route: String,
    /// The delivery's id, as the access line has it in `event_id`.
    #[arg(long, value_name = "ID", required_unless_present = "key", conflicts_with = "key")]
    id: Option<String>,
    /// Its key instead, as the access line of a duplicate has it in `replay_key`: where no id is shown.
    #[arg(long, value_name = "HEX", value_parser = key_of)]
    key: Option<ReplayKey>,
    /// The configuration of the process to ask; else as for `run`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask here instead of at the configuration's `admin.health`.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<SocketAddr>,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    match forget(args) {
        Ok(text) => {
            // Whoever reads this may have left.
            let _ = writeln!(out, "{text}");
            ExitCode::SUCCESS
        }
        Err(message) => fail(&message),
    }
}

fn forget(args: &Args) -> Result<String, String> {
    let path = config_file::find(args.config.as_deref()).map_err(|error| error.to_string())?;
    let loaded = config::load(&path, &WithLists::new(System, Arc::default())).map_err(|report| report.to_string())?;
    let key = key(args, &loaded.plan)?;
    if let ReplayStore::Redis(place) = &loaded.plan.replay.store {
        return in_store(place, &key, &args.route);
    }
    let address = args.address.or(loaded.plan.health).map(reachable).ok_or_else(|| {
        format!("{}: admin.health is not set, so the running process cannot be asked", path.display())
    })?;
    let request = format!("POST {FORGET} HTTP/1.1\r\n{FORGET_HEADER}: {key}\r\ncontent-length: 0\r\n");
    match status_of(address, &request) {
        Ok(200) => told(Forgotten::Removed, &args.route),
        Ok(404) => told(Forgotten::Absent, &args.route),
        Ok(409) => told(Forgotten::Running, &args.route),
        Ok(403) => Err(format!("{address} is not on this machine: run this beside the process, as in `kubectl exec`")),
        Ok(status) => Err(format!("{address}{FORGET} answered {status}")),
        Err(error) => Err(format!("{address}{FORGET}: {error}")),
    }
}

/// The store itself is asked, from wherever it can be reached.
fn in_store(place: &Arc<RedisPlace>, key: &ReplayKey, route: &str) -> Result<String, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let store = RedisStore::new(Arc::clone(place));
    let forgotten = runtime.block_on(store.forget(key));
    told(forgotten.map_err(|down| format!("the replay store: {down}"))?, route)
}

fn told(forgotten: Forgotten, route: &str) -> Result<String, String> {
    match forgotten {
        Forgotten::Removed => Ok("forgotten: the next delivery with this id runs".to_owned()),
        Forgotten::Absent => Err(format!("nothing to forget: route {route} has not run this delivery, or not lately")),
        Forgotten::Running => Err("it is running right now: try again when it has ended".to_owned()),
    }
}

fn key_of(text: &str) -> Result<ReplayKey, String> {
    ReplayKey::parse(text).ok_or_else(|| "a key is 32 hex digits, such as 0f3a…, as `replay_key` has it".to_owned())
}

fn key(args: &Args, plan: &Plan) -> Result<ReplayKey, String> {
    let route = plan.routes.iter().find(|route| *route.name == *args.route).ok_or_else(|| {
        let names: Vec<&str> = plan.routes.iter().map(|route| &*route.name).collect();
        format!("there is no route {:?}: the routes are {}", args.route, names.join(", "))
    })?;
    match (&args.id, &args.key, route.replay) {
        (_, _, ReplayMode::Off) => Err(format!("route {} does not de-duplicate: every delivery runs", route.name)),
        (_, Some(key), _) => Ok(*key),
        (Some(_), None, ReplayMode::Content) => {
            Err(format!("route {} does not go by ids: take `replay_key` of the access line, with --key", route.name))
        }
        (Some(id), None, ReplayMode::Dedupe) => Ok(ReplayKey::of_id(&route.name, id.as_bytes())),
        (None, None, _) => Err("--id or --key is needed".to_owned()),
    }
}
