//! Passwords on the wire, both sides of `caching_sha2_password` and `mysql_native_password`.
//!
//! Pure: the RSA key of a server is handed in, randomness comes in as a seed. The scrambles are those
//! of MySQL's manual ("Connection Phase"); the full exchange is RSA with OAEP and SHA-1 over the
//! password, with its final NUL, xored with the nonce.

use mysql_common::auth::plugins::caching_sha2_password::scramble_sha256;
use mysql_common::auth::plugins::mysql_native_password::scramble_native;
use rsa::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use rsa::rand_core::{CryptoRng, Error as RandomError, RngCore, impls};
use rsa::{Oaep, RsaPrivateKey, RsaPublicKey};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Length of the nonce in a server's challenge.
pub const NONCE_LEN: usize = 20;

/// A server's challenge.
pub type Nonce = [u8; NONCE_LEN];

/// Server to client: the fast scramble was right; an OK follows.
pub const FAST_AUTH_OK: &[u8] = &[1, 3];
/// Server to client: send the password itself, encrypted.
pub const FULL_AUTH_NEEDED: &[u8] = &[1, 4];
/// Client to server: send the public key.
pub const PUBLIC_KEY_REQUEST: &[u8] = &[2];

const MORE_DATA: u8 = 1;
const SWITCH: u8 = 0xfe;
/// Longest public key that is looked at; a 4096-bit key has about 800 bytes.
const PEM_BYTES_MAX: usize = 8 * 1024;
/// Length of a key made here, MySQL's own.
const KEY_BITS: usize = 2048;

/// A way to show that one knows the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// `caching_sha2_password`, the default since MySQL 8.0.
    CachingSha2,
    /// `mysql_native_password`.
    Native,
}

impl Plugin {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Plugin::CachingSha2 => "caching_sha2_password",
            Plugin::Native => "mysql_native_password",
        }
    }

    /// The plugin of that name, with or without a final NUL.
    pub fn from_name(name: &[u8]) -> Option<Plugin> {
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        [Plugin::CachingSha2, Plugin::Native]
            .into_iter()
            .find(|p| p.name().as_bytes() == name)
    }
}

/// A password; it does not show in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    /// From its bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Password {
        Password(bytes.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why the encrypted exchange cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// What the server sent is not a usable RSA public key.
    PublicKey,
    /// The password does not fit into one RSA block of the server's key.
    PasswordTooLong,
    /// What the client sent cannot be decrypted with our key.
    Undecipherable,
}

impl std::fmt::Display for AuthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AuthError::PublicKey => "the server's RSA public key cannot be read",
            AuthError::PasswordTooLong => "the password is too long for the server's RSA key",
            AuthError::Undecipherable => "the encrypted password cannot be decrypted",
        })
    }
}

impl std::error::Error for AuthError {}

/// Client: the answer to a challenge; empty for an empty password.
pub fn scramble(plugin: Plugin, nonce: &Nonce, password: &Password) -> Vec<u8> {
    match plugin {
        Plugin::CachingSha2 => scramble_sha256(nonce, &password.0).map_or(vec![], |s| s.to_vec()),
        Plugin::Native => scramble_native(nonce, &password.0).map_or(vec![], |s| s.to_vec()),
    }
}

/// Client: the password, encrypted with the server's key (PEM). `seed` must not be used twice.
pub fn encrypt_password(
    pem: &[u8],
    nonce: &Nonce,
    password: &Password,
    seed: [u8; 32],
) -> Result<Vec<u8>, AuthError> {
    let text = pem
        .get(..PEM_BYTES_MAX.min(pem.len()))
        .and_then(|p| std::str::from_utf8(p).ok());
    let text = text
        .ok_or(AuthError::PublicKey)?
        .trim_matches(['\0', '\n', '\r', ' ']);
    let key = RsaPublicKey::from_public_key_pem(text).map_err(|_| AuthError::PublicKey)?;
    let mut plain = password.0.clone();
    plain.push(0);
    xor_with(&mut plain, nonce);
    key.encrypt(&mut Seeded::new(seed), Oaep::new::<Sha1>(), &plain)
        .map_err(|error| match error {
            rsa::Error::MessageTooLong => AuthError::PasswordTooLong,
            _ => AuthError::PublicKey,
        })
}

/// Server: a key for the full exchange, as MySQL makes one at its first start. Takes part of a
/// second. The seed must be secret, and not used for anything else.
pub fn make_key(seed: [u8; 32]) -> RsaPrivateKey {
    RsaPrivateKey::new(&mut Seeded::new(seed), KEY_BITS).expect("2048 bits are enough for a key")
}

