//! What is secret, and what is made from it: text that does not print itself, keys, sealed passwords.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use kingbus_core::node::catalog::Sealed;
use sha2::Sha256;

use crate::os;

/// Shortest secret that a cluster may have, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;

const NONCE_LEN: usize = 24;
const SEALED_VERSION: u8 = 1;
const SEALED_FOR: &[u8] = b"kingbus source password";

/// A password, token or secret. It shows neither in `{:?}` nor anywhere else by itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// From its text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `other` is the same text; takes the same time wherever they differ.
    pub fn is(&self, other: &str) -> bool {
        let (a, b) = (self.0.as_bytes(), other.as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why a sealed password could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongSecret;

impl std::fmt::Display for WrongSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "the source's password was sealed under another secret; give all nodes the same \
             cluster.secret, then name the source again with `kingbus source set`",
        )
    }
}

/// The keys of a cluster, each made from its secret for one use.
#[derive(Clone)]
pub struct Keys {
    seal: [u8; 32],
    peer: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Keys {
    /// From the cluster's secret.
    pub fn new(secret: &Secret) -> Keys {
        let key = |purpose: &[u8]| mac(secret.0.as_bytes(), &[b"kingbus 1 ", purpose]);
        Keys {
            seal: key(b"seal"),
            peer: key(b"peer"),
        }
    }

    /// The key for authentication between nodes.
    pub(crate) fn peer(&self) -> &[u8; 32] {
        &self.peer
    }

    /// Encrypts a password, so that only a node with the same secret can read it.
    pub fn seal(&self, password: &Secret) -> Sealed {
        let nonce: [u8; NONCE_LEN] = os::random();
        let payload = Payload {
            msg: password.0.as_bytes(),
            aad: SEALED_FOR,
        };
        let cipher = XChaCha20Poly1305::new(&self.seal.into());
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a password is short enough to be encrypted");
        let mut out = vec![SEALED_VERSION];
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Sealed(out)
    }

    /// Reads what [`seal`](Self::seal) made.
    pub fn open(&self, sealed: &Sealed) -> Result<Secret, WrongSecret> {
        let (&version, rest) = sealed.0.split_first().ok_or(WrongSecret)?;
        let (nonce, msg) = rest.split_first_chunk::<NONCE_LEN>().ok_or(WrongSecret)?;
        if version != SEALED_VERSION {
            return Err(WrongSecret);
        }
        let cipher = XChaCha20Poly1305::new(&self.seal.into());
        let plain = cipher
            .decrypt(
                XNonce::from_slice(nonce),
                Payload {
                    msg,
                    aad: SEALED_FOR,
                },
            )
            .map_err(|_| WrongSecret)?;
        String::from_utf8(plain)
            .map(Secret)
            .map_err(|_| WrongSecret)
    }
}

/// HMAC-SHA256 of the parts, one after the other.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    keyed(key, parts).finalize().into_bytes().into()
}

/// Whether `tag` is the [`mac`] of the parts; takes the same time wherever it differs.
pub(crate) fn mac_is(key: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
    keyed(key, parts).verify_slice(tag).is_ok()
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("a key of any length will do");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_password_opens_under_the_same_secret_only() {
        let keys = Keys::new(&Secret::new("a secret of sixteen"));
        let sealed = keys.seal(&Secret::new("hunter2"));
        assert_eq!(keys.open(&sealed), Ok(Secret::new("hunter2")));
        assert!(!sealed.0.windows(7).any(|w| w == b"hunter2"));
        let other = Keys::new(&Secret::new("another secret here"));
        assert_eq!(other.open(&sealed), Err(WrongSecret));
    }

    #[test]
    fn altered_or_short_seals_are_refused() {
        let keys = Keys::new(&Secret::new("a secret of sixteen"));
        let sealed = keys.seal(&Secret::new("x"));
        for at in 0..sealed.0.len() {
            let mut bytes = sealed.0.clone();
            bytes[at] ^= 1;
            assert_eq!(keys.open(&Sealed(bytes)), Err(WrongSecret));
            assert_eq!(
                keys.open(&Sealed(sealed.0[..at].to_vec())),
                Err(WrongSecret)
            );
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret:?} {:?}", Keys::new(&secret)).contains("hunter2"));
        assert!(secret.is("hunter2") && !secret.is("hunter3") && !secret.is("hunter"));
    }
}
