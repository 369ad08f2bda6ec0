//! MailServerConfigs with what they refer to: what the operator would say of the spec, of Secrets that do not name
//! their hosts, of missing keys, and of logins that are about to end.

use crate::api::Reason;
use crate::api::mail_server_config::{MailServerConfig, TlsMode};
use crate::api::names::{ALLOW_PLAINTEXT, ALLOWED_CA, ALLOWED_HOSTS};
use crate::cli::lint::diagnostic::{Code, Diagnostic};
use crate::cli::lint::judgement::{self, Bench, STAND_IN};
use crate::cli::lint::place::Step;
use crate::cli::lint::set::{Manifest, Object};
use crate::cli::lint::yaml::{Content, Node};
use crate::domain::binding::{Binding, digest};
use crate::domain::credentials::{self, Fetched, Stored};
use crate::domain::exchange_online;
use crate::domain::object::ObjectKey;
use crate::domain::server::{Grant, Login, Proof, Server};
use crate::domain::verification::StageFailure;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// The server, if it can be used, and what is wrong with it.
pub fn check(
    bench: &Bench<'_>,
    manifest: &Manifest,
    json: &Json,
    found: &mut Vec<Diagnostic>,
) -> Option<Server> {
    let config: MailServerConfig = judgement::as_stored(manifest, json, bench.now)?;
    let server = match Server::from_config(&config) {
        Ok(server) => server,
        Err(problems) => {
            let code = Code::Operator(Reason::InvalidSpec);
            found.extend(
                problems
                    .iter()
                    .map(|problem| bench.at_field(manifest, code, &problem.field, &problem.message)),
            );
            return None;
        }
    };
    warnings(bench, manifest, &server, found);
    references(bench, manifest, &server, found);
    Some(server)
}

fn warnings(bench: &Bench<'_>, manifest: &Manifest, server: &Server, found: &mut Vec<Diagnostic>) {
    let mut warn = |code, field: &str, message: String, help: &str| {
        let problem = bench.at_field(manifest, code, field, &message).help(help);
        found.push(Diagnostic { severity: crate::cli::lint::Severity::Warning, ..problem });
    };
    let Login::Password { .. } = server.login else { return };
    if exchange_online::is_exchange_online_host(&server.host) {
        let message = exchange_online::BASIC_AUTH_RETIREMENT.into();
        warn(Code::BasicAuthRetiring, "auth.basic", message, "use auth.exchangeOnline instead");
    }
    if server.tls.mode == TlsMode::Disabled {
        let message = format!("the password travels unencrypted to {}", server.host);
        warn(Code::PlaintextAuth, "tls.mode", message, "use StartTLS or Implicit, if the server can");
    }
}

/// What a server refers to: its kind, its name, and the object if it is among the files.
type Reference<'a> = (&'static str, &'a str, Option<&'a Object>);

fn references(bench: &Bench<'_>, manifest: &Manifest, server: &Server, found: &mut Vec<Diagnostic>) {
    let namespace = &server.key.namespace;
    let wanted = server.references();
    let key = |name: &str| ObjectKey::new(namespace, name);
    let secrets = wanted.secrets.iter().map(|name| ("Secret", *name, bench.set.secrets.get(&key(name))));
    let maps =
        wanted.config_maps.iter().map(|name| ("ConfigMap", *name, bench.set.config_maps.get(&key(name))));
    let account = wanted.service_account.iter();
    let account = account.map(|name| ("ServiceAccount", *name, bench.set.service_accounts.get(&key(name))));
    let all: Vec<Reference<'_>> = secrets.chain(maps).chain(account).collect();
    for (kind, name, object) in &all {
        let Some(object) = object else {
            let field = field_of(manifest, kind, name);
            found.extend(bench.missing(manifest, &field, kind, &key(name)));
            continue;
        };
        // Everything else stands in for itself, so that each object gets an answer of its own.
        let fetched = fetched(server, &all, name, kind);
        match credentials::resolve(server, &fetched, Binding::Required) {
            Ok(credentials) => {
                for expiry in credentials.expiries {
                    let span = annotation(object, crate::api::names::EXPIRES_AT);
                    let message = match expiry.at {
                        Ok(at) if at <= bench.now => {
                            format!("{} ended on {}", expiry.what, at.strftime("%Y-%m-%d"))
                        }
                        Ok(_) => continue,
                        Err(message) => message,
                    };
                    found.push(Diagnostic::warning(Code::CredentialExpiring, object.file, span, message));
                }
            }
            Err(failure) => found.push(refused(bench, manifest, (kind, name, object), failure)),
        }
        if *kind == "Secret" {
            found.extend(in_plain_text(bench, object));
        }
    }
}

