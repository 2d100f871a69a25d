//! Requests of operators that wait for the node.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kingbus_core::node::catalog::SourceDefinition;
use kingbus_core::node::members::MemberChange;
use kingbus_core::node::port::{AdminEffect, AdminInput};
use kingbus_core::node::status::Status;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::driver::Inbox;

/// The node answers, or refuses, in this time; its own bound is below it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// An answer of the node.
#[derive(Debug)]
pub enum Answer {
    /// To a question for the status.
    Status(Box<Status>),
    /// Done on a majority.
    Done,
    /// Not done: why, and what to do.
    Refused(String),
}

/// Requests that wait for the node.
#[derive(Debug)]
pub struct Requests {
    inbox: Inbox,
    last: AtomicU64,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>,
}

impl Requests {
    /// No requests yet.
    pub fn new(inbox: Inbox) -> Requests {
        Requests {
            inbox,
            last: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// The node's status. None: the node is gone.
    pub async fn status(&self) -> Option<Box<Status>> {
        match self.ask(|token| AdminInput::Status { token }).await {
            Some(Answer::Status(status)) => Some(status),
            Some(Answer::Done | Answer::Refused(_)) | None => None,
        }
    }

    /// Has the cluster follow this source. Error: why not, and what to do.
    pub async fn set_source(&self, definition: Option<SourceDefinition>) -> Result<(), String> {
        self.request(|token| AdminInput::SetSource { token, definition })
            .await
    }

    /// Changes the members in one step. Error: why not, and what to do.
    pub async fn change_members(&self, changes: Vec<MemberChange>) -> Result<(), String> {
        self.request(|token| AdminInput::ChangeMembers { token, changes })
            .await
    }

    /// Has everything before a binlog file purged. Error: why not, and what to do.
    pub async fn purge(&self, to: String) -> Result<(), String> {
        self.request(|token| AdminInput::Purge { token, to }).await
    }

    /// Has another voter lead. Error: why not, and what to do.
    pub async fn hand_over(&self) -> Result<(), String> {
        self.request(|token| AdminInput::HandOver { token }).await
    }

    async fn request(&self, request: impl FnOnce(u64) -> AdminInput) -> Result<(), String> {
        match self.ask(request).await {
            Some(Answer::Done) => Ok(()),
            Some(Answer::Refused(text)) => Err(text),
            Some(Answer::Status(_)) | None => Err("the node does not answer".to_owned()),
        }
    }

    async fn ask(&self, question: impl FnOnce(u64) -> AdminInput) -> Option<Answer> {
        let token = self.last.fetch_add(1, Ordering::Relaxed);
        let (to, answer) = oneshot::channel();
        self.waiting().insert(token, to);
        let asked = self.inbox.admin(question(token)).await;
        let answer = match asked {
            Ok(()) => timeout(ANSWER_TIMEOUT, answer)
                .await
                .ok()
                .and_then(Result::ok),
            Err(_) => None,
        };
        self.waiting().remove(&token);
        answer
    }

    /// Passes an answer on.
    pub fn carry_out(&self, effect: AdminEffect) {
        let (token, answer) = match effect {
            AdminEffect::Status { token, status } => (token, Answer::Status(status)),
            AdminEffect::Done { token } => (token, Answer::Done),
            AdminEffect::Refused { token, text } => (token, Answer::Refused(text)),
        };
        if let Some(to) = self.waiting().remove(&token) {
            // Who asked may not want to know any more.
            let _ = to.send(answer);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
