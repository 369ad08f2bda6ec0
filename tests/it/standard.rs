//! The standard messages as people get them: compared with saved ones in `tests/golden`, their HTML checked by the checker
//! that the web uses, and each looked at by SpamAssassin. What their texts have to be like is tested beside them, in
//! `src/domain/standard/tests.rs`.

use crate::cluster::in_repository;
use crate::generated::compare;
use mail_operator::api::message_template::{MessageTemplateSpec, Variable};
use mail_operator::domain::address::Mailbox;
use mail_operator::domain::locale::Locale;
use mail_operator::domain::message::{self, Additions, Parts};
use mail_operator::domain::standard;
use mail_operator::domain::template::{About, Compiled, Layout, Sources, Template, Wrap};
use mail_operator_testbed::{nu_checker, spamassassin};
use mail_parser::MessageParser;
use std::collections::BTreeSet;
use std::sync::Arc;

const LOCALES: [&str; 4] = ["en", "de", "fr", "es"];

/// SpamAssassin takes 5 points for junk; a message from a new sender needs room.
const MAX_SCORE: f64 = 1.0;

/// A message in one language, as a mail server gets it.
struct Mail {
    /// Such as `test-message.de`.
    name: String,
    bytes: Vec<u8>,
}

/// All messages in all languages, with all their examples.
fn mails() -> Vec<Mail> {
    let each = |(name, spec): (&'static str, &'static MessageTemplateSpec)| {
        let template = template(name, spec);
        LOCALES.map(move |locale| Mail {
            name: format!("{name}.{locale}"),
            bytes: mail(&template, spec, locale),
        })
    };
    messages().flat_map(each).collect()
}

/// Those that can be sent.
fn messages() -> impl Iterator<Item = (&'static str, &'static MessageTemplateSpec)> {
    standard::all().filter(|(_, spec)| spec.layout.is_some())
}

fn layout(spec: &MessageTemplateSpec) -> Option<Layout<'_>> {
    let name = &spec.layout.as_ref()?.name;
    Some(Layout { name, spec: standard::find(name).unwrap() })
}

/// A message that can be rendered, and what is known of it.
fn template(name: &str, spec: &MessageTemplateSpec) -> (Compiled, Template) {
    let compiled = Compiled::check(spec, layout(spec).as_slice(), &|_| {})
        .unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    let wrap = |layout: Layout<'_>| Wrap { name: layout.name.into(), spec: Arc::new(layout.spec.clone()) };
    let layouts = layout(spec).map(wrap).into_iter().collect();
    let template = Template::new(Sources { spec: Arc::new(spec.clone()), layouts }, compiled.findings());
    (compiled, template.unwrap())
}

fn variables(spec: &MessageTemplateSpec) -> impl Iterator<Item = &Variable> {
    spec.variables.iter().chain(layout(spec).into_iter().flat_map(|layout| &layout.spec.variables))
}

fn mail((compiled, template): &(Compiled, Template), spec: &MessageTemplateSpec, locale: &str) -> Vec<u8> {
    let values =
        variables(spec).map(|variable| (variable.name.clone(), variable.example.clone().unwrap())).collect();
    let values = template.variables().check(Some(&values), &[("ada@corp.example", None)]).unwrap();
    let recipient = Mailbox::parse("ada@corp.example", Some("Ada Lovelace")).unwrap();
    let sender = Mailbox::parse("it@corp.example", Some("Corp IT")).unwrap();
    let about = About { recipient: &recipient, sender: &sender, name: "welcome-ada", namespace: "accounts" };
    let locale = Locale::parse(locale).unwrap();
    let values = values.of("ada@corp.example");
    let rendered =
        compiled.render(std::slice::from_ref(&locale), &values, &(&about).into(), &|_| {}).unwrap();
    let parts = Parts {
        from: &sender,
        reply_to: None,
        to: std::slice::from_ref(&recipient),
        cc: &[],
        copy_of: Some(recipient.address()),
        content: &rendered.content,
        additions: &Additions::default(),
        date: "2026-11-24T08:00:00Z".parse().unwrap(),
        uid: "5d9ee0a0-0000-4000-8000-57a4da4d0001",
    };
    message::build(&parts).bytes
}

