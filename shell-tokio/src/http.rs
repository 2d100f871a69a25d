//! The port for operators: a few requests over HTTP, answered by the node.
//!
//! | request | answer |
//! |---|---|
//! | `GET /healthz` | 200 `ok` while replicas are served, otherwise 503 and the reason |
//! | `GET /status` | 200, [`Status`] as JSON |
//! | `GET /source` | 200, the source without its password |
//! | `PUT /source` | 200 when a majority has it; body: [`NewSource`] |
//! | `POST /purge` | 200 when a majority knows that it is purged; body: [`NewPurge`]; ask the leader |
//! | `POST /handover` | 200 when another node leads; ask the leader |
//! | `DELETE /source` | 200 when a majority has it; nothing is followed any more |
//! | `GET /members` | 200, the members as this node knows them |
//! | `POST /members` | 200 when it is done, on the leader; body: a list of [`Change`]s, made in one step |

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use kingbus_core::node::catalog::SourceDefinition;
use kingbus_core::node::members::MemberChange;
use kingbus_core::node::status::{SourceStatus, Status};
use kingbus_core::types::NodeId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::info;

use crate::config::{self, parse_start};
use crate::operators::{CONNECTIONS_MAX, Operators};
use crate::os::{self, TcpListener};
use crate::requests::Requests;
use crate::secret::{Keys, Secret};

/// Longest body; a GTID set may be long.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Body of `PUT /source`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewSource {
    /// Name or address.
    pub host: String,
    /// TCP port; 3306 unless given.
    #[serde(default = "mysql_port")]
    pub port: u16,
    /// Account with REPLICATION SLAVE.
    pub user: String,
    /// Its password.
    pub password: String,
    /// `earliest` (unless given), `now` or a GTID set; used by an empty store only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Whether to be a semi-synchronous replica; true unless given.
    #[serde(default = "yes")]
    pub semi_sync: bool,
}

/// One change in the body of `POST /members`, for example `{"add": {"node": 4, "address": "h:7307"}}` or
/// `{"promote": 4}`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Change {
    /// This node joins as a learner.
    Add {
        /// Its `cluster.id`.
        node: u64,
        /// Where other nodes reach it.
        address: String,
    },
    /// This learner becomes a voter.
    Promote(u64),
    /// This voter becomes a learner.
    Demote(u64),
    /// This node leaves.
    Remove(u64),
}

impl From<Change> for MemberChange {
    fn from(change: Change) -> MemberChange {
        match change {
            Change::Add { node, address } => MemberChange::Add {
                id: NodeId(node),
                address,
            },
            Change::Promote(node) => MemberChange::Promote(NodeId(node)),
            Change::Demote(node) => MemberChange::Demote(NodeId(node)),
            Change::Remove(node) => MemberChange::Remove(NodeId(node)),
        }
    }
}

/// Body of `POST /purge`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewPurge {
    /// Everything before this binlog file goes.
    pub to: String,
}

fn mysql_port() -> u16 {
    3306
}

fn yes() -> bool {
    true
}

/// Who answers.
#[derive(Clone)]
pub enum Answerer {
    /// The node.
    Node(Arc<Requests>),
    /// Nobody but this status: the log on disk cannot be trusted.
    Damaged(Arc<Status>),
}

/// The port.
#[derive(Clone)]
pub struct Port {
    /// Who answers.
    pub answerer: Answerer,
    /// To seal passwords.
    pub keys: Keys,
    /// What requests must bear, if anything.
    pub token: Option<Secret>,
    /// Whether other nodes can reach this one.
    pub clustered: bool,
}

impl Port {
    /// Answers requests, for ever.
    pub async fn listen(self, listener: TcpListener) -> std::io::Result<()> {
        let routes = Router::new()
            .route("/healthz", get(healthz))
            .route("/status", get(status))
            .route("/purge", post(purge))
            .route("/handover", post(hand_over))
            .route("/source", get(source).put(put_source).delete(delete_source))
            .route("/members", get(members).post(post_members))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(middleware::from_fn_with_state(self.clone(), authorize))
            .with_state(self);
        let operators = Operators::new(os::http(listener), CONNECTIONS_MAX);
        axum::serve(operators, routes).await
    }