/// Server: the public part of the key, PEM.
pub fn public_key_pem(key: &RsaPrivateKey) -> String {
    let pem = key.to_public_key().to_public_key_pem(LineEnding::LF);
    pem.expect("a public key is always encodable")
}

/// Server: a nonce as clients expect it (no NUL, 7 bits), from random bytes.
pub fn nonce(random: [u8; NONCE_LEN]) -> Nonce {
    random.map(|byte| byte % 0x7f + 1)
}

/// Server: asks the client to answer by another plugin, with this nonce.
pub fn switch_request(plugin: Plugin, nonce: &Nonce) -> Vec<u8> {
    [&[SWITCH], plugin.name().as_bytes(), &[0], nonce, &[0]].concat()
}

/// Server: the packet with the public key (PEM).
pub fn public_key(pem: &str) -> Vec<u8> {
    [&[MORE_DATA], pem.as_bytes()].concat()
}

/// Server: what is needed to check an answer to a challenge.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    sha256_twice: [u8; 32],
    sha1_twice: [u8; 20],
    empty: bool,
}

impl Verifier {
    /// For this password.
    pub fn new(password: &Password) -> Verifier {
        Verifier {
            sha256_twice: Sha256::digest(Sha256::digest(&password.0)).into(),
            sha1_twice: Sha1::digest(Sha1::digest(&password.0)).into(),
            empty: password.0.is_empty(),
        }
    }

    /// Whether `answer` to the challenge shows knowledge of the password (fast exchange).
    pub fn check(&self, plugin: Plugin, nonce: &Nonce, answer: &[u8]) -> bool {
        if self.empty || answer.is_empty() {
            return self.empty && answer.is_empty();
        }
        match plugin {
            Plugin::CachingSha2 => {
                let mask = Sha256::new()
                    .chain_update(self.sha256_twice)
                    .chain_update(nonce);
                unmask(answer, &mask.finalize())
                    .is_some_and(|once| same(&Sha256::digest(once), &self.sha256_twice))
            }
            Plugin::Native => {
                let mask = Sha1::new()
                    .chain_update(nonce)
                    .chain_update(self.sha1_twice);
                unmask(answer, &mask.finalize())
                    .is_some_and(|once| same(&Sha1::digest(once), &self.sha1_twice))
            }
        }
    }

    /// Whether this is the password (full exchange).
    pub fn check_password(&self, password: &Password) -> bool {
        same(
            &Sha256::digest(Sha256::digest(&password.0)),
            &self.sha256_twice,
        )
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// Server: the password out of what the client sent. `seed` blinds the private key's use against
/// measuring of time; it must not be used twice.
pub fn decrypt_password(
    key: &RsaPrivateKey,
    nonce: &Nonce,
    encrypted: &[u8],
    seed: [u8; 32],
) -> Result<Password, AuthError> {
    let mut plain = key
        .decrypt_blinded(&mut Seeded::new(seed), Oaep::new::<Sha1>(), encrypted)
        .map_err(|_| AuthError::Undecipherable)?;
    xor_with(&mut plain, nonce);
    match plain.pop() {
        Some(0) => Ok(Password(plain)),
        _ => Err(AuthError::Undecipherable),
    }
}

fn xor_with(bytes: &mut [u8], nonce: &Nonce) {
    for (byte, mask) in bytes.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
}

fn unmask(answer: &[u8], mask: &[u8]) -> Option<Vec<u8>> {
    (answer.len() == mask.len()).then(|| answer.iter().zip(mask).map(|(a, m)| a ^ m).collect())
}

/// Compares without ending early.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .fold(0, |different, (a, b)| different | (a ^ b))
            == 0
}

/// Random bytes out of a seed: SHA-256 of the seed and a counter.
struct Seeded {
    seed: [u8; 32],
    block: u64,
}

impl Seeded {
    fn new(seed: [u8; 32]) -> Seeded {
        Seeded { seed, block: 0 }
    }
}

impl RngCore for Seeded {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for part in out.chunks_mut(32) {
            let block = Sha256::new()
                .chain_update(self.seed)
                .chain_update(self.block.to_le_bytes());
            part.copy_from_slice(&block.finalize()[..part.len()]);
            self.block += 1;
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Seeded {}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = *b"NR3HP:qIYa_9=db?Sd{`";

    fn key() -> (RsaPrivateKey, String) {
        let key = make_key([5; 32]);
        let pem = public_key_pem(&key);
        (key, pem)
    }