fn refused(
    bench: &Bench<'_>,
    manifest: &Manifest,
    (kind, name, object): (&str, &str, &Object),
    failure: StageFailure,
) -> Diagnostic {
    let StageFailure { reason, message, .. } = failure;
    let code = Code::Operator(reason);
    let on_the_secret = matches!(reason, Reason::SecretNotBound | Reason::PlaintextNotAllowed);
    // The sentences end in a command for a cluster; in a file the annotation is written down.
    let (message, command) = match message.split_once(": kubectl ") {
        Some((message, command)) if on_the_secret => (message.to_owned(), Some(command.to_owned())),
        _ => (message, None),
    };
    if !on_the_secret {
        let field = field_of(manifest, kind, name);
        let of_key = field.strip_suffix(".name").filter(|_| reason == Reason::SecretKeyMissing);
        let field = of_key.map_or(field.clone(), |reference| format!("{reference}.key"));
        return bench.at_field(manifest, code, &field, &message);
    }
    let command_sets =
        |name: &str| command.as_deref().is_some_and(|command| command.contains(&format!(" {name}=")));
    let wanted = match reason {
        Reason::SecretNotBound if !command_sets(ALLOWED_HOSTS) => ALLOWED_CA,
        Reason::SecretNotBound => ALLOWED_HOSTS,
        _ => ALLOW_PLAINTEXT,
    };
    let value = command.as_deref().and_then(|command| command.split_once(&format!("{wanted}=")));
    let value = value.map_or("", |(_, value)| value);
    // In a cluster the command reads what is listed, in a file it is there.
    let more = value.split_once("'),").and_then(|(_, more)| more.split('"').next());
    let listed = object.annotations().find(|(known, _)| *known == wanted);
    let listed = listed.and_then(|(_, entry)| entry.value.text()).filter(|listed| !listed.trim().is_empty());
    let value = match (more, listed) {
        (Some(more), Some(listed)) => format!("{listed},{more}"),
        (Some(more), None) => more.to_owned(),
        (None, _) => value.to_owned(),
    };
    let message = message.rsplit_once(". ").map_or(message.as_str(), |(what, _)| what);
    Diagnostic::error(code, object.file, annotation(object, wanted), message)
        .help(format!("if that is the right place, write below metadata.annotations: {wanted}: \"{value}\""))
        .field(format!("metadata.annotations.{wanted}"))
}

/// What to point at for an annotation: its value, else where it would stand.
fn annotation(object: &Object, name: &str) -> std::ops::Range<usize> {
    let written = object.annotations().find(|(known, _)| *known == name);
    let annotations = object.root.get("metadata").and_then(|metadata| metadata.entry("annotations"));
    match (written, annotations) {
        (Some((_, entry)), _) if !matches!(entry.value.content, Content::Null) => entry.value.span.clone(),
        (_, Some(annotations)) => annotations.span.clone(),
        _ => object.span(),
    }
}

/// Where a manifest names that object, below `spec`.
pub fn field_of(manifest: &Manifest, kind: &str, name: &str) -> String {
    let mut path = Vec::new();
    let spec = manifest.object.root.get("spec");
    let found = spec.is_some_and(|spec| naming(spec, kind, name, &mut path));
    let steps = if found { path } else { Vec::new() };
    let mut field = String::new();
    for step in steps {
        match step {
            Step::Key(key) if field.is_empty() => field.push_str(&key),
            Step::Key(key) => field.extend([".", &key]),
            Step::Index(at) => field.extend(["[", &at.to_string(), "]"]),
            Step::Named(name) => field.extend(["[", &name, "]"]),
        }
    }
    field
}

fn naming(node: &Node, kind: &str, name: &str, path: &mut Vec<Step>) -> bool {
    for entry in node.entries() {
        path.push(Step::Key(entry.key.clone()));
        let is_name = entry.value.text() == Some(name)
            && match kind {
                "ServiceAccount" => entry.key == "serviceAccountName",
                _ => entry.key == "name" && refers(path, kind, node),
            };
        if is_name || naming(&entry.value, kind, name, path) {
            return true;
        }
        path.pop();
    }
    for (at, item) in node.items().iter().enumerate() {
        path.push(Step::Index(at));
        if naming(item, kind, name, path) {
            return true;
        }
        path.pop();
    }
    false
}

/// Whether the reference that a `name` belongs to is to an object of that kind.
fn refers(path: &[Step], kind: &str, reference: &Node) -> bool {
    let field = path.iter().rev().nth(1);
    let Some(Step::Key(field)) = field else { return false };
    match reference.get("kind").and_then(Node::text) {
        Some(written) => written == kind,
        None if field.ends_with("caRef") => kind == "ConfigMap",
        None => field.to_ascii_lowercase().contains(&kind.to_ascii_lowercase()),
    }
}

