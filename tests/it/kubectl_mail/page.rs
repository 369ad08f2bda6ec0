//! The page about the plugin shows what the plugin prints: each `console` block of `docs/kubectl-mail.md` is typed, one
//! after the other, and compared. What differs each time, such as times and ports, is the same on the page for ever.
//! `UPDATE_GENERATED=1 cargo test --test it kubectl_mail::page` rewrites the blocks.

use super::{home, search_path};
use crate::cluster::in_repository;
use crate::notifications::{server, template};
use crate::objects::Space;
use mail_operator_testbed::free_port;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use serde_json::json;
use std::fmt::Write as _;
use std::net::SocketAddr;

const PAGE: &str = "docs/kubectl-mail.md";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_is_printed() {
    let space = Space::new("shop").await;
    let smtp = ScriptedSmtp::builder().recipient("bob@corp.example", "550 5.1.1 No such user").start().await;
    let mut old = server(SocketAddr::from(([127, 0, 0, 1], free_port().unwrap())), json!({}));
    old["metadata"]["name"] = json!("old-relay");
    let shipped = template(
        "order-shipped",
        json!({
            "subject": "Order {{ number }} is on its way", "text": "It left us on {{ day }}.",
            "variables": [
                { "name": "number", "type": "Integer", "required": true },
                { "name": "day", "type": "Date", "required": true }
            ]
        }),
    );
    space.put(&[server(smtp.address(), json!({})), old, shipped]).await;
    space.until_reason("mailserverconfigs", "old-relay", "Ready", "ConnectionRefused").await;
    space.until_reason("messagetemplates", "order-shipped", "Ready", "Valid").await;

    let page = std::fs::read_to_string(in_repository(PAGE)).unwrap();
    let mut written = String::new();
    let mut rest = page.as_str();
    let mut blocks = 0;
    while let Some((before, after)) = rest.split_once("```console\n") {
        let (block, after) = after.split_once("```\n").unwrap();
        writeln!(written, "{before}```console").unwrap();
        for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let printed = printed(&space, command).await;
            write!(written, "$ {command}\n{printed}").unwrap();
        }
        written.push_str("```\n");
        rest = after;
        blocks += 1;
    }
    written.push_str(rest);
    assert!(blocks >= 8, "hardly anything was found to try");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(in_repository(PAGE), written).unwrap();
        return;
    }
    // Columns are as wide as their longest age, and lines break accordingly: only the words are compared.
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        words(&page),
        words(&written),
        "{PAGE} is out of date: run UPDATE_GENERATED=1 cargo test --test it kubectl_mail::page"
    );
}

/// What a command prints on both streams, in a terminal of 100 columns.
async fn printed(space: &Space, command: &str) -> String {
    let kubeconfig = home().join("kubeconfig-shop");
    std::fs::copy(space.plane.kubeconfig(), &kubeconfig).unwrap();
    let path = kubeconfig.display().to_string();
    space
        .kubectl(&["config", "set-context", "--current", "--namespace", &space.name, "--kubeconfig", &path])
        .await;
    let kubectl = space.plane.kubectl_path().parent().unwrap().display().to_string();
    let mut bash = tokio::process::Command::new("bash");
    bash.arg("-c").arg(format!("{command} 2>&1")).env("COLUMNS", "100").env("LC_ALL", "C.UTF-8");
    bash.env("PATH", format!("{kubectl}:{}", search_path()))
        .env("HOME", home())
        .env("KUBECONFIG", kubeconfig);
    let output = bash.kill_on_drop(true).output().await.unwrap();
    let text =
        String::from_utf8(output.stdout).unwrap().replace(&space.plane.url(), "https://kubernetes.example");
    normalised(&text)
}

/// The text with what differs each time replaced; columns stay where they are.
fn normalised(text: &str) -> String {
    let mut all = String::new();
    for line in text.lines() {
        if line.starts_with("Date  ") {
            all.push_str("Date         Tue, 1 Dec 2026 08:00:00 +0000\n");
            continue;
        }
        let mut before = "";
        let mut rest = line;
        while !rest.is_empty() {
            let word = rest.split(' ').next().unwrap();
            let after = &rest[word.len()..];
            let gap = after.len() - after.trim_start_matches(' ').len();
            let new = steady(word, before);
            all.push_str(&new);
            let wanted = if gap >= 2 { (word.len() + gap).saturating_sub(new.len()).max(1) } else { gap };
            all.push_str(&" ".repeat(wanted));
            rest = &after[gap..];
            before = word;
        }
        all.push('\n');
    }
    all
}

/// A word as it stands on the page.
fn steady(word: &str, before: &str) -> String {
    let bare = word.trim_matches(|c| "(),.;".contains(c));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let duration = bare.strip_suffix('s').is_some_and(number) && bare.len() <= 4;
    let time = bare.len() == 20 && bare.starts_with("20") && bare.ends_with('Z') && bare.contains('T');
    let new = if duration {
        "5s".to_owned()
    } else if time {
        "2026-12-01T08:00:00Z".to_owned()
    } else if before == "Message-ID" {
        "<4f2a…@corp.example>".to_owned()
    } else if before == "port" && number(bare) && !word.starts_with('(') {
        "2525".to_owned()
    } else if let Some((of, unit)) =
        bare.split_once('/').filter(|(of, unit)| number(of) && matches!(*unit, "min" | "day" | "4"))
    {
        let _ = of;
        format!("1/{unit}")
    } else if let Some((host, port)) =
        bare.rsplit_once(':').filter(|(host, port)| *host == "127.0.0.1" && number(port))
    {
        let _ = port;
        format!("{host}:2525")
    } else {
        return word.to_owned();
    };
    word.replacen(bare, &new, 1)
}