    #[test]
    fn scrambles_are_those_of_mysql() {
        let password = Password::new(*b"G!ider27");
        let sha2 = "4f97bbfd202401c42a69deaae53bda077ed7578563c1a80eb816c82119b68d2e";
        let native = "09cff885 5e9e7053 40ff2270 d8fb9fad ba906b70".replace(' ', "");
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(scramble(Plugin::CachingSha2, &NONCE, &password)), sha2);
        assert_eq!(hex(scramble(Plugin::Native, &NONCE, &password)), native);
    }

    #[test]
    fn the_right_password_passes_and_no_other() {
        for plugin in [Plugin::CachingSha2, Plugin::Native] {
            for (known, given) in [
                ("repl", "repl"),
                ("repl", "Repl"),
                ("repl", ""),
                ("", "x"),
                ("", ""),
            ] {
                let verifier = Verifier::new(&Password::new(known));
                let answer = scramble(plugin, &NONCE, &Password::new(given));
                assert_eq!(verifier.check(plugin, &NONCE, &answer), known == given);
                assert_eq!(
                    verifier.check_password(&Password::new(given)),
                    known == given
                );
                assert!(!verifier.check(plugin, &NONCE, &[1; 31]));
            }
        }
    }

    #[test]
    fn an_answer_to_another_nonce_does_not_pass() {
        let password = Password::new("repl");
        let answer = scramble(Plugin::CachingSha2, &[1; 20], &password);
        assert!(!Verifier::new(&password).check(Plugin::CachingSha2, &NONCE, &answer));
    }

    #[test]
    fn full_exchange_brings_the_password_over() {
        let (key, pem) = key();
        for text in [
            "repl",
            "",
            "a password longer than the nonce is, with ümläuts",
        ] {
            let password = Password::new(text);
            let sent = encrypt_password(pem.as_bytes(), &NONCE, &password, [1; 32]).unwrap();
            assert_eq!(sent.len(), 256);
            assert_ne!(
                sent,
                encrypt_password(pem.as_bytes(), &NONCE, &password, [2; 32]).unwrap()
            );
            assert_eq!(decrypt_password(&key, &NONCE, &sent, [3; 32]), Ok(password));
        }
        let too_long = Password::new(vec![b'x'; 300]);
        let refused = encrypt_password(pem.as_bytes(), &NONCE, &too_long, [1; 32]);
        assert_eq!(refused, Err(AuthError::PasswordTooLong));
    }

    #[test]
    fn damaged_keys_and_passwords_are_errors() {
        let (key, pem) = key();
        let password = Password::new("repl");
        let cut = &pem.as_bytes()[..pem.len() / 2];
        for bad in [
            cut,
            b"",
            b"-----BEGIN PUBLIC KEY-----",
            &[0xff; 400],
            &[b'A'; 20_000],
        ] {
            let refused = encrypt_password(bad, &NONCE, &password, [1; 32]);
            assert_eq!(refused, Err(AuthError::PublicKey));
        }
        let mut sent = encrypt_password(pem.as_bytes(), &NONCE, &password, [1; 32]).unwrap();
        sent[100] ^= 1;
        for bad in [&sent[..], &sent[..255], &[], &[0xff; 256]] {
            let refused = decrypt_password(&key, &NONCE, bad, [3; 32]);
            assert_eq!(refused, Err(AuthError::Undecipherable));
        }
    }

    #[test]
    fn a_nonce_has_no_byte_that_ends_it() {
        let random = std::array::from_fn(|i| (i * 14) as u8);
        assert!(nonce(random).iter().all(|byte| (1..0x80).contains(byte)));
        assert_eq!(nonce([0x7f; 20]), [1; 20]);
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let password = Password::new("repl");
        assert_eq!(
            format!("{password:?} {:?}", Verifier::new(&password)),
            "(secret) (secret)"
        );
    }

    #[test]
    fn plugins_are_known_by_name() {
        assert_eq!(
            Plugin::from_name(b"caching_sha2_password\0"),
            Some(Plugin::CachingSha2)
        );
        assert_eq!(
            Plugin::from_name(b"mysql_native_password"),
            Some(Plugin::Native)
        );
        assert_eq!(Plugin::from_name(b"sha256_password"), None);
        let switch = switch_request(Plugin::Native, &NONCE);
        assert_eq!(&switch[..23], b"\xfemysql_native_password\0");
        assert_eq!(&switch[23..], [&NONCE[..], &[0]].concat());
    }
}
