//! Whether clients are served: said by the node, looked at by each connection, and waited for.
//!
//! Who waits is woken in the order in which the waiting began. A watch of tokio wakes in a random
//! order, and a simulation would not repeat.

use std::sync::{Arc, Mutex, PoisonError};

use kingbus_core::node::port::Serving;
use tokio::sync::Notify;

/// What the node said last; cheap to clone.
#[derive(Clone, Debug)]
pub struct ServingState(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    said: Mutex<Serving>,
    changed: Notify,
}

impl ServingState {
    /// Clients are not served, for the reason in `text`.
    pub fn not(text: impl Into<String>) -> ServingState {
        ServingState(Arc::new(Shared {
            said: Mutex::new(Serving::No { text: text.into() }),
            changed: Notify::new(),
        }))
    }

    /// The node says so.
    pub fn set(&self, serving: Serving) {
        *self.0.said.lock().unwrap_or_else(PoisonError::into_inner) = serving;
        self.0.changed.notify_waiters();
    }

    /// What was said last.
    pub fn get(&self) -> Serving {
        let said = self.0.said.lock();
        said.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until clients are not served; returns why.
    pub async fn ended(&self) -> String {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Serving::No { text } = self.get() {
                return text;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes() -> Serving {
        Serving::Yes {
            version: "9.7.4".to_owned(),
            binlog_checksum: "CRC32".to_owned(),
        }
    }

    #[tokio::test]
    async fn the_end_is_heard_by_all_who_wait_in_their_order() {
        let state = ServingState::not("it begins");
        assert_eq!(state.ended().await, "it begins");
        state.set(yes());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..20 {
            let (state, heard) = (state.clone(), heard.clone());
            waiting.spawn(async move {
                let text = state.ended().await;
                heard.lock().expect("no panic").push((number, text));
            });
        }
        tokio::task::yield_now().await;
        state.set(yes());
        tokio::task::yield_now().await;
        assert!(heard.lock().expect("no panic").is_empty());
        state.set(Serving::No {
            text: "it ends".to_owned(),
        });
        waiting.join_all().await;
        let all: Vec<_> = (0..20).map(|n| (n, "it ends".to_owned())).collect();
        assert_eq!(*heard.lock().expect("no panic"), all);
    }
}
