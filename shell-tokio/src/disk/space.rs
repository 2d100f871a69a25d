//! Whether the disk has space left, as its threads find it.

use std::sync::{Arc, Mutex, PoisonError};

use kingbus_core::node::port::DiskInput;

use super::Answers;

/// What the threads of a disk know together. The node hears when the first of them finds no space, and when
/// all have found some again.
#[derive(Debug)]
pub(super) struct Space {
    /// How many of them wait for some.
    waiting: Mutex<usize>,
    answers: Answers,
}

/// That a thread waits for space, while this lives.
#[derive(Debug)]
pub(super) struct Full(Arc<Space>);

impl Space {
    pub(super) fn new(answers: Answers) -> Arc<Space> {
        let waiting = Mutex::new(0);
        Arc::new(Space { waiting, answers })
    }

    /// A thread finds no space.
    pub(super) fn none(self: &Arc<Space>) -> Full {
        self.change(|waiting| *waiting += 1);
        Full(self.clone())
    }

    /// Whether a thread waits for space.
    pub(super) fn is_full(&self) -> bool {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) > 0
    }

    fn change(&self, change: impl FnOnce(&mut usize)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *waiting > 0;
        change(&mut waiting);
        if before != (*waiting > 0) {
            // Under the lock, so that the node hears it in order. Without a node there is nobody to tell.
            let _ = self.answers.send(DiskInput::Full(!before));
        }
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        self.0.change(|waiting| *waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn node_hears_of_the_first_that_waits_and_of_the_last() {
        let (answers, mut heard) = unbounded_channel();
        let space = Space::new(answers);
        let (log, index) = (space.none(), space.none());
        assert!(matches!(heard.try_recv(), Ok(DiskInput::Full(true))));
        drop(log);
        assert!(space.is_full() && heard.try_recv().is_err());
        drop(index);
        assert!(matches!(heard.try_recv(), Ok(DiskInput::Full(false))));
        assert!(!space.is_full());
    }
}
