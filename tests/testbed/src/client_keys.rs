//! Keys and certificates with which OAuth clients sign statements: every algorithm, in every form of PEM that is
//! found in Secrets. Node makes the keys, since ring can make none for RSA.

use crate::certificates::ServerCertificate;
use crate::error::{Error, Result};
use rcgen::{CertificateParams, DnType, KeyPair};
use std::process::Command;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with this many bits.
    Rsa(u16),
    /// NIST's P-256.
    P256,
    /// NIST's P-384.
    P384,
    /// Ed25519.
    Ed25519,
}

/// How a private key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `BEGIN PRIVATE KEY`.
    Pkcs8,
    /// `BEGIN RSA PRIVATE KEY` (PKCS#1) or `BEGIN EC PRIVATE KEY` (SEC1).
    Traditional,
    /// `BEGIN ENCRYPTED PRIVATE KEY`.
    Encrypted,
}

const SCRIPT: &str = "
const { generateKeyPairSync } = require('node:crypto');
const [, algorithm, form] = process.argv;
const kind = algorithm.startsWith('rsa') ? 'rsa' : algorithm === 'ed25519' ? 'ed25519' : 'ec';
const options = { modulusLength: Number(algorithm.slice(3)) || 2048, namedCurve: algorithm };
const { privateKey } = generateKeyPairSync(kind, options);
const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'pem' });
const type = form === 'traditional' ? (kind === 'rsa' ? 'pkcs1' : 'sec1') : 'pkcs8';
const lock = form === 'encrypted' ? { cipher: 'aes-256-cbc', passphrase: 'canary' } : {};
console.log(JSON.stringify([pkcs8, privateKey.export({ type, format: 'pem', ...lock })]));
";

/// Makes a private key, and a certificate of its own for it. The key is in `form`.
pub fn self_signed(name: &str, algorithm: Algorithm, form: Form) -> Result<ServerCertificate> {
    let (pkcs8, key_pem) = private_key(algorithm, form)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate_pem = params.self_signed(&KeyPair::from_pem(&pkcs8)?)?.pem();
    Ok(ServerCertificate { certificate_pem, key_pem })
}

/// Makes a private key: first as PKCS#8, then in `form`.
pub fn private_key(algorithm: Algorithm, form: Form) -> Result<(String, String)> {
    let algorithm = match algorithm {
        Algorithm::Rsa(bits) => format!("rsa{bits}"),
        Algorithm::P256 => "P-256".into(),
        Algorithm::P384 => "P-384".into(),
        Algorithm::Ed25519 => "ed25519".into(),
    };
    let form = match form {
        Form::Pkcs8 => "pkcs8",
        Form::Traditional => "traditional",
        Form::Encrypted => "encrypted",
    };
    let mut command = Command::new("node");
    command.args(["-e", SCRIPT, "--", &algorithm, form]);
    let output = command.output().map_err(Error::io("starting node"))?;
    let odd = || Error::Unexpected(format!("node made no key: {}", String::from_utf8_lossy(&output.stderr)));
    let mut keys: Vec<String> = serde_json::from_slice(&output.stdout).map_err(|_| odd())?;
    keys.pop().and_then(|key| Some((keys.pop()?, key))).ok_or_else(odd)
}
