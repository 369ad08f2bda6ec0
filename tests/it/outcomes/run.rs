//! One cell: a server that does what it should but for one fault, a session that tries to send through
//! it, and what both of them make of it.

use super::Cell;
use super::cells::{Fault, Mode, Place};
use super::rules::{Expected, Mail};
use mail_operator::api::Reason;
use mail_operator::domain::egress::Policy;
use mail_operator::domain::failure::{Failure, Permanence, Scope};
use mail_operator::domain::secret::Secret;
use mail_operator::smtp::tls::{MinVersion, bundled_roots, client_config};
use mail_operator::smtp::{
    self, Answer, AuthForm, AuthHint, Credentials, DataOutcome, Deadlines, Envelope, Mechanism,
    PasswordMechanism, Session, Target, TokenMechanism,
};
use mail_operator_testbed::certificates::{CertificateAuthority, ServerCertificate};
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;

const USER: &str = "joe@corp.test";
const PASSWORD: &str = "canary-password";
const JANE: &str = "jane@example.org";
const PAUL: &str = "paul@example.org";
const MESSAGE: &[u8] = b"Subject: x\r\n\r\nHello\r\n";

/// A server that is known to take PLAIN only in answer to a challenge.
const PLAIN_ALONE: AuthHint =
    AuthHint { mechanism: Mechanism::Plain, form: AuthForm::Challenge, is_second_choice: false };

/// What all cells share: it is dear to make.
pub struct World {
    client: Arc<rustls::ClientConfig>,
    good: Arc<rustls::ServerConfig>,
    expired: Arc<rustls::ServerConfig>,
    other_name: Arc<rustls::ServerConfig>,
    other_authority: Arc<rustls::ServerConfig>,
    long: Vec<u8>,
}

impl World {
    pub fn new() -> Self {
        let authority = CertificateAuthority::new("Test CA").unwrap();
        let stranger = CertificateAuthority::new("Another CA").unwrap();
        let roots = bundled_roots(authority.pem().as_bytes()).unwrap();
        let config = |certificate: ServerCertificate| certificate.server_config().unwrap();
        Self {
            client: client_config(roots, MinVersion::Tls12, None).unwrap(),
            good: config(authority.server("mail.test", &[]).unwrap()),
            expired: config(authority.expired_server("mail.test", &[]).unwrap()),
            other_name: config(authority.server("other.test", &[]).unwrap()),
            other_authority: config(stranger.server("mail.test", &[]).unwrap()),
            // More than all buffers between the two ends hold.
            long: [vec![b'x'; 900], b"\r\n".to_vec()].concat().repeat(16 * 1024),
        }
    }
}

/// What happens in `cell`; an error where session and server contradict each other.
pub async fn observe(world: &World, cell: Cell) -> Result<Expected, String> {
    let mut observed = None;
    // Whether the server offers PIPELINING must make no difference.
    let both: &[bool] = match cell.place {
        Place::Mail | Place::Recipient => &[true, false],
        _ => &[true],
    };
    for &pipelining in both {
        let this = patiently(world, cell, pipelining).await?;
        match observed {
            Some(before) if before != this => {
                return Err(format!("with PIPELINING {before:?}, without {this:?}"));
            }
            _ => observed = Some(this),
        }
    }
    observed.ok_or_else(|| "nothing was observed".to_owned())
}

/// A deadline short enough for a test can be over on a busy machine before the session even comes to the
/// place: then the cell is tried again with a longer one.
async fn patiently(world: &World, cell: Cell, pipelining: bool) -> Result<Expected, String> {
    let mut short = Duration::from_millis(500);
    loop {
        let (step, nth) = cell.place.step();
        let server = server(world, cell, pipelining, short / 4).await;
        let outcome = Attempt { world, cell, server: &server }.run(short).await;
        let is_slow = matches!(cell.fault, Fault::Stall | Fault::Trickle);
        if !is_slow || server.count(step) >= nth || short > Duration::from_secs(20) {
            return outcome;
        }
        short *= 3;
    }
}

