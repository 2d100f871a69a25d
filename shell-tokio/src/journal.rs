//! One line in the log for each event that a DBA cares about, from what changes in the status.

use std::sync::Arc;
use std::time::Duration;

use kingbus_core::node::status::Status;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::requests::Requests;

/// The status is looked at so often.
const PAUSE: Duration = Duration::from_millis(250);

/// Looks at the status again and again, until the node is gone.
pub async fn write(requests: Arc<Requests>) {
    let mut last: Option<Box<Status>> = None;
    while let Some(now) = requests.status().await {
        compare(last.as_deref(), &now);
        last = Some(now);
        sleep(PAUSE).await;
    }
}

fn compare(last: Option<&Status>, now: &Status) {
    let changed = |field: fn(&Status) -> &str| last.is_none_or(|last| field(last) != field(now));
    if changed(|status| &status.role) || last.is_none_or(|last| last.leader != now.leader) {
        match now.leader {
            Some(leader) => {
                info!(
                    "node {} is {} in term {}, the leader is node {leader}",
                    now.node, now.role, now.term
                );
            }
            None => info!(
                "node {} is {} in term {}, no leader is known",
                now.node, now.role, now.term
            ),
        }
    }
    if last.is_none_or(|last| last.not_serving_because != now.not_serving_because) {
        match &now.not_serving_because {
            Some(because) => warn!("replicas are not served: {because}"),
            None if now.serving => info!("replicas are served"),
            None => {}
        }
    }
    source(last, now);
    if changed(|status| &status.disk.state) {
        match (now.disk.state.as_str(), &now.disk.error) {
            ("damaged", text) => error!("disk: {}", text.as_deref().unwrap_or("damaged")),
            ("full", text) => warn!("disk: {}", text.as_deref().unwrap_or("full")),
            (_, _) if last.is_some() => info!("disk: there is space again"),
            (_, _) => {}
        }
    }
}

fn source(last: Option<&Status>, now: &Status) {
    let (source, before) = (&now.source, last.map(|last| &last.source));
    let place = match (&source.host, source.port) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (_, _) => String::new(),
    };
    // Each reason once, not with each try.
    if let Some(error) = &source.error
        && before.is_none_or(|before| before.error.as_ref() != Some(error))
    {
        warn!("source {error}");
    }
    if before.is_none_or(|before| before.state != source.state) {
        match source.state.as_str() {
            "streaming" => {
                let version = source.version.as_deref().unwrap_or("?");
                let semi_sync = if source.semi_sync {
                    ", semi-synchronous"
                } else {
                    ""
                };
                info!("source {place} is streaming (version {version}{semi_sync})");
            }
            "none" => info!("no source is named"),
            _ => {}
        }
    }
}
