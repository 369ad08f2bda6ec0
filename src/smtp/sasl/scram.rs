//! What SCRAM (RFC 5802, RFC 7677) needs besides rsasl: the binding to the TLS connection, the costly
//! key derivation in a place where it delays nobody else, and bounds on what a server may ask for. A
//! login counts only once the server, too, has proved that it knows the password.

use crate::api::Reason;
use crate::domain::failure::{Failure, Permanence, Phase, Scope};
use crate::domain::secret::Secret;
use sha2::Digest as _;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// Rounds of key derivation that a server may ask for. RFC 7677 demands the first number; the second
/// is beyond what OWASP recommends for storing passwords, and takes half a second of one core.
const ROUNDS: RangeInclusive<u32> = 4096..=1_000_000;

/// Added to a refusal of SCRAM.
pub(super) const ADVICE: &str = "; if the password is right, the server may have no SCRAM secret for the account: set auth.basic.mechanism";

/// Data that both ends of one TLS connection know and nobody between them.
#[derive(Clone)]
pub(super) struct Binding {
    /// As registered at IANA.
    pub(super) name: &'static str,
    pub(super) data: Vec<u8>,
}

impl Binding {
    /// RFC 9266 for TLS 1.3. With TLS 1.2 that would be safe only together with the extended master
    /// secret, which rustls does not report, and rustls has no tls-unique: what remains is the server's
    /// certificate (RFC 5929).
    pub(super) fn of(connection: &rustls::ClientConnection) -> Option<Self> {
        if connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3) {
            let data = connection
                .export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b""))
                .ok()?;
            return Some(Self { name: "tls-exporter", data });
        }
        let certificate = connection.peer_certificates()?.first()?;
        Some(Self { name: "tls-server-end-point", data: end_point(certificate)? })
    }

    /// Whether servers that offer a binding can be expected to know this one. Many know only tls-unique
    /// with TLS 1.2.
    pub(super) fn is_known_everywhere(&self) -> bool {
        self.name == "tls-exporter"
    }
}

/// RFC 5929 section 4.1: the certificate, hashed as its signature hashes, but never weaker than
/// SHA-256. `None` for signatures without one hash of their own, such as Ed25519.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    use x509_parser::oid_registry as oid;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let signature = &parsed.signature_algorithm.algorithm;
    let is = |known: &[oid::Oid<'_>]| known.contains(signature);
    if is(&[
        oid::OID_PKCS1_SHA256WITHRSA,
        oid::OID_SIG_ECDSA_WITH_SHA256,
        oid::OID_PKCS1_SHA1WITHRSA,
        oid::OID_PKCS1_MD5WITHRSAENC,
    ]) {
        Some(sha2::Sha256::digest(certificate).to_vec())
    } else if is(&[oid::OID_PKCS1_SHA384WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA384]) {
        Some(sha2::Sha384::digest(certificate).to_vec())
    } else if is(&[oid::OID_PKCS1_SHA512WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA512]) {
        Some(sha2::Sha512::digest(certificate).to_vec())
    } else {
        None
    }
}

/// Refuses what rsasl would panic at (a field of one character) and what would cost too much or
/// protect too little.
pub(super) fn check_server_first(challenge: &[u8]) -> Result<(), Failure> {
    let violation = |what| Failure::protocol_violation(Phase::Auth, what);
    let mut fields = challenge.split(|byte| *byte == b',');
    let mut field = |name: &[u8]| fields.next()?.strip_prefix(name);
    let (Some(_nonce), Some(_salt), Some(rounds)) = (field(b"r="), field(b"s="), field(b"i=")) else {
        return Err(violation("the server's challenge is not one of SCRAM"));
    };
    let rounds: Option<u32> = str::from_utf8(rounds).ok().and_then(|rounds| rounds.parse().ok());
    match rounds {
        Some(rounds) if ROUNDS.contains(&rounds) => Ok(()),
        Some(rounds) => {
            let what = format!(
                "the server asks for {rounds} rounds of SCRAM's key derivation and only {} to {} are reasonable; \
                 store the password anew on the server, or set auth.basic.mechanism to Plain",
                ROUNDS.start(),
                ROUNDS.end()
            );
            Err(unreasonable(what))
        }
        None => Err(violation("the server's challenge is not one of SCRAM")),
    }
}

fn unreasonable(what: String) -> Failure {
    Failure::new(Scope::Server, Permanence::UntilChanged, Reason::ProtocolViolation, Phase::Auth, what)
}

/// The password as RFC 5802's `SaltedPassword`. One that has no SASLprep form is taken as it is, as
/// servers do that do not know SASLprep.
pub(super) fn salted(password: &Secret, salt: &[u8], rounds: u32) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    let prepared =
        stringprep::saslprep(password.expose()).map(|prepared| Zeroizing::new(prepared.into_owned()));
    let password = prepared.as_ref().map_or(password.expose(), |prepared| prepared.as_str());
    let rounds = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
    ring::pbkdf2::derive(ring::pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut *out);
    out
}

