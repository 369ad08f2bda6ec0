//! AUTH: each mechanism's questions and what becomes of the answers.

mod scram;

use super::{Closed, Dialogue, Step, Stream};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

impl Dialogue<'_> {
    pub(super) async fn auth(&mut self, line: &str) -> Result<(), Closed> {
        let (mechanism, initial) = line.split_once(' ').unwrap_or((line, ""));
        let mechanism = mechanism.to_ascii_uppercase();
        if !self.shared.script.mechanisms.split(' ').any(|offered| offered == mechanism) {
            return self.write(b"504 5.5.4 Unrecognized authentication type\r\n").await;
        }
        if !initial.is_empty() && self.shared.script.challenge_form_only {
            return self.write(b"501 5.5.4 No initial response here\r\n").await;
        }
        let mut step = Step::Auth;
        let mut responses = Vec::new();
        if !initial.is_empty() {
            responses.push(if initial == "=" { String::new() } else { initial.to_owned() });
        }
        let prompts: &[&str] = if mechanism == "LOGIN" { &["VXNlcm5hbWU6", "UGFzc3dvcmQ6"] } else { &[""] };
        for prompt in prompts.iter().skip(responses.len()) {
            if self.answer(step, &format!("334 {prompt}")).await? != 334 {
                return Ok(());
            }
            step = Step::AuthResponse;
            responses.push(self.read_line().await?);
        }
        if let Some(first) = responses.first().filter(|_| mechanism.starts_with("SCRAM-")).cloned() {
            return self.scram(&mechanism, &first, step).await;
        }
        let user = self.who(&mechanism, &responses);
        let is_token = matches!(mechanism.as_str(), "XOAUTH2" | "OAUTHBEARER");
        if user.is_none() && is_token {
            let error = BASE64.encode(r#"{"status":"401","schemes":"bearer","scope":"https://mail.test/"}"#);
            if self.answer(step, &format!("334 {error}")).await? != 334 {
                return Ok(());
            }
            step = Step::AuthResponse;
            self.read_line().await?;
        }
        let verdict =
            if user.is_some() { "235 2.7.0 Welcome" } else { "535 5.7.8 Authentication credentials invalid" };
        if self.answer(step, verdict).await? == 235 {
            self.user = user.or_else(|| Some("anybody".to_owned()));
        }
        Ok(())
    }

    /// The user whose password or token the responses hold.
    fn who(&self, mechanism: &str, responses: &[String]) -> Option<String> {
        let decoded: Vec<String> = responses.iter().map(|response| text(response)).collect::<Option<_>>()?;
        let (user, password) = match (mechanism, decoded.as_slice()) {
            ("PLAIN", [all]) => {
                let mut parts = all.splitn(3, '\0').skip(1);
                (parts.next()?.to_owned(), parts.next()?.to_owned())
            }
            ("LOGIN", [user, password]) => (user.clone(), password.clone()),
            ("XOAUTH2", [all]) => {
                let (user, token) = all.strip_prefix("user=")?.split_once("\u{1}auth=Bearer ")?;
                (user.to_owned(), token.strip_suffix("\u{1}\u{1}")?.to_owned())
            }
            ("OAUTHBEARER", [all]) => {
                let (header, token) = all.split_once("\u{1}auth=Bearer ")?;
                let user = header.strip_prefix("n,a=")?.strip_suffix(',')?;
                (user.to_owned(), token.strip_suffix("\u{1}\u{1}")?.to_owned())
            }
            ("EXTERNAL", [authzid]) => return self.certified(authzid),
            _ => return None,
        };
        (self.shared.script.passwords.get(&user) == Some(&password)).then_some(user)
    }

    /// EXTERNAL: whoever has shown a certificate is whom he says to be.
    fn certified(&self, authzid: &str) -> Option<String> {
        let Stream::Tls(stream) = &self.stream else { return None };
        stream.get_ref().1.peer_certificates()?;
        Some(if authzid.is_empty() { "the certificate's owner" } else { authzid }.to_owned())
    }

    async fn scram(&mut self, mechanism: &str, first: &str, step: Step) -> Result<(), Closed> {
        const REFUSED: &str = "535 5.7.8 Authentication credentials invalid";
        let script = &self.shared.script;
        let is_plus = mechanism.ends_with("-PLUS");
        let offers_plus = script.mechanisms.split(' ').any(|offered| offered == "SCRAM-SHA-256-PLUS");
        let rounds = script.scram_rounds;
        let begun =
            text(first).and_then(|first| scram::Exchange::begin(&first, is_plus, offers_plus, rounds).ok());
        let Some(exchange) = begun.filter(|_| script.has_scram_secrets) else {
            self.answer(step, REFUSED).await?;
            return Ok(());
        };
        if self.answer(step, &format!("334 {}", BASE64.encode(exchange.challenge()))).await? != 334 {
            return Ok(());
        }
        let last = self.read_line().await?;
        let password = script.passwords.get(&exchange.user);
        let proof = match (text(&last), password) {
            (Some(last), Some(password)) => exchange.finish(&last, password, &self.bindings()).ok(),
            _ => None,
        };
        let Some(proof) = proof else {
            // A script may give RFC 5802's error first.
            if self.answer(Step::AuthResponse, REFUSED).await? == 334 {
                self.read_line().await?;
                self.answer(Step::AuthResponse, REFUSED).await?;
            }
            return Ok(());
        };
        if self.answer(Step::AuthResponse, &format!("334 {}", BASE64.encode(proof))).await? != 334 {
            return Ok(());
        }
        // Nothing, or `*` from a client that does not believe us.
        if !self.read_line().await?.is_empty() {
            return self.write(b"501 5.7.0 Cancelled\r\n").await;
        }
        if self.answer(Step::AuthResponse, "235 2.7.0 Welcome").await? == 235 {
            self.user = Some(exchange.user);
        }
        Ok(())
    }

    fn bindings(&self) -> scram::Bindings {
        let Stream::Tls(stream) = &self.stream else { return Vec::new() };
        let connection = stream.get_ref().1;
        let data = connection.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", None);
        let is_tls13 = connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
        let exporter = data.ok().filter(|_| is_tls13).map(|data| ("tls-exporter", data));
        let end_point = self.shared.script.end_point.clone().map(|data| ("tls-server-end-point", data));
        exporter.into_iter().chain(end_point).collect()
    }
}

fn text(base64: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(base64).ok()?).ok()
}