async fn server(world: &World, cell: Cell, pipelining: bool, pause: Duration) -> ScriptedSmtp {
    let Cell { place, fault, mode, .. } = cell;
    let mechanism = match place {
        Place::AuthLogin | Place::LoginUser | Place::LoginPassword => "LOGIN",
        Place::ScramFirst | Place::ScramProof | Place::ScramEnd => "SCRAM-SHA-256",
        Place::TokenError => "XOAUTH2",
        _ => "PLAIN",
    };
    let password = if place == Place::TokenError { "another" } else { PASSWORD };
    let mut builder = ScriptedSmtp::builder()
        .extensions(if pipelining { &["PIPELINING"] } else { &["8BITMIME"] })
        .login_with(mechanism, USER, password)
        .recipient("gone@example.org", "550 5.1.1 No such user");
    let config = match fault {
        Fault::UnknownIssuer => &world.other_authority,
        Fault::Expired => &world.expired,
        Fault::WrongName => &world.other_name,
        _ => &world.good,
    };
    builder = match mode {
        Mode::StartTls => builder.starttls(config.clone()),
        Mode::Implicit => builder.implicit_tls(config.clone()),
        Mode::Disabled => builder,
    };
    let (step, nth) = place.step();
    builder = match fault.script(place, pause) {
        // Where mail is sent only once, so that the next message shows whether the session lives.
        Some(scripted) if place >= Place::Mail || nth > 1 => builder.fault_at(step, nth, scripted),
        Some(scripted) => builder.fault(step, scripted),
        None if fault == Fault::Stall => builder.hold(step),
        None => builder,
    };
    if place == Place::DotTaken {
        builder = builder.takes_anyway();
    }
    builder.start().await
}

struct Attempt<'a> {
    world: &'a World,
    cell: Cell,
    server: &'a ScriptedSmtp,
}