/// The answer to the server's first message, computed off the threads that serve other sessions. If
/// nobody waits for it any more it still comes to an end, within what [`ROUNDS`] permits.
pub(super) async fn prove(
    sasl: Option<rsasl::prelude::Session>,
    challenge: Vec<u8>,
) -> Result<(rsasl::prelude::Session, Zeroizing<Vec<u8>>), Failure> {
    let step = move || {
        let mut sasl = sasl?;
        let mut response = Zeroizing::new(Vec::new());
        sasl.step(Some(&challenge), &mut *response).ok()?;
        Some((sasl, response))
    };
    let what = "the server's SCRAM challenge does not belong to our login";
    let proved = tokio::task::spawn_blocking(step).await.ok().flatten();
    proved.ok_or_else(|| Failure::protocol_violation(Phase::Auth, what))
}

/// What the server's last message proves.
pub(super) enum ServerFinal {
    /// It knows the password.
    Verified,
    /// Nothing.
    NotVerified,
}

/// Takes the mechanism out: it has nothing more to say, and must not be asked again.
pub(super) fn server_final(sasl: &mut Option<rsasl::prelude::Session>, challenge: &[u8]) -> ServerFinal {
    // rsasl panics at fewer than two bytes.
    let sasl = sasl.take().filter(|_| challenge.starts_with(b"v="));
    match sasl.map(|mut sasl| sasl.step(Some(challenge), &mut Vec::new())) {
        Some(Ok(state)) if state.is_finished() => ServerFinal::Verified,
        _ => ServerFinal::NotVerified,
    }
}

/// The error a server may give instead of its proof, if it is one of RFC 5802 section 7: other words
/// are not repeated.
pub(super) fn server_error(challenge: &[u8]) -> Option<&'static str> {
    const KNOWN: [&str; 10] = [
        "invalid-encoding",
        "extensions-not-supported",
        "invalid-proof",
        "channel-bindings-dont-match",
        "server-does-support-channel-binding",
        "channel-binding-not-supported",
        "unsupported-channel-binding-type",
        "unknown-user",
        "invalid-username-encoding",
        "no-resources",
    ];
    let error = challenge.strip_prefix(b"e=")?;
    let error = error.split(|byte| *byte == b',').next().unwrap_or_default();
    Some(KNOWN.into_iter().find(|known| known.as_bytes() == error).unwrap_or("other-error"))
}

/// The server lets us in without knowing the password: it is not the one that the password belongs to,
/// or it is broken. Either way it gets no mail.
pub(super) fn unproven() -> Failure {
    Failure::new(
        Scope::Server,
        Permanence::Temporary,
        Reason::ProtocolViolation,
        Phase::Auth,
        "the server accepts the login without proving that it knows the password, as SCRAM demands; find out who \
         answers at this address; if it is the right server and cannot do better, set auth.basic.mechanism to Plain",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn first_messages() {
        for (challenge, is_fine) in [
            ("r=abc,s=QSXCR+Q6sek8bf92,i=4096", true),
            ("r=abc,s=QSXCR+Q6sek8bf92,i=1000000,x=y", true),
            ("r=abc,s=QSXCR+Q6sek8bf92,i=4095", false),
            ("r=abc,s=QSXCR+Q6sek8bf92,i=1000001", false),
            ("r=abc,s=QSXCR+Q6sek8bf92,i=4294967296", false),
            ("r=abc,s=QSXCR+Q6sek8bf92,i=0", false),
            ("r=abc,s=QSXCR+Q6sek8bf92,i=", false),
            ("r=abc,s=QSXCR+Q6sek8bf92", false),
            ("m=x,r=abc,s=QSXCR+Q6sek8bf92,i=4096", false),
            ("r=abc,,", false),
            ("r=abc,s,i", false),
            ("r", false),
            ("", false),
        ] {
            let outcome = check_server_first(challenge.as_bytes());
            assert_eq!(outcome.is_ok(), is_fine, "{challenge}");
            assert!(outcome.is_ok_and(|()| true) || !is_fine);
        }
    }

    #[test]
    fn errors_are_known_words() {
        assert_eq!(server_error(b"e=invalid-proof"), Some("invalid-proof"));
        assert_eq!(server_error(b"e=unknown-user,x=canary"), Some("unknown-user"));
        assert_eq!(server_error(b"e=canary"), Some("other-error"));
        assert_eq!(server_error(b"v=AAAA"), None);
    }

    /// RFC 7677 section 3: the proof of "pencil" follows from this.
    #[test]
    fn salted_password() {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::STANDARD;
        let salt = engine.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted(&Secret::new("pencil"), &salt, 4096);
        let key = |of: &[u8], what: &[u8]| {
            ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, of), what).as_ref().to_vec()
        };
        let messages = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
                        r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
                        c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let server_key = key(&*salted, b"Server Key");
        assert_eq!(
            engine.encode(key(&server_key, messages.as_bytes())),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        // RFC 4013: a ligature and its letters are one password.
        assert_eq!(
            *super::salted(&Secret::new("\u{fb03}"), &salt, 4096),
            *super::salted(&Secret::new("ffi"), &salt, 4096)
        );
    }
}
