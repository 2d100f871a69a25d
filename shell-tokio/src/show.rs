//! The status for people.

use std::fmt::Write as _;

use kingbus_core::node::status::{MemberStatus, ReplicaStatus, SourceStatus, Status};

/// A few lines that say what is going on.
pub(crate) fn status(status: &Status) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        writeln!(out, "{name:<9} {text}").expect("text can be written to a string");
    };
    let leader = status.leader.map_or("no leader known".to_owned(), |id| {
        format!("leader: node {id}")
    });
    line(
        "node",
        format!(
            "{}, {} ({leader}, term {})",
            status.node, status.role, status.term
        ),
    );
    line(
        "replicas",
        match &status.not_serving_because {
            Some(because) => format!("not served: {because}"),
            None => "served".to_owned(),
        },
    );
    line("source", source(&status.source));
    line(
        "binlog",
        match status.binlog.file.as_str() {
            "" => "none yet".to_owned(),
            file => format!("{file}:{}", status.binlog.position),
        },
    );
    line("executed", or_none(&status.executed.to_string()));
    let purged = or_none(&status.purged.to_string());
    line(
        "purged",
        match &status.first_file {
            Some(file) => format!("{purged}, begins with {file}"),
            None => purged,
        },
    );
    line(
        "log",
        format!(
            "last {}, committed {}, applied {}, segment {}",
            status.last, status.commit, status.applied, status.disk.segment
        ),
    );
    line(
        "disk",
        match &status.disk.error {
            Some(error) => format!("{}: {error}", status.disk.state),
            None => status.disk.state.clone(),
        },
    );
    for one in &status.members {
        line("member", member(one).trim_end().to_owned());
    }
    for one in &status.replicas {
        line("replica", replica(one));
    }
    out
}

/// A member of the cluster in one line.
pub(crate) fn member(member: &MemberStatus) -> String {
    let mut text = format!("{} {} {}", member.node, member.role, member.address);
    if member.outgoing {
        text.push_str(", a change is running");
    }
    if let Some(lacks) = member.lacks.filter(|lacks| *lacks > 0) {
        write!(text, ", lacks {lacks} entries").expect("text can be written to a string");
    }
    text + "\n"
}

/// The source in one line.
pub(crate) fn source(source: &SourceStatus) -> String {
    let (Some(host), Some(port)) = (&source.host, source.port) else {
        return "none; name one with `kingbus source set`".to_owned();
    };
    let mut text = format!(
        "{}@{host}:{port}, {}",
        source.user.as_deref().unwrap_or("?"),
        source.state
    );
    if let Some(version) = &source.version {
        write!(text, ", version {version}").expect("text can be written to a string");
    }
    if source.semi_sync {
        text.push_str(", semi-synchronous");
    }
    if let Some(error) = &source.error {
        write!(text, "\n          {error}").expect("text can be written to a string");
    }
    text
}

fn replica(replica: &ReplicaStatus) -> String {
    let mut text = format!(
        "{} (server id {}), {}, sent up to {}",
        replica.client, replica.server_id, replica.state, replica.sent_index
    );
    if !replica.ahead.is_empty() {
        write!(text, ", has what this node has not: {}", replica.ahead)
            .expect("text can be written to a string");
    }
    text
}

fn or_none(text: &str) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text.to_owned()
    }
}
