//! Who is there: the exchange from the client's first answer to OK or to error 1045.

use std::sync::Arc;

use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePublicKey, LineEnding};

use super::handshake::{Greeting, Response};
use crate::auth::{self, Password, Plugin, Verifier};

/// The account that replicas use.
#[derive(Clone, Debug)]
pub struct Account {
    user: String,
    verifier: Verifier,
}

impl Account {
    /// This user with this password.
    pub fn new(user: impl Into<String>, password: &Password) -> Account {
        Account {
            user: user.into(),
            verifier: Verifier::new(password),
        }
    }
}

/// The key that clients encrypt their password with when the scramble did not do.
pub struct ServerKey {
    private: RsaPrivateKey,
    public_pem: String,
}

impl ServerKey {
    /// From the private key. Error: it has no public part that could be encoded.
    pub fn new(private: RsaPrivateKey) -> Result<ServerKey, rsa::pkcs8::spki::Error> {
        let public_pem = private.to_public_key().to_public_key_pem(LineEnding::LF)?;
        Ok(ServerKey {
            private,
            public_pem,
        })
    }
}

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// Some clients send an empty password with its final NUL.
const NO_PASSWORD: &[u8] = &[0];

/// Length of an answer by `mysql_native_password`.
const NATIVE_ANSWER_LEN: usize = 20;

/// One login. An unknown user and a wrong password take the same way.
#[derive(Debug)]
pub(super) struct Login {
    account: Arc<Account>,
    key: Option<Arc<ServerKey>>,
    scramble: auth::Nonce,
    seed: [u8; 32],
    known_user: bool,
    state: State,
}

/// What the client sends next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its answer to the challenge by another plugin.
    Answer(Plugin),
    /// The encrypted password, or a request for the key before it.
    KeyRequestOrPassword,
    /// The encrypted password.
    EncryptedPassword,
}

/// What follows from a packet of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this and wait for the client.
    Ask(Vec<u8>),
    /// Logged in; `fast` says that [`auth::FAST_AUTH_OK`] goes before the OK.
    Accepted { fast: bool },
    /// Error 1045.
    Denied { with_password: bool },
}

impl Login {
    /// The login that begins with this answer to the greeting.
    pub(super) fn begin(
        account: Arc<Account>,
        key: Option<Arc<ServerKey>>,
        greeting: &Greeting,
        response: &Response<'_>,
    ) -> (Login, Step) {
        let known_user = response.user == account.user.as_bytes();
        let mut login = Login {
            account,
            key,
            scramble: greeting.scramble,
            seed: greeting.seed,
            known_user,
            state: State::Answer(Plugin::CachingSha2),
        };
        let step = login.first(response);
        (login, step)
    }

    fn first(&mut self, response: &Response<'_>) -> Step {
        let Some(name) = response.plugin else {
            return self.check(Plugin::Native, response.answer);
        };
        match Plugin::from_name(name) {
            Some(Plugin::CachingSha2) => self.check(Plugin::CachingSha2, response.answer),
            // Without an answer when it saw that the challenge is one of another plugin.
            Some(Plugin::Native) if response.answer.len() == NATIVE_ANSWER_LEN => {
                self.check(Plugin::Native, response.answer)
            }
            Some(Plugin::Native) => self.switch(Plugin::Native),
            None => self.switch(Plugin::CachingSha2),
        }
    }

    /// Another packet of the client.
    pub(super) fn receive(&mut self, payload: &[u8]) -> Step {
        match (self.state, &self.key) {
            (State::Answer(plugin), _) => self.check(plugin, payload),
            (State::KeyRequestOrPassword, Some(key)) if payload == auth::PUBLIC_KEY_REQUEST => {
                let packet = auth::public_key(&key.public_pem);
                self.state = State::EncryptedPassword;
                Step::Ask(packet)
            }
            (State::KeyRequestOrPassword | State::EncryptedPassword, Some(key)) => {
                let password =
                    auth::decrypt_password(&key.private, &self.scramble, payload, self.seed);
                let right = password.is_ok_and(|p| self.account.verifier.check_password(&p));
                self.verdict(right, false, true)
            }
            (State::KeyRequestOrPassword | State::EncryptedPassword, None) => {
                unreachable!("the full exchange begins only with a key")
            }
        }
    }

    fn switch(&mut self, plugin: Plugin) -> Step {
        self.state = State::Answer(plugin);
        Step::Ask(auth::switch_request(plugin, &self.scramble))
    }

    /// Checks an answer to the challenge.
    fn check(&mut self, plugin: Plugin, answer: &[u8]) -> Step {
        let answer = if answer == NO_PASSWORD { &[] } else { answer };
        let right = self.account.verifier.check(plugin, &self.scramble, answer);
        let right = right & self.known_user;
        let fast = plugin == Plugin::CachingSha2 && !answer.is_empty();
        if fast && !right && self.key.is_some() {
            // As a MySQL server does that cannot tell yet; the end will be the same.
            self.state = State::KeyRequestOrPassword;
            return Step::Ask(auth::FULL_AUTH_NEEDED.to_vec());
        }
        self.verdict(right, fast, !answer.is_empty())
    }

    fn verdict(&self, right: bool, fast: bool, with_password: bool) -> Step {
        if right & self.known_user {
            Step::Accepted { fast }
        } else {
            Step::Denied { with_password }
        }
    }
}
