//! The command line's way to a running node.

use std::time::Duration;

use serde_json::Value;

use crate::secret::Secret;

/// A request takes this long at most; changing the source waits for a majority.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A node's port for operators.
pub(crate) struct Client {
    address: String,
    token: Option<Secret>,
    agent: ureq::Agent,
}

/// What to do with a resource.
pub(crate) enum Method {
    Get,
    Put(Value),
    Post(Value),
    Delete,
}

impl Client {
    pub(crate) fn new(address: &str, token: Option<Secret>) -> Client {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            // What goes to a node, a password among it, goes to that node alone.
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .build();
        Client {
            address: address.to_owned(),
            token,
            agent: config.into(),
        }
    }

    /// The answer, or what went wrong and what to do.
    pub(crate) fn ask(&self, method: Method, path: &str) -> Result<Value, String> {
        let url = format!("http://{}{path}", self.address);
        let token = self
            .token
            .as_ref()
            .map(|token| format!("Bearer {}", token.reveal()));
        let name = "authorization";
        let posts = matches!(method, Method::Post(_));
        let answer = match method {
            Method::Get => {
                let request = self.agent.get(&url);
                token
                    .iter()
                    .fold(request, |request, token| request.header(name, token))
                    .call()
            }
            Method::Delete => {
                let request = self.agent.delete(&url);
                token
                    .iter()
                    .fold(request, |request, token| request.header(name, token))
                    .call()
            }
            Method::Put(body) | Method::Post(body) => {
                let request = if posts {
                    self.agent.post(&url)
                } else {
                    self.agent.put(&url)
                };
                let request = request.header("content-type", "application/json");
                let request = token
                    .iter()
                    .fold(request, |request, token| request.header(name, token));
                request.send(body.to_string())
            }
        };
        let mut answer = answer.map_err(|error| {
            format!(
                "no answer from kingbus at {}: {error}. Is `kingbus serve` running? Its admin.listen is \
                 given with --admin ADDRESS or KINGBUS_ADMIN",
                self.address
            )
        })?;
        let text = answer.body_mut().read_to_string();
        let text = text.map_err(|error| format!("{}: a broken answer: {error}", self.address))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|_| format!("{} is not the admin port of a kingbus", self.address))?;
        match (answer.status().as_u16(), value["error"].as_str()) {
            (200, _) => Ok(value),
            (401, _) => Err(format!(
                "{} needs a token: give admin.token of its configuration with --token-file FILE or \
                 KINGBUS_ADMIN_TOKEN",
                self.address
            )),
            (_, Some(text)) => Err(text.to_owned()),
            (code, None) => Err(format!("{} answered with status {code}", self.address)),
        }
    }
}
