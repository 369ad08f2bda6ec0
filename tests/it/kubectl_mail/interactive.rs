//! What happens in front of a terminal: a password that does not show, a question before sending again, Ctrl-C, colours.

use super::{home, search_path};
use crate::notifications::{notification, server, taken, template};
use crate::objects::{Space, soon};
use mail_operator_testbed::free_port;
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use serde_json::json;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// `kubectl mail` in a pseudo-terminal.
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    screen: Arc<Mutex<String>>,
    reader: std::thread::JoinHandle<()>,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn start(space: &Space, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let size = PtySize { rows: 40, cols: 100, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(space.plane.kubectl_path());
        command.arg("mail");
        command.args(arguments);
        command.args(["-n", &space.name]);
        for (name, value) in
            [("PATH", search_path().as_str()), ("LC_ALL", "C.UTF-8"), ("TERM", "xterm-256color")]
        {
            command.env(name, value);
        }
        command.env("HOME", home());
        command.env("KUBECONFIG", space.plane.kubeconfig());
        for name in ["NO_COLOR", "COLUMNS", "CLICOLOR"] {
            command.env_remove(name);
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new(Mutex::new(String::new()));
        let mut output = pair.master.try_clone_reader().unwrap();
        let shown = screen.clone();
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end of a terminal is an error.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let keyboard = pair.master.take_writer().unwrap();
        Self { child, keyboard, screen, reader, _master: pair.master }
    }

    fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    async fn until(&self, words: &str) {
        soon(words, async || self.screen().contains(words)).await;
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Waits for the end; the exit code, and all that was shown.
    async fn end(mut self) -> (u32, String) {
        let mut code = None;
        soon("the command ends", async || {
            let ended = self.child.try_wait().unwrap();
            // Ended by the signal itself, where nobody caught it: as shells have it.
            code = ended.map(|status| if status.signal().is_some() { 130 } else { status.exit_code() });
            code.is_some()
        })
        .await;
        // What the command wrote last may still lie in the terminal when the command has ended.
        soon("all that was shown is read", async || self.reader.is_finished()).await;
        (code.unwrap(), self.screen())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_twice_and_never_shown() {
    const PASSWORD: &str = "canary-password-typed";
    let space = Space::new("mail-prompt").await;
    let create = ["secret", "create", "typed", "--host", "smtp.corp.example"];
    let mut terminal = Terminal::start(&space, &create, &[]);
    terminal.until("Password for Secret typed: ").await;
    terminal.types(&format!("{PASSWORD}\r"));
    terminal.until("The same again: ").await;
    terminal.types(&format!("{PASSWORD}\r"));
    let (code, screen) = terminal.end().await;
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("Secret typed created") && !screen.contains(PASSWORD), "{screen}");
    let path = format!("/api/v1/namespaces/{}/secrets/typed", space.name);
    let stored = serde_json::from_str(&space.plane.get(&path).await.unwrap()).unwrap();
    assert_eq!(super::secrets::value(&stored, "password"), PASSWORD);

    let create = ["secret", "create", "differs", "--host", "smtp.corp.example"];
    let mut terminal = Terminal::start(&space, &create, &[]);
    terminal.until("Password for").await;
    terminal.types("one\r");
    terminal.until("The same again").await;
    terminal.types("two\r");
    let (code, screen) = terminal.end().await;
    assert!(code == 1 && screen.contains("differ"), "{code} {screen}");

    let mut terminal = Terminal::start(&space, &create, &[]);
    terminal.until("Password for").await;
    terminal.types("\u{3}");
    let (code, screen) = terminal.end().await;
    assert_eq!(code, 130, "{screen}");
    let secrets = space.kubectl(&["get", "secrets", "-o", "name"]).await;
    assert_eq!(secrets, "secret/typed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_again_is_asked_about() {
    let space = Space::new("mail-confirm").await;
    let smtp = ScriptedSmtp::builder().fault_at(Step::Dot, 1, Fault::TakeThenEof).start().await;
    let hold = json!({ "delivery": { "onInDoubt": "Hold" } });
    space.put(&[server(smtp.address(), json!({})), notification("news", &["ada@corp.example"], hold)]).await;
    space.until_phase("news", "InDoubt").await;
    let resolve = ["resolve", "news", "--resend"];
    let mut terminal = Terminal::start(&space, &resolve, &[]);
    terminal.until("Send again to 1 recipient, who may get it twice? [y/N]").await;
    terminal.types("\r");
    let (code, screen) = terminal.end().await;
    assert!(code == 1 && screen.contains("nothing was decided"), "{code} {screen}");
    assert!(
        space.get("notifications", "news").await["metadata"]["annotations"]["mail-operator.dev/resolve"]
            .is_null()
    );
    let mut terminal = Terminal::start(&space, &resolve, &[]);
    terminal.until("[y/N]").await;
    terminal.types("y\r");
    let (code, screen) = terminal.end().await;
    assert_eq!(code, 0, "{screen}");
    assert_eq!(taken(&smtp, "ada@corp.example").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_nothing_half_done() {
    let space = Space::new("mail-ctrl-c").await;
    let dead = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    space.put(&[server(dead, json!({}))]).await;
    let send = ["send", "--to", "ada@corp.example", "--subject", "x", "--text", "x", "--name", "news"];
    let mut terminal = Terminal::start(&space, &send, &[]);
    terminal.until("Notification news created").await;
    terminal.types("\u{3}");
    let (code, screen) = terminal.end().await;
    assert_eq!(code, 130, "{screen}");
    let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "Notification news goes on without us",
        "kubectl mail status news",
        "kubectl delete notif news -n mail-ctrl-c",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert_eq!(space.get("notifications", "news").await["status"]["phase"], "Pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_and_width_are_for_masters() {
    let space = Space::new("mail-colours").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let run =
        async |environment: &[(&str, &str)]| Terminal::start(&space, &["test"], environment).end().await.1;
    assert!(run(&[]).await.contains("\u{1b}[32m✓"));
    let plain = run(&[("NO_COLOR", "1")]).await;
    assert!(!plain.contains('\u{1b}') && plain.contains('✓'), "{plain}");
    let ascii = run(&[("LC_ALL", "C"), ("NO_COLOR", "1")]).await;
    assert!(ascii.is_ascii() && ascii.contains("+ default is ready"), "{ascii}");
    let narrow = Terminal::start(&space, &["explain", "SecretNotBound"], &[("NO_COLOR", "1")]).end().await.1;
    assert!(narrow.lines().all(|line| line.trim_end().chars().count() <= 100), "{narrow}");
    let ran = space.mail(&["test"]).await;
    assert!(!ran.stdout.contains('\u{1b}'));
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_is_asked_about() {
    let space = Space::new("mail-restore-ask").await;
    space.put(&[template("test-message", json!({ "subject": "Ours", "text": "x" }))]).await;
    let mut terminal = Terminal::start(&space, &["restore", "test-message"], &[]);
    terminal.until("[y/N]").await;
    terminal.types("\r");
    let (code, screen) = terminal.end().await;
    assert!(code == 1 && screen.contains("nothing was deleted"), "{code} {screen}");
    assert!(!space.get("messagetemplates", "test-message").await.is_null());
    let mut terminal = Terminal::start(&space, &["restore", "test-message"], &[]);
    terminal.until("[y/N]").await;
    terminal.types("y\r");
    let (code, screen) = terminal.end().await;
    assert!(code == 0 && screen.contains("mail-restore-ask/test-message deleted"), "{code} {screen}");
    assert!(space.get("messagetemplates", "test-message").await.is_null());
}

/// The terminal sends it to the editor and to us: the editor ends, and we say where the text is.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_in_the_editor_loses_no_text() {
    let space = Space::new("mail-edit-ctrl-c").await;
    let editor =
        "f() { sed -i 's/^  subject:.*/  subject: Precious/' \"$1\"; echo editing; read -r line; }; f";
    let mut terminal = Terminal::start(&space, &["edit", "test-message"], &[("KUBE_EDITOR", editor)]);
    terminal.until("editing").await;
    terminal.types("\u{3}");
    let (code, screen) = terminal.end().await;
    assert_eq!(code, 130, "{screen}");
    let words = screen.split_whitespace().collect::<Vec<_>>();
    let at = words.windows(2).position(|pair| pair == ["is", "in"]).unwrap();
    let kept = std::fs::read_to_string(words[at + 2]).unwrap();
    assert!(kept.contains("subject: Precious"), "{kept}");
    assert!(space.get("messagetemplates", "test-message").await.is_null());
}
