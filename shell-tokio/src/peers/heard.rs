//! Where nodes are that called this one: each says so when it calls.
//!
//! The log tells the addresses of the members. A node that lacks the end of the log may have to answer a
//! member that it does not know yet, or one that is no member any more.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use kingbus_core::node::members::ADDRESS_BYTES_MAX;
use kingbus_core::types::NodeId;

/// Callers remembered at once.
const CALLERS_MAX: usize = 64;

/// Addresses by node.
#[derive(Debug, Default)]
pub struct Heard(Mutex<BTreeMap<NodeId, String>>);

impl Heard {
    /// A node that has shown the secret says where it is; false if that is no address.
    pub fn says(&self, node: NodeId, address: &[u8]) -> bool {
        let address = std::str::from_utf8(address);
        let Some(address) = address.ok().filter(|a| a.len() <= ADDRESS_BYTES_MAX) else {
            return false;
        };
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < CALLERS_MAX || heard.contains_key(&node) {
            heard.insert(node, address.to_owned());
        }
        true
    }

    /// Where a node said that it is.
    pub fn address(&self, node: NodeId) -> Option<String> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&node).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_remembered_up_to_a_bound() {
        let heard = Heard::default();
        assert!(heard.says(NodeId(1), b"a:1"));
        assert!(heard.says(NodeId(1), b"b:1"));
        assert_eq!(heard.address(NodeId(1)).as_deref(), Some("b:1"));
        assert_eq!(heard.address(NodeId(2)), None);
        assert!(!heard.says(NodeId(2), b"\xff") && !heard.says(NodeId(2), &[b'a'; 256]));
        (2..=100).for_each(|id| assert!(heard.says(NodeId(id), b"c:1")));
        assert_eq!(heard.address(NodeId(64)).as_deref(), Some("c:1"));
        assert_eq!(heard.address(NodeId(65)), None);
    }
}