    async fn status(&self) -> Result<Box<Status>, Response> {
        match &self.answerer {
            Answerer::Damaged(status) => Ok(Box::new((**status).clone())),
            Answerer::Node(requests) => requests
                .status()
                .await
                .ok_or_else(|| error(StatusCode::SERVICE_UNAVAILABLE, "the node does not answer")),
        }
    }

    /// Has the node do something, and says whether it is done.
    async fn done<F>(&self, request: impl FnOnce(Arc<Requests>) -> F) -> Response
    where
        F: Future<Output = Result<(), String>>,
    {
        let done = match &self.answerer {
            Answerer::Node(requests) => request(requests.clone()).await,
            Answerer::Damaged(_) => {
                Err("this node's disk cannot be trusted; ask another node".to_owned())
            }
        };
        match done {
            Ok(()) => Json(json!({ "done": true })).into_response(),
            Err(text) => error(StatusCode::SERVICE_UNAVAILABLE, &text),
        }
    }

    async fn set_source(&self, definition: Option<SourceDefinition>) -> Response {
        self.done(|requests| async move { requests.set_source(definition).await })
            .await
    }
}

fn error(code: StatusCode, text: &str) -> Response {
    (code, Json(json!({ "error": text }))).into_response()
}

/// Lets requests with the right token pass; `/healthz` tells nothing that needs one.
async fn authorize(State(port): State<Port>, request: Request, next: Next) -> Response {
    let Some(token) = port
        .token
        .as_ref()
        .filter(|_| request.uri().path() != "/healthz")
    else {
        return next.run(request).await;
    };
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if given.is_some_and(|given| token.is(given)) {
        return next.run(request).await;
    }
    error(
        StatusCode::UNAUTHORIZED,
        "this port needs the header `Authorization: Bearer TOKEN` with admin.token of the configuration",
    )
}

async fn healthz(State(port): State<Port>) -> Response {
    match port.status().await {
        Err(response) => response,
        Ok(status) if status.serving => "ok\n".into_response(),
        Ok(status) => {
            let because = status.not_serving_because;
            let text = because.unwrap_or_else(|| "not serving replicas yet".to_owned());
            (StatusCode::SERVICE_UNAVAILABLE, text + "\n").into_response()
        }
    }
}

async fn status(State(port): State<Port>) -> Response {
    match port.status().await {
        Ok(status) => Json(status).into_response(),
        Err(response) => response,
    }
}

async fn source(State(port): State<Port>) -> Response {
    match port.status().await {
        Ok(status) => Json::<SourceStatus>(status.source).into_response(),
        Err(response) => response,
    }
}

async fn put_source(State(port): State<Port>, body: Bytes) -> Response {
    let definition = match parse(&body, &port.keys) {
        Ok(definition) => definition,
        Err(text) => return error(StatusCode::BAD_REQUEST, &text),
    };
    info!(
        "an operator names the source {}:{}",
        definition.host, definition.port
    );
    port.set_source(Some(definition)).await
}

async fn delete_source(State(port): State<Port>) -> Response {
    info!("an operator ends the following of the source");
    port.set_source(None).await
}

async fn members(State(port): State<Port>) -> Response {
    match port.status().await {
        Ok(status) => Json(status.members).into_response(),
        Err(response) => response,
    }
}

async fn post_members(State(port): State<Port>, body: Bytes) -> Response {
    let changes: Vec<Change> = match serde_json::from_slice(&body) {
        Ok(changes) => changes,
        Err(wrong) => return error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    };
    if !port.clustered {
        let text = "other nodes cannot reach this one: its configuration has no [cluster]";
        return error(StatusCode::BAD_REQUEST, text);
    }
    let changes: Vec<MemberChange> = changes.into_iter().map(MemberChange::from).collect();
    for change in &changes {
        if let MemberChange::Add { address, .. } = change
            && !config::is_address(address)
        {
            let text = format!("`{address}` is not HOST:PORT, such as 10.0.0.4:7307");
            return error(StatusCode::BAD_REQUEST, &text);
        }
    }
    info!("an operator changes the members: {changes:?}");
    port.done(|requests| async move { requests.change_members(changes).await })
        .await
}