/// The text part under its subject, and the HTML.
fn readable(mail: &Mail) -> (String, String) {
    let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
    let lines = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned() + "\n";
    let text = format!("Subject: {}\n\n{}", parsed.subject().unwrap(), parsed.body_text(0).unwrap());
    (lines(&text), lines(&parsed.body_html(0).unwrap()))
}

#[test]
fn they_are_as_saved() {
    let mut files = BTreeSet::new();
    for mail in mails() {
        let (text, html) = readable(&mail);
        for (kind, content) in [("txt", text), ("html", html)] {
            let file = format!("{}.{kind}", mail.name);
            compare(format!("tests/golden/{file}"), &content);
            files.insert(file);
        }
    }
    let found = std::fs::read_dir(in_repository("tests/golden")).unwrap();
    let found: BTreeSet<_> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, files);
}

/// What mail programs need and a page of today would not have. All of it is written by the MJML converter.
const ACCEPTED: [&str; 8] = [
    // They lay out with tables: Outlook knows these attributes only, and not the CSS.
    "attribute on the “table” element is obsolete",
    "attribute on the “td” element is obsolete",
    // Names of its own for what Outlook understands in CSS, and for its drawings.
    "CSS: “mso-",
    "Attribute “xmlns:v” not allowed here",
    "Attribute “xmlns:o” not allowed here",
    // Some programs drop a <style> without it.
    "The “type” attribute for the “style” element is not needed",
    // The logo keeps its proportions where CSS is not read.
    "Bad value “auto” for attribute “height” on element “img”",
    // The converter says this beside `valign`, which is the one that counts.
    "Attribute “vertical-align” not allowed on element “td”",
];

#[tokio::test]
async fn their_html_is_valid() {
    let pages: Vec<_> = mails().iter().map(|mail| (mail.name.clone(), readable(mail).1)).collect();
    let remarks = nu_checker::remarks(&pages).await.unwrap();
    let unexpected: Vec<_> = remarks
        .iter()
        .filter(|remark| !ACCEPTED.iter().any(|words| remark.message.contains(words)))
        .map(|remark| format!("{} line {}: {}: {}", remark.page, remark.line, remark.message, remark.extract))
        .collect();
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}

#[tokio::test]
async fn spamassassin_lets_them_pass() {
    let mails = mails();
    let bytes: Vec<_> = mails.iter().map(|mail| mail.bytes.clone()).collect();
    let verdicts = spamassassin::verdicts(&bytes).await.unwrap();
    let bad: Vec<_> = mails
        .iter()
        .zip(verdicts)
        .filter(|(_, verdict)| verdict.score >= MAX_SCORE)
        .map(|(mail, verdict)| {
            format!("{}: {} points: {}", mail.name, verdict.score, verdict.rules.join(", "))
        })
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// The page has a section for each, with a table of its variables.
#[test]
fn their_variables_are_documented() {
    let page = std::fs::read_to_string(in_repository("docs/standard-messages.md")).unwrap();
    for (name, spec) in standard::all() {
        let section = page.split("\n## ").find_map(|section| section.strip_prefix(&format!("`{name}`\n")));
        let section =
            section.unwrap_or_else(|| panic!("docs/standard-messages.md has no section ## `{name}`"));
        let table = table(spec);
        assert!(section.contains(&table), "docs/standard-messages.md, ## `{name}`, lacks the table\n{table}");
    }
}

fn table(spec: &MessageTemplateSpec) -> String {
    let row = |variable: &Variable| {
        let Variable { name, type_, required, default, example, description } = variable;
        let need = if *required { ", required" } else { "" };
        let default = default.as_ref().map(|default| format!(" Default is `{}`.", default.as_str().unwrap()));
        let example = match example.as_ref().unwrap() {
            serde_json::Value::String(text) => text.lines().next().unwrap().to_owned(),
            other => other.to_string(),
        };
        let description = description.as_deref().unwrap();
        format!("| `{name}` | {type_:?}{need} | {description}{} | {example} |\n", default.unwrap_or_default())
    };
    let head = "| variable | type | meaning | example |\n|---|---|---|---|\n";
    head.to_owned() + &spec.variables.iter().map(row).collect::<String>()
}