/// Everything the server refers to: the object of that name as it is, the others as if nothing was wrong with them.
fn fetched(server: &Server, all: &[Reference<'_>], wanted: &str, wanted_kind: &str) -> Fetched {
    let stand_in = stand_in(server);
    let mut fetched = Fetched::default();
    for (kind, name, object) in all {
        // A Secret says which CA it trusts; so it is asked about the CA that is used.
        let is_wanted = *name == wanted && *kind == wanted_kind;
        let is_ca = *kind == "ConfigMap" && wanted_kind != "ConfigMap";
        let as_it_is = object.filter(|_| is_wanted).map(judgement::stored);
        let ca = object.filter(|_| is_ca).map(judgement::stored).filter(|ca| {
            ca.data.values().any(|pem| {
                std::str::from_utf8(pem).is_ok_and(|pem| pem.contains("-----BEGIN CERTIFICATE-----"))
            })
        });
        let stored = as_it_is.or(ca).unwrap_or_else(|| stand_in.clone());
        match *kind {
            "Secret" => drop(fetched.secrets.insert((*name).to_owned(), stored)),
            "ConfigMap" => drop(fetched.config_maps.insert((*name).to_owned(), stored)),
            _ => fetched.service_account = Some(stored),
        }
    }
    // What is not among the files may be what the Secret permits.
    let unknown = digest(STAND_IN);
    for stored in fetched.secrets.values_mut().chain(&mut fetched.service_account) {
        let known = stored.annotations.remove(ALLOWED_CA).unwrap_or_default();
        stored.annotations.insert(ALLOWED_CA.to_owned(), format!("{known},{unknown}"));
    }
    let bundles: Vec<_> = fetched.config_maps.values().flat_map(|map| map.data.values()).cloned().collect();
    let bundles = bundles.iter().filter_map(|pem| std::str::from_utf8(pem).ok()).map(digest);
    let every = bundles.chain([unknown]).collect::<Vec<_>>().join(",");
    for (kind, name, _) in all.iter().filter(|(kind, name, _)| (*kind, *name) != (wanted_kind, wanted)) {
        let stand_in = match *kind {
            "Secret" => fetched.secrets.get_mut(*name),
            "ServiceAccount" => fetched.service_account.as_mut(),
            _ => None,
        };
        if let Some(stand_in) = stand_in {
            stand_in.annotations.insert(ALLOWED_CA.to_owned(), every.clone());
        }
    }
    fetched
}

/// A Secret, ConfigMap or ServiceAccount that has everything the server could want of it.
fn stand_in(server: &Server) -> Stored {
    let mut keys: BTreeSet<String> =
        ["username", "password", "tls.crt", "tls.key"].map(String::from).into_iter().collect();
    let mut hosts = vec![server.host.clone(), server.tls.server_name.clone()];
    if let Some(proxy) = &server.proxy {
        hosts.push(proxy.host.clone());
        keys.extend(proxy.ca.iter().map(|reference| reference.key.clone()));
    }
    keys.extend(server.tls.ca.iter().map(|reference| reference.key.clone()));
    match &server.login {
        Login::None | Login::ClientCertificate { .. } => {}
        Login::Password { password, .. } => drop(keys.insert(password.key.clone())),
        Login::OAuth2(oauth2) => {
            hosts.extend(oauth2.token_url.host_str().map(String::from));
            keys.extend(oauth2.token_ca.iter().map(|reference| reference.key.clone()));
            if let Proof::Secret(secret) = &oauth2.proof {
                keys.insert(secret.key.clone());
            }
            match &oauth2.grant {
                Grant::ClientCredentials => {}
                Grant::RefreshToken(token) => drop(keys.insert(token.key.clone())),
                Grant::JWTBearer { key, .. } => drop(keys.insert(key.key.clone())),
            }
        }
    }
    let annotations =
        [(ALLOWED_HOSTS.to_owned(), every_port(&hosts)), (ALLOW_PLAINTEXT.to_owned(), "true".to_owned())];
    Stored {
        annotations: BTreeMap::from(annotations),
        data: keys.into_iter().map(|key| (key, Zeroizing::new(STAND_IN.as_bytes().to_vec()))).collect(),
        ..Stored::default()
    }
}

fn every_port(hosts: &[String]) -> String {
    hosts.iter().map(|host| format!("{host}:*")).collect::<Vec<_>>().join(",")
}

/// A note on a Secret whose file holds what it protects.
fn in_plain_text(bench: &Bench<'_>, object: &Object) -> Option<Diagnostic> {
    let is_stream = bench.files.get(object.file).is_none_or(|file| file.name == crate::cli::lint::STDIN);
    if judgement::is_sealed(object) || is_stream {
        return None;
    }
    let members = |name: &str| object.root.get(name).into_iter().flat_map(Node::entries);
    let entry = members("stringData").chain(members("data")).find(|entry| {
        let public = ["tls.crt", "ca.crt", "username"].contains(&entry.key.as_str());
        !public && entry.value.text().is_some_and(|text| !is_placeholder(text))
    })?;
    let message = format!("this file holds the credential {} in plain text", entry.key);
    Some(
        Diagnostic::note(Code::PlainSecret, object.file, entry.span.clone(), message)
            .help("if the file is kept anywhere: encrypt it (SOPS, Sealed Secrets), or make the Secret with kubectl mail secret create")
            .field(format!("stringData.{}", entry.key)),
    )
}

/// Words that stand where a credential will.
fn is_placeholder(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    text.is_empty()
        || ["change", "replace", "<", "$", "{{", "enc[", "your", "the-", "example", "todo", "xxx", "..."]
            .iter()
            .any(|begin| text.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        for text in ["change-me", "", "<password>", "${PASSWORD}", "ENC[AES256]", "Replace this"] {
            assert!(is_placeholder(text), "{text}");
        }
        assert!(!is_placeholder("hunter2"));
    }
}
