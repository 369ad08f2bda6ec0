//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), with and without channel binding, written
//! from the RFC so that the client's library is not its own judge.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// What the server makes of a client's first message.
pub(super) struct Exchange {
    /// The user it names, unescaped.
    pub(super) user: String,
    /// Binding flag and authorisation identity, up to the second comma and with it.
    header: String,
    first: String,
    server_first: String,
    nonce: String,
    salt: Vec<u8>,
    rounds: u32,
}

/// What the TLS connection offers to bind to: the registered name and its data.
pub(super) type Bindings = Vec<(&'static str, Vec<u8>)>;

const SALT: &[u8] = b"sixteen bytes...";

impl Exchange {
    /// Reads `n,,n=user,r=nonce` and the like. `Err` is RFC 5802's error word.
    pub(super) fn begin(
        message: &str,
        is_plus: bool,
        offers_plus: bool,
        rounds: u32,
    ) -> Result<Self, &'static str> {
        let mut fields = message.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(first)) = (fields.next(), fields.next(), fields.next()) else {
            return Err("invalid-encoding");
        };
        match flag {
            "n" if !is_plus => {}
            "y" if !is_plus && !offers_plus => {}
            "y" => return Err("server-does-support-channel-binding"),
            _ if is_plus && flag.starts_with("p=") => {}
            _ => return Err("channel-binding-not-supported"),
        }
        let Some((user, nonce)) = first.strip_prefix("n=").and_then(|rest| rest.split_once(",r=")) else {
            return Err("invalid-encoding");
        };
        let nonce = format!("{nonce}server");
        Ok(Self {
            user: user.replace("=2C", ",").replace("=3D", "="),
            header: format!("{flag},{authzid},"),
            server_first: format!("r={nonce},s={},i={rounds}", BASE64.encode(SALT)),
            first: first.to_owned(),
            nonce,
            salt: SALT.to_vec(),
            rounds,
        })
    }

    /// The first challenge.
    pub(super) fn challenge(&self) -> &str {
        &self.server_first
    }

    /// The flag that the client announced: `n`, `y` or `p=` with the name of the binding.
    pub(super) fn flag(&self) -> &str {
        self.header.split(',').next().unwrap_or_default()
    }

    /// Judges `c=…,r=…,p=…`; returns the server's own proof.
    pub(super) fn finish(
        &self,
        message: &str,
        password: &str,
        bindings: &Bindings,
    ) -> Result<String, &'static str> {
        let (unsigned, proof) = message.rsplit_once(",p=").ok_or("invalid-encoding")?;
        let (binding, nonce) =
            unsigned.strip_prefix("c=").and_then(|rest| rest.split_once(",r=")).ok_or("invalid-encoding")?;
        let mut expected = self.header.clone().into_bytes();
        if let Some(name) = self.flag().strip_prefix("p=") {
            let (_, data) = bindings
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or("unsupported-channel-binding-type")?;
            expected.extend_from_slice(data);
        }
        if binding != BASE64.encode(expected) {
            return Err("channel-bindings-dont-match");
        }
        if nonce != self.nonce {
            return Err("other-error");
        }
        let mut salted = [0; 32];
        let rounds = NonZeroU32::new(self.rounds).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &self.salt, password.as_bytes(), &mut salted);
        let messages = format!("{},{},{unsigned}", self.first, self.server_first);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let signature = sign(stored_key.as_ref(), messages.as_bytes());
        let right: Vec<u8> = client_key.iter().zip(signature).map(|(key, signed)| key ^ signed).collect();
        if proof != BASE64.encode(right) {
            return Err("invalid-proof");
        }
        let server_key = sign(&salted, b"Server Key");
        Ok(format!("v={}", BASE64.encode(sign(&server_key, messages.as_bytes()))))
    }
}

fn sign(key: &[u8], what: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), what).as_ref().to_vec()
}