impl Attempt<'_> {
    async fn run(&self, short: Duration) -> Result<Expected, String> {
        let target = self.target(short);
        let observed = match self.open(&target).await {
            Err(failure) => self.failed(&failure, false, Mail::NotAccepted),
            Ok(session) => self.send(session).await?,
        };
        // Whoever is held at a gate would stay there.
        self.server.cut(Step::Body);
        self.server.idle().await;
        self.check_ledger(observed)?;
        Ok(observed)
    }

    /// Sends a message to Jane and Paul, and looks what the session is good for after that.
    async fn send(&self, mut session: Session) -> Result<Expected, String> {
        if self.cell.place == Place::Reset {
            let opened =
                session.begin(&to(&["gone@example.org"])).await.map_err(|failure| failure.to_string())?;
            assert_eq!(opened.accepted(), 0);
        }
        let message = if self.cell.place == Place::LongBody { &self.world.long } else { MESSAGE };
        let mut observed = match session.begin(&to(&[JANE, PAUL])).await {
            Err(failure) => self.failed(&failure, false, Mail::NotAccepted),
            Ok(opened) => {
                let refused = opened.recipients.iter().find_map(|answer| match answer {
                    Answer::Refused(failure) => Some(failure.clone()),
                    Answer::Accepted | Answer::Unanswered => None,
                });
                match (session.data(message).await, refused) {
                    (DataOutcome::Accepted(_), None) => {
                        Expected { failure: None, session_lives: false, mail: Mail::Accepted }
                    }
                    (DataOutcome::Accepted(_), Some(failure)) => {
                        self.failed(&failure, false, Mail::AcceptedForOthers)
                    }
                    (DataOutcome::Refused(failure) | DataOutcome::NotSent(failure), _) => {
                        self.failed(&failure, false, Mail::NotAccepted)
                    }
                    (DataOutcome::InDoubt(failure), _) => self.failed(&failure, false, Mail::InDoubt),
                }
            }
        };
        if self.cell.place == Place::Quit {
            session.quit().await;
            return Ok(observed);
        }
        observed.session_lives = session.usable() && !session.has_ended();
        match session.begin(&to(&["carol@example.org"])).await {
            Err(failure) if observed.session_lives => return Err(format!("lives, and then {failure}")),
            Err(_) => {}
            Ok(_) if !observed.session_lives => return Err("a session that is over goes on".to_owned()),
            Ok(_) => match session.data(MESSAGE).await {
                DataOutcome::Accepted(_) if self.server.copies_for("carol@example.org") == 1 => {}
                other => return Err(format!("lives, and then {other:?}")),
            },
        }
        Ok(observed)
    }

    fn failed(&self, failure: &Failure, session_lives: bool, mail: Mail) -> Expected {
        let printed = format!("{failure} {failure:?}");
        assert!(!printed.contains("canary"), "{:?}: {printed}", self.cell);
        let Failure { scope, permanence, reason, .. } = *failure;
        let judged: (Scope, Permanence, Reason) = (scope, permanence, reason);
        Expected { failure: Some(judged), session_lives, mail }
    }

    /// What is said about the message against what the server did with it.
    fn check_ledger(&self, observed: Expected) -> Result<(), String> {
        let copies = (self.server.copies_for(JANE), self.server.copies_for(PAUL));
        let agrees = match observed.mail {
            Mail::NotAccepted => copies == (0, 0),
            Mail::AcceptedForOthers => copies == (0, 1),
            Mail::Accepted => copies == (1, 1),
            // Nobody knows; but not twice.
            Mail::InDoubt => copies == (0, 0) || copies == (1, 1),
        };
        let must_be_taken = self.cell.place == Place::DotTaken && copies != (1, 1);
        if agrees && !must_be_taken {
            Ok(())
        } else {
            Err(format!("{observed:?}, and copies are {copies:?}"))
        }
    }

    fn target(&self, short: Duration) -> Target {
        let mut deadlines = Deadlines::all(Duration::from_secs(30));
        if matches!(self.cell.fault, Fault::Stall | Fault::Trickle) {
            match self.cell.place {
                Place::Handshake => deadlines.tls = short,
                Place::Data => deadlines.data = short,
                Place::LongBody => deadlines.block = short,
                Place::Body | Place::Dot | Place::DotTaken => deadlines.final_dot = short,
                Place::Quit => deadlines.quit = short,
                _ => deadlines.command = short,
            }
        }
        let address = self.server.address();
        Target {
            host: address.ip().to_string().into(),
            port: address.port(),
            tls: self.cell.mode.tls(),
            tls_config: self.world.client.clone(),
            server_name: ServerName::try_from("mail.test").unwrap(),
            hello_name: "client.test".into(),
            proxy: None,
            egress: Arc::new(Policy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..Policy::default() }),
            deadlines,
            auth_hint: matches!(self.cell.place, Place::AuthPlainAlone | Place::PlainResponse)
                .then_some(PLAIN_ALONE),
        }
    }

    async fn open(&self, target: &Target) -> Result<Session, Failure> {
        let credentials = match self.cell.place {
            Place::TokenError => Credentials::Token {
                username: USER.to_owned(),
                token: Secret::new(PASSWORD),
                mechanism: Some(TokenMechanism::XOAuth2),
            },
            place => Credentials::Password {
                username: USER.to_owned(),
                password: Secret::new(PASSWORD),
                mechanism: (place == Place::AuthPlain).then_some(PasswordMechanism::Plain),
                allow_plaintext: self.cell.mode == Mode::Disabled,
            },
        };
        let addresses = smtp::resolve(target).await?.addresses;
        smtp::connect(target, &addresses).await?.secure().await?.authenticate(Some(&credentials)).await
    }
}

fn to<'a>(recipients: &[&'a str]) -> Envelope<'a> {
    Envelope {
        from: "news@corp.test",
        recipients: recipients.to_vec(),
        size: MESSAGE.len() as u64,
        eight_bit: false,
        smtputf8: false,
    }
}