async fn purge(State(port): State<Port>, body: Bytes) -> Response {
    let new: NewPurge = match serde_json::from_slice(&body) {
        Ok(new) => new,
        Err(wrong) => return error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    };
    info!("an operator purges what is before {}", new.to);
    port.done(|requests| async move { requests.purge(new.to).await })
        .await
}

async fn hand_over(State(port): State<Port>) -> Response {
    info!("an operator has this node hand over");
    port.done(|requests| async move { requests.hand_over().await })
        .await
}

/// The body of a `PUT /source`, its password sealed. The text of an error holds nothing of a password.
fn parse(body: &[u8], keys: &Keys) -> Result<SourceDefinition, String> {
    let new: NewSource = serde_json::from_slice(body).map_err(|error| match error.classify() {
        // This text may quote the value that is of the wrong type.
        serde_json::error::Category::Data if !about_fields(&error) => {
            format!("a field of the wrong type at column {}", error.column())
        }
        _ => error.to_string(),
    })?;
    definition(new, keys)
}

fn about_fields(error: &serde_json::Error) -> bool {
    let text = error.to_string();
    ["unknown field", "missing field", "duplicate field"]
        .iter()
        .any(|what| text.starts_with(what))
}

/// A definition of this source, as far as its values can be.
pub fn definition(new: NewSource, keys: &Keys) -> Result<SourceDefinition, String> {
    if new.host.trim().is_empty() || new.user.is_empty() || new.port == 0 {
        return Err("host and user must not be empty, port must be 1 to 65535".to_owned());
    }
    let start = new.start.as_deref().unwrap_or_default();
    Ok(SourceDefinition {
        host: new.host,
        port: new.port,
        user: new.user,
        password: keys.seal(&Secret::new(new.password)),
        start: parse_start(start).map_err(|text| format!("start: {text}"))?,
        semi_sync: new.semi_sync,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<SourceDefinition, String> {
        parse(
            body.as_bytes(),
            &Keys::new(&Secret::new("0123456789abcdef")),
        )
    }

    #[test]
    fn source_is_read_with_its_defaults() {
        let body = r#"{"host":"h","user":"u","password":"hunter2"}"#;
        let definition = read(body).expect("accepted");
        assert_eq!((definition.port, definition.semi_sync), (3306, true));
        assert!(!format!("{definition:?}").contains("hunter2"));
    }

    #[test]
    fn changes_of_members_are_read() {
        let body = r#"[{"add":{"node":4,"address":"h:1"}},{"promote":5},{"remove":1}]"#;
        let changes: Vec<Change> = serde_json::from_str(body).expect("accepted");
        let changes: Vec<MemberChange> = changes.into_iter().map(MemberChange::from).collect();
        let added = MemberChange::Add {
            id: NodeId(4),
            address: "h:1".to_owned(),
        };
        let rest = [
            MemberChange::Promote(NodeId(5)),
            MemberChange::Remove(NodeId(1)),
        ];
        assert_eq!(changes, [&[added][..], &rest].concat());
        assert!(serde_json::from_str::<Vec<Change>>(r#"[{"eject":1}]"#).is_err());
    }

    #[test]
    fn wrong_bodies_are_refused_without_quoting_a_password() {
        for (body, part) in [
            (
                r#"{"host":"h","user":"u","password":"hunter2","prot":1}"#,
                "unknown field `prot`",
            ),
            (r#"{"host":"h","user":"u"}"#, "missing field `password`"),
            (
                r#"{"host":"h","user":"u","port":"hunter2","password":"x"}"#,
                "wrong type",
            ),
            (r#"{"host":"","user":"u","password":"hunter2"}"#, "host"),
            (
                r#"{"host":"h","user":"u","password":"hunter2","start":"x:y"}"#,
                "start",
            ),
            (r#"{"host":"h""#, "EOF"),
        ] {
            let error = read(body).expect_err("refused");
            assert!(
                error.contains(part) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
